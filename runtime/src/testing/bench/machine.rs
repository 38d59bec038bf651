//! What a bench does for state machines: states, deadlines, and which edges were taken.

use std::fmt::Debug;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{Bench, Entity, Then};
use crate::aggregate::Aggregate;
use crate::alarm::{Alarm, Report};
use crate::call::{CallError, Failure, Never};
use crate::execute::after;
use crate::graph::{Coverage, Trigger};
use crate::journal::{Record, StoredCause, StoredOutcome};
use crate::state::{Machine, Standing, State, info};

/// So many deadlines fire in one go at the most: those of a state that always ends at once would never end.
const FIRED_MAX: usize = 100_000;

impl<A> Bench<A>
where
    A: Machine<Event: Clone + Debug + PartialEq>,
{
    /// Puts the machine into this state, as if it had gone there right now: the state's deadline counts from now. Hooks
    /// don't run.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use annals::prelude::*;
    /// # use annals::testing::given;
    /// # #[derive(Debug, Default, Serialize, Deserialize)]
    /// # pub struct Door { knocks: u64 }
    /// # #[fsm(states(initial Closed, Open))]
    /// # impl Door {
    /// #     #[event] fn knocked(&mut self) { self.knocks += 1 }
    /// #     #[on(Closed => stay)] fn knock(&self) -> Step { applying(DoorEvent::Knocked) }
    /// #     #[on(Closed => Open)] fn open(&self) -> Step { goto(Open) }
    /// #     #[on(Open => Closed)] fn close(&self) -> Step { goto(Closed) }
    /// #     #[after(30s, Open => Closed)] fn fall_shut(&self) -> Step { goto(Closed) }
    /// # }
    /// let door = given::<Door>([]).in_state(DoorState::Open);
    /// door.when(|door| door.knock()).then_not_accepted();
    /// door.when(|door| door.close()).then_no_events().then_state(DoorState::Closed);
    /// door.when(|door| door.knock()).then_events(DoorEvent::Knocked).then_state(DoorState::Closed);
    /// ```
    #[must_use]
    pub fn in_state(self, state: A::State) -> Self {
        self.port.lock().enter(state);
        self
    }

    /// The state in which the machine is.
    pub fn state(&self) -> A::State {
        self.port.lock().cx.state()
    }

    /// When the time in the state is over; `None` if it has no end, or if nothing has happened to the entity yet.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.port.lock().cx.standing().due.get()
    }

    /// Lets time pass, and fires the deadlines that are over by then: each at its own time, and also those of the
    /// states to which they lead. Effects and hooks run. Hands out what came of all of them together.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use annals::prelude::*;
    /// # use annals::testing::given;
    /// # #[derive(Debug, Default, Serialize, Deserialize)]
    /// # pub struct Door { knocks: u64 }
    /// # #[fsm(states(initial Closed, Open))]
    /// # impl Door {
    /// #     #[event] fn knocked(&mut self) { self.knocks += 1 }
    /// #     #[on(Closed => stay)] fn knock(&self) -> Step { applying(DoorEvent::Knocked) }
    /// #     #[on(Closed => Open)] fn open(&self) -> Step { goto(Open) }
    /// #     #[on(Open => Closed)] fn close(&self) -> Step { goto(Closed) }
    /// #     #[after(30s, Open => Closed)] fn fall_shut(&self) -> Step { goto(Closed) }
    /// # }
    /// let door = given::<Door>([]).in_state(DoorState::Open);
    /// door.advance(Duration::from_secs(29)).then_state(DoorState::Open);
    /// door.advance(Duration::from_secs(1)).then_no_events().then_state(DoorState::Closed);
    /// assert_eq!(door.deadline(), None);
    /// ```
    ///
    /// # Panics
    ///
    /// If a deadline's handler or a fold panics, if an event changes when it is stored or can't be, if there are
    /// effects and no services for them, or if deadlines follow each other without end.
    #[track_caller]
    pub fn advance(&self, time: Duration) -> Then<A, (), Never> {
        let now = self.port.lock().cx.now();
        self.advance_to(after(now, time))
    }

    /// Lets time pass until `now`, as [`Bench::advance`] does.
    ///
    /// # Panics
    ///
    /// As [`Bench::advance`], and if it is later than that already.
    #[track_caller]
    pub fn advance_to(&self, now: Timestamp) -> Then<A, (), Never> {
        let before = self.port.lock().cx.now();
        assert!(now >= before, "time doesn't go back: it is {before} already, later than {now}");
        let mut all = self.nothing();
        for _ in 0..FIRED_MAX {
            let due = self.deadline().filter(|due| *due <= now);
            self.port.lock().set_time(due.unwrap_or(now));
            if due.is_none() {
                return all;
            }
            let fired = self.fire();
            fired.check_done();
            all.events.extend(fired.events);
            all.spawned.extend(fired.spawned);
            all.state = fired.state;
        }
        panic!("{FIRED_MAX} deadlines fired, and there are more: the states follow each other too fast")
    }

    fn nothing(&self) -> Then<A, (), Never> {
        Then { events: Vec::new(), result: Ok(()), spawned: Vec::new(), state: self.state() }
    }

    #[track_caller]
    fn fire(&self) -> Then<A, (), Never> {
        let (answer, mut answered) = oneshot::channel();
        let mut entity = self.port.lock();
        entity.begin();
        let id = entity.cx.id().clone();
        entity.run(Box::new(Alarm::new(id, answer)));
        drop(entity);
        self.then(answered.try_recv().expect("a message is released or fails"))
    }

    /// Which edges of the graph this bench has taken so far, those that stay included. What [`Bench::in_state`] does is
    /// none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use annals::prelude::*;
    /// # use annals::testing::given;
    /// # #[derive(Debug, Default, Serialize, Deserialize)]
    /// # pub struct Door { knocks: u64 }
    /// # #[fsm(states(initial Closed, Open))]
    /// # impl Door {
    /// #     #[event] fn knocked(&mut self) { self.knocks += 1 }
    /// #     #[on(Closed => stay)] fn knock(&self) -> Step { applying(DoorEvent::Knocked) }
    /// #     #[on(Closed => Open)] fn open(&self) -> Step { goto(Open) }
    /// #     #[on(Open => Closed)] fn close(&self) -> Step { goto(Closed) }
    /// #     #[after(30s, Open => Closed)] fn fall_shut(&self) -> Step { goto(Closed) }
    /// # }
    /// let mut coverage = given_a_guest();
    /// coverage.merge(&given_a_draught());
    /// assert!(coverage.is_complete(), "{coverage}");
    ///
    /// fn given_a_guest() -> annals::Coverage {
    ///     let door = given::<Door>([]);
    ///     door.when(|door| door.knock()).then_ok();
    ///     door.when(|door| door.open()).then_ok();
    ///     door.when(|door| door.close()).then_ok();
    ///     door.coverage()
    /// }
    ///
    /// fn given_a_draught() -> annals::Coverage {
    ///     let door = given::<Door>([]).in_state(DoorState::Open);
    ///     door.advance(Duration::from_secs(60)).then_state(DoorState::Closed);
    ///     door.coverage()
    /// }
    /// ```
    pub fn coverage(&self) -> Coverage {
        self.port.lock().coverage.clone()
    }
}

