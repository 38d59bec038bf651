//! The test kit: it says what is wrong, and doesn't let a failed step pass.

use annals::prelude::*;
use annals::testing::given;
use annals::{NotStored, Timestamp};
use annals_tests::{Account, AccountEvent, Overdrawn};

fn rich() -> annals::testing::Bench<Account> {
    given::<Account>([AccountEvent::Deposited { amount: 100 }])
}

#[test]
fn events_reply_and_refusal_are_checked() {
    let account = rich();
    account.when(|it| it.withdraw(500)).then_no_events().then_refusal(Overdrawn { missing: 400 });
    account.when(|it| it.deposit(5)).then_events(AccountEvent::Deposited { amount: 5 }).then_reply(105);
    account.when(|it| it.balance()).then_no_events().then_reply(105);
    account.inspect(|it| assert_eq!(it.balance(), 105));
}

#[test]
fn the_context_is_the_tests() {
    let at = Timestamp::from_second(77).unwrap();
    let account = rich().with_id("alice").at(at);
    account.when(|it| it.look_around()).then_reply((at, "alice".to_owned(), 1));
}

#[test]
#[should_panic(expected = "other events than expected")]
fn other_events_are_told() {
    rich().when(|it| it.deposit(5)).then_events([AccountEvent::Deposited { amount: 6 }]);
}

#[test]
#[should_panic(expected = "another reply than expected")]
fn another_reply_is_told() {
    rich().when(|it| it.deposit(5)).then_reply(106);
}

#[test]
#[should_panic(expected = "not refused")]
fn a_missing_refusal_is_told() {
    rich().when(|it| it.withdraw(5)).then_refusal(Overdrawn { missing: 1 });
}

#[test]
#[should_panic(expected = "no reply")]
fn a_refused_step_is_not_taken_for_a_success() {
    rich().when(|it| it.withdraw(500)).then_ok();
}

#[test]
#[should_panic(expected = "crashed")]
fn a_panic_fails_the_test() {
    rich().when(|it| it.crash()).then_no_events();
}

#[test]
#[should_panic(expected = "the step failed")]
fn an_event_that_cannot_be_stored_fails_the_test() {
    rich().when(|it| it.note("x".repeat(1_000_000))).then_no_events();
}

#[test]
fn failures_can_be_expected() {
    let account = rich();
    let crashed = account.attempt(|it| it.crash());
    assert!(matches!(crashed.result(), Err(CallError::Panicked { command: "crash", .. })));
    let too_large = account.attempt(|it| it.note("x".repeat(1_000_000)));
    assert!(matches!(too_large.result(), Err(CallError::NotStored { why: NotStored::Journal(_), .. })));
    account.when(|it| it.balance()).then_reply(100);
}

#[test]
#[should_panic(expected = "can't go on")]
fn half_changed_data_is_not_gone_on_with() {
    let account = rich();
    assert!(account.attempt(|it| it.curse()).result().is_err());
    account.when(|it| it.balance()).then_reply(100);
}

/// Without snapshots nobody writes its data.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Mute {
    #[serde(serialize_with = "unwritable")]
    said: u64,
}

fn unwritable<S: serde::Serializer>(_: &u64, _: S) -> Result<S::Ok, S::Error> {
    Err(serde::ser::Error::custom("it can't be written"))
}

#[aggregate]
impl Mute {
    #[event]
    fn said(&mut self) {
        self.said += 1;
    }

    #[command]
    fn say(&self) -> Step<u64> {
        applying(MuteEvent::Said).replying_with(|mute| mute.said)
    }
}

#[test]
fn data_that_cannot_be_written_is_no_mistake_where_nobody_writes_it() {
    let mute = given::<Mute>([MuteEvent::Said, MuteEvent::Said]);
    mute.when(|mute| mute.say()).then_reply(3);
}
