//! One entity in memory: what it waits for, what it has promised, and what it holds back.
//!
//! INVARIANT: what was computed from the data leaves only when everything that the data included is durable. `issued`
//! is the last record that the data includes, `durable` the last that the journal has; every answer is held with the
//! `issued` of its moment as its tag, and leaves when `durable` has reached it.

use std::mem;
use std::sync::Arc;

use jiff::Timestamp;

use crate::aggregate::Aggregate;
use crate::call::Failure;
use crate::clock::MaybeTime;
use crate::contain::drop_contained;
use crate::effects::Effects;
use crate::entity_ref::EntityRef;
use crate::id::{EntityId, PersistenceId, SeqNr, StreamNo};
use crate::key::Keys;
use crate::log;
use crate::message::Message;
use crate::slots::Hashed;
use crate::state::State;
use crate::step::Effect;
use crate::system::desk::{Desk, Key};
use crate::system::effects::EffectJob;
use crate::system::mailbox::{Lane, ShardPort};
use crate::system::quarantine::{Budget, Quarantined};
use crate::system::registry::Registry;
use crate::system::work::{SpareWork, Work};

mod loading;
mod settling;
mod times;
mod turn;

use times::Times;
pub(crate) use turn::TURN_MAX;

/// One entity.
pub(crate) struct Entity<A: Aggregate> {
    id: EntityId,
    lane: Lane,
    stream: StreamNo,
    /// The last record that the data includes. While there is nothing to do, it is durable, too.
    issued: SeqNr,
    /// The time of the record `issued`.
    time: MaybeTime,
    /// The state after the record `issued`.
    state: A::State,
    /// The record that entered it; 0 where there is none.
    visit: SeqNr,
    times: Option<Box<Times>>,
    /// Whether the record `issued` ends its stream.
    ended: bool,
    /// The last record of the snapshot that was taken, loaded or tried last; 0 if there was none.
    snapshot: SeqNr,
    extra: Option<Box<Extra>>,
    phase: Phase<A>,
    /// When it was last used, in tenths of a second since the shard started.
    last_used: u32,
    /// Whether it was used since the last eviction looked at it.
    used: bool,
    work: Option<Box<Work<A>>>,
}

/// What only some entities have.
#[derive(Default)]
struct Extra {
    /// The keys of its commands.
    keys: Keys,
    /// The visit whose deadline is stored, and has no handler any more: it waits for a version with one.
    unheard: Option<(SeqNr, Timestamp)>,
    /// In which visit of a state its deadline failed when it was noticed: commands there don't wait until it no longer
    /// does.
    deadline_failed: Option<SeqNr>,
    /// What has broken its data lately.
    budget: Option<Budget>,
}

enum Phase<A> {
    /// Not in memory, and nobody has asked for it.
    Absent,
    /// On its way into memory; perhaps after attempts that failed.
    Loading(Option<Arc<Quarantined>>),
    /// Its stream is being opened without its data, since it is to end.
    Opening(Option<Arc<Quarantined>>),
    Live(A),
    /// Its stream is open, and its data isn't loaded, or can't be: all that can happen is that it ends.
    Headless(Option<Arc<Quarantined>>),
    /// The data is gone or wrong. It is loaded again when what is in flight has settled.
    Draining,
    Quarantined(Arc<Quarantined>),
    /// Its stream has ended for ever, with this record.
    Ended(SeqNr),
}

/// What has to be done for an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Next {
    Nothing,
    /// Put it on the list of those to be loaded.
    Load,
}

/// What surrounds an entity while it acts.
pub(crate) struct Surroundings<'s, A: Aggregate> {
    pub(crate) key: Key,
    pub(crate) desk: &'s mut Desk,
    pub(crate) registry: &'s Arc<Registry>,
    pub(crate) port: &'s Arc<ShardPort>,
    pub(crate) services: &'s Arc<A::Services>,
    /// The aggregate's stored name.
    pub(crate) name: &'s Arc<str>,
    pub(crate) spare: &'s mut SpareWork<A>,
}

impl<A: Aggregate> Hashed for Entity<A> {
    /// That of its id, with which its messages come.
    fn hash(&self, _seed: u64) -> u64 {
        self.id.hash64()
    }
}

