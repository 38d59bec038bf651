//! The aggregate of these tests.

use std::sync::Arc;
use std::time::Duration;

use annals::journal::MemoryJournal;
use annals::prelude::*;
use annals::testing::ManualClock;
use annals::{Builder, Timestamp};

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    balance: u64,
}

#[aggregate]
impl Account {
    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[command]
    fn deposit(&self, amount: u64) -> Step<u64> {
        applying(AccountEvent::Deposited { amount }).replying_with(|account: &Self| account.balance)
    }

    /// Puts the same on other accounts, one after the other, each as an effect of the one before.
    #[command]
    fn pass_on(&self, amount: u64, mut to: Vec<&'static str>) -> Step<u64> {
        let balance = self.balance + amount;
        let step = applying(AccountEvent::Deposited { amount });
        let Some(next) = to.pop() else { return step.replying(balance) };
        step.and_then(move |fx| {
            let call = fx.get::<Self>(next).pass_on(amount, to);
            fx.spawn(async move { drop(call.await) });
        })
        .replying(balance)
    }

    #[command]
    fn tell_nobody(&self) -> Step {
        stay()
    }

    /// Deposits, and replies with what was given along.
    #[command]
    fn swap(&self, amount: u64, token: Arc<()>) -> Step<Arc<()>> {
        applying(AccountEvent::Deposited { amount }).replying(token)
    }

    /// Refuses with what was given along, if there is anything on the account.
    #[command]
    fn close(&self, token: Arc<()>) -> Result<Step<Arc<()>>, Arc<()>> {
        if self.balance > 0 { Err(token) } else { Ok(stay().replying(token)) }
    }

    #[query]
    fn balance(&self) -> u64 {
        self.balance
    }
}

/// A system of one shard that doesn't look at the clock, whose entities leave memory whenever they rest.
pub(crate) fn builder() -> Builder {
    System::builder()
        .shards(1)
        .idle_after(Duration::ZERO)
        .shutdown_within(Duration::from_secs(60))
        .clock(ManualClock::at(Timestamp::UNIX_EPOCH))
}

/// What is on an account after a restart.
pub(crate) async fn stored(journal: &MemoryJournal, id: &str) -> u64 {
    let system = builder().start(journal.reopen()).unwrap();
    let balance = system.get::<Account>(id).balance().await.unwrap();
    system.shutdown().await.unwrap();
    balance
}
