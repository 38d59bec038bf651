//! Rows go behind the commit, a crash in between changes nothing, and a lost floor is told.

use std::sync::atomic::Ordering;

use super::removal::ROWS_MAX;
use super::*;
use crate::journal::floor::Floor;
use crate::journal::head::{Found, Head};
use crate::journal::suite::deletion::run_that_ends;

/// Opens a journal whose removal of rows doesn't begin.
fn open_without_removal(path: &Path) -> FjallJournal {
    faults::stop_removal_at_opening(true);
    let journal = journal_in(path).unwrap();
    faults::stop_removal_at_opening(false);
    journal
}

/// The first sequence numbers of the rows of a stream, in a journal that nobody has open.
fn rows_of(path: &Path, stream: u64) -> Vec<u64> {
    let engine = Engine::open(&path.join("fjall"), engine::TRUTH, CACHE_BYTES).unwrap();
    firsts(&engine, stream)
}

fn firsts(engine: &Engine, stream: u64) -> Vec<u64> {
    let (from, to) =
        (rows::stream_key(StreamNo(stream), SeqNr(0)), rows::stream_key(StreamNo(stream), SeqNr(u64::MAX)));
    engine.range(&from, &to).map(|row| rows::stream_of_key(&row.unwrap().0).unwrap().1.0).collect()
}

/// What is there now of a journal that is open, as a crash would leave it.
fn image_of(dir: &TempDir, path: &Path, name: &str) -> PathBuf {
    let image = dir.path().join(name);
    copy_sparse(path, &image);
    image
}

fn floor_key(stream: u64, to: u64, ended: bool) -> [u8; rows::FLOOR_KEY_BYTES] {
    rows::floor_key(StreamNo(stream), Floor { to: SeqNr(to), ended, forgotten: false })
}

/// A journal in which alice has the runs 1-2 to 9-10, and is deleted up to 7; bob has runs 1-2 and 3-4, and has ended
/// with 5.
fn with_deletions(stop_removal: bool) -> (TempDir, PathBuf, FjallJournal) {
    let (dir, path, journal) = new();
    for round in 0..5 {
        store(&journal, &id("alice"), &[&[round; 40], &[round, 1]]);
    }
    for round in 0..2 {
        store(&journal, &id("bob"), &[&[round; 40], &[round, 1]]);
    }
    if stop_removal {
        journal.stop_removal_after(0);
    }
    assert_eq!(delete(&journal, &id("alice"), 7), Outcome::Stored(Offset(14)));
    assert_eq!(end(&journal, &id("bob"), &[]), Offset(15));
    (dir, path, journal)
}

fn check_deletions(journal: &FjallJournal) {
    assert_eq!(head(journal, &id("alice")), (10, 7, false));
    assert_eq!(head(journal, &id("bob")), (5, 4, true));
    let (streams, order) = contents(journal).unwrap();
    assert_eq!(streams[0].iter().map(|event| event.0).collect::<Vec<_>>(), [8, 9, 10]);
    assert_eq!(streams[1], []);
    assert_eq!(order[..3], [(7, 1, 7), (9, 1, 9), (15, 2, 5)]);
}

#[test]
fn rows_are_removed_behind_the_commit_and_the_last_one_stays() {
    let (_dir, path, journal) = with_deletions(false);
    check_deletions(&journal);
    drop(journal);
    assert_eq!((rows_of(&path, 1), rows_of(&path, 2)), (vec![7, 9], vec![5]));
    let journal = journal_in(&path).unwrap();
    check_deletions(&journal);
    assert_eq!(delete(&journal, &id("alice"), 10), Outcome::Stored(Offset(15)));
    assert_eq!(delete(&journal, &id("bob"), 5), Outcome::Stored(Offset(15)));
    drop(journal);
    assert_eq!((rows_of(&path, 1), rows_of(&path, 2)), (vec![9], vec![5]));
    let journal = journal_in(&path).unwrap();
    assert_eq!((head(&journal, &id("alice")), head(&journal, &id("bob"))), ((10, 10, false), (5, 5, true)));
    // The one that was left goes when there is another one.
    store(&journal, &id("alice"), &[b"x", b"y"]);
    assert_eq!(delete(&journal, &id("alice"), 11), Outcome::Stored(Offset(17)));
    drop(journal);
    assert_eq!(rows_of(&path, 1), [11]);
}

