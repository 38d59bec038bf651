use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::journal::suite::deletion::{delete, end, head};
use crate::journal::suite::{append, copy_sparse, id, is_pending, open, read, read_all, run, store, written};
use crate::journal::{Corrupt, Place, Why};
use crate::oneshot::block_on;

mod damage;
mod deadlines;
mod deletion;
mod directories;
mod forgetting;
mod loss;
mod models;
mod reading;
mod snapshots;
mod space;
mod stalled;
mod tails;
mod tools;

use damage::{alice_key, closed, flip_everywhere, newest_journal, tamper};

fn journal_in(dir: &Path) -> Result<FjallJournal, OpenError> {
    FjallJournal::open(dir, FjallOptions::new())
}

fn new() -> (TempDir, PathBuf, FjallJournal) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let journal = journal_in(&path).unwrap();
    (dir, path, journal)
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_in(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// What a journal holds: each stream's events, and the order.
type Contents = (Vec<Vec<(u64, Vec<u8>)>>, Vec<(u64, u64, u64)>);

const NAMES: [&str; 3] = ["alice", "bob", "carol"];

fn fill(journal: &FjallJournal, groups: u8) {
    for group in 0..groups {
        let name = NAMES[usize::from(group) % NAMES.len()];
        store(journal, &id(name), &[&[group; 40], &[group, 1]]);
    }
}

fn contents(journal: &FjallJournal) -> Result<Contents, ReadError> {
    let streams = NAMES.iter().map(|name| read(journal, &id(name))).collect::<Result<_, _>>()?;
    Ok((streams, read_all(journal, 200)?))
}

#[test]
fn the_copy_of_an_open_journal_has_everything_that_was_acknowledged() {
    let (dir, path, journal) = new();
    for generation in 0..3 {
        fill(&journal, 7);
        let expected = contents(&journal).unwrap();
        let image = dir.path().join(format!("image{generation}"));
        copy(&path, &image);
        let copied = journal_in(&image).unwrap();
        assert_eq!(contents(&copied).unwrap(), expected);
        assert_eq!(copied.facts().epoch, journal.facts().epoch + 1);
        store(&copied, &id("alice"), &[b"more"]);
        drop(copied);
        assert_eq!(contents(&journal_in(&image).unwrap()).unwrap().1.len(), expected.1.len() + 1);
    }
}

#[test]
fn the_copy_of_a_journal_that_reopened_after_a_crash_has_everything_too() {
    let (dir, path, journal) = new();
    fill(&journal, 5);
    for generation in 0..4 {
        let image = dir.path().join(format!("image{generation}"));
        copy(
            if generation == 0 { path.clone() } else { dir.path().join(format!("image{}", generation - 1)) }.as_path(),
            &image,
        );
        let copied = journal_in(&image).unwrap();
        store(&copied, &id("bob"), &[b"more"]);
        let groups = contents(&copied).unwrap().1.len();
        assert_eq!(groups, 6 + generation);
        // As a crash leaves it: the next image is taken while this one is open.
        let next = dir.path().join("next");
        copy(&image, &next);
        drop(copied);
        fs::remove_dir_all(&image).unwrap();
        fs::rename(next, image).unwrap();
    }
}

#[test]
fn a_journal_is_open_once() {
    let (dir, path, journal) = new();
    let link = dir.path().join("link");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for path in [&path, &link] {
        match journal_in(path) {
            Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
    }
    block_on(journal.close()).unwrap();
    journal_in(&path).unwrap();
}

/// Run by [`another_process_is_kept_out`] in a process of its own.
#[test]
#[ignore = "a part of another test"]
fn try_to_open() {
    let Ok(path) = std::env::var("ANNALS_TRY_TO_OPEN") else { return };
    let error = journal_in(Path::new(&path)).unwrap_err();
    let OpenError::Locked { pid, .. } = error else { panic!("{error}") };
    assert_eq!(pid.unwrap().to_string(), std::env::var("ANNALS_HOLDER").unwrap());
}

#[test]
fn another_process_is_kept_out() {
    let (_dir, path, _journal) = new();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "journal::fjall::tests::try_to_open"])
        .env("ANNALS_TRY_TO_OPEN", &path)
        .env("ANNALS_HOLDER", std::process::id().to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[test]
fn a_writer_whose_lock_file_was_replaced_is_shut_out() {
    let (_dir, path, journal) = new();
    store(&journal, &id("alice"), &[b"x"]);
    let head = fs::read(path.join("head")).unwrap();
    fs::remove_file(path.join("lock")).unwrap();
    // The engine's own lock keeps others out.
    assert!(matches!(journal_in(&path), Err(OpenError::Locked { .. })));
    let alice = open(&journal, &id("alice"));
    let late = append(&journal, vec![run(&journal, alice.stream, &id("alice"), 2, &[b"y"])]);
    assert_eq!(late, [Outcome::NotStored(Why::Fenced { epoch: journal.facts().epoch })]);
    assert!(matches!(journal.health(), Health::Failed(_)));
    assert!(block_on(journal.close()).is_err());
    assert_eq!(fs::read(path.join("head")).unwrap(), head, "somebody else's head was written");
}

#[test]
fn making_leaves_nothing_beside_and_an_empty_directory_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/journal");
    drop(journal_in(&path).unwrap());
    assert_eq!(names_in(path.parent().unwrap()), ["journal"]);
    assert_eq!(names_in(&path), ["fjall", "head", "lock"]);

    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let journal = journal_in(&empty).unwrap();
    store(&journal, &id("alice"), &[b"x"]);
}

#[test]
fn what_was_left_half_made_is_removed_unless_it_is_being_made() {
    let dir = tempfile::tempdir().unwrap();
    let dead = dir.path().join("journal.tmp-4000000-0");
    let alive = dir.path().join("journal.tmp-4000001-0");
    let other = dir.path().join("journal.tmp-mine");
    for path in [&dead, &alive, &other] {
        fs::create_dir(path).unwrap();
        fs::write(path.join("lock"), "4000000\n").unwrap();
    }
    let held = fs::File::open(alive.join("lock")).unwrap();
    held.try_lock().unwrap();
    drop(journal_in(&dir.path().join("journal")).unwrap());
    assert_eq!(names_in(dir.path()), ["journal", "journal.tmp-4000001-0", "journal.tmp-mine"]);
}

#[test]
fn two_who_make_a_journal_at_once_get_one() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let open = || {
            let path = path.clone();
            std::thread::spawn(move || journal_in(&path))
        };
        let results = [open(), open()].map(|thread| thread.join().unwrap());
        let opened = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(opened, 1, "{results:?}");
        assert!(results.iter().any(|result| matches!(result, Err(OpenError::Locked { .. }))), "{results:?}");
        assert_eq!(names_in(dir.path()), ["journal"]);
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    match journal_in(dir.path()) {
        Err(OpenError::NotOurs { found, .. }) => assert_eq!(found, ["letter.txt"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(names_in(dir.path()), ["letter.txt"]);

    let file = dir.path().join("letter.txt");
    assert!(matches!(journal_in(&file), Err(OpenError::NotADirectory { .. })));
    let under = file.join("journal");
    match journal_in(&under) {
        Err(OpenError::Io { path, .. }) => assert_eq!(path, under),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        FjallJournal::open(dir.path(), FjallOptions::new().durability(Durability::Memory)),
        Err(OpenError::Durability)
    ));
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let (_dir, path, journal) = new();
    drop(journal);
    let mut head = fs::read(path.join("head")).unwrap();
    for slot in head.chunks_mut(4096) {
        slot[8] = 2;
        let sum = crate::journal::bytes::checksum(0, &[&slot[..4088]]);
        slot[4088..].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(path.join("head"), &head).unwrap();
    let error = journal_in(&path).unwrap_err();
    assert!(matches!(error, OpenError::NewerFormat { found: 2, supported: 1, .. }), "{error}");
    assert_eq!(fs::read(path.join("head")).unwrap(), head);
}

#[test]
fn a_missing_or_damaged_head_is_told() {
    let (_dir, path, journal) = new();
    fill(&journal, 3);
    drop(journal);
    let good = fs::read(path.join("head")).unwrap();

    fs::remove_file(path.join("head")).unwrap();
    assert!(matches!(journal_in(&path), Err(OpenError::NotOurs { .. })));

    fs::write(path.join("head"), vec![0; 8192]).unwrap();
    match journal_in(&path) {
        Err(OpenError::Corrupt { corrupt: Corrupt { place: Place::File { path: head }, .. }, .. }) => {
            assert!(head.ends_with("head"));
        }
        other => panic!("{other:?}"),
    }
    fs::write(path.join("head"), good).unwrap();
    assert_eq!(contents(&journal_in(&path).unwrap()).unwrap().1.len(), 3);
}

#[test]
fn an_older_copy_of_the_engine_is_corrupt() {
    for clean in [true, false] {
        let (dir, path, journal) = new();
        fill(&journal, 3);
        drop(journal);
        let old = dir.path().join("old");
        copy(&path, &old);

        let journal = journal_in(&path).unwrap();
        fill(&journal, 3);
        let image = dir.path().join("image");
        if clean {
            drop(journal);
            copy(&path, &image);
        } else {
            copy(&path, &image);
            drop(journal);
        }
        fs::remove_dir_all(image.join("fjall")).unwrap();
        fs::rename(old.join("fjall"), image.join("fjall")).unwrap();
        let error = journal_in(&image).unwrap_err();
        let OpenError::Corrupt { corrupt: Corrupt { place: Place::Offsets { from, to }, .. }, .. } = &error else {
            panic!("{error}")
        };
        assert!(from.0 <= 7 && to.0 == 12, "{error}");
    }
}

#[test]
fn the_engine_of_another_store_is_corrupt() {
    let (_dir, path, journal) = new();
    let (_other_dir, other_path, other) = new();
    for journal in [journal, other] {
        fill(&journal, 3);
    }
    fs::remove_dir_all(path.join("fjall")).unwrap();
    fs::rename(other_path.join("fjall"), path.join("fjall")).unwrap();
    let error = journal_in(&path).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[test]
fn a_tail_of_acknowledged_groups_that_is_cut_off_is_corrupt() {
    let (dir, path, journal) = new();
    fill(&journal, 9);
    let image = dir.path().join("image");
    copy(&path, &image);
    let whole = contents(&journal).unwrap();
    let file = image.join("fjall/0.jnl");
    let bytes = fs::read(&file).unwrap();
    let end = written(&bytes);
    let mut refused = 0;
    for cut in (1..end).rev().step_by(97) {
        let cut_image = dir.path().join("cut");
        copy(&image, &cut_image);
        fs::write(cut_image.join("fjall/0.jnl"), &bytes[..cut]).unwrap();
        match journal_in(&cut_image) {
            Err(OpenError::Corrupt { .. }) => refused += 1,
            Err(other) => panic!("cut at {cut} of {end}: {other}"),
            Ok(journal) => assert_eq!(contents(&journal).unwrap(), whole, "cut at {cut} of {end}"),
        }
        fs::remove_dir_all(cut_image).unwrap();
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn groups_beyond_the_head_are_taken_if_their_chain_is_whole() {
    let (dir, path, journal) = new();
    fill(&journal, 4);
    let head = fs::read(path.join("head")).unwrap();
    fill(&journal, 3);
    let whole = contents(&journal).unwrap();
    let image = dir.path().join("image");
    copy(&path, &image);
    fs::write(image.join("head"), head).unwrap();
    assert_eq!(contents(&journal_in(&image).unwrap()).unwrap(), whole);
}

#[test]
fn a_closed_journal_that_was_written_to_behind_its_head_is_corrupt() {
    let (dir, path, journal) = new();
    fill(&journal, 4);
    drop(journal);
    let head = fs::read(path.join("head")).unwrap();
    let journal = journal_in(&path).unwrap();
    fill(&journal, 3);
    drop(journal);
    let image = dir.path().join("image");
    copy(&path, &image);
    fs::write(image.join("head"), head).unwrap();
    let error = journal_in(&image).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

fn three_in_flight(journal: &FjallJournal) -> Vec<Fut<'static, Vec<Outcome>>> {
    let alice = open(journal, &id("alice"));
    (1..=3)
        .map(|next| journal.append(vec![run(journal, alice.stream, &id("alice"), alice.last.0 + next, &[b"x"])]))
        .collect()
}

fn check_failed(journal: FjallJournal, path: &Path, futures: Vec<Fut<'static, Vec<Outcome>>>) {
    let outcomes: Vec<Outcome> = futures.into_iter().flat_map(block_on).collect();
    let unknown = outcomes.iter().take_while(|outcome| matches!(outcome, Outcome::Unknown(_))).count();
    assert!(unknown > 0, "{outcomes:?}");
    let rest = &outcomes[unknown..];
    assert!(rest.iter().all(|outcome| matches!(outcome, Outcome::NotStored(Why::Failed(_)))), "{outcomes:?}");
    assert!(matches!(journal.health(), Health::Failed(_)));
    let late = append(&journal, vec![run(&journal, StreamNo(1), &id("alice"), 2, &[b"x"])]);
    assert!(matches!(late[..], [Outcome::NotStored(Why::Failed(_))]), "{late:?}");
    // Reading goes on.
    assert_eq!(contents(&journal).unwrap().1.len(), 3);
    assert!(block_on(journal.close()).is_err());
    drop(journal);
    let journal = journal_in(path).unwrap();
    assert_eq!(contents(&journal).unwrap().1.len(), 3);
    store(&journal, &id("alice"), &[b"again"]);
}

#[test]
fn a_failed_commit_leaves_its_runs_unknown_and_the_others_unstored() {
    let (_dir, path, journal) = new();
    fill(&journal, 3);
    journal.shared.faults.fail_next_commit();
    let futures = three_in_flight(&journal);
    check_failed(journal, &path, futures);
}

#[test]
fn a_panic_in_the_writer_answers_everybody() {
    let (_dir, path, journal) = new();
    fill(&journal, 3);
    journal.shared.faults.panic_at_next_commit();
    let futures = three_in_flight(&journal);
    check_failed(journal, &path, futures);
}

#[test]
fn dropping_a_journal_stores_what_was_handed_over() {
    let (_dir, path, journal) = new();
    let mut futures = three_in_flight(&journal);
    let _pending = is_pending(&mut futures[2]);
    drop(journal);
    for outcomes in futures.into_iter().map(block_on) {
        assert!(matches!(outcomes[..], [Outcome::Stored(_)]), "{outcomes:?}");
    }
    assert_eq!(contents(&journal_in(&path).unwrap()).unwrap().0[0].len(), 3);
}

#[test]
fn many_threads_append_and_read_at_once() {
    let (_dir, path, journal) = new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let journal = &journal;
            scope.spawn(move || {
                for round in 0..25_u8 {
                    for entity in 0..4 {
                        store(journal, &id(&format!("{thread}-{entity}")), &[&[round; 50]]);
                    }
                    read_all(journal, 1000).unwrap();
                }
            });
        }
    });
    drop(journal);
    let journal = journal_in(&path).unwrap();
    for entity in (0..16).map(|index| id(&format!("{}-{}", index / 4, index % 4))) {
        let events = read(&journal, &entity).unwrap();
        let expected: Vec<_> = (1..).zip((0..25).map(|round| vec![round; 50])).collect();
        assert_eq!(events, expected);
    }
    let offsets: Vec<u64> = read_all(&journal, 5000).unwrap().iter().map(|run| run.0).collect();
    assert_eq!(offsets, (1..=400).collect::<Vec<_>>());
}

#[test]
fn os_durability_survives_the_crash_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let journal = FjallJournal::open(&path, FjallOptions::new().durability(Durability::Os)).unwrap();
    assert_eq!(journal.facts().durability, Durability::Os);
    fill(&journal, 7);
    let expected = contents(&journal).unwrap();
    let image = dir.path().join("image");
    copy(&path, &image);
    assert_eq!(contents(&journal_in(&image).unwrap()).unwrap(), expected);
}

/// Makes the head say that it was written before the machine was started.
fn as_after_power_loss(image: &Path) {
    let mut head = fs::read(image.join("head")).unwrap();
    for slot in head.chunks_mut(4096) {
        slot[36..52].fill(0xee);
        let sum = crate::journal::bytes::checksum(0, &[&slot[..4088]]);
        slot[4088..].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(image.join("head"), head).unwrap();
}

#[test]
fn no_slot_of_the_head_grows_old_while_one_group_follows_the_other() {
    let (_dir, path, journal) = new();
    journal.shared.faults.age_slots();
    let slots = || {
        let head = fs::read(path.join("head")).unwrap();
        let (first, second) = head.split_at(4096);
        (first.to_vec(), second.to_vec())
    };
    let (mut before, mut is_first) = (slots(), None);
    for _ in 0..20 {
        store(&journal, &id("alice"), &[b"x"]);
        let now = slots();
        let written = (now.0 != before.0, now.1 != before.1);
        assert!(written.0 != written.1, "one slot is written: {written:?}");
        assert_ne!(is_first.replace(written.0), Some(written.0), "and then the other one");
        before = now;
    }
}

#[test]
fn power_loss_may_take_what_was_not_synced_and_nothing_else() {
    for durability in [Durability::Fsync, Durability::Os] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let open = || FjallJournal::open(&path, FjallOptions::new().durability(durability)).unwrap();
        let journal = open();
        fill(&journal, 3);
        drop(journal);
        let journal = open();
        fill(&journal, 6);
        let image = dir.path().join("image");
        copy(&path, &image);
        let file = fs::File::options().write(true).open(newest_journal(&image)).unwrap();
        let end = written(&fs::read(newest_journal(&image)).unwrap());
        file.set_len(u64::try_from(end - 10).unwrap()).unwrap();

        // The same start of the machine: nothing may be lost.
        let crashed = dir.path().join("crashed");
        copy(&image, &crashed);
        assert!(matches!(journal_in(&crashed), Err(OpenError::Corrupt { .. })));

        as_after_power_loss(&image);
        match (durability, journal_in(&image)) {
            (Durability::Os, Ok(journal)) => assert_eq!(contents(&journal).unwrap().1.len(), 8),
            (Durability::Fsync, Err(OpenError::Corrupt { .. })) => {}
            (_, other) => panic!("{durability:?}: {other:?}"),
        }
    }
}
