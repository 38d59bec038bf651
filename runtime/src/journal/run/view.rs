//! A stored run, read.

use jiff::Timestamp;

use super::{
    FORMAT, NAMES_BEFORE_RECORDS, RUN_EXTENSIONS, SALT_BYTES, WRITE_CAUSE, WRITE_EXTENSIONS, WRITE_KEY, WRITE_OUTCOME,
};
use crate::id::{PersistenceId, SeqNr};
use crate::journal::bytes::{CHECKSUM_BYTES, Flaw, Malformed, Reader, checksum, skip_extensions};
use crate::journal::record::{Record, StoredCause, StoredKey, StoredOutcome, TOMBSTONE, Write};

/// As many names as a [`RunView`] has room for without allocating.
const NAMES_AT_HAND: usize = 6;

/// A stored run, decoded as far as its header; its checksum is right.
pub struct RunView<'a> {
    epoch: u64,
    number: u64,
    first: SeqNr,
    base: i64,
    writes: u64,
    records: u64,
    /// The first of the names, the aggregate's and the entity's included.
    at_hand: [&'a str; NAMES_AT_HAND],
    /// The names that have no room there: seldom any.
    more_names: Vec<&'a str>,
    names: u64,
    body: Reader<'a>,
}

/// Why bytes are not a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The bytes are not those that were written, or belong to another store.
    #[error("its checksum is wrong")]
    Checksum,
    /// A newer version wrote it.
    #[error("it has format {found}, and this version reads formats up to {supported}: a newer version wrote it")]
    NewerFormat {
        /// The format.
        found: u8,
        /// The newest one that this version reads.
        supported: u8,
    },
    /// A newer version wrote something into it that may not be skipped.
    #[error("it uses {what} ({number:#x}), which this version doesn't know: a newer version wrote it")]
    NewerFeature {
        /// What it is.
        what: &'static str,
        /// The number that stands for it.
        number: u64,
    },
    /// It is encrypted.
    #[error("it is encrypted with key {key}, and only its journal can decrypt it")]
    Encrypted {
        /// The key's number.
        key: u64,
    },
    /// The checksum is right, and the bytes are still no run.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The checksum is right, and the run contradicts itself.
    #[error("it says that it has {said} {what} and has {found}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// What the header says.
        said: u64,
        /// What there is.
        found: u64,
    },
}

/// The fields before the names.
struct Head {
    epoch: u64,
    number: u64,
    first: SeqNr,
    base: i64,
    writes: u64,
    records: u64,
    names: u64,
}

impl Head {
    fn read(body: &mut Reader<'_>) -> Result<Self, RunError> {
        let epoch = body.varint("the epoch")?;
        let number = body.varint("the run number")?;
        body.take(SALT_BYTES, "the salt")?;
        let key = body.varint("the key number")?;
        if key != 0 {
            return Err(RunError::Encrypted { key });
        }
        let first = body.varint("the first sequence number")?;
        let base = body.i64("the base time")?;
        let writes = body.varint("the number of writes")?;
        let records = body.varint("the number of records")?;
        let out_of_range = |what| RunError::Malformed(Malformed { what, flaw: Flaw::OutOfRange });
        if first == 0 || first.checked_add(records).is_none() {
            return Err(out_of_range("the first sequence number"));
        }
        if writes == 0 || records < writes {
            return Err(out_of_range("the number of records"));
        }
        let names = body.varint("the number of names")?;
        if names < NAMES_BEFORE_RECORDS {
            return Err(out_of_range("the number of names"));
        }
        Ok(Self { epoch, number, first: SeqNr(first), base, writes, records, names })
    }
}

