//! The byte format: every layout, and the reader and writer of its parts.
//!
//! `v` is an unsigned LEB128 varint of at most 64 bits, in its shortest form; other numbers in values are little
//! endian, numbers in keys big endian. Every checksum is xxh3-64, seeded with the store id. What is reserved is
//! written as shown and refused, unless the table says that it may be skipped.
//!
//! | what | fields |
//! |---|---|
//! | run | format u8 = 1, flags u8, body length v, body, checksum 8 over all before it |
//! | run body | epoch v, run number v, salt 8, key number v = 0, first seq v, base time i64 in us, writes v, records v, names, \[extensions\], the writes |
//! | encrypted run body | epoch v, run number v, salt 8, key number v (not 0), first seq v, records v, nonce 24, encrypted: (base time i64 in us, writes v, and all that follows the records in a plain one), tag 16 over the stream u64 and all of the run before the nonce |
//! | run flags | 0x01 extensions follow the names; others reserved |
//! | names | count v, each: length v, UTF-8. 0 is the aggregate, 1 the entity id, then names in the order of first use; records refer to them by index |
//! | extensions | length v, each: type v, length v, bytes. An even type may be skipped, an odd one is critical |
//! | write (one command) | length v, flags u8, time v in us since the write before (the first: since the base time), count v, \[key\], \[outcome\], \[cause\], \[extensions\], the records |
//! | write flags | 0x01 key, 0x02 outcome, 0x04 cause, 0x08 extensions; others reserved |
//! | key | kind u8. 1 unique: digest 16 (xxh3-128 of its bytes). 2 rising: number v |
//! | outcome | kind u8. 1 reply, 2 refusal: codec u8, length v, payload. 3 not accepted: state v (index) |
//! | cause | kind u8. 1 command: name v (index). 2 deadline: visit v, the sequence number of the record that entered the state. Reserved: 3 message |
//! | record | kind u8, length v, body. A kind with bit 0x80 may be skipped by those who don't know it; it has a sequence number like any other |
//! | record kinds | 1 event, 2 transition, 3 deadline consumed, 4 receipt, 10 tombstone. Reserved: 5 message out, 6 confirmation, 7 message received, 8 command, 9 command skipped |
//! | event body | name v (index), version v, codec u8 (1 MessagePack, 2 JSON), tags v, each tag v (index), payload to the end |
//! | transition body | from v (index; 0 where a machine begins in its initial state), to v (index), flags u8 (0x01 due follows, 0x02 transient: not recovered to; others reserved), \[due i64 in us\] |
//! | deadline consumed body | visit v |
//! | receipt body | nothing: a command with a key that changed nothing |
//! | tombstone body | nothing: the last record of a run and of its stream |
//! | group key | 01, group u64 -> order row |
//! | stream key | 02, stream u64, first seq u64 -> stream row |
//! | id key | 03, aggregate length u8, aggregate, entity id -> id row |
//! | hidden id key | 07, aggregate length u8, aggregate, digest 16 of the id -> id row |
//! | floor key | 04, stream u64, floor u64 inverted, flags u8 inverted (so that a stream's highest is its first) -> floor row. Flags: 0x01 ended, 0x02 forgotten |
//! | reserved keys | 06 names |
//! | stream row | group u64, base offset u64, run, digest 8 over the key, group, base offset and the run's checksum |
//! | id row | stream u64, group u64 in which it was made, digest 8 over key and both |
//! | floor row | group u64 with which the floor rose, digest 8 over key and group |
//! | order row | format u8 = 1, flags u8 = 0, epoch v, base offset v, records v, time i64 in us (of writing), digest of the row before 8 (0 before the first), aggregates v, each: length v, UTF-8, runs v, each run, controls v, each control (a group has at least one run or control), own digest 8 over the key and all before it |
//! | run in an order row | stream v, aggregate v (index), first seq v, records v, bytes v, the run's checksum 8, flags u8 (0x01 due follows, 0x04 cleared: no deadline any more, never with 0x01; reserved: 0x02 tags), \[due i64 in us\] |
//! | run of stream 0 | records that a repair has given up: no row, bytes 0, checksum 0, below the floor of stream 0. No entity has this stream |
//! | control | kind u8, length v, body. 1 new stream: stream v, aggregate v (index), entity id to the end. 3 floor: stream v, floor v, flags u8 as in its key. 5 new hidden stream: stream v, aggregate v (index), digest 16 of the id. Reserved: 2 new name, 4 forget. Bit 0x80 as in a record |
//! | head | two slots of 4096 bytes, each: magic 8 "annals\0\x01", format u8 = 1, layout u8 = 1, durability u8, state u8, store id u64, epoch u64, write number u64, boot id 16, acked, synced and checkpoint, zeros, checksum 8 seeded with 0 in the last 8 bytes |
//! | deadlines, a file: derived, it may be missing | magic 8 "annals\0\x02", format u8 = 1, flags u8 = 0, store id u64, the mark up to which it holds, first due i64 in us (0 if there is none), count v, each, checksum 8 over all before it |
//! | each of the deadlines, by due and stream | due v in us since the one before (the first: since the first due), stream v |
//! | snapshot; sealed snapshot | magic 8 "annals\0\x03"; "annals\0\x05"; then as described in `snapshot/bytes.rs` |
//! | keys, a file: a header, then the slot of key n at byte 64 n | header: magic 8 "annals\0\x04", format u8 = 1, flags u8 = 0, zeros 6, store id u64, secret of the ids 32, checksum 8 over all before it |
//! | slot of a key | key number u64, stream u64, key 32, zeros 8, checksum 8 over all before it. Only zeros: the key is destroyed, or never was written |
//! | digest of an id | the first 16 bytes of the stream of XChaCha20 (counter 1) under the secret and a nonce: the Poly1305 tag of XChaCha20-Poly1305 under the secret, the nonce of zeros, no content and as associated data aggregate length u8, aggregate, entity id; then 8 times 01 |
//! | snapshot's or other content of a stream that can be forgotten | 00, nonce 24, encrypted, tag 16 over the stream u64 and the 00 |
//! | acked, synced, checkpoint, mark | group u64, offset u64 (the last record's), digest u64 (the order row's) |
//!
//! What is encrypted is encrypted with XChaCha20-Poly1305; what its tag covers beside is its associated data.
//!
//! Every format of a run keeps the format number in the first byte and the checksum in the last eight, every format
//! of a head its magic and format number at the start of a slot and the checksum at its end: so a newer format is
//! told from damage.