impl<A: Aggregate> Entity<A> {
    pub(crate) fn new(id: EntityId, hash: u64) -> Self {
        assert!(hash == id.hash64(), "a message comes with its entity's hash");
        Self {
            id,
            lane: Lane::of(hash),
            stream: StreamNo(0),
            issued: SeqNr::ZERO,
            time: MaybeTime::NONE,
            state: <A::State as State<A>>::INITIAL,
            visit: SeqNr::ZERO,
            times: None,
            ended: false,
            snapshot: SeqNr::ZERO,
            extra: None,
            phase: Phase::Absent,
            last_used: 0,
            used: true,
            work: None,
        }
    }

    pub(crate) fn id(&self) -> &EntityId {
        &self.id
    }

    pub(crate) fn persistence_id(&self) -> PersistenceId {
        PersistenceId::new(A::NAME, &self.id)
    }

    /// The stream that is open for it.
    pub(crate) fn stream(&self) -> Option<StreamNo> {
        matches!(self.phase, Phase::Live(_)).then_some(self.stream)
    }

    /// Whether it has not been used for so long, in tenths of a second.
    pub(crate) fn is_forgotten(&self, idle_tenths: u32, desk: &Desk) -> bool {
        desk.tenth.saturating_sub(self.last_used) >= idle_tenths
    }

    /// Whether it can be dropped from memory: it has nothing to do, nothing but what is durable, and isn't kept to pace
    /// the attempts to load it.
    pub(crate) fn is_resting(&self, desk: &Desk) -> bool {
        let resting = match &self.phase {
            Phase::Quarantined(quarantine) => !desk.leaves_alone(quarantine),
            // What isn't recovered to would be lost.
            Phase::Live(_) => !self.is_transient(),
            Phase::Absent | Phase::Ended(_) => true,
            Phase::Loading(_) | Phase::Opening(_) | Phase::Headless(_) | Phase::Draining => false,
        };
        resting && self.work.is_none()
    }

    pub(crate) fn is_quarantined(&self) -> bool {
        matches!(self.phase, Phase::Quarantined(_))
    }

    /// Whether it may be dropped where there are too many entities: one in quarantine, too, since the newest of those
    /// are known without it.
    pub(crate) fn is_evictable(&self, desk: &Desk) -> bool {
        self.is_resting(desk) || (self.is_quarantined() && self.work.is_none())
    }

    /// The time of the record `issued`.
    fn time(&self) -> Timestamp {
        self.time.get().unwrap_or(Timestamp::MIN)
    }

    fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Takes the mark that it was used since the last look.
    pub(crate) fn take_used(&mut self) -> bool {
        mem::take(&mut self.used)
    }

    fn work(&mut self, around: &mut Surroundings<'_, A>) -> &mut Work<A> {
        self.work.get_or_insert_with(|| {
            around.desk.busy += 1;
            around.spare.take(self.issued)
        })
    }

    /// Gives the working memory back when there is nothing left to do.
    fn rest(&mut self, around: &mut Surroundings<'_, A>) {
        if let Some(work) = self.work.take_if(|work| work.is_done()) {
            around.desk.busy -= 1;
            around.spare.put(work);
        }
    }

    /// Queues a message that has a place in the mailbox.
    pub(crate) fn queue(&mut self, message: Box<dyn Message<A>>, around: &mut Surroundings<'_, A>) -> Next {
        let desk = &mut *around.desk;
        self.last_used = desk.tenth;
        self.used = true;
        if message.is_alarm() {
            self.change_times(|times| times.armed = MaybeTime::NONE);
        }
        if matches!(self.phase, Phase::Absent)
            && !desk.ward.is_empty()
            && let Some(known) = desk.ward.get(&self.persistence_id())
        {
            // It has left memory meanwhile.
            self.enter_quarantine(known, desk);
        }
        let next = match &self.phase {
            Phase::Absent | Phase::Live(_) if message.is_retry() => {
                desk.lanes.leave(self.lane, 1);
                message.needless();
                return Next::Nothing;
            }
            Phase::Absent => {
                self.phase = if message.is_end() { Phase::Opening(None) } else { Phase::Loading(None) };
                Next::Load
            }
            Phase::Ended(seq_nr) => {
                let seq_nr = *seq_nr;
                desk.lanes.leave(self.lane, 1);
                message.ended(self.persistence_id(), seq_nr);
                return Next::Nothing;
            }
            // It can end whatever it holds.
            Phase::Quarantined(_) if message.is_end() => {
                self.phase = Phase::Opening(self.leave_quarantine(desk));
                Next::Load
            }
            Phase::Quarantined(quarantined) if !message.is_retry() && desk.leaves_alone(quarantined) => {
                desk.lanes.leave(self.lane, 1);
                message.fail(Failure::Quarantined(quarantined.clone()));
                return Next::Nothing;
            }
            Phase::Quarantined(_) => {
                self.phase = Phase::Loading(self.leave_quarantine(desk));
                Next::Load
            }
            Phase::Loading(_) | Phase::Opening(_) | Phase::Live(_) | Phase::Headless(_) | Phase::Draining => {
                Next::Nothing
            }
        };
        self.work(around).queue.push_back(message);
        self.make_ready(around);
        next
    }

