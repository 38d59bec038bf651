//! What each command does.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use annals::journal::{ExportKeys, ImportKeys, RepairOptions, Repaired, StoreDir, StoreError};
use annals::{Offset, PersistenceId, SeqNr};

use crate::args::{Args, HELP, KeysChoice, USAGE};
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
        Args::Export { store, file, keys } => export(&store, file.as_deref(), &keys),
        Args::ExportJson { store, file } => export_json(&store, file.as_deref()),
        Args::Import { file, store, keys } => import(&file, &store, &keys),
        Args::Repair { store, dry_run, accept_data_loss, head, json } => {
            repair(&store, &RepairOptions { dry_run, accept_data_loss, head }, json)
        }
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

fn export(path: &Path, file: Option<&Path>, keys: &KeysChoice) -> Result<End, Failure> {
    let mut store = StoreDir::open(path)?;
    let mut bar = Bar::new();
    let mut keys_file = match keys {
        KeysChoice::File(path) => Some(NewFile::create(path, true)?),
        KeysChoice::Unsaid | KeysChoice::Without => None,
    };
    let keys = match (&mut keys_file, keys) {
        (Some(file), _) => ExportKeys::To(&mut file.out),
        (None, KeysChoice::Without) => ExportKeys::Without,
        (None, _) => ExportKeys::Unsaid,
    };
    let mut tell = |progress| bar.tell(progress);
    match file {
        Some(file) => {
            let mut file = NewFile::create(file, false)?;
            store.export(&mut file.out, keys, &mut tell)?;
            file.finish()?;
        }
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            store.export(&mut out, keys, &mut tell)?;
            out.flush()?;
        }
    }
    if let Some(file) = keys_file {
        file.finish()?;
    }
    Ok(End::Fine)
}

fn export_json(path: &Path, file: Option<&Path>) -> Result<End, Failure> {
    let mut store = StoreDir::open(path)?;
    match file {
        Some(file) => {
            let mut file = NewFile::create(file, true)?;
            write_records(&mut store, &mut file.out)?;
            file.finish()?;
        }
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            write_records(&mut store, &mut out)?;
            out.flush()?;
        }
    }
    Ok(End::Fine)
}

fn write_records(store: &mut StoreDir, out: &mut dyn Write) -> Result<(), Failure> {
    let mut bar = Bar::new();
    let mut written = Ok(());
    store.all_records(Offset(1), &mut |progress| bar.tell(progress), &mut |found| {
        written = writeln!(out, "{}", json::record(found, true));
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(written?)
}

fn import(file: &Path, path: &Path, keys: &KeysChoice) -> Result<End, Failure> {
    let mut bar = Bar::new();
    let open = |path: &Path| File::open(path).map_err(|error| file_error(path, "can't be read", &error));
    let mut keys_file = match keys {
        KeysChoice::File(path) => Some(open(path)?),
        KeysChoice::Unsaid | KeysChoice::Without => None,
    };
    let keys = match (&mut keys_file, keys) {
        (Some(file), _) => ImportKeys::From(file),
        (None, KeysChoice::Without) => ImportKeys::Without,
        (None, _) => ImportKeys::Unsaid,
    };
    let mut input: Box<dyn Read> =
        if file == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(open(file)?) };
    let moved = StoreDir::import(&mut BufReader::new(&mut input), path, keys, &mut |progress| bar.tell(progress))?;
    drop(bar);
    print(&format!("{} holds {} rows and {} snapshots\n", told::path(path), moved.rows, moved.snapshots))?;
    if moved.forgotten > 0 {
        print(&format!("{} streams are forgotten, since their keys weren't taken\n", moved.forgotten))?;
    }
    Ok(End::Fine)
}

fn file_error(path: &Path, what: &str, error: &io::Error) -> Failure {
    Failure::File(format!("`{}` {what}: {error}", path.display()))
}

/// A file that is there under its name only when all of it is.
struct NewFile {
    out: BufWriter<File>,
    path: PathBuf,
    temporary: PathBuf,
    is_done: bool,
}

impl NewFile {
    /// Makes a file where there is none; a private one is only its owner's to read.
    fn create(path: &Path, private: bool) -> Result<Self, Failure> {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::File(format!("`{}` is there already, and isn't written over", path.display())));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".tmp-{}", std::process::id()));
        let temporary = path.with_file_name(name);
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if private {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        #[cfg(not(unix))]
        let _ = private;
        let file = options.open(&temporary).map_err(|error| file_error(&temporary, "can't be made", &error))?;
        Ok(Self { out: BufWriter::new(file), path: path.to_owned(), temporary, is_done: false })
    }

    /// Syncs the file and gives it its name.
    fn finish(mut self) -> Result<(), Failure> {
        let mut finish = || {
            self.out.flush()?;
            self.out.get_ref().sync_all()?;
            fs::rename(&self.temporary, &self.path)
        };
        finish().map_err(|error| file_error(&self.path, "can't be written", &error))?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_done {
            // It is half of a file: nobody can use it.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn repair(path: &Path, options: &RepairOptions, as_json: bool) -> Result<End, Failure> {
    if let Some(damaged) = StoreDir::finish_repair(path)? {
        let (path, damaged) = (told::path(path), told::path(&damaged));
        print(&format!(
            "a repair had ended in between: the new store is at {path} now, the damaged one is kept at {damaged}\n"
        ))?;
        return Ok(End::Fine);
    }
    let mut bar = Bar::new();
    let repair = StoreDir::open(path)?.repair(options, &mut |progress| bar.tell(progress))?;
    drop(bar);
    if as_json {
        print(&format!("{}\n", json::repair(&repair)))?;
    } else {
        print(&told::repair(path, &repair))?;
    }
    Ok(match repair.outcome {
        Repaired::Whole | Repaired::Done { .. } => End::Fine,
        _ => End::Damaged,
    })
}
