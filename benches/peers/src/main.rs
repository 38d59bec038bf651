//! The same task on annals and on other crates for event sourcing, in one run. `annals-peers --help` tells how it is asked.

mod on_annals;
mod on_cqrs_es;
mod on_eventcore;
mod on_evento;
mod task;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use lexopt::ValueExt as _;
use serde::Serialize;
use task::{LOADS, Load, Measured, Turns};

const HELP: &str = "\
usage: annals-peers [--seconds <s>] [--runs <n>] [--only <word>] [--json <file>] [--dir <dir>]

Has accounts paid in and out on several systems, and prints how many commands a second each of them answers.

  --seconds <s>  how long each load goes on; default: 5
  --runs <n>     how often each is measured, in turns; default: 3
  --only <word>  only the systems with this word in their names
  --json <file>  write the figures there, too
  --dir <dir>    where to store, in a new directory `annals-peers-..`; default: the temporary directory
";

/// The crates that are measured, and what they store with.
const CRATES: [&str; 11] = [
    "annals",
    "evento",
    "evento-core",
    "evento-fjall",
    "cqrs-es",
    "eventcore",
    "eventcore-memory",
    "eventcore-sqlite",
    "fjall",
    "libsqlite3-sys",
    "tokio",
];

/// Who stores, and what it says of what is stored.
struct System {
    name: &'static str,
    durability: &'static str,
    /// What callers of one account do about each other.
    callers: &'static str,
}

const SYNCED_TOGETHER: &str = "synced before the answer, many at once";
const SYNCED: &str = "synced before the answer";
const WRITTEN: &str = "none: written, not synced";
const IN_MEMORY: &str = "none: in memory";
const QUEUE: &str = "queue";
const REPEAT: &str = "repeat after conflicts";
const TURNS: &str = "take turns";

const SYSTEMS: [System; 10] = [
    System { name: "annals, Fsync", durability: SYNCED_TOGETHER, callers: QUEUE },
    System { name: "evento, fjall, SyncAll", durability: SYNCED, callers: REPEAT },
    System { name: "evento, fjall, SyncAll", durability: SYNCED, callers: TURNS },
    System { name: "evento, fjall, Buffer", durability: WRITTEN, callers: REPEAT },
    System { name: "evento, fjall, Buffer", durability: WRITTEN, callers: TURNS },
    System { name: "cqrs-es, MemStore", durability: IN_MEMORY, callers: TURNS },
    System { name: "eventcore, memory", durability: IN_MEMORY, callers: REPEAT },
    System { name: "eventcore, memory", durability: IN_MEMORY, callers: TURNS },
    System { name: "eventcore, sqlite", durability: SYNCED, callers: REPEAT },
    System { name: "eventcore, sqlite", durability: SYNCED, callers: TURNS },
];

/// What was asked for on the command line.
struct Asked {
    directory: PathBuf,
    json: Option<PathBuf>,
    only: Option<String>,
    runs: usize,
    time: Duration,
    /// A single measurement in a process of its own: which system, which load, and where to write what came of it.
    single: Option<(usize, usize, PathBuf)>,
}

