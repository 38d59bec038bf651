//! The thread that syncs the head behind the commits, so that no commit waits for a second sync.

use std::fs::File;
use std::time::{Duration, Instant};

use crate::journal::lock;
use crate::sync::thread::JoinHandle;
use crate::sync::{Arc, Condvar, Mutex, PoisonError};

/// The longest time from a write to its sync.
const BEHIND_MAX: Duration = Duration::from_millis(100);
/// How long after the last write there is a sync.
const QUIET: Duration = Duration::from_millis(10);
/// In so many parts is the time for a sync counted.
const TICKS: u32 = 4;

#[derive(Default)]
struct State {
    /// The first and the last write that aren't synced.
    unsynced: Option<(Instant, Instant)>,
    /// Since when a sync is going on.
    syncing: Option<Instant>,
    /// When it was first seen to take too long.
    late: Option<Instant>,
    /// Whether somebody waits for the sync of what is written.
    hurries: bool,
    stop: bool,
    failed: Option<String>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Syncs a file within [`BEHIND_MAX`] of each write.
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(super) fn start(file: File) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = crate::sync::thread::Builder::new().name("annals-head".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(&file)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Ends the thread, and tells what went wrong with a sync, if anything did. What isn't synced yet is left so.
    pub(super) fn stop(mut self) -> Result<(), String> {
        self.join();
        lock(&self.shared.state).failed.take().map_or(Ok(()), Err)
    }

    fn join(&mut self) {
        lock(&self.shared.state).stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It can't panic; and if it did, there would be nothing left to do.
            let _result = thread.join();
        }
    }

    /// Whether all that was written is synced.
    pub(super) fn is_idle(&self) -> bool {
        let state = lock(&self.shared.state);
        state.unsynced.is_none() && state.syncing.is_none() && state.failed.is_none()
    }

    /// Waits until all that was written is synced, and nothing is being synced any more. Tells what went wrong with a sync,
    /// if anything did, or if it isn't back `within` that time and a quarter more.
    pub(super) fn finish(&self, within: Duration) -> Result<(), String> {
        let mut state = lock(&self.shared.state);
        let mut ticks = 0;
        while state.failed.is_none() && (state.unsynced.is_some() || state.syncing.is_some()) {
            // If the whole process stands still, so does this.
            if ticks > TICKS {
                state.failed = Some(not_back(within));
                break;
            }
            state.hurries = true;
            self.shared.changed.notify_all();
            let (after, waited) =
                self.shared.changed.wait_timeout(state, within / TICKS).unwrap_or_else(PoisonError::into_inner);
            state = after;
            ticks += u32::from(waited.timed_out());
        }
        state.hurries = false;
        state.failed.clone().map_or(Ok(()), Err)
    }

    /// Says that the file was written; what went wrong with an earlier sync, if anything did, or if it isn't back `within`
    /// that time and a quarter more.
    pub(super) fn written(&self, within: Duration) -> Result<(), String> {
        let mut state = lock(&self.shared.state);
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let now = Instant::now();
        // It is seen twice: the time goes on where the whole process stands still, and so does the sync once it doesn't.
        if state.syncing.is_some_and(|since| now.duration_since(since) > within)
            && now.duration_since(*state.late.get_or_insert(now)) > within / TICKS
        {
            let error = not_back(within);
            state.failed = Some(error.clone());
            return Err(error);
        }
        match &mut state.unsynced {
            Some((_, last)) => *last = now,
            None => {
                state.unsynced = Some((now, now));
                self.shared.changed.notify_all();
            }
        }
        Ok(())
    }
}

fn not_back(within: Duration) -> String {
    format!("its sync wasn't back within {} ms", within.as_millis())
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.join();
    }
}

impl Shared {
    fn run(&self, file: &File) {
        let mut state = lock(&self.state);
        while !state.stop {
            let now = Instant::now();
            let hurries = state.hurries;
            let due =
                state.unsynced.map(|(first, last)| if hurries { now } else { (first + BEHIND_MAX).min(last + QUIET) });
            match due {
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(due) if due > now => {
                    let waited = self.changed.wait_timeout(state, due - now);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Some(_) => {
                    state.unsynced = None;
                    state.syncing = Some(now);
                    drop(state);
                    let synced = file.sync_data();
                    state = lock(&self.state);
                    (state.syncing, state.late) = (None, None);
                    self.changed.notify_all();
                    if let Err(error) = synced {
                        crate::log::error!(%error, "the head can't be synced: the journal takes no more writes");
                        state.failed = Some(format!("the head can't be synced: {error}"));
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_takes_too_long_is_given_up_at_the_second_look() {
        let shared = Arc::new(Shared::default());
        let syncer = Syncer { shared: Arc::clone(&shared), thread: None };
        let within = Duration::from_secs(8);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(9)).unwrap();
        lock(&shared.state).syncing = Some(long_ago);
        assert_eq!(syncer.written(within), Ok(()), "the process may have stood still");
        assert_eq!(syncer.written(within), Ok(()));
        lock(&shared.state).late = Some(long_ago);
        assert_eq!(syncer.written(within), Err("its sync wasn't back within 8000 ms".to_owned()));
        assert!(syncer.finish(within).is_err());
    }

    #[test]
    fn who_waits_for_the_sync_finds_it_done_or_is_told_that_it_is_not_back() {
        let file = tempfile::tempfile().unwrap();
        let syncer = Syncer::start(file).unwrap();
        for _ in 0..3 {
            syncer.written(Duration::from_secs(60)).unwrap();
            syncer.finish(Duration::from_secs(60)).unwrap();
            assert!(syncer.is_idle());
        }
        let stuck = Syncer { shared: Arc::default(), thread: None };
        lock(&stuck.shared.state).syncing = Some(Instant::now());
        assert_eq!(stuck.finish(Duration::from_millis(4)), Err("its sync wasn't back within 4 ms".to_owned()));
    }
}
