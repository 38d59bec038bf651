//! The engine with the snapshots: made whole, given back, and never in the journal's way.

use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::snapshot::{Criteria, SnapshotStoreError, StoredSnapshot};

fn snapshot(seq_nr: u64) -> StoredSnapshot {
    let time = Timestamp::from_second(1_000).unwrap();
    StoredSnapshot { seq_nr: SeqNr(seq_nr), time, bytes: format!("as of {seq_nr}").into_bytes() }
}

fn snapshots(journal: &FjallJournal) -> Arc<dyn SnapshotStore> {
    journal.snapshots().unwrap()
}

fn save(store: &dyn SnapshotStore, seq_nr: u64) {
    block_on(store.save(&id("alice"), snapshot(seq_nr))).unwrap();
}

fn latest(store: &dyn SnapshotStore) -> Result<Option<StoredSnapshot>, SnapshotStoreError> {
    block_on(store.load(&id("alice"), Criteria::LATEST))
}

/// What each method says that can't do anything.
fn errors(store: &dyn SnapshotStore) -> [SnapshotStoreError; 5] {
    let alice = id("alice");
    [
        block_on(store.save(&alice, snapshot(1))).unwrap_err(),
        block_on(store.load(&alice, Criteria::LATEST)).unwrap_err(),
        block_on(store.list(&alice)).unwrap_err(),
        block_on(store.delete(&alice, SeqNr(1))).unwrap_err(),
        block_on(store.delete_matching(&alice, Criteria::LATEST)).unwrap_err(),
    ]
}

fn assert_failed(store: &dyn SnapshotStore, reason: &str) {
    for error in errors(store) {
        assert!(matches!(&error, SnapshotStoreError::Failed { error, .. } if error.contains(reason)), "{error}");
    }
}

#[test]
fn no_engine_is_made_before_something_is_saved() {
    let (_dir, path, journal) = new();
    let store = snapshots(&journal);
    assert_eq!(latest(&*store), Ok(None));
    assert_eq!(block_on(store.list(&id("alice"))), Ok(Vec::new()));
    assert_eq!(block_on(store.delete(&id("alice"), SeqNr(1))), Ok(()));
    assert_eq!(block_on(store.delete_matching(&id("alice"), Criteria::LATEST)), Ok(0));
    assert!(!path.join("snapshots").exists());
    save(&*store, 1);
    assert!(path.join("snapshots").exists() && !path.join("snapshots.tmp").exists());
}

#[test]
fn what_a_crash_has_left_of_a_new_engine_is_made_anew() {
    for steps in 0..4 {
        let (_dir, path, journal) = new();
        let (half, whole) = (path.join("snapshots.tmp"), path.join("snapshots"));
        match steps {
            0 => fs::create_dir(&half).unwrap(),
            1 => {
                Engine::create(&half, engine::SNAPSHOTS).unwrap();
                let version = half.join("version");
                fs::remove_file(version).unwrap();
            }
            2 => Engine::create(&half, engine::SNAPSHOTS).unwrap(),
            // It was emptied by hand.
            _ => fs::create_dir(&whole).unwrap(),
        }
        let store = snapshots(&journal);
        assert_eq!(latest(&*store), Ok(None));
        save(&*store, 5);
        drop(journal);
        assert!(!half.exists());
        let journal = journal_in(&path).unwrap();
        assert_eq!(latest(&*snapshots(&journal)), Ok(Some(snapshot(5))));
    }
}

#[test]
fn the_engine_is_given_back_with_the_journal_whoever_holds_it() {
    let (_dir, path, mut journal) = new();
    let mut held = Vec::new();
    for generation in 1..=4 {
        let store = snapshots(&journal);
        save(&*store, generation);
        if generation % 2 == 0 {
            block_on(journal.close()).unwrap();
            assert_failed(&*store, "the journal is closed");
        }
        drop(journal);
        held.push(store);
        journal = journal_in(&path).unwrap();
        assert_eq!(latest(&*snapshots(&journal)), Ok(Some(snapshot(generation))));
        held.iter().for_each(|store| assert_failed(&**store, "the journal is closed"));
    }
}

#[test]
fn an_engine_that_was_not_asked_for_anything_stays_shut() {
    let (_dir, path, journal) = new();
    let store = snapshots(&journal);
    block_on(journal.close()).unwrap();
    assert_failed(&*store, "the journal is closed");
    assert!(!path.join("snapshots").exists());
}

