//! The program `annals`, as it is run from a shell: what it says, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod damage;
mod moving;
mod refusals;
mod repairing;
mod telling;

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use annals::journal::{
    Due, Durability, EventRecord, FjallJournal, FjallOptions, Journal, Outcome, Record, RunBuilder, Write as Written,
};
use annals::{Codec, PersistenceId, SeqNr, Timestamp};
use serde_json::Value;
use tempfile::TempDir;

/// What a run of the program came to.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    /// Each line as JSON.
    fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A directory with a store in it, in which the program is run.
struct Place {
    dir: TempDir,
}

impl Place {
    fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A copy of the store that the first version wrote, as `store`.
    fn golden() -> Self {
        let this = Self::empty();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/golden/0.1.0/store");
        copy(&fixture, &this.path("store"));
        this
    }

    /// A store with many groups, as `store`: in many blocks of the engine's tables.
    fn written(groups: u64) -> Self {
        let this = Self::empty();
        write(&this.path("store"), 0..groups);
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        let output = self.command().args(args).output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs it with something at its standard input.
    fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .command()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may have enough before the end.
        let _result = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs it, and expects that it ends well.
    fn fine(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran
    }

    /// What is in the directory.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// The aggregate and the names of the streams in a store with many groups.
const AGGREGATE: &str = "counter";
const NAMES: [&str; 5] = ["alice", "bob", "carol", "dan", "eve"];

/// Appends groups of two runs of two records.
fn write(path: &Path, groups: Range<u64>) {
    let journal = FjallJournal::open(path, FjallOptions::new().durability(Durability::Os)).unwrap();
    block_on(async {
        for group in groups {
            let mut runs = Vec::new();
            for step in 0..2 {
                let name = NAMES[usize::try_from((group + step * 2) % 5).unwrap()];
                let id = PersistenceId::new(AGGREGATE, name);
                let head = journal.open_stream(&id).await.unwrap();
                let payload = format!("{{\"group\":{group},\"filled\":\"{}\"}}", "x".repeat(200));
                let event = Record::Event(EventRecord {
                    name: "counted",
                    version: 1,
                    codec: Codec::Json,
                    payload: payload.as_bytes(),
                });
                let time = Timestamp::from_second(1_767_225_600 + i64::try_from(group).unwrap()).unwrap();
                let mut run = RunBuilder::new(head.stream, id, head.last.next());
                run.push_write(&Written::at(time), Due::Unchanged, [event, event].into_iter());
                runs.push(run.seal(&journal.facts(), group * 2 + step));
            }
            let streams: Vec<_> = runs.iter().map(|run| run.stream).collect();
            let stored = journal.append(runs).await;
            assert!(stored.iter().all(|outcome| matches!(outcome, Outcome::Stored(_))), "{stored:?}");
            for stream in streams {
                journal.close_stream(stream);
            }
        }
        journal.close().await.unwrap();
    });
}

/// The sequence numbers of a stream that can be read through the journal.
fn seq_nrs(path: &Path, name: &str) -> Vec<u64> {
    let journal = FjallJournal::open(path, FjallOptions::new()).unwrap();
    block_on(async {
        let head = journal.open_stream(&PersistenceId::new(AGGREGATE, name)).await.unwrap();
        let page = journal.read(head.stream, SeqNr(1), head.last, usize::MAX).await.unwrap();
        let mut found = Vec::new();
        for run in &page.runs {
            let view = annals::journal::RunView::parse(&run.bytes, journal.facts().store).unwrap();
            found.extend((view.first().0..=view.last().0).filter(|seq_nr| *seq_nr > run.floor.0));
        }
        journal.close().await.unwrap();
        found
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Copies a directory.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            // Its bytes alone: a store in the repository may be read-only.
            fs::write(target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// All files in a directory with their bytes.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

/// Flips one bit of a file.
fn flip(path: &Path, index: usize, bit: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[index] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}
