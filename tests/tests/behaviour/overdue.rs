//! Deadlines that are over before anybody rang: what the next message finds, and what another version makes of them.

use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::journal::{Journal as _, MemoryJournal, Why};
use annals::prelude::*;
use annals::testing::ManualClock;
use annals::{Clock, Offset, SeqNr, Timestamp};
use annals_tests::{Account, Lease, LeaseState, Mood};

use crate::errors::{Bend, Bent};
use crate::until;
use crate::world::{World, builder, yield_often};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A clock that wakes nobody.
#[derive(Clone)]
struct Deaf {
    clock: ManualClock,
    /// Until when somebody sleeps.
    sleeps: Arc<Mutex<Option<Timestamp>>>,
}

impl Deaf {
    fn new(clock: &ManualClock) -> Self {
        Self { clock: clock.clone(), sleeps: Arc::default() }
    }

    /// Lets this time pass. Whoever rings deadlines must sleep until it is over, or he would see by himself that it is.
    async fn pass_asleep(&self, time: Duration) {
        let over = self.clock.now() + time;
        until("it is slept until then", || *self.sleeps.lock().unwrap() == Some(over)).await;
        self.clock.advance(time);
    }
}

impl Clock for Deaf {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn sleep_until(&self, time: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        *self.sleeps.lock().unwrap() = Some(time);
        Box::pin(pending())
    }
}

