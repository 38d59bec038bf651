//! Machines: where steps lead, what is stored of them, what is refused, what runs once they are durable.

use std::time::Duration;

use annals::journal::Why;
use annals::testing::UnknownRun;
use annals::{CallError, NotStored, PersistenceId, Refused, SeqNr};
use annals_tests::{Greeting, LeaseCommand, LeaseState, Lock, LockCommand, LockState, NotRenewed, SECRET};

use crate::until;
use crate::world::{World, yield_often};

#[tokio::test]
async fn what_a_lock_stores_can_be_read() {
    let world = World::new();
    let front = world.lock("front");
    let tick = || world.clock.advance(Duration::from_secs(1));
    front.lock().await.unwrap();
    tick();
    front.enter_digit(7).await.unwrap();
    tick();
    assert_eq!(front.try_unlock().await.unwrap(), Greeting::GoAway);
    for digit in SECRET {
        tick();
        front.enter_digit(digit).await.unwrap();
    }
    tick();
    assert_eq!(front.try_unlock().await.unwrap(), Greeting::Welcome);
    world.clock.advance(Duration::from_secs(30));
    until("it locks itself", || world.journal.faults().appended().runs == 9).await;
    insta::assert_snapshot!(world.stored("front").await.join("\n"), @r#"
    1 2026-01-01T00:00:00Z lock: Unlocked -> Locked
    2 2026-01-01T00:00:01Z enter_digit: digit_entered {"digit":7}
    3 2026-01-01T00:00:02Z try_unlock: combo_cleared {}
    4 2026-01-01T00:00:02Z try_unlock: intrusion_detected {"attempt":[7]}
    5 2026-01-01T00:00:03Z enter_digit: digit_entered {"digit":1}
    6 2026-01-01T00:00:04Z enter_digit: digit_entered {"digit":2}
    7 2026-01-01T00:00:05Z enter_digit: digit_entered {"digit":3}
    8 2026-01-01T00:00:06Z enter_digit: digit_entered {"digit":4}
    9 2026-01-01T00:00:07Z try_unlock: combo_cleared {}
    10 2026-01-01T00:00:07Z try_unlock: Locked -> Unlocked until 2026-01-01T00:00:37Z
    11 2026-01-01T00:00:37Z deadline of 10: Unlocked -> Locked
    "#);
}

#[tokio::test]
async fn a_step_is_one_atomic_write() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    assert_eq!(world.journal.faults().appended().runs, 1);
    world.journal.faults().refuse_next(Why::Failed("for once".into()));
    let error = lease.renew().await.unwrap_err();
    assert!(matches!(error, CallError::NotStored { why: NotStored::Journal(_), .. }), "{error:?}");
    assert_eq!(world.stored("car").await.len(), 1, "neither the event nor the transition is stored");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(lease.renew().await.unwrap(), 1);
    assert_eq!(
        world.stored("car").await[1..],
        [
            "2 2026-01-01T00:00:01Z renew: renewed",
            "3 2026-01-01T00:00:01Z renew: Held -> Held until 2026-03-02T00:00:01Z",
        ]
    );
    assert_eq!(world.journal.faults().appended().runs, 3, "both are in one run");
}

#[tokio::test]
async fn staying_without_events_stores_nothing() {
    let world = World::new();
    let lease = world.lease("car");
    assert_eq!(lease.look().await.unwrap(), (LeaseState::Free, 0, world.now()));
    lease.take().await.unwrap();
    assert_eq!(lease.look().await.unwrap(), (LeaseState::Held, 1, world.now()));
    assert_eq!(world.journal.faults().appended().runs, 1);
}

