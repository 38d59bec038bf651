//! The directory where a run stores what it measures.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::Outcome;

/// Locked as long as a run goes on. Only a directory with this file is of an earlier run.
const LOCK: &str = "annals-bench.lock";

/// A directory that belongs to this run alone.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    _lock: File,
}

impl Place {
    /// Makes the directory, or empties it if an earlier run has left it. One with the files of somebody else is refused.
    pub(crate) fn take(path: &Path) -> Outcome<Self> {
        let refused = |why: &str| format!("{} can't be used: {why}", path.display());
        let failed = |error: io::Error| refused(&error.to_string());
        fs::create_dir_all(path).map_err(failed)?;
        let at = path.join(LOCK);
        if !at.exists() && fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(refused("it has files that aren't of an earlier run").into());
        }
        let lock = File::options().append(true).create(true).open(at).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(refused("another run is measuring there").into()),
            Err(TryLockError::Error(error)) => return Err(failed(error).into()),
        }
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else if entry.file_name() != LOCK {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Removes it with all that is in it.
    pub(crate) fn remove(self) -> Outcome<()> {
        Ok(fs::remove_dir_all(self.path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_from_an_earlier_run_and_from_nobody_else() {
        let path = std::env::temp_dir().join(format!("annals-bench-place-{}", std::process::id()));
        let place = Place::take(&path).unwrap();
        fs::create_dir(path.join("engine")).unwrap();
        let refused = Place::take(&path).unwrap_err().to_string();
        assert!(refused.ends_with("another run is measuring there"), "{refused}");
        drop(place);
        let place = Place::take(&path).unwrap();
        assert!(!path.join("engine").exists(), "what was left is gone");
        fs::remove_file(path.join(LOCK)).unwrap();
        fs::write(path.join("letter"), "").unwrap();
        let refused = Place::take(&path).unwrap_err().to_string();
        assert!(refused.ends_with("aren't of an earlier run"), "{refused}");
        assert!(path.join("letter").exists());
        place.remove().unwrap();
    }
}