impl Asked {
    /// None if only help was wanted.
    fn read() -> anyhow::Result<Option<Self>> {
        let (mut directory, mut json, mut only, mut single) = (env::temp_dir(), None::<PathBuf>, None::<String>, None);
        let (mut runs, mut seconds) = (3, 5.0);
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(None),
                lexopt::Arg::Long("dir") => directory = arguments.value()?.into(),
                lexopt::Arg::Long("json") => json = Some(arguments.value()?.into()),
                lexopt::Arg::Long("only") => only = Some(arguments.value()?.parse()?),
                lexopt::Arg::Long("runs") => runs = arguments.value()?.parse()?,
                lexopt::Arg::Long("seconds") => seconds = arguments.value()?.parse()?,
                lexopt::Arg::Long("single") => {
                    let (system, load) = (arguments.value()?.parse()?, arguments.value()?.parse()?);
                    single = Some((system, load, arguments.value()?.into()));
                }
                _ => return Err(argument.unexpected().into()),
            }
        }
        ensure!(runs > 0, "--runs: at least one is needed");
        ensure!(seconds > 0.0, "--seconds: it takes some time to measure anything");
        let time = Duration::try_from_secs_f64(seconds).context("--seconds")?;
        let is_known = |word: &String| SYSTEMS.iter().any(|system| system.name.contains(word.as_str()));
        if let Some(word) = only.as_ref().filter(|word| !is_known(word)) {
            bail!("--only: no system has `{word}` in its name");
        }
        if let Some(path) = &json {
            // Now, and not when all is measured. What is there stays until then.
            let opened = fs::OpenOptions::new().append(true).create(true).open(path);
            opened.with_context(|| format!("--json: can't write {}", path.display()))?;
        }
        // What measures one system for another process is told where. Nobody else has a directory of this name.
        let directory = match single {
            Some(_) => directory,
            None => directory.join(format!("annals-peers-{}", std::process::id())),
        };
        Ok(Some(Self { directory, json, only, runs, time, single }))
    }
}

/// All that is told.
#[derive(Serialize)]
struct Report {
    cores: usize,
    seconds: f64,
    runs: usize,
    versions: Vec<String>,
    rows: Vec<Row>,
}

/// What is known of one system under one load.
#[derive(Serialize)]
struct Row {
    load: &'static str,
    system: &'static str,
    durability: &'static str,
    callers: &'static str,
    /// Commands that were stored and answered in a second: the median, the least and the most of the runs.
    rate: f64,
    least: f64,
    most: f64,
    /// Of the run with the median.
    measured: Measured,
}

