//! Streams that are deleted, and that end.

use super::*;

/// A run of events that ends with a tombstone.
pub(in crate::journal) fn run_that_ends(
    journal: &dyn Journal,
    stream: StreamNo,
    id: &PersistenceId,
    first: u64,
    payloads: &[&[u8]],
) -> Run {
    let mut run = RunBuilder::new(stream, id.clone(), SeqNr(first));
    for payload in payloads {
        let event = EventRecord { name: "happened", version: 1, codec: Codec::MessagePack, payload };
        run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
    }
    run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Cleared, [Record::Tombstone].into_iter());
    run.seal(&journal.facts(), 1)
}

/// Opens a stream and ends it.
pub(in crate::journal) fn end(journal: &dyn Journal, id: &PersistenceId, payloads: &[&[u8]]) -> Offset {
    let StreamHead { stream, last, .. } = open(journal, id);
    let outcomes = append(journal, vec![run_that_ends(journal, stream, id, last.0 + 1, payloads)]);
    journal.close_stream(stream);
    match outcomes.as_slice() {
        [Outcome::Stored(offset)] => *offset,
        other => panic!("{other:?}"),
    }
}

/// Opens a stream and deletes its records.
pub(in crate::journal) fn delete(journal: &dyn Journal, id: &PersistenceId, to: u64) -> Outcome {
    let stream = open(journal, id).stream;
    let outcome = block_on(journal.delete_to(stream, SeqNr(to)));
    journal.close_stream(stream);
    outcome
}

/// Looks at where a stream stands, without leaving it open.
pub(in crate::journal) fn head(journal: &dyn Journal, id: &PersistenceId) -> (u64, u64, bool) {
    let StreamHead { stream, last, floor, ended } = open(journal, id);
    journal.close_stream(stream);
    (last.0, floor.0, ended)
}
