//! A write that fails, a handler that panics, a fold that panics: who is told what, and what goes on.

use annals::Never;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::journal::{Cause, Fut, Health, Journal, MemoryJournal, Outcome, ReadError, Run, RunKey, Why};
use annals::testing::{ManualClock, UnknownRun};
use annals::{CallError, NotStored, Offset, PersistenceId, SeqNr, System, Timestamp, Unknown};
use annals_tests::Account;
use tokio::sync::oneshot::{self, Sender};
use tokio::task::JoinHandle;

use crate::{restarted, system, until};

/// Three deposits in two writes, a query and a refusal, while the journal holds; then something after them.
#[tokio::test]
async fn a_failed_write_tells_each_caller_what_is_certain() {
    for unknown in [UnknownRun::Stored, UnknownRun::Lost] {
        let (system, journal) = system();
        let alice = system.get::<Account>("alice");
        alice.deposit(1).await.unwrap();
        journal.faults().hold();
        journal.faults().fail_next(unknown);
        let submitted = tokio::spawn(alice.deposit(10));
        until("the first is with the journal", || journal.faults().held() == 1).await;
        let query = tokio::spawn(alice.balance());
        let refusal = tokio::spawn(alice.withdraw(500));
        until("all are handled", || system.stats().commands == 4).await;
        journal.faults().release();

        let error = submitted.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Unknown { why: Unknown::Journal { .. }, .. }), "{error:?}");
        for error in [query.await.unwrap().unwrap_err(), refusal.await.unwrap().unwrap_err().into_unrefused()] {
            let lost = matches!(error, CallError::NotStored { why: NotStored::EarlierWriteFailed, .. });
            assert!(lost, "told of speculation that was lost: {error:?}");
        }

        assert!(matches!(system.health(), Health::Failed(_)));
        let error = alice.deposit(1).await.unwrap_err();
        let refused = matches!(error, CallError::NotStored { why: NotStored::Journal(Why::Failed(_)), .. });
        assert!(refused, "a failed journal takes no writes: {error:?}");
        alice.balance().await.unwrap();

        let balance = restarted(&journal).get::<Account>("alice").balance().await.unwrap();
        assert_eq!(balance, if unknown == UnknownRun::Stored { 11 } else { 1 });
    }
}

