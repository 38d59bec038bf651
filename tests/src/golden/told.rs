//! What is told of a fixture, line by line.

use std::fmt::Write as _;
use std::path::Path;

use annals::journal::{
    EventRecord, FjallJournal, FjallOptions, Journal, Record, RunError, RunView, StoredCause, StoredKey, StoredOutcome,
};
use annals::prelude::*;
use annals::testing::ManualClock;
use annals::{Codec, Offset, SeqNr};

use super::{HOUR, Meter, Outcome, Oven, OvenState, Patient, Purse, READ_AFTER, TooFew, begin, builder, until};

/// Opens a store and tells everything that it holds. Nothing is added to it but that it was opened.
///
/// # Errors
///
/// What goes wrong in it.
pub async fn told(store: &Path) -> Outcome<String> {
    let mut told = String::new();
    journal(&mut told, store).await?;
    entities(&mut told, store).await?;
    Ok(told)
}

/// All records, in their order, and the deadlines that are armed.
async fn journal(told: &mut String, store: &Path) -> Outcome<()> {
    let journal = FjallJournal::open(store, FjallOptions::default())?;
    let (mut lines, mut after) = (Vec::new(), Offset(0));
    while after < journal.durable() {
        let page = journal.read_all(after, 1 << 20).await?;
        for run in &page.runs {
            let view = RunView::parse(&run.bytes, journal.facts().store)?;
            after = Offset(run.offset.0 + view.records() - 1);
            let id = view.id();
            view.for_each(|seq_nr, write, record| {
                if seq_nr <= run.floor {
                    return Ok(());
                }
                let offset = run.offset.0 + (seq_nr.0 - view.first().0);
                let line = line(&record);
                let (key, cause) = (write.key.map(key), write.cause.map(cause));
                let notes =
                    [cause, key, write.outcome.map(outcome)].into_iter().flatten().collect::<Vec<_>>().join(", ");
                lines.push(format!("{offset} {id} {seq_nr} {} [{notes}] {line}\n", write.time));
                Ok::<(), RunError>(())
            })?;
        }
        if !page.more {
            break;
        }
    }
    told.extend(lines);
    for armed in journal.armed().await? {
        let id = journal.stream_id(armed.stream).await?;
        writeln!(told, "armed {} for {}", id.as_ref().map_or("nobody".to_owned(), ToString::to_string), armed.due)?;
    }
    journal.close().await?;
    Ok(())
}

fn line(record: &Record<'_>) -> String {
    match record {
        Record::Event(EventRecord { name, version, codec, payload }) => {
            format!("event {name} {version} {}", bytes(*codec, payload))
        }
        Record::Transition(way) => {
            let transient = if way.transient { ", transient" } else { "" };
            let due = way.due.map(|due| format!(" until {due}")).unwrap_or_default();
            format!("transition {} -> {}{transient}{due}", way.from.unwrap_or("nothing"), way.to)
        }
        Record::DeadlineConsumed { visit } => format!("the deadline of {visit} was consumed"),
        Record::Receipt => "a receipt".to_owned(),
        Record::Tombstone => "a tombstone".to_owned(),
        Record::Skipped { kind } => format!("a record of the unknown kind {kind}"),
        _ => "a record of a kind that this program doesn't know".to_owned(),
    }
}

fn bytes(codec: Codec, payload: &[u8]) -> String {
    match codec {
        Codec::Json => String::from_utf8_lossy(payload).into_owned(),
        _ => payload.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")),
    }
}

fn key(key: StoredKey) -> String {
    match key {
        StoredKey::Unique(digest) => format!("unique {}", bytes(Codec::MessagePack, &digest)),
        StoredKey::Rising(number) => format!("rising {number}"),
    }
}

fn cause(cause: StoredCause<'_>) -> String {
    match cause {
        StoredCause::Command(name) => format!("command {name}"),
        StoredCause::Deadline { visit } => format!("deadline of {visit}"),
    }
}

fn outcome(outcome: StoredOutcome<'_>) -> String {
    match outcome {
        StoredOutcome::Replied { codec, payload } => format!("replied {}", bytes(codec, payload)),
        StoredOutcome::Refused { codec, payload } => format!("refused {}", bytes(codec, payload)),
        StoredOutcome::NotAccepted { state } => format!("not accepted in {state}"),
    }
}

