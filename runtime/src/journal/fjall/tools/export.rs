//! A store as one stream of bytes, and a store made of one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::super::open::{LOCK, is_vacant};
use super::super::rows::{HIDDEN_ID, read_id_row, stream_key};
use super::super::temporary::{make_temporary, remove_leftovers};
use super::archive::{Flaw, Frame, Frames, Header, Writer};
use super::building::{Building, Origin, Scaffold};
use super::scan::Rows;
use super::snapshots::Shelf;
use super::{Progress, StoreDir, StoreError, Tell};
use crate::disk::sync_dir;
use crate::id::{SeqNr, StreamNo};
use crate::journal::bytes::len_u64;
use crate::journal::fjall::rows::{Content, StreamRow, floor_key, floor_keys, floor_row, read_floor_row};
use crate::journal::floor::Floor;
use crate::journal::head::State;
use crate::journal::keys::{self, Keys};
use crate::journal::order::{Mark, OrderBuilder, OrderRow, group_key};
use crate::journal::{Corrupt, ReadError, lock};

/// So many streams are forgotten with one group.
const FORGOTTEN_AT_ONCE: usize = 1024;
/// Keys are copied in pieces of so many bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// What an export does about the keys of streams that can be forgotten. They never go into the export itself: it is a
/// backup, and who forgets an entity would have to find every one of them.
pub enum ExportKeys<'a> {
    /// Nothing was said: a store that has such streams isn't exported.
    Unsaid,
    /// Writes them there. Who has them can read those streams in the export, also when they are forgotten in the store.
    To(&'a mut dyn Write),
    /// Leaves them out: in an import, those streams are forgotten.
    Without,
}

/// What an import does about the keys of streams that can be forgotten.
pub enum ImportKeys<'a> {
    /// Nothing was said: an export that has such streams isn't imported.
    Unsaid,
    /// Reads them there.
    From(&'a mut dyn Read),
    /// Forgets those streams. Their ids can't be told from others any more, and may begin anew.
    Without,
}

impl std::fmt::Debug for ExportKeys<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ExportKeys::Unsaid => "Unsaid",
            ExportKeys::To(_) => "To(..)",
            ExportKeys::Without => "Without",
        })
    }
}

impl std::fmt::Debug for ImportKeys<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ImportKeys::Unsaid => "Unsaid",
            ImportKeys::From(_) => "From(..)",
            ImportKeys::Without => "Without",
        })
    }
}

/// What went from one place to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moved {
    /// Rows of the engine.
    pub rows: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Streams that are forgotten for want of their keys.
    pub forgotten: u64,
}

