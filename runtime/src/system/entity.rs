//! One entity in memory: what it waits for, what it has promised, and what it holds back.
//!
//! INVARIANT: what was computed from the data leaves only when everything that the data included is durable. `issued`
//! is the last record that the data includes, `durable` the last that the journal has; every answer is held with the
//! `issued` of its moment as its tag, and leaves when `durable` has reached it.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::aggregate::{Aggregate, Context};
use crate::alarm::Alarm;
use crate::call::{Failure, NotStored, Unknown};
use crate::contain::drop_contained;
use crate::effects::Effects;
use crate::entity_ref::EntityRef;
use crate::execute::{Unrecoverable, Unusable, Verdict, execute};
use crate::id::{EntityId, PersistenceId, SeqNr, StreamNo};
use crate::journal::{Due, Outcome, Run, Why, as_stored};
use crate::key::Keys;
use crate::message::Message;
use crate::snapshot::SnapshotError;
use crate::snapshot::request::Asked;
use crate::snapshot::taken::Moment;
use crate::state::{Standing, is_transient};
use crate::step::Effect;
use crate::system::effects::EffectJob;
use crate::system::end::Head;
use crate::system::mailbox::ShardPort;
use crate::system::quarantine::Quarantine;
use crate::system::recovery::Found;
use crate::system::registry::Registry;
use crate::system::repeat::repeat;
use crate::system::rung::Noticed;
use crate::system::shard::{Desk, Key};
use crate::system::slots::Keyed;
use crate::system::stats::Counters;
use crate::system::work::{Answer, Held, SpareWork, Work};

/// How many messages an entity handles in one turn.
const TURN_MAX: usize = 64;
/// A turn that takes longer holds up the whole shard, and is reported.
const SLOW_TURN: Duration = Duration::from_millis(10);
pub(crate) struct Entity<A: Aggregate> {
    id: EntityId,
    hash: u64,
    stream: StreamNo,
    issued: SeqNr,
    durable: SeqNr,
    /// The time of the record `issued`.
    time: Timestamp,
    /// Where it stands after the record `issued`.
    standing: Standing<A::State>,
    /// When its time there is over, as it is durable.
    due: Option<Timestamp>,
    /// When it will be woken, as far as it knows.
    armed: Option<Timestamp>,
    /// Whether the record `issued` ends its stream.
    ended: bool,
    /// Whether its deadline failed when it was noticed: commands don't wait until it no longer does.
    deadline_fails: bool,
    /// The keys of its commands, if any had one.
    keys: Option<Box<Keys>>,
    /// What snapshots of it have to know; only while it is in memory, and if snapshots are taken of it.
    snapshots: Option<Box<Snapshotting>>,
    phase: Phase<A>,
    /// When it was last used, in tenths of a second since the shard started.
    last_used: u32,
    /// Whether it was used since the last eviction looked at it.
    used: bool,
    work: Option<Box<Work<A>>>,
}

/// What has to be known to take snapshots.
struct Snapshotting {
    /// The last record of the snapshot that was taken, loaded or tried last; 0 if there was none.
    last: SeqNr,
    /// The visit whose deadline is stored, and has no handler any more: it waits for a version with one.
    unheard: Option<(SeqNr, Timestamp)>,
}

enum Phase<A> {
    /// Not in memory, and nobody has asked for it.
    Absent,
    /// On its way into memory.
    Loading {
        failures: u32,
    },
    /// Its stream is being opened without its data, since it is to end.
    Opening(Option<Box<Quarantine>>),
    Live(A),
    /// Its stream is open, and its data isn't loaded, or can't be: all that can happen is that it ends.
    Headless(Option<Box<Quarantine>>),
    /// The data is gone or wrong. It is loaded again when what is in flight has settled.
    Draining,
    Quarantined(Box<Quarantine>),
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

impl<A: Aggregate> Keyed for Entity<A> {
    type Key = EntityId;

    fn key(&self) -> &EntityId {
        &self.id
    }

