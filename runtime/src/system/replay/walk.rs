//! The way through a stream's records: read page by page, folded one by one.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::{Past, Plan, ReplayError};
use crate::aggregate::Aggregate;
use crate::codec::Codec;
use crate::contain::contained;
use crate::execute::{Replayed, Unusable, read};
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};
use crate::journal::{
    EventRecord, Journal, Record, RunError, RunView, StoredCause, StoredKey, StoredRun, StreamHead, TransitionRecord,
    Write,
};
use crate::state::named;

/// How much is read at once.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// A replay remembers no more keys than it must: nobody asks for them.
const KEYS_MAX: usize = 1;

/// A stream that is open while this lives. It keeps no journal open that its system has left.
struct Opened {
    journal: Weak<dyn Journal>,
    id: PersistenceId,
    stream: StreamNo,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(journal) = self.journal.upgrade() {
            journal.close_stream(self.stream);
        }
    }
}

impl Opened {
    fn open(plan: &Plan, runtime: &Handle) -> Result<(Self, StreamHead), ReplayError> {
        let Plan { id, journal, .. } = plan;
        let open = journal.upgrade().ok_or_else(|| ReplayError::closed(id))?;
        let head = runtime.block_on(open.open_stream(id));
        let head = head.map_err(|error| ReplayError::Read { id: id.clone(), seq_nr: SeqNr(1), error })?;
        Ok((Self { journal: journal.clone(), id: id.clone(), stream: head.stream }, head))
    }

    /// Why the records from `next` on can't be had, if they were deleted.
    fn gone(&self, journal: &dyn Journal, runtime: &Handle, next: SeqNr) -> Option<ReplayError> {
        let head = runtime.block_on(journal.open_stream(&self.id)).ok()?;
        journal.close_stream(head.stream);
        let id = self.id.clone();
        if head.ended {
            return Some(ReplayError::Ended { id, seq_nr: head.last });
        }
        (head.floor >= next).then_some(ReplayError::Deleted { id, floor: head.floor, from: None })
    }
}

/// An entity on its way through its records.
pub(super) struct Walk<A: Aggregate> {
    opened: Arc<Opened>,
    replayed: Replayed<A>,
    /// The transient state that it is in.
    passing: Option<Passing>,
    /// The last record to fold.
    to: SeqNr,
    to_time: Option<Timestamp>,
    /// Records that were read and not folded.
    records: VecDeque<StoredRecord>,
    /// Why there are none behind them.
    broken: Option<ReplayError>,
}

struct Passing {
    state: Box<str>,
    entered: SeqNr,
    /// In a later one the entity was loaded anew.
    epoch: u64,
}

/// What a step of the way has come to.
pub(super) enum Stepped {
    Folded(StoredRecord),
    /// More has to be read.
    NeedsPage,
    Ended,
}

impl<A: Aggregate> Walk<A> {
    /// Opens the stream, and finds the data to begin with. It blocks for the disk.
    pub(super) fn begin(plan: &Plan, runtime: &Handle) -> Result<Self, ReplayError> {
        let (opened, head) = Opened::open(plan, runtime)?;
        let id = || plan.id.clone();
        if head.last == SeqNr::ZERO {
            return Err(ReplayError::NotFound { id: id() });
        }
        if head.ended {
            return Err(ReplayError::Ended { id: id(), seq_nr: head.last });
        }
        if let Some(asked) = plan.to_seq.filter(|asked| *asked > head.last) {
            return Err(ReplayError::Beyond { id: id(), asked, last: head.last });
        }
        if head.floor > SeqNr::ZERO {
            return Err(ReplayError::Deleted { id: id(), floor: head.floor, from: None });
        }
        let begun = Replayed::new(KEYS_MAX);
        let replayed = begun.map_err(|error| unusable(&plan.id, error.seq_nr, error.why))?;
        let to = plan.to_seq.unwrap_or(head.last);
        let (opened, to_time, records) = (Arc::new(opened), plan.to_time, VecDeque::new());
        Ok(Self { opened, replayed, passing: None, to, to_time, records, broken: None })
    }

    pub(super) fn data(&self) -> &A {
        &self.replayed.data
    }

    /// The state that it is in.
    pub(super) fn state(&self) -> Result<A::State, ReplayError> {
        let unknown = |seq_nr, name| ReplayError::UnknownState { id: self.opened.id.clone(), seq_nr, name };
        match &self.passing {
            Some(Passing { state, entered, .. }) => {
                named::<A>(state).ok_or_else(|| unknown(*entered, state.as_ref().to_owned()))
            }
            None => self.replayed.state().map_err(|(seq_nr, name)| unknown(seq_nr, name.to_owned())),
        }
    }

    /// Ends here.
    pub(super) fn past(self) -> Result<Past<A>, ReplayError> {
        let state = self.state()?;
        let Replayed { data, last, time, .. } = self.replayed;
        Ok(Past { data, state, seq_nr: last, time: (last > SeqNr::ZERO).then_some(time) })
    }

