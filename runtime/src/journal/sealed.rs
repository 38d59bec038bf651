//! A run as it is stored in a stream that can be forgotten: encrypted, but for what the order of the runs needs.
//!
//! A journal is handed plain runs and gives out plain runs. The bytes are described in `bytes.rs`.

use super::bytes::{CHECKSUM_BYTES, Flaw, Malformed, Reader, Varint, checksum, len_u64, push_varint};
use super::cipher::{DecryptError, NONCE_BYTES, StreamKey, TAG_BYTES};
use super::run::{FORMAT, RUN_EXTENSIONS, RunError, SALT_BYTES};
use crate::id::SeqNr;

/// What stands in a plain and in an encrypted run alike, and the rest of the one or the other.
struct Parts<'a> {
    flags: u8,
    epoch: u64,
    number: u64,
    salt: [u8; SALT_BYTES],
    key: u64,
    first: u64,
    body_bytes: usize,
    rest: Reader<'a>,
}

impl<'a> Parts<'a> {
    /// Reads a run whose checksum is right.
    fn read(run: &'a [u8]) -> Result<Self, RunError> {
        let (content, _) = run.split_last_chunk::<CHECKSUM_BYTES>().ok_or(RunError::Checksum)?;
        let mut reader = Reader::new(content);
        let format = reader.u8("the format")?;
        if format != FORMAT {
            return Err(RunError::NewerFormat { found: format, supported: FORMAT });
        }
        let flags = reader.u8("the flags")?;
        if flags & !RUN_EXTENSIONS != 0 {
            return Err(RunError::NewerFeature { what: "a flag of a run", number: flags.into() });
        }
        let body = reader.prefixed("the body")?;
        let mut rest = Reader::new(body);
        reader.end("the body")?;
        let epoch = rest.varint("the epoch")?;
        let number = rest.varint("the run number")?;
        let salt = rest.array("the salt")?;
        let key = rest.varint("the key number")?;
        let first = rest.varint("the first sequence number")?;
        Ok(Self { flags, epoch, number, salt, key, first, body_bytes: body.len(), rest })
    }

    /// Writes these parts with another key number and `more` behind them. `behind` bytes follow in the body.
    fn begin(&self, key: u64, more: &[u8], behind: usize) -> Vec<u8> {
        let mut fields = Vec::with_capacity(64 + more.len());
        push_varint(&mut fields, self.epoch);
        push_varint(&mut fields, self.number);
        fields.extend_from_slice(&self.salt);
        push_varint(&mut fields, key);
        push_varint(&mut fields, self.first);
        fields.extend_from_slice(more);
        let body = Varint::new(len_u64(fields.len() + behind));
        let body = body.as_slice();
        let mut bytes = Vec::with_capacity(2 + body.len() + fields.len() + behind + CHECKSUM_BYTES);
        bytes.extend_from_slice(&[FORMAT, self.flags]);
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&fields);
        bytes
    }
}

fn end(mut bytes: Vec<u8>, store: u64) -> Vec<u8> {
    let sum = checksum(store, &[&bytes]);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Encrypts a plain run whose checksum is right. `None` if the key is destroyed.
pub(crate) fn seal(run: &[u8], store: u64, key: &StreamKey) -> Result<Option<Vec<u8>>, RunError> {
    let mut parts = Parts::read(run)?;
    let base: [u8; 8] = parts.rest.array("the base time")?;
    let writes = Varint::new(parts.rest.varint("the number of writes")?);
    let records = Varint::new(parts.rest.varint("the number of records")?);
    let plain = [&base[..], writes.as_slice(), parts.rest.rest()];
    let behind = NONCE_BYTES + plain.iter().map(|part| part.len()).sum::<usize>() + TAG_BYTES;
    let mut bytes = parts.begin(key.number, records.as_slice(), behind);
    let begin = bytes.len();
    Ok(key.encrypt_behind(&mut bytes, begin, &plain).map(|()| end(bytes, store)))
}

/// An encrypted run, decoded as far as that goes without its key.
pub(crate) struct SealedRun<'a> {
    parts: Parts<'a>,
    records: u64,
    /// All before the nonce.
    before: &'a [u8],
    /// The nonce, what is encrypted, and the tag.
    sealed: &'a [u8],
}

impl<'a> SealedRun<'a> {
    /// Reads an encrypted run whose checksum is right.
    pub(crate) fn read(run: &'a [u8]) -> Result<Self, RunError> {
        let mut parts = Parts::read(run)?;
        let records = parts.rest.varint("the number of records")?;
        let out_of_range = |what| RunError::Malformed(Malformed { what, flaw: Flaw::OutOfRange });
        if parts.key == 0 {
            return Err(out_of_range("the key number"));
        }
        if parts.first == 0 || records == 0 || parts.first.checked_add(records).is_none() {
            return Err(out_of_range("the number of records"));
        }
        let sealed = parts.rest.rest();
        let before = &run[..run.len() - CHECKSUM_BYTES - sealed.len()];
        Ok(Self { parts, records, before, sealed })
    }

    /// The number of the key with which it is encrypted.
    pub(crate) fn key(&self) -> u64 {
        self.parts.key
    }

    pub(crate) fn first(&self) -> SeqNr {
        SeqNr(self.parts.first)
    }

    pub(crate) fn last(&self) -> SeqNr {
        SeqNr(self.parts.first + (self.records - 1))
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// How many bytes the plain run has.
    pub(crate) fn plain_bytes(&self) -> usize {
        let more = NONCE_BYTES + TAG_BYTES + Varint::new(self.parts.key).as_slice().len() - 1;
        let body = self.parts.body_bytes.saturating_sub(more);
        2 + Varint::new(len_u64(body)).as_slice().len() + body + CHECKSUM_BYTES
    }

    /// The plain run, as it was handed to the journal.
    pub(crate) fn open(&self, store: u64, key: &StreamKey) -> Result<Vec<u8>, DecryptError> {
        let plain = key.decrypt(self.before, self.sealed)?;
        let mut reader = Reader::new(&plain);
        let base: [u8; 8] = reader.array("the base time")?;
        let writes = Varint::new(reader.varint("the number of writes")?);
        let records = Varint::new(self.records);
        let more = [&base[..], writes.as_slice(), records.as_slice()].concat();
        let rest = reader.rest();
        let mut bytes = self.parts.begin(0, &more, rest.len());
        bytes.extend_from_slice(rest);
        Ok(end(bytes, store))
    }
}

#[cfg(test)]
mod tests;
