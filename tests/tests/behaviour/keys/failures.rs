//! Repeats while the first is on its way, and after it has failed.

use std::time::Duration;

use annals::journal::{Journal as _, MemoryJournal, ReadError, Why};
use annals::testing::{ManualClock, UnknownRun};
use annals::{CallError, Key, NotStored, SeqNr, System, Timestamp, Unknown};

use super::{Till, key, stored, till};
use crate::errors::{Bend, Bent};
use crate::{restarted, system, until};

#[tokio::test]
async fn a_repeat_while_the_first_is_on_its_way_waits_for_it_and_does_not_run() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    shop.pay(1).await.unwrap();
    journal.faults().hold();
    let first = tokio::spawn(shop.pay(10).key(key("a")));
    until("it is with the journal", || journal.faults().held() == 1).await;
    let repeats: Vec<_> = (0..5).map(|_| tokio::spawn(shop.pay(10).key(key("a")))).collect();
    until("all are handled", || system.stats().commands == 7).await;
    assert!(!repeats.iter().any(|repeat| repeat.is_finished()), "a repeat told what isn't durable");
    journal.faults().release();
    assert_eq!(first.await.unwrap().unwrap(), 11);
    for repeat in repeats {
        assert_eq!(repeat.await.unwrap().unwrap(), 11);
    }
    assert_eq!(stored(&journal, till("shop")).await.len(), 2);
}

#[tokio::test]
async fn when_the_first_is_not_stored_its_repeat_is_not_and_the_next_one_runs() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    shop.pay(1).await.unwrap();
    journal.faults().hold();
    journal.faults().refuse_next(Why::Conflict { expected: SeqNr(1), last: SeqNr(2) });
    let first = tokio::spawn(shop.pay(10).key(key("a")));
    until("it is with the journal", || journal.faults().held() == 1).await;
    let repeat = tokio::spawn(shop.pay(10).key(key("a")));
    until("both are handled", || system.stats().commands == 3).await;
    journal.faults().release();
    for error in [first.await.unwrap().unwrap_err(), repeat.await.unwrap().unwrap_err()] {
        assert!(matches!(error, CallError::NotStored { .. }), "{error:?}");
    }
    assert_eq!(shop.pay(10).key(key("a")).await.unwrap(), 11);
    assert_eq!(shop.pay(10).key(key("a")).await.unwrap(), 11);
    assert_eq!(stored(&journal, till("shop")).await.len(), 2);
}

#[tokio::test]
async fn repeats_that_are_lost_with_their_firsts_take_no_room_from_later_ones() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    let groups = journal.facts().groups_in_flight;
    // Of each kind more than may wait at a time.
    for _ in 0..30 {
        let handled = system.stats().commands;
        journal.faults().hold();
        journal.faults().refuse_next(Why::QueueFull { bytes: 2, limit: 1 });
        let mut lost = vec![tokio::spawn(shop.pay(10).key(key("a")))];
        until("it is with the journal", || journal.faults().held() == 1).await;
        lost.extend((0..5).map(|_| tokio::spawn(shop.pay(10).key(key("a")))));
        for group in 2..=groups {
            lost.push(tokio::spawn(shop.pay(1)));
            until("it is with the journal", || journal.faults().held() == group).await;
        }
        // Their first is not handed over.
        lost.extend((0..6).map(|_| tokio::spawn(shop.pay(10).key(key("b")))));
        let all = u64::try_from(lost.len()).unwrap();
        until("all are handled", || system.stats().commands == handled + all).await;
        journal.faults().release();
        for call in lost {
            let error = call.await.unwrap().unwrap_err();
            assert!(matches!(error, CallError::NotStored { .. }), "{error:?}");
        }
    }
    assert_eq!(shop.pay(10).key(key("a")).await.unwrap(), 10);
    let repeat = tokio::spawn(shop.pay(10).key(key("a")));
    until("it is answered", || repeat.is_finished()).await;
    assert_eq!(repeat.await.unwrap().unwrap(), 10);
}

#[tokio::test]
async fn after_unknown_a_repeat_is_answered_or_runs_and_never_twice() {
    for unknown in [UnknownRun::Stored, UnknownRun::Lost] {
        let (system, journal) = system();
        let shop = system.get::<Till>("shop");
        shop.pay(1).await.unwrap();
        journal.faults().fail_next(unknown);
        let error = shop.pay(10).key(key("a")).await.unwrap_err();
        assert!(matches!(error, CallError::Unknown { why: Unknown::Journal { .. }, .. }), "{error:?}");
        let again = shop.pay(10).key(key("a")).await;
        match unknown {
            UnknownRun::Stored => assert_eq!(again.unwrap(), 11, "what is stored can be read where nothing is written"),
            UnknownRun::Lost => assert!(matches!(again, Err(CallError::NotStored { .. })), "{again:?}"),
        }
        let system = restarted(&journal);
        let shop = system.get::<Till>("shop");
        assert_eq!(shop.pay(10).key(key("a")).await.unwrap(), 11);
        assert_eq!(shop.pay(10).key(key("a")).await.unwrap(), 11);
        assert_eq!(shop.total().await.unwrap(), 11);
    }
}

