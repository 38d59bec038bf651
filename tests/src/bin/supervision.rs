//! What healthy entities notice of one that fails, or is flooded: their latency beside it, in pairs with the same load
//! where nothing fails, or where the flood is spread over many.
//!
//! `supervision [pairs]` measures the latency, 9 pairs if not told otherwise; `supervision memory` shows that a flood and a
//! million ids that are used once leave nothing behind. Latencies depend on the machine and on what else it does; the
//! number of the other's messages that are handled between a call and its turn doesn't.

#![expect(clippy::print_stdout, reason = "what was measured is told")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use annals::journal::MemoryJournal;
use annals::prelude::*;
use tokio::task::JoinSet;

/// How long one side of a pair is measured.
const MEASURED: Duration = Duration::from_millis(300);
const HEALTHY: usize = 16;
const QUARANTINED: usize = 100;
/// How many tasks disturb.
const DISTURBERS: usize = 64;
/// What each of them waits between two calls, where they don't call as fast as they can: 1,000 calls a second in all.
const PAUSE: Duration = Duration::from_millis(64);
const FLOOD: u64 = 1_000_000;
const IDS: u64 = 1_000_000;

/// How many messages of those that disturb were handled.
static HANDLED: AtomicU64 = AtomicU64::new(0);
/// Whether folds panic.
static POISONED: AtomicBool = AtomicBool::new(false);

/// Counts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counter {
    count: u64,
}

#[aggregate]
impl Counter {
    #[event]
    fn was_counted(&mut self) {
        self.count += 1;
    }

    #[event]
    fn was_poisoned(&mut self) {
        assert!(!POISONED.load(Ordering::Relaxed), "poisoned");
    }

    /// Replies how many messages of others were handled since this one was sent.
    #[command]
    fn count(&self, sent_at: u64) -> Step<u64> {
        applying(CounterEvent::WasCounted).replying(HANDLED.load(Ordering::Relaxed).saturating_sub(sent_at))
    }

    #[command]
    fn poke(&self) -> Step {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        stay()
    }

    #[command]
    fn poison(&self) -> Step {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        applying(CounterEvent::WasPoisoned)
    }

    #[command]
    fn crash(&self) -> Step {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        panic!("crashed")
    }
}

/// What goes on beside the healthy ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    HandlerPanics,
    FoldPanics,
    Quarantined,
    Flood,
}

impl Beside {
    const ALL: [(Self, &'static str); 4] = [
        (Self::HandlerPanics, "one that panics in its handler, or doesn't"),
        (Self::FoldPanics, "one that panics in its folds, or doesn't"),
        (Self::Quarantined, "100 in quarantine, or not"),
        (Self::Flood, "one that is flooded, or 64 that share the flood"),
    ];
}

/// One side of a pair.
#[derive(Debug, Clone, Copy)]
struct Side {
    beside: Beside,
    /// Whether it fails, or the flood is one entity's.
    fails: bool,
    /// Whether the disturbing calls follow each other as fast as they can.
    hammered: bool,
}

/// What the healthy ones noticed.
#[derive(Debug, Clone, Copy)]
struct Noticed {
    p50: Duration,
    p99: Duration,
    /// Of the other's messages, how many were handled between a call and its turn: for 99 of 100, and at the most.
    between_p99: u64,
    between_max: u64,
    calls: usize,
    /// How many of the other's messages were handled or refused in that time.
    disturbed: u64,
}

fn at<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

async fn poisoned(journal: &MemoryJournal) -> Result<(), Box<dyn Error>> {
    POISONED.store(false, Ordering::Relaxed);
    let system = System::builder().start(journal.reopen())?;
    for number in 0..QUARANTINED {
        system.get::<Counter>(format!("quarantined {number}")).poison().await?;
    }
    system.shutdown().await?;
    Ok(())
}

/// Sends what disturbs until it is to stop; counts what was answered.
async fn disturb(side: Side, disturbed: CounterRef, stop: Arc<AtomicBool>) -> u64 {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        // What becomes of it is its own matter.
        match side.beside {
            Beside::HandlerPanics if side.fails => drop(disturbed.crash().await),
            Beside::HandlerPanics | Beside::Quarantined => drop(disturbed.poke().await),
            Beside::FoldPanics => drop(disturbed.poison().await),
            Beside::Flood => drop(disturbed.poke().tell().await),
        }
        answered += 1;
        if !side.hammered {
            tokio::time::sleep(PAUSE).await;
        } else if answered % 64 == 0 {
            // What is refused at once would not let anybody else run.
            tokio::task::yield_now().await;
        }
    }
    answered
}

