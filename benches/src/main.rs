//! What annals costs, beside its limits in the same run: `annals-bench [--quick] [--dir <dir>] [--runs <n>] [--only <word>]`.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod commands;
mod cpu;
mod figures;
mod limits;
mod notebook;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use commands::{Load, Manner};
use lexopt::ValueExt as _;
use figures::Runs;

type Outcome<T> = Result<T, Box<dyn Error>>;

const LOADS: [Load; 7] = [
    Load { name: "1 entity, 1 caller", entities: 1, callers: 1, manner: Manner::Ask },
    Load { name: "1 entity, 64 callers", entities: 1, callers: 64, manner: Manner::Ask },
    Load { name: "1 entity, 1000 callers", entities: 1, callers: 1_000, manner: Manner::Ask },
    Load { name: "1000 entities x 10 callers", entities: 1_000, callers: 10, manner: Manner::Ask },
    Load { name: "100000 entities x 1 caller", entities: 100_000, callers: 1, manner: Manner::Ask },
    Load { name: "zipf over 1000000 entities", entities: 1_000_000, callers: 10_000, manner: Manner::Zipf },
    Load { name: "1000 entities, sent without a reply", entities: 1_000, callers: 1, manner: Manner::Tell },
];

struct Settings {
    directory: PathBuf,
    runs: usize,
    time: Duration,
    only: Option<String>,
}

impl Settings {
    fn read() -> Outcome<Self> {
        let mut settings = Self {
            directory: std::env::temp_dir().join("annals-bench"),
            runs: 3,
            time: Duration::from_secs(5),
            only: None,
        };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                lexopt::Arg::Long("quick") => (settings.runs, settings.time) = (1, Duration::from_secs(1)),
                lexopt::Arg::Long("dir") => settings.directory = arguments.value()?.into(),
                lexopt::Arg::Long("runs") => settings.runs = arguments.value()?.parse::<usize>()?,
                lexopt::Arg::Long("seconds") => {
                    settings.time = Duration::from_secs(arguments.value()?.parse::<u64>()?);
                }
                lexopt::Arg::Long("only") => settings.only = Some(arguments.value()?.parse::<String>()?),
                _ => return Err(argument.unexpected().into()),
            }
        }
        Ok(settings)
    }
}

fn main() -> Outcome<()> {
    let Settings { directory, runs, time, only } = Settings::read()?;
    fs::create_dir_all(&directory)?;
    let (mut plain, mut rows) = (Runs::default(), Runs::default());
    for _ in 0..runs {
        plain.push(limits::plain_file(&directory, 200, time)?.rate());
        rows.push(limits::engine(&directory, 1, 200, time)?.rate());
    }
    println!("plain append, 200 per sync        {:>10.0}/s ({:.0} to {:.0})", plain.median(), plain.least(), plain.most());
    println!("fjall, one row per event, 200     {:>10.0}/s ({:.0} to {:.0})", rows.median(), rows.least(), rows.most());
    let large = limits::plain_file(&directory, 5_000, time)?.rate();
    let packed = limits::engine(&directory, 10, 1_000, time)?.rate();
    let single = limits::single_appends(&directory, time)?;
    println!("plain append, 5000 per sync       {large:>10.0}/s");
    println!("fjall, 10 events per row, 1000    {packed:>10.0}/s");
    println!("single append + fdatasync         p50 {:.0} us, p99 {:.0} us", single.micros_at(0.5), single.micros_at(0.99));
    for load in &LOADS {
        if only.as_ref().is_some_and(|only| !load.name.contains(only.as_str())) {
            continue;
        }
        let mut rates = Runs::default();
        let mut last = None;
        for _ in 0..runs {
            let measured = commands::measure(&directory, load, time)?;
            rates.push(measured.rate());
            last = Some(measured);
        }
        let Some(last) = last else { continue };
        println!(
            "{:<36} {:>10.0}/s ({:.0} to {:.0}), {:.2} x fjall, {:.2} x plain; p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us, longest {:.0} us",
            load.name,
            rates.median(),
            rates.least(),
            rates.most(),
            rates.median() / rows.median(),
            rates.median() / plain.median(),
            last.latencies.micros_at(0.5),
            last.latencies.micros_at(0.99),
            last.latencies.micros_at(0.999),
            last.longest.as_secs_f64() * 1e6,
        );
        for (name, time) in &last.cpu {
            println!("    {name:<20} {:.3} us per command", time.as_secs_f64() * 1e6 / figures::float(last.commands));
        }
    }
    Ok(())
}
