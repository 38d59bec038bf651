//! A run: consecutive commands of one stream, encoded to be stored as one row. The bytes are described in `bytes.rs`.

use std::hash::{BuildHasher, Hasher, RandomState};

use jiff::Timestamp;

use super::bytes::{
    CHECKSUM_BYTES, Reader, VARINT_BYTES_MAX, Varint, checksum, len_u64, micros, push_prefixed, push_varint, varint_len,
};
use super::record::{Due, Record, StoredCause, StoredOutcome, WRITE_HEADER_BYTES_MAX, Write};
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::{Facts, Why};

mod view;

#[cfg(feature = "fjall")]
pub(crate) use view::RunOutline;
pub use view::{RunError, RunView};

pub(super) const FORMAT: u8 = 1;
pub(super) const RUN_EXTENSIONS: u8 = 0x01;
const WRITE_KEY: u8 = 0x01;
const WRITE_OUTCOME: u8 = 0x02;
const WRITE_CAUSE: u8 = 0x04;
const WRITE_EXTENSIONS: u8 = 0x08;
pub(super) const SALT_BYTES: usize = 8;

/// The names that every run begins with: the aggregate's and the entity's.
const NAMES_BEFORE_RECORDS: u64 = 2;

/// All of a run but its names and writes, at the most: format, flags, checksum, salt and base time have a fixed length,
/// the others are varints.
const HEADER_BYTES_MAX: usize = 2 + CHECKSUM_BYTES + SALT_BYTES + 8 + 8 * VARINT_BYTES_MAX;

/// A sealed run, ready to be stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Run {
    /// The stream, as [`Journal::open_stream`](crate::journal::Journal::open_stream) numbers it.
    pub stream: StreamNo,
    /// The stream's name.
    pub id: PersistenceId,
    /// The sequence number of the first record.
    pub first: SeqNr,
    /// How many records there are; at least 1.
    pub records: u64,
    /// The time of the last write.
    pub time: Timestamp,
    /// What it makes of the stream's deadline. A journal stores it beside the run, and doesn't read the records for it:
    /// [`RunBuilder::push_write`] holds the one against the others.
    pub due: Due,
    /// Whether its stream is to be encrypted with a key of its own, so that it can be forgotten. It counts for the first
    /// run of a stream; the others are stored as that one was.
    pub forgettable: bool,
    /// Whether its last record is the stream's tombstone: with the run, everything before that record is deleted.
    pub ends: bool,
    /// The encoded run.
    pub bytes: Vec<u8>,
}

impl Run {
    /// Says whether a journal may take this run, and what its checksum is: what is stored is what the fields say, and
    /// a run that was damaged in memory isn't stored at all. That its stream is open, and that it is the next of it, is
    /// left to the journal.
    ///
    /// # Errors
    ///
    /// Why it may not: [`Why::InvalidId`], [`Why::TooLarge`] or [`Why::BadRun`].
    pub fn check(&self, facts: &Facts) -> Result<u64, Why> {
        self.id.entity.check()?;
        if self.bytes.len() > facts.run_bytes_max {
            return Err(Why::TooLarge { bytes: self.bytes.len(), limit: facts.run_bytes_max });
        }
        let view = RunView::parse(&self.bytes, facts.store).map_err(|error| Why::BadRun(error.to_string().into()))?;
        if !view.is_of(&self.id) || view.first() != self.first || view.records() != self.records {
            return Err(Why::BadRun("its bytes are of another run than its fields".into()));
        }
        let ends = view.ends().map_err(|error| Why::BadRun(error.to_string().into()))?;
        if ends != self.ends || (ends && self.due != Due::Cleared) {
            return Err(Why::BadRun(
                "its fields don't say that it ends with a tombstone and clears the deadline".into(),
            ));
        }
        Ok(stored_checksum(&self.bytes))
    }

