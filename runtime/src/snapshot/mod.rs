//! Snapshots: what an entity was at a sequence number, so that it needn't be folded from its first event.
//!
//! A snapshot is an optimisation and never the truth: whatever is wrong with one, an older one or the whole stream is
//! used instead. Only where [`Retention`] has deleted events does a snapshot stand for them.
//!
//! A snapshot is matched to its history by its journal, its sequence number and the time of that record: where a journal
//! was put back from a copy, other records with the same number and the same microsecond are taken for the same.
//!
//! Where they are kept, if nothing else is said: a [`FjallJournal`](crate::journal::FjallJournal) keeps them beside itself,
//! in an engine of their own; a [`MemoryJournal`](crate::journal::MemoryJournal) in [`MemorySnapshots`]. Elsewhere:
//! [`DirSnapshots`], or any other [`SnapshotStore`], given to [`Builder::snapshots`](crate::Builder::snapshots).
//!
//! # Examples
//!
//! ```
//! use annals::prelude::*;
//! use annals::snapshot::{Criteria, DirSnapshots, SnapshotStore};
//!
//! #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
//! pub struct Account {
//!     balance: u64,
//! }
//!
//! // One after 1000 records, and where somebody asks for it. The last two are kept.
//! #[aggregate(snapshot(every = 1000, keep = 2))]
//! impl Account {
//!     #[event]
//!     fn deposited(&mut self, amount: u64) {
//!         self.balance += amount;
//!     }
//!
//!     #[command]
//!     fn deposit(&self, amount: u64) -> Step<u64> {
//!         applying(AccountEvent::Deposited { amount }).replying_with(|account| account.balance)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("snapshots");
//! # let journal = annals::journal::MemoryJournal::new();
//! let snapshots = DirSnapshots::open(path)?;
//! let system = System::builder().snapshots(snapshots.clone()).start(journal)?;
//! let alice = system.get::<Account>("alice");
//! alice.deposit(100).await?;
//!
//! let taken = alice.snapshot().await?;
//! assert_eq!(taken.seq_nr, annals::SeqNr(1));
//! let id = annals::PersistenceId::new(Account::NAME, "alice");
//! assert_eq!(snapshots.list(&id).await?, [taken]);
//! # system.shutdown().await?;
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::codec::{DecodeError, Payload};
use crate::event::Field;
use crate::id::{PersistenceId, SeqNr};
use crate::journal::{self, Durability, Fut};

pub(crate) mod bytes;
mod dir;
pub(crate) mod equality;
mod error;
mod memory;
pub(crate) mod request;
pub(crate) mod sealed;
pub(crate) mod taken;
#[cfg(test)]
mod upcasts;

pub use dir::{DirSnapshots, DirSnapshotsError};
pub use error::SnapshotError;
pub use memory::MemorySnapshots;

/// The longest snapshot that a store of annals takes, in bytes: 64 MiB of data, and 1 MiB for what is stored around it.
pub const SNAPSHOT_BYTES_MAX: usize = 65 * 1024 * 1024;

/// Data of which snapshots can be taken.
///
/// Derive it: `#[derive(Snapshot)]` on the data of an aggregate, which also derives serde's `Serialize` and
/// `Deserialize`.
#[diagnostic::on_unimplemented(
    message = "no snapshots can be taken of `{Self}`",
    label = "has no version of its snapshots",
    note = "write `#[derive(annals::Snapshot)]` on `{Self}`"
)]
pub trait Snapshot: Serialize + for<'de> Deserialize<'de> {
    /// The version that is written.
    const VERSION: u32;
    /// The fields as they stand in the code. A snapshot of the same version with other fields is not used.
    const FIELDS: &'static [Field];

