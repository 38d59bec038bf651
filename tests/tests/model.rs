//! Callers against a journal that holds, refuses, fails and is opened again: each answer is compared with the journal
//! at that moment, and with what is stored in the end.
//!
//! `ANNALS_SEEDS` sets how many seeds are tried; `ANNALS_SEED` repeats one. A seed decides every choice, but not how
//! the threads meet.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails panics, and tells its seed")]

use std::collections::{BTreeMap, HashSet};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use annals::journal::{Journal as _, MemoryJournal, Why};
use annals::prelude::*;
use annals::testing::{MemoryFaults, UnknownRun};
use annals::{Builder, Call, NotStored, PersistenceId, SeqNr, Unknown};
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{sleep, timeout};

/// How often the system is started on one journal.
const ROUNDS: u64 = 3;
/// Nothing here takes so long, unless somebody waits for ever.
const PATIENCE: Duration = Duration::from_secs(20);
/// How the message of each intended panic begins.
const INTENDED: &str = "intended: ";

/// Remembers the operations that were done to it, in order.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Ledger {
    entries: Vec<u64>,
}

#[aggregate(services = Arc<Echo>)]
impl Ledger {
    #[event]
    fn entered(&mut self, op: u64) {
        self.entries.push(op);
    }

    /// Can't be folded, and leaves broken data behind.
    #[event]
    fn cursed(&mut self, op: u64) {
        self.entries.push(op);
        panic!("{INTENDED}a fold");
    }

    #[command]
    fn enter(&self, op: u64) -> Step<Vec<u64>> {
        applying(LedgerEvent::Entered { op })
            .and_then(move |fx| fx.services().entered.lock().unwrap().push(op))
            .replying_with(Self::entries)
    }

    /// Half of it would show.
    #[command]
    fn enter_twice(&self, op: u64) -> Step<Vec<u64>> {
        applying([LedgerEvent::Entered { op }, LedgerEvent::Entered { op }]).replying_with(Self::entries)
    }

    #[command]
    fn refuse(&self) -> Result<Step<Vec<u64>>, Vec<u64>> {
        Err(self.entries())
    }

    #[command]
    fn curse(&self, op: u64) -> Step<Vec<u64>> {
        applying([LedgerEvent::Entered { op }, LedgerEvent::Cursed { op }]).replying(Vec::new())
    }

    /// Tells how much it has seen with its panic.
    #[command]
    fn crash(&self) -> Step<Vec<u64>> {
        panic!("{INTENDED}{}", self.entries.len())
    }

    #[command]
    fn crash_in_reply(&self, op: u64) -> Step<Vec<u64>> {
        applying(LedgerEvent::Entered { op }).replying_with(|_| panic!("{INTENDED}a reply"))
    }

    /// Tells what it has seen with an effect, and stores nothing.
    #[command]
    fn echo(&self) -> Step<Vec<u64>> {
        let last = self.entries.last().copied();
        stay().and_then(move |fx| fx.services().echoed.lock().unwrap().extend(last)).replying_with(Self::entries)
    }

    #[query]
    fn entries(&self) -> Vec<u64> {
        self.entries.clone()
    }
}

/// What effects have told of.
#[derive(Debug, Default)]
struct Echo {
    entered: Mutex<Vec<u64>>,
    echoed: Mutex<Vec<u64>>,
}

/// xorshift: enough to make choices, and the same for the same seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..10 {
            random.below(2);
        }
        random
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(count(choices.len()))).unwrap()]
    }

    fn millis(&mut self, choices: &[u64]) -> Duration {
        Duration::from_millis(self.pick(choices))
    }

    /// Another one, for a task of its own.
    fn fork(&mut self) -> Self {
        Self::new(self.below(u64::MAX))
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}

/// What a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Enter,
    EnterTwice,
    Refuse,
    Curse,
    Crash,
    CrashInReply,
    Echo,
    Query,
}

impl Action {
    fn choose(random: &mut Random) -> Self {
        match random.below(10) {
            0..=2 => Action::Enter,
            3 => Action::EnterTwice,
            4 => Action::Refuse,
            // A broken entity is loaded again, which hides what could go wrong otherwise.
            5 if random.one_in(4) => Action::Curse,
            6 if random.one_in(3) => Action::CrashInReply,
            7 => Action::Crash,
            8 => Action::Echo,
            _ => Action::Query,
        }
    }

