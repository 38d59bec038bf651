//! Several threads on one journal.

use std::sync::atomic::{AtomicBool, Ordering};

use super::super::id;
use super::super::told::{Shown, join};
use super::hand::{Placed, Seen, Subject, is_conflict, stored};
use super::rules;

const WRITERS: u64 = 3;
const RUNS: u64 = 60;

pub(super) fn writers_on_many_threads_store_all_of_it(s: &mut Subject<'_>) {
    let j = s.hand();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let id = id(&format!("writer {writer}"));
                    let stream = j.open(&id).stream;
                    for first in 1..=RUNS {
                        j.stores(j.run(stream, &id, first, &[&first.to_le_bytes()]));
                    }
                    j.close_stream(stream);
                })
            })
            .collect();
        threads.into_iter().for_each(join);
    });
    for _ in 0..2 {
        let j = s.hand();
        let payload = |first: u64| Seen(first, Shown(first.to_le_bytes().to_vec()));
        for writer in 0..WRITERS {
            let events = j.events(&id(&format!("writer {writer}")));
            j.is(&format!("what writer {writer} has stored"), events, (1..=RUNS).map(payload).collect());
        }
        j.is("how many runs there are", crate::journal::len_u64(j.order_by(2_000).len()), WRITERS * RUNS);
        s.reopen();
    }
}

pub(super) fn of_writers_on_many_threads_one_wins_each_number(s: &mut Subject<'_>) {
    let (j, alice) = (s.hand(), id("alice"));
    let stream = j.open(&alice).stream;
    let won: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let alice = alice.clone();
                scope.spawn(move || {
                    let mut won = 0;
                    let mut next = 1;
                    while next <= RUNS {
                        let outcome = j.append_one(j.run(stream, &alice, next, &[&writer.to_le_bytes()]));
                        let (is_stored, conflicts) = (stored(&outcome).is_some(), is_conflict(&outcome));
                        j.holds("an outcome", "Stored, or a conflict", &outcome, is_stored || conflicts);
                        won += u64::from(is_stored);
                        next += 1;
                    }
                    won
                })
            })
            .collect();
        threads.into_iter().map(join).sum()
    });
    j.is("alice's sequence numbers", j.seqs(&alice), (1..=RUNS).collect());
    j.is("how many runs were answered with Stored", won, RUNS);
}

pub(super) fn readers_see_a_prefix_of_whole_runs_while_others_write(s: &mut Subject<'_>) {
    let j = s.hand();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    let id = id(&format!("writer {writer}"));
                    let stream = j.open(&id).stream;
                    for index in 0..RUNS {
                        j.stores(j.run(stream, &id, 1 + 2 * index, &[b"one", b"two"]));
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let (mut seen, mut durable): (Vec<Placed>, u64) = (Vec::new(), 0);
            loop {
                let last_look = done.load(Ordering::SeqCst);
                let now = j.durable();
                j.by(&rules::RISES).holds("Journal::durable", &format!("{durable} or more"), &now, now >= durable);
                durable = now;
                let all = j.order_by(usize::MAX);
                let before = all.get(..seen.len()).map(<[Placed]>::to_vec);
                j.is("what was read before, read again", before, Some(seen));
                let reached = all.last().map_or(0, Placed::last_offset);
                j.holds(
                    "the last offset that is read",
                    "what was durable before, or more",
                    &reached,
                    reached >= durable,
                );
                seen = all;
                if last_look {
                    return crate::journal::len_u64(seen.len());
                }
            }
        });
        let stream_reader = scope.spawn(|| {
            let id = id("writer 1");
            loop {
                let last_look = done.load(Ordering::SeqCst);
                // A stream that nobody has open may have another number each time, until something of it is stored.
                let head = j.head(&id);
                let last = head.last.0;
                let page = j.read(head.stream, 1, u64::MAX, usize::MAX);
                let seqs: Vec<_> = j.events_of(&page).iter().map(|event| event.0).collect();
                let len = crate::journal::len_u64(seqs.len());
                j.holds("the events of a stream that grows", "whole runs from 1 on, without a hole", &seqs, {
                    len.is_multiple_of(2) && seqs == (1..=len).collect::<Vec<_>>()
                });
                if last_look {
                    return (last, len);
                }
            }
        });
        writers.into_iter().for_each(join);
        done.store(true, Ordering::SeqCst);
        j.is("how many runs there are", join(reader), WRITERS * RUNS);
        j.is("(last, events) of one writer's stream", join(stream_reader), (2 * RUNS, 2 * RUNS));
    });
}

