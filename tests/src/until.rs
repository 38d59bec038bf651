//! Waiting for what has to happen, and never for ever.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use annals::journal::Fut;

/// Nothing that a test waits for takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lets the tasks run until `done` says that it is enough.
///
/// # Panics
///
/// If it never does.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    until_so(what, async || done()).await;
}

/// The same, where it takes a wait to find out.
///
/// # Panics
///
/// If it never does.
pub async fn until_so(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !done().await {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::task::yield_now().await;
    }
}

/// What a journal or a store in memory answers at once.
///
/// # Panics
///
/// If it waits for something.
pub fn at_once<T>(mut answer: Fut<'_, T>) -> T {
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("what is in memory waits for nothing"),
    }
}
