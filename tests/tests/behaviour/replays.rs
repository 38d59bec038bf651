//! Entities as they were: at any record, at any time, record by record.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annals::journal::{Due, Journal, MemoryJournal, Outcome, ReadError, Record, RunBuilder, Why, Write};
use annals::snapshot::Criteria;
use annals::{
    Aggregate, DecodeError, Happened, Key, Offset, Past, PersistenceId, ReplayError, SeqNr, Steps, System, Timestamp,
    Trigger,
};
use annals_tests::{Account, AccountEvent, Lease, LeaseState, Lock, LockState, Mood, SECRET};

use crate::quarantine::{Lamp, written_tomorrow};
use crate::shelf::{Shelf, Short, Tally};
use crate::world::{World, yield_often};
use crate::{restarted, system, until};

fn id(aggregate: &str, entity: &str) -> PersistenceId {
    PersistenceId::new(aggregate, entity)
}

fn seq(number: u64) -> SeqNr {
    SeqNr(number)
}

/// What is left of a replay record by record: sequence numbers and data.
async fn rest<A: Aggregate + Clone>(steps: &mut Steps<A>) -> Vec<(u64, A)> {
    let mut told = Vec::new();
    while let Some(step) = steps.next().await.unwrap() {
        told.push((step.seq_nr.0, step.data().clone()));
    }
    told
}

