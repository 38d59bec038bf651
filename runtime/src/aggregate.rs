//! The traits behind `#[aggregate]`, and the context of a handler.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::entity_ref::EntityRef;
use crate::event::Event;
use crate::id::{EntityId, SeqNr};
use crate::snapshot::{Retention, Snapshots};
use crate::state::{Machine, Standing, State};
use crate::step::{Decision, Refused};

/// Data, the events that change it, the commands that decide on events.
///
/// `#[aggregate]` implements it. The data begins as its `Default`; `Serialize` and `Deserialize` let a snapshot
/// be taken of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an aggregate",
    label = "not an aggregate",
    note = "write `#[aggregate]` on an impl block of `{Self}`"
)]
pub trait Aggregate: Default + Serialize + for<'de> Deserialize<'de> + Send + 'static {
    /// The name under which the entities are stored. It must never change.
    const NAME: &'static str;
    /// How events are written. Any codec can be read, whichever this is.
    const CODEC: Codec;
    /// How snapshots of it are taken and read; `None` if it has none.
    const SNAPSHOTS: Option<Snapshots<Self>> = None;
    /// Which of its events are deleted when a snapshot stands for them.
    const RETENTION: Retention = Retention::All;
    /// Whether its streams are encrypted, so that they can be forgotten.
    const FORGETTABLE: bool = false;
    /// The events.
    type Event: Event;
    /// The commands as data, for [`EntityRef::send`].
    type Command: Command<Self>;
    /// The typed reference, with one method for each command and query.
    type Ref: From<EntityRef<Self>> + Clone + Send + Sync + 'static;
    /// Where an entity can stand: the states of a machine, `()` without a graph.
    type State: State<Self>;
    /// What effects may use, given once with [`Builder::provide`](crate::Builder::provide).
    type Services: Send + Sync + 'static;

    /// Folds one event into the data. It is run live, in tests and in every replay, so it must be deterministic.
    fn apply(&mut self, event: Self::Event);
}

/// A request as data: one variant for each `#[command]`.
pub trait Command<A: Handler>: Send + 'static {
    /// The command's name, as its method is called.
    fn name(&self) -> &'static str;

    /// Runs the handler, without its reply and without the reason of a refusal.
    fn handle(self, data: &A, cx: &Context<A>) -> Decision<(), Refused, A>;
}

/// Who makes a step: an aggregate, or one handler of a state machine.
#[diagnostic::on_unimplemented(
    message = "this step doesn't say which aggregate makes it",
    label = "write `Step<(), Self>`, or in a machine the handler: `Step<(), door_fsm::on::Close>`",
    note = "only methods that are marked with `#[command]`, `#[on(..)]` or `#[after(..)]` need not say it"
)]
pub trait Handler: 'static {
    /// The aggregate whose events the step may apply.
    type Aggregate: Aggregate;
}

#[diagnostic::do_not_recommend]
impl<A: Aggregate> Handler for A {
    type Aggregate = A;
}

/// What a handler may know beside the data: time, id and sequence number.
///
/// Handlers take it, if they name it, as `cx: &Context<Self>` before their other parameters. All that isn't in the
/// data comes from here, so that tests and replays control it.
///
/// ```
/// # use annals::prelude::*;
/// # use annals::Timestamp;
/// # #[derive(Debug, Default, Serialize, Deserialize)]
/// # struct Door { opened: Option<Timestamp> }
/// # #[aggregate]
/// # impl Door {
/// # #[event] fn was_opened(&mut self, at: Timestamp) { self.opened = Some(at) }
/// #[command]
/// fn open(&self, cx: &Context<Self>) -> Step {
///     applying(DoorEvent::WasOpened { at: cx.now() })
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Context<A: Handler> {
    id: EntityId,
    now: Timestamp,
    seq_nr: SeqNr,
    standing: Standing<<A::Aggregate as Aggregate>::State>,
}

impl<A: Aggregate> Context<A> {
    /// Before the first record.
    pub(crate) fn new(id: EntityId) -> Self {
        Self { id, now: Timestamp::UNIX_EPOCH, seq_nr: SeqNr::ZERO, standing: Standing::initial::<A>() }
    }

    pub(crate) fn move_to(&mut self, now: Timestamp, seq_nr: SeqNr, standing: Standing<A::State>) {
        self.now = now;
        self.seq_nr = seq_nr;
        self.standing = standing;
    }

    pub(crate) fn standing(&self) -> Standing<A::State> {
        self.standing
    }

    /// The time, in whole microseconds; never before that of the entity's last record. The events of this command are
    /// stored with it.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The entity's id.
    pub fn id(&self) -> &EntityId {
        &self.id
    }

    /// The sequence number of the last record that the data includes; 0 if there is none.
    pub fn seq_nr(&self) -> SeqNr {
        self.seq_nr
    }
}

impl<A: Machine> Context<A> {
    /// The state in which the command found the entity.
    pub fn state(&self) -> A::State {
        self.standing.state
    }
}
