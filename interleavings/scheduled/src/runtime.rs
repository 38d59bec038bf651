//! The runtime, of which there is always one.

use std::future::Future;
use std::marker::PhantomData;

use crate::task::JoinHandle;

/// The runtime that is here.
#[derive(Debug, Clone)]
pub struct Handle(());

/// How many threads it has: as many as are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuntimeFlavor {
    /// One.
    CurrentThread,
    /// More than one.
    MultiThread,
}

/// There is no runtime; which never is.
#[derive(Debug)]
pub struct TryCurrentError(());

/// As long as it is there, the runtime is the current one.
#[derive(Debug)]
pub struct EnterGuard<'a>(PhantomData<&'a Handle>);

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

    /// More threads than one.
    pub fn runtime_flavor(&self) -> RuntimeFlavor {
        RuntimeFlavor::MultiThread
    }

    /// It is the current one everywhere, so it stays that.
    pub fn enter(&self) -> EnterGuard<'_> {
        EnterGuard(PhantomData)
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
