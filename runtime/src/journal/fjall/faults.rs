//! Faults of the writer, for the tests of this folder.

use std::sync::atomic::{AtomicU8, Ordering};

/// What happens at the next commit.
#[derive(Debug, Default)]
pub(super) struct Faults(AtomicU8);

impl Faults {
    pub(super) fn fail_next_commit(&self) {
        self.0.store(1, Ordering::SeqCst);
    }

    pub(super) fn panic_at_next_commit(&self) {
        self.0.store(2, Ordering::SeqCst);
    }

    pub(super) fn before_commit(&self) -> Result<(), &'static str> {
        match self.0.swap(0, Ordering::SeqCst) {
            1 => Err("a fault that was asked for"),
            2 => panic!("a panic that was asked for"),
            _ => Ok(()),
        }
    }
}
