//! Snapshots in memory.

use std::collections::{BTreeMap, HashMap};

use super::{Criteria, SnapshotMeta, SnapshotStore, SnapshotStoreError, StoredSnapshot};
use crate::id::{PersistenceId, SeqNr};
use crate::journal::{Durability, Fut, as_stored, lock};
use crate::sync::{Arc, Mutex};

/// Keeps snapshots in memory; clones share them.
///
/// It suits tests, and a journal in memory: no events of a journal on a disk are ever deleted for such a snapshot, since
/// it survives less than they do.
///
/// # Examples
///
/// ```
/// use annals::snapshot::{Criteria, MemorySnapshots, SnapshotStore, StoredSnapshot};
/// use annals::{PersistenceId, SeqNr, Timestamp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemorySnapshots::new();
/// let seen = store.clone();
/// let alice = PersistenceId::new("account", "alice");
/// let snapshot = StoredSnapshot { seq_nr: SeqNr(7), time: Timestamp::UNIX_EPOCH, bytes: vec![1, 2, 3] };
/// store.save(&alice, snapshot.clone()).await?;
/// assert_eq!(seen.list(&alice).await?, [snapshot.meta()]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemorySnapshots {
    stored: Arc<Mutex<HashMap<PersistenceId, BTreeMap<SeqNr, StoredSnapshot>>>>,
}

impl MemorySnapshots {
    /// Makes an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn save_now(&self, id: &PersistenceId, snapshot: StoredSnapshot) -> Result<(), SnapshotStoreError> {
        super::check(id, &snapshot)?;
        let snapshot = StoredSnapshot { time: as_stored(snapshot.time), ..snapshot };
        lock(&self.stored).entry(id.clone()).or_default().insert(snapshot.seq_nr, snapshot);
        Ok(())
    }

    fn load_now(&self, id: &PersistenceId, criteria: Criteria) -> Result<Option<StoredSnapshot>, SnapshotStoreError> {
        super::check_id(id)?;
        let stored = lock(&self.stored);
        let of_id = stored.get(id).into_iter().flat_map(|of_id| of_id.values().rev());
        Ok(of_id.into_iter().find(|snapshot| criteria.allows(&snapshot.meta())).cloned())
    }

    fn list_now(&self, id: &PersistenceId) -> Result<Vec<SnapshotMeta>, SnapshotStoreError> {
        super::check_id(id)?;
        let stored = lock(&self.stored);
        Ok(stored.get(id).into_iter().flat_map(|of_id| of_id.values().rev()).map(StoredSnapshot::meta).collect())
    }

    fn delete_now(
        &self,
        id: &PersistenceId,
        is_meant: impl Fn(&SnapshotMeta) -> bool,
    ) -> Result<usize, SnapshotStoreError> {
        super::check_id(id)?;
        let mut stored = lock(&self.stored);
        let Some(of_id) = stored.get_mut(id) else { return Ok(0) };
        let before = of_id.len();
        of_id.retain(|_, snapshot| !is_meant(&snapshot.meta()));
        let deleted = before - of_id.len();
        if of_id.is_empty() {
            stored.remove(id);
        }
        Ok(deleted)
    }
}

impl SnapshotStore for MemorySnapshots {
    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn save(&self, id: &PersistenceId, snapshot: StoredSnapshot) -> Fut<'_, Result<(), SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move { self.save_now(&id, snapshot) })
    }

    fn load(
        &self,
        id: &PersistenceId,
        criteria: Criteria,
    ) -> Fut<'_, Result<Option<StoredSnapshot>, SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move { self.load_now(&id, criteria) })
    }

    fn list(&self, id: &PersistenceId) -> Fut<'_, Result<Vec<SnapshotMeta>, SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move { self.list_now(&id) })
    }

    fn delete(&self, id: &PersistenceId, seq_nr: SeqNr) -> Fut<'_, Result<(), SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move { self.delete_now(&id, |meta| meta.seq_nr == seq_nr).map(|_| ()) })
    }

    fn delete_matching(&self, id: &PersistenceId, criteria: Criteria) -> Fut<'_, Result<usize, SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move { self.delete_now(&id, |meta| criteria.allows(meta)) })
    }
}

impl std::fmt::Debug for MemorySnapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemorySnapshots").field("entities", &lock(&self.stored).len()).finish()
    }
}