    /// The sequence number of the last record.
    pub fn last(&self) -> SeqNr {
        SeqNr(self.first.0.saturating_add(self.records.saturating_sub(1)))
    }
}

/// The checksum that a run carries, whether it is right or not.
pub(crate) fn stored_checksum(run: &[u8]) -> u64 {
    run.last_chunk::<CHECKSUM_BYTES>().map_or(0, |sum| u64::from_le_bytes(*sum))
}

impl std::fmt::Debug for Run {
    /// Shows no payloads.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("stream", &self.stream)
            .field("id", &self.id)
            .field("first", &self.first)
            .field("records", &self.records)
            .field("time", &self.time)
            .field("due", &self.due)
            .field("forgettable", &self.forgettable)
            .field("ends", &self.ends)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// Collects the writes of a run.
///
/// Nothing is allocated for an event but room in growing buffers, and a builder whose run was sealed can begin another in
/// the same buffers, with [`RunBuilder::restart`].
///
/// # Examples
///
/// ```
/// use annals::journal::{Due, EventRecord, Journal, MemoryJournal, Record, RunBuilder, RunError, RunView, Write};
/// use annals::{Codec, PersistenceId, SeqNr, StreamNo, Timestamp};
///
/// let facts = MemoryJournal::new().facts();
/// let mut run = RunBuilder::new(StreamNo(1), PersistenceId::new("account", "alice"), SeqNr(1));
/// let event = EventRecord { name: "deposited", version: 1, codec: Codec::Json, payload: b"{}" };
/// let deposited = Record::Event(event);
/// run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [deposited, deposited].into_iter());
/// let run = run.seal(&facts, 1);
///
/// let view = RunView::parse(&run.bytes, facts.store)?;
/// assert_eq!((view.first(), view.last()), (SeqNr(1), SeqNr(2)));
/// view.for_each(|_seq_nr, _write, record| {
///     assert_eq!(record, deposited);
///     Ok::<(), RunError>(())
/// })?;
/// # Ok::<(), RunError>(())
/// ```
pub struct RunBuilder {
    stream: StreamNo,
    id: PersistenceId,
    first: SeqNr,
    /// The names as they are stored, the aggregate's and the entity's included.
    names: Vec<u8>,
    /// Where those behind these two begin in `names`, and how many they are.
    later_names: usize,
    later_name_count: u64,
    /// The writes as they are stored.
    writes: Vec<u8>,
    write_count: u64,
    record_count: u64,
    /// The times of the first and of the last write, in us.
    times: Option<(i64, i64)>,
    due: Due,
    forgettable: bool,
    ends: bool,
}

impl RunBuilder {
    /// Begins a run of `id` whose first record is `first`.
    ///
    /// # Panics
    ///
    /// If `first` is 0: sequence numbers begin at 1.
    pub fn new(stream: StreamNo, id: PersistenceId, first: SeqNr) -> Self {
        let mut run = Self {
            stream,
            id: id.clone(),
            first,
            names: Vec::with_capacity(64),
            later_names: 0,
            later_name_count: 0,
            writes: Vec::with_capacity(192),
            write_count: 0,
            record_count: 0,
            times: None,
            due: Due::Unchanged,
            forgettable: false,
            ends: false,
        };
        run.restart(stream, id, first);
        run
    }

    /// Has its streams encrypted, if these are their first runs, so that they can be forgotten.
    #[must_use]
    pub fn forgettable(self) -> Self {
        Self { forgettable: true, ..self }
    }

    /// Whether its streams are to be encrypted from here on.
    pub(crate) fn set_forgettable(&mut self, forgettable: bool) {
        self.forgettable = forgettable;
    }

