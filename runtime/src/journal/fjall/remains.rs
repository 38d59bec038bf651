//! What the engine has done with, and who drops it.
//!
//! The engine drops a memtable whose rows are in tables, and tables that are merged, under the lock that each commit takes.
//! That is 50 ms for a memtable of 64 MiB, and up to half a second for many tables, since their files are removed. So a
//! thread for which nobody waits looks what the engine has, holds it as well, a little longer than the engine does, and
//! drops it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked what the engine has. What is gone again meanwhile was short.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// When nothing was written for so many looks, everything is let go, and nobody looks.
const IDLE_LOOKS_MAX: u32 = 50;
/// How long something is held at the most: while much is written, the engine lets go of it within two seconds.
const HELD_FOR_MAX: Duration = Duration::from_secs(5);
/// So much is held at the most; what is oldest goes first.
const HELD_MAX: usize = 16;

/// Holds something, and tells whether the engine still does.
pub(super) type Held = Box<dyn Fn() -> bool + Send>;
/// What the engine has now, each with a number of its own.
pub(super) type Look = Box<dyn Fn() -> [(u64, Held); 2] + Send>;

/// The thread that drops. It is there from the first write on.
#[derive(Default)]
pub(super) struct Remains {
    /// `None` if it can't be started: then all is as it would be without it.
    keeper: OnceLock<Option<Keeper>>,
}

impl Remains {
    /// Says that something is written. `look` is called the first time.
    pub(super) fn look_after(&self, look: impl FnOnce() -> Look) {
        if let Some(keeper) = self.keeper.get_or_init(|| Keeper::start(look())) {
            keeper.wake();
        }
    }
}

struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

// The standard library's locks: nothing is decided under them, and the thread is none of those whose order is tried.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether something was written since the last look.
    written: bool,
    /// Whether the thread waits until something is written.
    sleeps: bool,
    stop: bool,
}

