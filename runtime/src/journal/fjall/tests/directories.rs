//! Directories, files and limits of the system that are not as they should be.

use super::tails::{bytes_in, differing};
use super::*;

#[test]
fn a_journal_inside_of_another_one_is_refused() {
    let (dir, path, journal) = new();
    fill(&journal, 2);
    let all = contents(&journal).unwrap();
    let before = names_in(&path);
    for inner in ["inner", "a/b", "fjall", "fjall/keyspaces/1/tables", "snapshots"] {
        let inner = path.join(inner);
        match journal_in(&inner) {
            Err(OpenError::Nested { outer, .. }) => assert_eq!(outer, fs::canonicalize(&path).unwrap()),
            other => panic!("{}: {other:?}", inner.display()),
        }
    }
    assert_eq!(names_in(&path), before);
    #[cfg(unix)]
    {
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(journal_in(&link.join("inner")), Err(OpenError::Nested { .. })));
    }
    drop(journal);

    // One that was moved into another one.
    let moved = path.join("moved");
    let (_other_dir, other_path, other) = new();
    drop(other);
    copy_sparse(&other_path, &moved);
    assert!(matches!(journal_in(&moved), Err(OpenError::Nested { .. })));
    assert_eq!(contents(&journal_in(&path).unwrap()).unwrap(), all);
    // Beside each other they are fine.
    drop(journal_in(&dir.path().join("beside")).unwrap());
}

#[test]
fn a_lock_that_was_left_behind_locks_nobody_out() {
    let (_dir, path, journal) = new();
    fill(&journal, 2);
    drop(journal);
    // Its process is long gone, and another one has the same number now.
    for pid in [std::process::id().to_string(), "1\n".into(), "no number".into(), String::new()] {
        fs::write(path.join("lock"), pid).unwrap();
        drop(journal_in(&path).unwrap());
    }
    assert_eq!(fs::read_to_string(path.join("lock")).unwrap(), format!("{}\n", std::process::id()));
}

#[test]
fn what_is_not_the_kind_of_file_that_it_should_be_is_told() {
    let (dir, path, journal) = new();
    fill(&journal, 2);
    drop(journal);
    let cases =
        ["head", "fjall", "fjall/keyspaces", "fjall/keyspaces/1/tables", "fjall/version", "fjall/0.jnl", "lock"];
    for name in cases {
        let target = dir.path().join("target");
        copy_sparse(&path, &target);
        let changed = target.join(name);
        if changed.is_dir() {
            fs::remove_dir_all(&changed).unwrap();
            fs::write(&changed, "a file").unwrap();
        } else {
            fs::remove_file(&changed).unwrap();
            fs::create_dir(&changed).unwrap();
        }
        let before = bytes_in(&target);
        let error = journal_in(&target).unwrap_err();
        let told = error.to_string();
        assert!(
            matches!(error, OpenError::Io { .. } | OpenError::Corrupt { .. } | OpenError::NotOurs { .. }),
            "{told}"
        );
        assert!(told.contains(name.rsplit('/').next().unwrap()), "{name}: {told}");
        assert_eq!(differing(&bytes_in(&target), &before), [], "{name}");
        fs::remove_dir_all(&target).unwrap();
    }
}

/// Puts a whole engine and a whole head into directories of a journal.
fn made(path: &Path, engine: &str, head: &str) {
    let whole = path.with_file_name("whole");
    for place in [engine, head] {
        fs::create_dir_all(path.join(place)).unwrap();
    }
    copy_sparse(&whole.join("fjall"), &path.join(engine).join("fjall"));
    fs::copy(whole.join("head"), path.join(head).join("head")).unwrap();
}

type Leave = fn(&Path);

