//! What the cases hold a journal with: each call is noted, and everything that is read is checked.

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};

use super::super::executor;
use super::super::told::{Judge, Rule, Told, join};
use super::JournalStore;
use crate::id::{Offset, SeqNr, StreamNo};
use crate::journal::{Cipher, Facts, Fut, Health, Journal, Outcome, ReadError, RunKey, Settled, Why};

mod appending;
mod ending;
mod reading;

pub(super) use appending::{InFlight, every_kind};
pub(super) use reading::{Placed, Seen, numbered};

/// The store of one case, with the journal that is open.
pub(super) struct Subject<'s> {
    store: &'s mut dyn JournalStore,
    journal: Option<Box<dyn Journal>>,
    told: Told,
}

impl<'s> Subject<'s> {
    pub(super) fn new(store: &'s mut dyn JournalStore, case: &'static str, rule: &'static Rule) -> Self {
        let journal = Some(store.open());
        Self { store, journal, told: Told::new(case, rule) }
    }

    /// The journal that is open.
    pub(super) fn hand(&self) -> Hand<'_> {
        match &self.journal {
            Some(journal) => self.hand_on(&**journal),
            None => unreachable!("a journal is open but while it is opened anew"),
        }
    }

    /// Another journal that was opened of the same store.
    pub(super) fn hand_on<'a>(&'a self, journal: &'a dyn Journal) -> Hand<'a> {
        Hand { store: &*self.store, journal, judge: Judge::new(&self.told) }
    }

    pub(super) fn store(&self) -> &dyn JournalStore {
        &*self.store
    }

    pub(super) fn told(&self) -> &Told {
        &self.told
    }

    /// Judges by another rule from now on.
    pub(super) fn rule(&self, rule: &'static Rule) {
        self.told.rule(rule);
    }

    /// Opens another handle on the store while the first is open.
    pub(super) fn open_beside(&self) -> Box<dyn Journal> {
        self.told.step(format_args!("opened the store a second time"));
        self.store.open()
    }

    /// Closes the journal, and opens the store again.
    pub(super) fn reopen(&mut self) {
        self.hand().close();
        drop(self.journal.take());
        self.journal = Some(self.store.open());
        self.told.step(format_args!("opened the store again"));
    }

    /// Opens what a crash leaves of the store.
    pub(super) fn crash(&mut self) {
        if let Some(journal) = self.journal.take() {
            self.store.crash(journal);
        }
        self.journal = Some(self.store.open());
        self.told.step(format_args!("crashed, and opened what was left"));
    }

    /// Ends the case in order.
    pub(super) fn end(mut self) {
        if let Some(journal) = self.journal.take() {
            let hand = Hand { store: &*self.store, journal: &*journal, judge: Judge::new(&self.told) };
            let _closed = hand.wait("Journal::close", hand.within(|| journal.close()));
        }
    }
}

/// An open journal, for a case.
#[derive(Clone, Copy)]
pub(super) struct Hand<'a> {
    store: &'a dyn JournalStore,
    journal: &'a dyn Journal,
    judge: Judge<'a>,
}

impl<'a> Deref for Hand<'a> {
    type Target = Judge<'a>;

    fn deref(&self) -> &Judge<'a> {
        &self.judge
    }
}

/// The offset of a run that was stored.
pub(super) fn stored(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Stored(offset) => Some(offset.0),
        Outcome::NotStored(_) | Outcome::Unknown(_) => None,
    }
}

pub(super) fn is_bad_run(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotStored(Why::BadRun(_)))
}

pub(super) fn is_conflict(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotStored(Why::Conflict { .. }))
}

pub(super) fn conflict(expected: u64, last: u64) -> Outcome {
    Outcome::NotStored(Why::Conflict { expected: SeqNr(expected), last: SeqNr(last) })
}

impl<'a> Hand<'a> {
    pub(super) fn facts(self) -> Facts {
        self.journal.facts()
    }

    pub(super) fn store(self) -> &'a dyn JournalStore {
        self.store
    }

    /// The same journal, judged by this rule.
    pub(super) fn by(self, rule: &'static Rule) -> Self {
        Self { judge: self.judge.by(rule), ..self }
    }

    /// Calls where the store's futures are driven.
    #[track_caller]
    pub(super) fn within<T: Send>(self, call: impl FnOnce() -> T + Send) -> T {
        executor::within(self.store, self.judge, call)
    }

    /// Waits for what a journal has promised to do.
    #[track_caller]
    pub(super) fn wait<T: Send>(self, what: &str, future: Fut<'_, T>) -> T {
        executor::wait(self.store, self.judge, what, future)
    }

    /// Polls once, with a waker that does nothing; whether it isn't ready.
    pub(super) fn is_pending<T: Send>(self, future: &mut Fut<'_, T>) -> bool {
        self.within(|| Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_pending())
    }
}

/// Waiting, and what else is asked.
impl Hand<'_> {
    pub(super) fn cipher(self, stream: StreamNo) -> Result<Option<Arc<dyn Cipher>>, ReadError> {
        self.journal.cipher(stream)
    }

    pub(super) fn changed(self, beyond: u64) -> Fut<'static, Offset> {
        self.step(format_args!("waits for something behind {beyond}"));
        self.within(|| self.journal.changed(Offset(beyond)))
    }

    /// Waits until something is durable behind an offset.
    #[track_caller]
    pub(super) fn hears(self, waiting: Fut<'static, Offset>) -> u64 {
        let reached = self.wait("the future of Journal::changed", waiting).0;
        self.step(format_args!("heard of {reached}"));
        reached
    }

    /// Waits for all of these, each on a thread of its own, and does something as soon as all of them have been polled there.
    pub(super) fn hear_while<T>(self, waiting: Vec<Fut<'static, Offset>>, does: impl FnOnce() -> T) -> (Vec<u64>, T) {
        let (polled, polls) = mpsc::channel();
        std::thread::scope(|scope| {
            let waits = |mut waiting: Fut<'static, Offset>| {
                let mut polled = Some(polled.clone());
                let waits = poll_fn(move |context| {
                    let reached = waiting.as_mut().poll(context);
                    if let Some(polled) = polled.take() {
                        let _sent = polled.send(());
                    }
                    reached
                });
                scope.spawn(move || self.hears(Box::pin(waits)))
            };
            let threads: Vec<_> = waiting.into_iter().map(waits).collect();
            for _ in &threads {
                // It fails only if a thread has failed, which is told below.
                let _polled = polls.recv_timeout(self.store.patience());
            }
            let done = does();
            (threads.into_iter().map(join).collect(), done)
        })
    }

    /// Asks what became of a run.
    pub(super) fn settle(self, run: &RunKey) -> Result<Settled, ReadError> {
        let settled = self.wait("Journal::settle", self.within(|| self.journal.settle(run)));
        self.step(format_args!("settled {} from {}: {settled:?}", run.id(), run.first()));
        settled
    }

    pub(super) fn health(self) -> Health {
        let health = self.journal.health();
        self.step(format_args!("asked for its health: {health:?}"));
        health
    }
}
