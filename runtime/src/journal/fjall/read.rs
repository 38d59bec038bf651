//! Reading streams and groups. Every row's checksums are verified each time, and a row that is missing is an error, never the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use super::engine::{Engine, EngineError, Row};
use super::rows::{Content, StreamRow, floor_keys, id_key, read_floor_row, read_id_row, stream_key, stream_of_key};
use super::streams::{Open, Stored};
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};
use crate::journal::cipher::StreamCipher;
use crate::journal::floor::Floor;
use crate::journal::lock;
use crate::journal::order::{OrderRow, OrderedRun, group_key};
use crate::journal::{Corrupt, Page, Place, ReadError, StoredRun};

mod everything;

pub(super) use everything::{Cursor, PIECE_BYTES};

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
