//! Entities that leave memory while commands arrive.

use annals::journal::MemoryJournal;
use annals::prelude::*;
use shuttle::future::{block_on, spawn, yield_now};

use crate::account::{Account, builder, stored};
use crate::explore;

#[test]
fn a_command_that_meets_a_passivation_is_handled_once() {
    explore(400, || {
        block_on(async {
            let journal = MemoryJournal::new();
            let system = builder().residents_max(1).start(journal.clone()).unwrap();
            let callers: Vec<_> = (0..3)
                .map(|caller| {
                    let system = system.clone();
                    spawn(async move {
                        for round in 0..2 {
                            let id = ["a", "b"][(caller + round) % 2];
                            system.get::<Account>(id).deposit(1).await.unwrap();
                        }
                    })
                })
                .collect();
            for caller in callers {
                caller.await.unwrap();
            }
            system.shutdown().await.unwrap();
            assert_eq!((stored(&journal, "a").await, stored(&journal, "b").await), (3, 3));
        });
    });
}

#[test]
fn an_entity_that_waits_for_the_disk_stays() {
    explore(400, || {
        block_on(async {
            let journal = MemoryJournal::new();
            let system = builder().residents_max(1).run_ahead_max(2).start(journal.clone()).unwrap();
            journal.faults().hold();
            let callers: Vec<_> =
                ["a", "a", "b", "a"].map(|id| spawn(system.get::<Account>(id).deposit(1))).into_iter().collect();
            let faults = journal.faults();
            let disk = spawn(async move {
                for _ in 0..3 {
                    yield_now().await;
                    faults.release_next();
                }
                faults.release();
            });
            let mut answers = Vec::new();
            for caller in callers {
                answers.push(caller.await.unwrap().unwrap());
            }
            disk.await.unwrap();
            let b = answers.remove(2);
            answers.sort_unstable();
            assert_eq!((answers, b), (vec![1, 2, 3], 1));
            system.shutdown().await.unwrap();
            assert_eq!((stored(&journal, "a").await, stored(&journal, "b").await), (3, 1));
        });
    });
}

#[test]
fn who_waits_for_room_gets_it() {
    explore(400, || {
        block_on(async {
            let journal = MemoryJournal::new();
            // One place for each lane.
            let system = builder().mailbox_max(8).start(journal.clone()).unwrap();
            let callers: Vec<_> = (0..4).map(|_| spawn(system.get::<Account>("a").deposit(1))).collect();
            // One who stops to wait gives up no place of others.
            let hasty = spawn(system.get::<Account>("a").deposit(100));
            yield_now().await;
            hasty.abort();
            let refused = system.get::<Account>("a").deposit(10).or_overloaded().await;
            let mut sum = 0;
            for caller in callers {
                sum = caller.await.unwrap().unwrap().max(sum);
            }
            let last = system.get::<Account>("a").deposit(1).await.unwrap();
            let extra = match refused {
                Ok(_) => 10,
                Err(CallError::Overloaded { limit: 1, .. }) => 0,
                Err(error) => panic!("{error:?}"),
            };
            assert!(last == 5 + extra || last == 105 + extra, "{last}");
            system.shutdown().await.unwrap();
            assert_eq!(stored(&journal, "a").await, last);
        });
    });
}
