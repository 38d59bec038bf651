//! The end of a stream: the message that asks an entity for it, and what the entity needs to know, which isn't its data.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use jiff::Timestamp;

use crate::aggregate::{Aggregate, Context};
use crate::answer::Caller;
use crate::call::{CallError, Failure, Parcel};
use crate::contain::contained;
use crate::execute::{Unrecoverable, Unusable};
use crate::id::{EntityId, Offset, PersistenceId, SeqNr, StreamNo};
use crate::journal::{Journal, ReadError, RunError, RunView, StoredOutcome, StreamHead};
use crate::key::Key;
use crate::message::{Decided, Message, Passage};
use crate::step::Effect;
use crate::system::blocking::Runtime;
use crate::system::readers::{Behind, Readers};

/// How much of the stream's end is read; a run at least.
const PAGE_BYTES_MAX: usize = 1;

/// Why a stream was not ended.
#[derive(Debug)]
pub(crate) enum NotEnded {
    /// It has no records.
    Nothing,
    StillRead(Behind),
    /// There are readers, and more records than somebody has looked up.
    Moved(Behind),
}

/// The readers who must have read everything, and where the last record that was looked up is.
pub(crate) struct ReadBefore {
    pub(crate) readers: Arc<Readers>,
    pub(crate) last: Option<(SeqNr, Offset)>,
}

/// Asks an entity to end its stream; answered with the tombstone's sequence number.
pub(crate) struct End<A> {
    entity: EntityId,
    read_before: Option<ReadBefore>,
    refused: Option<NotEnded>,
    ends_with: SeqNr,
    caller: Caller<SeqNr, NotEnded>,
    aggregate: PhantomData<fn() -> A>,
}

impl<A: Aggregate> End<A> {
    pub(crate) fn new(entity: EntityId, read_before: Option<ReadBefore>, caller: Caller<SeqNr, NotEnded>) -> Self {
        Self { entity, read_before, refused: None, ends_with: SeqNr::ZERO, caller, aggregate: PhantomData }
    }

    fn refusal(&self, last: SeqNr) -> Option<NotEnded> {
        if last == SeqNr::ZERO {
            return Some(NotEnded::Nothing);
        }
        let ReadBefore { readers, last: known } = self.read_before.as_ref()?;
        let behind = readers.lowest(A::NAME)?;
        match known {
            Some((seq_nr, offset)) if *seq_nr == last => {
                (*offset > behind.offset).then_some(NotEnded::StillRead(behind))
            }
            _ => Some(NotEnded::Moved(behind)),
        }
    }
}

impl<A: Aggregate> Parcel for End<A> {
    fn unpack(self: Box<Self>, slot: &mut dyn Any) {
        let slot = slot.downcast_mut::<Option<Box<dyn Message<A>>>>();
        *slot.expect("a parcel reaches the store of its own aggregate") = Some(self);
    }

    fn fail(self: Box<Self>, failure: Failure) {
        self.caller.answer(Err(failure.into()));
    }

    fn set_key(&mut self, _: Key, _: Box<dyn Any + Send>) {
        unreachable!("nobody gives the end of a stream a key");
    }
}

impl<A: Aggregate> Message<A> for End<A> {
    fn entity(&self) -> &EntityId {
        &self.entity
    }

    fn command(&self) -> &'static str {
        "delete"
    }

    fn is_end(&self) -> bool {
        true
    }

    fn may_end(&mut self, last: SeqNr) -> bool {
        self.ends_with = last.next();
        self.refused = self.refusal(last);
        self.refused.is_none()
    }

    fn ended(self: Box<Self>, _: PersistenceId, seq_nr: SeqNr) {
        self.caller.answer(Ok(seq_nr));
    }

    fn handle(&mut self, _: &A, _: &Context<A>) -> Decided<A> {
        unreachable!("the end of a stream is not handled");
    }

    fn applied(&mut self, _: &A, _: Option<Passage<A::State>>) {
        unreachable!("the end of a stream is not handled");
    }

    fn release(self: Box<Self>) -> Vec<Effect<A>> {
        let End { refused, ends_with, caller, .. } = *self;
        caller.answer(refused.map_or(Ok(ends_with), |refused| Err(CallError::Refused(refused))));
        Vec::new()
    }

    fn repeat(self: Box<Self>, _: Option<StoredOutcome<'_>>, _: SeqNr) {
        unreachable!("the end of a stream has no key");
    }
}

/// Where a stream stands that is open to be ended.
pub(crate) struct Head {
    pub(crate) stream: StreamNo,
    pub(crate) last: SeqNr,
    /// The time of the last record, as far as it can be told.
    pub(crate) time: Timestamp,
}

/// Opens a stream without reading what can't be read. It blocks for the disk. Whatever panics on the way, it returns.
pub(crate) fn open_head<A: Aggregate>(
    journal: &dyn Journal,
    runtime: &Runtime,
    entity: &EntityId,
) -> Result<Head, Unrecoverable> {
    let id = PersistenceId::new(A::NAME, entity);
    let unreadable = |why| Unrecoverable::at(SeqNr(1), why);
    let opened = contained(|| {
        let head = runtime.block_on(journal.open_stream(&id)).map_err(|error| unreadable(error.into()))?;
        if head.ended {
            journal.close_stream(head.stream);
            return Err(Unrecoverable::at(head.last, Unusable::Ended));
        }
        Ok(head)
    });
    let StreamHead { stream, last, .. } = opened.unwrap_or_else(|panic| Err(unreadable(Unusable::Panicked(panic))))?;
    // A damaged run has no time: then the clock's counts alone.
    let time = contained(|| last_record(journal, runtime, stream, last)).ok().and_then(Result::ok).flatten();
    Ok(Head { stream, last, time: time.map_or(Timestamp::MIN, |(_, time)| time) })
}

/// Why the last record of a stream can't be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLast {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// The offset and the time of an open stream's last record; `None` if there is none. It blocks for the disk.
pub(crate) fn last_record(
    journal: &dyn Journal,
    runtime: &Runtime,
    stream: StreamNo,
    last: SeqNr,
) -> Result<Option<(Offset, Timestamp)>, NoLast> {
    if last == SeqNr::ZERO {
        return Ok(None);
    }
    let page = runtime.block_on(journal.read(stream, last, last, PAGE_BYTES_MAX))?;
    let Some(run) = page.runs.first() else { return Ok(None) };
    let view = RunView::parse(&run.bytes, journal.facts().store)?;
    let mut found = None;
    view.for_each(|seq_nr, write, _| {
        if seq_nr == last {
            found = Some((Offset(run.offset.0 + (seq_nr.0 - view.first().0)), write.time));
        }
        Ok::<(), RunError>(())
    })?;
    Ok(found)
}
