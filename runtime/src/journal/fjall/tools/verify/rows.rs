//! The check of all rows, one by one: what each is, and that the order lists it.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::scan::Rows;
use super::super::{Progress, StoreError, contained};
use super::{Check, TELL_EVERY};
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::ReadError;
use crate::journal::fjall::engine::Engine;
use crate::journal::fjall::read::Stream;
use crate::journal::fjall::rows::{
    Content, HIDDEN_ID, StreamRow, floor_stream, hidden_id_key, id_key, read_floor_row, read_id_group, read_id_row,
    stream_key, stream_of_key,
};
use crate::journal::floor::Floor;
use crate::journal::order::{OrderRow, OrderedRun, group_key};
use crate::journal::record::{Due, Record};
use crate::journal::run::{RunError, RunView};

/// So many groups are kept at hand while the rows of streams are read.
const GROUPS_MAX: usize = 512;

/// The groups that were read last.
#[derive(Default)]
struct Known {
    groups: HashMap<u64, Option<Arc<OrderRow>>>,
}

impl Known {
    /// A group, if it can be read.
    fn group(&mut self, engine: &Engine, store: u64, group: u64) -> Option<Arc<OrderRow>> {
        if self.groups.len() >= GROUPS_MAX {
            self.groups.clear();
        }
        let found = self.groups.entry(group).or_insert_with(|| {
            let row = contained(|| engine.get(&group_key(group))).ok().flatten()?;
            OrderRow::parse(&row, store, group).ok().map(Arc::new)
        });
        found.clone()
    }
}

/// What was seen of the stream whose rows are being read.
struct Seen {
    stream: StreamNo,
    floor: Floor,
    last: SeqNr,
    /// Whether its last record is a tombstone, where that can be told.
    ends: Option<bool>,
    /// Whether some record above the floor was missing or unreadable.
    is_broken: bool,
}