    fn hash(&self) -> u64 {
        self.hash
    }
}

impl<A: Aggregate> Entity<A> {
    pub(crate) fn new(id: EntityId, hash: u64) -> Self {
        Self {
            id,
            hash,
            stream: StreamNo(0),
            issued: SeqNr::ZERO,
            durable: SeqNr::ZERO,
            time: Timestamp::MIN,
            standing: Standing::initial::<A>(),
            due: None,
            armed: None,
            ended: false,
            deadline_fails: false,
            keys: None,
            snapshots: None,
            phase: Phase::Absent,
            last_used: 0,
            used: true,
            work: None,
        }
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
            Phase::Quarantined(quarantine) => quarantine.retry_at <= desk.clock.now(),
            // What isn't recovered to would be lost.
            Phase::Live(_) => !self.is_transient(),
            Phase::Absent | Phase::Ended(_) => true,
            Phase::Loading { .. } | Phase::Opening(_) | Phase::Headless(_) | Phase::Draining => false,
        };
        resting && self.work.is_none()
    }

    /// Whether it stands where it isn't recovered to.
    fn is_transient(&self) -> bool {
        is_transient::<A>(self.standing.state)
    }

    /// Takes the mark that it was used since the last look.
    pub(crate) fn take_used(&mut self) -> bool {
        mem::take(&mut self.used)
    }

