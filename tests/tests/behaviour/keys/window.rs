//! Which keys are known, and how an answer is found among many.

use std::collections::BTreeMap;

use annals::journal::MemoryJournal;
use annals::{Call, CallError, Key, Never, SeqNr, System};
use proptest::prelude::*;
use tokio::task::JoinHandle;

use super::{Till, TillRef, key, stored, till};
use crate::{restarted, system};

fn with_keys(keys: usize, journal: MemoryJournal) -> System {
    System::builder().shards(1).keys_max(keys).start(journal).unwrap()
}

#[tokio::test]
async fn the_oldest_unique_key_is_forgotten_beyond_the_window() {
    let journal = MemoryJournal::new();
    let system = with_keys(3, journal.clone());
    let shop = system.get::<Till>("shop");
    for (paid, name) in (0..).zip(["a", "b", "c"]) {
        // Several records each: it is keys that are counted.
        assert_eq!(shop.pay_all(vec![1, 1, 1]).key(key(name)).await.unwrap(), 3 * (paid + 1));
    }
    for system in [system, with_keys(3, journal.reopen())] {
        let shop = system.get::<Till>("shop");
        for (paid, name) in [(3, "a"), (6, "b"), (9, "c")] {
            assert_eq!(shop.pay_all(vec![1, 1, 1]).key(key(name)).await.unwrap(), paid, "`{name}` is known");
        }
    }
    let system = with_keys(3, journal.reopen());
    let shop = system.get::<Till>("shop");
    assert_eq!(shop.pay(1).key(key("d")).await.unwrap(), 10);
    assert_eq!(shop.pay_all(vec![1]).key(key("b")).await.unwrap(), 6);
    assert_eq!(shop.pay(1).key(key("a")).await.unwrap(), 11, "it is forgotten, and a new one");
    assert_eq!(shop.pay(1).key(key("a")).await.unwrap(), 11);
    assert_eq!(shop.pay(1).key(key("b")).await.unwrap(), 12, "it has made room");
}

#[tokio::test]
async fn a_key_that_was_forgotten_and_used_again_is_answered_from_the_last_time() {
    let journal = MemoryJournal::new();
    let system = with_keys(1, journal.clone());
    let shop = system.get::<Till>("shop");
    for paid in 1..=6 {
        let name = if paid % 2 == 0 { "a" } else { "b" };
        assert_eq!(shop.pay(1).key(key(name)).await.unwrap(), paid);
    }
    assert_eq!(shop.pay(1).key(key("a")).await.unwrap(), 6);
    // A larger window knows both, and of each the last.
    let system = with_keys(9, journal.reopen());
    let shop = system.get::<Till>("shop");
    assert_eq!(shop.pay(1).key(key("a")).await.unwrap(), 6);
    assert_eq!(shop.pay(1).key(key("b")).await.unwrap(), 5);
}

#[tokio::test]
async fn rising_numbers_may_be_left_out_and_lower_ones_are_repeats() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    for (number, total) in [(3, 1), (7, 2), (8, 3), (100, 4)] {
        assert_eq!(shop.pay(1).key(Key::rising(number)).await.unwrap(), total);
    }
    for system in [system, restarted(&journal)] {
        let shop = system.get::<Till>("shop");
        for (number, total) in [(100, 4), (7, 2), (3, 1), (8, 3)] {
            assert_eq!(shop.pay(1).key(Key::rising(number)).await.unwrap(), total);
        }
        for left_out in [0, 2, 4, 9, 99] {
            let error = shop.pay(1).key(Key::rising(left_out)).await.unwrap_err();
            let expected = CallError::AlreadyDone { id: till("shop"), seq_nr: SeqNr(4) };
            assert_eq!(error, expected, "{left_out}");
        }
    }
    assert_eq!(restarted(&journal).get::<Till>("shop").pay(1).key(Key::rising(101)).await.unwrap(), 5);
}

#[tokio::test]
async fn any_of_many_rising_keys_can_be_repeated() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    let mut answers = Vec::new();
    for number in 0..300 {
        for _ in 0..number % 7 {
            shop.pay_quietly(1).await.unwrap();
        }
        answers.push((3 * number, shop.pay_all(vec![1, 2]).key(Key::rising(3 * number)).await.unwrap()));
    }
    for number in 0_u8..50 {
        shop.pay_quietly(1).key(Key::unique([number])).await.unwrap();
    }
    let total = shop.total().await.unwrap();
    for system in [system, restarted(&journal)] {
        let shop = system.get::<Till>("shop");
        for (number, answer) in &answers {
            assert_eq!(shop.pay_all(vec![1]).key(Key::rising(*number)).await.unwrap(), *answer);
        }
        assert_eq!(shop.total().await.unwrap(), total);
    }
}

