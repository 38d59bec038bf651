//! Machines whose snapshots are taken, lost and damaged, whose events are deleted behind them, and that are restarted all
//! the while: what is recovered is held against a fold of all commands that were acknowledged.

mod book;
mod expected;
mod worn;

use std::path::PathBuf;
use std::time::Duration;

use annals::journal::{Durability, FjallJournal, FjallOptions, Journal, MemoryJournal, Why};
use annals::snapshot::SnapshotError;
use annals::testing::{ManualClock, UnknownRun};
use annals::{Builder, CallError, Clock as _, Key, Never, NotStored, PersistenceId, SeqNr, System, Timestamp};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use crate::ground::{Ground, all_stored, happened, on_this_ground, variant};
use crate::random::Random;
use crate::{PATIENCE, Tally, replay_seeds, setting, try_seeds};

use book::Book;
use expected::{Action, Expected, KEYS_MAX, Told};
use worn::Worn;

/// One seed in so many has its journal on the disk.
const ON_DISK: u64 = 8;

/// Where the journal is.
enum Place {
    Memory(MemoryJournal),
    Disk { path: PathBuf, _dir: tempfile::TempDir },
}

/// One life of a system on one journal.
struct Life {
    system: System,
    /// As it is open now, if it can be shared.
    journal: Option<MemoryJournal>,
}

/// What lives as long as a seed.
struct World<A: Book> {
    random: Random,
    place: Place,
    clock: ManualClock,
    store: Worn,
    /// Whether the system uses the store; otherwise the journal's own.
    uses_store: bool,
    books: Vec<Expected>,
    /// Books that can't be loaded any more, since no snapshot is left that stands for their deleted events.
    lost: Vec<bool>,
    next_op: u64,
    tally: Tally,
    life: Option<Life>,
    refs: Vec<A::Ref>,
}

fn id<A: Book>(entity: usize) -> PersistenceId {
    PersistenceId::new(A::NAME, format!("book {entity}"))
}

impl<A: Book> World<A> {
    fn new(ground: Ground, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let on_disk = random.one_in(ON_DISK) && ground == Ground::Threads;
        let lies = !on_disk && random.one_in(2);
        let (place, durability) = if on_disk {
            let dir = tempfile::tempdir().unwrap();
            (Place::Disk { path: dir.path().join("journal"), _dir: dir }, Durability::Os)
        } else {
            (Place::Memory(MemoryJournal::new()), Durability::Memory)
        };
        let uses_store = !random.one_in(4);
        let entities = 1 + usize::try_from(random.below(3)).unwrap();
        Self {
            store: Worn::new(random.fork(), durability, lies),
            random,
            place,
            clock: ManualClock::at(Timestamp::from_second(1_000_000).unwrap()),
            uses_store,
            books: vec![Expected::new(); entities],
            lost: vec![false; entities],
            next_op: 1,
            tally: Tally::new(),
            life: None,
            refs: Vec::new(),
        }
    }

    fn settings(&mut self) -> Builder {
        let random = &mut self.random;
        let builder = on_this_ground(System::builder())
            .shards(random.pick(&[1, 2]))
            .residents_max(random.pick(&[1, 1000]))
            .idle_after(random.millis(&[0, 1000, 600_000]))
            .verify_snapshots(random.one_in(3))
            .keys_max(KEYS_MAX)
            .shutdown_within(PATIENCE)
            .clock(self.clock.clone())
            .register::<A>();
        if self.uses_store { builder.snapshots(self.store.clone()) } else { builder }
    }

    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Ends the system if there is one, and starts the next one on what is stored.
    async fn restart(&mut self) {
        let on_disk = matches!(self.place, Place::Disk { .. });
        if let Some(Life { system, .. }) = self.life.take() {
            self.add_up(&system);
            if on_disk || self.random.one_in(2) {
                // It fails if the journal has failed.
                let _ = timeout(PATIENCE, system.shutdown()).await.expect("the shutdown ends");
            }
            self.refs.clear();
        }
        let builder = self.settings();
        for book in &mut self.books {
            book.reload();
        }
        let (system, journal) = match &mut self.place {
            Place::Memory(journal) => {
                *journal = journal.reopen();
                all_stored(journal);
                let journal = journal.clone();
                self.check_armed(&journal).await;
                (builder.start(journal.clone()).unwrap(), Some(journal))
            }
            Place::Disk { path, .. } => {
                let journal = FjallJournal::open(path, FjallOptions::new().durability(Durability::Os)).unwrap();
                self.check_armed(&journal).await;
                (builder.start(journal).unwrap(), None)
            }
        };
        self.refs = (0..self.books.len()).map(|entity| system.get::<A>(id::<A>(entity).entity)).collect();
        self.life = Some(Life { system, journal });
    }

