//! Writing the new store.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::super::super::rows::{
    StreamRow, floor_key, floor_row, hidden_id_key, id_key, stream_key, write_id_row, write_stream_row,
};
use super::super::super::snapshots::{SNAPSHOT, parse_key, read_meta, row_key};
use super::super::building::Building;
use super::super::snapshots::Shelf;
use super::super::{Progress, StoreError, Tell, View};
use super::Repair;
use super::plan::{Fate, Plan};
use super::salvage::{Name, Part};
use crate::id::{Offset, SeqNr, StreamNo};
use crate::journal::Due;
use crate::journal::floor::Floor;
use crate::journal::keys::{self, Keys, Slot};
use crate::journal::order::{Mark, OrderBuilder, OrderedRun, group_key};
use crate::journal::run::stored_checksum;
use crate::snapshot::sealed::unseal;

/// So many runs at most are in one group of the new store.
const RUNS_MAX: usize = 4096;

/// Writes the groups of the new store.
struct Writing<'a> {
    view: &'a View,
    plan: &'a Plan,
    store: u64,
    building: &'a mut Building,
    mark: Mark,
    /// The last record of stream 0, which stands for what is lost.
    lost: u64,
    /// Up to which of them its floor has risen.
    lost_told: u64,
    order: OrderBuilder,
    runs: usize,
    /// What of the group waits for its number.
    rows: Vec<Waiting>,
    /// Records of stream 0 that wait for an end.
    gap: u64,
    named: HashSet<u64>,
    row: Vec<u8>,
    key: Vec<u8>,
}

enum Waiting {
    Run { stream: StreamNo, first: SeqNr, offset: Offset, bytes: Vec<u8> },
    Name(StreamNo, Name),
    Floor(StreamNo, Floor),
}

/// Writes all rows, and says where the order ends.
pub(super) fn rows(
    view: &View,
    plan: &Plan,
    store: u64,
    building: &mut Building,
    tell: Tell<'_>,
) -> Result<Mark, StoreError> {
    let mut writing = Writing {
        view,
        plan,
        store,
        building,
        mark: Mark::default(),
        lost: 0,
        lost_told: 0,
        order: OrderBuilder::default(),
        runs: 0,
        rows: Vec::new(),
        gap: 0,
        named: HashSet::new(),
        row: Vec::new(),
        key: Vec::new(),
    };
    // Where the name of a stream is lost with its group, it is given to it with its first run.
    let listed: HashSet<u64> = plan.salvage.names().into_keys().collect();
    for part in &plan.salvage.parts {
        writing.part(part, &listed)?;
        tell(Progress { doing: "writing the new store", done: writing.mark.offset.0, of: None });
    }
    Ok(writing.mark)
}

