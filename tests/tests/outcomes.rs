//! What callers are told when the disk fails, is full or doesn't answer, and that it holds after a restart.
//!
//! Needs strace, or to mount a file system, and says so where it can't.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails panics, and tells what it skips")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use annals::journal::{
    Due, EventRecord, FjallJournal, FjallOptions, Health, Journal, OpenError, Outcome, Record, RunBuilder, RunKey,
    Settled, Why, Write,
};
use annals::{Aggregate as _, Codec, Offset, PersistenceId, SeqNr, Timestamp};
use annals_tests::campaign::Mounted;
use annals_tests::campaign::strace::is_there;
use annals_tests::{Savings, until};

/// Nothing takes so long but what hangs.
const SECONDS_MAX: &str = "400";
const GROUPS: u64 = 6;

/// What was told of one run.
struct Told {
    outcome: String,
    key: RunKey,
    rest: String,
}

/// What the program said.
struct Said {
    told: Vec<Told>,
    /// Everything else.
    lines: Vec<String>,
    complaint: String,
    is_ended: bool,
}

impl Said {
    fn is_open(&self) -> bool {
        self.lines.first().is_some_and(|line| line == "open")
    }

    fn has(&self, line: &str) -> bool {
        self.lines.iter().any(|found| found == line)
    }
}

fn run(command: &Command) -> Said {
    let mut limited = Command::new("timeout");
    limited.args(["--kill-after=5", SECONDS_MAX]).arg(command.get_program()).args(command.get_args());
    let output = limited.output().unwrap();
    let (mut told, mut lines) = (Vec::new(), Vec::new());
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let parts: Vec<_> = line.split('\t').collect();
        match parts[..] {
            [outcome @ ("stored" | "not stored" | "unknown"), key, rest] => {
                let key = serde_json::from_str(key).unwrap();
                told.push(Told { outcome: outcome.to_owned(), key, rest: rest.to_owned() });
            }
            _ => lines.push(line.to_owned()),
        }
    }
    // The program itself ends with 0 or 1; a kill for its time is another number.
    let is_ended = output.status.code().is_some_and(|code| code < 100);
    Said { told, lines, complaint: String::from_utf8_lossy(&output.stderr).into_owned(), is_ended }
}

fn appender(store: &Path, groups: u64, bytes: usize, stalled_after: u64, end: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_appender"));
    command.arg(store).args([groups.to_string(), bytes.to_string(), stalled_after.to_string(), end.to_owned()]);
    command
}

/// The same program, of which calls on one path meet something.
fn injected(program: &Command, path: &Path, inject: &str, log: &Path) -> Command {
    injected_at(program, &[path.to_owned()], inject, log)
}

/// The same program, of which calls on some paths meet something.
fn injected_at(program: &Command, paths: &[PathBuf], inject: &str, log: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-qq", "-s", "0", "-e", "signal=none", "-o"]).arg(log);
    for path in paths {
        strace.arg("-P").arg(path);
    }
    strace.args(["-e", "trace=write,pwrite64,fsync,fdatasync", "-e", &format!("inject={inject}")]);
    strace.arg("--").arg(program.get_program()).args(program.get_args());
    strace
}

/// Opens the store without faults, and holds what was told against it.
async fn settle(store: &Path, said: &Said) -> Result<(usize, usize), OpenError> {
    let journal = FjallJournal::open(store, FjallOptions::new())?;
    let (mut stored, mut lost) = (0, 0);
    for Told { outcome, key, rest } in &said.told {
        let settled = journal.settle(key).await.unwrap();
        match outcome.as_str() {
            "stored" => assert_eq!(settled, Settled::Stored(Offset(rest.parse().unwrap())), "{key:?}"),
            "not stored" => assert_eq!(settled, Settled::NotStored, "{key:?}: {rest}"),
            _ => match settled {
                Settled::Stored(_) => stored += 1,
                Settled::NotStored => lost += 1,
                Settled::Unsettled => panic!("{key:?} is still unknown"),
            },
        }
    }
    // And it goes on.
    let id = PersistenceId::new("stream", "after");
    let head = journal.open_stream(&id).await.unwrap();
    let outcome = append(&journal, &id, head.last.next(), b"x").await;
    assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
    journal.close().await.unwrap();
    Ok((stored, lost))
}

