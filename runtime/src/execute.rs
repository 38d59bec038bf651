//! One command, from handler to applied events; and the same fold for what is stored.
//!
//! Live, replayed and tested data go through the same three steps: encode, decode, apply. What is applied is the event
//! as it will be read again, so live data can't differ from replayed data, and an event that can't be read again is
//! found before it is stored.

use std::sync::Arc;

use jiff::Timestamp;

use crate::aggregate::{Aggregate, Context};
use crate::call::{Failure, NotStored};
use crate::codec::{self, DecodeError, Payload};
use crate::contain::contained;
use crate::event::{Event, EventList};
use crate::id::{PersistenceId, SeqNr};
use crate::journal::{
    EventRecord, ReadError, Record, RunBuilder, RunError, RunView, StoredRun, WRITE_BYTES_MAX, Why, Write,
};
use crate::message::Message;

/// The encoded events of one command; reused from one command to the next.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    payloads: Vec<u8>,
    events: Vec<DraftEvent>,
}

#[derive(Debug)]
struct DraftEvent {
    variant: usize,
    /// Where its payload ends; it begins where the one before ends.
    end: usize,
}

/// What a stored event needs beside its payload, at most: index of the name, version, codec, kind, length, tags.
const EVENT_OVERHEAD_MAX: usize = 32;

impl Draft {
    /// The length of the events in a run, or a little more, but for names that the run doesn't have yet.
    pub(crate) fn bytes_max(&self) -> usize {
        self.payloads.len() + self.events.len() * EVENT_OVERHEAD_MAX
    }

    /// The most that the events add to a run.
    pub(crate) fn bytes_in_run<A: Aggregate>(&self) -> usize {
        RunBuilder::write_bytes_at_most(&Write::at(Timestamp::MAX), self.records::<A>())
    }

    /// Encodes the event, and reads it back.
    fn push<A: Aggregate>(&mut self, event: &A::Event) -> Result<A::Event, NotStored> {
        let start = self.payloads.len();
        let name = |variant: Option<usize>| {
            variant.map_or_else(std::any::type_name::<A::Event>, |variant| A::Event::VARIANTS[variant].name)
        };
        let variant = codec::encode(A::CODEC, event, &mut self.payloads)
            .map_err(|error| NotStored::Event { event: name(None), error })?;
        let payload = Payload { codec: A::CODEC, bytes: &self.payloads[start..] };
        let event = codec::decode_current::<A::Event>(variant, payload)
            .map_err(|error| NotStored::Event { event: name(Some(variant)), error: error.into() })?;
        self.events.push(DraftEvent { variant, end: self.payloads.len() });
        let bytes = self.bytes_max();
        if bytes > WRITE_BYTES_MAX {
            return Err(Why::TooLarge { bytes, limit: WRITE_BYTES_MAX }.into());
        }
        Ok(event)
    }

    /// The events as they are stored.
    pub(crate) fn records<A: Aggregate>(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        let mut start = 0;
        self.events.iter().map(move |event| {
            let payload = &self.payloads[start..event.end];
            start = event.end;
            let variant = &A::Event::VARIANTS[event.variant];
            Record::Event(EventRecord { name: variant.name, version: variant.version, codec: A::CODEC, payload })
        })
    }
}

/// What became of a command.
pub(crate) enum Verdict {
    /// It has an answer and no events.
    Answered,
    /// Its events are applied, and the draft holds them.
    Changed,
    /// It failed; the data is as it was.
    Failed(Failure),
    /// It failed while its events were applied: the data must be loaded again.
    Broken(Failure),
}

/// Runs the handler, encodes its events into `draft` and applies them. `note` sees the events as the handler made them.
pub(crate) fn execute<A: Aggregate>(
    message: &mut dyn Message<A>,
    data: &mut A,
    cx: &Context<A>,
    draft: &mut Draft,
    note: impl FnOnce(&EventList<A::Event>),
) -> Verdict {
    draft.payloads.clear();
    draft.events.clear();
    let decided = contained(|| {
        let events = message.handle(data, cx);
        note(&events);
        let mut read_again = EventList::new();
        for event in events.as_slice() {
            read_again.push(draft.push::<A>(event)?);
        }
        if read_again.is_empty() {
            message.applied(data);
        }
        Ok(read_again)
    });
    let events = match decided {
        Ok(Ok(events)) if events.is_empty() => return Verdict::Answered,
        Ok(Ok(events)) => events,
        Ok(Err(why)) => return Verdict::Failed(Failure::NotStored { id: id(message), why }),
        Err(panic) => return Verdict::Failed(panicked(message, panic)),
    };
    let applied = contained(|| {
        events.into_iter().for_each(|event| data.apply(event));
        message.applied(data);
    });
    match applied {
        Ok(()) => Verdict::Changed,
        Err(panic) => Verdict::Broken(panicked(message, panic)),
    }
}

fn id<A: Aggregate>(message: &dyn Message<A>) -> PersistenceId {
    PersistenceId::new(A::NAME, message.entity())
}

fn panicked<A: Aggregate>(message: &dyn Message<A>, panic: Arc<str>) -> Failure {
    Failure::Panicked { id: id(message), command: message.command(), message: panic }
}

/// Data as far as it has been replayed.
pub(crate) struct Replayed<A> {
    pub(crate) data: A,
    /// The last record that the data includes.
    pub(crate) last: SeqNr,
    /// The time of that record.
    pub(crate) time: Timestamp,
}

/// Why an entity can't be loaded, and at which record.
#[derive(Debug, Clone)]
pub(crate) struct Unrecoverable {
    pub(crate) seq_nr: SeqNr,
    pub(crate) why: Unusable,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("it is missing: the next record found is {found}")]
    Missing { found: SeqNr },
    #[error("it is missing: the stream ends before it, and should end at {last}")]
    Short { last: SeqNr },
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("it made the replay panic: {0}")]
    Panicked(Arc<str>),
}

impl<A: Aggregate> Replayed<A> {
    /// The data before the first event.
    pub(crate) fn new() -> Result<Self, Unrecoverable> {
        let unusable = |panic| Unrecoverable { seq_nr: SeqNr::ZERO, why: Unusable::Panicked(panic) };
        let data = contained(A::default).map_err(unusable)?;
        Ok(Self { data, last: SeqNr::ZERO, time: Timestamp::MIN })
    }

    /// Folds the records of a stored run that the data doesn't include yet.
    pub(crate) fn fold(&mut self, run: &StoredRun, store: u64) -> Result<(), Unrecoverable> {
        let mut at = self.last.next();
        let folded = contained(|| {
            RunView::parse(&run.bytes, store)?.for_each(|seq_nr, write, record| {
                if seq_nr < at {
                    return Ok(());
                }
                if seq_nr > at {
                    return Err(Unusable::Missing { found: seq_nr });
                }
                if let Record::Event(EventRecord { name, version, codec, payload }) = record {
                    let event = codec::decode::<A::Event>(name, version, Payload { codec, bytes: payload })?;
                    self.data.apply(event);
                }
                (self.last, self.time) = (seq_nr, write.time);
                at = seq_nr.next();
                Ok(())
            })
        });
        folded
            .unwrap_or_else(|panic| Err(Unusable::Panicked(panic)))
            .map_err(|why| Unrecoverable { seq_nr: self.last.next(), why })
    }
}
