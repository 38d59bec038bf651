//! The task: accounts are paid in and out, and never overdrawn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// Nothing counts before this is over, and each caller has had an answer.
const WARM_UP: Duration = Duration::from_millis(500);
/// But where callers starve, nobody waits longer for them.
const WARM_UP_MAX: Duration = Duration::from_secs(10);
const LOOKED_EVERY: Duration = Duration::from_millis(10);
/// So long may callers take to end, once they are told to.
const PATIENCE: Duration = Duration::from_secs(120);
const DEPOSIT: u64 = 3;
const WITHDRAWAL: u64 = 2;

const MEASURING: u8 = 1;
const STOPPED: u8 = 2;

/// How far it is; it begins with 0, where nothing counts.
#[derive(Default)]
struct Stage {
    stage: AtomicU8,
    /// Callers that have had an answer.
    warm: AtomicUsize,
}

/// How many accounts there are, and how many callers each has.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) accounts: usize,
    pub(crate) callers: usize,
}

pub(crate) const LOADS: [Load; 2] = [
    Load { name: "1 account", accounts: 1, callers: 64 },
    Load { name: "1000 accounts", accounts: 1_000, callers: 10 },
];

/// What became of a withdrawal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Withdrawn {
    Paid,
    Overdrawn,
}

/// Keeps accounts. What it answers is stored as well as it stores anything.
pub(crate) trait Bank: Send + Sync + 'static {
    fn deposit(&self, account: usize, amount: u64) -> impl Future<Output = anyhow::Result<()>> + Send;

    fn withdraw(&self, account: usize, amount: u64) -> impl Future<Output = anyhow::Result<Withdrawn>> + Send;

    fn balance(&self, account: usize) -> impl Future<Output = anyhow::Result<u64>> + Send;
}

/// Lets the callers of one account go one after another, so that none of them meets another's change.
pub(crate) struct Turns<B> {
    bank: B,
    turns: Vec<Mutex<()>>,
}

impl<B> Turns<B> {
    pub(crate) fn new(bank: B, accounts: usize) -> Self {
        Self { bank, turns: (0..accounts).map(|_| Mutex::new(())).collect() }
    }
}

impl<B: Bank> Bank for Turns<B> {
    async fn deposit(&self, account: usize, amount: u64) -> anyhow::Result<()> {
        let _turn = self.turns[account].lock().await;
        self.bank.deposit(account, amount).await
    }

    async fn withdraw(&self, account: usize, amount: u64) -> anyhow::Result<Withdrawn> {
        let _turn = self.turns[account].lock().await;
        self.bank.withdraw(account, amount).await
    }

    async fn balance(&self, account: usize) -> anyhow::Result<u64> {
        self.bank.balance(account).await
    }
}

/// What came of a load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Commands that were stored and answered in a second.
    pub(crate) rate: f64,
    pub(crate) p50_micros: u32,
    pub(crate) p99_micros: u32,
    pub(crate) longest_micros: u32,
    /// Stored events that the busiest account had in the end.
    pub(crate) events_of_one_account: u64,
}

/// What one caller has done.
#[derive(Default)]
struct Done {
    micros: Vec<u32>,
    /// What it has paid in, less what it has got.
    paid: u64,
    /// Stored commands, also those that don't count.
    stored: u64,
}

/// Has the callers go on for some time; then every account must hold what they have paid in.
pub(crate) async fn measure(bank: impl Bank, load: &Load, time: Duration) -> anyhow::Result<Measured> {
    let patience = WARM_UP_MAX + time + PATIENCE;
    tokio::time::timeout(patience, go_on(bank, load, time)).await.context("the callers don't come to an end")?
}

async fn go_on(bank: impl Bank, load: &Load, time: Duration) -> anyhow::Result<Measured> {
    let (bank, stage) = (Arc::new(bank), Arc::new(Stage::default()));
    let callers: Vec<_> = (0..load.accounts * load.callers)
        .map(|caller| {
            let (bank, stage, account) = (bank.clone(), stage.clone(), caller % load.accounts);
            (account, tokio::spawn(async move { call(&*bank, account, &stage).await }))
        })
        .collect();
    let spawned = Instant::now();
    tokio::time::sleep(WARM_UP).await;
    while stage.warm.load(Ordering::Relaxed) < callers.len() && spawned.elapsed() < WARM_UP_MAX {
        tokio::time::sleep(LOOKED_EVERY).await;
    }
    let stage = &stage.stage;
    let begun = Instant::now();
    stage.store(MEASURING, Ordering::Relaxed);
    tokio::time::sleep(time).await;
    stage.store(STOPPED, Ordering::Relaxed);
    let took = begun.elapsed();
    let (mut micros, mut paid, mut stored) = (Vec::new(), vec![0; load.accounts], vec![0; load.accounts]);
    for (account, caller) in callers {
        let mut done = caller.await??;
        micros.append(&mut done.micros);
        paid[account] += done.paid;
        stored[account] += done.stored;
    }
    for (account, paid) in paid.iter().enumerate() {
        let balance = bank.balance(account).await?;
        ensure!(balance == *paid, "account {account} was paid {paid}, and holds {balance}");
    }
    ensure!(bank.withdraw(0, paid[0] + 1).await? == Withdrawn::Overdrawn, "more was taken out than was in");
    micros.sort_unstable();
    let last = micros.len().saturating_sub(1);
    let at = |percent: usize| micros.get(last * percent / 100).copied().unwrap_or_default();
    let [p50_micros, p99_micros, longest_micros] = [50, 99, 100].map(at);
    let events_of_one_account = stored.into_iter().max().unwrap_or_default();
    let rate = f64::from(u32::try_from(micros.len())?) / took.as_secs_f64();
    Ok(Measured { rate, p50_micros, p99_micros, longest_micros, events_of_one_account })
}

/// One pays in a little more than it takes out, over and over.
async fn call(bank: &impl Bank, account: usize, stage: &Stage) -> anyhow::Result<Done> {
    let mut done = Done::default();
    let mut is_warm = false;
    let mut before = Instant::now();
    loop {
        for is_deposit in [true, false] {
            let is_stored = if is_deposit {
                bank.deposit(account, DEPOSIT).await?;
                done.paid += DEPOSIT;
                true
            } else {
                let is_paid = bank.withdraw(account, WITHDRAWAL).await? == Withdrawn::Paid;
                done.paid -= if is_paid { WITHDRAWAL } else { 0 };
                is_paid
            };
            let now = Instant::now();
            let took = now - before;
            before = now;
            done.stored += u64::from(is_stored);
            // A store in memory never waits, and would keep its thread from all others, the timer included.
            tokio::task::consume_budget().await;
            if !std::mem::replace(&mut is_warm, true) {
                stage.warm.fetch_add(1, Ordering::Relaxed);
            }
            match stage.stage.load(Ordering::Relaxed) {
                MEASURING if is_stored => done.micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX)),
                STOPPED => return Ok(done),
                _ => {}
            }
        }
    }
}
