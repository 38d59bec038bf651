//! The runtime, of which there is always one.

use std::future::Future;

use crate::task::JoinHandle;

/// The runtime that is here.
#[derive(Debug, Clone)]
pub struct Handle(());

/// There is no runtime; which never is.
#[derive(Debug)]
pub struct TryCurrentError(());

impl Handle {
    /// The one that is here.
    pub fn current() -> Self {
        Self(())
    }

    /// The one that is here.
    ///
    /// # Errors
    ///
    /// None.
    pub fn try_current() -> Result<Self, TryCurrentError> {
        Ok(Self(()))
    }

    /// Waits for a future on this task.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        shuttle::future::block_on(future)
    }

    /// Starts a task.
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        crate::task::spawn(future)
    }

    /// Starts a task that may block.
    pub fn spawn_blocking<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
        crate::task::spawn_blocking(job)
    }
}
