//! Locks, atomics and threads. They are the standard library's; where annals is built to have its interleavings tried,
//! with `cfg(shuttle)`, they are those of a scheduler that decides at each of them who goes on.

#[cfg(not(shuttle))]
pub(crate) use std::sync::*;
#[cfg(all(not(shuttle), feature = "fjall"))]
pub(crate) use std::thread;

#[cfg(shuttle)]
pub(crate) use shuttle::{sync::*, thread};
#[cfg(shuttle)]
pub(crate) use std::sync::OnceLock;
