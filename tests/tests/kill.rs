//! Kills a process that works on a store, again and again, and looks at what is left.
//!
//! `ANNALS_KILLS` sets how often, over all that is done here; `ANNALS_SEED` repeats a run. The stores are in memory where
//! the system has a place for that: a killed process needs no disk.

#![expect(clippy::unwrap_used, reason = "a test that fails panics, and tells its seed")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use annals::journal::{FjallJournal, FjallOptions, Journal, Record, RunError, RunView};
use annals::snapshot::DirSnapshots;
use annals::{Aggregate, CallError, Offset, PersistenceId, System};
use annals_tests::campaign::{COMMANDS_OF_A_LIFE, ENTITIES_OF_A_LIFE, Random, seed, setting, summary, work_dir};
use annals_tests::golden::Patient;
use annals_tests::{Account, Savings, with_snapshots};

const ENTITIES: u64 = 20;
/// How many commands of one entity the victim has in flight at most.
const CALLERS: u64 = 4;

/// So many kills if nothing else is said.
const KILLS: u64 = 60;

/// The kills of one part, of which there are so many hundredths.
fn kills(hundredths: u64) -> u64 {
    (setting("ANNALS_KILLS", KILLS) * hundredths).div_ceil(100)
}

/// So many more there are at the most, until those that were made mean something.
const MORE_MAX: u64 = 100;

/// Whether there is another kill: few of them may all come too early or too late by chance.
fn goes_on(kill: u64, kills: u64, means_something: bool) -> bool {
    kill < kills || (!means_something && kill < kills + MORE_MAX)
}

/// What is known of a store.
#[derive(Default)]
struct Known {
    /// The balance of each entity that is certainly stored.
    balances: BTreeMap<u64, u64>,
    /// Kills since the last look at the store.
    kills: u64,
    /// Acknowledged commands.
    commands: u64,
    /// Commands that were stored and not acknowledged.
    beyond: u64,
}

/// Kills a victim, mostly under load, some of them in the middle of opening or closing.
async fn survive(hundredths: u64, durability: &str, keys: &str) {
    let (kills, seed) = (kills(hundredths), seed());
    let mut random = Random::new(seed);
    let directory = work_dir().unwrap();
    let store = directory.path().join("store");
    let (mut known, mut closed, mut kill) = (Known::default(), 0, 0);
    while goes_on(kill, kills, known.commands > kill && closed * 3 <= kill * 2) {
        let delay = Duration::from_micros(random.below(120_000));
        let moment = match random.below(8) {
            0 | 1 => Moment::FromTheStart(delay),
            2 | 3 => Moment::Closing { after: delay, delay: Duration::from_micros(random.below(40_000)) },
            _ => Moment::Open(delay),
        };
        closed += u64::from(run_and_kill(&mut victim(&store, durability, keys), moment, &mut known));
        if kill % 5 == 4 {
            check(&store, &mut known, seed, kill).await;
        }
        kill += 1;
    }
    let kills = kill;
    check(&store, &mut known, seed, kills).await;
    let Known { commands, beyond, .. } = known;
    summary(&format!(
        "{kills} kills with {durability} and {keys} commands, {closed} of them too late, {commands} acknowledged \
         commands, {beyond} stored without an acknowledgement, seed {seed}"
    ));
    assert!(commands > kills, "the kills came too early to mean anything: {commands} commands");
    assert!(closed * 3 <= kills * 2, "the kills came too late to mean anything: {closed} stores were closed before");
}

#[tokio::test]
async fn every_acknowledged_command_survives_a_kill() {
    survive(20, "fsync", "plain").await;
}

#[tokio::test]
async fn what_only_the_system_has_survives_a_kill() {
    survive(10, "os", "plain").await;
}

#[tokio::test]
async fn a_command_that_is_repeated_after_a_kill_is_stored_once() {
    survive(15, "fsync", "keyed").await;
    survive(5, "os", "keyed").await;
}

