//! The bytes of a snapshot.
//!
//! Notation, numbers and checksums are those of the journal (`journal/bytes.rs`); the checksum is seeded with the id of
//! the store whose events the snapshot stands for.
//!
//! | what | fields |
//! |---|---|
//! | snapshot | magic 8 "annals\0\x03", format u8 = 1, flags u8, store id u64, body, checksum 8 over all before it |
//! | snapshot flags | 0x01 the body is encrypted with the key of its stream; others reserved |
//! | body | aggregate: length v, UTF-8; entity id: length v, UTF-8; seq v, time i64 in us, state: length v, UTF-8 (empty: no machine), visit v, due flags u8 (0x01 due follows; others reserved), \[due i64 in us\], keys, version v, schema hash u64, codec u8, payload: length v, bytes |
//! | keys | flags u8 (0x01 a rising one follows; others reserved), \[number v, seq v\], unique ones: count v, each, the oldest first: digest 16, seq v |
//! | schema hash | xxh3-64, seeded with 0, over the fields, each: name: length v, UTF-8; type: length v, UTF-8 |
//! | sealed, as it lies on a disk | magic 8 "annals\0\x05", format u8 = 1, time i64 in us, the snapshot, seal 8 |
//! | seal | xxh3-64, seeded with 0, over: aggregate length u64, aggregate, entity id length u64, entity id, seq u64, all that lies before the seal |
//! | files of `DirSnapshots` | see `dir/names.rs` |
//! | rows of the engine | see `fjall.rs` |
//!
//! Every format keeps magic and format number at the start and the checksum in the last eight bytes: so a newer format is
//! told from damage.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::codec::{Codec, Payload};
use crate::event::Field;
use crate::id::{PersistenceId, SeqNr};
use crate::journal::bytes::{CHECKSUM_BYTES, Flaw, Malformed, Reader, checksum, micros, push_prefixed, push_varint};
use crate::journal::{Cipher, ReadError};
use crate::key::Keys;
use crate::snapshot::SnapshotMeta;

const MAGIC: [u8; 8] = *b"annals\0\x03";
const FORMAT: u8 = 1;
const ENCRYPTED: u8 = 0x01;
const DUE_FOLLOWS: u8 = 0x01;
/// Magic, format, flags and store id.
const HEADER_BYTES: usize = 8 + 2 + 8;

/// Why bytes are no snapshot that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotBytesError {
    #[error("it is no snapshot")]
    NotOurs,
    #[error("it belongs to another journal")]
    OtherStore,
    #[error("its checksum is wrong")]
    Checksum,
    #[error("it has format {found}, and this version reads formats up to {FORMAT}: a newer version wrote it")]
    NewerFormat { found: u8 },
    #[error("it has flags ({flags:#x}) that this version doesn't know: a newer version wrote it")]
    NewerFeature { flags: u8 },
    #[error("it is written with codec {number}, which this version doesn't know: a newer version wrote it")]
    UnknownCodec { number: u8 },
    #[error("it is encrypted, and its stream isn't")]
    NoCipher,
    #[error("it isn't encrypted, though its stream is")]
    NotEncrypted,
    #[error("it can't be decrypted: {0}")]
    Decrypt(ReadError),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("it is one of another entity")]
    OtherEntity,
    #[error("it is of sequence number {found}, and is stored as one of {stored}")]
    OtherSeq { found: SeqNr, stored: SeqNr },
    #[error("it is of {found}, and is stored as one of {stored}")]
    OtherTime { found: Timestamp, stored: Timestamp },
}

/// What a snapshot is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SnapshotDraft<'a> {
    pub(crate) aggregate: &'a str,
    pub(crate) entity: &'a str,
    /// The last record that it includes.
    pub(crate) seq_nr: SeqNr,
    /// The time of that record.
    pub(crate) time: Timestamp,
    /// The stored name of the state; `None` if the aggregate is no machine.
    pub(crate) state: Option<&'a str>,
    /// The record that entered the state.
    pub(crate) visit: SeqNr,
    /// When the time in the state is over.
    pub(crate) due: Option<Timestamp>,
    pub(crate) keys: &'a Keys,
    /// The version of the data.
    pub(crate) version: u32,
    /// What [`schema_hash`] says of the data's fields.
    pub(crate) schema: u64,
    pub(crate) payload: Payload<'a>,
}

