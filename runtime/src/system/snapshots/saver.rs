//! Saving one snapshot, and what follows from it: events and older snapshots that aren't needed any more.

use std::cmp::Reverse;
use std::sync::Arc;

use tokio::sync::watch;

use super::retention::{Bounds, last_deletable};
use super::{Job, Rules};
use crate::contain::contained_async;
use crate::id::{PersistenceId, SeqNr};
use crate::journal::{Cipher, Durability, Journal, Outcome, ReadError, StreamHead};
use crate::log;
use crate::snapshot::taken::{Origin, Taken, Unfit};
use crate::snapshot::{
    Criteria, Retention, SnapshotError, SnapshotMeta, SnapshotStore, SnapshotStoreError, StoredSnapshot,
};
use crate::system::readers::Readers;
use crate::system::recovery::time_in;
use crate::system::stats::Counters;
use crate::system::timepiece::Timepiece;

/// What a saver works with.
pub(crate) struct Saver {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) store: Arc<dyn SnapshotStore>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) clock: Timepiece,
    pub(crate) counters: Arc<Counters>,
}

/// Why events or older snapshots were not deleted. All that there was is still there, or isn't needed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Hindrance {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the journal didn't delete: {0}")]
    Journal(String),
    #[error("the oldest snapshot that is kept, at {seq_nr}, can't stand for events: {why}")]
    Unfit { seq_nr: SeqNr, why: String },
}

impl From<ReadError> for Hindrance {
    fn from(error: ReadError) -> Self {
        Self::Snapshot(error.into())
    }
}

impl From<SnapshotStoreError> for Hindrance {
    fn from(error: SnapshotStoreError) -> Self {
        Self::Snapshot(error.into())
    }
}

/// A stream that is open while this lives.
struct Open<'a> {
    journal: &'a dyn Journal,
    head: StreamHead,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.journal.close_stream(self.head.stream);
    }
}

impl Saver {
    /// Saves a snapshot, and tells who has asked for it. It may block. `here` ends the wait for a store that takes too long.
    pub(super) async fn save(&self, job: Job, here: watch::Receiver<()>) {
        let Job { taken, rules, asker, _weight } = job;
        let saving = Saving { saver: self, here, taken: &taken, rules };
        let (id, seq_nr) = (&taken.id, taken.seq_nr);
        let saved = contained_async(saving.save()).await.unwrap_or_else(|panic| {
            let error = format!("the store panicked: {panic}").into();
            Err(SnapshotStoreError::Failed { tried: "save", id: id.clone(), error }.into())
        });
        match &saved {
            Ok(meta) => {
                Counters::add(&self.counters.snapshots_saved, 1);
                log::debug!(%id, %seq_nr, bytes = meta.bytes, "a snapshot was saved");
            }
            Err(SnapshotError::Store(error @ SnapshotStoreError::StorageLow { .. })) => {
                Counters::add(&self.counters.snapshots_skipped, 1);
                log::debug!(%id, %seq_nr, %error, "a snapshot was skipped; the next one will be tried");
            }
            Err(error) => {
                Counters::add(&self.counters.snapshots_failed, 1);
                log::warn!(%id, %seq_nr, %error, "a snapshot was not saved; the next one will be tried");
            }
        }
        let was_saved = saved.is_ok();
        if let Some(asker) = asker {
            asker.answer(saved);
        }
        if was_saved {
            let tidied = contained_async(saving.tidy()).await;
            match tidied {
                Ok(Ok(())) => {}
                Ok(Err(hindrance)) => {
                    log::warn!(%id, %seq_nr, %hindrance, "events or older snapshots stay longer than they need to");
                }
                Err(panic) => {
                    log::warn!(%id, %seq_nr, %panic, "events or older snapshots stay: deleting them panicked");
                }
            }
        }
    }
}

/// One snapshot on its way.
struct Saving<'a> {
    saver: &'a Saver,
    here: watch::Receiver<()>,
    taken: &'a Taken,
    rules: Rules,
}

