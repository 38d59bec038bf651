//! The watchdog: takes the writer for failed when one of its steps isn't back in time.
//!
//! ORDER: who waits for a step is answered by whoever takes the replies out of the watch, the writer or the watchdog,
//! under one lock: so exactly one of them does. The writer takes them behind the sync and the head, and before it moves
//! anything that can be observed. If it comes too late there is nothing to take, and it moves nothing.

use std::time::Duration;

use super::Shared;
use super::engine::STALLED_AFTER;
use super::queue::Reply;
use crate::journal::{Cause, CloseError, Outcome, Why, lock};
use crate::sync::{Arc, Condvar, Mutex, PoisonError};

/// In so many parts is the time for a step counted, each seen to pass: if the whole process stands still, so does this.
const TICKS: u32 = 4;
/// Closing may take so many times as long as a commit: all rows go into tables.
const CLOSING_TIMES: u32 = 10;

/// What the writer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing of it is written yet.
    Looking,
    /// It waits for the engine, which is behind with its tables and gives up by itself. Nothing is written yet.
    Pacing,
    /// Something may be written.
    Writing,
    /// Rows of what is deleted are removed. Nobody waits for it.
    Removing,
    Closing,
}

impl Step {
    fn what(self) -> &'static str {
        match self {
            Step::Looking | Step::Pacing => "what comes before a commit",
            Step::Writing => "a commit",
            Step::Removing => "the removal of what is deleted",
            Step::Closing => "closing",
        }
    }
}

/// The writer was taken for failed, and everybody was told.
#[derive(Debug)]
pub(super) struct GivenUp;

#[derive(Default)]
struct State {
    step: Option<Step>,
    /// Counts steps, so that two can be told apart.
    number: u64,
    replies: Vec<Reply>,
    /// Why the writer was taken for failed, if it was. It stays so.
    cause: Option<Arc<str>>,
    /// Whether the step that wasn't back in time still isn't.
    hangs: bool,
    /// Whether the writer has ended.
    ended: bool,
    /// Whether the watchdog sleeps until there is a step.
    sleeps: bool,
    /// Whether the time of a step is over because a test says so.
    #[cfg(test)]
    expired: bool,
}

/// What the writer is doing, and who waits for it.
pub(super) struct Watch {
    state: Mutex<State>,
    changed: Condvar,
    within: Duration,
}

