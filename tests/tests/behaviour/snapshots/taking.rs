//! When snapshots are taken and saved, and that nobody waits for that.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use annals::journal::{ReadError, UnknownRun};
use annals::prelude::*;
use annals::snapshot::{SnapshotError, SnapshotStore as _};
use annals::testing::given;
use annals::{NotStored, PersistenceId, SeqNr};
use serde::Serializer;

use super::{Gate, GateState, Shelf, Shop, tally};
use crate::passivation::Counting;
use crate::until;
use crate::world::yield_often;

#[tokio::test]
async fn a_snapshot_is_saved_after_so_many_records() {
    let shop = Shop::new();
    shop.count("a", 9).await;
    yield_often().await;
    assert_eq!(shop.shelf.log(), Vec::<String>::new());
    shop.count("a", 16).await;
    shop.saved(2).await;
    assert_eq!(shop.seqs("a"), [20, 10]);
    let times: Vec<_> = shop.shelf.list(&tally("a")).await.unwrap().iter().map(|meta| meta.time.to_string()).collect();
    assert_eq!(times, ["2026-01-01T00:00:20Z", "2026-01-01T00:00:10Z"]);
}

#[tokio::test]
async fn records_are_counted_from_the_snapshot_that_was_loaded() {
    let shop = Shop::new();
    shop.count("a", 14).await;
    let shop = shop.restarted().await;
    shop.count("a", 5).await;
    yield_often().await;
    assert_eq!(shop.shelf.log(), ["save 10"]);
    shop.count("a", 1).await;
    shop.saved(1).await;
    assert_eq!(shop.seqs("a"), [20, 10]);
}

#[tokio::test]
async fn a_snapshot_is_saved_where_a_step_asks_for_it() {
    let shop = Shop::new();
    shop.tally("a").count_and_keep(3).await.unwrap();
    shop.tally("b").keep().await.unwrap();
    shop.saved(1).await;
    shop.count("a", 1).await;
    shop.tally("a").keep().await.unwrap();
    shop.saved(2).await;
    assert_eq!((shop.seqs("a"), shop.seqs("b")), (vec![2, 1], vec![]));
    assert_eq!(shop.system.stats().snapshots_skipped, 0, "nothing has happened to `b`");
}

#[tokio::test]
async fn who_asks_for_a_snapshot_hears_of_it_when_it_is_saved() {
    let shop = Shop::new();
    shop.count("a", 3).await;
    shop.shelf.hold();
    let asked = tokio::spawn(shop.tally("a").snapshot());
    until("the save waits", || shop.shelf.waiting() == 1).await;
    yield_often().await;
    assert!(!asked.is_finished());
    shop.shelf.release();
    let meta = asked.await.unwrap().unwrap();
    let stored = shop.shelf.list(&tally("a")).await.unwrap();
    assert_eq!((meta.seq_nr, stored), (SeqNr(3), vec![meta]));
}

#[tokio::test]
async fn who_asks_for_a_snapshot_of_what_is_deleted_meanwhile_or_can_not_be_read_hears_of_it() {
    let shop = Shop::new();
    shop.count("a", 3).await;
    shop.shelf.hold();
    let asked = tokio::spawn(shop.tally("a").snapshot());
    until("the save waits", || shop.shelf.waiting() == 1).await;
    let deleted = tokio::spawn({
        let system = shop.system.clone();
        async move { system.delete::<super::Tally>("a").await }
    });
    yield_often().await;
    shop.shelf.release();
    deleted.await.unwrap().unwrap();
    match asked.await.unwrap() {
        // It was saved just before.
        Ok(meta) => assert_eq!(meta.seq_nr, SeqNr(3)),
        Err(error) => assert_eq!(error, CallError::Refused(SnapshotError::Deleted)),
    }
    shop.count("b", 3).await;
    let broken = ReadError::Engine { what: "a row".to_owned(), error: "the disk is gone".into() };
    shop.journal.faults().fail_reads(broken.clone());
    let error = shop.tally("b").snapshot().await.unwrap_err();
    assert_eq!(error, CallError::Refused(SnapshotError::Journal(broken)));
    shop.journal.faults().heal_reads();
    assert_eq!(shop.tally("b").snapshot().await.unwrap().seq_nr, SeqNr(3));
}