#[test]
fn a_crash_before_any_row_is_removed_changes_nothing() {
    let (dir, path, journal) = with_deletions(true);
    check_deletions(&journal);
    let mut image = image_of(&dir, &path, "image");
    assert_eq!(journal.shared.with_engine(|engine| Ok(firsts(engine, 1))).unwrap(), [1, 3, 5, 7, 9]);
    for generation in 0..4 {
        // Once more it crashes before the removal, then wherever it has come with it.
        let copied = if generation < 2 { open_without_removal(&image) } else { journal_in(&image).unwrap() };
        check_deletions(&copied);
        if generation == 1 {
            store(&copied, &id("carol"), &[b"x"]);
            delete(&copied, &id("carol"), 1);
        }
        let next = image_of(&dir, &image, &format!("image{generation}"));
        drop(copied);
        assert_eq!((rows_of(&image, 1), rows_of(&image, 2)), (vec![7, 9], vec![5]));
        image = next;
    }
    drop(journal);
    assert_eq!((rows_of(&path, 1), rows_of(&path, 2)), (vec![7, 9], vec![5]));
    check_deletions(&journal_in(&path).unwrap());
}

#[test]
fn a_crash_after_each_step_of_the_removal_changes_nothing() {
    const RUNS: usize = 2 * ROWS_MAX + 100;
    let (dir, path, journal) = new();
    let alice = open(&journal, &id("alice")).stream;
    let appended: Vec<_> = (1..)
        .take(RUNS)
        .map(|first| journal.append(vec![run(&journal, alice, &id("alice"), first, &[b"x"])]))
        .collect();
    for outcomes in appended {
        assert!(matches!(block_on(outcomes)[..], [Outcome::Stored(_)]));
    }
    let last = u64::try_from(RUNS).unwrap();
    journal.stop_removal_after(0);
    let deleted = delete(&journal, &id("alice"), last - 5);
    assert_eq!(deleted, Outcome::Stored(Offset(last)));
    let rows = || journal.shared.with_engine(|engine| Ok(firsts(engine, 1).len())).unwrap();
    for (step, left) in [RUNS, RUNS - ROWS_MAX, RUNS - 2 * ROWS_MAX, 5, 5].into_iter().enumerate() {
        while rows() > left {
            std::thread::yield_now();
        }
        assert_eq!(rows(), left);
        let image = image_of(&dir, &path, &format!("image{step}"));
        let copied = journal_in(&image).unwrap();
        assert_eq!(head(&copied, &id("alice")), (last, last - 5, false));
        assert_eq!(read(&copied, &id("alice")).unwrap().len(), 5);
        assert_eq!(read_all(&copied, 100).unwrap().len(), 5 + step);
        drop(copied);
        assert_eq!(rows_of(&image, 1), (last - 4..=last).collect::<Vec<_>>());
        // The writer takes a step behind each commit.
        journal.stop_removal_after(1);
        store(&journal, &id("bob"), &[b"x"]);
        fs::remove_dir_all(image).unwrap();
    }
}

fn checkpoint_in(path: &Path) -> u64 {
    match Head::read(&path.join("head")).unwrap() {
        Found::Good(head) | Found::Half(head, _) => head.checkpoint.group,
    }
}

/// Writes so much that the checkpoint moves to where the journal is now.
fn move_checkpoint(journal: &FjallJournal) {
    for _ in 0..3 {
        for _ in 0..19 {
            store(journal, &id("carol"), &[&[7; 900_000]]);
        }
        journal.shared.with_engine(|engine| Ok(engine.flush())).unwrap().unwrap();
    }
}

