//! What annals costs, beside its limits in the same run. `annals-bench --help` tells how it is asked.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod commands;
mod cpu;
mod expansion;
mod latencies;
mod limits;
mod machine;
mod report;
mod zipf;

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::ValueExt as _;
use machine::Machine;
use report::{Report, Section};

type Outcome<T> = Result<T, Box<dyn Error>>;

const HELP: &str = "\
usage: annals-bench [--quick] [--json <file>] [--dir <dir>] [--runs <n>] [--seconds <s>] [--only <word>]

Measures annals beside a plain file and the engine alone, and prints a table.

  --quick        all of it in a short time, to see that it works: the figures mean little
  --json <file>  write the figures there, too, after each section
  --dir <dir>    where to store what is measured, in a new directory `annals-bench`; default: the temporary directory
  --runs <n>     how often each thing is measured; default: 3
  --seconds <s>  how long a load goes on; default: 5, and 12 times as long where it is to be sustained
  --only <word>  only what has the word in its section's name, or in the load's

Sections: commands, sustained, rate, recovery, reading, memory, deadlines, disk, incidents, expansion.
";
/// So many times as long goes on what is sustained.
const LONG: u32 = 12;

/// What was asked for on the command line.
#[derive(Debug)]
struct Bench {
    /// Where to store what is measured. It is there, and belongs to this run alone.
    directory: PathBuf,
    json: Option<PathBuf>,
    runs: usize,
    time: Duration,
    long_time: Duration,
    only: Option<String>,
    is_quick: bool,
}

impl Bench {
    /// None if only help was wanted.
    fn read() -> Outcome<Option<Self>> {
        let (mut directory, mut json, mut only) = (std::env::temp_dir(), None, None);
        let (mut runs, mut seconds, mut is_quick) = (None, None, false);
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(None),
                lexopt::Arg::Long("quick") => is_quick = true,
                lexopt::Arg::Long("json") => json = Some(arguments.value()?.into()),
                lexopt::Arg::Long("dir") => directory = arguments.value()?.into(),
                lexopt::Arg::Long("runs") => runs = Some(arguments.value()?.parse::<usize>()?.max(1)),
                lexopt::Arg::Long("seconds") => seconds = Some(arguments.value()?.parse::<f64>()?),
                lexopt::Arg::Long("only") => only = Some(arguments.value()?.parse::<String>()?),
                _ => return Err(argument.unexpected().into()),
            }
        }
        let (quick_runs, quick_seconds) = if is_quick { (1, 0.4) } else { (3, 5.0) };
        let time = Duration::try_from_secs_f64(seconds.unwrap_or(quick_seconds))?;
        let long_time = if is_quick { time * 2 } else { time * LONG };
        let runs = runs.unwrap_or(quick_runs);
        let directory = directory.join("annals-bench");
        Ok(Some(Self { directory, json, runs, time, long_time, only, is_quick }))
    }

    /// Whether a thing is to be measured.
    fn wants(&self, section: &str, what: &str) -> bool {
        self.only.as_ref().is_none_or(|word| section.contains(word.as_str()) || what.contains(word.as_str()))
    }

    /// Tells what a section has come to.
    fn tell(&self, report: &mut Report, section: Section) -> Outcome<()> {
        println!("{}", report.take(section));
        self.json.iter().try_for_each(|path| report.write(path))
    }
}

/// Has what was written, and above all what was removed, done with before the next thing is measured.
fn settle(directory: &Path) -> Outcome<()> {
    Ok(File::open(directory)?.sync_all()?)
}

fn main() -> Outcome<()> {
    let Some(bench) = Bench::read()? else {
        print!("{HELP}");
        return Ok(());
    };
    // What an earlier run has left that was killed.
    if bench.directory.exists() {
        fs::remove_dir_all(&bench.directory)?;
    }
    fs::create_dir_all(&bench.directory)?;
    let measured = measure(&bench);
    fs::remove_dir_all(&bench.directory)?;
    measured
}

/// Measures what is wanted, section by section.
fn measure(bench: &Bench) -> Outcome<()> {
    let machine = Machine::look(&bench.directory);
    println!("{}{} runs", machine.shown(), bench.runs);
    let mut report = Report::new(machine);
    let sections: [fn(&Bench, &mut Report) -> Outcome<()>; _] =
        [commands::commands, commands::sustained, expansion::expansion];
    for section in sections {
        section(bench, &mut report)?;
    }
    Ok(())
}
