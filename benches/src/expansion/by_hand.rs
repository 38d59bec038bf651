//! A parcel on its way, as somebody writes it who knows the traits of annals and has no macros but serde's and those of
//! the standard library. That a handler goes only where its declaration says is what the compiler doesn't check here.

use std::time::Duration;

use annals::__rt::{accepts, decided, dispatch, elapsed, query, state, unnamed};
use annals::{
    Aggregate, By, Call, Codec, Command, Context, Decision, DecodeError, Edge, EntityId, EntityRef, Event, EventList,
    EventVariant, EventsOf, Field, Graph, Limits, Machine, Never, Payload, Refused, State, StateInfo, StateKind, Step,
    TargetOf, applying, goto,
};
use serde::{Deserialize, Serialize};

/// A parcel, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Parcel {
    grams: u32,
    address: String,
    cents: u32,
    carrier: Option<String>,
    stops: Vec<String>,
    rings: u32,
    is_damaged: bool,
    ended: Option<String>,
}

/// Why a parcel refuses what its state would accept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Nobody says where it goes.
    NoAddress,
    /// More cents are needed.
    TooCheap {
        /// So many.
        missing: u32,
    },
    /// It isn't his.
    Stranger,
}

/// What happens to a parcel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ParcelEvent {
    Weighed { grams: u32 },
    Addressed { address: String },
    Stamped { cents: u32 },
    PickedUp { by: String },
    Arrived { place: String },
    Redirected { address: String, reason: Option<String> },
    Rung,
    HandedOver { to: String },
    Damaged,
    GivenUp { reason: String },
}

const fn stored(name: &'static str, fields: &'static [Field]) -> EventVariant {
    EventVariant { name, was: &[], version: 1, ignored_since: None, fields }
}

const fn field(name: &'static str, ty: &'static str) -> Field {
    Field { name, ty }
}

impl Event for ParcelEvent {
    const VARIANTS: &'static [EventVariant] = &[
        stored("weighed", &[field("grams", "u32")]),
        stored("addressed", &[field("address", "String")]),
        stored("stamped", &[field("cents", "u32")]),
        stored("picked_up", &[field("by", "String")]),
        stored("arrived", &[field("place", "String")]),
        stored("redirected", &[field("address", "String"), field("reason", "Option<String>")]),
        stored("rung", &[]),
        stored("handed_over", &[field("to", "String")]),
        stored("damaged", &[]),
        stored("given_up", &[field("reason", "String")]),
    ];

    fn upcast(variant: usize, version: u32, _: Payload<'_>) -> Result<Self, DecodeError> {
        let name = Self::VARIANTS.get(variant).map_or("", |variant| variant.name).to_owned();
        Err(DecodeError::NoUpcast { name, version })
    }
}

impl EventsOf<Parcel> for ParcelEvent {
    fn push_to(self, events: &mut EventList<Self>) {
        events.push(self);
    }
}

/// Where a parcel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParcelState {
    Packed,
    Stamped,
    Travelling,
    AtDoor,
    Delivered,
    Lost,
}

/// The states as targets of `goto`.
mod to {
    pub(super) struct Stamped;
    pub(super) struct Travelling;
    pub(super) struct AtDoor;
    pub(super) struct Delivered;
    pub(super) struct Lost;
}

impl TargetOf<Parcel> for to::Stamped {
    const STATE: ParcelState = ParcelState::Stamped;
}

impl TargetOf<Parcel> for to::Travelling {
    const STATE: ParcelState = ParcelState::Travelling;
}

impl TargetOf<Parcel> for to::AtDoor {
    const STATE: ParcelState = ParcelState::AtDoor;
}

impl TargetOf<Parcel> for to::Delivered {
    const STATE: ParcelState = ParcelState::Delivered;
}

impl TargetOf<Parcel> for to::Lost {
    const STATE: ParcelState = ParcelState::Lost;
}

impl Limits for Parcel {}

const AT_DOOR: Duration = Duration::from_secs(3 * 24 * 60 * 60);

const fn kept(name: &'static str, kind: StateKind, deadline: Option<Duration>) -> StateInfo {
    StateInfo { name, was: &[], kind, deadline }
}

