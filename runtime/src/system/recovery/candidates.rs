//! The snapshots with which a replay may begin: the newest first, until one can be used.

use std::fmt::Write as _;
use std::marker::PhantomData;
use std::sync::Arc;

use jiff::Timestamp;

use crate::aggregate::Aggregate;
use crate::contain::contained;
use crate::execute::{Replayed, Unrecoverable, Unusable};
use crate::id::{PersistenceId, SeqNr};
use crate::journal::{Cipher, Page, ReadError, RunError, RunView, StreamHead};
use crate::log;
use crate::snapshot::bytes::{SnapshotBytesError, is_of_other_store};
use crate::snapshot::taken::{Origin, Unfit, restore};
use crate::snapshot::{Criteria, SnapshotStore, SnapshotStoreError, Snapshots, StoredSnapshot};
use crate::system::recovery::Source;
use crate::system::stats::Counters;

/// How many reasons are told where no snapshot can be used.
const TOLD_MAX: usize = 8;

/// Why a snapshot was set aside.
#[derive(Debug, thiserror::Error)]
enum SetAside {
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("it is ahead of the journal, which ends at {last}: it is of a history that is lost")]
    Ahead { last: SeqNr },
    #[error("the records behind it are deleted up to {floor}")]
    Behind { floor: SeqNr },
    #[error(
        "record {seq_nr} of the journal is of {found}, and the snapshot has it of {told}: it is of another history"
    )]
    OtherHistory { seq_nr: SeqNr, found: Timestamp, told: Timestamp },
    #[error("the record at which it was taken can't be read: {0}")]
    Record(String),
    #[error("the record at which it was taken can't be read: {0}")]
    Unread(ReadError),
    #[error("{0}")]
    Store(SnapshotStoreError),
}

/// The snapshots of one entity.
pub(crate) struct Candidates<'a, A> {
    source: Source<'a>,
    id: &'a PersistenceId,
    head: StreamHead,
    criteria: Criteria,
    /// Why those that were looked at can't be used.
    told: Vec<String>,
    set_aside: usize,
    /// Whether the store or the journal couldn't be read, so that another attempt may find one.
    store_failed: bool,
    /// Whether those that are ahead of the journal may be deleted.
    may_tidy: bool,
    /// Those that are.
    ahead: Vec<SeqNr>,
    aggregate: PhantomData<fn() -> A>,
}

/// The ways to the snapshots of one entity.
struct Shelf<'a, A> {
    store: &'a dyn SnapshotStore,
    snapshots: Snapshots<A>,
    cipher: Option<Arc<dyn Cipher>>,
    /// Under which name the store has them.
    name: PersistenceId,
}

impl<'a, A: Aggregate> Candidates<'a, A> {
    pub(crate) fn of(source: Source<'a>, id: &'a PersistenceId, head: StreamHead, criteria: Criteria) -> Self {
        let (told, ahead) = (Vec::new(), Vec::new());
        Self {
            source,
            id,
            head,
            criteria,
            told,
            set_aside: 0,
            store_failed: false,
            may_tidy: false,
            ahead,
            aggregate: PhantomData,
        }
    }

    /// Deletes those that are ahead of the journal, unless they are all that there is. Only who loads the entity may: the
    /// head is the journal's last one then, and nobody writes past them meanwhile.
    pub(crate) fn tidying(self) -> Self {
        Self { may_tidy: true, ..self }
    }

    /// The newest one that can be used, or else the entity before its first record.
    ///
    /// # Errors
    ///
    /// If records are deleted, and there is no snapshot that stands for them.
    pub(crate) fn begin(mut self) -> Result<Replayed<A>, Unrecoverable> {
        if let Some(replayed) = self.newest() {
            return Ok(replayed);
        }
        if self.head.floor == SeqNr::ZERO || self.head.last == SeqNr::ZERO {
            return Replayed::new(self.source.keys_max);
        }
        let why = Unusable::Deleted { floor: self.head.floor, tried: self.told(), may_pass: self.store_failed };
        Err(Unrecoverable::at(SeqNr(1), why))
    }