    /// Folds the next record, if it is in memory.
    pub(super) fn step(&mut self) -> Result<Stepped, ReplayError> {
        if self.replayed.last >= self.to {
            return Ok(Stepped::Ended);
        }
        let too_late = |record: &StoredRecord| self.to_time.is_some_and(|time| record.time > time);
        match (self.records.front(), &self.broken) {
            (Some(next), _) if too_late(next) => return Ok(Stepped::Ended),
            (None, Some(broken)) => return Err(broken.clone()),
            (None, None) => return Ok(Stepped::NeedsPage),
            (Some(_), _) => {}
        }
        let Some(record) = self.records.pop_front() else { return Ok(Stepped::NeedsPage) };
        self.fold(&record).inspect_err(|error| {
            // What comes behind can't be told.
            self.records.clear();
            self.broken = Some(error.clone());
        })?;
        Ok(Stepped::Folded(record))
    }

    /// Folds all that is in memory, and tells whether that was all there is.
    pub(super) fn fold_all(&mut self) -> Result<bool, ReplayError> {
        loop {
            match self.step()? {
                Stepped::Folded(_) => {}
                Stepped::NeedsPage => return Ok(false),
                Stepped::Ended => return Ok(true),
            }
        }
    }

    fn fold(&mut self, record: &StoredRecord) -> Result<(), ReplayError> {
        let StoredRecord { seq_nr, time, epoch, key, .. } = record;
        match &record.what {
            StoredKind::Transition { to, transient: true, .. } => {
                self.passing = Some(Passing { state: to.clone(), entered: *seq_nr, epoch: *epoch });
            }
            StoredKind::Transition { .. } => self.passing = None,
            _ => self.passing = self.passing.take().filter(|passing| passing.epoch == *epoch),
        }
        let write = Write { key: *key, ..Write::at(*time) };
        let replayed = &mut self.replayed;
        contained(|| replayed.take_in(*seq_nr, &write, record.view()))
            .unwrap_or_else(|panic| Err(Unusable::Panicked(panic)))
            .map_err(|why| unusable(&self.opened.id, *seq_nr, why))
    }

    /// The event of a record, if it is one that isn't ignored.
    pub(super) fn event(&self, record: &StoredRecord) -> Result<Option<A::Event>, ReplayError> {
        let Record::Event(stored) = record.view() else { return Ok(None) };
        contained(|| read::<A>(stored))
            .unwrap_or_else(|panic| Err(Unusable::Panicked(panic)))
            .map_err(|why| unusable(&self.opened.id, record.seq_nr, why))
    }

    /// What has to be read next.
    pub(super) fn page(&self) -> PageOf {
        PageOf { opened: self.opened.clone(), next: self.replayed.last.next(), to: self.to }
    }

    /// Takes in what was read.
    pub(super) fn take_in(&mut self, page: Result<ReadPage, ReplayError>) -> Result<(), ReplayError> {
        let ReadPage { records, broken } = page?;
        (self.records, self.broken) = (records, broken);
        Ok(())
    }
}

/// A page that has to be read.
pub(super) struct PageOf {
    opened: Arc<Opened>,
    next: SeqNr,
    to: SeqNr,
}

/// A page, taken apart.
pub(super) struct ReadPage {
    records: VecDeque<StoredRecord>,
    /// Why what is behind them can't be told.
    broken: Option<ReplayError>,
}

impl PageOf {
    /// Reads it. It blocks for the disk.
    pub(super) fn read(&self, runtime: &Handle) -> Result<ReadPage, ReplayError> {
        let Self { opened, next, to } = self;
        let journal = opened.journal.upgrade().ok_or_else(|| ReplayError::closed(&opened.id))?;
        let page = runtime.block_on(journal.read(opened.stream, *next, *to, PAGE_BYTES_MAX));
        let missing = |seq_nr| ReplayError::Missing { id: opened.id.clone(), seq_nr };
        let runs = match page {
            Ok(page) => page.runs,
            Err(error) => {
                let gone = || opened.gone(&*journal, runtime, *next);
                let error = ReplayError::Read { id: opened.id.clone(), seq_nr: *next, error };
                return Err(gone().unwrap_or(error));
            }
        };
        let store = journal.facts().store;
        let mut records = Records { next: *next, to: *to, records: VecDeque::new() };
        let broken = runs.iter().find_map(|run| records.take_in(run, store).err());
        let broken = match broken {
            Some(Unfit::Missing) => Some(missing(records.next)),
            Some(Unfit::Run(error)) => Some(ReplayError::Run { id: opened.id.clone(), seq_nr: records.next, error }),
            None if records.records.is_empty() => Some(missing(records.next)),
            None => None,
        };
        let broken = broken.map(|error| match error {
            ReplayError::Missing { .. } => opened.gone(&*journal, runtime, records.next).unwrap_or(error),
            error => error,
        });
        Ok(ReadPage { records: records.records, broken })
    }
}

