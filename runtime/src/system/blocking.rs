//! Where work is done that may block: reads of the journal, of snapshots, and the folds between them.

use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};

/// Where a system does what may block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Blocking {
    /// On tokio's blocking pool.
    #[default]
    Pooled,
    /// In a task like any other, so that nothing of it depends on threads. What blocks there must be ready at once.
    #[cfg(feature = "testing")]
    Inline,
}

impl Blocking {
    /// With the tokio runtime around.
    ///
    /// # Panics
    ///
    /// Outside of one.
    pub(crate) fn here(self) -> Runtime {
        self.on(&Handle::current())
    }

    /// With a tokio runtime.
    pub(crate) fn on(self, handle: &Handle) -> Runtime {
        Runtime { handle: handle.clone(), blocking: self }
    }
}

/// A tokio runtime, as work sees it that may block there.
#[derive(Debug, Clone)]
pub(crate) struct Runtime {
    handle: Handle,
    blocking: Blocking,
}

impl Runtime {
    /// The tokio runtime around, or this one where there is none.
    pub(crate) fn nearest(&self) -> Self {
        self.blocking.on(&Handle::try_current().unwrap_or_else(|_| self.handle.clone()))
    }

    /// Has a job done that may block.
    pub(crate) fn spawn_blocking<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        match self.blocking {
            Blocking::Pooled => self.handle.spawn_blocking(job),
            #[cfg(feature = "testing")]
            Blocking::Inline => self.handle.spawn(async move { job() }),
        }
    }

    /// Has a job done that may block, as one of a set.
    pub(crate) fn spawn_blocking_in<T: Send + 'static>(
        &self,
        set: &mut JoinSet<T>,
        job: impl FnOnce() -> T + Send + 'static,
    ) {
        match self.blocking {
            Blocking::Pooled => set.spawn_blocking_on(job, &self.handle),
            #[cfg(feature = "testing")]
            Blocking::Inline => set.spawn_on(async move { job() }, &self.handle),
        };
    }

    /// Has a future polled where it may block.
    pub(crate) fn drive<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        match self.blocking {
            Blocking::Pooled => {
                let handle = self.handle.clone();
                self.handle.spawn_blocking(move || handle.block_on(future))
            }
            #[cfg(feature = "testing")]
            Blocking::Inline => self.handle.spawn(future),
        }
    }

    /// Waits for a future, in a job that may block.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        match self.blocking {
            Blocking::Pooled => self.handle.block_on(future),
            #[cfg(feature = "testing")]
            Blocking::Inline => {
                let mut task = std::task::Context::from_waker(std::task::Waker::noop());
                match std::pin::pin!(future).poll(&mut task) {
                    std::task::Poll::Ready(value) => value,
                    std::task::Poll::Pending => panic!("what is read inline must be ready at once"),
                }
            }
        }
    }

    /// Whether work that may block goes on beside the one who asks for it.
    pub(crate) fn has_pool(&self) -> bool {
        self.blocking == Blocking::Pooled
    }

    /// One with a pool.
    #[cfg(test)]
    pub(crate) fn pooled(handle: &Handle) -> Self {
        Self { handle: handle.clone(), blocking: Blocking::Pooled }
    }
}
