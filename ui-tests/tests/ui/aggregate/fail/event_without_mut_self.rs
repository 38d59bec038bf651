use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[aggregate]
impl Account {
    #[event]
    fn deposited(&self, amount: u64) {
        let _ = amount;
    }

    #[event]
    fn withdrawn(self, amount: u64) {
        let _ = amount;
    }

    #[event]
    fn closed() {}

    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }
}

fn main() {}
