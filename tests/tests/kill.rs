//! Kills a process that works on a store, again and again, and looks at what is left.
//!
//! `ANNALS_KILLS` sets how often; `ANNALS_SEED` repeats a run.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that fails panics, and tells its seed")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use annals::Offset;
use annals::System;
use annals::journal::{FjallJournal, FjallOptions, Journal, RunView};
use annals_tests::Account;

const ENTITIES: u64 = 20;

/// xorshift: enough to choose moments, and the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[tokio::test]
async fn every_acknowledged_command_survives_a_kill() {
    let kills = setting("ANNALS_KILLS", 100);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = setting("ANNALS_SEED", u64::from(now.subsec_nanos()) | 1);
    let mut random = Random(seed);
    let store = tempfile::tempdir().unwrap();
    let store = store.path().join("store");
    let mut acknowledged = BTreeMap::new();
    let (mut commands, mut beyond) = (0, 0);
    for kill in 0..kills {
        // Some moments are in the middle of opening, most are under load.
        let delay = Duration::from_micros(random.below(120_000));
        let when_open = random.below(4) > 0;
        commands += run_and_kill(&store, delay, when_open, &mut acknowledged);
        if kill % 5 == 4 {
            beyond += check(&store, &acknowledged, seed, kill).await;
        }
    }
    check(&store, &acknowledged, seed, kills).await;
    println!(
        "seed {seed}: {kills} kills, {commands} acknowledged commands, {beyond} stored without an acknowledgement"
    );
    assert!(commands > kills, "the kills came too early to mean anything: {commands} commands");
}

/// Lets the victim work for a while and kills it; notes what it was told.
fn run_and_kill(store: &Path, delay: Duration, when_open: bool, acknowledged: &mut BTreeMap<u64, u64>) -> u64 {
    let mut victim = Command::new(env!("CARGO_BIN_EXE_victim"))
        .arg(store)
        .arg(ENTITIES.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap());
    let mut stderr = victim.stderr.take().unwrap();
    if when_open {
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        if first != "open\n" {
            let mut why = String::new();
            stderr.read_to_string(&mut why).unwrap();
            panic!("the store did not open unaided: {why}");
        }
    }
    let reader = std::thread::spawn(move || {
        let mut told = Vec::new();
        lines.read_to_end(&mut told).unwrap();
        told
    });
    std::thread::sleep(delay);
    victim.kill().unwrap();
    victim.wait().unwrap();
    let told = String::from_utf8(reader.join().unwrap()).unwrap();
    let mut commands = 0;
    for line in told.split_inclusive('\n').filter(|line| line.ends_with('\n') && *line != "open\n") {
        let (entity, balance) = line.trim_end().split_once(' ').unwrap();
        let (entity, balance): (u64, u64) = (entity.parse().unwrap(), balance.parse().unwrap());
        let known = acknowledged.entry(entity).or_default();
        *known = balance.max(*known);
        commands += 1;
    }
    commands
}

/// Opens the store and compares it with what was acknowledged: through the system, and row by row.
async fn check(store: &Path, acknowledged: &BTreeMap<u64, u64>, seed: u64, kill: u64) -> u64 {
    let system = System::open(store).await.unwrap();
    let mut beyond = 0;
    for (&entity, &known) in acknowledged {
        let balance = system.get::<Account>(format!("{entity}")).balance().await.unwrap();
        assert!(balance >= known, "seed {seed}, kill {kill}: entity {entity} has {balance}, acknowledged was {known}");
        assert_eq!(balance % 2, 0, "seed {seed}, kill {kill}: entity {entity} has half a command");
        beyond += (balance - known) / 2;
    }
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
    beyond
}
