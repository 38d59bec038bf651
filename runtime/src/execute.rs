//! One command, from handler to applied events; and the same fold for what is stored.
//!
//! Live, replayed and tested data go through the same three steps: encode, decode, apply. What is applied is the event
//! as it will be read again, so live data can't differ from replayed data, and an event that can't be read again is
//! found before it is stored.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::aggregate::{Aggregate, Context};
use crate::call::{Failure, NotStored};
use crate::clock::MaybeTime;
use crate::codec::{self, Codec, DecodeError, EncodeError, Payload};
use crate::contain::contained;
use crate::event::{Event, EventList};
use crate::id::{Offset, PersistenceId, SeqNr};
use crate::journal::{
    Due, EventRecord, ReadError, Record, RunBuilder, RunError, RunView, StoredCause, StoredKey, StoredRun,
    TransitionRecord, WRITE_BYTES_MAX, Why, Write, as_stored,
};
use crate::key::Keys;
use crate::message::{Message, OutcomeKind, Passage};
use crate::state::{Standing, State as _, has_states, info, is_transient, named};
use crate::step::Goes;

/// What one command stores, encoded; reused from one command to the next.
#[derive(Debug)]
pub(crate) struct Draft {
    payloads: Vec<u8>,
    events: Vec<DraftEvent>,
    /// What stands behind the events, if anything does.
    last: Option<Record<'static>>,
    time: Timestamp,
    key: Option<StoredKey>,
    outcome: Option<OutcomeKind>,
    answer: Vec<u8>,
    codec: Codec,
    cause: Option<StoredCause<'static>>,
    due: Due,
    /// Whether a snapshot is to be taken after it; also of a step that stores nothing.
    snapshot: bool,
    /// Why nothing can be stored for now.
    refused: Option<Why>,
}

#[derive(Debug)]
struct DraftEvent {
    variant: usize,
    /// Where its payload lies.
    payload: std::ops::Range<usize>,
}

/// What a stored event needs beside its payload, at most: index of the name, version, codec, kind, length, tags.
const EVENT_OVERHEAD_MAX: usize = 32;
/// What else a write has beside its events and its answer, at most, but for names.
const WRITE_OVERHEAD_MAX: usize = 128;

impl Default for Draft {
    fn default() -> Self {
        Self {
            payloads: Vec::new(),
            events: Vec::new(),
            last: None,
            time: Timestamp::UNIX_EPOCH,
            key: None,
            outcome: None,
            answer: Vec::new(),
            codec: Codec::MessagePack,
            cause: None,
            due: Due::Unchanged,
            snapshot: false,
            refused: None,
        }
    }
}

impl Draft {
    /// Has each command fail with this that would store anything, before anything is applied; `None`: none does.
    pub(crate) fn refuse(&mut self, why: Option<Why>) {
        self.refused = why;
    }

    fn clear(&mut self, time: Timestamp, key: Option<StoredKey>) {
        self.payloads.clear();
        self.events.clear();
        self.answer.clear();
        (self.time, self.key, self.due) = (time, key, Due::Unchanged);
        (self.last, self.outcome, self.cause, self.snapshot) = (None, None, None, false);
    }

    /// The length of the write in a run, or a little more, but for names that the run doesn't have yet.
    pub(crate) fn bytes_max(&self) -> usize {
        self.payloads.len() + self.answer.len() + self.events.len() * EVENT_OVERHEAD_MAX + WRITE_OVERHEAD_MAX
    }

    /// The most that the write adds to a run.
    pub(crate) fn bytes_in_run<A: Aggregate>(&self) -> usize {
        RunBuilder::write_bytes_at_most(&self.write(), self.records::<A>())
    }

    /// What it makes of the stream's deadline.
    pub(crate) fn due(&self) -> Due {
        self.due
    }

    pub(crate) fn key(&self) -> Option<StoredKey> {
        self.key
    }

    /// Whether the step asks for a snapshot after it.
    pub(crate) fn snapshot(&self) -> bool {
        self.snapshot
    }

    /// What the caller is answered, if that is kept.
    #[cfg(feature = "testing")]
    pub(crate) fn answer(&self) -> Option<(OutcomeKind, &[u8])> {
        Some((self.outcome?, &self.answer))
    }

