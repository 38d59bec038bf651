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

    #[event(ignored_since = "2.0")]
    fn taxed(&mut self, amount: u64) {
        self.balance -= amount;
    }

    #[event(ignored_since)]
    fn greeted(&mut self) {}

    #[event(ignored_since = 2)]
    fn waved(&mut self) {}

    #[event(ignored_since = "")]
    fn left(&mut self) {}

    #[event(ignored = "2.0")]
    fn came(&mut self) {}

    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }
}

fn main() {}
