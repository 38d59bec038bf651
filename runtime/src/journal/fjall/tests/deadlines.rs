//! The file of deadlines: used where it is of this chain, and else as if it weren't there.

use super::*;
use crate::journal::bytes::{CHECKSUM_BYTES, checksum};
use crate::journal::due::file::{decode, encode};
use crate::journal::order::group_key;
use crate::journal::suite::deadlines::{armed, at, run_with, store_with};
use crate::journal::{Armed, Due};

/// Gives each of the names a deadline, several times.
fn arm(journal: &FjallJournal, rounds: i64) {
    for round in 0..rounds {
        for (name, index) in NAMES.iter().zip(0..) {
            store_with(journal, &id(name), &[Due::At(at(round * 10 - index))]);
        }
    }
}

fn file_in(path: &Path) -> PathBuf {
    path.join("deadlines")
}

/// A file that says that one deadline is armed at the end of the journal.
fn other_deadlines(journal: &FjallJournal) -> Vec<u8> {
    encode(journal.facts().store, *lock(&journal.shared.durable), &[Armed { due: at(77), stream: StreamNo(2) }])
}

#[test]
fn a_file_of_this_chain_is_used_and_what_was_written_since_is_followed() {
    let (_dir, path, journal) = new();
    arm(&journal, 2);
    fs::write(file_in(&path), other_deadlines(&journal)).unwrap();
    assert_eq!(armed(&journal), [(77, 2)]);
    store_with(&journal, &id("alice"), &[Due::At(at(80))]);
    assert_eq!(armed(&journal), [(77, 2), (80, 1)]);
    store_with(&journal, &id("bob"), &[Due::Cleared]);
    assert_eq!(armed(&journal), [(80, 1)]);
    // Little was followed, so nothing was written.
    assert_eq!(decode(&fs::read(file_in(&path)).unwrap(), journal.facts().store).unwrap().1.len(), 1);
}

#[test]
fn a_file_that_is_damaged_foreign_or_newer_is_as_good_as_none() {
    let (_dir, path, journal) = new();
    arm(&journal, 2);
    let expected = armed(&journal);
    let good = other_deadlines(&journal);
    let store = journal.facts().store;
    let check = |bytes: &[u8], what: &str| {
        fs::write(file_in(&path), bytes).unwrap();
        assert_eq!(armed(&journal), expected, "{what}");
    };
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        check(&bad, &format!("bit {bit}"));
    }
    for len in 0..good.len() {
        check(&good[..len], &format!("torn at {len}"));
        let zeros = vec![0; good.len() - len];
        check(&[&good[..len], &zeros].concat(), &format!("zeros from {len}"));
    }
    check(&[&good[..], &[0]].concat(), "longer");
    check(&[0; 100_000], "much longer");

    let mut newer = good[..good.len() - CHECKSUM_BYTES].to_vec();
    newer[8] = 2;
    let sum = checksum(store, &[&newer]);
    newer.extend(sum.to_le_bytes());
    check(&newer, "newer");

    let end = *lock(&journal.shared.durable);
    let before = Mark { group: end.group - 1, ..end };
    for mark in [Mark::default(), before, Mark { group: end.group + 1, ..end }, Mark { digest: end.digest ^ 1, ..end }]
    {
        check(&encode(store, mark, &[]), "of another chain");
    }
    check(&encode(store ^ 1, end, &[]), "of another store");
    fs::remove_file(file_in(&path)).unwrap();
    fs::create_dir(file_in(&path)).unwrap();
    assert_eq!(armed(&journal), expected);
}

#[test]
fn a_file_that_can_not_be_written_changes_no_answer() {
    let (_dir, path, journal) = new();
    arm(&journal, 2);
    let expected = armed(&journal);
    fs::create_dir(path.join("deadlines.tmp")).unwrap();
    journal.write_deadlines();
    assert!(!file_in(&path).exists());
    assert_eq!(armed(&journal), expected);
    fs::remove_dir(path.join("deadlines.tmp")).unwrap();
    // What was left half written is written over.
    fs::write(path.join("deadlines.tmp"), [7; 1000]).unwrap();
    journal.write_deadlines();
    assert_eq!(names_in(&path), ["deadlines", "fjall", "head", "lock"]);
    assert_eq!(armed(&journal), expected);
}

