//! Faults of the writer, for the tests of this folder.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

/// What happens at the next commit.
#[derive(Debug)]
pub(super) struct Faults {
    commit: AtomicU8,
    fold: AtomicBool,
    /// How many steps of removal are still taken before the journal is closed.
    removal_steps: AtomicUsize,
}

impl Default for Faults {
    fn default() -> Self {
        let removal_steps = AtomicUsize::new(usize::MAX);
        Self { commit: AtomicU8::default(), fold: AtomicBool::default(), removal_steps }
    }
}

impl Faults {
    /// Takes so many more steps of removal, and none then until the journal is closed.
    pub(super) fn stop_removal_after(&self, steps: usize) {
        self.removal_steps.store(steps, Ordering::SeqCst);
    }

    /// Whether there is a step left.
    pub(super) fn may_remove(&self) -> bool {
        self.removal_steps.load(Ordering::SeqCst) > 0
    }

    pub(super) fn take_removal_step(&self) {
        let steps = self.removal_steps.load(Ordering::SeqCst);
        self.removal_steps.store(steps.saturating_sub(1), Ordering::SeqCst);
    }

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

impl super::FjallJournal {
    pub(in crate::journal) fn stop_removal_after(&self, steps: usize) {
        self.shared.faults.stop_removal_after(steps);
    }
}
