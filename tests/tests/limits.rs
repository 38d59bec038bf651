//! Gives a program that works on a store too few descriptors, threads or bytes of a file, ends it while it loads, and stops
//! it for a while. What was stored stays, and what is refused is told.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use annals::journal::{FjallJournal, FjallOptions, Journal as _, OpenError};
use annals::{Aggregate as _, PersistenceId, System};
use annals_tests::Account;
use annals_tests::campaign::{Image, Mounted, STEPS, STORE, summary, work_dir};

/// Nothing takes so long but what hangs.
const SECONDS_MAX: &str = "400";

/// A program that is started by a shell behind these words.
fn limited(words: &str, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", SECONDS_MAX, "sh", "-c", &format!("{words} exec \"$0\" \"$@\""), program]);
    command.args(arguments).env("RUST_BACKTRACE", "0").output().unwrap()
}

/// How a program ends for which there is too little of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It tells what is refused.
    Told,
    /// It may be ended in the middle of anything, which is a kill like others.
    Any,
}

impl Ending {
    fn is_well(self, output: &Output, place: &str) -> bool {
        match self {
            Self::Told => is_well(output, place),
            Self::Any => {
                assert!(output.status.code() != Some(137), "{place}: it hangs");
                output.status.success()
            }
        }
    }
}

/// Whether it went well; what is refused is told, without a panic and in time.
fn is_well(output: &Output, place: &str) -> bool {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{place}: {}, {complaint}", output.status);
    assert!(output.status.success() || complaint.contains("Error"), "{place}: {complaint}");
    output.status.success()
}

fn script(words: &str, store: &Path) -> Output {
    limited(words, env!("CARGO_BIN_EXE_script"), &[store.to_str().unwrap(), "-", "0", &STEPS.to_string()])
}

fn teller(words: &str, store: &Path, what: &[&str]) -> Output {
    let arguments = [&[store.to_str().unwrap(), "-"], what].concat();
    limited(words, env!("CARGO_BIN_EXE_teller"), &arguments)
}

/// Makes the script under each of the limits, on nothing and on what is there, and goes on without one.
fn survives(what: &str, ending: Ending, limits: impl Iterator<Item = String>) {
    let directory = work_dir().unwrap();
    let whole = directory.path().join("whole");
    assert!(is_well(&script("", &whole), what));
    let expected = teller("", &whole, &[]);
    assert!(is_well(&expected, what));
    // Its first line is of the bytes, which have the store's own number in them.
    let state = |output: &Output| String::from_utf8_lossy(&output.stdout).split_once('\n').unwrap().1.to_owned();
    let (mut refused, mut tried) = (0, 0);
    for (nth, limit) in limits.enumerate() {
        let place = format!("{what} `{limit}`");
        let store = directory.path().join(nth.to_string()).join(STORE);
        fs::create_dir(store.parent().unwrap()).unwrap();
        refused += u32::from(!ending.is_well(&script(&limit, &store), &place));
        // Nothing half-made is left: it goes on where it was.
        assert!(is_well(&script("", &store), &place));
        let told = teller(&limit, &store, &[]);
        match ending.is_well(&told, &place) {
            true => assert_eq!(state(&told), state(&expected), "{place}"),
            false => refused += 1,
        }
        let told = teller("", &store, &[]);
        assert!(is_well(&told, &place), "{place}: {}", String::from_utf8_lossy(&told.stderr));
        assert_eq!(state(&told), state(&expected), "{place}");
        tried += 2;
    }
    summary(&format!(
        "{what}: {refused} of {tried} programs were refused something{}",
        match ending {
            Ending::Told => ", and told it",
            Ending::Any => "",
        }
    ));
    assert!(refused > 0, "{what}: none of the limits was one");
}

#[test]
fn too_few_descriptors_are_told_and_lose_nothing() {
    survives(
        "descriptors",
        Ending::Told,
        [6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 48, 64].map(|n| format!("ulimit -n {n};")).into_iter(),
    );
}

