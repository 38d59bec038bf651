//! The bytes of an export.
//!
//! Notation and numbers are those of the journal (`journal/bytes.rs`).
//!
//! | what | fields |
//! |---|---|
//! | export | header, frames, the last of which is an end; nothing follows |
//! | header | magic 8 "annals\0\x06", format u8 = 1, flags u8, durability u8 (1 fsync, 2 os), 0, store id u64, epoch u64, the mark of the last group (group u64, offset u64, digest u64), checksum 8 over all before it, seeded with the store id |
//! | header flags | 0x01 some streams can be forgotten: their runs need keys, which are not in it; 0x02 all rows that are deleted are removed; others reserved |
//! | frame | kind u8, length v, body, checksum 8 over kind, length and body, seeded with the checksum before it |
//! | frame kinds | 1 row of the truth: key length v, key, row. 2 snapshot: key of its meta row length v, key, meta row length v, meta row, snapshot row. 3 end: rows u64, snapshots u64 |
//!
//! Each checksum covers all that came before it, so what is changed, exchanged, left out or cut off is found.

use std::io::{self, Read, Write};

use super::building::Origin;
use crate::id::Offset;
use crate::journal::Durability;
use crate::journal::bytes::{CHECKSUM_BYTES, Reader, VARINT_BYTES_MAX, Varint, checksum, len_u64, push_prefixed};
use crate::journal::order::Mark;

const MAGIC: [u8; 8] = *b"annals\0\x06";
const FORMAT: u8 = 1;
const NEEDS_KEYS: u8 = 0x01;
const TIDY: u8 = 0x02;
const HEADER_BYTES: usize = 8 + 4 + 8 + 8 + 24 + CHECKSUM_BYTES;
const ROW: u8 = 1;
const SNAPSHOT: u8 = 2;
const END: u8 = 3;
/// The engine takes no longer rows.
const BODY_BYTES_MAX: u64 = 0xffff_ffff;
/// Keys are never longer than this: those of ids have an aggregate's name and an id.
const KEY_BYTES_MAX: usize = 1024;

/// What stands before the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) origin: Origin,
    pub(super) end: Mark,
    pub(super) needs_keys: bool,
}

/// One part of an export.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Row { key: Vec<u8>, row: Vec<u8> },
    Snapshot { key: Vec<u8>, meta: Vec<u8>, row: Vec<u8> },
    End,
}

/// What is wrong with an export, and where.
#[derive(Debug)]
pub(super) enum Flaw {
    Bytes { at: u64, reason: String },
    Io(io::Error),
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        let flag = |flag, set| if set { flag } else { 0 };
        let durability = match self.origin.durability {
            Durability::Fsync | Durability::Memory => 1,
            Durability::Os => 2,
        };
        let flags = flag(NEEDS_KEYS, self.needs_keys) | flag(TIDY, self.origin.is_tidy);
        bytes.extend_from_slice(&[FORMAT, flags, durability, 0]);
        let Mark { group, offset, digest } = self.end;
        for number in [self.origin.store, self.origin.epoch, group, offset.0, digest] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let sum = checksum(self.origin.store, &[&bytes]);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes.try_into().unwrap_or([0; HEADER_BYTES])
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, String> {
        let (content, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or("it is cut off")?;
        let mut reader = Reader::new(content);
        let read = |error: crate::journal::Malformed| error.to_string();
        if reader.array("the magic").map_err(read)? != MAGIC {
            return Err("it is no export of a journal".into());
        }
        let [format, flags, durability, zero] = reader.array("the format").map_err(read)?;
        let mut number = |what| reader.u64(what).map_err(read);
        let (store, epoch) = (number("the store id")?, number("the epoch")?);
        let (group, offset, digest) = (number("the group")?, number("the offset")?, number("the digest")?);
        if checksum(store, &[content]) != u64::from_le_bytes(*sum) {
            return Err("the checksum of its header is wrong".into());
        }
        if format != FORMAT {
            return Err(format!("it has format {format}, and this version reads formats up to {FORMAT}"));
        }
        let durability = match durability {
            1 => Durability::Fsync,
            2 => Durability::Os,
            _ => return Err("its durability is none".into()),
        };
        if zero != 0 || flags & !(NEEDS_KEYS | TIDY) != 0 {
            return Err("it has flags that this version doesn't know: a newer version wrote it".into());
        }
        let origin = Origin { store, epoch, durability, is_tidy: flags & TIDY != 0 };
        let end = Mark { group, offset: Offset(offset), digest };
        Ok(Self { origin, end, needs_keys: flags & NEEDS_KEYS != 0 })
    }
}

/// Writes an export.
pub(super) struct Writer<W> {
    out: W,
    /// The last checksum.
    chain: u64,
    rows: u64,
    snapshots: u64,
    body: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(mut out: W, header: &Header) -> io::Result<Self> {
        let bytes = header.encode();
        out.write_all(&bytes)?;
        let chain = last_sum(&bytes);
        Ok(Self { out, chain, rows: 0, snapshots: 0, body: Vec::new() })
    }

