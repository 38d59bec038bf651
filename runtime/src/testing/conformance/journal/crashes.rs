//! What a crash leaves.

use super::super::id;
use super::super::told::Shown;
use super::hand::{Hand, InFlight, Placed, Seen, Subject, numbered, stored};
use super::rules;
use crate::id::PersistenceId;
use crate::journal::{Outcome, Run};

pub(super) fn what_was_answered_survives_a_crash(s: &mut Subject<'_>) {
    let alice = id("alice");
    for round in 1..=8 {
        let j = s.hand();
        let offset = j.put(&alice, &[b"x"]);
        let armed = j.put_run(&id("bob"), |stream, first| {
            super::deadlines::run_with(
                j,
                stream,
                &id("bob"),
                first,
                &[crate::journal::Due::At(super::super::at(round))],
            )
        });
        s.crash();
        let j = s.hand();
        j.holds(
            "Journal::durable after a crash",
            "as much as was answered",
            &j.durable(),
            j.durable() >= armed.max(offset),
        );
        j.is("alice's sequence numbers", j.seqs(&alice), (1..=u64::try_from(round).unwrap_or(0)).collect());
        let armed: Vec<_> = j.armed().iter().map(|(due, _)| *due).collect();
        j.is("the times of what is armed", armed, vec![round]);
    }
}

/// A run of three writes; what it holds tells which it is.
fn three(j: Hand<'_>, stream: crate::id::StreamNo, id: &PersistenceId, first: u64) -> Run {
    let payload = |seq: u64| format!("{} {seq}", id.entity.as_str()).into_bytes();
    let payloads = [payload(first), payload(first + 1), payload(first + 2)];
    j.run(stream, id, first, &payloads.each_ref().map(Vec::as_slice))
}

/// What must hold for a store of runs of three, whatever a crash has left: each run is whole, the streams have no holes,
/// and the order is that of the streams.
fn is_whole(j: Hand<'_>, ids: &[PersistenceId], acknowledged: &[u64]) {
    let mut runs = Vec::new();
    for (id, acknowledged) in ids.iter().zip(acknowledged) {
        let last = j.head(id).last.0;
        let expected = format!("whole runs of three, and {acknowledged} records or more");
        j.holds(
            &format!("the last sequence number of {id}"),
            &expected,
            &last,
            last.is_multiple_of(3) && last >= *acknowledged,
        );
        let payload = |seq| Seen(seq, Shown(format!("{} {seq}", id.entity.as_str()).into_bytes()));
        j.is(&format!("the events of {id}"), j.events(id), (1..=last).map(payload).collect());
        let stream = j.number(id);
        let page = j.read(stream, 1, u64::MAX, usize::MAX);
        runs.extend(page.runs.iter().map(|run| j.placed(run)));
    }
    runs.sort_unstable();
    j.by(&rules::READ_ALL).is("all runs, against those of the streams", j.order(), runs.clone());
    let last = runs.last().map_or(0, Placed::last_offset);
    j.by(&rules::DURABLE).is("Journal::durable", j.durable(), last);
}

pub(super) fn a_run_is_whole_or_not_there_after_a_crash(s: &mut Subject<'_>) {
    let mut chance = s.told().chance();
    let ids: Vec<_> = ["alice", "bob", "carol"].map(id).into();
    for _ in 0..6 {
        let j = s.hand();
        let streams: Vec<_> = ids.iter().map(|id| j.open(id)).collect();
        let mut acknowledged: Vec<_> = streams.iter().map(|head| head.last.0).collect();
        let groups: Vec<InFlight> = (0..10)
            .map(|group| {
                let runs = ids.iter().zip(&streams);
                j.begin(runs.map(|(id, head)| three(j, head.stream, id, head.last.0 + 1 + 3 * group)).collect())
            })
            .collect();
        // Some of them are answered before the crash.
        let answered = chance.index(11);
        for group in groups.into_iter().take(answered) {
            for (outcome, acknowledged) in j.outcomes(group).iter().zip(&mut acknowledged) {
                j.by(&rules::OUTCOMES).holds("an outcome", "Stored", outcome, stored(outcome).is_some());
                *acknowledged += 3;
            }
        }
        s.crash();
        is_whole(s.hand(), &ids, &acknowledged);
    }
}

