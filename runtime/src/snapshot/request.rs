//! The message that asks an entity for a snapshot, and is answered when that was saved.

use std::any::Any;
use std::marker::PhantomData;

use crate::aggregate::{Aggregate, Context};
use crate::answer::Caller;
use crate::call::{CallError, Failure, Parcel};
use crate::id::{EntityId, SeqNr};
use crate::journal::StoredOutcome;
use crate::key::Key;
use crate::message::{Decided, Message, Passage};
use crate::snapshot::{SnapshotError, SnapshotMeta};
use crate::step::Effect;

/// Who has asked for a snapshot, and waits.
#[derive(Debug)]
pub(crate) struct Asker(Caller<SnapshotMeta, SnapshotError>);

impl Asker {
    pub(crate) fn new(caller: Caller<SnapshotMeta, SnapshotError>) -> Self {
        Self(caller)
    }

    /// Tells what became of it.
    pub(crate) fn answer(self, saved: Result<SnapshotMeta, SnapshotError>) {
        self.0.answer(saved.map_err(CallError::Refused));
    }

    pub(crate) fn fail(self, failure: Failure) {
        self.0.answer(Err(failure.into()));
    }
}

/// Asks an entity of type `A` for a snapshot.
pub(crate) struct Request<A> {
    entity: EntityId,
    asked: Asked,
    aggregate: PhantomData<fn() -> A>,
}

/// The part of a request that its entity sees to.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Goes along with the snapshot, once there is one.
    pub(crate) asker: Option<Asker>,
    /// Why there is none. It tells of the data, so it is held back like any answer.
    pub(crate) refused: Option<SnapshotError>,
}

impl<A> Request<A> {
    pub(crate) fn new(entity: EntityId, asker: Asker) -> Self {
        Self { entity, asked: Asked { asker: Some(asker), refused: None }, aggregate: PhantomData }
    }
}

impl<A: Aggregate> Parcel for Request<A> {
    fn unpack(self: Box<Self>, slot: &mut dyn Any) {
        let slot = slot.downcast_mut::<Option<Box<dyn Message<A>>>>();
        *slot.expect("a parcel reaches the store of its own aggregate") = Some(self);
    }

    fn fail(self: Box<Self>, failure: Failure) {
        if let Some(asker) = self.asked.asker {
            asker.fail(failure);
        }
    }

    fn set_key(&mut self, _: Key, _: Box<dyn Any + Send>) {
        unreachable!("what a request for a snapshot is answered can't be stored with a key");
    }
}

impl<A: Aggregate> Message<A> for Request<A> {
    fn entity(&self) -> &EntityId {
        &self.entity
    }

    fn command(&self) -> &'static str {
        "snapshot"
    }

    fn asked(&mut self) -> Option<&mut Asked> {
        Some(&mut self.asked)
    }

    fn handle(&mut self, _: &A, _: &Context<A>) -> Decided<A> {
        Decided { snapshot: true, ..Decided::nothing() }
    }

    fn applied(&mut self, _: &A, _: Option<Passage<A::State>>) {}

    fn release(self: Box<Self>) -> Vec<Effect<A>> {
        let Asked { asker, refused } = self.asked;
        if let (Some(asker), Some(refused)) = (asker, refused) {
            asker.answer(Err(refused));
        }
        Vec::new()
    }

    fn repeat(self: Box<Self>, _: Option<StoredOutcome<'_>>, _: SeqNr) {
        unreachable!("a request for a snapshot has no key");
    }
}
