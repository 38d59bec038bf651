//! A call as an entity sees it: a handler to run, then a reply to hold until it may leave.

use std::any::Any;
use std::sync::Arc;

use crate::aggregate::{Aggregate, Context};
use crate::answer::{Caller, Laid};
use crate::call::{Address, CallError, Failure, Parcel};
use crate::codec::{Codec, EncodeError};
use crate::contain::drop_contained;
use crate::event::EventList;
use crate::id::{EntityId, PersistenceId, SeqNr};
use crate::journal::{StoredKey, StoredOutcome};
use crate::key::{Coder, Key};
use crate::log;
use crate::snapshot::request::Asked;
use crate::state::{Hooks, State, named};
use crate::step::{Decision, Effect, Goes, Reply, Step};

/// One command, query or deadline for an entity of type `A`.
///
/// Its life: `handle`, then `applied` when the events are folded in, then `release` when they are durable; or `fail`
/// at any point; or `repeat` instead of all that. Where nothing but the answer is left to be released, `lay` ends it.
pub(crate) trait Message<A: Aggregate>: Parcel {
    fn entity(&self) -> &EntityId;
    /// The command's name.
    fn command(&self) -> &'static str;
    /// By which it is known if it comes again.
    fn key(&self) -> Option<StoredKey> {
        None
    }
    /// Whether it is the time of a state that is over.
    fn is_alarm(&self) -> bool {
        false
    }
    /// Whether it is to end the stream. It isn't handled then, but asked with `may_end`: it needs no data.
    fn is_end(&self) -> bool {
        false
    }
    /// Whether it asks for another attempt to load the entity, now.
    fn is_retry(&self) -> bool {
        false
    }
    /// Answers that the entity wasn't in quarantine; for a message that `is_retry`.
    fn needless(self: Box<Self>) {}
    /// Whether the stream may end behind its record `last`; why not is told at the `release`.
    fn may_end(&mut self, last: SeqNr) -> bool {
        let _ = last;
        false
    }
    /// Answers that the stream has ended with the record `seq_nr`.
    fn ended(self: Box<Self>, id: PersistenceId, seq_nr: SeqNr) {
        self.fail(Failure::Deleted { id, seq_nr });
    }
    /// What a request for a snapshot leaves to its entity.
    fn asked(&mut self) -> Option<&mut Asked> {
        None
    }
    /// Runs the handler, keeps its reply and effects, and hands out what is to be stored.
    fn handle(&mut self, data: &A, cx: &Context<A>) -> Decided<A>;
    /// Computes the reply from the data after the events, and the hooks of the states on the way.
    fn applied(&mut self, data: &A, passage: Option<Passage<A::State>>);
    /// Writes what the caller is answered, and answers what is read from it; for a message with a key, after `applied`.
    fn outcome(&mut self, codec: Codec, out: &mut Vec<u8>) -> Result<OutcomeKind, EncodeError> {
        let _ = (codec, out);
        Ok(OutcomeKind::Replied)
    }
    /// Lays the answer ready, if there is nothing else to do at the `release`: then the message isn't needed any more.
    fn lay(&mut self) -> Option<Laid> {
        None
    }
    /// Sends the reply; hands out the effects.
    fn release(self: Box<Self>) -> Vec<Effect<A>>;
    /// Answers what the first message with the same key was answered, if that is known and was the same command's; it
    /// is stored in a record up to `seq_nr`.
    fn repeat(self: Box<Self>, outcome: Option<StoredOutcome<'_>>, seq_nr: SeqNr);
}

/// What a handler decided, as far as it is to be stored.
pub(crate) struct Decided<A: Aggregate> {
    pub(crate) events: EventList<A::Event>,
    pub(crate) goes: Option<Goes<A::State>>,
    /// The visit whose time was over, if that was handled.
    pub(crate) elapsed: Option<SeqNr>,
    /// Whether a snapshot is to be taken after it.
    pub(crate) snapshot: bool,
}

impl<A: Aggregate> Decided<A> {
    pub(crate) fn nothing() -> Self {
        Self { events: EventList::new(), goes: None, elapsed: None, snapshot: false }
    }
}

/// The way from one state to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passage<S> {
    pub(crate) from: S,
    pub(crate) to: S,
}

/// What kind of answer was encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutcomeKind {
    Replied,
    Refused,
    NotAccepted { state: &'static str },
}