    /// Drafts the end of the stream: its tombstone, which clears the deadline.
    pub(crate) fn end(&mut self, time: Timestamp) {
        self.clear(time, None);
        (self.last, self.due) = (Some(Record::Tombstone), Due::Cleared);
    }

    /// Encodes the event, and reads it back.
    fn push<A: Aggregate>(&mut self, event: &A::Event) -> Result<A::Event, NotStored> {
        let start = self.payloads.len();
        let name = |variant: Option<usize>| {
            variant.map_or_else(std::any::type_name::<A::Event>, |variant| A::Event::VARIANTS[variant].name)
        };
        let variant = codec::encode(A::CODEC, event, &mut self.payloads)
            .map_err(|error| NotStored::Event { event: name(None), error })?;
        if let Some(since) = A::Event::VARIANTS[variant].ignored_since {
            return Err(NotStored::Event { event: name(Some(variant)), error: EncodeError::Ignored { since } });
        }
        let payload = Payload { codec: A::CODEC, bytes: &self.payloads[start..] };
        let event = codec::decode_current::<A::Event>(variant, payload)
            .map_err(|error| NotStored::Event { event: name(Some(variant)), error: error.into() })?;
        self.events.push(DraftEvent { variant, payload: start..self.payloads.len() });
        self.check_size()?;
        Ok(event)
    }

    fn check_size(&self) -> Result<(), NotStored> {
        let bytes = self.bytes_max();
        if bytes > WRITE_BYTES_MAX { Err(Why::TooLarge { bytes, limit: WRITE_BYTES_MAX }.into()) } else { Ok(()) }
    }

    /// Encodes what the caller is answered.
    fn push_answer<A: Aggregate>(&mut self, message: &mut dyn Message<A>) -> Result<(), NotStored> {
        self.codec = A::CODEC;
        self.outcome = Some(message.outcome(A::CODEC, &mut self.answer).map_err(NotStored::Answer)?);
        self.check_size()
    }

    /// The write as it is stored, but for its records.
    pub(crate) fn write(&self) -> Write<'_> {
        let (codec, payload) = (self.codec, &*self.answer);
        let outcome = self.outcome.map(|kind| kind.stored(codec, payload));
        Write { time: self.time, key: self.key, outcome, cause: self.cause }
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.last.is_none()
    }

    /// The records as they are stored.
    pub(crate) fn records<A: Aggregate>(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.events.len() + usize::from(self.last.is_some())).map(|index| {
            match (self.events.get(index), self.last) {
                (Some(event), _) => {
                    let variant = &A::Event::VARIANTS[event.variant];
                    let payload = &self.payloads[event.payload.clone()];
                    Record::Event(EventRecord {
                        name: variant.name,
                        version: variant.version,
                        codec: A::CODEC,
                        payload,
                    })
                }
                (None, Some(last)) => last,
                (None, None) => unreachable!("there are as many records as that"),
            }
        })
    }
}

/// What became of a command.
pub(crate) enum Verdict<S> {
    /// It has an answer and stores nothing.
    Answered,
    /// The draft holds what it stores, which is applied; the entity stands here then.
    Changed(Standing<S>),
    /// It failed; the data is as it was.
    Failed(Failure),
    /// It failed while its events were applied: the data must be loaded again.
    Broken(Failure),
}

