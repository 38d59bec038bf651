//! A snapshot as it lies on a disk: with its time before it, and behind it a checksum that binds it to its place. The
//! bytes are described in `bytes.rs`.

use jiff::Timestamp;

use super::StoredSnapshot;
use crate::id::{PersistenceId, SeqNr};
use crate::journal::bytes::{CHECKSUM_BYTES, checksum, micros};
use crate::journal::len_u64;

const MAGIC: [u8; 8] = *b"annals\0\x05";
const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 8 + 1 + 8;
/// All of it but the snapshot.
pub(crate) const AROUND_BYTES: usize = HEADER_BYTES + CHECKSUM_BYTES;

/// What is to be written of a snapshot.
pub(crate) struct Sealed<'a> {
    header: [u8; HEADER_BYTES],
    bytes: &'a [u8],
    sum: [u8; CHECKSUM_BYTES],
}

impl<'a> Sealed<'a> {
    pub(crate) fn new(id: &PersistenceId, snapshot: &'a StoredSnapshot) -> Self {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8] = FORMAT;
        header[9..].copy_from_slice(&micros(snapshot.time).to_le_bytes());
        let sum = seal(id, snapshot.seq_nr, &header, &snapshot.bytes).to_le_bytes();
        Self { header, bytes: &snapshot.bytes, sum }
    }

    /// What is to be written, one behind the other.
    pub(crate) fn parts(&self) -> [&[u8]; 3] {
        [&self.header, self.bytes, &self.sum]
    }
}

/// Reads what was written of a snapshot of `id`, or says what is wrong with it.
pub(crate) fn unseal(id: &PersistenceId, seq_nr: SeqNr, mut bytes: Vec<u8>) -> Result<StoredSnapshot, String> {
    let header = bytes.first_chunk::<HEADER_BYTES>().copied().ok_or("it is cut off")?;
    if header[..8] != MAGIC {
        return Err("it is no snapshot".into());
    }
    let (content, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or("it is cut off")?;
    let snapshot = content.get(HEADER_BYTES..).ok_or("it is cut off")?;
    if seal(id, seq_nr, &header, snapshot) != u64::from_le_bytes(*sum) {
        return Err("its checksum is wrong".into());
    }
    let [.., format, t0, t1, t2, t3, t4, t5, t6, t7] = header;
    if format != FORMAT {
        return Err(format!("it has format {format}, and this version reads formats up to {FORMAT}"));
    }
    let time = Timestamp::from_microsecond(i64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]))
        .map_err(|_| "its time is out of range")?;
    bytes.truncate(bytes.len() - CHECKSUM_BYTES);
    bytes.drain(..HEADER_BYTES);
    Ok(StoredSnapshot { seq_nr, time, bytes })
}

fn seal(id: &PersistenceId, seq_nr: SeqNr, header: &[u8], bytes: &[u8]) -> u64 {
    let (aggregate, entity) = (id.aggregate.as_bytes(), id.entity.as_str().as_bytes());
    let lengths = [aggregate.len(), entity.len()].map(|len| len_u64(len).to_le_bytes());
    let seq_nr = seq_nr.0.to_le_bytes();
    checksum(0, &[&lengths[0], aggregate, &lengths[1], entity, &seq_nr, header, bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(id: &PersistenceId, snapshot: &StoredSnapshot) -> Vec<u8> {
        Sealed::new(id, snapshot).parts().concat()
    }

    fn snapshot() -> StoredSnapshot {
        let time = Timestamp::from_microsecond(-1).unwrap();
        StoredSnapshot { seq_nr: SeqNr(3), time, bytes: b"content".to_vec() }
    }

    #[test]
    fn the_bytes_of_a_sealed_snapshot_are_these_for_ever() {
        let id = PersistenceId::new("account", "ann");
        let hex: String = sealed(&id, &snapshot()).iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = "616e6e616c730005 01 ffffffffffffffff 636f6e74656e74 d408ea813a017e38";
        assert_eq!(hex, expected.replace(' ', ""));
    }

    #[test]
    fn what_is_sealed_is_read_in_its_place_only() {
        let id = PersistenceId::new("account", "ann");
        let bytes = sealed(&id, &snapshot());
        assert_eq!(unseal(&id, SeqNr(3), bytes.clone()), Ok(snapshot()));
        assert!(unseal(&id, SeqNr(4), bytes.clone()).is_err());
        for (aggregate, entity) in [("account", "bob"), ("accounta", "nn"), ("accoun", "tann")] {
            assert!(unseal(&PersistenceId::new(aggregate, entity), SeqNr(3), bytes.clone()).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_an_error() {
        let id = PersistenceId::new("account", "ann");
        let bytes = sealed(&id, &snapshot());
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[index] ^= 1 << bit;
                assert!(unseal(&id, SeqNr(3), flipped).is_err(), "bit {bit} of byte {index}");
            }
            assert!(unseal(&id, SeqNr(3), bytes[..index].to_vec()).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let id = PersistenceId::new("account", "ann");
        let mut bytes = sealed(&id, &snapshot());
        bytes[8] = 2;
        let (header, content) = (&bytes[..HEADER_BYTES], &bytes[HEADER_BYTES..bytes.len() - CHECKSUM_BYTES]);
        let sum = seal(&id, SeqNr(3), header, content).to_le_bytes();
        let bytes = [header, content, &sum].concat();
        let error = unseal(&id, SeqNr(3), bytes).unwrap_err();
        assert!(error.contains("format 2"), "{error}");
    }
}
