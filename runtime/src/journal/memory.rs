//! A journal in memory, for tests: the same bytes, checks and order as on a disk.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use super::bytes::RUN_BYTES_MAX;
use super::changed::{Waiters, Wakers};
use super::due::Deadlines;
#[cfg(any(test, feature = "testing"))]
use super::faults::{Fault, Faults, UnknownRun};
use super::floor::Floor;
use super::lock;
use super::run::{Run, RunView};
use super::{
    Armed, CloseError, Corrupt, Durability, Facts, Fut, Health, Journal, Outcome, Page, Place, ReadError, StoredRun,
    StreamHead, Why,
};
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};
use crate::snapshot::{MemorySnapshots, SnapshotStore};
use crate::sync::{Arc, Mutex};

/// How many groups a caller may have in flight.
const GROUPS_IN_FLIGHT: usize = 4;

/// Keeps everything in memory. What it stores has the same bytes, limits and order as in a journal on a disk. Runs that are
/// wholly deleted give their bytes back at once.
///
/// Clones are handles on the same open journal. [`MemoryJournal::reopen`] is what a restart is for a journal on a disk.
/// Snapshots are kept in memory too, and are still there after it.
#[derive(Clone)]
pub struct MemoryJournal {
    facts: Facts,
    pub(super) store: Arc<Mutex<Store>>,
    /// Those who wait at this handle and its clones.
    waiters: Arc<Waiters>,
    snapshots: MemorySnapshots,
}

pub(super) struct Store {
    epoch: u64,
    pub(super) health: Health,
    streams: Vec<Stream>,
    numbers: HashMap<PersistenceId, StreamNo>,
    runs: Vec<Stored>,
    deadlines: Deadlines,
    /// Those who wait at the newest handle.
    waiters: Arc<Waiters>,
    #[cfg(any(test, feature = "testing"))]
    pub(super) faults: Faults,
}

struct Stream {
    id: PersistenceId,
    /// How often it is open.
    opened: u64,
    last: SeqNr,
    floor: Floor,
    /// Whether it was begun as one that can be forgotten.
    forgettable: bool,
    /// Indexes into `Store::runs`, without the runs that are wholly deleted.
    runs: Vec<usize>,
}

struct Stored {
    run: StoredRun,
    first: SeqNr,
    records: u64,
}

impl MemoryJournal {
    /// Makes an empty journal and opens it.
    pub fn new() -> Self {
        let waiters = Waiters::new(Offset(0));
        let store = Store {
            epoch: 1,
            health: Health::Good,
            streams: Vec::new(),
            numbers: HashMap::new(),
            runs: Vec::new(),
            deadlines: Deadlines::default(),
            waiters: Arc::clone(&waiters),
            #[cfg(any(test, feature = "testing"))]
            faults: Faults::default(),
        };
        let facts = Facts {
            store: RandomState::new().build_hasher().finish(),
            epoch: 1,
            run_bytes_max: RUN_BYTES_MAX,
            groups_in_flight: GROUPS_IN_FLIGHT,
            durability: Durability::Memory,
        };
        Self { facts, store: Arc::new(Mutex::new(store)), waiters, snapshots: MemorySnapshots::new() }
    }

