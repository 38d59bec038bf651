//! A store of snapshots that a test can look into, and that fails when it is told to.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use annals::journal::{Durability, Fut};
use annals::prelude::*;
use annals::snapshot::{Criteria, MemorySnapshots, SnapshotMeta, SnapshotStore, SnapshotStoreError, StoredSnapshot};
use annals::{PersistenceId, SeqNr, Snapshot};
use annals_tests::at_once;
use tokio::sync::watch;

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

/// A store of snapshots that a test can hold open, let fail, and ask what was wanted of it.
#[derive(Clone)]
pub(crate) struct Shelf {
    pub(crate) kept: MemorySnapshots,
    held: Arc<watch::Sender<bool>>,
    /// How many saves wait at the gate.
    waiting: Arc<AtomicUsize>,
    pub(crate) refuses_saves: Arc<AtomicBool>,
    pub(crate) refuses_deletes: Arc<AtomicBool>,
    pub(crate) refuses_loads: Arc<AtomicBool>,
    refuses_lists: Arc<AtomicBool>,
    /// Whether a save fails, and what was there before with its sequence number is gone.
    pub(crate) loses_saves: Arc<AtomicBool>,
    /// Whether what is saved is damaged on the way.
    pub(crate) damages_saves: Arc<AtomicBool>,
    /// Whether a load panics.
    pub(crate) panics: Arc<AtomicBool>,
    /// Whether the next load waits with what it has found.
    pub(crate) next_load_waits: Arc<AtomicBool>,
    pub(crate) loads_held: Arc<watch::Sender<bool>>,
    log: Arc<Mutex<Vec<String>>>,
    pub(crate) durability: Durability,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self {
            kept: MemorySnapshots::new(),
            held: Arc::new(watch::channel(false).0),
            waiting: Arc::default(),
            refuses_saves: Arc::default(),
            refuses_deletes: Arc::default(),
            refuses_loads: Arc::default(),
            refuses_lists: Arc::default(),
            loses_saves: Arc::default(),
            damages_saves: Arc::default(),
            panics: Arc::default(),
            next_load_waits: Arc::default(),
            loads_held: Arc::new(watch::channel(true).0),
            log: Arc::default(),
            durability: Durability::Fsync,
        }
    }

    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.held.send_replace(false);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn note(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    /// Lets everything fail, or not any more.
    pub(crate) fn fail(&self, fails: bool) {
        for refuses in [&self.refuses_saves, &self.refuses_deletes, &self.refuses_loads, &self.refuses_lists] {
            refuses.store(fails, Ordering::SeqCst);
        }
    }

    /// The sequence numbers of an entity's snapshots, the highest first.
    pub(crate) fn seqs(&self, id: &PersistenceId) -> Vec<u64> {
        at_once(self.kept.list(id)).unwrap().iter().map(|meta| meta.seq_nr.0).collect()
    }

    /// Changes the stored snapshot at a sequence number.
    pub(crate) fn change(&self, id: &PersistenceId, seq_nr: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let newest = at_once(self.kept.load(id, Criteria::LATEST.to_seq(SeqNr(seq_nr)))).unwrap();
        let mut stored = newest.filter(|stored| stored.seq_nr == SeqNr(seq_nr)).unwrap();
        change(&mut stored.bytes);
        at_once(self.kept.save(id, stored)).unwrap();
    }

    /// Damages the stored snapshot at a sequence number.
    pub(crate) fn damage(&self, id: &PersistenceId, seq_nr: u64) {
        self.change(id, seq_nr, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        });
    }
}

/// Says no, if that is wanted.
fn refusal(refuses: &AtomicBool, tried: &'static str, id: &PersistenceId) -> Result<(), SnapshotStoreError> {
    if refuses.load(Ordering::SeqCst) {
        return Err(SnapshotStoreError::Failed { tried, id: id.clone(), error: "the shelf is full".into() });
    }
    Ok(())
}

impl SnapshotStore for Shelf {
    fn durability(&self) -> Durability {
        self.durability
    }

    fn save(&self, id: &PersistenceId, mut snapshot: StoredSnapshot) -> Fut<'_, Result<(), SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move {
            self.note(format!("save {}", snapshot.seq_nr));
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let mut held = self.held.subscribe();
            let _ = held.wait_for(|held| !held).await;
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            refusal(&self.refuses_saves, "save", &id)?;
            if self.loses_saves.load(Ordering::SeqCst) {
                self.kept.delete(&id, snapshot.seq_nr).await?;
            }
            refusal(&self.loses_saves, "save", &id)?;
            if self.damages_saves.load(Ordering::SeqCst) {
                let middle = snapshot.bytes.len() / 2;
                snapshot.bytes[middle] ^= 0x10;
            }
            self.kept.save(&id, snapshot).await
        })
    }

    fn load(
        &self,
        id: &PersistenceId,
        criteria: Criteria,
    ) -> Fut<'_, Result<Option<StoredSnapshot>, SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move {
            assert!(!self.panics.load(Ordering::SeqCst), "the shelf falls down");
            refusal(&self.refuses_loads, "load", &id)?;
            let found = self.kept.load(&id, criteria).await;
            if self.next_load_waits.swap(false, Ordering::SeqCst) {
                let mut held = self.loads_held.subscribe();
                let _ = held.wait_for(|held| !held).await;
            }
            found
        })
    }

    fn list(&self, id: &PersistenceId) -> Fut<'_, Result<Vec<SnapshotMeta>, SnapshotStoreError>> {
        let refused = refusal(&self.refuses_lists, "list", id);
        let listed = self.kept.list(id);
        Box::pin(async move {
            refused?;
            listed.await
        })
    }

    fn delete(&self, id: &PersistenceId, seq_nr: SeqNr) -> Fut<'_, Result<(), SnapshotStoreError>> {
        self.note(format!("delete {seq_nr}"));
        let refused = refusal(&self.refuses_deletes, "delete", id);
        let deleted = self.kept.delete(id, seq_nr);
        Box::pin(async move {
            refused?;
            deleted.await
        })
    }

    fn delete_matching(&self, id: &PersistenceId, criteria: Criteria) -> Fut<'_, Result<usize, SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move {
            refusal(&self.refuses_deletes, "delete", &id)?;
            self.kept.delete_matching(&id, criteria).await
        })
    }
}
