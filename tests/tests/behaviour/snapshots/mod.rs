//! Snapshots: taken off the way of commands, loaded where they can be used, and what they let go.

mod floors;
mod loading;
mod retention;
mod standing;
mod taking;
mod unusable;
mod verifying;

use std::time::Duration;

use annals::journal::{Journal, MemoryJournal};
use annals::prelude::*;
use annals::testing::ManualClock;
use annals::{Builder, PersistenceId, System};

use crate::shelf::Shelf;
use crate::until;

/// A sum, with a snapshot after each ten records.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Tally {
    total: u64,
}

#[aggregate(snapshot(every = 10, keep = 2), retain = since_snapshot)]
impl Tally {
    #[event]
    fn counted(&mut self, by: u64) {
        self.total += by;
    }

    #[command]
    fn count(&self, by: u64) -> Step<u64> {
        applying(TallyEvent::Counted { by }).replying(self.total + by)
    }

    #[command]
    fn count_often(&self, times: u64) -> Step {
        applying((0..times).map(|_| TallyEvent::Counted { by: 1 }).collect::<Vec<_>>())
    }

    #[command]
    fn count_and_keep(&self, by: u64) -> Step {
        applying(TallyEvent::Counted { by }).snapshot()
    }

    #[command]
    fn keep(&self) -> Step {
        stay().snapshot()
    }

    #[query]
    fn total(&self) -> u64 {
        self.total
    }
}

/// A gate that moves for a moment, with a snapshot after each two records.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Gate {
    passed: u64,
}

#[fsm(states(initial Shut, transient Moving, Open), snapshot(every = 2, keep = 1), retain = since_snapshot)]
impl Gate {
    #[event]
    fn passed(&mut self) {
        self.passed += 1;
    }

    #[on(Shut => Moving)]
    fn push(&self) -> Step {
        goto(Moving)
    }

    #[on(Moving => Open)]
    fn arrive(&self) -> Step {
        goto(Open)
    }

    #[on(Open | Moving => stay)]
    fn pass(&self) -> Step<u64> {
        applying(GateEvent::Passed).replying(self.passed + 1)
    }

    #[after(1h, Open => Shut)]
    fn fall_shut(&self) -> Step {
        goto(Shut)
    }
}

/// What stands on something, with a snapshot after each two records.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Label {
    text: String,
}

#[aggregate(snapshot(every = 2, keep = 1), retain = since_snapshot)]
impl Label {
    #[event]
    fn changed(&mut self, text: String) {
        self.text = text;
    }

    #[command]
    fn change(&self, text: &'static str) -> Step {
        applying(LabelEvent::Changed { text: text.to_owned() })
    }

    #[query]
    fn text(&self) -> String {
        self.text.clone()
    }
}

/// A journal, a shelf and a clock that outlive their systems.
pub(crate) struct Shop {
    journal: MemoryJournal,
    shelf: Shelf,
    clock: ManualClock,
    system: System,
}

fn builder(shelf: &Shelf, clock: &ManualClock) -> Builder {
    System::builder().shards(2).snapshots(shelf.clone()).clock(clock.clone())
}

impl Shop {
    fn new() -> Self {
        Self::with(Shelf::new(), |builder| builder)
    }

    fn with(shelf: Shelf, set: impl FnOnce(Builder) -> Builder) -> Self {
        let (journal, clock) = (MemoryJournal::new(), ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
        let system = set(builder(&shelf, &clock)).start(journal.clone()).unwrap();
        Self { journal, shelf, clock, system }
    }

    async fn restarted(self) -> Self {
        self.restarted_with(|builder| builder).await
    }

    async fn restarted_with(self, set: impl FnOnce(Builder) -> Builder) -> Self {
        let Self { journal, shelf, clock, system } = self;
        system.shutdown().await.unwrap();
        let journal = journal.reopen();
        let system = set(builder(&shelf, &clock)).start(journal.clone()).unwrap();
        Self { journal, shelf, clock, system }
    }

    fn tally(&self, id: &str) -> TallyRef {
        self.system.get::<Tally>(id)
    }

    /// Counts one so many times, each at its own second, one after the other.
    async fn count(&self, id: &str, times: u64) {
        for _ in 0..times {
            self.clock.advance(Duration::from_secs(1));
            self.tally(id).count(1).await.unwrap();
        }
    }

    /// Waits until so many snapshots are saved, by this system.
    async fn saved(&self, snapshots: u64) {
        until("snapshots are saved", || self.system.stats().snapshots_saved >= snapshots).await;
    }

    /// The sequence numbers of an entity's snapshots, the highest first.
    fn seqs(&self, id: &str) -> Vec<u64> {
        self.shelf.seqs(&PersistenceId::new(Tally::NAME, id))
    }

    /// Up to where the records of an entity are deleted.
    async fn floor(&self, aggregate: &str, id: &str) -> u64 {
        let head = self.journal.open_stream(&PersistenceId::new(aggregate, id)).await.unwrap();
        self.journal.close_stream(head.stream);
        head.floor.0
    }
}

fn tally(id: &str) -> PersistenceId {
    PersistenceId::new(Tally::NAME, id)
}
