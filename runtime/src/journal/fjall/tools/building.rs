//! A store that is made of rows.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::engine::{Batch, Engine, SNAPSHOTS as SHELF, Shape, TRUTH};
use super::super::open::{ENGINE, HEAD, SNAPSHOTS};
use super::super::snapshots::SNAPSHOT;
use super::{StoreDir, StoreError, read_head};
use crate::disk::sync_tree;
use crate::journal::Durability;
use crate::journal::head::{Head, HeadFile};
use crate::journal::order::Mark;

/// So many rows at most, and about so many bytes, are stored at once.
const ROWS_MAX: usize = 4096;
const BYTES_MAX: usize = 16 * 1024 * 1024;
const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// Rows of an engine that is being made.
struct Rows {
    path: PathBuf,
    engine: Engine,
    batch: Option<Batch>,
    rows: usize,
    bytes: usize,
}

impl Rows {
    fn make(path: PathBuf, shape: Shape) -> Result<Self, StoreError> {
        let made = Engine::create(&path, shape).and_then(|()| Engine::open(&path, shape, CACHE_BYTES));
        let engine = made.map_err(|error| failed(&path)(error))?;
        Ok(Self { path, engine, batch: None, rows: 0, bytes: 0 })
    }

    fn insert(&mut self, key: &[u8], row: &[u8]) -> Result<(), StoreError> {
        let batch = self.batch.get_or_insert_with(|| self.engine.batch(ROWS_MAX, Durability::Os));
        batch.insert(key, row);
        self.rows += 1;
        self.bytes += key.len() + row.len();
        if self.rows >= ROWS_MAX || self.bytes >= BYTES_MAX { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let Some(batch) = self.batch.take() else { return Ok(()) };
        (self.rows, self.bytes) = (0, 0);
        self.engine.pace().and_then(|()| batch.commit()).map_err(failed(&self.path))
    }

    fn finish(mut self) -> Result<(), StoreError> {
        self.commit()?;
        self.engine.flush().map_err(failed(&self.path))
    }
}

fn failed(path: &Path) -> impl Fn(super::EngineError) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::Io { tried: "write", path: path.clone(), error: std::io::Error::other(error.to_string()) }
}

/// A store that is being made in a directory which nobody else uses.
pub(super) struct Building {
    path: PathBuf,
    rows: Rows,
    /// None as long as there are no snapshots.
    snapshots: Option<Rows>,
}

impl Building {
    pub(super) fn begin(path: &Path) -> Result<Self, StoreError> {
        let rows = Rows::make(path.join(ENGINE), TRUTH)?;
        Ok(Self { path: path.to_owned(), rows, snapshots: None })
    }

    pub(super) fn insert(&mut self, key: &[u8], row: &[u8]) -> Result<(), StoreError> {
        self.rows.insert(key, row)
    }

    pub(super) fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.rows.commit()?;
        let found = self.rows.engine.get(key).map_err(failed(&self.rows.path))?;
        Ok(found.map(|row| row.to_vec()))
    }

    /// The engine, with all that was inserted.
    pub(super) fn engine(&mut self) -> Result<&Engine, StoreError> {
        self.rows.commit()?;
        Ok(&self.rows.engine)
    }

    pub(super) fn insert_snapshot(&mut self, meta_key: &[u8], meta: &[u8], row: &[u8]) -> Result<(), StoreError> {
        let shelf = match &mut self.snapshots {
            Some(shelf) => shelf,
            none => none.insert(Rows::make(self.path.join(SNAPSHOTS), SHELF)?),
        };
        shelf.insert(meta_key, meta)?;
        let mut key = meta_key.to_vec();
        if let Some(tag) = key.first_mut() {
            *tag = SNAPSHOT;
        }
        shelf.insert(&key, row)
    }

    /// Closes the engines, writes the head, syncs everything, and checks it all.
    pub(super) fn finish(self, origin: &Origin, end: Mark, tell: super::Tell<'_>) -> Result<(), StoreError> {
        let Self { path, rows, snapshots } = self;
        rows.finish()?;
        if let Some(shelf) = snapshots {
            shelf.finish()?;
        }
        let mut head = Head {
            epoch: origin.epoch,
            durability: origin.durability,
            acked: end,
            synced: end,
            // What is deleted may have to be removed behind it.
            checkpoint: if origin.is_tidy { end } else { Mark::default() },
            ..Head::begun(origin.store)
        };
        let head_path = path.join(HEAD);
        HeadFile::create(&head_path, &mut head).map_err(StoreError::io("write", &head_path))?;
        sync_tree(&path).map_err(StoreError::io("sync", &path))?;
        let seen = read_head(&path, &head_path)?;
        let mut made = StoreDir { path, head: seen, view: None, _locks: Vec::new() };
        let report = made.verify(tell)?;
        match report.findings.first() {
            None => Ok(()),
            Some(corrupt) => Err(StoreError::NotWhole { corrupt: corrupt.clone() }),
        }
    }
}

/// What a new store has of an older one, beside its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) store: u64,
    pub(super) epoch: u64,
    pub(super) durability: Durability,
    /// Whether all rows that are deleted are removed.
    pub(super) is_tidy: bool,
}

/// A directory that is removed when it is dropped, unless it was moved to its place.
pub(super) struct Scaffold {
    path: Option<PathBuf>,
}

impl Scaffold {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path: Some(path) }
    }

    pub(super) fn moved(&mut self) {
        self.path = None;
    }
}

impl Drop for Scaffold {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Best effort: whoever makes this store the next time removes it too.
            let _result = fs::remove_dir_all(path);
        }
    }
}
