//! How long an entity that fails is left alone.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The pauses between attempts: they double, up to the longest, and differ a little from entity to entity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    /// What the differences are made from.
    pub(crate) seed: u64,
}

/// In so many steps a pause may be shorter.
const STEPS: u32 = 1024;

impl Backoff {
    /// The pause behind so many failures before this one: at most a quarter shorter than the doubled one, so that those
    /// that failed together don't all come back at once. It is never longer than the longest.
    pub(crate) fn pause(&self, hash: u64, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(self.longest);
        let drawn = [hash.to_le_bytes(), u64::from(failures).to_le_bytes()].concat();
        let step = xxh3_64_with_seed(&drawn, self.seed) % u64::from(STEPS);
        doubled - doubled / 4 / STEPS * u32::try_from(step).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(300), seed: 7 };

    #[test]
    fn pauses_double_up_to_the_longest_and_are_a_quarter_shorter_at_the_most() {
        for failures in 0..40 {
            let whole = Duration::from_secs(1_u64.checked_shl(failures).unwrap_or(u64::MAX).min(300));
            for hash in 0..100 {
                let pause = BACKOFF.pause(hash, failures);
                assert!(pause <= whole && pause >= whole / 4 * 3, "{failures} failures: {pause:?}");
            }
        }
    }

    #[test]
    fn the_seed_decides_and_entities_differ() {
        let pauses = |seed| -> Vec<_> { (0..50).map(|hash| Backoff { seed, ..BACKOFF }.pause(hash, 3)).collect() };
        assert_eq!(pauses(7), pauses(7));
        assert_ne!(pauses(7), pauses(8));
        let distinct: std::collections::BTreeSet<_> = pauses(7).into_iter().collect();
        assert!(distinct.len() > 40, "{distinct:?}");
    }

    #[test]
    fn pauses_beyond_any_clock_are_no_overflow() {
        let forever = Backoff { first: Duration::MAX, longest: Duration::MAX, seed: 0 };
        assert!(forever.pause(1, u32::MAX) > Duration::from_secs(1 << 40));
    }
}