    /// Begins another run, without the writes that are there.
    ///
    /// # Panics
    ///
    /// If `first` is 0: sequence numbers begin at 1.
    pub fn restart(&mut self, stream: StreamNo, id: PersistenceId, first: SeqNr) {
        assert!(first > SeqNr::ZERO, "sequence numbers begin at 1");
        self.names.clear();
        push_prefixed(&mut self.names, id.aggregate.as_bytes());
        push_prefixed(&mut self.names, id.entity.as_str().as_bytes());
        (self.stream, self.id, self.first) = (stream, id, first);
        (self.later_names, self.later_name_count) = (self.names.len(), 0);
        self.writes.clear();
        (self.write_count, self.record_count, self.times, self.due) = (0, 0, None, Due::Unchanged);
        self.ends = false;
    }

    /// How many bytes its buffers hold on to.
    pub fn capacity(&self) -> usize {
        self.names.capacity() + self.writes.capacity()
    }

    /// The most bytes that a write adds to [`RunBuilder::bytes`].
    #[expect(single_use_lifetimes, reason = "an `impl Trait` can't leave it out yet")]
    pub fn write_bytes_at_most<'r>(write: &Write<'_>, records: impl Iterator<Item = Record<'r>>) -> usize {
        let header = WRITE_HEADER_BYTES_MAX
            .saturating_add(write.outcome.map_or(0, StoredOutcome::bytes_at_most))
            .saturating_add(write.cause.map_or(0, StoredCause::bytes_at_most));
        records.fold(header, |bytes, record| bytes.saturating_add(record.bytes_at_most()))
    }

    /// Adds what one command stores: its records, stored together, and what they make of the stream's deadline.
    /// `records` must not be empty.
    ///
    /// The last record that says something about the deadline counts. A transition arms the one that it has, or clears;
    /// into a transient state it leaves it as it was. A consumed deadline clears, or leaves as it was in a transient
    /// state. Other records say nothing about it.
    ///
    /// Times are kept in microseconds. A time before that of the write before is stored as that one: within a run,
    /// time never runs backwards.
    ///
    /// # Panics
    ///
    /// If `records` is empty, has another length than it says, makes something else of the deadline than `due`, or follows
    /// a tombstone.
    #[expect(single_use_lifetimes, reason = "an `impl Trait` can't leave it out yet")]
    pub fn push_write<'r>(&mut self, write: &Write<'_>, due: Due, records: impl ExactSizeIterator<Item = Record<'r>>) {
        assert!(records.len() > 0, "a write has at least one record");
        let micros = micros(write.time);
        let (base, before) = self.times.unwrap_or((micros, micros));
        let micros = micros.max(before);
        self.times = Some((base, micros));
        self.due = self.due.then(due);

