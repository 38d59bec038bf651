//! The transitions of a machine as a stream: all of them, in order, once they are durable.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annals::journal::{Journal as _, Outcome};
use annals::{Offset, PersistenceId, SeqNr, System, TransitionError, Transitions, Trigger};
use annals_tests::{Account, Lease, LeaseState, Lock, LockState, Mood, until_so};
use futures_core::Stream;

use crate::until;
use crate::world::{World, yield_often};

/// Waits for so many transitions, and tells each in a line.
async fn told(transitions: &mut Transitions<Lease>, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let told = transitions.next().await.unwrap().unwrap();
        let cause = match told.cause() {
            Trigger::Command(name) => name,
            Trigger::Deadline => "deadline",
        };
        lines.push(format!("{} {}: {:?} -> {:?} by {cause}", told.id, told.seq_nr, told.from, told.to));
    }
    lines
}

#[tokio::test]
async fn transitions_are_told_in_order_with_their_cause() {
    let world = World::new();
    world.lease("before").take().await.unwrap();
    let mut transitions = world.system.transitions::<Lease>();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    lease.renew().await.unwrap();
    // What isn't a transition of a lease is left out.
    lease.note("stays".to_owned()).await.unwrap();
    world.lease("idle").note("begins its visit of Free".to_owned()).await.unwrap();
    world.lock("front").lock().await.unwrap();
    world.system.get::<Account>("alice").deposit(1).await.unwrap();
    lease.give_back(9).await.unwrap_err();
    lease.look().await.unwrap();
    lease.move_out().await.unwrap();
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(
        told(&mut transitions, 4).await,
        [
            "car 1: Free -> Held by take",
            "car 3: Held -> Held by renew",
            "car 5: Held -> Moving by move_out",
            "car 6: Moving -> Held by deadline",
        ]
    );
    let mut locks = world.system.transitions::<Lock>().after(Offset(0));
    let told = locks.next().await.unwrap().unwrap();
    assert_eq!((told.id.as_str(), told.from, told.to), ("front", LockState::Unlocked, LockState::Locked));
    assert_eq!((told.seq_nr, told.time.to_string()), (SeqNr(1), "2026-01-01T00:00:00Z".to_owned()));
}

#[tokio::test]
async fn a_deadline_that_stays_is_no_transition() {
    let world = World::new();
    let mut transitions = world.system.transitions::<Lease>();
    let lease = world.lease("car");
    lease.take().await.unwrap();
    let other = world.lease("other");
    other.take().await.unwrap();
    other.feel(Mood::Lenient).await.unwrap();
    world.clock.advance(Duration::from_secs(60 * 24 * 3600));
    until("both are over", || world.journal.faults().appended().runs == 5).await;
    other.give_back(0).await.unwrap();
    let mut lines = told(&mut transitions, 4).await;
    lines.sort();
    assert_eq!(
        lines,
        [
            "car 1: Free -> Held by take",
            "car 2: Held -> Warned by deadline",
            "other 1: Free -> Held by take",
            "other 4: Held -> Free by give_back",
        ]
    );
}

#[tokio::test]
async fn no_transition_is_told_before_it_is_durable() {
    let world = World::new();
    let mut transitions = world.system.transitions::<Lease>();
    world.journal.faults().hold();
    let take = tokio::spawn(world.lease("car").take());
    until("it is with the journal", || world.journal.faults().held() == 1).await;
    let next = tokio::spawn(async move { transitions.next().await });
    yield_often().await;
    assert!(!next.is_finished(), "a transition was told that could still be lost");
    world.journal.faults().release();
    assert_eq!(next.await.unwrap().unwrap().unwrap().to, LeaseState::Held);
    take.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_goes_on_behind_an_offset_in_the_middle_of_a_run_too() {
    let world = World::new();
    let lease = world.lease("car");
    // One run of several writes.
    world.journal.faults().hold();
    let first = tokio::spawn(world.lease("other").take());
    until("one is with the journal", || world.journal.faults().held() == 1).await;
    let calls = [tokio::spawn(lease.take())];
    let renewals: Vec<_> = (0..9).map(|_| tokio::spawn(lease.renew())).collect();
    until("all are handled", || world.system.stats().commands == 11).await;
    world.journal.faults().release();
    first.await.unwrap().unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    for renewal in renewals {
        renewal.await.unwrap().unwrap();
    }
    assert!(world.journal.faults().appended().runs < 11);
    let mut all = world.system.transitions::<Lease>().after(Offset(0));
    let mut offsets = Vec::new();
    for _ in 0..11 {
        offsets.push(all.next().await.unwrap().unwrap());
    }
    assert!(offsets.is_sorted_by_key(|told| told.offset));
    for (read, told) in offsets.iter().enumerate() {
        let mut rest = world.system.transitions::<Lease>().after(told.offset);
        for expected in &offsets[read + 1..] {
            assert_eq!(rest.next().await.unwrap().unwrap(), *expected);
        }
        assert_pending(&mut rest);
    }
}

/// Says that there is nothing to be told for now.
fn assert_pending(transitions: &mut Transitions<Lease>) {
    let polled = Pin::new(transitions).poll_next(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending), "{polled:?}");
}

