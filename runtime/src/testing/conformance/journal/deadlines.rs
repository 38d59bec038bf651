//! The deadlines that the runs of a journal come to.

use super::super::{at, id};
use super::hand::{Hand, Subject, is_conflict, stored};
use super::rules;
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::{Due, Record, Run, RunBuilder, TransitionRecord, Write};

/// A record that makes this of its stream's deadline.
fn record_with(due: Due) -> Record<'static> {
    let entered = |due| Record::Transition(TransitionRecord { from: Some("Open"), to: "Shut", transient: false, due });
    match due {
        Due::Unchanged => Record::Receipt,
        Due::Cleared => entered(None),
        Due::At(due) => entered(Some(due)),
    }
}

/// A run of writes of one record each, that make this of the deadline of their stream.
pub(super) fn run_with(j: Hand<'_>, stream: StreamNo, id: &PersistenceId, first: u64, dues: &[Due]) -> Run {
    let mut run = RunBuilder::new(stream, id.clone(), SeqNr(first));
    for due in dues {
        run.push_write(&Write::at(at(0)), *due, [record_with(*due)].into_iter());
    }
    run.seal(&j.facts(), 1)
}

/// Stores a run of writes that make this of the deadline; the stream.
fn put_with(j: Hand<'_>, id: &PersistenceId, dues: &[Due]) -> u64 {
    j.put_run(id, |stream, first| run_with(j, stream, id, first, dues));
    j.number(id).0
}

pub(super) fn a_deadline_is_armed_until_it_is_armed_anew_or_cleared(s: &mut Subject<'_>) {
    let (alice, bob) = (id("alice"), id("bob"));
    let other = put_with(s.hand(), &bob, &[Due::At(at(60))]);
    let steps = [
        (Due::Unchanged, None),
        (Due::At(at(50)), Some(50)),
        (Due::Unchanged, Some(50)),
        (Due::At(at(20)), Some(20)),
        (Due::At(at(70)), Some(70)),
        (Due::Cleared, None),
        (Due::Cleared, None),
        (Due::At(at(-5)), Some(-5)),
    ];
    for (round, (due, expected)) in steps.into_iter().enumerate() {
        let stream = put_with(s.hand(), &alice, &[due]);
        let mut expected: Vec<_> = expected.map(|due| (due, stream)).into_iter().chain([(60, other)]).collect();
        expected.sort_unstable();
        for restarts in 0..2 {
            let j = s.hand();
            j.is(&format!("(time, stream) of what is armed, after {restarts} restarts"), j.armed(), expected.clone());
            if round % 2 == 0 { s.reopen() } else { s.crash() }
        }
    }
}

pub(super) fn the_last_write_of_a_run_decides_its_deadline(s: &mut Subject<'_>) {
    let j = s.hand();
    let all: [(&str, &[Due]); 3] = [
        ("a", &[Due::At(at(1)), Due::At(at(2)), Due::Unchanged]),
        ("b", &[Due::At(at(1)), Due::Cleared]),
        ("c", &[Due::Cleared, Due::At(at(2)), Due::Unchanged, Due::Unchanged]),
    ];
    let [a, _, c] = all.map(|(name, dues)| put_with(j, &id(name), dues));
    let mut expected = vec![(2, a), (2, c)];
    expected.sort_unstable();
    j.is("(time, stream) of what is armed", j.armed(), expected.clone());
    put_with(j, &id("a"), &[Due::Unchanged]);
    j.is("(time, stream) of what is armed", j.armed(), expected);
}

pub(super) fn a_run_that_is_refused_changes_no_deadline(s: &mut Subject<'_>) {
    let (alice, bob) = (id("alice"), id("bob"));
    let j = s.hand();
    let (a, b) = (j.open(&alice).stream, j.open(&bob).stream);
    let group = vec![run_with(j, a, &alice, 1, &[Due::At(at(1))]), run_with(j, b, &bob, 7, &[Due::At(at(2))])];
    let outcomes = j.append(group);
    j.holds("the outcomes", "Stored, and a conflict", &outcomes, {
        stored(&outcomes[0]).is_some() && is_conflict(&outcomes[1])
    });
    let again = j.append_one(run_with(j, a, &alice, 1, &[Due::Cleared]));
    j.holds("the outcome of a run from 1, again", "a conflict", &again, is_conflict(&again));
    for _ in 0..2 {
        let j = s.hand();
        j.is("(time, stream) of what is armed", j.armed(), vec![(1, a.0)]);
        s.reopen();
    }
}

pub(super) fn deadlines_come_in_the_order_of_their_times(s: &mut Subject<'_>) {
    let j = s.hand();
    let (mut group, mut expected) = (Vec::new(), Vec::new());
    for index in 0..300_i64 {
        let id = id(&index.to_string());
        let stream = j.open(&id).stream;
        let due = index * 7919 % 101 - 50;
        group.push(run_with(j, stream, &id, 1, &[Due::At(at(due))]));
        expected.push((due, stream.0));
    }
    let outcomes = j.append(group);
    let refused = outcomes.iter().find(|outcome| stored(outcome).is_none());
    j.is("what is not stored", refused, None);
    expected.sort_unstable();
    for _ in 0..2 {
        let j = s.hand();
        j.is("(time, stream) of what is armed", j.armed(), expected.clone());
        s.reopen();
    }
}

pub(super) fn a_tombstone_clears_the_deadline_and_a_deletion_does_not(s: &mut Subject<'_>) {
    let (alice, bob) = (id("alice"), id("bob"));
    put_with(s.hand(), &alice, &[Due::At(at(5))]);
    let other = put_with(s.hand(), &bob, &[Due::At(at(6))]);
    s.hand().deletes(&bob, 1);
    s.hand().put_end(&alice, &[]);
    for round in 0..2 {
        let j = s.hand();
        j.is("(time, stream) of what is armed", j.armed(), vec![(6, other)]);
        if round == 0 { s.crash() } else { s.reopen() }
    }
}

pub(super) fn times_far_away_are_kept_to_the_microsecond(s: &mut Subject<'_>) {
    let j = s.hand();
    let times = [i64::MIN, -62_000_000_000_000_001, -1, 0, 1, 253_000_000_000_000_001];
    let mut expected: Vec<_> = times
        .into_iter()
        .filter(|micros| at(*micros).as_microsecond() == *micros)
        .map(|micros| (micros, put_with(j, &id(&micros.to_string()), &[Due::At(at(micros))])))
        .collect();
    expected.sort_unstable();
    for _ in 0..2 {
        let j = s.hand();
        j.by(&rules::ARMED).is("(time, stream) of what is armed", j.armed(), expected.clone());
        s.reopen();
    }
}