        let count = len_u64(records.len());
        let begin = self.writes.len();
        let mut flags = 0;
        for (flag, present) in [
            (WRITE_KEY, write.key.is_some()),
            (WRITE_OUTCOME, write.outcome.is_some()),
            (WRITE_CAUSE, write.cause.is_some()),
        ] {
            flags |= if present { flag } else { 0 };
        }
        let Self { names, later_names, later_name_count, writes, .. } = self;
        let mut name_index = |name: &str| name_index(names, *later_names, later_name_count, name);
        writes.push(0); // room for the length
        writes.push(flags);
        push_varint(writes, micros.abs_diff(before));
        push_varint(writes, count);
        if let Some(key) = write.key {
            key.push(writes);
        }
        if let Some(outcome) = write.outcome {
            outcome.push(writes, &mut name_index);
        }
        if let Some(cause) = write.cause {
            cause.push(writes, &mut name_index);
        }
        let mut pushed = 0;
        let mut agrees = due == Due::Unchanged;
        for record in records {
            assert!(!self.ends, "nothing follows a tombstone");
            record.push(writes, &mut name_index);
            agrees = record.agrees_with(due).unwrap_or(agrees);
            self.ends = record == Record::Tombstone;
            pushed += 1;
        }
        assert_eq!(pushed, count, "the iterator has as many records as it says");
        assert!(agrees, "the records make of the deadline what the write says");
        self.write_length(begin);
        self.write_count += 1;
        self.record_count += count;
    }

    /// Puts the length of the write that begins at `begin` into the room left for it, which has one byte.
    fn write_length(&mut self, begin: usize) {
        let content = begin + 1..self.writes.len();
        let len = Varint::new(len_u64(content.len()));
        let more = len.as_slice().len() - 1;
        if more > 0 {
            self.writes.resize(content.end + more, 0);
            self.writes.copy_within(content.clone(), content.start + more);
        }
        self.writes[begin..=begin + more].copy_from_slice(len.as_slice());
    }

    /// The length of the run if it were sealed now, or a little more.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES_MAX + self.names.len() + self.writes.len()
    }

    /// The sequence number of the last record; the one before the first if there is none.
    pub fn last(&self) -> SeqNr {
        SeqNr(self.first.0 - 1 + self.record_count)
    }

    /// Encodes the run. `number` is unique within the epoch.
    ///
    /// # Panics
    ///
    /// If there are no writes.
    pub fn seal(&mut self, facts: &Facts, number: u64) -> Run {
        // A new `RandomState` has keys of its own, so that this is unpredictable from outside.
        let salt = RandomState::new().build_hasher().finish();
        self.seal_with_salt(facts, number, salt.to_le_bytes())
    }

    fn seal_with_salt(&mut self, facts: &Facts, number: u64, salt: [u8; SALT_BYTES]) -> Run {
        let Some((base, last)) = self.times else {
            panic!("a run has at least one write");
        };
        let before = [facts.epoch, number];
        let behind = [self.write_count, self.record_count, self.later_name_count + NAMES_BEFORE_RECORDS];
        let varints = before.iter().chain(&behind).chain([&0, &self.first.0]).map(|number| varint_len(*number));
        let content = varints.sum::<usize>() + SALT_BYTES + 8 + self.names.len() + self.writes.len();

        let mut bytes = Vec::with_capacity(2 + VARINT_BYTES_MAX + content + CHECKSUM_BYTES);
        bytes.extend_from_slice(&[FORMAT, 0]);
        push_varint(&mut bytes, len_u64(content));
        before.into_iter().for_each(|number| push_varint(&mut bytes, number));
        bytes.extend_from_slice(&salt);
        push_varint(&mut bytes, 0);
        push_varint(&mut bytes, self.first.0);
        bytes.extend_from_slice(&base.to_le_bytes());
        behind.into_iter().for_each(|number| push_varint(&mut bytes, number));
        bytes.extend_from_slice(&self.names);
        bytes.extend_from_slice(&self.writes);
        let sum = checksum(facts.store, &[&bytes]);
        bytes.extend_from_slice(&sum.to_le_bytes());

        // It was a `Timestamp` before, so it still is one.
        let time = Timestamp::from_microsecond(last).unwrap_or(Timestamp::MAX);
        Run {
            stream: self.stream,
            id: self.id.clone(),
            first: self.first,
            records: self.record_count,
            time,
            due: self.due,
            forgettable: self.forgettable,
            ends: self.ends,
            bytes,
        }
    }
}

/// The index of a name in the run, which gets it if it doesn't have it yet.
fn name_index(names: &mut Vec<u8>, later_names: usize, count: &mut u64, name: &str) -> u64 {
    let mut reader = Reader::new(&names[later_names..]);
    for index in 0..*count {
        if reader.prefixed("a name").is_ok_and(|known| known == name.as_bytes()) {
            return index + NAMES_BEFORE_RECORDS;
        }
    }
    push_prefixed(names, name.as_bytes());
    *count += 1;
    *count - 1 + NAMES_BEFORE_RECORDS
}

impl std::fmt::Debug for RunBuilder {
    /// Shows no payloads.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunBuilder")
            .field("stream", &self.stream)
            .field("id", &self.id)
            .field("first", &self.first)
            .field("writes", &self.write_count)
            .field("records", &self.record_count)
            .field("bytes", &self.bytes())
            .finish()
    }
}

#[cfg(test)]
mod tests;
