//! Every call to the journal and to the store of snapshots fails once, and then from some call on, in each way that it
//! can: for every operation of a system, until a run has no failure left. Then each answer was true, nothing hangs, the
//! rest of the world works or says why it doesn't, and what is stored is what everybody was told.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails panics, and tells what it was")]
#![expect(unreachable_pub, reason = "the modules share what they need")]

mod faulty;
mod log;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use annals::journal::{Health, Journal as _, MemoryJournal, ReadError, RunKey, Settled};
use annals::snapshot::MemorySnapshots;
use annals::testing::{ManualClock, UnknownRun};
use annals::{
    CallError, ForgetError, Key, Offset, PersistenceId, ReadMark, Retried, SeqNr, System, Timestamp, Unknown,
};
use tokio::time::{sleep, timeout};

use faulty::{Failure, FaultyJournal, FaultySnapshots, Plan};
use log::{Echo, Log, LogCommand, LogRef, LogState};

/// Nothing takes so long, unless somebody waits for ever. The time is simulated.
const PATIENCE: Duration = Duration::from_secs(600);
/// More calls than any of the operations makes.
const CALLS_MAX: u64 = 200;

/// What is done while a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Plain,
    Keyed,
    Query,
    Tell,
    Refused,
    Snapshot,
    Retention,
    RetentionWithReader,
    Delete,
    Forget,
    Replay,
    Steps,
    Transitions,
    Deadline,
    Effect,
    Passivation,
    Send,
    State,
    Retry,
    Settle,
    Shutdown,
}

/// What has to hold of an operation on an entity in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stored,
    NotStored,
    Either,
}

/// Where an entity is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    No,
    Yes,
    Maybe,
}

struct World {
    system: System,
    clock: ManualClock,
    journal: MemoryJournal,
    plan: Arc<Plan>,
    next_op: u64,
    told: BTreeMap<(&'static str, u64), Fate>,
    /// What became of `a`.
    ended: Ended,
    /// A run of the journal's last epoch whose outcome was unknown, and which is stored.
    unknown: Option<Arc<RunKey>>,
}

/// What the entities have before anything fails.
const BEFORE: [(&str, &[u64]); 3] = [("a", &[1, 2, 3, 4, 5]), ("b", &[6]), ("c", &[])];

fn start(
    journal: MemoryJournal,
    snapshots: &MemorySnapshots,
    plan: &Arc<Plan>,
    clock: &ManualClock,
    echo: &Arc<Echo>,
) -> System {
    System::builder()
        .shards(2)
        .residents_max(2)
        .inline_blocking()
        .retry_seed(1)
        .shutdown_within(Duration::from_secs(5))
        .clock(clock.clone())
        .provide(echo.clone())
        .register::<Log>()
        .snapshots(FaultySnapshots { inner: snapshots.clone(), plan: plan.clone() })
        .start(FaultyJournal { inner: journal, plan: plan.clone() })
        .unwrap()
}

/// Whether an error says that nothing is stored; no error says that something is.
fn fate_of<E: std::fmt::Debug>(error: &CallError<E>) -> Fate {
    match error {
        CallError::Unknown { .. } => Fate::Either,
        CallError::NotStored { .. }
        | CallError::Quarantined { .. }
        | CallError::Stopped { .. }
        | CallError::Deleted { .. } => Fate::NotStored,
        error => panic!("nobody has asked for {error:?}"),
    }
}

async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

impl World {
    fn log(&self, id: &str) -> LogRef {
        self.system.get::<Log>(id)
    }

    fn next_op(&mut self) -> u64 {
        self.next_op += 1;
        self.next_op
    }

    fn tell(&mut self, id: &'static str, op: u64, answer: Result<Vec<u64>, CallError<annals::Never>>) {
        let fate = match answer {
            Ok(entries) => {
                assert_eq!(entries.last(), Some(&op), "the reply doesn't include its own command");
                Fate::Stored
            }
            Err(error) => fate_of(&error),
        };
        self.told.insert((id, op), fate);
    }

    async fn enter(&mut self, id: &'static str) {
        let op = self.next_op();
        let answer = patiently("a command", self.log(id).enter(op)).await;
        self.tell(id, op, answer);
    }

    /// Lets the system do what it does by itself.
    async fn rest(&self) {
        sleep(Duration::from_secs(2)).await;
    }

