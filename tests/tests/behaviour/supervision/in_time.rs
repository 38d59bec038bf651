//! A shutdown ends when its time is over, and no later than it says. The time stands still while anybody has something to
//! do, so it is known exactly.

use std::time::Duration;

use annals::journal::{FjallJournal, FjallOptions, MemoryJournal};
use annals::prelude::*;
use annals::{Builder, ShutdownError};
use annals_tests::Account;
use tokio::time::Instant;

use super::ending::{CALLS, ENTITIES, queue, told};
use crate::until;

const WITHIN: Duration = Duration::from_secs(3);
/// For what is given up, and for a journal that doesn't close: a second each.
const GRACE: Duration = Duration::from_secs(1);

fn builder() -> Builder {
    System::builder().shards(2).shutdown_within(WITHIN).inline_blocking()
}

/// Shuts down, and says how long it took.
async fn shut_down(system: &System) -> (Result<(), ShutdownError>, Duration) {
    let started = Instant::now();
    let ended = system.shutdown().await;
    (ended, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn what_can_be_finished_takes_no_time() {
    let journal = MemoryJournal::new();
    let system = builder().start(journal.clone()).unwrap();
    let calls = queue(&system);
    until("some are handled", || system.stats().commands > 0).await;
    assert_eq!(shut_down(&system).await, (Ok(()), Duration::ZERO));
    let told = told(calls).await;
    assert_eq!((told.unknown, told.not_stored), (0, 0), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_never_answers_and_never_closes_is_given_up_in_time() {
    let journal = MemoryJournal::new();
    let system = builder().start(journal.clone()).unwrap();
    journal.faults().hold();
    let calls = queue(&system);
    until("groups are with the journal", || journal.faults().held() > 0).await;
    let (ended, took) = shut_down(&system).await;
    assert_eq!(ended, Err(ShutdownError::TimeOver { within: WITHIN }));
    assert_eq!(took, WITHIN + GRACE, "its time, and one second for a journal that doesn't close");
    let started = Instant::now();
    let told = told(calls).await;
    assert_eq!(started.elapsed(), Duration::ZERO, "they were told before it ended");
    assert!(told.stored == 0 && told.unknown > 0, "{told:?}");
    assert_eq!(shut_down(&system).await.1, WITHIN, "a second one waits for the journal alone");
    journal.faults().release();
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Ghost {
    seen: u64,
}

#[aggregate]
impl Ghost {
    #[event]
    fn was_seen(&mut self) {
        self.seen += 1;
    }

    /// Leaves something behind that never ends.
    #[command]
    fn haunt(&self) -> Step {
        applying(GhostEvent::WasSeen).and_then(|fx| fx.spawn(std::future::pending()))
    }
}

#[tokio::test(start_paused = true)]
async fn effects_that_never_end_are_given_up_in_time() {
    let system = builder().start(MemoryJournal::new()).unwrap();
    for ghost in 0..100 {
        system.get::<Ghost>(format!("{ghost}")).haunt().await.unwrap();
    }
    assert_eq!(shut_down(&system).await, (Err(ShutdownError::TimeOver { within: WITHIN }), WITHIN));
}

#[tokio::test]
async fn on_a_disk_each_caller_is_told_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let open = || FjallJournal::open(directory.path().join("store"), FjallOptions::new()).unwrap();
    let mut acknowledged = 0;
    let mut between = 0;
    // Hardly any time, none at all, and enough.
    for within in [Duration::from_millis(5), Duration::ZERO, Duration::from_secs(60)] {
        let system = System::builder().shards(2).shutdown_within(within).start(open()).unwrap();
        let calls = queue(&system);
        until("some are handled", || system.stats().commands > CALLS / 10).await;
        let ended = system.shutdown().await;
        assert!(matches!(ended, Ok(()) | Err(ShutdownError::TimeOver { .. })), "{ended:?}");
        let told = told(calls).await;
        assert_eq!(told.not_stored, 0, "{told:?}");
        assert!(ended.is_err() || told.unknown == 0, "{told:?}");
        acknowledged += told.stored;
        between += told.unknown;
        drop(system);
        let system = System::builder().start(open()).unwrap();
        let mut stored = 0;
        for entity in 0..ENTITIES {
            stored += system.get::<Account>(format!("{entity}")).balance().await.unwrap();
        }
        assert!((acknowledged..=acknowledged + between).contains(&stored), "{stored} stored, {acknowledged} told");
        (acknowledged, between) = (stored, 0);
        system.shutdown().await.unwrap();
    }
}
