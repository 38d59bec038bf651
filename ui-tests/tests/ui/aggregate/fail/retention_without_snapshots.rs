use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[aggregate(retain = since_snapshot)]
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

#[derive(Default, Serialize, Deserialize)]
struct Door;

#[fsm(states(initial Open), retain = 90d)]
impl Door {
    #[event]
    fn knocked(&mut self) {}

    #[on(Open => stay)]
    fn knock(&self) -> Step {
        applying(DoorEvent::Knocked)
    }
}

fn main() {}
