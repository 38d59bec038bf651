//! Reading everything, in the order of the offsets.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::atomic::Ordering;

use super::Stream;
use crate::id::{Offset, SeqNr, StreamNo};
use crate::journal::fjall::Shared;
use crate::journal::fjall::ahead::{Ahead, AtHand, Listed};
use crate::journal::fjall::engine::Engine;
#[cfg(any(test, shuttle))]
use crate::journal::fjall::faults::Gate;
use crate::journal::fjall::queue::RUN_OVERHEAD_BYTES;
use crate::journal::fjall::rows::StreamRow;
use crate::journal::floor::Floor;
use crate::journal::lock;
use crate::journal::order::{Mark, OrderRow, OrderedRun};
use crate::journal::{Page, ReadError, StoredRun};

/// So many places are remembered at which somebody has stopped reading everything.
const CURSORS_MAX: usize = 16;

/// For so many of them rows are at hand.
const AHEAD_MAX: usize = 4;

/// So many floors are remembered while a page is read.
const FLOORS_MAX: usize = 16 * 1024;

/// About so many bytes are looked at while the engine is held, so that nobody who closes it waits for what is deleted.
pub(in crate::journal::fjall) const PIECE_BYTES: usize = if cfg!(test) { 1024 } else { 4 * 1024 * 1024 };

/// Where somebody who reads everything has stopped.
pub(in crate::journal::fjall) struct Cursor {
    after: Offset,
    /// The record behind it is in this group.
    group: u64,
    pub(in crate::journal::fjall) ahead: Ahead,
}

impl Shared {
    pub(in crate::journal::fjall) fn read_order(&self, after: Offset, bytes_max: usize) -> Result<Page, ReadError> {
        let end = *lock(&self.durable);
        let floors = Floors { shared: self, known: HashMap::new() };
        let page = Page { runs: Vec::new(), more: false };
        let ahead = Ahead::default();
        let mut reading = OrderPage { shared: self, end, bytes_max, after, group: None, ahead, floors, page, bytes: 0 };
        if after > end.offset {
            return self.with_engine(|_| Ok(reading.page));
        }
        // It ends, since each piece goes on where the one before has come to.
        while self.with_engine(|engine| reading.go_on(engine))? == Progress::Part {}
        Ok(reading.page)
    }

    /// The first group that isn't read by whoever has read everything up to `after`: the one that goes on behind it, or
    /// the one behind that. Nothing may be stored in it but a floor, which is to be checked all the same. And what is at
    /// hand from there on.
    fn group_behind(&self, engine: &Engine, after: Offset, last: u64) -> Result<(u64, Ahead), ReadError> {
        if after == Offset(0) {
            return Ok((1, Ahead::default()));
        }
        if let Some(cursor) = lock(&self.cursors).iter_mut().find(|cursor| cursor.after == after) {
            return Ok((cursor.group, mem::take(&mut cursor.ahead)));
        }
        let end_of = |group| self.group(engine, group, after).map(|row| row.mark.offset);
        let (mut low, mut high) = (1, last);
        while low < high {
            let middle = low + (high - low) / 2;
            if end_of(middle)? < after {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok((if end_of(low)? == after { low + 1 } else { low }, Ahead::default()))
    }

    /// Remembers that what comes behind `after` begins in `group`, and what is at hand of it.
    fn remember(&self, after: Offset, group: u64, ahead: Ahead) {
        let mut cursors = lock(&self.cursors);
        let same = cursors.iter().position(|cursor| cursor.after == after);
        let is_full = cursors.len() == CURSORS_MAX;
        let gone = cursors.remove(same.unwrap_or(if is_full { 0 } else { CURSORS_MAX }));
        cursors.push_back(Cursor { after, group, ahead });
        // Nobody has gone on from the oldest ones for long.
        let with_rows = cursors.iter_mut().rev().filter(|cursor| !cursor.ahead.is_empty());
        let oldest: Vec<_> = with_rows.skip(AHEAD_MAX).map(|cursor| mem::take(&mut cursor.ahead)).collect();
        drop(cursors);
        // It may be much, so nobody waits for it.
        drop((gone, oldest));
    }
}

/// A page of everything while it is read.
///
/// What is deleted is passed over, and there may be much of it: so it is read in pieces, between which the engine is let
/// go. INVARIANT: a page that has come to nothing yet goes on, so that none is empty while there is more.
struct OrderPage<'a> {
    shared: &'a Shared,
    /// What was durable when it began.
    end: Mark,
    bytes_max: usize,
    /// All up to here is in the page, or deleted.
    after: Offset,
    /// The group of what comes next, once it is known.
    group: Option<u64>,
    ahead: Ahead,
    floors: Floors<'a>,
    page: Page,
    bytes: usize,
}

/// How far a group was handed out.
enum Reached {
    /// All of it.
    End,
    /// Up to what is not at hand.
    Cut,
    /// As much as fits into the page.
    Full,
    /// As much as is looked at while the engine is held.
    Part,
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// There is more to look at.
    Part,
    /// The page is what it is to be.
    Done,
}

impl OrderPage<'_> {
    /// Reads a piece.
    fn go_on(&mut self, engine: &Engine) -> Result<Progress, ReadError> {
        match self.piece(engine) {
            // What was read before it is whole. Whoever reads on meets the error.
            Err(_) if !self.page.runs.is_empty() => {
                self.page.more = true;
                Ok(Progress::Done)
            }
            progress => progress,
        }
    }

