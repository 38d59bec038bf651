//! Idempotency keys: a repeated command is answered what the first was answered, and happens once.

mod bench;
mod failures;
mod matrix;
mod types;
mod window;

use std::time::Duration;

use annals::journal::{Journal, MemoryJournal, Record, RunError, RunView, StoredKey, StoredOutcome};
use annals::prelude::*;
use annals::{Offset, PersistenceId, Refused, SeqNr};

use crate::{restarted, system};

/// Money in a drawer, in cents.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Till {
    total: u64,
}

/// More was asked for than is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Short {
    there: u64,
}

#[aggregate]
impl Till {
    #[event]
    fn took_in(&mut self, amount: u64) {
        self.total += amount;
    }

    #[event]
    fn gave_out(&mut self, amount: u64) {
        self.total -= amount;
    }

    /// Can't be folded.
    #[event]
    fn cursed(&mut self) {
        panic!("cursed");
    }

    #[command]
    fn pay(&self, amount: u64) -> Step<u64> {
        applying(TillEvent::TookIn { amount }).replying_with(Self::total)
    }

    #[command]
    fn pay_quietly(&self, amount: u64) -> Step {
        applying(TillEvent::TookIn { amount })
    }

    /// One event for each.
    #[command]
    fn pay_all(&self, amounts: Vec<u64>) -> Step<u64> {
        let events: Vec<_> = amounts.into_iter().map(|amount| TillEvent::TookIn { amount }).collect();
        applying(events).replying_with(Self::total)
    }

    #[command]
    fn take(&self, amount: u64) -> Result<Step<u64>, Short> {
        if amount > self.total {
            return Err(Short { there: self.total });
        }
        Ok(applying(TillEvent::GaveOut { amount }).replying_with(Self::total))
    }

    #[command]
    fn look(&self) -> Step<u64> {
        stay().replying(self.total)
    }

    /// Panics while there is nothing.
    #[command]
    fn crash_if_empty(&self) -> Step<u64> {
        assert!(self.total > 0, "empty");
        stay().replying(self.total)
    }

    #[command]
    fn curse(&self) -> Step<u64> {
        applying(TillEvent::Cursed).replying(0)
    }

    /// Pays one in, and replies with so many bytes.
    #[command]
    fn print(&self, bytes: usize) -> Step<String> {
        applying(TillEvent::TookIn { amount: 1 }).replying("x".repeat(bytes))
    }

    #[query]
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// A door that only one passes.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Gate {
    knocks: u64,
}

#[fsm(states(initial Closed, Open, terminal Sealed))]
impl Gate {
    #[event]
    fn knocked(&mut self) {
        self.knocks += 1;
    }

    #[on(Closed => Open)]
    fn open(&self) -> Step<u64> {
        goto(Open).replying(self.knocks)
    }

    #[on(Open => Closed)]
    fn close(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed => stay)]
    fn knock(&self) -> Step<u64> {
        stay().applying(GateEvent::Knocked).replying_with(|gate: &Gate| gate.knocks)
    }

    #[on(_ => Sealed)]
    fn seal(&self) -> Step {
        goto(Sealed)
    }

    /// Shuts itself.
    #[after(1min, Open => Closed)]
    fn shut(&self) -> Step {
        goto(Closed)
    }
}

fn key(name: &str) -> Key {
    Key::unique(name)
}

/// What is stored with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StoredWrite {
    key: Option<StoredKey>,
    outcome: &'static str,
    records: Vec<&'static str>,
    last: SeqNr,
}

/// All writes of an entity, as they are stored.
async fn stored(journal: &impl Journal, id: PersistenceId) -> Vec<StoredWrite> {
    let store = journal.facts().store;
    let mut writes: Vec<StoredWrite> = Vec::new();
    for run in journal.read_all(Offset(0), usize::MAX).await.unwrap().runs {
        let view = RunView::parse(&run.bytes, store).unwrap();
        if view.id() != id {
            continue;
        }
        view.for_each_write(&mut writes).unwrap();
    }
    writes
}

trait ForEachWrite {
    fn for_each_write(&self, writes: &mut Vec<StoredWrite>) -> Result<(), RunError>;
}

impl ForEachWrite for RunView<'_> {
    /// Writes of one time can't be told apart but by their keys and kinds; here each has a key, or one record.
    fn for_each_write(&self, writes: &mut Vec<StoredWrite>) -> Result<(), RunError> {
        self.for_each(|seq_nr, write, record| {
            let outcome = match write.outcome {
                Some(StoredOutcome::Replied { .. }) => "replied",
                Some(StoredOutcome::Refused { .. }) => "refused",
                Some(StoredOutcome::NotAccepted { .. }) => "not accepted",
                None => "",
            };
            let record = match record {
                Record::Event(_) => "event",
                Record::Transition(_) => "transition",
                Record::Receipt => "receipt",
                _ => "other",
            };
            match writes.last_mut() {
                Some(before) if write.key.is_some() && before.key == write.key => {
                    before.records.push(record);
                    before.last = seq_nr;
                }
                _ => writes.push(StoredWrite { key: write.key, outcome, records: vec![record], last: seq_nr }),
            }
            Ok(())
        })
    }
}

