use annals::prelude::*;

#[derive(Serialize, Deserialize, Snapshot)]
#[snapshot(vresion = 2, name = "account")]
struct A {
    #[snapshot(skip)]
    balance: u64,
}

#[derive(Serialize, Deserialize, Snapshot)]
#[snapshot(version = 0, upcast = AccountV1)]
struct B(#[snapshot(version = 2)] u64);

#[derive(Serialize, Deserialize, Snapshot)]
#[snapshot(version, version = 2)]
#[snapshot(version = 3)]
enum C {
    #[snapshot]
    Open {
        #[snapshot]
        since: u64,
    },
}

#[derive(Serialize, Deserialize, Snapshot)]
#[snapshot = "2"]
struct D;

fn is_snapshot<S: Snapshot>() {}

fn main() {
    is_snapshot::<A>();
}
