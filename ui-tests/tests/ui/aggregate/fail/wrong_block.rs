use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Account;

trait Deposit {}

#[aggregate]
impl Deposit for Account {}

#[derive(Default, Serialize, Deserialize)]
struct Vault<T>(T);

#[aggregate]
impl<T> Vault<T> {}

#[aggregate]
impl Vault<u64> {}

#[aggregate]
struct Order;

#[aggregate]
fn order() {}

fn main() {}
