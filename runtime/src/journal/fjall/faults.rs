//! Faults of the writer, for the tests of this folder.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// What happens at the next commit.
#[derive(Debug, Default)]
pub(super) struct Faults {
    commit: AtomicU8,
    fold: AtomicBool,
}

impl Faults {
    pub(super) fn fail_next_commit(&self) {
        self.commit.store(1, Ordering::SeqCst);
    }

    pub(super) fn panic_at_next_commit(&self) {
        self.commit.store(2, Ordering::SeqCst);
    }

    /// Has the deadlines written down behind the next commit.
    pub(super) fn fold_behind_next_commit(&self) {
        self.fold.store(true, Ordering::SeqCst);
    }

    pub(super) fn fold_now(&self) -> bool {
        self.fold.swap(false, Ordering::SeqCst)
    }

    pub(super) fn before_commit(&self) -> Result<(), &'static str> {
        match self.commit.swap(0, Ordering::SeqCst) {
            1 => Err("a fault that was asked for"),
            2 => panic!("a panic that was asked for"),
            _ => Ok(()),
        }
    }
}
