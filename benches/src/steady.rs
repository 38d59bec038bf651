//! Commands that come at a fixed rate, whatever becomes of those before them: how late are their answers?
//!
//! Each command is due at a time of its own, and its latency counts from then on: what can't be sent since the system is
//! slow is late, too. One task looks every millisecond what is due, and hands it out in batches of up to 64. Each batch
//! is a task that sends its commands and waits for all answers, so that a thousand commands cost a few wake-ups.
//!
//! What that can't see: a command is up to a millisecond or two late when it is sent, and that counts as latency. On few
//! cores the tasks that send run on the same threads as the shards do, and take their part of them: the figures of the
//! threads of tokio tell both together. A batch looks at all its waiting commands whenever one is answered. No more than
//! [`BATCHES_MAX`] batches wait for answers at a time; beyond that, commands that are due wait to be sent, and their time
//! runs.

use std::error::Error;
use std::fs;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use annals::journal::Durability;
use annals::{Call, Never, System};
use annals_bench::notebook::{Notebook, NotebookRef, id, text};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::commands::{MANY, measure};
use crate::latencies::Latencies;
use crate::limits::{Limit, RATE};
use crate::report::{Aim, Report, Section, Whose, float};
use crate::{Bench, Outcome, cpu, settle};

const TICK: Duration = Duration::from_millis(1);
const BATCH_MAX: u64 = 64;
/// How many batches may wait for their answers: half a million commands.
const BATCHES_MAX: usize = 8_000;
const WARM_UP: Duration = Duration::from_millis(500);
/// In commands/s.
const LOW_RATE: u64 = 250_000;
const LOW: &str = "0.25 million commands/s";
const HALF: &str = "half of the top rate";

type Sent<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Latencies at a low rate and at half of the top rate, which is measured in the same round.
pub(crate) fn rate(bench: &Bench, report: &mut Report) -> Outcome<()> {
    if !bench.wants("rate", "") {
        return Ok(());
    }
    let about = format!(
        "commands that are due at a fixed rate to {} entities, {:.1} s each; latencies from the time when they were due",
        MANY.entities,
        bench.time.as_secs_f64()
    );
    let mut section = Section::new("rate", about);
    for _ in 0..bench.runs {
        Limit::Single.measure(&bench.directory, bench.time, &mut section)?;
        measure(&bench.directory, &MANY, bench.time, &mut section)?;
        come(bench, LOW, LOW_RATE, &mut section)?;
        // As a float it was a number of commands in a second, so half of it is one, too.
        let top = section.median(MANY.name, RATE).unwrap_or(2.0 * float(LOW_RATE));
        come(bench, HALF, whole(top / 2.0), &mut section)?;
    }
    section.aim(LOW, "p99", Aim::AtMost(5.0));
    section.aim(HALF, "p99", Aim::AtMost(40.0));
    bench.tell(report, section)
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is small and positive"
)]
fn whole(rate: f64) -> u64 {
    (rate as u64).max(1)
}

/// What the batches have seen of the commands that were due while it was measured.
struct Seen {
    latencies: Latencies,
    answered_in_time: u64,
    /// How long each kind of thread was on a core, for each command, in microseconds.
    cpu: Vec<(String, f64)>,
}

/// When commands are due.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    begun: Instant,
    rate: u64,
    /// From here on it counts.
    measured_from: Instant,
    until: Instant,
}

