//! What a campaign has found, in a line.

use std::fs::File;
use std::io::Write as _;

/// Prints a line, and appends it to the file that `ANNALS_SUMMARY` names: what a test that passes has printed is shown to
/// nobody.
///
/// # Panics
///
/// If the file can't be written.
#[expect(clippy::print_stdout, reason = "it is there to be seen")]
pub fn summary(line: &str) {
    println!("{line}");
    let Ok(path) = std::env::var("ANNALS_SUMMARY") else { return };
    let file = File::options().create(true).append(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    assert!(written.is_ok(), "`{path}` can't be written: {written:?}");
}
