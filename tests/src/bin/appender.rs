//! Appends groups to a journal and tells what became of them: `appender <dir> <groups> <bytes> <stalled after, ms> <end>`.
//!
//! It says `open`, then a line for each run with its outcome and its key, then how the journal fares, and at the end `close`
//! and whether that was in order; or, with `exit` as its end, it goes away as it is. Where a group fails, it tries two more.

#![expect(clippy::print_stdout, reason = "its output is what the tests look at")]

use std::env;
use std::error::Error;
use std::time::Duration;

use annals::journal::{
    Due, EventRecord, FjallJournal, FjallOptions, Health, Journal, Outcome, Record, Run, RunBuilder, Write,
};
use annals::{Codec, PersistenceId, SeqNr, Timestamp};

/// So many streams have a run in each group; every second one is encrypted.
const STREAMS: usize = 4;
/// So many groups are handed over at once, so that some wait.
const AT_ONCE: usize = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [store, groups, bytes, stalled_after, end] = &arguments[..] else {
        return Err("which store, how many groups, how long, how much time, and which end?".into());
    };
    let (groups, payload): (u64, _) = (groups.parse()?, vec![7; bytes.parse()?]);
    let options = FjallOptions::new().free_bytes_min(0).stalled_after(Duration::from_millis(stalled_after.parse()?));
    let journal = FjallJournal::open(store, options)?;
    println!("open");
    let mut lasts = [SeqNr::ZERO; STREAMS];
    let mut failures = 0;
    for group in 0..groups {
        let mut submitted = Vec::new();
        for nth in 0..AT_ONCE {
            let mut runs = Vec::new();
            for (stream, last) in lasts.iter_mut().enumerate() {
                let id = PersistenceId::new("stream", format!("{group}-{nth}-{stream}"));
                let id = if stream < STREAMS / 2 { PersistenceId::new("stream", format!("{stream}")) } else { id };
                let head = journal.open_stream(&id).await?;
                *last = if stream < STREAMS / 2 { (*last).max(head.last).next() } else { head.last.next() };
                runs.push(run(&journal, head.stream, id, *last, &payload, stream % 2 == 1));
            }
            let keys: Vec<_> = runs.iter().map(|run| run.key(&journal.facts())).collect();
            submitted.push((keys, journal.append(runs)));
        }
        let mut is_stored = true;
        for (keys, outcomes) in submitted {
            for (key, outcome) in keys.iter().zip(outcomes.await) {
                let key = serde_json::to_string(key)?;
                is_stored &= matches!(outcome, Outcome::Stored(_));
                match outcome {
                    Outcome::Stored(offset) => println!("stored\t{key}\t{offset}"),
                    Outcome::NotStored(why) => println!("not stored\t{key}\t{why}"),
                    Outcome::Unknown(cause) => println!("unknown\t{key}\t{cause}"),
                }
            }
        }
        if !is_stored {
            failures += 1;
            println!("health\t{}", if matches!(journal.health(), Health::Failed(_)) { "failed" } else { "good" });
            let first = journal.open_stream(&PersistenceId::new("stream", "0")).await?;
            let page = journal.read(first.stream, SeqNr(1), first.last, usize::MAX).await?;
            println!("read\t{}\t{}", page.runs.len(), first.last);
        }
        if failures > 2 {
            break;
        }
    }
    if end == "exit" {
        std::process::exit(0);
    }
    println!("close\t{}", if journal.close().await.is_ok() { "in order" } else { "not in order" });
    Ok(())
}

fn run(
    journal: &FjallJournal,
    stream: annals::StreamNo,
    id: PersistenceId,
    first: SeqNr,
    payload: &[u8],
    encrypted: bool,
) -> Run {
    let mut run = RunBuilder::new(stream, id, first);
    if encrypted {
        run = run.forgettable();
    }
    let event = EventRecord { name: "happened", version: 1, codec: Codec::MessagePack, payload };
    run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
    run.seal(&journal.facts(), 1)
}
