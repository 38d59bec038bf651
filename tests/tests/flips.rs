//! Changes each bit and each block of the files of a small store. Each time, opening is refused with a place, or reading
//! everything says what is damaged, or everything is as it was. Anything else would be silent, and fails.
//!
//! `ANNALS_FLIPS=all` turns over every bit; a number is how many of each image at most, and then all of the files that are
//! smallest are taken, and a sample of the others. `ANNALS_SEED` repeats a sample.

#![expect(clippy::unwrap_used, reason = "a test that fails panics, and tells its seed")]

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use annals_tests::campaign::{Damage, FILES, HALF, Image, Random, STEPS, STORE, Verdict, seed, summary, work_dir};

/// So many flips of an image if nothing else is said.
const FLIPS: usize = 600;
/// Bits that are turned over behind the end of what is written.
const BYTES_BEHIND: usize = 4;
/// Nothing takes so long but what hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);
/// What one that judges may have in memory: damaged lengths are nothing to reserve room for.
const MEMORY_KIB_MAX: u64 = 2 << 20;
const TELLS_MAX: usize = 20;
/// After so many damages of an image it is told how far it is.
const TOLD_EVERY: u64 = 20_000;

/// One damage, and whether the store is to go on behind it.
#[derive(Debug, Clone, Copy)]
struct Job {
    file: usize,
    damage: Damage,
    go_on: bool,
}

/// Makes the steps of the script; then the store is closed, or its process is killed.
fn script(directory: &Path, as_files: bool, from: usize, to: usize, is_killed: bool) {
    let mut script = Command::new(env!("CARGO_BIN_EXE_script"));
    script.arg(directory.join(STORE));
    script.arg(if as_files { directory.join(FILES) } else { "-".into() });
    script.args([from, to].map(|step| step.to_string()));
    script.args(is_killed.then_some("stay"));
    let mut script = script.stdout(Stdio::piped()).spawn().unwrap();
    let last = BufReader::new(script.stdout.take().unwrap()).lines().map(Result::unwrap);
    let last = { last }.find(|line| line == "done" || line == "closed");
    assert_eq!(last.as_deref(), Some(if is_killed { "done" } else { "closed" }), "the script failed");
    if is_killed {
        script.kill().unwrap();
    }
    script.wait().unwrap();
}

/// A process that judges.
struct Judge {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
    complaints: PathBuf,
}

impl Judge {
    fn start(image: &Path, directory: &Path) -> Self {
        let complaints = directory.with_extension("log");
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -v {MEMORY_KIB_MAX}; exec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_damaged"))
            .args([image, directory])
            // An arena for each thread would take the room.
            .env("MALLOC_ARENA_MAX", "2")
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&complaints).unwrap())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut judge = Self { child, input, answers, complaints };
        let first = judge.answer();
        assert_eq!(first.as_deref(), Ok("ready"), "{}", judge.complaint());
        judge
    }

    fn answer(&mut self) -> Result<String, String> {
        match self.answers.recv_timeout(HANGS_AFTER) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                Err(format!("hangs for {HANGS_AFTER:?}"))
            }
            Err(RecvTimeoutError::Disconnected) => Err(format!("ends the process: {}", self.child.wait().unwrap())),
        }
    }

    fn judge(&mut self, job: Job) -> Result<Verdict, String> {
        let line = format!("{} {} {}\n", job.file, job.damage, job.go_on);
        // If it is gone, the answer says so.
        let _result = self.input.write_all(line.as_bytes());
        self.answer().map(|line| line.parse().unwrap())
    }

    fn complaint(&self) -> String {
        let log = fs::read_to_string(&self.complaints).unwrap_or_default();
        log.lines().rev().take(6).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("; ")
    }
}

/// What became of the damages of one kind of file.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    refused: u64,
    told: u64,
    snapshot_told: u64,
    snapshot_lost: u64,
    harmless: u64,
}

impl Count {
    fn all(self) -> u64 {
        self.refused + self.told + self.snapshot_told + self.snapshot_lost + self.harmless
    }
}

/// What a campaign found.
#[derive(Default)]
struct Found {
    counts: BTreeMap<String, Count>,
    failures: Vec<String>,
}