    fn piece(&mut self, engine: &Engine) -> Result<Progress, ReadError> {
        let mut looked = 0;
        loop {
            let group = self.group(engine)?;
            if group > self.end.group {
                self.shared.remember(self.end.offset, group, Ahead::default());
                return Ok(Progress::Done);
            }
            if !self.ahead.reaches(group, Offset(self.after.0 + 1)) {
                self.plan(engine, group)?;
            }
            if self.ahead.fetch(self.shared, engine) {
                return Ok(Progress::Part);
            }
            let Some(mut listed) = self.ahead.take(group) else { return Ok(Progress::Part) };
            match self.hand_out(engine, &mut listed, &mut looked)? {
                Reached::End => {
                    self.after = listed.row.mark.offset;
                    self.group = Some(group + 1);
                    if group < self.end.group && self.bytes >= self.bytes_max && !self.page.runs.is_empty() {
                        return Ok(self.full(group + 1));
                    }
                }
                Reached::Cut => self.ahead.put_back(listed),
                Reached::Full => {
                    self.ahead.put_back(listed);
                    return Ok(self.full(group));
                }
                Reached::Part => {
                    self.ahead.put_back(listed);
                    return Ok(Progress::Part);
                }
            }
            looked += RUN_OVERHEAD_BYTES;
            if looked >= PIECE_BYTES {
                return Ok(Progress::Part);
            }
        }
    }

    /// The group of what comes next.
    fn group(&mut self, engine: &Engine) -> Result<u64, ReadError> {
        if let Some(group) = self.group {
            return Ok(group);
        }
        let (group, ahead) = self.shared.group_behind(engine, self.after, self.end.group)?;
        (self.group, self.ahead) = (Some(group), ahead);
        Ok(group)
    }

    /// Finds out what is to be fetched from a group on.
    fn plan(&mut self, engine: &Engine, group: u64) -> Result<(), ReadError> {
        let row = match self.ahead.take(group) {
            Some(listed) => listed.row,
            None => self.shared.group(engine, group, Offset(self.after.0 + 1))?,
        };
        let Self { shared, after, floors, .. } = self;
        let is_wanted = |offset: Offset, run: &OrderedRun| {
            let is_behind = offset.0 + (run.records - 1) > after.0;
            // A floor that can't be read is met by whoever comes to it.
            is_behind && floors.of(engine, run.stream).is_ok_and(|floor| run.last() > floor.to)
        };
        self.ahead.plan(shared, engine, row, self.end.group, self.bytes_max, is_wanted);
        #[cfg(any(test, shuttle))]
        self.shared.faults.pass(Gate::Reading);
        Ok(())
    }

