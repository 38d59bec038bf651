//! A shard: one task that owns the entities hashed to it.
//!
//! One pass: take what has arrived, let each entity with work have a turn, hand the journal what has piled up, and
//! answer what has become durable. Nothing in a pass waits.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::contain::{contained, drop_contained};
use crate::execute::Draft;
use crate::journal::{Cause, Fut, Journal, Outcome};
use crate::log::{self, Throttles};
use crate::snapshot::SnapshotStore;
use crate::system::builder::Settings;
use crate::system::desk::{Desk, Key, REPEAT_BATCH_MAX, REPEAT_JOBS_MAX};
use crate::system::drain::Probe;
use crate::system::effects::EffectQueue;
use crate::system::mailbox::{Delivery, MailboxEnd};
use crate::system::pace::Pace;
use crate::system::quarantine::Ward;
use crate::system::repeat::Repeat;
use crate::system::schedule::Schedule;
use crate::system::snapshots::Shelf;
use crate::system::stats::Counters;
use crate::system::store::{Loaded, Store};
use crate::system::timepiece::Timepiece;
use crate::system::work::SpareRuns;

/// How many entities have a turn in one pass.
const TURNS_MAX: usize = 256;
/// How long they go on. What is slow ends a pass early, so that the shard hears of what happens meanwhile.
const PASS_TIME_MAX: Duration = Duration::from_millis(5);
/// After how many passes, at the most, the other tasks of the thread have their turn.
const PASSES_MAX: usize = 64;
/// So many answers leave in one pass, or those of one entity more. Then the callers have their turns: each finds near what
/// was just touched for it.
const ANSWERS_MAX: usize = 64;
/// How many runs a group has at most.
const GROUP_RUNS_MAX: usize = 8192;
/// How long a group is, beyond which no run is added.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// How many blocking jobs load entities for one shard at the same time.
const LOADS_MAX: usize = 2;

/// How far a shard is on its way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Running,
    /// Nothing more is taken from outside; what is there is finished, effects and their calls included.
    Draining,
    /// Nothing more is taken.
    Closing,
    /// What is there is given up.
    GivingUp,
}

/// Makes the store with this number for a shard.
pub(crate) type MakeStore = Box<dyn Fn(u32) -> Box<dyn Store> + Send + Sync>;

/// A group that the journal has.
struct InFlight {
    outcomes: Fut<'static, Vec<Outcome>>,
    /// Whose runs they are, and their lengths.
    runs: Vec<(Key, usize)>,
}

/// A group of which it is known what became of it, as far as its entities haven't heard.
struct Settled {
    runs: std::vec::IntoIter<(Key, usize)>,
    outcomes: std::vec::IntoIter<Outcome>,
}

/// The stores of a shard, made when they are first needed.
struct Stores {
    stores: Vec<Option<Box<dyn Store>>>,
    make: MakeStore,
}

impl Stores {
    fn get(&mut self, number: u32) -> &mut dyn Store {
        let index = usize::try_from(number).expect("a store's number fits an index");
        if self.stores.len() <= index {
            self.stores.resize_with(index + 1, || None);
        }
        self.stores[index].get_or_insert_with(|| (self.make)(number)).as_mut()
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Box<dyn Store>> {
        self.stores.iter_mut().flatten()
    }
}

/// The ends of a shard that lead outside.
pub(crate) struct Setup {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Timepiece,
    pub(crate) settings: Settings,
    pub(crate) residents_max: usize,
    pub(crate) mailbox: MailboxEnd,
    pub(crate) counters: Arc<Counters>,
    pub(crate) run_numbers: Arc<AtomicU64>,
    pub(crate) effects: EffectQueue,
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) ward: Arc<Ward>,
    pub(crate) shelf: Shelf,
    pub(crate) snapshots: Option<Arc<dyn SnapshotStore>>,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) probes: mpsc::Receiver<Probe>,
    pub(crate) make_store: MakeStore,
}

/// The state of the task.
pub(crate) struct Shard {
    desk: Desk,
    stores: Stores,
    mailbox: MailboxEnd,
    mailbox_open: bool,
    arrivals: Vec<Delivery>,
    in_flight: VecDeque<InFlight>,
    settled: Option<Settled>,
    /// Whether what is to be handed over waits for what comes from those who have just been answered.
    gathers: bool,
    loads: JoinSet<Loaded>,
    /// Each brings back whose repeats it has answered.
    repeat_jobs: JoinSet<Vec<Key>>,
    stage: Stage,
    stages: watch::Receiver<Stage>,
    probes: mpsc::Receiver<Probe>,
    probing: Vec<Probe>,
}