/// Runs the jobs on both cores.
fn run(name: &str, image_dir: &Path, jobs: Vec<Job>, what_for: &str) {
    let image = Image::take(image_dir).unwrap();
    let (all, begin) = (jobs.len(), Instant::now());
    let (jobs, found) = (Mutex::new(VecDeque::from(jobs)), Mutex::new(Found::default()));
    std::thread::scope(|scope| {
        for worker in 0..std::thread::available_parallelism().map_or(2, |cores| cores.get().min(4)) {
            let (jobs, found, image) = (&jobs, &found, &image);
            scope.spawn(move || {
                let directory = image_dir.with_extension(format!("{worker}"));
                let mut judge = Judge::start(image_dir, &directory);
                loop {
                    let Some(job) = jobs.lock().unwrap().pop_front() else { break };
                    let file = &image.files()[job.file];
                    let verdict = judge.judge(job);
                    let mut found = found.lock().unwrap();
                    let place = format!("`{}` in `{}`", job.damage, file.path.display());
                    let count = found.counts.entry(file.kind()).or_default();
                    match verdict {
                        Ok(Verdict::Refused(_)) => count.refused += 1,
                        Ok(Verdict::Told(_)) => count.told += 1,
                        Ok(Verdict::SnapshotTold(_)) => count.snapshot_told += 1,
                        Ok(Verdict::SnapshotLost(_)) => count.snapshot_lost += 1,
                        Ok(Verdict::Harmless) => count.harmless += 1,
                        Ok(Verdict::Vague(why)) => {
                            found.failures.push(format!("{place} is told without a place: {why}"));
                        }
                        Ok(Verdict::Silent(why)) => {
                            found
                                .failures
                                .push(format!("{place} is silent: {}", why.chars().take(400).collect::<String>()));
                        }
                        Err(why) => {
                            found.failures.push(format!("{place} {why}: {}", judge.complaint()));
                            judge = Judge::start(image_dir, &directory);
                        }
                    }
                    let done = found.counts.values().map(|count| count.all()).sum::<u64>();
                    if done > 0 && done.is_multiple_of(TOLD_EVERY) {
                        summary(&format!("{name}: {done} of {all}, {} silent or worse", found.failures.len()));
                    }
                }
                drop(judge.input);
                judge.child.wait().unwrap();
            });
        }
    });
    let (found, took) = (found.into_inner().unwrap(), begin.elapsed());
    for (kind, count) in &found.counts {
        let Count { refused, told, snapshot_told, snapshot_lost, harmless } = *count;
        summary(&format!(
            "{name}: {kind}: {}: {refused} refused, {told} told when read, {snapshot_told} told of a snapshot, \
             {snapshot_lost} with other snapshots, {harmless} harmless",
            count.all()
        ));
    }
    summary(&format!(
        "{name}: {all} {what_for} in {:.1} s, {} silent or worse",
        took.as_secs_f64(),
        found.failures.len()
    ));
    let failures = &found.failures;
    assert!(
        failures.is_empty(),
        "{name}: {} failures:\n{}",
        failures.len(),
        failures[..failures.len().min(TELLS_MAX)].join("\n")
    );
}

/// The three stores: closed in order, with tables; crashed, with everything in the engine's journal; with snapshots as
/// files, of which only those are damaged.
fn images(directory: &Path) -> Vec<(&'static str, PathBuf)> {
    let at = |name: &str| {
        let image = directory.join(name);
        fs::create_dir(&image).unwrap();
        image
    };
    let (closed, crashed, files) = (at("closed"), at("crashed"), at("files"));
    script(&closed, false, 0, HALF, true);
    script(&closed, false, HALF, STEPS, false);
    script(&crashed, false, 0, STEPS, true);
    fs::create_dir(files.join(FILES)).unwrap();
    script(&files, true, 0, STEPS, false);
    vec![("closed", closed), ("crashed", crashed), ("files", files)]
}

fn is_damaged(name: &str, path: &Path) -> bool {
    name != "files" || path.starts_with(FILES)
}

/// How many flips of an image; `None` is all of them.
fn share() -> Option<usize> {
    match std::env::var("ANNALS_FLIPS").as_deref() {
        Ok("all") => None,
        Ok(number) => Some(number.parse().unwrap()),
        Err(_) => Some(FLIPS),
    }
}

#[test]
fn no_flipped_bit_is_silent() {
    let (seed, directory, share) = (seed(), work_dir().unwrap(), share());
    summary(&format!("seed {seed}, in `{}`", directory.path().display()));
    let mut random = Random::new(seed);
    for (name, image_dir) in images(directory.path()) {
        let image = Image::take(&image_dir).unwrap();
        let files = image.files().iter().enumerate().filter(|(_, file)| is_damaged(name, &file.path));
        // The smallest first: of those every bit.
        let mut files = files.map(|(index, file)| (file.bytes.len() + BYTES_BEHIND, index)).collect::<Vec<_>>();
        files.sort_unstable();
        let (mut jobs, mut left) = (Vec::new(), share);
        let count = files.len();
        for (nth, (bytes, file)) in files.into_iter().enumerate() {
            let bytes = bytes.min(usize::try_from(image.files()[file].len).unwrap());
            let bits = bytes * 8;
            // What is left is shared by the files that are left.
            let part = left.map_or(bits, |left| left / (count - nth)).min(bits);
            left = left.map(|left| left - part);
            for nth in 0..part {
                let bit = match part == bits {
                    true => nth,
                    false => usize::try_from(random.below(u64::try_from(bits).unwrap())).unwrap(),
                };
                let damage = Damage::Flip { byte: bit / 8, bit: u32::try_from(bit % 8).unwrap() };
                jobs.push(Job { file, damage, go_on: random.below(16) == 0 });
            }
        }
        run(name, &image_dir, jobs, &format!("flips with seed {seed}"));
    }
}

#[test]
fn no_block_that_is_lost_or_exchanged_and_no_file_that_is_cut_is_silent() {
    let directory = work_dir().unwrap();
    for (name, image_dir) in images(directory.path()) {
        let image = Image::take(&image_dir).unwrap();
        let mut jobs = Vec::new();
        for (file, stored) in image.files().iter().enumerate().filter(|(_, file)| is_damaged(name, &file.path)) {
            let mut push = |damage| jobs.push(Job { file, damage, go_on: true });
            for len in [512, 4096] {
                for at in (0..stored.bytes.len()).step_by(len) {
                    push(Damage::Zero { at, len });
                    push(Damage::Cut { len: at });
                    if at + len < stored.bytes.len() {
                        push(Damage::Swap { at, len });
                    }
                }
            }
            push(Damage::Cut { len: stored.bytes.len().saturating_sub(1) });
            push(Damage::Gone);
        }
        run(name, &image_dir, jobs, "damaged blocks and files");
    }
}
