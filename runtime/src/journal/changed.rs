//! Those who wait until something is durable behind an offset, without a runtime.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::lock;
use crate::id::Offset;
use crate::sync::{Arc, Mutex};

/// How far a journal reaches, for those who wait until it reaches further.
///
/// A waiter takes one place, however often it is polled, and gives it back when it ends or is dropped.
pub(super) struct Waiters(Mutex<State>);

struct State {
    reached: Offset,
    /// Nothing more becomes durable.
    ended: bool,
    next_place: u64,
    waiting: BTreeMap<u64, (Offset, Waker)>,
}

/// Those who have to hear of a change.
#[must_use = "whoever isn't woken waits for ever"]
pub(super) struct Wakers(Vec<Waker>);

impl Wakers {
    /// Wakes them. Not under a lock: whoever is woken may poll, and call the journal, at once.
    pub(super) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

impl Waiters {
    pub(super) fn new(reached: Offset) -> Arc<Self> {
        let waiting = BTreeMap::new();
        Arc::new(Self(Mutex::new(State { reached, ended: false, next_place: 0, waiting })))
    }

    /// Says how far the journal reaches, and whether that was all.
    pub(super) fn tell(&self, reached: Offset, ended: bool) -> Wakers {
        let mut state = lock(&self.0);
        state.reached = state.reached.max(reached);
        state.ended |= ended;
        let (reached, ended) = (state.reached, state.ended);
        let mut wakers = Vec::new();
        state.waiting.retain(|_, (beyond, waker)| {
            let waits = !ended && reached <= *beyond;
            if !waits {
                wakers.push(waker.clone());
            }
            waits
        });
        Wakers(wakers)
    }

    /// Says that nothing more becomes durable.
    #[cfg(feature = "fjall")]
    pub(super) fn end(&self) -> Wakers {
        self.tell(Offset(0), true)
    }

    /// Waits until the journal reaches beyond an offset, or has ended; how far it reaches then.
    pub(super) fn changed(self: &Arc<Self>, beyond: Offset) -> Changed {
        Changed { waiters: Arc::clone(self), beyond, place: None }
    }

    #[cfg(test)]
    fn waiting(&self) -> usize {
        lock(&self.0).waiting.len()
    }
}

/// One who waits.
pub(super) struct Changed {
    waiters: Arc<Waiters>,
    beyond: Offset,
    place: Option<u64>,
}

impl Future for Changed {
    type Output = Offset;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Offset> {
        let this = &mut *self;
        let mut state = lock(&this.waiters.0);
        if state.ended || state.reached > this.beyond {
            if let Some(place) = this.place.take() {
                state.waiting.remove(&place);
            }
            return Poll::Ready(state.reached);
        }
        let place = *this.place.get_or_insert_with(|| {
            state.next_place += 1;
            state.next_place
        });
        match state.waiting.get_mut(&place) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => {
                state.waiting.insert(place, (this.beyond, context.waker().clone()));
            }
        }
        Poll::Pending
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            lock(&self.waiters.0).waiting.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::suite::is_pending;
    use crate::oneshot::block_on;

    #[test]
    fn each_hears_when_its_own_offset_is_passed() {
        let waiters = Waiters::new(Offset(3));
        assert_eq!(block_on(waiters.changed(Offset(2))), Offset(3));
        let (mut near, mut far) = (waiters.changed(Offset(3)), waiters.changed(Offset(5)));
        assert!(is_pending(&mut near) && is_pending(&mut far));
        waiters.tell(Offset(5), false).wake();
        assert!(is_pending(&mut far));
        assert_eq!(block_on(near), Offset(5));
        waiters.tell(Offset(9), false).wake();
        assert_eq!(block_on(far), Offset(9));
    }

    #[test]
    fn a_waiter_takes_one_place_and_gives_it_back() {
        let waiters = Waiters::new(Offset(0));
        let mut some: Vec<_> = (0..3).map(|_| waiters.changed(Offset(0))).collect();
        for _ in 0..4 {
            assert!(some.iter_mut().all(is_pending));
        }
        assert_eq!(waiters.waiting(), 3);
        drop(some.pop());
        assert_eq!(waiters.waiting(), 2);
        waiters.tell(Offset(1), false).wake();
        assert_eq!(waiters.waiting(), 0);
        assert!(some.into_iter().map(block_on).all(|reached| reached == Offset(1)));
    }

    #[test]
    fn the_end_is_told_to_all_and_stays() {
        let waiters = Waiters::new(Offset(4));
        let mut waiting = waiters.changed(Offset(7));
        assert!(is_pending(&mut waiting));
        waiters.tell(Offset(0), true).wake();
        assert_eq!(block_on(waiting), Offset(4));
        waiters.tell(Offset(0), false).wake();
        assert_eq!(block_on(waiters.changed(Offset(4))), Offset(4));
    }

    #[test]
    fn a_waiter_in_another_thread_is_woken() {
        let waiters = Waiters::new(Offset(0));
        let threads: Vec<_> = (0..4)
            .map(|beyond| {
                let waiting = waiters.changed(Offset(beyond));
                std::thread::spawn(move || block_on(waiting))
            })
            .collect();
        for reached in 1..=4 {
            waiters.tell(Offset(reached), false).wake();
        }
        for (thread, beyond) in threads.into_iter().zip(0..) {
            assert!(thread.join().unwrap() > Offset(beyond));
        }
    }
}
