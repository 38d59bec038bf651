//! Reading a stream page by page: the next page is read while the last one is folded.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use crate::execute::Unrecoverable;
use crate::id::{SeqNr, StreamNo};
use crate::journal::{Journal, Page, ReadError, RunView};

/// How much is read at once: little enough to be still in the processor's cache when it is folded.
const PAGE_BYTES_MAX: usize = 128 << 10;

/// A stream up to one of its records, in pages. There are at most two of them in memory.
pub(crate) struct Pages<'a> {
    journal: &'a Arc<dyn Journal>,
    runtime: &'a Handle,
    stream: StreamNo,
    to: SeqNr,
    ahead: Option<Ahead>,
}

/// A page that is read by who comes first: a thread of the pool, or the one that needs it. So nobody waits for a pool
/// that has no thread to spare.
struct Ahead {
    from: SeqNr,
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
    pub(crate) fn new(journal: &'a Arc<dyn Journal>, runtime: &'a Handle, stream: StreamNo, to: SeqNr) -> Self {
        Self { journal, runtime, stream, to, ahead: None }
    }

    /// The page that begins with the run that contains `from`. It blocks for the disk.
    pub(crate) fn read(&mut self, from: SeqNr) -> Result<Page, Unrecoverable> {
        let page = match self.ahead.take() {
            Some(mut ahead) if ahead.from == from => ahead.wait(),
            other => {
                drop(other);
                None
            }
        };
        let page = page
            .unwrap_or_else(|| read(self.journal, self.runtime, self.stream, from, self.to))
            .map_err(|error| Unrecoverable { seq_nr: from, why: error.into() })?;
        if page.more
            && let Some(run) = page.runs.last()
            // Who folds the run says what is wrong with it.
            && let Ok(view) = RunView::parse(&run.bytes, self.journal.facts().store)
        {
            self.ahead = Some(self.read_ahead(view.last().next()));
        }
        Ok(page)
    }

    fn read_ahead(&self, from: SeqNr) -> Ahead {
        let ticket = Arc::new(Mutex::new(Some(self.journal.clone())));
        let (read_page, page) = sync_channel(1);
        let (mine, runtime, stream, to) = (ticket.clone(), self.runtime.clone(), self.stream, self.to);
        self.runtime.spawn_blocking(move || {
            let Some(journal) = take(&mine) else { return };
            let page = read(&journal, &runtime, stream, from, to);
            // ORDER: let go before anybody hears of the page, so that nobody holds the journal when the stream is read.
            drop(journal);
            // Nobody waits any more if what came before couldn't be folded.
            let _unwanted = read_page.send(page);
        });
        Ahead { from, ticket, page: Some(page) }
    }
}

fn read(
    journal: &Arc<dyn Journal>,
    runtime: &Handle,
    stream: StreamNo,
    from: SeqNr,
    to: SeqNr,
) -> Result<Page, ReadError> {
    runtime.block_on(journal.read(stream, from, to, PAGE_BYTES_MAX))
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

    use super::*;
    use crate::codec::Codec;
    use crate::id::PersistenceId;
    use crate::journal::{Due, EventRecord, MemoryJournal, Outcome, Record, RunBuilder, Write};

    const RUNS: u64 = 12;

    /// A journal with one stream, of which two runs fill a page.
    async fn journal() -> (Arc<dyn Journal>, StreamNo) {
        let (journal, id) = (MemoryJournal::new(), PersistenceId::new("account", "alice"));
        let stream = journal.open_stream(&id).await.unwrap().stream;
        let payload = vec![7; PAGE_BYTES_MAX / 3];
        let event = EventRecord { name: "deposited", version: 1, codec: Codec::MessagePack, payload: &payload };
        for number in 1..=RUNS {
            let mut run = RunBuilder::new(stream, id.clone(), SeqNr(number));
            run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
            let stored = journal.append(vec![run.seal(&journal.facts(), number)]).await;
            assert!(matches!(stored[..], [Outcome::Stored(_)]));
        }
        (Arc::new(journal), stream)
    }

    /// How many pages there are. The runs are in order, and none is missing.
    fn count(journal: &Arc<dyn Journal>, stream: StreamNo) -> u64 {
        let runtime = Handle::current();
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
    fn nobody_holds_the_journal_when_pages_are_left_in_the_middle() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (journal, stream) = runtime.block_on(journal());
        for _ in 0..100 {
            let mut pages = Pages::new(&journal, runtime.handle(), stream, SeqNr(RUNS));
            assert!(pages.read(SeqNr(1)).unwrap().more);
            drop(pages);
            assert_eq!(Arc::strong_count(&journal), 1);
        }
    }

    #[test]
    fn a_page_other_than_the_next_can_be_read() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (journal, stream) = runtime.block_on(journal());
        let mut pages = Pages::new(&journal, runtime.handle(), stream, SeqNr(RUNS));
        for from in [1, 6, 3, 11] {
            let page = pages.read(SeqNr(from)).unwrap();
            let view = RunView::parse(&page.runs[0].bytes, journal.facts().store).unwrap();
            assert_eq!((view.first(), page.runs.len()), (SeqNr(from), 2));
        }
    }
}
