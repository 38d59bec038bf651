//! Whatever runtime there is, or none.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use annals::journal::{MemoryJournal, ReadError};
use annals::prelude::*;
use annals::{CallError, DeleteError, OpenError, ReplayError, StartError};
use annals_tests::{Account, Diary, Lease, LeaseState};
use tokio::runtime::Runtime;

use super::others_go_on;
use crate::until;

/// Wakes a thread.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls a future to its end without any runtime.
fn without_runtime<F: Future>(future: F) -> F::Output {
    assert!(tokio::runtime::Handle::try_current().is_err(), "there is a runtime here");
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        std::thread::park_timeout(Duration::from_secs(60));
    }
}

/// Some of everything.
async fn some_of_everything() {
    let journal = MemoryJournal::new();
    let system = System::builder().shards(3).start(journal.clone()).unwrap();
    let calls: Vec<_> =
        (0..300_u64).map(|call| tokio::spawn(system.get::<Account>(format!("{}", call % 10)).deposit(1))).collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    system.get::<Account>("0").crash().await.unwrap_err();
    system.get::<Account>("0").curse().await.unwrap_err();
    assert_eq!(system.get::<Account>("0").within_a_minute().await, 30);
    assert_eq!(system.replay::<Account>("1").await.unwrap().data().balance(), 30);
    system.delete::<Account>("1").await.unwrap();
    others_go_on(&system).await;
    system.shutdown().await.unwrap();
}

trait WithinAMinute {
    async fn within_a_minute(&self) -> u64;
}

impl WithinAMinute for annals_tests::AccountRef {
    async fn within_a_minute(&self) -> u64 {
        self.balance().within(Duration::from_secs(60)).await.unwrap()
    }
}

#[test]
fn a_runtime_with_one_thread_and_one_with_several() {
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    one.block_on(some_of_everything());
    for threads in [1, 4] {
        let many = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
        many.block_on(some_of_everything());
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_whose_time_is_paused() {
    some_of_everything().await;
}

#[test]
fn without_a_runtime_nothing_starts_and_the_error_says_why() {
    let error = System::builder().start(MemoryJournal::new()).unwrap_err();
    assert_eq!(error, StartError::NoRuntime);
    assert!(error.to_string().contains("no tokio runtime here"), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let error = without_runtime(System::open(directory.path().join("store"))).unwrap_err();
    assert!(matches!(error, OpenError::Start(StartError::NoRuntime)), "{error:?}");
}

#[test]
fn a_system_answers_and_ends_also_for_those_outside_of_its_runtime() {
    let runtime = Runtime::new().unwrap();
    let system = runtime.block_on(async { System::builder().start(MemoryJournal::new()).unwrap() });
    let alice = system.get::<Account>("alice");
    assert_eq!(without_runtime(alice.deposit(1)).unwrap(), 1);
    without_runtime(alice.deposit(1).tell()).unwrap();
    assert_eq!(without_runtime(alice.balance()).unwrap(), 2);
    assert_eq!(
        without_runtime(system.retry(&annals::PersistenceId::new("A", "b"))).unwrap(),
        annals::Retried::UnknownAggregate
    );
    assert_eq!(system.quarantined(), []);
    without_runtime(system.shutdown()).unwrap();
    let error = without_runtime(alice.deposit(1)).unwrap_err();
    assert!(matches!(error, CallError::Stopped { .. }), "{error:?}");
}

#[test]
fn what_reads_the_journal_works_outside_of_the_runtime_too() {
    let runtime = Runtime::new().unwrap();
    let system = runtime.block_on(async {
        let builder = System::builder().provide(Arc::<Diary>::default());
        builder.start(MemoryJournal::new()).unwrap()
    });
    let mut transitions = system.transitions::<Lease>();
    without_runtime(system.get::<Lease>("car").take()).unwrap();
    let transition = without_runtime(transitions.next()).unwrap().unwrap();
    assert_eq!((transition.from, transition.to), (LeaseState::Free, LeaseState::Held));

    assert_eq!(without_runtime(system.get::<Account>("alice").deposit(1)).unwrap(), 1);
    assert_eq!(without_runtime(system.replay::<Account>("alice").into_future()).unwrap().data().balance(), 1);
    let mut steps = system.replay::<Account>("alice").steps();
    assert!(without_runtime(steps.next()).unwrap().is_some());
    without_runtime(system.delete::<Account>("alice")).unwrap();
    without_runtime(system.get::<Secret>("bob").tell_it()).unwrap();
    without_runtime(system.forget::<Secret>("bob")).unwrap();

    drop(runtime);
    let error = without_runtime(system.replay::<Account>("alice").into_future()).unwrap_err();
    assert!(matches!(error, ReplayError::Read { error: ReadError::Closed, .. }), "{error:?}");
    let error = without_runtime(system.delete::<Account>("alice")).unwrap_err();
    assert!(matches!(error, DeleteError::Call(CallError::Stopped { .. })), "{error:?}");
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Secret;

#[aggregate(forgettable)]
impl Secret {
    #[event]
    fn told(&mut self) {}

    #[command]
    fn tell_it(&self) -> Step {
        applying(SecretEvent::Told)
    }
}

static BARRIER: Barrier = Barrier::new(2);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Odd;

#[aggregate]
impl Odd {
    #[event]
    fn was_odd(&mut self) {}

    #[command]
    fn be_odd(&self) -> Step {
        applying(OddEvent::WasOdd)
    }

    /// Blocks its thread until somebody else waits, too.
    #[command]
    fn block(&self) -> Step {
        BARRIER.wait();
        stay()
    }

    /// Makes a runtime and drops it, where that may not be.
    #[command]
    fn drop_a_runtime(&self) -> Step {
        drop(Runtime::new().unwrap());
        stay()
    }

    /// Starts a task of its own.
    #[command]
    fn spawn(&self) -> Step {
        drop(tokio::spawn(async { panic!("a task of its own") }));
        stay()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_holds_up_its_own_shard_alone() {
    let system = System::builder().shards(64).start(MemoryJournal::new()).unwrap();
    let blocked = tokio::spawn(system.get::<Odd>("blocks").block());
    // Of some entities one at the most is in the same of 64 shards.
    let mut others = Vec::new();
    for other in 0..8 {
        let account = system.get::<Account>(format!("{other}"));
        others.push(tokio::spawn(async move {
            for _ in 0..50 {
                account.deposit(1).await.unwrap();
            }
        }));
    }
    until("the others are done", || others.iter().filter(|other| other.is_finished()).count() >= 7).await;
    assert!(!blocked.is_finished());
    tokio::task::spawn_blocking(|| BARRIER.wait()).await.unwrap();
    blocked.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap();
    }
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_handler_that_misuses_the_runtime_fails_alone() {
    let system = System::builder().shards(1).start(MemoryJournal::new()).unwrap();
    let odd = system.get::<Odd>("o");
    let error = odd.drop_a_runtime().await.unwrap_err();
    assert!(matches!(error, CallError::Panicked { command: "drop_a_runtime", .. }), "{error:?}");
    odd.spawn().await.unwrap();
    others_go_on(&system).await;
    system.shutdown().await.unwrap();
    let error = odd.spawn().await.unwrap_err();
    assert!(matches!(error, CallError::Stopped { .. }), "{error:?}");
}
