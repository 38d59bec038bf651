//! Opening a journal, or making one.

use std::collections::VecDeque;
use std::fs;
use std::hash::RandomState;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::aside::Aside;
use super::chain::{Check, End};
use super::engine::{Engine, EngineError, TRUTH};
use super::error::OpenError;
use super::guard::{self, Refusal};
use super::lock::{LockError, LockFile};
use super::making;
use super::opening::{Ended, Opening, OpeningTimes, TailCut};
use super::queue::Queue;
use super::snapshots::FjallSnapshots;
use super::space::Space;
use super::streams::Streams;
use super::syncer::Syncer;
use super::temporary::remove_leftovers;
use super::tools::repair::{REPAIRED, beside};
use super::torn::BEHIND_MAX;
use super::watch::{self, Watch};
use super::writer::Writer;
use super::{FjallJournal, FjallOptions, GROUPS_IN_FLIGHT, Shared};
use crate::id::StreamNo;
use crate::journal::bytes::RUN_BYTES_MAX;
use crate::journal::changed::Waiters;
use crate::journal::head::{FORMAT, Found, Head, HeadError, HeadFile, State, boot_id};
use crate::journal::keys::{self, Keys, KeysError};
use crate::journal::order::{Mark, OrderRow, group_of_key};
use crate::journal::{Corrupt, Durability, Facts, Health, Place, ReadError};
use crate::sync::{Arc, Mutex, RwLock};

pub(super) const LOCK: &str = "lock";
pub(super) const HEAD: &str = "head";
pub(super) const ENGINE: &str = "fjall";
pub(super) const SNAPSHOTS: &str = "snapshots";
/// So many names of foreign files at most are told.
const FOUND_MAX: usize = 8;

pub(super) fn open(path: &Path, options: FjallOptions) -> Result<FjallJournal, OpenError> {
    if options.durability == Durability::Memory {
        return Err(OpenError::Durability);
    }
    // A journal stays where it is when the process changes its directory.
    let path = std::path::absolute(path).map_err(io_error("find", path))?;
    if let Some(outer) = journal_around(&path) {
        return Err(OpenError::Nested { path, outer });
    }
    let (lock, path, is_new) = take_or_make(&path)?;
    open_locked(&path, lock, is_new, options)
}

/// The journal in whose directory a path is, if there is one.
fn journal_around(path: &Path) -> Option<PathBuf> {
    // What isn't there yet is where its nearest directory is that is there.
    let there = path.ancestors().find_map(|path| fs::canonicalize(path).ok().map(|there| (path, there)));
    let (begin, there) = there?;
    let mut outer = there.ancestors().skip(usize::from(begin == path));
    let is_journal = |path: &Path| path.join(HEAD).is_file() && path.join(ENGINE).is_dir();
    outer.find(|path| is_journal(path)).map(Path::to_owned)
}

pub(super) fn io_error(tried: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::Io { tried, path: path.clone(), error }
}

/// Takes the lock of the journal at `path`, and makes the journal if there is none. When two processes make it at once, one
/// of them has the lock, and the other one is told so.
///
/// Says also whether it was made.
fn take_or_make(path: &Path) -> Result<(LockFile, PathBuf, bool), OpenError> {
    if making::is_to_be_made(path)? {
        let repaired = beside(path, REPAIRED);
        if repaired.join(HEAD).exists() {
            return Err(OpenError::RepairInterrupted { path: path.to_owned(), repaired });
        }
        remove_leftovers(path);
        making::make_place(path)?;
    }
    let path = fs::canonicalize(path).map_err(io_error("find", path))?;
    if !has_head(&path)? && !making::is_to_be_made(&path)? {
        let found = names_in(&path).map_err(io_error("read the directory", &path))?;
        return Err(OpenError::NotOurs { path, found });
    }
    let file = path.join(LOCK);
    let lock = match LockFile::take(&file) {
        Ok(lock) => lock,
        Err(LockError::Held { pid }) => return Err(OpenError::Locked { path, pid }),
        Err(LockError::Io(error)) => return Err(io_error("lock", &file)(error)),
    };
    // Only who has the lock makes it: so whatever is half-made now is nobody's.
    let is_new = !has_head(&path)?;
    if is_new {
        making::make(&path)?;
        crate::log::info!(path = %path.display(), "made a journal");
    }
    making::remove_empty(&path);
    Ok((lock, path, is_new))
}

