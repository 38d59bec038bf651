//! The stores of snapshots that come with annals.

use std::sync::Arc;

use annals::journal::{Durability, FjallJournal, FjallOptions, Fut, Journal};
use annals::snapshot::{
    Criteria, DirSnapshots, MemorySnapshots, SnapshotMeta, SnapshotStore, SnapshotStoreError, StoredSnapshot,
};
use annals::testing::conformance::snapshots::SnapshotPlace;
use annals::{PersistenceId, SeqNr};
use tempfile::TempDir;

use crate::journals::copy;

/// Snapshots in memory, which outlive their handles.
pub(crate) struct Memory(pub(crate) MemorySnapshots);

impl Memory {
    pub(crate) fn new() -> Self {
        Self(MemorySnapshots::new())
    }
}

impl SnapshotPlace for Memory {
    fn open(&self) -> Box<dyn SnapshotStore> {
        Box::new(self.0.clone())
    }
}

/// Snapshots as files. A crash is a copy of them that is made while the store is open.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl SnapshotPlace for Files {
    fn open(&self) -> Box<dyn SnapshotStore> {
        Box::new(DirSnapshots::open(self.0.path().join("snapshots")).unwrap())
    }

    fn crash(&mut self, store: Box<dyn SnapshotStore>) {
        let dir = tempfile::tempdir().unwrap();
        copy(&self.0.path().join("snapshots"), &dir.path().join("snapshots"));
        drop(store);
        self.0 = dir;
    }
}

/// Snapshots beside a journal, which is opened and closed with them.
struct BesideJournal(TempDir);

impl BesideJournal {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl SnapshotPlace for BesideJournal {
    fn open(&self) -> Box<dyn SnapshotStore> {
        let journal = FjallJournal::open(self.0.path().join("journal"), FjallOptions::new()).unwrap();
        let store = journal.snapshots().unwrap();
        Box::new(Kept { store, _journal: journal })
    }

    fn crash(&mut self, store: Box<dyn SnapshotStore>) {
        let dir = tempfile::tempdir().unwrap();
        copy(&self.0.path().join("journal"), &dir.path().join("journal"));
        drop(store);
        self.0 = dir;
    }
}

/// The snapshots of a journal, which stays open with them.
struct Kept {
    store: Arc<dyn SnapshotStore>,
    _journal: FjallJournal,
}

impl SnapshotStore for Kept {
    fn durability(&self) -> Durability {
        self.store.durability()
    }

    fn save(&self, id: &PersistenceId, snapshot: StoredSnapshot) -> Fut<'_, Result<(), SnapshotStoreError>> {
        self.store.save(id, snapshot)
    }

    fn load(
        &self,
        id: &PersistenceId,
        criteria: Criteria,
    ) -> Fut<'_, Result<Option<StoredSnapshot>, SnapshotStoreError>> {
        self.store.load(id, criteria)
    }

    fn list(&self, id: &PersistenceId) -> Fut<'_, Result<Vec<SnapshotMeta>, SnapshotStoreError>> {
        self.store.list(id)
    }

    fn delete(&self, id: &PersistenceId, seq_nr: SeqNr) -> Fut<'_, Result<(), SnapshotStoreError>> {
        self.store.delete(id, seq_nr)
    }

    fn delete_matching(&self, id: &PersistenceId, criteria: Criteria) -> Fut<'_, Result<usize, SnapshotStoreError>> {
        self.store.delete_matching(id, criteria)
    }
}

mod memory {
    use super::Memory;

    annals::snapshot_store_conformance!(Memory::new());
}

mod files {
    use super::Files;

    annals::snapshot_store_conformance!(Files::new());
}

mod beside_journal {
    use super::BesideJournal;

    annals::snapshot_store_conformance!(BesideJournal::new());
}

#[test]
fn each_store_says_what_its_snapshots_survive() {
    assert_eq!(Memory::new().open().durability(), Durability::Memory);
    assert_eq!(Files::new().open().durability(), Durability::Fsync);
}
