//! The snapshots beside a journal, in an engine of their own: saving them is never in the way of a commit.
//!
//! | what | fields |
//! |---|---|
//! | meta key | 01, aggregate length u8, aggregate, entity id length u16, entity id, seq u64 |
//! | meta row | time i64 in us, length u64, digest 8: xxh3-64, seeded with 0, over the key and both |
//! | snapshot key | 02, then as in a meta key |
//! | snapshot row | the sealed snapshot of `snapshot/bytes.rs` |
//!
//! Numbers in keys are big endian, others little endian.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use jiff::Timestamp;

use super::engine::{Engine, EngineError, Row, SNAPSHOTS};
use super::guard::{self, Refusal};
use super::opening::TailCut;
use super::space::{Low, Space};
use crate::disk::{sync_dir, sync_tree};
use crate::id::{PersistenceId, SeqNr};
use crate::journal::bytes::{CHECKSUM_BYTES, Reader, checksum, micros};
use crate::journal::{Durability, Fut, len_u64};
use crate::snapshot::sealed::{Sealed, unseal};
use crate::snapshot::{self, Criteria, SnapshotMeta, SnapshotStore, SnapshotStoreError, StoredSnapshot};
use crate::sync::{Arc, PoisonError, RwLock};

pub(super) const CACHE_BYTES: u64 = 8 * 1024 * 1024;
pub(super) const META: u8 = 1;
pub(super) const SNAPSHOT: u8 = 2;

/// Keeps snapshots in an engine that is opened when it is first asked for something, and made when something is saved.
///
/// Who has the journal's lock has it for itself.
pub(super) struct FjallSnapshots {
    path: PathBuf,
    space: Arc<Space>,
    engine: RwLock<State>,
}

enum State {
    Unopened,
    Open(Box<Engine>),
    /// Until the journal is opened again.
    Damaged(Arc<str>),
    Closed,
}

/// Why something wasn't done.
enum Failure {
    /// This snapshot is damaged.
    Damaged(SeqNr, String),
    Failed(Arc<str>),
    /// Too little space is free.
    Low(Low),
}

impl From<String> for Failure {
    fn from(error: String) -> Self {
        Failure::Failed(error.into())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        error.to_string().into()
    }
}

/// What a meta row says, or what is wrong with it.
struct Found {
    seq_nr: SeqNr,
    meta: Result<SnapshotMeta, String>,
}

impl FjallSnapshots {
    /// The snapshots at this path. Nothing is opened yet.
    pub(super) fn at(path: PathBuf, space: Arc<Space>) -> Self {
        Self { path, space, engine: RwLock::new(State::Unopened) }
    }

