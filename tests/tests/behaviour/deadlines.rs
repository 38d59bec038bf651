//! Deadlines are absolute, durable with their transition, and fire once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use annals::journal::{Durability, FjallJournal, FjallOptions, Journal, MemoryJournal, Record, RunError, RunView, Why};
use annals::testing::{ManualClock, UnknownRun};
use annals::{CallError, Offset, System};
use annals_tests::{Account, Diary, Lease, LeaseState, LockState, Mood, furies};

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
async fn a_deadline_whose_own_write_is_lost_is_tried_again() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take_for(SECOND).await.unwrap();
    world.journal.faults().refuse_next(Why::Failed("for once".into()));
    world.clock.advance(SECOND);
    until("it was refused", || world.journal.faults().appended().runs == 2).await;
    // A call that meets the refusal is refused with it.
    while lease.state().await.is_err() {}
    assert_eq!(lease.state().await.unwrap(), LeaseState::Held);
    assert!(!world.diary.lines().contains(&"car ran out".to_owned()), "an effect of it ran");
    world.clock.advance(SECOND);
    until_in(&lease, LeaseState::Warned).await;
    assert_eq!(world.stored("car").await.len(), 2);
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
async fn a_handler_that_panics_is_tried_again_later_and_harms_nothing_else() {
    for mood in [Mood::Furious, Mood::Cursed] {
        let world = World::new();
        let (lease, other) = (world.lease("car"), world.lease("other"));
        lease.take_for(SECOND).await.unwrap();
        lease.feel(mood).await.unwrap();
        other.take_for(SECOND).await.unwrap();
        world.clock.advance(SECOND);
        until_in(&other, LeaseState::Warned).await;
        let tried = world.system.stats().commands;
        world.quiet().await;
        let others = world.system.stats().commands - tried;
        assert!(others < 1000, "it was tried over and over: {others}");
        assert_eq!(lease.look().await.unwrap().0, LeaseState::Held, "it still takes calls");
        lease.feel(Mood::Strict).await.unwrap();
        world.clock.advance(2 * SECOND);
        until_in(&lease, LeaseState::Warned).await;
    }
}

#[tokio::test]
async fn the_pauses_of_a_handler_that_panics_become_longer() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take_for(SECOND).await.unwrap();
    lease.feel(Mood::Furious).await.unwrap();
    world.clock.advance(SECOND);
    world.quiet().await;
    let mut tries = Vec::new();
    // An hour, in steps of 5 s.
    for second in (5..=3600).step_by(5) {
        let before = furies();
        world.clock.advance(5 * SECOND);
        world.quiet().await;
        if furies() > before {
            tries.push(second);
        }
    }
    let pauses: Vec<i32> = tries.windows(2).map(|tries| tries[1] - tries[0]).collect();
    assert!(pauses.is_sorted() && *pauses.last().unwrap() == 300, "it was tried after so many seconds: {tries:?}");
    // What was changed meanwhile begins without a pause.
    lease.feel(Mood::Strict).await.unwrap();
    lease.give_back(0).await.unwrap();
    lease.take_for(SECOND).await.unwrap();
    world.clock.advance(SECOND);
    until_in(&lease, LeaseState::Warned).await;
}

#[tokio::test]
async fn a_deadline_that_failed_once_does_not_hold_up_the_next_one() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take_for(SECOND).await.unwrap();
    lease.feel(Mood::Furious).await.unwrap();
    // It has failed for so long that the next try is minutes away.
    world.clock.advance(SECOND);
    world.quiet().await;
    for _ in 0..20 {
        world.clock.advance(300 * SECOND);
        world.quiet().await;
    }
    // The entity leaves memory, so that it forgets when it will be woken.
    world.journal.faults().refuse_next(Why::Failed("for once".into()));
    lease.note("lost".to_owned()).await.unwrap_err();
    assert_eq!(lease.give_back(0).await.unwrap(), 0);
    lease.take_for(2 * SECOND).await.unwrap();
    lease.feel(Mood::Strict).await.unwrap();
    world.clock.advance(2 * SECOND);
    until_in(&lease, LeaseState::Warned).await;
}

#[tokio::test]
async fn a_deadline_that_nobody_could_read_does_not_hold_up_the_next_one() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take_for(SECOND).await.unwrap();
    let broken = annals::journal::ReadError::Engine { what: "a row".to_owned(), error: Arc::from("the disk is gone") };
    world.journal.faults().fail_reads(broken);
    // The entity is in memory, and the journal can't tell whose deadline it is, for so long that the pauses are long.
    for _ in 0..20 {
        world.clock.advance(300 * SECOND);
        for _ in 0..5 {
            yield_often().await;
        }
    }
    world.journal.faults().heal_reads();
    lease.give_back(0).await.unwrap();
    lease.take_for(2 * SECOND).await.unwrap();
    world.clock.advance(2 * SECOND);
    until_in(&lease, LeaseState::Warned).await;
}

