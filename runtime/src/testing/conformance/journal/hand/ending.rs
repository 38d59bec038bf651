//! Deleting, forgetting and closing.

use super::{Hand, stored};
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::{Fut, Outcome};

impl Hand<'_> {
    pub(in super::super) fn begin_delete(self, stream: StreamNo, to: u64) -> Fut<'static, Outcome> {
        self.step(format_args!("deletes stream {stream} to {to}"));
        self.within(|| self.journal.delete_to(stream, SeqNr(to)))
    }

    #[track_caller]
    pub(in super::super) fn outcome(self, of: &str, outcome: Fut<'static, Outcome>) -> Outcome {
        let outcome = self.wait(of, outcome);
        self.step(format_args!("the outcome of {of}: {outcome:?}"));
        outcome
    }

    #[track_caller]
    pub(in super::super) fn delete_stream(self, stream: StreamNo, to: u64) -> Outcome {
        self.outcome("Journal::delete_to", self.begin_delete(stream, to))
    }

    /// Opens a stream, deletes its records up to one, and closes it.
    #[track_caller]
    pub(in super::super) fn delete(self, id: &PersistenceId, to: u64) -> Outcome {
        let stream = self.open(id).stream;
        let outcome = self.delete_stream(stream, to);
        self.close_stream(stream);
        outcome
    }

    /// The same, where it must be done.
    #[track_caller]
    pub(in super::super) fn deletes(self, id: &PersistenceId, to: u64) {
        let outcome = self.delete(id, to);
        self.holds(&format!("deleting {id} up to {to}"), "Stored", &outcome, stored(&outcome).is_some());
    }

    pub(in super::super) fn begin_forget(self, stream: StreamNo) -> Fut<'static, Outcome> {
        self.step(format_args!("forgets stream {stream}"));
        self.within(|| self.journal.forget(stream))
    }

    #[track_caller]
    pub(in super::super) fn forget_stream(self, stream: StreamNo) -> Outcome {
        self.outcome("Journal::forget", self.begin_forget(stream))
    }

    #[track_caller]
    pub(in super::super) fn forget(self, id: &PersistenceId) -> Outcome {
        let stream = self.open(id).stream;
        let outcome = self.forget_stream(stream);
        self.close_stream(stream);
        outcome
    }

    #[track_caller]
    pub(in super::super) fn forgets(self, id: &PersistenceId) {
        let outcome = self.forget(id);
        self.holds(&format!("forgetting {id}"), "Stored", &outcome, stored(&outcome).is_some());
    }

    /// Begins to close the journal, and doesn't wait.
    pub(in super::super) fn begin_close(self) {
        self.step(format_args!("begins to close the journal"));
        drop(self.within(|| self.journal.close()));
    }

    #[track_caller]
    pub(in super::super) fn close(self) {
        let closed = self.wait("Journal::close", self.within(|| self.journal.close()));
        self.step(format_args!("closed the journal: {closed:?}"));
        self.holds("closing the journal", "Ok", &closed, closed.is_ok());
    }
}
