//! A value that arrives once, awaited without a runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::contain::contained;
use crate::journal::lock;
use crate::sync::Mutex;

/// What both ends share.
pub(crate) struct Cell<T>(Mutex<State<T>>);

struct State<T> {
    /// The receiver, while it waits.
    waker: Option<Waker>,
    /// It may be taken once the wait is over.
    value: Option<T>,
    /// Whether the wait is over, or one of the ends is gone.
    is_over: bool,
}

/// The end that sends. Dropping it tells the receiver that nothing comes.
pub(crate) struct Sender<T>(Option<Arc<Cell<T>>>);

/// The end that waits. `None`: the sender is gone.
pub(crate) struct Receiver<T>(Option<Arc<Cell<T>>>);

pub(crate) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let cell = Arc::new(Cell(Mutex::new(State { waker: None, value: None, is_over: false })));
    (Sender(Some(Arc::clone(&cell))), Receiver(Some(cell)))
}

impl<T> Cell<T> {
    /// Lays a value ready, and gives it back if nobody waits for it any more.
    fn lay(&self, value: T) -> Result<(), T> {
        let mut state = lock(&self.0);
        if state.is_over {
            return Err(value);
        }
        state.value = Some(value);
        Ok(())
    }

    /// Ends the wait. `choose` is given what was laid ready, and says what is sent and what isn't. Gives back what nobody
    /// gets.
    fn end(&self, choose: impl FnOnce(Option<T>) -> (Option<T>, Option<T>)) -> Option<T> {
        let mut state = lock(&self.0);
        if state.is_over {
            drop(state);
            // What is sent is left to whoever has ended it.
            return choose(None).0;
        }
        let (value, unwanted) = choose(state.value.take());
        (state.value, state.is_over) = (value, true);
        let waker = state.waker.take();
        // ORDER: woken outside of the lock, since a waker may poll at once.
        drop(state);
        if let Some(waker) = waker {
            // It is the caller's own, and whoever answers has others to answer.
            if let Err(panic) = contained(|| waker.wake()) {
                crate::log::error!(%panic, "the waker of a caller panicked");
            }
        }
        unwanted
    }

    /// Lets what was laid ready go.
    pub(crate) fn release(&self) {
        self.end(|laid| (laid, None));
    }

    /// Sends a value, in the place of one that was laid ready. Gives back what nobody gets.
    pub(crate) fn send(&self, value: T) -> Option<T> {
        self.end(|laid| (Some(value), laid))
    }

    /// Ends the wait without a value, and gives back the one that was laid ready.
    pub(crate) fn abandon(&self) -> Option<T> {
        self.end(|laid| (None, laid))
    }
}

impl<T> Sender<T> {
    /// Sends, or gives the value back if nobody waits for it any more.
    pub(crate) fn send(mut self, value: T) -> Result<(), T> {
        self.0.take().and_then(|cell| cell.send(value)).map_or(Ok(()), Err)
    }

    /// Lays a value ready, and leaves the cell with it: whoever has that says when the value may go. Without a receiver
    /// the value is given back.
    pub(crate) fn lay(&mut self, value: T) -> Option<Result<Arc<Cell<T>>, T>> {
        let cell = self.0.take()?;
        Some(cell.lay(value).map(|()| cell))
    }

    /// Sends to whoever still waits.
    #[cfg(any(test, feature = "fjall", feature = "testing"))]
    pub(crate) fn tell(self, value: T) {
        drop(self.send(value));
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if let Some(cell) = self.0.take() {
            cell.abandon();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Some(cell) = self.0.take() {
            let mut state = lock(&cell.0);
            state.is_over = true;
            let left = (state.value.take(), state.waker.take());
            // ORDER: outside of the lock, since a value may be somebody else's and do anything when it is dropped.
            drop(state);
            drop(left);
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(cell) = &self.0 else { return Poll::Ready(None) };
        let mut state = lock(&cell.0);
        if !state.is_over {
            match &mut state.waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => state.waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        let value = state.value.take();
        drop(state);
        self.0 = None;
        Poll::Ready(value)
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
    fn a_value_that_is_laid_ready_comes_when_it_may() {
        let (mut sender, receiver) = oneshot();
        let cell = sender.lay(7).unwrap().unwrap();
        let mut receiver = std::pin::pin!(receiver);
        assert_eq!(receiver.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
        drop(sender);
        cell.release();
        assert_eq!(block_on(receiver), Some(7));
    }

    #[test]
    fn a_waker_that_panics_keeps_nobody_from_going_on() {
        struct Sleepy;
        impl std::task::Wake for Sleepy {
            fn wake(self: Arc<Self>) {
                panic!("let me sleep");
            }
        }
        let waker = Waker::from(Arc::new(Sleepy));
        let ways: [fn(Sender<u8>); 2] = [drop, |sender| sender.tell(7)];
        for ends in ways {
            let (sender, receiver) = oneshot();
            let mut receiver = std::pin::pin!(receiver);
            assert_eq!(receiver.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending);
            ends(sender);
            assert!(receiver.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        }
    }

    #[test]
    fn another_value_takes_the_place_of_one_that_is_laid_ready() {
        let (mut sender, receiver) = oneshot();
        let cell = sender.lay(7).unwrap().unwrap();
        assert_eq!(cell.send(8), Some(7));
        assert_eq!(block_on(receiver), Some(8));
        assert_eq!(cell.send(9), Some(9));
    }

    #[test]
    fn a_value_that_is_laid_ready_and_given_up_never_comes() {
        let (mut sender, receiver) = oneshot();
        let cell = sender.lay(7).unwrap().unwrap();
        assert_eq!(cell.abandon(), Some(7));
        assert_eq!(block_on(receiver), None);
    }

    #[test]
    fn nothing_is_laid_ready_for_nobody() {
        let (mut sender, receiver) = oneshot();
        drop(receiver);
        assert!(matches!(sender.lay(7), Some(Err(7))));
        assert!(sender.lay(8).is_none());
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
