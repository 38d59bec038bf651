//! A copy of an engine that may be opened.
//!
//! Opening an engine writes: it cuts torn ends off its own journals, and removes files that it doesn't know. So what is
//! only to be looked at is copied before. Tables are never written again, so they are linked where the system can.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::guard::journal_files;
use super::super::open::check_row;
use super::super::torn::{self, Scan};
use crate::journal::bytes::len_u64;

const PIECE_BYTES: usize = 64 * 1024;
/// The engine's directories of tables.
const TABLES: &str = "tables";
/// So many names are tried for a copy.
const NAMES_MAX: u32 = 64;

/// A directory that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Look {
    path: PathBuf,
}

impl Look {
    /// Makes a directory beside the store, or, where that may not be written to, where the system keeps what is temporary.
    /// Before, those are removed that died while they looked.
    pub(super) fn beside(store: &Path) -> io::Result<Self> {
        remove_leftovers(store.parent().unwrap_or(store), &prefix(store));
        Self::another(store)
    }

    /// The same, while there is one of this store already.
    pub(super) fn another(store: &Path) -> io::Result<Self> {
        static NAMES_USED: AtomicU32 = AtomicU32::new(0);
        let prefix = prefix(store);
        let parent = store.parent().unwrap_or(store);
        let mut tried = 0;
        loop {
            tried += 1;
            let mut name = prefix.clone();
            name.push(format!("{}-{}", std::process::id(), NAMES_USED.fetch_add(1, Ordering::Relaxed)));
            let made = match make_private(&parent.join(&name)) {
                Err(error) if is_refused(&error) => make_private(&std::env::temp_dir().join(&name)),
                made => made,
            };
            match made {
                Ok(path) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tried < NAMES_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        // The next one to look removes it too.
        let _result = fs::remove_dir_all(&self.path);
    }
}

fn make_private(path: &Path) -> io::Result<PathBuf> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map(|()| path.to_owned())
}

fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn prefix(store: &Path) -> OsString {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(".look-");
    name
}

/// Removes what processes have left that died while they looked at this store. Whoever asks holds its lock, so nobody else
/// is looking.
fn remove_leftovers(parent: &Path, prefix: &OsString) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let rest = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        if rest.is_some_and(|rest| rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-')) {
            let _result = fs::remove_dir_all(entry.path());
        }
    }
}

/// Copies a directory, with holes where there are zeros. Tables are linked.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    copy_tree(from, to, true)
}

fn copy_tree(from: &Path, to: &Path, link_tables: bool) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let found = fs::metadata(entry.path())?;
        if found.is_dir() {
            copy_tree(&entry.path(), &target, link_tables)?;
        } else if found.is_file() {
            let is_table = link_tables && from.file_name().is_some_and(|name| name == TABLES);
            if !(is_table && fs::hard_link(entry.path(), &target).is_ok()) {
                copy_sparse(&entry.path(), &target)?;
            }
        } else {
            let error = format!("`{}` is neither a file nor a directory", entry.path().display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
    }
    Ok(())
}

fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create_new(to)?);
    let mut piece = vec![0; PIECE_BYTES];
    let mut copied = 0;
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if piece[..read].iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(copied))?;
            to.write_all(&piece[..read])?;
        }
        copied += len_u64(read);
    }
    to.set_len(copied)
}

/// A file of the engine's own journal that isn't whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Torn {
    pub(super) path: PathBuf,
    /// Up to here it is whole.
    pub(super) whole: u64,
    /// Behind this there are only zeros.
    pub(super) written: u64,
    /// What is wrong behind that.
    pub(super) reason: String,
    /// Whether whole batches follow that store something.
    pub(super) is_hole: bool,
    /// Whether any whole batch follows.
    pub(super) is_followed: bool,
}

/// Takes out of the journal files of a copy what isn't whole, and says what that was. `original` is what it is a copy of.
pub(super) fn mend(original: &Path, copy: &Path, store: u64) -> io::Result<Vec<Torn>> {
    let mut found = Vec::new();
    let mut last = None;
    for (_, path) in journal_files(copy)? {
        let look = |key: &[u8], row: &[u8]| check_row(store, key, row);
        let scan = torn::scan(&path, last, &look)?;
        let Some(flaw) = scan.flaw else {
            last = scan.last;
            continue;
        };
        let (batches, end) = torn::whole_batches(&path, last, &look)?;
        last = end;
        let bytes = fs::read(&path)?;
        let mut whole = Vec::new();
        for batch in batches {
            let range =
                usize::try_from(batch.start).unwrap_or(usize::MAX)..usize::try_from(batch.end).unwrap_or(usize::MAX);
            whole.extend_from_slice(bytes.get(range).unwrap_or_default());
        }
        fs::write(&path, whole)?;
        let path = original.join(path.file_name().unwrap_or_default());
        let Scan { whole, written, .. } = scan;
        let is_hole = flaw.behind.storing >= torn::BEHIND_MAX;
        let is_followed = flaw.behind.batches > 0;
        found.push(Torn { path, whole, written, reason: flaw.reason, is_hole, is_followed });
    }
    Ok(found)
}

/// Adds a write to the journal of a copy, so that the engine counts on behind all that its tables hold.
pub(super) fn count_on(copy: &Path) -> io::Result<()> {
    /// Far behind all numbers that were given, and far from the last that there is.
    const SEQNO: u64 = 1 << 50;
    let path = journal_files(copy)?.pop().map_or_else(|| copy.join("0.jnl"), |(_, path)| path);
    let mut bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(written);
    bytes.extend_from_slice(&torn::number_alone(SEQNO));
    fs::write(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_all_bytes_and_is_gone_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        fs::create_dir_all(store.join("tables")).unwrap();
        let bytes = [vec![0; 200_000], vec![7; 70_000], vec![0; 100_000]].concat();
        fs::write(store.join("0.jnl"), &bytes).unwrap();
        fs::write(store.join("tables/1"), b"table").unwrap();
        fs::create_dir(dir.path().join("store.look-1-1")).unwrap();
        fs::create_dir(dir.path().join("store.look-mine")).unwrap();

        let look = Look::beside(&store).unwrap();
        assert!(!dir.path().join("store.look-1-1").exists(), "what was left is removed");
        let engine = look.path().join("engine");
        copy(&store, &engine).unwrap();
        assert!(fs::read(engine.join("0.jnl")).unwrap() == bytes);
        assert_eq!(fs::read(engine.join("tables/1")).unwrap(), b"table");
        drop(look);
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["store", "store.look-mine"]);
    }
}
