//! The transitions of a machine's entities, as a stream.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll, ready};

use futures_core::Stream;
use jiff::Timestamp;

use crate::aggregate::Aggregate;
use crate::graph::Trigger;
use crate::id::{EntityId, Offset, PersistenceId, SeqNr};
use crate::journal::{Fut, Health, Journal, Page, ReadError, Record, RunError, RunView, StoredCause, StoredRun};
use crate::state::{Machine, named};
use crate::system::blocking::Runtime;
use crate::system::readers::{Following, Readers};

/// How much of the journal is read at once.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// How much of it where less has brought nothing new: room for a run that can't be used, and for the next one.
const LONG_PAGE_BYTES_MAX: usize = 64 << 20;

/// One transition of a machine; it is durable.
#[non_exhaustive]
pub struct Transition<A: Aggregate> {
    /// Whose it is.
    pub id: EntityId,
    /// The state that was left.
    pub from: A::State,
    /// The state that was entered; the same one if it was entered anew.
    pub to: A::State,
    /// The sequence number of its record.
    pub seq_nr: SeqNr,
    /// The offset of its record: with [`Transitions::after`], a stream goes on behind it.
    pub offset: Offset,
    /// When it was made.
    pub time: Timestamp,
    /// The command; `None` for a deadline.
    command: Option<Arc<str>>,
}

impl<A: Machine> Transition<A> {
    /// What it was caused by.
    pub fn cause(&self) -> Trigger<'_> {
        self.command.as_deref().map_or(Trigger::Deadline, Trigger::Command)
    }
}

impl<A: Aggregate> Clone for Transition<A> {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), command: self.command.clone(), ..*self }
    }
}

impl<A: Aggregate> PartialEq for Transition<A> {
    fn eq(&self, other: &Self) -> bool {
        // There is one record at an offset; the rest is for those who compare two journals.
        (self.offset, self.seq_nr, self.time) == (other.offset, other.seq_nr, other.time)
            && (&self.id, &self.command) == (&other.id, &other.command)
            && (self.from, self.to) == (other.from, other.to)
    }
}

impl<A: Aggregate> fmt::Debug for Transition<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transition")
            .field("id", &self.id)
            .field("from", &self.from)
            .field("to", &self.to)
            .field("command", &self.command)
            .field("seq_nr", &self.seq_nr)
            .field("offset", &self.offset)
            .field("time", &self.time)
            .finish()
    }
}

/// The transitions of all entities of a machine, in the order of the journal; made by
/// [`System::transitions`](crate::System::transitions).
///
/// It reads the journal, a page of 1 MiB at a time, and waits at its end. So it is bounded however slowly it is asked, it
/// leaves nothing out, and it tells nothing before it is durable. It is a `Stream` of the crate futures-core, too.
///
/// While it lives, no record that it has still to read is deleted: whoever keeps one and doesn't ask it keeps the records.
///
/// It ends when the journal is closed or its system gone, with what it had read by then; when the journal has failed, with
/// all that is durable; and with an error when it is to begin where the journal doesn't reach. Whoever must not miss anything
/// keeps the `offset` of the last transition that was dealt with, and goes on behind it with [`Transitions::after`] after the
/// restart.
///
/// ```
/// use annals::journal::MemoryJournal;
/// use annals::prelude::*;
/// use annals::{Offset, Trigger};
///
/// #[derive(Debug, Default, Serialize, Deserialize)]
/// pub struct Lamp;
///
/// #[fsm(states(initial Off, On))]
/// impl Lamp {
///     #[on(Off => On)]
///     fn switch_on(&self) -> Step { goto(On) }
///
///     #[on(On => Off)]
///     fn switch_off(&self) -> Step { goto(Off) }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let system = System::builder().start(MemoryJournal::new())?;
/// let mut transitions = system.transitions::<Lamp>();
/// system.get::<Lamp>("desk").switch_on().await?;
///
/// let Some(transition) = transitions.next().await else { unreachable!("the journal is open") };
/// let transition = transition?;
/// assert_eq!((transition.id.as_str(), transition.from, transition.to), ("desk", LampState::Off, LampState::On));
/// assert_eq!(transition.cause(), Trigger::Command("switch_on"));
///
/// let mut all = system.transitions::<Lamp>().after(Offset(0)); // those that are stored, and then the new ones
/// assert_eq!(all.next().await, Some(Ok(transition)));
/// # system.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a stream does nothing until it is asked"]
pub struct Transitions<A: Machine> {
    /// A stream keeps no journal open that its system has left.
    journal: Weak<dyn Journal>,
    runtime: Runtime,
    store: u64,
    /// All records up to here were read.
    after: Offset,
    /// The first record of the last run that couldn't be used. It may be read again, and isn't told again.
    told: Option<Offset>,
    /// How much is read next.
    bytes_max: usize,
    /// Keeps from deletion what is behind `after`.
    following: Following,
    found: VecDeque<Result<Transition<A>, TransitionError>>,
    reading: Option<Fut<'static, Result<Option<Found>, ReadError>>>,
    ended: bool,
    machine: PhantomData<fn() -> A>,
}

