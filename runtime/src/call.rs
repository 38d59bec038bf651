//! A call on its way to an entity and back.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Sleep;

use crate::answer::Answered;
use crate::codec::EncodeError;
use crate::id::{EntityId, InvalidId, PersistenceId, SeqNr};
use crate::journal::{Cause, ReadError, RunKey, Why};
use crate::key::{Coder, Key, Repeatable};
use crate::system::{Quarantined, Trouble};

/// Why a call has no reply.
///
/// `E` is the handler's own error type; where it is [`Never`], no arm is needed for [`CallError::Refused`].
///
/// What an error says of storing, it says of **this attempt**. Where an earlier attempt ended with [`CallError::Unknown`],
/// that one may be stored, whatever a repeat ends with, also with the same [key](Call::key): only an answer tells.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// The handler refused the command. Nothing was stored, but for this answer if the command has a key.
    #[error(transparent)]
    Refused(E),
    /// The state that the machine is in doesn't accept the command. Nothing was stored, but for this answer if the
    /// command has a key.
    #[error("{id}: `{command}` is not accepted in state `{state}`; it is accepted in {}", states(accepted_in))]
    NotAccepted {
        /// The entity.
        id: PersistenceId,
        /// The state.
        state: &'static str,
        /// The command.
        command: &'static str,
        /// The states that accept it.
        accepted_in: Vec<&'static str>,
    },
    /// A command with this key, or with a higher number, was handled before, and what it was answered can't be told:
    /// the number was left out then, or the answer has another type since, is deleted, or can't be read. Nothing more was
    /// stored.
    #[error(
        "{id}: a command with this key was handled before, up to sequence number {seq_nr}; its answer can't be told"
    )]
    AlreadyDone {
        /// The entity.
        id: PersistenceId,
        /// The record up to which the command is stored, or the one with the higher number.
        seq_nr: SeqNr,
    },
    /// A command with this key was handled before, and what it was answered can't be read now. Nothing more was stored; a
    /// repeat may be told, unless the error says that it is corrupt.
    #[error(
        "{id}: a command with this key was handled before, up to sequence number {seq_nr}; its answer can't be read now: {error}"
    )]
    AnswerUnread {
        /// The entity.
        id: PersistenceId,
        /// The record up to which the command is stored.
        seq_nr: SeqNr,
        /// Why not.
        error: ReadError,
    },
    /// There was no room for the call, and it was not to wait. Nothing was stored by this attempt; an earlier one that was
    /// [`CallError::Unknown`] may be stored.
    #[error("{id}: overloaded, {limit} calls are waiting already; try later, or let the call wait for room")]
    Overloaded {
        /// The entity.
        id: PersistenceId,
        /// How many calls may wait in the entity's lane.
        limit: usize,
    },
    /// Nothing is stored by this attempt, for certain. If it was the first one, or none before it was
    /// [`CallError::Unknown`], it is safe to repeat.
    ///
    /// It is no proof that an earlier attempt isn't stored, not even with the same [key](Call::key): after one that was
    /// [`CallError::Unknown`], the journal has failed and takes nothing, so a repeat ends like this either way. Then
    /// repeat it with its key after the journal was opened again, or ask [`System::settle`](crate::System::settle).
    #[error("{id}: not stored by this attempt: {why}")]
    NotStored {
        /// The entity.
        id: PersistenceId,
        /// Why not.
        why: NotStored,
    },
    /// The command may be stored: a repeat without a [key](Call::key) could store it twice. It stays unknown until a repeat
    /// with its key is answered, or [`System::settle`](crate::System::settle) tells.
    #[error("{id}: may be stored or not: {why}")]
    Unknown {
        /// The entity.
        id: PersistenceId,
        /// Why nobody knows.
        why: Unknown,
    },
    /// The entity can't be loaded, or is left alone for a while. Nothing was stored by this attempt; an earlier one that
    /// was [`CallError::Unknown`] may be stored.
    ///
    /// [`System::quarantined`](crate::System::quarantined) tells more of it.
    #[error("{id}: {}: {reason}; the next attempt is at {retry_at}", quarantined(*trouble, *seq_nr))]
    Quarantined {
        /// The entity.
        id: PersistenceId,
        /// What kind of thing is wrong.
        trouble: Trouble,
        /// The record that can't be used, or the first that is missing.
        seq_nr: SeqNr,
        /// What is wrong with it.
        reason: Arc<str>,
        /// From when on a call makes another attempt.
        retry_at: Timestamp,
    },
    /// The entity was deleted with [`System::delete`](crate::System::delete) or
    /// [`System::forget`](crate::System::forget), for ever. Nothing was stored.
    #[error("{id}: deleted; its last record is {seq_nr}")]
    Deleted {
        /// The entity.
        id: PersistenceId,
        /// The sequence number of the record that ends its stream.
        seq_nr: SeqNr,
    },
    /// The handler, a fold or a reply panicked on this command. Nothing was stored by this attempt; an earlier one that was
    /// [`CallError::Unknown`] may be stored.
    #[error("{id}: `{command}` panicked: {message}; nothing was stored")]
    Panicked {
        /// The entity.
        id: PersistenceId,
        /// The command.
        command: &'static str,
        /// The panic's message.
        message: Arc<str>,
    },
    /// The system takes no more calls. Nothing was stored by this attempt; an earlier one that was
    /// [`CallError::Unknown`] may be stored.
    #[error("{id}: the system has stopped; nothing was stored")]
    Stopped {
        /// The entity.
        id: PersistenceId,
    },
}

