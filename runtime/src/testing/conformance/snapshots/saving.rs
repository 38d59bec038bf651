//! What is saved, loaded and listed.

use jiff::Timestamp;

use super::super::odd;
use super::super::{at, id};
use super::hand::{Subject, snapshot, to_seq};
use super::rules;
use crate::id::{PersistenceId, SeqNr};
use crate::journal::Durability;
use crate::snapshot::{Criteria, SnapshotStoreError, StoredSnapshot};

pub(super) fn what_is_saved_is_loaded_also_after_reopening(s: &mut Subject<'_>) {
    let saved = snapshot(7, -5, b"content");
    s.hand().save(&id("ann"), &saved);
    for _ in 0..3 {
        let p = s.hand();
        p.latest_is(&id("ann"), Some(&saved));
        p.by(&rules::LIST).is("the list", p.list(&id("ann")), vec![saved.meta()]);
        s.reopen();
    }
    let empty = snapshot(u64::MAX, 3, b"");
    s.hand().save(&id("ann"), &empty);
    s.reopen();
    s.hand().latest_is(&id("ann"), Some(&empty));
}

pub(super) fn what_is_saved_survives_a_crash(s: &mut Subject<'_>) {
    let durability = s.hand().durability();
    if durability == Durability::Memory {
        return s.told().skipped("its snapshots survive nothing");
    }
    for round in 1..=5_u8 {
        let saved = snapshot(round.into(), 1, &[round; 3_000]);
        s.hand().save(&id("ann"), &saved);
        s.crash();
        let p = s.hand();
        p.latest_is(&id("ann"), Some(&saved));
        p.is("what there is", p.numbers(&id("ann")), (1..=u64::from(round)).rev().collect());
        p.by(&rules::DURABILITY).is("SnapshotStore::durability", p.durability(), durability);
    }
}

pub(super) fn a_snapshot_takes_the_place_of_one_with_its_number(s: &mut Subject<'_>) {
    let p = s.hand();
    let ann = id("ann");
    let before = snapshot(6, 1, b"before");
    p.save(&ann, &before);
    for saved in [snapshot(7, 10, b"old"), snapshot(7, 10, b"newer"), snapshot(7, 5, b"earlier"), snapshot(7, 20, b"x")]
    {
        p.save(&ann, &saved);
        p.latest_is(&ann, Some(&saved));
        p.is("the list", p.list(&ann), vec![saved.meta(), before.meta()]);
    }
    let older = p.load(&ann, Criteria::LATEST.to_time(at(10)));
    p.is_snapshot("the latest up to a time before the one that was replaced", older.as_ref(), Some(&before));
    s.reopen();
    let p = s.hand();
    p.is("the list", p.list(&ann), vec![snapshot(7, 20, b"x").meta(), before.meta()]);
}

pub(super) fn criteria_choose_the_highest_that_they_allow(s: &mut Subject<'_>) {
    let p = s.hand();
    for (seq_nr, micros) in [(10, 100), (30, 300), (20, 200)] {
        p.save(&id("ann"), &snapshot(seq_nr, micros, &seq_nr.to_le_bytes()));
    }
    let all = Criteria::LATEST;
    for (criteria, expected) in [
        (all, Some(30)),
        (to_seq(30), Some(30)),
        (to_seq(29), Some(20)),
        (to_seq(10), Some(10)),
        (to_seq(9), None),
        (to_seq(0), None),
        (all.to_time(at(300)), Some(30)),
        (all.to_time(at(299)), Some(20)),
        (all.to_time(at(99)), None),
        (all.to_time(at(299)).to_seq(SeqNr(19)), Some(10)),
        (all.to_time(at(100)).to_seq(SeqNr(30)), Some(10)),
        (all.to_time(Timestamp::MIN), None),
    ] {
        let found = p.load(&id("ann"), criteria);
        p.is(&format!("what {criteria:?} gives"), found.as_ref().map(|found| found.seq_nr.0), expected);
        let bytes = found.map(|found| found.bytes == found.seq_nr.0.to_le_bytes());
        p.by(&rules::BYTES).is("whether its bytes are those of its number", bytes, expected.map(|_| true));
    }
}