/// Why a transition can't be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransitionError {
    /// The journal can't be read. The stream tries again when it is asked again.
    #[error("behind offset {after}: {error}")]
    Read {
        /// How far the journal was read.
        after: Offset,
        /// What went wrong.
        error: ReadError,
    },
    /// The journal gave a run that can't be used: it was damaged behind the journal's checks, or a newer version wrote it.
    /// The stream goes on behind it.
    #[error("at offset {offset}: {error}")]
    Run {
        /// The offset of its first record.
        offset: Offset,
        /// What is wrong with it.
        error: RunError,
    },
    /// The journal doesn't reach so far: it isn't the one that gave this offset, or it was put back to an older copy. The
    /// stream ends with this, since nobody knows where it would go on.
    #[error("the transitions behind offset {after} were asked for, and the journal ends at {end}")]
    Beyond {
        /// What was asked for with [`Transitions::after`].
        after: Offset,
        /// The offset of the journal's last record.
        end: Offset,
    },
    /// A transition names a state that the machine doesn't have. The stream goes on behind it.
    #[error("{id}, sequence number {seq_nr}: no state is stored as `{name}`")]
    UnknownState {
        /// Whose transition it is.
        id: PersistenceId,
        /// The sequence number of its record.
        seq_nr: SeqNr,
        /// The stored name.
        name: String,
    },
}

impl<A: Machine> Transitions<A> {
    pub(crate) fn new(journal: &Arc<dyn Journal>, readers: &Arc<Readers>, runtime: Runtime) -> Self {
        let (after, store) = (journal.durable(), journal.facts().store);
        let (journal, found, machine) = (Arc::downgrade(journal), VecDeque::new(), PhantomData);
        let following = readers.follow(&format!("transitions of {}", A::NAME), A::NAME, after);
        let (told, bytes_max) = (None, PAGE_BYTES_MAX);
        Self { journal, runtime, store, after, told, bytes_max, following, found, reading: None, ended: false, machine }
    }

    /// Begins, or goes on, behind this offset: 0 for all that is stored.
    ///
    /// A journal that ends before it, such as a copy of an older day that was put back, would store other records there.
    /// So the stream tells [`TransitionError::Beyond`], and ends.
    pub fn after(self, offset: Offset) -> Self {
        let following = self.following.again_after(offset);
        let end = self.journal.upgrade().map(|journal| journal.durable()).filter(|end| *end < offset);
        let found = end.map(|end| Err(TransitionError::Beyond { after: offset, end })).into_iter().collect();
        Self {
            after: offset,
            told: None,
            bytes_max: PAGE_BYTES_MAX,
            following,
            found,
            reading: None,
            ended: end.is_some(),
            ..self
        }
    }

