//! A value that arrives once, awaited without a runtime.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::journal::lock;
use crate::sync::{Arc, Mutex};

enum State<T> {
    Waiting(Option<Waker>),
    Sent(T),
    /// One of the ends is gone.
    Gone,
}

type Shared<T> = Arc<Mutex<State<T>>>;

/// The end that sends. Dropping it tells the receiver that nothing comes.
pub(crate) struct Sender<T>(Option<Shared<T>>);

/// The end that waits. `None`: the sender is gone.
pub(crate) struct Receiver<T>(Option<Shared<T>>);

pub(crate) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let state = Arc::new(Mutex::new(State::Waiting(None)));
    (Sender(Some(Arc::clone(&state))), Receiver(Some(state)))
}

/// Ends the wait; gives back what can't be received any more.
fn end<T>(shared: &Shared<T>, new: State<T>) -> State<T> {
    let mut state = lock(shared);
    let State::Waiting(waker) = &mut *state else { return new };
    let waker = waker.take();
    *state = new;
    // ORDER: woken outside of the lock, since a waker may poll at once.
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
    State::Gone
}

impl<T> Sender<T> {
    /// Sends, or gives the value back if nobody waits for it any more.
    pub(crate) fn send(mut self, value: T) -> Result<(), T> {
        match self.0.take().map(|shared| end(&shared, State::Sent(value))) {
            Some(State::Sent(value)) => Err(value),
            Some(State::Waiting(_) | State::Gone) | None => Ok(()),
        }
    }

    /// Sends to whoever still waits.
    #[cfg(any(test, feature = "fjall", feature = "testing"))]
    pub(crate) fn tell(self, value: T) {
        drop(self.send(value));
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            end(&shared, State::Gone);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            let state = std::mem::replace(&mut *lock(&shared), State::Gone);
            // ORDER: outside of the lock, since a value may be somebody else's and do anything when it is dropped.
            drop(state);
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(shared) = &self.0 else { return Poll::Ready(None) };
        let mut state = lock(shared);
        if let State::Waiting(waker) = &mut *state {
            match waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        let ended = std::mem::replace(&mut *state, State::Gone);
        drop(state);
        self.0 = None;
        Poll::Ready(match ended {
            State::Sent(value) => Some(value),
            State::Waiting(_) | State::Gone => None,
        })
    }
}

/// Polls a future to its end on this thread.
#[cfg(test)]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_arrives_from_another_thread() {
        let (sender, receiver) = oneshot();
        let thread = std::thread::spawn(move || sender.send(7));
        assert_eq!(block_on(receiver), Some(7));
        assert_eq!(thread.join().unwrap(), Ok(()));
    }

    #[test]
    fn a_dropped_sender_ends_the_wait() {
        let (sender, receiver) = oneshot::<u8>();
        let thread = std::thread::spawn(move || drop(sender));
        assert_eq!(block_on(receiver), None);
        thread.join().unwrap();
    }

    #[test]
    fn what_nobody_waits_for_comes_back() {
        let (sender, receiver) = oneshot();
        drop(receiver);
        assert_eq!(sender.send(7), Err(7));
    }

    #[test]
    fn a_value_that_is_not_taken_is_dropped_with_the_receiver() {
        let value = Arc::new(());
        let (sender, receiver) = oneshot();
        assert!(sender.send(Arc::clone(&value)).is_ok());
        drop(receiver);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