#[tokio::test]
async fn a_state_refuses_what_it_does_not_accept_and_says_what_does() {
    let world = World::new();
    let front = world.lock("front");
    let error = front.try_unlock().await.unwrap_err();
    assert_eq!(
        error,
        CallError::NotAccepted {
            id: PersistenceId::new("Lock", "front"),
            state: "Unlocked",
            command: "try_unlock",
            accepted_in: vec!["Locked"],
        }
    );
    insta::assert_snapshot!(
        error,
        @r#"Lock "front": `try_unlock` is not accepted in state `Unlocked`; it is accepted in Locked"#
    );
    let error = front.send(LockCommand::EnterDigit { digit: 1 }).await.unwrap_err();
    let CallError::NotAccepted { state: "Unlocked", command: "enter_digit", accepted_in, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(accepted_in, ["Locked"]);
    let error = world.lease("car").give_back(0).await.unwrap_err();
    let CallError::NotAccepted { accepted_in, .. } = error else { panic!("{error:?}") };
    assert_eq!(accepted_in, ["Held", "Warned"]);
    assert_eq!(world.journal.faults().appended().runs, 0);
}

#[tokio::test]
async fn commands_as_data_go_the_same_ways() {
    let world = World::new();
    let front = world.lock("front");
    front.send(LockCommand::Lock).await.unwrap();
    front.send(LockCommand::EnterDigit { digit: 3 }).await.unwrap();
    assert_eq!((front.state().await.unwrap(), front.entered().await.unwrap()), (LockState::Locked, vec![3]));
    let lease = world.lease("car");
    lease.send(LeaseCommand::Take).await.unwrap();
    assert_eq!(lease.send(LeaseCommand::GiveBack { renewals: 9 }).await.unwrap_err(), CallError::Refused(Refused));
    lease.send(LeaseCommand::GiveBack { renewals: 0 }).await.unwrap();
    lease.send(LeaseCommand::Poke).await.unwrap();
    assert_eq!(lease.state().await.unwrap(), LeaseState::Free);
    assert_eq!(world.stored("car").await.len(), 2);
}

#[tokio::test]
async fn a_machine_tells_where_it_is_and_what_it_accepts() {
    let world = World::new();
    let front = world.lock("front");
    assert_eq!(front.state().await.unwrap(), LockState::Unlocked);
    assert_eq!(front.accepts().await.unwrap(), ["lock"]);
    front.lock().await.unwrap();
    assert_eq!(front.state().await.unwrap(), LockState::Locked);
    assert_eq!(front.accepts().await.unwrap(), ["enter_digit", "try_unlock"]);
}

#[tokio::test]
async fn a_refusal_of_the_handler_changes_nothing() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    assert_eq!(lease.give_back(1).await.unwrap_err(), CallError::Refused(NotRenewed));
    let error = lease.crash().await.unwrap_err();
    assert!(matches!(error, CallError::Panicked { command: "crash", .. }), "{error:?}");
    assert_eq!(lease.state().await.unwrap(), LeaseState::Held);
    assert_eq!(world.stored("car").await.len(), 1);
}

#[tokio::test]
async fn what_is_ignored_is_accepted_and_does_nothing() {
    let world = World::new();
    let lease = world.lease("car");
    lease.poke().await.unwrap();
    assert_eq!(world.journal.faults().appended().runs, 0);
    lease.take().await.unwrap();
    lease.poke().await.unwrap();
    assert_eq!(lease.notes().await.unwrap(), ["poked"]);
    world.clock.advance(Duration::from_secs(60 * 24 * 3600));
    world.quiet().await;
    let error = lease.poke().await.unwrap_err();
    let CallError::NotAccepted { state: "Warned", accepted_in, .. } = error else { panic!("{error:?}") };
    assert_eq!(accepted_in, ["Free", "Held", "Gone"], "what is ignored is accepted");
}

#[tokio::test]
async fn a_terminal_state_accepts_nothing_but_what_it_ignores() {
    let world = World::new();
    let lease = world.lease("car");
    lease.end().await.unwrap();
    assert_eq!(lease.accepts().await.unwrap(), ["poke"]);
    lease.poke().await.unwrap();
    assert!(matches!(lease.take().await.unwrap_err(), CallError::NotAccepted { state: "Gone", .. }));
    assert!(matches!(lease.look().await.unwrap_err(), CallError::NotAccepted { state: "Gone", .. }));
    let world = world.crashed();
    assert_eq!(world.lease("car").state().await.unwrap(), LeaseState::Gone);
    assert_eq!(world.stored("car").await, ["1 2026-01-01T00:00:00Z end: Free -> Gone"]);
}