    /// Gives the engine back, for ever.
    pub(super) fn close(&self) {
        let state = {
            let mut state = self.engine.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *state, State::Closed)
        };
        if let State::Open(engine) = state
            && let Err(error) = engine.flush()
        {
            crate::log::warn!(path = %self.path.display(), %error, "the snapshots were not closed in order");
        }
    }

    /// Does something with the engine; `None` if there is none, and none is to be made.
    fn with_engine<T>(
        &self,
        make: bool,
        act: impl FnOnce(&Engine) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        {
            let state = self.engine.read().unwrap_or_else(PoisonError::into_inner);
            match &*state {
                State::Open(engine) => return act(engine).map(Some),
                State::Damaged(why) => return Err(Failure::Failed(Arc::clone(why))),
                State::Closed => return Err(Failure::Failed("the journal is closed".into())),
                State::Unopened => {}
            }
        }
        if !self.open(make)? {
            return Ok(None);
        }
        // Once it isn't unopened any more, it never is again.
        self.with_engine(make, act)
    }

    /// Opens the engine, if there is one or one is to be made; says whether that changed something.
    fn open(&self, make: bool) -> Result<bool, Failure> {
        let mut state = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        let is_unopened = matches!(*state, State::Unopened);
        if !is_unopened {
            return Ok(true);
        }
        if self.is_vacant()? {
            if !make {
                return Ok(false);
            }
            self.make()?;
        }
        // What the engine serves may be in the system's memory only, after a crash. Events may be deleted for it.
        let opened = self.guard().and_then(|()| Engine::open(&self.path, SNAPSHOTS, CACHE_BYTES));
        let opened = opened.and_then(|engine| engine.flush().map(|()| engine));
        match opened {
            Ok(engine) => *state = State::Open(Box::new(engine)),
            Err(EngineError::Damaged(reason)) => {
                let why: Arc<str> = format!("`{}` is damaged: {reason}", self.path.display()).into();
                crate::log::error!(path = %self.path.display(), reason, "the snapshots are damaged: none can be used");
                *state = State::Damaged(why);
            }
            // It may be better the next time.
            Err(error @ (EngineError::Failed(_) | EngineError::Locked)) => {
                return Err(format!("`{}` can't be opened: {error}", self.path.display()).into());
            }
        }
        Ok(true)
    }

    /// Checks the engine's files. What is torn at their end, as power loss or a write that failed leaves it, is cut off:
    /// nobody was told that it is stored.
    fn guard(&self) -> Result<(), EngineError> {
        let refused = |refusal| match refusal {
            refusal @ Refusal::Damaged { .. } => EngineError::Damaged(refusal.to_string()),
            refusal @ Refusal::Io { .. } => EngineError::Failed(refusal.to_string()),
        };
        // Nobody has noted whether a write has failed here.
        let found = guard::check(&self.path, true, &|_, _| Ok(())).map_err(refused)?;
        let Some(cut) = found.torn().and_then(TailCut::of) else { return Ok(()) };
        // Each batch is on the disk before the next one is written.
        if found.torn().is_some_and(|file| file.behind_flaw().batches > 0) {
            return Err(EngineError::Damaged(format!("`{}`: {}", cut.file.display(), cut.reason)));
        }
        crate::log::warn!(
            file = %cut.file.display(), bytes = cut.bytes, whole = cut.whole, reason = cut.reason,
            "the snapshot that was written last is not whole, and is cut off"
        );
        cut.cut_off().map_err(refused)
    }

    /// Whether there is nothing at the path, or an empty directory.
    fn is_vacant(&self) -> Result<bool, Failure> {
        match fs::read_dir(&self.path) {
            Ok(mut entries) => Ok(entries.next().is_none()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(format!("can't look at `{}`: {error}", self.path.display()).into()),
        }
    }

    /// Makes an empty engine beside its place, complete and synced, and moves it there: a process that dies meanwhile
    /// leaves nothing at the place.
    fn make(&self) -> Result<(), Failure> {
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let moved = || {
            match fs::remove_dir_all(&temporary) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.to_string()),
                Ok(()) | Err(_) => {}
            }
            Engine::create(&temporary, SNAPSHOTS).map_err(|error| error.to_string())?;
            let synced = sync_tree(&temporary).and_then(|()| fs::rename(&temporary, &self.path));
            let synced = synced.and_then(|()| self.path.parent().map_or(Ok(()), sync_dir));
            synced.map_err(|error| error.to_string())
        };
        moved().map_err(|error| format!("can't make `{}`: {error}", self.path.display()).into())
    }

    fn save(&self, id: &PersistenceId, stored: &StoredSnapshot) -> Result<(), Failure> {
        if let Some(low) = self.space.low(stored.bytes.len()) {
            return Err(Failure::Low(low));
        }
        let (meta_key, key) = (key(META, id, stored.seq_nr), key(SNAPSHOT, id, stored.seq_nr));
        let meta = meta_row(&meta_key, stored);
        let row = Sealed::new(id, stored).parts().concat();
        self.with_engine(true, |engine| {
            engine.pace()?;
            let mut rows = engine.batch(2, self.durability());
            rows.insert(&meta_key, &meta);
            rows.insert(&key, &row);
            rows.commit().map_err(|error| unwritten(&error))
        })?;
        Ok(())
    }

    fn load(&self, id: &PersistenceId, criteria: Criteria) -> Result<Option<StoredSnapshot>, Failure> {
        let loaded = self.with_engine(false, |engine| {
            for found in newest_first(engine, id) {
                let Found { seq_nr, meta } = found?;
                let meta = match meta {
                    Ok(meta) if criteria.allows(&meta) => meta,
                    Err(reason) if may_allow(criteria, seq_nr) => return Err(Failure::Damaged(seq_nr, reason)),
                    Ok(_) | Err(_) => continue,
                };
                let damaged = |reason: &str| Failure::Damaged(seq_nr, reason.into());
                let row = engine.get(&key(SNAPSHOT, id, seq_nr))?;
                let Some(row) = row else {
                    // A row without the other one is damage, unless both were deleted meanwhile.
                    if engine.get(&key(META, id, seq_nr))?.is_none() {
                        continue;
                    }
                    return Err(damaged("its row is missing"));
                };
                let stored = unseal(id, seq_nr, row.to_vec()).map_err(|reason| damaged(&reason))?;
                // They are stored together; one that was saved meanwhile is as good.
                let is_meant = stored.meta() == meta || criteria.allows(&stored.meta());
                return if is_meant { Ok(Some(stored)) } else { Err(damaged("it has another time than its row says")) };
            }
            Ok(None)
        })?;
        Ok(loaded.flatten())
    }

    fn list(&self, id: &PersistenceId) -> Result<Vec<SnapshotMeta>, Failure> {
        let listed = self.with_engine(false, |engine| {
            let mut listed = Vec::new();
            for found in newest_first(engine, id) {
                let Found { seq_nr, meta } = found?;
                match meta {
                    Ok(meta) => listed.push(meta),
                    Err(reason) => crate::log::warn!(%id, %seq_nr, reason, "a snapshot that is damaged isn't listed"),
                }
            }
            Ok(listed)
        })?;
        Ok(listed.unwrap_or_default())
    }

    /// Deletes those that are meant, and says how many there were.
    fn delete(&self, id: &PersistenceId, is_meant: impl Fn(&Found) -> bool) -> Result<usize, Failure> {
        let deleted = self.with_engine(false, |engine| {
            let meant: Result<Vec<_>, _> = newest_first(engine, id)
                .filter(|found| found.as_ref().map_or(true, &is_meant))
                .map(|found| found.map(|found| found.seq_nr))
                .collect();
            let meant = meant?;
            if meant.is_empty() {
                return Ok(0);
            }
            engine.pace()?;
            let mut rows = engine.batch(2 * meant.len(), self.durability());
            for seq_nr in &meant {
                rows.remove(&key(META, id, *seq_nr));
                rows.remove(&key(SNAPSHOT, id, *seq_nr));
            }
            rows.commit().map_err(|error| unwritten(&error))?;
            Ok(meant.len())
        })?;
        Ok(deleted.unwrap_or(0))
    }
}

