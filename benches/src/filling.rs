//! Stores to be measured, filled by commands or run by run.

use std::ops::Range;
use std::path::Path;

use annals::journal::{
    Due, Durability, EventRecord, FjallJournal, FjallOptions, Journal, Outcome as Stored, Record, RunBuilder, Write,
};
use annals::{CallError, Codec, Never, PersistenceId, SeqNr, System, Timestamp};
use annals_bench::notebook::{Notebook, PAYLOAD_BYTES, id, text};

use crate::Outcome;

/// So many commands are under way at a time, if not all of them are for a few entities.
const CALLERS_MAX: u64 = 10_000;
/// A group of so many events is stored at once.
const GROUP_EVENTS: u64 = 10_000;
const STREAMS: u64 = 1_000;

/// Runs an asynchronous part of the program.
pub(crate) fn run<T>(part: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::runtime::Runtime::new()?.block_on(part)
}

pub(crate) fn open(path: &Path, cache_bytes: u64) -> Outcome<FjallJournal> {
    let options = FjallOptions::new().durability(Durability::Fsync).cache_bytes(cache_bytes);
    Ok(FjallJournal::open(path, options)?)
}

/// Has something done for each number, by callers that each take the next when they are done with one.
pub(crate) async fn each<F>(
    numbers: Range<u64>,
    callers: u64,
    call: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Outcome<()>
where
    F: Future<Output = Result<(), CallError<Never>>> + Send,
{
    let Range { start, end } = numbers;
    let callers = callers.min(end.saturating_sub(start)).max(1);
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let call = call.clone();
            tokio::spawn(async move {
                let mut number = start + caller;
                while number < end {
                    call(number).await?;
                    number += callers;
                }
                Ok::<_, CallError<Never>>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// Has each of so many entities take so many notes, one when the one before it is stored: each in a run of its own.
pub(crate) async fn note_one_by_one(system: &System, entities: u64, notes: u64) -> Outcome<()> {
    let system = system.clone();
    let note = move |number| {
        let notebook = system.get::<Notebook>(id(number));
        async move {
            for _ in 0..notes {
                notebook.note(text()).await?;
            }
            Ok(())
        }
    };
    each(0..entities, CALLERS_MAX, note).await
}

/// Has one entity take so many notes from so many callers: those that come together are in one run.
pub(crate) async fn note_together(system: &System, entity: u64, callers: u64, notes: u64) -> Outcome<()> {
    let notebook = system.get::<Notebook>(id(entity));
    each(0..notes, callers, move |_| notebook.note(text())).await
}

/// Stores so many events, so many in each run, past the system.
pub(crate) async fn append(journal: &FjallJournal, events: u64, events_per_run: u64) -> Outcome<()> {
    let facts = journal.facts();
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let id = PersistenceId::new("notebook", id(number));
        streams.push((journal.open_stream(&id).await?.stream, id, SeqNr(1)));
    }
    let payload = [b'x'; PAYLOAD_BYTES];
    let event = Record::Event(EventRecord { name: "noted", version: 1, codec: Codec::MessagePack, payload: &payload });
    let mut left = events;
    let runs_per_group = usize::try_from((GROUP_EVENTS / events_per_run).clamp(1, STREAMS))?;
    while left > 0 {
        for chunk in streams.chunks_mut(runs_per_group) {
            let mut group = Vec::with_capacity(chunk.len());
            for (stream, id, next) in chunk {
                let records = events_per_run.min(left);
                if records == 0 {
                    break;
                }
                let mut run = RunBuilder::new(*stream, id.clone(), *next);
                for _ in 0..records {
                    run.push_write(&Write::at(Timestamp::now()), Due::Unchanged, [event].into_iter());
                }
                group.push(run.seal(&facts, 1));
                (next.0, left) = (next.0 + records, left - records);
            }
            for outcome in journal.append(group).await {
                let Stored::Stored(_) = outcome else { return Err(format!("{outcome:?}").into()) };
            }
        }
    }
    streams.into_iter().for_each(|(stream, ..)| journal.close_stream(stream));
    Ok(())
}
