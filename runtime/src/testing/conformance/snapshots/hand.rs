//! What the cases hold a store of snapshots with: each call is noted.

use std::ops::Deref;

use super::super::told::{Judge, Rule, Told};
use super::super::{at, executor};
use super::SnapshotPlace;
use crate::id::{PersistenceId, SeqNr};
use crate::journal::{Durability, Fut};
use crate::snapshot::{Criteria, SnapshotMeta, SnapshotStore, SnapshotStoreError, StoredSnapshot};

/// The place of one case, with the store that is open.
pub(super) struct Subject<'s> {
    place: &'s mut dyn SnapshotPlace,
    store: Option<Box<dyn SnapshotStore>>,
    told: Told,
}

impl<'s> Subject<'s> {
    pub(super) fn new(place: &'s mut dyn SnapshotPlace, case: &'static str, rule: &'static Rule) -> Self {
        let store = Some(place.open());
        Self { place, store, told: Told::new(case, rule) }
    }

    pub(super) fn hand(&self) -> Hand<'_> {
        match &self.store {
            Some(store) => Hand { place: &*self.place, store: &**store, judge: Judge::new(&self.told) },
            None => unreachable!("a store is open but while it is opened anew"),
        }
    }

    pub(super) fn told(&self) -> &Told {
        &self.told
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.place.bytes_max()
    }

    pub(super) fn reopen(&mut self) {
        drop(self.store.take());
        self.store = Some(self.place.open());
        self.told.step(format_args!("opened the store again"));
    }

    /// Opens what a crash leaves of the store.
    pub(super) fn crash(&mut self) {
        if let Some(store) = self.store.take() {
            self.place.crash(store);
        }
        self.store = Some(self.place.open());
        self.told.step(format_args!("crashed, and opened what was left"));
    }
}

/// An open store, for a case.
#[derive(Clone, Copy)]
pub(super) struct Hand<'a> {
    place: &'a dyn SnapshotPlace,
    store: &'a dyn SnapshotStore,
    judge: Judge<'a>,
}

impl<'a> Deref for Hand<'a> {
    type Target = Judge<'a>;

    fn deref(&self) -> &Judge<'a> {
        &self.judge
    }
}

pub(super) fn snapshot(seq_nr: u64, micros: i64, bytes: &[u8]) -> StoredSnapshot {
    StoredSnapshot { seq_nr: SeqNr(seq_nr), time: at(micros), bytes: bytes.to_vec() }
}

pub(super) fn to_seq(seq_nr: u64) -> Criteria {
    Criteria::LATEST.to_seq(SeqNr(seq_nr))
}

type Answer<T> = Result<T, SnapshotStoreError>;

