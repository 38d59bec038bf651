//! Data of all shapes. The twins of `bad_keys`, `gap_between_upcasts`, `upcast_without_from`, `parameters`,
//! `lost_fields` and `without_serde`.

use annals::{Field, Snapshot};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, Snapshot)]
#[snapshot(version = 3, upcast(1 => AccountV1, 2 => AccountV2), crate = ::annals)]
struct Account {
    balance: u64,
    r#type: Vec<(String, u8)>,
}

#[derive(Debug, Deserialize)]
struct AccountV1(u64);

#[derive(Debug, Deserialize)]
struct AccountV2 {
    cents: u64,
}

impl From<AccountV1> for AccountV2 {
    fn from(AccountV1(cents): AccountV1) -> Self {
        Self { cents }
    }
}

impl From<AccountV2> for Account {
    fn from(AccountV2 { cents }: AccountV2) -> Self {
        Self { balance: cents, r#type: Vec::new() }
    }
}

#[derive(Debug, Serialize, Deserialize, Snapshot)]
struct Pair(u8, Option<Box<Self>>);

#[derive(Debug, Serialize, Deserialize, Snapshot)]
#[snapshot(version = 1)]
struct Unit;

#[derive(Debug, Serialize, Deserialize, Snapshot)]
enum Lamp {
    Off,
    On { since: u64, bright: bool },
    Broken(String),
}

#[derive(Debug, Serialize, Deserialize, Snapshot)]
enum Nothing {}

/// What may be lost says so, and what is written in a way of its own isn't.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize, Snapshot)]
struct Door {
    #[serde(skip)]
    #[snapshot(skip)]
    cache: u64,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    knocks: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(with = "own_way")]
    until: Option<Option<u8>>,
}

mod own_way {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(until: &Option<Option<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        until.map(|until| [until]).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u8>>, D::Error> {
        Ok(Option::<[Option<u8>; 1]>::deserialize(deserializer)?.map(|[until]| until))
    }
}

#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
#[serde(default)]
struct Gate {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
}

fn fields<S: Snapshot>() -> Vec<(&'static str, &'static str)> {
    S::FIELDS.iter().map(|Field { name, ty }| (*name, *ty)).collect()
}

fn main() {
    assert_eq!((Account::VERSION, Pair::VERSION, Unit::VERSION, Lamp::VERSION), (3, 1, 1, 1));
    assert_eq!(fields::<Account>(), [("balance", "u64"), ("type", "Vec<(String, u8)>")]);
    assert_eq!(fields::<Pair>(), [("0", "u8"), ("1", "Option<Box<Self>>")]);
    assert_eq!(fields::<Unit>(), []);
    let lamp = [("Off", ""), ("On.since", "u64"), ("On.bright", "bool"), ("Broken.0", "String")];
    assert_eq!(fields::<Lamp>(), lamp);
    assert_eq!(fields::<Nothing>(), []);
    assert_eq!(fields::<Gate>(), [("name", "String")]);
    assert_eq!(fields::<Door>().first(), Some(&("cache", "u64")));
}
