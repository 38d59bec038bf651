//! What the engine has done with, and who drops it.
//!
//! The engine drops a memtable whose rows are in tables, and tables that are merged, under the lock that each commit takes.
//! That is 50 ms for a memtable of 64 MiB, and up to half a second for many tables, since their files are removed. So they
//! are held here as well, a little longer than there, and dropped by a thread for which nobody waits.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked whether the engine has let something go.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long something is held at the most: while much is written, the engine lets go of it within two seconds.
const HELD_FOR_MAX: Duration = Duration::from_secs(5);
/// So much is held at the most; what is oldest goes first.
const HELD_MAX: usize = 16;

/// Holds something, and tells whether the engine still does.
pub(super) type Held = Box<dyn Fn() -> bool + Send>;

/// The thread that drops, from the first time on that there is something to drop.
#[derive(Default)]
pub(super) struct Remains {
    thread: Option<(SyncSender<Held>, JoinHandle<()>)>,
}

impl Remains {
    /// Drops it when the engine has let it go.
    pub(super) fn push(&mut self, held: Held) {
        if self.thread.is_none() {
            let (sender, receiver) = sync_channel(HELD_MAX);
            match std::thread::Builder::new().name("annals-remains".into()).spawn(move || drop_some(&receiver)) {
                Ok(thread) => self.thread = Some((sender, thread)),
                Err(error) => crate::log::debug!(%error, "the thread that drops what is done with can't be started"),
            }
        }
        if let Some((sender, _)) = &self.thread {
            // If there is no room, it is dropped here and now, as it would be without all this.
            let _full = sender.try_send(held);
        }
    }
}

impl Drop for Remains {
    /// Drops all that is held.
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            // If it has panicked, there is nothing left to do.
            let _result = thread.join();
        }
    }
}

fn drop_some(receiver: &Receiver<Held>) {
    let mut all: VecDeque<(Instant, Held)> = VecDeque::new();
    loop {
        let next = if all.is_empty() {
            receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            receiver.recv_timeout(LOOK_EVERY)
        };
        match next {
            Ok(held) => all.push_back((Instant::now(), held)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        all.retain(|(since, is_held_elsewhere)| since.elapsed() < HELD_FOR_MAX && is_held_elsewhere());
        if all.len() > HELD_MAX {
            all.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// Tells which thread drops it.
    struct Probe(u32, mpsc::Sender<(u32, Option<String>)>);

    impl Drop for Probe {
        fn drop(&mut self) {
            let thread = std::thread::current().name().map(str::to_owned);
            self.1.send((self.0, thread)).unwrap();
        }
    }

    fn held(probe: &Arc<Probe>) -> Held {
        let probe = Arc::clone(probe);
        Box::new(move || Arc::strong_count(&probe) > 1)
    }

    #[test]
    fn what_is_let_go_elsewhere_is_dropped_by_the_thread() {
        let (sender, dropped) = mpsc::channel();
        let [first, second] = [1, 2].map(|number| Arc::new(Probe(number, sender.clone())));
        let mut remains = Remains::default();
        remains.push(held(&first));
        remains.push(held(&second));
        drop(second);
        let by_thread = Some("annals-remains".to_owned());
        assert_eq!(dropped.recv_timeout(LONG), Ok((2, by_thread.clone())));
        drop(first);
        assert_eq!(dropped.recv_timeout(LONG), Ok((1, by_thread)));
    }

    #[test]
    fn so_much_is_held_and_nothing_behind_the_end() {
        let (sender, dropped) = mpsc::channel();
        let mut remains = Remains::default();
        let max = u32::try_from(HELD_MAX).unwrap();
        let used: Vec<_> = (0..=max).map(|number| Arc::new(Probe(number, sender.clone()))).collect();
        for probe in &used {
            // One after the other: there is room for all of them.
            while Arc::strong_count(probe) == 1 {
                remains.push(held(probe));
            }
        }
        while Arc::strong_count(&used[0]) > 1 {
            std::thread::yield_now();
        }
        assert!(used[1..].iter().all(|probe| Arc::strong_count(probe) == 2));
        drop(remains);
        assert!(used.iter().all(|probe| Arc::strong_count(probe) == 1));
        assert!(dropped.try_recv().is_err(), "others use them");
    }
}
