//! A bank account that goes on where it stopped: run it twice on the same directory. It reads what its first version
//! stored, too.
//!
//! `cargo run --release -p annals-examples --bin account -- <dir>`

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod first;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use annals::prelude::*;
use annals_examples::{end, print};

const USAGE: &str = "usage: account [--first-version] <dir>\n";

const HELP: &str = "
Keeps a bank account in <dir>, pays in and takes out. Run it again on the same directory, and it goes on.
With --first-version it only pays in, and stores that as the first version of this program did.
";

/// A bank account, in cents.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Account {
    balance: u64,
    unrecorded: u64,
}

/// Who paid in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payer {
    /// Somebody, before that was written down.
    Unrecorded,
    /// Somebody with a name.
    Named(String),
}

/// What the first version of this program stored when money came in.
#[derive(Debug, Deserialize)]
pub struct DepositedV1 {
    amount: u64,
}

impl From<DepositedV1> for AccountEvent {
    fn from(DepositedV1 { amount }: DepositedV1) -> Self {
        Self::Deposited { amount, from: Payer::Unrecorded }
    }
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
    #[event(version = 2, upcast(1 => DepositedV1))]
    fn deposited(&mut self, amount: u64, from: Payer) {
        self.balance += amount;
        if from == Payer::Unrecorded {
            self.unrecorded += amount;
        }
    }

    /// Money went out.
    #[event]
    fn withdrawn(&mut self, amount: u64) {
        self.balance -= amount;
    }

    /// Pays `amount` in, in somebody's name; replies with the new balance.
    #[command]
    fn deposit(&self, amount: u64, from: String) -> Step<u64> {
        applying(AccountEvent::Deposited { amount, from: Payer::Named(from) }).replying_with(Self::balance)
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

    /// How much came in before it was written down from whom, in cents.
    #[query]
    fn unrecorded(&self) -> u64 {
        self.unrecorded
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    end("account", USAGE, run(lexopt::Parser::from_env()).await)
}

async fn run(args: lexopt::Parser) -> Result<(), Box<dyn Error>> {
    match wish(args)? {
        Some(Wish { directory, first_version: true }) => visit_first(&directory).await,
        Some(Wish { directory, first_version: false }) => visit(&directory).await,
        None => Ok(print(format_args!("{USAGE}{HELP}"))?),
    }
}

/// What the command line asks for.
struct Wish {
    directory: PathBuf,
    first_version: bool,
}

/// What to do; `None` if the command line asks for help.
fn wish(mut args: lexopt::Parser) -> Result<Option<Wish>, lexopt::Error> {
    use lexopt::prelude::*;
    let (mut directory, mut first_version) = (None, false);
    while let Some(arg) = args.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(None),
            Long("first-version") => first_version = true,
            Value(path) if directory.is_none() => directory = Some(PathBuf::from(path)),
            arg => return Err(arg.unexpected()),
        }
    }
    let directory = directory.ok_or("say in which directory to keep the account")?;
    Ok(Some(Wish { directory, first_version }))
}

/// Pays in, as the first version of this program did.
async fn visit_first(directory: &Path) -> Result<(), Box<dyn Error>> {
    let system = System::open(directory).await?;
    let alice = system.get::<first::Account>("alice");
    for amount in [500, 300] {
        println!("deposit {amount}: the balance is {} cents", alice.deposit(amount).await?);
    }
    system.shutdown().await?;
    Ok(())
}

/// Pays in and takes out, and says what comes of it.
async fn visit(directory: &Path) -> Result<(), Box<dyn Error>> {
    let system = System::open(directory).await?;
    let alice = system.get::<Account>("alice");

    let before = alice.balance().await?;
    println!("replayed {} events; the balance is {before} cents", system.stats().events_replayed);
    match alice.unrecorded().await? {
        0 => {}
        cents => println!("{cents} cents came in as the first version stored it: nobody knows from whom"),
    }

    for (amount, from) in [(10_000, "work"), (2_500, "bob")] {
        println!(
            "deposit {amount} from {from}: the balance is {} cents",
            alice.deposit(amount, from.to_owned()).await?
        );
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
    use annals::testing::{assert_schema, given};

    use super::{Account, AccountEvent, Overdrawn, Payer};

    fn deposited(amount: u64) -> AccountEvent {
        AccountEvent::Deposited { amount, from: Payer::Named("work".to_owned()) }
    }

    #[test]
    fn a_withdrawal_beyond_the_balance_says_how_much_is_missing() {
        given::<Account>([deposited(100)])
            .when(|account| account.withdraw(500))
            .then_no_events()
            .then_refusal(Overdrawn { missing: 400 });
    }

    #[test]
    fn a_deposit_replies_with_the_new_balance() {
        given::<Account>([deposited(100)])
            .when(|account| account.deposit(5, "work".to_owned()))
            .then_events(deposited(5))
            .then_reply(105_u64);
    }

    #[test]
    fn what_is_stored_is_as_the_file_says() {
        assert_schema::<Account>("schemas/account.schema");
    }
}