    /// The deadlines that the journal has armed are those of the books.
    async fn check_armed(&self, journal: &impl Journal) {
        let mut armed = Vec::new();
        for one in journal.armed().await.unwrap() {
            armed.push((journal.stream_id(one.stream).await.unwrap(), one.due));
        }
        for (entity, book) in self.books.iter().enumerate().filter(|(entity, _)| !self.lost[*entity]) {
            let found: Vec<_> =
                armed.iter().filter(|(of, _)| of.as_ref() == Some(&id::<A>(entity))).map(|(_, due)| *due).collect();
            let expected = Vec::from_iter(book.due());
            // Whoever looked at it in vain may have found its time over.
            let is_over = found.is_empty() && book.due().is_some_and(|due| due <= self.now());
            assert!(found == expected || is_over, "{entity}: {found:?} is armed instead of {expected:?}");
        }
    }

    /// Whether a book may be out of reach now: its events are deleted, and no snapshot can be had for them.
    fn may_be_lost(&self) -> bool {
        !A::KEEPS_ALL && self.uses_store
    }

    /// Whether a book is out of reach for good.
    async fn is_lost(&self, entity: usize) -> bool {
        let id = id::<A>(entity);
        let Some(journal) = self.life.as_ref().and_then(|life| life.journal.as_ref()) else { return false };
        let head = journal.open_stream(&id).await.unwrap();
        journal.close_stream(head.stream);
        head.floor > SeqNr::ZERO && !self.store.has_intact(&id, head.floor, head.last)
    }

    /// What a book that answers was missing when it was judged to be lost was on its way to the store: now it is there.
    async fn find_again(&mut self, entity: usize) {
        if std::mem::take(&mut self.lost[entity]) {
            assert!(!self.is_lost(entity).await, "{entity} is lost, and answers");
            self.tick(entity);
            self.count("found again");
        }
    }

    /// A command, with a fault of the journal's now and then.
    async fn act(&mut self, entity: usize) {
        let op = self.next_op;
        self.next_op += 1;
        let before = self.tick(entity);
        let (action, key) = {
            let book = &self.books[entity];
            (book.choose(&mut self.random), book.new_key(op, &mut self.random))
        };
        let stores = action != Action::Peek || key.is_some();
        let fault = self.plan_fault(entity, stores, &before).await;
        let answer = self.call(entity, action, op, key).await;
        happened("answer", &(entity, op, action, answer.as_ref().map_err(|error| variant(error))));
        match answer {
            Ok(told) => {
                self.find_again(entity).await;
                let expected = self.books[entity].after(action, op);
                assert_eq!(told, expected, "{entity}: {action:?} {op} with {key:?}");
                self.apply(entity, action, op, key);
                self.count("stored");
            }
            Err(CallError::Deleted { seq_nr, .. }) => {
                assert_eq!(Some(seq_nr.0), self.books[entity].ended);
                self.count("deleted");
            }
            Err(error) if self.books[entity].ended.is_some() => panic!("{entity} is deleted, and tells {error}"),
            Err(CallError::NotStored { why: NotStored::Journal(why), .. }) => {
                assert_eq!(fault, Some(Fault::Refuse), "{why}");
                self.books[entity].reload();
                self.count("refused");
            }
            Err(CallError::Unknown { .. }) => {
                let Some(Fault::Fail(unknown)) = fault else { panic!("nobody knows, and {fault:?} was planned") };
                if unknown == UnknownRun::Stored {
                    self.apply(entity, action, op, key);
                }
                self.count("unknown");
            }
            Err(error) => self.expect_quarantine(entity, &error, before),
        }
        self.store.set_sound(false);
        if let Some(Fault::Fail(_)) = fault {
            // The journal takes no more.
            self.restart().await;
        }
    }

