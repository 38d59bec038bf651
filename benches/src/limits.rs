//! What nothing that stores on this machine can be faster than: a plain file, its syncs, and the engine alone.
//!
//! All of them write events of [`PAYLOAD_BYTES`] with a key of 16 bytes, and are durable to the same degree: nothing
//! counts before the fdatasync behind it is back.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::figures::Latencies;
use crate::notebook::PAYLOAD_BYTES;

const KEY_BYTES: usize = 16;
const ENTITIES: u64 = 1_000;

/// How many events, and how long they took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) events: u64,
    pub(crate) took: Duration,
}

impl Written {
    pub(crate) fn rate(&self) -> f64 {
        crate::figures::float(self.events) / self.took.as_secs_f64()
    }
}

fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let (entity, seq_nr) = key.split_at_mut(KEY_BYTES / 2);
    entity.copy_from_slice(&(number % ENTITIES).to_be_bytes());
    seq_nr.copy_from_slice(&(number / ENTITIES).to_be_bytes());
    key
}

/// Appends to a file, with one fdatasync for so many events.
pub(crate) fn plain_file(directory: &Path, per_sync: u64, time: Duration) -> Outcome<Written> {
    let path = directory.join("plain");
    let mut file = File::create(&path)?;
    let (mut batch, mut events) = (Vec::new(), 0);
    let begun = Instant::now();
    while begun.elapsed() < time {
        batch.clear();
        for _ in 0..per_sync {
            batch.extend_from_slice(&key(events));
            batch.extend_from_slice(&[b'x'; PAYLOAD_BYTES]);
            events += 1;
        }
        file.write_all(&batch)?;
        file.sync_data()?;
    }
    let took = begun.elapsed();
    drop(file);
    fs::remove_file(path)?;
    Ok(Written { events, took })
}

/// Appends one event after the other to a growing file, each with an fdatasync: the time that each takes.
pub(crate) fn single_appends(directory: &Path, time: Duration) -> Outcome<Latencies> {
    let path = directory.join("single");
    let mut file = File::create(&path)?;
    let mut latencies = Latencies::new();
    let (mut number, begun) = (0, Instant::now());
    let mut before = begun;
    while before - begun < time {
        let mut event = key(number).to_vec();
        event.extend_from_slice(&[b'x'; PAYLOAD_BYTES]);
        file.write_all(&event)?;
        file.sync_data()?;
        let now = Instant::now();
        latencies.record(now - before);
        (before, number) = (now, number + 1);
    }
    drop(file);
    fs::remove_file(path)?;
    Ok(latencies)
}

/// Writes rows into the engine, of so many events each, so many rows in a batch with its sync.
pub(crate) fn engine(directory: &Path, events_per_row: usize, rows_per_sync: u64, time: Duration) -> Outcome<Written> {
    let path = directory.join("engine");
    let database = fjall::Database::builder(&path).open()?;
    let rows = database.keyspace("rows", fjall::KeyspaceCreateOptions::default)?;
    let row = vec![b'x'; PAYLOAD_BYTES * events_per_row];
    let (mut number, begun) = (0, Instant::now());
    while begun.elapsed() < time {
        let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncData));
        for _ in 0..rows_per_sync {
            batch.insert(&rows, key(number), row.as_slice());
            number += 1;
        }
        batch.commit()?;
    }
    let took = begun.elapsed();
    drop((rows, database));
    fs::remove_dir_all(path)?;
    Ok(Written { events: number * u64::try_from(events_per_row)?, took })
}