#[tokio::test]
async fn a_recovery_that_is_killed_again_and_again_loses_nothing() {
    let (rounds, seed) = (kills(10).div_ceil(5), seed());
    let mut random = Random::new(seed);
    let directory = work_dir().unwrap();
    let store = directory.path().join("store");
    let mut known = Known::default();
    for round in 0..rounds {
        let delay = Duration::from_micros(20_000 + random.below(60_000));
        run_and_kill(&mut victim(&store, "fsync", "plain"), Moment::Open(delay), &mut known);
        for _ in 0..4 {
            let delay = Duration::from_micros(random.below(30_000));
            run_and_kill(&mut victim(&store, "fsync", "plain"), Moment::FromTheStart(delay), &mut known);
        }
        check(&store, &mut known, seed, round).await;
    }
    let Known { commands, beyond, .. } = known;
    summary(&format!(
        "{} kills, of which 4 of 5 while the store opened, {commands} acknowledged commands, {beyond} stored without an \
         acknowledgement, seed {seed}",
        rounds * 5
    ));
}

#[tokio::test]
async fn a_store_whose_making_was_cut_short_opens() {
    let (kills, seed) = (kills(10).div_ceil(2), seed());
    let mut random = Random::new(seed);
    for kill in 0..kills {
        let directory = work_dir().unwrap();
        let store = directory.path().join("store");
        let mut known = Known::default();
        for _ in 0..2 {
            run_and_kill(
                &mut victim(&store, "fsync", "plain"),
                Moment::FromTheStart(Duration::from_micros(random.below(25_000))),
                &mut known,
            );
        }
        check(&store, &mut known, seed, kill).await;
    }
    summary(&format!("{} kills while a store was made, seed {seed}", kills * 2));
}

/// What was told of an entity that may have ended.
#[derive(Debug, Default, Clone, Copy)]
struct Life {
    commands: u64,
    has_ended: bool,
}

#[tokio::test]
async fn what_was_deleted_or_forgotten_stays_so_after_kills() {
    let (kills, seed) = (kills(15), seed());
    let mut random = Random::new(seed);
    let directory = work_dir().unwrap();
    let store = directory.path().join("store");
    let (mut lives, mut first, mut ends, mut alive) = (BTreeMap::<u64, Life>::new(), 0, 0, 0);
    let mut kill = 0;
    while goes_on(kill, kills, ends > 0 && alive > 0) {
        let mut mortal = Command::new(env!("CARGO_BIN_EXE_mortal"));
        mortal.arg(&store).arg(first.to_string());
        let moment = Moment::Open(Duration::from_micros(random.below(80_000)));
        let (_, lines) = run_to_kill(&mut mortal, moment);
        for line in lines {
            let (number, what) = line.split_once(' ').unwrap();
            let life = lives.entry(number.parse().unwrap()).or_default();
            match what {
                "end" => life.has_ended = true,
                commands => life.commands = commands.parse().unwrap(),
            }
        }
        // What nobody was told of has a number just behind.
        first = lives.last_key_value().map_or(first, |(last, _)| last + 1) + 16;
        kill += 1;
        if kill % 4 > 0 && kill < kills {
            continue;
        }
        let system = with_snapshots(&store, None).unwrap();
        for (number, life) in std::mem::take(&mut lives) {
            let place = format!("seed {seed}, kill {kill}: {number}, of which is known {life:?},");
            let found = match number.is_multiple_of(2) {
                true => system.get::<Account>(format!("{number}")).balance().await,
                false => match system.get::<Patient>(format!("{number}")).notes().await {
                    Ok(notes) => Ok(u64::try_from(notes.len()).unwrap()),
                    Err(CallError::Deleted { id, seq_nr }) => Err(CallError::Deleted { id, seq_nr }),
                    Err(error) => panic!("{place} fails: {error}"),
                },
            };
            match found {
                Ok(commands) => {
                    assert!(!life.has_ended, "{place} is back with {commands} commands");
                    let may = life.commands..=COMMANDS_OF_A_LIFE.min(life.commands + 1);
                    assert!(may.contains(&commands), "{place} has {commands} commands");
                    alive += 1;
                }
                Err(CallError::Deleted { .. }) => {
                    assert_eq!(life.commands, COMMANDS_OF_A_LIFE, "{place} has ended before");
                    // What was interrupted is completed by asking again.
                    match number.is_multiple_of(2) {
                        true => drop(system.delete::<Account>(format!("{number}")).await.unwrap()),
                        false => drop(system.forget::<Patient>(format!("{number}")).await.unwrap()),
                    }
                    ends += 1;
                }
                Err(error) => panic!("{place} fails: {error}"),
            }
        }
        system.shutdown().await.unwrap();
    }
    summary(&format!(
        "{kill} kills while entities were deleted and forgotten: {ends} have ended, {alive} have not, seed {seed}"
    ));
    assert!(ends > 0 && alive > 0, "{ends} have ended, {alive} have not");
}

