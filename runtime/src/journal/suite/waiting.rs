//! Waiting for what becomes durable, and the names of streams.

use super::*;

pub(super) fn who_waits_hears_of_what_became_durable(store_in: impl Store) {
    let journal = store_in.journal();
    store(journal, &id("alice"), &[b"x", b"y"]);
    assert_eq!(block_on(journal.changed(Offset(0))), Offset(2));
    assert_eq!(block_on(journal.changed(Offset(1))), Offset(2));
    let mut waiting: Vec<_> = [2, 2, 3, 4].map(|beyond| journal.changed(Offset(beyond))).into_iter().collect();
    assert!(waiting.iter_mut().all(is_pending));
    let threads: Vec<_> = waiting.into_iter().map(|waiting| std::thread::spawn(|| block_on(waiting))).collect();
    for _ in 0..3 {
        store(journal, &id("bob"), &[b"x"]);
    }
    for (thread, beyond) in threads.into_iter().zip([2, 2, 3, 4]) {
        let reached = thread.join().unwrap();
        assert!(reached > Offset(beyond) && reached <= journal.durable(), "{reached:?}");
    }
    // Nobody waits for a run that isn't stored.
    let mut waiting = journal.changed(Offset(5));
    append(journal, vec![run(journal, StreamNo(99), &id("alice"), 1, &[b"x"])]);
    assert!(is_pending(&mut waiting));
}

pub(super) fn who_has_waited_in_vain_leaves_no_trace(store_in: impl Store) {
    let journal = store_in.journal();
    let mut waiting: Vec<_> = (0..100).map(|_| journal.changed(Offset(0))).collect();
    assert!(waiting.iter_mut().all(is_pending));
    waiting.truncate(1);
    store(journal, &id("alice"), &[b"x"]);
    assert_eq!(waiting.pop().map(block_on), Some(Offset(1)));
}

pub(super) fn the_end_of_a_journal_ends_all_waiting(store_in: impl Store) {
    let journal = store_in.journal();
    store(journal, &id("alice"), &[b"x"]);
    let (mut near, mut far) = (journal.changed(Offset(1)), journal.changed(Offset(u64::MAX)));
    assert!(is_pending(&mut near) && is_pending(&mut far));
    let thread = std::thread::spawn(|| block_on(near));
    block_on(journal.close()).unwrap();
    assert_eq!(thread.join().unwrap(), Offset(1));
    assert_eq!(block_on(far), Offset(1));
    assert_eq!(block_on(journal.changed(Offset(7))), Offset(1));
    let after = journal.changed(Offset(1));
    let store_in = store_in.reopen();
    assert_eq!(block_on(after), Offset(1));
    // The one that is open now goes on.
    let mut waiting = store_in.journal().changed(Offset(1));
    assert!(is_pending(&mut waiting));
    store(store_in.journal(), &id("alice"), &[b"y"]);
    assert_eq!(block_on(waiting), Offset(2));
}

pub(super) fn a_stream_is_named_once_it_has_records(mut store_in: impl Store) {
    let journal = store_in.journal();
    let name = |journal: &dyn Journal, stream| block_on(journal.stream_id(stream)).unwrap();
    let (alice, unused) = (open(journal, &id("alice")).stream, open(journal, &id("unused")).stream);
    assert_eq!(name(journal, alice), None);
    store(journal, &id("alice"), &[b"x"]);
    store(journal, &id("alice"), &[b"y"]);
    let bob = open(journal, &id("b\0ob")).stream;
    store(journal, &id("b\0ob"), &[b"x"]);
    journal.close_stream(bob);
    for _ in 0..2 {
        let journal = store_in.journal();
        assert_eq!(name(journal, alice), Some(id("alice")));
        assert_eq!(name(journal, bob), Some(id("b\0ob")));
        for nobody in [unused, StreamNo(0), StreamNo(99), StreamNo(u64::MAX)] {
            assert_eq!(name(journal, nobody), None, "{nobody}");
        }
        store_in = store_in.reopen();
    }
    block_on(store_in.journal().close()).unwrap();
    assert_eq!(block_on(store_in.journal().stream_id(alice)), Err(ReadError::Closed));
    assert_eq!(block_on(store_in.journal().armed()), Err(ReadError::Closed));
}