#[tokio::test]
async fn a_store_that_takes_for_ever_keeps_no_command_waiting() {
    let shop = Shop::new();
    shop.shelf.hold();
    shop.count("a", 30).await;
    until("the save waits", || shop.shelf.waiting() == 1).await;
    for number in 0..40 {
        // Each of them is handled, stored and answered, and most of them have a snapshot to take.
        let id = format!("e{number}");
        for _ in 0..4 {
            shop.tally(&id).count_and_keep(1).await.unwrap();
        }
        assert_eq!(shop.tally(&id).total().await.unwrap(), 4);
    }
    let stats = shop.system.stats();
    assert_eq!(stats.events_stored, 30 + 160);
    assert_eq!(stats.snapshots_saved, 0);
    assert!(stats.snapshots_skipped >= 160 + 3 - 65, "there is room for 64, and one is being saved: {stats:?}");
    let error = shop.tally("a").snapshot().await.unwrap_err();
    assert!(matches!(error, CallError::Refused(SnapshotError::QueueFull { limit: 64, .. })), "{error:?}");
    shop.shelf.release();
    shop.saved(64).await;
}

/// How often a [`Bulky`] with one entry was written.
static WRITTEN: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Bulky {
    #[serde(serialize_with = "counting")]
    entries: u64,
}

fn counting<S: Serializer>(entries: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if *entries == 1 {
        WRITTEN.fetch_add(1, Ordering::SeqCst);
    }
    match *entries {
        13 => Err(serde::ser::Error::custom("thirteen can't be written")),
        14 => panic!("fourteen is too much"),
        entries => serializer.serialize_u64(entries),
    }
}

#[aggregate(snapshot(keep = 3))]
impl Bulky {
    #[event]
    fn entered(&mut self, entries: u64) {
        self.entries = entries;
    }

    #[command]
    fn enter(&self, entries: u64) -> Step {
        applying(BulkyEvent::Entered { entries }).snapshot()
    }

    #[query]
    fn entries(&self) -> u64 {
        self.entries
    }
}

#[tokio::test]
async fn what_cannot_be_queued_is_not_written() {
    let shop = Shop::new();
    shop.shelf.hold();
    shop.system.get::<Bulky>("first").enter(1).await.unwrap();
    until("the save waits", || shop.shelf.waiting() == 1).await;
    for number in 0..200 {
        shop.system.get::<Bulky>(format!("{number}")).enter(1).await.unwrap();
    }
    assert_eq!(WRITTEN.load(Ordering::SeqCst), 65);
    assert_eq!(shop.system.stats().snapshots_skipped, 201 - 65);
    shop.shelf.release();
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_and_harms_nothing() {
    let shop = Shop::with(Shelf::new(), |builder| builder.snapshot_bytes_max(1_000));
    let bulky = shop.system.get::<Bulky>("a");
    bulky.enter(13).await.unwrap();
    let error = bulky.snapshot().await.unwrap_err();
    let CallError::Refused(SnapshotError::Encode(error)) = error else { panic!("{error:?}") };
    assert!(error.to_string().contains("thirteen can't be written"), "{error}");
    bulky.enter(14).await.unwrap();
    let error = bulky.snapshot().await.unwrap_err();
    assert_eq!(error, CallError::Refused(SnapshotError::Panicked("fourteen is too much".into())));
    assert_eq!(bulky.entries().await.unwrap(), 14);
    bulky.enter(15).await.unwrap();
    assert_eq!(bulky.snapshot().await.unwrap().seq_nr, SeqNr(3));
    assert_eq!(shop.system.stats().snapshots_skipped, 4);

    let ledger = shop.system.get::<Ledger>("long");
    ledger.write("x".repeat(400)).await.unwrap();
    ledger.snapshot().await.unwrap();
    ledger.write("x".repeat(400)).await.unwrap();
    let error = ledger.snapshot().await.unwrap_err();
    assert_eq!(error, CallError::Refused(SnapshotError::TooBig { limit: 1_000 }));
    assert!(error.to_string().contains("snapshot_bytes_max"), "{error}");
}

#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Ledger {
    lines: String,
}