impl Writing<'_> {
    fn part(&mut self, part: &Part, listed: &HashSet<u64>) -> Result<(), StoreError> {
        let mut next = part.offsets.start;
        for entry in &part.entries {
            self.gap += entry.offset.0 - next;
            next = entry.last_offset().0 + 1;
            let run = match self.plan.fate(entry) {
                Fate::Lost => {
                    self.gap += entry.run.records;
                    continue;
                }
                Fate::Made => {
                    self.end_gap();
                    let Some(made) = self.plan.made.get(&entry.offset.0) else { continue };
                    self.wait_run(entry.run.stream, entry.run.first, entry.offset, made.bytes.clone());
                    let checksum = stored_checksum(&made.bytes);
                    OrderedRun { checksum, bytes: crate::journal::bytes::len_u64(made.bytes.len()), ..entry.run }
                }
                Fate::Kept => {
                    self.end_gap();
                    if let Some(bytes) = self.bytes(entry.run.stream, entry.run.first, entry.run.checksum)? {
                        self.wait_run(entry.run.stream, entry.run.first, entry.offset, bytes);
                    }
                    entry.run
                }
            };
            let Some(kept) = self.plan.streams.get(&run.stream.0) else { continue };
            if !listed.contains(&run.stream.0) && self.named.insert(run.stream.0) {
                self.name(run.stream, &kept.name.clone());
            }
            self.order.push_run(&aggregate(self.plan, run.stream), &run);
            self.runs += 1;
            if self.runs >= RUNS_MAX {
                self.end_group(part)?;
            }
        }
        self.gap += part.offsets.end.saturating_sub(next);
        self.end_gap();
        for (stream, name) in &part.names {
            if self.plan.streams.contains_key(&stream.0) && self.named.insert(stream.0) {
                self.name(*stream, name);
            }
        }
        for (stream, floor) in &part.floors {
            if self.plan.streams.contains_key(&stream.0) {
                self.floor(*stream, *floor);
            }
        }
        self.end_group(part)
    }

    fn name(&mut self, stream: StreamNo, name: &Name) {
        match name {
            Name::Named(id) => self.order.push_new_stream(stream, id),
            Name::Hidden(aggregate, digest) => self.order.push_new_hidden_stream(stream, aggregate, digest),
        }
        self.rows.push(Waiting::Name(stream, name.clone()));
    }

    fn floor(&mut self, stream: StreamNo, floor: Floor) {
        self.order.push_floor(stream, floor);
        self.rows.push(Waiting::Floor(stream, floor));
    }

    fn wait_run(&mut self, stream: StreamNo, first: SeqNr, offset: Offset, bytes: Vec<u8>) {
        self.rows.push(Waiting::Run { stream, first, offset, bytes });
    }

    /// Lists what is lost, so that its offsets aren't given again: as deleted records of stream 0.
    fn end_gap(&mut self) {
        if self.gap == 0 {
            return;
        }
        let (stream, first, records) = (StreamNo(0), SeqNr(self.lost + 1), self.gap);
        let run = OrderedRun { stream, first, records, bytes: 0, checksum: 0, due: Due::Unchanged };
        self.order.push_run(&Arc::from("lost"), &run);
        self.runs += 1;
        self.lost += self.gap;
        self.gap = 0;
    }

    /// The run of a row that can be read, and is the one that the order lists.
    fn bytes(&self, stream: StreamNo, first: SeqNr, checksum: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let key = stream_key(stream, first);
        let found = self.view.with_engine(|engine| Ok(engine.get(&key).ok().flatten()))?;
        // Of what is deleted, the row may be gone or damaged.
        let row = found.as_ref().and_then(|row| StreamRow::parse(&key, row, self.store).ok());
        Ok(row.filter(|row| row.checksum == checksum).map(|row| row.run.to_vec()))
    }

    fn end_group(&mut self, part: &Part) -> Result<(), StoreError> {
        let listed_before = self.mark;
        let lost = Floor { to: SeqNr(self.lost), ended: false, forgotten: false };
        if self.lost > self.lost_told {
            self.lost_told = self.lost;
            self.floor(StreamNo(0), lost);
        }
        if self.order.is_empty() {
            return Ok(());
        }
        let group = listed_before.group + 1;
        for waiting in self.rows.drain(..) {
            match waiting {
                Waiting::Run { stream, first, offset, bytes } => {
                    let key = stream_key(stream, first);
                    let sum = stored_checksum(&bytes);
                    write_stream_row(&mut self.row, self.store, &key, group, offset, (&bytes, sum));
                    self.building.insert(&key, &self.row)?;
                }
                Waiting::Name(stream, name) => {
                    match &name {
                        Name::Named(id) => id_key(&mut self.key, id),
                        Name::Hidden(aggregate, digest) => hidden_id_key(&mut self.key, aggregate, digest),
                    }
                    write_id_row(&mut self.row, self.store, &self.key, stream, group);
                    self.building.insert(&self.key, &self.row)?;
                }
                Waiting::Floor(stream, floor) => {
                    let key = floor_key(stream, floor);
                    self.building.insert(&key, &floor_row(self.store, &key, group))?;
                }
            }
        }
        self.mark = self.order.write(&mut self.row, self.store, part.epoch, part.time, listed_before);
        self.building.insert(&group_key(group), &self.row)?;
        self.order.clear();
        self.runs = 0;
        Ok(())
    }
}

/// The aggregate of a stream; nobody reads it where the stream has no name.
fn aggregate(plan: &Plan, stream: StreamNo) -> Arc<str> {
    match plan.streams.get(&stream.0).map(|kept| &kept.name) {
        Some(Name::Named(id)) => Arc::clone(&id.aggregate),
        Some(Name::Hidden(aggregate, _)) => Arc::clone(aggregate),
        None => Arc::from(""),
    }
}

