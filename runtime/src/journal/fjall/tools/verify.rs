//! The check of everything that a store holds.

mod order;
mod rows;

use std::collections::HashMap;
use std::path::PathBuf;

use super::super::open::ENGINE;
use super::look::Torn;
use super::{Progress, StoreDir, StoreError, Tell, View};
use crate::id::{Offset, SeqNr, StreamNo};
use crate::journal::floor::Floor;
use crate::journal::head::{Head, State};
use crate::journal::keys;
use crate::journal::order::Mark;
use crate::journal::{Corrupt, Durability, Place, ReadError};

/// So many findings are listed; the others are counted.
const FINDINGS_MAX: usize = 1000;
/// So many floors are remembered while the order is read.
const FLOORS_MAX: usize = 64 * 1024;
/// So many groups pass between two reports of progress.
const TELL_EVERY: u64 = 256;

/// What a check of a whole store has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What is damaged or missing, in the order in which it was found.
    pub findings: Vec<Corrupt>,
    /// How many findings more there are than are listed.
    pub more_findings: u64,
    /// What is no damage, and still worth knowing.
    pub notes: Vec<String>,
    /// The store's id, where it is known.
    pub store: Option<u64>,
    /// The groups of the order that were read.
    pub groups: u64,
    /// The records that were given an offset; some of them may be deleted.
    pub records: u64,
    /// The runs that were read.
    pub runs: u64,
    /// The streams that were found.
    pub streams: u64,
    /// The snapshots that were read.
    pub snapshots: u64,
    /// The keys of streams that were read.
    pub keys: u64,
    /// The last record.
    pub last: Offset,
    /// Whether the records were looked at: not if the head can't be read or the engine can't be opened. Then all counts are
    /// 0, and say nothing.
    pub is_counted: bool,
}

impl Report {
    /// Whether nothing is damaged and nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn push(&mut self, place: Place, reason: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Corrupt { place, reason: reason.into() });
        } else {
            self.more_findings += 1;
        }
    }

    pub(super) fn push_file(&mut self, path: PathBuf, reason: impl Into<String>) {
        let found = Corrupt { place: Place::File { path }, reason: reason.into() };
        // What is read more than once may be unreadable more than once.
        if !self.findings.contains(&found) {
            self.push(found.place, found.reason);
        }
    }

    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < FINDINGS_MAX {
            self.notes.push(note);
        }
    }
}