impl Keeper {
    fn start(look: Look) -> Option<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("annals-remains".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(&look)
        });
        match thread {
            Ok(thread) => Some(Self { shared, thread: Some(thread) }),
            Err(error) => {
                crate::log::debug!(%error, "the thread that drops what is done with can't be started");
                None
            }
        }
    }

    fn wake(&self) {
        let mut state = self.shared.lock();
        state.written = true;
        if std::mem::take(&mut state.sleeps) {
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for Keeper {
    /// Drops all that is held.
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // If it has panicked, there is nothing left to do.
            let _result = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, look: &Look) {
        while self.sleep() {
            let (mut holding, mut idle) = (Holding::default(), 0);
            while idle < IDLE_LOOKS_MAX {
                holding.look(look);
                match self.pause() {
                    Some(true) => idle = 0,
                    Some(false) => idle += 1,
                    None => return,
                }
            }
        }
    }

    /// Waits until something is written; not any more when it is to end.
    fn sleep(&self) -> bool {
        let mut state = self.lock();
        while !state.written && !state.stop {
            state.sleeps = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.written = false;
        !state.stop
    }

    /// Waits until it is time for the next look, and says whether something was written meanwhile; nothing when it is to end.
    fn pause(&self) -> Option<bool> {
        let waited = self.changed.wait_timeout_while(self.lock(), LOOK_EVERY, |state| !state.stop);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (!state.stop).then(|| std::mem::take(&mut state.written))
    }
}

/// What is held.
#[derive(Default)]
struct Holding {
    /// What the engine had at the last look.
    current: [Option<(u64, Held)>; 2],
    /// What it has put away, and since when.
    put_away: VecDeque<(Instant, Held)>,
}

impl Holding {
    /// Holds what there is now, and drops what the engine has let go.
    fn look(&mut self, look: &Look) {
        for (current, now) in self.current.iter_mut().zip(look()) {
            if current.as_ref().is_none_or(|(number, _)| *number != now.0)
                && let Some((_, put_away)) = current.replace(now)
            {
                self.put_away.push_back((Instant::now(), put_away));
            }
        }
        self.put_away.retain(|(since, is_held_elsewhere)| since.elapsed() < HELD_FOR_MAX && is_held_elsewhere());
        let over = self.put_away.len().saturating_sub(HELD_MAX);
        self.put_away.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// Tells which thread drops it.
    struct Probe(u64, mpsc::Sender<(u64, Option<String>)>);

    impl Drop for Probe {
        fn drop(&mut self) {
            let thread = std::thread::current().name().map(str::to_owned);
            self.1.send((self.0, thread)).unwrap();
        }
    }

    /// An engine that has one thing after the other.
    struct Engine {
        now: Arc<Mutex<Arc<Probe>>>,
        dropped: mpsc::Receiver<(u64, Option<String>)>,
        sender: mpsc::Sender<(u64, Option<String>)>,
    }

    impl Engine {
        fn new() -> Self {
            let (sender, dropped) = mpsc::channel();
            let now = Arc::new(Mutex::new(Arc::new(Probe(0, sender.clone()))));
            Self { now, dropped, sender }
        }

        fn look(&self) -> Look {
            let now = Arc::clone(&self.now);
            Box::new(move || {
                let probe = Arc::clone(&now.lock().unwrap());
                [(probe.0, held(&probe)), (0, Box::new(|| true))]
            })
        }

        /// Has the next thing, and gives what it had.
        fn replace(&self) -> Arc<Probe> {
            let mut now = self.now.lock().unwrap();
            let next = Arc::new(Probe(now.0 + 1, self.sender.clone()));
            std::mem::replace(&mut now, next)
        }
    }

    fn held(probe: &Arc<Probe>) -> Held {
        let probe = Arc::clone(probe);
        Box::new(move || Arc::strong_count(&probe) > 1)
    }

    /// Waits until somebody else holds what the engine has, or nobody does any more.
    fn until_held(engine: &Engine, is_held: bool) {
        let begin = Instant::now();
        while (Arc::strong_count(&engine.now.lock().unwrap()) > 1) != is_held {
            assert!(begin.elapsed() < LONG, "whether it is held stays {}", !is_held);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_the_engine_lets_go_is_dropped_by_the_thread() {
        let engine = Engine::new();
        let remains = Remains::default();
        remains.look_after(|| engine.look());
        for number in 0..3 {
            until_held(&engine, true);
            drop(engine.replace());
            remains.look_after(|| unreachable!("it was looked before"));
            assert_eq!(engine.dropped.recv_timeout(LONG), Ok((number, Some("annals-remains".to_owned()))));
        }
    }

    #[test]
    fn when_nothing_is_written_nothing_is_held_until_something_is() {
        let engine = Engine::new();
        let remains = Remains::default();
        for _ in 0..2 {
            remains.look_after(|| engine.look());
            until_held(&engine, true);
            until_held(&engine, false);
        }
    }

    #[test]
    fn nothing_is_held_behind_the_end() {
        let engine = Engine::new();
        let remains = Remains::default();
        remains.look_after(|| engine.look());
        until_held(&engine, true);
        drop(remains);
        assert_eq!(Arc::strong_count(&engine.now.lock().unwrap()), 1);
    }

    #[test]
    fn so_much_is_held() {
        let engine = Engine::new();
        let look = engine.look();
        let mut holding = Holding::default();
        let mut used = Vec::new();
        for _ in 0..=HELD_MAX {
            holding.look(&look);
            used.push(engine.replace());
        }
        assert!(used.iter().all(|probe| Arc::strong_count(probe) == 2), "they are held, since others use them");
        holding.look(&look);
        assert_eq!(Arc::strong_count(&used[0]), 1, "one too many");
        assert!(used[1..].iter().all(|probe| Arc::strong_count(probe) == 2));
        assert!(engine.dropped.try_recv().is_err(), "others use them");
    }
}
