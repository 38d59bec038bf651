use annals::prelude::*;

#[derive(Default, Serialize, Deserialize, Snapshot)]
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
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount }).snapshot()
    }
}

#[derive(Default, Serialize, Deserialize, Snapshot)]
struct Door;

#[fsm(states(initial Open, terminal Shut))]
impl Door {
    #[on(Open => Shut)]
    fn shut(&self) -> Step {
        goto(Shut).snapshot()
    }
}

fn calls(account: AccountRef) {
    let _ = account.snapshot();
}

fn main() {}
