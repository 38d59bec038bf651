//! How an event becomes bytes: the variant's stored name is kept apart from its payload, so that serde's own tag
//! never reaches the journal.
//!
//! [`VariantSerializer`] and [`VariantDeserializer`] stand between serde's derived code and the codec's: the one takes
//! the variant's index off, the other puts it back.

use std::cmp::Ordering;
use std::fmt;
use std::io::Cursor;

use serde::de::value::U32Deserializer;
use serde::de::{self, DeserializeOwned, IgnoredAny, IntoDeserializer};
use serde::ser::{self, Impossible, SerializeMap, SerializeStruct, SerializeTuple};
use serde::{Deserialize, Deserializer, Serialize, Serializer, forward_to_deserialize_any};

use crate::event::{Event, variant_named};

/// How a payload is written.
///
/// Arrays, maps and enums may be nested 128 deep in an event. `Some(None)` of an `Option<Option<T>>` is read as `None`,
/// as serde has it in both codecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// MessagePack with field names: added and removed fields behave as they do in JSON.
    MessagePack,
    /// JSON, where other tools should read the journal. It has no NaN and no infinity: an event with one is refused.
    Json,
}

impl Codec {
    /// The number that stands for this codec in the journal.
    pub(crate) fn number(self) -> u8 {
        match self {
            Codec::MessagePack => 1,
            Codec::Json => 2,
        }
    }

    pub(crate) fn from_number(number: u8) -> Result<Self, DecodeError> {
        match number {
            1 => Ok(Codec::MessagePack),
            2 => Ok(Codec::Json),
            _ => Err(DecodeError::UnknownCodec { number }),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Codec::MessagePack => "MessagePack",
            Codec::Json => "JSON",
        })
    }
}

/// Why stored bytes don't become an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No variant has this name.
    #[error(
        "no event is stored as `{name}`; if it was renamed, name it in `was(..)`; a newer version may have written it"
    )]
    UnknownEvent {
        /// The stored name.
        name: String,
    },
    /// A newer version of the program wrote it.
    #[error("event `{name}` is stored in version {version}, and this program knows it up to version {known}")]
    NewerVersion {
        /// The stored name.
        name: String,
        /// The stored version.
        version: u32,
        /// The version that this program writes.
        known: u32,
    },
    /// An older version without an upcast.
    #[error("event `{name}` is stored in version {version}, from which there is no upcast")]
    NoUpcast {
        /// The stored name.
        name: String,
        /// The stored version.
        version: u32,
    },
    /// The payload doesn't fit the type.
    #[error("a {codec} payload of {bytes} bytes can't be read: {reason}")]
    Payload {
        /// The codec it is stored with.
        codec: Codec,
        /// Its length.
        bytes: usize,
        /// What the codec says. It names fields and types; values of the wrong type are left out.
        reason: String,
    },
    /// A codec that this version doesn't know.
    #[error("codec number {number} is unknown; a newer version may have written it")]
    UnknownCodec {
        /// The stored number.
        number: u8,
    },
}

/// Why an event doesn't become bytes that can be read again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The codec can't write it.
    #[error("{codec} can't write it: {reason}")]
    Write {
        /// The aggregate's codec.
        codec: Codec,
        /// What the codec says.
        reason: String,
    },
    /// It was written, and can't be read again.
    #[error("it can be written, but not read again: {0}")]
    ReadAgain(#[from] DecodeError),
}

/// The stored bytes of one event, without its name.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    pub(crate) codec: Codec,
    pub(crate) bytes: &'a [u8],
}

impl Payload<'_> {
    /// Reads the payload as a `T`: the fields of a variant, or an older shape of them.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Payload`] if it doesn't fit, or if bytes are left over.
    pub fn decode<T: DeserializeOwned>(self) -> Result<T, DecodeError> {
        self.read_as(Whole)
    }

    /// Refuses what is nested so deeply that reading it could exhaust the stack, which nobody could catch.
    fn check_nesting(self) -> Result<(), DecodeError> {
        // serde_json has the same limit of its own; and what is shorter can't be nested more deeply.
        if self.codec == Codec::Json || self.bytes.len() <= NESTING_MAX || nesting(self.bytes) <= NESTING_MAX {
            return Ok(());
        }
        let reason = format!("it is nested more than {NESTING_MAX} deep");
        Err(DecodeError::Payload { codec: self.codec, bytes: self.bytes.len(), reason })
    }

    fn read_as<T>(self, shape: impl Shape<T>) -> Result<T, DecodeError> {
        self.check_nesting()?;
        let fail = |reason: String| DecodeError::Payload {
            codec: self.codec,
            bytes: self.bytes.len(),
            reason: without_values(&reason),
        };
        match self.codec {
            Codec::MessagePack => {
                let mut source = rmp_serde::Deserializer::new(Cursor::new(self.bytes));
                let value = shape.read(&mut source).map_err(|error| fail(error.to_string()))?;
                let read = usize::try_from(source.position()).unwrap_or(usize::MAX);
                match self.bytes.len().saturating_sub(read) {
                    0 => Ok(value),
                    left => Err(fail(format!("{left} bytes are left over"))),
                }
            }
            Codec::Json => {
                let mut source = serde_json::Deserializer::from_slice(self.bytes);
                let value = shape.read(&mut source).map_err(|error| fail(error.to_string()))?;
                source.end().map_err(|error| fail(error.to_string()))?;
                Ok(value)
            }
        }
    }
}