fn till(name: &str) -> PersistenceId {
    PersistenceId::new("Till", name)
}

#[tokio::test]
async fn a_repeat_gives_the_first_reply_and_stores_nothing() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    assert_eq!(shop.pay(10).key(key("a")).await.unwrap(), 10);
    assert_eq!(shop.pay(1).await.unwrap(), 11);
    for _ in 0..3 {
        assert_eq!(shop.pay(10).key(key("a")).await.unwrap(), 10, "a repeat is answered as the first was");
    }
    shop.pay_quietly(5).key(key("b")).await.unwrap();
    shop.pay_quietly(5).key(key("b")).await.unwrap();
    assert_eq!(shop.total().await.unwrap(), 16);
    assert_eq!(stored(&journal, till("shop")).await.len(), 3);
}

#[tokio::test]
async fn a_refusal_is_stored_with_its_key_and_is_not_judged_anew() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    let refused = shop.take(5).key(key("a")).await.unwrap_err();
    assert!(matches!(&refused, CallError::Refused(Short { there: 0 })), "{refused:?}");
    shop.pay(100).await.unwrap();
    assert_eq!(shop.take(5).key(key("a")).await.unwrap_err(), refused, "the drawer is full now, and it is a repeat");
    assert_eq!(restarted(&journal).get::<Till>("shop").take(5).key(key("a")).await.unwrap_err(), refused);
    let writes = stored(&journal, till("shop")).await;
    assert_eq!((writes[0].outcome, &*writes[0].records), ("refused", &["receipt"][..]));
    assert_eq!(writes.len(), 2);
}

#[tokio::test]
async fn a_command_that_the_state_does_not_accept_is_not_judged_anew() {
    let (system, journal) = system();
    let gate = system.get::<Gate>("north");
    let refused = gate.close().key(key("a")).await.unwrap_err();
    let CallError::NotAccepted { state: "Closed", command: "close", accepted_in, .. } = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(accepted_in, &["Open"]);
    gate.open().await.unwrap();
    assert_eq!(gate.close().key(key("a")).await.unwrap_err(), refused);
    assert_eq!(gate.state().await.unwrap(), GateState::Open);
    assert_eq!(restarted(&journal).get::<Gate>("north").close().key(key("a")).await.unwrap_err(), refused);
    let writes = stored(&journal, PersistenceId::new("Gate", "north")).await;
    assert_eq!((writes[0].outcome, &*writes[0].records), ("not accepted", &["receipt"][..]));
    assert_eq!(writes.len(), 2);
}

#[tokio::test]
async fn a_transition_happens_once_however_often_it_is_sent() {
    let (system, journal) = system();
    let gate = system.get::<Gate>("north");
    gate.knock().await.unwrap();
    assert_eq!(gate.open().key(key("a")).await.unwrap(), 1);
    gate.close().await.unwrap();
    gate.knock().await.unwrap();
    assert_eq!(gate.open().key(key("a")).await.unwrap(), 1);
    assert_eq!(gate.state().await.unwrap(), GateState::Closed);
    assert_eq!(restarted(&journal).get::<Gate>("north").open().key(key("a")).await.unwrap(), 1);
    let writes = stored(&journal, PersistenceId::new("Gate", "north")).await;
    assert_eq!((&*writes[1].records, writes[1].outcome), (&["transition"][..], "replied"));
    assert_eq!(writes.len(), 4);
}

#[tokio::test]
async fn a_command_that_changes_nothing_leaves_one_receipt() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    shop.look().await.unwrap();
    assert!(stored(&journal, till("shop")).await.is_empty(), "without a key nothing is stored");
    assert_eq!(shop.look().key(key("a")).await.unwrap(), 0);
    shop.pay(1).await.unwrap();
    assert_eq!(shop.look().key(key("a")).await.unwrap(), 0);
    let writes = stored(&journal, till("shop")).await;
    assert_eq!((&*writes[0].records, writes[0].last), (&["receipt"][..], SeqNr(1)));
    assert_eq!(writes.len(), 2);
    assert_eq!(restarted(&journal).get::<Till>("shop").look().key(key("a")).await.unwrap(), 0);
}

#[tokio::test]
async fn a_query_with_a_key_is_answered_from_the_first_time() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    assert_eq!(shop.total().key(key("a")).await.unwrap(), 0);
    shop.pay(1).await.unwrap();
    assert_eq!(shop.total().key(key("a")).await.unwrap(), 0);
    assert_eq!(shop.total().await.unwrap(), 1);
    assert_eq!(stored(&journal, till("shop")).await[0].records, ["receipt"]);
}

#[tokio::test]
async fn a_command_that_is_told_happens_once() {
    let (system, _journal) = system();
    let shop = system.get::<Till>("shop");
    for _ in 0..3 {
        shop.pay(10).key(key("a")).tell().await.unwrap();
    }
    assert_eq!(shop.total().await.unwrap(), 10);
    assert_eq!(shop.pay(10).key(key("a")).await.unwrap(), 10);
}

