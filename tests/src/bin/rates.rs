//! How fast commands are stored, beside the engine alone and a plain file, in one run: `rates <dir> [--commands <n>]`.
//!
//! All three are durable to the same degree: one fdatasync for each group or batch. The engine and the file write the
//! events of the account with their keys, one row or line for each event, in batches of 200.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use annals::System;
use annals::journal::Durability;
use annals_tests::Account;

const ENTITIES: u64 = 10_000;
const BATCH: u64 = 200;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let directory = arguments.first().ok_or("say in which directory to work: rates <dir> [--commands <n>]")?;
    let commands = match arguments.iter().position(|argument| argument == "--commands") {
        Some(at) => arguments.get(at + 1).ok_or("how many commands?")?.parse()?,
        None => 1_000_000,
    };
    let directory = Path::new(directory);
    fs::create_dir_all(directory)?;
    let cores = std::thread::available_parallelism()?;
    println!("{cores} cores, {ENTITIES} entities, {commands} commands of one event, Durability::Fsync");
    let payload = payload();

    let file = row("plain file, fdatasync for each 200", commands, plain_file(directory, commands, &payload)?);
    let engine =
        row("fjall, one row per event, SyncData for each 200", commands, engine(directory, commands, &payload)?);
    for callers in [1, 10] {
        let what = format!("annals, {callers} callers for each entity");
        let annals = row(&what, commands, annals(directory, commands, callers)?);
        println!("    {:.2} x fjall, {:.2} x plain file", annals / engine, annals / file);
    }
    Ok(())
}

fn row(what: &str, commands: u64, took: Duration) -> f64 {
    let commands = u32::try_from(commands).map_or(f64::INFINITY, f64::from);
    let rate = commands / took.as_secs_f64();
    println!("{what:<48} {:>8.3} s {:>10.0} commands/s", took.as_secs_f64(), rate);
    rate
}

/// What one event takes as bytes: name, and payload with its field name.
fn payload() -> Vec<u8> {
    b"deposited\x81\xa6amount\x01".to_vec()
}

fn plain_file(directory: &Path, commands: u64, payload: &[u8]) -> Outcome<Duration> {
    let path = directory.join("plain");
    let mut file = File::create(&path)?;
    let started = Instant::now();
    let mut batch = Vec::new();
    for number in 0..commands {
        batch.extend_from_slice(&(number % ENTITIES).to_be_bytes());
        batch.extend_from_slice(&(number / ENTITIES).to_be_bytes());
        batch.extend_from_slice(payload);
        if number % BATCH == BATCH - 1 {
            file.write_all(&batch)?;
            file.sync_data()?;
            batch.clear();
        }
    }
    let took = started.elapsed();
    fs::remove_file(path)?;
    Ok(took)
}

fn engine(directory: &Path, commands: u64, payload: &[u8]) -> Outcome<Duration> {
    let path = directory.join("fjall");
    let database = fjall::Database::builder(&path).open()?;
    let rows = database.keyspace("rows", fjall::KeyspaceCreateOptions::default)?;
    let started = Instant::now();
    let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncData));
    for number in 0..commands {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&(number % ENTITIES).to_be_bytes());
        key[8..].copy_from_slice(&(number / ENTITIES).to_be_bytes());
        batch.insert(&rows, key, payload);
        if number % BATCH == BATCH - 1 {
            let full = std::mem::replace(&mut batch, database.batch().durability(Some(fjall::PersistMode::SyncData)));
            full.commit()?;
        }
    }
    let took = started.elapsed();
    drop((batch, rows, database));
    fs::remove_dir_all(path)?;
    Ok(took)
}

/// Each caller sends its next command when it has the reply to the last.
fn annals(directory: &Path, commands: u64, callers: u64) -> Outcome<Duration> {
    let runtime = tokio::runtime::Runtime::new()?;
    let path = directory.join("annals");
    let took = runtime.block_on(async {
        let system = System::builder().durability(Durability::Fsync).open(&path).await?;
        let started = Instant::now();
        let callers: Vec<_> = (0..ENTITIES * callers)
            .map(|caller| {
                let account = system.get::<Account>(format!("{}", caller % ENTITIES));
                tokio::spawn(async move {
                    for _ in 0..commands / ENTITIES / callers {
                        account.deposit(1).await?;
                    }
                    Ok::<_, annals::CallError<annals::Never>>(())
                })
            })
            .collect();
        for caller in callers {
            caller.await??;
        }
        let took = started.elapsed();
        system.shutdown().await?;
        Ok::<_, Box<dyn Error>>(took)
    })?;
    fs::remove_dir_all(path)?;
    Ok(took)
}
