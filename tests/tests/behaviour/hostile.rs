//! Code of the user's that goes wrong in odd ways: it harms its own entity at the most.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use annals::journal::MemoryJournal;
use annals::prelude::*;
use annals::{EncodeError, NotStored, StartError};
use annals_tests::Account;

use crate::until;

/// How long is for ever: whatever comes takes less, on any machine.
const LONG: Duration = Duration::from_secs(120);

thread_local! {
    /// How often a bomb or a bomber went off in this thread, which is the only one of its test.
    static WENT_OFF: Cell<u64> = const { Cell::new(0) };
}

fn go_off(what: &str) {
    if !std::thread::panicking() {
        WENT_OFF.set(WENT_OFF.get() + 1);
        panic!("{what} went off");
    }
}

/// Panics when it is dropped.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        go_off("the bomb");
    }
}

/// Whether dropping a bomber's data panics.
static ARMED: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Bomber {
    loaded: bool,
}

impl Drop for Bomber {
    fn drop(&mut self) {
        if self.loaded && ARMED.load(Ordering::SeqCst) {
            go_off("the bomber");
        }
    }
}

#[aggregate]
impl Bomber {
    #[event]
    fn was_loaded(&mut self) {
        self.loaded = true;
    }

    #[command]
    fn load(&self) -> Step {
        applying(BomberEvent::WasLoaded)
    }

    #[command]
    fn hand_out(&self) -> Step<Bomb> {
        stay().replying(Bomb)
    }

    /// Panics with something whose drop panics.
    #[command]
    fn throw(&self) -> Step {
        std::panic::panic_any(Bomb)
    }
}

fn one_shard() -> System {
    System::builder().shards(1).idle_after(Duration::from_millis(100)).start(MemoryJournal::new()).unwrap()
}

