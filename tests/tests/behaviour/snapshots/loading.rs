//! Where a replay begins.

use std::sync::atomic::Ordering;
use std::time::Duration;

use annals::journal::{FjallJournal, FjallOptions, MemoryJournal};
use annals::snapshot::{Criteria, SnapshotStore as _, StoredSnapshot};
use annals::testing::ManualClock;
use annals::{Aggregate as _, CallError, Key, PersistenceId, SeqNr, System};

use super::{Gate, GateState, Label, Shelf, Shop, Tally, builder, tally};
use crate::until;

#[tokio::test]
async fn an_entity_is_loaded_from_its_newest_snapshot() {
    let shop = Shop::new();
    shop.count("a", 25).await;
    let shop = shop.restarted().await;
    assert_eq!(shop.tally("a").total().await.unwrap(), 25);
    let stats = shop.system.stats();
    assert_eq!((stats.events_replayed, stats.snapshots_unusable), (5, 0));
}

#[tokio::test]
async fn an_older_snapshot_stands_in_for_one_that_cannot_be_used() {
    let shop = Shop::new();
    shop.count("a", 25).await;
    let shop = shop.restarted().await;
    shop.shelf.damage(&tally("a"), 20);
    assert_eq!(shop.tally("a").total().await.unwrap(), 25);
    let stats = shop.system.stats();
    assert_eq!((stats.events_replayed, stats.snapshots_unusable), (15, 1));
}

