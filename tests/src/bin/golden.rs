//! Writes a store to be kept as a fixture, and what is told of it: `golden <dir>`, once for each released version:
//! `cargo run -p annals-tests --bin golden -- tests/fixtures/golden/0.1.0`.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::fs;
use std::path::PathBuf;

use annals_tests::golden::{self, Outcome};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: golden <dir>")?;
    // What was written once is never written again.
    fs::create_dir(&directory)?;
    let store = directory.join("store");
    golden::write(&store).await?;
    let copy = tempfile::tempdir()?;
    golden::copy(&store, copy.path())?;
    let told = golden::told(copy.path()).await?;
    fs::write(directory.join("told.txt"), &told)?;
    print!("{told}");
    Ok(())
}