    /// Asks for a turn, if there is anything to do in it.
    fn make_ready(&mut self, around: &mut Surroundings<'_, A>) {
        let (Phase::Live(_) | Phase::Headless(_), Some(work)) = (&self.phase, &mut self.work) else { return };
        let Surroundings { key, desk, .. } = around;
        if !work.ready && !work.queue.is_empty() && work.may_go_on(desk.settings.run_ahead_max) {
            work.ready = true;
            desk.ready.push_back(*key);
        }
    }

    /// Drops the data, which isn't to be trusted any more.
    fn leave_memory(&mut self) {
        self.ended = false;
        drop_contained("an entity's data", mem::replace(&mut self.phase, Phase::Draining));
    }

    fn effect_job(&self, effects: Vec<Effect<A>>, around: &Surroundings<'_, A>) -> EffectJob {
        let this = EntityRef::new(self.id.clone(), self.id.hash64(), around.port.clone());
        let fx = Effects::new(around.services.clone(), this, Some(around.registry.clone()));
        let id = self.persistence_id();
        Box::new(move |throttle| {
            fx.run(effects, |panic| {
                if let Some(unsaid) = throttle.may_speak() {
                    log::error!(%id, panic, unsaid, "an effect panicked; what it was to do is lost");
                }
            })
        })
    }

    /// Sees to it that what has piled up is handed over, and that the entity has its next turn.
    fn after(&mut self, around: &mut Surroundings<'_, A>) -> Next {
        let (key, desk) = (around.key, &mut *around.desk);
        let mut next = Next::Nothing;
        if let Some(mut work) = self.work.take() {
            if !work.pending.is_empty() && !work.dirty {
                work.dirty = true;
                desk.dirty.push_back(key);
            }
            let settled = work.pending.is_empty() && work.in_flight.is_empty();
            if settled && matches!(self.phase, Phase::Draining) {
                assert!(work.held.is_empty(), "all that was held is answered when nothing is in flight");
                // It is loaded into the state before, whose time was held off.
                if self.is_transient() {
                    self.arm_exactly(desk);
                }
                desk.close_stream(self.stream);
                next = self.leave_draining(&mut work, desk);
            } else if settled && self.ended {
                assert!(work.held.is_empty(), "all that was held is answered when all is durable");
                desk.close_stream(self.stream);
                desk.schedule.handled(self.stream);
                self.enter_ended(self.issued, mem::take(&mut work.queue), desk);
            } else if settled && matches!(self.phase, Phase::Headless(_)) {
                next = self.leave_headless(&mut work, desk);
            }
            self.work = Some(work);
        }
        self.make_ready(around);
        self.rest(around);
        next
    }

    /// One step's effects that waited have found room.
    pub(crate) fn effect_left(&mut self, around: &mut Surroundings<'_, A>) {
        if let Some(work) = &mut self.work {
            work.effects_waiting -= 1;
            around.desk.effects.left(work.effects_waiting == 0);
        }
        self.make_ready(around);
        self.rest(around);
    }

    /// One of its repeats was answered.
    pub(crate) fn repeat_answered(&mut self, around: &mut Surroundings<'_, A>) {
        if let Some(work) = &mut self.work {
            work.end_repeat(around.desk);
        }
        self.make_ready(around);
        self.rest(around);
    }

    /// There is room for its next repeat; says whether it has a turn.
    pub(crate) fn feed(&mut self, around: &mut Surroundings<'_, A>) -> bool {
        if let Some(work) = &mut self.work {
            work.starved = false;
        }
        self.make_ready(around);
        if let Some(work) = &mut self.work {
            work.fed = work.ready;
        }
        self.rest(around);
        self.work.as_ref().is_some_and(|work| work.fed)
    }
}