#[test]
fn the_engine_is_given_back_by_a_writer_that_has_failed_or_panicked() {
    for panics in [false, true] {
        let (_dir, path, journal) = new();
        let store = snapshots(&journal);
        save(&*store, 1);
        if panics {
            journal.shared.faults.panic_at_next_commit();
        } else {
            journal.shared.faults.fail_next_commit();
        }
        let outcomes: Vec<_> = three_in_flight(&journal).into_iter().flat_map(block_on).collect();
        assert!(outcomes.iter().any(|outcome| matches!(outcome, Outcome::Unknown(_))), "{outcomes:?}");
        // Snapshots can be read as long as events can.
        assert_eq!(latest(&*store), Ok(Some(snapshot(1))));
        drop(journal);
        assert_failed(&*store, "the journal is closed");
        let journal = journal_in(&path).unwrap();
        assert_eq!(latest(&*snapshots(&journal)), Ok(Some(snapshot(1))));
    }
}

#[test]
fn a_damaged_engine_stops_no_journal() {
    let (_dir, path, journal) = new();
    save(&*snapshots(&journal), 1);
    fill(&journal, 3);
    let expected = contents(&journal).unwrap();
    drop(journal);
    fs::remove_file(path.join("snapshots").join("version")).unwrap();

    let journal = journal_in(&path).unwrap();
    let store = snapshots(&journal);
    assert_failed(&*store, "is damaged");
    assert_failed(&*store, "is damaged");
    assert_eq!(contents(&journal).unwrap(), expected);
    fill(&journal, 3);
    assert_eq!(journal.health(), Health::Good);
    block_on(journal.close()).unwrap();
    drop(journal);

    // Without it, they are kept anew.
    fs::remove_dir_all(path.join("snapshots")).unwrap();
    let journal = journal_in(&path).unwrap();
    save(&*snapshots(&journal), 2);
    assert_eq!(latest(&*snapshots(&journal)), Ok(Some(snapshot(2))));
}

#[test]
fn an_engine_that_can_not_be_opened_is_tried_again() {
    let (_dir, path, journal) = new();
    save(&*snapshots(&journal), 1);
    drop(journal);
    let (there, away) = (path.join("snapshots"), path.join("away"));
    fs::rename(&there, &away).unwrap();
    fs::write(&there, "a file").unwrap();
    let journal = journal_in(&path).unwrap();
    let store = snapshots(&journal);
    assert_failed(&*store, "can't look at");
    fs::remove_file(&there).unwrap();
    fs::rename(&away, &there).unwrap();
    assert_eq!(latest(&*store), Ok(Some(snapshot(1))));
}

#[test]
fn a_save_that_failed_is_cut_off_though_the_engine_has_begun_another_file_behind_it() {
    let (dir, path, journal) = new();
    fill(&journal, 3);
    let expected = contents(&journal).unwrap();
    for seq_nr in [1, 2] {
        save(&*snapshots(&journal), seq_nr);
    }
    let image = dir.path().join("image");
    copy_sparse(&path, &image);
    drop(journal);
    let first = image.join("snapshots/0.jnl");
    let mut bytes = fs::read(&first).unwrap();
    bytes.truncate(written(&bytes));
    // The disk was full in the middle of a batch.
    bytes.extend_from_slice(&torn::number_alone(u64::from(u32::MAX))[..20]);
    fs::write(&first, &bytes).unwrap();
    let behind = image.join("snapshots/1.jnl");
    // But nothing may have been written there since.
    for (content, is_taken) in [(torn::number_alone(u64::from(u32::MAX) + 1), false), (vec![0; 4096], true)] {
        fs::write(&behind, content).unwrap();
        let journal = journal_in(&image).unwrap();
        assert_eq!(contents(&journal).unwrap(), expected);
        let store = snapshots(&journal);
        if !is_taken {
            assert_failed(&*store, "0.jnl");
            continue;
        }
        assert_eq!(latest(&*store), Ok(Some(snapshot(2))));
        save(&*store, 3);
        drop(journal);
        assert_eq!(latest(&*snapshots(&journal_in(&image).unwrap())), Ok(Some(snapshot(3))));
    }
}

