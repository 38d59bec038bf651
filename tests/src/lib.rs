//! The aggregate and the machines that most tests work with.

pub mod campaign;
mod diary;
pub mod golden;
mod lease;
mod lock;
pub mod random;
mod savings;
mod through;
mod until;

pub use diary::Diary;
pub use lease::{Lease, LeaseCommand, LeaseEvent, LeaseRef, LeaseState, Mood, NotRenewed, furies};
pub use lock::{Digit, Greeting, Lock, LockCommand, LockEvent, LockRef, LockState, SECRET};

pub use savings::{Savings, SavingsCommand, SavingsEvent, SavingsRef};
pub use until::{at_once, until, until_so};

use std::error::Error;
use std::path::Path;

use annals::journal::{FjallJournal, FjallOptions};
use annals::prelude::*;
use annals::snapshot::DirSnapshots;

/// Starts a system on a store on the disk, with its snapshots beside the journal or as files in a directory.
///
/// # Errors
///
/// Whatever doesn't open.
pub fn with_snapshots(store: &Path, snapshots: Option<&Path>) -> Result<System, Box<dyn Error>> {
    let mut builder = System::builder();
    if let Some(snapshots) = snapshots {
        builder = builder.snapshots(DirSnapshots::open(snapshots)?);
    }
    Ok(builder.start(FjallJournal::open(store, FjallOptions::default())?)?)
}

/// A bank account, in cents, with some ways to go wrong.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    balance: u64,
}

/// Less is there than was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdrawn {
    /// How much less, in cents.
    pub missing: u64,
}

#[aggregate]
impl Account {
    /// Money came in.
    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    /// Money went out.
    #[event]
    fn withdrawn(&mut self, amount: u64) {
        self.balance -= amount;
    }

    /// Can't be folded.
    #[event]
    fn cursed(&mut self) {
        panic!("cursed");
    }

    /// Something to take up room.
    #[event]
    fn noted(&mut self, text: String) {
        let _ = text;
    }

    /// Pays `amount` in; replies with the new balance.
    #[command]
    fn deposit(&self, amount: u64) -> Step<u64> {
        applying(AccountEvent::Deposited { amount }).replying_with(Self::balance)
    }

    /// Pays several amounts in, all or none.
    #[command]
    fn deposit_all(&self, amounts: Vec<u64>) -> Step<u64> {
        let events: Vec<_> = amounts.into_iter().map(|amount| AccountEvent::Deposited { amount }).collect();
        applying(events).replying_with(Self::balance)
    }

    /// Takes `amount` out, or says how much is missing.
    #[command]
    fn withdraw(&self, amount: u64) -> Result<Step<u64>, Overdrawn> {
        if amount > self.balance {
            return Err(Overdrawn { missing: amount - self.balance });
        }
        Ok(applying(AccountEvent::Withdrawn { amount }).replying_with(Self::balance))
    }

    /// Panics.
    #[command]
    fn crash(&self) -> Step {
        panic!("crashed")
    }

    /// Makes an event whose fold panics.
    #[command]
    fn curse(&self) -> Step {
        applying(AccountEvent::Cursed)
    }

    /// Stores a text.
    #[command]
    fn note(&self, text: String) -> Step {
        applying(AccountEvent::Noted { text })
    }

    /// Replies with time, id and sequence number as a handler sees them.
    #[command]
    fn look_around(&self, cx: &Context<Self>) -> Step<(annals::Timestamp, String, u64)> {
        stay().replying((cx.now(), cx.id().as_str().to_owned(), cx.seq_nr().0))
    }

    /// How much is there, in cents.
    #[query]
    pub fn balance(&self) -> u64 {
        self.balance
    }
}
