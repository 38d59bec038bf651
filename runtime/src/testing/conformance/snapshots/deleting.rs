//! What is deleted, and what stays.

use super::super::{at, id};
use super::hand::{Subject, snapshot, to_seq};
use super::rules;
use crate::id::SeqNr;
use crate::journal::Durability;
use crate::snapshot::Criteria;

pub(super) fn one_is_deleted_and_the_others_stay(s: &mut Subject<'_>) {
    let (ann, bob) = (id("ann"), id("bob"));
    for seq_nr in 1..=3 {
        s.hand().save(&ann, &snapshot(seq_nr, 1, b"x"));
        s.hand().save(&bob, &snapshot(seq_nr, 1, b"x"));
    }
    s.hand().delete(&ann, 2);
    s.reopen();
    let p = s.hand();
    p.is("what there is of ann", p.numbers(&ann), vec![3, 1]);
    p.is("what there is of bob", p.numbers(&bob), vec![3, 2, 1]);
    p.delete(&ann, 3);
    p.delete(&ann, 1);
    s.reopen();
    let p = s.hand();
    p.latest_is(&ann, None);
    p.save(&ann, &snapshot(2, 1, b"again"));
    p.latest_is(&ann, Some(&snapshot(2, 1, b"again")));
}

pub(super) fn those_that_match_are_deleted_and_counted(s: &mut Subject<'_>) {
    let (ann, bob) = (id("ann"), id("bob"));
    let p = s.hand();
    for (seq_nr, micros) in [(10, 100), (20, 200), (30, 300), (40, 400)] {
        p.save(&ann, &snapshot(seq_nr, micros, b"x"));
        p.save(&bob, &snapshot(seq_nr, micros, b"x"));
    }
    let steps: [(Criteria, usize, &[u64]); 6] = [
        (to_seq(9), 0, &[40, 30, 20, 10]),
        (to_seq(20).to_time(at(199)), 1, &[40, 30, 20]),
        (to_seq(30), 2, &[40]),
        (Criteria::LATEST.to_time(at(399)), 0, &[40]),
        (Criteria::LATEST, 1, &[]),
        (Criteria::LATEST, 0, &[]),
    ];
    for (criteria, deleted, left) in steps {
        p.is(&format!("how many {criteria:?} deletes"), p.delete_matching(&ann, criteria), Ok(deleted));
        p.is("what is left", p.numbers(&ann), left.to_vec());
    }
    s.reopen();
    let p = s.hand();
    p.is("what there is of ann", p.numbers(&ann), vec![]);
    p.is("what there is of bob", p.numbers(&bob), vec![40, 30, 20, 10]);
}

pub(super) fn what_is_deleted_is_deleted_after_a_crash(s: &mut Subject<'_>) {
    if s.hand().durability() == Durability::Memory {
        return s.told().skipped("its snapshots survive nothing");
    }
    let ann = id("ann");
    for seq_nr in 1..=6 {
        s.hand().save(&ann, &snapshot(seq_nr, 1, b"x"));
    }
    s.hand().delete(&ann, 6);
    s.crash();
    s.hand().is("what there is", s.hand().numbers(&ann), vec![5, 4, 3, 2, 1]);
    s.hand().is("how many are deleted", s.hand().delete_matching(&ann, to_seq(3)), Ok(3));
    s.crash();
    s.hand().is("what there is", s.hand().numbers(&ann), vec![5, 4]);
}

pub(super) fn what_is_not_there_is_none_and_deleting_it_is_harmless(s: &mut Subject<'_>) {
    let p = s.hand();
    for entity in ["ann", "bob"] {
        let id_of = id(entity);
        p.by(&rules::LOAD).latest_is(&id_of, None);
        p.by(&rules::LIST).is("the list", p.list(&id_of), vec![]);
        p.delete(&id_of, 1);
        p.by(&rules::MATCHING).is("how many are deleted", p.delete_matching(&id_of, Criteria::LATEST), Ok(0));
        p.save(&id("bob"), &snapshot(5, 1, b"x"));
        p.delete(&id("bob"), 4);
        p.delete(&id("bob"), 5);
    }
}

pub(super) fn all_but_the_newest_are_deleted(s: &mut Subject<'_>) {
    for entity in ["ann", "bob"] {
        for seq_nr in 1..=100 {
            s.hand().save(&id(entity), &snapshot(seq_nr, 1, entity.as_bytes()));
        }
    }
    s.reopen();
    let p = s.hand();
    p.by(&rules::LIST).is("what there is", p.numbers(&id("ann")), (1..=100).rev().collect());
    p.is("how many are deleted", p.delete_matching(&id("ann"), Criteria::LATEST.to_seq(SeqNr(98))), Ok(98));
    p.is("what there is of ann", p.numbers(&id("ann")), vec![100, 99]);
    p.is("how many there are of bob", p.numbers(&id("bob")).len(), 100);
}
