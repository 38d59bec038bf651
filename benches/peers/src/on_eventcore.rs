//! On eventcore, in memory and on SQLite, with snapshots of the state that a command looks at.

use std::path::Path;

use eventcore::sqlite::{SqliteConfig, SqliteEventStore};
use eventcore::{
    Command, CommandError, CommandLogic, CommandStateSnapshotId, Event, NewEvents, RetryPolicy, StreamId,
    collect_events, execute,
};
use eventcore_memory::InMemoryEventStore;
use eventcore_types::EventStore;
use serde::{Deserialize, Serialize};

use crate::task::{Bank, Withdrawn};

#[derive(Debug, Clone, Serialize, Deserialize)]
enum AccountEvent {
    Deposited { account: StreamId, amount: u64 },
    Withdrawn { account: StreamId, amount: u64 },
}

impl Event for AccountEvent {
    fn stream_id(&self) -> &StreamId {
        match self {
            Self::Deposited { account, .. } | Self::Withdrawn { account, .. } => account,
        }
    }

    fn event_type_name() -> &'static str {
        "account"
    }
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Balance(u64);

impl Balance {
    fn after(self, event: &AccountEvent) -> Self {
        match event {
            AccountEvent::Deposited { amount, .. } => Self(self.0 + amount),
            AccountEvent::Withdrawn { amount, .. } => Self(self.0 - amount),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is not so much")]
struct Overdrawn;

/// It has no use for the balance, but keeps the snapshot near.
#[derive(Clone, Command)]
struct Deposit {
    #[stream]
    account: StreamId,
    amount: u64,
}

impl CommandLogic for Deposit {
    type Event = AccountEvent;
    type State = Balance;

    fn apply(&self, state: Balance, event: &AccountEvent) -> Balance {
        state.after(event)
    }

    fn handle(&self, _: Balance) -> Result<NewEvents<AccountEvent>, CommandError> {
        Ok(vec![AccountEvent::Deposited { account: self.account.clone(), amount: self.amount }].into())
    }

    fn command_state_snapshot_id(&self) -> Option<CommandStateSnapshotId> {
        snapshot_id(&self.account)
    }

    fn serialize_command_state_snapshot(&self, state: &Balance) -> Result<serde_json::Value, CommandError> {
        written(state)
    }

    fn deserialize_command_state_snapshot(&self, state: serde_json::Value) -> Result<Balance, CommandError> {
        read(state)
    }
}

#[derive(Clone, Command)]
struct Withdraw {
    #[stream]
    account: StreamId,
    amount: u64,
}

impl CommandLogic for Withdraw {
    type Event = AccountEvent;
    type State = Balance;

    fn apply(&self, state: Balance, event: &AccountEvent) -> Balance {
        state.after(event)
    }

    fn handle(&self, balance: Balance) -> Result<NewEvents<AccountEvent>, CommandError> {
        eventcore::require!(balance.0 >= self.amount, CommandError::BusinessRuleViolation(Box::new(Overdrawn)));
        Ok(vec![AccountEvent::Withdrawn { account: self.account.clone(), amount: self.amount }].into())
    }

    fn command_state_snapshot_id(&self) -> Option<CommandStateSnapshotId> {
        snapshot_id(&self.account)
    }

    fn serialize_command_state_snapshot(&self, state: &Balance) -> Result<serde_json::Value, CommandError> {
        written(state)
    }

    fn deserialize_command_state_snapshot(&self, state: serde_json::Value) -> Result<Balance, CommandError> {
        read(state)
    }
}

/// Both commands look at the same state.
fn snapshot_id(account: &StreamId) -> Option<CommandStateSnapshotId> {
    CommandStateSnapshotId::try_new(format!("balance::{account}")).ok()
}

fn written(state: &Balance) -> Result<serde_json::Value, CommandError> {
    serde_json::to_value(state).map_err(|error| CommandError::BusinessRuleViolation(Box::new(error)))
}

fn read(state: serde_json::Value) -> Result<Balance, CommandError> {
    serde_json::from_value(state).map_err(|error| CommandError::BusinessRuleViolation(Box::new(error)))
}

pub(crate) struct Accounts<S>(S);

pub(crate) fn in_memory() -> Accounts<InMemoryEventStore> {
    Accounts(InMemoryEventStore::new())
}

pub(crate) async fn on_sqlite(path: &Path) -> anyhow::Result<Accounts<SqliteEventStore>> {
    std::fs::create_dir_all(path)?;
    let store = SqliteEventStore::new(SqliteConfig { path: path.join("events.db"), encryption_key: None })?;
    store.migrate().await?;
    Ok(Accounts(store))
}

impl<S: EventStore + Send + Sync + 'static> Accounts<S> {
    fn id(account: usize) -> anyhow::Result<StreamId> {
        Ok(StreamId::try_new(format!("account-{account}"))?)
    }

    async fn execute(&self, command: impl CommandLogic + Clone) -> anyhow::Result<Withdrawn> {
        loop {
            match execute(&self.0, command.clone(), RetryPolicy::new()).await {
                Ok(_) => return Ok(Withdrawn::Paid),
                Err(CommandError::BusinessRuleViolation(error)) if error.is::<Overdrawn>() => {
                    return Ok(Withdrawn::Overdrawn);
                }
                // It has tried five times.
                Err(CommandError::ConcurrencyError(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<S: EventStore + Send + Sync + 'static> Bank for Accounts<S> {
    async fn deposit(&self, account: usize, amount: u64) -> anyhow::Result<()> {
        self.execute(Deposit { account: Self::id(account)?, amount }).await.map(|_| ())
    }

    async fn withdraw(&self, account: usize, amount: u64) -> anyhow::Result<Withdrawn> {
        self.execute(Withdraw { account: Self::id(account)?, amount }).await
    }

    async fn balance(&self, account: usize) -> anyhow::Result<u64> {
        let stream = self.0.read_stream::<AccountEvent>(Self::id(account)?).await?;
        let events: Vec<AccountEvent> = collect_events(stream).await?;
        Ok(events.iter().fold(Balance::default(), Balance::after).0)
    }
}
