//! A stored payload as JSON, without the types of whoever stored it.
//!
//! What JSON doesn't have is written as text or as an object with one key: bytes as `{"$bytes": "<hex>"}`, a number that is
//! none or infinite as `"NaN"`, `"inf"` or `"-inf"`, a key that is no text as its JSON. A payload that can't be read is
//! `{"$unreadable": "<hex>"}`.

use std::fmt;

use annals::Codec;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_json::{Map, Value, json};

/// A payload deeper than this isn't stored by annals.
const NESTING_MAX: u32 = 256;

pub(crate) fn to_json(codec: Codec, payload: &[u8]) -> Value {
    let read = match codec {
        Codec::Json => serde_json::from_slice(payload).ok(),
        _ => message_pack(payload),
    };
    read.unwrap_or_else(|| json!({ "$unreadable": hex(payload) }))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn message_pack(payload: &[u8]) -> Option<Value> {
    let mut rest = payload;
    let value = Any { nesting: 0 }.deserialize(&mut rmp_serde::Deserializer::new(&mut rest)).ok()?;
    // What follows a value belongs to nothing.
    rest.is_empty().then_some(value)
}

/// Takes whatever there is.
#[derive(Clone, Copy)]
struct Any {
    nesting: u32,
}

impl Any {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.nesting {
            NESTING_MAX.. => Err(E::custom("it is nested too deep")),
            nesting => Ok(Self { nesting: nesting + 1 }),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Any {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! numbers {
    ($($name:ident $number:ty),*) => {
        $(fn $name<E>(self, number: $number) -> Result<Value, E> {
            Ok(Value::from(number))
        })*
    };
}

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    numbers!(visit_bool bool, visit_i64 i64, visit_u64 u64);

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(serde_json::Number::from_f64(number).map_or_else(|| Value::from(number.to_string()), Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(json!({ "$bytes": hex(bytes) }))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Map::new();
        while let Some(key) = map.next_key_seed(inner)? {
            let key = match key {
                Value::String(key) => key,
                other => other.to_string(),
            };
            values.insert(key, map.next_value_seed(inner)?);
        }
        Ok(Value::Object(values))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let (name, variant) = data.variant_seed(inner)?;
        let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        Ok(json!({ name: variant.newtype_variant_seed(inner)? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_with_types_is_read_without_them() {
        #[derive(serde::Serialize)]
        enum Kind {
            Unit,
            With { depth: f32 },
        }
        #[derive(serde::Serialize)]
        struct Stored {
            text: &'static str,
            list: Vec<(i64, u64)>,
            none: Option<u8>,
            kinds: [Kind; 2],
            not_a_number: f64,
        }
        let stored = Stored {
            text: "\u{1b}[31m",
            list: vec![(-1, u64::MAX)],
            none: None,
            kinds: [Kind::Unit, Kind::With { depth: 0.5 }],
            not_a_number: f64::NAN,
        };
        let bytes = rmp_serde::to_vec_named(&stored).unwrap();
        let expected = json!({
            "text": "\u{1b}[31m", "list": [[-1, u64::MAX]], "none": null,
            "kinds": ["Unit", { "With": { "depth": 0.5 } }], "not_a_number": "NaN",
        });
        assert_eq!(to_json(Codec::MessagePack, &bytes), expected);
        assert_eq!(to_json(Codec::Json, b"{\"a\":1}"), json!({ "a": 1 }));
    }

    #[test]
    fn what_json_does_not_have_is_told_otherwise() {
        // A map from a number to three bytes.
        assert_eq!(to_json(Codec::MessagePack, b"\x81\x07\xc4\x03abc"), json!({ "7": { "$bytes": "616263" } }));
    }

    #[test]
    fn what_can_not_be_read_is_shown_in_hex() {
        for payload in [&b"\xc1"[..], b"\x01\x02", b"", &[0x91; 2000]] {
            let value = to_json(Codec::MessagePack, payload);
            assert_eq!(value, json!({ "$unreadable": hex(payload) }));
        }
        assert_eq!(to_json(Codec::Json, b"{"), json!({ "$unreadable": "7b" }));
    }
}
