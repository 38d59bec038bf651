//! What a payload announces, found without recursion and before anything is made of it: how deeply it is nested, and
//! whether it can hold as many values as it says.

/// How deeply arrays, maps and enums may be nested in an event.
pub(super) const NESTING_MAX: usize = 128;

/// What can't be read safely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsafe {
    /// It is nested more deeply than [`NESTING_MAX`]: reading it could exhaust the stack.
    TooDeep,
    /// It announces more values than it has bytes: who reads it would make room for them.
    TooMany,
}

/// Whether there is anything in some MessagePack that [`nesting`] could refuse: it is long, or may announce much.
pub(super) fn may_be_unsafe(bytes: &[u8]) -> bool {
    // All of them are looked at, since that is faster than to stop at one.
    bytes.len() > NESTING_MAX || bytes.iter().fold(false, |found, byte| found | matches!(byte, 0xdc..=0xdf))
}

/// How deeply some MessagePack is nested, as far as it can be read.
pub(super) fn nesting(bytes: &[u8]) -> Result<usize, Unsafe> {
    // How many values are still to come at each level, and at all of them.
    let (mut levels, mut open): (Vec<u64>, u64) = (Vec::new(), 0);
    let (mut rest, mut deepest) = (bytes, 0);
    while let Some((&marker, behind)) = rest.split_first() {
        let number = |bytes: usize| {
            let number = behind.get(..bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            Some((number, bytes))
        };
        // Bytes that follow the marker, and values that the marker announces.
        let (skip, values) = match marker {
            0x80..=0x8f => (Some(0), 2 * u64::from(marker & 0x0f)),
            0x90..=0x9f => (Some(0), u64::from(marker & 0x0f)),
            0xa0..=0xbf => (Some(usize::from(marker & 0x1f)), 0),
            0xc4..=0xc6 | 0xd9..=0xdb => {
                let width = 1 << (marker.wrapping_sub(if marker < 0xd9 { 0xc4 } else { 0xd9 }));
                (number(width).and_then(|(len, width)| usize::try_from(len).ok()?.checked_add(width)), 0)
            }
            0xc7..=0xc9 => {
                let width = 1 << (marker - 0xc7);
                (number(width).and_then(|(len, width)| usize::try_from(len).ok()?.checked_add(width + 1)), 0)
            }
            0xcc | 0xd0 => (Some(1), 0),
            0xcd | 0xd1 | 0xd4 => (Some(2), 0),
            0xca | 0xce | 0xd2 => (Some(4), 0),
            0xd5 => (Some(3), 0),
            0xd6 => (Some(5), 0),
            0xcb | 0xcf | 0xd3 => (Some(8), 0),
            0xd7 => (Some(9), 0),
            0xd8 => (Some(17), 0),
            0xdc => (Some(2), number(2).map_or(0, |(values, _)| values)),
            0xdd => (Some(4), number(4).map_or(0, |(values, _)| values)),
            0xde => (Some(2), 2 * number(2).map_or(0, |(values, _)| values)),
            0xdf => (Some(4), 2 * number(4).map_or(0, |(values, _)| values)),
            0x00..=0x7f | 0xc0..=0xc3 | 0xe0..=0xff => (Some(0), 0),
        };
        let Some(next) = skip.and_then(|skip| behind.get(skip..)) else { return Ok(deepest) };
        rest = next;
        if let Some(left) = levels.last_mut() {
            *left = left.saturating_sub(1);
            open = open.saturating_sub(1);
        }
        if values > 0 {
            levels.push(values);
            open = open.saturating_add(values);
            deepest = deepest.max(levels.len());
            if deepest > NESTING_MAX {
                return Err(Unsafe::TooDeep);
            }
            // What is short announces little, and is told by who reads it.
            if marker >= 0xdc && open > crate::journal::len_u64(rest.len()) {
                return Err(Unsafe::TooMany);
            }
        }
        while levels.last() == Some(&0) {
            levels.pop();
        }
    }
    Ok(deepest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;

    use super::{NESTING_MAX, Unsafe, nesting};

    /// A value of a given depth, with all that MessagePack has at its end.
    #[derive(Serialize)]
    enum Tree {
        Leaf(Vec<u8>, String, f64, i64, Option<bool>, (u16, char)),
        Branch(Box<Tree>),
    }

    fn tree(depth: usize, leaf: Tree) -> Tree {
        (0..depth).fold(leaf, |tree, _| Tree::Branch(Box::new(tree)))
    }

    proptest! {
        #[test]
        fn nesting_is_measured_past_values_of_every_kind(
            depth in 0_usize..100,
            bytes in any::<Vec<u8>>(),
            text in any::<String>(),
            numbers in any::<(f64, i64, Option<bool>, (u16, char))>(),
        ) {
            let leaf = Tree::Leaf(bytes.clone(), text, numbers.0, numbers.1, numbers.2, numbers.3);
            // An array of two, so that something lies behind the deep value.
            let both = (tree(depth, leaf), vec![vec![1_u8]]);
            let written = rmp_serde::to_vec_named(&both).unwrap();
            // The array of two, a map for each branch and for the leaf, its fields, and the bytes or the pair in them.
            prop_assert_eq!(nesting(&written), Ok(1 + depth + 1 + 1 + 1));
        }

        #[test]
        fn nesting_of_anything_ends(bytes in any::<Vec<u8>>()) {
            prop_assert!(nesting(&bytes).is_ok_and(|depth| depth <= NESTING_MAX) || nesting(&bytes).is_err());
        }
    }

    #[test]
    fn nesting_stops_at_the_limit() {
        assert_eq!(nesting(&[0x91; 100_000]), Err(Unsafe::TooDeep));
        assert_eq!(nesting(&[0x91; NESTING_MAX]), Ok(NESTING_MAX));
    }

    #[test]
    fn more_values_than_there_are_bytes_are_refused_before_anybody_makes_room() {
        assert_eq!(nesting(&[0xdd, 0, 0, 0, 3, 1, 2, 3]), Ok(1));
        assert_eq!(nesting(&[0xdd, 0, 0, 0, 4, 1, 2, 3]), Err(Unsafe::TooMany));
        assert_eq!(nesting(&[0xdf, 0, 0, 0, 1, 1, 2]), Ok(1));
        assert_eq!(nesting(&[0xdf, 0, 0, 0, 2, 1, 2, 3]), Err(Unsafe::TooMany));
        // Two levels can't have the same bytes.
        assert_eq!(nesting(&[0xdc, 0, 4, 0xdc, 0, 2, 1, 2, 3, 4, 5]), Ok(2));
        assert_eq!(nesting(&[0xdc, 0, 4, 0xdc, 0, 3, 1, 2, 3, 4, 5]), Err(Unsafe::TooMany));
    }
}
