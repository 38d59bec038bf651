use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::*;

fn lines<T: DeserializeOwned>() -> Vec<String> {
    lines_in::<T>(Codec::MessagePack)
}

fn lines_in<T: DeserializeOwned>(codec: Codec) -> Vec<String> {
    shape_of(codec, Payload::decode::<T>).expect("it is read").lines().collect()
}

#[test]
fn fields_are_read_as_what_serde_asks_for() {
    #[derive(Deserialize)]
    struct Plain {
        yes: bool,
        byte: u8,
        small: i16,
        big: u128,
        real: f32,
        sign: char,
        text: String,
        nothing: (),
        raw: Box<[u8]>,
    }
    assert_eq!(
        lines::<Plain>(),
        [
            " = struct",
            ".big = u128",
            ".byte = u8",
            ".nothing = unit",
            ".raw = seq",
            ".raw[] = u8",
            ".real = f32",
            ".sign = char",
            ".small = i16",
            ".text = string",
            ".yes = bool",
        ]
    );
}

#[test]
fn a_field_may_be_missing_where_decoding_goes_on_without_it() {
    #[derive(Deserialize)]
    struct Order {
        must: u64,
        option: Option<u64>,
        #[serde(default)]
        default: u64,
        #[serde(default, rename = "other")]
        renamed: String,
        #[serde(skip)]
        skipped: u64,
        #[serde(deserialize_with = "Option::deserialize")]
        option_that_must: Option<u64>,
    }
    assert_eq!(
        lines::<Order>(),
        [
            " = struct",
            ".default? = u64",
            ".must = u64",
            ".option? = u64 or null",
            ".option_that_must = u64 or null",
            ".other? = string",
        ]
    );
}

#[test]
fn nested_types_are_read_to_their_ends() {
    #[derive(Deserialize)]
    struct Inner {
        at: Vec<Option<Cents>>,
    }
    #[derive(Deserialize)]
    struct Cents(u64);
    #[derive(Deserialize)]
    struct Outer {
        pair: (Inner, String),
        named: HashMap<String, Inner>,
        few: [u16; 2],
        set: HashSet<u8>,
    }
    assert_eq!(
        lines::<Outer>(),
        [
            " = struct",
            ".few = tuple 2",
            ".few.0 = u16",
            ".few.1 = u16",
            ".named = map",
            ".named{key} = string",
            ".named{value} = struct",
            ".named{value}.at = seq",
            ".named{value}.at[] = u64 or null",
            ".pair = tuple 2",
            ".pair.0 = struct",
            ".pair.0.at = seq",
            ".pair.0.at[] = u64 or null",
            ".pair.1 = string",
            ".set = seq",
            ".set[] = u8",
        ]
    );
}

#[test]
fn every_variant_of_every_enum_is_read() {
    #[derive(Deserialize)]
    enum Way {
        Cash,
        Card(Kind),
        Both(u64, Kind),
        Transfer { to: String, kind: Option<Kind> },
    }
    #[derive(Deserialize)]
    enum Kind {
        Debit,
        #[serde(rename = "on credit")]
        Credit(u8),
    }
    assert_eq!(
        lines::<Vec<Way>>(),
        [
            " = seq",
            "[] = enum",
            "[]::Both = tuple 2",
            "[]::Both.0 = u64",
            "[]::Both.1 = enum",
            r#"[]::Both.1::"on\u0020credit" = u8"#,
            "[]::Both.1::Debit = unit",
            "[]::Card = enum",
            r#"[]::Card::"on\u0020credit" = u8"#,
            "[]::Card::Debit = unit",
            "[]::Cash = unit",
            "[]::Transfer = struct",
            "[]::Transfer.kind? = enum or null",
            r#"[]::Transfer.kind::"on\u0020credit" = u8"#,
            "[]::Transfer.kind::Debit = unit",
            "[]::Transfer.to = string",
        ]
    );
}

#[test]
fn types_that_contain_themselves_are_cut() {
    #[derive(Deserialize)]
    struct Tree {
        name: String,
        children: Vec<Tree>,
        parent: Option<Box<Tree>>,
    }
    #[derive(Deserialize)]
    enum Sum {
        Add(Box<Sum>, Box<Sum>),
        Number(i64),
    }
    #[derive(Deserialize)]
    struct Sums {
        all: Vec<Sum>,
    }
    #[derive(Deserialize)]
    struct List(Vec<List>);
    #[derive(Deserialize)]
    struct Wrapped<T> {
        it: T,
    }
    assert_eq!(
        lines::<Tree>(),
        [
            " = struct",
            ".children = seq",
            ".children[] = same as the whole",
            ".name = string",
            ".parent? = same as the whole or null",
        ]
    );
    assert_eq!(
        lines::<Sums>(),
        [
            " = struct",
            ".all = seq",
            ".all[] = enum",
            ".all[]::Add = tuple 2",
            ".all[]::Add.0 = same as .all[]",
            ".all[]::Add.1 = same as .all[]",
            ".all[]::Number = i64",
        ]
    );
    assert_eq!(lines::<List>(), [" = seq", "[] = same as the whole"]);
    assert_eq!(lines::<Wrapped<Wrapped<u8>>>(), [" = struct", ".it = struct", ".it.it = u8"]);
}

