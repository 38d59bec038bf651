//! What happens to a system and its journal while callers go on.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use annals::journal::{Health, Journal as _, MemoryJournal, ReadError, Why};
use annals::testing::{MemoryFaults, UnknownRun};
use annals::{Builder, Retried, SeqNr, ShutdownError, System};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{sleep, timeout};

use crate::PATIENCE;
use crate::ground::{happened, on_this_ground, variant};
use crate::random::Random;

/// A system with small bounds, so that all of them are met.
pub fn settings(random: &mut Random) -> Builder {
    let builder = System::builder()
        .shards(random.pick(&[1, 2]))
        .run_ahead_max(random.pick(&[1, 2, 3, 7, 4096]))
        .run_ahead_bytes_max(random.pick(&[1, 400, 1 << 20]))
        .residents_max(random.pick(&[1, 3, 1000]))
        .mailbox_max(random.pick(&[8, 16, 4096]))
        .idle_after(random.millis(&[0, 10, 1000, 600_000]))
        .shutdown_within(random.millis(&[1, 30, 2000]));
    on_this_ground(builder)
}

/// What a read says that fails on purpose.
pub const UNREAD: &str = "as chance has it";

/// Makes the journal hold, refuse, fail and be full for a while, and has whoever is quarantined then make another attempt.
/// Says so beforehand if reads are among it.
pub async fn disturb(system: &System, faults: &MemoryFaults, random: &mut Random, reads_fail: &AtomicBool) {
    for _ in 0..random.below(60) {
        let disturbance = random.below(20);
        happened("disturbance", &(disturbance, faults.held(), faults.appended()));
        match disturbance {
            0..=2 => faults.hold(),
            3..=7 => drop(faults.release_next()),
            8 | 9 => faults.release(),
            10 => faults.refuse_next(Why::QueueFull { bytes: 1, limit: 1 }),
            11 => faults.refuse_next(Why::Conflict { expected: SeqNr(1), last: SeqNr(2) }),
            // Nothing is stored after it.
            12 if random.one_in(12) => {
                faults.fail_nth(1 + random.below(3), random.pick(&[UnknownRun::Stored, UnknownRun::Lost]));
            }
            13 if random.one_in(3) => {
                reads_fail.store(true, Ordering::Relaxed);
                faults.fail_reads(ReadError::Engine { what: "a disk".into(), error: UNREAD.into() });
            }
            14 => faults.heal_reads(),
            15 if random.one_in(2) => faults.fill_storage(),
            16 => faults.free_storage(),
            17 | 18 => retry_one(system, random).await,
            _ => sleep(Duration::from_micros(random.below(1500))).await,
        }
        for _ in 0..random.below(20) {
            yield_now().await;
        }
    }
    faults.heal_reads();
    faults.free_storage();
}

/// Has somebody in quarantine make another attempt, and doesn't always wait for what comes of it.
async fn retry_one(system: &System, random: &mut Random) {
    let mut ids: Vec<_> = system.quarantined().into_iter().map(|quarantined| quarantined.id).collect();
    ids.sort();
    if ids.is_empty() {
        return;
    }
    let (id, patience) = (&ids[random.index(ids.len())], Duration::from_micros(random.below(3_000)));
    let retried = timeout(patience, system.retry(id)).await;
    assert!(!matches!(retried, Ok(Ok(Retried::UnknownAggregate))), "{id} is in quarantine, and nobody knows it");
    happened("retried", &(id, retried.map(|retried| retried.map_or_else(|error| variant(&error), |to| variant(&to)))));
}

/// How the system of a round ends, while its callers go on.
#[derive(Debug, Clone, Copy)]
enum End {
    Dropped,
    ShutDown,
    ShutDownWhileHeld,
    /// The journal is opened by somebody else.
    ShutOut,
    /// Only when all callers have their answers.
    Late,
    /// Then, too, and in order.
    Clean,
}

/// Ends the system, and waits for its callers; gives it back if it lives on, and the journal as it is open now.
pub async fn end(
    system: System,
    journal: MemoryJournal,
    callers: Vec<JoinHandle<()>>,
    random: &mut Random,
) -> (Option<System>, MemoryJournal) {
    let faults = journal.faults();
    let ending =
        random.pick(&[End::Dropped, End::ShutDown, End::ShutDownWhileHeld, End::ShutOut, End::Late, End::Clean]);
    happened("end", &ending);
    if let End::Clean = ending {
        finish(callers, &faults).await;
        shut_down(&system, &journal).await;
        return (None, journal);
    }
    let ended = cut_short(ending, system, journal, random).await;
    finish(callers, &faults).await;
    ended
}

/// Shuts a system down to which nobody speaks any more: a journal that is well is closed then.
async fn shut_down(system: &System, journal: &MemoryJournal) {
    journal.faults().release();
    let was_good = journal.health() == Health::Good;
    match timeout(PATIENCE, system.shutdown()).await.expect("the shutdown ends") {
        Ok(()) => assert_eq!(journal.health(), Health::Closed),
        // A deadline may have met a fault that was left over.
        Err(ShutdownError::Journal(_)) => assert!(!was_good || matches!(journal.health(), Health::Failed(_))),
        Err(ShutdownError::TimeOver { .. }) => {}
        Err(error) => panic!("a shutdown in order ends with {error:?}"),
    }
}

async fn cut_short(
    ending: End,
    system: System,
    journal: MemoryJournal,
    random: &mut Random,
) -> (Option<System>, MemoryJournal) {
    let faults = journal.faults();
    let pause = Duration::from_millis(random.below(60));
    match ending {
        End::Dropped => return (None, journal),
        End::ShutDown => {
            faults.release();
            // It may fail: the journal may have failed, and the time may be over.
            let _ = timeout(PATIENCE, system.shutdown()).await.expect("the shutdown ends");
        }
        End::ShutDownWhileHeld => {
            faults.hold();
            let stopping = system.clone();
            let shutdown = tokio::spawn(async move { stopping.shutdown().await });
            sleep(pause).await;
            faults.release();
            let _ = timeout(PATIENCE, shutdown).await.expect("the shutdown ends").unwrap();
        }
        End::ShutOut => {
            faults.release();
            return (Some(system), journal.reopen());
        }
        End::Late | End::Clean => {}
    }
    (Some(system), journal)
}

/// Waits for all callers, while the journal holds nothing for long; a panic of theirs goes on here.
async fn finish(callers: Vec<JoinHandle<()>>, faults: &MemoryFaults) {
    let releasing = async {
        loop {
            faults.release();
            sleep(Duration::from_millis(1)).await;
        }
    };
    let finishing = async {
        for caller in callers {
            if let Err(error) = timeout(PATIENCE, caller).await.expect("every caller gets an answer") {
                resume_unwind(error.into_panic());
            }
        }
    };
    tokio::select! {
        () = finishing => {}
        () = releasing => {}
    }
}
