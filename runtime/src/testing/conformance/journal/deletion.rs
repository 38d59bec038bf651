//! What is deleted doesn't come back, and a stream that has ended takes nothing more.

use super::super::{at, id};
use super::hand::{Hand, Seen, Subject, is_bad_run, numbered, stored};
use super::rules;
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::{Due, Outcome, Run, Why};

/// (last, floor, ended) of a stream.
fn stands(j: Hand<'_>, id: &PersistenceId) -> (u64, u64, bool) {
    let head = j.head(id);
    (head.last.0, head.floor.0, head.ended)
}

pub(super) fn what_is_deleted_is_not_read_again(s: &mut Subject<'_>) {
    let (alice, bob) = (id("alice"), id("bob"));
    for _ in 0..3 {
        s.hand().put(&alice, &[b"x", b"y"]);
        s.hand().put(&bob, &[b"z"]);
    }
    // Inside of a run, at its end, and less than before.
    let steps: [(u64, u64, &[u64]); 7] = [
        (0, 0, &[1, 3, 5]),
        (1, 1, &[1, 3, 5]),
        (2, 2, &[3, 5]),
        (1, 2, &[3, 5]),
        (3, 3, &[3, 5]),
        (5, 5, &[5]),
        (0, 5, &[5]),
    ];
    for (to, floor, firsts) in steps {
        s.hand().deletes(&alice, to);
        for restarts in 0..2 {
            let j = s.hand();
            let what = |what: &str| format!("{what}, deleted up to {to}, after {restarts} restarts");
            j.is(&what("(last, floor, ended)"), stands(j, &alice), (6, floor, false));
            j.is(&what("alice's sequence numbers"), j.seqs(&alice), (floor + 1..=6).collect());
            let stream = j.number(&alice).0;
            let alices = j.order().iter().filter(|run| run.stream == stream).map(|run| run.first).collect();
            j.by(&rules::READ_ALL_DURABLE).is(&what("the first numbers of alice's runs"), alices, firsts.to_vec());
            j.is(&what("bob's sequence numbers"), j.seqs(&bob), vec![1, 2, 3]);
            s.reopen();
        }
    }
}

pub(super) fn a_page_begins_behind_what_is_deleted(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    for _ in 0..10 {
        j.put(&alice, &[b"x", b"y"]);
    }
    j.deletes(&alice, 5);
    let stream = j.open(&alice).stream;
    for _ in 0..2 {
        let read = |from, to, bytes_max| -> Vec<u64> {
            j.events_of(&j.read(stream, from, to, bytes_max)).iter().map(|event| event.0).collect()
        };
        j.is("from 0 to 20", read(0, 20, usize::MAX), (6..=20).collect());
        j.is("from 5 to 7", read(5, 7, usize::MAX), vec![6, 7, 8]);
        j.is("from 1 to 6, one byte", read(1, 6, 1), vec![6]);
        j.is("from 7 to 7", read(7, 7, 1), vec![7, 8]);
        for (from, to) in [(1, 5), (5, 5), (0, 0), (21, u64::MAX)] {
            j.reads_nothing(stream, from, to, 1);
        }
        // Closed or open, it is the same.
        j.close_stream(stream);
    }
}

pub(super) fn a_deletion_survives_a_crash(s: &mut Subject<'_>) {
    let (alice, bob) = (id("alice"), id("bob"));
    for _ in 0..4 {
        s.hand().put(&alice, &[b"x", b"y"]);
        s.hand().put(&bob, &[b"x"]);
    }
    for to in [3, 4, 7] {
        s.hand().deletes(&alice, to);
        s.crash();
        let j = s.hand();
        j.is("(last, floor, ended) after a crash", stands(j, &alice), (8, to, false));
        j.is("alice's sequence numbers", j.seqs(&alice), (to + 1..=8).collect());
        j.is("bob's sequence numbers", j.seqs(&bob), vec![1, 2, 3, 4]);
        j.order();
    }
}

pub(super) fn a_stream_whose_records_are_all_deleted_goes_on(s: &mut Subject<'_>) {
    let alice = id("alice");
    s.hand().put(&id("bob"), &[b"b"]);
    s.hand().put(&alice, &[b"x", b"y", b"z"]);
    s.hand().deletes(&alice, 3);
    for next in 4..8 {
        for _ in 0..2 {
            let j = s.hand();
            j.is("(last, floor, ended)", stands(j, &alice), (next - 1, next - 1, false));
            j.is("alice's events", j.events(&alice), vec![]);
            j.is("how many runs there are", j.order().len(), 1);
            let name = j.name(j.number(&alice));
            j.by(&rules::STREAM_ID).is("her name", name, Ok(Some(alice.clone())));
            if next % 2 == 0 { s.reopen() } else { s.crash() }
        }
        let j = s.hand();
        j.put(&alice, &[b"n"]);
        j.is("alice's sequence numbers", j.seqs(&alice), vec![next]);
        j.deletes(&alice, next);
    }
}

