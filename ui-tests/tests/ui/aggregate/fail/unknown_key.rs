use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[aggregate(nam = "account", codec = yaml)]
impl Account {
    #[event(vresion = 2, named = "paid_in")]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[command(name = "pay_in")]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }
}

fn main() {}
