//! Calls, and what they end with.

use annals::Never;
use std::time::Duration;

use annals::testing::ManualClock;
use annals::{CallError, EntityId, InvalidId, NotStored, System, Timestamp, Unknown};
use annals_tests::{Account, AccountCommand, Overdrawn};

use crate::{system, until};

#[tokio::test]
async fn a_command_replies_with_its_type() {
    let (system, _) = system();
    let balance: u64 = system.get::<Account>("alice").deposit(100).await.unwrap();
    assert_eq!(balance, 100);
}

#[tokio::test]
async fn a_refusal_has_its_type_and_stores_nothing() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(100).await.unwrap();
    let refused = alice.withdraw(500).await.unwrap_err();
    assert_eq!(refused, CallError::Refused(Overdrawn { missing: 400 }));
    assert_eq!(alice.balance().await.unwrap(), 100);
    assert_eq!(journal.faults().appended().runs, 1);
}

#[tokio::test]
async fn a_command_that_cannot_refuse_needs_no_arm_for_it() {
    let (system, _) = system();
    let answer: Result<u64, CallError<Never>> = system.get::<Account>("alice").deposit(1).await;
    match answer {
        Ok(balance) => assert_eq!(balance, 1),
        Err(
            CallError::NotAccepted { .. }
            | CallError::AlreadyDone { .. }
            | CallError::AnswerUnread { .. }
            | CallError::Overloaded { .. }
            | CallError::NotStored { .. }
            | CallError::Unknown { .. }
            | CallError::Quarantined { .. }
            | CallError::Panicked { .. }
            | CallError::Stopped { .. }
            | CallError::Deleted { .. },
        ) => panic!("nothing is wrong"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_refs_to_one_id_are_one_entity_with_one_order() {
    let (system, _) = system();
    let deposit_often = |system: System| async move {
        let alice = system.get::<Account>("alice");
        let mut balances = Vec::new();
        for _ in 0..500 {
            balances.push(alice.deposit(1).await.unwrap());
        }
        balances
    };
    let (one, two) = (tokio::spawn(deposit_often(system.clone())), tokio::spawn(deposit_often(system.clone())));
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    assert!(one.is_sorted() && two.is_sorted(), "each caller sees its commands in order");
    let mut all: Vec<u64> = one.into_iter().chain(two).collect();
    all.sort_unstable();
    assert_eq!(all, (1..=1000).collect::<Vec<u64>>(), "no balance was seen twice");
}

#[tokio::test]
async fn several_events_of_one_command_are_one_write() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    assert_eq!(alice.deposit_all(vec![1, 2, 3]).await.unwrap(), 6);
    assert_eq!(alice.deposit_all(Vec::new()).await.unwrap(), 6);
    assert_eq!(alice.look_around().await.unwrap().2, 3);
    assert_eq!(journal.faults().appended().runs, 1);
}

#[tokio::test]
async fn a_command_can_be_told_without_waiting_for_its_reply() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    journal.faults().hold();
    alice.deposit(5).tell().await.unwrap();
    journal.faults().release();
    assert_eq!(alice.balance().await.unwrap(), 5);
}

#[tokio::test]
async fn a_command_can_be_sent_as_data() {
    let (system, _) = system();
    let alice = system.get::<Account>("alice");
    alice.send(AccountCommand::Deposit { amount: 5 }).await.unwrap();
    let refused = alice.send(AccountCommand::Withdraw { amount: 6 }).await.unwrap_err();
    assert_eq!(refused, CallError::Refused(annals::Refused));
    assert_eq!(alice.balance().await.unwrap(), 5);
}

#[tokio::test]
async fn an_id_that_names_nothing_is_refused_and_nothing_changes() {
    let (system, journal) = system();
    let long = "x".repeat(EntityId::BYTES_MAX + 1);
    for (id, why) in [("", InvalidId::Empty), (long.as_str(), InvalidId::TooLong { bytes: 513 })] {
        let error = system.get::<Account>(id).deposit(1).await.unwrap_err();
        let CallError::NotStored { why: NotStored::InvalidId(found), .. } = error else { panic!("{error:?}") };
        assert_eq!(found, why);
    }
    assert_eq!(journal.faults().appended().groups, 0);
    let longest = "x".repeat(EntityId::BYTES_MAX);
    assert_eq!(system.get::<Account>(longest).deposit(1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_call_without_an_answer_in_time_is_unknown() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    journal.faults().hold();
    let within = Duration::from_millis(20);
    let error = alice.deposit(5).within(within).await.unwrap_err();
    assert_eq!(error, CallError::Unknown { id: account("alice"), why: Unknown::TimedOut { within } });
    journal.faults().release();
    assert_eq!(alice.balance().await.unwrap(), 5, "it was stored after all");
}

#[tokio::test]
async fn a_full_lane_makes_callers_wait_or_tells_them() {
    let journal = annals::journal::MemoryJournal::new();
    // One place for each of the eight lanes, and one command that may run ahead.
    let system = System::builder().shards(1).mailbox_max(8).run_ahead_max(1).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    journal.faults().hold();
    let first = tokio::spawn(alice.deposit(1));
    until("the first is with the journal", || journal.faults().held() == 1).await;
    let second = tokio::spawn(alice.deposit(1));
    let overloaded = loop {
        match alice.deposit(1).or_overloaded().within(Duration::from_millis(1)).await.unwrap_err() {
            CallError::Unknown { .. } => {}
            error => break error,
        }
    };
    assert_eq!(overloaded, CallError::Overloaded { id: account("alice"), limit: 1 });
    let within = Duration::from_millis(5);
    let waited = alice.deposit(1).within(within).await.unwrap_err();
    assert_eq!(waited, CallError::NotStored { id: account("alice"), why: NotStored::TimedOut { within } });
    journal.faults().release();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_flooded_entity_leaves_the_others_their_room() {
    let journal = annals::journal::MemoryJournal::new();
    let system = System::builder().shards(1).mailbox_max(64).run_ahead_max(4).start(journal.clone()).unwrap();
    let hot = system.get::<Account>("hot");
    journal.faults().hold();
    let mut flood = Vec::new();
    for _ in 0..1000 {
        flood.push(tokio::spawn(hot.deposit(1)));
    }
    until("the flood is with the journal", || journal.faults().held() > 0).await;
    let mut free = 0;
    for number in 0..64 {
        let other = system.get::<Account>(format!("other {number}"));
        match other.balance().within(Duration::from_secs(60)).or_overloaded().await {
            Ok(0) => free += 1,
            Ok(balance) => panic!("a balance from nowhere: {balance}"),
            Err(CallError::Overloaded { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(free >= 40, "seven of eight lanes are free, and {free} of 64 entities had room");
    journal.faults().release();
    for deposit in flood {
        deposit.await.unwrap().unwrap();
    }
    assert_eq!(hot.balance().await.unwrap(), 1000);
}

#[tokio::test]
async fn a_handler_sees_time_id_and_sequence_number() {
    let clock = ManualClock::at(Timestamp::from_second(1_000).unwrap());
    let journal = annals::journal::MemoryJournal::new();
    let system = System::builder().clock(clock.clone()).start(journal).unwrap();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    clock.advance(Duration::from_secs(5));
    let later = Timestamp::from_second(1_005).unwrap();
    assert_eq!(alice.look_around().await.unwrap(), (later, "alice".to_owned(), 1));
}

#[tokio::test]
async fn time_never_runs_backwards_for_an_entity() {
    let clock = ManualClock::at(Timestamp::from_second(1_000).unwrap());
    let journal = annals::journal::MemoryJournal::new();
    let system = System::builder().clock(clock.clone()).start(journal.clone()).unwrap();
    system.get::<Account>("alice").deposit(1).await.unwrap();
    clock.set(Timestamp::from_second(400).unwrap());
    let start = Timestamp::from_second(1_000).unwrap();
    assert_eq!(system.get::<Account>("alice").look_around().await.unwrap().0, start);
    system.shutdown().await.unwrap();
    let system = System::builder().clock(clock).start(journal.reopen()).unwrap();
    assert_eq!(system.get::<Account>("alice").look_around().await.unwrap().0, start, "also after a restart");
}

#[tokio::test]
async fn a_dropped_call_is_handled_if_it_was_sent_and_not_otherwise() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    drop(alice.deposit(1));
    journal.faults().hold();
    let mut sent = Box::pin(alice.deposit(10));
    assert!(futures_poll(&mut sent).await.is_none());
    drop(sent);
    journal.faults().release();
    assert_eq!(alice.balance().await.unwrap(), 10);
}

/// Polls a future once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|task| match std::pin::Pin::new(&mut *future).poll(task) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

fn account(id: &str) -> annals::PersistenceId {
    annals::PersistenceId::new("Account", id)
}
