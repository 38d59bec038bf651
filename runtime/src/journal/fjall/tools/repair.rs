//! A store made of what can be read of a damaged one, in its place.
//!
//! What is damaged is never edited. The new store has the rows that can be read, in the order of the chain, with the same
//! store id and the same offsets:
//!
//! - Whoever has stored an offset goes on with it. Offsets of records that are lost are not given to others: the order lists
//!   them still, as records of stream 0, which no entity has, deleted. So no consumer passes over a new record.
//! - Snapshots elsewhere and runs to be settled refer to the store by its id, and hold for what is left. A snapshot of a
//!   record that is lost doesn't fit the record that gets its sequence number: their times differ.
//! - A stream keeps its records up to the first that is lost, since it has no gaps. Sequence numbers behind that are given
//!   again.
//!
//! ORDER: the new store is whole and synced before the damaged one is moved. A process that dies between the two renames
//! leaves the name vacant: then the journal doesn't open, and repairing again puts the new one there.

mod plan;
mod salvage;
mod write;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::lock::{LockError, LockFile};
use super::super::open::{HEAD, LOCK, required};
use super::building::{Building, Origin, Scaffold};
use super::{Progress, SeenHead, StoreDir, StoreError, Tell, read_head};
use crate::disk::sync_dir;
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};
use crate::journal::due::file;
use crate::journal::head::Head;
use crate::journal::keys::{self, Keys};
use crate::journal::order::Mark;
use crate::journal::{Corrupt, Place, Report};

use plan::Plan;
use salvage::Salvage;

/// While it is made.
const REPAIRING: &str = ".repairing";
/// When it is whole, and waits for its place.
pub(in crate::journal::fjall) const REPAIRED: &str = ".repaired";
const DAMAGED: &str = ".damaged-";
/// So many damaged stores may lie beside one.
const DAMAGED_MAX: u32 = 10_000;
/// So many lost parts are listed; the others are counted.
const LOST_MAX: usize = 1000;

const KEYS_LOST: &str =
    "the keys are lost: streams that can be forgotten can't be read any more, nor who was forgotten";

/// How a store is repaired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairOptions {
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// Whether records may be lost that were acknowledged.
    pub accept_data_loss: bool,
    /// An older file `head` of the same store, where that is lost: it has the store's id.
    pub head: Option<PathBuf>,
}

/// What became of a store that was to be repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// What was done.
    pub outcome: Repaired,
    /// What was wrong.
    pub report: Report,
    /// What is lost, or would be.
    pub lost: Vec<Lost>,
    /// How many parts more are lost than are listed.
    pub more_lost: u64,
    /// What else has to be known.
    pub notes: Vec<String>,
}

/// What was done about a damaged store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repaired {
    /// It isn't damaged.
    Whole,
    /// It can be repaired; nothing was changed.
    Possible,
    /// It would lose what was acknowledged; nothing was changed.
    Refused,
    /// It was repaired.
    Done {
        /// Where the damaged store is kept.
        damaged: PathBuf,
    },
}

/// Records that are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// The first and the last offset, where they are known.
    pub offsets: Option<(Offset, Offset)>,
    /// Whose they are, where that is known.
    pub stream: Option<StreamNo>,
    /// The name of the stream, where that is known.
    pub id: Option<PersistenceId>,
    /// The first and the last sequence number, where the stream is known.
    pub seq_nrs: Option<(SeqNr, SeqNr)>,
    /// Whether somebody may have been told that they are stored.
    pub acknowledged: bool,
}

