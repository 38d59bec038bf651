//! What is stored, in which order, and what is refused.

use super::super::{at, id};
use super::hand::{Hand, InFlight, Subject, conflict, is_bad_run, is_conflict, numbered, stored};
use super::rules;
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::{Due, Journal, MemoryJournal, Outcome, Record, Run, RunBuilder, Why, Write, len_u64};

pub(super) fn offsets_rise_with_every_record(s: &mut Subject<'_>) {
    let mut before = 0;
    for round in 0..4 {
        for (name, records) in [("alice", 1), ("bob", 3), ("alice", 2), ("carol", 1)] {
            let j = s.hand();
            let offset = j.put(&id(name), &vec![&b"x"[..]; records]);
            j.holds("the offset of a run", &format!("more than {before}"), &offset, offset > before);
            before = offset + len_u64(records) - 1;
            j.by(&rules::DURABLE).is("Journal::durable when nothing is on its way", j.durable(), before);
        }
        if round % 2 == 0 { s.reopen() } else { s.crash() }
    }
}

pub(super) fn offsets_have_no_gaps_where_that_is_promised(s: &mut Subject<'_>) {
    if !s.store().gapless() {
        return s.told().skipped("it doesn't say that its offsets have no gaps");
    }
    let mut next = 1;
    for _ in 0..3 {
        let j = s.hand();
        for (name, records) in [("alice", 1), ("bob", 3), ("alice", 2)] {
            j.is("the offset of a run", j.put(&id(name), &vec![&b"x"[..]; records]), next);
            next += len_u64(records);
        }
        let stream = j.open(&id("alice")).stream;
        let refused = j.append_one(j.run(stream, &id("alice"), 99, &[b"x"]));
        j.holds("a run that is not the next", "a conflict", &refused, is_conflict(&refused));
        j.deletes(&id("alice"), 1);
        s.reopen();
    }
}

pub(super) fn an_empty_group_has_no_outcomes(s: &mut Subject<'_>) {
    let j = s.hand();
    for _ in 0..2 {
        j.is("the outcomes of an empty group", j.append(vec![]), vec![]);
        j.is("Journal::durable", j.durable(), 0);
    }
    j.put(&id("alice"), &[b"x"]);
    let durable = j.durable();
    j.is("the outcomes of an empty group", j.append(vec![]), vec![]);
    j.is("Journal::durable", j.durable(), durable);
}

/// A run of one event for each stream, with these first sequence numbers.
fn group(j: Hand<'_>, runs: &[(&str, u64)]) -> Vec<Run> {
    runs.iter().map(|&(name, first)| j.run(j.number_of_open(&id(name)), &id(name), first, &[name.as_bytes()])).collect()
}

pub(super) fn each_outcome_stands_at_its_runs_place(s: &mut Subject<'_>) {
    let j = s.hand();
    let names: Vec<String> = (0..30).map(|index| format!("entity {}", index * 17 % 30)).collect();
    let runs: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let outcomes = j.append(group(j, &runs));
    let order = j.order();
    for (name, outcome) in names.iter().zip(&outcomes) {
        let stream = j.number(&id(name)).0;
        let found = order.iter().find(|run| run.stream == stream).map(|run| run.offset);
        j.is(&format!("where the run of {name} is stored, by its outcome"), stored(outcome), found);
        j.holds("an outcome", "Stored", outcome, stored(outcome).is_some());
    }
}

pub(super) fn a_group_is_stored_in_part_when_a_run_is_refused(s: &mut Subject<'_>) {
    let j = s.hand();
    let outcomes = j.append(group(j, &[("a", 1), ("b", 7), ("c", 1), ("d", 2)]));
    let kinds: Vec<_> = outcomes.iter().map(|outcome| (stored(outcome).is_some(), is_conflict(outcome))).collect();
    j.is("(stored, conflict) of each run", kinds, vec![(true, false), (false, true), (true, false), (false, true)]);
    for (name, events) in [("a", 1), ("b", 0), ("c", 1), ("d", 0)] {
        j.is(&format!("how many events {name} has"), j.events(&id(name)).len(), events);
    }
    j.by(&rules::REFUSED).is("how many runs there are", j.order().len(), 2);
}

