//! Journals that lie: each is caught by a case, so that a journal that passes all of them is none of these.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annals::journal::{
    Armed, Due, EventRecord, Facts, Fut, Health, Journal, MemoryJournal, Outcome, Page, ReadError, Record, Run,
    RunBuilder, RunError, RunKey, RunView, Settled, StreamHead, Why, Write,
};
use annals::testing::conformance::journal::{CASES, Forgets, JournalStore};
use annals::{Codec, EntityId, Offset, PersistenceId, SeqNr, StreamNo, Timestamp};

use crate::outside::Shelf;

/// What a journal does otherwise than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Nothing.
    None,
    DropsEveryThirdRun,
    StoresWithTheNextGroup,
    StoresWhenPolled,
    ReadsOneTooFew,
    ReadsAllOneTooLate,
    LeavesRunsOutOfTheOrder,
    SaysThatThereIsNoMore,
    TakesNoNoticeOfTheLimitOfAPage,
    GivesEmptyPages,
    ForgetsFloorsAtOpening,
    BringsBackWhatWasDeleted,
    WakesNobody,
    WakesOnlyTheFirst,
    WakesTheFirstWaker,
    NeverEndsWaiting,
    WakesTooEarly,
    SaysWrongOffsets,
    SaysStoredForConflicts,
    SaysConflictWithoutTheLast,
    TurnsOutcomesRound,
    ChangesAByte,
    ChangesAPayload,
    OpensBesideTheFirst,
    StaysHealthy,
    ReadsWhenClosed,
    TurnsDeadlinesRound,
    ForgetsDeadlines,
    TakesLessThanItsLimit,
    MixesCases,
    IsDurableTooEarly,
    GoesOnBehindTombstones,
    NamesWithoutRecords,
    StaysInItsEpoch,
    NeverClosesStreams,
    ClosesStreamsAtOnce,
    ForgetsNothing,
    StoresBadRunsOfOthers,
    SettlesByThePlace,
    SettlesTooEarly,
}

/// What each lie is caught by.
const CAUGHT: &[(Lie, &str)] = &[
    (Lie::DropsEveryThirdRun, "what_is_stored_is_read_again_also_after_reopening"),
    (Lie::StoresWithTheNextGroup, "what_is_stored_can_be_read_at_once"),
    (Lie::StoresWhenPolled, "an_append_begins_when_it_is_called"),
    (Lie::StoresWhenPolled, "an_append_is_stored_though_its_future_is_dropped"),
    (Lie::ReadsOneTooFew, "every_window_of_a_stream_has_the_runs_that_it_touches"),
    (Lie::ReadsAllOneTooLate, "every_window_of_the_whole_journal_begins_behind_its_offset"),
    (Lie::LeavesRunsOutOfTheOrder, "the_whole_journal_is_its_streams_merged"),
    (Lie::SaysThatThereIsNoMore, "pages_of_one_byte_lead_through_a_stream"),
    (Lie::TakesNoNoticeOfTheLimitOfAPage, "a_page_has_as_many_runs_as_fit"),
    (Lie::GivesEmptyPages, "pages_of_one_byte_lead_through_a_stream"),
    (Lie::ForgetsFloorsAtOpening, "what_is_deleted_is_not_read_again"),
    (Lie::ForgetsFloorsAtOpening, "a_deletion_survives_a_crash"),
    (Lie::BringsBackWhatWasDeleted, "what_is_deleted_is_not_read_again"),
    (Lie::WakesNobody, "who_waits_hears_of_what_became_durable"),
    (Lie::WakesOnlyTheFirst, "all_who_wait_hear"),
    (Lie::WakesTheFirstWaker, "who_is_polled_by_another_task_is_woken_there"),
    (Lie::NeverEndsWaiting, "the_end_of_a_journal_ends_all_waiting"),
    (Lie::WakesTooEarly, "who_waits_for_later_goes_on_waiting"),
    (Lie::SaysWrongOffsets, "each_outcome_stands_at_its_runs_place"),
    (Lie::SaysStoredForConflicts, "a_run_below_the_next_is_a_conflict"),
    (Lie::SaysStoredForConflicts, "of_writers_on_many_threads_one_wins_each_number"),
    (Lie::SaysConflictWithoutTheLast, "a_run_beyond_the_next_is_a_conflict"),
    (Lie::TurnsOutcomesRound, "each_outcome_stands_at_its_runs_place"),
    (Lie::ChangesAByte, "what_was_stored_comes_back_to_the_byte"),
    (Lie::ChangesAPayload, "payloads_of_any_bytes_come_back"),
    (Lie::OpensBesideTheFirst, "a_second_writer_shuts_out_the_first"),
    (Lie::OpensBesideTheFirst, "of_two_writers_one_stores"),
    (Lie::StaysHealthy, "a_closed_journal_takes_nothing"),
    (Lie::ReadsWhenClosed, "a_closed_journal_takes_nothing"),
    (Lie::TurnsDeadlinesRound, "deadlines_come_in_the_order_of_their_times"),
    (Lie::ForgetsDeadlines, "a_deadline_is_armed_until_it_is_armed_anew_or_cleared"),
    (Lie::TakesLessThanItsLimit, "a_run_at_the_limit_is_stored_and_a_longer_one_is_not"),
    (Lie::MixesCases, "odd_ids_are_streams_of_their_own"),
    (Lie::IsDurableTooEarly, "offsets_rise_with_every_record"),
    (Lie::GoesOnBehindTombstones, "an_ended_stream_keeps_its_tombstone_and_takes_nothing_more"),
    (Lie::NamesWithoutRecords, "a_stream_is_named_once_it_has_records"),
    (Lie::StaysInItsEpoch, "its_facts_do_not_change"),
    (Lie::NeverClosesStreams, "a_run_of_a_stream_that_is_not_open_is_refused"),
    (Lie::ClosesStreamsAtOnce, "a_stream_opened_twice_is_closed_twice"),
    (Lie::ForgetsNothing, "a_forgotten_stream_is_read_as_nothing_and_stays_ended"),
    (Lie::SettlesByThePlace, "what_was_not_stored_is_settled_as_that"),
    (Lie::SettlesTooEarly, "a_run_is_settled_once_the_journal_was_opened_again"),
    (Lie::StoresBadRunsOfOthers, "a_run_with_other_bytes_than_fields_is_refused"),
];

