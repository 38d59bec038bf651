//! Errors that no other test has need of: each as its caller meets it, with a message that says what to do.

use std::sync::{Arc, Mutex};

use annals::journal::{
    CloseError, Flaw, Fut, Journal, Malformed, MemoryJournal, Outcome, Page, ReadError, Run, RunError,
};
use annals::prelude::*;
use annals::snapshot::{DirSnapshots, DirSnapshotsError, SnapshotError, Snapshotted};
use annals::testing::UnknownRun;
use annals::{
    EncodeError, ForgetError, NotStored, Offset, OpenError, PersistenceId, ReplayError, SeqNr, ShutdownError,
    StartError, StreamNo, TransitionError,
};
use annals_tests::Account;
use serde::Serializer;

use crate::system;

/// What a journal does that isn't true to its trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bend {
    Nothing,
    /// It leaves out the first run of each page.
    Gap,
    /// It flips a bit of each run.
    Flip,
    /// It cuts each run to half, behind its checksum's back.
    Cut,
    /// It gives no outcomes.
    NoOutcomes,
}

/// A journal that keeps everything and tells something else.
#[derive(Clone)]
struct Bent {
    inner: MemoryJournal,
    bend: Arc<Mutex<Bend>>,
}

impl Bent {
    fn new() -> Self {
        Self { inner: MemoryJournal::new(), bend: Arc::new(Mutex::new(Bend::Nothing)) }
    }

    fn bend(&self, bend: Bend) {
        *self.bend.lock().unwrap() = bend;
    }

    fn bent(&self, mut page: Page) -> Page {
        let bend = *self.bend.lock().unwrap();
        if bend == Bend::Gap {
            page.runs.remove(0);
        }
        for run in &mut page.runs {
            match bend {
                Bend::Flip => run.bytes[20] ^= 1,
                Bend::Cut => run.bytes.truncate(4),
                Bend::Nothing | Bend::Gap | Bend::NoOutcomes => {}
            }
        }
        page
    }
}

impl Journal for Bent {
    annals_tests::through! { inner, but append, settle, read, read_all }

    fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        let page = self.inner.read(stream, from, to, bytes_max);
        Box::pin(async move { page.await.map(|page| self.bent(page)) })
    }

    fn read_all(&self, after: Offset, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        let page = self.inner.read_all(after, bytes_max);
        Box::pin(async move { page.await.map(|page| self.bent(page)) })
    }

    fn append(&self, group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
        if *self.bend.lock().unwrap() == Bend::NoOutcomes {
            return Box::pin(std::future::ready(Vec::new()));
        }
        self.inner.append(group)
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
    let cut = RunError::Malformed(Malformed { what: "the checksum", flaw: Flaw::CutOff });
    assert!(
        matches!(&error, ReplayError::Run { error, .. } if *error == cut || *error == RunError::Checksum),
        "{error:?}"
    );

    journal.bend(Bend::Nothing);
    assert_eq!(replay().await.unwrap().data().balance(), 3);
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Door;

#[fsm(states(initial Shut, terminal Open))]
impl Door {
    #[on(Shut => Open)]
    fn open(&self) -> Step {
        goto(Open)
    }
}

#[tokio::test]
async fn a_run_of_transitions_that_is_damaged_is_told_with_its_offset_and_the_next_go_on() {
    let journal = Bent::new();
    let system = System::builder().start(journal.clone()).unwrap();
    let mut transitions = system.transitions::<Door>();
    journal.bend(Bend::Flip);
    system.get::<Door>("d").open().await.unwrap();
    let error = transitions.next().await.unwrap().unwrap_err();
    assert!(matches!(error, TransitionError::Run { offset: Offset(1), error: RunError::Checksum }), "{error:?}");
    assert_eq!(error.to_string(), "at offset 1: its checksum is wrong");
}

#[tokio::test]
async fn a_shard_that_panicked_is_told_by_the_shutdown() {
    let journal = Bent::new();
    let system = System::builder().shards(1).start(journal.clone()).unwrap();
    journal.bend(Bend::NoOutcomes);
    let error = system.get::<Account>("a").deposit(1).await.unwrap_err();
    assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
    assert_eq!(system.shutdown().await, Err(ShutdownError::ShardPanicked));
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
