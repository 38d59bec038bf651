//! What is deleted doesn't come back, and a stream that has ended takes nothing more.

use super::deadlines::{armed, at, store_with};
use super::*;

/// A run of events that ends with a tombstone.
pub(in crate::journal) fn run_that_ends(
    journal: &dyn Journal,
    stream: StreamNo,
    id: &PersistenceId,
    first: u64,
    payloads: &[&[u8]],
) -> Run {
    let mut run = RunBuilder::new(stream, id.clone(), SeqNr(first));
    for payload in payloads {
        let event = EventRecord { name: "happened", version: 1, codec: Codec::MessagePack, payload };
        run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
    }
    run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Cleared, [Record::Tombstone].into_iter());
    run.seal(&journal.facts(), 1)
}

/// Opens a stream and ends it.
pub(in crate::journal) fn end(journal: &dyn Journal, id: &PersistenceId, payloads: &[&[u8]]) -> Offset {
    let StreamHead { stream, last, .. } = open(journal, id);
    let outcomes = append(journal, vec![run_that_ends(journal, stream, id, last.0 + 1, payloads)]);
    journal.close_stream(stream);
    match outcomes.as_slice() {
        [Outcome::Stored(offset)] => *offset,
        other => panic!("{other:?}"),
    }
}

/// Opens a stream and deletes its records.
pub(in crate::journal) fn delete(journal: &dyn Journal, id: &PersistenceId, to: u64) -> Outcome {
    let stream = open(journal, id).stream;
    let outcome = block_on(journal.delete_to(stream, SeqNr(to)));
    journal.close_stream(stream);
    outcome
}

/// Looks at where a stream stands, without leaving it open.
pub(in crate::journal) fn head(journal: &dyn Journal, id: &PersistenceId) -> (u64, u64, bool) {
    let StreamHead { stream, last, floor, ended } = open(journal, id);
    journal.close_stream(stream);
    (last.0, floor.0, ended)
}

fn seqs(events: &[(u64, Vec<u8>)]) -> Vec<u64> {
    events.iter().map(|event| event.0).collect()
}

/// Offset and first sequence number of all runs, in order.
fn order(journal: &dyn Journal) -> Vec<(u64, u64)> {
    let order = read_all(journal, 1).unwrap();
    assert_eq!(read_all(journal, usize::MAX).unwrap(), order);
    order.into_iter().map(|(offset, _, first)| (offset, first)).collect()
}

pub(super) fn what_is_deleted_is_not_read_again(mut store_in: impl Store) {
    let (alice, bob) = (id("alice"), id("bob"));
    let journal = store_in.journal();
    for _ in 0..3 {
        store(journal, &alice, &[b"x", b"y"]);
        store(journal, &bob, &[b"z"]);
    }
    // Inside of a run, at its end, and less than before.
    for (to, floor, first_left, firsts) in [
        (0, 0, 1, &[1, 3, 5][..]),
        (1, 1, 2, &[1, 3, 5]),
        (2, 2, 3, &[3, 5]),
        (1, 2, 3, &[3, 5]),
        (3, 3, 4, &[3, 5]),
        (5, 5, 6, &[5]),
        (0, 5, 6, &[5]),
    ] {
        assert_eq!(delete(store_in.journal(), &alice, to), Outcome::Stored(Offset(9)));
        for _ in 0..2 {
            let journal = store_in.journal();
            assert_eq!(head(journal, &alice), (6, floor, false));
            assert_eq!(seqs(&read(journal, &alice).unwrap()), (first_left..=6).collect::<Vec<_>>());
            let alices: Vec<_> =
                order(journal).into_iter().filter(|(offset, _)| offset % 3 == 1).map(|(_, first)| first).collect();
            assert_eq!(alices, firsts);
            assert_eq!(seqs(&read(journal, &bob).unwrap()), [1, 2, 3]);
            assert_eq!(head(journal, &bob), (3, 0, false));
            store_in = store_in.reopen();
        }
    }
}

