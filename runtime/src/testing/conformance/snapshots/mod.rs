//! What every store of snapshots must do. See [`conformance`](super) for how to have it checked.

use std::pin::Pin;
use std::time::Duration;

use super::executor::{self, Drives, block_on};
use super::told::Rule;
use crate::snapshot::SnapshotStore;

mod deleting;
mod hand;
mod list;
mod models;
mod rules;
mod saving;
mod threads;

use hand::Subject;

/// A place that a store of snapshots can be opened in, closed, and opened again: what the cases are run on. Each case gets a
/// new one.
///
/// # Examples
///
/// See [`conformance`](super#examples).
pub trait SnapshotPlace: Send + Sync {
    /// Opens the store: an empty one the first time, later with what is stored in it. It is called when the one before was
    /// dropped, or was handed to [`SnapshotPlace::crash`].
    fn open(&self) -> Box<dyn SnapshotStore>;

    /// Lets the program end with `store` open: what is opened next is what a crash leaves at this moment. The more it is
    /// like a crash, the more the cases show; if nothing is said, the store is dropped.
    fn crash(&mut self, store: Box<dyn SnapshotStore>) {
        drop(store);
    }

    /// The longest snapshot that the store takes, in bytes; [`SNAPSHOT_BYTES_MAX`](crate::snapshot::SNAPSHOT_BYTES_MAX), if
    /// nothing is said.
    fn bytes_max(&self) -> usize {
        crate::snapshot::SNAPSHOT_BYTES_MAX
    }

    /// How long a case waits for something that the store is to do before it takes it for lost; 60 seconds, if nothing is
    /// said.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Polls a future to its end on this thread; several threads do it at once. If nothing is said, it is polled without a
    /// runtime. Everything but [`SnapshotStore::durability`] is called from inside of it.
    fn block_on(&self, future: Pin<&mut (dyn Future<Output = ()> + Send)>) {
        block_on(future);
    }
}

impl Drives for dyn SnapshotPlace + '_ {
    const BLOCK_ON: &'static str = "SnapshotPlace::block_on";

    fn patience(&self) -> Duration {
        SnapshotPlace::patience(self)
    }

    fn block_on(&self, future: Pin<&mut (dyn Future<Output = ()> + Send)>) {
        SnapshotPlace::block_on(self, future);
    }
}

fn run(place: &mut dyn SnapshotPlace, name: &'static str, rule: &'static Rule, case: fn(&mut Subject<'_>)) {
    executor::outside(|| {
        let mut subject = Subject::new(place, name, rule);
        case(&mut subject);
    });
}

crate::__snapshot_cases! { cases, [SnapshotPlace as place, every "store of snapshots", "store", "stores of snapshots", "in a place"] }

#[cfg(test)]
mod tests;
