//! The time in a state is over: the message that says so to the entity.

use std::any::Any;

use crate::aggregate::{Aggregate, Context};
use crate::call::{Failure, Parcel};
use crate::contain::drop_contained;
use crate::id::{EntityId, PersistenceId, SeqNr};
use crate::journal::StoredOutcome;
use crate::key::Key;
use crate::message::{Decided, Message, Passage, with_hooks};
use crate::state::State;
use crate::step::Effect;

/// Hears what became of an alarm.
pub(crate) trait Report: Send + 'static {
    /// It was heard, whether or not there was anything to do.
    fn heard(self);
    /// It has to be rung again.
    fn failed(self, why: Failure);
}

/// Looks whether the time in the entity's state is over, and has it handled then.
pub(crate) struct Alarm<A: Aggregate, R> {
    entity: EntityId,
    effects: Vec<Effect<A>>,
    report: R,
}

impl<A: Aggregate, R: Report> Alarm<A, R> {
    pub(crate) fn new(entity: EntityId, report: R) -> Self {
        Self { entity, effects: Vec::new(), report }
    }
}

impl<A: Aggregate, R: Report> Parcel for Alarm<A, R> {
    fn unpack(self: Box<Self>, slot: &mut dyn Any) {
        let slot = slot.downcast_mut::<Option<Box<dyn Message<A>>>>();
        *slot.expect("a parcel reaches the store of its own aggregate") = Some(self);
    }

    fn fail(self: Box<Self>, failure: Failure) {
        let Self { effects, report, .. } = *self;
        report.failed(failure);
        drop_contained("the effects of a deadline that failed", effects);
    }

    fn set_key(&mut self, _: Key, _: Box<dyn Any + Send>) {
        unreachable!("nobody gives a deadline a key");
    }
}

impl<A: Aggregate, R: Report> Message<A> for Alarm<A, R> {
    fn entity(&self) -> &EntityId {
        &self.entity
    }

    fn command(&self) -> &'static str {
        "deadline"
    }

    fn is_alarm(&self) -> bool {
        true
    }

    fn ended(self: Box<Self>, _: PersistenceId, _: SeqNr) {
        // There is nothing to do any more.
        self.report.heard();
    }

    fn handle(&mut self, data: &A, cx: &Context<A>) -> Decided<A> {
        let standing = cx.standing();
        if standing.due.get().is_none_or(|due| due > cx.now()) {
            return Decided::nothing();
        }
        let Some(step) = standing.state.elapsed(data, cx) else { return Decided::nothing() };
        self.effects = step.effects;
        Decided { events: step.events, goes: step.goes, elapsed: Some(standing.visit), snapshot: step.snapshot }
    }

    fn applied(&mut self, data: &A, passage: Option<Passage<A::State>>) {
        self.effects = with_hooks(data, passage, std::mem::take(&mut self.effects));
    }

    fn release(self: Box<Self>) -> Vec<Effect<A>> {
        let Self { effects, report, .. } = *self;
        report.heard();
        effects
    }

    fn repeat(self: Box<Self>, _: Option<StoredOutcome<'_>>, _: SeqNr) {
        unreachable!("a deadline has no key");
    }
}
