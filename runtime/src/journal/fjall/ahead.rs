//! Reading ahead: the rows of the next groups, fetched in the order of their keys.
//!
//! Who reads everything needs the runs as they were stored, and the engine has them stream by stream. The runs that a
//! stream has in several groups lie next to each other, so fetching those of many groups at once is far less work than
//! looking for each. It is no more than help: what isn't at hand here, for whatever reason, is looked for one by one.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::Shared;
use super::engine::Engine;
use super::queue::RUN_OVERHEAD_BYTES;
use super::read::{PIECE_BYTES, is_listed};
use super::rows::{Content, StreamRow, stream_key};
use crate::id::{Offset, SeqNr, StreamNo};
use crate::journal::order::{OrderRow, OrderedRun, group_key, group_of_key};

/// About so many bytes of rows are at hand for one reader, at the most.
pub(super) const AHEAD_BYTES_MAX: usize = if cfg!(test) { 4 * 1024 } else { 16 * 1024 * 1024 };

/// From so many runs of a stream on they are scanned, and one more for each run of tables, each of which a scan looks at.
const SCANNED_FROM: usize = 3;

/// A run that is at hand.
#[derive(Default)]
pub(super) enum AtHand {
    /// It isn't.
    #[default]
    Nothing,
    /// The run; it is the one that the order lists.
    Plain(Vec<u8>),
    /// The row of a run that is encrypted, as it is stored.
    Sealed(Vec<u8>),
}

/// A group, and those of its runs that are at hand.
pub(super) struct Listed {
    pub(super) row: OrderRow,
    /// As many as the row has runs.
    pub(super) runs: Vec<AtHand>,
}

/// A run that is to be fetched.
struct Wanted {
    stream: StreamNo,
    first: SeqNr,
    offset: Offset,
    /// Its group among those that are at hand, and its place in it.
    group: usize,
    run: usize,
}

/// What is read ahead.
#[derive(Default)]
pub(super) struct Ahead {
    /// Groups one behind the other.
    groups: VecDeque<Listed>,
    /// Where it ends within the last of them: the first run that isn't to be fetched.
    cut: Option<Offset>,
    /// What is still to be fetched, the first at the end.
    wanted: Vec<Wanted>,
    /// So many bytes are read ahead the next time.
    bytes: usize,
}

impl Ahead {
    /// Whether nothing is at hand.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether it has what begins with an offset, or is said to be in a group and begins behind it.
    pub(super) fn reaches(&self, group: u64, offset: Offset) -> bool {
        self.groups.front().is_some_and(|listed| listed.row.mark.group == group) && !self.is_cut(offset)
    }

    /// Whether it ends before an offset, in the group that the offset is in.
    pub(super) fn is_cut(&self, offset: Offset) -> bool {
        self.cut.is_some_and(|cut| cut <= offset)
    }

    /// Takes out the group that comes next.
    pub(super) fn take(&mut self, group: u64) -> Option<Listed> {
        let is_it = self.groups.front().is_some_and(|listed| listed.row.mark.group == group);
        if is_it { self.groups.pop_front() } else { None }
    }

    /// Puts back a group of which there is more to read.
    pub(super) fn put_back(&mut self, listed: Listed) {
        self.groups.push_front(listed);
    }

    /// Finds out what is to be fetched from the group of `row` on, and forgets what it had: each time twice as much,
    /// since who has read on so far is likely to go on. `is_wanted` says which runs are, by their offsets.
    pub(super) fn plan(
        &mut self,
        shared: &Shared,
        engine: &Engine,
        row: OrderRow,
        last_group: u64,
        least_bytes: usize,
        mut is_wanted: impl FnMut(Offset, &OrderedRun) -> bool,
    ) {
        let bytes_max = self.bytes.max(least_bytes).clamp(1, AHEAD_BYTES_MAX);
        *self = Self { bytes: bytes_max * 2, ..Self::default() };
        let (mut bytes, mut listed) = (0, 0);
        let mut later = None;
        let mut next = Some(row);
        while let Some(row) = next.take() {
            let (group, place) = (row.mark.group, self.groups.len());
            for (index, (offset, run)) in row.with_offsets().enumerate() {
                if !is_wanted(offset, run) {
                    continue;
                }
                if bytes >= bytes_max {
                    self.cut = Some(offset);
                    break;
                }
                self.wanted.push(Wanted { stream: run.stream, first: run.first, offset, group: place, run: index });
                bytes = bytes.saturating_add(run_bytes(run)).saturating_add(RUN_OVERHEAD_BYTES);
            }
            listed += (1 + row.runs.len()) * RUN_OVERHEAD_BYTES;
            let runs = row.runs.iter().map(|_| AtHand::Nothing).collect();
            self.groups.push_back(Listed { row, runs });
            if group < last_group && bytes < bytes_max && listed < PIECE_BYTES {
                let rows = || engine.range(&group_key(group + 1), &group_key(last_group));
                // What can't be read is met by whoever comes to it.
                next = later.get_or_insert_with(rows).next().and_then(Result::ok).and_then(|(key, row)| {
                    let group = group_of_key(&key).filter(|found| *found == group + 1)?;
                    OrderRow::parse(&row, shared.facts.store, group).ok()
                });
            }
        }
        self.wanted.sort_unstable_by_key(|wanted| Reverse((wanted.stream, wanted.first)));
    }

