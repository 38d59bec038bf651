use annals::{Step, aggregate, applying};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[aggregate(name = "account")]
impl Account {
    #[comand]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }

    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }
}

fn main() {}