/// Says which snapshots are lost for which events were deleted.
pub(super) fn judge_snapshots(view: &View, plan: &mut Plan, repair: &mut Repair) -> Result<(), StoreError> {
    let stands_for_events = |plan: &Plan, stream: StreamNo| {
        plan.streams.get(&stream.0).is_some_and(|kept| kept.floor.to > SeqNr::ZERO && !kept.floor.ended)
    };
    let shelf = match Shelf::open(&view.shared.path, view.shared.facts.store)? {
        None => return Ok(()),
        Some(Ok(shelf)) => shelf,
        Some(Err(reason)) => {
            let streams = plan.streams.keys().filter(|stream| stands_for_events(plan, StreamNo(**stream))).count();
            repair.notes.push(format!("no snapshot in the store's directory can be read: {reason}"));
            if streams > 0 {
                plan.loses_more = true;
                repair.notes.push(format!(
                    "of {streams} streams events were deleted, and the snapshots that stand for them are lost"
                ));
            }
            return Ok(());
        }
    };
    let names = plan.by_snapshot_name();
    let (mut good, mut bad) = (HashSet::new(), BTreeMap::new());
    let mut is_unreadable = false;
    for row in shelf.metas() {
        let Ok((key, meta_row)) = row else {
            is_unreadable = true;
            continue;
        };
        let Some((id, seq_nr)) = parse_key(&key) else { continue };
        let Some(stream) = names.get(&id).copied() else { continue };
        match read(&shelf, &key, &meta_row) {
            Some(_)
                if plan.streams.get(&stream.0).is_some_and(|kept| (kept.floor.to..=kept.last).contains(&seq_nr)) =>
            {
                good.insert(stream.0);
            }
            Some(_) => {}
            None => {
                repair.notes.push(format!("the snapshot of {id} at sequence number {seq_nr} is damaged, and left out"));
                bad.insert(stream.0, id);
            }
        }
    }
    if is_unreadable {
        repair.notes.push("some snapshots in the store's directory can't be read, and are left out".into());
        // Nobody can tell whose they were.
        let whose = names.iter().filter(|(_, stream)| !good.contains(&stream.0));
        bad.extend(whose.map(|(id, stream)| (stream.0, id.clone())));
    }
    for (stream, id) in bad {
        if stands_for_events(plan, StreamNo(stream)) && !good.contains(&stream) {
            plan.loses_more = true;
            repair
                .notes
                .push(format!("events of {id} were deleted for a snapshot that is damaged: what they said is lost"));
        }
    }
    Ok(())
}

/// The row of a snapshot, if it is whole.
fn read(shelf: &Shelf, key: &[u8], meta_row: &[u8]) -> Option<Vec<u8>> {
    let (id, seq_nr) = parse_key(key)?;
    let meta = read_meta(key, meta_row, seq_nr)?;
    let row = shelf.engine.get(&row_key(SNAPSHOT, &id, seq_nr)).ok().flatten()?;
    let stored = unseal(&id, seq_nr, row.to_vec()).ok()?;
    (stored.meta() == meta).then(|| row.to_vec())
}

/// Writes the snapshots that are whole and of records that are kept. One of a record that is lost would bring it back.
pub(super) fn snapshots(path: &Path, store: u64, plan: &Plan, building: &mut Building) -> Result<(), StoreError> {
    let Some(Ok(shelf)) = Shelf::open(path, store)? else { return Ok(()) };
    let names = plan.by_snapshot_name();
    for (key, meta) in shelf.metas().flatten() {
        let kept = parse_key(&key).and_then(|(id, seq_nr)| {
            let kept = plan.streams.get(&names.get(&id)?.0)?;
            (seq_nr <= kept.last).then_some(())
        });
        if kept.is_some()
            && let Some(row) = read(&shelf, &key, &meta)
        {
            building.insert_snapshot(&key, &meta, &row)?;
        }
    }
    Ok(())
}

/// Copies the file of keys, but for slots that are damaged: those are empty in the new one.
pub(super) fn keys(from: &Path, to: &Path, store: u64) -> Result<(), StoreError> {
    let (from_path, to_path) = (from.join(keys::FILE), to.join(keys::FILE));
    let mut source = match File::open(&from_path) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io("read", &from_path)(error)),
    };
    let known = Keys::look(from, store);
    let known = known.map_err(|error| StoreError::io("read", &from_path)(io::Error::other(error.to_string())))?;
    let mut target = super::super::export::create_private(&to_path).map_err(StoreError::io("make", &to_path))?;
    let mut copy = || -> io::Result<()> {
        let mut slot = Zeroizing::new([0; keys::SLOT_BYTES]);
        source.seek(SeekFrom::Start(0))?;
        source.read_exact(&mut *slot)?;
        target.write_all(&*slot)?;
        for number in 1..known.numbers() {
            slot.fill(0);
            if !matches!(known.slot(number)?, Slot::Damaged) {
                // The last one may be cut off: then it is damaged.
                source.seek(SeekFrom::Start(crate::journal::bytes::len_u64(keys::SLOT_BYTES) * number))?;
                source.read_exact(&mut *slot)?;
            }
            target.write_all(&*slot)?;
        }
        target.sync_all()
    };
    copy().map_err(StoreError::io("copy", &from_path))
}