fn has_head(path: &Path) -> Result<bool, OpenError> {
    match fs::metadata(path.join(HEAD)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("look at", &path.join(HEAD))(error)),
    }
}

/// Whether there is nothing at `path`, or an empty directory.
pub(super) fn is_vacant(path: &Path) -> Result<bool, OpenError> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            let mut entries = fs::read_dir(path).map_err(io_error("read the directory", path))?;
            Ok(entries.next().is_none())
        }
        Ok(_) => Err(OpenError::NotADirectory { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(io_error("look at", path)(error)),
    }
}

pub(super) fn names_in(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)?.take(FOUND_MAX) {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn open_locked(path: &Path, lock: LockFile, is_new: bool, options: FjallOptions) -> Result<FjallJournal, OpenError> {
    let head_path = path.join(HEAD);
    let mut head = read_head(path, &head_path)?;
    let keys = Keys::open(path, head.store).map_err(|error| keys_error(path, error))?;
    let shared = shared_by(path, &head, keys, options);
    let (engine, end, opening, aside) = open_engine(&shared, &head, options)?;
    let opening = if is_new { Opening { ended: Ended::New, ..opening } } else { opening };

    head.epoch = shared.facts.epoch.max(end.epoch + 1);
    head.boot = boot_id().unwrap_or_default();
    head.durability = options.durability;
    head.state = State::Open;
    (head.acked, head.synced, head.checkpoint) = (end.mark, end.mark, end.removals.done_to(end.mark));
    let mut head_file = HeadFile::open(&head_path).map_err(io_error("open", &head_path))?;
    // ORDER: the epoch is on the disk before anything is written in it. From here on, what was set aside is of an epoch
    // that is over.
    head_file.write_both(&mut head).map_err(io_error("write", &head_path))?;
    if let Err(error) = aside.remove() {
        crate::log::warn!(path = %path.display(), %error, "what was set aside for the opening can't be removed");
    }
    let next_stream = end.last_stream.0 + 1;
    destroy_keys(&shared, &engine, &end.forgotten).map_err(|error| check_error(path, error))?;
    let syncer = head_file.syncer().and_then(Syncer::start).map_err(io_error("watch", &head_path))?;

    let shared = Arc::new(Shared {
        facts: Facts { epoch: head.epoch, ..shared.facts },
        engine: RwLock::new(Some(engine)),
        streams: Mutex::new(Streams::new(next_stream)),
        durable: Mutex::new(end.mark),
        waiters: Waiters::new(end.mark.offset),
        ..shared
    });
    let writer = Writer::new(Arc::clone(&shared), lock, head_file, head, syncer, end.time, end.removals);
    watch::start(&shared).map_err(io_error("start the watchdog of", path))?;
    let thread = crate::sync::thread::Builder::new().name("annals-writer".into()).spawn(move || writer.run());
    let thread = thread.inspect_err(|_| shared.watch.end()).map_err(io_error("start the writer of", path))?;
    crate::log::info!(path = %path.display(), epoch = head.epoch, offset = end.mark.offset.0, took = ?opening.took, "opened the journal");
    Ok(FjallJournal { shared, writer: Some(thread), opening })
}

/// Opens the engine and checks what it holds. If something is lost, its files are as they were before.
fn open_engine(
    shared: &Shared,
    head: &Head,
    options: FjallOptions,
) -> Result<(Engine, End, Opening, Aside), OpenError> {
    let begun = Instant::now();
    let path = &shared.path;
    let engine_path = path.join(ENGINE);
    let refused = |refusal| refusal_error(path, refusal);
    let aside = Aside::new(&engine_path);
    let resumed = aside.settle(head.epoch).map_err(refused)?;
    let look = |key: &[u8], value: &[u8]| check_row(head.store, key, value);
    let found = guard::check(&engine_path, head.state == State::Failed, &look).map_err(refused)?;
    let cut = found.torn().and_then(|file| TailCut::of(file).map(|cut| (cut, file)));
    if let Some((cut, file)) = &cut
        && !may_cut(head, file)
    {
        let reason = format!("from byte {} on, {}, and what follows is whole", cut.whole, cut.reason);
        return Err(refused(Refusal::damaged(&cut.file, reason)));
    }
    let cut = cut.map(|(cut, _)| cut);
    // ORDER: before anything of the engine's is touched.
    aside.take(head.epoch, &found).map_err(refused)?;
    let opened = cut.as_ref().map_or(Ok(()), TailCut::cut_off).map_err(refused);
    let files = begun.elapsed();
    let opened = opened.and_then(|()| open_and_check(shared, head, options, &engine_path));
    match opened {
        Ok((engine, end, took)) => {
            let took = OpeningTimes { files, ..took };
            if let Some(cut) = &cut {
                crate::log::warn!(
                    file = %cut.file.display(), bytes = cut.bytes, whole = cut.whole, reason = cut.reason,
                    "what was written last was not whole, and is cut off; nobody was told that it is stored"
                );
            }
            let ended = match head.state {
                State::Clean => Ended::Clean,
                State::Open => Ended::Unclean,
                State::Failed => Ended::Failed,
            };
            Ok((engine, end, Opening { ended, cut, resumed, took }, aside))
        }
        Err(error) => {
            if let Err(error) = aside.put_back(head.epoch) {
                crate::log::error!(
                    path = %engine_path.display(), %error,
                    "the engine's files can't be put back as they were; the next opening tries again"
                );
            }
            Err(error)
        }
    }
}

fn open_and_check(
    shared: &Shared,
    head: &Head,
    options: FjallOptions,
    engine_path: &Path,
) -> Result<(Engine, End, OpeningTimes), OpenError> {
    let (path, begun) = (&shared.path, Instant::now());
    let engine = Engine::open(engine_path, TRUTH, options.cache_bytes).map_err(|error| engine_error(path, error))?;
    let opened = begun.elapsed();
    let check = Check { shared, engine: &engine, head };
    check.look_for_keys().map_err(|error| check_error(path, error))?;
    check.look_for_floors().map_err(|error| check_error(path, error))?;
    let end = check.run().map_err(|error| check_error(path, error))?;
    let end = End { last_stream: check.last_stream().map_err(|error| check_error(path, error))?, ..end };
    let checked = begun.elapsed();
    if head.state != State::Clean {
        // What the engine serves now may be in the system's memory only, and a sync that failed before is forgotten
        // there. New tables are written and synced from what was read.
        engine.flush().map_err(|error| engine_error(path, error))?;
        crate::log::warn!(
            path = %path.display(), state = ?head.state, acked = head.acked.offset.0, found = end.mark.offset.0,
            durability = ?head.durability, "the journal was not closed in order; what it holds is whole"
        );
    } else if !engine.is_all_in_tables().map_err(|error| engine_error(path, error))? {
        // Closing moves all rows into tables.
        let reason = "its journal files hold rows that weren't there when it was closed in order".into();
        return Err(engine_error(path, EngineError::Damaged(reason)));
    }
    let (chain, tables) = (checked.saturating_sub(opened), begun.elapsed().saturating_sub(checked));
    Ok((engine, end, OpeningTimes { engine: opened, chain, tables, ..OpeningTimes::default() }))
}

/// Whether what isn't whole may be the end of what was written before power was lost.
pub(super) fn may_cut(head: &Head, file: &guard::JournalFile) -> bool {
    // With `Fsync`, each group is on the disk before the next one is written, and with it what was removed before it. Of
    // a journal that was closed, all is in tables.
    head.state == State::Clean || head.durability != Durability::Fsync || file.behind_flaw().storing < BEHIND_MAX
}

/// Says whether a row that the engine's journal holds is one of this store: a journal file of another store fits into
/// this engine, and its rows would take the place of ours.
pub(super) fn check_row(store: u64, key: &[u8], row: &[u8]) -> Result<(), String> {
    match group_of_key(key) {
        None => Ok(()),
        Some(group) => match OrderRow::parse(row, store, group) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("group {group} is damaged, or not of this store: {error}")),
        },
    }
}