impl SnapshotDraft<'_> {
    /// The snapshot as bytes that [`OpenedSnapshot::open`] reads, encrypted if there is a cipher.
    pub(crate) fn encode(&self, store: u64, cipher: Option<&dyn Cipher>) -> Vec<u8> {
        let room = HEADER_BYTES + self.body_bytes_about() + CHECKSUM_BYTES;
        let mut bytes = Vec::with_capacity(room);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[FORMAT, if cipher.is_some() { ENCRYPTED } else { 0 }]);
        bytes.extend_from_slice(&store.to_le_bytes());
        match cipher {
            None => self.push_body(&mut bytes),
            Some(cipher) => {
                let mut body = Vec::with_capacity(self.body_bytes_about());
                self.push_body(&mut body);
                bytes.extend_from_slice(&cipher.encrypt(&body));
            }
        }
        let sum = checksum(store, &[&bytes]);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn body_bytes_about(&self) -> usize {
        let names = self.aggregate.len() + self.entity.len() + self.state.map_or(0, str::len);
        // The numbers take at most this, together.
        names + self.keys.bytes_max() + self.payload.bytes.len() + 128
    }

    fn push_body(&self, bytes: &mut Vec<u8>) {
        push_prefixed(bytes, self.aggregate.as_bytes());
        push_prefixed(bytes, self.entity.as_bytes());
        push_varint(bytes, self.seq_nr.0);
        bytes.extend_from_slice(&micros(self.time).to_le_bytes());
        push_prefixed(bytes, self.state.unwrap_or_default().as_bytes());
        push_varint(bytes, self.visit.0);
        match self.due {
            None => bytes.push(0),
            Some(due) => {
                bytes.push(DUE_FOLLOWS);
                bytes.extend_from_slice(&micros(due).to_le_bytes());
            }
        }
        self.keys.push_to(bytes);
        push_varint(bytes, u64::from(self.version));
        bytes.extend_from_slice(&self.schema.to_le_bytes());
        bytes.push(self.payload.codec.number());
        push_prefixed(bytes, self.payload.bytes);
    }
}

/// A snapshot whose checksum is right, decrypted.
pub(crate) struct OpenedSnapshot<'a> {
    body: Cow<'a, [u8]>,
}

impl<'a> OpenedSnapshot<'a> {
    /// Checks a snapshot of an entity of this store. With a cipher it must be encrypted, and without one it may not.
    pub(crate) fn open(bytes: &'a [u8], store: u64, cipher: Option<&dyn Cipher>) -> Result<Self, SnapshotBytesError> {
        let (content, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(SnapshotBytesError::NotOurs)?;
        let mut reader = Reader::new(content);
        if reader.array("the magic") != Ok(MAGIC) {
            return Err(SnapshotBytesError::NotOurs);
        }
        let format = reader.u8("the format")?;
        let flags = reader.u8("the flags")?;
        if reader.u64("the store id")? != store {
            return Err(SnapshotBytesError::OtherStore);
        }
        if checksum(store, &[content]) != u64::from_le_bytes(*sum) {
            return Err(SnapshotBytesError::Checksum);
        }
        if format != FORMAT {
            return Err(SnapshotBytesError::NewerFormat { found: format });
        }
        let body = match (flags, cipher) {
            (0, None) => Cow::Borrowed(reader.rest()),
            (ENCRYPTED, Some(cipher)) => {
                Cow::Owned(cipher.decrypt(reader.rest()).map_err(SnapshotBytesError::Decrypt)?)
            }
            (0, Some(_)) => return Err(SnapshotBytesError::NotEncrypted),
            (ENCRYPTED, None) => return Err(SnapshotBytesError::NoCipher),
            (flags, _) => return Err(SnapshotBytesError::NewerFeature { flags: flags & !ENCRYPTED }),
        };
        Ok(Self { body })
    }

    /// Whether it holds just this.
    pub(crate) fn is(&self, draft: &SnapshotDraft<'_>) -> bool {
        let mut body = Vec::with_capacity(draft.body_bytes_about());
        draft.push_body(&mut body);
        *self.body == *body
    }

    pub(crate) fn view(&self) -> Result<SnapshotView<'_>, SnapshotBytesError> {
        SnapshotView::parse(&self.body)
    }
}