pub(super) fn more_than_there_is_can_not_be_deleted(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let refuses = |what: &str, stream, to| {
        let outcome = j.delete_stream(stream, to);
        j.holds(&format!("deleting {what} up to {to}"), "BadRun", &outcome, is_bad_run(&outcome));
    };
    let stream = j.open(&alice).stream;
    refuses("a stream without records", stream, 1);
    j.stores(j.run(stream, &alice, 1, &[b"x", b"y"]));
    refuses("a stream of two", stream, 3);
    refuses("a stream of two", stream, u64::MAX);
    j.is("(last, floor, ended)", stands(j, &alice), (2, 0, false));
    let outcome = j.delete_stream(stream, 2);
    j.holds("deleting a stream of two up to 2", "Stored", &outcome, stored(&outcome).is_some());
    j.close_stream(stream);
    for nobody in [stream, StreamNo(0), StreamNo(u64::MAX)] {
        refuses("a stream that isn't open", nobody, 1);
    }
}

pub(super) fn what_was_handed_over_before_is_there_to_be_deleted(s: &mut Subject<'_>) {
    let alice = id("alice");
    let j = s.hand();
    let stream = j.open(&alice).stream;
    let first = j.begin(vec![j.run(stream, &alice, 1, &[b"x", b"y"])]);
    let deleted = j.begin_delete(stream, 1);
    let second = j.begin(vec![j.run(stream, &alice, 3, &[b"z"])]);
    drop(j.begin_delete(stream, 2));
    let last = j.begin(vec![j.run(stream, &alice, 4, &[b"last"])]);
    for group in [first, second, last] {
        let outcomes = j.outcomes(group);
        j.holds("a run", "Stored", &outcomes, outcomes.iter().all(|outcome| stored(outcome).is_some()));
    }
    let outcome = j.outcome("Journal::delete_to", deleted);
    j.holds("the deletion", "Stored", &outcome, stored(&outcome).is_some());
    // What was asked for behind it waits for the one whose future was dropped.
    let outcome = j.delete_stream(stream, 0);
    j.holds("a deletion of nothing", "Stored", &outcome, stored(&outcome).is_some());
    j.is("(last, floor, ended)", stands(j, &alice), (4, 2, false));
    j.is("alice's sequence numbers", j.seqs(&alice), vec![3, 4]);
}

pub(super) fn a_deletion_takes_nothing_from_others(s: &mut Subject<'_>) {
    let ids: Vec<_> = ["alice", "alic", "alicea", "alice\0", "Alice"].map(id).into();
    for round in 0..3_u8 {
        for id in &ids {
            s.hand().put(id, &[&[round], &[round]]);
        }
    }
    s.hand().deletes(&ids[0], 6);
    for _ in 0..2 {
        let j = s.hand();
        for id in &ids[1..] {
            j.is(&format!("the events of {id}"), j.events(id), numbered(&[&[0], &[0], &[1], &[1], &[2], &[2]]));
        }
        j.is("how many runs there are", j.order().len(), 12);
        s.reopen();
    }
}

pub(super) fn an_ended_stream_keeps_its_tombstone_and_takes_nothing_more(s: &mut Subject<'_>) {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(id);
    let j = s.hand();
    j.put(&alice, &[b"x", b"y"]);
    // Behind what there was; all that it ever had, in one run with the tombstone; nothing but the tombstone.
    let offsets = [j.put_end(&alice, &[]), j.put_end(&bob, &[b"x"]), j.put_end(&carol, &[])];
    for round in 0..3 {
        let j = s.hand();
        for (id, last, offset) in [(&alice, 3, offsets[0]), (&bob, 2, offsets[1]), (&carol, 1, offsets[2])] {
            let stream = j.open(id).stream;
            j.is(&format!("(last, floor, ended) of {id}"), stands(j, id), (last, last - 1, true));
            let page = j.read(stream, 1, u64::MAX, usize::MAX);
            let runs = page.runs.iter().map(|run| run.offset.0).collect::<Vec<_>>();
            j.is("the offsets of the runs that are left", runs, vec![offset]);
            j.by(&rules::ENDS).is("the events that are left", j.events_of(&page), Vec::<Seen>::new());
            for first in [last, last + 1, last + 2] {
                for run in [j.run(stream, id, first, &[b"x"]), j.run_that_ends(stream, id, first, &[])] {
                    let ended = Outcome::NotStored(Why::Ended { last: SeqNr(last) });
                    j.is(&format!("a run of {id} from {first}"), j.append_one(run), ended);
                }
            }
            j.close_stream(stream);
        }
        j.is("the offsets of all runs", j.order().iter().map(|run| run.offset).collect::<Vec<_>>(), offsets.to_vec());
        if round % 2 == 0 { s.reopen() } else { s.crash() }
    }
    // The tombstone itself can be deleted, and the stream has ended all the same.
    s.hand().deletes(&alice, 3);
    s.reopen();
    let j = s.hand();
    j.is("(last, floor, ended) without its tombstone", stands(j, &alice), (3, 3, true));
    j.is("how many runs there are", j.order().len(), 2);
}

