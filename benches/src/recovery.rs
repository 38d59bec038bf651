//! How fast entities come into memory: from their first event, and from a snapshot.
//!
//! Each store is closed and opened again before it is measured. The files are read through the system's cache, which has
//! them: they were written just before.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use annals::System;
use annals::journal::Durability;
use annals::snapshot::MemorySnapshots;
use annals_bench::notebook::{Notebook, TEXT_BYTES, id};

use crate::report::{Aim, Report, Section, float};
use crate::scans::{self, CACHE_BYTES, Rows};
use crate::{Bench, Outcome, filling, settle};

/// How many events a snapshot is behind, at most.
const BEHIND_MAX: u64 = 1_000;
const CALLERS: u64 = 1_000;
/// How many events each of the cold entities has.
const COLD_EVENTS: u64 = 10;
const NANOS: &str = "time per event";
const SCANNED: &str = "fjall, scan of annals' runs of one entity";
const ONE: &str = "one entity, from its first event";
const SNAPSHOT: &str = "one entity, with a snapshot";
const COLD: &str = "cold entities of 10 events, one per run";

/// Everything that is loaded.
pub(crate) fn recovery(bench: &Bench, report: &mut Report) -> Outcome<()> {
    if !bench.wants("recovery", "") {
        return Ok(());
    }
    let (events, entities) = (bench.size(1_000_000), bench.size(100_000));
    let mut section =
        Section::new("recovery", format!("one entity of {events} events, {entities} cold ones of {COLD_EVENTS}"));
    let directory = bench.directory.join("recovery");
    fs::create_dir_all(&directory)?;
    let rows = Rows::write(&directory, events)?;
    let [hot, cold] = ["hot", "cold"].map(|name| directory.join(name));
    filling::run(write(&hot, events))?;
    filling::run(async {
        let system = open(&cold, Snapshots::Own)?.0;
        filling::note_one_by_one(&system, entities, COLD_EVENTS).await?;
        Ok(system.shutdown().await?)
    })?;
    settle(&directory)?;
    for _ in 0..bench.runs {
        section.limit(scans::NAME, NANOS, "ns", nanos(rows.scan()?, events));
        section.limit(SCANNED, NANOS, "ns", nanos(scan_runs(&hot)?, events));
        let (opened, loaded) = filling::run(load(&hot, events, Snapshots::None))?;
        section.annals("opening the journal", "time", "ms", opened.as_secs_f64() * 1e3);
        section.annals(ONE, NANOS, "ns", nanos(loaded, events));
        let (_, loaded) = filling::run(load(&hot, events, Snapshots::Own))?;
        section.annals(SNAPSHOT, "time", "ms", loaded.as_secs_f64() * 1e3);
        section.annals(SNAPSHOT, "events behind it", "events", float(BEHIND_MAX.min(events)));
        let loaded = filling::run(load_all(&cold, entities))?;
        section.annals(COLD, NANOS, "ns", nanos(loaded, entities * COLD_EVENTS));
        section.annals(COLD, "rate", "entities/s", float(entities) / loaded.as_secs_f64());
    }
    section.aim(ONE, NANOS, Aim::AtMost(300.0));
    // Half as fast is twice the time.
    section.compare(ONE, NANOS, scans::NAME, Some(Aim::AtMost(2.0)));
    section.compare(COLD, NANOS, scans::NAME, None);
    fs::remove_dir_all(&directory)?;
    bench.tell(report, section)
}

fn nanos(took: Duration, events: u64) -> f64 {
    took.as_secs_f64() * 1e9 / float(events)
}

/// Which snapshots a system may use.
#[derive(Clone, Copy)]
enum Snapshots {
    None,
    /// The journal's.
    Own,
}

/// Opens a store; how long its journal took.
fn open(path: &Path, snapshots: Snapshots) -> Outcome<(System, Duration)> {
    let begun = Instant::now();
    let journal = filling::open(path, CACHE_BYTES)?;
    let opened = begun.elapsed();
    let system = match snapshots {
        Snapshots::None => System::builder().snapshots(MemorySnapshots::new()),
        Snapshots::Own => System::builder(),
    };
    Ok((system.start(journal)?, opened))
}

/// Towards the end a snapshot is taken.
async fn write(path: &Path, events: u64) -> Outcome<()> {
    let system = System::builder().durability(Durability::Fsync).open(path).await?;
    let behind = BEHIND_MAX.min(events);
    filling::note_together(&system, 0, CALLERS, events - behind).await?;
    system.get::<Notebook>(id(0)).snapshot().await?;
    filling::note_together(&system, 0, CALLERS, behind).await?;
    Ok(system.shutdown().await?)
}

/// How long opening the journal takes, and the first call to the entity from the call to its answer.
async fn load(path: &Path, events: u64, snapshots: Snapshots) -> Outcome<(Duration, Duration)> {
    let (system, opened) = open(path, snapshots)?;
    let notebook = system.get::<Notebook>(id(0));
    let begun = Instant::now();
    let size = notebook.size().await?;
    let loaded = begun.elapsed();
    assert_eq!(size, (events, events * u64::try_from(TEXT_BYTES)?), "all events are there");
    system.shutdown().await?;
    Ok((opened, loaded))
}

/// How long it takes until all entities have answered, many at a time.
async fn load_all(path: &Path, entities: u64) -> Outcome<Duration> {
    let system = open(path, Snapshots::None)?.0;
    let begun = Instant::now();
    let asked = system.clone();
    let ask = move |number| {
        let notebook = asked.get::<Notebook>(id(number));
        async move { notebook.size().await.map(|(notes, _)| assert_eq!(notes, COLD_EVENTS, "all events are there")) }
    };
    filling::each(0..entities, CALLERS, ask).await?;
    let loaded = begun.elapsed();
    system.shutdown().await?;
    Ok(loaded)
}

/// Reads the rows in which the journal keeps the events, as they are.
fn scan_runs(path: &Path) -> Outcome<Duration> {
    let (_database, rows) = scans::open(&path.join("fjall"), "truth")?;
    let begun = Instant::now();
    let mut bytes = 0;
    for row in rows.prefix([2]) {
        bytes += row.into_inner()?.1.len();
    }
    let took = begun.elapsed();
    assert!(bytes > 0, "there are runs");
    Ok(took)
}
