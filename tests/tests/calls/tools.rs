//! The same for the program `annals`, when it repairs a store, and when it imports one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use annals::journal::{FjallJournal, FjallOptions, OpenError};
use annals_tests::campaign::strace::{Fault, Points, Trace, strace};
use annals_tests::campaign::{HALF, Image, STORE, seed, summary, work_dir};

use crate::{Images, Said, Truth, at_each, discovered, is_skipped, run, runtime, share};

const EXPORT: &str = "export";
const KEYS: &str = "keys";
/// The row of this group is taken out of a store: what it says can be found elsewhere.
const GROUP: u64 = 3;

/// The program, which a test of the whole workspace builds beside this package's; says aloud if it is missing.
fn annals() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_script")).with_file_name("annals");
    let is_built = program.is_file();
    if !is_built {
        summary("SKIPPED: the program `annals` isn't built: `cargo build -p annals --features cli` does that");
    }
    is_built.then_some(program)
}

/// What the program is to do in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Repair,
    Import,
}

impl Task {
    fn command(self, program: &Path, directory: &Path) -> Command {
        let (mut command, store) = (Command::new(program), directory.join(STORE));
        match self {
            Task::Repair => command.arg("repair").arg(store),
            Task::Import => {
                let [export, keys] = [EXPORT, KEYS].map(|name| directory.join(name));
                command.arg("import").arg(export).arg(store).arg("--keys").arg(keys)
            }
        };
        command
    }

    fn run(self, program: &Path, directory: &Path) -> Said {
        run(&self.command(program, directory), &directory.with_extension("log"))
    }

    /// Whether a directory that a kill has left has what it had, or all of what there is to be.
    fn check_left(self, directory: &Path, image: &Image) -> Result<Left, String> {
        let store = directory.join(STORE);
        let is_there = store.exists();
        if self == Task::Import {
            return Ok(if is_there { Left::Done } else { Left::AsItWas });
        }
        if is_there && is_as_in(image, &store).is_ok() {
            return Ok(Left::AsItWas);
        }
        is_as_in(image, &kept(directory)).map_err(|why| format!("the damaged store is gone: {why}"))?;
        if is_there {
            return Ok(Left::Done);
        }
        // A new one in its place would hide both.
        match FjallJournal::open(&store, FjallOptions::default()) {
            Err(OpenError::RepairInterrupted { .. }) => Ok(Left::InBetween),
            other => Err(format!("the repair had ended in between, and opening the store gives {other:?}")),
        }
    }
}

/// What a kill has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    AsItWas,
    /// The damaged store is moved away, and the new one isn't in its place.
    InBetween,
    Done,
}

/// Where a repair keeps the damaged store.
fn kept(directory: &Path) -> PathBuf {
    directory.join(format!("{STORE}.damaged-1"))
}

/// Whether a store has the files of the one in an image, and their bytes.
fn is_as_in(image: &Image, store: &Path) -> Result<(), String> {
    for file in image.files() {
        // Who holds it is nothing of the store.
        let Some(name) = file.path.strip_prefix(STORE).ok().filter(|name| *name != Path::new("lock")) else { continue };
        let mut expected = file.bytes.clone();
        expected.resize(usize::try_from(file.len).map_err(|error| error.to_string())?, 0);
        match fs::read(store.join(name)) {
            Ok(bytes) if bytes == expected => {}
            Ok(_) => return Err(format!("{} has changed", name.display())),
            Err(error) => return Err(format!("{}: {error}", name.display())),
        }
    }
    Ok(())
}

/// What is left of half-made stores beside the place of the whole one.
fn leftovers(directory: &Path, expected: &[&str]) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| !expected.contains(&name.as_str()));
    Ok(names)
}