impl Watch {
    pub(super) fn new(within: Duration) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), within }
    }

    /// How long a step may take.
    pub(super) fn within(&self) -> Duration {
        self.within
    }

    /// Begins a step for which these wait.
    pub(super) fn begin(&self, step: Step, replies: Vec<Reply>) {
        let mut state = lock(&self.state);
        state.replies.extend(replies);
        state.enter(step);
        if state.sleeps {
            state.sleeps = false;
            self.changed.notify_all();
        }
    }

    /// Goes on with another step, for which the same wait.
    pub(super) fn go_on(&self, step: Step) -> Result<(), GivenUp> {
        let mut state = lock(&self.state);
        if state.hangs {
            return Err(GivenUp);
        }
        state.enter(step);
        Ok(())
    }

    /// Ends the step, and hands out those who wait for it, unless they were told already.
    pub(super) fn take(&self) -> Result<Vec<Reply>, GivenUp> {
        let mut state = lock(&self.state);
        state.step = None;
        if std::mem::take(&mut state.hangs) {
            return Err(GivenUp);
        }
        Ok(std::mem::take(&mut state.replies))
    }

    /// Why the writer was taken for failed, if it was.
    pub(super) fn cause(&self) -> Option<Arc<str>> {
        lock(&self.state).cause.clone()
    }

    /// Why the writer hangs, if it does.
    pub(super) fn hanging(&self) -> Option<Arc<str>> {
        let state = lock(&self.state);
        state.cause.clone().filter(|_| state.hangs)
    }

    /// Waits until the writer has ended; or says that it hangs.
    pub(super) fn wait_for_end(&self) -> Result<(), GivenUp> {
        let mut state = lock(&self.state);
        while !state.ended && !state.hangs {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended { Ok(()) } else { Err(GivenUp) }
    }

    /// Says that the writer has ended.
    pub(super) fn end(&self) {
        lock(&self.state).ended = true;
        self.changed.notify_all();
    }

    /// Has the time of the step that goes on be over, or of the next one.
    #[cfg(test)]
    pub(super) fn expire(&self) {
        lock(&self.state).expired = true;
        self.changed.notify_all();
    }

    /// How many ticks a step may take.
    fn ticks_max(&self, step: Step) -> u32 {
        match step {
            Step::Looking | Step::Writing => TICKS,
            Step::Closing => TICKS * CLOSING_TIMES,
            Step::Pacing | Step::Removing => {
                let pacing = STALLED_AFTER.as_nanos().div_ceil(self.tick().as_nanos());
                TICKS.saturating_add(u32::try_from(pacing).unwrap_or(u32::MAX))
            }
        }
    }

    fn tick(&self) -> Duration {
        (self.within / TICKS).max(Duration::from_millis(1))
    }

    /// Waits until a step isn't back in time, and takes those who wait for it; `None` when the writer has ended.
    fn wait_for_stall(&self) -> Option<(Step, Arc<str>, Vec<Reply>)> {
        let mut state = lock(&self.state);
        let (mut number, mut ticks) = (state.number, 0);
        while !state.ended {
            let is_idle = (state.step.is_none() || state.hangs) && state.number == number;
            if is_idle {
                state.sleeps = true;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                (number, ticks) = (state.number, 0);
                continue;
            }
            let tick = self.tick();
            #[cfg(test)]
            let tick = if state.expired { Duration::ZERO } else { tick };
            let (after, waited) = self.changed.wait_timeout(state, tick).unwrap_or_else(PoisonError::into_inner);
            state = after;
            if state.number != number {
                (number, ticks) = (state.number, 0);
            } else if waited.timed_out() {
                ticks += 1;
            }
            #[cfg(test)]
            if state.expired {
                ticks = u32::MAX;
            }
            if let Some(step) = state.step
                && !state.hangs
                && ticks >= self.ticks_max(step)
            {
                let what = step.what();
                let cause: Arc<str> = format!("{what} wasn't back within {} ms", self.within.as_millis()).into();
                state.hangs = true;
                #[cfg(test)]
                {
                    state.expired = false;
                }
                let cause = Arc::clone(state.cause.get_or_insert(cause));
                let replies = std::mem::take(&mut state.replies);
                // Those who wait for the end.
                self.changed.notify_all();
                return Some((step, cause, replies));
            }
        }
        None
    }
}

impl State {
    fn enter(&mut self, step: Step) {
        self.step = Some(step);
        self.number += 1;
    }
}

/// Starts the thread that watches. It ends when the writer has.
pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    let watch = move || {
        while let Some((step, cause, replies)) = shared.watch.wait_for_stall() {
            shared.give_up(step, &cause, replies);
        }
    };
    crate::sync::thread::Builder::new().name("annals-watch".into()).spawn(watch).map(drop)
}

impl Shared {
    /// Takes the writer for failed.
    fn give_up(&self, step: Step, cause: &Arc<str>, replies: Vec<Reply>) {
        crate::log::error!(
            path = %self.path.display(), %cause,
            "the journal takes no more writes: the disk doesn't answer; open it again when it does"
        );
        // ORDER: failed before anybody hears of it.
        self.fail(cause);
        let why = Why::Failed(Arc::clone(cause));
        let outcome = match step {
            Step::Writing => Outcome::Unknown(Cause(Arc::clone(cause))),
            Step::Looking | Step::Pacing | Step::Removing | Step::Closing => Outcome::NotStored(why.clone()),
        };
        for reply in replies {
            reply.send_all(&outcome);
        }
        self.queue.refuse(&why);
        self.waiters.end().wake();
        self.queue.tell_waiting(&Err(CloseError(Arc::clone(cause))));
    }
}
