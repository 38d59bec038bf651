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

    #[command]
    async fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }

    #[query]
    async fn balance(&self) -> u64 {
        self.balance
    }
}

fn main() {}
