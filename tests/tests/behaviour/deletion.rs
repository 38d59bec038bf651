//! Deleting entities: in order with their calls, told when it is durable, and for ever.

use std::sync::Arc;
use std::time::Duration;

use annals::journal::{MemoryJournal, ReadError, Why};
use annals::testing::{ManualClock, UnknownRun};
use annals::{
    CallError, DeleteError, Key, NotStored, Offset, PersistenceId, ReadMark, SeqNr, System, Timestamp, Unknown,
};
use annals_tests::{Account, Lease, Mood};

use crate::quarantine::{Lamp, written_tomorrow};
use crate::shelf::{Shelf, Tally};
use crate::world::{World, stored, yield_often};
use crate::{restarted, system, until};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Nothing takes so long but what hangs.
const LONG: Duration = Duration::from_secs(60);

/// Says that a call has met the end of the entity.
#[track_caller]
fn assert_deleted<R: std::fmt::Debug, E: std::fmt::Debug>(answer: Result<R, CallError<E>>, ended: u64) {
    match answer {
        Err(CallError::Deleted { seq_nr, .. }) => assert_eq!(seq_nr, SeqNr(ended)),
        answer => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn a_deleted_entity_answers_every_call_with_that_also_after_a_restart() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit_all(vec![1, 2, 3]).await.unwrap();
    let deleted = system.delete::<Account>("alice").await.unwrap();
    assert_eq!((deleted.seq_nr, deleted.id), (SeqNr(4), PersistenceId::new("Account", "alice")));
    assert_deleted(alice.deposit(1).await, 4);
    assert_deleted(alice.balance().await, 4);
    let told = alice.balance().await.unwrap_err().to_string();
    assert_eq!(told, r#"Account "alice": deleted; its last record is 4"#);
    let left = stored(&journal, "alice").await;
    assert!(left.len() == 1 && left[0].starts_with("4 ") && left[0].ends_with("Tombstone"), "{left:?}");
    system.shutdown().await.unwrap();

    // With one place in each lane: a call gives it back, or the next one waits for ever.
    let system = System::builder().shards(1).mailbox_max(8).start(journal.reopen()).unwrap();
    let alice = system.get::<Account>("alice");
    assert_deleted(alice.deposit(1).await, 4);
    assert_deleted(alice.balance().within(LONG).await, 4);
    assert_eq!(system.delete::<Account>("alice").await.unwrap().seq_nr, SeqNr(4), "again is harmless");
    assert_eq!(system.get::<Account>("bob").deposit(1).await.unwrap(), 1, "others go on");
    assert_eq!(stored(&journal, "alice").await.len(), 1);
}

#[tokio::test]
async fn a_deletion_keeps_its_place_among_the_calls_and_nobody_hears_of_it_early() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    journal.faults().hold();
    let first = tokio::spawn(alice.deposit(10));
    until("the first is with the journal", || journal.faults().held() == 1).await;
    let second = tokio::spawn(alice.deposit(100));
    let delete = tokio::spawn({
        let system = system.clone();
        async move { system.delete::<Account>("alice").await }
    });
    until("the deletion is handled", || system.stats().commands == 4).await;
    let behind = tokio::spawn(alice.deposit(1000));
    let query = tokio::spawn(alice.balance());
    let again = tokio::spawn({
        let system = system.clone();
        async move { system.delete::<Account>("alice").await }
    });
    until("all are handled", || system.stats().commands == 7).await;
    yield_often().await;
    assert!(!delete.is_finished() && !behind.is_finished(), "a deletion was told that could still be lost");
    assert!(!query.is_finished() && !again.is_finished(), "a deletion was told that could still be lost");

    journal.faults().release();
    assert_eq!((first.await.unwrap().unwrap(), second.await.unwrap().unwrap()), (11, 111));
    assert_eq!(delete.await.unwrap().unwrap().seq_nr, SeqNr(4));
    assert_deleted(behind.await.unwrap(), 4);
    assert_deleted(query.await.unwrap(), 4);
    assert_eq!(again.await.unwrap().unwrap().seq_nr, SeqNr(4));
}

#[tokio::test]
async fn a_deletion_behind_a_write_that_failed_is_not_stored_either() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    journal.faults().hold();
    journal.faults().refuse_next(Why::Failed("for once".into()));
    let lost = tokio::spawn(alice.deposit(10));
    until("it is with the journal", || journal.faults().held() == 1).await;
    let delete = tokio::spawn({
        let system = system.clone();
        async move { system.delete::<Account>("alice").await }
    });
    until("both are handled", || system.stats().commands == 3).await;
    let query = tokio::spawn(alice.balance());
    until("all are handled", || system.stats().commands == 4).await;
    journal.faults().release();
    lost.await.unwrap().unwrap_err();
    let error = delete.await.unwrap().unwrap_err();
    assert!(
        matches!(error, DeleteError::Call(CallError::NotStored { why: NotStored::EarlierWriteFailed, .. })),
        "{error:?}"
    );
    let error = query.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::NotStored { why: NotStored::EarlierWriteFailed, .. }), "{error:?}");
    assert_eq!(alice.balance().await.unwrap(), 1, "it is there as before");
    assert_eq!(system.delete::<Account>("alice").await.unwrap().seq_nr, SeqNr(2));
}

