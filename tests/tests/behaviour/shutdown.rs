//! The end of a system: every caller is told.

use std::time::Duration;

use annals::journal::MemoryJournal;
use annals::{CallError, ShutdownError, StartError, System};
use annals_tests::Account;
use tokio::task::JoinHandle;

use crate::{restarted, system, until};

#[tokio::test]
async fn shutdown_finishes_what_was_accepted() {
    let (system, journal) = system();
    // What is sent is accepted, whether anybody waits for its answer or not.
    let accepted = 300;
    journal.faults().hold();
    for number in 0..accepted {
        system.get::<Account>(format!("{}", number % 100)).deposit(1).tell().await.unwrap();
    }
    let deposits: Vec<_> = (0..10_000_u64)
        .map(|number| tokio::spawn(system.get::<Account>(format!("{}", number % 100)).deposit(1)))
        .collect();
    tokio::task::yield_now().await;
    journal.faults().release();
    system.shutdown().await.unwrap();
    let mut stored = accepted;
    for deposit in deposits {
        match deposit.await.unwrap() {
            Ok(_) => stored += 1,
            Err(CallError::Stopped { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    let (system, mut sum) = (restarted(&journal), 0);
    for number in 0..100 {
        sum += system.get::<Account>(format!("{number}")).balance().await.unwrap();
    }
    assert_eq!(sum, stored, "exactly what was accepted is stored");
}

#[tokio::test]
async fn a_stopped_system_takes_no_calls() {
    let (system, _) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    system.shutdown().await.unwrap();
    let error = alice.deposit(1).await.unwrap_err();
    assert!(matches!(error, CallError::Stopped { .. }), "{error:?}");
    let error = alice.deposit(1).tell().await.unwrap_err();
    assert!(matches!(error, CallError::Stopped { .. }), "{error:?}");
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_whose_time_is_over_tells_every_caller() {
    let journal = MemoryJournal::new();
    let within = Duration::from_millis(100);
    let system = System::builder().shards(1).run_ahead_max(2).shutdown_within(within).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    journal.faults().hold();
    let deposits: Vec<_> = (0..5).map(|_| tokio::spawn(alice.deposit(1))).collect();
    until("some are with the journal", || journal.faults().held() > 0).await;
    until("two are handled", || system.stats().commands == 3).await;
    let (shutdown, ()) = tokio::join!(system.shutdown(), async {
        until("all are told", || deposits.iter().all(JoinHandle::is_finished)).await;
        journal.faults().release();
    });
    assert_eq!(shutdown.unwrap_err(), ShutdownError::TimeOver { within });
    let (mut unknown, mut stopped) = (0, 0);
    for deposit in deposits {
        match deposit.await.unwrap() {
            Err(CallError::Unknown { .. }) => unknown += 1,
            Err(CallError::Stopped { .. }) => stopped += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((unknown, stopped), (2, 3));
}

#[tokio::test]
async fn what_was_not_handed_to_the_journal_when_the_time_is_over_is_certainly_not_stored() {
    let journal = MemoryJournal::new();
    let within = Duration::from_millis(100);
    let system = System::builder().shards(1).shutdown_within(within).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    journal.faults().hold();
    let mut submitted = Vec::new();
    for group in 1..=annals::journal::Journal::facts(&journal).groups_in_flight {
        submitted.push(tokio::spawn(alice.deposit(1)));
        until("it is with the journal", || journal.faults().held() == group).await;
    }
    let handled = system.stats().commands;
    let kept: Vec<_> = (0..3).map(|_| tokio::spawn(alice.deposit(100))).collect();
    let query = tokio::spawn(alice.balance());
    until("all are handled", || system.stats().commands == handled + 4).await;
    let (shutdown, ()) = tokio::join!(system.shutdown(), async {
        until("all are told", || submitted.iter().chain(&kept).all(JoinHandle::is_finished)).await;
        journal.faults().release();
    });
    assert_eq!(shutdown.unwrap_err(), ShutdownError::TimeOver { within });
    for deposit in submitted {
        let error = deposit.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
    }
    for deposit in kept {
        let error = deposit.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Stopped { .. }), "{error:?}");
    }
    let error = query.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Stopped { .. }), "{error:?}");
    let balance = restarted(&journal).get::<Account>("alice").balance().await.unwrap();
    let submitted = u64::try_from(annals::journal::Journal::facts(&journal).groups_in_flight).unwrap();
    assert_eq!(balance, submitted, "what the journal had was stored, and nothing else");
}

#[tokio::test]
async fn a_dropped_system_finishes_what_it_has() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    journal.faults().hold();
    let deposit = tokio::spawn(alice.deposit(1));
    until("it is with the journal", || journal.faults().held() == 1).await;
    drop(system);
    journal.faults().release();
    assert_eq!(deposit.await.unwrap().unwrap(), 1);
    let error = loop {
        match alice.deposit(1).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, CallError::Stopped { .. }), "{error:?}");
}

#[test]
fn a_runtime_that_is_dropped_leaves_no_caller_waiting() {
    let journal = MemoryJournal::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let system = runtime.block_on(async { System::builder().start(journal.clone()).unwrap() });
    let alice = system.get::<Account>("alice");
    journal.faults().hold();
    let mut deposit = Box::pin(alice.deposit(1));
    runtime.block_on(async {
        tokio::select! {
            answer = &mut deposit => panic!("what is held was answered: {answer:?}"),
            () = until("it is with the journal", || journal.faults().held() == 1) => {}
        }
    });
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = other.block_on(deposit).unwrap_err();
    assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
    let error = other.block_on(alice.deposit(1)).unwrap_err();
    assert!(matches!(error, CallError::Stopped { .. }), "{error:?}");
}

#[test]
fn a_system_needs_a_runtime_and_sensible_settings() {
    assert_eq!(System::builder().start(MemoryJournal::new()).unwrap_err(), StartError::NoRuntime);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let error = System::builder().shards(0).start(MemoryJournal::new()).unwrap_err();
    assert_eq!(error, StartError::Setting { name: "shards", value: 0, least: 1 });
}
