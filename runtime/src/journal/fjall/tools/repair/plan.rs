//! What is kept of a damaged store, and what is lost.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::super::super::engine::Engine;
use super::super::super::rows::{Content, StreamRow, stream_key};
use super::super::{StoreError, View};
use super::salvage::{Entry, Name, Salvage};
use super::{Lost, Repair};
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};
use crate::journal::cipher::IdDigest;
use crate::journal::fjall::read::Stream;
use crate::journal::floor::Floor;
use crate::journal::order::Mark;
use crate::journal::run::{Run, RunBuilder, RunError, RunView};
use crate::journal::{Due, Facts, ReadError, Record, Write};

/// What becomes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays; if its row is there.
    Kept,
    /// Its row is made anew, since all that it says is known otherwise.
    Made,
    Lost,
}

/// What is kept of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) name: Name,
    pub(super) last: SeqNr,
    pub(super) floor: Floor,
}

/// What the new store is made of.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) salvage: Salvage,
    /// What becomes of each run, by its offset. Those that stay aren't listed.
    pub(super) fates: HashMap<u64, Fate>,
    /// The tombstones that are made anew, by their offsets.
    pub(super) made: HashMap<u64, Run>,
    pub(super) streams: BTreeMap<u64, Kept>,
    /// The highest epoch.
    pub(super) epoch: u64,
    /// Whether something is lost that isn't a record.
    pub(super) loses_more: bool,
}

impl Plan {
    pub(super) fn make(
        view: &View,
        salvage: Salvage,
        required: Mark,
        are_keys_lost: bool,
        repair: &mut Repair,
    ) -> Result<Self, StoreError> {
        let engine = view.shared.engine.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(engine) = engine.as_ref() else { return Err(ReadError::Closed.into()) };
        let epoch = salvage.parts.iter().map(|part| part.epoch).max().unwrap_or(0);
        let (fates, made, streams) = (HashMap::new(), HashMap::new(), BTreeMap::new());
        let mut plan = Self { salvage, fates, made, streams, epoch, loses_more: false };
        let names = plan.salvage.names();
        let mut by_stream: BTreeMap<u64, Vec<Entry>> = BTreeMap::new();
        let mut floors: BTreeMap<u64, Floor> = BTreeMap::new();
        for part in &plan.salvage.parts {
            for entry in &part.entries {
                by_stream.entry(entry.run.stream.0).or_default().push(*entry);
            }
            for (stream, floor) in &part.floors {
                let raised = floors.entry(stream.0).or_default();
                *raised = raised.raised(*floor);
            }
        }
        // Offsets of which nothing is known.
        let mut unknown: u64 = plan.holes().map(|(from, to)| to.0 + 1 - from.0).sum();
        let known: HashSet<u64> = by_stream.keys().copied().collect();
        for (stream, mut entries) in by_stream {
            if stream == 0 {
                plan.fates.extend(entries.iter().map(|entry| (entry.offset.0, Fate::Lost)));
                continue;
            }
            entries.sort_by_key(|entry| entry.run.first);
            let floor = floors.get(&stream).copied().unwrap_or_default();
            let judge = Judge { view, engine, stream: StreamNo(stream), floor, required, are_keys_lost };
            let deleted: u64 = entries.iter().map(|entry| covered(entry, floor.to)).sum();
            unknown = unknown.saturating_sub(floor.to.0.saturating_sub(deleted));
            unknown = unknown.saturating_sub(judge.stream(&entries, names.get(&stream), &mut plan, repair));
        }
        for (stream, name) in names.iter().filter(|(stream, _)| !known.contains(stream)) {
            repair.notes.push(format!("nothing is left of {}: its id may begin anew", name.told(StreamNo(*stream))));
            plan.loses_more = true;
        }
        if unknown > 0 {
            let holes: Vec<_> = plan.holes().collect();
            for (from, to) in holes {
                let acknowledged = required.offset >= from || required == Mark::default();
                let offsets = Some((from, to));
                repair.lose(Lost { offsets, stream: None, id: None, seq_nrs: None, acknowledged });
            }
        }
        super::write::judge_snapshots(view, &mut plan, repair)?;
        Ok(plan)
    }

