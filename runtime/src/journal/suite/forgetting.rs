//! What is forgotten is gone, and nothing else is.

use super::deadlines::{at, store_with};
use super::deletion::{delete, end, head, run_that_ends};
use super::*;

#[cfg(feature = "fjall")]
pub(super) use encrypted::Encrypted;

/// A run of a stream that can be forgotten, if it is the first.
pub(in crate::journal) fn forgettable_run(
    journal: &dyn Journal,
    stream: StreamNo,
    id: &PersistenceId,
    first: u64,
    payloads: &[&[u8]],
) -> Run {
    Run { forgettable: true, ..run(journal, stream, id, first, payloads) }
}

/// Opens a stream and stores a run behind its last; it is begun as one that can be forgotten.
pub(in crate::journal) fn store_forgettable(journal: &dyn Journal, id: &PersistenceId, payloads: &[&[u8]]) -> Offset {
    let StreamHead { stream, last, .. } = open(journal, id);
    let outcomes = append(journal, vec![forgettable_run(journal, stream, id, last.0 + 1, payloads)]);
    journal.close_stream(stream);
    match outcomes.as_slice() {
        [Outcome::Stored(offset)] => *offset,
        other => panic!("{other:?}"),
    }
}

/// Opens a stream and forgets it.
pub(in crate::journal) fn forget(journal: &dyn Journal, id: &PersistenceId) -> Outcome {
    let stream = open(journal, id).stream;
    let outcome = block_on(journal.forget(stream));
    journal.close_stream(stream);
    outcome
}

/// Offset, stream and first sequence number of all runs.
fn order(journal: &dyn Journal) -> Vec<(u64, u64, u64)> {
    let order = read_all(journal, 1).unwrap();
    assert_eq!(read_all(journal, usize::MAX).unwrap(), order);
    order
}

pub(super) fn a_forgotten_stream_is_read_as_nothing_and_stays_ended(mut store_in: impl Store) {
    let alice = id("alice");
    let journal = store_in.journal();
    assert_eq!(store_forgettable(journal, &alice, &[b"a1", b"a2"]), Offset(1));
    assert_eq!(store_forgettable(journal, &alice, &[b"a3"]), Offset(3));
    store_in = store_in.reopen();
    let journal = store_in.journal();
    assert_eq!(read(journal, &alice).unwrap(), numbered(&[b"a1", b"a2", b"a3"]));
    end(journal, &alice, &[b"a4"]);
    let stream = open(journal, &alice).stream;
    for _ in 0..2 {
        assert_eq!(block_on(journal.stream_id(stream)).unwrap(), Some(alice.clone()));
        journal.close_stream(stream);
    }
    assert_eq!(order(journal).len(), 1);

    assert_eq!(forget(journal, &alice), Outcome::Stored(Offset(5)));
    for _ in 0..3 {
        let journal = store_in.journal();
        assert_eq!(head(journal, &alice), (5, 5, true));
        assert_eq!(read(journal, &alice).unwrap(), []);
        assert_eq!(order(journal), []);
        assert_eq!(journal.durable(), Offset(5));
        let stream = open(journal, &alice).stream;
        assert!(matches!(journal.cipher(stream), Ok(None) | Err(ReadError::Forgotten { .. })));
        for _ in 0..2 {
            let nothing = Page { runs: vec![], more: false };
            assert_eq!(block_on(journal.read(stream, SeqNr(1), SeqNr(9), usize::MAX)).unwrap(), nothing);
            assert_eq!(block_on(journal.stream_id(stream)).unwrap(), None);
            let late = append(journal, vec![forgettable_run(journal, stream, &alice, 6, &[b"x"])]);
            assert!(
                matches!(late[..], [Outcome::NotStored(Why::Ended { last: SeqNr(5) } | Why::BadRun(_))]),
                "{late:?}"
            );
            journal.close_stream(stream);
        }
        // Again, and a less of it.
        assert_eq!(forget(journal, &alice), Outcome::Stored(Offset(5)));
        assert_eq!(delete(journal, &alice, 2), Outcome::Stored(Offset(5)));
        store_in = store_in.reopen();
    }
}

