//! Works on a store until it is killed: `victim <dir> <entities>`. A line on its input makes it close the store.
//!
//! It writes one line for each acknowledged command, `<entity> <balance>`, after the reply has come. Every command is
//! two events, so that half of one would show.

#![expect(clippy::print_stdout, reason = "its output is what the test compares")]

use std::env;
use std::error::Error;
use std::io::Write as _;

use annals::System;
use annals_tests::Account;
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?;
    let entities: u64 = arguments.next().ok_or("how many entities?")?.parse()?;
    let system = System::open(directory).await?;
    println!("open");
    let callers = (0..entities * 4).map(|caller| {
        let account = system.get::<Account>(format!("{}", caller % entities));
        tokio::spawn(async move {
            while let Ok(balance) = account.deposit_all(vec![1, 1]).await {
                let line = format!("{} {balance}\n", caller % entities);
                // One write for each line: a killed process leaves whole lines, but perhaps for the last.
                if std::io::stdout().write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
        })
    });
    let callers = callers.collect::<Vec<_>>();
    // An input that ends without a line is none.
    if BufReader::new(tokio::io::stdin()).read_line(&mut String::new()).await? > 0 {
        system.shutdown().await?;
    }
    for caller in callers {
        caller.await?;
    }
    Ok(())
}
