//! A journal and a store of snapshots that count every call, and fail the n-th one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use annals::journal::{
    Armed, Cause, Cipher, CloseError, Durability, Fut, Journal, MemoryJournal, Outcome, Page, ReadError, Run,
    StreamHead, Why,
};
use annals::snapshot::{Criteria, MemorySnapshots, SnapshotMeta, SnapshotStore, SnapshotStoreError, StoredSnapshot};
use annals::testing::UnknownRun;
use annals::{Offset, PersistenceId, SeqNr, StreamNo};

/// How a write fails; a read fails in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    NotStored,
    UnknownStored,
    UnknownLost,
}

/// Which calls fail, and how.
#[derive(Debug)]
pub struct Plan {
    nth: u64,
    for_good: bool,
    failure: Failure,
    calls: AtomicU64,
    /// Nothing fails any more.
    over: AtomicBool,
    /// What the first failure met.
    met: Mutex<Option<&'static str>>,
}

impl Plan {
    pub fn new(nth: u64, for_good: bool, failure: Failure) -> Arc<Self> {
        let (calls, over, met) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(None));
        Arc::new(Self { nth, for_good, failure, calls, over, met })
    }

    /// Which call has failed first, if any has.
    pub fn met(&self) -> Option<&'static str> {
        *self.met.lock().unwrap()
    }

    pub fn heal(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Counts a call, and says how it fails.
    fn call(&self, name: &'static str) -> Option<Failure> {
        if self.over.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let fails = number == self.nth || (self.for_good && number > self.nth);
        if fails {
            self.met.lock().unwrap().get_or_insert(name);
        }
        fails.then_some(self.failure)
    }

    fn read<T: Send + 'static>(&self, name: &'static str) -> Option<Fut<'static, Result<T, ReadError>>> {
        let error = ReadError::Engine { what: name.to_owned(), error: "it was its turn".into() };
        self.call(name).map(|_| ready(Err(error)))
    }

    fn store<T: Send + 'static>(
        &self,
        tried: &'static str,
        id: &PersistenceId,
    ) -> Option<(Failure, Fut<'static, Result<T, SnapshotStoreError>>)> {
        let error = SnapshotStoreError::Failed { tried, id: id.clone(), error: "it was its turn".into() };
        self.call(tried).map(|failure| (failure, ready(Err(error))))
    }
}

fn ready<T: Send + 'static>(value: T) -> Fut<'static, T> {
    Box::pin(std::future::ready(value))
}

fn refusal() -> Why {
    Why::QueueFull { bytes: 1, limit: 1 }
}

pub struct FaultyJournal {
    pub inner: MemoryJournal,
    pub plan: Arc<Plan>,
}

impl FaultyJournal {
    /// Of a deletion, or of forgetting.
    fn outcome(&self, name: &'static str, act: impl FnOnce() -> Fut<'static, Outcome>) -> Fut<'static, Outcome> {
        let unknown = || ready(Outcome::Unknown(Cause("it was its turn".into())));
        match self.plan.call(name) {
            None => act(),
            Some(Failure::NotStored) => ready(Outcome::NotStored(refusal())),
            Some(Failure::UnknownLost) => unknown(),
            Some(Failure::UnknownStored) => {
                drop(act());
                unknown()
            }
        }
    }
}

impl Journal for FaultyJournal {
    annals_tests::through! {
        inner,
        but open_stream, append, settle, read, read_all, armed, stream_id, delete_to, forget, cipher, close
    }

    fn open_stream(&self, id: &PersistenceId) -> Fut<'_, Result<StreamHead, ReadError>> {
        self.plan.read("open_stream").unwrap_or_else(|| self.inner.open_stream(id))
    }

    fn append(&self, group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
        match self.plan.call("append") {
            None => {}
            Some(Failure::NotStored) => self.inner.faults().refuse_next(refusal()),
            Some(Failure::UnknownStored) => self.inner.faults().fail_next(UnknownRun::Stored),
            Some(Failure::UnknownLost) => self.inner.faults().fail_next(UnknownRun::Lost),
        }
        self.inner.append(group)
    }

    fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        self.plan.read("read").unwrap_or_else(|| self.inner.read(stream, from, to, bytes_max))
    }

    fn read_all(&self, after: Offset, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        self.plan.read("read_all").unwrap_or_else(|| self.inner.read_all(after, bytes_max))
    }

    fn armed(&self) -> Fut<'_, Result<Vec<Armed>, ReadError>> {
        self.plan.read("armed").unwrap_or_else(|| self.inner.armed())
    }

    fn stream_id(&self, stream: StreamNo) -> Fut<'_, Result<Option<PersistenceId>, ReadError>> {
        self.plan.read("stream_id").unwrap_or_else(|| self.inner.stream_id(stream))
    }

    fn delete_to(&self, stream: StreamNo, to: SeqNr) -> Fut<'static, Outcome> {
        self.outcome("delete_to", || self.inner.delete_to(stream, to))
    }

    fn forget(&self, stream: StreamNo) -> Fut<'static, Outcome> {
        self.outcome("forget", || self.inner.forget(stream))
    }

    fn cipher(&self, stream: StreamNo) -> Result<Option<Arc<dyn Cipher>>, ReadError> {
        match self.plan.call("cipher") {
            None => self.inner.cipher(stream),
            Some(_) => Err(ReadError::Engine { what: "a key".to_owned(), error: "it was its turn".into() }),
        }
    }

    fn close(&self) -> Fut<'_, Result<(), CloseError>> {
        match self.plan.call("close") {
            None => self.inner.close(),
            Some(_) => ready(Err(CloseError("it was its turn".into()))),
        }
    }
}

#[derive(Clone)]
pub struct FaultySnapshots {
    pub inner: MemorySnapshots,
    pub plan: Arc<Plan>,
}

impl SnapshotStore for FaultySnapshots {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    fn save(&self, id: &PersistenceId, snapshot: StoredSnapshot) -> Fut<'_, Result<(), SnapshotStoreError>> {
        match self.plan.store("save", id) {
            None => self.inner.save(id, snapshot),
            // It is saved, and the store says that it isn't.
            Some((Failure::UnknownStored, failed)) => {
                let saved = self.inner.save(id, snapshot);
                Box::pin(async move {
                    saved.await?;
                    failed.await
                })
            }
            Some((_, failed)) => failed,
        }
    }

    fn load(
        &self,
        id: &PersistenceId,
        criteria: Criteria,
    ) -> Fut<'_, Result<Option<StoredSnapshot>, SnapshotStoreError>> {
        self.plan.store("load", id).map_or_else(|| self.inner.load(id, criteria), |(_, failed)| failed)
    }

    fn list(&self, id: &PersistenceId) -> Fut<'_, Result<Vec<SnapshotMeta>, SnapshotStoreError>> {
        self.plan.store("list", id).map_or_else(|| self.inner.list(id), |(_, failed)| failed)
    }

    fn delete(&self, id: &PersistenceId, seq_nr: SeqNr) -> Fut<'_, Result<(), SnapshotStoreError>> {
        self.plan.store("delete", id).map_or_else(|| self.inner.delete(id, seq_nr), |(_, failed)| failed)
    }

    fn delete_matching(&self, id: &PersistenceId, criteria: Criteria) -> Fut<'_, Result<usize, SnapshotStoreError>> {
        self.plan
            .store("delete_matching", id)
            .map_or_else(|| self.inner.delete_matching(id, criteria), |(_, failed)| failed)
    }
}
