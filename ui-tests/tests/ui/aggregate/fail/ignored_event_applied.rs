#![deny(warnings)]

use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[aggregate]
impl Account {
    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[event(ignored_since = "2.0", version = 2, upcast(1 => GreetedV1))]
    fn greeted(&mut self, by: String) {}

    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying([AccountEvent::Deposited { amount }, AccountEvent::Greeted { by: String::new() }])
    }
}

#[derive(Deserialize)]
struct GreetedV1;

impl From<GreetedV1> for AccountEvent {
    fn from(_: GreetedV1) -> Self {
        Self::Deposited { amount: 0 }
    }
}

fn main() {}
