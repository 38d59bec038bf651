//! What annals costs, beside its limits in the same run. `annals-bench --help` tells how it is asked.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod commands;
mod cpu;
mod deadlines;
mod disk;
mod expansion;
mod filling;
mod incidents;
mod latencies;
mod lease;
mod limits;
mod machine;
mod memory;
mod reading;
mod recovery;
mod report;
mod scans;
mod steady;
mod zipf;

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::ValueExt as _;
use machine::Machine;
use memory::Part;
use report::{Report, Section};

type Outcome<T> = Result<T, Box<dyn Error>>;

const HELP: &str = "\
usage: annals-bench [--quick] [--json <file>] [--dir <dir>] [--runs <n>] [--seconds <s>] [--only <word>]

Measures annals beside a plain file and the engine alone, and prints a table. Each figure is told on stderr when it is
measured.

  --quick        all of it in a short time, to see that it works: the figures mean little
  --json <file>  write the figures there, too, after each section
  --dir <dir>    where to store what is measured, in a new directory `annals-bench`; default: the temporary directory
  --runs <n>     how often each thing is measured; default: 3
  --seconds <s>  how long a load goes on; default: 5, and 12 times as long where it is to be sustained
  --only <word>  only what has the word in its section's name, or in the load's; `<word>/<word>`: in the one, and in the other

Sections: commands, sustained, rate, recovery, reading, memory, deadlines, disk, incidents, expansion.
";
/// What is quick is so much smaller.
const QUICK_PART: u64 = 50;
/// So many times as long goes on what is sustained.
const LONG: u32 = 12;

/// What was asked for on the command line.
enum Asked {
    Help,
    Bench(Bench),
    /// What [`memory`] has another process do: with the store in this directory, with so many entities.
    Part(Part, PathBuf, u64),
}

impl Asked {
    fn read() -> Outcome<Self> {
        let (mut directory, mut json, mut only) = (std::env::temp_dir(), None, None);
        let (mut runs, mut seconds, mut is_quick) = (None, None, false);
        let (mut part, mut entities) = (None, 0);
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(Self::Help),
                lexopt::Arg::Long("quick") => is_quick = true,
                lexopt::Arg::Long("json") => json = Some(arguments.value()?.into()),
                lexopt::Arg::Long("dir") => directory = arguments.value()?.into(),
                lexopt::Arg::Long("runs") => runs = Some(arguments.value()?.parse::<usize>()?.max(1)),
                lexopt::Arg::Long("seconds") => seconds = Some(arguments.value()?.parse::<f64>()?),
                lexopt::Arg::Long("only") => only = Some(arguments.value()?.parse::<String>()?),
                lexopt::Arg::Long("part") => {
                    part = Some(Part::called(&arguments.value()?.string()?).ok_or("there is no such part")?);
                }
                lexopt::Arg::Long("entities") => entities = arguments.value()?.parse()?,
                _ => return Err(argument.unexpected().into()),
            }
        }
        if let Some(part) = part {
            return Ok(Self::Part(part, directory, entities));
        }
        let (quick_runs, quick_seconds) = if is_quick { (1, 0.4) } else { (3, 5.0) };
        let time = Duration::try_from_secs_f64(seconds.unwrap_or(quick_seconds))?;
        let long_time = if is_quick { time * 2 } else { time * LONG };
        let runs = runs.unwrap_or(quick_runs);
        let directory = directory.join("annals-bench");
        Ok(Self::Bench(Bench { directory, is_quick, json, runs, time, long_time, only }))
    }
}

/// How it is to be measured.
#[derive(Debug)]
struct Bench {
    /// Where to store what is measured. It is there, and belongs to this run alone.
    directory: PathBuf,
    is_quick: bool,
    json: Option<PathBuf>,
    runs: usize,
    time: Duration,
    long_time: Duration,
    only: Option<String>,
}

impl Bench {
    /// How many of something there are to be.
    fn size(&self, whole: u64) -> u64 {
        if self.is_quick { whole / QUICK_PART } else { whole }
    }

    /// Whether a thing is to be measured.
    fn wants(&self, section: &str, what: &str) -> bool {
        self.only.as_ref().is_none_or(|word| match word.split_once('/') {
            Some((of_section, of_what)) => section.contains(of_section) && what.contains(of_what),
            None => section.contains(word.as_str()) || what.contains(word.as_str()),
        })
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
    let bench = match Asked::read()? {
        Asked::Help => {
            print!("{HELP}");
            return Ok(());
        }
        Asked::Part(part, directory, entities) => {
            let measured = memory::measure_here(part, &directory, entities)?;
            println!("{}", serde_json::to_string(&measured)?);
            return Ok(());
        }
        Asked::Bench(bench) => bench,
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
    let sections: [fn(&Bench, &mut Report) -> Outcome<()>; _] = [
        commands::commands,
        commands::sustained,
        steady::rate,
        recovery::recovery,
        reading::reading,
        memory::memory,
        deadlines::deadlines,
        disk::disk,
        incidents::incidents,
        expansion::expansion,
    ];
    for section in sections {
        section(bench, &mut report)?;
    }
    Ok(())
}
