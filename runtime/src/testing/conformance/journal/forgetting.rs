//! What is forgotten is gone, and nothing else is.

use std::sync::Arc;

use super::super::{at, id};
use super::hand::{Hand, Subject, is_bad_run, numbered, stored};
use super::{Forgets, rules};
use crate::id::{PersistenceId, StreamNo};
use crate::journal::{Cipher, Due, Outcome, ReadError, Run, Why};

/// Whether this store forgets nothing, so that a case has nothing to show.
fn forgets_nothing(s: &Subject<'_>) -> bool {
    let nothing = s.store().forgets() == Forgets::Nothing;
    if nothing {
        s.told().skipped("it forgets nothing");
    }
    nothing
}

pub(super) fn a_forgotten_stream_is_read_as_nothing_and_stays_ended(s: &mut Subject<'_>) {
    if forgets_nothing(s) {
        return;
    }
    let alice = id("alice");
    s.hand().put_forgettable(&alice, &[b"a1", b"a2"]);
    s.hand().put_forgettable(&alice, &[b"a3"]);
    s.reopen();
    let j = s.hand();
    j.is("alice's events", j.events(&alice), numbered(&[b"a1", b"a2", b"a3"]));
    j.put_end(&alice, &[b"a4"]);
    let (stream, durable) = (j.number(&alice), j.durable());
    j.by(&rules::STREAM_ID).is("her name, before", j.name(stream), Ok(Some(alice.clone())));
    j.forgets(&alice);
    for round in 0..3 {
        let j = s.hand();
        let head = j.open(&alice);
        j.is("(last, floor, ended)", (head.last.0, head.floor.0, head.ended), (5, 5, true));
        j.is("all runs", j.order(), vec![]);
        j.by(&rules::DURABLE).is("Journal::durable", j.durable(), durable);
        j.reads_nothing(head.stream, 1, 9, usize::MAX);
        j.by(&rules::STREAM_ID).is("her name", j.name(head.stream), Ok(None));
        let late = j.append_one(Run { forgettable: true, ..j.run(head.stream, &alice, 6, &[b"x"]) });
        j.by(&rules::ENDED).holds("a run behind the end", "Ended, or BadRun", &late, {
            matches!(late, Outcome::NotStored(Why::Ended { .. } | Why::BadRun(_)))
        });
        j.close_stream(head.stream);
        j.by(&rules::FORGET_AGAIN).forgets(&alice);
        j.by(&rules::DELETE_LAST).deletes(&alice, 2);
        if round % 2 == 0 { s.reopen() } else { s.crash() }
    }
}

pub(super) fn only_what_has_ended_can_be_forgotten(s: &mut Subject<'_>) {
    if forgets_nothing(s) {
        return;
    }
    let [alice, nobody] = ["alice", "nobody"].map(id);
    s.hand().put_forgettable(&alice, &[b"a"]);
    for _ in 0..2 {
        let j = s.hand();
        let refused = |what: &str, outcome: Outcome| j.holds(what, "BadRun", &outcome, is_bad_run(&outcome));
        refused("forgetting a stream that goes on", j.forget(&alice));
        refused("forgetting one without records", j.forget(&nobody));
        for stream in [0, u64::MAX] {
            refused("forgetting one that isn't there", j.forget_stream(StreamNo(stream)));
        }
        refused("forgetting one that isn't open", j.forget_stream(j.number(&alice)));
        j.is("alice's events", j.events(&alice), numbered(&[b"a"]));
        s.reopen();
    }
    s.hand().put_end(&alice, &[]);
    s.hand().forgets(&alice);
}