impl OutcomeKind {
    /// The answer as it is stored.
    pub(crate) fn stored(self, codec: Codec, payload: &[u8]) -> StoredOutcome<'_> {
        match self {
            OutcomeKind::Replied => StoredOutcome::Replied { codec, payload },
            OutcomeKind::Refused => StoredOutcome::Refused { codec, payload },
            OutcomeKind::NotAccepted { state } => StoredOutcome::NotAccepted { state },
        }
    }
}

/// Puts the hooks of a passage around the effects of its step: what leaving does comes first, what entering does last.
pub(crate) fn with_hooks<A: Aggregate>(
    data: &A,
    passage: Option<Passage<A::State>>,
    effects: Vec<Effect<A>>,
) -> Vec<Effect<A>> {
    let Some(Passage { from, to }) = passage else { return effects };
    let mut hooks = Hooks(Vec::new());
    from.exited(data, &mut hooks);
    hooks.0.extend(effects);
    to.entered(data, &mut hooks);
    hooks.0
}

/// The message behind a method of a ref.
pub(crate) struct Envelope<A: Aggregate, F, R, E> {
    to: Arc<Address>,
    command: &'static str,
    progress: Progress<A, F, R, E>,
    caller: Caller<R, E>,
    keyed: Option<Box<Keyed<R, E>>>,
}

struct Keyed<R, E> {
    key: StoredKey,
    coder: Coder<R, E>,
}

enum Progress<A: Aggregate, F, R, E> {
    Unhandled(F),
    Decided {
        reply: Reply<R, A>,
        effects: Vec<Effect<A>>,
    },
    Refused(E),
    NotAccepted {
        state: &'static str,
    },
    /// The handler is running, or it panicked.
    Taken,
}

impl<A, F, R, E> Envelope<A, F, R, E>
where
    A: Aggregate,
    R: Send + 'static,
    E: Send + 'static,
    F: FnOnce(&A, &Context<A>) -> Decision<R, E, A> + Send + 'static,
{
    pub(crate) fn new(to: Arc<Address>, command: &'static str, decide: F, caller: Caller<R, E>) -> Self {
        Self { to, command, progress: Progress::Unhandled(decide), caller, keyed: None }
    }

    fn id(&self) -> PersistenceId {
        PersistenceId::new(A::NAME, &self.to.entity)
    }

    fn not_accepted(&self, state: &'static str) -> CallError<E> {
        let accepted_in = A::State::GRAPH.accepted_in(self.command).collect();
        CallError::NotAccepted { id: self.id(), state, command: self.command, accepted_in }
    }
}

impl<A, F, R, E> Parcel for Envelope<A, F, R, E>
where
    A: Aggregate,
    R: Send + 'static,
    E: Send + 'static,
    F: FnOnce(&A, &Context<A>) -> Decision<R, E, A> + Send + 'static,
{
    fn unpack(self: Box<Self>, slot: &mut dyn Any) {
        let slot = slot.downcast_mut::<Option<Box<dyn Message<A>>>>();
        *slot.expect("a parcel reaches the store of its own aggregate") = Some(self);
    }

    fn fail(self: Box<Self>, failure: Failure) {
        self.caller.answer(Err(failure.into()));
        // What is left is the user's: a handler that didn't run, or a reply that nobody may see.
        drop_contained("a command that failed", self.progress);
    }

    fn set_key(&mut self, Key(key): Key, coder: Box<dyn Any + Send>) {
        let coder = coder.downcast::<Coder<R, E>>().expect("a call has the reply and refusal of its envelope");
        self.keyed = Some(Box::new(Keyed { key, coder: *coder }));
    }
}

