//! A parcel on its way, as somebody writes it who uses the macros.

use annals::prelude::*;

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

#[fsm(states(initial Packed, Stamped, Travelling, AtDoor, terminal Delivered, terminal Lost))]
impl Parcel {
    #[event]
    fn weighed(&mut self, grams: u32) {
        self.grams = grams;
    }

    #[event]
    fn addressed(&mut self, address: String) {
        self.address = address;
    }

    #[event]
    fn stamped(&mut self, cents: u32) {
        self.cents += cents;
    }

    #[event]
    fn picked_up(&mut self, by: String) {
        self.carrier = Some(by);
    }

    #[event]
    fn arrived(&mut self, place: String) {
        self.stops.push(place);
    }

    #[event]
    fn redirected(&mut self, address: String, reason: Option<String>) {
        self.address = address;
        self.stops.extend(reason);
    }

    #[event]
    fn rung(&mut self) {
        self.rings += 1;
    }

    #[event]
    fn handed_over(&mut self, to: String) {
        self.ended = Some(to);
    }

    #[event]
    fn damaged(&mut self) {
        self.is_damaged = true;
    }

    #[event]
    fn given_up(&mut self, reason: String) {
        self.ended = Some(reason);
    }

    /// Says how heavy it is.
    #[on(Packed => stay)]
    fn weigh(&self, grams: u32) -> Step {
        applying(ParcelEvent::Weighed { grams })
    }

    /// Says where it goes.
    #[on(Packed => stay)]
    fn address(&self, address: String) -> Step {
        applying(ParcelEvent::Addressed { address })
    }

    /// Pays for it; replies with what was paid too much.
    #[on(Packed => Stamped)]
    fn stamp(&self, cents: u32) -> Result<Step<u32>, Refusal> {
        if self.address.is_empty() {
            return Err(Refusal::NoAddress);
        }
        match cents.checked_sub(self.price()) {
            Some(rest) => Ok(goto(Stamped).applying(ParcelEvent::Stamped { cents }).replying(rest)),
            None => Err(Refusal::TooCheap { missing: self.price() - cents }),
        }
    }

    /// Somebody takes it along.
    #[on(Stamped => Travelling)]
    fn pick_up(&self, by: String) -> Step {
        goto(Travelling).applying(ParcelEvent::PickedUp { by })
    }

    /// It is somewhere else; replies with the number of places.
    #[on(Travelling => stay)]
    fn arrive(&self, place: String) -> Step<usize> {
        applying(ParcelEvent::Arrived { place }).replying_with(Self::stops)
    }

    /// Sends it elsewhere.
    #[on(Stamped => stay)]
    fn redirect(&self, address: String, reason: Option<String>) -> Step {
        applying(ParcelEvent::Redirected { address, reason })
    }

    /// Sends it elsewhere when it is on its way.
    #[on(Travelling | AtDoor => Travelling, command = redirect)]
    fn turn(&self, address: String, reason: Option<String>) -> Step {
        goto(Travelling).applying(ParcelEvent::Redirected { address, reason })
    }

    /// Rings at the door, as often as is needed.
    #[on(Travelling | AtDoor => AtDoor)]
    fn ring(&self) -> Step {
        goto(AtDoor).applying(ParcelEvent::Rung)
    }

    /// Gives it to whom it belongs.
    #[on(AtDoor => Delivered)]
    fn hand_over(&self, to: String) -> Result<Step, Refusal> {
        if !self.address.starts_with(&to) {
            return Err(Refusal::Stranger);
        }
        Ok(goto(Delivered).applying(ParcelEvent::HandedOver { to }))
    }

    /// It fell.
    #[on(Packed | Stamped | Travelling | AtDoor => stay)]
    fn damage(&self) -> Step {
        applying(ParcelEvent::Damaged)
    }

    /// Nobody knows where it is.
    #[on(Stamped | Travelling | AtDoor => Lost)]
    fn give_up(&self, reason: String) -> Step {
        goto(Lost).applying(ParcelEvent::GivenUp { reason })
    }

    /// Nobody opens.
    #[after(3d, AtDoor => Travelling)]
    fn take_back(&self) -> Step {
        goto(Travelling)
    }

    #[query]
    fn stops(&self) -> usize {
        self.stops.len()
    }

    fn price(&self) -> u32 {
        100 + self.grams / 10
    }
}
