//! The check of all rows, one by one: what each is, and that the order lists it.
//!
//! What the order lists was looked for when it was read. So here the rows are counted, and only where there are more than
//! were found there it is asked which of them no group lists.

use super::super::scan::{Rows, stream_rows};
use super::super::{Progress, StoreError};
use super::groups::Groups;
use super::records::Records;
use super::{Check, TELL_EVERY};
use crate::id::{SeqNr, StreamNo};
use crate::journal::ReadError;
use crate::journal::fjall::engine::Engine;
use crate::journal::fjall::rows::{
    Content, HIDDEN_ID, StreamRow, floor_keys, floor_stream, read_floor_row, read_id_group, read_id_row, stream_key,
    stream_of_key,
};
use crate::journal::floor::Floor;

/// What was seen of the stream whose rows are being read.
struct Seen {
    stream: StreamNo,
    floor: Floor,
    /// Its rows that can be read, but for those of groups that can't.
    rows: u64,
    /// The first record of the last run, and the last one.
    first: SeqNr,
    last: SeqNr,
    /// Whether the last record is a tombstone, where the order doesn't have its run.
    ends: Option<bool>,
    /// Whether some record above the floor was missing or unreadable.
    is_broken: bool,
    /// Whether rows of it may be there that weren't read.
    is_cut: bool,
}