/// How long a state lasts, as it is declared.
pub(super) fn limit<A: Aggregate>(state: A::State) -> Option<Duration> {
    info::<A>(state).and_then(|state| state.deadline)
}

impl<A: Aggregate> Entity<A> {
    /// Goes to a state, as a record of that would have it.
    pub(super) fn enter(&mut self, state: A::State) {
        let (now, visit) = (self.cx.now(), self.cx.seq_nr().next());
        let due = limit::<A>(state).map(|time| after(now, time)).into();
        self.cx.move_to(now, visit, Standing { state, visit, due });
    }

    fn set_time(&mut self, now: Timestamp) {
        let now = now.max(self.cx.now());
        self.cx.move_to(now, self.cx.seq_nr(), self.cx.standing());
    }

    /// Counts the edge that the draft has taken, before the entity stands where it leads.
    pub(super) fn count_change(&mut self) {
        let write = self.draft.write();
        let accepted = matches!(write.outcome, None | Some(StoredOutcome::Replied { .. }));
        let Some(cause) = write.cause.filter(|_| accepted) else { return };
        let to = match self.draft.records::<A>().last() {
            Some(Record::Transition(transition)) if transition.from.is_some() => Some(transition.to),
            _ => None,
        };
        let by = match cause {
            StoredCause::Command(command) => Trigger::Command(command),
            StoredCause::Deadline { .. } => Trigger::Deadline,
        };
        let from = self.state_name();
        self.coverage.record(from, to, by);
    }

    /// Counts a command that changed nothing. Queries do that as well, and are no edges.
    pub(super) fn count_stay(&mut self, command: &'static str) {
        if A::State::GRAPH.accepted_in(command).next().is_some() {
            let from = self.state_name();
            self.coverage.record(from, None, Trigger::Command(command));
        }
    }

    fn state_name(&self) -> &'static str {
        self.cx.standing().state.name()
    }
}

impl Report for oneshot::Sender<Result<(), CallError<Never>>> {
    fn heard(self) {
        let _ = self.send(Ok(()));
    }

    fn failed(self, why: Failure) {
        let _ = self.send(Err(why.into()));
    }
}
