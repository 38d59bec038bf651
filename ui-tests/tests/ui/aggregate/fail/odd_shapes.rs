use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[aggregate]
#[aggregate]
impl Account {
    #[event]
    unsafe fn deposited(&mut self, #[cfg(any())] amount: u64) {
        self.balance += 1;
    }

    #[event]
    extern "C" fn withdrawn(&mut self)
    where
        Self: Sized,
    {
        self.balance -= 1;
    }

    #[event]
    fn _1(&mut self) {}

    #[command]
    fn self_(&self) -> Step {
        stay()
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Bank;

#[derive(Serialize, Deserialize, Event)]
enum BankEvent {}

#[aggregate(event = BankEvent)]
impl Bank {
    fn apply(&mut self, event: &BankEvent) {
        match *event {}
    }

    #[command]
    fn open(&self) -> Step {
        stay()
    }
}

/// A doc comment.
#[aggregate]
#[derive(Default)]
struct Order;

fn main() {}
