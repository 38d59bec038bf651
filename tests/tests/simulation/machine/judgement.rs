//! What everybody was told, and what has to hold of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use annals::journal::{Health, Journal as _, MemoryJournal, Record, RunError, RunView};
use annals::{Offset, PersistenceId, SeqNr, Transition};
use annals_tests::at_once;

use super::job::{Echo, Job, Told};
use super::truth::{Truth, truth};
use super::{Action, Answer, Ending, Operation, Unread};
use crate::ground::happened;
use crate::random::{Random, count};
use crate::{INTENDED, Tally};

/// What has to hold of an operation in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stored,
    NotStored,
    Either,
}

/// An operation, and what its callers were told.
#[derive(Debug)]
struct Case {
    operation: Operation,
    fate: Fate,
    endings: Vec<&'static str>,
    answer: Option<Answer>,
    /// How many callers wait for it, or have gone with a crash.
    waiting: u64,
}

/// What a look at an entity has told, and between which records.
#[derive(Debug)]
struct Look {
    entity: u64,
    what: Seen,
    from: u64,
    to: u64,
}

#[derive(Debug)]
enum Seen {
    State(String),
    Accepts(Vec<&'static str>),
    NotAccepted { command: &'static str, state: &'static str },
}

impl Seen {
    fn fits(&self, state: &str) -> bool {
        match self {
            Seen::State(seen) => seen == state,
            Seen::Accepts(seen) => Job::GRAPH.accepts(state).eq(seen.iter().copied()),
            Seen::NotAccepted { command, state: seen } => {
                *seen == state && Job::GRAPH.accepts(state).all(|accepted| accepted != *command)
            }
        }
    }
}

/// Where a transition stands: its offset, its entity, its sequence number.
type Seq = (Offset, String, SeqNr);

/// What a reader of transitions has read.
#[derive(Debug)]
pub struct Reading {
    from: Offset,
    read: Vec<Seq>,
}

impl Reading {
    /// Begins behind this offset.
    pub fn from(from: Offset) -> Self {
        Self { from, read: Vec::new() }
    }

    pub fn take_in(&mut self, transition: &Transition<Job>, journal: &MemoryJournal) {
        happened("transition", transition);
        assert!(transition.offset <= journal.durable(), "{transition:?} is told and not durable");
        self.read.push((transition.offset, transition.id.to_string(), transition.seq_nr));
    }
}

/// What the callers write down.
#[derive(Debug, Default)]
pub struct Notes {
    cases: Mutex<BTreeMap<u64, Case>>,
    looks: Mutex<Vec<Look>>,
    /// By the offset behind which it began.
    readings: Mutex<BTreeMap<Offset, Vec<Seq>>>,
    /// Whether what is stored could not be read for a time, in this life.
    pub reads_failed: AtomicBool,
}

impl Action {
    fn command(self) -> &'static str {
        match self {
            Action::Start { .. } => "start",
            Action::Bounce => "bounce",
            Action::Work => "work",
            Action::Peek => "peek",
            Action::Check => "check",
            Action::Judge { .. } => "judge",
            Action::Pause => "pause",
            Action::Resume => "resume",
            Action::Finish => "finish",
            Action::Refuse => "refuse",
            Action::Crash => "crash",
            Action::Curse => "curse",
            Action::State => "state",
            Action::Accepts => "accepts",
        }
    }
}

/// The last record of an entity that is durable now; `None` where the journal is closed and can't be asked.
pub async fn durable(journal: &MemoryJournal, entity: u64) -> Option<u64> {
    let head = journal.open_stream(&PersistenceId::new("Job", format!("{entity}"))).await.ok()?;
    journal.close_stream(head.stream);
    Some(head.last.0)
}

impl Notes {
    /// An operation with a key that somebody has sent.
    pub fn any_with_key(&self, random: &mut Random) -> Option<Operation> {
        let cases = self.cases.lock().unwrap();
        let keyed: Vec<_> = cases.values().filter(|case| case.operation.key.is_some()).collect();
        (!keyed.is_empty()).then(|| random.pick(&keyed).operation)
    }

    /// The operations with a key of which an answer is known.
    pub fn with_answers(&self) -> Vec<Operation> {
        let cases = self.cases.lock().unwrap();
        let answered = |case: &&Case| case.operation.key.is_some() && case.answer.is_some();
        cases.values().filter(answered).map(|case| case.operation).collect()
    }