    /// The offsets from one to another, both included, of which nothing is known.
    pub(super) fn holes(&self) -> impl Iterator<Item = (Offset, Offset)> {
        self.salvage.parts.iter().filter(|part| part.is_hole).flat_map(|hole| {
            let mut next = hole.offsets.start;
            let mut holes = Vec::new();
            for entry in &hole.entries {
                if entry.offset.0 > next {
                    holes.push((Offset(next), Offset(entry.offset.0 - 1)));
                }
                next = entry.last_offset().0 + 1;
            }
            if hole.offsets.end > next {
                holes.push((Offset(next), Offset(hole.offsets.end - 1)));
            }
            holes
        })
    }

    pub(super) fn fate(&self, entry: &Entry) -> Fate {
        self.fates.get(&entry.offset.0).copied().unwrap_or(Fate::Kept)
    }

    /// The stream that is kept under the name that snapshots have.
    pub(super) fn by_snapshot_name(&self) -> HashMap<PersistenceId, StreamNo> {
        let named = self.streams.iter().map(|(stream, kept)| {
            let id = match &kept.name {
                Name::Named(id) => id.clone(),
                Name::Hidden(aggregate, digest) => PersistenceId::new(Arc::clone(aggregate), hex(digest)),
            };
            (id, StreamNo(*stream))
        });
        named.collect()
    }
}

fn hex(digest: &IdDigest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many of a run's records are below a floor.
fn covered(entry: &Entry, floor: SeqNr) -> u64 {
    let last = entry.run.last().min(floor);
    (last.0 + 1).saturating_sub(entry.run.first.0)
}

/// Judges one stream.
struct Judge<'a> {
    view: &'a View,
    engine: &'a Engine,
    stream: StreamNo,
    floor: Floor,
    required: Mark,
    are_keys_lost: bool,
}

