//! The answer to a call, on its way back to the caller.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::call::{CallError, Failure};
use crate::contain::drop_contained;
use crate::oneshot::{Cell, Receiver, Sender, oneshot};

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

/// An answer that is laid ready for its caller. Dropping it leaves the caller without one.
///
/// So a message is dropped as soon as it is handled, while its memory is near, and only its answer waits for the disk.
pub(crate) struct Laid(Option<Arc<dyn Lies>>);

trait Lies: Send + Sync {
    fn release(&self);
    /// `None`: the caller is left without an answer.
    fn give_up(&self, failure: Option<Failure>);
}

impl<R: Send, E: Send> Lies for Cell<Answer<R, E>> {
    fn release(&self) {
        Cell::release(self);
    }

    fn give_up(&self, failure: Option<Failure>) {
        let unwanted = match failure {
            Some(failure) => self.send(Answer::Failed(Box::new(failure.into()))),
            None => self.abandon(),
        };
        drop_contained("an answer that may not leave", unwanted);
    }
}

impl Laid {
    /// Lets the answer go.
    pub(crate) fn release(mut self) {
        if let Some(answer) = self.0.take() {
            answer.release();
        }
    }

    /// Answers with a failure in its place.
    pub(crate) fn fail(mut self, failure: Failure) {
        if let Some(answer) = self.0.take() {
            answer.give_up(Some(failure));
        }
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            answer.give_up(None);
        }
    }
}

impl<R: Send + 'static, E: Send + 'static> Caller<R, E> {
    /// Lays the answer ready. What nobody waits for any more is dropped.
    pub(crate) fn lay(&mut self, answer: Result<R, E>) -> Laid {
        let answer = answer.map_or_else(Answer::Refused, Answer::Replied);
        match self.0.lay(answer) {
            Some(Ok(cell)) => Laid(Some(cell)),
            Some(Err(unwanted)) => {
                drop_contained("an answer whose caller has gone", unwanted);
                Laid(None)
            }
            None => Laid(None),
        }
    }
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
