//! Futures that are dropped after each of their polls: no half state, and no place is lost.

#![expect(clippy::async_yields_async, reason = "what is made is polled so often and dropped")]

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use annals::journal::{Journal as _, MemoryJournal};
use annals::prelude::*;
use annals::snapshot::Criteria;
use annals::{CallError, PersistenceId};
use annals_tests::{Account, Lease, Savings};

use super::{epoch, others_go_on, soon, started, tight};
use crate::until;

/// Polls a future so often, each time when it is woken, and then drops it; says whether it came to its end.
async fn polled<F: Future>(future: F, times: usize) -> bool {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|task| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.as_mut().poll(task) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Drops what `make` makes after no poll, after one, after two, until one of them ends before; looks with `check` at what
/// is left each time. Says how often it was dropped.
async fn dropped_at_each_poll<F: Future>(
    mut make: impl AsyncFnMut(usize) -> F,
    mut check: impl AsyncFnMut(usize, bool),
) -> usize {
    for times in 0..1000 {
        let future = make(times).await;
        let ended = polled(future, times).await;
        check(times, ended).await;
        if ended {
            return times;
        }
    }
    panic!("it never ends");
}

/// Lets what was sent be handled.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// All or nothing, of each.
const AMOUNTS: [u64; 3] = [1, 10, 100];

/// Checks that the entity has wholly done what it was told, or not at all, and that it works and has its place.
async fn check_alice(system: &System, journal: &MemoryJournal, before: &mut u64, at_least: u64) {
    settle().await;
    let alice = system.get::<Account>("alice");
    let balance = soon(alice.balance()).await.unwrap();
    let done = balance - *before;
    assert!(done.is_multiple_of(111) && done / 111 >= at_least && done / 111 <= at_least.max(1), "half done: {done}");
    *before = soon(alice.deposit(1)).await.unwrap();
    assert_eq!(*before, balance + 1);
    others_go_on(system).await;
    assert!(journal.health() == annals::journal::Health::Good);
}

#[tokio::test]
async fn a_command_is_done_wholly_or_not_at_all() {
    let (system, journal) = started(tight(&epoch()));
    let alice = system.get::<Account>("alice");
    let mut before = 0;
    let long = Duration::from_secs(3600);
    let mut number = 0;
    for kind in 0..4 {
        let make = async |_| {
            number += 1;
            let call = alice.deposit_all(AMOUNTS.to_vec());
            match kind {
                0 => call,
                1 => call.key(Key::unique(format!("{number}"))),
                2 => call.within(long),
                _ => call.or_overloaded(),
            }
        };
        let check = async |_, ended: bool| check_alice(&system, &journal, &mut before, u64::from(ended)).await;
        assert!(dropped_at_each_poll(make, check).await >= 2, "it is sent, and then awaited");
    }
    let make = async |_| alice.deposit_all(AMOUNTS.to_vec()).tell();
    let check = async |_, ended: bool| check_alice(&system, &journal, &mut before, u64::from(ended)).await;
    dropped_at_each_poll(make, check).await;
}

#[tokio::test]
async fn a_command_that_waits_for_room_is_not_sent_when_it_is_dropped_and_loses_no_place() {
    let (system, journal) = started(tight(&epoch()).run_ahead_max(1));
    let alice = system.get::<Account>("alice");
    let mut before = 0;
    for tell in [false, true] {
        for times in 0..5 {
            // One is with the journal, one is queued in the only place.
            journal.faults().hold();
            let held = tokio::spawn(alice.deposit(1));
            until("it is with the journal", || journal.faults().held() == 1).await;
            let queued = tokio::spawn(alice.deposit(1));
            settle().await;
            let error = alice.deposit(1).or_overloaded().await.unwrap_err();
            assert!(matches!(error, CallError::Overloaded { .. }), "{error:?}");

            let call = alice.deposit_all(AMOUNTS.to_vec()).within(Duration::from_secs(3600));
            let faults = journal.faults();
            let released = async {
                settle().await;
                faults.release();
            };
            // Dropped while it waits, at the moment when it gets its place, and behind that.
            if tell {
                tokio::join!(polled(call.tell(), times), released);
            } else {
                tokio::join!(polled(call, times), released);
            }
            held.await.unwrap().unwrap();
            before = before.max(queued.await.unwrap().unwrap());
            // Whatever became of it, it is all or nothing.
            let now = {
                settle().await;
                alice.balance().await.unwrap()
            };
            assert!(now == before || now == before + 111, "half done: {before}, {now}");
            before = now;
            check_alice(&system, &journal, &mut before, 0).await;
        }
    }
}

#[tokio::test]
async fn queries_and_snapshots_leave_nothing_behind() {
    let (system, _) = started(tight(&epoch()));
    let (alice, savings) = (system.get::<Account>("alice"), system.get::<Savings>("savings"));
    savings.save().await.unwrap();
    dropped_at_each_poll(async |_| alice.balance(), async |_, _| others_go_on(&system).await).await;
    let check = async |_, _| {
        settle().await;
        assert!(soon(savings.save()).await.unwrap() > 0);
        others_go_on(&system).await;
    };
    dropped_at_each_poll(async |_| savings.snapshot(), check).await;
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_deletion_is_done_wholly_or_not_at_all_and_asking_again_completes_it() {
    let (system, _) = started(tight(&epoch()));
    let make = async |times| {
        let id = format!("savings {times}");
        let savings = system.get::<Savings>(id.as_str());
        for _ in 0..3 {
            savings.save().await.unwrap();
        }
        system.delete::<Savings>(id)
    };
    let check = async |times: usize, ended: bool| {
        settle().await;
        let id = format!("savings {times}");
        match soon(system.get::<Savings>(id.as_str()).balance()).await {
            Ok(balance) => assert!(!ended && balance == 6, "{balance}"),
            Err(CallError::Deleted { .. }) => assert!(times > 0),
            Err(error) => panic!("{error:?}"),
        }
        system.delete::<Savings>(id.as_str()).await.unwrap();
        let error = soon(system.get::<Savings>(id).save()).await.unwrap_err();
        assert!(matches!(error, CallError::Deleted { .. }), "{error:?}");
        others_go_on(&system).await;
    };
    dropped_at_each_poll(make, check).await;
}

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

#[tokio::test]
async fn forgetting_is_completed_by_asking_again() {
    let (system, _) = started(tight(&epoch()));
    let make = async |times| {
        let id = format!("letter {times}");
        for _ in 0..3 {
            system.get::<Letter>(id.as_str()).write().await.unwrap();
        }
        system.forget::<Letter>(id)
    };
    let check = async |times: usize, ended: bool| {
        settle().await;
        let id = format!("letter {times}");
        match soon(system.get::<Letter>(id.as_str()).lines()).await {
            Ok(lines) => assert!(!ended && lines == 3, "{lines}"),
            Err(CallError::Deleted { .. }) => assert!(times > 0),
            Err(error) => panic!("{error:?}"),
        }
        system.forget::<Letter>(id.as_str()).await.unwrap();
        let error = soon(system.get::<Letter>(id).write()).await.unwrap_err();
        assert!(matches!(error, CallError::Deleted { .. }), "{error:?}");
        others_go_on(&system).await;
    };
    dropped_at_each_poll(make, check).await;
}

#[tokio::test]
async fn replays_and_transitions_that_are_dropped_lose_nothing() {
    let clock = epoch();
    let (system, _) = started(tight(&clock).provide(std::sync::Arc::new(annals_tests::Diary::default())));
    let alice = system.get::<Account>("alice");
    for _ in 0..10 {
        alice.deposit(1).await.unwrap();
    }
    let check = async |_, _| {
        assert_eq!(system.replay::<Account>("alice").await.unwrap().data().balance(), 10);
        others_go_on(&system).await;
    };
    dropped_at_each_poll(async |_| system.replay::<Account>("alice").into_future(), check).await;

    // What `next` was dropped at is told by the next one.
    let mut steps = system.replay::<Account>("alice").steps();
    let mut told = 0;
    for times in 0..100 {
        if polled(steps.next(), times % 3).await {
            told += 1;
        }
        if told == 11 {
            break;
        }
    }
    assert_eq!(told, 11, "ten records and the end");

    let mut transitions = system.transitions::<Lease>();
    let lease = system.get::<Lease>("car");
    for _ in 0..5 {
        lease.take().await.unwrap();
        lease.give_back(0).await.unwrap();
    }
    let (mut found, mut tried) = (0, 0);
    while found < 10 {
        found += usize::from(polled(transitions.next(), tried % 3).await);
        tried += 1;
    }
    assert!(tried > 10, "some were dropped");
    drop(transitions);
    system.delete::<Lease>("car").await.unwrap();
}

#[tokio::test]
async fn an_attempt_at_an_entity_in_quarantine_that_is_dropped_is_made_or_not() {
    let clock = epoch();
    let (system, journal) = started(tight(&clock));
    let id = PersistenceId::new("Account", "alice");
    let gone = annals::journal::ReadError::Engine { what: "a row".to_owned(), error: "the disk is gone".into() };
    let make = async |_| {
        journal.faults().fail_reads(gone.clone());
        clock.advance(Duration::from_secs(400));
        if system.get::<Account>("alice").balance().await.is_ok() {
            // It is in memory: out of it.
            system.get::<Account>("alice").curse().await.unwrap_err();
            system.get::<Account>("alice").balance().await.unwrap_err();
        }
        journal.faults().heal_reads();
        system.retry(&id)
    };
    let check = async |_, _| {
        settle().await;
        clock.advance(Duration::from_secs(400));
        assert_eq!(soon(system.get::<Account>("alice").balance()).await.unwrap(), 0);
        assert_eq!(system.quarantined(), []);
        others_go_on(&system).await;
    };
    dropped_at_each_poll(make, check).await;
}

#[tokio::test]
async fn a_shutdown_that_is_dropped_goes_on_and_closes_the_journal() {
    let make = async |_| {
        let (system, journal) = started(tight(&epoch()));
        system.get::<Account>("alice").deposit(1).await.unwrap();
        (system, journal)
    };
    let mut ended = false;
    let mut times = 0;
    while !ended {
        let (system, journal) = make(times).await;
        ended = polled(system.shutdown(), times).await;
        if times > 0 {
            until("the journal is closed", || journal.health() == annals::journal::Health::Closed).await;
        }
        let alice = system.get::<Account>("alice");
        match soon(alice.deposit(1)).await {
            Ok(2) => assert_eq!(times, 0),
            Err(CallError::Stopped { .. }) => assert!(times > 0),
            other => panic!("{other:?}"),
        }
        system.shutdown().await.unwrap();
        assert_eq!(journal.health(), annals::journal::Health::Closed);
        times += 1;
    }
    assert!(times >= 2);
}

#[tokio::test]
async fn an_opening_that_is_dropped_leaves_a_directory_that_opens() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    for times in 0..4 {
        let ended = polled(System::open(&path), times).await;
        // It may still be open in the background for a moment.
        let system = loop {
            match System::open(&path).await {
                Ok(system) => break system,
                Err(annals::OpenError::Journal(annals::journal::OpenError::Locked { .. })) => {
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error:?}"),
            }
        };
        let alice = system.get::<Account>("alice");
        let before = alice.balance().await.unwrap();
        assert_eq!(alice.deposit(1).await.unwrap(), before + 1);
        system.shutdown().await.unwrap();
        if ended {
            break;
        }
    }
    let system = System::open(&path).await.unwrap();
    let past = system.replay::<Account>("alice").from_snapshots(Criteria::LATEST).await.unwrap();
    assert!(past.data().balance() >= 2);
    system.shutdown().await.unwrap();
}
