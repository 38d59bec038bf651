//! What `StoreDir::verify` finds of rows and groups that don't fit each other, and how little it looks again for that.

use super::*;
use crate::id::StreamNo;
use crate::journal::Due;
use crate::journal::floor::Floor;
use crate::journal::order::{OrderBuilder, OrderRow, OrderedRun};
use crate::journal::run::stored_checksum;

fn looked_into(path: &Path) -> (Report, u64) {
    StoreDir::open(path).unwrap().verify_counted(&mut |_| {}).unwrap()
}

/// A closed store of so many groups, each with a run of each of so many streams.
fn crowded(groups: u64, streams: u64) -> (TempDir, PathBuf) {
    let (dir, path, journal) = new();
    let ids: Vec<_> = (0..streams).map(|number| id(&format!("{number:05}"))).collect();
    let numbers: Vec<_> = ids.iter().map(|id| open(&journal, id).stream).collect();
    for group in 0..groups {
        let runs = ids.iter().zip(&numbers).map(|(id, stream)| run(&journal, *stream, id, group + 1, &[b"x"]));
        let stored = append(&journal, runs.collect());
        assert!(stored.iter().all(|outcome| matches!(outcome, Outcome::Stored(_))));
    }
    block_on(journal.close()).unwrap();
    drop(journal);
    (dir, path)
}

/// Puts a row in that names a group and an offset, with a run of a closed store's stream.
fn put_in(path: &Path, stream: StreamNo, name: &str, first: u64, group: u64, base: u64) {
    let bytes = {
        let journal = journal_in(path).unwrap();
        let bytes = run(&journal, stream, &id(name), first, &[b"y"]).bytes;
        block_on(journal.close()).unwrap();
        bytes
    };
    let (key, mut row) = (stream_key(stream, SeqNr(first)), Vec::new());
    let sum = stored_checksum(&bytes);
    rows::write_stream_row(&mut row, store_id(path), &key, group, Offset(base), (&bytes, sum));
    tamper(path, |_, batch| batch.insert(&key, &row));
}

fn store_id(path: &Path) -> u64 {
    let Ok(Found::Good(head)) = Head::read(&path.join("head")) else { panic!("the head is bad") };
    head.store
}

fn reasons(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|found| found.reason.as_str()).collect()
}

#[test]
fn no_group_is_read_again_for_rows_that_it_lists() {
    let (_dir, path) = crowded(5, 40);
    let (report, looked_into) = looked_into(&path);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.groups, report.runs, report.streams), (5, 200, 40));
    assert_eq!(looked_into, 0);
}

#[test]
fn for_a_row_of_nothing_the_groups_of_its_stream_are_read_again_and_no_others() {
    let (_dir, path) = crowded(5, 40);
    let stream = stream(&path, "00007");
    put_in(&path, stream, "00007", 6, 2, 50);
    let (report, looked_into) = looked_into(&path);
    assert_eq!(reasons(&report), ["group 2 doesn't list this run: it belongs to nothing"]);
    assert!((1..=5).contains(&looked_into), "{looked_into}");
}

#[test]
fn runs_that_no_group_lists_are_found() {
    for (what, name, first, group, base) in [
        ("behind the others of its stream", "alice", 5, 2, 3),
        ("of a group that isn't there", "alice", 5, 999, 3),
        ("of group 0", "alice", 5, 0, 3),
        ("at an offset that none has", "alice", 5, 2, 999),
        ("in the place of one that is deleted", "bob", 1, 3, 3),
    ] {
        let (_dir, path) = closed();
        let stream = stream(&path, name);
        put_in(&path, stream, name, first, group, base);
        let report = verified(&path);
        let found = reasons(&report).iter().any(|reason| reason.contains("belongs to nothing"));
        assert!(found, "{what}: {report:?}");
    }
}

#[test]
fn a_run_of_a_stream_that_no_group_knows_is_found() {
    let (_dir, path) = closed();
    put_in(&path, StreamNo(77), "nobody", 1, 2, 3);
    assert!(reasons(&verified(&path))[0].contains("belongs to nothing"));
}