impl<E> CallError<E> {
    /// The refusal, or else the same error of a call that can't be refused.
    pub(crate) fn without_refusal(self) -> Result<E, CallError<Never>> {
        Err(match self {
            CallError::Refused(refusal) => return Ok(refusal),
            CallError::NotAccepted { id, state, command, accepted_in } => {
                CallError::NotAccepted { id, state, command, accepted_in }
            }
            CallError::AlreadyDone { id, seq_nr } => CallError::AlreadyDone { id, seq_nr },
            CallError::AnswerUnread { id, seq_nr, error } => CallError::AnswerUnread { id, seq_nr, error },
            CallError::Overloaded { id, limit } => CallError::Overloaded { id, limit },
            CallError::NotStored { id, why } => CallError::NotStored { id, why },
            CallError::Unknown { id, why } => CallError::Unknown { id, why },
            CallError::Quarantined { id, trouble, seq_nr, reason, retry_at } => {
                CallError::Quarantined { id, trouble, seq_nr, reason, retry_at }
            }
            CallError::Deleted { id, seq_nr } => CallError::Deleted { id, seq_nr },
            CallError::Panicked { id, command, message } => CallError::Panicked { id, command, message },
            CallError::Stopped { id } => CallError::Stopped { id },
        })
    }
}

/// Where and how an entity is in quarantine, for a message.
fn quarantined(trouble: Trouble, seq_nr: SeqNr) -> String {
    match trouble {
        Trouble::Unreadable => "can't be read now".to_owned(),
        Trouble::Commands => "left alone for a while".to_owned(),
        _ => format!("quarantined at sequence number {seq_nr}"),
    }
}

/// A list of states for a message.
fn states(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

/// What can't be: the refusal of a handler that never refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Never {}

/// Why nothing of a command is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotStored {
    /// The id can't name an entity.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// An event of the step can't be stored in a form that can be read again.
    #[error("event `{event}` was refused: {error}")]
    Event {
        /// The event's stored name, or the enum's if not even that could be told.
        event: &'static str,
        /// What is wrong with it.
        error: EncodeError,
    },
    /// What a command with a key is answered can't be stored in a form that can be read again.
    #[error("its answer can't be stored with its key: {0}")]
    Answer(EncodeError),
    /// The journal didn't take it.
    #[error("{0}")]
    Journal(#[from] Why),
    /// It was decided on data that a failed write had promised.
    #[error(
        "an earlier write of the entity failed, and this call was decided on its data or waited behind it; repeat it"
    )]
    EarlierWriteFailed,
    /// The caller's time was over before the call was sent.
    #[error("no room within {} ms", within.as_millis())]
    TimedOut {
        /// The time that [`Call::within`] allowed.
        within: Duration,
    },
}

/// Why nobody knows whether a command is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unknown {
    /// The journal failed while it was writing.
    #[error("{cause}")]
    Journal {
        /// What went wrong.
        cause: Cause,
        /// The run that the command was part of: [`System::settle`](crate::System::settle) tells what became of it.
        run: Arc<RunKey>,
    },
    /// The journal failed while it destroyed the entity's key. Asking again is harmless, and completes it.
    #[error("{0}")]
    Forgetting(Cause),
    /// The caller's time was over after the call was sent.
    #[error("no answer within {} ms", within.as_millis())]
    TimedOut {
        /// The time that [`Call::within`] allowed.
        within: Duration,
    },
    /// The system, or the tokio runtime it ran on, was dropped, or shutdown's time was over.
    #[error("the system went away before it answered")]
    Dropped,
}

