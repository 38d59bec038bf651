//! Waiting for what becomes durable.

use super::super::id;
use super::super::told::join;
use super::hand::{Subject, is_conflict};
use super::rules;

pub(super) fn who_waits_hears_of_what_became_durable(s: &mut Subject<'_>) {
    let j = s.hand();
    let first = j.put(&id("alice"), &[b"x", b"y"]);
    for beyond in [0, first - 1, first] {
        let reached = j.hears(j.changed(beyond));
        j.is(&format!("how far it reaches, where there is something behind {beyond}"), reached, first + 1);
    }
    let mut waiting = j.changed(first + 1);
    j.holds("a wait for what isn't there", "to go on", &first, j.is_pending(&mut waiting));
    let (reached, offset) = j.hear_while(vec![waiting], || j.put(&id("bob"), &[b"x"]));
    j.holds("how far it reaches, heard by who waited", &format!("{offset} or more"), &reached, reached[0] >= offset);
    j.holds("how far it reaches", "no more than is durable", &reached, reached[0] <= j.durable());
}

pub(super) fn all_who_wait_hear(s: &mut Subject<'_>) {
    let j = s.hand();
    let mut waiting: Vec<_> = (0..20).map(|_| j.changed(0)).collect();
    for future in &mut waiting {
        let pending = j.is_pending(future);
        j.holds("a wait in an empty journal", "to go on", &pending, pending);
    }
    let (reached, offset) = j.hear_while(waiting, || j.put(&id("alice"), &[b"x"]));
    j.holds("how far it reaches, heard by all", &format!("{offset} or more"), &reached, {
        reached.iter().all(|reached| *reached >= offset)
    });
}

pub(super) fn who_waits_for_later_goes_on_waiting(s: &mut Subject<'_>) {
    let j = s.hand();
    let durable = j.put(&id("alice"), &[b"x"]);
    let mut far = j.changed(durable + 3);
    while j.durable() <= durable + 3 {
        j.holds("a wait for more than there is", "to go on", &j.durable(), j.is_pending(&mut far));
        j.put(&id("alice"), &[b"x"]);
    }
    let reached = j.hears(far);
    j.holds("how far it reaches", &format!("more than {}", durable + 3), &reached, reached > durable + 3);
}

pub(super) fn no_wake_up_is_lost_between_looking_and_waiting(s: &mut Subject<'_>) {
    const RUNS: u64 = 300;
    let (j, alice) = (s.hand(), id("alice"));
    let stream = j.open(&alice).stream;
    std::thread::scope(|scope| {
        let follows = scope.spawn(move || {
            let mut seen = 0;
            let mut runs = 0;
            while runs < RUNS {
                let reached = j.hears(j.changed(seen));
                j.holds(
                    "how far it reaches, to who has seen less",
                    &format!("more than {seen}"),
                    &reached,
                    reached > seen,
                );
                let page = j.read_all(seen, usize::MAX);
                j.by(&rules::READ_ALL).holds("what is read of it", "as much", &page.runs.len(), !page.runs.is_empty());
                seen = page.runs.last().map_or(seen, |run| j.placed(run).last_offset());
                runs += crate::journal::len_u64(page.runs.len());
            }
            runs
        });
        for first in 1..=RUNS {
            j.stores(j.run(stream, &alice, first, &[b"x"]));
        }
        j.is("how many runs the follower has read", join(follows), RUNS);
    });
}

pub(super) fn nobody_hears_of_a_run_that_is_refused(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let durable = j.put(&alice, &[b"x"]);
    let mut waiting = j.changed(durable);
    let stream = j.open(&alice).stream;
    let refused = j.append_one(j.run(stream, &alice, 7, &[b"x"]));
    j.holds("a run from 7", "a conflict", &refused, is_conflict(&refused));
    j.deletes(&alice, 1);
    j.holds(
        "a wait, when only a run was refused and a record deleted",
        "to go on",
        &durable,
        j.is_pending(&mut waiting),
    );
    let offset = j.put(&alice, &[b"y"]);
    let reached = j.hears(waiting);
    j.holds("how far it reaches", &format!("{offset} or more"), &reached, reached >= offset);
}

pub(super) fn who_has_waited_in_vain_leaves_no_trace(s: &mut Subject<'_>) {
    let j = s.hand();
    let mut waiting: Vec<_> = (0..100).map(|_| j.changed(0)).collect();
    for future in &mut waiting {
        let pending = j.is_pending(future);
        j.holds("a wait in an empty journal", "to go on", &pending, pending);
    }
    let kept = waiting.swap_remove(50);
    drop(waiting);
    let offset = j.put(&id("alice"), &[b"x"]);
    j.is("how far it reaches, heard by the one who still waits", j.hears(kept), offset);
}

pub(super) fn who_is_polled_by_another_task_is_woken_there(s: &mut Subject<'_>) {
    let j = s.hand();
    for round in 0..20 {
        // The first waker does nothing; the one that counts comes with the last poll.
        let mut waiting = j.changed(j.durable());
        let pending = j.is_pending(&mut waiting);
        j.holds("a wait for what isn't there", "to go on", &pending, pending);
        let (reached, offset) = j.hear_while(vec![waiting], || j.put(&id("alice"), &[b"x"]));
        j.is(&format!("how far it reaches, in round {round}"), reached, vec![offset]);
    }
}

pub(super) fn the_end_of_a_journal_ends_all_waiting(s: &mut Subject<'_>) {
    let j = s.hand();
    let durable = j.put(&id("alice"), &[b"x"]);
    let (mut near, mut far, never_polled) = (j.changed(durable), j.changed(u64::MAX), j.changed(durable));
    let pending = j.is_pending(&mut near) && j.is_pending(&mut far);
    j.holds("waits for what isn't there", "to go on", &pending, pending);
    let (reached, ()) = j.hear_while(vec![near], || j.close());
    j.is("how far it reaches, heard by who waited on another thread", reached, vec![durable]);
    for (what, waiting) in [("polled before", far), ("never polled", never_polled), ("begun later", j.changed(durable))]
    {
        j.is(&format!("how far it reaches, heard by a wait that was {what}"), j.hears(waiting), durable);
    }
    s.reopen();
    // The one that is open now goes on.
    let j = s.hand();
    let mut waiting = j.changed(durable);
    j.holds("a wait in the journal that is open now", "to go on", &durable, j.is_pending(&mut waiting));
    let offset = j.put(&id("alice"), &[b"y"]);
    j.is("how far it reaches", j.hears(waiting), offset);
}
