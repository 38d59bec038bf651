//! The way through a stream's records: read page by page, folded one by one.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;

use super::{Begin, Past, Plan, ReplayError};
use crate::aggregate::Aggregate;
use crate::codec::Codec;
use crate::contain::contained;
use crate::execute::{Replayed, Unusable, read};
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};
use crate::journal::{
    EventRecord, Journal, Record, RunError, RunView, StoredCause, StoredKey, StoredRun, StreamHead, TransitionRecord,
    Write,
};
use crate::snapshot::Criteria;
use crate::state::named;
use crate::system::blocking::Runtime;
use crate::system::recovery::{Candidates, Source};

/// How much is read at once.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// A replay remembers no more keys than it must: nobody asks for them.
const KEYS_MAX: usize = 1;

/// A stream that is open while this lives. It keeps no journal open that its system has left.
struct Opened {
    plan: Plan,
    stream: StreamNo,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(journal) = self.plan.journal.upgrade() {
            journal.close_stream(self.stream);
        }
    }
}

impl Opened {
    fn open(plan: &Plan, journal: &Arc<dyn Journal>, runtime: &Runtime) -> Result<(Self, StreamHead), ReplayError> {
        let unreadable = |error| ReplayError::Read { id: plan.id.clone(), seq_nr: SeqNr(1), error };
        let head = runtime.block_on(journal.open_stream(&plan.id)).map_err(unreadable)?;
        Ok((Self { plan: plan.clone(), stream: head.stream }, head))
    }

    fn id(&self) -> PersistenceId {
        self.plan.id.clone()
    }

    /// Why the records from `next` on can't be had, if they were deleted.
    fn gone<A: Aggregate>(&self, journal: &Arc<dyn Journal>, runtime: &Runtime, next: SeqNr) -> Option<ReplayError> {
        let (_now, head) = Self::open(&self.plan, journal, runtime).ok()?;
        if head.ended {
            return Some(ReplayError::Ended { id: self.id(), seq_nr: head.last });
        }
        (head.floor >= next).then(|| self.plan.deleted::<A>(journal, runtime, head))
    }
}

impl Plan {
    /// The snapshots of `criteria`, for as much as they are usable, the newest first. It blocks.
    fn snapshots<'a, A: Aggregate>(
        &'a self,
        journal: &'a Arc<dyn Journal>,
        runtime: &'a Runtime,
        head: StreamHead,
        criteria: Criteria,
        act: impl FnOnce(Candidates<'_, A>) -> Option<Replayed<A>>,
    ) -> Option<Replayed<A>> {
        let (store, set_aside) = (self.snapshots.as_ref()?.upgrade()?, AtomicU64::new(0));
        let snapshots = Some(&*store);
        let source = Source { journal, runtime, snapshots, keys_max: KEYS_MAX, verify: false, unusable: &set_aside };
        // ORDER: none beyond the head, which may have moved on since: it would be taken for one of another history.
        act(Candidates::of(source, &self.id, head, criteria.to_seq(head.last)))
    }

    /// The oldest snapshot that can be used.
    fn oldest<A: Aggregate>(
        &self,
        journal: &Arc<dyn Journal>,
        runtime: &Runtime,
        head: StreamHead,
        criteria: Criteria,
    ) -> Option<Replayed<A>> {
        self.snapshots(journal, runtime, head, criteria, |mut candidates| {
            let mut oldest = None;
            while let Some(older) = candidates.newest() {
                oldest = Some(older);
            }
            oldest
        })
    }

    /// What can be told where records are deleted.
    fn deleted<A: Aggregate>(&self, journal: &Arc<dyn Journal>, runtime: &Runtime, head: StreamHead) -> ReplayError {
        let oldest = self.oldest::<A>(journal, runtime, head, Criteria::LATEST);
        let from = oldest.map(|oldest| oldest.last);
        ReplayError::Deleted { id: self.id.clone(), floor: head.floor, from }
    }

    /// The data to begin with.
    fn begin<A: Aggregate>(
        &self,
        stepping: bool,
        journal: &Arc<dyn Journal>,
        runtime: &Runtime,
        head: StreamHead,
    ) -> Result<Replayed<A>, ReplayError> {
        let criteria = if let Begin::Snapshots(criteria) = self.begin { criteria } else { Criteria::LATEST };
        let criteria =
            criteria.to_seq(self.to_seq.unwrap_or(head.last)).to_time(self.to_time.unwrap_or(Timestamp::MAX));
        let begun = match self.begin {
            Begin::FirstRecord => None,
            Begin::Best if stepping && head.floor == SeqNr::ZERO => None,
            Begin::Best if stepping => self.oldest(journal, runtime, head, criteria),
            Begin::Best | Begin::Snapshots(_) => {
                self.snapshots(journal, runtime, head, criteria, |mut candidates| candidates.newest())
            }
        };
        match begun {
            Some(begun) => Ok(begun),
            None if head.floor > SeqNr::ZERO => Err(self.deleted::<A>(journal, runtime, head)),
            None => Replayed::new(KEYS_MAX).map_err(|error| unusable(&self.id, error.seq_nr, error.why)),
        }
    }
}

/// An entity on its way through its records.
pub(super) struct Walk<A: Aggregate> {
    opened: Arc<Opened>,
    /// Up to where records were deleted when it began.
    floor: SeqNr,
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
    pub(super) fn begin(plan: &Plan, stepping: bool, runtime: &Runtime) -> Result<Self, ReplayError> {
        // A store of snapshots may be the user's.
        let panicked = |message| ReplayError::Panicked { id: plan.id.clone(), seq_nr: SeqNr::ZERO, message };
        contained(|| Self::begun(plan, stepping, runtime)).map_err(panicked)?
    }