/// What each moment leaves at which a process can die that makes a journal.
#[test]
fn what_is_left_of_a_journal_that_is_half_made_is_made_whole() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    drop(journal_in(&whole).unwrap());
    let states: [(&str, Leave); 9] = [
        ("nothing", |path| fs::remove_file(path.join("lock")).unwrap()),
        ("an empty lock", |path| fs::write(path.join("lock"), "").unwrap()),
        ("the directory for making", |path| fs::create_dir(path.join(".annals.tmp")).unwrap()),
        ("the directory of the engine", |path| fs::create_dir_all(path.join(".annals.tmp/fjall")).unwrap()),
        ("a part of the engine", |path| {
            fs::create_dir_all(path.join(".annals.tmp/fjall/keyspaces")).unwrap();
            fs::write(path.join(".annals.tmp/fjall/0.jnl"), "half").unwrap();
        }),
        ("a part of the head", |path| {
            made(path, ".annals.tmp", ".annals.tmp");
            fs::write(path.join(".annals.tmp/head"), "half").unwrap();
        }),
        ("both in the directory for making", |path| made(path, ".annals.tmp", ".annals.tmp")),
        ("the engine in its place", |path| made(path, "", ".annals.tmp")),
        ("both in their places", |path| {
            made(path, "", "");
            fs::create_dir(path.join(".annals.tmp")).unwrap();
        }),
    ];
    for (state, leave) in states {
        for around in [false, true] {
            let path = dir.path().join("journal");
            fs::create_dir(&path).unwrap();
            fs::write(path.join("lock"), "4000000\n").unwrap();
            leave(&path);
            if around {
                fs::create_dir(path.join("lost+found")).unwrap();
            }
            let journal = journal_in(&path).unwrap_or_else(|error| panic!("{state}: {error}"));
            store(&journal, &id("alice"), &[b"x"]);
            drop(journal);
            let names: &[&str] =
                if around { &["fjall", "head", "lock", "lost+found"] } else { &["fjall", "head", "lock"] };
            assert_eq!(names_in(&path), names, "{state}");
            assert_eq!(contents(&journal_in(&path).unwrap()).unwrap().1.len(), 1, "{state}");
            fs::remove_dir_all(&path).unwrap();
        }
    }
}

#[test]
fn a_store_that_has_lost_its_head_is_not_taken_for_half_made() {
    let (dir, path, journal) = new();
    fill(&journal, 2);
    drop(journal);
    fs::remove_file(path.join("head")).unwrap();
    let leftovers: [Leave; 4] = [
        |_| {},
        |path| fs::create_dir(path.join(".annals.tmp")).unwrap(),
        |path| {
            fs::create_dir_all(path.join(".annals.tmp/fjall")).unwrap();
            fs::write(path.join(".annals.tmp/head"), "x").unwrap();
        },
        |path| fs::write(path.join("keys"), "x").unwrap(),
    ];
    for leave in leftovers {
        let target = dir.path().join("target");
        copy_sparse(&path, &target);
        leave(&target);
        let before = bytes_in(&target);
        assert!(matches!(journal_in(&target), Err(OpenError::NotOurs { .. })));
        assert_eq!(differing(&bytes_in(&target), &before), []);
        fs::remove_dir_all(&target).unwrap();
    }
}

/// A volume's root can't be replaced by another directory.
#[cfg(target_os = "linux")]
#[test]
#[expect(clippy::print_stderr, reason = "who may not mount must know that nothing was tested")]
fn the_root_of_a_volume_is_a_place_for_a_journal() {
    let dir = tempfile::tempdir().unwrap();
    let run = |program: &str, args: &[&str]| {
        let ran = std::process::Command::new(program).args(args).arg(dir.path()).output();
        ran.is_ok_and(|ran| ran.status.success())
    };
    if !run("mount", &["-t", "tmpfs", "-o", "size=4g", "tmpfs"]) {
        eprintln!("skipped: a file system can't be mounted here");
        return;
    }
    let tried = std::panic::catch_unwind(|| {
        for around in [false, true] {
            if around {
                fs::create_dir(dir.path().join("lost+found")).unwrap();
            }
            let journal = journal_in(dir.path()).unwrap();
            store(&journal, &id("alice"), &[b"x"]);
            drop(journal);
            assert_eq!(contents(&journal_in(dir.path()).unwrap()).unwrap().1.len(), 1);
            for name in ["fjall", "head", "lock"] {
                let path = dir.path().join(name);
                if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
            }
        }
    });
    assert!(run("umount", &[]));
    if let Err(panic) = tried {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(unix)]
#[test]
fn a_path_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(std::ffi::OsStr::from_bytes(b"j\xff\xfe\n"));
    let journal = journal_in(&path).unwrap();
    fill(&journal, 3);
    let all = contents(&journal).unwrap();
    let image = dir.path().join(std::ffi::OsStr::from_bytes(b"i\xff"));
    copy_sparse(&path, &image);
    drop(journal);
    for path in [path, image] {
        assert_eq!(contents(&journal_in(&path).unwrap()).unwrap(), all);
    }
}