async fn append(journal: &FjallJournal, id: &PersistenceId, first: SeqNr, payload: &[u8]) -> Outcome {
    let stream = journal.open_stream(id).await.unwrap().stream;
    let mut run = RunBuilder::new(stream, id.clone(), first);
    let event = EventRecord { name: "happened", version: 1, codec: Codec::MessagePack, payload };
    run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
    journal.append(vec![run.seal(&journal.facts(), 1)]).await.remove(0)
}

/// A store that was closed, with a file of keys.
fn closed_store() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let said = run(&appender(&store, 2, 100, 60_000, "close"));
    assert!(said.has("close\tin order"), "{}", said.complaint);
    (directory, store)
}

/// After the first failure nothing is acknowledged, everybody was told, and reading goes on.
fn check_failed(said: &Said, case: &str) {
    let first = said.told.iter().position(|told| told.outcome != "stored");
    let Some(first) = first else { panic!("{case}: nobody was told of it") };
    let behind = &said.told[first..];
    assert!(behind.iter().all(|told| told.outcome != "stored"), "{case}: something was acknowledged behind it");
    // What was in the group that failed is unknown, or nothing of it was begun; what came behind is not stored.
    let unknown = behind.iter().take_while(|told| told.outcome == "unknown").count();
    assert!(behind[unknown..].iter().all(|told| told.outcome == "not stored"), "{case}");
    assert!(said.has("health\tfailed") && !said.has("health\tgood"), "{case}: {:?}", said.lines);
    assert!(said.lines.iter().any(|line| line.starts_with("read\t")), "{case}: it can't be read any more");
    assert!(!said.has("close\tin order"), "{case}");
}

fn first_journal(store: &Path) -> PathBuf {
    first_journal_in(&store.join("fjall"))
}