    /// How often each kind of answer was given.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::new();
        for ending in self.cases.lock().unwrap().values().flat_map(|case| &case.endings) {
            *tally.entry(ending).or_default() += 1;
        }
        tally
    }

    /// From here on, an operation may be stored, whether anybody hears of it or not.
    pub fn send(&self, operation: Operation) {
        let unsent = Case { operation, fate: Fate::NotStored, endings: Vec::new(), answer: None, waiting: 0 };
        self.cases.lock().unwrap().entry(operation.op).or_insert(unsent).waiting += 1;
    }

    /// Compares an answer with the journal as it is now, and writes down what has to hold in the end. `before` is what
    /// was durable when the call was made.
    pub async fn judge(&self, operation: Operation, ending: Ending, before: Option<u64>, journal: &MemoryJournal) {
        let Operation { entity, op, action, key } = operation;
        let now = durable(journal, entity).await;
        let is_durable = |seq_nr| assert!(now.is_none_or(|now| seq_nr <= now), "{action:?} told of {seq_nr}: {now:?}");
        happened("answer", &(operation, &ending));
        let words = ending.words();
        let (mut fate, mut answer, mut seen) = (Fate::NotStored, None, None);
        match ending {
            Ending::Answer(given) => {
                assert!(!action.panics() || matches!(given, Answer::NotAccepted(_)), "{action:?} got {given:?}");
                match &given {
                    Answer::Reply(told) => {
                        is_durable(told.seq_nr + count(action.events()) + u64::from(action.goes()));
                        fate = Fate::Stored;
                    }
                    Answer::Refusal(told) => is_durable(told.seq_nr),
                    Answer::NotAccepted(state) => {
                        seen = Some(Seen::NotAccepted { command: action.command(), state });
                    }
                }
                answer = Some(given);
            }
            Ending::State(state) => seen = Some(Seen::State(state)),
            Ending::Accepts(commands) => seen = Some(Seen::Accepts(commands)),
            Ending::Panic(message) => {
                let is_poison = message.strip_prefix(INTENDED) == Some("poison");
                assert!(
                    is_poison || action.panics() && message.starts_with(INTENDED),
                    "{action:?} panicked: {message}"
                );
            }
            Ending::AlreadyDone => assert!(key.is_some(), "{action:?} has no key"),
            Ending::Unread(why) => {
                assert!(key.is_some(), "{action:?} has no key");
                let has_failed = match why {
                    Unread::Disturbed => self.reads_failed.load(Ordering::Relaxed),
                    Unread::Closed => journal.health() != Health::Good,
                };
                assert!(has_failed, "{operation:?}: no read has failed, and an answer wasn't read: {why:?}");
            }
            Ending::NotStored(_) => {}
            Ending::Open(_) => fate = Fate::Either,
        }
        if let Some(what) = seen {
            // The repeat of a key tells what was so when it came first.
            let from = if key.is_some() { 0 } else { before.unwrap_or(0) };
            self.looks.lock().unwrap().push(Look { entity, what, from, to: now.unwrap_or(u64::MAX) });
        }
        let mut cases = self.cases.lock().unwrap();
        let case = cases.get_mut(&op).expect("it was sent");
        case.waiting -= 1;
        case.endings.push(words);
        if words == "already done" {
            // Only a number can be overtaken by a higher one before it is handled.
            let overtaken = format!("{key:?}").contains("Rising") && case.answer.is_none();
            assert!(overtaken, "an answer that is known can't be told: {case:?}");
        }
        match (&case.answer, answer) {
            (Some(first), Some(answer)) => assert_eq!(*first, answer, "a repeat got another answer: {operation:?}"),
            (Some(_), None) => {}
            // What is known for certain holds, whatever was feared before.
            (None, Some(answer)) => {
                case.fate = fate;
                case.answer = Some(answer);
            }
            (None, None) if fate == Fate::Either => case.fate = fate,
            (None, None) => {}
        }
    }

    /// A reader has read so far.
    pub fn read(&self, reading: &Reading) {
        self.readings.lock().unwrap().insert(reading.from, reading.read.clone());
    }

    /// Who has read transitions has left none out, and read them in order.
    fn compare_readings(&self, journal: &MemoryJournal) {
        let (store, mut stored) = (journal.facts().store, Vec::new());
        for run in at_once(journal.read_all(Offset(0), usize::MAX)).unwrap().runs {
            let id = at_once(journal.stream_id(run.stream)).unwrap().unwrap();
            let view = RunView::parse(&run.bytes, store).unwrap();
            view.for_each(|seq_nr, _, record| {
                // The first one only says where it begins.
                if matches!(record, Record::Transition(transition) if transition.from.is_some()) {
                    let offset = Offset(run.offset.0 + (seq_nr.0 - view.first().0));
                    stored.push((offset, id.entity.to_string(), seq_nr));
                }
                Ok::<(), RunError>(())
            })
            .unwrap();
        }
        for (from, read) in self.readings.lock().unwrap().iter() {
            let behind: Vec<_> = stored.iter().filter(|(offset, ..)| offset > from).take(read.len()).collect();
            assert!(read.iter().eq(behind), "a reader behind {from} has read {read:?}");
        }
    }

    /// A repeat after all is over: it gets the answer that is known, or none because of a fault.
    pub fn judge_repeat(&self, operation: Operation, ending: &Ending) {
        let cases = self.cases.lock().unwrap();
        let case = &cases[&operation.op];
        match ending {
            Ending::Answer(answer) => assert_eq!(Some(answer), case.answer.as_ref(), "{case:?}"),
            Ending::NotStored(_) | Ending::Open(_) => {}
            ending => panic!("a repeat ended with {ending:?}: {case:?}"),
        }
    }

    /// Compares what everybody was told with what is stored.
    pub fn compare(&self, journal: &MemoryJournal, echo: &Echo) {
        // ORDER: effects are looked at first, since more may happen meanwhile.
        let worked = echo.worked.lock().unwrap().clone();
        let (entered, exited) = (tallied(&echo.entered), tallied(&echo.exited));
        let mut truths = BTreeMap::new();
        let entities: BTreeSet<_> = self.cases.lock().unwrap().values().map(|case| case.operation.entity).collect();
        for entity in entities {
            truths.insert(entity, truth(journal, entity));
        }
        for case in self.cases.lock().unwrap().values() {
            case.compare(&truths[&case.operation.entity]);
        }
        for look in self.looks.lock().unwrap().iter() {
            let points = truths[&look.entity].points.iter().enumerate();
            let fits = points
                .filter(|(seq_nr, _)| (look.from..=look.to).contains(&count(*seq_nr)))
                .any(|(_, point)| look.what.fits(point.live.state) || look.what.fits(point.durable.state));
            assert!(fits, "nothing durable looked like this: {look:?}");
        }
        self.compare_readings(journal);
        echo.eye.saw_nothing_early();
        let stored: BTreeSet<_> = truths.values().flat_map(|truth| &truth.entries).collect();
        let once: BTreeSet<_> = worked.iter().collect();
        assert!(once.len() == worked.len() && once.is_subset(&stored), "an effect ran twice, or for nothing");
        for (entity, truth) in &truths {
            let id = format!("{entity}");
            let passages = |fits: fn(&str, &str) -> bool| -> usize {
                truth.passages.iter().filter(|((from, to), _)| fits(from, to)).map(|(_, times)| times).sum()
            };
            let times = |hooks: &BTreeMap<String, usize>| hooks.get(&id).copied().unwrap_or(0);
            assert!(times(&entered) <= passages(|_, to| to == "Running"), "a hook ran too often");
            assert!(times(&exited) <= passages(|from, _| from == "Idle"), "a hook ran too often");
        }
    }
}

