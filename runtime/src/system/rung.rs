//! What became of an alarm that the timekeeper rang.

use tokio::sync::mpsc;

use crate::alarm::Report;
use crate::call::Failure;
use crate::system::schedule::Wake;

/// What became of an alarm.
#[derive(Debug)]
pub(crate) enum Rung {
    /// It was heard. If there is another deadline, the entity has armed it.
    Heard,
    /// It has to be rung again.
    Again { wake: Wake, why: Option<Failure> },
}

/// Tells the timekeeper what became of an alarm, whatever happens to it.
pub(crate) struct ToTimekeeper {
    to: mpsc::Sender<Rung>,
    wake: Option<Wake>,
}

impl ToTimekeeper {
    /// `to` has room for the report of every alarm on its way.
    pub(crate) fn new(to: mpsc::Sender<Rung>, wake: Wake) -> Self {
        Self { to, wake: Some(wake) }
    }

    fn ring_again(&mut self, why: Option<Failure>) {
        if let Some(wake) = self.wake.take() {
            // Nobody hears it any more when the system goes down.
            let _ = self.to.try_send(Rung::Again { wake, why });
        }
    }
}

impl Report for ToTimekeeper {
    fn heard(mut self) {
        self.wake = None;
        let _ = self.to.try_send(Rung::Heard);
    }

    fn failed(mut self, why: Failure) {
        self.ring_again(Some(why));
    }
}

impl Drop for ToTimekeeper {
    fn drop(&mut self) {
        self.ring_again(None);
    }
}

/// For an entity that has another message to handle and notices that its time was over before. If it fails, the alarm
/// that was set in time says so.
pub(crate) struct Noticed;

impl Report for Noticed {
    fn heard(self) {}

    fn failed(self, _: Failure) {}
}