#[test]
fn the_checkpoint_waits_for_the_removal() {
    for waits in [false, true] {
        let (dir, path, journal) = with_deletions(waits);
        let group = lock(&journal.shared.durable).group;
        move_checkpoint(&journal);
        let checkpoint = checkpoint_in(&path);
        assert_eq!(checkpoint < group - 1, waits, "the checkpoint is {checkpoint}, alice was deleted in {}", group - 1);
        if !waits {
            assert!(checkpoint > group, "{checkpoint}");
            continue;
        }
        let image = image_of(&dir, &path, "image");
        let copied = journal_in(&image).unwrap();
        assert_eq!(head(&copied, &id("alice")), (10, 7, false));
        drop(copied);
        assert_eq!((rows_of(&image, 1), rows_of(&image, 2)), (vec![7, 9], vec![5]));
    }
}

#[test]
fn a_floor_that_is_missing_behind_the_checkpoint_is_corrupt() {
    for key in [floor_key(1, 7, false), floor_key(2, 4, true)] {
        for alter in [false, true] {
            let (dir, path, journal) = with_deletions(true);
            let image = image_of(&dir, &path, "image");
            drop(journal);
            tamper(&image, |engine, batch| match alter {
                true => {
                    let mut row = engine.get(&key).unwrap().unwrap().to_vec();
                    row[0] ^= 1;
                    batch.insert(&key, &row);
                }
                false => batch.remove(&key),
            });
            let error = journal_in(&image).unwrap_err();
            assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
        }
    }
}

#[test]
fn a_stream_that_has_ended_never_goes_on_though_its_floor_is_lost() {
    let (_dir, path, journal) = with_deletions(false);
    drop(journal);
    tamper(&path, |_, batch| batch.remove(&floor_key(2, 4, true)));
    let journal = journal_in(&path).unwrap();
    let error = block_on(journal.open_stream(&id("bob"))).unwrap_err();
    assert!(matches!(&error, ReadError::Corrupt(corrupt) if corrupt.reason.contains("tombstone")), "{error}");
    assert!(matches!(read_all(&journal, 100), Err(ReadError::Corrupt(_))));
    assert_eq!(read(&journal, &id("alice")).unwrap().len(), 3);
}

#[test]
fn a_floor_that_is_lost_is_never_a_history_with_a_hole() {
    let (_dir, path, journal) = with_deletions(false);
    drop(journal);
    tamper(&path, |_, batch| batch.remove(&floor_key(1, 7, false)));
    let journal = journal_in(&path).unwrap();
    assert!(matches!(read(&journal, &id("alice")), Err(ReadError::Corrupt(_))));
    assert!(matches!(read_all(&journal, 100), Err(ReadError::Corrupt(_))));
    assert_eq!(read(&journal, &id("bob")).unwrap(), []);
}

#[test]
fn a_floor_that_is_lost_and_left_no_hole_is_found_by_reading_everything() {
    let (_dir, path, journal) = new();
    store(&journal, &id("alice"), &[b"x", b"y"]);
    delete(&journal, &id("alice"), 1);
    drop(journal);
    tamper(&path, |_, batch| batch.remove(&floor_key(1, 1, false)));
    let journal = journal_in(&path).unwrap();
    // Nothing tells the stream from one of which nothing was ever deleted.
    assert_eq!(read(&journal, &id("alice")).unwrap().len(), 2);
    let error = read_all(&journal, 100).unwrap_err();
    assert!(matches!(&error, ReadError::Corrupt(corrupt) if corrupt.reason.contains("floor")), "{error}");
}

#[test]
fn a_floor_that_is_damaged_too_high_or_whose_tombstone_is_missing_is_corrupt() {
    let check = |key: [u8; rows::FLOOR_KEY_BYTES], damage: bool, name: &str| {
        let (_dir, path, journal) = with_deletions(false);
        let store = journal.facts().store;
        drop(journal);
        tamper(&path, |_, batch| {
            let mut row = rows::floor_row(store, &key, 3);
            row[15] ^= u8::from(damage);
            batch.insert(&key, &row);
        });
        let journal = journal_in(&path).unwrap();
        assert!(matches!(read(&journal, &id(name)), Err(ReadError::Corrupt(_))), "{key:?}");
    };
    check(floor_key(1, 8, false), true, "alice");
    check(floor_key(1, 11, false), false, "alice");
    check(floor_key(1, 9, true), false, "alice");
    check(floor_key(2, 6, true), false, "bob");
}

