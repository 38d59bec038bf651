//! Callers that wait for their answers, entities that store: commands in a second, and how long each takes.
//!
//! Nothing counts before each caller has had its first answer, so that all entities are in memory where they fit, and
//! before half a second is over.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use annals::System;
use annals::journal::Durability;
use tokio::runtime::Runtime;

use crate::latencies::Latencies;
use crate::limits::{self, Limit, RATE};
use crate::report::{Aim, Report, Section, Whose, float};
use crate::zipf::Zipf;
use crate::{Bench, Outcome, cpu, disk, settle};
use annals_bench::notebook::{Notebook, PAYLOAD_BYTES, id, text};

const WARM_UP: Duration = Duration::from_millis(500);
const WARM_UP_MAX: Duration = Duration::from_secs(60);
/// Where more call than this, one of [`SAMPLED`] calls is measured; the longest of all is always known.
const ALL_MEASURED_MAX: u64 = 100;
const SAMPLED: u64 = 16;
/// Who sends without a reply asks for one after so many.
const TOLD_AT_ONCE: u64 = 256;

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const STOPPED: u8 = 2;

/// How a command is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The caller waits for the reply before it gives the next one.
    Ask,
    /// The caller goes on as soon as there is room, and waits for the reply to one of [`TOLD_AT_ONCE`].
    Tell,
    /// Like `Ask`, and each command is for another entity, the rank of which is drawn by Zipf's law.
    Zipf,
}

/// Who calls whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) entities: u64,
    /// For each entity; in all with [`Manner::Zipf`].
    pub(crate) callers: u64,
    pub(crate) manner: Manner,
    /// How many entities may be in memory; as many as there are without it.
    pub(crate) residents_max: Option<usize>,
    /// What its rate is to be, beside the engine with a row for each event.
    pub(crate) of_rows: Option<f64>,
    /// What its rate is to be, beside a plain file.
    pub(crate) of_plain: Option<f64>,
}

impl Load {
    pub(crate) const fn asking(name: &'static str, entities: u64, callers: u64) -> Self {
        let manner = Manner::Ask;
        Self { name, entities, callers, manner, residents_max: None, of_rows: None, of_plain: None }
    }
}

const HOT: Load = Load::asking("1 entity x 1000 callers", 1, 1_000);
pub(crate) const MANY: Load = Load::asking("1000 entities x 10 callers", 1_000, 10);
const WIDE: Load = Load::asking("100000 entities x 1 caller", 100_000, 1);
const ALONE: Load = Load::asking("1 entity x 1 caller", 1, 1);

/// Each one beside the limit that is measured before it. All are compared with [`limits::PLAIN`] and [`limits::ROWS`].
const SHORT: [(Limit, Load); 5] = [
    (limits::PLAIN, Load { of_rows: Some(4.0), of_plain: Some(1.0), ..MANY }),
    (limits::ROWS, Load { of_rows: Some(2.0), ..HOT }),
    (Limit::Single, ALONE),
    (limits::PLAIN_LARGE, Load { of_rows: Some(1.0), ..WIDE }),
    (
        limits::PACKED,
        Load {
            name: "zipf over 1000000 entities, 50000 kept",
            entities: 1_000_000,
            callers: 10_000,
            manner: Manner::Zipf,
            residents_max: Some(50_000),
            of_rows: None,
            of_plain: None,
        },
    ),
];
/// These are measured behind the others of a round.
const MORE: [Load; 2] = [
    Load::asking("1 entity x 64 callers", 1, 64),
    Load { manner: Manner::Tell, ..Load::asking("1000 entities x 1 sender without replies", 1_000, 1) },
];

const LONG: [Load; 3] =
    [Load { of_rows: Some(2.5), ..MANY }, Load { of_rows: Some(2.0), ..HOT }, Load { of_rows: Some(0.7), ..WIDE }];
const LONG_LIMITS: [Limit; 3] = [limits::ROWS, limits::PLAIN, limits::ROWS_AS_ANNALS];
/// The longest that a call may take for a minute, in milliseconds.
const STALL_MAX: f64 = 250.0;