    /// The next transition; `None` when the journal is closed, or has failed and everything durable was told.
    ///
    /// # Errors
    ///
    /// [`TransitionError`]; the stream goes on after it, but for [`TransitionError::Beyond`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Transition<A>, TransitionError>> {
        poll_fn(|task| Pin::new(&mut *self).poll_next(task)).await
    }

    /// Takes in what was read.
    fn take_in(&mut self, Found { page, reached }: &Found) {
        let begun = self.after;
        for run in &page.runs {
            let (offset, after) = (run.offset, self.after);
            // Where one ends that can't be used, the next one tells.
            self.reach(Offset(offset.0.saturating_sub(1)));
            let taken = RunView::parse(&run.bytes, self.store).and_then(|view| {
                self.reach(Offset(offset.0 + view.records().saturating_sub(1)));
                self.take_in_run(run, &view, after)
            });
            if let Err(error) = taken {
                self.reach(offset);
                if self.told.replace(offset) != Some(offset) {
                    self.found.push_back(Err(TransitionError::Run { offset, error }));
                }
            }
        }
        // The rest of what was durable is deleted, or part of a last run that can't be used.
        if !page.more && page.runs.last().is_none_or(|run| self.told == Some(run.offset)) {
            self.reach(*reached);
        }
        self.following.move_to(self.after);
        self.bytes_max = if self.after > begun {
            PAGE_BYTES_MAX
        } else if self.bytes_max < LONG_PAGE_BYTES_MAX {
            self.bytes_max * 2
        } else {
            let (what, error) =
                (format!("what is behind offset {begun}"), "the journal gives nothing that is new".into());
            self.found.push_back(Err(TransitionError::Read { after: begun, error: ReadError::Engine { what, error } }));
            PAGE_BYTES_MAX
        };
    }

    /// All up to here was read.
    fn reach(&mut self, offset: Offset) {
        self.after = self.after.max(offset);
    }

    fn take_in_run(&mut self, run: &StoredRun, view: &RunView<'_>, after: Offset) -> Result<(), RunError> {
        let id = view.id();
        if &*id.aggregate != A::NAME {
            return Ok(());
        }
        view.for_each(|seq_nr, write, record| {
            let offset = Offset(run.offset.0 + (seq_nr.0 - view.first().0));
            let Record::Transition(transition) = record else { return Ok(()) };
            let (Some(from), to) = (transition.from, transition.to) else { return Ok(()) };
            if offset <= after || seq_nr <= run.floor {
                return Ok(());
            }
            let state = |name: &str| {
                let unknown = || TransitionError::UnknownState { id: id.clone(), seq_nr, name: name.to_owned() };
                named::<A>(name).ok_or_else(unknown)
            };
            let command = match write.cause {
                Some(StoredCause::Command(name)) => Some(Arc::from(name)),
                Some(StoredCause::Deadline { .. }) | None => None,
            };
            let told = state(from).and_then(|from| Ok((from, state(to)?))).map(|(from, to)| {
                let (id, time) = (id.entity.clone(), write.time);
                Transition { id, from, to, seq_nr, offset, time, command }
            });
            self.found.push_back(told);
            Ok(())
        })
    }
}

/// What is stored behind an offset.
struct Found {
    page: Page,
    /// How far the journal reached before.
    reached: Offset,
}

/// Waits until there is something behind `after`, and reads it; nothing if there never will be.
fn read(
    journal: Weak<dyn Journal>,
    runtime: Runtime,
    after: Offset,
    bytes_max: usize,
) -> Fut<'static, Result<Option<Found>, ReadError>> {
    Box::pin(async move {
        let Some(changed) = journal.upgrade().map(|journal| journal.changed(after)) else { return Ok(None) };
        let reached = changed.await;
        let Some(journal) = journal.upgrade() else { return Ok(None) };
        if reached <= after || journal.health() == Health::Closed {
            return Ok(None);
        }
        let page = runtime.nearest().drive(async move { journal.read_all(after, bytes_max).await }).await;
        match page {
            Ok(Ok(page)) => Ok(Some(Found { page, reached })),
            Ok(Err(ReadError::Closed)) | Err(_) => Ok(None),
            Ok(Err(error)) => Err(error),
        }
    })
}

/// Nothing in it is pinned in place.
impl<A: Machine> Unpin for Transitions<A> {}

impl<A: Machine> Stream for Transitions<A> {
    type Item = Result<Transition<A>, TransitionError>;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(found) = this.found.pop_front() {
                return Poll::Ready(Some(found));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let (after, bytes_max) = (this.after, this.bytes_max);
            let read = || read(this.journal.clone(), this.runtime.clone(), after, bytes_max);
            let reading = this.reading.get_or_insert_with(read);
            let found = ready!(reading.as_mut().poll(task));
            this.reading = None;
            match found {
                Ok(None) => this.ended = true,
                Ok(Some(found)) => this.take_in(&found),
                Err(error) => return Poll::Ready(Some(Err(TransitionError::Read { after, error }))),
            }
        }
    }
}

impl<A: Machine> fmt::Debug for Transitions<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transitions").field("machine", &A::NAME).field("after", &self.after).finish_non_exhaustive()
    }
}
