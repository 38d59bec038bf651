//! A writer that isn't back in time: what is told, and that it can't tell anything itself any more.

use std::thread;

use super::super::faults::Gate;
use super::*;
use crate::journal::keys::Slot;
use crate::journal::suite::forgetting::forgettable_run;
use crate::journal::{Run, Settled};

/// Looks at no space while nothing is written: only what a test does makes a step.
fn options() -> FjallOptions {
    FjallOptions::new().free_bytes_min(0)
}

fn new() -> (TempDir, PathBuf, FjallJournal) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let journal = FjallJournal::open(&path, options()).unwrap();
    (dir, path, journal)
}

/// Opens it once the lock is free.
fn open_when_free(path: &Path) -> FjallJournal {
    loop {
        match journal_in(path) {
            Ok(journal) => return journal,
            Err(OpenError::Locked { .. }) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn alice(journal: &FjallJournal, first: u64) -> Run {
    run(journal, open(journal, &id("alice")).stream, &id("alice"), first, &[b"x"])
}

fn is_failed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotStored(Why::Failed(cause)) if cause.contains("wasn't back within 30000 ms"))
}

#[test]
fn what_hangs_is_unknown_what_waits_is_not_stored_and_reading_goes_on() {
    for gate in [Gate::BeforeCommit, Gate::BehindCommit] {
        let (_dir, path, journal) = new();
        store(&journal, &id("alice"), &[b"x"]);
        journal.shared.faults.hold(gate);
        let (hanging, key) = (alice(&journal, 2), alice(&journal, 2).key(&journal.facts()));
        let hanging_key = hanging.key(&journal.facts());
        let hanging = journal.append(vec![hanging]);
        journal.shared.faults.wait_for_arrival();
        let waiting = journal.append(vec![alice(&journal, 3)]);
        let deletion = journal.delete_to(open(&journal, &id("alice")).stream, SeqNr(1));
        journal.shared.watch.expire();
        let outcomes = block_on(hanging);
        assert!(
            matches!(&outcomes[..], [Outcome::Unknown(Cause(cause))] if cause.contains("30000 ms")),
            "{outcomes:?}"
        );
        assert!(matches!(journal.health(), Health::Failed(_)), "failed before anybody hears");
        assert!(is_failed(&block_on(waiting)[0]));
        assert!(is_failed(&block_on(deletion)));
        assert!(is_failed(&block_on(journal.append(vec![alice(&journal, 2)]))[0]));
        assert_eq!(block_on(journal.changed(Offset(1))), Offset(1), "nobody waits for what doesn't come");
        assert_eq!(read(&journal, &id("alice")).unwrap().len(), 1);
        assert_eq!(block_on(journal.settle(&hanging_key)), Ok(Settled::Unsettled));

        // It comes back, and has nobody to tell and nothing to move.
        journal.shared.faults.release();
        assert_eq!(block_on(journal.close()), Err(CloseError(failure(&journal))));
        drop(journal);
        let journal = open_when_free(&path);
        assert_eq!(block_on(journal.settle(&hanging_key)), Ok(Settled::Stored(Offset(2))));
        assert_eq!(block_on(journal.settle(&key)), Ok(Settled::NotStored));
        store(&journal, &id("alice"), &[b"y"]);
    }
}

#[test]
fn what_waits_is_bounded_and_what_is_refused_for_that_may_come_again() {
    let (_dir, path, journal) = new();
    journal.shared.faults.hold(Gate::BeforeCommit);
    let mut waiting = vec![journal.append(vec![alice(&journal, 1)])];
    journal.shared.faults.wait_for_arrival();
    let long = vec![b'x'; 900_000];
    let long = |number: u64| {
        let id = id(&format!("{number}"));
        journal.append(vec![run(&journal, open(&journal, &id).stream, &id, 1, &[&long])])
    };
    let limit = queue::QUEUE_BYTES_MAX;
    let mut number = 0;
    // It takes what begins below the limit.
    while number * 900_000 <= u64::try_from(limit).unwrap() {
        number += 1;
        waiting.push(long(number));
    }
    let refused = block_on(long(number + 1));
    assert!(
        matches!(refused[..], [Outcome::NotStored(Why::QueueFull { bytes, limit: told })] if bytes > limit && told == limit),
        "{refused:?}"
    );
    assert_eq!(journal.health(), Health::Good);

    journal.shared.faults.release();
    for outcomes in waiting {
        assert!(matches!(block_on(outcomes)[..], [Outcome::Stored(_)]));
    }
    assert!(matches!(block_on(long(number + 1))[..], [Outcome::Stored(_)]), "there is room again");
    drop(journal);
    assert_eq!(read(&journal_in(&path).unwrap(), &id(&format!("{number}"))).unwrap().len(), 1);
}

fn failure(journal: &FjallJournal) -> Arc<str> {
    match journal.health() {
        Health::Failed(cause) => cause,
        health => panic!("{health:?}"),
    }
}

#[test]
fn who_comes_back_late_acknowledges_nothing_and_moves_nothing() {
    for gate in [Gate::BeforeCommit, Gate::BehindCommit] {
        let (_dir, path, journal) = new();
        store(&journal, &id("alice"), &[b"x"]);
        journal.shared.faults.hold(gate);
        let hanging = journal.append(vec![alice(&journal, 2)]);
        journal.shared.faults.wait_for_arrival();
        journal.shared.watch.expire();
        assert!(matches!(block_on(hanging)[..], [Outcome::Unknown(_)]));
        journal.shared.faults.release();
        // It has come back when it has given the lock back, which it does when it is told to close.
        journal.shared.queue.close(None);
        while journal.shared.watch.wait_for_end().is_err() {
            thread::yield_now();
        }
        assert_eq!((journal.durable(), block_on(journal.changed(Offset(1)))), (Offset(1), Offset(1)));
        assert!(matches!(journal.health(), Health::Failed(_)));
        drop(journal);
        let Ok(crate::journal::head::Found::Good(head)) = crate::journal::head::Head::read(&path.join("head")) else {
            panic!("the head is good")
        };
        assert_eq!(head.state, crate::journal::head::State::Failed);
        assert_eq!(read(&journal_in(&path).unwrap(), &id("alice")).unwrap().len(), 2);
    }
}

#[test]
fn a_commit_that_fails_after_all_is_told_once() {
    let (_dir, path, journal) = new();
    store(&journal, &id("alice"), &[b"x"]);
    journal.shared.faults.fail_next_commit();
    journal.shared.faults.hold(Gate::BeforeCommit);
    let hanging = journal.append(vec![alice(&journal, 2)]);
    journal.shared.faults.wait_for_arrival();
    journal.shared.watch.expire();
    assert!(matches!(block_on(hanging)[..], [Outcome::Unknown(_)]));
    let cause = failure(&journal);
    journal.shared.faults.release();
    assert_eq!(block_on(journal.close()), Err(CloseError(Arc::clone(&cause))), "the first cause stays");
    drop(journal);
    assert_eq!(read(&open_when_free(&path), &id("alice")).unwrap().len(), 1);
}

#[test]
fn nobody_waits_for_a_journal_that_hangs_and_nobody_else_gets_it() {
    let (_dir, path, journal) = new();
    journal.shared.faults.hold(Gate::BeforeCommit);
    let shared = Arc::clone(&journal.shared);
    let before = journal.append(vec![alice(&journal, 1)]);
    shared.faults.wait_for_arrival();
    let mut closing = journal.close();
    assert!(is_pending(&mut closing), "it isn't given up yet");
    shared.watch.expire();
    assert!(matches!(block_on(closing), Err(CloseError(cause)) if cause.contains("30000 ms")));
    assert!(matches!(block_on(before)[..], [Outcome::Unknown(_)]));
    assert!(block_on(journal.close()).is_err(), "who comes later doesn't wait either");
    drop(journal);
    assert!(matches!(journal_in(&path), Err(OpenError::Locked { .. })), "something may still be written");
    shared.faults.release();
    drop(shared);
    assert_eq!(read(&open_when_free(&path), &id("alice")).unwrap().len(), 1);
}

#[test]
fn a_journal_that_hangs_while_it_closes_is_told_so_and_is_not_marked_as_closed() {
    for drops in [false, true] {
        let (_dir, path, journal) = new();
        store(&journal, &id("alice"), &[b"x"]);
        journal.shared.faults.hold(Gate::Closing);
        let shared = Arc::clone(&journal.shared);
        if drops {
            shared.watch.expire();
        } else {
            let closing = journal.close();
            shared.faults.wait_for_arrival();
            shared.watch.expire();
            assert!(matches!(block_on(closing), Err(CloseError(cause)) if cause.contains("closing")));
            assert!(matches!(journal.health(), Health::Failed(_)));
        }
        drop(journal);
        assert!(matches!(journal_in(&path), Err(OpenError::Locked { .. })));
        shared.faults.release();
        drop(shared);
        let journal = open_when_free(&path);
        assert_eq!(journal.opening().ended, Ended::Unclean);
        assert_eq!(read(&journal, &id("alice")).unwrap().len(), 1);
    }
}

#[test]
fn a_removal_that_hangs_lets_nobody_wait() {
    let (_dir, path, journal) = new();
    store(&journal, &id("alice"), &[b"x"]);
    store(&journal, &id("alice"), &[b"y"]);
    let stream = open(&journal, &id("alice")).stream;
    journal.shared.faults.hold(Gate::Removing);
    assert!(matches!(block_on(journal.delete_to(stream, SeqNr(1))), Outcome::Stored(_)));
    journal.shared.faults.wait_for_arrival();
    let mut waiting = journal.append(vec![alice(&journal, 3)]);
    assert!(is_pending(&mut waiting));
    journal.shared.watch.expire();
    assert!(matches!(block_on(waiting)[..], [Outcome::NotStored(Why::Failed(_))]));
    journal.shared.faults.release();
    drop(journal);
    assert_eq!(read(&open_when_free(&path), &id("alice")).unwrap().len(), 1);
}

#[test]
fn keys_that_are_not_destroyed_in_time_leave_their_streams_end_unknown_and_the_next_opening_destroys_them() {
    let (_dir, path, journal) = new();
    let stream = open(&journal, &id("alice")).stream;
    let first = forgettable_run(&journal, stream, &id("alice"), 1, &[b"x"]);
    assert!(matches!(append(&journal, vec![first])[..], [Outcome::Stored(_)]));
    end(&journal, &id("alice"), &[]);
    journal.shared.faults.hold(Gate::Destroying);
    let forgotten = journal.forget(stream);
    journal.shared.faults.wait_for_arrival();
    journal.shared.watch.expire();
    assert!(matches!(block_on(forgotten), Outcome::Unknown(_)));
    let store = journal.facts().store;
    drop(journal);
    // Its writer is gone for good: this is what is on the disk.
    let image = path.with_file_name("image");
    copy(&path, &image);
    let slot = || Keys::look(&image, store).unwrap().slot(1).unwrap();
    assert_eq!(slot(), Slot::Of(stream), "there is nothing to destroy");
    let journal = journal_in(&image).unwrap();
    assert_eq!(slot(), Slot::Nothing);
    assert!(matches!(journal.cipher(open(&journal, &id("alice")).stream), Err(ReadError::Forgotten { .. }) | Ok(None)));
}

#[test]
fn a_step_is_given_up_when_its_time_is_over_and_one_that_is_in_time_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let within = Duration::from_millis(40);
    let journal = FjallJournal::open(&path, FjallOptions::new().stalled_after(within)).unwrap();
    journal.shared.faults.hold(Gate::BeforeCommit);
    let began = std::time::Instant::now();
    let outcomes = block_on(journal.append(vec![alice(&journal, 1)]));
    assert!(began.elapsed() >= within, "it had less time than it was given");
    assert!(
        matches!(&outcomes[..], [Outcome::Unknown(Cause(cause))] if cause.contains("within 40 ms")),
        "{outcomes:?}"
    );
    journal.shared.faults.release();
}

