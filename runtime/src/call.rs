//! A call on its way to an entity and back.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use tokio::time::Sleep;

use crate::answer::Answered;
use crate::id::{EntityId, PersistenceId};
use crate::key::{Coder, Key, Repeatable};

mod error;

pub(crate) use error::Failure;
pub use error::{CallError, Never, NotStored, Unknown};

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