/// Kills programs that take snapshots all the time, and delete what they stand for.
async fn survive_with_snapshots(kills: u64, as_files: bool) {
    let seed = seed();
    let mut random = Random::new(seed);
    let directory = work_dir().unwrap();
    let (store, snapshots) = (directory.path().join("store"), directory.path().join("snapshots"));
    let snapshots = as_files.then_some(snapshots.as_path());
    let (mut known, mut deleted, mut kill) = (Known::default(), 0, 0);
    while goes_on(kill, kills, deleted > 0 && known.commands > kill) {
        let delay = Duration::from_micros(random.below(100_000));
        let moment = match random.below(6) {
            0 => Moment::FromTheStart(delay),
            1 => Moment::Closing { after: delay, delay: Duration::from_micros(random.below(40_000)) },
            _ => Moment::Open(delay),
        };
        let mut saver = Command::new(env!("CARGO_BIN_EXE_saver"));
        saver.arg(&store).arg(ENTITIES.to_string()).args(snapshots);
        run_and_kill(&mut saver, moment, &mut known);
        kill += 1;
        if kill % 4 > 0 && kill < kills {
            continue;
        }
        let system = with_snapshots(&store, snapshots).unwrap();
        for entity in 0..ENTITIES {
            // Without its snapshot, the entity would be quarantined: its first events are gone.
            let balance = system.get::<Savings>(format!("{entity}")).balance().await.unwrap();
            let told = known.balances.insert(entity, balance).unwrap_or_default();
            assert!(balance >= told, "seed {seed}, kill {kill}: entity {entity} has {balance} of {told}");
            assert_eq!(balance % 2, 0, "seed {seed}, kill {kill}: entity {entity} has half a command");
            assert!(balance <= told + 2 * known.kills, "seed {seed}, kill {kill}: entity {entity} has {balance}");
        }
        known.kills = 0;
        system.shutdown().await.unwrap();
        deleted = 0;
        let journal = FjallJournal::open(&store, FjallOptions::default()).unwrap();
        for entity in 0..ENTITIES {
            let head = journal.open_stream(&PersistenceId::new(Savings::NAME, format!("{entity}"))).await.unwrap();
            deleted += head.floor.0;
        }
        journal.close().await.unwrap();
    }
    summary(&format!(
        "{kill} kills with snapshots {}: {} acknowledged commands, {deleted} deleted records, seed {seed}",
        if as_files { "as files" } else { "beside the journal" },
        known.commands
    ));
    assert!(deleted > 0 && known.commands > kill, "{deleted} records deleted, {} commands", known.commands);
    if let Some(snapshots) = snapshots {
        let _store = DirSnapshots::open(snapshots).unwrap();
        assert_eq!(std::fs::read_dir(snapshots.join("tmp")).unwrap().count(), 0, "half-written snapshots stay");
    }
}

#[tokio::test]
async fn snapshots_beside_the_journal_stand_for_deleted_events_after_kills() {
    survive_with_snapshots(kills(10), false).await;
}

#[tokio::test]
async fn snapshots_as_files_stand_for_deleted_events_after_kills() {
    survive_with_snapshots(kills(10), true).await;
}

/// The engine's files of a store: its tables, and its journal files.
type EngineFiles = (BTreeSet<u64>, BTreeSet<u64>);

fn engine_files(store: &Path) -> EngineFiles {
    let numbers = |path: &Path, suffix: &str| -> BTreeSet<u64> {
        let names = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.strip_suffix(suffix)?.parse().ok()).collect()
    };
    let engine = store.join("fjall");
    (numbers(&engine.join("keyspaces/1/tables"), ""), numbers(&engine, ".jnl"))
}

