//! Snapshots as plain files.

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use super::sealed::{AROUND_BYTES, Sealed, unseal};
use super::{Criteria, SNAPSHOT_BYTES_MAX, SnapshotMeta, SnapshotStore, SnapshotStoreError, StoredSnapshot};
use crate::disk::sync_dir;
use crate::id::{PersistenceId, SeqNr};
use crate::journal::{Durability, Fut, len_u64, lock};
use crate::sync::{Arc, Mutex};

mod names;
#[cfg(test)]
mod tests;

/// Changes to entities whose ids fall together wait for each other.
const CHANGES: usize = 16;
/// So often a save is begun at the most, when somebody else removes what it has just made.
const SAVES_MAX: usize = 8;

/// Keeps each snapshot as a plain file, for a backup, a shared disk or other tools to see; clones share it.
///
/// A file is in the directories of its aggregate and its entity, and its name is its sequence number and its time:
/// `_account/_alice/200@1763740800000000.snapshot`. No id leads out of the directory, and ids that differ in one byte
/// never share one, also where capital letters count as small ones. A snapshot is written elsewhere, synced and moved to
/// its place: there is no half-written one, whenever the process ends or the power fails. Whatever else lies in the
/// directory is left alone, and no symbolic link in it is followed.
///
/// The directory belongs to one journal: a second one with the same aggregates would put its snapshots in place of the
/// first one's. A snapshot may have [`SNAPSHOT_BYTES_MAX`] bytes.
///
/// # Examples
///
/// ```
/// use annals::snapshot::{Criteria, DirSnapshots, SnapshotStore, StoredSnapshot};
/// use annals::{PersistenceId, SeqNr, Timestamp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("snapshots");
/// let store = DirSnapshots::open(&path)?;
/// let alice = PersistenceId::new("account", "alice");
/// let snapshot = StoredSnapshot { seq_nr: SeqNr(200), time: Timestamp::UNIX_EPOCH, bytes: vec![1, 2, 3] };
/// store.save(&alice, snapshot.clone()).await?;
/// assert!(path.join("_account/_alice/200@0.snapshot").exists());
///
/// let again = DirSnapshots::open(&path)?;
/// assert_eq!(again.load(&alice, Criteria::LATEST).await?, Some(snapshot));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DirSnapshots {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    /// Numbers the temporary files.
    written: AtomicU64,
    hasher: RandomState,
    /// Held by whoever changes something of an entity.
    changing: [Mutex<()>; CHANGES],
    /// Whether directories can't be synced.
    #[cfg(test)]
    sync_fails: std::sync::atomic::AtomicBool,
}

/// Why a directory of snapshots doesn't open.
#[derive(Debug, thiserror::Error)]
#[error("can't {tried} `{}`: {error}", path.display())]
pub struct DirSnapshotsError {
    /// What was tried.
    pub tried: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub error: io::Error,
}

