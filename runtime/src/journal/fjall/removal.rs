//! The removal of rows whose records are all deleted, behind the commits, a bounded number at a time.
//!
//! INVARIANT: a stream's last row stays, so that its last sequence number is always there. Reading doesn't depend on how
//! far the removal has come: what is below a floor is ignored while it is there. Damaged rows stay.

use std::collections::{HashMap, VecDeque};

use super::engine::{Engine, EngineError};
use super::rows::{stream_key, stream_of_key};
use crate::id::{SeqNr, StreamNo};
use crate::journal::Durability;
use crate::journal::order::Mark;

/// So many rows at most are removed at once.
pub(super) const ROWS_MAX: usize = 1024;
/// Rows of so many bytes at most, and one row at least, are looked at at once.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// For so many floors at most it is looked at once whether there is something to remove.
const FLOORS_MAX: usize = 1024;
/// When more floors than this wait, no group is stored before there are fewer.
const PENDING_MAX: usize = 64 * 1024;
/// Of so many streams at most it is remembered where their rows begin.
const BEGINNINGS_MAX: usize = 4096;

/// What is to be removed of a stream.
#[derive(Debug)]
struct Removal {
    stream: StreamNo,
    /// Its records up to this one are deleted.
    to: SeqNr,
    /// The last group before the one with which they were deleted.
    before: Mark,
}

/// The removals that aren't done.
#[derive(Debug, Default)]
pub(super) struct Removals {
    pending: VecDeque<Removal>,
    /// No row of the stream begins before. Else each removal would pass over all that earlier ones have removed.
    beginnings: HashMap<u64, SeqNr>,
}

impl Removals {
    /// Notes what is to be removed since the floor of a stream rose with the group behind `before`.
    pub(super) fn push(&mut self, stream: StreamNo, to: SeqNr, before: Mark) {
        if to > SeqNr::ZERO {
            self.pending.push_back(Removal { stream, to, before });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn is_behind(&self) -> bool {
        self.pending.len() > PENDING_MAX
    }

    /// The last place up to which all removals are done, if nothing is stored behind `end`.
    pub(super) fn done_to(&self, end: Mark) -> Mark {
        self.pending.front().map_or(end, |removal| removal.before)
    }

    /// Removes some rows. What is removed need not be durable: it is done again if it isn't.
    pub(super) fn step(&mut self, engine: &Engine) -> Result<(), EngineError> {
        let mut batch = engine.batch(ROWS_MAX, Durability::Os);
        let mut room = Room { rows: ROWS_MAX, bytes: BYTES_MAX };
        let mut removed = 0;
        for _ in 0..FLOORS_MAX {
            let Some(removal) = self.pending.front() else { break };
            let begin = self.beginnings.get(&removal.stream.0).copied().unwrap_or(SeqNr(1));
            let (rows, rest) = match rows_below(engine, removal, begin, &mut room) {
                // Nobody reads them any more, so nobody else is to suffer for them.
                Err(EngineError::Damaged(reason)) => {
                    crate::log::warn!(stream = %removal.stream, to = %removal.to, reason, "rows of deleted records are damaged: they stay");
                    self.pending.pop_front();
                    continue;
                }
                found => found?,
            };
            for key in &rows {
                batch.remove(key);
            }
            removed += rows.len();
            let (stream, rest_begins) = (removal.stream, rest.begin.unwrap_or(begin));
            if self.beginnings.len() >= BEGINNINGS_MAX {
                self.beginnings.clear();
            }
            self.beginnings.insert(stream.0, rest_begins);
            if rest.is_unfinished {
                break;
            }
            self.pending.pop_front();
        }
        if removed > 0 {
            batch.commit()?;
            crate::log::debug!(rows = removed, floors = self.pending.len(), "removed rows of deleted records");
        }
        Ok(())
    }
}

/// How much may still be looked at.
struct Room {
    rows: usize,
    bytes: usize,
}

/// What is left of a stream's rows.
struct Rest {
    /// The first sequence number of its first row, if one was found.
    begin: Option<SeqNr>,
    /// Whether there may be more to remove.
    is_unfinished: bool,
}

/// The keys of rows whose records are all deleted: those behind which another row begins no later than the floor ends.
fn rows_below(
    engine: &Engine,
    removal: &Removal,
    begin: SeqNr,
    room: &mut Room,
) -> Result<(Vec<Vec<u8>>, Rest), EngineError> {
    let mut keys = Vec::new();
    let mut last: Option<Vec<u8>> = None;
    let mut is_unfinished = false;
    for row in engine.range(&stream_key(removal.stream, begin), &stream_key(removal.stream, removal.to.next())) {
        let (key, row) = row?;
        keys.extend(last.replace(key.to_vec()));
        room.bytes = room.bytes.saturating_sub(row.len());
        if keys.len() >= room.rows || room.bytes == 0 {
            is_unfinished = true;
            break;
        }
    }
    room.rows -= keys.len();
    let begin = last.and_then(|key| stream_of_key(&key)).map(|(_, first)| first);
    Ok((keys, Rest { begin, is_unfinished }))
}
