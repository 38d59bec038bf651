//! Whether two folds of the same records came to the same data, seen through how the data is written.
//!
//! What has an order of its own counts with it. What hasn't, such as a `HashSet`, must not: maps are compared by their
//! keys, and a sequence that comes out in another order when the very same data is read and written again is compared
//! as a set.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Codec, DecodeError, EncodeError, Payload, encode_value};

mod tree;

use tree::{Path, Tree, canonical};

/// How often data is read and written again before a sequence counts as one with an order. A set of two comes out in
/// the same order each time once in 2^64.
const AGAIN_MAX: u32 = 64;
/// How many bytes are written for comparisons before they become rarer.
const BYTES_AT_ONE_PACE: u64 = 64 << 20;

/// Compares data of one type.
#[derive(Debug)]
pub(crate) struct Comparison {
    codec: Codec,
    /// Sequences without an order of their own.
    unordered: BTreeSet<Path>,
    pace: Pace,
}

/// That two data differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The first field that differs, if the data has fields.
    pub(crate) field: Option<String>,
}

/// Why two data can't be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Incomparable {
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Comparison {
    pub(crate) fn new(codec: Codec) -> Self {
        Self { codec, unordered: BTreeSet::new(), pace: Pace { spent: 0, each: 1, waited: 0 } }
    }

    /// Whether the next step is to be compared: each one at first, and fewer and fewer where the data is long.
    pub(crate) fn is_due(&mut self) -> bool {
        self.pace.is_due()
    }

    /// The difference between two data, if there is one.
    pub(crate) fn difference<A: Serialize + DeserializeOwned>(
        &mut self,
        left: &A,
        right: &A,
    ) -> Result<Option<Difference>, Incomparable> {
        let (left, right) = (self.write(left)?, self.write(right)?);
        self.pace.spend(left.len() + right.len());
        if left == right {
            return Ok(None);
        }
        let trees = (self.read::<Tree>(&left)?, self.read::<Tree>(&right)?);
        let Some(difference) = self.difference_of(&trees.0, &trees.1) else { return Ok(None) };
        // No other order would make them the same.
        if trees.0.without_order() != trees.1.without_order() {
            return Ok(Some(difference));
        }
        let mut again = (left, right);
        for _ in 0..AGAIN_MAX {
            again = (self.look_for_sets::<A>(&trees.0, &again.0)?, self.look_for_sets::<A>(&trees.1, &again.1)?);
            if self.difference_of(&trees.0, &trees.1).is_none() {
                return Ok(None);
            }
        }
        Ok(self.difference_of(&trees.0, &trees.1))
    }

    /// Reads and writes data once more, and notes what has come out in another order.
    fn look_for_sets<A: Serialize + DeserializeOwned>(
        &mut self,
        tree: &Tree,
        bytes: &[u8],
    ) -> Result<Vec<u8>, Incomparable> {
        let again = self.write(&self.read::<A>(bytes)?)?;
        if again != bytes {
            tree::note_unordered(tree, &self.read(&again)?, &mut Vec::new(), &mut self.unordered);
        }
        Ok(again)
    }

    fn difference_of(&self, left: &Tree, right: &Tree) -> Option<Difference> {
        let (left, right) = (self.canonical(left), self.canonical(right));
        (left != right).then(|| Difference { field: left.first_field_unlike(&right) })
    }

    fn canonical(&self, tree: &Tree) -> Tree {
        canonical(tree, &mut Vec::new(), &self.unordered)
    }

    fn write<A: Serialize>(&self, data: &A) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::new();
        encode_value(self.codec, data, &mut bytes)?;
        Ok(bytes)
    }

    fn read<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        Payload { codec: self.codec, bytes }.decode()
    }
}

/// Spreads comparisons over many steps, so that long data and many steps don't multiply.
#[derive(Debug)]
struct Pace {
    /// How many bytes were written at this pace.
    spent: u64,
    /// Every how many steps there is a comparison.
    each: u64,
    waited: u64,
}

impl Pace {
    fn is_due(&mut self) -> bool {
        self.waited += 1;
        let due = self.waited >= self.each;
        if due {
            self.waited = 0;
        }
        due
    }

    fn spend(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_add(crate::journal::len_u64(bytes));
        if self.spent > BYTES_AT_ONE_PACE {
            (self.spent, self.each) = (0, self.each.saturating_mul(2));
        }
    }
}

#[cfg(test)]
mod tests;
