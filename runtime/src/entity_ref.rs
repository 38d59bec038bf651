//! The handle of an entity.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::aggregate::{Aggregate, Command, Context, Handler};
use crate::answer::{Answered, answer};
use crate::call::{Address, Call, Never, Parcel, Port};
use crate::id::EntityId;
use crate::message::Envelope;
use crate::snapshot::request::{Asker, Request};
use crate::snapshot::{SnapshotError, SnapshotMeta, Snapshotted};
use crate::state::{Machine, State, info};
use crate::step::{Decision, HandlerReturn, Refused, decided, stay};

/// The untyped half of a generated ref such as `AccountRef`: a cheap handle that is cloned freely.
///
/// It holds nothing of the entity, which is loaded by the first call and may be dropped from memory between calls.
pub struct EntityRef<A> {
    address: Arc<Address>,
    aggregate: PhantomData<fn() -> A>,
}

impl<A: Aggregate> EntityRef<A> {
    pub(crate) fn new(entity: EntityId, hash: u64, port: Arc<dyn Port>) -> Self {
        Self { address: Address::new(entity, hash, port), aggregate: PhantomData }
    }

    /// The entity's id.
    pub fn id(&self) -> &EntityId {
        &self.address.entity
    }

    /// Sends a command that is given as data, such as a log or a generator of tests has. It tells whether the command
    /// was refused; the typed methods of the ref also give the reply and the reason.
    pub fn send(&self, command: A::Command) -> Call<(), Refused> {
        dispatch(self, command.name(), move |data, cx| command.handle(data, cx))
    }
}

/// Makes the call of a parcel that is no command.
pub(crate) fn send<A, R, E>(to: &EntityRef<A>, parcel: Box<dyn Parcel>, answered: Answered<R, E>) -> Call<R, E> {
    Call::new(to.address.clone(), parcel, answered)
}

/// Makes the call behind a command's method of a generated ref.
#[doc(hidden)]
pub fn call<A, T>(
    to: &EntityRef<A>,
    command: &'static str,
    handle: impl FnOnce(&A, &Context<A>) -> T + Send + 'static,
) -> Call<T::Reply, T::Refusal>
where
    A: Aggregate,
    T: HandlerReturn<Handler: Handler<Aggregate = A>> + 'static,
{
    dispatch(to, command, move |data, cx| decided(handle(data, cx)))
}

/// Makes the call behind a command's method of a machine's ref, where the state says who handles it.
#[doc(hidden)]
pub fn dispatch<A, R, E>(
    to: &EntityRef<A>,
    command: &'static str,
    decide: impl FnOnce(&A, &Context<A>) -> Decision<R, E, A> + Send + 'static,
) -> Call<R, E>
where
    A: Aggregate,
    R: Send + 'static,
    E: Send + 'static,
{
    let (caller, answered) = answer();
    let envelope = Envelope::new(to.address.clone(), command, decide, caller);
    Call::new(to.address.clone(), Box::new(envelope), answered)
}

/// Makes the call behind a query's method of a generated ref.
#[doc(hidden)]
pub fn query<A, R>(
    to: &EntityRef<A>,
    query: &'static str,
    read: impl FnOnce(&A) -> R + Send + 'static,
) -> Call<R, Never>
where
    A: Aggregate,
    R: Send + 'static,
{
    look(to, query, move |data, _| read(data))
}

/// Makes the call behind `state()` of a machine's ref.
#[doc(hidden)]
pub fn state<A: Machine>(to: &EntityRef<A>) -> Call<A::State, Never> {
    look(to, "state", |_, cx| cx.state())
}

/// Makes the call behind `accepts()` of a machine's ref.
#[doc(hidden)]
pub fn accepts<A: Machine>(to: &EntityRef<A>) -> Call<Vec<&'static str>, Never> {
    look(to, "accepts", |_, cx| {
        info::<A>(cx.state()).map_or_else(Vec::new, |state| A::State::GRAPH.accepts(state.name).collect())
    })
}

/// Makes the call behind `snapshot()` of a ref whose aggregate takes snapshots.
#[doc(hidden)]
pub fn snapshot<A: Snapshotted>(to: &EntityRef<A>) -> Call<SnapshotMeta, SnapshotError> {
    let (caller, answered) = answer();
    let request = Request::<A>::new(to.address.entity.clone(), Asker::new(caller));
    Call::new(to.address.clone(), Box::new(request), answered)
}

/// Looks at an entity without changing it.
fn look<A, R>(
    to: &EntityRef<A>,
    query: &'static str,
    read: impl FnOnce(&A, &Context<A>) -> R + Send + 'static,
) -> Call<R, Never>
where
    A: Aggregate,
    R: Send + 'static,
{
    dispatch(to, query, move |data, cx| Decision::Step(stay::<A>().replying(read(data, cx))))
}

impl<A> Clone for EntityRef<A> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), aggregate: PhantomData }
    }
}

impl<A> fmt::Debug for EntityRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\"", self.address.port.aggregate(), self.address.entity)
    }
}
