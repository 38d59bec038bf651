//! Whatever is done to a store, it is afterwards what a map is.

use std::collections::BTreeMap;

use super::super::chance::Chance;
use super::super::{at, id};
use super::hand::{Subject, snapshot};
use super::rules;
use crate::id::{PersistenceId, SeqNr};
use crate::snapshot::{Criteria, StoredSnapshot};

fn any_criteria(chance: &mut Chance) -> Criteria {
    let mut criteria = Criteria::LATEST;
    if chance.once_in(2) {
        criteria = criteria.to_seq(SeqNr(chance.below(8)));
    }
    if chance.once_in(2) {
        criteria = criteria.to_time(at(i64::try_from(chance.below(8)).unwrap_or(0)));
    }
    criteria
}

pub(super) fn whatever_is_done_to_it_it_is_what_a_map_is(s: &mut Subject<'_>) {
    let mut chance = s.told().chance();
    for round in 0..16 {
        // Ids that begin alike.
        let name = format!("{round}/");
        let ids = [id(&name), id(&format!("{name}{name}")), PersistenceId::new(format!("account{name}"), "x")];
        let mut model = vec![BTreeMap::<SeqNr, StoredSnapshot>::new(); ids.len()];
        for _ in 0..25 {
            let p = s.hand();
            let index = chance.index(ids.len());
            let (id, of_id) = (&ids[index], &mut model[index]);
            match chance.below(8) {
                0..3 => {
                    let time = i64::try_from(chance.below(7)).unwrap_or(0);
                    let len = chance.index(40);
                    let saved = snapshot(1 + chance.below(6), time, &chance.bytes(len));
                    p.save(id, &saved);
                    of_id.insert(saved.seq_nr, saved);
                }
                3 => {
                    let seq_nr = chance.below(8);
                    p.delete(id, seq_nr);
                    of_id.remove(&SeqNr(seq_nr));
                }
                4 => {
                    let criteria = any_criteria(&mut chance);
                    let before = of_id.len();
                    of_id.retain(|_, snapshot| !criteria.allows(&snapshot.meta()));
                    let deleted = p.delete_matching(id, criteria);
                    p.by(&rules::MATCHING).is("how many are deleted", deleted, Ok(before - of_id.len()));
                }
                5 if chance.once_in(4) => s.reopen(),
                _ => {
                    let criteria = any_criteria(&mut chance);
                    let expected = of_id.values().rev().find(|snapshot| criteria.allows(&snapshot.meta()));
                    let found = p.load(id, criteria);
                    p.by(&rules::LOAD).is_snapshot("what is loaded", found.as_ref(), expected);
                }
            }
        }
        for (id, of_id) in ids.iter().zip(&model) {
            let expected = of_id.values().rev().map(StoredSnapshot::meta).collect();
            s.hand().by(&rules::LIST).is(&format!("the list of {id}"), s.hand().list(id), expected);
        }
    }
}
