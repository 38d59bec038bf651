//! The engine: the one file that calls it. One keyspace for each.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::fjall::compaction::Leveled;
use ::fjall::config::CompressionPolicy;
use ::fjall::{
    AbstractTree, CompressionType, Database, Error, Keyspace, KeyspaceCreateOptions, LsmError, OwnedWriteBatch,
    PersistMode, Slice,
};

use super::remains::{Held, Remains};
use crate::journal::Durability;

/// A row with its key before it.
pub(super) type Row = (Slice, Slice);

/// The engine of a journal: its keys are written once.
pub(super) const TRUTH: Shape = Shape { keyspace: "truth", memtable_bytes_max: 64 * 1024 * 1024 };
/// The engine of snapshots. They come and go, and are often longer than a run.
pub(super) const SNAPSHOTS: Shape = Shape { keyspace: "snapshots", memtable_bytes_max: 16 * 1024 * 1024 };
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// One thread that writes tables, and those that merge them. Where only one merges, the engine's first thread turns round
/// and round meanwhile, with a core for itself, since it gives each request to merge back to the queue that it takes it from.
const WORKERS: usize = 4;
/// From so many tables in level 0 on, they are merged into the next one: with more, each row is written less often, and
/// who reads looks into more of them.
const MERGED_FROM: u8 = 8;

/// From so many runs in level 0 on, the writer is slowed. The engine itself slows a commit from 20 on, behind its
/// fsync, where everybody waits.
const SLOW_FROM_RUNS: usize = 15;
/// From here on nothing is written until there are fewer: below what makes the engine wait in loops of its own, which
/// don't notice when its workers are gone.
const STOP_FROM_RUNS: usize = 19;
const STOP_FROM_SEALED: usize = 3;
/// It waits so long at the most.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(5);

/// What the engine says when something fails.
#[derive(Debug)]
pub(super) enum EngineError {
    /// What is stored is damaged.
    Damaged(String),
    /// Another process holds it.
    Locked,
    /// Anything else.
    Failed(String),
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EngineError::Damaged(error) | EngineError::Failed(error) => f.write_str(error),
            EngineError::Locked => f.write_str("another process holds the engine"),
        }
    }
}

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Locked => EngineError::Locked,
            // The engine reads lengths and offsets from its files: what can't be read there is damage too.
            Error::Io(io) | Error::Storage(LsmError::Io(io)) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
                EngineError::Damaged(error.to_string())
            }
            Error::Io(_) | Error::Storage(LsmError::Io(_)) | Error::Poisoned | Error::KeyspaceDeleted => {
                EngineError::Failed(error.to_string())
            }
            _ => EngineError::Damaged(error.to_string()),
        }
    }
}

/// What an engine is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    keyspace: &'static str,
    memtable_bytes_max: u64,
}

/// The open engine.
pub(super) struct Engine {
    // ORDER: dropped before the engine, since what is held belongs to it.
    remains: Remains,
    db: Database,
    rows: Keyspace,
}

/// Rows that are stored together.
pub(super) struct Batch {
    batch: OwnedWriteBatch,
    rows: Keyspace,
}

impl Batch {
    /// Stores the rows, all or none.
    pub(super) fn commit(self) -> Result<(), EngineError> {
        Ok(self.batch.commit()?)
    }

    /// Takes a row away.
    pub(super) fn remove(&mut self, key: &[u8]) {
        self.batch.remove(&self.rows, Slice::from(key));
    }

    pub(super) fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.batch.insert(&self.rows, Slice::from(key), Slice::from(value));
    }
}

/// Does something with the engine, which may panic on damaged files: that is damage too.
fn contained<T>(done: &str, act: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
    result.unwrap_or_else(|_| Err(EngineError::Damaged(format!("it panicked while it was {done}"))))
}

/// Rows whose reading may panic. Nothing is asked of what has panicked once.
struct Contained<I> {
    rows: Option<I>,
    /// Whether that it panicked is still to be told.
    is_untold: bool,
}

impl<I: DoubleEndedIterator<Item = Result<Row, EngineError>>> Contained<I> {
    fn of(rows: impl FnOnce() -> I) -> Self {
        let rows = contained("read", || Ok(rows())).ok();
        Self { is_untold: rows.is_none(), rows }
    }