impl StoreDir {
    /// Makes a store of all that can be read, and puts it in the place of this one, which is kept beside it under the name
    /// with `.damaged-1` behind it, or the next number.
    ///
    /// Without [`RepairOptions::accept_data_loss`], nothing is lost that was acknowledged: if it would be, nothing is
    /// changed. Takes memory for each run of the order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Engine`] or [`StoreError::Damaged`] if nothing can be read, and others if the system below fails. The
    /// damaged store is then as it was.
    pub fn repair(mut self, options: &RepairOptions, progress: &mut dyn FnMut(Progress)) -> Result<Repair, StoreError> {
        let report = self.verify(progress)?;
        let mut repair = Repair { outcome: Repaired::Whole, report, lost: Vec::new(), more_lost: 0, notes: Vec::new() };
        if repair.report.is_whole() {
            return Ok(repair);
        }
        let (head, is_head_lost) = self.head_or_what_is_left(options, &mut repair)?;
        if is_head_lost {
            self.head = SeenHead { head: Some(head), flaw: None };
        }
        let are_keys_lost = self.open_without_keys(&head, &mut repair)?;
        let plan = {
            let Some(view) = &self.view else { return Err(crate::journal::ReadError::Closed.into()) };
            let required = if is_head_lost { Mark::default() } else { required(&head) };
            let salvage = Salvage::read(view, head.store, required, progress)?;
            Plan::make(view, salvage, required, are_keys_lost, &mut repair)?
        };
        let loses = is_head_lost || repair.lost.iter().any(|lost| lost.acknowledged) || plan.loses_more;
        repair.outcome = match (loses && !options.accept_data_loss, options.dry_run) {
            (true, _) => Repaired::Refused,
            (false, true) => Repaired::Possible,
            (false, false) => Repaired::Done { damaged: self.replace(&head, &plan, are_keys_lost, progress)? },
        };
        Ok(repair)
    }

    /// Finishes a repair of the store at a path that ended in between, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the new store can't be moved to its place.
    pub fn finish_repair(path: impl AsRef<Path>) -> Result<Option<PathBuf>, StoreError> {
        let path = std::path::absolute(path.as_ref()).map_err(StoreError::io("find", path.as_ref()))?;
        let repaired = beside(&path, REPAIRED);
        let is_vacant = matches!(path.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound);
        if !is_vacant || !repaired.join(HEAD).exists() {
            return Ok(None);
        }
        let _held = lock_new(&repaired)?;
        move_to(&repaired, &path)?;
        let numbers = (1..DAMAGED_MAX).map(|number| beside(&path, &format!("{DAMAGED}{number}")));
        Ok(numbers.take_while(|damaged| damaged.exists()).last())
    }

    /// The head, or one that has what can be found out without it.
    fn head_or_what_is_left(&self, options: &RepairOptions, repair: &mut Repair) -> Result<(Head, bool), StoreError> {
        if let Some(head) = self.head.head {
            return Ok((head, false));
        }
        let older = match &options.head {
            Some(path) => read_head(&self.path, path)?.head.map(|head| head.store),
            None => None,
        };
        let Some(store) = older.or_else(|| self.store_elsewhere()) else {
            let place = Place::File { path: self.path.join(HEAD) };
            let reason = "it has the store's id, without which no checksum can be verified, and no other file \
                              has it: an older `head` of this very store, from a backup, can be given with `--head <file>`";
            return Err(StoreError::Damaged { corrupt: Corrupt { place, reason: reason.into() } });
        };
        repair.notes.push(
            "the head is lost: how far the journal must reach isn't known, so records may be missing at its end, and \
             their offsets may be given again"
                .into(),
        );
        // Nobody knows how it was left, nor since when the machine runs.
        let head = Head { boot: [0; 16], state: crate::journal::head::State::Open, ..Head::begun(store) };
        Ok((head, true))
    }

    /// The store's id, as files beside the head have it.
    fn store_elsewhere(&self) -> Option<u64> {
        let read = |name: &str| fs::read(self.path.join(name)).ok();
        let in_keys = || keys::store_in(&read(keys::FILE)?);
        let in_deadlines = || file::store_in(&read(file::FILE)?);
        in_keys().or_else(in_deadlines)
    }

