//! How a system is set up.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use crate::aggregate::Aggregate;
use crate::clock::{Clock, SystemClock};
use crate::contain::contained;
use crate::journal::{Durability, Journal};
#[cfg(feature = "fjall")]
use crate::journal::{FjallJournal, FjallOptions};
use crate::snapshot::{SNAPSHOT_BYTES_MAX, SnapshotStore};
use crate::system::System;
use crate::system::blocking::Blocking;
use crate::system::mailbox::LANES;
use crate::system::quarantine::Backoff;
use crate::system::readers::{ReadMark, ReaderError, Readers};
use crate::system::registry::{Registry, Services};

/// Settings of a [`System`] before it starts.
///
/// Some limits are no settings. Of repeated commands, which are looked up in the journal, 128 of an entity and 1,024 of a
/// shard wait for their answers; the next ones stay in the queues of their entities. The effects of 1,024 steps wait for
/// a shard's effect task; then the entities that have more of them wait, and when those are 1,024, their shard does. Each
/// armed deadline is kept in memory, also that of an entity that isn't. What a journal queues is its own matter.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use annals::System;
/// use annals::journal::MemoryJournal;
/// use std::time::Duration;
///
/// let system = System::builder().idle_after(Duration::from_secs(60)).start(MemoryJournal::new())?;
/// # system.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a system runs once it is started or opened"]
pub struct Builder {
    pub(super) shards: usize,
    pub(super) mailbox_max: usize,
    pub(super) shutdown_within: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) services: Services,
    pub(super) registrations: Vec<fn(&Registry)>,
    pub(super) deadlines_in_flight_max: usize,
    pub(super) settings: Settings,
    pub(super) snapshots: Option<Arc<dyn SnapshotStore>>,
    readers: Vec<ReadMark>,
    durability: Durability,
}

