use annals::prelude::*;

struct Account;

impl Account {
    #[event]
    fn deposited(&mut self) {}

    #[command]
    fn deposit(&self) {}

    #[query]
    fn balance(&self) {}
}

fn main() {}