    /// How many entries it leaves when it succeeds.
    fn entries(self) -> usize {
        match self {
            Action::Enter => 1,
            Action::EnterTwice => 2,
            Action::Refuse | Action::Curse | Action::Crash | Action::CrashInReply | Action::Echo | Action::Query => 0,
        }
    }

    /// Whether it can end with a panic, and can't end with a reply.
    fn panics(self) -> bool {
        matches!(self, Action::Curse | Action::Crash | Action::CrashInReply)
    }
}

/// How a call is made.
#[derive(Debug, Clone, Copy)]
struct Manner {
    within: Option<Duration>,
    or_overloaded: bool,
    waits: Waits,
}

#[derive(Debug, Clone, Copy)]
enum Waits {
    ForTheAnswer,
    /// It is told, and nobody waits for the reply.
    UntilSent,
    /// It is dropped after this time.
    NoLongerThan(Duration),
}

impl Manner {
    fn choose(random: &mut Random) -> Self {
        let option = random.below(12);
        let within = Duration::from_millis(random.below(3));
        let patience = Duration::from_micros(random.below(300));
        let waits = match random.below(75) {
            0..=4 => Waits::UntilSent,
            5..=7 => Waits::NoLongerThan(patience),
            _ => Waits::ForTheAnswer,
        };
        Self { within: (option == 0).then_some(within), or_overloaded: option == 1, waits }
    }
}

/// What a call ended with.
#[derive(Debug)]
enum Ending {
    Reply(Vec<u64>),
    Refusal(Vec<u64>),
    Panic(Arc<str>),
    /// Nothing of it is stored; and why.
    NotStored(&'static str),
    /// It may be stored; and why nobody knows.
    Open(&'static str),
}

impl Ending {
    fn of_error<E>(error: CallError<E>, refusal: impl FnOnce(E) -> Vec<u64>) -> Self {
        match error {
            CallError::Refused(refused) => Ending::Refusal(refusal(refused)),
            CallError::Panicked { message, .. } => Ending::Panic(message),
            CallError::NotAccepted { .. } | CallError::AlreadyDone { .. } => {
                unreachable!("the account has no states, and its commands have no keys")
            }
            CallError::Overloaded { .. } => Ending::NotStored("overloaded"),
            CallError::NotStored { why: NotStored::TimedOut { .. }, .. } => Ending::NotStored("too late to send"),
            CallError::NotStored { why: NotStored::EarlierWriteFailed, .. } => Ending::NotStored("behind a failure"),
            CallError::NotStored { .. } => Ending::NotStored("not stored"),
            CallError::Quarantined { .. } => Ending::NotStored("quarantined"),
            CallError::Stopped { .. } => Ending::NotStored("stopped"),
            CallError::Unknown { why: Unknown::TimedOut { .. }, .. } => Ending::Open("timed out"),
            CallError::Unknown { why: Unknown::Journal(_), .. } => Ending::Open("unknown"),
            CallError::Unknown { .. } => Ending::Open("dropped"),
        }
    }

    fn words(&self) -> &'static str {
        match self {
            Ending::Reply(_) => "reply",
            Ending::Refusal(_) => "refusal",
            Ending::Panic(_) => "panic",
            Ending::NotStored(why) | Ending::Open(why) => why,
        }
    }
}

/// Makes a call, and says what it ended with; `refusal` gives what a refusal has seen.
async fn make<E>(mut call: Call<Vec<u64>, E>, manner: Manner, refusal: impl FnOnce(E) -> Vec<u64>) -> Ending {
    if let Some(within) = manner.within {
        call = call.within(within);
    }
    if manner.or_overloaded {
        call = call.or_overloaded();
    }
    let answer = match manner.waits {
        Waits::ForTheAnswer => call.await,
        Waits::NoLongerThan(patience) => match timeout(patience, call).await {
            Ok(answer) => answer,
            Err(_) => return Ending::Open("cancelled"),
        },
        Waits::UntilSent => {
            let Err(error) = call.tell().await else { return Ending::Open("told") };
            let ending = Ending::of_error(error, |never| match never {});
            assert!(matches!(ending, Ending::NotStored(_)), "a call that was not sent ended with {ending:?}");
            return ending;
        }
    };
    answer.map_or_else(|error| Ending::of_error(error, refusal), Ending::Reply)
}

/// What has to hold of an operation in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stored,
    NotStored,
    Either,
}