/// A store whose journals lie.
struct Liars {
    journal: MemoryJournal,
    lie: Lie,
}

impl Liars {
    fn new(lie: Lie) -> Self {
        Self { journal: MemoryJournal::new(), lie }
    }
}

impl JournalStore for Liars {
    fn open(&self) -> Box<dyn Journal> {
        let honest = match self.lie {
            // The epoch of what is opened is the one that was there.
            Lie::OpensBesideTheFirst => self.journal.clone(),
            _ => self.journal.reopen(),
        };
        Box::new(Liar { honest: Arc::new(honest), lie: self.lie, kept: Arc::default() })
    }

    fn crash(&mut self, journal: Box<dyn Journal>) {
        drop(journal);
    }

    fn forgets(&self) -> Forgets {
        Forgets::WhatBeganSo
    }

    fn gapless(&self) -> bool {
        true
    }

    fn shuts_out(&self) -> bool {
        true
    }

    fn patience(&self) -> Duration {
        match self.lie {
            // Here somebody waits for ever.
            Lie::WakesNobody
            | Lie::WakesOnlyTheFirst
            | Lie::WakesTheFirstWaker
            | Lie::NeverEndsWaiting
            | Lie::StoresWhenPolled => Duration::from_millis(300),
            _ => Duration::from_secs(60),
        }
    }
}

/// An honest journal, and what is done to what it says.
struct Liar {
    honest: Arc<MemoryJournal>,
    lie: Lie,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    appended: u64,
    waits: u64,
    last_group: Vec<Run>,
    floors: HashMap<StreamNo, SeqNr>,
    names: HashMap<StreamNo, PersistenceId>,
}