const fn way(from: &'static str, command: &'static str, to: Option<&'static str>) -> Edge {
    Edge { from, to, by: By::Command(command) }
}

impl State<Parcel> for ParcelState {
    const GRAPH: Graph = Graph {
        machine: "Parcel",
        states: &[
            kept("Packed", StateKind::Initial, None),
            kept("Stamped", StateKind::Ordinary, None),
            kept("Travelling", StateKind::Ordinary, None),
            kept("AtDoor", StateKind::Ordinary, Some(AT_DOOR)),
            kept("Delivered", StateKind::Terminal, None),
            kept("Lost", StateKind::Terminal, None),
        ],
        edges: &[
            way("Packed", "weigh", None),
            way("Packed", "address", None),
            way("Packed", "stamp", Some("Stamped")),
            way("Stamped", "pick_up", Some("Travelling")),
            way("Travelling", "arrive", None),
            way("Stamped", "redirect", None),
            way("Travelling", "redirect", Some("Travelling")),
            way("AtDoor", "redirect", Some("Travelling")),
            way("Travelling", "ring", Some("AtDoor")),
            way("AtDoor", "ring", Some("AtDoor")),
            way("AtDoor", "hand_over", Some("Delivered")),
            way("Packed", "damage", None),
            way("Stamped", "damage", None),
            way("Travelling", "damage", None),
            way("AtDoor", "damage", None),
            way("Stamped", "give_up", Some("Lost")),
            way("Travelling", "give_up", Some("Lost")),
            way("AtDoor", "give_up", Some("Lost")),
            Edge { from: "AtDoor", to: Some("Travelling"), by: By::Deadline(AT_DOOR) },
        ],
    };
    const ALL: &'static [Self] =
        &[Self::Packed, Self::Stamped, Self::Travelling, Self::AtDoor, Self::Delivered, Self::Lost];
    const INITIAL: Self = Self::Packed;

    fn index(self) -> usize {
        match self {
            Self::Packed => 0,
            Self::Stamped => 1,
            Self::Travelling => 2,
            Self::AtDoor => 3,
            Self::Delivered => 4,
            Self::Lost => 5,
        }
    }

    fn elapsed(self, data: &Parcel, _: &Context<Parcel>) -> Option<Step<(), Parcel>> {
        match self {
            Self::AtDoor => Some(elapsed(data.take_back())),
            Self::Packed | Self::Stamped | Self::Travelling | Self::Delivered | Self::Lost => None,
        }
    }
}

impl Machine for Parcel {}

impl Aggregate for Parcel {
    const NAME: &'static str = "Parcel";
    const CODEC: Codec = Codec::MessagePack;
    type Event = ParcelEvent;
    type Command = ParcelCommand;
    type Ref = ParcelRef;
    type State = ParcelState;
    type Services = ();

    fn apply(&mut self, event: ParcelEvent) {
        match event {
            ParcelEvent::Weighed { grams } => self.grams = grams,
            ParcelEvent::Addressed { address } => self.address = address,
            ParcelEvent::Stamped { cents } => self.cents += cents,
            ParcelEvent::PickedUp { by } => self.carrier = Some(by),
            ParcelEvent::Arrived { place } => self.stops.push(place),
            ParcelEvent::Redirected { address, reason } => {
                self.address = address;
                self.stops.extend(reason);
            }
            ParcelEvent::Rung => self.rings += 1,
            ParcelEvent::HandedOver { to } => self.ended = Some(to),
            ParcelEvent::Damaged => self.is_damaged = true,
            ParcelEvent::GivenUp { reason } => self.ended = Some(reason),
        }
    }
}

impl Parcel {
    /// The states, and the ways between them.
    pub const GRAPH: Graph = <ParcelState as State<Self>>::GRAPH;

    fn weigh(&self, grams: u32) -> Step<(), Self> {
        applying(ParcelEvent::Weighed { grams })
    }

    fn address(&self, address: String) -> Step<(), Self> {
        applying(ParcelEvent::Addressed { address })
    }