/// How deeply arrays, maps and enums may be nested in an event.
const NESTING_MAX: usize = 128;

/// How deeply some MessagePack is nested, as far as it can be read; just over [`NESTING_MAX`] if it is more.
fn nesting(bytes: &[u8]) -> usize {
    // How many values are still to come at each level.
    let mut levels: Vec<u64> = Vec::new();
    let (mut rest, mut deepest) = (bytes, 0);
    while let Some((&marker, behind)) = rest.split_first() {
        let number = |bytes: usize| {
            let number = behind.get(..bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            Some((number, bytes))
        };
        // Bytes that follow the marker, and values that the marker announces.
        let (skip, values) = match marker {
            0x80..=0x8f => (Some(0), 2 * u64::from(marker & 0x0f)),
            0x90..=0x9f => (Some(0), u64::from(marker & 0x0f)),
            0xa0..=0xbf => (Some(usize::from(marker & 0x1f)), 0),
            0xc4..=0xc6 | 0xd9..=0xdb => {
                let width = 1 << (marker.wrapping_sub(if marker < 0xd9 { 0xc4 } else { 0xd9 }));
                (number(width).and_then(|(len, width)| usize::try_from(len).ok()?.checked_add(width)), 0)
            }
            0xc7..=0xc9 => {
                let width = 1 << (marker - 0xc7);
                (number(width).and_then(|(len, width)| usize::try_from(len).ok()?.checked_add(width + 1)), 0)
            }
            0xcc | 0xd0 => (Some(1), 0),
            0xcd | 0xd1 | 0xd4 => (Some(2), 0),
            0xca | 0xce | 0xd2 => (Some(4), 0),
            0xd5 => (Some(3), 0),
            0xd6 => (Some(5), 0),
            0xcb | 0xcf | 0xd3 => (Some(8), 0),
            0xd7 => (Some(9), 0),
            0xd8 => (Some(17), 0),
            0xdc => (Some(2), number(2).map_or(0, |(values, _)| values)),
            0xdd => (Some(4), number(4).map_or(0, |(values, _)| values)),
            0xde => (Some(2), 2 * number(2).map_or(0, |(values, _)| values)),
            0xdf => (Some(4), 2 * number(4).map_or(0, |(values, _)| values)),
            0x00..=0x7f | 0xc0..=0xc3 | 0xe0..=0xff => (Some(0), 0),
        };
        let Some(next) = skip.and_then(|skip| behind.get(skip..)) else { return deepest };
        rest = next;
        if let Some(left) = levels.last_mut() {
            *left = left.saturating_sub(1);
        }
        if values > 0 {
            levels.push(values);
            deepest = deepest.max(levels.len());
            if deepest > NESTING_MAX {
                return deepest;
            }
        }
        while levels.last() == Some(&0) {
            levels.pop();
        }
    }
    deepest
}

/// Leaves out of serde's message the value that it quotes: errors are logged, and payloads may be secret.
fn without_values(message: &str) -> String {
    let quotes_value =
        ["invalid type: ", "invalid value: ", "unknown variant "].iter().any(|start| message.starts_with(start));
    let Some((found, expected)) = message.rsplit_once(", expected").filter(|_| quotes_value) else {
        return message.to_owned();
    };
    let kind = found.split(['"', '`']).next().unwrap_or_default();
    format!("{}, expected{expected}", kind.trim_end())
}

/// What a payload is to be read as.
trait Shape<T> {
    fn read<'de, D: Deserializer<'de>>(self, payload: D) -> Result<T, D::Error>;
}

/// A value of its own.
struct Whole;

impl<T: DeserializeOwned> Shape<T> for Whole {
    fn read<'de, D: Deserializer<'de>>(self, payload: D) -> Result<T, D::Error> {
        T::deserialize(payload)
    }
}

/// The fields of the variant with this index.
struct Variant(usize);

impl<E: Event> Shape<E> for Variant {
    fn read<'de, D: Deserializer<'de>>(self, payload: D) -> Result<E, D::Error> {
        E::deserialize(VariantDeserializer { variant: self.0, payload })
    }
}

impl fmt::Debug for Payload<'_> {
    /// Leaves the content out: it may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} payload of {} bytes", self.codec, self.bytes.len())
    }
}

