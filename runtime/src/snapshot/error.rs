//! Why a snapshot that was asked for isn't there.

use std::sync::Arc;

use crate::codec::EncodeError;
use crate::journal::ReadError;
use crate::snapshot::SnapshotStoreError;
use crate::snapshot::taken::Unfit;

/// Why no snapshot was saved. The entity is as it was, and so are its older snapshots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The system has no store of snapshots.
    #[error("there is no store of snapshots: give one with `Builder::snapshots`, since this journal brings none")]
    NoStore,
    /// The aggregate takes no snapshots.
    #[error("no snapshots are taken of this aggregate: its attribute has no `snapshot(..)`")]
    NotDeclared,
    /// Nothing has happened to the entity yet.
    #[error("the entity has no records yet, so there is nothing that a snapshot could stand for")]
    Nothing,
    /// The machine is in a state that isn't recovered to.
    #[error("the machine is in the transient state `{state}`, from which no snapshots are taken")]
    Transient {
        /// The state.
        state: &'static str,
    },
    /// So many snapshots wait to be saved that there is no room for another.
    #[error("{limit} snapshots, or {bytes_max} bytes of them, wait to be saved already; try later")]
    QueueFull {
        /// How many may wait.
        limit: usize,
        /// How many bytes of them may wait.
        bytes_max: usize,
    },
    /// It would be longer than a snapshot may be.
    #[error("the snapshot would take more than {limit} bytes; `Builder::snapshot_bytes_max` sets this limit")]
    TooBig {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The data can't be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// It was written, and can't be read again, so it would stand for nothing.
    #[error("the snapshot can be written, but not read again: {why}")]
    ReadAgain {
        /// What goes wrong when it is read.
        why: Arc<str>,
    },
    /// Writing the data panicked.
    #[error("writing the data panicked: {0}")]
    Panicked(Arc<str>),
    /// What the journal knows of the stream can't be told.
    #[error(transparent)]
    Journal(#[from] ReadError),
    /// The store didn't save it.
    #[error(transparent)]
    Store(#[from] SnapshotStoreError),
    /// The entity was deleted meanwhile.
    #[error("the entity was deleted")]
    Deleted,
    /// The system ends, and saves no more.
    #[error("the system stops, and saves no more snapshots")]
    Stopped,
}

impl From<Unfit> for SnapshotError {
    /// For one that was written just now.
    fn from(why: Unfit) -> Self {
        Self::ReadAgain { why: why.to_string().into() }
    }
}
