//! The manners that the programs share: what they print and how they end.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

/// Ends a program: with 0, with 1 and what failed, or with 2 and `usage` if the command line was wrong.
pub fn end(program: &str, usage: &str, done: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = done else { return ExitCode::SUCCESS };
    let (usage, code) = if error.is::<lexopt::Error>() { (usage, WRONG_USAGE) } else { ("", FAILED) };
    // There is no way left to say that it failed.
    let _ = write!(io::stderr().lock(), "{program}: {error}\n{usage}");
    ExitCode::from(code)
}

/// Prints to the standard output, where nobody may listen any more.
///
/// # Errors
///
/// What the system says, unless it is that nobody listens.
pub fn print(text: impl Display) -> io::Result<()> {
    match write!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
