//! Too little space: what is refused, what is still taken, and that it ends by itself.

use super::*;
use crate::journal::suite::deletion::run_that_ends;
use crate::snapshot::{SnapshotStoreError, StoredSnapshot};

const FLOOR: u64 = 100_000;
/// There is room for one short group, and so it is looked before each.
const ROOMY: u64 = FLOOR + 1000;
const LOW: Why = Why::StorageLow { free: FLOOR - 1, floor: FLOOR };

fn roomy() -> (TempDir, PathBuf, FjallJournal) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let journal = FjallJournal::open(&path, FjallOptions::new().free_bytes_min(FLOOR)).unwrap();
    journal.shared.space.pretend(ROOMY);
    (dir, path, journal)
}

fn next(journal: &FjallJournal, name: &str) -> Outcome {
    let head = open(journal, &id(name));
    let outcome = append(journal, vec![run(journal, head.stream, &id(name), head.last.0 + 1, &[b"x"])]).remove(0);
    journal.close_stream(head.stream);
    outcome
}

fn wait_for_room(journal: &FjallJournal) {
    while journal.health() != Health::Good {
        std::thread::yield_now();
    }
}

#[test]
fn writes_are_refused_and_nothing_else_suffers_until_there_is_space() {
    let (_dir, path, journal) = roomy();
    store(&journal, &id("alice"), &[b"x"]);
    journal.shared.space.pretend(FLOOR - 1);
    for _ in 0..3 {
        assert_eq!(next(&journal, "alice"), Outcome::NotStored(LOW));
    }
    assert_eq!(journal.health(), Health::StorageLow { free: FLOOR - 1, floor: FLOOR });
    assert_eq!(read(&journal, &id("alice")).unwrap().len(), 1);
    assert_eq!(journal.durable(), Offset(1));
    let mut waiting = journal.changed(Offset(1));
    assert!(is_pending(&mut waiting), "it isn't the end");

    journal.shared.space.pretend(ROOMY);
    wait_for_room(&journal);
    assert_eq!(next(&journal, "alice"), Outcome::Stored(Offset(2)));
    assert_eq!(block_on(waiting), Offset(2));
    drop(journal);
    assert_eq!(read(&journal_in(&path).unwrap(), &id("alice")).unwrap().len(), 2);
}

#[test]
fn the_followers_of_what_was_refused_are_not_stored_either() {
    let (_dir, _path, journal) = roomy();
    let stream = open(&journal, &id("alice")).stream;
    journal.shared.space.pretend(FLOOR - 1);
    let first = append(&journal, vec![run(&journal, stream, &id("alice"), 1, &[b"x"])]);
    journal.shared.space.pretend(ROOMY);
    wait_for_room(&journal);
    let second = append(&journal, vec![run(&journal, stream, &id("alice"), 2, &[b"y"])]);
    assert_eq!(first, [Outcome::NotStored(LOW)]);
    assert_eq!(second, [Outcome::NotStored(Why::Conflict { expected: SeqNr(1), last: SeqNr(0) })]);
}

#[test]
fn what_gives_space_back_is_taken_down_to_a_part_of_the_floor() {
    let (_dir, path, journal) = roomy();
    fill(&journal, 6);
    journal.shared.space.pretend(FLOOR - 1);
    assert!(matches!(next(&journal, "bob"), Outcome::NotStored(Why::StorageLow { floor: FLOOR, .. })));
    assert!(matches!(delete(&journal, &id("alice"), 1), Outcome::Stored(_)));
    let bob = open(&journal, &id("bob"));
    let ends = run_that_ends(&journal, bob.stream, &id("bob"), bob.last.0 + 1, &[]);
    let carol = open(&journal, &id("carol"));
    let goes_on = run(&journal, carol.stream, &id("carol"), carol.last.0 + 1, &[b"x"]);
    let outcomes = append(&journal, vec![goes_on, ends]);
    assert!(matches!(outcomes[..], [Outcome::NotStored(Why::StorageLow { .. }), Outcome::Stored(_)]), "{outcomes:?}");

    journal.shared.space.pretend(FLOOR / 4 - 1);
    let least = Why::StorageLow { free: FLOOR / 4 - 1, floor: FLOOR / 4 };
    // The last look may still count.
    while delete(&journal, &id("alice"), 2) != Outcome::NotStored(least.clone()) {
        assert_eq!(head(&journal, &id("alice")).1, 2);
        std::thread::yield_now();
    }
    let outcome = block_on(journal.forget(bob.stream));
    assert_eq!(outcome, Outcome::NotStored(least));
    drop(journal);
    let journal = journal_in(&path).unwrap();
    assert_eq!(head(&journal, &id("bob")), (5, 4, true));
    assert_eq!(read(&journal, &id("carol")).unwrap().len(), 4);
}

