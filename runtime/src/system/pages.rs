//! Reading a stream page by page: the next pages are read while the last one is folded.

use std::collections::VecDeque;

use crate::execute::Unrecoverable;
use crate::id::{SeqNr, StreamNo};
use crate::journal::{Journal, Page, ReadError, RunView, StoredRun, len_u64};
use crate::sync::mpsc::{Receiver, sync_channel};
use crate::sync::{Arc, Mutex, PoisonError};
use crate::system::blocking::Runtime;

/// How much is read at once: little enough to be still in the processor's cache when it is folded.
const PAGE_BYTES: usize = 128 << 10;
/// How much a page may have at the most, where it was told beforehand with which record it ends.
const PAGE_BYTES_MAX: usize = 2 * PAGE_BYTES;
/// So many pages are read ahead where runs are short. It takes longer to read these than to fold them.
const AHEAD_MAX: usize = 2;
/// With so many runs on a page, they are short. One of them may be read for two pages.
const SHORT_RUNS: usize = 32;

/// A stream up to one of its records, in pages. There are at most three of them in memory.
pub(crate) struct Pages<'a> {
    journal: &'a Arc<dyn Journal>,
    runtime: &'a Runtime,
    stream: StreamNo,
    to: SeqNr,
    /// In order, without gaps.
    ahead: VecDeque<Ahead>,
}

/// Records that are read together, as many of them as fit.
#[derive(Clone, Copy)]
struct Part {
    from: SeqNr,
    to: SeqNr,
    bytes_max: usize,
}

/// A page that is read by who comes first: a thread of the pool, or the one that needs it. So nobody waits for a pool
/// that has no thread to spare.
struct Ahead {
    part: Part,
    /// Who takes the journal out reads the page.
    ticket: Ticket,
    /// None once nothing is to be waited for.
    page: Option<Receiver<Result<Page, ReadError>>>,
}

type Ticket = Arc<Mutex<Option<Arc<dyn Journal>>>>;

