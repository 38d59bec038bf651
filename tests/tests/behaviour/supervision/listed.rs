//! Which entities are in quarantine, and another attempt when somebody asks for it.

use std::sync::Arc;
use std::time::Duration;

use annals::journal::{MemoryJournal, ReadError};
use annals::{CallError, Clock as _, DeleteError, Offset, PersistenceId, Retried, SeqNr, System, Trouble};
use annals_tests::{Account, Diary, Lease};

use super::{epoch, others_go_on, quarantined, started, tight};
use crate::quarantine::{Lamp, written_tomorrow};

fn gone() -> ReadError {
    ReadError::Engine { what: "a row".to_owned(), error: "the disk is gone".into() }
}

fn lamp(id: &str) -> PersistenceId {
    PersistenceId::new("Lamp", id)
}

#[tokio::test]
async fn a_quarantine_tells_what_where_since_when_and_until_when() {
    let clock = epoch();
    let system = tight(&clock).start(written_tomorrow().await).unwrap();
    assert_eq!(system.quarantined(), []);
    system.get::<Lamp>("hall").count().await.unwrap_err();
    let first = clock.now();
    clock.advance(Duration::from_secs(10));
    system.get::<Lamp>("hall").count().await.unwrap_err();
    system.get::<Lamp>("attic").count().await.unwrap_err();

    let [attic, hall] = &system.quarantined()[..] else { panic!("{:?}", system.quarantined()) };
    assert_eq!((&hall.id, hall.trouble, hall.seq_nr), (&lamp("hall"), Trouble::Event, SeqNr(2)));
    assert_eq!(hall.event, Some(("dimmed".into(), 1)));
    assert_eq!(hall.offset, Some(Offset(2)));
    assert_eq!((hall.failures, hall.since), (2, first));
    assert!(hall.retry_at > clock.now() && hall.reason.contains("no event is stored as `dimmed`"), "{hall:?}");
    assert_eq!((&attic.id, attic.failures, attic.since), (&lamp("attic"), 1, clock.now()));
    assert_eq!((attic.event.clone(), attic.offset), (Some(("coloured".into(), 2)), Some(Offset(3))));
    assert!(!hall.trouble.may_pass());
    assert_eq!((system.stats().quarantined, system.stats().quarantines), (2, 3));
    others_go_on(&system).await;
}

#[tokio::test]
async fn a_read_that_fails_doesn_t_look_like_a_damaged_stream() {
    let clock = epoch();
    let (system, journal) = started(tight(&clock));
    let alice = system.get::<Account>("alice");
    journal.faults().fail_reads(gone());
    let error = alice.deposit(1).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("can't be read now: can't read a row: the disk is gone; the next attempt is at"), "{told}");
    assert!(!told.contains("quarantined"), "{told}");
    let (trouble, ..) = quarantined(error);
    assert!(trouble == Trouble::Unreadable && trouble.may_pass());

    journal.faults().heal_reads();
    clock.advance(Duration::from_secs(1));
    assert_eq!(alice.deposit(1).await.unwrap(), 1);
    assert_eq!((system.quarantined(), system.stats().quarantined), (vec![], 0));
}

#[tokio::test]
async fn another_attempt_is_made_when_somebody_asks_whatever_the_pause() {
    let clock = epoch();
    let (system, journal) = started(tight(&clock));
    let (alice, id) = (system.get::<Account>("alice"), PersistenceId::new("Account", "alice"));
    alice.deposit(1).await.unwrap();
    assert_eq!(system.retry(&id).await.unwrap(), Retried::NotQuarantined, "it is in memory");
    system.shutdown().await.unwrap();

    let journal = journal.reopen();
    let system = tight(&clock).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    assert_eq!(system.retry(&id).await.unwrap(), Retried::NotQuarantined, "nobody has asked for it");
    assert_eq!(system.stats().recoveries, 0);
    journal.faults().fail_reads(gone());
    alice.balance().await.unwrap_err();
    for failures in 2..10 {
        let Retried::Quarantined(again) = system.retry(&id).await.unwrap() else { panic!("it can't be loaded") };
        assert_eq!((again.failures, &again.id, again.trouble), (failures, &id, Trouble::Unreadable));
        assert_eq!(system.quarantined(), [again]);
    }
    journal.faults().heal_reads();
    let (.., retry_at) = quarantined(alice.balance().await.unwrap_err());
    assert!(retry_at > clock.now(), "a call waits for the pause");
    assert_eq!(system.retry(&id).await.unwrap(), Retried::Loaded);
    assert_eq!(alice.balance().or_overloaded().await.unwrap(), 1);
    assert_eq!((system.quarantined(), system.stats().quarantined), (vec![], 0));
    assert_eq!(system.retry(&id).await.unwrap(), Retried::NotQuarantined);
    others_go_on(&system).await;
}

