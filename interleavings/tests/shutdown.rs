//! The end of a system while commands, effects and recoveries are under way.

use std::time::Duration;

use annals::ShutdownError;
use annals::journal::MemoryJournal;
use annals::prelude::*;
use shuttle::future::{block_on, spawn};

use crate::account::{Account, builder, stored};
use crate::explore;

#[test]
fn a_shutdown_finishes_what_it_took_and_refuses_the_rest() {
    explore(400, || {
        block_on(async {
            let journal = MemoryJournal::new();
            let system = builder().mailbox_max(8).start(journal.clone()).unwrap();
            let callers: Vec<_> = (0..3).map(|_| spawn(system.get::<Account>("a").deposit(1))).collect();
            let other = spawn({
                let system = system.clone();
                async move { system.shutdown().await }
            });
            system.shutdown().await.unwrap();
            other.await.unwrap().unwrap();
            let mut answered = 0;
            for caller in callers {
                match caller.await.unwrap() {
                    Ok(_) => answered += 1,
                    Err(CallError::Stopped { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            assert_eq!(stored(&journal, "a").await, answered);
        });
    });
}

#[test]
fn a_shutdown_waits_for_effects_and_the_calls_that_they_make() {
    explore(400, || {
        block_on(async {
            let journal = MemoryJournal::new();
            // One place for each lane: who is refused has to leave his to the effects.
            let system = builder().mailbox_max(8).start(journal.clone()).unwrap();
            let late = spawn(system.get::<Account>("a").tell_nobody());
            let callers: Vec<_> =
                ["b", "c"].map(|id| spawn(system.get::<Account>(id).pass_on(1, vec!["a"]))).into_iter().collect();
            system.shutdown().await.unwrap();
            let _ = late.await.unwrap();
            let mut answered = 0;
            for caller in callers {
                match caller.await.unwrap() {
                    Ok(_) => answered += 1,
                    Err(CallError::Stopped { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            assert_eq!(stored(&journal, "a").await, answered, "the effects of what was answered were not finished");
        });
    });
}

#[test]
fn a_shutdown_waits_for_the_effects_of_effects() {
    explore(400, || {
        block_on(async {
            let journal = MemoryJournal::new();
            let system = builder().start(journal.clone()).unwrap();
            let caller = spawn(system.get::<Account>("a").pass_on(1, vec!["c", "b"]));
            system.shutdown().await.unwrap();
            let answered = u64::from(caller.await.unwrap().is_ok());
            assert_eq!(stored(&journal, "b").await, answered, "an effect was lost");
            assert_eq!(stored(&journal, "c").await, answered, "the effect of an effect was lost");
        });
    });
}

#[test]
fn a_system_that_is_dropped_answers_everybody() {
    explore(400, || {
        block_on(async {
            let journal = MemoryJournal::new();
            let system = builder().mailbox_max(8).start(journal.clone()).unwrap();
            let account = system.get::<Account>("a");
            let callers: Vec<_> = (0..3).map(|_| spawn(account.deposit(1))).collect();
            drop(system);
            let mut answered = 0;
            for caller in callers {
                match caller.await.unwrap() {
                    Ok(_) => answered += 1,
                    Err(CallError::Stopped { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            assert_eq!(stored(&journal, "a").await, answered);
        });
    });
}

#[test]
fn a_shutdown_whose_time_is_over_tells_everybody_what_is_certain() {
    explore(400, || {
        block_on(async {
            let journal = MemoryJournal::new();
            // It may be over at any moment.
            let system = builder().shutdown_within(Duration::from_millis(1)).start(journal.clone()).unwrap();
            journal.faults().hold();
            let callers: Vec<_> =
                ["a", "a", "b"].map(|id| spawn(system.get::<Account>(id).pass_on(1, vec!["a"]))).into_iter().collect();
            let faults = journal.faults();
            let disk = spawn(async move { faults.release() });
            match system.shutdown().await {
                Ok(()) | Err(ShutdownError::TimeOver { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
            disk.await.unwrap();
            let (mut least, mut most) = (0, 0);
            for (id, caller) in ["a", "a", "b"].into_iter().zip(callers) {
                match caller.await.unwrap() {
                    // The effect puts as much on `a`, if there was time for it.
                    Ok(_) => (least, most) = (least + u64::from(id == "a"), most + 2),
                    Err(CallError::Unknown { .. }) => most += 2,
                    Err(CallError::Stopped { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            let stored = stored(&journal, "a").await;
            assert!((least..=most).contains(&stored), "{least} <= {stored} <= {most}");
        });
    });
}
