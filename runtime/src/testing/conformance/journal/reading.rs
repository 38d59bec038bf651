//! What is read: windows, pages, and where they end.

use super::super::{at, id};
use super::hand::{Hand, Placed, Subject, every_kind, numbered};
use super::rules;
use crate::id::{PersistenceId, StreamNo};
use crate::journal::Page;

pub(super) fn what_is_stored_is_read_again_also_after_reopening(s: &mut Subject<'_>) {
    let (alice, bob) = (id("alice"), id("bob"));
    let j = s.hand();
    let offsets = [j.put(&alice, &[b"a1", b"a2"]), j.put(&bob, &[b"b1"]), j.put(&alice, &[b"a3"])];
    let durable = j.durable();
    for _ in 0..3 {
        let j = s.hand();
        j.is("alice's events", j.events(&alice), numbered(&[b"a1", b"a2", b"a3"]));
        j.is("bob's events", j.events(&bob), numbered(&[b"b1"]));
        j.is("the events of somebody who has none", j.events(&id("carol")), vec![]);
        j.is("Journal::durable", j.durable(), durable);
        let order: Vec<_> = j.order().iter().map(|run| (run.offset, run.first)).collect();
        j.by(&rules::READ_ALL).is("(offset, first) of all runs", order, offsets.into_iter().zip([1, 1, 3]).collect());
        s.reopen();
    }
    let j = s.hand();
    let last = j.put(&alice, &[b"a4"]);
    j.by(&rules::OFFSETS).holds("the offset of a run after reopening", "more than before", &last, last > durable);
    j.is("alice's events", j.events(&alice), numbered(&[b"a1", b"a2", b"a3", b"a4"]));
}

/// Runs of several lengths: their first and last sequence numbers.
fn uneven(j: Hand<'_>, id: &PersistenceId) -> (StreamNo, Vec<(u64, u64)>) {
    let mut borders = Vec::new();
    let mut last = 0;
    for records in [1, 3, 2, 1, 4] {
        let payloads: Vec<Vec<u8>> = (0..records).map(|record| vec![7; 10 + record]).collect();
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        j.put(id, &slices);
        let records = crate::journal::len_u64(records);
        borders.push((last + 1, last + records));
        last += records;
    }
    (j.open(id).stream, borders)
}

/// What a journal may count of what it stores around a run, in bytes.
const AROUND_BYTES_MAX: usize = 128;

/// How many of the runs that a window touches fit, where each counts so many bytes more than its length.
fn fitting(touched: &[usize], bytes_max: usize, around: usize) -> usize {
    let mut bytes = 0;
    let fit = touched.iter().take_while(|len| {
        bytes += *len + around;
        bytes <= bytes_max
    });
    fit.count().max(1).min(touched.len())
}

/// Judges a page by the runs that its window touches, each with its length.
fn check_fits<T: Copy + PartialEq + std::fmt::Debug>(
    j: Hand<'_>,
    what: &str,
    (found, more): (Vec<T>, bool),
    touched: &[(T, usize)],
    bytes_max: usize,
) {
    let lens: Vec<usize> = touched.iter().map(|(_, len)| *len).collect();
    let fewest = fitting(&lens, bytes_max, AROUND_BYTES_MAX);
    let most = fitting(&lens, bytes_max, 0);
    let expected: Vec<T> = touched[..found.len().clamp(fewest, most)].iter().map(|(run, _)| *run).collect();
    j.by(&rules::MORE).is(&format!("Page::more {what}"), more, found.len() < touched.len());
    j.is(&format!("the runs {what}"), found, expected);
}

/// Byte limits around the lengths of runs.
fn limits(lens: &[usize]) -> Vec<usize> {
    let mut limits = vec![0, 1, usize::MAX];
    let mut sum = 0;
    for len in lens {
        sum += len;
        limits.extend([sum - 1, sum, sum + 1]);
    }
    limits
}

