//! Streams, their names and their numbers.

use super::super::id;
use super::hand::{Subject, numbered};
use super::rules;
use crate::id::{InvalidId, PersistenceId, StreamNo};
use crate::journal::{Outcome, ReadError, Why};

fn are_separate(s: &mut Subject<'_>, ids: &[PersistenceId]) {
    let payload = |index: usize, part: u8| [&crate::journal::len_u64(index).to_le_bytes()[..], &[part]].concat();
    for part in 0..2 {
        for (index, id) in ids.iter().enumerate() {
            s.hand().put(id, &[&payload(index, part)]);
        }
    }
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let j = s.hand();
        numbers.clear();
        for (index, id) in ids.iter().enumerate() {
            let expected = numbered(&[&payload(index, 0), &payload(index, 1)]);
            j.is(&format!("the events of {id}"), j.events(id), expected);
            let stream = j.number(id);
            numbers.push(stream);
            j.by(&rules::STREAM_ID).is("the name of its stream", j.name(stream), Ok(Some(id.clone())));
        }
        s.reopen();
    }
    numbers.sort_unstable();
    let shared = numbers.windows(2).find(|pair| pair[0] == pair[1]).map(<[StreamNo]>::to_vec);
    s.hand().by(&rules::NUMBERS).is("a number that two streams have", shared, None);
}

pub(super) fn odd_ids_are_streams_of_their_own(s: &mut Subject<'_>) {
    let odd = super::super::odd::IDS.iter().map(|entity| id(entity));
    are_separate(s, &odd.collect::<Vec<_>>());
}

pub(super) fn the_border_between_aggregate_and_entity_is_kept(s: &mut Subject<'_>) {
    let long = "x".repeat(PersistenceId::AGGREGATE_BYTES_MAX);
    let ids = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc", "a"),
        ("a", "b"),
        ("b", "a"),
        ("\u{1}a", "b"),
        ("a\0", "b"),
        ("a", "\0b"),
        ("a/b", "c"),
        ("a", "b/c"),
        ("A", "b"),
        (&long, "x"),
        (&long[1..], "xx"),
    ];
    are_separate(s, &ids.map(|(aggregate, entity)| PersistenceId::new(aggregate, entity)));
}

pub(super) fn ids_of_one_to_512_bytes_are_stored(s: &mut Subject<'_>) {
    let ascii = [1, 2, 127, 128, 254, 255, 256, 257, 511, 512].map(|bytes| "a".repeat(bytes));
    let wide = ["/".repeat(512), "\u{e9}".repeat(256), "\u{1f980}".repeat(128), "\0".repeat(512)];
    let ids: Vec<_> = ascii.iter().chain(&wide).map(|entity| id(entity)).collect();
    are_separate(s, &ids);
}

pub(super) fn any_ids_are_streams_of_their_own(s: &mut Subject<'_>) {
    const PARTS: [&str; 12] =
        ["a", "b", "A", "\0", "/", ".", "\n", "\u{e9}", "e\u{301}", "\u{1f980}", "%", "\u{10ffff}"];
    let mut chance = s.told().chance();
    let mut text = |parts: usize| -> String { (0..parts).map(|_| *chance.pick(&PARTS)).collect() };
    let mut ids: Vec<_> = (0..60).map(|index| PersistenceId::new(text(1 + index % 2), text(1 + index % 4))).collect();
    ids.sort_unstable();
    ids.dedup();
    are_separate(s, &ids);
}

pub(super) fn an_id_that_can_not_be_stored_is_refused(s: &mut Subject<'_>) {
    let j = s.hand();
    let long = "x".repeat(513);
    for (entity, error) in [("", InvalidId::Empty), (&long, InvalidId::TooLong { bytes: 513 })] {
        j.is("opening its stream", j.try_open(&id(entity)), Err(ReadError::InvalidId(error)));
        let bad = j.run(j.open(&id("alice")).stream, &id(entity), 1, &[b"x"]);
        let refused = Outcome::NotStored(Why::InvalidId(error));
        j.by(&rules::CHECKED).is("the outcome of its run", j.append_one(bad), refused);
    }
    for aggregate in ["", &"x".repeat(256)] {
        let opened = j.try_open(&PersistenceId::new(aggregate, "x"));
        j.holds("opening a stream of an aggregate that can't be", "an error", &opened, opened.is_err());
    }
    j.is("all runs", j.order(), vec![]);
}

