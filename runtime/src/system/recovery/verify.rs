//! Comparing a snapshot with what it stands for, and two folds of the same records with each other.

use std::sync::atomic::AtomicU64;

use crate::aggregate::Aggregate;
use crate::execute::{Replayed, Unrecoverable, Unusable};
use crate::id::{PersistenceId, SeqNr};
use crate::journal::{Record, StreamHead};
use crate::log;
use crate::snapshot::Criteria;
use crate::state::State as _;
use crate::system::pages::Pages;
use crate::system::recovery::{Candidates, Source};
use crate::verify::{Comparison, Difference, Incomparable};

/// How often the same records are folded before a fold counts as one that always comes to the same. A fold that follows
/// the order of a map of two does so once in 2^16.
const FOLDS_MAX: u32 = 16;

/// The first difference that was found.
struct Found {
    seq_nr: SeqNr,
    why: Unusable,
    /// Whether it is one between two folds.
    between_folds: bool,
}

/// Folds an entity's records twice side by side, as far as they are there, and compares the folds with each other and
/// with the snapshot at `at`, if that isn't 0.
pub(super) fn verify<A: Aggregate>(
    source: Source<'_>,
    id: &PersistenceId,
    head: StreamHead,
    at: SeqNr,
) -> Result<(), Unrecoverable> {
    // What is set aside was counted already.
    let source = Source { unusable: &AtomicU64::new(0), ..source };
    let mut found = compare::<A>(source, id, head, at)?;
    if found.is_none() {
        return Ok(());
    }
    // A fold that depends on chance may agree with itself for long: the first difference is the lowest of some.
    for _ in 1..FOLDS_MAX {
        if let Some(again) = compare::<A>(source, id, head, at)?
            && again.between_folds
            && found.as_ref().is_none_or(|found| !found.between_folds || again.seq_nr < found.seq_nr)
        {
            found = Some(again);
        }
    }
    found.map_or(Ok(()), |Found { seq_nr, why, .. }| Err(Unrecoverable::at(seq_nr, why)))
}

/// Two folds of the same records.
struct Twins<A: Aggregate> {
    left: Replayed<A>,
    right: Replayed<A>,
    comparison: Comparison,
    /// The last record on which they were found to be the same.
    same: SeqNr,
}

