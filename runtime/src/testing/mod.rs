//! The test kit: aggregates without a runtime, a clock that stands still, a journal that fails when it is told to.

mod bench;
mod clock;
// It waits for threads of its own, which no scheduler knows.
#[cfg(not(shuttle))]
pub mod conformance;
mod schema;

pub use bench::{Bench, Then, given};
pub use clock::ManualClock;
pub(crate) use schema::samples;
pub use schema::{Schema, SchemaChanges, SchemaError, assert_schema};

pub use crate::journal::{Appended, MemoryFaults, UnknownRun};
