//! The thread that syncs the head behind the commits, so that no commit waits for a second sync.

use std::fs::File;
use std::time::{Duration, Instant};

use crate::journal::lock;
use crate::sync::thread::JoinHandle;
use crate::sync::{Arc, Condvar, Mutex};

/// The longest time from a write to its sync.
const BEHIND_MAX: Duration = Duration::from_millis(100);
/// How long after the last write there is a sync.
const QUIET: Duration = Duration::from_millis(10);

#[derive(Default)]
struct State {
    /// The first and the last write that aren't synced.
    unsynced: Option<(Instant, Instant)>,
    /// Since when a sync is going on.
    syncing: Option<Instant>,
    /// When it was first seen to take too long.
    late: Option<Instant>,
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
        self.shared.changed.notify_one();
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

    /// Whether a sync has failed, or isn't back. What it was to write may be lost, and another sync wouldn't tell.
    pub(super) fn has_failed(&self) -> bool {
        lock(&self.shared.state).failed.is_some()
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
            && now.duration_since(*state.late.get_or_insert(now)) > within / 4
        {
            let error = format!("its sync wasn't back within {} ms", within.as_millis());
            state.failed = Some(error.clone());
            return Err(error);
        }
        match &mut state.unsynced {
            Some((_, last)) => *last = now,
            None => {
                state.unsynced = Some((now, now));
                self.shared.changed.notify_one();
            }
        }
        Ok(())
    }
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
            let due = state.unsynced.map(|(first, last)| (first + BEHIND_MAX).min(last + QUIET));
            let now = Instant::now();
            match due {
                None => state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner),
                Some(due) if due > now => {
                    let waited = self.changed.wait_timeout(state, due - now);
                    state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
                }
                Some(_) => {
                    state.unsynced = None;
                    state.syncing = Some(now);
                    drop(state);
                    let synced = file.sync_data();
                    state = lock(&self.state);
                    (state.syncing, state.late) = (None, None);
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
        assert!(syncer.has_failed());
    }
}
