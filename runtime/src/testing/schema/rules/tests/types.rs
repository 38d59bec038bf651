//! What is said of a type that takes the place of another one, compared with what becomes of stored values.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::*;
use crate::codec::{Codec, Payload, encode_value};
use crate::testing::schema::trace::shape_of;

fn changes<Old: DeserializeOwned, New: DeserializeOwned>(codec: Codec) -> Vec<Change> {
    let (old, new) = (shape_of(codec, Payload::decode::<Old>), shape_of(codec, Payload::decode::<New>));
    let mut changes = Vec::new();
    let remedy = Remedy { subject: Subject::Event("it".to_owned()), version: 1, current: 1 };
    places::compare(&mut changes, &remedy, &old.unwrap(), &new.unwrap());
    changes
}

#[derive(Serialize, Deserialize)]
struct In<T> {
    it: T,
}

/// Checks that what some `Old` has stored isn't read as `New`, and that this is said.
#[track_caller]
fn breaks<Old: Serialize + DeserializeOwned, New: DeserializeOwned>(old: Old) {
    let old = In { it: old };
    for codec in [Codec::Json, Codec::MessagePack] {
        let mut bytes = Vec::new();
        encode_value(codec, &old, &mut bytes).unwrap();
        assert!(Payload { codec, bytes: &bytes }.decode::<In<Old>>().is_ok(), "{codec}");
        assert!(Payload { codec, bytes: &bytes }.decode::<In<New>>().is_err(), "it is read from {codec}");
        let changes = changes::<In<Old>, In<New>>(codec);
        assert!(changes.iter().any(Change::breaks), "nothing is said in {codec}: {changes:?}");
    }
}

/// Checks that what an `Old` may have stored is read as `New`, and that nothing else is said.
#[track_caller]
fn breaks_nothing<Old: Serialize + DeserializeOwned, New: DeserializeOwned>(old: Old) {
    let old = In { it: old };
    for codec in [Codec::Json, Codec::MessagePack] {
        let mut bytes = Vec::new();
        encode_value(codec, &old, &mut bytes).unwrap();
        assert!(Payload { codec, bytes: &bytes }.decode::<In<New>>().is_ok(), "{codec}");
        let changes = changes::<In<Old>, In<New>>(codec);
        assert!(!changes.iter().any(Change::breaks), "{codec}: {changes:?}");
    }
}

#[test]
fn a_variant_that_had_nothing_and_has_something_that_may_be_missing_breaks() {
    #[derive(Serialize, Deserialize)]
    enum Old {
        Key,
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "it is only read")]
    enum New {
        Key(Option<u8>),
    }
    breaks::<_, New>(Old::Key);
}

#[test]
fn a_narrower_number_breaks_also_in_types_that_look_first() {
    #[derive(Serialize, Deserialize)]
    struct Amount<N> {
        amount: N,
    }
    #[derive(Serialize, Deserialize)]
    struct Flat<N> {
        #[serde(flatten)]
        amount: Amount<N>,
    }
    #[derive(Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged<N> {
        Cash { amount: N },
    }
    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either<N> {
        Number(N),
        Text(String),
    }
    let big = u64::from(u32::MAX) + 1;
    breaks::<_, Flat<u32>>(Flat { amount: Amount { amount: big } });
    breaks::<_, Flat<u32>>(Amount { amount: big });
    breaks::<_, Tagged<u32>>(Tagged::Cash { amount: big });
    breaks::<_, Either<u32>>(Either::Number(big));
    breaks::<_, Either<u64>>(-1_i64);
    breaks::<_, Either<i32>>(i64::MIN);
    breaks::<Either<i64>, Either<u64>>(Either::Number(-1_i64));

    breaks_nothing::<_, Flat<u64>>(Amount { amount: big });
    breaks_nothing::<_, Flat<u64>>(Flat { amount: Amount { amount: 7_u32 } });
    breaks_nothing::<_, Tagged<u64>>(Tagged::Cash { amount: 7_u8 });
    breaks_nothing::<_, Either<i64>>(i64::MIN);
    breaks_nothing::<_, serde_json::Value>(Either::Number(-1_i64));
    breaks_nothing::<_, Either<f64>>(Either::Number(1.5_f32));
    assert!(matches!(Either::<u8>::Text(String::new()), Either::Text(_)));
}

#[test]
fn a_renamed_field_around_a_type_that_contains_itself_breaks_nothing_with_alias() {
    #[derive(Serialize, Deserialize)]
    struct Tree {
        inside: Vec<Tree>,
    }
    #[derive(Serialize, Deserialize)]
    struct Old {
        old: Tree,
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "it is only read")]
    struct New {
        #[serde(alias = "old")]
        new: Tree,
    }
    breaks_nothing::<_, New>(Old { old: Tree { inside: vec![Tree { inside: Vec::new() }] } });
}
