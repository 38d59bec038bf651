//! The snapshots in a store's directory, seen from outside.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::super::engine::{Engine, Row, SNAPSHOTS as SHAPE};
use super::super::open::SNAPSHOTS;
use super::super::read::Stream;
use super::super::rows::{Content, hidden_id_key};
use super::super::snapshots::{META, SNAPSHOT, parse_key, read_meta, row_key};
use super::look::{self, Look};
use super::scan::Rows;
use super::verify::{LastOf, Report};
use super::{Progress, StoreError, Tell, View};
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::cipher::{IdDigest, StreamCipher};
use crate::journal::floor::Floor;
use crate::journal::run::{RunError, RunView};
use crate::journal::{Cipher, Place, ReadError};
use crate::snapshot::bytes::{OpenedSnapshot, SnapshotBytesError};
use crate::snapshot::sealed::unseal;

/// So many streams are named for which no snapshot stands.
const WITHOUT_MAX: usize = 100;

/// The engine of the snapshots, open as a copy.
pub(super) struct Shelf {
    pub(super) engine: Engine,
    /// What is wrong with its files, though it is open.
    flaws: Vec<(PathBuf, String)>,
    /// What of its journal files isn't whole.
    torn: Vec<look::Torn>,
    /// ORDER: dropped last.
    _look: Look,
}

impl Shelf {
    /// Opens a copy. None: there are no snapshots in the store's directory.
    pub(super) fn open(path: &Path, store: u64) -> Result<Option<Result<Self, String>>, StoreError> {
        let original = path.join(SNAPSHOTS);
        match std::fs::read_dir(&original) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("look at", &original)(error)),
            Ok(mut entries) => {
                if entries.next().is_none() {
                    return Ok(None);
                }
            }
        }
        let look = Look::another(path).map_err(StoreError::io("make a directory to look at", path))?;
        let copy = look.path().join(SNAPSHOTS);
        look::copy(&original, &copy).map_err(StoreError::io("copy", &original))?;
        let torn = look::mend(&original, &copy, store).map_err(StoreError::io("read", &original))?;
        match super::open_engine(path, &original, &copy, SHAPE) {
            Ok((flaws, engine)) => Ok(Some(Ok(Self { engine, flaws, torn, _look: look }))),
            Err(error) if error.is_damage() => Ok(Some(Err(error.to_string()))),
            Err(error) => Err(error),
        }
    }

    /// The rows that say which snapshots there are.
    pub(super) fn metas(&self) -> impl Iterator<Item = Result<Row, String>> {
        Rows::of(&self.engine, META, |_| None)
    }
}

/// Checks every snapshot.
pub(super) fn verify(
    path: &Path,
    view: &View,
    is_clean: bool,
    last_of: &LastOf,
    report: &mut Report,
    tell: Tell<'_>,
) -> Result<(), StoreError> {
    let directory = path.join(SNAPSHOTS);
    let shelf = match Shelf::open(path, view.shared.facts.store)? {
        None => {
            note_without(view, last_of, None, report);
            return Ok(());
        }
        Some(Ok(shelf)) => shelf,
        Some(Err(reason)) => {
            report.push_file(directory, reason);
            return Ok(());
        }
    };
    let mut standing = HashSet::new();
    for (path, reason) in &shelf.flaws {
        report.push_file(path.clone(), reason.clone());
    }
    for torn in &shelf.torn {
        let told = format!("from byte {} to {}, {}", torn.whole, torn.written, torn.reason);
        // What was being written when the process ended is no damage.
        if is_clean || torn.is_followed {
            report.push_file(torn.path.clone(), told);
        } else {
            report.note(format!("`{}`: {told}", torn.path.display()));
        }
    }
    for row in shelf.metas() {
        let (key, meta_row) = match row {
            Ok(row) => row,
            Err(reason) => {
                report.push_file(directory.clone(), format!("some rows can't be read: {reason}"));
                continue;
            }
        };
        report.snapshots += 1;
        tell(Progress { doing: "reading the snapshots", done: report.snapshots, of: None });
        let Some((id, seq_nr)) = parse_key(&key) else {
            report.push_file(directory.clone(), "the key of a snapshot is wrong");
            continue;
        };
        let mut found = |reason: String| {
            report.push_file(directory.clone(), format!("the snapshot of {id} at sequence number {seq_nr}: {reason}"));
        };
        let Some(meta) = read_meta(&key, &meta_row, seq_nr) else {
            found("its row is wrong".into());
            continue;
        };
        let row = shelf.engine.get(&row_key(SNAPSHOT, &id, seq_nr));
        let stored = match row {
            Ok(Some(row)) => unseal(&id, seq_nr, row.to_vec()),
            Ok(None) => Err("it is missing".into()),
            Err(error) => Err(error.to_string()),
        };
        match stored {
            Ok(stored) if stored.meta() != meta => found("it has another time or length than its row says".into()),
            Ok(stored) => match look_at(view, last_of, &id, seq_nr, stored.time, &stored.bytes)? {
                Looked::Right(stream) => {
                    if last_of.get(&stream.0).is_some_and(|(_, floor)| floor.to <= seq_nr) {
                        standing.insert(stream.0);
                    }
                }
                Looked::Damaged(reason) => found(reason),
                Looked::Unusable(reason) => {
                    report.note(format!("the snapshot of {id} at sequence number {seq_nr} can't be used: {reason}"));
                }
            },
            Err(reason) => found(reason),
        }
    }
    for row in Rows::of(&shelf.engine, SNAPSHOT, |_| None) {
        let reason = match row {
            Ok((key, _)) => {
                let mut meta = key.to_vec();
                if let Some(tag) = meta.first_mut() {
                    *tag = META;
                }
                match shelf.engine.get(&meta) {
                    Ok(Some(_)) => continue,
                    Ok(None) | Err(_) => "a snapshot that isn't listed belongs to nothing".to_owned(),
                }
            }
            Err(reason) => format!("some snapshots can't be read: {reason}"),
        };
        report.push_file(directory.clone(), reason);
    }
    note_without(view, last_of, Some(&standing), report);
    Ok(())
}

