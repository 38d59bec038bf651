//! On annals, with every answer behind a sync.

use std::path::Path;

use annals::journal::Durability;
use annals::prelude::*;

use crate::task::{Bank, Withdrawn};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{missing} are missing")]
struct Overdrawn {
    missing: u64,
}

#[aggregate(vis = pub(crate))]
impl Account {
    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[event]
    fn withdrawn(&mut self, amount: u64) {
        self.balance -= amount;
    }

    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }

    #[command]
    fn withdraw(&self, amount: u64) -> Result<Step, Overdrawn> {
        if amount > self.balance {
            return Err(Overdrawn { missing: amount - self.balance });
        }
        Ok(applying(AccountEvent::Withdrawn { amount }))
    }

    #[query]
    fn balance(&self) -> u64 {
        self.balance
    }
}

#[derive(Clone)]
pub(crate) struct Accounts {
    system: System,
    accounts: Vec<AccountRef>,
}

impl Accounts {
    pub(crate) async fn open(path: &Path, accounts: usize) -> anyhow::Result<Self> {
        let system = System::builder().durability(Durability::Fsync).open(path).await?;
        let accounts = (0..accounts).map(|account| system.get::<Account>(format!("account-{account}"))).collect();
        Ok(Self { system, accounts })
    }

    pub(crate) async fn close(self) -> anyhow::Result<()> {
        Ok(self.system.shutdown().await?)
    }
}

impl Bank for Accounts {
    async fn deposit(&self, account: usize, amount: u64) -> anyhow::Result<()> {
        Ok(self.accounts[account].deposit(amount).await?)
    }

    async fn withdraw(&self, account: usize, amount: u64) -> anyhow::Result<Withdrawn> {
        match self.accounts[account].withdraw(amount).await {
            Ok(()) => Ok(Withdrawn::Paid),
            Err(CallError::Refused(Overdrawn { .. })) => Ok(Withdrawn::Overdrawn),
            Err(error) => Err(error.into()),
        }
    }

    async fn balance(&self, account: usize) -> anyhow::Result<u64> {
        Ok(self.accounts[account].balance().await?)
    }
}
