//! Deadlines are absolute, durable with their transition, and fire once.

use std::sync::Arc;
use std::time::Duration;

use annals::journal::{MemoryJournal, Why};
use annals::testing::UnknownRun;
use annals::{CallError, System};
use annals_tests::{Account, Diary, Lease, LeaseState, LockState, Mood};

use crate::until;
use crate::world::{World, builder, until_in, yield_often};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn a_deadline_fires_when_its_time_has_come_and_not_before() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    world.clock.advance(60 * DAY - Duration::from_micros(1));
    world.quiet().await;
    assert_eq!(lease.state().await.unwrap(), LeaseState::Held);
    world.clock.advance(Duration::from_micros(1));
    until_in(&lease, LeaseState::Warned).await;
    until("its effect ran", || world.diary.lines().contains(&"car ran out".to_owned())).await;
    world.clock.advance(7 * DAY);
    until_in(&lease, LeaseState::Gone).await;
    assert_eq!(
        world.stored("car").await,
        [
            "1 2026-01-01T00:00:00Z take: Free -> Held until 2026-03-02T00:00:00Z",
            "2 2026-03-02T00:00:00Z deadline of 1: Held -> Warned until 2026-03-09T00:00:00Z",
            "3 2026-03-09T00:00:00Z deadline of 2: Warned -> Gone",
        ]
    );
}

#[tokio::test]
async fn an_alarm_for_a_time_that_is_no_more_leaves_the_later_one_armed() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    world.clock.advance(30 * DAY);
    lease.renew().await.unwrap();
    world.clock.advance(30 * DAY);
    world.quiet().await;
    assert!(!world.diary.lines().contains(&"car ran out".to_owned()));
    world.clock.advance(30 * DAY);
    // Nobody asks for it: only an alarm that is armed leads there.
    until("its time is over", || world.diary.lines().contains(&"car ran out".to_owned())).await;
}

#[tokio::test]
async fn to_stay_leaves_the_deadline_alone_and_to_enter_anew_restarts_it() {
    let world = World::new();
    let (renewed, other) = (world.lease("renewed"), world.lease("other"));
    renewed.take().await.unwrap();
    other.take().await.unwrap();
    world.clock.advance(59 * DAY);
    renewed.renew().await.unwrap();
    other.note("still here".to_owned()).await.unwrap();
    other.look().await.unwrap();
    other.renewals().await.unwrap();
    other.accepts().await.unwrap();
    other.take().await.unwrap_err();
    other.give_back(9).await.unwrap_err();
    other.crash().await.unwrap_err();
    assert_eq!(world.stored("other").await.len(), 2, "the note is stored, and nothing else");
    world.clock.advance(DAY);
    until_in(&other, LeaseState::Warned).await;
    world.quiet().await;
    assert_eq!(renewed.state().await.unwrap(), LeaseState::Held);
    world.clock.advance(58 * DAY);
    world.quiet().await;
    assert_eq!(renewed.state().await.unwrap(), LeaseState::Held);
    world.clock.advance(DAY);
    until_in(&renewed, LeaseState::Warned).await;
}

#[tokio::test]
async fn a_visit_may_last_another_time_than_declared() {
    let world = World::new();
    let (short, long, endless) = (world.lease("short"), world.lease("long"), world.lease("endless"));
    short.take_for(SECOND).await.unwrap();
    long.take_for(90 * DAY).await.unwrap();
    endless.take_for(Duration::MAX).await.unwrap();
    world.clock.advance(SECOND);
    until_in(&short, LeaseState::Warned).await;
    world.clock.advance(89 * DAY);
    world.quiet().await;
    assert_eq!(long.state().await.unwrap(), LeaseState::Held);
    world.clock.advance(DAY);
    until_in(&long, LeaseState::Warned).await;
    // The next visit lasts as long as declared.
    long.give_back(0).await.unwrap();
    long.take().await.unwrap();
    world.clock.advance(60 * DAY);
    until_in(&long, LeaseState::Warned).await;
    assert_eq!(endless.state().await.unwrap(), LeaseState::Held);
}

