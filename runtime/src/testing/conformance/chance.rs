//! Random choices that can be made again.

use std::hash::{BuildHasher, Hasher, RandomState};

/// What a random case draws from: the same choices for the same seed.
///
/// The generator is SplitMix64 (Steele, Lea and Flood, 2014).
pub(super) struct Chance(u64);

/// The environment variable with the seed of random cases.
const SEED: &str = "ANNALS_SEED";

/// The seed that was asked for, or a new one.
pub(super) fn seed() -> u64 {
    match std::env::var(SEED) {
        Err(_) => RandomState::new().build_hasher().finish(),
        Ok(seed) => match seed.parse() {
            Ok(seed) => seed,
            Err(error) => panic!("{SEED} is to be a number, and is {seed:?}: {error}"),
        },
    }
}

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// An index into `of` things, of which there is at least one.
    pub(super) fn index(&mut self, of: usize) -> usize {
        usize::try_from(self.below(crate::journal::len_u64(of))).unwrap_or(0)
    }

    pub(super) fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.index(of.len())]
    }

    /// Whether something happens that happens once in so many times.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// So many random bytes.
    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let (mut one, mut other) = (Chance::new(7), Chance::new(7));
        let of = |chance: &mut Chance| (0..9).map(|_| chance.next()).collect::<Vec<_>>();
        assert_eq!(of(&mut one), of(&mut other));
        assert_ne!(of(&mut Chance::new(8)), of(&mut Chance::new(7)));
    }
}
