//! The index of deadlines: what the runs of a journal come to. It is derived, and says nothing that they don't.

use std::collections::HashMap;

use jiff::Timestamp;

use super::Armed;
use super::record::Due;
use crate::id::StreamNo;

/// The deadlines that are armed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Deadlines {
    /// In us: a journal keeps whole ones only.
    by_stream: HashMap<u64, i64>,
}

impl Deadlines {
    /// Follows a run.
    pub(super) fn apply(&mut self, stream: StreamNo, due: Due) {
        match due {
            Due::Unchanged => {}
            Due::Cleared => {
                self.by_stream.remove(&stream.0);
            }
            Due::At(due) => {
                self.by_stream.insert(stream.0, due.as_microsecond());
            }
        }
    }

    /// All of them, in the order of their times and then of their streams.
    pub(super) fn armed(&self) -> Vec<Armed> {
        let mut armed: Vec<_> = self.by_stream.iter().map(|(stream, due)| (*due, *stream)).collect();
        armed.sort_unstable();
        // They were `Timestamp`s before, so they still are.
        let armed = armed.into_iter().map(|(due, stream)| Armed {
            due: Timestamp::from_microsecond(due).unwrap_or(Timestamp::MAX),
            stream: StreamNo(stream),
        });
        armed.collect()
    }
}
