//! What the cases hold a journal with: each call is noted, and everything that is read is checked.

use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};

use jiff::Timestamp;

use super::super::executor::Within;
use super::super::told::{Rule, Shown, Told, join};
use super::{JournalStore, rules};
use crate::codec::Codec;
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};
use crate::journal::{
    Armed, Cipher, Due, EventRecord, Facts, Fut, Health, Journal, Outcome, Page, ReadError, Record, Run, RunBuilder,
    RunError, RunKey, RunView, Settled, StoredCause, StoredKey, StoredOutcome, StoredRun, StreamHead, TransitionRecord,
    Why, Write,
};

/// The store of one case, with the journal that is open.
pub(super) struct Subject<'s> {
    store: &'s mut dyn JournalStore,
    journal: Option<Box<dyn Journal>>,
    told: Told,
}

impl<'s> Subject<'s> {
    pub(super) fn new(store: &'s mut dyn JournalStore, case: &'static str, rule: &'static Rule) -> Self {
        let journal = Some(store.open());
        Self { store, journal, told: Told::new(case, rule) }
    }

    /// The journal that is open.
    pub(super) fn hand(&self) -> Hand<'_> {
        match &self.journal {
            Some(journal) => self.hand_on(&**journal),
            None => unreachable!("a journal is open but while it is opened anew"),
        }
    }

    /// Another journal that was opened of the same store.
    pub(super) fn hand_on<'a>(&'a self, journal: &'a dyn Journal) -> Hand<'a> {
        Hand { store: &*self.store, journal, told: &self.told, rule: None }
    }

    pub(super) fn store(&self) -> &dyn JournalStore {
        &*self.store
    }

    pub(super) fn told(&self) -> &Told {
        &self.told
    }

    /// Judges by another rule from now on.
    pub(super) fn rule(&self, rule: &'static Rule) {
        self.told.rule(rule);
    }

    /// Opens another handle on the store while the first is open.
    pub(super) fn open_beside(&self) -> Box<dyn Journal> {
        self.told.step(format_args!("opened the store a second time"));
        self.store.open()
    }

    /// Closes the journal, and opens the store again.
    pub(super) fn reopen(&mut self) {
        self.hand().close();
        drop(self.journal.take());
        self.journal = Some(self.store.open());
        self.told.step(format_args!("opened the store again"));
    }

    /// Opens what a crash leaves of the store.
    pub(super) fn crash(&mut self) {
        if let Some(journal) = self.journal.take() {
            self.store.crash(journal);
        }
        self.journal = Some(self.store.open());
        self.told.step(format_args!("crashed, and opened what was left"));
    }

    /// Ends the case in order.
    pub(super) fn end(mut self) {
        if let Some(journal) = self.journal.take() {
            let hand = Hand { store: &*self.store, journal: &*journal, told: &self.told, rule: None };
            let _closed = hand.wait("Journal::close", hand.within(|| journal.close()));
        }
    }
}

/// An open journal, for a case.
#[derive(Clone, Copy)]
pub(super) struct Hand<'a> {
    store: &'a dyn JournalStore,
    journal: &'a dyn Journal,
    told: &'a Told,
    /// By which this is judged; none: by the rule of the case.
    rule: Option<&'static Rule>,
}

/// A group that was handed over.
pub(super) struct InFlight {
    pub(super) outcomes: Fut<'static, Vec<Outcome>>,
    what: String,
    runs: usize,
}

/// A record of an event: its sequence number and its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen(pub(super) u64, pub(super) Shown);

/// A run in the order of the whole journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Placed {
    pub(super) offset: u64,
    pub(super) stream: u64,
    pub(super) first: u64,
    pub(super) records: u64,
}

impl Placed {
    /// The offset of its last record.
    pub(super) fn last_offset(&self) -> u64 {
        self.offset + (self.records - 1)
    }
}

pub(super) fn id(entity: &str) -> PersistenceId {
    PersistenceId::new("account", entity)
}

/// A time, in microseconds since 1970.
pub(super) fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