fn first_journal_in(engine: &Path) -> PathBuf {
    let mut journals: Vec<_> = fs::read_dir(engine).unwrap().map(|entry| entry.unwrap().path()).collect();
    journals.retain(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    journals.sort();
    journals.pop().unwrap()
}

fn is_skipped() -> bool {
    let skipped = !is_there();
    if skipped {
        println!("SKIPPED: strace isn't there, or may not trace");
    }
    skipped
}

#[tokio::test]
async fn a_write_or_a_sync_that_fails_is_told_by_the_rule_and_settled_by_the_next_opening() {
    if is_skipped() {
        return;
    }
    let (mut met, mut opening, mut stored, mut lost) = (0, 0, 0, 0);
    for (file, call) in [
        ("journal", "write"),
        ("journal", "fdatasync"),
        ("head", "write"),
        ("head", "fdatasync"),
        ("keys", "write"),
        ("keys", "fdatasync"),
    ] {
        for nth in [1, 2, 4] {
            let (directory, store) = closed_store();
            let path = if file == "journal" { first_journal(&store) } else { store.join(file) };
            let log = directory.path().join("log");
            let program = appender(&store, GROUPS, 100, 60_000, "close");
            let said = run(&injected(&program, &path, &format!("{call}:error=EIO:when={nth}"), &log));
            let case = format!("{call} number {nth} of {file}");
            assert!(said.is_ended, "{case}: it hangs");
            let log = fs::read_to_string(&log).unwrap();
            if !log.contains("INJECTED") {
                println!("{case}: not reached");
                continue;
            }
            met += 1;
            if !said.is_open() {
                opening += 1;
            } else if said.told.iter().all(|told| told.outcome == "stored") {
                // It came with the last sync of the head, or at the close.
                assert!(!said.has("close\tin order"), "{case}: it was closed as if nothing had happened");
            } else {
                check_failed(&said, &case);
            }
            if call == "fdatasync" {
                check_syncs(&log, &case);
            }
            let unknown = settle(&store, &said).await.unwrap_or_else(|error| panic!("{case}: {error}"));
            (stored, lost) = (stored + unknown.0, lost + unknown.1);
        }
    }
    println!("{met} faults met, {opening} of them while opening; {stored} unknown runs were stored, {lost} were not");
    assert!(met >= 12, "only {met} were met");
    assert!(stored > 0);
}

/// The tables that the engine in a directory makes next.
fn tables(engine: &Path) -> Vec<PathBuf> {
    (0..16).map(|number| engine.join(format!("keyspaces/1/tables/{number}"))).filter(|path| !path.exists()).collect()
}

/// Faults of calls that write tables.
const TABLE_FAULTS: [&str; 3] =
    ["write:error=EIO:when=1", "write:error=ENOSPC:when=1+", "fsync,fdatasync:error=EIO:when=1"];

#[tokio::test]
async fn rows_that_can_not_be_moved_into_tables_are_told_and_not_lost() {
    if is_skipped() {
        return;
    }
    // While groups are stored, when there are enough rows; when it closes; when it opens after a crash.
    for (moves, groups, bytes) in [("storing", 14, 950_000), ("closing", GROUPS, 100), ("opening", GROUPS, 100)] {
        // It takes long until there are enough rows.
        for fault in TABLE_FAULTS.into_iter().take(if moves == "storing" { 1 } else { TABLE_FAULTS.len() }) {
            let (directory, store) = closed_store();
            let before = if moves == "opening" {
                let said = run(&appender(&store, GROUPS, 100, 60_000, "exit"));
                assert!(said.told.iter().all(|told| told.outcome == "stored"), "{}", said.complaint);
                Some(said)
            } else {
                None
            };
            let log = directory.path().join("log");
            let program = appender(&store, groups, bytes, 60_000, "close");
            let said = run(&injected_at(&program, &tables(&store.join("fjall")), fault, &log));
            let case = format!("{fault} while {moves}");
            assert!(said.is_ended, "{case}: it hangs");
            assert!(fs::read_to_string(&log).unwrap().contains("INJECTED"), "{case}: not reached");
            match moves {
                "storing" => {
                    check_failed(&said, &case);
                    assert!(said.told.iter().any(|told| told.outcome == "stored"), "{case}");
                }
                "closing" => {
                    assert!(said.told.iter().all(|told| told.outcome == "stored"), "{case}");
                    assert!(said.has("close\tnot in order"), "{case}: {:?}", said.lines);
                }
                _ => assert!(!said.is_open(), "{case}: it opened"),
            }
            for said in before.iter().chain([&said]) {
                let unknown = settle(&store, said).await.unwrap_or_else(|error| panic!("{case}: {error}"));
                println!("{case}: {} unknown runs were stored, {} were not", unknown.0, unknown.1);
            }
        }
    }
}

/// What a program has said that saves snapshots until it has said enough, or ends before: the last balance of each entity.
fn save(store: &Path, fault: Option<(&[PathBuf], &str, &Path)>) -> (Vec<u64>, bool) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_saver"));
    program.arg(store).arg(ENTITIES.to_string());
    if let Some((paths, fault, log)) = fault {
        program = injected_at(&program, paths, fault, log);
    }
    let mut limited = Command::new("timeout");
    limited.args(["--kill-after=5", SECONDS_MAX]).arg(program.get_program()).args(program.get_args());
    let mut running = limited.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut balances = vec![0; ENTITIES];
    let lines = BufReader::new(running.stdout.take().unwrap()).lines();
    for (count, line) in lines.map(Result::unwrap).enumerate() {
        if let Some((entity, balance)) = line.split_once(' ') {
            balances[entity.parse::<usize>().unwrap()] = balance.parse().unwrap();
        }
        if count == LINES
            && let Some(mut stdin) = running.stdin.take()
        {
            stdin.write_all(b"enough\n").unwrap();
        }
    }
    (balances, running.wait().unwrap().success())
}

const ENTITIES: usize = 4;
const LINES: usize = 400;