pub(super) fn a_group_of_a_thousand_streams_is_stored(s: &mut Subject<'_>) {
    let j = s.hand();
    let names: Vec<String> = (0..1_000).map(|index| format!("entity {index}")).collect();
    let runs: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let outcomes = j.append(group(j, &runs));
    let refused = outcomes.iter().find(|outcome| stored(outcome).is_none());
    j.is("what is not stored", refused, None);
    s.reopen();
    let j = s.hand();
    j.is("how many runs there are", j.order_by(usize::MAX).len(), names.len());
    for name in names.iter().step_by(97) {
        j.is(&format!("the events of {name}"), j.events(&id(name)), numbered(&[name.as_bytes()]));
    }
}

/// Hands over runs of one event, each in a group of its own, all before any outcome is looked at.
fn in_flight(j: Hand<'_>, id: &PersistenceId, firsts: &[u64]) -> Vec<InFlight> {
    let stream = j.open(id).stream;
    firsts.iter().map(|&first| j.begin(vec![j.run(stream, id, first, &[b"x"])])).collect()
}

fn each_outcome(j: Hand<'_>, groups: Vec<InFlight>) -> Vec<Outcome> {
    groups.into_iter().flat_map(|group| j.outcomes(group)).collect()
}

pub(super) fn groups_in_flight_are_stored_in_their_order(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let outcomes = each_outcome(j, in_flight(j, &alice, &(1..=50).collect::<Vec<_>>()));
    let offsets: Vec<_> = outcomes.iter().map(stored).collect();
    j.holds("the offsets of the runs", "Stored, each behind the one before", &outcomes, {
        offsets.iter().all(Option::is_some) && offsets.is_sorted()
    });
    j.is("alice's sequence numbers", j.seqs(&alice), (1..=50).collect());
}

pub(super) fn what_is_answered_late_is_stored_in_order_all_the_same(s: &mut Subject<'_>) {
    let (j, alice, bob) = (s.hand(), id("alice"), id("bob"));
    let (a, b) = (j.open(&alice).stream, j.open(&bob).stream);
    let mut waiting: Vec<_> =
        (1..=10).map(|first| j.begin(vec![j.run(a, &alice, first, &[b"x"]), j.run(b, &bob, first, &[b"y"])])).collect();
    // Whoever asks for the last first hears the same.
    while let Some(group) = waiting.pop() {
        for outcome in j.outcomes(group) {
            j.holds("an outcome", "Stored", &outcome, stored(&outcome).is_some());
        }
    }
    let firsts: Vec<_> = j.order().iter().map(|run| run.first).collect();
    j.is("the first sequence numbers of all runs", firsts, (1..=10).flat_map(|first| [first, first]).collect());
}

pub(super) fn the_followers_of_a_refused_run_are_refused(s: &mut Subject<'_>) {
    let (alice, bob) = (id("alice"), id("bob"));
    let j = s.hand();
    let groups = in_flight(j, &alice, &[2, 3, 4]);
    let others = in_flight(j, &bob, &[1, 2]);
    for (outcome, first) in each_outcome(j, groups).into_iter().zip(2..) {
        j.is(&format!("the outcome of the run from {first}"), outcome, conflict(first - 1, 0));
    }
    let others = each_outcome(j, others);
    j.holds("the runs of another stream", "Stored", &others, others.iter().all(|outcome| stored(outcome).is_some()));
    j.is("alice's events", j.events(&alice), vec![]);
    // A run that is refused in the middle leaves the ones before.
    let outcomes = each_outcome(j, in_flight(j, &alice, &[1, 2, 4, 5, 3]));
    let kinds: Vec<_> = outcomes.iter().map(|outcome| stored(outcome).is_some()).collect();
    j.is("which of the runs from 1, 2, 4, 5 and 3 are stored", kinds, vec![true, true, false, false, true]);
    j.is("alice's sequence numbers", j.seqs(&alice), vec![1, 2, 3]);
}

pub(super) fn an_append_begins_when_it_is_called(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let stream = j.open(&alice).stream;
    let never_polled = j.begin(vec![j.run(stream, &alice, 1, &[b"x"])]);
    let reached = j.hears(j.changed(0));
    j.holds("how far the journal reaches, while nobody polls the append", "1 or more", &reached, reached >= 1);
    j.is("alice's events", j.events(&alice), numbered(&[b"x"]));
    let outcomes = j.outcomes(never_polled);
    j.is("the outcome, asked for later", outcomes.iter().map(stored).collect::<Vec<_>>(), vec![Some(reached)]);
}