#[test]
fn files_that_may_not_grow_are_told_and_lose_nothing() {
    // The signal would end the process, which is a kill like others.
    let limit = |blocks: u32| format!("trap '' XFSZ; ulimit -f {blocks};");
    survives("lengths of files", Ending::Told, [0, 1, 4, 8, 12, 16, 20, 32].into_iter().map(limit));
}

#[test]
fn too_little_memory_may_end_the_program_and_loses_nothing() {
    // From too little to begin with to too little for all threads and buffers.
    let limit = |megabytes: u32| format!("ulimit -v {};", megabytes * 1024);
    survives(
        "memory",
        Ending::Any,
        [20, 60, 80, 100, 130, 150, 155, 160, 170, 190, 215, 220, 230].into_iter().map(limit),
    );
}

#[test]
fn a_store_that_may_not_be_written_is_refused_as_it_is() {
    let Some(mounted) = Mounted::memory("2g") else { return };
    let store = mounted.path().join(STORE);
    assert!(is_well(&script("", &store), "a new store"));
    let expected = teller("", &store, &[]);
    let before = Image::take(mounted.path()).unwrap();
    let refused = |told: &Output, place: &str, why: &str| {
        let complaint = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(!is_well(told, place), "{place}: it opened");
        assert!(complaint.contains(why) && complaint.contains(store.to_str().unwrap()), "{place}: {complaint}");
        assert!(before == Image::take(mounted.path()).unwrap(), "{place}: something has changed");
    };
    assert!(mounted.remount("ro"));
    refused(&teller("", &store, &[]), "a file system to be read only", "Read-only file system");
    assert!(mounted.remount("rw"));

    // Everybody may look, and one may write.
    let change = Command::new("chmod").args(["-R", "a+rX,go-w"]).arg(mounted.path()).status();
    assert!(change.unwrap().success());
    let nobody = "exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" \"$@\";";
    refused(&teller(nobody, &store, &[]), "a store of another user", "Permission denied");

    let told = teller("", &store, &[]);
    assert!(is_well(&told, "as it was"));
    assert_eq!(told.stdout, expected.stdout);
}

#[tokio::test]
async fn a_store_that_is_seen_at_another_place_too_is_one_store() {
    let directory = work_dir().unwrap();
    let store = directory.path().join(STORE);
    let mut depositor = Depositor::start(&store, 4);
    let mut known = BTreeMap::new();
    assert!(depositor.next(&mut known));
    let Some(mounted) = Mounted::new([std::ffi::OsStr::new("--bind"), store.as_os_str()]) else { return };
    let pid: u32 = fs::read_to_string(store.join("lock")).unwrap().trim().parse().unwrap();
    let refused = FjallJournal::open(mounted.path(), FjallOptions::default());
    assert!(matches!(&refused, Err(OpenError::Locked { pid: Some(by), .. }) if *by == pid), "{refused:?}");
    assert!(depositor.next(&mut known));
    assert!(depositor.close(&mut known));
    check(mounted.path(), &known).await;
}

#[tokio::test]
async fn a_disk_that_fills_up_while_tables_are_made_and_merged_loses_nothing() {
    let mut tables = Vec::new();
    for size in ["300m", "430m", "560m"] {
        let Some(mounted) = Mounted::memory(size) else { return };
        let store = mounted.path().join(STORE);
        let filled = limited("", env!("CARGO_BIN_EXE_filler"), &[store.to_str().unwrap(), "0"]);
        assert!(is_well(&filled, size), "it ends when nothing is stored any more");
        let mut told = BTreeMap::<u64, u64>::new();
        for line in String::from_utf8_lossy(&filled.stdout).lines() {
            let Some((entity, commands)) = line.split_once(' ') else { continue };
            told.insert(entity.parse().unwrap(), commands.parse().unwrap());
        }
        tables.push(fs::read_dir(store.join("fjall/keyspaces/1/tables")).unwrap().count());
        assert!(mounted.remount("size=3g"));
        let journal = FjallJournal::open(&store, FjallOptions::default()).unwrap();
        for (entity, told) in told {
            let id = PersistenceId::new(Account::NAME, format!("{entity}"));
            let head = journal.open_stream(&id).await.unwrap();
            let stored = head.last.0;
            assert!((told..=told + 1).contains(&stored), "{size}: entity {entity} has {stored} commands of {told}");
        }
        journal.close().await.unwrap();
    }
    summary(&format!("full disks: 3, with {tables:?} tables when they were full"));
    assert!(tables.iter().max() > Some(&2), "hardly any tables were made");
}

