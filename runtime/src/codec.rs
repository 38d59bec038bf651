//! How an event becomes bytes: the variant's stored name is kept apart from its payload, so that serde's own tag
//! never reaches the journal.

use std::cmp::Ordering;
use std::fmt;
use std::io::Cursor;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};

use crate::event::{Event, variant_named};

mod nesting;
mod variant;

use nesting::{NESTING_MAX, Unsafe, may_be_unsafe, nesting};
use variant::{VariantDeserializer, VariantSerializer};

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
        "no event is stored as `{name}`: if it was renamed, name it in `was(..)`; if it was removed, keep it with \
         `ignored_since`; a newer version may have written it"
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
    /// A snapshot in another version, without an upcast.
    #[error("the snapshot is stored in version {version}, from which there is no upcast to version {known}")]
    NoSnapshotUpcast {
        /// The stored version.
        version: u32,
        /// The version that this program writes.
        known: u32,
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
    /// It is ignored by now: it is read where it is stored, and must not happen any more.
    #[error("it is ignored since {since}, so it can't be applied any more")]
    Ignored {
        /// Since when, as its attribute says.
        since: &'static str,
    },
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

    /// Refuses what nobody could read safely: what could exhaust the stack, which can't be caught, or the memory.
    fn check_nesting(self) -> Result<(), DecodeError> {
        // serde_json has the same limit of its own, and JSON announces nothing.
        if self.codec == Codec::Json || !may_be_unsafe(self.bytes) {
            return Ok(());
        }
        let reason = match nesting(self.bytes) {
            Ok(_) => return Ok(()),
            Err(Unsafe::TooDeep) => format!("it is nested more than {NESTING_MAX} deep"),
            Err(Unsafe::TooMany) => "it announces more values than it has bytes".to_owned(),
        };
        Err(DecodeError::Payload { codec: self.codec, bytes: self.bytes.len(), reason })
    }

    fn read_as<T>(self, shape: impl Shape<T>) -> Result<T, DecodeError> {
        self.check_nesting()?;
        let fail = |reason: String| DecodeError::Payload {
            codec: self.codec,
            bytes: self.bytes.len(),
            reason: without_values(&reason),
        };
        #[cfg(feature = "testing")]
        if let Some(asked) = crate::testing::samples() {
            let read = shape.read(asked.clone());
            return asked.ended(read).map_err(fail);
        }
        match self.codec {
            Codec::MessagePack => {
                let mut source = rmp_serde::Deserializer::from_read_ref(self.bytes);
                let value = shape.read(&mut source).map_err(|error| fail(error.to_string()))?;
                match bool::deserialize(&mut source) {
                    // Not even the first byte of another value can be read: nothing is left.
                    Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
                    _ => Err(fail(format!("{} bytes are left over", behind_first_value(self.bytes)))),
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

/// How many bytes stand behind the first value.
fn behind_first_value(bytes: &[u8]) -> usize {
    let mut source = rmp_serde::Deserializer::new(Cursor::new(bytes));
    let read = IgnoredAny::deserialize(&mut source).map_or(0, |_| source.position());
    bytes.len().saturating_sub(usize::try_from(read).unwrap_or(usize::MAX))
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

/// Appends a value of its own to `out`, in a form that [`Payload::decode`] reads.
pub(crate) fn encode_value<T: Serialize>(codec: Codec, value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let fail = |reason| EncodeError::Write { codec, reason };
    match codec {
        Codec::MessagePack => value
            .serialize(&mut rmp_serde::Serializer::new(out).with_struct_map())
            .map_err(|error| fail(error.to_string())),
        Codec::Json => serde_json::to_writer(out, value).map_err(|error| fail(error.to_string())),
    }
}

/// Why a value isn't written whose length is limited.
pub(crate) enum NotWithin {
    TooLong,
    Encode(EncodeError),
}

/// Appends a value of its own to `out`, as [`encode_value`] does, if that takes no more than `bytes_max`. It stops where
/// it is too long.
pub(crate) fn encode_within<T: Serialize>(
    codec: Codec,
    value: &T,
    out: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<(), NotWithin> {
    let mut sink = Within { out, bytes_left: bytes_max, is_full: false };
    let written = match codec {
        Codec::MessagePack => value
            .serialize(&mut rmp_serde::Serializer::new(&mut sink).with_struct_map())
            .map_err(|error| error.to_string()),
        Codec::Json => serde_json::to_writer(&mut sink, value).map_err(|error| error.to_string()),
    };
    match written {
        _ if sink.is_full => Err(NotWithin::TooLong),
        Ok(()) => Ok(()),
        Err(reason) => Err(NotWithin::Encode(EncodeError::Write { codec, reason })),
    }
}

/// Writes so many bytes, and no more.
struct Within<'a> {
    out: &'a mut Vec<u8>,
    bytes_left: usize,
    is_full: bool,
}

impl std::io::Write for Within<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Some(left) = self.bytes_left.checked_sub(bytes.len()) else {
            self.is_full = true;
            return Err(std::io::Error::other("too long"));
        };
        self.bytes_left = left;
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads back what [`encode`] wrote.
pub(crate) fn decode_current<E: Event>(variant: usize, payload: Payload<'_>) -> Result<E, DecodeError> {
    payload.read_as(Variant(variant))
}

/// Reads an event that is stored as `name` in `version`; `None` if it is one that is ignored by now.
pub(crate) fn decode<E: Event>(name: &str, version: u32, payload: Payload<'_>) -> Result<Option<E>, DecodeError> {
    let Some(variant) = variant_named::<E>(name) else {
        return Err(DecodeError::UnknownEvent { name: name.to_owned() });
    };
    if E::VARIANTS[variant].ignored_since.is_some() {
        return Ok(None);
    }
    let known = E::VARIANTS[variant].version;
    match version.cmp(&known) {
        Ordering::Equal => decode_current(variant, payload).map(Some),
        Ordering::Less => E::upcast(variant, version, payload).map(Some),
        Ordering::Greater => Err(DecodeError::NewerVersion { name: name.to_owned(), version, known }),
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
