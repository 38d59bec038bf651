//! What tests of machines begin with: a journal in memory, a clock that the test drives, and a diary for effects.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use annals::journal::{EventRecord, Journal, MemoryJournal, Record, RunError, RunView, StoredCause};
use annals::testing::ManualClock;
use annals::{Builder, Codec, EntityId, Offset, System, Timestamp};
use annals_tests::{Diary, Lease, LeaseRef, LeaseState, Lock, LockRef, until_so};

/// A system of locks and leases whose deadlines are handled one after the other.
pub(crate) struct World {
    pub(crate) system: System,
    pub(crate) journal: MemoryJournal,
    pub(crate) clock: ManualClock,
    pub(crate) diary: Arc<Diary>,
}

/// The parts of a system that outlive it.
pub(crate) fn builder(clock: &ManualClock, diary: &Arc<Diary>) -> Builder {
    System::builder().shards(2).clock(clock.clone()).provide(diary.clone()).deadlines_in_flight_max(1)
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
        Self::start(MemoryJournal::new(), clock, Arc::default())
    }

    pub(crate) fn start(journal: MemoryJournal, clock: ManualClock, diary: Arc<Diary>) -> Self {
        let builder = builder(&clock, &diary).register::<Lease>().register::<Lock>();
        Self { system: builder.start(journal.clone()).unwrap(), journal, clock, diary }
    }

    /// Another system on what is stored: the one before is dropped, and shut out of the journal, in the middle of
    /// whatever it does.
    pub(crate) fn crashed(self) -> Self {
        let Self { system, journal, clock, diary } = self;
        let journal = journal.reopen();
        drop(system);
        Self::start(journal, clock, diary)
    }

    /// Another system on what is stored, after the one before was shut down.
    pub(crate) async fn restarted(self) -> Self {
        self.system.shutdown().await.unwrap();
        Self::start(self.journal.reopen(), self.clock, self.diary)
    }

    pub(crate) fn lease(&self, id: impl Into<EntityId>) -> LeaseRef {
        self.system.get::<Lease>(id)
    }

    pub(crate) fn lock(&self, id: impl Into<EntityId>) -> LockRef {
        self.system.get::<Lock>(id)
    }

    pub(crate) fn now(&self) -> Timestamp {
        annals::Clock::now(&self.clock)
    }

    /// Waits until every deadline that is over was handled: until a later one was. In a journal that takes no writes
    /// it never ends.
    pub(crate) async fn quiet(&self) {
        static SENTINELS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = SENTINELS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // What was armed since the first was rung may stand before it, so there is a second.
        for round in ["a", "b"] {
            let sentinel = self.lease(format!("sentinel {number}{round}"));
            sentinel.take_for(Duration::ZERO).await.unwrap();
            // Who asks the sentinel itself would make it notice.
            self.until_stored(sentinel.id().as_str(), 2).await;
        }
    }

    /// Waits until so many records of an entity are stored.
    pub(crate) async fn until_stored(&self, id: &str, records: usize) {
        until_so(&format!("{id} has {records} records"), async || self.stored(id).await.len() >= records).await;
    }

    /// What is stored of one entity.
    pub(crate) async fn stored(&self, id: &str) -> Vec<String> {
        stored(&self.journal, id).await
    }
}

/// Waits until the lease is in a state.
pub(crate) async fn until_in(lease: &LeaseRef, state: LeaseState) {
    let what = format!("{} is {state:?}", lease.id());
    until_so(&what, async || lease.state().await.unwrap() == state).await;
}

/// Lets the other tasks of this thread run.
pub(crate) async fn yield_often() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// What a journal holds of an entity: a line for each record.
pub(crate) async fn stored(journal: &impl Journal, entity: &str) -> Vec<String> {
    let (mut lines, mut after) = (Vec::new(), Offset(0));
    while after < journal.durable() {
        let page = journal.read_all(after, 1 << 20).await.unwrap();
        if page.runs.is_empty() {
            break; // what is left is deleted
        }
        for run in &page.runs {
            let view = RunView::parse(&run.bytes, journal.facts().store).unwrap();
            after = Offset(run.offset.0 + view.records() - 1);
            if view.id().entity.as_str() != entity {
                continue;
            }
            view.for_each(|seq_nr, write, record| {
                if seq_nr <= run.floor {
                    return Ok(());
                }
                let mut line = format!("{seq_nr} {} ", write.time);
                match write.cause {
                    Some(StoredCause::Command(name)) => write!(line, "{name}: ").unwrap(),
                    Some(StoredCause::Deadline { visit }) => write!(line, "deadline of {visit}: ").unwrap(),
                    None => {}
                }
                match record {
                    Record::Event(EventRecord { name, codec: Codec::Json, payload, .. }) => {
                        write!(line, "{name} {}", std::str::from_utf8(payload).unwrap()).unwrap();
                    }
                    Record::Event(event) => line.push_str(event.name),
                    Record::Transition(way) => {
                        write!(line, "{} -> {}", way.from.unwrap_or("(nothing)"), way.to).unwrap();
                        line.push_str(if way.transient { ", transient" } else { "" });
                        way.due.iter().for_each(|due| write!(line, " until {due}").unwrap());
                    }
                    Record::DeadlineConsumed { visit } => write!(line, "the time of {visit} is over").unwrap(),
                    other => write!(line, "{other:?}").unwrap(),
                }
                lines.push(line);
                Ok::<(), RunError>(())
            })
            .unwrap();
        }
    }
    lines
}