/// These payloads, as the events of a stream.
pub(super) fn numbered(payloads: &[&[u8]]) -> Vec<Seen> {
    (1..).zip(payloads).map(|(seq, payload)| Seen(seq, Shown(payload.to_vec()))).collect()
}

/// The offset of a run that was stored.
pub(super) fn stored(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Stored(offset) => Some(offset.0),
        Outcome::NotStored(_) | Outcome::Unknown(_) => None,
    }
}

pub(super) fn is_bad_run(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotStored(Why::BadRun(_)))
}

pub(super) fn is_conflict(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotStored(Why::Conflict { .. }))
}

pub(super) fn conflict(expected: u64, last: u64) -> Outcome {
    Outcome::NotStored(Why::Conflict { expected: SeqNr(expected), last: SeqNr(last) })
}

const NOTHING: Page = Page { runs: Vec::new(), more: false };

fn event(payload: &[u8]) -> Record<'_> {
    Record::Event(EventRecord { name: "happened", version: 1, codec: Codec::MessagePack, payload })
}

fn shown(run: &Run) -> String {
    let Run { stream, id, first, records, bytes, .. } = run;
    format!("{id} (stream {stream}) from {first}, {records} records, {} bytes", bytes.len())
}

/// A run with records of every kind, and writes with all that writes may have: eight records.
pub(super) fn every_kind(j: Hand<'_>, stream: StreamNo, id: &PersistenceId, first: u64, time: Timestamp) -> Run {
    let mut run = RunBuilder::new(stream, id.clone(), SeqNr(first));
    let codec = Codec::Json;
    let entered = |due| TransitionRecord { from: Some("Open"), to: "Shut", transient: false, due };
    let keyed = Write {
        key: Some(StoredKey::Unique([7; 16])),
        outcome: Some(StoredOutcome::Replied { codec, payload: b"\"reply\"" }),
        cause: Some(StoredCause::Command("shut")),
        ..Write::at(time)
    };
    let json = Record::Event(EventRecord { name: "was shut", version: 3, codec, payload: b"{}" });
    run.push_write(&keyed, Due::Unchanged, [json, event(b"\0"), event(b"")].into_iter());
    let refused = Write {
        key: Some(StoredKey::Rising(u64::MAX)),
        outcome: Some(StoredOutcome::NotAccepted { state: "Shut" }),
        ..Write::at(time)
    };
    run.push_write(&refused, Due::Unchanged, [Record::Receipt].into_iter());
    let transition = Record::Transition(entered(Some(time)));
    run.push_write(&Write::at(time), Due::At(time), [transition].into_iter());
    let begins = Record::Transition(TransitionRecord { from: None, ..entered(None) });
    run.push_write(&Write::at(time), Due::Cleared, [begins, event(b"x")].into_iter());
    let fired = Write { cause: Some(StoredCause::Deadline { visit: SeqNr(1) }), ..Write::at(time) };
    run.push_write(&fired, Due::Cleared, [Record::DeadlineConsumed { visit: SeqNr(1) }].into_iter());
    run.seal(&j.facts(), first)
}

impl<'a> Hand<'a> {
    pub(super) fn facts(self) -> Facts {
        self.journal.facts()
    }

