//! Answers that are laid ready, while their callers leave and the journal stores what they tell of, or doesn't.

use std::sync::Arc;

use annals::journal::{MemoryJournal, Why};
use annals::prelude::*;
use annals::testing::MemoryFaults;
use shuttle::future::{block_on, spawn, yield_now};

use crate::account::{Account, builder, stored};
use crate::explore;

/// Three callers, of whom the last leaves at any moment, and then one whose command is refused; the disk goes on when
/// it likes. Tells how many have deposited for certain, and how many may have.
fn callers_and_disk(faults: impl Fn(&MemoryFaults) + Send + Sync + Copy + 'static) {
    explore(400, move || {
        block_on(async {
            let journal = MemoryJournal::new();
            let system = builder().start(journal.clone()).unwrap();
            let token = Arc::new(());
            let account = system.get::<Account>("a");
            journal.faults().hold();
            faults(&journal.faults());
            let stays: Vec<_> = (0..2).map(|_| spawn(account.swap(1, token.clone()))).collect();
            let leaves = spawn(account.swap(100, token.clone()));
            let refused = spawn(account.close(token.clone()));
            let disk = spawn({
                let faults = journal.faults();
                async move {
                    for _ in 0..3 {
                        yield_now().await;
                        faults.release_next();
                    }
                    faults.release();
                }
            });
            yield_now().await;
            leaves.abort();
            let mut answered = 0;
            for caller in stays {
                match caller.await.unwrap() {
                    Ok(_) => answered += 1,
                    Err(CallError::NotStored { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            match refused.await.unwrap() {
                Ok(_) | Err(CallError::Refused(_) | CallError::NotStored { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
            let left = match leaves.await {
                Ok(Ok(_)) => 100..=100,
                Ok(Err(CallError::NotStored { .. })) => 0..=0,
                Ok(Err(error)) => panic!("{error:?}"),
                Err(_) => 0..=100,
            };
            disk.await.unwrap();
            system.shutdown().await.unwrap();
            let stored = stored(&journal, "a").await;
            assert_eq!(stored % 100, answered);
            assert!(left.contains(&(stored - answered)), "{stored}");
            drop(account);
            assert_eq!(Arc::strong_count(&token), 1, "an answer lies somewhere still");
        });
    });
}

#[test]
fn who_stays_is_answered_and_who_leaves_leaves_nothing() {
    callers_and_disk(|_| {});
}

#[test]
fn who_stays_is_told_of_a_write_that_failed() {
    callers_and_disk(|faults| faults.refuse_next(Why::QueueFull { bytes: 2, limit: 1 }));
}
