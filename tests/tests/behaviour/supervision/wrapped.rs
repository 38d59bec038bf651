//! A journal in memory that does what a test says before it appends or reads.

use std::sync::Arc;

use annals::journal::{
    Armed, CloseError, Facts, Fut, Health, Journal, MemoryJournal, Outcome, Page, ReadError, Run, StreamHead,
};
use annals::{Offset, PersistenceId, SeqNr, StreamNo};

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

    fn facts(&self) -> Facts {
        self.inner.facts()
    }

    fn close_stream(&self, stream: StreamNo) {
        (self.before_close)();
        self.inner.close_stream(stream);
    }

    fn durable(&self) -> Offset {
        self.inner.durable()
    }

    fn read_all(&self, after: Offset, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        self.inner.read_all(after, bytes_max)
    }

    fn changed(&self, beyond: Offset) -> Fut<'static, Offset> {
        self.inner.changed(beyond)
    }

    fn armed(&self) -> Fut<'_, Result<Vec<Armed>, ReadError>> {
        self.inner.armed()
    }

    fn stream_id(&self, stream: StreamNo) -> Fut<'_, Result<Option<PersistenceId>, ReadError>> {
        self.inner.stream_id(stream)
    }

    fn delete_to(&self, stream: StreamNo, to: SeqNr) -> Fut<'static, Outcome> {
        self.inner.delete_to(stream, to)
    }

    fn forget(&self, stream: StreamNo) -> Fut<'static, Outcome> {
        self.inner.forget(stream)
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn close(&self) -> Fut<'_, Result<(), CloseError>> {
        self.inner.close()
    }
}