/// What a shard woke up for.
enum Wake {
    Stage(Stage),
    Outcomes(Vec<Outcome>),
    Loaded(Option<Loaded>),
    Repeated(Vec<Key>),
    Arrivals,
    Probe(Probe),
    Sweep,
    GoOn,
}

impl Shard {
    pub(crate) fn new(setup: Setup) -> Self {
        let facts = setup.journal.facts();
        let desk = Desk {
            journal: setup.journal,
            facts,
            clock: setup.clock,
            settings: setup.settings,
            lanes: setup.mailbox.lanes.clone(),
            counters: setup.counters,
            draft: Draft::default(),
            spare_runs: SpareRuns::default(),
            ready: VecDeque::new(),
            dirty: VecDeque::new(),
            absent: VecDeque::new(),
            effects: setup.effects,
            repeats: VecDeque::new(),
            repeating: 0,
            starved: VecDeque::new(),
            fed: 0,
            schedule: setup.schedule,
            ward: setup.ward,
            last_reason: Arc::from(""),
            log: Throttles::default(),
            shelf: setup.shelf,
            snapshots: setup.snapshots,
            answers: 0,
            bytes_unsettled: 0,
            busy: 0,
            residents: 0,
            residents_max: setup.residents_max,
            run_numbers: setup.run_numbers,
            tenth: 0,
            storage_low: false,
        };
        Self {
            desk,
            stores: Stores { stores: Vec::new(), make: setup.make_store },
            mailbox: setup.mailbox,
            mailbox_open: true,
            arrivals: Vec::new(),
            in_flight: VecDeque::new(),
            settled: None,
            gathers: false,
            loads: JoinSet::new(),
            repeat_jobs: JoinSet::new(),
            stage: Stage::Running,
            stages: setup.stage,
            probes: setup.probes,
            probing: Vec::new(),
        }
    }

    /// Runs until the shard is told to stop and has nothing left to do.
    pub(crate) async fn run(mut self) {
        let sweep_every = (self.desk.settings.idle_after / 4).clamp(Duration::from_millis(10), Duration::from_secs(30));
        let mut sweep = tokio::time::interval(sweep_every);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (started, mut passes) = (Instant::now(), 0);
        while !self.is_done() {
            let wake = self.wake(&mut sweep).await;
            self.desk.tenth = u32::try_from(started.elapsed().as_millis() / 100).unwrap_or(u32::MAX);
            match wake {
                Wake::Stage(stage) => self.enter(stage),
                Wake::Outcomes(outcomes) => self.settled = self.take_settled(outcomes),
                Wake::Loaded(loaded) => self.install(loaded),
                Wake::Repeated(keys) => self.repeated(&keys),
                Wake::Probe(probe) => self.probing.push(probe),
                Wake::Sweep => self.sweep(),
                Wake::Arrivals | Wake::GoOn => {}
            }
            self.settle_some();
            self.take_arrivals();
            self.flush_effects();
            self.feed();
            let was_slow = self.take_turns();
            // ORDER: behind the turns, in which an entity may break and have to be loaded again.
            self.load();
            self.repeat();
            self.gathers = self.gathers_more();
            if !self.gathers {
                self.submit();
            }
            self.evict();
            if self.is_idle() {
                // Who has asked may have gone.
                for probe in self.probing.drain(..) {
                    let _ = probe.send(());
                }
            }
            passes = (passes + 1) % PASSES_MAX;
            if was_slow || passes == 0 || self.settled.is_some() {
                // There may be something to wake up for each time, such as a journal that answers at once.
                tokio::task::yield_now().await;
            }
        }
    }

    async fn wake(&mut self, sweep: &mut Interval) -> Wake {
        let has_turns = !self.desk.ready.is_empty() && !self.desk.is_saturated();
        // Those that were fed before may have needed nothing.
        let may_feed = !self.desk.starved.is_empty() && self.desk.room_to_feed() > 0;
        tokio::select! {
            biased;
            stage = next_stage(&mut self.stages), if self.stage != Stage::GivingUp => Wake::Stage(stage),
            outcomes = next_outcomes(&mut self.in_flight), if self.settled.is_none() && !self.in_flight.is_empty() => {
                Wake::Outcomes(outcomes)
            }
            Some(loaded) = self.loads.join_next(), if !self.loads.is_empty() => Wake::Loaded(loaded.ok()),
            // None is lost: what panics in such a job is contained.
            Some(keys) = self.repeat_jobs.join_next(), if !self.repeat_jobs.is_empty() => {
                Wake::Repeated(keys.unwrap_or_default())
            }
            () = poll_fn(|task| self.mailbox.poll_arrived(task)), if self.mailbox_open && !self.gathers => Wake::Arrivals,
            () = self.desk.effects.room(), if self.desk.effects.is_waiting() => Wake::GoOn,
            Some(probe) = self.probes.recv() => Wake::Probe(probe),
            _ = sweep.tick() => Wake::Sweep,
            // Lets the other tasks of this thread run between two passes.
            () = tokio::task::yield_now(), if has_turns || may_feed || self.gathers || self.settled.is_some() => {
                Wake::GoOn
            }
        }
    }