#[tokio::test]
async fn what_was_queued_behind_a_failed_write_is_certainly_not_stored() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    journal.faults().hold();
    journal.faults().refuse_next(Why::Conflict { expected: SeqNr(1), last: SeqNr(2) });
    let deposits: Vec<_> = (0..200).map(|_| tokio::spawn(alice.deposit(1))).collect();
    until("some are handled", || system.stats().commands > 10).await;
    journal.faults().release();
    let mut answered = 0;
    for deposit in deposits {
        match deposit.await.unwrap() {
            Ok(_) => answered += 1,
            Err(CallError::NotStored { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    let balance = alice.balance().await.unwrap();
    assert_eq!(balance, 1 + answered, "exactly what was answered is stored");
    let stored = restarted(&journal).get::<Account>("alice").balance().await.unwrap();
    assert_eq!(balance, stored, "the entity went on from what is stored");
}

#[tokio::test]
async fn a_write_behind_a_refused_one_is_told_of_that_and_not_of_its_own_conflict() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    journal.faults().hold();
    journal.faults().refuse_next(Why::QueueFull { bytes: 2, limit: 1 });
    let refused = tokio::spawn(alice.deposit(1));
    until("the first is with the journal", || journal.faults().held() == 1).await;
    let behind = tokio::spawn(alice.deposit(10));
    until("the second is with the journal", || journal.faults().held() == 2).await;
    journal.faults().release();
    let why = not_stored(refused.await.unwrap().unwrap_err());
    assert_eq!(why, NotStored::Journal(Why::QueueFull { bytes: 2, limit: 1 }));
    assert_eq!(not_stored(behind.await.unwrap().unwrap_err()), NotStored::EarlierWriteFailed);
    assert_eq!(alice.deposit(100).await.unwrap(), 100);
}

/// Every group waits until the test says what becomes of it.
#[derive(Clone)]
struct Arbiter {
    inner: MemoryJournal,
    groups: Arc<Mutex<VecDeque<Sender<Outcome>>>>,
    /// Those of the first runs of all groups.
    keys: Arc<Mutex<Vec<Arc<RunKey>>>>,
}

impl Arbiter {
    fn new() -> Self {
        Self { inner: MemoryJournal::new(), groups: Arc::default(), keys: Arc::default() }
    }

    fn waiting(&self) -> usize {
        self.groups.lock().unwrap().len()
    }

    /// Gives as many groups as there are outcomes theirs, at once.
    fn decide(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        let mut groups = self.groups.lock().unwrap();
        for outcome in outcomes {
            groups.pop_front().unwrap().send(outcome).unwrap();
        }
    }
}

impl Journal for Arbiter {
    annals_tests::through! { inner, but append }

    fn append(&self, group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
        let (decide, decided) = oneshot::channel();
        self.groups.lock().unwrap().push_back(decide);
        self.keys.lock().unwrap().push(Arc::new(group[0].key(&self.inner.facts())));
        let runs = group.len();
        Box::pin(async move { vec![decided.await.unwrap(); runs] })
    }
}

/// One thread, which goes on at once with whom a task wakes.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_many_ask_while_a_group_is_with_the_journal_is_handed_over_together() {
    let journal = Arbiter::new();
    let system = System::builder().shards(1).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    let first = tokio::spawn(alice.deposit(1));
    until("it is with the journal", || journal.waiting() == 1).await;
    let ask = move || (0..20).map(|_| tokio::spawn(alice.deposit(1))).collect::<Vec<_>>();
    let others = tokio::spawn(async move { ask() }).await.unwrap();
    until("they are with the journal", || system.stats().commands == 21 && journal.waiting() > 1).await;
    let keys = journal.keys.lock().unwrap().clone();
    let runs: Vec<_> = keys.iter().map(|key| (key.first(), key.last())).collect();
    assert_eq!(runs, [(SeqNr(1), SeqNr(1)), (SeqNr(2), SeqNr(21))]);
    journal.decide([Outcome::Stored(Offset(1)), Outcome::Stored(Offset(21))]);
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn each_write_in_flight_is_told_its_own_end_and_what_was_not_handed_over_is_not_stored() {
    let journal = Arbiter::new();
    let system = System::builder().shards(1).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    let (mut submitted, mut queries) = (Vec::new(), Vec::new());
    for group in 1..=journal.facts().groups_in_flight {
        submitted.push(tokio::spawn(alice.deposit(1)));
        until("it is with the journal", || journal.waiting() == group).await;
        queries.push(tokio::spawn(alice.balance()));
    }
    let pending: Vec<_> = (0..3).map(|_| tokio::spawn(alice.deposit(1))).collect();
    queries.push(tokio::spawn(alice.balance()));
    until("all are handled", || system.stats().commands == 4 + 3 + 5).await;

    let (one, two) = (Cause("one".into()), Cause("two".into()));
    journal.decide([Outcome::Unknown(one.clone()), Outcome::Unknown(two.clone())]);
    until("what was not handed over is told", || pending.iter().all(JoinHandle::is_finished)).await;
    assert!(!submitted[2].is_finished(), "it was told before anybody knew");
    let conflict = Why::Conflict { expected: SeqNr(3), last: SeqNr(0) };
    journal.decide([Outcome::NotStored(Why::Failed("three".into())), Outcome::NotStored(conflict)]);
    let mut ends = Vec::new();
    for deposit in submitted {
        ends.push(deposit.await.unwrap().unwrap_err());
    }
    let id = PersistenceId::new("Account", "alice");
    let keys = journal.keys.lock().unwrap().clone();
    assert_eq!(
        keys.iter().map(|key| (key.first(), key.last())).collect::<Vec<_>>()[..2],
        [(SeqNr(1), SeqNr(1)), (SeqNr(2), SeqNr(2))]
    );
    let unknown = |cause, run: &Arc<RunKey>| CallError::Unknown {
        id: id.clone(),
        why: Unknown::Journal { cause, run: run.clone() },
    };
    let not_stored = |why| CallError::NotStored { id: id.clone(), why };
    let expected = [
        unknown(one, &keys[0]),
        unknown(two, &keys[1]),
        not_stored(NotStored::Journal(Why::Failed("three".into()))),
        not_stored(NotStored::EarlierWriteFailed),
    ];
    assert_eq!(ends, expected);
    for deposit in pending {
        assert_eq!(deposit.await.unwrap().unwrap_err(), not_stored(NotStored::EarlierWriteFailed));
    }
    for query in queries {
        assert_eq!(query.await.unwrap().unwrap_err(), not_stored(NotStored::EarlierWriteFailed));
    }
    assert_eq!(alice.balance().await.unwrap(), 0, "nothing was stored, and the entity goes on");
}

#[tokio::test]
async fn what_waits_behind_a_failed_write_gives_its_place_back() {
    let journal = MemoryJournal::new();
    // One place for each of the eight lanes, and one command that may run ahead.
    let system = System::builder().shards(1).mailbox_max(8).run_ahead_max(1).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    for _ in 0..20 {
        journal.faults().hold();
        journal.faults().refuse_next(Why::QueueFull { bytes: 2, limit: 1 });
        let refused = tokio::spawn(alice.deposit(1).or_overloaded());
        until("it is with the journal", || journal.faults().held() == 1).await;
        let queued = tokio::spawn(alice.deposit(1).or_overloaded());
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        journal.faults().release();
        assert!(matches!(not_stored(refused.await.unwrap().unwrap_err()), NotStored::Journal(_)));
        assert_eq!(not_stored(queued.await.unwrap().unwrap_err()), NotStored::EarlierWriteFailed);
    }
    assert_eq!(alice.deposit(1).or_overloaded().await.unwrap(), 1);
}

#[tokio::test]
async fn what_waits_for_an_unreadable_entity_gives_its_place_back() {
    let (journal, clock) = (MemoryJournal::new(), ManualClock::at(Timestamp::UNIX_EPOCH));
    let system = System::builder().shards(1).mailbox_max(8).clock(clock.clone()).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    let error = ReadError::Engine { what: "a row".to_owned(), error: "the disk is gone".into() };
    journal.faults().fail_reads(error);
    for _ in 0..10 {
        // One call that makes an attempt, and some that are told of it.
        for _ in 0..3 {
            let error = alice.deposit(1).or_overloaded().await.unwrap_err();
            assert!(matches!(error, CallError::Quarantined { .. }), "{error:?}");
        }
        clock.advance(Duration::from_secs(400));
    }
    assert_eq!(system.stats().quarantines, 10);
    journal.faults().heal_reads();
    assert_eq!(alice.deposit(1).or_overloaded().await.unwrap(), 1);
}

fn not_stored(error: CallError<Never>) -> NotStored {
    let CallError::NotStored { why, .. } = error else { panic!("{error:?}") };
    why
}

#[tokio::test]
async fn a_conflict_is_told_and_the_entity_goes_on_from_what_is_stored() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    let why = Why::Conflict { expected: SeqNr(1), last: SeqNr(2) };
    journal.faults().refuse_next(why.clone());
    let error = alice.deposit(10).await.unwrap_err();
    let CallError::NotStored { why: NotStored::Journal(found), .. } = error else { panic!("{error:?}") };
    assert_eq!(found, why);
    assert_eq!(alice.deposit(100).await.unwrap(), 101);
}

#[tokio::test]
async fn an_older_writer_is_shut_out() {
    let (old, journal) = system();
    let alice = old.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    let new = restarted(&journal);
    assert_eq!(new.get::<Account>("alice").deposit(10).await.unwrap(), 11);
    let error = alice.deposit(100).await.unwrap_err();
    let fenced = matches!(error, CallError::NotStored { why: NotStored::Journal(Why::Fenced { .. }), .. });
    assert!(fenced, "{error:?}");
    assert_eq!(new.get::<Account>("alice").balance().await.unwrap(), 11);
}

#[tokio::test]
async fn a_panic_in_a_handler_refuses_its_command_alone() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    let error = alice.crash().await.unwrap_err();
    let CallError::Panicked { command: "crash", message, .. } = error else { panic!("{error:?}") };
    assert_eq!(&*message, "crashed");
    assert_eq!(alice.deposit(1).await.unwrap(), 2);
    assert_eq!(system.stats().recoveries, 1, "the data was sound all the time");
    assert_eq!(journal.faults().appended().runs, 2);
}