fn tallied(names: &Mutex<Vec<String>>) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for name in names.lock().unwrap().iter() {
        *times.entry(name.clone()).or_default() += 1;
    }
    times
}

impl Case {
    fn compare(&self, truth: &Truth) {
        let Operation { op, action, .. } = self.operation;
        let copies = truth.entries.iter().filter(|entry| **entry == op).count();
        let fits = match self.fate {
            Fate::Stored => copies == action.events(),
            Fate::NotStored if self.waiting > 0 => copies <= 1,
            Fate::NotStored => copies == 0,
            Fate::Either => copies <= 1,
        };
        assert!(fits, "operation {op} is stored {copies} times: {self:?}");
        match &self.answer {
            Some(Answer::Reply(told)) => self.compare_told(told, truth, action.events()),
            Some(Answer::Refusal(told)) => self.compare_told(told, truth, 0),
            Some(Answer::NotAccepted(_)) | None => {}
        }
    }

    fn compare_told(&self, told: &Told, truth: &Truth, events: usize) {
        let at = usize::try_from(told.seq_nr).unwrap();
        let before = &truth.points[at];
        assert!(before.is_in(&told.state), "it was in {before:?}: {self:?}");
        assert!(truth.entries.starts_with(&told.entries), "other data is stored: {self:?}");
        assert_eq!(told.entries.len(), before.entries + events, "{self:?}");
        let action = self.operation.action;
        if matches!(self.answer, Some(Answer::Reply(_))) && action.goes() {
            let went_by = truth.points[at + events + 1].went_by.as_deref();
            assert_eq!(went_by, Some(action.command()), "its transition is not there: {self:?}");
        }
    }
}