impl<A, F, R, E> Message<A> for Envelope<A, F, R, E>
where
    A: Aggregate,
    R: Send + 'static,
    E: Send + 'static,
    F: FnOnce(&A, &Context<A>) -> Decision<R, E, A> + Send + 'static,
{
    fn entity(&self) -> &EntityId {
        &self.to.entity
    }

    fn command(&self) -> &'static str {
        self.command
    }

    fn key(&self) -> Option<StoredKey> {
        self.keyed.as_ref().map(|keyed| keyed.key)
    }

    fn handle(&mut self, data: &A, cx: &Context<A>) -> Decided<A> {
        let Progress::Unhandled(decide) = std::mem::replace(&mut self.progress, Progress::Taken) else {
            unreachable!("a message is handled once");
        };
        match decide(data, cx) {
            Decision::Step(Step { events, reply, effects, goes, snapshot }) => {
                self.progress = Progress::Decided { reply, effects };
                Decided { events, goes, elapsed: None, snapshot }
            }
            Decision::Refused(refusal) => {
                self.progress = Progress::Refused(refusal);
                Decided::nothing()
            }
            Decision::NotAccepted => {
                let state = cx.standing().state.name();
                self.progress = Progress::NotAccepted { state };
                Decided::nothing()
            }
        }
    }

    fn applied(&mut self, data: &A, passage: Option<Passage<A::State>>) {
        self.progress = match std::mem::replace(&mut self.progress, Progress::Taken) {
            Progress::Decided { reply, effects } => {
                let reply = match reply {
                    Reply::With(query) => Reply::Value(query(data)),
                    value @ Reply::Value(_) => value,
                };
                Progress::Decided { reply, effects: with_hooks(data, passage, effects) }
            }
            progress => progress,
        };
    }

    fn outcome(&mut self, codec: Codec, out: &mut Vec<u8>) -> Result<OutcomeKind, EncodeError> {
        let Some(Keyed { coder, .. }) = self.keyed.as_deref() else { return Ok(OutcomeKind::Replied) };
        match &mut self.progress {
            Progress::Decided { reply: Reply::Value(reply), .. } => {
                *reply = coder.reply.write(codec, reply, out)?;
                Ok(OutcomeKind::Replied)
            }
            Progress::Refused(refusal) => {
                *refusal = coder.refusal.write(codec, refusal, out)?;
                Ok(OutcomeKind::Refused)
            }
            Progress::NotAccepted { state } => Ok(OutcomeKind::NotAccepted { state }),
            Progress::Unhandled(_) | Progress::Decided { .. } | Progress::Taken => {
                unreachable!("an answer is written once it is known");
            }
        }
    }

    fn lay(&mut self) -> Option<Laid> {
        match std::mem::replace(&mut self.progress, Progress::Taken) {
            Progress::Decided { reply: Reply::Value(reply), effects } if effects.is_empty() => {
                Some(self.caller.lay(Ok(reply)))
            }
            Progress::Refused(refusal) => Some(self.caller.lay(Err(refusal))),
            progress => {
                self.progress = progress;
                None
            }
        }
    }

    fn release(self: Box<Self>) -> Vec<Effect<A>> {
        match self.progress {
            Progress::Decided { reply: Reply::Value(reply), effects } => {
                self.caller.answer(Ok(reply));
                effects
            }
            Progress::Refused(refusal) => {
                self.caller.answer(Err(CallError::Refused(refusal)));
                Vec::new()
            }
            Progress::NotAccepted { state } => {
                let error = self.not_accepted(state);
                self.caller.answer(Err(error));
                Vec::new()
            }
            Progress::Unhandled(_) | Progress::Decided { .. } | Progress::Taken => {
                unreachable!("a message is released once its reply is known");
            }
        }
    }

    fn repeat(self: Box<Self>, outcome: Option<StoredOutcome<'_>>, seq_nr: SeqNr) {
        let unknown = |why: &dyn std::fmt::Display| {
            log::warn!(id = %self.id(), command = self.command, %seq_nr, %why, "can't repeat an answer");
            Err(CallError::AlreadyDone { id: self.id(), seq_nr })
        };
        let result = match (&self.keyed, outcome) {
            (Some(keyed), Some(StoredOutcome::Replied { codec, payload })) => {
                keyed.coder.reply.read(codec, payload).or_else(|why| unknown(&why))
            }
            (Some(keyed), Some(StoredOutcome::Refused { codec, payload })) => keyed
                .coder
                .refusal
                .read(codec, payload)
                .map_or_else(|why| unknown(&why), |refusal| Err(CallError::Refused(refusal))),
            (Some(_), Some(StoredOutcome::NotAccepted { state })) => {
                let known = named::<A>(state).map(State::name);
                known.map_or_else(|| unknown(&"its state is gone"), |known| Err(self.not_accepted(known)))
            }
            (_, None) | (None, _) => Err(CallError::AlreadyDone { id: self.id(), seq_nr }),
        };
        self.caller.answer(result);
        // What is left is the user's: a handler that didn't run.
        drop_contained("a command that was repeated", self.progress);
    }
}
