//! A journal in memory that does what a test says before it appends or reads.

use std::sync::Arc;

use annals::journal::{Fut, Journal, MemoryJournal, Outcome, Page, ReadError, Run, StreamHead};
use annals::{PersistenceId, SeqNr, StreamNo};

/// What a test does before something happens.
pub(super) type Before = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone)]
pub(super) struct Wrapped {
    pub(super) inner: MemoryJournal,
    pub(super) before_append: Before,
    pub(super) before_read: Before,
    pub(super) before_close: Before,
}

impl Wrapped {
    pub(super) fn new() -> Self {
        Self {
            inner: MemoryJournal::new(),
            before_append: Arc::new(|| {}),
            before_read: Arc::new(|| {}),
            before_close: Arc::new(|| {}),
        }
    }
}

impl Journal for Wrapped {
    annals_tests::through! { inner, but open_stream, close_stream, append, settle, read }

    fn append(&self, group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
        (self.before_append)();
        self.inner.append(group)
    }

    fn open_stream(&self, id: &PersistenceId) -> Fut<'_, Result<StreamHead, ReadError>> {
        (self.before_read)();
        self.inner.open_stream(id)
    }

    fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        (self.before_read)();
        self.inner.read(stream, from, to, bytes_max)
    }

    fn close_stream(&self, stream: StreamNo) {
        (self.before_close)();
        self.inner.close_stream(stream);
    }
}
