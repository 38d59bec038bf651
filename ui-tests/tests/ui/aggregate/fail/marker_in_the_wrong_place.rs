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
    const LIMIT: u64 = 10;

    #[on(Open)]
    fn close(&self) {}

    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }
}

fn main() {}