impl Schedule {
    fn due(&self, number: u64) -> Instant {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(self.rate);
        self.begun + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many commands are due by now.
    fn due_by(&self, now: Instant) -> u64 {
        let elapsed = now.min(self.until) - self.begun;
        u64::try_from(elapsed.as_nanos() * u128::from(self.rate) / 1_000_000_000).unwrap_or(u64::MAX)
    }
}

fn come(bench: &Bench, what: &str, rate: u64, section: &mut Section) -> Outcome<()> {
    let path = bench.directory.join("annals");
    let seen = Runtime::new()?.block_on(async {
        let system = System::builder().durability(Durability::Fsync).open(&path).await?;
        let seen = tokio::spawn(send(system.clone(), rate, bench.time)).await?;
        system.shutdown().await?;
        seen.map_err(|error| -> Box<dyn Error> { error })
    })?;
    fs::remove_dir_all(path)?;
    settle(&bench.directory)?;
    section.annals(what, "due", "commands/s", float(rate));
    section.annals(what, "answered meanwhile", "commands/s", float(seen.answered_in_time) / bench.time.as_secs_f64());
    seen.latencies.tell(section, Whose::Annals, what);
    cpu::tell(section, what, seen.cpu);
    Ok(())
}

async fn send(system: System, rate: u64, time: Duration) -> Sent<Seen> {
    let notebooks: Arc<[NotebookRef]> = (0..MANY.entities).map(|entity| system.get::<Notebook>(id(entity))).collect();
    for notebook in notebooks.iter() {
        notebook.size().await?;
    }
    let seen = Arc::new(Mutex::new(Seen { latencies: Latencies::new(), answered_in_time: 0, cpu: Vec::new() }));
    let (before, begun) = (cpu::by_thread(), Instant::now());
    let measured_from = begun + WARM_UP;
    let schedule = Schedule { begun, rate, measured_from, until: measured_from + time };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut batches, mut sent) = (JoinSet::new(), 0);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let due = schedule.due_by(now);
        while sent < due {
            let next = due.min(sent + BATCH_MAX);
            batches.spawn(batch(Arc::clone(&notebooks), sent..next, schedule, Arc::clone(&seen)));
            sent = next;
            while batches.len() >= BATCHES_MAX
                && let Some(ended) = batches.join_next().await
            {
                ended??;
            }
        }
        while let Some(ended) = batches.try_join_next() {
            ended??;
        }
        if now >= schedule.until {
            break;
        }
    }
    while let Some(ended) = batches.join_next().await {
        ended??;
    }
    let seen = Arc::into_inner(seen).map(Mutex::into_inner);
    let mut seen = seen.ok_or("a batch has not ended")?.unwrap_or_else(PoisonError::into_inner);
    let each = |time: Duration| time.as_secs_f64() * 1e6 / float(sent.max(1));
    seen.cpu = cpu::since(&before).into_iter().map(|(thread, time)| (thread, each(time))).collect();
    Ok(seen)
}

/// Sends commands, and waits for their answers.
async fn batch(
    notebooks: Arc<[NotebookRef]>,
    numbers: Range<u64>,
    schedule: Schedule,
    seen: Arc<Mutex<Seen>>,
) -> Sent<()> {
    let text = text();
    let mut waiting: Vec<(Instant, Call<(), Never>)> = notebooks
        .iter()
        .cycle()
        .skip(usize::try_from(numbers.start % MANY.entities)?)
        .zip(numbers)
        .map(|(notebook, number)| (schedule.due(number), notebook.note(text.clone())))
        .collect();
    let mut failed = None;
    let mut answered = Vec::with_capacity(waiting.len());
    // Tokio would have the task yield after 128 answers or places in a queue, which are less than two of each command.
    tokio::task::unconstrained(poll_fn(|task| {
        waiting.retain_mut(|(due, call)| match Pin::new(call).poll(task) {
            Poll::Pending => true,
            Poll::Ready(answer) => {
                failed = failed.take().or(answer.err());
                answered.push((*due, Instant::now()));
                false
            }
        });
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }))
    .await;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for (due, now) in answered.into_iter().filter(|(due, _)| *due >= schedule.measured_from) {
        seen.latencies.record(now - due);
        seen.answered_in_time += u64::from(now <= schedule.until);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_due_at_its_time_and_not_before() {
        let begun = Instant::now();
        let until = begun + Duration::from_secs(2);
        let schedule = Schedule { begun, rate: 3, measured_from: begun, until };
        assert_eq!(schedule.due(3), begun + Duration::from_secs(1));
        let due = schedule.due(4);
        assert_eq!(schedule.due_by(due - Duration::from_nanos(1)), 3);
        assert_eq!(schedule.due_by(due + Duration::from_nanos(1)), 4);
        assert_eq!(schedule.due_by(until + Duration::from_secs(9)), 6);
    }
}