#[test]
fn what_is_left_of_deleted_runs_is_found_if_it_is_damaged() {
    let (_dir, path) = closed();
    let key = stream_key(stream(&path, "bob"), SeqNr(1));
    // The rows of what is deleted go when the journal has time for it.
    put_in(&path, stream(&path, "bob"), "bob", 1, 2, 3);
    tamper(&path, |engine, batch| {
        let mut row = engine.get(&key).unwrap().unwrap().to_vec();
        row[30] ^= 1;
        batch.insert(&key, &row);
    });
    assert!(!verified(&path).is_whole());
}

#[test]
fn floors_and_names_that_no_group_lists_are_found() {
    let (_dir, path) = closed();
    let (alice, store) = (stream(&path, "alice"), store_id(&path));
    for group in [0, 2, 6, 999] {
        let damaged = path.with_file_name("damaged");
        copy(&path, &damaged);
        let floor = rows::floor_key(alice, Floor { to: SeqNr(1), ..Floor::default() });
        tamper(&damaged, |_, batch| batch.insert(&floor, &rows::floor_row(store, &floor, group)));
        let report = verified(&damaged);
        assert!(reasons(&report)[0].contains("doesn't list its floor at 1"), "{group}: {report:?}");
        fs::remove_dir_all(&damaged).unwrap();

        copy(&path, &damaged);
        let (mut key, mut row) = (Vec::new(), Vec::new());
        id_key(&mut key, &id("alicia"));
        rows::write_id_row(&mut row, store, &key, alice, group);
        tamper(&damaged, |_, batch| batch.insert(&key, &row));
        let report = verified(&damaged);
        assert!(reasons(&report)[0].contains("doesn't list the row of its id"), "{group}: {report:?}");
        fs::remove_dir_all(&damaged).unwrap();
    }
}

#[test]
fn rows_of_a_group_that_is_lost_are_not_said_to_belong_to_nothing() {
    let (_dir, path) = closed();
    take_out(&path, &[group_key(2).to_vec(), group_key(3).to_vec(), group_key(6).to_vec()]);
    let report = verified(&path);
    assert!(!report.is_whole());
    assert!(!reasons(&report).iter().any(|reason| reason.contains("belongs to nothing")), "{report:?}");
}

#[test]
fn a_deadline_that_the_records_do_not_say_is_found() {
    let (_dir, path) = closed();
    let store = store_id(&path);
    // Group 4 has one run of alice.
    tamper(&path, |engine, batch| {
        let row = |group: u64| {
            let row = engine.get(&group_key(group)).unwrap().unwrap();
            OrderRow::parse(&row, store, group).unwrap()
        };
        let (before, last) = (row(3).mark, row(4));
        let mut order = OrderBuilder::default();
        for run in &last.runs {
            let due = Due::At(jiff::Timestamp::UNIX_EPOCH);
            order.push_run(&id("alice").aggregate, &OrderedRun { due, ..*run });
        }
        let mut row = Vec::new();
        order.write(&mut row, store, last.epoch, last.time, before);
        batch.insert(&group_key(4), &row);
    });
    let report = verified(&path);
    assert!(reasons(&report).contains(&"the order has another deadline for it than its records"), "{report:?}");
}

#[test]
fn rows_among_those_of_groups_that_are_none_are_found_however_many_there_are() {
    let (_dir, path) = closed();
    let keys = [&[1][..], &group_key(0), &group_key(u64::MAX), &[&[1][..], &[u8::MAX; 9]].concat()].map(<[u8]>::to_vec);
    tamper(&path, |_, batch| {
        for number in 0..100_000_u32 {
            batch.insert(&[&group_key(2)[..], &number.to_be_bytes()].concat(), b"");
        }
        for key in &keys {
            batch.insert(key, b"");
        }
    });
    let report = verified(&path);
    assert_eq!(report.groups, 8);
    let found: Vec<_> = [1, 9, 13, 10]
        .map(|bytes| format!("a row whose key begins with 0x01 and has {bytes} bytes belongs to nothing"))
        .into();
    let mut reasons = reasons(&report);
    reasons.retain(|reason| reason.contains("belongs to nothing"));
    assert_eq!(reasons, found);
    // A new store doesn't have them.
    repaired(&path, false);
    assert!(verified(&path).is_whole());
}