pub(super) fn a_number_that_was_reserved_and_never_used_breaks_nothing(s: &mut Subject<'_>) {
    let j = s.hand();
    let unused = j.open(&id("unused"));
    j.is("where it stands", (unused.last.0, unused.floor.0, unused.ended), (0, 0, false));
    j.reads_nothing(unused.stream, 1, 9, 1);
    j.put(&id("used"), &[b"x"]);
    s.reopen();
    let j = s.hand();
    j.is("the events of the unused one", j.events(&id("unused")), vec![]);
    j.put(&id("unused"), &[b"y"]);
    j.is("the events of the used one", j.events(&id("used")), numbered(&[b"x"]));
    j.is("the events of the unused one", j.events(&id("unused")), numbered(&[b"y"]));
}

pub(super) fn a_stream_keeps_its_number(s: &mut Subject<'_>) {
    let ids: Vec<_> = (0..10).map(|index| id(&format!("entity {index}"))).collect();
    let j = s.hand();
    let numbers: Vec<_> = ids
        .iter()
        .map(|id| {
            j.put(id, &[b"x"]);
            j.number(id)
        })
        .collect();
    for round in 0..4 {
        let j = s.hand();
        let reserved = j.number(&id(&format!("new in {round}")));
        j.holds("the number of a new stream", "one that no other has", &reserved, !numbers.contains(&reserved));
        let found: Vec<_> = ids.iter().rev().map(|id| j.number(id)).collect();
        j.is("the numbers, asked for the other way round", found, numbers.iter().rev().copied().collect());
        if round % 2 == 0 { s.reopen() } else { s.crash() }
    }
}

pub(super) fn a_stream_is_named_once_it_has_records(s: &mut Subject<'_>) {
    let [alice, bob, unused] = ["alice", "b\0ob\n", "unused"].map(id);
    let j = s.hand();
    let [a, b, u] = [&alice, &bob, &unused].map(|id| j.open(id).stream);
    j.is("the name of a stream without records", j.name(a), Ok(None));
    let refused = j.append_one(j.run(a, &alice, 5, &[b"x"]));
    j.is("the name of one whose run was refused", (j.name(a), super::hand::is_conflict(&refused)), (Ok(None), true));
    j.put(&alice, &[b"x"]);
    j.put(&bob, &[b"y"]);
    for stream in [a, b, u] {
        j.close_stream(stream);
    }
    for _ in 0..2 {
        let j = s.hand();
        j.is("alice's name", j.name(a), Ok(Some(alice.clone())));
        j.is("bob's name", j.name(b), Ok(Some(bob.clone())));
        for nobody in [u, StreamNo(0), StreamNo(u64::MAX)] {
            j.is(&format!("the name of stream {nobody}, which has no records"), j.name(nobody), Ok(None));
        }
        s.reopen();
    }
}

pub(super) fn a_stream_opened_twice_is_closed_twice(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let stream = j.open(&alice).stream;
    for next in 1..=50 {
        j.open(&alice);
        if next % 2 == 0 {
            j.close_stream(stream);
        }
        j.stores(j.run(stream, &alice, next, &[b"x"]));
    }
    // Once at first, and in every other round.
    for _ in 0..25 {
        j.close_stream(stream);
        j.put(&alice, &[b"x"]);
    }
    j.stores(j.run(stream, &alice, 76, &[b"x"]));
    j.close_stream(stream);
    let outcome = j.append_one(j.run(stream, &alice, 77, &[b"x"]));
    j.holds("a run after the last was closed", "BadRun", &outcome, super::hand::is_bad_run(&outcome));
}

pub(super) fn opening_tells_where_a_stream_stands(s: &mut Subject<'_>) {
    let (alice, mut last) = (id("alice"), 0);
    for records in [1, 2, 5, 1] {
        let j = s.hand();
        j.put(&alice, &vec![&b"x"[..]; records]);
        last += crate::journal::len_u64(records);
        j.is("alice's last sequence number", j.head(&alice).last.0, last);
        if records == 2 {
            s.crash();
        } else {
            s.reopen();
        }
        let head = s.hand().head(&alice);
        s.hand().is("(last, floor, ended)", (head.last.0, head.floor.0, head.ended), (last, 0, false));
    }
}

pub(super) fn reading_needs_no_open_stream(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    j.put(&alice, &[b"x", b"y"]);
    let stream = j.number(&alice);
    j.is("alice's events", j.events_of(&j.read(stream, 1, 2, 1)), numbered(&[b"x", b"y"]));
    s.reopen();
    let j = s.hand();
    j.is("alice's events, by her number", j.events_of(&j.read(stream, 1, 2, 1)), numbered(&[b"x", b"y"]));
}
