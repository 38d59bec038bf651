//! What became of a run whose outcome nobody heard.

use super::super::id;
use super::hand::{Subject, stored};
use super::{Forgets, rules};
use crate::id::Offset;
use crate::journal::{Facts, ReadError, Run, RunKey, Settled};

pub(super) fn a_run_is_settled_once_the_journal_was_opened_again(s: &mut Subject<'_>) {
    let alice = id("alice");
    for round in 0..3 {
        let j = s.hand();
        let head = j.open(&alice);
        let run = j.run(head.stream, &alice, head.last.0 + 1, &[b"x", b"y"]);
        let key = run.key(&j.facts());
        j.by(&rules::SETTLE_EPOCH).is(
            "what became of it, before it was handed over",
            j.settle(&key),
            Ok(Settled::Unsettled),
        );
        let offset = j.stores(run);
        j.by(&rules::SETTLE_EPOCH).is("what became of it, in the same epoch", j.settle(&key), Ok(Settled::Unsettled));
        for restarts in 1..3 {
            if round % 2 == 0 {
                s.reopen();
            } else {
                s.crash();
            }
            let settled = s.hand().settle(&key);
            let expected = Ok(Settled::Stored(Offset(offset)));
            s.hand().is(&format!("what became of it, after {restarts} restarts"), settled, expected);
        }
    }
}

pub(super) fn what_was_not_stored_is_settled_as_that(s: &mut Subject<'_>) {
    let [alice, nobody] = ["alice", "nobody"].map(id);
    let j = s.hand();
    let stream = j.open(&alice).stream;
    let facts = j.facts();
    j.stores(j.run(stream, &alice, 1, &[b"a", b"b"]));
    // In the place of what is stored, within it, right behind it, far behind, and in a stream without records.
    let never: Vec<(&str, Run)> = vec![
        ("a run in whose place there is another", j.run(stream, &alice, 1, &[b"a", b"b"])),
        ("a run that begins within another", j.run(stream, &alice, 2, &[b"b"])),
        ("a run behind the last", j.run(stream, &alice, 3, &[b"c"])),
        ("a run far behind the last", j.run(stream, &alice, 9, &[b"c"])),
        ("a run of a stream without records", j.run(stream, &nobody, 1, &[b"a"])),
    ];
    let refused = j.append_one(never[0].1.clone());
    j.holds("a run from 1, again", "a conflict", &refused, super::hand::is_conflict(&refused));
    let keys: Vec<(&str, RunKey)> = never.iter().map(|(what, run)| (*what, run.key(&facts))).collect();
    for round in 0..2 {
        if round == 0 {
            s.crash();
        } else {
            s.reopen();
        }
        let j = s.hand();
        for (what, key) in &keys {
            j.is(&format!("what became of {what}, which was never stored"), j.settle(key), Ok(Settled::NotStored));
        }
    }
    // What comes into its place later is another run.
    s.hand().put(&alice, &[b"c"]);
    let settled = s.hand().settle(&keys[2].1);
    s.hand().is("what became of the run behind the last, when another is there", settled, Ok(Settled::NotStored));
    s.hand().is("alice's sequence numbers", s.hand().seqs(&alice), vec![1, 2, 3]);
}

pub(super) fn what_is_in_flight_in_a_crash_is_settled_as_what_is_there(s: &mut Subject<'_>) {
    let alice = id("alice");
    for round in 0..5 {
        let j = s.hand();
        let head = j.open(&alice);
        let runs: Vec<_> =
            (0..10).map(|run| j.run(head.stream, &alice, head.last.0 + 1 + 2 * run, &[b"x", b"y"])).collect();
        let keys: Vec<_> = runs.iter().map(|run| run.key(&j.facts())).collect();
        let mut groups: Vec<_> = runs.into_iter().map(|run| j.begin(vec![run])).collect();
        let answered = groups.drain(..2 * round).map(|group| stored(&j.outcomes(group)[0])).collect::<Vec<_>>();
        s.crash();
        let j = s.hand();
        let last = j.head(&alice).last;
        for (index, key) in keys.iter().enumerate() {
            let settled = j.settle(key);
            let is_there = key.last() <= last;
            let what = format!("what became of the run from {}, when the last is {last}", key.first());
            let expected = if is_there { "Stored" } else { "NotStored" };
            j.holds(
                &what,
                expected,
                &settled,
                match settled {
                    Ok(Settled::Stored(offset)) => {
                        is_there && answered.get(index).is_none_or(|at| *at == Some(offset.0))
                    }
                    Ok(Settled::NotStored) => !is_there,
                    Ok(Settled::Unsettled) | Err(_) => false,
                },
            );
        }
    }
}

