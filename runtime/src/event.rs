//! Events: what an aggregate stores, and how a step takes them.

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Handler};
use crate::codec::{DecodeError, Payload};

/// A fact in the past tense; stored for ever; the only thing that changes data.
///
/// Derive it: `#[derive(Event)]` on an enum that also derives serde's `Serialize` and `Deserialize`. The enum that
/// `#[aggregate]` generates uses the same derive.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event enum",
    label = "not an event enum",
    note = "write `#[derive(annals::Event)]` on `{Self}`"
)]
pub trait Event: Serialize + for<'de> Deserialize<'de> + Send + 'static {
    /// The variants in declaration order: `VARIANTS[n]` describes what serde calls variant `n`.
    const VARIANTS: &'static [EventVariant];

    /// Makes an event from a payload that was stored under an older version of a variant.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the payload doesn't fit, or if there is no upcast from that version.
    fn upcast(variant: usize, version: u32, payload: Payload<'_>) -> Result<Self, DecodeError>;
}

/// What can be a field of the stored event `E`: anything that serde can write and read.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be stored in the journal, because serde doesn't know it",
    label = "a field of `{E}`, which is stored in the journal",
    note = "derive serde's `Serialize` and `Deserialize` for `{Self}`, or say with `#[serde(with = ..)]` how it is stored"
)]
pub trait StoredIn<E> {}

#[diagnostic::do_not_recommend]
impl<E, T: Serialize + for<'de> Deserialize<'de>> StoredIn<E> for T {}

/// Asserts that a field can be stored.
#[doc(hidden)]
pub const fn stored_in<E, T: StoredIn<E>>() {}

/// The stored name and the version of one variant of an event enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventVariant {
    /// The name in the journal.
    pub name: &'static str,
    /// Older names under which it may be stored.
    pub was: &'static [&'static str],
    /// The version that is written.
    pub version: u32,
    /// Since when it is read and changes nothing, if so. It isn't applied any more, neither live nor in a replay.
    pub ignored_since: Option<&'static str>,
    /// What its fields are called and how their types are written, in the order of their declaration; `0`, `1`, .. where
    /// they have no names.
    pub fields: &'static [Field],
}

/// A field of an event, or of the data in a snapshot, as it is written in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Field {
    /// Its name in the code. For the data in a snapshot that is an enum: the variant's name, a dot, and the field's name;
    /// the variant's name alone if it has no fields.
    pub name: &'static str,
    /// Its type as it is written, however its lines are broken; nothing where there is no field.
    pub ty: &'static str,
}

/// Finds the variant that is stored as `name`, under its name or an older one.
pub(crate) fn variant_named<E: Event>(name: &str) -> Option<usize> {
    E::VARIANTS.iter().position(|variant| variant.name == name || variant.was.contains(&name))
}

/// An older shape of a variant that can become `T`: the next shape, or the event.
///
/// It stands between generated code and `From` to say what is missing.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't become `{T}`",
    label = "what was stored in this shape must become `{T}`",
    note = "write `impl From<{Self}> for {T}`"
)]
pub trait UpcastTo<T> {
    fn upcast_to(self) -> T;
}

#[diagnostic::do_not_recommend]
impl<S, T: From<S>> UpcastTo<T> for S {
    fn upcast_to(self) -> T {
        self.into()
    }
}

/// Takes an older shape one version further.
#[doc(hidden)]
pub fn upcast<S: UpcastTo<T>, T>(shape: S) -> T {
    shape.upcast_to()
}

/// The error for a version from which there is no upcast.
#[doc(hidden)]
pub fn no_upcast<E: Event>(variant: usize, version: u32) -> DecodeError {
    let name = E::VARIANTS.get(variant).map_or("", |variant| variant.name).to_owned();
    DecodeError::NoUpcast { name, version }
}

/// What [`applying`](crate::applying) accepts: an event of `A`, or an array, a `Vec` or an `Option` of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event of `{A}`",
    label = "expected an event of `{A}`, or an array, a `Vec` or an `Option` of them"
)]
pub trait EventsOf<A: Handler> {
    /// Hands the events over, in order.
    fn push_to(self, events: &mut EventList<<A::Aggregate as Aggregate>::Event>);
}

impl<A: Aggregate, const N: usize> EventsOf<A> for [A::Event; N] {
    fn push_to(self, events: &mut EventList<A::Event>) {
        self.into_iter().for_each(|event| events.push(event));
    }
}

impl<A: Aggregate> EventsOf<A> for Vec<A::Event> {
    fn push_to(self, events: &mut EventList<A::Event>) {
        self.into_iter().for_each(|event| events.push(event));
    }
}

impl<A: Aggregate> EventsOf<A> for Option<A::Event> {
    fn push_to(self, events: &mut EventList<A::Event>) {
        self.into_iter().for_each(|event| events.push(event));
    }
}

/// The events of one step, in order. One event, the usual case, takes no allocation.
#[derive(Debug, Clone, PartialEq)]
pub struct EventList<E>(List<E>);

#[derive(Debug, Clone, PartialEq)]
enum List<E> {
    Empty,
    One(E),
    Many(Vec<E>),
}

impl<E> EventList<E> {
    pub(crate) const fn new() -> Self {
        Self(List::Empty)
    }

    /// Adds an event after the others.
    pub fn push(&mut self, event: E) {
        self.0 = match std::mem::replace(&mut self.0, List::Empty) {
            List::Empty => List::One(event),
            List::One(first) => List::Many(vec![first, event]),
            List::Many(mut events) => {
                events.push(event);
                List::Many(events)
            }
        };
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.0, List::Empty)
    }

    pub(crate) fn as_slice(&self) -> &[E] {
        match &self.0 {
            List::Empty => &[],
            List::One(event) => std::slice::from_ref(event),
            List::Many(events) => events,
        }
    }
}

impl<E> IntoIterator for EventList<E> {
    type Item = E;
    type IntoIter = std::iter::Chain<std::option::IntoIter<E>, std::vec::IntoIter<E>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self.0 {
            List::Empty => (None, Vec::new()),
            List::One(event) => (Some(event), Vec::new()),
            List::Many(events) => (None, events),
        };
        one.into_iter().chain(many)
    }
}
