//! What is set from outside.

use std::time::{SystemTime, UNIX_EPOCH};

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
