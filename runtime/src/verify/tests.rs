use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Data {
    order: Vec<u32>,
    tags: HashSet<u32>,
    counts: HashMap<String, u32>,
    by_number: HashMap<u32, HashSet<u32>>,
    sets: Vec<HashSet<u32>>,
    groups: BTreeMap<String, BTreeSet<u32>>,
    nested: HashSet<Vec<u32>>,
    pair: (f64, Vec<u32>),
}

fn data(numbers: &[u32]) -> Data {
    let set = |range: std::ops::Range<u32>| range.collect::<HashSet<_>>();
    Data {
        order: numbers.to_vec(),
        tags: numbers.iter().copied().collect(),
        counts: numbers.iter().map(|number| (number.to_string(), *number)).collect(),
        by_number: numbers.iter().map(|number| (*number, set(0..*number))).collect(),
        sets: numbers.iter().map(|number| set(0..*number)).collect(),
        groups: BTreeMap::new(),
        nested: numbers.iter().map(|number| (0..*number).collect()).collect(),
        pair: (f64::NAN, numbers.to_vec()),
    }
}

fn difference(left: &Data, right: &Data) -> Option<Difference> {
    let differences = [Codec::MessagePack, Codec::Json].map(|codec| {
        // JSON has no NaN.
        let finite = |data: &Data| match codec {
            Codec::Json => Data { pair: (1.5, data.pair.1.clone()), ..data.clone() },
            Codec::MessagePack => data.clone(),
        };
        Comparison::new(codec).difference(&finite(left), &finite(right)).expect("the data is written and read")
    });
    let [packed, json] = differences;
    assert_eq!(packed, json, "both codecs see the same");
    packed
}

fn field(name: &str) -> Option<Difference> {
    Some(Difference { field: Some(name.to_owned()) })
}

#[test]
fn sets_and_maps_in_another_order_are_no_difference() {
    for numbers in [&[][..], &[2], &[2, 3], &[9, 5, 7, 2, 4]] {
        for _ in 0..20 {
            // Each has hashers of its own, so the order differs almost every time.
            assert_eq!(difference(&data(numbers), &data(numbers)), None);
        }
    }
}

#[test]
fn a_small_set_is_no_difference_however_often_it_is_looked_at() {
    let with_tags = || Data { tags: [1, 2].into(), ..Data::default() };
    let mut comparison = Comparison::new(Codec::MessagePack);
    for _ in 0..500 {
        assert_eq!(Comparison::new(Codec::MessagePack).difference(&with_tags(), &with_tags()), Ok(None));
        assert_eq!(comparison.difference(&with_tags(), &with_tags()), Ok(None));
    }
}

#[test]
fn another_order_of_a_sequence_is_a_difference() {
    assert_eq!(difference(&data(&[1, 2, 3]), &Data { order: vec![3, 2, 1], ..data(&[1, 2, 3]) }), field("order"));
    let pair = |numbers: &[u32]| Data { pair: (0.5, numbers.to_vec()), ..data(&[1, 2, 3]) };
    assert_eq!(difference(&pair(&[1, 2]), &pair(&[2, 1])), field("pair"));
    let sets = |first: u32, second: u32| Data { sets: vec![[first, 7].into(), [second, 8].into()], ..Data::default() };
    assert_eq!(difference(&sets(1, 2), &sets(1, 2)), None);
    assert_eq!(difference(&sets(1, 2), &sets(2, 1)), field("sets"));
    let mut swapped = sets(1, 2);
    swapped.sets.reverse();
    assert_eq!(difference(&sets(1, 2), &swapped), field("sets"));
}

#[test]
fn other_elements_of_a_set_and_other_entries_of_a_map_are_differences() {
    let base = data(&[1, 2, 3]);
    assert_eq!(difference(&base, &Data { tags: [1, 2, 4].into(), ..base.clone() }), field("tags"));
    let counts = HashMap::from([("1".to_owned(), 1), ("2".to_owned(), 2), ("3".to_owned(), 4)]);
    assert_eq!(difference(&base, &Data { counts, ..base.clone() }), field("counts"));
    let nested = HashSet::from([vec![1, 2], vec![3]]);
    let other = HashSet::from([vec![2, 1], vec![3]]);
    let with = |nested: &HashSet<Vec<u32>>| Data { nested: nested.clone(), ..base.clone() };
    assert_eq!(difference(&with(&nested), &with(&nested)), None);
    assert_eq!(difference(&with(&nested), &with(&other)), field("nested"), "the order in the elements of a set counts");
}

#[test]
fn comparisons_become_rarer_where_much_is_written() {
    let mut pace = Pace { spent: 0, each: 1, waited: 0 };
    assert!((0..1_000).all(|_| pace.is_due()));
    pace.spend(65 << 20);
    assert_eq!((pace.is_due(), pace.is_due(), pace.is_due()), (false, true, false));
    pace.spend(65 << 20);
    assert_eq!(pace.each, 4);
}
