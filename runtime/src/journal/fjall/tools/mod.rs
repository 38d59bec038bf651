//! A store seen from outside, while nobody has it open.
//!
//! Nothing of a store is changed by looking at it: what opening the engine would write is written to a
//! [copy](look::Look).

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::aside::Aside;
use super::engine::{Engine, EngineError, Shape, TRUTH};
use super::error::OpenError;
use super::guard;
use super::open::{ENGINE, HEAD, LOCK, io_error, shared_by};
use super::{CACHE_BYTES, FjallOptions, Shared};
use crate::id::PersistenceId;
use crate::journal::head::{FORMAT, Found, Head, HeadError, State};
use crate::journal::keys::{Keys, KeysError};
use crate::journal::order::{Mark, OrderRow};
use crate::journal::{Corrupt, Place, ReadError, lock};

mod archive;
mod building;
mod export;
mod look;
mod records;
pub(super) mod repair;
mod scan;
mod snapshots;
mod stats;
mod streams;
mod verify;

pub use export::{ExportKeys, ImportKeys, Moved};
pub use records::RecordFound;
pub use repair::{Lost, Repair, RepairOptions, Repaired};
pub use stats::StoreStats;
pub use streams::StreamInfo;
pub use verify::Report;

use look::Look;

/// How far something has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done.
    pub doing: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// How much there is, where that is known.
    pub of: Option<u64>,
}

/// Is told how far something has come.
type Tell<'a> = &'a mut dyn FnMut(Progress);

/// Why a store can't be looked at, or wasn't changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is nothing at the path.
    #[error("there is no journal at `{}`: nothing is there", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// It can't be opened, not even to look at it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something in it can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is damaged, so that what was asked for can't be done.
    #[error("{corrupt}; `annals verify` tells all that is damaged, and `annals repair` what can be done about it")]
    Damaged {
        /// The first of what is damaged.
        corrupt: Corrupt,
    },
    /// No stream has this name.
    #[error("there is no stream of {id}")]
    NoStream {
        /// The name.
        id: PersistenceId,
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
    /// The engine's files are damaged, so that it can't be opened.
    #[error("the engine can't be opened, so nothing of it can be read, and a backup is needed: {}", told_flaws(flaws))]
    Engine {
        /// Which files, and what is wrong with each.
        flaws: Vec<(PathBuf, String)>,
    },
    /// There is something where a new store is to be made.
    #[error("there is something at `{}`: a new store is made only where nothing is, or in an empty directory", path.display())]
    NotVacant {
        /// The path.
        path: PathBuf,
    },
    /// What is to be imported is no export, or is damaged.
    #[error("the export can't be used: at byte {at}: {reason}")]
    Export {
        /// Where in it.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// There are streams that can be forgotten, and nothing was said about their keys.
    #[error(
        "some streams can be forgotten, so they are encrypted, and nothing is said about their keys: `--keys <file>` keeps \
         them in a file of their own, `--without-keys` does without, and those streams are forgotten in an import"
    )]
    KeysUnsaid {
        /// How many streams; 0 if that isn't known.
        streams: u64,
    },
    /// A new store was made, and isn't whole: it was removed again.
    #[error("the new store isn't whole, and was removed again: {corrupt}")]
    NotWhole {
        /// What is wrong with it.
        corrupt: Corrupt,
    },
    /// What is to be imported can't be read.
    #[error("the export can't be read: {0}")]
    Input(#[source] io::Error),
    /// Whoever took what was read didn't want more.
    #[error("what was read can't be handed on: {0}")]
    Output(#[source] io::Error),
}

fn told_flaws(flaws: &[(PathBuf, String)]) -> String {
    let told: Vec<_> = flaws.iter().map(|(path, reason)| format!("`{}`: {reason}", path.display())).collect();
    told.join("; ")
}

impl StoreError {
    fn io(tried: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |error| StoreError::Io { tried, path: path.clone(), error }
    }

    /// Whether it says that the store is damaged, and not that it can't be looked at.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            StoreError::Damaged { .. }
                | StoreError::Engine { .. }
                | StoreError::Export { .. }
                | StoreError::NotWhole { .. }
                | StoreError::Open(OpenError::Corrupt { .. })
                | StoreError::Read(ReadError::Corrupt(_))
        )
    }
}

/// The directory of a journal on a disk, seen from outside: to check it, to look at what it holds, to copy it.
///
/// While there is one, nobody opens the journal. Nothing in the directory is changed by what only looks: the engine's
/// tables are linked, and its own journals copied, to a directory beside it, which is removed afterwards.
///
/// All methods block the thread.
///
/// # Examples
///
/// ```
/// use annals::journal::{FjallJournal, FjallOptions, StoreDir};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("data");
/// drop(FjallJournal::open(&path, FjallOptions::new())?);
/// let mut store = StoreDir::open(&path)?;
/// let report = store.verify(&mut |_progress| {})?;
/// assert!(report.is_whole());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StoreDir {
    path: PathBuf,
    head: SeenHead,
    view: Option<View>,
    /// Held by the system's locks, which nothing but opening the store asks for.
    _locks: Vec<File>,
}