#[test]
fn either_the_writer_tells_or_the_watchdog_and_what_was_acknowledged_is_there() {
    for gate in [Gate::BeforeCommit, Gate::BehindCommit] {
        assert!(matches!(late(gate, First::Writer), Outcome::Stored(_)), "{gate:?}");
        assert!(matches!(late(gate, First::Watchdog), Outcome::Unknown(_)), "{gate:?}");
        // Whoever it is.
        for _ in 0..12 {
            late(gate, First::Nobody);
        }
    }
}

/// Who comes first when a commit comes back about when its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Writer,
    Watchdog,
    /// Both at once.
    Nobody,
}

/// What is told of a commit that stood at a gate, and is true.
fn late(gate: Gate, first: First) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let journal = FjallJournal::open(&path, options().durability(Durability::Os)).unwrap();
    journal.shared.faults.hold(gate);
    let mut group = journal.append(vec![alice(&journal, 1)]);
    journal.shared.faults.wait_for_arrival();
    let shared = Arc::clone(&journal.shared);
    let outcome = match first {
        First::Writer => {
            shared.faults.release();
            let outcome = block_on(group).remove(0);
            shared.watch.expire();
            outcome
        }
        First::Watchdog => {
            shared.watch.expire();
            let outcome = block_on(&mut group).remove(0);
            shared.faults.release();
            outcome
        }
        First::Nobody => {
            let start = std::sync::Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    shared.watch.expire();
                });
                start.wait();
                shared.faults.release();
                block_on(group).remove(0)
            })
        }
    };
    let durable = journal.durable();
    drop(journal);
    drop(shared);
    let found = read(&open_when_free(&path), &id("alice")).unwrap().len();
    match &outcome {
        Outcome::Stored(offset) => assert_eq!((*offset, durable, found), (Offset(1), Offset(1), 1)),
        Outcome::Unknown(_) => assert_eq!(durable, Offset(0), "what nobody acknowledged became durable"),
        Outcome::NotStored(why) => panic!("{why}"),
    }
    outcome
}

#[test]
fn what_hangs_before_anything_is_written_is_not_stored() {
    for gate in [Gate::Looking, Gate::StoringKeys] {
        let (_dir, path, journal) = new();
        store(&journal, &id("bob"), &[b"x"]);
        let stream = open(&journal, &id("alice")).stream;
        let hanging = forgettable_run(&journal, stream, &id("alice"), 1, &[b"x"]);
        let key = hanging.key(&journal.facts());
        journal.shared.faults.hold(gate);
        let hanging = journal.append(vec![hanging]);
        journal.shared.faults.wait_for_arrival();
        journal.shared.watch.expire();
        let outcome = block_on(hanging).remove(0);
        assert!(is_failed(&outcome), "{gate:?}: {outcome:?}");
        // It comes back, and writes nothing any more.
        journal.shared.faults.release();
        drop(journal);
        let journal = open_when_free(&path);
        assert_eq!(block_on(journal.settle(&key)), Ok(Settled::NotStored), "{gate:?}");
        assert_eq!(read(&journal, &id("alice")), Ok(vec![]));
        store(&journal, &id("alice"), &[b"y"]);
    }
}
