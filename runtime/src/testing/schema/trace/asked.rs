//! The deserializer: what is asked for is given and noted.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use super::super::shape::Kind;
use super::notes::{Notes, field, variant};
use super::samples::{self, Any};

/// How deep a value goes on where its type has come round to itself.
const AGAIN_MAX: usize = 12;

/// Why a sample was refused.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(super) cause: Cause,
    pub(super) message: String,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    Missing(&'static str),
    Duplicate(&'static str),
    /// These would have been taken.
    Names(&'static [&'static str]),
    /// Something was learnt on the way: begin anew.
    Again,
    Bound,
    Other,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { cause: Cause::Other, message: message.to_string() }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { cause: Cause::Missing(field), message: format!("missing field `{field}`") }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self { cause: Cause::Duplicate(field), message: format!("duplicate field `{field}`") }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self { cause: Cause::Names(expected), message: format!("unknown variant `{variant}`") }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self { cause: Cause::Names(expected), message: format!("unknown field `{field}`") }
    }
}

/// One place of a value, from which a type reads.
#[derive(Clone)]
pub(crate) struct Asked {
    notes: Rc<RefCell<Notes>>,
    path: String,
    /// Set where the type has come round to itself: the place where it began to, and how deep it is.
    again: Option<(Rc<str>, usize)>,
}

impl Asked {
    pub(super) fn whole(notes: Rc<RefCell<Notes>>) -> Self {
        Self { notes, path: String::new(), again: None }
    }

    /// The type has been read, or has refused.
    pub(crate) fn ended<T>(self, read: Result<T, Refusal>) -> Result<T, String> {
        self.notes.borrow_mut().ended(&read);
        read.map_err(|refusal| refusal.message)
    }

    fn at(&self, path: String) -> Self {
        Self { notes: self.notes.clone(), path, again: self.again.clone() }
    }

    /// Who is to blame for what goes wrong here.
    fn blamed(&self) -> &str {
        self.again.as_ref().map_or(&self.path, |(place, _)| place)
    }

    fn check<T>(&self, read: Result<T, Refusal>) -> Result<T, Refusal> {
        if let Err(refusal) = &read {
            self.notes.borrow_mut().blame(self.blamed(), refusal);
        }
        read
    }

    /// Notes the kind, and says which sample is its turn.
    fn arrive(&self, kind: Kind) -> Result<usize, Refusal> {
        let mut notes = self.notes.borrow_mut();
        if self.again.is_some() {
            notes.count(&self.path)?;
            return Ok(notes.known(&self.path).map_or(0, |place| place.attempt));
        }
        notes.arrive(&self.path, kind)
    }

    fn give<T>(self, kind: Kind, give: impl FnOnce(usize) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let read = self.arrive(kind).and_then(give);
        self.check(read)
    }

    /// Reads what is inside, at another place.
    fn inside<'de, S: DeserializeSeed<'de>>(&self, seed: S, path: String) -> Result<S::Value, Refusal> {
        let inside = self.at(path);
        let read = seed.deserialize(inside.clone());
        inside.check(read)
    }

    /// Reads a type with a name; where it is inside of itself, it is as small as can be.
    fn named<V, T>(self, read: impl FnOnce(Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let name = std::any::type_name::<V>();
        let around = self.notes.borrow().around(name);
        let asked = match (&self.again, around) {
            (None, None) => {
                self.notes.borrow_mut().enter(name, &self.path);
                let read = read(self.clone());
                self.notes.borrow_mut().leave();
                return self.check(read);
            }
            (None, Some(around)) => {
                if around != self.path {
                    self.arrive(Kind::Same(around.clone()))?;
                }
                Self { again: Some((self.path.as_str().into(), 0)), ..self.at(around) }
            }
            (Some((_, AGAIN_MAX)), _) => {
                return self.check(Err(Refusal { cause: Cause::Bound, message: "it has no end".to_owned() }));
            }
            (Some((place, depth)), around) => {
                let path = around.unwrap_or_else(|| self.path.clone());
                Self { again: Some((place.clone(), depth + 1)), ..self.at(path) }
            }
        };
        let read = read(asked.clone());
        asked.check(read)
    }

    /// How many elements a sequence or a map gets.
    fn len(&self, kind: Kind, element: &str) -> Result<usize, Refusal> {
        let attempt = self.arrive(kind)?;
        let none = self.again.is_some() || self.notes.borrow().is_stuck(&format!("{}{element}", self.path));
        Ok(if none { 0 } else { samples::LENGTHS[attempt % samples::LENGTHS.len()] })
    }

    fn fields(self, names: &'static [&'static str]) -> Result<Fields, Refusal> {
        self.arrive(Kind::Struct { exact: false })?;
        let mut notes = self.notes.borrow_mut();
        let place = notes.place(&self.path);
        if place.names.is_empty() && !place.flat {
            place.flat = false;
            place.names = names.iter().map(|name| (*name).to_owned()).collect();
        }
        drop(notes);
        Ok(self.known_fields())
    }