    fn step(&mut self, step: impl FnOnce(&mut I) -> Option<I::Item>) -> Option<I::Item> {
        if let Some(rows) = &mut self.rows {
            match contained("read", || Ok(step(rows))) {
                Ok(row) => return row,
                Err(_) => (self.rows, self.is_untold) = (None, true),
            }
        }
        let panicked = || Err(EngineError::Damaged("it panicked while it was read".into()));
        std::mem::take(&mut self.is_untold).then(panicked)
    }
}

impl<I: DoubleEndedIterator<Item = Result<Row, EngineError>>> Iterator for Contained<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next)
    }
}

impl<I: DoubleEndedIterator<Item = Result<Row, EngineError>>> DoubleEndedIterator for Contained<I> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(DoubleEndedIterator::next_back)
    }
}

impl Engine {
    /// Makes an empty engine in a directory that doesn't exist, and closes it.
    pub(super) fn create(path: &Path, shape: Shape) -> Result<(), EngineError> {
        contained("made", || {
            let db = Self::open_database(path, 0)?;
            let rows = db.keyspace(shape.keyspace, || Self::keyspace_options(shape))?;
            drop(rows);
            db.persist(PersistMode::SyncAll)?;
            Ok(())
        })
    }

    pub(super) fn open(path: &Path, shape: Shape, cache_bytes: u64) -> Result<Self, EngineError> {
        contained("opened", || Self::open_files(path, shape, cache_bytes))
    }

    fn open_files(path: &Path, shape: Shape, cache_bytes: u64) -> Result<Self, EngineError> {
        // ORDER: before the engine opens, since it makes a new one where it finds no marker.
        if !path.join("version").exists() {
            return Err(EngineError::Damaged("its version marker is missing".into()));
        }
        // It holds nothing, and the engine doesn't make it again.
        let lock = path.join("lock");
        let made = std::fs::File::options().append(true).create(true).open(&lock);
        made.map_err(|error| EngineError::Failed(format!("can't open `{}`: {error}", lock.display())))?;
        let db = Self::open_database(path, cache_bytes)?;
        let keyspace = shape.keyspace;
        if !db.keyspace_exists(keyspace) {
            return Err(EngineError::Damaged(format!("its keyspace `{keyspace}` is missing")));
        }
        let rows = db.keyspace(keyspace, || Self::keyspace_options(shape))?;
        // With a counter that is behind, the engine would take new rows for old ones when it recovers the next time.
        if rows.tree.get_highest_seqno().is_some_and(|highest| db.seqno() <= highest) {
            return Err(EngineError::Damaged("its write counter is behind what it stores: a file is missing".into()));
        }
        Ok(Self { remains: Remains::default(), db, rows })
    }

    fn open_database(path: &Path, cache_bytes: u64) -> Result<Database, EngineError> {
        let database = Database::builder(path)
            .cache_size(cache_bytes)
            .journal_compression(CompressionType::None)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(WORKERS)
            .open();
        Ok(database?)
    }

    fn keyspace_options(shape: Shape) -> KeyspaceCreateOptions {
        KeyspaceCreateOptions::default()
            .with_kv_separation(None)
            .max_memtable_size(shape.memtable_bytes_max)
            .compaction_strategy(Self::merging())
            .data_block_compression_policy(CompressionPolicy::disabled())
    }

    /// Which tables are merged when.
    fn merging() -> Arc<Leveled> {
        Arc::new(Leveled::default().with_l0_threshold(MERGED_FROM))
    }

