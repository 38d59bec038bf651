//! When to look at which stream: the wake-up times of all deadlines of a system.
//!
//! INVARIANT: for each stream whose durable deadline is armed there is a time here that is not later, or its alarm is
//! on the way. A time may be stale: whoever is woken looks at what is durable, and at nothing else.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::id::StreamNo;
use crate::journal::as_stored;
use crate::journal::bytes::micros;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A stream, and when to look at it.
pub(crate) type Wake = (Timestamp, StreamNo);

/// The pause before an alarm that failed is rung again: as long as it has failed already, between these two.
const AGAIN_AFTER_MIN: SignedDuration = SignedDuration::from_secs(1);
const AGAIN_AFTER_MAX: SignedDuration = SignedDuration::from_secs(300);

/// The wake-up times of a system; shards add to it, one task takes from it.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    times: Mutex<Times>,
    /// The first time has changed to an earlier one.
    sooner: Notify,
}

/// A wake-up time in as few bytes as it takes, since there may be millions.
type Packed = (i64, u64);

fn packed((at, stream): Wake) -> Packed {
    (micros(at), stream.0)
}

fn unpacked((at, stream): Packed) -> Wake {
    // It was a `Timestamp` before, so it still is one.
    (Timestamp::from_microsecond(at).unwrap_or(Timestamp::MAX), StreamNo(stream))
}

/// The first time that can be stored and isn't before this one.
fn not_before_stored(time: Timestamp) -> Timestamp {
    let stored = as_stored(time);
    let next = if stored < time { stored.saturating_add(SignedDuration::from_micros(1)) } else { Ok(stored) };
    next.unwrap_or(stored)
}

#[derive(Debug, Default)]
struct Times {
    wakes: BTreeSet<Packed>,
    /// Those that failed, until one of the same stream doesn't.
    failed: BTreeMap<StreamNo, Failed>,
    /// Times of aggregates that nobody has made known, by their names.
    parked: BTreeMap<Arc<str>, Vec<Wake>>,
}

/// An alarm that has to be rung again.
#[derive(Debug)]
struct Failed {
    /// When it was to ring first.
    since: Timestamp,
    /// For which of its entity's deadlines it rang last.
    due: Timestamp,
    /// When it rings again.
    again_at: Timestamp,
}

impl Schedule {
    fn lock(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a deadline, and tells when it will be looked at: when it is due, or later if it has failed before and makes
    /// a pause.
    pub(crate) fn arm(&self, due: Timestamp, stream: StreamNo) -> Timestamp {
        let times = self.lock();
        let failed = times.failed.get(&stream).filter(|failed| failed.due == due);
        let at = failed.map_or(due, |failed| failed.again_at);
        self.insert(times, (at, stream));
        at
    }

    fn insert(&self, mut times: MutexGuard<'_, Times>, wake: Wake) {
        let wake = packed(wake);
        let sooner = times.wakes.first().is_none_or(|(first, _)| wake.0 < *first);
        times.wakes.insert(wake);
        drop(times);
        if sooner {
            self.sooner.notify_one();
        }
    }

    /// Adds an alarm that failed, for after a pause and not before `not_before`; tells when it rings again. There is one
    /// such time for each stream.
    pub(crate) fn again(&self, (at, stream): Wake, now: Timestamp, not_before: Timestamp) -> Timestamp {
        let mut times = self.lock();
        let Times { wakes, failed, .. } = &mut *times;
        let failed = failed.entry(stream).or_insert(Failed { since: at, due: at, again_at: at });
        if at != failed.again_at {
            (failed.due, failed.since) = (at, at);
        }
        // ORDER: one that waits already isn't moved, since its entity may rely on it.
        if !wakes.contains(&packed((failed.again_at, stream))) {
            let pause = now.duration_since(failed.since).clamp(AGAIN_AFTER_MIN, AGAIN_AFTER_MAX);
            failed.again_at = not_before_stored(now.saturating_add(pause).unwrap_or(Timestamp::MAX).max(not_before));
        }
        let again_at = failed.again_at;
        self.insert(times, (again_at, stream));
        again_at
    }

    /// An alarm of this stream was handled: its deadlines make no pause any more.
    pub(crate) fn handled(&self, stream: StreamNo) {
        self.lock().failed.remove(&stream);
    }

    /// Takes a time back, since the deadline that it stood for is none any more.
    pub(crate) fn disarm(&self, at: Timestamp, stream: StreamNo) {
        let mut times = self.lock();
        times.wakes.remove(&packed((at, stream)));
        times.failed.remove(&stream);
    }

    /// Adds many at once.
    pub(crate) fn extend(&self, wakes: impl IntoIterator<Item = Wake>) {
        // Made at once, its nodes are full; one by one in order, they would be filled by half.
        let mut added: BTreeSet<_> = wakes.into_iter().map(packed).collect();
        self.lock().wakes.append(&mut added);
        self.sooner.notify_one();
    }

    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.lock().wakes.first().map(|wake| unpacked(*wake).0)
    }