    fn apply(&mut self, entity: usize, action: Action, op: u64, key: Option<expected::Key>) {
        let now = self.now();
        self.books[entity].apply(action, op, key, now);
    }

    /// Whatever is handled next finds the time over that is; gives the book as it was before.
    fn tick(&mut self, entity: usize) -> Expected {
        let (now, book) = (self.now(), &mut self.books[entity]);
        let before = book.clone();
        if !self.lost[entity] {
            book.tick(now);
        }
        before
    }

    fn expect_quarantine(&mut self, entity: usize, error: &CallError<Never>, before: Expected) {
        let allowed = self.may_be_lost() && matches!(error, CallError::Quarantined { .. });
        assert!(allowed, "{entity}: {error}");
        self.books[entity] = before;
        self.books[entity].reload();
        self.count("quarantined");
    }

    /// A fault that the next write is sure to meet.
    async fn plan_fault(&mut self, entity: usize, stores: bool, before: &Expected) -> Option<Fault> {
        let faults = self.life.as_ref()?.journal.as_ref()?.faults();
        let is_open = self.books[entity].ended.is_none() && !self.lost[entity];
        if !stores || !is_open || !self.random.one_in(8) {
            return None;
        }
        self.store.set_sound(true);
        if A::look(&self.refs[entity]).await.is_err() {
            self.books[entity] = before.clone();
            self.books[entity].reload();
            self.store.set_sound(false);
            return None;
        }
        if self.random.one_in(3) {
            let unknown = self.random.pick(&[UnknownRun::Stored, UnknownRun::Lost]);
            faults.fail_next(unknown);
            return Some(Fault::Fail(unknown));
        }
        faults.refuse_next(Why::QueueFull { bytes: 1, limit: 1 });
        Some(Fault::Refuse)
    }

    async fn call(
        &self,
        entity: usize,
        action: Action,
        op: u64,
        key: Option<expected::Key>,
    ) -> Result<Told, CallError<Never>> {
        let book = &self.refs[entity];
        let call = match action {
            Action::Write { snapshot } => A::write(book, op, snapshot),
            Action::Peek => A::peek(book),
            Action::Lend { millis } => A::lend(book, op, millis),
            Action::Check => A::check(book, op),
            Action::Pass => A::pass(book, op),
        };
        let call = match key {
            None => call,
            Some(expected::Key::Unique(key)) => call.key(Key::unique(key.to_le_bytes())),
            Some(expected::Key::Rising(number)) => call.key(Key::rising(number)),
        };
        timeout(PATIENCE, call).await.expect("every call ends")
    }

    /// A command that was done before is answered as it was then.
    async fn repeat(&mut self, entity: usize) {
        let Some(done) = self.books[entity].done(&mut self.random) else { return };
        let before = self.tick(entity);
        let answer = self.call(entity, done.action, done.op, Some(done.key)).await;
        match answer {
            Ok(told) => {
                self.find_again(entity).await;
                assert_eq!(told, done.told, "{entity}: the answer to {done:?}");
                self.count("repeated");
            }
            Err(CallError::Deleted { .. }) if self.books[entity].ended.is_some() => {}
            Err(error) => self.expect_quarantine(entity, &error, before),
        }
    }

