use annals::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[serde(tag = "type", content = "fields", deny_unknown_fields)]
enum Tagged {
    Deposited { amount: u64 },
}

#[derive(Serialize, Deserialize, Event)]
#[serde(untagged)]
enum Untagged {
    Deposited { amount: u64 },
}

#[derive(Serialize, Deserialize, Event)]
enum Partial {
    Deposited { amount: u64 },
    #[serde(skip)]
    Withdrawn,
    #[serde(rename = "unknown", other)]
    Unknown,
}

fn main() {}