    async fn act(&mut self, operation: Operation) {
        match operation {
            Operation::Plain => self.enter("a").await,
            Operation::Keyed => self.repeat_with_key().await,
            Operation::Query => {
                if let Err(error) = patiently("a query", self.log("a").entries()).await {
                    assert_ne!(fate_of(&error), Fate::Stored);
                }
            }
            Operation::Tell => {
                let op = self.next_op();
                let sent = patiently("a tell", self.log("a").enter(op).tell()).await;
                self.told.insert(("a", op), sent.map_or_else(|error| fate_of(&error), |()| Fate::Either));
            }
            Operation::Refused => match patiently("a refusal", self.log("a").refuse()).await {
                Err(CallError::Refused(entries)) => assert!(entries.starts_with(&[1, 2, 3, 4, 5])),
                Err(error) => assert_ne!(fate_of(&error), Fate::Stored),
                Ok(_) => panic!("it refuses always"),
            },
            Operation::Snapshot => match patiently("a snapshot", self.log("a").snapshot()).await {
                Ok(meta) => assert!(meta.seq_nr > SeqNr::ZERO),
                Err(CallError::Refused(_)) => {}
                Err(error) => assert_ne!(fate_of(&error), Fate::Stored),
            },
            Operation::Retention => {
                for _ in 0..9 {
                    self.enter("a").await;
                }
                self.rest().await;
            }
            Operation::RetentionWithReader => {
                let mark = ReadMark::new("slow", Offset(2));
                self.system.register_reader(&mark).unwrap();
                for _ in 0..5 {
                    self.enter("a").await;
                }
                self.rest().await;
                mark.move_to(self.journal.durable());
                for _ in 0..5 {
                    self.enter("a").await;
                }
                self.rest().await;
            }
            Operation::Delete => {
                let deleted = patiently("a deletion", self.system.delete::<Log>("a")).await;
                self.ended = if deleted.is_ok() { Ended::Yes } else { Ended::Maybe };
            }
            Operation::Forget => {
                let forgotten = patiently("forgetting", self.system.forget::<Log>("a")).await;
                self.ended = if forgotten.is_ok() { Ended::Yes } else { Ended::Maybe };
            }
            Operation::Replay => {
                if let Ok(past) = patiently("a replay", self.system.replay::<Log>("a").into_future()).await {
                    assert_eq!(past.data().entries(), [1, 2, 3, 4, 5]);
                }
            }
            Operation::Steps => {
                let mut steps = self.system.replay::<Log>("a").steps();
                while let Ok(Some(step)) = patiently("a step", steps.next()).await {
                    assert!([1, 2, 3, 4, 5].starts_with(&step.data().entries()));
                }
            }
            Operation::Transitions => self.read_transitions().await,
            Operation::Deadline => {
                self.clock.advance(Duration::from_secs(3));
                self.rest().await;
            }
            Operation::Effect => {
                let op = self.next_op();
                let answer = patiently("a command", self.log("a").pass_on(op, "c".to_owned())).await;
                self.tell("a", op, answer);
                self.told.insert(("c", op), Fate::Either);
                self.rest().await;
            }
            Operation::Passivation => {
                for id in ["a", "b", "c", "a", "c", "b"] {
                    self.enter(id).await;
                }
            }
            Operation::Send => {
                let op = self.next_op();
                let sent = patiently("a command as data", self.log("a").send(LogCommand::Enter { op })).await;
                self.told.insert(("a", op), sent.map_or_else(|error| fate_of(&error), |()| Fate::Stored));
            }
            Operation::State => {
                match patiently("a state", self.log("b").state()).await {
                    Ok(state) => assert_eq!(state, LogState::Lent),
                    Err(error) => assert_ne!(fate_of(&error), Fate::Stored),
                }
                match patiently("what it accepts", self.log("b").accepts()).await {
                    Ok(accepts) => assert_eq!(accepts, ["enter", "lend", "pass_on", "refuse"]),
                    Err(error) => assert_ne!(fate_of(&error), Fate::Stored),
                }
            }
            Operation::Retry => self.retry().await,
            Operation::Settle => self.settle().await,
            Operation::Shutdown => {
                for id in ["a", "b", "c"] {
                    let op = self.next_op();
                    let sent = self.log(id).enter(op).tell().await;
                    self.told.insert((id, op), sent.map_or_else(|error| fate_of(&error), |()| Fate::Either));
                }
                // Whether it succeeds is another matter.
                let _ = patiently("a shutdown", self.system.shutdown()).await;
            }
        }
    }

