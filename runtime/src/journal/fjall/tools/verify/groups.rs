//! What single groups list, for rows that aren't counted as listed.

use std::collections::HashMap;

use crate::id::{Offset, StreamNo};
use crate::journal::fjall::engine::Engine;
use crate::journal::fjall::rows::{FLOOR_KEY_BYTES, StreamRow, floor_key};
use crate::journal::floor::Floor;
use crate::journal::order::{OrderRow, OrderedRun, group_key};

/// So many runs and floors are kept at hand, but for those of one group.
const KEPT_MAX: usize = 256 * 1024;

/// What one group lists.
struct Group {
    runs: Vec<(Offset, OrderedRun)>,
    /// Their keys, in order.
    floors: Vec<[u8; FLOOR_KEY_BYTES]>,
}

/// The groups that were looked into last.
#[derive(Default)]
pub(super) struct Groups {
    groups: HashMap<u64, Option<Group>>,
    kept: usize,
    /// So many order rows were read.
    pub(super) read: u64,
}

impl Groups {
    /// Whether a group lists this run; nothing if it can't be read.
    pub(super) fn list_run(
        &mut self,
        engine: &Engine,
        store: u64,
        stream: StreamNo,
        row: &StreamRow<'_>,
    ) -> Option<bool> {
        let group = self.group(engine, store, row.group)?;
        let found = group.runs.binary_search_by_key(&row.base, |(offset, _)| *offset);
        let run = found.ok().and_then(|index| group.runs.get(index)).map(|(_, run)| run);
        Some(run.is_some_and(|run| {
            run.stream == stream
                && run.first == row.first()
                && run.checksum == row.checksum
                && run.records == row.records()
        }))
    }

    /// Whether a group lists this floor; nothing if it can't be read.
    pub(super) fn list_floor(
        &mut self,
        engine: &Engine,
        store: u64,
        group: u64,
        stream: StreamNo,
        floor: Floor,
    ) -> Option<bool> {
        Some(self.group(engine, store, group)?.floors.binary_search(&floor_key(stream, floor)).is_ok())
    }

    fn group(&mut self, engine: &Engine, store: u64, number: u64) -> Option<&Group> {
        if !self.groups.contains_key(&number) {
            let group = Group::read(engine, store, number);
            self.read += 1;
            let len = 1 + group.as_ref().map_or(0, |group| group.runs.len() + group.floors.len());
            if self.kept + len > KEPT_MAX {
                self.groups.clear();
                self.kept = 0;
            }
            self.kept += len;
            self.groups.insert(number, group);
        }
        self.groups.get(&number)?.as_ref()
    }
}

impl Group {
    fn read(engine: &Engine, store: u64, number: u64) -> Option<Self> {
        let row = engine.get(&group_key(number)).ok().flatten()?;
        let row = OrderRow::parse(&row, store, number).ok()?;
        let mut floors: Vec<_> = row.floors.iter().map(|(stream, floor)| floor_key(*stream, *floor)).collect();
        floors.sort_unstable();
        Some(Self { runs: row.with_offsets().map(|(offset, run)| (offset, *run)).collect(), floors })
    }
}