#[aggregate(snapshot)]
impl Ledger {
    #[event]
    fn written(&mut self, line: String) {
        self.lines.push_str(&line);
    }

    #[command]
    fn write(&self, line: String) -> Step {
        applying(LedgerEvent::Written { line })
    }
}

/// JSON has no infinity: it is written as nothing, which is no number.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Scale {
    weight: f64,
}

#[aggregate(codec = json, snapshot(every = 2, keep = 1), retain = since_snapshot)]
impl Scale {
    #[event]
    fn weighed(&mut self, weight: u32) {
        self.weight = 1.0 / f64::from(weight);
    }

    #[command]
    fn weigh(&self, weight: u32) -> Step {
        applying(ScaleEvent::Weighed { weight })
    }

    #[query]
    fn weight(&self) -> f64 {
        self.weight
    }
}

#[tokio::test]
async fn what_cannot_be_read_again_is_not_saved_and_no_events_are_deleted_for_it() {
    let shop = Shop::new();
    let scale = shop.system.get::<Scale>("s");
    for weight in [4, 2, 1, 0] {
        scale.weigh(weight).await.unwrap();
        yield_often().await;
    }
    until("the second snapshot has failed", || shop.system.stats().snapshots_failed == 1).await;
    let error = scale.snapshot().await.unwrap_err();
    let CallError::Refused(SnapshotError::ReadAgain { why }) = &error else { panic!("{error:?}") };
    assert!(why.contains("expected f64"), "{why}");
    assert!(error.to_string().contains("the snapshot can be written, but not read again"), "{error}");
    assert_eq!(shop.shelf.seqs(&PersistenceId::new(Scale::NAME, "s")), [2]);
    assert_eq!(shop.floor(Scale::NAME, "s").await, 2);
    let shop = shop.restarted().await;
    assert_eq!(shop.system.get::<Scale>("s").weight().await.unwrap(), f64::INFINITY);
    shop.system.get::<Scale>("s").weigh(8).await.unwrap();
    assert_eq!(shop.system.get::<Scale>("s").snapshot().await.unwrap().seq_nr, SeqNr(5));
}

#[test]
#[should_panic(expected = "no snapshot can be taken at sequence number 1: it can be written, but not read again")]
fn a_bench_finds_what_cannot_be_read_again() {
    given::<Scale>([]).when(|scale| scale.weigh(0)).then_ok();
}

#[tokio::test]
async fn nothing_is_saved_before_it_is_durable() {
    let shop = Shop::new();
    shop.journal.faults().hold();
    for _ in 0..10 {
        shop.tally("a").count(1).tell().await.unwrap();
    }
    let asked = tokio::spawn(shop.tally("a").snapshot());
    until("the group waits", || shop.journal.faults().held() == 1).await;
    until("all are handled", || shop.system.stats().commands == 11).await;
    yield_often().await;
    assert_eq!(shop.shelf.log(), Vec::<String>::new());
    shop.journal.faults().release();
    assert_eq!(asked.await.unwrap().unwrap().seq_nr, SeqNr(10));
    assert_eq!(shop.shelf.log(), ["save 10", "save 10"]);
}

#[tokio::test]
async fn snapshots_of_what_was_lost_are_dropped_and_who_asked_for_one_hears_of_it() {
    let shop = Shop::new();
    shop.count("a", 1).await;
    shop.journal.faults().hold();
    shop.journal.faults().fail_next(UnknownRun::Lost);
    for _ in 0..10 {
        shop.tally("a").count(1).tell().await.unwrap();
    }
    let asked = tokio::spawn(shop.tally("a").snapshot());
    until("all are handled", || shop.system.stats().commands == 12).await;
    shop.journal.faults().release();
    let error = asked.await.unwrap().unwrap_err();
    let lost = matches!(error, CallError::NotStored { why: NotStored::EarlierWriteFailed, .. });
    assert!(lost, "{error:?}");
    assert_eq!(shop.shelf.log(), Vec::<String>::new());
}