pub(super) fn an_append_is_stored_though_its_future_is_dropped(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let stream = j.open(&alice).stream;
    drop(j.begin(vec![j.run(stream, &alice, 1, &[b"x"])]));
    let mut polled_once = j.begin(vec![j.run(stream, &alice, 2, &[b"y"])]);
    let _pending = j.is_pending(&mut polled_once.outcomes);
    drop(polled_once);
    j.stores(j.run(stream, &alice, 3, &[b"z"]));
    j.is("alice's events", j.events(&alice), numbered(&[b"x", b"y", b"z"]));
}

pub(super) fn what_is_stored_can_be_read_at_once(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let stream = j.open(&alice).stream;
    for first in 1..=30 {
        let offset = j.stores(j.run(stream, &alice, first, &[b"x"]));
        let page = j.read(stream, first, first, 1);
        j.is("the run that was just stored", page.runs.first().map(|run| run.offset.0), Some(offset));
        let page = j.by(&rules::READ_ALL).read_all(offset - 1, 1);
        j.is("the same, in the whole journal", page.runs.first().map(|run| run.offset.0), Some(offset));
        let now = j.by(&rules::CHANGED).hears(j.changed(offset - 1));
        j.holds("how far the journal reaches", &format!("{offset} or more"), &now, now >= offset);
    }
}

pub(super) fn a_run_below_the_next_is_a_conflict(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    j.put(&alice, &[b"a", b"b", b"c"]);
    let stream = j.open(&alice).stream;
    for first in 1..=3 {
        let outcome = j.append_one(j.run(stream, &alice, first, &[b"other"]));
        j.is(&format!("the outcome of a run from {first}"), outcome, conflict(first - 1, 3));
    }
    j.is("alice's events", j.events(&alice), numbered(&[b"a", b"b", b"c"]));
    j.stores(j.run(stream, &alice, 4, &[b"d"]));
}

pub(super) fn a_run_beyond_the_next_is_a_conflict(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let stream = j.open(&alice).stream;
    for last in 0..3 {
        for first in [last + 2, last + 3, 1_000_000, 1 << 40] {
            let outcome = j.append_one(j.run(stream, &alice, first, &[b"x"]));
            j.is(&format!("the outcome of a run from {first}"), outcome, conflict(first - 1, last));
        }
        j.stores(j.run(stream, &alice, last + 1, &[b"x"]));
    }
    j.is("alice's sequence numbers", j.seqs(&alice), vec![1, 2, 3]);
}

pub(super) fn the_same_run_twice_is_a_conflict(s: &mut Subject<'_>) {
    let alice = id("alice");
    let j = s.hand();
    let stream = j.open(&alice).stream;
    let run = j.run(stream, &alice, 1, &[b"x", b"y"]);
    j.stores(run.clone());
    j.is("the same run again", j.append_one(run), conflict(0, 2));
    let run = j.run(stream, &alice, 3, &[b"z"]);
    let both = [j.begin(vec![run.clone()]), j.begin(vec![run])];
    let outcomes: Vec<_> = both.into_iter().flat_map(|group| j.outcomes(group)).collect();
    j.holds("the outcomes of one run that is handed over twice", "Stored, and a conflict", &outcomes, {
        matches!(&outcomes[..], [Outcome::Stored(_), second] if *second == conflict(2, 3))
    });
    j.is("alice's events", j.events(&alice), numbered(&[b"x", b"y", b"z"]));
    s.reopen();
    let j = s.hand();
    let stream = j.open(&alice).stream;
    j.is("a run from 3, after a restart", j.append_one(j.run(stream, &alice, 3, &[b"z"])), conflict(2, 3));
}