    /// Fetches a piece of what is wanted; whether there is more.
    pub(super) fn fetch(&mut self, shared: &Shared, engine: &Engine) -> bool {
        if self.wanted.is_empty() {
            return false;
        }
        let scanned_from = SCANNED_FROM + engine.table_runs();
        let mut fetched = 0;
        while fetched < PIECE_BYTES && !self.wanted.is_empty() {
            let stretch = self.wanted.split_off(self.wanted.len() - self.stretch());
            fetched += if stretch.len() < scanned_from {
                self.look_up(shared, engine, &stretch)
            } else {
                self.scan(shared, engine, &stretch)
            };
        }
        let is_done = self.wanted.is_empty();
        if is_done {
            self.wanted = Vec::new();
        }
        !is_done
    }

    /// How many of those that are wanted next follow one another in their stream, a piece at the most.
    fn stretch(&self) -> usize {
        let (mut end, mut bytes) = (None, 0_usize);
        let follows = |wanted: &&Wanted| {
            let is_next = bytes < PIECE_BYTES && end.is_none_or(|end| end == (wanted.stream, wanted.first));
            let run = self.groups.get(wanted.group).and_then(|listed| listed.row.runs.get(wanted.run));
            end = run.map(|run| (run.stream, run.last().next()));
            bytes = bytes.saturating_add(run.map_or(0, run_bytes));
            is_next
        };
        self.wanted.iter().rev().take_while(follows).count().max(1)
    }

    fn look_up(&mut self, shared: &Shared, engine: &Engine, stretch: &[Wanted]) -> usize {
        let mut bytes = 0;
        for wanted in stretch {
            let key = stream_key(wanted.stream, wanted.first);
            bytes += RUN_OVERHEAD_BYTES;
            if let Ok(Some(row)) = engine.get(&key) {
                bytes += row.len();
                self.keep(shared, wanted, &key, &row);
            }
        }
        bytes
    }

    fn scan(&mut self, shared: &Shared, engine: &Engine, stretch: &[Wanted]) -> usize {
        let (Some(last), Some(first)) = (stretch.first(), stretch.last()) else { return 0 };
        let mut bytes = stretch.len() * RUN_OVERHEAD_BYTES;
        let (from, to) = (stream_key(first.stream, first.first), stream_key(last.stream, last.first));
        let mut wanted = stretch.iter().rev().peekable();
        for row in engine.range(&from, &to) {
            let Ok((key, row)) = row else { break };
            bytes += row.len();
            let is_before = |wanted: &&Wanted| stream_key(wanted.stream, wanted.first)[..] < key[..];
            while wanted.next_if(is_before).is_some() {}
            let Some(next) = wanted.peek() else { break };
            if stream_key(next.stream, next.first)[..] == key[..] {
                self.keep(shared, next, &key, &row);
            }
        }
        bytes
    }

    /// Keeps a row if it is the one that the order lists.
    fn keep(&mut self, shared: &Shared, wanted: &Wanted, key: &[u8], row: &[u8]) {
        let Some(listed) = self.groups.get_mut(wanted.group) else { return };
        let group = listed.row.mark.group;
        let (Some(run), Some(at_hand)) = (listed.row.runs.get(wanted.run), listed.runs.get_mut(wanted.run)) else {
            return;
        };
        let Ok(found) = StreamRow::parse(key, row, shared.facts.store) else { return };
        if is_listed(&found, group, wanted.offset, run) {
            *at_hand = match found.content {
                Content::Plain(_) => AtHand::Plain(found.run.to_vec()),
                Content::Sealed(_) => AtHand::Sealed(row.to_vec()),
            };
        }
    }
}

fn run_bytes(run: &OrderedRun) -> usize {
    usize::try_from(run.bytes).unwrap_or(usize::MAX)
}
