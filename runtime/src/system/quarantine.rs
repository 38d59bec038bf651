//! Quarantine: why an entity can't be loaded, where, and when the next attempt may be made.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::execute::{Unrecoverable, Unusable};
use crate::id::{Offset, PersistenceId, SeqNr};
use crate::journal::ReadError;

mod backoff;
mod budget;
mod ward;

pub(crate) use backoff::Backoff;
pub(crate) use budget::{Broken, Budget};
pub(crate) use ward::Ward;

/// What keeps an entity from being loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trouble {
    /// The journal or the store of snapshots couldn't be read. It may pass, and tells nothing of what is stored.
    Unreadable,
    /// What is stored is damaged, or records are missing.
    Damaged,
    /// The program can't read an event: its name or version is unknown, or its fields are others.
    Event,
    /// A fold, an upcast or another piece of the program panicked on what is stored.
    Panicked,
    /// It stands in a state that the machine doesn't have.
    State,
    /// No snapshot can stand for records that are deleted, or one differs from the records.
    Snapshot,
    /// Two folds of the same records differ.
    Fold,
    /// It could be loaded, but new commands made its folds panic too often. It passes.
    Commands,
}

impl Trouble {
    /// Whether it may pass without anybody's doing: nothing is known to be wrong with what is stored.
    pub fn may_pass(self) -> bool {
        matches!(self, Trouble::Unreadable | Trouble::Commands)
    }

    fn of(why: &Unusable) -> Self {
        match why {
            Unusable::Read(ReadError::Engine { .. } | ReadError::Closed) => Trouble::Unreadable,
            Unusable::Deleted { may_pass: true, .. } => Trouble::Unreadable,
            Unusable::Read(_)
            | Unusable::Run(_)
            | Unusable::Missing { .. }
            | Unusable::Short { .. }
            | Unusable::Ended => Trouble::Damaged,
            Unusable::Event { .. } => Trouble::Event,
            Unusable::EventPanicked { .. } | Unusable::Panicked(_) => Trouble::Panicked,
            Unusable::UnknownState { .. } => Trouble::State,
            Unusable::Deleted { .. }
            | Unusable::SnapshotDiffers { .. }
            | Unusable::SnapshotLacks { .. }
            | Unusable::SnapshotLoses { .. } => Trouble::Snapshot,
            Unusable::FoldsDiffer { .. } => Trouble::Fold,
        }
    }
}

/// An entity that can't be loaded: since when, why, and where in its stream. See
/// [`System::quarantined`](crate::System::quarantined).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined {
    /// The entity.
    pub id: PersistenceId,
    /// What kind of thing is wrong.
    pub trouble: Trouble,
    /// The record that can't be used, or the first that is missing.
    pub seq_nr: SeqNr,
    /// Where that record is in the journal, if it was found.
    pub offset: Option<Offset>,
    /// The stored name of the event that can't be used, and its version, if it is an event.
    pub event: Option<(Arc<str>, u32)>,
    /// What is wrong, in words.
    pub reason: Arc<str>,
    /// How many attempts have failed, one after the other.
    pub failures: u32,
    /// When the first of them failed.
    pub since: Timestamp,
    /// From when on a call makes another attempt.
    pub retry_at: Timestamp,
}

impl Quarantined {
    /// What an attempt has come to, after those before it.
    pub(crate) fn new(
        id: PersistenceId,
        unusable: &Unrecoverable,
        before: Option<&Self>,
        (backoff, hash, now): (Backoff, u64, Timestamp),
    ) -> Self {
        let Unrecoverable { seq_nr, offset, why } = unusable;
        let (failures, since) = before.map_or((0, now), |before| (before.failures, before.since));
        // Attempts on an entity that has one thing wrong fail in the same words.
        let told = why.to_string();
        let reason = match before {
            Some(before) if *before.reason == *told => before.reason.clone(),
            _ => told.into(),
        };
        let event = match why {
            Unusable::Event { name, version, .. } | Unusable::EventPanicked { name, version, .. } => {
                Some((Arc::from(name.as_str()), *version))
            }
            _ => None,
        };
        Self {
            id,
            trouble: Trouble::of(why),
            seq_nr: *seq_nr,
            offset: *offset,
            event,
            reason,
            failures: failures.saturating_add(1),
            since,
            retry_at: later(now, backoff.pause(hash, failures)),
        }
    }
}

/// The time after a pause.
fn later(now: Timestamp, pause: std::time::Duration) -> Timestamp {
    let pause = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
    now.saturating_add(pause).unwrap_or(Timestamp::MAX)
}