/// What one command is, in a generated history.
#[derive(Debug, Clone, Copy)]
enum Op {
    /// As many events, and no key.
    Plain(u8),
    /// Its number is so much higher than the one before.
    Rising {
        more: u64,
        events: u8,
    },
    Unique {
        events: u8,
    },
    Query {
        rising: bool,
    },
    Refused {
        rising: bool,
    },
}

/// Commands that are sent together, so that they are stored in one run or in few.
fn history() -> impl Strategy<Value = Vec<Vec<Op>>> {
    let events = 0_u8..4;
    let op = prop_oneof![
        3 => events.clone().prop_map(Op::Plain),
        3 => (1_u64..4, events.clone()).prop_map(|(more, events)| Op::Rising { more, events }),
        2 => events.prop_map(|events| Op::Unique { events }),
        1 => any::<bool>().prop_map(|rising| Op::Query { rising }),
        1 => any::<bool>().prop_map(|rising| Op::Refused { rising }),
    ];
    prop::collection::vec(prop::collection::vec(op, 1..6), 1..25)
}

/// A command that is kept, to be repeated.
#[derive(Debug, Clone, Copy)]
enum Sent {
    Pay { events: u8 },
    Query,
    Refused,
}

/// An answer, whatever the command.
type Answer = Result<u64, CallError<super::Short>>;

fn spawn<E>(call: Call<u64, E>, refusal: fn(E) -> super::Short) -> JoinHandle<Answer>
where
    E: std::fmt::Debug + Send + 'static,
{
    tokio::spawn(async move {
        call.await.map_err(|error| match error {
            CallError::Refused(refused) => CallError::Refused(refusal(refused)),
            CallError::AlreadyDone { id, seq_nr } => CallError::AlreadyDone { id, seq_nr },
            error => panic!("{error:?}"),
        })
    })
}

fn send(shop: &TillRef, sent: Sent, key: Option<Key>) -> JoinHandle<Answer> {
    fn keyed<E: annals::Repeatable>(call: Call<u64, E>, key: Option<Key>) -> Call<u64, E> {
        match key {
            Some(key) => call.key(key),
            None => call,
        }
    }
    let never = |never: Never| match never {};
    match sent {
        Sent::Pay { events } => spawn(keyed(shop.pay_all(vec![1; events.into()]), key), never),
        Sent::Query => spawn(keyed(shop.total(), key), never),
        Sent::Refused => spawn(keyed(shop.take(u64::MAX), key), |short| short),
    }
}

async fn play(history: Vec<Vec<Op>>) {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    let (mut highest, mut unique) = (10, 0_u32);
    let mut rising_first: BTreeMap<u64, (Sent, Answer)> = BTreeMap::new();
    let mut unique_first: Vec<(Key, Sent, Answer)> = Vec::new();
    for batch in history {
        let mut calls = Vec::new();
        for op in batch {
            let (sent, rising) = match op {
                Op::Plain(events) => (Sent::Pay { events }, None),
                Op::Rising { more, events } => (Sent::Pay { events }, Some(Some(more))),
                Op::Unique { events } => (Sent::Pay { events }, Some(None)),
                Op::Query { rising } => (Sent::Query, Some(rising.then_some(1))),
                Op::Refused { rising } => (Sent::Refused, Some(rising.then_some(1))),
            };
            let number = rising.map(|more| more.map(|more| highest += more).map(|()| highest));
            let key = number.map(|number| {
                unique += 1;
                number.map_or(Key::unique(unique.to_le_bytes()), Key::rising)
            });
            calls.push((sent, number, key, send(&shop, sent, key)));
        }
        for (sent, number, key, call) in calls {
            let answer = call.await.unwrap();
            match (number, key) {
                (Some(Some(number)), _) => drop(rising_first.insert(number, (sent, answer))),
                (Some(None), Some(key)) => unique_first.push((key, sent, answer)),
                _ => {}
            }
        }
    }
    let writes = stored(&journal, till("shop")).await;
    for system in [system, restarted(&journal)] {
        let shop = system.get::<Till>("shop");
        let mut repeats = Vec::new();
        for number in 5..=highest {
            let Some((sent, answer)) = rising_first.get(&number) else {
                if !rising_first.is_empty() {
                    repeats.push((send(&shop, Sent::Query, Some(Key::rising(number))), None));
                }
                continue;
            };
            repeats.push((send(&shop, *sent, Some(Key::rising(number))), Some(answer)));
        }
        for (key, sent, answer) in &unique_first {
            repeats.push((send(&shop, *sent, Some(*key)), Some(answer)));
        }
        for (repeat, first) in repeats {
            let repeat = repeat.await.unwrap();
            match first {
                Some(first) => assert_eq!(repeat, *first),
                None => assert!(matches!(repeat, Err(CallError::AlreadyDone { .. })), "{repeat:?}"),
            }
        }
    }
    assert_eq!(stored(&journal, till("shop")).await, writes, "a repeat has stored something");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_key_of_a_history_can_be_repeated(history in history()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play(history));
    }
}