impl Check<'_> {
    /// Reads all rows.
    pub(super) fn rows(&mut self) -> Result<(), StoreError> {
        let view = self.view;
        let engine = view.shared.engine.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(engine) = engine.as_ref() else { return Err(ReadError::Closed.into()) };
        let mut known = Known::default();
        self.stream_rows(engine, &mut known)?;
        self.floor_rows(engine, &mut known);
        for tag in [3, HIDDEN_ID] {
            self.id_rows(engine, &mut known, tag)?;
        }
        self.foreign_rows(engine);
        Ok(())
    }

    fn unreadable(&mut self, what: &str, reason: &str) {
        let path = self.engine_path();
        self.report.push_file(path, format!("{what} can't be read: {reason}"));
    }

    fn stream_rows(&mut self, engine: &Engine, known: &mut Known) -> Result<(), StoreError> {
        let mut seen: Option<Seen> = None;
        let behind = |from: &[u8]| {
            let stream = from.get(1..9).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
            stream.checked_add(1).map(|next| stream_key(StreamNo(next), SeqNr(0)).to_vec())
        };
        for (index, row) in Rows::of(engine, 2, behind).enumerate() {
            let index = crate::journal::bytes::len_u64(index);
            if index.is_multiple_of(TELL_EVERY) {
                (self.tell)(Progress { doing: "reading the streams", done: index, of: None });
            }
            let (key, row) = match row {
                Ok(row) => row,
                Err(reason) => {
                    self.unreadable("some rows of streams", &reason);
                    if let Some(seen) = &mut seen {
                        seen.is_broken = true;
                    }
                    continue;
                }
            };
            let Some((stream, first)) = stream_of_key(&key) else {
                self.unreadable("the row of a stream", "its key is wrong");
                continue;
            };
            if seen.as_ref().is_none_or(|seen| seen.stream != stream) {
                if let Some(seen) = seen.take() {
                    self.end_of_stream(&seen);
                }
                let floor = self.floor(stream);
                seen = Some(Seen { stream, floor, last: SeqNr::ZERO, ends: None, is_broken: false });
            }
            let Some(seen) = &mut seen else { continue };
            self.report.runs += 1;
            match StreamRow::parse(&key, &row, self.store()) {
                Ok(row) => self.run(engine, known, seen, &row)?,
                Err(reason) => {
                    self.stream(stream, first, reason);
                    seen.is_broken = true;
                }
            }
        }
        if let Some(seen) = seen {
            self.end_of_stream(&seen);
        }
        Ok(())
    }

    /// Checks a run behind those that were seen of its stream.
    fn run(
        &mut self,
        engine: &Engine,
        known: &mut Known,
        seen: &mut Seen,
        row: &StreamRow<'_>,
    ) -> Result<(), StoreError> {
        let (stream, first, last) = (seen.stream, row.first(), row.last());
        if first > seen.floor.to.next() && first != seen.last.next() {
            // The order lists what is missing, if it was there, and says so itself; this is for what it doesn't list.
            self.stream(stream, seen.last.max(seen.floor.to).next(), format!("a run is missing before {first}"));
            seen.is_broken = true;
        }
        seen.last = last;
        seen.ends = None;
        let store = self.store();
        let group = known.group(engine, store, row.group);
        let listed = group.as_deref().and_then(|group| listed_in(group, stream, row));
        // That a group can't be read was told before.
        if group.is_some() && listed.is_none() {
            self.stream(stream, first, format!("group {} doesn't list this run: it belongs to nothing", row.group));
        }
        let sealed_key = match &row.content {
            Content::Plain(_) => None,
            Content::Sealed(sealed) => Some(sealed.key()),
        };
        if let Some(key) = sealed_key {
            self.keys.insert(key, (stream, seen.floor.forgotten));
            if seen.floor.forgotten {
                return Ok(());
            }
        }
        let this = Stream::by_number(&self.view.shared, stream);
        let bytes = match this.plain(engine, row) {
            Ok(bytes) => bytes,
            Err(ReadError::Forgotten { .. }) => return Ok(()),
            Err(error) => {
                seen.is_broken = true;
                return self.noted(Err(error));
            }
        };
        match read_records(&bytes, store, listed.map(|run| run.due)) {
            Ok((id, ends)) => {
                seen.ends = Some(ends);
                self.owner(engine, stream, &id, sealed_key.is_some(), first);
            }
            Err(reason) => {
                seen.is_broken = true;
                self.stream(stream, first, reason);
            }
        }
        Ok(())
    }

    /// Says whether the id that a run has leads to its stream.
    fn owner(&mut self, engine: &Engine, stream: StreamNo, id: &PersistenceId, hidden: bool, first: SeqNr) {
        let mut key = Vec::new();
        if hidden {
            hidden_id_key(&mut key, &id.aggregate, &self.view.shared.keys.id_digest(id));
        } else {
            id_key(&mut key, id);
        }
        let found = contained(|| engine.get(&key)).ok().flatten();
        if found.and_then(|row| read_id_row(&row, self.store(), &key)) != Some(stream) {
            self.stream(
                stream,
                first,
                format!("its run is of {id}, whose id's row is missing, damaged or of another stream"),
            );
        }
    }

    fn end_of_stream(&mut self, seen: &Seen) {
        self.report.streams += 1;
        self.last_of.insert(seen.stream.0, (seen.last, seen.floor));
        if seen.is_broken {
            return;
        }
        if seen.floor.to > seen.last {
            let reason = format!("it ends with {} and was deleted up to {}", seen.last, seen.floor.to);
            self.stream(seen.stream, seen.last, reason);
        }
        if seen.ends.is_some_and(|ends| ends != seen.floor.ended && !seen.floor.forgotten) {
            self.stream(seen.stream, seen.last, "its tombstone is missing, or the floor that belongs to it");
        }
    }

    fn floor_rows(&mut self, engine: &Engine, known: &mut Known) {
        let store = self.store();
        for row in Rows::of(engine, 4, |_| None) {
            let (key, row) = match row {
                Ok(row) => row,
                Err(reason) => {
                    self.unreadable("some rows of floors", &reason);
                    continue;
                }
            };
            let stream = floor_stream(&key).unwrap_or_default();
            let Some((floor, group)) = read_floor_row(&row, store, &key) else {
                self.stream(stream, SeqNr(1), "the digest of its floor's row is wrong");
                continue;
            };
            let group_row = known.group(engine, store, group);
            if group_row.is_some_and(|row| !row.floors.contains(&(stream, floor))) {
                let reason = format!("group {group} doesn't list its floor at {}: it belongs to nothing", floor.to);
                self.stream(stream, SeqNr(1), reason);
            }
            // Stream 0 stands for records that a repair has given up.
            if stream != StreamNo(0) && !self.last_of.contains_key(&stream.0) {
                self.stream(stream, SeqNr(1), "it has a floor and no run");
            }
        }
    }

    fn id_rows(&mut self, engine: &Engine, known: &mut Known, tag: u8) -> Result<(), StoreError> {
        let store = self.store();
        let mut lacks_keys = tag == HIDDEN_ID && !self.view.shared.keys.exist();
        for row in Rows::of(engine, tag, |_| None) {
            if std::mem::take(&mut lacks_keys) {
                let path = self.view.shared.keys.path().to_owned();
                self.report.push_file(path, "it is missing, and what is encrypted can't be read without it");
            }
            let (key, row) = match row {
                Ok(row) => row,
                Err(reason) => {
                    self.unreadable("some rows of ids", &reason);
                    continue;
                }
            };
            let (Some(stream), Some(group)) = (read_id_row(&row, store, &key), read_id_group(&row)) else {
                self.unreadable("the row of an id", "its digest is wrong");
                continue;
            };
            let is_listed = known.group(engine, store, group).is_none_or(|group| {
                let mut listed = Vec::new();
                group.new_streams.iter().any(|(new, id)| {
                    id_key(&mut listed, id);
                    *new == stream && listed == *key
                }) || group.new_hidden_streams.iter().any(|(new, aggregate, digest)| {
                    hidden_id_key(&mut listed, aggregate, digest);
                    *new == stream && listed == *key
                })
            });
            if !is_listed {
                let reason = format!("group {group} doesn't list the row of its id: it belongs to nothing");
                self.stream(stream, SeqNr(1), reason);
            }
            if !self.last_of.contains_key(&stream.0) {
                self.stream(stream, SeqNr(1), "it has an id's row and no run");
            }
        }
        Ok(())
    }

    /// Rows that this version never writes.
    fn foreign_rows(&mut self, engine: &Engine) {
        for (from, to) in [(0, 0), (5, 6), (8, u8::MAX)] {
            for tag in from..=to {
                for row in Rows::of(engine, tag, |_| None) {
                    let reason = match row {
                        Ok((key, _)) => format!(
                            "a row whose key begins with {tag:#04x} and has {} bytes belongs to nothing",
                            key.len()
                        ),
                        Err(reason) => format!("rows can't be read: {reason}"),
                    };
                    let path = self.engine_path();
                    self.report.push_file(path, reason);
                }
            }
        }
    }
}

