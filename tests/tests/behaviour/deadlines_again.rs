//! Deadlines that could not be handled are tried again: later and later, and in nobody's way.

use std::sync::Arc;
use std::time::Duration;

use annals::Timestamp;
use annals::journal::{MemoryJournal, Why};
use annals::prelude::*;
use annals::testing::ManualClock;
use annals_tests::{Lease, LeaseState, Mood, furies, until_so};

use crate::until;
use crate::world::{World, builder, until_in, yield_often};

const SECOND: Duration = Duration::from_secs(1);

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
    // The second pause outlasts the lease.
    world.clock.set(retry_at);
    let error = world.lease("car").state().await.unwrap_err();
    let CallError::Quarantined { retry_at, .. } = error else { panic!("{error:?}") };
    world.clock.advance(SECOND);
    yield_often().await;
    world.journal.faults().heal_reads();
    assert!(world.now() < retry_at);
    world.quiet().await;
    assert_eq!(world.stored("car").await.len(), 1);
    // The journal couldn't tell whose it is, or the entity couldn't be loaded: both are tried again. How late that is
    // found out is a matter of the threads, and the pause begins then.
    let fired = || world.diary.lines().contains(&"car ran out".to_owned());
    until_so("it fired", async || {
        world.clock.advance(2 * SECOND);
        yield_often().await;
        fired()
    })
    .await;
}

#[tokio::test]
async fn a_deadline_whose_own_write_is_lost_is_tried_again() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take_for(SECOND).await.unwrap();
    world.journal.faults().refuse_next(Why::Failed("for once".into()));
    world.clock.advance(SECOND);
    until("it was refused", || world.journal.faults().appended().runs == 2).await;
    yield_often().await;
    assert_eq!(world.stored("car").await.len(), 1);
    assert!(!world.diary.lines().contains(&"car ran out".to_owned()), "an effect of it ran");
    world.clock.advance(SECOND);
    world.until_stored("car", 2).await;
    assert_eq!(lease.state().await.unwrap(), LeaseState::Warned);
}

#[tokio::test]
async fn one_entity_that_takes_no_calls_holds_up_no_other_deadline() {
    let (clock, diary) = (ManualClock::at(Timestamp::UNIX_EPOCH), Arc::default());
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

/// Breaks down twice; each time its handler is of no use until it is repaired.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Engine {
    repaired_at: [Timestamp; 2],
}

#[fsm(states(initial Off, Warm, Hot))]
impl Engine {
    #[event]
    fn planned(&mut self, repaired_at: [Timestamp; 2]) {
        self.repaired_at = repaired_at;
    }

    #[on(Off => Warm)]
    fn switch_on(&self, repaired_at: [Timestamp; 2]) -> Step {
        goto(Warm).for_max(SECOND).applying(EngineEvent::Planned { repaired_at })
    }

    /// Its next state's time is over at once.
    #[after(1h, Warm => Hot)]
    fn heat(&self, cx: &Context<Self>) -> Step {
        assert!(cx.now() >= self.repaired_at[0], "it is broken");
        goto(Hot).for_max(Duration::ZERO)
    }

    #[after(1h, Hot => Off)]
    fn cool(&self, cx: &Context<Self>) -> Step {
        assert!(cx.now() >= self.repaired_at[1], "it is broken");
        goto(Off)
    }
}

#[tokio::test]
async fn a_deadline_that_begins_when_a_failing_one_is_handled_makes_a_pause_of_its_own() {
    let world = World::new();
    let engine = world.system.get::<Engine>("it");
    let broken = world.now() + SECOND;
    engine.switch_on([broken + 65 * SECOND, broken + 129 * SECOND]).await.unwrap();
    // It is tried, after 64 s once more, and then after as long a pause.
    for pause in [1, 64, 64] {
        world.clock.advance(pause * SECOND);
        world.quiet().await;
    }
    let hot = "3 2026-01-01T00:02:09Z deadline of 2: Warm -> Hot until 2026-01-01T00:02:09Z";
    assert_eq!(world.stored("it").await[2..], [hot], "the next one failed");
    world.clock.advance(SECOND);
    world.quiet().await;
    assert_eq!(world.stored("it").await[3..], ["4 2026-01-01T00:02:10Z deadline of 3: Hot -> Off"]);
}