impl Hand<'_> {
    /// The same store, judged by this rule.
    pub(super) fn by(self, rule: &'static Rule) -> Self {
        Self { judge: self.judge.by(rule), ..self }
    }

    /// A snapshot as it must be, to the byte.
    #[track_caller]
    pub(super) fn is_snapshot(self, what: &str, found: Option<&StoredSnapshot>, expected: Option<&StoredSnapshot>) {
        let metas = (found.map(StoredSnapshot::meta), expected.map(StoredSnapshot::meta));
        self.is(what, metas.0, metas.1);
        if let (Some(found), Some(expected)) = (found, expected) {
            let differs = found.bytes.iter().zip(&expected.bytes).position(|(found, expected)| found != expected);
            self.is(&format!("{what}: the first byte that differs"), differs, None);
        }
    }

    #[track_caller]
    fn wait<'f, T: Send>(self, what: &str, call: impl FnOnce() -> Fut<'f, T> + Send) -> T {
        let answer = executor::within(self.place, self.judge, call);
        executor::wait(self.place, self.judge, what, answer)
    }

    pub(super) fn durability(self) -> Durability {
        self.store.durability()
    }

    #[track_caller]
    pub(super) fn try_save(self, id: &PersistenceId, snapshot: &StoredSnapshot) -> Answer<()> {
        let answer = self.wait("SnapshotStore::save", || self.store.save(id, snapshot.clone()));
        self.step(format_args!("saved {snapshot:?} of {id}: {answer:?}"));
        answer
    }

    #[track_caller]
    pub(super) fn save(self, id: &PersistenceId, snapshot: &StoredSnapshot) {
        let answer = self.try_save(id, snapshot);
        self.is("saving a snapshot", answer, Ok(()));
    }

    #[track_caller]
    pub(super) fn try_load(self, id: &PersistenceId, criteria: Criteria) -> Answer<Option<StoredSnapshot>> {
        let answer = self.wait("SnapshotStore::load", || self.store.load(id, criteria));
        self.step(format_args!("loaded one of {id} by {criteria:?}: {answer:?}"));
        answer
    }

    #[track_caller]
    pub(super) fn load(self, id: &PersistenceId, criteria: Criteria) -> Option<StoredSnapshot> {
        match self.try_load(id, criteria) {
            Ok(snapshot) => snapshot,
            Err(error) => self.fail("loading a snapshot", "one, or none", &error.to_string()),
        }
    }

    #[track_caller]
    pub(super) fn latest_is(self, id: &PersistenceId, expected: Option<&StoredSnapshot>) {
        let found = self.load(id, Criteria::LATEST);
        self.is_snapshot(&format!("the latest snapshot of {id}"), found.as_ref(), expected);
    }

    #[track_caller]
    pub(super) fn try_list(self, id: &PersistenceId) -> Answer<Vec<SnapshotMeta>> {
        let answer = self.wait("SnapshotStore::list", || self.store.list(id));
        self.step(format_args!("listed those of {id}: {answer:?}"));
        answer
    }

    #[track_caller]
    pub(super) fn list(self, id: &PersistenceId) -> Vec<SnapshotMeta> {
        match self.try_list(id) {
            Ok(listed) => listed,
            Err(error) => self.fail("listing snapshots", "a list", &error.to_string()),
        }
    }

    #[track_caller]
    pub(super) fn numbers(self, id: &PersistenceId) -> Vec<u64> {
        self.list(id).iter().map(|meta| meta.seq_nr.0).collect()
    }

    #[track_caller]
    pub(super) fn try_delete(self, id: &PersistenceId, seq_nr: u64) -> Answer<()> {
        let answer = self.wait("SnapshotStore::delete", || self.store.delete(id, SeqNr(seq_nr)));
        self.step(format_args!("deleted {seq_nr} of {id}: {answer:?}"));
        answer
    }

    #[track_caller]
    pub(super) fn delete(self, id: &PersistenceId, seq_nr: u64) {
        let answer = self.try_delete(id, seq_nr);
        self.is("deleting a snapshot", answer, Ok(()));
    }

    #[track_caller]
    pub(super) fn delete_matching(self, id: &PersistenceId, criteria: Criteria) -> Answer<usize> {
        let answer = self.wait("SnapshotStore::delete_matching", || self.store.delete_matching(id, criteria));
        self.step(format_args!("deleted those of {id} by {criteria:?}: {answer:?}"));
        answer
    }

    /// Asks for everything, and polls nothing.
    pub(super) fn ask_and_drop(self, id: &PersistenceId, snapshot: &StoredSnapshot) {
        let mut asks = std::pin::pin!(async {
            drop(self.store.save(id, snapshot.clone()));
            drop(self.store.delete(id, snapshot.seq_nr));
            drop(self.store.delete_matching(id, Criteria::LATEST));
        });
        self.place.block_on(asks.as_mut());
        self.step(format_args!("asked to save and to delete, and dropped the futures"));
    }

    /// Asks for a snapshot to be saved, polls once, and drops the future.
    pub(super) fn save_and_drop(self, id: &PersistenceId, snapshot: &StoredSnapshot) {
        let mut asks = std::pin::pin!(async {
            let mut save = self.store.save(id, snapshot.clone());
            std::future::poll_fn(|context| {
                let _polled = save.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
        });
        self.place.block_on(asks.as_mut());
        self.step(format_args!("asked to save {snapshot:?} of {id}, and dropped the future after one poll"));
    }
}
