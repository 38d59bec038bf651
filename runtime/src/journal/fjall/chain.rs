//! The check of what was written last: the chain of groups, from the checkpoint to its end.

use std::sync::atomic::Ordering;

use super::Shared;
use super::engine::{Engine, EngineError};
use super::open::required;
use super::removal::Removals;
use super::rows::{HIDDEN_ID, floor_key, floor_keys, hidden_id_key, read_floor_row, stream_key, stream_of_key};
use crate::id::{Offset, SeqNr, StreamNo};
use crate::journal::head::{Head, State};
use crate::journal::order::{Mark, OrderRow, group_key, group_of_key};
use crate::journal::{Corrupt, Place, ReadError};

/// The check of everything behind the checkpoint.
pub(super) struct Check<'a> {
    pub(super) shared: &'a Shared,
    pub(super) engine: &'a Engine,
    pub(super) head: &'a Head,
}

/// Where the journal ends.
pub(super) struct End {
    pub(super) mark: Mark,
    pub(super) epoch: u64,
    pub(super) time: i64,
    /// What was deleted behind the checkpoint: nobody knows how much of it is removed.
    pub(super) removals: Removals,
    /// The streams that were forgotten behind the checkpoint: nobody knows whether their keys are destroyed.
    pub(super) forgotten: Vec<StreamNo>,
    /// The highest number that a stream has.
    pub(super) last_stream: StreamNo,
}

impl End {
    fn at(mark: Mark, epoch: u64, time: i64) -> Self {
        Self { mark, epoch, time, removals: Removals::default(), forgotten: Vec::new(), last_stream: StreamNo(0) }
    }
}

