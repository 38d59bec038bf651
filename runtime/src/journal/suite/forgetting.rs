//! Streams that can be forgotten.

use super::*;

/// A run of a stream that can be forgotten, if it is the first.
pub(in crate::journal) fn forgettable_run(
    journal: &dyn Journal,
    stream: StreamNo,
    id: &PersistenceId,
    first: u64,
    payloads: &[&[u8]],
) -> Run {
    Run { forgettable: true, ..run(journal, stream, id, first, payloads) }
}

/// Opens a stream and stores a run behind its last; it is begun as one that can be forgotten.
pub(in crate::journal) fn store_forgettable(journal: &dyn Journal, id: &PersistenceId, payloads: &[&[u8]]) -> Offset {
    let StreamHead { stream, last, .. } = open(journal, id);
    let outcomes = append(journal, vec![forgettable_run(journal, stream, id, last.0 + 1, payloads)]);
    journal.close_stream(stream);
    match outcomes.as_slice() {
        [Outcome::Stored(offset)] => *offset,
        other => panic!("{other:?}"),
    }
}

/// Opens a stream and forgets it.
pub(in crate::journal) fn forget(journal: &dyn Journal, id: &PersistenceId) -> Outcome {
    let stream = open(journal, id).stream;
    let outcome = block_on(journal.forget(stream));
    journal.close_stream(stream);
    outcome
}
