//! The order of everything: one row for each group commit, each with the digest of the one before it.
//!
//! The chain runs over the checksums of the runs, not over the runs: a run may be removed later, and the chain still
//! verifies. The bytes are described in `bytes.rs`.

use std::sync::Arc;

use jiff::Timestamp;

use super::bytes::{
    CHECKSUM_BYTES, Flaw, Malformed, Reader, Varint, checksum, len_u64, micros, push_prefixed, push_varint, text,
};
use super::cipher::IdDigest;
use super::floor::Floor;
use super::record::Due;
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};

const FORMAT: u8 = 1;
const CONTROL_NEW_STREAM: u8 = 1;
const CONTROL_FLOOR: u8 = 3;
const CONTROL_NEW_HIDDEN_STREAM: u8 = 5;
const CONTROL_SKIPPABLE: u8 = 0x80;
const RUN_DUE: u8 = 0x01;
const RUN_CLEARED: u8 = 0x04;

/// A place in the chain: a group, its last record, and its digest. Before the first group all are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    pub(crate) group: u64,
    pub(crate) offset: Offset,
    pub(crate) digest: u64,
}

/// One run of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrderedRun {
    pub(crate) stream: StreamNo,
    pub(crate) first: SeqNr,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) checksum: u64,
    pub(crate) due: Due,
}

impl OrderedRun {
    /// The sequence number of the last record.
    pub(crate) fn last(&self) -> SeqNr {
        SeqNr(self.first.0 + (self.records - 1))
    }
}

/// A group, read from its row; its digest is right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OrderRow {
    pub(crate) epoch: u64,
    pub(crate) base: Offset,
    pub(crate) time: i64,
    /// The digest of the row before.
    pub(crate) before: u64,
    pub(crate) runs: Vec<OrderedRun>,
    /// The streams that begin with this group.
    pub(crate) new_streams: Vec<(StreamNo, PersistenceId)>,
    /// Those of them that can be forgotten, with their aggregates and what stands for their ids.
    pub(crate) new_hidden_streams: Vec<(StreamNo, Arc<str>, IdDigest)>,
    /// The floors that rise with this group.
    pub(crate) floors: Vec<(StreamNo, Floor)>,
    /// The place of this group in the chain.
    pub(crate) mark: Mark,
}