/// An operation, and what its caller was told.
#[derive(Debug)]
struct Told {
    entity: u64,
    action: Action,
    fate: Fate,
    ending: &'static str,
}

/// What somebody has seen of an entity; it has to be a beginning of what is stored in the end.
#[derive(Debug)]
struct Seen {
    entity: u64,
    action: Action,
    entries: Vec<u64>,
}

/// What the callers write down.
#[derive(Debug, Default)]
struct Notes {
    told: Mutex<BTreeMap<u64, Told>>,
    seen: Mutex<Vec<Seen>>,
}

struct Caller {
    random: Random,
    /// Refs, and not the system, so that it can be dropped.
    ledgers: Vec<LedgerRef>,
    journal: MemoryJournal,
    notes: Arc<Notes>,
    /// The number of its first operation.
    first_op: u64,
}

impl Caller {
    async fn run(mut self) {
        let operations = 5 + self.random.below(15);
        for op in self.first_op..self.first_op + operations {
            let entity = self.random.below(count(self.ledgers.len()));
            let (action, manner) = (Action::choose(&mut self.random), Manner::choose(&mut self.random));
            let pause = self.random.one_in(3);
            let ending = self.call(entity, op, action, manner).await;
            self.judge(entity, op, action, ending).await;
            if pause {
                yield_now().await;
            }
        }
    }

    async fn call(&self, entity: u64, op: u64, action: Action, manner: Manner) -> Ending {
        let ledger = &self.ledgers[usize::try_from(entity).unwrap()];
        match action {
            Action::Enter => make(ledger.enter(op), manner, |never| match never {}).await,
            Action::EnterTwice => make(ledger.enter_twice(op), manner, |never| match never {}).await,
            Action::Refuse => make(ledger.refuse(), manner, |seen| seen).await,
            Action::Curse => make(ledger.curse(op), manner, |never| match never {}).await,
            Action::Crash => make(ledger.crash(), manner, |never| match never {}).await,
            Action::CrashInReply => make(ledger.crash_in_reply(op), manner, |never| match never {}).await,
            Action::Echo => make(ledger.echo(), manner, |never| match never {}).await,
            Action::Query => make(ledger.entries(), manner, |never| match never {}).await,
        }
    }

    /// Compares an answer with the journal as it is now, and writes down what has to hold in the end.
    async fn judge(&self, entity: u64, op: u64, action: Action, ending: Ending) {
        let words = ending.words();
        let mut fate = Fate::NotStored;
        match ending {
            Ending::Reply(entries) => {
                assert!(!action.panics(), "{action:?} got a reply");
                if action.entries() > 0 {
                    assert_eq!(entries.last(), Some(&op), "a reply doesn't include its own command");
                    fate = Fate::Stored;
                }
                self.see(entity, action, entries).await;
            }
            Ending::Refusal(entries) => self.see(entity, action, entries).await,
            Ending::Panic(message) => {
                assert!(action.panics(), "{action:?} panicked: {message}");
                let message = message.strip_prefix(INTENDED).unwrap();
                if action == Action::Crash {
                    self.are_durable(entity, action, message.parse().unwrap()).await;
                }
            }
            Ending::NotStored(_) => {}
            // A command that can't succeed leaves nothing, also where nobody knows how it ended.
            Ending::Open(_) if action.entries() == 0 => {}
            Ending::Open(_) => fate = Fate::Either,
        }
        self.notes.told.lock().unwrap().insert(op, Told { entity, action, fate, ending: words });
    }

    async fn see(&self, entity: u64, action: Action, entries: Vec<u64>) {
        self.are_durable(entity, action, entries.len()).await;
        self.notes.seen.lock().unwrap().push(Seen { entity, action, entries });
    }

    /// Nothing may be told that isn't durable.
    async fn are_durable(&self, entity: u64, action: Action, records: usize) {
        // A journal that is closed can't be asked.
        if let Ok(head) = self.journal.open_stream(&PersistenceId::new("Ledger", format!("{entity}"))).await {
            self.journal.close_stream(head.stream);
            assert!(head.last.0 >= count(records), "{action:?} told of {records} records, durable are {}", head.last);
        }
    }
}

