//! Where the time comes from.

use jiff::Timestamp;

/// Tells the time to handlers and to the records that are stored.
///
/// A clock may jump: an entity never sees a time before that of its last stored record.
pub trait Clock: Send + Sync + 'static {
    /// The time now. annals keeps microseconds of it.
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
