//! What a handler returns: events to apply, a reply, effects.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Handler};
use crate::call::Never;
use crate::effects::Effects;
use crate::event::{EventList, EventsOf};
use crate::snapshot::Snapshotted;
use crate::state::{Limits, Stays, TargetOf, info};

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
    pub(crate) goes: Option<Goes<<H::Aggregate as Aggregate>::State>>,
    /// Whether a snapshot is to be taken after it.
    pub(crate) snapshot: bool,
}

/// Where a step leads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goes<S> {
    pub(crate) to: S,
    /// How long the visit lasts, if not as long as declared.
    pub(crate) for_max: Option<Duration>,
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

/// Begins a step that applies one event, or an array, a `Vec` or an `Option` of events, and stays in the state.
///
/// Inside an `#[aggregate]` or `#[fsm]` block the macro fills in `H`; nothing has to be imported or named.
pub fn applying<H: Handler + Stays>(events: impl EventsOf<H::Aggregate>) -> Step<(), H> {
    stay().applying(events)
}

/// Begins a step that stays in the state, to reply, to apply events or to cause effects. Without events nothing is
/// stored for it, and the state's deadline stays as it is.
pub fn stay<H: Handler + Stays>() -> Step<(), H> {
    Step { events: EventList::new(), reply: Reply::Value(()), effects: Vec::new(), goes: None, snapshot: false }
}

/// Begins a step into a state that the handler's attribute declares. To go to the state that it is in already is to
/// enter it again: hooks run, and its time begins anew.
pub fn goto<H: Handler>(state: impl TargetOf<H>) -> Step<(), H> {
    target(state)
}

fn target<H: Handler, S: TargetOf<H>>(_: S) -> Step<(), H> {
    let goes = Some(Goes { to: S::STATE, for_max: None });
    Step { events: EventList::new(), reply: Reply::Value(()), effects: Vec::new(), goes, snapshot: false }
}

impl<R, H: Handler> std::fmt::Debug for Step<R, H> {
    /// Says how much there is of what; the content may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step")
            .field("events", &self.events.as_slice().len())
            .field("effects", &self.effects.len())
            .field("goes", &self.goes)
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

    /// Limits this visit of the state that the step goes to, instead of the duration in its `#[after]`.
    ///
    /// # Panics
    ///
    /// If the step goes nowhere, or to a state without `#[after]`: nothing says what happens when the time is over.
    /// In a handler, the command ends with [`CallError::Panicked`](crate::CallError::Panicked), and nothing is stored.
    pub fn for_max(mut self, time: Duration) -> Self
    where
        H: Limits,
    {
        let Some(goes) = &mut self.goes else { panic!("`for_max` limits a visit, and this step goes nowhere") };
        let state = info::<H::Aggregate>(goes.to);
        assert!(
            state.is_some_and(|state| state.deadline.is_some()),
            "no handler says what happens when `{}` ends: it has no `#[after]`",
            state.map_or("", |state| state.name),
        );
        goes.for_max = Some(time);
        self
    }

    /// Has a snapshot taken after the step, whether or not one is due. It is stored behind the step's answer, once all
    /// that it contains is durable; if it can't be, that is logged and counted, and harms nothing.
    pub fn snapshot(mut self) -> Self
    where
        H::Aggregate: Snapshotted,
    {
        self.snapshot = true;
        self
    }

    /// The same step without its handler's name.
    fn of_aggregate(self) -> Step<R, H::Aggregate> {
        let Self { events, reply, effects, goes, snapshot } = self;
        Step { events, reply, effects, goes, snapshot }
    }
}

impl<H: Handler> Step<(), H> {
    /// Replies with this value when the step is durable.
    pub fn replying<R>(self, value: R) -> Step<R, H> {
        self.with_reply(Reply::Value(value))
    }

    /// Replies with what `query` says of the data after the events.
    pub fn replying_with<R>(self, query: impl FnOnce(&H::Aggregate) -> R + Send + 'static) -> Step<R, H> {
        self.with_reply(Reply::With(Box::new(query)))
    }

    fn with_reply<R>(self, reply: Reply<R, H::Aggregate>) -> Step<R, H> {
        let Self { events, effects, goes, snapshot, .. } = self;
        Step { events, reply, effects, goes, snapshot }
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
    /// Why the handler may refuse; [`Never`] if it never does.
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
    type Refusal = Never;
    type Handler = H;

    fn into_result(self) -> Result<Step<R, H>, Never> {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("the command was refused")]
pub struct Refused;

/// What a command came to, before anything is done.
#[derive(Debug)]
pub enum Decision<R, E, A: Handler> {
    /// The handler made a step.
    Step(Step<R, A>),
    /// The handler refused.
    Refused(E),
    /// The state doesn't accept the command.
    NotAccepted,
}

/// What a handler decided, without its name.
#[doc(hidden)]
pub fn decided<A, T>(returned: T) -> Decision<T::Reply, T::Refusal, A>
where
    A: Aggregate,
    T: HandlerReturn,
    T::Handler: Handler<Aggregate = A>,
{
    returned.into_result().map_or_else(Decision::Refused, |step| Decision::Step(step.of_aggregate()))
}

/// What a command comes to in a state that doesn't accept it.
#[doc(hidden)]
pub fn not_accepted<R, E, A: Aggregate>() -> Decision<R, E, A> {
    Decision::NotAccepted
}

/// What a command comes to in a state that ignores it.
#[doc(hidden)]
pub fn ignored<E, A: Aggregate>() -> Decision<(), E, A> {
    Decision::Step(stay::<A>())
}

/// What a deadline's handler decided, without its name.
#[doc(hidden)]
pub fn elapsed<A: Aggregate, H: Handler<Aggregate = A>>(step: Step<(), H>) -> Step<(), A> {
    step.of_aggregate()
}

/// Leaves the reply and the reason of a refusal out of a handler's answer.
#[doc(hidden)]
pub fn unnamed<A, T>(returned: T) -> Decision<(), Refused, A>
where
    A: Aggregate,
    T: HandlerReturn,
    T::Handler: Handler<Aggregate = A>,
{
    match returned.into_result() {
        Ok(Step { events, effects, goes, snapshot, .. }) => {
            Decision::Step(Step { events, reply: Reply::Value(()), effects, goes, snapshot })
        }
        Err(_) => Decision::Refused(Refused),
    }
}
