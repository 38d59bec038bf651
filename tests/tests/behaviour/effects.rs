//! Effects run once a step is durable: in order, at most once, never on recovery.

use std::sync::{Arc, Mutex};

use annals::journal::MemoryJournal;
use annals::prelude::*;
use annals::testing::given;

use crate::until;

/// Writes down what it is told.
#[derive(Debug, Default)]
struct Porter(Mutex<Vec<String>>);

impl Porter {
    fn report(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    fn reports(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Door {
    opened: u64,
}

#[aggregate(services = Arc<Porter>)]
impl Door {
    #[event]
    fn was_opened(&mut self) {
        self.opened += 1;
    }

    #[command]
    fn open(&self) -> Step<u64> {
        let opened = self.opened + 1;
        applying(DoorEvent::WasOpened)
            .and_then(move |fx| fx.services().report(format!("opened {opened}")))
            .replying(opened)
    }

    /// Has one effect that panics between two that don't.
    #[command]
    fn slam(&self) -> Step {
        stay()
            .and_then(|fx| fx.services().report("one"))
            .and_then(|_| panic!("the frame broke"))
            .and_then(|fx| fx.services().report("three"))
    }

    #[command]
    fn linger(&self) -> Step {
        stay().and_then(|fx| fx.spawn(std::future::pending()))
    }

    /// Opens itself again, from an effect.
    #[command]
    fn bounce(&self) -> Step {
        stay().and_then(|fx| {
            let (this, porter) = (fx.this(), fx.services().clone());
            fx.spawn(async move {
                let opened = this.open().await.unwrap();
                porter.report(format!("bounced {opened}"));
            });
        })
    }

    /// Opens the other doors of a row, one after the other, each from an effect of the one before.
    #[command]
    fn open_row(&self, cx: &Context<Self>, doors: u64) -> Step {
        let number: u64 = cx.id().as_str().parse().unwrap();
        applying(DoorEvent::WasOpened).and_then(move |fx| {
            if number < doors {
                let next = fx.get::<Door>(format!("{}", number + 1));
                fx.spawn(async move { next.open_row(doors).await.unwrap() });
            }
        })
    }

    #[query]
    fn opened(&self) -> u64 {
        self.opened
    }
}

fn system() -> (System, MemoryJournal, Arc<Porter>) {
    let (journal, porter) = (MemoryJournal::new(), Arc::new(Porter::default()));
    let system = System::builder().provide(porter.clone()).start(journal.clone()).unwrap();
    (system, journal, porter)
}

#[tokio::test]
async fn effects_wait_for_the_write() {
    let (system, journal, porter) = system();
    let door = system.get::<Door>("front");
    journal.faults().hold();
    let open = tokio::spawn(door.open());
    until("it is with the journal", || journal.faults().held() == 1).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(porter.reports().is_empty(), "an effect ran before its step was durable");
    journal.faults().release();
    open.await.unwrap().unwrap();
    until("the effect ran", || porter.reports() == ["opened 1"]).await;
}

#[tokio::test]
async fn effects_of_an_entity_run_in_order_even_when_their_queue_is_full() {
    let (system, _, porter) = system();
    let door = system.get::<Door>("front");
    let opens: Vec<_> = (0..5000).map(|_| tokio::spawn(door.open())).collect();
    for open in opens {
        open.await.unwrap().unwrap();
    }
    system.shutdown().await.unwrap();
    let expected: Vec<_> = (1..=5000).map(|number| format!("opened {number}")).collect();
    assert_eq!(porter.reports(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_overtakes_while_the_queue_is_emptied_at_the_same_time() {
    for _ in 0..5 {
        let (system, journal, porter) = system();
        let door = system.get::<Door>("front");
        // All are answered at once, more than the queue takes.
        journal.faults().hold();
        let opens: Vec<_> = (0..4000).map(|_| tokio::spawn(door.open())).collect();
        until("all are handled", || system.stats().commands == 4000).await;
        journal.faults().release();
        for open in opens {
            open.await.unwrap().unwrap();
        }
        system.shutdown().await.unwrap();
        let expected: Vec<_> = (1..=4000).map(|number| format!("opened {number}")).collect();
        assert!(porter.reports() == expected, "the effects ran in another order than their steps");
    }
}

#[tokio::test]
async fn a_panic_in_an_effect_harms_nothing_else() {
    let (system, _, porter) = system();
    let door = system.get::<Door>("front");
    door.slam().await.unwrap();
    until("the others ran", || porter.reports() == ["one", "three"]).await;
    assert_eq!(door.open().await.unwrap(), 1);
}

#[tokio::test]
async fn a_spawned_future_may_call_its_own_entity_and_is_awaited_at_shutdown() {
    let (system, _, porter) = system();
    system.get::<Door>("front").bounce().await.unwrap();
    until("it has bounced", || !porter.reports().is_empty()).await;
    system.shutdown().await.unwrap();
    until("its report came", || porter.reports().contains(&"bounced 1".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_finishes_what_effects_have_begun_and_their_effects() {
    for _ in 0..20 {
        let (system, journal, porter) = system();
        system.get::<Door>("1").open_row(50).tell().await.unwrap();
        let outside = system.get::<Door>("outside");
        system.shutdown().await.unwrap();
        assert!(matches!(outside.open().await.unwrap_err(), CallError::Stopped { .. }));
        let system = System::builder().provide(porter).start(journal.reopen()).unwrap();
        for number in 1..=50 {
            assert_eq!(system.get::<Door>(format!("{number}")).opened().await.unwrap(), 1, "door {number}");
        }
    }
}

#[tokio::test]
async fn a_dropped_system_finishes_what_effects_have_begun() {
    let (system, journal, porter) = system();
    system.get::<Door>("1").open_row(10).await.unwrap();
    drop(system);
    until("all doors were opened", || journal.faults().appended().runs == 10).await;
    let system = System::builder().provide(porter).start(journal.reopen()).unwrap();
    assert_eq!(system.get::<Door>("10").opened().await.unwrap(), 1);
}

#[tokio::test]
async fn an_effect_that_never_ends_is_given_up_with_the_time_of_the_shutdown() {
    let (journal, porter) = (MemoryJournal::new(), Arc::new(Porter::default()));
    let within = std::time::Duration::from_millis(100);
    let system = System::builder().provide(porter).shutdown_within(within).start(journal.clone()).unwrap();
    system.get::<Door>("1").linger().await.unwrap();
    assert_eq!(system.shutdown().await.unwrap_err(), annals::ShutdownError::TimeOver { within });
}

#[tokio::test]
async fn effects_are_not_run_again_on_recovery() {
    let (system, journal, porter) = system();
    system.get::<Door>("front").open().await.unwrap();
    system.shutdown().await.unwrap();
    assert_eq!(porter.reports(), ["opened 1"]);
    let system = System::builder().provide(porter.clone()).start(journal.reopen()).unwrap();
    assert_eq!(system.get::<Door>("front").opened().await.unwrap(), 1);
    system.shutdown().await.unwrap();
    assert_eq!(porter.reports(), ["opened 1"]);
}

#[tokio::test]
async fn the_effects_of_a_lost_write_never_run() {
    let (system, journal, porter) = system();
    journal.faults().fail_next(annals::testing::UnknownRun::Lost);
    system.get::<Door>("front").open().await.unwrap_err();
    system.shutdown().await.unwrap_err();
    assert!(porter.reports().is_empty());
}

#[test]
fn a_test_gives_fakes() {
    let porter = Arc::new(Porter::default());
    let door = given::<Door>([]).with_services(porter.clone());
    door.when(|door| door.open()).then_events(DoorEvent::WasOpened).then_reply(1_u64);
    assert_eq!(porter.reports(), ["opened 1"]);
}

#[test]
#[should_panic(expected = "no services were given")]
fn a_test_that_forgets_them_is_told() {
    given::<Door>([]).when(|door| door.open()).then_ok();
}

#[tokio::test]
#[should_panic(expected = "give them with `System::builder().provide(..)`")]
async fn a_system_that_lacks_them_says_so_at_once() {
    System::builder().start(MemoryJournal::new()).unwrap().get::<Door>("front");
}