#[tokio::test]
async fn an_attempt_at_what_can_t_be_there_says_so() {
    let clock = epoch();
    let (system, _) = started(tight(&clock));
    let nobody = PersistenceId::new("Nobody", "alice");
    assert_eq!(system.retry(&nobody).await.unwrap(), Retried::UnknownAggregate);
    let alice = system.get::<Account>("alice");
    let error = system.retry(&PersistenceId::new("Account", "")).await.unwrap_err();
    assert!(matches!(error, CallError::NotStored { .. }), "{error:?}");
    alice.deposit(1).await.unwrap();
    let deleted = system.delete::<Account>("alice").await.unwrap();
    let error = system.retry(&deleted.id).await.unwrap_err();
    assert!(matches!(error, CallError::Deleted { .. }), "{error:?}");
    system.shutdown().await.unwrap();
    let error = system.retry(&PersistenceId::new("Account", "alice")).await.unwrap_err();
    assert!(matches!(error, CallError::Stopped { .. }), "{error:?}");
}

#[tokio::test]
async fn calls_that_come_during_an_attempt_share_its_end() {
    let clock = epoch();
    let journal = written_tomorrow().await;
    let system = System::builder().shards(1).clock(clock.clone()).start(journal).unwrap();
    let hall = system.get::<Lamp>("hall");
    hall.count().await.unwrap_err();
    let id = lamp("hall");
    let (retried, call, again) = tokio::join!(system.retry(&id), hall.count(), system.retry(&id));
    assert!(matches!(retried.unwrap(), Retried::Quarantined(_)));
    quarantined(call.unwrap_err());
    assert!(matches!(again.unwrap(), Retried::Quarantined(_)));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_pauses_and_none_is_longer_than_the_longest() {
    let pauses = |seed| async move {
        let clock = epoch();
        let builder = System::builder().clock(clock.clone()).retry_seed(seed);
        let (system, journal) = started(builder.retry_after(Duration::from_millis(100), Duration::from_secs(2)));
        journal.faults().fail_reads(gone());
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let (.., retry_at) = quarantined(system.get::<Account>("alice").balance().await.unwrap_err());
            pauses.push(retry_at.duration_since(clock.now()).as_millis());
            clock.set(retry_at);
        }
        pauses
    };
    let seven = pauses(7).await;
    assert_eq!(seven, pauses(7).await);
    assert_ne!(seven, pauses(8).await);
    for (attempt, pause) in seven.iter().enumerate() {
        let whole = (100_i128 << attempt).min(2_000);
        assert!((whole * 3 / 4..=whole).contains(pause), "{seven:?}");
    }
}

