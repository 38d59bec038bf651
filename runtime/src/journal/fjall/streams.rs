//! The open streams: what each one's last record is, so that a run is checked without a look at the disk.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::run::Run;
use crate::journal::{NOT_OPEN, StreamHead, Why};

/// The open streams, by number and by name.
pub(super) struct Streams {
    by_number: HashMap<u64, OpenStream>,
    by_id: HashMap<PersistenceId, StreamNo>,
    /// The next number to give. One that was given and never used is simply not used.
    next: u64,
}

struct OpenStream {
    id: PersistenceId,
    /// How often it is open.
    opened: u64,
    /// The last record that was handed to the engine.
    issued: SeqNr,
    /// The last record that is durable.
    durable: SeqNr,
}

/// What the writer has to do for a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// Store it.
    Run,
    /// Store it, and the stream with it.
    FirstRun,
}

impl Streams {
    pub(super) fn new(next: u64) -> Self {
        Self { by_number: HashMap::new(), by_id: HashMap::new(), next }
    }

    /// How many numbers were given, at the most.
    pub(super) fn given(&self) -> u64 {
        self.next - 1
    }

    /// Opens a stream once more that is open.
    pub(super) fn open_again(&mut self, id: &PersistenceId) -> Option<StreamHead> {
        let stream = *self.by_id.get(id)?;
        let open = self.by_number.get_mut(&stream.0)?;
        open.opened += 1;
        Some(StreamHead { stream, last: open.durable, floor: SeqNr::ZERO, ended: false })
    }

    /// Opens a stream that isn't open: a stored one, or a new one with a number that nothing has used.
    pub(super) fn open(&mut self, id: &PersistenceId, stored: Option<StreamHead>) -> StreamHead {
        let head = stored.unwrap_or_else(|| {
            let stream = StreamNo(self.next);
            self.next += 1;
            StreamHead { stream, last: SeqNr::ZERO, floor: SeqNr::ZERO, ended: false }
        });
        let open = OpenStream { id: id.clone(), opened: 1, issued: head.last, durable: head.last };
        self.by_number.insert(head.stream.0, open);
        self.by_id.insert(id.clone(), head.stream);
        head
    }

    pub(super) fn close(&mut self, stream: StreamNo) {
        if let Entry::Occupied(mut open) = self.by_number.entry(stream.0) {
            let stream = open.get_mut();
            stream.opened = stream.opened.saturating_sub(1);
            Self::remove_if_done(&mut self.by_id, open);
        }
    }

    /// INVARIANT: a stream with records on their way to the disk stays, also when nobody has it open. Whoever opened it
    /// anew would read an older last record from the disk, and a run could be stored over another.
    fn remove_if_done(
        by_id: &mut HashMap<PersistenceId, StreamNo>,
        open: std::collections::hash_map::OccupiedEntry<'_, u64, OpenStream>,
    ) {
        let stream = open.get();
        if stream.opened == 0 && stream.issued == stream.durable {
            by_id.remove(&open.remove().id);
        }
    }

    /// Says whether a run is the next of its stream, and takes it as issued.
    pub(super) fn issue(&mut self, run: &Run) -> Result<Accepted, Why> {
        let open = self.by_number.get_mut(&run.stream.0).filter(|open| open.opened > 0 && open.id == run.id);
        let Some(open) = open else {
            return Err(Why::BadRun(NOT_OPEN.into()));
        };
        if run.first != open.issued.next() {
            return Err(Why::Conflict { expected: SeqNr(run.first.0 - 1), last: open.issued });
        }
        open.issued = run.last();
        Ok(if run.first == SeqNr(1) { Accepted::FirstRun } else { Accepted::Run })
    }

    /// Takes an issued run as durable.
    pub(super) fn settle(&mut self, run: &Run) {
        if let Entry::Occupied(mut open) = self.by_number.entry(run.stream.0) {
            open.get_mut().durable = run.last();
            Self::remove_if_done(&mut self.by_id, open);
        }
    }

    /// The name and the last durable record of a stream, if it is open.
    pub(super) fn get(&self, stream: StreamNo) -> Option<(PersistenceId, SeqNr)> {
        self.by_number.get(&stream.0).map(|open| (open.id.clone(), open.durable))
    }
}
