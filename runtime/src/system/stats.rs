//! What a system counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one shard. Only the shard writes them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) residents: AtomicU64,
    pub(crate) commands: AtomicU64,
    pub(crate) events_stored: AtomicU64,
    pub(crate) events_replayed: AtomicU64,
    pub(crate) recoveries: AtomicU64,
    pub(crate) passivations: AtomicU64,
    pub(crate) quarantines: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
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
}

impl Stats {
    pub(crate) fn sum(shards: &[Arc<Counters>]) -> Self {
        let mut sum = Self::default();
        for counters in shards {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            sum.residents += read(&counters.residents);
            sum.commands += read(&counters.commands);
            sum.events_stored += read(&counters.events_stored);
            sum.events_replayed += read(&counters.events_replayed);
            sum.recoveries += read(&counters.recoveries);
            sum.passivations += read(&counters.passivations);
            sum.quarantines += read(&counters.quarantines);
        }
        sum
    }
}
