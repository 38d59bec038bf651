//! From a command with a key whose outcome nobody knows to its repeats: over both journals, with both kinds of keys,
//! whether it was stored or lost, and whatever has happened to the entity meanwhile.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use annals::journal::{
    Cause, FjallJournal, FjallOptions, Fut, Health, Journal, MemoryJournal, Outcome, Page, ReadError, Run, Why,
};
use annals::prelude::*;
use annals::testing::UnknownRun;
use annals::{NotStored, PersistenceId, SeqNr, StreamNo, System, Unknown};

use super::{Short, StoredWrite, key, stored};
use crate::until;

/// A till that deletes what its snapshot stands for.
#[derive(Debug, Default, Clone, Serialize, Deserialize, Snapshot)]
pub struct Purse {
    total: u64,
}

#[aggregate(snapshot(keep = 1), retain = since_snapshot)]
impl Purse {
    #[event]
    fn took_in(&mut self, amount: u64) {
        self.total += amount;
    }

    #[event]
    fn gave_out(&mut self, amount: u64) {
        self.total -= amount;
    }

    /// One event for each.
    #[command]
    fn pay(&self, amounts: Vec<u64>) -> Result<Step<u64>, Short> {
        let events: Vec<_> = amounts.into_iter().map(|amount| PurseEvent::TookIn { amount }).collect();
        Ok(applying(events).replying_with(Self::total))
    }

    #[command]
    fn take(&self, amount: u64) -> Result<Step<u64>, Short> {
        if amount > self.total {
            return Err(Short { there: self.total });
        }
        Ok(applying(PurseEvent::GaveOut { amount }).replying_with(Self::total))
    }

    #[query]
    fn total(&self) -> u64 {
        self.total
    }
}

/// A journal that loses sight of a group when it is told to, and takes nothing behind it; and that can't read for a while.
#[derive(Clone)]
struct Doubtful {
    inner: Arc<dyn Journal>,
    next_is_stored: Arc<AtomicBool>,
    next_is_lost: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
    reads_left: Arc<AtomicU64>,
}

const CAUSE: &str = "the disk doesn't answer";

impl Doubtful {
    fn new(inner: Arc<dyn Journal>) -> Self {
        Self {
            inner,
            next_is_stored: Arc::default(),
            next_is_lost: Arc::default(),
            failed: Arc::default(),
            reads_left: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    fn fail_next(&self, unknown: UnknownRun) {
        match unknown {
            UnknownRun::Stored => self.next_is_stored.store(true, Ordering::SeqCst),
            UnknownRun::Lost => self.next_is_lost.store(true, Ordering::SeqCst),
        }
    }

    /// Lets so many more reads succeed.
    fn leave_reads(&self, reads: u64) {
        self.reads_left.store(reads, Ordering::SeqCst);
    }

    fn refusal(&self) -> Option<Outcome> {
        self.failed.load(Ordering::SeqCst).then(|| Outcome::NotStored(Why::Failed(CAUSE.into())))
    }
}

fn unreadable() -> ReadError {
    ReadError::Engine { what: "a row".to_owned(), error: CAUSE.into() }
}

impl Journal for Doubtful {
    annals_tests::through! { inner, but append, settle, read, delete_to, forget, health }

    fn append(&self, group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
        let runs = group.len();
        if let Some(refusal) = self.refusal() {
            return Box::pin(ready(vec![refusal; runs]));
        }
        let is_lost = self.next_is_lost.swap(false, Ordering::SeqCst);
        let is_stored = self.next_is_stored.swap(false, Ordering::SeqCst);
        if !is_lost && !is_stored {
            return self.inner.append(group);
        }
        self.failed.store(true, Ordering::SeqCst);
        let storing = is_stored.then(|| self.inner.append(group));
        Box::pin(async move {
            if let Some(storing) = storing {
                let outcomes = storing.await;
                assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored(_))), "{outcomes:?}");
            }
            vec![Outcome::Unknown(Cause(CAUSE.into())); runs]
        })
    }

    fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        let left = self.reads_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |reads| reads.checked_sub(1));
        match left {
            Ok(_) => self.inner.read(stream, from, to, bytes_max),
            Err(_) => Box::pin(ready(Err(unreadable()))),
        }
    }

    fn health(&self) -> Health {
        if self.failed.load(Ordering::SeqCst) { Health::Failed(CAUSE.into()) } else { self.inner.health() }
    }

    fn delete_to(&self, stream: StreamNo, to: SeqNr) -> Fut<'static, Outcome> {
        self.refusal().map_or_else(|| self.inner.delete_to(stream, to), |refusal| Box::pin(ready(refusal)))
    }

    fn forget(&self, stream: StreamNo) -> Fut<'static, Outcome> {
        self.refusal().map_or_else(|| self.inner.forget(stream), |refusal| Box::pin(ready(refusal)))
    }
}

/// What outlives a process.
enum Medium {
    Memory(MemoryJournal),
    Disk(tempfile::TempDir),
}

fn memory() -> Medium {
    Medium::Memory(MemoryJournal::new())
}