    /// The next one that can be used. After that, older ones are looked at.
    pub(crate) fn newest(&mut self) -> Option<Replayed<A>> {
        let shelf = match self.shelf() {
            Ok(shelf) => shelf?,
            Err(error) => {
                self.told.push(format!("the key of its snapshots can't be read: {error}"));
                self.store_failed = matches!(error, ReadError::Engine { .. });
                return None;
            }
        };
        let found = self.newest_on(&shelf);
        // Where nothing else stands for deleted events, they stay: the entity can't be loaded, and so can't write past
        // them.
        if found.is_some() || self.head.floor == SeqNr::ZERO {
            self.tidy(&shelf);
        }
        found
    }

    fn newest_on(&mut self, shelf: &Shelf<'_, A>) -> Option<Replayed<A>> {
        loop {
            // INVARIANT: each is older than the one before, so this ends.
            let (seq_nr, looked_at) = match self.load(shelf)? {
                Ok(stored) => (stored.seq_nr, self.look_at(shelf, &stored)),
                Err((seq_nr, error)) => (seq_nr, Err(SetAside::Store(error))),
            };
            match looked_at {
                Ok(replayed) => return Some(replayed),
                Err(why) => self.set_aside(seq_nr, &why),
            }
        }
    }

    fn shelf(&self) -> Result<Option<Shelf<'a, A>>, ReadError> {
        let (Some(snapshots), Some(store)) = (A::SNAPSHOTS, self.source.snapshots) else { return Ok(None) };
        let cipher = self.source.journal.cipher(self.head.stream)?;
        let entity = cipher.as_ref().map_or_else(|| self.id.entity.clone(), |cipher| cipher.pseudonym());
        let name = PersistenceId { aggregate: self.id.aggregate.clone(), entity };
        Ok(Some(Shelf { store, snapshots, cipher, name }))
    }

    /// The newest one that wasn't looked at; `None` if there are no more, or if the store fails.
    fn load(&mut self, shelf: &Shelf<'_, A>) -> Option<Result<StoredSnapshot, (SeqNr, SnapshotStoreError)>> {
        let load = || self.source.runtime.block_on(shelf.store.load(&shelf.name, self.criteria));
        let found = contained(load).unwrap_or_else(|panic| Err(panicked("load", self.id, &panic)));
        let (seq_nr, found) = match found {
            Ok(stored) => {
                let stored = stored?;
                (stored.seq_nr, Ok(stored))
            }
            Err(error @ SnapshotStoreError::Damaged { seq_nr, .. }) => (seq_nr, Err((seq_nr, error))),
            Err(
                error @ (SnapshotStoreError::Failed { .. }
                | SnapshotStoreError::StorageLow { .. }
                | SnapshotStoreError::TooLarge { .. }
                | SnapshotStoreError::InvalidId { .. }),
            ) => {
                log::warn!(id = %self.id, %error, "snapshots can't be loaded; older ones are not looked for");
                self.told.push(error.to_string());
                self.store_failed = true;
                return None;
            }
        };
        let older = self.criteria.to_seq(SeqNr(seq_nr.0.checked_sub(1)?));
        // A store that doesn't do as it is told is not asked again.
        if older == self.criteria {
            log::warn!(id = %self.id, %seq_nr, "the store has given a snapshot that was not asked for");
            return None;
        }
        self.criteria = older;
        Some(found)
    }

    fn look_at(&self, shelf: &Shelf<'_, A>, stored: &StoredSnapshot) -> Result<Replayed<A>, SetAside> {
        let StreamHead { last, floor, .. } = self.head;
        let store = self.source.journal.facts().store;
        if stored.seq_nr > last {
            // One of another journal may stand for events there.
            let is_foreign = is_of_other_store(&stored.bytes, store);
            return Err(if is_foreign {
                Unfit::from(SnapshotBytesError::OtherStore).into()
            } else {
                SetAside::Ahead { last }
            });
        }
        if stored.seq_nr < floor {
            return Err(SetAside::Behind { floor });
        }
        let cipher = shelf.cipher.as_deref();
        let origin = Origin { id: self.id, store, cipher, keys_max: self.source.keys_max };
        let replayed = restore(&shelf.snapshots, stored, origin)?;
        if stored.seq_nr > floor {
            let found = self.time_of(stored.seq_nr)?;
            if found != replayed.time {
                return Err(SetAside::OtherHistory { seq_nr: stored.seq_nr, found, told: replayed.time });
            }
        }
        Ok(replayed)
    }

    /// The time of a record of the journal.
    fn time_of(&self, seq_nr: SeqNr) -> Result<Timestamp, SetAside> {
        let unreadable = |why: &dyn std::fmt::Display| SetAside::Record(why.to_string());
        let Source { journal, runtime, .. } = self.source;
        let page = runtime.block_on(journal.read(self.head.stream, seq_nr, seq_nr, 1)).map_err(SetAside::Unread)?;
        time_in(&page, seq_nr, journal.facts().store)
            .map_err(|error| unreadable(&error))?
            .ok_or_else(|| unreadable(&"it is missing"))
    }

    fn set_aside(&mut self, seq_nr: SeqNr, why: &SetAside) {
        Counters::add(self.source.unusable, 1);
        self.store_failed |= matches!(why, SetAside::Unread(ReadError::Engine { .. } | ReadError::Closed));
        log::warn!(id = %self.id, %seq_nr, %why, "a snapshot is not used; an older one or the whole stream is");
        self.set_aside += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(format!("the one at {seq_nr}: {why}"));
        }
        if matches!(why, SetAside::Ahead { .. }) {
            self.ahead.push(seq_nr);
        }
    }

    /// Deletes those that are ahead of the journal: they must not come to fit when the stream has grown.
    fn tidy(&mut self, shelf: &Shelf<'_, A>) {
        if !self.may_tidy {
            return;
        }
        for seq_nr in std::mem::take(&mut self.ahead) {
            let delete = || self.source.runtime.block_on(shelf.store.delete(&shelf.name, seq_nr));
            let deleted = contained(delete).unwrap_or_else(|panic| Err(panicked("delete", self.id, &panic)));
            if let Err(error) = deleted {
                log::warn!(id = %self.id, %seq_nr, %error, "the snapshot stays, and will be looked at again");
            }
        }
    }

    fn told(&self) -> String {
        if self.told.is_empty() {
            let what = match (A::SNAPSHOTS, self.source.snapshots) {
                (None, _) => "the aggregate takes none any more: give its attribute the `snapshot(..)` again",
                (_, None) => "there is no store of them: give it with `Builder::snapshots`",
                _ => {
                    "none is in the store: if another one has them, give that with `Builder::snapshots`, or put them back \
                     from a copy"
                }
            };
            return what.to_owned();
        }
        let mut told = self.told.join("; ");
        let more = self.set_aside.saturating_sub(TOLD_MAX);
        if more > 0 {
            let _ = write!(told, "; and {more} more");
        }
        told.push_str("; make one of them readable again, as its reason says, or put one back from a copy");
        told
    }
}

/// The time of a record, if its run is the first of a page.
pub(crate) fn time_in(page: &Page, seq_nr: SeqNr, store: u64) -> Result<Option<Timestamp>, RunError> {
    let mut time = None;
    if let Some(run) = page.runs.first() {
        RunView::parse(&run.bytes, store)?.for_each(|found, write, _| {
            time = if found == seq_nr { Some(write.time) } else { time };
            Ok::<(), RunError>(())
        })?;
    }
    Ok(time)
}

/// What is told where a store panicked.
fn panicked(tried: &'static str, id: &PersistenceId, panic: &str) -> SnapshotStoreError {
    SnapshotStoreError::Failed { tried, id: id.clone(), error: format!("the store panicked: {panic}").into() }
}
