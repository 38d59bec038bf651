//! A machine with deadlines and keys under the same disturbances, while its clock is moved: every stream is folded
//! again here, record by record, and held against the graph, the clock and what everybody was told.

mod job;
mod judgement;
mod truth;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annals::journal::{Health, Journal as _, MemoryJournal, ReadError, Why};
use annals::testing::ManualClock;
use annals::{Call, CallError, Key, Repeatable, System, Timestamp, TransitionError};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use crate::calling::{Manner, Unanswered, make};
use crate::disturbance::{UNREAD, disturb, end, settings};
use crate::ground::{Crash, Ground, after_crash, all_stored, happened};
use crate::random::{Random, count};
use crate::{PATIENCE, ROUNDS, Tally, replay_seeds, setting, try_seeds};

use job::{Echo, Job, JobRef, Told, poison};
use judgement::{Notes, Reading, durable};
use truth::truth;

/// What a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Start { millis: Option<u64> },
    Bounce,
    Work,
    Peek,
    Check,
    Judge { pass: bool },
    Pause,
    Resume,
    Finish,
    Refuse,
    Crash,
    Curse,
    State,
    Accepts,
}

impl Action {
    fn choose(random: &mut Random) -> Self {
        match random.below(24) {
            0..=3 => Action::Start { millis: random.pick(&[None, None, Some(50), Some(5_000)]) },
            4 | 5 => Action::Bounce,
            6..=9 => Action::Work,
            10 => Action::Peek,
            11..=13 => Action::Check,
            14 | 15 => Action::Judge { pass: random.one_in(2) },
            16 => Action::Pause,
            17 => Action::Resume,
            18 if random.one_in(30) => Action::Finish,
            19 => Action::Refuse,
            20 if random.one_in(3) => Action::Crash,
            21 if random.one_in(4) => Action::Curse,
            22 => Action::Accepts,
            _ => Action::State,
        }
    }

    /// How many events it has when it is done.
    fn events(self) -> usize {
        match self {
            Action::Start { .. } | Action::Work | Action::Check | Action::Judge { .. } | Action::Pause => 1,
            Action::Bounce
            | Action::Peek
            | Action::Resume
            | Action::Finish
            | Action::Refuse
            | Action::Crash
            | Action::Curse
            | Action::State
            | Action::Accepts => 0,
        }
    }

    /// Whether it leads from a state to a state when it is done.
    fn goes(self) -> bool {
        match self {
            Action::Start { .. }
            | Action::Bounce
            | Action::Check
            | Action::Judge { .. }
            | Action::Pause
            | Action::Resume
            | Action::Finish => true,
            Action::Work
            | Action::Peek
            | Action::Refuse
            | Action::Crash
            | Action::Curse
            | Action::State
            | Action::Accepts => false,
        }
    }

    fn panics(self) -> bool {
        matches!(self, Action::Crash | Action::Curse)
    }
}

/// What somebody was answered for certain.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Reply(Told),
    Refusal(Told),
    NotAccepted(&'static str),
}

/// Why an answer couldn't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// Reads were made to fail.
    Disturbed,
    /// The journal was closed.
    Closed,
}

/// What a call ended with.
#[derive(Debug)]
enum Ending {
    Answer(Answer),
    State(String),
    Accepts(Vec<&'static str>),
    Panic(Arc<str>),
    /// The command was done before.
    AlreadyDone,
    /// It was done before, and what it was answered can't be read.
    Unread(Unread),
    /// This call stores nothing; and why.
    NotStored(&'static str),
    /// It may be stored; and why nobody knows.
    Open(&'static str),
}

impl From<Unanswered> for Ending {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotStored(why) => Ending::NotStored(why),
            Unanswered::Open(why) => Ending::Open(why),
        }
    }
}

impl Ending {
    fn of_error<E>(error: CallError<E>, refusal: impl FnOnce(E) -> Told) -> Self {
        if let Some(unanswered) = Unanswered::of(&error) {
            return unanswered.into();
        }
        match error {
            CallError::Refused(refused) => Ending::Answer(Answer::Refusal(refusal(refused))),
            CallError::NotAccepted { state, .. } => Ending::Answer(Answer::NotAccepted(state)),
            CallError::AlreadyDone { .. } => Ending::AlreadyDone,
            CallError::AnswerUnread { error, .. } => Ending::Unread(match error {
                ReadError::Closed => Unread::Closed,
                ReadError::Engine { error, .. } if &*error == UNREAD => Unread::Disturbed,
                error => panic!("nothing makes a read fail with {error}"),
            }),
            CallError::Panicked { message, .. } => Ending::Panic(message),
            _ => unreachable!("who isn't answered is told so above"),
        }
    }