fn check_windows(j: Hand<'_>, stream: StreamNo, runs: &[((u64, u64), usize)], floor: u64) {
    let last = runs.last().map_or(0, |((_, last), _)| *last);
    let lens: Vec<usize> = runs.iter().map(|(_, len)| *len).collect();
    for from in 0..=last + 2 {
        for to in (0..=last + 2).chain([u64::MAX]) {
            let begin = from.max(floor + 1);
            let touched: Vec<_> = if begin > to {
                Vec::new()
            } else {
                let touches = |((first, last), _): &&((u64, u64), usize)| *last >= begin && *first <= to;
                runs.iter().filter(touches).copied().collect()
            };
            for bytes_max in if touched.len() < 2 { vec![0, usize::MAX] } else { limits(&lens[..2]) } {
                let page = j.read(stream, from, to, bytes_max);
                let what = format!("from {from} to {to} with {bytes_max} bytes");
                check_fits(j, &what, (borders(j, &page), page.more), &touched, bytes_max);
                let floors: Vec<_> = page.runs.iter().map(|run| run.floor.0).collect();
                j.by(&rules::FLOOR).is(&format!("the floors of runs {what}"), floors, vec![floor; page.runs.len()]);
            }
        }
    }
}

fn borders(j: Hand<'_>, page: &Page) -> Vec<(u64, u64)> {
    page.runs.iter().map(|run| j.placed(run)).map(|run| (run.first, run.first + (run.records - 1))).collect()
}

/// The runs of a stream with their lengths, read one by one.
fn with_lens(j: Hand<'_>, stream: StreamNo, borders: &[(u64, u64)]) -> Vec<((u64, u64), usize)> {
    let len = |page: &Page| page.runs.first().map_or(0, |run| run.bytes.len());
    borders.iter().map(|&(first, last)| ((first, last), len(&j.read(stream, first, last, 1)))).collect()
}

pub(super) fn every_window_of_a_stream_has_the_runs_that_it_touches(s: &mut Subject<'_>) {
    let j = s.hand();
    j.put(&id("bob"), &[b"before"]);
    let (stream, borders) = uneven(j, &id("alice"));
    j.put(&id("bob"), &[b"behind"]);
    check_windows(j, stream, &with_lens(j, stream, &borders), 0);
}

pub(super) fn every_window_of_a_stream_begins_behind_what_is_deleted(s: &mut Subject<'_>) {
    let j = s.hand();
    let (stream, borders) = uneven(j, &id("alice"));
    let runs = with_lens(j, stream, &borders);
    // In the middle of a run, and at the end of one.
    for floor in [3, 6] {
        j.deletes(&id("alice"), floor);
        let left = runs.iter().position(|((_, last), _)| *last > floor).unwrap_or(0);
        check_windows(j, stream, &runs[left..], floor);
    }
}

pub(super) fn pages_of_one_byte_lead_through_a_stream(s: &mut Subject<'_>) {
    let j = s.hand();
    let (stream, borders_of) = uneven(j, &id("alice"));
    let (mut next, mut found) = (1, Vec::new());
    loop {
        let page = j.read(stream, next, u64::MAX, 1);
        j.is("how many runs a page of one byte has", page.runs.len(), 1);
        found.extend(borders(j, &page));
        next = found.last().map_or(0, |(_, last)| *last) + 1;
        if !page.more {
            break;
        }
    }
    j.is("the runs of all pages", found, borders_of);
    j.reads_nothing(stream, next, u64::MAX, 1);
}

pub(super) fn a_page_has_as_many_runs_as_fit(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    for index in 0..20_u8 {
        j.put(&alice, &[&[index; 100]]);
    }
    let stream = j.open(&alice).stream;
    let len = j.read(stream, 1, 1, 1).runs.first().map_or(0, |run| run.bytes.len());
    let touched: Vec<_> = (1..=20).map(|seq| (seq, len)).collect();
    for bytes_max in (1..=20).flat_map(|runs| [len * runs - 1, len * runs, (len + AROUND_BYTES_MAX) * runs]) {
        let what = format!("of 20 that have {len} bytes, with {bytes_max} bytes");
        for page in [j.read(stream, 1, 20, bytes_max), j.read_all(0, bytes_max)] {
            let firsts = page.runs.iter().map(|run| j.placed(run).first).collect();
            check_fits(j, &what, (firsts, page.more), &touched, bytes_max);
        }
    }
}

