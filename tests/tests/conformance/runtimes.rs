//! The cases where there is a tokio runtime already: around the test, or in the journal.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use annals::journal::{Fut, Journal, MemoryJournal, Outcome, Page, ReadError, Run};
use annals::testing::conformance::{journal, snapshots};
use annals::{SeqNr, StreamNo};
use journal::{Forgets, JournalStore};
use tokio::runtime::{Builder, Runtime};

use crate::journals::Memory;
use crate::snapshots::Memory as MemoryOfSnapshots;

/// A journal that works in tasks of tokio.
struct InTasks(Arc<MemoryJournal>);

impl Journal for InTasks {
    annals_tests::through! { 0, but append, settle, read }

    fn append(&self, group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
        let appends = tokio::spawn(self.0.append(group));
        Box::pin(async move { appends.await.unwrap() })
    }

    fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        let journal = Arc::clone(&self.0);
        let reads = tokio::spawn(async move { journal.read(stream, from, to, bytes_max).await });
        Box::pin(async move { reads.await.unwrap() })
    }
}

/// A store whose journal has a runtime of its own.
struct WithRuntime {
    journal: MemoryJournal,
    runtime: Runtime,
}

impl WithRuntime {
    fn new() -> Self {
        Self { journal: MemoryJournal::new(), runtime: Builder::new_current_thread().build().unwrap() }
    }
}

impl JournalStore for WithRuntime {
    fn open(&self) -> Box<dyn Journal> {
        Box::new(InTasks(Arc::new(self.journal.reopen())))
    }

    fn crash(&mut self, journal: Box<dyn Journal>) {
        drop(journal);
    }

    fn forgets(&self) -> Forgets {
        Forgets::WhatBeganSo
    }

    fn block_on(&self, future: Pin<&mut (dyn Future<Output = ()> + Send)>) {
        self.runtime.block_on(future);
    }
}

/// A store whose journal works in the runtime that its cases are called in.
struct Around(MemoryJournal, Duration);

impl JournalStore for Around {
    fn open(&self) -> Box<dyn Journal> {
        Box::new(InTasks(Arc::new(self.0.reopen())))
    }

    fn crash(&mut self, journal: Box<dyn Journal>) {
        drop(journal);
    }

    fn forgets(&self) -> Forgets {
        Forgets::WhatBeganSo
    }

    fn patience(&self) -> Duration {
        self.1
    }
}

mod a_runtime_of_its_own {
    use super::WithRuntime;

    annals::journal_conformance!(WithRuntime::new());
}

fn call_all() {
    for case in journal::CASES {
        (case.run)(&mut Memory::new());
    }
    for case in snapshots::CASES {
        (case.run)(&mut MemoryOfSnapshots::new());
    }
}

#[tokio::test]
async fn cases_can_be_called_in_a_test_of_tokio() {
    call_all();
}

#[test]
fn cases_can_be_called_in_a_runtime_of_many_threads() {
    Runtime::new().unwrap().block_on(async { tokio::spawn(async { call_all() }).await.unwrap() });
}

#[tokio::test]
async fn a_store_with_a_runtime_of_its_own_is_driven_and_dropped_in_another_one() {
    for case in journal::CASES {
        journal::check(case.name, WithRuntime::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_may_work_in_the_runtime_that_its_cases_are_called_in() {
    for case in journal::CASES {
        journal::check(case.name, Around(MemoryJournal::new(), Duration::from_secs(60)));
    }
}

#[tokio::test]
async fn a_journal_that_needs_the_one_thread_that_a_case_holds_up_is_told_so() {
    let store = Around(MemoryJournal::new(), Duration::from_millis(50));
    let checks = AssertUnwindSafe(|| journal::check("what_is_stored_can_be_read_at_once", store));
    let message = catch_unwind(checks).unwrap_err().downcast::<String>().unwrap();
    for part in ["the future of Journal::append", "it hasn't ended", "`#[tokio::test(flavor = \"multi_thread\")]`"] {
        assert!(message.contains(part), "{part} isn't in\n{message}");
    }
}