impl Saving<'_> {
    /// Waits, but not longer than the task that saves lives.
    async fn wait<T>(&self, what: impl Future<Output = T>) -> Result<T, SnapshotError> {
        let mut here = self.here.clone();
        tokio::select! {
            biased;
            done = what => Ok(done),
            _ = here.changed() => Err(SnapshotError::Stopped),
        }
    }

    async fn open(&self) -> Result<Open<'_>, SnapshotError> {
        let journal = &*self.saver.journal;
        let head = self.wait(journal.open_stream(&self.taken.id)).await??;
        Ok(Open { journal, head })
    }

    /// Under which name the store has it.
    fn name(&self, cipher: Option<&dyn Cipher>) -> PersistenceId {
        let id = &self.taken.id;
        cipher.map_or_else(
            || id.clone(),
            |cipher| PersistenceId { aggregate: id.aggregate.clone(), entity: cipher.pseudonym() },
        )
    }

    /// Whether a snapshot could stand for its events.
    fn check_bytes(&self, stored: &StoredSnapshot, cipher: Option<&dyn Cipher>) -> Result<(), Unfit> {
        let store = self.saver.journal.facts().store;
        (self.rules.check)(stored, Origin { id: &self.taken.id, store, cipher, keys_max: usize::MAX })
    }

    async fn save(&self) -> Result<SnapshotMeta, SnapshotError> {
        let stream = self.open().await?;
        if stream.head.ended {
            return Err(SnapshotError::Deleted);
        }
        let cipher = self.saver.journal.cipher(stream.head.stream)?;
        let name = self.name(cipher.as_deref());
        // ORDER: before the save, which may lose what is in its place: that may stand for events.
        if stream.head.floor > SeqNr::ZERO
            && let Some(meta) = self.saved_before(&name, cipher.as_deref()).await
        {
            return Ok(meta);
        }
        let snapshot = self.taken.encode(self.saver.journal.facts().store, cipher.as_deref());
        self.check_bytes(&snapshot, cipher.as_deref())?;
        let meta = snapshot.meta();
        self.wait(self.saver.store.save(&name, snapshot)).await??;
        // ORDER: looked at behind the save. Who ends the stream deletes its snapshots then, and may have been before.
        if self.open().await?.head.ended {
            self.wait(self.saver.store.delete_matching(&name, Criteria::LATEST)).await??;
            return Err(SnapshotError::Deleted);
        }
        Ok(meta)
    }

    /// What is known of the very same snapshot, if the store has it and it can be read.
    async fn saved_before(&self, name: &PersistenceId, cipher: Option<&dyn Cipher>) -> Option<SnapshotMeta> {
        let store = &self.saver.store;
        let listed = self.wait(store.list(name)).await.ok()?.ok()?;
        listed.iter().find(|known| known.seq_nr == self.taken.seq_nr)?;
        let stored = self.wait(store.load(name, Criteria::LATEST.to_seq(self.taken.seq_nr))).await.ok()?.ok()??;
        let is_same =
            stored.seq_nr == self.taken.seq_nr && self.taken.is(&stored, self.saver.journal.facts().store, cipher);
        (is_same && self.check_bytes(&stored, cipher).is_ok()).then(|| stored.meta())
    }

    /// Deletes what the kept snapshots stand for, as far as the aggregate wants that, and the older snapshots.
    async fn tidy(&self) -> Result<(), Hindrance> {
        let stream = self.open().await?;
        if stream.head.ended {
            return Ok(());
        }
        let cipher = self.saver.journal.cipher(stream.head.stream)?;
        let name = self.name(cipher.as_deref());
        let mut stored = self.wait(self.saver.store.list(&name)).await??;
        // One that is newer is of a history that was lost.
        stored.retain(|snapshot| snapshot.seq_nr <= self.taken.seq_nr);
        stored.sort_by_key(|snapshot| Reverse(snapshot.seq_nr));
        // With fewer than are to be kept, a single damaged one could be all that there is.
        let Some(oldest) = stored.get(self.rules.keep - 1).map(|snapshot| snapshot.seq_nr) else {
            return Ok(());
        };
        // ORDER: events first, then the snapshots that could stand for them.
        let was_read = self.delete_events(stream.head, oldest, &name, cipher.as_deref()).await?;
        if stored.iter().any(|snapshot| snapshot.seq_nr < oldest) {
            // The older ones may be all that stands for events that were deleted before.
            if stream.head.floor > SeqNr::ZERO && !was_read {
                self.check(stream.head, oldest, &name, cipher.as_deref()).await?;
            }
            let spare = if was_read { None } else { self.spare(stream.head.floor, &stored) };
            let lowest = spare.filter(|spare| *spare < oldest);
            let older = Criteria::LATEST.to_seq(SeqNr(lowest.unwrap_or(oldest).0.saturating_sub(1)));
            self.wait(self.saver.store.delete_matching(&name, older)).await??;
            let between = stored.iter().filter(|snapshot| lowest.is_some_and(|lowest| snapshot.seq_nr > lowest));
            for snapshot in between.filter(|snapshot| snapshot.seq_nr < oldest) {
                self.wait(self.saver.store.delete(&name, snapshot.seq_nr)).await??;
            }
        }
        Ok(())
    }

    /// The snapshot that stays beside those that are to be kept, since the journal may end before all of them after the
    /// power has failed: when the floor was raised, what is before it was synced, and what came later wasn't.
    fn spare(&self, floor: SeqNr, stored: &[SnapshotMeta]) -> Option<SeqNr> {
        if self.saver.journal.facts().durability == Durability::Fsync || floor == SeqNr::ZERO {
            return None;
        }
        stored.iter().map(|snapshot| snapshot.seq_nr).filter(|seq_nr| *seq_nr >= floor).min()
    }

    /// Deletes events up to the oldest snapshot that is kept. Says whether that one was read again for it.
    async fn delete_events(
        &self,
        head: StreamHead,
        oldest: SeqNr,
        name: &PersistenceId,
        cipher: Option<&dyn Cipher>,
    ) -> Result<bool, Hindrance> {
        let Saver { journal, store, clock, .. } = self.saver;
        if self.rules.retention == Retention::All || !survives(store.durability(), journal.facts().durability) {
            return Ok(false);
        }
        let reader = self.saver.readers.lowest(&self.taken.id.aggregate);
        let bounds =
            Bounds { retention: self.rules.retention, now: clock.now(), reader: reader.map(|read| read.offset) };
        // The answers to remembered keys are in their records.
        let unkeyed = self.taken.keys.oldest().map_or(oldest, |key| SeqNr(key.0.saturating_sub(1)));
        let highest = oldest.min(unkeyed);
        if highest <= head.floor {
            return Ok(false);
        }
        let read = |seq_nr| self.wait(journal.read(head.stream, seq_nr, seq_nr, 1));
        let floor = last_deletable(head.floor, highest, journal.facts().store, &bounds, read).await?;
        if floor <= head.floor {
            return Ok(false);
        }
        self.check(head, oldest, name, cipher).await?;
        match self.wait(journal.delete_to(head.stream, floor)).await? {
            Outcome::Stored(_) => {
                Counters::add(&self.saver.counters.records_deleted, floor.0 - head.floor.0);
                log::debug!(id = %self.taken.id, %floor, "records were deleted");
                Ok(true)
            }
            Outcome::NotStored(why) => Err(Hindrance::Journal(why.to_string())),
            Outcome::Unknown(cause) => Err(Hindrance::Journal(cause.to_string())),
        }
    }

    /// Reads the snapshot that is to stand for events once more: behind the deletion there is nothing else.
    async fn check(
        &self,
        head: StreamHead,
        seq_nr: SeqNr,
        name: &PersistenceId,
        cipher: Option<&dyn Cipher>,
    ) -> Result<(), Hindrance> {
        let unfit = |why: String| Hindrance::Unfit { seq_nr, why };
        if seq_nr < head.floor {
            return Err(unfit(format!("the records behind it are deleted up to {}", head.floor)));
        }
        let found = self.wait(self.saver.store.load(name, Criteria::LATEST.to_seq(seq_nr))).await??;
        let stored: StoredSnapshot =
            found.filter(|found| found.seq_nr == seq_nr).ok_or_else(|| unfit("it is gone".to_owned()))?;
        let journal = &self.saver.journal;
        if seq_nr > head.floor {
            let page = self.wait(journal.read(head.stream, seq_nr, seq_nr, 1)).await??;
            let found = time_in(&page, seq_nr, journal.facts().store);
            let found = found.map_err(|error| Hindrance::Journal(error.to_string()))?;
            if found != Some(stored.time) {
                return Err(unfit("its record has another time in the journal: it is of another history".to_owned()));
            }
        }
        self.check_bytes(&stored, cipher).map_err(|why| unfit(why.to_string()))
    }
}

/// Whether what has one durability survives at least what the other does.
fn survives(snapshots: Durability, records: Durability) -> bool {
    let rank = |durability| match durability {
        Durability::Memory => 0,
        Durability::Os => 1,
        Durability::Fsync => 2,
    };
    rank(snapshots) >= rank(records)
}
