//! Loading an entity: its stream, folded from the start.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::aggregate::Aggregate;
use crate::contain::contained;
use crate::execute::{Replayed, Unrecoverable, Unusable};
use crate::id::{EntityId, PersistenceId, SeqNr, StreamNo};
use crate::journal::{Journal, ReadError, StreamHead};
use crate::system::pages::Pages;

/// A loaded entity.
pub(crate) struct Found<A: Aggregate> {
    pub(crate) stream: StreamNo,
    pub(crate) replayed: Replayed<A>,
}

/// Loads an entity. It blocks: for the disk, and for the folds. Whatever panics on the way, it returns.
pub(crate) fn recover<A: Aggregate>(
    journal: &Arc<dyn Journal>,
    runtime: &Handle,
    entity: &EntityId,
    keys_max: usize,
) -> Result<Found<A>, Unrecoverable> {
    let id = PersistenceId::new(A::NAME, entity);
    contained(|| replay(journal, runtime, &id, keys_max))
        .unwrap_or_else(|panic| Err(Unrecoverable { seq_nr: SeqNr::ZERO, why: Unusable::Panicked(panic) }))
}

fn replay<A: Aggregate>(
    journal: &Arc<dyn Journal>,
    runtime: &Handle,
    id: &PersistenceId,
    keys_max: usize,
) -> Result<Found<A>, Unrecoverable> {
    let span = tracing::debug_span!("recovery", %id);
    let _entered = span.enter();
    let unreadable = |error: ReadError| Unrecoverable { seq_nr: SeqNr(1), why: error.into() };
    let head = runtime.block_on(journal.open_stream(id)).map_err(unreadable)?;
    let replayed = replay_to(journal, runtime, head, keys_max).inspect_err(|_| journal.close_stream(head.stream))?;
    tracing::debug!(records = head.last.0, "recovered");
    Ok(Found { stream: head.stream, replayed })
}

/// Folds a stream up to its head.
fn replay_to<A: Aggregate>(
    journal: &Arc<dyn Journal>,
    runtime: &Handle,
    head: StreamHead,
    keys_max: usize,
) -> Result<Replayed<A>, Unrecoverable> {
    let mut replayed = Replayed::new(keys_max)?;
    let store = journal.facts().store;
    let mut pages = Pages::new(journal, runtime, head.stream, head.last);
    while replayed.last < head.last {
        let from = replayed.last.next();
        let page = pages.read(from).map_err(|error| Unrecoverable { seq_nr: from, why: error.into() })?;
        for run in &page.runs {
            replayed.fold(run, store)?;
        }
        if replayed.last < from {
            return Err(Unrecoverable { seq_nr: from, why: Unusable::Short { last: head.last } });
        }
    }
    replayed.finish()
}