use jiff::Timestamp;
use xxhash_rust::xxh3::Xxh3;

/// The longest write of one command, in bytes: it still fits into a run.
pub const WRITE_BYTES_MAX: usize = 960_000;

/// The longest run, in bytes: it still fits, with headers, into a message of 1 MiB.
pub const RUN_BYTES_MAX: usize = 1_000_000;

/// The longest varint, in bytes.
pub(crate) const VARINT_BYTES_MAX: usize = 10;

/// The length of a checksum or digest.
pub(crate) const CHECKSUM_BYTES: usize = 8;

/// What is wrong with some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} {flaw}")]
pub struct Malformed {
    /// The field that was to be read.
    pub what: &'static str,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// How a field can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// The bytes end before it does.
    #[error("is cut off")]
    CutOff,
    /// There are bytes behind its end.
    #[error("is followed by bytes that belong to nothing")]
    Trailing,
    /// A varint that is longer than it needs to be, or has more than 64 bits.
    #[error("is a number in an overlong form")]
    Overlong,
    /// Text that is not UTF-8.
    #[error("is not UTF-8")]
    NotText,
    /// A value that can't be.
    #[error("is out of range")]
    OutOfRange,
}

/// Reads fields from the front of some bytes. Nothing is allocated, nothing panics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(crate) fn end(&self, what: &'static str) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed { what, flaw: Flaw::Trailing }) }
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Malformed { what, flaw: Flaw::CutOff })?;
        self.bytes = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(Malformed { what, flaw: Flaw::CutOff })?;
        self.bytes = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self, what: &'static str) -> Result<i64, Malformed> {
        self.array(what).map(i64::from_le_bytes)
    }

    #[inline]
    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u64, Malformed> {
        match self.bytes.split_first() {
            // Nearly all numbers are that small.
            Some((&byte, rest)) if byte < 0x80 => {
                self.bytes = rest;
                Ok(byte.into())
            }
            _ => self.longer_varint(what),
        }
    }

    fn longer_varint(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let mut value = 0;
        for (index, &byte) in self.bytes.iter().enumerate() {
            // The tenth byte has room for the 64th bit only.
            if index == VARINT_BYTES_MAX - 1 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                // A last byte of zero could have been left out.
                if index > 0 && byte == 0 {
                    break;
                }
                self.bytes = &self.bytes[index + 1..];
                return Ok(value);
            }
        }
        let cut_off = self.bytes.len() < VARINT_BYTES_MAX && self.bytes.iter().all(|byte| *byte >= 0x80);
        Err(Malformed { what, flaw: if cut_off { Flaw::CutOff } else { Flaw::Overlong } })
    }

    /// Reads a length and as many bytes.
    #[inline]
    pub(crate) fn prefixed(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        let len = self.varint(what)?;
        let len = usize::try_from(len).map_err(|_| Malformed { what, flaw: Flaw::CutOff })?;
        self.take(len, what)
    }

    /// Reads a length and as many bytes of text.
    pub(crate) fn text(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        text(self.prefixed(what)?, what)
    }
}

