//! What events take on the disk, and how much is written until they lie where they stay.
//!
//! The engine's own journal is told apart: it is bounded, however much is stored.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use annals_bench::notebook::PAYLOAD_BYTES;

use crate::report::{Aim, Report, Section, float};
use crate::scans::{self, CACHE_BYTES};
use crate::{Bench, Outcome, filling, settle};

/// How many events a run has.
const STORES: [u64; 4] = [1, 10, 20, 100];
/// From so many events in a run on, they are to take little more than their payload.
const LONG_RUN: u64 = 20;
/// What is added to each payload, at the most, in long runs.
const FACTOR_MAX: f64 = 1.3;
/// What is added to a shorter run, at the most, in bytes.
const AROUND_RUN_MAX: f64 = 130.0;

/// Fills stores with differently long runs, has the engine merge all its tables, and looks how long the files are.
pub(crate) fn disk(bench: &Bench, report: &mut Report) -> Outcome<()> {
    if !bench.wants("disk", "") {
        return Ok(());
    }
    let events = bench.size(1_000_000);
    let mut section = Section::new(
        "disk",
        format!("{events} events of {PAYLOAD_BYTES} bytes in 1000 streams, not compressed, all tables merged"),
    );
    let payload = float(events * u64::try_from(PAYLOAD_BYTES)?);
    for per_run in STORES {
        let path = bench.directory.join("annals");
        let before = written_bytes();
        filling::run(async { filling::append(&filling::open(&path, CACHE_BYTES)?, events, per_run).await })?;
        let written = written_bytes().zip(before).map(|(after, before)| after.saturating_sub(before));
        {
            let (_database, rows) = scans::open(&path.join("fjall"), "truth")?;
            rows.major_compact()?;
        }
        // The journal closes it in order, so that nothing but tables is left of it.
        drop(filling::open(&path, CACHE_BYTES)?);
        let (bytes, journal) = (bytes_of(&path, &|name| !is_journal(name))?, bytes_of(&path, &is_journal)?);
        let bytes = float(bytes);
        let what = format!("{per_run} event{} per run", if per_run == 1 { "" } else { "s" });
        let runs = float(events.div_ceil(per_run));
        section.annals(&what, "bytes per payload byte", "x", bytes / payload);
        section.annals(&what, "bytes around a run", "bytes", (bytes - payload) / runs);
        section.annals(&what, "the engine's journal", "MB", float(journal) / 1e6);
        if let Some(written) = written {
            section.annals(&what, "written per payload byte", "x", float(written) / payload);
        }
        if per_run >= LONG_RUN {
            section.aim(&what, "bytes per payload byte", Aim::AtMost(FACTOR_MAX));
        } else {
            section.aim(&what, "bytes around a run", Aim::AtMost(AROUND_RUN_MAX));
        }
        fs::remove_dir_all(path)?;
        settle(&bench.directory)?;
    }
    bench.tell(report, section)
}

/// What this process has had written to disks so far, as the kernel counts it; none where it doesn't tell.
pub(crate) fn written_bytes() -> Option<u64> {
    let told = fs::read_to_string("/proc/self/io").ok()?;
    told.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()
}

/// Whether a file is of the engine's own journal, which is bounded: what is in it is in tables, too, when it is closed.
fn is_journal(name: &OsStr) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "jnl")
}

/// How long the files in a directory are together, those that are wanted.
fn bytes_of(directory: &Path, wanted: &impl Fn(&OsStr) -> bool) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            bytes += bytes_of(&entry.path(), wanted)?;
        } else if wanted(&entry.file_name()) {
            bytes += metadata.len();
        }
    }
    Ok(bytes)
}
