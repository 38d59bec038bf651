//! The file with the deadlines of a journal. The bytes are described in `bytes.rs`.

use jiff::Timestamp;

use crate::id::{Offset, StreamNo};
use crate::journal::Armed;
use crate::journal::bytes::{
    CHECKSUM_BYTES, Flaw, Malformed, Reader, VARINT_BYTES_MAX, checksum, len_u64, micros, push_varint,
};
use crate::journal::order::Mark;

/// The name of the file.
pub(in crate::journal) const FILE: &str = "deadlines";
const MAGIC: [u8; 8] = *b"annals\0\x02";
const FORMAT: u8 = 1;
/// All of a file but its deadlines, at the most: magic, format, flags, store id, mark, base and checksum have a fixed
/// length, the number of deadlines is a varint.
const AROUND_BYTES_MAX: usize = 8 + 2 + 8 + 24 + 8 + VARINT_BYTES_MAX + CHECKSUM_BYTES;

/// Why bytes are not deadlines of this store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::journal) enum DeadlinesError {
    #[error("it has something else in it")]
    NotOurs,
    #[error("it belongs to another journal")]
    OtherStore,
    #[error("its checksum is wrong")]
    Checksum,
    #[error("it has format {found}, and this version reads formats up to {FORMAT}")]
    NewerFormat { found: u8 },
    #[error("it has flags ({flags:#x}) that this version doesn't know")]
    NewerFeature { flags: u8 },
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// The longest file with the deadlines of so many streams.
pub(in crate::journal) fn file_bytes_max(streams: u64) -> u64 {
    len_u64(AROUND_BYTES_MAX).saturating_add(streams.saturating_mul(len_u64(2 * VARINT_BYTES_MAX)))
}