#[tokio::test]
async fn a_store_that_fails_is_counted_and_harms_nothing() {
    let shop = Shop::new();
    shop.shelf.refuses_saves.store(true, Ordering::SeqCst);
    shop.count("a", 20).await;
    until("both have failed", || shop.system.stats().snapshots_failed == 2).await;
    let error = shop.tally("a").snapshot().await.unwrap_err();
    assert!(matches!(error, CallError::Refused(SnapshotError::Store(_))), "{error:?}");
    assert!(error.to_string().contains("can't save the snapshots of Tally \"a\": the shelf is full"), "{error}");
    shop.shelf.refuses_saves.store(false, Ordering::SeqCst);
    shop.count("a", 20).await;
    until("records are deleted", || shop.system.stats().records_deleted == 30).await;
    assert_eq!(shop.floor(super::Tally::NAME, "a").await, 30);
}

#[tokio::test]
async fn no_snapshot_is_taken_in_a_transient_state() {
    let shop = Shop::new();
    let gate = shop.system.get::<Gate>("g");
    gate.push().await.unwrap();
    gate.pass().await.unwrap();
    assert_eq!(gate.state().await.unwrap(), GateState::Moving);
    let error = gate.snapshot().await.unwrap_err();
    assert_eq!(error, CallError::Refused(SnapshotError::Transient { state: "Moving" }));
    yield_often().await;
    assert_eq!(shop.shelf.log(), Vec::<String>::new(), "one is due, and waits");
    gate.arrive().await.unwrap();
    shop.saved(1).await;
    assert_eq!(shop.shelf.seqs(&PersistenceId::new(Gate::NAME, "g")), [3]);
}

#[tokio::test]
async fn there_is_no_snapshot_of_nothing() {
    let shop = Shop::new();
    let error = shop.tally("a").snapshot().await.unwrap_err();
    assert_eq!(error, CallError::Refused(SnapshotError::Nothing));
    assert_eq!(shop.system.stats().snapshots_skipped, 0, "none is missing");
}

#[tokio::test]
async fn without_a_store_there_are_no_snapshots_and_who_asks_for_one_hears_of_it() {
    let system = System::builder().start(Counting::new()).unwrap();
    let tally = system.get::<super::Tally>("a");
    for _ in 0..12 {
        tally.count(1).await.unwrap();
    }
    assert_eq!(system.stats().snapshots_skipped, 0, "nobody has asked for one");
    let error = tally.snapshot().await.unwrap_err();
    assert_eq!(error, CallError::Refused(SnapshotError::NoStore));
    assert!(error.to_string().contains("`Builder::snapshots`"), "{error}");
    assert_eq!(tally.total().await.unwrap(), 12);
}

#[test]
#[should_panic(expected = "no snapshot can be taken at sequence number 2: MessagePack can't write it")]
fn a_bench_finds_data_that_cannot_be_written() {
    let bulky = given::<Bulky>(BulkyEvent::Entered { entries: 12 });
    bulky.when(|bulky| bulky.enter(13)).then_ok();
}

#[test]
#[should_panic(expected = "taking a snapshot at sequence number 1 panicked: fourteen is too much")]
fn a_bench_finds_data_that_panics_when_it_is_written() {
    drop(given::<Bulky>(BulkyEvent::Entered { entries: 14 }));
}

#[tokio::test]
async fn a_shutdown_saves_what_waits() {
    let shop = Shop::new();
    shop.shelf.hold();
    for number in 0..5 {
        shop.tally(&format!("e{number}")).count_and_keep(1).await.unwrap();
    }
    until("a save waits", || shop.shelf.waiting() >= 1).await;
    let system = shop.system.clone();
    let down = tokio::spawn(async move { system.shutdown().await });
    yield_often().await;
    assert!(!down.is_finished());
    shop.shelf.release();
    down.await.unwrap().unwrap();
    assert_eq!(shop.system.stats().snapshots_saved, 5);
}

#[tokio::test]
async fn a_shutdown_whose_time_is_over_gives_up_a_store_that_takes_for_ever() {
    let shop = Shop::with(Shelf::new(), |builder| builder.shutdown_within(Duration::from_millis(50)));
    shop.shelf.hold();
    shop.count("a", 1).await;
    let asked = tokio::spawn(shop.tally("a").snapshot());
    until("a save waits", || shop.shelf.waiting() == 1).await;
    shop.system.shutdown().await.unwrap_err();
    let error = asked.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Refused(SnapshotError::Stopped) | CallError::Unknown { .. }), "{error:?}");
}
