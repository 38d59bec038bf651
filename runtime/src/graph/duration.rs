//! A duration as a person writes it.

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Shows a duration in the largest units that fit, and nothing of it is lost: `60d`, `1min 30s`, `250ms`.
pub(super) struct Spelled(pub(super) Duration);

impl Display for Spelled {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.write_str("0s");
        }
        let mut space = "";
        for (unit, nanos) in UNITS {
            let count = rest / nanos;
            if count > 0 {
                write!(f, "{space}{count}{unit}")?;
                space = " ";
            }
            rest %= nanos;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_in_the_largest_units_that_fit() {
        let spelled = |duration| Spelled(duration).to_string();
        assert_eq!(spelled(Duration::from_secs(60 * 86_400)), "60d");
        assert_eq!(spelled(Duration::from_secs(30)), "30s");
        assert_eq!(spelled(Duration::from_secs(90)), "1min 30s");
        assert_eq!(spelled(Duration::from_secs(3600)), "1h");
        assert_eq!(spelled(Duration::from_secs(86_400 + 1)), "1d 1s");
        assert_eq!(spelled(Duration::from_millis(250)), "250ms");
        assert_eq!(spelled(Duration::from_millis(1_500)), "1s 500ms");
        assert_eq!(spelled(Duration::from_micros(1)), "1us");
        assert_eq!(spelled(Duration::from_nanos(1_001)), "1us 1ns");
        assert_eq!(spelled(Duration::ZERO), "0s");
        assert_eq!(spelled(Duration::MAX), "213503982334601d 7h 15s 999ms 999us 999ns");
    }
}
