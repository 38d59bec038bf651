//! Streams, and what is appended to them.

use jiff::Timestamp;

use super::super::rules;
use super::{Hand, stored};
use crate::codec::Codec;
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::{
    Due, EventRecord, Fut, Outcome, ReadError, Record, Run, RunBuilder, StoredCause, StoredKey, StoredOutcome,
    StreamHead, TransitionRecord, Write,
};

/// A group that was handed over.
pub(in super::super) struct InFlight {
    pub(in super::super) outcomes: Fut<'static, Vec<Outcome>>,
    what: String,
    runs: usize,
}

fn event(payload: &[u8]) -> Record<'_> {
    Record::Event(EventRecord { name: "happened", version: 1, codec: Codec::MessagePack, payload })
}

fn shown(run: &Run) -> String {
    let Run { stream, id, first, records, bytes, .. } = run;
    format!("{id} (stream {stream}) from {first}, {records} records, {} bytes", bytes.len())
}

/// A run with records of every kind, and writes with all that writes may have: eight records.
pub(in super::super) fn every_kind(
    j: Hand<'_>,
    stream: StreamNo,
    id: &PersistenceId,
    first: u64,
    time: Timestamp,
) -> Run {
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

impl Hand<'_> {
    pub(in super::super) fn try_open(self, id: &PersistenceId) -> Result<StreamHead, ReadError> {
        let head = self.wait("Journal::open_stream", self.within(|| self.journal.open_stream(id)));
        self.step(format_args!("opened {id}: {head:?}"));
        head
    }

    pub(in super::super) fn open(self, id: &PersistenceId) -> StreamHead {
        match self.try_open(id) {
            Ok(head) => head,
            Err(error) => self.fail("opening a stream", "its head", &error.to_string()),
        }
    }

    pub(in super::super) fn close_stream(self, stream: StreamNo) {
        self.step(format_args!("closed stream {stream}"));
        self.within(|| self.journal.close_stream(stream));
    }

    /// Looks where a stream stands, without leaving it open.
    pub(in super::super) fn head(self, id: &PersistenceId) -> StreamHead {
        let head = self.open(id);
        self.close_stream(head.stream);
        head
    }

    /// The number of a stream.
    pub(in super::super) fn number(self, id: &PersistenceId) -> StreamNo {
        self.head(id).stream
    }

    /// The number of a stream, which is left open.
    pub(in super::super) fn number_of_open(self, id: &PersistenceId) -> StreamNo {
        self.open(id).stream
    }

    /// A run of writes of one event each.
    pub(in super::super) fn run(self, stream: StreamNo, id: &PersistenceId, first: u64, payloads: &[&[u8]]) -> Run {
        self.run_of(stream, id, first, payloads, false)
    }

    /// A run of events that ends with a tombstone.
    pub(in super::super) fn run_that_ends(
        self,
        stream: StreamNo,
        id: &PersistenceId,
        first: u64,
        payloads: &[&[u8]],
    ) -> Run {
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
    pub(in super::super) fn begin(self, group: Vec<Run>) -> InFlight {
        let runs = group.len();
        let what = match group.as_slice() {
            [run] => shown(run),
            runs => format!("{} runs, the first of {}", runs.len(), runs.first().map_or_else(String::new, shown)),
        };
        self.step(format_args!("handed over {what}"));
        InFlight { outcomes: self.within(|| self.journal.append(group)), what, runs }
    }

    /// Waits for the outcomes of a group.
    #[track_caller]
    pub(in super::super) fn outcomes(self, group: InFlight) -> Vec<Outcome> {
        let InFlight { outcomes, what, runs } = group;
        let outcomes = self.wait("the future of Journal::append", outcomes);
        self.step(format_args!("{what}: {outcomes:?}"));
        self.holds("the outcomes of a group", "one for each run", &outcomes, outcomes.len() == runs);
        outcomes
    }

    #[track_caller]
    pub(in super::super) fn append(self, group: Vec<Run>) -> Vec<Outcome> {
        self.outcomes(self.begin(group))
    }

    #[track_caller]
    pub(in super::super) fn append_one(self, run: Run) -> Outcome {
        let outcomes = self.append(vec![run]);
        match <[Outcome; 1]>::try_from(outcomes) {
            Ok([outcome]) => outcome,
            Err(outcomes) => self.fail("the outcomes of one run", "one", &format!("{outcomes:?}")),
        }
    }

    /// Appends a run that must be stored; its offset.
    #[track_caller]
    pub(in super::super) fn stores(self, run: Run) -> u64 {
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
    pub(in super::super) fn put(self, id: &PersistenceId, payloads: &[&[u8]]) -> u64 {
        self.put_run(id, |stream, first| self.run(stream, id, first, payloads))
    }

    /// The same, in a stream that is begun as one that can be forgotten.
    #[track_caller]
    pub(in super::super) fn put_forgettable(self, id: &PersistenceId, payloads: &[&[u8]]) -> u64 {
        self.put_run(id, |stream, first| Run { forgettable: true, ..self.run(stream, id, first, payloads) })
    }

    /// Ends a stream; the offset of the run that ends it.
    #[track_caller]
    pub(in super::super) fn put_end(self, id: &PersistenceId, payloads: &[&[u8]]) -> u64 {
        self.put_run(id, |stream, first| self.run_that_ends(stream, id, first, payloads))
    }

    #[track_caller]
    pub(in super::super) fn put_run(self, id: &PersistenceId, run: impl FnOnce(StreamNo, u64) -> Run) -> u64 {
        let StreamHead { stream, last, .. } = self.open(id);
        let offset = self.stores(run(stream, last.0 + 1));
        self.close_stream(stream);
        offset
    }
}
