use std::rc::Rc;

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
    fn refuse(&self) -> Result<Step, Rc<str>> {
        Err(Rc::from("no"))
    }

    #[command]
    fn reply(&self) -> Step<Rc<str>> {
        stay().replying(Rc::from("no"))
    }

    #[command]
    fn deposit(&self, amount: Rc<u64>) -> Step {
        applying(AccountEvent::Deposited { amount: *amount })
    }

    #[query]
    fn balance(&self) -> Rc<u64> {
        Rc::new(self.balance)
    }
}

fn main() {}