    async fn ask_for_snapshot(&mut self, entity: usize) {
        let before = self.tick(entity);
        let answer = timeout(PATIENCE, A::snapshot(&self.refs[entity])).await.expect("a request is answered");
        if matches!(answer, Ok(_) | Err(CallError::Refused(_))) {
            self.find_again(entity).await;
        }
        let book = &self.books[entity];
        let refusal = match answer {
            Ok(meta) => {
                assert_eq!(meta.seq_nr.0, book.seq_nr, "{entity}: the snapshot is of another record");
                assert!(!book.is_transient());
                return self.count("snapshot on request");
            }
            Err(CallError::Refused(refusal)) => refusal,
            Err(CallError::Deleted { .. }) if book.ended.is_some() => return,
            Err(CallError::Quarantined { .. }) if self.may_be_lost() => {
                self.books[entity] = before;
                self.books[entity].reload();
                return self.count("quarantined");
            }
            Err(error) => panic!("{entity}: {error}"),
        };
        match refusal {
            SnapshotError::Nothing => assert_eq!(book.seq_nr, 0),
            SnapshotError::Transient { .. } => assert!(book.is_transient(), "{entity}: {refusal}"),
            SnapshotError::Store(_) => assert!(self.uses_store, "{entity}: {refusal}"),
            refusal => panic!("{entity}: {refusal}"),
        }
    }

    async fn delete(&mut self, entity: usize) {
        if self.books[entity].due().is_some_and(|due| due <= self.now()) {
            return;
        }
        let Some(life) = &self.life else { return };
        let (book, id) = (&mut self.books[entity], id::<A>(entity));
        let may_fail = self.lost[entity] || self.uses_store;
        match timeout(PATIENCE, A::delete(&life.system, id.entity.as_str())).await.expect("a deletion ends") {
            Ok(seq_nr) => {
                let last = book.ended.unwrap_or(book.seq_nr + 1);
                assert_eq!(seq_nr, last, "{entity} ends elsewhere");
                book.ended = Some(last);
                self.count("ended");
            }
            Err(error) if book.seq_nr == 0 => assert!(error.contains("there is nothing to"), "{error}"),
            Err(error) => {
                assert!(may_fail, "{entity}: {error}");
                if error.contains("its events are deleted") {
                    book.ended = book.ended.or(Some(book.seq_nr + 1));
                    self.count("ended");
                }
            }
        }
    }

    /// Moves the clock, and waits until all books are as they have to be then.
    async fn settle(&mut self, advance: Duration) {
        happened("settle", &(self.now(), advance));
        self.store.set_sound(true);
        // As they were when they were last seen.
        let mut seen = self.books.clone();
        self.clock.advance(advance);
        for _ in 0..20 {
            let begun = self.now();
            for entity in 0..self.books.len() {
                self.settle_one(entity, &mut seen).await;
            }
            // Otherwise something else has become due, maybe.
            if self.now() == begun {
                break;
            }
        }
        self.store.set_sound(false);
    }