    fn words(&self) -> &'static str {
        match self {
            Ending::Answer(Answer::Reply(_)) => "reply",
            Ending::Answer(Answer::Refusal(_)) => "refusal",
            Ending::Answer(Answer::NotAccepted(_)) => "not accepted",
            Ending::State(_) | Ending::Accepts(_) => "state",
            Ending::Panic(_) => "panic",
            Ending::AlreadyDone => "already done",
            Ending::Unread(_) => "answer unread",
            Ending::NotStored(why) | Ending::Open(why) => why,
        }
    }
}

/// A command of a caller: the same one when it is repeated.
#[derive(Debug, Clone, Copy)]
struct Operation {
    entity: u64,
    op: u64,
    action: Action,
    key: Option<Key>,
}

impl Operation {
    async fn call(self, job: &JobRef, manner: Manner) -> Ending {
        fn keyed<R: Repeatable, E: Repeatable>(call: Call<R, E>, key: Option<Key>) -> Call<R, E> {
            match key {
                Some(key) => call.key(key),
                None => call,
            }
        }
        let Self { op, key, .. } = self;
        let told = |told| Ending::Answer(Answer::Reply(told));
        let of_error = |error| Ending::of_error(error, |never| match never {});
        let call = match self.action {
            Action::Start { millis } => job.start(op, millis),
            Action::Bounce => job.bounce(op),
            Action::Work => job.work(op),
            Action::Peek => job.peek(),
            Action::Check => job.check(op),
            Action::Judge { pass } => job.judge(op, pass),
            Action::Pause => job.pause(op),
            Action::Resume => job.resume(),
            Action::Finish => job.finish(),
            Action::Crash => job.crash(),
            Action::Curse => job.curse(op),
            Action::Refuse => {
                let refused = |error| Ending::of_error(error, |told| told);
                return make(keyed(job.refuse(), key), manner, |answer| answer.map_or_else(refused, told)).await;
            }
            Action::State => {
                let state = |state| Ending::State(format!("{state:?}"));
                return make(job.state(), manner, |answer| answer.map_or_else(of_error, state)).await;
            }
            Action::Accepts => {
                return make(job.accepts(), manner, |answer| answer.map_or_else(of_error, Ending::Accepts)).await;
            }
        };
        make(keyed(call, key), manner, |answer| answer.map_or_else(of_error, told)).await
    }
}

/// The last number that was given to a command of each entity.
type Numbers = Arc<Vec<AtomicU64>>;

struct Caller {
    random: Random,
    /// Refs, and not the system, so that it can be dropped.
    jobs: Vec<JobRef>,
    journal: MemoryJournal,
    notes: Arc<Notes>,
    numbers: Numbers,
    /// The number of its first operation.
    first_op: u64,
}

impl Caller {
    async fn run(mut self) {
        let operations = 5 + self.random.below(15);
        for op in self.first_op..self.first_op + operations {
            let operation = self.choose(op);
            let mut times = if operation.key.is_some() { 1 + self.random.below(3) } else { 1 };
            while times > 0 {
                times -= 1;
                let manner = Manner::choose(&mut self.random);
                if !self.perform(operation, manner).await {
                    return;
                }
                if self.random.one_in(3) {
                    yield_now().await;
                }
            }
            // Something that anybody has sent before.
            if self.random.one_in(8)
                && let Some(operation) = self.notes.any_with_key(&mut self.random)
            {
                let manner = Manner::choose(&mut self.random);
                self.perform(operation, manner).await;
            }
        }
    }

