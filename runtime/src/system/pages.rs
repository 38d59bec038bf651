//! Reading a stream page by page: the next page is read while the last one is folded.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

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
    page: Receiver<Result<Page, ReadError>>,
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
    pub(crate) fn read(&mut self, from: SeqNr) -> Result<Page, ReadError> {
        let page = match self.ahead.take() {
            Some(ahead) if ahead.from == from => ahead.wait(),
            other => {
                drop(other);
                None
            }
        };
        let page = page.unwrap_or_else(|| read(self.journal, self.runtime, self.stream, from, self.to))?;
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
        Ahead { from, ticket, page }
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
    fn wait(&self) -> Option<Result<Page, ReadError>> {
        // The sender is gone if reading panicked: then it does so again, where that is contained.
        if take(&self.ticket).is_none() { self.page.recv().ok() } else { None }
    }
}

impl Drop for Ahead {
    /// Waits, so that nobody holds the journal any more.
    fn drop(&mut self) {
        self.wait();
    }
}