    /// Opens the journal again, as after a restart: everything stored is there, a failed or closed journal is good
    /// again, and all older handles are shut out with [`Why::Fenced`].
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut store = lock(&self.store);
        store.epoch += 1;
        store.health = Health::Good;
        for stream in &mut store.streams {
            stream.opened = 0;
        }
        let facts = Facts { epoch: store.epoch, ..self.facts };
        let waiters = Waiters::new(store.durable());
        let before = std::mem::replace(&mut store.waiters, Arc::clone(&waiters));
        let wakers = before.tell(store.durable(), true);
        drop(store);
        wakers.wake();
        Self { facts, store: Arc::clone(&self.store), waiters, snapshots: self.snapshots.clone() }
    }

    fn health_in(&self, store: &Store) -> Health {
        if store.epoch == self.facts.epoch {
            store.health.clone()
        } else {
            Health::Failed(Why::Fenced { epoch: self.facts.epoch }.to_string().into())
        }
    }

    fn readable(&self, store: &Store) -> Result<(), ReadError> {
        #[cfg(any(test, feature = "testing"))]
        store.faults.read()?;
        match self.health_in(store) {
            Health::Closed => Err(ReadError::Closed),
            Health::Good | Health::StorageLow { .. } | Health::Failed(_) => Ok(()),
        }
    }

    fn open_stream_now(&self, id: &PersistenceId) -> Result<StreamHead, ReadError> {
        super::check_id(id)?;
        let mut store = lock(&self.store);
        self.readable(&store)?;
        let stream = store.numbers.get(id).copied().unwrap_or_else(|| {
            let (last, floor) = (SeqNr::ZERO, Floor::default());
            store.streams.push(Stream { id: id.clone(), opened: 0, last, floor, forgettable: false, runs: Vec::new() });
            let stream = StreamNo(super::bytes::len_u64(store.streams.len()));
            store.numbers.insert(id.clone(), stream);
            stream
        });
        let (last, floor) = store.stream_mut(stream).map_or((SeqNr::ZERO, Floor::default()), |stream| {
            stream.opened += 1;
            (stream.last, stream.floor)
        });
        Ok(StreamHead { stream, last, floor: floor.to, ended: floor.ended })
    }

    fn read_now(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Result<Page, ReadError> {
        let store = lock(&self.store);
        self.readable(&store)?;
        let Some(found) = store.stream(stream) else {
            return Ok(Page { runs: Vec::new(), more: false });
        };
        let of = |&index: &usize| &store.runs[index];
        let from = from.max(found.floor.to.next());
        if from > to {
            return Ok(Page { runs: Vec::new(), more: false });
        }
        let begin = found.runs.partition_point(|index| of(index).last() < from);
        let end = found.runs.partition_point(|index| of(index).first <= to);
        let runs = found.runs.get(begin..end).unwrap_or_default();
        self.page(&store, runs.iter().map(of), bytes_max)
    }

    fn armed_now(&self) -> Result<Vec<Armed>, ReadError> {
        let store = lock(&self.store);
        self.readable(&store)?;
        Ok(store.deadlines.clone().into_armed())
    }

    fn stream_id_now(&self, stream: StreamNo) -> Result<Option<PersistenceId>, ReadError> {
        let store = lock(&self.store);
        self.readable(&store)?;
        let named = store.stream(stream).filter(|stream| stream.last > SeqNr::ZERO && !stream.floor.forgotten);
        Ok(named.map(|stream| stream.id.clone()))
    }

    fn read_all_now(&self, after: Offset, bytes_max: usize) -> Result<Page, ReadError> {
        let store = lock(&self.store);
        self.readable(&store)?;
        let begin = store.runs.partition_point(|stored| stored.last_offset() <= after);
        let runs = store.runs[begin..].iter().filter(|stored| stored.last() > store.floor(stored.run.stream));
        self.page(&store, runs, bytes_max)
    }

    #[expect(single_use_lifetimes, reason = "an `impl Trait` can't leave it out yet")]
    fn page<'a>(
        &self,
        store: &Store,
        stored: impl Iterator<Item = &'a Stored>,
        bytes_max: usize,
    ) -> Result<Page, ReadError> {
        let mut page = Page { runs: Vec::new(), more: false };
        let mut bytes = 0_usize;
        for Stored { run, first, records } in stored {
            bytes = bytes.saturating_add(run.bytes.len());
            if bytes > bytes_max && !page.runs.is_empty() {
                page.more = true;
                break;
            }
            let corrupt = |reason: String| Corrupt {
                place: Place::Stream { stream: run.stream, id: None, from: *first },
                reason,
            };
            let view = RunView::parse(&run.bytes, self.facts.store).map_err(|error| corrupt(error.to_string()))?;
            if view.first() != *first || view.records() != *records {
                return Err(corrupt("another run is stored here".into()).into());
            }
            page.runs.push(StoredRun { floor: store.floor(run.stream), ..run.clone() });
        }
        Ok(page)
    }
}

impl Stored {
    fn last(&self) -> SeqNr {
        SeqNr(self.first.0 + (self.records - 1))
    }

    fn last_offset(&self) -> Offset {
        Offset(self.run.offset.0 + (self.records - 1))
    }
}

impl Store {
    fn stream(&self, stream: StreamNo) -> Option<&Stream> {
        self.streams.get(usize::try_from(stream.0.checked_sub(1)?).ok()?)
    }

    fn stream_mut(&mut self, stream: StreamNo) -> Option<&mut Stream> {
        self.streams.get_mut(usize::try_from(stream.0.checked_sub(1)?).ok()?)
    }

    fn floor(&self, stream: StreamNo) -> SeqNr {
        self.stream(stream).map_or(SeqNr::ZERO, |stream| stream.floor.to)
    }

