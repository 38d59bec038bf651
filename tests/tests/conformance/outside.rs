//! A whole journal, written with nothing but what annals makes public: a list of runs behind a lock, shared by all who open
//! it. It forgets nothing, so it has no ciphers.

use std::future::{poll_fn, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use annals::journal::{
    Armed, CloseError, Due, Durability, Facts, Fut, Health, Journal, Outcome, Page, RUN_BYTES_MAX, ReadError, Run,
    StoredRun, StreamHead, Why,
};
use annals::testing::conformance::journal::JournalStore;
use annals::{Offset, PersistenceId, SeqNr, StreamNo, Timestamp};

annals::journal_conformance!(Shelf::default());

/// What outlives the journals that are opened on it.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Rows>>);

#[derive(Default)]
struct Rows {
    epoch: u64,
    closed: bool,
    streams: Vec<Stream>,
    order: Vec<Row>,
    waiting: Vec<Waker>,
}

struct Stream {
    id: PersistenceId,
    opened: u64,
    head: StreamHead,
    due: Option<Timestamp>,
}

struct Row {
    run: StoredRun,
    first: SeqNr,
    last: SeqNr,
}

impl Shelf {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the last run away, as a store does that says too early that it has it.
    pub(crate) fn lose_the_last_run(&self) {
        let mut rows = self.rows();
        let Some(lost) = rows.order.pop() else { return };
        if let Ok(stream) = rows.stream(lost.run.stream) {
            stream.head.last = SeqNr(lost.first.0 - 1);
        }
    }
}

impl JournalStore for Shelf {
    fn open(&self) -> Box<dyn Journal> {
        let mut rows = self.rows();
        rows.epoch += 1;
        rows.closed = false;
        rows.streams.iter_mut().for_each(|stream| stream.opened = 0);
        rows.waiting.drain(..).for_each(Waker::wake);
        Box::new(ShelfJournal { shelf: self.clone(), epoch: rows.epoch })
    }

    fn crash(&mut self, journal: Box<dyn Journal>) {
        drop(journal);
    }

    fn shuts_out(&self) -> bool {
        true
    }

    fn gapless(&self) -> bool {
        true
    }
}

impl Rows {
    fn durable(&self) -> Offset {
        self.order.last().map_or(Offset(0), Row::last_offset)
    }

    fn stream(&mut self, stream: StreamNo) -> Result<&mut Stream, Why> {
        let index = stream.0.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.streams.get_mut(index)).ok_or_else(|| Why::BadRun("there is no such stream".into()))
    }

    fn open_stream(&mut self, stream: StreamNo) -> Result<&mut Stream, Why> {
        let stream = self.stream(stream)?;
        if stream.opened > 0 { Ok(stream) } else { Err(Why::BadRun("its stream isn't open".into())) }
    }

    fn store(&mut self, facts: &Facts, run: Run) -> Result<Offset, Why> {
        run.check(facts)?;
        let last = run.last();
        let stream = self.open_stream(run.stream)?;
        if stream.id != run.id {
            return Err(Why::BadRun("its stream is another's".into()));
        }
        let head = &mut stream.head;
        if head.ended {
            return Err(Why::Ended { last: head.last });
        }
        if head.last.next() != run.first {
            return Err(Why::Conflict { expected: SeqNr(run.first.0 - 1), last: head.last });
        }
        head.last = last;
        if run.ends {
            (head.ended, head.floor) = (true, head.floor.max(SeqNr(last.0 - 1)));
        }
        match run.due {
            Due::Unchanged => {}
            Due::Cleared => stream.due = None,
            Due::At(due) => stream.due = Some(due),
        }
        let offset = Offset(self.durable().0 + 1);
        let stored = StoredRun { stream: run.stream, offset, floor: SeqNr::ZERO, bytes: run.bytes };
        self.order.push(Row { run: stored, first: run.first, last });
        Ok(offset)
    }

    fn delete(&mut self, stream: StreamNo, to: SeqNr) -> Result<Offset, Why> {
        let head = &mut self.open_stream(stream)?.head;
        if to > head.last {
            return Err(Why::BadRun("so many records aren't there".into()));
        }
        head.floor = head.floor.max(to);
        Ok(self.durable())
    }

    /// The runs that are meant, as many as fit, and at least one.
    fn page(&self, is_meant: impl Fn(&Row) -> bool, bytes_max: usize) -> Page {
        let mut page = Page { runs: Vec::new(), more: false };
        let mut bytes = 0_usize;
        for row in self.order.iter().filter(|row| is_meant(row)) {
            let floor = self.streams.iter().find(|stream| stream.head.stream == row.run.stream).map(|s| s.head.floor);
            let floor = floor.unwrap_or(SeqNr::ZERO);
            if row.last <= floor {
                continue;
            }
            bytes = bytes.saturating_add(row.run.bytes.len());
            if bytes > bytes_max && !page.runs.is_empty() {
                page.more = true;
                break;
            }
            page.runs.push(StoredRun { floor, ..row.run.clone() });
        }
        page
    }
}

impl Row {
    fn last_offset(&self) -> Offset {
        Offset(self.run.offset.0 + (self.last.0 - self.first.0))
    }
}

struct ShelfJournal {
    shelf: Shelf,
    epoch: u64,
}

