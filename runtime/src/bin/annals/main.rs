//! `annals`: looks at the store of a program that uses annals, checks it, repairs it, exports and imports it.
//!
//! A thin layer over `annals::journal::StoreDir`: arguments, text, JSON, progress bars and exit codes.
//!
//! - `args.rs`: the command line, and the help.
//! - `told.rs`: what is said of a store, as text; `json.rs`: as JSON.
//! - `payload.rs`: a stored payload as JSON, without the types of whoever stored it.
//! - `progress.rs`: bars on a terminal.

mod args;
mod commands;
mod json;
mod payload;
mod progress;
mod told;

use std::io::{self, Write};
use std::process::ExitCode;

use annals::journal::StoreError;

use args::{Args, USAGE};

/// Damage was found, or isn't repaired.
const DAMAGED: u8 = 1;
/// The command line is wrong, or the store can't be looked at at all.
const UNUSABLE: u8 = 2;

/// How a command that was done ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Fine,
    Damaged,
}

/// Why a command wasn't done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Usage(#[from] lexopt::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the output can't be written: {0}")]
    Output(#[from] io::Error),
    #[error("{0}")]
    File(String),
    #[error(
        "something went wrong that isn't foreseen, and nothing is known of the store; `RUST_BACKTRACE=1` says more"
    )]
    Panicked,
}

fn main() -> ExitCode {
    quiet_panics();
    let obey = || Args::parse(lexopt::Parser::from_env()).map_err(Failure::from).and_then(commands::obey);
    let failure = match std::panic::catch_unwind(obey).unwrap_or(Err(Failure::Panicked)) {
        Ok(End::Fine) => return ExitCode::SUCCESS,
        Ok(End::Damaged) => return ExitCode::from(DAMAGED),
        // Nobody listens any more, as with `annals list .. | head`.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    let (usage, code) = match &failure {
        Failure::Usage(_) => (USAGE, UNUSABLE),
        Failure::Store(error) if error.is_damage() => ("", DAMAGED),
        Failure::Store(_) | Failure::Output(_) | Failure::File(_) | Failure::Panicked => ("", UNUSABLE),
    };
    // There is no way left to say that it failed.
    let _ = write!(io::stderr().lock(), "annals: {}\n{usage}", told::escaped(&failure.to_string()));
    ExitCode::from(code)
}

/// The engine may panic on damaged files: that is caught, and told as damage.
fn quiet_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_ours = panic.location().is_none_or(|location| location.file().contains("annals"));
        if is_ours || std::env::var_os("RUST_BACKTRACE").is_some() {
            default(panic);
        }
    }));
}
