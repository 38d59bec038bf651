//! What a user of annals may rely on, over the journal in memory.

#![expect(clippy::unwrap_used, reason = "a test that fails panics")]
#![expect(unreachable_pub, reason = "the aggregates are written as a library writes them")]
#![expect(clippy::print_stdout, reason = "what was measured is told")]
#![expect(clippy::redundant_closure_for_method_calls, reason = "`when(|door| door.open())` reads as it is meant")]

mod bench;
mod bench_machines;
mod beyond;
mod calls;
mod deadlines;
mod deadlines_again;
mod deletion;
mod directory;
mod durable;
mod effects;
mod encoding;
mod errors;
mod evolution;
mod failures;
mod forgetting;
mod golden;
mod hostile;
mod ids;
mod keys;
mod laid;
mod machines;
mod overdue;
mod passivation;
mod quarantine;
mod readers;
mod replays;
mod schemas;
mod settling;
mod shelf;
mod shutdown;
mod sixty_days;
mod smallest;
mod snapshots;
mod storage_low;
mod supervision;
mod traces;
mod transitions;
mod upcasting;
mod values;
mod world;

use annals::System;
use annals::journal::MemoryJournal;
use annals_tests::until;

/// A system over a journal in memory.
fn system() -> (System, MemoryJournal) {
    let journal = MemoryJournal::new();
    let system = System::builder().shards(2).start(journal.clone()).unwrap();
    (system, journal)
}

/// Another system on what this journal holds, as after a restart.
fn restarted(journal: &MemoryJournal) -> System {
    System::builder().shards(2).start(journal.reopen()).unwrap()
}
