//! Single rows that are gone: what `StoreDir` finds, what it can do about it, and what it can't.

use std::path::Path;

use super::*;
use crate::id::StreamNo;
use crate::journal::fjall::engine::TRUTH;
use crate::journal::fjall::rows::{floor_keys, id_key, stream_key};
use crate::journal::head::{Found, Head, HeadFile, State};
use crate::journal::order::group_key;
use crate::journal::{Progress, Repair, RepairOptions, Repaired, Report, StoreDir};

mod belonging;
mod standing;

/// A closed store with five groups of two records, an end, and a deletion.
fn closed() -> (TempDir, PathBuf) {
    let (dir, path, journal) = new();
    fill(&journal, 5);
    delete(&journal, &id("bob"), 2);
    store(&journal, &id("dora"), &[b"x"]);
    end(&journal, &id("dora"), &[]);
    block_on(journal.close()).unwrap();
    drop(journal);
    (dir, path)
}

/// Takes rows out of the engine of a closed store, as if they had never been there.
fn take_out(path: &Path, keys: &[Vec<u8>]) {
    let engine = Engine::open(&path.join("fjall"), TRUTH, 0).unwrap();
    let mut batch = engine.batch(keys.len(), Durability::Fsync);
    for key in keys {
        assert!(engine.get(key).unwrap().is_some(), "{key:?} isn't there");
        batch.remove(key);
    }
    batch.commit().unwrap();
    engine.flush().unwrap();
}

fn verified(path: &Path) -> Report {
    StoreDir::open(path).unwrap().verify(&mut |_| {}).unwrap()
}

fn repaired(path: &Path, accept_data_loss: bool) -> Repair {
    let options = RepairOptions { accept_data_loss, ..RepairOptions::default() };
    StoreDir::open(path).unwrap().repair(&options, &mut |_| {}).unwrap()
}

/// The number of a stream, found as the store has it.
fn stream(path: &Path, name: &str) -> StreamNo {
    StoreDir::open(path).unwrap().stream(&id(name)).unwrap().stream
}

/// What the journal holds when it is opened again.
fn held(path: &Path) -> (Contents, Vec<(u64, u64, bool)>) {
    let journal = journal_in(path).unwrap();
    let heads = NAMES.iter().chain(&["dora"]).map(|name| head(&journal, &id(name))).collect();
    (contents(&journal).unwrap(), heads)
}

#[test]
fn a_store_that_is_not_opened_is_not_whole_though_nothing_of_it_is_lost() {
    let (_dir, path) = closed();
    let before = held(&path);
    // The file before it is missing.
    fs::write(path.join("fjall/2.jnl"), []).unwrap();
    let refused = journal_in(&path);
    let Err(OpenError::Corrupt { corrupt, .. }) = &refused else { panic!("{refused:?}") };
    let report = verified(&path);
    assert_eq!(report.findings, std::slice::from_ref(corrupt));
    let repair = repaired(&path, false);
    assert!(matches!(repair.outcome, Repaired::Done { .. }), "{repair:?}");
    assert_eq!(held(&path), before);
}

/// A closed store with two snapshots.
fn with_snapshot() -> (TempDir, PathBuf) {
    let (dir, path, journal) = new();
    fill(&journal, 3);
    for seq_nr in 1..=2 {
        let time = jiff::Timestamp::UNIX_EPOCH;
        let snapshot = crate::snapshot::StoredSnapshot { seq_nr: SeqNr(seq_nr), time, bytes: vec![7; 100] };
        block_on(journal.snapshots().unwrap().save(&id("nobody"), snapshot)).unwrap();
    }
    block_on(journal.close()).unwrap();
    drop(journal);
    (dir, path)
}

#[test]
fn the_copy_of_the_journal_is_there_as_long_as_its_store_is_looked_at() {
    let (dir, path) = with_snapshot();
    let copies = || {
        let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("journal.look-")).count()
    };
    let mut store = StoreDir::open(&path).unwrap();
    let mut with_snapshots = None;
    let mut told = |progress: Progress| {
        if progress.doing == "reading the snapshots" {
            with_snapshots = Some(copies());
        }
    };
    assert!(store.verify(&mut told).unwrap().is_whole());
    assert_eq!(with_snapshots, Some(2), "one of the journal, and one of the snapshots");
    assert_eq!(copies(), 1);
    drop(store);
    assert_eq!(copies(), 0);
}

