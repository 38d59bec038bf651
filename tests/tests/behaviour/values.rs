//! Values that are odd to serde or to a codec are stored and replayed as they were, or refused before anything is stored.

use std::collections::BTreeMap;
use std::fmt::Debug;

use annals::journal::Why;
use annals::prelude::*;
use annals::{NotStored, System};
use annals_tests::Account;

use crate::{restarted, system};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Colour {
    Red,
    Green,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Skipping {
    #[serde(skip_serializing_if = "Option::is_none")]
    option: Option<u8>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    list: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
    /// Never read: whatever fits it fits the one before, or is no such number.
    Signed(i64),
    Text(String),
    Fields {
        red: u8,
    },
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Internal {
    Unit,
    Fields { red: u8, wide: u128 },
    Inner(Inner),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of")]
enum Adjacent {
    Unit,
    Pair(u8, f64),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Inner {
    blue: u8,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Flat {
    green: u8,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    rest: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct FlatNumbers {
    #[serde(flatten)]
    rest: BTreeMap<u8, u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Nothing;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Odd {
    ByText(BTreeMap<String, u8>),
    ByNumber(BTreeMap<i64, u8>),
    ByWideNumber(BTreeMap<u128, u8>),
    ByBool(BTreeMap<bool, u8>),
    ByChar(BTreeMap<char, u8>),
    ByVariant(BTreeMap<Colour, u8>),
    ByOption(BTreeMap<Option<u8>, u8>),
    ByPair(BTreeMap<(u8, u8), u8>),
    Unsigned(u64),
    Signed(i64),
    WideUnsigned(u128),
    WideSigned(i128),
    Double(f64),
    Single(f32),
    Char(char),
    Text(String),
    Bytes(Vec<u8>),
    Array([u8; 4]),
    NoArray([u8; 0]),
    Option(Option<Option<u8>>),
    OptionalUnit(Option<()>),
    Unit(()),
    Nothing(Nothing),
    Skipping(Skipping),
    Untagged(Untagged),
    Internal(Internal),
    Adjacent(Adjacent),
    Flat(Flat),
    FlatNumbers(FlatNumbers),
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Packed {
    all: Vec<Odd>,
}

#[aggregate]
impl Packed {
    #[event]
    fn kept(&mut self, value: Odd) {
        self.all.push(value);
    }

    #[command]
    fn keep(&self, value: Odd) -> Step {
        applying(PackedEvent::Kept { value })
    }

    #[query]
    fn all(&self) -> Vec<Odd> {
        self.all.clone()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    all: Vec<Odd>,
}

#[aggregate(codec = json)]
impl Written {
    #[event]
    fn kept(&mut self, value: Odd) {
        self.all.push(value);
    }

    #[command]
    fn keep(&self, value: Odd) -> Step {
        applying(WrittenEvent::Kept { value })
    }

    #[query]
    fn all(&self) -> Vec<Odd> {
        self.all.clone()
    }
}

fn map<K: Ord, V>(entries: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    entries.into_iter().collect()
}

fn odd_values() -> Vec<Odd> {
    let mut values = vec![
        Odd::ByText(map([])),
        Odd::ByText(map([(String::new(), 1), ("\u{0}\u{1f600}\"\\".to_owned(), 2)])),
        Odd::ByNumber(map([(i64::MIN, 1), (-1, 2), (0, 3), (i64::MAX, 4)])),
        Odd::ByWideNumber(map([(0, 1), (u128::MAX, 2)])),
        Odd::ByBool(map([(false, 1), (true, 2)])),
        Odd::ByChar(map([('"', 1), ('\u{10ffff}', 2)])),
        Odd::ByVariant(map([(Colour::Red, 1), (Colour::Green, 2)])),
        Odd::ByOption(map([(Some(1), 1)])),
        Odd::ByOption(map([(None, 1), (Some(0), 2)])),
        Odd::ByPair(map([((1, 2), 3)])),
        Odd::ByPair(map([])),
        Odd::Text("\u{0}\u{7f}\u{2028}\u{feff}".to_owned()),
        Odd::Bytes(vec![]),
        Odd::Bytes((0..=255).collect()),
        Odd::Array([0, 255, 1, 254]),
        Odd::NoArray([]),
        Odd::Option(None),
        Odd::Option(Some(None)),
        Odd::Option(Some(Some(0))),
        Odd::OptionalUnit(None),
        Odd::OptionalUnit(Some(())),
        Odd::Unit(()),
        Odd::Nothing(Nothing),
        Odd::Skipping(Skipping::default()),
        Odd::Skipping(Skipping { option: None, list: vec![1] }),
        Odd::Skipping(Skipping { option: Some(1), list: vec![] }),
        Odd::Untagged(Untagged::Number(u64::MAX)),
        Odd::Untagged(Untagged::Signed(-1)),
        Odd::Untagged(Untagged::Signed(1)),
        Odd::Untagged(Untagged::Text(String::new())),
        Odd::Untagged(Untagged::Fields { red: 1 }),
        Odd::Untagged(Untagged::Nothing),
        Odd::Internal(Internal::Unit),
        Odd::Internal(Internal::Fields { red: 1, wide: 2 }),
        Odd::Internal(Internal::Fields { red: 1, wide: u128::MAX }),
        Odd::Internal(Internal::Inner(Inner { blue: 1, bytes: vec![0, 255] })),
        Odd::Adjacent(Adjacent::Unit),
        Odd::Adjacent(Adjacent::Pair(1, f64::INFINITY)),
        Odd::Adjacent(Adjacent::Pair(1, -0.0)),
        Odd::Flat(Flat::default()),
        Odd::Flat(Flat {
            green: 1,
            inner: Inner { blue: 2, bytes: vec![3] },
            rest: map([("red".to_owned(), u64::MAX)]),
        }),
        // A field in the place of another.
        Odd::Flat(Flat { rest: map([("green".to_owned(), 7)]), ..Flat::default() }),
        Odd::FlatNumbers(FlatNumbers { rest: map([(1, 2)]) }),
    ];
    values.extend([u64::MIN, 127, 128, u64::from(u32::MAX), u64::MAX].map(Odd::Unsigned));
    values.extend([i64::MIN, -129, -33, -1, i64::MAX].map(Odd::Signed));
    values.extend([0, u128::from(u64::MAX) + 1, u128::MAX].map(Odd::WideUnsigned));
    values.extend([i128::MIN, -1, i128::from(i64::MIN) - 1, i128::MAX].map(Odd::WideSigned));
    let doubles = [0.0, -0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::EPSILON, 0.1, 1e23, f64::INFINITY];
    values.extend(doubles.map(Odd::Double));
    values.extend([f64::NEG_INFINITY, f64::NAN].map(Odd::Double));
    values.extend([-0.0, f32::MAX, 1e-45, 0.1, 16_777_217.0, f32::NAN, f32::NEG_INFINITY].map(Odd::Single));
    values.extend(['\u{0}', '"', '\u{d7ff}', '\u{e000}', '\u{10ffff}'].map(Odd::Char));
    values
}

/// What becomes of each value that isn't simply stored and replayed as it was.
async fn oddities<F: Future<Output = Result<(), CallError<annals::Never>>>>(
    keep: impl Fn(&System, &str, Odd) -> F,
    all: impl AsyncFn(&System, &str) -> Vec<Odd>,
) -> Vec<String> {
    let (system, journal) = system();
    let mut oddities = Vec::new();
    let mut stored = Vec::new();
    for (number, value) in odd_values().into_iter().enumerate() {
        let id = format!("{number}");
        let runs = journal.faults().appended().runs;
        match keep(&system, &id, value.clone()).await {
            Ok(()) => stored.push((id, value)),
            Err(CallError::NotStored { why: NotStored::Event { .. }, .. }) => {
                assert_eq!(journal.faults().appended().runs, runs, "{value:?} is refused, and stored");
                assert!(all(&system, &id).await.is_empty());
                oddities.push(format!("{} refused", text(&value)));
            }
            Err(error) => panic!("{value:?}: {error:?}"),
        }
    }
    let restarted = restarted(&journal);
    for (id, value) in stored {
        let live = all(&system, &id).await;
        let replayed = all(&restarted, &id).await;
        assert_eq!(text(&live), text(&replayed), "the live data differs from what a restart gives");
        if text(&replayed) != text(std::slice::from_ref(&value)) {
            oddities.push(format!("{} becomes {}", text(&value), text(&replayed[0])));
        }
    }
    oddities
}

/// Tells zeros apart, and takes one NaN for another.
fn text(value: &(impl Debug + ?Sized)) -> String {
    format!("{value:?}")
}

#[tokio::test]
async fn a_value_is_packed_as_it_is_or_refused() {
    let keep = |system: &System, id: &str, value| system.get::<Packed>(id).keep(value);
    let oddities = oddities(keep, async |system, id| system.get::<Packed>(id).all().await.unwrap()).await;
    assert_eq!(
        oddities,
        [
            // What has no default, and is left out, can't be read again.
            "Skipping(Skipping { option: None, list: [] }) refused",
            "Skipping(Skipping { option: Some(1), list: [] }) refused",
            // serde buffers what stands behind a tag or is flattened, and its buffer has no such numbers.
            "Internal(Fields { red: 1, wide: 2 }) refused",
            "Internal(Fields { red: 1, wide: 340282366920938463463374607431768211455 }) refused",
            "Flat(Flat { green: 0, inner: Inner { blue: 0, bytes: [] }, rest: {\"green\": 7} }) refused",
            // Neither codec tells these apart; what is applied is what will be read again.
            "Option(Some(None)) becomes Option(None)",
            "OptionalUnit(Some(())) becomes OptionalUnit(None)",
            "Untagged(Signed(1)) becomes Untagged(Number(1))",
        ]
    );
}

#[tokio::test]
async fn a_value_is_written_as_json_as_it_is_or_refused() {
    let keep = |system: &System, id: &str, value| system.get::<Written>(id).keep(value);
    let oddities = oddities(keep, async |system, id| system.get::<Written>(id).all().await.unwrap()).await;
    assert_eq!(
        oddities,
        [
            // A key is a text, or what serde_json makes one of.
            "ByOption({None: 1, Some(0): 2}) refused",
            "ByPair({(1, 2): 3}) refused",
            "Skipping(Skipping { option: None, list: [] }) refused",
            "Skipping(Skipping { option: Some(1), list: [] }) refused",
            "Internal(Fields { red: 1, wide: 2 }) refused",
            "Internal(Fields { red: 1, wide: 340282366920938463463374607431768211455 }) refused",
            // JSON has no such numbers.
            "Adjacent(Pair(1, inf)) refused",
            "Flat(Flat { green: 0, inner: Inner { blue: 0, bytes: [] }, rest: {\"green\": 7} }) refused",
            "FlatNumbers(FlatNumbers { rest: {1: 2} }) refused",
            "Double(inf) refused",
            "Double(-inf) refused",
            "Double(NaN) refused",
            "Single(NaN) refused",
            "Single(-inf) refused",
            "Option(Some(None)) becomes Option(None)",
            "OptionalUnit(Some(())) becomes OptionalUnit(None)",
            "Untagged(Signed(1)) becomes Untagged(Number(1))",
        ]
    );
}

#[tokio::test]
async fn a_command_at_its_limit_is_stored_and_one_byte_more_is_not() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    let too_large = |error| match error {
        CallError::<annals::Never>::NotStored { why: NotStored::Journal(Why::TooLarge { bytes, limit }), .. } => {
            (bytes, limit)
        }
        error => panic!("{error:?}"),
    };
    let (bytes, limit) = too_large(alice.note("x".repeat(960_000)).await.unwrap_err());
    let most = limit - (bytes - 960_000);
    alice.note("x".repeat(most - 1)).await.unwrap();
    alice.note("x".repeat(most)).await.unwrap();
    assert_eq!(too_large(alice.note("x".repeat(most + 1)).await.unwrap_err()), (limit + 1, limit));
    assert_eq!(journal.faults().appended().runs, 2);
    assert_eq!(restarted(&journal).get::<Account>("alice").look_around().await.unwrap().2, 2, "both are read again");
}