/// Appends the payload of `event` to `out` and returns the index of its variant.
pub(crate) fn encode<E: Event>(codec: Codec, event: &E, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
    let fail = |reason| EncodeError::Write { codec, reason };
    let variant = match codec {
        Codec::MessagePack => {
            let mut sink = rmp_serde::Serializer::new(out).with_struct_map();
            event.serialize(VariantSerializer(&mut sink)).map_err(|error| fail(error.to_string()))?
        }
        Codec::Json => {
            let mut sink = serde_json::Serializer::new(out);
            event.serialize(VariantSerializer(&mut sink)).map_err(|error| fail(error.to_string()))?
        }
    };
    usize::try_from(variant).map_err(|error| fail(error.to_string()))
}

/// Reads back what [`encode`] wrote.
pub(crate) fn decode_current<E: Event>(variant: usize, payload: Payload<'_>) -> Result<E, DecodeError> {
    payload.read_as(Variant(variant))
}

/// Reads an event that is stored as `name` in `version`.
pub(crate) fn decode<E: Event>(name: &str, version: u32, payload: Payload<'_>) -> Result<E, DecodeError> {
    let Some(variant) = variant_named::<E>(name) else {
        return Err(DecodeError::UnknownEvent { name: name.to_owned() });
    };
    let known = E::VARIANTS[variant].version;
    match version.cmp(&known) {
        Ordering::Equal => decode_current(variant, payload),
        Ordering::Less => E::upcast(variant, version, payload),
        Ordering::Greater => Err(DecodeError::NewerVersion { name: name.to_owned(), version, known }),
    }
}

const NOT_AN_ENUM: &str = "an event must be an enum with serde's derived `Serialize` and `Deserialize`";

/// Passes a variant's fields on to `S` and answers with the variant's index.
struct VariantSerializer<S>(S);

impl<S: Serializer> VariantSerializer<S> {
    fn refuse<T>() -> Result<T, S::Error> {
        Err(ser::Error::custom(NOT_AN_ENUM))
    }
}

macro_rules! refuse_to_serialize {
    ($($method:ident($($value:ty),*);)*) => {
        $(fn $method(self $(, _: $value)*) -> Result<u32, S::Error> { Self::refuse() })*
    };
}

impl<S: Serializer> Serializer for VariantSerializer<S> {
    type Ok = u32;
    type Error = S::Error;
    type SerializeSeq = Impossible<u32, S::Error>;
    type SerializeTuple = Impossible<u32, S::Error>;
    type SerializeTupleStruct = Impossible<u32, S::Error>;
    type SerializeTupleVariant = Fields<S::SerializeTuple>;
    type SerializeMap = Impossible<u32, S::Error>;
    type SerializeStruct = Impossible<u32, S::Error>;
    type SerializeStructVariant = Fields<S::SerializeStruct>;

    /// A variant without fields is an empty map, so that it may get fields with defaults later.
    fn serialize_unit_variant(self, _: &'static str, variant: u32, _: &'static str) -> Result<u32, S::Error> {
        self.0.serialize_map(Some(0))?.end()?;
        Ok(variant)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        value: &T,
    ) -> Result<u32, S::Error> {
        value.serialize(self.0)?;
        Ok(variant)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        fields: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        Ok(Fields { variant, fields: self.0.serialize_tuple(fields)? })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        variant: u32,
        name: &'static str,
        fields: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        Ok(Fields { variant, fields: self.0.serialize_struct(name, fields)? })
    }

