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
mod place;
mod reading;
mod recovery;
mod report;
mod scans;
mod steady;
mod zipf;

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lexopt::ValueExt as _;
use machine::Machine;
use memory::Part;
use place::Place;
use report::{Report, Section};

type Outcome<T> = Result<T, Box<dyn Error>>;

const HELP: &str = "\
usage: annals-bench [--quick] [--json <file>] [--dir <dir>] [--runs <n>] [--seconds <s>] [--only <word>]

Measures annals beside a plain file and the engine alone, and prints a table. Each figure is told on stderr when it is
measured.

  --quick        all of it in a short time, to see that it works: the figures mean little
  --json <file>  write the figures there, too, after each section
  --dir <dir>    where to store what is measured, in a new directory `annals-bench`; default: the temporary directory.
                 What a run has left there that was interrupted, the next one removes
  --runs <n>     how often each thing is measured; default: 3, and 1 with --quick
  --seconds <s>  how long a load goes on; default: 5, and 12 times as long where it is to be sustained; 0.4, and twice as
                 long, with --quick
  --only <word>  only what has the word in its section's name, or in the load's; `<word>/<word>`: in the one, and in the other

Sections: commands, sustained, rate, recovery, reading, memory, deadlines, disk, incidents, expansion.
";
/// What is quick is so much smaller.
const QUICK_PART: u64 = 50;
/// So many times as long goes on what is sustained.
const LONG: u32 = 12;
/// In a shorter time nothing may be answered.
const SECONDS_MIN: f64 = 0.01;
const SECONDS_MAX: f64 = 86_400.0;

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
                lexopt::Arg::Long("runs") => runs = Some(arguments.value()?.parse::<usize>()?),
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
        let (runs, seconds) = (runs.unwrap_or(quick_runs), seconds.unwrap_or(quick_seconds));
        if runs == 0 {
            return Err("`--runs 0`: nothing would be measured".into());
        }
        if !(SECONDS_MIN..=SECONDS_MAX).contains(&seconds) {
            return Err(format!("`--seconds {seconds}`: from {SECONDS_MIN} to {SECONDS_MAX} are possible").into());
        }
        let time = Duration::try_from_secs_f64(seconds)?;
        let long_time = if is_quick { time * 2 } else { time * LONG };
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
    fn tell(&self, report: &mut Report, mut section: Section) -> Outcome<()> {
        // What is so much smaller meets other aims, or none.
        if self.is_quick {
            section.forget_aims();
        }
        println!("{}", report.take(section));
        self.json.iter().try_for_each(|path| report.write(path))
    }
}

/// Has what was written, and above all what was removed, done with before the next thing is measured.
fn settle(directory: &Path) -> Outcome<()> {
    Ok(File::open(directory)?.sync_all()?)
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("annals-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
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
    let place = Place::take(&bench.directory)?;
    let measured = check(&bench).and_then(|()| measure(&bench));
    measured.and(place.remove())
}

/// Finds out now what would end a run when its first section is measured. An older file stays as it is until then.
fn check(bench: &Bench) -> Outcome<()> {
    let Some(path) = &bench.json else { return Ok(()) };
    match File::options().append(true).create(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{} can't be written: {error}", path.display()).into()),
    }
}

/// Measures what is wanted, section by section.
fn measure(bench: &Bench) -> Outcome<()> {
    let machine = Machine::look(&bench.directory);
    let quick = if bench.is_quick { ", quick: the figures mean little" } else { "" };
    println!("{}{} run{}{quick}", machine.shown(), bench.runs, if bench.runs == 1 { "" } else { "s" });
    let mut report = Report::new(machine, bench.is_quick);
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
    match &bench.only {
        Some(word) if report.is_empty() => Err(format!("nothing was measured that has `{word}` in its name").into()),
        _ => Ok(()),
    }
}
