//! What entities and deadlines take in memory: the growth of a process of its own, as the kernel counts it.
//!
//! The store is written by one process and opened by another one. A tenth of the entities are loaded before the first look:
//! so what is needed in any case is there, and the engine's cache is as full as it will be, in the arenas of the threads
//! that load. What grows from then on is what each entity takes, in the system, in the journal and in the allocator.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use annals::System;
use annals::journal::Durability;
use annals_bench::notebook::{Notebook, id};

use crate::lease::{self, Lease};
use crate::report::{Aim, Report, Section, float};
use crate::{Bench, Outcome, filling, reading};

const CALLERS: u64 = 1_000;
/// One of so many is loaded before the first look.
const LOADED_BEFORE: u64 = 10;
const ENGINE_CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// Longer than anything is measured.
const NEVER_IDLE: Duration = Duration::from_secs(24 * 60 * 60);
/// The memory is settled when it has been the same for so many looks, 100 ms apart.
const SAME_LOOKS: usize = 5;
const LOOKS_MAX: usize = 300;
const MIB: f64 = 1024.0 * 1024.0;

/// What is measured in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many entities are loaded.
    Residents,
    /// A system is started on a store in which deadlines are armed, or on one where none is.
    Armed,
}

impl Part {
    const ALL: [(Self, &'static str); 2] = [(Self::Residents, "residents"), (Self::Armed, "armed")];

    /// The part that is called so on the command line.
    pub(crate) fn called(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, called)| *called == name).map(|(part, _)| *part)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(part, _)| *part == self).map_or("", |(_, name)| name)
    }
}

/// Residents and deadlines.
pub(crate) fn memory(bench: &Bench, report: &mut Report) -> Outcome<()> {
    if !bench.wants("memory", "") {
        return Ok(());
    }
    let entities = bench.size(1_000_000);
    let mut section = Section::new("memory", format!("{entities} entities with 16 bytes of data and ids of 10 bytes"));
    let [notebooks, leases, loans] = ["notebooks", "leases", "loans"].map(|name| bench.directory.join(name));
    filling::run(async {
        let system = System::builder().durability(Durability::Fsync).open(&notebooks).await?;
        filling::note_one_by_one(&system, entities, 1).await?;
        Ok(system.shutdown().await?)
    })?;
    filling::run(fill_machines(&leases, entities, true))?;
    filling::run(fill_machines(&loans, entities, false))?;
    for _ in 0..bench.runs {
        let [before, after] = measure_apart(Part::Residents, &notebooks, entities)?;
        let residents = float((entities - entities / LOADED_BEFORE).max(1));
        section.annals("resident entity", "memory", "bytes", (after - before) / residents);
        section.annals("process with all of them", "memory", "MiB", after / MIB);
        section.annals("process with a tenth of them", "memory", "MiB", before / MIB);
        let [_, without] = measure_apart(Part::Armed, &loans, entities)?;
        let [_, with] = measure_apart(Part::Armed, &leases, entities)?;
        section.annals("armed deadline", "memory", "bytes", (with - without) / float(entities));
    }
    section.aim("resident entity", "memory", Aim::AtMost(200.0));
    section.aim("process with all of them", "memory", Aim::AtMost(250e6 / MIB));
    section.aim("armed deadline", "memory", Aim::AtMost(40.0));
    for path in [notebooks, leases, loans] {
        fs::remove_dir_all(path)?;
    }
    bench.tell(report, section)
}

/// Each machine has one command, which arms a deadline if it is limited.
async fn fill_machines(path: &Path, entities: u64, limited: bool) -> Outcome<()> {
    let system = System::builder().durability(Durability::Fsync).open(path).await?;
    let called = system.clone();
    let call = move |number| lease::renew(called.clone(), number, limited);
    filling::each(0..entities, 10 * CALLERS, call).await?;
    Ok(system.shutdown().await?)
}

/// Has a part measured by this program in another process: its memory before and after, in bytes.
fn measure_apart(part: Part, path: &Path, entities: u64) -> Outcome<[f64; 2]> {
    let told = Command::new(std::env::current_exe()?)
        .args(["--part", part.name(), "--entities", &entities.to_string(), "--dir"])
        .arg(path)
        .output()?;
    if !told.status.success() {
        return Err(format!("{}: {}", part.name(), String::from_utf8_lossy(&told.stderr)).into());
    }
    Ok(serde_json::from_slice(&told.stdout)?)
}

/// What [`measure_apart`] has done in this process.
pub(crate) fn measure_here(part: Part, path: &Path, entities: u64) -> Outcome<[u64; 2]> {
    filling::run(async {
        let journal = filling::open(path, ENGINE_CACHE_BYTES)?;
        if part == Part::Armed {
            reading::read_through(&journal, |_| Ok(())).await?;
        }
        let residents_max = usize::try_from(entities)?.saturating_mul(2).max(1);
        let builder = System::builder().residents_max(residents_max).idle_after(NEVER_IDLE).register::<Lease>();
        let system = builder.start(journal)?;
        let before;
        match part {
            Part::Residents => {
                load(&system, entities / LOADED_BEFORE).await?;
                before = settled().await?;
                load(&system, entities).await?;
                assert_eq!(system.stats().residents, entities, "all are in memory");
            }
            Part::Armed => before = resident_bytes()?,
        }
        let measured = [before, settled().await?];
        system.shutdown().await?;
        Ok(measured)
    })
}

async fn load(system: &System, entities: u64) -> Outcome<()> {
    let system = system.clone();
    let ask = move |number| {
        let notebook = system.get::<Notebook>(id(number));
        async move { notebook.size().await.map(|(notes, _)| assert_eq!(notes, 1, "it is stored")) }
    };
    filling::each(0..entities, CALLERS, ask).await
}

/// The memory of this process when it doesn't change any more.
async fn settled() -> Outcome<u64> {
    let (mut bytes, mut same) = (resident_bytes()?, 0);
    for _ in 0..LOOKS_MAX {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = resident_bytes()?;
        same = if now == bytes { same + 1 } else { 0 };
        bytes = now;
        if same == SAME_LOOKS {
            break;
        }
    }
    Ok(bytes)
}

/// How much memory this process has now.
fn resident_bytes() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("the kernel doesn't tell")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}
