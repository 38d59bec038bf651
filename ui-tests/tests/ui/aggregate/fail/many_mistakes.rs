use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[aggregate]
impl Account {
    #[event(vresion = 2)]
    fn deposited(&self, amount: u64) {
        let _ = amount;
    }

    #[event]
    fn renamed(&mut self, name: &str) -> bool {
        name.is_empty()
    }

    #[command]
    async fn deposit(&mut self, amount: u64) -> u64 {
        amount
    }

    #[command]
    fn rename(&self, name: String) -> Step {
        applying(AccountEvent::Renamed { name })
    }

    #[query]
    fn balance(&self) {}
}

async fn elsewhere(account: AccountRef) {
    let _event = AccountEvent::Deposited { amount: 1 };
    let _command = AccountCommand::Deposit { amount: 1 };
    let _reply = account.deposit(1).await;
}

fn main() {}
