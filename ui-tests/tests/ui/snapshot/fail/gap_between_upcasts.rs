use annals::prelude::*;

#[derive(Deserialize)]
struct AccountV1(u64);

impl From<AccountV1> for Account {
    fn from(AccountV1(balance): AccountV1) -> Self {
        Self { balance }
    }
}

#[derive(Default, Serialize, Deserialize, Snapshot)]
#[snapshot(version = 3, upcast(1 => AccountV1))]
struct Account {
    balance: u64,
}

#[derive(Default, Serialize, Deserialize, Snapshot)]
#[snapshot(version = 2)]
struct Door;

#[derive(Default, Serialize, Deserialize, Snapshot)]
#[snapshot(version = 2, upcast(1 => AccountV1, 1 => AccountV1, 2 => AccountV1))]
struct Gate;

#[derive(Default, Serialize, Deserialize, Snapshot)]
#[snapshot(upcast(1 => AccountV1))]
struct Lamp;

fn main() {}
