//! The answers of a large group leave some at a time, so that those who hear them go on in between.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use annals::journal::MemoryJournal;
use annals::prelude::*;
use annals_tests::Account;
use tokio::task::yield_now;

const CALLERS: usize = 1_000;
/// A group has more runs than that.
const AT_A_TIME_MAX: usize = 128;
/// Nothing happens by itself for longer.
const QUIET: usize = 200;

/// How many callers were woken.
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn callers_go_on_between_the_answers_of_one_group() {
    let journal = MemoryJournal::new();
    let system = System::builder().shards(1).inline_blocking().start(journal.clone()).unwrap();
    let accounts: Vec<_> = (0..CALLERS).map(|caller| system.get::<Account>(format!("{caller}"))).collect();
    for account in &accounts {
        account.deposit(1).await.unwrap();
    }
    journal.faults().hold();
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(woken.clone());
    let mut calls: Vec<_> = accounts.iter().map(|account| account.deposit(1)).collect();
    for call in &mut calls {
        assert!(Pin::new(call).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    for _ in 0..QUIET {
        yield_now().await;
    }
    journal.faults().release();
    let (mut before, mut most) = (0, 0);
    while before < CALLERS {
        yield_now().await;
        let now = woken.0.load(Ordering::Relaxed);
        most = most.max(now - before);
        before = now;
    }
    assert!(most <= AT_A_TIME_MAX, "{most} at a time");
    for call in calls {
        call.await.unwrap();
    }
    system.shutdown().await.unwrap();
}
