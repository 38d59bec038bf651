use annals::prelude::*;

const DAYS: u64 = 90;

#[derive(Default, Serialize, Deserialize, Snapshot)]
struct Account {
    balance: u64,
}

#[aggregate(snapshot, retain = DAYS)]
impl Account {
    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount })
    }
}

#[derive(Default, Serialize, Deserialize, Snapshot)]
struct Door;

#[aggregate(snapshot, retain = Self::A_WHILE)]
impl Door {
    #[event]
    fn opened(&mut self) {}

    #[command]
    fn open(&self) -> Step {
        applying(DoorEvent::Opened)
    }
}

fn main() {}
