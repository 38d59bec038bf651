//! How fast a big journal opens, after it was closed in order and after its process was killed:
//! `opening <dir> [--megabytes <n>] [--tail <n>] [--rounds <n>]`.
//!
//! It writes so many megabytes of runs with ten events of 100 bytes each, and closes the journal. Then, in each round, it
//! opens the journal and closes it, lets another process open it, write the tail (default: 120 MB, as much as the engine
//! keeps in its own journal) and abort, and opens what that has left. The files are read through the system's cache.
//!
//! Needs twice the space. What is in the directory `<dir>/journal` is removed.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use annals::journal::{
    Due, Durability, EventRecord, FjallJournal, FjallOptions, Journal, Outcome as Stored, Record, RunBuilder, Write,
};
use annals::{Codec, PersistenceId, SeqNr, Timestamp};

type Outcome<T> = Result<T, Box<dyn Error>>;

const PAYLOAD: [u8; 100] = [b'x'; 100];
const EVENTS_PER_RUN: usize = 10;
const RUNS_PER_GROUP: u64 = 500;
const STREAMS: u64 = 20_000;
const MEGABYTE: u64 = 1_000_000;

struct Settings {
    directory: PathBuf,
    megabytes: u64,
    tail: u64,
    rounds: usize,
    aborts: bool,
}

impl Settings {
    fn read() -> Outcome<Self> {
        let mut arguments = std::env::args().skip(1);
        let usage =
            "say in which directory to work: opening <dir> [--megabytes <n>] [--tail <megabytes>] [--rounds <n>]";
        let directory = arguments.next().ok_or(usage)?.into();
        let mut settings = Self { directory, megabytes: 1_000, tail: 120, rounds: 5, aborts: false };
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().ok_or(format!("{argument} needs a number"));
            match argument.as_str() {
                "--megabytes" => settings.megabytes = number()?.parse()?,
                "--tail" => settings.tail = number()?.parse()?,
                "--rounds" => settings.rounds = number()?.parse()?,
                "--abort" => settings.aborts = true,
                _ => return Err(usage.into()),
            }
        }
        Ok(settings)
    }
}

fn main() -> Outcome<()> {
    let settings = Settings::read()?;
    let path = settings.directory.join("journal");
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    if settings.aborts {
        let journal = open(&path)?.0;
        runtime.block_on(write(&journal, settings.tail))?;
        std::process::abort();
    }
    if path.exists() {
        fs::remove_dir_all(&path)?;
    }
    fs::create_dir_all(&settings.directory)?;
    let journal = open(&path)?.0;
    let begun = Instant::now();
    runtime.block_on(write(&journal, settings.megabytes))?;
    drop(journal);
    println!("{} MB written in {:.1} s", settings.megabytes, begun.elapsed().as_secs_f64());
    let (mut clean, mut unclean) = (Vec::new(), Vec::new());
    for _ in 0..settings.rounds {
        clean.push(opened(&path)?);
        let program = std::env::current_exe()?;
        let tail = settings.tail.to_string();
        Command::new(program).arg(&settings.directory).args(["--abort", "--tail", &tail]).status()?;
        unclean.push(opened(&path)?);
    }
    print("after it was closed", clean);
    print("after it was killed", unclean);
    fs::remove_dir_all(path)?;
    Ok(())
}

fn open(path: &Path) -> Outcome<(FjallJournal, Duration)> {
    let begun = Instant::now();
    let journal = FjallJournal::open(path, FjallOptions::new().durability(Durability::Fsync))?;
    Ok((journal, begun.elapsed()))
}

fn opened(path: &Path) -> Outcome<Duration> {
    let (journal, took) = open(path)?;
    let opening = journal.opening();
    let parts = [opening.took.files, opening.took.engine, opening.took.chain, opening.took.tables];
    let [files, engine, chain, tables] = parts.map(|part| part.as_secs_f64());
    println!(
        "    {:?}: {:.3} s (files {files:.3}, engine {engine:.3}, chain {chain:.3}, tables {tables:.3})",
        opening.ended,
        took.as_secs_f64()
    );
    Ok(took)
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |index: usize| times.get(index).copied().unwrap_or_default().as_secs_f64();
    let (median, least, most) = (at(times.len() / 2), at(0), at(times.len().saturating_sub(1)));
    println!("opening {what:<22} {median:.3} s ({least:.3} to {most:.3})");
}

async fn write(journal: &FjallJournal, megabytes: u64) -> Outcome<()> {
    let events = u64::try_from(EVENTS_PER_RUN * PAYLOAD.len())?;
    let groups = megabytes * MEGABYTE / events / RUNS_PER_GROUP;
    let mut next = 0;
    for _ in 0..groups {
        let (mut group, mut streams) = (Vec::new(), Vec::new());
        for _ in 0..RUNS_PER_GROUP {
            let id = PersistenceId::new("notebook", format!("entity {}", next % STREAMS));
            next += 1;
            let head = journal.open_stream(&id).await?;
            streams.push(head.stream);
            let mut run = RunBuilder::new(head.stream, id, SeqNr(head.last.0 + 1));
            for _ in 0..EVENTS_PER_RUN {
                let event = EventRecord { name: "noted", version: 1, codec: Codec::MessagePack, payload: &PAYLOAD };
                run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
            }
            group.push(run.seal(&journal.facts(), 1));
        }
        for outcome in journal.append(group).await {
            let Stored::Stored(_) = outcome else { return Err(format!("{outcome:?}").into()) };
        }
        streams.into_iter().for_each(|stream| journal.close_stream(stream));
    }
    Ok(())
}