/// The shard still works: another of its entities answers.
async fn another_goes_on(system: &System) {
    assert_eq!(system.get::<Account>("other").deposit(1).await.unwrap(), 1);
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_reply_that_panics_when_nobody_takes_it() {
    let system = one_shard();
    system.get::<Bomber>("b").hand_out().tell().await.unwrap();
    until("it is handled", || system.stats().commands == 1).await;
    another_goes_on(&system).await;
    assert_eq!(WENT_OFF.get(), 1);
}

#[tokio::test]
async fn data_that_panics_when_it_is_dropped_from_memory() {
    let system = one_shard();
    system.get::<Bomber>("b").load().await.unwrap();
    ARMED.store(true, Ordering::SeqCst);
    until("it is passivated", || system.stats().passivations == 1).await;
    ARMED.store(false, Ordering::SeqCst);
    assert_eq!(WENT_OFF.get(), 1);
    another_goes_on(&system).await;
}

#[tokio::test]
async fn a_panic_that_panics_when_it_is_dropped() {
    let system = one_shard();
    let error = system.get::<Bomber>("b").throw().await.unwrap_err();
    assert!(matches!(error, CallError::Panicked { command: "throw", .. }), "{error:?}");
    assert_eq!(WENT_OFF.get(), 1);
    another_goes_on(&system).await;
}

/// A value as deep as one likes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Branch(Box<Tree>),
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Forest {
    trees: u64,
}

#[aggregate]
impl Forest {
    #[event]
    fn planted(&mut self, tree: Tree) {
        drop(tree);
        self.trees += 1;
    }

    #[command]
    fn plant(&self, depth: usize) -> Step<u64> {
        let tree = (0..depth).fold(Tree::Leaf, |tree, _| Tree::Branch(Box::new(tree)));
        applying(ForestEvent::Planted { tree }).replying_with(|forest: &Forest| forest.trees)
    }
}

#[tokio::test]
async fn an_event_that_is_nested_too_deeply_to_be_read_safely() {
    let system = one_shard();
    let forest = system.get::<Forest>("f");
    assert_eq!(forest.plant(100).await.unwrap(), 1);
    for depth in [130, 400] {
        let error = forest.plant(depth).await.unwrap_err();
        let CallError::NotStored { why: NotStored::Event { event: "planted", error }, .. } = error else {
            panic!("{error:?}")
        };
        assert!(matches!(&error, EncodeError::ReadAgain(_)) && error.to_string().contains("nested"), "{error}");
    }
    assert_eq!(forest.plant(1).await.unwrap(), 2);
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Echo {
    heard: u64,
}

#[aggregate]
impl Echo {
    #[event]
    fn was_heard(&mut self) {
        self.heard += 1;
    }

    #[command]
    fn hear(&self) -> Step {
        applying(EchoEvent::WasHeard)
    }

    /// Calls itself from a spawned future.
    #[command]
    fn shout(&self) -> Step {
        stay().and_then(|fx| {
            let this = fx.this();
            fx.spawn(async move { this.hear().await.unwrap() });
        })
    }

    /// Leaves a future behind that never ends.
    #[command]
    fn linger(&self) -> Step {
        stay().and_then(|fx| fx.spawn(std::future::pending()))
    }

    #[query]
    fn heard(&self) -> u64 {
        self.heard
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_that_wait_for_their_own_entity_don_t_stop_it() {
    let journal = MemoryJournal::new();
    let system = System::builder().shards(1).start(journal.clone()).unwrap();
    let echo = system.get::<Echo>("e");
    let shouts: Vec<_> = (0..6000).map(|_| tokio::spawn(echo.shout())).collect();
    for shout in shouts {
        tokio::time::timeout(LONG, shout).await.expect("effects and entity wait for each other").unwrap().unwrap();
    }
    system.shutdown().await.unwrap();
    let system = crate::restarted(&journal);
    assert_eq!(system.get::<Echo>("e").heard().await.unwrap(), 6000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futures_that_never_end_don_t_keep_other_entities_in_memory() {
    let within = Duration::from_millis(50);
    let journal = MemoryJournal::new();
    let system = System::builder().shards(1).residents_max(10).shutdown_within(within).start(journal).unwrap();
    for number in 0..1100 {
        system.get::<Echo>(format!("lingers {number}")).linger().await.unwrap();
    }
    for number in 0..3000 {
        system.get::<Echo>(format!("{number}")).shout().await.unwrap();
    }
    until("they have left", || system.stats().residents <= 11).await;
    system.shutdown().await.unwrap_err();
}

#[test]
fn a_runtime_that_is_dropped_refuses_every_later_call() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let system =
        runtime.block_on(async { System::builder().shards(1).mailbox_max(64).start(MemoryJournal::new()).unwrap() });
    let alice = system.get::<Account>("alice");
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for call in 0..100 {
        let answer = other.block_on(async { tokio::time::timeout(LONG, alice.deposit(1)).await });
        let error = answer.unwrap_or_else(|_| panic!("call {call} never ends")).unwrap_err();
        assert!(matches!(error, CallError::Stopped { .. } | CallError::Unknown { .. }), "call {call}: {error:?}");
    }
}

#[test]
fn a_runtime_without_a_timer_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    assert_eq!(System::builder().start(MemoryJournal::new()).unwrap_err(), StartError::NoTimer);
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Scale {
    grams: f64,
}

#[aggregate(codec = json)]
impl Scale {
    #[event]
    fn weighed(&mut self, grams: f64) {
        self.grams = grams;
    }

    #[command]
    fn weigh(&self, grams: f64) -> Step<f64> {
        applying(ScaleEvent::Weighed { grams }).replying_with(|scale: &Scale| scale.grams)
    }
}

#[tokio::test]
async fn json_keeps_every_bit_of_a_number() {
    let system = one_shard();
    let scale = system.get::<Scale>("s");
    for grams in [9.007_199_254_740_993e-5, f64::MIN_POSITIVE, f64::MAX, 0.1 + 0.2, 5e-324] {
        assert_eq!(scale.weigh(grams).await.unwrap().to_bits(), grams.to_bits(), "{grams:e}");
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Archive {
    texts: u64,
}

#[aggregate]
impl Archive {
    #[event]
    fn kept(&mut self, text: String) {
        self.texts += u64::from(!text.is_empty());
    }

    /// With a name that a run may have no room for.
    #[event(
        name = "a_name_that_is_as_long_as_names_are_in_programs_that_put_module_and_team_and_company_into_them_too"
    )]
    fn kept_elsewhere(&mut self, text: String) {
        self.texts += u64::from(!text.is_empty());
    }

    #[command]
    fn keep(&self, text: String) -> Step {
        applying(ArchiveEvent::Kept { text })
    }

    #[command]
    fn keep_elsewhere(&self, text: String) -> Step {
        applying(ArchiveEvent::KeptElsewhere { text })
    }
}

#[tokio::test]
async fn commands_that_just_fit_into_a_run_and_those_that_just_don_t_are_all_stored() {
    for total in (999_600..1_000_000).step_by(25) {
        let journal = MemoryJournal::new();
        let system = System::builder().shards(1).start(journal.clone()).unwrap();
        let archive = system.get::<Archive>("a");
        journal.faults().hold();
        // As many groups as may be in flight; what comes then shares a run.
        let mut kept = Vec::new();
        for group in 0..4 {
            kept.push(tokio::spawn(archive.keep("k".to_owned())));
            until("a group is with the journal", || journal.faults().held() > group).await;
        }
        kept.push(tokio::spawn(archive.keep("a".repeat(500_000))));
        until("it is handled", || system.stats().commands == 5).await;
        kept.push(tokio::spawn(archive.keep_elsewhere("b".repeat(total - 500_000))));
        until("it is handled", || system.stats().commands == 6).await;
        journal.faults().release();
        for kept in kept {
            kept.await.unwrap().unwrap();
        }
    }
}