#[test]
fn snapshots_that_are_not_opened_are_not_whole() {
    let (_dir, path) = with_snapshot();
    // A kill leaves a head that says so.
    let head = path.join("head");
    let Ok(Found::Good(mut state)) = Head::read(&head) else { panic!("the head is bad") };
    state.state = State::Open;
    HeadFile::open(&head).unwrap().write_both(&mut state).unwrap();
    let file = path.join("snapshots/0.jnl");
    let mut bytes = fs::read(&file).unwrap();
    bytes[40] ^= 1;
    fs::write(&file, bytes).unwrap();
    // One whole batch follows.
    let report = verified(&path);
    let place = Place::File { path: fs::canonicalize(&file).unwrap() };
    assert_eq!(report.findings.iter().map(|found| &found.place).collect::<Vec<_>>(), [&place], "{report:?}");
    let journal = journal_in(&path).unwrap();
    assert!(block_on(journal.snapshots().unwrap().list(&id("nobody"))).is_err());
}

#[test]
fn what_other_rows_say_too_is_not_lost() {
    let (_dir, path) = closed();
    let dora = stream(&path, "dora");
    let image = path.with_file_name("whole");
    copy(&path, &image);
    let whole = held(&image);
    let mut name = Vec::new();
    id_key(&mut name, &id("alice"));
    let tombstone = stream_key(dora, SeqNr(2)).to_vec();
    let (from, to) = floor_keys(dora, dora);
    let floor = {
        let engine = Engine::open(&image.join("fjall"), TRUTH, 0).unwrap();
        engine.range(&from, &to).next().unwrap().unwrap().0.to_vec()
    };
    for (what, keys) in [
        ("the first group", vec![group_key(1).to_vec()]),
        ("a group in the middle", vec![group_key(3).to_vec()]),
        ("two groups", vec![group_key(3).to_vec(), group_key(4).to_vec()]),
        ("the group with a deletion", vec![group_key(6).to_vec()]),
        ("the last group", vec![group_key(8).to_vec()]),
        ("all groups", (1..=8).map(|group| group_key(group).to_vec()).collect()),
        ("the row of an id", vec![name.clone()]),
        ("the row of an id, and its group", vec![name, group_key(1).to_vec()]),
        ("a floor", vec![floor]),
        ("a tombstone", vec![tombstone]),
    ] {
        let damaged = path.with_file_name("damaged");
        copy(&path, &damaged);
        take_out(&damaged, &keys);
        let report = verified(&damaged);
        assert!(!report.is_whole(), "{what}");
        let repair = repaired(&damaged, false);
        assert!(matches!(repair.outcome, Repaired::Done { .. }), "{what}: {repair:?}");
        assert!(verified(&damaged).is_whole(), "{what}");
        assert_eq!(held(&damaged), whole, "{what}");
        fs::remove_dir_all(&damaged).unwrap();
        fs::remove_dir_all(path.with_file_name("damaged.damaged-1")).unwrap();
    }
}