pub(super) fn a_page_begins_behind_what_is_deleted(store_in: impl Store) {
    let (journal, alice) = (store_in.journal(), id("alice"));
    for _ in 0..10 {
        store(journal, &alice, &[b"x", b"y"]);
    }
    delete(journal, &alice, 5);
    let stream = open(journal, &alice).stream;
    for _ in 0..2 {
        let page = |from, to, bytes_max| block_on(journal.read(stream, SeqNr(from), SeqNr(to), bytes_max)).unwrap();
        let read = |from, to, bytes_max| seqs(&events(journal, &page(from, to, bytes_max)));
        assert_eq!(read(0, 20, usize::MAX), (6..=20).collect::<Vec<_>>());
        assert_eq!(read(5, 7, usize::MAX), [6, 7, 8]);
        assert_eq!(read(1, 6, 1), [6]);
        assert_eq!(read(6, 6, 1), [6]);
        assert_eq!(read(7, 7, 1), [7, 8]);
        assert!(page(1, 20, 1).more && !page(1, 6, 1).more);
        assert!(page(1, 20, usize::MAX).runs.iter().all(|run| run.floor == SeqNr(5)));
        for (from, to) in [(1, 5), (5, 5), (0, 0), (21, u64::MAX)] {
            assert_eq!(page(from, to, 1), Page { runs: vec![], more: false }, "{from} to {to}");
        }
        // Closed or open, it is the same.
        journal.close_stream(stream);
    }
    let all = block_on(journal.read_all(Offset(0), usize::MAX)).unwrap();
    assert_eq!(all.runs.iter().map(|run| run.offset.0).collect::<Vec<_>>(), [5, 7, 9, 11, 13, 15, 17, 19]);
    assert!(all.runs.iter().all(|run| run.floor == SeqNr(5)));
    assert_eq!(block_on(journal.read_all(Offset(2), 1)).unwrap().runs[0].offset, Offset(5));
}

pub(super) fn a_stream_whose_records_are_all_deleted_goes_on(mut store_in: impl Store) {
    let (alice, bob) = (id("alice"), id("bob"));
    let journal = store_in.journal();
    store(journal, &bob, &[b"b"]);
    store(journal, &alice, &[b"x", b"y"]);
    store(journal, &alice, &[b"z"]);
    assert_eq!(delete(journal, &alice, 3), Outcome::Stored(Offset(4)));
    for next in 4..7 {
        let journal = store_in.journal();
        let before = next - 1;
        assert_eq!(head(journal, &alice), (before, before, false));
        assert_eq!(read(journal, &alice).unwrap(), []);
        assert_eq!(order(journal), [(1, 1)]);
        assert_eq!(journal.durable(), Offset(next));
        store_in = store_in.reopen();
        let journal = store_in.journal();
        assert_eq!(order(journal), [(1, 1)]);
        // Who has read everything finds nothing, though there is something durable behind.
        assert_eq!(block_on(journal.read_all(Offset(1), 1)).unwrap(), Page { runs: vec![], more: false });
        let stream = open(journal, &alice).stream;
        assert_eq!(block_on(journal.stream_id(stream)).unwrap(), Some(alice.clone()));
        journal.close_stream(stream);
        assert_eq!(block_on(journal.stream_id(stream)).unwrap(), Some(alice.clone()));
        assert_eq!(store(journal, &alice, &[b"n"]), Offset(next + 1));
        assert_eq!(seqs(&read(journal, &alice).unwrap()), [next]);
        assert_eq!(order(journal), [(1, 1), (next + 1, next)]);
        delete(journal, &alice, next);
    }
}

