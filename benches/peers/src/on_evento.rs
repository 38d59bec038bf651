//! On evento with its store on fjall, as its README shows it: the write model is a projection with a row in memory for
//! each account, and a command commits at the version that it has seen.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use evento::metadata::Event;
use evento::{Executor, Fjall, Projection, ProjectionAggregate as _, WriteError};
use fjall::PersistMode;

use crate::task::{Bank, Withdrawn};

/// evento counts the events of an aggregate in 16 bits, so a busy account is closed in time and another one opened.
const COMMITS_OF_ONE: usize = 60_000;

#[evento::aggregate(name = "bank/BankAccount")]
pub(crate) enum BankAccount {
    MoneyDeposited { amount: u64 },
    MoneyWithdrawn { amount: u64 },
}

#[evento::projection(id = id)]
#[evento::snapshot(memory)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) balance: u64,
}

#[evento::handler]
async fn on_deposited(event: Event<MoneyDeposited>, account: &mut Account) -> anyhow::Result<()> {
    account.id = event.aggregate_id.to_owned();
    account.balance += event.data.amount;
    Ok(())
}

#[evento::handler]
async fn on_withdrawn(event: Event<MoneyWithdrawn>, account: &mut Account) -> anyhow::Result<()> {
    account.balance -= event.data.amount;
    Ok(())
}

fn projection<E: Executor>() -> Projection<E, Account> {
    Projection::new::<BankAccount>().handler(on_deposited()).handler(on_withdrawn()).strict()
}

pub(crate) struct Accounts {
    executor: Fjall,
    /// Commits to each account.
    commits: Vec<AtomicUsize>,
}

impl Accounts {
    pub(crate) fn open(path: &Path, is_synced: bool, accounts: usize) -> anyhow::Result<Self> {
        let mode = if is_synced { PersistMode::SyncAll } else { PersistMode::Buffer };
        let executor = Fjall::open(path)?.persist_mode(mode);
        Ok(Self { executor, commits: (0..accounts).map(|_| AtomicUsize::new(0)).collect() })
    }

    fn id(&self, account: usize) -> String {
        format!("account-{account}-{}", self.commits[account].load(Ordering::Relaxed) / COMMITS_OF_ONE)
    }

    async fn load(&self, id: &str) -> anyhow::Result<Option<Account>> {
        projection().load(id).execute(&self.executor).await
    }

    /// Whether it was stored; false where another was faster.
    fn stored(&self, account: usize, committed: Result<String, WriteError>) -> anyhow::Result<bool> {
        match committed {
            Ok(_) => {
                self.commits[account].fetch_add(1, Ordering::Relaxed);
                Ok(true)
            }
            Err(WriteError::InvalidOriginalVersion) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Bank for Accounts {
    async fn deposit(&self, account: usize, amount: u64) -> anyhow::Result<()> {
        loop {
            let id = self.id(account);
            let mut write = match self.load(&id).await? {
                Some(account) => account.write()?,
                None => evento::append(&id),
            };
            let committed = write.event(&MoneyDeposited { amount }).commit(&self.executor).await;
            if self.stored(account, committed)? {
                return Ok(());
            }
        }
    }

    async fn withdraw(&self, account: usize, amount: u64) -> anyhow::Result<Withdrawn> {
        loop {
            let Some(row) = self.load(&self.id(account)).await? else { return Ok(Withdrawn::Overdrawn) };
            if amount > row.balance {
                return Ok(Withdrawn::Overdrawn);
            }
            let committed = row.write()?.event(&MoneyWithdrawn { amount }).commit(&self.executor).await;
            if self.stored(account, committed)? {
                return Ok(Withdrawn::Paid);
            }
        }
    }

    async fn balance(&self, account: usize) -> anyhow::Result<u64> {
        let mut balance = 0;
        for part in 0..=self.commits[account].load(Ordering::Relaxed) / COMMITS_OF_ONE {
            let row = self.load(&format!("account-{account}-{part}")).await?;
            balance += row.map_or(0, |row| row.balance);
        }
        Ok(balance)
    }
}
