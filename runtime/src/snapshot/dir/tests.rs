use std::collections::BTreeSet;

use super::*;
use crate::oneshot::block_on;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

fn snapshot(seq_nr: u64) -> StoredSnapshot {
    StoredSnapshot { seq_nr: SeqNr(seq_nr), time: at(1), bytes: format!("as of {seq_nr}").into_bytes() }
}

fn ann() -> PersistenceId {
    PersistenceId::new("account", "ann")
}

struct Dir {
    dir: tempfile::TempDir,
    store: DirSnapshots,
}

impl Dir {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = DirSnapshots::open(dir.path().join("snapshots")).unwrap();
        Self { dir, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("snapshots").join(name)
    }

    /// All files and directories, but not the store's own.
    fn names(&self) -> BTreeSet<String> {
        fn push(names: &mut BTreeSet<String>, root: &Path, path: &Path) {
            for entry in fs::read_dir(path).unwrap() {
                let entry = entry.unwrap();
                let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                names.insert(name);
                if entry.file_type().unwrap().is_dir() {
                    push(names, root, &entry.path());
                }
            }
        }
        let (mut names, root) = (BTreeSet::new(), self.path(""));
        push(&mut names, &root, &root);
        names.remove("tmp");
        names
    }

    fn save(&self, seq_nr: u64) {
        block_on(self.store.save(&ann(), snapshot(seq_nr))).unwrap();
    }

    fn latest(&self) -> Result<Option<StoredSnapshot>, SnapshotStoreError> {
        block_on(self.store.load(&ann(), Criteria::LATEST))
    }

