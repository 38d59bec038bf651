use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[derive(Deserialize)]
struct DepositedV1;

#[aggregate]
impl Account {
    #[event(version = 3, upcast(1 => DepositedV1))]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[event(version = 2)]
    fn withdrawn(&mut self, amount: u64) {
        self.balance -= amount;
    }

    #[event(upcast(1 => DepositedV1))]
    fn moved(&mut self) {}

    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }
}

fn main() {}