    fn durable(&self) -> Offset {
        self.runs.last().map_or(Offset(0), Stored::last_offset)
    }

    /// Why nothing may be written with these facts, if so.
    fn shut(&self, facts: &Facts) -> Option<Why> {
        if self.epoch != facts.epoch {
            return Some(Why::Fenced { epoch: facts.epoch });
        }
        match &self.health {
            Health::Good | Health::StorageLow { .. } => None,
            Health::Failed(cause) => Some(Why::Failed(Arc::clone(cause))),
            Health::Closed => Some(Why::Closed),
        }
    }

    pub(super) fn append(&mut self, facts: &Facts, group: Vec<Run>) -> Vec<Outcome> {
        if let Some(why) = self.shut(facts) {
            return vec![Outcome::NotStored(why); group.len()];
        }
        #[cfg(any(test, feature = "testing"))]
        match self.faults.append(group.len()) {
            None => {}
            Some(Fault::Refuse(why)) => return vec![Outcome::NotStored(why); group.len()],
            Some(Fault::Fail(unknown)) => {
                let cause: Arc<str> = "a fault that was asked for".into();
                let runs = group.len();
                if unknown == UnknownRun::Stored {
                    for run in group {
                        let _outcome = self.store(facts, run);
                    }
                }
                self.health = Health::Failed(Arc::clone(&cause));
                return vec![Outcome::Unknown(super::Cause(cause)); runs];
            }
        }
        group.into_iter().map(|run| self.store(facts, run).map_or_else(Outcome::NotStored, Outcome::Stored)).collect()
    }

    fn store(&mut self, facts: &Facts, run: Run) -> Result<Offset, Why> {
        run.check(facts)?;
        if let Health::StorageLow { free, floor } = self.health
            && !run.ends
        {
            return Err(Why::StorageLow { free, floor });
        }
        let offset = Offset(self.durable().0 + 1);
        let index = self.runs.len();
        let stream = self.stream_mut(run.stream).filter(|stream| stream.opened > 0 && stream.id == run.id);
        let Some(stream) = stream else {
            return Err(Why::BadRun(super::NOT_OPEN.into()));
        };
        if stream.floor.ended {
            return Err(Why::Ended { last: stream.last });
        }
        if stream.last.next() != run.first {
            return Err(Why::Conflict { expected: SeqNr(run.first.0 - 1), last: stream.last });
        }
        stream.forgettable = if stream.last == SeqNr::ZERO { run.forgettable } else { stream.forgettable };
        stream.last = run.last();
        stream.runs.push(index);
        let last = run.last();
        let Run { stream, first, records, due, ends, bytes, .. } = run;
        self.deadlines.apply(stream, due);
        self.runs.push(Stored { run: StoredRun { stream, offset, floor: SeqNr::ZERO, bytes }, first, records });
        if ends {
            self.raise(stream, Floor::before_tombstone(last));
        }
        Ok(offset)
    }

    pub(super) fn delete_to(&mut self, facts: &Facts, stream: StreamNo, to: SeqNr) -> Outcome {
        let deleted = self.shut(facts).map_or_else(|| self.delete(stream, to), Err);
        deleted.map_or_else(Outcome::NotStored, Outcome::Stored)
    }

    fn delete(&mut self, stream: StreamNo, to: SeqNr) -> Result<Offset, Why> {
        let Some(open) = self.stream(stream).filter(|stream| stream.opened > 0) else {
            return Err(Why::BadRun(super::NOT_OPEN.into()));
        };
        if to > open.last {
            return Err(Why::BadRun(super::beyond_last(to, open.last).into()));
        }
        self.raise(stream, Floor { to, ..Floor::default() });
        Ok(self.durable())
    }

    fn forget(&mut self, facts: &Facts, stream: StreamNo) -> Result<Offset, Why> {
        if let Some(why) = self.shut(facts) {
            return Err(why);
        }
        let Some(open) = self.stream(stream).filter(|stream| stream.opened > 0) else {
            return Err(Why::BadRun(super::NOT_OPEN.into()));
        };
        if open.last > SeqNr::ZERO && !open.forgettable {
            return Err(Why::NotForgettable);
        }
        if !open.floor.ended {
            return Err(Why::BadRun(super::NOT_ENDED.into()));
        }
        self.raise(stream, Floor { to: open.last, ended: true, forgotten: true });
        Ok(self.durable())
    }

