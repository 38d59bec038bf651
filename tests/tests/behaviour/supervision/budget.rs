//! Commands whose folds panic: each one costs a replay, so there is a budget.

use std::time::Duration;

use annals::{CallError, Clock as _, PersistenceId, Retried, Trouble};
use annals_tests::Account;

use super::{epoch, others_go_on, quarantined, started, tight};

#[tokio::test]
async fn a_command_that_breaks_its_entity_again_and_again_uses_up_a_budget() {
    let clock = epoch();
    let (system, _) = started(tight(&clock).fold_panics_max(3));
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    for _ in 0..3 {
        let error = alice.curse().or_overloaded().await.unwrap_err();
        assert!(matches!(error, CallError::Panicked { .. }), "{error:?}");
        assert_eq!(alice.balance().or_overloaded().await.unwrap(), 1, "it is loaded again at once");
    }
    let recoveries = system.stats().recoveries;
    let error = alice.curse().await.unwrap_err();
    assert!(matches!(error, CallError::Panicked { .. }), "{error:?}");
    for _ in 0..100 {
        let error = alice.balance().or_overloaded().await.unwrap_err();
        assert!(error.to_string().contains("left alone for a while"), "{error}");
        let (trouble, _, reason, _) = quarantined(error);
        assert_eq!(trouble, Trouble::Commands);
        assert!(reason.ends_with("the last one is `curse`: cursed"), "{reason}");
    }
    assert_eq!(system.stats().recoveries, recoveries, "nothing was replayed for them");
    let [listed] = &system.quarantined()[..] else { panic!("{:?}", system.quarantined()) };
    assert!(listed.trouble.may_pass() && listed.failures == 1, "{listed:?}");

    others_go_on(&system).await;
    clock.set(listed.retry_at);
    assert_eq!(alice.deposit(1).or_overloaded().await.unwrap(), 2);
    assert_eq!(system.quarantined(), []);
}

#[tokio::test]
async fn the_pauses_grow_while_it_goes_on_and_end_when_somebody_asks() {
    let clock = epoch();
    let (system, _) = started(tight(&clock).fold_panics_max(0));
    let alice = system.get::<Account>("alice");
    let mut pauses = Vec::new();
    for _ in 0..12 {
        alice.curse().await.unwrap_err();
        let (.., retry_at) = quarantined(alice.balance().await.unwrap_err());
        pauses.push(retry_at.duration_since(clock.now()).as_secs());
        clock.set(retry_at);
    }
    assert!(pauses[0] <= 1 && pauses[4] >= 12 && (225..=300).contains(&pauses[11]), "{pauses:?}");
    assert!(system.stats().recoveries <= 13, "one replay for each pause");

    alice.curse().await.unwrap_err();
    let id = PersistenceId::new("Account", "alice");
    assert_eq!(system.retry(&id).await.unwrap(), Retried::Loaded);
    assert_eq!(alice.deposit(1).await.unwrap(), 1);
}

#[tokio::test]
async fn what_breaks_now_and_then_is_never_left_alone() {
    let clock = epoch();
    let (system, _) = started(tight(&clock).fold_panics_max(2));
    let alice = system.get::<Account>("alice");
    for _ in 0..50 {
        alice.curse().await.unwrap_err();
        alice.balance().await.unwrap();
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(system.stats().quarantines, 0);
}

#[tokio::test]
async fn a_failed_write_is_no_broken_fold() {
    let clock = epoch();
    let (system, journal) = started(tight(&clock).fold_panics_max(0));
    let alice = system.get::<Account>("alice");
    for _ in 0..10 {
        journal.faults().refuse_next(annals::journal::Why::QueueFull { bytes: 2, limit: 1 });
        alice.deposit(1).await.unwrap_err();
        assert_eq!(alice.balance().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn an_entity_that_is_left_alone_can_be_deleted() {
    let clock = epoch();
    let (system, _) = started(tight(&clock).fold_panics_max(0));
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    alice.curse().await.unwrap_err();
    quarantined(alice.balance().await.unwrap_err());
    system.delete::<Account>("alice").await.unwrap();
    let error = alice.balance().await.unwrap_err();
    assert!(matches!(error, CallError::Deleted { .. }), "{error:?}");
}

#[tokio::test]
async fn what_was_stored_before_a_broken_fold_stays_and_what_waits_behind_it_is_told() {
    let clock = epoch();
    let (system, journal) = started(tight(&clock).mailbox_max(1024).fold_panics_max(0));
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    journal.faults().hold();
    let before = tokio::spawn(alice.deposit(10));
    crate::until("it is with the journal", || journal.faults().held() == 1).await;
    let cursed = tokio::spawn(alice.curse());
    crate::until("it is handled", || system.stats().commands == 3).await;
    let behind: Vec<_> = (0..20).map(|_| tokio::spawn(alice.deposit(100))).collect();
    tokio::task::yield_now().await;
    journal.faults().release();
    assert_eq!(before.await.unwrap().unwrap(), 11);
    assert!(matches!(cursed.await.unwrap().unwrap_err(), CallError::Panicked { .. }));
    for call in behind {
        let (trouble, ..) = quarantined(call.await.unwrap().unwrap_err());
        assert_eq!(trouble, Trouble::Commands);
    }
    clock.advance(Duration::from_secs(1));
    assert_eq!(alice.balance().await.unwrap(), 11);
}
