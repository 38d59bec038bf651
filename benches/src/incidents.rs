//! A whole program: the example `incidents`, which replays the audit log of a company's tickets.
//!
//! It is run as its users would, from the log to the summary, a new store each time; what is counted is the time from its
//! start to its end. Without the public log (see the README) it replays the sample that comes with it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::report::{Report, Section, float};
use crate::{Bench, Outcome, settle};

/// Where the public log is, seen from the project's root.
const LOG: &str = "../shared/data/incident_event_log.csv.gz";

/// Builds the example, and runs it.
pub(crate) fn incidents(bench: &Bench, report: &mut Report) -> Outcome<()> {
    if !bench.wants("incidents", "") {
        return Ok(());
    }
    let Some(program) = program()? else {
        println_skipped();
        return Ok(());
    };
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(LOG);
    let (log, name) =
        if log.exists() { (Some(log), "the public log") } else { (None, "the sample: the log is not there") };
    let mut section = Section::new("incidents", format!("{name}, from the program's start to its end"));
    for _ in 0..bench.runs {
        let (rows, took) = replay(&program, log.as_deref(), &bench.directory.join("annals"))?;
        section.annals("incidents", "time", "s", took.as_secs_f64());
        section.annals("incidents", "rate", "rows/s", float(rows) / took.as_secs_f64());
        settle(&bench.directory)?;
    }
    bench.tell(report, section)
}

#[expect(clippy::print_stdout, reason = "a program for a terminal")]
fn println_skipped() {
    println!("\n== incidents: skipped, since there is no cargo to build the example with");
}

/// The example, built with the same profile as this program; none where there is no cargo.
fn program() -> Outcome<Option<PathBuf>> {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    build.args(["build", "--quiet", "--locked", "-p", "annals-examples", "--bin", "incidents"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    match build.status() {
        Err(_) => Ok(None),
        Ok(status) if !status.success() => Err("the example `incidents` can't be built".into()),
        // It is beside this program.
        Ok(_) => Ok(Some(env::current_exe()?.with_file_name("incidents"))),
    }
}

/// How many rows of the log were read, and how long all of it took.
fn replay(program: &Path, log: Option<&Path>, data: &Path) -> Outcome<(u64, Duration)> {
    let begun = Instant::now();
    let told = Command::new(program).args(log).arg("--data").arg(data).output()?;
    let took = begun.elapsed();
    std::fs::remove_dir_all(data)?;
    if !told.status.success() {
        return Err(String::from_utf8_lossy(&told.stderr).into_owned().into());
    }
    // The last line is for programs.
    let told = String::from_utf8(told.stdout)?;
    let last = told.lines().last().unwrap_or_default();
    let rows = last.split(' ').find_map(|field| field.strip_prefix("rows=")).ok_or("it tells no rows")?;
    Ok((rows.parse()?, took))
}