#[tokio::test]
async fn nothing_tells_of_a_state_before_it_is_durable() {
    let world = World::new();
    let lease = world.lease("car");
    world.journal.faults().hold();
    let take = tokio::spawn(lease.take());
    until("it is with the journal", || world.journal.faults().held() == 1).await;
    let state = tokio::spawn(lease.state());
    let accepts = tokio::spawn(lease.accepts());
    let not_accepted = tokio::spawn(lease.arrive());
    let as_data = tokio::spawn(lease.send(LeaseCommand::Arrive));
    let refused = tokio::spawn(lease.give_back(1));
    let look = tokio::spawn(lease.look());
    until("all are handled", || world.system.stats().commands == 7).await;
    yield_often().await;
    assert!(!take.is_finished() && !look.is_finished(), "a reply told of a state that could still be lost");
    assert!(!state.is_finished() && !accepts.is_finished(), "a state that could still be lost was told");
    assert!(!not_accepted.is_finished() && !as_data.is_finished(), "a refusal told of it");
    assert!(!refused.is_finished(), "a refusal of the handler told of it");
    assert_eq!(world.diary.lines(), [""; 0], "an effect told of it");

    world.journal.faults().release();
    take.await.unwrap().unwrap();
    assert_eq!(state.await.unwrap().unwrap(), LeaseState::Held);
    assert!(accepts.await.unwrap().unwrap().contains(&"renew"));
    assert!(matches!(not_accepted.await.unwrap(), Err(CallError::NotAccepted { state: "Held", .. })));
    assert!(matches!(as_data.await.unwrap(), Err(CallError::NotAccepted { state: "Held", .. })));
    assert_eq!(refused.await.unwrap(), Err(CallError::Refused(NotRenewed)));
    assert_eq!(look.await.unwrap().unwrap().0, LeaseState::Held);
}

#[tokio::test]
async fn a_failed_write_takes_the_state_back_and_all_that_was_said_of_it() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    world.journal.faults().hold();
    world.journal.faults().refuse_next(Why::Failed("for once".into()));
    let give_back = tokio::spawn(lease.give_back(0));
    until("it is with the journal", || world.journal.faults().held() == 1).await;
    let state = tokio::spawn(lease.state());
    let refused = tokio::spawn(lease.renew());
    let again = tokio::spawn(lease.take());
    until("all are handled", || world.system.stats().commands == 5).await;
    world.journal.faults().release();
    let error = give_back.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::NotStored { why: NotStored::Journal(_), .. }), "{error:?}");
    for error in [state.await.unwrap().unwrap_err().to_string(), refused.await.unwrap().unwrap_err().to_string()] {
        assert!(error.contains("an earlier write of the entity failed"), "{error}");
    }
    let error = again.await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::NotStored { .. }), "{error:?}");
    assert_eq!(lease.look().await.unwrap(), (LeaseState::Held, 1, world.now()));
    assert_eq!(lease.renew().await.unwrap(), 1);
    let diary = world.diary.lines();
    assert!(diary.contains(&"renewed".to_owned()));
    assert_eq!(
        diary.iter().filter(|line| line.starts_with("left")).count(),
        1,
        "hooks of what was lost ran: {diary:?}"
    );
}

#[tokio::test]
async fn hooks_run_once_around_the_effects_of_their_step() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    // Handled in one turn: the hooks still see the data of their own step.
    let (first, second, back) = tokio::join!(lease.renew(), lease.renew(), lease.give_back(2));
    assert_eq!((first.unwrap(), second.unwrap(), back.unwrap()), (1, 2, 2));
    world.system.shutdown().await.unwrap();
    let expected = [
        "took car",
        "entered Held, renewed 0 times",
        "left Held, renewed 1 times",
        "renewed",
        "entered Held, renewed 1 times",
        "left Held, renewed 2 times",
        "renewed",
        "entered Held, renewed 2 times",
        "left Held, renewed 2 times",
    ];
    assert_eq!(world.diary.lines(), expected);
    let world = World::start(world.journal.reopen(), world.clock, world.diary);
    assert_eq!(world.lease("car").state().await.unwrap(), LeaseState::Free);
    world.system.shutdown().await.unwrap();
    assert_eq!(world.diary.lines(), expected, "recovery ran a hook");
}