/// The run as its group lists it.
fn listed_in<'g>(group: &'g OrderRow, stream: StreamNo, row: &StreamRow<'_>) -> Option<&'g OrderedRun> {
    group
        .with_offsets()
        .find(|(offset, run)| {
            run.stream == stream
                && run.first == row.first()
                && *offset == row.base
                && run.checksum == row.checksum
                && run.records == row.records()
        })
        .map(|(_, run)| run)
}

/// Reads all records of a plain run: whose it is, and whether it ends with a tombstone. What the order says of its deadline
/// must be what the records say.
fn read_records(run: &[u8], store: u64, due: Option<Due>) -> Result<(PersistenceId, bool), String> {
    let told = |error: RunError| format!("a run can't be read: {error}");
    let view = RunView::parse(run, store).map_err(told)?;
    let (mut ends, mut said) = (false, None);
    view.for_each(|_, _, record| {
        ends = record == Record::Tombstone;
        let is_transient = matches!(record, Record::Transition(transition) if transition.transient);
        if !is_transient && record.agrees_with(Due::Unchanged).is_some() {
            said = Some(record);
        }
        Ok::<(), RunError>(())
    })
    .map_err(told)?;
    let agrees = match (due, said) {
        (None, _) => true,
        (Some(due), None) => due == Due::Unchanged,
        // What became of the deadline before it counts, too.
        (Some(_), Some(Record::DeadlineConsumed { .. })) => true,
        (Some(due), Some(record)) => record.agrees_with(due).unwrap_or(true),
    };
    if !agrees {
        return Err("the order has another deadline for it than its records".into());
    }
    Ok((view.id(), ends))
}
