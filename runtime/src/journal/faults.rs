//! Faults on demand, for tests of what stands above a journal.

use std::collections::{BTreeMap, VecDeque};

use super::lock;
use super::memory::{MemoryJournal, Store};
use super::run::Run;
use super::{CloseError, Facts, Fut, Health, Outcome, ReadError, Why};
use crate::id::{SeqNr, StreamNo};
use crate::oneshot::{Sender, oneshot};
use crate::sync::{Arc, Mutex};

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

/// What waits at the gate.
struct Held {
    facts: Facts,
    work: HeldWork,
}

enum HeldWork {
    Append { group: Vec<Run>, done: Sender<Vec<Outcome>> },
    Delete { stream: StreamNo, to: SeqNr, done: Sender<Outcome> },
}

#[derive(Default)]
pub(super) struct Faults {
    holding: bool,
    held: VecDeque<Held>,
    /// Those who wait for the journal to be closed; while there are any, nothing new is taken.
    closing: Vec<Sender<Result<(), CloseError>>>,
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

    /// Holds a group, or gives it back if nothing holds it.
    pub(super) fn hold(&mut self, facts: Facts, group: Vec<Run>) -> Result<Fut<'static, Vec<Outcome>>, Vec<Run>> {
        let runs = group.len();
        let closed = move || vec![Outcome::NotStored(Why::Closed); runs];
        if !self.closing.is_empty() {
            return Ok(Box::pin(std::future::ready(closed())));
        }
        if !self.is_holding() {
            return Err(group);
        }
        let (done, outcomes) = oneshot();
        self.held.push_back(Held { facts, work: HeldWork::Append { group, done } });
        Ok(Box::pin(async move { outcomes.await.unwrap_or_else(closed) }))
    }

    /// Holds a deletion, if it isn't to happen at once.
    pub(super) fn hold_deletion(&mut self, facts: Facts, stream: StreamNo, to: SeqNr) -> Option<Fut<'static, Outcome>> {
        let closed = || Outcome::NotStored(Why::Closed);
        if !self.closing.is_empty() {
            return Some(Box::pin(std::future::ready(closed())));
        }
        if !self.is_holding() {
            return None;
        }
        let (done, outcome) = oneshot();
        self.held.push_back(Held { facts, work: HeldWork::Delete { stream, to, done } });
        Some(Box::pin(async move { outcome.await.unwrap_or_else(closed) }))
    }

    fn is_holding(&self) -> bool {
        self.holding || !self.held.is_empty()
    }

    /// Waits until what is held is stored, if anything is.
    pub(super) fn wait_for_held(&mut self) -> Option<Fut<'static, Result<(), CloseError>>> {
        if self.held.is_empty() {
            return None;
        }
        let (done, closed) = oneshot();
        self.closing.push(done);
        Some(Box::pin(async move { closed.await.unwrap_or(Ok(())) }))
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

    /// Has the journal say that too little space is free: until [`MemoryFaults::free_storage`], all runs are refused with
    /// [`Why::StorageLow`], but for those that end their stream.
    pub fn fill_storage(&self) {
        self.storage(true);
    }

    /// Gives the space back.
    pub fn free_storage(&self) {
        self.storage(false);
    }

    fn storage(&self, is_low: bool) {
        let health = &mut lock(&self.store).health;
        if matches!(health, Health::Good | Health::StorageLow { .. }) {
            *health = if is_low { Health::StorageLow { free: 0, floor: 1 } } else { Health::Good };
        }
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

    /// Closes the gate: groups and deletions that come from now on wait.
    pub fn hold(&self) {
        lock(&self.store).faults.holding = true;
    }

    /// Opens the gate: what waits is stored, in order.
    pub fn release(&self) {
        lock(&self.store).faults.holding = false;
        while self.release_next() {}
    }

    /// Stores the group that has waited longest, or deletes what was to be deleted before it, and leaves the gate as it
    /// is; says whether there was one.
    pub fn release_next(&self) -> bool {
        let mut store = lock(&self.store);
        let Some(Held { facts, work }) = store.faults.held.pop_front() else {
            return false;
        };
        let answer: Box<dyn FnOnce()> = match work {
            HeldWork::Append { group, done } => {
                let outcomes = store.append(&facts, group);
                Box::new(move || done.tell(outcomes))
            }
            HeldWork::Delete { stream, to, done } => {
                let outcome = store.delete_to(&facts, stream, to);
                Box::new(move || done.tell(outcome))
            }
        };
        let last = store.faults.held.is_empty();
        let closing = if last { std::mem::take(&mut store.faults.closing) } else { Vec::new() };
        let closed = (!closing.is_empty()).then(|| store.close());
        let wakers = store.tell();
        // ORDER: told outside of the lock, since whoever waits may poll, and append, at once.
        drop(store);
        answer();
        wakers.wake();
        for (waiting, result) in closing.into_iter().zip(std::iter::repeat(closed.unwrap_or(Ok(())))) {
            waiting.tell(result);
        }
        true
    }

    /// How many groups and deletions wait at the gate.
    pub fn held(&self) -> usize {
        lock(&self.store).faults.held.len()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Offset, SeqNr, StreamNo};
    use crate::journal::suite::{append, id, is_pending, open, read, run, store};
    use crate::journal::{Fut, Journal, Outcome};
    use crate::oneshot::block_on;

    fn next(journal: &MemoryJournal, first: u64) -> Fut<'static, Vec<Outcome>> {
        let alice = open(journal, &id("alice"));
        journal.append(vec![run(journal, alice.stream, &id("alice"), first, &[b"x"])])
    }

    #[test]
    fn a_failure_leaves_the_run_stored_or_lost_and_ends_writing_until_reopened() {
        for (unknown, stored) in [(UnknownRun::Stored, 2), (UnknownRun::Lost, 1)] {
            let journal = MemoryJournal::new();
            journal.faults().fail_nth(2, unknown);
            assert_eq!(block_on(next(&journal, 1)), [Outcome::Stored(Offset(1))]);
            assert!(matches!(block_on(next(&journal, 2))[..], [Outcome::Unknown(_)]));
            assert!(matches!(journal.health(), Health::Failed(_)));
            assert!(matches!(block_on(next(&journal, 2))[..], [Outcome::NotStored(Why::Failed(_))]));
            assert!(matches!(block_on(journal.close()), Err(CloseError(_))));
            let journal = journal.reopen();
            assert_eq!(open(&journal, &id("alice")).last, SeqNr(stored));
            store(&journal, &id("alice"), &[b"y"]);
        }
    }

    #[test]
    fn an_older_handle_is_shut_out() {
        let old = MemoryJournal::new();
        store(&old, &id("alice"), &[b"x"]);
        let new = old.reopen();
        assert_eq!(block_on(next(&old, 2)), [Outcome::NotStored(Why::Fenced { epoch: 1 })]);
        assert!(matches!(old.health(), Health::Failed(_)));
        store(&new, &id("alice"), &[b"y"]);
        assert_eq!(read(&new, &id("alice")).unwrap().len(), 2);
    }

    #[test]
    fn a_refusal_happens_once() {
        let journal = MemoryJournal::new();
        journal.faults().refuse_next(Why::Failed("for once".into()));
        assert_eq!(block_on(next(&journal, 1)), [Outcome::NotStored(Why::Failed("for once".into()))]);
        assert_eq!(block_on(next(&journal, 1)), [Outcome::Stored(Offset(1))]);
    }

    #[test]
    fn what_is_refused_for_lack_of_space_is_taken_when_there_is_some() {
        let journal = MemoryJournal::new();
        store(&journal, &id("alice"), &[b"x"]);
        journal.faults().fill_storage();
        let low = Why::StorageLow { free: 0, floor: 1 };
        assert_eq!(block_on(next(&journal, 2)), [Outcome::NotStored(low)]);
        assert_eq!(journal.health(), Health::StorageLow { free: 0, floor: 1 });
        assert_eq!(read(&journal, &id("alice")).unwrap().len(), 1);
        let stream = open(&journal, &id("alice")).stream;
        assert!(matches!(block_on(journal.delete_to(stream, SeqNr(1))), Outcome::Stored(_)));
        journal.faults().free_storage();
        assert_eq!(journal.health(), Health::Good);
        assert_eq!(block_on(next(&journal, 2)), [Outcome::Stored(Offset(2))]);
        block_on(journal.close()).unwrap();
        journal.faults().fill_storage();
        assert_eq!(journal.health(), Health::Closed);
    }

    #[test]
    fn the_gate_holds_groups_and_lets_them_pass_in_order() {
        let journal = MemoryJournal::new();
        let faults = journal.faults();
        faults.hold();
        let mut waiting: Vec<_> = (1..=4).map(|first| next(&journal, first)).collect();
        assert!(waiting.iter_mut().all(is_pending));
        assert_eq!((faults.held(), journal.durable(), faults.appended().groups), (4, Offset(0), 0));
        assert!(faults.release_next());
        assert_eq!((faults.held(), journal.durable()), (3, Offset(1)));
        assert!(waiting[1..].iter_mut().all(is_pending));
        faults.release();
        for (future, offset) in waiting.into_iter().zip(1..) {
            assert_eq!(block_on(future), [Outcome::Stored(Offset(offset))]);
        }
        assert_eq!(append(&journal, vec![]), []);
        assert_eq!(faults.appended(), Appended { groups: 5, runs: 4 });
        assert!(!faults.release_next());
    }

    #[test]
    fn the_gate_holds_deletions_in_their_order() {
        let journal = MemoryJournal::new();
        store(&journal, &id("alice"), &[b"x"]);
        let faults = journal.faults();
        faults.hold();
        let stream = open(&journal, &id("alice")).stream;
        let mut first = journal.delete_to(stream, SeqNr(1));
        let stored = next(&journal, 2);
        let second = journal.delete_to(stream, SeqNr(2));
        assert!(is_pending(&mut first));
        assert_eq!((faults.held(), read(&journal, &id("alice")).unwrap().len()), (3, 1));
        assert!(faults.release_next());
        assert_eq!((block_on(first), read(&journal, &id("alice")).unwrap().len()), (Outcome::Stored(Offset(1)), 0));
        let closing = journal.close();
        assert_eq!(block_on(journal.delete_to(stream, SeqNr(1))), Outcome::NotStored(Why::Closed));
        faults.release();
        assert_eq!(
            (block_on(stored), block_on(second)),
            (vec![Outcome::Stored(Offset(2))], Outcome::Stored(Offset(2)))
        );
        assert_eq!(block_on(closing), Ok(()));
    }

    #[test]
    fn closing_waits_for_what_is_held_and_takes_nothing_new() {
        let journal = MemoryJournal::new();
        let faults = journal.faults();
        faults.hold();
        let held = next(&journal, 1);
        let closing = journal.close();
        assert_eq!(block_on(next(&journal, 2)), [Outcome::NotStored(Why::Closed)]);
        assert_eq!(journal.health(), Health::Good);
        faults.release();
        assert_eq!(block_on(closing), Ok(()));
        assert_eq!(block_on(held), [Outcome::Stored(Offset(1))]);
        assert_eq!(journal.health(), Health::Closed);
    }

    #[test]
    fn what_is_held_when_the_journal_is_opened_again_is_shut_out() {
        let old = MemoryJournal::new();
        old.faults().hold();
        let held = next(&old, 1);
        let _new = old.reopen();
        old.faults().release();
        assert_eq!(block_on(held), [Outcome::NotStored(Why::Fenced { epoch: 1 })]);
    }

    #[test]
    fn who_waits_hears_of_what_is_released_of_a_failure_and_of_being_shut_out() {
        let journal = MemoryJournal::new();
        journal.faults().hold();
        let (_held, mut waiting) = (next(&journal, 1), journal.changed(Offset(0)));
        assert!(is_pending(&mut waiting));
        journal.faults().release();
        assert_eq!(block_on(waiting), Offset(1));

        let mut waiting = journal.changed(Offset(1));
        assert!(is_pending(&mut waiting));
        journal.faults().fail_next(UnknownRun::Lost);
        let _unknown = next(&journal, 2);
        assert_eq!(block_on(waiting), Offset(1));
        assert_eq!(block_on(journal.changed(Offset(1))), Offset(1));

        let old = journal.reopen();
        let mut waiting = old.changed(Offset(1));
        assert!(is_pending(&mut waiting));
        let new = old.reopen();
        assert_eq!(block_on(waiting), Offset(1));
        assert!(is_pending(&mut new.changed(Offset(1))));
    }

    #[test]
    fn reads_fail_until_they_are_healed() {
        let journal = MemoryJournal::new();
        store(&journal, &id("alice"), &[b"x"]);
        journal.faults().fail_reads(ReadError::Closed);
        assert_eq!(read(&journal, &id("alice")), Err(ReadError::Closed));
        assert_eq!(block_on(journal.read_all(Offset(0), 1)), Err(ReadError::Closed));
        assert_eq!(block_on(journal.armed()), Err(ReadError::Closed));
        assert_eq!(block_on(journal.stream_id(StreamNo(1))), Err(ReadError::Closed));
        journal.faults().heal_reads();
        assert_eq!(read(&journal, &id("alice")).unwrap().len(), 1);
    }
}
