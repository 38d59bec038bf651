//! When an entity's time is over, and when it will be woken for that.

use super::Entity;
use crate::aggregate::Aggregate;
use crate::clock::MaybeTime;
use crate::state::{Standing, is_transient};
use crate::system::desk::Desk;

/// The times of an entity. Most have none, and no memory for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// When its time is over where it stands after the record `issued`.
    standing: MaybeTime,
    /// The same, as it is durable; the earlier one, while nobody knows which is.
    pub(super) due: MaybeTime,
    /// When it will be woken, as far as it knows.
    pub(super) armed: MaybeTime,
}

impl Times {
    const NONE: Self = Self { standing: MaybeTime::NONE, due: MaybeTime::NONE, armed: MaybeTime::NONE };
}

impl<A: Aggregate> Entity<A> {
    pub(super) fn times(&self) -> Times {
        self.times.as_deref().copied().unwrap_or(Times::NONE)
    }

    pub(super) fn change_times(&mut self, change: impl FnOnce(&mut Times)) {
        match &mut self.times {
            Some(times) => change(times),
            none => {
                let mut times = Times::NONE;
                change(&mut times);
                *none = (times != Times::NONE).then(|| Box::new(times));
            }
        }
    }

    /// Where it stands after the record `issued`.
    pub(super) fn standing(&self) -> Standing<A::State> {
        Standing { state: self.state, visit: self.visit, due: self.times().standing }
    }

    pub(super) fn stand(&mut self, standing: Standing<A::State>) {
        (self.state, self.visit) = (standing.state, standing.visit);
        self.change_times(|times| times.standing = standing.due);
    }

    /// Stands as it was loaded, which is durable.
    pub(super) fn stand_loaded(&mut self, standing: Standing<A::State>) {
        self.stand(standing);
        self.change_times(|times| times.due = standing.due);
        self.times.take_if(|times| **times == Times::NONE);
    }

    /// Whether its time is over where it stands.
    pub(super) fn is_over(&self, now: MaybeTime) -> bool {
        self.times.as_ref().is_some_and(|times| times.standing.is_over(now))
    }

    /// It has no more time that could be over.
    pub(super) fn end_time(&mut self) {
        self.change_times(|times| times.standing = MaybeTime::NONE);
    }

    /// Whether it stands where it isn't recovered to.
    pub(super) fn is_transient(&self) -> bool {
        is_transient::<A>(self.state)
    }

    /// Sees to it that it is woken when its time is over, and not later: that of a transient state while it stands
    /// there, else the one that is durable.
    pub(super) fn arm(&mut self, desk: &Desk) {
        if let Some(times) = &self.times {
            self.arm_for(if self.is_transient() { times.standing } else { times.due }, desk);
        }
    }

    pub(super) fn arm_for(&mut self, due: MaybeTime, desk: &Desk) {
        let Times { armed, .. } = self.times();
        // Most often one is armed anew for later, which the earlier one sees to: nothing is converted for that.
        if armed == due {
            return;
        }
        // One that is over may have failed, and be rung again after a pause that is too long for this one.
        if armed.is_before(due) && !armed.is_over(desk.clock.now().into()) {
            return;
        }
        if let Some(armed) = armed.get() {
            desk.schedule.disarm(armed, self.stream);
        }
        let armed = due.get().map(|due| desk.schedule.arm(due, self.stream)).into();
        self.change_times(|times| times.armed = armed);
    }

    /// Arms exactly what is due and durable, before it leaves memory: who loads it again doesn't know of an earlier time.
    pub(crate) fn arm_exactly(&mut self, desk: &Desk) {
        let Times { due, armed, .. } = self.times();
        if armed != due {
            if let Some(armed) = armed.get() {
                self.change_times(|times| times.armed = MaybeTime::NONE);
                desk.schedule.disarm(armed, self.stream);
            }
            self.arm_for(due, desk);
        }
    }
}
