//! Loading an entity: its newest usable snapshot, and the records behind it; or all of its records. A snapshot is matched
//! to its history by the sequence number and the time of its last record.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::aggregate::Aggregate;
use crate::contain::{contained, drop_contained};
use crate::execute::{Replayed, Unrecoverable, Unusable};
use crate::id::{EntityId, PersistenceId, SeqNr, StreamNo};
use crate::journal::{Journal, ReadError, StreamHead};
use crate::log::{self, Entered};
use crate::snapshot::{Criteria, SnapshotStore};
use crate::system::blocking::Runtime;
use crate::system::pages::Pages;

mod candidates;
mod verify;

pub(crate) use candidates::{Candidates, time_in};

/// A loaded entity.
pub(crate) struct Found<A: Aggregate> {
    pub(crate) stream: StreamNo,
    /// The last record of the snapshot with which it began; 0 if there was none.
    pub(crate) snapshot: SeqNr,
    pub(crate) replayed: Replayed<A>,
}

/// From where entities are loaded. Its reads block.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) journal: &'a Arc<dyn Journal>,
    pub(crate) runtime: &'a Runtime,
    pub(crate) snapshots: Option<&'a dyn SnapshotStore>,
    /// How many unique keys are remembered.
    pub(crate) keys_max: usize,
    /// Whether snapshots are compared with what they stand for.
    pub(crate) verify: bool,
    /// Counts the snapshots that were set aside.
    pub(crate) unusable: &'a AtomicU64,
}

/// Loads an entity. It blocks: for the disk, and for the folds. Whatever panics on the way, it returns.
pub(crate) fn recover<A: Aggregate>(source: Source<'_>, entity: &EntityId) -> Result<Found<A>, Unrecoverable> {
    let id = PersistenceId::new(A::NAME, entity);
    contained(|| replay(source, &id))
        .unwrap_or_else(|panic| Err(Unrecoverable::at(SeqNr::ZERO, Unusable::Panicked(panic))))
}

fn replay<A: Aggregate>(source: Source<'_>, id: &PersistenceId) -> Result<Found<A>, Unrecoverable> {
    let _entered = Entered::new(|| tracing::debug_span!("recovery", %id).entered());
    let unreadable = |error: ReadError| Unrecoverable::at(SeqNr(1), error.into());
    let mut before: Option<(SeqNr, Unrecoverable)> = None;
    loop {
        let head = source.runtime.block_on(source.journal.open_stream(id)).map_err(unreadable)?;
        if head.ended {
            source.journal.close_stream(head.stream);
            return Err(Unrecoverable::at(head.last, Unusable::Ended));
        }
        // A snapshot that was on its way may have been saved meanwhile, and have let records go that were to be read.
        if let Some((_, error)) = before.filter(|(floor, _)| *floor >= head.floor) {
            source.journal.close_stream(head.stream);
            return Err(error);
        }
        // A panic behind the fold, such as of the drop of data that is given up, may not leave the stream open.
        let replayed = contained(|| replay_stream(source, id, head))
            .unwrap_or_else(|panic| Err(Unrecoverable::at(SeqNr::ZERO, Unusable::Panicked(panic))));
        match replayed {
            Ok(found) => {
                log::debug!(records = head.last.0, snapshot = found.snapshot.0, "recovered");
                return Ok(found);
            }
            Err(error) => {
                source.journal.close_stream(head.stream);
                before = Some((head.floor, error));
            }
        }
    }
}

fn replay_stream<A: Aggregate>(
    source: Source<'_>,
    id: &PersistenceId,
    head: StreamHead,
) -> Result<Found<A>, Unrecoverable> {
    let replayed = Candidates::<A>::of(source, id, head, Criteria::LATEST).tidying().begin()?;
    let snapshot = replayed.last;
    let replayed = replay_to(source, head, replayed)?;
    if source.verify && A::SNAPSHOTS.is_some() {
        verify::verify::<A>(source, id, head, snapshot)?;
    }
    Ok(Found { stream: head.stream, snapshot, replayed: replayed.finish()? })
}

/// Folds the records up to the stream's head.
fn replay_to<A: Aggregate>(
    source: Source<'_>,
    head: StreamHead,
    mut replayed: Replayed<A>,
) -> Result<Replayed<A>, Unrecoverable> {
    match fold_to(source, head, &mut replayed) {
        Ok(()) => Ok(replayed),
        Err(error) => {
            // What is told is why, and not what the drop of half an entity may say.
            drop_contained("an entity's data", replayed);
            Err(error)
        }
    }
}

fn fold_to<A: Aggregate>(
    source: Source<'_>,
    head: StreamHead,
    replayed: &mut Replayed<A>,
) -> Result<(), Unrecoverable> {
    let store = source.journal.facts().store;
    let mut pages = Pages::new(source.journal, source.runtime, head.stream, head.last);
    while replayed.last < head.last {
        let from = replayed.last.next();
        for run in &pages.read(from)?.runs {
            replayed.fold(run, store)?;
        }
        if replayed.last < from {
            return Err(Unrecoverable::at(from, Unusable::Short { last: head.last }));
        }
    }
    Ok(())
}
