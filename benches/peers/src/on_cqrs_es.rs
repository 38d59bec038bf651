//! On cqrs-es with its store in memory. That store doesn't look whether something was stored since it was read, so it is
//! given one command for an account at a time.

use cqrs_es::event_sink::EventSink;
use cqrs_es::mem_store::MemStore;
use cqrs_es::{Aggregate, AggregateError, CqrsFramework, DomainEvent, EventStore as _};
use serde::{Deserialize, Serialize};

use crate::task::{Bank, Withdrawn};

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[derive(Debug)]
enum Command {
    Deposit { amount: u64 },
    Withdraw { amount: u64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Event {
    Deposited { amount: u64 },
    Withdrawn { amount: u64 },
}

#[derive(Debug, thiserror::Error)]
#[error("there is not so much")]
struct Overdrawn;

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        match self {
            Self::Deposited { .. } => "Deposited".to_owned(),
            Self::Withdrawn { .. } => "Withdrawn".to_owned(),
        }
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = Command;
    type Event = Event;
    type Error = Overdrawn;
    type Services = ();

    async fn handle(&mut self, command: Command, (): &(), sink: &EventSink<Self>) -> Result<(), Overdrawn> {
        match command {
            Command::Deposit { amount } => sink.write(Event::Deposited { amount }, self).await,
            Command::Withdraw { amount } if amount > self.balance => return Err(Overdrawn),
            Command::Withdraw { amount } => sink.write(Event::Withdrawn { amount }, self).await,
        }
        Ok(())
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Deposited { amount } => self.balance += amount,
            Event::Withdrawn { amount } => self.balance -= amount,
        }
    }
}

pub(crate) struct Accounts {
    store: MemStore<Account>,
    framework: CqrsFramework<Account, MemStore<Account>>,
}

impl Accounts {
    pub(crate) fn new() -> Self {
        let store = MemStore::default();
        Self { framework: CqrsFramework::new(store.clone(), Vec::new(), ()), store }
    }

    fn id(account: usize) -> String {
        format!("account-{account}")
    }
}

impl Bank for Accounts {
    async fn deposit(&self, account: usize, amount: u64) -> anyhow::Result<()> {
        Ok(self.framework.execute(&Self::id(account), Command::Deposit { amount }).await?)
    }

    async fn withdraw(&self, account: usize, amount: u64) -> anyhow::Result<Withdrawn> {
        match self.framework.execute(&Self::id(account), Command::Withdraw { amount }).await {
            Ok(()) => Ok(Withdrawn::Paid),
            Err(AggregateError::UserError(Overdrawn)) => Ok(Withdrawn::Overdrawn),
            Err(error) => Err(error.into()),
        }
    }

    async fn balance(&self, account: usize) -> anyhow::Result<u64> {
        Ok(self.store.load_aggregate(&Self::id(account)).await?.aggregate.balance)
    }
}
