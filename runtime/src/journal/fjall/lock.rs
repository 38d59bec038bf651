//! The lock file: one process at a time.
//!
//! The lock is the system's advisory lock on the open file, held for as long as the journal is open. If somebody
//! deletes the file and makes a new one, two processes could each hold "the" lock; so before each group commit the
//! file at the path is compared with the one that is held.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

pub(super) struct LockFile {
    file: File,
    path: PathBuf,
    /// Which file it is.
    #[cfg(unix)]
    identity: (u64, u64),
}

pub(super) enum LockError {
    /// Held by another process, or by another journal in this one.
    Held {
        /// Who holds it, if the file says so.
        pid: Option<u32>,
    },
    Io(io::Error),
}

impl LockFile {
    /// Takes the lock, and writes this process's id into the file.
    pub(super) fn take(path: &Path) -> Result<Self, LockError> {
        let open = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held { pid: holder(&mut file) }),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        let this = Self {
            #[cfg(unix)]
            identity: identity(&file.metadata().map_err(LockError::Io)?),
            file,
            path: path.to_owned(),
        };
        this.write_pid().map_err(LockError::Io)?;
        Ok(this)
    }

    fn write_pid(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        (&self.file).rewind()?;
        writeln!(&self.file, "{}", std::process::id())
    }

    /// Says that the file, still held, lies elsewhere now.
    pub(super) fn moved_to(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Whether the file at the path is still the one that is held.
    pub(super) fn is_ours(&self) -> bool {
        #[cfg(unix)]
        {
            std::fs::metadata(&self.path).is_ok_and(|there| identity(&there) == self.identity)
        }
        #[cfg(not(unix))]
        // There, a file that is open can't be deleted.
        self.path.exists()
    }
}

impl Drop for LockFile {
    /// Gives the lock back by name: a process that is being started has a copy of the file for a moment, and the lock
    /// would stay with it.
    fn drop(&mut self) {
        // If this fails, closing the file gives it back.
        let _result = self.file.unlock();
    }
}

/// What tells a file from all others, for as long as one of them is open.
#[cfg(unix)]
fn identity(file: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

fn holder(file: &mut File) -> Option<u32> {
    let mut pid = String::new();
    file.take(32).read_to_string(&mut pid).ok()?;
    pid.trim().parse().ok()
}