/// A [`CallError`] without the handler's own.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    Overloaded { id: PersistenceId, limit: usize },
    NotStored { id: PersistenceId, why: NotStored },
    Unknown { id: PersistenceId, why: Unknown },
    Quarantined(Arc<Quarantined>),
    AnswerUnread { id: PersistenceId, seq_nr: SeqNr, error: ReadError },
    Deleted { id: PersistenceId, seq_nr: SeqNr },
    Panicked { id: PersistenceId, command: &'static str, message: Arc<str> },
    Stopped { id: PersistenceId },
}

impl<E> From<Failure> for CallError<E> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Overloaded { id, limit } => CallError::Overloaded { id, limit },
            Failure::NotStored { id, why } => CallError::NotStored { id, why },
            Failure::Unknown { id, why } => CallError::Unknown { id, why },
            Failure::Quarantined(quarantined) => CallError::Quarantined {
                id: quarantined.id.clone(),
                trouble: quarantined.trouble,
                seq_nr: quarantined.seq_nr,
                reason: quarantined.reason.clone(),
                retry_at: quarantined.retry_at,
            },
            Failure::AnswerUnread { id, seq_nr, error } => CallError::AnswerUnread { id, seq_nr, error },
            Failure::Deleted { id, seq_nr } => CallError::Deleted { id, seq_nr },
            Failure::Panicked { id, command, message } => CallError::Panicked { id, command, message },
            Failure::Stopped { id } => CallError::Stopped { id },
        }
    }
}

/// A message without its aggregate's type, as a mailbox holds it.
pub(crate) trait Parcel: Send {
    /// Moves the message into `slot`, an `Option<Box<dyn Message<A>>>`.
    fn unpack(self: Box<Self>, slot: &mut dyn Any);
    /// Answers the caller.
    fn fail(self: Box<Self>, failure: Failure);
    /// Gives the message a key, with the `Coder` for its reply and refusal.
    fn set_key(&mut self, key: Key, coder: Box<dyn Any + Send>);
}

/// Where calls to an entity go: a shard's mailbox, or a test.
pub(crate) trait Port: Send + Sync {
    /// The stored name of the aggregate.
    fn aggregate(&self) -> &'static str;
    /// Sends now, or gives the parcel back.
    fn try_send(&self, hash: u64, parcel: Box<dyn Parcel>) -> Result<(), Unsent>;
    /// Sends when there is room. Dropping the future before it ends drops the parcel unsent.
    fn send(
        self: Arc<Self>,
        hash: u64,
        parcel: Box<dyn Parcel>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send>>;
}

/// Why a parcel was not sent.
pub(crate) enum Unsent {
    Full { parcel: Box<dyn Parcel>, limit: usize },
    Stopped,
}

/// The shard takes no more calls.
pub(crate) struct Stopped;

/// What happens when there is no room for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoRoom {
    Wait,
    Fail,
}

/// An entity, and the way to it. Each handle has one of its own, so that callers on two cores don't count the same clones.
pub(crate) struct Address {
    pub(crate) entity: EntityId,
    hash: u64,
    pub(crate) port: Arc<dyn Port>,
}

impl Address {
    pub(crate) fn new(entity: EntityId, hash: u64, port: Arc<dyn Port>) -> Arc<Self> {
        Arc::new(Self { entity, hash, port })
    }
}

/// The way of one parcel into a mailbox.
struct Outbox {
    to: Arc<Address>,
    no_room: NoRoom,
    within: Option<Duration>,
    time_over: Option<Pin<Box<Sleep>>>,
    state: Sending,
}

enum Sending {
    Ready(Box<dyn Parcel>),
    Waiting(Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send>>),
    Done,
}

impl Sending {
    /// Takes the parcel of a call that was not sent yet.
    fn take_ready(&mut self) -> Option<Box<dyn Parcel>> {
        match std::mem::replace(self, Sending::Done) {
            Sending::Ready(parcel) => Some(parcel),
            state @ (Sending::Waiting(_) | Sending::Done) => {
                *self = state;
                None
            }
        }
    }
}