/// What the head file says.
#[derive(Debug)]
struct SeenHead {
    head: Option<Head>,
    /// What is wrong with it, also where one of the slots can be used.
    flaw: Option<String>,
}

/// A store whose engine is open, as a copy.
#[derive(Debug)]
struct View {
    shared: Shared,
    /// What of the engine's journal files isn't whole.
    torn: Vec<look::Torn>,
    /// What is wrong with the engine's other files, none of which it needs to open.
    flaws: Vec<(PathBuf, String)>,
    /// Whether all rows are in tables, as closing leaves them.
    is_all_in_tables: bool,
    /// For which file the journal isn't opened, and why.
    refusal: Option<(PathBuf, String)>,
    /// ORDER: dropped last, when nothing in it is open any more.
    _look: Look,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("path", &self.path).field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl StoreDir {
    /// Takes the store in a directory for itself, for as long as this value lives.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`], or [`StoreError::Open`]: what is there is no journal, is open, belongs to somebody else, or
    /// was written by a newer version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let given = path.as_ref();
        let path = match fs::canonicalize(given) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { path: given.to_owned() });
            }
            Err(error) => return Err(StoreError::io("find", given)(error)),
        };
        let found = fs::metadata(&path).map_err(StoreError::io("look at", &path))?;
        if !found.is_dir() {
            return Err(OpenError::NotADirectory { path }.into());
        }
        let (head, engine) = (path.join(HEAD), path.join(ENGINE));
        let is_there = |path: &Path| path.try_exists().map_err(StoreError::io("look at", path));
        if !is_there(&head)? && !is_there(&engine)? {
            let mut found: Vec<_> = fs::read_dir(&path)
                .map_err(StoreError::io("read the directory", &path))?
                .take(8)
                .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().escape_debug().to_string()))
                .collect();
            if found.is_empty() {
                return Err(StoreError::Missing { path });
            }
            found.sort();
            return Err(OpenError::NotOurs { path, found }.into());
        }
        // The engine has a lock of its own, which is held too while the store is open.
        let mut locks = Vec::new();
        for file in [path.join(LOCK), engine.join(LOCK)] {
            locks.extend(take_lock(&path, &file)?);
        }
        let head = read_head(&path, &head)?;
        Ok(Self { path, head, view: None, _locks: locks })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a copy of the engine, if that wasn't done yet.
    fn view(&mut self) -> Result<&View, StoreError> {
        let view = match self.view.take() {
            Some(view) => view,
            None => self.open_view()?,
        };
        Ok(self.view.insert(view))
    }

    fn open_view(&self) -> Result<View, StoreError> {
        let head_path = self.path.join(HEAD);
        let Some(head) = self.head.head else {
            let reason = self.head.flaw.clone().unwrap_or_default();
            return Err(StoreError::Damaged { corrupt: Corrupt { place: Place::File { path: head_path }, reason } });
        };
        let keys = Keys::look(&self.path, head.store).map_err(|error| self.keys_error(error))?;
        View::open(&self.path, &head, keys)
    }

    fn keys_error(&self, error: KeysError) -> StoreError {
        super::open::keys_error(&self.path, error).into()
    }
}

impl View {
    fn open(path: &Path, head: &Head, keys: Keys) -> Result<Self, StoreError> {
        let original = path.join(ENGINE);
        let look = Look::beside(path).map_err(StoreError::io("make a directory to look at", path))?;
        let copy = look.path().join(ENGINE);
        look::copy(&original, &copy).map_err(StoreError::io("copy", &original))?;
        let aside = Aside::new(&original).path().to_owned();
        if aside.exists() {
            // An opening ended in between: the next one puts back what this one had set aside.
            let refused = |error| StoreError::from(super::open::refusal_error(path, error));
            let copied = Aside::new(&copy);
            look::copy(&aside, copied.path()).map_err(StoreError::io("copy", &aside))?;
            copied.settle(head.epoch).map_err(refused)?;
        }
        let refusal = refusal(&original, &copy, head)?;
        let torn = look::mend(&original, &copy, head.store).map_err(StoreError::io("read", &original))?;
        let (flaws, engine) = open_engine(path, &original, &copy, TRUTH)?;
        // What can't be read is told by who reads it.
        let is_all_in_tables = engine.is_all_in_tables().unwrap_or(true);
        let shared = shared_by(path, head, keys, FjallOptions::new());
        let end = last_mark(&engine, head);
        *lock(&shared.durable) = end;
        shared.has_floors.store(true, std::sync::atomic::Ordering::SeqCst);
        *shared.engine.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(engine);
        Ok(Self { shared, torn, flaws, is_all_in_tables, refusal, _look: look })
    }

