//! What became of a run whose outcome was unknown.

use serde::{Deserialize, Serialize};

use super::run::{Run, RunView, stored_checksum};
use super::{Facts, Journal, ReadError, StreamHead};
use crate::id::{Offset, PersistenceId, SeqNr};

/// A run is all that is read of a stream to settle it.
const PAGE_BYTES_MAX: usize = 1;

/// Which run it was whose outcome is unknown, to ask later what became of it. It can be stored as text or bytes with
/// serde, and asked with after a restart.
///
/// It names the stream, the run's place in it, and the run's checksum, which is another one for each run that was ever
/// made, also of the same commands. Nothing of what the run holds can be told from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct RunKey {
    store: u64,
    id: PersistenceId,
    first: SeqNr,
    records: u64,
    checksum: u64,
    epoch: u64,
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settled {
    /// It is stored; its first record has this offset.
    Stored(Offset),
    /// It is not stored and never will be.
    NotStored,
    /// It can't be told. Either the journal was not opened again since the run was handed over: then it can be told
    /// once that has happened. Or the records in its place are deleted: then nobody will ever know.
    Unsettled,
}

impl RunKey {
    /// Of the run that has the records from the first to the last.
    pub(crate) fn new(facts: &Facts, id: PersistenceId, (first, last): (SeqNr, SeqNr), checksum: u64) -> Self {
        let records = last.0 - first.0 + 1;
        Self { store: facts.store, id, first, records, checksum, epoch: facts.epoch }
    }

    /// The store that the run was handed to: [`Facts::store`].
    pub fn store(&self) -> u64 {
        self.store
    }

    /// The stream.
    pub fn id(&self) -> &PersistenceId {
        &self.id
    }

    /// The sequence number that the run's first record has, if it is stored.
    pub fn first(&self) -> SeqNr {
        self.first
    }

    /// How many records the run has; at least 1.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The sequence number that the run's last record has, if it is stored.
    pub fn last(&self) -> SeqNr {
        SeqNr(self.first.0 + (self.records - 1))
    }

    /// The run's checksum.
    pub fn checksum(&self) -> u64 {
        self.checksum
    }

    /// The epoch in which it was handed over: [`Facts::epoch`].
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Run {
    /// What to ask with what became of this run, if it is appended to the journal with these facts.
    pub fn key(&self, facts: &Facts) -> RunKey {
        RunKey::new(facts, self.id.clone(), (self.first, self.last()), stored_checksum(&self.bytes))
    }
}

/// A key as it is stored.
#[derive(Serialize, Deserialize)]
struct Parts {
    store: u64,
    aggregate: String,
    entity: String,
    first: u64,
    records: u64,
    checksum: u64,
    epoch: u64,
}

impl From<RunKey> for Parts {
    fn from(key: RunKey) -> Self {
        let RunKey { store, id, first, records, checksum, epoch } = key;
        let (aggregate, entity) = (id.aggregate.as_ref().to_owned(), id.entity.as_str().to_owned());
        Self { store, aggregate, entity, first: first.0, records, checksum, epoch }
    }
}

impl TryFrom<Parts> for RunKey {
    type Error = &'static str;

    fn try_from(parts: Parts) -> Result<Self, &'static str> {
        let Parts { store, aggregate, entity, first, records, checksum, epoch } = parts;
        if first == 0 || records == 0 || first.checked_add(records).is_none() {
            return Err("no run has these records");
        }
        let id = PersistenceId::new(aggregate, entity);
        Ok(Self { store, id, first: SeqNr(first), records, checksum, epoch })
    }
}

/// Settles a run by reading what is in its place.
pub(super) async fn settle<J: Journal + ?Sized>(journal: &J, run: &RunKey) -> Result<Settled, ReadError> {
    let facts = journal.facts();
    if run.store != facts.store {
        return Err(ReadError::OtherStore { run: run.store, journal: facts.store });
    }
    // Who hasn't opened the journal after it may not see it though it is there, or see it though it will not last.
    if run.epoch >= facts.epoch {
        return Ok(Settled::Unsettled);
    }
    let head = journal.open_stream(&run.id).await?;
    let settled = look(journal, run, &head).await;
    journal.close_stream(head.stream);
    match settled {
        Err(ReadError::Forgotten { .. }) => Ok(Settled::Unsettled),
        settled => settled,
    }
}

async fn look<J: Journal + ?Sized>(journal: &J, run: &RunKey, head: &StreamHead) -> Result<Settled, ReadError> {
    if head.last < run.first {
        return Ok(Settled::NotStored);
    }
    // A run is there as long as one of its records is.
    let from = run.first.max(head.floor.next());
    if from > run.last() {
        return Ok(Settled::Unsettled);
    }
    let page = journal.read(head.stream, from, from, PAGE_BYTES_MAX).await?;
    let Some(found) = page.runs.first() else {
        // It was deleted meanwhile; or it isn't there, since the stream ends within the place of the run.
        let is_there = head.last >= from;
        return Ok(if is_there { Settled::Unsettled } else { Settled::NotStored });
    };
    let store = journal.facts().store;
    let view = RunView::parse(&found.bytes, store).map_err(|error| ReadError::Engine {
        what: format!("{} from sequence number {from}", run.id),
        error: error.to_string().into(),
    })?;
    let is_it = view.first() == run.first && stored_checksum(&found.bytes) == run.checksum;
    Ok(if is_it { Settled::Stored(found.offset) } else { Settled::NotStored })
}
