//! Where an entity stands: the states of a machine, and what each of them does.

use std::fmt::Debug;

use crate::aggregate::{Aggregate, Context, Handler};
use crate::clock::MaybeTime;
use crate::effects::Effects;
use crate::graph::{Graph, StateInfo, StateKind};
use crate::id::SeqNr;
use crate::step::{Effect, Step, Unnamed};

/// The states of a machine, or `()` for an aggregate without any.
///
/// `#[fsm]` implements it for the enum that it generates, such as `LockState`.
#[diagnostic::on_unimplemented(message = "`{Self}` is not the state of `{A}`")]
pub trait State<A: Handler>: Copy + PartialEq + Debug + Send + Sync + 'static {
    /// The states, and the ways between them.
    const GRAPH: Graph;
    /// All states, in the order of the graph.
    const ALL: &'static [Self];
    /// Where an entity begins.
    const INITIAL: Self;

    /// Its place in [`State::ALL`].
    fn index(self) -> usize;

    /// Its name, as the graph has it.
    fn name(self) -> &'static str {
        Self::GRAPH.states.get(self.index()).map_or("", |state| state.name)
    }

    /// What follows when the time in this state is over; `None` if nothing does.
    fn elapsed(self, data: &A, cx: &Context<A>) -> Option<Step<(), A>> {
        let _ = (data, cx);
        None
    }

    /// What is to be done once it is durable that the state was left.
    fn exited(self, data: &A, hooks: &mut Hooks<A>) {
        let _ = (data, hooks);
    }

    /// What is to be done once it is durable that the state was entered.
    fn entered(self, data: &A, hooks: &mut Hooks<A>) {
        let _ = (data, hooks);
    }
}

impl<A: Aggregate> State<A> for () {
    const GRAPH: Graph = Graph::EMPTY;
    const ALL: &'static [Self] = &[()];
    const INITIAL: Self = ();

    fn index(self) -> usize {
        0
    }
}

/// What the graph says of a state; `None` for an aggregate without states.
pub(crate) fn info<A: Aggregate>(state: A::State) -> Option<&'static StateInfo> {
    <A::State as State<A>>::GRAPH.states.get(state.index())
}

/// Whether a state isn't recovered to.
pub(crate) fn is_transient<A: Aggregate>(state: A::State) -> bool {
    info::<A>(state).is_some_and(|state| state.kind == StateKind::Transient)
}

/// The state with this stored name.
pub(crate) fn named<A: Aggregate>(name: &str) -> Option<A::State> {
    let graph = <A::State as State<A>>::GRAPH;
    let index = graph.states.iter().position(|state| state.name == name || state.was.contains(&name))?;
    <A::State as State<A>>::ALL.get(index).copied()
}

/// Whether an aggregate has states.
pub(crate) fn has_states<A: Aggregate>() -> bool {
    !<A::State as State<A>>::GRAPH.states.is_empty()
}

/// An aggregate with a declared graph of states; `#[fsm]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a state machine",
    label = "it has no states",
    note = "write `#[fsm(states(..))]` on an impl block of `{Self}`"
)]
pub trait Machine: Aggregate {}

/// A state to which a handler may go: it is declared behind the `=>` of its attribute.
#[diagnostic::on_unimplemented(
    message = "`{H}` does not declare a transition to `{Self}`",
    label = "not a declared target",
    note = "declare it behind the `=>` of the handler's attribute",
    note = "the bare name of a declared state belongs into the call: `goto(Closed)`"
)]
pub trait TargetOf<H: Handler> {
    /// The state.
    const STATE: <H::Aggregate as Aggregate>::State;
}

/// A handler that may leave the state as it is: every one of an aggregate without states, and in a machine one with
/// `stay` behind the `=>` of its attribute.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not declare that it may stay",
    label = "this leaves the state as it is",
    note = "add `stay` behind the `=>` of the handler's attribute"
)]
pub trait Stays {}

#[diagnostic::do_not_recommend]
impl<A: Aggregate> Stays for A {}

/// What is wrong there is that it is no handler, and that is reported already.
impl<R> Stays for Unnamed<R> {}

/// A handler that goes to a state whose time can end: one with an `#[after]`.
#[diagnostic::on_unimplemented(
    message = "no handler says what happens when the time in the state is over",
    label = "`{Self}` goes to no state with an `#[after]`",
    note = "add a handler with `#[after(.., State => ..)]`"
)]
pub trait Limits {}

/// Collects what is to be done once a transition is durable.
pub struct Hooks<A: Handler>(pub(crate) Vec<Effect<A::Aggregate>>);

impl<A: Aggregate> Hooks<A> {
    /// Adds something after what is there.
    pub fn push(&mut self, hook: impl FnOnce(&Effects<A>) + Send + 'static) {
        self.0.push(Box::new(hook));
    }
}

impl<A: Handler> Debug for Hooks<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hooks({})", self.0.len())
    }
}

/// Where an entity stands, since when, and until when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Standing<S> {
    pub(crate) state: S,
    /// The sequence number of the record that entered the state; 0 where there is none.
    pub(crate) visit: SeqNr,
    /// When the time in the state is over.
    pub(crate) due: MaybeTime,
}

impl<S> Standing<S> {
    /// Before the first record.
    pub(crate) fn initial<A: Aggregate<State = S>>() -> Self
    where
        S: State<A>,
    {
        Self { state: S::INITIAL, visit: SeqNr::ZERO, due: MaybeTime::NONE }
    }
}
