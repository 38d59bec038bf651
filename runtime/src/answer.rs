//! The answer to a call, on its way back to the caller.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::call::CallError;
use crate::contain::drop_contained;
use crate::oneshot::{Receiver, Sender, oneshot};

/// An answer as it travels: thousands may be on their way, and nearly all are small ones.
enum Answer<R, E> {
    Replied(R),
    Refused(E),
    Failed(Box<CallError<E>>),
}

/// Who has called, as the entity sees it. Dropping it leaves the caller without an answer.
pub(crate) struct Caller<R, E>(Sender<Answer<R, E>>);

/// The answer, as the caller waits for it.
pub(crate) struct Answered<R, E>(Receiver<Answer<R, E>>);

/// The two ends of an answer's way.
pub(crate) fn answer<R, E>() -> (Caller<R, E>, Answered<R, E>) {
    let (sender, receiver) = oneshot();
    (Caller(sender), Answered(receiver))
}

impl<R, E> Caller<R, E> {
    /// Answers. What nobody waits for any more is dropped.
    pub(crate) fn answer(self, answer: Result<R, CallError<E>>) {
        let answer = match answer {
            Ok(reply) => Answer::Replied(reply),
            Err(CallError::Refused(refusal)) => Answer::Refused(refusal),
            Err(error) => Answer::Failed(Box::new(error)),
        };
        if let Err(unwanted) = self.0.send(answer) {
            drop_contained("an answer whose caller has gone", unwanted);
        }
    }
}

impl<R, E> Answered<R, E> {
    /// `None`: whoever was to answer is gone.
    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<R, CallError<E>>>> {
        let answer = ready!(Pin::new(&mut self.0).poll(task));
        Poll::Ready(answer.map(|answer| match answer {
            Answer::Replied(reply) => Ok(reply),
            Answer::Refused(refusal) => Err(CallError::Refused(refusal)),
            Answer::Failed(error) => Err(*error),
        }))
    }
}

impl<R, E> std::fmt::Debug for Caller<R, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Caller")
    }
}
