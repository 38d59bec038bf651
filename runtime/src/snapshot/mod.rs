//! Snapshots: what an entity was at a sequence number, so that it needn't be folded from its first event.
//!
//! A snapshot is an optimisation and never the truth: whatever is wrong with one, an older one or the whole stream is
//! used instead. Only where [`Retention`] has deleted events does a snapshot stand for them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::codec::{DecodeError, Payload};
use crate::event::Field;
use crate::id::{PersistenceId, SeqNr};
use crate::journal::{Durability, Fut};

#[cfg_attr(not(test), expect(dead_code, reason = "the system that takes snapshots isn't there yet"))]
pub(crate) mod bytes;

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
}

impl<A: Snapshot> Snapshots<A> {
    /// One after so many records, and as many kept.
    #[must_use]
    pub const fn new(every: Option<u64>, keep: usize) -> Self {
        Self { every, keep, version: A::VERSION, fields: A::FIELDS, upcast: A::upcast }
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
/// are, nor those that a registered reader has still to read, nor those with keys that the entity remembers.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
/// Methods may block the polling thread for the disk. They begin when they are polled.
pub trait SnapshotStore: Send + Sync + 'static {
    /// What a saved snapshot survives. Events are deleted only if that is at least what the journal's records survive.
    fn durability(&self) -> Durability;

    /// Saves a snapshot, in place of one with the same sequence number. When it ends well, it is durable.
    fn save(&self, id: &PersistenceId, snapshot: StoredSnapshot) -> Fut<'_, Result<(), SnapshotStoreError>>;

    /// The snapshot with the highest sequence number among those that `criteria` allows.
    fn load(
        &self,
        id: &PersistenceId,
        criteria: Criteria,
    ) -> Fut<'_, Result<Option<StoredSnapshot>, SnapshotStoreError>>;

    /// All that there are of an entity, the highest sequence number first.
    fn list(&self, id: &PersistenceId) -> Fut<'_, Result<Vec<SnapshotMeta>, SnapshotStoreError>>;

    /// Deletes one, if it is there.
    fn delete(&self, id: &PersistenceId, seq_nr: SeqNr) -> Fut<'_, Result<(), SnapshotStoreError>>;

    /// Deletes those that `criteria` allows, and says how many there were.
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