/// What the engine was doing with its files.
#[derive(Debug, Default)]
struct Moves {
    /// What there was when it was last looked.
    seen: EngineFiles,
    /// So many tables were begun, and so many were gone again since they were merged.
    tables: usize,
    merged: usize,
    /// So many journal files were begun behind the first.
    journals: usize,
}

impl Moves {
    /// Notes what has changed; says whether something was begun.
    fn note(&mut self, now: EngineFiles) -> bool {
        let begun = now.0.difference(&self.seen.0).count();
        let journals = now.1.difference(&self.seen.1).count();
        self.tables += begun;
        self.merged += self.seen.0.difference(&now.0).count();
        self.journals += journals;
        self.seen = now;
        begun + journals > 0
    }
}

/// How many lives of a filler a store has before it is read as a whole.
const LIVES: u64 = 6;
/// In each life but the last it is killed when so many files were begun at the most.
const BEGUN_MAX: u64 = 3;
/// When so many files were begun in one life, tables are being merged, or soon will be.
const MERGING_FROM: u64 = 8;
/// Nothing takes so long but what hangs.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Waits until so many files were begun and so many tables merged, and some time more, or for nothing any more.
fn wait_for_moves(store: &Path, moves: &mut Moves, begun: u64, merged: usize, delay: Duration) {
    let (begin, mut left) = (Instant::now(), begun);
    while (left > 0 || moves.merged < merged) && begin.elapsed() < WAIT_MAX {
        left = left.saturating_sub(u64::from(moves.note(engine_files(store))));
        std::thread::sleep(Duration::from_micros(500));
    }
    std::thread::sleep(delay);
}

/// Opens a store and finds all that was told, and hardly more.
async fn check_lives(store: &Path, told: &BTreeMap<u64, u64>, lives: u64, place: &str) -> u64 {
    let journal = FjallJournal::open(store, FjallOptions::default()).unwrap_or_else(|error| panic!("{place}: {error}"));
    let mut beyond = 0;
    for entity in 0..lives * ENTITIES_OF_A_LIFE {
        let told = told.get(&entity).copied().unwrap_or_default();
        let head = journal.open_stream(&PersistenceId::new(Account::NAME, format!("{entity}"))).await.unwrap();
        let stored = head.last.0;
        assert!((told..=told + 1).contains(&stored), "{place}: entity {entity} has {stored} commands of {told}");
        beyond += stored - told;
    }
    let (mut offset, mut records) = (Offset(0), 0);
    while offset < journal.durable() {
        for run in journal.read_all(offset, 1 << 22).await.unwrap().runs {
            let view = RunView::parse(&run.bytes, journal.facts().store).unwrap();
            assert_eq!(run.offset.0, offset.0 + 1, "{place}: the offsets have a gap");
            offset = Offset(offset.0 + view.records());
            records += view.records();
        }
    }
    assert_eq!(records, journal.durable().0, "{place}");
    journal.close().await.unwrap();
    beyond
}

#[tokio::test]
async fn kills_while_rows_move_into_tables_and_tables_are_merged_lose_nothing() {
    let (kills, seed) = (kills(2).next_multiple_of(LIVES), seed());
    let mut random = Random::new(seed);
    let (mut moves, mut commands, mut beyond) = (Moves::default(), 0, 0);
    for round in 0..kills / LIVES {
        let directory = work_dir().unwrap();
        let store = directory.path().join("store");
        let mut told = BTreeMap::<u64, u64>::new();
        moves.seen = EngineFiles::default();
        for life in 0..LIVES {
            let is_last = life + 1 == LIVES;
            let (more, delay) = (random.below(BEGUN_MAX) + 1, Duration::from_micros(random.below(60_000)));
            // The last life of a store is long enough for a merge; that of the last store goes on until there was one.
            let begun = if is_last { MERGING_FROM + more } else { more };
            let merged = usize::from(is_last && round + 1 == kills / LIVES);
            let mut filler = Command::new(env!("CARGO_BIN_EXE_filler"));
            filler.arg(&store).arg(life.to_string());
            let (_, lines) = run_until(&mut filler, true, |_| wait_for_moves(&store, &mut moves, begun, merged, delay));
            for line in lines {
                let (entity, commands) = line.split_once(' ').unwrap();
                told.insert(entity.parse().unwrap(), commands.parse().unwrap());
            }
            // In between, the next one finds what the kill has left.
            if is_last {
                beyond += check_lives(&store, &told, LIVES, &format!("seed {seed}, store {round}")).await;
            }
        }
        commands += told.values().sum::<u64>();
    }
    summary(&format!(
        "{kills} kills while {} tables and {} journal files were begun and {} tables merged: {commands} acknowledged \
         commands, {beyond} stored without an acknowledgement, seed {seed}",
        moves.tables, moves.journals, moves.merged
    ));
    assert!(moves.journals > 0 && moves.merged > 0, "no kill can have met a new journal file or a merge: {moves:?}");
}