#[test]
fn too_few_threads_are_told_and_lose_nothing() {
    let directory = work_dir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    // The system limits nobody who may do everything.
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let program = Path::new(env!("CARGO_BIN_EXE_teller"));
    let words = |limit: u32| match is_root {
        // The limit counts all that this user has; here that is nothing else.
        true => format!("exec prlimit --nproc={limit} {nobody} \"$0\" \"$@\";"),
        false => String::new(),
    };
    let store = directory.path().join(STORE);
    let probe = teller(&words(4096), &store, &["journal"]);
    if !is_root || !probe.status.success() {
        let why = String::from_utf8_lossy(&probe.stderr).into_owned();
        summary(&format!("SKIPPED: threads can't be limited here for `{}`: {}", program.display(), why.trim_end()));
        return;
    }
    let mut refused = 0;
    for limit in 1..12 {
        let place = format!("{limit} threads");
        let told = teller(&words(limit), &store, &["journal"]);
        if is_well(&told, &place) {
            assert_eq!(told.stdout, probe.stdout, "{place}");
        } else {
            refused += 1;
        }
        let told = teller(&words(4096), &store, &["journal"]);
        assert!(is_well(&told, &place));
        assert_eq!(told.stdout, probe.stdout, "{place}");
    }
    summary(&format!("threads: {refused} of 11 programs were refused one, and told it"));
    assert!(refused > 0, "none of the limits was one");
}