    fn stamp(&self, cents: u32) -> Result<Step<u32, Self>, Refusal> {
        if self.address.is_empty() {
            return Err(Refusal::NoAddress);
        }
        match cents.checked_sub(self.price()) {
            Some(rest) => Ok(goto(to::Stamped).applying(ParcelEvent::Stamped { cents }).replying(rest)),
            None => Err(Refusal::TooCheap { missing: self.price() - cents }),
        }
    }

    fn pick_up(&self, by: String) -> Step<(), Self> {
        goto(to::Travelling).applying(ParcelEvent::PickedUp { by })
    }

    fn arrive(&self, place: String) -> Step<usize, Self> {
        applying(ParcelEvent::Arrived { place }).replying_with(Self::stops)
    }

    fn redirect(&self, address: String, reason: Option<String>) -> Step<(), Self> {
        applying(ParcelEvent::Redirected { address, reason })
    }

    fn turn(&self, address: String, reason: Option<String>) -> Step<(), Self> {
        goto(to::Travelling).applying(ParcelEvent::Redirected { address, reason })
    }

    fn ring(&self) -> Step<(), Self> {
        goto(to::AtDoor).applying(ParcelEvent::Rung)
    }

    fn hand_over(&self, to: String) -> Result<Step<(), Self>, Refusal> {
        if !self.address.starts_with(&to) {
            return Err(Refusal::Stranger);
        }
        Ok(goto(to::Delivered).applying(ParcelEvent::HandedOver { to }))
    }

    fn damage(&self) -> Step<(), Self> {
        applying(ParcelEvent::Damaged)
    }

    fn give_up(&self, reason: String) -> Step<(), Self> {
        goto(to::Lost).applying(ParcelEvent::GivenUp { reason })
    }

    fn take_back(&self) -> Step<(), Self> {
        goto(to::Travelling)
    }

    fn stops(&self) -> usize {
        self.stops.len()
    }

    fn price(&self) -> u32 {
        100 + self.grams / 10
    }
}

/// What can be asked of a parcel.
#[derive(Debug, Clone, PartialEq)]
pub enum ParcelCommand {
    Weigh { grams: u32 },
    Address { address: String },
    Stamp { cents: u32 },
    PickUp { by: String },
    Arrive { place: String },
    Redirect { address: String, reason: Option<String> },
    Ring,
    HandOver { to: String },
    Damage,
    GiveUp { reason: String },
}

impl Command<Parcel> for ParcelCommand {
    fn name(&self) -> &'static str {
        match self {
            Self::Weigh { .. } => "weigh",
            Self::Address { .. } => "address",
            Self::Stamp { .. } => "stamp",
            Self::PickUp { .. } => "pick_up",
            Self::Arrive { .. } => "arrive",
            Self::Redirect { .. } => "redirect",
            Self::Ring => "ring",
            Self::HandOver { .. } => "hand_over",
            Self::Damage => "damage",
            Self::GiveUp { .. } => "give_up",
        }
    }

    fn handle(self, data: &Parcel, cx: &Context<Parcel>) -> Decision<(), Refused, Parcel> {
        use ParcelState::{AtDoor, Packed, Stamped, Travelling};

        match (self, cx.state()) {
            (Self::Weigh { grams }, Packed) => unnamed(data.weigh(grams)),
            (Self::Address { address }, Packed) => unnamed(data.address(address)),
            (Self::Stamp { cents }, Packed) => unnamed(data.stamp(cents)),
            (Self::PickUp { by }, Stamped) => unnamed(data.pick_up(by)),
            (Self::Arrive { place }, Travelling) => unnamed(data.arrive(place)),
            (Self::Redirect { address, reason }, Stamped) => unnamed(data.redirect(address, reason)),
            (Self::Redirect { address, reason }, Travelling | AtDoor) => unnamed(data.turn(address, reason)),
            (Self::Ring, Travelling | AtDoor) => unnamed(data.ring()),
            (Self::HandOver { to }, AtDoor) => unnamed(data.hand_over(to)),
            (Self::Damage, Packed | Stamped | Travelling | AtDoor) => unnamed(data.damage()),
            (Self::GiveUp { reason }, Stamped | Travelling | AtDoor) => unnamed(data.give_up(reason)),
            _ => Decision::NotAccepted,
        }
    }
}

/// The handle of one parcel.
#[derive(Debug, Clone)]
pub struct ParcelRef(EntityRef<Parcel>);