pub(super) fn what_is_heard_of_can_be_read(s: &mut Subject<'_>) {
    let j = s.hand();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let durable = j.durable();
                let mut after = 0;
                while after < durable {
                    let page = j.read_all(after, 500);
                    let what = format!("what is read behind {after}, when all up to {durable} is durable");
                    j.holds(&what, "at least one run", &page.runs.len(), !page.runs.is_empty());
                    after = page.runs.last().map_or(durable, |run| j.placed(run).last_offset());
                }
            }
        });
        for first in 1..=RUNS {
            for name in ["alice", "bob"] {
                let offset = j.put(&id(name), &[&first.to_le_bytes()]);
                j.holds("Journal::durable", &format!("{offset} or more"), &j.durable(), j.durable() >= offset);
            }
        }
        done.store(true, Ordering::SeqCst);
        join(reader);
    });
}

pub(super) fn a_page_has_something_while_others_delete(s: &mut Subject<'_>) {
    let j = s.hand();
    let names: Vec<_> = (0..WRITERS).map(|writer| id(&format!("writer {writer}"))).collect();
    for index in 0..RUNS {
        for id in &names {
            j.put(id, &[&index.to_le_bytes()]);
        }
    }
    // It stays, so that there is always something behind what is deleted.
    let stays = j.put(&id("stays"), &[b"x"]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = [1, 500, usize::MAX]
            .into_iter()
            .map(|bytes_max| {
                let done = &done;
                scope.spawn(move || {
                    loop {
                        let last_look = done.load(Ordering::SeqCst);
                        let mut after = 0;
                        while after < stays {
                            let page = j.read_all(after, bytes_max);
                            let what = format!("what is read behind {after}, when {stays} stays");
                            j.holds(&what, "at least one run", &page.runs.len(), !page.runs.is_empty());
                            after = page.runs.last().map_or(stays, |run| j.placed(run).last_offset());
                        }
                        if last_look {
                            return;
                        }
                    }
                })
            })
            .collect();
        for to in 1..=RUNS {
            names.iter().for_each(|id| j.deletes(id, to));
        }
        done.store(true, Ordering::SeqCst);
        readers.into_iter().for_each(join);
    });
    j.is("the offset of what is left", j.order().iter().map(|run| run.offset).collect::<Vec<_>>(), vec![stays]);
}

pub(super) fn streams_are_opened_and_closed_on_many_threads(s: &mut Subject<'_>) {
    let j = s.hand();
    let numbers: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .map(|_| {
                scope.spawn(move || {
                    let open = |index: u64| j.head(&id(&format!("entity {index}"))).stream.0;
                    (0..RUNS).map(open).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().map(join).collect()
    });
    // Numbers of streams without records may be given anew; those that are open at once are the same.
    for index in 0..RUNS {
        j.put(&id(&format!("entity {index}")), &[&index.to_le_bytes()]);
    }
    let last: Vec<_> = (0..RUNS).map(|index| j.number(&id(&format!("entity {index}"))).0).collect();
    let mut unique = last.clone();
    unique.sort_unstable();
    unique.dedup();
    j.is("how many numbers as many streams have", unique.len(), last.len());
    j.is(
        "how many numbers each thread was told",
        numbers.iter().map(Vec::len).collect::<Vec<_>>(),
        vec![last.len(); 3],
    );
}
