//! A clock as one task sees it. It is the user's: where it panics, time stands still for this task, and steps are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;
use crate::contain::{contained, contained_async};
use crate::log::{self, Throttle};
use crate::sync::{Mutex, PoisonError};

/// The pause after a clock has panicked, for who waits for a time.
const BROKEN_PAUSE: Duration = Duration::from_secs(1);

/// A clock, and what it has told last.
pub(crate) struct Timepiece {
    clock: Arc<dyn Clock>,
    /// In microseconds since 1970.
    told: AtomicI64,
    throttle: Mutex<Throttle>,
}

impl Timepiece {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, told: AtomicI64::new(0), throttle: Mutex::default() }
    }

    /// The time now, or how the clock has panicked.
    pub(crate) fn ask(&self) -> Result<Timestamp, Arc<str>> {
        match contained(|| self.clock.now()) {
            Ok(now) => {
                self.told.store(now.as_microsecond(), Ordering::Relaxed);
                Ok(now)
            }
            Err(panic) => {
                self.complain(&panic);
                Err(format!("the clock panicked: {panic}").into())
            }
        }
    }

    /// The time now, or the one that was told last: for pauses, and not for what is stored.
    pub(crate) fn now(&self) -> Timestamp {
        let last = || Timestamp::from_microsecond(self.told.load(Ordering::Relaxed)).unwrap_or_default();
        self.ask().unwrap_or_else(|_| last())
    }

    /// Ends when the clock shows this time, or earlier.
    pub(crate) async fn sleep_until(&self, time: Timestamp) {
        if let Err(panic) = contained_async(async { self.clock.sleep_until(time).await }).await {
            self.complain(&panic);
            self.pause().await;
        }
    }

    /// Waits a little for a clock that is broken.
    pub(crate) async fn pause(&self) {
        tokio::time::sleep(BROKEN_PAUSE).await;
    }

    fn complain(&self, panic: &str) {
        let may_speak = self.throttle.lock().unwrap_or_else(PoisonError::into_inner).may_speak();
        if let Some(unsaid) = may_speak {
            log::error!(panic, unsaid, "the clock panicked: without a time no step is made");
        }
    }
}
