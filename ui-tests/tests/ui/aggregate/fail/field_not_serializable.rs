use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct Coins(u64);

#[aggregate]
impl Account {
    #[event]
    fn deposited(&mut self, amount: Coins) {
        self.balance += amount.0;
    }

    #[command]
    fn deposit(&self, amount: Coins) -> Step {
        applying(AccountEvent::Deposited { amount })
    }
}

fn main() {}