impl From<EntityRef<Parcel>> for ParcelRef {
    fn from(entity: EntityRef<Parcel>) -> Self {
        Self(entity)
    }
}

impl ParcelRef {
    /// The entity's id.
    pub fn id(&self) -> &EntityId {
        self.0.id()
    }

    /// Sends a command that is given as data; tells whether it was refused.
    pub fn send(&self, command: ParcelCommand) -> Call<(), Refused> {
        self.0.send(command)
    }

    /// The state.
    pub fn state(&self) -> Call<ParcelState, Never> {
        state(&self.0)
    }

    /// The commands that are accepted right now.
    pub fn accepts(&self) -> Call<Vec<&'static str>, Never> {
        accepts(&self.0)
    }

    /// Says how heavy it is.
    pub fn weigh(&self, grams: u32) -> Call<(), Never> {
        dispatch(&self.0, "weigh", move |data, cx| match cx.state() {
            ParcelState::Packed => decided(data.weigh(grams)),
            _ => Decision::NotAccepted,
        })
    }

    /// Says where it goes.
    pub fn address(&self, address: String) -> Call<(), Never> {
        dispatch(&self.0, "address", move |data, cx| match cx.state() {
            ParcelState::Packed => decided(data.address(address)),
            _ => Decision::NotAccepted,
        })
    }

    /// Pays for it; replies with what was paid too much.
    pub fn stamp(&self, cents: u32) -> Call<u32, Refusal> {
        dispatch(&self.0, "stamp", move |data, cx| match cx.state() {
            ParcelState::Packed => decided(data.stamp(cents)),
            _ => Decision::NotAccepted,
        })
    }

    /// Somebody takes it along.
    pub fn pick_up(&self, by: String) -> Call<(), Never> {
        dispatch(&self.0, "pick_up", move |data, cx| match cx.state() {
            ParcelState::Stamped => decided(data.pick_up(by)),
            _ => Decision::NotAccepted,
        })
    }

    /// It is somewhere else; replies with the number of places.
    pub fn arrive(&self, place: String) -> Call<usize, Never> {
        dispatch(&self.0, "arrive", move |data, cx| match cx.state() {
            ParcelState::Travelling => decided(data.arrive(place)),
            _ => Decision::NotAccepted,
        })
    }

    /// Sends it elsewhere.
    pub fn redirect(&self, address: String, reason: Option<String>) -> Call<(), Never> {
        dispatch(&self.0, "redirect", move |data, cx| match cx.state() {
            ParcelState::Stamped => decided(data.redirect(address, reason)),
            ParcelState::Travelling | ParcelState::AtDoor => decided(data.turn(address, reason)),
            _ => Decision::NotAccepted,
        })
    }

    /// Rings at the door, as often as is needed.
    pub fn ring(&self) -> Call<(), Never> {
        dispatch(&self.0, "ring", move |data, cx| match cx.state() {
            ParcelState::Travelling | ParcelState::AtDoor => decided(data.ring()),
            _ => Decision::NotAccepted,
        })
    }

    /// Gives it to whom it belongs.
    pub fn hand_over(&self, to: String) -> Call<(), Refusal> {
        dispatch(&self.0, "hand_over", move |data, cx| match cx.state() {
            ParcelState::AtDoor => decided(data.hand_over(to)),
            _ => Decision::NotAccepted,
        })
    }

    /// It fell.
    pub fn damage(&self) -> Call<(), Never> {
        dispatch(&self.0, "damage", move |data, cx| match cx.state() {
            ParcelState::Delivered | ParcelState::Lost => Decision::NotAccepted,
            _ => decided(data.damage()),
        })
    }

    /// Nobody knows where it is.
    pub fn give_up(&self, reason: String) -> Call<(), Never> {
        dispatch(&self.0, "give_up", move |data, cx| match cx.state() {
            ParcelState::Stamped | ParcelState::Travelling | ParcelState::AtDoor => decided(data.give_up(reason)),
            _ => Decision::NotAccepted,
        })
    }

    /// The number of places where it was.
    pub fn stops(&self) -> Call<usize, Never> {
        query(&self.0, "stops", Parcel::stops)
    }
}