pub(super) fn refusal_error(path: &Path, refusal: Refusal) -> OpenError {
    match refusal {
        Refusal::Damaged { path: file, reason } => {
            OpenError::Corrupt { path: path.to_owned(), corrupt: Corrupt { place: Place::File { path: file }, reason } }
        }
        Refusal::Io { error, .. } if error.kind() == io::ErrorKind::StorageFull => {
            OpenError::NoRoom { path: path.to_owned() }
        }
        Refusal::Io { tried, path, error } => OpenError::Io { tried, path, error },
    }
}

/// What a journal with this head is like before it is checked.
pub(super) fn shared_by(path: &Path, head: &Head, keys: Keys, options: FjallOptions) -> Shared {
    let facts = Facts {
        store: head.store,
        epoch: head.epoch + 1,
        run_bytes_max: RUN_BYTES_MAX,
        groups_in_flight: GROUPS_IN_FLIGHT,
        durability: options.durability,
    };
    let space = Arc::new(Space::of(path, options.free_bytes_min));
    Shared {
        facts,
        path: path.to_owned(),
        engine: RwLock::new(None),
        queue: Queue::default(),
        streams: Mutex::new(Streams::new(1)),
        opening: Default::default(),
        hasher: RandomState::new(),
        durable: Mutex::new(head.acked),
        waiters: Waiters::new(head.acked.offset),
        health: Mutex::new(Health::Good),
        low: Mutex::new(None),
        space: Arc::clone(&space),
        watch: Watch::new(options.stalled_after),
        keys,
        has_floors: crate::sync::atomic::AtomicBool::new(false),
        cursors: Mutex::new(VecDeque::new()),
        folding: Mutex::new(()),
        snapshots: Arc::new(FjallSnapshots::at(path.join(SNAPSHOTS), space)),
        #[cfg(any(test, shuttle))]
        faults: super::faults::Faults::default(),
    }
}