impl StoreDir {
    /// Reads everything that the store holds, and tells all that is wrong with it: both slots of the head, every row of
    /// the order and its chain from the first group on, every run, its checksum, its records, its stream and its place
    /// in the order, every row that belongs to nothing, the rows of ids and floors, the files `keys` and `deadlines`, and
    /// every snapshot in the store's directory.
    ///
    /// Takes memory for each stream, and not for each record.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the system below fails. Damage is no error: it is in the report.
    pub fn verify(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<Report, StoreError> {
        let mut report = Report::default();
        let head_path = self.path.join(super::HEAD);
        if let Some(flaw) = &self.head.flaw {
            // A slot that power loss has torn is no damage: the other one says all there is to say.
            let torn = self.head.head.is_some_and(|head| head.state != State::Clean);
            if torn {
                report.note(format!("`{}`: {flaw}", head_path.display()));
            } else {
                report.push_file(head_path.clone(), flaw.clone());
            }
        }
        let Some(head) = self.head.head else {
            report.note(
                "without a head nothing else can be checked: it has the store's id, which all checksums need".into(),
            );
            return Ok(report);
        };
        report.store = Some(head.store);
        self.verify_keys(&head, &mut report)?;
        match self.view() {
            Ok(_) => {}
            Err(StoreError::Engine { flaws }) => {
                for (path, reason) in flaws {
                    report.push_file(path, reason);
                }
                report.note("the engine can't be opened, so what it holds wasn't checked".into());
                return Ok(report);
            }
            Err(StoreError::Open(super::OpenError::Corrupt { corrupt, .. })) => {
                if !report.findings.contains(&corrupt) {
                    report.push(corrupt.place, corrupt.reason);
                }
                report.note("what the engine holds wasn't checked".into());
                return Ok(report);
            }
            Err(error) => return Err(error),
        }
        let Some(view) = &self.view else { return Ok(report) };
        note_state(&head, view, &mut report);
        let mut check = Check::new(view, head, &mut report, progress);
        check.order()?;
        check.rows()?;
        check.keys_of_streams()?;
        let Check { last_of, .. } = check;
        report.is_counted = true;
        note_torn(&head, view, &mut report);
        super::snapshots::verify(&self.path, view, head.state == State::Clean, &last_of, &mut report, progress)?;
        // Nothing is lost then, and yet the journal isn't opened.
        if let (true, Some((path, reason))) = (report.is_whole(), &view.refusal) {
            report.push_file(path.clone(), reason.clone());
        }
        Ok(report)
    }

    /// Checks the file of keys as far as that goes without knowing the streams.
    fn verify_keys(&self, head: &Head, report: &mut Report) -> Result<(), StoreError> {
        let path = self.path.join(keys::FILE);
        match keys::Keys::look(&self.path, head.store).map_err(|error| self.keys_error(error)) {
            Ok(_) => Ok(()),
            Err(StoreError::Open(super::OpenError::Corrupt { corrupt, .. })) => {
                report.push_file(path, corrupt.reason);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn note_state(head: &Head, view: &View, report: &mut Report) {
    match head.state {
        State::Clean => {}
        State::Open => {
            report.note("it was not closed in order: the next opening settles what was being written".into());
        }
        State::Failed => report.note("it failed while it was writing, and was not opened since".into()),
    }
    for (path, reason) in &view.flaws {
        report.push_file(path.clone(), reason.clone());
    }
    for torn in &view.torn {
        let Torn { path, whole, written, reason, is_hole, .. } = torn;
        let told = format!("from byte {whole} to {written}, {reason}");
        if is_damage(head, *is_hole) {
            report.push_file(path.clone(), told);
        }
    }
    if head.state == State::Clean && !view.is_all_in_tables && view.flaws.is_empty() {
        let path = view.shared.path.join(ENGINE);
        report.push_file(path, "its journal files hold rows that weren't there when it was closed in order");
    }
}

/// Whether an end that isn't whole is damage. What was being written when the process or the power ended is none.
fn is_damage(head: &Head, is_hole: bool) -> bool {
    head.state == State::Clean || is_hole && head.durability == Durability::Fsync
}

/// Says what becomes of an end that isn't whole, now that it is known how far the order reaches.
fn note_torn(head: &Head, view: &View, report: &mut Report) {
    let is_acknowledged = report.last < super::super::open::required(head).offset;
    let becomes = match is_acknowledged {
        true => "what was acknowledged is missing behind it, so opening refuses",
        false => "the next opening cuts it off",
    };
    for Torn { path, whole, written, reason, is_hole, .. } in &view.torn {
        if !is_damage(head, *is_hole) {
            report.note(format!("`{}`: from byte {whole} to {written}, {reason}: {becomes}", path.display()));
        }
    }
}

/// The check of one store whose engine is open.
struct Check<'a> {
    view: &'a View,
    head: Head,
    report: &'a mut Report,
    tell: Tell<'a>,
    floors: HashMap<u64, Floor>,
    last_of: LastOf,
    /// The streams that are encrypted, by the numbers of their keys, and whether they are forgotten.
    keys: HashMap<u64, (StreamNo, bool)>,
}

/// The last record of each stream, and its floor.
pub(super) type LastOf = HashMap<u64, (SeqNr, Floor)>;

impl<'a> Check<'a> {
    fn new(view: &'a View, head: Head, report: &'a mut Report, tell: Tell<'a>) -> Self {
        Self { view, head, report, tell, floors: HashMap::new(), last_of: LastOf::new(), keys: HashMap::new() }
    }

    fn store(&self) -> u64 {
        self.head.store
    }

    fn offsets(&mut self, from: Offset, to: Offset, reason: impl Into<String>) {
        self.report.push(Place::Offsets { from, to: to.max(from) }, reason);
    }

    fn stream(&mut self, stream: StreamNo, from: SeqNr, reason: impl Into<String>) {
        let is_told = |found: &Corrupt| matches!(&found.place, Place::Stream { stream: of, from: at, .. } if (*of, *at) == (stream, from));
        if !self.report.findings.iter().any(is_told) {
            let place = Place::Stream { stream, id: self.name(stream), from };
            self.report.push(place, reason);
        }
    }

    /// The name of a stream, where it can be read.
    fn name(&self, stream: StreamNo) -> Option<crate::id::PersistenceId> {
        self.view.shared.stream_id(stream).ok().flatten()
    }

    fn engine_path(&self) -> PathBuf {
        self.view.shared.path.join(ENGINE)
    }

    /// The floor of a stream, as its rows say.
    fn floor(&mut self, stream: StreamNo) -> Floor {
        if let Some(floor) = self.floors.get(&stream.0) {
            return *floor;
        }
        let found = self.view.with_engine(|engine| self.view.shared.floor(engine, stream));
        // A damaged row is found when the rows of floors are read.
        let floor = found.unwrap_or_default();
        if self.floors.len() >= FLOORS_MAX {
            self.floors.clear();
        }
        self.floors.insert(stream.0, floor);
        floor
    }

    /// Passes on what isn't damage, and notes what is.
    fn noted(&mut self, done: Result<(), ReadError>) -> Result<(), StoreError> {
        match done {
            Ok(()) => Ok(()),
            Err(ReadError::Corrupt(corrupt)) => {
                match corrupt.place {
                    Place::Stream { stream, from, .. } => self.stream(stream, from, corrupt.reason),
                    place => self.report.push(place, corrupt.reason),
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// How far the order must reach.
    fn required(&self) -> Mark {
        super::super::open::required(&self.head)
    }

    /// Says of every stream's key whether it is as it must be.
    fn keys_of_streams(&mut self) -> Result<(), StoreError> {
        let keys = &self.view.shared.keys;
        let path = keys.path().to_owned();
        for number in 1..keys.numbers() {
            self.report.keys += 1;
            let owner = self.keys.remove(&number);
            let found = match (keys.slot(number), owner) {
                (Err(error), _) => return Err(StoreError::io("read", &path)(error)),
                (Ok(keys::Slot::Damaged), Some((_, true)) | None) => {
                    Some(format!("the slot of key {number} is damaged"))
                }
                (Ok(keys::Slot::Damaged), Some((stream, false))) => Some(format!(
                    "the slot of key {number} is damaged, and what stream {stream} holds can't be read without it"
                )),
                (Ok(keys::Slot::Nothing), Some((stream, false))) => {
                    Some(format!("key {number} isn't in it, and what stream {stream} holds can't be read without it"))
                }
                (Ok(keys::Slot::Of(owner)), Some((stream, _))) if owner != stream => {
                    Some(format!("key {number} is that of stream {owner}, and stream {stream} is encrypted with it"))
                }
                (Ok(keys::Slot::Of(_)), Some((stream, true))) if self.head.state == State::Clean => {
                    Some(format!("key {number} of stream {stream} is there, though the stream is forgotten"))
                }
                (Ok(_), _) => None,
            };
            if let Some(reason) = found {
                self.report.push_file(path.clone(), reason);
            }
        }
        let mut missing: Vec<_> = self.keys.drain().filter(|(_, (_, forgotten))| !forgotten).collect();
        missing.sort_unstable_by_key(|(number, _)| *number);
        for (number, (stream, _)) in missing {
            self.report.push_file(
                path.clone(),
                format!("it ends before key {number}, and what stream {stream} holds can't be read without it"),
            );
        }
        Ok(())
    }
}
