//! A value that arrives once, awaited without a runtime.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::lock;
use crate::sync::{Arc, Mutex};

enum State<T> {
    Waiting(Option<Waker>),
    Sent(T),
    /// Taken by the receiver, or never to come.
    Gone,
}

/// The end that sends. Dropping it tells the receiver that nothing comes.
pub(crate) struct Sender<T>(Arc<Mutex<State<T>>>);

/// The end that waits. `None`: the sender is gone.
pub(crate) struct Receiver<T>(Arc<Mutex<State<T>>>);

pub(crate) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let state = Arc::new(Mutex::new(State::Waiting(None)));
    (Sender(Arc::clone(&state)), Receiver(state))
}

impl<T> Sender<T> {
    pub(crate) fn send(self, value: T) {
        self.put(State::Sent(value));
    }

    fn put(&self, new: State<T>) {
        let mut state = lock(&self.0);
        let waker = match &mut *state {
            State::Waiting(waker) => {
                let waker = waker.take();
                *state = new;
                waker
            }
            State::Sent(_) | State::Gone => None,
        };
        // ORDER: woken outside of the lock, since a waker may poll at once.
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.put(State::Gone);
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        match &mut *state {
            State::Waiting(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            State::Sent(_) | State::Gone => match std::mem::replace(&mut *state, State::Gone) {
                State::Sent(value) => Poll::Ready(Some(value)),
                State::Waiting(_) | State::Gone => Poll::Ready(None),
            },
        }
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
        thread.join().unwrap();
    }

    #[test]
    fn a_dropped_sender_ends_the_wait() {
        let (sender, receiver) = oneshot::<u8>();
        let thread = std::thread::spawn(move || drop(sender));
        assert_eq!(block_on(receiver), None);
        thread.join().unwrap();
    }
}
