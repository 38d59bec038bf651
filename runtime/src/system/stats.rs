//! What a system counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one shard, or of one saver. Hardly anybody else writes them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) residents: AtomicU64,
    pub(crate) commands: AtomicU64,
    pub(crate) events_stored: AtomicU64,
    pub(crate) events_replayed: AtomicU64,
    pub(crate) recoveries: AtomicU64,
    pub(crate) passivations: AtomicU64,
    pub(crate) quarantines: AtomicU64,
    pub(crate) quarantined: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) snapshots_saved: AtomicU64,
    pub(crate) snapshots_failed: AtomicU64,
    pub(crate) snapshots_skipped: AtomicU64,
    pub(crate) snapshots_unusable: AtomicU64,
    pub(crate) records_deleted: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn subtract(counter: &AtomicU64, count: u64) {
        counter.fetch_sub(count, Ordering::Relaxed);
    }
}

/// What a system has done since it started, and how many entities it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Entities in memory now.
    pub residents: u64,
    /// Commands, queries and deadlines handled, refused ones included.
    pub commands: u64,
    /// Records that became durable.
    pub events_stored: u64,
    /// Records read back to load entities.
    pub events_replayed: u64,
    /// Entities loaded.
    pub recoveries: u64,
    /// Entities dropped from memory because they were idle or too many.
    pub passivations: u64,
    /// How often an entity could not be loaded.
    pub quarantines: u64,
    /// Entities in quarantine now, as far as they are in memory.
    pub quarantined: u64,
    /// Commands, queries and deadlines whose handler, fold or reply panicked.
    pub panics: u64,
    /// Snapshots that were saved.
    pub snapshots_saved: u64,
    /// Snapshots that were taken, and that the store didn't save. Nothing is lost by that.
    pub snapshots_failed: u64,
    /// Snapshots that were due or asked for, and not taken: too many waited, the data was too long or couldn't be
    /// written, or the state is transient; or not saved, since too little space was free.
    pub snapshots_skipped: u64,
    /// Stored snapshots that were set aside when an entity was loaded, for an older one or the whole stream.
    pub snapshots_unusable: u64,
    /// Records that were deleted because snapshots stand for them.
    pub records_deleted: u64,
}

impl Stats {
    pub(crate) fn sum(all: &[Arc<Counters>]) -> Self {
        let mut sum = Self::default();
        for counters in all {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            sum.residents += read(&counters.residents);
            sum.commands += read(&counters.commands);
            sum.events_stored += read(&counters.events_stored);
            sum.events_replayed += read(&counters.events_replayed);
            sum.recoveries += read(&counters.recoveries);
            sum.passivations += read(&counters.passivations);
            sum.quarantines += read(&counters.quarantines);
            sum.quarantined += read(&counters.quarantined);
            sum.panics += read(&counters.panics);
            sum.snapshots_saved += read(&counters.snapshots_saved);
            sum.snapshots_failed += read(&counters.snapshots_failed);
            sum.snapshots_skipped += read(&counters.snapshots_skipped);
            sum.snapshots_unusable += read(&counters.snapshots_unusable);
            sum.records_deleted += read(&counters.records_deleted);
        }
        sum
    }
}
