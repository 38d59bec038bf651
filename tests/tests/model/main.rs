//! Callers with all choices made at random, against a journal that fails, and the journal as the truth.
//!
//! `ANNALS_SEEDS` sets how many seeds are tried; `ANNALS_SEED` repeats one. A seed decides every choice, but not how
//! the threads meet.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails panics, and tells its seed")]
#![expect(unreachable_pub, reason = "the modules share what they need")]

mod disturbance;
mod ledger;
mod machine;
mod random;
mod snapshots;

use std::collections::BTreeMap;
use std::sync::Once;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;

use random::Random;

/// How often the system is started on one journal.
const ROUNDS: u64 = 3;
/// Nothing here takes so long, unless somebody waits for ever.
const PATIENCE: Duration = Duration::from_secs(20);
/// How the message of each intended panic begins.
const INTENDED: &str = "intended: ";

/// How a call is made.
#[derive(Debug, Clone, Copy)]
struct Manner {
    within: Option<Duration>,
    or_overloaded: bool,
    waits: Waits,
}

#[derive(Debug, Clone, Copy)]
enum Waits {
    ForTheAnswer,
    /// It is told, and nobody waits for the reply.
    UntilSent,
    /// It is dropped after this time.
    NoLongerThan(Duration),
}

impl Manner {
    /// It waits as long as it takes.
    const PATIENT: Self = Self { within: None, or_overloaded: false, waits: Waits::ForTheAnswer };

    fn choose(random: &mut Random) -> Self {
        let option = random.below(12);
        let within = Duration::from_millis(random.below(3));
        let patience = Duration::from_micros(random.below(300));
        let waits = match random.below(75) {
            0..=4 => Waits::UntilSent,
            5..=7 => Waits::NoLongerThan(patience),
            _ => Waits::ForTheAnswer,
        };
        Self { within: (option == 0).then_some(within), or_overloaded: option == 1, waits }
    }
}

/// How often each kind of answer was given.
type Tally = BTreeMap<&'static str, u64>;

/// Says which seed it was, if it fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("repeat it with ANNALS_SEED={}", self.0);
        }
    }
}

/// Keeps the panics that are meant to happen out of the output.
fn hush_intended_panics() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.payload().downcast_ref::<String>();
            if !text.is_some_and(|text| text.starts_with(INTENDED)) {
                report(panic);
            }
        }));
    });
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// On one thread or on several, by turns.
fn runtime(seed: u64) -> Runtime {
    let mut builder = if seed.is_multiple_of(2) {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// Plays as many seeds, or as the environment says, and adds up what came of them.
fn try_seeds<F: Future<Output = Tally>>(default: u64, play: fn(u64) -> F) -> Tally {
    hush_intended_panics();
    let now = u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
    let (first, seeds) = match setting("ANNALS_SEED") {
        Some(seed) => (seed, 1),
        None => (now, setting("ANNALS_SEEDS").unwrap_or(default)),
    };
    let mut tally = Tally::new();
    for seed in first..first + seeds {
        let _told = Seed(seed);
        for (ending, times) in runtime(seed).block_on(play(seed)) {
            *tally.entry(ending).or_default() += times;
        }
    }
    println!("seeds {first} to {}: {tally:?}", first + seeds - 1);
    tally
}
