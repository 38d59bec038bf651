//! The journals and the stores of snapshots that come with annals, and one from outside, do what the conformance cases
//! say; journals and stores that lie don't.

#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod journals;
mod liars;
mod outside;
mod runtimes;
mod snapshot_liars;
mod snapshots;