    fn choose(&mut self, op: u64) -> Operation {
        let entity = self.random.below(count(self.jobs.len()));
        let action = Action::choose(&mut self.random);
        let key = match self.random.below(4) {
            _ if matches!(action, Action::State | Action::Accepts) => None,
            0 => Some(Key::unique(op.to_le_bytes())),
            1 => {
                let numbers = &self.numbers[usize::try_from(entity).unwrap()];
                let more = 1 + self.random.below(3);
                Some(Key::rising(numbers.fetch_add(more, Ordering::Relaxed) + more))
            }
            _ => None,
        };
        Operation { entity, op, action, key }
    }

    /// Says whether the system still takes calls.
    async fn perform(&self, operation: Operation, manner: Manner) -> bool {
        let job = &self.jobs[usize::try_from(operation.entity).unwrap()];
        let before = durable(&self.journal, operation.entity).await;
        self.notes.send(operation);
        let ending = operation.call(job, manner).await;
        let goes_on = !matches!(ending, Ending::NotStored("stopped"));
        self.notes.judge(operation, ending, before, &self.journal).await;
        goes_on
    }
}

/// Moves the clock to and fro, and forwards on the whole.
async fn move_clock(clock: &ManualClock, random: &mut Random) {
    for _ in 0..random.below(120) {
        if random.one_in(6) {
            let back = random.millis(&[1, 400, 5_000, 3_600_000]);
            clock.set(clock.now_shown().saturating_sub(back).unwrap());
        } else if random.one_in(200) {
            let wild = random.pick(&[-1_000_000, 0, 1_000_000 + 10 * 365 * 86_400]);
            clock.set(Timestamp::from_second(wild).unwrap());
        } else {
            clock.advance(random.millis(&[1, 40, 120, 600, 1_200, 10_000]));
        }
        happened("clock", &clock.now_shown());
        for _ in 0..random.below(30) {
            yield_now().await;
        }
    }
}

trait Shown {
    fn now_shown(&self) -> Timestamp;
}

impl Shown for ManualClock {
    fn now_shown(&self) -> Timestamp {
        annals::Clock::now(self)
    }
}

/// What lives as long as a seed.
struct World {
    entities: u64,
    clock: ManualClock,
    notes: Arc<Notes>,
    numbers: Numbers,
    echo: Arc<Echo>,
    /// The number of the next operation that no caller makes.
    next_op: AtomicU64,
}

impl World {
    /// Sends a command whose write is refused, and nothing behind it.
    async fn try_in_vain(&self, jobs: &[JobRef], journal: &MemoryJournal, random: &mut Random) {
        let entity = random.below(self.entities);
        let op = self.next_op.fetch_add(1, Ordering::Relaxed);
        let action = random.pick(&[Action::Start { millis: None }, Action::Pause, Action::Resume, Action::Check]);
        let operation = Operation { entity, op, action, key: None };
        let before = durable(journal, entity).await;
        journal.faults().refuse_next(Why::QueueFull { bytes: 1, limit: 1 });
        self.notes.send(operation);
        let ending = operation.call(&jobs[usize::try_from(entity).unwrap()], Manner::PATIENT).await;
        self.notes.judge(operation, ending, before, journal).await;
    }
}

