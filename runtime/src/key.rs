//! Idempotency keys, and what a repeated command is answered.

use std::collections::VecDeque;

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_128;

use crate::codec::{Codec, DecodeError, EncodeError, Payload, encode_value};
use crate::id::SeqNr;
use crate::journal::StoredKey;

/// Tells a repeated command from a new one; given with [`Call::key`](crate::Call::key).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(pub(crate) StoredKey);

impl Key {
    /// A key that nobody else uses for this entity, such as the bytes of a UUID.
    ///
    /// An entity remembers the last of them, as many as [`Builder::keys_max`](crate::Builder::keys_max) says. A
    /// command whose key it has forgotten is handled like a new one.
    pub fn unique(key: impl AsRef<[u8]>) -> Self {
        Self(StoredKey::Unique(xxh3_128(key.as_ref()).to_le_bytes()))
    }

    /// The number that a source gave to the command, such as a line of a file or an offset of a queue: each one for an
    /// entity is higher than the one before, and numbers may be left out.
    ///
    /// The entity remembers the highest number, for ever. A command with this number or a lower one is a repeated
    /// one.
    pub fn rising(number: u64) -> Self {
        Self(StoredKey::Rising(number))
    }
}

/// How the reply and the refusal of a command with a key are written and read.
pub(crate) struct Coder<R, E> {
    pub(crate) reply: Format<R>,
    pub(crate) refusal: Format<E>,
}

pub(crate) struct Format<T> {
    pub(crate) encode: fn(Codec, &T, &mut Vec<u8>) -> Result<(), EncodeError>,
    pub(crate) decode: fn(Payload<'_>) -> Result<T, DecodeError>,
}

impl<T: Serialize + DeserializeOwned> Format<T> {
    fn new() -> Self {
        Self { encode: encode_value::<T>, decode: |payload| payload.decode() }
    }
}

impl<R, E> Coder<R, E>
where
    R: Serialize + DeserializeOwned,
    E: Serialize + DeserializeOwned,
{
    pub(crate) fn new() -> Self {
        Self { reply: Format::new(), refusal: Format::new() }
    }
}

/// The keys that an entity remembers, each with the sequence number of a record of its write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    rising: Option<(u64, SeqNr)>,
    /// The oldest first.
    unique: VecDeque<([u8; 16], SeqNr)>,
}

impl Keys {
    /// The last record up to which the write of a command with this key must be found, if there was one.
    pub(crate) fn seen(&self, key: StoredKey) -> Option<SeqNr> {
        match key {
            StoredKey::Rising(number) => {
                self.rising.filter(|(highest, _)| number <= *highest).map(|(_, seq_nr)| seq_nr)
            }
            StoredKey::Unique(digest) => {
                self.unique.iter().rev().find(|(known, _)| *known == digest).map(|(_, seq_nr)| *seq_nr)
            }
        }
    }

    /// Remembers a key, and forgets the oldest unique one beyond the window.
    pub(crate) fn insert(&mut self, key: StoredKey, seq_nr: SeqNr, unique_max: usize) {
        match key {
            StoredKey::Rising(number) => self.rising = Some((number, seq_nr)),
            StoredKey::Unique(digest) => {
                while self.unique.len() >= unique_max.max(1) {
                    self.unique.pop_front();
                }
                self.unique.push_back((digest, seq_nr));
            }
        }
    }
}
