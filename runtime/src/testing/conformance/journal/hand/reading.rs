//! What is read, and what holds for all of it.

use super::super::super::told::Shown;
use super::super::rules;
use super::Hand;
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};
use crate::journal::{Armed, Page, ReadError, Record, RunError, RunView, StoredRun};

const NOTHING: Page = Page { runs: Vec::new(), more: false };

/// A record of an event: its sequence number and its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Seen(pub(in super::super) u64, pub(in super::super) Shown);

/// A run in the order of the whole journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Placed {
    pub(in super::super) offset: u64,
    pub(in super::super) stream: u64,
    pub(in super::super) first: u64,
    pub(in super::super) records: u64,
}

impl Placed {
    /// The offset of its last record.
    pub(in super::super) fn last_offset(&self) -> u64 {
        self.offset + (self.records - 1)
    }
}

/// These payloads, as the events of a stream.
pub(in super::super) fn numbered(payloads: &[&[u8]]) -> Vec<Seen> {
    (1..).zip(payloads).map(|(seq, payload)| Seen(seq, Shown(payload.to_vec()))).collect()
}

impl Hand<'_> {
    pub(in super::super) fn durable(self) -> u64 {
        self.journal.durable().0
    }

    pub(in super::super) fn try_read(
        self,
        stream: StreamNo,
        from: u64,
        to: u64,
        bytes_max: usize,
    ) -> Result<Page, ReadError> {
        let (from, to) = (SeqNr(from), SeqNr(to));
        let page = self.wait("Journal::read", self.within(|| self.journal.read(stream, from, to, bytes_max)));
        let came = page.as_ref().map(|page| (page.runs.len(), page.more));
        self.step(format_args!("read stream {stream} from {from} to {to}, {bytes_max} bytes: (runs, more) = {came:?}"));
        page
    }

    #[track_caller]
    pub(in super::super) fn read(self, stream: StreamNo, from: u64, to: u64, bytes_max: usize) -> Page {
        let page = match self.try_read(stream, from, to, bytes_max) {
            Ok(page) => page,
            Err(error) => self.fail("reading a stream", "a page", &error.to_string()),
        };
        self.check_page(&page);
        let judge = self.by(&rules::READ);
        let streams: Vec<_> = page.runs.iter().map(|run| run.stream).collect();
        judge.holds("the streams of a page's runs", "only the one that was read", &streams, {
            streams.iter().all(|found| *found == stream)
        });
        let borders: Vec<_> = page.runs.iter().map(|run| self.borders(run)).collect();
        judge.holds("the first and last sequence numbers of a page's runs", "each after the one before", &borders, {
            borders.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0)
        });
        page
    }

    #[track_caller]
    pub(in super::super) fn reads_nothing(self, stream: StreamNo, from: u64, to: u64, bytes_max: usize) {
        self.is(&format!("reading from {from} to {to}"), self.read(stream, from, to, bytes_max), NOTHING);
    }

    pub(in super::super) fn try_read_all(self, after: u64, bytes_max: usize) -> Result<Page, ReadError> {
        let after = Offset(after);
        let page = self.wait("Journal::read_all", self.within(|| self.journal.read_all(after, bytes_max)));
        let came = page.as_ref().map(|page| (page.runs.len(), page.more));
        self.step(format_args!("read all after {after}, {bytes_max} bytes: (runs, more) = {came:?}"));
        page
    }

    /// A page of the whole journal.
    #[track_caller]
    pub(in super::super) fn read_all(self, after: u64, bytes_max: usize) -> Page {
        let page = match self.try_read_all(after, bytes_max) {
            Ok(page) => page,
            Err(error) => self.fail("reading the whole journal", "a page", &error.to_string()),
        };
        self.check_page(&page);
        let last = page.runs.last().map(|run| self.placed(run).last_offset());
        let durable = self.durable();
        let expected = format!("at most {durable}, which is durable");
        self.by(&rules::READ_ALL_DURABLE).holds(
            "the last offset of a page",
            &expected,
            &last,
            last.is_none_or(|last| last <= durable),
        );
        page
    }

    /// What holds for every page: the bytes are whole, the offsets rise, nothing in it is wholly deleted.
    #[track_caller]
    fn check_page(self, page: &Page) {
        let mut before = 0;
        for run in &page.runs {
            let placed = self.placed(run);
            let expected = format!("more than {before}");
            self.by(&rules::OFFSETS).holds("an offset of a page", &expected, &placed.offset, placed.offset > before);
            before = placed.last_offset();
            let (_, last) = self.borders(run);
            let expected = format!("less than {last}");
            self.by(&rules::FLOOR).holds("the floor of a run in a page", &expected, &run.floor, run.floor.0 < last);
        }
        let empty = page.runs.is_empty();
        self.by(&rules::MORE).holds("Page::more", "false for a page without runs", page, !(empty && page.more));
    }

    #[track_caller]
    fn view(self, run: &StoredRun) -> RunView<'_> {
        match RunView::parse(&run.bytes, self.facts().store) {
            Ok(view) => view,
            Err(error) => {
                self.by(&rules::BYTES).fail("the bytes of a run", "those that were stored", &error.to_string())
            }
        }
    }

    fn borders(self, run: &StoredRun) -> (u64, u64) {
        let view = self.view(run);
        (view.first().0, view.last().0)
    }

    #[track_caller]
    pub(in super::super) fn placed(self, run: &StoredRun) -> Placed {
        let view = self.view(run);
        Placed { offset: run.offset.0, stream: run.stream.0, first: view.first().0, records: view.records() }
    }

    /// The events of a page, without what is deleted.
    pub(in super::super) fn events_of(self, page: &Page) -> Vec<Seen> {
        let mut events = Vec::new();
        for run in &page.runs {
            let read = self.view(run).for_each(|seq, _, record| {
                if let Record::Event(event) = record
                    && seq > run.floor
                {
                    events.push(Seen(seq.0, Shown(event.payload.to_vec())));
                }
                Ok::<(), RunError>(())
            });
            if let Err(error) = read {
                self.by(&rules::BYTES).fail("the records of a run", "those that were stored", &error.to_string());
            }
        }
        events
    }

    /// All events of a stream.
    #[track_caller]
    pub(in super::super) fn events(self, id: &PersistenceId) -> Vec<Seen> {
        let stream = self.number(id);
        let page = self.read(stream, 1, u64::MAX, usize::MAX);
        for run in &page.runs {
            let of = self.view(run).id();
            self.holds("whose runs a stream has", &format!("those of {id}"), &of, of == *id);
        }
        self.events_of(&page)
    }

    /// The sequence numbers of all events of a stream.
    pub(in super::super) fn seqs(self, id: &PersistenceId) -> Vec<u64> {
        self.events(id).iter().map(|event| event.0).collect()
    }

    /// Everything in order, in pages of this length.
    #[track_caller]
    pub(in super::super) fn order_by(self, bytes_max: usize) -> Vec<Placed> {
        let mut all: Vec<Placed> = Vec::new();
        loop {
            let after = all.last().map_or(0, Placed::last_offset);
            let page = self.read_all(after, bytes_max);
            all.extend(page.runs.iter().map(|run| self.placed(run)));
            if !page.more {
                return all;
            }
        }
    }

    /// Everything in order; the same in short pages and in one.
    #[track_caller]
    pub(in super::super) fn order(self) -> Vec<Placed> {
        let order = self.order_by(usize::MAX);
        let judge = self.by(&rules::READ_ALL);
        judge.is("the journal in pages of one run, against one page", self.order_by(1), order.clone());
        order
    }

    /// The times and streams of the armed deadlines.
    pub(in super::super) fn armed(self) -> Vec<(i64, u64)> {
        let armed = self.wait("Journal::armed", self.within(|| self.journal.armed()));
        self.step(format_args!("asked what is armed: {armed:?}"));
        match armed {
            Ok(armed) => armed.into_iter().map(|Armed { due, stream }| (due.as_microsecond(), stream.0)).collect(),
            Err(error) => self.fail("Journal::armed", "the armed deadlines", &error.to_string()),
        }
    }

    pub(in super::super) fn try_armed(self) -> Result<Vec<Armed>, ReadError> {
        self.wait("Journal::armed", self.within(|| self.journal.armed()))
    }

    pub(in super::super) fn name(self, stream: StreamNo) -> Result<Option<PersistenceId>, ReadError> {
        let name = self.wait("Journal::stream_id", self.within(|| self.journal.stream_id(stream)));
        self.step(format_args!("asked for the name of stream {stream}: {name:?}"));
        name
    }
}