    /// Puts the runs of a group into the page.
    fn hand_out(&mut self, engine: &Engine, listed: &mut Listed, looked: &mut usize) -> Result<Reached, ReadError> {
        let Listed { row, runs } = listed;
        let group = row.mark.group;
        self.floors.check(engine, row)?;
        for ((offset, run), at_hand) in row.with_offsets().zip(runs) {
            let last = Offset(offset.0 + (run.records - 1));
            if last <= self.after {
                continue;
            }
            *looked += RUN_OVERHEAD_BYTES;
            let floor = self.floors.of(engine, run.stream)?;
            if run.last() > floor.to {
                let len = usize::try_from(run.bytes).unwrap_or(usize::MAX);
                let bytes = self.bytes.saturating_add(len);
                if bytes > self.bytes_max && !self.page.runs.is_empty() {
                    return Ok(Reached::Full);
                }
                if self.ahead.is_cut(offset) {
                    return Ok(Reached::Cut);
                }
                *looked = looked.saturating_add(len);
                if let Some(run) = self.run(engine, group, offset, run, floor, mem::take(at_hand))? {
                    self.page.runs.push(run);
                    self.bytes = bytes;
                }
            }
            self.after = last;
            if *looked >= PIECE_BYTES {
                return Ok(Reached::Part);
            }
        }
        Ok(Reached::End)
    }

    /// Takes a run that is at hand, or reads it, unless it is deleted or forgotten since its floor was looked up.
    fn run(
        &self,
        engine: &Engine,
        group: u64,
        offset: Offset,
        run: &OrderedRun,
        floor: Floor,
        at_hand: AtHand,
    ) -> Result<Option<StoredRun>, ReadError> {
        let plain = |this: &Stream<'_>, row: &StreamRow<'_>| this.plain(engine, row);
        let read = match at_hand {
            AtHand::Plain(bytes) => Ok(Some(bytes)),
            AtHand::Sealed(row) => self.shared.ordered_row(group, offset, run, &row, plain).map(Some),
            AtHand::Nothing => self.shared.ordered_run(engine, group, offset, run, floor, plain),
        };
        match read {
            Ok(bytes) => Ok(bytes.map(|bytes| StoredRun { stream: run.stream, offset, floor: floor.to, bytes })),
            Err(ReadError::Forgotten { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The page has as much as fits, and the group has what comes next.
    fn full(&mut self, group: u64) -> Progress {
        self.page.more = true;
        self.shared.remember(self.after, group, mem::take(&mut self.ahead));
        Progress::Done
    }
}

/// The floors of the streams that a page has met.
struct Floors<'a> {
    shared: &'a Shared,
    known: HashMap<u64, Floor>,
}

impl Floors<'_> {
    /// The floor of a stream, looked up once, and not at all where nothing was ever deleted.
    fn of(&mut self, engine: &Engine, stream: StreamNo) -> Result<Floor, ReadError> {
        if !self.shared.has_floors.load(Ordering::SeqCst) {
            return Ok(Floor::default());
        }
        match self.known.entry(stream.0) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(unknown) => {
                let floor = *unknown.insert(self.shared.floor(engine, stream)?);
                if self.known.len() > FLOORS_MAX {
                    self.known.clear();
                }
                Ok(floor)
            }
        }
    }

    /// Says whether the floors that rose with a group are there, or higher ones.
    fn check(&mut self, engine: &Engine, row: &OrderRow) -> Result<(), ReadError> {
        for (stream, floor) in &row.floors {
            let found = self.of(engine, *stream)?;
            if found.raised(*floor) != found {
                let this = Stream::by_number(self.shared, *stream);
                return Err(this.corrupt(SeqNr(1), format!("its floor at {} is missing", floor.to)));
            }
        }
        Ok(())
    }
}
