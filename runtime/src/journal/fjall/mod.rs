//! The journal on the embedded engine fjall. Only this folder names it.
//!
//! The engine can open after it has lost something without a word. So what is stored carries checksums of its own, the
//! groups form a chain, and a small file beside the engine says how far the chain reaches: what is lost, damaged or
//! exchanged is found at opening or reading, and is never a shorter history.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::changed::Waiters;
use super::keys::Keys;
use super::lock;
use super::order::Mark;
use super::run::Run;
use super::{
    Armed, Cause, Cipher, CloseError, Durability, Facts, Fut, Health, Journal, Outcome, Page, ReadError, StreamHead,
};
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};
use crate::oneshot::oneshot;
use crate::snapshot::SnapshotStore;
use crate::sync::atomic::AtomicBool;
use crate::sync::thread::JoinHandle;
use crate::sync::{Arc, Mutex, RwLock};

mod ahead;
mod aside;
mod chain;
mod deadlines;
mod engine;
mod error;
#[cfg(any(test, shuttle))]
#[cfg_attr(shuttle, expect(dead_code, reason = "the tests of this folder use the rest"))]
mod faults;
mod forgetting;
mod guard;
mod lock;
mod making;
mod manifest;
mod names;
mod open;
mod opening;
mod queue;
mod read;
mod remains;
mod removal;
mod rows;
mod snapshots;
mod space;
mod streams;
mod syncer;
mod temporary;
#[cfg(test)]
mod tests;
mod tools;
mod torn;
mod watch;
mod writer;

pub use error::OpenError;
pub use opening::{Ended, Opening, OpeningTimes, TailCut};
pub use tools::{
    ExportKeys, ImportKeys, Lost, Moved, Progress, RecordFound, Repair, RepairOptions, Repaired, Report, StoreDir,
    StoreError, StoreStats, StreamInfo,
};

use engine::Engine;
use queue::{Queue, Request};
use snapshots::FjallSnapshots;
use space::{Low, Space};
use streams::Streams;
use watch::Watch;

/// How many groups a caller may have in flight.
const GROUPS_IN_FLIGHT: usize = 4;
/// Openings of streams whose names fall together wait for each other.
const OPENINGS: usize = 16;
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// The engine merges four tables of 64 MiB from level 0 with as many below them, and writes the new ones before it removes
/// the old.
const FREE_BYTES_MIN: u64 = 512 * 1024 * 1024;
/// Longer than any disk takes that will come back.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// How a [`FjallJournal`] is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct FjallOptions {
    durability: Durability,
    cache_bytes: u64,
    free_bytes_min: u64,
    stalled_after: Duration,
}

impl FjallOptions {
    /// Power loss takes nothing away ([`Durability::Fsync`]), the engine caches 64 MiB, 512 MiB stay free, and a commit may
    /// take 30 seconds.
    pub fn new() -> Self {
        Self {
            durability: Durability::Fsync,
            cache_bytes: CACHE_BYTES,
            free_bytes_min: FREE_BYTES_MIN,
            stalled_after: STALLED_AFTER,
        }
    }

    /// Says what an acknowledged write survives. [`Durability::Memory`] is nothing for a disk, and refused at opening.
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Limits the engine's cache of what it has read.
    pub fn cache_bytes(self, cache_bytes: u64) -> Self {
        Self { cache_bytes, ..self }
    }

    /// Refuses writes with [`Why::StorageLow`](super::Why::StorageLow) where fewer bytes than this are free in the journal's
    /// file system, for those who aren't privileged, or would be behind them; 0 switches it off.
    ///
    /// What is refused is certainly not stored, the journal stays as good as it was, and it takes writes again when there
    /// is more space. Deleting and forgetting are still taken down to a quarter of it. Snapshots are skipped.
    ///
    /// Without it, a disk that is full fails the journal in the middle of a write: what was acknowledged is safe, but nothing
    /// can be written until it is opened again. So it is to be more than the engine needs to merge tables: the default, 512
    /// MiB, is what it needs for one merge of those that were written last. A journal that holds less needs as much as it
    /// holds. Less than 128 MiB isn't sensible: so much may still have to be moved into tables of what is written already.
    ///
    /// It is looked at once a second, and before a group is written at least once for as much as was free above it; only on
    /// Unix.
    pub fn free_bytes_min(self, free_bytes_min: u64) -> Self {
        Self { free_bytes_min, ..self }
    }

    /// Takes the journal for failed when a group isn't on the disk after this time, or up to a quarter later.
    ///
    /// What the group holds is [`Outcome::Unknown`] then, and what waits behind it is not stored. The journal takes no more
    /// writes until it is opened again, which can be done once the disk answers, since the lock is held as long as something
    /// may be written. Reading goes on. Closing and dropping the journal end too: after that time if a group hangs, and after
    /// ten times that if closing itself does.
    pub fn stalled_after(self, stalled_after: Duration) -> Self {
        Self { stalled_after, ..self }
    }
}

