//! An entity on its way into memory, or why it can't be there.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use super::{Entity, Next, Phase, Surroundings};
use crate::aggregate::Aggregate;
use crate::call::Failure;
use crate::contain::drop_contained;
use crate::execute::{Unrecoverable, Unusable};
use crate::id::SeqNr;
use crate::key::Keys;
use crate::log;
use crate::message::Message;
use crate::state::Standing;
use crate::system::desk::Desk;
use crate::system::end::Head;
use crate::system::quarantine::{Broken, Budget, Quarantined};
use crate::system::recovery::Found;
use crate::system::stats::Counters;
use crate::system::work::Work;

impl<A: Aggregate> Entity<A> {
    /// Drops what was known of its data beside them, but for what has happened to it in memory.
    fn forget_extra(&mut self) {
        self.extra.take_if(|extra| {
            (extra.keys, extra.unheard) = (Keys::default(), None);
            extra.deadline_failed.is_none() && extra.budget.is_none()
        });
    }

    /// Drops what is in memory: the stream has ended with this record.
    pub(super) fn enter_ended(&mut self, seq_nr: SeqNr, waiting: VecDeque<Box<dyn Message<A>>>, desk: &Desk) {
        drop_contained("an entity's data", mem::replace(&mut self.phase, Phase::Ended(seq_nr)));
        if !desk.ward.is_empty() {
            desk.ward.leave(&self.persistence_id());
        }
        self.forget_extra();
        desk.lanes.leave(self.lane, waiting.len());
        for message in waiting {
            message.ended(self.persistence_id(), seq_nr);
        }
    }

    /// The stream was not to end after all: goes on with what comes next, if that isn't the wish to end it.
    pub(super) fn leave_headless(&mut self, work: &mut Work<A>, desk: &Desk) -> Next {
        if work.queue.front().is_some_and(|message| message.is_end()) {
            return Next::Nothing;
        }
        let Phase::Headless(quarantine) = mem::replace(&mut self.phase, Phase::Absent) else { return Next::Nothing };
        match quarantine {
            // As where it is asked for in quarantine.
            Some(quarantine) if wants_attempt(work, || !desk.leaves_alone(&quarantine)) => {
                self.phase = Phase::Loading(Some(quarantine));
            }
            Some(quarantine) => {
                self.fail_queued(&quarantine, work, desk);
                if !work.queue.is_empty() {
                    self.phase = Phase::Headless(Some(quarantine));
                    return Next::Nothing;
                }
                self.enter_quarantine(quarantine, desk);
            }
            None if work.queue.is_empty() => {}
            None => self.phase = Phase::Loading(None),
        }
        desk.close_stream(self.stream);
        if work.queue.is_empty() { Next::Nothing } else { Next::Load }
    }

    /// Tells those who wait that the data can't be loaded, up to one who wants the stream to end.
    pub(super) fn fail_queued(&self, quarantined: &Arc<Quarantined>, work: &mut Work<A>, desk: &Desk) {
        let waiting = work.queue.iter().position(|message| message.is_end()).unwrap_or(work.queue.len());
        desk.lanes.leave(self.lane, waiting);
        for message in work.queue.drain(..waiting) {
            message.fail(Failure::Quarantined(quarantined.clone()));
        }
    }

    /// Takes in the loaded data, or why there is none.
    pub(crate) fn install(&mut self, found: Result<Found<A>, Unrecoverable>, around: &mut Surroundings<'_, A>) -> Next {
        let Phase::Loading(before) = &mut self.phase else {
            drop_contained("an entity's data", found);
            return Next::Nothing;
        };
        let before = before.take();
        let desk = &mut *around.desk;
        let mut next = Next::Nothing;
        match found {
            Ok(found) => {
                Counters::add(&desk.counters.recoveries, 1);
                Counters::add(&desk.counters.events_replayed, found.replayed.last.0 - found.snapshot.0);
                self.stream = found.stream;
                self.issued = found.replayed.last;
                self.note_durable();
                self.time = found.replayed.time.into();
                self.stand_loaded(found.replayed.standing);
                // What was lost gives its numbers back.
                let visit = self.visit;
                if let Some(extra) = &mut self.extra {
                    extra.deadline_failed = extra.deadline_failed.filter(|failed| *failed == visit);
                }
                if before.is_some() {
                    desk.ward.leave(&self.persistence_id());
                    // Its deadlines have waited long enough.
                    desk.schedule.handled(self.stream);
                }
                self.snapshot = found.snapshot;
                self.forget_extra();
                if let Some(due) = found.replayed.unheard {
                    self.extra().unheard = Some((visit, due));
                }
                if found.replayed.keys != Keys::default() {
                    self.extra().keys = found.replayed.keys;
                }
                // An alarm that waits looks at it in any case.
                let rung = self.work.as_ref().is_some_and(|work| work.queue.iter().any(|message| message.is_alarm()));
                if !rung {
                    self.arm(desk);
                }
                self.phase = Phase::Live(found.replayed.data);
            }
            Err(Unrecoverable { seq_nr, why: Unusable::Ended, .. }) => {
                let waiting = self.work.as_mut().map_or_else(VecDeque::new, |work| mem::take(&mut work.queue));
                self.enter_ended(seq_nr, waiting, desk);
            }
            Err(unusable) => {
                let quarantine = self.quarantine(&unusable, before.as_deref(), desk);
                let mut work = self.work.take();
                if let Some(work) = &mut work {
                    self.fail_queued(&quarantine, work, desk);
                }
                let ends = work.as_ref().is_some_and(|work| !work.queue.is_empty());
                self.work = work;
                if ends {
                    self.phase = Phase::Opening(Some(quarantine));
                    next = Next::Load;
                } else {
                    self.enter_quarantine(quarantine, desk);
                }
            }
        }
        self.make_ready(around);
        self.rest(around);
        next
    }