/// A system with small bounds, so that all of them are met.
fn settings(random: &mut Random) -> Builder {
    System::builder()
        .shards(random.pick(&[1, 2]))
        .run_ahead_max(random.pick(&[1, 2, 3, 7, 4096]))
        .run_ahead_bytes_max(random.pick(&[1, 400, 1 << 20]))
        .residents_max(random.pick(&[1, 3, 1000]))
        .mailbox_max(random.pick(&[8, 16, 4096]))
        .idle_after(random.millis(&[0, 10, 1000]))
        .shutdown_within(random.millis(&[1, 30, 2000]))
}

/// Makes the journal hold, refuse and fail for a while.
async fn disturb(faults: &MemoryFaults, random: &mut Random) {
    for _ in 0..random.below(60) {
        match random.below(14) {
            0..=2 => faults.hold(),
            3..=7 => drop(faults.release_next()),
            8 | 9 => faults.release(),
            10 => faults.refuse_next(Why::QueueFull { bytes: 1, limit: 1 }),
            11 => faults.refuse_next(Why::Conflict { expected: SeqNr(1), last: SeqNr(2) }),
            // Nothing is stored after it.
            12 if random.one_in(12) => {
                faults.fail_nth(1 + random.below(3), random.pick(&[UnknownRun::Stored, UnknownRun::Lost]));
            }
            _ => sleep(Duration::from_micros(random.below(1500))).await,
        }
        for _ in 0..random.below(20) {
            yield_now().await;
        }
    }
}

/// How the system of a round ends, while its callers go on.
#[derive(Debug, Clone, Copy)]
enum End {
    Dropped,
    ShutDown,
    ShutDownWhileHeld,
    /// The journal is opened by somebody else.
    ShutOut,
    /// Only when all callers have their answers.
    Late,
}

/// Ends the system; gives it back if it lives on, and the journal as it is open now.
async fn end(system: System, journal: MemoryJournal, random: &mut Random) -> (Option<System>, MemoryJournal) {
    let faults = journal.faults();
    let pause = Duration::from_millis(random.below(60));
    match random.pick(&[End::Dropped, End::ShutDown, End::ShutDownWhileHeld, End::ShutOut, End::Late]) {
        End::Dropped => return (None, journal),
        End::ShutDown => {
            faults.release();
            // It may fail: the journal may have failed, and the time may be over.
            let _ = timeout(PATIENCE, system.shutdown()).await.expect("the shutdown ends");
        }
        End::ShutDownWhileHeld => {
            faults.hold();
            let stopping = system.clone();
            let shutdown = tokio::spawn(async move { stopping.shutdown().await });
            sleep(pause).await;
            faults.release();
            let _ = timeout(PATIENCE, shutdown).await.expect("the shutdown ends").unwrap();
        }
        End::ShutOut => {
            faults.release();
            return (Some(system), journal.reopen());
        }
        End::Late => {}
    }
    (Some(system), journal)
}

/// Waits for all callers, while the journal holds nothing for long; a panic of theirs goes on here.
async fn finish(callers: Vec<JoinHandle<()>>, faults: &MemoryFaults) {
    let releasing = async {
        loop {
            faults.release();
            sleep(Duration::from_millis(1)).await;
        }
    };
    let finishing = async {
        for caller in callers {
            if let Err(error) = timeout(PATIENCE, caller).await.expect("every caller gets an answer") {
                resume_unwind(error.into_panic());
            }
        }
    };
    tokio::select! {
        () = finishing => {}
        () = releasing => {}
    }
}

/// One life of a system; gives the journal back as it is open then.
async fn round(
    number: u64,
    entities: u64,
    journal: MemoryJournal,
    (notes, echo): (&Arc<Notes>, &Arc<Echo>),
    random: &mut Random,
) -> MemoryJournal {
    let faults = journal.faults();
    let system = settings(random).provide(echo.clone()).start(journal.clone()).unwrap();
    let mut callers = Vec::new();
    for caller in 0..4 + random.below(40) {
        let caller = Caller {
            random: random.fork(),
            ledgers: (0..entities).map(|entity| system.get::<Ledger>(format!("{entity}"))).collect(),
            journal: journal.clone(),
            notes: notes.clone(),
            first_op: 1 + number * 1_000_000 + caller * 1_000,
        };
        callers.push(tokio::spawn(caller.run()));
    }
    disturb(&faults, random).await;
    let (system, journal) = end(system, journal, random).await;
    finish(callers, &faults).await;
    drop(system);
    faults.release();
    journal
}