#[tokio::test]
async fn a_quarantined_entity_is_tried_again_when_the_quarantine_is_over() {
    let world = World::new();
    world.lease("car").take_for(SECOND).await.unwrap();
    let world = world.restarted().await;
    // The deadlines are taken in.
    world.quiet().await;
    let broken = annals::journal::ReadError::Engine { what: "a row".to_owned(), error: Arc::from("the disk is gone") };
    world.journal.faults().fail_reads(broken);
    let error = world.lease("car").state().await.unwrap_err();
    let CallError::Quarantined { retry_at, .. } = error else { panic!("{error:?}") };
    world.clock.advance(SECOND);
    yield_often().await;
    world.journal.faults().heal_reads();
    assert!(world.now() < retry_at);
    world.quiet().await;
    assert_eq!(world.stored("car").await.len(), 1);
    // The journal couldn't tell whose it is, or the entity couldn't be loaded: both are tried again.
    for _ in 0..5 {
        world.clock.advance(2 * SECOND);
        yield_often().await;
    }
    until("it fired", || world.diary.lines().contains(&"car ran out".to_owned())).await;
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
async fn one_entity_that_takes_no_calls_holds_up_no_other_deadline() {
    let (clock, diary) = (ManualClock::at(annals::Timestamp::UNIX_EPOCH), Arc::default());
    let journal = MemoryJournal::new();
    // One place in each lane, and one command before the disk.
    let system = builder(&clock, &diary).shards(1).mailbox_max(8).run_ahead_max(1).deadlines_in_flight_max(8);
    let system = system.start(journal.clone()).unwrap();
    let stuck = system.get::<Lease>("stuck");
    stuck.take_for(SECOND).await.unwrap();
    for number in 0..20 {
        system.get::<Lease>(format!("{number}")).take_for(2 * SECOND).await.unwrap();
    }
    journal.faults().hold();
    let note = tokio::spawn(stuck.note("held".to_owned()));
    until("it is with the journal", || journal.faults().held() == 1).await;
    let waiting = tokio::spawn(stuck.look());
    yield_often().await;
    stuck.look().or_overloaded().await.unwrap_err();
    clock.advance(2 * SECOND);
    until("others go on", || journal.faults().held() > 1).await;
    journal.faults().release();
    note.await.unwrap().unwrap();
    waiting.await.unwrap().unwrap();
    until_in(&stuck, LeaseState::Warned).await;
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

/// How often each lease of a store has run out.
async fn count_fired(directory: &Path) -> BTreeMap<String, u64> {
    let journal = FjallJournal::open(directory, FjallOptions::new()).unwrap();
    let (mut fired, mut after) = (BTreeMap::new(), Offset(0));
    while after < journal.durable() {
        let page = journal.read_all(after, 8 << 20).await.unwrap();
        for run in &page.runs {
            let view = RunView::parse(&run.bytes, journal.facts().store).unwrap();
            after = Offset(run.offset.0 + view.records() - 1);
            view.for_each(|_, _, record| {
                if let Record::Transition(way) = record {
                    let count = fired.entry(view.id().entity.as_str().to_owned()).or_default();
                    *count += u64::from(way.to == "Warned");
                }
                Ok::<(), RunError>(())
            })
            .unwrap();
        }
    }
    fired
}

/// One life of a system: its runtime is dropped in the middle of whatever it does, and the journal with it.
fn life(directory: &Path, clock: &ManualClock, live: impl AsyncFnOnce(&System, &Diary)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let system = runtime.block_on(async {
        let journal = FjallJournal::open(directory, FjallOptions::new().durability(Durability::Os)).unwrap();
        let diary = Arc::new(Diary::default());
        let builder = System::builder().clock(clock.clone()).provide(diary.clone());
        let system = builder.register::<Lease>().start(journal).unwrap();
        live(&system, &diary).await;
        system
    });
    // ORDER: before the system, which would finish what it has.
    drop(runtime);
    drop(system);
}

/// Waits until what is overdue has been rung: until a later deadline was. Two records and three lines come of it.
async fn sentinel(system: &System, diary: &Diary, id: &str) {
    system.get::<Lease>(id).take_for(Duration::ZERO).await.unwrap();
    diary.full(3).await;
}

/// Lets so many leases of 60 days be killed after 59 of them, and looks what fires on the 60th, and after another kill.
/// Tells how long the firing took.
fn sixty_days(leases: u64) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
    life(directory.path(), &clock, async |system, _| {
        // A few thousand at a time, so that they share writes.
        for first in (0..leases).step_by(5000) {
            let takes = (first..leases.min(first + 5000)).map(|number| {
                let lease = system.get::<Lease>(format!("{number}"));
                tokio::spawn(async move { lease.take().await })
            });
            for take in takes.collect::<Vec<_>>() {
                take.await.unwrap().unwrap();
            }
        }
    });
    clock.advance(59 * DAY);
    let mut took = Duration::ZERO;
    life(directory.path(), &clock, async |system, diary| {
        sentinel(system, diary, "first sentinel").await;
        assert_eq!(system.stats().events_stored, 2, "a deadline fired a day early");
        let started = std::time::Instant::now();
        clock.advance(DAY);
        // Each leaves a state, and says that it ran out.
        diary.full(3 + 2 * usize::try_from(leases).unwrap()).await;
        took = started.elapsed();
        assert_eq!(system.stats().events_stored, leases + 2);
    });
    life(directory.path(), &clock, async |system, diary| {
        sentinel(system, diary, "second sentinel").await;
        assert_eq!(system.stats().events_stored, 2, "a deadline fired again");
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fired = runtime.block_on(count_fired(directory.path()));
    assert_eq!(u64::try_from(fired.len()).unwrap(), leases + 2);
    assert!(fired.values().all(|count| *count == 1), "each of {leases} fires once: {fired:?}");
    took
}

#[test]
fn sixty_days_pass_over_a_kill() {
    sixty_days(1);
}

/// Measures that it is exact for many, and tells how long they take to fire; the disk isn't waited for.
#[test]
fn a_hundred_thousand_times_sixty_days_pass_over_a_kill() {
    let (started, leases) = (std::time::Instant::now(), std::env::var("N").map_or(100_000, |n| n.parse().unwrap()));
    let took = sixty_days(leases);
    println!("{leases} deadlines fired in {took:?}, and all in all it took {:?}", started.elapsed());
}
