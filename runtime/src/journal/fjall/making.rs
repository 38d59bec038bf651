//! The making of an empty journal in its directory.
//!
//! The directory may be the root of a volume, which can't be replaced, and whose parent nobody may write to: so the journal
//! is made inside, by the one who has the lock. It is complete and synced in a directory of its own before its parts are
//! moved into their places, the file `head` last: that one makes the directory a journal.
//!
//! A process that dies meanwhile leaves one of these, and the next opening goes on from each:
//!
//! - The lock, and the directory for making with anything in it: it is removed, and the journal is made anew.
//! - The engine in its place, and `head` alone in the directory for making: only `head` is moved. An engine is never removed:
//!   without a head of its own beside it, it may be that of a store whose head is lost.
//! - A journal, and the empty directory for making, which is removed.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::Path;

use super::engine::{Engine, TRUTH};
use super::error::OpenError;
use super::open::{ENGINE, HEAD, LOCK, io_error};
use crate::disk::{sync_dir, sync_tree};
use crate::journal::head::{Head, HeadFile};

/// The directory for making.
const MAKING: &str = ".annals.tmp";
/// What a new file system has in its root.
const LOST_AND_FOUND: &str = "lost+found";

/// Whether a journal is to be made at `path`: there is nothing, an empty directory, or what was left of making one.
pub(super) fn is_to_be_made(path: &Path) -> Result<bool, OpenError> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(OpenError::NotADirectory { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(io_error("look at", path)(error)),
    }
    let entries = fs::read_dir(path).map_err(io_error("read the directory", path))?;
    let to_be_finished = is_to_be_finished(path);
    for entry in entries {
        let entry = entry.map_err(io_error("read the directory", path))?;
        let kind = entry.file_type().map_err(io_error("look at", &entry.path()))?;
        let is_ours = match entry.file_name().to_str() {
            Some(LOCK) => kind.is_file(),
            Some(MAKING | LOST_AND_FOUND) => kind.is_dir(),
            Some(ENGINE) => kind.is_dir() && to_be_finished,
            _ => false,
        };
        if !is_ours {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether of making a journal only the last step is missing.
fn is_to_be_finished(path: &Path) -> bool {
    let making = path.join(MAKING);
    path.join(ENGINE).is_dir() && making.join(HEAD).is_file() && !making.join(ENGINE).exists()
}

/// Makes the directory of a journal, if it isn't there.
pub(super) fn make_place(path: &Path) -> Result<(), OpenError> {
    let was_there = path.is_dir();
    fs::create_dir_all(path).map_err(io_error("make the directory", path))?;
    // Who was here before may have died before the sync.
    let path = fs::canonicalize(path).map_err(io_error("find", path))?;
    let Some(parent) = path.parent() else { return Ok(()) };
    match sync_dir(parent) {
        // It is somebody else's, and so is what it holds.
        Err(error) if was_there && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced.map_err(io_error("sync", parent)),
    }
}

/// Makes an empty journal in its directory, or finishes one. The caller has the lock.
pub(super) fn make(path: &Path) -> Result<(), OpenError> {
    if !is_to_be_made(path)? {
        let found = super::open::names_in(path).map_err(io_error("read the directory", path))?;
        return Err(OpenError::NotOurs { path: path.to_owned(), found });
    }
    let making = path.join(MAKING);
    if !is_to_be_finished(path) {
        remove(&making)?;
        let made = make_in(&making).and_then(|()| move_to(path, &making, ENGINE));
        if made.is_err() {
            // Best effort: the next one to make this journal removes it too.
            let _result = remove(&making);
        }
        made?;
    }
    // ORDER: the engine is in its place before the head, which says that it is there.
    sync_dir(path).map_err(io_error("sync", path))?;
    move_to(path, &making, HEAD)?;
    sync_dir(path).map_err(io_error("sync", path))
}

/// Removes the directory for making, which is empty when a journal is made.
pub(super) fn remove_empty(path: &Path) {
    let _result = fs::remove_dir(path.join(MAKING));
}

fn remove(making: &Path) -> Result<(), OpenError> {
    match fs::remove_dir_all(making) {
        Ok(()) => crate::log::info!(path = %making.display(), "removed a half-made journal"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error("remove the half-made journal", making)(error)),
    }
    Ok(())
}

fn move_to(path: &Path, making: &Path, name: &str) -> Result<(), OpenError> {
    let place = path.join(name);
    fs::rename(making.join(name), &place).map_err(io_error("move a part of the new journal to", &place))
}

fn make_in(path: &Path) -> Result<(), OpenError> {
    fs::create_dir(path).map_err(io_error("make the directory", path))?;
    let engine = path.join(ENGINE);
    Engine::create(&engine, TRUTH)
        .map_err(|error| OpenError::Engine { path: engine, error: error.to_string().into() })?;
    let mut head = Head::begun(RandomState::new().build_hasher().finish());
    let head_path = path.join(HEAD);
    HeadFile::create(&head_path, &mut head).map_err(io_error("write", &head_path))?;
    sync_tree(path).map_err(io_error("sync", path))
}