/// What is stored of each entity.
async fn stored(journal: &MemoryJournal, entities: u64) -> Vec<Vec<u64>> {
    let echo = Arc::new(Echo::default());
    let system = System::builder().shards(1).provide(echo).start(journal.reopen()).unwrap();
    let mut stored = Vec::new();
    for entity in 0..entities {
        stored.push(system.get::<Ledger>(format!("{entity}")).entries().await.expect("what is stored can be read"));
    }
    stored
}

/// Compares what everybody was told with what is stored.
fn compare(stored: &[Vec<u64>], notes: &Notes, echo: &Echo) {
    let of = |entity: u64| &stored[usize::try_from(entity).unwrap()];
    for (&op, told) in notes.told.lock().unwrap().iter() {
        let copies = of(told.entity).iter().filter(|&&entry| entry == op).count();
        let expected = match told.fate {
            Fate::Stored => vec![told.action.entries()],
            Fate::NotStored => vec![0],
            Fate::Either => vec![0, told.action.entries()],
        };
        assert!(expected.contains(&copies), "operation {op} is stored {copies} times: {told:?}");
    }
    for Seen { entity, action, entries } in notes.seen.lock().unwrap().iter() {
        let stored = of(*entity);
        assert!(stored.starts_with(entries), "{action:?} of {entity} told of {entries:?}, stored is {stored:?}");
    }
    let all: HashSet<u64> = stored.iter().flatten().copied().collect();
    let told = notes.told.lock().unwrap();
    assert!(all.iter().all(|op| told.contains_key(op)), "something is stored that nobody asked for");
    let (entered, echoed) = (echo.entered.lock().unwrap(), echo.echoed.lock().unwrap());
    for op in entered.iter().chain(echoed.iter()) {
        assert!(all.contains(op), "an effect told of {op}, which isn't stored");
    }
    let once: HashSet<_> = entered.iter().collect();
    assert_eq!(once.len(), entered.len(), "an effect ran twice");
}

/// How often each kind of answer was given.
type Tally = BTreeMap<&'static str, u64>;

async fn play(seed: u64, tally: &mut Tally) {
    let mut random = Random::new(seed);
    let (notes, echo) = (Arc::new(Notes::default()), Arc::new(Echo::default()));
    let entities = 1 + random.below(5);
    let mut journal = MemoryJournal::new();
    for number in 0..ROUNDS {
        journal = round(number, entities, journal.reopen(), (&notes, &echo), &mut random).await;
    }
    let stored = stored(&journal, entities).await;
    compare(&stored, &notes, &echo);
    for told in notes.told.lock().unwrap().values() {
        *tally.entry(told.ending).or_default() += 1;
    }
}

/// Says which seed it was, if it fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("repeat it with ANNALS_SEED={}", self.0);
        }
    }
}

/// Keeps the panics that are meant to happen out of the output.
fn hush_intended_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>();
        if !text.is_some_and(|text| text.starts_with(INTENDED)) {
            report(panic);
        }
    }));
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// On one thread or on several, by turns.
fn runtime(seed: u64) -> Runtime {
    let mut builder = if seed.is_multiple_of(2) {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder.worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn every_answer_agrees_with_the_journal_then_and_in_the_end() {
    hush_intended_panics();
    let now = u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
    let (first, seeds) = match setting("ANNALS_SEED") {
        Some(seed) => (seed, 1),
        None => (now, setting("ANNALS_SEEDS").unwrap_or(200)),
    };
    let mut tally = Tally::new();
    for seed in first..first + seeds {
        let _told = Seed(seed);
        runtime(seed).block_on(play(seed, &mut tally));
    }
    println!("seeds {first} to {}: {tally:?}", first + seeds - 1);
    assert!(tally.contains_key("reply"), "nothing has happened: {tally:?}");
}
