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

    fn read_as<T>(self, shape: impl Shape<T>) -> Result<T, DecodeError> {
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
    use super::without_values;

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