#[tokio::test]
async fn what_is_deleted_is_not_told_and_the_stream_goes_on() {
    let world = World::new();
    let (car, other) = (world.lease("car"), world.lease("other"));
    for lease in [&other, &car] {
        lease.take().await.unwrap();
        lease.give_back(0).await.unwrap();
    }
    let delete = async |name: &str, to| {
        let head = world.journal.open_stream(&PersistenceId::new("Lease", name)).await.unwrap();
        let outcome = world.journal.delete_to(head.stream, SeqNr(to)).await;
        assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
    };
    let mut behind_one = world.system.transitions::<Lease>().after(Offset(1));
    delete("other", 1).await;
    let mut all = world.system.transitions::<Lease>().after(Offset(0));
    let given_back = "other 2: Held -> Free by give_back";
    assert_eq!(told(&mut all, 1).await, [given_back]);
    // All that is behind is deleted: there is nothing to tell, and it isn't the end.
    delete("car", 2).await;
    let mut late = world.system.transitions::<Lease>().after(Offset(2));
    for _ in 0..100 {
        assert_pending(&mut late);
        tokio::task::yield_now().await;
    }
    other.take().await.unwrap();
    for transitions in [&mut late, &mut all] {
        let lines = told(transitions, 1).await;
        assert!(lines[0].ends_with("by take"), "{lines:?}");
    }
    assert_eq!(told(&mut behind_one, 2).await, [given_back, "other 3: Free -> Held by take"]);
}

#[tokio::test]
async fn every_reader_gets_everything_however_slow_it_is() {
    let world = World::new();
    let mut slow = world.system.transitions::<Lease>();
    let mut quick = world.system.transitions::<Lease>();
    let never_asked = world.system.transitions::<Lease>();
    let reader = tokio::spawn(async move { told(&mut quick, 2000).await });
    for number in 0..1000 {
        let lease = world.lease(format!("{}", number % 10));
        lease.take().await.unwrap();
        lease.give_back(0).await.unwrap();
    }
    let quick = reader.await.unwrap();
    assert_eq!(told(&mut slow, 2000).await, quick);
    assert_eq!(quick[1999], "9 200: Held -> Free by give_back");
    drop(never_asked);
}

#[tokio::test]
async fn a_stream_is_a_stream_and_ends_when_the_journal_is_closed() {
    let world = World::new();
    let mut transitions = Box::pin(world.system.transitions::<Lease>());
    world.lease("car").take().await.unwrap();
    let first = std::future::poll_fn(|task| transitions.as_mut().poll_next(task)).await;
    assert_eq!(first.unwrap().unwrap().to, LeaseState::Held);
    let rest = tokio::spawn(async move {
        let rest = transitions.next().await;
        (rest, transitions.next().await)
    });
    yield_often().await;
    world.system.shutdown().await.unwrap();
    assert_eq!(rest.await.unwrap(), (None, None));
    assert_eq!(world.system.transitions::<Lease>().after(Offset(0)).next().await, None);
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing() {
    let world = World::new();
    let mut transitions = world.system.transitions::<Lease>();
    for number in 0..50 {
        tokio::select! {
            biased;
            told = transitions.next() => panic!("{told:?}"),
            () = tokio::task::yield_now() => {}
        }
        world.lease(format!("{number}")).take().await.unwrap();
        assert_eq!(transitions.next().await.unwrap().unwrap().id.as_str(), format!("{number}"));
    }
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_is_told_and_asked_again() {
    let world = World::new();
    let mut transitions = world.system.transitions::<Lease>();
    world.lease("car").take().await.unwrap();
    let broken = annals::journal::ReadError::Engine { what: "a row".to_owned(), error: "the disk is gone".into() };
    world.journal.faults().fail_reads(broken.clone());
    let error = transitions.next().await.unwrap().unwrap_err();
    assert_eq!(error, TransitionError::Read { after: Offset(0), error: broken });
    assert_eq!(error.to_string(), "behind offset 0: can't read a row: the disk is gone");
    world.journal.faults().heal_reads();
    assert_eq!(transitions.next().await.unwrap().unwrap().id.as_str(), "car");
}

/// The program of yesterday, which had a state that today's hasn't.
mod yesterday {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub struct Lease;

    #[fsm(states(initial Free, Stolen))]
    impl Lease {
        #[on(Free => Stolen)]
        fn steal(&self) -> Step {
            goto(Stolen)
        }

        #[on(Stolen => Free)]
        fn find(&self) -> Step {
            goto(Free)
        }
    }
}

#[tokio::test]
async fn a_state_that_the_machine_has_no_more_is_told_and_the_rest_as_well() {
    let world = World::new();
    world.system.shutdown().await.unwrap();
    let old = System::builder().start(world.journal.reopen()).unwrap();
    old.get::<yesterday::Lease>("car").steal().await.unwrap();
    old.shutdown().await.unwrap();
    let world = World::start(world.journal.reopen(), world.clock, world.diary);
    world.lease("other").take().await.unwrap();
    let mut transitions = world.system.transitions::<Lease>().after(Offset(0));
    let error = transitions.next().await.unwrap().unwrap_err();
    let id = PersistenceId::new("Lease", "car");
    assert_eq!(error, TransitionError::UnknownState { id, seq_nr: SeqNr(1), name: "Stolen".to_owned() });
    assert_eq!(error.to_string(), r#"Lease "car", sequence number 1: no state is stored as `Stolen`"#);
    assert_eq!(told(&mut transitions, 1).await, ["other 1: Free -> Held by take"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_keeps_no_directory_open_that_its_system_has_left() {
    let directory = tempfile::tempdir().unwrap();
    let diary = std::sync::Arc::<annals_tests::Diary>::default();
    let open = || System::builder().provide(diary.clone()).open(directory.path().join("data"));
    let system = open().await.unwrap();
    let mut transitions = system.transitions::<Lease>();
    system.get::<Lease>("car").take().await.unwrap();
    drop(system);
    let mut told = 0;
    while let Some(transition) = transitions.next().await {
        transition.unwrap();
        told += 1;
    }
    assert!(told <= 1);
    until_so("the directory isn't open any more", async || open().await.is_ok()).await;
    drop(transitions);
}
