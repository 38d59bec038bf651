//! Worlds with all choices made at random, against a journal that fails, crashes and clocks that jump; and the journal
//! as the truth.
//!
//! A world runs on simulated ground: one thread, time that stands still while anybody has something to do, no threads
//! beside. So a seed decides all that happens, and `ANNALS_SEED` with the number that a failure tells repeats it exactly.
//! The same seeds are tried each time, and some that are drawn. `ANNALS_SEEDS` sets how many are tried, all of them drawn,
//! and `ANNALS_TRACE` shows what happens. Some seeds run on threads, too.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that fails panics, and tells its seed"
)]
#![expect(unreachable_pub, reason = "the modules share what they need")]

mod calling;
mod disturbance;
mod eye;
mod ground;
mod ledger;
mod machine;
mod snapshots;

use std::collections::BTreeMap;
use std::sync::Once;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use annals_tests::random;

use ground::{Ground, Trace, take_trace};

/// How often the system is started on one journal.
const ROUNDS: u64 = 3;
/// Nothing here takes so long, unless somebody waits for ever.
const PATIENCE: Duration = Duration::from_secs(100);
/// To so many seeds that are the same each time, one is drawn.
const DRAWN_OF: u64 = 8;
/// How the message of each intended panic begins.
const INTENDED: &str = "intended: ";

/// How often each kind of answer was given.
type Tally = BTreeMap<&'static str, u64>;

/// One world, from a seed to what came of it.
type Play = fn(Ground, u64) -> Tally;

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

/// Plays one seed, and tells what has happened.
fn play_one(play: Play, ground: Ground, seed: u64) -> (Tally, Trace) {
    let _told = Seed(seed);
    take_trace();
    let tally = play(ground, seed);
    (tally, take_trace())
}

/// Plays as many seeds, or as the environment says, and adds up what came of them.
fn try_seeds(default: u64, ground: Ground, play: Play) -> Tally {
    hush_intended_panics();
    let now = u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
    // Far from those that are the same each time.
    let drawn = (1 << 32) + now;
    let (same, drawn) = match (setting("ANNALS_SEED"), setting("ANNALS_SEEDS")) {
        (Some(seed), _) => (seed..seed + 1, 0..0),
        (None, Some(seeds)) => (0..0, drawn..drawn + seeds),
        (None, None) => (1..1 + default, drawn..drawn + default / DRAWN_OF),
    };
    let mut total = Tally::new();
    println!("{ground:?}, seeds {same:?} and {drawn:?}");
    for seed in same.chain(drawn) {
        let (tally, trace) = play_one(play, ground, seed);
        *total.entry("happenings").or_default() += trace.happenings;
        for (ending, times) in tally {
            *total.entry(ending).or_default() += times;
        }
    }
    println!("{total:?}");
    total
}

/// Plays seeds twice: everything has to happen again, in the same order.
fn replay_seeds(play: Play) {
    hush_intended_panics();
    let (first, seeds) = setting("ANNALS_SEED").map_or((1, 60), |seed| (seed, 1));
    for seed in first..first + seeds {
        let (once, again) = (play_one(play, Ground::Simulated, seed), play_one(play, Ground::Simulated, seed));
        assert_eq!(once, again, "seed {seed} happens otherwise the second time");
        assert!(once.1.happenings > 10, "seed {seed}: nothing happens");
    }
}
