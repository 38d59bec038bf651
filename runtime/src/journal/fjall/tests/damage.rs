//! Rows that are missing, exchanged or damaged, and flipped bits.

use super::*;

pub(super) fn newest_journal(image: &Path) -> PathBuf {
    let journals =
        files_in(&image.join("fjall")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "jnl"));
    journals.max().unwrap()
}

/// Changes the rows of a closed journal behind its back.
pub(super) fn tamper(path: &Path, change: impl FnOnce(&Engine, &mut engine::Batch)) {
    let engine = Engine::open(&path.join("fjall"), engine::TRUTH, CACHE_BYTES).unwrap();
    let mut batch = engine.batch(1, Durability::Fsync);
    change(&engine, &mut batch);
    batch.commit().unwrap();
    engine.flush().unwrap();
}

pub(super) fn alice_key(first: u64) -> [u8; rows::STREAM_KEY_BYTES] {
    rows::stream_key(StreamNo(1), SeqNr(first))
}

/// A closed journal in which alice has the runs 1-2, 3-4 and 5-6, and others have runs in between.
pub(super) fn closed() -> (TempDir, PathBuf) {
    let (dir, path, journal) = new();
    fill(&journal, 8);
    assert_eq!(
        open(&journal, &id("alice")),
        StreamHead { stream: StreamNo(1), last: SeqNr(6), floor: SeqNr::ZERO, ended: false }
    );
    drop(journal);
    (dir, path)
}

#[test]
fn a_run_that_is_missing_is_corrupt_and_never_a_shorter_history() {
    for (removed, all_from) in [(1, 1), (3, 3)] {
        let (_dir, path) = closed();
        tamper(&path, |_, batch| batch.remove(&alice_key(removed)));
        let journal = journal_in(&path).unwrap();
        let place = Place::Stream { stream: StreamNo(1), id: Some(id("alice")), from: SeqNr(all_from) };
        assert_eq!(read(&journal, &id("alice")), Err(Corrupt { place, reason: "a run is missing".into() }.into()));
        assert!(matches!(read_all(&journal, 100), Err(ReadError::Corrupt(_))));
        // Others are as they were.
        assert_eq!(read(&journal, &id("bob")).unwrap().len(), 6);
        let middle = block_on(journal.read(StreamNo(1), SeqNr(removed), SeqNr(removed), 1));
        assert!(matches!(middle, Err(ReadError::Corrupt(_))), "{middle:?}");
    }
}

#[test]
fn the_last_run_of_a_stream_that_is_missing_is_found_by_the_order() {
    let (_dir, path) = closed();
    tamper(&path, |_, batch| batch.remove(&alice_key(5)));
    let journal = journal_in(&path).unwrap();
    assert!(matches!(read_all(&journal, 100), Err(ReadError::Corrupt(_))));
}

#[test]
fn a_record_that_is_stored_twice_is_corrupt() {
    // Within a run in the middle, and within the last one, which ends with the same record or before it.
    for (first, payloads) in [(4, [&b"y"[..], b"z"].as_slice()), (6, &[b"y"]), (6, &[b"y", b"z"])] {
        let (_dir, path) = closed();
        let journal = journal_in(&path).unwrap();
        let bytes = run(&journal, StreamNo(1), &id("alice"), first, payloads).bytes;
        let store = journal.facts().store;
        drop(journal);
        tamper(&path, |_, batch| {
            let (key, mut row) = (alice_key(first), Vec::new());
            let sum = crate::journal::run::stored_checksum(&bytes);
            rows::write_stream_row(&mut row, store, &key, 8, Offset(100), (&bytes, sum));
            batch.insert(&key, &row);
        });
        let journal = journal_in(&path).unwrap();
        assert!(matches!(read(&journal, &id("alice")), Err(ReadError::Corrupt(_))), "{first}");
        let whole = block_on(journal.read(StreamNo(1), SeqNr(1), SeqNr(6), usize::MAX));
        assert!(matches!(whole, Err(ReadError::Corrupt(_))), "{first}: {whole:?}");
        assert_eq!(read(&journal, &id("bob")).unwrap().len(), 6);
        drop(journal);
        assert!(!StoreDir::open(&path).unwrap().verify(&mut |_| {}).unwrap().is_whole());
    }
}