#[test]
fn what_was_left_of_a_creation_without_a_lock_is_removed_if_it_is_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    let left = |name: &str| dir.path().join(name);
    // It died before it made its lock, or while it was removed.
    fs::create_dir(left("journal.tmp-4000000-0")).unwrap();
    fs::create_dir_all(left("journal.tmp-4000001-7").join("fjall/keyspaces")).unwrap();
    fs::write(left("journal.tmp-4000001-7").join("head"), "x").unwrap();
    // Somebody's.
    fs::create_dir(left("journal.tmp-1")).unwrap();
    fs::write(left("journal.tmp-1").join("letter.txt"), "dear").unwrap();
    fs::create_dir(left("other.tmp-1")).unwrap();
    drop(journal_in(&left("journal")).unwrap());
    assert_eq!(names_in(dir.path()), ["journal", "journal.tmp-1", "other.tmp-1"]);
}

/// Run by [`few_open_files_are_a_typed_error_and_leave_nothing_half_done`] in a process of its own.
#[test]
#[ignore = "a part of another test"]
#[expect(clippy::print_stdout, reason = "the other process reads it")]
fn open_with_few_files() {
    let Ok(path) = std::env::var("ANNALS_FEW_FILES") else { return };
    match journal_in(Path::new(&path)) {
        Ok(journal) => {
            drop(journal);
            println!("it opened");
        }
        Err(OpenError::Io { error, .. }) => println!("refused: {error}"),
        Err(OpenError::Engine { error, .. }) => println!("refused: {error}"),
        Err(error) => panic!("{error:?}"),
    }
}

#[cfg(unix)]
#[test]
fn few_open_files_are_a_typed_error_and_leave_nothing_half_done() {
    let (dir, path, journal) = new();
    fill(&journal, 5);
    let all = contents(&journal).unwrap();
    let image = dir.path().join("image");
    copy_sparse(&path, &image);
    drop(journal);
    let (mut opened, mut refused) = (0, 0);
    // So few that a process can't begin, up to enough.
    for files in (5..40).step_by(2) {
        let target = dir.path().join("target");
        for existing in [true, false] {
            if existing {
                copy_sparse(&image, &target);
            }
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")])
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", "--ignored", "--nocapture", "--test-threads=1"])
                .arg("journal::fjall::tests::directories::open_with_few_files")
                .env("ANNALS_FEW_FILES", &target)
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stdout);
            let what = format!("{files} files: {told}{}", String::from_utf8_lossy(&output.stderr));
            match (told.contains("it opened"), told.contains("refused: ")) {
                (true, false) => opened += 1,
                (false, true) => refused += 1,
                // The process itself couldn't begin.
                _ => assert!(!output.status.success() && files < 8, "{what}"),
            }
            let journal = journal_in(&target).unwrap_or_else(|error| panic!("{what}: {error}"));
            if existing {
                assert_eq!(contents(&journal).unwrap(), all, "{what}");
            }
            drop(journal);
            fs::remove_dir_all(&target).unwrap();
        }
    }
    assert!(opened > 4 && refused > 4, "{opened} opened, {refused} refused");
    assert_eq!(names_in(dir.path()), ["image", "journal"]);
}