/// The body of a run and its flags; its checksum is right.
fn body(bytes: &[u8], store: u64) -> Result<(Reader<'_>, u8), RunError> {
    let (content, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(RunError::Checksum)?;
    if checksum(store, &[content]) != u64::from_le_bytes(*sum) {
        return Err(RunError::Checksum);
    }
    let mut reader = Reader::new(content);
    let format = reader.u8("the format")?;
    if format != FORMAT {
        return Err(RunError::NewerFormat { found: format, supported: FORMAT });
    }
    let flags = reader.u8("the flags")?;
    if flags & !RUN_EXTENSIONS != 0 {
        return Err(RunError::NewerFeature { what: "a flag of a run", number: flags.into() });
    }
    let body = reader.prefixed("the body")?;
    reader.end("the body")?;
    Ok((Reader::new(body), flags))
}

/// Whose a stored run is and which records it has, for those who only pass it on; its checksum is right.
#[cfg(feature = "fjall")]
pub(crate) struct RunOutline<'a> {
    pub(crate) first: SeqNr,
    pub(crate) records: u64,
    aggregate: &'a [u8],
    entity: &'a [u8],
}

#[cfg(feature = "fjall")]
impl<'a> RunOutline<'a> {
    /// Checks the checksum, and reads no more than it needs: the rest may still be malformed.
    pub(crate) fn parse(bytes: &'a [u8], store: u64) -> Result<Self, RunError> {
        let (mut body, _flags) = body(bytes, store)?;
        let Head { first, records, .. } = Head::read(&mut body)?;
        let (aggregate, entity) = (body.prefixed("a name")?, body.prefixed("a name")?);
        Ok(Self { first, records, aggregate, entity })
    }

    /// Whether the run belongs to `id`.
    pub(crate) fn is_of(&self, id: &PersistenceId) -> bool {
        self.aggregate == id.aggregate.as_bytes() && self.entity == id.entity.as_str().as_bytes()
    }

    /// The sequence number of the last record.
    pub(crate) fn last(&self) -> SeqNr {
        SeqNr(self.first.0 + (self.records - 1))
    }
}

impl<'a> RunView<'a> {
    /// Checks the checksum and reads the header.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the checksum is wrong, the format is newer, or the bytes are no run.
    pub fn parse(bytes: &'a [u8], store: u64) -> Result<Self, RunError> {
        let (mut body, flags) = body(bytes, store)?;
        let Head { epoch, number, first, base, writes, records, names } = Head::read(&mut body)?;
        let out_of_range = |what| RunError::Malformed(Malformed { what, flaw: Flaw::OutOfRange });
        let mut at_hand = [""; NAMES_AT_HAND];
        let mut more_names = Vec::new();
        let mut slots = at_hand.iter_mut();
        // Each name takes at least one byte, so this ends with the bytes if the number is wrong.
        for _ in 0..names {
            let name = body.text("a name")?;
            match slots.next() {
                Some(slot) => *slot = name,
                None => more_names.push(name),
            }
        }
        let [aggregate, entity, ..] = at_hand;
        if aggregate.is_empty() || aggregate.len() > PersistenceId::AGGREGATE_BYTES_MAX {
            return Err(out_of_range("the aggregate's name"));
        }
        if entity.is_empty() || entity.len() > crate::id::EntityId::BYTES_MAX {
            return Err(out_of_range("the entity's id"));
        }
        if flags & RUN_EXTENSIONS != 0 {
            check_extensions(&mut body, "a critical extension of a run")?;
        }
        Ok(Self { epoch, number, first, base, writes, records, at_hand, more_names, names, body })
    }

    /// The stream's name.
    pub fn id(&self) -> PersistenceId {
        let [aggregate, entity, ..] = self.at_hand;
        PersistenceId::new(aggregate, entity)
    }

    /// Whether the run belongs to `id`; cheaper than comparing with [`RunView::id`].
    pub fn is_of(&self, id: &PersistenceId) -> bool {
        let [aggregate, entity, ..] = self.at_hand;
        aggregate == &*id.aggregate && entity == id.entity.as_str()
    }

    /// The epoch in which it was written.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Its number within the epoch.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The sequence number of the first record.
    pub fn first(&self) -> SeqNr {
        self.first
    }

