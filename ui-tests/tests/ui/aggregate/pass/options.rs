//! Every key. The twins of `unknown_key`, `repeated_key`, `bad_value`, `stored_under_one_name`, `gap_between_upcasts`,
//! `upcast_without_from`, `wrong_block`, `own_events_without_apply` and `own_events_and_event_methods`.

use annals::prelude::*;

pub struct Mailer;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    balance: u64,
}

#[derive(Debug, Deserialize)]
pub struct PaidV1(u64);

#[derive(Debug, Deserialize)]
pub struct PaidV2 {
    cents: u64,
}

impl From<PaidV1> for PaidV2 {
    fn from(PaidV1(cents): PaidV1) -> Self {
        Self { cents }
    }
}

impl From<PaidV2> for AccountEvent {
    fn from(PaidV2 { cents }: PaidV2) -> Self {
        Self::Deposited { amount: cents }
    }
}

#[aggregate(
    name = "bank/account",
    codec = json,
    services = Mailer,
    vis = pub(crate),
    derive(Eq, Hash, serde::Serialize),
    crate = ::annals,
)]
impl Account {
    #[event(name = "paid", was("paid_in", "deposited"), version = 3, upcast(1 => PaidV1, 2 => PaidV2))]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[event]
    fn paid_1(&mut self) {}

    #[command]
    #[deprecated = "pay in coins"]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount }).and_then(|fx| {
            let Mailer = **fx.services();
        })
    }

    #[cfg(any())]
    #[event]
    fn gone(&mut self, never: NoSuchType) {}

    #[cfg(any())]
    #[command]
    fn go(&self, never: NoSuchType) -> Step {
        stay()
    }

    #[cfg(any())]
    #[query]
    fn nowhere(&self) -> NoSuchType {}

    #[cfg(any())]
    #[query]
    fn one_of_two(&self) -> u8 {
        1
    }

    #[cfg(not(any()))]
    #[query]
    fn one_of_two(&self) -> u16 {
        2
    }
}

/// An aggregate with events of its own.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Bank {
    accounts: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, Event)]
pub enum BankEvent {
    Opened,
    Closed { accounts: u64 },
}

#[aggregate(event = BankEvent, codec = message_pack)]
impl Bank {
    fn apply(&mut self, event: BankEvent) {
        match event {
            BankEvent::Opened => self.accounts += 1,
            BankEvent::Closed { accounts } => self.accounts -= accounts,
        }
    }

    #[command]
    fn open(&self) -> Step {
        applying(BankEvent::Opened)
    }

    #[command]
    fn close(&self) -> Step {
        applying(BankEvent::Closed { accounts: self.accounts })
    }
}

fn main() {
    let stored: Vec<_> = AccountEvent::VARIANTS.iter().map(|event| (event.name, event.was, event.version)).collect();
    assert_eq!(stored, [("paid", &["paid_in", "deposited"][..], 3), ("paid_1", &[], 1)]);
    assert_eq!((Account::NAME, Account::CODEC), ("bank/account", annals::Codec::Json));
    assert_eq!((Bank::NAME, Bank::CODEC), ("Bank", annals::Codec::MessagePack));
    let mut bank = Bank::default();
    Aggregate::apply(&mut bank, BankEvent::Opened);
    assert_eq!(bank.accounts, 1);
}
