//! Errors that no other test has need of: each as its caller meets it, with a message that says what to do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use annals::journal::{CloseError, Facts, Fut, Journal, MemoryJournal, Outcome, Page, ReadError, Run, RunError};
use annals::prelude::*;
use annals::snapshot::{DirSnapshots, DirSnapshotsError, SnapshotError, Snapshotted};
use annals::testing::UnknownRun;
use annals::{
    EncodeError, ForgetError, NotStored, Offset, OpenError, PersistenceId, ReplayError, SeqNr, ShutdownError,
    StartError, StreamNo, Transition, TransitionError, Transitions, Unknown,
};
use annals_tests::Account;
use serde::Serializer;

use crate::system;
use crate::world::yield_often;

/// What a journal does that isn't true to its trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bend {
    Nothing,
    /// It leaves out the first run of each page.
    Gap,
    /// It flips a bit of each run of the first stream.
    Flip,
    /// It cuts each run to four bytes.
    Cut,
    /// It stores nothing, and gives no outcomes.
    NoOutcomes,
    /// It stores what it is given, and gives no outcomes.
    Mute,
    /// It gives the first run of a stream, whatever it is asked for.
    First,
    /// It gives empty pages, and says that there is more.
    Hollow,
    /// It says that nobody may have a group in flight.
    NoGroups,
}

/// A journal that keeps everything and tells something else.
#[derive(Clone)]
pub(crate) struct Bent {
    pub(crate) inner: MemoryJournal,
    bend: Arc<Mutex<Bend>>,
    reads: Arc<AtomicU64>,
}

impl Bent {
    pub(crate) fn new() -> Self {
        Self { inner: MemoryJournal::new(), bend: Arc::new(Mutex::new(Bend::Nothing)), reads: Arc::default() }
    }

    pub(crate) fn bend(&self, bend: Bend) {
        *self.bend.lock().unwrap() = bend;
    }

    /// How often it was read, in vain or not.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }

    fn bent(&self, mut page: Page) -> Page {
        let bend = *self.bend.lock().unwrap();
        assert!(self.reads.fetch_add(1, Ordering::SeqCst) < 10_000, "it is read without end");
        match bend {
            Bend::Gap => drop(page.runs.remove(0)),
            Bend::Hollow => page = Page { runs: Vec::new(), more: true },
            _ => {}
        }
        for run in &mut page.runs {
            match bend {
                Bend::Flip if run.stream == StreamNo(1) => run.bytes[20] ^= 1,
                Bend::Cut => run.bytes.truncate(4),
                _ => {}
            }
        }
        page
    }
}

impl Journal for Bent {
    annals_tests::through! { inner, but append, facts, settle, read, read_all }

    fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        let from = if *self.bend.lock().unwrap() == Bend::First { SeqNr(1) } else { from };
        let page = self.inner.read(stream, from, to, bytes_max);
        Box::pin(async move { page.await.map(|page| self.bent(page)) })
    }

    fn read_all(&self, after: Offset, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        let page = self.inner.read_all(after, bytes_max);
        Box::pin(async move { page.await.map(|page| self.bent(page)) })
    }

    fn append(&self, group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
        match *self.bend.lock().unwrap() {
            Bend::NoOutcomes => Box::pin(std::future::ready(Vec::new())),
            Bend::Mute => {
                let storing = self.inner.append(group);
                Box::pin(async move {
                    drop(storing.await);
                    Vec::new()
                })
            }
            _ => self.inner.append(group),
        }
    }

    fn facts(&self) -> Facts {
        let facts = self.inner.facts();
        let is_bent = *self.bend.lock().unwrap() == Bend::NoGroups;
        Facts { groups_in_flight: if is_bent { 0 } else { facts.groups_in_flight }, ..facts }
    }
}