pub(super) fn what_was_not_begun_so_is_not_forgettable(s: &mut Subject<'_>) {
    let bob = id("bob");
    s.hand().put(&bob, &[b"b"]);
    s.hand().put_end(&bob, &[]);
    let j = s.hand();
    let outcome = j.forget(&bob);
    match s.store().forgets() {
        Forgets::Nothing | Forgets::WhatBeganSo => {
            j.is("forgetting what wasn't begun as forgettable", outcome, Outcome::NotStored(Why::NotForgettable));
            j.is("bob's name", j.name(j.number(&bob)), Ok(Some(bob.clone())));
            j.is("how many runs there are", j.order().len(), 1);
        }
        Forgets::Everything => {
            j.holds("forgetting, where everything can be", "Stored", &outcome, stored(&outcome).is_some());
        }
    }
}

pub(super) fn the_first_run_decides_whether_a_stream_can_be_forgotten(s: &mut Subject<'_>) {
    let everything = match s.store().forgets() {
        Forgets::Nothing => return s.told().skipped("it forgets nothing"),
        Forgets::WhatBeganSo => false,
        Forgets::Everything => true,
    };
    let ids = [("alice", true), ("bob", false)];
    let j = s.hand();
    for (name, begins) in ids {
        let (id, stream) = (id(name), j.open(&id(name)).stream);
        let run = |first, forgettable| Run { forgettable, ..j.run(stream, &id, first, &[b"x"]) };
        // One that is refused decides nothing.
        let refused = j.append_one(run(2, !begins));
        j.holds("a run from 2", "a conflict", &refused, super::hand::is_conflict(&refused));
        j.stores(run(1, begins));
        j.stores(run(2, !begins));
    }
    s.reopen();
    for (name, begins) in ids {
        let (j, id) = (s.hand(), id(name));
        j.is(&format!("the sequence numbers of {id}"), j.seqs(&id), vec![1, 2]);
        j.put_end(&id, &[]);
        let outcome = j.forget(&id);
        let forgotten = stored(&outcome).is_some();
        j.holds(
            &format!("forgetting {id}"),
            "to be possible as it was begun",
            &outcome,
            forgotten == (begins || everything),
        );
    }
}

pub(super) fn forgetting_takes_nothing_from_others(s: &mut Subject<'_>) {
    if forgets_nothing(s) {
        return;
    }
    let ids = ["alice", "bob", "carol"].map(id);
    let j = s.hand();
    for round in 0..4_u8 {
        for id in &ids {
            j.put_forgettable(id, &[&[round]]);
        }
        j.put(&id("dave"), &[&[round]]);
    }
    j.put_run(&ids[1], |stream, first| super::deadlines::run_with(j, stream, &ids[1], first, &[Due::At(at(5))]));
    j.put_end(&ids[1], &[b"last"]);
    let bob = j.number(&ids[1]).0;
    let left: Vec<_> = j.order().into_iter().filter(|run| run.stream != bob).collect();
    j.forgets(&ids[1]);
    for round in 0..2 {
        let j = s.hand();
        j.is("the runs of the others", j.order(), left.clone());
        j.by(&rules::ARMED).is("the armed deadlines", j.armed(), vec![]);
        for id in [&ids[0], &ids[2], &id("dave")] {
            j.is(&format!("the events of {id}"), j.events(id), numbered(&[&[0], &[1], &[2], &[3]]));
        }
        if round == 0 { s.crash() } else { s.reopen() }
    }
    // Also when the others follow, while the runs that end them are on their way.
    let j = s.hand();
    for id in [&ids[0], &ids[2]] {
        let head = j.open(id);
        let ends = j.begin(vec![j.run_that_ends(head.stream, id, head.last.0 + 1, &[])]);
        let forgotten = j.begin_forget(head.stream);
        j.outcomes(ends);
        let outcome = j.outcome("Journal::forget", forgotten);
        j.holds(&format!("forgetting {id}, whose end was handed over before"), "Stored", &outcome, {
            stored(&outcome).is_some()
        });
    }
    s.reopen();
    let j = s.hand();
    j.is("dave's events", j.events(&id("dave")).len(), 4);
    j.is("how many runs there are", j.order().len(), 4);
}