#[tokio::test]
async fn a_state_that_was_left_has_no_deadline_any_more() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take_for(SECOND).await.unwrap();
    lease.give_back(0).await.unwrap();
    world.clock.advance(SECOND);
    world.quiet().await;
    assert_eq!(lease.state().await.unwrap(), LeaseState::Free);
    lease.take().await.unwrap();
    world.clock.advance(DAY);
    world.quiet().await;
    assert_eq!(lease.state().await.unwrap(), LeaseState::Held);
    assert_eq!(world.stored("car").await.len(), 3);
}

#[tokio::test]
async fn an_earlier_deadline_than_the_one_before_fires_in_time() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take_for(90 * DAY).await.unwrap();
    lease.renew().await.unwrap();
    lease.give_back(0).await.unwrap();
    lease.take_for(SECOND).await.unwrap();
    world.clock.advance(SECOND);
    until_in(&lease, LeaseState::Warned).await;
}

#[tokio::test]
async fn what_is_left_of_a_deadline_counts_after_a_restart_and_a_crash() {
    let world = World::new();
    world.lease("car").take().await.unwrap();
    world.clock.advance(20 * DAY);
    let world = world.restarted().await;
    world.clock.advance(20 * DAY);
    world.quiet().await;
    let world = world.crashed();
    world.clock.advance(20 * DAY - SECOND);
    world.quiet().await;
    assert_eq!(world.stored("car").await.len(), 1);
    world.clock.advance(SECOND);
    // Nobody has asked for it since the start.
    until("it fired", || world.diary.lines().contains(&"car ran out".to_owned())).await;
    assert_eq!(world.lease("car").state().await.unwrap(), LeaseState::Warned);
}

#[tokio::test]
async fn a_deadline_wakes_an_entity_that_has_left_memory() {
    let world = World::new();
    let system = builder(&world.clock, &world.diary).shards(1).residents_max(1).start(world.journal.reopen()).unwrap();
    let lease = system.get::<Lease>("car");
    lease.take().await.unwrap();
    world.clock.advance(30 * DAY);
    for number in 0..50 {
        system.get::<Account>(format!("{number}")).deposit(1).await.unwrap();
        system.get::<Lease>(format!("{number}")).note("x".to_owned()).await.unwrap();
    }
    assert!(system.stats().passivations > 40, "{:?}", system.stats());
    world.clock.advance(30 * DAY);
    until("it fired", || world.diary.lines().contains(&"car ran out".to_owned())).await;
    assert_eq!(lease.state().await.unwrap(), LeaseState::Warned);
}

#[tokio::test]
async fn a_handler_that_stays_is_not_asked_again_in_the_same_visit() {
    for (mood, record) in [(Mood::Lenient, "the time of 1 is over"), (Mood::Noting, "noted")] {
        let world = World::new();
        let lease = world.lease("car");
        lease.take().await.unwrap();
        lease.feel(mood).await.unwrap();
        world.clock.advance(60 * DAY);
        world.quiet().await;
        let expected = |stored: &[String]| {
            assert_eq!(stored[2], format!("3 2026-03-02T00:00:00Z deadline of 1: {record}"));
            assert_eq!(stored.last().unwrap()[2..], "2026-03-02T00:00:00Z deadline of 1: the time of 1 is over"[..]);
            stored.len()
        };
        let records = expected(&world.stored("car").await);
        world.clock.advance(60 * DAY);
        world.quiet().await;
        let world = world.crashed();
        world.clock.advance(60 * DAY);
        world.quiet().await;
        let lease = world.lease("car");
        assert_eq!(lease.state().await.unwrap(), LeaseState::Held);
        assert_eq!(expected(&world.stored("car").await), records, "it fired again");
        // To enter the state anew is another visit.
        lease.renew().await.unwrap();
        world.clock.advance(60 * DAY);
        world.quiet().await;
        assert_eq!(world.stored("car").await.len(), 2 * records);
    }
}

