//! What stands between serde's derived code and a codec's: [`VariantSerializer`] takes the variant's index off,
//! [`VariantDeserializer`] puts it back.

use serde::de::value::U32Deserializer;
use serde::de::{self, IgnoredAny, IntoDeserializer};
use serde::ser::{self, Impossible, SerializeMap, SerializeStruct, SerializeTuple};
use serde::{Deserialize, Deserializer, Serialize, Serializer, forward_to_deserialize_any};

const NOT_AN_ENUM: &str = "an event must be an enum with serde's derived `Serialize` and `Deserialize`";

/// Passes a variant's fields on to `S` and answers with the variant's index.
pub(super) struct VariantSerializer<S>(pub(super) S);

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
pub(super) struct Fields<S> {
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
pub(super) struct VariantDeserializer<D> {
    pub(super) variant: usize,
    pub(super) payload: D,
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