impl Liar {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    fn page(&self, mut page: Page) -> Page {
        match self.lie {
            Lie::SaysThatThereIsNoMore => page.more = false,
            Lie::ChangesAByte => {
                for run in &mut page.runs {
                    let middle = run.bytes.len() / 2;
                    run.bytes[middle] ^= 0x20;
                }
            }
            Lie::ChangesAPayload => {
                for run in &mut page.runs {
                    run.bytes = with_other_payloads(&run.bytes, run.stream, &self.honest.facts());
                }
            }
            Lie::ForgetsFloorsAtOpening => {
                let floors = self.kept().floors.clone();
                let store = self.honest.facts().store;
                page.runs.retain_mut(|run| {
                    run.floor = floors.get(&run.stream).copied().unwrap_or(SeqNr::ZERO);
                    RunView::parse(&run.bytes, store).unwrap().last() > run.floor
                });
            }
            _ => {}
        }
        page
    }

    fn limit(&self, bytes_max: usize) -> usize {
        if self.lie == Lie::TakesNoNoticeOfTheLimitOfAPage { usize::MAX } else { bytes_max }
    }
}

/// The same run with other bytes in its events, and a checksum that is right.
fn with_other_payloads(bytes: &[u8], stream: StreamNo, facts: &Facts) -> Vec<u8> {
    let view = RunView::parse(bytes, facts.store).unwrap();
    let mut other = RunBuilder::new(stream, view.id(), view.first());
    let read = view.for_each(|_, _, record| {
        if let Record::Event(EventRecord { payload, .. }) = record {
            let payload: Vec<u8> = payload.iter().rev().copied().collect();
            let event = EventRecord { name: "happened", version: 1, codec: Codec::MessagePack, payload: &payload };
            other.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
        }
        Ok::<(), RunError>(())
    });
    read.unwrap();
    other.seal(facts, 1).bytes
}

fn lower(id: &PersistenceId) -> PersistenceId {
    PersistenceId::new(id.aggregate.to_lowercase(), EntityId::from(id.entity.as_str().to_lowercase()))
}

fn stored_all(durable: Offset, runs: usize) -> Vec<Outcome> {
    (0..runs).map(|_| Outcome::Stored(durable)).collect()
}

impl Journal for Liar {
    annals_tests::through! {
        honest,
        but facts, open_stream, close_stream, append, settle, durable, changed, read, read_all, armed, stream_id, delete_to,
            forget, health
    }

    fn facts(&self) -> Facts {
        let facts = self.honest.facts();
        match self.lie {
            Lie::StaysInItsEpoch => Facts { epoch: 1, ..facts },
            Lie::TakesLessThanItsLimit => Facts { run_bytes_max: facts.run_bytes_max + 1, ..facts },
            _ => facts,
        }
    }