#[tokio::test]
async fn the_deadline_of_the_initial_state_begins_with_the_first_record() {
    let world = World::new();
    let lease = world.lease("car");
    lease.look().await.unwrap();
    world.clock.advance(DAY);
    world.quiet().await;
    assert_eq!(world.stored("car").await, [""; 0], "nobody has stored anything");
    lease.note("hello".to_owned()).await.unwrap();
    world.clock.advance(1800 * SECOND);
    lease.note("again".to_owned()).await.unwrap();
    let world = world.crashed();
    world.clock.advance(1800 * SECOND);
    world.quiet().await;
    assert_eq!(
        world.stored("car").await,
        [
            "1 2026-01-02T00:00:00Z note: noted",
            "2 2026-01-02T00:00:00Z note: (nothing) -> Free until 2026-01-02T01:00:00Z",
            "3 2026-01-02T00:30:00Z note: noted",
            "4 2026-01-02T01:00:00Z deadline of 2: noted",
            "5 2026-01-02T01:00:00Z deadline of 2: the time of 2 is over",
        ]
    );
}

#[tokio::test]
async fn an_initial_state_whose_time_was_never_begun_begins_it_with_the_next_record() {
    let world = World::new();
    // The first record leads where nobody recovers to.
    world.lease("car").move_out().await.unwrap();
    let world = world.crashed();
    let lease = world.lease("car");
    lease.note("back".to_owned()).await.unwrap();
    world.clock.advance(DAY);
    world.quiet().await;
    assert_eq!(lease.notes().await.unwrap(), ["back", "idle"]);
}

#[tokio::test]
async fn a_deadline_is_void_when_a_command_came_first() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take_for(SECOND).await.unwrap();
    world.journal.faults().hold();
    let give_back = tokio::spawn(lease.give_back(0));
    until("it is with the journal", || world.journal.faults().held() == 1).await;
    world.clock.advance(SECOND);
    until("the alarm is handled", || world.system.stats().commands == 3).await;
    yield_often().await;
    world.journal.faults().release();
    give_back.await.unwrap().unwrap();
    world.quiet().await;
    assert_eq!(lease.state().await.unwrap(), LeaseState::Free);
    assert_eq!(world.stored("car").await.len(), 2, "both happened");
}

#[tokio::test]
async fn a_command_is_refused_when_the_deadline_came_first() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take_for(SECOND).await.unwrap();
    world.journal.faults().hold();
    world.clock.advance(SECOND);
    until("its step is with the journal", || world.journal.faults().held() == 1).await;
    let renew = tokio::spawn(lease.renew());
    until("it is handled", || world.system.stats().commands == 3).await;
    yield_often().await;
    assert!(!renew.is_finished(), "a refusal told of a deadline that could still be lost");
    world.journal.faults().release();
    let error = renew.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::NotAccepted { state: "Warned", command: "renew", .. }), "{error:?}");
    assert_eq!(world.stored("car").await.len(), 2);
}

#[tokio::test]
async fn the_deadline_of_a_write_that_may_be_lost_does_not_fire() {
    let world = World::new();
    let lease = world.lease("car");
    world.journal.faults().hold();
    let take = tokio::spawn(lease.take_for(SECOND));
    until("it is with the journal", || world.journal.faults().held() == 1).await;
    world.clock.advance(DAY);
    for _ in 0..50 {
        yield_often().await;
    }
    assert_eq!((world.journal.faults().held(), world.system.stats().commands), (1, 1), "it fired early");
    world.journal.faults().release();
    take.await.unwrap().unwrap();
    until_in(&lease, LeaseState::Warned).await;
}

#[tokio::test]
async fn a_lost_write_takes_its_deadline_back_and_the_one_before_still_fires() {
    let world = World::new();
    let (lease, lost) = (world.lease("car"), world.lease("lost"));
    lease.take().await.unwrap();
    world.clock.advance(59 * DAY);
    world.journal.faults().refuse_next(Why::Failed("for once".into()));
    lease.renew().await.unwrap_err();
    world.journal.faults().refuse_next(Why::Failed("for once".into()));
    lost.take_for(SECOND).await.unwrap_err();
    world.clock.advance(DAY);
    until_in(&lease, LeaseState::Warned).await;
    world.quiet().await;
    assert_eq!(lost.state().await.unwrap(), LeaseState::Free);
    assert_eq!(world.stored("car").await.len(), 2);
    assert_eq!(world.stored("lost").await.len(), 0);
}

