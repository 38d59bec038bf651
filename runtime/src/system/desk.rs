//! What the entities of a shard share: its lists of those that have something to do, its counters, and the ways out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::contain::contained;
use crate::execute::Draft;
use crate::id::StreamNo;
use crate::journal::{Facts, Health, Journal, Why};
use crate::log::{self, Throttles};
use crate::snapshot::SnapshotStore;
use crate::system::builder::Settings;
use crate::system::effects::EffectQueue;
use crate::system::entity::TURN_MAX;
use crate::system::mailbox::Lanes;
use crate::system::quarantine::{Quarantined, Ward};
use crate::system::repeat::Repeat;
use crate::system::schedule::Schedule;
use crate::system::snapshots::Shelf;
use crate::system::stats::Counters;
use crate::system::timepiece::Timepiece;
use crate::system::work::SpareRuns;

/// How many blocking jobs answer repeated commands for one shard at the same time, and how many one answers.
pub(super) const REPEAT_JOBS_MAX: usize = 2;
pub(super) const REPEAT_BATCH_MAX: usize = 64;
/// How many repeated commands of one entity may wait for their answers at a time: as many as keep the jobs busy.
pub(crate) const REPEATS_OF_ONE_MAX: usize = REPEAT_JOBS_MAX * REPEAT_BATCH_MAX;
/// How many of all entities. Those beyond stay in the queues of their entities.
pub(crate) const REPEATS_MAX: usize = 1024;

/// An entity of this shard, while it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) store: u32,
    pub(crate) slot: u32,
}

/// What an entity needs of its shard.
pub(crate) struct Desk {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) facts: Facts,
    pub(crate) clock: Timepiece,
    pub(crate) settings: Settings,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) draft: Draft,
    pub(crate) spare_runs: SpareRuns,
    /// Entities with something to do, in the order of their turns. INVARIANT: an entity is in it at most once.
    pub(crate) ready: VecDeque<Key>,
    /// Entities with a run to hand over. INVARIANT: an entity is in it at most once.
    pub(crate) dirty: VecDeque<Key>,
    /// Entities that wait to be loaded. INVARIANT: an entity is in it at most once.
    pub(crate) absent: VecDeque<Key>,
    pub(crate) effects: EffectQueue,
    /// Repeated commands whose firsts are durable, and whose they are.
    pub(crate) repeats: VecDeque<(Key, Repeat)>,
    /// How many repeated commands were handled and aren't answered yet.
    pub(crate) repeating: usize,
    /// Entities whose next command is a repeat that there was no room for. INVARIANT: an entity is in it at most once.
    pub(crate) starved: VecDeque<Key>,
    /// How many of them were told that there is room, and haven't had their turns since.
    pub(crate) fed: usize,
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) ward: Arc<Ward>,
    /// Why the last entity of this shard was quarantined: many may be for the same reason.
    pub(crate) last_reason: Arc<str>,
    pub(crate) log: Throttles,
    pub(crate) shelf: Shelf,
    /// The store of snapshots, to load from.
    pub(crate) snapshots: Option<Arc<dyn SnapshotStore>>,
    /// How many answers have left in this pass.
    pub(crate) answers: usize,
    /// Encoded bytes that the journal has not settled.
    pub(crate) bytes_unsettled: usize,
    /// Entities that have anything queued, held or pending.
    pub(crate) busy: usize,
    /// Entities in memory.
    pub(crate) residents: usize,
    /// This shard's part of the resident maximum.
    pub(crate) residents_max: usize,
    /// Numbers runs within the epoch, over all shards.
    pub(crate) run_numbers: Arc<AtomicU64>,
    /// Tenths of a second since the shard started, when this pass began.
    pub(crate) tenth: u32,
    /// Whether the journal has refused something for lack of space, and hasn't said since that there is some.
    pub(crate) storage_low: bool,
}

impl Desk {
    /// Why the journal would take nothing, if it has said so before and still does. So what it refuses needn't be applied,
    /// and the entity needn't be loaded again.
    pub(crate) fn refuses(&mut self) -> Option<Why> {
        if !self.storage_low {
            return None;
        }
        match contained(|| self.journal.health()) {
            Ok(Health::StorageLow { free, floor }) => Some(Why::StorageLow { free, floor }),
            Ok(Health::Good | Health::Failed(_) | Health::Closed) | Err(_) => {
                self.storage_low = false;
                None
            }
        }
    }

    /// Whether an entity in quarantine makes its pause. One that would be longer than the longest began before the clock was
    /// set back, and is over.
    pub(crate) fn leaves_alone(&self, quarantined: &Quarantined) -> bool {
        let left = quarantined.retry_at.duration_since(self.clock.now());
        left.is_positive() && Duration::try_from(left).is_ok_and(|left| left <= self.settings.backoff.longest)
    }

    /// Lets the journal close a stream that nobody uses any more.
    pub(crate) fn close_stream(&self, stream: StreamNo) {
        if let Err(panic) = contained(|| self.journal.close_stream(stream)) {
            log::error!(%stream, %panic, "the journal panicked when it closed a stream");
        }
    }

    pub(crate) fn next_run(&self) -> u64 {
        self.run_numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether so much waits for the journal, or for effects, that no entity may go on.
    pub(super) fn is_saturated(&self) -> bool {
        self.bytes_unsettled >= self.settings.run_ahead_bytes_max || self.effects.is_full()
    }

    /// How many more repeated commands may be handled.
    pub(crate) fn room_for_repeats(&self) -> usize {
        REPEATS_MAX.saturating_sub(self.repeating)
    }

    /// How many of them aren't promised to entities that have a turn for that.
    pub(super) fn room_to_feed(&self) -> usize {
        self.room_for_repeats().saturating_sub(self.fed * TURN_MAX)
    }
}
