use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[aggregate]
impl Account {
    #[event]
    fn deposited(&mut self, cx: &Context<Self>, amount: u64) {
        let _ = cx;
        self.balance += amount;
    }

    #[command]
    fn deposit(&self, amount: u64, cx: &Context<Self>) -> Step {
        let _ = cx;
        applying(AccountEvent::Deposited { amount })
    }

    #[command]
    fn touch(&self, cx: Context<Self>) -> Step {
        let _ = cx;
        stay()
    }

    #[query]
    fn age(&self, cx: &Context<Self>) -> u64 {
        cx.id().as_str().len() as u64
    }
}

fn main() {}