/// Why bytes are not the order row of a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("its digest is wrong")]
    Digest,
    #[error("it has format {found}, and this version reads formats up to {FORMAT}: a newer version wrote it")]
    NewerFormat { found: u8 },
    #[error("it uses {what} ({number:#x}), which this version doesn't know: a newer version wrote it")]
    NewerFeature { what: &'static str, number: u8 },
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Collects a group. Its buffers are used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct OrderBuilder {
    aggregates: Vec<Arc<str>>,
    runs: Vec<u8>,
    run_count: u64,
    records: u64,
    controls: Vec<u8>,
    control_count: u64,
}

impl OrderBuilder {
    pub(crate) fn clear(&mut self) {
        self.aggregates.clear();
        self.runs.clear();
        self.controls.clear();
        (self.run_count, self.records, self.control_count) = (0, 0, 0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.run_count == 0 && self.control_count == 0
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    pub(crate) fn push_run(&mut self, aggregate: &Arc<str>, run: &OrderedRun) {
        let aggregate = self.aggregate_index(aggregate);
        for number in [run.stream.0, aggregate, run.first.0, run.records, run.bytes] {
            push_varint(&mut self.runs, number);
        }
        self.runs.extend_from_slice(&run.checksum.to_le_bytes());
        match run.due {
            Due::Unchanged => self.runs.push(0),
            Due::Cleared => self.runs.push(RUN_CLEARED),
            Due::At(due) => {
                self.runs.push(RUN_DUE);
                self.runs.extend_from_slice(&micros(due).to_le_bytes());
            }
        }
        self.run_count += 1;
        self.records += run.records;
    }

    pub(crate) fn push_new_stream(&mut self, stream: StreamNo, id: &PersistenceId) {
        self.push_named(CONTROL_NEW_STREAM, stream, &id.aggregate, id.entity.as_str().as_bytes());
    }

    pub(crate) fn push_new_hidden_stream(&mut self, stream: StreamNo, aggregate: &Arc<str>, digest: &IdDigest) {
        self.push_named(CONTROL_NEW_HIDDEN_STREAM, stream, aggregate, digest);
    }

    fn push_named(&mut self, kind: u8, stream: StreamNo, aggregate: &Arc<str>, name: &[u8]) {
        let stream = Varint::new(stream.0);
        let aggregate = Varint::new(self.aggregate_index(aggregate));
        self.controls.push(kind);
        let len = stream.as_slice().len() + aggregate.as_slice().len() + name.len();
        push_varint(&mut self.controls, len_u64(len));
        self.controls.extend_from_slice(stream.as_slice());
        self.controls.extend_from_slice(aggregate.as_slice());
        self.controls.extend_from_slice(name);
        self.control_count += 1;
    }

    pub(crate) fn push_floor(&mut self, stream: StreamNo, floor: Floor) {
        let (stream, to) = (Varint::new(stream.0), Varint::new(floor.to.0));
        self.controls.push(CONTROL_FLOOR);
        push_varint(&mut self.controls, len_u64(stream.as_slice().len() + to.as_slice().len() + 1));
        self.controls.extend_from_slice(stream.as_slice());
        self.controls.extend_from_slice(to.as_slice());
        self.controls.push(floor.flags());
        self.control_count += 1;
    }

    fn aggregate_index(&mut self, name: &Arc<str>) -> u64 {
        let found = self.aggregates.iter().position(|known| Arc::ptr_eq(known, name) || known == name);
        len_u64(found.unwrap_or_else(|| {
            self.aggregates.push(Arc::clone(name));
            self.aggregates.len() - 1
        }))
    }

    /// Writes the row of the group behind `before` into `row`, and says where it stands.
    pub(crate) fn write(&self, row: &mut Vec<u8>, store: u64, epoch: u64, time: i64, before: Mark) -> Mark {
        assert!(!self.is_empty(), "a group has at least one run or control");
        let group = before.group + 1;
        row.clear();
        row.extend_from_slice(&[FORMAT, 0]);
        for number in [epoch, before.offset.0 + 1, self.records] {
            push_varint(row, number);
        }
        row.extend_from_slice(&time.to_le_bytes());
        row.extend_from_slice(&before.digest.to_le_bytes());
        push_varint(row, len_u64(self.aggregates.len()));
        for aggregate in &self.aggregates {
            push_prefixed(row, aggregate.as_bytes());
        }
        push_varint(row, self.run_count);
        row.extend_from_slice(&self.runs);
        push_varint(row, self.control_count);
        row.extend_from_slice(&self.controls);
        let digest = checksum(store, &[&group_key(group), row]);
        row.extend_from_slice(&digest.to_le_bytes());
        Mark { group, offset: Offset(before.offset.0 + self.records), digest }
    }
}

/// The key of a group's row.
pub(crate) fn group_key(group: u64) -> [u8; 9] {
    let mut key = [1; 9];
    key[1..].copy_from_slice(&group.to_be_bytes());
    key
}

/// The group whose row has this key.
pub(crate) fn group_of_key(key: &[u8]) -> Option<u64> {
    match key.split_first()? {
        (1, group) => group.try_into().ok().map(u64::from_be_bytes),
        _ => None,
    }
}

impl OrderRow {
    pub(crate) fn parse(row: &[u8], store: u64, group: u64) -> Result<Self, OrderError> {
        let (content, digest) = row.split_last_chunk::<CHECKSUM_BYTES>().ok_or(OrderError::Digest)?;
        let digest = u64::from_le_bytes(*digest);
        if checksum(store, &[&group_key(group), content]) != digest {
            return Err(OrderError::Digest);
        }
        let mut reader = Reader::new(content);
        let format = reader.u8("the format")?;
        if format != FORMAT {
            return Err(OrderError::NewerFormat { found: format });
        }
        let flags = reader.u8("the flags")?;
        if flags != 0 {
            return Err(OrderError::NewerFeature { what: "a flag of an order row", number: flags });
        }
        let epoch = reader.varint("the epoch")?;
        let base = reader.varint("the base offset")?;
        let records = reader.varint("the number of records")?;
        let time = reader.i64("the time")?;
        let before = reader.u64("the digest before")?;
        let aggregates = read_aggregates(&mut reader)?;
        let runs = read_runs(&mut reader, aggregates.len())?;
        let Controls { count, new_streams, new_hidden_streams, floors } = read_controls(&mut reader, &aggregates)?;
        reader.end("an order row")?;

        let found = runs.iter().try_fold(0_u64, |sum, run| sum.checked_add(run.records));
        let last = base.checked_add(records);
        let is_empty = records == 0 && count == 0;
        let (true, Some(last)) = (base > 0 && !is_empty && found == Some(records), last) else {
            return Err(out_of_range("the number of records").into());
        };
        let mark = Mark { group, offset: Offset(last - 1), digest };
        Ok(Self { epoch, base: Offset(base), time, before, runs, new_streams, new_hidden_streams, floors, mark })
    }

    /// The runs with the offsets of their first records.
    pub(crate) fn with_offsets(&self) -> impl Iterator<Item = (Offset, &OrderedRun)> {
        self.runs.iter().scan(self.base.0, |next, run| {
            let offset = Offset(*next);
            *next += run.records;
            Some((offset, run))
        })
    }
}

fn out_of_range(what: &'static str) -> Malformed {
    Malformed { what, flaw: Flaw::OutOfRange }
}

// Each of these loops takes at least one byte a turn, so it ends with the bytes if the number is wrong.

fn read_aggregates(reader: &mut Reader<'_>) -> Result<Vec<Arc<str>>, OrderError> {
    let count = reader.varint("the number of aggregates")?;
    let mut aggregates = Vec::new();
    for _ in 0..count {
        aggregates.push(Arc::from(reader.text("an aggregate's name")?));
    }
    Ok(aggregates)
}

fn read_runs(reader: &mut Reader<'_>, aggregates: usize) -> Result<Vec<OrderedRun>, OrderError> {
    let count = reader.varint("the number of runs")?;
    let mut runs = Vec::new();
    for _ in 0..count {
        let stream = StreamNo(reader.varint("a run's stream")?);
        let aggregate = reader.varint("a run's aggregate")?;
        if aggregate >= len_u64(aggregates) {
            return Err(out_of_range("a run's aggregate").into());
        }
        let first = SeqNr(reader.varint("a run's first sequence number")?);
        let records = reader.varint("a run's number of records")?;
        if first == SeqNr::ZERO || records == 0 || first.0.checked_add(records).is_none() {
            return Err(out_of_range("a run's number of records").into());
        }
        let bytes = reader.varint("a run's length")?;
        let checksum = reader.u64("a run's checksum")?;
        let due = read_due(reader)?;
        runs.push(OrderedRun { stream, first, records, bytes, checksum, due });
    }
    Ok(runs)
}

/// Reads the flags of a run, with the deadline that may follow them.
fn read_due(reader: &mut Reader<'_>) -> Result<Due, OrderError> {
    match reader.u8("a run's flags")? {
        0 => Ok(Due::Unchanged),
        RUN_CLEARED => Ok(Due::Cleared),
        RUN_DUE => {
            let due = Timestamp::from_microsecond(reader.i64("a run's deadline")?);
            due.map(Due::At).map_err(|_| out_of_range("a run's deadline").into())
        }
        flags if flags & !(RUN_DUE | RUN_CLEARED) != 0 => {
            Err(OrderError::NewerFeature { what: "a flag of a run in an order row", number: flags })
        }
        // Armed and cleared at once.
        _ => Err(out_of_range("a run's flags").into()),
    }
}

/// What a group has beside its runs.
#[derive(Default)]
struct Controls {
    count: u64,
    new_streams: Vec<(StreamNo, PersistenceId)>,
    new_hidden_streams: Vec<(StreamNo, Arc<str>, IdDigest)>,
    floors: Vec<(StreamNo, Floor)>,
}

fn read_controls(reader: &mut Reader<'_>, aggregates: &[Arc<str>]) -> Result<Controls, OrderError> {
    let count = reader.varint("the number of controls")?;
    let mut controls = Controls { count, ..Controls::default() };
    for _ in 0..count {
        let kind = reader.u8("a control's kind")?;
        let body = Reader::new(reader.prefixed("a control")?);
        match kind {
            CONTROL_NEW_STREAM => {
                let (stream, aggregate, entity) = read_new_stream(body, aggregates)?;
                let id = PersistenceId::new(aggregate, text(entity.rest(), "a new stream's id")?);
                controls.new_streams.push((stream, id));
            }
            CONTROL_NEW_HIDDEN_STREAM => {
                let (stream, aggregate, mut digest) = read_new_stream(body, aggregates)?;
                controls.new_hidden_streams.push((stream, aggregate, digest.array("the digest of a new stream's id")?));
                digest.end("a new stream")?;
            }
            CONTROL_FLOOR => controls.floors.push(read_floor(body)?),
            kind if kind & CONTROL_SKIPPABLE != 0 => {}
            kind => return Err(OrderError::NewerFeature { what: "a control", number: kind }),
        }
    }
    Ok(controls)
}

/// Reads a new stream up to what names it.
fn read_new_stream<'a>(
    mut body: Reader<'a>,
    aggregates: &[Arc<str>],
) -> Result<(StreamNo, Arc<str>, Reader<'a>), OrderError> {
    let stream = StreamNo(body.varint("a new stream")?);
    let aggregate = body.varint("a new stream's aggregate")?;
    let aggregate = usize::try_from(aggregate).ok().and_then(|index| aggregates.get(index));
    let aggregate = aggregate.ok_or_else(|| out_of_range("a new stream's aggregate"))?;
    Ok((stream, Arc::clone(aggregate), body))
}

fn read_floor(mut body: Reader<'_>) -> Result<(StreamNo, Floor), OrderError> {
    let stream = StreamNo(body.varint("a floor's stream")?);
    let to = SeqNr(body.varint("a floor")?);
    let flags = body.u8("a floor's flags")?;
    body.end("a floor")?;
    if flags & !Floor::FLAGS != 0 {
        return Err(OrderError::NewerFeature { what: "a flag of a floor", number: flags });
    }
    let floor = Floor::of(to, flags).ok_or_else(|| out_of_range("a floor"))?;
    Ok((stream, floor))
}

#[cfg(test)]
mod tests;