#[tokio::test]
async fn the_whole_stream_stands_in_where_no_snapshot_can_be_used() {
    let mut shelf = Shelf::new();
    // Nothing is deleted for snapshots that survive less than the journal, so all of its records are there.
    shelf.durability = annals::journal::Durability::Memory;
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
    let open = || FjallJournal::open(directory.path(), FjallOptions::new()).unwrap();
    let system = builder(&shelf, &clock).start(open()).unwrap();
    for _ in 0..25 {
        system.get::<Tally>("a").count(1).await.unwrap();
    }
    system.shutdown().await.unwrap();
    drop(system);
    assert_eq!(shelf.seqs(&tally("a")), [20, 10]);
    for seq_nr in [10, 20] {
        shelf.damage(&tally("a"), seq_nr);
    }
    let system = builder(&shelf, &clock).start(open()).unwrap();
    assert_eq!(system.get::<Tally>("a").total().await.unwrap(), 25);
    let stats = system.stats();
    assert_eq!((stats.events_replayed, stats.snapshots_unusable, stats.records_deleted), (25, 2, 0));
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn every_bit_of_damage_is_found() {
    let shop = Shop::new();
    shop.count("a", 20).await;
    let shop = shop.restarted().await;
    let sound = shop.shelf.kept.load(&tally("a"), Criteria::LATEST).await.unwrap().unwrap();
    let mut shop = shop;
    for place in (0..sound.bytes.len()).step_by(7).chain([sound.bytes.len() - 1]) {
        shop.shelf.change(&tally("a"), 20, |bytes| bytes[place] ^= 1);
        assert_eq!(shop.tally("a").total().await.unwrap(), 20, "damaged at {place}");
        assert_eq!(shop.system.stats().snapshots_unusable, 1, "damaged at {place}");
        shop.shelf.kept.save(&tally("a"), sound.clone()).await.unwrap();
        shop = shop.restarted().await;
    }
    for length in 0..sound.bytes.len() {
        if length % 11 == 0 {
            shop.shelf.change(&tally("a"), 20, |bytes| bytes.truncate(length));
            assert_eq!(shop.tally("a").total().await.unwrap(), 20, "cut off at {length}");
            assert_eq!(shop.system.stats().snapshots_unusable, 1, "cut off at {length}");
            shop.shelf.kept.save(&tally("a"), sound.clone()).await.unwrap();
            shop = shop.restarted().await;
        }
    }
}

#[tokio::test]
async fn snapshots_of_others_are_set_aside() {
    let other = Shop::new();
    other.count("a", 20).await;
    other.system.shutdown().await.unwrap();
    let foreign = other.shelf.kept.load(&tally("a"), Criteria::LATEST).await.unwrap().unwrap();

    let shop = Shop::new();
    shop.count("a", 25).await;
    shop.count("b", 20).await;
    let shop = shop.restarted().await;
    let of_b = shop.shelf.kept.load(&tally("b"), Criteria::LATEST).await.unwrap().unwrap();
    let older = shop.shelf.kept.load(&tally("a"), Criteria::LATEST.to_seq(SeqNr(10))).await.unwrap().unwrap();
    let mut shop = shop;
    for (wrong, why) in [(foreign, "another journal"), (of_b, "another entity"), (older, "another record")] {
        let sound = shop.shelf.kept.load(&tally("a"), Criteria::LATEST).await.unwrap().unwrap();
        shop.shelf.kept.save(&tally("a"), StoredSnapshot { bytes: wrong.bytes, ..sound.clone() }).await.unwrap();
        assert_eq!(shop.tally("a").total().await.unwrap(), 25, "one of {why}");
        assert_eq!(shop.system.stats().snapshots_unusable, 1, "one of {why}");
        shop.shelf.kept.save(&tally("a"), sound).await.unwrap();
        shop = shop.restarted().await;
    }
}

#[tokio::test]
async fn a_snapshot_that_is_ahead_of_the_journal_is_deleted() {
    let shop = Shop::new();
    shop.count("a", 25).await;
    let shop = shop.restarted().await;
    let newest = shop.shelf.kept.load(&tally("a"), Criteria::LATEST).await.unwrap().unwrap();
    shop.shelf.kept.save(&tally("a"), StoredSnapshot { seq_nr: SeqNr(30), ..newest.clone() }).await.unwrap();
    shop.shelf.kept.save(&tally("new"), StoredSnapshot { seq_nr: SeqNr(3), ..newest }).await.unwrap();
    assert_eq!(shop.tally("a").total().await.unwrap(), 25);
    assert_eq!(shop.tally("new").total().await.unwrap(), 0);
    assert_eq!((shop.seqs("a"), shop.seqs("new")), (vec![20, 10], vec![]));
    assert_eq!(shop.system.stats().snapshots_unusable, 2);
}

#[tokio::test]
async fn a_snapshot_of_a_history_that_was_lost_is_not_used() {
    let (directory, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (shelf, clock) = (Shelf::new(), ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let begin = |system: &System| system.get::<Tally>("a");
    let open = || FjallJournal::open(directory.path(), FjallOptions::new()).unwrap();
    let system = builder(&shelf, &clock).start(open()).unwrap();
    begin(&system).count(1).await.unwrap();
    system.shutdown().await.unwrap();
    drop(system);
    copy_all(directory.path(), copy.path());

    // What happens now is lost with the disk, but for the snapshot.
    let system = builder(&shelf, &clock).start(open()).unwrap();
    for _ in 0..9 {
        begin(&system).count(1).await.unwrap();
    }
    system.shutdown().await.unwrap();
    drop(system);
    assert_eq!(shelf.seqs(&tally("a")), [10]);
    std::fs::remove_dir_all(directory.path()).unwrap();
    copy_all(copy.path(), directory.path());

    // The stream grows again, past the snapshot, before anybody could have found the snapshot ahead.
    shelf.refuses_loads.store(true, Ordering::SeqCst);
    shelf.refuses_saves.store(true, Ordering::SeqCst);
    clock.advance(Duration::from_secs(60));
    let system = builder(&shelf, &clock).start(open()).unwrap();
    for _ in 0..11 {
        begin(&system).count(100).await.unwrap();
    }
    system.shutdown().await.unwrap();
    drop(system);
    shelf.refuses_loads.store(false, Ordering::SeqCst);
    let system = builder(&shelf, &clock).start(open()).unwrap();
    assert_eq!(begin(&system).total().await.unwrap(), 1_101);
    let stats = system.stats();
    assert_eq!((stats.snapshots_unusable, stats.events_replayed), (1, 12));
    system.shutdown().await.unwrap();
}

pub(super) fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_done_without() {
    let shop = Shop::new();
    shop.count("a", 9).await;
    shop.tally("a").keep().await.unwrap();
    shop.count("a", 3).await;
    shop.tally("a").keep().await.unwrap();
    // The first stands for the records that are deleted; so nothing else does.
    until("records are deleted", || shop.system.stats().records_deleted == 9).await;
    let shop = shop.restarted().await;
    shop.shelf.refuses_loads.store(true, Ordering::SeqCst);
    shop.tally("b").count(1).await.unwrap();
    let error = shop.tally("a").total().await.unwrap_err();
    let CallError::Quarantined { seq_nr, reason, retry_at, .. } = error else { panic!("{error:?}") };
    assert_eq!(seq_nr, SeqNr(1));
    assert!(reason.contains("records up to 9 are deleted") && reason.contains("the shelf is full"), "{reason}");
    shop.shelf.refuses_loads.store(false, Ordering::SeqCst);
    shop.clock.set(retry_at);
    assert_eq!(shop.tally("a").total().await.unwrap(), 12);
}

#[tokio::test]
async fn a_machine_stands_where_its_snapshot_has_it_until_its_time_is_over() {
    let shop = Shop::new();
    let gate = shop.system.get::<Gate>("g");
    gate.push().await.unwrap();
    gate.arrive().await.unwrap();
    gate.pass().await.unwrap();
    gate.pass().await.unwrap();
    shop.saved(1).await;
    let id = PersistenceId::new(Gate::NAME, "g");
    until("the records are deleted", || shop.system.stats().records_deleted > 0).await;
    let shop = shop.restarted_with(|builder| builder.register::<Gate>()).await;
    assert!(shop.floor(Gate::NAME, "g").await >= 2);
    let gate = shop.system.get::<Gate>("g");
    assert_eq!(gate.state().await.unwrap(), GateState::Open);
    assert!(!shop.shelf.seqs(&id).is_empty());
    // The deadline stands in a record that is deleted.
    shop.clock.advance(Duration::from_secs(3_600));
    let fallen = || async { gate.state().await.unwrap() == GateState::Shut };
    while !fallen().await {
        tokio::task::yield_now().await;
    }
    let error = gate.pass().await.unwrap_err();
    assert!(matches!(error, CallError::NotAccepted { state: "Shut", .. }), "{error:?}");
}

#[tokio::test]
async fn keys_are_remembered_across_a_snapshot() {
    let shop = Shop::new();
    let first = shop.tally("a").count(5).key(Key::unique("first")).await.unwrap();
    shop.tally("a").count(1).key(Key::rising(7)).await.unwrap();
    shop.count("a", 18).await;
    shop.saved(2).await;
    let shop = shop.restarted().await;
    assert_eq!(shop.tally("a").count(5).key(Key::unique("first")).await.unwrap(), first);
    assert_eq!(shop.tally("a").count(1).key(Key::rising(7)).await.unwrap(), 6);
    assert_eq!(shop.tally("a").total().await.unwrap(), 24);
    assert_eq!(shop.system.stats().events_replayed, 0);
}

#[tokio::test]
async fn no_more_keys_are_remembered_after_a_snapshot_than_are_to_be() {
    let shop = Shop::with(Shelf::new(), |builder| builder.keys_max(3));
    for key in ["first", "second", "third"] {
        shop.tally("a").count(1).key(Key::unique(key)).await.unwrap();
    }
    shop.tally("a").keep().await.unwrap();
    shop.saved(1).await;
    let shop = shop.restarted_with(|builder| builder.keys_max(1)).await;
    assert_eq!(shop.tally("a").count(1).key(Key::unique("third")).await.unwrap(), 3);
    assert_eq!(shop.tally("a").count(1).key(Key::unique("first")).await.unwrap(), 4, "it is done again");
    assert_eq!(shop.system.stats().events_replayed, 0);
}

/// A timer whose handler of the deadline goes, and comes back in a later version.
mod timers {
    pub mod with {
        use annals::prelude::*;

        #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
        pub struct Timer {
            ticks: u64,
        }

        #[fsm(name = "timer", states(initial Idle, Running), snapshot(every = 2, keep = 1), retain = since_snapshot)]
        impl Timer {
            #[on(Idle => Running)]
            fn start(&self) -> Step {
                goto(Running)
            }

            #[event]
            fn ticked(&mut self) {
                self.ticks += 1;
            }

            #[on(Running => stay)]
            fn tick(&self) -> Step {
                applying(TimerEvent::Ticked)
            }

            #[after(1h, Running => Idle)]
            fn run_out(&self) -> Step {
                goto(Idle)
            }
        }
    }

    pub mod without {
        use annals::prelude::*;

        #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
        pub struct Timer {
            ticks: u64,
        }

        #[fsm(name = "timer", states(initial Idle, Running), snapshot(every = 2, keep = 1), retain = since_snapshot)]
        impl Timer {
            #[on(Idle => Running)]
            fn start(&self) -> Step {
                goto(Running)
            }

            #[event]
            fn ticked(&mut self) {
                self.ticks += 1;
            }

            #[on(Running => stay)]
            fn tick(&self) -> Step {
                applying(TimerEvent::Ticked)
            }

            #[on(Running => Idle)]
            fn stop(&self) -> Step {
                goto(Idle)
            }
        }
    }
}

#[tokio::test]
async fn a_deadline_without_a_handler_survives_a_snapshot() {
    let shop = Shop::new();
    shop.system.get::<timers::with::Timer>("t").start().await.unwrap();
    let shop = shop.restarted().await;
    let timer = shop.system.get::<timers::without::Timer>("t");
    timer.tick().await.unwrap();
    timer.tick().await.unwrap();
    let shop = shop.restarted().await;
    assert_eq!(shop.floor("timer", "t").await, 2, "the record with the deadline is deleted");
    shop.clock.advance(Duration::from_secs(3_600));
    let timer = shop.system.get::<timers::with::Timer>("t");
    let error = timer.tick().await.unwrap_err();
    assert!(matches!(error, CallError::NotAccepted { state: "Idle", .. }), "{error:?}");
}

#[tokio::test]
async fn a_deadline_without_a_handler_ends_with_its_visit() {
    let shop = Shop::new();
    shop.system.get::<timers::with::Timer>("t").start().await.unwrap();
    let shop = shop.restarted().await;
    shop.clock.advance(Duration::from_secs(1_800));
    let timer = shop.system.get::<timers::without::Timer>("t");
    timer.stop().await.unwrap();
    timer.start().await.unwrap();
    timer.tick().await.unwrap();
    shop.saved(2).await;
    let shop = shop.restarted().await;
    // The time of the first visit is over, and that of the second is not.
    shop.clock.advance(Duration::from_secs(1_801));
    shop.system.get::<timers::with::Timer>("t").tick().await.unwrap();
    assert_eq!(shop.system.stats().events_replayed, 0);
}

/// Can be forgotten, and lets its events go.
mod secret {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
    pub struct Diary {
        pages: Vec<String>,
    }

    #[aggregate(snapshot(every = 5, keep = 1), retain = since_snapshot, forgettable)]
    impl Diary {
        #[event]
        fn written(&mut self, page: String) {
            self.pages.push(page);
        }

        #[command]
        fn write(&self, page: String) -> Step {
            applying(DiaryEvent::Written { page })
        }

        #[query]
        fn pages(&self) -> usize {
            self.pages.len()
        }
    }
}

#[tokio::test]
async fn snapshots_beside_a_journal_are_encrypted_as_their_streams_are_and_go_with_them() {
    let directory = tempfile::tempdir().unwrap();
    let system = System::open(directory.path()).await.unwrap();
    for page in 0..12 {
        system.get::<secret::Diary>("mata hari").write(format!("what nobody may read {page}")).await.unwrap();
    }
    system.shutdown().await.unwrap();
    let stats = system.stats();
    assert_eq!((stats.snapshots_saved, stats.records_deleted), (2, 10));
    drop(system);
    for needle in ["what nobody may read", "mata hari"] {
        assert!(!is_anywhere(directory.path(), needle.as_bytes()), "{needle} stands in a file");
    }
    let system = System::open(directory.path()).await.unwrap();
    assert_eq!(system.get::<secret::Diary>("mata hari").pages().await.unwrap(), 12);
    assert_eq!((system.stats().events_replayed, system.stats().snapshots_unusable), (2, 0));
    assert_eq!(system.forget::<secret::Diary>("mata hari").await.unwrap().snapshots, 1);
    let error = system.get::<secret::Diary>("mata hari").pages().await.unwrap_err();
    assert!(matches!(error, CallError::Deleted { .. }), "{error:?}");
    system.shutdown().await.unwrap();
}

/// Whether some bytes stand in any file below a directory.
fn is_anywhere(directory: &std::path::Path, needle: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            return is_anywhere(&entry.path(), needle);
        }
        std::fs::read(entry.path()).unwrap().windows(needle.len()).any(|window| window == needle)
    })
}

