//! What snapshots let go: events that they stand for, and older snapshots.

use std::sync::atomic::Ordering;
use std::time::Duration;

use annals::journal::{Durability, FjallJournal, FjallOptions, Journal as _};
use annals::prelude::*;
use annals::snapshot::{Criteria, SnapshotStore as _, StoredSnapshot};
use annals::testing::ManualClock;
use annals::{Offset, PersistenceId, ReadMark, SeqNr, System};

use super::loading::copy_all;
use super::{Label, Shelf, Shop, Tally, builder, tally};
use crate::until;
use crate::world::yield_often;

/// Keeps its events for an hour.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Recent {
    total: u64,
}

#[aggregate(snapshot(every = 10, keep = 1), retain = 1h)]
impl Recent {
    #[event]
    fn counted(&mut self) {
        self.total += 1;
    }

    #[command]
    fn count(&self) -> Step<u64> {
        applying(RecentEvent::Counted).replying(self.total + 1)
    }
}

#[tokio::test]
async fn records_are_deleted_up_to_the_oldest_snapshot_that_is_kept() {
    let shop = Shop::new();
    shop.count("a", 45).await;
    shop.saved(4).await;
    until("older ones are deleted", || shop.system.stats().records_deleted == 30).await;
    let shop = shop.restarted().await;
    assert_eq!((shop.seqs("a"), shop.floor(Tally::NAME, "a").await), (vec![40, 30], 30));
    assert_eq!(shop.tally("a").count(1).await.unwrap(), 46);
    assert_eq!(shop.system.stats().events_replayed, 5);
    let head = shop.journal.open_stream(&tally("a")).await.unwrap();
    let page = shop.journal.read(head.stream, SeqNr(1), head.last, usize::MAX).await.unwrap();
    assert_eq!(page.runs.len(), 16, "each record has a run of its own");
}

#[tokio::test]
async fn a_damaged_snapshot_harms_nothing_while_another_is_kept() {
    let shop = Shop::new();
    shop.count("a", 45).await;
    let shop = shop.restarted().await;
    shop.shelf.damage(&tally("a"), 40);
    assert_eq!(shop.tally("a").total().await.unwrap(), 45);
    assert_eq!(shop.system.stats().events_replayed, 15);
}

