use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

type Cents = u64;

#[aggregate]
impl Account {
    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[command]
    fn deposit(&self, amount: u64) -> Cents {
        self.balance + amount
    }
}

fn main() {}
