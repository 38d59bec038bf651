//! What is said of a store, as JSON.

use std::fmt::{self, Display, Formatter};

use annals::journal::{
    Corrupt, Durability, Lost, Place, Record, RecordFound, Repair, Repaired, Report, StoreStats, StoredCause,
    StoredKey, StoredOutcome, StreamInfo,
};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::payload::{hex, to_json};

pub(crate) fn report(report: &Report) -> Value {
    let counted = |count: u64| report.is_counted.then_some(count);
    json!({
        "whole": report.is_whole(),
        "store": report.store.map(store),
        "last": counted(report.last.0),
        "groups": counted(report.groups),
        "records": counted(report.records),
        "runs": counted(report.runs),
        "streams": counted(report.streams),
        "snapshots": counted(report.snapshots),
        "keys": counted(report.keys),
        "without_snapshot": counted(report.without_snapshot),
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "more_findings": report.more_findings,
        "notes": report.notes,
    })
}

pub(crate) fn repair(repair: &Repair) -> Value {
    let (outcome, damaged) = match &repair.outcome {
        Repaired::Whole => ("whole", None),
        Repaired::Possible => ("possible", None),
        Repaired::Done { damaged } => ("done", Some(damaged.to_string_lossy())),
        _ => ("refused", None),
    };
    json!({
        "outcome": outcome,
        "damaged_store": damaged,
        "lost": repair.lost.iter().map(lost).collect::<Vec<_>>(),
        "more_lost": repair.more_lost,
        "notes": repair.notes,
        "report": report(&repair.report),
    })
}

fn lost(lost: &Lost) -> Value {
    json!({
        "from_offset": lost.offsets.map(|(from, _)| from),
        "to_offset": lost.offsets.map(|(_, to)| to),
        "stream": lost.stream,
        "aggregate": lost.id.as_ref().map(|id| &*id.aggregate),
        "id": lost.id.as_ref().map(|id| id.entity.as_str()),
        "from_seq_nr": lost.seq_nrs.map(|(from, _)| from),
        "to_seq_nr": lost.seq_nrs.map(|(_, to)| to),
        "acknowledged": lost.acknowledged,
    })
}

/// A store's id, as text: not all tools read numbers of 64 bits.
pub(crate) fn store(id: u64) -> String {
    format!("{id:016x}")
}

pub(crate) fn finding(corrupt: &Corrupt) -> Value {
    let mut finding = match &corrupt.place {
        Place::Offsets { from, to } => json!({ "from_offset": from, "to_offset": to }),
        Place::Stream { stream, id, from } => json!({
            "stream": stream,
            "aggregate": id.as_ref().map(|id| &*id.aggregate),
            "id": id.as_ref().map(|id| id.entity.as_str()),
            "from_seq_nr": from,
        }),
        Place::File { path } => json!({ "file": path.to_string_lossy() }),
        place => json!({ "place": place.to_string() }),
    };
    finding["reason"] = Value::from(corrupt.reason.as_str());
    finding
}

pub(crate) fn stream(info: &StreamInfo) -> Value {
    json!({
        "aggregate": &*info.aggregate,
        "id": info.id.as_ref().map(|id| id.entity.as_str()),
        "stream": info.stream,
        "first": info.first(),
        "last": info.last,
        "floor": info.floor,
        "ended": info.ended,
        "forgotten": info.forgotten,
        "encrypted": info.encrypted,
    })
}

pub(crate) fn stats(stats: &StoreStats) -> Value {
    let files: Vec<_> =
        stats.files.iter().map(|(path, bytes)| json!({ "file": path.to_string_lossy(), "bytes": bytes })).collect();
    json!({
        "store": store(stats.store),
        "epoch": stats.epoch,
        "durability": durability(stats.durability),
        "closed": stats.closed,
        "last": stats.last,
        "groups": stats.groups,
        "streams": stats.streams,
        "encrypted": stats.encrypted,
        "ended": stats.ended,
        "forgotten": stats.forgotten,
        "records": stats.records,
        "deleted": stats.deleted,
        "run_bytes": stats.run_bytes,
        "snapshots": stats.snapshots,
        "snapshot_bytes": stats.snapshot_bytes,
        "deadlines": stats.deadlines,
        "files": files,
    })
}

pub(crate) fn durability(durability: Durability) -> &'static str {
    match durability {
        Durability::Fsync => "fsync",
        Durability::Os => "os",
        Durability::Memory => "memory",
    }
}

/// An object whose keys stay in their order.
pub(crate) struct Line(Vec<(&'static str, Value)>);

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// A record as one line. `whose` says whether its stream is named.
pub(crate) fn record(found: &RecordFound<'_>, whose: bool) -> Line {
    let mut line = Vec::new();
    let mut put = |key: &'static str, value: Value| line.push((key, value));
    if whose {
        put("aggregate", Value::from(&*found.id.aggregate));
        put("id", Value::from(found.id.entity.as_str()));
    }
    put("seq_nr", json!(found.seq_nr));
    put("offset", json!(found.offset));
    put("time", Value::from(found.write.time.to_string()));
    match found.record {
        Record::Event(event) => {
            put("kind", "event".into());
            put("name", event.name.into());
            put("version", event.version.into());
            put("payload", to_json(event.codec, event.payload));
        }
        Record::Transition(way) => {
            put("kind", "transition".into());
            put("from", way.from.into());
            put("to", way.to.into());
            if way.transient {
                put("transient", true.into());
            }
            if let Some(due) = way.due {
                put("due", due.to_string().into());
            }
        }
        Record::DeadlineConsumed { visit } => {
            put("kind", "deadline_consumed".into());
            put("visit", json!(visit));
        }
        Record::Receipt => put("kind", "receipt".into()),
        Record::Tombstone => put("kind", "tombstone".into()),
        Record::Skipped { kind } => {
            put("kind", "unknown".into());
            put("number", kind.into());
        }
        _ => put("kind", "unknown".into()),
    }
    if let Some(key) = found.write.key {
        put("key", self::key(key));
    }
    if let Some(cause) = found.write.cause {
        put("cause", self::cause(cause));
    }
    if let Some(outcome) = found.write.outcome {
        put("outcome", self::outcome(outcome));
    }
    Line(line)
}

fn key(key: StoredKey) -> Value {
    match key {
        StoredKey::Unique(digest) => json!({ "unique": hex(&digest) }),
        StoredKey::Rising(number) => json!({ "rising": number }),
    }
}

fn cause(cause: StoredCause<'_>) -> Value {
    match cause {
        StoredCause::Command(name) => json!({ "command": name }),
        StoredCause::Deadline { visit } => json!({ "deadline_of": visit }),
    }
}

fn outcome(outcome: StoredOutcome<'_>) -> Value {
    match outcome {
        StoredOutcome::Replied { codec, payload } => json!({ "replied": to_json(codec, payload) }),
        StoredOutcome::Refused { codec, payload } => json!({ "refused": to_json(codec, payload) }),
        StoredOutcome::NotAccepted { state } => json!({ "not_accepted_in": state }),
    }
}
