//! Very many commands to one entity, and commands that panic all the time: what the others wait is counted in turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use annals::journal::MemoryJournal;
use annals::prelude::*;
use annals_tests::Account;

use crate::until;

/// Counts how many messages the shard has handled, of all its counters.
static HANDLED: AtomicU64 = AtomicU64::new(0);
/// How many of them at the most lay between two of the quiet one's.
static BETWEEN_MAX: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Counter {
    count: u64,
}

#[aggregate]
impl Counter {
    #[event]
    fn was_counted(&mut self) {
        self.count += 1;
    }

    /// Stores nothing.
    #[command]
    fn poke(&self) -> Step {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        stay()
    }

    #[command]
    fn count(&self) -> Step {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        applying(CounterEvent::WasCounted)
    }

    /// Panics quietly.
    #[command]
    fn crash(&self) -> Step {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        std::panic::resume_unwind(Box::new("crashed"))
    }

    /// Notes how many were handled since it was sent.
    #[command]
    fn look(&self, sent_at: u64) -> Step {
        let between = HANDLED.load(Ordering::Relaxed) - sent_at;
        BETWEEN_MAX.fetch_max(between, Ordering::Relaxed);
        stay()
    }
}

/// Sends as much as there is room for, and always more, until it is told to stop.
fn flood(counter: CounterRef, kind: usize, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<u64> {
    tokio::spawn(async move {
        let mut refused = 0;
        while !stop.load(Ordering::Relaxed) {
            match kind {
                0 => counter.poke().tell().await.unwrap(),
                1 => counter.count().tell().await.unwrap(),
                2 => counter.crash().tell().await.unwrap(),
                _ => match counter.poke().or_overloaded().tell().await {
                    Ok(()) => {}
                    Err(CallError::Overloaded { .. }) => {
                        refused += 1;
                        tokio::task::yield_now().await;
                    }
                    Err(error) => panic!("{error:?}"),
                },
            }
        }
        refused
    })
}

#[tokio::test]
async fn between_a_call_and_its_turn_there_is_one_turn_of_the_flooded_entity_or_two() {
    for (kind, turns_max) in [(0, 64 * 3), (1, 64 * 3), (2, 3), (3, 64 * 3)] {
        let system = System::builder().shards(1).mailbox_max(4096).start(MemoryJournal::new()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let floods: Vec<_> = (0..600).map(|_| flood(system.get::<Counter>("hot"), kind, stop.clone())).collect();
        let quiet = system.get::<Counter>("quiet");
        quiet.look(HANDLED.load(Ordering::Relaxed)).await.unwrap();
        until("it is flooded", || system.stats().commands > 1_000).await;
        BETWEEN_MAX.store(0, Ordering::Relaxed);
        for _ in 0..200 {
            // On this one thread nothing is handled between this and the first poll of the call.
            let sent_at = HANDLED.load(Ordering::Relaxed);
            quiet.look(sent_at).or_overloaded().await.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        for flood in floods {
            flood.await.unwrap();
        }
        let between = BETWEEN_MAX.load(Ordering::Relaxed);
        assert!(between <= turns_max, "kind {kind}: {between} of the flooded entity's came between");
        assert_eq!(system.stats().residents, 2);
        system.shutdown().await.unwrap();
    }
}

/// How many of 64 other entities have no room.
async fn others_without_room(system: &System) -> usize {
    let mut without = 0;
    for other in 0..64 {
        let call = system.get::<Account>(format!("other {other}")).balance().or_overloaded();
        without += usize::from(matches!(call.await, Err(CallError::Overloaded { .. })));
    }
    without
}

#[tokio::test]
async fn an_entity_holds_an_eighth_of_the_places_and_gives_all_back() {
    let journal = MemoryJournal::new();
    let system = System::builder().shards(1).mailbox_max(800).run_ahead_max(10).start(journal.clone()).unwrap();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    for _ in 0..3 {
        journal.faults().hold();
        let mut sent = 0;
        let refused = loop {
            match alice.deposit(1).or_overloaded().tell().await {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            tokio::task::yield_now().await;
        };
        let CallError::Overloaded { limit, .. } = refused else { panic!("{refused:?}") };
        assert_eq!(limit, 100);
        assert_eq!(sent, 100 + 10, "those that were handled have given theirs back");
        // Its lane is full; those of others have room.
        let errors = others_without_room(&system).await;
        assert!(errors < 64 / 4, "{errors} of 64 others have no room");
        journal.faults().release();
        until("all are stored", || journal.faults().held() == 0).await;
        alice.balance().await.unwrap();
    }
    assert_eq!(alice.balance().await.unwrap(), 1 + 3 * 110);
}

#[tokio::test]
async fn very_many_ids_that_are_used_once_leave_memory() {
    let journal = MemoryJournal::new();
    let idle = std::time::Duration::from_millis(100);
    let system = System::builder().shards(2).idle_after(idle).start(journal).unwrap();
    let calls: Vec<_> = (0..20_000).map(|id| tokio::spawn(system.get::<Account>(format!("{id}")).balance())).collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    until("all have left", || system.stats().residents == 0).await;
    assert_eq!(system.stats().passivations, 20_000);
    system.shutdown().await.unwrap();
}
