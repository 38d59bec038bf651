//! A replay record by record.

use std::fmt;

use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::walk::{Cause, ReadPage, Stepped, StoredKind, StoredRecord, Walk};
use super::{Plan, ReplayError};
use crate::aggregate::Aggregate;
use crate::graph::Trigger;
use crate::id::{Offset, SeqNr};
use crate::state::Machine;

/// The records of an entity one by one, each with the data after it; made by [`Replay::steps`](crate::Replay::steps).
///
/// It reads a page of 1 MiB at a time, and folds one record for each [`Steps::next`]. It ends with the last record that
/// was durable when it began, or where the replay was to end.
///
/// ```
/// use annals::journal::MemoryJournal;
/// use annals::prelude::*;
/// use annals::Happened;
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
/// for by in [2, 3] {
///     system.get::<Counter>("steps").count(by).await?;
/// }
/// let mut counts = Vec::new();
/// let mut steps = system.replay::<Counter>("steps").steps();
/// while let Some(step) = steps.next().await? {
///     let Happened::Event { name, event: Some(CounterEvent::Counted { by }), .. } = step.what else { continue };
///     counts.push(format!("{}: {name} {by}, {} in all", step.seq_nr, step.data().count));
/// }
/// assert_eq!(counts, ["1: counted 2, 2 in all", "2: counted 3, 5 in all"]);
/// # drop(steps);
/// # system.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is read until it is asked"]
pub struct Steps<A: Aggregate> {
    plan: Plan,
    walk: Option<Walk<A>>,
    /// What is on its way from the journal.
    beginning: Option<JoinHandle<Result<Walk<A>, ReplayError>>>,
    reading: Option<JoinHandle<Result<ReadPage, ReplayError>>>,
    /// The record that was told last.
    record: Option<StoredRecord>,
}

/// A record, and what the entity was after it.
#[non_exhaustive]
pub struct ReplayStep<'s, A: Aggregate> {
    /// The record's sequence number.
    pub seq_nr: SeqNr,
    /// Its place in the journal.
    pub offset: Offset,
    /// When it was made.
    pub time: Timestamp,
    /// What it was caused by; known of machines, and of commands with a key.
    pub cause: Option<Trigger<'s>>,
    /// What it is.
    pub what: Happened<'s, A>,
    walk: &'s Walk<A>,
}

/// What a record is.
#[non_exhaustive]
pub enum Happened<'s, A: Aggregate> {
    /// An event.
    Event {
        /// The stored name.
        name: &'s str,
        /// The stored version.
        version: u32,
        /// The event, in today's version; `None` if it is ignored by now.
        event: Option<A::Event>,
    },
    /// The step from one state into another, or into the same one anew. States that were removed have their names.
    Transition {
        /// The stored name of the state that was left; `None` where a machine begins in its initial state.
        from: Option<&'s str>,
        /// The stored name of the state that was entered.
        to: &'s str,
        /// When the time in it is over.
        due: Option<Timestamp>,
    },
    /// The time in a state was over, that was handled, and the state stayed.
    DeadlineConsumed {
        /// The sequence number of the record with which the state was entered.
        visit: SeqNr,
    },
    /// A command with a key was answered and changed nothing.
    Receipt,
    /// The end of the stream.
    Tombstone,
    /// Something that a newer version has stored, and that this one may skip.
    Skipped {
        /// The kind's number.
        kind: u8,
    },
}