    /// Sends it until it is known to be stored, or known never to be.
    async fn repeat_with_key(&mut self) {
        let op = self.next_op();
        let key = Key::unique(op.to_le_bytes());
        let mut answers = Vec::new();
        let mut fate = Fate::NotStored;
        for _ in 0..3 {
            match patiently("a repeat", self.log("a").enter(op).key(key)).await {
                Ok(entries) => {
                    answers.push(entries);
                    fate = Fate::Stored;
                }
                Err(CallError::AlreadyDone { .. } | CallError::AnswerUnread { .. }) => fate = Fate::Stored,
                Err(error) if fate != Fate::Stored && fate_of(&error) == Fate::Either => fate = Fate::Either,
                Err(error) => assert_ne!(fate_of(&error), Fate::Stored),
            }
        }
        assert!(answers.windows(2).all(|two| two[0] == two[1]), "a repeat got another answer: {answers:?}");
        self.told.insert(("a", op), fate);
    }

    /// Brings `a` into quarantine, whatever else fails, and asks for another attempt.
    async fn retry(&mut self) {
        let error = ReadError::Engine { what: "a row".to_owned(), error: "the disk was away".into() };
        self.journal.faults().fail_reads(error);
        let answer = patiently("a query", self.log("a").entries()).await;
        self.journal.faults().heal_reads();
        assert!(matches!(answer, Err(CallError::Quarantined { .. })), "{answer:?}");
        let mut retried = Vec::new();
        for _ in 0..2 {
            retried.push(patiently("an attempt", self.system.retry(&PersistenceId::new("Log", "a"))).await.unwrap());
            match retried.last() {
                Some(Retried::Loaded | Retried::NotQuarantined) => self.enter("a").await,
                Some(Retried::Quarantined(quarantined)) => assert!(self.system.quarantined().contains(quarantined)),
                retried => panic!("{retried:?}"),
            }
        }
        let at_last = match retried.as_slice() {
            // What it was told to enter may have failed.
            [Retried::Loaded, _] | [Retried::Quarantined(_), Retried::Loaded] => true,
            [Retried::Quarantined(first), Retried::Quarantined(second)] => second.failures == first.failures + 1,
            _ => false,
        };
        assert!(at_last, "{retried:?}");
    }

