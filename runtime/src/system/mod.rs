//! The system: shards, their mailboxes, and the journal below.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use xxhash_rust::xxh3::xxh3_64;

use crate::aggregate::Aggregate;
use crate::entity_ref::EntityRef;
use crate::id::EntityId;
use crate::journal::{CloseError, Health, Journal};

mod builder;
mod effects;
mod entity;
mod mailbox;
mod recovery;
mod shard;
mod slots;
mod stats;
mod store;

#[cfg(feature = "fjall")]
pub use builder::OpenError;
pub use builder::{Builder, StartError};
pub use stats::Stats;

use mailbox::{Mailbox, ShardPort, mailbox};
use shard::{Setup, Shard, Stage};
use stats::Counters;
use store::{EntityStore, Store};

/// How long after the end of shutdown's time the tasks may take to give up.
const GIVING_UP: Duration = Duration::from_secs(1);

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
    mailboxes: Vec<Mailbox>,
    counters: Vec<Arc<Counters>>,
    aggregates: Arc<Aggregates>,
    services: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    stage: watch::Sender<Stage>,
    shutdown_within: Duration,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stage.send_if_modified(|stage| {
            *stage = (*stage).max(Stage::Draining);
            true
        });
        self.tasks.get_mut().detach_all();
    }
}

/// The aggregates that this system has met, in the order of their numbers.
#[derive(Default)]
struct Aggregates(Mutex<Vec<Registered>>);

#[derive(Clone)]
struct Registered {
    aggregate: TypeId,
    name: &'static str,
    /// One for each shard.
    ports: Arc<[Arc<ShardPort>]>,
    make_store: Arc<dyn Fn(usize) -> Box<dyn Store> + Send + Sync>,
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

    fn start(journal: Arc<dyn Journal>, builder: Builder) -> Self {
        let Builder { clock, services, shutdown_within, .. } = builder;
        let residents_max = builder.settings.residents_max.div_ceil(builder.shards);
        let aggregates = Arc::new(Aggregates::default());
        let run_numbers = Arc::new(AtomicU64::new(0));
        let (stage, stages) = watch::channel(Stage::Running);
        let (mut mailboxes, mut counters, mut tasks) = (Vec::new(), Vec::new(), JoinSet::new());
        for index in 0..builder.shards {
            let (sender, receiver, lanes) = mailbox(builder.mailbox_max);
            let (effects, jobs) = mpsc::channel(effects::EFFECTS_WAITING_MAX);
            let (counted, known) = (Arc::new(Counters::default()), aggregates.clone());
            let shard = Shard::new(Setup {
                journal: journal.clone(),
                clock: clock.clone(),
                settings: builder.settings,
                residents_max,
                lanes,
                counters: counted.clone(),
                run_numbers: run_numbers.clone(),
                mailbox: receiver,
                effects,
                stage: stages.clone(),
                make_store: Box::new(move |number| known.make_store(number, index)),
            });
            tasks.spawn(shard.run());
            tasks.spawn(effects::run(jobs, stages.clone()));
            mailboxes.push(sender);
            counters.push(counted);
        }
        let tasks = tokio::sync::Mutex::new(tasks);
        let inner = Inner { journal, mailboxes, counters, aggregates, services, stage, shutdown_within, tasks };
        Self { inner: Arc::new(inner) }
    }

    /// The ref of one entity. It is cheap: nothing is loaded yet, and the id is checked by the first call.
    ///
    /// # Panics
    ///
    /// If `A` wants services that were not given with [`Builder::provide`], or if another aggregate of the same name
    /// is in use: both are mistakes of the program.
    pub fn get<A: Aggregate>(&self, id: impl Into<EntityId>) -> A::Ref {
        let id = id.into();
        let hash = xxh3_64(id.as_str().as_bytes());
        let ports = self.register::<A>();
        let shard = usize::try_from(hash >> 48).unwrap_or(0) % ports.len();
        EntityRef::<A>::new(id, hash, ports[shard].clone()).into()
    }

    /// Finds an aggregate, or makes it known.
    fn register<A: Aggregate>(&self) -> Arc<[Arc<ShardPort>]> {
        let mut known = self.inner.aggregates.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.iter().find(|known| known.aggregate == TypeId::of::<A>()) {
            return found.ports.clone();
        }
        let services = self.inner.services.get(&TypeId::of::<A::Services>()).cloned();
        let services = services.and_then(|services| services.downcast::<A::Services>().ok());
        let Some(services) = services else {
            drop(known);
            panic!(
                "aggregate `{}` needs services of type `{}`: give them with `System::builder().provide(..)`",
                A::NAME,
                std::any::type_name::<A::Services>(),
            );
        };
        if known.iter().any(|known| known.name == A::NAME) {
            drop(known);
            panic!("two aggregates are stored as `{}`: give one of them another `name`", A::NAME);
        }
        let number = u32::try_from(known.len()).expect("a program has fewer than 4 billion aggregates");
        let port =
            |mailbox: &Mailbox| Arc::new(ShardPort { aggregate: A::NAME, store: number, mailbox: mailbox.clone() });
        let ports: Arc<[_]> = self.inner.mailboxes.iter().map(port).collect();
        let store_ports = ports.clone();
        known.push(Registered {
            aggregate: TypeId::of::<A>(),
            name: A::NAME,
            ports: ports.clone(),
            make_store: Arc::new(move |shard| {
                Box::new(EntityStore::<A>::new(number, store_ports[shard].clone(), services.clone()))
            }),
        });
        ports
    }

    /// What the system has done so far.
    pub fn stats(&self) -> Stats {
        Stats::sum(&self.inner.counters)
    }

    /// Whether the journal takes writes.
    pub fn health(&self) -> Health {
        self.inner.journal.health()
    }

    /// Takes no more calls, finishes those that it has, runs their effects, and closes the journal. Every waiting
    /// caller gets an answer. A second call waits for the first.
    ///
    /// # Errors
    ///
    /// [`ShutdownError`] if the time set with [`Builder::shutdown_within`] was not enough, or if the journal could not
    /// be closed in order. What was acknowledged is stored all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the shutdown goes on, but nobody closes the journal before it is dropped itself.
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        let mut tasks = self.inner.tasks.lock().await;
        self.enter(Stage::Draining);
        let within = self.inner.shutdown_within;
        let in_time = tokio::time::timeout(within, join_all(&mut tasks)).await.is_ok();
        if !in_time {
            self.enter(Stage::GivingUp);
            if tokio::time::timeout(GIVING_UP, join_all(&mut tasks)).await.is_err() {
                tasks.shutdown().await;
            }
        }
        let journal = self.inner.journal.clone();
        let runtime = tokio::runtime::Handle::current();
        let closed = tokio::task::spawn_blocking(move || runtime.block_on(journal.close())).await;
        match closed {
            Ok(closed) => closed?,
            Err(error) => return Err(CloseError(error.to_string().into()).into()),
        }
        if in_time { Ok(()) } else { Err(ShutdownError::TimeOver { within }) }
    }

    fn enter(&self, stage: Stage) {
        self.inner.stage.send_if_modified(|now| {
            let later = stage > *now;
            *now = (*now).max(stage);
            later
        });
    }
}

async fn join_all(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a task of the system ended early");
        }
    }
}

impl Aggregates {
    fn make_store(&self, number: u32, shard: usize) -> Box<dyn Store> {
        let make = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let index = usize::try_from(number).expect("a store's number fits an index");
            known[index].make_store.clone()
        };
        make(shard)
    }
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
    /// The journal was not closed in order.
    #[error(transparent)]
    Journal(#[from] CloseError),
}