fn compare<A: Aggregate>(
    source: Source<'_>,
    id: &PersistenceId,
    head: StreamHead,
    at: SeqNr,
) -> Result<Option<Found>, Unrecoverable> {
    let Some([left, right]) = begin::<A>(source, id, head, at)? else {
        log::debug!(%id, "the records that the snapshot stands for are deleted: it isn't compared with them");
        return Ok(None);
    };
    let same = left.last;
    let mut twins = Twins { left, right, comparison: Comparison::new(A::CODEC), same };
    let snapshot = if at > same { Some(snapshot_at::<A>(source, id, head, at)) } else { None };
    let mut snapshot = snapshot.flatten();
    // The entity as it is loaded: the snapshot, and what is folded behind it.
    let mut loaded = None;
    let store = source.journal.facts().store;
    let mut pages = Pages::new(source.journal, source.runtime, head.stream, head.last);
    while twins.left.last < head.last {
        let from = twins.left.last.next();
        for run in &pages.read(from)?.runs {
            let mut found = None;
            let Twins { left, right, comparison, same } = &mut twins;
            left.fold_each(run, store, |left, seq_nr, write, record| {
                if found.is_some() {
                    return Ok(());
                }
                right.take_in(seq_nr, write, record)?;
                left.take_in(seq_nr, write, record)?;
                if let Some(loaded) = &mut loaded {
                    Replayed::take_in(loaded, seq_nr, write, record)?;
                }
                let is_snapshot = seq_nr == at;
                if comparison.is_due() || is_snapshot || seq_nr == head.last {
                    found = folds_differ(comparison, (left, right), *same, record);
                    *same = seq_nr;
                    if is_snapshot {
                        loaded = snapshot.take();
                    }
                    if found.is_none()
                        && let Some(loaded) = &loaded
                    {
                        found = snapshot_differs(comparison, left, loaded, at);
                    }
                }
                Ok(())
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        if twins.left.last < from {
            return Err(Unrecoverable::at(from, Unusable::Short { last: head.last }));
        }
    }
    Ok(None)
}

/// Two entities from which the records up to the snapshot can be folded: before the first record, or as an older
/// snapshot has them. `None` if neither is there.
fn begin<A: Aggregate>(
    source: Source<'_>,
    id: &PersistenceId,
    head: StreamHead,
    at: SeqNr,
) -> Result<Option<[Replayed<A>; 2]>, Unrecoverable> {
    if head.floor == SeqNr::ZERO {
        return Ok(Some([Replayed::new(source.keys_max)?, Replayed::new(source.keys_max)?]));
    }
    let Some(older) = at.0.checked_sub(1) else { return Ok(None) };
    let older = || Candidates::<A>::of(source, id, head, Criteria::LATEST.to_seq(SeqNr(older))).newest();
    Ok(older().zip(older()).map(|(one, other)| [one, other]))
}

fn snapshot_at<A: Aggregate>(
    source: Source<'_>,
    id: &PersistenceId,
    head: StreamHead,
    at: SeqNr,
) -> Option<Replayed<A>> {
    let newest = Candidates::<A>::of(source, id, head, Criteria::LATEST.to_seq(at)).newest();
    newest.filter(|snapshot| snapshot.last == at)
}

fn folds_differ<A: Aggregate>(
    comparison: &mut Comparison,
    (left, right): (&Replayed<A>, &Replayed<A>),
    same: SeqNr,
    record: Record<'_>,
) -> Option<Found> {
    let difference = known(comparison.difference(&left.data, &right.data))?;
    let event = match record {
        Record::Event(event) if same.next() == left.last => format!(", event `{}`", event.name),
        Record::Event(_) if same.next() < left.last => format!(" or on one of those before it, from {}", same.next()),
        _ => String::new(),
    };
    let why = Unusable::FoldsDiffer { event, place: place::<A>(difference) };
    Some(Found { seq_nr: left.last, why, between_folds: true })
}

fn snapshot_differs<A: Aggregate>(
    comparison: &mut Comparison,
    folded: &Replayed<A>,
    snapshot: &Replayed<A>,
    at: SeqNr,
) -> Option<Found> {
    let place = match known(comparison.difference(&folded.data, &snapshot.data)) {
        Some(difference) => place::<A>(difference),
        None if folded.standing == snapshot.standing => {
            let loses = A::SNAPSHOTS.is_some_and(|snapshots| snapshots.loses(&folded.data, &snapshot.data));
            let why = Unusable::SnapshotLoses { at };
            return loses.then_some(Found { seq_nr: folded.last, why, between_folds: false });
        }
        None => {
            let (fold, shot) = (folded.standing, snapshot.standing);
            format!(
                " (state `{}` since {} against `{}` since {})",
                fold.state.name(),
                fold.visit,
                shot.state.name(),
                shot.visit
            )
        }
    };
    let why =
        if folded.last == at { Unusable::SnapshotDiffers { at, place } } else { Unusable::SnapshotLacks { at, place } };
    Some(Found { seq_nr: folded.last, why, between_folds: false })
}

/// What can't be compared isn't found to differ: the snapshot was written and read.
fn known(difference: Result<Option<Difference>, Incomparable>) -> Option<Difference> {
    difference.unwrap_or_else(|error| {
        log::warn!(%error, "folds can't be compared");
        None
    })
}

/// Where the difference is. Keys of a map may be secret, so that only fields are told.
fn place<A: Aggregate>(difference: Difference) -> String {
    let fields = A::SNAPSHOTS.map_or(&[][..], |snapshots| snapshots.fields);
    let field = difference.field.filter(|field| fields.iter().any(|known| known.name == *field));
    field.map_or_else(String::new, |field| format!(" in `{field}`"))
}