#[test]
fn a_row_below_the_floor_is_ignored_and_one_above_must_be_there() {
    let (_dir, path, journal) = with_deletions(false);
    drop(journal);
    tamper(&path, |_, batch| {
        for first in [1, 3] {
            batch.insert(&alice_key(first), b"not a run");
        }
    });
    let journal = journal_in(&path).unwrap();
    check_deletions(&journal);
    drop(journal);
    tamper(&path, |_, batch| batch.remove(&alice_key(7)));
    let journal = journal_in(&path).unwrap();
    assert!(matches!(read(&journal, &id("alice")), Err(ReadError::Corrupt(_))));
    assert!(matches!(read_all(&journal, 100), Err(ReadError::Corrupt(_))));
}

#[test]
fn a_deletion_that_fails_is_unknown_and_is_there_or_not() {
    for panics in [false, true] {
        let (_dir, path, journal) = new();
        fill(&journal, 3);
        match panics {
            true => journal.shared.faults.panic_at_next_commit(),
            false => journal.shared.faults.fail_next_commit(),
        }
        assert!(matches!(delete(&journal, &id("alice"), 1), Outcome::Unknown(_)));
        assert!(matches!(delete(&journal, &id("alice"), 1), Outcome::NotStored(Why::Failed(_))));
        assert_eq!(head(&journal, &id("alice")), (2, 0, false));
        drop(journal);
        let journal = journal_in(&path).unwrap();
        assert_eq!(head(&journal, &id("alice")), (2, 0, false));
        assert!(matches!(delete(&journal, &id("alice"), 1), Outcome::Stored(_)));
    }
}

#[test]
fn a_journal_of_deletions_only_is_closed_and_crashes_in_order() {
    let (dir, path, journal) = new();
    fill(&journal, 3);
    drop(journal);
    let journal = journal_in(&path).unwrap();
    // Groups without records.
    for to in 1..=2 {
        assert_eq!(delete(&journal, &id("alice"), to), Outcome::Stored(Offset(6)));
    }
    assert_eq!(lock(&journal.shared.durable).group, 5);
    let image = image_of(&dir, &path, "image");
    drop(journal);
    for path in [&path, &image] {
        let journal = journal_in(path).unwrap();
        assert_eq!((head(&journal, &id("alice")), journal.durable()), ((2, 2, false), Offset(6)));
        assert_eq!(read_all(&journal, 1).unwrap().len(), 2);
        assert_eq!(store(&journal, &id("bob"), &[b"x"]), Offset(7));
        assert_eq!(read_all(&journal, 1).unwrap().len(), 3);
        assert_eq!(block_on(journal.read_all(Offset(6), 1)).unwrap().runs[0].offset, Offset(7));
    }
}

#[test]
fn who_reads_while_records_are_deleted_finds_no_hole() {
    const ROUNDS: u64 = 300;
    let (_dir, _path, journal) = new();
    let (names, done) = ([id("alice"), id("bob")], AtomicBool::new(false));
    let streams = names.each_ref().map(|name| {
        store(&journal, name, &[b"x"]);
        open(&journal, name).stream
    });
    journal.close_stream(streams[1]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                for name in &names {
                    store(&journal, name, &[&round.to_le_bytes()]);
                    delete(&journal, name, round.saturating_sub(round % 3));
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        for stream in streams {
            let (journal, done) = (&journal, &done);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let page = block_on(journal.read(stream, SeqNr(1), SeqNr(u64::MAX), usize::MAX)).unwrap();
                    let seqs: Vec<_> = crate::journal::suite::events(journal, &page).iter().map(|e| e.0).collect();
                    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
                    let order = read_all(journal, 300).unwrap();
                    assert!(order.is_sorted());
                }
            });
        }
    });
    assert_eq!(head(&journal, &names[0]), (ROUNDS + 1, ROUNDS, false));
}