#[tokio::test]
async fn a_replay_says_which_record_is_missing_or_damaged() {
    let journal = Bent::new();
    let system = System::builder().start(journal.clone()).unwrap();
    system.get::<Account>("a").deposit(1).await.unwrap();
    system.get::<Account>("a").deposit(2).await.unwrap();
    let replay = || system.replay::<Account>("a").to_seq(SeqNr(2));
    assert!(replay().await.is_ok());

    journal.bend(Bend::Gap);
    let error = replay().await.unwrap_err();
    assert!(matches!(&error, ReplayError::Missing { seq_nr: SeqNr(1), .. }), "{error:?}");
    assert_eq!(error.to_string(), "Account \"a\": sequence number 1 is missing");

    journal.bend(Bend::Flip);
    let error = replay().await.unwrap_err();
    assert!(matches!(&error, ReplayError::Run { seq_nr: SeqNr(1), error: RunError::Checksum, .. }), "{error:?}");

    journal.bend(Bend::Cut);
    let error = replay().await.unwrap_err();
    assert!(matches!(&error, ReplayError::Run { seq_nr: SeqNr(1), error: RunError::Checksum, .. }), "{error:?}");

    journal.bend(Bend::Nothing);
    assert_eq!(replay().await.unwrap().data().balance(), 3);
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Door {
    creaked: usize,
}

#[fsm(states(initial Shut, terminal Open))]
impl Door {
    #[event]
    fn creaked(&mut self, sound: String) {
        self.creaked += sound.len();
    }

    #[on(Shut => Open)]
    fn open(&self) -> Step {
        goto(Open).applying(DoorEvent::Creaked { sound: "iii".to_owned() })
    }

    /// Fills a page.
    #[on(Shut => stay)]
    fn creak(&self) -> Step {
        let creaked = |times| DoorEvent::Creaked { sound: "i".repeat(times) };
        stay().applying([creaked(900_000), creaked(1)])
    }
}

/// Asks for the next transition; `None` if there is nothing to be told for now.
async fn next_of(transitions: &mut Transitions<Door>) -> Option<Result<Transition<Door>, TransitionError>> {
    let mut next = std::pin::pin!(transitions.next());
    for _ in 0..1_000 {
        let polled = std::future::poll_fn(|task| std::task::Poll::Ready(next.as_mut().poll(task))).await;
        if let std::task::Poll::Ready(told) = polled {
            return told;
        }
        tokio::task::yield_now().await;
    }
    None
}

#[tokio::test]
async fn a_run_of_transitions_that_is_damaged_is_told_once_with_its_offset_and_the_next_go_on() {
    let journal = Bent::new();
    let system = System::builder().inline_blocking().start(journal.clone()).unwrap();
    let mut transitions = system.transitions::<Door>();
    journal.bend(Bend::Flip);
    system.get::<Door>("d").open().await.unwrap();
    let error = next_of(&mut transitions).await.unwrap().unwrap_err();
    assert!(matches!(error, TransitionError::Run { offset: Offset(1), error: RunError::Checksum }), "{error:?}");
    assert_eq!(error.to_string(), "at offset 1: its checksum is wrong");
    assert_eq!(next_of(&mut transitions).await, None, "nothing is behind it yet");
    system.get::<Door>("e").open().await.unwrap();
    let opened = next_of(&mut transitions).await.unwrap().unwrap();
    assert_eq!((opened.id.as_str(), opened.offset), ("e", Offset(4)));
    assert_eq!(next_of(&mut transitions).await, None);
    // Whoever looks for the first time finds both on one page.
    let mut all = system.transitions::<Door>().after(Offset(0));
    assert!(matches!(next_of(&mut all).await, Some(Err(TransitionError::Run { offset: Offset(1), .. }))));
    assert_eq!(next_of(&mut all).await, Some(Ok(opened)));
    assert_eq!(next_of(&mut all).await, None);
}

#[tokio::test]
async fn a_run_that_is_damaged_and_fills_a_page_is_told_once_and_the_next_go_on() {
    let journal = Bent::new();
    let system = System::builder().inline_blocking().start(journal.clone()).unwrap();
    for id in ["d", "e", "f"] {
        system.get::<Door>(id).creak().await.unwrap();
    }
    system.get::<Door>("e").open().await.unwrap();
    journal.bend(Bend::Flip);
    let mut all = system.transitions::<Door>().after(Offset(0));
    assert!(matches!(next_of(&mut all).await, Some(Err(TransitionError::Run { offset: Offset(1), .. }))));
    assert_eq!(next_of(&mut all).await.unwrap().unwrap().id.as_str(), "e");
    assert_eq!(next_of(&mut all).await, None);
}

#[tokio::test]
async fn a_journal_whose_pages_are_empty_and_not_its_last_leaves_no_transition_out() {
    let journal = Bent::new();
    let system = System::builder().inline_blocking().start(journal.clone()).unwrap();
    let mut transitions = system.transitions::<Door>();
    system.get::<Door>("d").open().await.unwrap();
    journal.bend(Bend::Hollow);
    let error = next_of(&mut transitions).await.unwrap().unwrap_err();
    assert!(matches!(&error, TransitionError::Read { after: Offset(0), .. }), "{error:?}");
    journal.bend(Bend::Nothing);
    assert_eq!(next_of(&mut transitions).await.unwrap().unwrap().id.as_str(), "d");
}

#[tokio::test]
async fn a_journal_that_tells_a_wrong_number_of_outcomes_leaves_its_callers_in_doubt_and_its_shard_alive() {
    for bend in [Bend::NoOutcomes, Bend::Mute] {
        let journal = Bent::new();
        let system = System::builder().shards(1).start(journal.clone()).unwrap();
        let (a, b) = (system.get::<Account>("a"), system.get::<Account>("b"));
        assert_eq!(b.deposit(1).await.unwrap(), 1);
        journal.bend(bend);
        let error = a.deposit(1).await.unwrap_err();
        assert!(matches!(error, CallError::Unknown { why: Unknown::Journal { .. }, .. }), "{error:?}");
        assert!(error.to_string().contains("the journal told 0 outcomes of 1 runs"), "{error}");
        journal.bend(Bend::Nothing);
        assert_eq!(b.deposit(1).await.unwrap(), 2, "others are served");
        let stored = u64::from(bend == Bend::Mute);
        assert_eq!(a.deposit(1).await.unwrap(), stored + 1, "it is loaded again");
        assert_eq!(system.shutdown().await, Ok(()));
    }
}

#[tokio::test]
async fn a_journal_that_takes_no_groups_is_given_one_at_a_time() {
    let journal = Bent::new();
    journal.bend(Bend::NoGroups);
    let system = System::builder().shards(1).inline_blocking().start(journal.clone()).unwrap();
    let deposit = tokio::spawn(system.get::<Account>("a").deposit(1));
    yield_often().await;
    assert!(deposit.is_finished(), "it is never handed over");
    assert_eq!(deposit.await.unwrap().unwrap(), 1);
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_over_a_failed_journal_says_so() {
    let (system, journal) = system();
    journal.faults().fail_next(UnknownRun::Lost);
    system.get::<Account>("a").deposit(1).await.unwrap_err();
    let error = system.shutdown().await.unwrap_err();
    let ShutdownError::Journal(CloseError(cause)) = &error else { panic!("{error:?}") };
    assert!(error.to_string().starts_with("the journal was not closed in order: ") && !cause.is_empty(), "{error}");
}

#[test]
fn a_shutdown_from_another_runtime_says_when_its_own_is_gone() {
    let here = tokio::runtime::Runtime::new().unwrap();
    let system = here.block_on(async { system().0 });
    drop(here);
    let there = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(there.block_on(system.shutdown()), Err(ShutdownError::RuntimeGone));
}

#[tokio::test]
async fn a_setting_that_makes_no_sense_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let error = System::builder().shards(0).open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Start(StartError::Setting { .. })), "{error:?}");
    assert!(error.to_string().contains("shards"), "{error}");
    assert!(!path.exists());
}