#[tokio::test]
async fn an_unknown_end_is_told_as_such_to_all_who_wanted_it() {
    for unknown in [UnknownRun::Stored, UnknownRun::Lost] {
        let (system, journal) = system();
        let alice = system.get::<Account>("alice");
        alice.deposit(1).await.unwrap();
        journal.faults().hold();
        journal.faults().fail_next(unknown);
        let delete = || {
            let system = system.clone();
            tokio::spawn(async move { system.delete::<Account>("alice").await })
        };
        let first = delete();
        until("it is with the journal", || journal.faults().held() == 1).await;
        let (second, behind) = (delete(), tokio::spawn(alice.deposit(1)));
        until("all are handled", || system.stats().commands == 4).await;
        journal.faults().release();
        for deletion in [first, second] {
            let error = deletion.await.unwrap().unwrap_err();
            let told = matches!(error, DeleteError::Call(CallError::Unknown { why: Unknown::Journal { .. }, .. }));
            assert!(told, "{error:?}");
        }
        let error = behind.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::NotStored { why: NotStored::EarlierWriteFailed, .. }), "{error:?}");

        let system = restarted(&journal);
        let alice = system.get::<Account>("alice");
        match unknown {
            UnknownRun::Stored => assert_deleted(alice.balance().await, 2),
            UnknownRun::Lost => assert_eq!(alice.balance().await.unwrap(), 1),
        }
        assert_eq!(system.delete::<Account>("alice").await.unwrap().seq_nr, SeqNr(2));
    }
}

#[tokio::test]
async fn an_end_that_the_journal_has_when_the_time_of_a_shutdown_is_over_is_unknown_to_all_who_wanted_it() {
    let journal = MemoryJournal::new();
    let builder = System::builder().shards(1).shutdown_within(Duration::from_millis(100));
    let system = builder.start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    journal.faults().hold();
    let delete = || {
        let system = system.clone();
        tokio::spawn(async move { system.delete::<Account>("alice").await })
    };
    let first = delete();
    until("it is with the journal", || journal.faults().held() == 1).await;
    let (second, behind) = (delete(), tokio::spawn(alice.deposit(1)));
    until("all are handled", || system.stats().commands == 4).await;
    let (shutdown, ()) = tokio::join!(system.shutdown(), async {
        until("all are told", || first.is_finished() && second.is_finished() && behind.is_finished()).await;
        journal.faults().release();
    });
    assert!(shutdown.is_err());
    for deletion in [first, second] {
        let error = deletion.await.unwrap().unwrap_err();
        assert!(matches!(error, DeleteError::Call(CallError::Unknown { why: Unknown::Dropped, .. })), "{error:?}");
    }
    let error = behind.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Stopped { .. }), "{error:?}");
}

#[tokio::test]
async fn what_never_was_can_not_be_deleted_and_nothing_is_written() {
    let (system, journal) = system();
    let error = system.delete::<Account>("nobody").await.unwrap_err();
    assert_eq!(error, DeleteError::NotFound { id: PersistenceId::new("Account", "nobody") });
    assert_eq!(journal.faults().appended().runs, 0);
    let nobody = system.get::<Account>("nobody");
    nobody.balance().await.unwrap();
    assert!(matches!(system.delete::<Account>("nobody").await, Err(DeleteError::NotFound { .. })));
    assert_eq!(nobody.deposit(1).await.unwrap(), 1, "it can still begin");
    let error = system.delete::<Account>("").await.unwrap_err();
    assert!(matches!(error, DeleteError::Call(CallError::NotStored { why: NotStored::InvalidId(_), .. })), "{error:?}");
}

