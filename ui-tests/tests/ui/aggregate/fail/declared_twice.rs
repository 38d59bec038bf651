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

    #[event]
    fn deposited(&mut self, cents: u64) {
        self.balance += cents;
    }

    #[event]
    fn paid_1(&mut self) {}

    #[event]
    fn paid1(&mut self) {}

    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }

    #[command]
    fn deposit(&self) -> Step {
        stay()
    }
}

fn main() {}