impl Check<'_> {
    /// Says whether the file of keys is there, if it must be.
    pub(super) fn look_for_keys(&self) -> Result<(), ReadError> {
        if self.shared.keys.exist() {
            return Ok(());
        }
        let first = self.engine.range(&[HIDDEN_ID], &[HIDDEN_ID + 1]).next().transpose();
        match first.map_err(|error| self.engine_error(Mark::default(), error))? {
            None => Ok(()),
            Some(_) => {
                let place = Place::File { path: self.shared.keys.path().to_owned() };
                let reason = "it is missing, and what is encrypted can't be read without it".into();
                Err(Corrupt { place, reason }.into())
            }
        }
    }

    /// Finds out whether something of any stream is deleted.
    pub(super) fn look_for_floors(&self) -> Result<(), ReadError> {
        let (from, to) = floor_keys(StreamNo(0), StreamNo(u64::MAX));
        let first = self.engine.range(&from, &to).next().transpose();
        let first = first.map_err(|error| self.engine_error(Mark::default(), error))?;
        self.shared.has_floors.store(first.is_some(), Ordering::SeqCst);
        Ok(())
    }

    /// Follows the chain from the checkpoint to its end, with every run that it lists, and says where the end is.
    pub(super) fn run(&self) -> Result<End, ReadError> {
        let required = self.required();
        let mut end = self.begin()?;
        let begin = end.mark;
        let mut reached = begin == required || begin.group > required.group;
        let rows = self.engine.range(&group_key(begin.group + 1), &group_key(u64::MAX));
        for found in rows {
            let (key, row) = found.map_err(|error| self.engine_error(end.mark, error))?;
            let group = group_of_key(&key).ok_or_else(|| self.corrupt(end.mark, "the key of a group is wrong"))?;
            if group != end.mark.group + 1 {
                return Err(self.corrupt(end.mark, format!("group {} is missing", end.mark.group + 1)));
            }
            let row = self.follow(end.mark, group, &row)?;
            for (stream, floor) in &row.floors {
                end.removals.push(*stream, floor.to, end.mark);
                if floor.forgotten {
                    end.forgotten.push(*stream);
                }
            }
            end = End { mark: row.mark, epoch: row.epoch.max(end.epoch), time: row.time, ..end };
            if group == required.group {
                reached = end.mark == required;
                if !reached {
                    return Err(self.corrupt(begin, format!("group {group} is not the one that the head knows")));
                }
            }
        }
        if !reached {
            let reason = format!("it ends with group {} and must reach group {}", end.mark.group, required.group);
            return Err(self.corrupt(end.mark, reason));
        }
        if self.head.state == State::Clean && end.mark != required {
            let place = Place::Offsets { from: Offset(required.offset.0 + 1), to: end.mark.offset };
            let reason = "it was written to since it was closed in order, by nobody who knew its head".into();
            return Err(Corrupt { place, reason }.into());
        }
        if end.mark.group > required.group {
            crate::log::info!(
                from = required.offset.0 + 1,
                to = end.mark.offset.0,
                "records of unknown outcome are stored: the process ended before it could tell"
            );
        }
        Ok(end)
    }

    fn required(&self) -> Mark {
        required(self.head)
    }

    /// The checkpoint, whose row must be there and be the one that the head knows.
    fn begin(&self) -> Result<End, ReadError> {
        let checkpoint = self.head.checkpoint;
        if checkpoint.group == 0 {
            return Ok(End::at(Mark::default(), 0, i64::MIN));
        }
        let before = Mark { group: 0, offset: Offset(0), digest: 0 };
        let corrupt = |reason: String| self.corrupt(before, format!("group {}: {reason}", checkpoint.group));
        let row = self.engine.get(&group_key(checkpoint.group)).map_err(|error| self.engine_error(before, error))?;
        let row = row.ok_or_else(|| corrupt("its order row is missing".into()))?;
        let row = OrderRow::parse(&row, self.shared.facts.store, checkpoint.group)
            .map_err(|error| corrupt(error.to_string()))?;
        if row.mark != checkpoint {
            return Err(corrupt("it is not the one that the head knows".into()));
        }
        Ok(End::at(checkpoint, row.epoch, row.time))
    }

    /// Checks a group behind `before`: its row, its place in the chain, its runs, and what rose or began with it.
    fn follow(&self, before: Mark, group: u64, row: &[u8]) -> Result<OrderRow, ReadError> {
        let corrupt = |reason: String| self.corrupt(before, format!("group {group}: {reason}"));
        let row = OrderRow::parse(row, self.shared.facts.store, group).map_err(|error| corrupt(error.to_string()))?;
        if row.before != before.digest || row.base.0 != before.offset.0 + 1 {
            return Err(corrupt("it doesn't follow the group before it".into()));
        }
        for (offset, run) in row.with_offsets() {
            let floor = self.shared.floor(self.engine, run.stream)?;
            self.shared.ordered_run(self.engine, group, offset, run, floor, |_, _| Ok(()))?;
        }
        for (stream, floor) in &row.floors {
            let key = floor_key(*stream, *floor);
            let found = self.engine.get(&key).map_err(|error| self.engine_error(before, error))?;
            let found = found.and_then(|row| read_floor_row(&row, self.shared.facts.store, &key));
            if found != Some((*floor, group)) {
                return Err(corrupt(format!("the floor of stream {stream} at {} is missing or damaged", floor.to)));
            }
        }
        for (stream, id) in &row.new_streams {
            let found = self.shared.find_stream(self.engine, id)?;
            if found.map(|head| head.stream) != Some(*stream) {
                return Err(corrupt(format!("the id's row of {id} is missing or names another stream")));
            }
        }
        for (stream, aggregate, digest) in &row.new_hidden_streams {
            let mut key = Vec::new();
            hidden_id_key(&mut key, aggregate, digest);
            if self.shared.stream_of(self.engine, None, &key)? != Some(*stream) {
                return Err(corrupt(format!("the id's row of stream {stream} is missing or names another stream")));
            }
        }
        Ok(row)
    }

    /// The highest number that a stream has.
    pub(super) fn last_stream(&self) -> Result<StreamNo, ReadError> {
        let (from, to) = (stream_key(StreamNo(0), SeqNr(0)), stream_key(StreamNo(u64::MAX), SeqNr(u64::MAX)));
        let last = self.engine.last(&from, &to).map_err(|error| self.engine_error(Mark::default(), error))?;
        let Some((key, _)) = last else { return Ok(StreamNo(0)) };
        match stream_of_key(&key) {
            Some((stream, _)) if stream < StreamNo(u64::MAX) => Ok(stream),
            _ => Err(self.corrupt(Mark::default(), "the key of a run is wrong")),
        }
    }

    fn corrupt(&self, behind: Mark, reason: impl Into<String>) -> ReadError {
        let from = Offset(behind.offset.0 + 1);
        let to = self.required().offset.max(from);
        Corrupt { place: Place::Offsets { from, to }, reason: reason.into() }.into()
    }

    fn engine_error(&self, behind: Mark, error: EngineError) -> ReadError {
        match error {
            EngineError::Damaged(reason) => self.corrupt(behind, reason),
            error @ (EngineError::Failed(_) | EngineError::Locked) => {
                ReadError::Engine { what: "the order of the journal".into(), error: error.to_string().into() }
            }
        }
    }
}