impl StoreDir {
    /// Writes all that the store holds: the rows of the truth as they are stored, what the head says, and the snapshots in
    /// the store's directory. The store is verified before. Nothing is synced.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if the store is damaged: nothing was written then. [`StoreError::KeysUnsaid`] if it has
    /// streams that can be forgotten, and `keys` is [`ExportKeys::Unsaid`]. [`StoreError::Output`] if something can't be
    /// written.
    pub fn export(
        &mut self,
        out: &mut dyn Write,
        keys: ExportKeys<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Moved, StoreError> {
        let report = self.verify(progress)?;
        if let Some(corrupt) = report.findings.first() {
            return Err(StoreError::Damaged { corrupt: corrupt.clone() });
        }
        let shelf = match Shelf::open(&self.path, report.store.unwrap_or_default())? {
            None => None,
            Some(Ok(shelf)) => Some(shelf),
            Some(Err(reason)) => {
                let corrupt = Corrupt { place: super::snapshots::place(&self.path), reason };
                return Err(StoreError::Damaged { corrupt });
            }
        };
        self.view()?;
        let (Some(view), Some(head)) = (&self.view, self.head.head) else { return Err(ReadError::Closed.into()) };
        let end = *lock(&view.shared.durable);
        let engine = view.shared.engine.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(engine) = engine.as_ref() else { return Err(ReadError::Closed.into()) };
        let unreadable = |reason: String| StoreError::from(ReadError::Corrupt(view.corrupt_rows(reason)));

        let mut hidden = 0;
        for row in Rows::of(engine, HIDDEN_ID, |_| None) {
            row.map_err(unreadable)?;
            hidden += 1;
        }
        match keys {
            ExportKeys::Unsaid if hidden > 0 => return Err(StoreError::KeysUnsaid { streams: hidden }),
            ExportKeys::To(to) if hidden > 0 => {
                let path = self.path.join(keys::FILE);
                let mut file = File::open(&path).map_err(StoreError::io("read", &path))?;
                copy_secretly(&mut file, to).map_err(StoreError::Output)?;
                to.flush().map_err(StoreError::Output)?;
            }
            ExportKeys::Unsaid | ExportKeys::To(_) | ExportKeys::Without => {}
        }
        let origin = Origin {
            store: head.store,
            epoch: head.epoch,
            durability: head.durability,
            is_tidy: head.state == State::Clean && head.checkpoint == end,
        };
        let header = Header { origin, end, needs_keys: hidden > 0 };
        let mut writer = Writer::begin(out, &header).map_err(StoreError::Output)?;
        let mut rows = 0;
        for tag in [1, 2, 3, 4, HIDDEN_ID] {
            for row in Rows::of(engine, tag, |_| None) {
                let (key, row) = row.map_err(unreadable)?;
                writer.row(&key, &row).map_err(StoreError::Output)?;
                rows += 1;
                progress(Progress { doing: "writing the rows", done: rows, of: None });
            }
        }
        if let Some(shelf) = &shelf {
            for row in shelf.metas() {
                let (key, meta) = row.map_err(unreadable)?;
                let mut snapshot_key = key.to_vec();
                if let Some(tag) = snapshot_key.first_mut() {
                    *tag = super::super::snapshots::SNAPSHOT;
                }
                let row = shelf.engine.get(&snapshot_key);
                let row = row.map_err(|error| unreadable(error.to_string()))?;
                let row = row.ok_or_else(|| unreadable("a snapshot is missing".into()))?;
                writer.snapshot(&key, &meta, &row).map_err(StoreError::Output)?;
            }
        }
        let (rows, snapshots) = writer.finish().map_err(StoreError::Output)?;
        Ok(Moved { rows, snapshots, forgotten: 0 })
    }

    /// Makes a new store of an export, in a directory that doesn't exist or is empty. It is made beside its place, verified
    /// as a whole, synced and then moved there: whatever happens before, nothing is there.
    ///
    /// The new store has the id of the one that was exported. So whatever refers to that one, such as snapshots elsewhere,
    /// offsets that consumers have stored or runs to be settled, holds for this one up to the export.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotVacant`], [`StoreError::Export`] if what is read is no export, or is damaged or cut off,
    /// [`StoreError::KeysUnsaid`], and [`StoreError::NotWhole`] if keys are missing or belong to another store.
    pub fn import(
        input: &mut dyn Read,
        path: impl AsRef<Path>,
        keys: ImportKeys<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Moved, StoreError> {
        let path = std::path::absolute(path.as_ref()).map_err(StoreError::io("find", path.as_ref()))?;
        let vacant = |path: &Path| match is_vacant(path) {
            Ok(true) => Ok(()),
            Ok(false) | Err(super::OpenError::NotADirectory { .. }) => {
                Err(StoreError::NotVacant { path: path.to_owned() })
            }
            Err(error) => Err(error.into()),
        };
        vacant(&path)?;
        // Where a symlink points to an empty directory, that one is replaced and not the link.
        let path = fs::canonicalize(&path).unwrap_or(path);
        let (frames, header) = Frames::begin(input).map_err(flawed)?;
        if header.needs_keys && matches!(keys, ImportKeys::Unsaid) {
            return Err(StoreError::KeysUnsaid { streams: 0 });
        }
        let parent = path.parent().unwrap_or(&path).to_owned();
        fs::create_dir_all(&parent).map_err(StoreError::io("make the directory", &parent))?;
        remove_leftovers(&path);
        let (temporary, mut held) = make_temporary(&path, &parent)?;
        let mut scaffold = Scaffold::at(temporary.clone());
        let moved = make(frames, &header, &temporary, keys, progress)?;
        vacant(&path)?;
        fs::rename(&temporary, &path).map_err(StoreError::io("move the new store to", &path))?;
        scaffold.moved();
        held.moved_to(path.join(LOCK));
        sync_dir(&parent).map_err(StoreError::io("sync", &parent))?;
        Ok(moved)
    }
}

/// Makes the whole store in a directory.
fn make<R: Read>(
    mut frames: Frames<R>,
    header: &Header,
    dir: &Path,
    keys: ImportKeys<'_>,
    tell: Tell<'_>,
) -> Result<Moved, StoreError> {
    let mut building = Building::begin(dir)?;
    let mut moved = Moved { rows: 0, snapshots: 0, forgotten: 0 };
    loop {
        match frames.next().map_err(flawed)? {
            Frame::Row { key, row } => {
                moved.rows += 1;
                building.insert(&key, &row)?;
            }
            Frame::Snapshot { key, meta, row } => {
                moved.snapshots += 1;
                building.insert_snapshot(&key, &meta, &row)?;
            }
            Frame::End => break,
        }
        tell(Progress { doing: "reading the export", done: frames.at(), of: None });
    }
    let path = dir.join(keys::FILE);
    let mut end = header.end;
    match keys {
        ImportKeys::From(from) if header.needs_keys => {
            let mut file = create_private(&path).map_err(StoreError::io("make", &path))?;
            copy_secretly(from, &mut file).map_err(StoreError::io("write", &path))?;
        }
        ImportKeys::Without if header.needs_keys => {
            let (last, forgotten) = forget(&mut building, header, dir)?;
            end = last;
            moved.forgotten = forgotten;
        }
        ImportKeys::Unsaid | ImportKeys::From(_) | ImportKeys::Without => {}
    }
    let origin = Origin { is_tidy: header.origin.is_tidy && moved.forgotten == 0, ..header.origin };
    building.finish(&origin, end, tell)?;
    Ok(moved)
}

/// Forgets all streams that need keys, and makes a file of keys in which they are destroyed.
fn forget(building: &mut Building, header: &Header, dir: &Path) -> Result<(Mark, u64), StoreError> {
    let store = header.origin.store;
    let bad = |reason: &str| StoreError::Export { at: 0, reason: reason.into() };
    let mut forgotten = Vec::new();
    let mut key_max = 0;
    let engine = building.engine()?;
    for row in Rows::of(engine, HIDDEN_ID, |_| None) {
        let (key, row) = row.map_err(|reason| bad(&reason))?;
        let stream = read_id_row(&row, store, &key).ok_or_else(|| bad("the digest of an id's row is wrong"))?;
        let last = engine.last(&stream_key(stream, SeqNr(1)), &stream_key(stream, SeqNr(u64::MAX)));
        let last = last.map_err(|error| bad(&error.to_string()))?.ok_or_else(|| bad("a stream has no run"))?;
        let row = StreamRow::parse(&last.0, &last.1, store).map_err(|reason| bad(&reason))?;
        if let Content::Sealed(sealed) = &row.content {
            key_max = key_max.max(sealed.key());
        }
        let (from, to) = floor_keys(stream, stream);
        let floor = engine.range(&from, &to).next().transpose().map_err(|error| bad(&error.to_string()))?;
        let floor = floor.and_then(|(key, row)| read_floor_row(&row, store, &key)).map(|(floor, _)| floor);
        if !floor.unwrap_or_default().forgotten {
            forgotten.push((stream, Floor { to: row.last(), ended: true, forgotten: true }));
        }
    }
    let mut mark = header.end;
    let mut time = last_time(building, store, mark)?;
    for part in forgotten.chunks(FORGOTTEN_AT_ONCE) {
        (mark, time) = append_floors(building, header, mark, time, part)?;
    }
    let keys = Keys::open(dir, store).and_then(|keys| keys.make_destroyed(key_max).map(|()| keys));
    let path = dir.join(keys::FILE);
    keys.map_err(|error| StoreError::io("write", &path)(io::Error::other(error.to_string())))?;
    Ok((mark, len_u64(forgotten.len())))
}

fn last_time(building: &mut Building, store: u64, mark: Mark) -> Result<i64, StoreError> {
    if mark.group == 0 {
        return Ok(0);
    }
    let row = building.get(&group_key(mark.group))?;
    let row = row.and_then(|row| OrderRow::parse(&row, store, mark.group).ok());
    row.map(|row| row.time).ok_or_else(|| StoreError::Export { at: 0, reason: "its last group is missing".into() })
}

/// Adds a group with which floors rise.
fn append_floors(
    building: &mut Building,
    header: &Header,
    before: Mark,
    time: i64,
    floors: &[(StreamNo, Floor)],
) -> Result<(Mark, i64), StoreError> {
    let mut order = OrderBuilder::default();
    let group = before.group + 1;
    for (stream, floor) in floors {
        order.push_floor(*stream, *floor);
        let key = floor_key(*stream, *floor);
        building.insert(&key, &floor_row(header.origin.store, &key, group))?;
    }
    let mut row = Vec::new();
    let mark = order.write(&mut row, header.origin.store, header.origin.epoch, time, before);
    building.insert(&group_key(group), &row)?;
    Ok((mark, time))
}

fn flawed(flaw: Flaw) -> StoreError {
    match flaw {
        Flaw::Bytes { at, reason } => StoreError::Export { at, reason },
        Flaw::Io(error) => StoreError::Input(error),
    }
}

/// Makes a file that only its owner may read.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Copies keys, and leaves none of them in memory.
fn copy_secretly(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    let mut piece = Zeroizing::new([0; PIECE_BYTES]);
    loop {
        match from.read(&mut *piece) {
            Ok(0) => return Ok(()),
            Ok(read) => to.write_all(&piece[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
