//! A turn of an entity: messages are handled in order, and what they store is added to the run that grows.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::{Entity, Next, Phase, Surroundings};
use crate::aggregate::{Aggregate, Context};
use crate::alarm::Alarm;
use crate::call::{CallError, Failure, Never, NotStored};
use crate::clock::MaybeTime;
use crate::execute::{Verdict, execute};
use crate::id::PersistenceId;
use crate::journal::as_stored;
use crate::key::Keys;
use crate::log;
use crate::snapshot::SnapshotError;
use crate::snapshot::request::Asked;
use crate::snapshot::taken::Moment;
use crate::system::desk::Desk;
use crate::system::pace::Pace;
use crate::system::quarantine::Broken;
use crate::system::rung::Noticed;
use crate::system::stats::Counters;
use crate::system::work::{Answer, Failed, Held, Known, Repeated, Work};

/// How many messages an entity handles in one turn.
pub(crate) const TURN_MAX: usize = 64;
/// How long it goes on handling them: it ends with the message during which this is over.
const TURN_TIME_MAX: Duration = Duration::from_millis(1);
/// A turn that takes longer holds up the whole shard, and is reported.
const SLOW_TURN: Duration = Duration::from_millis(10);

impl<A: Aggregate> Entity<A> {
    /// Handles some messages.
    pub(crate) fn take_turn(&mut self, around: &mut Surroundings<'_, A>) -> Next {
        let Some(mut work) = self.work.take() else { return Next::Nothing };
        work.ready = false;
        let broken = self.handle_some(&mut work, around.desk, around.name);
        around.desk.fed -= usize::from(mem::take(&mut work.fed));
        if work.starved {
            around.desk.starved.push_back(around.key);
        }
        self.release(&mut work, around);
        self.work = Some(work);
        if broken {
            self.leave_memory();
        }
        self.after(around)
    }

    /// Handles messages in order, and says whether the data broke.
    pub(super) fn handle_some(&mut self, work: &mut Work<A>, desk: &mut Desk, name: &Arc<str>) -> bool {
        let headless = match self.phase {
            Phase::Live(_) => false,
            Phase::Headless(_) => true,
            _ => return false,
        };
        let mut pace = Pace::new(TURN_TIME_MAX);
        let now = match desk.clock.ask() {
            Ok(now) => as_stored(now).max(self.time()),
            Err(_) if self.ended => self.time(),
            Err(panic) => {
                self.refuse_some(work, desk, &panic);
                return false;
            }
        };
        let now_kept = MaybeTime::from(now);
        let mut cx = Context::new(self.id.clone());
        let refused = desk.refuses();
        desk.draft.refuse(refused.clone());
        let (mut handled, mut broken, mut panicked, mut noticed) = (0, false, false, false);
        // A panic ends the turn: it takes long to print, and each of the others has its turn before the next one.
        while !broken && !panicked {
            // Behind a time that was over comes the message for which that was noticed, in the same turn: it takes no place of
            // its own, and until another turn the next state's time may be over, too, again and again.
            let is_promised = mem::take(&mut noticed);
            let may_go_on = handled < TURN_MAX && !pace.is_over(handled) && work.may_go_on(desk.settings.run_ahead_max);
            if !is_promised && !may_go_on {
                break;
            }
            let Some(next) = work.queue.front() else { break };
            if headless && !self.ended && !next.is_end() {
                break;
            }
            // Nobody sees a state whose time is over; but one that lasts no time at all doesn't keep others waiting.
            let failed = self.extra.as_ref().and_then(|extra| extra.deadline_failed);
            let has_failed = failed == Some(self.visit);
            let may_notice = !self.ended && !has_failed && !next.is_end();
            let overdue = may_notice && self.is_over(now_kept);
            noticed = overdue && refused.is_none() && !is_promised && !next.is_alarm();
            let mut message = if noticed {
                Box::new(Alarm::new(self.id.clone(), Noticed))
            } else {
                let Some(message) = work.queue.pop_front() else { break };
                handled += 1;
                message
            };
            if self.ended {
                work.held.push_back(Held { tag: self.issued, answer: Answer::Ended(message) });
                continue;
            }
            if message.is_end() {
                let answer = if message.may_end(self.issued) {
                    desk.draft.end(now);
                    self.write(work, desk, name);
                    (self.time, self.ended) = (now_kept, true);
                    self.end_time();
                    Answer::Stored(Known::ByMessage(message))
                } else {
                    Answer::Tells(Known::ByMessage(message))
                };
                work.held.push_back(Held { tag: self.issued, answer });
                continue;
            }
            let seen = message.key().and_then(|key| Some((key, self.extra.as_ref()?.keys.seen(key)?)));
            if let Some((key, seq_nr)) = seen {
                if !work.may_repeat(desk) {
                    work.queue.push_front(message);
                    handled -= 1;
                    work.starved = true;
                    break;
                }
                work.begin_repeat(desk);
                let repeated = Box::new(Repeated { message, key, seq_nr });
                work.held.push_back(Held { tag: self.issued, answer: Answer::Repeats(repeated) });
                continue;
            }
            // Its time can't be over before there is space to say so.
            if let Some(why) = refused.as_ref().filter(|_| overdue && !message.is_alarm()) {
                let why = NotStored::Journal(why.clone());
                let why = Failure::NotStored { id: self.persistence_id(), why };
                work.held
                    .push_back(Held { tag: self.issued, answer: Answer::Fails(Box::new(Failed { message, why })) });
                continue;
            }
            cx.move_to(now, self.issued, self.standing());
            let Phase::Live(data) = &mut self.phase else { break };
            let verdict = execute(&mut *message, data, &cx, &mut desk.draft, |_| {});
            let answer = match verdict {
                Verdict::Answered => {
                    self.take_snapshot(work, desk, false, message.asked());
                    Answer::Tells(Known::of(message))
                }
                Verdict::Changed(standing) => {
                    self.write(work, desk, name);
                    self.time = now_kept;
                    self.stand(standing);
                    if let Some(key) = desk.draft.key() {
                        let issued = self.issued;
                        self.extra().keys.insert(key, issued, desk.settings.keys_max);
                    }
                    self.take_snapshot(work, desk, true, message.asked());
                    Answer::Stored(Known::of(message))
                }
                Verdict::Failed(why) => {
                    self.note_failure(noticed);
                    panicked = tell_panic(&why, desk);
                    Answer::Fails(Box::new(Failed { message, why }))
                }
                Verdict::Broken(why) => {
                    self.note_failure(noticed);
                    broken = true;
                    tell_panic(&why, desk);
                    let panic = match &why {
                        Failure::Panicked { message, .. } => message.clone(),
                        failure => CallError::<Never>::from(failure.clone()).to_string().into(),
                    };
                    let seq_nr = self.issued.next();
                    self.broke(Broken { command: message.command(), seq_nr, panic }, desk);
                    Answer::Fails(Box::new(Failed { message, why }))
                }
            };
            work.held.push_back(Held { tag: self.issued, answer });
        }
        desk.lanes.leave(self.lane, handled);
        Counters::add(&desk.counters.commands, u64::try_from(handled).unwrap_or(u64::MAX));
        let took = pace.elapsed();
        if took > SLOW_TURN
            && let Some(unsaid) = desk.log.slow.may_speak()
        {
            let id = self.persistence_id();
            log::warn!(%id, handled, unsaid, took_ms = took.as_millis(), "slow handlers hold up their shard");
        }
        broken
    }

