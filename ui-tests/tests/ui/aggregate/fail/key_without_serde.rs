use annals::prelude::*;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

struct Receipt {
    balance: u64,
}

enum Refusal {
    Overdrawn,
}

#[aggregate]
impl Account {
    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[command]
    fn deposit(&self, amount: u64) -> Step<Receipt> {
        applying(AccountEvent::Deposited { amount }).replying(Receipt { balance: self.balance })
    }

    #[command]
    fn withdraw(&self, amount: u64) -> Result<Step<u64>, Refusal> {
        if amount > self.balance { Err(Refusal::Overdrawn) } else { Ok(stay().replying(amount)) }
    }
}

fn pay(account: &AccountRef) {
    let _ = account.deposit(1).key(Key::rising(1));
    let _ = account.withdraw(1).key(Key::unique("receipt 1"));
}

fn main() {}
