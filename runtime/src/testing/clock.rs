//! A clock that a test drives.

use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::clock::Clock;

/// A clock that stands still until it is told otherwise. Clones show the same time.
///
/// A system's deadlines that are over by the new time fire at once.
#[derive(Debug, Clone)]
pub struct ManualClock(watch::Sender<Timestamp>);

impl ManualClock {
    /// Makes a clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(watch::Sender::new(now))
    }

    /// Shows another time, later or earlier.
    pub fn set(&self, now: Timestamp) {
        self.0.send_replace(now);
    }

    /// Goes on by `time`, at most to the end of what a timestamp can tell.
    pub fn advance(&self, time: Duration) {
        self.0.send_modify(|now| *now = now.saturating_add(time).unwrap_or(Timestamp::MAX));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn sleep_until(&self, time: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut shown = self.0.subscribe();
        Box::pin(async move {
            // The sender lives as long as the clock.
            let _ = shown.wait_for(|now| *now >= time).await;
        })
    }
}