/// Runs the handler, encodes what is to be stored into `draft`, and applies the events. `note` sees the events as the
/// handler made them.
pub(crate) fn execute<A: Aggregate>(
    message: &mut dyn Message<A>,
    data: &mut A,
    cx: &Context<A>,
    draft: &mut Draft,
    note: impl FnOnce(&EventList<A::Event>),
) -> Verdict<A::State> {
    draft.clear(cx.now(), message.key());
    let mut standing = cx.standing();
    let decided = contained(|| {
        let decided = message.handle(data, cx);
        note(&decided.events);
        draft.snapshot = decided.snapshot;
        let mut read_again = EventList::new();
        for event in decided.events.as_slice() {
            read_again.push(draft.push::<A>(event)?);
        }
        let passage = decided.goes.map(|goes| Passage { from: standing.state, to: goes.to });
        draft.last = last_record::<A>(cx, draft, decided.goes, decided.elapsed, &mut standing);
        // A key belongs to its command, so what has a key tells its command, too.
        if (has_states::<A>() || draft.key.is_some()) && !draft.is_empty() {
            draft.cause = Some(match decided.elapsed {
                Some(visit) => StoredCause::Deadline { visit },
                None => StoredCause::Command(message.command()),
            });
        }
        if let Some(why) = draft.refused.as_ref().filter(|_| !draft.is_empty()) {
            return Err(why.clone().into());
        }
        if read_again.is_empty() {
            message.applied(data, passage);
            if draft.key.is_some() {
                draft.push_answer(message)?;
            }
        }
        Ok((read_again, passage))
    });
    let (events, passage) = match decided {
        Ok(Ok(_)) if draft.is_empty() => return Verdict::Answered,
        Ok(Ok((events, _))) if events.is_empty() => return Verdict::Changed(standing),
        Ok(Ok(decided)) => decided,
        Ok(Err(why)) => return Verdict::Failed(Failure::NotStored { id: id(message), why }),
        Err(panic) => return Verdict::Failed(panicked(message, panic)),
    };
    let applied = contained(|| {
        events.into_iter().for_each(|event| data.apply(event));
        message.applied(data, passage);
        if draft.key.is_some() { draft.push_answer(message) } else { Ok(()) }
    });
    match applied {
        Ok(Ok(())) => Verdict::Changed(standing),
        Ok(Err(why)) => Verdict::Broken(Failure::NotStored { id: id(message), why }),
        Err(panic) => Verdict::Broken(panicked(message, panic)),
    }
}

/// The record behind the events: where the step leads, or that it doesn't, where that has to be stored. Moves
/// `standing` there.
fn last_record<A: Aggregate>(
    cx: &Context<A>,
    draft: &mut Draft,
    goes: Option<Goes<A::State>>,
    elapsed: Option<SeqNr>,
    standing: &mut Standing<A::State>,
) -> Option<Record<'static>> {
    // It is the one behind the events.
    let visit = SeqNr(cx.seq_nr().0 + crate::journal::len_u64(draft.events.len()) + 1);
    let declared = |state| info::<A>(state).and_then(|state| state.deadline);
    if let Some(Goes { to, for_max }) = goes {
        let due = for_max.or_else(|| declared(to)).map(|time| after(cx.now(), time));
        let from = Some(standing.state.name());
        let transient = is_transient::<A>(to);
        *standing = Standing { state: to, visit, due: due.into() };
        // What is not recovered to leaves the deadline to which it would be recovered.
        draft.due = if transient { Due::Unchanged } else { due.map_or(Due::Cleared, Due::At) };
        let to = to.name();
        return Some(Record::Transition(TransitionRecord { from, to, transient, due }));
    }
    if let Some(visit) = elapsed {
        standing.due = MaybeTime::NONE;
        draft.due = if is_transient::<A>(standing.state) { Due::Unchanged } else { Due::Cleared };
        return Some(Record::DeadlineConsumed { visit });
    }
    let stores = !draft.events.is_empty() || draft.key.is_some();
    if stores
        && standing.visit == SeqNr::ZERO
        && let Some(time) = declared(standing.state)
    {
        let due = after(cx.now(), time);
        *standing = Standing { state: standing.state, visit, due: due.into() };
        draft.due = Due::At(due);
        let to = standing.state.name();
        return Some(Record::Transition(TransitionRecord { from: None, to, transient: false, due: Some(due) }));
    }
    (draft.events.is_empty() && draft.key.is_some()).then_some(Record::Receipt)
}

/// The time after a duration, as it will be read from the journal.
pub(crate) fn after(now: Timestamp, time: Duration) -> Timestamp {
    as_stored(now.saturating_add(time).unwrap_or(Timestamp::MAX))
}

fn id<A: Aggregate>(message: &dyn Message<A>) -> PersistenceId {
    PersistenceId::new(A::NAME, message.entity())
}

fn panicked<A: Aggregate>(message: &dyn Message<A>, panic: Arc<str>) -> Failure {
    Failure::Panicked { id: id(message), command: message.command(), message: panic }
}

/// Reads a stored event; `None` if it is one that is ignored by now.
pub(crate) fn read<A: Aggregate>(stored: EventRecord<'_>) -> Result<Option<A::Event>, Unusable> {
    let EventRecord { name, version, codec, payload } = stored;
    codec::decode(name, version, Payload { codec, bytes: payload }).map_err(|why| Unusable::Event {
        name: name.to_owned(),
        version,
        why,
    })
}

