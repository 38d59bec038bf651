//! What a group commit stores: which runs, and as which rows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::engine::Engine;
#[cfg(any(test, shuttle))]
use super::super::faults::Gate;
use super::super::queue::{RUN_OVERHEAD_BYTES, Work};
use super::super::rows::{floor_key, floor_row, hidden_id_key, id_key, stream_key, write_id_row, write_stream_row};
use super::super::watch::Step;
use super::{Halt, Writer};
use crate::id::{Offset, StreamNo};
use crate::journal::bytes::len_u64;
use crate::journal::cipher::{IdDigest, StreamCipher};
use crate::journal::floor::Floor;
use crate::journal::lock;
use crate::journal::order::{Mark, OrderBuilder, OrderedRun, group_key};
use crate::journal::run::Run;
use crate::journal::{Durability, Why};

/// How a stream is named that begins.
#[derive(Clone, Copy)]
enum Begins {
    Named,
    Hidden(IdDigest),
}

/// Buffers that are used again for each group commit.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) order: OrderBuilder,
    /// For each run that is stored, what its stream begins with, if it begins with this run.
    first_runs: Vec<Option<Begins>>,
    /// Keys that are to be stored.
    pub(super) new_keys: Vec<Arc<StreamCipher>>,
    /// The floors that rise.
    pub(super) floors: Vec<(StreamNo, Floor)>,
    row: Vec<u8>,
    key: Vec<u8>,
}

impl Writer {
    /// Decides what is stored, lists it in the order row, and turns its verdicts into offsets.
    pub(super) fn check(&mut self, batch: &mut [Work], before: Mark) {
        let Parts { order, first_runs, new_keys, floors, .. } = &mut self.parts;
        order.clear();
        first_runs.clear();
        new_keys.clear();
        floors.clear();
        let mut streams = lock(&self.shared.streams);
        for work in batch {
            match work {
                Work::Append { runs, ciphers, verdicts } => {
                    let ciphers = ciphers.iter().map(Option::as_ref).chain(std::iter::repeat(None));
                    for ((run, verdict), cipher) in runs.iter().zip(verdicts).zip(ciphers) {
                        let Ok(checksum) = *verdict else { continue };
                        let accepted = match streams.issue(run, cipher) {
                            Ok(accepted) => accepted,
                            Err(why) => {
                                *verdict = Err(why);
                                continue;
                            }
                        };
                        *verdict = Ok(before.offset.0 + 1 + order.records());
                        let bytes = len_u64(run.bytes.len());
                        let Run { stream, first, records, due, .. } = *run;
                        order.push_run(&run.id.aggregate, &OrderedRun { stream, first, records, bytes, checksum, due });
                        let begins = match (accepted.is_first, cipher) {
                            (false, _) => None,
                            (true, None) => {
                                order.push_new_stream(run.stream, &run.id);
                                Some(Begins::Named)
                            }
                            (true, Some(cipher)) => {
                                order.push_new_hidden_stream(run.stream, &run.id.aggregate, cipher.digest());
                                new_keys.push(Arc::clone(cipher));
                                Some(Begins::Hidden(*cipher.digest()))
                            }
                        };
                        first_runs.push(begins);
                        floors.extend(accepted.floor.map(|floor| (run.stream, floor)));
                    }
                }
                Work::Delete { stream, to, verdict } if verdict.is_ok() => {
                    let issued = streams.issue_deletion(*stream, *to);
                    *verdict = issued.map(|floor| {
                        floors.extend(floor.map(|floor| (*stream, floor)));
                        before.offset.0 + order.records()
                    });
                }
                Work::Forget { stream, key, cipher, verdict } if verdict.is_ok() => {
                    let issued = streams.issue_forgetting(*stream);
                    *verdict = issued.map(|forgetting| {
                        (*key, *cipher) = (forgetting.key, forgetting.cipher);
                        floors.extend(forgetting.floor.map(|floor| (*stream, floor)));
                        before.offset.0 + order.records()
                    });
                }
                Work::Delete { .. } | Work::Forget { .. } => {}
            }
        }
        for (stream, floor) in floors {
            order.push_floor(*stream, *floor);
        }
    }