/// What a shard knows of the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) run_ahead_max: usize,
    pub(crate) run_ahead_bytes_max: usize,
    pub(crate) residents_max: usize,
    pub(crate) idle_after: Duration,
    pub(crate) keys_max: usize,
    pub(crate) verify_snapshots: bool,
    /// The longest snapshot, in bytes.
    pub(crate) snapshot_bytes_max: usize,
    /// How long an entity that fails is left alone.
    pub(crate) backoff: Backoff,
    /// How many commands may break an entity's data before it is.
    pub(crate) fold_panics_max: u32,
    pub(crate) blocking: Blocking,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let mut services = Services::default();
        services.insert(());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            shards: cores * 4,
            mailbox_max: 16_384,
            shutdown_within: Duration::from_secs(30),
            clock: Arc::new(SystemClock),
            services,
            settings: Settings {
                run_ahead_max: 4_096,
                run_ahead_bytes_max: 16 << 20,
                residents_max: 1_000_000,
                idle_after: Duration::from_secs(120),
                keys_max: 128,
                verify_snapshots: false,
                snapshot_bytes_max: SNAPSHOT_BYTES_MAX,
                backoff: Backoff {
                    first: Duration::from_secs(1),
                    longest: Duration::from_secs(300),
                    seed: RandomState::new().build_hasher().finish(),
                },
                fold_panics_max: 8,
                blocking: Blocking::default(),
            },
            snapshots: None,
            registrations: Vec::new(),
            deadlines_in_flight_max: 256,
            readers: Vec::new(),
            durability: Durability::Fsync,
        }
    }

    /// How many tasks share the entities. Default: 4 for each core, since a handler can't be interrupted.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// How many calls may wait in each shard, over all its entities. An entity may take up an eighth of it; beyond
    /// that, callers wait, or fail with [`CallError::Overloaded`](crate::CallError::Overloaded). Default: 16,384.
    pub fn mailbox_max(mut self, calls: usize) -> Self {
        self.mailbox_max = calls;
        self
    }

    /// How many handled commands of one entity may wait for the disk. Default: 4,096.
    pub fn run_ahead_max(mut self, commands: usize) -> Self {
        self.settings.run_ahead_max = commands;
        self
    }

    /// How many encoded bytes of each shard may wait for the disk. Default: 16 MiB.
    pub fn run_ahead_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.run_ahead_bytes_max = bytes;
        self
    }

    /// How many entities are kept in memory; beyond it, those are dropped that were not used lately. Entities with
    /// calls in flight are never dropped, so it may be exceeded by those. Default: 1,000,000.
    pub fn residents_max(mut self, entities: usize) -> Self {
        self.settings.residents_max = entities;
        self
    }

    /// After how much idle time an entity is dropped from memory, in steps of 0.1 s. Default: 2 minutes.
    pub fn idle_after(mut self, time: Duration) -> Self {
        self.settings.idle_after = time;
        self
    }

    /// How many unique keys each entity remembers, the last ones: 24 bytes each, and each command with a key is
    /// compared with all of them. Default: 128. See [`Key::unique`](crate::Key::unique).
    ///
    /// After a start with more, an entity knows older ones again; with fewer, it forgets them.
    pub fn keys_max(mut self, keys: usize) -> Self {
        self.settings.keys_max = keys;
        self
    }

    /// Makes an aggregate known at the start, so that deadlines of its entities are handled before anybody has asked
    /// for one. Other aggregates become known by the first [`System::get`].
    ///
    /// [`Builder::start`] panics where [`System::get`] would.
    pub fn register<A: Aggregate>(mut self) -> Self {
        self.registrations.push(Registry::make_known::<A>);
        self
    }

    /// How many deadlines are handled at the same time, at the most. After a start, those that are overdue fire the
    /// oldest first, at this rate. Default: 256.
    pub fn deadlines_in_flight_max(mut self, deadlines: usize) -> Self {
        self.deadlines_in_flight_max = deadlines;
        self
    }

    /// Where snapshots are kept. Default: the place that the journal brings along, if it has one.
    ///
    /// Events that [`Retention`](crate::snapshot::Retention) lets go are deleted only if the store's
    /// [`durability`](SnapshotStore::durability) is at least the journal's.
    pub fn snapshots(mut self, store: impl SnapshotStore) -> Self {
        self.snapshots = Some(Arc::new(store));
        self
    }

    /// The longest snapshot, in bytes. Of an entity that needs more, none is taken, and
    /// [`Stats::snapshots_skipped`](crate::Stats::snapshots_skipped) counts it. Default: 64 MiB.
    pub fn snapshot_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.snapshot_bytes_max = bytes;
        self
    }

    /// Compares snapshots with the events that they stand for, whenever an entity is loaded, as far as the events are
    /// still there; and two folds of these events with each other. For tests, and for a look at a copy of a store: each
    /// entity with snapshots is loaded from all of its events, twice. Default: `false`.
    ///
    /// An entity with a difference is quarantined. The reason names the first record on which two folds differ: the fold
    /// depends on something that isn't in the events, such as the order of a `HashMap`, the time or a random number.
    /// Where the folds agree with each other, it names the snapshot: the fold was changed since it was taken, which needs
    /// a higher `#[snapshot(version = ..)]`, or it depends on something that was another then, such as a clock. The order of a set is no difference. Data with `PartialEq` is compared exactly:
    /// what is lost when it is written, such as `Some(None)`, is a difference.
    pub fn verify_snapshots(mut self, verify: bool) -> Self {
        self.settings.verify_snapshots = verify;
        self
    }

    /// How long an entity that can't be loaded is left alone: `first` after the first failed attempt, twice as long after
    /// each one that follows, up to `longest`; each up to a quarter less, at random, so that many that failed together
    /// don't all come back at once. Default: 1 s and 300 s.
    ///
    /// Calls end with [`CallError::Quarantined`](crate::CallError::Quarantined) meanwhile, at once, and the first one after
    /// the pause makes the next attempt. [`System::retry`] makes one whenever it is asked to.
    pub fn retry_after(mut self, first: Duration, longest: Duration) -> Self {
        let backoff = &mut self.settings.backoff;
        (backoff.first, backoff.longest) = (first, longest.max(first));
        self
    }

    /// What the random part of the pauses is made from: with the same seed, the same entity has the same pauses. For
    /// tests. Default: another one at each start.
    pub fn retry_seed(mut self, seed: u64) -> Self {
        self.settings.backoff.seed = seed;
        self
    }

    /// How many commands may panic in a fold of one entity in a row. Each one costs a replay of its stream; so one more,
    /// and the entity is quarantined for the pauses of [`Builder::retry_after`]. For each `first` of these that passes, one
    /// less counts. Default: 8.
    ///
    /// An entity that leaves memory begins anew. It is idle for [`Builder::idle_after`] before, or makes room for others; then
    /// each call may cost a replay in any case.
    pub fn fold_panics_max(mut self, commands: u32) -> Self {
        self.settings.fold_panics_max = commands;
        self
    }

    /// How long [`System::shutdown`] may take to finish what was accepted. Default: 30 s.
    pub fn shutdown_within(mut self, time: Duration) -> Self {
        self.shutdown_within = time;
        self
    }

    /// What an acknowledged write survives, for the journal that [`Builder::open`] opens.
    /// Default: [`Durability::Fsync`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Where the time comes from. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Does what may block where tasks run, and uses no threads. So on a current-thread runtime, whose time is paused, all
    /// that a system does is decided by what it is given, and in which order: a test that makes its choices from a seed
    /// can be repeated exactly.
    ///
    /// For journals and stores of snapshots whose reads are ready at once, such as
    /// [`MemoryJournal`](crate::journal::MemoryJournal): a read that waits panics. A journal's writes and its `close` may
    /// wait, and a store's may.
    #[cfg(feature = "testing")]
    pub fn inline_blocking(mut self) -> Self {
        self.settings.blocking = Blocking::Inline;
        self
    }

    /// Gives effects something to work with: aggregates with `services = T` get this one. The type must be the very
    /// same: for `services = Mailer` give a `Mailer`, and for one that is needed elsewhere too say
    /// `services = Arc<Mailer>` and give the `Arc`.
    pub fn provide<T: Send + Sync + 'static>(mut self, services: T) -> Self {
        self.services.insert(services);
        self
    }

    /// Has no record deleted that this reader has still to read. See [`ReadMark`].
    ///
    /// Two readers of one name are refused by [`Builder::start`].
    pub fn reader(mut self, mark: &ReadMark) -> Self {
        self.readers.push(mark.clone());
        self
    }

    /// Starts the system on this journal, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`] if there is no tokio runtime with a timer, if a setting is out of range, or if two readers have
    /// the same name.
    pub fn start(self, journal: impl Journal) -> Result<System, StartError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(StartError::NoRuntime);
        }
        // Where there is no timer, tokio says so with a panic.
        contained(|| drop(tokio::time::interval(self.settings.idle_after.max(Duration::from_millis(1)))))
            .map_err(|_| StartError::NoTimer)?;
        self.check()?;
        let readers = Arc::new(Readers::of(&self.readers)?);
        Ok(System::start(Arc::new(journal), readers, self))
    }

    /// Opens the journal in `directory`, or makes one there, and starts the system on it.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the directory can't be opened as a journal, or if the system can't start.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the directory is opened in the background and closed again.
    #[cfg(feature = "fjall")]
    pub async fn open(self, directory: impl AsRef<std::path::Path>) -> Result<System, OpenError> {
        self.check()?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let directory = directory.as_ref().to_owned();
        let options = FjallOptions::new().durability(self.durability);
        let opened = runtime.spawn_blocking(move || FjallJournal::open(&directory, options)).await;
        let journal = opened.map_err(|_| StartError::NoRuntime)??;
        Ok(self.start(journal)?)
    }

    fn check(&self) -> Result<(), StartError> {
        let at_least = |name, value, least| {
            if value < least { Err(StartError::Setting { name, value, least }) } else { Ok(()) }
        };
        at_least("shards", self.shards, 1)?;
        at_least("mailbox_max", self.mailbox_max, LANES)?;
        at_least("run_ahead_max", self.settings.run_ahead_max, 1)?;
        at_least("run_ahead_bytes_max", self.settings.run_ahead_bytes_max, 1)?;
        at_least("residents_max", self.settings.residents_max, 1)?;
        at_least("keys_max", self.settings.keys_max, 1)?;
        at_least("snapshot_bytes_max", self.settings.snapshot_bytes_max, 1)?;
        at_least("deadlines_in_flight_max", self.deadlines_in_flight_max, 1)?;
        let first = usize::try_from(self.settings.backoff.first.as_nanos()).unwrap_or(usize::MAX);
        at_least("retry_after", first, 1)?;
        Readers::of(&self.readers)?;
        Ok(())
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("shards", &self.shards)
            .field("mailbox_max", &self.mailbox_max)
            .field("settings", &self.settings)
            .field("shutdown_within", &self.shutdown_within)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

/// Why a system didn't start on a directory.
#[cfg(feature = "fjall")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory can't be opened as a journal.
    #[error(transparent)]
    Journal(#[from] crate::journal::OpenError),
    /// The system can't start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Why a system didn't start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A system needs a tokio runtime around it.
    #[error("there is no tokio runtime here: start the system inside of one, such as `#[tokio::main]` makes")]
    NoRuntime,
    /// The tokio runtime has no timer.
    #[error("the tokio runtime here has no timer: build it with `enable_time` or `enable_all`")]
    NoTimer,
    /// A setting is too small.
    #[error("`{name}` is {value}; it must be at least {least}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: usize,
        /// The least that is possible.
        least: usize,
    },
    /// Two readers have the same name.
    #[error(transparent)]
    Reader(#[from] ReaderError),
}