/// The deadlines of a store as they are at a mark, in order, as bytes.
pub(in crate::journal) fn encode(store: u64, mark: Mark, armed: &[Armed]) -> Vec<u8> {
    // Mostly three bytes for each time, and three for each stream.
    let mut bytes = Vec::with_capacity(AROUND_BYTES_MAX + 6 * armed.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[FORMAT, 0]);
    for number in [store, mark.group, mark.offset.0, mark.digest] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let mut before = armed.first().map_or(0, |first| micros(first.due));
    bytes.extend_from_slice(&before.to_le_bytes());
    push_varint(&mut bytes, len_u64(armed.len()));
    for Armed { due, stream } in armed {
        let due = micros(*due);
        push_varint(&mut bytes, due.abs_diff(before));
        push_varint(&mut bytes, stream.0);
        before = due;
    }
    let sum = checksum(store, &[&bytes]);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Reads deadlines of `store`, in order, and the mark up to which they hold.
pub(in crate::journal) fn decode(bytes: &[u8], store: u64) -> Result<(Mark, Vec<Armed>), DeadlinesError> {
    let (content, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(DeadlinesError::NotOurs)?;
    let mut reader = Reader::new(content);
    if reader.array("the magic") != Ok(MAGIC) {
        return Err(DeadlinesError::NotOurs);
    }
    let format = reader.u8("the format")?;
    let flags = reader.u8("the flags")?;
    if reader.u64("the store id")? != store {
        return Err(DeadlinesError::OtherStore);
    }
    if checksum(store, &[content]) != u64::from_le_bytes(*sum) {
        return Err(DeadlinesError::Checksum);
    }
    if format != FORMAT {
        return Err(DeadlinesError::NewerFormat { found: format });
    }
    if flags != 0 {
        return Err(DeadlinesError::NewerFeature { flags });
    }
    let group = reader.u64("the group")?;
    let offset = Offset(reader.u64("the offset")?);
    let mark = Mark { group, offset, digest: reader.u64("the digest")? };
    Ok((mark, read_armed(&mut reader)?))
}

/// The store that a file says it belongs to, whatever else is in it.
pub(in crate::journal) fn store_in(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(bytes);
    let is_ours = reader.array("the magic") == Ok(MAGIC);
    let _format_and_flags: [u8; 2] = reader.array("the format").ok()?;
    reader.u64("the store id").ok().filter(|_| is_ours)
}

fn read_armed(reader: &mut Reader<'_>) -> Result<Vec<Armed>, Malformed> {
    let out_of_range = |what| Malformed { what, flaw: Flaw::OutOfRange };
    let mut micros = reader.i64("the first deadline")?;
    let count = reader.varint("the number of deadlines")?;
    // Each takes at least two bytes, so this ends with the bytes if the number is wrong.
    let room = usize::try_from(count).unwrap_or(usize::MAX).min(reader.rest().len() / 2);
    let mut armed: Vec<Armed> = Vec::with_capacity(room);
    for _ in 0..count {
        let delta = reader.varint("a deadline")?;
        micros = micros.checked_add_unsigned(delta).ok_or_else(|| out_of_range("a deadline"))?;
        let due = Timestamp::from_microsecond(micros).map_err(|_| out_of_range("a deadline"))?;
        let next = Armed { due, stream: StreamNo(reader.varint("a deadline's stream")?) };
        if armed.last().is_some_and(|last| *last >= next) {
            return Err(out_of_range("a deadline's stream"));
        }
        armed.push(next);
    }
    reader.end("the deadlines")?;
    Ok(armed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STORE: u64 = 0x0123_4567_89ab_cdef;
    const MARK: Mark = Mark { group: 6, offset: Offset(40), digest: 0x7777 };

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).unwrap()
    }

    fn armed(deadlines: &[(i64, u64)]) -> Vec<Armed> {
        deadlines.iter().map(|&(due, stream)| Armed { due: at(due), stream: StreamNo(stream) }).collect()
    }

    fn sample() -> Vec<u8> {
        encode(STORE, MARK, &armed(&[(-1_000_000, 9), (-1_000_000, 300), (0, 7)]))
    }

    /// The sample with other content and the checksum that belongs to it.
    fn signed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = sample();
        bytes.truncate(bytes.len() - CHECKSUM_BYTES);
        change(&mut bytes);
        let sum = checksum(STORE, &[&bytes]);
        bytes.extend(sum.to_le_bytes());
        bytes
    }

    #[test]
    fn the_bytes_of_the_file_are_these_for_ever() {
        let golden = [
            "616e6e616c730002",                                   // magic
            "01 00",                                              // format, flags
            "efcdab8967452301",                                   // store
            "0600000000000000 2800000000000000 7777000000000000", // group, offset, digest
            "c0bdf0ffffffffff",                                   // the first deadline: -1,000,000 us
            "03",                                                 // deadlines:
            "00 09",                                              //   then, stream 9
            "00 ac02",                                            //   then, stream 300
            "c0843d 07",                                          //   1,000,000 us later, stream 7
            "869a844ee9e382e3",
        ];
        let hex: String = sample().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden.concat().replace(' ', ""));
    }

    #[test]
    fn the_store_is_read_also_where_the_rest_is_damaged() {
        let mut bytes = sample();
        bytes.truncate(30);
        assert_eq!(store_in(&bytes), Some(STORE));
        assert_eq!(store_in(&bytes[..17]), None);
        bytes[7] = 4;
        assert_eq!(store_in(&bytes), None);
    }

    #[test]
    fn no_deadlines_are_a_file_too() {
        assert_eq!(decode(&encode(STORE, MARK, &[]), STORE), Ok((MARK, vec![])));
    }

    #[test]
    fn the_longest_file_is_not_longer_than_said() {
        let longest = armed(&[(i64::MIN / 1_000_000, u64::MAX - 1), (i64::MAX / 1_000_000, u64::MAX)]);
        assert!(len_u64(encode(STORE, MARK, &longest).len()) <= file_bytes_max(2));
        assert!(len_u64(encode(STORE, MARK, &[]).len()) <= file_bytes_max(0));
        assert_eq!(decode(&encode(STORE, MARK, &longest), STORE), Ok((MARK, longest)));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let good = sample();
        for index in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[index] ^= 1 << bit;
                assert!(decode(&bad, STORE).is_err(), "byte {index}, bit {bit}");
            }
            assert!(decode(&good[..index], STORE).is_err(), "cut to {index} bytes");
        }
        assert_eq!(decode(&[&good[..], &[0]].concat(), STORE), Err(DeadlinesError::Checksum));
    }

    #[test]
    fn what_is_foreign_newer_or_wrong_is_told_apart() {
        assert_eq!(decode(&sample(), STORE + 1), Err(DeadlinesError::OtherStore));
        assert_eq!(decode(b"a file of somebody else, and a long one", STORE), Err(DeadlinesError::NotOurs));
        assert_eq!(decode(&signed(|bytes| bytes[8] = 2), STORE), Err(DeadlinesError::NewerFormat { found: 2 }));
        assert_eq!(decode(&signed(|bytes| bytes[9] = 1), STORE), Err(DeadlinesError::NewerFeature { flags: 1 }));
        let malformed =
            |change: fn(&mut Vec<u8>)| matches!(decode(&signed(change), STORE), Err(DeadlinesError::Malformed(_)));
        assert!(malformed(|bytes| bytes[50] = 2), "bytes behind the last");
        assert!(malformed(|bytes| bytes[50] = 4), "one is missing");
        assert!(malformed(|bytes| bytes.truncate(bytes.len() - 1)));
        // Twice the same, out of order, and a time that is none.
        assert!(malformed(|bytes| bytes.splice(53.., [0, 9, 0, 10]).for_each(drop)));
        assert!(malformed(|bytes| bytes.splice(53.., [0, 8, 0, 10]).for_each(drop)));
        assert!(malformed(|bytes| bytes[49] = 0x7f));
    }

    proptest! {
        #[test]
        fn any_content_is_read_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let bytes = signed(|bytes| {
                for (index, byte) in changes {
                    let len = bytes.len();
                    bytes[index.index(len)] = byte;
                }
            });
            if let Ok((_, armed)) = decode(&bytes, STORE) {
                prop_assert!(armed.is_sorted());
            }
        }
    }
}