impl Default for FjallOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Stores everything in a directory of its own, which one process has open at a time.
///
/// Groups are stored by one thread, as many at once as have come together, with one sync. Dropping the journal closes
/// it: it blocks until what was handed over is stored, or until the writer is taken for failed.
///
/// In the directory are the engine, the file `head`, which belongs to it, the file `lock`, and maybe a file `deadlines`,
/// from which [`armed`](Journal::armed) begins. The last two may be missing in a copy. With the first stream that can be
/// forgotten a file `keys` is made: it has 64 bytes for each of those streams, and they can't be read without it. Once a
/// snapshot was saved, an engine of its own is in the directory `snapshots`: it belongs to the journal where events were
/// deleted for snapshots. If it is damaged, the journal opens, and asking for a snapshot fails.
///
/// What is lost, damaged or exchanged is found when the journal is opened or when it is read, with four exceptions:
///
/// - power loss together with a media fault within the last 100 ms,
/// - an older copy of the whole directory, the head included,
/// - the last run of one stream, and
/// - the row that says how far one stream is deleted: if it alone is gone from the engine's tables, reading everything
///   finds it, and reading that stream doesn't find the run, and finds the row only where runs are missing. Where none is,
///   since only a part of one was deleted, that part is read again. A stream that has ended stays ended.
///
/// The last two need more than damage: a table that is missing, cut or damaged is found, and so is what was written since
/// the journal's last checkpoint. What remains is a table that somebody has exchanged for another whole one of the same
/// number (found at opening among the newest tables, up to 32 MiB of them), and a fault of the engine's own when it
/// merges tables.
///
/// When the journal was not closed in order, what power loss or the death of the process has torn at its end is cut off
/// when it is opened, and told by [`opening`](FjallJournal::opening): nobody had heard that it is stored. What reaches
/// deeper is refused. After closing in order, all rows are in tables already, so a damaged end of the engine's own
/// journal is cut off and nothing is lost. While a journal is opened, a directory `fjall.aside` has other names for the engine's files, so
/// that a journal that is refused, or whose opening is interrupted, is what it was; a copy of a directory in which it
/// is left needs it.
///
/// # Examples
///
/// ```
/// use annals::Offset;
/// use annals::journal::{Durability, FjallJournal, FjallOptions, Journal};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("data");
/// let journal = FjallJournal::open(path, FjallOptions::new().durability(Durability::Os))?;
/// assert_eq!(journal.durable(), Offset(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FjallJournal {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    opening: Opening,
}

struct Shared {
    facts: Facts,
    path: PathBuf,
    /// None once the journal is closed.
    engine: RwLock<Option<Engine>>,
    queue: Queue,
    streams: Mutex<Streams>,
    /// INVARIANT: a stream that isn't open is looked up on the disk and entered under the lock of its name. Otherwise
    /// one who has looked, and then was slow, could enter a last record that isn't the last any more.
    opening: [Mutex<()>; OPENINGS],
    hasher: RandomState,
    /// The last group that is durable.
    durable: Mutex<Mark>,
    waiters: Arc<Waiters>,
    health: Mutex<Health>,
    /// Set while too little space is free.
    low: Mutex<Option<Low>>,
    space: Arc<Space>,
    watch: Watch,
    /// Those of the streams that can be forgotten.
    keys: Keys,
    /// Whether something of any stream is deleted; if not, no reader looks for floors.
    has_floors: AtomicBool,
    /// Where readers of everything have stopped.
    cursors: Mutex<VecDeque<read::Cursor>>,
    /// Held by whoever folds the deadlines.
    folding: Mutex<()>,
    snapshots: Arc<FjallSnapshots>,
    #[cfg(any(test, shuttle))]
    faults: faults::Faults,
}

impl Shared {
    /// Notes the first failure.
    fn fail(&self, cause: &Arc<str>) {
        let mut health = lock(&self.health);
        if *health == Health::Good {
            *health = Health::Failed(Arc::clone(cause));
        }
    }

    /// Whether too little space is free, as it was when it was last looked.
    fn low(&self) -> Option<Low> {
        *lock(&self.low)
    }

    fn health(&self) -> Health {
        let health = lock(&self.health).clone();
        match (health, self.low()) {
            (Health::Good, Some(Low { free, floor })) => Health::StorageLow { free, floor },
            (health, _) => health,
        }
    }

    fn open_stream(&self, id: &PersistenceId) -> Result<StreamHead, ReadError> {
        super::check_id(id)?;
        let place = self.hasher.hash_one(id) % super::bytes::len_u64(OPENINGS);
        let _opening = usize::try_from(place).ok().and_then(|place| self.opening.get(place)).map(lock);
        self.with_engine(|engine| {
            if let Some(head) = lock(&self.streams).open_again(id) {
                return Ok(head);
            }
            let stored = self.find_stream(engine, id)?;
            Ok(lock(&self.streams).open(id, stored))
        })
    }
}

