//! Whether data that was written and read again is what it was, as far as its type can tell.
//!
//! Data needn't be `PartialEq`. Generated code names its type, so it finds out: where the type has a comparison, the
//! inherent function is there and comes first, and elsewhere only that of the trait is.

use std::marker::PhantomData;

use crate::snapshot::Snapshots;

/// Compares data of one type.
#[doc(hidden)]
#[derive(Debug)]
pub struct Equality<T>(PhantomData<T>);

impl<T: PartialEq> Equality<T> {
    #[must_use]
    pub fn same(one: &T, other: &T) -> Option<bool> {
        Some(one == other)
    }
}

/// What there is for a type without a comparison.
#[doc(hidden)]
pub trait Incomparable<T> {
    fn same(_: &T, _: &T) -> Option<bool> {
        None
    }
}

impl<T> Incomparable<T> for Equality<T> {}

impl<A> Snapshots<A> {
    /// Whether data is known to be other data once it was `read` from a snapshot. What isn't equal to itself, such as a
    /// NaN, is never known to be.
    pub(crate) fn loses(&self, data: &A, read: &A) -> bool {
        (self.same)(data, read) == Some(false) && (self.same)(data, data) == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::snapshot::Snapshot;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, annals_macros::Snapshot)]
    #[snapshot(crate = crate)]
    struct Comparable {
        value: f64,
    }

    #[derive(Debug, Serialize, Deserialize, annals_macros::Snapshot)]
    #[snapshot(crate = crate)]
    struct Unlike {
        value: f64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, annals_macros::Snapshot)]
    #[snapshot(crate = crate)]
    struct MayLose {
        value: f64,
        #[serde(skip)]
        #[snapshot(skip)]
        cache: u64,
    }

    #[test]
    fn data_with_a_comparison_is_compared_and_other_data_is_not() {
        let comparable = |value| Comparable { value };
        assert_eq!(Comparable::same(&comparable(1.0), &comparable(1.0)), Some(true));
        assert_eq!(Comparable::same(&comparable(1.0), &comparable(2.0)), Some(false));
        assert_eq!(Unlike::same(&Unlike { value: 1.0 }, &Unlike { value: 2.0 }), None);
        let may_lose = |cache| MayLose { value: 1.0, cache };
        assert_eq!(MayLose::same(&may_lose(1), &may_lose(0)), None, "what may be lost is no difference");
    }

    #[test]
    fn what_is_not_equal_to_itself_is_not_known_to_be_lost() {
        let snapshots = Snapshots::<Comparable>::new(None, 1);
        let comparable = |value| Comparable { value };
        assert!(snapshots.loses(&comparable(1.0), &comparable(2.0)));
        assert!(snapshots.loses(&comparable(1.0), &comparable(f64::NAN)));
        assert!(!snapshots.loses(&comparable(1.0), &comparable(1.0)));
        assert!(!snapshots.loses(&comparable(f64::NAN), &comparable(f64::NAN)));
        assert!(!snapshots.loses(&comparable(f64::NAN), &comparable(1.0)));
    }
}
