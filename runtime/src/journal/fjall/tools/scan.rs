//! Reading all groups of an order, whatever is wrong with some of them.

use super::super::engine::{Engine, EngineError, Row};
use super::super::rows::stream_key;
use crate::id::{SeqNr, StreamNo};
use crate::journal::order::{OrderRow, group_key, group_of_key};

/// The keys of groups begin with this.
pub(super) const ORDER: u8 = 1;

/// What is found where a group should be.
pub(super) enum Step {
    /// A group whose digest is right.
    Row(OrderRow),
    /// Groups from one number to another, both included, of which there is no row.
    Missing(u64, u64),
    /// A row that can't be read.
    Bad(u64, String),
    /// A row among those of groups whose key is none of a group; how many bytes that has.
    Foreign(usize),
    /// Behind the last group that is known, rows can't be read.
    Cut(String),
}

/// The groups of an order, in order, up to a last one that must be there, and what else is among their rows.
pub(super) struct Groups<'a> {
    engine: &'a Engine,
    store: u64,
    next: u64,
    last: u64,
    rows: Option<Box<dyn Iterator<Item = Result<Row, EngineError>>>>,
    /// One that was found behind others that are missing.
    found: Option<(u64, Row)>,
    /// Whether all rows were met.
    is_done: bool,
}

impl<'a> Groups<'a> {
    /// All groups that there are, and those that must be there up to `last`.
    pub(super) fn all(engine: &'a Engine, store: u64, last: u64) -> Self {
        let last = last_group(engine).map_or(last, |(found, _)| found.max(last));
        Self { engine, store, next: 1, last, rows: None, found: None, is_done: false }
    }

    fn parse(&mut self, group: u64, row: &[u8]) -> Step {
        self.next = group + 1;
        match OrderRow::parse(row, self.store, group) {
            Ok(row) => Step::Row(row),
            Err(error) => Step::Bad(group, error.to_string()),
        }
    }

    /// Looks for the one group alone, when what lies around it can't be read.
    fn alone(&mut self, reason: String) -> Step {
        let group = self.next;
        match self.engine.get(&group_key(group)) {
            Ok(Some(row)) => self.parse(group, &row),
            Ok(None) => {
                self.next = group + 1;
                Step::Missing(group, group)
            }
            Err(_) => {
                self.next = group + 1;
                Step::Bad(group, reason)
            }
        }
    }
}

impl Iterator for Groups<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if let Some((group, (_, row))) = self.found.take() {
            return Some(self.parse(group, &row));
        }
        if !self.is_done {
            let rows = match &mut self.rows {
                Some(rows) => rows,
                None => {
                    let from = if self.next == 1 { vec![ORDER] } else { group_key(self.next).to_vec() };
                    let rows = self.engine.range(&from, &behind_all(ORDER));
                    self.rows.insert(Box::new(rows))
                }
            };
            match rows.next().transpose() {
                Ok(Some((key, row))) => match numbered(&key) {
                    Some(group) if group == self.next => return Some(self.parse(group, &row)),
                    Some(group) if group > self.next => {
                        let missing = Step::Missing(self.next, group - 1);
                        self.found = Some((group, (key, row)));
                        return Some(missing);
                    }
                    _ => return Some(Step::Foreign(key.len())),
                },
                Ok(None) => self.is_done = true,
                Err(error) if self.next <= self.last => {
                    self.rows = None;
                    return Some(self.alone(error.to_string()));
                }
                Err(error) => {
                    self.is_done = true;
                    return Some(Step::Cut(error.to_string()));
                }
            }
        }
        if self.next > self.last {
            return None;
        }
        let missing = Step::Missing(self.next, self.last);
        self.next = self.last + 1;
        Some(missing)
    }
}

/// The number and the row of the last group, if it can be read.
pub(super) fn last_group(engine: &Engine) -> Option<(u64, Row)> {
    let mut rows = engine.range(&[ORDER], &behind_all(ORDER)).rev();
    // Rows whose keys are none of a group are in nobody's way.
    let found = rows.find_map(|row| match row {
        Ok(row) => numbered(&row.0).map(|group| Some((group, row))),
        Err(_) => Some(None),
    });
    found.flatten()
}

/// The number of the group whose row has this key. The first one is 1, and behind the last number there is none.
fn numbered(key: &[u8]) -> Option<u64> {
    group_of_key(key).filter(|group| (1..u64::MAX).contains(group))
}

/// Behind all keys that begin with a byte.
fn behind_all(tag: u8) -> Vec<u8> {
    [&[tag][..], &[u8::MAX; 1024]].concat()
}

/// All rows whose keys begin with a byte. Where some can't be read, the rest is looked for behind them, if `behind` says
/// where that may begin.
pub(super) struct Rows<'a, F> {
    engine: &'a Engine,
    from: Vec<u8>,
    to: Vec<u8>,
    rows: Option<Box<dyn Iterator<Item = Result<Row, EngineError>>>>,
    behind: F,
    /// So often it is looked for more behind what can't be read.
    tries: u32,
}

const TRIES_MAX: u32 = 4096;

impl<'a, F: FnMut(&[u8]) -> Option<Vec<u8>>> Rows<'a, F> {
    pub(super) fn of(engine: &'a Engine, tag: u8, behind: F) -> Self {
        Self { engine, from: vec![tag], to: behind_all(tag), rows: None, behind, tries: TRIES_MAX }
    }
}

impl<F: FnMut(&[u8]) -> Option<Vec<u8>>> Iterator for Rows<'_, F> {
    type Item = Result<Row, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.from.is_empty() {
            return None;
        }
        let rows = match &mut self.rows {
            Some(rows) => rows,
            None => {
                let rows = self.engine.range(&self.from, &self.to);
                self.rows.insert(Box::new(rows))
            }
        };
        match rows.next().transpose() {
            Ok(Some((key, row))) => {
                self.from.clear();
                self.from.extend_from_slice(&key);
                self.from.push(0);
                Some(Ok((key, row)))
            }
            Ok(None) => None,
            Err(error) => {
                self.rows = None;
                self.tries = self.tries.saturating_sub(1);
                let more = if self.tries == 0 { None } else { (self.behind)(&self.from) };
                // An empty key is the end.
                self.from = more.filter(|more| more > &self.from).unwrap_or_default();
                Some(Err(error.to_string()))
            }
        }
    }
}

/// All rows of streams. Behind what can't be read the next stream is looked for.
pub(super) fn stream_rows(engine: &Engine) -> impl Iterator<Item = Result<Row, String>> {
    let next_stream = |from: &[u8]| {
        let stream = from.get(1..9).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
        stream.checked_add(1).map(|next| stream_key(StreamNo(next), SeqNr(0)).to_vec())
    };
    Rows::of(engine, 2, next_stream)
}