#[test]
fn no_flipped_bit_of_a_journal_with_deletions_is_silent() {
    let (dir, path, journal) = with_deletions(false);
    store(&journal, &id("carol"), &[b"x"]);
    let carol = open(&journal, &id("carol")).stream;
    append(&journal, vec![run_that_ends(&journal, carol, &id("carol"), 2, &[b"y"])]);
    let expected = contents(&journal).unwrap();
    let image = image_of(&dir, &path, "image");
    drop(journal);
    let (refused, harmless) = flip_everywhere(&image, &expected);
    assert!(refused > 20, "{refused} refused, {harmless} harmless");
}

/// Flips a bit in the tables of a closed journal, where a piece stands in the clear; how often it was found.
fn flip_in_tables(path: &Path, piece: &[u8]) -> usize {
    let mut found = 0;
    let is_table = |file: &PathBuf| file.components().any(|part| part.as_os_str() == "tables");
    for file in files_in(path).into_iter().filter(is_table) {
        let mut bytes = fs::read(&file).unwrap();
        let Some(at) = bytes.windows(piece.len()).position(|window| window == piece) else { continue };
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        found += 1;
    }
    found
}

#[test]
fn a_damaged_row_of_what_is_deleted_takes_nobody_else_with_it() {
    let (_dir, path, journal) = new();
    // Rows in blocks of their own, so that nothing else is damaged.
    let filler: Vec<u8> = (0..40_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let marked = [&filler[..], b"damaged here", &filler[..]].concat();
    for round in 0..9 {
        store(&journal, &id("alice"), &[if round == 4 { &marked } else { &filler }]);
    }
    store(&journal, &id("bob"), &[&filler]);
    drop(journal);
    assert_eq!(flip_in_tables(&path, b"damaged here"), 1);

    for generation in 0..3 {
        let journal = journal_in(&path).unwrap();
        if generation == 0 {
            assert!(matches!(read(&journal, &id("alice")), Err(ReadError::Corrupt(_))));
            end(&journal, &id("alice"), &[]);
        }
        // The removal has been tried behind the first of these.
        for _ in 0..3 {
            store(&journal, &id("bob"), &[b"x"]);
        }
        assert_eq!(journal.health(), Health::Good);
        assert_eq!(head(&journal, &id("alice")), (10, 9, true));
        block_on(journal.close()).unwrap();
    }
}

#[test]
fn what_is_before_a_floor_is_on_the_disk_also_where_other_writes_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let journal = FjallJournal::open(&path, FjallOptions::new().durability(Durability::Os)).unwrap();
    // Snapshots are deleted durably for a floor, and others stand for records behind it.
    for (round, ends) in (0..).zip([false, true]) {
        store(&journal, &id("alice"), &[b"x", b"y"]);
        // A copy of the files has also what isn't synced.
        assert!(!journal.shared.faults.was_synced());
        if ends {
            end(&journal, &id("alice"), &[]);
        } else {
            assert!(matches!(delete(&journal, &id("alice"), 1), Outcome::Stored(_)));
        }
        assert!(journal.shared.faults.was_synced(), "round {round}");
    }
}

#[test]
fn a_journal_opens_whose_last_removals_are_in_no_table_any_more() {
    let (_dir, path, journal) = new();
    drop(journal);
    // The engine merges its tables, and leaves out removals that have nothing left to remove.
    for round in 0..12 {
        let journal = journal_in(&path).unwrap_or_else(|error| panic!("round {round}: {error}"));
        for _ in 0..3 {
            store(&journal, &id("alice"), &[&[round; 40]]);
        }
        let (last, _, _) = head(&journal, &id("alice"));
        assert!(matches!(delete(&journal, &id("alice"), last - 1), Outcome::Stored(_)));
    }
    let journal = journal_in(&path).unwrap();
    assert_eq!(read(&journal, &id("alice")).unwrap().len(), 1);
}