#[test]
fn snapshots_are_not_kept_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snapshots");
    std::fs::write(&path, b"something else").unwrap();
    let error = DirSnapshots::open(&path).unwrap_err();
    assert!(
        matches!(&error, DirSnapshotsError { tried: "make the directory", path: at, .. } if *at == path),
        "{error}"
    );
    assert!(error.to_string().starts_with("can't make the directory `"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");
}

/// An aggregate that could take snapshots, and doesn't.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Meter {
    total: u64,
}

#[aggregate(forgettable)]
impl Meter {
    #[event]
    fn counted(&mut self, #[serde(serialize_with = "unless_thirteen")] by: u64) {
        self.total += by;
    }

    #[command]
    fn count(&self, by: u64) -> Step<u64> {
        applying(MeterEvent::Counted { by }).replying(self.total + by)
    }
}

impl Snapshotted for Meter {}

fn unless_thirteen<S: Serializer>(by: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    if *by == 13 {
        return Err(serde::ser::Error::custom("thirteen can't be written"));
    }
    serializer.serialize_u64(*by)
}

#[tokio::test]
async fn an_event_that_can_not_be_written_stores_nothing() {
    let (system, journal) = system();
    let meter = system.get::<Meter>("m");
    meter.count(1).await.unwrap();
    let error = meter.count(13).await.unwrap_err();
    let CallError::NotStored { why: NotStored::Event { event, error: EncodeError::Write { reason, .. } }, .. } = &error
    else {
        panic!("{error:?}")
    };
    assert!(event.ends_with("MeterEvent") && reason == "thirteen can't be written", "{error}");
    assert_eq!((meter.count(1).await.unwrap(), journal.durable()), (2, Offset(2)));
}

#[tokio::test]
async fn who_asks_for_a_snapshot_of_an_aggregate_that_takes_none_hears_of_it() {
    let (system, _) = system();
    let meter = system.get::<Meter>("m");
    meter.count(1).await.unwrap();
    let error = annals::__rt::snapshot(&meter.0).await.unwrap_err();
    assert_eq!(error, CallError::Refused(SnapshotError::NotDeclared));
    assert!(error.to_string().contains("its attribute has no `snapshot(..)`"), "{error}");
}

#[tokio::test]
async fn what_was_deleted_and_can_not_be_read_is_not_forgotten_for_now() {
    let (system, journal) = system();
    system.get::<Meter>("m").count(1).await.unwrap();
    system.delete::<Meter>("m").await.unwrap();
    let broken = ReadError::Engine { what: "a row".to_owned(), error: "the disk is gone".into() };
    journal.faults().fail_reads(broken.clone());
    let error = system.forget::<Meter>("m").await.unwrap_err();
    let ForgetError::Unreadable { id, error: why } = &error else { panic!("{error:?}") };
    assert_eq!((id, why), (&PersistenceId::new("Meter", "m"), &broken));
    journal.faults().heal_reads();
    system.forget::<Meter>("m").await.unwrap();
}
