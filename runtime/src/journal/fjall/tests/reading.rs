//! Pages: what is deleted while one is read, and what is whole before damage.

use std::thread;

use super::super::faults::Gate;
use super::*;
use crate::journal::suite::forgetting::forgettable_run;

/// The first page of one byte of everything, before whose first run something happens.
fn page_while(journal: &FjallJournal, happens: impl FnOnce()) -> Page {
    journal.shared.faults.hold(Gate::Reading);
    thread::scope(|scope| {
        let reader = scope.spawn(|| block_on(journal.read_all(Offset(0), 1)));
        journal.shared.faults.wait_for_arrival();
        happens();
        journal.shared.faults.release();
        reader.join().unwrap().unwrap()
    })
}

fn rows_left(journal: &FjallJournal, stream: StreamNo) -> usize {
    let engine = journal.shared.engine.read().unwrap();
    let (from, to) = (rows::stream_key(stream, SeqNr(0)), rows::stream_key(stream, SeqNr(u64::MAX)));
    engine.as_ref().unwrap().range(&from, &to).count()
}

#[test]
fn a_page_is_not_empty_where_what_it_began_with_is_deleted_meanwhile() {
    let (_dir, _path, journal) = new();
    for payload in [b"x", b"y", b"z"] {
        store(&journal, &id("alice"), &[payload]);
    }
    store(&journal, &id("bob"), &[b"b"]);
    let alice = open(&journal, &id("alice")).stream;
    let page = page_while(&journal, || {
        delete(&journal, &id("alice"), 2);
        while rows_left(&journal, alice) > 1 {
            thread::yield_now();
        }
    });
    let offsets: Vec<_> = page.runs.iter().map(|run| run.offset).collect();
    assert_eq!((offsets, page.more), (vec![Offset(3)], true));
}

#[test]
fn a_page_is_not_empty_where_what_it_began_with_is_forgotten_meanwhile() {
    let (_dir, _path, journal) = new();
    let alice = open(&journal, &id("alice")).stream;
    let first = forgettable_run(&journal, alice, &id("alice"), 1, &[b"x"]);
    assert!(matches!(append(&journal, vec![first])[..], [Outcome::Stored(_)]));
    end(&journal, &id("alice"), &[]);
    store(&journal, &id("bob"), &[b"b"]);
    store(&journal, &id("bob"), &[b"c"]);
    let page = page_while(&journal, || assert!(matches!(block_on(journal.forget(alice)), Outcome::Stored(_))));
    let offsets: Vec<_> = page.runs.iter().map(|run| run.offset).collect();
    assert_eq!((offsets, page.more), (vec![Offset(3)], true));
}

#[test]
fn what_is_deleted_is_passed_over_however_much_it_is() {
    let (_dir, _path, journal) = new();
    for round in 0..50_u8 {
        store(&journal, &id("alice"), &[&[round; 100]]);
    }
    store(&journal, &id("bob"), &[b"b"]);
    delete(&journal, &id("alice"), 50);
    for bytes_max in [0, 1, usize::MAX] {
        let page = block_on(journal.read_all(Offset(0), bytes_max)).unwrap();
        assert_eq!(page.runs.iter().map(|run| run.offset).collect::<Vec<_>>(), [Offset(51)]);
    }
}

/// Removes a row, or changes its last byte.
fn spoil(path: &Path, key: &[u8], is_removed: bool) {
    tamper(path, |engine, batch| {
        if is_removed {
            batch.remove(key);
            return;
        }
        let mut row = engine.get(key).unwrap().unwrap().to_vec();
        *row.last_mut().unwrap() ^= 1;
        batch.insert(key, &row);
    });
}

#[test]
fn what_is_whole_before_a_damaged_run_is_read_and_then_the_damage_is_met() {
    for (first, is_removed) in [(3, false), (3, true), (5, false)] {
        let (_dir, path) = closed();
        spoil(&path, &alice_key(first), is_removed);
        let journal = journal_in(&path).unwrap();
        let page = block_on(journal.read(StreamNo(1), SeqNr(1), SeqNr(6), usize::MAX)).unwrap();
        assert_eq!((page.runs.len(), page.more), (usize::try_from(first).unwrap() / 2, true));
        for _ in 0..2 {
            let next = block_on(journal.read(StreamNo(1), SeqNr(first), SeqNr(6), usize::MAX));
            assert!(matches!(next, Err(ReadError::Corrupt(_))), "{next:?}");
        }

        // Two runs of each of the others are between two of alice's.
        let page = block_on(journal.read_all(Offset(0), usize::MAX)).unwrap();
        let after = page.runs.last().map(|run| Offset(run.offset.0 + 1)).unwrap();
        assert_eq!((after, page.more), (Offset(3 * (first - 1)), true));
        for _ in 0..2 {
            let next = block_on(journal.read_all(after, usize::MAX));
            assert!(matches!(next, Err(ReadError::Corrupt(_))), "{next:?}");
        }
    }
}