    fn work(&mut self, around: &mut Surroundings<'_, A>) -> &mut Work<A> {
        self.work.get_or_insert_with(|| {
            around.desk.busy += 1;
            around.spare.take()
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
            self.armed = None;
        }
        let next = match &self.phase {
            Phase::Absent => {
                self.phase = if message.is_end() { Phase::Opening(None) } else { Phase::Loading { failures: 0 } };
                Next::Load
            }
            Phase::Ended(seq_nr) => {
                let seq_nr = *seq_nr;
                desk.lanes.leave(self.hash, 1);
                message.ended(self.persistence_id(), seq_nr);
                return Next::Nothing;
            }
            // It can end whatever it holds.
            Phase::Quarantined(_) if message.is_end() => {
                if let Phase::Quarantined(quarantine) = mem::replace(&mut self.phase, Phase::Absent) {
                    self.phase = Phase::Opening(Some(quarantine));
                }
                Next::Load
            }
            Phase::Quarantined(quarantine) if desk.clock.now() < quarantine.retry_at => {
                desk.lanes.leave(self.hash, 1);
                message.fail(quarantine.failure(self.persistence_id()));
                return Next::Nothing;
            }
            Phase::Quarantined(quarantine) => {
                self.phase = Phase::Loading { failures: quarantine.failures };
                Next::Load
            }
            Phase::Loading { .. } | Phase::Opening(_) | Phase::Live(_) | Phase::Headless(_) | Phase::Draining => {
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

    /// Handles some messages.
    pub(crate) fn take_turn(&mut self, around: &mut Surroundings<'_, A>) -> Next {
        let Some(mut work) = self.work.take() else { return Next::Nothing };
        work.ready = false;
        let broken = self.handle_some(&mut work, around.desk, around.name);
        self.release(&mut work, around);
        self.work = Some(work);
        if broken {
            self.leave_memory();
        }
        self.after(around)
    }

    /// Handles messages in order, and says whether the data broke.
    fn handle_some(&mut self, work: &mut Work<A>, desk: &mut Desk, name: &Arc<str>) -> bool {
        let headless = match self.phase {
            Phase::Live(_) => false,
            Phase::Headless(_) => true,
            _ => return false,
        };
        let started = Instant::now();
        let now = as_stored(desk.clock.now()).max(self.time);
        let mut cx = Context::new(self.id.clone());
        let (mut handled, mut broken, mut has_noticed) = (0, false, false);
        while handled < TURN_MAX && !broken && work.may_go_on(desk.settings.run_ahead_max) {
            let Some(next) = work.queue.front() else { break };
            if headless && !self.ended && !next.is_end() {
                break;
            }
            // Nobody sees a state whose time is over; but one that lasts no time at all doesn't keep others waiting.
            let may_notice = !self.ended && !self.deadline_fails && !next.is_end();
            let overdue = may_notice && self.standing.due.is_some_and(|due| due <= now);
            let noticed = overdue && !has_noticed && !next.is_alarm();
            has_noticed |= noticed;
            let mut message = if noticed {
                Box::new(Alarm::new(self.id.clone(), Noticed))
            } else {
                let Some(message) = work.queue.pop_front() else { break };
                handled += 1;
                message
            };
            if self.ended {
                work.held.push_back(Held { tag: self.issued, message, answer: Answer::Ended });
                continue;
            }
            if message.is_end() {
                let answer = if message.may_end(self.issued) {
                    desk.draft.end(now);
                    self.write(work, desk, name);
                    (self.time, self.ended, self.standing.due) = (now, true, None);
                    Answer::Stored
                } else {
                    Answer::Tells
                };
                work.held.push_back(Held { tag: self.issued, message, answer });
                continue;
            }
            let seen = message.key().and_then(|key| Some((key, self.keys.as_ref()?.seen(key)?)));
            if let Some((key, seq_nr)) = seen {
                work.held.push_back(Held { tag: self.issued, message, answer: Answer::Repeats { key, seq_nr } });
                continue;
            }
            cx.move_to(now, self.issued, self.standing);
            let Phase::Live(data) = &mut self.phase else { break };
            let answer = match execute(&mut *message, data, &cx, &mut desk.draft, |_| {}) {
                Verdict::Answered => Answer::Tells,
                Verdict::Changed(standing) => {
                    self.write(work, desk, name);
                    self.time = now;
                    self.standing = standing;
                    if let Some(key) = desk.draft.key() {
                        self.keys.get_or_insert_default().insert(key, self.issued, desk.settings.keys_max);
                    }
                    Answer::Stored
                }
                Verdict::Failed(failure) => {
                    self.deadline_fails |= noticed;
                    Answer::Fails(Box::new(failure))
                }
                Verdict::Broken(failure) => {
                    self.deadline_fails |= noticed;
                    broken = true;
                    Answer::Fails(Box::new(failure))
                }
            };
            if matches!(answer, Answer::Tells | Answer::Stored) {
                self.take_snapshot(work, desk, matches!(answer, Answer::Stored), message.asked());
            }
            work.held.push_back(Held { tag: self.issued, message, answer });
        }
        desk.lanes.leave(self.hash, handled);
        Counters::add(&desk.counters.commands, u64::try_from(handled).unwrap_or(u64::MAX));
        let took = started.elapsed();
        if took > SLOW_TURN {
            let id = self.persistence_id();
            tracing::warn!(%id, handled, took_ms = took.as_millis(), "slow handlers hold up their shard");
        }
        broken
    }

    /// Takes a snapshot after a step, if one is due or asked for.
    fn take_snapshot(&mut self, work: &mut Work<A>, desk: &Desk, changed: bool, asked: Option<&mut Asked>) {
        let (Phase::Live(data), Some(snapshotting)) = (&self.phase, &mut self.snapshots) else { return };
        let wanted = desk.draft.snapshot();
        let every = A::SNAPSHOTS.and_then(|snapshots| snapshots.every).filter(|_| desk.shelf.has_store());
        let is_due = every.is_some_and(|every| self.issued.0 - snapshotting.last.0 >= every.max(1));
        // One that is due waits for the next state that is recovered to.
        let policy = changed && is_due && !is_transient::<A>(self.standing.state);
        if !wanted && !policy {
            return;
        }
        let none = Keys::none();
        let moment = Moment {
            seq_nr: self.issued,
            time: self.time,
            standing: self.standing,
            unheard: snapshotting.unheard.filter(|(visit, _)| *visit == self.standing.visit).map(|(_, due)| due),
            keys: self.keys.as_deref().unwrap_or(&none),
        };
        let id = PersistenceId::new(A::NAME, &self.id);
        let taken = desk.shelf.take(id, data, moment);
        // One that failed isn't tried again at each step.
        if !matches!(taken, Err(SnapshotError::Transient { .. })) {
            snapshotting.last = self.issued;
        }
        match taken {
            Ok(mut waiting) => {
                waiting.set_asker(asked.and_then(|asked| asked.asker.take()));
                work.snapshots.push_back(waiting);
            }
            Err(error) => {
                // Where nothing has happened, none is missing.
                if error != SnapshotError::Nothing {
                    Counters::add(&desk.counters.snapshots_skipped, 1);
                    let id = PersistenceId::new(A::NAME, &self.id);
                    tracing::warn!(%id, seq_nr = %self.issued, %error, "no snapshot was taken");
                }
                if let Some(asked) = asked {
                    asked.refused = Some(error);
                }
            }
        }
    }

    /// Adds what the draft holds to the run that grows.
    fn write(&mut self, work: &mut Work<A>, desk: &mut Desk, name: &Arc<str>) {
        let run = work.growing_run(desk, self.stream, (name, &self.id), self.issued);
        let before = run.bytes();
        run.push_write(&desk.draft.write(), desk.draft.due(), desk.draft.records::<A>());
        desk.bytes_unsettled += run.bytes() - before;
        self.issued = run.last();
    }

    /// Drops the data, which isn't to be trusted any more.
    fn leave_memory(&mut self) {
        self.ended = false;
        drop_contained("an entity's data", mem::replace(&mut self.phase, Phase::Draining));
    }

    /// Lets the answers go that tell nothing but what is durable.
    fn release(&mut self, work: &mut Work<A>, around: &mut Surroundings<'_, A>) {
        while work.held.front().is_some_and(|held| held.tag <= self.durable) {
            let Some(held) = work.held.pop_front() else { break };
            match held.answer {
                Answer::Fails(failure) => held.message.fail(*failure),
                Answer::Ended => held.message.ended(self.persistence_id(), held.tag),
                Answer::Repeats { key, seq_nr } => {
                    around.desk.repeats.push_back(repeat(held.message, key, self.stream, seq_nr));
                }
                Answer::Tells | Answer::Stored => {
                    if held.message.is_alarm() {
                        self.deadline_fails = false;
                        around.desk.schedule.handled(self.stream);
                        self.arm(around.desk);
                    }
                    let effects = held.message.release();
                    if !effects.is_empty() {
                        let job = self.effect_job(effects, around);
                        work.effects_waiting += u32::from(around.desk.effects.push(around.key, job));
                    }
                }
            }
        }
        while work.snapshots.front().is_some_and(|waiting| waiting.seq_nr() <= self.durable) {
            let Some(waiting) = work.snapshots.pop_front() else { break };
            waiting.hand_over();
        }
    }

    /// Sees to it that it is woken when its time is over, and not later: that of a transient state while it stands
    /// there, else the one that is durable.
    fn arm(&mut self, desk: &Desk) {
        let due = if self.is_transient() { self.standing.due } else { self.due };
        match (self.armed, due) {
            (None, None) => {}
            (Some(armed), Some(due)) if armed == due => {}
            // One that is over may have failed, and be rung again after a pause that is too long for this one.
            (Some(armed), Some(due)) if armed < due && desk.clock.now() < armed => {}
            (armed, due) => {
                if let Some(armed) = armed {
                    desk.schedule.disarm(armed, self.stream);
                }
                self.armed = due.map(|due| desk.schedule.arm(due, self.stream));
            }
        }
    }

    /// Arms exactly what is due, before it leaves memory: who loads it again doesn't know of an earlier time.
    pub(crate) fn arm_exactly(&mut self, desk: &Desk) {
        if self.armed != self.due {
            if let Some(armed) = self.armed.take() {
                desk.schedule.disarm(armed, self.stream);
            }
            self.arm(desk);
        }
    }

    fn effect_job(&self, effects: Vec<Effect<A>>, around: &Surroundings<'_, A>) -> EffectJob {
        let this = EntityRef::new(self.id.clone(), self.hash, around.port.clone());
        let fx = Effects::new(around.services.clone(), this, Some(around.registry.clone()));
        let id = self.persistence_id();
        Box::new(move || {
            fx.run(effects, |panic| {
                tracing::error!(%id, panic, "an effect panicked; what it was to do is lost");
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
                let forgotten = work.queue.is_empty();
                self.phase = if forgotten { Phase::Absent } else { Phase::Loading { failures: 0 } };
                next = if forgotten { Next::Nothing } else { Next::Load };
                desk.journal.close_stream(self.stream);
            } else if settled && self.ended {
                assert!(work.held.is_empty(), "all that was held is answered when all is durable");
                desk.journal.close_stream(self.stream);
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

    /// Drops what is in memory: the stream has ended with this record.
    fn enter_ended(&mut self, seq_nr: SeqNr, waiting: VecDeque<Box<dyn Message<A>>>, desk: &Desk) {
        drop_contained("an entity's data", mem::replace(&mut self.phase, Phase::Ended(seq_nr)));
        (self.keys, self.snapshots) = (None, None);
        desk.lanes.leave(self.hash, waiting.len());
        for message in waiting {
            message.ended(self.persistence_id(), seq_nr);
        }
    }

    /// The stream was not to end after all: goes on with what comes next, if that isn't the wish to end it.
    fn leave_headless(&mut self, work: &mut Work<A>, desk: &Desk) -> Next {
        if work.queue.front().is_some_and(|message| message.is_end()) {
            return Next::Nothing;
        }
        let Phase::Headless(quarantine) = mem::replace(&mut self.phase, Phase::Absent) else { return Next::Nothing };
        match quarantine {
            Some(quarantine) => {
                self.fail_queued(&quarantine, work, desk);
                if !work.queue.is_empty() {
                    self.phase = Phase::Headless(Some(quarantine));
                    return Next::Nothing;
                }
                self.phase = Phase::Quarantined(quarantine);
            }
            None if work.queue.is_empty() => {}
            None => self.phase = Phase::Loading { failures: 0 },
        }
        desk.journal.close_stream(self.stream);
        if work.queue.is_empty() { Next::Nothing } else { Next::Load }
    }

    /// Tells those who wait that the data can't be loaded, up to one who wants the stream to end.
    fn fail_queued(&self, quarantine: &Quarantine, work: &mut Work<A>, desk: &Desk) {
        let waiting = work.queue.iter().position(|message| message.is_end()).unwrap_or(work.queue.len());
        desk.lanes.leave(self.hash, waiting);
        for message in work.queue.drain(..waiting) {
            message.fail(quarantine.failure(self.persistence_id()));
        }
    }

    /// Seals the oldest pending run; `None` if it was given up since it was announced.
    pub(crate) fn seal(&mut self, around: &mut Surroundings<'_, A>) -> Option<Run> {
        let work = self.work.as_mut()?;
        let desk = &mut *around.desk;
        work.dirty = false;
        let sealed = work.pending.pop_front().map(|mut run| {
            desk.bytes_unsettled -= run.bytes();
            let sealed = run.seal(&desk.facts, desk.next_run());
            work.in_flight.push_back((run.last(), sealed.due));
            work.sealed = Some(run);
            sealed
        });
        if !work.pending.is_empty() {
            work.dirty = true;
            desk.dirty.push_back(around.key);
        }
        if let Some(run) = &sealed {
            desk.bytes_unsettled += run.bytes.len();
        }
        self.make_ready(around);
        self.rest(around);
        sealed
    }

    /// Takes in what became of the oldest run in flight.
    pub(crate) fn settle(&mut self, outcome: Outcome, around: &mut Surroundings<'_, A>) -> Next {
        let Some(mut work) = self.work.take() else { return Next::Nothing };
        let (last, due) = work.in_flight.pop_front().expect("a run settles once, after it was handed over");
        match outcome {
            Outcome::Stored(_) => {
                Counters::add(&around.desk.counters.events_stored, last.0 - self.durable.0);
                self.durable = last;
                match due {
                    Due::Unchanged => {}
                    Due::Cleared => self.due = None,
                    Due::At(due) => self.due = Some(due),
                }
                self.arm(around.desk);
                self.release(&mut work, around);
            }
            Outcome::NotStored(why) => {
                // A run behind one that failed can't be stored, and that says more than the conflict it met.
                let follows = matches!(self.phase, Phase::Draining) && matches!(why, Why::Conflict { .. });
                let why = if follows { NotStored::EarlierWriteFailed } else { why.into() };
                tracing::warn!(id = %self.persistence_id(), %why, "a write was not stored; the entity is loaded again");
                let id = self.persistence_id();
                self.lose(&mut work, last, &Failure::NotStored { id, why }, around.desk);
            }
            Outcome::Unknown(cause) => {
                let id = self.persistence_id();
                tracing::error!(%id, %cause, "a write may be stored or not; the entity is loaded again");
                self.lose(&mut work, last, &Failure::Unknown { id, why: cause.into() }, around.desk);
            }
        }
        self.work = Some(work);
        self.after(around)
    }

    /// Answers everybody who was promised what the failed run up to `last` held, or what was to follow it.
    fn lose(&mut self, work: &mut Work<A>, last: SeqNr, failure: &Failure, desk: &mut Desk) {
        self.leave_memory();
        for run in work.pending.drain(..) {
            desk.bytes_unsettled -= run.bytes();
        }
        let lost = Failure::NotStored { id: self.persistence_id(), why: NotStored::EarlierWriteFailed };
        // What is in flight behind this run is answered when it settles.
        let still_in_flight = work.in_flight.back().map_or(last, |(last, _)| *last);
        for held in mem::take(&mut work.held) {
            match held.answer {
                // What a repeat is told depends on where its first is.
                Answer::Repeats { key, seq_nr } if seq_nr <= self.durable => {
                    desk.repeats.push_back(repeat(held.message, key, self.stream, seq_nr));
                }
                Answer::Repeats { seq_nr, .. } if seq_nr <= last => held.message.fail(failure.clone()),
                Answer::Repeats { seq_nr, .. } if seq_nr <= still_in_flight => {
                    work.held.push_back(Held { tag: seq_nr, ..held });
                }
                _ if held.tag > last && held.tag <= still_in_flight => work.held.push_back(held),
                Answer::Stored if held.tag <= last => held.message.fail(failure.clone()),
                // Who wanted it to end as well learns whether it has.
                Answer::Ended if held.tag <= last && held.message.is_end() => held.message.fail(failure.clone()),
                Answer::Stored | Answer::Tells | Answer::Repeats { .. } | Answer::Fails(_) | Answer::Ended => {
                    held.message.fail(lost.clone());
                }
            }
        }
        work.snapshots.drain(..).for_each(|waiting| waiting.fail(lost.clone()));
        desk.lanes.leave(self.hash, work.queue.len());
        for message in work.queue.drain(..) {
            message.fail(lost.clone());
        }
    }

    /// Takes in the loaded data, or why there is none.
    pub(crate) fn install(&mut self, found: Result<Found<A>, Unrecoverable>, around: &mut Surroundings<'_, A>) -> Next {
        let Phase::Loading { failures } = self.phase else { return Next::Nothing };
        let desk = &mut *around.desk;
        let mut next = Next::Nothing;
        match found {
            Ok(found) => {
                Counters::add(&desk.counters.recoveries, 1);
                Counters::add(&desk.counters.events_replayed, found.replayed.last.0 - found.snapshot.0);
                self.stream = found.stream;
                self.issued = found.replayed.last;
                self.durable = found.replayed.last;
                self.time = found.replayed.time;
                self.standing = found.replayed.standing;
                self.due = self.standing.due;
                self.snapshots = A::SNAPSHOTS.map(|_| {
                    let unheard = found.replayed.unheard.map(|due| (self.standing.visit, due));
                    Box::new(Snapshotting { last: found.snapshot, unheard })
                });
                // An alarm that waits looks at it in any case.
                let rung = self.work.as_ref().is_some_and(|work| work.queue.iter().any(|message| message.is_alarm()));
                if !rung {
                    self.arm(desk);
                }
                self.keys = (found.replayed.keys != Keys::default()).then(|| Box::new(found.replayed.keys));
                self.phase = Phase::Live(found.replayed.data);
            }
            Err(Unrecoverable { seq_nr, why: Unusable::Ended }) => {
                let waiting = self.work.as_mut().map_or_else(VecDeque::new, |work| mem::take(&mut work.queue));
                self.enter_ended(seq_nr, waiting, desk);
            }
            Err(unusable) => {
                let quarantine = self.quarantine(&unusable, failures, desk);
                let mut work = self.work.take();
                if let Some(work) = &mut work {
                    self.fail_queued(&quarantine, work, desk);
                }
                let ends = work.as_ref().is_some_and(|work| !work.queue.is_empty());
                self.work = work;
                self.phase = if ends { Phase::Opening(Some(quarantine)) } else { Phase::Quarantined(quarantine) };
                next = if ends { Next::Load } else { Next::Nothing };
            }
        }
        self.make_ready(around);
        self.rest(around);
        next
    }

    /// Whether its stream is to be opened without its data.
    pub(crate) fn wants_head(&self) -> bool {
        matches!(self.phase, Phase::Opening(_))
    }

    /// Takes in where its stream stands, so that it can end, or why that can't be told.
    pub(crate) fn install_head(&mut self, head: Result<Head, Unrecoverable>, around: &mut Surroundings<'_, A>) -> Next {
        let Phase::Opening(quarantine) = &mut self.phase else { return Next::Nothing };
        let quarantine = quarantine.take();
        match head {
            Ok(Head { stream, last, time }) => {
                (self.stream, self.issued, self.durable, self.time) = (stream, last, last, time);
                (self.standing, self.due) = (Standing::initial::<A>(), None);
                (self.keys, self.snapshots) = (None, None);
                self.phase = Phase::Headless(quarantine);
            }
            Err(Unrecoverable { seq_nr, why: Unusable::Ended }) => {
                let waiting = self.work.as_mut().map_or_else(VecDeque::new, |work| mem::take(&mut work.queue));
                self.enter_ended(seq_nr, waiting, around.desk);
            }
            Err(unusable) => {
                let failures = quarantine.map_or(0, |quarantine| quarantine.failures);
                let quarantine = self.quarantine(&unusable, failures, around.desk);
                // A stream that can't be opened can't end.
                if let Some(work) = &mut self.work {
                    around.desk.lanes.leave(self.hash, work.queue.len());
                    for message in mem::take(&mut work.queue) {
                        message.fail(quarantine.failure(self.persistence_id()));
                    }
                }
                self.phase = Phase::Quarantined(quarantine);
            }
        }
        self.make_ready(around);
        self.rest(around);
        Next::Nothing
    }

    fn quarantine(&self, unusable: &Unrecoverable, failures: u32, desk: &Desk) -> Box<Quarantine> {
        let quarantine = Quarantine::new(unusable, failures, self.hash, desk.clock.now());
        let Quarantine { seq_nr, reason, retry_at, .. } = &quarantine;
        tracing::warn!(id = %self.persistence_id(), %seq_nr, %reason, failures, %retry_at, "quarantined");
        Counters::add(&desk.counters.quarantines, 1);
        Box::new(quarantine)
    }

    /// One step's effects that waited have found room.
    pub(crate) fn effect_left(&mut self, around: &mut Surroundings<'_, A>) {
        if let Some(work) = &mut self.work {
            work.effects_waiting -= 1;
        }
        self.make_ready(around);
        self.rest(around);
    }

    /// Answers every waiting caller, because the shard ends.
    pub(crate) fn give_up(&mut self, desk: &mut Desk) {
        let Some(work) = self.work.take() else { return };
        desk.busy -= 1;
        let submitted = work.in_flight.back().map_or(self.durable, |(last, _)| *last);
        for held in work.held {
            let (id, is_end) = (self.persistence_id(), held.message.is_end());
            held.message.fail(match held.answer {
                Answer::Stored if held.tag <= submitted => Failure::Unknown { id, why: Unknown::Dropped },
                Answer::Repeats { seq_nr, .. } if seq_nr <= submitted => Failure::Unknown { id, why: Unknown::Dropped },
                Answer::Ended if held.tag <= submitted && is_end => Failure::Unknown { id, why: Unknown::Dropped },
                Answer::Stored | Answer::Tells | Answer::Repeats { .. } | Answer::Fails(_) | Answer::Ended => {
                    Failure::Stopped { id }
                }
            });
        }
        for message in work.queue {
            message.fail(Failure::Stopped { id: self.persistence_id() });
        }
    }
}