#[tokio::test]
async fn a_deadline_that_may_be_stored_holds_after_the_restart() {
    for (unknown, state) in [(UnknownRun::Stored, LeaseState::Warned), (UnknownRun::Lost, LeaseState::Free)] {
        let world = World::new();
        world.journal.faults().fail_next(unknown);
        world.lease("car").take_for(SECOND).await.unwrap_err();
        let world = world.crashed();
        world.clock.advance(SECOND);
        world.quiet().await;
        assert_eq!(world.lease("car").state().await.unwrap(), state);
    }
}

#[tokio::test]
async fn a_clock_that_jumps_back_fires_nothing_early_and_nothing_twice() {
    let world = World::new();
    let lease = world.lease("car");
    let start = world.now();
    lease.take().await.unwrap();
    world.clock.advance(59 * DAY);
    world.clock.set(start);
    world.clock.advance(59 * DAY);
    world.quiet().await;
    assert_eq!(lease.state().await.unwrap(), LeaseState::Held);
    world.clock.advance(DAY);
    until_in(&lease, LeaseState::Warned).await;
    world.clock.set(start);
    world.quiet().await;
    world.clock.advance(60 * DAY);
    world.quiet().await;
    assert_eq!(lease.state().await.unwrap(), LeaseState::Warned);
    assert_eq!(world.stored("car").await.len(), 2, "it fired twice");
    world.clock.set(start);
    let world = world.crashed();
    world.clock.advance(60 * DAY);
    world.quiet().await;
    assert_eq!(world.stored("car").await.len(), 2, "it fired twice");
    world.clock.advance(7 * DAY);
    until_in(&world.lease("car"), LeaseState::Gone).await;
}

#[tokio::test]
async fn overdue_deadlines_fire_oldest_first_and_one_by_one_if_so_set() {
    let world = World::new();
    for number in 0..100_u64 {
        // Not in the order of their streams.
        let days = u32::try_from(number * 37 % 100).unwrap() + 1;
        world.lease(format!("{days}")).take_for(days * DAY).await.unwrap();
    }
    world.system.shutdown().await.unwrap();
    world.clock.advance(200 * DAY);
    let journal = world.journal.reopen();
    journal.faults().hold();
    let world = World::start(journal, world.clock, world.diary);
    until("the first is with the journal", || world.journal.faults().held() == 1).await;
    for _ in 0..50 {
        yield_often().await;
    }
    assert_eq!(world.journal.faults().held(), 1, "more are on their way than may be");
    world.journal.faults().release();
    world.quiet().await;
    let fired: Vec<String> = world.diary.lines().into_iter().filter(|line| line.ends_with("ran out")).collect();
    let expected: Vec<String> = (1..=100).map(|days| format!("{days} ran out")).collect();
    assert_eq!(fired[..100], expected);
}

#[tokio::test]
async fn a_machine_that_nobody_named_is_woken_once_somebody_does() {
    let world = World::new();
    world.lease("car").take_for(SECOND).await.unwrap();
    world.lock("front").lock().await.unwrap();
    world.system.shutdown().await.unwrap();
    world.clock.advance(DAY);
    let system = builder(&world.clock, &world.diary).start(world.journal.reopen()).unwrap();
    system.get::<Account>("alice").deposit(1).await.unwrap();
    for _ in 0..50 {
        yield_often().await;
    }
    assert!(!world.diary.lines().contains(&"car ran out".to_owned()));
    system.get::<Lease>("another");
    until("it fired", || world.diary.lines().contains(&"car ran out".to_owned())).await;
    assert_eq!(system.get::<annals_tests::Lock>("front").state().await.unwrap(), LockState::Locked);
}

#[tokio::test]
async fn a_transient_state_has_a_deadline_of_its_own_and_holds_off_that_of_the_state_before() {
    let world = World::new();
    let (moving, back) = (world.lease("moving"), world.lease("back"));
    for lease in [&moving, &back] {
        lease.take_for(5 * SECOND).await.unwrap();
        lease.move_out().await.unwrap();
    }
    back.arrive().await.unwrap();
    // That of `Held` would be over.
    world.clock.advance(9 * SECOND);
    let handled = world.system.stats().commands;
    world.quiet().await;
    assert!(world.system.stats().commands - handled < 1000, "it was rung over and over");
    assert_eq!(moving.state().await.unwrap(), LeaseState::Moving);
    world.clock.advance(SECOND);
    until_in(&moving, LeaseState::Held).await;
    assert_eq!(back.state().await.unwrap(), LeaseState::Free);
    assert_eq!(
        world.stored("moving").await[2..],
        ["3 2026-01-01T00:00:10Z deadline of 2: Moving -> Held until 2026-03-02T00:00:10Z"]
    );
}