/// Else its caller would take for lost what is stored.
#[tokio::test]
async fn a_repeat_that_waits_for_a_first_whose_end_nobody_knows_is_told_so() {
    for unknown in [UnknownRun::Stored, UnknownRun::Lost] {
        let (system, journal) = system();
        let shop = system.get::<Till>("shop");
        shop.pay(1).key(key("before")).await.unwrap();
        journal.faults().hold();
        journal.faults().fail_next(unknown);
        let first = tokio::spawn(shop.pay(10).key(key("a")));
        until("it is with the journal", || journal.faults().held() == 1).await;
        let repeat = tokio::spawn(shop.pay(10).key(key("a")));
        let behind = tokio::spawn(shop.pay(10));
        let later = tokio::spawn(shop.pay(10).key(key("a")));
        let known = tokio::spawn(shop.pay(1).key(key("before")));
        until("all are handled", || system.stats().commands == 6).await;
        journal.faults().release();
        for call in [first, repeat, later] {
            let error = call.await.unwrap().unwrap_err();
            assert!(matches!(error, CallError::Unknown { why: Unknown::Journal { .. }, .. }), "{error:?}");
        }
        let error = behind.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::NotStored { .. }), "{error:?}");
        assert_eq!(known.await.unwrap().unwrap(), 1, "its first is durable, whatever failed since");
    }
}

#[tokio::test]
async fn a_repeat_behind_lost_writes_waits_for_a_first_that_is_still_on_its_way() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    journal.faults().hold();
    journal.faults().refuse_next(Why::QueueFull { bytes: 2, limit: 1 });
    let lost = tokio::spawn(shop.pay(1));
    until("it is with the journal", || journal.faults().held() == 1).await;
    let first = tokio::spawn(shop.pay(10).key(key("a")));
    until("it is with the journal", || journal.faults().held() == 2).await;
    let mut behind = Vec::new();
    for handled in 3..=5 {
        behind.push(tokio::spawn(shop.pay(100)));
        until("it is handled", || system.stats().commands == handled).await;
    }
    assert_eq!(journal.faults().held(), 4, "the last is not handed over");
    let repeat = tokio::spawn(shop.pay(10).key(key("a")));
    until("all are handled", || system.stats().commands == 6).await;
    assert!(journal.faults().release_next());
    assert!(matches!(lost.await.unwrap(), Err(CallError::NotStored { .. })));
    assert!(!first.is_finished() && !repeat.is_finished(), "told before it was known");
    journal.faults().release();
    for call in behind.into_iter().chain([first, repeat]) {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::NotStored { why: NotStored::EarlierWriteFailed, .. }), "{error:?}");
    }
    assert_eq!(shop.pay(10).key(key("a")).await.unwrap(), 10);
}

#[tokio::test]
async fn a_panic_stores_nothing_and_the_repeat_runs() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    let error = shop.crash_if_empty().key(key("a")).await.unwrap_err();
    assert!(matches!(error, CallError::Panicked { .. }), "{error:?}");
    for _ in 0..2 {
        let error = shop.curse().key(key("b")).await.unwrap_err();
        assert!(matches!(error, CallError::Panicked { .. }), "{error:?}");
    }
    assert!(stored(&journal, till("shop")).await.is_empty());
    shop.pay(3).await.unwrap();
    assert_eq!(shop.crash_if_empty().key(key("a")).await.unwrap(), 3);
    shop.pay(3).await.unwrap();
    assert_eq!(shop.crash_if_empty().key(key("a")).await.unwrap(), 3);
    assert_eq!(shop.pay(7).key(key("b")).await.unwrap(), 13);
}

#[tokio::test]
async fn a_repeat_is_known_after_a_quarantine() {
    let (journal, clock) = (MemoryJournal::new(), ManualClock::at(Timestamp::UNIX_EPOCH));
    let start = || System::builder().shards(1).clock(clock.clone());
    let system = start().start(journal.clone()).unwrap();
    assert_eq!(system.get::<Till>("shop").pay(10).key(key("a")).await.unwrap(), 10);
    system.shutdown().await.unwrap();

    let journal = journal.reopen();
    let system = start().start(journal.clone()).unwrap();
    let shop = system.get::<Till>("shop");
    journal.faults().fail_reads(ReadError::Engine { what: "a row".to_owned(), error: "the disk is gone".into() });
    for _ in 0..3 {
        let error = shop.pay(10).key(key("a")).await.unwrap_err();
        assert!(matches!(error, CallError::Quarantined { .. }), "{error:?}");
        clock.advance(Duration::from_secs(400));
    }
    journal.faults().heal_reads();
    assert_eq!(shop.pay(10).key(key("a")).await.unwrap(), 10);
    assert_eq!(shop.total().await.unwrap(), 10);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_now_can_be_asked_for_again() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    shop.pay(10).key(key("a")).await.unwrap();
    shop.pay(1).key(key("b")).await.unwrap();
    let gone = ReadError::Engine { what: "a row".to_owned(), error: "the disk is gone".into() };
    journal.faults().fail_reads(gone.clone());
    let error = shop.pay(10).key(key("a")).await.unwrap_err();
    assert_eq!(error, CallError::AnswerUnread { id: till("shop"), seq_nr: SeqNr(1), error: gone });
    journal.faults().heal_reads();
    assert_eq!(shop.pay(10).key(key("a")).await.unwrap(), 10);
}

