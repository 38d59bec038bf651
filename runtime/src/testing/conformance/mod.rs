//! What every journal and every store of snapshots must do, as tests.

mod chance;
mod executor;
pub mod journal;
mod odd;
pub mod snapshots;
mod told;

pub use executor::block_on;
pub use told::Rule;