/// Records in order, without gaps.
struct Records {
    /// The next one.
    next: SeqNr,
    to: SeqNr,
    records: VecDeque<StoredRecord>,
}

/// Why a run doesn't go on where the one before has ended.
enum Unfit {
    Missing,
    Run(RunError),
}

impl From<RunError> for Unfit {
    fn from(error: RunError) -> Self {
        Unfit::Run(error)
    }
}

impl Records {
    fn take_in(&mut self, run: &StoredRun, store: u64) -> Result<(), Unfit> {
        let view = RunView::parse(&run.bytes, store)?;
        view.for_each(|seq_nr, write, record| {
            if seq_nr < self.next || seq_nr > self.to {
                return Ok(());
            }
            if seq_nr > self.next || seq_nr <= run.floor {
                return Err(Unfit::Missing);
            }
            let offset = Offset(run.offset.0 + (seq_nr.0 - view.first().0));
            self.records.push_back(StoredRecord::new(seq_nr, offset, view.epoch(), write, record));
            self.next = seq_nr.next();
            Ok(())
        })
    }
}

/// A record as it is stored.
pub(super) struct StoredRecord {
    pub(super) seq_nr: SeqNr,
    pub(super) offset: Offset,
    pub(super) time: Timestamp,
    epoch: u64,
    key: Option<StoredKey>,
    pub(super) cause: Option<Cause>,
    pub(super) what: StoredKind,
}

pub(super) enum Cause {
    Command(Box<str>),
    Deadline,
}

pub(super) enum StoredKind {
    Event { name: Box<str>, version: u32, codec: Codec, payload: Box<[u8]> },
    Transition { from: Option<Box<str>>, to: Box<str>, transient: bool, due: Option<Timestamp> },
    DeadlineConsumed { visit: SeqNr },
    Receipt,
    Tombstone,
    Skipped { kind: u8 },
}

impl StoredRecord {
    fn new(seq_nr: SeqNr, offset: Offset, epoch: u64, write: &Write<'_>, record: Record<'_>) -> Self {
        let what = match record {
            Record::Event(EventRecord { name, version, codec, payload }) => {
                StoredKind::Event { name: name.into(), version, codec, payload: payload.into() }
            }
            Record::Transition(TransitionRecord { from, to, transient, due }) => {
                StoredKind::Transition { from: from.map(Box::from), to: to.into(), transient, due }
            }
            Record::DeadlineConsumed { visit } => StoredKind::DeadlineConsumed { visit },
            Record::Receipt => StoredKind::Receipt,
            Record::Tombstone => StoredKind::Tombstone,
            Record::Skipped { kind } => StoredKind::Skipped { kind },
        };
        let cause = write.cause.map(|cause| match cause {
            StoredCause::Command(name) => Cause::Command(name.into()),
            StoredCause::Deadline { .. } => Cause::Deadline,
        });
        Self { seq_nr, offset, time: write.time, epoch, key: write.key, cause, what }
    }

    fn view(&self) -> Record<'_> {
        match &self.what {
            StoredKind::Event { name, version, codec, payload } => {
                Record::Event(EventRecord { name, version: *version, codec: *codec, payload })
            }
            StoredKind::Transition { from, to, transient, due } => {
                Record::Transition(TransitionRecord { from: from.as_deref(), to, transient: *transient, due: *due })
            }
            StoredKind::DeadlineConsumed { visit } => Record::DeadlineConsumed { visit: *visit },
            StoredKind::Receipt => Record::Receipt,
            StoredKind::Tombstone => Record::Tombstone,
            StoredKind::Skipped { kind } => Record::Skipped { kind: *kind },
        }
    }
}

/// What is wrong with a record, as it is told.
fn unusable(id: &PersistenceId, seq_nr: SeqNr, why: Unusable) -> ReplayError {
    let id = id.clone();
    match why {
        Unusable::Event { name, version, why } => ReplayError::Undecodable { id, seq_nr, name, version, error: why },
        Unusable::Panicked(message) | Unusable::EventPanicked { panic: message, .. } => {
            ReplayError::Panicked { id, seq_nr, message }
        }
        Unusable::UnknownState { name } => ReplayError::UnknownState { id, seq_nr, name },
        Unusable::Read(error) => ReplayError::Read { id, seq_nr, error },
        Unusable::Run(error) => ReplayError::Run { id, seq_nr, error },
        Unusable::Missing { .. } | Unusable::Short { .. } => ReplayError::Missing { id, seq_nr },
        Unusable::Deleted { floor, .. } => ReplayError::Deleted { id, floor, from: None },
        Unusable::Ended => ReplayError::Ended { id, seq_nr },
        Unusable::FoldsDiffer { .. } | Unusable::SnapshotDiffers { .. } => {
            unreachable!("a replay compares nothing");
        }
    }
}
