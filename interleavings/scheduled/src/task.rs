//! Tasks. One that panics ends the whole run, as a failure.

pub use shuttle::future::yield_now;

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::runtime::Handle;

/// Why a task has no output.
#[derive(Debug)]
pub struct JoinError(());

impl JoinError {
    /// Whether it panicked, which nobody would see.
    pub fn is_panic(&self) -> bool {
        false
    }

    /// What it panicked with: nothing, as [`JoinError::is_panic`] says.
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        Box::new(self)
    }

    /// What it panicked with, if it did.
    ///
    /// # Errors
    ///
    /// The error again, since it did not.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        Err(self)
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was given up")
    }
}

impl std::error::Error for JoinError {}

/// The output of a task, awaited.
#[derive(Debug)]
pub struct JoinHandle<T>(shuttle::future::JoinHandle<T>);

impl<T> JoinHandle<T> {
    /// Gives it up.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(task).map(|output| output.map_err(|_| JoinError(())))
    }
}

/// Starts a task.
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    JoinHandle(shuttle::future::spawn(future))
}

/// Starts a task that may block.
pub fn spawn_blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    spawn(async move { job() })
}

/// Gives a task up.
#[derive(Debug)]
pub struct AbortHandle(shuttle::future::AbortHandle);

impl AbortHandle {
    /// Does it.
    pub fn abort(&self) {
        self.0.abort();
    }
}

/// Tasks that end with their set.
#[derive(Debug)]
pub struct JoinSet<T> {
    /// Each with whether it may be given up: what blocks may not.
    tasks: Vec<(JoinHandle<T>, bool)>,
}

impl<T: Send + 'static> JoinSet<T> {
    /// Makes an empty set.
    pub fn new() -> Self {
        Self { tasks: Vec::new() }
    }

    /// Starts a task.
    pub fn spawn(&mut self, future: impl Future<Output = T> + Send + 'static) -> AbortHandle {
        let task = spawn(future);
        let handle = AbortHandle(task.0.abort_handle());
        self.tasks.push((task, true));
        handle
    }

    /// Starts a task.
    pub fn spawn_on(&mut self, future: impl Future<Output = T> + Send + 'static, _: &Handle) -> AbortHandle {
        self.spawn(future)
    }

    /// Starts a task that may block.
    pub fn spawn_blocking_on(&mut self, job: impl FnOnce() -> T + Send + 'static, _: &Handle) -> AbortHandle {
        let task = spawn_blocking(job);
        let handle = AbortHandle(task.0.abort_handle());
        self.tasks.push((task, false));
        handle
    }

    /// The output of one that ends; `None` if there is none.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|task| {
            if self.tasks.is_empty() {
                return Poll::Ready(None);
            }
            for index in 0..self.tasks.len() {
                if let Poll::Ready(output) = Pin::new(&mut self.tasks[index].0).poll(task) {
                    self.tasks.swap_remove(index);
                    return Poll::Ready(Some(output));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Gives all up, and waits for them.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }
}

impl<T> JoinSet<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Gives all up.
    pub fn abort_all(&mut self) {
        self.tasks.iter().filter(|(_, may)| *may).for_each(|(task, _)| task.abort());
    }

    /// Lets all go on by themselves.
    pub fn detach_all(&mut self) {
        self.tasks.clear();
    }
}

impl<T: Send + 'static> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}
