//! The journal: where runs are stored, read and ordered.

use std::path::PathBuf;
use std::pin::Pin;

use jiff::Timestamp;

use crate::id::{EntityId, InvalidId, Offset, PersistenceId, SeqNr, StreamNo};
use crate::snapshot::SnapshotStore;
use crate::sync::{Arc, Mutex};

pub(crate) mod bytes;
mod changed;
#[cfg(feature = "fjall")]
mod cipher;
mod due;
#[cfg(any(test, feature = "testing"))]
mod faults;
#[cfg(feature = "fjall")]
mod fjall;
mod floor;
#[cfg(feature = "fjall")]
mod head;
#[cfg(feature = "fjall")]
mod keys;
#[cfg(all(test, feature = "fjall"))]
mod made_up;
mod memory;
#[cfg(feature = "fjall")]
mod order;
mod record;
mod run;
#[cfg(feature = "fjall")]
mod sealed;
mod settled;
#[cfg(test)]
mod suite;

#[cfg(feature = "fjall")]
pub use self::fjall::{
    Ended, ExportKeys, FjallJournal, FjallOptions, ImportKeys, Lost, Moved, OpenError, Opening, OpeningTimes, Progress,
    RecordFound, Repair, RepairOptions, Repaired, Report, StoreDir, StoreError, StoreStats, StreamInfo, TailCut,
};
pub use bytes::{Flaw, Malformed, RUN_BYTES_MAX, WRITE_BYTES_MAX};
pub(crate) use bytes::{as_stored, len_u64};
#[cfg(any(test, feature = "testing"))]
pub use faults::{Appended, MemoryFaults, UnknownRun};
pub use memory::MemoryJournal;
pub use record::{Due, EventRecord, Record, StoredCause, StoredKey, StoredOutcome, TransitionRecord, Write};
pub(crate) use run::stored_checksum;
pub use run::{Run, RunBuilder, RunError, RunView};
pub use settled::{RunKey, Settled};

