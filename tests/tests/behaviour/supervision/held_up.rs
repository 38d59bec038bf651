//! Futures that are dropped at each of their steps, while the journal takes one thing at a time: no half state, no place
//! is lost, and asking again completes what was begun.

#![expect(clippy::async_yields_async, reason = "what is made is polled so often and dropped")]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use annals::journal::{Health, Journal as _, MemoryJournal, RunKey, Settled};
use annals::prelude::*;
use annals::testing::UnknownRun;
use annals::{Offset, PersistenceId, System, Unknown};
use annals_tests::{Account, Savings};

use super::{epoch, others_go_on, soon, tight};

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, Snapshot)]
struct Letter {
    lines: u64,
}

#[aggregate(forgettable, snapshot(every = 2))]
impl Letter {
    #[event]
    fn written(&mut self) {
        self.lines += 1;
    }

    #[command]
    fn write(&self) -> Step {
        applying(LetterEvent::Written)
    }

    #[query]
    fn lines(&self) -> u64 {
        self.lines
    }
}

/// Whether a future was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Nothing happens by itself for longer.
const QUIET: usize = 50;

/// Lets so many things happen to a future, and drops it: each is that it is polled since it was woken, or, when all is
/// quiet, that the journal takes what it was given first. Says whether it came to its end before.
async fn dropped_behind<F: Future>(future: F, journal: &MemoryJournal, steps: usize) -> bool {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let (waker, mut future) = (Waker::from(woken.clone()), pin!(future));
    for _ in 0..steps {
        let mut quiet = 0;
        loop {
            if woken.0.swap(false, Ordering::Relaxed) {
                if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    return true;
                }
                break;
            }
            quiet += 1;
            if quiet > QUIET && journal.faults().release_next() {
                break;
            }
            assert!(quiet < 100 * QUIET, "it never ends");
            tokio::task::yield_now().await;
        }
    }
    false
}

/// Drops what `make` makes behind no step, behind one, behind two, until it ends before; the journal is closed as a gate
/// meanwhile, and open when `check` looks at what is left. Says how many steps there are.
async fn at_each_step<F: Future>(
    journal: &MemoryJournal,
    mut make: impl AsyncFnMut(usize) -> F,
    mut check: impl AsyncFnMut(usize, bool),
) -> usize {
    for steps in 0..100 {
        let future = make(steps).await;
        journal.faults().hold();
        let ended = dropped_behind(future, journal, steps).await;
        journal.faults().release();
        check(steps, ended).await;
        if ended {
            return steps;
        }
    }
    panic!("it never ends");
}

/// Reads are no steps: they are done where tasks run, and at once.
fn started() -> (System, MemoryJournal) {
    let journal = MemoryJournal::new();
    (tight(&epoch()).inline_blocking().start(journal.clone()).unwrap(), journal)
}