impl Judge<'_> {
    /// Says what becomes of the runs of the stream, and how many records are missing between those that are known.
    fn stream(&self, entries: &[Entry], name: Option<&Name>, plan: &mut Plan, repair: &mut Repair) -> u64 {
        let mut name = name.cloned();
        let is_hidden = matches!(name, Some(Name::Hidden(..)));
        let mut broken_at = None;
        let mut missing = 0;
        let mut last_row: Option<SeqNr> = None;
        let mut next: Option<SeqNr> = None;
        for (index, entry) in entries.iter().enumerate() {
            let is_deleted = entry.run.last() <= self.floor.to;
            let is_next = match next {
                Some(next) => entry.run.first == next,
                None => is_deleted || entry.run.first <= self.floor.to.next(),
            };
            if !is_deleted && !is_next {
                let from = next.unwrap_or_default().max(self.floor.to.next());
                missing += entry.run.first.0.saturating_sub(from.0);
                self.lose(None, (from, SeqNr(entry.run.first.0 - 1)), name.as_ref(), repair);
                broken_at = Some(index);
                break;
            }
            let found = match self.are_keys_lost && is_hidden {
                true => None,
                false => self.look_at(entry),
            };
            match found {
                Some(found) => {
                    name = name.or(found);
                    last_row = Some(entry.run.last());
                }
                None if is_deleted => {}
                None => {
                    broken_at = Some(index);
                    break;
                }
            }
            next = (!is_deleted).then(|| entry.run.last().next());
        }
        let lost = broken_at.map_or(&[][..], |index| &entries[index..]);
        if let ([tombstone], Some(Name::Named(id)), true) = (lost, &name, self.floor.ended && !self.floor.forgotten)
            && tombstone.run.records == 1
            && entries.iter().all(|entry| entry.run.last() <= tombstone.run.last())
        {
            let run = self.tombstone(id, tombstone, plan);
            plan.fates.insert(tombstone.offset.0, Fate::Made);
            plan.made.insert(tombstone.offset.0, run);
            let kept = Kept { name: Name::Named(id.clone()), last: tombstone.run.last(), floor: self.floor };
            plan.streams.insert(self.stream.0, kept);
            return missing;
        }
        // A stream that has ended must end with its tombstone, and any needs a row that says where it stands.
        let is_gone = match last_row {
            None => true,
            Some(last) => self.floor.to > last || (self.floor.ended && !lost.is_empty()),
        };
        let lost = if is_gone { entries } else { lost };
        for entry in lost {
            plan.fates.insert(entry.offset.0, Fate::Lost);
            self.lose(Some(entry), (entry.run.first, entry.run.last()), name.as_ref(), repair);
        }
        match (name, last_row) {
            (Some(name), Some(last)) if !is_gone => {
                plan.streams.insert(self.stream.0, Kept { name, last, floor: self.floor });
            }
            (name, _) => {
                let whose = name.map_or_else(|| format!("stream {}", self.stream), |name| name.told(self.stream));
                let ended = if self.floor.ended { ", which was deleted" } else { "" };
                repair.notes.push(format!("nothing is left of {whose}{ended}: its id may begin anew"));
                plan.loses_more = true;
                for entry in entries {
                    plan.fates.insert(entry.offset.0, Fate::Lost);
                }
            }
        }
        missing
    }

    fn lose(&self, entry: Option<&Entry>, seq_nrs: (SeqNr, SeqNr), name: Option<&Name>, repair: &mut Repair) {
        let offsets = entry.map(|entry| (entry.offset, entry.last_offset()));
        let acknowledged =
            self.required == Mark::default() || offsets.is_none_or(|(from, _)| from <= self.required.offset);
        let id = match name {
            Some(Name::Named(id)) => Some(id.clone()),
            Some(Name::Hidden(..)) | None => None,
        };
        // Runs that follow each other are told as one.
        if let Some(before) = repair.lost.last_mut()
            && before.stream == Some(self.stream)
            && before.acknowledged == acknowledged
            && let (Some((_, last)), Some((_, to)), Some((from, end))) =
                (&mut before.seq_nrs, &mut before.offsets, offsets)
            && last.next() == seq_nrs.0
            && to.0 + 1 == from.0
        {
            (*last, *to) = (seq_nrs.1, end);
            return;
        }
        repair.lose(Lost { offsets, stream: Some(self.stream), id, seq_nrs: Some(seq_nrs), acknowledged });
    }

    /// Whether the row of a run is there and can be read; and the name that it has, if it isn't forgotten.
    fn look_at(&self, entry: &Entry) -> Option<Option<Name>> {
        let store = self.view.shared.facts.store;
        let key = stream_key(self.stream, entry.run.first);
        let bytes = self.engine.get(&key).ok().flatten()?;
        let row = StreamRow::parse(&key, &bytes, store).ok()?;
        let is_same =
            row.base == entry.offset && row.checksum == entry.run.checksum && row.records() == entry.run.records;
        if !is_same {
            return None;
        }
        if self.floor.forgotten {
            return Some(None);
        }
        let plain = Stream::by_number(&self.view.shared, self.stream).plain(self.engine, &row).ok()?;
        let run = RunView::parse(&plain, store).ok()?;
        run.for_each(|_, _, _| Ok::<(), RunError>(())).ok()?;
        let id = run.id();
        Some(Some(match row.content {
            Content::Plain(_) => Name::Named(id),
            Content::Sealed(_) => {
                let digest = self.view.shared.keys.id_digest(&id);
                Name::Hidden(id.aggregate, digest)
            }
        }))
    }

    /// The tombstone that was there: all that it says is that it is one.
    fn tombstone(&self, id: &PersistenceId, entry: &Entry, plan: &Plan) -> Run {
        let part = plan.salvage.parts.iter().find(|part| part.offsets.contains(&entry.offset.0));
        let (epoch, time) = part.map_or((plan.epoch, 0), |part| (part.epoch, part.time));
        let time = jiff::Timestamp::from_microsecond(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let mut run = RunBuilder::new(self.stream, id.clone(), entry.run.first);
        run.push_write(&Write::at(time), Due::Cleared, [Record::Tombstone].into_iter());
        run.seal(&Facts { epoch, ..self.view.shared.facts }, 0)
    }
}