/// Lets a lessor live on a day, until it says `ready` and so much longer, and kills it.
fn lessor(store: &Path, leases: u64, day: u64, longer: Duration) {
    let mut lessor = Command::new(env!("CARGO_BIN_EXE_lessor"))
        .arg(store)
        .args([leases, day].map(|number| number.to_string()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(lessor.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "the lessor failed: {}", read(lessor.stderr.take().unwrap()));
    std::thread::sleep(longer);
    lessor.kill().unwrap();
    lessor.wait().unwrap();
}

#[tokio::test]
async fn deadlines_survive_kills_and_fire_once() {
    const LEASES: u64 = 2000;
    let seed = seed();
    let mut random = Random::new(seed);
    let directory = work_dir().unwrap();
    let store = directory.path().join("store");
    lessor(&store, LEASES, 0, Duration::ZERO);
    lessor(&store, LEASES, 59, Duration::from_millis(100));
    let early = ran_out(&store).await;
    assert!(early.values().all(|count| *count == 0), "some ran out a day early: {early:?}");
    let (mut kills, mut patience, mut before) = (0, 40_000, LEASES);
    loop {
        // In the middle of it, mostly; where that is too early to get on, a little later.
        lessor(&store, LEASES, 60, Duration::from_micros(random.below(patience)));
        kills += 1;
        let left = ran_out(&store).await.values().filter(|count| **count == 0).count();
        if left == 0 {
            break;
        }
        let left = u64::try_from(left).unwrap();
        patience += if before - left < LEASES / 20 { 20_000 } else { 0 };
        before = left;
        assert!(kills < 1000, "the lessor gets nowhere");
    }
    summary(&format!("{} kills while {LEASES} deadlines were armed and came, seed {seed}", kills + 3));
    lessor(&store, LEASES, 61, Duration::from_millis(100));
    let fired = ran_out(&store).await;
    assert_eq!(u64::try_from(fired.len()).unwrap(), LEASES);
    assert!(fired.values().all(|count| *count == 1), "each of them runs out once: {fired:?}");
}

/// How often each lease of a store has run out.
async fn ran_out(store: &Path) -> BTreeMap<String, u64> {
    let journal = FjallJournal::open(store, FjallOptions::default()).unwrap();
    let (mut fired, mut after) = (BTreeMap::new(), Offset(0));
    while after < journal.durable() {
        for run in journal.read_all(after, 1 << 20).await.unwrap().runs {
            let view = RunView::parse(&run.bytes, journal.facts().store).unwrap();
            after = Offset(run.offset.0 + view.records() - 1);
            view.for_each(|_, _, record| {
                let count = fired.entry(view.id().entity.as_str().to_owned()).or_default();
                *count += u64::from(matches!(record, Record::Transition(way) if way.to == "Warned"));
                Ok::<(), RunError>(())
            })
            .unwrap();
        }
    }
    journal.close().await.unwrap();
    fired
}

/// When a victim is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after it was started.
    FromTheStart(Duration),
    /// So long after the store was opened.
    Open(Duration),
    /// It is told to close so long after the store was opened, and killed a little later.
    Closing { after: Duration, delay: Duration },
}

/// The program that deposits money in a store.
fn victim(store: &Path, durability: &str, keys: &str) -> Command {
    let mut victim = Command::new(env!("CARGO_BIN_EXE_victim"));
    victim.arg(store).arg(ENTITIES.to_string()).args([durability, keys]);
    victim
}

/// Lets the victim work for a while and kills it; notes what it has told. Says whether it had ended in order before.
fn run_and_kill(victim: &mut Command, moment: Moment, known: &mut Known) -> bool {
    let (has_ended, lines) = run_to_kill(victim, moment);
    for line in lines {
        let (entity, balance) = line.split_once(' ').unwrap();
        let (entity, balance): (u64, u64) = (entity.parse().unwrap(), balance.parse().unwrap());
        let known_balance = known.balances.entry(entity).or_default();
        *known_balance = balance.max(*known_balance);
        known.commands += 1;
    }
    known.kills += 1;
    has_ended
}

/// Lets a program work for a while and kills it. Says whether it had ended in order before, and the whole lines that it
/// has told, but for the first.
fn run_to_kill(victim: &mut Command, moment: Moment) -> (bool, Vec<String>) {
    let is_opened = !matches!(moment, Moment::FromTheStart(_));
    run_until(victim, is_opened, |input| match moment {
        Moment::FromTheStart(delay) | Moment::Open(delay) => std::thread::sleep(delay),
        Moment::Closing { after, delay } => {
            std::thread::sleep(after);
            input.write_all(b"close\n").unwrap();
            std::thread::sleep(delay);
        }
    })
}

/// The same at a moment that somebody waits for, once it is open or from the start.
fn run_until(victim: &mut Command, is_opened: bool, wait: impl FnOnce(&mut ChildStdin)) -> (bool, Vec<String>) {
    let mut victim = victim.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap());
    let stderr = victim.stderr.take().unwrap();
    if is_opened {
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        if first != "open\n" {
            panic!("the store did not open unaided: {}", read(stderr));
        }
    }
    let reader = std::thread::spawn(move || {
        let mut told = Vec::new();
        lines.read_to_end(&mut told).unwrap();
        told
    });
    wait(victim.stdin.as_mut().unwrap());
    victim.kill().unwrap();
    let ended = victim.wait().unwrap();
    // Nothing else ends it: not an error, and not a panic.
    assert!(ended.success() || ended.code().is_none(), "the victim failed: {}", read(stderr));
    let told = String::from_utf8(reader.join().unwrap()).unwrap();
    let lines = told.split_inclusive('\n').filter(|line| line.ends_with('\n') && *line != "open\n");
    (ended.success(), lines.map(|line| line.trim_end().to_owned()).collect())
}

