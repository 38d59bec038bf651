use annals::prelude::*;

#[derive(Event)]
enum AccountEvent {
    Deposited { amount: u64 },
}

fn main() {}
