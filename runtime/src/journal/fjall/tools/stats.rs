//! The numbers of a store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::rows::HIDDEN_ID;
use super::scan::{Groups, Rows, Step};
use super::snapshots::Shelf;
use super::{Progress, StoreDir, StoreError};
use crate::id::{Offset, SeqNr, StreamNo};
use crate::journal::due::Deadlines;
use crate::journal::head::State;
use crate::journal::{Durability, ReadError, lock};

/// The numbers of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Its id.
    pub store: u64,
    /// How often it was opened for writing.
    pub epoch: u64,
    /// What an acknowledged write survived when it was last open.
    pub durability: Durability,
    /// Whether it was closed in order.
    pub closed: bool,
    /// The last record.
    pub last: Offset,
    /// Group commits.
    pub groups: u64,
    /// Streams.
    pub streams: u64,
    /// Of them, those that were begun so that they can be forgotten.
    pub encrypted: u64,
    /// Of them, those that were deleted.
    pub ended: u64,
    /// Of them, those that were forgotten.
    pub forgotten: u64,
    /// The records that are not deleted.
    pub records: u64,
    /// The records that are deleted.
    pub deleted: u64,
    /// The bytes of the runs that the order lists, those that are deleted included.
    pub run_bytes: u64,
    /// Snapshots in the store's directory.
    pub snapshots: u64,
    /// The bytes of their rows.
    pub snapshot_bytes: u64,
    /// The deadlines that are armed.
    pub deadlines: u64,
    /// The files of the store and their lengths in bytes, without what isn't written to.
    pub files: Vec<(PathBuf, u64)>,
}

impl StoreDir {
    /// Counts what is in the store. Reads its order and the rows of its streams' names and floors, and no record.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it can't be looked at, or if its order is damaged.
    pub fn stats(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<StoreStats, StoreError> {
        let path = self.path.clone();
        let view = self.view()?;
        let end = *lock(&view.shared.durable);
        let mut deadlines = Deadlines::default();
        let mut stats = StoreStats {
            store: view.shared.facts.store,
            epoch: 0,
            durability: Durability::Fsync,
            closed: false,
            last: end.offset,
            groups: 0,
            streams: 0,
            encrypted: 0,
            ended: 0,
            forgotten: 0,
            records: end.offset.0,
            deleted: 0,
            run_bytes: 0,
            snapshots: 0,
            snapshot_bytes: 0,
            deadlines: 0,
            files: Vec::new(),
        };
        view.with_engine(|engine| {
            for step in Groups::all(engine, stats.store, end.group) {
                let row = match step {
                    Step::Row(row) => row,
                    Step::Missing(group, _) => {
                        return Err(ReadError::Corrupt(view.corrupt_rows(format!("group {group} is missing"))));
                    }
                    Step::Bad(group, reason) => {
                        return Err(ReadError::Corrupt(view.corrupt_rows(format!("group {group}: {reason}"))));
                    }
                    Step::Cut(reason) => return Err(ReadError::Corrupt(view.corrupt_rows(reason))),
                    Step::Foreign(_) => continue,
                };
                stats.groups += 1;
                for run in &row.runs {
                    stats.run_bytes += run.bytes;
                    deadlines.apply(run.stream, run.due);
                }
                progress(Progress { doing: "reading the order", done: row.mark.offset.0, of: Some(end.offset.0) });
            }
            for tag in [3, HIDDEN_ID] {
                for row in Rows::of(engine, tag, |_| None) {
                    row.map_err(|reason| ReadError::Corrupt(view.corrupt_rows(reason)))?;
                    stats.streams += 1;
                    stats.encrypted += u64::from(tag == HIDDEN_ID);
                }
            }
            // The highest floor of a stream comes first.
            let mut last = None;
            for row in Rows::of(engine, 4, |_| None) {
                let (key, _) = row.map_err(|reason| ReadError::Corrupt(view.corrupt_rows(reason)))?;
                let stream = super::super::rows::floor_stream(&key).unwrap_or(StreamNo(0));
                if last.replace(stream) == Some(stream) {
                    continue;
                }
                let floor = view.shared.floor(engine, stream)?;
                stats.ended += u64::from(floor.ended);
                stats.forgotten += u64::from(floor.forgotten);
                stats.deleted += floor.to.0.max(if floor.forgotten { last_of(view, engine, stream)?.0 } else { 0 });
            }
            Ok(())
        })?;
        stats.records = stats.records.saturating_sub(stats.deleted);
        stats.deadlines = crate::journal::bytes::len_u64(deadlines.into_armed().len());
        if let Some(shelf) = Shelf::open(&path, stats.store)? {
            let shelf = shelf.map_err(|reason| StoreError::Damaged {
                corrupt: crate::journal::Corrupt { place: super::snapshots::place(&path), reason },
            })?;
            for row in shelf.metas() {
                let (key, row) = row.map_err(|reason| StoreError::Damaged {
                    corrupt: crate::journal::Corrupt { place: super::snapshots::place(&path), reason },
                })?;
                stats.snapshots += 1;
                let seq_nr = super::super::snapshots::parse_key(&key).map(|(_, seq_nr)| seq_nr);
                let meta = seq_nr.and_then(|seq_nr| super::super::snapshots::read_meta(&key, &row, seq_nr));
                stats.snapshot_bytes += meta.map_or(0, |meta| crate::journal::bytes::len_u64(meta.bytes));
            }
        }
        if let Some(head) = &self.head.head {
            stats.epoch = head.epoch;
            stats.durability = head.durability;
            stats.closed = head.state == State::Clean;
        }
        files(&path, &path, &mut stats.files).map_err(StoreError::io("look at", &path))?;
        stats.files.sort();
        Ok(stats)
    }
}

fn last_of(view: &super::View, engine: &super::super::engine::Engine, stream: StreamNo) -> Result<SeqNr, ReadError> {
    let this = super::super::read::Stream::by_number(&view.shared, stream);
    match this.last_row(engine)? {
        Some((key, row)) => Ok(this.row(&key, &row)?.last()),
        None => Ok(SeqNr::ZERO),
    }
}

/// The files in a directory with what they take on the disk.
fn files(root: &Path, path: &Path, found: &mut Vec<(PathBuf, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let metadata = fs::metadata(&path)?;
        if metadata.is_dir() {
            files(root, &path, found)?;
        } else {
            found.push((path.strip_prefix(root).unwrap_or(&path).to_owned(), on_disk(&metadata)));
        }
    }
    Ok(())
}

/// The length of a file without its holes, where the system tells it.
fn on_disk(metadata: &fs::Metadata) -> u64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        metadata.len().min(metadata.blocks() * 512)
    }
    #[cfg(not(unix))]
    metadata.len()
}
