//! Entities leave memory when they are idle or too many, and come back unchanged.

use std::time::Duration;

use annals::System;
use annals::journal::MemoryJournal;
use annals_tests::Account;

use crate::{restarted, system, until};

#[tokio::test]
async fn a_restart_brings_everything_back() {
    let (system, journal) = system();
    for number in 0..100_u64 {
        system.get::<Account>(format!("{number}")).deposit(number).await.unwrap();
    }
    system.shutdown().await.unwrap();
    let system = restarted(&journal);
    for number in 0..100_u64 {
        assert_eq!(system.get::<Account>(format!("{number}")).balance().await.unwrap(), number);
    }
    assert_eq!(system.stats().events_replayed, 100);
}

#[tokio::test]
async fn an_idle_entity_leaves_memory_and_comes_back() {
    let journal = MemoryJournal::new();
    let system = System::builder().idle_after(Duration::from_millis(100)).start(journal).unwrap();
    let alice = system.get::<Account>("alice");
    alice.deposit(7).await.unwrap();
    until("it is passivated", || system.stats().residents == 0).await;
    assert_eq!(alice.deposit(1).await.unwrap(), 8);
    assert_eq!(system.stats().recoveries, 2);
}

#[tokio::test]
async fn at_most_so_many_entities_stay() {
    let journal = MemoryJournal::new();
    let system = System::builder().shards(2).residents_max(50).start(journal).unwrap();
    for number in 0..1000_u64 {
        system.get::<Account>(format!("{number}")).deposit(number).await.unwrap();
    }
    let residents = system.stats().residents;
    assert!(residents <= 51, "{residents} entities are in memory");
    for number in 0..1000_u64 {
        assert_eq!(system.get::<Account>(format!("{number}")).balance().await.unwrap(), number);
    }
}

#[tokio::test]
async fn an_entity_that_waits_for_the_disk_is_not_dropped() {
    let journal = MemoryJournal::new();
    let system = System::builder().idle_after(Duration::from_millis(100)).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    journal.faults().hold();
    let deposit = tokio::spawn(alice.deposit(7));
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(system.stats().residents, 1);
    journal.faults().release();
    assert_eq!(deposit.await.unwrap().unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_meets_a_passivation_is_handled_exactly_once() {
    let journal = MemoryJournal::new();
    // Every entity is dropped as soon as it rests.
    let system = System::builder().shards(1).residents_max(1).start(journal).unwrap();
    let callers: Vec<_> = (0..8)
        .map(|caller: u64| {
            let system = system.clone();
            tokio::spawn(async move {
                for round in 0..500 {
                    system.get::<Account>(format!("{}", (caller + round) % 5)).deposit(1).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let mut sum = 0;
    for number in 0..5 {
        sum += system.get::<Account>(format!("{number}")).balance().await.unwrap();
    }
    assert_eq!(sum, 8 * 500);
    assert!(system.stats().passivations > 100, "the race was run: {:?}", system.stats());
}
