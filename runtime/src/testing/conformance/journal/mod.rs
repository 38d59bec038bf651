//! What every journal must do. See [`conformance`](super) for how to have it checked.

use std::pin::Pin;
use std::time::Duration;

use super::executor::{self, Drives, block_on};
use super::told::Rule;
use crate::journal::Journal;

mod closing;
mod crashes;
mod deadlines;
mod deletion;
mod forgetting;
mod hand;
mod list;
mod models;
mod reading;
mod rules;
mod settling;
mod streams;
mod threads;
mod waiting;
mod writing;

use hand::Subject;

/// A place that a journal can be opened in, closed, and opened again: what the cases are run on. Each case gets a new one.
///
/// # Examples
///
/// See [`conformance`](super#examples).
pub trait JournalStore: Send + Sync {
    /// Opens the store: an empty one the first time, later with what is stored in it.
    ///
    /// Unless [`JournalStore::shuts_out`] says otherwise, it is called only when the journal before was closed and dropped,
    /// or was handed to [`JournalStore::crash`]. It may panic where it can't be opened: that fails the case.
    fn open(&self) -> Box<dyn Journal>;

    /// Lets the program end with `journal` open: what is opened next is what a crash leaves at this moment.
    ///
    /// The more it is like a crash, the more the cases show. A journal on a disk copies its files while it is open, opens
    /// the copy from then on, and only then drops `journal`; or it runs in a process that is killed. A journal in a
    /// database breaks the connection. To drop the journal without closing it is the least.
    fn crash(&mut self, journal: Box<dyn Journal>);

    /// What can be forgotten; nothing, if nothing is said.
    fn forgets(&self) -> Forgets {
        Forgets::Nothing
    }

    /// Whether offsets have no gaps, which a journal need not promise; not, if nothing is said.
    fn gapless(&self) -> bool {
        false
    }

    /// Whether the store can be opened while it is open, and shuts the first writer out by that. If nothing is said it
    /// can't: a second [`JournalStore::open`] would fail or wait.
    fn shuts_out(&self) -> bool {
        false
    }

    /// How long a case waits for something that the journal is to do before it takes it for lost; 60 seconds, if nothing is
    /// said.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Polls a future to its end on this thread; several threads do it at once. If nothing is said, it is polled without a
    /// runtime.
    ///
    /// A journal that needs a runtime gives its own: `self.runtime.block_on(future)`. Everything but [`Journal::facts`],
    /// [`Journal::durable`], [`Journal::health`] and [`Journal::cipher`] is called from inside of it.
    fn block_on(&self, future: Pin<&mut (dyn Future<Output = ()> + Send)>) {
        block_on(future);
    }
}

/// What a journal can forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgets {
    /// Nothing: it refuses every stream that has records with [`Why::NotForgettable`](crate::journal::Why::NotForgettable).
    Nothing,
    /// Streams that were begun with [`Run::forgettable`](crate::journal::Run::forgettable).
    WhatBeganSo,
    /// Every stream, however it was begun.
    Everything,
}

impl Drives for dyn JournalStore + '_ {
    const BLOCK_ON: &'static str = "JournalStore::block_on";

    fn patience(&self) -> Duration {
        JournalStore::patience(self)
    }

    fn block_on(&self, future: Pin<&mut (dyn Future<Output = ()> + Send)>) {
        JournalStore::block_on(self, future);
    }
}

fn run(store: &mut dyn JournalStore, name: &'static str, rule: &'static Rule, case: fn(&mut Subject<'_>)) {
    executor::outside(|| {
        let mut subject = Subject::new(store, name, rule);
        case(&mut subject);
        subject.end();
    });
}

crate::__journal_cases! { cases, [JournalStore as store, every "journal", "journal", "journals", "with a store"] }

#[cfg(test)]
mod tests;
