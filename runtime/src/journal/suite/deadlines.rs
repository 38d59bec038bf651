//! The deadlines that the runs of a journal come to.

use std::collections::BTreeMap;

use super::*;
use crate::journal::{Armed, TransitionRecord};

pub(in crate::journal) fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

/// A record that makes this of its stream's deadline.
fn record_with(due: Due) -> Record<'static> {
    let transition =
        |due| Record::Transition(TransitionRecord { from: Some("Open"), to: "Shut", transient: false, due });
    match due {
        Due::Unchanged => Record::Receipt,
        Due::Cleared => transition(None),
        Due::At(due) => transition(Some(due)),
    }
}

/// A run of writes of one record each, that make this of the deadline of their stream.
pub(in crate::journal) fn run_with(
    journal: &dyn Journal,
    stream: StreamNo,
    id: &PersistenceId,
    first: u64,
    dues: &[Due],
) -> Run {
    let mut run = RunBuilder::new(stream, id.clone(), SeqNr(first));
    for due in dues {
        run.push_write(&Write::at(Timestamp::UNIX_EPOCH), *due, [record_with(*due)].into_iter());
    }
    run.seal(&journal.facts(), 1)
}

/// Stores a run of writes that make this of the deadline; the stream.
pub(in crate::journal) fn store_with(journal: &dyn Journal, id: &PersistenceId, dues: &[Due]) -> StreamNo {
    let StreamHead { stream, last, .. } = open(journal, id);
    let outcomes = append(journal, vec![run_with(journal, stream, id, last.0 + 1, dues)]);
    journal.close_stream(stream);
    assert!(matches!(outcomes[..], [Outcome::Stored(_)]), "{outcomes:?}");
    stream
}

/// The times and streams of the armed deadlines.
pub(in crate::journal) fn armed(journal: &dyn Journal) -> Vec<(i64, u64)> {
    let armed = block_on(journal.armed()).unwrap();
    armed.into_iter().map(|Armed { due, stream }| (due.as_microsecond(), stream.0)).collect()
}

pub(super) fn a_deadline_is_armed_until_it_is_armed_anew_or_cleared(mut store_in: impl Store) {
    let (alice, bob) = (id("alice"), id("bob"));
    let steps = [
        (Due::Unchanged, vec![]),
        (Due::At(at(50)), vec![50]),
        (Due::Unchanged, vec![50]),
        (Due::At(at(20)), vec![20]),
        (Due::At(at(70)), vec![70]),
        (Due::Cleared, vec![]),
        (Due::Cleared, vec![]),
        (Due::At(at(-5)), vec![-5]),
    ];
    let other = store_with(store_in.journal(), &bob, &[Due::At(at(60))]).0;
    for (due, expected) in steps {
        let stream = store_with(store_in.journal(), &alice, &[due]).0;
        let mut expected: Vec<_> = expected.into_iter().map(|due| (due, stream)).collect();
        expected.push((60, other));
        expected.sort_unstable();
        assert_eq!(armed(store_in.journal()), expected);
        store_in = store_in.reopen();
        assert_eq!(armed(store_in.journal()), expected);
        store_in.write_derived();
        assert_eq!(armed(store_in.journal()), expected);
    }
}

pub(super) fn the_last_write_of_a_run_decides_its_deadline(store_in: impl Store) {
    let journal = store_in.journal();
    let [a, b, c] = [
        ("a", &[Due::At(at(1)), Due::At(at(2)), Due::Unchanged][..]),
        ("b", &[Due::At(at(1)), Due::Cleared]),
        ("c", &[Due::Cleared, Due::At(at(2)), Due::Unchanged, Due::Unchanged]),
    ]
    .map(|(name, dues)| store_with(journal, &id(name), dues).0);
    assert!(b < c);
    assert_eq!(armed(journal), [(2, a), (2, c)]);
    store_with(journal, &id("a"), &[Due::Unchanged]);
    assert_eq!(armed(journal), [(2, a), (2, c)]);
}

pub(super) fn a_run_that_is_refused_changes_no_deadline(store_in: impl Store) {
    let journal = store_in.journal();
    let (alice, bob) = (id("alice"), id("bob"));
    let (a, b) = (open(journal, &alice).stream, open(journal, &bob).stream);
    let group =
        vec![run_with(journal, a, &alice, 1, &[Due::At(at(1))]), run_with(journal, b, &bob, 7, &[Due::At(at(2))])];
    assert!(matches!(append(journal, group)[..], [Outcome::Stored(_), Outcome::NotStored(_)]));
    assert_eq!(armed(journal), [(1, a.0)]);
    append(journal, vec![run_with(journal, a, &alice, 1, &[Due::Cleared])]);
    assert_eq!(armed(journal), [(1, a.0)]);
}

pub(super) fn deadlines_come_in_the_order_of_their_times(store_in: impl Store) {
    let journal = store_in.journal();
    let mut group = Vec::new();
    let mut expected = Vec::new();
    for index in 0..500_i64 {
        let id = id(&index.to_string());
        let stream = open(journal, &id).stream;
        let due = index * 7919 % 101 - 50;
        group.push(run_with(journal, stream, &id, 1, &[Due::At(at(due))]));
        expected.push((due, stream.0));
    }
    assert!(append(journal, group).iter().all(|outcome| matches!(outcome, Outcome::Stored(_))));
    expected.sort_unstable();
    assert_eq!(armed(journal), expected);
    let store_in = store_in.reopen();
    assert_eq!(armed(store_in.journal()), expected);
}

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
fn check_against_model(mut store_in: impl Store, actions: &[Action]) {
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
            Action::WriteDerived => store_in.write_derived(),
            Action::Append(groups) => {
                let mut futures = Vec::new();
                for group in groups {
                    let runs = group.iter().map(|(index, is_next, dues)| {
                        let first = last[*index] + if *is_next { 1 } else { 5 };
                        if *is_next {
                            last[*index] += crate::journal::bytes::len_u64(dues.len());
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
    fn the_deadlines_in_memory_are_like_their_model(actions in actions()) {
        check_against_model(Memory(MemoryJournal::new()), &actions);
    }

    #[cfg(feature = "fjall")]
    #[test]
    fn the_deadlines_on_disk_are_like_their_model(actions in actions()) {
        check_against_model(OnDisk::new(), &actions);
    }
}
