//! What waits for the writer: groups to store, records to delete, streams to forget.

use std::collections::VecDeque;
use std::time::Duration;

use super::forgetting::Ciphers;
use crate::id::{SeqNr, StreamNo};
use crate::journal::cipher::StreamCipher;
use crate::journal::lock;
use crate::journal::run::Run;
use crate::journal::{CloseError, Outcome, Why};
use crate::oneshot::Sender;
use crate::sync::{Arc, Condvar, Mutex, PoisonError};

/// A group commit takes groups up to so many bytes, and one group at least.
const COMMIT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a run costs beside its bytes, about.
pub(super) const RUN_OVERHEAD_BYTES: usize = 128;
/// More than this doesn't wait in the queue.
pub(super) const QUEUE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What is on its way to the disk.
pub(super) struct Request {
    pub(super) work: Work,
    pub(super) reply: Reply,
    bytes: usize,
}

/// Who waits for it.
pub(super) enum Reply {
    /// For so many runs.
    Group(usize, Sender<Vec<Outcome>>),
    One(Sender<Outcome>),
}

impl Reply {
    /// Answers the same for all parts.
    pub(super) fn send_all(self, outcome: &Outcome) {
        match self {
            Reply::Group(runs, done) => done.tell(vec![outcome.clone(); runs]),
            Reply::One(done) => done.tell(outcome.clone()),
        }
    }

    /// Answers with `outcome` for each part of the work that was to be stored and has an offset.
    pub(super) fn send(self, work: Work, outcome: impl Fn(u64) -> Outcome) {
        let answer = |verdict: Result<u64, Why>| verdict.map_or_else(Outcome::NotStored, &outcome);
        match (self, work) {
            (Reply::Group(_, done), Work::Append { runs, verdicts, .. }) => {
                drop(runs);
                done.tell(verdicts.into_iter().map(answer).collect());
            }
            (Reply::One(done), Work::Delete { verdict, .. } | Work::Forget { verdict, .. }) => {
                done.tell(answer(verdict));
            }
            (Reply::Group(..) | Reply::One(_), _) => unreachable!("a request is made with the reply of its work"),
        }
    }
}

pub(super) enum Work {
    Append {
        runs: Vec<Run>,
        /// What they are encrypted with.
        ciphers: Ciphers,
        /// For each run its checksum, later its offset; or why it isn't stored.
        verdicts: Vec<Result<u64, Why>>,
    },
    Delete {
        stream: StreamNo,
        to: SeqNr,
        /// Later the last offset before it; or why nothing is deleted.
        verdict: Result<u64, Why>,
    },
    Forget {
        stream: StreamNo,
        /// Its number, once the stream is taken as forgotten.
        key: u64,
        /// The key in memory.
        cipher: Option<Arc<StreamCipher>>,
        /// Later the last offset before it; or why nothing is forgotten.
        verdict: Result<u64, Why>,
    },
}

impl Work {
    /// How long it is, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Work::Append { runs, .. } => runs.iter().map(|run| run.bytes.len() + RUN_OVERHEAD_BYTES).sum(),
            Work::Delete { .. } | Work::Forget { .. } => RUN_OVERHEAD_BYTES,
        }
    }
}

impl Request {
    /// To store a group.
    pub(super) fn append(
        runs: Vec<Run>,
        ciphers: Ciphers,
        verdicts: Vec<Result<u64, Why>>,
        done: Sender<Vec<Outcome>>,
    ) -> Self {
        let reply = Reply::Group(runs.len(), done);
        Self::new(Work::Append { runs, ciphers, verdicts }, reply)
    }

    /// To forget a stream.
    pub(super) fn forget(stream: StreamNo, done: Sender<Outcome>) -> Self {
        let work = Work::Forget { stream, key: 0, cipher: None, verdict: Ok(0) };
        Self::new(work, Reply::One(done))
    }

