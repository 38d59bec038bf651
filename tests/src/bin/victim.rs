//! Works on a store until it is killed: `victim <dir> <entities> <fsync|os> <plain|keyed>`. A line on its input makes it
//! close the store.
//!
//! It writes one line for each acknowledged command, `<entity> <balance>`, after the reply has come. Every command is
//! two events, so that half of one would show.
//!
//! With keys, it makes the last command of each entity again, before it goes on: that one has its answer, and changes
//! nothing, or the program fails.

#![expect(clippy::print_stdout, reason = "its output is what the test compares")]

use std::env;
use std::error::Error;
use std::io::Write as _;

use annals::journal::Durability;
use annals::prelude::*;
use annals_tests::{Account, AccountRef};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// How many commands of one entity are in flight at most.
const CALLERS: u64 = 4;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?;
    let entities: u64 = arguments.next().ok_or("how many entities?")?.parse()?;
    let durability = match arguments.next().as_deref() {
        Some("fsync") => Durability::Fsync,
        Some("os") => Durability::Os,
        _ => return Err("which durability?".into()),
    };
    let is_keyed = arguments.next().ok_or("with keys?")? == "keyed";
    let system = System::builder().durability(durability).open(directory).await?;
    println!("open");
    let callers = if is_keyed { entities } else { entities * CALLERS };
    let callers = (0..callers).map(|caller| {
        let entity = caller % entities;
        let account = system.get::<Account>(format!("{entity}"));
        tokio::spawn(async move {
            match is_keyed {
                true => with_keys(entity, &account).await,
                false => without_keys(entity, &account).await,
            }
        })
    });
    let callers = callers.collect::<Vec<_>>();
    // An input that ends without a line is none.
    if BufReader::new(tokio::io::stdin()).read_line(&mut String::new()).await? > 0 {
        system.shutdown().await?;
    }
    for caller in callers {
        caller.await??;
    }
    Ok(())
}

/// What a caller ends with, unless its system stops.
type Ended = Result<(), String>;

async fn without_keys(entity: u64, account: &AccountRef) -> Ended {
    while let Ok(balance) = account.deposit_all(vec![1, 1]).await {
        if !tell(entity, balance) {
            break;
        }
    }
    Ok(())
}

async fn with_keys(entity: u64, account: &AccountRef) -> Ended {
    let Ok(stored) = account.balance().await else { return Ok(()) };
    let mut made = stored / 2;
    let deposit = |command: u64| account.deposit_all(vec![1, 1]).key(Key::unique(format!("{command}")));
    if made > 0 {
        let Ok(again) = deposit(made).await else { return Ok(()) };
        let Ok(balance) = account.balance().await else { return Ok(()) };
        if (again, balance) != (stored, stored) {
            return Err(format!("entity {entity} had {stored}, its repeat is answered {again}, and it has {balance}"));
        }
    }
    while let Ok(balance) = deposit(made + 1).await {
        made += 1;
        if balance != 2 * made {
            return Err(format!("entity {entity} has {balance} behind {made} commands"));
        }
        if !tell(entity, balance) {
            break;
        }
    }
    Ok(())
}

/// One write for each line: a killed process leaves whole lines, but perhaps for the last. Says whether anybody reads.
fn tell(entity: u64, balance: u64) -> bool {
    std::io::stdout().write_all(format!("{entity} {balance}\n").as_bytes()).is_ok()
}
