//! Meets every system call that changes a store, or tells of it, with a kill, and those that read it with errors.
//!
//! Needs strace, and says so where it is missing. Each campaign takes every call once; `ANNALS_POINTS` is how many of each
//! it takes at the most, spread evenly and beginning with one that is drawn. `ANNALS_SEED` repeats that.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails panics, and tells its seed")]

mod power;
mod tools;

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
    FILES, HALF, Image, Random, STEPS, STORE, Script, ids, is_deleted_later, opened, seed, setting, summary, work_dir,
};
use tokio::runtime::Runtime;

/// Nothing takes so long but what hangs.
const SECONDS_MAX: &str = "400";
const TELLS_MAX: usize = 12;
/// So many calls of each part if nothing else is said.
const POINTS: u64 = 20;
/// So many kills a store has behind it that is called killed: the engine merges its tables in level 0 from so many on.
const KILLS: usize = 8;
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
    let (journal, contents) = read.map_err(|trouble| format!("it can't be read: {trouble}"))?;
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
    /// Its own panic, and not one of the engine's that it has caught.
    is_panic: bool,
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
    let is_own = |line: &str| line.contains("panicked at") && !line.contains("/lsm-tree-") && !line.contains("/fjall-");
    let is_panic = matches!(ended.code(), Some(101 | 134)) || complaint.lines().any(is_own);
    Said { lines, is_killed, is_well: ended.success(), is_panic, complaint }
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
    killed_between(directory, 0, step)
}

fn killed_between(directory: &Path, from: usize, to: usize) -> Image {
    let mut child = script(directory, from, to, &["stay"]).stdout(Stdio::piped()).spawn().unwrap();
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
        summary("SKIPPED: strace is missing, or may not trace here: no system call was met with a fault");
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

/// The stores that the campaigns begin with.
struct Images {
    empty: Image,
    closed: Image,
    /// Closed, with snapshots as files.
    files: Image,
    killed: Image,
}

impl Images {
    fn new() -> Self {
        let directory = work_dir().unwrap();
        let at = |name: &str| {
            let at = directory.path().join(name);
            fs::create_dir(&at).unwrap();
            at
        };
        let (empty, closed, files) = (at("empty"), at("closed"), at("files"));
        fs::create_dir(files.join(FILES)).unwrap();
        for closed in [&closed, &files] {
            // With tables and with rows that are in none.
            killed_behind(closed, HALF / 2);
            let said = run(&script(closed, HALF / 2, HALF, &[]), &closed.with_extension("log"));
            assert!(said.is_well, "{}", said.complaint);
        }
        // Each opening after a kill makes a table: the next one makes so many that they are merged.
        let (at_killed, mut killed) = (at("killed"), Image::default());
        for step in (0..HALF).step_by(HALF / KILLS) {
            killed = killed_between(&at_killed, step, step + HALF / KILLS);
        }
        let [empty, closed, files] = [empty, closed, files].map(|at| Image::take(&at).unwrap());
        Self { empty, closed, files, killed }
    }
}

/// The calls of a program on an image.
fn discovered(directory: &Path, image: &Image, program: &Command, trace: Trace) -> Points {
    let log = directory.with_extension("strace");
    image.put(directory).unwrap();
    let said = run(&strace(program, directory, trace, None, &log), &directory.with_extension("log"));
    assert!(said.is_well, "the program fails without a fault: {}", said.complaint);
    let found = points(&log, directory, trace).unwrap();
    let (missed, all) = (found.missed, found.points.len() + found.missed);
    assert!(missed * 3 <= all, "{missed} of {all} calls can't be met");
    found
}

/// The share of the points that a run takes.
fn share(points: Vec<Point>, seed: u64) -> Vec<Point> {
    let (all, max) = (points.len(), usize::try_from(setting("ANNALS_POINTS", POINTS)).unwrap());
    let step = all.div_ceil(max.max(1)).max(1);
    let first = usize::try_from(Random::new(seed).below(u64::try_from(step).unwrap())).unwrap();
    points.into_iter().skip(first).step_by(step).collect()
}

/// Does something at each of the points, on both cores, each in a directory of its own; says how often it said `true`.
fn at_each<T>(name: &str, points: &[T], act: impl Fn(&Path, &T) -> Result<bool, String> + Sync) -> usize
where
    T: std::fmt::Display + Sync,
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
        // As many of what comes before the store is open as of the rest, which may be all.
        let (opening, later) = points.into_iter().partition(|point| point.lines == 0);
        let points = [share(opening, seed), share(later, seed)].concat();
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
        summary(&format!(
            "{}: {} of {all} calls met with {} kills, {met} of them reached, {missed} others can't be met, in {:.1} s \
             with seed {seed}",
            self.name,
            points.len(),
            self.times,
            begin.elapsed().as_secs_f64()
        ));
        assert!(met * 10 >= points.len() * 9, "{}: only {met} of {} were reached", self.name, points.len());
    }
}

