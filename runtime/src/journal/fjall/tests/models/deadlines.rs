//! Deadlines, where what is derived is written down at any time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::OnDisk;
use crate::journal::suite::deadlines::{armed, at, run_with};
use crate::journal::suite::{id, open};
use crate::journal::{Due, Journal, len_u64};
use crate::oneshot::block_on;

/// What a test does to the deadlines of a journal.
#[derive(Debug, Clone)]
enum Action {
    /// Hands over groups, all before any outcome is looked at. A run: its stream, whether it is the next, and what its
    /// writes make of the deadline.
    Append(Vec<Vec<(usize, bool, Vec<Due>)>>),
    Reopen,
    WriteDerived,
}

const MODEL_STREAMS: usize = 5;

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let due = prop_oneof![
        Just(Due::Unchanged),
        Just(Due::Cleared),
        (-3..3_i64).prop_map(|due| Due::At(at(due))),
        (-10_000_000_000_000..10_000_000_000_000_i64).prop_map(|due| Due::At(at(due))),
    ];
    let dues = prop::collection::vec(due, 1..4);
    let run = (0..MODEL_STREAMS, prop::bool::weighted(0.9), dues);
    let append = prop::collection::vec(prop::collection::vec(run, 1..4), 1..4).prop_map(Action::Append);
    let action = prop_oneof![6 => append, 1 => Just(Action::Reopen), 1 => Just(Action::WriteDerived)];
    prop::collection::vec(action, 1..12)
}

/// Does the same to a journal and to a map of deadlines, and compares.
fn check_against_model(mut store_in: OnDisk, actions: &[Action]) {
    let ids: Vec<_> = (0..MODEL_STREAMS).map(|index| id(&index.to_string())).collect();
    let mut last = [0; MODEL_STREAMS];
    let mut model: BTreeMap<usize, i64> = BTreeMap::new();
    for action in actions {
        let journal = store_in.journal();
        let streams: Vec<_> = ids.iter().map(|id| open(journal, id).stream).collect();
        match action {
            Action::Reopen => {
                store_in = store_in.reopen();
                continue;
            }
            Action::WriteDerived => store_in.journal().write_deadlines(),
            Action::Append(groups) => {
                let mut futures = Vec::new();
                for group in groups {
                    let runs = group.iter().map(|(index, is_next, dues)| {
                        let first = last[*index] + if *is_next { 1 } else { 5 };
                        if *is_next {
                            last[*index] += len_u64(dues.len());
                            for due in dues {
                                match due {
                                    Due::Unchanged => None,
                                    Due::Cleared => model.remove(index),
                                    Due::At(due) => model.insert(*index, due.as_microsecond()),
                                };
                            }
                        }
                        run_with(journal, streams[*index], &ids[*index], first, dues)
                    });
                    futures.push(journal.append(runs.collect()));
                }
                futures.into_iter().map(block_on).for_each(drop);
            }
        }
        let mut expected: Vec<_> = model.iter().map(|(index, due)| (*due, streams[*index].0)).collect();
        expected.sort_unstable();
        assert_eq!(armed(store_in.journal()), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_deadlines_on_disk_are_like_their_model(actions in actions()) {
        check_against_model(OnDisk::new(), &actions);
    }
}