/// What is said of a write that failed. The engine takes no more then; what it has can be read, so it isn't let go.
fn unwritten(error: &EngineError) -> Failure {
    format!("{error}; snapshots are saved and deleted again when the journal is opened again").into()
}

/// Whether a snapshot of which only the number is known may be one of those that are meant.
fn may_allow(criteria: Criteria, seq_nr: SeqNr) -> bool {
    criteria.allows(&SnapshotMeta { seq_nr, time: Timestamp::MIN, bytes: 0 })
}

/// Whether it is one of those that are meant, whatever its time is.
fn must_allow(criteria: Criteria, seq_nr: SeqNr) -> bool {
    criteria.allows(&SnapshotMeta { seq_nr, time: Timestamp::MAX, bytes: 0 })
}

fn newest_first<'a>(engine: &Engine, id: &'a PersistenceId) -> impl Iterator<Item = Result<Found, Failure>> + use<'a> {
    let (from, to) = (key(META, id, SeqNr::ZERO), key(META, id, SeqNr(u64::MAX)));
    engine.range(&from, &to).rev().map(|found| Ok(Found::parse(&found?)))
}

fn key(tag: u8, id: &PersistenceId, seq_nr: SeqNr) -> Vec<u8> {
    let (aggregate, entity) = (id.aggregate.as_bytes(), id.entity.as_str().as_bytes());
    let mut key = Vec::with_capacity(1 + 1 + aggregate.len() + 2 + entity.len() + 8);
    // The lengths were checked.
    key.extend_from_slice(&[tag, u8::try_from(aggregate.len()).unwrap_or(u8::MAX)]);
    key.extend_from_slice(aggregate);
    key.extend_from_slice(&u16::try_from(entity.len()).unwrap_or(u16::MAX).to_be_bytes());
    key.extend_from_slice(entity);
    key.extend_from_slice(&seq_nr.0.to_be_bytes());
    key
}

/// The key of a row of this kind, for those who look from outside.
pub(super) fn row_key(tag: u8, id: &PersistenceId, seq_nr: SeqNr) -> Vec<u8> {
    key(tag, id, seq_nr)
}

