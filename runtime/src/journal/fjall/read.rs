//! Reading. Every row's checksums are verified each time, and a row that is missing is an error, never the end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use super::ahead::{Ahead, AtHand, Listed};
use super::engine::{Engine, EngineError, Row};
#[cfg(any(test, shuttle))]
use super::faults::Gate;
use super::queue::RUN_OVERHEAD_BYTES;
use super::rows::{Content, StreamRow, floor_keys, id_key, read_floor_row, read_id_row, stream_key, stream_of_key};
use super::streams::{Open, Stored};
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};
use crate::journal::cipher::StreamCipher;
use crate::journal::floor::Floor;
use crate::journal::lock;
use crate::journal::order::{Mark, OrderRow, OrderedRun, group_key};
use crate::journal::{Corrupt, Page, Place, ReadError, StoredRun};

/// So many places are remembered at which somebody has stopped reading everything.
const CURSORS_MAX: usize = 16;

/// For so many of them rows are at hand.
const AHEAD_MAX: usize = 4;

/// So many floors are remembered while a page is read.
const FLOORS_MAX: usize = 16 * 1024;

/// About so many bytes are looked at while the engine is held, so that nobody who closes it waits for what is deleted.
pub(super) const PIECE_BYTES: usize = if cfg!(test) { 1024 } else { 4 * 1024 * 1024 };

/// Where somebody who reads everything has stopped.
pub(super) struct Cursor {
    after: Offset,
    /// The record behind it is in this group.
    group: u64,
    pub(super) ahead: Ahead,
}

/// Whether a row is that of the run that an order row lists.
pub(super) fn is_listed(row: &StreamRow<'_>, group: u64, offset: Offset, run: &OrderedRun) -> bool {
    row.group == group && row.base == offset && row.checksum == run.checksum && row.records() == run.records
}

/// A stream, and what messages about it need.
pub(super) struct Stream<'a> {
    pub(super) shared: &'a Shared,
    pub(super) stream: StreamNo,
    pub(super) id: Option<PersistenceId>,
    /// Its key, if it is at hand.
    pub(super) cipher: Option<Arc<StreamCipher>>,
}

impl<'a> Stream<'a> {
    /// A stream of which only the number is known.
    pub(super) fn by_number(shared: &'a Shared, stream: StreamNo) -> Self {
        Self { shared, stream, id: None, cipher: None }
    }
}

impl Stream<'_> {
    pub(super) fn corrupt(&self, from: SeqNr, reason: impl Into<String>) -> ReadError {
        let place = Place::Stream { stream: self.stream, id: self.id.clone(), from };
        Corrupt { place, reason: reason.into() }.into()
    }

    fn engine_error(&self, from: SeqNr, error: EngineError) -> ReadError {
        match error {
            EngineError::Damaged(reason) => self.corrupt(from, reason),
            error @ (EngineError::Failed(_) | EngineError::Locked) => ReadError::Engine {
                what: format!("stream {} from sequence number {from}", self.stream),
                error: error.to_string().into(),
            },
        }
    }

    pub(super) fn row<'r>(&self, key: &[u8], row: &'r [u8]) -> Result<StreamRow<'r>, ReadError> {
        let from = stream_of_key(key).map_or(SeqNr::ZERO, |(_, first)| first);
        let row = StreamRow::parse(key, row, self.shared.facts.store).map_err(|reason| self.corrupt(from, reason))?;
        match (&self.id, &row.content) {
            (Some(id), Content::Plain(outline)) if !outline.is_of(id) => {
                Err(self.corrupt(from, "a run of another stream is stored here"))
            }
            _ => Ok(row),
        }
    }

    /// The stream's last row.
    pub(super) fn last_row(&self, engine: &Engine) -> Result<Option<Row>, ReadError> {
        self.row_before(engine, SeqNr(u64::MAX))
    }

    /// The last row that begins at `to` or before.
    fn row_before(&self, engine: &Engine, to: SeqNr) -> Result<Option<Row>, ReadError> {
        let (from, to_key) = (stream_key(self.stream, SeqNr(1)), stream_key(self.stream, to));
        engine.last(&from, &to_key).map_err(|error| self.engine_error(to, error))
    }

    /// The last sequence number of the stream.
    fn last(&self, engine: &Engine) -> Result<Option<SeqNr>, ReadError> {
        let found = self.last_row(engine)?;
        found.map(|(key, row)| Ok(self.row(&key, &row)?.last())).transpose()
    }

    /// The floor as the engine has it.
    fn floor(&self, engine: &Engine) -> Result<Floor, ReadError> {
        let (from, to) = floor_keys(self.stream, self.stream);
        let highest = engine.range(&from, &to).next().transpose();
        let Some((key, row)) = highest.map_err(|error| self.engine_error(SeqNr(1), error))? else {
            return Ok(Floor::default());
        };
        let read = read_floor_row(&row, self.shared.facts.store, &key);
        read.map(|(floor, _)| floor).ok_or_else(|| self.corrupt(SeqNr(1), "the digest of its floor's row is wrong"))
    }

    fn stored(&self, engine: &Engine, row: &StreamRow<'_>, floor: SeqNr) -> Result<StoredRun, ReadError> {
        let bytes = self.plain(engine, row)?;
        Ok(StoredRun { stream: self.stream, offset: row.base, floor, bytes })
    }
}

