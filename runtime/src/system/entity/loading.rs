//! An entity on its way into memory, or why it can't be there.

use std::collections::VecDeque;
use std::mem;

use super::{Entity, Next, Phase, Snapshotting, Surroundings};
use crate::aggregate::Aggregate;
use crate::contain::drop_contained;
use crate::execute::{Unrecoverable, Unusable};
use crate::id::SeqNr;
use crate::key::Keys;
use crate::message::Message;
use crate::state::Standing;
use crate::system::end::Head;
use crate::system::quarantine::Quarantine;
use crate::system::recovery::Found;
use crate::system::shard::Desk;
use crate::system::stats::Counters;
use crate::system::work::Work;

impl<A: Aggregate> Entity<A> {
    /// Drops what is in memory: the stream has ended with this record.
    pub(super) fn enter_ended(&mut self, seq_nr: SeqNr, waiting: VecDeque<Box<dyn Message<A>>>, desk: &Desk) {
        drop_contained("an entity's data", mem::replace(&mut self.phase, Phase::Ended(seq_nr)));
        (self.keys, self.snapshots) = (None, None);
        desk.lanes.leave(self.hash, waiting.len());
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
    pub(super) fn fail_queued(&self, quarantine: &Quarantine, work: &mut Work<A>, desk: &Desk) {
        let waiting = work.queue.iter().position(|message| message.is_end()).unwrap_or(work.queue.len());
        desk.lanes.leave(self.hash, waiting);
        for message in work.queue.drain(..waiting) {
            message.fail(quarantine.failure(self.persistence_id()));
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

    pub(super) fn quarantine(&self, unusable: &Unrecoverable, failures: u32, desk: &Desk) -> Box<Quarantine> {
        let quarantine = Quarantine::new(unusable, failures, self.hash, desk.clock.now());
        let Quarantine { seq_nr, reason, retry_at, .. } = &quarantine;
        tracing::warn!(id = %self.persistence_id(), %seq_nr, %reason, failures, %retry_at, "quarantined");
        Counters::add(&desk.counters.quarantines, 1);
        Box::new(quarantine)
    }
}