#[test]
fn a_type_without_end_is_opaque() {
    #[derive(Deserialize)]
    struct Endless {
        again: Box<Endless>,
        text: String,
    }
    assert_eq!(lines::<Endless>(), [" = struct", ".again = opaque", ".text = string"]);
}

#[test]
fn types_that_take_certain_texts_are_told_from_those_that_take_any() {
    #[derive(Deserialize)]
    struct Log {
        at: Timestamp,
        from: IpAddr,
        count: NonZeroU32,
        took: Duration,
    }
    assert_eq!(
        lines_in::<Log>(Codec::Json),
        [
            " = struct",
            r#".at = string like "2024-01-02T03:04:05Z""#,
            ".count = u32",
            r#".from = string like "127.0.0.1""#,
            ".took = struct without unknown fields",
            ".took.nanos = u32",
            ".took.secs = u64",
        ]
    );
    // MessagePack isn't for people.
    assert_eq!(
        lines::<IpAddr>(),
        [" = enum", "::V4 = tuple 4", "::V4.0 = u8", "::V4.1 = u8", "::V4.2 = u8", "::V4.3 = u8"]
            .into_iter()
            .map(str::to_owned)
            .chain(std::iter::once("::V6 = tuple 16".to_owned()))
            .chain((0..16).map(|at| format!("::V6.{at} = u8")).collect::<std::collections::BTreeSet<_>>())
            .collect::<Vec<_>>()
    );
}

#[test]
fn what_takes_no_sample_is_opaque_and_hides_nothing_else() {
    #[derive(Deserialize)]
    #[serde(try_from = "String")]
    struct Picky;
    impl TryFrom<String> for Picky {
        type Error = &'static str;
        fn try_from(_: String) -> Result<Self, &'static str> {
            Err("no")
        }
    }
    #[derive(Deserialize)]
    #[serde(try_from = "u64")]
    struct Even;
    impl TryFrom<u64> for Even {
        type Error = &'static str;
        fn try_from(number: u64) -> Result<Self, &'static str> {
            if number.is_multiple_of(2) { Ok(Even) } else { Err("odd") }
        }
    }
    #[derive(Deserialize)]
    struct Panics;
    #[derive(Deserialize)]
    struct Order {
        first: Picky,
        inner: Inner,
        may: Option<Picky>,
        all: Vec<Picky>,
        even: Even,
        last: u64,
    }
    #[derive(Deserialize)]
    struct Inner {
        picky: Picky,
        text: String,
    }
    assert_eq!(
        lines::<Order>(),
        [
            " = struct",
            ".all = seq",
            ".all[] = opaque",
            ".even = u64",
            ".first = opaque",
            ".inner = struct",
            ".inner.picky = opaque",
            ".inner.text = string",
            ".last = u64",
            ".may? = opaque or null",
        ]
    );
}

#[test]
fn a_type_that_panics_is_opaque() {
    #[derive(Deserialize)]
    struct Order {
        broken: Broken,
        last: u64,
    }
    #[derive(Deserialize)]
    #[serde(from = "String")]
    struct Broken;
    impl From<String> for Broken {
        fn from(_: String) -> Self {
            panic!("it takes nothing");
        }
    }
    assert_eq!(lines::<Order>(), [" = struct", ".broken = opaque", ".last = u64"]);
}

#[test]
fn unknown_fields_are_refused_where_the_type_says_so() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Exact {
        at: u64,
    }
    assert_eq!(lines::<Exact>(), [" = struct without unknown fields", ".at = u64"]);
}

#[test]
fn other_names_of_fields_are_known() {
    #[derive(Deserialize)]
    struct Named {
        #[serde(alias = "amount", alias = "value")]
        sum: u64,
    }
    assert_eq!(lines::<Named>(), [" = struct", ".sum = u64, was amount value"]);
}

#[test]
fn flattened_fields_are_found_by_what_is_missing() {
    #[derive(Deserialize)]
    struct Flat {
        at: u64,
        #[serde(flatten)]
        rest: Rest,
    }
    #[derive(Deserialize)]
    struct Rest {
        text: String,
        number: u32,
    }
    #[derive(Deserialize)]
    struct Open {
        at: u64,
        #[serde(flatten)]
        rest: BTreeMap<String, u64>,
    }
    assert_eq!(lines::<Flat>(), [" = struct", ".at = u64", ".number = any of integer u32", ".text = any of string"]);
    // All that isn't a number is refused.
    assert_eq!(lines::<Open>(), [" = struct without unknown fields", ".at = u64"]);
}

#[test]
fn types_that_look_first_are_told_by_what_they_take() {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    #[derive(Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        A { at: u64 },
        B,
    }
    assert_eq!(lines::<Either>(), [" = any of string integer u64"]);
    assert_eq!(lines::<Tagged>(), [" = any of map", ".at = any of integer u64", ".kind = one of A B"]);
    assert_eq!(lines::<serde_json::Value>(), [" = any of string integer negative bool float null map seq u64 i64"]);
}
