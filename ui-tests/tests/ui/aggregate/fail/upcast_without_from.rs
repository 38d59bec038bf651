use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[derive(Deserialize)]
struct DepositedV1;

#[derive(Deserialize)]
struct DepositedV2;

#[aggregate]
impl Account {
    #[event(version = 3, upcast(1 => DepositedV1, 2 => DepositedV2))]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }
}

fn main() {}