fn disk() -> Medium {
    Medium::Disk(tempfile::tempdir().unwrap())
}

/// One process on a journal.
struct Running {
    medium: Medium,
    journal: Doubtful,
    system: System,
    purse: PurseRef,
}

impl Running {
    fn start(mut medium: Medium, idle_after: Duration) -> Self {
        let journal = Doubtful::new(match &mut medium {
            Medium::Memory(journal) => {
                *journal = journal.reopen();
                Arc::new(journal.clone())
            }
            Medium::Disk(dir) => Arc::new(FjallJournal::open(dir.path(), FjallOptions::new()).unwrap()),
        });
        let system = System::builder().shards(1).idle_after(idle_after).start(journal.clone()).unwrap();
        let purse = system.get::<Purse>("p");
        Self { medium, journal, system, purse }
    }

    fn first(medium: Medium) -> Self {
        Self::start(medium, Duration::from_secs(600))
    }

    async fn restarted(self) -> Self {
        self.restarted_with(Duration::from_secs(600)).await
    }

    async fn restarted_with(self, idle_after: Duration) -> Self {
        let Self { medium, journal, system, purse } = self;
        system.shutdown().await.unwrap();
        drop((journal, system, purse));
        Self::start(medium, idle_after)
    }

    /// Two records, a snapshot that stands for all before, and a restart.
    async fn behind_a_snapshot(self) -> Self {
        self.purse.pay(vec![100]).await.unwrap();
        self.purse.pay(vec![100]).await.unwrap();
        self.purse.snapshot().await.unwrap();
        let next = self.restarted().await;
        assert!(next.purse.total().await.unwrap() >= 200);
        assert_eq!(next.system.stats().events_replayed, 0, "it begins with the snapshot");
        next
    }

    /// Up to where its records are deleted.
    async fn floor(&self) -> SeqNr {
        let head = self.journal.open_stream(&id()).await.unwrap();
        self.journal.close_stream(head.stream);
        head.floor
    }

    /// The writes with keys that are stored.
    async fn keyed(&self) -> Vec<StoredWrite> {
        stored(&self.journal, id()).await.into_iter().filter(|write| write.key.is_some()).collect()
    }
}

fn id() -> PersistenceId {
    PersistenceId::new(Purse::NAME, "p")
}

type Answer = Result<u64, CallError<Short>>;

/// What is sent with the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// Two events.
    Pay,
    /// One event, or a refusal.
    Take,
}

impl Sent {
    async fn send(self, purse: &PurseRef, key: Key) -> Answer {
        match self {
            Sent::Pay => purse.pay(vec![4, 6]).key(key).await,
            Sent::Take => purse.take(150).key(key).await,
        }
    }

    /// What it is answered where so much is there, what is there then, and what is stored of it.
    fn done(self, there: u64) -> (Answer, u64, &'static [&'static str]) {
        match self {
            Sent::Pay => (Ok(there + 10), there + 10, &["event", "event"]),
            Sent::Take if there < 150 => (Err(CallError::Refused(Short { there })), there, &["receipt"]),
            Sent::Take => (Ok(there - 150), there - 150, &["event"]),
        }
    }
}

/// What happens between the first time and its repeat in the next process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    /// It was loaded, and has left memory.
    Passivated,
    /// A snapshot was taken before the first time.
    SnapshotBefore,
    /// A snapshot was taken behind it, and the records up to the one with the answer are deleted.
    SnapshotBehind,
}

async fn play(medium: Medium, unknown: UnknownRun, key: Key, sent: Sent, meanwhile: Meanwhile) {
    let case = format!("{unknown:?} {key:?} {sent:?} {meanwhile:?}");
    let mut now = Running::first(medium);
    now.purse.pay(vec![1]).await.unwrap();
    now.purse.pay(vec![1]).await.unwrap();
    if meanwhile == Meanwhile::SnapshotBefore {
        now.purse.snapshot().await.unwrap();
    }
    now.journal.fail_next(unknown);
    let error = sent.send(&now.purse, key).await.unwrap_err();
    assert!(matches!(error, CallError::Unknown { why: Unknown::Journal { .. }, .. }), "{case}: {error:?}");
    let mut first = (unknown == UnknownRun::Stored).then(|| sent.done(2));
    let mut total = first.as_ref().map_or(2, |(_, total, _)| *total);
    let again = sent.send(&now.purse, key).await;
    match &first {
        Some((answer, ..)) => assert_eq!(again, *answer, "{case}"),
        None => {
            let refused = matches!(again, Err(CallError::NotStored { why: NotStored::Journal(Why::Failed(_)), .. }));
            assert!(refused, "{case}: {again:?}");
        }
    }

    match meanwhile {
        Meanwhile::Nothing | Meanwhile::SnapshotBefore => now = now.restarted().await,
        Meanwhile::Passivated => {
            now = now.restarted_with(Duration::ZERO).await;
            now.purse.total().await.unwrap();
            until("it has left memory", || now.system.stats().passivations > 0).await;
        }
        Meanwhile::SnapshotBehind => {
            now = now.restarted().await.behind_a_snapshot().await;
            total += 200;
        }
    }
    assert_eq!(now.purse.total().await.unwrap(), total, "{case}");
    let (answer, after, records) = first.take().unwrap_or_else(|| sent.done(total));
    if unknown == UnknownRun::Lost {
        total = after;
    }
    for _ in 0..2 {
        assert_eq!(sent.send(&now.purse, key).await, answer, "{case}");
    }

    // Once more, when all that may be deleted is.
    let now = now.behind_a_snapshot().await;
    assert_eq!(sent.send(&now.purse, key).await, answer, "{case}");
    assert_eq!(now.purse.total().await.unwrap(), total + 200, "{case}");
    let keyed = now.keyed().await;
    assert_eq!((keyed.len(), &*keyed[0].records), (1, records), "{case}: {keyed:?}");
    assert_eq!(now.floor().await.next(), keyed[0].last, "{case}: what is before the answer is deleted");
    now.system.shutdown().await.unwrap();
}

