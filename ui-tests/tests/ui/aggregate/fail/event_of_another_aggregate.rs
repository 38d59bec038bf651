use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Order;

#[aggregate]
impl Order {
    #[event]
    fn placed(&mut self) {}

    #[command]
    fn place(&self) -> Step {
        applying(OrderEvent::Placed)
    }
}

#[aggregate]
impl Account {
    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[command]
    fn deposit(&self, amount: u64) -> Step {
        applying(AccountEvent::Deposited { amount }).applying(OrderEvent::Placed)
    }

    #[command]
    fn place(&self) -> Step {
        applying(OrderEvent::Placed)
    }
}

fn main() {}
