use annals::prelude::*;

#[derive(Deserialize)]
struct DepositedV1;

#[derive(Serialize, Deserialize, Event)]
enum AccountEvent {
    #[event(version = 2, upcast(1 => DepositedV1))]
    Deposited,
}

fn main() {}