pub(super) fn there_is_nothing_beyond_the_end(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let stream = j.open(&alice).stream;
    for (from, to) in [(0, 0), (0, u64::MAX), (1, 1), (1, u64::MAX), (u64::MAX, u64::MAX)] {
        j.reads_nothing(stream, from, to, usize::MAX);
    }
    j.put(&alice, &[b"x", b"y"]);
    for (from, to) in [(3, 3), (3, u64::MAX), (u64::MAX, u64::MAX), (2, 1), (u64::MAX, 0), (0, 0)] {
        for bytes_max in [0, 1, usize::MAX] {
            j.reads_nothing(stream, from, to, bytes_max);
        }
    }
    let durable = j.durable();
    for after in [durable, durable + 1, u64::MAX - 1, u64::MAX] {
        let page = j.by(&rules::READ_ALL).read_all(after, usize::MAX);
        j.by(&rules::READ_ALL).is(&format!("everything behind {after}"), (page.runs.len(), page.more), (0, false));
    }
}

pub(super) fn an_empty_journal_has_nothing_to_read(s: &mut Subject<'_>) {
    for _ in 0..2 {
        let j = s.hand();
        j.is("Journal::durable", j.durable(), 0);
        j.is("all runs", j.order(), vec![]);
        j.by(&rules::ARMED).is("the armed deadlines", j.armed(), vec![]);
        s.reopen();
    }
}

/// Runs of three streams, in the order in which they were stored.
fn three_streams(j: Hand<'_>) -> Vec<Placed> {
    let mut order = Vec::new();
    for round in 0..6_usize {
        for (index, name) in ["alice", "bob", "carol"].into_iter().enumerate() {
            let (id, records) = (id(name), 1 + (round + index) % 3);
            let offset = j.put(&id, &vec![&b"payload"[..]; records]);
            let (head, records) = (j.head(&id), crate::journal::len_u64(records));
            order.push(Placed { offset, stream: head.stream.0, first: head.last.0 + 1 - records, records });
        }
    }
    order
}

pub(super) fn the_whole_journal_is_its_streams_merged(s: &mut Subject<'_>) {
    let order = three_streams(s.hand());
    for _ in 0..2 {
        let j = s.hand();
        j.is("all runs, in order", j.order(), order.clone());
        for name in ["alice", "bob", "carol"] {
            let stream = j.number(&id(name));
            let page = j.read(stream, 1, u64::MAX, usize::MAX);
            let found: Vec<_> = page.runs.iter().map(|run| j.placed(run)).collect();
            let of_stream = order.iter().filter(|run| run.stream == stream.0).copied().collect();
            j.by(&rules::OFFSETS).is(&format!("{name}'s runs, against those of the whole journal"), found, of_stream);
        }
        s.reopen();
    }
}

pub(super) fn every_window_of_the_whole_journal_begins_behind_its_offset(s: &mut Subject<'_>) {
    let j = s.hand();
    let order = three_streams(j);
    let lens: Vec<usize> = j.read_all(0, usize::MAX).runs.iter().map(|run| run.bytes.len()).collect();
    let runs: Vec<_> = order.iter().copied().zip(lens.iter().copied()).collect();
    for after in 0..=j.durable() + 1 {
        let begin = order.iter().position(|run| run.last_offset() > after).unwrap_or(order.len());
        let limits = if begin + 2 <= lens.len() { limits(&lens[begin..begin + 2]) } else { vec![0, usize::MAX] };
        for bytes_max in limits {
            let page = j.read_all(after, bytes_max);
            let found: Vec<_> = page.runs.iter().map(|run| j.placed(run)).collect();
            let what = format!("of everything behind {after} with {bytes_max} bytes");
            check_fits(j, &what, (found, page.more), &runs[begin..], bytes_max);
        }
    }
}