/// A world in which no deadline is rung that somebody has slept for, and its clock.
fn deaf_with_clock() -> (World, Deaf) {
    let (journal, clock) = (MemoryJournal::new(), ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let (diary, deaf) = (Arc::default(), Deaf::new(&clock));
    let system = builder(&clock, &diary).clock(deaf.clone()).start(journal.clone()).unwrap();
    (World { system, journal, clock, diary }, deaf)
}

fn deaf() -> World {
    deaf_with_clock().0
}

#[tokio::test]
async fn no_command_is_accepted_in_a_state_whose_time_is_over() {
    let world = deaf();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    world.clock.advance(60 * DAY);
    let error = lease.renew().await.unwrap_err();
    assert!(matches!(error, CallError::NotAccepted { state: "Warned", .. }), "{error:?}");
    assert_eq!(world.stored("car").await.len(), 2);
    // The clock is set back; it is done all the same.
    world.clock.set("2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(lease.state().await.unwrap(), LeaseState::Warned);
    assert_eq!(world.stored("car").await.len(), 2);
}

#[tokio::test]
async fn a_command_is_accepted_up_to_the_last_microsecond() {
    let world = deaf();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    world.clock.advance(60 * DAY - Duration::from_micros(1));
    assert_eq!(lease.renew().await.unwrap(), 1);
}

#[tokio::test]
async fn a_question_finds_the_state_behind_the_deadline() {
    let world = deaf();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    world.clock.advance(60 * DAY);
    assert_eq!(lease.state().await.unwrap(), LeaseState::Warned);
    assert!(world.diary.lines().contains(&"car ran out".to_owned()), "its effects belong to it");
}

#[tokio::test]
async fn a_deadline_that_panics_keeps_no_command_waiting() {
    for mood in [Mood::Furious, Mood::Cursed] {
        let (world, deaf) = deaf_with_clock();
        let lease = world.lease("car");
        lease.take().await.unwrap();
        lease.feel(mood).await.unwrap();
        deaf.pass_asleep(60 * DAY).await;
        // The first one after it may be lost with the data that its fold broke.
        while lease.state().await.is_err() {}
        assert_eq!(lease.state().await.unwrap(), LeaseState::Held);
        lease.feel(Mood::Strict).await.unwrap();
        yield_often().await;
        assert_eq!(world.stored("car").await.len(), 3);
    }
}

/// Comes again and again, in no time.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Restless;

#[fsm(states(initial Resting, Running))]
impl Restless {
    #[on(Resting => Running)]
    fn run(&self) -> Step {
        goto(Running).for_max(Duration::ZERO)
    }

    #[on(Running => Resting)]
    fn rest(&self) -> Step {
        goto(Resting)
    }

    #[after(1h, Running => Running)]
    fn again(&self) -> Step {
        goto(Running).for_max(Duration::ZERO)
    }
}

#[tokio::test]
async fn a_state_that_lasts_no_time_starves_nobody() {
    for run_ahead_max in [4_096, 2, 1] {
        let journal = MemoryJournal::new();
        let system = System::builder().shards(1).run_ahead_max(run_ahead_max).start(journal.clone()).unwrap();
        let restless = system.get::<Restless>("it");
        restless.run().await.unwrap();
        system.get::<Account>("alice").deposit(1).await.unwrap();
        yield_often().await;
        soon(&journal, async { restless.rest().await.unwrap() }).await;
        let state = soon(&journal, async { restless.state().await.unwrap() }).await;
        assert_eq!(state, RestlessState::Resting);
        system.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_state_that_lasts_no_longer_than_a_commit_starves_nobody() {
    let (journal, clock) = (MemoryJournal::new(), ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let builder = System::builder().shards(1).run_ahead_max(1).clock(Deaf::new(&clock));
    let system = builder.start(journal.clone()).unwrap();
    let restless = system.get::<Restless>("it");
    restless.run().await.unwrap();
    journal.faults().hold();
    let rests = tokio::spawn(restless.rest());
    let states = tokio::spawn(restless.state());
    for _ in 0..20 {
        yield_often().await;
        clock.advance(SECOND);
        journal.faults().release_next();
    }
    assert!(rests.is_finished() && states.is_finished(), "nobody gets a turn");
    rests.await.unwrap().unwrap();
    assert_eq!(states.await.unwrap().unwrap(), RestlessState::Resting);
}

/// What comes of something that takes only so many records.
async fn soon<T>(journal: &MemoryJournal, future: impl Future<Output = T>) -> T {
    let begun = journal.durable();
    tokio::select! {
        biased;
        answer = future => answer,
        () = until("there are many records", || journal.durable().0 > begun.0 + 1_000) => panic!("it steps without end"),
    }
}

/// Burns down, and then smoulders.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Fuse;

#[fsm(states(initial Cold, Burning, Smouldering))]
impl Fuse {
    #[on(Cold => Burning)]
    fn light(&self) -> Step {
        goto(Burning)
    }

    #[after(1h, Burning => Cold)]
    fn explode(&self) -> Step {
        panic!("bang");
    }

    #[on(Burning => Smouldering)]
    fn step_on(&self) -> Step {
        goto(Smouldering)
    }

    #[after(1s, Smouldering => Cold)]
    fn go_out(&self) -> Step {
        goto(Cold)
    }

    #[on(Smouldering => Burning)]
    fn blow(&self) -> Step {
        goto(Burning)
    }
}

#[tokio::test]
async fn a_deadline_that_panicked_lets_no_command_into_a_later_state_whose_time_is_over() {
    for run_ahead_max in [4_096, 1] {
        let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
        let deaf = Deaf::new(&clock);
        let builder = System::builder().shards(1).run_ahead_max(run_ahead_max).clock(deaf.clone());
        let system = builder.start(MemoryJournal::new()).unwrap();
        let fuse = system.get::<Fuse>("it");
        fuse.light().await.unwrap();
        deaf.pass_asleep(3600 * SECOND).await;
        fuse.step_on().await.unwrap();
        let before = system.stats().panics;
        assert_eq!(before, 1, "its time was over, and it was tried");
        clock.advance(SECOND);
        let error = fuse.blow().await.unwrap_err();
        assert!(matches!(error, CallError::NotAccepted { state: "Cold", .. }), "{error:?}");
        assert_eq!(system.stats().panics, before);
    }
}

/// May leave the pier only in the second second after its time.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ferry {
    berthed_at: Timestamp,
}

#[fsm(states(initial Away, Berthed, transient Shunting))]
impl Ferry {
    #[event]
    fn docked(&mut self, at: Timestamp) {
        self.berthed_at = at;
    }

    #[event]
    fn bumped(&mut self) {}

    #[on(Away => Berthed)]
    fn dock(&self, cx: &Context<Self>) -> Step {
        goto(Berthed).applying(FerryEvent::Docked { at: cx.now() })
    }

    #[on(Berthed => stay)]
    fn load(&self) -> Step {
        stay()
    }

    #[after(1h, Berthed => Away)]
    fn cast_off(&self, cx: &Context<Self>) -> Step {
        assert!(cx.now() > self.berthed_at + 3600 * SECOND, "the tide is late");
        goto(Away)
    }

    #[on(Berthed => Shunting)]
    fn shunt(&self) -> Step {
        goto(Shunting)
    }

    #[on(Shunting => stay)]
    fn bump(&self) -> Step {
        applying(FerryEvent::Bumped)
    }

    #[on(Shunting => Berthed)]
    fn moor(&self) -> Step {
        goto(Berthed)
    }
}

#[tokio::test]
async fn a_deadline_that_failed_in_a_state_is_noticed_again_when_it_comes_back_from_a_transient_one() {
    let world = World::new();
    let ferry = world.system.get::<Ferry>("it");
    ferry.dock().await.unwrap();
    world.clock.advance(3600 * SECOND);
    world.quiet().await;
    let rung = world.system.stats().panics;
    for _ in 0..2 {
        ferry.load().await.unwrap();
    }
    assert_eq!(world.system.stats().panics, rung + 1, "it is noticed once, and then it keeps nobody waiting");
    ferry.shunt().await.unwrap();
    // The alarm is rung again, and finds nothing to do there.
    world.clock.advance(SECOND);
    world.quiet().await;
    // What is lost leads back to where its time was over; who is next has asked before that is rung.
    let faults = world.journal.faults();
    faults.hold();
    faults.refuse_next(Why::Failed("for once".into()));
    let lost = tokio::spawn(ferry.bump());
    until("the first is with the journal", || faults.held() == 1).await;
    let behind = tokio::spawn(ferry.bump());
    until("the second is with the journal", || faults.held() == 2).await;
    faults.release_next();
    lost.await.unwrap().unwrap_err();
    let (loaded, ()) = tokio::join!(ferry.load(), async { faults.release() });
    behind.await.unwrap().unwrap_err();
    let error = loaded.unwrap_err();
    assert!(matches!(error, CallError::NotAccepted { state: "Away", .. }), "{error:?}");
}

#[tokio::test]
async fn a_deadline_whose_write_is_in_doubt_is_heard_all_the_same() {
    for moves_on in [false, true] {
        let (journal, clock) = (Bent::new(), ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
        let diary = Arc::default();
        let system = builder(&clock, &diary).shards(1).register::<Lease>().start(journal.clone()).unwrap();
        let lease = system.get::<Lease>("car");
        lease.look().await.unwrap();
        journal.bend(Bend::Mute);
        // It may stand in a state that it isn't recovered to.
        let (taken, ()) = tokio::join!(lease.take(), async {
            if moves_on {
                assert!(lease.move_out().await.is_err());
            }
        });
        assert!(matches!(taken, Err(CallError::Unknown { .. })), "{taken:?}");
        journal.bend(Bend::Nothing);
        let records = journal.inner.durable();
        clock.advance(60 * DAY);
        until("its time is over", || journal.inner.durable().0 == records.0 + 1).await;
        assert_eq!(lease.state().await.unwrap(), LeaseState::Warned);
        system.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_deadline_whose_write_is_in_doubt_is_heard_in_time_where_it_is_the_sooner_one() {
    let (journal, clock) = (Bent::new(), ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let diary = Arc::default();
    let system = builder(&clock, &diary).shards(1).register::<Lease>().start(journal.clone()).unwrap();
    let lease = system.get::<Lease>("car");
    lease.take().await.unwrap();
    journal.bend(Bend::Mute);
    let given_back = lease.give_back(0).await;
    assert!(matches!(given_back, Err(CallError::Unknown { .. })), "{given_back:?}");
    journal.bend(Bend::Nothing);
    let records = journal.inner.durable();
    clock.advance(3600 * SECOND);
    // Nobody asks for it, and it would have had 60 days.
    until("its time is over", || journal.inner.durable().0 == records.0 + 2).await;
    assert_eq!(lease.notes().await.unwrap(), ["idle"]);
    system.shutdown().await.unwrap();
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Lamp;

#[fsm(name = "lamp", states(initial Off, On, Dim))]
impl Lamp {
    #[on(Off => On)]
    fn switch_on(&self) -> Step {
        goto(On)
    }

    #[on(On => Dim)]
    fn dim(&self) -> Step {
        goto(Dim)
    }

    #[after(1s, On => Off)]
    fn save(&self) -> Step {
        goto(Off)
    }

    #[on(Dim => Off)]
    fn switch_off(&self) -> Step {
        goto(Off)
    }
}

/// Another version of the lamp.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct PlainLamp;

#[fsm(name = "lamp", states(initial Off, On, Dim))]
impl PlainLamp {
    #[on(Off | Dim => On)]
    fn switch_on(&self) -> Step {
        goto(On)
    }

    #[on(On => Off | Dim)]
    fn change(&self, dim: bool) -> Step {
        if dim { goto(Dim) } else { goto(Off) }
    }
}

#[tokio::test]
async fn a_deadline_without_a_handler_waits_for_a_version_that_has_one() {
    let journal = MemoryJournal::new();
    let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
    let builder = || System::builder().shards(1).clock(clock.clone());
    let system = builder().start(journal.clone()).unwrap();
    system.get::<Lamp>("desk").switch_on().await.unwrap();
    system.shutdown().await.unwrap();

    let journal = journal.reopen();
    let system = builder().register::<PlainLamp>().start(journal.clone()).unwrap();
    clock.advance(SECOND);
    yield_often().await;
    assert_eq!(system.get::<PlainLamp>("desk").state().await.unwrap(), PlainLampState::On);
    yield_often().await;
    system.shutdown().await.unwrap();

    let system = builder().register::<Lamp>().start(journal.reopen()).unwrap();
    assert_eq!(system.get::<Lamp>("desk").state().await.unwrap(), LampState::Off);
}

/// A version whose states have other names, but for one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RenamedLamp;

#[fsm(name = "lamp", states(initial Dark, Bright, Dim))]
impl RenamedLamp {
    #[on(Dark | Dim => Bright)]
    fn switch_on(&self) -> Step {
        goto(Bright)
    }

    #[on(Bright => Dim | Dark)]
    fn change(&self, dim: bool) -> Step {
        if dim { goto(Dim) } else { goto(Dark) }
    }
}

#[tokio::test]
async fn a_machine_has_to_know_the_state_in_which_it_stands_and_no_other() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    for id in ["dimmed", "bright"] {
        system.get::<Lamp>(id).switch_on().await.unwrap();
    }
    system.get::<Lamp>("dimmed").dim().await.unwrap();
    system.shutdown().await.unwrap();

    let system = System::builder().start(journal.reopen()).unwrap();
    assert_eq!(system.get::<RenamedLamp>("dimmed").state().await.unwrap(), RenamedLampState::Dim);
    let error = system.get::<RenamedLamp>("bright").state().await.unwrap_err();
    let CallError::Quarantined { seq_nr, reason, .. } = error else { panic!("{error:?}") };
    assert_eq!(seq_nr, SeqNr(1));
    assert!(reason.contains("`On`") && reason.contains("renamed or removed"), "{reason}");
}

/// A parcel on its way through a hall.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Parcel;

#[fsm(states(initial Away, Waiting, transient Sorting, terminal Lost))]
impl Parcel {
    #[on(Away => Waiting)]
    fn arrive(&self) -> Step {
        goto(Waiting)
    }

    #[on(Waiting => Sorting)]
    fn sort(&self) -> Step {
        goto(Sorting)
    }

    #[on(Sorting => Waiting)]
    fn put_back(&self) -> Step {
        goto(Waiting)
    }

    #[after(1h, Sorting => stay)]
    fn take_longer(&self) -> Step {
        stay()
    }

    #[after(2h, Waiting => Lost)]
    fn lose(&self) -> Step {
        goto(Lost)
    }
}

#[tokio::test]
async fn what_a_transient_state_makes_of_its_time_leaves_that_of_the_state_before() {
    let journal = MemoryJournal::new();
    let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
    let builder = || System::builder().shards(1).clock(clock.clone()).register::<Parcel>();
    let system = builder().start(journal.clone()).unwrap();
    let parcel = system.get::<Parcel>("it");
    parcel.arrive().await.unwrap();
    parcel.sort().await.unwrap();
    clock.advance(Duration::from_secs(3600));
    until("its time in the hall is over", || journal.durable() == Offset(3)).await;
    assert_eq!(parcel.state().await.unwrap(), ParcelState::Sorting);

    let journal = journal.reopen();
    drop(system);
    let system = builder().start(journal.clone()).unwrap();
    assert_eq!(system.get::<Parcel>("it").state().await.unwrap(), ParcelState::Waiting);
    system.shutdown().await.unwrap();
    // Nobody asks for it any more, so that it is the journal that knows.
    let journal = journal.reopen();
    let system = builder().start(journal.clone()).unwrap();
    clock.advance(Duration::from_secs(3600));
    until("it is lost", || journal.durable() == Offset(4)).await;
    assert_eq!(system.get::<Parcel>("it").state().await.unwrap(), ParcelState::Lost);
}

#[tokio::test]
async fn who_is_renewed_between_two_stays_in_memory_is_not_woken_for_every_one() {
    let (journal, clock) = (MemoryJournal::new(), ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let diary = Arc::default();
    let system = builder(&clock, &diary).shards(1).residents_max(1).start(journal.clone()).unwrap();
    let world = World { system, journal, clock, diary };
    let (lease, other) = (world.lease("car"), world.lease("other"));
    lease.take().await.unwrap();
    let loaded = world.system.stats().recoveries;
    for _ in 0..20 {
        world.clock.advance(DAY);
        lease.renew().await.unwrap();
        // There is room for one of them.
        for _ in 0..3 {
            other.look().await.unwrap();
        }
    }
    assert!(world.system.stats().recoveries - loaded > 20, "they stayed in memory");
    let handled = world.system.stats().commands;
    world.clock.advance(59 * DAY);
    world.quiet().await;
    let handled = world.system.stats().commands - handled;
    assert!(handled < 10, "it was woken in vain: {handled}");
    world.clock.advance(DAY);
    until("it is woken", || world.diary.lines().contains(&"car ran out".to_owned())).await;
}

/// A clock that wakes everybody at once, whatever time it is.
struct Nervous(ManualClock);

impl Clock for Nervous {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep_until(&self, _: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn a_clock_that_wakes_early_keeps_nobody_from_working() {
    let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
    let diary = Arc::default();
    let system = builder(&clock, &diary).clock(Nervous(clock.clone())).start(MemoryJournal::new()).unwrap();
    let lease = system.get::<Lease>("car");
    lease.take().await.unwrap();
    assert_eq!(lease.renew().await.unwrap(), 1);
    clock.advance(60 * DAY);
    until("it fires", || diary.lines().contains(&"car ran out".to_owned())).await;
    system.shutdown().await.unwrap();
}