async fn play_all(medium: fn() -> Medium, meanwhile: Meanwhile) {
    for unknown in [UnknownRun::Stored, UnknownRun::Lost] {
        for (key, sent) in [(key("a"), Sent::Pay), (Key::rising(7), Sent::Pay), (key("a"), Sent::Take)] {
            play(medium(), unknown, key, sent, meanwhile).await;
        }
    }
}

#[tokio::test]
async fn in_memory_a_command_of_unknown_outcome_happens_once_and_its_repeats_are_told_of_it() {
    for meanwhile in [Meanwhile::Nothing, Meanwhile::Passivated, Meanwhile::SnapshotBefore, Meanwhile::SnapshotBehind] {
        play_all(memory, meanwhile).await;
    }
}

#[tokio::test]
async fn on_a_disk_a_command_of_unknown_outcome_happens_once_and_its_repeats_are_told_of_it() {
    for meanwhile in [Meanwhile::Nothing, Meanwhile::Passivated] {
        play_all(disk, meanwhile).await;
    }
}

#[tokio::test]
async fn on_a_disk_that_is_so_with_snapshots_too() {
    for meanwhile in [Meanwhile::SnapshotBefore, Meanwhile::SnapshotBehind] {
        play_all(disk, meanwhile).await;
    }
}

/// A first of unknown outcome that is stored, another command of its kind behind it, and a restart.
async fn first_and_another(medium: Medium, key: Key, other: Key) -> Running {
    let now = Running::first(medium);
    now.purse.pay(vec![1]).await.unwrap();
    now.journal.fail_next(UnknownRun::Stored);
    assert!(matches!(Sent::Pay.send(&now.purse, key).await, Err(CallError::Unknown { .. })));
    let now = now.restarted().await;
    for _ in 0..5 {
        now.purse.pay(vec![1]).await.unwrap();
    }
    assert_eq!(now.purse.pay(vec![100]).key(other).await.unwrap(), 116);
    now.restarted().await
}

#[tokio::test]
async fn a_repeat_whose_answer_cannot_be_read_says_so_and_the_next_one_tells_it() {
    for medium in [memory, disk] {
        for (key, other, reads, seq_nr) in [(key("a"), key("b"), 1, 3), (Key::rising(7), Key::rising(9), 2, 9)] {
            let now = first_and_another(medium(), key, other).await;
            assert_eq!(now.purse.total().await.unwrap(), 116);
            let writes = now.keyed().await;
            let mut failed = 0;
            loop {
                now.journal.leave_reads(failed);
                let answer = Sent::Pay.send(&now.purse, key).await;
                now.journal.leave_reads(u64::MAX);
                let Err(CallError::AnswerUnread { id: of, seq_nr: up_to, error }) = answer else {
                    assert_eq!(answer, Ok(11));
                    break;
                };
                assert_eq!((of, up_to, error), (id(), SeqNr(seq_nr), unreadable()));
                assert_eq!(Sent::Pay.send(&now.purse, key).await, Ok(11), "behind {failed} reads");
                failed += 1;
            }
            assert!(failed >= reads, "{failed} reads were enough");
            assert_eq!((now.purse.total().await.unwrap(), now.keyed().await), (116, writes));
        }
    }
}

#[tokio::test]
async fn a_lower_number_whose_record_is_deleted_is_done_and_not_done_again() {
    for medium in [memory, disk] {
        let (key, other) = (Key::rising(7), Key::rising(9));
        let now = first_and_another(medium(), key, other).await.behind_a_snapshot().await;
        assert_eq!(now.floor().await, SeqNr(8), "only the answer to the highest is kept");
        let done = CallError::AlreadyDone { id: id(), seq_nr: SeqNr(9) };
        for _ in 0..2 {
            assert_eq!(Sent::Pay.send(&now.purse, key).await, Err(done.clone()));
            assert_eq!(now.purse.pay(vec![100]).key(other).await.unwrap(), 116);
        }
        assert_eq!(now.purse.total().await.unwrap(), 316);
    }
}