pub(super) fn a_higher_number_counts_more_than_a_later_time(s: &mut Subject<'_>) {
    // The clock may have been set back.
    let p = s.hand();
    for (seq_nr, micros) in [(1, 500), (2, 100), (3, 300)] {
        p.save(&id("ann"), &snapshot(seq_nr, micros, b"x"));
    }
    p.latest_is(&id("ann"), Some(&snapshot(3, 300, b"x")));
    let found = p.load(&id("ann"), Criteria::LATEST.to_time(at(200)));
    p.is_snapshot("the latest up to a time", found.as_ref(), Some(&snapshot(2, 100, b"x")));
    p.by(&rules::LIST).is("what there is", p.numbers(&id("ann")), vec![3, 2, 1]);
}

pub(super) fn they_are_listed_the_highest_first(s: &mut Subject<'_>) {
    // In this order a number as text, or with its low byte first, would stand elsewhere.
    let mut numbers = [9, 10, 256, 2, u64::MAX, 300, 1, 0];
    for seq_nr in numbers {
        s.hand().save(&id("ann"), &snapshot(seq_nr, 1, b"x"));
    }
    numbers.sort_by_key(|seq_nr| std::cmp::Reverse(*seq_nr));
    s.reopen();
    let expected: Vec<_> = numbers.iter().map(|seq_nr| snapshot(*seq_nr, 1, b"x").meta()).collect();
    s.hand().is("the list", s.hand().list(&id("ann")), expected);
}

pub(super) fn odd_ids_are_entities_of_their_own(s: &mut Subject<'_>) {
    let long = ["a".repeat(512), "a".repeat(511), "A".repeat(512), "/".repeat(512), "\u{e9}".repeat(256)];
    let borders = (118..=122).map(|len| "a".repeat(len));
    let entities: Vec<String> = odd::IDS.iter().map(|id| (*id).to_owned()).chain(long).chain(borders).collect();
    let aggregates = ["ab", "A", "..", "a/b", "CON", "\u{e9}"].map(String::from);
    let aggregates: Vec<_> = aggregates.into_iter().chain(["x".repeat(255), "/".repeat(255)]).collect();
    // All ids in one aggregate, and a few in each of the others.
    let mut ids: Vec<_> = entities.iter().map(|entity| PersistenceId::new("a", entity)).collect();
    for aggregate in &aggregates {
        ids.extend(entities.iter().step_by(9).map(|entity| PersistenceId::new(aggregate.as_str(), entity)));
    }
    let of = |index: usize| snapshot(1, 1, format!("{index}").as_bytes());
    for (index, id) in ids.iter().enumerate() {
        s.hand().latest_is(id, None);
        s.hand().save(id, &of(index));
    }
    s.reopen();
    for (index, id) in ids.iter().enumerate() {
        let p = s.hand();
        p.latest_is(id, Some(&of(index)));
        p.is("how many are deleted", p.delete_matching(id, Criteria::LATEST), Ok(1));
        p.latest_is(id, None);
    }
}

pub(super) fn an_id_that_names_no_entity_is_refused(s: &mut Subject<'_>) {
    let p = s.hand();
    for id in [id(""), id(&"a".repeat(513)), PersistenceId::new("", "a"), PersistenceId::new("x".repeat(256), "a")] {
        let answers = [
            ("save", p.try_save(&id, &snapshot(1, 1, b"x")).err()),
            ("load", p.try_load(&id, Criteria::LATEST).err()),
            ("list", p.try_list(&id).err()),
            ("delete", p.try_delete(&id, 1).err()),
            ("delete_matching", p.delete_matching(&id, Criteria::LATEST).err()),
        ];
        for (what, answer) in answers {
            let refused = matches!(answer, Some(SnapshotStoreError::InvalidId { .. }));
            p.holds(&format!("{what} of an id that names nothing"), "InvalidId", &answer, refused);
        }
    }
}