async fn measure(side: Side) -> Result<Noticed, Box<dyn Error>> {
    let journal = MemoryJournal::new();
    poisoned(&journal).await?;
    POISONED.store(side.fails, Ordering::Relaxed);
    let system = System::builder().shards(4).start(journal.reopen())?;
    let stop = Arc::new(AtomicBool::new(false));
    let (mut disturbing, mut healthy) = (JoinSet::new(), JoinSet::new());
    for task in 0..DISTURBERS {
        let id = match side.beside {
            Beside::Quarantined => format!("quarantined {}", task % QUARANTINED),
            Beside::Flood if !side.fails => format!("another {task}"),
            _ => "the other".to_owned(),
        };
        disturbing.spawn(disturb(side, system.get::<Counter>(id), stop.clone()));
    }
    for number in 0..HEALTHY {
        let (counter, stop) = (system.get::<Counter>(format!("healthy {number}")), stop.clone());
        healthy.spawn(async move {
            let mut noticed = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let sent = Instant::now();
                let between = counter.count(HANDLED.load(Ordering::Relaxed)).await;
                noticed.push((sent.elapsed(), between.unwrap_or(u64::MAX)));
            }
            noticed
        });
    }
    tokio::time::sleep(MEASURED).await;
    stop.store(true, Ordering::Relaxed);
    let (mut times, mut between): (Vec<_>, Vec<_>) = healthy.join_all().await.into_iter().flatten().unzip();
    let disturbed = disturbing.join_all().await.into_iter().sum();
    system.shutdown().await?;
    times.sort_unstable();
    between.sort_unstable();
    Ok(Noticed {
        p50: at(&times, 50),
        p99: at(&times, 99),
        between_p99: at(&between, 99),
        between_max: at(&between, 100),
        calls: times.len(),
        disturbed,
    })
}

/// The median of some ratios in thousandths, and the quartiles around it.
fn spread(mut ratios: Vec<u128>) -> String {
    ratios.sort_unstable();
    let shown = |percent| {
        let ratio = at(&ratios, percent);
        format!("{}.{:03}", ratio / 1000, ratio % 1000)
    };
    format!("{} ({} .. {})", shown(50), shown(25), shown(75))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    at(&times, 50)
}

/// What was noticed in some pairs, the side where nothing fails first.
async fn pairs_of(beside: Beside, hammered: bool, pairs: usize) -> Result<Vec<(Noticed, Noticed)>, Box<dyn Error>> {
    let side = |fails| Side { beside, fails, hammered };
    let mut measured = Vec::new();
    for pair in 0..pairs {
        // What grows slower with time shall not always hit the same side.
        measured.push(if pair % 2 == 0 {
            let calm = measure(side(false)).await?;
            (calm, measure(side(true)).await?)
        } else {
            let troubled = measure(side(true)).await?;
            (measure(side(false)).await?, troubled)
        });
    }
    Ok(measured)
}