#[tokio::test]
async fn a_command_is_done_wholly_or_not_at_all_at_each_step_of_the_journal() {
    let (system, journal) = started();
    let alice = system.get::<Account>("alice");
    let mut before = alice.deposit(1).await.unwrap();
    let (amounts, sum) = (vec![1, 10, 100], 111);
    for kind in 0..3 {
        let mut number = 0;
        let make = async |_| {
            number += 1;
            let call = alice.deposit_all(amounts.clone());
            match kind {
                0 => call,
                1 => call.key(Key::unique(format!("{kind} {number}"))),
                _ => call.or_overloaded(),
            }
        };
        let check = async |steps, ended: bool| {
            let balance = soon(alice.balance()).await.unwrap();
            let done = balance - before;
            assert!(done == sum || (done == 0 && !ended && steps < 2), "{done} behind {steps} steps, ended: {ended}");
            before = balance;
            others_go_on(&system).await;
        };
        assert!(at_each_step(&journal, make, check).await >= 3, "it is sent, stored, and told");
    }
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_deletion_and_forgetting_are_completed_by_asking_again_at_each_step_of_the_journal() {
    let (system, journal) = started();
    let deleted = async |id: &str| {
        let error = soon(system.get::<Letter>(id).write()).await.unwrap_err();
        assert!(matches!(error, CallError::Deleted { .. }), "{error:?}");
        others_go_on(&system).await;
    };
    let written = async |id: String| {
        for _ in 0..3 {
            system.get::<Letter>(id.as_str()).write().await.unwrap();
        }
        id
    };
    let is_whole = async |id: &str, ended: bool| match soon(system.get::<Letter>(id).lines()).await {
        Ok(lines) => assert!(!ended && lines == 3, "{lines}"),
        Err(CallError::Deleted { .. }) => {}
        Err(error) => panic!("{error:?}"),
    };
    let make = async |steps| system.delete::<Letter>(written(format!("deleted {steps}")).await);
    let check = async |steps: usize, ended| {
        let id = format!("deleted {steps}");
        is_whole(&id, ended).await;
        soon(system.delete::<Letter>(id.as_str())).await.unwrap();
        deleted(&id).await;
    };
    let deleting = at_each_step(&journal, make, check).await;
    let make = async |steps| system.forget::<Letter>(written(format!("forgotten {steps}")).await);
    let check = async |steps: usize, ended| {
        let id = format!("forgotten {steps}");
        is_whole(&id, ended).await;
        soon(system.forget::<Letter>(id.as_str())).await.unwrap();
        deleted(&id).await;
    };
    let forgetting = at_each_step(&journal, make, check).await;
    assert!(deleting >= 4 && forgetting >= 5, "the end, and what is deleted behind it: {deleting}, {forgetting}");
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_snapshot_leaves_nothing_behind_at_each_step_of_the_journal() {
    let (system, journal) = started();
    let savings = system.get::<Savings>("savings");
    savings.save().await.unwrap();
    let make = async |_| {
        // Something to wait for.
        let (saved, snapshot) = (savings.save().tell(), savings.snapshot());
        async move {
            saved.await.unwrap();
            snapshot.await
        }
    };
    let check = async |_, _| {
        soon(savings.save()).await.unwrap();
        soon(savings.snapshot()).await.unwrap();
        others_go_on(&system).await;
    };
    assert!(at_each_step(&journal, make, check).await >= 3);
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_goes_on_at_each_step_of_the_journal() {
    let mut steps = 0;
    loop {
        let (system, journal) = started();
        let alice = system.get::<Account>("alice");
        alice.deposit(1).await.unwrap();
        journal.faults().hold();
        alice.deposit(10).tell().await.unwrap();
        let ended = dropped_behind(system.shutdown(), &journal, steps).await;
        journal.faults().release();
        if steps == 0 {
            assert_eq!(soon(alice.deposit(100)).await.unwrap(), 111, "nobody has told it to stop");
        }
        soon(system.shutdown()).await.unwrap();
        assert_eq!(journal.health(), Health::Closed);
        let error = soon(alice.deposit(1000)).await.unwrap_err();
        assert!(matches!(error, CallError::Stopped { .. }), "{error:?}");
        let restarted = tight(&epoch()).start(journal.reopen()).unwrap();
        let balance = restarted.get::<Account>("alice").balance().await.unwrap();
        assert_eq!(balance, if steps == 0 { 111 } else { 11 }, "what was sent before is part of what it finishes");
        if ended {
            break;
        }
        steps += 1;
    }
    assert!(steps >= 3, "{steps}");
}

/// A run of alice's of which its caller doesn't know.
async fn unknown_run(unknown: UnknownRun) -> (MemoryJournal, Arc<RunKey>) {
    let (system, journal) = started();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    journal.faults().fail_next(unknown);
    let answer = alice.deposit(10).await;
    let Err(CallError::Unknown { why: Unknown::Journal { run, .. }, .. }) = answer else { panic!("{answer:?}") };
    (journal.reopen(), run)
}

#[tokio::test]
async fn settling_that_is_dropped_leaves_nothing_behind() {
    for (unknown, expected, balance) in
        [(UnknownRun::Stored, Settled::Stored(Offset(2)), 11), (UnknownRun::Lost, Settled::NotStored, 1)]
    {
        let (journal, run) = unknown_run(unknown).await;
        let system = tight(&epoch()).inline_blocking().start(journal.clone()).unwrap();
        let check = async |_, _| {
            assert_eq!(soon(system.settle(&run)).await, Ok(expected));
            others_go_on(&system).await;
        };
        let steps = at_each_step(&journal, async |_| system.settle(&run), check).await;
        assert!(steps >= 2, "it is asked, and answered: {steps}");
        let alice = system.get::<Account>("alice");
        assert_eq!(alice.balance().await.unwrap(), balance);
        assert_eq!(soon(alice.deposit(1)).await.unwrap(), balance + 1, "its stream isn't kept open by somebody else");
        system.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn an_attempt_at_an_entity_in_quarantine_is_made_or_not_at_each_step_of_the_journal() {
    let (system, journal) = started();
    let gone = annals::journal::ReadError::Engine { what: "a row".to_owned(), error: "the disk is gone".into() };
    let ids: Vec<_> = (0..100).map(|steps| PersistenceId::new("Account", format!("account {steps}"))).collect();
    let account = |steps: usize| system.get::<Account>(ids[steps].entity.clone());
    let make = async |steps: usize| {
        journal.faults().fail_reads(gone.clone());
        account(steps).balance().await.unwrap_err();
        journal.faults().heal_reads();
        system.retry(&ids[steps])
    };
    let check = async |steps: usize, _| {
        soon(system.retry(&ids[steps])).await.unwrap();
        assert_eq!(soon(account(steps).deposit(1)).await.unwrap(), 1);
        assert_eq!(system.quarantined(), []);
        others_go_on(&system).await;
    };
    assert!(at_each_step(&journal, make, check).await >= 2);
    system.shutdown().await.unwrap();
}
