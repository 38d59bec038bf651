//! What a deadline costs: in time, when it is armed anew, and when a store is opened.
//!
//! The same commands go to machines with a deadline and to others without one, in turns. The difference of the times that
//! the process was on a core is what arming costs: encoding it, listing it in the order, and keeping it in the two
//! places that know what is armed, the journal's and the system's.

use std::fs;
use std::time::{Duration, Instant};

use annals::System;
use annals::journal::{Durability, Journal};

use crate::report::{Aim, Report, Section, float};
use crate::scans::CACHE_BYTES;
use crate::{Bench, Outcome, cpu, filling, lease, settle};

const CALLERS: u64 = 10_000;
/// How often each deadline is armed anew.
const ROUNDS: u64 = 5;
const WITH: &str = "commands that arm a deadline anew";
const WITHOUT: &str = "the same commands without deadlines";
const CPU: &str = "cpu, all threads";

/// Arms the deadlines of many entities, again and again.
pub(crate) fn deadlines(bench: &Bench, report: &mut Report) -> Outcome<()> {
    if !bench.wants("deadlines", "") {
        return Ok(());
    }
    let entities = bench.size(100_000);
    let mut section = Section::new("deadlines", format!("{entities} entities, {ROUNDS} commands to each"));
    for _ in 0..bench.runs {
        let mut spent = [0.0; 2];
        for (limited, spent) in [false, true].into_iter().zip(&mut spent) {
            let path = bench.directory.join("annals");
            let time = filling::run(renew(&path, entities, limited))?;
            *spent = time.as_secs_f64() * 1e6 / float(entities * ROUNDS);
            section.annals(if limited { WITH } else { WITHOUT }, CPU, "us/command", *spent);
            if limited {
                let read = filling::run(async {
                    let journal = filling::open(&path, CACHE_BYTES)?;
                    let begun = Instant::now();
                    let armed = journal.armed().await?;
                    assert_eq!(u64::try_from(armed.len())?, entities, "all are armed");
                    Ok(begun.elapsed())
                })?;
                let each = read.as_secs_f64() * 1e6 / float(entities);
                section.annals("the journal's list, opened again", "time per deadline", "us", each);
            }
            fs::remove_dir_all(path)?;
            settle(&bench.directory)?;
        }
        let [without, with] = spent;
        section.annals("arming anew", "difference", "us", with - without);
    }
    section.aim("arming anew", "difference", Aim::AtMost(1.0));
    bench.tell(report, section)
}

/// How long all threads were on a core while the entities were given their commands, when all were in memory already.
async fn renew(path: &std::path::Path, entities: u64, limited: bool) -> Outcome<Duration> {
    let system = System::builder().durability(Durability::Fsync).open(path).await?;
    let called = system.clone();
    let call = move |number| lease::renew(called.clone(), number % entities, limited);
    filling::each(0..entities, CALLERS, call.clone()).await?;
    let before = cpu::by_thread();
    filling::each(entities..entities * (ROUNDS + 1), CALLERS, call).await?;
    let spent = cpu::since(&before).into_iter().map(|(_, time)| time).sum();
    system.shutdown().await?;
    Ok(spent)
}