    /// Whether there is nothing to do until something arrives.
    fn is_idle(&self) -> bool {
        self.desk.busy == 0
            && self.mailbox.is_empty()
            && self.in_flight.is_empty()
            && self.settled.is_none()
            && self.loads.is_empty()
            && self.desk.repeats.is_empty()
            && self.repeat_jobs.is_empty()
            && !self.desk.effects.is_waiting()
    }

    fn is_done(&self) -> bool {
        self.stage >= Stage::Closing && !self.mailbox_open && self.is_idle()
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = self.stage.max(stage);
        if self.stage >= Stage::Closing {
            self.mailbox.close();
        }
        if self.stage == Stage::GivingUp {
            while self.settled.is_some() {
                self.settle_some();
            }
            self.in_flight.drain(..).for_each(|group| drop_contained("the outcomes of a group", group.outcomes));
            self.loads.abort_all();
            self.loads.detach_all();
            self.repeat_jobs.detach_all();
            self.desk.repeats.clear();
            self.desk.starved.clear();
            self.desk.fed = 0;
            self.desk.effects.clear();
            let Self { stores, desk, .. } = self;
            stores.all().for_each(|store| store.give_up(desk));
        }
    }

    /// Takes in what has arrived, whatever it woke up for: nobody waits in the mailbox until a flooded entity has nothing left
    /// to do.
    fn take_arrivals(&mut self) {
        let Self { mailbox, stores, desk, arrivals, stage, .. } = self;
        self.mailbox_open = mailbox.take(arrivals);
        for delivery in arrivals.drain(..) {
            stores.get(delivery.store).accept(delivery, desk);
        }
        if *stage == Stage::GivingUp {
            stores.all().for_each(|store| store.give_up(desk));
        }
    }

    /// Says whether its time was over before all had their turns.
    fn take_turns(&mut self) -> bool {
        let mut pace = Pace::new(PASS_TIME_MAX);
        for turns in 0..TURNS_MAX {
            if pace.is_over(turns) {
                return true;
            }
            if self.desk.is_saturated() {
                return false;
            }
            let Some(key) = self.desk.ready.pop_front() else { return false };
            self.stores.get(key.store).take_turn(key.slot, &mut self.desk);
        }
        false
    }

    /// Whether to let the other tasks of the thread have one turn before anything is handed over. The journal is busy
    /// with an earlier group and loses no time; and who was answered with that asks again, so that one group holds what would
    /// else be spread over several, each of which the callers would wait for.
    fn gathers_more(&self) -> bool {
        !self.gathers && !self.in_flight.is_empty() && !self.desk.dirty.is_empty()
    }

    /// Hands the journal one run of each entity that has any.
    fn submit(&mut self) {
        if self.in_flight.len() >= self.desk.facts.groups_in_flight.max(1) || self.desk.dirty.is_empty() {
            return;
        }
        let count = self.desk.dirty.len().min(GROUP_RUNS_MAX);
        let (mut group, mut runs, mut bytes) = (Vec::with_capacity(count), Vec::with_capacity(count), 0);
        for _ in 0..count {
            if bytes >= GROUP_BYTES_MAX {
                break;
            }
            let Some(key) = self.desk.dirty.pop_front() else { break };
            let Some(run) = self.stores.get(key.store).seal(key.slot, &mut self.desk) else { continue };
            bytes += run.bytes.len();
            runs.push((key, run.bytes.len()));
            group.push(run);
        }
        if !group.is_empty() {
            let outcomes = contained(|| self.desk.journal.append(group))
                .unwrap_or_else(|panic| Box::pin(std::future::ready(panicked(&panic, runs.len()))));
            self.in_flight.push_back(InFlight { outcomes, runs });
        }
    }

    /// Takes the group that is settled off those in flight.
    fn take_settled(&mut self, outcomes: Vec<Outcome>) -> Option<Settled> {
        let group = self.in_flight.pop_front()?;
        drop_contained("the outcomes of a group", group.outcomes);
        let (runs, told) = (group.runs.len(), outcomes.len());
        let outcomes = if told == runs {
            outcomes
        } else {
            log::error!(
                runs,
                told,
                "the journal is wrong: it tells one outcome for each run, or nobody knows whose they are"
            );
            unknown(&format!("the journal told {told} outcomes of {runs} runs"), runs)
        };
        Some(Settled { runs: group.runs.into_iter(), outcomes: outcomes.into_iter() })
    }

