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
    fn send(&self) -> Step {
        stay()
    }

    #[command]
    fn snapshot(&self) -> Step {
        stay()
    }

    #[query]
    fn id(&self) -> u64 {
        1
    }
}

fn main() {}
