use annals::prelude::*;

#[derive(Default, Snapshot)]
struct Account {
    balance: u64,
}

#[aggregate(snapshot(every = 1000))]
impl Account {
    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }
}

fn main() {}
