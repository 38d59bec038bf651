//! What was measured: medians, spreads and latencies.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// As exact as a float is; that is enough for a rate.
#[expect(clippy::as_conversions, reason = "there is no other way, and no figure has more than 53 bits")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}

/// The values of some runs.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Runs(Vec<f64>);

impl Runs {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn least(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn most(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }
}

/// How long calls took, in microseconds up to a minute.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u64>);

const LONGEST: Duration = Duration::from_secs(60);

impl Latencies {
    /// # Panics
    ///
    /// Never: the bounds are right.
    pub(crate) fn new() -> Self {
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        Self(Histogram::new_with_bounds(1, longest, 2).expect("the bounds are right"))
    }

    pub(crate) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, others: &[u32]) {
        for nanos in others {
            self.0.saturating_record(u64::from(*nanos));
        }
    }

    /// So many microseconds or less took this part of them.
    pub(crate) fn micros_at(&self, part: f64) -> f64 {
        float(self.0.value_at_quantile(part)) / 1_000.0
    }
}