#[test]
fn a_snapshot_is_not_saved_and_the_next_one_is() {
    let (_dir, _path, journal) = roomy();
    let snapshots = journal.snapshots().unwrap();
    let stored =
        |bytes: &[u8]| StoredSnapshot { seq_nr: SeqNr(1), time: jiff::Timestamp::UNIX_EPOCH, bytes: bytes.into() };
    journal.shared.space.pretend(FLOOR - 1);
    let refused = block_on(snapshots.save(&id("alice"), stored(b"x")));
    assert_eq!(refused, Err(SnapshotStoreError::StorageLow { id: id("alice"), free: FLOOR - 1, floor: FLOOR }));
    assert_eq!(block_on(snapshots.list(&id("alice"))), Ok(vec![]));
    journal.shared.space.pretend(ROOMY);
    block_on(snapshots.save(&id("alice"), stored(b"x"))).unwrap();
    assert_eq!(block_on(snapshots.list(&id("alice"))).unwrap().len(), 1);
}

#[test]
fn a_journal_with_too_little_space_closes_in_order() {
    let (_dir, path, journal) = roomy();
    store(&journal, &id("alice"), &[b"x"]);
    journal.shared.space.pretend(FLOOR - 1);
    assert_eq!(next(&journal, "alice"), Outcome::NotStored(LOW));
    block_on(journal.close()).unwrap();
    assert_eq!(journal.health(), Health::Closed);
    assert_eq!(read(&journal_in(&path).unwrap(), &id("alice")).unwrap().len(), 1);
}

#[test]
fn too_little_space_is_told_before_anything_is_refused() {
    let (_dir, _path, journal) = roomy();
    for free in [FLOOR - 1, FLOOR - 2] {
        assert_eq!(journal.health(), Health::Good);
        journal.shared.space.pretend(free);
        let looks = journal.shared.space.looks();
        while journal.health() == Health::Good {
            std::thread::yield_now();
        }
        assert_eq!(journal.health(), Health::StorageLow { free, floor: FLOOR });
        assert!(journal.shared.space.looks() > looks);
        journal.shared.space.pretend(ROOMY);
        wait_for_room(&journal);
    }
    assert_eq!(next(&journal, "alice"), Outcome::Stored(Offset(1)));
}

#[test]
fn what_would_go_below_the_floor_is_refused_and_what_is_shorter_is_stored() {
    let (_dir, path, journal) = roomy();
    let long = vec![7; 100_000];
    journal.shared.space.pretend(FLOOR + 10_000);
    let [alice, bob] = ["alice", "bob"].map(|name| open(&journal, &id(name)).stream);
    let group = || vec![run(&journal, alice, &id("alice"), 1, &[&long]), run(&journal, bob, &id("bob"), 1, &[b"x"])];
    let outcomes = append(&journal, group());
    let [Outcome::NotStored(Why::StorageLow { free, floor }), Outcome::Stored(Offset(1))] = outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert!(free == FLOOR + 10_000 && floor > FLOOR + 2 * 100_000, "{free} {floor}");
    assert_eq!(journal.health(), Health::StorageLow { free, floor });
    // It is over when there is room for the long one, without anybody's doing.
    journal.shared.space.pretend(FLOOR + 1_000_000);
    wait_for_room(&journal);
    let outcome = append(&journal, vec![run(&journal, alice, &id("alice"), 1, &[&long])]);
    assert_eq!(outcome, [Outcome::Stored(Offset(2))]);
    drop(journal);
    assert_eq!(read(&journal_in(&path).unwrap(), &id("alice")).unwrap().len(), 1);
}