#[tokio::test]
async fn a_panic_in_a_fold_stores_nothing_and_the_entity_is_loaded_again() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    journal.faults().hold();
    let before = tokio::spawn(alice.deposit(10));
    until("it is with the journal", || journal.faults().held() == 1).await;
    let cursed = tokio::spawn(alice.curse());
    until("it is handled", || system.stats().commands == 3).await;
    let after = tokio::spawn(alice.deposit(100));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(!cursed.is_finished(), "the panic was told before what the command saw was durable");
    journal.faults().release();
    assert_eq!(before.await.unwrap().unwrap(), 11);
    let error = cursed.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Panicked { command: "curse", .. }), "{error:?}");
    assert_eq!(after.await.unwrap().unwrap(), 111);
    assert_eq!(system.stats().recoveries, 2);
    assert_eq!(restarted(&journal).get::<Account>("alice").balance().await.unwrap(), 111);
}

/// Makes the two error types comparable.
trait IntoUnrefused {
    fn into_unrefused(self) -> CallError<Never>;
}

impl<E: std::fmt::Debug> IntoUnrefused for CallError<E> {
    fn into_unrefused(self) -> CallError<Never> {
        match self {
            CallError::NotStored { id, why } => CallError::NotStored { id, why },
            CallError::Unknown { id, why } => CallError::Unknown { id, why },
            error => panic!("{error:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_panic_in_a_fold_is_handled_at_once() {
    let (system, _) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    let started = tokio::time::Instant::now();
    let (cursed, after) = tokio::join!(alice.curse(), alice.deposit(10));
    cursed.unwrap_err();
    assert_eq!(after.unwrap(), 11);
    assert!(started.elapsed() < Duration::from_secs(1), "it waited for the shard to look around");
}

#[tokio::test]
async fn who_waits_behind_a_write_that_fails_gives_its_place_back() {
    let journal = MemoryJournal::new();
    // One place in each lane, and one command ahead of the disk.
    let system = System::builder().shards(1).mailbox_max(8).run_ahead_max(1).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    for _ in 0..3 {
        journal.faults().hold();
        journal.faults().refuse_next(Why::Failed("for once".into()));
        let refused = tokio::spawn(alice.deposit(10));
        until("it is with the journal", || journal.faults().held() == 1).await;
        let waits = tokio::spawn(alice.deposit(100));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let error = alice.balance().or_overloaded().await.unwrap_err();
        assert!(matches!(error, CallError::Overloaded { limit: 1, .. }), "{error:?}");
        journal.faults().release();
        let error = refused.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::NotStored { why: NotStored::Journal(_), .. }), "{error:?}");
        let error = waits.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::NotStored { why: NotStored::EarlierWriteFailed, .. }), "{error:?}");
        assert_eq!(alice.balance().or_overloaded().await.unwrap(), 1);
    }
}