    /// To delete the records of a stream up to one.
    pub(super) fn delete(stream: StreamNo, to: SeqNr, done: Sender<Outcome>) -> Self {
        let work = Work::Delete { stream, to, verdict: Ok(0) };
        Self::new(work, Reply::One(done))
    }

    fn new(work: Work, reply: Reply) -> Self {
        let bytes = work.bytes();
        Self { work, reply, bytes }
    }

    /// Answers that nothing of it is stored.
    fn refuse(self, why: &Why) {
        self.reply.send(self.work, |_| Outcome::NotStored(why.clone()));
    }
}

/// Whether the writer waits where there is nothing to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wait {
    No,
    ForWork,
    AtMost(Duration),
}

/// What waits for the writer.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    groups: VecDeque<Request>,
    bytes: usize,
    /// Why nothing is taken any more.
    refuse: Option<Why>,
    closing: bool,
    /// Those who wait for the end, and what they hear.
    waiting: Vec<Sender<Result<(), CloseError>>>,
    ended: Option<Result<(), CloseError>>,
}

impl Queue {
    /// Takes a group, or answers it at once.
    pub(super) fn push(&self, request: Request) {
        let mut state = lock(&self.state);
        let full = state.bytes > QUEUE_BYTES_MAX;
        let why = match &state.refuse {
            Some(why) => Some(why.clone()),
            None if state.closing => Some(Why::Closed),
            None if full => Some(Why::QueueFull { bytes: state.bytes, limit: QUEUE_BYTES_MAX }),
            None => None,
        };
        if let Some(why) = why {
            drop(state);
            request.refuse(&why);
            return;
        }
        state.bytes += request.bytes;
        state.groups.push_back(request);
        // Whoever wakes up finds the lock free.
        drop(state);
        self.changed.notify_one();
    }

    /// Takes groups. If there are none, it waits for some; nothing when the queue is empty and closed.
    pub(super) fn take(&self, wait: Wait) -> Option<Vec<Request>> {
        let mut state = lock(&self.state);
        while state.groups.is_empty() && !state.closing {
            match wait {
                Wait::No => break,
                Wait::ForWork => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Wait::AtMost(time) => {
                    let waited = self.changed.wait_timeout(state, time);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                    break;
                }
            }
        }
        if state.groups.is_empty() && state.closing {
            return None;
        }
        let mut taken = Vec::new();
        let mut bytes = 0;
        while bytes < COMMIT_BYTES_MAX
            && let Some(request) = state.groups.pop_front()
        {
            bytes += request.bytes;
            taken.push(request);
        }
        state.bytes -= bytes;
        Some(taken)
    }

    /// Refuses everything from now on, and what waits.
    pub(super) fn refuse(&self, why: &Why) {
        let mut state = lock(&self.state);
        state.refuse = Some(why.clone());
        let groups = std::mem::take(&mut state.groups);
        state.bytes = 0;
        drop(state);
        for request in groups {
            request.refuse(why);
        }
    }

    /// Takes nothing more, and ends the writer once it has stored what waits.
    pub(super) fn close(&self, waiting: Option<Sender<Result<(), CloseError>>>) {
        let mut state = lock(&self.state);
        state.closing = true;
        match (waiting, state.ended.clone()) {
            (Some(waiting), Some(ended)) => {
                drop(state);
                waiting.tell(ended);
            }
            (waiting, _) => {
                state.waiting.extend(waiting);
                self.changed.notify_one();
            }
        }
    }

    pub(super) fn end(&self, result: &Result<(), CloseError>) {
        let mut state = lock(&self.state);
        state.closing = true;
        state.ended = Some(result.clone());
        drop(state);
        self.tell_waiting(result);
    }

    /// Answers those who wait for the end.
    pub(super) fn tell_waiting(&self, result: &Result<(), CloseError>) {
        let waiting = std::mem::take(&mut lock(&self.state).waiting);
        for waiting in waiting {
            waiting.tell(result.clone());
        }
    }
}