impl Shared {
    pub(super) fn with_engine<T>(&self, read: impl FnOnce(&Engine) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let engine = self.engine.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        read(engine.as_ref().ok_or(ReadError::Closed)?)
    }

    /// Looks a stream up on the disk.
    pub(super) fn find_stream(&self, engine: &Engine, id: &PersistenceId) -> Result<Option<Stored>, ReadError> {
        let mut key = Vec::with_capacity(64);
        id_key(&mut key, id);
        let stream = match self.stream_of(engine, Some(id), &key)? {
            Some(stream) => stream,
            None => match self.find_hidden(engine, id)? {
                Some(stream) => stream,
                None => return Ok(None),
            },
        };
        Stream { id: Some(id.clone()), ..Stream::by_number(self, stream) }.found(engine).map(Some)
    }

    /// The stream that the row with the key of an id names.
    pub(super) fn stream_of(
        &self,
        engine: &Engine,
        id: Option<&PersistenceId>,
        key: &[u8],
    ) -> Result<Option<StreamNo>, ReadError> {
        let this = || Stream { id: id.cloned(), ..Stream::by_number(self, StreamNo(0)) };
        let found = engine.get(key).map_err(|error| this().engine_error(SeqNr(1), error))?;
        let Some(row) = found else { return Ok(None) };
        let stream = read_id_row(&row, self.facts.store, key);
        stream.map(Some).ok_or_else(|| this().corrupt(SeqNr(1), "the digest of its id's row is wrong"))
    }

    /// The floor of a stream as the engine has it: what is deleted, at least.
    pub(super) fn floor(&self, engine: &Engine, stream: StreamNo) -> Result<Floor, ReadError> {
        if !self.has_floors.load(Ordering::SeqCst) {
            return Ok(Floor::default());
        }
        Stream::by_number(self, stream).floor(engine)
    }

    pub(super) fn read_stream(
        &self,
        stream: StreamNo,
        from: SeqNr,
        to: SeqNr,
        bytes_max: usize,
    ) -> Result<Page, ReadError> {
        self.with_engine(|engine| {
            // ORDER: before the rows are read, so that none is missed that was durable by then.
            let open = lock(&self.streams).get(stream);
            let mut this = Stream::by_number(self, stream);
            let known = open.map(|Open { id, last, floor, cipher }| {
                (this.id, this.cipher) = (Some(id), cipher);
                (last, floor)
            });
            let (last, floor) = match known {
                Some(known) => known,
                None => {
                    let last = match this.last(engine) {
                        // What is whole before its last run can be read. Whoever reads on meets that one.
                        Err(ReadError::Corrupt(_)) => SeqNr(u64::MAX),
                        last => last?.unwrap_or(SeqNr::ZERO),
                    };
                    (last, self.floor(engine, stream)?)
                }
            };
            let (to, mut floor) = (to.min(last), floor.to);
            // It ends, since it only goes on when the floor rises, which it does up to the last record.
            loop {
                let page = this.read_above(engine, floor, from.max(floor.next()), to, bytes_max);
                // Rows that were there may be gone by now.
                match page {
                    Err(error @ (ReadError::Corrupt(_) | ReadError::Forgotten { .. })) => {
                        match self.floor(engine, stream)?.to {
                            risen if risen > floor => floor = risen,
                            _ => return Err(error),
                        }
                    }
                    // It may have ended at what is deleted by now; then so is what is before that.
                    Ok(page) if page.more => match self.floor(engine, stream) {
                        Ok(Floor { to: risen, .. }) if risen > floor => floor = risen,
                        Ok(_) | Err(_) => return Ok(page),
                    },
                    page => return page,
                }
            }
        })
    }

