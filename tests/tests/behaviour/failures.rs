//! A write that fails, a handler that panics, a fold that panics: who is told what, and what goes on.

use annals::journal::{Health, Why};
use annals::testing::UnknownRun;
use annals::{CallError, NotStored, SeqNr, Unknown};
use annals_tests::Account;

use crate::{restarted, system, until};

/// Three deposits in two writes, a query and a refusal, while the journal holds; then something after them.
#[tokio::test]
async fn a_failed_write_tells_each_caller_what_is_certain() {
    for unknown in [UnknownRun::Stored, UnknownRun::Lost] {
        let (system, journal) = system();
        let alice = system.get::<Account>("alice");
        alice.deposit(1).await.unwrap();
        journal.faults().hold();
        journal.faults().fail_next(unknown);
        let submitted = tokio::spawn(alice.deposit(10));
        until("the first is with the journal", || journal.faults().held() == 1).await;
        let query = tokio::spawn(alice.balance());
        let refusal = tokio::spawn(alice.withdraw(500));
        until("all are handled", || system.stats().commands == 4).await;
        journal.faults().release();

        let error = submitted.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Unknown { why: Unknown::Journal(_), .. }), "{error:?}");
        for error in [query.await.unwrap().unwrap_err(), refusal.await.unwrap().unwrap_err().into_unrefused()] {
            let lost = matches!(error, CallError::NotStored { why: NotStored::EarlierWriteFailed, .. });
            assert!(lost, "told of speculation that was lost: {error:?}");
        }

        assert!(matches!(system.health(), Health::Failed(_)));
        let error = alice.deposit(1).await.unwrap_err();
        let refused = matches!(error, CallError::NotStored { why: NotStored::Journal(Why::Failed(_)), .. });
        assert!(refused, "a failed journal takes no writes: {error:?}");
        alice.balance().await.unwrap();

        let balance = restarted(&journal).get::<Account>("alice").balance().await.unwrap();
        assert_eq!(balance, if unknown == UnknownRun::Stored { 11 } else { 1 });
    }
}

#[tokio::test]
async fn what_was_queued_behind_a_failed_write_is_certainly_not_stored() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    journal.faults().hold();
    journal.faults().refuse_next(Why::Conflict { expected: SeqNr(1), last: SeqNr(2) });
    let deposits: Vec<_> = (0..200).map(|_| tokio::spawn(alice.deposit(1))).collect();
    until("some are handled", || system.stats().commands > 10).await;
    journal.faults().release();
    for deposit in deposits {
        match deposit.await.unwrap() {
            Err(CallError::NotStored { .. }) | Ok(_) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    let balance = alice.balance().await.unwrap();
    let stored = restarted(&journal).get::<Account>("alice").balance().await.unwrap();
    assert_eq!(balance, stored, "the entity went on from what is stored");
}

#[tokio::test]
async fn a_conflict_is_told_and_the_entity_goes_on_from_what_is_stored() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    let why = Why::Conflict { expected: SeqNr(1), last: SeqNr(2) };
    journal.faults().refuse_next(why.clone());
    let error = alice.deposit(10).await.unwrap_err();
    let CallError::NotStored { why: NotStored::Journal(found), .. } = error else { panic!("{error:?}") };
    assert_eq!(found, why);
    assert_eq!(alice.deposit(100).await.unwrap(), 101);
}

#[tokio::test]
async fn an_older_writer_is_shut_out() {
    let (old, journal) = system();
    let alice = old.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    let new = restarted(&journal);
    assert_eq!(new.get::<Account>("alice").deposit(10).await.unwrap(), 11);
    let error = alice.deposit(100).await.unwrap_err();
    let fenced = matches!(error, CallError::NotStored { why: NotStored::Journal(Why::Fenced { .. }), .. });
    assert!(fenced, "{error:?}");
    assert_eq!(new.get::<Account>("alice").balance().await.unwrap(), 11);
}

#[tokio::test]
async fn a_panic_in_a_handler_refuses_its_command_alone() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    let error = alice.crash().await.unwrap_err();
    let CallError::Panicked { command: "crash", message, .. } = error else { panic!("{error:?}") };
    assert_eq!(&*message, "crashed");
    assert_eq!(alice.deposit(1).await.unwrap(), 2);
    assert_eq!(system.stats().recoveries, 1, "the data was sound all the time");
    assert_eq!(journal.faults().appended().runs, 2);
}

#[tokio::test]
async fn a_panic_in_a_fold_stores_nothing_and_the_entity_is_loaded_again() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    journal.faults().hold();
    let before = tokio::spawn(alice.deposit(10));
    until("it is with the journal", || journal.faults().held() == 1).await;
    let cursed = tokio::spawn(alice.curse());
    until("it is handled", || system.stats().commands == 3).await;
    let after = tokio::spawn(alice.deposit(100));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(!cursed.is_finished(), "the panic was told before what the command saw was durable");
    journal.faults().release();
    assert_eq!(before.await.unwrap().unwrap(), 11);
    let error = cursed.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Panicked { command: "curse", .. }), "{error:?}");
    assert_eq!(after.await.unwrap().unwrap(), 111);
    assert_eq!(system.stats().recoveries, 2);
    assert_eq!(restarted(&journal).get::<Account>("alice").balance().await.unwrap(), 111);
}

/// Makes the two error types comparable.
trait IntoUnrefused {
    fn into_unrefused(self) -> CallError<std::convert::Infallible>;
}

impl<E: std::fmt::Debug> IntoUnrefused for CallError<E> {
    fn into_unrefused(self) -> CallError<std::convert::Infallible> {
        match self {
            CallError::NotStored { id, why } => CallError::NotStored { id, why },
            CallError::Unknown { id, why } => CallError::Unknown { id, why },
            error => panic!("{error:?}"),
        }
    }
}