/// Reads transitions from now on, as long as there are any.
fn read_transitions(
    system: &System,
    journal: &MemoryJournal,
    notes: Arc<Notes>,
) -> impl Future<Output = ()> + Send + use<> {
    let mut transitions = system.transitions::<Job>();
    let (journal, mut reading) = (journal.clone(), Reading::from(journal.durable()));
    async move {
        while let Some(told) = transitions.next().await {
            match told {
                Ok(transition) => reading.take_in(&transition, &journal),
                // What can't be read now is asked for again.
                Err(TransitionError::Read { .. }) => sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
            notes.read(&reading);
        }
    }
}

/// Makes events poisonous for a while: whoever is loaded then can't be.
async fn spoil(random: &mut Random) {
    for _ in 0..random.below(4) {
        sleep(Duration::from_millis(random.below(4))).await;
        poison(random.one_in(2));
    }
    poison(false);
}

/// One life of a system; gives the journal back as it is open then.
async fn round(number: u64, journal: MemoryJournal, world: &World, random: &mut Random) -> MemoryJournal {
    let faults = journal.faults();
    world.echo.eye.open(&journal);
    world.notes.reads_failed.store(false, Ordering::Relaxed);
    let mut builder = settings(random).clock(world.clock.clone()).provide(world.echo.clone()).keys_max(1_000_000);
    builder = builder.deadlines_in_flight_max(usize::try_from(random.pick(&[1, 2, 256])).unwrap());
    if random.one_in(2) {
        builder = builder.register::<Job>();
    }
    let system = builder.start(journal.clone()).unwrap();
    tokio::spawn(read_transitions(&system, &journal, world.notes.clone()));
    let mut callers = Vec::new();
    for caller in 0..4 + random.below(25) {
        let caller = Caller {
            random: random.fork(),
            jobs: (0..world.entities).map(|entity| system.get::<Job>(format!("{entity}"))).collect(),
            journal: journal.clone(),
            notes: world.notes.clone(),
            numbers: world.numbers.clone(),
            first_op: 1 + number * 1_000_000 + caller * 1_000,
        };
        callers.push(tokio::spawn(caller.run()));
    }
    let mut other = random.fork();
    let mut third = random.fork();
    let disturbed = disturb(&system, &faults, random, &world.notes.reads_failed);
    tokio::join!(disturbed, move_clock(&world.clock, &mut other), spoil(&mut third));
    let (system, journal) = end(system, journal, callers, random).await;
    faults.release();
    poison(false);
    if let Some(system) = system {
        // In the same life, too, nothing that has failed leaves a deadline behind.
        world.clock.advance(random.millis(&[700, 3_000]));
        let _ = until_nothing_is_due(&system, &journal, &world.clock).await;
    }
    journal
}

/// Lets every deadline end that can, and repeats every key; `None` if a fault that was left over has met it.
async fn come_to_rest(journal: &MemoryJournal, world: &World, random: &mut Random) -> Option<()> {
    world.echo.eye.open(journal);
    let builder = settings(random).clock(world.clock.clone()).provide(world.echo.clone()).shutdown_within(PATIENCE);
    let mut before = Vec::new();
    for entity in 0..world.entities {
        before.push(truth(journal, entity));
    }
    let system = builder.keys_max(1_000_000).register::<Job>().start(journal.clone()).unwrap();
    let jobs: Vec<_> = (0..world.entities).map(|entity| system.get::<Job>(format!("{entity}"))).collect();
    for ((entity, job), before) in (0..).zip(&jobs).zip(before) {
        let state = format!("{:?}", job.state().await.ok()?);
        let since = truth(journal, entity).points.split_off(before.points.len());
        let fits = before.last().durable.state == state || since.iter().any(|point| point.is_in(&state));
        assert!(fits, "{entity} is recovered to {state} after {:?}", before.last());
    }
    for _ in 0..6 {
        if random.one_in(2) {
            world.try_in_vain(&jobs, journal, random).await;
        }
        world.clock.advance(random.millis(&[300, 700, 2_500, 3_600_000]));
        until_nothing_is_due(&system, journal, &world.clock).await?;
    }
    for (entity, job) in (0..).zip(&jobs) {
        let state = job.state().await.ok()?;
        let truth = truth(journal, entity);
        assert_eq!(format!("{state:?}"), truth.last().durable.state, "{entity} stands elsewhere");
        assert_eq!(job.entries().await.ok()?, truth.entries, "{entity} has other data than its journal");
    }
    for (entity, job) in (0..).zip(&jobs) {
        let (truth, id) = (truth(journal, entity), job.id().clone());
        let seq_nr = random.below(count(truth.points.len()));
        let past = system.replay::<Job>(id).to_seq(annals::SeqNr(seq_nr)).await;
        let entries = past.map(|past| past.data().entries().len());
        let stored = truth.points[usize::try_from(seq_nr).unwrap()].entries;
        assert!(entries == Ok(stored) || truth.points.len() == 1, "{entity} up to {seq_nr}: {entries:?}, not {stored}");
    }
    for operation in world.notes.with_answers() {
        let job = &jobs[usize::try_from(operation.entity).unwrap()];
        let ending = operation.call(job, Manner::PATIENT).await;
        world.notes.judge_repeat(operation, &ending);
    }
    // It may fail: a fault that was left over may have met a last deadline.
    let _ = timeout(PATIENCE, system.shutdown()).await.expect("the shutdown ends");
    Some(())
}

/// Waits until no deadline is overdue; `None` if the journal has failed or is closed.
async fn until_nothing_is_due(system: &System, journal: &MemoryJournal, clock: &ManualClock) -> Option<()> {
    let started = Instant::now();
    for turn in 1_u64.. {
        if system.health() != Health::Good {
            return None;
        }
        let now = clock.now_shown();
        let overdue: Vec<_> = journal.armed().await.unwrap().into_iter().filter(|armed| armed.due <= now).collect();
        if overdue.is_empty() {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "at {now}, a deadline is overdue for ever: {overdue:?}");
        if turn.is_multiple_of(50) {
            // An alarm that has failed is rung again after a pause.
            clock.advance(Duration::from_secs(301));
        }
        sleep(Duration::from_millis(1)).await;
    }
    Some(())
}

fn play(ground: Ground, seed: u64) -> Tally {
    let mut random = Random::new(seed);
    let entities = 1 + random.below(4);
    let world = World {
        entities,
        clock: ManualClock::at(Timestamp::from_second(1_000_000).unwrap()),
        notes: Arc::new(Notes::default()),
        numbers: Arc::new((0..entities).map(|_| AtomicU64::new(0)).collect()),
        echo: Arc::new(Echo::default()),
        next_op: AtomicU64::new(1_000_000_000),
    };
    let mut journal = MemoryJournal::new();
    for number in 0..ROUNDS {
        journal = journal.reopen();
        let crash = Crash::choose(&mut random);
        let mut inside = random.fork();
        let life = round(number, journal.clone(), &world, &mut inside);
        journal = ground.live(crash, life).unwrap_or_else(|| after_crash(&journal, &mut random));
        poison(false);
        all_stored(&journal.reopen());
    }
    for attempt in 0.. {
        assert!(attempt < 50, "it never comes to rest");
        journal = journal.reopen();
        if ground.live_on(come_to_rest(&journal, &world, &mut random)).is_some() {
            break;
        }
    }
    let journal = journal.reopen();
    all_stored(&journal);
    world.notes.compare(&journal, &world.echo);
    let mut tally = world.notes.tally();
    for entity in 0..entities {
        truth(&journal, entity).count(&mut tally);
    }
    tally
}

#[test]
fn every_step_of_a_machine_agrees_with_its_graph_its_clock_and_its_journal() {
    let tally = try_seeds(450, Ground::Simulated, play);
    let happened =
        ["reply", "refusal", "not accepted", "storage low", "deadline stayed", "deadline went", "key stored"];
    // A single seed doesn't do everything.
    for what in happened.iter().filter(|_| setting("ANNALS_SEED").is_none()) {
        assert!(tally.contains_key(what), "nothing of `{what}` has happened: {tally:?}");
    }
}

#[test]
fn every_step_of_a_machine_agrees_with_its_graph_on_threads_too() {
    let tally = try_seeds(20, Ground::Threads, play);
    assert!(tally.contains_key("reply"), "nothing has happened: {tally:?}");
}

#[test]
fn a_seed_repeats_exactly() {
    replay_seeds(play);
}