impl Check<'_> {
    /// Reads all rows.
    pub(super) fn rows(&mut self) -> Result<(), StoreError> {
        let view = self.view;
        let engine = view.shared.engine.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(engine) = engine.as_ref() else { return Err(ReadError::Closed.into()) };
        let mut groups = Groups::default();
        self.stream_rows(engine, &mut groups)?;
        self.floor_rows(engine, &mut groups);
        for tag in [3, HIDDEN_ID] {
            self.id_rows(engine, tag);
        }
        self.foreign_rows(engine);
        self.looked_into = groups.read;
        Ok(())
    }

    pub(super) fn unreadable(&mut self, what: &str, reason: &str) {
        let path = self.engine_path();
        self.report.push_file(path, format!("{what} can't be read: {reason}"));
    }

    fn stream_rows(&mut self, engine: &Engine, groups: &mut Groups) -> Result<(), StoreError> {
        let mut seen: Option<Seen> = None;
        for (index, row) in stream_rows(engine).enumerate() {
            let index = crate::journal::bytes::len_u64(index);
            if index.is_multiple_of(TELL_EVERY) {
                (self.tell)(Progress { doing: "reading the streams", done: index, of: None });
            }
            let (key, row) = match row {
                Ok(row) => row,
                Err(reason) => {
                    self.unreadable("some rows of streams", &reason);
                    if let Some(seen) = &mut seen {
                        (seen.is_broken, seen.is_cut) = (true, true);
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
                    self.end_of_stream(engine, groups, &seen);
                }
                seen = Some(Seen {
                    stream,
                    floor: self.floor(engine, stream),
                    rows: 0,
                    first: SeqNr::ZERO,
                    last: SeqNr::ZERO,
                    ends: None,
                    is_broken: false,
                    is_cut: false,
                });
            }
            let Some(seen) = &mut seen else { continue };
            self.report.runs += 1;
            match StreamRow::parse(&key, &row, self.store()) {
                Ok(row) => self.run(engine, seen, &row)?,
                Err(reason) => {
                    self.stream(stream, first, reason);
                    seen.is_broken = true;
                }
            }
        }
        if let Some(seen) = seen {
            self.end_of_stream(engine, groups, &seen);
        }
        Ok(())
    }

    /// Checks a run behind those that were seen of its stream. Its records were read with the order, if that lists it.
    fn run(&mut self, engine: &Engine, seen: &mut Seen, row: &StreamRow<'_>) -> Result<(), StoreError> {
        let (stream, first) = (seen.stream, row.first());
        if first > seen.floor.to.next() && first != seen.last.next() {
            // The order lists what is missing, if it was there, and says so itself; this is for what it doesn't list.
            self.stream(stream, seen.last.max(seen.floor.to).next(), format!("a run is missing before {first}"));
            seen.is_broken = true;
        }
        (seen.first, seen.last, seen.ends) = (first, row.last(), None);
        if let Content::Sealed(sealed) = &row.content {
            self.keys.insert(sealed.key(), (stream, seen.floor.forgotten));
        }
        if !self.is_in_hole(row.group) {
            seen.rows += 1;
            return Ok(());
        }
        // That the group can't be read was told before.
        match self.records(engine, stream, row, None)? {
            Records::End(ends) => seen.ends = Some(ends),
            Records::Forgotten => {}
            Records::Unreadable => seen.is_broken = true,
        }
        Ok(())
    }

    fn end_of_stream(&mut self, engine: &Engine, groups: &mut Groups, seen: &Seen) {
        self.report.streams += 1;
        self.last_of.insert(seen.stream.0, (seen.last, seen.floor));
        let (mut runs, mut ends, mut is_broken) = (0, seen.ends, seen.is_broken);
        if let Some(listed) = self.listed.get(&seen.stream.0) {
            runs = listed.runs;
            is_broken |= listed.is_broken;
            ends = ends.or(listed.ends.filter(|(first, _)| *first == seen.first).map(|(_, ends)| ends));
        }
        if seen.rows != runs || seen.is_cut {
            self.runs_of_nothing(engine, groups, seen, runs);
        }
        if is_broken {
            return;
        }
        if seen.floor.to > seen.last {
            let reason = format!("it ends with {} and was deleted up to {}", seen.last, seen.floor.to);
            self.stream(seen.stream, seen.last, reason);
        }
        if ends.is_some_and(|ends| ends != seen.floor.ended && !seen.floor.forgotten) {
            self.stream(seen.stream, seen.last, "its tombstone is missing, or the floor that belongs to it");
        }
    }

    /// Finds those rows of a stream that no group lists, since it has more rows than are listed.
    fn runs_of_nothing(&mut self, engine: &Engine, groups: &mut Groups, seen: &Seen, runs: u64) {
        let (stream, store) = (seen.stream, self.store());
        let mut left = if seen.is_cut { seen.rows } else { seen.rows.saturating_sub(runs) };
        let rows = engine.range(&stream_key(stream, SeqNr(0)), &stream_key(stream, SeqNr(u64::MAX)));
        // What can't be read was told before.
        for (key, row) in rows.map_while(Result::ok) {
            if left == 0 {
                return;
            }
            let Ok(row) = StreamRow::parse(&key, &row, store) else { continue };
            if self.is_in_hole(row.group) {
                continue;
            }
            if self.report.is_full() {
                // More aren't listed, so it needn't be known which they are.
                self.report.more_findings += seen.rows.saturating_sub(runs).min(left);
                return;
            }
            if self.is_of_nothing(row.group, || groups.list_run(engine, store, stream, &row)) {
                let reason = format!("group {} doesn't list this run: it belongs to nothing", row.group);
                self.stream(stream, row.first(), reason);
                left -= 1;
            }
        }
    }

    /// Whether a group that isn't in a hole, or none, has nothing of what says that it belongs to it.
    fn is_of_nothing(&self, group: u64, listed: impl FnOnce() -> Option<bool>) -> bool {
        let is_there = (1..=self.last_group).contains(&group);
        !is_there || listed() == Some(false)
    }

    fn floor_rows(&mut self, engine: &Engine, groups: &mut Groups) {
        let store = self.store();
        // The stream, and how many rows of it there are.
        let mut seen: Option<(StreamNo, u64)> = None;
        for row in Rows::of(engine, 4, |_| None) {
            let (key, row) = match row {
                Ok(row) => row,
                Err(reason) => {
                    self.unreadable("some rows of floors", &reason);
                    continue;
                }
            };
            let stream = floor_stream(&key).unwrap_or_default();
            if seen.is_none_or(|(seen, _)| seen != stream) {
                if let Some((stream, rows)) = seen.replace((stream, 0)) {
                    self.floors_of_nothing(engine, groups, stream, rows);
                }
                // Stream 0 stands for records that a repair has given up.
                if stream != StreamNo(0) && !self.last_of.contains_key(&stream.0) {
                    self.stream(stream, SeqNr(1), "it has a floor and no run");
                }
            }
            let Some((_, group)) = read_floor_row(&row, store, &key) else {
                self.stream(stream, SeqNr(1), "the digest of its floor's row is wrong");
                continue;
            };
            if let Some((_, rows)) = seen.as_mut().filter(|_| !self.is_in_hole(group)) {
                *rows += 1;
            }
        }
        if let Some((stream, rows)) = seen {
            self.floors_of_nothing(engine, groups, stream, rows);
        }
    }

    /// Finds those floors of a stream that no group lists, if it has more than are listed.
    fn floors_of_nothing(&mut self, engine: &Engine, groups: &mut Groups, stream: StreamNo, rows: u64) {
        let listed = self.listed.get(&stream.0).map_or(0, |listed| listed.floors);
        let mut left = rows.saturating_sub(listed);
        let (from, to) = floor_keys(stream, stream);
        let store = self.store();
        for (key, row) in engine.range(&from, &to).map_while(Result::ok) {
            if left == 0 {
                return;
            }
            if self.report.is_full() {
                self.report.more_findings += left;
                return;
            }
            let Some((floor, group)) = read_floor_row(&row, store, &key) else { continue };
            if self.is_in_hole(group) {
                continue;
            }
            if self.is_of_nothing(group, || groups.list_floor(engine, store, group, stream, floor)) {
                let reason = format!("group {group} doesn't list its floor at {}: it belongs to nothing", floor.to);
                self.stream(stream, SeqNr(1), reason);
                left -= 1;
            }
        }
    }

    fn id_rows(&mut self, engine: &Engine, tag: u8) {
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
            let name = self.listed.get(&stream.0).and_then(|listed| listed.name);
            if name != Some((group, self.name_digest(&key))) && !self.is_in_hole(group) {
                let reason = format!("group {group} doesn't list the row of its id: it belongs to nothing");
                self.stream(stream, SeqNr(1), reason);
            }
            if !self.last_of.contains_key(&stream.0) {
                self.stream(stream, SeqNr(1), "it has an id's row and no run");
            }
        }
    }

    /// Rows that this version never writes.
    fn foreign_rows(&mut self, engine: &Engine) {
        for (from, to) in [(0, 0), (5, 6), (8, u8::MAX)] {
            for tag in from..=to {
                for row in Rows::of(engine, tag, |_| None) {
                    match row {
                        Ok((key, _)) => self.foreign(tag, key.len()),
                        Err(reason) => self.unreadable("some rows", &reason),
                    }
                }
            }
        }
    }

    pub(super) fn foreign(&mut self, tag: u8, bytes: usize) {
        let path = self.engine_path();
        let reason = format!("a row whose key begins with {tag:#04x} and has {bytes} bytes belongs to nothing");
        self.report.push_file(path, reason);
    }
}
