//! Data without its type: what a codec says that there is.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value. Floats are kept as their bits, so that each equals itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tree {
    Nothing,
    Bool(bool),
    Int(i128),
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
}

/// One step on the way from the whole to a part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The value of a key, which is without order itself.
    Key(Tree),
    /// An element of a sequence with an order.
    Place(usize),
    /// Any element of one without.
    Any,
}

pub(super) type Path = Vec<Step>;

impl Tree {
    /// The same with all sequences as sets.
    pub(super) fn without_order(&self) -> Self {
        match self {
            Tree::List(elements) => {
                let mut elements: Vec<_> = elements.iter().map(Self::without_order).collect();
                elements.sort();
                Tree::List(elements)
            }
            Tree::Map(entries) => {
                let each = |(key, value): &(Tree, Tree)| (key.without_order(), value.without_order());
                let mut entries: Vec<_> = entries.iter().map(each).collect();
                entries.sort();
                Tree::Map(entries)
            }
            simple => simple.clone(),
        }
    }

    /// The first key of the map that this is whose value differs in the other, or that the other doesn't have.
    pub(super) fn first_field_unlike(&self, other: &Self) -> Option<String> {
        let (Tree::Map(ours), Tree::Map(theirs)) = (self, other) else { return None };
        let unlike = |one: &[(Tree, Tree)], other: &[(Tree, Tree)]| {
            one.iter().find(|entry| !other.contains(entry)).map(|(key, _)| key.clone())
        };
        match unlike(ours, theirs).or_else(|| unlike(theirs, ours)) {
            Some(Tree::Text(field)) => Some(field),
            _ => None,
        }
    }
}

/// The same with maps in the order of their keys, and with those sequences sorted that have no order of their own.
pub(super) fn canonical(tree: &Tree, path: &mut Path, unordered: &BTreeSet<Path>) -> Tree {
    match tree {
        Tree::List(elements) => {
            let is_set = unordered.contains(path);
            let mut canonical_elements = Vec::with_capacity(elements.len());
            for (place, element) in elements.iter().enumerate() {
                path.push(if is_set { Step::Any } else { Step::Place(place) });
                canonical_elements.push(canonical(element, path, unordered));
                path.pop();
            }
            if is_set {
                canonical_elements.sort();
            }
            Tree::List(canonical_elements)
        }
        Tree::Map(entries) => {
            let mut canonical_entries = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let key = key.without_order();
                path.push(Step::Key(key.clone()));
                canonical_entries.push((key, canonical(value, path, unordered)));
                path.pop();
            }
            canonical_entries.sort();
            Tree::Map(canonical_entries)
        }
        simple => simple.clone(),
    }
}

/// Notes the sequences that have another order in the one than in the other, where both are the very same data.
pub(super) fn note_unordered(one: &Tree, other: &Tree, path: &mut Path, unordered: &mut BTreeSet<Path>) {
    match (one, other) {
        (Tree::List(ours), Tree::List(theirs)) if ours.len() == theirs.len() => {
            let same_order =
                || ours.iter().zip(theirs).all(|(one, other)| one.without_order() == other.without_order());
            if !unordered.contains(path) && same_order() {
                for (place, (one, other)) in ours.iter().zip(theirs).enumerate() {
                    path.push(Step::Place(place));
                    note_unordered(one, other, path, unordered);
                    path.pop();
                }
                return;
            }
            let (ours, theirs) = (by_content(ours), by_content(theirs));
            if !ours.iter().map(|(content, _)| content).eq(theirs.iter().map(|(content, _)| content)) {
                return;
            }
            unordered.insert(path.clone());
            path.push(Step::Any);
            for ((_, one), (_, other)) in ours.into_iter().zip(theirs) {
                note_unordered(one, other, path, unordered);
            }
            path.pop();
        }
        (Tree::Map(ours), Tree::Map(theirs)) => {
            for (key, one) in ours {
                let key = key.without_order();
                let Some((_, other)) = theirs.iter().find(|(other, _)| other.without_order() == key) else { continue };
                path.push(Step::Key(key));
                note_unordered(one, other, path, unordered);
                path.pop();
            }
        }
        _ => {}
    }
}

/// The elements in the order of what they hold.
fn by_content(elements: &[Tree]) -> Vec<(Tree, &Tree)> {
    let mut sorted: Vec<_> = elements.iter().map(|element| (element.without_order(), element)).collect();
    sorted.sort();
    sorted
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Tree, E> {
        Ok(Tree::Int(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Tree, E> {
        Ok(Tree::Bytes(value.to_be_bytes().to_vec()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value.to_bits()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Tree, E> {
        Ok(Tree::Bytes(value.to_vec()))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut elements: S) -> Result<Tree, S::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut entries: M) -> Result<Tree, M::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Tree::Map(map))
    }
}
