//! Meets every system call that changes a store, or tells of it, with a kill, and those that read it with errors.
//!
//! Needs strace, and says so where it is missing. Each campaign takes every call once; `ANNALS_POINTS` is how many of each
//! it takes at the most, spread evenly and beginning with one that is drawn. `ANNALS_SEED` repeats that.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails panics, and tells its seed")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use annals::SeqNr;
use annals::journal::{FjallJournal, FjallOptions, Journal as _};
use annals::snapshot::{DirSnapshots, SnapshotStore};
use annals_tests::campaign::strace::{Fault, Point, Points, Trace, is_there, points, strace};
use annals_tests::campaign::{
    FILES, HALF, Image, Random, STEPS, STORE, Script, ids, is_deleted_later, opened, seed, setting, work_dir,
};
use tokio::runtime::Runtime;

/// Nothing takes so long but what hangs.
const SECONDS_MAX: &str = "120";
const TELLS_MAX: usize = 12;
/// So many steps are made again behind a kill.
const AGAIN: usize = 4;

/// What the script comes to without any fault.
struct Truth {
    /// Before each step, and at the end.
    states: Vec<String>,
    answers: Vec<String>,
    /// The last record of each stream, and whether it has ended.
    heads: Vec<(SeqNr, bool)>,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn open(directory: &Path) -> Result<Script, String> {
    let journal = FjallJournal::open(directory.join(STORE), FjallOptions::default());
    let journal = journal.map_err(|error| format!("it doesn't open unaided: {error}"))?;
    Script::start(journal, files(directory).as_deref()).map_err(|error| format!("the system doesn't start: {error}"))
}

/// The directory of the snapshots, if they are files.
fn files(directory: &Path) -> Option<PathBuf> {
    let files = directory.join(FILES);
    files.is_dir().then_some(files)
}

async fn heads(directory: &Path) -> Result<Vec<(SeqNr, bool)>, String> {
    let files = files(directory).map(|files| DirSnapshots::open(files).unwrap());
    let files = files.as_ref().map(|files| {
        let files: &dyn SnapshotStore = files;
        files
    });
    let read = opened(&directory.join(STORE), files, FjallOptions::default()).await;
    let (journal, contents) = read.map_err(|trouble| format!("it can't be read: {trouble:?}"))?;
    journal.close().await.map_err(|error| error.to_string())?;
    Ok(contents.heads().into_iter().map(|head| (head.last, head.ended)).collect())
}

impl Truth {
    fn new() -> Self {
        runtime().block_on(async {
            let directory = work_dir().unwrap();
            let script = open(directory.path()).unwrap();
            let (mut states, mut answers) = (Vec::new(), Vec::new());
            for step in 0..STEPS {
                states.push(script.state().await.unwrap());
                answers.push(script.step(step).await.unwrap());
            }
            states.push(script.state().await.unwrap());
            script.close().await.unwrap();
            let end = states.last().unwrap();
            let expected = "alice 8\nbob 4\nearly deleted\nlate deleted\nkept [\"note 2\", \"note 17\", \"note 30\"]\n\
                            left deleted\ngone deleted\nflat Held 2\nhouse Held 0\njar 14\n";
            assert_eq!(end, expected, "this is what the script comes to");
            Self { states, answers, heads: heads(directory.path()).await.unwrap() }
        })
    }