#[tokio::test]
async fn commands_as_data_have_keys_too() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    let take = || shop.send(TillCommand::Take { amount: 5 }).key(key("a"));
    assert!(matches!(take().await, Err(CallError::Refused(Refused))));
    shop.send(TillCommand::Pay { amount: 50 }).key(key("b")).await.unwrap();
    shop.send(TillCommand::Pay { amount: 50 }).key(key("b")).await.unwrap();
    assert!(matches!(take().await, Err(CallError::Refused(Refused))));
    assert_eq!(shop.total().await.unwrap(), 50);
    assert_eq!(stored(&journal, till("shop")).await.len(), 2);
}

#[tokio::test]
async fn keys_are_each_entitys_own() {
    let (system, _journal) = system();
    let (shop, bar) = (system.get::<Till>("shop"), system.get::<Till>("bar"));
    assert_eq!(shop.pay(1).key(key("a")).await.unwrap(), 1);
    assert_eq!(bar.pay(2).key(key("a")).await.unwrap(), 2);
    assert_eq!(shop.pay(4).key(key("b")).await.unwrap(), 5);
    assert_eq!(bar.pay(8).key(Key::rising(1)).await.unwrap(), 10);
    assert_eq!(shop.pay(16).key(Key::rising(1)).await.unwrap(), 21);
}

#[tokio::test]
async fn a_key_belongs_to_its_command() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    let key = key("receipt");
    assert_eq!(shop.pay(40).key(key).await.unwrap(), 40);
    shop.pay(60).await.unwrap();
    // The reply has the same type, and is no answer to this.
    let error = shop.total().key(key).await.unwrap_err();
    assert!(matches!(error, CallError::AlreadyDone { seq_nr: SeqNr(1), .. }), "{error:?}");
    assert_eq!(shop.pay(40).key(key).await.unwrap(), 40);
    assert_eq!(stored(&journal, till("shop")).await.len(), 2);

    let bench = annals::testing::given::<Till>([]);
    bench.when(|it| it.pay(40).key(key)).then_reply(40);
    assert!(matches!(bench.when(|it| it.total().key(key)).result(), Err(CallError::AlreadyDone { .. })));
}

#[tokio::test]
async fn a_repeat_is_known_after_passivation() {
    let journal = MemoryJournal::new();
    let builder = System::builder().shards(1).idle_after(Duration::from_millis(0));
    let system = builder.start(journal.clone()).unwrap();
    let shop = system.get::<Till>("shop");
    assert_eq!(shop.pay(10).key(key("a")).await.unwrap(), 10);
    assert_eq!(shop.pay(1).key(Key::rising(7)).await.unwrap(), 11);
    for round in 1..=3 {
        crate::until("it is dropped from memory", || system.stats().passivations >= round).await;
        assert_eq!(shop.pay(10).key(key("a")).await.unwrap(), 10);
        assert_eq!(shop.pay(1).key(Key::rising(7)).await.unwrap(), 11);
    }
    assert_eq!(shop.total().await.unwrap(), 11);
}

#[tokio::test]
async fn the_key_is_stored_as_it_was_given() {
    let (system, journal) = system();
    let shop = system.get::<Till>("shop");
    shop.pay_all(vec![1, 2, 3]).key(key("a")).await.unwrap();
    for number in [0, 1, 127, 128, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
        shop.pay(1).key(Key::rising(number)).await.unwrap();
    }
    let writes = stored(&journal, till("shop")).await;
    assert_eq!((&*writes[0].records, writes[0].last), (&["event"; 3][..], SeqNr(3)));
    assert!(matches!(writes[0].key, Some(StoredKey::Unique(_))));
    let numbers: Vec<_> = writes[1..].iter().map(|write| write.key.unwrap()).collect();
    let expected = [0, 1, 127, 128, u64::from(u32::MAX), u64::MAX - 1, u64::MAX].map(StoredKey::Rising);
    assert_eq!(numbers, expected);
    // Every number is a lower one, or the highest itself.
    assert_eq!(shop.pay(1).key(Key::rising(u64::MAX)).await.unwrap(), 13);
    assert_eq!(shop.pay(1).key(Key::rising(0)).await.unwrap(), 7);
}

#[tokio::test]
async fn one_entitys_repeats_do_not_wait_for_anothers() {
    let (system, _journal) = system();
    let shop = system.get::<Till>("shop");
    shop.pay(10).key(key("a")).await.unwrap();
    let repeats: Vec<_> = (0..3_000).map(|_| tokio::spawn(shop.pay(10).key(key("a")))).collect();
    let others: Vec<_> = (0..50).map(|n| tokio::spawn(system.get::<Till>(format!("other-{n}")).pay(1))).collect();
    for other in others {
        assert_eq!(other.await.unwrap().unwrap(), 1);
    }
    for repeat in repeats {
        assert_eq!(repeat.await.unwrap().unwrap(), 10);
    }
    assert_eq!(shop.total().await.unwrap(), 10);
}
