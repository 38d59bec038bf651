use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
enum BankEvent {}

#[aggregate(event = BankEvent)]
impl Account {
    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    fn apply(&mut self, event: BankEvent) {
        match event {}
    }

    #[command]
    fn touch(&self) -> Step {
        stay()
    }
}

fn main() {}