#[test]
fn a_last_snapshot_that_is_torn_is_cut_off_and_the_one_before_is_there() {
    let (dir, path, journal) = new();
    let store = snapshots(&journal);
    save(&*store, 1);
    let whole = written(&fs::read(path.join("snapshots/0.jnl")).unwrap());
    save(&*store, 2);
    let image = dir.path().join("image");
    copy_sparse(&path, &image);
    drop(journal);
    let file = image.join("snapshots/0.jnl");
    let bytes = fs::read(&file).unwrap();
    let end = written(&bytes);
    for torn in [whole..whole + 1, whole + 20..end - 30, end - 5..end] {
        let mut bad = bytes.clone();
        bad[torn].fill(0);
        fs::write(&file, bad).unwrap();
        let copied = dir.path().join("copied");
        copy_sparse(&image, &copied);
        let journal = journal_in(&copied).unwrap();
        assert_eq!(latest(&*snapshots(&journal)), Ok(Some(snapshot(1))));
        save(&*snapshots(&journal), 3);
        drop(journal);
        assert_eq!(latest(&*snapshots(&journal_in(&copied).unwrap())), Ok(Some(snapshot(3))));
        fs::remove_dir_all(&copied).unwrap();
    }
}

#[test]
fn what_is_none_of_the_engines_files_is_told_by_its_name() {
    for name in ["x.jnl", "keyspaces/1/tables/x", "keyspaces/7"] {
        let (_dir, path, journal) = new();
        save(&*snapshots(&journal), 1);
        drop(journal);
        let stray = path.join("snapshots").join(name);
        if name.ends_with('7') {
            fs::create_dir(&stray).unwrap();
        } else {
            fs::write(&stray, "stray").unwrap();
        }
        let journal = journal_in(&path).unwrap();
        let store = snapshots(&journal);
        assert_failed(&*store, stray.to_str().unwrap());
        fs::remove_file(&stray).or_else(|_| fs::remove_dir(&stray)).unwrap();
        drop(journal);
        assert_eq!(latest(&*snapshots(&journal_in(&path).unwrap())), Ok(Some(snapshot(1))));
    }
}

#[test]
fn a_copy_of_an_open_journal_has_the_snapshots_that_were_saved() {
    let (dir, path, journal) = new();
    let store = snapshots(&journal);
    for seq_nr in 1..=5 {
        save(&*store, seq_nr);
        let image = dir.path().join(format!("image {seq_nr}"));
        copy_sparse(&path, &image);
        let journal = journal_in(&image).unwrap();
        assert_eq!(latest(&*snapshots(&journal)), Ok(Some(snapshot(seq_nr))));
        assert_eq!(block_on(snapshots(&journal).list(&id("alice"))).unwrap().len(), usize::try_from(seq_nr).unwrap());
    }
}

/// The rows of the closed engine.
fn rows_of(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let engine = Engine::open(&path.join("snapshots"), engine::SNAPSHOTS, CACHE_BYTES).unwrap();
    let rows = engine.range(&[0], &[0xff]).map(Result::unwrap);
    rows.map(|(key, row)| (key.to_vec(), row.to_vec())).collect()
}

fn put(path: &Path, key: &[u8], row: Option<&[u8]>) {
    let engine = Engine::open(&path.join("snapshots"), engine::SNAPSHOTS, CACHE_BYTES).unwrap();
    let mut batch = engine.batch(1, Durability::Fsync);
    match row {
        Some(row) => batch.insert(key, row),
        None => batch.remove(key),
    }
    batch.commit().unwrap();
}

#[test]
fn the_bytes_of_the_rows_are_these_for_ever() {
    let (_dir, path, journal) = new();
    save(&*snapshots(&journal), 5);
    drop(journal);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let rows = rows_of(&path);
    let key = "07 6163636f756e74 0005 616c696365 0000000000000005".replace(' ', "");
    let keys: Vec<_> = rows.iter().map(|(key, _)| hex(key)).collect();
    assert_eq!(keys, [format!("01{key}"), format!("02{key}")]);
    assert_eq!(hex(&rows[0].1), "00ca9a3b00000000 0700000000000000 5fd9877dc5cf0c57".replace(' ', ""));
    assert_eq!(
        hex(&rows[1].1),
        "616e6e616c730005 01 00ca9a3b00000000 6173206f662035 78d80e1632aecf97".replace(' ', "")
    );
}