impl<A: Aggregate> Steps<A> {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, walk: None, beginning: None, reading: None, record: None }
    }

    /// The next record; `None` behind the last.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]. Behind a record that can't be folded nothing can be told, and the same error comes again. After
    /// [`ReplayError::Read`] it tries again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Option<ReplayStep<'_, A>>, ReplayError> {
        loop {
            let Some(walk) = &mut self.walk else {
                self.begin().await?;
                continue;
            };
            let told = match walk.step() {
                Ok(Stepped::Folded(record)) => {
                    self.record = Some(record);
                    break;
                }
                Ok(Stepped::NeedsPage) => self.read().await,
                Ok(Stepped::Ended) => return Ok(None),
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                // Nothing was told yet, so it may begin elsewhere.
                let begins_again =
                    self.record.is_none() && self.walk.as_ref().is_some_and(|walk| walk.is_overtaken(&error));
                if !begins_again {
                    return Err(error);
                }
                self.walk = None;
            }
        }
        let (Some(walk), Some(record)) = (&self.walk, &self.record) else { return Ok(None) };
        ReplayStep::of(walk, record).map(Some)
    }

    async fn begin(&mut self) -> Result<(), ReplayError> {
        let plan = &self.plan;
        let beginning = self.beginning.get_or_insert_with(|| {
            let (plan, runtime) = (plan.clone(), plan.runtime.nearest());
            runtime.clone().spawn_blocking(move || Walk::begin(&plan, true, &runtime))
        });
        let begun = beginning.await;
        self.beginning = None;
        self.walk = Some(begun.unwrap_or_else(|_| Err(ReplayError::closed(&self.plan.id)))?);
        Ok(())
    }

    async fn read(&mut self) -> Result<(), ReplayError> {
        let Some(walk) = &mut self.walk else { return Ok(()) };
        let reading = self.reading.get_or_insert_with(|| {
            let (page, runtime) = (walk.page(), self.plan.runtime.nearest());
            runtime.clone().spawn_blocking(move || page.read(&runtime))
        });
        let read = reading.await;
        self.reading = None;
        walk.take_in(read.unwrap_or_else(|_| Err(ReplayError::closed(&self.plan.id))))
    }
}

impl<A: Aggregate> fmt::Debug for Steps<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").field("replay", &self.plan).finish_non_exhaustive()
    }
}

impl<'s, A: Aggregate> ReplayStep<'s, A> {
    fn of(walk: &'s Walk<A>, record: &'s StoredRecord) -> Result<Self, ReplayError> {
        let what = match &record.what {
            StoredKind::Event { name, version, .. } => {
                Happened::Event { name, version: *version, event: walk.event(record)? }
            }
            StoredKind::Transition { from, to, due, .. } => {
                Happened::Transition { from: from.as_deref(), to, due: *due }
            }
            StoredKind::DeadlineConsumed { visit } => Happened::DeadlineConsumed { visit: *visit },
            StoredKind::Receipt => Happened::Receipt,
            StoredKind::Tombstone => Happened::Tombstone,
            StoredKind::Skipped { kind } => Happened::Skipped { kind: *kind },
        };
        let cause = record.cause.as_ref().map(|cause| match cause {
            Cause::Command(name) => Trigger::Command(name),
            Cause::Deadline => Trigger::Deadline,
        });
        let StoredRecord { seq_nr, offset, time, .. } = *record;
        Ok(Self { seq_nr, offset, time, cause, what, walk })
    }

    /// The data after the record.
    pub fn data(&self) -> &'s A {
        self.walk.data()
    }
}

impl<A: Machine> ReplayStep<'_, A> {
    /// The state after the record; transient ones as [`Past::state`](crate::Past::state) has them.
    ///
    /// # Errors
    ///
    /// [`ReplayError::UnknownState`] if the machine doesn't have it any more.
    pub fn state(&self) -> Result<A::State, ReplayError> {
        self.walk.state()
    }
}

impl<A: Aggregate> fmt::Debug for ReplayStep<'_, A> {
    /// Shows no data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayStep")
            .field("seq_nr", &self.seq_nr)
            .field("offset", &self.offset)
            .field("time", &self.time)
            .field("cause", &self.cause)
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

impl<A: Aggregate> fmt::Debug for Happened<'_, A> {
    /// Shows no content of an event.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Happened::Event { name, version, .. } => write!(f, "Event({name}, version {version})"),
            Happened::Transition { from, to, due } => {
                f.debug_struct("Transition").field("from", from).field("to", to).field("due", due).finish()
            }
            Happened::DeadlineConsumed { visit } => write!(f, "DeadlineConsumed({visit})"),
            Happened::Receipt => f.write_str("Receipt"),
            Happened::Tombstone => f.write_str("Tombstone"),
            Happened::Skipped { kind } => write!(f, "Skipped({kind})"),
        }
    }
}