/// The id and the sequence number that a key stands for.
pub(super) fn parse_key(key: &[u8]) -> Option<(PersistenceId, SeqNr)> {
    let mut reader = Reader::new(key);
    reader.u8("the tag").ok()?;
    let len = reader.u8("the aggregate's length").ok()?;
    let aggregate = std::str::from_utf8(reader.take(usize::from(len), "the aggregate").ok()?).ok()?;
    let len = u16::from_be_bytes(reader.array("the id's length").ok()?);
    let entity = std::str::from_utf8(reader.take(usize::from(len), "the id").ok()?).ok()?;
    let seq_nr = SeqNr(u64::from_be_bytes(reader.array("the sequence number").ok()?));
    reader.end("the key").ok()?;
    Some((PersistenceId::new(aggregate, entity), seq_nr))
}

/// What a meta row says, if it is right.
pub(super) fn read_meta(key: &[u8], row: &[u8], seq_nr: SeqNr) -> Option<SnapshotMeta> {
    Found::parse_row(key, row, seq_nr)
}

fn meta_row(key: &[u8], stored: &StoredSnapshot) -> Vec<u8> {
    let mut row = micros(stored.time).to_le_bytes().to_vec();
    row.extend_from_slice(&len_u64(stored.bytes.len()).to_le_bytes());
    let digest = checksum(0, &[key, &row]);
    row.extend_from_slice(&digest.to_le_bytes());
    row
}

impl Found {
    fn parse((key, row): &Row) -> Self {
        let number = key.last_chunk().copied().unwrap_or_default();
        let seq_nr = SeqNr(u64::from_be_bytes(number));
        Self { seq_nr, meta: Self::parse_row(key, row, seq_nr).ok_or_else(|| "its row is wrong".into()) }
    }

    fn parse_row(key: &[u8], row: &[u8], seq_nr: SeqNr) -> Option<SnapshotMeta> {
        let (content, digest) = row.split_last_chunk::<CHECKSUM_BYTES>()?;
        if checksum(0, &[key, content]) != u64::from_le_bytes(*digest) {
            return None;
        }
        let mut reader = Reader::new(content);
        let time = Timestamp::from_microsecond(reader.i64("the time").ok()?).ok()?;
        let bytes = usize::try_from(reader.u64("the length").ok()?).ok()?;
        reader.end("the length").ok()?;
        Some(SnapshotMeta { seq_nr, time, bytes })
    }
}

/// What the store says when something isn't done.
fn told(tried: &'static str, id: &PersistenceId) -> impl Fn(Failure) -> SnapshotStoreError {
    move |failure| match failure {
        Failure::Damaged(seq_nr, reason) => SnapshotStoreError::Damaged { id: id.clone(), seq_nr, reason },
        Failure::Failed(error) => SnapshotStoreError::Failed { tried, id: id.clone(), error },
        Failure::Low(Low { free, floor }) => SnapshotStoreError::StorageLow { id: id.clone(), free, floor },
    }
}

impl SnapshotStore for FjallSnapshots {
    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    fn save(&self, id: &PersistenceId, snapshot: StoredSnapshot) -> Fut<'_, Result<(), SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move {
            snapshot::check(&id, &snapshot)?;
            self.save(&id, &snapshot).map_err(told("save", &id))
        })
    }

    fn load(
        &self,
        id: &PersistenceId,
        criteria: Criteria,
    ) -> Fut<'_, Result<Option<StoredSnapshot>, SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move {
            snapshot::check_id(&id)?;
            self.load(&id, criteria).map_err(told("load", &id))
        })
    }

    fn list(&self, id: &PersistenceId) -> Fut<'_, Result<Vec<SnapshotMeta>, SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move {
            snapshot::check_id(&id)?;
            self.list(&id).map_err(told("list", &id))
        })
    }

    fn delete(&self, id: &PersistenceId, seq_nr: SeqNr) -> Fut<'_, Result<(), SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move {
            snapshot::check_id(&id)?;
            self.delete(&id, |found| found.seq_nr == seq_nr).map(|_| ()).map_err(told("delete", &id))
        })
    }

    fn delete_matching(&self, id: &PersistenceId, criteria: Criteria) -> Fut<'_, Result<usize, SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move {
            snapshot::check_id(&id)?;
            let is_meant = |found: &Found| match &found.meta {
                Ok(meta) => criteria.allows(meta),
                Err(_) => must_allow(criteria, found.seq_nr),
            };
            self.delete(&id, is_meant).map_err(told("delete", &id))
        })
    }
}