#[test]
fn whatever_is_done_to_a_row_no_wrong_snapshot_is_loaded() {
    let (_dir, path, journal) = new();
    for seq_nr in [4, 5] {
        save(&*snapshots(&journal), seq_nr);
    }
    drop(journal);
    let rows = rows_of(&path);
    let [_, (meta, meta_row), (other, other_row), (key, row)] = &rows[..] else { panic!("{rows:?}") };
    let flipped = |row: &[u8], index: usize| {
        let mut row = row.to_vec();
        row[index] ^= 1;
        Some(row)
    };
    let mut cases: Vec<(&[u8], Option<Vec<u8>>)> = vec![
        (meta, Some(Vec::new())),
        (meta, flipped(meta_row, 0)),
        (meta, flipped(meta_row, 8)),
        (meta, flipped(meta_row, 23)),
        (meta, Some(rows[0].1.clone())),
        (key, None),
        (key, Some(other_row.clone())),
        (key, Some(row[..row.len() - 1].to_vec())),
    ];
    cases.extend((0..row.len()).step_by(5).map(|index| (&key[..], flipped(row, index))));
    for (key, bad) in cases {
        put(&path, key, bad.as_deref());
        let journal = journal_in(&path).unwrap();
        let store = snapshots(&journal);
        let loaded = latest(&*store);
        assert!(
            matches!(&loaded, Err(SnapshotStoreError::Damaged { seq_nr: SeqNr(5), .. })),
            "{loaded:?} with {bad:?} in {key:?}"
        );
        let older = Criteria::LATEST.to_seq(SeqNr(4));
        assert_eq!(block_on(store.load(&id("alice"), older)), Ok(Some(snapshot(4))));
        drop(journal);
        put(&path, meta, Some(meta_row));
        put(&path, &rows[3].0, Some(row));
    }
    assert_eq!(other[0], 2);

    put(&path, meta, Some(b"wrong"));
    let journal = journal_in(&path).unwrap();
    let store = snapshots(&journal);
    assert_eq!(block_on(store.list(&id("alice"))), Ok(vec![snapshot(4).meta()]));
    // It can't be told to be so old, and goes with all, or by its number.
    let old = Criteria::LATEST.to_time(Timestamp::from_second(1_000).unwrap());
    assert_eq!(block_on(store.delete_matching(&id("alice"), old)), Ok(1));
    block_on(store.delete(&id("alice"), SeqNr(5))).unwrap();
    assert_eq!(block_on(store.list(&id("alice"))), Ok(Vec::new()));
}

#[test]
fn no_flipped_bit_in_the_engine_gives_a_wrong_snapshot_or_stops_the_journal() {
    const FLIPS_PER_FILE: usize = 12;
    let (dir, path, journal) = new();
    fill(&journal, 3);
    let expected = contents(&journal).unwrap();
    save(&*snapshots(&journal), 1);
    drop(journal);
    let journal = journal_in(&path).unwrap();
    save(&*snapshots(&journal), 2);
    let image = dir.path().join("image");
    // One snapshot is in a table and one in the engine's journal.
    copy_sparse(&path, &image);
    drop(journal);

    let (mut refused, mut fewer, target) = (0, 0, dir.path().join("flipped"));
    for file in files_in(&image.join("snapshots")) {
        let bytes = fs::read(&file).unwrap();
        let name = file.strip_prefix(&image).unwrap();
        let end = written(&bytes);
        if end == 0 {
            continue;
        }
        for index in (0..end).step_by((end / FLIPS_PER_FILE).max(1)) {
            copy_sparse(&image, &target);
            let mut bad = bytes[..end].to_vec();
            bad[index] ^= 1 << (index % 8);
            let damaged = fs::File::options().write(true).open(target.join(name)).unwrap();
            std::io::Write::write_all(&mut &damaged, &bad).unwrap();
            let journal = journal_in(&target).unwrap();
            match latest(&*snapshots(&journal)) {
                Ok(Some(found)) => {
                    assert!([snapshot(1), snapshot(2)].contains(&found), "{} {index}: {found:?}", name.display());
                    fewer += usize::from(found != snapshot(2));
                }
                Ok(None) => fewer += 1,
                Err(_) => refused += 1,
            }
            assert_eq!(contents(&journal).unwrap(), expected);
            drop(journal);
            fs::remove_dir_all(&target).unwrap();
        }
    }
    assert!(refused > 10, "{refused} refused, {fewer} with fewer snapshots");
}
