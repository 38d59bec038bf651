//! Nothing is observable before it is durable.

use annals::journal::{MemoryJournal, Why};
use annals::{CallError, System};
use annals_tests::{Account, Overdrawn};

use crate::{system, until};

#[tokio::test]
async fn no_answer_leaves_before_what_it_tells_is_durable() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    journal.faults().hold();
    let deposit = tokio::spawn(alice.deposit(100));
    until("the deposit is with the journal", || journal.faults().held() == 1).await;
    let query = tokio::spawn(alice.balance());
    let refusal = tokio::spawn(alice.withdraw(500));
    let crash = tokio::spawn(alice.crash());
    until("all are handled", || system.stats().commands == 4).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!deposit.is_finished(), "a reply left before its write was durable");
    assert!(!query.is_finished(), "a query told of a balance that could still be lost");
    assert!(!refusal.is_finished(), "a refusal told of a balance that could still be lost");
    assert!(!crash.is_finished(), "a panic on data that could still be lost was told");

    journal.faults().release();
    assert_eq!(deposit.await.unwrap().unwrap(), 100);
    assert_eq!(query.await.unwrap().unwrap(), 100);
    assert_eq!(refusal.await.unwrap().unwrap_err(), CallError::Refused(Overdrawn { missing: 400 }));
    assert!(matches!(crash.await.unwrap().unwrap_err(), CallError::Panicked { command: "crash", .. }));
}

#[tokio::test]
async fn a_write_that_is_durable_lets_nothing_go_that_tells_of_the_next() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    journal.faults().hold();
    let first = tokio::spawn(alice.deposit(1));
    until("the first is with the journal", || journal.faults().held() == 1).await;
    let between = tokio::spawn(alice.balance());
    until("the first query is handled", || system.stats().commands == 2).await;
    let second = tokio::spawn(alice.deposit(10));
    until("the second is with the journal", || journal.faults().held() == 2).await;
    let query = tokio::spawn(alice.balance());
    let refusal = tokio::spawn(alice.withdraw(500));
    until("all are handled", || system.stats().commands == 5).await;

    assert!(journal.faults().release_next());
    assert_eq!(first.await.unwrap().unwrap(), 1);
    assert_eq!(between.await.unwrap().unwrap(), 1);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished(), "a reply left with the write before its own");
    assert!(!query.is_finished(), "a query told of a balance that could still be lost");
    assert!(!refusal.is_finished(), "a refusal told of a balance that could still be lost");

    assert!(journal.faults().release_next());
    assert_eq!(second.await.unwrap().unwrap(), 11);
    assert_eq!(query.await.unwrap().unwrap(), 11);
    assert_eq!(refusal.await.unwrap().unwrap_err(), CallError::Refused(Overdrawn { missing: 489 }));
}

#[tokio::test]
async fn what_is_durable_is_told_while_others_wait() {
    let (system, journal) = system();
    let (alice, bob) = (system.get::<Account>("alice"), system.get::<Account>("bob"));
    bob.deposit(7).await.unwrap();
    journal.faults().hold();
    let waiting = tokio::spawn(alice.deposit(100));
    until("the deposit is with the journal", || journal.faults().held() == 1).await;
    assert_eq!(bob.balance().await.unwrap(), 7);
    journal.faults().release();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn handlers_run_ahead_of_the_disk_and_share_a_write() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    journal.faults().hold();
    let deposits: Vec<_> = (0..1000).map(|_| tokio::spawn(alice.deposit(1))).collect();
    until("all are handled", || system.stats().commands == 1000).await;
    journal.faults().release();
    for (number, deposit) in (1..).zip(deposits) {
        assert_eq!(deposit.await.unwrap().unwrap(), number);
    }
    let runs = journal.faults().appended().runs;
    assert!(runs <= 20, "a thousand commands took {runs} writes");
}

#[tokio::test]
async fn the_run_ahead_is_bounded() {
    let journal = MemoryJournal::new();
    let system = System::builder().shards(1).run_ahead_max(10).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    journal.faults().hold();
    let deposits: Vec<_> = (0..100).map(|_| tokio::spawn(alice.deposit(1))).collect();
    until("some are handled", || system.stats().commands == 10).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(system.stats().commands, 10);
    journal.faults().release();
    for deposit in deposits {
        deposit.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_bytes_that_wait_are_bounded() {
    let journal = MemoryJournal::new();
    let system = System::builder().shards(1).run_ahead_bytes_max(100_000).start(journal.clone()).unwrap();
    journal.faults().hold();
    let notes: Vec<_> = (0..100)
        .map(|number| tokio::spawn(system.get::<Account>(format!("{number}")).note("x".repeat(10_000))))
        .collect();
    until("some are handled", || system.stats().commands >= 10).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let handled = system.stats().commands;
    assert!((10..=12).contains(&handled), "{handled} notes of 10 kB are in memory");
    journal.faults().release();
    for note in notes {
        note.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_bytes_behind_a_lost_write_wait_no_longer() {
    let journal = MemoryJournal::new();
    let system = System::builder().shards(1).run_ahead_bytes_max(100_000).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    for _ in 0..15 {
        journal.faults().hold();
        journal.faults().refuse_next(Why::QueueFull { bytes: 2, limit: 1 });
        let mut notes = Vec::new();
        for group in 1..=4 {
            notes.push(tokio::spawn(alice.note("x".repeat(10_000))));
            until("it is with the journal", || journal.faults().held() == group).await;
        }
        let handled = system.stats().commands;
        notes.push(tokio::spawn(alice.note("x".repeat(10_000))));
        until("one waits for the journal", || system.stats().commands == handled + 1).await;
        journal.faults().release();
        for note in notes {
            let error = note.await.unwrap().unwrap_err();
            assert!(matches!(error, CallError::NotStored { .. }), "{error:?}");
        }
    }
    let note = tokio::spawn(alice.note("x".to_owned()));
    until("there is room", || note.is_finished()).await;
    note.await.unwrap().unwrap();
}

#[tokio::test]
async fn large_writes_are_cut_into_several_runs() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    let notes: Vec<_> = (0..8).map(|_| tokio::spawn(alice.note("x".repeat(400_000)))).collect();
    for note in notes {
        note.await.unwrap().unwrap();
    }
    assert!(journal.faults().appended().runs >= 4, "a run has at most 1,000,000 bytes");
    assert_eq!(crate::restarted(&journal).get::<Account>("alice").look_around().await.unwrap().2, 8);
}