/// An entity as far as it has been replayed.
pub(crate) struct Replayed<A: Aggregate> {
    pub(crate) data: A,
    /// The last record that the data includes.
    pub(crate) last: SeqNr,
    /// The time of that record.
    pub(crate) time: Timestamp,
    pub(crate) standing: Standing<A::State>,
    pub(crate) keys: Keys,
    /// How many unique keys are remembered.
    keys_max: usize,
    /// The last state that was entered, and where, if the machine doesn't have it.
    unknown: Option<(SeqNr, String)>,
    /// The deadline of the visit that is stored, and for which the machine has no handler.
    pub(crate) unheard: Option<Timestamp>,
}

/// Why an entity can't be loaded, and at which record.
#[derive(Debug, Clone)]
pub(crate) struct Unrecoverable {
    pub(crate) seq_nr: SeqNr,
    /// Where the record is, if it was found.
    pub(crate) offset: Option<Offset>,
    pub(crate) why: Unusable,
}

impl Unrecoverable {
    /// At a record whose place in the journal isn't known.
    pub(crate) fn at(seq_nr: SeqNr, why: Unusable) -> Self {
        Self { seq_nr, offset: None, why }
    }
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
    #[error("event `{name}` in version {version}: {why}{}", remedy(why))]
    Event { name: String, version: u32, why: DecodeError },
    #[error("event `{name}` in version {version} made the replay panic: {panic}")]
    EventPanicked { name: String, version: u32, panic: Arc<str> },
    #[error(
        "it leads to state `{name}`, which isn't there: if it was renamed or removed, name it in `was(..)` of the state that \
         it is now; a newer version may have written it"
    )]
    UnknownState { name: String },
    #[error("the records up to {floor} are deleted, and no snapshot can stand for them: {tried}")]
    Deleted { floor: SeqNr, tried: String, may_pass: bool },
    #[error(
        "two folds of the same records differ on this one{event}{place}: the fold depends on something that is neither \
         in the events nor in the data, such as the order of a `HashMap`, the time or a random number"
    )]
    FoldsDiffer { event: String, place: String },
    #[error(
        "the snapshot at {at} differs from a fold of the records{place}, and folds agree with each other now: so the fold \
         was changed since it was taken, then raise the `version` in `#[snapshot(..)]`, so that older ones aren't used; or \
         the fold depends on something that is neither in the events nor in the data, such as a clock"
    )]
    SnapshotDiffers { at: SeqNr, place: String },
    #[error(
        "a fold that begins with the snapshot at {at} differs from one that begins before it on this one{place}: the \
         snapshot doesn't hold all that the fold needs, such as a field that serde skips"
    )]
    SnapshotLacks { at: SeqNr, place: String },
    #[error(
        "the snapshot at {at} is read as other data than a fold of the records comes to, though both are written alike: \
         something is lost when the data is written, such as `Some(None)`, or a field with `#[serde(skip)]` within it"
    )]
    SnapshotLoses { at: SeqNr },
    #[error("it made the replay panic: {0}")]
    Panicked(Arc<str>),
    /// There is nothing to load any more.
    #[error("the stream was deleted")]
    Ended,
}

/// What to do where the fields of an event have changed.
fn remedy(why: &DecodeError) -> &'static str {
    match why {
        DecodeError::Payload { .. } => {
            "; where its fields have changed, raise its `version` with an upcast, or give a new field a `#[serde(default)]`"
        }
        _ => "",
    }
}

impl<A: Aggregate> Replayed<A> {
    /// The data before the first event.
    pub(crate) fn new(keys_max: usize) -> Result<Self, Unrecoverable> {
        let unusable = |panic| Unrecoverable::at(SeqNr::ZERO, Unusable::Panicked(panic));
        let data = contained(A::default).map_err(unusable)?;
        let before = (SeqNr::ZERO, Timestamp::MIN);
        Ok(Self::begun(data, before, Standing::initial::<A>(), Keys::default(), keys_max))
    }

    /// The data of a snapshot, which includes the record `last` with its time.
    pub(crate) fn begun(
        data: A,
        (last, time): (SeqNr, Timestamp),
        standing: Standing<A::State>,
        mut keys: Keys,
        keys_max: usize,
    ) -> Self {
        keys.cut(keys_max);
        Self { data, last, time, standing, keys, keys_max, unknown: None, unheard: None }
    }

