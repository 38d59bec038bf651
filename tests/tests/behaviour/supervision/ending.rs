//! Shutdown with 10,000 calls on their way, whatever holds them up: each caller has an outcome, what was acknowledged is
//! stored, and what was certainly not stored isn't.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use annals::journal::{Health, Journal as _, MemoryJournal};
use annals::prelude::*;
use annals::testing::UnknownRun;
use annals::{CallError, ShutdownError};
use annals_tests::{Account, Diary, Lease};
use tokio::task::JoinHandle;

use super::wrapped::Wrapped;
use super::{epoch, others_go_on, unrefused};
use crate::until;

pub(super) const CALLS: u64 = 10_000;
pub(super) const ENTITIES: u64 = 100;
const WITHIN: Duration = Duration::from_millis(100);

/// What became of so many deposits of one cent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) stored: u64,
    pub(super) unknown: u64,
    pub(super) not_stored: u64,
    pub(super) stopped: u64,
}

impl Told {
    fn all(self) -> u64 {
        self.stored + self.unknown + self.not_stored + self.stopped
    }
}

pub(super) fn queue(system: &System) -> Vec<JoinHandle<Result<u64, CallError<annals::Never>>>> {
    (0..CALLS).map(|call| tokio::spawn(system.get::<Account>(format!("{}", call % ENTITIES)).deposit(1))).collect()
}

