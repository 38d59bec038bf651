//! Deletion, where the removal of rows stops anywhere.

use proptest::prelude::*;

use super::OnDisk;
use crate::id::{Offset, PersistenceId, SeqNr};
use crate::journal::suite::deletion::{head, run_that_ends};
use crate::journal::suite::{id, open, read, read_all, run};
use crate::journal::{Fut, Journal, Outcome, Run, Why, len_u64};
use crate::oneshot::block_on;

const MODEL_STREAMS: usize = 4;

/// What is handed over to a journal, to one of its streams. Every other stream is begun as one that can be forgotten.
#[derive(Debug, Clone)]
enum Op {
    /// A run of so many events.
    Append(usize),
    /// A run of so many events and a tombstone.
    End(usize),
    /// Deletes up to the last record, or so many records less, or more.
    Delete(i64),
    /// Forgets it.
    Forget,
}

#[derive(Debug, Clone)]
enum Action {
    /// Hands over all of it before any outcome is looked at.
    Ops(Vec<(usize, Op)>),
    /// Has the removal of rows stop after so many steps.
    StopRemovalAfter(usize),
    Reopen,
    Crash,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let op = prop_oneof![
        6 => (1..4_usize).prop_map(Op::Append),
        1 => (0..3_usize).prop_map(Op::End),
        4 => (-8..2_i64).prop_map(Op::Delete),
        2 => Just(Op::Forget),
    ];
    let ops = prop::collection::vec((0..MODEL_STREAMS, op), 1..8).prop_map(Action::Ops);
    let stop = (0..2_usize).prop_map(Action::StopRemovalAfter);
    prop::collection::vec(prop_oneof![8 => ops, 1 => stop, 1 => Just(Action::Reopen), 1 => Just(Action::Crash)], 1..14)
}

/// What a stream must be.
#[derive(Debug, Default, Clone)]
struct Model {
    /// Offset and first sequence number of each run, and how many records it has.
    runs: Vec<(u64, u64, u64)>,
    /// Each record's payload; the tombstone's is missing.
    records: Vec<Option<Vec<u8>>>,
    floor: u64,
    ended: bool,
    forgotten: bool,
}

impl Model {
    fn last(&self) -> u64 {
        len_u64(self.records.len())
    }

    fn append(&mut self, durable: &mut u64, payloads: &[Vec<u8>], ends: bool) -> Outcome {
        if self.ended {
            return Outcome::NotStored(Why::Ended { last: SeqNr(self.last()) });
        }
        let first = self.last() + 1;
        self.records.extend(payloads.iter().cloned().map(Some));
        if ends {
            self.records.push(None);
            (self.floor, self.ended) = (self.last() - 1, true);
        }
        let records = self.last() + 1 - first;
        self.runs.push((*durable + 1, first, records));
        *durable += records;
        Outcome::Stored(Offset(*durable + 1 - records))
    }

    /// The outcome; none if it is that of a bad run.
    fn forget(&mut self, durable: u64, forgettable: bool) -> Option<Outcome> {
        if self.last() > 0 && !forgettable {
            return Some(Outcome::NotStored(Why::NotForgettable));
        }
        self.ended.then(|| {
            (self.floor, self.forgotten) = (self.last(), true);
            Outcome::Stored(Offset(durable))
        })
    }

    fn events(&self) -> Vec<(u64, Vec<u8>)> {
        let numbered = (1..).zip(&self.records);
        numbered.filter(|(seq, _)| *seq > self.floor).filter_map(|(seq, event)| Some((seq, event.clone()?))).collect()
    }
}

/// Does the same to a journal and to its model, and compares all that can be seen.
fn check_deletion_against_model(mut store_in: OnDisk, actions: &[Action]) {
    let ids: Vec<_> = (0..MODEL_STREAMS).map(|index| id(&index.to_string())).collect();
    let mut model = vec![Model::default(); MODEL_STREAMS];
    let mut durable = 0;
    for action in actions {
        match action {
            Action::Ops(ops) => check_ops(store_in.journal(), &ids, &mut model, &mut durable, ops),
            Action::StopRemovalAfter(steps) => store_in.journal().stop_removal_after(*steps),
            Action::Reopen => store_in = store_in.reopen(),
            Action::Crash => store_in = store_in.crash(),
        }
        let journal = store_in.journal();
        assert_eq!(journal.durable(), Offset(durable));
        let mut order = Vec::new();
        for (id, model) in ids.iter().zip(&model) {
            assert_eq!(head(journal, id), (model.last(), model.floor, model.ended), "{id}");
            assert_eq!(read(journal, id).unwrap(), model.events(), "{id}");
            let stream = open(journal, id).stream;
            let left = model.runs.iter().filter(|(_, first, records)| first + records - 1 > model.floor);
            order.extend(left.map(|&(offset, first, _)| (offset, stream.0, first)));
            journal.close_stream(stream);
            let name = block_on(journal.stream_id(stream)).unwrap();
            assert_eq!(name, (model.last() > 0 && !model.forgotten).then(|| id.clone()));
        }
        order.sort_unstable();
        assert_eq!(read_all(journal, 150).unwrap(), order);
        assert_eq!(read_all(journal, usize::MAX).unwrap(), order);
    }
}

fn check_ops(
    journal: &dyn Journal,
    ids: &[PersistenceId],
    model: &mut [Model],
    durable: &mut u64,
    ops: &[(usize, Op)],
) {
    let streams: Vec<_> = ids.iter().map(|id| open(journal, id).stream).collect();
    let mut waiting = Vec::new();
    for (index, op) in ops {
        let (stream, id, model) = (streams[*index], &ids[*index], &mut model[*index]);
        let (first, forgettable) = (model.last() + 1, index.is_multiple_of(2));
        match op {
            Op::Append(events) | Op::End(events) => {
                let ends = matches!(op, Op::End(_));
                let payloads: Vec<_> = (0..*events).map(|event| format!("{first} {event}").into_bytes()).collect();
                let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
                let of = if ends { run_that_ends } else { run };
                let run = Run { forgettable, ..of(journal, stream, id, first, &slices) };
                let outcomes = journal.append(vec![run]);
                let outcome: Fut<'static, Outcome> = Box::pin(async { outcomes.await.remove(0) });
                waiting.push((outcome, Some(model.append(durable, &payloads, ends))));
            }
            Op::Delete(behind) => {
                let to = model.last().saturating_add_signed(*behind);
                let outcome = journal.delete_to(stream, SeqNr(to));
                let is_there = to <= model.last();
                if is_there {
                    model.floor = model.floor.max(to);
                }
                waiting.push((outcome, is_there.then_some(Outcome::Stored(Offset(*durable)))));
            }
            Op::Forget => waiting.push((journal.forget(stream), model.forget(*durable, forgettable))),
        }
    }
    for (outcome, expected) in waiting {
        match (block_on(outcome), expected) {
            (Outcome::NotStored(Why::BadRun(_)), None) => {}
            (outcome, expected) => assert_eq!(Some(outcome), expected),
        }
    }
    for stream in streams {
        journal.close_stream(stream);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_journal_on_disk_deletes_like_its_model(actions in actions()) {
        check_deletion_against_model(OnDisk::new(), &actions);
    }
}
