use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[aggregate(name, codec = "json", vis = private, derive(Clone, Eq, Eq), services)]
impl Account {
    #[event(version = 0)]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[event(version = "2", was("", 1))]
    fn withdrawn(&mut self, amount: u64) {
        self.balance -= amount;
    }

    #[event = "closed"]
    fn closed(&mut self) {}

    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }
}

fn main() {}
