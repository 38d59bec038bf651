//! How long calls took.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::report::{Section, Whose, float};

/// Longer than any call takes that comes back.
const LONGEST: Duration = Duration::from_secs(60);
/// Digits that count.
const DIGITS: u8 = 2;

/// How many took how long, up to a minute; the longest of all to the nanosecond.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    counts: Histogram<u64>,
    longest: Duration,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        let counts = Histogram::new_with_bounds(1, longest, DIGITS).expect("the bounds are right");
        Self { counts, longest: Duration::ZERO }
    }

    pub(crate) fn record(&mut self, took: Duration) {
        self.counts.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.longest(took);
    }

    /// Takes those of another, which were recorded as nanoseconds.
    pub(crate) fn add(&mut self, others: &[u32]) {
        for nanos in others {
            self.counts.saturating_record(u64::from(*nanos));
        }
    }

    /// Takes one that counts only if it is the longest.
    pub(crate) fn longest(&mut self, took: Duration) {
        self.longest = self.longest.max(took);
    }

    /// So many milliseconds or less took this part of them.
    fn millis_at(&self, part: f64) -> f64 {
        float(self.counts.value_at_quantile(part)) / 1e6
    }

    /// Adds what is known of them to a row.
    pub(crate) fn tell(&self, section: &mut Section, whose: Whose, what: &str) {
        for (measure, part) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            section.add(whose, what, measure, "ms", self.millis_at(part));
        }
        section.add(whose, what, "longest", "ms", self.longest.as_secs_f64() * 1e3);
    }
}