#[test]
fn an_exchanged_run_is_corrupt() {
    let (_dir, path) = closed();
    let bob = rows::stream_key(StreamNo(2), SeqNr(1));
    tamper(&path, |engine, batch| {
        let row = engine.get(&bob).unwrap().unwrap();
        batch.insert(&alice_key(1), &row);
    });
    let journal = journal_in(&path).unwrap();
    assert!(matches!(read(&journal, &id("alice")), Err(ReadError::Corrupt(_))));
    assert!(matches!(read_all(&journal, 100), Err(ReadError::Corrupt(_))));
    assert_eq!(read(&journal, &id("bob")).unwrap().len(), 6);
}

#[test]
fn an_id_that_leads_to_nothing_or_elsewhere_is_corrupt() {
    let key_of = |name| {
        let mut key = Vec::new();
        rows::id_key(&mut key, &id(name));
        key
    };
    let (_dir, path) = closed();
    tamper(&path, |engine, batch| {
        let row = engine.get(&key_of("bob")).unwrap().unwrap();
        batch.insert(&key_of("alice"), &row);
        for first in [1, 3, 5] {
            batch.remove(&rows::stream_key(StreamNo(3), SeqNr(first)));
        }
    });
    let journal = journal_in(&path).unwrap();
    assert!(matches!(read(&journal, &id("alice")), Err(ReadError::Corrupt(_))));
    assert!(matches!(read(&journal, &id("carol")), Err(ReadError::Corrupt(_))));
}

#[test]
fn a_group_that_is_missing_is_corrupt() {
    for (group, opens) in [(4, true), (8, false)] {
        let (_dir, path) = closed();
        tamper(&path, |_, batch| batch.remove(&crate::journal::order::group_key(group)));
        match journal_in(&path) {
            Ok(journal) => {
                assert!(opens);
                assert!(matches!(read_all(&journal, 100), Err(ReadError::Corrupt(_))));
            }
            Err(OpenError::Corrupt { .. }) => assert!(!opens),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Flips bits all over the files of a small journal. Each time, opening and reading everything is an error, or gives
/// exactly what was stored.
pub(super) fn flip_everywhere(image: &Path, expected: &Contents) -> (usize, usize) {
    let (mut refused, mut harmless) = (0, 0);
    let target = image.with_extension("flipped");
    for file in files_in(image) {
        let bytes = fs::read(&file).unwrap();
        let name = file.strip_prefix(image).unwrap();
        let end = written(&bytes);
        if end == 0 {
            continue;
        }
        let step = (end / FLIPS_PER_FILE).max(1);
        for index in (0..end).step_by(step) {
            copy_sparse(image, &target);
            let mut bad = bytes[..end].to_vec();
            bad[index] ^= 1 << ((index * 7 + index / 8) % 8);
            let damaged = fs::File::options().write(true).open(target.join(name)).unwrap();
            std::io::Write::write_all(&mut &damaged, &bad).unwrap();
            let found = journal_in(&target).map_err(|error| error.to_string());
            match found.and_then(|journal| contents(&journal).map_err(|error| error.to_string())) {
                Err(_) => refused += 1,
                Ok(found) => {
                    assert_eq!(&found, expected, "byte {index} of {} was damaged in silence", name.display());
                    harmless += 1;
                }
            }
            fs::remove_dir_all(&target).unwrap();
        }
    }
    (refused, harmless)
}

const FLIPS_PER_FILE: usize = 40;

#[test]
fn no_flipped_bit_of_a_closed_journal_is_silent() {
    let (dir, path, journal) = new();
    fill(&journal, 8);
    let expected = contents(&journal).unwrap();
    drop(journal);
    let (refused, harmless) = flip_everywhere(&path, &expected);
    drop(dir);
    assert!(refused > 20, "{refused} refused, {harmless} harmless");
}

#[test]
fn no_flipped_bit_of_a_crashed_journal_is_silent() {
    let (dir, path, journal) = new();
    fill(&journal, 8);
    let expected = contents(&journal).unwrap();
    let image = dir.path().join("image");
    copy(&path, &image);
    drop(journal);
    let (refused, harmless) = flip_everywhere(&image, &expected);
    assert!(refused > 20, "{refused} refused, {harmless} harmless");
}