    /// Opens the engine, with the keys if they can be read; says whether they can't.
    fn open_without_keys(&mut self, head: &Head, repair: &mut Repair) -> Result<bool, StoreError> {
        let (keys, are_lost) = match Keys::look(&self.path, head.store) {
            Ok(keys) => (keys, false),
            Err(keys::KeysError::Io(error)) => {
                return Err(StoreError::io("read", &self.path.join(keys::FILE))(error));
            }
            Err(_) => {
                repair.notes.push(KEYS_LOST.into());
                let none = Keys::none(&self.path, head.store).map_err(|error| self.keys_error(error))?;
                (none, true)
            }
        };
        let has_keys = keys.exist();
        let view = self.view.insert(super::View::open(&self.path, head, keys)?);
        let hidden = [super::super::rows::HIDDEN_ID];
        let needs_keys = view.with_engine(|engine| {
            let first = engine.range(&hidden, &[hidden[0] + 1]).next().transpose();
            Ok(first.ok().flatten().is_some())
        })?;
        if needs_keys && !has_keys && !are_lost {
            repair.notes.push(KEYS_LOST.into());
        }
        Ok(are_lost || (needs_keys && !has_keys))
    }

    /// Makes the new store and puts it in the place of this one; where this one is then.
    fn replace(mut self, head: &Head, plan: &Plan, are_keys_lost: bool, tell: Tell<'_>) -> Result<PathBuf, StoreError> {
        let (repairing, repaired) = (beside(&self.path, REPAIRING), beside(&self.path, REPAIRED));
        for left in [&repairing, &repaired] {
            match fs::remove_dir_all(left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", left)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        fs::create_dir(&repairing).map_err(StoreError::io("make the directory", &repairing))?;
        let mut scaffold = Scaffold::at(repairing.clone());
        let mut held = lock_new(&repairing)?;
        let Some(view) = self.view.take() else { return Err(crate::journal::ReadError::Closed.into()) };
        let mut building = Building::begin(&repairing)?;
        let end = write::rows(&view, plan, head.store, &mut building, tell)?;
        write::snapshots(&self.path, head.store, plan, &mut building)?;
        if !are_keys_lost {
            write::keys(&self.path, &repairing, head.store)?;
        }
        drop(view);
        let epoch = head.epoch.max(plan.epoch) + 1;
        let origin = Origin { store: head.store, epoch, durability: head.durability, is_tidy: false };
        building.finish(&origin, end, tell)?;
        fs::rename(&repairing, &repaired).map_err(StoreError::io("move", &repairing))?;
        scaffold.moved();
        // From here on it is whole: it is not removed any more.
        held.moved_to(repaired.join(LOCK));
        sync_parent(&repaired)?;
        let damaged = (1..DAMAGED_MAX).map(|number| beside(&self.path, &format!("{DAMAGED}{number}")));
        let damaged = damaged.into_iter().find(|damaged| damaged.symlink_metadata().is_err());
        let Some(damaged) = damaged else {
            let error = io::Error::other("there are too many damaged stores beside it");
            return Err(StoreError::io("move", &self.path)(error));
        };
        fs::rename(&self.path, &damaged).map_err(StoreError::io("move", &self.path))?;
        if let Err(error) = move_to(&repaired, &self.path) {
            // As it was, if that can be done.
            let _result = fs::rename(&damaged, &self.path);
            return Err(error);
        }
        held.moved_to(self.path.join(LOCK));
        Ok(damaged)
    }
}

fn move_to(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(StoreError::io("move", from))?;
    sync_parent(to)
}

fn sync_parent(path: &Path) -> Result<(), StoreError> {
    path.parent().map_or(Ok(()), sync_dir).map_err(StoreError::io("sync the directory of", path))
}

fn lock_new(dir: &Path) -> Result<LockFile, StoreError> {
    let file = dir.join(LOCK);
    LockFile::take(&file).map_err(|error| match error {
        LockError::Io(error) => StoreError::io("lock", &file)(error),
        LockError::Held { pid } => super::OpenError::Locked { path: dir.to_owned(), pid }.into(),
    })
}

/// The path with something behind its name.
pub(in crate::journal::fjall) fn beside(path: &Path, behind: &str) -> PathBuf {
    let mut name: OsString = path.file_name().unwrap_or_default().to_owned();
    name.push(behind);
    path.with_file_name(name)
}

impl Repair {
    fn lose(&mut self, lost: Lost) {
        if self.lost.len() < LOST_MAX {
            self.lost.push(lost);
        } else {
            self.more_lost += 1;
        }
    }
}
