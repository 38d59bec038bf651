//! A store of snapshots that a test can look into, and that fails when it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use annals::journal::{Durability, Fut};
use annals::prelude::*;
use annals::snapshot::{Criteria, SnapshotMeta, SnapshotStore, SnapshotStoreError, StoredSnapshot};
use annals::{PersistenceId, SeqNr, Snapshot};

/// Counts, and keeps two snapshots: it takes one after each second record.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, Snapshot)]
pub(crate) struct Tally {
    pub(crate) count: u64,
}

#[aggregate(snapshot(every = 2, keep = 2))]
impl Tally {
    #[event]
    fn counted(&mut self, by: u64) {
        self.count += by;
    }

    #[command]
    fn count(&self, by: u64) -> Step<u64> {
        applying(TallyEvent::Counted { by }).replying(self.count + by)
    }
}

/// The same, which deletes what its snapshots stand for.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, Snapshot)]
pub(crate) struct Short {
    pub(crate) count: u64,
}

#[aggregate(snapshot(every = 2, keep = 2), retain = since_snapshot)]
impl Short {
    #[event]
    fn counted(&mut self, by: u64) {
        self.count += by;
    }

    #[command]
    fn count(&self, by: u64) -> Step<u64> {
        applying(ShortEvent::Counted { by }).replying(self.count + by)
    }
}

#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    snapshots: BTreeMap<(PersistenceId, SeqNr), StoredSnapshot>,
    fails: bool,
}

impl Shelf {
    /// Lets everything fail, or not any more.
    pub(crate) fn fail(&self, fails: bool) {
        self.0.lock().unwrap().fails = fails;
    }

    /// The sequence numbers of an entity's snapshots.
    pub(crate) fn of(&self, aggregate: &str, entity: &str) -> Vec<u64> {
        let id = PersistenceId::new(aggregate, entity);
        self.0.lock().unwrap().snapshots.keys().filter(|(of, _)| *of == id).map(|(_, seq_nr)| seq_nr.0).collect()
    }

    /// Damages a snapshot.
    pub(crate) fn damage(&self, aggregate: &str, entity: &str, seq_nr: u64) {
        let key = (PersistenceId::new(aggregate, entity), SeqNr(seq_nr));
        self.0.lock().unwrap().snapshots.get_mut(&key).unwrap().bytes[40] ^= 1;
    }

    fn act<T: Send + 'static>(
        &self,
        tried: &'static str,
        id: &PersistenceId,
        act: impl FnOnce(&mut BTreeMap<(PersistenceId, SeqNr), StoredSnapshot>) -> T,
    ) -> Fut<'static, Result<T, SnapshotStoreError>> {
        let mut inside = self.0.lock().unwrap();
        let fails = inside.fails.then(|| SnapshotStoreError::Failed { tried, id: id.clone(), error: "as told".into() });
        let done = fails.map_or_else(|| Ok(act(&mut inside.snapshots)), Err);
        Box::pin(std::future::ready(done))
    }
}

impl SnapshotStore for Shelf {
    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn save(&self, id: &PersistenceId, snapshot: StoredSnapshot) -> Fut<'_, Result<(), SnapshotStoreError>> {
        self.act("save", id, |all| drop(all.insert((id.clone(), snapshot.seq_nr), snapshot)))
    }

    fn load(
        &self,
        id: &PersistenceId,
        criteria: Criteria,
    ) -> Fut<'_, Result<Option<StoredSnapshot>, SnapshotStoreError>> {
        self.act("load", id, |all| {
            let mut own = all.iter().filter(|((of, _), stored)| of == id && criteria.allows(&stored.meta()));
            own.next_back().map(|(_, stored)| stored.clone())
        })
    }

    fn list(&self, id: &PersistenceId) -> Fut<'_, Result<Vec<SnapshotMeta>, SnapshotStoreError>> {
        self.act("list", id, |all| {
            all.iter().rev().filter(|((of, _), _)| of == id).map(|(_, stored)| stored.meta()).collect()
        })
    }

    fn delete(&self, id: &PersistenceId, seq_nr: SeqNr) -> Fut<'_, Result<(), SnapshotStoreError>> {
        self.act("delete", id, |all| drop(all.remove(&(id.clone(), seq_nr))))
    }

    fn delete_matching(&self, id: &PersistenceId, criteria: Criteria) -> Fut<'_, Result<usize, SnapshotStoreError>> {
        self.act("delete", id, |all| {
            let before = all.len();
            all.retain(|(of, _), stored| of != id || !criteria.allows(&stored.meta()));
            before - all.len()
        })
    }
}
