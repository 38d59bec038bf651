//! What every journal and every store of snapshots must do, as tests: for whoever writes one.
//!
//! [`Journal`](crate::journal::Journal) and [`SnapshotStore`](crate::snapshot::SnapshotStore) say what an implementation
//! promises. Each case here holds one to such a promise. A case that fails says what was done, what was expected, what came,
//! and which sentence of the documentation that breaks:
//!
//! ```text
//! a_run_below_the_next_is_a_conflict
//!
//!     done:
//!        1. opened account "alice": Ok(StreamHead { stream: 1, last: 0, floor: 0, ended: false })
//!        2. handed over account "alice" (stream 1) from 1, 3 records, 92 bytes
//!        3. account "alice" (stream 1) from 1, 3 records, 92 bytes: [Stored(1)]
//!        4. handed over account "alice" (stream 1) from 1, 1 records, 82 bytes
//!        5. account "alice" (stream 1) from 1, 1 records, 82 bytes: [Stored(4)]
//!     what: the outcome of a run from 1
//! expected: NotStored(Conflict { expected: 0, last: 3 })
//!    found: Stored(4)
//!     rule: `Journal::append`: A run whose first sequence number isn't the one after its stream's last is refused with
//!           `Why::Conflict`.
//! ```
//!
//! The macros [`journal_conformance!`](crate::journal_conformance) and
//! [`snapshot_store_conformance!`](crate::snapshot_store_conformance) make one `#[test]` of each case. Whoever drives them
//! otherwise finds them in [`journal::CASES`] and [`snapshots::CASES`].
//!
//! # Examples
//!
//! A store tells how its journal is opened, and what a crash leaves of it. Here, one in memory:
//!
//! ```
//! use annals::journal::{Journal, MemoryJournal};
//! use annals::testing::conformance::journal::{CASES, Forgets, JournalStore};
//!
//! struct InMemory(MemoryJournal);
//!
//! impl JournalStore for InMemory {
//!     fn open(&self) -> Box<dyn Journal> {
//!         Box::new(self.0.reopen())
//!     }
//!
//!     fn crash(&mut self, journal: Box<dyn Journal>) {
//!         drop(journal); // What it holds is in the store already.
//!     }
//!
//!     // Parts that a journal need not have:
//!     fn forgets(&self) -> Forgets {
//!         Forgets::WhatBeganSo
//!     }
//!
//!     fn shuts_out(&self) -> bool {
//!         true
//!     }
//! }
//!
//! // In a test file: one `#[test]` for each case.
//! annals::journal_conformance!(InMemory(MemoryJournal::new()));
//!
//! // Or one by one.
//! let case = CASES.iter().find(|case| case.name == "the_same_run_twice_is_a_conflict").unwrap();
//! println!("{}: {}", case.name, case.what_it_shows);
//! (case.run)(&mut InMemory(MemoryJournal::new()));
//! ```
//!
//! A store of snapshots in the same way:
//!
//! ```
//! use annals::snapshot::{MemorySnapshots, SnapshotStore};
//! use annals::testing::conformance::snapshots::SnapshotPlace;
//!
//! struct InMemory(MemorySnapshots);
//!
//! impl SnapshotPlace for InMemory {
//!     fn open(&self) -> Box<dyn SnapshotStore> {
//!         Box::new(self.0.clone())
//!     }
//! }
//!
//! annals::snapshot_store_conformance!(InMemory(MemorySnapshots::new()));
//! ```
//!
//! # How to write a journal
//!
//! - Ask [`Run::check`](crate::journal::Run::check) first: it says why a run may not be stored. Then look whether its stream
//!   is open under its id, whether it has ended, and whether the run is the next of it.
//! - Store [`Run::bytes`](crate::journal::Run::bytes) as they are, and beside them the stream, the first and the last sequence
//!   number, the offset, and what [`Run::due`](crate::journal::Run::due) and [`Run::ends`](crate::journal::Run::ends) say.
//!   Nothing else of a run has to be understood; whoever wants to look in has [`RunView`](crate::journal::RunView).
//! - Begin when `append`, `delete_to`, `forget` and `close` are called, not when their futures are polled.
//! - Answer when it is durable, in the order in which it was handed over, and tell those who wait in `changed`.
//! - Make [`Facts::store`](crate::journal::Facts::store) once at random and keep it; count
//!   [`Facts::epoch`](crate::journal::Facts::epoch) up with each opening, in the same transaction in which others are shut out.
//!
//! # Runtimes
//!
//! A journal that needs a runtime gives it in [`JournalStore::block_on`](journal::JournalStore::block_on), and a store of
//! snapshots in [`SnapshotPlace::block_on`](snapshots::SnapshotPlace::block_on):
//!
//! ```
//! use std::pin::Pin;
//! # use annals::journal::{Journal, MemoryJournal};
//! use annals::testing::conformance::journal::JournalStore;
//! use tokio::runtime::Runtime;
//!
//! struct WithRuntime {
//!     runtime: Runtime,
//!     // ..
//! #     journal: MemoryJournal,
//! }
//!
//! impl JournalStore for WithRuntime {
//!     fn block_on(&self, future: Pin<&mut (dyn Future<Output = ()> + Send)>) {
//!         self.runtime.block_on(future);
//!     }
//!     // ..
//! #     fn open(&self) -> Box<dyn Journal> {
//! #         Box::new(self.journal.reopen())
//! #     }
//! #     fn crash(&mut self, journal: Box<dyn Journal>) {
//! #         drop(journal);
//! #     }
//! }
//!
//! # let new = || WithRuntime { runtime: Runtime::new().unwrap(), journal: MemoryJournal::new() };
//! annals::testing::conformance::journal::check("all_who_wait_hear", new());
//! ```
//!
//! The macros make tests that no runtime is around. Where cases are called in a tokio runtime, such as in a `#[tokio::test]`,
//! each takes a thread of its own beside it, and the caller's thread waits. So a store may have its own runtime there too. It
//! may as well work in the one around it, if that has more than one thread: `#[tokio::test(flavor = "multi_thread")]`.
//!
//! # How to write a store of snapshots
//!
//! - Refuse an id that names no entity with [`SnapshotStoreError::InvalidId`](crate::snapshot::SnapshotStoreError::InvalidId)
//!   in every method: [`EntityId::check`](crate::EntityId::check) says it of the entity, and the name of an aggregate has 1 to
//!   255 bytes.
//! - Compare ids by their bytes, and sequence numbers as `u64`, up to its end: not as a database compares text, nor as `i64`.
//! - Store the time as microseconds, which cuts it, and compare with [`Criteria::allows`](crate::snapshot::Criteria::allows).
//! - Refuse one that is too long with `TooLarge` before anything is written, and say the limit in
//!   [`SnapshotPlace::bytes_max`](snapshots::SnapshotPlace::bytes_max).
//! - Replace one with the same sequence number in one step, so that never half a one is there.
//! - Do nothing before the futures are polled, unlike a journal.
//!
//! # Chance
//!
//! Some cases choose at random, and tell the seed when they fail: with `ANNALS_SEED=<seed>` in the environment they choose the
//! same again. Threads and crashes come when they come.
//!
//! # What this shows, and what it can't
//!
//! An implementation that passes reads back what it has stored, to the byte and in order, over restarts and over the crashes
//! that its store makes; it stores runs whole, one writer's at a time; it forgets, deletes and waits as is said. Implementations
//! that break one of the promises were written for this purpose, and each is caught by the case that is made for it.
//!
//! It can't show what the implementer's own crash doesn't show. So it doesn't cut the power: whether an fsync is missing, or
//! comes too late, is found by cutting the power or by looking at the system's calls. It flips no bits in files, takes none
//! away and fills no disk: what becomes of damage, of errors of the system and of full disks belongs to each
//! implementation's own tests. It measures nothing. That nothing of a forgotten stream is left in any file can only be shown by who
//! knows the files. And what it has shown of threads holds for the ways in which they ran.

