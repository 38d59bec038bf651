//! Several threads on one store.

use std::sync::Barrier;

use super::super::id;
use super::super::told::join;
use super::hand::{Subject, snapshot};
use crate::snapshot::Criteria;

pub(super) fn saves_at_once_are_all_there(s: &mut Subject<'_>) {
    const THREADS: u64 = 4;
    let p = s.hand();
    let begin = Barrier::new(4);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=THREADS)
            .map(|thread| {
                let begin = &begin;
                scope.spawn(move || {
                    begin.wait();
                    for round in 0..20 {
                        // One entity for all, and one that comes and goes.
                        p.save(&id("ann"), &snapshot(round * THREADS + thread, 1, &thread.to_le_bytes()));
                        p.save(&id("bob"), &snapshot(thread, 1, &thread.to_le_bytes()));
                        p.delete(&id("bob"), thread);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(join);
    });
    p.is("what there is of ann", p.numbers(&id("ann")), (1..=20 * THREADS).rev().collect());
    p.is("what there is of bob", p.numbers(&id("bob")), vec![]);
}

pub(super) fn readers_see_the_old_one_or_the_new_one(s: &mut Subject<'_>) {
    let p = s.hand();
    let content = |round: u8| vec![round; 100_000];
    p.save(&id("ann"), &snapshot(5, 1, &content(0)));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..=30 {
                p.save(&id("ann"), &snapshot(5, 1, &content(round)));
            }
        });
        let mut newest = 0;
        for _ in 0..100 {
            let Some(seen) = p.load(&id("ann"), Criteria::LATEST) else {
                p.fail("a snapshot that is replaced", "to be there all the time", "none")
            };
            let round = seen.bytes.first().copied().unwrap_or(u8::MAX);
            let whole = seen.bytes == content(round);
            p.holds("what a reader sees", "one of those that were saved, whole", &seen, whole);
            p.holds("which one a reader sees", &format!("{newest} or a later one"), &round, round >= newest);
            newest = round;
        }
        join(writer);
    });
}