/// Loads of all kinds, and all limits, in turns.
pub(crate) fn commands(bench: &Bench, report: &mut Report) -> Outcome<()> {
    let about = format!("commands of one event of 100 bytes, {:.1} s each, in turns", bench.time.as_secs_f64());
    let mut section = Section::new("commands", about);
    let wanted = |load: &Load| bench.wants("commands", load.name);
    if !SHORT.iter().map(|(_, load)| load).chain(&MORE).any(wanted) {
        return Ok(());
    }
    for _ in 0..bench.runs {
        for (limit, load) in SHORT {
            if wanted(&load) || [limits::PLAIN, limits::ROWS].contains(&limit) {
                limit.measure(&bench.directory, bench.time, &mut section)?;
            }
            if wanted(&load) {
                measure(&bench.directory, &load, bench.time, &mut section)?;
            }
        }
        limits::ROWS_AS_ANNALS.measure(&bench.directory, bench.time, &mut section)?;
        for load in MORE.iter().filter(|load| wanted(load)) {
            measure(&bench.directory, load, bench.time, &mut section)?;
        }
    }
    for load in SHORT.iter().map(|(_, load)| load).chain(&MORE) {
        compare(&mut section, load);
    }
    section.compare(ALONE.name, "p50", &Limit::Single.name(), Some(Aim::AtMost(1.3)));
    bench.tell(report, section)
}

/// What is left of the rates when the engine has to merge what was written.
pub(crate) fn sustained(bench: &Bench, report: &mut Report) -> Outcome<()> {
    let about = format!("commands of one event of 100 bytes, {:.1} s each, in turns", bench.long_time.as_secs_f64());
    let mut section = Section::new("sustained", about);
    let loads: Vec<_> = LONG.iter().filter(|load| bench.wants("sustained", load.name)).collect();
    if loads.is_empty() {
        return Ok(());
    }
    for _ in 0..bench.runs {
        let mut limits = LONG_LIMITS.iter();
        for load in &loads {
            if let Some(limit) = limits.next() {
                limit.measure(&bench.directory, bench.long_time, &mut section)?;
            }
            measure(&bench.directory, load, bench.long_time, &mut section)?;
        }
        for limit in limits {
            limit.measure(&bench.directory, bench.long_time, &mut section)?;
        }
    }
    for load in &loads {
        compare(&mut section, load);
    }
    section.aim(MANY.name, "longest", Aim::AtMost(STALL_MAX));
    bench.tell(report, section)
}

fn compare(section: &mut Section, load: &Load) {
    section.compare(load.name, RATE, &limits::ROWS.name(), load.of_rows.map(Aim::AtLeast));
    section.compare(load.name, RATE, &limits::PLAIN.name(), load.of_plain.map(Aim::AtLeast));
}

/// What came of a load.
#[derive(Debug, Clone)]
struct Measured {
    commands: u64,
    took: Duration,
    latencies: Latencies,
    /// How often an entity had to leave memory for another one.
    passivations: u64,
    /// What was written to disks meanwhile, where the kernel tells.
    written: Option<u64>,
    /// How long each kind of thread was on a core.
    cpu: Vec<(String, Duration)>,
}

/// Has a load go on for some time on a new store, and tells what came of it.
pub(crate) fn measure(directory: &Path, load: &Load, time: Duration, section: &mut Section) -> Outcome<()> {
    let path = directory.join("annals");
    let measured = Runtime::new()?.block_on(async {
        let builder = System::builder().durability(Durability::Fsync);
        let builder = load.residents_max.into_iter().fold(builder, annals::Builder::residents_max);
        let system = builder.open(&path).await?;
        let measured = call(&system, load, time).await;
        system.shutdown().await?;
        measured
    })?;
    fs::remove_dir_all(path)?;
    settle(directory)?;
    let commands = float(measured.commands);
    section.annals(load.name, RATE, "commands/s", commands / measured.took.as_secs_f64());
    if load.manner != Manner::Tell {
        measured.latencies.tell(section, Whose::Annals, load.name);
    }
    if load.residents_max.is_some() {
        section.annals(load.name, "left memory", "per command", float(measured.passivations) / commands);
    }
    if let Some(written) = measured.written {
        let payload = commands * float(u64::try_from(PAYLOAD_BYTES)?);
        section.annals(load.name, "written per payload byte", "x", float(written) / payload);
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / commands;
    cpu::tell(section, load.name, measured.cpu.into_iter().map(|(thread, time)| (thread, each(time))));
    Ok(())
}

/// What the callers of a load share.
struct Stage {
    stage: AtomicU8,
    /// How many callers have had an answer.
    warm: AtomicU64,
    /// Of each caller's calls, one of so many is measured.
    every: u64,
}

async fn call(system: &System, load: &Load, time: Duration) -> Outcome<Measured> {
    let callers = if load.manner == Manner::Zipf { load.callers } else { load.entities * load.callers };
    let every = if callers > ALL_MEASURED_MAX { SAMPLED } else { 1 };
    let stage = Arc::new(Stage { stage: AtomicU8::new(WARMING), warm: AtomicU64::new(0), every });
    let load = *load;
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (system, stage) = (system.clone(), Arc::clone(&stage));
            tokio::spawn(async move {
                match load.manner {
                    Manner::Ask => ask(&system, caller, load.entities, &stage).await,
                    Manner::Tell => tell(&system, caller, load.entities, &stage).await,
                    Manner::Zipf => ask_any(&system, caller, load.entities, &stage).await,
                }
            })
        })
        .collect();
    let warming = Instant::now();
    tokio::time::sleep(WARM_UP).await;
    while stage.warm.load(Ordering::Relaxed) < callers && warming.elapsed() < WARM_UP_MAX {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (before, left, written) = (cpu::by_thread(), system.stats().passivations, disk::written_bytes());
    let begun = Instant::now();
    stage.stage.store(MEASURING, Ordering::Relaxed);
    tokio::time::sleep(time).await;
    stage.stage.store(STOPPED, Ordering::Relaxed);
    let took = begun.elapsed();
    let (cpu, passivations) = (cpu::since(&before), system.stats().passivations - left);
    let written = disk::written_bytes().zip(written).map(|(after, before)| after.saturating_sub(before));
    let mut measured = Measured { commands: 0, took, latencies: Latencies::new(), passivations, written, cpu };
    for task in tasks {
        let seen = task.await??;
        measured.commands += seen.commands;
        measured.latencies.add(&seen.nanos);
        measured.latencies.longest(seen.longest);
    }
    Ok(measured)
}