    pub(super) fn store(self) -> &'a dyn JournalStore {
        self.store
    }

    /// The same journal, judged by this rule.
    pub(super) fn by(self, rule: &'static Rule) -> Self {
        Self { rule: Some(rule), ..self }
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "what is compared is mostly made for it")]
    pub(super) fn is<T: PartialEq + Debug>(self, what: &str, found: T, expected: T) {
        if found != expected {
            self.fail(what, &format!("{expected:?}"), &format!("{found:?}"));
        }
    }

    #[track_caller]
    pub(super) fn holds(self, what: &str, expected: &str, found: &dyn Debug, holds: bool) {
        if !holds {
            self.fail(what, expected, &format!("{found:?}"));
        }
    }

    /// Ends the case.
    #[track_caller]
    pub(super) fn fail(self, what: &str, expected: &str, found: &str) -> ! {
        self.told.fail(self.rule, what, expected, found)
    }

    /// Drives a future as the store's are.
    fn drive<T: Send>(self, future: impl Future<Output = T> + Send) -> T {
        let mut value = None;
        {
            let mut drives = std::pin::pin!(async { value = Some(future.await) });
            self.store.block_on(drives.as_mut());
        }
        match value {
            Some(value) => value,
            None => self.fail("JournalStore::block_on", "to poll the future to its end", "it came back before"),
        }
    }

    /// Calls where the store's futures are driven.
    pub(super) fn within<T: Send>(self, call: impl FnOnce() -> T + Send) -> T {
        self.drive(async { call() })
    }

    /// Waits for what a journal has promised to do.
    #[track_caller]
    pub(super) fn wait<T: Send>(self, what: &str, future: Fut<'_, T>) -> T {
        let patience = self.store.patience();
        match self.drive(Within::new(future, patience)) {
            Some(value) => value,
            None => self.fail(what, &format!("to end within {patience:?}"), "it hasn't ended"),
        }
    }

    /// Polls once, with a waker that does nothing; whether it isn't ready.
    pub(super) fn is_pending<T: Send>(self, future: &mut Fut<'_, T>) -> bool {
        self.within(|| Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_pending())
    }
}