#[tokio::test]
async fn a_snapshot_of_another_journal_is_left_alone() {
    let shop = Shop::new();
    shop.count("a", 20).await;
    let shop = shop.restarted().await;
    assert_eq!(shop.floor(Tally::NAME, "a").await, 10);
    // Somebody has given the store to the wrong journal, in which all snapshots are ahead.
    let stranger = builder(&shop.shelf, &shop.clock).start(MemoryJournal::new()).unwrap();
    assert_eq!(stranger.get::<Tally>("a").total().await.unwrap(), 0);
    stranger.shutdown().await.unwrap();
    assert_eq!(shop.tally("a").total().await.unwrap(), 20);
    assert_eq!(shop.seqs("a"), [20, 10]);
}

#[tokio::test]
async fn records_that_are_deleted_while_the_entity_is_loaded_are_not_missed() {
    let shop = Shop::with(Shelf::new(), |builder| builder.shards(1).residents_max(1));
    let label = shop.system.get::<Label>("l");
    label.change("a").await.unwrap();
    label.change("b").await.unwrap();
    until("records are deleted", || shop.system.stats().records_deleted == 2).await;
    // A snapshot is on its way when the entity leaves memory, and is loaded from an older one.
    shop.shelf.hold();
    label.change("c").await.unwrap();
    label.change("d").await.unwrap();
    until("the save waits", || shop.shelf.waiting() == 1).await;
    shop.tally("other").total().await.unwrap();
    shop.shelf.next_load_waits.store(true, Ordering::SeqCst);
    let text = tokio::spawn(label.text());
    until("a load waits", || !shop.shelf.next_load_waits.load(Ordering::SeqCst)).await;
    shop.shelf.release();
    until("more records are deleted", || shop.system.stats().records_deleted == 4).await;
    shop.shelf.loads_held.send_replace(false);
    assert_eq!(text.await.unwrap().unwrap(), "d");
}

#[tokio::test]
async fn a_store_that_panics_is_done_without() {
    let shop = Shop::new();
    shop.count("a", 5).await;
    let shop = shop.restarted().await;
    shop.shelf.panics.store(true, Ordering::SeqCst);
    assert_eq!(shop.tally("a").total().await.unwrap(), 5);
}