/// Whether it is a snapshot for which another journal has the events.
pub(crate) fn is_of_other_store(bytes: &[u8], store: u64) -> bool {
    matches!(OpenedSnapshot::open(bytes, store, None), Err(SnapshotBytesError::OtherStore))
}

/// What is in a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotView<'a> {
    pub(crate) aggregate: &'a str,
    pub(crate) entity: &'a str,
    /// The last record that it includes.
    pub(crate) seq_nr: SeqNr,
    /// The time of that record.
    pub(crate) time: Timestamp,
    /// The stored name of the state; `None` if the aggregate is no machine.
    pub(crate) state: Option<&'a str>,
    /// The record that entered the state.
    pub(crate) visit: SeqNr,
    /// When the time in the state is over.
    pub(crate) due: Option<Timestamp>,
    pub(crate) keys: Keys,
    /// The version of the data.
    pub(crate) version: u32,
    /// What [`schema_hash`] said of the data's fields.
    pub(crate) schema: u64,
    pub(crate) payload: Payload<'a>,
}

impl<'a> SnapshotView<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, SnapshotBytesError> {
        let mut reader = Reader::new(body);
        let aggregate = reader.text("the aggregate")?;
        let entity = reader.text("the entity id")?;
        let seq_nr = SeqNr(reader.varint("the sequence number")?);
        if seq_nr == SeqNr::ZERO {
            return Err(out_of_range("the sequence number").into());
        }
        let time = read_time(&mut reader, "the time")?;
        let state = Some(reader.text("the state")?).filter(|state| !state.is_empty());
        let visit = SeqNr(reader.varint("the visit")?);
        if visit > seq_nr {
            return Err(out_of_range("the visit").into());
        }
        let due = match reader.u8("the flags of the deadline")? {
            0 => None,
            DUE_FOLLOWS => Some(read_time(&mut reader, "the deadline")?),
            _ => return Err(out_of_range("the flags of the deadline").into()),
        };
        let keys = Keys::read(&mut reader, seq_nr)?;
        let version = reader.varint("the version")?;
        let version = u32::try_from(version).map_err(|_| out_of_range("the version"))?;
        let schema = reader.u64("the schema hash")?;
        let number = reader.u8("the codec")?;
        let codec = Codec::from_number(number).map_err(|_| SnapshotBytesError::UnknownCodec { number })?;
        let payload = Payload { codec, bytes: reader.prefixed("the payload")? };
        reader.end("the payload")?;
        Ok(Self { aggregate, entity, seq_nr, time, state, visit, due, keys, version, schema, payload })
    }

    /// Says whether it is the one that is stored under this id and with this sequence number and time. `id` is the
    /// entity's own, also where a pseudonym stands for it in the store.
    pub(crate) fn check(&self, id: &PersistenceId, stored: &SnapshotMeta) -> Result<(), SnapshotBytesError> {
        if (self.aggregate, self.entity) != (&*id.aggregate, id.entity.as_str()) {
            return Err(SnapshotBytesError::OtherEntity);
        }
        if self.seq_nr != stored.seq_nr {
            return Err(SnapshotBytesError::OtherSeq { found: self.seq_nr, stored: stored.seq_nr });
        }
        if self.time != stored.time {
            return Err(SnapshotBytesError::OtherTime { found: self.time, stored: stored.time });
        }
        Ok(())
    }
}

fn out_of_range(what: &'static str) -> Malformed {
    Malformed { what, flaw: Flaw::OutOfRange }
}

fn read_time(reader: &mut Reader<'_>, what: &'static str) -> Result<Timestamp, Malformed> {
    Timestamp::from_microsecond(reader.i64(what)?).map_err(|_| out_of_range(what))
}

/// Changes whenever a field's name, type or place changes.
pub(crate) fn schema_hash(fields: &[Field]) -> u64 {
    let mut bytes = Vec::new();
    for field in fields {
        push_prefixed(&mut bytes, field.name.as_bytes());
        push_prefixed(&mut bytes, field.ty.as_bytes());
    }
    checksum(0, &[&bytes])
}

#[cfg(test)]
mod tests;
