//! Waiting without a runtime, and never for ever.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

use super::told::{Judge, join};
use crate::journal::lock;

/// Polls a future to its end on this thread, without a runtime: what a store is driven by that names no other way.
///
/// # Examples
///
/// ```
/// use annals::testing::conformance::block_on;
///
/// assert_eq!(block_on(async { 1 + 1 }), 2);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Does something where waiting is allowed: on a thread of its own, if this one belongs to a tokio runtime. That runtime is
/// the current one there, too.
pub(super) fn outside<T: Send>(does: impl FnOnce() -> T + Send) -> T {
    let Ok(around) = Handle::try_current() else { return does() };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(std::thread::current().name().unwrap_or("a case").to_owned());
        let spawned = thread.spawn_scoped(scope, move || {
            let _entered = around.enter();
            does()
        });
        match spawned {
            Ok(thread) => join(thread),
            Err(error) => panic!("a case needs a thread: {error}"),
        }
    })
}

/// A store that cases are run on: how what it promises is waited for.
pub(super) trait Drives {
    /// The name of its `block_on`.
    const BLOCK_ON: &'static str;

    fn patience(&self) -> Duration;

    fn block_on(&self, future: Pin<&mut (dyn Future<Output = ()> + Send)>);
}

/// Calls where the store's futures are driven.
#[track_caller]
pub(super) fn within<S: Drives + ?Sized, T: Send>(store: &S, judge: Judge<'_>, call: impl FnOnce() -> T + Send) -> T {
    drive(store, judge, async { call() })
}

/// Waits for what the store has promised to do.
#[track_caller]
pub(super) fn wait<S, T>(store: &S, judge: Judge<'_>, what: &str, future: impl Future<Output = T> + Send + Unpin) -> T
where
    S: Drives + ?Sized,
    T: Send,
{
    let patience = store.patience();
    match drive(store, judge, Within::new(future, patience)) {
        Some(value) => value,
        None => judge.fail(what, &format!("to end within {patience:?}"), unended(judge.told.around())),
    }
}

/// Why something may not have ended.
fn unended(around: Option<&Handle>) -> &'static str {
    match around.map(Handle::runtime_flavor) {
        Some(RuntimeFlavor::CurrentThread) => {
            "it hasn't ended; the case holds up the one thread of the runtime that it was called in: if the store works there, \
             call it in one of more threads, such as `#[tokio::test(flavor = \"multi_thread\")]`"
        }
        _ => "it hasn't ended",
    }
}

#[track_caller]
fn drive<S: Drives + ?Sized, T: Send>(store: &S, judge: Judge<'_>, future: impl Future<Output = T> + Send) -> T {
    let mut value = None;
    {
        let _entered = judge.told.around().map(Handle::enter);
        let mut drives = std::pin::pin!(async { value = Some(future.await) });
        store.block_on(drives.as_mut());
    }
    match value {
        Some(value) => value,
        None => judge.fail(S::BLOCK_ON, "to poll the future to its end", "it came back before"),
    }
}

/// A future that ends with `None` when it takes longer than it may, whoever polls it.
struct Within<F> {
    future: F,
    deadline: Instant,
    watch: Option<Watch>,
}

impl<F> Within<F> {
    fn new(future: F, patience: Duration) -> Self {
        Self { future, deadline: Instant::now() + patience, watch: None }
    }
}

impl<F: Future + Unpin> Future for Within<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Not polled at the deadline: a future that is ready by then and has woken nobody would be taken for a good one.
        if this.watch.is_some() && Instant::now() >= this.deadline {
            return Poll::Ready(None);
        }
        if let Poll::Ready(value) = Pin::new(&mut this.future).poll(context) {
            this.watch = None;
            return Poll::Ready(Some(value));
        }
        this.watch = Some(Watch::new(this.deadline, context.waker().clone()));
        Poll::Pending
    }
}

/// Has a waker woken at a time, as long as it isn't dropped.
struct Watch((Instant, u64));

/// Those who are to be woken, by time.
struct Watched {
    next: u64,
    wakers: BTreeMap<(Instant, u64), Waker>,
}

static WATCHED: Mutex<Watched> = Mutex::new(Watched { next: 0, wakers: BTreeMap::new() });
static CHANGED: Condvar = Condvar::new();
/// The one thread that wakes them; it ends with the process.
static WATCHER: LazyLock<()> = LazyLock::new(|| {
    std::thread::spawn(watch);
});

impl Watch {
    fn new(deadline: Instant, waker: Waker) -> Self {
        LazyLock::force(&WATCHER);
        let mut watched = lock(&WATCHED);
        watched.next += 1;
        let place = (deadline, watched.next);
        watched.wakers.insert(place, waker);
        if watched.wakers.first_key_value().is_some_and(|(first, _)| *first == place) {
            CHANGED.notify_one();
        }
        Self(place)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&WATCHED).wakers.remove(&self.0);
    }
}

fn watch() {
    let mut watched = lock(&WATCHED);
    loop {
        let now = Instant::now();
        let first = watched.wakers.first_key_value().map(|(place, _)| *place);
        watched = match first {
            Some(place) if place.0 <= now => {
                let waker = watched.wakers.remove(&place);
                drop(watched);
                if let Some(waker) = waker {
                    waker.wake();
                }
                lock(&WATCHED)
            }
            Some((deadline, _)) => match CHANGED.wait_timeout(watched, deadline - now) {
                Ok((watched, _)) => watched,
                Err(poisoned) => poisoned.into_inner().0,
            },
            None => CHANGED.wait(watched).unwrap_or_else(std::sync::PoisonError::into_inner),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_waited_for_so_long_and_no_longer() {
        let never = std::future::pending::<()>();
        assert_eq!(block_on(Within::new(never, Duration::ZERO)), None);
        let never = std::future::pending::<()>();
        assert_eq!(block_on(Within::new(never, Duration::from_millis(5))), None);
    }

    #[test]
    fn what_is_ready_and_has_woken_nobody_is_lost() {
        let mut polls = 0;
        let ready_unsaid = std::future::poll_fn(|_| {
            polls += 1;
            if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
        });
        assert_eq!(block_on(Within::new(ready_unsaid, Duration::from_millis(5))), None);
    }

    #[test]
    fn what_ends_is_handed_on() {
        let ready = std::future::ready(7);
        assert_eq!(block_on(Within::new(ready, Duration::from_secs(60))), Some(7));
    }
}