#[test]
fn deadlines_survive_a_crash_with_the_file_and_without() {
    let (dir, path, journal) = new();
    arm(&journal, 2);
    journal.write_deadlines();
    arm(&journal, 3);
    store_with(&journal, &id("carol"), &[Due::Cleared]);
    let expected = armed(&journal);
    assert_eq!(expected.len(), 2);
    for has_file in [true, false] {
        let image = dir.path().join(format!("image-{has_file}"));
        copy(&path, &image);
        if !has_file {
            fs::remove_file(file_in(&image)).unwrap();
        }
        let journal = journal_in(&image).unwrap();
        assert_eq!(armed(&journal), expected);
        drop(journal);
        assert_eq!(armed(&journal_in(&image).unwrap()), expected);
    }
}

#[test]
fn a_file_from_a_later_time_or_another_journal_is_as_good_as_none() {
    let (dir, path, journal) = new();
    arm(&journal, 1);
    let expected = armed(&journal);
    drop(journal);
    let (older, other) = (dir.path().join("older"), dir.path().join("other"));
    copy(&path, &older);
    let journal = journal_in(&path).unwrap();
    arm(&journal, 4);
    journal.write_deadlines();

    fs::copy(file_in(&path), file_in(&older)).unwrap();
    let older = journal_in(&older).unwrap();
    assert_eq!(armed(&older), expected);
    // Also when it has as many groups, and others.
    for _ in 0..12 {
        store_with(&older, &id("alice"), &[Due::At(at(5))]);
        assert_eq!(armed(&older)[2], (5, 1));
    }

    let other = journal_in(&other).unwrap();
    fs::copy(file_in(&path), dir.path().join("other/deadlines")).unwrap();
    assert_eq!(armed(&other), []);
    arm(&other, 5);
    assert_eq!(armed(&other).len(), 3);
}