    /// The name of a stream with records.
    pub(super) fn stream_id(&self, stream: StreamNo) -> Result<Option<PersistenceId>, ReadError> {
        self.with_engine(|engine| {
            // ORDER: before the row is looked for, so that none is missed that was durable by then.
            if let Some(Open { id, last, floor, .. }) = lock(&self.streams).get(stream) {
                return Ok((last > SeqNr::ZERO && !floor.forgotten).then_some(id));
            }
            let this = Stream::by_number(self, stream);
            // The last row is there also where others are deleted.
            match this.last_row(engine)? {
                Some((key, row)) => this.id_in(engine, &this.row(&key, &row)?),
                None => Ok(None),
            }
        })
    }

    pub(super) fn read_order(&self, after: Offset, bytes_max: usize) -> Result<Page, ReadError> {
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

    /// A group's row, which must be there; `near` is an offset to name if nothing better is known.
    pub(super) fn group(&self, engine: &Engine, group: u64, near: Offset) -> Result<OrderRow, ReadError> {
        let corrupt = |reason: String| {
            let place = Place::Offsets { from: near, to: lock(&self.durable).offset };
            ReadError::from(Corrupt { place, reason: format!("group {group}: {reason}") })
        };
        let found = engine.get(&group_key(group)).map_err(|error| match error {
            EngineError::Damaged(reason) => corrupt(reason),
            error @ (EngineError::Failed(_) | EngineError::Locked) => {
                ReadError::Engine { what: format!("group {group}"), error: error.to_string().into() }
            }
        })?;
        let row = found.ok_or_else(|| corrupt("its order row is missing".into()))?;
        OrderRow::parse(&row, self.facts.store, group).map_err(|error| corrupt(error.to_string()))
    }

    /// What `then` makes of the run that an order row lists, which must be there and be the same; nothing if all of it
    /// is deleted.
    pub(super) fn ordered_run<T>(
        &self,
        engine: &Engine,
        group: u64,
        offset: Offset,
        run: &OrderedRun,
        floor: Floor,
        then: impl FnOnce(&Stream<'_>, &StreamRow<'_>) -> Result<T, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        if run.last() <= floor.to {
            return Ok(None);
        }
        let this = Stream::by_number(self, run.stream);
        let key = stream_key(run.stream, run.first);
        let found = engine.get(&key).map_err(|error| this.engine_error(run.first, error))?;
        let Some(bytes) = found else {
            // It may be gone since the floor was looked up.
            return match self.floor(engine, run.stream)? {
                risen if run.last() <= risen.to => Ok(None),
                _ => Err(this.corrupt(run.first, "a run is missing that the order lists")),
            };
        };
        self.ordered_row(group, offset, run, &bytes, then).map(Some)
    }

    /// What `then` makes of the row of a run that an order row lists, which must be that run's.
    fn ordered_row<T>(
        &self,
        group: u64,
        offset: Offset,
        run: &OrderedRun,
        row: &[u8],
        then: impl FnOnce(&Stream<'_>, &StreamRow<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let this = Stream::by_number(self, run.stream);
        let row = this.row(&stream_key(run.stream, run.first), row)?;
        if !is_listed(&row, group, offset, run) {
            return Err(this.corrupt(run.first, "another run is stored than the one that the order lists"));
        }
        then(&this, &row)
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

impl Stream<'_> {
    /// What is stored of a stream with an id's row.
    fn found(mut self, engine: &Engine) -> Result<Stored, ReadError> {
        let found = self.last_row(engine)?;
        let (key, row) = found.ok_or_else(|| self.corrupt(SeqNr(1), "it has an id's row and no run"))?;
        let row = self.row(&key, &row)?;
        let (last, floor) = (row.last(), self.shared.floor(engine, self.stream)?);
        if floor.to > last {
            return Err(self.corrupt(last, format!("it ends with {last} and was deleted up to {}", floor.to)));
        }
        // Otherwise a stream whose floor is lost would go on behind its end.
        let key = self.take_key(engine, &row, floor)?;
        // Of a stream that is forgotten nobody can tell any more.
        if !floor.forgotten && self.ends(engine, &row)? != floor.ended {
            return Err(self.corrupt(last, "its tombstone is missing, or the floor that belongs to it"));
        }
        Ok(Stored { stream: self.stream, last, floor, key, cipher: self.cipher })
    }

    /// Reads the runs that contain the records from one to another, none of which is deleted.
    fn read_above(
        &self,
        engine: &Engine,
        floor: SeqNr,
        from: SeqNr,
        to: SeqNr,
        bytes_max: usize,
    ) -> Result<Page, ReadError> {
        if from > to {
            return Ok(Page { runs: Vec::new(), more: false });
        }
        if from == SeqNr(1) {
            return self.page(engine, floor, from, to, bytes_max);
        }
        let missing = || self.corrupt(from, "a run is missing");
        let (key, row) = self.row_before(engine, from)?.ok_or_else(missing)?;
        let row = self.row(&key, &row)?;
        let (first, last) = (row.first(), row.last());
        if last < from {
            return Err(missing());
        }
        // Looking for one record is common, so its run isn't read twice.
        if last >= to || row.run_bytes() >= bytes_max {
            return Ok(Page { runs: vec![self.stored(engine, &row, floor)?], more: last < to });
        }
        self.page(engine, floor, first, to, bytes_max)
    }

    /// The runs from the one that begins with `begin` to the one that contains `to`; all of them must be there.
    fn page(
        &self,
        engine: &Engine,
        floor: SeqNr,
        begin: SeqNr,
        to: SeqNr,
        bytes_max: usize,
    ) -> Result<Page, ReadError> {
        let mut page = Page { runs: Vec::new(), more: false };
        let mut bytes = 0_usize;
        let mut next = begin;
        let mut rows = engine.range(&stream_key(self.stream, begin), &stream_key(self.stream, to));
        while next <= to {
            let room = if page.runs.is_empty() { usize::MAX } else { bytes_max.saturating_sub(bytes) };
            let found = rows.next();
            let overlaps = matches!(&found, Some(Ok((key, _))) if key.as_ref() < &stream_key(self.stream, next)[..]);
            let run = match self.next_run(engine, floor, next, found, room) {
                // What was read before it is whole. Whoever reads on meets the error, but for a row that begins in a run.
                Err(_) if !page.runs.is_empty() && !overlaps => None,
                run => run?,
            };
            let Some((run, len, last)) = run else {
                page.more = true;
                return Ok(page);
            };
            page.runs.push(run);
            bytes = bytes.saturating_add(len);
            next = last.next();
        }
        if let Some(Ok(_)) = rows.next() {
            return Err(self.corrupt(to, "a run begins within another one"));
        }
        Ok(page)
    }

    /// The run that begins with `next`, how long it is, and its last sequence number; nothing if it is too long.
    fn next_run(
        &self,
        engine: &Engine,
        floor: SeqNr,
        next: SeqNr,
        found: Option<Result<Row, EngineError>>,
        room: usize,
    ) -> Result<Option<(StoredRun, usize, SeqNr)>, ReadError> {
        let missing = || self.corrupt(next, "a run is missing");
        let (key, row) = found.ok_or_else(missing)?.map_err(|error| self.engine_error(next, error))?;
        let row = self.row(&key, &row)?;
        if row.first() != next {
            return Err(missing());
        }
        if row.run_bytes() > room {
            return Ok(None);
        }
        Ok(Some((self.stored(engine, &row, floor)?, row.run_bytes(), row.last())))
    }
}
