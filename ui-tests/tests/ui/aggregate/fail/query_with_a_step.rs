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
    fn deposit(&self, amount: u64) -> Step<u64> {
        applying(AccountEvent::Deposited { amount }).replying_with(|account| account.balance)
    }

    #[query]
    fn balance(&self) -> Result<Step<u64>, String> {
        Ok(stay().replying(self.balance))
    }
}

fn main() {}
