use std::collections::BTreeMap;

use annals::prelude::*;

#[derive(Default, Serialize, Deserialize, Snapshot)]
struct Account {
    balance: u64,
    #[serde(skip)]
    limit: u64,
    #[serde(rename = "n", default, skip_serializing)]
    name: String,
    #[snapshot(skip)]
    seen: u64,
}

#[derive(Serialize, Deserialize, Snapshot)]
enum Lamp {
    Off(#[serde(skip_deserializing)] u64),
    On {
        until: Option<Option<u8>>,
        by: BTreeMap<String, std::option::Option<()>>,
    },
}

#[derive(Default, Serialize, Deserialize, Snapshot)]
struct Door {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    knocks: Vec<u64>,
}

fn is_snapshot<S: Snapshot>() {}

fn main() {
    is_snapshot::<Account>();
}
