//! What each command does.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

use annals::journal::{StoreDir, StoreError};
use annals::{PersistenceId, SeqNr};

use crate::args::{Args, HELP, USAGE};
use crate::progress::Bar;
use crate::{End, Failure, json, told};

pub(crate) fn obey(args: Args) -> Result<End, Failure> {
    match args {
        Args::Help => {
            print(&format!("{USAGE}\n{HELP}"))?;
            Ok(End::Fine)
        }
        Args::Verify { store, json } => verify(&store, json),
        Args::List { store, aggregate, after, limit, json } => {
            list(&store, aggregate.as_deref(), after.as_ref(), limit, json)
        }
        Args::Show { store, id, from, to } => show(&store, &id, from, to),
        Args::Stats { store, json } => stats(&store, json),
        _ => Err(Failure::File("this command isn't there yet".into())),
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn verify(path: &Path, as_json: bool) -> Result<End, Failure> {
    let mut store = StoreDir::open(path)?;
    let mut bar = Bar::new();
    let report = store.verify(&mut |progress| bar.tell(progress))?;
    drop(bar);
    if as_json {
        print(&format!("{}\n", json::report(&report)))?;
    } else {
        print(&told::report(path, &report))?;
    }
    Ok(if report.is_whole() { End::Fine } else { End::Damaged })
}

fn list(
    path: &Path,
    aggregate: Option<&str>,
    after: Option<&PersistenceId>,
    limit: Option<u64>,
    as_json: bool,
) -> Result<End, Failure> {
    let mut store = StoreDir::open(path)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut end = End::Fine;
    let streams = store.streams(aggregate, after)?;
    for (info, _) in streams.zip(0..limit.unwrap_or(u64::MAX)) {
        match info {
            Ok(info) if as_json => writeln!(out, "{}", json::stream(&info))?,
            Ok(info) => out.write_all(told::stream(&info).as_bytes())?,
            Err(error) => {
                out.flush()?;
                let error = StoreError::from(error);
                if !error.is_damage() {
                    return Err(error.into());
                }
                writeln!(io::stderr().lock(), "annals: {}", told::escaped(&error.to_string()))?;
                end = End::Damaged;
            }
        }
    }
    out.flush()?;
    Ok(end)
}

fn show(path: &Path, id: &PersistenceId, from: SeqNr, to: SeqNr) -> Result<End, Failure> {
    let mut store = StoreDir::open(path)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let read = store.records(id, from, to, &mut |found| {
        written = writeln!(out, "{}", json::record(found, false));
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    written?;
    out.flush()?;
    read?;
    Ok(End::Fine)
}

fn stats(path: &Path, as_json: bool) -> Result<End, Failure> {
    let mut store = StoreDir::open(path)?;
    let mut bar = Bar::new();
    let stats = store.stats(&mut |progress| bar.tell(progress))?;
    drop(bar);
    if as_json {
        print(&format!("{}\n", json::stats(&stats)))?;
    } else {
        print(&told::stats(path, &stats))?;
    }
    Ok(End::Fine)
}
