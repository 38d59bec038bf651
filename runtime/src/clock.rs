//! Where the time comes from.

use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;

use crate::journal::bytes::micros;

/// A clock may be set: at least so often it is looked at again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Tells the time to handlers and to the records that are stored.
///
/// A clock may jump: an entity never sees a time before that of its last stored record. One that panics leaves commands
/// and queries without a time: they end with [`CallError::Panicked`](crate::CallError::Panicked), and deadlines wait, until
/// it tells the time again.
pub trait Clock: Send + Sync + 'static {
    /// The time now. annals keeps microseconds of it.
    fn now(&self) -> Timestamp;

    /// Ends when the clock shows this time or a later one. It may end early.
    ///
    /// As it is, it sleeps by tokio's timer as long as the clock says now, and 10 s at the most, since a clock may be
    /// set. A clock that knows when it is set does better.
    fn sleep_until(&self, time: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let left = time.duration_since(self.now());
            let left = Duration::try_from(left).unwrap_or_default();
            if !left.is_zero() {
                // Rounded up to what the timer can tell.
                tokio::time::sleep(left.min(LOOK_AGAIN_AFTER)).await;
            }
        })
    }
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A time in whole microseconds, or none, in eight bytes: an entity in memory has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaybeTime(i64);

impl MaybeTime {
    pub(crate) const NONE: Self = Self(i64::MIN);

    pub(crate) fn get(self) -> Option<Timestamp> {
        // It was a `Timestamp` before, so it still is one; and none is as early as the number that stands for none.
        if self == Self::NONE { None } else { Timestamp::from_microsecond(self.0).ok() }
    }

    /// Whether it is a time that is over at `now`.
    pub(crate) fn is_over(self, now: Self) -> bool {
        self != Self::NONE && self.0 <= now.0
    }
}

impl From<Timestamp> for MaybeTime {
    fn from(time: Timestamp) -> Self {
        Self(micros(time))
    }
}

impl From<Option<Timestamp>> for MaybeTime {
    fn from(time: Option<Timestamp>) -> Self {
        time.map_or(Self::NONE, Self::from)
    }
}