pub(super) fn more_than_there_is_can_not_be_deleted(store_in: impl Store) {
    let (journal, alice) = (store_in.journal(), id("alice"));
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::NotStored(Why::BadRun(_)));
    let deleted = |stream, to| block_on(journal.delete_to(stream, SeqNr(to)));
    let stream = open(journal, &alice).stream;
    assert!(refused(&deleted(stream, 1)), "it has no records");
    append(journal, vec![run(journal, stream, &alice, 1, &[b"x", b"y"])]);
    for to in [3, u64::MAX] {
        assert!(refused(&deleted(stream, to)), "{to}");
    }
    assert_eq!(head(journal, &alice), (2, 0, false));
    assert_eq!(deleted(stream, 2), Outcome::Stored(Offset(2)));
    journal.close_stream(stream);
    for nobody in [stream, StreamNo(0), StreamNo(99)] {
        assert!(refused(&deleted(nobody, 1)), "{nobody} isn't open");
    }
    block_on(journal.close()).unwrap();
    assert_eq!(deleted(stream, 1), Outcome::NotStored(Why::Closed));
}

pub(super) fn what_was_handed_over_before_is_there_to_be_deleted(store_in: impl Store) {
    let (journal, alice) = (store_in.journal(), id("alice"));
    let stream = open(journal, &alice).stream;
    let first = journal.append(vec![run(journal, stream, &alice, 1, &[b"x", b"y"])]);
    let deleted = journal.delete_to(stream, SeqNr(1));
    let second = journal.append(vec![run(journal, stream, &alice, 3, &[b"z"])]);
    let dropped = journal.delete_to(stream, SeqNr(2));
    drop(dropped);
    let last = journal.append(vec![run_that_ends(journal, stream, &alice, 4, &[])]);
    let late = journal.append(vec![run(journal, stream, &alice, 5, &[b"late"])]);
    assert_eq!(block_on(first), [Outcome::Stored(Offset(1))]);
    assert_eq!(block_on(deleted), Outcome::Stored(Offset(2)));
    assert_eq!(block_on(second), [Outcome::Stored(Offset(3))]);
    assert_eq!(block_on(last), [Outcome::Stored(Offset(4))]);
    assert_eq!(block_on(late), [Outcome::NotStored(Why::Ended { last: SeqNr(4) })]);
    assert_eq!(head(journal, &alice), (4, 3, true));
}

pub(super) fn an_ended_stream_keeps_its_tombstone_and_takes_nothing_more(mut store_in: impl Store) {
    let (alice, bob, carol) = (id("alice"), id("bob"), id("carol"));
    let journal = store_in.journal();
    store(journal, &alice, &[b"x", b"y"]);
    assert_eq!(end(journal, &alice, &[]), Offset(3));
    // All that it ever had, in one run with the tombstone, and nothing but the tombstone.
    assert_eq!(end(journal, &bob, &[b"x"]), Offset(4));
    assert_eq!(end(journal, &carol, &[]), Offset(6));
    for _ in 0..3 {
        let journal = store_in.journal();
        for (id, last, offset) in [(&alice, 3, 3), (&bob, 2, 4), (&carol, 1, 6)] {
            let stream = open(journal, id).stream;
            assert_eq!(head(journal, id), (last, last - 1, true));
            let page = block_on(journal.read(stream, SeqNr(1), SeqNr(u64::MAX), usize::MAX)).unwrap();
            assert_eq!(page.runs.iter().map(|run| run.offset.0).collect::<Vec<_>>(), [offset]);
            assert_eq!(events(journal, &page), [], "the tombstone is no event, and all before is deleted");
            assert_eq!(block_on(journal.stream_id(stream)).unwrap(), Some(id.clone()));
            for first in [last, last + 1, last + 2] {
                for run in [run(journal, stream, id, first, &[b"x"]), run_that_ends(journal, stream, id, first, &[])] {
                    let ended = Outcome::NotStored(Why::Ended { last: SeqNr(last) });
                    assert_eq!(append(journal, vec![run]), [ended], "{id} {first}");
                }
            }
            journal.close_stream(stream);
        }
        assert_eq!(order(journal).iter().map(|run| run.0).collect::<Vec<_>>(), [3, 4, 6]);
        store_in = store_in.reopen();
    }
    let journal = store_in.journal();
    // The tombstone itself can be deleted, and the stream has ended all the same.
    assert_eq!(delete(journal, &alice, 3), Outcome::Stored(Offset(6)));
    let store_in = store_in.reopen();
    assert_eq!(head(store_in.journal(), &alice), (3, 3, true));
    assert_eq!(order(store_in.journal()).iter().map(|run| run.0).collect::<Vec<_>>(), [4, 6]);
}

