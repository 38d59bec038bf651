//! How deeply a payload is nested, found without recursion.

/// How deeply arrays, maps and enums may be nested in an event.
pub(super) const NESTING_MAX: usize = 128;

/// How deeply some MessagePack is nested, as far as it can be read; just over [`NESTING_MAX`] if it is more.
pub(super) fn nesting(bytes: &[u8]) -> usize {
    // How many values are still to come at each level.
    let mut levels: Vec<u64> = Vec::new();
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
        let Some(next) = skip.and_then(|skip| behind.get(skip..)) else { return deepest };
        rest = next;
        if let Some(left) = levels.last_mut() {
            *left = left.saturating_sub(1);
        }
        if values > 0 {
            levels.push(values);
            deepest = deepest.max(levels.len());
            if deepest > NESTING_MAX {
                return deepest;
            }
        }
        while levels.last() == Some(&0) {
            levels.pop();
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;

    use super::{NESTING_MAX, nesting};

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
            prop_assert_eq!(nesting(&written), 1 + depth + 1 + 1 + 1);
        }

        #[test]
        fn nesting_of_anything_ends(bytes in any::<Vec<u8>>()) {
            prop_assert!(nesting(&bytes) <= NESTING_MAX + 1);
        }
    }

    #[test]
    fn nesting_stops_at_the_limit() {
        assert_eq!(nesting(&[0x91; 100_000]), NESTING_MAX + 1);
    }
}
