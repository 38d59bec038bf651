use annals::prelude::*;

#[derive(Serialize, Deserialize, Event)]
struct Deposited {
    amount: u64,
}

#[derive(Serialize, Deserialize, Event)]
enum AccountEvent<T> {
    Deposited(T),
}

fn main() {}