fn tell(measured: &[(Noticed, Noticed)]) {
    let ratios = |of: fn(&Noticed) -> Duration| {
        let ratio = |(calm, troubled)| of(troubled).as_nanos() * 1000 / of(calm).as_nanos().max(1);
        spread(measured.iter().map(|(calm, troubled)| ratio((calm, troubled))).collect())
    };
    let medians = |of: fn(&Noticed) -> Duration| {
        let calm = median(measured.iter().map(|(calm, _)| of(calm)).collect());
        (calm, median(measured.iter().map(|(_, troubled)| of(troubled)).collect()))
    };
    let ((p50, p50_beside), (p99, p99_beside)) = (medians(|noticed| noticed.p50), medians(|noticed| noticed.p99));
    println!("    p50 {p50:?} -> {p50_beside:?}, ratio {}", ratios(|noticed| noticed.p50));
    println!("    p99 {p99:?} -> {p99_beside:?}, ratio {}", ratios(|noticed| noticed.p99));
    let of_most = |of: fn(&Noticed) -> u64| measured.iter().map(|(_, troubled)| of(troubled)).max().unwrap_or_default();
    println!(
        "    handled between a call and its turn: p99 {}, at the most {}; calls {} -> {}; the other's messages {} -> {}",
        of_most(|noticed| noticed.between_p99),
        of_most(|noticed| noticed.between_max),
        measured.iter().map(|(calm, _)| calm.calls).sum::<usize>(),
        measured.iter().map(|(_, troubled)| troubled.calls).sum::<usize>(),
        measured.iter().map(|(calm, _)| calm.disturbed).sum::<u64>(),
        measured.iter().map(|(_, troubled)| troubled.disturbed).sum::<u64>(),
    );
}

async fn latencies(pairs: usize) -> Result<(), Box<dyn Error>> {
    println!("{pairs} pairs; each ratio is the median of the pairs, with the quartiles");
    // The first is slower than all others.
    measure(Side { beside: Beside::Quarantined, fails: false, hammered: false }).await?;
    for (beside, name) in Beside::ALL {
        println!("{name}:");
        for (hammered, how) in [(false, "1,000 calls a second"), (true, "as fast as 64 tasks can")] {
            println!("  {how}:");
            tell(&pairs_of(beside, hammered, pairs).await?);
        }
    }
    Ok(())
}

/// How many kilobytes of memory the process has now.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap_or_default()
}

/// What is stored counts against the journal, so nothing is.
async fn memory() -> Result<(), Box<dyn Error>> {
    let system = System::builder().idle_after(Duration::from_millis(200)).start(MemoryJournal::new())?;
    let other = system.get::<Counter>("the other");
    other.poke().await?;
    let mut before = resident_kib();
    for round in 1..=3 {
        let mut senders = JoinSet::new();
        for _ in 0..DISTURBERS {
            let other = other.clone();
            senders.spawn(async move {
                for _ in 0..FLOOD / 64 {
                    drop(other.poke().tell().await);
                }
            });
        }
        let mut most = 0;
        while !senders.is_empty() {
            tokio::select! {
                _ = senders.join_next() => {}
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            most = most.max(resident_kib());
        }
        println!(
            "flood {round}: {FLOOD} commands, {before} KiB before, {most} KiB at the most, {} KiB after",
            resident_kib()
        );
        before = resident_kib();
    }
    for round in 1..=3 {
        let mut callers = JoinSet::new();
        for caller in 0..64_u64 {
            let system = system.clone();
            callers.spawn(async move {
                for id in 0..IDS / 64 {
                    // The same ids each round: a journal in memory keeps a little of each.
                    drop(system.get::<Counter>(format!("{caller} {id}")).poke().await);
                }
            });
        }
        callers.join_all().await;
        let (residents, most) = (system.stats().residents, resident_kib());
        while system.stats().residents > 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!(
            "ids {round}: {IDS} ids, {residents} in memory at the end, {most} KiB; all have left: {} KiB",
            resident_kib()
        );
    }
    system.shutdown().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Panics that stay in their entity are not printed: that would be measured.
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !annals::panics_are_contained() {
            others(panic);
        }
    }));
    match std::env::args().nth(1).as_deref() {
        Some("memory") => memory().await,
        pairs => latencies(pairs.map_or(Ok(9), str::parse)?).await,
    }
}