    /// Remembers in which visit the time was over in vain.
    fn note_failure(&mut self, noticed: bool) {
        if noticed {
            self.extra().deadline_failed = Some(self.visit);
        }
    }

    /// Refuses some messages, since nobody knows what time it is.
    fn refuse_some(&mut self, work: &mut Work<A>, desk: &mut Desk, panic: &Arc<str>) {
        let mut refused = 0;
        while refused < TURN_MAX
            && work.may_go_on(desk.settings.run_ahead_max)
            && let Some(message) = work.queue.pop_front()
        {
            refused += 1;
            let (id, command) = (self.persistence_id(), message.command());
            let why = Failure::Panicked { id, command, message: panic.clone() };
            Counters::add(&desk.counters.panics, 1);
            work.held.push_back(Held { tag: self.issued, answer: Answer::Fails(Box::new(Failed { message, why })) });
        }
        desk.lanes.leave(self.lane, refused);
        Counters::add(&desk.counters.commands, u64::try_from(refused).unwrap_or(u64::MAX));
    }

    /// Takes a snapshot after a step, if one is due or asked for.
    pub(super) fn take_snapshot(
        &mut self,
        work: &mut Work<A>,
        desk: &mut Desk,
        changed: bool,
        asked: Option<&mut Asked>,
    ) {
        let Phase::Live(data) = &self.phase else { return };
        if A::SNAPSHOTS.is_none() {
            if let Some(asked) = asked {
                asked.refused = Some(SnapshotError::NotDeclared);
            }
            return;
        }
        let wanted = desk.draft.snapshot();
        let every = A::SNAPSHOTS.and_then(|snapshots| snapshots.every).filter(|_| desk.shelf.has_store());
        let is_due = every.is_some_and(|every| self.issued.0 - self.snapshot.0 >= every.max(1));
        // One that is due waits for the next state that is recovered to.
        let policy = changed && is_due && !self.is_transient();
        if !wanted && !policy {
            return;
        }
        let none = Keys::none();
        let (keys, unheard) = self.extra.as_ref().map_or((&none, None), |extra| (&extra.keys, extra.unheard));
        let moment = Moment {
            seq_nr: self.issued,
            time: self.time(),
            standing: self.standing(),
            unheard: unheard.filter(|(visit, _)| *visit == self.visit).map(|(_, due)| due),
            keys,
        };
        let id = PersistenceId::new(A::NAME, &self.id);
        let taken = desk.shelf.take(id, data, moment);
        // One that failed isn't tried again at each step.
        if !matches!(taken, Err(SnapshotError::Transient { .. })) {
            self.snapshot = self.issued;
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
                    if let Some(unsaid) = desk.log.snapshot.may_speak() {
                        let id = PersistenceId::new(A::NAME, &self.id);
                        log::warn!(%id, seq_nr = %self.issued, %error, unsaid, "no snapshot was taken");
                    }
                }
                if let Some(asked) = asked {
                    asked.refused = Some(error);
                }
            }
        }
    }

    /// Adds what the draft holds to the run that grows.
    pub(super) fn write(&mut self, work: &mut Work<A>, desk: &mut Desk, name: &Arc<str>) {
        let run = work.growing_run(desk, self.stream, (name, &self.id), self.issued);
        let before = run.bytes();
        run.push_write(&desk.draft.write(), desk.draft.due(), desk.draft.records::<A>());
        desk.bytes_unsettled += run.bytes() - before;
        self.issued = run.last();
    }
}

/// Counts a panic and tells of it; says whether it was one.
fn tell_panic(failure: &Failure, desk: &mut Desk) -> bool {
    let Failure::Panicked { id, command, message } = failure else { return false };
    Counters::add(&desk.counters.panics, 1);
    if let Some(unsaid) = desk.log.panic.may_speak() {
        log::warn!(%id, command, %message, unsaid, "panicked; nothing of it is stored");
    }
    true
}
