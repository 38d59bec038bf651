//! Snapshots: taken off the way of commands, loaded where they can be used, and what they let go.

mod floors;
mod loading;
mod retention;
mod standing;
mod taking;
mod unusable;
mod verifying;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::journal::{Durability, Fut, Journal, MemoryJournal};
use annals::prelude::*;
use annals::snapshot::{Criteria, MemorySnapshots, SnapshotMeta, SnapshotStore, SnapshotStoreError, StoredSnapshot};
use annals::testing::ManualClock;
use annals::{Builder, PersistenceId, SeqNr, System};
use tokio::sync::watch;

use crate::until;

/// A sum, with a snapshot after each ten records.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Tally {
    total: u64,
}

#[aggregate(snapshot(every = 10, keep = 2), retain = since_snapshot)]
impl Tally {
    #[event]
    fn counted(&mut self, by: u64) {
        self.total += by;
    }

    #[command]
    fn count(&self, by: u64) -> Step<u64> {
        applying(TallyEvent::Counted { by }).replying(self.total + by)
    }

    #[command]
    fn count_often(&self, times: u64) -> Step {
        applying((0..times).map(|_| TallyEvent::Counted { by: 1 }).collect::<Vec<_>>())
    }

    #[command]
    fn count_and_keep(&self, by: u64) -> Step {
        applying(TallyEvent::Counted { by }).snapshot()
    }

    #[command]
    fn keep(&self) -> Step {
        stay().snapshot()
    }

    #[query]
    fn total(&self) -> u64 {
        self.total
    }
}

/// A gate that moves for a moment, with a snapshot after each two records.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Gate {
    passed: u64,
}

#[fsm(states(initial Shut, transient Moving, Open), snapshot(every = 2, keep = 1), retain = since_snapshot)]
impl Gate {
    #[event]
    fn passed(&mut self) {
        self.passed += 1;
    }

    #[on(Shut => Moving)]
    fn push(&self) -> Step {
        goto(Moving)
    }

    #[on(Moving => Open)]
    fn arrive(&self) -> Step {
        goto(Open)
    }

    #[on(Open | Moving => stay)]
    fn pass(&self) -> Step<u64> {
        applying(GateEvent::Passed).replying(self.passed + 1)
    }

    #[after(1h, Open => Shut)]
    fn fall_shut(&self) -> Step {
        goto(Shut)
    }
}

/// What stands on something, with a snapshot after each two records.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Label {
    text: String,
}

#[aggregate(snapshot(every = 2, keep = 1), retain = since_snapshot)]
impl Label {
    #[event]
    fn changed(&mut self, text: String) {
        self.text = text;
    }

    #[command]
    fn change(&self, text: &'static str) -> Step {
        applying(LabelEvent::Changed { text: text.to_owned() })
    }

    #[query]
    fn text(&self) -> String {
        self.text.clone()
    }
}

/// A store of snapshots that a test can hold open, let fail, and ask what was wanted of it.
#[derive(Clone)]
pub(crate) struct Shelf {
    pub(crate) kept: MemorySnapshots,
    held: Arc<watch::Sender<bool>>,
    /// How many saves wait at the gate.
    waiting: Arc<AtomicUsize>,
    refuses_saves: Arc<AtomicBool>,
    refuses_deletes: Arc<AtomicBool>,
    refuses_loads: Arc<AtomicBool>,
    /// Whether a save fails, and what was there before with its sequence number is gone.
    loses_saves: Arc<AtomicBool>,
    /// Whether what is saved is damaged on the way.
    damages_saves: Arc<AtomicBool>,
    /// Whether a load panics.
    panics: Arc<AtomicBool>,
    /// Whether the next load waits with what it has found.
    next_load_waits: Arc<AtomicBool>,
    loads_held: Arc<watch::Sender<bool>>,
    log: Arc<Mutex<Vec<String>>>,
    durability: Durability,
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
            loses_saves: Arc::default(),
            damages_saves: Arc::default(),
            panics: Arc::default(),
            next_load_waits: Arc::default(),
            loads_held: Arc::new(watch::channel(true).0),
            log: Arc::default(),
            durability: Durability::Fsync,
        }
    }

    fn hold(&self) {
        self.held.send_replace(true);
    }

    fn release(&self) {
        self.held.send_replace(false);
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn note(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    async fn seqs(&self, id: &PersistenceId) -> Vec<u64> {
        self.kept.list(id).await.unwrap().iter().map(|meta| meta.seq_nr.0).collect()
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
        self.kept.list(id)
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

/// A journal, a shelf and a clock that outlive their systems.
pub(crate) struct Shop {
    journal: MemoryJournal,
    shelf: Shelf,
    clock: ManualClock,
    system: System,
}

fn builder(shelf: &Shelf, clock: &ManualClock) -> Builder {
    System::builder().shards(2).snapshots(shelf.clone()).clock(clock.clone())
}

impl Shop {
    fn new() -> Self {
        Self::with(Shelf::new(), |builder| builder)
    }

    fn with(shelf: Shelf, set: impl FnOnce(Builder) -> Builder) -> Self {
        let (journal, clock) = (MemoryJournal::new(), ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
        let system = set(builder(&shelf, &clock)).start(journal.clone()).unwrap();
        Self { journal, shelf, clock, system }
    }

    async fn restarted(self) -> Self {
        self.restarted_with(|builder| builder).await
    }

    async fn restarted_with(self, set: impl FnOnce(Builder) -> Builder) -> Self {
        let Self { journal, shelf, clock, system } = self;
        system.shutdown().await.unwrap();
        let journal = journal.reopen();
        let system = set(builder(&shelf, &clock)).start(journal.clone()).unwrap();
        Self { journal, shelf, clock, system }
    }

    fn tally(&self, id: &str) -> TallyRef {
        self.system.get::<Tally>(id)
    }

    /// Counts one so many times, each at its own second, one after the other.
    async fn count(&self, id: &str, times: u64) {
        for _ in 0..times {
            self.clock.advance(Duration::from_secs(1));
            self.tally(id).count(1).await.unwrap();
        }
    }

    /// Waits until so many snapshots are saved, by this system.
    async fn saved(&self, snapshots: u64) {
        until("snapshots are saved", || self.system.stats().snapshots_saved >= snapshots).await;
    }

    /// The sequence numbers of an entity's snapshots, the highest first.
    async fn seqs(&self, id: &str) -> Vec<u64> {
        self.shelf.seqs(&PersistenceId::new(Tally::NAME, id)).await
    }

    /// Up to where the records of an entity are deleted.
    async fn floor(&self, aggregate: &str, id: &str) -> u64 {
        let head = self.journal.open_stream(&PersistenceId::new(aggregate, id)).await.unwrap();
        self.journal.close_stream(head.stream);
        head.floor.0
    }
}

fn tally(id: &str) -> PersistenceId {
    PersistenceId::new(Tally::NAME, id)
}

/// Changes the stored snapshot at a sequence number.
async fn change(shelf: &Shelf, id: &PersistenceId, seq_nr: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let newest = shelf.kept.load(id, Criteria::LATEST.to_seq(SeqNr(seq_nr))).await.unwrap();
    let mut stored = newest.filter(|stored| stored.seq_nr == SeqNr(seq_nr)).unwrap();
    change(&mut stored.bytes);
    shelf.kept.save(id, stored).await.unwrap();
}

/// Damages the stored snapshot at a sequence number.
async fn damage(shelf: &Shelf, id: &PersistenceId, seq_nr: u64) {
    change(shelf, id, seq_nr, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
    })
    .await;
}
