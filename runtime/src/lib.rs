//! Typed, persistent entities: one annotated `impl` block becomes commands, events and a typed reference, and a tokio
//! runtime keeps the result in an embedded journal. Nothing is observable before it is durable.
//!
//! ```
//! use annals::prelude::*;
//!
//! /// A bank account, in cents.
//! #[derive(Debug, Default, Serialize, Deserialize)]
//! pub struct Account {
//!     balance: u64,
//! }
//!
//! #[aggregate]
//! impl Account {
//!     #[event]
//!     fn deposited(&mut self, amount: u64) {
//!         self.balance += amount;
//!     }
//!
//!     /// Pays `amount` in; replies with the new balance.
//!     #[command]
//!     fn deposit(&self, amount: u64) -> Step<u64> {
//!         applying(AccountEvent::Deposited { amount }).replying_with(Self::balance)
//!     }
//!
//!     #[query]
//!     fn balance(&self) -> u64 {
//!         self.balance
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let system = System::builder().start(annals::journal::MemoryJournal::new())?;
//! # /*
//! let system = System::open("data").await?;
//! # */
//! let alice = system.get::<Account>("alice");
//! assert_eq!(alice.deposit(100).await?, 100);
//! # system.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! - What to write in the block, and every key of it: [`macro@aggregate`], [`macro@fsm`], [`macro@Event`],
//!   [`macro@Snapshot`].
//! - What a handler returns: [`Step`], begun with [`applying`] or [`stay`]; what it may know: [`Context`].
//! - What a caller holds and gets: [`Call`], [`CallError`].
//! - What runs it: [`System`], set up with [`Builder`]; what keeps it: [`journal`].
//! - How to test it without any of that: `annals::testing`, with the feature `testing`.
//!
//! # Features
//!
//! - `fjall`, on by default: `FjallJournal` and `System::open`.
//! - `cli`: the program `annals`, which verifies, shows, repairs, exports and imports stores.
//! - `testing`: the test kit, for `[dev-dependencies]`.

// Where interleavings are tried, these sources are built without their own tests.
#![cfg(not(all(test, shuttle)))]

mod aggregate;
mod alarm;
mod answer;
mod call;
mod clock;
mod codec;
mod contain;
mod disk;
mod effects;
mod entity_ref;
mod event;
mod execute;
mod graph;
mod id;
pub mod journal;
mod key;
mod log;
mod message;
mod oneshot;
mod slots;
pub mod snapshot;
mod state;
mod step;
mod sync;
mod system;
#[cfg(feature = "testing")]
pub mod testing;
mod verify;

pub use annals_macros::{Event, Snapshot, after, aggregate, command, enter, event, exit, fsm, on, query, reject};

pub use aggregate::{Aggregate, Command, Context, Handler};
pub use call::{Call, CallError, Never, NotStored, Tell, Unknown};
pub use clock::{Clock, SystemClock};
pub use codec::{Codec, DecodeError, EncodeError, Payload};
pub use contain::panics_are_contained;
pub use effects::Effects;
pub use entity_ref::EntityRef;
pub use event::{Event, EventList, EventVariant, EventsOf, Field};
pub use graph::{By, Coverage, Edge, Graph, Path, Paths, StateInfo, StateKind, Trigger, Undeclared};
pub use id::{EntityId, InvalidId, Offset, PersistenceId, SeqNr, StreamNo};
pub use jiff::Timestamp;
pub use journal::Durability;
pub use key::{Key, Repeatable};
pub use snapshot::Snapshot;
pub use state::{Hooks, Limits, Machine, State, Stays, TargetOf};
pub use step::{Decision, HandlerReturn, Refused, Step, applying, goto, stay};
#[cfg(feature = "fjall")]
pub use system::OpenError;
pub use system::{
    Builder, DeleteError, Deleted, ForgetError, Happened, Past, Quarantined, ReadMark, ReaderError, Replay,
    ReplayError, ReplayStep, Retried, ShutdownError, StartError, Stats, Steps, System, Transition, TransitionError,
    Transitions, Trouble,
};

/// What a module with an aggregate needs, and serde's derives for its data.
pub mod prelude {
    pub use serde::{Deserialize, Serialize};

    pub use crate::{
        Aggregate, Call, CallError, Context, Effects, EntityId, Event, Key, Snapshot, Step, System, after, aggregate,
        applying, command, enter, event, exit, fsm, goto, on, query, reject, stay,
    };
}

/// What generated code names. Not for use by hand: it changes without notice.
#[doc(hidden)]
pub mod __rt {
    pub use crate::call::Never;
    pub use crate::entity_ref::{accepts, call, dispatch, query, snapshot, state};
    pub use crate::event::{no_upcast, stored_in, upcast};
    pub use crate::snapshot::equality::{Equality, Incomparable};
    pub use crate::snapshot::no_snapshot_upcast;
    pub use crate::step::{decided, elapsed, ignored, not_accepted, unnamed};
    pub use serde;
    pub use std::option::Option::{self, None, Some};
    pub use std::primitive::{bool, str, u32, usize};
    pub use std::result::Result::{self, Err, Ok};
    pub use std::time::Duration;
    pub use std::vec::Vec;
}

#[cfg(all(doctest, feature = "fjall", feature = "testing"))]
#[doc = include_str!("../../README.md")]
struct Readme;
