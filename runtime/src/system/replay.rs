//! An entity as it was: its stream, folded up to some record, beside the live entity.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use jiff::Timestamp;

use crate::aggregate::Aggregate;
use crate::codec::DecodeError;
use crate::id::{EntityId, PersistenceId, SeqNr};
use crate::journal::{Journal, ReadError, RunError};
use crate::snapshot::{Criteria, SnapshotStore};
use crate::state::Machine;
use crate::system::System;
use crate::system::blocking::Runtime;

mod steps;
mod walk;

pub use steps::{Happened, ReplayStep, Steps};
use walk::Walk;

impl System {
    /// Tells what an entity was, at any record or time: time travel. By itself, it replays up to the last record.
    ///
    /// It reads only what is durable, and has nothing to do with the entity in memory: no effect runs, no deadline comes,
    /// and an entity that can't be loaded any more can be looked at up to the record that stands in the way.
    ///
    /// ```
    /// use annals::SeqNr;
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
    ///     fn count(&self, by: u64) -> Step { applying(CounterEvent::Counted { by }) }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let system = System::builder().start(MemoryJournal::new())?;
    /// let steps = system.get::<Counter>("steps");
    /// steps.count(2).await?;
    /// steps.count(3).await?;
    ///
    /// let before = system.replay::<Counter>("steps").to_seq(SeqNr(1)).await?;
    /// assert_eq!((before.seq_nr(), before.data().count), (SeqNr(1), 2));
    /// let now = system.replay::<Counter>("steps").await?;
    /// assert_eq!(now.into_data().count, 5);
    /// # system.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn replay<A: Aggregate>(&self, id: impl Into<EntityId>) -> Replay<A> {
        let plan = Plan {
            id: PersistenceId::new(A::NAME, id),
            journal: Arc::downgrade(&self.inner.journal),
            snapshots: self.inner.snapshots.as_ref().map(Arc::downgrade),
            to_seq: None,
            to_time: None,
            begin: Begin::Best,
            runtime: self.inner.runtime(),
        };
        Replay { plan, aggregate: PhantomData }
    }
}

/// A replay before it begins; made by [`System::replay`]. Awaited, it gives the [`Past`].
///
/// It keeps nothing open: when its system is gone, it ends with [`ReadError::Closed`].
///
/// # Cancel safety
///
/// Dropping the future ends the replay behind the page that is being folded.
#[must_use = "a replay does nothing until it is awaited, or stepped through"]
pub struct Replay<A> {
    plan: Plan,
    aggregate: PhantomData<fn() -> A>,
}

/// What is to be replayed.
#[derive(Clone)]
struct Plan {
    id: PersistenceId,
    journal: Weak<dyn Journal>,
    snapshots: Option<Weak<dyn SnapshotStore>>,
    to_seq: Option<SeqNr>,
    to_time: Option<Timestamp>,
    begin: Begin,
    runtime: Runtime,
}

/// What a replay begins with.
#[derive(Debug, Clone, Copy)]
enum Begin {
    /// What is best for its purpose.
    Best,
    Snapshots(Criteria),
    FirstRecord,
}

impl<A: Aggregate> Replay<A> {
    /// Ends with this record, also in the middle of what one command has stored. 0 is before the first record.
    pub fn to_seq(mut self, seq_nr: SeqNr) -> Self {
        self.plan.to_seq = Some(seq_nr);
        self
    }

    /// Ends with the last record that isn't later than this time.
    pub fn to_time(mut self, time: Timestamp) -> Self {
        self.plan.to_time = Some(time);
        self
    }

    /// Begins with the newest usable snapshot among these, and with the first record if there is none.
    pub fn from_snapshots(mut self, criteria: Criteria) -> Self {
        self.plan.begin = Begin::Snapshots(criteria);
        self
    }

    /// Begins with the first record, whatever snapshots there are.
    pub fn without_snapshots(mut self) -> Self {
        self.plan.begin = Begin::FirstRecord;
        self
    }

    /// Goes through the records one by one, with the data after each.
    ///
    /// It begins with the first record; where that was deleted, behind the oldest snapshot that stands for what was; and
    /// with [`Replay::from_snapshots`] behind the newest usable one among these.
    pub fn steps(self) -> Steps<A> {
        Steps::new(self.plan)
    }

    async fn run(self) -> Result<Past<A>, ReplayError> {
        let plan = self.plan;
        let runtime = plan.runtime.nearest();
        let id = plan.id.clone();
        // Whoever waits no more has dropped it.
        let wanted = Arc::new(());
        let still_wanted = Arc::downgrade(&wanted);
        let replayed = runtime.clone().spawn_blocking(move || {
            let mut walk = Walk::<A>::begin(&plan, false, &runtime)?;
            while still_wanted.strong_count() > 0 {
                let is_whole = walk.fold_all().and_then(|is_whole| {
                    if !is_whole {
                        walk.take_in(walk.page().read(&runtime))?;
                    }
                    Ok(is_whole)
                });
                match is_whole {
                    Ok(true) => return walk.past(),
                    Ok(false) => {}
                    // The floor has risen each time, so this ends.
                    Err(error) if walk.is_overtaken(&error) => walk = Walk::begin(&plan, false, &runtime)?,
                    Err(error) => return Err(error),
                }
            }
            Err(ReplayError::closed(&plan.id))
        });
        let past = replayed.await.unwrap_or_else(|_| Err(ReplayError::closed(&id)));
        drop(wanted);
        past
    }
}