/// Each caller is told; fails if one waits for ever.
pub(super) async fn told(calls: Vec<JoinHandle<Result<u64, CallError<annals::Never>>>>) -> Told {
    let mut told = Told::default();
    for call in calls {
        let answer = tokio::time::timeout(Duration::from_secs(60), call).await.expect("a caller waits for ever");
        match answer.unwrap().map_err(unrefused) {
            Ok(_) => told.stored += 1,
            Err(CallError::Unknown { .. }) => told.unknown += 1,
            Err(CallError::NotStored { .. }) => told.not_stored += 1,
            Err(CallError::Stopped { .. }) => told.stopped += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(told.all(), CALLS);
    told
}

/// What is stored in all accounts.
async fn stored(journal: &MemoryJournal) -> u64 {
    let system = System::builder().start(journal.reopen()).unwrap();
    let mut sum = 0;
    for entity in 0..ENTITIES {
        sum += system.get::<Account>(format!("{entity}")).balance().await.unwrap();
    }
    sum
}

/// Shutdown ends, though something never does.
async fn shut_down(system: &System) -> Result<(), ShutdownError> {
    tokio::time::timeout(Duration::from_secs(60), system.shutdown()).await.expect("the shutdown never ends")
}

fn builder() -> annals::Builder {
    System::builder().shards(2).shutdown_within(WITHIN)
}

#[tokio::test]
async fn with_a_journal_that_never_answers() {
    let journal = MemoryJournal::new();
    let system = builder().start(journal.clone()).unwrap();
    journal.faults().hold();
    let calls = queue(&system);
    until("groups are with the journal", || journal.faults().held() > 0).await;
    assert_eq!(shut_down(&system).await, Err(ShutdownError::TimeOver { within: WITHIN }));
    let told = told(calls).await;
    // Also a second one ends, and a journal that comes back later stores what it had, and nothing else.
    let again = shut_down(&system).await;
    // ORDER: before anything can fail, since the runtime waits for who waits for the journal.
    journal.faults().release();
    let stored = stored(&journal).await;
    again.unwrap_err();
    // How many were handed over in so short a time, and how many were not, depends on the machine.
    assert!(told.stored == 0 && told.unknown > 0 && stored <= told.unknown, "{stored} stored of {told:?}");
}

#[tokio::test]
async fn with_a_journal_that_fails() {
    for unknown in [UnknownRun::Stored, UnknownRun::Lost] {
        let journal = MemoryJournal::new();
        // Nothing holds it up, so its time isn't to be over before all of them are told.
        let system = builder().shutdown_within(Duration::from_secs(60)).start(journal.clone()).unwrap();
        journal.faults().fail_nth(3, unknown);
        let calls = queue(&system);
        until("it has failed", || matches!(journal.health(), Health::Failed(_))).await;
        let ended = shut_down(&system).await;
        assert!(matches!(ended, Err(ShutdownError::Journal(_))), "{ended:?}");
        let told = told(calls).await;
        let stored = stored(&journal).await;
        assert!((told.stored..=told.stored + told.unknown).contains(&stored), "{stored} stored of {told:?}");
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Snail {
    crawled: u64,
}

#[aggregate(services = Arc<Diary>)]
impl Snail {
    #[event]
    fn crawled(&mut self) {
        self.crawled += 1;
    }

    /// Takes its time, and its thread.
    #[command]
    fn crawl(&self) -> Step {
        std::thread::sleep(Duration::from_millis(1));
        applying(SnailEvent::Crawled)
    }

    /// Leaves something behind that never ends.
    #[command]
    fn leave_a_trace(&self) -> Step {
        applying(SnailEvent::Crawled).and_then(|fx| fx.spawn(std::future::pending()))
    }

    #[query]
    fn distance(&self) -> u64 {
        self.crawled
    }
}

#[tokio::test]
async fn with_handlers_that_are_slow() {
    let journal = MemoryJournal::new();
    let system = builder().shards(1).provide(Arc::new(Diary::default())).start(journal.clone()).unwrap();
    let crawls: Vec<_> =
        (0..CALLS).map(|call| tokio::spawn(system.get::<Snail>(format!("{}", call % ENTITIES)).crawl())).collect();
    until("some are handled", || system.stats().commands > 0).await;
    assert_eq!(shut_down(&system).await, Err(ShutdownError::TimeOver { within: WITHIN }));
    let handled = system.stats().commands;
    let (mut acknowledged, mut given_up) = (0, 0);
    for crawl in crawls {
        match crawl.await.unwrap() {
            Ok(()) => acknowledged += 1,
            Err(CallError::Stopped { .. }) => given_up += 1,
            Err(CallError::Unknown { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(given_up > CALLS / 2, "{given_up} were given up: it waited for the rest");
    assert_eq!(system.stats().commands, handled, "some were handled after the end");
    let system = System::builder().provide(Arc::new(Diary::default())).start(journal.reopen()).unwrap();
    let mut stored = 0;
    for entity in 0..ENTITIES {
        stored += system.get::<Snail>(format!("{entity}")).distance().await.unwrap();
    }
    assert!(stored >= acknowledged, "{stored} of {acknowledged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_handler_that_blocks_its_thread_for_ever() {
    let gate: Arc<(Mutex<bool>, Condvar)> = Arc::default();
    let waits = gate.clone();
    let journal = Wrapped {
        // It is the shard's thread that appends.
        before_append: Arc::new(move || {
            let mut open = waits.0.lock().unwrap();
            while !*open {
                open = waits.1.wait(open).unwrap();
            }
        }),
        ..Wrapped::new()
    };
    let system = builder().shards(1).start(journal.clone()).unwrap();
    let calls = queue(&system);
    until("some are handled", || system.stats().commands > 0).await;
    assert_eq!(shut_down(&system).await, Err(ShutdownError::TimeOver { within: WITHIN }));
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    let told = told(calls).await;
    assert!(told.stored == 0, "{told:?}");
    assert!(stored(&journal.inner).await <= told.unknown);
}

#[tokio::test]
async fn with_effects_that_never_end() {
    let journal = MemoryJournal::new();
    let system = builder().provide(Arc::new(Diary::default())).start(journal.clone()).unwrap();
    let traces: Vec<_> = (0..CALLS)
        .map(|call| tokio::spawn(system.get::<Snail>(format!("{}", call % ENTITIES)).leave_a_trace()))
        .collect();
    until("some are done", || system.stats().events_stored > 0).await;
    assert_eq!(shut_down(&system).await, Err(ShutdownError::TimeOver { within: WITHIN }));
    let mut acknowledged = 0;
    for trace in traces {
        match trace.await.unwrap() {
            Ok(()) => acknowledged += 1,
            Err(CallError::Stopped { .. } | CallError::Unknown { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(acknowledged > 0 && system.stats().events_stored >= acknowledged);
}

#[tokio::test]
async fn with_recoveries_that_never_end() {
    let gate: Arc<(Mutex<bool>, Condvar)> = Arc::default();
    let waits = gate.clone();
    let journal = Wrapped {
        before_read: Arc::new(move || {
            let mut open = waits.0.lock().unwrap();
            while !*open {
                open = waits.1.wait(open).unwrap();
            }
        }),
        ..Wrapped::new()
    };
    let system = builder().start(journal.clone()).unwrap();
    let calls = queue(&system);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let ended = shut_down(&system).await;
    let told = told(calls).await;
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    assert_eq!(ended, Err(ShutdownError::TimeOver { within: WITHIN }));
    assert_eq!(told, Told { stopped: CALLS, ..Told::default() });
    assert_eq!(stored(&journal.inner).await, 0);
}

#[tokio::test]
async fn with_deadlines_that_are_due() {
    let (journal, clock, diary) = (MemoryJournal::new(), epoch(), Arc::new(Diary::default()));
    let start = |journal: MemoryJournal| {
        let builder = builder().shutdown_within(Duration::from_secs(60)).clock(clock.clone());
        builder.provide(diary.clone()).register::<Lease>().start(journal).unwrap()
    };
    let system = start(journal.clone());
    for lease in 0..500 {
        system.get::<Lease>(format!("{lease}")).take_for(Duration::from_secs(1)).await.unwrap();
    }
    clock.advance(Duration::from_secs(2));
    let calls = queue(&system);
    tokio::task::yield_now().await;
    shut_down(&system).await.unwrap();
    let told = told(calls).await;
    assert_eq!((told.unknown, told.not_stored), (0, 0), "{told:?}");

    // Each deadline fired once, before or after.
    let system = start(journal.reopen());
    for lease in 0..500 {
        let line = format!("{lease} ran out");
        until("it fires", || diary.lines().contains(&line)).await;
    }
    system.shutdown().await.unwrap();
    assert_eq!(diary.lines().iter().filter(|line| line.ends_with("ran out")).count(), 500);
    assert_eq!(stored(&journal).await, told.stored);
}

#[tokio::test]
async fn a_second_shutdown_waits_for_the_first_and_a_third_changes_nothing() {
    let journal = MemoryJournal::new();
    let system = builder().shutdown_within(Duration::from_secs(60)).start(journal.clone()).unwrap();
    let calls = queue(&system);
    tokio::task::yield_now().await;
    let (first, second) = tokio::join!(system.shutdown(), system.shutdown());
    first.unwrap();
    second.unwrap();
    assert_eq!(journal.health(), Health::Closed);
    system.shutdown().await.unwrap();
    let told = told(calls).await;
    assert_eq!(stored(&journal).await, told.stored);
}

#[tokio::test]
async fn a_system_that_is_dropped_tells_each_of_them() {
    let journal = MemoryJournal::new();
    let system = builder().start(journal.clone()).unwrap();
    let calls = queue(&system);
    tokio::task::yield_now().await;
    drop(system);
    let told = told(calls).await;
    assert_eq!((told.unknown, told.not_stored), (0, 0), "{told:?}");
    assert_eq!(stored(&journal).await, told.stored);
}

#[test]
fn a_runtime_that_is_dropped_tells_each_of_them_and_shutdown_says_so() {
    let journal = MemoryJournal::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let callers = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let system = runtime.block_on(async { builder().start(journal.clone()).unwrap() });
    let calls = callers.block_on(async {
        let calls = queue(&system);
        tokio::task::yield_now().await;
        calls
    });
    runtime.shutdown_background();
    let (told, ended) = callers.block_on(async { (told(calls).await, shut_down(&system).await) });
    assert_eq!(ended, Err(ShutdownError::RuntimeGone));
    assert_eq!(journal.health(), Health::Closed);
    let stored = callers.block_on(stored(&journal));
    assert!((told.stored..=told.stored + told.unknown).contains(&stored), "{stored} stored of {told:?}");
}

/// A journal that panics is as good as one that failed: it tells what nobody knows, and its shards go on.
#[tokio::test]
async fn a_journal_that_panics_when_it_appends_takes_no_shard_with_it() {
    let panics = Arc::new(AtomicBool::new(false));
    let appended = Arc::new(AtomicU64::new(0));
    let (does, counts) = (panics.clone(), appended.clone());
    let journal = Wrapped {
        before_append: Arc::new(move || {
            counts.fetch_add(1, Ordering::SeqCst);
            assert!(!does.load(Ordering::SeqCst), "out of ink");
        }),
        ..Wrapped::new()
    };
    let system = System::builder().shards(1).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    assert_eq!(alice.deposit(1).await.unwrap(), 1);
    panics.store(true, Ordering::SeqCst);
    let error = alice.deposit(10).await.unwrap_err();
    assert!(matches!(&error, CallError::Unknown { .. }) && error.to_string().contains("out of ink"), "{error}");
    assert_eq!(alice.balance().await.unwrap(), 1, "reads go on");
    panics.store(false, Ordering::SeqCst);
    assert_eq!(alice.deposit(100).await.unwrap(), 101);
    others_go_on(&system).await;
    system.shutdown().await.unwrap();
    assert!(appended.load(Ordering::SeqCst) > 2);
}

#[tokio::test]
async fn a_journal_that_panics_when_it_closes_a_stream_takes_no_shard_with_it() {
    let closed = Arc::new(AtomicU64::new(0));
    let counts = closed.clone();
    let journal = Wrapped {
        before_close: Arc::new(move || {
            counts.fetch_add(1, Ordering::SeqCst);
            panic!("the lid is stuck");
        }),
        ..Wrapped::new()
    };
    let builder = System::builder().shards(1).idle_after(Duration::from_millis(100));
    let system = builder.start(journal).unwrap();
    let alice = system.get::<Account>("alice");
    assert_eq!(alice.deposit(1).await.unwrap(), 1);
    alice.curse().await.unwrap_err();
    assert_eq!(alice.balance().await.unwrap(), 1, "it is loaded again");
    until("it has left memory", || closed.load(Ordering::SeqCst) >= 2).await;
    assert_eq!(alice.deposit(1).await.unwrap(), 2);
    others_go_on(&system).await;
    system.shutdown().await.unwrap();
}
