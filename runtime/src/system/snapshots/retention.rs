//! Up to which record events may be deleted.

use jiff::Timestamp;

use super::saver::Hindrance;
use crate::id::{Offset, SeqNr};
use crate::journal::{Page, ReadError, RunError, RunView};
use crate::snapshot::{Retention, SnapshotError};

/// What holds records back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) retention: Retention,
    pub(super) now: Timestamp,
    /// How far the slowest reader has read; `None` if there is none.
    pub(super) reader: Option<Offset>,
}

impl Bounds {
    /// Whether a record may be deleted. If so, those before it in its stream may be, too: times and offsets rise.
    fn allow(&self, time: Timestamp, offset: Offset) -> bool {
        let is_old = match self.retention {
            Retention::All => false,
            Retention::SinceSnapshot => true,
            // A time before all times: nothing is that old.
            Retention::For(age) => self.now.checked_sub(age).is_ok_and(|limit| time < limit),
        };
        is_old && self.reader.is_none_or(|read| offset <= read)
    }
}

/// The last record up to `high` that may be deleted; `low` if none behind it may be.
pub(super) async fn last_deletable<F: Future<Output = Result<Result<Page, ReadError>, SnapshotError>>>(
    low: SeqNr,
    high: SeqNr,
    store: u64,
    bounds: &Bounds,
    read: impl Fn(SeqNr) -> F,
) -> Result<SeqNr, Hindrance> {
    if bounds.retention == Retention::SinceSnapshot && bounds.reader.is_none() {
        return Ok(high);
    }
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = SeqNr(low.0 + (high.0 - low.0).div_ceil(2));
        let Some(run) = read(middle).await??.runs.into_iter().next() else { return Ok(low) };
        let before = (low, high);
        let view = RunView::parse(&run.bytes, store).map_err(unreadable)?;
        view.for_each(|seq_nr, write, _| {
            let offset = Offset(run.offset.0 + (seq_nr.0 - view.first().0));
            if !bounds.allow(write.time, offset) {
                high = high.min(SeqNr(seq_nr.0 - 1));
            } else if seq_nr <= high {
                low = low.max(seq_nr);
            }
            Ok::<(), RunError>(())
        })
        .map_err(unreadable)?;
        if (low, high) == before {
            return Ok(low);
        }
    }
    Ok(low)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn unreadable(error: RunError) -> Hindrance {
    Hindrance::Journal(error.to_string())
}
