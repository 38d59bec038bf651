//! Works on a store with snapshots until it is killed: `saver <dir> <entities> [<dir of the snapshots>]`.
//!
//! It writes one line for each acknowledged command, `<entity> <balance>`, after the reply has come. Meanwhile snapshots
//! are saved, and events and older snapshots are deleted.

#![expect(clippy::print_stdout, reason = "its output is what the test compares")]

use std::env;
use std::error::Error;
use std::io::Write as _;

use annals_tests::{Savings, with_snapshots};
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?;
    let entities: u64 = arguments.next().ok_or("how many entities?")?.parse()?;
    let system = with_snapshots(directory.as_ref(), arguments.next().as_ref().map(AsRef::as_ref))?;
    println!("open");
    let callers = (0..entities).map(|entity| {
        let savings = system.get::<Savings>(format!("{entity}"));
        tokio::spawn(async move {
            while let Ok(balance) = savings.save().await {
                let line = format!("{entity} {balance}\n");
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