    /// Makes the data from a payload that was stored in an older version.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the payload doesn't fit, or if there is no upcast from that version.
    fn upcast(version: u32, payload: Payload<'_>) -> Result<Self, DecodeError>;

    /// Whether two data are equal; `None` if that can't be told.
    ///
    /// The derive tells it of data with `PartialEq`, unless a field of it may be lost. Where it is told, the test kit and
    /// [`Builder::verify_snapshots`](crate::Builder::verify_snapshots) find what gets lost when data is written.
    #[must_use]
    fn same(one: &Self, other: &Self) -> Option<bool> {
        let _ = (one, other);
        None
    }
}

/// The error for a version from which there is no upcast.
#[doc(hidden)]
pub fn no_snapshot_upcast<S: Snapshot>(version: u32) -> DecodeError {
    DecodeError::NoSnapshotUpcast { version, known: S::VERSION }
}

/// An aggregate with `snapshot(..)` in its attribute; the macros implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` takes no snapshots",
    label = "its attribute has no `snapshot(..)`",
    note = "write `#[aggregate(snapshot(every = 1000))]`, or `#[fsm(.., snapshot(every = 1000))]`"
)]
pub trait Snapshotted: Aggregate {}

/// An aggregate with `forgettable` in its attribute; the macros implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be forgotten",
    label = "its streams aren't encrypted",
    note = "write `#[aggregate(forgettable)]`: it counts for streams that begin from then on",
    note = "`System::delete` deletes any stream, but its bytes stay in the engine's files for some time"
)]
pub trait Forgettable: Aggregate {}

/// How snapshots of an aggregate are taken and read.
pub struct Snapshots<A> {
    /// After how many records one is taken; `None`: only where a step or a caller asks for it.
    pub every: Option<u64>,
    /// How many are kept; at least 1.
    pub keep: usize,
    pub(crate) version: u32,
    pub(crate) fields: &'static [Field],
    pub(crate) upcast: fn(u32, Payload<'_>) -> Result<A, DecodeError>,
    same: fn(&A, &A) -> Option<bool>,
}

impl<A: Snapshot> Snapshots<A> {
    /// One after so many records, and as many kept.
    #[must_use]
    pub const fn new(every: Option<u64>, keep: usize) -> Self {
        Self { every, keep, version: A::VERSION, fields: A::FIELDS, upcast: A::upcast, same: A::same }
    }
}

impl<A> std::fmt::Debug for Snapshots<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshots")
            .field("every", &self.every)
            .field("keep", &self.keep)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Which events are deleted when a snapshot of their entity was stored. Those that no kept snapshot stands for never
/// are, and none before there are as many snapshots as are to be kept: so one of them may be damaged. Nor are those that a
/// registered reader has still to read, nor those with keys that the entity remembers. Where the journal doesn't sync each
/// write, one snapshot more may be kept: the power may fail, and the journal end before the newer ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// None.
    All,
    /// Those up to the oldest snapshot that is kept.
    SinceSnapshot,
    /// Of those, the ones that are older than this.
    For(Duration),
}

/// Which snapshots are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Criteria {
    seq_nr_max: SeqNr,
    time_max: Timestamp,
}

impl Criteria {
    /// All.
    pub const LATEST: Self = Self { seq_nr_max: SeqNr(u64::MAX), time_max: Timestamp::MAX };

    /// Those up to a sequence number.
    #[must_use]
    pub fn to_seq(self, seq_nr: SeqNr) -> Self {
        Self { seq_nr_max: self.seq_nr_max.min(seq_nr), ..self }
    }

    /// Those whose last record is not later than a time.
    #[must_use]
    pub fn to_time(self, time: Timestamp) -> Self {
        Self { time_max: self.time_max.min(time), ..self }
    }

    /// Whether a snapshot is one of them.
    #[must_use]
    pub fn allows(&self, snapshot: &SnapshotMeta) -> bool {
        snapshot.seq_nr <= self.seq_nr_max && snapshot.time <= self.time_max
    }
}

impl std::fmt::Debug for Criteria {
    /// Shows the limits that there are.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::LATEST {
            return f.write_str("any");
        }
        let mut told = f.debug_struct("Criteria");
        if self.seq_nr_max != Self::LATEST.seq_nr_max {
            told.field("to_seq", &self.seq_nr_max.0);
        }
        if self.time_max != Self::LATEST.time_max {
            told.field("to_time", &format_args!("{}", self.time_max));
        }
        told.finish()
    }
}