#[test]
fn what_is_whole_before_a_damaged_group_is_read_and_then_the_damage_is_met() {
    for is_removed in [false, true] {
        let (_dir, path) = closed();
        spoil(&path, &crate::journal::order::group_key(4), is_removed);
        let journal = journal_in(&path).unwrap();
        let page = block_on(journal.read_all(Offset(0), usize::MAX)).unwrap();
        assert_eq!((page.runs.len(), page.more), (3, true));
        let next = block_on(journal.read_all(Offset(6), usize::MAX));
        assert!(matches!(next, Err(ReadError::Corrupt(_))), "{next:?}");
    }
}

#[test]
fn a_floor_that_is_lost_is_met_wherever_somebody_reads_on() {
    let (_dir, path, journal) = new();
    store(&journal, &id("alice"), &[b"x", b"y"]);
    delete(&journal, &id("alice"), 1);
    store(&journal, &id("bob"), &[b"b"]);
    drop(journal);
    let floor = crate::journal::floor::Floor { to: SeqNr(1), ..Default::default() };
    tamper(&path, |_, batch| batch.remove(&rows::floor_key(StreamNo(1), floor)));
    for after in [0, 1, 2] {
        let journal = journal_in(&path).unwrap();
        let mut found = block_on(journal.read_all(Offset(after), usize::MAX));
        if let Ok(page) = &found {
            assert_eq!((page.runs.len(), page.more), (1, true), "behind {after}");
            found = block_on(journal.read_all(Offset(2), usize::MAX));
        }
        assert!(matches!(found, Err(ReadError::Corrupt(_))), "behind {after}: {found:?}");
    }
}

#[test]
fn everything_is_read_in_its_order_however_much_is_read_ahead() {
    let (_dir, _path, journal) = new();
    let names = [id("alice"), id("bob"), id("carol")];
    let streams = names.each_ref().map(|name| open(&journal, name).stream);
    let mut expected = Vec::new();
    for round in 0..40 {
        // Not in the order of their keys.
        let order = [2, round % 2, (round + 1) % 2];
        let payload = vec![b'x'; 10 + 7 * round];
        let first = 1 + u64::try_from(round).unwrap();
        let runs = order.map(|index| run(&journal, streams[index], &names[index], first, &[&payload]));
        let stored = append(&journal, runs.into());
        for (index, outcome) in order.into_iter().zip(stored) {
            let Outcome::Stored(offset) = outcome else { panic!("{outcome:?}") };
            expected.push((offset.0, streams[index].0, first));
        }
    }
    for is_in_tables in [false, true] {
        if is_in_tables {
            journal.shared.engine.read().unwrap().as_ref().unwrap().flush().unwrap();
        }
        for bytes_max in [0, 100, 500, 5_000, usize::MAX] {
            assert_eq!(read_all(&journal, bytes_max).unwrap(), expected, "{bytes_max} {is_in_tables}");
        }
    }
}

#[test]
fn what_was_read_ahead_is_not_handed_out_once_it_is_deleted() {
    let (_dir, _path, journal) = new();
    for _ in 0..20 {
        store(&journal, &id("alice"), &[b"a"]);
        store(&journal, &id("bob"), &[b"b"]);
    }
    let page = block_on(journal.read_all(Offset(0), 1_000)).unwrap();
    let after = page.runs.last().unwrap().offset;
    assert!(lock(&journal.shared.cursors).iter().any(|cursor| !cursor.ahead.is_empty()));
    let alice = open(&journal, &id("alice")).stream;
    delete(&journal, &id("alice"), 19);
    let rest = block_on(journal.read_all(after, usize::MAX)).unwrap();
    let of_alice: Vec<_> = rest.runs.iter().filter(|run| run.stream == alice).map(|run| run.offset).collect();
    assert_eq!(of_alice, [Offset(39)]);
    assert_eq!(rest.runs.last().unwrap().offset, Offset(40));
}