    /// Hands the rows of a group to the engine, and waits until they are durable.
    pub(super) fn write_rows(
        &mut self,
        engine: &Engine,
        batch: &[Work],
        before: Mark,
        time: i64,
    ) -> Result<(Mark, usize), Halt> {
        let facts = self.shared.facts;
        let Parts { order, first_runs, new_keys, floors, row, key } = &mut self.parts;
        let group = before.group + 1;
        if !new_keys.is_empty() {
            // ORDER: before anything is stored that is encrypted with them.
            #[cfg(any(test, shuttle))]
            self.shared.faults.pass(Gate::StoringKeys);
            let keys: Vec<_> = new_keys.iter().map(|cipher| cipher.key()).collect();
            let stored = self.shared.keys.store(&keys);
            stored.map_err(|error| Halt::Before(Why::Failed(format!("can't store keys: {error}").into())))?;
        }
        // ORDER: a floor is on the disk, with all before it, before a snapshot is deleted for it, or the key of a stream
        // that is forgotten is destroyed.
        let durability = if floors.is_empty() { facts.durability } else { Durability::Fsync };
        let new_streams = first_runs.iter().filter(|begins| begins.is_some()).count();
        let mut rows = engine.batch(first_runs.len() + new_streams + floors.len() + 1, durability);
        let mut bytes = 0;
        for ((run, offset), &mut begins) in stored_runs(batch).zip(first_runs) {
            let stream_key = stream_key(run.stream, run.first);
            let sum = crate::journal::run::stored_checksum(&run.bytes);
            write_stream_row(row, facts.store, &stream_key, group, offset, (&run.bytes, sum));
            rows.insert(&stream_key, row);
            bytes += row.len() + RUN_OVERHEAD_BYTES;
            if let Some(begins) = begins {
                match begins {
                    Begins::Named => id_key(key, &run.id),
                    Begins::Hidden(digest) => hidden_id_key(key, &run.id.aggregate, &digest),
                }
                write_id_row(row, facts.store, key, run.stream, group);
                rows.insert(key, row);
            }
        }
        for (stream, floor) in &*floors {
            let floor_key = floor_key(*stream, *floor);
            rows.insert(&floor_key, &floor_row(facts.store, &floor_key, group));
            bytes += RUN_OVERHEAD_BYTES;
        }
        if !floors.is_empty() {
            // ORDER: before the rows can be seen, so that whoever doesn't find a run looks for a floor.
            self.shared.has_floors.store(true, Ordering::SeqCst);
        }
        let mark = order.write(row, facts.store, facts.epoch, time, before);
        rows.insert(&group_key(group), row);
        bytes += row.len();
        self.order_bytes += row.len();
        // ORDER: nothing of the group is written before, and whoever was given up before writes nothing.
        self.shared.watch.go_on(Step::Writing)?;
        #[cfg(any(test, shuttle))]
        self.shared
            .faults
            .before_commit(durability == Durability::Fsync)
            .map_err(|error| Halt::During(error.into()))?;
        rows.commit().map_err(|error| Halt::During(format!("can't store a group: {error}").into()))?;
        Ok((mark, bytes))
    }

    /// Never before the last order row's, nor before that of a run.
    pub(super) fn next_time(&self, batch: &[Work]) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        let latest = stored_runs(batch).map(|(run, _)| run.time.as_microsecond()).max();
        now.max(self.time).max(latest.unwrap_or(now))
    }
}

/// The runs of a batch that are stored, with their offsets.
pub(super) fn stored_runs(batch: &[Work]) -> impl Iterator<Item = (&Run, Offset)> {
    let groups = batch.iter().filter_map(|work| match work {
        Work::Append { runs, verdicts, .. } => Some(runs.iter().zip(verdicts)),
        Work::Delete { .. } | Work::Forget { .. } => None,
    });
    groups.flatten().filter_map(|(run, verdict)| verdict.as_ref().ok().map(|offset| (run, Offset(*offset))))
}