    /// Asks twice what became of a run: what fails once answers then.
    async fn settle(&mut self) {
        let run = self.unknown.clone().expect("there is one to settle");
        let mut known = 0;
        for _ in 0..2 {
            match patiently("settling", self.system.settle(&run)).await {
                Ok(Settled::Stored(offset)) => {
                    assert!(offset <= self.journal.durable());
                    known += 1;
                }
                Ok(settled) => panic!("it is stored: {settled:?}"),
                Err(ReadError::Engine { error, .. }) => assert_eq!(&*error, "it was its turn"),
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(known > 0 || self.plan.is_for_good(), "one failure hides it for good");
    }

    async fn read_transitions(&mut self) {
        let mut transitions = self.system.transitions::<Log>();
        let op = self.next_op();
        let answer = patiently("a command", self.log("b").lend(op)).await;
        let went = answer.is_ok();
        self.tell("b", op, answer);
        let mut attempts = 0;
        while went && attempts < 3 {
            attempts += 1;
            match patiently("a transition", transitions.next()).await {
                Some(Ok(transition)) => {
                    assert_eq!(transition.to, LogState::Lent);
                    assert!(transition.offset <= self.journal.durable());
                    return;
                }
                Some(Err(_)) => {}
                None => return,
            }
        }
    }

    /// The rest of the world works, or says why it doesn't; where nothing has failed for good, it works again in time.
    async fn check_the_rest(&mut self, for_good: bool) {
        self.enter("d").await;
        if for_good || self.journal.health() != Health::Good {
            return;
        }
        self.plan.heal();
        for id in ["a", "b", "c"] {
            if id == "a" && self.ended != Ended::No {
                continue;
            }
            let mut attempts = 0;
            while let Err(error) = patiently("a query", self.log(id).entries()).await {
                attempts += 1;
                assert!(attempts < 10, "{id} never works again: {error:?}");
                self.clock.advance(Duration::from_secs(301));
                sleep(Duration::from_secs(2)).await;
            }
        }
    }
}

/// What is there before: `a` with a snapshot and deleted events, `b` with a deadline.
async fn prepare(snapshots: &MemorySnapshots, clock: &ManualClock, echo: &Arc<Echo>) -> MemoryJournal {
    let journal = MemoryJournal::new();
    let plan = Plan::new(0, false, Failure::NotStored);
    let system = start(journal.clone(), snapshots, &plan, clock, echo);
    for (id, entries) in BEFORE {
        for op in entries {
            let log = system.get::<Log>(id);
            if id == "b" {
                log.lend(*op).await.unwrap()
            } else {
                log.enter(*op).await.unwrap()
            };
        }
    }
    system.shutdown().await.unwrap();
    journal.reopen()
}

/// What `c` has of a run whose outcome nobody was told.
const UNKNOWN: u64 = 50;

/// Stores a run of `c` of which its caller doesn't know; the journal is opened again after it.
async fn lose_an_answer(
    journal: MemoryJournal,
    snapshots: &MemorySnapshots,
    clock: &ManualClock,
    echo: &Arc<Echo>,
) -> (MemoryJournal, Arc<RunKey>) {
    let healthy = Plan::new(0, false, Failure::NotStored);
    let system = start(journal.clone(), snapshots, &healthy, clock, echo);
    journal.faults().fail_next(UnknownRun::Stored);
    let answer = system.get::<Log>("c").enter(UNKNOWN).await;
    let Err(CallError::Unknown { why: Unknown::Journal { run, .. }, .. }) = answer else { panic!("{answer:?}") };
    let _ = system.shutdown().await;
    (journal.reopen(), run)
}

/// Holds what is stored against what everybody was told.
async fn compare(world: World, journal: &MemoryJournal, snapshots: &MemorySnapshots, echo: &Arc<Echo>) {
    let World { clock, told, ended, .. } = world;
    clock.advance(Duration::from_secs(3_600));
    let healthy = Plan::new(0, false, Failure::NotStored);
    let system = start(journal.reopen(), snapshots, &healthy, &clock, echo);
    sleep(Duration::from_secs(2)).await;
    for id in ["a", "b", "c", "d"] {
        let entries = match system.get::<Log>(id).entries().await {
            Ok(entries) => entries,
            Err(CallError::Deleted { .. }) if id == "a" && ended != Ended::No => continue,
            Err(error) => panic!("{id} can't be told: {error}"),
        };
        assert!(id != "a" || ended != Ended::Yes, "it was deleted and is there: {entries:?}");
        let before = BEFORE.iter().find(|(of, _)| *of == id).map_or(&[][..], |(_, entries)| entries);
        assert!(entries.starts_with(before), "{id} has lost something: {entries:?}");
        for ((_, op), fate) in told.iter().filter(|((of, _), _)| *of == id) {
            let copies = entries.iter().filter(|entry| *entry == op).count();
            let fits = match fate {
                Fate::Stored => copies == 1,
                Fate::NotStored => copies == 0,
                Fate::Either => copies <= 1,
            };
            assert!(fits, "operation {op} of {id} is stored {copies} times and should be {fate:?}");
        }
        let known = |op: &u64| *op == 0 || before.contains(op) || told.contains_key(&(id, *op));
        assert!(entries.iter().all(known), "nobody has asked for all of {entries:?}");
        // The deadline of `b` has been over for long.
        let state = system.get::<Log>(id).state().await.unwrap();
        assert_eq!(state, LogState::Open, "{id}'s time is over");
        assert!(id != "b" || entries.contains(&0), "the deadline of {id} was never handled");
        let past = system.replay::<Log>(id).await;
        assert!(past.as_ref().map_or(entries.is_empty(), |past| past.data().entries() == entries), "{id}: {past:?}");
    }
    let mut effects = echo.0.lock().unwrap().clone();
    effects.sort_unstable();
    let told_twice = effects.windows(2).find(|two| two[0] == two[1]).map(|two| two[0]);
    // What was passed on is told by the one that it was passed on to.
    assert_eq!(told_twice, None, "an effect ran twice");
    let lost = effects.iter().find(|op| told.iter().any(|((_, of), fate)| of == *op && *fate == Fate::NotStored));
    assert_eq!(lost, None, "an effect ran for nothing");
    system.shutdown().await.unwrap();
}

/// One run; says which call has failed, if any has.
fn run(operation: Operation, nth: u64, for_good: bool, failure: Failure) -> Option<&'static str> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = ManualClock::at(Timestamp::from_second(1_000_000).unwrap());
        let (snapshots, echo) = (MemorySnapshots::new(), Arc::new(Echo::default()));
        let mut journal = prepare(&snapshots, &clock, &echo).await;
        let (mut told, ended, mut unknown) = (BTreeMap::new(), Ended::No, None);
        if operation == Operation::Settle {
            let (reopened, run) = lose_an_answer(journal, &snapshots, &clock, &echo).await;
            (journal, unknown) = (reopened, Some(run));
            told.insert(("c", UNKNOWN), Fate::Stored);
        }
        let plan = Plan::new(nth, for_good, failure);
        let system = start(journal.clone(), &snapshots, &plan, &clock, &echo);
        let mut world = World { system, clock, journal: journal.clone(), plan, next_op: 100, told, ended, unknown };
        world.act(operation).await;
        if operation != Operation::Shutdown {
            world.check_the_rest(for_good).await;
            let _ = patiently("a shutdown", world.system.shutdown()).await;
        }
        let met = world.plan.met();
        world.plan.heal();
        compare(world, &journal, &snapshots, &echo).await;
        met
    })
}