pub(crate) fn text<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed { what, flaw: Flaw::NotText })
}

/// Skips extensions that may be skipped; the type of the first that may not, if there is one.
pub(crate) fn skip_extensions(reader: &mut Reader<'_>) -> Result<Option<u64>, Malformed> {
    let mut extensions = Reader::new(reader.prefixed("the extensions")?);
    while !extensions.is_empty() {
        let kind = extensions.varint("an extension's type")?;
        extensions.prefixed("an extension")?;
        if kind % 2 == 1 {
            return Ok(Some(kind));
        }
    }
    Ok(None)
}

/// A number as a varint, on the stack.
pub(crate) struct Varint {
    bytes: [u8; VARINT_BYTES_MAX],
    len: usize,
}

impl Varint {
    pub(crate) fn new(mut value: u64) -> Self {
        let mut bytes = [0; VARINT_BYTES_MAX];
        let mut len = 0;
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            bytes[len] = if value == 0 { low & 0x7f } else { low | 0x80 };
            len += 1;
            if value == 0 {
                return Self { bytes, len };
            }
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The length of a number as a varint.
pub(crate) fn varint_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    usize::try_from(bits.div_ceil(7)).unwrap_or(VARINT_BYTES_MAX)
}

#[inline]
pub(crate) fn push_varint(bytes: &mut Vec<u8>, value: u64) {
    match u8::try_from(value) {
        Ok(byte) if byte < 0x80 => bytes.push(byte),
        _ => bytes.extend_from_slice(Varint::new(value).as_slice()),
    }
}

/// A time as it is written: in whole microseconds. The last ones of all time can't be read again: they are written as
/// the last that can.
pub(crate) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond().min(Timestamp::MAX.as_second() * 1_000_000)
}

/// A time as it is read again.
pub(crate) fn as_stored(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(micros(time)).unwrap_or(time)
}

/// A length as it is written. `usize` has at most 64 bits on everything that Rust runs on.
pub(crate) fn len_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

pub(crate) fn push_prefixed(bytes: &mut Vec<u8>, prefixed: &[u8]) {
    push_varint(bytes, len_u64(prefixed.len()));
    bytes.extend_from_slice(prefixed);
}