/// Streams and what is appended to them.
impl Hand<'_> {
    pub(super) fn try_open(self, id: &PersistenceId) -> Result<StreamHead, ReadError> {
        let head = self.wait("Journal::open_stream", self.within(|| self.journal.open_stream(id)));
        self.told.step(format_args!("opened {id}: {head:?}"));
        head
    }

    pub(super) fn open(self, id: &PersistenceId) -> StreamHead {
        match self.try_open(id) {
            Ok(head) => head,
            Err(error) => self.fail("opening a stream", "its head", &error.to_string()),
        }
    }

    pub(super) fn close_stream(self, stream: StreamNo) {
        self.told.step(format_args!("closed stream {stream}"));
        self.within(|| self.journal.close_stream(stream));
    }

    /// Looks where a stream stands, without leaving it open.
    pub(super) fn head(self, id: &PersistenceId) -> StreamHead {
        let head = self.open(id);
        self.close_stream(head.stream);
        head
    }

    /// The number of a stream.
    pub(super) fn number(self, id: &PersistenceId) -> StreamNo {
        self.head(id).stream
    }

    /// The number of a stream, which is left open.
    pub(super) fn number_of_open(self, id: &PersistenceId) -> StreamNo {
        self.open(id).stream
    }

    /// A run of writes of one event each.
    pub(super) fn run(self, stream: StreamNo, id: &PersistenceId, first: u64, payloads: &[&[u8]]) -> Run {
        self.run_of(stream, id, first, payloads, false)
    }

    /// A run of events that ends with a tombstone.
    pub(super) fn run_that_ends(self, stream: StreamNo, id: &PersistenceId, first: u64, payloads: &[&[u8]]) -> Run {
        self.run_of(stream, id, first, payloads, true)
    }

    fn run_of(self, stream: StreamNo, id: &PersistenceId, first: u64, payloads: &[&[u8]], ends: bool) -> Run {
        let mut run = RunBuilder::new(stream, id.clone(), SeqNr(first));
        let write = Write::at(Timestamp::UNIX_EPOCH);
        for payload in payloads {
            run.push_write(&write, Due::Unchanged, [event(payload)].into_iter());
        }
        if ends {
            run.push_write(&write, Due::Cleared, [Record::Tombstone].into_iter());
        }
        run.seal(&self.facts(), 1)
    }

    /// Hands a group over.
    pub(super) fn begin(self, group: Vec<Run>) -> InFlight {
        let runs = group.len();
        let what = match group.as_slice() {
            [run] => shown(run),
            runs => format!("{} runs, the first of {}", runs.len(), runs.first().map_or_else(String::new, shown)),
        };
        self.told.step(format_args!("handed over {what}"));
        InFlight { outcomes: self.within(|| self.journal.append(group)), what, runs }
    }

    /// Waits for the outcomes of a group.
    #[track_caller]
    pub(super) fn outcomes(self, group: InFlight) -> Vec<Outcome> {
        let InFlight { outcomes, what, runs } = group;
        let outcomes = self.wait("the future of Journal::append", outcomes);
        self.told.step(format_args!("{what}: {outcomes:?}"));
        self.holds("the outcomes of a group", "one for each run", &outcomes, outcomes.len() == runs);
        outcomes
    }

    #[track_caller]
    pub(super) fn append(self, group: Vec<Run>) -> Vec<Outcome> {
        self.outcomes(self.begin(group))
    }

    #[track_caller]
    pub(super) fn append_one(self, run: Run) -> Outcome {
        let outcomes = self.append(vec![run]);
        match <[Outcome; 1]>::try_from(outcomes) {
            Ok([outcome]) => outcome,
            Err(outcomes) => self.fail("the outcomes of one run", "one", &format!("{outcomes:?}")),
        }
    }

    /// Appends a run that must be stored; its offset.
    #[track_caller]
    pub(super) fn stores(self, run: Run) -> u64 {
        let (first, records) = (run.first, run.records);
        let outcome = self.append_one(run);
        match stored(&outcome) {
            Some(offset) => {
                let durable = self.durable();
                let last = offset + (records - 1);
                let expected = format!("{last} or more");
                self.by(&rules::DURABLE).holds(
                    "Journal::durable after a run was stored",
                    &expected,
                    &durable,
                    durable >= last,
                );
                offset
            }
            None => self.fail(&format!("the outcome of the run from {first}"), "Stored", &format!("{outcome:?}")),
        }
    }

    /// Opens a stream, stores a run behind its last, and closes it; the run's offset.
    #[track_caller]
    pub(super) fn put(self, id: &PersistenceId, payloads: &[&[u8]]) -> u64 {
        self.put_run(id, |stream, first| self.run(stream, id, first, payloads))
    }

    /// The same, in a stream that is begun as one that can be forgotten.
    #[track_caller]
    pub(super) fn put_forgettable(self, id: &PersistenceId, payloads: &[&[u8]]) -> u64 {
        self.put_run(id, |stream, first| Run { forgettable: true, ..self.run(stream, id, first, payloads) })
    }

    /// Ends a stream; the offset of the run that ends it.
    #[track_caller]
    pub(super) fn put_end(self, id: &PersistenceId, payloads: &[&[u8]]) -> u64 {
        self.put_run(id, |stream, first| self.run_that_ends(stream, id, first, payloads))
    }

    #[track_caller]
    pub(super) fn put_run(self, id: &PersistenceId, run: impl FnOnce(StreamNo, u64) -> Run) -> u64 {
        let StreamHead { stream, last, .. } = self.open(id);
        let offset = self.stores(run(stream, last.0 + 1));
        self.close_stream(stream);
        offset
    }
}

