use annals::prelude::*;

#[derive(Deserialize)]
struct AccountV1(u64);

#[derive(Deserialize)]
struct AccountV2 {
    cents: u64,
}

impl From<AccountV2> for Account {
    fn from(AccountV2 { cents }: AccountV2) -> Self {
        Self { balance: cents }
    }
}

#[derive(Default, Serialize, Deserialize, Snapshot)]
#[snapshot(version = 3, upcast(1 => AccountV1, 2 => AccountV2))]
struct Account {
    balance: u64,
}

struct DoorV1;

impl From<DoorV1> for Door {
    fn from(_: DoorV1) -> Self {
        Self
    }
}

#[derive(Default, Serialize, Deserialize, Snapshot)]
#[snapshot(version = 2, upcast(1 => DoorV1))]
struct Door;

fn main() {}
