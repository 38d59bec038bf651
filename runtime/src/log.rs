//! Lines of the log. Whatever listens to them is the user's: a subscriber that panics loses its line and harms nothing
//! else. One that blocks holds up who writes the line: so nothing is said for each command, and of what goes wrong again
//! and again only the first, and then less and less.

use std::time::Duration;

use tokio::time::Instant;
use tracing::span::EnteredSpan;

use crate::contain::contained;

macro_rules! error_ {
    ($($line:tt)*) => { $crate::log::guarded(|| ::tracing::error!($($line)*)) };
}
macro_rules! warn_ {
    ($($line:tt)*) => { $crate::log::guarded(|| ::tracing::warn!($($line)*)) };
}
macro_rules! debug_ {
    ($($line:tt)*) => { $crate::log::guarded(|| ::tracing::debug!($($line)*)) };
}
macro_rules! info_ {
    ($($line:tt)*) => { $crate::log::guarded(|| ::tracing::info!($($line)*)) };
}
pub(crate) use {debug_ as debug, error_ as error, info_ as info, warn_ as warn};

#[cfg(feature = "fjall")]
macro_rules! trace_ {
    ($($line:tt)*) => { $crate::log::guarded(|| ::tracing::trace!($($line)*)) };
}
#[cfg(feature = "fjall")]
pub(crate) use trace_ as trace;

/// Writes a line.
pub(crate) fn guarded(write: impl FnOnce()) {
    // What is there to say, and to whom?
    let _lost = contained(write);
}

/// A span that is entered as long as this lives.
pub(crate) struct Entered(Option<EnteredSpan>);

impl Entered {
    pub(crate) fn new(make: impl FnOnce() -> EnteredSpan) -> Self {
        Self(contained(make).ok())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(span) = self.0.take() {
            guarded(|| drop(span));
        }
    }
}

/// So many lines of one kind are written whenever they come.
const FREE: u32 = 8;
/// Then there is so much time between them, and twice as much each time, up to the longest.
const GAP_MIN: Duration = Duration::from_secs(1);
const GAP_MAX: Duration = Duration::from_secs(64);
/// When nothing has come for so long, all begins anew.
const CALM: Duration = Duration::from_secs(128);

/// Lets lines of one kind pass, and then fewer and fewer.
#[derive(Debug)]
pub(crate) struct Throttle {
    free: u32,
    gap: Duration,
    /// When the last came, said or not.
    came: Option<Instant>,
    said: Option<Instant>,
    unsaid: u64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { free: FREE, gap: GAP_MIN, came: None, said: None, unsaid: 0 }
    }
}

impl Throttle {
    /// Whether a line may be written now, and how many were left out before it.
    pub(crate) fn may_speak(&mut self) -> Option<u64> {
        self.may_speak_at(Instant::now())
    }

    fn may_speak_at(&mut self, now: Instant) -> Option<u64> {
        if self.came.is_some_and(|came| now.duration_since(came) >= CALM) {
            *self = Self { unsaid: self.unsaid, ..Self::default() };
        }
        self.came = Some(now);
        if self.free > 0 {
            self.free -= 1;
        } else if self.said.is_some_and(|said| now.duration_since(said) < self.gap) {
            self.unsaid += 1;
            return None;
        } else {
            self.gap = (self.gap * 2).min(GAP_MAX);
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// What a shard says again and again.
#[derive(Debug, Default)]
pub(crate) struct Throttles {
    pub(crate) quarantine: Throttle,
    pub(crate) panic: Throttle,
    pub(crate) write: Throttle,
    pub(crate) slow: Throttle,
    pub(crate) snapshot: Throttle,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_said_and_then_fewer_and_fewer() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let mut said = Vec::new();
        let mut told = 0;
        // Each tenth of a second, for ten minutes.
        for tenth in 0..6000 {
            if let Some(unsaid) = throttle.may_speak_at(start + Duration::from_millis(tenth * 100)) {
                said.push(tenth);
                told += unsaid + 1;
            }
        }
        assert_eq!(said[..8], [0, 1, 2, 3, 4, 5, 6, 7]);
        let gaps: Vec<_> = said.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.is_sorted() && gaps[7] == 10 && *gaps.last().unwrap() == 640, "{gaps:?}");
        assert!(said.len() < 30);
        assert_eq!(told, *said.last().unwrap() + 1, "what is left out is counted");
    }

    #[test]
    fn after_a_calm_time_it_begins_anew() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let say = |throttle: &mut Throttle, seconds| throttle.may_speak_at(start + Duration::from_secs(seconds));
        for _ in 0..8 {
            assert_eq!(say(&mut throttle, 0), Some(0));
        }
        assert_eq!((say(&mut throttle, 0), say(&mut throttle, 0)), (None, None));
        assert_eq!(say(&mut throttle, 200), Some(2));
        assert_eq!(say(&mut throttle, 200), Some(0));
    }
}
