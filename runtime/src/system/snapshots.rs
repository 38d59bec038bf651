//! Saving snapshots: an entity takes them at its step, holds them until what they tell is durable, and hands them over
//! to a saver, a task of its own.
//!
//! INVARIANT: nothing here is waited for by a shard. A snapshot is taken only where there is room for it already, and
//! where there is none it is left out.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, watch};

use crate::aggregate::Aggregate;
use crate::call::Failure;
use crate::id::{PersistenceId, SeqNr};
use crate::snapshot::request::Asker;
use crate::snapshot::taken::{Moment, Origin, Taken, Unfit, check};
use crate::snapshot::{Retention, SnapshotError, StoredSnapshot};
use crate::system::blocking::Blocking;
use crate::system::shard::Stage;

mod retention;
mod saver;

pub(crate) use saver::Saver;

/// How many shards share a saver, at most.
pub(crate) const SHARDS_PER_SAVER: usize = 4;
/// How many snapshots may wait for a saver, those included that aren't durable yet.
pub(crate) const WAITING_MAX: usize = 64;
/// How many bytes of them may wait before no more is taken: one more may exceed it in each shard.
const WAITING_BYTES_MAX: usize = 128 << 20;

/// The shards' end of the way to a saver.
#[derive(Clone)]
pub(crate) struct Shelf {
    /// `None` if there is no store.
    jobs: Option<mpsc::Sender<Job>>,
    bytes_waiting: Arc<AtomicUsize>,
    /// The longest snapshot, in bytes.
    bytes_max: usize,
}

/// A snapshot to be saved.
pub(crate) struct Job {
    taken: Taken,
    rules: Rules,
    asker: Option<Asker>,
    _weight: Weight,
}

/// What its aggregate says of its snapshots.
#[derive(Clone, Copy)]
struct Rules {
    keep: usize,
    retention: Retention,
    /// Whether a stored snapshot could stand for its events.
    check: fn(&StoredSnapshot, Origin<'_>) -> Result<(), Unfit>,
}

impl Rules {
    fn of<A: Aggregate>() -> Self {
        let keep = A::SNAPSHOTS.map_or(1, |snapshots| snapshots.keep.max(1));
        Self { keep, retention: A::RETENTION, check: check::<A> }
    }
}

/// Counts the bytes of a job while it exists.
struct Weight {
    bytes: usize,
    waiting: Arc<AtomicUsize>,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A snapshot that waits until what it tells is durable. Its place in the queue is taken already.
pub(crate) struct Waiting {
    job: Job,
    permit: mpsc::OwnedPermit<Job>,
}

impl Waiting {
    pub(crate) fn seq_nr(&self) -> SeqNr {
        self.job.taken.seq_nr
    }

    /// Says who is told when it is saved.
    pub(crate) fn set_asker(&mut self, asker: Option<Asker>) {
        self.job.asker = asker;
    }

    /// Hands it over to the saver.
    pub(crate) fn hand_over(self) {
        self.permit.send(self.job);
    }

    /// Gives it up.
    pub(crate) fn fail(self, failure: Failure) {
        if let Some(asker) = self.job.asker {
            asker.fail(failure);
        }
    }
}

impl Shelf {
    /// Makes the way to a saver, and its end; without a store there is none.
    pub(crate) fn new(has_store: bool, bytes_max: usize) -> (Self, mpsc::Receiver<Job>) {
        let (sender, jobs) = mpsc::channel(WAITING_MAX);
        let jobs_sender = has_store.then_some(sender);
        (Self { jobs: jobs_sender, bytes_waiting: Arc::default(), bytes_max }, jobs)
    }

    pub(crate) fn has_store(&self) -> bool {
        self.jobs.is_some()
    }

    /// Takes a snapshot, if there is room for it.
    pub(crate) fn take<A: Aggregate>(
        &self,
        id: PersistenceId,
        data: &A,
        at: Moment<'_, A::State>,
    ) -> Result<Waiting, SnapshotError> {
        let Some(jobs) = &self.jobs else { return Err(SnapshotError::NoStore) };
        let full = SnapshotError::QueueFull { limit: WAITING_MAX, bytes_max: WAITING_BYTES_MAX };
        // ORDER: room first. What there is no room for isn't written.
        let permit = jobs.clone().try_reserve_owned().map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => full.clone(),
            mpsc::error::TrySendError::Closed(_) => SnapshotError::Stopped,
        })?;
        if self.bytes_waiting.load(Ordering::Relaxed) >= WAITING_BYTES_MAX {
            return Err(full);
        }
        let taken = Taken::of(id, data, at, self.bytes_max)?;
        let bytes = taken.bytes();
        self.bytes_waiting.fetch_add(bytes, Ordering::Relaxed);
        let weight = Weight { bytes, waiting: self.bytes_waiting.clone() };
        Ok(Waiting { job: Job { taken, rules: Rules::of::<A>(), asker: None, _weight: weight }, permit })
    }
}

/// The task of a saver: saves one snapshot after the other until nobody can hand it more, or until it is to give up.
pub(crate) async fn run(
    saver: Arc<Saver>,
    blocking: Blocking,
    mut jobs: mpsc::Receiver<Job>,
    mut stages: watch::Receiver<Stage>,
) {
    let mut given_up = pin!(async {
        // Once the system was dropped, nobody can give up any more.
        if stages.wait_for(|stage| *stage == Stage::GivingUp).await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    // However this ends, what still blocks a thread hears of it.
    let (_here, is_here) = watch::channel(());
    loop {
        let job = tokio::select! {
            biased;
            () = &mut given_up => return,
            job = jobs.recv() => job,
        };
        let Some(job) = job else { return };
        let (saver, is_here) = (saver.clone(), is_here.clone());
        let saved = blocking.here().drive(async move { saver.save(job, is_here).await });
        tokio::select! {
            biased;
            () = &mut given_up => return,
            _ = saved => {}
        }
    }
}