/// A future without a runtime's name in it.
pub type Fut<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Stores event streams; the one truth of a system.
///
/// The unit of storage is the [`Run`]: consecutive commands of one stream, stored together or not at all. A journal
/// gives each record an [`Offset`] of its own, in an order that agrees with every stream's. The records of one run have
/// consecutive offsets, and no offset is given twice. Whether there are gaps between runs is the journal's affair.
///
/// Whoever writes a journal finds out with `annals::testing::conformance` whether it does what is said here.
///
/// Reading may block the polling thread for the disk: poll [`open_stream`](Journal::open_stream),
/// [`read`](Journal::read), [`read_all`](Journal::read_all), [`armed`](Journal::armed) and
/// [`stream_id`](Journal::stream_id) where blocking is allowed.
pub trait Journal: Send + Sync + 'static {
    /// What doesn't change while the journal is open.
    fn facts(&self) -> Facts;

    /// Finds a stream, or reserves a number for one that has no records yet. Once it has records it keeps its number, and no
    /// other stream gets it. An id that can't be stored is refused.
    ///
    /// Each call that succeeds is to be followed by one of [`close_stream`](Journal::close_stream) in the end; until
    /// then the journal remembers where the stream stands.
    fn open_stream(&self, id: &PersistenceId) -> Fut<'_, Result<StreamHead, ReadError>>;

    /// Takes one [`open_stream`](Journal::open_stream) back. After the last, nobody may append to the stream until it
    /// is opened again; what is on its way must have its outcome before.
    fn close_stream(&self, stream: StreamNo);

    /// Stores a group of runs, at most one for each stream; one outcome for each run, in the same order. With any other number
    /// of outcomes nobody knows whose they are, and a system takes all of them for [`Outcome::Unknown`].
    ///
    /// A run is stored whole or not at all; a group need not be. A run whose first sequence number isn't the one after
    /// its stream's last is refused with [`Why::Conflict`]. A run that [`Run::check`] refuses is refused, for its reason. One
    /// whose stream isn't open under its id is refused with [`Why::BadRun`]. What is refused leaves no trace: neither in its
    /// stream, nor in the order, nor among the deadlines. A run is stored, and may be read, only once it is durable as
    /// [`Facts::durability`] says.
    ///
    /// Groups are stored in the order in which they were handed over, so the followers of a run that isn't stored are refused
    /// as well. Where the store was opened again since, everything is refused with [`Why::Fenced`].
    ///
    /// # Cancel safety
    ///
    /// Writing begins with the call; dropping the future cancels nothing.
    fn append(&self, group: Vec<Run>) -> Fut<'static, Vec<Outcome>>;

    /// Says what became of a run whose outcome was [`Outcome::Unknown`], asked of the journal that was opened since.
    ///
    /// A run that was handed to an open journal of the same epoch is [`Settled::Unsettled`] until it is opened again; so
    /// is one in whose place the records are deleted. Otherwise the run that is stored in its place is it, or isn't.
    ///
    /// # Errors
    ///
    /// [`ReadError::OtherStore`] if the run was handed to another store; any other if what is in its place can't be read.
    fn settle(&self, run: &RunKey) -> Fut<'_, Result<Settled, ReadError>> {
        let run = run.clone();
        Box::pin(async move { settled::settle(self, &run).await })
    }

    /// The offset up to which everything is durable. It never falls while the journal is open.
    fn durable(&self) -> Offset;

    /// Waits until something is durable behind `beyond`, and says how far the journal reaches then.
    ///
    /// When nothing more will be durable, since the journal is closed or has failed, the wait ends too: the answer may
    /// then be `beyond` or less, and [`Journal::health`] says why.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives its place back and loses nothing.
    fn changed(&self, beyond: Offset) -> Fut<'static, Offset>;

    /// Reads runs of one stream, from the one that contains `from` up to the one that contains `to`, as many as fit
    /// into `bytes_max` and at least one. Where `from` is deleted, it begins behind what is deleted.
    ///
    /// [`Page::more`] says whether there are more up to `to`. Beyond the stream's last record there is nothing: an
    /// empty page. A journal may count what it stores around a run, up to 128 bytes, with the run's own.
    ///
    /// Where a run can't be read, a page may end before it with [`Page::more`]: whoever reads on gets the error.
    fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>>;

    /// Reads runs of all streams in the order of their offsets, beginning with the one that contains the record
    /// behind `after`, as many as fit into `bytes_max` and at least one. Only durable runs are read, and no run that is
    /// wholly deleted.
    ///
    /// So a page may be empty though there are durable records behind `after`: then all that were durable before the call
    /// are deleted, and whoever reads on begins behind them. While there is more, none is empty.
    fn read_all(&self, after: Offset, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>>;

    /// The deadlines that are armed, in the order of their times and then of their streams: what [`Run::due`] of all
    /// durable runs comes to.
    fn armed(&self) -> Fut<'_, Result<Vec<Armed>, ReadError>>;

    /// The name of a stream; `None` if it has no records, or is forgotten.
    fn stream_id(&self, stream: StreamNo) -> Fut<'_, Result<Option<PersistenceId>, ReadError>>;

    /// Deletes the records of an open stream up to `to`, for ever. The stream's last sequence number stays what it is,
    /// and what is deleted doesn't come back by deleting less.
    ///
    /// The outcome tells whether it is durable that they are deleted; the space is given back behind that. To delete
    /// beyond the stream's last record is refused with [`Why::BadRun`].
    ///
    /// # Cancel safety
    ///
    /// Deleting begins with the call; dropping the future cancels nothing.
    fn delete_to(&self, stream: StreamNo, to: SeqNr) -> Fut<'static, Outcome>;

    /// Forgets an open stream that has ended: when the outcome is [`Outcome::Stored`], nothing of what it held can be
    /// read from any file, its name included. Asking again is harmless.
    ///
    /// What the stream held was encrypted with a key of its own from the first byte on, and the key is destroyed. What
    /// isn't secret stays: the aggregate's name, how many records there were, how long they were, when they were
    /// written, and which deadlines they had. Whoever has the journal and the id can still tell that a stream of this id
    /// has ended.
    ///
    /// The key is overwritten with zeros where it lies, and synced. That is all that a program can do: a file system that
    /// copies on write (btrfs, ZFS, snapshots of any), the spare blocks of an SSD, a backup and a copied directory may
    /// still hold it. Whoever must be sure forgets there too: keeps the file `keys` out of backups or their keys for a
    /// short time only, and encrypts the disk. Logs of a program that shows ids aren't the journal's.
    ///
    /// A stream that wasn't begun with [`Run::forgettable`] is refused with [`Why::NotForgettable`], and one that
    /// hasn't ended with [`Why::BadRun`].
    ///
    /// # Cancel safety
    ///
    /// Forgetting begins with the call; dropping the future cancels nothing.
    fn forget(&self, stream: StreamNo) -> Fut<'static, Outcome>;

    /// What encrypts for an open stream what is stored of it elsewhere; `None` if the stream isn't encrypted, or has no
    /// records yet.
    ///
    /// # Errors
    ///
    /// [`ReadError::Forgotten`] if it was.
    fn cipher(&self, stream: StreamNo) -> Result<Option<Arc<dyn Cipher>>, ReadError> {
        let _ = stream;
        Ok(None)
    }

    /// Where snapshots are kept if the program names no other place; `None` if there is no such place.
    fn snapshots(&self) -> Option<Arc<dyn SnapshotStore>> {
        None
    }

    /// Whether the journal still takes writes.
    fn health(&self) -> Health;

    /// Takes no more writes, stores what was handed over, and closes. From then on runs are refused with [`Why::Closed`] and
    /// reads with [`ReadError::Closed`]; to close again is harmless.
    ///
    /// # Cancel safety
    ///
    /// Closing begins with the call; dropping the future cancels nothing.
    fn close(&self) -> Fut<'_, Result<(), CloseError>>;
}

