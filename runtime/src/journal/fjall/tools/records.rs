//! The records of a store, without the types of whoever stored them.

use std::ops::ControlFlow;

use super::{Progress, StoreDir, StoreError, View};
use crate::id::{Offset, PersistenceId, SeqNr};
use crate::journal::run::{RunError, RunView};
use crate::journal::{Corrupt, Place, ReadError, Record, StoredRun, Write, lock};

/// As much is read at once, in bytes.
const PAGE_BYTES: usize = 1 << 20;

/// One record as it is stored.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RecordFound<'a> {
    /// Whose it is.
    pub id: &'a PersistenceId,
    /// Its position in the stream.
    pub seq_nr: SeqNr,
    /// Its position in the journal.
    pub offset: Offset,
    /// What was stored with it: the time, the key, the cause, the answer.
    pub write: &'a Write<'a>,
    /// What it says.
    pub record: Record<'a>,
}

/// Takes records, and may have enough.
type Visit<'v> = &'v mut dyn FnMut(&RecordFound<'_>) -> ControlFlow<()>;

impl StoreDir {
    /// Hands the records of a stream that aren't deleted to `visit`, from one sequence number to another, both included.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoStream`] if there is none of this name, and [`StoreError::Read`] where it is damaged or forgotten:
    /// what came before was handed over.
    pub fn records(
        &mut self,
        id: &PersistenceId,
        from: SeqNr,
        to: SeqNr,
        visit: &mut dyn FnMut(&RecordFound<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let info = self.stream(id)?;
        if info.forgotten {
            return Err(ReadError::Forgotten { stream: info.stream }.into());
        }
        let view = self.view()?;
        let (mut next, to) = (from.max(info.floor.next()), to.min(info.last));
        while next <= to {
            let page = view.shared.read_stream(info.stream, next, to, PAGE_BYTES)?;
            for run in &page.runs {
                let within = |seq_nr: SeqNr| (next..=to).contains(&seq_nr) && seq_nr > run.floor;
                let last = match view.visit(run, within, visit)? {
                    ControlFlow::Continue(last) => last,
                    ControlFlow::Break(()) => return Ok(()),
                };
                next = next.max(last.next());
            }
            if page.runs.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Hands all records that aren't deleted to `visit`, in the order of their offsets, from one offset on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Read`] where the store is damaged: what came before was handed over.
    pub fn all_records(
        &mut self,
        from: Offset,
        progress: &mut dyn FnMut(Progress),
        visit: &mut dyn FnMut(&RecordFound<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let view = self.view()?;
        let end = *lock(&view.shared.durable);
        let mut after = Offset(from.0.saturating_sub(1));
        loop {
            progress(Progress { doing: "reading the records", done: after.0, of: Some(end.offset.0) });
            let page = view.shared.read_order(after, PAGE_BYTES)?;
            for run in &page.runs {
                let begin = after;
                let within = |seq_nr: SeqNr| seq_nr > run.floor;
                let mut counted = |found: &RecordFound<'_>| {
                    if found.offset > begin { visit(found) } else { ControlFlow::Continue(()) }
                };
                if view.visit(run, within, &mut counted)?.is_break() {
                    return Ok(());
                }
                let records = records_of(view, run)?;
                after = Offset(run.offset.0 + (records - 1)).max(after);
            }
            if !page.more {
                return Ok(());
            }
            if page.runs.is_empty() {
                // All of a page was deleted; nothing behind it is.
                return Ok(());
            }
        }
    }
}

fn records_of(view: &View, run: &StoredRun) -> Result<u64, StoreError> {
    RunView::parse(&run.bytes, view.shared.facts.store)
        .map(|view| view.records())
        .map_err(|error| unreadable(run, SeqNr(1), &error))
}

fn unreadable(run: &StoredRun, from: SeqNr, error: &RunError) -> StoreError {
    let place = Place::Stream { stream: run.stream, id: None, from };
    ReadError::Corrupt(Corrupt { place, reason: format!("a run can't be read: {error}") }).into()
}

impl View {
    /// Hands the records of a run that are meant to `visit`; the last sequence number of the run, unless it has enough.
    fn visit(
        &self,
        run: &StoredRun,
        within: impl Fn(SeqNr) -> bool,
        visit: Visit<'_>,
    ) -> Result<ControlFlow<(), SeqNr>, StoreError> {
        /// Why a run isn't read to its end.
        enum End {
            Enough,
            Unreadable(RunError),
        }
        impl From<RunError> for End {
            fn from(error: RunError) -> Self {
                End::Unreadable(error)
            }
        }
        let view = RunView::parse(&run.bytes, self.shared.facts.store);
        let view = view.map_err(|error| unreadable(run, SeqNr(1), &error))?;
        let (id, first) = (view.id(), view.first());
        let read = view.for_each(|seq_nr, write, record| {
            if !within(seq_nr) {
                return Ok(());
            }
            let offset = Offset(run.offset.0 + (seq_nr.0 - first.0));
            match visit(&RecordFound { id: &id, seq_nr, offset, write, record }) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(End::Enough),
            }
        });
        match read {
            Ok(()) => Ok(ControlFlow::Continue(view.last())),
            Err(End::Enough) => Ok(ControlFlow::Break(())),
            Err(End::Unreadable(error)) => Err(unreadable(run, first, &error)),
        }
    }
}
