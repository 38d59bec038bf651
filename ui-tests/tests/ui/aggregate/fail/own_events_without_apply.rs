use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
enum BankEvent {
    Deposited { amount: u64 },
}

#[aggregate(event = BankEvent)]
impl Account {
}

fn main() {}
