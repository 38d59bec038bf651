//! Faults on demand, for tests of what stands above a journal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::memory::{MemoryJournal, Store};
use super::oneshot::lock;
use super::{ReadError, Why};

/// Controls a [`MemoryJournal`] from a test, across all of its handles.
#[derive(Clone)]
pub struct MemoryFaults {
    store: Arc<Mutex<Store>>,
}

/// How much was appended to a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Groups that have reached the store, refused ones included.
    pub groups: u64,
    /// Runs in these groups.
    pub runs: u64,
}

/// What became of runs whose outcome is [`Outcome::Unknown`](super::Outcome::Unknown).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownRun {
    /// They are stored.
    Stored,
    /// They are not.
    Lost,
}

#[derive(Debug)]
pub(super) enum Fault {
    Fail(UnknownRun),
    Refuse(Why),
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) holding: bool,
    appended: Appended,
    /// By the number of the group, counted from 1.
    planned: BTreeMap<u64, Fault>,
    read: Option<ReadError>,
}

impl Faults {
    /// Counts a group of so many runs, and says which fault it meets.
    pub(super) fn append(&mut self, runs: usize) -> Option<Fault> {
        self.appended.groups += 1;
        self.appended.runs += super::bytes::len_u64(runs);
        self.planned.remove(&self.appended.groups)
    }

    pub(super) fn read(&self) -> Result<(), ReadError> {
        self.read.clone().map_or(Ok(()), Err)
    }
}

impl MemoryJournal {
    /// The handle that makes this journal fail.
    pub fn faults(&self) -> MemoryFaults {
        MemoryFaults { store: Arc::clone(&self.store) }
    }
}

impl MemoryFaults {
    /// Makes the next group fail: its outcomes are unknown, and the journal takes no more writes until it is opened
    /// again.
    pub fn fail_next(&self, unknown: UnknownRun) {
        self.fail_nth(1, unknown);
    }

    /// Makes a later group fail as [`MemoryFaults::fail_next`] does; 1 is the next, and groups that are held count.
    pub fn fail_nth(&self, nth: u64, unknown: UnknownRun) {
        self.plan(nth, Fault::Fail(unknown));
    }

    /// Refuses the next group, once.
    pub fn refuse_next(&self, why: Why) {
        self.refuse_nth(1, why);
    }

    /// Refuses a later group, once; 1 is the next, and groups that are held count.
    pub fn refuse_nth(&self, nth: u64, why: Why) {
        self.plan(nth, Fault::Refuse(why));
    }

    fn plan(&self, nth: u64, fault: Fault) {
        let faults = &mut lock(&self.store).faults;
        faults.planned.insert(faults.appended.groups + nth, fault);
    }

    /// Makes every read fail, the opening of a stream included, until [`MemoryFaults::heal_reads`].
    pub fn fail_reads(&self, error: ReadError) {
        lock(&self.store).faults.read = Some(error);
    }

    /// Lets reads succeed again.
    pub fn heal_reads(&self) {
        lock(&self.store).faults.read = None;
    }

    /// Closes the gate: groups that come from now on wait.
    pub fn hold(&self) {
        lock(&self.store).faults.holding = true;
    }

    /// Opens the gate: what waits is stored, in order.
    pub fn release(&self) {
        lock(&self.store).faults.holding = false;
        while self.release_next() {}
    }

    /// Stores the group that has waited longest, and leaves the gate as it is; says whether there was one.
    pub fn release_next(&self) -> bool {
        let mut store = lock(&self.store);
        let step = store.step();
        let closed = store.finish_closing();
        // ORDER: told outside of the lock, since whoever waits may poll, and append, at once.
        drop(store);
        for (done, result) in closed {
            done.send(result);
        }
        match step {
            None => false,
            Some((done, outcomes)) => {
                done.send(outcomes);
                true
            }
        }
    }

    /// How many groups wait at the gate.
    pub fn held(&self) -> usize {
        lock(&self.store).held.len()
    }

    /// How much was appended, without what is held.
    pub fn appended(&self) -> Appended {
        lock(&self.store).faults.appended
    }
}

impl std::fmt::Debug for MemoryFaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryFaults").finish_non_exhaustive()
    }
}
