//! Feeds a log to the tickets: the rows of a ticket one after the other, many tickets at a time.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use annals::prelude::*;
use annals::{Command, Key, Never};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::log::{Log, LogError, Row};
use crate::meaning::{self, Before};
use crate::shown::{TICKET_CHARS_MAX, shown};
use crate::tally::{Reading, Refused, Tally, Why, name};
use crate::ticket::{Refusal, Ticket, TicketCommand, TicketRef, TicketState};

/// How many rows are under way at a time. A group of commands becomes durable with one fsync, so the more there are,
/// the fewer fsyncs it takes; each costs a task and a queue.
const WORKERS: usize = 2_048;

/// How many rows wait for each worker.
const ROWS_WAITING_MAX: usize = 32;

/// Why a log was not replayed to its end. What was, is stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{0}; run it again on the same directory, and it goes on")]
    Call(#[from] CallError<Refusal>),
    #[error("{0}")]
    Query(#[from] CallError<Never>),
    #[error(
        "ticket {} is {}, though the log leads it to {}: was another log kept in this directory, or more of it?",
        shown(ticket, TICKET_CHARS_MAX),
        name(*found),
        name(*expected)
    )]
    Astray { ticket: String, found: TicketState, expected: TicketState },
    #[error("a task ended early: {0}")]
    Task(#[from] JoinError),
}

/// A row on its way to the worker of its ticket; without its content if that can't be read.
struct Job {
    ticket: String,
    row: Option<Row>,
}

/// Feeds the log to the tickets and reads them afterwards.
pub(crate) async fn replay(system: &System, log: Log) -> Result<(Reading, Tally), ReplayError> {
    let mut workers = JoinSet::new();
    let mut queues = Vec::with_capacity(WORKERS);
    for _ in 0..WORKERS {
        let (queue, jobs) = mpsc::channel(ROWS_WAITING_MAX);
        queues.push(queue);
        workers.spawn(work(system.clone(), jobs));
    }
    let reading = tokio::task::spawn_blocking(move || read(log, &queues));
    let mut tally = Tally::default();
    while let Some(worked) = workers.join_next().await {
        tally.add(worked??);
    }
    Ok((reading.await??, tally))
}

/// Reads the log and hands its rows out; always the same worker has the same ticket.
fn read(log: Log, queues: &[mpsc::Sender<Job>]) -> Result<Reading, LogError> {
    let mut reading = Reading::default();
    for entry in log {
        let entry = entry?;
        reading.count(&entry);
        let Some(ticket) = entry.ticket else { continue };
        let queue = &queues[place(&ticket, queues.len())];
        if queue.blocking_send(Job { ticket, row: entry.row.ok() }).is_err() {
            // The worker has failed, and says why itself.
            break;
        }
    }
    Ok(reading)
}

fn place(ticket: &str, places: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    ticket.hash(&mut hasher);
    let hash = usize::try_from(hasher.finish() >> 32).unwrap_or(usize::MAX);
    hash % places
}

/// Feeds its tickets row by row, and reads them when there are no more rows.
async fn work(system: System, mut jobs: mpsc::Receiver<Job>) -> Result<Tally, ReplayError> {
    let mut tally = Tally::default();
    let mut tracks = HashMap::new();
    while let Some(Job { ticket, row }) = jobs.recv().await {
        let track = tracks.entry(ticket).or_insert_with_key(|ticket| Track::of(system.get::<Ticket>(ticket.as_str())));
        track.rows += 1;
        match row {
            Some(row) => track.tell(row, &mut tally).await?,
            None => track.is_whole = false,
        }
    }
    for (number, track) in tracks {
        track.end(number, &mut tally).await?;
    }
    Ok(tally)
}

/// A ticket while its rows are read.
struct Track {
    ticket: TicketRef,
    /// How many of its rows have come.
    rows: u64,
    /// Whether all of them were accepted.
    is_whole: bool,
    /// Where they led.
    state: TicketState,
    before: Option<Before>,
    /// The log's counters in its last row.
    reopens: u32,
    reassignments: u32,
}

impl Track {
    fn of(ticket: TicketRef) -> Self {
        let state = TicketState::New;
        Self { ticket, rows: 0, is_whole: true, state, before: None, reopens: 0, reassignments: 0 }
    }

    /// Sends the command that a row means. Its key is the row's number, so a repeat gets the answer that is stored.
    async fn tell(&mut self, row: Row, tally: &mut Tally) -> Result<(), ReplayError> {
        let command = meaning::command(self.before.as_ref(), &row);
        let (name, target) = (command.name(), meaning::target(&command));
        let refused = match send(&self.ticket, command).key(Key::rising(self.rows)).await {
            Ok(()) => None,
            Err(CallError::NotAccepted { .. }) => Some(Why::NotAccepted),
            Err(CallError::Refused(why)) => Some(Why::Refused(why)),
            Err(error) => return Err(error.into()),
        };
        tally.commands += 1;
        match refused {
            None => {
                tally.moved(self.state, target, name);
                self.state = target.unwrap_or(self.state);
            }
            Some(why) => {
                self.is_whole = false;
                tally.refused(Refused { state: self.state, command: name, why });
            }
        }
        if self.before.as_ref().is_some_and(|before| meaning::is_counted_only(before, &row)) {
            tally.counted_only += 1;
        }
        (self.reopens, self.reassignments) = (row.reopens, row.reassignments);
        self.before = Some(row.into());
        Ok(())
    }

    /// Looks at what became of the ticket.
    async fn end(self, number: String, tally: &mut Tally) -> Result<(), ReplayError> {
        let found = self.ticket.state().await?;
        if found != self.state {
            return Err(ReplayError::Astray { ticket: number, found, expected: self.state });
        }
        let ticket = self.ticket.read().await?;
        tally.ended(found, &ticket);
        if self.is_whole {
            tally.fits(&number, &ticket, self.reopens, self.reassignments);
        }
        Ok(())
    }
}

/// Calls the method of the command.
fn send(ticket: &TicketRef, command: TicketCommand) -> Call<(), Refusal> {
    match command {
        TicketCommand::Open { opening } => ticket.open(opening),
        TicketCommand::Activate { change } => ticket.activate(change),
        TicketCommand::AwaitUserInfo { change } => ticket.await_user_info(change),
        TicketCommand::AwaitProblem { change } => ticket.await_problem(change),
        TicketCommand::AwaitVendor { change } => ticket.await_vendor(change),
        TicketCommand::AwaitEvidence { change } => ticket.await_evidence(change),
        TicketCommand::Resolve { change } => ticket.resolve(change),
        TicketCommand::Reopen { to, change } => ticket.reopen(to, change),
        TicketCommand::Close { change } => ticket.close(change),
        TicketCommand::Reassign { change } => ticket.reassign(change),
        TicketCommand::Update { change } => ticket.update(change),
    }
}
