//! What an entity has only while it has something to do: queued messages, runs on their way, answers held back.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use crate::aggregate::Aggregate;
use crate::answer::Laid;
use crate::call::Failure;
use crate::id::{EntityId, PersistenceId, SeqNr, StreamNo};
use crate::journal::{Due, Facts, Run, RunBuilder, RunKey, StoredKey, stored_checksum};
use crate::message::Message;
use crate::system::desk::{Desk, REPEATS_OF_ONE_MAX};
use crate::system::snapshots::Waiting;

/// How many runs may wait to be handed over: one that is complete, and one that grows.
const PENDING_MAX: usize = 2;
/// Enough for the names of events that a run doesn't have yet, nearly always.
const NAMES_ROOM: usize = 4096;

/// What an entity has only while it has something to do.
pub(crate) struct Work<A> {
    pub(super) queue: VecDeque<Box<dyn Message<A>>>,
    /// The last record that the journal has for good.
    pub(super) durable: SeqNr,
    /// Runs that the journal doesn't have yet.
    pub(super) pending: VecDeque<Box<RunBuilder>>,
    /// The runs that the journal has.
    pub(super) in_flight: VecDeque<InFlight>,
    pub(super) held: VecDeque<Held<A>>,
    /// Snapshots that tell what isn't durable yet, the oldest first.
    pub(super) snapshots: VecDeque<Waiting>,
    /// How many steps' effects wait for room.
    pub(super) effects_waiting: u32,
    /// How many repeated commands were handled and aren't answered yet.
    repeats: usize,
    /// Whether it is in the desk's list of those whose repeats there was no room for.
    pub(super) starved: bool,
    /// Whether it has just been told that there is room.
    pub(super) fed: bool,
    /// Whether it is in the desk's list of turns.
    pub(super) ready: bool,
    /// Whether it is in the desk's list of runs.
    pub(super) dirty: bool,
}

/// A run that the journal has.
pub(super) struct InFlight {
    first: SeqNr,
    pub(super) last: SeqNr,
    checksum: u64,
    /// What it makes of the deadline.
    pub(super) due: Due,
}

impl InFlight {
    pub(super) fn of(run: &Run) -> Self {
        Self { first: run.first, last: run.last(), checksum: stored_checksum(&run.bytes), due: run.due }
    }

    /// What to ask with what became of it.
    pub(super) fn key(&self, id: PersistenceId, facts: &Facts) -> RunKey {
        RunKey::new(facts, id, (self.first, self.last), self.checksum)
    }
}

/// An answer that waits until what it tells is durable.
pub(super) struct Held<A> {
    pub(super) tag: SeqNr,
    pub(super) answer: Answer<A>,
}

pub(super) enum Answer<A> {
    /// The message's reply or refusal, which tells of data.
    Tells(Known<A>),
    /// The reply to a command that was stored with the record `tag`.
    Stored(Known<A>),
    /// What the first command with its key was answered.
    Repeats(Box<Repeated<A>>),
    Fails(Box<Failed<A>>),
    /// That the stream has ended before, with the record `tag`.
    Ended(Box<dyn Message<A>>),
}

/// An answer that is known.
pub(super) enum Known<A> {
    /// It is all that is left of its message.
    Laid(Laid),
    /// With more to be done when it leaves.
    ByMessage(Box<dyn Message<A>>),
}

/// A message that is a repeat. The first command with the same key is stored in a record up to `seq_nr`.
pub(super) struct Repeated<A> {
    pub(super) message: Box<dyn Message<A>>,
    pub(super) key: StoredKey,
    pub(super) seq_nr: SeqNr,
}

/// A message that has failed, and why.
pub(super) struct Failed<A> {
    pub(super) message: Box<dyn Message<A>>,
    pub(super) why: Failure,
}

impl<A: Aggregate> Known<A> {
    /// Of a message that was handled.
    pub(super) fn of(mut message: Box<dyn Message<A>>) -> Self {
        match message.lay() {
            Some(laid) => Self::Laid(laid),
            None => Self::ByMessage(message),
        }
    }

    pub(super) fn fail(self, failure: Failure) {
        match self {
            Self::Laid(laid) => laid.fail(failure),
            Self::ByMessage(message) => message.fail(failure),
        }
    }
}

impl<A: Aggregate> Answer<A> {
    /// Answers with a failure in its place.
    pub(super) fn fail(self, failure: Failure) {
        match self {
            Self::Tells(known) | Self::Stored(known) => known.fail(failure),
            Self::Repeats(repeated) => repeated.message.fail(failure),
            Self::Fails(failed) => failed.message.fail(failure),
            Self::Ended(message) => message.fail(failure),
        }
    }
}

/// Working memory that lies idle, for the next entity that needs some.
#[expect(clippy::vec_box, reason = "the boxes are what is kept: they go to entities and come back")]
pub(crate) struct SpareWork<A>(Vec<Box<Work<A>>>);

