//! Makes the steps of `annals_tests::campaign` on a store: `script <dir> <dir of the snapshots, or -> <from> <to> [stay]`.
//!
//! It says `open`, then each step with its answer as soon as it has it, and `closed`. With `stay` it says `done` when the
//! steps are made, and waits to be killed.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;

use annals::journal::{FjallJournal, FjallOptions};
use annals_tests::campaign::Script;

fn main() -> Result<(), Box<dyn Error>> {
    // The same threads make the same calls, each time.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().max_blocking_threads(1).build()?.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [store, snapshots, from, to, rest @ ..] = &arguments[..] else {
        return Err("which store, which snapshots, from which step to which?".into());
    };
    let snapshots = (snapshots != "-").then(|| Path::new(snapshots));
    let script = Script::start(FjallJournal::open(store, FjallOptions::default())?, snapshots)?;
    tell("open")?;
    for step in from.parse()?..to.parse()? {
        let answer = script.step(step).await?;
        tell(&format!("{step} {answer}"))?;
    }
    if !rest.is_empty() {
        tell("done")?;
        std::future::pending::<()>().await;
    }
    script.close().await?;
    tell("closed")
}

/// Says a line with one write. A fault may meet it as well: then the program ends in order.
fn tell(line: &str) -> Result<(), Box<dyn Error>> {
    Ok(io::stdout().write_all(format!("{line}\n").as_bytes())?)
}