#[test]
fn a_run_that_is_gone_takes_what_follows_it_in_its_stream_and_nothing_else() {
    let (_dir, path) = closed();
    let alice = stream(&path, "alice");
    // Alice has the records 1 and 2 of group 1 and 3 and 4 of group 4.
    for (first, left) in [(3, 2), (1, 0)] {
        let damaged = path.with_file_name("damaged");
        copy(&path, &damaged);
        take_out(&damaged, &[stream_key(alice, SeqNr(first)).to_vec()]);
        let refused = repaired(&damaged, false);
        assert_eq!(refused.outcome, Repaired::Refused);
        let seq_nrs: Vec<_> = refused.lost.iter().filter_map(|lost| lost.seq_nrs).collect();
        assert_eq!(seq_nrs.first().unwrap().0, SeqNr(first), "{refused:?}");
        assert_eq!(seq_nrs.last().unwrap().1, SeqNr(4), "{refused:?}");
        assert!(refused.lost.iter().all(|lost| lost.acknowledged && lost.id == Some(id("alice"))));
        assert_eq!(repaired(&damaged, true).lost, refused.lost);

        assert!(verified(&damaged).is_whole());
        let journal = journal_in(&damaged).unwrap();
        assert_eq!(read(&journal, &id("alice")).unwrap().len(), left);
        assert_eq!(read(&journal, &id("carol")).unwrap().len(), 2);
        assert_eq!(head(&journal, &id("dora")), (2, 1, true));
        // What is stored next has an offset that was never given.
        let end = journal.durable();
        assert_eq!(store(&journal, &id("alice"), &[b"new"]), Offset(end.0 + 1));
        assert_eq!(end, Offset(12));
        drop(journal);
        assert!(verified(&damaged).is_whole());
        fs::remove_dir_all(&damaged).unwrap();
        fs::remove_dir_all(path.with_file_name("damaged.damaged-1")).unwrap();
    }
}

#[test]
fn a_store_that_lost_something_twice_is_repaired_twice() {
    let (_dir, path) = closed();
    let [alice, carol] = ["alice", "carol"].map(|name| stream(&path, name));
    take_out(&path, &[stream_key(carol, SeqNr(1)).to_vec()]);
    repaired(&path, true);
    take_out(&path, &[stream_key(alice, SeqNr(3)).to_vec()]);
    repaired(&path, true);
    assert!(verified(&path).is_whole());
    let journal = journal_in(&path).unwrap();
    assert_eq!(read(&journal, &id("alice")).unwrap().len(), 2);
    assert_eq!(journal.durable(), Offset(12));
}

#[test]
fn a_row_that_belongs_to_nothing_is_found() {
    let (_dir, path) = closed();
    let alice = stream(&path, "alice");
    let engine = Engine::open(&path.join("fjall"), TRUTH, 0).unwrap();
    let row = engine.get(&stream_key(alice, SeqNr(1))).unwrap().unwrap();
    let mut batch = engine.batch(2, Durability::Fsync);
    batch.insert(&stream_key(StreamNo(77), SeqNr(1)), &row);
    batch.insert(&[6, 1], b"a name");
    batch.commit().unwrap();
    engine.flush().unwrap();
    drop(engine);
    let report = verified(&path);
    assert_eq!(report.findings.len(), 2, "{report:?}");
    assert!(report.findings.iter().any(|found| matches!(&found.place, Place::Stream { stream, .. } if stream.0 == 77)));
    assert!(report.findings.iter().any(|found| found.reason.contains("belongs to nothing")), "{report:?}");
    // A new store doesn't have them.
    repaired(&path, false);
    assert!(verified(&path).is_whole());
}

#[test]
fn what_was_deleted_goes_from_a_repaired_store_too() {
    let (_dir, path, journal) = new();
    fill(&journal, 5);
    let bob = open(&journal, &id("bob")).stream;
    journal.close_stream(bob);
    block_on(journal.close()).unwrap();
    drop(journal);
    let key = stream_key(bob, SeqNr(1));
    let row = |path: &Path| Engine::open(&path.join("fjall"), TRUTH, 0).unwrap().get(&key).unwrap();
    let deleted = row(&path).unwrap();
    let journal = journal_in(&path).unwrap();
    delete(&journal, &id("bob"), 2);
    block_on(journal.close()).unwrap();
    drop(journal);
    // A journal that died before it removed the row.
    tamper(&path, |_, batch| batch.insert(&key, &deleted));
    fs::write(path.join("deadlines"), b"something else").unwrap();
    assert!(matches!(repaired(&path, false).outcome, Repaired::Done { .. }));
    assert!(row(&path).is_some(), "it is kept, since it can be read");
    let Ok(Found::Good(head)) = Head::read(&path.join("head")) else { panic!("the head is bad") };
    assert_eq!((head.checkpoint, head.state), (Default::default(), State::Clean));
    block_on(journal_in(&path).unwrap().close()).unwrap();
    assert!(row(&path).is_none(), "what is deleted stays for ever");
}
