//! The test kit: aggregates without a runtime, a clock that stands still, a journal that fails when it is told to.

mod bench;
mod clock;

pub use bench::{Bench, Then, given};
pub use clock::ManualClock;

pub use crate::journal::{Appended, MemoryFaults, UnknownRun};