#[tokio::test]
async fn without_a_snapshot_for_deleted_records_the_entity_is_quarantined_and_says_what_was_tried() {
    let shop = Shop::new();
    shop.count("a", 45).await;
    let shop = shop.restarted().await;
    shop.shelf.damage(&tally("a"), 40);
    shop.shelf.damage(&tally("a"), 30);
    let error = shop.tally("a").total().await.unwrap_err();
    let CallError::Quarantined { seq_nr, reason, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*seq_nr, SeqNr(1));
    for part in [
        "the records up to 30 are deleted",
        "the one at 40: its checksum is wrong",
        "the one at 30: its checksum is wrong",
        "or put one back from a copy",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    let error = shop.tally("a").count(1).await.unwrap_err();
    assert!(matches!(error, CallError::Quarantined { .. }), "{error:?}");
    assert_eq!(shop.tally("b").count(1).await.unwrap(), 1, "others go on");
}

#[tokio::test]
async fn records_are_kept_for_as_long_as_is_said() {
    let shop = Shop::new();
    let recent = shop.system.get::<Recent>("r");
    // One in ten minutes: the snapshot at 20 is taken at 03:20.
    for _ in 0..20 {
        shop.clock.advance(Duration::from_secs(600));
        recent.count().await.unwrap();
    }
    shop.saved(2).await;
    // The one at 10 was taken at 01:40, and lets go what is before 00:40: three records. The one at 20: before 02:20.
    until("records are deleted", || shop.system.stats().records_deleted == 13).await;
    let shop = shop.restarted().await;
    assert_eq!(shop.floor(Recent::NAME, "r").await, 13);
    assert_eq!(shop.system.get::<Recent>("r").count().await.unwrap(), 21);
    assert_eq!(shop.shelf.seqs(&PersistenceId::new(Recent::NAME, "r")), [20]);
}

#[tokio::test]
async fn what_a_reader_has_still_to_read_is_not_deleted() {
    let mark = ReadMark::new("billing", Offset(4));
    let shop = Shop::with(Shelf::new(), |builder| builder.reader(&mark));
    shop.count("a", 20).await;
    shop.saved(2).await;
    until("some are deleted", || shop.system.stats().records_deleted == 4).await;
    assert_eq!(shop.floor(Tally::NAME, "a").await, 4);
    mark.move_to(Offset(17));
    shop.count("b", 3).await;
    shop.count("a", 10).await;
    until("more are deleted", || shop.system.stats().records_deleted == 17).await;
    assert_eq!(shop.floor(Tally::NAME, "a").await, 17);
    shop.system.shutdown().await.unwrap();
    assert_eq!(shop.seqs("a"), [30, 20]);
}

#[tokio::test]
async fn the_answer_to_a_remembered_key_is_not_deleted() {
    let shop = Shop::with(Shelf::new(), |builder| builder.keys_max(2));
    shop.count("a", 4).await;
    let answer = shop.tally("a").count(5).key(Key::unique("first")).await.unwrap();
    shop.count("a", 25).await;
    shop.saved(3).await;
    let shop = shop.restarted_with(|builder| builder.keys_max(2)).await;
    assert_eq!(shop.floor(Tally::NAME, "a").await, 4, "the key is at 5");
    assert_eq!(shop.tally("a").count(5).key(Key::unique("first")).await.unwrap(), answer);
    assert_eq!(shop.tally("a").total().await.unwrap(), 34);
    // Beyond the window it is forgotten, and lets go.
    let second = shop.tally("a").count(1).key(Key::unique("second")).await.unwrap();
    shop.tally("a").count(1).key(Key::unique("third")).await.unwrap();
    shop.count("a", 8).await;
    shop.saved(1).await;
    let shop = shop.restarted_with(|builder| builder.keys_max(2)).await;
    assert_eq!(shop.floor(Tally::NAME, "a").await, 30);
    assert_eq!(shop.tally("a").count(1).key(Key::unique("second")).await.unwrap(), second);
}

#[tokio::test]
async fn nothing_is_deleted_for_snapshots_that_survive_less_than_the_records() {
    let mut shelf = Shelf::new();
    shelf.durability = Durability::Memory;
    let directory = tempfile::tempdir().unwrap();
    let system = System::builder().shards(1).snapshots(shelf.clone()).open(directory.path()).await.unwrap();
    for _ in 0..45 {
        system.get::<Tally>("a").count(1).await.unwrap();
    }
    system.shutdown().await.unwrap();
    assert_eq!(system.stats().records_deleted, 0);
    assert_eq!(shelf.seqs(&tally("a")), [40, 30]);
}

#[tokio::test]
async fn nothing_is_deleted_for_a_snapshot_that_cannot_be_used() {
    let shop = Shop::new();
    shop.count("a", 20).await;
    until("records are deleted", || shop.system.stats().records_deleted == 10).await;
    shop.shelf.damage(&tally("a"), 20);
    shop.count("a", 10).await;
    shop.saved(3).await;
    // The one at 20 is the older of the two that are kept, and the one at 10 stays beside them.
    let shop = shop.restarted().await;
    assert_eq!((shop.seqs("a"), shop.floor(Tally::NAME, "a").await), (vec![30, 20, 10], 10));
    assert_eq!(shop.tally("a").total().await.unwrap(), 30);
}

#[tokio::test]
async fn nothing_is_deleted_before_there_are_as_many_snapshots_as_are_kept() {
    let shop = Shop::new();
    shop.count("a", 15).await;
    shop.saved(1).await;
    let shop = shop.restarted().await;
    assert_eq!((shop.seqs("a"), shop.floor(Tally::NAME, "a").await), (vec![10], 0));
    shop.shelf.damage(&tally("a"), 10);
    assert_eq!(shop.tally("a").total().await.unwrap(), 15, "the only one is damaged, and nothing is lost");
}

#[tokio::test]
async fn a_crash_after_each_step_of_a_save_harms_nothing() {
    let shop = Shop::new();
    shop.count("a", 29).await;
    until("records are deleted", || shop.system.stats().records_deleted == 10).await;

    // Saved, and nothing deleted.
    shop.shelf.hold();
    shop.count("a", 1).await;
    until("the save waits", || shop.shelf.waiting() == 1).await;
    shop.journal.faults().hold();
    shop.shelf.release();
    shop.saved(3).await;
    until("the deletion waits", || shop.journal.faults().held() == 1).await;
    let shop = crashed(shop);
    shop.journal.faults().release();
    assert_eq!((shop.seqs("a"), shop.floor(Tally::NAME, "a").await), (vec![30, 20, 10], 10));
    assert_eq!(shop.tally("a").total().await.unwrap(), 30);

    // Records deleted, and older snapshots not.
    shop.shelf.refuses_deletes.store(true, Ordering::SeqCst);
    shop.count("a", 10).await;
    shop.saved(1).await;
    until("records are deleted", || shop.system.stats().records_deleted == 20).await;
    yield_often().await;
    assert_eq!(shop.seqs("a"), [40, 30, 20, 10]);
    let shop = crashed(shop);
    assert_eq!(shop.tally("a").total().await.unwrap(), 40);
    assert_eq!(shop.system.stats().events_replayed, 0);

    // The next one makes up for it.
    shop.shelf.refuses_deletes.store(false, Ordering::SeqCst);
    shop.count("a", 10).await;
    shop.saved(1).await;
    let shop = shop.restarted().await;
    assert_eq!((shop.seqs("a"), shop.floor(Tally::NAME, "a").await), (vec![50, 40], 40));
}

/// The system is gone in the middle of whatever it did.
fn crashed(shop: Shop) -> Shop {
    let Shop { journal, shelf, clock, system } = shop;
    let journal = journal.reopen();
    drop(system);
    let system = builder(&shelf, &clock).start(journal.clone()).unwrap();
    Shop { journal, shelf, clock, system }
}

#[tokio::test]
async fn a_deleted_entity_keeps_no_snapshots() {
    let shop = Shop::new();
    shop.count("a", 25).await;
    shop.saved(2).await;
    shop.shelf.hold();
    shop.tally("a").keep().await.unwrap();
    until("a save waits", || shop.shelf.waiting() == 1).await;
    let system = shop.system.clone();
    let deleted = tokio::spawn(async move { system.delete::<Tally>("a").await });
    deleted.await.unwrap().unwrap();
    shop.shelf.release();
    shop.system.shutdown().await.unwrap();
    assert_eq!(shop.seqs("a"), Vec::<u64>::new(), "one that was on its way doesn't come behind");
}

#[tokio::test]
async fn an_older_snapshot_that_stands_for_deleted_records_stays_until_the_newer_one_was_read_again() {
    let mark = ReadMark::new("billing", Offset(1));
    let shop = Shop::with(Shelf::new(), |builder| builder.reader(&mark));
    let label = shop.system.get::<Label>("l");
    label.change("a").await.unwrap();
    label.change("b").await.unwrap();
    until("one is deleted", || shop.system.stats().records_deleted == 1).await;
    label.change("c").await.unwrap();
    // What is saved of it now can't be read again; and no more records may be deleted.
    shop.shelf.damages_saves.store(true, Ordering::SeqCst);
    label.change("d").await.unwrap();
    shop.saved(2).await;
    let shop = shop.restarted_with(|builder| builder.reader(&mark)).await;
    assert_eq!(shop.system.get::<Label>("l").text().await.unwrap(), "d");
    assert_eq!((shop.system.stats().events_replayed, shop.floor(Label::NAME, "l").await), (2, 1));
}

#[tokio::test]
async fn a_snapshot_that_stands_for_deleted_records_is_not_lost_by_a_save_that_fails() {
    let shop = Shop::new();
    shop.system.get::<Label>("l").change("a").await.unwrap();
    shop.system.get::<Label>("l").snapshot().await.unwrap();
    until("the record is deleted", || shop.system.stats().records_deleted == 1).await;
    // The same again, in the place of the first.
    shop.shelf.loses_saves.store(true, Ordering::SeqCst);
    let again = shop.system.get::<Label>("l").snapshot().await;
    let shop = shop.restarted().await;
    assert_eq!(shop.system.get::<Label>("l").text().await.unwrap(), "a");
    assert_eq!(again.unwrap().seq_nr, SeqNr(1));
}

#[tokio::test]
async fn no_record_is_deleted_for_a_snapshot_of_another_history() {
    let (directory, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (shelf, clock) = (Shelf::new(), ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let open = || FjallJournal::open(directory.path(), FjallOptions::new()).unwrap();
    let system = builder(&shelf, &clock).start(open()).unwrap();
    system.get::<Tally>("a").count(1).await.unwrap();
    system.shutdown().await.unwrap();
    drop(system);
    copy_all(directory.path(), copy.path());

    // What happens now is lost with the disk, but for the snapshot.
    let system = builder(&shelf, &clock).start(open()).unwrap();
    for _ in 0..5 {
        system.get::<Tally>("a").count(1).await.unwrap();
    }
    system.get::<Tally>("a").snapshot().await.unwrap();
    system.shutdown().await.unwrap();
    drop(system);
    std::fs::remove_dir_all(directory.path()).unwrap();
    copy_all(copy.path(), directory.path());

    // The store can't be read when the entity is loaded, and so the snapshot at 6 is not found ahead.
    clock.advance(Duration::from_secs(60));
    shelf.refuses_loads.store(true, Ordering::SeqCst);
    let system = builder(&shelf, &clock).start(open()).unwrap();
    for _ in 0..7 {
        system.get::<Tally>("a").count(100).await.unwrap();
    }
    shelf.refuses_loads.store(false, Ordering::SeqCst);
    system.get::<Tally>("a").snapshot().await.unwrap();
    system.shutdown().await.unwrap();
    drop(system);
    assert_eq!(shelf.seqs(&tally("a")), [8, 6]);
    shelf.damage(&tally("a"), 8);
    let system = builder(&shelf, &clock).start(open()).unwrap();
    assert_eq!(system.get::<Tally>("a").total().await.unwrap(), 701);
    assert_eq!(system.stats().snapshots_unusable, 2);
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn snapshots_of_a_history_that_was_lost_are_not_counted_among_those_that_are_kept() {
    let shop = Shop::new();
    shop.count("a", 10).await;
    shop.saved(1).await;
    let stored = shop.shelf.kept.load(&tally("a"), Criteria::LATEST).await.unwrap().unwrap();
    for seq_nr in [95, 96] {
        shop.shelf.kept.save(&tally("a"), StoredSnapshot { seq_nr: SeqNr(seq_nr), ..stored.clone() }).await.unwrap();
    }
    shop.count("a", 20).await;
    until("records are deleted", || shop.system.stats().records_deleted == 20).await;
    let shop = shop.restarted().await;
    assert_eq!((shop.seqs("a"), shop.floor(Tally::NAME, "a").await), (vec![96, 95, 30, 20], 20));
}

#[tokio::test]
async fn after_power_loss_there_is_a_snapshot_for_what_was_deleted_also_where_the_journal_was_not_synced() {
    let (directory, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (shelf, clock) = (Shelf::new(), ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let start = |mark: &ReadMark| {
        let options = FjallOptions::new().durability(Durability::Os);
        builder(&shelf, &clock).reader(mark).start(FjallJournal::open(directory.path(), options).unwrap()).unwrap()
    };
    let mark = ReadMark::new("billing", Offset(4));
    let system = start(&mark);
    for _ in 0..20 {
        system.get::<Tally>("a").count(1).await.unwrap();
    }
    system.shutdown().await.unwrap();
    assert_eq!(system.stats().records_deleted, 4);
    drop(system);
    copy_all(directory.path(), copy.path());

    // What happens now is lost with the power, but for what becomes of the snapshots.
    let system = start(&mark);
    for _ in 0..30 {
        system.get::<Tally>("a").count(1).await.unwrap();
    }
    system.shutdown().await.unwrap();
    assert_eq!((system.stats().records_deleted, system.stats().snapshots_saved), (0, 3));
    drop(system);
    assert_eq!(shelf.seqs(&tally("a")), [50, 40, 10]);
    std::fs::remove_dir_all(directory.path()).unwrap();
    copy_all(copy.path(), directory.path());
    let system = start(&mark);
    assert_eq!(system.get::<Tally>("a").total().await.unwrap(), 20);
    assert_eq!(shelf.seqs(&tally("a")), [10]);

    // The floor rises again, and with it all is synced.
    mark.move_to(Offset(1_000));
    for _ in 0..20 {
        system.get::<Tally>("a").count(1).await.unwrap();
    }
    system.shutdown().await.unwrap();
    assert_eq!(shelf.seqs(&tally("a")), [31, 21]);
}