/// A program that deposits money until it is told to close.
struct Depositor {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Depositor {
    fn start(store: &Path, entities: u64) -> Self {
        let mut child = Command::new("timeout")
            .args(["-s", "KILL", SECONDS_MAX, env!("CARGO_BIN_EXE_victim")])
            .arg(store)
            .args([&entities.to_string(), "os", "plain"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        assert_eq!(first, "open\n");
        Self { child, output }
    }

    /// The next line, if there is one.
    fn next(&mut self, known: &mut BTreeMap<u64, u64>) -> bool {
        let mut line = String::new();
        if self.output.read_line(&mut line).unwrap() == 0 {
            return false;
        }
        let (entity, balance) = line.trim_end().split_once(' ').unwrap();
        let (entity, balance): (u64, u64) = (entity.parse().unwrap(), balance.parse().unwrap());
        let known = known.entry(entity).or_default();
        *known = balance.max(*known);
        true
    }

    /// Tells it to close, and waits until it has; says whether it ended well.
    fn close(mut self, known: &mut BTreeMap<u64, u64>) -> bool {
        self.child.stdin.as_mut().unwrap().write_all(b"close\n").unwrap();
        while self.next(known) {}
        let ended = self.child.wait().unwrap();
        assert!(matches!(ended.code(), Some(0 | 1)), "it hangs or panics: {ended}");
        ended.success()
    }

    /// Sends a signal to the depositor itself, which its store's lock names.
    fn signal(store: &Path, signal: &str) {
        let pid = fs::read_to_string(store.join("lock")).unwrap();
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    }
}

async fn check(store: &Path, known: &BTreeMap<u64, u64>) {
    let system = System::open(store).await.unwrap();
    for (entity, told) in known {
        let balance = system.get::<Account>(format!("{entity}")).balance().await.unwrap();
        assert!(balance >= *told && balance % 2 == 0, "entity {entity} has {balance} of {told}");
    }
    system.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_while_thousands_of_entities_are_loaded_ends_in_order() {
    const ENTITIES: u64 = 2_000;
    let directory = work_dir().unwrap();
    let store = directory.path().join(STORE);
    let mut known = BTreeMap::new();
    let mut depositor = Depositor::start(&store, ENTITIES);
    while known.len() < usize::try_from(ENTITIES).unwrap() {
        assert!(depositor.next(&mut known));
    }
    assert!(depositor.close(&mut known));
    for lines in [0, 0, 1, 10, 500] {
        let mut depositor = Depositor::start(&store, ENTITIES);
        for _ in 0..lines {
            assert!(depositor.next(&mut known));
        }
        assert!(depositor.close(&mut known));
    }
    check(&store, &known).await;
    summary(&format!("shutdowns: 6 while {ENTITIES} entities were loaded, each in order"));
}

#[tokio::test]
async fn a_process_that_is_stopped_keeps_its_store_and_goes_on() {
    let directory = work_dir().unwrap();
    let store = directory.path().join(STORE);
    let mut known = BTreeMap::new();
    let mut depositor = Depositor::start(&store, 8);
    for _ in 0..3 {
        for _ in 0..100 {
            assert!(depositor.next(&mut known));
        }
        let pid: u32 = fs::read_to_string(store.join("lock")).unwrap().trim().parse().unwrap();
        Depositor::signal(&store, "-STOP");
        let refused = FjallJournal::open(&store, FjallOptions::default());
        assert!(matches!(&refused, Err(OpenError::Locked { pid: Some(by), .. }) if *by == pid), "{refused:?}");
        Depositor::signal(&store, "-CONT");
    }
    assert!(depositor.next(&mut known));
    assert!(depositor.close(&mut known));
    check(&store, &known).await;
}

/// The appender is stopped so often, each time for longer than a commit may take.
const STOPS: usize = 6;
const STALLED_AFTER: Duration = Duration::from_millis(400);

#[test]
fn a_process_that_is_stopped_for_longer_than_a_commit_may_take_goes_on() {
    let directory = work_dir().unwrap();
    let store = directory.path().join(STORE);
    let mut child = Command::new("timeout")
        .args(["-s", "KILL", SECONDS_MAX, env!("CARGO_BIN_EXE_appender")])
        .arg(&store)
        .args(["300", "100", &STALLED_AFTER.as_millis().to_string(), "close"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("open"));
    let (mut stored, mut stops) = (0, 0);
    for line in lines {
        if line.starts_with("stored\t") {
            stored += 1;
        } else {
            assert_eq!(line, "close\tin order", "it was taken for a stall behind {stops} stops");
        }
        if stored % 300 == 200 && stops < STOPS {
            Depositor::signal(&store, "-STOP");
            std::thread::sleep(3 * STALLED_AFTER);
            Depositor::signal(&store, "-CONT");
            stops += 1;
        }
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(stops, STOPS);
    summary(&format!("stops: {stops}, each for {:?}, and none was taken for a stall of the disk", 3 * STALLED_AFTER));
}

#[tokio::test]
async fn a_process_whose_lock_was_replaced_while_it_was_stopped_stores_nothing_more() {
    let directory = work_dir().unwrap();
    let store = directory.path().join(STORE);
    let mut known = BTreeMap::new();
    let mut depositor = Depositor::start(&store, 8);
    for _ in 0..100 {
        assert!(depositor.next(&mut known));
    }
    let pid = fs::read_to_string(store.join("lock")).unwrap();
    Depositor::signal(&store, "-STOP");
    fs::remove_file(store.join("lock")).unwrap();
    File::create(store.join("lock")).unwrap();
    assert!(Command::new("kill").args(["-CONT", pid.trim()]).status().unwrap().success());
    // Its callers get no more answers but that, so that it comes to an end by itself; it doesn't close in order.
    assert!(!depositor.close(&mut known), "it closed in order a store that isn't its own any more");
    check(&store, &known).await;
}