/// Notes the streams of which records were deleted by retention, and for which no snapshot stands of those in the store's
/// directory, if there are any. That is no damage: it may be in a store of snapshots elsewhere, and nothing in the journal
/// says where. A stream that was deleted as a whole ends with a tombstone, and needs none.
fn note_without(view: &View, last_of: &LastOf, standing: Option<&HashSet<u64>>, report: &mut Report) {
    let needs_one = |floor: &Floor| floor.to > SeqNr::ZERO && !floor.ended && !floor.forgotten;
    let mut without: Vec<_> = last_of
        .iter()
        .filter(|(stream, (_, floor))| needs_one(floor) && standing.is_none_or(|standing| !standing.contains(stream)))
        .map(|(stream, (_, floor))| (StreamNo(*stream), floor.to))
        .filter(|(stream, _)| *stream != StreamNo(0))
        .collect();
    without.sort_unstable();
    report.without_snapshot = crate::journal::bytes::len_u64(without.len());
    if without.is_empty() {
        return;
    }
    let elsewhere = "no snapshot that stands for them is in the store's directory: it is elsewhere, or they are lost";
    if standing.is_none() {
        report.note(format!("records of {} streams were deleted, and {elsewhere}", without.len()));
        return;
    }
    for (stream, to) in without.iter().take(WITHOUT_MAX) {
        let id = view.shared.stream_id(*stream).ok().flatten();
        let whose = id.map_or_else(|| format!("stream {stream}"), |id| id.to_string());
        report.note(format!("the records of {whose} up to sequence number {to} were deleted, and {elsewhere}"));
    }
    if let Some(more) = without.len().checked_sub(WITHOUT_MAX).filter(|more| *more > 0) {
        report.note(format!("the same goes for {more} streams more"));
    }
}

enum Looked {
    Right(StreamNo),
    /// It isn't what was written.
    Damaged(String),
    /// It is what was written, and not one for this history.
    Unusable(String),
}