pub(super) fn only_what_has_ended_and_was_begun_so_can_be_forgotten(mut store_in: impl Store) {
    let [alice, bob, nobody] = ["alice", "bob", "nobody"].map(id);
    let bad = |outcome: Outcome| matches!(outcome, Outcome::NotStored(Why::BadRun(_)));
    let journal = store_in.journal();
    store_forgettable(journal, &alice, &[b"a"]);
    let plain = open(journal, &bob).stream;
    let begun = append(journal, vec![run(journal, plain, &bob, 1, &[b"b"])]);
    assert_eq!(begun, [Outcome::Stored(Offset(2))]);
    journal.close_stream(plain);
    let can_be_forgotten = forget(journal, &bob) != Outcome::NotStored(Why::NotForgettable);
    for _ in 0..2 {
        let journal = store_in.journal();
        assert!(bad(forget(journal, &alice)), "it hasn't ended");
        assert!(bad(forget(journal, &nobody)), "it has no records");
        for stream in [0, 77, u64::MAX] {
            assert!(bad(block_on(journal.forget(StreamNo(stream)))), "there is no such stream");
        }
        let stream = open(journal, &alice).stream;
        journal.close_stream(stream);
        assert!(bad(block_on(journal.forget(stream))), "it isn't open");
        store_in = store_in.reopen();
    }
    let journal = store_in.journal();
    for id in [&alice, &bob] {
        end(journal, id, &[]);
    }
    if !can_be_forgotten {
        assert_eq!(forget(journal, &bob), Outcome::NotStored(Why::NotForgettable));
    }
    assert_eq!(forget(journal, &alice), Outcome::Stored(Offset(4)));
    block_on(journal.close()).unwrap();
    assert_eq!(block_on(journal.forget(StreamNo(1))), Outcome::NotStored(Why::Closed));
}

pub(super) fn the_first_run_decides_whether_a_stream_can_be_forgotten(mut store_in: impl Store) {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(id);
    let journal = store_in.journal();
    let streams = [&alice, &bob, &carol].map(|id| open(journal, id).stream);
    // One that is refused decides nothing.
    for (stream, id, forgettable) in [(streams[0], &alice, false), (streams[1], &bob, true)] {
        let refused = Run { forgettable, ..run(journal, stream, id, 2, &[b"x"]) };
        assert!(matches!(append(journal, vec![refused])[..], [Outcome::NotStored(Why::Conflict { .. })]));
    }
    for (index, id, forgettable) in [(0, &alice, [true, false]), (1, &bob, [false, true])] {
        for (first, forgettable) in (1..).zip(forgettable) {
            let run = Run { forgettable, ..run(journal, streams[index], id, first, &[b"x"]) };
            assert!(matches!(append(journal, vec![run])[..], [Outcome::Stored(_)]));
        }
    }
    // Two that want to be the first, and their followers, in flight at once: what is stored is of one kind.
    let in_flight: Vec<_> = [(1, true), (1, false), (2, true), (2, false), (2, false)]
        .map(|(first, forgettable)| {
            journal.append(vec![Run { forgettable, ..run(journal, streams[2], &carol, first, &[b"x"]) }])
        })
        .into();
    let outcomes: Vec<_> = in_flight.into_iter().flat_map(block_on).collect();
    assert!(matches!(outcomes[..2], [Outcome::Stored(_), Outcome::NotStored(Why::Conflict { .. })]), "{outcomes:?}");
    let stored = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Stored(_))).count();
    for stream in streams {
        journal.close_stream(stream);
    }
    for _ in 0..2 {
        let journal = store_in.journal();
        for (id, events) in [(&alice, 2), (&bob, 2), (&carol, stored)] {
            assert_eq!(read(journal, id).unwrap().len(), events, "{id}");
        }
        assert_eq!(order(journal).len(), 4 + stored);
        store_in = store_in.reopen();
    }
    let journal = store_in.journal();
    for id in [&alice, &bob, &carol] {
        end(journal, id, &[]);
    }
    assert!(matches!(forget(journal, &alice), Outcome::Stored(_)));
    assert!(matches!(forget(journal, &carol), Outcome::Stored(_)));
}