    pub(super) fn row(&mut self, key: &[u8], row: &[u8]) -> io::Result<()> {
        self.rows += 1;
        self.body.clear();
        push_prefixed(&mut self.body, key);
        self.body.extend_from_slice(row);
        self.frame(ROW)
    }

    pub(super) fn snapshot(&mut self, key: &[u8], meta: &[u8], row: &[u8]) -> io::Result<()> {
        self.snapshots += 1;
        self.body.clear();
        push_prefixed(&mut self.body, key);
        push_prefixed(&mut self.body, meta);
        self.body.extend_from_slice(row);
        self.frame(SNAPSHOT)
    }

    /// Writes the end, and says how many rows and snapshots there were.
    pub(super) fn finish(mut self) -> io::Result<(u64, u64)> {
        self.body.clear();
        self.body.extend_from_slice(&self.rows.to_le_bytes());
        self.body.extend_from_slice(&self.snapshots.to_le_bytes());
        self.frame(END)?;
        self.out.flush()?;
        Ok((self.rows, self.snapshots))
    }

    fn frame(&mut self, kind: u8) -> io::Result<()> {
        let len = Varint::new(len_u64(self.body.len()));
        self.chain = checksum(self.chain, &[&[kind], len.as_slice(), &self.body]);
        self.out.write_all(&[kind])?;
        self.out.write_all(len.as_slice())?;
        self.out.write_all(&self.body)?;
        self.out.write_all(&self.chain.to_le_bytes())
    }
}

fn last_sum(bytes: &[u8]) -> u64 {
    bytes.last_chunk::<CHECKSUM_BYTES>().map_or(0, |sum| u64::from_le_bytes(*sum))
}

/// Reads an export.
pub(super) struct Frames<R> {
    input: R,
    /// How many bytes were read.
    at: u64,
    chain: u64,
    rows: u64,
    snapshots: u64,
}

impl<R: Read> Frames<R> {
    pub(super) fn begin(input: R) -> Result<(Self, Header), Flaw> {
        let mut this = Self { input, at: 0, chain: 0, rows: 0, snapshots: 0 };
        let bytes = this.array::<HEADER_BYTES>()?;
        let header = Header::decode(&bytes).map_err(|reason| Flaw::Bytes { at: 0, reason })?;
        this.chain = last_sum(&bytes);
        Ok((this, header))
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next part. After the end there is none.
    pub(super) fn next(&mut self) -> Result<Frame, Flaw> {
        let at = self.at;
        let flaw = |reason: &str| Flaw::Bytes { at, reason: reason.into() };
        let [kind] = self.array::<1>()?;
        let (len, len_bytes) = self.length(at)?;
        let body = self.bytes(len)?;
        let sum = u64::from_le_bytes(self.array()?);
        self.chain = checksum(self.chain, &[&[kind], &len_bytes, &body]);
        if sum != self.chain {
            return Err(flaw("the checksum is wrong: it is damaged, or something before it is missing"));
        }
        self.parse(kind, &body).map_err(|reason| Flaw::Bytes { at, reason })
    }

    fn parse(&mut self, kind: u8, body: &[u8]) -> Result<Frame, String> {
        let mut reader = Reader::new(body);
        let read = |error: crate::journal::Malformed| error.to_string();
        match kind {
            ROW => {
                self.rows += 1;
                let key = reader.prefixed("a key").map_err(read)?.to_vec();
                // The engine takes no others, and this version writes no others.
                if key.len() > KEY_BYTES_MAX || !matches!(key.first(), Some(1..=4 | 7)) {
                    return Err("a row has a key that none has".into());
                }
                Ok(Frame::Row { key, row: reader.rest().to_vec() })
            }
            SNAPSHOT => {
                self.snapshots += 1;
                let key = reader.prefixed("a key").map_err(read)?.to_vec();
                if key.len() > KEY_BYTES_MAX || key.first() != Some(&1) {
                    return Err("a snapshot has a key that none has".into());
                }
                let meta = reader.prefixed("a meta row").map_err(read)?.to_vec();
                Ok(Frame::Snapshot { key, meta, row: reader.rest().to_vec() })
            }
            END => {
                let rows = reader.u64("the number of rows").map_err(read)?;
                let snapshots = reader.u64("the number of snapshots").map_err(read)?;
                reader.end("the end").map_err(read)?;
                if (rows, snapshots) != (self.rows, self.snapshots) {
                    return Err("it has other rows than its end says".into());
                }
                self.nothing_more()?;
                Ok(Frame::End)
            }
            kind => Err(format!("it has a part of kind {kind}, which this version doesn't know")),
        }
    }

    fn nothing_more(&mut self) -> Result<(), String> {
        let mut byte = [0];
        loop {
            match self.input.read(&mut byte) {
                Ok(0) => return Ok(()),
                Ok(_) => return Err("there is more behind its end".into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn length(&mut self, at: u64) -> Result<(u64, Vec<u8>), Flaw> {
        let mut bytes = Vec::with_capacity(VARINT_BYTES_MAX);
        loop {
            let [byte] = self.array::<1>()?;
            bytes.push(byte);
            if byte < 0x80 || bytes.len() == VARINT_BYTES_MAX {
                break;
            }
        }
        let len = Reader::new(&bytes).varint("a length").ok().filter(|len| *len <= BODY_BYTES_MAX);
        let len = len.ok_or(Flaw::Bytes { at, reason: "a length is out of range".into() })?;
        Ok((len, bytes))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let bytes = self.bytes(len_u64(N))?;
        let at = self.at;
        bytes.try_into().map_err(|_| Flaw::Bytes { at, reason: "it is cut off".into() })
    }

    /// Reads so many bytes. Memory is taken only for what is there.
    fn bytes(&mut self, len: u64) -> Result<Vec<u8>, Flaw> {
        let mut bytes = Vec::new();
        let read = (&mut self.input).take(len).read_to_end(&mut bytes).map_err(Flaw::Io)?;
        self.at += len_u64(read);
        if len_u64(read) < len {
            return Err(Flaw::Bytes { at: self.at, reason: "it is cut off".into() });
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let origin = Origin { store: 0x0102, epoch: 3, durability: Durability::Os, is_tidy: true };
        Header { origin, end: Mark { group: 4, offset: Offset(5), digest: 6 }, needs_keys: true }
    }

    fn sample() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::begin(&mut bytes, &header()).unwrap();
        writer.row(&[1, 0xaa], b"row").unwrap();
        writer.snapshot(&[1, 0xbb], b"meta", b"snapshot").unwrap();
        assert_eq!(writer.finish().unwrap(), (1, 1));
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Frame>, Flaw> {
        let (mut frames, found) = Frames::begin(bytes)?;
        assert_eq!(found, header());
        let mut all = Vec::new();
        loop {
            match frames.next()? {
                Frame::End => return Ok(all),
                frame => all.push(frame),
            }
        }
    }

    #[test]
    fn the_bytes_of_an_export_are_these_for_ever() {
        let golden = [
            "616e6e616c730006",                                   // magic
            "01 03 02 00",                                        // format, flags, durability
            "0201000000000000 0300000000000000",                  // store, epoch
            "0400000000000000 0500000000000000 0600000000000000", // the last group
            "b2b4fefdf4991772",
            "01 06 02 01aa 726f77",
            "0f037d7840b2c9df",
            "02 10 02 01bb 04 6d657461 736e617073686f74",
            "c52e2876b68390cc",
            "03 10 0100000000000000 0100000000000000",
            "79c641f6009dcc94",
        ];
        let hex: String = sample().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden.concat().replace(' ', ""));
    }

    #[test]
    fn what_is_written_is_read() {
        let row = Frame::Row { key: vec![1, 0xaa], row: b"row".to_vec() };
        let snapshot = Frame::Snapshot { key: vec![1, 0xbb], meta: b"meta".to_vec(), row: b"snapshot".to_vec() };
        assert_eq!(read(&sample()).unwrap(), [row, snapshot]);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let good = sample();
        for index in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[index] ^= 1 << bit;
                let found = std::panic::catch_unwind(|| read(&bad));
                assert!(matches!(found, Ok(Err(_))), "byte {index}, bit {bit}");
            }
            assert!(read(&good[..index]).is_err(), "cut to {index} bytes");
        }
        assert!(read(&[&good[..], &[0]].concat()).is_err());
    }

    #[test]
    fn parts_that_were_left_out_or_exchanged_are_found() {
        let good = sample();
        let (row, snapshot) = (HEADER_BYTES..HEADER_BYTES + 16, HEADER_BYTES + 16..HEADER_BYTES + 42);
        let end = &good[snapshot.end..];
        let parts = |parts: &[&[u8]]| [&[&good[..HEADER_BYTES]], parts, &[end]].concat().concat();
        let (row, snapshot) = (&good[row], &good[snapshot]);
        assert!(read(&parts(&[row, snapshot])).is_ok());
        for bad in [&[snapshot, row][..], &[row], &[snapshot], &[], &[row, row, snapshot]] {
            assert!(read(&parts(bad)).is_err());
        }
    }
}
