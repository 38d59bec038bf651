//! Callers against a journal that holds, refuses, fails and is opened again: each answer is compared with the journal
//! at that moment, and with what is stored in the end.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use annals::journal::{Journal as _, MemoryJournal, RunKey, Settled};
use annals::prelude::*;
use annals::testing::ManualClock;
use annals::{PersistenceId, Timestamp, Unknown};
use annals_tests::at_once;
use tokio::task::yield_now;

use crate::calling::{Manner, Unanswered, make};
use crate::disturbance::{disturb, end, settings};
use crate::eye::Eye;
use crate::ground::{Crash, Ground, after_crash, all_stored, happened, on_this_ground};
use crate::random::{Random, count};
use crate::{INTENDED, ROUNDS, Tally, replay_seeds, setting, try_seeds};

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
    fn enter(&self, cx: &Context<Self>, op: u64) -> Step<Vec<u64>> {
        let (id, last) = (PersistenceId::new("Ledger", cx.id()), cx.seq_nr().0 + 1);
        applying(LedgerEvent::Entered { op })
            .and_then(move |fx| {
                fx.services().eye.see("effect", &id, last);
                fx.services().entered.lock().unwrap().push(op);
            })
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
    eye: Eye,
    entered: Mutex<Vec<u64>>,
    echoed: Mutex<Vec<u64>>,
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
    /// As before, and the run of which it was part can be asked for.
    Unsettled(Arc<RunKey>),
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
    fn of<E>(answer: Result<Vec<u64>, CallError<E>>, refusal: impl FnOnce(E) -> Vec<u64>) -> Self {
        let error = match answer {
            Ok(seen) => return Ending::Reply(seen),
            Err(error) => error,
        };
        if let CallError::Unknown { why: Unknown::Journal { run, .. }, .. } = error {
            return Ending::Unsettled(run);
        }
        if let Some(unanswered) = Unanswered::of(&error) {
            return unanswered.into();
        }
        match error {
            CallError::Refused(refused) => Ending::Refusal(refusal(refused)),
            CallError::Panicked { message, .. } => Ending::Panic(message),
            _ => unreachable!("the account has no states, and its commands have no keys"),
        }
    }

    fn words(&self) -> &'static str {
        match self {
            Ending::Reply(_) => "reply",
            Ending::Refusal(_) => "refusal",
            Ending::Panic(_) => "panic",
            Ending::Unsettled(_) => "unknown",
            Ending::NotStored(why) | Ending::Open(why) => why,
        }
    }
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
    /// Operations of which the journal knew nothing, to ask it later.
    unsettled: Mutex<Vec<(u64, Arc<RunKey>)>>,
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
            self.sent(entity, op, action);
            let ending = self.call(entity, op, action, manner).await;
            self.judge(entity, op, action, ending).await;
            if pause {
                yield_now().await;
            }
        }
    }

    async fn call(&self, entity: u64, op: u64, action: Action, manner: Manner) -> Ending {
        let ledger = &self.ledgers[usize::try_from(entity).unwrap()];
        let call = match action {
            Action::Enter => ledger.enter(op),
            Action::EnterTwice => ledger.enter_twice(op),
            Action::Refuse => return make(ledger.refuse(), manner, |answer| Ending::of(answer, |seen| seen)).await,
            Action::Curse => ledger.curse(op),
            Action::Crash => ledger.crash(),
            Action::CrashInReply => ledger.crash_in_reply(op),
            Action::Echo => ledger.echo(),
            Action::Query => ledger.entries(),
        };
        make(call, manner, |answer| Ending::of(answer, |never| match never {})).await
    }

    /// From here on, it may be stored, whether anybody hears of it or not.
    fn sent(&self, entity: u64, op: u64, action: Action) {
        let fate = if action.entries() == 0 { Fate::NotStored } else { Fate::Either };
        let told = Told { entity, action, fate, ending: "crashed" };
        self.notes.told.lock().unwrap().insert(op, told);
    }

    /// Compares an answer with the journal as it is now, and writes down what has to hold in the end.
    async fn judge(&self, entity: u64, op: u64, action: Action, ending: Ending) {
        let words = ending.words();
        happened("answer", &(entity, op, action, words));
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
            Ending::Open(_) | Ending::Unsettled(_) if action.entries() == 0 => {}
            Ending::Open(_) => fate = Fate::Either,
            Ending::Unsettled(run) => {
                fate = Fate::Either;
                self.notes.unsettled.lock().unwrap().push((op, run));
            }
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

/// One life of a system; gives the journal back as it is open then.
async fn round(
    number: u64,
    entities: u64,
    journal: MemoryJournal,
    (notes, echo): (&Arc<Notes>, &Arc<Echo>),
    random: &mut Random,
) -> MemoryJournal {
    let faults = journal.faults();
    echo.eye.open(&journal);
    let clock = ManualClock::at(Timestamp::from_second(1_000_000).unwrap());
    let system = settings(random).clock(clock).provide(echo.clone()).start(journal.clone()).unwrap();
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
    disturb(&system, &faults, random, &AtomicBool::default()).await;
    let (system, journal) = end(system, journal, callers, random).await;
    drop(system);
    faults.release();
    journal
}

/// What is stored of each entity.
async fn stored(journal: &MemoryJournal, entities: u64) -> Vec<Vec<u64>> {
    let echo = Arc::new(Echo::default());
    let builder = on_this_ground(System::builder()).shards(1);
    let system = builder.provide(echo).start(journal.reopen()).unwrap();
    let mut stored = Vec::new();
    for entity in 0..entities {
        stored.push(system.get::<Ledger>(format!("{entity}")).entries().await.expect("what is stored can be read"));
    }
    stored
}

/// What the journal says later of what it didn't know, it says for good.
fn settle(journal: &MemoryJournal, notes: &Notes) {
    let mut told = notes.told.lock().unwrap();
    for (op, run) in notes.unsettled.lock().unwrap().iter() {
        let settled = at_once(journal.settle(run)).unwrap();
        let told = told.get_mut(op).expect("it was sent");
        told.fate = match settled {
            Settled::Stored(offset) => {
                assert!(offset <= journal.durable());
                Fate::Stored
            }
            Settled::NotStored => Fate::NotStored,
            Settled::Unsettled => panic!("the journal was opened again, and can't tell of {run:?}"),
        };
        told.ending = if told.fate == Fate::Stored { "unknown, and stored" } else { "unknown, and lost" };
    }
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
    echo.eye.saw_nothing_early();
    let (entered, echoed) = (echo.entered.lock().unwrap(), echo.echoed.lock().unwrap());
    for op in entered.iter().chain(echoed.iter()) {
        assert!(all.contains(op), "an effect told of {op}, which isn't stored");
    }
    let once: HashSet<_> = entered.iter().collect();
    assert_eq!(once.len(), entered.len(), "an effect ran twice");
}

fn play(ground: Ground, seed: u64) -> Tally {
    let mut random = Random::new(seed);
    let mut tally = Tally::new();
    let (notes, echo) = (Arc::new(Notes::default()), Arc::new(Echo::default()));
    let entities = 1 + random.below(5);
    let mut journal = MemoryJournal::new();
    for number in 0..ROUNDS {
        journal = journal.reopen();
        let crash = Crash::choose(&mut random);
        let mut inside = random.fork();
        let life = round(number, entities, journal.clone(), (&notes, &echo), &mut inside);
        journal = ground.live(crash, life).unwrap_or_else(|| after_crash(&journal, &mut random));
        all_stored(&journal.reopen());
    }
    let stored = ground.live_on(stored(&journal, entities));
    let reopened = journal.reopen();
    settle(&reopened, &notes);
    compare(&stored, &notes, &echo);
    for told in notes.told.lock().unwrap().values() {
        *tally.entry(told.ending).or_default() += 1;
    }
    tally
}

#[test]
fn every_answer_agrees_with_the_journal_then_and_in_the_end() {
    let tally = try_seeds(800, Ground::Simulated, play);
    // A single seed doesn't do everything.
    for what in ["reply", "storage low"].iter().filter(|_| setting("ANNALS_SEED").is_none()) {
        assert!(tally.contains_key(what), "nothing of `{what}` has happened: {tally:?}");
    }
}

#[test]
fn every_answer_agrees_with_the_journal_on_threads_too() {
    let tally = try_seeds(40, Ground::Threads, play);
    assert!(tally.contains_key("reply"), "nothing has happened: {tally:?}");
}

#[test]
fn a_seed_repeats_exactly() {
    replay_seeds(play);
}