impl Default for Criteria {
    fn default() -> Self {
        Self::LATEST
    }
}

/// What is known of a snapshot without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotMeta {
    /// The last record that it includes.
    pub seq_nr: SeqNr,
    /// The time of that record.
    pub time: Timestamp,
    /// Its length.
    pub bytes: usize,
}

/// A snapshot as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// The last record that it includes.
    pub seq_nr: SeqNr,
    /// The time of that record, in whole microseconds.
    pub time: Timestamp,
    /// The encoded snapshot. It carries a checksum of its own, which stores need not know.
    pub bytes: Vec<u8>,
}

impl StoredSnapshot {
    /// What is known of it without reading it.
    #[must_use]
    pub fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { seq_nr: self.seq_nr, time: self.time, bytes: self.bytes.len() }
    }
}

impl std::fmt::Debug for StoredSnapshot {
    /// Shows no content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.meta().fmt(f)
    }
}

/// Keeps snapshots, apart from the journal.
///
/// A program may bring its own: the bytes of a snapshot name their entity, their sequence number and the journal whose
/// events they stand for, and carry a checksum, so a store that mixes something up makes loading slow and never wrong.
/// Ids that name no entity ([`EntityId::check`](crate::EntityId::check)) are refused by every method with
/// [`SnapshotStoreError::InvalidId`]; they may otherwise be any text, and ids are the same only if their bytes are.
///
/// The store cuts times to whole microseconds when it saves, towards what
/// [`Timestamp::as_microsecond`](jiff::Timestamp::as_microsecond) says. It decides how long a snapshot may be; the stores of
/// annals take [`SNAPSHOT_BYTES_MAX`] bytes, and one that takes less loses snapshots of large entities only.
///
/// Methods may block the polling thread for the disk: poll them where blocking is allowed. They begin when they are
/// polled.
///
/// # Cancel safety
///
/// A future that was never polled has done nothing. One that is dropped later may have done what was asked, or
/// nothing of it; never half a snapshot, and [`delete_matching`](SnapshotStore::delete_matching) some of it.
///
/// # Examples
///
/// ```
/// use annals::snapshot::{Criteria, MemorySnapshots, SnapshotStore, StoredSnapshot};
/// use annals::{PersistenceId, SeqNr, Timestamp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemorySnapshots::new();
/// let alice = PersistenceId::new("account", "alice");
/// for seq_nr in [SeqNr(100), SeqNr(200)] {
///     let snapshot = StoredSnapshot { seq_nr, time: Timestamp::UNIX_EPOCH, bytes: b"as it was".to_vec() };
///     store.save(&alice, snapshot).await?;
/// }
///
/// let newest = store.load(&alice, Criteria::LATEST).await?;
/// assert_eq!(newest.map(|snapshot| snapshot.seq_nr), Some(SeqNr(200)));
/// let older = store.load(&alice, Criteria::LATEST.to_seq(SeqNr(199))).await?;
/// assert_eq!(older.map(|snapshot| snapshot.seq_nr), Some(SeqNr(100)));
/// # Ok(())
/// # }
/// ```
pub trait SnapshotStore: Send + Sync + 'static {
    /// What a saved snapshot survives. Events are deleted only if that is at least what the journal's records survive.
    fn durability(&self) -> Durability;

    /// Saves a snapshot, in place of one with the same sequence number. When it ends well, it is durable.
    ///
    /// One that is longer than the store takes is refused, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`SnapshotStoreError::TooLarge`] if it is longer than the store takes, and
    /// [`SnapshotStoreError::Failed`] if the system below fails. After that one, the snapshot may be there or not, and one
    /// with the same sequence number that was there before may be gone.
    fn save(&self, id: &PersistenceId, snapshot: StoredSnapshot) -> Fut<'_, Result<(), SnapshotStoreError>>;

    /// The snapshot with the highest sequence number among those that `criteria` allows.
    ///
    /// # Errors
    ///
    /// [`SnapshotStoreError::Damaged`] if that one is damaged as far as the store can tell; it names the sequence
    /// number, so that an older one can be asked for.
    fn load(
        &self,
        id: &PersistenceId,
        criteria: Criteria,
    ) -> Fut<'_, Result<Option<StoredSnapshot>, SnapshotStoreError>>;

    /// All that there are of an entity, the highest sequence number first. They are not read for it: one of them may
    /// be damaged. One whose time or length is lost may be left out, and keeps no other from being listed.
    ///
    /// # Errors
    ///
    /// [`SnapshotStoreError`] if they can't be listed.
    fn list(&self, id: &PersistenceId) -> Fut<'_, Result<Vec<SnapshotMeta>, SnapshotStoreError>>;

    /// Deletes one, if it is there, damaged or not. When it ends well, that is durable.
    ///
    /// # Errors
    ///
    /// [`SnapshotStoreError`] if it may still be there.
    fn delete(&self, id: &PersistenceId, seq_nr: SeqNr) -> Fut<'_, Result<(), SnapshotStoreError>>;

    /// Deletes those that `criteria` allows, damaged or not, and says how many there were. When it ends well, that is
    /// durable.
    ///
    /// # Errors
    ///
    /// [`SnapshotStoreError`] if some of them may still be there.
    fn delete_matching(&self, id: &PersistenceId, criteria: Criteria) -> Fut<'_, Result<usize, SnapshotStoreError>>;
}

