//! Faults of the writer, for the tests of this folder.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

const ASKED_FOR: &str = "a fault that was asked for";

/// What happens at the next commit.
#[derive(Debug)]
pub(super) struct Faults {
    commit: AtomicU8,
    fold: AtomicBool,
    destroying: AtomicU8,
    /// How many steps of removal are still taken before the journal is closed.
    removal_steps: AtomicUsize,
    /// Whether the last group was stored with a sync.
    synced: AtomicBool,
}

thread_local! {
    static STOP_REMOVAL: Cell<bool> = const { Cell::new(false) };
}

/// Whether the removal of rows doesn't begin in journals that this thread opens from now on.
pub(super) fn stop_removal_at_opening(stop: bool) {
    STOP_REMOVAL.set(stop);
}

impl Default for Faults {
    fn default() -> Self {
        let removal_steps = AtomicUsize::new(if STOP_REMOVAL.get() { 0 } else { usize::MAX });
        Self {
            commit: AtomicU8::default(),
            fold: AtomicBool::default(),
            destroying: AtomicU8::default(),
            removal_steps,
            synced: AtomicBool::default(),
        }
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

    /// Fails before the next key is destroyed, or behind that.
    pub(super) fn fail_destroying(&self, behind: bool) {
        self.destroying.store(if behind { 2 } else { 1 }, Ordering::SeqCst);
    }

    pub(super) fn before_destroying(&self) -> Result<(), &'static str> {
        self.destroying.compare_exchange(1, 0, Ordering::SeqCst, Ordering::SeqCst).map_or(Ok(()), |_| Err(ASKED_FOR))
    }

    pub(super) fn after_destroying(&self) -> Result<(), &'static str> {
        self.destroying.compare_exchange(2, 0, Ordering::SeqCst, Ordering::SeqCst).map_or(Ok(()), |_| Err(ASKED_FOR))
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

    /// Whether the last group was stored with a sync.
    pub(super) fn was_synced(&self) -> bool {
        self.synced.load(Ordering::SeqCst)
    }

    pub(super) fn before_commit(&self, synced: bool) -> Result<(), &'static str> {
        self.synced.store(synced, Ordering::SeqCst);
        match self.commit.swap(0, Ordering::SeqCst) {
            1 => Err(ASKED_FOR),
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

#[cfg(shuttle)]
impl super::FjallJournal {
    /// Lets the next commit fail.
    pub fn fail_next_commit(&self) {
        self.shared.faults.fail_next_commit();
    }
}