pub(super) fn it_goes_on_after_a_crash(s: &mut Subject<'_>) {
    let ids: Vec<_> = ["alice", "bob"].map(id).into();
    let mut before = 0;
    for _ in 0..4 {
        let j = s.hand();
        for id in &ids {
            let head = j.open(id);
            drop(j.begin(vec![three(j, head.stream, id, head.last.0 + 1)]));
        }
        s.crash();
        let j = s.hand();
        is_whole(j, &ids, &[0, 0]);
        for id in &ids {
            let offset = j.put_run(id, |stream, first| three(j, stream, id, first));
            j.by(&rules::RUN_OFFSETS).holds(
                "an offset after a crash",
                &format!("more than {before}"),
                &offset,
                offset > before,
            );
            before = offset + 2;
        }
    }
    s.reopen();
    is_whole(s.hand(), &ids, &[12, 12]);
}

pub(super) fn a_crash_right_after_opening_loses_nothing(s: &mut Subject<'_>) {
    let alice = id("alice");
    s.hand().put(&alice, &[b"x", b"y"]);
    for _ in 0..4 {
        s.crash();
    }
    let j = s.hand();
    j.is("alice's events", j.events(&alice), numbered(&[b"x", b"y"]));
    s.hand().put(&alice, &[b"z"]);
    s.crash();
    let j = s.hand();
    j.is("alice's events", j.events(&alice), numbered(&[b"x", b"y", b"z"]));
}

pub(super) fn a_second_writer_shuts_out_the_first(s: &mut Subject<'_>) {
    if !s.store().shuts_out() {
        return s.told().skipped("it can't be opened a second time while it is open");
    }
    let (alice, bob) = (id("alice"), id("bob"));
    let j = s.hand();
    let durable = j.put(&alice, &[b"x"]);
    let stream = j.open(&alice).stream;
    let mut waiting = j.changed(durable);
    let _pending = j.is_pending(&mut waiting);
    let second = s.open_beside();
    let other = s.hand_on(&*second);
    other.by(&rules::EPOCH).holds("the second handle's epoch", "more than the first's", &other.facts(), {
        other.facts().epoch > j.facts().epoch
    });
    // Before the second has written anything, and behind it.
    for round in 0..2 {
        let fenced = j.append(vec![j.run(stream, &alice, 2, &[b"late"])]);
        j.holds("a run that the first writer appends", "Fenced", &fenced, is_fenced(&fenced));
        let fenced = vec![j.delete_stream(stream, 1)];
        j.holds("a deletion by the first writer", "Fenced", &fenced, is_fenced(&fenced));
        if round == 0 {
            other.put(&bob, &[b"y"]);
        }
    }
    let health = j.health();
    j.by(&rules::HEALTH).holds(
        "the first writer's health",
        "not Good",
        &health,
        health != crate::journal::Health::Good,
    );
    j.by(&rules::CHANGED_ENDS).hears(waiting);
    other.is("alice's events", other.events(&alice), numbered(&[b"x"]));
    other.is("bob's events", other.events(&bob), numbered(&[b"y"]));
    other.put(&alice, &[b"z"]);
    other.close();
    drop(second);
    s.crash();
    let j = s.hand();
    j.is("alice's events", j.events(&alice), numbered(&[b"x", b"z"]));
}

fn is_fenced(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::NotStored(crate::journal::Why::Fenced { .. })))
}

pub(super) fn of_two_writers_one_stores(s: &mut Subject<'_>) {
    if !s.store().shuts_out() {
        return s.told().skipped("it can't be opened a second time while it is open");
    }
    let alice = id("alice");
    let j = s.hand();
    let stream = j.open(&alice).stream;
    let in_flight: Vec<_> = (1..=5).map(|first| j.begin(vec![j.run(stream, &alice, first, &[b"first"])])).collect();
    let second = s.open_beside();
    let other = s.hand_on(&*second);
    let next = other.head(&alice).last.0 + 1;
    let first_wants = j.begin(vec![j.run(stream, &alice, next, &[b"first"])]);
    let second_wants = other.begin(vec![other.run(other.open(&alice).stream, &alice, next, &[b"second"])]);
    let first_got = j.outcomes(first_wants);
    let second_got = other.outcomes(second_wants);
    j.holds("what the first writer's run came to", "not Stored", &first_got, stored(&first_got[0]).is_none());
    other.holds("what the second writer's run came to", "Stored", &second_got, stored(&second_got[0]).is_some());
    let answered = in_flight.into_iter().flat_map(|group| j.outcomes(group)).filter(|o| stored(o).is_some()).count();
    let firsts = other.events(&alice).iter().filter(|event| event.1 == Shown(b"first".to_vec())).count();
    other.holds("how many runs of the first writer are stored", "all that were answered", &(answered, firsts), {
        answered <= firsts && crate::journal::len_u64(firsts) == next - 1
    });
    other.close();
    drop(second);
    s.crash();
    let j = s.hand();
    let last = j.events(&alice).pop();
    j.is("alice's last event", last, Some(Seen(next, Shown(b"second".to_vec()))));
}