impl ShelfJournal {
    fn readable(&self) -> Result<MutexGuard<'_, Rows>, ReadError> {
        let rows = self.shelf.rows();
        if rows.closed && rows.epoch == self.epoch { Err(ReadError::Closed) } else { Ok(rows) }
    }

    fn writable(&self) -> Result<MutexGuard<'_, Rows>, Why> {
        let rows = self.shelf.rows();
        match () {
            () if rows.epoch != self.epoch => Err(Why::Fenced { epoch: self.epoch }),
            () if rows.closed => Err(Why::Closed),
            () => Ok(rows),
        }
    }

    fn open_now(&self, id: &PersistenceId) -> Result<StreamHead, ReadError> {
        id.entity.check()?;
        if !(1..=PersistenceId::AGGREGATE_BYTES_MAX).contains(&id.aggregate.len()) {
            let error = "the aggregate's name is empty or too long".into();
            return Err(ReadError::Engine { what: id.to_string(), error });
        }
        let mut rows = self.readable()?;
        if let Some(stream) = rows.streams.iter_mut().find(|stream| stream.id == *id) {
            stream.opened += 1;
            return Ok(stream.head);
        }
        let stream = StreamNo(rows.streams.last().map_or(0, |last| last.head.stream.0) + 1);
        let head = StreamHead { stream, last: SeqNr::ZERO, floor: SeqNr::ZERO, ended: false };
        rows.streams.push(Stream { id: id.clone(), opened: 1, head, due: None });
        Ok(head)
    }

    fn armed_now(&self) -> Result<Vec<Armed>, ReadError> {
        let rows = self.readable()?;
        let armed = |stream: &Stream| Some(Armed { due: stream.due?, stream: stream.head.stream });
        let mut all: Vec<_> = rows.streams.iter().filter_map(armed).collect();
        all.sort_unstable();
        Ok(all)
    }
}

impl Journal for ShelfJournal {
    fn facts(&self) -> Facts {
        let durability = Durability::Memory;
        Facts { store: 7, epoch: self.epoch, run_bytes_max: RUN_BYTES_MAX, groups_in_flight: 4, durability }
    }

    fn open_stream(&self, id: &PersistenceId) -> Fut<'_, Result<StreamHead, ReadError>> {
        Box::pin(ready(self.open_now(id)))
    }

    fn close_stream(&self, stream: StreamNo) {
        if let Ok(mut rows) = self.writable()
            && let Ok(stream) = rows.open_stream(stream)
        {
            stream.opened -= 1;
        }
    }

    fn append(&self, group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
        let outcomes = match self.writable() {
            Err(why) => vec![Outcome::NotStored(why); group.len()],
            Ok(mut rows) => {
                let facts = self.facts();
                let stored = group.into_iter().map(|run| rows.store(&facts, run));
                let outcomes = stored.map(|stored| stored.map_or_else(Outcome::NotStored, Outcome::Stored)).collect();
                rows.waiting.drain(..).for_each(Waker::wake);
                outcomes
            }
        };
        Box::pin(ready(outcomes))
    }

    fn durable(&self) -> Offset {
        self.shelf.rows().durable()
    }

    fn changed(&self, beyond: Offset) -> Fut<'static, Offset> {
        let (shelf, epoch) = (self.shelf.clone(), self.epoch);
        Box::pin(poll_fn(move |context| {
            let mut rows = shelf.rows();
            if rows.closed || rows.epoch != epoch || rows.durable() > beyond {
                return Poll::Ready(rows.durable());
            }
            rows.waiting.push(context.waker().clone());
            Poll::Pending
        }))
    }

    fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        let meant = move |row: &Row| row.run.stream == stream && row.last >= from && row.first <= to && from <= to;
        Box::pin(async move {
            let mut rows = self.readable()?;
            let floor = rows.stream(stream).map_or(SeqNr::ZERO, |stream| stream.head.floor);
            Ok(rows.page(|row| meant(row) && to > floor, bytes_max))
        })
    }

    fn read_all(&self, after: Offset, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        Box::pin(async move { Ok(self.readable()?.page(|row| row.last_offset() > after, bytes_max)) })
    }

    fn armed(&self) -> Fut<'_, Result<Vec<Armed>, ReadError>> {
        Box::pin(async { self.armed_now() })
    }

    fn stream_id(&self, stream: StreamNo) -> Fut<'_, Result<Option<PersistenceId>, ReadError>> {
        Box::pin(async move {
            let mut rows = self.readable()?;
            let stream = rows.stream(stream).ok().filter(|stream| stream.head.last > SeqNr::ZERO);
            Ok(stream.map(|stream| stream.id.clone()))
        })
    }

    fn delete_to(&self, stream: StreamNo, to: SeqNr) -> Fut<'static, Outcome> {
        let deleted = self.writable().and_then(|mut rows| rows.delete(stream, to));
        Box::pin(ready(deleted.map_or_else(Outcome::NotStored, Outcome::Stored)))
    }

    fn forget(&self, stream: StreamNo) -> Fut<'static, Outcome> {
        let why = match self.writable().and_then(|mut rows| Ok(rows.open_stream(stream)?.head.last)) {
            Ok(SeqNr::ZERO) => Why::BadRun("it has not ended".into()),
            Ok(_) => Why::NotForgettable,
            Err(why) => why,
        };
        Box::pin(ready(Outcome::NotStored(why)))
    }

    fn health(&self) -> Health {
        match self.writable() {
            Ok(_) => Health::Good,
            Err(Why::Closed) => Health::Closed,
            Err(why) => Health::Failed(why.to_string().into()),
        }
    }

    fn close(&self) -> Fut<'_, Result<(), CloseError>> {
        if let Ok(mut rows) = self.writable() {
            rows.closed = true;
            rows.waiting.drain(..).for_each(Waker::wake);
        }
        Box::pin(ready(Ok(())))
    }
}
