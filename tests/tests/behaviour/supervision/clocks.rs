//! A clock of the user's that panics, or is set back.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use annals::testing::ManualClock;
use annals::{CallError, Clock, Timestamp};
use annals_tests::{Account, Diary, Lease};

use super::{epoch, others_go_on, quarantined, started, tight};
use crate::until;

/// Panics while it is broken.
#[derive(Clone)]
struct Brittle {
    clock: ManualClock,
    broken: Arc<AtomicBool>,
}

impl Clock for Brittle {
    fn now(&self) -> Timestamp {
        assert!(!self.broken.load(Ordering::SeqCst), "the spring broke");
        self.clock.now()
    }

    fn sleep_until(&self, time: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        assert!(!self.broken.load(Ordering::SeqCst), "the spring broke");
        self.clock.sleep_until(time)
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_panics_refuses_each_step_and_harms_no_shard_nor_deadline() {
    let (clock, broken, diary) = (epoch(), Arc::new(AtomicBool::new(false)), Arc::new(Diary::default()));
    let builder = tight(&clock).clock(Brittle { clock: clock.clone(), broken: broken.clone() });
    let (system, _) = started(builder.provide(diary.clone()).register::<Lease>());
    let (alice, car) = (system.get::<Account>("alice"), system.get::<Lease>("car"));
    alice.deposit(1).await.unwrap();
    car.take_for(Duration::from_secs(5)).await.unwrap();

    broken.store(true, Ordering::SeqCst);
    clock.advance(Duration::from_secs(6));
    for _ in 0..20 {
        let error = alice.deposit(1).or_overloaded().await.unwrap_err();
        let CallError::Panicked { command: "deposit", message, .. } = error else { panic!("{error:?}") };
        assert_eq!(&*message, "the clock panicked: the spring broke");
    }
    // Nobody is woken meanwhile, and who wants to end can't.
    let error = system.delete::<Account>("alice").await.unwrap_err();
    assert!(error.to_string().contains("the spring broke"), "{error}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!diary.lines().contains(&"car ran out".to_owned()));

    broken.store(false, Ordering::SeqCst);
    assert_eq!(alice.balance().await.unwrap(), 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    until("the deadline is handled", || diary.lines().contains(&"car ran out".to_owned())).await;
    others_go_on(&system).await;
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_pause_ends_when_the_clock_was_set_back() {
    let clock = epoch();
    let (system, journal) = started(tight(&clock));
    let alice = system.get::<Account>("alice");
    clock.advance(Duration::from_secs(3600));
    journal.faults().fail_reads(annals::journal::ReadError::Engine { what: "a row".into(), error: "gone".into() });
    alice.balance().await.unwrap_err();
    journal.faults().heal_reads();
    quarantined(alice.balance().await.unwrap_err());
    clock.set(Timestamp::UNIX_EPOCH);
    assert_eq!(alice.deposit(1).await.unwrap(), 1, "it would be an hour");
}