    fn begun(plan: &Plan, stepping: bool, runtime: &Runtime) -> Result<Self, ReplayError> {
        let journal = plan.journal.upgrade().ok_or_else(|| ReplayError::closed(&plan.id))?;
        let id = || plan.id.clone();
        let mut before: Option<(SeqNr, ReplayError)> = None;
        loop {
            let (opened, head) = Opened::open(plan, &journal, runtime)?;
            if head.last == SeqNr::ZERO {
                return Err(ReplayError::NotFound { id: id() });
            }
            if head.ended {
                return Err(ReplayError::Ended { id: id(), seq_nr: head.last });
            }
            // A snapshot may have been saved meanwhile, and have let go what was to be read.
            if let Some((_, error)) = before.filter(|(floor, _)| *floor >= head.floor) {
                return Err(error);
            }
            if let Some(asked) = plan.to_seq.filter(|asked| *asked > head.last) {
                return Err(ReplayError::Beyond { id: id(), asked, last: head.last });
            }
            match plan.begin(stepping, &journal, runtime, head) {
                Ok(replayed) => {
                    let (to, to_time, records) = (plan.to_seq.unwrap_or(head.last), plan.to_time, VecDeque::new());
                    let (opened, floor) = (Arc::new(opened), head.floor);
                    return Ok(Self { opened, floor, replayed, passing: None, to, to_time, records, broken: None });
                }
                Err(error) => before = Some((head.floor, error)),
            }
        }
    }

    /// Whether it has failed since records were deleted that were there when it began: begun again, it may succeed.
    pub(super) fn is_overtaken(&self, error: &ReplayError) -> bool {
        matches!(error, ReplayError::Deleted { floor, .. } if *floor > self.floor)
    }

    pub(super) fn data(&self) -> &A {
        &self.replayed.data
    }

    /// The state that it is in.
    pub(super) fn state(&self) -> Result<A::State, ReplayError> {
        let unknown = |seq_nr, name| ReplayError::UnknownState { id: self.opened.id(), seq_nr, name };
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
            .map_err(|why| unusable(&self.opened.plan.id, *seq_nr, why))
    }

    /// The event of a record, if it is one that isn't ignored.
    pub(super) fn event(&self, record: &StoredRecord) -> Result<Option<A::Event>, ReplayError> {
        let Record::Event(stored) = record.view() else { return Ok(None) };
        contained(|| read::<A>(stored))
            .unwrap_or_else(|panic| Err(Unusable::Panicked(panic)))
            .map_err(|why| unusable(&self.opened.plan.id, record.seq_nr, why))
    }

    /// What has to be read next.
    pub(super) fn page(&self) -> PageOf<A> {
        let (opened, next) = (self.opened.clone(), self.replayed.last.next());
        PageOf { opened, next, to: self.to, aggregate: PhantomData }
    }

    /// Takes in what was read.
    pub(super) fn take_in(&mut self, page: Result<ReadPage, ReplayError>) -> Result<(), ReplayError> {
        let ReadPage { records, broken } = page?;
        (self.records, self.broken) = (records, broken);
        Ok(())
    }
}

/// A page that has to be read.
pub(super) struct PageOf<A> {
    opened: Arc<Opened>,
    next: SeqNr,
    to: SeqNr,
    aggregate: PhantomData<fn() -> A>,
}

/// A page, taken apart.
pub(super) struct ReadPage {
    records: VecDeque<StoredRecord>,
    /// Why what is behind them can't be told.
    broken: Option<ReplayError>,
}

impl<A: Aggregate> PageOf<A> {
    /// Reads it. It blocks for the disk.
    pub(super) fn read(&self, runtime: &Runtime) -> Result<ReadPage, ReplayError> {
        let Self { opened, next, to, .. } = self;
        let id = || opened.id();
        let journal = opened.plan.journal.upgrade().ok_or_else(|| ReplayError::closed(&id()))?;
        let page = runtime.block_on(journal.read(opened.stream, *next, *to, PAGE_BYTES_MAX));
        let missing = |seq_nr| ReplayError::Missing { id: id(), seq_nr };
        let runs = match page {
            Ok(page) => page.runs,
            Err(error) => {
                let error = ReplayError::Read { id: id(), seq_nr: *next, error };
                return Err(opened.gone::<A>(&journal, runtime, *next).unwrap_or(error));
            }
        };
        let store = journal.facts().store;
        let mut records = Records { next: *next, to: *to, records: VecDeque::new() };
        let broken = runs.iter().find_map(|run| records.take_in(run, store).err());
        let broken = match broken {
            Some(Unfit::Missing) => Some(missing(records.next)),
            Some(Unfit::Run(error)) => Some(ReplayError::Run { id: id(), seq_nr: records.next, error }),
            None if records.records.is_empty() => Some(missing(records.next)),
            None => None,
        };
        let broken = broken.map(|error| match error {
            ReplayError::Missing { .. } => opened.gone::<A>(&journal, runtime, records.next).unwrap_or(error),
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
        Unusable::FoldsDiffer { .. }
        | Unusable::SnapshotDiffers { .. }
        | Unusable::SnapshotLacks { .. }
        | Unusable::SnapshotLoses { .. } => {
            unreachable!("a replay compares nothing");
        }
    }
}