    fn numbers(&self) -> Vec<u64> {
        block_on(self.store.list(&ann())).unwrap().iter().map(|meta| meta.seq_nr.0).collect()
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

fn assert_damaged(result: Result<Option<StoredSnapshot>, SnapshotStoreError>, number: u64) {
    match result {
        Err(SnapshotStoreError::Damaged { seq_nr, .. }) => assert_eq!(seq_nr, SeqNr(number)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_snapshot_is_one_file_with_a_telling_name() {
    let dir = Dir::new();
    dir.save(5);
    assert_eq!(dir.names(), names(&["_account", "_account/_ann", "_account/_ann/5@1.snapshot"]));
    assert_eq!(fs::read_dir(dir.path("tmp")).unwrap().count(), 0);
}

#[test]
fn whatever_is_done_to_a_file_no_wrong_snapshot_is_loaded() {
    let dir = Dir::new();
    dir.save(4);
    dir.save(5);
    let path = dir.path("_account/_ann/5@1.snapshot");
    let right = fs::read(&path).unwrap();
    let damaged = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        assert_damaged(dir.latest(), 5);
    };
    for index in 0..right.len() {
        for bit in 0..8 {
            let mut flipped = right.clone();
            flipped[index] ^= 1 << bit;
            damaged(&flipped);
        }
        damaged(&right[..index]);
        damaged(&[&right[..index], &vec![0; right.len() - index]].concat());
    }
    damaged(&[&right[..], b"\0"].concat());
    damaged(&[&right[..], &right[..]].concat());

    // It is listed, so that it can be passed over and deleted.
    assert_eq!(dir.numbers(), [5, 4]);
    let older = block_on(dir.store.load(&ann(), Criteria::LATEST.to_seq(SeqNr(4))));
    assert_eq!(older, Ok(Some(snapshot(4))));
    block_on(dir.store.delete(&ann(), SeqNr(5))).unwrap();
    assert_eq!(dir.latest(), Ok(Some(snapshot(4))));
}

#[test]
fn a_file_that_is_too_long_is_not_read_to_its_end() {
    let dir = Dir::new();
    dir.save(5);
    let file = File::options().write(true).open(dir.path("_account/_ann/5@1.snapshot")).unwrap();
    // A hole, so that it takes no space; all of it wouldn't fit into memory.
    file.set_len(1 << 42).unwrap();
    assert_damaged(dir.latest(), 5);
}

#[test]
fn a_file_that_was_moved_is_no_snapshot() {
    let dir = Dir::new();
    let bob = PersistenceId::new("account", "bob");
    dir.save(5);
    block_on(dir.store.save(&bob, snapshot(9))).unwrap();
    fs::rename(dir.path("_account/_ann/5@1.snapshot"), dir.path("_account/_ann/6@1.snapshot")).unwrap();
    assert_damaged(dir.latest(), 6);
    fs::rename(dir.path("_account/_ann/6@1.snapshot"), dir.path("_account/_ann/5@2.snapshot")).unwrap();
    assert_damaged(dir.latest(), 5);
    fs::copy(dir.path("_account/_bob/9@1.snapshot"), dir.path("_account/_ann/9@1.snapshot")).unwrap();
    assert_damaged(dir.latest(), 9);
}

#[test]
fn foreign_files_are_left_alone() {
    let dir = Dir::new();
    dir.save(5);
    let foreign = [
        "_account/_ann/notes.txt",
        "_account/_ann/6@1.snapshot~",
        "_account/_ann/06@1.snapshot",
        "_account/x",
        "y",
        "tmp/z",
    ];
    for name in foreign {
        fs::write(dir.path(name), "mine").unwrap();
    }
    fs::create_dir_all(dir.path("_account/_ann/7@1.snapshot/in it")).unwrap();
    assert_eq!(dir.numbers(), [5]);
    assert_eq!(dir.latest(), Ok(Some(snapshot(5))));

    let failed = block_on(dir.store.save(&ann(), snapshot(7))).unwrap_err();
    assert!(matches!(failed, SnapshotStoreError::Failed { tried: "save", .. }), "{failed}");
    assert_eq!(block_on(dir.store.delete_matching(&ann(), Criteria::LATEST)), Ok(1));
    let store = DirSnapshots::open(dir.path("")).unwrap();
    assert_eq!(block_on(store.list(&ann())), Ok(Vec::new()));
    for name in foreign {
        assert_eq!(fs::read_to_string(dir.path(name)).unwrap(), "mine", "{name}");
    }
    assert_eq!(fs::read_dir(dir.path("tmp")).unwrap().count(), 1);
}

#[test]
fn what_a_crash_has_left_is_removed_and_what_is_being_written_is_not() {
    let dir = Dir::new();
    dir.save(5);
    let left = dir.path("tmp").join("snapshot-1-1.tmp");
    fs::write(&left, "half").unwrap();
    let being_written = dir.path("tmp").join("snapshot-2-2.tmp");
    let file = File::create_new(&being_written).unwrap();
    file.lock().unwrap();

    let store = DirSnapshots::open(dir.path("")).unwrap();
    assert!(!left.exists() && being_written.exists());
    drop(file);
    let _store = DirSnapshots::open(dir.path("")).unwrap();
    assert!(!being_written.exists());
    assert_eq!(block_on(store.load(&ann(), Criteria::LATEST)), Ok(Some(snapshot(5))));
}

#[test]
fn a_name_that_a_dead_process_has_used_is_passed_over() {
    let dir = Dir::new();
    for number in 0..3 {
        fs::write(dir.path("tmp").join(names::temporary(number)), "half").unwrap();
    }
    dir.save(5);
    assert_eq!(dir.latest(), Ok(Some(snapshot(5))));
}

#[test]
fn a_store_that_is_opened_meanwhile_takes_nothing_away() {
    let dir = Dir::new();
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| {
            for _ in 0..50 {
                DirSnapshots::open(dir.path("")).unwrap();
            }
        });
        let mut seq_nr = 0;
        while !opened.is_finished() {
            seq_nr += 1;
            dir.save(seq_nr);
            assert_eq!(dir.latest(), Ok(Some(snapshot(seq_nr))));
            block_on(dir.store.delete(&ann(), SeqNr(seq_nr))).unwrap();
        }
    });
}

#[test]
fn of_two_with_one_number_the_later_counts_and_both_go() {
    let dir = Dir::new();
    let two = || {
        // As if a process had died before it removed the one that it had put another one in place of.
        let earlier = dir.path("_account/_ann/5@1.snapshot");
        dir.save(5);
        let kept = fs::read(&earlier).unwrap();
        let later = StoredSnapshot { time: at(2), ..snapshot(5) };
        block_on(dir.store.save(&ann(), later.clone())).unwrap();
        fs::write(&earlier, kept).unwrap();
        assert_eq!(block_on(dir.store.list(&ann())).unwrap(), [later.meta()]);
        assert_eq!(dir.latest(), Ok(Some(later)));
        let up_to_the_earlier = Criteria::LATEST.to_time(at(1));
        assert_eq!(block_on(dir.store.load(&ann(), up_to_the_earlier)), Ok(None));
        assert_eq!(block_on(dir.store.delete_matching(&ann(), up_to_the_earlier)), Ok(0));
    };
    two();
    block_on(dir.store.delete(&ann(), SeqNr(5))).unwrap();
    assert_eq!(dir.numbers(), [0; 0]);
    two();
    block_on(dir.store.save(&ann(), StoredSnapshot { time: at(3), ..snapshot(5) })).unwrap();
    assert_eq!(dir.names(), names(&["_account", "_account/_ann", "_account/_ann/5@3.snapshot"]));
}

#[test]
fn what_is_not_durable_is_removed_again_unless_it_has_replaced_something() {
    let dir = Dir::new();
    let sync_fails = |fails| dir.store.shared.sync_fails.store(fails, Ordering::Relaxed);
    sync_fails(true);
    block_on(dir.store.save(&ann(), snapshot(5))).unwrap_err();
    assert_eq!(dir.numbers(), [0; 0]);
    sync_fails(false);
    dir.save(5);
    sync_fails(true);
    block_on(dir.store.save(&ann(), StoredSnapshot { bytes: b"new".to_vec(), ..snapshot(5) })).unwrap_err();
    assert_eq!(dir.numbers(), [5]);
    assert!(dir.latest().unwrap().is_some());
}

#[test]
fn directories_of_entities_go_with_their_last_snapshot() {
    let dir = Dir::new();
    let long = PersistenceId::new("account", "a".repeat(512));
    let longer = PersistenceId::new("account", "a".repeat(510) + "bc");
    for id in [&ann(), &long, &longer] {
        block_on(dir.store.save(id, snapshot(5))).unwrap();
        block_on(dir.store.save(id, snapshot(6))).unwrap();
    }
    for id in [&ann(), &long, &longer] {
        block_on(dir.store.delete(id, SeqNr(5))).unwrap();
        assert_eq!(block_on(dir.store.load(id, Criteria::LATEST)), Ok(Some(snapshot(6))));
        block_on(dir.store.delete(id, SeqNr(6))).unwrap();
    }
    assert_eq!(dir.names(), names(&["_account"]));
}

#[test]
fn a_file_in_the_way_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "mine").unwrap();
    for path in [path.clone(), path.join("below")] {
        let error = DirSnapshots::open(&path).unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");

    let dir = Dir::new();
    fs::write(dir.path("_account"), "mine").unwrap();
    for failed in [
        block_on(dir.store.save(&ann(), snapshot(5))).unwrap_err(),
        block_on(dir.store.list(&ann())).unwrap_err(),
        dir.latest().unwrap_err(),
        block_on(dir.store.delete(&ann(), SeqNr(5))).unwrap_err(),
    ] {
        assert!(failed.to_string().contains("is no directory"), "{failed}");
    }
    assert_eq!(fs::read_to_string(dir.path("_account")).unwrap(), "mine");
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_in_the_place_of_a_directory_is_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        for name in ["_account", "_account/_ann"] {
            let dir = Dir::new();
            dir.save(5);
            let away = outside.path().join(name.replace('/', "-"));
            fs::rename(dir.path(name), &away).unwrap();
            symlink(&away, dir.path(name)).unwrap();
            for failed in [
                block_on(dir.store.save(&ann(), snapshot(6))).unwrap_err(),
                block_on(dir.store.list(&ann())).unwrap_err(),
                dir.latest().unwrap_err(),
                block_on(dir.store.delete_matching(&ann(), Criteria::LATEST)).unwrap_err(),
            ] {
                assert!(matches!(failed, SnapshotStoreError::Failed { .. }), "{failed}");
            }
            fs::remove_file(dir.path(name)).unwrap();
            fs::rename(&away, dir.path(name)).unwrap();
            assert_eq!(dir.numbers(), [5]);
        }
    }

    #[test]
    fn a_link_in_the_place_of_the_temporary_directory_is_not_followed() {
        let (dir, outside) = (Dir::new(), tempfile::tempdir().unwrap());
        fs::remove_dir(dir.path("tmp")).unwrap();
        symlink(outside.path(), dir.path("tmp")).unwrap();
        let left = outside.path().join("snapshot-1-1.tmp");
        fs::write(&left, "mine").unwrap();
        assert!(block_on(dir.store.save(&ann(), snapshot(5))).is_err());
        assert!(DirSnapshots::open(dir.path("")).is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(&left).unwrap(), "mine");
    }

    #[test]
    fn a_link_in_the_place_of_a_snapshot_is_no_snapshot_and_is_replaced() {
        let (dir, outside) = (Dir::new(), tempfile::tempdir().unwrap());
        dir.save(5);
        let (path, away) = (dir.path("_account/_ann/5@1.snapshot"), outside.path().join("away"));
        fs::rename(&path, &away).unwrap();
        let before = fs::read(&away).unwrap();
        symlink(&away, &path).unwrap();
        assert_eq!(dir.numbers(), [0; 0]);
        assert_eq!(dir.latest(), Ok(None));
        block_on(dir.store.save(&ann(), StoredSnapshot { bytes: b"new".to_vec(), ..snapshot(5) })).unwrap();
        assert_eq!(dir.latest().unwrap().unwrap().bytes, b"new");
        assert_eq!(fs::read(&away).unwrap(), before);
    }

    #[test]
    fn the_store_may_be_reached_through_a_link() {
        let dir = Dir::new();
        let link = dir.dir.path().join("link");
        symlink(dir.path(""), &link).unwrap();
        let store = DirSnapshots::open(&link).unwrap();
        block_on(store.save(&ann(), snapshot(5))).unwrap();
        assert_eq!(dir.latest(), Ok(Some(snapshot(5))));
    }
}
