//! Effects: run beside their shard, in order, with a bounded queue between.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::contain::{drop_contained, panic_message};
use crate::effects::Spawned;
use crate::log::{self, Throttle};
use crate::system::desk::Key;
use crate::system::drain::Activity;
use crate::system::shard::Stage;

/// Runs the effects of one step, and hands out the futures that they spawned.
pub(crate) type EffectJob = Box<dyn FnOnce(&mut Throttle) -> Vec<Spawned> + Send>;

/// How many steps' effects may wait in the queue of a shard's effect task.
pub(crate) const EFFECTS_WAITING_MAX: usize = 1024;
/// How many entities may wait for room in it before the shard does.
const ENTITIES_WAITING_MAX: usize = 1024;

/// The shard's end: what there is no room for waits here, and so does its entity.
pub(crate) struct EffectQueue {
    sender: mpsc::Sender<EffectJob>,
    waiting: VecDeque<(Key, EffectJob)>,
    /// How many entities `waiting` is of. One has no more of them than it had handled when the first had no room.
    entities: usize,
    activity: Arc<Activity>,
}

impl EffectQueue {
    pub(crate) fn new(sender: mpsc::Sender<EffectJob>, activity: Arc<Activity>) -> Self {
        Self { sender, waiting: VecDeque::new(), entities: 0, activity }
    }

    /// Hands over the effects of a step. If this says `true`, they wait, and their entity must; `is_first` if none of it
    /// has waited before.
    pub(crate) fn push(&mut self, key: Key, job: EffectJob, is_first: bool) -> bool {
        // ORDER: counted before its entity comes to rest, so that there is no moment in which it doesn't show.
        self.activity.begin(1);
        // ORDER: effects of one entity run in the order of its steps, so none may overtake.
        if self.waiting.is_empty() {
            match self.sender.try_send(job) {
                Ok(()) => return false,
                Err(mpsc::error::TrySendError::Closed(job)) => {
                    drop_contained("an effect", job);
                    return false;
                }
                Err(mpsc::error::TrySendError::Full(job)) => self.waiting.push_back((key, job)),
            }
        } else {
            self.waiting.push_back((key, job));
        }
        self.entities += usize::from(is_first);
        true
    }

    /// Takes in that effects of an entity have been handed over; `was_last` if none of it waits any more.
    pub(crate) fn left(&mut self, was_last: bool) {
        self.entities -= usize::from(was_last);
    }

    /// Hands over the oldest that waits, if there is room, and says whose it was.
    pub(crate) fn flush_one(&mut self) -> Option<Key> {
        let (key, job) = self.waiting.pop_front()?;
        match self.sender.try_send(job) {
            Ok(()) => Some(key),
            Err(mpsc::error::TrySendError::Closed(job)) => {
                drop_contained("an effect", job);
                Some(key)
            }
            Err(mpsc::error::TrySendError::Full(job)) => {
                self.waiting.push_front((key, job));
                None
            }
        }
    }

    /// Whether so many entities wait that none may go on: each one may have effects, too.
    pub(crate) fn is_full(&self) -> bool {
        self.entities >= ENTITIES_WAITING_MAX
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.drain(..).for_each(|(_, job)| drop_contained("an effect", job));
        self.entities = 0;
    }

    /// Ends when there is room, or when there never will be.
    pub(crate) async fn room(&mut self) {
        drop(self.sender.reserve().await);
    }
}

/// The effect task of a shard: runs effects one by one, owns what they spawn, and ends when its shard has ended and
/// all that was spawned has.
pub(crate) async fn run(
    mut jobs: mpsc::Receiver<EffectJob>,
    mut stages: watch::Receiver<Stage>,
    activity: Arc<Activity>,
) {
    let (mut spawned, mut throttle) = (JoinSet::new(), Throttle::default());
    let mut given_up = pin!(async {
        // Once the system was dropped, nobody can give up any more.
        if stages.wait_for(|stage| *stage == Stage::GivingUp).await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    let mut jobs_open = true;
    while jobs_open || !spawned.is_empty() {
        tokio::select! {
            biased;
            () = &mut given_up => return,
            Some(ended) = spawned.join_next(), if !spawned.is_empty() => {
                report(ended, &mut throttle);
                activity.end();
            }
            // However many futures there are: they may wait for an entity that waits for room in this queue.
            job = jobs.recv(), if jobs_open => match job {
                Some(job) => {
                    let futures = job(&mut throttle);
                    activity.begin(futures.len());
                    futures.into_iter().for_each(|future| drop(spawned.spawn(future)));
                    activity.end();
                }
                None => jobs_open = false,
            },
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>, throttle: &mut Throttle) {
    let Some(payload) = ended.err().and_then(|error| error.try_into_panic().ok()) else { return };
    let panic = panic_message(payload);
    if let Some(unsaid) = throttle.may_speak() {
        log::error!(%panic, unsaid, "a future spawned by an effect panicked");
    }
}
