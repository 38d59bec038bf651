//! The system: shards, their mailboxes, and the journal below.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::aggregate::Aggregate;
use crate::id::EntityId;
use crate::journal::{CloseError, Health, Journal, ReadError, RunKey, Settled};
use crate::log::{self, Throttle};
use crate::snapshot::SnapshotStore;
use crate::state::Machine;

mod blocking;
mod builder;
mod delete;
mod desk;
mod drain;
mod effects;
mod end;
mod entity;
mod mailbox;
mod pace;
mod pages;
mod quarantine;
mod readers;
mod recovery;
mod registry;
mod repeat;
mod replay;
mod retry;
mod rung;
mod schedule;
mod shard;
mod snapshots;
mod stats;
mod store;
#[cfg(test)]
mod tests;
mod timekeeper;
mod timepiece;
mod transitions;
mod work;

#[cfg(feature = "fjall")]
pub use builder::OpenError;
pub use builder::{Builder, StartError};
pub use delete::{DeleteError, Deleted, ForgetError};
pub use quarantine::{Quarantined, Trouble};
pub use readers::{ReadMark, ReaderError};
pub(crate) use registry::Registry;
pub use replay::{Happened, Past, Replay, ReplayError, ReplayStep, Steps};
pub use retry::Retried;
pub use stats::Stats;
pub use transitions::{Transition, TransitionError, Transitions};

use blocking::{Blocking, Runtime};
use drain::{Activity, Stages, drain};
use effects::EffectQueue;
use mailbox::{Mailbox, mailbox};
use quarantine::Ward;
use readers::Readers;
use schedule::Schedule;
use shard::{Setup, Shard, Stage};
use snapshots::{SHARDS_PER_SAVER, Saver, Shelf};
use stats::Counters;
use timekeeper::Timekeeper;
use timepiece::Timepiece;

/// How long after the end of shutdown's time the tasks may take to give up.
const GIVING_UP: Duration = Duration::from_secs(1);
/// How long the journal may take to close in any case.
const CLOSING_MIN: Duration = Duration::from_secs(1);

/// A running set of entities over one journal.
///
/// It is a handle that is cloned freely. When the last one is dropped, the system takes no more calls and finishes
/// those that it has, beside whatever the program does next; [`System::shutdown`] does the same and waits for it.
///
/// ```
/// use annals::journal::MemoryJournal;
/// use annals::prelude::*;
///
/// #[derive(Debug, Default, Serialize, Deserialize)]
/// pub struct Counter { count: u64 }
///
/// #[aggregate]
/// impl Counter {
///     #[event]
///     fn counted(&mut self, by: u64) { self.count += by }
///
///     #[command]
///     fn count(&self, by: u64) -> Step<u64> {
///         applying(CounterEvent::Counted { by }).replying(self.count + by)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let journal = MemoryJournal::new(); // on a disk: `System::open("data").await?`
/// let system = System::builder().start(journal.clone())?;
/// assert_eq!(system.get::<Counter>("steps").count(2).await?, 2);
/// system.shutdown().await?;
///
/// let system = System::builder().start(journal.reopen())?; // as after a restart
/// assert_eq!(system.get::<Counter>("steps").count(3).await?, 5);
/// assert_eq!(system.stats().events_replayed, 1);
/// # system.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct System {
    inner: Arc<Inner>,
}

struct Inner {
    journal: Arc<dyn Journal>,
    snapshots: Option<Arc<dyn SnapshotStore>>,
    registry: Arc<Registry>,
    readers: Arc<Readers>,
    ward: Arc<Ward>,
    mailboxes: Vec<Mailbox>,
    counters: Vec<Arc<Counters>>,
    stages: Arc<Stages>,
    shutdown_within: Duration,
    /// On which everything runs.
    runtime: Handle,
    blocking: Blocking,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl Inner {
    /// The system's runtime, for what is asked from anywhere.
    fn runtime(&self) -> Runtime {
        self.blocking.on(&self.runtime)
    }

    /// Takes no more calls from outside, and finishes what is there.
    fn drain(&self) {
        // ORDER: refused before anybody looks whether all is finished.
        self.mailboxes.iter().for_each(Mailbox::close_outside);
        self.stages.advance(Stage::Draining);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.drain();
        self.tasks.get_mut().detach_all();
    }
}

impl System {
    /// Starts a system with the default settings on the journal in `directory`, which is made if it isn't there.
    ///
    /// # Errors
    ///
    /// [`OpenError`], as for [`Builder::open`].
    #[cfg(feature = "fjall")]
    pub async fn open(directory: impl AsRef<std::path::Path>) -> Result<Self, OpenError> {
        Self::builder().open(directory).await
    }

