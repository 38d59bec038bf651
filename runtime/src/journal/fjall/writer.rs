//! The writer: one thread that stores all queued groups with one sync.
//!
//! ORDER, for each group commit: the lock is still ours; there is space; runs are checked; the engine syncs its journal
//! and only then shows the rows; the head is written; the watchdog hasn't given it up; the streams and the durable offset
//! move on; the callers hear of it.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Shared;
use super::engine::Engine;
#[cfg(any(test, shuttle))]
use super::faults::Gate;
use super::lock::LockFile;
use super::queue::{Reply, Request, Wait, Work};
use super::removal::Removals;
use super::space::{Gauge, LOOK_AGAIN_AFTER, LOOK_EVERY};
use super::syncer::Syncer;
use super::watch::{GivenUp, Step};
use crate::id::Offset;
use crate::journal::head::{Head, HeadFile, State};
use crate::journal::lock;
use crate::journal::order::Mark;
use crate::journal::{Cause, CloseError, Due, Durability, Health, Outcome, ReadError, Why};

mod closing;
mod room;
mod rows;

use rows::{Parts, stored_runs};

/// Between two places that may become the checkpoint.
const CHECKPOINT_EVERY_BYTES: usize = 16 * 1024 * 1024;
/// After so many bytes of order rows the deadlines are written down. Following them takes less than a second.
const FOLD_EVERY_BYTES: usize = 32 * 1024 * 1024;
/// How far the older slot of the head may be behind the newer one.
const SLOT_OLD_MAX: Duration = Duration::from_secs(1);
/// So many places at most wait to become the checkpoint.
const CHECKPOINTS_MAX: usize = 64;

/// Why a group commit didn't happen.
enum Halt {
    /// Nothing was written.
    Before(Why),
    /// Something may have been written.
    During(Arc<str>),
    /// It took so long that everybody was told already.
    GivenUp,
}

impl From<GivenUp> for Halt {
    fn from(_: GivenUp) -> Self {
        Halt::GivenUp
    }
}

