//! Names and positions: entity ids, persistence ids, sequence numbers, offsets.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use ecow::EcoString;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The name of an entity within its aggregate.
///
/// An id is opaque text: NUL, newlines, `/`, `..` and emoji are all legal, and two ids are the same only if their
/// bytes are (so an NFC and an NFD spelling of one word are two entities). An empty id and one of more than
/// [`EntityId::BYTES_MAX`] bytes name nothing; every call on them fails with
/// [`NotStored`](crate::CallError::NotStored), and nothing changes.
///
/// A clone is cheap. It takes 16 bytes, and only one of more than 15 bytes has memory beside them, which its clones share.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityId(EcoString);

impl EntityId {
    /// The longest id, in bytes of UTF-8.
    pub const BYTES_MAX: usize = 512;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What its shard, its lane there and its place in tables follow from.
    pub(crate) fn hash64(&self) -> u64 {
        xxh3_64(self.0.as_bytes())
    }

    /// Says whether this id can name an entity.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] if it is empty or longer than [`EntityId::BYTES_MAX`].
    pub fn check(&self) -> Result<(), InvalidId> {
        match self.0.len() {
            0 => Err(InvalidId::Empty),
            bytes if bytes > Self::BYTES_MAX => Err(InvalidId::TooLong { bytes }),
            _ => Ok(()),
        }
    }
}

macro_rules! ids_from {
    ($($text:ty),*) => {
        $(impl From<$text> for EntityId {
            fn from(id: $text) -> Self {
                Self(EcoString::from(&*id))
            }
        })*
    };
}

ids_from!(&str, String, Box<str>, Arc<str>, Cow<'_, str>);

impl From<&String> for EntityId {
    fn from(id: &String) -> Self {
        Self(EcoString::from(id.as_str()))
    }
}

impl From<&EntityId> for EntityId {
    fn from(id: &EntityId) -> Self {
        id.clone()
    }
}

impl fmt::Display for EntityId {
    /// Writes the id with control characters escaped, so that it can't forge a line of a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why an id names no entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// The id has no bytes.
    #[error("the id is empty; an id has 1 to {} bytes", EntityId::BYTES_MAX)]
    Empty,
    /// The id is too long.
    #[error("the id has {bytes} bytes; an id has 1 to {} bytes", EntityId::BYTES_MAX)]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

/// Aggregate name and entity id; names one event stream.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersistenceId {
    /// The aggregate's stored name, [`Aggregate::NAME`](crate::Aggregate::NAME); 1 to 255 bytes.
    pub aggregate: Arc<str>,
    /// The entity within the aggregate.
    pub entity: EntityId,
}

impl PersistenceId {
    /// The longest aggregate name, in bytes of UTF-8.
    pub const AGGREGATE_BYTES_MAX: usize = 255;

    /// Names the stream of one entity.
    pub fn new(aggregate: impl Into<Arc<str>>, entity: impl Into<EntityId>) -> Self {
        Self { aggregate: aggregate.into(), entity: entity.into() }
    }
}

impl fmt::Display for PersistenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\"", self.aggregate.escape_debug(), self.entity)
    }
}

impl fmt::Debug for PersistenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! position {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

position! {
    /// The position of a record in its stream: from 1, gapless. 0 is before the first record.
    SeqNr
}

position! {
    /// The position of a record in the whole journal: a total order, from 1. 0 is before the first record.
    Offset
}

position! {
    /// The number a journal gave to a stream. It means nothing outside that journal.
    StreamNo
}

impl SeqNr {
    /// Before the first record of a stream.
    pub const ZERO: SeqNr = SeqNr(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> SeqNr {
        SeqNr(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_id_takes_16_bytes() {
        assert_eq!(size_of::<EntityId>(), 16);
    }

    #[test]
    fn an_id_is_its_text_however_long_it_is() {
        for bytes in [0, 1, 15, 16, 512, 513] {
            let text = "x".repeat(bytes);
            let id = EntityId::from(&text);
            assert_eq!((id.as_str(), id.clone()), (&*text, EntityId::from(Arc::<str>::from(&*text))));
            assert_eq!(id.check().is_ok(), (1..=512).contains(&bytes));
            assert!(id < EntityId::from(format!("{text}a")));
        }
    }
}