#[tokio::test]
async fn an_entity_is_deleted_without_being_loaded() {
    let (system, journal) = system();
    system.get::<Account>("alice").deposit_all(vec![1; 100]).await.unwrap();
    system.shutdown().await.unwrap();
    let system = restarted(&journal);
    assert_eq!(system.delete::<Account>("alice").await.unwrap().seq_nr, SeqNr(101));
    assert_eq!((system.stats().events_replayed, system.stats().recoveries), (0, 0));
    assert_deleted(system.get::<Account>("alice").balance().await, 101);
}

#[tokio::test]
async fn what_a_reader_has_still_to_read_is_not_deleted() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    alice.deposit(2).await.unwrap();
    let billing = ReadMark::new("billing", Offset(1));
    system.register_reader(&billing).unwrap();
    let still_read = DeleteError::StillRead {
        id: PersistenceId::new("Account", "alice"),
        reader: "billing".into(),
        offset: Offset(1),
    };
    assert_eq!(system.delete::<Account>("alice").await, Err(still_read.clone()));
    assert_eq!(
        still_read.to_string(),
        r#"Account "alice": reader `billing` has still to read it: it has read up to offset 1"#
    );
    assert_eq!(alice.deposit(3).await.unwrap(), 6, "nothing was changed");
    billing.move_to(Offset(3));
    assert_eq!(system.delete::<Account>("alice").await.unwrap().seq_nr, SeqNr(4));
    // Its end is left to be read, and is no reason not to delete it again.
    assert_eq!(system.delete::<Account>("alice").await.unwrap().seq_nr, SeqNr(4));

    system.get::<Account>("bob").deposit(1).await.unwrap();
    system.shutdown().await.unwrap();
    let builder = System::builder().reader(&ReadMark::new("billing", Offset(4)));
    let system = builder.start(journal.reopen()).unwrap();
    let error = system.delete::<Account>("bob").await.unwrap_err();
    assert!(matches!(error, DeleteError::StillRead { .. }), "{error:?}");
    assert_eq!(system.get::<Account>("bob").balance().await.unwrap(), 1, "it is loaded for the next call");
    assert!(system.unregister_reader("billing"));
    system.delete::<Account>("bob").await.unwrap();
}

#[tokio::test]
async fn a_deletion_waits_for_the_writes_before_it_and_then_for_their_readers() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    let billing = ReadMark::new("billing", Offset(1));
    system.register_reader(&billing).unwrap();
    journal.faults().hold();
    let deposit = tokio::spawn(alice.deposit(2));
    until("it is with the journal", || journal.faults().held() == 1).await;
    let delete = tokio::spawn({
        let system = system.clone();
        async move { system.delete::<Account>("alice").await }
    });
    until("the deletion is handled", || system.stats().commands == 3).await;
    journal.faults().release();
    deposit.await.unwrap().unwrap();
    let error = delete.await.unwrap().unwrap_err();
    assert!(matches!(error, DeleteError::StillRead { offset: Offset(1), .. }), "{error:?}");
    assert_eq!(alice.balance().await.unwrap(), 3);
}

#[tokio::test]
async fn a_stream_of_transitions_holds_back_its_own_machine_while_it_lives() {
    let world = World::new();
    let mut transitions = world.system.transitions::<Lease>();
    world.lease("car").take().await.unwrap();
    world.lock("front").lock().await.unwrap();
    let error = world.system.delete::<Lease>("car").await.unwrap_err();
    let DeleteError::StillRead { reader, .. } = error else { panic!("{error:?}") };
    assert_eq!(&*reader, "transitions of Lease");
    world.system.delete::<annals_tests::Lock>("front").await.unwrap();
    transitions.next().await.unwrap().unwrap();
    world.system.delete::<Lease>("car").await.unwrap();
    world.lease("bike").take().await.unwrap();
    let again = transitions.after(Offset(0));
    world.system.delete::<Lease>("bike").await.unwrap_err();
    drop(again);
    world.system.delete::<Lease>("bike").await.unwrap();
}

