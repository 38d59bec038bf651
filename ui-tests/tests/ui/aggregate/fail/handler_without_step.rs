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
    fn deposit(&self, amount: u64) -> u64 {
        self.balance + amount
    }

    #[command]
    fn withdraw(&self, amount: u64) -> Result<u64, String> {
        Ok(self.balance - amount)
    }

    #[command]
    fn close(&self) {}
}

fn main() {}