pub(super) fn forgetting_takes_nothing_from_others(mut store_in: impl Store) {
    let ids = ["alice", "bob", "carol"].map(id);
    let journal = store_in.journal();
    for round in 0..4_u8 {
        for id in &ids {
            store_forgettable(journal, id, &[&[round]]);
        }
        store(journal, &id("dave"), &[&[round]]);
    }
    store_with(journal, &ids[1], &[Due::At(at(5))]);
    end(journal, &ids[1], &[b"last"]);
    let before = order(journal);
    assert_eq!(before.len(), 13);
    assert!(matches!(forget(journal, &ids[1]), Outcome::Stored(_)));
    for _ in 0..2 {
        let journal = store_in.journal();
        let bob = open(journal, &ids[1]).stream;
        journal.close_stream(bob);
        let left: Vec<_> = before.iter().copied().filter(|(_, stream, _)| *stream != bob.0).collect();
        assert_eq!(left.len(), 12);
        assert_eq!(order(journal), left);
        assert_eq!(block_on(journal.armed()).unwrap(), []);
        for id in [&ids[0], &ids[2], &id("dave")] {
            assert_eq!(read(journal, id).unwrap(), numbered(&[&[0], &[1], &[2], &[3]]));
        }
        store_in = store_in.reopen();
    }
    // Also when all the others follow.
    let journal = store_in.journal();
    for id in [&ids[0], &ids[2]] {
        let StreamHead { stream, last, .. } = open(journal, id);
        let ends = journal.append(vec![run_that_ends(journal, stream, id, last.0 + 1, &[])]);
        let forgotten = journal.forget(stream);
        assert!(matches!(block_on(ends)[..], [Outcome::Stored(_)]));
        assert!(matches!(block_on(forgotten), Outcome::Stored(_)));
        journal.close_stream(stream);
    }
    let store_in = store_in.reopen();
    assert_eq!(order(store_in.journal()).len(), 4);
    assert_eq!(read(store_in.journal(), &id("dave")).unwrap().len(), 4);
}

#[cfg(feature = "fjall")]
mod encrypted {
    use super::*;
    use crate::journal::{Armed, Cipher, CloseError, Facts, FjallJournal, FjallOptions, Fut};

    /// A journal on a disk whose streams are all begun as ones that can be forgotten, so that everything is encrypted.
    pub(in crate::journal::suite) struct Encrypted {
        journal: Option<AllForgettable>,
        dir: tempfile::TempDir,
    }

    struct AllForgettable(FjallJournal);

    impl Encrypted {
        pub(in crate::journal::suite) fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            Self { journal: Some(Self::open(&dir)), dir }
        }

        fn open(dir: &tempfile::TempDir) -> AllForgettable {
            AllForgettable(FjallJournal::open(dir.path().join("journal"), FjallOptions::new()).unwrap())
        }
    }

    impl Store for Encrypted {
        fn journal(&self) -> &dyn Journal {
            self.journal.as_ref().unwrap()
        }

        fn reopen(mut self) -> Self {
            block_on(self.journal().close()).unwrap();
            drop(self.journal.take());
            Self { journal: Some(Self::open(&self.dir)), dir: self.dir }
        }

        fn crash(mut self) -> Self {
            let dir = tempfile::tempdir().unwrap();
            copy_sparse(&self.dir.path().join("journal"), &dir.path().join("journal"));
            drop(self.journal.take());
            Self { journal: Some(Self::open(&dir)), dir }
        }

        fn stop_removal_after(&self, steps: usize) {
            self.journal.as_ref().unwrap().0.stop_removal_after(steps);
        }

        fn write_derived(&self) {
            self.journal.as_ref().unwrap().0.write_deadlines();
        }
    }

    impl Journal for AllForgettable {
        fn append(&self, mut group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
            for run in &mut group {
                run.forgettable = true;
            }
            self.0.append(group)
        }

        fn facts(&self) -> Facts {
            self.0.facts()
        }

        fn open_stream(&self, id: &PersistenceId) -> Fut<'_, Result<StreamHead, ReadError>> {
            self.0.open_stream(id)
        }

        fn close_stream(&self, stream: StreamNo) {
            self.0.close_stream(stream);
        }

        fn durable(&self) -> Offset {
            self.0.durable()
        }

        fn changed(&self, beyond: Offset) -> Fut<'static, Offset> {
            self.0.changed(beyond)
        }

        fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
            self.0.read(stream, from, to, bytes_max)
        }

        fn read_all(&self, after: Offset, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
            self.0.read_all(after, bytes_max)
        }

        fn armed(&self) -> Fut<'_, Result<Vec<Armed>, ReadError>> {
            self.0.armed()
        }

        fn stream_id(&self, stream: StreamNo) -> Fut<'_, Result<Option<PersistenceId>, ReadError>> {
            self.0.stream_id(stream)
        }

        fn delete_to(&self, stream: StreamNo, to: SeqNr) -> Fut<'static, Outcome> {
            self.0.delete_to(stream, to)
        }

        fn forget(&self, stream: StreamNo) -> Fut<'static, Outcome> {
            self.0.forget(stream)
        }

        fn cipher(&self, stream: StreamNo) -> Result<Option<Arc<dyn Cipher>>, ReadError> {
            self.0.cipher(stream)
        }

        fn health(&self) -> Health {
            self.0.health()
        }

        fn close(&self) -> Fut<'_, Result<(), CloseError>> {
            self.0.close()
        }
    }
}