#[tokio::test]
async fn a_reply_over_the_limit_stores_nothing() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    shop.print(970_000).await.unwrap();
    let error = shop.print(970_000).key(key("a")).await.unwrap_err();
    let CallError::NotStored { why: NotStored::Journal(Why::TooLarge { bytes, limit: 960_000 }), .. } = error else {
        panic!("{error:?}")
    };
    assert!(bytes > 960_000);
    assert_eq!(shop.total().await.unwrap(), 1, "the data is as it was before");
    assert_eq!(shop.print(950_000).key(key("a")).await.unwrap().len(), 950_000);
    assert_eq!(shop.print(950_000).key(key("a")).await.unwrap().len(), 950_000);
    assert_eq!(shop.total().await.unwrap(), 2);
    assert_eq!(restarted(&journal).get::<Till>("shop").print(3).key(key("a")).await.unwrap().len(), 950_000);
}

#[tokio::test]
async fn a_shutdown_answers_the_repeats_that_wait() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    shop.pay(1).key(Key::rising(1)).await.unwrap();
    journal.faults().hold();
    let first = tokio::spawn(shop.pay(10).key(key("a")));
    until("it is with the journal", || journal.faults().held() == 1).await;
    let repeats: Vec<_> = (0..200).map(|_| tokio::spawn(shop.pay(10).key(key("a")))).collect();
    let older = tokio::spawn(shop.pay(1).key(Key::rising(1)));
    until("as many are handled as may wait for their answers", || system.stats().commands == 2 + 128).await;
    let stopping = tokio::spawn(async move { system.shutdown().await });
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    journal.faults().release();
    stopping.await.unwrap().unwrap();
    assert_eq!(first.await.unwrap().unwrap(), 11);
    for repeat in repeats {
        assert_eq!(repeat.await.unwrap().unwrap(), 11);
    }
    assert_eq!(older.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_shutdown_whose_time_is_over_leaves_the_end_of_a_repeat_open() {
    let journal = MemoryJournal::new();
    let builder = System::builder().shards(1).shutdown_within(Duration::from_millis(10));
    let system = builder.start(journal.clone()).unwrap();
    let shop = system.get::<Till>("shop");
    journal.faults().hold();
    let first = tokio::spawn(shop.pay(10).key(key("a")));
    until("it is with the journal", || journal.faults().held() == 1).await;
    let repeat = tokio::spawn(shop.pay(10).key(key("a")));
    until("both are handled", || system.stats().commands == 2).await;
    let stopping = tokio::spawn(async move { system.shutdown().await });
    for call in [first, repeat] {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Unknown { why: Unknown::Dropped, .. }), "{error:?}");
    }
    journal.faults().release();
    assert!(stopping.await.unwrap().is_err());
    assert_eq!(restarted(&journal).get::<Till>("shop").pay(10).key(key("a")).await.unwrap(), 10);
}

#[tokio::test]
async fn a_journal_that_gives_another_run_than_the_one_asked_for_is_not_read_without_end() {
    let journal = Bent::new();
    let system = System::builder().shards(1).start(journal.clone()).unwrap();
    let shop = system.get::<Till>("shop");
    for number in 1..=8 {
        shop.pay(1).key(Key::rising(number)).await.unwrap();
    }
    journal.bend(Bend::First);
    let before = journal.reads();
    let error = shop.pay(1).key(Key::rising(3)).await.unwrap_err();
    assert!(matches!(error, CallError::AlreadyDone { .. }), "{error:?}");
    let reads = journal.reads() - before;
    assert!(reads < 8, "it was read {reads} times");
    journal.bend(Bend::Nothing);
    assert_eq!(shop.pay(1).key(Key::rising(3)).await.unwrap(), 3);
}

#[tokio::test]
async fn a_rising_key_is_found_behind_records_that_are_deleted() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    for number in 1..=8 {
        shop.pay(1).key(Key::rising(number)).await.unwrap();
    }
    let head = journal.open_stream(&till("shop")).await.unwrap();
    for floor in [3, 5] {
        journal.delete_to(head.stream, SeqNr(floor)).await;
        for number in floor + 1..=8 {
            assert_eq!(shop.pay(1).key(Key::rising(number)).await.unwrap(), number, "behind {floor}");
        }
        let error = shop.pay(1).key(Key::rising(floor)).await.unwrap_err();
        assert!(matches!(error, CallError::AlreadyDone { .. }), "{error:?}");
    }
}