/// Encrypts with the key of one stream. Once the stream is forgotten, nobody can decrypt any more.
pub trait Cipher: Send + Sync + 'static {
    /// What stands for the stream's id where that may not be shown: the same each time, and it tells nothing.
    fn pseudonym(&self) -> EntityId;

    /// Encrypts, each time with a new nonce. Nobody can decrypt what is encrypted once the stream is forgotten.
    fn encrypt(&self, plain: &[u8]) -> Vec<u8>;

    /// Decrypts, and checks that nothing was changed.
    ///
    /// # Errors
    ///
    /// [`ReadError::Corrupt`] if it was, or if another key encrypted it.
    fn decrypt(&self, encrypted: &[u8]) -> Result<Vec<u8>, ReadError>;
}

/// Locks, also after a panic of another holder: nothing here leaves half a change behind.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> crate::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

const NOT_OPEN: &str = "its stream isn't open under its id";

/// Why records that aren't there can't be deleted.
fn beyond_last(to: SeqNr, last: SeqNr) -> String {
    format!("its records can't be deleted up to {to}, since the last is {last}")
}

const NOT_ENDED: &str = "its stream can't be forgotten, since it hasn't ended";

/// Says whether a stream can be stored under this name.
pub(crate) fn check_id(id: &PersistenceId) -> Result<(), ReadError> {
    id.entity.check()?;
    match id.aggregate.len() {
        1..=PersistenceId::AGGREGATE_BYTES_MAX => Ok(()),
        bytes => Err(ReadError::Engine {
            what: "a stream".into(),
            error: format!(
                "the aggregate's name has {bytes} bytes; it has 1 to {} bytes",
                PersistenceId::AGGREGATE_BYTES_MAX
            )
            .into(),
        }),
    }
}

/// What doesn't change while a journal is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Made at random when the store was created; seeds every checksum.
    pub store: u64,
    /// Counts how often the store was opened for writing; the fence against a second writer.
    pub epoch: u64,
    /// The longest run, in bytes.
    pub run_bytes_max: usize,
    /// How many groups a caller may have in flight: 1 or more, and a system takes 0 for 1.
    pub groups_in_flight: usize,
    /// What an acknowledged write survives.
    pub durability: Durability,
}

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// Power loss: every group is on the disk before anybody hears of it.
    #[default]
    Fsync,
    /// A crash of the process: every group is with the operating system before anybody hears of it. Power loss may
    /// take the last writes away.
    Os,
    /// Nothing: the records are gone with the journal.
    Memory,
}

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamHead {
    /// The stream's number in this journal.
    pub stream: StreamNo,
    /// Its last sequence number; 0 if it has no records.
    pub last: SeqNr,
    /// The records up to this one are deleted; 0 if none is.
    pub floor: SeqNr,
    /// Whether the stream was ended with a tombstone: nothing may be appended to it ever again.
    pub ended: bool,
}

/// A deadline that is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Armed {
    /// When it ends, in whole microseconds.
    pub due: Timestamp,
    /// Whose it is.
    pub stream: StreamNo,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable; its first record has this offset.
    Stored(Offset),
    /// It is not stored and never will be.
    NotStored(Why),
    /// It may be stored.
    Unknown(Cause),
}