#[tokio::test]
async fn an_entity_that_can_not_be_loaded_can_be_deleted() {
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
    let journal = written_tomorrow().await;
    let system = System::builder().clock(clock).start(journal.clone()).unwrap();
    let hall = system.get::<Lamp>("hall");
    let before = hall.count().await.unwrap_err();
    let CallError::Quarantined { retry_at, .. } = before else { panic!("{before:?}") };
    // One that is refused leaves it as it was.
    system.register_reader(&ReadMark::new("billing", Offset(0))).unwrap();
    assert!(matches!(system.delete::<Lamp>("hall").await, Err(DeleteError::StillRead { .. })));
    let error = hall.switch().await.unwrap_err();
    assert!(matches!(error, CallError::Quarantined { retry_at: at, .. } if at == retry_at), "{error:?}");
    assert!(system.unregister_reader("billing"));
    assert_eq!(system.delete::<Lamp>("hall").await.unwrap().seq_nr, SeqNr(3));
    assert_deleted(hall.count().await, 3);
    // The same with the deletion queued behind a call that finds out.
    let attic = system.get::<Lamp>("attic");
    let (query, deleted, behind) = tokio::join!(attic.count(), system.delete::<Lamp>("attic"), attic.count());
    assert!(matches!(query, Err(CallError::Quarantined { .. })), "{query:?}");
    assert_eq!(deleted.unwrap().seq_nr, SeqNr(2));
    assert_deleted(behind, 2);
    assert_eq!(system.get::<Lamp>("cellar").count().await.unwrap(), 1);
    // The clock was behind: no time runs backwards in the journal.
    let times: Vec<_> = stored(&journal, "hall").await.iter().map(|line| line[2..22].to_owned()).collect();
    assert!(*times[0] > *"2000", "{times:?}");
}

#[tokio::test]
async fn a_stream_that_can_not_be_opened_can_not_be_deleted_for_now() {
    let (system, journal) = system();
    system.get::<Account>("alice").deposit(1).await.unwrap();
    system.shutdown().await.unwrap();
    let journal = journal.reopen();
    // With one place in each lane: a call gives it back, or the next one waits for ever.
    let system = System::builder().shards(1).mailbox_max(8).start(journal.clone()).unwrap();
    journal.faults().fail_reads(ReadError::Engine { what: "a row".to_owned(), error: Arc::from("the disk is gone") });
    let error = system.delete::<Account>("alice").await.unwrap_err();
    assert!(matches!(error, DeleteError::Call(CallError::Quarantined { .. })), "{error:?}");
    let error = system.get::<Account>("alice").balance().within(LONG).await.unwrap_err();
    assert!(matches!(error, CallError::Quarantined { .. }), "{error:?}");
    system.register_reader(&ReadMark::new("billing", Offset(9))).unwrap();
    let error = system.delete::<Account>("alice").await.unwrap_err();
    assert!(matches!(error, DeleteError::Unreadable { .. }), "{error:?}");
    journal.faults().heal_reads();
    assert_eq!(system.delete::<Account>("alice").await.unwrap().seq_nr, SeqNr(2), "it needs no pause");
}

#[tokio::test]
async fn the_deadline_of_a_deleted_entity_never_comes() {
    let world = World::new();
    for id in ["car", "moving", "furious", "asleep"] {
        world.lease(id).take().await.unwrap();
    }
    world.lease("furious").feel(Mood::Furious).await.unwrap();
    world.lease("moving").move_out().await.unwrap();
    world.system.delete::<Lease>("car").await.unwrap();
    world.system.delete::<Lease>("moving").await.unwrap();
    world.clock.advance(61 * DAY);
    until("it is furious", || annals_tests::furies() > 0).await;
    world.system.delete::<Lease>("furious").await.unwrap();
    world.clock.advance(DAY);
    world.quiet().await;
    // Nobody has loaded this one: its alarm comes, and finds that it has ended.
    let world = world.restarted().await;
    for id in ["car", "moving", "furious"] {
        assert_eq!(world.stored(id).await.len(), 1, "{id}");
    }
    world.lease("late").take().await.unwrap();
    let world = world.restarted().await;
    world.system.delete::<Lease>("late").await.unwrap();
    assert_eq!((world.system.stats().recoveries, world.stored("late").await.len()), (0, 1));
    world.clock.advance(61 * DAY);
    world.quiet().await;
    assert_eq!(world.stored("late").await.len(), 1);
    let world = world.restarted().await;
    world.clock.advance(DAY);
    world.quiet().await;
    for id in ["car", "moving", "furious", "late"] {
        assert_eq!(world.stored(id).await.len(), 1, "{id}");
        assert!(matches!(world.lease(id).state().await, Err(CallError::Deleted { .. })));
    }
    assert!(world.stored("asleep").await.len() > 1, "the deadlines of others come");
}

