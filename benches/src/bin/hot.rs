//! The hot path alone, for a tool that counts instructions: `hot commands <n>` or `hot replay <n>`.
//!
//! One thread (and one that reads), and a journal in memory. `commands` has a thousand entities with ten callers each
//! store so many events in all. `replay` has one entity of 20,000 events loaded so often that so many events are folded.
//! What comes before and behind is the same for each number: the difference of two numbers is what the events between
//! them cost.

use std::error::Error;

use annals::journal::MemoryJournal;
use annals::prelude::*;
use annals_bench::notebook::{Notebook, id, text};

const ENTITIES: u64 = 1_000;
const CALLERS: u64 = 10;
/// How long the stream is that is replayed.
const STREAM: u64 = 20_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: hot commands <n> | hot replay <n>";
    let (Some(what), Some(number)) = (arguments.next(), arguments.next()) else { return Err(usage.into()) };
    let number = number.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    match what.as_str() {
        "commands" => runtime.block_on(commands(&MemoryJournal::new(), ENTITIES, CALLERS, number)),
        "replay" => runtime.block_on(replay(number)),
        _ => Err(usage.into()),
    }
}

fn start(journal: &MemoryJournal) -> Outcome<System> {
    Ok(System::builder().shards(2).retry_seed(1).start(journal.clone())?)
}

async fn commands(journal: &MemoryJournal, entities: u64, callers: u64, number: u64) -> Outcome<()> {
    let system = start(journal)?;
    let callers = entities * callers;
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let notebook = system.get::<Notebook>(id(caller % entities));
            let commands = number / callers + u64::from(caller < number % callers);
            tokio::spawn(async move {
                let text = text();
                for _ in 0..commands {
                    notebook.note(text.clone()).await?;
                }
                Ok::<_, CallError<annals::Never>>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    system.shutdown().await?;
    Ok(())
}

async fn replay(events: u64) -> Outcome<()> {
    let journal = MemoryJournal::new();
    commands(&journal, 1, 1_000, STREAM).await?;
    for _ in 0..events / STREAM {
        let journal = journal.reopen();
        let system = start(&journal)?;
        let (notes, _) = system.get::<Notebook>(id(0)).size().await?;
        assert_eq!(notes, STREAM, "all events are folded");
        system.shutdown().await?;
    }
    Ok(())
}