    /// Checks a store of which so many steps were acknowledged, and goes on with it to the end.
    async fn check(&self, directory: &Path, told: usize) -> Result<(), String> {
        // Without a gap, and to be read as a whole.
        heads(directory).await?;
        let script = open(directory)?;
        let state = script.state().await.map_err(|error| error.to_string())?;
        let next = (told + 1).min(STEPS);
        if state != self.states[told] && state != self.states[next] {
            let (before, behind) = (&self.states[told], &self.states[next]);
            return Err(format!("{told} steps were told, and it says {state} instead of {before} or {behind}"));
        }
        for step in told.saturating_sub(AGAIN)..STEPS {
            let answer = script.step(step).await.map_err(|error| format!("step {step}: {error}"))?;
            let expected = &self.answers[step];
            if answer != *expected && !(answer == "deleted" && is_deleted_later(step)) {
                return Err(format!("step {step} is answered {answer}, and not {expected} as at first"));
            }
        }
        let state = script.state().await.map_err(|error| error.to_string())?;
        script.close().await.map_err(|error| error.to_string())?;
        let end = &self.states[STEPS];
        if state != *end {
            return Err(format!("in the end it says {state} instead of {end}"));
        }
        let heads = heads(directory).await?;
        for ((id, found), expected) in ids().iter().zip(&heads).zip(&self.heads) {
            if found != expected {
                return Err(format!("{id} has {found:?} in the end, and not {expected:?}: something is stored twice"));
            }
        }
        Ok(())
    }
}

/// What a program said, and how it ended.
struct Said {
    lines: Vec<String>,
    is_killed: bool,
    is_well: bool,
    complaint: String,
}

impl Said {
    /// How many steps it has told.
    fn steps(&self) -> usize {
        self.lines.iter().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())).count()
    }
}

/// Runs a program to its end.
fn run(program: &Command, complaints: &Path) -> Said {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", SECONDS_MAX]).arg(program.get_program()).args(program.get_args());
    let mut child = command
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::piped())
        .stderr(fs::File::create(complaints).unwrap())
        .spawn()
        .unwrap();
    let mut lines = Vec::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    // A line that isn't whole was not told.
    while output.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
        lines.push(line.trim_end().to_owned());
        line.clear();
    }
    let ended = child.wait().unwrap();
    let complaint = fs::read_to_string(complaints).unwrap();
    // strace ends as its program did.
    let is_killed = std::os::unix::process::ExitStatusExt::signal(&ended) == Some(9) || ended.code() == Some(137);
    Said { lines, is_killed, is_well: ended.success(), complaint }
}

/// The script, on the store in a directory.
fn script(directory: &Path, from: usize, to: usize, rest: &[&str]) -> Command {
    let mut script = Command::new(env!("CARGO_BIN_EXE_script"));
    script.arg(directory.join(STORE));
    script.arg(files(directory).unwrap_or_else(|| "-".into()));
    script.args([from, to].map(|step| step.to_string())).args(rest);
    script
}

/// An image that a process has left that was killed behind a step.
fn killed_behind(directory: &Path, step: usize) -> Image {
    let mut child = script(directory, 0, step, &["stay"]).stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(output.map(Result::unwrap).any(|line| line == "done"), "the script failed");
    child.kill().unwrap();
    child.wait().unwrap();
    Image::take(directory).unwrap()
}

/// Says aloud that nothing is shown here.
fn is_skipped() -> bool {
    let is_skipped = !is_there();
    if is_skipped {
        println!("SKIPPED: strace is missing, or may not trace here: no system call was met with a fault");
    }
    is_skipped
}

/// A part of the script on an image, whose calls are met with kills.
struct Phase<'a> {
    name: &'a str,
    image: Image,
    from: usize,
    /// Which of the calls.
    only: fn(&Point) -> bool,
    /// How often the program is killed at the same place before its store is looked at.
    times: usize,
}

/// The calls of a program on an image.
fn discovered(directory: &Path, image: &Image, program: &Command, trace: Trace) -> Points {
    let log = directory.with_extension("strace");
    image.put(directory).unwrap();
    let said = run(&strace(program, directory, trace, None, &log), &directory.with_extension("log"));
    assert!(said.is_well, "the program fails without a fault: {}", said.complaint);
    points(&log, directory, trace).unwrap()
}

/// The share of the points that a run takes.
fn share(points: Vec<Point>, seed: u64) -> Vec<Point> {
    let (all, max) = (points.len(), usize::try_from(setting("ANNALS_POINTS", 60)).unwrap());
    let step = all.div_ceil(max.max(1)).max(1);
    let first = usize::try_from(Random::new(seed).below(u64::try_from(step).unwrap())).unwrap();
    points.into_iter().skip(first).step_by(step).collect()
}

