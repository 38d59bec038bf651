//! A call as an entity sees it: a handler to run, then a reply to hold until it may leave.

use std::any::Any;

use tokio::sync::oneshot;

use crate::aggregate::{Aggregate, Context, Handler};
use crate::call::{CallError, Failure, Parcel};
use crate::contain::drop_contained;
use crate::event::EventList;
use crate::id::EntityId;
use crate::step::{Effect, HandlerReturn, Reply, Step};

/// One command or query for an entity of type `A`.
///
/// Its life: `handle`, then `applied` when the events are folded in, then `release` when they are durable; or `fail`
/// at any point.
pub(crate) trait Message<A: Aggregate>: Parcel {
    fn entity(&self) -> &EntityId;
    /// The command's name.
    fn command(&self) -> &'static str;
    /// Runs the handler, keeps its reply and effects, and hands out its events.
    fn handle(&mut self, data: &A, cx: &Context<A>) -> EventList<A::Event>;
    /// Computes the reply from the data after the events.
    fn applied(&mut self, data: &A);
    /// Sends the reply; hands out the effects.
    fn release(self: Box<Self>) -> Vec<Effect<A>>;
}

/// The message behind a method of a ref.
pub(crate) struct Envelope<A: Aggregate, F, T: HandlerReturn> {
    entity: EntityId,
    command: &'static str,
    state: State<A, F, T>,
    caller: oneshot::Sender<Result<T::Reply, CallError<T::Refusal>>>,
}

enum State<A: Aggregate, F, T: HandlerReturn> {
    Unhandled(F),
    Decided {
        reply: Reply<T::Reply, A>,
        effects: Vec<Effect<A>>,
    },
    Refused(T::Refusal),
    /// The handler is running, or it panicked.
    Taken,
}

impl<A, F, T> Envelope<A, F, T>
where
    A: Aggregate,
    T: HandlerReturn<Handler: Handler<Aggregate = A>> + 'static,
    F: FnOnce(&A, &Context<A>) -> T + Send + 'static,
{
    pub(crate) fn new(
        entity: EntityId,
        command: &'static str,
        handle: F,
        caller: oneshot::Sender<Result<T::Reply, CallError<T::Refusal>>>,
    ) -> Self {
        Self { entity, command, state: State::Unhandled(handle), caller }
    }
}

impl<A, F, T> Parcel for Envelope<A, F, T>
where
    A: Aggregate,
    T: HandlerReturn<Handler: Handler<Aggregate = A>> + 'static,
    F: FnOnce(&A, &Context<A>) -> T + Send + 'static,
{
    fn unpack(self: Box<Self>, slot: &mut dyn Any) {
        let slot = slot.downcast_mut::<Option<Box<dyn Message<A>>>>();
        *slot.expect("a parcel reaches the store of its own aggregate") = Some(self);
    }

    fn fail(self: Box<Self>, failure: Failure) {
        // A caller who has gone away doesn't want the answer.
        let _ = self.caller.send(Err(failure.into()));
        // What is left is the user's: a handler that didn't run, or a reply that nobody may see.
        drop_contained("a command that failed", self.state);
    }
}

impl<A, F, T> Message<A> for Envelope<A, F, T>
where
    A: Aggregate,
    T: HandlerReturn<Handler: Handler<Aggregate = A>> + 'static,
    F: FnOnce(&A, &Context<A>) -> T + Send + 'static,
{
    fn entity(&self) -> &EntityId {
        &self.entity
    }

    fn command(&self) -> &'static str {
        self.command
    }

    fn handle(&mut self, data: &A, cx: &Context<A>) -> EventList<A::Event> {
        let State::Unhandled(handle) = std::mem::replace(&mut self.state, State::Taken) else {
            unreachable!("a message is handled once");
        };
        match handle(data, cx).into_result() {
            Ok(Step { events, reply, effects }) => {
                self.state = State::Decided { reply, effects };
                events
            }
            Err(refusal) => {
                self.state = State::Refused(refusal);
                EventList::new()
            }
        }
    }

    fn applied(&mut self, data: &A) {
        self.state = match std::mem::replace(&mut self.state, State::Taken) {
            State::Decided { reply: Reply::With(query), effects } => {
                State::Decided { reply: Reply::Value(query(data)), effects }
            }
            state => state,
        };
    }

    fn release(self: Box<Self>) -> Vec<Effect<A>> {
        match self.state {
            State::Decided { reply: Reply::Value(reply), effects } => {
                if let Err(unwanted) = self.caller.send(Ok(reply)) {
                    drop_contained("a reply whose caller has gone", unwanted);
                }
                effects
            }
            State::Refused(refusal) => {
                if let Err(unwanted) = self.caller.send(Err(CallError::Refused(refusal))) {
                    drop_contained("a refusal whose caller has gone", unwanted);
                }
                Vec::new()
            }
            State::Unhandled(_) | State::Decided { .. } | State::Taken => {
                unreachable!("a message is released once its reply is known");
            }
        }
    }
}
