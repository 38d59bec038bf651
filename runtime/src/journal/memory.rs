//! A journal in memory, for tests: the same bytes, checks and order as on a disk.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex};

use super::bytes::RUN_BYTES_MAX;
#[cfg(any(test, feature = "testing"))]
use super::faults::{Fault, Faults, UnknownRun};
use super::oneshot::{Sender, lock, oneshot};
use super::run::{Run, RunView};
use super::{
    Cause, CloseError, Corrupt, Durability, Facts, Fut, Health, Journal, Outcome, Page, Place, ReadError, StoredRun,
    StreamHead, Why,
};
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};

/// How many groups a caller may have in flight.
const GROUPS_IN_FLIGHT: usize = 4;

/// Keeps everything in memory. What it stores has the same bytes, limits and order as in a journal on a disk.
///
/// Clones are handles on the same open journal. [`MemoryJournal::reopen`] is what a restart is for a journal on a disk.
#[derive(Clone)]
pub struct MemoryJournal {
    facts: Facts,
    pub(super) store: Arc<Mutex<Store>>,
}

pub(super) struct Store {
    epoch: u64,
    health: Health,
    streams: Vec<Stream>,
    numbers: HashMap<PersistenceId, StreamNo>,
    runs: Vec<Stored>,
    /// Appends that wait for the gate, or for the appends before them.
    pub(super) held: VecDeque<Held>,
    /// Those who wait for the journal to be closed; while there are any, nothing new is taken.
    closing: Vec<Sender<Closed>>,
    #[cfg(any(test, feature = "testing"))]
    pub(super) faults: Faults,
}

struct Stream {
    id: PersistenceId,
    last: SeqNr,
    /// Indexes into `Store::runs`.
    runs: Vec<usize>,
}

struct Stored {
    run: StoredRun,
    first: SeqNr,
    records: u64,
}

type Closed = Result<(), CloseError>;

pub(super) struct Held {
    facts: Facts,
    group: Vec<Run>,
    done: Sender<Vec<Outcome>>,
}