fn cipher(j: Hand<'_>, id: &PersistenceId) -> Option<Arc<dyn Cipher>> {
    match j.cipher(j.open(id).stream) {
        Ok(cipher) => cipher,
        Err(error) => j.fail("Journal::cipher", "a cipher, or none", &error.to_string()),
    }
}

pub(super) fn a_cipher_gives_back_what_it_encrypted(s: &mut Subject<'_>) {
    if forgets_nothing(s) {
        return;
    }
    let [alice, bob] = ["alice", "bob"].map(id);
    let j = s.hand();
    let before = cipher(j, &alice).is_some();
    j.is("whether a stream without records has a cipher", before, false);
    j.put_forgettable(&alice, &[b"a"]);
    j.put_forgettable(&bob, &[b"b"]);
    let (Some(of_alice), Some(of_bob)) = (cipher(j, &alice), cipher(j, &bob)) else {
        return s.told().skipped("it has no ciphers");
    };
    let by = |rule| j.by(rule);
    let mut encrypted = Vec::new();
    for plain in [&b""[..], b"plain", &[0; 5_000]] {
        let (one, other) = (of_alice.encrypt(plain), of_alice.encrypt(plain));
        by(&rules::ENCRYPT).holds("the same, encrypted twice", "two different results", &plain.len(), one != other);
        by(&rules::DECRYPT).is("what was encrypted, decrypted", of_alice.decrypt(&one), Ok(plain.to_vec()));
        let of_other = of_bob.decrypt(&one);
        by(&rules::DECRYPT).holds("what was encrypted for another", "Corrupt", &of_other, is_corrupt(&of_other));
        for byte in [0, one.len() / 2, one.len() - 1] {
            let mut changed = one.clone();
            changed[byte] ^= 1;
            let decrypted = of_alice.decrypt(&changed);
            by(&rules::DECRYPT).holds("what was changed", "Corrupt", &decrypted, is_corrupt(&decrypted));
        }
        let short = of_alice.decrypt(&one[..one.len() - 1]);
        by(&rules::DECRYPT).holds("what was cut", "Corrupt", &short, is_corrupt(&short));
        encrypted.push((one, plain.to_vec()));
    }
    let pseudonym = of_alice.pseudonym();
    by(&rules::PSEUDONYM).holds("a pseudonym", "not the id", &pseudonym, pseudonym != alice.entity);
    by(&rules::PSEUDONYM).holds("the pseudonyms of two", "different ones", &pseudonym, pseudonym != of_bob.pseudonym());
    drop((of_alice, of_bob));
    s.reopen();
    let j = s.hand();
    let Some(again) = cipher(j, &alice) else { j.fail("alice's cipher after a restart", "one", "none") };
    j.by(&rules::PSEUDONYM).is("her pseudonym after a restart", again.pseudonym(), pseudonym);
    for (encrypted, plain) in encrypted {
        j.by(&rules::DECRYPT).is("what was encrypted before", again.decrypt(&encrypted), Ok(plain));
    }
}

fn is_corrupt(decrypted: &Result<Vec<u8>, ReadError>) -> bool {
    matches!(decrypted, Err(ReadError::Corrupt(_)))
}

pub(super) fn nobody_decrypts_what_is_forgotten(s: &mut Subject<'_>) {
    if forgets_nothing(s) {
        return;
    }
    let alice = id("alice");
    let j = s.hand();
    j.put_forgettable(&alice, &[b"a"]);
    let Some(before) = cipher(j, &alice) else { return s.told().skipped("it has no ciphers") };
    let encrypted = before.encrypt(b"secret");
    j.put_end(&alice, &[]);
    j.forgets(&alice);
    drop(before);
    for round in 0..2 {
        let j = s.hand();
        let after = j.cipher(j.open(&alice).stream);
        let decrypted = match &after {
            Ok(Some(cipher)) => cipher.decrypt(&encrypted).ok(),
            Ok(None) | Err(_) => None,
        };
        j.is("what was encrypted, decrypted after it was forgotten", decrypted, None);
        if round == 0 {
            s.crash();
        }
    }
}
