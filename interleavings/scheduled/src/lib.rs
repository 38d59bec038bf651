//! As much of tokio as annals uses, where shuttle's scheduler decides who goes on: at each lock, each use of a channel,
//! each `.await`, and each atomic number that belongs to annals.
//!
//! Channels, semaphores and notifications are tokio's own, each use behind a [point](sync) at which another task may go
//! on first. Tasks, also those that block, are shuttle's. Time doesn't pass: see [`time`].

pub use tokio::{join, pin, select};

pub mod runtime;
pub mod sync;
pub mod task;
pub mod time;