impl Outbox {
    fn id(&self) -> PersistenceId {
        PersistenceId::new(self.to.port.aggregate(), &self.to.entity)
    }

    fn poll_sent(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Failure>> {
        if let Some(failure) = self.try_send() {
            return Poll::Ready(Err(failure));
        }
        if let Sending::Waiting(sending) = &mut self.state {
            match sending.as_mut().poll(task) {
                Poll::Ready(Ok(())) => self.state = Sending::Done,
                Poll::Ready(Err(Stopped)) => return Poll::Ready(Err(Failure::Stopped { id: self.id() })),
                Poll::Pending => {
                    let within = ready!(self.poll_time_over(task));
                    return Poll::Ready(Err(Failure::NotStored { id: self.id(), why: NotStored::TimedOut { within } }));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends, if nothing was tried yet; says why, if it can't.
    fn try_send(&mut self) -> Option<Failure> {
        let parcel = self.state.take_ready()?;
        if let Err(why) = self.to.entity.check() {
            return Some(Failure::NotStored { id: self.id(), why: why.into() });
        }
        match self.to.port.try_send(self.to.hash, parcel) {
            Ok(()) => None,
            Err(Unsent::Stopped) => Some(Failure::Stopped { id: self.id() }),
            Err(Unsent::Full { limit, .. }) if self.no_room == NoRoom::Fail => {
                Some(Failure::Overloaded { id: self.id(), limit })
            }
            Err(Unsent::Full { parcel, .. }) => {
                self.state = Sending::Waiting(self.to.port.clone().send(self.to.hash, parcel));
                None
            }
        }
    }

    fn poll_time_over(&mut self, task: &mut TaskContext<'_>) -> Poll<Duration> {
        let Some(within) = self.within else { return Poll::Pending };
        let sleep = self.time_over.get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        sleep.as_mut().poll(task).map(|()| within)
    }
}

/// A command or query on its way: a future of the reply, and the caller's options for it.
///
/// Nothing is sent before the first poll. The reply comes when everything that it could have seen is durable.
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
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let system = System::builder().start(annals::journal::MemoryJournal::new())?;
/// use std::time::Duration;
///
/// let counter = system.get::<Counter>("steps");
/// counter.count(1).await?;
/// counter.count(1).tell().await?; // ends when it was sent
/// match counter.count(1).within(Duration::from_secs(2)).or_overloaded().await {
///     Ok(count) => assert_eq!(count, 3),
///     Err(CallError::Unknown { .. }) => println!("it may be stored or not: a repeat could store it twice"),
///     Err(error) => println!("nothing is stored: {error}"),
/// }
/// # system.shutdown().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// A call that is dropped before it was sent has no effect. Dropped later, its command is still handled, and its events
/// are stored: only the answer is lost.
#[must_use = "a call does nothing until it is awaited; `.tell()` sends it without waiting for the reply"]
pub struct Call<R, E> {
    outbox: Outbox,
    answer: Answered<R, E>,
}

impl<R, E> Call<R, E> {
    pub(crate) fn new(to: Arc<Address>, parcel: Box<dyn Parcel>, answer: Answered<R, E>) -> Self {
        let state = Sending::Ready(parcel);
        let outbox = Outbox { to, no_room: NoRoom::Wait, within: None, time_over: None, state };
        Self { outbox, answer }
    }

    /// Gives the call this much time, counted from its first poll.
    ///
    /// When the time is over, the call ends with [`CallError::NotStored`] if it was not sent yet, and with
    /// [`CallError::Unknown`] if it was. It is measured by tokio's timer, in milliseconds, once the call has to wait.
    ///
    /// # Panics
    ///
    /// When the call is polled and has to wait, if that is outside of a tokio runtime with a timer.
    pub fn within(mut self, time: Duration) -> Self {
        self.outbox.within = Some(time);
        self
    }

    /// Fails with [`CallError::Overloaded`] where it would have to wait for room.
    pub fn or_overloaded(mut self) -> Self {
        self.outbox.no_room = NoRoom::Fail;
        self
    }

    /// Lets the command happen once, however often it is sent with this key: a repeated one is answered what the first
    /// was answered, and changes nothing. So a caller can repeat after [`CallError::Unknown`].
    ///
    /// The key and the answer are stored with what the command changes. A command with a key is stored in any case,
    /// also when it is refused, when its state doesn't accept it, or when it changes nothing; and so is a query. Only
    /// a command that fails, as with [`CallError::NotStored`] or [`CallError::Panicked`], leaves nothing, and runs when
    /// it is repeated. An answer is told as it will be read again: what serde skips is missing from the first one too.
    ///
    /// An entity knows its keys across restarts, and each entity has its own. A repeat ends with
    /// [`CallError::AlreadyDone`] if the first answer can't be told any more, or if another command had the key, and with
    /// [`CallError::AnswerUnread`] if it can't be read now.
    ///
    /// **The window is limited:** an entity remembers its last [`Builder::keys_max`](crate::Builder::keys_max) unique keys,
    /// 128 if nothing else is said. Repeated after that many other keys, **the command runs again**, and nobody is told.
    ///
    /// What any other error says of storing, it says of this attempt, and not of an earlier one with the same key. So a
    /// loop must remember that it once saw [`CallError::Unknown`]: from then on [`CallError::NotStored`] and the like are no
    /// proof. It asks again after the journal was opened again, or uses [`System::settle`](crate::System::settle).
    ///
    /// ```
    /// # use annals::prelude::*;
    /// # #[derive(Debug, Default, Serialize, Deserialize)]
    /// # pub struct Till { total: u64 }
    /// # #[aggregate]
    /// # impl Till {
    /// #     #[event] fn paid(&mut self, amount: u64) { self.total += amount }
    /// #     #[command] fn pay(&self, amount: u64) -> Step<u64> {
    /// #         applying(TillEvent::Paid { amount }).replying(self.total + amount)
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let system = System::builder().start(annals::journal::MemoryJournal::new())?;
    /// use std::time::Duration;
    ///
    /// let till = system.get::<Till>("shop");
    /// let key = Key::unique("receipt 4711");
    /// let mut may_be_stored = false;
    /// let total = loop {
    ///     match till.pay(100).key(key).within(Duration::from_secs(2)).await {
    ///         Ok(total) => break total, // of this attempt, or of an earlier one
    ///         Err(CallError::Unknown { .. }) => may_be_stored = true, // with its key it can be sent again
    ///         // This attempt isn't stored, and an earlier one may be: only a repeat after the next start tells.
    ///         Err(error) if may_be_stored => return Err(format!("paid or not, ask again later: {error}").into()),
    ///         Err(error) => return Err(error.into()), // there was no other attempt: it says what became of it
    ///     }
    /// };
    /// assert_eq!(total, 100);
    /// till.pay(1).await?;
    /// assert_eq!(till.pay(100).key(key).await?, 100); // a repeat: the first answer, and nothing is paid
    /// assert_eq!(till.pay(1).await?, 102);
    /// # system.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn key(mut self, key: Key) -> Self
    where
        R: Repeatable,
        E: Repeatable,
    {
        if let Sending::Ready(parcel) = &mut self.outbox.state {
            parcel.set_key(key, Box::new(Coder::<R, E>::new()));
        }
        self
    }

    /// Wants no reply: the future ends when the command has been sent, and says nothing of what became of it.
    pub fn tell(self) -> Tell {
        Tell { outbox: self.outbox }
    }
}

impl<R, E> Future for Call<R, E> {
    type Output = Result<R, CallError<E>>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Err(failure) = ready!(this.outbox.poll_sent(task)) {
            return Poll::Ready(Err(failure.into()));
        }
        if let Poll::Ready(answer) = this.answer.poll(task) {
            return Poll::Ready(
                answer.unwrap_or_else(|| Err(Failure::Unknown { id: this.outbox.id(), why: Unknown::Dropped }.into())),
            );
        }
        let within = ready!(this.outbox.poll_time_over(task));
        Poll::Ready(Err(Failure::Unknown { id: this.outbox.id(), why: Unknown::TimedOut { within } }.into()))
    }
}

impl<R, E> fmt::Debug for Call<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({})", self.outbox.id())
    }
}

/// A call without a reply; made by [`Call::tell`].
///
/// # Cancel safety
///
/// Dropped before it ended, nothing was sent.
#[must_use = "nothing is sent until it is awaited"]
pub struct Tell {
    outbox: Outbox,
}

impl Future for Tell {
    type Output = Result<(), CallError<Never>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.outbox.poll_sent(task).map_err(CallError::from)
    }
}

impl fmt::Debug for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tell({})", self.outbox.id())
    }
}