pub(super) fn what_is_deleted_can_not_be_settled(s: &mut Subject<'_>) {
    let alice = id("alice");
    let j = s.hand();
    let stream = j.open(&alice).stream;
    let run = j.run(stream, &alice, 1, &[b"a", b"b", b"c"]);
    let other = j.run(stream, &alice, 1, &[b"a", b"b", b"c"]);
    let facts = j.facts();
    let (key, other) = (run.key(&facts), other.key(&facts));
    let offset = j.stores(run);
    j.put(&alice, &[b"d"]);
    s.reopen();
    s.hand().deletes(&alice, 2);
    for _ in 0..2 {
        let j = s.hand();
        // One of its records is there.
        j.is("what became of a run that is deleted in part", j.settle(&key), Ok(Settled::Stored(Offset(offset))));
        j.is("what became of one that was never in its place", j.settle(&other), Ok(Settled::NotStored));
        s.reopen();
    }
    s.hand().deletes(&alice, 3);
    for _ in 0..2 {
        let j = s.hand();
        for key in [&key, &other] {
            let settled = j.settle(key);
            j.by(&rules::SETTLE_EPOCH).is(
                "what became of a run whose place is deleted",
                settled,
                Ok(Settled::Unsettled),
            );
        }
        s.crash();
    }
}

pub(super) fn what_is_forgotten_can_not_be_settled(s: &mut Subject<'_>) {
    if s.store().forgets() == Forgets::Nothing {
        return s.told().skipped("it forgets nothing");
    }
    let alice = id("alice");
    let j = s.hand();
    let run = Run { forgettable: true, ..j.run(j.open(&alice).stream, &alice, 1, &[b"a"]) };
    let key = run.key(&j.facts());
    j.stores(run);
    j.put_end(&alice, &[]);
    j.forgets(&alice);
    s.reopen();
    let j = s.hand();
    j.is("what became of a run that is forgotten", j.settle(&key), Ok(Settled::Unsettled));
}

pub(super) fn a_run_of_another_store_is_not_settled(s: &mut Subject<'_>) {
    let alice = id("alice");
    let j = s.hand();
    let run = j.run(j.open(&alice).stream, &alice, 1, &[b"a"]);
    let facts = j.facts();
    let key = run.key(&Facts { store: facts.store.wrapping_add(1), ..facts });
    j.stores(run);
    s.reopen();
    let (j, store) = (s.hand(), facts.store);
    let other = ReadError::OtherStore { run: store.wrapping_add(1), journal: store };
    j.is("what became of it", j.settle(&key), Err(other));
}

pub(super) fn settling_leaves_no_stream_open(s: &mut Subject<'_>) {
    let alice = id("alice");
    let j = s.hand();
    let run = j.run(j.open(&alice).stream, &alice, 1, &[b"a"]);
    let key = run.key(&j.facts());
    j.stores(run);
    s.reopen();
    let j = s.hand();
    let head = j.head(&alice);
    for _ in 0..3 {
        let settled = j.settle(&key);
        j.holds("what became of it", "Stored", &settled, matches!(settled, Ok(Settled::Stored(_))));
    }
    let outcome = j.append_one(j.run(head.stream, &alice, 2, &[b"b"]));
    j.holds("a run of a stream that nobody has opened", "BadRun", &outcome, super::hand::is_bad_run(&outcome));
}
