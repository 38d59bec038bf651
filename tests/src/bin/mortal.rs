//! Lets entities begin and end in a store until it is killed: `mortal <dir> <first>`. A line on its input makes it close
//! the store.
//!
//! Those with even numbers are accounts and are deleted, the others are patients and are forgotten. It writes
//! `<number> <commands>` for each acknowledged command of an entity, and `<number> end` when the entity has ended.

#![expect(clippy::print_stdout, reason = "its output is what the test compares")]

use std::env;
use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use annals::prelude::*;
use annals_tests::campaign::COMMANDS_OF_A_LIFE;
use annals_tests::golden::Patient;
use annals_tests::{Account, with_snapshots};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// So many live at the same time.
const AT_ONCE: usize = 8;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?;
    let next: u64 = arguments.next().ok_or("from which number on?")?.parse()?;
    let system = with_snapshots(directory.as_ref(), None)?;
    println!("open");
    let next = Arc::new(AtomicU64::new(next));
    let lives = (0..AT_ONCE).map(|_| {
        let (system, next) = (system.clone(), next.clone());
        tokio::spawn(async move { while live(&system, next.fetch_add(1, Ordering::Relaxed)).await.is_some() {} })
    });
    let lives = lives.collect::<Vec<_>>();
    // An input that ends without a line is none.
    if BufReader::new(tokio::io::stdin()).read_line(&mut String::new()).await? > 0 {
        system.shutdown().await?;
    }
    for life in lives {
        life.await?;
    }
    Ok(())
}

/// One life; nothing when the system stops or nobody reads.
async fn live(system: &System, number: u64) -> Option<()> {
    let (account, patient) = (system.get::<Account>(format!("{number}")), system.get::<Patient>(format!("{number}")));
    let is_account = number.is_multiple_of(2);
    for command in 1..=COMMANDS_OF_A_LIFE {
        match is_account {
            true => drop(account.deposit(1).await.ok()?),
            false => patient.note(format!("{command}")).await.ok()?,
        }
        tell(&format!("{number} {command}\n"))?;
    }
    match is_account {
        true => drop(system.delete::<Account>(format!("{number}")).await.ok()?),
        false => {
            patient.snapshot().await.ok()?;
            system.forget::<Patient>(format!("{number}")).await.ok()?;
        }
    }
    tell(&format!("{number} end\n"))
}

/// One write for each line.
fn tell(line: &str) -> Option<()> {
    std::io::stdout().write_all(line.as_bytes()).ok()
}