    fn open_stream(&self, id: &PersistenceId) -> Fut<'_, Result<StreamHead, ReadError>> {
        let id = if self.lie == Lie::MixesCases { lower(id) } else { id.clone() };
        Box::pin(async move {
            let mut head = self.honest.open_stream(&id).await?;
            self.kept().names.insert(head.stream, id);
            if self.lie == Lie::ForgetsFloorsAtOpening {
                head.floor = self.kept().floors.get(&head.stream).copied().unwrap_or(SeqNr::ZERO);
            }
            Ok(head)
        })
    }

    fn close_stream(&self, stream: StreamNo) {
        match self.lie {
            Lie::NeverClosesStreams => {}
            Lie::ClosesStreamsAtOnce => (0..100).for_each(|_| self.honest.close_stream(stream)),
            _ => self.honest.close_stream(stream),
        }
    }

    fn append(&self, mut group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
        let honest = Arc::clone(&self.honest);
        let (lie, runs) = (self.lie, group.len());
        let mut kept = self.kept();
        kept.appended += 1;
        match lie {
            Lie::DropsEveryThirdRun if kept.appended.is_multiple_of(3) => {
                let durable = honest.durable();
                return Box::pin(async move { stored_all(durable, runs) });
            }
            Lie::StoresWithTheNextGroup => {
                let before = std::mem::replace(&mut kept.last_group, group);
                let durable = honest.durable();
                let stored = honest.append(before);
                return Box::pin(async move {
                    stored.await;
                    stored_all(durable, runs)
                });
            }
            Lie::StoresWhenPolled => return Box::pin(async move { honest.append(group).await }),
            Lie::MixesCases => group.iter_mut().for_each(|run| run.id = lower(&run.id)),
            _ => {}
        }
        let durable = honest.durable();
        let outcomes = honest.append(group);
        Box::pin(async move {
            let mut outcomes = outcomes.await;
            for outcome in &mut outcomes {
                match (lie, &mut *outcome) {
                    (Lie::SaysWrongOffsets, Outcome::Stored(offset)) => offset.0 += 1,
                    (Lie::SaysStoredForConflicts, Outcome::NotStored(Why::Conflict { .. }))
                    | (Lie::GoesOnBehindTombstones, Outcome::NotStored(Why::Ended { .. }))
                    | (Lie::StoresBadRunsOfOthers, Outcome::NotStored(Why::BadRun(_))) => {
                        *outcome = Outcome::Stored(durable);
                    }
                    (Lie::SaysConflictWithoutTheLast, Outcome::NotStored(Why::Conflict { last, .. })) => {
                        *last = SeqNr::ZERO;
                    }
                    _ => {}
                }
            }
            if lie == Lie::TurnsOutcomesRound {
                outcomes.reverse();
            }
            outcomes
        })
    }

    fn durable(&self) -> Offset {
        let durable = self.honest.durable();
        Offset(durable.0 + u64::from(self.lie == Lie::IsDurableTooEarly))
    }

    fn changed(&self, beyond: Offset) -> Fut<'static, Offset> {
        let mut kept = self.kept();
        kept.waits += 1;
        let is_first = kept.waits == 1;
        let beyond = if self.lie == Lie::WakesTooEarly { Offset(beyond.0.saturating_sub(1)) } else { beyond };
        let mut honest = self.honest.changed(beyond);
        let (journal, lie) = (Arc::clone(&self.honest), self.lie);
        let mut polled = false;
        Box::pin(std::future::poll_fn(move |context| {
            let was_polled = std::mem::replace(&mut polled, true);
            let nobody = match lie {
                Lie::WakesNobody => true,
                Lie::WakesOnlyTheFirst => !is_first,
                _ => false,
            };
            if lie == Lie::WakesTheFirstWaker && was_polled && journal.durable() <= beyond {
                // The waker of the first poll is in its place already.
                return Poll::Pending;
            }
            if lie == Lie::NeverEndsWaiting && journal.health() != Health::Good {
                return Poll::Pending;
            }
            if nobody {
                honest.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            } else {
                honest.as_mut().poll(context)
            }
        }))
    }

    fn read(&self, stream: StreamNo, from: SeqNr, to: SeqNr, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        let to = if self.lie == Lie::ReadsOneTooFew { SeqNr(to.0.saturating_sub(1)) } else { to };
        Box::pin(async move {
            if self.lie == Lie::ReadsWhenClosed && self.honest.health() == Health::Closed {
                return Ok(Page { runs: vec![], more: false });
            }
            let page = self.honest.read(stream, from, to, self.limit(bytes_max)).await?;
            if self.lie == Lie::GivesEmptyPages && page.runs.first().is_some_and(|run| run.bytes.len() > bytes_max) {
                return Ok(Page { runs: vec![], more: true });
            }
            Ok(self.page(page))
        })
    }

    fn read_all(&self, after: Offset, bytes_max: usize) -> Fut<'_, Result<Page, ReadError>> {
        let after = if self.lie == Lie::ReadsAllOneTooLate { Offset(after.0.saturating_add(1)) } else { after };
        Box::pin(async move {
            let mut page = self.honest.read_all(after, self.limit(bytes_max)).await?;
            if self.lie == Lie::LeavesRunsOutOfTheOrder {
                page.runs.retain(|run| run.offset.0 % 5 != 4);
            }
            Ok(self.page(page))
        })
    }

    fn armed(&self) -> Fut<'_, Result<Vec<Armed>, ReadError>> {
        Box::pin(async move {
            let mut armed = self.honest.armed().await?;
            match self.lie {
                Lie::TurnsDeadlinesRound => armed.reverse(),
                Lie::ForgetsDeadlines if self.kept().appended == 0 => armed.clear(),
                _ => {}
            }
            Ok(armed)
        })
    }

    fn stream_id(&self, stream: StreamNo) -> Fut<'_, Result<Option<PersistenceId>, ReadError>> {
        Box::pin(async move {
            if self.lie == Lie::NamesWithoutRecords {
                return Ok(self.kept().names.get(&stream).cloned());
            }
            self.honest.stream_id(stream).await
        })
    }

    fn delete_to(&self, stream: StreamNo, to: SeqNr) -> Fut<'static, Outcome> {
        match self.lie {
            Lie::ForgetsFloorsAtOpening => {
                let mut kept = self.kept();
                let floor = kept.floors.entry(stream).or_default();
                *floor = to.max(*floor);
                self.honest.delete_to(stream, SeqNr::ZERO)
            }
            // To delete less is answered, and the floor isn't what it was.
            Lie::BringsBackWhatWasDeleted => self.honest.delete_to(stream, SeqNr(to.0.saturating_sub(1))),
            _ => self.honest.delete_to(stream, to),
        }
    }

    fn forget(&self, stream: StreamNo) -> Fut<'static, Outcome> {
        let durable = self.honest.durable();
        if self.lie == Lie::ForgetsNothing {
            return Box::pin(async move { Outcome::Stored(durable) });
        }
        self.honest.forget(stream)
    }

    fn settle(&self, run: &RunKey) -> Fut<'_, Result<Settled, ReadError>> {
        let run = run.clone();
        Box::pin(async move {
            let settled = self.honest.settle(&run).await?;
            let (is_early, is_other) = (settled == Settled::Unsettled, settled == Settled::NotStored);
            match self.lie {
                Lie::SettlesTooEarly if is_early => Ok(Settled::NotStored),
                Lie::SettlesByThePlace if is_other => {
                    let head = self.honest.open_stream(run.id()).await?;
                    self.honest.close_stream(head.stream);
                    Ok(if head.last >= run.last() { Settled::Stored(self.honest.durable()) } else { settled })
                }
                _ => Ok(settled),
            }
        })
    }

    fn health(&self) -> Health {
        if self.lie == Lie::StaysHealthy { Health::Good } else { self.honest.health() }
    }
}