    /// Folds the records of a stored run that the data doesn't include yet.
    pub(crate) fn fold(&mut self, run: &StoredRun, store: u64) -> Result<(), Unrecoverable> {
        self.fold_each(run, store, Self::take_in)
    }

    /// Hands over the records of a stored run that the data doesn't include yet, one after the other.
    pub(crate) fn fold_each(
        &mut self,
        run: &StoredRun,
        store: u64,
        mut take_in: impl FnMut(&mut Self, SeqNr, &Write<'_>, Record<'_>) -> Result<(), Unusable>,
    ) -> Result<(), Unrecoverable> {
        // What is being decoded and applied, for the case that it panics.
        let mut event = None;
        let folded = contained(|| {
            RunView::parse(&run.bytes, store)?.for_each(|seq_nr, write, record| {
                let at = self.last.next();
                if seq_nr < at {
                    return Ok(());
                }
                if seq_nr > at {
                    return Err(Unusable::Missing { found: seq_nr });
                }
                event = if let Record::Event(stored) = record { Some((stored.name, stored.version)) } else { None };
                take_in(self, seq_nr, write, record)
            })
        });
        folded
            .unwrap_or_else(|panic| {
                Err(match event {
                    Some((name, version)) => Unusable::EventPanicked { name: name.to_owned(), version, panic },
                    None => Unusable::Panicked(panic),
                })
            })
            .map_err(|why| self.unrecoverable(run, store, why))
    }

    /// What is wrong with the next record, which is in this run if the run can be read.
    fn unrecoverable(&self, run: &StoredRun, store: u64, why: Unusable) -> Unrecoverable {
        let seq_nr = self.last.next();
        let view = RunView::parse(&run.bytes, store).ok().filter(|view| (view.first()..=view.last()).contains(&seq_nr));
        let offset = view.map(|view| Offset(run.offset.0 + (seq_nr.0 - view.first().0)));
        Unrecoverable { seq_nr, offset, why }
    }

    /// Folds the next record.
    pub(crate) fn take_in(&mut self, seq_nr: SeqNr, write: &Write<'_>, record: Record<'_>) -> Result<(), Unusable> {
        match record {
            Record::Event(stored) => {
                if let Some(event) = read::<A>(stored)? {
                    self.data.apply(event);
                }
            }
            Record::Transition(transition) => self.enter(seq_nr, transition),
            Record::DeadlineConsumed { visit } if visit == self.standing.visit => {
                self.standing.due = MaybeTime::NONE;
            }
            Record::DeadlineConsumed { .. } | Record::Receipt | Record::Tombstone | Record::Skipped { .. } => {}
        }
        if let Some(key) = write.key {
            self.keys.insert(key, seq_nr, self.keys_max);
        }
        (self.last, self.time) = (seq_nr, write.time);
        Ok(())
    }

    fn enter(&mut self, visit: SeqNr, transition: TransitionRecord<'_>) {
        // Nobody returns to a transient state: the one before it is the last.
        if transition.transient {
            return;
        }
        match named::<A>(transition.to) {
            Some(state) => {
                self.standing = Standing { state, visit, due: transition.due.into() };
                self.unknown = None;
            }
            // It may be left again: a machine has to know the state in which it stands, and no other.
            None => self.unknown = Some((visit, transition.to.to_owned())),
        }
    }

    /// The state that it is in, or since when it is in one that the machine doesn't have.
    pub(crate) fn state(&self) -> Result<A::State, (SeqNr, &str)> {
        self.unknown.as_ref().map_or(Ok(self.standing.state), |(seq_nr, name)| Err((*seq_nr, name.as_str())))
    }

    /// Ends the replay.
    pub(crate) fn finish(mut self) -> Result<Self, Unrecoverable> {
        if let Some((seq_nr, name)) = self.unknown.take() {
            return Err(Unrecoverable::at(seq_nr, Unusable::UnknownState { name }));
        }
        // A deadline without a handler waits in the journal for a version that has one again.
        if info::<A>(self.standing.state).is_none_or(|state| state.deadline.is_none()) {
            self.unheard = std::mem::replace(&mut self.standing.due, MaybeTime::NONE).get();
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_time_that_the_journal_can_tell() {
        let after = |time| after(Timestamp::UNIX_EPOCH, time).as_nanosecond();
        assert_eq!(after(Duration::from_nanos(1_500)), 1_000);
        assert_eq!(after(Duration::from_micros(2)), 2_000);
    }
}
