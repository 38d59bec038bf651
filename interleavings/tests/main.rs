//! Interleavings: the sources of annals, where a scheduler decides at each lock, channel, thread and task who goes on.
//!
//! Each test is one short scenario that is run through many schedules, half of them random, half of them with few
//! changes of the task at places that are chosen beforehand (PCT). A deadlock, a panic or a failed assertion ends the
//! test and prints the schedule.
//!
//! - `ANNALS_SCHEDULES=5000`: so many for each scenario and each of both kinds, instead of a few hundred.
//! - `ANNALS_SEED=7`: other schedules than those of the seed 0.
//! - `ANNALS_REPLAY=<what was printed>`, with the name of one test: this schedule and no other.

#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

extern crate annals_interleaved as annals;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

mod account;
mod answers;
mod commits;
mod passivation;
mod shutdown;

/// How often a PCT schedule changes the task where it would not have to.
const CHANGES: usize = 3;
/// A fold in a build without optimization needs more than a page.
const STACK_BYTES: usize = 512 * 1024;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Runs a scenario through so many schedules of each kind.
fn explore(schedules: usize, scenario: impl Fn() + Send + Sync + Copy + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.silence_warnings = true;
    if let Ok(schedule) = std::env::var("ANNALS_REPLAY") {
        let replay = shuttle::scheduler::ReplayScheduler::new_from_encoded(&schedule);
        Runner::new(replay, config).run(scenario);
        return;
    }
    let seed = number("ANNALS_SEED").unwrap_or(0);
    let schedules = number("ANNALS_SCHEDULES").map_or(schedules, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let schedulers: [Box<dyn Scheduler + Send>; 2] = [
        Box::new(RandomScheduler::new_from_seed(seed, schedules)),
        Box::new(PctScheduler::new_from_seed(seed, CHANGES, schedules)),
    ];
    for scheduler in schedulers {
        Runner::new(scheduler, config.clone()).run(scenario);
    }
}
