use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[aggregate(name = "account", name = "accounts")]
impl Account {
    #[event(name = "deposited", name = "paid_in")]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[event]
    #[event]
    fn withdrawn(&mut self, amount: u64) {
        self.balance -= amount;
    }

    #[event]
    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }

    #[command]
    fn touch(&self) -> Step {
        stay()
    }
}

fn main() {}