fn read_head(path: &Path, head_path: &Path) -> Result<Head, OpenError> {
    match Head::read(head_path) {
        Ok(Found::Good(head)) => Ok(head),
        Ok(Found::Half(head, error)) => {
            crate::log::warn!(
                path = %head_path.display(), %error, epoch = head.epoch, offset = head.acked.offset.0,
                "one slot of the head is bad; the other one is used, and both are written anew"
            );
            Ok(head)
        }
        Err(HeadError::Io(error)) => Err(io_error("read", head_path)(error)),
        Err(HeadError::NewerFormat { found }) => {
            Err(OpenError::NewerFormat { path: path.to_owned(), found, supported: FORMAT })
        }
        Err(error @ (HeadError::BothBad(..) | HeadError::TwoStores | HeadError::Length { .. })) => {
            let corrupt = Corrupt { place: Place::File { path: head_path.to_owned() }, reason: error.to_string() };
            Err(OpenError::Corrupt { path: path.to_owned(), corrupt })
        }
    }
}

pub(super) fn engine_error(path: &Path, error: EngineError) -> OpenError {
    let engine = path.join(ENGINE);
    match error {
        EngineError::Locked => OpenError::Locked { path: path.to_owned(), pid: None },
        EngineError::Failed(error) => OpenError::Engine { path: engine, error: error.into() },
        EngineError::Damaged(reason) => OpenError::Corrupt {
            path: path.to_owned(),
            corrupt: Corrupt { place: Place::File { path: engine }, reason },
        },
    }
}

pub(super) fn keys_error(path: &Path, error: KeysError) -> OpenError {
    let file = path.join(keys::FILE);
    match error {
        KeysError::Io(error) => io_error("read", &file)(error),
        KeysError::NoRandomness(error) => io_error("draw a secret for", &file)(io::Error::other(error)),
        KeysError::NewerFormat { found } => OpenError::NewerFormat { path: file, found, supported: keys::FORMAT },
        error => {
            let corrupt = Corrupt { place: Place::File { path: file }, reason: error.to_string() };
            OpenError::Corrupt { path: path.to_owned(), corrupt }
        }
    }
}

/// Finishes what a crash has interrupted: destroys the keys of streams that were forgotten.
fn destroy_keys(shared: &Shared, engine: &Engine, forgotten: &[StreamNo]) -> Result<(), ReadError> {
    let mut keys = Vec::with_capacity(forgotten.len());
    for stream in forgotten {
        keys.extend(shared.key_number(engine, *stream)?.map(|key| (key, *stream)));
    }
    if keys.is_empty() {
        return Ok(());
    }
    shared.keys.destroy(&keys).map_err(|error| {
        let what = format!("the keys of forgotten streams in `{}`", shared.keys.path().display());
        ReadError::Engine { what, error: error.to_string().into() }
    })
}

fn check_error(path: &Path, error: ReadError) -> OpenError {
    match error {
        ReadError::Corrupt(corrupt) => OpenError::Corrupt { path: path.to_owned(), corrupt },
        error => OpenError::Engine { path: path.join(ENGINE), error: error.to_string().into() },
    }
}

/// How far a journal with this head must reach.
pub(super) fn required(head: &Head) -> Mark {
    let same_boot = boot_id().is_some_and(|boot| boot == head.boot);
    if head.state == State::Clean || same_boot { head.acked } else { head.synced }
}
