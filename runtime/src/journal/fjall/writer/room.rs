//! How much space there is for what is to be written.

use std::sync::Arc;

#[cfg(any(test, shuttle))]
use super::super::faults::Gate;
use super::super::queue::{RUN_OVERHEAD_BYTES, Work};
use super::super::space::Low;
use super::super::watch::{GivenUp, Step};
use super::Writer;
use crate::journal::{Why, lock};

impl Writer {
    /// Looks how much space there is though nothing is to be written, so that it is told before something is refused.
    pub(super) fn look_idly(&mut self) {
        let shared = Arc::clone(&self.shared);
        shared.watch.begin(Step::Looking, Vec::new());
        #[cfg(any(test, shuttle))]
        shared.faults.pass(Gate::Looking);
        self.gauge.look(&shared.space);
        match shared.watch.take() {
            Ok(_nobody) => self.tell_of_space(self.gauge.low(&shared.space, shared.low())),
            Err(GivenUp) => self.halt(&Why::Failed(shared.watch.cause().unwrap_or_default()), || {}),
        }
    }

    /// Tells whether too little space is free, if that has changed.
    fn tell_of_space(&self, low: Option<Low>) {
        let before = std::mem::replace(&mut *lock(&self.shared.low), low);
        let path = self.shared.path.display();
        match (before, low) {
            (None, Some(Low { free, floor })) => {
                crate::log::warn!(%path, free, floor, "the file system has too little space: writes are refused for now");
            }
            (Some(_), None) => crate::log::info!(%path, "there is space again: writes are taken"),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    /// Refuses what there is no room for. What gives space back may go deeper than the rest.
    pub(super) fn refuse_what_has_no_room(&mut self, batch: &mut [Work]) {
        #[cfg(any(test, shuttle))]
        self.shared.faults.pass(Gate::Looking);
        let Self { shared, gauge, .. } = self;
        let space = &shared.space;
        gauge.prepare(space, batch.iter().map(Work::bytes).sum());
        let mut refused = None;
        let mut take = |bytes, gives_back, verdict: &mut Result<u64, Why>| {
            if verdict.is_ok()
                && let Err(low) = gauge.take(space, bytes, gives_back)
            {
                refused.get_or_insert(low);
                *verdict = Err(Why::StorageLow { free: low.free, floor: low.floor });
            }
        };
        for work in batch {
            match work {
                Work::Append { runs, verdicts, .. } => {
                    for (run, verdict) in runs.iter().zip(verdicts) {
                        take(run.bytes.len() + RUN_OVERHEAD_BYTES, run.ends, verdict);
                    }
                }
                Work::Delete { verdict, .. } | Work::Forget { verdict, .. } => take(RUN_OVERHEAD_BYTES, true, verdict),
            }
        }
        let low = refused.or_else(|| self.gauge.low(&self.shared.space, None));
        self.tell_of_space(low);
    }
}
