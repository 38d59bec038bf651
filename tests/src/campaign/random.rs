//! What is drawn, and what is set from outside.

use std::time::{SystemTime, UNIX_EPOCH};

/// xorshift: enough to choose moments and places, and the same for the same seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Begins with a seed; 0 is as good as 1.
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// A number below the limit, which isn't 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A number from the environment.
///
/// # Panics
///
/// If something else is there.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name} is a number, and not `{value}`")),
        Err(_) => default,
    }
}

/// The seed of a run: the one in `ANNALS_SEED`, or one that is drawn. Whoever asks prints it.
pub fn seed() -> u64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_nanos()));
    setting("ANNALS_SEED", nanos.max(1))
}