pub(super) fn of_those_that_want_one_number_one_is_stored(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let stream = j.open(&alice).stream;
    for seq in 1..=10 {
        let groups: Vec<_> = (0..5_u8).map(|writer| j.begin(vec![j.run(stream, &alice, seq, &[&[writer]])])).collect();
        let outcomes: Vec<_> = groups.into_iter().flat_map(|group| j.outcomes(group)).collect();
        let won = outcomes.iter().filter(|outcome| stored(outcome).is_some()).count();
        let lost = outcomes.iter().filter(|outcome| is_conflict(outcome)).count();
        j.holds("five runs with one sequence number", "one is stored, and four conflict", &outcomes, {
            (won, lost) == (1, 4)
        });
    }
    j.is("alice's sequence numbers", j.seqs(&alice), (1..=10).collect());
}

pub(super) fn what_is_refused_leaves_no_trace(s: &mut Subject<'_>) {
    let [alice, nobody] = ["alice", "nobody"].map(id);
    let j = s.hand();
    j.put(&alice, &[b"x"]);
    let (order, durable) = (j.order(), j.durable());
    let (a, n) = (j.open(&alice).stream, j.open(&nobody).stream);
    let armed = Run { due: Due::At(at(5)), ..j.run(a, &alice, 7, &[b"x"]) };
    for run in [armed, j.run(n, &nobody, 2, &[b"x"]), j.run_that_ends(a, &alice, 1, &[]), j.run(n, &alice, 2, &[b"x"])]
    {
        let outcome = j.append_one(run);
        j.holds("a run that can't be stored", "NotStored", &outcome, matches!(outcome, Outcome::NotStored(_)));
    }
    for _ in 0..2 {
        let j = s.hand();
        j.is("all runs", j.order(), order.clone());
        j.is("Journal::durable", j.durable(), durable);
        j.is("the armed deadlines", j.armed(), vec![]);
        j.is("the last sequence numbers", [&alice, &nobody].map(|id| j.head(id).last.0), [1, 0]);
        j.is("whether alice has ended", j.head(&alice).ended, false);
        j.is("alice's events", j.events(&alice), numbered(&[b"x"]));
        s.reopen();
    }
}

fn refuses(j: Hand<'_>, what: &str, run: Run) {
    let outcome = j.append_one(run);
    j.holds(&format!("the outcome of {what}"), "BadRun", &outcome, is_bad_run(&outcome));
}

pub(super) fn a_run_with_other_bytes_than_fields_is_refused(s: &mut Subject<'_>) {
    let (j, alice, bob) = (s.hand(), id("alice"), id("bob"));
    let (a, b) = (j.open(&alice).stream, j.open(&bob).stream);
    let good = j.run(a, &alice, 1, &[b"x"]);
    let other = j.run(a, &alice, 2, &[b"x"]);
    let j = j.by(&rules::OPEN_FIRST);
    for (what, bad) in [
        ("a run with another's stream", Run { stream: b, ..good.clone() }),
        ("a run of a stream that isn't there", Run { stream: StreamNo(u64::MAX), ..good.clone() }),
        ("a run of stream 0", Run { stream: StreamNo(0), ..good.clone() }),
        ("a run with another's id", Run { id: bob, ..good.clone() }),
        ("a run that says that it has more records", Run { records: 2, ..good.clone() }),
        ("a run with another's bytes", Run { bytes: other.bytes, ..good.clone() }),
        ("a run without bytes", Run { bytes: vec![], ..good.clone() }),
    ] {
        refuses(j, what, bad);
    }
    j.stores(good);
    j.is("alice's events", j.events(&alice), numbered(&[b"x"]));
}

pub(super) fn a_run_with_a_changed_byte_is_refused(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let stream = j.open(&alice).stream;
    let good = j.run(stream, &alice, 1, &[b"payload"]);
    for byte in 0..good.bytes.len() {
        let mut bad = good.clone();
        bad.bytes[byte] ^= 1;
        refuses(j, &format!("a run whose byte {byte} was changed"), bad);
    }
    let short = good.bytes.len() - 1;
    refuses(j, "a run without its last byte", Run { bytes: good.bytes[..short].to_vec(), ..good.clone() });
    refuses(j, "a run with a byte more", Run { bytes: [&good.bytes[..], &[0]].concat(), ..good.clone() });
    j.stores(good);
}

pub(super) fn a_run_for_another_store_is_refused(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let stream = j.open(&alice).stream;
    let mut run = RunBuilder::new(stream, alice.clone(), SeqNr(1));
    run.push_write(&Write::at(at(0)), Due::Unchanged, [Record::Receipt].into_iter());
    refuses(j, "a run that was sealed for another store", run.seal(&MemoryJournal::new().facts(), 1));
    j.is("alice's events", j.events(&alice), vec![]);
}

