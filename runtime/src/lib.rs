//! annals: typed, persistent state machines.

mod aggregate;
mod call;
mod clock;
mod codec;
mod effects;
mod entity_ref;
mod event;
mod id;
pub mod journal;
mod message;
mod step;

pub use annals_macros::{Event, aggregate, command, event, query};

pub use aggregate::{Aggregate, Command, Context, Handler};
pub use call::{Call, CallError, NotStored, Tell, Unknown};
pub use clock::{Clock, SystemClock};
pub use codec::{Codec, DecodeError, EncodeError, Payload};
pub use effects::Effects;
pub use entity_ref::EntityRef;
pub use event::{Event, EventList, EventVariant, EventsOf};
pub use id::{EntityId, InvalidId, Offset, PersistenceId, SeqNr, StreamNo};
pub use jiff::Timestamp;
pub use step::{HandlerReturn, Refused, Step, applying, stay};

/// What a module with an aggregate needs, and serde's derives for its data.
pub mod prelude {
    pub use serde::{Deserialize, Serialize};

    pub use crate::{
        Aggregate, Call, CallError, Context, Effects, EntityId, Event, Step, aggregate, applying, command, event,
        query, stay,
    };
}

/// What generated code names. Not for use by hand: it changes without notice.
#[doc(hidden)]
pub mod __rt {
    pub use crate::entity_ref::{call, query};
    pub use crate::event::{no_upcast, upcast};
    pub use crate::step::unnamed;
    pub use serde;
    pub use std::convert::Infallible;
    pub use std::option::Option::{self, None, Some};
    pub use std::primitive::{str, u32, usize};
    pub use std::result::Result::{self, Err, Ok};
}
