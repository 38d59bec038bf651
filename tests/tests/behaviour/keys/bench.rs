//! Keys in the test kit.

use annals::testing::given;
use annals::{CallError, Key};

use super::{Gate, GateEvent, Short, Till, TillEvent, key};

#[test]
fn a_bench_knows_repeats() {
    let shop = given::<Till>(TillEvent::TookIn { amount: 100 });
    shop.when(|it| it.pay(5).key(key("a"))).then_events(TillEvent::TookIn { amount: 5 }).then_reply(105);
    shop.when(|it| it.take(500).key(key("b"))).then_no_events().then_refusal(Short { there: 105 });
    shop.when(|it| it.pay(1_000)).then_reply(1_105);
    shop.when(|it| it.pay(5).key(key("a"))).then_no_events().then_reply(105);
    shop.when(|it| it.take(500).key(key("b"))).then_no_events().then_refusal(Short { there: 105 });
    shop.when(|it| it.total()).then_reply(1_105);
}

#[test]
fn a_bench_knows_rising_numbers() {
    let shop = given::<Till>([]);
    shop.when(|it| it.pay(1).key(Key::rising(3))).then_reply(1);
    shop.when(|it| it.pay(1).key(Key::rising(9))).then_reply(2);
    shop.when(|it| it.pay(1).key(Key::rising(3))).then_no_events().then_reply(1);
    let left_out = shop.when(|it| it.pay(1).key(Key::rising(5)));
    assert!(matches!(left_out.result(), Err(CallError::AlreadyDone { .. })), "{left_out:?}");
    shop.when(|it| it.pay(1).key(Key::rising(10))).then_reply(3);
}

#[test]
fn what_failed_on_a_bench_is_no_first() {
    let shop = given::<Till>([]);
    assert!(shop.attempt(|it| it.crash_if_empty().key(key("a"))).result().is_err());
    assert!(shop.attempt(|it| it.print(2_000_000).key(key("b"))).result().is_err());
}

#[test]
fn a_bench_repeats_what_a_state_did_not_accept() {
    let gate = given::<Gate>(GateEvent::Knocked);
    gate.when(|it| it.close().key(key("a"))).then_no_events();
    gate.when(|it| it.open().key(key("b"))).then_reply(1);
    let repeat = gate.when(|it| it.close().key(key("a")));
    assert!(matches!(repeat.result(), Err(CallError::NotAccepted { state: "Closed", .. })), "{repeat:?}");
}