#[tokio::test]
async fn one_that_left_memory_is_still_listed_and_goes_on_with_its_pauses() {
    let clock = epoch();
    let journal = MemoryJournal::new();
    let builder = tight(&clock).mailbox_max(1024).residents_max(4);
    let system = builder.start(journal.clone()).unwrap();
    journal.faults().fail_reads(gone());
    for _ in 0..3 {
        quarantined(system.get::<Account>("alice").balance().await.unwrap_err());
        clock.advance(Duration::from_secs(300));
    }
    quarantined(system.get::<Account>("alice").balance().await.unwrap_err());
    journal.faults().heal_reads();
    for other in 0..100 {
        system.get::<Account>(format!("{other}")).balance().await.unwrap();
    }
    crate::until("it has left memory", || system.stats().quarantined == 0).await;
    assert_eq!(system.quarantined().len(), 1);

    let before = system.stats();
    let (.., retry_at) = quarantined(system.get::<Account>("alice").balance().await.unwrap_err());
    assert!(retry_at.duration_since(clock.now()).as_secs() > 3, "its fourth pause isn't over");
    assert_eq!(system.stats().quarantines, before.quarantines, "no attempt was made");
    let id = PersistenceId::new("Account", "alice");
    assert_eq!(system.retry(&id).await.unwrap(), Retried::Loaded);
    assert_eq!(system.quarantined(), []);
}

#[tokio::test]
async fn of_very_many_the_newest_are_listed_and_the_bound_of_entities_in_memory_holds() {
    let clock = epoch();
    let journal = MemoryJournal::new();
    let system = System::builder().shards(2).residents_max(100).clock(clock).start(journal.clone()).unwrap();
    journal.faults().fail_reads(gone());
    for number in 0..3_000 {
        system.get::<Account>(format!("{number}")).balance().await.unwrap_err();
    }
    assert_eq!(system.stats().quarantines, 3_000);
    let listed = system.quarantined();
    assert_eq!(listed.len(), 1_024);
    for (listed, number) in listed.iter().zip((0..3_000).rev()) {
        assert_eq!(listed.id, PersistenceId::new("Account", format!("{number}")));
    }
    let stats = system.stats();
    assert!(stats.residents <= 110 && stats.quarantined <= stats.residents, "{stats:?}");
}

#[tokio::test]
async fn what_waits_for_the_pause_goes_on_when_an_attempt_succeeds() {
    let (clock, diary) = (epoch(), Arc::new(Diary::default()));
    let builder = tight(&clock).provide(diary.clone()).register::<Lease>().idle_after(Duration::from_millis(100));
    let (system, journal) = started(builder);
    let car = system.get::<Lease>("car");
    car.take_for(Duration::from_secs(1)).await.unwrap();
    crate::until("it has left memory", || system.stats().passivations == 1).await;
    journal.faults().fail_reads(gone());
    for _ in 0..5 {
        let (.., retry_at) = quarantined(car.state().await.unwrap_err());
        clock.set(retry_at);
    }
    quarantined(car.state().await.unwrap_err());
    journal.faults().heal_reads();
    let ran_out = || diary.lines().contains(&"car ran out".to_owned());
    assert!(!ran_out(), "its time is over, and it can't be loaded");
    assert_eq!(system.retry(&PersistenceId::new("Lease", "car")).await.unwrap(), Retried::Loaded);
    crate::until("its deadline is handled", ran_out).await;
}

#[tokio::test]
async fn an_attempt_behind_a_deletion_that_is_refused_is_made_all_the_same() {
    let clock = epoch();
    let (system, journal) = started(tight(&clock).mailbox_max(64));
    let id = PersistenceId::new("Account", "alice");
    journal.faults().fail_reads(gone());
    quarantined(system.get::<Account>("alice").balance().await.unwrap_err());
    journal.faults().heal_reads();
    let (deleted, retried, balance) =
        tokio::join!(system.delete::<Account>("alice"), system.retry(&id), system.get::<Account>("alice").balance());
    assert!(matches!(deleted, Err(DeleteError::NotFound { .. })), "{deleted:?}");
    assert_eq!((retried.unwrap(), balance.unwrap()), (Retried::Loaded, 0));
    assert_eq!((system.quarantined(), system.stats().quarantined), (vec![], 0));
    others_go_on(&system).await;
}

#[tokio::test]
async fn a_deleted_one_is_listed_no_more() {
    let clock = epoch();
    let system = tight(&clock).start(written_tomorrow().await).unwrap();
    system.get::<Lamp>("hall").count().await.unwrap_err();
    system.delete::<Lamp>("hall").await.unwrap();
    assert_eq!((system.quarantined(), system.stats().quarantined), (vec![], 0));
}
