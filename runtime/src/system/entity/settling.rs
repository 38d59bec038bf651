//! What an entity has handed over, what became of it, and what may leave then.

use std::mem;
use std::sync::Arc;

use super::{Entity, Next, Phase, Surroundings};
use crate::aggregate::Aggregate;
use crate::call::{Failure, NotStored, Unknown};
use crate::clock::MaybeTime;
use crate::id::SeqNr;
use crate::journal::{Due, Outcome, Run, Why};
use crate::log;
use crate::system::desk::Desk;
use crate::system::repeat::repeat;
use crate::system::stats::Counters;
use crate::system::work::{Answer, Held, InFlight, Known, Work};

impl<A: Aggregate> Entity<A> {
    /// Lets the answers go that tell nothing but what is durable.
    pub(super) fn release(&mut self, work: &mut Work<A>, around: &mut Surroundings<'_, A>) {
        while work.held.front().is_some_and(|held| held.tag <= work.durable) {
            let Some(held) = work.held.pop_front() else { break };
            around.desk.answers += 1;
            match held.answer {
                Answer::Tells(Known::Laid(laid)) | Answer::Stored(Known::Laid(laid)) => laid.release(),
                Answer::Fails(failed) => failed.message.fail(failed.why),
                Answer::Ended(message) => message.ended(self.persistence_id(), held.tag),
                Answer::Repeats(repeated) => {
                    around.desk.repeats.push_back((around.key, repeat(*repeated, self.stream)));
                }
                Answer::Tells(Known::ByMessage(message)) | Answer::Stored(Known::ByMessage(message)) => {
                    if message.is_alarm() {
                        if let Some(extra) = &mut self.extra {
                            extra.deadline_failed = None;
                        }
                        around.desk.schedule.handled(self.stream);
                        self.arm(around.desk);
                    }
                    let effects = message.release();
                    if !effects.is_empty() {
                        let job = self.effect_job(effects, around);
                        let waits = around.desk.effects.push(around.key, job, work.effects_waiting == 0);
                        work.effects_waiting += u32::from(waits);
                    }
                }
            }
        }
        while work.snapshots.front().is_some_and(|waiting| waiting.seq_nr() <= work.durable) {
            let Some(waiting) = work.snapshots.pop_front() else { break };
            waiting.hand_over();
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
            work.in_flight.push_back(InFlight::of(&sealed));
            desk.spare_runs.put(run);
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
        let run = work.in_flight.pop_front().expect("a run settles once, after it was handed over");
        let last = run.last;
        match outcome {
            Outcome::Stored(_) => {
                Counters::add(&around.desk.counters.events_stored, last.0 - work.durable.0);
                work.durable = last;
                match run.due {
                    Due::Unchanged => {}
                    Due::Cleared => self.change_times(|times| times.due = MaybeTime::NONE),
                    Due::At(due) => self.change_times(|times| times.due = due.into()),
                }
                self.arm(around.desk);
                self.release(&mut work, around);
            }
            Outcome::NotStored(why) => {
                around.desk.storage_low |= matches!(why, Why::StorageLow { .. });
                // A run behind one that failed can't be stored, and that says more than the conflict it met.
                let follows = matches!(self.phase, Phase::Draining) && matches!(why, Why::Conflict { .. });
                let why = if follows { NotStored::EarlierWriteFailed } else { why.into() };
                if let Some(unsaid) = around.desk.log.write.may_speak() {
                    let id = self.persistence_id();
                    log::warn!(%id, %why, unsaid, "a write was not stored; the entity is loaded again");
                }
                let id = self.persistence_id();
                self.lose(&mut work, last, &Failure::NotStored { id, why }, around);
            }
            Outcome::Unknown(cause) => {
                let id = self.persistence_id();
                if let Some(unsaid) = around.desk.log.write.may_speak() {
                    log::error!(%id, %cause, unsaid, "a write may be stored or not; the entity is loaded again");
                }
                // A journal that goes on may have stored it, and nobody else may ask for the entity.
                if let Due::At(due) = run.due {
                    let due = self.times().due.get().map_or(due, |before| before.min(due)).into();
                    self.change_times(|times| times.due = due);
                    self.arm_for(due, around.desk);
                }
                let run = Arc::new(run.key(id.clone(), &around.desk.facts));
                self.lose(&mut work, last, &Failure::Unknown { id, why: Unknown::Journal { cause, run } }, around);
            }
        }
        self.work = Some(work);
        self.after(around)
    }

    /// Answers everybody who was promised what the failed run up to `last` held, or what was to follow it.
    pub(super) fn lose(
        &mut self,
        work: &mut Work<A>,
        last: SeqNr,
        failure: &Failure,
        around: &mut Surroundings<'_, A>,
    ) {
        let (of, desk) = (around.key, &mut *around.desk);
        self.leave_memory();
        for run in work.pending.drain(..) {
            desk.bytes_unsettled -= run.bytes();
        }
        let lost = Failure::NotStored { id: self.persistence_id(), why: NotStored::EarlierWriteFailed };
        // What is in flight behind this run is answered when it settles.
        let still_in_flight = work.in_flight.back().map_or(last, |run| run.last);
        for held in mem::take(&mut work.held) {
            match held.answer {
                // What a repeat is told depends on where its first is.
                Answer::Repeats(repeated) if repeated.seq_nr <= work.durable => {
                    desk.repeats.push_back((of, repeat(*repeated, self.stream)));
                }
                Answer::Repeats(repeated) if repeated.seq_nr <= last => {
                    work.end_repeat(desk);
                    repeated.message.fail(failure.clone());
                }
                Answer::Repeats(repeated) if repeated.seq_nr <= still_in_flight => {
                    work.held.push_back(Held { tag: repeated.seq_nr, answer: Answer::Repeats(repeated) });
                }
                answer if held.tag > last && held.tag <= still_in_flight => {
                    work.held.push_back(Held { tag: held.tag, answer });
                }
                Answer::Stored(known) if held.tag <= last => known.fail(failure.clone()),
                // Who wanted it to end as well learns whether it has.
                Answer::Ended(message) if held.tag <= last && message.is_end() => message.fail(failure.clone()),
                Answer::Repeats(repeated) => {
                    work.end_repeat(desk);
                    repeated.message.fail(lost.clone());
                }
                answer @ (Answer::Stored(_) | Answer::Tells(_) | Answer::Fails(_) | Answer::Ended(_)) => {
                    answer.fail(lost.clone());
                }
            }
        }
        work.snapshots.drain(..).for_each(|waiting| waiting.fail(lost.clone()));
        desk.lanes.leave(self.lane, work.queue.len());
        for message in work.queue.drain(..) {
            message.fail(lost.clone());
        }
    }

    /// Answers every waiting caller, because the shard ends.
    pub(crate) fn give_up(&mut self, desk: &mut Desk) {
        let Some(mut work) = self.work.take() else { return };
        desk.busy -= 1;
        work.give_up_repeats(desk);
        let submitted = work.in_flight.back().map_or(work.durable, |run| run.last);
        for held in work.held {
            let is_submitted = held.tag <= submitted;
            let may_be_stored = match &held.answer {
                Answer::Stored(_) => is_submitted,
                Answer::Repeats(repeated) => repeated.seq_nr <= submitted,
                Answer::Ended(message) => is_submitted && message.is_end(),
                Answer::Tells(_) | Answer::Fails(_) => false,
            };
            let id = self.persistence_id();
            held.answer.fail(if may_be_stored {
                Failure::Unknown { id, why: Unknown::Dropped }
            } else {
                Failure::Stopped { id }
            });
        }
        for message in work.queue {
            message.fail(Failure::Stopped { id: self.persistence_id() });
        }
    }
}
