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
    fn deposit(&self, amount: u64) -> Step {
        self.deposit_if(amount > 0, amount)
    }

    fn deposit_if(&self, really: bool, amount: u64) -> Step {
        applying(really.then_some(AccountEvent::Deposited { amount }))
    }
}

fn main() {}
