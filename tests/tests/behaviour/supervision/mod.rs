//! The failure of one entity is that entity's matter.

mod answers;
mod budget;
mod clocks;
mod dropped;
mod ending;
mod flooded;
mod held_up;
mod in_time;
mod listed;
mod overload;
mod panics;
mod runtimes;
mod wrapped;

use annals::journal::MemoryJournal;
use annals::testing::ManualClock;
use annals::{Builder, CallError, Never, System, Timestamp};
use annals_tests::Account;

/// A system of one shard whose clock the test drives, with one place in each lane of its mailbox: whatever loses a place
/// is found out by the next call.
fn tight(clock: &ManualClock) -> Builder {
    System::builder().shards(1).mailbox_max(8).clock(clock.clone()).retry_seed(7)
}

fn epoch() -> ManualClock {
    ManualClock::at(Timestamp::UNIX_EPOCH)
}

/// What comes of something that can't take for ever.
async fn soon<T>(future: impl IntoFuture<Output = T>) -> T {
    let within = std::time::Duration::from_secs(60);
    tokio::time::timeout(within, future).await.expect("it never ends: has a place in a lane been lost?")
}

/// The shard goes on: others of its entities, in all of its lanes, answer.
async fn others_go_on(system: &System) {
    for other in 0..64 {
        soon(system.get::<Account>(format!("other {other}")).deposit(1)).await.unwrap();
    }
}

fn started(builder: Builder) -> (System, MemoryJournal) {
    let journal = MemoryJournal::new();
    (builder.start(journal.clone()).unwrap(), journal)
}

/// Why a call found its entity in quarantine.
fn quarantined<E: std::fmt::Debug>(error: CallError<E>) -> (annals::Trouble, annals::SeqNr, String, Timestamp) {
    let CallError::Quarantined { trouble, seq_nr, reason, retry_at, .. } = error else { panic!("{error:?}") };
    (trouble, seq_nr, reason.to_string(), retry_at)
}

/// An error of a call that isn't refused.
fn unrefused<E: std::fmt::Debug>(error: CallError<E>) -> CallError<Never> {
    match error {
        CallError::Panicked { id, command, message } => CallError::Panicked { id, command, message },
        CallError::NotStored { id, why } => CallError::NotStored { id, why },
        CallError::Unknown { id, why } => CallError::Unknown { id, why },
        CallError::Stopped { id } => CallError::Stopped { id },
        CallError::Overloaded { id, limit } => CallError::Overloaded { id, limit },
        error => panic!("{error:?}"),
    }
}
