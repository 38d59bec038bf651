#![deny(deprecated)]

use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account;

#[aggregate]
impl Account {
    #[command]
    fn touch(&self) -> Step {
        stay()
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Order;

#[aggregate]
impl Order {
    #[event]
    fn placed(&mut self) {}
}

fn main() {}