/// Does something at each of the points, on both cores, each in a directory of its own; says how often it said `true`.
fn at_each<T: Sync>(name: &str, points: &[T], act: impl Fn(&Path, &T) -> Result<bool, String> + Sync) -> usize
where
    T: std::fmt::Display,
{
    let (next, met, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |cores| cores.get().min(4)) {
            scope.spawn(|| {
                let directory = work_dir().unwrap();
                let directory = directory.path().join("work");
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match act(&directory, point) {
                        Ok(is_met) => met.fetch_add(usize::from(is_met), Ordering::Relaxed),
                        Err(why) => {
                            failures.lock().unwrap().push(format!("at {point}: {why}"));
                            0
                        }
                    };
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let told = failures[..failures.len().min(TELLS_MAX)].join("\n");
    assert!(failures.is_empty(), "{name}: {} points fail:\n{told}", failures.len());
    met.into_inner()
}

impl Phase<'_> {
    fn run(&self, truth: &Truth, seed: u64) {
        let begin = Instant::now();
        let directory = work_dir().unwrap();
        let directory = directory.path().join("work");
        let program = |directory: &Path| script(directory, self.from, STEPS, &[]);
        // What the program is started with is to see the directory.
        self.image.put(&directory).unwrap();
        let Points { points, missed } = discovered(&directory, &self.image, &program(&directory), Trace::Changing);
        let points: Vec<_> = points.into_iter().filter(self.only).collect();
        let all = points.len();
        let points = share(points, seed);
        let met = at_each(self.name, &points, |directory, point| {
            self.image.put(directory).map_err(|error| error.to_string())?;
            let (mut told, mut is_met) = (self.from, false);
            for _ in 0..self.times {
                let program = script(directory, told, STEPS, &[]);
                let log = directory.with_extension("strace");
                let strace = strace(&program, directory, Trace::Changing, Some((point, Fault::Kill)), &log);
                let said = run(&strace, &directory.with_extension("log"));
                if !said.is_killed && !said.is_well {
                    return Err(format!("the program fails: {}", said.complaint));
                }
                is_met |= said.is_killed;
                told += said.steps();
            }
            runtime().block_on(truth.check(directory, told)).map(|()| is_met)
        });
        println!(
            "{}: {} of {all} calls met with {} kills, {met} of them reached, {missed} others can't be met, in {:.1} s \
             with seed {seed}",
            self.name,
            points.len(),
            self.times,
            begin.elapsed().as_secs_f64()
        );
        assert!(met * 10 >= points.len() * 9, "{}: only {met} of {} were reached", self.name, points.len());
    }
}

#[test]
fn a_kill_at_any_call_loses_nothing_that_was_told() {
    if is_skipped() {
        return;
    }
    let (truth, seed) = (Truth::new(), seed());
    let directory = work_dir().unwrap();
    let at = |name: &str| {
        let at = directory.path().join(name);
        fs::create_dir(&at).unwrap();
        at
    };
    let empty = Image::take(&at("empty")).unwrap();
    let as_files = at("files");
    fs::create_dir(as_files.join(FILES)).unwrap();
    let as_files = Image::take(&as_files).unwrap();
    let closed = at("closed");
    assert!(run(&script(&closed, 0, HALF, &[]), &closed.with_extension("log")).is_well);
    let closed = Image::take(&closed).unwrap();
    let killed = killed_behind(&at("killed"), HALF);
    let all = |_: &Point| true;
    let opening = |point: &Point| point.lines == 0;
    let files = |point: &Point| point.path.starts_with(FILES);
    let phases = [
        Phase { name: "from nothing to closed", image: empty, from: 0, only: all, times: 1 },
        Phase { name: "opened after it was closed", image: closed, from: HALF, only: all, times: 1 },
        Phase { name: "opened after a kill", image: killed.clone(), from: HALF, only: all, times: 1 },
        Phase { name: "killed again and again while it opens", image: killed, from: HALF, only: opening, times: 3 },
        Phase { name: "snapshots as files", image: as_files, from: 0, only: files, times: 1 },
    ];
    for phase in phases {
        phase.run(&truth, seed);
    }
}