    /// Tells some entities what became of their runs.
    fn settle_some(&mut self) {
        let Some(settled) = &mut self.settled else { return };
        self.desk.answers = 0;
        while self.desk.answers < ANSWERS_MAX {
            let (Some((key, bytes)), Some(outcome)) = (settled.runs.next(), settled.outcomes.next()) else {
                self.settled = None;
                return;
            };
            self.desk.bytes_unsettled -= bytes;
            self.stores.get(key.store).settle(key.slot, outcome, &mut self.desk);
        }
    }

    /// Starts jobs that load absent entities, many at a time.
    fn load(&mut self) {
        while self.loads.len() < LOADS_MAX {
            let Some(key) = self.desk.absent.front() else { return };
            let job = self.stores.get(key.store).load(&mut self.desk);
            self.desk.settings.blocking.here().spawn_blocking_in(&mut self.loads, job);
        }
    }

    /// Starts jobs that answer repeated commands, many at a time.
    fn repeat(&mut self) {
        while self.repeat_jobs.len() < REPEAT_JOBS_MAX && !self.desk.repeats.is_empty() {
            let count = self.desk.repeats.len().min(REPEAT_BATCH_MAX);
            let batch: Vec<(Key, Repeat)> = self.desk.repeats.drain(..count).collect();
            let journal = self.desk.journal.clone();
            let runtime = self.desk.settings.blocking.here();
            runtime.clone().spawn_blocking_in(&mut self.repeat_jobs, move || {
                let answer = |(key, repeat): (Key, Repeat)| {
                    // One that panics is told that nobody knows, and no other.
                    let _told = contained(|| repeat(&*journal, &runtime));
                    key
                };
                batch.into_iter().map(answer).collect()
            });
        }
    }

    /// Takes in whose repeats were answered.
    fn repeated(&mut self, keys: &[Key]) {
        for key in keys {
            self.stores.get(key.store).repeat_answered(key.slot, &mut self.desk);
        }
    }

    /// Lets entities go on whose repeats there is room for now, each with as many as fit in a turn. Those behind them keep
    /// their order.
    fn feed(&mut self) {
        while self.desk.room_to_feed() > 0
            && let Some(key) = self.desk.starved.pop_front()
        {
            self.desk.fed += usize::from(self.stores.get(key.store).feed(key.slot, &mut self.desk));
        }
    }

    fn install(&mut self, loaded: Option<Loaded>) {
        if let Some(loaded) = loaded {
            self.stores.get(loaded.store).install(loaded.entities, &mut self.desk);
        }
    }

    fn flush_effects(&mut self) {
        while let Some(key) = self.desk.effects.flush_one() {
            self.stores.get(key.store).effect_left(key.slot, &mut self.desk);
        }
    }

    /// Drops entities that have been idle for long.
    fn sweep(&mut self) {
        let Self { stores, desk, .. } = self;
        stores.all().for_each(|store| store.sweep(desk));
    }

    /// Drops entities beyond the resident maximum.
    fn evict(&mut self) {
        let Self { stores, desk, .. } = self;
        if desk.residents > desk.residents_max {
            stores.all().for_each(|store| store.evict(desk));
        }
    }
}

/// The next stage; it never ends once the system was dropped, which says its last word before.
async fn next_stage(stages: &mut watch::Receiver<Stage>) -> Stage {
    match stages.changed().await {
        Ok(()) => *stages.borrow_and_update(),
        Err(_) => std::future::pending().await,
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            log::error!(
                "a shard panicked: calls to its entities end with `Stopped`, until the system is started again"
            );
        }
    }
}

/// The outcomes of the oldest group.
async fn next_outcomes(in_flight: &mut VecDeque<InFlight>) -> Vec<Outcome> {
    poll_fn(|task| match in_flight.front_mut() {
        Some(group) => contained(|| group.outcomes.as_mut().poll(task))
            .unwrap_or_else(|panic| Poll::Ready(panicked(&panic, group.runs.len()))),
        None => Poll::Pending,
    })
    .await
}

/// What is known of runs that were given to a journal which panicked.
fn panicked(panic: &str, runs: usize) -> Vec<Outcome> {
    unknown(&format!("the journal panicked: {panic}"), runs)
}

fn unknown(cause: &str, runs: usize) -> Vec<Outcome> {
    vec![Outcome::Unknown(Cause(cause.into())); runs]
}
