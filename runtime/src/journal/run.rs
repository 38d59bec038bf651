//! A run: consecutive commands of one stream, encoded to be stored as one row. The bytes are described in `bytes.rs`.

use jiff::Timestamp;

use crate::codec::Codec;
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::Facts;

/// A sealed run, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The encoded run.
    pub bytes: Vec<u8>,
}

/// Collects the writes of a run.
#[derive(Debug)]
pub struct RunBuilder {}

/// One event as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRecord<'a> {
    /// The stored name.
    pub name: &'a str,
    /// The version of the payload.
    pub version: u32,
    /// The codec of the payload.
    pub codec: Codec,
    /// The payload.
    pub payload: &'a [u8],
}

impl RunBuilder {
    /// Begins a run of `id` whose first record is `first`.
    pub fn new(stream: StreamNo, id: PersistenceId, first: SeqNr) -> Self {
        let _ = (stream, id, first);
        todo!()
    }

    /// Adds the events of one command, stored together. `events` must not be empty.
    pub fn push_write<'e>(&mut self, time: Timestamp, events: impl ExactSizeIterator<Item = EventRecord<'e>>) {
        let _ = (time, events);
        todo!()
    }

    /// The length of the run if it were sealed now, or a little more.
    pub fn bytes(&self) -> usize {
        todo!()
    }

    /// The sequence number of the last record; the one before the first if there is none.
    pub fn last(&self) -> SeqNr {
        todo!()
    }

    /// Encodes the run. `number` is unique within the epoch.
    pub fn seal(self, facts: &Facts, number: u64) -> Run {
        let _ = (facts, number);
        todo!()
    }
}

/// A stored run, decoded as far as its header; its checksum is right.
#[derive(Debug)]
pub struct RunView<'a> {
    bytes: &'a [u8],
}

/// One record of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// An event.
    Event(EventRecord<'a>),
    /// A kind that this version doesn't know and may skip. It still has a sequence number.
    Skipped {
        /// The kind's number.
        kind: u8,
    },
}

/// Why bytes are not a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {}

impl<'a> RunView<'a> {
    /// Checks the checksum and reads the header.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the checksum is wrong, the format is newer, or the bytes are no run.
    pub fn parse(bytes: &'a [u8], store: u64) -> Result<Self, RunError> {
        let _ = (bytes, store);
        todo!()
    }

    /// The stream's name.
    pub fn id(&self) -> PersistenceId {
        todo!()
    }

    /// The sequence number of the first record.
    pub fn first(&self) -> SeqNr {
        todo!()
    }

    /// How many records there are.
    pub fn records(&self) -> u64 {
        todo!()
    }

    /// Hands each record to `visit` with its sequence number and the time of its write.
    ///
    /// # Errors
    ///
    /// What `visit` says, or [`RunError`].
    pub fn for_each<E: From<RunError>>(
        &self,
        visit: impl FnMut(SeqNr, Timestamp, Record<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let _ = (self.bytes, visit);
        todo!()
    }
}
