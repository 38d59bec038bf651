//! Entities leave memory when they are idle or too many, and come back unchanged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::journal::{Fut, Journal, MemoryJournal, Page, ReadError, StreamHead, Why};
use annals::testing::ManualClock;
use annals::{CallError, PersistenceId, SeqNr, StreamNo, System, Timestamp};
use annals_tests::Account;

use crate::{restarted, system, until};

#[tokio::test]
async fn a_restart_brings_everything_back() {
    let (system, journal) = system();
    for number in 0..100_u64 {
        system.get::<Account>(format!("{number}")).deposit(number).await.unwrap();
    }
    system.shutdown().await.unwrap();
    let system = restarted(&journal);
    for number in 0..100_u64 {
        assert_eq!(system.get::<Account>(format!("{number}")).balance().await.unwrap(), number);
    }
    assert_eq!(system.stats().events_replayed, 100);
}

#[tokio::test]
async fn an_idle_entity_leaves_memory_and_comes_back() {
    let journal = MemoryJournal::new();
    let system = System::builder().idle_after(Duration::from_millis(100)).start(journal).unwrap();
    let alice = system.get::<Account>("alice");
    alice.deposit(7).await.unwrap();
    until("it is passivated", || system.stats().residents == 0).await;
    assert_eq!(alice.deposit(1).await.unwrap(), 8);
    assert_eq!(system.stats().recoveries, 2);
}

#[tokio::test]
async fn at_most_so_many_entities_stay() {
    let journal = MemoryJournal::new();
    let system = System::builder().shards(2).residents_max(50).start(journal).unwrap();
    for number in 0..1000_u64 {
        system.get::<Account>(format!("{number}")).deposit(number).await.unwrap();
    }
    let residents = system.stats().residents;
    assert!(residents <= 51, "{residents} entities are in memory");
    for number in 0..1000_u64 {
        assert_eq!(system.get::<Account>(format!("{number}")).balance().await.unwrap(), number);
    }
}