/// Why a store of snapshots didn't do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotStoreError {
    /// A stored snapshot is damaged, as far as the store can tell.
    #[error("the snapshot of {id} at sequence number {seq_nr} is damaged: {reason}")]
    Damaged {
        /// Whose it is.
        id: PersistenceId,
        /// Which one.
        seq_nr: SeqNr,
        /// What is wrong.
        reason: String,
    },
    /// It is longer than the limit.
    #[error("the snapshot of {id} at sequence number {seq_nr} has {bytes} bytes, and the limit is {limit}")]
    TooLarge {
        /// Whose it is.
        id: PersistenceId,
        /// Which one.
        seq_nr: SeqNr,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// No entity has this id, so there are no snapshots of it.
    #[error("there are no snapshots of {id}: {reason}")]
    InvalidId {
        /// The id.
        id: PersistenceId,
        /// What is wrong with it.
        reason: Arc<str>,
    },
    /// The file system has so little space left that it isn't saved. Others will be when there is more.
    #[error("the snapshot of {id} was not saved: {free} bytes are free, and it takes {floor}")]
    StorageLow {
        /// Whose it is.
        id: PersistenceId,
        /// How many bytes are free.
        free: u64,
        /// How many must be.
        floor: u64,
    },
    /// The system below failed.
    #[error("can't {tried} the snapshots of {id}: {error}")]
    Failed {
        /// What was to be done, such as `save`.
        tried: &'static str,
        /// Whose they are.
        id: PersistenceId,
        /// What went wrong.
        error: Arc<str>,
    },
}

/// Says whether there can be snapshots of an entity with this id.
pub(crate) fn check_id(id: &PersistenceId) -> Result<(), SnapshotStoreError> {
    journal::check_id(id)
        .map_err(|error| SnapshotStoreError::InvalidId { id: id.clone(), reason: error.to_string().into() })
}

/// Says whether a snapshot may be saved.
pub(crate) fn check(id: &PersistenceId, snapshot: &StoredSnapshot) -> Result<(), SnapshotStoreError> {
    check_id(id)?;
    let (seq_nr, bytes) = (snapshot.seq_nr, snapshot.bytes.len());
    if bytes > SNAPSHOT_BYTES_MAX {
        return Err(SnapshotStoreError::TooLarge { id: id.clone(), seq_nr, bytes, limit: SNAPSHOT_BYTES_MAX });
    }
    Ok(())
}
