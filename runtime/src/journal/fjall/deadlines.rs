//! The deadlines that are armed: folded from the order rows, with a file beside the engine that says what came of all
//! up to a group.
//!
//! The file holds nothing that the order rows don't: it is used where the chain has that very group, and it may be
//! missing, damaged or of another time. So it isn't among the engine's rows, which are the truth, and are written once.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use super::Shared;
use super::engine::{Engine, EngineError};
use crate::id::Offset;
use crate::journal::bytes::len_u64;
use crate::journal::due::Deadlines;
use crate::journal::due::file::{FILE, decode, encode, file_bytes_max};
use crate::journal::order::{Mark, OrderRow, group_key, group_of_key};
use crate::journal::{Armed, Corrupt, Place, ReadError, lock};

const TEMPORARY: &str = "deadlines.tmp";

/// To follow fewer bytes of order rows than this costs less than to write the file.
pub(super) const FOLLOWED_BYTES_MIN: usize = 1024 * 1024;
/// So much is followed at once; in between, the journal may be closed.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// The deadlines at a place in the chain.
struct Folded {
    deadlines: Deadlines,
    mark: Mark,
    /// How many bytes of order rows were followed.
    bytes: usize,
}

impl Shared {
    /// The deadlines that are armed. What took long to find out is written down.
    pub(super) fn armed(&self) -> Result<Vec<Armed>, ReadError> {
        self.fold(FOLLOWED_BYTES_MIN)
    }

    /// Writes down which deadlines are armed.
    pub(super) fn write_deadlines(&self) -> Result<(), ReadError> {
        self.fold(0).map(drop)
    }

    /// The deadlines that are armed, written down if at least so many bytes were followed.
    fn fold(&self, write_from_bytes: usize) -> Result<Vec<Armed>, ReadError> {
        // One at a time: there is one name for the file while it is written.
        let _folding = lock(&self.folding);
        self.with_engine(|_| Ok(()))?;
        let end = *lock(&self.durable);
        let Folded { deadlines, mark, bytes } = self.follow(self.begin(end), end)?;
        let armed = deadlines.into_armed();
        if bytes >= write_from_bytes && mark.group > 0 {
            let written = write(&self.path, &encode(self.facts.store, mark, &armed));
            let path = self.path.join(FILE);
            match written {
                Ok(()) => crate::log::debug!(path = %path.display(), armed = armed.len(), "wrote the deadlines"),
                Err(error) => {
                    crate::log::warn!(path = %path.display(), %error, "the deadlines can't be written; they are folded again");
                }
            }
        }
        Ok(armed)
    }

    /// What the file says, if it is of this chain; else nothing.
    fn begin(&self, end: Mark) -> Folded {
        let path = self.path.join(FILE);
        match self.read_file(&path, end) {
            Ok(Some(folded)) => return folded,
            Ok(None) => {
                crate::log::debug!(path = %path.display(), "there is no file of deadlines: they are folded from the first");
            }
            Err(reason) => {
                crate::log::warn!(path = %path.display(), %reason, "the file of deadlines is ignored: they are folded from the first");
            }
        }
        Folded { deadlines: Deadlines::default(), mark: Mark::default(), bytes: 0 }
    }

    fn read_file(&self, path: &Path, end: Mark) -> Result<Option<Folded>, String> {
        // What is no file may never end, or begin.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err("it is no file".into());
        }
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let limit = file_bytes_max(lock(&self.streams).given());
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if len_u64(bytes.len()) > limit {
            return Err(format!(
                "it is longer than the deadlines of all streams, which have {limit} bytes at the most"
            ));
        }
        let (mark, known) = decode(&bytes, self.facts.store).map_err(|error| error.to_string())?;
        let in_chain = mark.group <= end.group
            && self.with_engine(|engine| self.group(engine, mark.group, mark.offset)).is_ok_and(|row| row.mark == mark);
        if !in_chain {
            return Err(format!("it holds up to group {}, which isn't in this journal", mark.group));
        }
        Ok(Some(Folded { deadlines: Deadlines::known(known), mark, bytes: 0 }))
    }

    /// Follows the groups up to `end`.
    fn follow(&self, mut folded: Folded, end: Mark) -> Result<Folded, ReadError> {
        while folded.mark.group < end.group {
            self.with_engine(|engine| self.follow_piece(engine, &mut folded, end))?;
        }
        Ok(folded)
    }

    fn follow_piece(&self, engine: &Engine, folded: &mut Folded, end: Mark) -> Result<(), ReadError> {
        let corrupt = |mark: Mark, reason: String| {
            let place = Place::Offsets { from: Offset(mark.offset.0 + 1), to: end.offset };
            ReadError::from(Corrupt { place, reason: format!("group {}: {reason}", mark.group + 1) })
        };
        let mut piece = 0;
        let rows = engine.range(&group_key(folded.mark.group + 1), &group_key(end.group));
        for found in rows {
            let before = folded.mark;
            let (key, row) = found.map_err(|error| match error {
                EngineError::Damaged(reason) => corrupt(before, reason),
                error @ (EngineError::Failed(_) | EngineError::Locked) => {
                    ReadError::Engine { what: format!("group {}", before.group + 1), error: error.to_string().into() }
                }
            })?;
            if group_of_key(&key) != Some(before.group + 1) {
                return Err(corrupt(before, "its order row is missing".into()));
            }
            piece += row.len();
            let row = OrderRow::parse(&row, self.facts.store, before.group + 1)
                .map_err(|error| corrupt(before, error.to_string()))?;
            if row.before != before.digest {
                return Err(corrupt(before, "it doesn't follow the group before it".into()));
            }
            for run in &row.runs {
                folded.deadlines.apply(run.stream, run.due);
            }
            folded.mark = row.mark;
            if piece >= PIECE_BYTES {
                break;
            }
        }
        folded.bytes += piece;
        if piece == 0 {
            return Err(corrupt(folded.mark, "its order row is missing".into()));
        }
        Ok(())
    }
}

/// Puts a whole file in the place of the one that is there. If a loss of power brings that one back, it is right too.
fn write(dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(TEMPORARY);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(temporary, dir.join(FILE))
}

#[cfg(test)]
impl super::FjallJournal {
    pub(in crate::journal) fn write_deadlines(&self) {
        self.shared.write_deadlines().unwrap();
    }
}