fn read(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

/// Opens the store and compares it with what was acknowledged: through the system, and row by row.
async fn check(store: &Path, known: &mut Known, seed: u64, kill: u64) {
    let system = System::open(store).await.unwrap();
    for entity in 0..ENTITIES {
        let balance = system.get::<Account>(format!("{entity}")).balance().await.unwrap();
        let told = known.balances.insert(entity, balance).unwrap_or_default();
        assert!(balance >= told, "seed {seed}, kill {kill}: entity {entity} has {balance}, acknowledged was {told}");
        assert_eq!(balance % 2, 0, "seed {seed}, kill {kill}: entity {entity} has half a command");
        let beyond = (balance - told) / 2;
        let in_flight = CALLERS * known.kills;
        assert!(
            beyond <= in_flight,
            "seed {seed}, kill {kill}: entity {entity} has {beyond} commands that nobody was told of, \
             and no more than {in_flight} were in flight"
        );
        known.beyond += beyond;
    }
    known.kills = 0;
    system.shutdown().await.unwrap();

    let journal = FjallJournal::open(store, FjallOptions::default()).unwrap();
    let (mut last, mut offset) = (BTreeMap::new(), Offset(0));
    loop {
        let page = journal.read_all(offset, 1 << 20).await.unwrap();
        for run in &page.runs {
            let view = RunView::parse(&run.bytes, journal.facts().store).unwrap();
            assert_eq!(run.offset.0, offset.0 + 1, "seed {seed}, kill {kill}: the offsets have a gap");
            let expected = last.get(&run.stream).map_or(1, |last: &u64| last + 1);
            assert_eq!(view.first().0, expected, "seed {seed}, kill {kill}: stream {} has a gap", run.stream);
            assert_eq!(view.records() % 2, 0, "seed {seed}, kill {kill}: half a command");
            last.insert(run.stream, view.first().0 + view.records() - 1);
            offset = Offset(offset.0 + view.records());
        }
        if !page.more {
            break;
        }
    }
    assert_eq!(offset, journal.durable());
    journal.close().await.unwrap();
}