    /// Takes the earliest that are not later than `now`.
    pub(crate) fn take_due(&self, now: Timestamp, max: usize) -> Vec<Wake> {
        let mut times = self.lock();
        let mut due = Vec::new();
        while due.len() < max
            && let Some(first) = times.wakes.first().copied()
            && let wake = unpacked(first)
            && wake.0 <= now
        {
            times.wakes.remove(&first);
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
        times.wakes.extend(parked.into_iter().map(packed));
        drop(times);
        self.sooner.notify_one();
    }

    /// Ends when there may be an earlier first time than before.
    pub(crate) async fn sooner(&self) {
        self.sooner.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamNo = StreamNo(7);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Takes the only wake-up time.
    fn take(schedule: &Schedule, second: i64) -> Vec<Wake> {
        schedule.take_due(at(second), 10)
    }

    #[test]
    fn the_earliest_are_taken_first_and_none_too_early() {
        let schedule = Schedule::default();
        for second in [30, 10, 20] {
            schedule.arm(at(second), STREAM);
        }
        assert_eq!(schedule.first(), Some(at(10)));
        assert_eq!(schedule.take_due(at(25), 1), [(at(10), STREAM)]);
        assert_eq!(take(&schedule, 25), [(at(20), STREAM)]);
        assert_eq!(take(&schedule, 29), []);
        schedule.disarm(at(30), STREAM);
        assert_eq!(schedule.first(), None);
    }

    #[test]
    fn what_fails_pauses_as_long_as_it_has_failed_already() {
        let schedule = Schedule::default();
        schedule.arm(at(100), STREAM);
        let (mut now, mut pauses) = (100, Vec::new());
        for _ in 0..12 {
            let [wake] = take(&schedule, now)[..] else { panic!("it is not there") };
            let again = schedule.again(wake, at(now), at(now));
            pauses.push(again.as_second() - now);
            assert_eq!(take(&schedule, again.as_second() - 1), []);
            now = again.as_second();
        }
        assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn what_fails_is_not_tried_before_it_may() {
        let schedule = Schedule::default();
        assert_eq!(schedule.again((at(100), STREAM), at(100), at(160)), at(160));
        assert_eq!(take(&schedule, 159), []);
    }

    #[test]
    fn a_pause_is_not_over_before_its_last_nanosecond() {
        let schedule = Schedule::default();
        let not_before = Timestamp::from_nanosecond(160_000_000_001).unwrap();
        let again = schedule.again((at(100), STREAM), at(100), not_before);
        assert_eq!(again.as_nanosecond(), 160_000_001_000);
        assert_eq!(schedule.take_due(not_before, 10), []);
        assert_eq!(schedule.take_due(again, 10), [(again, STREAM)]);
    }

    #[test]
    fn a_deadline_that_pauses_is_not_armed_before_and_another_one_is() {
        let schedule = Schedule::default();
        schedule.again((at(100), STREAM), at(150), at(150));
        assert_eq!(schedule.arm(at(100), STREAM), at(200), "it pauses");
        assert_eq!(schedule.arm(at(120), STREAM), at(120), "that is another one");
    }

    #[test]
    fn what_was_handled_makes_no_pause_the_next_time() {
        let schedule = Schedule::default();
        schedule.again((at(100), STREAM), at(400), at(400));
        schedule.handled(STREAM);
        assert_eq!(schedule.arm(at(100), STREAM), at(100));
        take(&schedule, 1000);
        assert_eq!(schedule.again((at(1000), STREAM), at(1000), at(1000)), at(1001));
    }

    #[test]
    fn a_deadline_behind_one_that_failed_and_was_left_begins_with_the_shortest_pause() {
        let schedule = Schedule::default();
        let again = schedule.again((at(100), STREAM), at(400), at(400));
        schedule.disarm(again, STREAM);
        assert_eq!(schedule.again((at(90_000), STREAM), at(90_000), at(90_000)), at(90_001));
    }

    #[test]
    fn another_deadline_that_fails_has_a_pause_of_its_own() {
        let schedule = Schedule::default();
        schedule.again((at(100), STREAM), at(400), at(400));
        take(&schedule, 1000);
        assert_eq!(schedule.again((at(90_000), STREAM), at(90_000), at(90_000)), at(90_001));
        assert_eq!(schedule.arm(at(90_000), STREAM), at(90_001), "it pauses");
    }

    #[test]
    fn there_is_one_time_for_a_stream_that_fails_twice() {
        let schedule = Schedule::default();
        let first = schedule.again((at(100), STREAM), at(100), at(100));
        let second = schedule.again((at(100), STREAM), at(110), at(110));
        assert_eq!(first, second, "its entity may rely on the first");
        assert_eq!(take(&schedule, 1000).len(), 1);
    }

    #[test]
    fn what_nobody_knows_waits_until_somebody_does() {
        let schedule = Schedule::default();
        let name = Arc::from("Lamp");
        assert!(schedule.park(&name, (at(1), STREAM)), "the first is worth a word");
        assert!(!schedule.park(&name, (at(2), StreamNo(8))));
        schedule.unpark("Lantern");
        assert_eq!(schedule.first(), None);
        schedule.unpark("Lamp");
        assert_eq!(take(&schedule, 5).len(), 2);
    }
}
