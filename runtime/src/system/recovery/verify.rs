use crate::aggregate::Aggregate;
use crate::execute::Unrecoverable;
use crate::id::{PersistenceId, SeqNr};
use crate::journal::StreamHead;
use crate::system::recovery::Source;

pub(super) fn verify<A: Aggregate>(
    _: Source<'_>,
    _: &PersistenceId,
    _: StreamHead,
    _: SeqNr,
) -> Result<(), Unrecoverable> {
    Ok(())
}
