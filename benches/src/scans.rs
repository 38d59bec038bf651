//! The engine alone, with one row for each event: what is read of annals is held against a scan of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use annals_bench::notebook::PAYLOAD_BYTES;

use crate::Outcome;
use crate::limits::key;

pub(crate) const NAME: &str = "fjall, scan of one row per event";
const ROWS_PER_SYNC: u64 = 200;

/// An engine with so many events in rows of their own, closed.
pub(crate) struct Rows {
    path: PathBuf,
    events: u64,
}

impl Rows {
    /// Writes the rows, in the order of their keys, and has them moved into tables.
    pub(crate) fn write(directory: &Path, events: u64) -> Outcome<Self> {
        let path = directory.join("rows");
        let (database, rows) = open(&path, "rows")?;
        let mut number = 0;
        while number < events {
            let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncData));
            for _ in 0..ROWS_PER_SYNC.min(events - number) {
                batch.insert(&rows, key(number), [b'x'; PAYLOAD_BYTES].as_slice());
                number += 1;
            }
            batch.commit()?;
        }
        rows.rotate_memtable_and_wait()?;
        Ok(Self { path, events })
    }

    /// Opens it and reads all rows; how long reading took.
    pub(crate) fn scan(&self) -> Outcome<Duration> {
        let (_database, rows) = open(&self.path, "rows")?;
        let begun = Instant::now();
        let (mut count, mut bytes) = (0, 0);
        for row in rows.iter() {
            let (_, value) = row.into_inner()?;
            count += 1;
            bytes += value.len();
        }
        let took = begun.elapsed();
        assert_eq!((count, bytes), (self.events, usize::try_from(self.events)? * PAYLOAD_BYTES), "all rows are there");
        Ok(took)
    }
}

pub(crate) fn open(path: &Path, keyspace: &str) -> Outcome<(fjall::Database, fjall::Keyspace)> {
    let database = fjall::Database::builder(path).cache_size(CACHE_BYTES).open()?;
    let rows = database.keyspace(keyspace, fjall::KeyspaceCreateOptions::default)?;
    Ok((database, rows))
}

/// As much as the journal's default.
pub(crate) const CACHE_BYTES: u64 = 64 * 1024 * 1024;
