//! The check of the order: its chain from the first group on, and what each group lists.

use std::collections::HashSet;
use std::fs;

use super::super::scan::{Groups, ORDER, Step};
use super::super::{Progress, StoreError};
use super::records::Records;
use super::{Check, TELL_EVERY};
use crate::id::{Offset, SeqNr, StreamNo};
use crate::journal::bytes::checksum;
use crate::journal::due::Deadlines;
use crate::journal::due::file::{self, decode, file_bytes_max};
use crate::journal::fjall::engine::{Engine, EngineError};
use crate::journal::fjall::rows::{
    StreamRow, floor_key, hidden_id_key, id_key, read_floor_row, read_id_group, read_id_row, stream_key,
};
use crate::journal::head::State;
use crate::journal::order::{Mark, OrderRow, OrderedRun};
use crate::journal::{Armed, Place, ReadError};

impl Check<'_> {
    /// Reads the whole order.
    pub(super) fn order(&mut self) -> Result<(), StoreError> {
        let required = self.required();
        let mut before = Mark::default();
        // Why the groups behind `before` aren't there.
        let mut hole: Option<String> = None;
        let (told, mut deadlines) = (self.deadlines()?, Deadlines::default());
        let view = self.view;
        let engine = view.shared.engine.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(engine) = engine.as_ref() else { return Err(ReadError::Closed.into()) };
        for step in Groups::all(engine, self.store(), required.group) {
            let row = match step {
                Step::Row(row) => row,
                Step::Missing(from, to) if from == to => {
                    self.holes.push((from, to));
                    hole.get_or_insert_with(|| format!("group {from}: its order row is missing"));
                    continue;
                }
                Step::Missing(from, to) => {
                    self.holes.push((from, to));
                    hole.get_or_insert_with(|| format!("the order rows of groups {from} to {to} are missing"));
                    continue;
                }
                Step::Bad(group, reason) => {
                    self.holes.push((group, group));
                    hole.get_or_insert_with(|| format!("group {group}: {reason}"));
                    continue;
                }
                Step::Foreign(bytes) => {
                    self.foreign(ORDER, bytes);
                    continue;
                }
                Step::Cut(reason) => {
                    self.unreadable("some rows of the order", &reason);
                    continue;
                }
            };
            let from = Offset(before.offset.0 + 1);
            if let Some(reason) = hole.take() {
                self.offsets(from, Offset(row.base.0.saturating_sub(1)), reason);
            } else if row.before != before.digest || row.base != from {
                let reason = format!("group {}: it doesn't follow the group before it", row.mark.group);
                self.offsets(row.base, row.mark.offset, reason);
            }
            self.marks(&row);
            self.look_for(engine, &row)?;
            for run in &row.runs {
                deadlines.apply(run.stream, run.due);
            }
            if let Some((mark, armed)) = &told
                && mark.group == row.mark.group
            {
                self.compare_deadlines(*mark, armed, &row, &deadlines);
            }
            self.report.groups += 1;
            self.report.records = self.report.records.saturating_add(row.mark.offset.0 + 1 - row.base.0);
            if row.mark.group.is_multiple_of(TELL_EVERY) {
                let of = Some(required.offset.0.max(row.mark.offset.0));
                (self.tell)(Progress { doing: "reading the order", done: row.mark.offset.0, of });
            }
            before = row.mark;
        }
        if let Some(reason) = hole {
            self.offsets(Offset(before.offset.0 + 1), required.offset, reason);
        } else if self.head.state == State::Clean && before.group > required.group {
            let reason = "it was written to since it was closed in order, by nobody who knew its head";
            self.offsets(Offset(required.offset.0 + 1), before.offset, reason);
        }
        if let Some((mark, _)) = &told
            && mark.group > before.group
        {
            let reason = format!("it holds up to group {}, which isn't in this journal", mark.group);
            self.report.push_file(self.view.shared.path.join(file::FILE), reason);
        }
        self.report.last = before.offset;
        self.last_group = before.group;
        Ok(())
    }

    /// Holds the marks of the head against a group.
    fn marks(&mut self, row: &OrderRow) {
        let marks = [self.head.acked, self.head.synced, self.head.checkpoint];
        if marks.iter().any(|mark| mark.group == row.mark.group && *mark != row.mark) {
            let reason = format!("group {} is not the one that the head knows", row.mark.group);
            self.offsets(row.base, row.mark.offset, reason);
        }
    }

    /// Looks for everything that a group lists.
    fn look_for(&mut self, engine: &Engine, row: &OrderRow) -> Result<(), StoreError> {
        let (store, group) = (self.store(), row.mark.group);
        for (offset, run) in row.with_offsets() {
            let listed = self.listed(engine, run.stream);
            let before = std::mem::replace(&mut listed.last, run.last());
            if run.first != before.next() && before != SeqNr::ZERO {
                let reason = format!("offset {offset}: the order has {} behind {before}", run.first);
                self.stream(run.stream, run.first, reason);
            }
            self.look_for_run(engine, group, offset, run)?;
        }
        let mut met = HashSet::new();
        for (stream, floor) in &row.floors {
            let key = floor_key(*stream, *floor);
            let found = engine.get(&key);
            let found = found.ok().flatten().and_then(|row| read_floor_row(&row, store, &key));
            if found != Some((*floor, group)) {
                let reason = format!("the floor at {}, of group {group}, is missing or damaged", floor.to);
                self.stream(*stream, SeqNr(1), reason);
            } else if met.insert(key) {
                self.listed(engine, *stream).floors += 1;
            }
        }
        let mut key = Vec::new();
        for (stream, id) in &row.new_streams {
            id_key(&mut key, id);
            self.look_for_name(engine, *stream, group, &key, &id.to_string());
        }
        for (stream, aggregate, digest) in &row.new_hidden_streams {
            hidden_id_key(&mut key, aggregate, digest);
            let whose = format!("stream {stream}, an encrypted {aggregate},");
            self.look_for_name(engine, *stream, group, &key, &whose);
        }
        Ok(())
    }

    /// Looks for a run, which must be there and be the same, and reads its records.
    fn look_for_run(
        &mut self,
        engine: &Engine,
        group: u64,
        offset: Offset,
        run: &OrderedRun,
    ) -> Result<(), StoreError> {
        let (stream, first) = (run.stream, run.first);
        // What is deleted goes sooner or later. What is still there is looked at too.
        let is_deleted = run.last() <= self.floor(engine, stream).to;
        let key = stream_key(stream, first);
        let found = match engine.get(&key) {
            Ok(found) => found,
            Err(EngineError::Damaged(reason)) => {
                if !is_deleted {
                    self.unusable(offset, run, &reason);
                }
                return Ok(());
            }
            Err(error) => {
                let what = format!("stream {stream} from sequence number {first}");
                return Err(ReadError::Engine { what, error: error.to_string().into() }.into());
            }
        };
        let Some(bytes) = found else {
            if !is_deleted {
                self.unusable(offset, run, "a run is missing that the order lists");
            }
            return Ok(());
        };
        let row = match StreamRow::parse(&key, &bytes, self.store()) {
            Ok(row) => row,
            Err(reason) => {
                self.unusable(offset, run, &reason);
                return Ok(());
            }
        };
        let is_same =
            row.group == group && row.base == offset && row.checksum == run.checksum && row.records() == run.records;
        if !is_same {
            // One of those that are deleted is found when the rows are read, since it belongs to nothing.
            if !is_deleted {
                self.unusable(offset, run, "another run is stored than the one that the order lists");
            }
            return Ok(());
        }
        let seen = self.records(engine, stream, &row, Some(run.due))?;
        let listed = self.listed(engine, stream);
        listed.runs += 1;
        match seen {
            Records::End(ends) => listed.ends = Some((first, ends)),
            Records::Forgotten => {}
            Records::Unreadable => listed.is_broken = true,
        }
        Ok(())
    }

    fn unusable(&mut self, offset: Offset, run: &OrderedRun, reason: &str) {
        let last = Offset(offset.0 + (run.records - 1));
        self.stream(run.stream, run.first, format!("offsets {offset} to {last}: {reason}"));
    }

    fn look_for_name(&mut self, engine: &Engine, stream: StreamNo, group: u64, key: &[u8], whose: &str) {
        let found = engine.get(key).ok().flatten();
        let found = found.and_then(|row| Some((read_id_row(&row, self.head.store, key)?, read_id_group(&row)?)));
        if found != Some((stream, group)) {
            self.stream(stream, SeqNr(1), format!("the id's row of {whose} is missing or damaged"));
            return;
        }
        let name = (group, self.name_digest(key));
        let before = self.listed(engine, stream).name.replace(name);
        if before.is_some_and(|before| before != name) {
            self.stream(stream, SeqNr(1), format!("group {group} names it a second time"));
        }
    }

    /// What stands for the key of an id's row, where there is one for each stream.
    pub(super) fn name_digest(&self, key: &[u8]) -> u64 {
        checksum(self.head.store, &[key])
    }

    /// What the file of deadlines says, if it is there and can be read.
    fn deadlines(&mut self) -> Result<Option<(Mark, Vec<Armed>)>, StoreError> {
        let path = self.view.shared.path.join(file::FILE);
        let derived = "it is derived, and the next opening does without it";
        match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("look at", &path)(error)),
            Ok(found) if !found.is_file() || found.len() > file_bytes_max(u64::from(u32::MAX)) => {
                self.report.push_file(path, format!("it is no file of deadlines; {derived}"));
                return Ok(None);
            }
            Ok(_) => {}
        }
        let bytes = fs::read(&path).map_err(StoreError::io("read", &path))?;
        match decode(&bytes, self.store()) {
            Ok(told) => Ok(Some(told)),
            Err(error) => {
                self.report.push_file(path, format!("{error}; {derived}"));
                Ok(None)
            }
        }
    }

    fn compare_deadlines(&mut self, mark: Mark, armed: &[Armed], row: &OrderRow, deadlines: &Deadlines) {
        let reason = if row.mark != mark {
            format!("it holds up to group {}, which is another one in this journal", mark.group)
        } else if deadlines.clone().into_armed() != armed {
            format!("it doesn't say what the runs up to group {} come to", mark.group)
        } else {
            return;
        };
        self.report.push(Place::File { path: self.view.shared.path.join(file::FILE) }, reason);
    }
}