/// Why a run was certainly not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Somebody else has written to the stream.
    #[error("expected {expected} as the stream's last sequence number and found {last}: there is a second writer")]
    Conflict {
        /// The sequence number before the run.
        expected: SeqNr,
        /// The stream's last.
        last: SeqNr,
    },
    /// The journal was opened by somebody else since, or nothing keeps others from opening it any more.
    #[error("the writer of epoch {epoch} is shut out: the journal was opened again, or its lock file is gone")]
    Fenced {
        /// The epoch of the refused writer.
        epoch: u64,
    },
    /// It is longer than the limit.
    #[error("{bytes} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The id can't be stored.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// The bytes aren't those of a run, or of another one than its fields say, or its stream isn't open; or what is to be
    /// deleted isn't there.
    #[error("the run can't be taken: {0}")]
    BadRun(Arc<str>),
    /// The stream was ended with a tombstone.
    #[error("the stream was deleted: it ends with sequence number {last}")]
    Ended {
        /// The tombstone's sequence number.
        last: SeqNr,
    },
    /// The stream isn't encrypted, so deleting it would leave its bytes in files for some time.
    #[error("the stream isn't encrypted: it was begun before its aggregate was forgettable")]
    NotForgettable,
    /// More waits to be written than the journal takes. Others will be stored when that is less.
    #[error("{bytes} bytes wait to be written, and no more than {limit} may")]
    QueueFull {
        /// How much waits.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The file system has so little space left that nothing more is begun, before it has none. Others will be stored when
    /// there is more.
    #[error("{free} bytes are free where the journal is, and it takes writes only while {floor} are")]
    StorageLow {
        /// How many bytes are free.
        free: u64,
        /// How many must be.
        floor: u64,
    },
    /// The journal has failed before and takes no writes until it is opened again.
    #[error("the journal takes no writes since it failed: {0}")]
    Failed(Arc<str>),
    /// The journal is closed.
    #[error("the journal is closed")]
    Closed,
}

/// Why nobody knows whether a run is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal failed while it was writing: {0}")]
pub struct Cause(pub Arc<str>);

/// Runs as they are stored, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The runs.
    pub runs: Vec<StoredRun>,
    /// Whether there is more behind them.
    pub more: bool,
}

/// A run as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredRun {
    /// Its stream.
    pub stream: StreamNo,
    /// The offset of its first record.
    pub offset: Offset,
    /// The stream's records up to this one are deleted: those of them that the run has are not to be told to anybody.
    pub floor: SeqNr,
    /// The run, for [`RunView::parse`]; its checksum was right when it was read.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for StoredRun {
    /// Shows no payloads.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredRun")
            .field("stream", &self.stream)
            .field("offset", &self.offset)
            .field("floor", &self.floor)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// Why something can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The id can't be stored, so that nothing is stored under it.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// What is stored is damaged.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The engine or the system below failed.
    #[error("can't read {what}: {error}")]
    Engine {
        /// What was to be read.
        what: String,
        /// What went wrong.
        error: Arc<str>,
    },
    /// It was forgotten: its key is destroyed.
    #[error("stream {stream} was forgotten")]
    Forgotten {
        /// The stream.
        stream: StreamNo,
    },
    /// The run belongs to another store.
    #[error("the run belongs to store {run:016x}, and this is store {journal:016x}")]
    OtherStore {
        /// The run's store.
        run: u64,
        /// The journal's.
        journal: u64,
    },
    /// The journal is closed.
    #[error("the journal is closed")]
    Closed,
}

/// What is stored is damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} is corrupt: {reason}")]
pub struct Corrupt {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub reason: String,
}

/// A place in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The records from one offset to another, both included.
    Offsets {
        /// The first.
        from: Offset,
        /// The last.
        to: Offset,
    },
    /// The records of one stream from one sequence number on.
    Stream {
        /// The stream.
        stream: StreamNo,
        /// Its name, where it is known.
        id: Option<PersistenceId>,
        /// The first.
        from: SeqNr,
    },
    /// A file or a directory.
    File {
        /// Its path.
        path: PathBuf,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Offsets { from, to } => write!(f, "the journal from offset {from} to {to}"),
            Place::File { path } => write!(f, "`{}`", path.display()),
            Place::Stream { stream, id: None, from } => write!(f, "stream {stream} from sequence number {from}"),
            Place::Stream { id: Some(id), from, .. } => write!(f, "{id} from sequence number {from}"),
        }
    }
}

/// Whether a journal takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It does.
    Good,
    /// It refuses writes for now, with [`Why::StorageLow`], and will take them again when there is more space.
    StorageLow {
        /// How many bytes are free.
        free: u64,
        /// How many must be.
        floor: u64,
    },
    /// It has failed: it can still be read. Open it again to settle what became of the last writes.
    Failed(Arc<str>),
    /// It is closed.
    Closed,
}

/// Why a journal was not closed in order. What was acknowledged is as safe as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal was not closed in order: {0}")]
pub struct CloseError(pub Arc<str>);
