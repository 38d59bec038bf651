//! Idempotency keys, and what a repeated command is answered.

use std::collections::VecDeque;

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_128;

use crate::codec::{Codec, DecodeError, EncodeError, Payload, encode_value};
use crate::contain::contained;
use crate::id::SeqNr;
use crate::journal::StoredKey;
use crate::journal::bytes::{Flaw, Malformed, Reader, VARINT_BYTES_MAX, len_u64, push_varint};

/// Tells a repeated command from a new one; given with [`Call::key`](crate::Call::key). An entity may have keys of both
/// kinds, which know nothing of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(pub(crate) StoredKey);

impl Key {
    /// A key that nobody else uses for this entity, such as the bytes of a UUID.
    ///
    /// **The window is limited:** an entity remembers the last of them, as many as
    /// [`Builder::keys_max`](crate::Builder::keys_max) says, 128 if nothing else is said. Repeated after that many other
    /// keys, **the command runs again** like a new one, and nobody is told. Where repeats come later than that, use
    /// [`Key::rising`], or a higher limit.
    ///
    /// What is kept of a key is a digest of 16 bytes, which doesn't withstand somebody who makes up keys to collide.
    pub fn unique(key: impl AsRef<[u8]>) -> Self {
        Self(StoredKey::Unique(xxh3_128(key.as_ref()).to_le_bytes()))
    }

    /// The number that a source gave to the command, such as a line of a file or an offset of a queue: each one for an
    /// entity is higher than the one before, and numbers may be left out.
    ///
    /// The entity remembers the highest number, for ever. A command with this number or a lower one is a repeated
    /// one; with a number that was left out, it ends with [`CallError::AlreadyDone`](crate::CallError::AlreadyDone), and so
    /// it does where `retain` has deleted the records with its answer: only the highest number's are kept.
    /// So an entity can have one such source only, and it must send in order.
    pub fn rising(number: u64) -> Self {
        Self(StoredKey::Rising(number))
    }
}

/// What a command with a key may be answered, as its reply or as its refusal: a type that is stored and read again.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the answer to a command with a key",
    label = "the answer `{Self}` can't be stored and read again",
    note = "an answer is stored with its key: derive `Serialize` and `Deserialize` for `{Self}`"
)]
pub trait Repeatable: Serialize + DeserializeOwned + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Repeatable for T {}

/// How the reply and the refusal of a command with a key are written and read.
pub(crate) struct Coder<R, E> {
    pub(crate) reply: Format<R>,
    pub(crate) refusal: Format<E>,
}

pub(crate) struct Format<T> {
    encode: fn(Codec, &T, &mut Vec<u8>) -> Result<(), EncodeError>,
    decode: fn(Payload<'_>) -> Result<T, DecodeError>,
}

impl<T: Repeatable> Format<T> {
    fn new() -> Self {
        Self { encode: encode_value::<T>, decode: |payload| payload.decode() }
    }
}

impl<T> Format<T> {
    /// Writes an answer, and gives it as it will be read again, so that the first doesn't differ from its repeats.
    pub(crate) fn write(&self, codec: Codec, answer: &T, out: &mut Vec<u8>) -> Result<T, EncodeError> {
        (self.encode)(codec, answer, out)?;
        Ok((self.decode)(Payload { codec, bytes: out })?)
    }

    /// Reads a stored answer, or says why that can't be done.
    pub(crate) fn read(&self, codec: Codec, bytes: &[u8]) -> Result<T, String> {
        match contained(|| (self.decode)(Payload { codec, bytes })) {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(panic) => Err(format!("reading it panicked: {panic}")),
        }
    }
}

impl<R: Repeatable, E: Repeatable> Coder<R, E> {
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
    pub(crate) fn none() -> Self {
        Self { rising: None, unique: VecDeque::new() }
    }

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

    /// Remembers a key, and forgets the oldest unique one beyond the window. A key is told with each record of its
    /// write, one after the other, or with the last alone.
    pub(crate) fn insert(&mut self, key: StoredKey, seq_nr: SeqNr, unique_max: usize) {
        match key {
            StoredKey::Rising(number) => self.rising = Some((number, seq_nr)),
            StoredKey::Unique(digest) => {
                if let Some((newest, known)) = self.unique.back_mut()
                    && *newest == digest
                {
                    *known = seq_nr;
                    return;
                }
                while self.unique.len() >= unique_max.max(1) {
                    self.unique.pop_front();
                }
                self.unique.push_back((digest, seq_nr));
            }
        }
    }

    /// Forgets the oldest unique ones beyond the window.
    pub(crate) fn cut(&mut self, unique_max: usize) {
        let beyond = self.unique.len().saturating_sub(unique_max.max(1));
        self.unique.drain(..beyond);
    }

    /// The lowest of the records that hold the answers which may still be asked for.
    pub(crate) fn oldest(&self) -> Option<SeqNr> {
        let unique = self.unique.iter().map(|(_, seq_nr)| *seq_nr).min();
        self.rising.map(|(_, seq_nr)| seq_nr).into_iter().chain(unique).min()
    }
}

const RISING_FOLLOWS: u8 = 0x01;

/// The keys as bytes; they are described in `snapshot/bytes.rs`.
impl Keys {
    /// They take no more bytes than this.
    pub(crate) fn bytes_max(&self) -> usize {
        1 + 3 * VARINT_BYTES_MAX + self.unique.len() * (16 + VARINT_BYTES_MAX)
    }

    pub(crate) fn push_to(&self, bytes: &mut Vec<u8>) {
        match self.rising {
            None => bytes.push(0),
            Some((number, seq_nr)) => {
                bytes.push(RISING_FOLLOWS);
                push_varint(bytes, number);
                push_varint(bytes, seq_nr.0);
            }
        }
        push_varint(bytes, len_u64(self.unique.len()));
        for (digest, seq_nr) in &self.unique {
            bytes.extend_from_slice(digest);
            push_varint(bytes, seq_nr.0);
        }
    }

    /// Reads keys of records up to `last`.
    pub(crate) fn read(reader: &mut Reader<'_>, last: SeqNr) -> Result<Self, Malformed> {
        let record = |reader: &mut Reader<'_>, what| {
            let seq_nr = SeqNr(reader.varint(what)?);
            let is_one = (SeqNr(1)..=last).contains(&seq_nr);
            if is_one { Ok(seq_nr) } else { Err(Malformed { what, flaw: Flaw::OutOfRange }) }
        };
        let rising = match reader.u8("the flags of the keys")? {
            0 => None,
            RISING_FOLLOWS => Some((reader.varint("a rising key")?, record(reader, "the record of a rising key")?)),
            _ => return Err(Malformed { what: "the flags of the keys", flaw: Flaw::OutOfRange }),
        };
        let count = reader.varint("the number of unique keys")?;
        // Each takes at least this, so reading ends with the bytes if the number is wrong.
        let room = usize::try_from(count).unwrap_or(usize::MAX).min(reader.rest().len() / 17);
        let mut unique = VecDeque::with_capacity(room);
        for _ in 0..count {
            let digest = reader.array("a unique key")?;
            unique.push_back((digest, record(reader, "the record of a unique key")?));
        }
        Ok(Self { rising, unique })
    }
}