type Answer<T> = Result<T, annals::CallError<annals::Never>>;

/// What one caller has seen.
struct Seen {
    commands: u64,
    /// How many are answered before the next one is measured.
    until_sampled: u64,
    nanos: Vec<u32>,
    longest: Duration,
    is_warm: bool,
}

impl Seen {
    /// Not all callers measure at the same time.
    fn nothing(stage: &Stage, caller: u64) -> Self {
        let until_sampled = caller % stage.every;
        Self { commands: 0, until_sampled, nanos: Vec::new(), longest: Duration::ZERO, is_warm: false }
    }

    /// Takes an answer to so many commands; says whether there are to be more.
    fn goes_on(&mut self, stage: &Stage, commands: u64, took: Duration) -> bool {
        match stage.stage.load(Ordering::Relaxed) {
            WARMING => {
                if !self.is_warm {
                    self.is_warm = true;
                    stage.warm.fetch_add(1, Ordering::Relaxed);
                }
            }
            MEASURING => {
                self.commands += commands;
                self.longest = self.longest.max(took);
                if self.until_sampled == 0 {
                    self.nanos.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
                    self.until_sampled = stage.every;
                }
                self.until_sampled -= 1;
            }
            _ => return false,
        }
        true
    }
}

async fn ask(system: &System, caller: u64, entities: u64, stage: &Stage) -> Answer<Seen> {
    let (notebook, text) = (system.get::<Notebook>(id(caller % entities)), text());
    let (mut seen, mut before) = (Seen::nothing(stage, caller), Instant::now());
    loop {
        notebook.note(text.clone()).await?;
        let now = Instant::now();
        if !seen.goes_on(stage, 1, now - before) {
            return Ok(seen);
        }
        before = now;
    }
}

async fn ask_any(system: &System, caller: u64, entities: u64, stage: &Stage) -> Answer<Seen> {
    let (mut zipf, text) = (Zipf::new(entities, caller), text());
    let (mut seen, mut before) = (Seen::nothing(stage, caller), Instant::now());
    loop {
        system.get::<Notebook>(id(zipf.draw())).note(text.clone()).await?;
        let now = Instant::now();
        if !seen.goes_on(stage, 1, now - before) {
            return Ok(seen);
        }
        before = now;
    }
}

/// What is counted are the commands whose reply, or that of one behind them, has come.
async fn tell(system: &System, caller: u64, entities: u64, stage: &Stage) -> Answer<Seen> {
    let (notebook, text) = (system.get::<Notebook>(id(caller % entities)), text());
    let (mut seen, mut before) = (Seen::nothing(stage, caller), Instant::now());
    loop {
        for _ in 1..TOLD_AT_ONCE {
            notebook.note(text.clone()).tell().await?;
        }
        notebook.note(text.clone()).await?;
        let now = Instant::now();
        if !seen.goes_on(stage, TOLD_AT_ONCE, now - before) {
            return Ok(seen);
        }
        before = now;
    }
}
