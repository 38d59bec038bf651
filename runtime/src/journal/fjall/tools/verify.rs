//! The check of everything that a store holds.

mod groups;
mod order;
mod records;
mod rows;

use std::collections::HashMap;
use std::path::PathBuf;

use super::super::engine::Engine;
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
    /// The streams of which records were deleted by retention, while no snapshot in the store's directory stands for them.
    /// They can be loaded only with one that is elsewhere: the journal doesn't know whether there is one.
    pub without_snapshot: u64,
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

    /// Whether further findings are only counted.
    fn is_full(&self) -> bool {
        self.findings.len() >= FINDINGS_MAX
    }

    pub(super) fn push(&mut self, place: Place, reason: impl Into<String>) {
        if !self.is_full() {
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
    /// Where records were deleted by retention and no snapshot in that directory stands for them, a note says whose: the
    /// journal doesn't know whether there is one elsewhere.
    ///
    /// Takes memory for each stream and for the largest groups, and not for each record.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the system below fails. Damage is no error: it is in the report.
    pub fn verify(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<Report, StoreError> {
        self.verify_counted(progress).map(|(report, _)| report)
    }

    /// The same, and how many order rows were read once more, to look for what a row belongs to.
    pub(in crate::journal::fjall) fn verify_counted(
        &mut self,
        progress: Tell<'_>,
    ) -> Result<(Report, u64), StoreError> {
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
            return Ok((report, 0));
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
                return Ok((report, 0));
            }
            Err(StoreError::Open(super::OpenError::Corrupt { corrupt, .. })) => {
                if !report.findings.contains(&corrupt) {
                    report.push(corrupt.place, corrupt.reason);
                }
                report.note("what the engine holds wasn't checked".into());
                return Ok((report, 0));
            }
            Err(error) => return Err(error),
        }
        let Some(view) = &self.view else { return Ok((report, 0)) };
        note_state(&head, view, &mut report);
        let mut check = Check::new(view, head, &mut report, progress);
        check.order()?;
        check.rows()?;
        check.keys_of_streams()?;
        let Check { last_of, looked_into, .. } = check;
        report.is_counted = true;
        note_torn(&head, view, &mut report);
        super::snapshots::verify(&self.path, view, head.state == State::Clean, &last_of, &mut report, progress)?;
        // Nothing is lost then, and yet the journal isn't opened.
        if let (true, Some((path, reason))) = (report.is_whole(), &view.refusal) {
            report.push_file(path.clone(), reason.clone());
        }
        Ok((report, looked_into))
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
    /// What the order says of each stream, and what was found of that.
    listed: HashMap<u64, Listed>,
    /// The groups that can't be read, from one to another, both included; in order.
    holes: Vec<(u64, u64)>,
    /// The last group.
    last_group: u64,
    last_of: LastOf,
    /// The streams that are encrypted, by the numbers of their keys, and whether they are forgotten.
    keys: HashMap<u64, (StreamNo, bool)>,
    /// So many order rows were read once more.
    looked_into: u64,
}

/// The last record of each stream, and its floor.
pub(super) type LastOf = HashMap<u64, (SeqNr, Floor)>;

/// What the order says of a stream, and what was found of that.
///
/// INVARIANT: each row that is counted is another one. A row has one key, and names one group and one offset; so it is the
/// row of one run only, and of one floor. So a stream with as many rows as were counted has none that belongs to nothing.
#[derive(Debug, Default)]
struct Listed {
    /// As its rows say.
    floor: Floor,
    /// The last record that is listed.
    last: SeqNr,
    /// The runs whose rows are there, and are the ones that are listed.
    runs: u64,
    /// The floors whose rows are there.
    floors: u64,
    /// The group that lists its name, and the digest of the key of its id's row.
    name: Option<(u64, u64)>,
    /// The first record of the last run that can be read, and whether that run ends with a tombstone.
    ends: Option<(SeqNr, bool)>,
    /// Whether some run can't be read.
    is_broken: bool,
}

impl<'a> Check<'a> {
    fn new(view: &'a View, head: Head, report: &'a mut Report, tell: Tell<'a>) -> Self {
        Self {
            view,
            head,
            report,
            tell,
            listed: HashMap::new(),
            holes: Vec::new(),
            last_group: 0,
            last_of: LastOf::new(),
            keys: HashMap::new(),
            looked_into: 0,
        }
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
    fn floor(&self, engine: &Engine, stream: StreamNo) -> Floor {
        match self.listed.get(&stream.0) {
            Some(listed) => listed.floor,
            // A damaged row is found when the rows of floors are read.
            None => self.view.shared.floor(engine, stream).unwrap_or_default(),
        }
    }

    /// What the order says of a stream so far.
    fn listed(&mut self, engine: &Engine, stream: StreamNo) -> &mut Listed {
        let shared = &self.view.shared;
        self.listed.entry(stream.0).or_insert_with(|| {
            let floor = shared.floor(engine, stream).unwrap_or_default();
            Listed { floor, ..Listed::default() }
        })
    }

    /// Whether a group is one that can't be read.
    fn is_in_hole(&self, group: u64) -> bool {
        let hole = self.holes.partition_point(|(_, to)| *to < group);
        self.holes.get(hole).is_some_and(|(from, _)| *from <= group)
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