/// Fails call after call, until none is left to fail.
fn fail_every_call(operation: Operation) {
    let mut met = BTreeMap::new();
    for failure in [Failure::NotStored, Failure::UnknownStored, Failure::UnknownLost] {
        for for_good in [false, true] {
            let mut nth = 1;
            let told = Told { operation, failure, for_good };
            while let Some(call) = told.about(nth, || run(operation, nth, for_good, failure)) {
                *met.entry(call).or_insert(0) += 1;
                nth += 1;
                assert!(nth < CALLS_MAX, "it never ends");
            }
        }
    }
    println!("{operation:?}: {met:?}");
    assert!(met.contains_key("armed"), "not even the first call has failed: {met:?}");
}

#[test]
fn forgetting_of_which_nobody_knows_is_told_so_and_asking_again_completes_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut told = 0;
    for nth in 1..CALLS_MAX {
        let met = runtime.block_on(async {
            let clock = ManualClock::at(Timestamp::from_second(1_000_000).unwrap());
            let (snapshots, echo) = (MemorySnapshots::new(), Arc::new(Echo::default()));
            let journal = prepare(&snapshots, &clock, &echo).await;
            let plan = Plan::new(nth, false, Failure::UnknownLost);
            let system = start(journal, &snapshots, &plan, &clock, &echo);
            let answer = patiently("forgetting", system.forget::<Log>("a")).await;
            if let Err(ForgetError::Call(CallError::Unknown { why: Unknown::Forgetting(cause), .. })) = &answer {
                assert_eq!((plan.met(), &*cause.0), (Some("forget"), "it was its turn"));
                patiently("forgetting again", system.forget::<Log>("a")).await.unwrap();
                told += 1;
            }
            plan.met()
        });
        if met.is_none() {
            break;
        }
    }
    assert_eq!(told, 1, "one call destroys the key");
}

/// Says what it was, if it fails.
struct Told {
    operation: Operation,
    failure: Failure,
    for_good: bool,
}

impl Told {
    fn about<T>(&self, nth: u64, act: impl FnOnce() -> T) -> T {
        let Self { operation, failure, for_good } = self;
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).unwrap_or_else(|panic| {
            let what = if *for_good { "from this call on" } else { "once" };
            panic!("{operation:?}, call {nth}, {failure:?} {what}: {panic:?}", panic = panic.downcast_ref::<String>())
        })
    }
}

macro_rules! fail_every_call {
    ($($name:ident: $operation:ident;)*) => {
        $(
            #[test]
            fn $name() {
                fail_every_call(Operation::$operation);
            }
        )*
    };
}

fail_every_call! {
    a_command_survives_the_failure_of_any_call: Plain;
    a_command_with_a_key_survives_the_failure_of_any_call: Keyed;
    a_query_survives_the_failure_of_any_call: Query;
    a_tell_survives_the_failure_of_any_call: Tell;
    a_refusal_survives_the_failure_of_any_call: Refused;
    a_snapshot_survives_the_failure_of_any_call: Snapshot;
    retention_survives_the_failure_of_any_call: Retention;
    retention_with_a_reader_survives_the_failure_of_any_call: RetentionWithReader;
    a_deletion_survives_the_failure_of_any_call: Delete;
    forgetting_survives_the_failure_of_any_call: Forget;
    a_replay_survives_the_failure_of_any_call: Replay;
    a_replay_in_steps_survives_the_failure_of_any_call: Steps;
    reading_transitions_survives_the_failure_of_any_call: Transitions;
    a_deadline_survives_the_failure_of_any_call: Deadline;
    an_effect_survives_the_failure_of_any_call: Effect;
    passivation_survives_the_failure_of_any_call: Passivation;
    a_command_as_data_survives_the_failure_of_any_call: Send;
    asking_for_a_state_survives_the_failure_of_any_call: State;
    another_attempt_at_quarantine_survives_the_failure_of_any_call: Retry;
    settling_survives_the_failure_of_any_call: Settle;
    a_shutdown_survives_the_failure_of_any_call: Shutdown;
}