/// Looks into a snapshot that was stored under this id, and for the record at which it was taken.
fn look_at(
    view: &View,
    last_of: &LastOf,
    id: &PersistenceId,
    seq_nr: SeqNr,
    time: Timestamp,
    bytes: &[u8],
) -> Result<Looked, StoreError> {
    let store = view.shared.facts.store;
    let hidden = hidden_stream(view, id)?;
    let stream = match hidden {
        Some((stream, _)) => Some(stream),
        None => plain_stream(view, id)?,
    };
    let Some(stream) = stream else { return Ok(Looked::Unusable("there is no stream of this id".into())) };
    let cipher = match hidden {
        None => None,
        Some((stream, digest)) => match cipher_of(view, stream, digest) {
            Ok(Some(cipher)) => Some(cipher),
            Ok(None) => return Ok(Looked::Right(stream)),
            Err(ReadError::Corrupt(corrupt)) => return Ok(Looked::Damaged(corrupt.reason)),
            Err(ReadError::Forgotten { .. }) => return Ok(Looked::Unusable("its stream is forgotten".into())),
            Err(error) => return Err(error.into()),
        },
    };
    let cipher = cipher.as_ref().map(|cipher| -> &dyn Cipher { cipher });
    let opened = OpenedSnapshot::open(bytes, store, cipher).and_then(|opened| {
        let snapshot = opened.view()?;
        // Where a pseudonym stands for the id, only the snapshot itself has it.
        let own = PersistenceId::new(snapshot.aggregate, snapshot.entity);
        let whose = if hidden.is_some() { &own } else { id };
        let stored = crate::snapshot::SnapshotMeta { seq_nr, time, bytes: bytes.len() };
        snapshot.check(whose, &stored)
    });
    match opened {
        Ok(()) => {}
        Err(SnapshotBytesError::OtherStore) => {
            return Ok(Looked::Unusable("it belongs to another journal".into()));
        }
        Err(error) => return Ok(Looked::Damaged(error.to_string())),
    }
    let Some((last, floor)) = last_of.get(&stream.0) else { return Ok(Looked::Right(stream)) };
    if seq_nr > *last {
        return Ok(Looked::Unusable(format!("its stream ends with {last}: it is of a history that is lost")));
    }
    if seq_nr > floor.to
        && let Some(found) = time_of(view, stream, seq_nr)?
        && found != time
    {
        return Ok(Looked::Unusable(format!("record {seq_nr} is of {found}: it is of another history")));
    }
    Ok(Looked::Right(stream))
}

fn plain_stream(view: &View, id: &PersistenceId) -> Result<Option<StreamNo>, StoreError> {
    let mut key = Vec::new();
    super::super::rows::id_key(&mut key, id);
    Ok(view.with_engine(|engine| view.shared.stream_of(engine, Some(id), &key)).ok().flatten())
}

/// The stream for whose id a pseudonym stands, with the digest that it shows.
pub(super) fn hidden_stream(view: &View, id: &PersistenceId) -> Result<Option<(StreamNo, IdDigest)>, StoreError> {
    let Some(digest) = unhex(id.entity.as_str()) else { return Ok(None) };
    let mut key = Vec::new();
    hidden_id_key(&mut key, &id.aggregate, &digest);
    let stream = view.with_engine(|engine| view.shared.stream_of(engine, None, &key));
    Ok(stream.ok().flatten().map(|stream| (stream, digest)))
}

fn unhex(text: &str) -> Option<IdDigest> {
    let mut digest = IdDigest::default();
    if text.len() != 2 * digest.len() || !text.is_ascii() {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(digest)
}

/// What decrypts the snapshots of a stream. None: it isn't known how.
fn cipher_of(view: &View, stream: StreamNo, digest: IdDigest) -> Result<Option<StreamCipher>, ReadError> {
    view.with_engine(|engine| {
        if view.shared.floor(engine, stream)?.forgotten {
            return Err(ReadError::Forgotten { stream });
        }
        let this = Stream::by_number(&view.shared, stream);
        let Some((key, row)) = this.last_row(engine)? else { return Ok(None) };
        let row = this.row(&key, &row)?;
        let Content::Sealed(sealed) = &row.content else { return Ok(None) };
        let key = this.key(engine, sealed)?;
        Ok(Some(StreamCipher::new(key, digest)))
    })
}

/// The time of a record, where it can be read.
fn time_of(view: &View, stream: StreamNo, seq_nr: SeqNr) -> Result<Option<Timestamp>, StoreError> {
    let Ok(page) = view.shared.read_stream(stream, seq_nr, seq_nr, 1) else { return Ok(None) };
    let mut time = None;
    for run in &page.runs {
        let Ok(run) = RunView::parse(&run.bytes, view.shared.facts.store) else { continue };
        let read = run.for_each(|found, write, _| {
            if found == seq_nr {
                time = Some(write.time);
            }
            Ok::<(), RunError>(())
        });
        if read.is_err() {
            return Ok(None);
        }
    }
    Ok(time)
}

/// What a place is called where only a directory is known.
pub(super) fn place(path: &Path) -> Place {
    Place::File { path: path.join(SNAPSHOTS) }
}
