use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[aggregate]
impl Account {
    #[event]
    fn deposited<T: Into<u64>>(&mut self, amount: T) {
        self.balance += amount.into();
    }

    #[event]
    fn withdrawn(&mut self, amount: impl Into<u64>) {
        self.balance -= amount.into();
    }

    #[command]
    fn touch(&self) -> Step {
        stay()
    }
}

fn main() {}