#[tokio::test]
async fn snapshots_that_can_not_be_written_cost_nothing_else_and_are_saved_again_after_a_restart() {
    if is_skipped() {
        return;
    }
    let mut met = 0;
    for (file, fault) in [
        ("0.jnl", "write:error=EIO:when=2"),
        ("0.jnl", "write:error=ENOSPC:when=3+"),
        ("0.jnl", "fdatasync:error=EIO:when=2"),
        ("0.jnl", "fdatasync:error=EIO:when=5"),
        ("tables", TABLE_FAULTS[0]),
        ("tables", TABLE_FAULTS[1]),
        ("tables", TABLE_FAULTS[2]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (store, log) = (directory.path().join("store"), directory.path().join("log"));
        let case = format!("{fault} of {file}");
        // The first snapshots are there.
        let (before, is_whole) = save(&store, None);
        assert!(is_whole, "{case}");
        let engine = store.join("snapshots");
        let paths = if file == "tables" { tables(&engine) } else { vec![first_journal_in(&engine)] };
        let (balances, is_whole) = save(&store, Some((&paths, fault, &log)));
        met += usize::from(fs::read_to_string(&log).unwrap().contains("INJECTED"));
        assert!(is_whole, "{case}: the program failed");
        let reached = balances.iter().zip(&before).all(|(now, before)| *now > before + 20);
        assert!(reached, "{case}: commands suffered: {before:?} {balances:?}");

        // Everything is there, and snapshots are saved.
        let (after, is_whole) = save(&store, None);
        assert!(is_whole, "{case}: it doesn't heal");
        assert!(after.iter().zip(&balances).all(|(now, before)| now > before), "{case}: {balances:?} {after:?}");
        let journal = FjallJournal::open(&store, FjallOptions::new()).unwrap();
        let snapshots = journal.snapshots().unwrap();
        for (entity, balance) in balances.iter().enumerate() {
            let id = PersistenceId::new(Savings::NAME, format!("{entity}"));
            let newest = snapshots.list(&id).await.unwrap().first().map(|meta| meta.seq_nr.0);
            assert!(newest.is_some_and(|newest| newest > *balance), "{case}: {newest:?}, and it was at {balance}");
        }
    }
    println!("{met} faults met");
    assert!(met >= 5, "only {met} were met");
}

/// No data that a sync has failed for is synced by another one that counts: what succeeds later is the engine's own, when
/// it is dropped, or a head that was written anew.
fn check_syncs(log: &str, case: &str) {
    let lines: Vec<_> = log.lines().collect();
    let failed = lines.iter().position(|line| line.contains("INJECTED")).unwrap();
    let thread = lines[failed].split_whitespace().next().unwrap();
    // The thread that has met it, the writer or the one that syncs the head, doesn't sync the file again before it was
    // written again.
    let again = lines[failed + 1..].iter().filter(|line| line.split_whitespace().next() == Some(thread));
    let mut written = false;
    for line in again {
        written |= line.contains("write(");
        let syncs = line.contains("fdatasync(");
        assert!(!syncs || written, "{case}: it tries again: {line}");
    }
}

#[tokio::test]
async fn a_write_that_lies_is_never_wrong_data() {
    if is_skipped() {
        return;
    }
    let (mut met, mut found) = (0, 0);
    for (file, call) in [("journal", "write"), ("head", "write"), ("keys", "write"), ("journal", "fdatasync")] {
        for (nth, value) in [(1, 1), (2, 1), (3, 64), (5, 8)] {
            let value = if call == "fdatasync" { 0 } else { value };
            for end in ["exit", "close"] {
                let (directory, store) = closed_store();
                let path = if file == "journal" { first_journal(&store) } else { store.join(file) };
                let log = directory.path().join("log");
                let program = appender(&store, GROUPS, 100, 60_000, end);
                let said = run(&injected(&program, &path, &format!("{call}:retval={value}:when={nth}"), &log));
                let case = format!("{call} number {nth} of {file} returns {value}, then {end}");
                assert!(said.is_ended, "{case}: it hangs");
                if !fs::read_to_string(&log).unwrap().contains("INJECTED") {
                    continue;
                }
                met += 1;
                match settle_lied(&store, &said).await {
                    Ok(()) => {}
                    Err(why) => {
                        found += 1;
                        println!("{case}: {why}");
                    }
                }
            }
        }
    }
    println!("{met} lies, {found} of them found by the next opening or by reading");
    assert!(met >= 10, "only {met} were met");
}

/// Whether everything that was told is there; or how it is told that it isn't.
async fn settle_lied(store: &Path, said: &Said) -> Result<(), String> {
    let journal = FjallJournal::open(store, FjallOptions::new()).map_err(|error| error.to_string())?;
    for Told { outcome, key, rest } in &said.told {
        let settled = journal.settle(key).await.map_err(|error| error.to_string())?;
        match outcome.as_str() {
            "stored" => assert_eq!(settled, Settled::Stored(Offset(rest.parse().unwrap())), "{key:?}"),
            "not stored" => assert_eq!(settled, Settled::NotStored, "{key:?}"),
            _ => assert_ne!(settled, Settled::Unsettled, "{key:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_disk_that_does_not_answer_is_given_up_and_the_program_ends() {
    if is_skipped() {
        return;
    }
    let (directory, store) = closed_store();
    let log = directory.path().join("log");
    let program = appender(&store, GROUPS, 100, 300, "close");
    let said = run(&injected(&program, &first_journal(&store), "fdatasync:delay_enter=6000000:when=4", &log));
    assert!(said.is_ended && said.is_open(), "{}", said.complaint);
    check_failed(&said, "a sync that takes 6 s");
    assert!(said.told.iter().any(|told| told.outcome == "unknown" && told.rest.contains("wasn't back within 300 ms")));
    let (stored, lost) = settle(&store, &said).await.unwrap();
    println!("{stored} unknown runs were stored, {lost} were not");
}

#[tokio::test]
async fn a_disk_that_fills_up_fails_by_the_rule_and_goes_on_when_there_is_space() {
    // Where it is full: in the engine's journal; in a table, since closing or opening moves rows there; in between.
    for (size, bytes) in [("12m", 300_000), ("12m", 90_000), ("20m", 700_000)] {
        let Some(mounted) = Mounted::memory(size) else { return };
        let store = mounted.path().join("store");
        let said = run(&appender(&store, 100, bytes, 60_000, "close"));
        assert!(said.is_ended && said.is_open(), "{}", said.complaint);
        check_failed(&said, size);
        assert!(mounted.remount("size=2g"));
        let (stored, lost) = settle(&store, &said).await.unwrap();
        let acknowledged = said.told.iter().filter(|told| told.outcome == "stored").count();
        println!("{size}: {acknowledged} runs were acknowledged, {stored} unknown ones stored, {lost} not");
        assert!(acknowledged > 0);
    }
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_takes_nothing_and_fails_nothing_until_there_is_space() {
    let Some(mounted) = Mounted::memory("40m") else { return };
    let floor = 24 * 1024 * 1024;
    let store = mounted.path().join("store");
    let journal = FjallJournal::open(&store, FjallOptions::new().free_bytes_min(floor)).unwrap();
    let (id, payload) = (PersistenceId::new("stream", "alice"), vec![7; 500_000]);
    let mut last = SeqNr::ZERO;
    let refused = loop {
        match append(&journal, &id, last.next(), &payload).await {
            Outcome::Stored(_) => last = last.next(),
            Outcome::NotStored(why) => break why,
            Outcome::Unknown(cause) => panic!("{cause}"),
        }
        assert!(last < SeqNr(80), "it was never refused");
    };
    let Why::StorageLow { free, floor: told } = refused else { panic!("{refused}") };
    assert!(free < told && told < floor + 2_000_000, "{free} were free, and {told} were needed");
    // Nothing went below it.
    assert!(free >= floor, "{free} were free");
    assert!(matches!(journal.health(), Health::StorageLow { .. }));
    let stream = journal.open_stream(&id).await.unwrap();
    assert_eq!(stream.last, last);
    assert!(!journal.read(stream.stream, SeqNr(1), last, 1).await.unwrap().runs.is_empty());

    // Somebody makes room, and nobody has to tell the journal.
    assert!(mounted.remount("size=200m"));
    until("it is told", || journal.health() == Health::Good).await;
    assert!(matches!(append(&journal, &id, last.next(), &payload).await, Outcome::Stored(_)));
    journal.close().await.unwrap();
    let journal = FjallJournal::open(&store, FjallOptions::new()).unwrap();
    assert_eq!(journal.open_stream(&id).await.unwrap().last, last.next());
}

#[tokio::test]
async fn a_store_on_a_full_disk_is_refused_as_it_is_and_opens_when_there_is_space() {
    let Some(mounted) = Mounted::memory("100m") else { return };
    let store = mounted.path().join("store");
    let said = run(&appender(&store, GROUPS, 100, 60_000, "exit"));
    assert!(said.told.iter().all(|told| told.outcome == "stored"), "{}", said.complaint);
    let filler = mounted.path().join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    for piece in [&[1; 1 << 16][..], &[1]] {
        while std::io::Write::write_all(&mut file, piece).is_ok() {}
    }
    for _ in 0..2 {
        let refused = FjallJournal::open(&store, FjallOptions::new().free_bytes_min(0)).unwrap_err();
        assert!(matches!(&refused, OpenError::NoRoom { path } if *path == store), "{refused:?}");
    }
    fs::remove_file(&filler).unwrap();
    assert!(mounted.remount("size=2g"));
    let (stored, lost) = settle(&store, &said).await.unwrap();
    assert_eq!((stored, lost), (0, 0), "nothing was unknown");
}