    refuse_to_serialize! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(&'static str);
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<u32, S::Error> {
        Self::refuse()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<u32, S::Error> {
        Self::refuse()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        Self::refuse()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, S::Error> {
        Self::refuse()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, S::Error> {
        Self::refuse()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        Self::refuse()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, S::Error> {
        Self::refuse()
    }
}

/// The fields of a variant on their way to the codec.
struct Fields<S> {
    variant: u32,
    fields: S,
}

impl<S: SerializeTuple> ser::SerializeTupleVariant for Fields<S> {
    type Ok = u32;
    type Error = S::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.fields.serialize_element(value)
    }

    fn end(self) -> Result<u32, S::Error> {
        self.fields.end()?;
        Ok(self.variant)
    }
}

impl<S: SerializeStruct> ser::SerializeStructVariant for Fields<S> {
    type Ok = u32;
    type Error = S::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), S::Error> {
        self.fields.serialize_field(key, value)
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
        self.fields.skip_field(key)
    }

    fn end(self) -> Result<u32, S::Error> {
        self.fields.end()?;
        Ok(self.variant)
    }
}

/// Presents a payload as variant number `variant` of an enum.
struct VariantDeserializer<D> {
    variant: usize,
    payload: D,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for VariantDeserializer<D> {
    type Error = D::Error;

    fn deserialize_any<V: de::Visitor<'de>>(self, _: V) -> Result<V::Value, D::Error> {
        Err(de::Error::custom(NOT_AN_ENUM))
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de, D: Deserializer<'de>> de::EnumAccess<'de> for VariantDeserializer<D> {
    type Error = D::Error;
    type Variant = Self;

    fn variant_seed<V: de::DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), D::Error> {
        let index = u32::try_from(self.variant).map_err(de::Error::custom)?;
        let index: U32Deserializer<D::Error> = index.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de, D: Deserializer<'de>> de::VariantAccess<'de> for VariantDeserializer<D> {
    type Error = D::Error;

    /// Whatever is there is passed over: the variant may have lost its fields.
    fn unit_variant(self) -> Result<(), D::Error> {
        IgnoredAny::deserialize(self.payload).map(|_| ())
    }

    fn newtype_variant_seed<T: de::DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, D::Error> {
        seed.deserialize(self.payload)
    }

    fn tuple_variant<V: de::Visitor<'de>>(self, fields: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.payload.deserialize_tuple(fields, visitor)
    }

    fn struct_variant<V: de::Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.payload.deserialize_struct("event", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;

    use super::{NESTING_MAX, nesting, without_values};

    /// A value of a given depth, with all that MessagePack has at its end.
    #[derive(Serialize)]
    enum Tree {
        Leaf(Vec<u8>, String, f64, i64, Option<bool>, (u16, char)),
        Branch(Box<Tree>),
    }

    fn tree(depth: usize, leaf: Tree) -> Tree {
        (0..depth).fold(leaf, |tree, _| Tree::Branch(Box::new(tree)))
    }

    proptest! {
        #[test]
        fn nesting_is_measured_past_values_of_every_kind(
            depth in 0_usize..100,
            bytes in any::<Vec<u8>>(),
            text in any::<String>(),
            numbers in any::<(f64, i64, Option<bool>, (u16, char))>(),
        ) {
            let leaf = Tree::Leaf(bytes.clone(), text, numbers.0, numbers.1, numbers.2, numbers.3);
            // An array of two, so that something lies behind the deep value.
            let both = (tree(depth, leaf), vec![vec![1_u8]]);
            let written = rmp_serde::to_vec_named(&both).unwrap();
            // The array of two, a map for each branch and for the leaf, its fields, and the bytes or the pair in them.
            prop_assert_eq!(nesting(&written), 1 + depth + 1 + 1 + 1);
        }

        #[test]
        fn nesting_of_anything_ends(bytes in any::<Vec<u8>>()) {
            prop_assert!(nesting(&bytes) <= NESTING_MAX + 1);
        }
    }

    #[test]
    fn nesting_stops_at_the_limit() {
        assert_eq!(nesting(&[0x91; 100_000]), NESTING_MAX + 1);
    }

    #[test]
    fn a_value_that_serde_quotes_is_left_out() {
        let told = |message| without_values(message);
        assert_eq!(
            told("invalid type: string \"top, expected secret\", expected u64"),
            "invalid type: string, expected u64"
        );
        assert_eq!(told("invalid value: integer `12345`, expected u8"), "invalid value: integer, expected u8");
        assert_eq!(told("unknown variant `secret`, expected `a` or `b`"), "unknown variant, expected `a` or `b`");
    }

    #[test]
    fn names_of_fields_stay() {
        assert_eq!(without_values("missing field `amount`"), "missing field `amount`");
        assert_eq!(without_values("invalid type: null, expected u64"), "invalid type: null, expected u64");
    }
}