/// What the case of this name says of a store; nothing if it passes.
fn failure(name: &str, store: &mut dyn JournalStore) -> Option<String> {
    let case = CASES.iter().find(|case| case.name == name).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| (case.run)(store))).err()?;
    Some(panic.downcast_ref::<String>().expect("a case panics with a message").clone())
}

#[test]
fn an_honest_journal_in_a_liars_clothes_passes_every_case() {
    for case in CASES {
        (case.run)(&mut Liars::new(Lie::None));
    }
}

#[test]
fn every_lie_is_caught_by_the_case_that_is_made_for_it() {
    for (lie, case) in CAUGHT {
        let failure = failure(case, &mut Liars::new(*lie));
        let failure = failure.unwrap_or_else(|| panic!("{case} didn't catch a journal that {lie:?}"));
        for part in [case, "done:", "expected:", "found:", "rule: `"] {
            assert!(failure.contains(part), "{lie:?}: {part} isn't in\n{failure}");
        }
    }
}

/// A store that loses its last run in a crash.
#[derive(Default)]
struct Forgetful(Shelf);

impl JournalStore for Forgetful {
    fn open(&self) -> Box<dyn Journal> {
        self.0.open()
    }

    fn crash(&mut self, journal: Box<dyn Journal>) {
        self.0.crash(journal);
        self.0.lose_the_last_run();
    }
}

#[test]
fn a_store_that_loses_its_last_run_in_a_crash_is_caught() {
    for case in ["what_was_answered_survives_a_crash", "a_crash_right_after_opening_loses_nothing"] {
        assert!(failure(case, &mut Forgetful::default()).is_some(), "{case}");
    }
}

#[test]
fn a_failure_names_the_rule_that_is_broken() {
    let says = |lie, case| failure(case, &mut Liars::new(lie)).unwrap();
    let conflict = says(Lie::SaysStoredForConflicts, "a_run_below_the_next_is_a_conflict");
    assert!(conflict.contains("rule: `Journal::append`: A run whose first sequence number isn't the one after"));
    assert!(conflict.contains("expected: NotStored(Conflict { expected: 0, last: 3 })"), "{conflict}");
    // A broken promise that another case is made for is told all the same.
    let changed = says(Lie::ChangesAByte, "a_deletion_survives_a_crash");
    assert!(changed.contains("rule: `StoredRun::bytes`: its checksum was right when it was read."), "{changed}");
}
