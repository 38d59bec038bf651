//! Quarantine: why an entity can't be loaded, and when the next attempt may be made.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::call::Failure;
use crate::execute::Unrecoverable;
use crate::id::{PersistenceId, SeqNr};

/// The first pause of an entity that can't be loaded; it doubles with each attempt.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const RETRY_MAX: Duration = Duration::from_secs(300);

pub(super) struct Quarantine {
    pub(super) seq_nr: SeqNr,
    pub(super) reason: Arc<str>,
    /// From when on a message makes another attempt.
    pub(super) retry_at: Timestamp,
    /// How many attempts have failed.
    pub(super) failures: u32,
}

impl Quarantine {
    /// Begins a quarantine behind so many failures before this one.
    pub(super) fn new(unusable: &Unrecoverable, failures: u32, hash: u64, now: Timestamp) -> Self {
        let retry_at = now.saturating_add(retry_pause(hash, failures)).unwrap_or(Timestamp::MAX);
        let reason = unusable.why.to_string().into();
        Self { seq_nr: unusable.seq_nr, reason, retry_at, failures: failures.saturating_add(1) }
    }

    /// What is told to whoever asks meanwhile.
    pub(super) fn failure(&self, id: PersistenceId) -> Failure {
        Failure::Quarantined { id, seq_nr: self.seq_nr, reason: self.reason.clone(), retry_at: self.retry_at }
    }
}

/// How long an entity waits before the next attempt: it doubles from attempt to attempt, and differs between entities,
/// so that they don't all come back at once.
fn retry_pause(hash: u64, failures: u32) -> SignedDuration {
    let pause = RETRY_FIRST.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(RETRY_MAX);
    let jitter = pause / 4 * u32::try_from(hash % 256).unwrap_or(0) / 256;
    SignedDuration::try_from(pause + jitter).unwrap_or(SignedDuration::from_secs(300))
}
