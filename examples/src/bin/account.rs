//! A bank account that goes on where it stopped: run it twice on the same directory.
//!
//! `cargo run --release -p annals-examples --bin account -- <dir>`

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use annals::prelude::*;
use annals_examples::{end, print};

const USAGE: &str = "usage: account <dir>\n";

const HELP: &str = "
Keeps a bank account in <dir>, pays in and takes out. Run it again on the same directory, and it goes on.
";

/// A bank account, in cents.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Account {
    balance: u64,
}

/// Less is there than was asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{missing} cents are missing")]
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

    /// Pays `amount` in; replies with the new balance.
    #[command]
    fn deposit(&self, amount: u64) -> Step<u64> {
        applying(AccountEvent::Deposited { amount }).replying_with(Self::balance)
    }

    /// Takes `amount` out, or says how much is missing.
    #[command]
    fn withdraw(&self, amount: u64) -> Result<Step<u64>, Overdrawn> {
        if amount > self.balance {
            return Err(Overdrawn { missing: amount - self.balance });
        }
        Ok(applying(AccountEvent::Withdrawn { amount }).replying_with(Self::balance))
    }

    /// How much is there, in cents.
    #[query]
    fn balance(&self) -> u64 {
        self.balance
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    end("account", USAGE, run(lexopt::Parser::from_env()).await)
}

async fn run(args: lexopt::Parser) -> Result<(), Box<dyn Error>> {
    match directory(args)? {
        Some(directory) => visit(&directory).await,
        None => Ok(print(format_args!("{USAGE}{HELP}"))?),
    }
}

/// The directory that the command line names; `None` if it asks for help.
fn directory(mut args: lexopt::Parser) -> Result<Option<PathBuf>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut directory = None;
    while let Some(arg) = args.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(None),
            Value(path) if directory.is_none() => directory = Some(PathBuf::from(path)),
            arg => return Err(arg.unexpected()),
        }
    }
    directory.map(Some).ok_or("say in which directory to keep the account".into())
}

/// Pays in and takes out, and says what comes of it.
async fn visit(directory: &Path) -> Result<(), Box<dyn Error>> {
    let system = System::open(directory).await?;
    let alice = system.get::<Account>("alice");

    let before = alice.balance().await?;
    println!("replayed {} events; the balance is {before} cents", system.stats().events_replayed);

    for amount in [10_000, 2_500] {
        println!("deposit {amount}: the balance is {} cents", alice.deposit(amount).await?);
    }
    println!("withdraw 700: the balance is {} cents", alice.withdraw(700).await?);
    match alice.withdraw(1_000_000).await {
        Err(CallError::Refused(overdrawn)) => println!("withdraw 1000000: refused, {overdrawn}"),
        Err(error) => return Err(error.into()),
        Ok(balance) => println!("withdraw 1000000: the balance is {balance} cents"),
    }
    println!("the balance is {} cents, and it is on the disk", alice.balance().await?);
    system.shutdown().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use annals::testing::given;

    use super::{Account, AccountEvent, Overdrawn};

    #[test]
    fn a_withdrawal_beyond_the_balance_says_how_much_is_missing() {
        given::<Account>([AccountEvent::Deposited { amount: 100 }])
            .when(|account| account.withdraw(500))
            .then_no_events()
            .then_refusal(Overdrawn { missing: 400 });
    }

    #[test]
    fn a_deposit_replies_with_the_new_balance() {
        given::<Account>([AccountEvent::Deposited { amount: 100 }])
            .when(|account| account.deposit(5))
            .then_events(AccountEvent::Deposited { amount: 5 })
            .then_reply(105_u64);
    }
}