use jiff::Timestamp;

use crate::id::PersistenceId;

/// Makes of a list of cases what is public of it: `Case`, `check` and `CASES`.
macro_rules! cases {
    (
        [$store:ident as $name_of_it:ident, every $one:literal, $it:literal, $all:literal, $place:literal]
        $($what:literal $rule:ident $module:ident $name:ident;)*
    ) => {
        #[doc = concat!("One case: something that every ", $one, " does.")]
        #[derive(Debug, Clone, Copy)]
        #[non_exhaustive]
        pub struct Case {
            /// Its name, which is that of its test.
            pub name: &'static str,
            /// What it shows.
            pub what_it_shows: &'static str,
            #[doc = concat!("The promise that it holds the ", $it, " to, in the documentation's words. A failure may name another one.")]
            pub rule: &'static Rule,
            #[doc = concat!(
                "Does it, ", $place, " that is empty. It panics where the ", $it, " does something else, and says what was \
                 done, what was expected, what came, and which rule that breaks."
            )]
            pub run: fn(&mut dyn $store),
        }

        /// Does the case of this name.
        ///
        /// # Panics
        ///
        #[doc = concat!("If the ", $it, " does something else than the case says, or if there is no such case.")]
        pub fn check(name: &str, mut $name_of_it: impl $store) {
            let case = CASES.iter().find(|case| case.name == name);
            let Some(case) = case else { panic!("there is no case `{name}` for {}", $all) };
            // It is dropped there, too: a runtime can't be dropped in another one.
            executor::outside(move || (case.run)(&mut $name_of_it));
        }

        /// All cases.
        pub const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            what_it_shows: $what,
            rule: &rules::$rule,
            run: |$name_of_it| run($name_of_it, stringify!($name), &rules::$rule, $module::$name),
        }),*];
    };
}

mod chance;
mod executor;
pub mod journal;
mod odd;
pub mod snapshots;
mod told;

pub use executor::block_on;
pub use told::Rule;

fn id(entity: &str) -> PersistenceId {
    PersistenceId::new("account", entity)
}

/// A time, in microseconds since 1970.
fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}
