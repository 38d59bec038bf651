//! The index of deadlines: what the runs of a journal come to. It is derived, and says nothing that they don't.
//!
//! A journal on a disk keeps it in a file, so that only what was written since has to be followed. The bytes are
//! described in `bytes.rs`.

use std::collections::HashMap;

use jiff::Timestamp;

use super::Armed;
use super::bytes::as_stored;
use super::record::Due;
use crate::id::StreamNo;

#[cfg(feature = "fjall")]
pub(super) mod file;

/// The deadlines that are armed.
#[derive(Debug, Clone, Default)]
pub(super) struct Deadlines {
    /// Those that were known at the beginning, in order.
    known: Vec<Armed>,
    /// What became of streams since then; `None`: it has no deadline any more.
    changes: HashMap<u64, Option<Timestamp>>,
}

impl Deadlines {
    /// Begins with deadlines that are known, in order.
    #[cfg(any(test, feature = "fjall"))]
    pub(super) fn known(known: Vec<Armed>) -> Self {
        Self { known, changes: HashMap::new() }
    }

    /// Follows a run.
    pub(super) fn apply(&mut self, stream: StreamNo, due: Due) {
        match due {
            Due::Unchanged => {}
            Due::At(due) => {
                self.changes.insert(stream.0, Some(as_stored(due)));
            }
            Due::Cleared if self.known.is_empty() => {
                self.changes.remove(&stream.0);
            }
            Due::Cleared => {
                self.changes.insert(stream.0, None);
            }
        }
    }

    /// All of them, in the order of their times and then of their streams.
    pub(super) fn into_armed(self) -> Vec<Armed> {
        let Self { known: mut armed, changes } = self;
        // Most often there are millions that were known, and no change.
        if changes.is_empty() {
            return armed;
        }
        armed.retain(|known| !changes.contains_key(&known.stream.0));
        let changed =
            changes.iter().filter_map(|(stream, due)| Some(Armed { due: (*due)?, stream: StreamNo(*stream) }));
        let mut changed: Vec<_> = changed.collect();
        changed.sort_unstable();
        armed.append(&mut changed);
        // What was known is in order already, and merged as it is.
        armed.sort();
        armed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).unwrap()
    }

    fn armed(deadlines: &[(i64, u64)]) -> Vec<Armed> {
        deadlines.iter().map(|&(due, stream)| Armed { due: at(due), stream: StreamNo(stream) }).collect()
    }

    #[test]
    fn a_deadline_is_kept_in_whole_microseconds() {
        let mut deadlines = Deadlines::default();
        deadlines.apply(StreamNo(1), Due::At(Timestamp::from_nanosecond(1_999).unwrap()));
        assert_eq!(deadlines.into_armed(), armed(&[(1, 1)]));
    }

    fn runs() -> impl Strategy<Value = Vec<(u64, Due)>> {
        let due = prop_oneof![
            Just(Due::Unchanged),
            Just(Due::Cleared),
            (-3..4_i64).prop_map(|due| Due::At(at(due))),
            (-10_000_000_000_000..10_000_000_000_000_i64).prop_map(|due| Due::At(at(due))),
        ];
        prop::collection::vec((1..12_u64, due), 0..40)
    }

    proptest! {
        #[test]
        fn the_index_is_what_the_runs_come_to_wherever_it_begins(runs in runs(), cuts in any::<[bool; 40]>()) {
            let mut model = BTreeMap::new();
            let mut deadlines = Deadlines::default();
            for ((stream, due), cut) in runs.into_iter().zip(cuts) {
                if cut {
                    deadlines = Deadlines::known(deadlines.into_armed());
                }
                deadlines.apply(StreamNo(stream), due);
                match due {
                    Due::Unchanged => {}
                    Due::Cleared => drop(model.remove(&stream)),
                    Due::At(due) => drop(model.insert(stream, due)),
                }
            }
            let mut expected: Vec<_> = model.into_iter().map(|(stream, due)| (due.as_microsecond(), stream)).collect();
            expected.sort_unstable();
            prop_assert_eq!(deadlines.into_armed(), armed(&expected));
        }
    }
}