    /// What was just loaded is durable.
    fn note_durable(&mut self) {
        if let Some(work) = &mut self.work {
            work.durable = self.issued;
        }
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
                (self.stream, self.issued, self.time) = (stream, last, time.into());
                self.note_durable();
                self.stand_loaded(Standing::initial::<A>());
                self.forget_extra();
                self.phase = Phase::Headless(quarantine);
            }
            Err(Unrecoverable { seq_nr, why: Unusable::Ended, .. }) => {
                let waiting = self.work.as_mut().map_or_else(VecDeque::new, |work| mem::take(&mut work.queue));
                self.enter_ended(seq_nr, waiting, around.desk);
            }
            Err(unusable) => {
                let quarantine = self.quarantine(&unusable, quarantine.as_deref(), around.desk);
                // A stream that can't be opened can't end.
                if let Some(work) = &mut self.work {
                    around.desk.lanes.leave(self.lane, work.queue.len());
                    for message in mem::take(&mut work.queue) {
                        message.fail(Failure::Quarantined(quarantine.clone()));
                    }
                }
                self.enter_quarantine(quarantine, around.desk);
            }
        }
        self.make_ready(around);
        self.rest(around);
        Next::Nothing
    }

    /// Says of an attempt that it failed.
    pub(super) fn quarantine(
        &self,
        unusable: &Unrecoverable,
        before: Option<&Quarantined>,
        desk: &mut Desk,
    ) -> Arc<Quarantined> {
        let around = (desk.settings.backoff, self.id.hash64(), desk.clock.now());
        Self::report(Quarantined::new(self.persistence_id(), unusable, before, around), desk)
    }

    /// Tells of a quarantine, and keeps the reason once, where many have the same.
    fn report(mut quarantined: Quarantined, desk: &mut Desk) -> Arc<Quarantined> {
        if *quarantined.reason == *desk.last_reason {
            quarantined.reason = desk.last_reason.clone();
        }
        desk.last_reason = quarantined.reason.clone();
        let Quarantined { id, trouble, seq_nr, reason, failures, retry_at, .. } = &quarantined;
        if let Some(unsaid) = desk.log.quarantine.may_speak() {
            log::warn!(%id, ?trouble, %seq_nr, %reason, failures, %retry_at, unsaid, "quarantined");
        }
        Counters::add(&desk.counters.quarantines, 1);
        let quarantined = Arc::new(quarantined);
        desk.ward.enter(quarantined.clone());
        quarantined
    }

    pub(super) fn enter_quarantine(&mut self, quarantined: Arc<Quarantined>, desk: &Desk) {
        Counters::add(&desk.counters.quarantined, 1);
        self.phase = Phase::Quarantined(quarantined);
    }

    /// Leaves quarantine for another attempt.
    pub(super) fn leave_quarantine(&mut self, desk: &Desk) -> Option<Arc<Quarantined>> {
        match mem::replace(&mut self.phase, Phase::Absent) {
            Phase::Quarantined(quarantined) => {
                Counters::subtract(&desk.counters.quarantined, 1);
                Some(quarantined)
            }
            phase => {
                self.phase = phase;
                None
            }
        }
    }

    /// A command broke the data.
    pub(super) fn broke(&mut self, broken: Broken, desk: &Desk) {
        let (max, each, now) = (desk.settings.fold_panics_max, desk.settings.backoff.first, desk.clock.now());
        let budget = self.extra().budget.get_or_insert_with(|| Budget::new(max, now));
        budget.spend(broken, max, each, now);
    }

    /// All that was in flight has settled, and the data is gone: it is loaded again, if anybody waits for it, and unless it
    /// was broken too often.
    pub(super) fn leave_draining(&mut self, work: &mut Work<A>, desk: &mut Desk) -> Next {
        let around = (desk.settings.backoff, self.id.hash64(), desk.clock.now());
        let id = self.persistence_id();
        let budget = self.extra.as_mut().and_then(|extra| extra.budget.as_mut());
        if let Some(quarantined) = budget.and_then(|budget| budget.take_quarantine(id, around)) {
            let quarantined = Self::report(quarantined, desk);
            self.fail_queued(&quarantined, work, desk);
            if work.queue.is_empty() {
                self.enter_quarantine(quarantined, desk);
                return Next::Nothing;
            }
            self.phase = Phase::Opening(Some(quarantined));
            return Next::Load;
        }
        if work.queue.is_empty() {
            self.phase = Phase::Absent;
            return Next::Nothing;
        }
        self.phase = Phase::Loading(None);
        Next::Load
    }
}

/// Whether those who wait are worth another attempt to load it: whoever asks for one, before it is to end, and anybody
/// once its pause is over.
fn wants_attempt<A: Aggregate>(work: &Work<A>, is_over: impl FnOnce() -> bool) -> bool {
    let mut waiting = work.queue.iter().take_while(|message| !message.is_end());
    waiting.any(|message| message.is_retry()) || (!work.queue.is_empty() && is_over())
}