    fn with_engine<T>(&self, act: impl FnOnce(&Engine) -> Result<T, ReadError>) -> Result<T, ReadError> {
        self.shared.with_engine(act)
    }
}

/// For which file of an engine the journal isn't opened, as its copy says.
fn refusal(original: &Path, copy: &Path, head: &Head) -> Result<Option<(PathBuf, String)>, StoreError> {
    let look = |key: &[u8], row: &[u8]| super::open::check_row(head.store, key, row);
    match guard::check(copy, head.state == State::Failed, &look) {
        Ok(_) => Ok(None),
        Err(guard::Refusal::Damaged { path, reason }) => {
            Ok(Some((original.join(path.strip_prefix(copy).unwrap_or(&path)), reason)))
        }
        Err(guard::Refusal::Io { tried, error, .. }) => Err(StoreError::io(tried, original)(error)),
    }
}

/// Opens the engine in a copy, if its files let it be opened; says what is wrong with them.
fn open_engine(
    path: &Path,
    original: &Path,
    copy: &Path,
    shape: Shape,
) -> Result<(Vec<(PathBuf, String)>, Engine), StoreError> {
    let refused = |error| StoreError::from(super::open::refusal_error(path, error));
    let (mut flaws, may_open) = guard::flaws(copy).map_err(refused)?;
    for (file, _) in &mut flaws {
        *file = original.join(file.strip_prefix(copy).unwrap_or(file));
    }
    if !may_open {
        return Err(StoreError::Engine { flaws });
    }
    if guard::journal_files(copy).map_err(StoreError::io("read", original))?.is_empty() {
        flaws.push((original.to_owned(), "it has no journal file".into()));
        look::count_on(copy).map_err(StoreError::io("write", copy))?;
    }
    match Engine::open(copy, shape, CACHE_BYTES) {
        Ok(engine) => Ok((flaws, engine)),
        Err(EngineError::Damaged(reason)) => {
            flaws.push((original.to_owned(), reason));
            // A journal file may be missing whose rows are in tables.
            look::count_on(copy).map_err(StoreError::io("write", copy))?;
            match Engine::open(copy, shape, CACHE_BYTES) {
                Ok(engine) => Ok((flaws, engine)),
                Err(EngineError::Damaged(_)) => Err(StoreError::Engine { flaws }),
                Err(error) => Err(engine_error(path, error)),
            }
        }
        Err(error) => Err(engine_error(path, error)),
    }
}

/// The mark of the last group, or what the head says of it if it can't be read.
fn last_mark(engine: &Engine, head: &Head) -> Mark {
    let last = scan::last_group(engine);
    let row = last.and_then(|(group, (_, row))| OrderRow::parse(&row, head.store, group).ok());
    row.map_or(head.acked, |row| row.mark)
}

fn engine_error(path: &Path, error: EngineError) -> StoreError {
    super::open::engine_error(path, error).into()
}

/// Takes a lock without changing its file. None: there is no such file.
fn take_lock(path: &Path, file: &Path) -> Result<Option<File>, StoreError> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("open", file)(error)),
    };
    match opened.try_lock() {
        Ok(()) => Ok(Some(opened)),
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let read = File::open(path.join(LOCK)).and_then(|file| file.take(32).read_to_string(&mut pid));
            let pid = read.ok().and_then(|_| pid.trim().parse().ok());
            Err(OpenError::Locked { path: path.to_owned(), pid }.into())
        }
        Err(TryLockError::Error(error)) => Err(io_error("lock", file)(error).into()),
    }
}

fn read_head(path: &Path, head_path: &Path) -> Result<SeenHead, StoreError> {
    match Head::read(head_path) {
        Ok(Found::Good(head)) => Ok(SeenHead { head: Some(head), flaw: None }),
        Ok(Found::Half(head, error)) => {
            let flaw = format!("one of its slots is bad, and the other one is used: {error}");
            Ok(SeenHead { head: Some(head), flaw: Some(flaw) })
        }
        Err(HeadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            Ok(SeenHead { head: None, flaw: Some("it is missing".into()) })
        }
        Err(HeadError::Io(error)) => Err(StoreError::io("read", head_path)(error)),
        Err(HeadError::NewerFormat { found }) => {
            Err(OpenError::NewerFormat { path: path.to_owned(), found, supported: FORMAT }.into())
        }
        Err(error @ (HeadError::BothBad(..) | HeadError::TwoStores | HeadError::Length { .. })) => {
            Ok(SeenHead { head: None, flaw: Some(error.to_string()) })
        }
    }
}