/// A group that is durable, and of which nobody knows yet.
#[derive(Clone, Copy)]
struct Written {
    /// Where it ends, and the time of its order row; `None` if nothing had to be written.
    end: Option<(Mark, i64)>,
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) lock: LockFile,
    pub(super) head_file: HeadFile,
    pub(super) head: Head,
    pub(super) syncer: Syncer,
    /// When both slots of the head were last known to be on the disk.
    slots_synced: Instant,
    /// The time of the last order row, in us.
    pub(super) time: i64,
    parts: Parts,
    removals: Removals,
    /// Places that become the checkpoint when the engine has put everything up to this number into tables.
    checkpoints: VecDeque<(u64, Mark)>,
    bytes_since_checkpoint: usize,
    /// Whether a deadline was armed or cleared.
    has_deadlines: bool,
    /// The length of the order rows that were written since the deadlines were last written down.
    order_bytes: usize,
    /// Writes them down.
    folder: Option<JoinHandle<()>>,
    gauge: Gauge,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        lock: LockFile,
        head_file: HeadFile,
        head: Head,
        syncer: Syncer,
        time: i64,
        removals: Removals,
    ) -> Self {
        let (parts, checkpoints) = (Parts::default(), VecDeque::new());
        Self {
            shared,
            lock,
            head_file,
            head,
            syncer,
            slots_synced: Instant::now(),
            time,
            parts,
            removals,
            checkpoints,
            bytes_since_checkpoint: 0,
            has_deadlines: false,
            order_bytes: 0,
            folder: None,
            gauge: Gauge::default(),
        }
    }

    /// Stores groups until the queue is closed; then closes the journal.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let whole = std::panic::catch_unwind(AssertUnwindSafe(|| {
            while let Some(batch) = shared.queue.take(self.wait()) {
                if !batch.is_empty() {
                    self.store(batch);
                } else if self.looks_idly() {
                    self.look_idly();
                }
                self.remove_some();
            }
            self.finish()
        }));
        // Whatever happens, nobody waits for ever.
        let result = whole.unwrap_or_else(|_| {
            let cause: Arc<str> = "the writer panicked".into();
            shared.fail(&cause);
            Err(CloseError(cause))
        });
        let why = match &result {
            Ok(()) => Why::Closed,
            Err(CloseError(cause)) => Why::Failed(Arc::clone(cause)),
        };
        shared.queue.refuse(&why);
        shared.queue.end(&result);
        shared.waiters.end().wake();
        shared.watch.end();
    }

    /// Whether to wait where nothing is queued.
    fn wait(&self) -> Wait {
        if self.may_remove() {
            Wait::No
        } else if !self.looks_idly() {
            Wait::ForWork
        } else if self.shared.low().is_some() {
            Wait::AtMost(LOOK_AGAIN_AFTER)
        } else {
            Wait::AtMost(LOOK_EVERY)
        }
    }

    /// Whether it is looked how much space there is while nothing is written.
    fn looks_idly(&self) -> bool {
        self.shared.space.has_floor() && *lock(&self.shared.health) == Health::Good
    }

    fn store(&mut self, batch: Vec<Request>) {
        let shared = Arc::clone(&self.shared);
        let (mut batch, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|request| (request.work, request.reply)).unzip();
        shared.watch.begin(Step::Looking, replies);
        // The replies stay out here, so that a panic leaves nobody without an answer.
        let written = contained(|| self.write(&mut batch));
        let replies = shared.watch.take();
        let settled = match (written, &replies) {
            (_, Err(GivenUp)) => Err(Halt::GivenUp),
            (Err(halt), Ok(_)) => Err(halt),
            (Ok(written), Ok(_)) => contained(|| {
                self.settle(&batch, written);
                Ok(())
            }),
        };
        let replies = replies.unwrap_or_default();
        if let Err(halt) = settled {
            self.stop(halt, batch, replies);
            return;
        }
        let mut forgotten = (Vec::new(), Vec::new());
        for (work, reply) in batch.into_iter().zip(replies) {
            if let Work::Forget { verdict: Ok(_), .. } = &work {
                forgotten.0.push(work);
                forgotten.1.push(reply);
            } else {
                reply.send(work, |offset| Outcome::Stored(Offset(offset)));
            }
        }
        let durable = lock(&shared.durable).offset;
        shared.waiters.tell(durable, false).wake();
        if !forgotten.0.is_empty() {
            self.forget(forgotten.0, forgotten.1);
        }
        self.fold_deadlines();
    }

    /// Destroys the keys of streams whose floors are durable, and answers.
    fn forget(&mut self, batch: Vec<Work>, replies: Vec<Reply>) {
        let shared = Arc::clone(&self.shared);
        shared.watch.begin(Step::Writing, replies);
        let destroyed = contained(|| self.destroy_keys(&batch));
        match (destroyed, shared.watch.take()) {
            (Ok(()), Ok(replies)) => {
                for (work, reply) in batch.into_iter().zip(replies) {
                    reply.send(work, |offset| Outcome::Stored(Offset(offset)));
                }
            }
            (Err(halt), Ok(replies)) => self.stop(halt, batch, replies),
            (_, Err(GivenUp)) => self.stop(Halt::GivenUp, batch, Vec::new()),
        }
    }

    /// Takes no more writes, and answers those who wait.
    fn stop(&mut self, halt: Halt, batch: Vec<Work>, replies: Vec<Reply>) {
        let (why, outcome) = match halt {
            Halt::Before(why) => (why.clone(), Outcome::NotStored(why)),
            Halt::During(cause) => (Why::Failed(Arc::clone(&cause)), Outcome::Unknown(Cause(cause))),
            Halt::GivenUp => {
                let why = Why::Failed(self.shared.watch.cause().unwrap_or_default());
                (why.clone(), Outcome::NotStored(why))
            }
        };
        self.halt(&why, || {
            for (work, reply) in batch.into_iter().zip(replies) {
                reply.send(work, |_| outcome.clone());
            }
        });
    }

    /// Whether rows are to be removed.
    fn may_remove(&self) -> bool {
        #[cfg(any(test, shuttle))]
        if !self.shared.faults.may_remove() {
            return false;
        }
        !self.removals.is_empty() && *lock(&self.shared.health) == Health::Good
    }

    /// Removes some rows of what is deleted, and more when much of it waits.
    fn remove_some(&mut self) {
        // It ends, since each step takes floors from those that wait, or rows from one of them.
        loop {
            if !self.may_remove() {
                return;
            }
            if let Err(why) = self.remove_watched() {
                self.halt(&why, || {});
                return;
            }
            #[cfg(any(test, shuttle))]
            self.shared.faults.take_removal_step();
            if !self.removals.is_behind() {
                return;
            }
        }
    }

    fn remove_watched(&mut self) -> Result<(), Why> {
        self.shared.watch.begin(Step::Removing, Vec::new());
        #[cfg(any(test, shuttle))]
        self.shared.faults.pass(Gate::Removing);
        let removed = self.remove_step();
        match self.shared.watch.take() {
            Ok(_nobody) => removed,
            Err(GivenUp) => Err(Why::Failed(self.shared.watch.cause().unwrap_or_default())),
        }
    }

    fn remove_step(&mut self) -> Result<(), Why> {
        let failed = |error: String| Why::Failed(format!("can't remove what is deleted: {error}").into());
        if !self.lock.is_ours() {
            return Err(Why::Fenced { epoch: self.shared.facts.epoch });
        }
        let engine = self.shared.engine.read().unwrap_or_else(PoisonError::into_inner);
        let Some(engine) = engine.as_ref() else { return Err(Why::Closed) };
        engine.look_after();
        engine.pace().and_then(|()| self.removals.step(engine)).map_err(|error| failed(error.to_string()))
    }

    /// Takes no more writes, and answers those of a batch.
    fn halt(&mut self, why: &Why, answer: impl FnOnce()) {
        let cause: Arc<str> = match why {
            Why::Failed(cause) => Arc::clone(cause),
            why => why.to_string().into(),
        };
        crate::log::error!(path = %self.shared.path.display(), %cause, "the journal takes no more writes");
        // ORDER: failed before anybody hears of it, so that whoever hears finds the journal failed; answered before the
        // head is touched, since a disk that has failed may take its time.
        self.shared.fail(&cause);
        answer();
        self.shared.queue.refuse(why);
        self.shared.waiters.end().wake();
        // Somebody else's head is not ours to write.
        if matches!(why, Why::Fenced { .. }) || !self.lock.is_ours() {
            return;
        }
        self.head.state = State::Failed;
        // No sync is tried again where one has failed; and of two at a time, one only would be told.
        let synced = self.syncer.finish(self.shared.watch.within());
        let marked = synced.and_then(|()| self.head_file.write_both(&mut self.head).map_err(|error| error.to_string()));
        if let Err(error) = marked {
            crate::log::warn!(%error, "the head can't be marked as failed; the next opening finds out without it");
        }
    }

    /// Makes a batch durable with one sync. The verdicts of what is stored become offsets.
    fn write(&mut self, batch: &mut [Work]) -> Result<Written, Halt> {
        let shared = Arc::clone(&self.shared);
        if !self.lock.is_ours() {
            return Err(Halt::Before(Why::Fenced { epoch: shared.facts.epoch }));
        }
        let engine = shared.engine.read().unwrap_or_else(PoisonError::into_inner);
        let Some(engine) = engine.as_ref() else {
            return Err(Halt::Before(Why::Closed));
        };
        shared.watch.go_on(Step::Pacing)?;
        engine.pace().map_err(|error| Halt::Before(Why::Failed(format!("can't take a group: {error}").into())))?;
        shared.watch.go_on(Step::Looking)?;

        self.refuse_what_has_no_room(batch);
        let before = self.head.acked;
        self.check(batch, before);
        if self.parts.order.is_empty() {
            return Ok(Written { end: None });
        }
        let time = self.next_time(batch);
        engine.look_after();
        let (mark, bytes) = self.write_rows(engine, batch, before, time)?;

        self.head.acked = mark;
        if shared.facts.durability == Durability::Fsync {
            self.head.synced = mark;
        }
        for (stream, floor) in &self.parts.floors {
            self.removals.push(*stream, floor.to, before);
        }
        self.move_checkpoint(engine, mark, bytes);
        self.write_head().map_err(|error| Halt::During(format!("can't write the head: {error}").into()))?;
        #[cfg(any(test, shuttle))]
        shared.faults.pass(Gate::BehindCommit);
        crate::log::trace!(group = mark.group, offset = mark.offset.0, bytes, "stored a group");
        Ok(Written { end: Some((mark, time)) })
    }

    /// Writes the head into a slot of its file, and has it synced.
    fn write_head(&mut self) -> Result<(), String> {
        let within = self.shared.watch.within();
        let is_old = self.slots_synced.elapsed() > SLOT_OLD_MAX;
        #[cfg(any(test, shuttle))]
        let is_old = is_old || self.shared.faults.is_slot_old();
        if is_old {
            // While one group follows the other, the head may be written again before each sync is back.
            self.syncer.finish(within)?;
        }
        if self.syncer.is_idle() {
            self.head_file.was_synced();
            self.slots_synced = Instant::now();
        }
        self.head_file.write(&mut self.head).map_err(|error| error.to_string())?;
        self.syncer.written(within)
    }

    /// Has everybody see what is written.
    fn settle(&mut self, batch: &[Work], written: Written) {
        let Some((mark, time)) = written.end else { return };
        let mut streams = lock(&self.shared.streams);
        for (run, _) in stored_runs(batch) {
            streams.settle(run);
            self.has_deadlines |= run.due != Due::Unchanged;
        }
        for (stream, floor) in &self.parts.floors {
            streams.settle_floor(*stream, *floor);
        }
        drop(streams);
        *lock(&self.shared.durable) = mark;
        self.time = time;
        self.parts.new_keys.clear();
    }

    /// Destroys the keys of the streams that a batch forgets, with one sync. That they are forgotten is durable.
    fn destroy_keys(&self, batch: &[Work]) -> Result<(), Halt> {
        let mut forgotten = Vec::new();
        #[cfg(any(test, shuttle))]
        self.shared.faults.pass(Gate::Destroying);
        for work in batch {
            if let Work::Forget { stream, key, cipher, verdict: Ok(_) } = work {
                lock(&self.shared.streams).forget(*stream);
                if let Some(cipher) = cipher {
                    cipher.key().destroy();
                }
                forgotten.push((*key, *stream));
            }
        }
        if forgotten.is_empty() {
            return Ok(());
        }
        let failed = |error: String| Halt::During(format!("can't destroy keys: {error}").into());
        #[cfg(any(test, shuttle))]
        self.shared.faults.before_destroying().map_err(|error| failed(error.into()))?;
        self.shared.keys.destroy(&forgotten).map_err(|error| failed(error.to_string()))?;
        #[cfg(any(test, shuttle))]
        self.shared.faults.after_destroying().map_err(|error| failed(error.into()))?;
        crate::log::debug!(streams = forgotten.len(), "destroyed the keys of forgotten streams");
        Ok(())
    }

    /// Moves the checkpoint to the last noted place that is in tables with all before it, and notes this one if the
    /// last is far enough away. Tables are filled in the order of writing.
    fn move_checkpoint(&mut self, engine: &Engine, mark: Mark, bytes: usize) {
        self.bytes_since_checkpoint += bytes;
        if self.bytes_since_checkpoint < CHECKPOINT_EVERY_BYTES {
            return;
        }
        self.bytes_since_checkpoint = 0;
        let in_tables = engine.in_tables();
        while let Some((written, place)) = self.checkpoints.front()
            && *written <= in_tables
        {
            self.head.checkpoint = *place;
            // What is in tables is synced, also where commits aren't.
            if self.head.synced.group < place.group {
                self.head.synced = *place;
            }
            self.checkpoints.pop_front();
        }
        // What is deleted is removed again behind the checkpoint if that wasn't done.
        let place = self.removals.done_to(mark);
        let noted = self.checkpoints.back().map_or(self.head.checkpoint.group, |(_, noted)| noted.group);
        if self.checkpoints.len() < CHECKPOINTS_MAX && place.group > noted {
            self.checkpoints.push_back((engine.written(), place));
        }
    }

    /// Has the deadlines written down behind the commits, once enough has been written since the last time: so what is to
    /// be followed after the next opening is bounded, however this one ends.
    fn fold_deadlines(&mut self) {
        let is_folding = self.folder.as_ref().is_some_and(|folder| !folder.is_finished());
        let is_much = self.order_bytes >= FOLD_EVERY_BYTES;
        #[cfg(any(test, shuttle))]
        let is_much = is_much || self.shared.faults.fold_now();
        if is_folding || !is_much {
            return;
        }
        self.order_bytes = 0;
        let shared = Arc::clone(&self.shared);
        let fold = move || match shared.write_deadlines() {
            Ok(()) | Err(ReadError::Closed) => {}
            Err(error) => crate::log::warn!(path = %shared.path.display(), %error, "the deadlines can't be folded"),
        };
        match std::thread::Builder::new().name("annals-deadlines".into()).spawn(fold) {
            Ok(folder) => self.folder = Some(folder),
            Err(error) => crate::log::warn!(%error, "the thread that folds the deadlines can't be started"),
        }
    }
}

/// Does something of which a panic is a failure.
fn contained<T>(act: impl FnOnce() -> Result<T, Halt>) -> Result<T, Halt> {
    let done = std::panic::catch_unwind(AssertUnwindSafe(act));
    done.unwrap_or_else(|_| Err(Halt::During("the writer panicked".into())))
}