#[tokio::test]
async fn an_account_is_told_as_it_was_at_every_record() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    alice.deposit_all(vec![10, 100]).await.unwrap();
    alice.withdraw(50).await.unwrap();
    let balances = [0, 1, 11, 111, 61];
    for system in [system, restarted(&journal)] {
        for (number, balance) in (0..).zip(balances) {
            let past = system.replay::<Account>("alice").to_seq(seq(number)).await.unwrap();
            assert_eq!((past.seq_nr(), past.data().balance()), (seq(number), balance));
            assert_eq!(past.time().is_some(), number > 0);
        }
        let last = system.replay::<Account>("alice").await.unwrap();
        assert_eq!((last.seq_nr(), last.into_data().balance()), (seq(4), 61));
        let error = system.replay::<Account>("alice").to_seq(seq(5)).await.unwrap_err();
        assert_eq!(error, ReplayError::Beyond { id: id("Account", "alice"), asked: seq(5), last: seq(4) });
        let error = system.replay::<Account>("bob").await.unwrap_err();
        assert_eq!(error, ReplayError::NotFound { id: id("Account", "bob") });
        assert_eq!(error.to_string(), r#"Account "bob": nothing is stored"#);
        let error = system.replay::<Account>("").steps().next().await.unwrap_err();
        assert!(matches!(error, ReplayError::Read { error: ReadError::InvalidId(_), .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_replay_leaves_the_entity_and_its_stream_alone() {
    let (system, journal) = system();
    system.get::<Account>("alice").deposit(1).await.unwrap();
    system.shutdown().await.unwrap();
    let journal = journal.reopen();
    let system = System::builder().start(journal.clone()).unwrap();
    system.replay::<Account>("alice").await.unwrap();
    system.replay::<Account>("alice").to_seq(seq(9)).await.unwrap_err();
    system.replay::<Account>("bob").await.unwrap_err();
    assert_eq!(rest(&mut system.replay::<Account>("alice").steps()).await.len(), 1);
    drop(system.replay::<Account>("alice").steps());
    let stats = system.stats();
    assert_eq!((stats.residents, stats.commands, stats.recoveries, stats.events_replayed), (0, 0, 0, 0));
    // A stream that isn't open takes no runs.
    let head = journal.open_stream(&id("Account", "alice")).await.unwrap();
    journal.close_stream(head.stream);
    let mut run = RunBuilder::new(head.stream, id("Account", "alice"), head.last.next());
    run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Receipt].into_iter());
    let outcomes = journal.append(vec![run.seal(&journal.facts(), 99)]).await;
    assert!(matches!(outcomes[..], [Outcome::NotStored(Why::BadRun(_))]), "it was left open: {outcomes:?}");
}

#[tokio::test]
async fn only_what_is_durable_is_told() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.deposit(1).await.unwrap();
    journal.faults().hold();
    let deposit = tokio::spawn(alice.deposit(10));
    until("it is with the journal", || journal.faults().held() == 1).await;
    let past = system.replay::<Account>("alice").await.unwrap();
    assert_eq!((past.seq_nr(), past.data().balance()), (seq(1), 1));
    assert!(matches!(system.replay::<Account>("alice").to_seq(seq(2)).await, Err(ReplayError::Beyond { .. })));
    journal.faults().release();
    deposit.await.unwrap().unwrap();
    assert_eq!(system.replay::<Account>("alice").to_seq(seq(2)).await.unwrap().data().balance(), 11);
}

/// What a lease was, in short.
fn lease(past: &Past<Lease>) -> (u64, LeaseState, u64) {
    (past.seq_nr().0, past.state(), past.data().renewals())
}

#[tokio::test]
async fn a_time_is_the_last_record_that_is_not_later() {
    let world = World::new();
    let start = world.now();
    let car = world.lease("car");
    world.clock.advance(Duration::from_secs(10));
    car.take().await.unwrap();
    world.clock.advance(Duration::from_secs(10));
    car.renew().await.unwrap();
    world.clock.advance(Duration::from_secs(10));
    car.give_back(0).await.unwrap();
    car.note("the same moment".to_owned()).await.unwrap();
    let at = |micros: i64| Timestamp::from_microsecond(start.as_microsecond() + micros).unwrap();
    let replay = || world.system.replay::<Lease>("car");
    for (micros, expected) in [
        (0, (0, LeaseState::Free, 0)),
        (9_999_999, (0, LeaseState::Free, 0)),
        (10_000_000, (1, LeaseState::Held, 0)),
        (19_999_999, (1, LeaseState::Held, 0)),
        (20_000_000, (3, LeaseState::Held, 1)),
        (29_999_999, (3, LeaseState::Held, 1)),
        (30_000_000, (5, LeaseState::Free, 1)),
        (90_000_000, (5, LeaseState::Free, 1)),
    ] {
        let past = replay().to_time(at(micros)).await.unwrap();
        assert_eq!(lease(&past), expected, "at {micros} us");
        let steps = rest(&mut replay().to_time(at(micros)).steps()).await;
        assert_eq!(steps.last().map_or(0, |(seq_nr, _)| *seq_nr), expected.0);
    }
    assert_eq!(replay().to_time(at(0)).await.unwrap().time(), None);
    assert_eq!(replay().to_time(at(25_000_000)).await.unwrap().time(), Some(at(20_000_000)));
    // The bound that is reached first counts.
    assert_eq!(lease(&replay().to_time(at(25_000_000)).to_seq(seq(4)).await.unwrap()).0, 3);
    assert_eq!(lease(&replay().to_time(at(25_000_000)).to_seq(seq(2)).await.unwrap()), (2, LeaseState::Held, 1));
}

#[tokio::test]
async fn a_transient_state_lasts_until_it_is_left_or_the_entity_was_loaded_anew() {
    let world = World::new();
    world.lease("car").take().await.unwrap();
    world.lease("car").move_out().await.unwrap();
    world.lease("car").note("on the way".to_owned()).await.unwrap();
    let world = world.crashed();
    world.lease("car").note("back".to_owned()).await.unwrap();
    world.lease("car").move_out().await.unwrap();
    world.lease("car").arrive().await.unwrap();
    let mut states = Vec::new();
    let mut steps = world.system.replay::<Lease>("car").steps();
    while let Some(step) = steps.next().await.unwrap() {
        let state = step.state().unwrap();
        let past = world.system.replay::<Lease>("car").to_seq(step.seq_nr).await.unwrap();
        assert_eq!((past.state(), past.data()), (state, step.data()));
        states.push(state);
    }
    use LeaseState::{Free, Held, Moving};
    assert_eq!(states, [Held, Moving, Moving, Held, Moving, Free]);
}

#[tokio::test]
async fn each_record_is_told_with_what_it_is_and_the_data_after_it() {
    let world = World::new();
    let front = world.lock("front");
    front.lock().await.unwrap();
    front.enter_digit(7).await.unwrap();
    front.try_unlock().await.unwrap();
    for digit in SECRET {
        front.enter_digit(digit).await.unwrap();
    }
    front.try_unlock().await.unwrap();
    world.clock.advance(Duration::from_secs(30));
    world.until_stored("front", 11).await;

    let (mut lines, mut mine, mut state) = (Vec::new(), Lock::default(), LockState::Unlocked);
    let mut steps = world.system.replay::<Lock>("front").steps();
    while let Some(step) = steps.next().await.unwrap() {
        let (data, now) = (step.data(), step.state().unwrap());
        let cause = match step.cause.unwrap() {
            Trigger::Command(name) => name,
            Trigger::Deadline => "deadline",
        };
        let what = match step.what {
            Happened::Event { name, version: 1, event: Some(event) } => {
                mine.apply(event);
                name.to_owned()
            }
            Happened::Transition { from: Some(from), to, due } => {
                state = if to == "Locked" { LockState::Locked } else { LockState::Unlocked };
                format!("{from} -> {to}{}", due.map_or(String::new(), |due| format!(" until {due}")))
            }
            other => panic!("{other:?}"),
        };
        assert_eq!((data, now), (&mine, state), "after {}", step.seq_nr);
        lines.push(format!("{} at {} {cause}: {what}", step.seq_nr, step.offset));
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    1 at 1 lock: Unlocked -> Locked
    2 at 2 enter_digit: digit_entered
    3 at 3 try_unlock: combo_cleared
    4 at 4 try_unlock: intrusion_detected
    5 at 5 enter_digit: digit_entered
    6 at 6 enter_digit: digit_entered
    7 at 7 enter_digit: digit_entered
    8 at 8 enter_digit: digit_entered
    9 at 9 try_unlock: combo_cleared
    10 at 10 try_unlock: Locked -> Unlocked until 2026-01-01T00:00:30Z
    11 at 11 deadline: Unlocked -> Locked
    ");
    assert!(steps.next().await.unwrap().is_none(), "it stays at its end");
}

#[tokio::test]
async fn records_that_are_no_events_are_told_too() {
    let world = World::new();
    let car = world.lease("car");
    car.feel(Mood::Lenient).await.unwrap();
    car.poke().key(Key::unique("ignored")).await.unwrap();
    car.take().await.unwrap();
    world.clock.advance(Duration::from_secs(60 * 24 * 3600));
    world.until_stored("car", 5).await;
    let mut told = Vec::new();
    let mut steps = world.system.replay::<Lease>("car").steps();
    while let Some(step) = steps.next().await.unwrap() {
        told.push(format!("{:?}", step.what));
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    Event(felt, version 1)
    Transition { from: None, to: "Free", due: Some(2026-01-01T01:00:00Z) }
    Receipt
    Transition { from: Some("Free"), to: "Held", due: Some(2026-03-02T00:00:00Z) }
    DeadlineConsumed(4)
    "#);
}

#[tokio::test]
async fn a_long_stream_is_read_page_by_page_and_a_dropped_future_loses_nothing() {
    let (system, _) = system();
    let alice = system.get::<Account>("alice");
    for _ in 0..12 {
        alice.note("x".repeat(400_000)).await.unwrap();
        alice.deposit(1).await.unwrap();
    }
    let mut steps = system.replay::<Account>("alice").steps();
    let mut told = Vec::new();
    loop {
        // Asked once and dropped, again and again.
        let asked = pin!(steps.next()).poll(&mut Context::from_waker(Waker::noop()));
        match asked.map(|told| told.unwrap().map(|step| (step.seq_nr.0, step.data().balance()))) {
            Poll::Ready(Some(step)) => told.push(step),
            Poll::Ready(None) => break,
            Poll::Pending => yield_often().await,
        }
    }
    assert_eq!(told, (1..=24).map(|seq_nr| (seq_nr, seq_nr / 2)).collect::<Vec<_>>());
    assert_eq!(system.replay::<Account>("alice").to_seq(seq(21)).await.unwrap().data().balance(), 10);

    // What is deleted meanwhile is told as that.
    let mut steps = system.replay::<Account>("alice").steps();
    steps.next().await.unwrap().unwrap();
    system.delete::<Account>("alice").await.unwrap();
    let error = loop {
        match steps.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended before the last record"),
            Err(error) => break error,
        }
    };
    assert_eq!(error, ReplayError::Ended { id: id("Account", "alice"), seq_nr: seq(25) });
    assert_eq!(system.replay::<Account>("alice").await.unwrap_err(), error);
    assert_eq!(system.replay::<Account>("alice").to_seq(seq(3)).steps().next().await.unwrap_err(), error);
}

#[tokio::test]
async fn an_entity_that_can_not_be_loaded_is_told_up_to_the_record_in_the_way() {
    let system = System::builder().start(written_tomorrow().await).unwrap();
    let hall = || system.replay::<Lamp>("hall");
    assert_eq!(hall().to_seq(seq(1)).await.unwrap().data().switched, 1);
    let expected = ReplayError::Undecodable {
        id: id("Lamp", "hall"),
        seq_nr: seq(2),
        name: "dimmed".to_owned(),
        version: 1,
        error: DecodeError::UnknownEvent { name: "dimmed".to_owned() },
    };
    assert_eq!(hall().await.unwrap_err(), expected);
    let mut steps = hall().steps();
    assert_eq!(steps.next().await.unwrap().unwrap().data().switched, 1);
    for _ in 0..2 {
        assert_eq!(steps.next().await.unwrap_err(), expected);
    }
    let error = system.replay::<Lamp>("attic").await.unwrap_err();
    let newer =
        matches!(error, ReplayError::Undecodable { version: 2, error: DecodeError::NewerVersion { known: 1, .. }, .. });
    assert!(newer, "{error:?}");
}

/// The program of yesterday, where an event that curses did no harm, and a lock could jam.
mod yesterday {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub struct Account;

    #[aggregate]
    impl Account {
        #[event]
        fn cursed(&mut self) {}

        #[command]
        fn curse(&self) -> Step {
            applying(AccountEvent::Cursed)
        }
    }

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
async fn a_fold_that_panics_is_told_with_its_record() {
    let (system, journal) = system();
    system.get::<yesterday::Account>("alice").curse().await.unwrap();
    system.shutdown().await.unwrap();
    let system = restarted(&journal);
    let expected = ReplayError::Panicked { id: id("Account", "alice"), seq_nr: seq(1), message: "cursed".into() };
    assert_eq!(system.replay::<Account>("alice").await.unwrap_err(), expected);
    let mut steps = system.replay::<Account>("alice").steps();
    for _ in 0..2 {
        assert_eq!(steps.next().await.unwrap_err(), expected);
    }
    assert_eq!(system.replay::<Account>("alice").to_seq(seq(0)).await.unwrap().data().balance(), 0);
}

#[tokio::test]
async fn a_state_that_is_gone_matters_only_while_it_lasts() {
    let world = World::new();
    world.system.shutdown().await.unwrap();
    let old = System::builder().start(world.journal.reopen()).unwrap();
    let front = old.get::<yesterday::Lock>("front");
    front.jam().await.unwrap();
    front.free().await.unwrap();
    old.shutdown().await.unwrap();
    let world = World::start(world.journal.reopen(), world.clock, world.diary);
    let jammed = ReplayError::UnknownState { id: id("Lock", "front"), seq_nr: seq(1), name: "Jammed".to_owned() };
    let replay = || world.system.replay::<Lock>("front");
    assert_eq!(replay().to_seq(seq(1)).await.unwrap_err(), jammed);
    assert_eq!(replay().await.unwrap().state(), LockState::Unlocked);
    let mut steps = replay().steps();
    let step = steps.next().await.unwrap().unwrap();
    assert!(matches!(step.what, Happened::Transition { to: "Jammed", .. }), "{step:?}");
    assert_eq!((step.data(), step.state()), (&Lock::default(), Err(jammed)));
    assert_eq!(steps.next().await.unwrap().unwrap().state(), Ok(LockState::Unlocked));
}

#[tokio::test]
async fn who_steps_goes_on_when_the_journal_can_be_read_again_and_ends_with_the_system() {
    let (system, journal) = system();
    system.get::<Account>("alice").deposit(1).await.unwrap();
    let broken = ReadError::Engine { what: "a row".to_owned(), error: Arc::from("the disk is gone") };
    journal.faults().fail_reads(broken.clone());
    let mut steps = system.replay::<Account>("alice").steps();
    for _ in 0..2 {
        let error = steps.next().await.unwrap_err();
        assert_eq!(error, ReplayError::Read { id: id("Account", "alice"), seq_nr: seq(1), error: broken.clone() });
    }
    journal.faults().heal_reads();
    assert_eq!(steps.next().await.unwrap().unwrap().seq_nr, seq(1));
    let mut steps = system.replay::<Account>("alice").steps();
    system.shutdown().await.unwrap();
    let error = steps.next().await.unwrap_err();
    assert!(matches!(error, ReplayError::Read { error: ReadError::Closed, .. }), "{error:?}");
}

#[tokio::test]
async fn a_replay_begins_with_the_snapshot_that_is_asked_for() {
    let shelf = Shelf::new();
    let system = System::builder().snapshots(shelf.clone()).start(MemoryJournal::new()).unwrap();
    for _ in 0..7 {
        system.get::<Tally>("t").count(1).await.unwrap();
    }
    until("they are saved", || shelf.seqs(&PersistenceId::new("Tally", "t")) == [6, 4]).await;
    let replay = || system.replay::<Tally>("t");
    let steps = async |replay: annals::Replay<Tally>| -> Vec<u64> {
        rest(&mut replay.steps())
            .await
            .iter()
            .map(|(seq_nr, data)| (*seq_nr, data.count))
            .map(|(seq_nr, count)| {
                assert_eq!(seq_nr, count);
                seq_nr
            })
            .collect()
    };
    assert_eq!(steps(replay()).await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(steps(replay().without_snapshots()).await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(steps(replay().from_snapshots(Criteria::LATEST)).await, [7]);
    assert_eq!(steps(replay().from_snapshots(Criteria::LATEST.to_seq(seq(5)))).await, [5, 6, 7]);
    assert_eq!(steps(replay().from_snapshots(Criteria::LATEST).to_seq(seq(5))).await, [5]);
    assert_eq!(steps(replay().from_snapshots(Criteria::LATEST.to_seq(seq(3)))).await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(steps(replay().from_snapshots(Criteria::LATEST.to_time(Timestamp::UNIX_EPOCH))).await.len(), 7);
    for number in 0..=7 {
        let past = replay().to_seq(seq(number)).await.unwrap();
        assert_eq!((past.seq_nr(), past.data().count), (seq(number), number));
    }
    // One that is damaged is passed over, and so is a store that fails.
    shelf.damage(&PersistenceId::new("Tally", "t"), 6);
    assert_eq!(steps(replay().from_snapshots(Criteria::LATEST)).await, [5, 6, 7]);
    shelf.fail(true);
    assert_eq!(steps(replay().from_snapshots(Criteria::LATEST)).await.len(), 7);
    assert_eq!(replay().await.unwrap().data().count, 7);
    shelf.fail(false);
    assert_eq!(shelf.seqs(&PersistenceId::new("Tally", "t")), [6, 4], "a replay deletes none");
}

#[tokio::test]
async fn what_was_deleted_can_not_be_told_and_what_can_be_asked_for_is() {
    let shelf = Shelf::new();
    let system = System::builder().snapshots(shelf.clone()).start(MemoryJournal::new()).unwrap();
    let id_of_t = PersistenceId::new("Short", "t");
    for number in 1..=7 {
        system.get::<Short>("t").count(1).await.unwrap();
        until("it is saved", || number == 1 || shelf.seqs(&id_of_t).first() == Some(&(number / 2 * 2))).await;
    }
    until("the older ones are gone", || shelf.seqs(&id_of_t) == [6, 4]).await;
    until("records are deleted", || system.stats().records_deleted == 4).await;
    let replay = || system.replay::<Short>("t");
    let deleted = |from: Option<u64>| ReplayError::Deleted { id: id("Short", "t"), floor: seq(4), from: from.map(seq) };
    assert_eq!(replay().to_seq(seq(3)).await.unwrap_err(), deleted(Some(4)));
    assert_eq!(replay().to_seq(seq(0)).steps().next().await.unwrap_err(), deleted(Some(4)));
    assert_eq!(replay().to_time(Timestamp::UNIX_EPOCH).await.unwrap_err(), deleted(Some(4)));
    assert_eq!(replay().without_snapshots().await.unwrap_err(), deleted(Some(4)));
    assert_eq!(
        deleted(Some(4)).to_string(),
        r#"Short "t": the records up to 4 were deleted, and with snapshots it can be told from 4 on"#
    );
    for number in 4..=7 {
        assert_eq!(replay().to_seq(seq(number)).await.unwrap().data().count, number);
    }
    let all = rest(&mut replay().steps()).await;
    assert_eq!(all.iter().map(|(seq_nr, data)| (*seq_nr, data.count)).collect::<Vec<_>>(), [(5, 5), (6, 6), (7, 7)]);
    assert_eq!(rest(&mut replay().from_snapshots(Criteria::LATEST).steps()).await.len(), 1);
    shelf.damage(&PersistenceId::new("Short", "t"), 4);
    assert_eq!(replay().to_seq(seq(5)).await.unwrap_err(), deleted(Some(6)));
    assert_eq!(replay().await.unwrap().data().count, 7);
    shelf.damage(&PersistenceId::new("Short", "t"), 6);
    assert_eq!(replay().await.unwrap_err(), deleted(None));
}

#[tokio::test]
async fn on_a_disk_the_past_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let system = System::open(directory.path()).await.unwrap();
    let alice = system.get::<Account>("alice");
    for amount in 1..=50 {
        alice.deposit(amount).await.unwrap();
    }
    let steps = system.replay::<Account>("alice").steps();
    system.shutdown().await.unwrap();
    drop(system);
    // Who steps keeps no directory from being opened.
    let system = System::open(directory.path()).await.unwrap();
    for number in [0, 1, 25, 50] {
        let past = system.replay::<Account>("alice").to_seq(seq(number)).await.unwrap();
        assert_eq!(past.data().balance(), number * (number + 1) / 2);
    }
    let mut steps_again = system.replay::<Account>("alice").steps();
    let mut balance = 0;
    while let Some(step) = steps_again.next().await.unwrap() {
        let Happened::Event { event: Some(AccountEvent::Deposited { amount }), .. } = step.what else { panic!() };
        balance += amount;
        assert_eq!((step.data().balance(), step.offset), (balance, Offset(step.seq_nr.0)));
    }
    assert_eq!(balance, 1275);
    drop(steps);
    drop(steps_again);
    system.shutdown().await.unwrap();
}
