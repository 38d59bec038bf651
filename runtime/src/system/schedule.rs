//! When to look at which stream: the wake-up times of all deadlines of a system.
//!
//! INVARIANT: for each stream whose durable deadline is armed there is a time here that is not later, or its alarm is
//! on the way. A time may be stale: whoever is woken looks at what is durable, and at nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::id::StreamNo;

/// A stream, and when to look at it.
pub(crate) type Wake = (Timestamp, StreamNo);

/// The wake-up times of a system; shards add to it, one task takes from it.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    times: Mutex<Times>,
    /// The first time has changed to an earlier one.
    sooner: Notify,
}

#[derive(Debug, Default)]
struct Times {
    wakes: BTreeSet<Wake>,
    /// Times of aggregates that nobody has made known, by their names.
    parked: BTreeMap<Arc<str>, Vec<Wake>>,
}

impl Schedule {
    fn lock(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn arm(&self, at: Timestamp, stream: StreamNo) {
        let mut times = self.lock();
        let sooner = times.wakes.first().is_none_or(|(first, _)| at < *first);
        times.wakes.insert((at, stream));
        drop(times);
        if sooner {
            self.sooner.notify_one();
        }
    }

    pub(crate) fn disarm(&self, at: Timestamp, stream: StreamNo) {
        self.lock().wakes.remove(&(at, stream));
    }

    /// Adds many at once.
    pub(crate) fn extend(&self, wakes: impl IntoIterator<Item = Wake>) {
        self.lock().wakes.extend(wakes);
        self.sooner.notify_one();
    }

    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.lock().wakes.first().map(|(at, _)| *at)
    }

    /// Takes the earliest that are not later than `now`.
    pub(crate) fn take_due(&self, now: Timestamp, max: usize) -> Vec<Wake> {
        let mut times = self.lock();
        let mut due = Vec::new();
        while due.len() < max
            && let Some(wake) = times.wakes.first().copied().filter(|(at, _)| *at <= now)
        {
            times.wakes.remove(&wake);
            due.push(wake);
        }
        due
    }

    /// Puts a time aside until its aggregate is known; tells whether it is the first of that name.
    pub(crate) fn park(&self, aggregate: &Arc<str>, wake: Wake) -> bool {
        let mut times = self.lock();
        let parked = times.parked.entry(aggregate.clone()).or_default();
        parked.push(wake);
        parked.len() == 1
    }

    /// Takes back what was put aside for an aggregate that is known now.
    pub(crate) fn unpark(&self, aggregate: &str) {
        let mut times = self.lock();
        let Some(parked) = times.parked.remove(aggregate) else { return };
        times.wakes.extend(parked);
        drop(times);
        self.sooner.notify_one();
    }

    /// Ends when there may be an earlier first time than before.
    pub(crate) async fn sooner(&self) {
        self.sooner.notified().await;
    }
}
