//! What a handler returns: events to apply, a reply, effects.

use std::convert::Infallible;

use crate::aggregate::{Aggregate, Handler};
use crate::effects::Effects;
use crate::event::{EventList, EventsOf};

/// What a handler decided: events to apply, a reply, effects.
///
/// In an `#[aggregate]` block write `Step<R>`, or `Step` for one that replies nothing: the macro names the handler
/// `H`. [`applying`] and [`stay`] begin a step.
///
/// ```
/// # use annals::prelude::*;
/// # #[derive(Debug, Default, Serialize, Deserialize)]
/// # struct Basket { items: u64, open: bool }
/// # struct Mailer;
/// # impl Mailer { fn thank(&self, _: u64) {} }
/// # #[derive(Debug)] enum Refusal { Empty }
/// # #[aggregate(services = Mailer)]
/// # impl Basket {
/// # #[event] fn added(&mut self, count: u64) { self.items += count }
/// # #[event] fn closed(&mut self) { self.open = false }
/// # #[query] fn items(&self) -> u64 { self.items }
/// // One event; the reply is computed from the data after it.
/// #[command]
/// fn add(&self, count: u64) -> Step<u64> {
///     applying(BasketEvent::Added { count }).replying_with(Self::items)
/// }
///
/// // Several events, all stored or none, and an effect once they are; or a refusal.
/// #[command]
/// fn buy(&self, last: u64) -> Result<Step, Refusal> {
///     if self.items + last == 0 {
///         return Err(Refusal::Empty);
///     }
///     let items = self.items + last;
///     Ok(applying([BasketEvent::Added { count: last }, BasketEvent::Closed])
///         .and_then(move |fx| fx.services().thank(items)))
/// }
///
/// // Nothing happens.
/// #[command]
/// fn look(&self) -> Step<bool> {
///     stay().replying(self.open)
/// }
/// # }
/// ```
///
/// In a method of your own without a marker, write the handler out: `Step<u64, Self>`.
#[must_use = "a step does nothing until the handler returns it"]
pub struct Step<R = (), H: Handler = Unnamed<R>> {
    pub(crate) events: EventList<<H::Aggregate as Aggregate>::Event>,
    pub(crate) reply: Reply<R, H::Aggregate>,
    pub(crate) effects: Vec<Effect<H::Aggregate>>,
}

/// Stands where a step doesn't say who makes it: it is no [`Handler`], and the compiler says so.
#[doc(hidden)]
#[derive(Debug)]
pub struct Unnamed<R>(std::marker::PhantomData<R>);

pub(crate) type Effect<A> = Box<dyn FnOnce(&Effects<A>) + Send>;

pub(crate) enum Reply<R, A> {
    Value(R),
    With(Box<dyn FnOnce(&A) -> R + Send>),
}

/// Begins a step that applies one event, or an array, a `Vec` or an `Option` of events.
///
/// Inside an `#[aggregate]` block the macro fills in `H`; nothing has to be imported or named.
pub fn applying<H: Handler>(events: impl EventsOf<H::Aggregate>) -> Step<(), H> {
    let mut step = Step { events: EventList::new(), reply: Reply::Value(()), effects: Vec::new() };
    events.push_to(&mut step.events);
    step
}

/// Begins a step that changes nothing, to reply or to cause effects. Nothing is stored for it.
pub fn stay<H: Handler>() -> Step<(), H> {
    Step { events: EventList::new(), reply: Reply::Value(()), effects: Vec::new() }
}

impl<R, H: Handler> std::fmt::Debug for Step<R, H> {
    /// Says how much there is of what; the content may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step")
            .field("events", &self.events.as_slice().len())
            .field("effects", &self.effects.len())
            .finish_non_exhaustive()
    }
}

impl<R, H: Handler> Step<R, H> {
    /// Adds events after those that the step already has.
    pub fn applying(mut self, events: impl EventsOf<H::Aggregate>) -> Self {
        events.push_to(&mut self.events);
        self
    }

    /// Does something when the step is durable: sends a mail, calls another entity.
    ///
    /// Effects run after the reply has left, for one entity in order, at most once, and never on recovery: an effect
    /// whose process dies before it ran is lost. A panic in one is logged and harms nothing else.
    pub fn and_then(mut self, effect: impl FnOnce(&Effects<H::Aggregate>) + Send + 'static) -> Self {
        self.effects.push(Box::new(effect));
        self
    }
}

impl<H: Handler> Step<(), H> {
    /// Replies with this value when the step is durable.
    pub fn replying<R>(self, value: R) -> Step<R, H> {
        Step { events: self.events, reply: Reply::Value(value), effects: self.effects }
    }

    /// Replies with what `query` says of the data after the events.
    pub fn replying_with<R>(self, query: impl FnOnce(&H::Aggregate) -> R + Send + 'static) -> Step<R, H> {
        Step { events: self.events, reply: Reply::With(Box::new(query)), effects: self.effects }
    }
}

/// What a handler may return: `Step<R>` or `Result<Step<R>, E>`, also through an alias.
#[diagnostic::on_unimplemented(
    message = "expected `Step<R>` or `Result<Step<R>, E>`, found `{Self}`",
    label = "a handler returns a step, or refuses with an error"
)]
pub trait HandlerReturn {
    /// What the caller gets.
    type Reply: Send + 'static;
    /// Why the handler may refuse; `Infallible` if it never does.
    type Refusal: Send + 'static;
    /// Who makes the step.
    type Handler: Handler;

    /// The one form of both.
    ///
    /// # Errors
    ///
    /// The refusal, if the handler refused.
    fn into_result(self) -> Result<Step<Self::Reply, Self::Handler>, Self::Refusal>;
}

impl<R: Send + 'static, H: Handler> HandlerReturn for Step<R, H> {
    type Reply = R;
    type Refusal = Infallible;
    type Handler = H;

    fn into_result(self) -> Result<Step<R, H>, Infallible> {
        Ok(self)
    }
}

impl<R: Send + 'static, H: Handler, E: Send + 'static> HandlerReturn for Result<Step<R, H>, E> {
    type Reply = R;
    type Refusal = E;
    type Handler = H;

    fn into_result(self) -> Result<Step<R, H>, E> {
        self
    }
}

/// A command given as data was refused; the typed method of the ref tells why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the command was refused")]
pub struct Refused;

/// Leaves the reply and the reason of a refusal out of a handler's answer.
///
/// # Errors
///
/// [`Refused`] if the handler refused.
#[doc(hidden)]
pub fn unnamed<A, T>(returned: T) -> Result<Step<(), A>, Refused>
where
    A: Aggregate,
    T: HandlerReturn,
    T::Handler: Handler<Aggregate = A>,
{
    let step = returned.into_result().map_err(|_| Refused)?;
    Ok(Step { events: step.events, reply: Reply::Value(()), effects: step.effects })
}