/// The checksum over several parts, as if they were one.
pub(crate) fn checksum(store: u64, parts: &[&[u8]]) -> u64 {
    match parts {
        [one] => xxhash_rust::xxh3::xxh3_64_with_seed(one, store),
        parts => {
            let mut hash = Xxh3::with_seed(store);
            for part in parts {
                hash.update(part);
            }
            hash.digest()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn varint(bytes: &[u8]) -> Result<u64, Flaw> {
        Reader::new(bytes).varint("it").map_err(|malformed| malformed.flaw)
    }

    #[test]
    fn a_name_that_is_no_text_is_refused() {
        assert_eq!(Reader::new(&[2, b'a', b'b']).text("it"), Ok("ab"));
        let malformed = Malformed { what: "it", flaw: Flaw::NotText };
        assert_eq!(Reader::new(&[2, b'a', 0xff]).text("it"), Err(malformed));
        assert_eq!(malformed.to_string(), "it is not UTF-8");
    }

    #[test]
    fn a_varint_is_read_in_its_shortest_form_only() {
        assert_eq!(varint(&[0]), Ok(0));
        assert_eq!(varint(&[0x7f]), Ok(127));
        assert_eq!(varint(&[0x80, 1]), Ok(128));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Ok(u64::MAX));

        assert_eq!(varint(&[]), Err(Flaw::CutOff));
        assert_eq!(varint(&[0x80]), Err(Flaw::CutOff));
        assert_eq!(varint(&[0x80, 0]), Err(Flaw::Overlong));
        assert_eq!(varint(&[0xff, 0x80, 0]), Err(Flaw::Overlong));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), Err(Flaw::Overlong));
        assert_eq!(varint(&[0xff; 11]), Err(Flaw::Overlong));
    }

    #[test]
    fn a_length_beyond_the_end_is_refused_without_allocating() {
        let huge = Varint::new(u64::MAX);
        assert_eq!(Reader::new(huge.as_slice()).prefixed("it"), Err(Malformed { what: "it", flaw: Flaw::CutOff }));
    }

    #[test]
    fn extensions_with_even_types_are_skipped_and_odd_ones_reported() {
        assert_eq!(skip_extensions(&mut Reader::new(&[0])), Ok(None));
        assert_eq!(skip_extensions(&mut Reader::new(&[4, 2, 2, 7, 7])), Ok(None));
        assert_eq!(skip_extensions(&mut Reader::new(&[4, 3, 2, 7, 7])), Ok(Some(3)));
        assert!(skip_extensions(&mut Reader::new(&[4, 2, 3, 7, 7])).is_err());
    }

    #[test]
    fn any_time_is_read_again_in_whole_microseconds() {
        for time in [Timestamp::MIN, Timestamp::MAX, Timestamp::from_nanosecond(-1_999).unwrap()] {
            let stored = as_stored(time);
            assert_eq!(Timestamp::from_microsecond(micros(time)).unwrap(), stored);
            assert_eq!(as_stored(stored), stored);
            assert!(stored.duration_since(time).as_secs() == 0, "{time} {stored}");
        }
    }

    proptest! {
        #[test]
        fn any_number_survives_as_a_varint(value: u64, behind: Vec<u8>) {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, value);
            let len = bytes.len();
            bytes.extend(&behind);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint("it"), Ok(value));
            prop_assert_eq!(reader.rest().len(), bytes.len() - len);
            prop_assert_eq!(varint_len(value), len);
        }

        #[test]
        fn a_varint_that_is_read_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.varint("it") {
                let used = bytes.len() - reader.rest().len();
                let written = Varint::new(value);
                prop_assert_eq!(written.as_slice(), &bytes[..used]);
            }
        }

        #[test]
        fn a_checksum_of_parts_is_that_of_the_whole(a: Vec<u8>, b: Vec<u8>, store: u64) {
            let whole = [a.as_slice(), b.as_slice()].concat();
            prop_assert_eq!(checksum(store, &[&a, &b]), checksum(store, &[&whole]));
        }
    }
}