pub(super) fn a_run_of_a_stream_that_is_not_open_is_refused(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    for next in 1..=20 {
        let head = j.open(&alice);
        j.by(&rules::LAST).is("alice's last sequence number", head.last.0, next - 1);
        j.is("alice's head, when she is opened a second time", j.open(&alice), head);
        j.close_stream(head.stream);
        j.stores(j.run(head.stream, &alice, next, &[b"x"]));
        j.close_stream(head.stream);
        refuses(
            j,
            "a run of a stream that was closed as often as opened",
            j.run(head.stream, &alice, next + 1, &[b"x"]),
        );
    }
}

pub(super) fn a_run_at_the_limit_is_stored_and_a_longer_one_is_not(s: &mut Subject<'_>) {
    let alice = id("alice");
    let j = s.hand();
    let stream = j.open(&alice).stream;
    let limit = j.facts().run_bytes_max;
    let run_of = |payload: usize| j.run(stream, &alice, 1, &[&vec![7; payload]]);
    let around = run_of(limit - 1000).bytes.len() - (limit - 1000);
    let (fits, too_long) = (run_of(limit - around), run_of(limit - around + 1));
    let lens = (fits.bytes.len(), too_long.bytes.len());
    j.is("the lengths of the runs", lens, (limit, limit + 1));
    let refused = Outcome::NotStored(Why::TooLarge { bytes: limit + 1, limit });
    j.is("a run of one byte more than the limit", j.append_one(too_long), refused);
    let bytes = fits.bytes.clone();
    j.stores(fits);
    s.reopen();
    let j = s.hand();
    let page = j.read(j.number(&alice), 1, 1, 1);
    j.holds("the run at the limit", "what was stored", &page, {
        page.runs.first().is_some_and(|run| run.bytes == bytes)
    });
}

pub(super) fn a_hundred_thousand_records_fit_into_one_write(s: &mut Subject<'_>) {
    const RECORDS: usize = 100_000;
    let alice = id("alice");
    let j = s.hand();
    // A journal may take shorter runs than ours. A receipt has two bytes.
    let records = vec![Record::Receipt; RECORDS.min(j.facts().run_bytes_max.saturating_sub(1_000) / 2).max(1)];
    let mut run = RunBuilder::new(j.open(&alice).stream, alice.clone(), SeqNr(1));
    run.push_write(&Write::at(at(0)), Due::Unchanged, records.into_iter());
    let run = run.seal(&j.facts(), 1);
    let records = run.records;
    let offset = j.stores(run);
    j.by(&rules::DURABLE).is("Journal::durable", j.durable(), offset + records - 1);
    s.reopen();
    let j = s.hand();
    j.is("alice's last sequence number", j.head(&alice).last.0, records);
    let next = j.put(&alice, &[b"next"]);
    j.by(&rules::RUN_OFFSETS).holds(
        "the offset of the next run",
        "behind all of those",
        &next,
        next >= offset + records,
    );
    let order = j.order();
    j.is("how many records the runs have", order.iter().map(|run| run.records).collect::<Vec<_>>(), vec![records, 1]);
}

pub(super) fn empty_payloads_are_records_too(s: &mut Subject<'_>) {
    let alice = id("alice");
    s.hand().put(&alice, &[b"", b"", b""]);
    s.hand().put(&alice, &[b""]);
    for _ in 0..2 {
        let j = s.hand();
        j.is("alice's events", j.events(&alice), numbered(&[b"", b"", b"", b""]));
        s.reopen();
    }
}

pub(super) fn many_short_runs_are_as_good_as_few_long_ones(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let outcomes = each_outcome(j, in_flight(j, &alice, &(1..=1_000).collect::<Vec<_>>()));
    let refused = outcomes.iter().find(|outcome| stored(outcome).is_none());
    j.is("what is not stored", refused, None);
    s.reopen();
    let j = s.hand();
    j.is("alice's sequence numbers", j.seqs(&alice), (1..=1_000).collect());
    j.is("how many runs there are", j.order_by(10_000).len(), 1_000);
}