    fn known_fields(self) -> Fields {
        let notes = self.notes.borrow();
        let mut names = notes.fields(&self.path);
        names.reverse();
        let stranger = notes.is_strange(&self.path) && self.again.is_none();
        drop(notes);
        Fields { asked: self, names, stranger, current: None }
    }

    fn elements(self, left: usize, numbered: bool) -> Elements {
        Elements { asked: self, left, next: 0, numbered }
    }
}

macro_rules! integers {
    ($($ask:ident $visit:ident $type:ty, $signed:literal, $samples:ident;)*) => {
        $(fn $ask<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            self.give(Kind::int($signed, <$type>::BITS), |attempt| {
                visitor.$visit(samples::$samples[attempt % samples::$samples.len()].into())
            })
        })*
    };
}

impl<'de> Deserializer<'de> for Asked {
    type Error = Refusal;

    fn is_human_readable(&self) -> bool {
        self.notes.borrow().human_readable
    }

    integers! {
        deserialize_u8 visit_u8 u8, false, UNSIGNED;
        deserialize_u16 visit_u16 u16, false, UNSIGNED;
        deserialize_u32 visit_u32 u32, false, UNSIGNED;
        deserialize_u64 visit_u64 u64, false, UNSIGNED;
        deserialize_u128 visit_u128 u128, false, UNSIGNED;
        deserialize_i8 visit_i8 i8, true, SIGNED;
        deserialize_i16 visit_i16 i16, true, SIGNED;
        deserialize_i32 visit_i32 i32, true, SIGNED;
        deserialize_i64 visit_i64 i64, true, SIGNED;
        deserialize_i128 visit_i128 i128, true, SIGNED;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let attempt = self.arrive(Kind::Any(Vec::new()))?;
        let read = match samples::ANY[attempt % samples::ANY.len()].0 {
            Any::Text => visitor.visit_str("a"),
            Any::Unsigned => visitor.visit_u64(1),
            Any::Signed => visitor.visit_i64(-1),
            Any::Bool => visitor.visit_bool(true),
            Any::Float => visitor.visit_f64(0.5),
            Any::Null => visitor.visit_unit(),
            Any::Seq => visitor.visit_seq(self.clone().elements(0, false)),
            Any::Map => visitor.visit_map(self.clone().known_fields()),
            Any::Wide(number) => visitor.visit_u64(number),
            Any::WideSigned(number) => visitor.visit_i64(number),
        };
        self.check(read)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.give(Kind::Bool, |attempt| visitor.visit_bool(attempt % 2 == 1))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.give(Kind::Float { bits: 32 }, |at| visitor.visit_f32(samples::FLOATS[at % samples::FLOATS.len()]))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.give(Kind::Float { bits: 64 }, |at| visitor.visit_f64(samples::FLOATS[at % samples::FLOATS.len()].into()))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.give(Kind::Char, |attempt| visitor.visit_char(samples::CHARS[attempt % samples::CHARS.len()]))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.give(Kind::Text, |attempt| visitor.visit_str(samples::TEXTS[attempt % samples::TEXTS.len()]))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.give(Kind::Bytes, |attempt| visitor.visit_bytes(samples::BYTES[attempt % samples::BYTES.len()]))
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if self.again.is_none() {
            self.notes.borrow_mut().arrive_nullable(&self.path);
        }
        let none = self.again.is_some() || self.notes.borrow().is_stuck(&self.path);
        let read = if none { visitor.visit_none() } else { visitor.visit_some(self.clone()) };
        self.check(read)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.give(Kind::Unit, |_| visitor.visit_unit())
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        self.named::<V, _>(|asked| visitor.visit_newtype_struct(asked))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let len = self.len(Kind::Seq, "[]")?;
        let read = visitor.visit_seq(self.clone().elements(len, false));
        self.check(read)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.give_tuple(len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.named::<V, _>(|asked| asked.give_tuple(len, visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let len = self.len(Kind::Map, "{value}")?;
        let flat = self.notes.borrow().known(&self.path).is_some_and(|place| place.flat);
        let read = if flat {
            visitor.visit_map(self.clone().known_fields())
        } else {
            // Keys are all the same, so there is one entry at the most.
            visitor.visit_map(self.clone().elements(len.min(1), false))
        };
        self.check(read)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.named::<V, _>(|asked| visitor.visit_map(asked.fields(names)?))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.named::<V, _>(|asked| {
            asked.arrive(Kind::Enum)?;
            let chosen = {
                let mut notes = asked.notes.borrow_mut();
                if asked.again.is_none() {
                    notes.place(&asked.path).names = names.iter().map(|name| (*name).to_owned()).collect();
                }
                match &asked.again {
                    None => notes.choose(&asked.path, names),
                    // A variant that ends is found by trying.
                    Some((place, _)) => {
                        let attempt = notes.known(place).map_or(0, |place| place.attempt);
                        names.get(attempt % names.len().max(1)).map(|name| (*name).to_owned())
                    }
                }
            };
            let Some(chosen) = chosen else { return Err(de::Error::custom("it has no variants")) };
            visitor.visit_enum(Variant { asked, name: chosen })
        })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if let Some(around) = self.path.strip_suffix("{key}") {
            let mut notes = self.notes.borrow_mut();
            notes.place(around).flat = true;
            let refusal = Refusal { cause: Cause::Again, message: "it is no map".to_owned() };
            notes.blame(around, &refusal);
            return Err(refusal);
        }
        let attempt = self.arrive(Kind::Tag(Vec::new()))?;
        let name = self.notes.borrow().known(&self.path).and_then(|place| place.names.get(attempt).cloned());
        let read = visitor.visit_str(name.as_deref().unwrap_or("a"));
        self.check(read)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }
}

impl Asked {
    fn give_tuple<'de, V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.arrive(Kind::Tuple(len))?;
        let read = visitor.visit_seq(self.clone().elements(len, true));
        self.check(read)
    }
}

/// What is in a sequence, a tuple or a map.
struct Elements {
    asked: Asked,
    left: usize,
    next: usize,
    numbered: bool,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        if self.left == 0 {
            return Ok(None);
        }
        let path = match self.numbered {
            true => format!("{}.{}", self.asked.path, self.next),
            false => format!("{}[]", self.asked.path),
        };
        self.left -= 1;
        self.next += 1;
        self.asked.inside(seed, path).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Elements {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.asked.inside(seed, format!("{}{{key}}", self.asked.path)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        self.asked.inside(seed, format!("{}{{value}}", self.asked.path))
    }
}

/// The fields of a struct, the next one last.
struct Fields {
    asked: Asked,
    names: Vec<String>,
    stranger: bool,
    current: Option<String>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        if std::mem::take(&mut self.stranger) {
            let name: StrDeserializer<'_, Refusal> = "a stranger among the fields".into_deserializer();
            return seed.deserialize(name).map(Some);
        }
        let Some(name) = self.names.pop() else { return Ok(None) };
        self.asked.notes.borrow_mut().name(&self.asked.path, &name);
        let key: StrDeserializer<'_, Refusal> = name.as_str().into_deserializer();
        let read = seed.deserialize(key).map(Some);
        self.current = Some(name);
        self.asked.check(read)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        match self.current.take() {
            Some(name) => self.asked.inside(seed, field(&self.asked.path, &name)),
            None => seed.deserialize(Nothing),
        }
    }
}

/// A variant of an enum.
struct Variant {
    asked: Asked,
    name: String,
}

impl Variant {
    fn inside(&self) -> Asked {
        self.asked.at(variant(&self.asked.path, &self.name))
    }
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Refusal;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Refusal> {
        let name: StrDeserializer<'_, Refusal> = self.name.as_str().into_deserializer();
        let read = seed.deserialize(name);
        Ok((self.asked.check(read)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        self.inside().give(Kind::Unit, |_| Ok(()))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refusal> {
        self.asked.inside(seed, variant(&self.asked.path, &self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.inside().give_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, names: &'static [&'static str], visitor: V) -> Result<V::Value, Refusal> {
        let inside = self.inside();
        let read = inside.clone().fields(names).and_then(|fields| visitor.visit_map(fields));
        inside.check(read)
    }
}

/// The value of an unknown field.
struct Nothing;

impl<'de> Deserializer<'de> for Nothing {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