    /// Sets up a system.
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn start(journal: Arc<dyn Journal>, readers: Arc<Readers>, builder: Builder) -> Self {
        let Builder { clock, services, shutdown_within, settings, registrations, snapshots, .. } = builder;
        let snapshots = snapshots.or_else(|| journal.snapshots());
        let residents_max = settings.residents_max.div_ceil(builder.shards);
        let run_numbers = Arc::new(AtomicU64::new(0));
        let activity = Arc::new(Activity::default());
        let mut stages = Stages::default();
        let (mailboxes, ends): (Vec<_>, Vec<_>) = (0..builder.shards).map(|_| mailbox(builder.mailbox_max)).unzip();
        let (schedule, ward) = (Arc::new(Schedule::default()), Arc::new(Ward::default()));
        let registry = Registry::new(mailboxes.clone(), services, activity.clone(), schedule.clone());
        let registry = Arc::new(registry);
        registrations.iter().for_each(|register| register(&registry));
        let (mut counters, mut probes, mut tasks) = (Vec::new(), Vec::new(), JoinSet::new());
        let mut shelves = Vec::new();
        for _ in 0..builder.shards.div_ceil(SHARDS_PER_SAVER) {
            let (shelf, jobs) = Shelf::new(snapshots.is_some(), settings.snapshot_bytes_max);
            shelves.push(shelf);
            let Some(store) = snapshots.clone() else { continue };
            let (journal, readers, clock) = (journal.clone(), readers.clone(), Timepiece::new(clock.clone()));
            let counted = Arc::new(Counters::default());
            counters.push(counted.clone());
            let saver = Saver { journal, store, readers, clock, counters: counted };
            tasks.spawn(snapshots::run(Arc::new(saver), settings.blocking, jobs, stages.tell_one()));
        }
        for (index, end) in ends.into_iter().enumerate() {
            let (effects, jobs) = mpsc::channel(effects::EFFECTS_WAITING_MAX);
            let (probe, probed) = mpsc::channel(1);
            let (counted, registry) = (Arc::new(Counters::default()), registry.clone());
            let shard = Shard::new(Setup {
                journal: journal.clone(),
                clock: Timepiece::new(clock.clone()),
                settings,
                residents_max,
                mailbox: end,
                counters: counted.clone(),
                run_numbers: run_numbers.clone(),
                effects: EffectQueue::new(effects, activity.clone()),
                schedule: schedule.clone(),
                ward: ward.clone(),
                shelf: shelves[index / SHARDS_PER_SAVER].clone(),
                snapshots: snapshots.clone(),
                stage: stages.tell_one(),
                probes: probed,
                make_store: Box::new(move |number| registry.make_store(number, index)),
            });
            tasks.spawn(shard.run());
            tasks.spawn(effects::run(jobs, stages.tell_one(), activity.clone()));
            counters.push(counted);
            probes.push(probe);
        }
        // ORDER: a saver ends when the last of its shards has.
        drop(shelves);
        let timekeeper = Timekeeper {
            journal: journal.clone(),
            clock: Timepiece::new(clock),
            schedule,
            registry: registry.clone(),
            stages: stages.tell_one(),
            blocking: settings.blocking,
            alarms_max: builder.deadlines_in_flight_max,
            sending: JoinSet::new(),
            throttle: Throttle::default(),
        };
        tasks.spawn(timekeeper.run());
        let heard = stages.tell_one();
        let stages = Arc::new(stages);
        tasks.spawn(drain(stages.clone(), heard, probes, activity));
        let tasks = tokio::sync::Mutex::new(tasks);
        let blocking = settings.blocking;
        let inner = Inner {
            journal,
            snapshots,
            registry,
            readers,
            ward,
            mailboxes,
            counters,
            stages,
            shutdown_within,
            runtime: Handle::current(),
            blocking,
            tasks,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The ref of one entity. It is cheap: nothing is loaded yet, and the id is checked by the first call. An id is text: of
    /// the number 7 it is `"7"`.
    ///
    /// # Panics
    ///
    /// If `A` wants services that were not given with [`Builder::provide`], or if another aggregate of the same name
    /// is in use: both are mistakes of the program.
    #[track_caller]
    pub fn get<A: Aggregate>(&self, id: impl Into<EntityId>) -> A::Ref {
        self.inner.registry.outside::<A>(id.into()).into()
    }

    /// The transitions of all entities of a machine, from now on: each one that becomes durable after this call.
    pub fn transitions<A: Machine>(&self) -> Transitions<A> {
        Transitions::new(&self.inner.journal, &self.inner.readers, self.inner.runtime())
    }

    /// Has no record deleted any more that this reader has still to read. [`Builder::reader`] does so before anything
    /// runs; what was deleted before this call, or is being deleted, is gone.
    ///
    /// # Errors
    ///
    /// [`ReaderError`] if another reader has the name and somebody holds its mark. The same mark again changes nothing.
    pub fn register_reader(&self, mark: &ReadMark) -> Result<(), ReaderError> {
        self.inner.readers.register(mark)
    }

    /// Takes back the registration of the reader with this name: what it hasn't read may be deleted. Tells whether
    /// there was one.
    pub fn unregister_reader(&self, name: &str) -> bool {
        self.inner.readers.unregister(name)
    }

    /// What the system has done so far.
    pub fn stats(&self) -> Stats {
        Stats::sum(&self.inner.counters)
    }

    /// Whether the journal takes writes.
    pub fn health(&self) -> Health {
        self.inner.journal.health()
    }

    /// Says what became of a command that ended with [`Unknown::Journal`](crate::Unknown::Journal), once the journal was
    /// opened again: its error has the key to ask with, which can be stored. All the commands of one run are stored, or
    /// none is.
    ///
    /// A command that has a key of its own, given with [`Call::key`](crate::Call::key), can simply be sent again instead.
    ///
    /// ```
    /// # use annals::prelude::*;
    /// # #[derive(Debug, Default, Serialize, Deserialize)]
    /// # pub struct Counter { count: u64 }
    /// # #[aggregate]
    /// # impl Counter {
    /// #     #[event] fn counted(&mut self, by: u64) { self.count += by }
    /// #     #[command] fn count(&self, by: u64) -> Step<u64> {
    /// #         applying(CounterEvent::Counted { by }).replying(self.count + by)
    /// #     }
    /// # }
    /// # #[cfg(not(feature = "testing"))] fn main() {}
    /// # #[cfg(feature = "testing")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use annals::Unknown;
    /// use annals::journal::{MemoryJournal, Settled};
    /// use annals::testing::UnknownRun;
    ///
    /// let journal = MemoryJournal::new();
    /// let system = System::builder().start(journal.clone())?;
    /// journal.faults().fail_next(UnknownRun::Lost); // the disk fails: written or not, nobody knows
    /// let Err(CallError::Unknown { why: Unknown::Journal { run, .. }, .. }) = system.get::<Counter>("steps").count(2).await
    /// else {
    ///     panic!("the journal has failed");
    /// };
    ///
    /// let system = System::builder().start(journal.reopen())?; // as after a restart
    /// assert_eq!(system.settle(&run).await?, Settled::NotStored); // so it can be sent again
    /// assert_eq!(system.get::<Counter>("steps").count(2).await?, 2);
    /// # system.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ReadError::OtherStore`] if the command was sent to a system on another store, and any other if what is stored
    /// can't be read.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn settle(&self, run: &RunKey) -> Result<Settled, ReadError> {
        let (journal, run) = (self.inner.journal.clone(), run.clone());
        let settled = self.inner.runtime().drive(async move { journal.settle(&run).await });
        // It isn't aborted, so it has panicked, or the runtime is gone.
        settled
            .await
            .unwrap_or_else(|error| Err(ReadError::Engine { what: "a run".into(), error: error.to_string().into() }))
    }

    /// Takes no more calls, finishes those that it has, runs their effects, and closes the journal. Every waiting
    /// caller gets an answer. A second call waits for the first.
    ///
    /// What effects do is part of what is finished: futures that they spawned are awaited, and calls through
    /// [`Effects::this`](crate::Effects::this) and [`Effects::get`](crate::Effects::get) are still taken.
    ///
    /// It takes hardly longer than the time set with [`Builder::shutdown_within`]: a second for what is given up then, and
    /// another one for a journal that doesn't close. A handler that blocks its thread isn't waited for: the callers of its
    /// shard are told when it comes back.
    ///
    /// # Errors
    ///
    /// [`ShutdownError`] if the time was not enough, or if the journal could not be closed in order. What was acknowledged is
    /// stored all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll, the shutdown goes on, and closes the journal. It runs on the system's tokio runtime,
    /// wherever it is awaited. Don't await it in a future that an effect has spawned: it would wait for itself, until it is
    /// given up.
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        let inner = self.inner.clone();
        match self.inner.runtime.spawn(async move { inner.end().await }).await {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // With the runtime all tasks are gone, and their callers were told.
            Err(_) => {
                self.inner.journal.close().await?;
                Err(ShutdownError::RuntimeGone)
            }
        }
    }
}

impl Inner {
    async fn end(&self) -> Result<(), ShutdownError> {
        let mut tasks = self.tasks.lock().await;
        self.drain();
        let (started, within) = (Instant::now(), self.shutdown_within);
        let joined = timeout(within, join_all(&mut tasks)).await;
        if joined.is_err() {
            self.stages.advance(Stage::GivingUp);
            if timeout(GIVING_UP, join_all(&mut tasks)).await.is_err() {
                log::error!("handlers or effects block their threads: they are not waited for");
                tasks.abort_all();
                tasks.detach_all();
            }
        }
        let journal = self.journal.clone();
        let closing = self.blocking.here().drive(async move { journal.close().await });
        let left = within.saturating_sub(started.elapsed()).max(CLOSING_MIN);
        match timeout(left, closing).await {
            Ok(Ok(closed)) => closed?,
            Ok(Err(error)) => return Err(CloseError(error.to_string().into()).into()),
            Err(_) => return Err(ShutdownError::TimeOver { within }),
        }
        match joined {
            Ok(false) => Ok(()),
            Ok(true) => Err(ShutdownError::ShardPanicked),
            Err(_) => Err(ShutdownError::TimeOver { within }),
        }
    }
}

/// Waits for all, and says whether one has panicked.
async fn join_all(tasks: &mut JoinSet<()>) -> bool {
    let mut panicked = false;
    while let Some(ended) = tasks.join_next().await {
        panicked |= ended.is_err_and(|error| error.is_panic());
    }
    panicked
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field("shards", &self.inner.mailboxes.len())
            .field("facts", &self.inner.journal.facts())
            .finish_non_exhaustive()
    }
}

/// What did not end in order at a shutdown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The time was over; what was left was given up, and its callers were told.
    #[error("not everything was finished within {} ms; its callers were told", within.as_millis())]
    TimeOver {
        /// The time that was set.
        within: Duration,
    },
    /// A shard had panicked before, and its callers were told. What was acknowledged is stored all the same.
    #[error("a shard had panicked: its entities took no calls any more, and their callers were told")]
    ShardPanicked,
    /// The tokio runtime ended before the system, which gave up what was left; its callers were told.
    #[error("the tokio runtime of the system has ended before it; its callers were told")]
    RuntimeGone,
    /// The journal was not closed in order.
    #[error(transparent)]
    Journal(#[from] CloseError),
}