#[tokio::test]
async fn hooks_of_what_may_be_lost_do_not_run() {
    let world = World::new();
    let lease = world.lease("car");
    world.journal.faults().fail_next(UnknownRun::Stored);
    let error = lease.take().await.unwrap_err();
    assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
    assert_eq!(lease.state().await.unwrap(), LeaseState::Held, "it was stored all the same");
    world.system.shutdown().await.unwrap_err();
    assert_eq!(world.diary.lines(), [""; 0]);
}

#[tokio::test]
async fn nobody_recovers_to_a_transient_state() {
    let world = World::new();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    lease.move_out().await.unwrap();
    lease.note("on the way".to_owned()).await.unwrap();
    assert_eq!(lease.state().await.unwrap(), LeaseState::Moving);
    let world = world.crashed();
    let lease = world.lease("car");
    assert_eq!(lease.state().await.unwrap(), LeaseState::Held);
    assert_eq!(lease.notes().await.unwrap(), ["on the way"], "events are kept");
    lease.give_back(0).await.unwrap();
    assert_eq!(
        world.stored("car").await,
        [
            "1 2026-01-01T00:00:00Z take: Free -> Held until 2026-03-02T00:00:00Z",
            "2 2026-01-01T00:00:00Z move_out: Held -> Moving, transient until 2026-01-01T00:00:10Z",
            "3 2026-01-01T00:00:00Z note: noted",
            "4 2026-01-01T00:00:00Z give_back: Held -> Free until 2026-01-01T01:00:00Z",
        ]
    );
}

#[tokio::test]
async fn an_entity_in_a_transient_state_stays_in_memory() {
    let world = World::new();
    let system = crate::world::builder(&world.clock, &world.diary).residents_max(1).shards(1);
    let system = system.start(world.journal.reopen()).unwrap();
    let lease = system.get::<annals_tests::Lease>("car");
    lease.move_out().await.unwrap();
    for number in 0..100 {
        system.get::<annals_tests::Lease>(format!("{number}")).take().await.unwrap();
    }
    assert!(system.stats().passivations > 90, "{:?}", system.stats());
    assert_eq!(lease.state().await.unwrap(), LeaseState::Moving);
}

/// The program of yesterday, which had a state that today's hasn't.
mod yesterday {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub struct Lock;

    #[fsm(states(initial Unlocked, Jammed))]
    impl Lock {
        #[on(Unlocked => Jammed)]
        fn jam(&self) -> Step {
            goto(Jammed)
        }

        #[on(Jammed => Unlocked)]
        fn free(&self) -> Step {
            goto(Unlocked)
        }
    }
}

#[tokio::test]
async fn a_state_that_the_machine_has_no_more_quarantines_its_entity() {
    let world = World::new();
    world.system.shutdown().await.unwrap();
    let old = annals::System::builder().start(world.journal.reopen()).unwrap();
    old.get::<yesterday::Lock>("front").jam().await.unwrap();
    old.shutdown().await.unwrap();
    let world = World::start(world.journal.reopen(), world.clock, world.diary);
    let error = world.lock("front").state().await.unwrap_err();
    let CallError::Quarantined { seq_nr, reason, .. } = error else { panic!("{error:?}") };
    assert_eq!(seq_nr, SeqNr(1));
    assert_eq!(
        &*reason,
        "it leads to state `Jammed`, which isn't there: if it was renamed or removed, name it in `was(..)` of the state \
         that it is now; a newer version may have written it"
    );
    assert_eq!(world.system.get::<Lock>("back").state().await.unwrap(), LockState::Unlocked, "others go on");
}
