//! How long a turn and a pass may last. Counting messages isn't enough: handlers that are slow, or panic with a backtrace,
//! would hold up all other entities of the shard, and its shutdown.

use std::time::Duration;

use tokio::time::Instant;

/// A piece of work that goes on until its time is over.
#[derive(Debug)]
pub(crate) struct Pace {
    started: Instant,
    time_max: Duration,
    /// After how many steps the clock is looked at again.
    look_at: usize,
}

/// The clock is looked at after the first step, and never after more than these: it takes longer than a quick step.
const STEPS_UNSEEN_MAX: usize = 8;

impl Pace {
    pub(crate) fn new(time_max: Duration) -> Self {
        Self { started: Instant::now(), time_max, look_at: 1 }
    }

    /// Whether the time is over, after so many steps.
    pub(crate) fn is_over(&mut self, steps: usize) -> bool {
        if steps < self.look_at {
            return false;
        }
        self.look_at = steps + steps.clamp(1, STEPS_UNSEEN_MAX);
        self.elapsed() >= self.time_max
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_is_over_is_seen_after_eight_steps_at_the_most() {
        let mut unlimited = Pace::new(Duration::MAX);
        let mut looks = Vec::new();
        for steps in 0..64 {
            if steps >= unlimited.look_at {
                looks.push(steps);
            }
            assert!(!unlimited.is_over(steps));
        }
        assert_eq!(looks, [1, 2, 4, 8, 16, 24, 32, 40, 48, 56]);
        let mut none = Pace::new(Duration::ZERO);
        assert!(!none.is_over(0) && none.is_over(1), "a step is always made");
    }
}