    pub(super) fn batch(&self, rows: usize, durability: Durability) -> Batch {
        let mode = match durability {
            Durability::Fsync => PersistMode::SyncData,
            Durability::Os | Durability::Memory => PersistMode::Buffer,
        };
        let batch = OwnedWriteBatch::with_capacity(self.db.clone(), rows).durability(Some(mode));
        Batch { batch, rows: self.rows.clone() }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Slice>, EngineError> {
        contained("read", || Ok(self.rows.get(key)?))
    }

    /// The rows from one key to another, both included. Behind a panic there are none.
    pub(super) fn range(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<Row, EngineError>> + use<> {
        Contained::of(|| self.rows.range(from..=to).map(|row| Ok(row.into_inner()?)))
    }

    /// How many runs of tables there are: whoever scans rows looks into each of them.
    pub(super) fn table_runs(&self) -> usize {
        self.rows.tree.current_version().iter_levels().map(|level| level.run_count()).sum()
    }

    /// The last row from one key to another, both included.
    pub(super) fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, EngineError> {
        self.range(from, to).next_back().transpose()
    }

    /// A number that is higher the more was written, to compare with [`Engine::in_tables`].
    pub(super) fn written(&self) -> u64 {
        self.db.seqno()
    }

    /// Everything that was written before [`Engine::written`] was at most this is in tables.
    pub(super) fn in_tables(&self) -> u64 {
        self.rows.tree.get_highest_persisted_seqno().unwrap_or(0)
    }

    /// Whether all rows are in tables, and none that was removed.
    ///
    /// The engine's journal may hold removals all the same: when its tables have nothing of a row any more, they keep
    /// nothing of its removal either.
    pub(super) fn is_all_in_tables(&self) -> Result<bool, EngineError> {
        contained("read", || self.has_all_in_tables())
    }

    fn has_all_in_tables(&self) -> Result<bool, EngineError> {
        let tree = &self.rows.tree;
        if tree.get_highest_memtable_seqno().is_none() {
            return Ok(true);
        }
        let behind_tables = tree.get_highest_persisted_seqno().map_or(0, |seqno| seqno + 1);
        for item in tree.active_memtable().iter() {
            let is_removal = item.key.is_tombstone();
            if !is_removal || tree.get(&item.key.user_key, behind_tables).map_err(Error::Storage)?.is_some() {
                return Ok(false);
            }
        }
        Ok(self.rows.sealed_memtable_count() == 0)
    }

    /// Moves everything into tables, which are synced.
    pub(super) fn flush(&self) -> Result<(), EngineError> {
        self.db.persist(PersistMode::SyncAll)?;
        self.rows.rotate_memtable()?;
        self.wait_until("moving its rows into tables", || Ok(self.rows.sealed_memtable_count() == 0))
    }

    /// Sees to it that what the engine puts away is dropped by nobody for whom a commit waits. To be called before each.
    pub(super) fn look_after(&self) {
        self.remains.look_after(|| {
            let tree = self.rows.tree.clone();
            Box::new(move || {
                let memtable = tree.active_memtable();
                let number = memtable.id();
                let memtable: Held = Box::new(move || Arc::strong_count(&memtable) > 1);
                let (version, tree) = (tree.current_version(), tree.clone());
                let version_number = version.id();
                let version: Held = Box::new(move || {
                    let _held = &version;
                    tree.version_free_list_len() > 0
                });
                [(number, memtable), (version_number, version)]
            })
        });
    }

    /// Waits until the engine can take a batch without waiting itself.
    pub(super) fn pace(&self) -> Result<(), EngineError> {
        let runs = self.rows.tree.l0_run_count();
        if runs >= STOP_FROM_RUNS || self.rows.sealed_memtable_count() >= STOP_FROM_SEALED {
            crate::log::debug!(runs, "the engine is behind with its tables: writing waits");
            self.wait_until("writing its tables", || Ok(self.rows.sealed_memtable_count() < STOP_FROM_SEALED))?;
            return self.wait_until("merging its tables", || {
                let is_behind = || self.rows.tree.l0_run_count() >= STOP_FROM_RUNS;
                if is_behind() {
                    self.merge()?;
                }
                Ok(!is_behind())
            });
        }
        if let Some(over) = runs.checked_sub(SLOW_FROM_RUNS).and_then(|over| u64::try_from(over).ok()) {
            std::thread::sleep(Duration::from_millis(over + 1));
        }
        Ok(())
    }

    /// Merges tables on this thread, if there are some to merge that no other thread is merging.
    ///
    /// The engine's own threads look for such only when a table was written, a few times. What is left then is left to
    /// the next table, and there is none while writing waits.
    fn merge(&self) -> Result<(), EngineError> {
        // 0 keeps the rows that were removed: those who read now may have begun before.
        contained("merging", || Ok(self.rows.tree.compact(Self::merging(), 0).map_err(Error::Storage)?))
    }

    fn wait_until(&self, what: &str, done: impl Fn() -> Result<bool, EngineError>) -> Result<(), EngineError> {
        let begin = Instant::now();
        while !done()? {
            // Fails when a worker of the engine has failed: then nobody would ever be done.
            self.db.persist(PersistMode::Buffer).map_err(|error| {
                EngineError::Failed(format!("it failed while it was {what}, and its log says why: {error}"))
            })?;
            if begin.elapsed() > STALLED_AFTER {
                return Err(EngineError::Failed(format!("it has been {what} for {STALLED_AFTER:?}")));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_rows_are_read_is_one_error_and_the_end() {
        let row = |number: u8| -> Result<Row, EngineError> {
            assert!(number != 3, "a row is damaged");
            Ok((Slice::from([number]), Slice::from([])))
        };
        let told = |row: Result<Row, EngineError>| match row {
            Ok((key, _)) => key.to_vec(),
            Err(error) => error.to_string().into_bytes(),
        };
        let panicked = b"it panicked while it was read".to_vec();
        let forward: Vec<_> = Contained::of(|| (1..6).map(row)).map(told).collect();
        assert_eq!(forward, [vec![1], vec![2], panicked.clone()]);
        let backward: Vec<_> = Contained::of(|| (1..6).map(row)).rev().map(told).collect();
        assert_eq!(backward, [vec![5], vec![4], panicked.clone()]);
        let none = || -> std::iter::Empty<Result<Row, EngineError>> { panic!("damaged") };
        assert_eq!(Contained::of(none).map(told).collect::<Vec<_>>(), [panicked]);
    }

    #[test]
    fn tables_that_nobody_merges_are_merged_by_who_waits_for_that() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("engine");
        Engine::create(&path, TRUTH).unwrap();
        let engine = Engine::open(&path, TRUTH, 1 << 20).unwrap();
        let mut runs = 0;
        // The engine looks for tables to merge when it is opened, which may be late: then there have to be more.
        while engine.rows.tree.l0_run_count() < STOP_FROM_RUNS {
            let mut batch = engine.batch(2, Durability::Os);
            batch.insert(&[1, runs], &[runs]);
            batch.insert(&[2, runs], &[runs]);
            batch.commit().unwrap();
            // Not by the engine's threads, which would look whether there is something to merge.
            engine.rows.tree.flush_active_memtable(0).unwrap();
            runs += 1;
        }

        engine.pace().unwrap();

        assert!(engine.rows.tree.l0_run_count() < STOP_FROM_RUNS);
        let rows: Vec<_> = engine.range(&[0], &[9]).map(|row| row.unwrap()).collect();
        let expected = [1, 2].into_iter().flat_map(|key| (0..runs).map(move |run| (vec![key, run], vec![run])));
        assert!(rows.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).eq(expected));
    }

    #[test]
    fn what_is_merged_while_somebody_looks_is_dropped_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("engine");
        Engine::create(&path, TRUTH).unwrap();
        let engine = Engine::open(&path, TRUTH, 1 << 20).unwrap();
        let memtable = Arc::downgrade(&engine.rows.tree.active_memtable());
        for round in 0..600_u32 {
            let mut batch = engine.batch(1, Durability::Os);
            // Tables whose keys lie between each other's.
            batch.insert(&[(round % 30).to_be_bytes(), round.to_be_bytes()].concat(), b"row");
            engine.look_after();
            batch.commit().unwrap();
            if round % 30 == 29 {
                engine.flush().unwrap();
            }
        }
        let tables = || engine.rows.tree.table_count();
        let files = || std::fs::read_dir(path.join("keyspaces/1/tables")).unwrap().count();
        let begin = Instant::now();
        while tables() >= 20 || files() > tables() || memtable.upgrade().is_some() {
            let (tables, files) = (tables(), files());
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{files} files of {tables} tables, or the first memtable"
            );
            engine.merge().unwrap();
            std::thread::sleep(POLL);
        }
        drop(engine);
        let engine = Engine::open(&path, TRUTH, 1 << 20).unwrap();
        assert_eq!(engine.range(&[0], &[1]).count(), 600);
    }

    #[test]
    fn a_panic_of_the_engine_is_damage() {
        let done: Result<(), _> = contained("read", || panic!("damaged"));
        assert!(matches!(done, Err(EngineError::Damaged(reason)) if reason == "it panicked while it was read"));
    }
}