impl FjallJournal {
    /// Opens the journal in a directory, or makes one if there is none or an empty one, such as the root of a mounted
    /// volume: `lost+found` may be in it. Nothing is made beside the directory. What a process has left that ended while it
    /// made a journal, the next one completes or makes anew.
    ///
    /// Blocks the thread, for as long as checking what was written since the journal's last checkpoint takes; after a crash
    /// also as long as moving that into synced tables.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; what is in the directory is then as it was, but for the file `lock`.
    pub fn open(path: impl AsRef<Path>, options: FjallOptions) -> Result<Self, OpenError> {
        open::open(path.as_ref(), options)
    }

    /// What opening it has found.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }
}

impl Journal for FjallJournal {
    fn facts(&self) -> Facts {
        self.shared.facts
    }

    fn open_stream(&self, id: &PersistenceId) -> Fut<'_, Result<StreamHead, ReadError>> {
        let id = id.clone();
        Box::pin(async move { self.shared.open_stream(&id) })
    }

    fn close_stream(&self, stream: StreamNo) {
        lock(&self.shared.streams).close(stream);
    }

    fn append(&self, group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
        let runs = group.len();
        let mut group = group;
        let mut verdicts: Vec<_> = group.iter().map(|run| run.check(&self.shared.facts)).collect();
        let ciphers = self.shared.encrypt(&mut group, &mut verdicts);
        let (done, outcomes) = oneshot();
        self.shared.queue.push(Request::append(group, ciphers, verdicts, done));
        Box::pin(async move {
            // The writer answers all that it takes, also when it panics; this is for the case that it couldn't.
            let gone = || vec![Outcome::Unknown(Cause("the writer is gone".into())); runs];
            outcomes.await.unwrap_or_else(gone)
        })
    }

    fn durable(&self) -> Offset {
        lock(&self.shared.durable).offset
    }

    fn changed(&self, beyond: Offset) -> Fut<'static, Offset> {
        Box::pin(self.shared.waiters.changed(beyond))
    }

    fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        Box::pin(async move { self.shared.read_stream(stream, from, to, bytes_max) })
    }

    fn read_all(&self, after: Offset, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        Box::pin(async move { self.shared.read_order(after, bytes_max) })
    }

    fn armed(&self) -> Fut<'_, Result<Vec<Armed>, ReadError>> {
        Box::pin(async move { self.shared.armed() })
    }

    fn stream_id(&self, stream: StreamNo) -> Fut<'_, Result<Option<PersistenceId>, ReadError>> {
        Box::pin(async move { self.shared.stream_id(stream) })
    }

    fn delete_to(&self, stream: StreamNo, to: SeqNr) -> Fut<'static, Outcome> {
        let (done, outcome) = oneshot();
        self.shared.queue.push(Request::delete(stream, to, done));
        // As with a group.
        let gone = || Outcome::Unknown(Cause("the writer is gone".into()));
        Box::pin(async move { outcome.await.unwrap_or_else(gone) })
    }

    fn forget(&self, stream: StreamNo) -> Fut<'static, Outcome> {
        let (done, outcome) = oneshot();
        self.shared.queue.push(Request::forget(stream, done));
        // As with a group.
        let gone = || Outcome::Unknown(Cause("the writer is gone".into()));
        Box::pin(async move { outcome.await.unwrap_or_else(gone) })
    }

    fn cipher(&self, stream: StreamNo) -> Result<Option<Arc<dyn Cipher>>, ReadError> {
        self.shared.cipher(stream)
    }

    fn snapshots(&self) -> Option<Arc<dyn SnapshotStore>> {
        let snapshots: Arc<dyn SnapshotStore> = self.shared.snapshots.clone();
        Some(snapshots)
    }

    fn health(&self) -> Health {
        self.shared.health()
    }

    fn close(&self) -> Fut<'_, Result<(), CloseError>> {
        let (done, closed) = oneshot();
        self.shared.queue.close(Some(done));
        // ORDER: asked behind that, so that either this or the watchdog finds who waits.
        if let Some(cause) = self.shared.watch.hanging() {
            self.shared.queue.tell_waiting(&Err(CloseError(cause)));
        }
        Box::pin(async move { closed.await.unwrap_or_else(|| Err(CloseError("the writer is gone".into()))) })
    }
}

impl Drop for FjallJournal {
    fn drop(&mut self) {
        self.shared.queue.close(None);
        if self.shared.watch.wait_for_end().is_err() {
            // It holds the lock, and gives it back if it ever comes back.
            crate::log::error!(path = %self.shared.path.display(), "the journal is left to its writer, which hangs");
            return;
        }
        if let Some(writer) = self.writer.take() {
            // A panic in it was caught and told already.
            let _result = writer.join();
        }
        // The writer has done it, unless it has panicked.
        self.shared.snapshots.close();
    }
}

impl fmt::Debug for FjallJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallJournal")
            .field("path", &self.shared.path)
            .field("facts", &self.shared.facts)
            .finish_non_exhaustive()
    }
}
