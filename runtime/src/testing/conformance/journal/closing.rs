//! What a journal says of itself, and its end.

use super::super::id;
use super::hand::{Subject, numbered, stored};
use super::rules;
use crate::journal::{Health, Outcome, ReadError, Why};

pub(super) fn its_facts_do_not_change(s: &mut Subject<'_>) {
    let j = s.hand();
    let facts = j.facts();
    j.put(&id("alice"), &[b"x"]);
    j.is("its facts after a write", j.facts(), facts);
    j.holds("Facts::run_bytes_max", "room for a run of any id", &facts, facts.run_bytes_max > 2_000);
    j.holds("Facts::groups_in_flight", "1 or more", &facts, facts.groups_in_flight > 0);
    let (mut epochs, alice) = (vec![facts.epoch], id("alice"));
    for round in 0..4 {
        if round % 2 == 0 {
            s.reopen();
        } else {
            s.crash();
        }
        let (j, now) = (s.hand(), s.hand().facts());
        j.by(&rules::STORE).is("Facts::store after opening it again", now.store, facts.store);
        j.is("its limits", (now.run_bytes_max, now.durability), (facts.run_bytes_max, facts.durability));
        let before = epochs.last().copied().unwrap_or(0);
        j.by(&rules::EPOCH).holds("Facts::epoch", &format!("more than {before}"), &now.epoch, now.epoch > before);
        epochs.push(now.epoch);
    }
    s.rule(&rules::BYTES);
    let j = s.hand();
    j.is("what was stored in another epoch", j.events(&alice), numbered(&[b"x"]));
}

pub(super) fn it_takes_writes_while_it_is_open(s: &mut Subject<'_>) {
    for _ in 0..2 {
        let j = s.hand();
        j.is("Journal::health", j.health(), Health::Good);
        let alice = id("alice");
        let refused = j.append_one(j.run(j.open(&alice).stream, &alice, 99, &[b"x"]));
        j.holds("a run from 99", "a conflict", &refused, super::hand::is_conflict(&refused));
        j.is("Journal::health after a run was refused", j.health(), Health::Good);
        j.put(&alice, &[b"x"]);
        s.reopen();
    }
}

pub(super) fn a_closed_journal_takes_nothing(s: &mut Subject<'_>) {
    let alice = id("alice");
    let j = s.hand();
    j.put(&alice, &[b"x"]);
    let stream = j.open(&alice).stream;
    j.close();
    j.by(&rules::HEALTH).is("Journal::health", j.health(), Health::Closed);
    for _ in 0..2 {
        let closed = Outcome::NotStored(Why::Closed);
        j.is("a run", j.append_one(j.run(stream, &alice, 2, &[b"x"])), closed.clone());
        j.is("a deletion", j.delete_stream(stream, 1), closed);
        let forgotten = j.forget_stream(stream);
        j.holds("forgetting a stream", "NotStored", &forgotten, matches!(forgotten, Outcome::NotStored(_)));
        j.is("opening a stream", j.try_open(&alice), Err(ReadError::Closed));
        j.is("reading a stream", j.try_read(stream, 1, 1, 1), Err(ReadError::Closed));
        j.is("reading everything", j.try_read_all(0, 1), Err(ReadError::Closed));
        j.is("asking what is armed", j.try_armed(), Err(ReadError::Closed));
        j.is("asking for a name", j.name(stream), Err(ReadError::Closed));
        j.close_stream(stream);
        // And again, after it was closed a second time.
        j.close();
    }
    s.reopen();
    let j = s.hand();
    j.is("alice's events", j.events(&alice), numbered(&[b"x"]));
}

pub(super) fn closing_stores_what_was_handed_over(s: &mut Subject<'_>) {
    let alice = id("alice");
    let j = s.hand();
    let stream = j.open(&alice).stream;
    let groups: Vec<_> = (1..=50).map(|first| j.begin(vec![j.run(stream, &alice, first, &[b"x"])])).collect();
    j.close();
    for group in groups {
        let outcomes = j.outcomes(group);
        j.holds("a run that was handed over before", "Stored", &outcomes, outcomes.iter().all(|o| stored(o).is_some()));
    }
    s.reopen();
    let j = s.hand();
    j.is("alice's sequence numbers", j.seqs(&alice), (1..=50).collect());
}

pub(super) fn closing_begins_with_the_call(s: &mut Subject<'_>) {
    let alice = id("alice");
    let j = s.hand();
    let durable = j.put(&alice, &[b"x"]);
    let stream = j.open(&alice).stream;
    j.begin_close();
    j.is("how far it reaches, heard by who waits for more", j.hears(j.changed(durable)), durable);
    let late = j.append_one(j.run(stream, &alice, 2, &[b"x"]));
    j.is("a run that comes later", late, Outcome::NotStored(Why::Closed));
    s.reopen();
    let j = s.hand();
    j.is("alice's events", j.events(&alice), numbered(&[b"x"]));
}

pub(super) fn a_journal_can_be_opened_many_times(s: &mut Subject<'_>) {
    let alice = id("alice");
    for round in 1..=15 {
        let j = s.hand();
        j.put(&alice, &[b"x"]);
        j.is("alice's sequence numbers", j.seqs(&alice), (1..=round).collect());
        s.reopen();
    }
    // And without a write in between.
    for _ in 0..3 {
        s.reopen();
    }
    let j = s.hand();
    j.is("alice's sequence numbers", j.seqs(&alice), (1..=15).collect());
    j.is("how many runs there are", j.order().len(), 15);
}
