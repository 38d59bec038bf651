//! What this machine's disk and the engine can do without annals: a plain file, its syncs, and the engine alone.
//!
//! Each stores so many events with one sync. Whoever stores more with one may be faster, annals included.
//!
//! All of them write events of [`PAYLOAD_BYTES`] with a key of 16 bytes, and are durable to the same degree: nothing
//! counts before the fdatasync behind it is back.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fjall::compaction::Leveled;
use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, KeyspaceCreateOptions, PersistMode};

use crate::latencies::Latencies;
use crate::report::{Section, Whose, float};
use crate::{Outcome, settle};
use annals_bench::notebook::PAYLOAD_BYTES;

pub(crate) const KEY_BYTES: usize = 16;
const ENTITIES: u64 = 1_000;
/// The rate of all that writes.
pub(crate) const RATE: &str = "rate";

/// Something that writes for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// A plain file: so many events for each fdatasync.
    Plain(u64),
    /// A plain file: each event with an fdatasync of its own.
    Single,
    /// The engine: so many events in a row, so many rows for each sync.
    Engine(Settings, usize, u64),
}

/// How the engine is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settings {
    /// As it is without any.
    None,
    /// As annals opens it: what `runtime/src/journal/fjall/engine.rs` says.
    Annals,
}

/// One fdatasync for each 200 events.
pub(crate) const PLAIN: Limit = Limit::Plain(200);
/// One fdatasync for each 5,000 events: the disk's bandwidth.
pub(crate) const PLAIN_LARGE: Limit = Limit::Plain(5_000);
/// The engine with a row for each event, and a sync for each 200.
pub(crate) const ROWS: Limit = Limit::Engine(Settings::None, 1, 200);
/// The same with annals' settings: what they alone are worth.
pub(crate) const ROWS_AS_ANNALS: Limit = Limit::Engine(Settings::Annals, 1, 200);
/// The engine with ten events in a row, and a sync for each 10,000.
pub(crate) const PACKED: Limit = Limit::Engine(Settings::None, 10, 1_000);

impl Limit {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Plain(events) => format!("plain append, {events} per sync"),
            Self::Single => "plain append, each with its sync".to_owned(),
            Self::Engine(Settings::Annals, ..) => "fjall as annals opens it, one row per event".to_owned(),
            Self::Engine(_, 1, rows) => format!("fjall, one row per event, {rows} per sync"),
            Self::Engine(_, events, rows) => format!("fjall, {events} events per row, {rows} rows per sync"),
        }
    }

    /// Writes for some time, and tells how fast that was.
    pub(crate) fn measure(self, directory: &Path, time: Duration, section: &mut Section) -> Outcome<()> {
        match self {
            Self::Plain(per_sync) => plain_file(directory, per_sync, time)?.tell(&self.name(), section),
            Self::Engine(settings, events, rows) => {
                engine(directory, settings, events, rows, time)?.tell(&self.name(), section);
            }
            Self::Single => {
                let (written, latencies) = single_appends(directory, time)?;
                // Each event is a sync: this is the fsync rate, too.
                section.limit(&self.name(), RATE, "events/s", written.rate());
                latencies.tell(section, Whose::Limit, &self.name());
            }
        }
        settle(directory)
    }
}

/// How many events, how long they took, and how long the slowest write with its sync.
#[derive(Debug, Clone, Copy)]
struct Written {
    events: u64,
    took: Duration,
    longest: Duration,
}

impl Written {
    fn rate(self) -> f64 {
        float(self.events) / self.took.as_secs_f64()
    }

    fn tell(self, name: &str, section: &mut Section) {
        section.limit(name, RATE, "events/s", self.rate());
        section.limit(name, "longest sync", "ms", self.longest.as_secs_f64() * 1e3);
    }
}

/// Writes so many events again and again, as long as there is time.
fn write_on(time: Duration, mut write: impl FnMut() -> Outcome<u64>) -> Outcome<Written> {
    let begun = Instant::now();
    let mut written = Written { events: 0, took: Duration::ZERO, longest: Duration::ZERO };
    while written.took < time {
        written.events += write()?;
        let took = begun.elapsed();
        written.longest = written.longest.max(took - written.took);
        written.took = took;
    }
    Ok(written)
}

/// The entity, then the sequence number.
pub(crate) fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let (entity, seq_nr) = key.split_at_mut(KEY_BYTES / 2);
    entity.copy_from_slice(&(number % ENTITIES).to_be_bytes());
    seq_nr.copy_from_slice(&(number / ENTITIES).to_be_bytes());
    key
}

fn plain_file(directory: &Path, per_sync: u64, time: Duration) -> Outcome<Written> {
    let path = directory.join("plain");
    let mut file = File::create(&path)?;
    let (mut batch, mut number) = (Vec::new(), 0);
    let written = write_on(time, || {
        batch.clear();
        for _ in 0..per_sync {
            batch.extend_from_slice(&key(number));
            batch.extend_from_slice(&[b'x'; PAYLOAD_BYTES]);
            number += 1;
        }
        file.write_all(&batch)?;
        file.sync_data()?;
        Ok(per_sync)
    })?;
    drop(file);
    fs::remove_file(path)?;
    Ok(written)
}

/// The file grows with each of them.
fn single_appends(directory: &Path, time: Duration) -> Outcome<(Written, Latencies)> {
    let path = directory.join("single");
    let mut file = File::create(&path)?;
    let (mut latencies, mut number) = (Latencies::new(), 0);
    let written = write_on(time, || {
        let before = Instant::now();
        let mut event = key(number).to_vec();
        event.extend_from_slice(&[b'x'; PAYLOAD_BYTES]);
        file.write_all(&event)?;
        file.sync_data()?;
        latencies.record(before.elapsed());
        number += 1;
        Ok(1)
    })?;
    drop(file);
    fs::remove_file(path)?;
    Ok((written, latencies))
}

fn engine(
    directory: &Path,
    settings: Settings,
    events_per_row: usize,
    rows_per_sync: u64,
    time: Duration,
) -> Outcome<Written> {
    let path = directory.join("engine");
    let (database, rows) = match settings {
        Settings::None => {
            let database = Database::builder(&path).open()?;
            let rows = database.keyspace("rows", KeyspaceCreateOptions::default)?;
            (database, rows)
        }
        Settings::Annals => {
            let builder = Database::builder(&path).worker_threads(4).max_journaling_size(128 << 20);
            let database = builder.journal_compression(CompressionType::None).open()?;
            let merged = Arc::new(Leveled::default().with_l0_threshold(8));
            let options = KeyspaceCreateOptions::default().data_block_compression_policy(CompressionPolicy::disabled());
            let rows = database.keyspace("rows", || options.compaction_strategy(merged))?;
            (database, rows)
        }
    };
    let row = vec![b'x'; PAYLOAD_BYTES * events_per_row];
    let (mut number, events) = (0, u64::try_from(events_per_row)? * rows_per_sync);
    let written = write_on(time, || {
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        for _ in 0..rows_per_sync {
            batch.insert(&rows, key(number), row.as_slice());
            number += 1;
        }
        batch.commit()?;
        Ok(events)
    })?;
    drop((rows, database));
    fs::remove_dir_all(path)?;
    Ok(written)
}
