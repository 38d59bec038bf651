//! All of an order that can be read, with what can be found of the groups that can't.

use std::collections::{BTreeMap, HashSet};

use super::super::super::rows::{
    Content, HIDDEN_ID, StreamRow, floor_stream, read_floor_row, read_id_group, read_id_row,
};
use super::super::scan::{Groups, Rows, Step, stream_rows};
use super::super::streams::parse_id_key;
use super::super::{Progress, StoreError, Tell, View};
use crate::id::{Offset, PersistenceId, StreamNo};
use crate::journal::cipher::IdDigest;
use crate::journal::fjall::read::Stream;
use crate::journal::floor::Floor;
use crate::journal::order::{Mark, OrderRow, OrderedRun};
use crate::journal::record::{Due, Record, TransitionRecord};
use crate::journal::run::{RunError, RunView};

use std::sync::Arc;

/// A run of the order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) offset: Offset,
    pub(super) run: OrderedRun,
}

impl Entry {
    pub(super) fn last_offset(&self) -> Offset {
        Offset(self.offset.0 + (self.run.records - 1))
    }
}

/// How a stream is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Named(PersistenceId),
    Hidden(Arc<str>, IdDigest),
}

impl Name {
    /// What a person is told.
    pub(super) fn told(&self, stream: StreamNo) -> String {
        match self {
            Name::Named(id) => id.to_string(),
            Name::Hidden(aggregate, _) => format!("stream {stream}, an encrypted {aggregate}"),
        }
    }
}

/// A part of the order.
#[derive(Debug)]
pub(super) struct Part {
    /// The groups that it stands for, and the offsets of their records.
    pub(super) groups: (u64, u64),
    pub(super) offsets: std::ops::Range<u64>,
    /// Whether their order rows are lost.
    pub(super) is_hole: bool,
    pub(super) epoch: u64,
    pub(super) time: i64,
    /// By their offsets. In a hole, those whose rows were found.
    pub(super) entries: Vec<Entry>,
    pub(super) names: Vec<(StreamNo, Name)>,
    pub(super) floors: Vec<(StreamNo, Floor)>,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Salvage {
    pub(super) parts: Vec<Part>,
}

impl Salvage {
    pub(super) fn read(view: &View, store: u64, required: Mark, tell: Tell<'_>) -> Result<Self, StoreError> {
        let engine = view.shared.engine.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(engine) = engine.as_ref() else { return Err(crate::journal::ReadError::Closed.into()) };
        let mut this = Self { parts: Vec::new() };
        for step in Groups::all(engine, store, required.group) {
            match step {
                Step::Row(row) => {
                    tell(Progress { doing: "reading the order", done: row.mark.offset.0, of: None });
                    if !this.push_row(row) {
                        // It tells another history from here on. The first one counts.
                        break;
                    }
                }
                Step::Missing(from, to) => this.push_hole(from, to),
                Step::Bad(group, _) => this.push_hole(group, group),
                // Neither is anything that was stored.
                Step::Foreign(_) | Step::Cut(_) => {}
            }
        }
        this.end(required);
        if this.parts.iter().any(|part| part.is_hole) {
            this.find_rows(view, engine, store);
            this.find_floors(engine, store);
        }
        this.find_names(engine, store);
        Ok(this)
    }

    /// The offset behind the last part.
    fn next(&self) -> u64 {
        self.parts.last().map_or(1, |part| part.offsets.end)
    }

    fn push_row(&mut self, row: OrderRow) -> bool {
        let next = self.next();
        let after_hole = self.parts.last().is_some_and(|part| part.is_hole);
        if row.base.0 < next || (row.base.0 > next && !after_hole) {
            return false;
        }
        if let Some(hole) = self.parts.last_mut().filter(|_| after_hole) {
            hole.offsets.end = row.base.0;
        }
        let entries = row.with_offsets().map(|(offset, run)| Entry { offset, run: *run }).collect();
        let named = row.new_streams.iter().map(|(stream, id)| (*stream, Name::Named(id.clone())));
        let hidden = row.new_hidden_streams.iter();
        let hidden = hidden.map(|(stream, aggregate, digest)| (*stream, Name::Hidden(Arc::clone(aggregate), *digest)));
        self.parts.push(Part {
            groups: (row.mark.group, row.mark.group),
            offsets: row.base.0..row.mark.offset.0 + 1,
            is_hole: false,
            epoch: row.epoch,
            time: row.time,
            entries,
            names: named.chain(hidden).collect(),
            floors: row.floors,
        });
        true
    }

    fn push_hole(&mut self, from: u64, to: u64) {
        if let Some(hole) = self.parts.last_mut().filter(|part| part.is_hole) {
            hole.groups.1 = to;
            return;
        }
        let next = self.next();
        let (epoch, time) = self.parts.last().map_or((0, 0), |part| (part.epoch, part.time));
        self.parts.push(Part {
            groups: (from, to),
            offsets: next..next,
            is_hole: true,
            epoch,
            time,
            entries: Vec::new(),
            names: Vec::new(),
            floors: Vec::new(),
        });
    }

    /// What the head knows of, and isn't there, is a hole at the end.
    fn end(&mut self, required: Mark) {
        let next = self.next();
        let end = required.offset.0 + 1;
        if end > next {
            let group = self.parts.last().map_or(1, |part| part.groups.1 + 1);
            self.push_hole(group, required.group.max(group));
            if let Some(hole) = self.parts.last_mut() {
                hole.offsets.end = end;
            }
        }
    }

