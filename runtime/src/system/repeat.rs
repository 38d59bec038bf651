//! Repeated commands: what the first one was answered, read back from the journal.

use crate::aggregate::Aggregate;
use crate::call::Failure;
use crate::contain::contained;
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::{Journal, ReadError, RunError, RunView, StoredCause, StoredKey, StoredRun};
use crate::log;
use crate::system::blocking::Runtime;
use crate::system::work::Repeated;

/// Answers one repeated command, where blocking is allowed.
pub(crate) type Repeat = Box<dyn FnOnce(&dyn Journal, &Runtime) + Send>;

/// How much is read at once; a run at least.
const PAGE_BYTES_MAX: usize = 1;

/// Makes the repeat of a command whose first write is durable.
pub(super) fn repeat<A: Aggregate>(repeated: Repeated<A>, stream: StreamNo) -> Repeat {
    let Repeated { message, key, seq_nr } = repeated;
    Box::new(move |journal, runtime| {
        let mut message = Some(message);
        let search = Search { journal, runtime, stream, key };
        let found = contained(|| search.run(seq_nr));
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                log::error!(%stream, %seq_nr, %error, "the answer to a repeated command can't be read");
                if let SearchError::Read(error) = error
                    && let Some(message) = message.take()
                {
                    let id = PersistenceId::new(A::NAME, message.entity());
                    message.fail(Failure::AnswerUnread { id, seq_nr, error });
                    return;
                }
                None
            }
            Err(panic) => {
                log::error!(%stream, %seq_nr, %panic, "the answer to a repeated command can't be read");
                None
            }
        };
        let store = journal.facts().store;
        // The outcome borrows from the run, so it is answered in there.
        let answered = found.and_then(|run| {
            RunView::parse(&run.bytes, store)
                .ok()?
                .for_each(|_, write, _| {
                    if write.key == Some(key)
                        && write.outcome.is_some()
                        && let Some(message) = message.take()
                    {
                        let command = message.command();
                        let same = write.cause.is_none_or(|cause| cause == StoredCause::Command(command));
                        if !same {
                            let first = write.cause;
                            log::warn!(%stream, %seq_nr, command, ?first, "a key was given to another command before");
                        }
                        message.repeat(write.outcome.filter(|_| same), seq_nr);
                    }
                    Ok::<(), RunError>(())
                })
                .ok()
        });
        if let Some(message) = message.take() {
            log::debug!(%stream, %seq_nr, readable = answered.is_some(), "the answer to a repeated command is gone");
            message.repeat(None, seq_nr);
        }
    })
}

#[derive(Debug, thiserror::Error)]
enum SearchError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Where the key of a write lies, seen from some runs.
enum Side {
    Here,
    Before,
    Behind,
    /// They have no rising key.
    Unknown,
}

/// What looking at some runs has told.
enum Probed {
    Found(StoredRun),
    /// The key must be before this record.
    Before(SeqNr),
    /// The key must be behind this record.
    Behind(SeqNr),
    Nowhere,
}

struct Search<'a> {
    journal: &'a dyn Journal,
    runtime: &'a Runtime,
    stream: StreamNo,
    key: StoredKey,
}

impl Search<'_> {
    /// Finds the run with the key: the one with the record `last`, or, for a rising key, one before it.
    fn run(&self, last: SeqNr) -> Result<Option<StoredRun>, SearchError> {
        let (mut low, mut high) = (SeqNr(1), last);
        let mut at = last;
        while low <= high {
            match self.probe(at, high)? {
                Probed::Found(run) => return Ok(Some(run)),
                Probed::Before(first) => high = SeqNr(first.0.saturating_sub(1)),
                Probed::Behind(end) => low = end.next(),
                Probed::Nowhere => return Ok(None),
            }
            at = SeqNr(low.0 + high.0.saturating_sub(low.0) / 2);
        }
        Ok(None)
    }

    /// Looks at the run with the record `at`, and at those behind it up to `high` while they have no rising key. What is
    /// deleted is passed over.
    fn probe(&self, at: SeqNr, high: SeqNr) -> Result<Probed, SearchError> {
        let mut next = at;
        let mut begin = None;
        loop {
            let page = self.runtime.block_on(self.journal.read(self.stream, next, high, PAGE_BYTES_MAX))?;
            let Some(run) = page.runs.into_iter().next() else { return Ok(Probed::Nowhere) };
            let (side, first, last) = self.side(&run)?;
            // A journal that doesn't do as it is told is not asked again, or the search might go back for ever.
            let wanted = next.max(run.floor.next());
            if first > wanted || last < wanted || first > high {
                log::warn!(stream = %self.stream, %wanted, %first, %last, "the journal has given a run that was not asked for");
                return Ok(Probed::Nowhere);
            }
            let begin = *begin.get_or_insert(first);
            match side {
                Side::Here => return Ok(Probed::Found(run)),
                Side::Unknown if last < high => next = last.next(),
                Side::Unknown | Side::Before => return Ok(Probed::Before(begin)),
                Side::Behind => return Ok(Probed::Behind(last)),
            }
        }
    }

    fn side(&self, run: &StoredRun) -> Result<(Side, SeqNr, SeqNr), SearchError> {
        let view = RunView::parse(&run.bytes, self.journal.facts().store)?;
        let mut side = Side::Unknown;
        view.for_each(|_, write, _| {
            side = match (write.key, self.key, &side) {
                (_, _, Side::Here | Side::Before) => return Ok(()),
                (Some(found), wanted, _) if found == wanted => Side::Here,
                (Some(StoredKey::Rising(found)), StoredKey::Rising(wanted), _) if found > wanted => Side::Before,
                (Some(StoredKey::Rising(_)), StoredKey::Rising(_), _) => Side::Behind,
                _ => return Ok(()),
            };
            Ok::<(), RunError>(())
        })?;
        Ok((side, view.first(), view.last()))
    }
}
