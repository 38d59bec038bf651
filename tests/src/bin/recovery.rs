//! How fast an entity is loaded, from its first event and from a snapshot, beside a scan of the engine alone in the same
//! run: `recovery <dir> [--events <n>] [--callers <n>] [--rounds <n>] [--quick]`.
//!
//! With one caller, each event is stored in a row of its own. With more, the events of commands that came together share
//! one.
//!
//! Both hold the same events, each with a payload of 100 bytes, durable when they were written; the engine has one row
//! for each. Before it is measured, each store is closed and opened again. The files are read through the system's
//! cache, which has them: they were written just before.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use annals::journal::{Durability, FjallJournal, FjallOptions};
use annals::prelude::*;
use annals::snapshot::MemorySnapshots;

/// What serde makes of an event: 8 bytes for a map of one field, its name and the text's length, then the text.
const PAYLOAD_BYTES: usize = 100;
const TEXT_BYTES: usize = PAYLOAD_BYTES - 8;
const BATCH: u64 = 200;
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Counts what was noted in it.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, Snapshot)]
struct Notebook {
    notes: u64,
    bytes: u64,
}

/// How many events a snapshot is behind, at most.
const BEHIND_MAX: u64 = 1_000;

#[aggregate(snapshot)]
impl Notebook {
    #[event]
    fn noted(&mut self, text: String) {
        self.notes += 1;
        self.bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
    }

    #[command]
    fn note(&self, text: String) -> Step {
        applying(NotebookEvent::Noted { text })
    }

    #[query]
    fn size(&self) -> (u64, u64) {
        (self.notes, self.bytes)
    }
}

/// What was asked for on the command line.
struct Settings {
    directory: PathBuf,
    events: u64,
    callers: u64,
    rounds: usize,
}

impl Settings {
    fn read() -> Outcome<Self> {
        let mut arguments = std::env::args().skip(1);
        let usage = "say in which directory to work: recovery <dir> [--events <n>] [--callers <n>] [--rounds <n>]";
        let directory = arguments.next().ok_or(usage)?.into();
        let mut settings = Self { directory, events: 1_000_000, callers: 1_000, rounds: 7 };
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().ok_or(format!("{argument} needs a number"));
            match argument.as_str() {
                "--events" => settings.events = number()?.parse()?,
                "--callers" => settings.callers = number()?.parse()?,
                "--rounds" => settings.rounds = number()?.parse()?,
                "--quick" => (settings.events, settings.rounds) = (20_000, 3),
                _ => return Err(usage.into()),
            }
        }
        Ok(settings)
    }
}

fn main() -> Outcome<()> {
    let settings = Settings::read()?;
    fs::create_dir_all(&settings.directory)?;
    let Settings { events, callers, rounds, .. } = settings;
    let cores = std::thread::available_parallelism()?;
    println!("{cores} cores, one entity, {events} events of {PAYLOAD_BYTES} bytes, Durability::Fsync, {rounds} rounds");

    let engine = settings.directory.join("fjall");
    let store = settings.directory.join("annals");
    write_rows(&engine, events)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(write_events(&store, events, callers))?;

    let mut figures = Figures::default();
    for _ in 0..rounds {
        figures.rows.push(scan_rows(&engine, events)?);
        let (opened, recovered) = runtime.block_on(recover(&store, events, Snapshots::None))?;
        figures.opened.push(opened);
        figures.recovered.push(recovered);
        figures.from_snapshot.push(runtime.block_on(recover(&store, events, Snapshots::Own))?.1);
        let (scanned, runs) = scan_runs(&store)?;
        figures.packed.push(scanned);
        figures.runs = runs;
    }
    figures.print(events);
    fs::remove_dir_all(engine)?;
    fs::remove_dir_all(store)?;
    Ok(())
}

/// What was measured, in each round.
#[derive(Default)]
struct Figures {
    rows: Vec<Duration>,
    packed: Vec<Duration>,
    runs: u64,
    opened: Vec<Duration>,
    recovered: Vec<Duration>,
    from_snapshot: Vec<Duration>,
}

impl Figures {
    fn print(&self, events: u64) {
        let rows = row("fjall, scan of one row per event", events, &self.rows);
        row(&format!("fjall, scan of the {} rows of annals", self.runs), events, &self.packed);
        row("annals, opening the journal", events, &self.opened);
        let recovered = row("annals, first answer without a snapshot", events, &self.recovered);
        println!("    {:.2} x the rate of the scan of one row per event", rows / recovered);
        let behind = BEHIND_MAX.min(events);
        row(&format!("annals, with a snapshot {behind} events old"), behind, &self.from_snapshot);
    }
}

/// Prints median, least and most of some times; gives the median in nanoseconds for each event.
fn row(what: &str, events: u64, times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort();
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    let (median, least, most) = (at(sorted.len() / 2), at(0), at(sorted.len().saturating_sub(1)));
    let events = u32::try_from(events).map_or(f64::INFINITY, f64::from);
    let each = median.as_secs_f64() * 1e9 / events;
    let [median, least, most] = [median, least, most].map(|time| time.as_secs_f64());
    println!("{what:<44} {median:>9.4} s ({least:.4} to {most:.4}) {each:>8.1} ns/event");
    each
}

