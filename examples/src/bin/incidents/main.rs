//! The audit log of a company's incident tickets, fed to a state machine that refuses what should not happen.
//!
//! `cargo run --release -p annals-examples --bin incidents [-- <log.csv[.gz]> [--data <dir>] [--diagram]]`
//!
//! - `ticket.rs`: the machine. Begin here.
//! - `records.rs`, `log.rs`: the log, from bytes to rows.
//! - `meaning.rs`: the command that a row means.
//! - `replay.rs`: the rows on their way to the tickets.
//! - `tally.rs`, `summary.rs`: what came of it; `shown.rs`: how it is put into words.

mod args;
mod log;
mod meaning;
mod progress;
mod records;
mod replay;
mod shown;
mod summary;
mod tally;
mod ticket;

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use annals::prelude::*;
use annals_examples::{end, print};
use tempfile::TempDir;

use crate::args::{Args, HELP, USAGE};
use crate::log::Log;
use crate::progress::Progress;
use crate::summary::{LastLine, Measured, Summary};
use crate::ticket::Ticket;

#[tokio::main]
async fn main() -> ExitCode {
    end("incidents", USAGE, obey(lexopt::Parser::from_env()).await)
}

/// Does what the command line says.
async fn obey(args: lexopt::Parser) -> Result<(), Box<dyn Error>> {
    match Args::parse(args)? {
        Args::Help => print(format_args!("{USAGE}\n{HELP}"))?,
        Args::Diagram => print(Ticket::GRAPH.to_mermaid())?,
        Args::Run { log, data } => run(log.as_deref(), data).await?,
    }
    Ok(())
}

/// Replays the log and says what came of it.
async fn run(log: Option<&Path>, data: Option<PathBuf>) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let progress = Progress::new();
    let log = match log {
        Some(path) => Log::open(path, |file| progress.watch(file))?,
        None => Log::sample()?,
    };
    let directory = match data {
        Some(path) => Directory::Kept(path),
        None => Directory::Temporary(TempDir::with_prefix("annals-incidents-")?),
    };
    print(format_args!("reading {}; the tickets are in {directory}\n", log.name()))?;

    let system = System::open(directory.path()).await?;
    progress.show();
    let replayed = replay::replay(&system, log).await;
    let time = started.elapsed();
    let records_stored = system.stats().events_stored;
    progress.end();
    system.shutdown().await?;
    let (reading, tally) = replayed?;

    let summary = Summary { reading: &reading, tally: &tally };
    let measured = Measured { commands: tally.commands, records_stored, time, disk_bytes: size_of(directory.path())? };
    print(format_args!("\n{summary}\n{measured}\n{}\n", LastLine(&summary)))?;
    Ok(())
}

/// Where the tickets are kept.
enum Directory {
    Kept(PathBuf),
    /// It is removed when it is dropped.
    Temporary(TempDir),
}

impl Directory {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }
}

impl Display for Directory {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(path) => write!(f, "{}", path.display()),
            Self::Temporary(directory) => {
                write!(f, "the temporary directory {}, which is removed at the end", directory.path().display())
            }
        }
    }
}

/// The sizes of all files in a directory, together.
fn size_of(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size_of(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
