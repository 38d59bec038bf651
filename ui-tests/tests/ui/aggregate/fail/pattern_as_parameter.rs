use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[aggregate]
impl Account {
    #[event]
    fn deposited(&mut self, (whole, cents): (u64, u64)) {
        self.balance += whole * 100 + cents;
    }

    #[command]
    fn deposit(&self, _: u64) -> Step {
        stay()
    }
}

fn main() {}