pub(super) fn a_stream_ends_also_where_all_of_it_is_deleted_already(store_in: impl Store) {
    let (journal, alice) = (store_in.journal(), id("alice"));
    store(journal, &alice, &[b"x", b"y"]);
    delete(journal, &alice, 2);
    end(journal, &alice, &[]);
    assert_eq!(head(journal, &alice), (3, 2, true));
    let store_in = store_in.reopen();
    assert_eq!(head(store_in.journal(), &alice), (3, 2, true));
}

pub(super) fn a_tombstone_clears_the_deadline(mut store_in: impl Store) {
    let (alice, bob) = (id("alice"), id("bob"));
    let journal = store_in.journal();
    store_with(journal, &alice, &[Due::At(at(5))]);
    let other = store_with(journal, &bob, &[Due::At(at(6))]);
    // To delete records says nothing about a deadline.
    delete(journal, &bob, 1);
    end(journal, &alice, &[]);
    for _ in 0..2 {
        assert_eq!(armed(store_in.journal()), [(6, other.0)]);
        store_in.write_derived();
        assert_eq!(armed(store_in.journal()), [(6, other.0)]);
        store_in = store_in.reopen();
    }
}

pub(super) fn a_run_that_says_wrongly_that_it_ends_is_refused(store_in: impl Store) {
    let (journal, alice) = (store_in.journal(), id("alice"));
    let stream = open(journal, &alice).stream;
    let (plain, ends) = (run(journal, stream, &alice, 1, &[b"x"]), run_that_ends(journal, stream, &alice, 1, &[b"x"]));
    for bad in [
        Run { ends: true, ..plain.clone() },
        Run { ends: false, ..ends.clone() },
        Run { due: Due::Unchanged, ..ends.clone() },
        Run { due: Due::At(at(1)), ..ends.clone() },
    ] {
        let outcomes = append(journal, vec![bad]);
        assert!(matches!(outcomes[..], [Outcome::NotStored(Why::BadRun(_))]), "{outcomes:?}");
    }
    // An event whose payload ends like a tombstone is none.
    let like = run(journal, stream, &alice, 1, &[&[10, 0]]);
    assert_eq!(append(journal, vec![like]), [Outcome::Stored(Offset(1))]);
    assert_eq!(head(journal, &alice), (1, 0, false));
    let ends = run_that_ends(journal, stream, &alice, 2, &[b"x"]);
    assert_eq!(append(journal, vec![ends]), [Outcome::Stored(Offset(2))]);
}

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
        super::super::bytes::len_u64(self.records.len())
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
fn check_deletion_against_model(mut store_in: impl Store, actions: &[Action]) {
    let ids: Vec<_> = (0..MODEL_STREAMS).map(|index| id(&index.to_string())).collect();
    let mut model = vec![Model::default(); MODEL_STREAMS];
    let mut durable = 0;
    for action in actions {
        match action {
            Action::Ops(ops) => check_ops(store_in.journal(), &ids, &mut model, &mut durable, ops),
            Action::StopRemovalAfter(steps) => store_in.stop_removal_after(*steps),
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
                let outcome: super::super::Fut<'static, Outcome> = Box::pin(async { outcomes.await.remove(0) });
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
    fn a_journal_in_memory_deletes_like_its_model(actions in actions()) {
        check_deletion_against_model(Memory(MemoryJournal::new()), &actions);
    }

    #[cfg(feature = "fjall")]
    #[test]
    fn a_journal_on_disk_deletes_like_its_model(actions in actions()) {
        check_deletion_against_model(OnDisk::new(), &actions);
    }
}
