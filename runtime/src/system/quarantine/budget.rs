//! How often new commands may break an entity's data before it is left alone.
//!
//! A command whose fold panics costs a replay of the whole stream. So there are some in a row that are answered by a
//! replay at once; then one for each of the first pause, or the entity is quarantined.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Backoff, Quarantined, Trouble, later};
use crate::id::{PersistenceId, SeqNr};

/// What has broken an entity lately.
#[derive(Debug)]
pub(crate) struct Budget {
    /// How many more may do so now.
    left: u32,
    /// When it last grew.
    counted: Timestamp,
    /// How often it was used up.
    used_up: u32,
    since: Timestamp,
    /// What it was used up by, until the entity is quarantined for it.
    last: Option<Broken>,
}

/// A command whose fold panicked.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) command: &'static str,
    /// The record that it was to begin with.
    pub(crate) seq_nr: SeqNr,
    pub(crate) panic: Arc<str>,
}

impl Budget {
    pub(crate) fn new(max: u32, now: Timestamp) -> Self {
        Self { left: max, counted: now, used_up: 0, since: now, last: None }
    }

    /// Grows by one for each pause that has passed.
    fn grow(&mut self, max: u32, each: Duration, now: Timestamp) {
        let passed = Duration::try_from(now.duration_since(self.counted)).unwrap_or_default();
        let grown = u32::try_from(passed.as_nanos() / each.as_nanos().max(1)).unwrap_or(u32::MAX);
        if grown == 0 {
            return;
        }
        self.left = self.left.saturating_add(grown).min(max);
        self.counted = now;
        if self.left == max {
            (self.used_up, self.since) = (0, now);
        }
    }

    /// One more. If that was too many, [`Budget::take_quarantine`] says what follows.
    pub(crate) fn spend(&mut self, broken: Broken, max: u32, each: Duration, now: Timestamp) {
        self.grow(max, each, now);
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.last = Some(broken),
        }
    }

    /// The quarantine for what was too many.
    pub(crate) fn take_quarantine(
        &mut self,
        id: PersistenceId,
        (backoff, hash, now): (Backoff, u64, Timestamp),
    ) -> Option<Quarantined> {
        let Broken { command, seq_nr, panic } = self.last.take()?;
        let retry_at = later(now, backoff.pause(hash, self.used_up));
        self.used_up = self.used_up.saturating_add(1);
        // What passes meanwhile doesn't count: then the pauses couldn't grow.
        self.counted = retry_at;
        let reason = format!(
            "what is stored can be loaded, but commands make its folds panic again and again, and each time it is loaded \
             anew; the last one is `{command}`: {panic}"
        );
        Some(Quarantined {
            id,
            trouble: Trouble::Commands,
            seq_nr,
            offset: None,
            event: None,
            reason: reason.into(),
            failures: self.used_up,
            since: self.since,
            retry_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(4), seed: 7 };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn spend(budget: &mut Budget, now: Timestamp) -> Option<Quarantined> {
        let broken = Broken { command: "curse", seq_nr: SeqNr(3), panic: "cursed".into() };
        budget.spend(broken, 2, BACKOFF.first, now);
        budget.take_quarantine(PersistenceId::new("Account", "alice"), (BACKOFF, 1, now))
    }

    #[test]
    fn so_many_are_free_and_then_the_pauses_grow() {
        let mut budget = Budget::new(2, at(0));
        assert_eq!((spend(&mut budget, at(0)), spend(&mut budget, at(0))), (None, None));
        let mut now = at(0);
        for (failures, longest) in [(1, 1), (2, 2), (3, 4), (4, 4)] {
            let quarantined = spend(&mut budget, now).unwrap();
            assert_eq!((quarantined.failures, quarantined.since), (failures, at(0)));
            let pause = quarantined.retry_at.duration_since(now).as_millis();
            assert!(pause > longest * 700 && pause <= longest * 1000, "{pause}");
            now = quarantined.retry_at;
        }
    }

    #[test]
    fn one_for_each_pause_is_free() {
        let mut budget = Budget::new(2, at(0));
        for second in 0..20 {
            assert_eq!(spend(&mut budget, at(second)), None, "{second}");
        }
    }

    #[test]
    fn after_a_calm_time_it_begins_anew() {
        let mut budget = Budget::new(2, at(0));
        while spend(&mut budget, at(0)).is_none() {}
        assert_eq!(spend(&mut budget, at(100)), None);
        assert_eq!(spend(&mut budget, at(100)), None);
        let again = spend(&mut budget, at(100)).unwrap();
        assert_eq!((again.failures, again.since), (1, at(100)));
    }
}