/// What a program sees.
async fn entities(told: &mut String, store: &Path) -> Outcome<()> {
    let clock = ManualClock::at(begin()?);
    clock.advance(2 * HOUR + HOUR / 2);
    let system = builder(&clock).register::<Oven>().open(store).await?;
    let purse = system.get::<Purse>("with coins").content().await?;
    writeln!(told, "purse: {purse:?}, {} events replayed", system.stats().events_replayed)?;
    let before = system.replay::<Purse>("with coins").to_seq(SeqNr(2)).await?;
    writeln!(told, "purse at {}: {:?}", before.seq_nr(), before.data())?;
    let whole = system.replay::<Purse>("with coins").without_snapshots().await?;
    writeln!(told, "purse without its snapshot: {:?}", whole.data())?;
    for id in ["idle", "busy", "late"] {
        let oven = system.get::<Oven>(id);
        writeln!(told, "oven {id}: {:?}, {} baked", oven.state().await?, oven.baked().await?)?;
    }
    let replayed = system.stats().events_replayed;
    let sum = system.get::<Meter>("water").sum().await?;
    writeln!(told, "meter: {sum}, {} events replayed", system.stats().events_replayed - replayed)?;
    let early = system.replay::<Meter>("water").to_seq(SeqNr(2)).await;
    writeln!(told, "meter at 2: {}", if early.is_err() { "deleted" } else { "there" })?;
    let gone = matches!(system.get::<Purse>("deleted").content().await, Err(CallError::Deleted { .. }));
    writeln!(told, "purse deleted: {}", if gone { "deleted" } else { "there" })?;
    writeln!(told, "patient kept: {:?}", system.get::<Patient>("kept").notes().await?)?;
    let gone = matches!(system.get::<Patient>("forgotten").notes().await, Err(CallError::Deleted { .. }));
    writeln!(told, "patient forgotten: {}", if gone { "deleted" } else { "there" })?;
    writeln!(told, "snapshots that can't be used: {}", system.stats().snapshots_unusable)?;
    writeln!(told, "entities in quarantine: {}", system.stats().quarantines)?;
    system.shutdown().await?;
    Ok(())
}

/// Goes on with a store: keys are known, deadlines come, and more is stored behind what is there.
///
/// # Errors
///
/// What goes wrong in it.
///
/// # Panics
///
/// If the store isn't as it was written.
pub async fn again(store: &Path) -> Outcome<()> {
    let clock = ManualClock::at(begin()?);
    clock.advance(READ_AFTER);
    let system = builder(&clock).register::<Oven>().open(store).await?;
    let purse = system.get::<Purse>("with coins");
    assert_eq!(purse.pay(5).key(Key::unique("order 1")).await?, 43, "the first answer is given again");
    assert_eq!(purse.pay(7).key(Key::rising(41)).await?, 36);
    let refused = purse.pay(1_000).key(Key::unique("order 2")).await;
    assert!(matches!(refused, Err(CallError::Refused(TooFew { coins: 36 }))), "{refused:?}");
    assert_eq!(purse.pay(1).key(Key::unique("order 3")).await?, 37);

    // It was armed for this time.
    let busy = system.get::<Oven>("busy");
    until("the busy oven is cold", async || Ok(busy.state().await? == OvenState::Cold)).await?;
    assert_eq!(system.get::<Oven>("idle").state().await?, OvenState::Hot);
    assert!(matches!(busy.bake(1, None).await, Err(CallError::NotAccepted { .. })));

    assert_eq!(system.get::<Meter>("water").measure(1).await?, 29);
    let patient = system.get::<Patient>("kept");
    patient.note("well".to_owned()).await?;
    assert_eq!(patient.notes().await?, ["a cough", "a cold", "well"]);
    assert!(system.get::<Patient>("forgotten").note("back".to_owned()).await.is_err(), "what is forgotten stays so");
    assert!(system.get::<Purse>("deleted").fill(1, "anna".to_owned()).await.is_err());
    system.shutdown().await?;

    let system = builder(&clock).open(store).await?;
    let purse = system.replay::<Purse>("with coins").await?;
    assert_eq!(purse.into_data(), system.get::<Purse>("with coins").content().await?);
    assert_eq!(system.get::<Patient>("kept").notes().await?.len(), 3);
    system.shutdown().await?;
    Ok(())
}

/// How many records an oven has.
pub(super) async fn records(system: &System, oven: &str) -> Outcome<u64> {
    Ok(system.replay::<Oven>(oven).await?.seq_nr().0)
}