impl DirSnapshots {
    /// Opens a directory, or makes it, and removes what snapshots that were being written have left when their process
    /// died.
    ///
    /// # Errors
    ///
    /// [`DirSnapshotsError`] if the system refuses something, such as where a file is at the path.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DirSnapshotsError> {
        let path = path.as_ref();
        let failed = |tried, path: &Path| {
            let path = path.to_owned();
            move |error| DirSnapshotsError { tried, path, error }
        };
        // The store stays where it is when the process changes its directory.
        let path = std::path::absolute(path).map_err(failed("find", path))?;
        let missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
        fs::create_dir_all(&path).map_err(failed("make the directory", &path))?;
        for parent in missing.iter().filter_map(|made| made.parent()) {
            sync_dir(parent).map_err(failed("sync", parent))?;
        }
        let root = fs::canonicalize(&path).map_err(failed("find", &path))?;
        let temporary = root.join(names::TEMPORARY);
        make_dir(&temporary).map_err(failed("make the directory", &temporary))?;
        remove_leftovers(&temporary).map_err(failed("read the directory", &temporary))?;
        let shared = Shared {
            root,
            written: AtomicU64::new(0),
            hasher: RandomState::new(),
            changing: Default::default(),
            #[cfg(test)]
            sync_fails: Default::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

/// Makes a directory, if it isn't there.
fn make_dir(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && is_dir(path)? => Ok(()),
        made => made,
    }
}

/// Whether there is a directory.
///
/// # Errors
///
/// If there is something else, such as a symbolic link, whatever it leads to.
fn is_dir(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(true),
        Ok(_) => Err(io::Error::new(ErrorKind::NotADirectory, format!("`{}` is no directory", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes what was left by processes that died while they wrote. Those that live hold a lock on it.
fn remove_leftovers(temporary: &Path) -> io::Result<()> {
    for entry in fs::read_dir(temporary)? {
        let entry = entry?;
        let is_ours = entry.file_name().to_str().is_some_and(names::is_temporary);
        if !is_ours || !entry.file_type()?.is_file() {
            continue;
        }
        let Ok(file) = File::options().write(true).open(entry.path()) else { continue };
        if file.try_lock().is_ok() {
            // Best effort: the next one to open the store removes it too.
            let removed = fs::remove_file(entry.path());
            crate::log::info!(path = %entry.path().display(), ok = removed.is_ok(), "removing a half-written snapshot");
        }
    }
    Ok(())
}

/// A file with a snapshot.
struct Stored {
    seq_nr: SeqNr,
    time: Timestamp,
    bytes: usize,
    path: PathBuf,
}

impl Stored {
    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { seq_nr: self.seq_nr, time: self.time, bytes: self.bytes }
    }

    /// All bytes of the file, but not many more than a snapshot may have.
    fn read(&self) -> io::Result<Vec<u8>> {
        let limit = SNAPSHOT_BYTES_MAX + AROUND_BYTES + 1;
        let mut bytes = Vec::with_capacity((self.bytes + AROUND_BYTES).min(limit));
        if fs::symlink_metadata(&self.path)?.is_file() {
            File::open(&self.path)?.take(len_u64(limit)).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }
}

/// A file that isn't in its place yet. It is locked, and goes away if it doesn't come there.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Mostly it isn't there any more.
        let _result = fs::remove_file(&self.path);
    }
}

impl Shared {
    /// The directory of an entity, if it is there.
    fn directory(&self, id: &PersistenceId) -> io::Result<Option<PathBuf>> {
        let mut path = self.root.clone();
        for name in names::directories(id) {
            path.push(name);
            if !is_dir(&path)? {
                return Ok(None);
            }
        }
        Ok(Some(path))
    }

    fn make_directory(&self, id: &PersistenceId) -> io::Result<PathBuf> {
        let mut path = self.root.clone();
        for name in names::directories(id) {
            path.push(name);
            make_dir(&path)?;
        }
        Ok(path)
    }

    /// Syncs a directory and those above it, up to the store's. They may have been made by a process that died before it
    /// had synced them.
    fn sync_up(&self, path: &Path) -> io::Result<()> {
        #[cfg(test)]
        if self.sync_fails.load(Ordering::Relaxed) {
            return Err(io::Error::other("as told"));
        }
        path.ancestors().take_while(|path| path.starts_with(&self.root)).try_for_each(sync_dir)
    }

    /// All files with snapshots of an entity, the highest sequence number first. Where a process died while it put one in
    /// place of another one, both are there; the later one comes first.
    fn files(&self, id: &PersistenceId) -> io::Result<Vec<Stored>> {
        let Some(directory) = self.directory(id)? else { return Ok(Vec::new()) };
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Some((seq_nr, time)) = entry.file_name().to_str().and_then(names::parse_file) else { continue };
            match entry.metadata() {
                Ok(found) if found.is_file() => {
                    let bytes = usize::try_from(found.len()).unwrap_or(usize::MAX).saturating_sub(AROUND_BYTES);
                    files.push(Stored { seq_nr, time, bytes, path: entry.path() });
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        files.sort_by_key(|file| std::cmp::Reverse((file.seq_nr, file.time)));
        Ok(files)
    }

    fn change<T>(&self, id: &PersistenceId, change: impl FnOnce() -> T) -> T {
        let place = self.hasher.hash_one(id) % len_u64(CHANGES);
        let _changing = usize::try_from(place).ok().and_then(|place| self.changing.get(place)).map(lock);
        change()
    }

    fn save(&self, id: &PersistenceId, snapshot: &StoredSnapshot) -> io::Result<()> {
        let sealed = Sealed::new(id, snapshot);
        let name = names::file(snapshot.seq_nr, snapshot.time);
        let mut saves = 0;
        let placed = loop {
            saves += 1;
            match self.place(id, &sealed, &name) {
                // Somebody has taken the file for left over, or has found a directory empty, and has removed it.
                Err(error) if error.kind() == ErrorKind::NotFound && saves < SAVES_MAX => {}
                placed => break placed?,
            }
        };
        let files = self.files(id)?;
        let mut others = files.iter().filter(|file| file.seq_nr == snapshot.seq_nr && file.path != placed).peekable();
        if others.peek().is_none() {
            return Ok(());
        }
        remove(others)?;
        placed.parent().map_or(Ok(()), sync_dir)
    }

    /// Writes a snapshot and moves it to its place, durably.
    fn place(&self, id: &PersistenceId, sealed: &Sealed<'_>, name: &str) -> io::Result<PathBuf> {
        let directory = self.make_directory(id)?;
        let written = self.write(sealed)?;
        let path = directory.join(name);
        let replaces = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
        fs::rename(&written.path, &path)?;
        if let Err(error) = self.sync_up(&directory) {
            // What isn't durable may not be taken for a snapshot that events can be deleted for. Of what was in its place
            // there is no other: whatever happens now, one of the two is there.
            if !replaces {
                let _result = fs::remove_file(&path);
            }
            return Err(error);
        }
        Ok(path)
    }

    fn write(&self, sealed: &Sealed<'_>) -> io::Result<Temporary> {
        let directory = self.root.join(names::TEMPORARY);
        make_dir(&directory)?;
        let path = directory.join(names::temporary(self.written.fetch_add(1, Ordering::Relaxed)));
        let file = match File::options().write(true).create_new(true).open(&path) {
            // A process with this id has left it; another name is tried.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(ErrorKind::NotFound.into()),
            opened => opened?,
        };
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(ErrorKind::NotFound.into());
        }
        let mut written = Temporary { path, file };
        for part in sealed.parts() {
            written.file.write_all(part)?;
        }
        written.file.sync_all()?;
        Ok(written)
    }

    fn load(&self, id: &PersistenceId, criteria: Criteria) -> Result<Option<StoredSnapshot>, Failure> {
        for stored in snapshots(&self.files(id)?).filter(|stored| criteria.allows(&stored.meta())) {
            match stored.read() {
                Ok(bytes) => {
                    let damaged = |reason| Failure::Damaged(stored.seq_nr, reason);
                    let snapshot = unseal(id, stored.seq_nr, bytes).map_err(damaged)?;
                    if snapshot.time != stored.time {
                        return Err(damaged("its file is named after another time".into()));
                    }
                    return Ok(Some(snapshot));
                }
                // It was deleted meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Deletes those that are meant, and says how many there were.
    fn delete(&self, id: &PersistenceId, is_meant: impl Fn(&SnapshotMeta) -> bool) -> io::Result<usize> {
        let files = self.files(id)?;
        let meant: Vec<_> = snapshots(&files).map(Stored::meta).filter(is_meant).map(|meta| meta.seq_nr).collect();
        if meant.is_empty() {
            return Ok(0);
        }
        // The one that stands for a sequence number goes last, so that none comes up that it was put in place of.
        remove(files.iter().rev().filter(|file| meant.contains(&file.seq_nr)))?;
        self.clean_up(id)?;
        Ok(meant.len())
    }

    /// Makes durable that something was removed, and removes directories of the entity that are empty then.
    fn clean_up(&self, id: &PersistenceId) -> io::Result<()> {
        let Some(mut directory) = self.directory(id)? else { return Ok(()) };
        for _ in names::of(id.entity.as_str()) {
            sync_if_there(&directory)?;
            // Mostly it is not empty.
            if fs::remove_dir(&directory).is_err() || !directory.pop() {
                return Ok(());
            }
        }
        sync_if_there(&directory)
    }
}

/// Those that there are, among all files: the first of each sequence number.
fn snapshots(files: &[Stored]) -> impl Iterator<Item = &Stored> {
    files.chunk_by(|one, other| one.seq_nr == other.seq_nr).filter_map(<[Stored]>::first)
}

/// Why a snapshot isn't loaded.
enum Failure {
    Io(io::Error),
    Damaged(SeqNr, String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

fn sync_if_there(path: &Path) -> io::Result<()> {
    match sync_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        synced => synced,
    }
}

#[expect(single_use_lifetimes, reason = "an `impl Trait` can't leave it out yet")]
fn remove<'a>(files: impl IntoIterator<Item = &'a Stored>) -> io::Result<()> {
    files.into_iter().try_for_each(|file| match fs::remove_file(&file.path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    })
}

/// What a store says when the system fails.
fn failed<'a>(tried: &'static str, id: &'a PersistenceId) -> impl Fn(io::Error) -> SnapshotStoreError + 'a {
    move |error| SnapshotStoreError::Failed { tried, id: id.clone(), error: error.to_string().into() }
}

impl SnapshotStore for DirSnapshots {
    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    fn save(&self, id: &PersistenceId, snapshot: StoredSnapshot) -> Fut<'_, Result<(), SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move {
            super::check(&id, &snapshot)?;
            let saved = self.shared.change(&id, || self.shared.save(&id, &snapshot));
            saved.map_err(failed("save", &id))
        })
    }

    fn load(
        &self,
        id: &PersistenceId,
        criteria: Criteria,
    ) -> Fut<'_, Result<Option<StoredSnapshot>, SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move {
            super::check_id(&id)?;
            self.shared.load(&id, criteria).map_err(|failure| match failure {
                Failure::Io(error) => failed("load", &id)(error),
                Failure::Damaged(seq_nr, reason) => SnapshotStoreError::Damaged { id: id.clone(), seq_nr, reason },
            })
        })
    }

    fn list(&self, id: &PersistenceId) -> Fut<'_, Result<Vec<SnapshotMeta>, SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move {
            super::check_id(&id)?;
            let files = self.shared.files(&id).map_err(failed("list", &id))?;
            Ok(snapshots(&files).map(Stored::meta).collect())
        })
    }

    fn delete(&self, id: &PersistenceId, seq_nr: SeqNr) -> Fut<'_, Result<(), SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move {
            super::check_id(&id)?;
            let deleted = self.shared.change(&id, || self.shared.delete(&id, |meta| meta.seq_nr == seq_nr));
            deleted.map(|_| ()).map_err(failed("delete", &id))
        })
    }

    fn delete_matching(&self, id: &PersistenceId, criteria: Criteria) -> Fut<'_, Result<usize, SnapshotStoreError>> {
        let id = id.clone();
        Box::pin(async move {
            super::check_id(&id)?;
            let deleted = self.shared.change(&id, || self.shared.delete(&id, |meta| criteria.allows(meta)));
            deleted.map_err(failed("delete", &id))
        })
    }
}

impl std::fmt::Debug for DirSnapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirSnapshots").field("path", &self.shared.root).finish_non_exhaustive()
    }
}