    /// The sequence number of the last record.
    pub fn last(&self) -> SeqNr {
        SeqNr(self.first.0 + (self.records - 1))
    }

    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Hands each record to `visit` with its sequence number and the write that it belongs to.
    ///
    /// # Errors
    ///
    /// What `visit` says, or [`RunError`].
    pub fn for_each<E: From<RunError>>(
        &self,
        mut visit: impl FnMut(SeqNr, &Write<'a>, Record<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let malformed = |malformed| E::from(RunError::Malformed(malformed));
        let name_of = |index| self.name(index);
        let mut body = self.body;
        let mut micros = self.base;
        let mut writes = 0;
        let mut records = 0;
        while !body.is_empty() {
            let mut reader = Reader::new(body.prefixed("a write").map_err(malformed)?);
            let (write, count) = self.write_header(&mut reader, &mut micros)?;
            for _ in 0..count {
                // The header has checked that `first + records` doesn't overflow.
                if records == self.records {
                    return Err(RunError::Count { what: "records", said: self.records, found: records + 1 }.into());
                }
                let record = Record::read(&mut reader, &name_of)?;
                visit(SeqNr(self.first.0 + records), &write, record)?;
                records += 1;
            }
            reader.end("a write").map_err(malformed)?;
            writes += 1;
        }
        for (what, said, found) in [("writes", self.writes, writes), ("records", self.records, records)] {
            if said != found {
                return Err(RunError::Count { what, said, found }.into());
            }
        }
        Ok(())
    }

    /// Whether the last record is a tombstone.
    pub(crate) fn ends(&self) -> Result<bool, RunError> {
        // Almost no run does, and this tells it without a look at the records.
        if !self.body.rest().ends_with(&TOMBSTONE) {
            return Ok(false);
        }
        let mut ends = false;
        self.for_each(|_, _, record| {
            ends = record == Record::Tombstone;
            Ok::<(), RunError>(())
        })?;
        Ok(ends)
    }

    /// Reads a write up to its records, and how many of them follow.
    fn write_header(&self, reader: &mut Reader<'a>, micros: &mut i64) -> Result<(Write<'a>, u64), RunError> {
        let out_of_range = |what| Malformed { what, flaw: Flaw::OutOfRange };
        let name_of = |index| self.name(index);
        let flags = reader.u8("a write's flags")?;
        let has = |flag| flags & flag != 0;
        if has(!(WRITE_KEY | WRITE_OUTCOME | WRITE_CAUSE | WRITE_EXTENSIONS)) {
            return Err(RunError::NewerFeature { what: "a flag of a write", number: flags.into() });
        }
        let delta = reader.varint("a write's time")?;
        *micros = micros.checked_add_unsigned(delta).ok_or_else(|| out_of_range("a write's time"))?;
        let time = Timestamp::from_microsecond(*micros).map_err(|_| out_of_range("a write's time"))?;
        let count = reader.varint("a write's number of records")?;
        if count == 0 {
            return Err(out_of_range("a write's number of records").into());
        }
        let key = has(WRITE_KEY).then(|| StoredKey::read(reader)).transpose()?;
        let outcome = has(WRITE_OUTCOME).then(|| StoredOutcome::read(reader, &name_of)).transpose()?;
        let cause = has(WRITE_CAUSE).then(|| StoredCause::read(reader, &name_of)).transpose()?;
        if has(WRITE_EXTENSIONS) {
            check_extensions(reader, "a critical extension of a write")?;
        }
        Ok((Write { time, key, outcome, cause }, count))
    }

    fn name(&self, index: u64) -> Result<&'a str, RunError> {
        if !(NAMES_BEFORE_RECORDS..self.names).contains(&index) {
            return Err(Malformed { what: "a name's index", flaw: Flaw::OutOfRange }.into());
        }
        let name = usize::try_from(index).ok().and_then(|index| match index.checked_sub(NAMES_AT_HAND) {
            None => self.at_hand.get(index),
            Some(index) => self.more_names.get(index),
        });
        name.copied().ok_or(RunError::Malformed(Malformed { what: "a name's index", flaw: Flaw::OutOfRange }))
    }
}

fn check_extensions(reader: &mut Reader<'_>, what: &'static str) -> Result<(), RunError> {
    match skip_extensions(reader)? {
        None => Ok(()),
        Some(number) => Err(RunError::NewerFeature { what, number }),
    }
}

impl std::fmt::Debug for RunView<'_> {
    /// Shows no payloads.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunView")
            .field("id", &self.id())
            .field("epoch", &self.epoch)
            .field("number", &self.number)
            .field("first", &self.first)
            .field("records", &self.records)
            .finish()
    }
}