#[test]
fn a_group_that_is_missing_is_corrupt_and_never_a_deadline_that_is_lost() {
    for (group, has_file, is_found) in [(2, false, true), (4, false, true), (4, true, true), (2, true, false)] {
        let (_dir, path, journal) = new();
        arm(&journal, 1);
        if has_file {
            journal.write_deadlines();
        }
        arm(&journal, 2);
        let expected = armed(&journal);
        drop(journal);
        tamper(&path, |_, batch| batch.remove(&group_key(group)));
        let journal = journal_in(&path).unwrap();
        match block_on(journal.armed()) {
            Err(ReadError::Corrupt(_)) => assert!(is_found),
            Ok(_) => {
                assert!(!is_found, "the file stands for it");
                assert_eq!(armed(&journal), expected);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Stores so much in one group that to follow it takes longer than to read a file.
fn store_much(journal: &FjallJournal, due: Due) {
    let group = (0..2200).map(|index| {
        let id = id(&format!("{index:0>512}"));
        let StreamHead { stream, last, .. } = open(journal, &id);
        run_with(journal, stream, &id, last.0 + 1, &[due])
    });
    let outcomes = append(journal, group.collect());
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored(_))));
}

#[test]
fn what_takes_long_to_follow_is_written_down_when_it_is_read_and_at_the_end() {
    let (_dir, path, journal) = new();
    store_much(&journal, Due::Unchanged);
    drop(journal);
    assert!(!file_in(&path).exists(), "no deadline was ever armed, so closing did nothing for them");

    let journal = journal_in(&path).unwrap();
    assert_eq!(armed(&journal), []);
    let store = journal.facts().store;
    let read = || decode(&fs::read(file_in(&path)).unwrap(), store).unwrap();
    assert_eq!((read().0.group, read().1.len()), (1, 0));
    arm(&journal, 1);
    let expected = armed(&journal);
    drop(journal);
    assert_eq!(read().0.group, 1, "little was written, so closing did nothing for it");

    let journal = journal_in(&path).unwrap();
    assert_eq!(armed(&journal), expected);
    store_much(&journal, Due::At(at(9)));
    assert_eq!(read().0.group, 1);
    drop(journal);
    assert_eq!(read().0.group, 1, "the streams are known now, and their runs are short");
}

#[test]
fn closing_writes_down_what_takes_long_to_follow() {
    let (_dir, path, journal) = new();
    store_much(&journal, Due::At(at(9)));
    assert!(!file_in(&path).exists());
    let store = journal.facts().store;
    block_on(journal.close()).unwrap();
    let (mark, known) = decode(&fs::read(file_in(&path)).unwrap(), store).unwrap();
    assert_eq!((mark, known.len()), (*lock(&journal.shared.durable), 2200));
    drop(journal);
    assert_eq!(armed(&journal_in(&path).unwrap()).len(), 2200);
}

#[test]
fn what_is_to_be_followed_is_bounded_while_the_journal_is_open() {
    let (dir, path, journal) = new();
    arm(&journal, 2);
    journal.shared.faults.fold_behind_next_commit();
    let before = *lock(&journal.shared.durable);
    arm(&journal, 1);
    // Written behind the commits, by a thread of its own.
    while !file_in(&path).exists() {
        std::thread::yield_now();
    }
    arm(&journal, 3);
    let (mark, _) = decode(&fs::read(file_in(&path)).unwrap(), journal.facts().store).unwrap();
    // The writer may have asked for the fault still behind the commit before.
    assert!(mark.group >= before.group);
    let image = dir.path().join("image");
    copy(&path, &image);
    assert_eq!(armed(&journal_in(&image).unwrap()), armed(&journal));
    // A journal that is closed meanwhile waits for nothing but the thread's end.
    journal.shared.faults.fold_behind_next_commit();
    arm(&journal, 1);
    let expected = armed(&journal);
    drop(journal);
    assert_eq!(armed(&journal_in(&path).unwrap()), expected);
}

#[test]
fn a_journal_that_failed_or_was_shut_out_writes_no_file() {
    for is_shut_out in [false, true] {
        let (_dir, path, journal) = new();
        store_much(&journal, Due::At(at(9)));
        if is_shut_out {
            fs::remove_file(path.join("lock")).unwrap();
        } else {
            journal.shared.faults.fail_next_commit();
            append(&journal, vec![run(&journal, StreamNo(1), &id(&"0".repeat(512)), 2, &[b"x"])]);
        }
        block_on(journal.close()).unwrap_err();
        assert!(!file_in(&path).exists());
    }
}

#[test]
fn a_failure_ends_all_waiting() {
    for panics in [false, true] {
        let (_dir, _path, journal) = new();
        fill(&journal, 1);
        let mut waiting: Vec<_> = (0..3).map(|_| journal.changed(Offset(2))).collect();
        assert!(waiting.iter_mut().all(is_pending));
        let threads: Vec<_> = waiting.into_iter().map(|waiting| std::thread::spawn(|| block_on(waiting))).collect();
        if panics {
            journal.shared.faults.panic_at_next_commit();
        } else {
            journal.shared.faults.fail_next_commit();
        }
        append(&journal, vec![run(&journal, open(&journal, &id("alice")).stream, &id("alice"), 3, &[b"x"])]);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Offset(2));
        }
        assert_eq!(block_on(journal.changed(Offset(2))), Offset(2));
    }
}

#[test]
fn many_threads_fold_the_deadlines_while_they_change() {
    let (_dir, _path, journal) = new();
    std::thread::scope(|scope| {
        for name in NAMES {
            let journal = &journal;
            scope.spawn(move || {
                for round in 0..20 {
                    let stream = store_with(journal, &id(name), &[Due::At(at(round))]);
                    let known = armed(journal);
                    assert!(known.is_sorted() && known.contains(&(round, stream.0)), "{known:?}");
                    journal.write_deadlines();
                }
            });
        }
    });
    assert_eq!(armed(&journal), [(19, 1), (19, 2), (19, 3)]);
}
