//! Answers that wait for the disk when their messages are gone: who may leave meanwhile, and what becomes of them.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use annals::journal::{MemoryJournal, Why};
use annals::prelude::*;
use annals::{Call, ShutdownError};
use annals_tests::Account;
use tokio::task::JoinHandle;

use crate::until;

/// How many parcels were dropped.
#[derive(Debug, Default)]
struct Drops(AtomicU64);

// Commands are compared with what is in them.
impl PartialEq for Drops {
    fn eq(&self, other: &Self) -> bool {
        self.count() == other.count()
    }
}

impl Drops {
    fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What is replied: it can be sent to another thread, and not shared with one.
#[derive(Debug)]
struct Parcel {
    drops: Arc<Drops>,
    explosive: bool,
    opened: Cell<bool>,
}

impl Parcel {
    fn new(drops: Arc<Drops>, explosive: bool) -> Self {
        Self { drops, explosive, opened: Cell::new(false) }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.drops.0.fetch_add(1, Ordering::SeqCst);
        assert!(!self.explosive || std::thread::panicking(), "the parcel went off");
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Depot {
    sent: u64,
}

#[aggregate]
impl Depot {
    #[event]
    fn was_sent(&mut self) {
        self.sent += 1;
    }

    /// Stores, and replies with a parcel.
    #[command]
    fn hand_out(&self, drops: Arc<Drops>, explosive: bool) -> Step<Parcel> {
        applying(DepotEvent::WasSent).replying(Parcel::new(drops, explosive))
    }

    /// Stores nothing, and replies with a parcel.
    #[command]
    fn show(&self, drops: Arc<Drops>, explosive: bool) -> Step<Parcel> {
        stay().replying(Parcel::new(drops, explosive))
    }

    /// Refuses with a parcel.
    #[command]
    fn keep(&self, drops: Arc<Drops>, explosive: bool) -> Result<Step<Parcel>, Parcel> {
        Err(Parcel::new(drops, explosive))
    }

    #[query]
    fn sent(&self) -> u64 {
        self.sent
    }
}

fn one_shard() -> (System, MemoryJournal) {
    let journal = MemoryJournal::new();
    let builder = System::builder().shards(1).shutdown_within(Duration::from_millis(100));
    (builder.start(journal.clone()).unwrap(), journal)
}

/// What a caller was told, in a word. A parcel that comes is opened and dropped.
async fn told<E>(call: impl Future<Output = Result<Parcel, CallError<E>>>) -> &'static str {
    match call.await {
        Ok(parcel) => {
            parcel.opened.set(true);
            "a parcel"
        }
        Err(CallError::Refused(_)) => "no",
        Err(CallError::NotStored { .. }) => "not stored",
        Err(CallError::Unknown { .. }) => "unknown",
        Err(CallError::Stopped { .. }) => "stopped",
        Err(_) => "something else",
    }
}

/// Has three parcels laid ready: a reply to what is stored, and behind it a reply and a refusal of what isn't.
async fn laid(
    system: &System,
    journal: &MemoryJournal,
    explosive: bool,
) -> (Arc<Drops>, [JoinHandle<&'static str>; 3]) {
    let (depot, drops) = (system.get::<Depot>("d"), Arc::new(Drops::default()));
    journal.faults().hold();
    let out = tokio::spawn(told(depot.hand_out(drops.clone(), explosive)));
    until("it is with the journal", || journal.faults().held() == 1).await;
    let shown = tokio::spawn(told(depot.show(drops.clone(), explosive)));
    let kept = tokio::spawn(told(depot.keep(drops.clone(), explosive)));
    until("all are handled", || system.stats().commands == 3).await;
    assert_eq!(drops.count(), 0);
    (drops, [out, shown, kept])
}

async fn all_told(callers: [JoinHandle<&'static str>; 3]) -> [&'static str; 3] {
    let [out, shown, kept] = callers;
    [out.await.unwrap(), shown.await.unwrap(), kept.await.unwrap()]
}

/// The shard still works: another of its entities answers.
async fn another_goes_on(system: &System) {
    assert_eq!(system.get::<Account>("other").deposit(1).await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_laid_ready_comes_when_it_is_durable() {
    let (system, journal) = one_shard();
    let (drops, callers) = laid(&system, &journal, false).await;
    assert!(!callers.iter().any(JoinHandle::is_finished));
    journal.faults().release();
    assert_eq!(all_told(callers).await, ["a parcel", "a parcel", "no"]);
    assert_eq!(drops.count(), 3);
}

#[tokio::test]
async fn who_asks_again_is_told_nothing_before_it_is_durable() {
    let (system, journal) = one_shard();
    let (depot, drops) = (system.get::<Depot>("d"), Arc::new(Drops::default()));
    journal.faults().hold();
    let mut out = depot.hand_out(drops.clone(), false);
    let mut shown = depot.show(drops.clone(), false);
    let mut kept = depot.keep(drops.clone(), false);
    for handled in [0, 3] {
        until("all are handled", || system.stats().commands == handled).await;
        assert!(is_pending(&mut out, Waker::noop()), "a reply that isn't durable");
        assert!(is_pending(&mut shown, Waker::noop()), "a reply of what isn't durable");
        assert!(is_pending(&mut kept, Waker::noop()), "a refusal of what isn't durable");
    }
    journal.faults().release();
    assert_eq!((told(out).await, told(shown).await, told(kept).await), ("a parcel", "a parcel", "no"));
}

#[tokio::test]
async fn what_is_laid_ready_and_lost_is_dropped_where_its_panic_harms_nobody() {
    let (system, journal) = one_shard();
    journal.faults().refuse_next(Why::QueueFull { bytes: 2, limit: 1 });
    let (drops, callers) = laid(&system, &journal, true).await;
    journal.faults().release();
    assert_eq!(all_told(callers).await, ["not stored"; 3]);
    assert_eq!(drops.count(), 3);
    assert_eq!(system.get::<Depot>("d").sent().await.unwrap(), 0);
    another_goes_on(&system).await;
}

#[tokio::test]
async fn who_leaves_while_it_is_laid_ready_takes_it_along() {
    for explosive in [false, true] {
        let (system, journal) = one_shard();
        let (drops, callers) = laid(&system, &journal, explosive).await;
        for caller in callers {
            caller.abort();
            assert!(caller.await.is_err());
        }
        assert_eq!(drops.count(), 3, "nobody waits for them");
        assert_eq!(journal.faults().held(), 1);
        journal.faults().release();
        assert_eq!(system.get::<Depot>("d").sent().await.unwrap(), 1);
        another_goes_on(&system).await;
        assert_eq!(drops.count(), 3);
    }
}

#[tokio::test]
async fn who_left_before_is_laid_nothing() {
    let (system, journal) = one_shard();
    let (depot, drops) = (system.get::<Depot>("d"), Arc::new(Drops::default()));
    journal.faults().hold();
    depot.hand_out(drops.clone(), true).tell().await.unwrap();
    depot.show(drops.clone(), true).tell().await.unwrap();
    depot.keep(drops.clone(), true).tell().await.unwrap();
    until("all are handled", || system.stats().commands == 3).await;
    assert_eq!(drops.count(), 3, "they wait for nobody");
    journal.faults().release();
    assert_eq!(depot.sent().await.unwrap(), 1);
    another_goes_on(&system).await;
}

#[tokio::test]
async fn what_is_laid_ready_when_the_time_of_a_shutdown_is_over_is_dropped() {
    let (system, journal) = one_shard();
    let (drops, callers) = laid(&system, &journal, true).await;
    let (shutdown, ()) = tokio::join!(system.shutdown(), async {
        until("all are told", || callers.iter().all(JoinHandle::is_finished)).await;
        journal.faults().release();
    });
    assert_eq!(shutdown, Err(ShutdownError::TimeOver { within: Duration::from_millis(100) }));
    assert_eq!(all_told(callers).await, ["unknown", "stopped", "stopped"]);
    assert_eq!(drops.count(), 3);
}

#[test]
fn what_is_laid_ready_when_the_runtime_is_dropped_leaves_nobody_waiting() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (system, journal) = runtime.block_on(async { one_shard() });
    let (depot, drops) = (system.get::<Depot>("d"), Arc::new(Drops::default()));
    journal.faults().hold();
    let mut out = depot.hand_out(drops.clone(), true);
    let mut shown = depot.show(drops.clone(), true);
    runtime.block_on(async {
        assert!(is_pending(&mut out, Waker::noop()));
        assert!(is_pending(&mut shown, Waker::noop()));
        until("both are handled", || system.stats().commands == 2).await;
    });
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for call in [out, shown] {
        let error = other.block_on(call).unwrap_err();
        assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
    }
    assert_eq!(drops.count(), 2);
}

fn is_pending<R, E>(call: &mut Call<R, E>, waker: &Waker) -> bool {
    Pin::new(call).poll(&mut Context::from_waker(waker)).is_pending()
}

/// Panics when it is woken.
struct Sleepy;

impl Wake for Sleepy {
    fn wake(self: Arc<Self>) {
        panic!("let me sleep");
    }
}

#[tokio::test]
async fn a_waker_that_panics_harms_nobody_else() {
    let (system, journal) = one_shard();
    let (alice, waker) = (system.get::<Account>("alice"), Waker::from(Arc::new(Sleepy)));
    journal.faults().hold();
    let mut deposit = alice.deposit(1);
    assert!(is_pending(&mut deposit, &waker));
    until("it is with the journal", || journal.faults().held() == 1).await;
    let (mut crash, mut balance) = (alice.crash(), alice.balance());
    assert!(is_pending(&mut crash, &waker) && is_pending(&mut balance, &waker));
    until("all are handled", || system.stats().commands == 3).await;
    journal.faults().release();
    another_goes_on(&system).await;
    assert_eq!(deposit.await.unwrap(), 1);
    assert!(matches!(crash.await.unwrap_err(), CallError::Panicked { .. }));
    assert_eq!(balance.await.unwrap(), 1);
}