/// How much of it is kept, and how far it may have grown.
const SPARE_MAX: usize = 4096;
const SPARE_MESSAGES_MAX: usize = 64;

/// Builders whose runs were sealed, for the next runs. The last one comes first: it is the one that is still near.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "the boxes are what is kept: they go to entities and come back")]
pub(crate) struct SpareRuns(Vec<Box<RunBuilder>>);

/// How many of them are kept, and how far one may have grown.
const SPARE_RUNS_MAX: usize = 1024;
const SPARE_RUN_BYTES_MAX: usize = 16 * 1024;

impl SpareRuns {
    fn begin(&mut self, stream: StreamNo, id: PersistenceId, first: SeqNr, forgettable: bool) -> Box<RunBuilder> {
        let mut run = match self.0.pop() {
            Some(mut run) => {
                run.restart(stream, id, first);
                run
            }
            None => Box::new(RunBuilder::new(stream, id, first)),
        };
        run.set_forgettable(forgettable);
        run
    }

    pub(super) fn put(&mut self, run: Box<RunBuilder>) {
        if self.0.len() < SPARE_RUNS_MAX && run.capacity() <= SPARE_RUN_BYTES_MAX {
            self.0.push(run);
        }
    }
}

impl<A: Aggregate> SpareWork<A> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// For an entity of which all is durable, up to this record.
    pub(super) fn take(&mut self, durable: SeqNr) -> Box<Work<A>> {
        let mut work = self.0.pop().unwrap_or_else(|| Box::new(Work::new()));
        work.durable = durable;
        work
    }

    pub(super) fn put(&mut self, work: Box<Work<A>>) {
        let messages = work.held.capacity().max(work.queue.capacity());
        if self.0.len() < SPARE_MAX && messages <= SPARE_MESSAGES_MAX {
            self.0.push(work);
        }
    }
}

impl<A: Aggregate> Work<A> {
    fn new() -> Self {
        // Most have one of each at a time, and there may be thousands.
        Self {
            queue: VecDeque::with_capacity(1),
            durable: SeqNr::ZERO,
            pending: VecDeque::with_capacity(1),
            in_flight: VecDeque::with_capacity(1),
            held: VecDeque::with_capacity(1),
            snapshots: VecDeque::new(),
            effects_waiting: 0,
            repeats: 0,
            starved: false,
            fed: false,
            ready: false,
            dirty: false,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty()
            && self.pending.is_empty()
            && self.in_flight.is_empty()
            && self.held.is_empty()
            && self.snapshots.is_empty()
            && self.effects_waiting == 0
            && self.repeats == 0
            && !self.starved
            && !self.ready
            && !self.dirty
    }

    /// The run that the next write belongs to.
    pub(super) fn growing_run(
        &mut self,
        desk: &mut Desk,
        stream: StreamNo,
        (aggregate, entity): (&Arc<str>, &EntityId),
        issued: SeqNr,
    ) -> &mut RunBuilder {
        let has_room = |run: &RunBuilder| {
            let room = desk.facts.run_bytes_max.saturating_sub(run.bytes());
            // The second is exact, and takes longer.
            desk.draft.bytes_max() + NAMES_ROOM <= room || desk.draft.bytes_in_run::<A>() <= room
        };
        if !self.pending.back().is_some_and(|run| has_room(run)) {
            let id = PersistenceId { aggregate: aggregate.clone(), entity: entity.clone() };
            let run = desk.spare_runs.begin(stream, id, issued.next(), A::FORGETTABLE);
            desk.bytes_unsettled += run.bytes();
            self.pending.push_back(run);
        }
        self.pending.back_mut().expect("a run was just begun if there was none")
    }

    /// Whether the entity may run further ahead of the disk.
    pub(super) fn may_go_on(&self, run_ahead_max: usize) -> bool {
        self.pending.len() < PENDING_MAX
            && self.held.len() < run_ahead_max
            && self.effects_waiting == 0
            && self.repeats < REPEATS_OF_ONE_MAX
            && !self.starved
    }

    /// Whether there is room for a repeat. Who was told so goes before others, and they before everybody else.
    pub(super) fn may_repeat(&self, desk: &Desk) -> bool {
        desk.room_for_repeats() > 0 && (self.fed || (desk.starved.is_empty() && desk.fed == 0))
    }

    /// Counts a repeated command that was handled.
    pub(super) fn begin_repeat(&mut self, desk: &mut Desk) {
        self.repeats += 1;
        desk.repeating += 1;
    }

    /// It was answered.
    pub(super) fn end_repeat(&mut self, desk: &mut Desk) {
        self.repeats -= 1;
        desk.repeating -= 1;
    }

    /// None of them will be.
    pub(super) fn give_up_repeats(&mut self, desk: &mut Desk) {
        desk.repeating -= mem::take(&mut self.repeats);
    }
}
