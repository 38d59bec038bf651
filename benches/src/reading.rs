//! How fast all that is stored is read in its order, as somebody would who makes something else of it.
//!
//! Every run is read page by page, checked and decoded down to its records; what the payloads mean is left to the reader.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use annals::Offset;
use annals::journal::{FjallJournal, Journal, Record, RunError, RunView};
use annals_bench::notebook::PAYLOAD_BYTES;

use crate::report::{Aim, Report, Section, float};
use crate::scans::{self, CACHE_BYTES, Rows};
use crate::{Bench, Outcome, filling, settle};

const PAGE_BYTES: usize = 1024 * 1024;
const RATE: &str = "rate";
/// How many events a run has, how the row is called, and what its rate is to be in events/s.
const STORES: [(u64, &str, Option<f64>); 3] = [
    (1, "the whole journal, 1 event per run", Some(500_000.0)),
    (10, "the whole journal, 10 events per run", Some(3_000_000.0)),
    (100, "the whole journal, 100 events per run", None),
];

/// Reads stores of differently long runs.
pub(crate) fn reading(bench: &Bench, report: &mut Report) -> Outcome<()> {
    if !bench.wants("reading", "") {
        return Ok(());
    }
    let events = bench.size(1_000_000);
    let mut section = Section::new("reading", format!("{events} events of {PAYLOAD_BYTES} bytes in 1000 streams"));
    let directory = bench.directory.join("reading");
    fs::create_dir_all(&directory)?;
    let rows = Rows::write(&directory, events)?;
    let path = |per_run: u64| directory.join(format!("annals-{per_run}"));
    for (per_run, ..) in STORES {
        filling::run(async { filling::append(&filling::open(&path(per_run), CACHE_BYTES)?, events, per_run).await })?;
    }
    settle(&directory)?;
    for _ in 0..bench.runs {
        section.limit(scans::NAME, RATE, "events/s", float(events) / rows.scan()?.as_secs_f64());
        for (per_run, name, _) in STORES {
            let took = filling::run(read(&path(per_run), events))?;
            section.annals(name, RATE, "events/s", float(events) / took.as_secs_f64());
        }
    }
    for (_, name, aim) in STORES {
        section.compare(name, RATE, scans::NAME, None);
        aim.into_iter().for_each(|least| section.aim(name, RATE, Aim::AtLeast(least)));
    }
    fs::remove_dir_all(&directory)?;
    bench.tell(report, section)
}

async fn read(path: &Path, events: u64) -> Outcome<Duration> {
    let journal = filling::open(path, CACHE_BYTES)?;
    let begun = Instant::now();
    let (mut count, mut bytes) = (0, 0);
    read_through(&journal, |run| {
        run.for_each(|_, _, record| {
            if let Record::Event(event) = record {
                count += 1;
                bytes += event.payload.len();
            }
            Ok(())
        })
    })
    .await?;
    let took = begun.elapsed();
    assert_eq!((count, bytes), (events, usize::try_from(events)? * PAYLOAD_BYTES), "all events are read");
    Ok(took)
}

/// Reads a journal from its begin to its end.
pub(crate) async fn read_through(
    journal: &FjallJournal,
    mut visit: impl FnMut(&RunView<'_>) -> Result<(), RunError>,
) -> Outcome<()> {
    let store = journal.facts().store;
    let (mut after, mut more) = (Offset(0), true);
    while more {
        let page = journal.read_all(after, PAGE_BYTES).await?;
        for stored in &page.runs {
            let run = RunView::parse(&stored.bytes, store)?;
            visit(&run)?;
            after = Offset(stored.offset.0 + run.records() - 1);
        }
        more = page.more;
    }
    Ok(())
}
