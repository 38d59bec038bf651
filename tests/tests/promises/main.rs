//! What the sources and the README promise is held against the tests that are there.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails panics, and tells what it has found")]

use std::fs;
use std::path::{Path, PathBuf};

mod errors;
mod guarantees;
mod sources;

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files below a directory that end in `.rs`, in order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
