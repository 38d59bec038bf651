//! The check of the order: its chain from the first group on, and what each group lists.

use std::collections::HashMap;
use std::fs;

use super::super::scan::{Groups, Step};
use super::super::{Progress, StoreError};
use super::{Check, TELL_EVERY};
use crate::id::{Offset, SeqNr, StreamNo};
use crate::journal::due::Deadlines;
use crate::journal::due::file::{decode, file_bytes_max};
use crate::journal::fjall::rows::{floor_key, hidden_id_key, id_key, read_floor_row, read_id_row};
use crate::journal::head::State;
use crate::journal::order::{Mark, OrderRow};
use crate::journal::{Armed, Place, ReadError};

/// The name of the file with the deadlines.
const DEADLINES: &str = "deadlines";

impl Check<'_> {
    /// Reads the whole order.
    pub(super) fn order(&mut self) -> Result<(), StoreError> {
        let required = self.required();
        let mut before = Mark::default();
        // Why the groups behind `before` aren't there.
        let mut hole: Option<String> = None;
        let (told, mut deadlines) = (self.deadlines()?, Deadlines::default());
        let mut last_of: HashMap<u64, SeqNr> = HashMap::new();
        let view = self.view;
        let engine = view.shared.engine.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(engine) = engine.as_ref() else { return Err(ReadError::Closed.into()) };
        for step in Groups::all(engine, self.store(), required.group) {
            let row = match step {
                Step::Row(row) => row,
                Step::Missing(from, to) if from == to => {
                    hole.get_or_insert_with(|| format!("group {from}: its order row is missing"));
                    continue;
                }
                Step::Missing(from, to) => {
                    hole.get_or_insert_with(|| format!("the order rows of groups {from} to {to} are missing"));
                    continue;
                }
                Step::Bad(group, reason) => {
                    hole.get_or_insert_with(|| format!("group {group}: {reason}"));
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
            self.listed(engine, &row, &mut last_of)?;
            for run in &row.runs {
                deadlines.apply(run.stream, run.due);
            }
            if let Some((mark, armed)) = &told
                && mark.group == row.mark.group
            {
                self.compare_deadlines(*mark, armed, &row, &deadlines);
            }
            self.report.groups += 1;
            self.report.records += row.mark.offset.0 + 1 - row.base.0;
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
            self.report.push_file(self.view.shared.path.join(DEADLINES), reason);
        }
        self.report.last = before.offset;
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
    fn listed(
        &mut self,
        engine: &crate::journal::fjall::engine::Engine,
        row: &OrderRow,
        last_of: &mut HashMap<u64, SeqNr>,
    ) -> Result<(), StoreError> {
        let (shared, store, group) = (&self.view.shared, self.store(), row.mark.group);
        for (offset, run) in row.with_offsets() {
            let before = last_of.insert(run.stream.0, run.last()).unwrap_or(SeqNr::ZERO);
            if run.first != before.next() && before != SeqNr::ZERO {
                let reason = format!("offset {offset}: the order has {} behind {before}", run.first);
                self.stream(run.stream, run.first, reason);
            }
            let floor = self.floor(run.stream);
            let found = shared.ordered_run(engine, group, offset, run, floor, |_, _| Ok(()));
            let last = offset.0 + (run.records - 1);
            let found = found.map(drop).map_err(|error| with_offsets(error, offset, Offset(last)));
            self.noted(found)?;
        }
        for (stream, floor) in &row.floors {
            let key = floor_key(*stream, *floor);
            let found = super::super::contained(|| engine.get(&key));
            let found = found.ok().flatten().and_then(|row| read_floor_row(&row, store, &key));
            if found != Some((*floor, group)) {
                let reason = format!("the floor at {}, of group {group}, is missing or damaged", floor.to);
                self.stream(*stream, SeqNr(1), reason);
            }
        }
        let mut key = Vec::new();
        for (stream, id) in &row.new_streams {
            id_key(&mut key, id);
            self.named(engine, *stream, &key, &id.to_string());
        }
        for (stream, aggregate, digest) in &row.new_hidden_streams {
            hidden_id_key(&mut key, aggregate, digest);
            self.named(engine, *stream, &key, &format!("stream {stream}, an encrypted {aggregate},"));
        }
        Ok(())
    }

    fn named(&mut self, engine: &crate::journal::fjall::engine::Engine, stream: StreamNo, key: &[u8], whose: &str) {
        let found = super::super::contained(|| engine.get(key));
        let found = found.ok().flatten().and_then(|row| read_id_row(&row, self.head.store, key));
        if found != Some(stream) {
            self.stream(stream, SeqNr(1), format!("the id's row of {whose} is missing or damaged"));
        }
    }

    /// What the file of deadlines says, if it is there and can be read.
    fn deadlines(&mut self) -> Result<Option<(Mark, Vec<Armed>)>, StoreError> {
        let path = self.view.shared.path.join(DEADLINES);
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
        } else if deadlines.armed() != armed {
            format!("it doesn't say what the runs up to group {} come to", mark.group)
        } else {
            return;
        };
        self.report.push(Place::File { path: self.view.shared.path.join(DEADLINES) }, reason);
    }
}

/// Says in the reason of a finding which offsets are meant.
fn with_offsets(error: ReadError, from: Offset, to: Offset) -> ReadError {
    match error {
        ReadError::Corrupt(mut corrupt) => {
            corrupt.reason = format!("offsets {from} to {to}: {}", corrupt.reason);
            ReadError::Corrupt(corrupt)
        }
        error => error,
    }
}
