//! Fills a store until it is killed: `filler <dir> <life>`.
//!
//! Each command stores one long text, in entities that are new in each life, so that the engine moves rows into tables,
//! begins new journal files and merges tables all the time. It writes `<entity> <commands>` for each acknowledged command.

#![expect(clippy::print_stdout, reason = "its output is what the test compares")]

use std::env;
use std::error::Error;
use std::io::Write as _;

use annals::System;
use annals::journal::{FjallJournal, FjallOptions};
use annals_tests::Account;
use annals_tests::campaign::ENTITIES_OF_A_LIFE;

/// As long as a command may nearly be.
const TEXT_BYTES: usize = 900_000;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?;
    let life: u64 = arguments.next().ok_or("in which life?")?.parse()?;
    let system = System::builder().start(FjallJournal::open(&directory, FjallOptions::new().free_bytes_min(0))?)?;
    println!("open");
    let callers = (0..ENTITIES_OF_A_LIFE).map(|nth| {
        let entity = life * ENTITIES_OF_A_LIFE + nth;
        let account = system.get::<Account>(format!("{entity}"));
        tokio::spawn(async move {
            let mut commands = 0;
            while account.note("x".repeat(TEXT_BYTES)).await.is_ok() {
                commands += 1;
                // One write for each line: a killed process leaves whole lines, but perhaps for the last.
                if std::io::stdout().write_all(format!("{entity} {commands}\n").as_bytes()).is_err() {
                    return;
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await?;
    }
    Ok(())
}