    /// Finds the rows of runs whose order rows are lost: they say themselves where they belong.
    fn find_rows(&mut self, view: &View, engine: &super::super::super::engine::Engine, store: u64) {
        let listed: HashSet<_> = self
            .parts
            .iter()
            .flat_map(|part| &part.entries)
            .map(|entry| (entry.run.stream.0, entry.run.first.0))
            .collect();
        for (key, bytes) in stream_rows(engine).flatten() {
            let Some((stream, first)) = super::super::super::rows::stream_of_key(&key) else { continue };
            if listed.contains(&(stream.0, first.0)) {
                continue;
            }
            let Ok(row) = StreamRow::parse(&key, &bytes, store) else { continue };
            let offsets = row.base.0..row.base.0 + row.records();
            let hole = self.hole_of(row.group);
            let hole = hole.filter(|hole| hole.offsets.start <= offsets.start && offsets.end <= hole.offsets.end);
            let Some(hole) = hole else { continue };
            let run = OrderedRun {
                stream,
                first,
                records: row.records(),
                bytes: crate::journal::bytes::len_u64(row.run.len()),
                checksum: row.checksum,
                due: due_of(view, engine, stream, &row, store),
            };
            hole.entries.push(Entry { offset: row.base, run });
        }
        for hole in self.parts.iter_mut().filter(|part| part.is_hole) {
            hole.entries.sort_by_key(|entry| entry.offset);
            let mut end = 0;
            // Of two that overlap, which can't be, the first counts.
            hole.entries.retain(|entry| {
                let fits = entry.offset.0 > end;
                end = if fits { entry.last_offset().0 } else { end };
                fits
            });
        }
    }

    fn find_floors(&mut self, engine: &super::super::super::engine::Engine, store: u64) {
        for (key, row) in Rows::of(engine, 4, |_| None).flatten() {
            let (Some(stream), Some((floor, group))) = (floor_stream(&key), read_floor_row(&row, store, &key)) else {
                continue;
            };
            if let Some(hole) = self.hole_of(group) {
                hole.floors.push((stream, floor));
            }
        }
        for part in self.parts.iter_mut().filter(|part| part.is_hole) {
            // From the lowest to the highest, as they rose.
            part.floors.sort_by_key(|(stream, floor)| (*stream, floor.to, floor.flags()));
        }
    }

    /// The hole that a group is in. The parts are in the order of their groups.
    fn hole_of(&mut self, group: u64) -> Option<&mut Part> {
        let index = self.parts.partition_point(|part| part.groups.1 < group);
        self.parts.get_mut(index).filter(|part| part.is_hole && part.groups.0 <= group)
    }

    /// Finds the names of streams whose groups are lost.
    fn find_names(&mut self, engine: &super::super::super::engine::Engine, store: u64) {
        let known: HashSet<_> = self.parts.iter().flat_map(|part| &part.names).map(|(stream, _)| stream.0).collect();
        for tag in [3, HIDDEN_ID] {
            for (key, row) in Rows::of(engine, tag, |_| None).flatten() {
                let (Some(stream), Some(group)) = (read_id_row(&row, store, &key), read_id_group(&row)) else {
                    continue;
                };
                let Some((aggregate, entity)) = parse_id_key(&key).filter(|_| !known.contains(&stream.0)) else {
                    continue;
                };
                let name = match tag {
                    HIDDEN_ID => entity.try_into().ok().map(|digest| Name::Hidden(aggregate.into(), digest)),
                    _ => std::str::from_utf8(entity).ok().map(|id| Name::Named(PersistenceId::new(aggregate, id))),
                };
                if let (Some(name), Some(hole)) = (name, self.hole_of(group)) {
                    hole.names.push((stream, name));
                }
            }
        }
    }

    /// The names that are known, by stream.
    pub(super) fn names(&self) -> BTreeMap<u64, Name> {
        self.parts.iter().flat_map(|part| &part.names).map(|(stream, name)| (stream.0, name.clone())).collect()
    }
}

/// What a run makes of its stream's deadline, as its records say it.
fn due_of(
    view: &View,
    engine: &super::super::super::engine::Engine,
    stream: StreamNo,
    row: &StreamRow<'_>,
    store: u64,
) -> Due {
    let mut due = Due::Unchanged;
    let plain = match &row.content {
        Content::Plain(_) => Ok(row.run.to_vec()),
        Content::Sealed(_) => Stream::by_number(&view.shared, stream).plain(engine, row),
    };
    let Ok(plain) = plain else { return due };
    let Ok(run) = RunView::parse(&plain, store) else { return due };
    // What can't be read is found when the run is looked at.
    let _result = run.for_each(|_, _, record| {
        due = match record {
            Record::Transition(TransitionRecord { transient: true, .. }) => due,
            Record::Transition(transition) => transition.due.map_or(Due::Cleared, Due::At),
            Record::DeadlineConsumed { .. } | Record::Tombstone => Due::Cleared,
            Record::Event(_) | Record::Receipt | Record::Skipped { .. } => due,
        };
        Ok::<(), RunError>(())
    });
    due
}
