use annals::Snapshot;

#[derive(Snapshot)]
struct Account {
    balance: u64,
}

#[derive(serde::Serialize, Snapshot)]
struct Door;

fn main() {}
