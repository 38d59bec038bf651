//! Tells what a store holds: `teller <dir> <dir of the snapshots, or -> [journal]`.
//!
//! It opens the store, reads everything and, unless it is about the journal alone, asks all entities; or it says why it
//! can't, and fails.

#![expect(clippy::print_stdout, reason = "its output is what the campaigns compare")]

use std::env;
use std::error::Error;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use annals::journal::{FjallOptions, Journal as _};
use annals::snapshot::{DirSnapshots, SnapshotStore};
use annals_tests::campaign::{Script, Trouble, opened};

fn main() -> Result<(), Box<dyn Error>> {
    // The same threads make the same calls, each time.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().max_blocking_threads(1).build()?.block_on(tell())
}

async fn tell() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let store = arguments.next().ok_or("which store?")?;
    let snapshots = arguments.next().ok_or("which snapshots?")?;
    let snapshots = (snapshots != "-").then(|| Path::new(&snapshots));
    let files = snapshots.map(DirSnapshots::open).transpose()?;
    let files = files.as_ref().map(|files| {
        let files: &dyn SnapshotStore = files;
        files
    });
    let (journal, contents) = match opened(store.as_ref(), files, FjallOptions::default()).await {
        Ok(read) => read,
        Err(Trouble::Wrong(why)) => {
            println!("wrong: {why}");
            return Ok(());
        }
        Err(trouble) => return Err(trouble.into()),
    };
    let mut hasher = DefaultHasher::new();
    format!("{contents:?}").hash(&mut hasher);
    println!("{:016x}", hasher.finish());
    if arguments.next().is_some() {
        return Ok(journal.close().await?);
    }
    let script = Script::start(journal, snapshots)?;
    println!("{}", script.state().await?);
    script.close().await
}