fn main() -> anyhow::Result<()> {
    let Some(asked) = Asked::read()? else {
        print!("{HELP}");
        return Ok(());
    };
    if let Some((system, load, path)) = &asked.single {
        return single(&asked, *system, &LOADS[*load], path);
    }
    let versions = versions()?;
    let cores = std::thread::available_parallelism()?.get();
    println!("{cores} cores, {} s, {} runs; {}", asked.time.as_secs_f64(), asked.runs, versions.join(", "));
    let mut report = Report { cores, seconds: asked.time.as_secs_f64(), runs: asked.runs, versions, rows: Vec::new() };
    for (number, load) in LOADS.iter().enumerate() {
        println!("\n== {}, {} callers each", load.name, load.callers);
        for row in measure(&asked, number)? {
            println!("{}", row.shown());
            report.rows.push(row);
        }
    }
    if let Some(path) = &asked.json {
        fs::write(path, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    Ok(())
}

/// All systems in turns, as often as is asked.
fn measure(asked: &Asked, load: usize) -> anyhow::Result<Vec<Row>> {
    let is_wanted = |system: &System| asked.only.as_ref().is_none_or(|word| system.name.contains(word.as_str()));
    let mut measured: [Vec<Measured>; SYSTEMS.len()] = Default::default();
    for _ in 0..asked.runs {
        for (number, system) in SYSTEMS.iter().enumerate() {
            if is_wanted(system) {
                measured[number].push(in_process(asked, number, load).context(system.name)?);
            }
        }
    }
    let rows = SYSTEMS.iter().zip(measured).filter_map(|(system, mut runs)| {
        runs.sort_by(|one, other| one.rate.total_cmp(&other.rate));
        let (least, most) = (runs.first()?.rate, runs.last()?.rate);
        // Of two in the middle, the slower one.
        let measured = runs.swap_remove((runs.len() - 1) / 2);
        let System { name, durability, callers } = *system;
        Some(Row {
            load: LOADS[load].name,
            system: name,
            durability,
            callers,
            rate: measured.rate,
            least,
            most,
            measured,
        })
    });
    Ok(rows.collect())
}

/// In a process of its own, so that nobody inherits threads, memory or what is printed.
fn in_process(asked: &Asked, system: usize, load: usize) -> anyhow::Result<Measured> {
    let (directory, parent) = (&asked.directory, asked.directory.parent().context("it was joined")?);
    fs::create_dir_all(parent).with_context(|| format!("can't make {}", parent.display()))?;
    fs::create_dir(directory).with_context(|| format!("can't make {}", directory.display()))?;
    let path = asked.directory.join("measured.json");
    let mut command = Command::new(env::current_exe()?);
    command.arg("--dir").arg(directory);
    command.args(["--seconds", &asked.time.as_secs_f64().to_string()]);
    command.args(["--single", &system.to_string(), &load.to_string()]).arg(&path);
    // The store in memory of cqrs-es prints a line at each reading and writing.
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{status}");
    let measured = serde_json::from_slice(&fs::read(&path)?)?;
    fs::remove_dir_all(&asked.directory)?;
    Ok(measured)
}

fn single(asked: &Asked, system: usize, load: &Load, path: &Path) -> anyhow::Result<()> {
    let Some(System { name, callers, .. }) = SYSTEMS.get(system) else { bail!("there is no system {system}") };
    let (store, time) = (asked.directory.join("store"), asked.time);
    let runtime = tokio::runtime::Runtime::new()?;
    let measured = runtime.block_on(async {
        let accounts = load.accounts;
        match (*name, *callers) {
            ("annals, Fsync", _) => {
                let bank = on_annals::Accounts::open(&store, accounts).await?;
                let measured = task::measure(bank.clone(), load, time).await?;
                bank.close().await?;
                Ok(measured)
            }
            ("evento, fjall, SyncAll", REPEAT) => {
                task::measure(on_evento::Accounts::open(&store, true, accounts)?, load, time).await
            }
            ("evento, fjall, SyncAll", _) => {
                let bank = on_evento::Accounts::open(&store, true, accounts)?;
                task::measure(Turns::new(bank, accounts), load, time).await
            }
            ("evento, fjall, Buffer", REPEAT) => {
                task::measure(on_evento::Accounts::open(&store, false, accounts)?, load, time).await
            }
            ("evento, fjall, Buffer", _) => {
                let bank = on_evento::Accounts::open(&store, false, accounts)?;
                task::measure(Turns::new(bank, accounts), load, time).await
            }
            ("cqrs-es, MemStore", _) => {
                task::measure(Turns::new(on_cqrs_es::Accounts::new(), accounts), load, time).await
            }
            ("eventcore, memory", REPEAT) => task::measure(on_eventcore::in_memory(), load, time).await,
            ("eventcore, memory", _) => {
                task::measure(Turns::new(on_eventcore::in_memory(), accounts), load, time).await
            }
            ("eventcore, sqlite", REPEAT) => task::measure(on_eventcore::on_sqlite(&store).await?, load, time).await,
            ("eventcore, sqlite", _) => {
                task::measure(Turns::new(on_eventcore::on_sqlite(&store).await?, accounts), load, time).await
            }
            _ => bail!("nobody knows how to measure {name}"),
        }
    })?;
    Ok(fs::write(path, serde_json::to_string(&measured)?)?)
}

/// The versions that this program was built with.
fn versions() -> anyhow::Result<Vec<String>> {
    let mut lines = include_str!("../Cargo.lock").lines();
    let mut versions = Vec::new();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("name = \"").and_then(|rest| rest.strip_suffix('"')) else { continue };
        let version = lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
        if CRATES.contains(&name) {
            versions.push(format!("{name} {}", version.context("a package without a version")?));
        }
    }
    Ok(versions)
}

impl Row {
    fn shown(&self) -> String {
        let Measured { p50_micros, p99_micros, longest_micros, .. } = self.measured;
        format!(
            "{:<24} {:<24} {:<40} {:>9.0}/s ({:.0} to {:.0}); p50 {p50_micros} us, p99 {p99_micros} us, longest {longest_micros} us",
            self.system, self.callers, self.durability, self.rate, self.least, self.most,
        )
    }
}
