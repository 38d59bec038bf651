//! The timekeeper: one task that wakes entities whose time in a state is over, the oldest first, so many at a time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::call::{CallError, Failure, Never, Port as _, Unsent};
use crate::id::PersistenceId;
use crate::journal::{Journal, ReadError};
use crate::log::{self, Throttle};
use crate::system::blocking::Blocking;
use crate::system::registry::Registry;
use crate::system::rung::{Rung, ToTimekeeper};
use crate::system::schedule::{Schedule, Wake};
use crate::system::shard::Stage;
use crate::system::timepiece::Timepiece;

/// The pause after the journal couldn't tell something.
const JOURNAL_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Timekeeper {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Timepiece,
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) stages: watch::Receiver<Stage>,
    pub(crate) blocking: Blocking,
    /// How many alarms may be on their way.
    pub(crate) alarms_max: usize,
    /// Alarms that wait for room in a mailbox, part of those on their way: one that is full holds up no other.
    pub(crate) sending: JoinSet<()>,
    pub(crate) throttle: Throttle,
}

/// What the timekeeper woke up for.
enum Woken {
    Down,
    /// So many reports have come.
    Rung(usize),
    Look,
}

impl Timekeeper {
    /// Runs until the system goes down.
    pub(crate) async fn run(mut self) {
        let mut stages = self.stages.clone();
        tokio::select! {
            biased;
            _ = stages.wait_for(|stage| *stage > Stage::Running) => {}
            () = self.keep_time() => {}
        }
    }

    async fn keep_time(&mut self) {
        self.load().await;
        let (report, mut reports) = mpsc::channel(self.alarms_max);
        let (mut on_their_way, mut heard) = (0, Vec::new());
        loop {
            match self.wait(&mut reports, &mut heard, on_their_way).await {
                Woken::Down => return,
                Woken::Rung(reports) => {
                    on_their_way -= reports;
                    heard.drain(..).for_each(|rung| self.hear(rung));
                }
                Woken::Look => {}
            }
            let Ok(now) = self.clock.ask() else {
                self.clock.pause().await;
                continue;
            };
            let due = self.schedule.take_due(now, self.alarms_max - on_their_way);
            if due.is_empty() {
                // A clock may wake early, and at once.
                tokio::task::yield_now().await;
                continue;
            }
            for (wake, found) in self.names(due).await {
                match found {
                    Ok(Some(id)) => on_their_way += usize::from(self.ring(&id, wake, &report)),
                    Ok(None) => log::debug!(stream = %wake.1, "a deadline's stream is forgotten"),
                    Err(error) => {
                        log::error!(stream = %wake.1, %error, "a deadline waits: its stream can't be read");
                        self.hear(Rung::Again { wake, why: None });
                    }
                }
            }
        }
    }

    /// Takes in what was armed before the system started.
    async fn load(&self) {
        loop {
            let journal = self.journal.clone();
            let armed = self.blocking.here().drive(async move { journal.armed().await }).await;
            match armed {
                Ok(Ok(armed)) => {
                    log::debug!(deadlines = armed.len(), "took in what is armed");
                    self.schedule.extend(armed.into_iter().map(|armed| (armed.due, armed.stream)));
                    return;
                }
                Ok(Err(error)) => log::error!(%error, "can't tell what deadlines there are; trying again"),
                Err(error) => log::error!(%error, "can't tell what deadlines there are; trying again"),
            }
            tokio::time::sleep(JOURNAL_PAUSE).await;
        }
    }

    async fn wait(&mut self, reports: &mut mpsc::Receiver<Rung>, heard: &mut Vec<Rung>, on_their_way: usize) -> Woken {
        let first = self.schedule.first();
        let room = on_their_way < self.alarms_max;
        let time_comes = async {
            match first {
                Some(at) => self.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            count = reports.recv_many(heard, self.alarms_max) => if count > 0 { Woken::Rung(count) } else { Woken::Down },
            Some(_) = self.sending.join_next(), if !self.sending.is_empty() => Woken::Look,
            () = self.schedule.sooner(), if room => Woken::Look,
            () = time_comes, if room => Woken::Look,
        }
    }

    /// Puts an alarm back that has to be rung again.
    fn hear(&mut self, rung: Rung) {
        let Rung::Again { wake, why } = rung else { return };
        let now = self.clock.now();
        let not_before = if let Some(Failure::Quarantined(quarantined)) = &why { quarantined.retry_at } else { now };
        let again_at = self.schedule.again(wake, now, not_before);
        if let Some(why) = why.map(CallError::<Never>::from)
            && let Some(unsaid) = self.throttle.may_speak()
        {
            log::warn!(%why, %again_at, unsaid, "a deadline was not handled and is tried again");
        }
    }

    /// Finds out whose streams they are.
    async fn names(&self, wakes: Vec<Wake>) -> VecDeque<(Wake, Result<Option<PersistenceId>, ReadError>)> {
        let journal = self.journal.clone();
        let runtime = self.blocking.here();
        let again = wakes.clone();
        let find = async move {
            let mut found = VecDeque::with_capacity(wakes.len());
            for wake in wakes {
                found.push_back((wake, journal.stream_id(wake.1).await));
            }
            found
        };
        runtime.drive(find).await.unwrap_or_else(|error| {
            log::error!(%error, "finding the streams of deadlines failed");
            again.into_iter().map(|wake| (wake, Err(ReadError::Closed))).collect()
        })
    }

    /// Sends an alarm; tells whether it is on its way.
    fn ring(&mut self, id: &PersistenceId, wake: Wake, report: &mpsc::Sender<Rung>) -> bool {
        let Some(bell) = self.registry.bell(id) else {
            if self.schedule.park(&id.aggregate, wake) {
                log::warn!(
                    aggregate = %id.aggregate,
                    "a deadline is due and waits until its machine is known: name it with `System::builder().register::<..>()`"
                );
            }
            // It may have become known meanwhile.
            if self.registry.bell(id).is_some() {
                self.schedule.unpark(&id.aggregate);
            }
            return false;
        };
        let alarm = (bell.make_alarm)(id.entity.clone(), ToTimekeeper::new(report.clone(), wake));
        match bell.port.try_send(bell.hash, alarm) {
            Ok(()) => true,
            // Dropped unsent, it reports itself.
            Err(Unsent::Stopped) => true,
            Err(Unsent::Full { parcel, .. }) => {
                // Whoever stops to wait drops the parcel, and it reports itself.
                let sent = bell.port.send(bell.hash, parcel);
                self.sending.spawn(async move { drop(sent.await) });
                true
            }
        }
    }
}
