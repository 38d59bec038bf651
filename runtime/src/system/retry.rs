//! Another attempt at an entity in quarantine, now.

use std::any::Any;
use std::marker::PhantomData;

use crate::aggregate::{Aggregate, Context};
use crate::answer::{Caller, answer};
use crate::call::{Address, Call, CallError, Failure, Never, Parcel};
use crate::id::{EntityId, PersistenceId, SeqNr};
use crate::journal::StoredOutcome;
use crate::key::Key;
use crate::message::{Decided, Message, Passage};
use crate::step::Effect;
use crate::system::System;
use crate::system::quarantine::Quarantined;

/// What [`System::retry`] has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retried {
    /// It is loaded, and takes calls again.
    Loaded,
    /// It couldn't be loaded, and why.
    Quarantined(Quarantined),
    /// It wasn't in quarantine. Nothing was done.
    NotQuarantined,
    /// The program has no such aggregate, or hasn't used it yet: [`Builder::register`](crate::Builder::register) makes
    /// it known. Nothing was done.
    UnknownAggregate,
}

pub(crate) type Asker = Caller<Retried, Never>;

/// Asks an entity to make another attempt.
pub(crate) struct Retry<A> {
    entity: EntityId,
    caller: Asker,
    aggregate: PhantomData<fn() -> A>,
}

impl<A: Aggregate> Retry<A> {
    pub(crate) fn new(entity: EntityId, caller: Asker) -> Self {
        Self { entity, caller, aggregate: PhantomData }
    }

    fn answer(self, answer: Result<Retried, CallError<Never>>) {
        self.caller.answer(answer);
    }
}

impl<A: Aggregate> Parcel for Retry<A> {
    fn unpack(self: Box<Self>, slot: &mut dyn Any) {
        let slot = slot.downcast_mut::<Option<Box<dyn Message<A>>>>();
        *slot.expect("a parcel reaches the store of its own aggregate") = Some(self);
    }

    fn fail(self: Box<Self>, failure: Failure) {
        self.answer(match failure {
            Failure::Quarantined(quarantined) => Ok(Retried::Quarantined((*quarantined).clone())),
            failure => Err(failure.into()),
        });
    }

    fn set_key(&mut self, _: Key, _: Box<dyn Any + Send>) {
        unreachable!("nobody gives an attempt a key");
    }
}

impl<A: Aggregate> Message<A> for Retry<A> {
    fn entity(&self) -> &EntityId {
        &self.entity
    }

    fn command(&self) -> &'static str {
        "retry"
    }

    fn is_retry(&self) -> bool {
        true
    }

    fn needless(self: Box<Self>) {
        self.answer(Ok(Retried::NotQuarantined));
    }

    fn handle(&mut self, _: &A, _: &Context<A>) -> Decided<A> {
        Decided::nothing()
    }

    fn applied(&mut self, _: &A, _: Option<Passage<A::State>>) {}

    fn release(self: Box<Self>) -> Vec<Effect<A>> {
        self.answer(Ok(Retried::Loaded));
        Vec::new()
    }

    fn repeat(self: Box<Self>, _: Option<StoredOutcome<'_>>, _: SeqNr) {
        unreachable!("an attempt has no key");
    }
}

impl System {
    /// The entities in quarantine, those first whose last attempt is the newest, and no more than 1,024 of them:
    /// [`Stats::quarantined`](crate::Stats::quarantined) counts all that are in memory.
    ///
    /// One stays here until it is loaded or deleted, also when it has left memory; and until the system ends.
    ///
    /// ```
    /// # use annals::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let system = System::builder().start(annals::journal::MemoryJournal::new())?;
    /// for entity in system.quarantined() {
    ///     println!("{} since {}, after {} attempts: {}", entity.id, entity.since, entity.failures, entity.reason);
    ///     if entity.trouble.may_pass() {
    ///         system.retry(&entity.id).await?;
    ///     }
    /// }
    /// # system.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.inner.ward.all().iter().map(|quarantined| Quarantined::clone(quarantined)).collect()
    }

    /// Makes another attempt to load an entity in quarantine, however long its pause still is, and tells what came of
    /// it. What waits for the pause, such as its deadlines, goes on when it is loaded.
    ///
    /// # Errors
    ///
    /// [`CallError`] if the attempt wasn't made, or its end can't be told: the system has stopped, or the entity is
    /// deleted.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was sent, nothing happens. Dropped later, the attempt is made all the same.
    pub async fn retry(&self, id: &PersistenceId) -> Result<Retried, CallError<Never>> {
        let Some(bell) = self.inner.registry.bell(id) else { return Ok(Retried::UnknownAggregate) };
        let (caller, answered) = answer();
        let parcel = (bell.make_retry)(id.entity.clone(), caller);
        Call::new(Address::new(id.entity.clone(), bell.hash, bell.port), parcel, answered).await
    }
}