fn take(ticket: &Ticket) -> Option<Arc<dyn Journal>> {
    ticket.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl<'a> Pages<'a> {
    pub(crate) fn new(journal: &'a Arc<dyn Journal>, runtime: &'a Runtime, stream: StreamNo, to: SeqNr) -> Self {
        Self { journal, runtime, stream, to, ahead: VecDeque::new() }
    }

    /// The page with the run that contains `from`: nearly always its first. It blocks for the disk.
    pub(crate) fn read(&mut self, from: SeqNr) -> Result<Page, Unrecoverable> {
        while self.ahead.front().is_some_and(|ahead| ahead.part.to < from) {
            self.ahead.pop_front();
        }
        let page = match self.ahead.front().map(|ahead| ahead.part) {
            Some(part) if part.from <= from => {
                let page = self.ahead.pop_front().and_then(|mut ahead| ahead.wait());
                // The run before this page may go on into it, and then it may end before it has anything new.
                let new = page.filter(|page| part.from == from || !page.as_ref().is_ok_and(|page| page.more));
                new.unwrap_or_else(|| self.read_part(Part { from, ..part }))
            }
            // As far as it isn't read already.
            Some(part) => self.read_part(Part { from, to: SeqNr(part.from.0 - 1), bytes_max: PAGE_BYTES }),
            None => self.read_part(Part { from, to: self.to, bytes_max: PAGE_BYTES }),
        };
        let page = page.map_err(|error| Unrecoverable::at(from, error.into()))?;
        self.read_ahead(&page.runs);
        Ok(page)
    }

    fn read_part(&self, part: Part) -> Result<Page, ReadError> {
        read(self.journal, self.runtime, self.stream, part)
    }

    /// Reads what comes behind a page with these runs.
    fn read_ahead(&mut self, runs: &[StoredRun]) {
        if !self.runtime.has_pool() {
            return;
        }
        let store = self.journal.facts().store;
        // Who folds the runs says what is wrong with them.
        let view = |run: &StoredRun| RunView::parse(&run.bytes, store).map(|run| (run.first(), run.last())).ok();
        let (Some((first, _)), Some((_, last))) = (runs.first().and_then(view), runs.last().and_then(view)) else {
            return;
        };
        if runs.len() < SHORT_RUNS {
            if self.ahead.is_empty() && last < self.to {
                self.begin(Part { from: last.next(), to: self.to, bytes_max: PAGE_BYTES });
            }
            return;
        }
        let bytes = runs.iter().map(|run| run.bytes.len()).sum::<usize>();
        let records = (last.0 - first.0 + 1).saturating_mul(len_u64(PAGE_BYTES)) / len_u64(bytes.max(1));
        while self.ahead.len() < AHEAD_MAX {
            let before = self.ahead.back().map_or(last, |ahead| ahead.part.to);
            if before >= self.to {
                return;
            }
            let to = SeqNr(before.0.saturating_add(records.max(1))).min(self.to);
            self.begin(Part { from: before.next(), to, bytes_max: PAGE_BYTES_MAX });
        }
    }

    fn begin(&mut self, part: Part) {
        let ticket = Arc::new(Mutex::new(Some(self.journal.clone())));
        let (read_page, page) = sync_channel(1);
        let (mine, runtime, stream) = (ticket.clone(), self.runtime.clone(), self.stream);
        self.runtime.spawn_blocking(move || {
            let Some(journal) = take(&mine) else { return };
            let page = read(&journal, &runtime, stream, part);
            // ORDER: let go before anybody hears of the page, so that nobody holds the journal when the stream is read.
            drop(journal);
            // Nobody waits any more if what came before couldn't be folded.
            let _unwanted = read_page.send(page);
        });
        self.ahead.push_back(Ahead { part, ticket, page: Some(page) });
    }
}

fn read(journal: &Arc<dyn Journal>, runtime: &Runtime, stream: StreamNo, part: Part) -> Result<Page, ReadError> {
    let Part { from, to, bytes_max } = part;
    runtime.block_on(journal.read(stream, from, to, bytes_max))
}

impl Ahead {
    /// The page, if a thread of the pool has begun to read it; otherwise none will.
    fn wait(&mut self) -> Option<Result<Page, ReadError>> {
        let page = self.page.take()?;
        // The sender is gone if reading panicked: then it does so again, where that is contained.
        if take(&self.ticket).is_none() { page.recv().ok() } else { None }
    }
}

impl Drop for Ahead {
    /// Waits, so that nobody holds the journal any more.
    fn drop(&mut self) {
        self.wait();
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use tokio::runtime::Handle;

    use super::*;
    use crate::codec::Codec;
    use crate::id::PersistenceId;
    use crate::journal::{Due, EventRecord, MemoryJournal, Outcome, Record, RunBuilder, Write};

    const RUNS: u64 = 12;

    /// A journal with one stream, of which two runs fill a page.
    async fn journal() -> (Arc<dyn Journal>, StreamNo) {
        journal_of((0..RUNS).map(|_| PAGE_BYTES / 3), 1).await
    }

    /// A journal with one stream of runs with so many records each, and payloads of these lengths.
    async fn journal_of(lengths: impl Iterator<Item = usize>, records: usize) -> (Arc<dyn Journal>, StreamNo) {
        let (journal, id) = (MemoryJournal::new(), PersistenceId::new("account", "alice"));
        let stream = journal.open_stream(&id).await.unwrap().stream;
        let mut first = SeqNr(1);
        for (number, length) in (1..).zip(lengths) {
            let payload = vec![7; length];
            let event = EventRecord { name: "deposited", version: 1, codec: Codec::MessagePack, payload: &payload };
            let mut run = RunBuilder::new(stream, id.clone(), first);
            let events = std::iter::repeat_n(Record::Event(event), records);
            run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, events);
            let stored = journal.append(vec![run.seal(&journal.facts(), number)]).await;
            assert!(matches!(stored[..], [Outcome::Stored(_)]));
            first = SeqNr(first.0 + len_u64(records));
        }
        (Arc::new(journal), stream)
    }

    /// How many pages there are. The runs are in order, and none is missing.
    fn count(journal: &Arc<dyn Journal>, stream: StreamNo) -> u64 {
        let runtime = Runtime::pooled(&Handle::current());
        let mut pages = Pages::new(journal, &runtime, stream, SeqNr(RUNS));
        let (mut count, mut next) = (0, 1);
        while next <= RUNS {
            for run in pages.read(SeqNr(next)).unwrap().runs {
                let view = RunView::parse(&run.bytes, journal.facts().store).unwrap();
                assert_eq!(view.first(), SeqNr(next));
                next = view.last().0 + 1;
            }
            count += 1;
        }
        count
    }

    #[test]
    fn a_stream_is_read_in_order_whether_the_pool_has_a_thread_to_spare_or_not() {
        for threads in [1, 4] {
            let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(threads).build().unwrap();
            let counted = runtime.block_on(async {
                let (journal, stream) = journal().await;
                tokio::task::spawn_blocking(move || count(&journal, stream)).await
            });
            assert_eq!(counted.unwrap(), RUNS / 2);
        }
    }

    #[test]
    fn short_runs_are_read_in_order_whatever_their_lengths() {
        let page_of = |runs| PAGE_BYTES / runs;
        let same = vec![page_of(100); 1_000];
        let longer: Vec<_> = [page_of(400); 800].into_iter().chain([page_of(40); 200]).collect();
        let shorter = longer.iter().copied().rev().collect();
        let with_long_ones =
            (0..1_000).map(|run| if run % 300 == 299 { 3 * PAGE_BYTES } else { page_of(100) }).collect();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let pooled = Runtime::pooled(runtime.handle());
        for (lengths, records) in [(same.clone(), 1), (same, 3), (longer, 3), (shorter, 3), (with_long_ones, 2)] {
            let lengths: Vec<usize> = lengths;
            let last = SeqNr(len_u64(lengths.len() * records));
            let (journal, stream) = runtime.block_on(journal_of(lengths.into_iter().map(|run| run / records), records));
            let mut pages = Pages::new(&journal, &pooled, stream, last);
            let (mut next, mut ahead) = (SeqNr(1), 0);
            while next <= last {
                let begun = next;
                for run in pages.read(next).unwrap().runs {
                    let view = RunView::parse(&run.bytes, journal.facts().store).unwrap();
                    assert!(view.first() <= next, "{next} is missing");
                    next = next.max(view.last().next());
                }
                assert!(next > begun, "a page without anything new");
                ahead = ahead.max(pages.ahead.len());
            }
            assert_eq!(ahead, AHEAD_MAX);
            drop(pages);
            assert_eq!(Arc::strong_count(&journal), 1);
        }
    }

    #[test]
    fn nobody_holds_the_journal_when_pages_are_left_in_the_middle() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let pooled = Runtime::pooled(runtime.handle());
        let (journal, stream) = runtime.block_on(journal());
        for _ in 0..100 {
            let mut pages = Pages::new(&journal, &pooled, stream, SeqNr(RUNS));
            assert!(pages.read(SeqNr(1)).unwrap().more);
            drop(pages);
            assert_eq!(Arc::strong_count(&journal), 1);
        }
    }

    #[test]
    fn a_page_other_than_the_next_can_be_read() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let pooled = Runtime::pooled(runtime.handle());
        let (journal, stream) = runtime.block_on(journal());
        let mut pages = Pages::new(&journal, &pooled, stream, SeqNr(RUNS));
        for from in [1, 6, 3, 11] {
            let page = pages.read(SeqNr(from)).unwrap();
            let view = RunView::parse(&page.runs[0].bytes, journal.facts().store).unwrap();
            assert_eq!((view.first(), page.runs.len()), (SeqNr(from), 2));
        }
    }
}