/// Meets each call of the program with a kill, looks at what is left, and runs it again.
fn campaign(task: Task, program: &Path, image: &Image, truth: &Truth) {
    let (begin, seed) = (Instant::now(), seed());
    let directory = work_dir().unwrap();
    let directory = directory.path().join("work");
    image.put(&directory).unwrap();
    let command = task.command(program, &directory);
    let Points { points, missed } = discovered(&directory, image, &command, Trace::Changing);
    let all = points.len();
    let points = share(points, seed);
    let name = format!("{task:?}");
    let again = at_each(&name, &points, |directory, point| {
        image.put(directory).map_err(|error| error.to_string())?;
        let (command, log) = (task.command(program, directory), directory.with_extension("strace"));
        let strace = strace(&command, directory, Trace::Changing, Some((point, Fault::Kill)), &log);
        let said = run(&strace, &directory.with_extension("log"));
        if !said.is_killed && !said.is_well {
            return Err(format!("the program fails: {}", said.complaint));
        }
        let left = task.check_left(directory, image)?;
        if !said.is_killed && left != Left::Done {
            return Err(format!("it has ended well, and left {left:?}"));
        }
        // A store that is there isn't imported again, and one that is whole isn't repaired.
        let is_again = left != Left::Done;
        if is_again {
            let said = task.run(program, directory);
            if !said.is_well {
                return Err(format!("{left:?}, and the second time it fails: {}", said.complaint));
            }
        }
        if task == Task::Repair {
            is_as_in(image, &kept(directory)).map_err(|why| format!("the damaged store isn't kept: {why}"))?;
            let said = task.run(program, directory);
            if !said.is_well || kept(directory).with_extension("damaged-2").exists() {
                return Err(format!("what was repaired isn't whole: {:?} {}", said.lines, said.complaint));
            }
        }
        runtime().block_on(truth.check(directory, HALF))?;
        let damaged = format!("{STORE}.damaged-1");
        let left_over = leftovers(directory, &[STORE, EXPORT, KEYS, &damaged]).map_err(|error| error.to_string())?;
        match left_over.is_empty() {
            true => Ok(is_again),
            false => Err(format!("{left:?}, and in the end there is more: {left_over:?}")),
        }
    });
    summary(&format!(
        "{name}: {} of {all} calls met with a kill, after {again} of them it was run again, {missed} others can't be \
         met, in {:.1} s with seed {seed}",
        points.len(),
        begin.elapsed().as_secs_f64()
    ));
    assert!(again > 0, "{name}: nothing was left to be done, so nothing was killed");
}

#[test]
fn a_kill_at_any_call_of_a_repair_leaves_the_store_or_a_repair_to_finish() {
    let (false, Some(program)) = (is_skipped(), annals()) else { return };
    let (truth, images) = (Truth::new(), Images::new());
    let directory = work_dir().unwrap();
    let directory = directory.path().join("damaged");
    images.closed.put(&directory).unwrap();
    take_out_group(&directory.join(STORE));
    let image = Image::take(&directory).unwrap();
    let said = run(&Task::Repair.command(&program, &directory), &directory.with_extension("log"));
    assert!(said.is_well && kept(&directory).exists(), "{:?} {}", said.lines, said.complaint);
    campaign(Task::Repair, &program, &image, &truth);
}

/// Damages a store so that nothing is lost.
fn take_out_group(store: &Path) {
    let database = fjall::Database::builder(store.join("fjall")).open().unwrap();
    let rows = database.keyspace("truth", fjall::KeyspaceCreateOptions::default).unwrap();
    let mut key = [1; 9];
    key[1..].copy_from_slice(&GROUP.to_be_bytes());
    assert!(rows.get(key).unwrap().is_some(), "there is no such group");
    rows.remove(key).unwrap();
    database.persist(fjall::PersistMode::SyncAll).unwrap();
}

#[test]
fn a_kill_at_any_call_of_an_import_leaves_nothing_or_the_whole_store() {
    let (false, Some(program)) = (is_skipped(), annals()) else { return };
    let (truth, images) = (Truth::new(), Images::new());
    let directory = work_dir().unwrap();
    let directory = directory.path().join("exported");
    images.closed.put(&directory).unwrap();
    let [store, export, keys] = [STORE, EXPORT, KEYS].map(|name| directory.join(name));
    let mut command = Command::new(&program);
    command.arg("export").arg(&store).arg(export).arg("--keys").arg(keys);
    let said = run(&command, &directory.with_extension("log"));
    assert!(said.is_well, "{}", said.complaint);
    fs::remove_dir_all(store).unwrap();
    campaign(Task::Import, &program, &Image::take(&directory).unwrap(), &truth);
}
