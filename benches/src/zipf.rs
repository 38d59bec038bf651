//! Numbers of entities, some of which are asked for much more often than others.

use crate::report::float;

/// Ranks by Zipf's law with the exponent 1: the logarithm of the rank is drawn evenly.
pub(crate) struct Zipf {
    entities: u64,
    state: u64,
}

impl Zipf {
    pub(crate) fn new(entities: u64, seed: u64) -> Self {
        Self { entities, state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "a rank is small, and cut off on purpose"
    )]
    pub(crate) fn draw(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let part = float(self.state >> 11) / float(1 << 53);
        let rank = float(self.entities).powf(part);
        // Neighbours in rank are strangers by id.
        (rank as u64).min(self.entities - 1).wrapping_mul(0x9E37_79B1) % self.entities
    }
}
