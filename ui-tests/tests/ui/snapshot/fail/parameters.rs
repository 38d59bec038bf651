use annals::prelude::*;

#[derive(Serialize, Deserialize, Snapshot)]
struct Account<T> {
    balance: T,
}

#[derive(Serialize, Deserialize, Snapshot)]
struct Name<'a>(&'a str);

#[derive(Serialize, Deserialize, Snapshot)]
enum Few<const N: usize> {
    One([u8; 1]),
}

#[derive(Snapshot)]
union Both {
    one: u8,
    other: i8,
}

fn main() {}