impl MemoryJournal {
    /// Makes an empty journal and opens it.
    pub fn new() -> Self {
        let store = Store {
            epoch: 1,
            health: Health::Good,
            streams: Vec::new(),
            numbers: HashMap::new(),
            runs: Vec::new(),
            held: VecDeque::new(),
            closing: Vec::new(),
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
        Self { facts, store: Arc::new(Mutex::new(store)) }
    }

    /// Opens the journal again, as after a restart: everything stored is there, a failed or closed journal is good
    /// again, and all older handles are shut out with [`Why::Fenced`].
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut store = lock(&self.store);
        store.epoch += 1;
        store.health = Health::Good;
        let facts = Facts { epoch: store.epoch, ..self.facts };
        drop(store);
        Self { facts, store: Arc::clone(&self.store) }
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
            Health::Good | Health::Failed(_) => Ok(()),
        }
    }

    fn open_stream_now(&self, id: &PersistenceId) -> Result<StreamHead, ReadError> {
        super::check_id(id)?;
        let mut store = lock(&self.store);
        self.readable(&store)?;
        if let Some(&stream) = store.numbers.get(id) {
            return Ok(StreamHead { stream, last: store.stream(stream).map_or(SeqNr::ZERO, |stream| stream.last) });
        }
        store.streams.push(Stream { id: id.clone(), last: SeqNr::ZERO, runs: Vec::new() });
        let stream = StreamNo(super::bytes::len_u64(store.streams.len()));
        store.numbers.insert(id.clone(), stream);
        Ok(StreamHead { stream, last: SeqNr::ZERO })
    }

    fn read_now(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Result<Page, ReadError> {
        let store = lock(&self.store);
        self.readable(&store)?;
        let Some(found) = store.stream(stream) else {
            return Ok(Page { runs: Vec::new(), more: false });
        };
        let of = |&index: &usize| &store.runs[index];
        let begin = found.runs.partition_point(|index| of(index).last() < from);
        let end = found.runs.partition_point(|index| of(index).first <= to);
        let runs = found.runs.get(begin..end).unwrap_or_default();
        self.page(runs.iter().map(of), bytes_max)
    }

    fn read_all_now(&self, after: Offset, bytes_max: usize) -> Result<Page, ReadError> {
        let store = lock(&self.store);
        self.readable(&store)?;
        let begin = store.runs.partition_point(|stored| stored.last_offset() <= after);
        self.page(store.runs[begin..].iter(), bytes_max)
    }

    #[expect(single_use_lifetimes, reason = "an `impl Trait` can't leave it out yet")]
    fn page<'a>(&self, stored: impl Iterator<Item = &'a Stored>, bytes_max: usize) -> Result<Page, ReadError> {
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
            page.runs.push(run.clone());
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

    fn durable(&self) -> Offset {
        self.runs.last().map_or(Offset(0), Stored::last_offset)
    }

    /// Why nothing may be written with these facts, if so.
    fn shut(&self, facts: &Facts) -> Option<Why> {
        if self.epoch != facts.epoch {
            return Some(Why::Fenced { epoch: facts.epoch });
        }
        match &self.health {
            Health::Good => None,
            Health::Failed(cause) => Some(Why::Failed(Arc::clone(cause))),
            Health::Closed => Some(Why::Closed),
        }
    }

    /// Stores the group at the front, if there is one and the gate is open; what to tell, and whom.
    pub(super) fn step(&mut self) -> Option<(Sender<Vec<Outcome>>, Vec<Outcome>)> {
        let Held { facts, group, done } = self.held.pop_front()?;
        let outcomes = self.append(&facts, group);
        Some((done, outcomes))
    }

    fn append(&mut self, facts: &Facts, group: Vec<Run>) -> Vec<Outcome> {
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
                return vec![Outcome::Unknown(Cause(cause)); runs];
            }
        }
        group.into_iter().map(|run| self.store(facts, run).map_or_else(Outcome::NotStored, Outcome::Stored)).collect()
    }

    fn store(&mut self, facts: &Facts, run: Run) -> Result<Offset, Why> {
        run.check(facts)?;
        let offset = Offset(self.durable().0 + 1);
        let index = self.runs.len();
        let stream = usize::try_from(run.stream.0.wrapping_sub(1)).ok().and_then(|index| self.streams.get_mut(index));
        let Some(stream) = stream.filter(|stream| stream.id == run.id) else {
            return Err(Why::BadRun(super::NOT_OPEN.into()));
        };
        if stream.last.next() != run.first {
            return Err(Why::Conflict { expected: SeqNr(run.first.0 - 1), last: stream.last });
        }
        stream.last = run.last();
        stream.runs.push(index);
        let Run { stream, first, records, bytes, .. } = run;
        self.runs.push(Stored { run: StoredRun { stream, offset, bytes }, first, records });
        Ok(offset)
    }

    /// Whether an append must wait behind the gate.
    fn gated(&self) -> bool {
        #[cfg(any(test, feature = "testing"))]
        return self.faults.holding || !self.held.is_empty();
        #[cfg(not(any(test, feature = "testing")))]
        !self.held.is_empty()
    }

    /// Closes, if somebody waits for it and nothing is held any more: what to tell, and whom.
    pub(super) fn finish_closing(&mut self) -> Vec<(Sender<Closed>, Closed)> {
        if self.closing.is_empty() || !self.held.is_empty() {
            return Vec::new();
        }
        let result = match &self.health {
            Health::Failed(cause) => Err(CloseError(Arc::clone(cause))),
            Health::Good | Health::Closed => {
                self.health = Health::Closed;
                Ok(())
            }
        };
        std::mem::take(&mut self.closing).into_iter().map(|done| (done, result.clone())).collect()
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

    fn close_stream(&self, _stream: StreamNo) {}

    fn append(&self, group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
        let mut store = lock(&self.store);
        let closing = || (!store.closing.is_empty()).then_some(Why::Closed);
        if let Some(why) = store.shut(&self.facts).or_else(closing) {
            return Box::pin(std::future::ready(vec![Outcome::NotStored(why); group.len()]));
        }
        if !store.gated() {
            return Box::pin(std::future::ready(store.append(&self.facts, group)));
        }
        let runs = group.len();
        let (done, outcomes) = oneshot();
        store.held.push_back(Held { facts: self.facts, group, done });
        Box::pin(async move {
            let gone = || vec![Outcome::NotStored(Why::Closed); runs];
            outcomes.await.unwrap_or_else(gone)
        })
    }

    fn durable(&self) -> Offset {
        lock(&self.store).durable()
    }

    fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        Box::pin(async move { self.read_now(stream, from, to, bytes_max) })
    }

    fn read_all(&self, after: Offset, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        Box::pin(async move { self.read_all_now(after, bytes_max) })
    }

    fn health(&self) -> Health {
        self.health_in(&lock(&self.store))
    }

    fn close(&self) -> Fut<'_, Result<(), CloseError>> {
        let mut store = lock(&self.store);
        match self.health_in(&store) {
            Health::Failed(cause) => return Box::pin(std::future::ready(Err(CloseError(cause)))),
            Health::Closed | Health::Good => {}
        }
        let (done, closed) = oneshot();
        store.closing.push(done);
        let waiting = store.finish_closing();
        drop(store);
        for (done, result) in waiting {
            done.send(result);
        }
        Box::pin(async move { closed.await.unwrap_or(Ok(())) })
    }
}