#[test]
fn a_kill_at_any_call_loses_nothing_that_was_told() {
    if is_skipped() {
        return;
    }
    let (truth, seed) = (Truth::new(), seed());
    let Images { empty, closed, files: as_files, killed } = Images::new();
    let all = |_: &Point| true;
    let opening = |point: &Point| point.lines == 0;
    let files = |point: &Point| point.path.starts_with(FILES);
    let phases = [
        Phase { name: "from nothing to closed", image: empty, from: 0, only: all, times: 1 },
        Phase { name: "opened after it was closed", image: closed, from: HALF, only: all, times: 1 },
        Phase { name: "opened after a kill", image: killed.clone(), from: HALF, only: all, times: 1 },
        Phase { name: "killed again and again while it opens", image: killed, from: HALF, only: opening, times: 3 },
        Phase { name: "snapshots as files", image: as_files, from: HALF, only: files, times: 1 },
    ];
    for phase in phases {
        phase.run(&truth, seed);
    }
}

fn is_manifest(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix('v'));
    name.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An error at a call.
struct Failing<'a> {
    point: &'a Point,
    fault: Fault,
}

impl std::fmt::Display for Failing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {}", self.fault, self.point)
    }
}

#[test]
fn an_error_of_any_call_that_writes_loses_nothing_that_was_told() {
    if is_skipped() {
        return;
    }
    let (truth, seed, images) = (Truth::new(), seed(), Images::new());
    for (name, image, from) in [("making", images.empty, 0), ("recovering", images.killed, HALF)] {
        let begin = Instant::now();
        let directory = work_dir().unwrap();
        let directory = directory.path().join("work");
        image.put(&directory).unwrap();
        let found = discovered(&directory, &image, &script(&directory, from, STEPS, &[]), Trace::Changing);
        // The program isn't what is to survive: it may tell.
        let points = found.points.into_iter().filter(|point| !point.path.as_os_str().is_empty()).collect();
        let points = share(points, seed);
        let failing = points.iter().enumerate().map(|(nth, point)| {
            let fault = if nth % 2 == 0 { Fault::Error("EIO") } else { Fault::Error("ENOSPC") };
            Failing { point, fault }
        });
        let failing: Vec<_> = failing.collect();
        let ended = at_each(name, &failing, |directory, Failing { point, fault }| {
            image.put(directory).map_err(|error| error.to_string())?;
            let (program, log) = (script(directory, from, STEPS, &[]), directory.with_extension("strace"));
            let strace = strace(&program, directory, Trace::Changing, Some((point, *fault)), &log);
            let said = run(&strace, &directory.with_extension("log"));
            if said.is_killed || said.is_panic {
                return Err(format!("it hangs or panics: {}", said.complaint));
            }
            runtime().block_on(truth.check(directory, from + said.steps())).map(|()| !said.is_well)
        });
        summary(&format!(
            "{name}: {} calls met with errors, {ended} of them ended the program in order, in {:.1} s with seed {seed}",
            failing.len(),
            begin.elapsed().as_secs_f64()
        ));
    }
}

#[test]
fn an_error_of_any_call_that_reads_is_told_and_never_wrong_data() {
    if is_skipped() {
        return;
    }
    let (seed, images) = (seed(), Images::new());
    for (name, image) in [("closed", images.closed), ("killed", images.killed), ("files", images.files)] {
        let begin = Instant::now();
        let directory = work_dir().unwrap();
        let directory = directory.path().join("work");
        image.put(&directory).unwrap();
        let teller = |directory: &Path| {
            let mut teller = Command::new(env!("CARGO_BIN_EXE_teller"));
            teller.arg(directory.join(STORE)).arg(files(directory).unwrap_or_else(|| "-".into()));
            teller
        };
        let expected = run(&teller(&directory), &directory.with_extension("log"));
        assert!(expected.is_well && expected.lines.len() > 2, "{}", expected.complaint);
        let found = discovered(&directory, &image, &teller(&directory), Trace::Reading);
        let faults = |point: &Point| match point.call.as_str() {
            "open" | "openat" | "openat2" => [Fault::Error("EMFILE"), Fault::Error("EACCES")],
            _ => [Fault::Error("EIO"), Fault::Returns(0)],
        };
        let points = share(found.points, seed);
        let failing = points.iter().flat_map(|point| faults(point).map(|fault| Failing { point, fault }));
        // A manifest of the engine that ends early ends the process, in a destructor. One that is short is found before
        // the engine reads it, and one that is whole doesn't end early.
        let failing = failing.filter(|failing| failing.fault != Fault::Returns(0) || !is_manifest(&failing.point.path));
        let failing: Vec<_> = failing.collect();
        let told = at_each(name, &failing, |directory, Failing { point, fault }| {
            image.put(directory).map_err(|error| error.to_string())?;
            let (program, log) = (teller(directory), directory.with_extension("strace"));
            let strace = strace(&program, directory, Trace::Reading, Some((point, *fault)), &log);
            let said = run(&strace, &directory.with_extension("log"));
            if said.is_killed || said.is_panic {
                return Err(format!("it hangs or panics: {}", said.complaint));
            }
            if said.is_well && said.lines != expected.lines {
                return Err(format!("it says {:?} instead of {:?}", said.lines, expected.lines));
            }
            // And it has destroyed nothing.
            let again = run(&program, &directory.with_extension("log"));
            match again.is_well && again.lines == expected.lines {
                true => Ok(!said.is_well),
                false => Err(format!("then, without one, it says {:?}, {}", again.lines, again.complaint)),
            }
        });
        summary(&format!(
            "{name}: {} calls met with errors, {told} of them told, {} others can't be met, in {:.1} s with seed {seed}",
            failing.len(),
            found.missed,
            begin.elapsed().as_secs_f64()
        ));
    }
}