pub(super) fn what_follows_a_tombstone_in_flight_is_refused(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let stream = j.open(&alice).stream;
    let before = j.begin(vec![j.run(stream, &alice, 1, &[b"x"])]);
    let ends = j.begin(vec![j.run_that_ends(stream, &alice, 2, &[])]);
    let late = j.begin(vec![j.run(stream, &alice, 3, &[b"late"])]);
    for group in [before, ends] {
        let outcomes = j.outcomes(group);
        j.holds("a run before the end", "Stored", &outcomes, outcomes.iter().all(|outcome| stored(outcome).is_some()));
    }
    let ended = vec![Outcome::NotStored(Why::Ended { last: SeqNr(2) })];
    j.is("a run behind the tombstone", j.outcomes(late), ended);
}

pub(super) fn a_stream_ends_also_where_all_of_it_is_deleted_already(s: &mut Subject<'_>) {
    let alice = id("alice");
    s.hand().put(&alice, &[b"x", b"y"]);
    s.hand().deletes(&alice, 2);
    s.hand().put_end(&alice, &[]);
    for _ in 0..2 {
        let j = s.hand();
        j.is("(last, floor, ended)", stands(j, &alice), (3, 2, true));
        s.reopen();
    }
}

pub(super) fn a_run_that_says_wrongly_that_it_ends_is_refused(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let stream = j.open(&alice).stream;
    let (plain, ends) = (j.run(stream, &alice, 1, &[b"x"]), j.run_that_ends(stream, &alice, 1, &[b"x"]));
    for (what, bad) in [
        ("a run without a tombstone that says that it ends", Run { ends: true, ..plain.clone() }),
        ("a run with a tombstone that says that it doesn't", Run { ends: false, ..ends.clone() }),
        ("a run with a tombstone that leaves the deadline", Run { due: Due::Unchanged, ..ends.clone() }),
        ("a run with a tombstone that arms a deadline", Run { due: Due::At(at(1)), ..ends.clone() }),
    ] {
        let outcome = j.append_one(bad);
        j.holds(what, "BadRun", &outcome, is_bad_run(&outcome));
    }
    // An event whose payload ends like a tombstone is none.
    j.stores(j.run(stream, &alice, 1, &[&[10, 0]]));
    j.is("(last, floor, ended)", stands(j, &alice), (1, 0, false));
    j.stores(j.run_that_ends(stream, &alice, 2, &[b"x"]));
    j.is("(last, floor, ended)", stands(j, &alice), (3, 2, true));
}

pub(super) fn a_sequence_number_is_never_used_again(s: &mut Subject<'_>) {
    let alice = id("alice");
    let mut last = 0;
    for round in 0..6_u64 {
        let j = s.hand();
        j.put(&alice, &[b"x", b"y"]);
        last += 2;
        j.deletes(&alice, last - round % 2);
        if round % 2 == 0 {
            s.reopen();
        } else {
            s.crash();
        }
        let j = s.hand();
        j.is("alice's last sequence number", j.head(&alice).last.0, last);
        let stream = j.open(&alice).stream;
        for first in [1, last] {
            let outcome = j.append_one(j.run(stream, &alice, first, &[b"again"]));
            let conflict = super::hand::conflict(first - 1, last);
            j.by(&rules::CONFLICT).is(&format!("a run from {first}, which was used"), outcome, conflict);
        }
        j.close_stream(stream);
    }
    s.hand().put_end(&alice, &[]);
    s.hand().deletes(&alice, last + 1);
    s.crash();
    let j = s.hand();
    j.is("(last, floor, ended)", stands(j, &alice), (last + 1, last + 1, true));
}

pub(super) fn no_offset_is_used_again_for_what_was_deleted(s: &mut Subject<'_>) {
    let alice = id("alice");
    let mut before = 0;
    for round in 0..5 {
        let j = s.hand();
        let offset = j.put(&alice, &[b"x"]);
        j.holds("the offset of a new run", &format!("more than {before}"), &offset, offset > before);
        before = offset;
        let last = j.head(&alice).last.0;
        j.deletes(&alice, last);
        if round % 2 == 0 {
            s.reopen();
        } else {
            s.crash();
        }
        let durable = s.hand().durable();
        s.hand().by(&rules::DURABLE).is("Journal::durable, with all runs deleted", durable, before);
    }
}