fn text() -> String {
    "x".repeat(TEXT_BYTES)
}

/// What the event is as bytes.
fn payload() -> Vec<u8> {
    let mut payload = b"\x81\xa4text\xd9".to_vec();
    payload.extend(u8::try_from(TEXT_BYTES));
    payload.extend_from_slice(text().as_bytes());
    payload
}

fn open_engine(path: &Path, name: &str) -> Outcome<(fjall::Database, fjall::Keyspace)> {
    let database = fjall::Database::builder(path).cache_size(CACHE_BYTES).open()?;
    let rows = database.keyspace(name, fjall::KeyspaceCreateOptions::default)?;
    Ok((database, rows))
}

fn write_rows(path: &Path, events: u64) -> Outcome<()> {
    let (database, rows) = open_engine(path, "rows")?;
    let payload = payload();
    assert_eq!(payload.len(), PAYLOAD_BYTES, "the payload is as long as it is said to be");
    for batch_begin in (0..events).step_by(usize::try_from(BATCH)?) {
        let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncData));
        for number in batch_begin..events.min(batch_begin + BATCH) {
            let mut key = [0; 16];
            key[8..].copy_from_slice(&number.to_be_bytes());
            batch.insert(&rows, key, payload.as_slice());
        }
        batch.commit()?;
    }
    // The journal does the same when it is closed.
    rows.rotate_memtable_and_wait()?;
    Ok(())
}

fn scan_rows(path: &Path, events: u64) -> Outcome<Duration> {
    let (_database, rows) = open_engine(path, "rows")?;
    let started = Instant::now();
    let (mut count, mut bytes) = (0, 0);
    for row in rows.iter() {
        let (_, value) = row.into_inner()?;
        count += 1;
        bytes += value.len();
    }
    let took = started.elapsed();
    assert_eq!((count, bytes), (events, usize::try_from(events)? * PAYLOAD_BYTES), "all rows are there");
    Ok(took)
}

/// Each caller sends its next command when it has the reply to the last. Towards the end a snapshot is taken.
async fn write_events(path: &Path, events: u64, callers: u64) -> Outcome<()> {
    let system = System::builder().durability(Durability::Fsync).open(path).await?;
    let behind = BEHIND_MAX.min(events);
    write(&system, events - behind, callers).await?;
    let notebook = system.get::<Notebook>("it");
    if behind < events {
        let snapshot = notebook.snapshot().await?;
        assert_eq!(snapshot.seq_nr.0, events - behind, "it is as old as it is said to be");
    }
    write(&system, behind, callers).await?;
    system.shutdown().await?;
    Ok(())
}

async fn write(system: &System, events: u64, callers: u64) -> Outcome<()> {
    let of = move |caller| events / callers + u64::from(caller < events % callers);
    let callers: Vec<_> = (0..callers)
        .map(|caller| {
            let notebook = system.get::<Notebook>("it");
            tokio::spawn(async move {
                for _ in 0..of(caller) {
                    notebook.note(text()).await?;
                }
                Ok::<_, CallError<annals::Never>>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(())
}

/// Which snapshots a system may use.
enum Snapshots {
    None,
    /// The journal's.
    Own,
}

/// How long opening the journal takes, and the first call to the entity from the call to its answer.
async fn recover(path: &Path, events: u64, snapshots: Snapshots) -> Outcome<(Duration, Duration)> {
    let options = FjallOptions::new().durability(Durability::Fsync).cache_bytes(CACHE_BYTES);
    let begun = Instant::now();
    let journal = FjallJournal::open(path, options)?;
    let opened = begun.elapsed();
    let system = match snapshots {
        Snapshots::None => System::builder().snapshots(MemorySnapshots::new()),
        Snapshots::Own => System::builder(),
    };
    let system = system.start(journal)?;
    let notebook = system.get::<Notebook>("it");
    let begun = Instant::now();
    let size = notebook.size().await?;
    let recovered = begun.elapsed();
    assert_eq!(size, (events, events * u64::try_from(TEXT_BYTES)?), "all events are there");
    system.shutdown().await?;
    Ok((opened, recovered))
}

/// Reads the rows in which the journal keeps the events, as they are; how long that takes, and how many there are.
fn scan_runs(path: &Path) -> Outcome<(Duration, u64)> {
    let (_database, rows) = open_engine(&path.join("fjall"), "truth")?;
    let started = Instant::now();
    let (mut runs, mut bytes) = (0, 0);
    for row in rows.prefix([2]) {
        let (_, value) = row.into_inner()?;
        runs += 1;
        bytes += value.len();
    }
    let took = started.elapsed();
    assert!(bytes > 0, "there are runs");
    Ok((took, runs))
}
