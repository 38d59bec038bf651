//! Loading an entity: its stream, folded from the start.

use tokio::runtime::Handle;

use crate::aggregate::Aggregate;
use crate::contain::contained;
use crate::execute::{Replayed, Unrecoverable, Unusable};
use crate::id::{EntityId, PersistenceId, SeqNr, StreamNo};
use crate::journal::{Journal, ReadError, StreamHead};

/// How much is read at once.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// A loaded entity.
pub(crate) struct Found<A: Aggregate> {
    pub(crate) stream: StreamNo,
    pub(crate) replayed: Replayed<A>,
}

/// Loads an entity. It blocks: for the disk, and for the folds. Whatever panics on the way, it returns.
pub(crate) fn recover<A: Aggregate>(
    journal: &dyn Journal,
    runtime: &Handle,
    entity: &EntityId,
    keys_max: usize,
) -> Result<Found<A>, Unrecoverable> {
    let id = PersistenceId::new(A::NAME, entity);
    contained(|| replay(journal, runtime, &id, keys_max))
        .unwrap_or_else(|panic| Err(Unrecoverable { seq_nr: SeqNr::ZERO, why: Unusable::Panicked(panic) }))
}

fn replay<A: Aggregate>(
    journal: &dyn Journal,
    runtime: &Handle,
    id: &PersistenceId,
    keys_max: usize,
) -> Result<Found<A>, Unrecoverable> {
    let span = tracing::debug_span!("recovery", %id);
    let _entered = span.enter();
    let unreadable = |error: ReadError| Unrecoverable { seq_nr: SeqNr(1), why: error.into() };
    let head = runtime.block_on(journal.open_stream(id)).map_err(unreadable)?;
    if head.ended {
        journal.close_stream(head.stream);
        return Err(Unrecoverable { seq_nr: head.last, why: Unusable::Ended });
    }
    let replayed = replay_to(journal, runtime, head, keys_max).inspect_err(|_| journal.close_stream(head.stream))?;
    tracing::debug!(records = head.last.0, "recovered");
    Ok(Found { stream: head.stream, replayed })
}

/// Folds a stream up to its head.
fn replay_to<A: Aggregate>(
    journal: &dyn Journal,
    runtime: &Handle,
    head: StreamHead,
    keys_max: usize,
) -> Result<Replayed<A>, Unrecoverable> {
    let mut replayed = Replayed::new(keys_max)?;
    let store = journal.facts().store;
    while replayed.last < head.last {
        let from = replayed.last.next();
        let page = runtime
            .block_on(journal.read(head.stream, from, head.last, PAGE_BYTES_MAX))
            .map_err(|error| Unrecoverable { seq_nr: from, why: error.into() })?;
        for run in &page.runs {
            replayed.fold(run, store)?;
        }
        if replayed.last < from {
            return Err(Unrecoverable { seq_nr: from, why: Unusable::Short { last: head.last } });
        }
    }
    replayed.finish()
}
