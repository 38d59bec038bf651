//! The time in a state is over: the message that says so to the entity.

use std::any::Any;

use tokio::sync::mpsc;

use crate::aggregate::{Aggregate, Context};
use crate::call::{Failure, Parcel};
use crate::contain::drop_contained;
use crate::id::{EntityId, SeqNr};
use crate::journal::StoredOutcome;
use crate::key::Key;
use crate::message::{Decided, Message, Passage, handle_elapsed, with_hooks};
use crate::step::Effect;
use crate::system::schedule::Wake;

/// What became of an alarm.
#[derive(Debug)]
pub(crate) enum Rung {
    /// It was heard. If there is another deadline, the entity has armed it.
    Heard,
    /// It has to be rung again.
    Again { wake: Wake, why: Option<Failure> },
}

/// Tells what became of an alarm, whatever happens to it.
pub(crate) struct Report {
    to: mpsc::Sender<Rung>,
    wake: Option<Wake>,
}

impl Report {
    /// `to` has room for the report of every alarm on its way.
    pub(crate) fn new(to: mpsc::Sender<Rung>, wake: Wake) -> Self {
        Self { to, wake: Some(wake) }
    }

    fn heard(mut self) {
        self.wake = None;
        let _ = self.to.try_send(Rung::Heard);
    }

    fn again(mut self, why: Option<Failure>) {
        self.ring_again(why);
    }

    fn ring_again(&mut self, why: Option<Failure>) {
        if let Some(wake) = self.wake.take() {
            // Nobody hears it any more when the system goes down.
            let _ = self.to.try_send(Rung::Again { wake, why });
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.ring_again(None);
    }
}

/// Looks whether the time in the entity's state is over, and has it handled then.
pub(crate) struct Alarm<A: Aggregate> {
    entity: EntityId,
    effects: Vec<Effect<A>>,
    /// None if the entity has noticed by itself.
    report: Option<Report>,
}

impl<A: Aggregate> Alarm<A> {
    pub(crate) fn parcel(entity: EntityId, report: Report) -> Box<dyn Parcel> {
        Box::new(Self { entity, effects: Vec::new(), report: Some(report) })
    }

    /// For an entity that has another message to handle and notices that its time was over before. If it fails, the
    /// alarm that was set in time says so.
    pub(crate) fn noticed(entity: EntityId) -> Box<dyn Message<A>> {
        Box::new(Self { entity, effects: Vec::new(), report: None })
    }
}

impl<A: Aggregate> Parcel for Alarm<A> {
    fn unpack(self: Box<Self>, slot: &mut dyn Any) {
        let slot = slot.downcast_mut::<Option<Box<dyn Message<A>>>>();
        *slot.expect("a parcel reaches the store of its own aggregate") = Some(self);
    }

    fn fail(self: Box<Self>, failure: Failure) {
        let Self { effects, report, .. } = *self;
        if let Some(report) = report {
            report.again(Some(failure));
        }
        drop_contained("the effects of a deadline that failed", effects);
    }

    fn set_key(&mut self, _: Key, _: Box<dyn Any + Send>) {
        unreachable!("nobody gives a deadline a key");
    }
}

impl<A: Aggregate> Message<A> for Alarm<A> {
    fn entity(&self) -> &EntityId {
        &self.entity
    }

    fn command(&self) -> &'static str {
        "deadline"
    }

    fn is_alarm(&self) -> bool {
        true
    }

    fn handle(&mut self, data: &A, cx: &Context<A>) -> Decided<A> {
        handle_elapsed(data, cx, &mut self.effects)
    }

    fn applied(&mut self, data: &A, passage: Option<Passage<A::State>>) {
        self.effects = with_hooks(data, passage, std::mem::take(&mut self.effects));
    }

    fn release(self: Box<Self>) -> Vec<Effect<A>> {
        let Self { effects, report, .. } = *self;
        if let Some(report) = report {
            report.heard();
        }
        effects
    }

    fn repeat(self: Box<Self>, _: Option<StoredOutcome<'_>>, _: SeqNr) {
        unreachable!("a deadline has no key");
    }
}