    async fn settle_one(&mut self, entity: usize, seen: &mut [Expected]) {
        let started = Instant::now();
        for turn in 1_u64.. {
            let now = self.now();
            for (book, lost) in self.books.iter_mut().zip(&self.lost) {
                if !lost {
                    book.tick(now);
                }
            }
            let told = timeout(PATIENCE, A::look(&self.refs[entity])).await.expect("a query ends");
            if told.is_ok() {
                self.find_again(entity).await;
            }
            let book = &self.books[entity];
            let expected = book.told();
            match told {
                Ok(told) if told == expected => {
                    assert!(book.ended.is_none(), "{entity} is there again");
                    happened("settled", &(entity, now, &told));
                    seen[entity] = self.books[entity].clone();
                    return self.count("settled");
                }
                Err(CallError::Deleted { seq_nr, .. }) => {
                    assert_eq!(Some(seq_nr.0), book.ended);
                    return;
                }
                Err(CallError::Quarantined { retry_at, .. }) if self.may_be_lost() => {
                    self.books[entity].reload();
                    if self.is_lost(entity).await {
                        assert!(self.store.lies(), "{entity} is lost, and the store has kept all that it said it has");
                        if !std::mem::replace(&mut self.lost[entity], true) {
                            // Who can't be loaded doesn't find that its time is over.
                            self.books[entity] = seen[entity].clone();
                            self.books[entity].reload();
                            self.count("lost");
                        }
                        return;
                    }
                    if retry_at > now {
                        // In whole milliseconds, like everything here.
                        let millis = retry_at.as_millisecond() + 1;
                        self.clock.set(Timestamp::from_millisecond(millis).unwrap());
                    }
                }
                Ok(told) => assert!(started.elapsed() < PATIENCE, "{entity} is {told:?} instead of {expected:?}"),
                Err(error) => panic!("{entity}: {error}"),
            }
            assert!(started.elapsed() < PATIENCE, "{entity} doesn't come to rest as {expected:?}");
            if turn.is_multiple_of(50) {
                // An alarm that has failed is rung again after a pause.
                self.clock.advance(Duration::from_secs(301));
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn step(&mut self) {
        let entity = usize::try_from(self.random.below(crate::random::count(self.books.len()))).unwrap();
        match self.random.below(40) {
            0..=25 => self.act(entity).await,
            26..=29 => self.repeat(entity).await,
            30..=32 => self.ask_for_snapshot(entity).await,
            33 | 34 => {
                let advance = self.random.millis(&[0, 40, 120, 1_200, 10_000]);
                self.settle(advance).await;
            }
            35 => self.restart().await,
            36 if self.random.one_in(6) => self.delete(entity).await,
            _ => {
                for _ in 0..self.random.below(20) {
                    yield_now().await;
                }
            }
        }
    }

    async fn play(mut self) -> Tally {
        self.restart().await;
        for _ in 0..20 + self.random.below(80) {
            self.step().await;
        }
        self.settle(Duration::ZERO).await;
        self.restart().await;
        self.settle(Duration::from_secs(10)).await;
        if A::KEEPS_ALL {
            // No snapshot was needed for anything.
            self.uses_store = true;
            self.store = Worn::new(self.random.fork(), Durability::Memory, false);
            self.restart().await;
            self.settle(Duration::ZERO).await;
        }
        self.restart().await;
        self.tally
    }

    fn add_up(&mut self, system: &System) {
        let stats = system.stats();
        for (what, times) in [
            ("saved", stats.snapshots_saved),
            ("unusable", stats.snapshots_unusable),
            ("records deleted", stats.records_deleted),
        ] {
            *self.tally.entry(what).or_default() += times;
        }
    }
}

/// What the journal is to do with the next write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Refuse,
    Fail(UnknownRun),
}

fn play(ground: Ground, seed: u64) -> Tally {
    match Random::new(seed).below(5) {
        0 => ground.live_on(World::<book::all::Book>::new(ground, seed).play()),
        1 => ground.live_on(World::<book::since::Book>::new(ground, seed).play()),
        2 => ground.live_on(World::<book::young::Book>::new(ground, seed).play()),
        3 => ground.live_on(World::<book::asked::Book>::new(ground, seed).play()),
        _ => ground.live_on(World::<book::secret::Book>::new(ground, seed).play()),
    }
}

#[test]
fn what_is_recovered_is_the_fold_of_all_acknowledged_commands() {
    let tally = try_seeds(1_500, Ground::Simulated, play);
    let happened = ["stored", "repeated", "snapshot on request", "settled", "unusable", "records deleted"];
    // A single seed doesn't do everything.
    for what in happened.iter().filter(|_| setting("ANNALS_SEED").is_none()) {
        assert!(tally.get(*what).is_some_and(|times| *times > 0), "nothing of `{what}` has happened: {tally:?}");
    }
}

#[test]
fn what_is_recovered_is_the_fold_on_threads_and_on_a_disk_too() {
    try_seeds(24, Ground::Threads, play);
}

#[test]
fn a_seed_repeats_exactly() {
    replay_seeds(play);
}