#[tokio::test(start_paused = true)]
async fn an_entity_that_waits_for_the_disk_is_not_dropped() {
    let journal = MemoryJournal::new();
    let system = System::builder().idle_after(Duration::from_millis(100)).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    journal.faults().hold();
    let deposit = tokio::spawn(alice.deposit(7));
    until("it is with the journal", || journal.faults().held() == 1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((system.stats().residents, system.stats().passivations), (1, 0));
    journal.faults().release();
    assert_eq!(deposit.await.unwrap().unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_meets_a_passivation_is_handled_exactly_once() {
    let journal = MemoryJournal::new();
    // Every entity is dropped as soon as it rests.
    let system = System::builder().shards(1).residents_max(1).start(journal).unwrap();
    let callers: Vec<_> = (0..8)
        .map(|caller: u64| {
            let system = system.clone();
            tokio::spawn(async move {
                for round in 0..500 {
                    system.get::<Account>(format!("{}", (caller + round) % 5)).deposit(1).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let mut sum = 0;
    for number in 0..5 {
        sum += system.get::<Account>(format!("{number}")).balance().await.unwrap();
    }
    assert_eq!(sum, 8 * 500);
    assert!(system.stats().passivations > 100, "the race was run: {:?}", system.stats());
}

/// Counts how often each stream is opened and closed, and can fail to read what it has opened. It keeps no snapshots.
#[derive(Clone)]
pub(crate) struct Counting {
    inner: MemoryJournal,
    unreadable: Arc<AtomicBool>,
    streams: Arc<Mutex<Streams>>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Streams {
    opened: u64,
    open: BTreeMap<StreamNo, u64>,
    /// How often one was closed that wasn't open.
    closed_in_vain: u64,
}

impl Counting {
    pub(crate) fn new() -> Self {
        Self { inner: MemoryJournal::new(), unreadable: Arc::default(), streams: Arc::default() }
    }

    /// How often streams were opened so far, and how many are open now.
    fn opened_and_open(&self) -> (u64, u64) {
        let streams = self.streams.lock().unwrap();
        assert_eq!(streams.closed_in_vain, 0, "a stream was closed once more than it was opened");
        (streams.opened, streams.open.values().sum())
    }
}

impl Journal for Counting {
    annals_tests::through! { inner, but open_stream, close_stream, settle, read, snapshots }

    fn open_stream(&self, id: &PersistenceId) -> Fut<'_, Result<StreamHead, ReadError>> {
        let id = id.clone();
        Box::pin(async move {
            let head = self.inner.open_stream(&id).await?;
            let mut streams = self.streams.lock().unwrap();
            streams.opened += 1;
            *streams.open.entry(head.stream).or_default() += 1;
            Ok(head)
        })
    }

    fn close_stream(&self, stream: StreamNo) {
        let mut streams = self.streams.lock().unwrap();
        match streams.open.get_mut(&stream) {
            Some(open) if *open > 0 => *open -= 1,
            _ => streams.closed_in_vain += 1,
        }
        self.inner.close_stream(stream);
    }

    fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        if self.unreadable.load(Ordering::SeqCst) {
            let error = ReadError::Engine { what: "a row".to_owned(), error: "the disk is gone".into() };
            return Box::pin(std::future::ready(Err(error)));
        }
        self.inner.read(stream, from, to, bytes_max)
    }
}

#[tokio::test]
async fn a_stream_is_closed_once_for_each_time_it_was_opened() {
    let (journal, clock) = (Counting::new(), ManualClock::at(Timestamp::UNIX_EPOCH));
    let idle = Duration::from_millis(100);
    let system = System::builder().clock(clock.clone()).idle_after(idle).start(journal.clone()).unwrap();
    let (alice, faults) = (system.get::<Account>("alice"), journal.inner.faults());
    alice.deposit(1).await.unwrap();
    assert_eq!(journal.opened_and_open(), (1, 1));

    // A refused write, with nobody who waits for the entity.
    faults.refuse_next(Why::QueueFull { bytes: 2, limit: 1 });
    alice.deposit(1).await.unwrap_err();
    until("it has left", || journal.opened_and_open() == (1, 0)).await;
    // A fold that panics, with somebody who waits.
    faults.hold();
    let before = tokio::spawn(alice.deposit(1));
    until("it is with the journal", || faults.held() == 1).await;
    let cursed = tokio::spawn(alice.curse());
    let after = tokio::spawn(alice.deposit(1));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    faults.release();
    assert_eq!(before.await.unwrap().unwrap(), 2);
    cursed.await.unwrap().unwrap_err();
    assert_eq!(after.await.unwrap().unwrap(), 3);
    assert_eq!(journal.opened_and_open(), (3, 1));

    until("it is passivated", || system.stats().residents == 0).await;
    assert_eq!(journal.opened_and_open(), (3, 0));

    journal.unreadable.store(true, Ordering::SeqCst);
    // A load that fails looks once more whether records were deleted meanwhile.
    for opened in [5, 7, 9] {
        let error = alice.deposit(1).await.unwrap_err();
        assert!(matches!(error, CallError::Quarantined { .. }), "{error:?}");
        assert_eq!(journal.opened_and_open(), (opened, 0));
        clock.advance(Duration::from_secs(400));
    }
    until("what is left of it is dropped", || system.stats().residents == 0).await;
    journal.unreadable.store(false, Ordering::SeqCst);
    assert_eq!(alice.deposit(1).await.unwrap(), 4);
    assert_eq!(journal.opened_and_open(), (10, 1));
}

#[tokio::test]
async fn an_unreadable_entity_is_kept_until_its_next_attempt_however_many_there_are() {
    let (journal, clock) = (MemoryJournal::new(), ManualClock::at(Timestamp::UNIX_EPOCH));
    let builder = System::builder().shards(1).residents_max(1).idle_after(Duration::ZERO);
    let system = builder.clock(clock.clone()).start(journal.clone()).unwrap();
    let error = ReadError::Engine { what: "a row".to_owned(), error: "the disk is gone".into() };
    journal.faults().fail_reads(error);
    let attempts = async || {
        for _ in 0..20 {
            for number in 0..5 {
                let error = system.get::<Account>(format!("{number}")).balance().await.unwrap_err();
                assert!(matches!(error, CallError::Quarantined { .. }), "{error:?}");
            }
        }
        system.stats().quarantines
    };
    assert_eq!(attempts().await, 5, "a call in between made an attempt");
    clock.advance(Duration::from_secs(400));
    until("they are dropped when their pauses are over", || system.stats().residents <= 1).await;
    assert_eq!(attempts().await, 10);
}
