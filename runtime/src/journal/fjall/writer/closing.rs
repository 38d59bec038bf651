//! The end of the writer: everything in tables, and the head marked as clean last.

use std::sync::{Arc, PoisonError};

use super::super::deadlines::FOLLOWED_BYTES_MIN;
#[cfg(any(test, shuttle))]
use super::super::faults::Gate;
use super::super::watch::{GivenUp, Step};
use super::Writer;
use crate::journal::head::State;
use crate::journal::lock;
use crate::journal::{CloseError, Health, Why};

impl Writer {
    /// Writes down which deadlines are armed, so that the next opening doesn't have to follow what was written since the
    /// last time: where there are any, and following them would take long.
    fn write_deadlines(&self) {
        let is_good = *lock(&self.shared.health) == Health::Good;
        let follows_much = self.has_deadlines && self.order_bytes >= FOLLOWED_BYTES_MIN;
        if is_good
            && follows_much
            && self.lock.is_ours()
            && let Err(error) = self.shared.write_deadlines()
        {
            crate::log::warn!(path = %self.shared.path.display(), %error, "the deadlines can't be folded");
        }
    }

    /// Closes the journal; in order, if it is healthy.
    pub(super) fn finish(mut self) -> Result<(), CloseError> {
        self.shared.watch.begin(Step::Closing, Vec::new());
        self.write_deadlines();
        self.remove_all();
        let Self { shared, lock: lock_file, mut head_file, mut head, syncer, folder, .. } = self;
        let failed = match &*lock(&shared.health) {
            Health::Failed(cause) => Some(Arc::clone(cause)),
            Health::Good | Health::StorageLow { .. } | Health::Closed => None,
        };
        // ORDER: before the lock is given back, since the next one opens it too.
        shared.snapshots.close();
        let engine = shared.engine.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(folder) = folder {
            // It ends, since the engine is gone from it. If it has panicked, only a file is missing.
            let _result = folder.join();
        }
        let result = match (failed, &engine) {
            (Some(cause), _) => Err(cause),
            (None, None) => Ok(()),
            (None, Some(engine)) => engine.flush().map_err(|error| error.to_string().into()),
        };
        // What a sync of the head has failed to write isn't written by another one.
        let result = syncer.stop().map_err(Into::into).and(result);
        drop(engine);
        // ORDER: marked as clean last, when everything is in tables and the engine has written its last byte.
        let result = result.and_then(|()| {
            if !lock_file.is_ours() {
                return Err(Why::Fenced { epoch: shared.facts.epoch }.to_string().into());
            }
            // What wasn't back in time isn't told as closed in order, even if it is.
            #[cfg(any(test, shuttle))]
            shared.faults.pass(Gate::Closing);
            shared.watch.go_on(Step::Closing).map_err(|GivenUp| shared.watch.cause().unwrap_or_default())?;
            head.state = State::Clean;
            head.synced = head.acked;
            head.checkpoint = head.acked;
            head_file.write_both(&mut head).map_err(|error| format!("can't write the head: {error}").into())
        });
        let mut health = lock(&shared.health);
        match &result {
            Ok(()) => {
                *health = Health::Closed;
                crate::log::info!(path = %shared.path.display(), offset = head.acked.offset.0, "closed the journal");
            }
            Err(cause) => {
                crate::log::error!(path = %shared.path.display(), %cause, "the journal was not closed in order");
                *health = Health::Failed(Arc::clone(cause));
            }
        }
        drop(health);
        drop(lock_file);
        // Who hangs no more has nobody left to tell.
        let _too_late = shared.watch.take();
        result.map_err(CloseError)
    }

    /// Removes all that is deleted, so that a closed journal has nothing left to do.
    pub(super) fn remove_all(&mut self) {
        while !self.removals.is_empty() && *lock(&self.shared.health) == Health::Good {
            // Each step gets the time that closing has.
            if self.shared.watch.go_on(Step::Closing).is_err() {
                return;
            }
            if let Err(why) = self.remove_step() {
                self.halt(&why, || {});
            }
        }
    }
}
