//! The directory beside a journal's place in which a whole one is made, to be moved there when it is complete.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::OpenError;
use super::lock::{LockError, LockFile};
use super::open::{ENGINE, HEAD, LOCK, SNAPSHOTS, io_error, names_in};
use crate::journal::keys;

/// So many names are tried for it.
const TEMPORARY_NAMES_MAX: u32 = 64;

/// What a journal is called while it is made beside its place, up to the process's id.
fn temporary_prefix(path: &Path) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp-");
    name
}

/// Removes what processes have left that died while they made this journal beside its place. Those that live hold a lock.
pub(super) fn remove_leftovers(path: &Path) {
    let Some(parent) = path.parent() else { return };
    let prefix = temporary_prefix(path);
    let is_number = |rest: &[u8]| rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
    let named = |is_leftover: &dyn Fn(&[u8]) -> bool| -> Vec<PathBuf> {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let leftover = |name: &OsStr| {
            let rest = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
            rest.is_some_and(is_leftover)
        };
        entries.filter(|entry| leftover(&entry.file_name())).map(|entry| entry.path()).collect()
    };
    for left in named(&is_number) {
        if !left.join(LOCK).exists() {
            remove_unlocked(&left);
        } else if let Ok(_lock) = LockFile::take(&left.join(LOCK)) {
            let removed = fs::remove_dir_all(&left);
            crate::log::info!(path = %left.display(), ok = removed.is_ok(), "removing a half-made journal");
        }
    }
    // What was being looked at is gone, and so is who has looked.
    let is_look = |rest: &[u8]| {
        let rest = str::from_utf8(rest).ok().and_then(|rest| rest.split_once(".look-"));
        rest.is_some_and(|(made, look)| {
            let mut name = prefix.clone();
            name.push(made);
            is_number(made.as_bytes()) && is_number(look.as_bytes()) && !parent.join(name).exists()
        })
    };
    for left in named(&is_look) {
        // Best effort: the next one to make this journal removes it too.
        let _result = fs::remove_dir_all(left);
    }
}

/// Removes what is left of a half-made journal without a lock. The lock is the first thing that is made in it: so either
/// there is nothing, and whoever is about to make one finds another name, or somebody died while it was removed.
fn remove_unlocked(path: &Path) {
    if fs::remove_dir(path).is_ok() {
        return;
    }
    let Ok(found) = names_in(path) else { return };
    if found.iter().all(|name| [HEAD, ENGINE, SNAPSHOTS, keys::FILE].contains(&name.as_str())) {
        let removed = fs::remove_dir_all(path);
        crate::log::info!(path = %path.display(), ok = removed.is_ok(), "removing the rest of a half-made journal");
    }
}

/// Makes the directory beside `path` in which a journal is made, and takes its lock. A name that is taken is left alone, whoever has
/// left it.
pub(super) fn make_temporary(path: &Path, parent: &Path) -> Result<(PathBuf, LockFile), OpenError> {
    // A name that was used in this process isn't used again: somebody may still be removing what had it.
    static NAMES_USED: AtomicU32 = AtomicU32::new(0);
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut name = temporary_prefix(path);
        name.push(format!("{}-{}", std::process::id(), NAMES_USED.fetch_add(1, Ordering::Relaxed)));
        let temporary = parent.join(name);
        let may_try_again = attempt < TEMPORARY_NAMES_MAX;
        match fs::create_dir(&temporary) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && may_try_again => continue,
            Err(error) => return Err(io_error("make the directory", &temporary)(error)),
        }
        let lock_path = temporary.join(LOCK);
        match LockFile::take(&lock_path) {
            Ok(lock) if lock.is_ours() => return Ok((temporary, lock)),
            // Before it was locked, somebody took it for left over, and removes it.
            Ok(_) | Err(LockError::Held { .. }) if may_try_again => {}
            Err(LockError::Io(error)) if error.kind() == io::ErrorKind::NotFound && may_try_again => {}
            Ok(_) => return Err(OpenError::Locked { path: temporary, pid: None }),
            Err(LockError::Held { pid }) => return Err(OpenError::Locked { path: temporary, pid }),
            Err(LockError::Io(error)) => return Err(io_error("lock", &lock_path)(error)),
        }
    }
}
