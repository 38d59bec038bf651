//! Where records are deleted: what may be begun with, what may be deleted, and what is told.

use std::sync::atomic::Ordering;

use annals::snapshot::{Criteria, SnapshotStore as _, StoredSnapshot};
use annals::{Aggregate as _, CallError, Offset, ReadMark, ReplayError, SeqNr};

use super::{Label, Shelf, Shop, Tally, tally};
use crate::until;

#[tokio::test]
async fn records_that_are_deleted_while_a_replay_begins_are_not_missed() {
    for stepping in [false, true] {
        let shop = Shop::new();
        let label = shop.system.get::<Label>("l");
        label.change("a").await.unwrap();
        label.change("b").await.unwrap();
        until("records are deleted", || shop.system.stats().records_deleted == 2).await;
        shop.shelf.hold();
        label.change("c").await.unwrap();
        label.change("d").await.unwrap();
        until("the save waits", || shop.shelf.waiting() == 1).await;
        label.change("e").await.unwrap();
        shop.shelf.next_load_waits.store(true, Ordering::SeqCst);
        let replay = shop.system.replay::<Label>("l");
        let told = tokio::spawn(async move {
            if stepping {
                let mut steps = replay.steps();
                let step = steps.next().await.unwrap().unwrap();
                return (step.seq_nr, step.data().text.clone());
            }
            let past = replay.await.unwrap();
            (past.seq_nr(), past.into_data().text)
        });
        until("a load waits", || !shop.shelf.next_load_waits.load(Ordering::SeqCst)).await;
        shop.shelf.release();
        until("more records are deleted", || shop.system.stats().records_deleted == 4).await;
        shop.shelf.loads_held.send_replace(false);
        assert_eq!(told.await.unwrap(), (SeqNr(5), "e".to_owned()), "stepping: {stepping}");
    }
}

#[tokio::test]
async fn a_snapshot_that_is_ahead_of_the_journal_stays_where_nothing_else_stands_for_deleted_records() {
    let shop = Shop::new();
    shop.count("a", 25).await;
    let shop = shop.restarted().await;
    let sound = shop.shelf.kept.load(&tally("a"), Criteria::LATEST).await.unwrap().unwrap();
    for seq_nr in [10, 20] {
        shop.shelf.damage(&tally("a"), seq_nr);
    }
    for seq_nr in [28, 30] {
        shop.shelf.kept.save(&tally("a"), StoredSnapshot { seq_nr: SeqNr(seq_nr), ..sound.clone() }).await.unwrap();
    }
    let error = shop.tally("a").total().await.unwrap_err();
    let CallError::Quarantined { reason, retry_at, .. } = error else { panic!("{error:?}") };
    for seq_nr in [28, 30] {
        let told = format!("the one at {seq_nr}: it is ahead of the journal, which ends at 25");
        assert!(reason.contains(&told), "{reason}");
    }
    assert_eq!(shop.seqs("a"), [30, 28, 20, 10]);
    // Somebody has put one back.
    shop.shelf.kept.save(&tally("a"), sound).await.unwrap();
    shop.clock.set(retry_at);
    assert_eq!(shop.tally("a").total().await.unwrap(), 25);
    assert_eq!(shop.seqs("a"), [20, 10]);
}

#[tokio::test]
async fn a_replay_deletes_no_snapshot() {
    let shop = Shop::new();
    shop.count("a", 25).await;
    let shop = shop.restarted().await;
    let newest = shop.shelf.kept.load(&tally("a"), Criteria::LATEST).await.unwrap().unwrap();
    shop.shelf.kept.save(&tally("a"), StoredSnapshot { seq_nr: SeqNr(30), ..newest }).await.unwrap();
    let replay = || shop.system.replay::<Tally>("a");
    assert_eq!(replay().await.unwrap().data().total, 25);
    assert!(replay().to_seq(SeqNr(3)).await.is_err());
    assert!(replay().from_snapshots(Criteria::LATEST).steps().next().await.unwrap().is_some());
    assert!(replay().steps().next().await.unwrap().is_some());
    assert_eq!(shop.seqs("a"), [30, 20, 10]);
    assert_eq!(shop.shelf.log().iter().filter(|line| line.starts_with("delete")).count(), 0);
    // Who loads the entity does.
    assert_eq!(shop.tally("a").total().await.unwrap(), 25);
    assert_eq!(shop.seqs("a"), [20, 10]);
}

#[tokio::test]
async fn a_snapshot_below_the_floor_is_not_begun_with() {
    let shop = Shop::new();
    shop.count("a", 5).await;
    shop.tally("a").keep().await.unwrap();
    shop.saved(1).await;
    let early = shop.shelf.kept.load(&tally("a"), Criteria::LATEST).await.unwrap().unwrap();
    shop.count("a", 20).await;
    let shop = shop.restarted().await;
    assert_eq!((shop.seqs("a"), shop.floor(Tally::NAME, "a").await), (vec![25, 15], 15));
    shop.shelf.kept.save(&tally("a"), early).await.unwrap();
    let replay = || shop.system.replay::<Tally>("a");
    assert_eq!(replay().steps().next().await.unwrap().unwrap().seq_nr, SeqNr(16));
    let error = replay().to_seq(SeqNr(6)).await.unwrap_err();
    assert_eq!(error, ReplayError::Deleted { id: tally("a"), floor: SeqNr(15), from: Some(SeqNr(15)) });
    for seq_nr in [15, 25] {
        shop.shelf.damage(&tally("a"), seq_nr);
    }
    let error = shop.tally("a").total().await.unwrap_err();
    let CallError::Quarantined { reason, .. } = error else { panic!("{error:?}") };
    assert!(reason.contains("the one at 5: the records behind it are deleted up to 15"), "{reason}");
}

#[tokio::test]
async fn a_replay_tells_no_deleted_record_of_a_run_that_is_there() {
    let mark = ReadMark::new("billing", Offset(4));
    let shop = Shop::with(Shelf::new(), |builder| builder.reader(&mark));
    shop.shelf.hold();
    shop.tally("a").count_often(10).await.unwrap();
    shop.tally("a").count_often(10).await.unwrap();
    until("the save waits", || shop.shelf.waiting() == 1).await;
    // It begins before the first record, and comes to read it when it is deleted, and others of its run are not.
    shop.shelf.next_load_waits.store(true, Ordering::SeqCst);
    let mut steps = shop.system.replay::<Tally>("a").from_snapshots(Criteria::LATEST.to_seq(SeqNr(0))).steps();
    let told = tokio::spawn(async move { steps.next().await.map(|step| step.map(|step| step.seq_nr)) });
    until("a load waits", || !shop.shelf.next_load_waits.load(Ordering::SeqCst)).await;
    shop.shelf.release();
    until("records are deleted", || shop.system.stats().records_deleted == 4).await;
    shop.shelf.loads_held.send_replace(false);
    let deleted = ReplayError::Deleted { id: tally("a"), floor: SeqNr(4), from: Some(SeqNr(10)) };
    assert_eq!(told.await.unwrap(), Err(deleted));
}
