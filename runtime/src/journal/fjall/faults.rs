//! Faults of the writer, for the tests of this folder.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use crate::journal::lock;
use crate::sync::{Condvar, Mutex, PoisonError};

const ASKED_FOR: &str = "a fault that was asked for";

/// Where the writer can be held, or who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Where somebody who reads everything has looked up a floor, and not yet the run.
    Reading,
    /// Before it is looked how much space there is.
    Looking,
    /// Before new keys are stored.
    StoringKeys,
    /// Before the engine has a group.
    BeforeCommit,
    /// When it is durable, and nobody knows.
    BehindCommit,
    /// Before keys are destroyed.
    Destroying,
    /// Before rows are removed.
    Removing,
    /// Before the head is marked as clean.
    Closing,
}

#[derive(Debug, Default)]
struct Gates {
    held: Option<Gate>,
    /// Whether the writer stands there.
    arrived: bool,
}

/// What happens at the next commit.
#[derive(Debug)]
pub(super) struct Faults {
    gates: Mutex<Gates>,
    gates_changed: Condvar,
    commit: AtomicU8,
    fold: AtomicBool,
    slot_old: AtomicBool,
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
            gates: Mutex::default(),
            gates_changed: Condvar::new(),
            commit: AtomicU8::default(),
            fold: AtomicBool::default(),
            slot_old: AtomicBool::default(),
            destroying: AtomicU8::default(),
            removal_steps,
            synced: AtomicBool::default(),
        }
    }
}

impl Faults {
    /// Has the writer stand still when it comes there.
    pub(super) fn hold(&self, gate: Gate) {
        *lock(&self.gates) = Gates { held: Some(gate), arrived: false };
    }

    /// Lets it go on.
    pub(super) fn release(&self) {
        lock(&self.gates).held = None;
        self.gates_changed.notify_all();
    }

    /// Waits until it stands there.
    pub(super) fn wait_for_arrival(&self) {
        let mut gates = lock(&self.gates);
        while !gates.arrived {
            gates = self.gates_changed.wait(gates).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn pass(&self, gate: Gate) {
        let mut gates = lock(&self.gates);
        while gates.held == Some(gate) {
            gates.arrived = true;
            self.gates_changed.notify_all();
            gates = self.gates_changed.wait(gates).unwrap_or_else(PoisonError::into_inner);
        }
    }

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

    /// Has the older slot of the head be too old from now on.
    pub(super) fn age_slots(&self) {
        self.slot_old.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_slot_old(&self) -> bool {
        self.slot_old.load(Ordering::SeqCst)
    }

    /// Whether the last group was stored with a sync.
    pub(super) fn was_synced(&self) -> bool {
        self.synced.load(Ordering::SeqCst)
    }

    pub(super) fn before_commit(&self, synced: bool) -> Result<(), &'static str> {
        self.synced.store(synced, Ordering::SeqCst);
        self.pass(Gate::BeforeCommit);
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