pub(super) fn the_whole_journal_leaves_out_what_is_deleted(s: &mut Subject<'_>) {
    let order = three_streams(s.hand());
    let j = s.hand();
    let (alice, bob) = (j.number(&id("alice")), j.number(&id("bob")));
    let bobs = j.head(&id("bob")).last.0;
    j.deletes(&id("alice"), 4);
    j.deletes(&id("bob"), bobs);
    let is_left = |run: &&Placed| {
        let last = run.first + (run.records - 1);
        (run.stream != alice.0 || last > 4) && run.stream != bob.0
    };
    let left: Vec<Placed> = order.iter().filter(is_left).copied().collect();
    for _ in 0..2 {
        let j = s.hand();
        j.is("the runs that are not wholly deleted", j.order(), left.clone());
        for after in 0..=j.durable() {
            let first = j.read_all(after, 1).runs.first().map(|run| run.offset.0);
            let expected = left.iter().find(|run| run.last_offset() > after).map(|run| run.offset);
            j.is(&format!("the first run behind {after}"), first, expected);
        }
        s.reopen();
    }
}

pub(super) fn a_page_is_empty_where_all_behind_it_is_deleted(s: &mut Subject<'_>) {
    let j = s.hand();
    let seen = j.put(&id("alice"), &[b"x"]);
    j.put(&id("bob"), &[b"y", b"z"]);
    j.deletes(&id("bob"), 2);
    for _ in 0..2 {
        let j = s.hand();
        j.holds("Journal::durable", &format!("more than {seen}"), &j.durable(), j.durable() > seen);
        let page = j.read_all(seen, 1);
        j.is("what there is behind", (page.runs.len(), page.more), (0, false));
        s.reopen();
    }
    let j = s.hand();
    let next = j.put(&id("carol"), &[b"x"]);
    j.is("the next that is stored", j.read_all(seen, 1).runs.first().map(|run| run.offset.0), Some(next));
}

pub(super) fn what_was_stored_comes_back_to_the_byte(s: &mut Subject<'_>) {
    let (alice, mut stored) = (id("alice"), Vec::new());
    let j = s.hand();
    let stream = j.open(&alice).stream;
    for (first, micros) in [(1, 7), (9, 7_000_000), (17, -5)] {
        let run = every_kind(j, stream, &alice, first, at(micros));
        stored.push(run.bytes.clone());
        j.stores(run);
    }
    for _ in 0..2 {
        let j = s.hand();
        let stream = j.number(&alice);
        let page = j.read(stream, 1, u64::MAX, usize::MAX);
        j.is("how many runs there are", page.runs.len(), stored.len());
        let all = j.read_all(0, usize::MAX);
        for pages in [page, all] {
            for (run, bytes) in pages.runs.iter().zip(&stored) {
                j.holds("the bytes of a run", "those that were handed over", run, run.bytes == *bytes);
            }
        }
        s.reopen();
    }
}

pub(super) fn payloads_of_any_bytes_come_back(s: &mut Subject<'_>) {
    let mut chance = s.told().chance();
    let alice = id("alice");
    let mut payloads: Vec<Vec<u8>> =
        vec![vec![], vec![0], vec![0; 100], vec![0xff; 100], vec![10, 0], b"\0\n/".to_vec()];
    payloads.extend((0..60).map(|_| {
        let len = chance.index(3_000);
        chance.bytes(len)
    }));
    let j = s.hand();
    for some in payloads.chunks(7) {
        let slices: Vec<&[u8]> = some.iter().map(Vec::as_slice).collect();
        j.put(&alice, &slices);
    }
    s.crash();
    let j = s.hand();
    let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    j.is("alice's events", j.events(&alice), numbered(&slices));
}

pub(super) fn what_one_stream_holds_is_not_read_in_another(s: &mut Subject<'_>) {
    let j = s.hand();
    let ids: Vec<_> = (0..40).map(|index| id(&format!("entity {index}"))).collect();
    for round in 0..3_u8 {
        for id in &ids {
            j.put(id, &[id.entity.as_str().as_bytes(), &[round]]);
        }
    }
    s.reopen();
    let j = s.hand();
    for id in &ids {
        let payloads: Vec<Vec<u8>> =
            (0..3).flat_map(|round| [id.entity.as_str().as_bytes().to_vec(), vec![round]]).collect();
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        j.is(&format!("the events of {id}"), j.events(id), numbered(&slices));
    }
}
