//! The names of the aggregates that have open streams: each is kept once, however many streams it has.

use std::num::NonZeroU32;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::slots::{Hashed, Slots};

/// The names, by number.
pub(super) struct Names {
    names: Slots<Name>,
    seed: u64,
}

/// The number of a name, as long as it has streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameNo(NonZeroU32);

struct Name {
    name: Arc<str>,
    /// How many open streams have it.
    streams: u32,
}

impl Hashed for Name {
    fn hash(&self, seed: u64) -> u64 {
        xxh3_64_with_seed(self.name.as_bytes(), seed)
    }
}

impl NameNo {
    fn of_slot(slot: u32) -> Self {
        // There are fewer slots than numbers.
        Self(NonZeroU32::MIN.saturating_add(slot))
    }

    fn slot(self) -> u32 {
        self.0.get() - 1
    }

    pub(super) fn get(self) -> u32 {
        self.0.get()
    }
}

impl Names {
    pub(super) fn new(seed: u64) -> Self {
        Self { names: Slots::new(seed), seed }
    }

    pub(super) fn find(&self, name: &str) -> Option<NameNo> {
        let hash = xxh3_64_with_seed(name.as_bytes(), self.seed);
        self.names.find(hash, |known| *known.name == *name).map(NameNo::of_slot)
    }

    /// The name with a number that has streams.
    pub(super) fn get(&self, number: NameNo) -> &Arc<str> {
        &self.names.get(number.slot()).expect("a name stays as long as it has streams").name
    }

    /// Counts one more stream with a name.
    pub(super) fn enter(&mut self, name: &Arc<str>) -> NameNo {
        let number = self.find(name).unwrap_or_else(|| {
            let name = Name { name: Arc::clone(name), streams: 0 };
            NameNo::of_slot(self.names.insert(name))
        });
        if let Some(name) = self.names.get_mut(number.slot()) {
            name.streams += 1;
        }
        number
    }

    /// Counts one stream less.
    pub(super) fn leave(&mut self, number: NameNo) {
        if let Some(name) = self.names.get_mut(number.slot()) {
            name.streams -= 1;
            if name.streams == 0 {
                self.names.remove(number.slot());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_as_long_as_it_has_streams() {
        let mut names = Names::new(7);
        let [account, order] = ["account", "order"].map(Arc::from);
        let number = names.enter(&account);
        assert_ne!(names.enter(&order), number);
        assert_eq!(names.enter(&Arc::from("account")), number);
        assert!(Arc::ptr_eq(names.get(number), &account));
        names.leave(number);
        assert_eq!((names.find("account"), &**names.get(number)), (Some(number), "account"));
        names.leave(number);
        assert_eq!((names.find("account"), Arc::strong_count(&account)), (None, 1));
        assert!(names.find("order").is_some());
    }
}
