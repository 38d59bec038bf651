//! Which entities are in quarantine: the newest of a system, in full.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Quarantined;
use crate::id::PersistenceId;

/// How many are known in full. One mistake in the program may quarantine all entities of an aggregate.
pub(crate) const WARD_MAX: usize = 1024;

/// The newest entities in quarantine, of all shards. It outlasts their stay in memory.
#[derive(Debug, Default)]
pub(crate) struct Ward {
    beds: Mutex<Beds>,
    /// How many there are, for those who only look whether there is one.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Beds {
    by_id: HashMap<PersistenceId, (u64, Arc<Quarantined>)>,
    /// The oldest attempt first.
    by_age: BTreeMap<u64, PersistenceId>,
    next: u64,
}

impl Ward {
    fn lock(&self) -> MutexGuard<'_, Beds> {
        self.beds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one in, in place of what was known of it, and of the oldest if there are too many.
    pub(crate) fn enter(&self, quarantined: Arc<Quarantined>) {
        let mut beds = self.lock();
        let (number, id) = (beds.next, quarantined.id.clone());
        beds.next += 1;
        if let Some((before, _)) = beds.by_id.insert(id.clone(), (number, quarantined)) {
            beds.by_age.remove(&before);
        }
        beds.by_age.insert(number, id);
        if beds.by_id.len() > WARD_MAX
            && let Some((_, oldest)) = beds.by_age.pop_first()
        {
            beds.by_id.remove(&oldest);
        }
        self.count.store(beds.by_id.len(), Ordering::Release);
    }

    /// Lets one go, if it is here.
    pub(crate) fn leave(&self, id: &PersistenceId) {
        let mut beds = self.lock();
        if let Some((number, _)) = beds.by_id.remove(id) {
            beds.by_age.remove(&number);
        }
        self.count.store(beds.by_id.len(), Ordering::Release);
    }

    /// Whether nobody is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    pub(crate) fn get(&self, id: &PersistenceId) -> Option<Arc<Quarantined>> {
        self.lock().by_id.get(id).map(|(_, quarantined)| quarantined.clone())
    }

    /// All, the newest first.
    pub(crate) fn all(&self) -> Vec<Arc<Quarantined>> {
        let beds = self.lock();
        let known = beds.by_age.values().rev().filter_map(|id| beds.by_id.get(id));
        known.map(|(_, quarantined)| quarantined.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::id::SeqNr;
    use crate::system::quarantine::Trouble;

    fn quarantined(number: usize, failures: u32) -> Arc<Quarantined> {
        Arc::new(Quarantined {
            id: PersistenceId::new("Account", number.to_string()),
            trouble: Trouble::Event,
            seq_nr: SeqNr(1),
            offset: None,
            event: None,
            reason: "for a test".into(),
            failures,
            since: Timestamp::UNIX_EPOCH,
            retry_at: Timestamp::UNIX_EPOCH,
        })
    }

    #[test]
    fn the_newest_are_known_and_the_oldest_go() {
        let ward = Ward::default();
        (0..WARD_MAX + 10).for_each(|number| ward.enter(quarantined(number, 1)));
        let all = ward.all();
        assert_eq!((all.len(), ward.lock().by_age.len()), (WARD_MAX, WARD_MAX));
        assert_eq!((&all[0], &all[WARD_MAX - 1]), (&quarantined(WARD_MAX + 9, 1), &quarantined(10, 1)));
        assert_eq!(ward.get(&quarantined(9, 1).id), None);
    }

    #[test]
    fn another_attempt_takes_the_place_of_the_one_before() {
        let ward = Ward::default();
        assert!(ward.is_empty());
        for number in [1, 2, 1] {
            ward.enter(quarantined(number, 1));
        }
        ward.enter(quarantined(1, 2));
        assert_eq!(ward.all(), [quarantined(1, 2), quarantined(2, 1)]);
        for number in [1, 2, 3] {
            ward.leave(&quarantined(number, 1).id);
        }
        assert!(ward.is_empty() && ward.all().is_empty() && ward.lock().by_age.is_empty());
    }
}