/// What is read.
impl Hand<'_> {
    pub(super) fn durable(self) -> u64 {
        self.journal.durable().0
    }

    pub(super) fn try_read(self, stream: StreamNo, from: u64, to: u64, bytes_max: usize) -> Result<Page, ReadError> {
        let (from, to) = (SeqNr(from), SeqNr(to));
        let page = self.wait("Journal::read", self.within(|| self.journal.read(stream, from, to, bytes_max)));
        let came = page.as_ref().map(|page| (page.runs.len(), page.more));
        self.told
            .step(format_args!("read stream {stream} from {from} to {to}, {bytes_max} bytes: (runs, more) = {came:?}"));
        page
    }

    #[track_caller]
    pub(super) fn read(self, stream: StreamNo, from: u64, to: u64, bytes_max: usize) -> Page {
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
    pub(super) fn reads_nothing(self, stream: StreamNo, from: u64, to: u64, bytes_max: usize) {
        self.is(&format!("reading from {from} to {to}"), self.read(stream, from, to, bytes_max), NOTHING);
    }

    pub(super) fn try_read_all(self, after: u64, bytes_max: usize) -> Result<Page, ReadError> {
        let after = Offset(after);
        let page = self.wait("Journal::read_all", self.within(|| self.journal.read_all(after, bytes_max)));
        let came = page.as_ref().map(|page| (page.runs.len(), page.more));
        self.told.step(format_args!("read all after {after}, {bytes_max} bytes: (runs, more) = {came:?}"));
        page
    }

    /// A page of the whole journal.
    #[track_caller]
    pub(super) fn read_all(self, after: u64, bytes_max: usize) -> Page {
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
    pub(super) fn placed(self, run: &StoredRun) -> Placed {
        let view = self.view(run);
        Placed { offset: run.offset.0, stream: run.stream.0, first: view.first().0, records: view.records() }
    }

    /// The events of a page, without what is deleted.
    pub(super) fn events_of(self, page: &Page) -> Vec<Seen> {
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
    pub(super) fn events(self, id: &PersistenceId) -> Vec<Seen> {
        let stream = self.number(id);
        let page = self.read(stream, 1, u64::MAX, usize::MAX);
        for run in &page.runs {
            let of = self.view(run).id();
            self.holds("whose runs a stream has", &format!("those of {id}"), &of, of == *id);
        }
        self.events_of(&page)
    }

    /// The sequence numbers of all events of a stream.
    pub(super) fn seqs(self, id: &PersistenceId) -> Vec<u64> {
        self.events(id).iter().map(|event| event.0).collect()
    }

    /// Everything in order, in pages of this length.
    #[track_caller]
    pub(super) fn order_by(self, bytes_max: usize) -> Vec<Placed> {
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
    pub(super) fn order(self) -> Vec<Placed> {
        let order = self.order_by(usize::MAX);
        let judge = self.by(&rules::READ_ALL);
        judge.is("the journal in pages of one run, against one page", self.order_by(1), order.clone());
        order
    }

    /// The times and streams of the armed deadlines.
    pub(super) fn armed(self) -> Vec<(i64, u64)> {
        let armed = self.wait("Journal::armed", self.within(|| self.journal.armed()));
        self.told.step(format_args!("asked what is armed: {armed:?}"));
        match armed {
            Ok(armed) => armed.into_iter().map(|Armed { due, stream }| (due.as_microsecond(), stream.0)).collect(),
            Err(error) => self.fail("Journal::armed", "the armed deadlines", &error.to_string()),
        }
    }

    pub(super) fn try_armed(self) -> Result<Vec<Armed>, ReadError> {
        self.wait("Journal::armed", self.within(|| self.journal.armed()))
    }

    pub(super) fn name(self, stream: StreamNo) -> Result<Option<PersistenceId>, ReadError> {
        let name = self.wait("Journal::stream_id", self.within(|| self.journal.stream_id(stream)));
        self.told.step(format_args!("asked for the name of stream {stream}: {name:?}"));
        name
    }
}

/// Deleting, forgetting, waiting, closing.
impl Hand<'_> {
    pub(super) fn begin_delete(self, stream: StreamNo, to: u64) -> Fut<'static, Outcome> {
        self.told.step(format_args!("deletes stream {stream} to {to}"));
        self.within(|| self.journal.delete_to(stream, SeqNr(to)))
    }

    #[track_caller]
    pub(super) fn outcome(self, of: &str, outcome: Fut<'static, Outcome>) -> Outcome {
        let outcome = self.wait(of, outcome);
        self.told.step(format_args!("the outcome of {of}: {outcome:?}"));
        outcome
    }

    #[track_caller]
    pub(super) fn delete_stream(self, stream: StreamNo, to: u64) -> Outcome {
        self.outcome("Journal::delete_to", self.begin_delete(stream, to))
    }

    /// Opens a stream, deletes its records up to one, and closes it.
    #[track_caller]
    pub(super) fn delete(self, id: &PersistenceId, to: u64) -> Outcome {
        let stream = self.open(id).stream;
        let outcome = self.delete_stream(stream, to);
        self.close_stream(stream);
        outcome
    }

    /// The same, where it must be done.
    #[track_caller]
    pub(super) fn deletes(self, id: &PersistenceId, to: u64) {
        let outcome = self.delete(id, to);
        self.holds(&format!("deleting {id} up to {to}"), "Stored", &outcome, stored(&outcome).is_some());
    }

    pub(super) fn begin_forget(self, stream: StreamNo) -> Fut<'static, Outcome> {
        self.told.step(format_args!("forgets stream {stream}"));
        self.within(|| self.journal.forget(stream))
    }

    #[track_caller]
    pub(super) fn forget_stream(self, stream: StreamNo) -> Outcome {
        self.outcome("Journal::forget", self.begin_forget(stream))
    }

    #[track_caller]
    pub(super) fn forget(self, id: &PersistenceId) -> Outcome {
        let stream = self.open(id).stream;
        let outcome = self.forget_stream(stream);
        self.close_stream(stream);
        outcome
    }

    #[track_caller]
    pub(super) fn forgets(self, id: &PersistenceId) {
        let outcome = self.forget(id);
        self.holds(&format!("forgetting {id}"), "Stored", &outcome, stored(&outcome).is_some());
    }

    /// Begins to close the journal, and doesn't wait.
    pub(super) fn begin_close(self) {
        self.told.step(format_args!("begins to close the journal"));
        drop(self.within(|| self.journal.close()));
    }

    pub(super) fn cipher(self, stream: StreamNo) -> Result<Option<Arc<dyn Cipher>>, ReadError> {
        self.journal.cipher(stream)
    }

    pub(super) fn changed(self, beyond: u64) -> Fut<'static, Offset> {
        self.told.step(format_args!("waits for something behind {beyond}"));
        self.within(|| self.journal.changed(Offset(beyond)))
    }

    /// Waits until something is durable behind an offset.
    #[track_caller]
    pub(super) fn hears(self, waiting: Fut<'static, Offset>) -> u64 {
        let reached = self.wait("the future of Journal::changed", waiting).0;
        self.told.step(format_args!("heard of {reached}"));
        reached
    }

    /// Waits for all of these, each on a thread of its own, and does something as soon as all of them have been polled there.
    pub(super) fn hear_while<T>(self, waiting: Vec<Fut<'static, Offset>>, does: impl FnOnce() -> T) -> (Vec<u64>, T) {
        let (polled, polls) = mpsc::channel();
        std::thread::scope(|scope| {
            let waits = |mut waiting: Fut<'static, Offset>| {
                let mut polled = Some(polled.clone());
                let waits = poll_fn(move |context| {
                    let reached = waiting.as_mut().poll(context);
                    if let Some(polled) = polled.take() {
                        let _sent = polled.send(());
                    }
                    reached
                });
                scope.spawn(move || self.hears(Box::pin(waits)))
            };
            let threads: Vec<_> = waiting.into_iter().map(waits).collect();
            for _ in &threads {
                // It fails only if a thread has failed, which is told below.
                let _polled = polls.recv_timeout(self.store.patience());
            }
            let done = does();
            (threads.into_iter().map(join).collect(), done)
        })
    }

    /// Asks what became of a run.
    pub(super) fn settle(self, run: &RunKey) -> Result<Settled, ReadError> {
        let settled = self.wait("Journal::settle", self.within(|| self.journal.settle(run)));
        self.told.step(format_args!("settled {} from {}: {settled:?}", run.id(), run.first()));
        settled
    }

    pub(super) fn health(self) -> Health {
        let health = self.journal.health();
        self.told.step(format_args!("asked for its health: {health:?}"));
        health
    }

    #[track_caller]
    pub(super) fn close(self) {
        let closed = self.wait("Journal::close", self.within(|| self.journal.close()));
        self.told.step(format_args!("closed the journal: {closed:?}"));
        self.holds("closing the journal", "Ok", &closed, closed.is_ok());
    }
}
