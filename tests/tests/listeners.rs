//! Who listens to the log may panic or block: commits go on. And what goes wrong all the time doesn't flood it.
//!
//! A program of its own, since a process has one listener.

#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, Once, PoisonError};

use annals::System;
use annals::journal::MemoryJournal;
use annals_tests::{Account, until};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Does with each line what the id of its entity asks for, and nothing with all others.
struct Listener;

/// Whether each line of a journal makes it panic. That harms no other test.
static JOURNALS_PANIC: AtomicBool = AtomicBool::new(false);
static JOURNAL_PANICS: AtomicUsize = AtomicUsize::new(0);
static PANICS: AtomicUsize = AtomicUsize::new(0);
static COUNTED: AtomicUsize = AtomicUsize::new(0);
static UNSAID: AtomicU64 = AtomicU64::new(0);
static BLOCKED: AtomicUsize = AtomicUsize::new(0);
static GATE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

#[derive(Default)]
struct Seen {
    id: String,
    unsaid: u64,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "id" {
            self.id = format!("{value:?}");
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "unsaid" {
            self.unsaid = value;
        }
    }
}

fn listen(seen: &Seen) {
    if seen.id.contains("makes the log panic") {
        PANICS.fetch_add(1, Ordering::SeqCst);
        panic!("a listener that can't bear it");
    }
    if seen.id.contains("is counted") {
        COUNTED.fetch_add(1, Ordering::SeqCst);
        UNSAID.fetch_add(seen.unsaid, Ordering::SeqCst);
    }
    if seen.id.contains("blocks the log") {
        BLOCKED.fetch_add(1, Ordering::SeqCst);
        let mut open = GATE.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*open {
            open = GATE.1.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("annals")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut seen = Seen::default();
        span.record(&mut seen);
        if seen.id.contains("makes the log panic") {
            listen(&seen);
        }
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if event.metadata().target().starts_with("annals::journal") && JOURNALS_PANIC.load(Ordering::SeqCst) {
            JOURNAL_PANICS.fetch_add(1, Ordering::SeqCst);
            panic!("a listener that can't bear journals");
        }
        let mut seen = Seen::default();
        event.record(&mut seen);
        listen(&seen);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn listening() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Listener).unwrap());
}

#[tokio::test]
async fn a_listener_that_panics_loses_its_line_and_nothing_else() {
    listening();
    let journal = MemoryJournal::new();
    let system = System::builder().shards(1).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("makes the log panic");
    for deposit in 1..=20 {
        assert_eq!(alice.deposit(1).await.unwrap(), deposit);
        alice.crash().await.unwrap_err();
        journal.faults().refuse_next(annals::journal::Why::QueueFull { bytes: 2, limit: 1 });
        alice.deposit(1).await.unwrap_err();
    }
    alice.curse().await.unwrap_err();
    assert_eq!(alice.balance().await.unwrap(), 20);
    assert!(PANICS.load(Ordering::SeqCst) > 20, "the listener has heard of it");
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_listener_that_panics_at_all_lines_of_a_journal_on_the_disk_stops_no_writer() {
    listening();
    JOURNALS_PANIC.store(true, Ordering::SeqCst);
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3_u64 {
        let system = System::open(directory.path().join("store")).await.unwrap();
        let (alice, before) = (system.get::<Account>("alice"), JOURNAL_PANICS.load(Ordering::SeqCst));
        for deposit in 1..=5 {
            assert_eq!(alice.deposit(1).await.unwrap(), 5 * round + deposit);
        }
        assert_eq!(system.health(), annals::journal::Health::Good);
        system.shutdown().await.unwrap();
        assert!(JOURNAL_PANICS.load(Ordering::SeqCst) >= before + 5, "the listener has heard of each group");
    }
    JOURNALS_PANIC.store(false, Ordering::SeqCst);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_blocks_holds_up_who_speaks_and_no_other() {
    listening();
    let system = System::builder().shards(64).start(MemoryJournal::new()).unwrap();
    let blocks = tokio::spawn(system.get::<Account>("blocks the log").crash());
    let mut others = Vec::new();
    for other in 0..8 {
        let account = system.get::<Account>(format!("{other}"));
        others.push(tokio::spawn(async move {
            for _ in 0..50 {
                account.deposit(1).await.unwrap();
            }
        }));
    }
    until("others have committed", || others.iter().filter(|other| other.is_finished()).count() >= 7).await;
    until("it blocks", || BLOCKED.load(Ordering::SeqCst) > 0).await;
    *GATE.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    GATE.1.notify_all();
    blocks.await.unwrap().unwrap_err();
    for other in others {
        other.await.unwrap();
    }
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_goes_wrong_all_the_time_is_told_and_counted_but_floods_nothing() {
    listening();
    let system = System::builder().shards(1).start(MemoryJournal::new()).unwrap();
    let alice = system.get::<Account>("is counted");
    let rounds = 2_000;
    for _ in 0..rounds {
        alice.crash().await.unwrap_err();
    }
    let said = COUNTED.load(Ordering::SeqCst);
    // Its loading is told, too.
    assert!((8..40).contains(&said), "{said} lines of {rounds} panics");
    assert_eq!(system.stats().panics, rounds);
    system.shutdown().await.unwrap();
}