    /// Raises the floor of a stream, and lets go of what is wholly below.
    fn raise(&mut self, stream: StreamNo, floor: Floor) {
        let index = stream.0.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let Some(stream) = index.and_then(|index| self.streams.get_mut(index)) else { return };
        stream.floor = stream.floor.raised(floor);
        let to = stream.floor.to;
        let deleted = stream.runs.partition_point(|&index| self.runs[index].last() <= to);
        for index in stream.runs.drain(..deleted) {
            self.runs[index].run.bytes = Vec::new();
        }
    }

    /// Says how far it reaches, and whether that is all, to those who wait.
    pub(super) fn tell(&self) -> Wakers {
        self.waiters.tell(self.durable(), matches!(self.health, Health::Failed(_) | Health::Closed))
    }

    /// Takes no more writes.
    pub(super) fn close(&mut self) -> Result<(), CloseError> {
        match &self.health {
            Health::Failed(cause) => Err(CloseError(Arc::clone(cause))),
            Health::Good | Health::StorageLow { .. } | Health::Closed => {
                self.health = Health::Closed;
                Ok(())
            }
        }
    }
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MemoryJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryJournal").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Journal for MemoryJournal {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn open_stream(&self, id: &PersistenceId) -> Fut<'_, Result<StreamHead, ReadError>> {
        Box::pin(std::future::ready(self.open_stream_now(id)))
    }

    fn close_stream(&self, stream: StreamNo) {
        let mut store = lock(&self.store);
        if store.epoch == self.facts.epoch
            && let Some(stream) = store.stream_mut(stream)
        {
            stream.opened = stream.opened.saturating_sub(1);
        }
    }

    fn append(&self, group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
        let mut store = lock(&self.store);
        if let Some(why) = store.shut(&self.facts) {
            return Box::pin(std::future::ready(vec![Outcome::NotStored(why); group.len()]));
        }
        #[cfg(any(test, feature = "testing"))]
        let group = match store.faults.hold(self.facts, group) {
            Ok(held) => return held,
            Err(group) => group,
        };
        let outcomes = store.append(&self.facts, group);
        let wakers = store.tell();
        drop(store);
        wakers.wake();
        Box::pin(std::future::ready(outcomes))
    }

    fn durable(&self) -> Offset {
        lock(&self.store).durable()
    }

    fn changed(&self, beyond: Offset) -> Fut<'static, Offset> {
        Box::pin(self.waiters.changed(beyond))
    }

    fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        Box::pin(async move { self.read_now(stream, from, to, bytes_max) })
    }

    fn read_all(&self, after: Offset, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        Box::pin(async move { self.read_all_now(after, bytes_max) })
    }

    fn armed(&self) -> Fut<'_, Result<Vec<Armed>, ReadError>> {
        Box::pin(async move { self.armed_now() })
    }

    fn stream_id(&self, stream: StreamNo) -> Fut<'_, Result<Option<PersistenceId>, ReadError>> {
        Box::pin(async move { self.stream_id_now(stream) })
    }

    fn delete_to(&self, stream: StreamNo, to: SeqNr) -> Fut<'static, Outcome> {
        let mut store = lock(&self.store);
        #[cfg(any(test, feature = "testing"))]
        if store.shut(&self.facts).is_none()
            && let Some(held) = store.faults.hold_deletion(self.facts, stream, to)
        {
            return held;
        }
        Box::pin(std::future::ready(store.delete_to(&self.facts, stream, to)))
    }

    fn forget(&self, stream: StreamNo) -> Fut<'static, Outcome> {
        let forgotten = lock(&self.store).forget(&self.facts, stream);
        Box::pin(std::future::ready(forgotten.map_or_else(Outcome::NotStored, Outcome::Stored)))
    }

    fn snapshots(&self) -> Option<Arc<dyn SnapshotStore>> {
        Some(Arc::new(self.snapshots.clone()))
    }

    fn health(&self) -> Health {
        self.health_in(&lock(&self.store))
    }

    fn close(&self) -> Fut<'_, Result<(), CloseError>> {
        let mut store = lock(&self.store);
        if let Health::Failed(cause) = self.health_in(&store) {
            return Box::pin(std::future::ready(Err(CloseError(cause))));
        }
        #[cfg(any(test, feature = "testing"))]
        if let Some(closing) = store.faults.wait_for_held() {
            return closing;
        }
        let closed = store.close();
        let wakers = store.tell();
        drop(store);
        wakers.wake();
        Box::pin(std::future::ready(closed))
    }
}
