use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[aggregate]
impl Account {
    #[event(name = "paid")]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[event]
    fn paid(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[event(was("withdrawn"))]
    fn taken(&mut self, amount: u64) {
        self.balance -= amount;
    }

    #[event(was("withdrawn", "withdrawn"))]
    fn taken_out(&mut self, amount: u64) {
        self.balance -= amount;
    }

    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }
}

fn main() {}