pub(super) fn a_snapshot_at_the_limit_is_saved_and_a_longer_one_is_not(s: &mut Subject<'_>) {
    let limit = s.bytes_max();
    let p = s.hand();
    let of_length = |bytes| StoredSnapshot { seq_nr: SeqNr(3), time: at(1), bytes: vec![7; bytes] };
    let answer = p.try_save(&id("ann"), &of_length(limit + 1));
    let too_large = SnapshotStoreError::TooLarge { id: id("ann"), seq_nr: SeqNr(3), bytes: limit + 1, limit };
    p.is("saving one byte more than the limit", answer, Err(too_large));
    p.is("what there is", p.numbers(&id("ann")), vec![]);
    let longest = of_length(limit);
    p.save(&id("ann"), &longest);
    p.is("the list", p.list(&id("ann")), vec![longest.meta()]);
    p.latest_is(&id("ann"), Some(&longest));
}

pub(super) fn big_snapshots_survive(s: &mut Subject<'_>) {
    let len = 5_000_000.min(s.bytes_max());
    let mut chance = s.told().chance();
    let bytes = chance.bytes(len);
    for seq_nr in 1..=3 {
        s.hand().save(&id("ann"), &snapshot(seq_nr, 1, &bytes));
    }
    s.reopen();
    let p = s.hand();
    p.latest_is(&id("ann"), Some(&snapshot(3, 1, &bytes)));
    p.is("what there is", p.numbers(&id("ann")), vec![3, 2, 1]);
}

pub(super) fn times_are_kept_in_whole_microseconds(s: &mut Subject<'_>) {
    let p = s.hand();
    let Ok(time) = Timestamp::from_nanosecond(1_999) else { return };
    p.save(&id("ann"), &StoredSnapshot { time, ..snapshot(1, 0, b"x") });
    p.latest_is(&id("ann"), Some(&snapshot(1, 1, b"x")));
    let last_second = Timestamp::from_second(Timestamp::MAX.as_second()).unwrap_or(Timestamp::MAX);
    for (seq_nr, time) in [(2, Timestamp::MIN), (3, last_second), (4, at(-1))] {
        p.save(&id("ann"), &StoredSnapshot { time, ..snapshot(seq_nr, 0, b"x") });
        let micros = p.load(&id("ann"), Criteria::LATEST).map(|found| found.time.as_microsecond());
        p.is("the time, in microseconds", micros, Some(time.as_microsecond()));
    }
    s.reopen();
    let p = s.hand();
    let found = p.load(&id("ann"), Criteria::LATEST.to_time(at(-1)));
    p.is("the latest up to 1 us before 1970", found.map(|found| found.seq_nr.0), Some(4));
}

pub(super) fn what_is_not_polled_does_nothing(s: &mut Subject<'_>) {
    let p = s.hand();
    p.ask_and_drop(&id("ann"), &snapshot(1, 1, b"x"));
    p.is("what there is", p.numbers(&id("ann")), vec![]);
    p.save(&id("ann"), &snapshot(1, 1, b"x"));
    p.ask_and_drop(&id("ann"), &snapshot(1, 1, b"y"));
    p.is("what there is", p.numbers(&id("ann")), vec![1]);
    p.latest_is(&id("ann"), Some(&snapshot(1, 1, b"x")));
}

pub(super) fn a_save_that_is_dropped_leaves_a_whole_snapshot_or_none(s: &mut Subject<'_>) {
    let (old, new) = (snapshot(5, 1, &[1; 200_000]), snapshot(5, 1, &[2; 300_000]));
    for round in 0..5 {
        let ann = id(&format!("ann {round}"));
        s.hand().save(&ann, &old);
        s.hand().save_and_drop(&ann, &new);
        s.crash();
        let p = s.hand();
        let found = p.load(&ann, Criteria::LATEST);
        let whole = found.as_ref().is_some_and(|found| *found == old || *found == new);
        p.holds("what there is", "the old one or the new one", &found, whole || p.durability() == Durability::Memory);
    }
}