#[tokio::test]
async fn what_comes_back_from_a_transient_state_has_its_deadline_again() {
    let world = World::new();
    world.lease("lost").take_for(5 * SECOND).await.unwrap();
    world.lease("crashed").take_for(5 * SECOND).await.unwrap();
    world.lease("lost").move_out().await.unwrap();
    world.lease("crashed").move_out().await.unwrap();
    world.clock.advance(6 * SECOND);
    world.quiet().await;
    // The entity is loaded again, into the state before.
    world.journal.faults().refuse_next(Why::Failed("for once".into()));
    world.lease("lost").arrive().await.unwrap_err();
    until_in(&world.lease("lost"), LeaseState::Warned).await;
    let world = world.crashed();
    until("the other fired", || world.diary.lines().contains(&"crashed ran out".to_owned())).await;
    assert_eq!(world.lease("crashed").state().await.unwrap(), LeaseState::Warned);
    assert_eq!(world.stored("crashed").await.len(), 3);
}

#[tokio::test]
async fn who_falls_out_of_a_transient_state_is_woken_when_the_time_of_the_state_before_is_over() {
    let world = World::new();
    for id in ["lost", "broken"] {
        world.lease(id).take_for(5 * SECOND).await.unwrap();
        world.lease(id).move_out().await.unwrap();
    }
    // It is held off; the transient state has 10 s.
    world.clock.advance(6 * SECOND);
    world.quiet().await;
    world.lease("broken").feel_cursed().await.unwrap_err();
    world.journal.faults().refuse_next(Why::Failed("for once".into()));
    world.lease("lost").note("lost".to_owned()).await.unwrap_err();
    // Nobody asks for them any more.
    world.quiet().await;
    for id in ["lost", "broken"] {
        assert!(world.diary.lines().contains(&format!("{id} ran out")), "{id}: {:?}", world.diary.lines());
    }
}

#[tokio::test]
async fn a_shutdown_with_deadlines_on_their_way_loses_none() {
    for held in [false, true] {
        let world = World::new();
        for number in 0..50_u64 {
            world.lease(format!("{number}")).take_for(SECOND).await.unwrap();
        }
        if held {
            world.journal.faults().hold();
        }
        world.clock.advance(SECOND);
        if held {
            until("one is with the journal", || world.journal.faults().held() == 1).await;
        }
        let (shutdown, ()) = tokio::join!(world.system.shutdown(), async {
            yield_often().await;
            world.journal.faults().release();
        });
        shutdown.unwrap();
        let world = World::start(world.journal.reopen(), world.clock, world.diary);
        world.quiet().await;
        for number in 0..50 {
            assert_eq!(world.stored(&format!("{number}")).await.len(), 2, "lease {number}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_the_system_wakes_them_too() {
    let system = System::builder().provide(Arc::new(Diary::default()));
    let system = system.clock(FollowsTokio::new()).start(MemoryJournal::new()).unwrap();
    let lease = system.get::<Lease>("car");
    lease.take_for(Duration::from_millis(12_345)).await.unwrap();
    let started = tokio::time::Instant::now();
    while lease.state().await.unwrap() == LeaseState::Held {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = started.elapsed();
    assert!((12_345..12_400).contains(&took.as_millis()), "{took:?}");
    system.shutdown().await.unwrap();
}

/// A clock that shows tokio's time, and sleeps as clocks do if they don't know better.
struct FollowsTokio(tokio::time::Instant);

impl FollowsTokio {
    fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl annals::Clock for FollowsTokio {
    fn now(&self) -> annals::Timestamp {
        annals::Timestamp::UNIX_EPOCH.saturating_add(self.0.elapsed()).unwrap()
    }
}
