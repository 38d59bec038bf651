//! Callers that wait for their answers, entities that store: commands in a second, and how long each takes.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use annals::System;
use annals::journal::Durability;
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::cpu;
use crate::figures::{Latencies, float};
use crate::notebook::{Notebook, text};

/// Before this is over, nothing counts.
const WARM_UP: Duration = Duration::from_millis(500);
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
    /// The caller goes on as soon as there is room.
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
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) commands: u64,
    pub(crate) took: Duration,
    pub(crate) latencies: Latencies,
    pub(crate) longest: Duration,
    /// How long each kind of thread was on a core.
    pub(crate) cpu: Vec<(String, Duration)>,
}

impl Measured {
    pub(crate) fn rate(&self) -> f64 {
        float(self.commands) / self.took.as_secs_f64()
    }
}

/// What one caller has seen.
struct Seen {
    commands: u64,
    nanos: Vec<u32>,
    longest: Duration,
}

/// Has a load go on for some time, on a new store.
pub(crate) fn measure(directory: &Path, load: &Load, time: Duration) -> Outcome<Measured> {
    let path = directory.join("annals");
    let measured = Runtime::new()?.block_on(async {
        let system = System::builder().durability(Durability::Fsync).open(&path).await?;
        let measured = call(&system, load, time).await;
        system.shutdown().await?;
        measured
    })?;
    fs::remove_dir_all(path)?;
    Ok(measured)
}

async fn call(system: &System, load: &Load, time: Duration) -> Outcome<Measured> {
    let stage = Arc::new(AtomicU8::new(WARMING));
    let callers = if load.manner == Manner::Zipf { load.callers } else { load.entities * load.callers };
    let every = if callers > ALL_MEASURED_MAX { SAMPLED } else { 1 };
    let load = *load;
    let callers: Vec<_> = (0..callers)
        .map(|caller| {
            let (system, stage) = (system.clone(), stage.clone());
            tokio::spawn(async move {
                match load.manner {
                    Manner::Ask => ask(&system, caller % load.entities, &stage, every).await,
                    Manner::Tell => tell(&system, caller % load.entities, &stage).await,
                    Manner::Zipf => ask_any(&system, Zipf::new(load.entities, caller), &stage, every).await,
                }
            })
        })
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let (begun, before) = (Instant::now(), cpu::by_thread());
    stage.store(MEASURING, Ordering::Relaxed);
    tokio::time::sleep(time).await;
    stage.store(STOPPED, Ordering::Relaxed);
    let (took, cpu) = (begun.elapsed(), cpu::since(&before));
    let mut measured = Measured { commands: 0, took, latencies: Latencies::new(), longest: Duration::ZERO, cpu };
    for caller in callers {
        let seen = caller.await??;
        measured.commands += seen.commands;
        measured.latencies.add(&seen.nanos);
        measured.longest = measured.longest.max(seen.longest);
    }
    Ok(measured)
}

type Answer<T> = Result<T, annals::CallError<annals::Never>>;

fn id(number: u64) -> String {
    format!("{number:010}")
}

impl Seen {
    fn nothing() -> Self {
        Self { commands: 0, nanos: Vec::new(), longest: Duration::ZERO }
    }

    fn answered(&mut self, took: Duration, every: u64) {
        self.commands += 1;
        self.longest = self.longest.max(took);
        if self.commands % every == 0 {
            self.nanos.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
        }
    }
}

async fn ask(system: &System, entity: u64, stage: &AtomicU8, every: u64) -> Answer<Seen> {
    let (notebook, text) = (system.get::<Notebook>(id(entity)), text());
    let mut seen = Seen::nothing();
    let mut before = Instant::now();
    loop {
        notebook.note(text.clone()).await?;
        let now = Instant::now();
        match stage.load(Ordering::Relaxed) {
            WARMING => {}
            MEASURING => seen.answered(now - before, every),
            _ => return Ok(seen),
        }
        before = now;
    }
}

async fn tell(system: &System, entity: u64, stage: &AtomicU8) -> Answer<Seen> {
    let (notebook, text) = (system.get::<Notebook>(id(entity)), text());
    let mut seen = Seen::nothing();
    loop {
        for _ in 1..TOLD_AT_ONCE {
            notebook.note(text.clone()).tell().await?;
        }
        // Its reply comes when all before it are stored.
        notebook.note(text.clone()).await?;
        match stage.load(Ordering::Relaxed) {
            WARMING => {}
            MEASURING => seen.commands += TOLD_AT_ONCE,
            _ => return Ok(seen),
        }
    }
}

async fn ask_any(system: &System, mut zipf: Zipf, stage: &AtomicU8, every: u64) -> Answer<Seen> {
    let text = text();
    let mut seen = Seen::nothing();
    let mut before = Instant::now();
    loop {
        system.get::<Notebook>(id(zipf.draw())).note(text.clone()).await?;
        let now = Instant::now();
        match stage.load(Ordering::Relaxed) {
            WARMING => {}
            MEASURING => seen.answered(now - before, every),
            _ => return Ok(seen),
        }
        before = now;
    }
}

/// Ranks by Zipf's law with the exponent 1: the logarithm of the rank is drawn evenly.
struct Zipf {
    entities: u64,
    state: u64,
}

impl Zipf {
    fn new(entities: u64, seed: u64) -> Self {
        Self { entities, state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    #[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "a rank is small, and cut off on purpose")]
    fn draw(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let part = float(self.state >> 11) / float(1 << 53);
        let rank = float(self.entities).powf(part);
        // Neighbours in rank are strangers by id.
        (rank as u64).min(self.entities - 1).wrapping_mul(0x9E37_79B1) % self.entities
    }
}
