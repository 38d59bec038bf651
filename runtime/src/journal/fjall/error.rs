//! Why a journal doesn't open.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::journal::Corrupt;

/// Why a journal on a disk doesn't open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory has something else in it.
    #[error("`{}` is no journal: it has no file `head`, and in it are {}", path.display(), found.join(", "))]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// Some of what is in it.
        found: Vec<String>,
    },
    /// There is a file where the directory should be.
    #[error("`{}` is no directory; a journal needs one of its own", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// It is inside of another journal's directory, which has one journal only.
    #[error("`{}` is inside of the journal `{}`, and a journal has a directory for itself", path.display(), outer.display())]
    Nested {
        /// The directory.
        path: PathBuf,
        /// The other journal's.
        outer: PathBuf,
    },
    /// There is no room for what is set aside until it is known that nothing is lost. Nothing was changed.
    #[error("`{}` can't be opened: the disk has no room for what is set aside while it is checked", path.display())]
    NoRoom {
        /// The directory.
        path: PathBuf,
    },
    /// A newer version wrote it. Nothing was changed.
    #[error(
        "`{}` has format {found}, and this version reads formats up to {supported}: a newer version wrote it",
        path.display()
    )]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// The format.
        found: u8,
        /// The newest one that this version reads.
        supported: u8,
    },
    /// It is open already: in another process, or in this one.
    #[error("`{}` is open already{}", path.display(), pid.map(|pid| format!(" in process {pid}")).unwrap_or_default())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that has it open, if the lock file says so.
        pid: Option<u32>,
    },
    /// The system refused something.
    #[error("can't {tried} `{}`: {error}", path.display())]
    Io {
        /// What was tried.
        tried: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// What is stored is damaged, or some of it is missing.
    #[error("`{}` can't be opened: {corrupt}", path.display())]
    Corrupt {
        /// The directory.
        path: PathBuf,
        /// What is damaged.
        #[source]
        corrupt: Corrupt,
    },
    /// A repair ended before the new store was in its place. Nothing is lost: repairing again puts it there.
    #[error(
        "`{}` was being repaired, and the new store still is at `{}`: `annals repair` finishes it",
        path.display(), repaired.display()
    )]
    RepairInterrupted {
        /// Where the journal belongs.
        path: PathBuf,
        /// Where the new store is.
        repaired: PathBuf,
    },
    /// The engine failed.
    #[error("the engine in `{}` can't be opened: {error}", path.display())]
    Engine {
        /// The engine's directory.
        path: PathBuf,
        /// What the engine said.
        error: Arc<str>,
    },
    /// A journal on a disk can't promise to forget.
    #[error("`Durability::Memory` is nothing for a journal on a disk; it is `Fsync` or `Os`")]
    Durability,
}
