//! The deadlines that the runs of a journal come to.

use super::*;
use crate::journal::{Armed, TransitionRecord};

pub(in crate::journal) fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

/// A record that makes this of its stream's deadline.
fn record_with(due: Due) -> Record<'static> {
    let transition =
        |due| Record::Transition(TransitionRecord { from: Some("Open"), to: "Shut", transient: false, due });
    match due {
        Due::Unchanged => Record::Receipt,
        Due::Cleared => transition(None),
        Due::At(due) => transition(Some(due)),
    }
}

/// A run of writes of one record each, that make this of the deadline of their stream.
pub(in crate::journal) fn run_with(
    journal: &dyn Journal,
    stream: StreamNo,
    id: &PersistenceId,
    first: u64,
    dues: &[Due],
) -> Run {
    let mut run = RunBuilder::new(stream, id.clone(), SeqNr(first));
    for due in dues {
        run.push_write(&Write::at(Timestamp::UNIX_EPOCH), *due, [record_with(*due)].into_iter());
    }
    run.seal(&journal.facts(), 1)
}

/// Stores a run of writes that make this of the deadline; the stream.
pub(in crate::journal) fn store_with(journal: &dyn Journal, id: &PersistenceId, dues: &[Due]) -> StreamNo {
    let StreamHead { stream, last, .. } = open(journal, id);
    let outcomes = append(journal, vec![run_with(journal, stream, id, last.0 + 1, dues)]);
    journal.close_stream(stream);
    assert!(matches!(outcomes[..], [Outcome::Stored(_)]), "{outcomes:?}");
    stream
}

/// The times and streams of the armed deadlines.
pub(in crate::journal) fn armed(journal: &dyn Journal) -> Vec<(i64, u64)> {
    let armed = block_on(journal.armed()).unwrap();
    armed.into_iter().map(|Armed { due, stream }| (due.as_microsecond(), stream.0)).collect()
}