impl<A: Aggregate> IntoFuture for Replay<A> {
    type Output = Result<Past<A>, ReplayError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<A: Aggregate> fmt::Debug for Replay<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("id", &self.id)
            .field("to_seq", &self.to_seq)
            .field("to_time", &self.to_time)
            .field("begin", &self.begin)
            .finish()
    }
}

/// An entity as it was after some record.
pub struct Past<A: Aggregate> {
    data: A,
    state: A::State,
    seq_nr: SeqNr,
    time: Option<Timestamp>,
}

impl<A: Aggregate> Past<A> {
    /// The data.
    pub fn data(&self) -> &A {
        &self.data
    }

    /// The data, to keep.
    pub fn into_data(self) -> A {
        self.data
    }

    /// The last record that the data includes; 0 if none.
    pub fn seq_nr(&self) -> SeqNr {
        self.seq_nr
    }

    /// The time of that record; `None` before the first.
    pub fn time(&self) -> Option<Timestamp> {
        self.time
    }
}

impl<A: Machine> Past<A> {
    /// The state that it was in.
    ///
    /// A transient state lasts here from the record that entered it to the next one that enters another, or that was
    /// stored after a restart.
    pub fn state(&self) -> A::State {
        self.state
    }
}

impl<A: Aggregate> fmt::Debug for Past<A> {
    /// Shows no data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Past")
            .field("state", &self.state)
            .field("seq_nr", &self.seq_nr)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// Why it can't be told what an entity was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// Nothing is stored under the id.
    #[error("{id}: nothing is stored")]
    NotFound {
        /// The entity.
        id: PersistenceId,
    },
    /// The record is not there yet.
    #[error("{id}: there is no record {asked}: the last one is {last}")]
    Beyond {
        /// The entity.
        id: PersistenceId,
        /// Which was asked for.
        asked: SeqNr,
        /// The last one.
        last: SeqNr,
    },
    /// The records that are needed were deleted by [`Retention`](crate::snapshot::Retention), and no snapshot that may be
    /// used stands for them.
    #[error("{id}: the records up to {floor} were deleted, and {}", told_from(*from))]
    Deleted {
        /// The entity.
        id: PersistenceId,
        /// The last record that was deleted.
        floor: SeqNr,
        /// The first record after which it can be told what it was, with snapshots; `None` if there is none.
        from: Option<SeqNr>,
    },
    /// The entity was deleted or forgotten.
    #[error("{id}: it was deleted; its last record is {seq_nr}")]
    Ended {
        /// The entity.
        id: PersistenceId,
        /// The sequence number of the record that ends its stream.
        seq_nr: SeqNr,
    },
    /// An event can't be read.
    #[error("{id}: event `{name}` in version {version} at sequence number {seq_nr}: {error}")]
    Undecodable {
        /// The entity.
        id: PersistenceId,
        /// The event's sequence number.
        seq_nr: SeqNr,
        /// The event's stored name.
        name: String,
        /// The stored version.
        version: u32,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The aggregate's code panicked on a record.
    #[error("{id}: sequence number {seq_nr} made the replay panic: {message}")]
    Panicked {
        /// The entity.
        id: PersistenceId,
        /// The record's sequence number; 0 if there were no data to begin with.
        seq_nr: SeqNr,
        /// The panic's message.
        message: Arc<str>,
    },
    /// It stands in a state that the machine doesn't have. States that were left again don't matter.
    #[error("{id}: no state is stored as `{name}`, which it is in since sequence number {seq_nr}")]
    UnknownState {
        /// The entity.
        id: PersistenceId,
        /// The sequence number of the record with which the state was entered.
        seq_nr: SeqNr,
        /// The stored name.
        name: String,
    },
    /// A record is missing that should be there.
    #[error("{id}: sequence number {seq_nr} is missing")]
    Missing {
        /// The entity.
        id: PersistenceId,
        /// The first one that is missing.
        seq_nr: SeqNr,
    },
    /// What is stored is damaged, or was written by a newer version.
    #[error("{id}: from sequence number {seq_nr} on: {error}")]
    Run {
        /// The entity.
        id: PersistenceId,
        /// The first record that can't be read.
        seq_nr: SeqNr,
        /// What is wrong.
        error: RunError,
    },
    /// The journal can't be read. Another attempt may succeed.
    #[error("{id}: from sequence number {seq_nr} on: {error}")]
    Read {
        /// The entity.
        id: PersistenceId,
        /// The first record that can't be read.
        seq_nr: SeqNr,
        /// What went wrong.
        error: ReadError,
    },
}

impl ReplayError {
    /// The journal isn't there any more.
    fn closed(id: &PersistenceId) -> Self {
        ReplayError::Read { id: id.clone(), seq_nr: SeqNr(1), error: ReadError::Closed }
    }
}

fn told_from(seq_nr: Option<SeqNr>) -> String {
    seq_nr.map_or_else(
        || "no snapshot stands for them".to_owned(),
        |seq_nr| format!("with snapshots it can be told from {seq_nr} on"),
    )
}
