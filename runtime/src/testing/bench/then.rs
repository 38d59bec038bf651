//! What came of a command, and whether it is what a test expects.

use std::fmt::Debug;
use std::pin::Pin;

use super::stored_and_read;
use crate::aggregate::Aggregate;
use crate::call::CallError;
use crate::effects::Spawned;
use crate::event::{EventList, EventsOf};
use crate::state::Machine;

/// What came of a command.
#[must_use = "say what should have come of it; `.then_ok()` if anything but a refusal"]
pub struct Then<A: Aggregate, R, E> {
    pub(super) events: Vec<A::Event>,
    pub(super) result: Result<R, CallError<E>>,
    pub(super) spawned: Vec<Spawned>,
    /// Where the entity stands after it.
    pub(super) state: A::State,
}

impl<A, R, E> Then<A, R, E>
where
    A: Aggregate<Event: Clone + Debug + PartialEq>,
    R: Debug,
    E: Debug,
{
    /// Checks that the step didn't fail, and that its events can be stored.
    #[track_caller]
    pub(super) fn check_done(&self) {
        if let Err(error @ (CallError::Panicked { .. } | CallError::NotStored { .. })) = &self.result {
            panic!("the step failed: {error:?}");
        }
        for event in &self.events {
            stored_and_read::<A>(event);
        }
    }

    /// Checks the events.
    ///
    /// # Panics
    ///
    /// If they differ.
    #[track_caller]
    pub fn then_events(&self, expected: impl EventsOf<A>) -> &Self {
        let mut list = EventList::new();
        expected.push_to(&mut list);
        assert!(
            self.events == list.as_slice(),
            "other events than expected:\n  expected: {:?}\n   events: {:?}\n    result: {:?}",
            list.as_slice(),
            self.events,
            self.result,
        );
        self
    }

    /// Checks that nothing changed.
    ///
    /// # Panics
    ///
    /// If there are events.
    #[track_caller]
    pub fn then_no_events(&self) -> &Self {
        self.then_events(None)
    }

    /// Checks that there is a reply, whatever it is.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn then_ok(&self) -> &Self {
        assert!(self.result.is_ok(), "no reply:\n     error: {:?}", self.result);
        self
    }

    /// Checks the reply; `()` if the command replies nothing.
    ///
    /// # Panics
    ///
    /// If it is another, or if there is none.
    #[track_caller]
    pub fn then_reply<T: Debug>(&self, expected: T) -> &Self
    where
        R: PartialEq<T>,
    {
        match &self.result {
            Ok(reply) => assert!(
                *reply == expected,
                "another reply than expected:\n  expected: {expected:?}\n     reply: {reply:?}"
            ),
            Err(error) => panic!("no reply:\n  expected: {expected:?}\n     error: {error:?}"),
        }
        self
    }

    /// Checks why the handler refused, and that nothing changed.
    ///
    /// # Panics
    ///
    /// If it refused for another reason, or didn't.
    #[track_caller]
    pub fn then_refusal<T: Debug>(&self, expected: T) -> &Self
    where
        E: PartialEq<T>,
    {
        match &self.result {
            Err(CallError::Refused(refusal)) => {
                assert!(
                    *refusal == expected,
                    "another refusal than expected:\n  expected: {expected:?}\n   refusal: {refusal:?}"
                );
            }
            Ok(reply) => {
                panic!("not refused:\n  expected: {expected:?}\n     reply: {reply:?}\n    events: {:?}", self.events)
            }
            Err(error) => panic!("not refused by the handler:\n  expected: {expected:?}\n     error: {error:?}"),
        }
        self
    }

    /// Checks in which state the machine is afterwards.
    ///
    /// # Panics
    ///
    /// If it is in another.
    #[track_caller]
    pub fn then_state(&self, expected: A::State) -> &Self
    where
        A: Machine,
    {
        assert!(
            self.state == expected,
            "another state than expected:\n  expected: {expected:?}\n     state: {:?}\n    events: {:?}\n    result: {:?}",
            self.state,
            self.events,
            self.result,
        );
        self
    }

    /// Checks that the state didn't accept the command, so that nothing changed.
    ///
    /// # Panics
    ///
    /// If it did, whatever the handler said then.
    #[track_caller]
    pub fn then_not_accepted(&self) -> &Self
    where
        A: Machine,
    {
        match &self.result {
            Err(CallError::NotAccepted { .. }) => self,
            result => {
                panic!("accepted:\n    result: {result:?}\n    events: {:?}\n     state: {:?}", self.events, self.state)
            }
        }
    }

    /// The events, as the handler made them.
    pub fn events(&self) -> &[A::Event] {
        &self.events
    }

    /// The answer that the caller got.
    pub fn result(&self) -> &Result<R, CallError<E>> {
        &self.result
    }

    /// The state in which the machine is afterwards.
    pub fn state(&self) -> A::State
    where
        A: Machine,
    {
        self.state
    }

    /// Takes the futures that the effects spawned, to run them or not.
    pub fn take_spawned(&mut self) -> Vec<Pin<Box<dyn Future<Output = ()> + Send>>> {
        std::mem::take(&mut self.spawned)
    }
}

impl<A: Aggregate<Event: Debug>, R: Debug, E: Debug> Debug for Then<A, R, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Then").field("events", &self.events).field("result", &self.result).finish_non_exhaustive()
    }
}