#[tokio::test]
async fn a_deadline_on_its_way_is_lost_with_the_entity_and_comes_if_the_end_is_not_stored() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    world.journal.faults().hold();
    world.journal.faults().refuse_next(Why::Failed("for once".into()));
    let delete = tokio::spawn({
        let system = world.system.clone();
        async move { system.delete::<Lease>("car").await }
    });
    until("it is with the journal", || world.journal.faults().held() == 1).await;
    world.clock.advance(60 * DAY);
    until("the alarm was handled", || world.system.stats().commands == 3).await;
    world.journal.faults().release();
    let error = delete.await.unwrap().unwrap_err();
    assert!(matches!(error, DeleteError::Call(CallError::NotStored { .. })), "{error:?}");
    world.clock.advance(DAY);
    world.until_stored("car", 2).await;
}

#[tokio::test]
async fn keys_of_a_deleted_entity_are_gone_with_it() {
    let (system, _) = system();
    let alice = system.get::<Account>("alice");
    let key = Key::unique("first");
    system.get::<Tally>("t").count(1).key(key).await.unwrap();
    system.delete::<Tally>("t").await.unwrap();
    assert_deleted(system.get::<Tally>("t").count(1).key(key).await, 2);
    alice.deposit(1).await.unwrap();
}

#[tokio::test]
async fn ended_entities_leave_memory_like_others() {
    let journal = MemoryJournal::new();
    let system = System::builder().shards(1).residents_max(1).start(journal).unwrap();
    for number in 0..50 {
        let id = format!("{number}");
        system.get::<Account>(&id).deposit(1).await.unwrap();
        system.delete::<Account>(&id).await.unwrap();
    }
    assert!(system.stats().residents <= 2, "{:?}", system.stats());
    for number in 0..50 {
        assert_deleted(system.get::<Account>(format!("{number}")).balance().await, 2);
    }
}

#[tokio::test]
async fn snapshots_go_with_the_entity_and_if_they_stay_asking_again_deletes_them() {
    let shelf = Shelf::new();
    let system = System::builder().snapshots(shelf.clone()).start(MemoryJournal::new()).unwrap();
    for id in ["one", "two"] {
        for _ in 0..4 {
            system.get::<Tally>(id).count(1).await.unwrap();
        }
        until("they are saved", || shelf.seqs(&PersistenceId::new("Tally", id)) == [4, 2]).await;
    }
    assert_eq!(system.delete::<Tally>("one").await.unwrap().snapshots, 2);
    assert_eq!(
        (shelf.seqs(&PersistenceId::new("Tally", "one")).len(), shelf.seqs(&PersistenceId::new("Tally", "two")).len()),
        (0, 2)
    );
    shelf.fail(true);
    let error = system.delete::<Tally>("two").await.unwrap_err();
    assert!(matches!(error, DeleteError::SnapshotsLeft { seq_nr: SeqNr(5), .. }), "{error:?}");
    assert_deleted(system.get::<Tally>("two").count(1).await, 5);
    shelf.fail(false);
    let deleted = system.delete::<Tally>("two").await.unwrap();
    assert_eq!((deleted.seq_nr, deleted.snapshots), (SeqNr(5), 2));
    assert_eq!(shelf.seqs(&PersistenceId::new("Tally", "two")).len(), 0);
}

#[tokio::test]
async fn on_a_disk_a_deleted_entity_stays_deleted() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let system = System::open(directory.path()).await.unwrap();
        match system.get::<Account>("alice").deposit_all(vec![1; 500]).await {
            Ok(balance) => assert_eq!(balance, 500),
            answer => assert_deleted(answer, 501),
        }
        assert_eq!(system.delete::<Account>("alice").await.unwrap().seq_nr, SeqNr(501));
        system.shutdown().await.unwrap();
        assert!(matches!(system.delete::<Account>("alice").await, Err(DeleteError::Call(CallError::Stopped { .. }))));
    }
}
