//! The rows of streams, ids and floors. The bytes are described in `bytes.rs`.

use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};
use crate::journal::bytes::{CHECKSUM_BYTES, Reader, checksum};
use crate::journal::cipher::IdDigest;
use crate::journal::floor::Floor;
use crate::journal::run::{RunError, RunOutline, stored_checksum};
use crate::journal::sealed::SealedRun;

pub(super) const STREAM_KEY_BYTES: usize = 17;
/// The keys of hidden ids begin with this.
pub(super) const HIDDEN_ID: u8 = 7;
pub(super) const FLOOR_KEY_BYTES: usize = 18;
pub(super) const FLOOR_ROW_BYTES: usize = 16;

/// Group and base offset before the run, and the digest behind it.
const AROUND_RUN_BYTES: usize = 24;

/// The key of the run of a stream that begins with `first`.
pub(super) fn stream_key(stream: StreamNo, first: SeqNr) -> [u8; STREAM_KEY_BYTES] {
    let mut key = [2; STREAM_KEY_BYTES];
    key[1..9].copy_from_slice(&stream.0.to_be_bytes());
    key[9..].copy_from_slice(&first.0.to_be_bytes());
    key
}

/// The stream and the first sequence number that a key stands for.
pub(super) fn stream_of_key(key: &[u8]) -> Option<(StreamNo, SeqNr)> {
    let key: &[u8; STREAM_KEY_BYTES] = key.try_into().ok()?;
    let (tag, rest) = key.split_first()?;
    let (stream, first) = rest.split_first_chunk::<8>()?;
    let first = first.try_into().ok()?;
    (*tag == 2).then(|| (StreamNo(u64::from_be_bytes(*stream)), SeqNr(u64::from_be_bytes(first))))
}

/// Puts the key of an id into `key`.
pub(super) fn id_key(key: &mut Vec<u8>, id: &PersistenceId) {
    key.clear();
    key.push(3);
    // An aggregate's name has at most 255 bytes: both journals check it before.
    key.push(u8::try_from(id.aggregate.len()).unwrap_or(u8::MAX));
    key.extend_from_slice(id.aggregate.as_bytes());
    key.extend_from_slice(id.entity.as_str().as_bytes());
}

/// Puts the key of an id that is hidden into `key`.
pub(super) fn hidden_id_key(key: &mut Vec<u8>, aggregate: &str, digest: &IdDigest) {
    key.clear();
    key.push(HIDDEN_ID);
    // As above.
    key.push(u8::try_from(aggregate.len()).unwrap_or(u8::MAX));
    key.extend_from_slice(aggregate.as_bytes());
    key.extend_from_slice(digest);
}

/// The digest of a row whose bytes a checksum of their own covers already: it binds them to their place.
fn stream_digest(store: u64, key: &[u8; STREAM_KEY_BYTES], group: u64, base: Offset, run: u64) -> u64 {
    let mut bytes = [0; STREAM_KEY_BYTES + 24];
    bytes[..STREAM_KEY_BYTES].copy_from_slice(key);
    for (field, number) in bytes[STREAM_KEY_BYTES..].chunks_exact_mut(8).zip([group, base.0, run]) {
        field.copy_from_slice(&number.to_le_bytes());
    }
    checksum(store, &[&bytes])
}

/// Puts the row of a run into `row`. `run` is right, and `sum` the checksum it carries.
pub(super) fn write_stream_row(
    row: &mut Vec<u8>,
    store: u64,
    key: &[u8; STREAM_KEY_BYTES],
    group: u64,
    base: Offset,
    run: (&[u8], u64),
) {
    let (bytes, sum) = run;
    row.clear();
    row.reserve(bytes.len() + AROUND_RUN_BYTES);
    row.extend_from_slice(&group.to_le_bytes());
    row.extend_from_slice(&base.0.to_le_bytes());
    row.extend_from_slice(bytes);
    row.extend_from_slice(&stream_digest(store, key, group, base, sum).to_le_bytes());
}

/// A row of a stream; all its checksums are right.
pub(super) struct StreamRow<'a> {
    pub(super) group: u64,
    pub(super) base: Offset,
    pub(super) run: &'a [u8],
    /// The checksum that the run carries.
    pub(super) checksum: u64,
    pub(super) content: Content<'a>,
}

/// What can be told of a run without a key.
pub(super) enum Content<'a> {
    Plain(RunOutline<'a>),
    Sealed(SealedRun<'a>),
}

impl<'a> Content<'a> {
    fn parse(run: &'a [u8], store: u64) -> Result<Self, RunError> {
        match RunOutline::parse(run, store) {
            Ok(outline) => Ok(Content::Plain(outline)),
            Err(RunError::Encrypted { .. }) => SealedRun::read(run).map(Content::Sealed),
            Err(error) => Err(error),
        }
    }
}

impl StreamRow<'_> {
    pub(super) fn first(&self) -> SeqNr {
        match &self.content {
            Content::Plain(outline) => outline.first,
            Content::Sealed(sealed) => sealed.first(),
        }
    }

    pub(super) fn last(&self) -> SeqNr {
        match &self.content {
            Content::Plain(outline) => outline.last(),
            Content::Sealed(sealed) => sealed.last(),
        }
    }

    /// How many bytes the run has as it was handed to the journal.
    pub(super) fn run_bytes(&self) -> usize {
        match &self.content {
            Content::Plain(_) => self.run.len(),
            Content::Sealed(sealed) => sealed.plain_bytes(),
        }
    }

    pub(super) fn records(&self) -> u64 {
        match &self.content {
            Content::Plain(outline) => outline.records,
            Content::Sealed(sealed) => sealed.records(),
        }
    }
}

impl<'a> StreamRow<'a> {
    /// Reads a row; what is wrong with it, if it is damaged.
    pub(super) fn parse(key: &[u8], row: &'a [u8], store: u64) -> Result<Self, String> {
        let key: &[u8; STREAM_KEY_BYTES] = key.try_into().map_err(|_| "the key of a run has the wrong length")?;
        let (_, first) = stream_of_key(key).ok_or("the key of a run is wrong")?;
        let (rest, digest) = row.split_last_chunk::<CHECKSUM_BYTES>().ok_or("a run's row is cut off")?;
        let mut reader = Reader::new(rest);
        let group = reader.u64("the group").map_err(|error| error.to_string())?;
        let base = Offset(reader.u64("the base offset").map_err(|error| error.to_string())?);
        let run = reader.rest();
        let sum = stored_checksum(run);
        if stream_digest(store, key, group, base, sum) != u64::from_le_bytes(*digest) {
            return Err("the digest of a run's row is wrong".into());
        }
        let content = Content::parse(run, store).map_err(|error| format!("a run can't be read: {error}"))?;
        let row = Self { group, base, run, checksum: sum, content };
        if row.first() != first {
            return Err(format!("a run that begins with {} is stored where one with {first} belongs", row.first()));
        }
        Ok(row)
    }
}

/// Puts the row of an id into `row`.
pub(super) fn write_id_row(row: &mut Vec<u8>, store: u64, key: &[u8], stream: StreamNo, group: u64) {
    row.clear();
    row.extend_from_slice(&stream.0.to_le_bytes());
    row.extend_from_slice(&group.to_le_bytes());
    let digest = checksum(store, &[key, row]);
    row.extend_from_slice(&digest.to_le_bytes());
}

/// The stream that an id's row names, if the row is right.
pub(super) fn read_id_row(row: &[u8], store: u64, key: &[u8]) -> Option<StreamNo> {
    let (content, digest) = row.split_last_chunk::<CHECKSUM_BYTES>()?;
    let (stream, group) = content.split_first_chunk::<8>()?;
    let right = group.len() == 8 && checksum(store, &[key, content]) == u64::from_le_bytes(*digest);
    right.then(|| StreamNo(u64::from_le_bytes(*stream)))
}

/// The group with which an id's row says that its stream began. The row is right.
pub(super) fn read_id_group(row: &[u8]) -> Option<u64> {
    let group: [u8; 8] = row.get(8..16)?.try_into().ok()?;
    Some(u64::from_le_bytes(group))
}

/// The stream that the key of a floor names.
pub(super) fn floor_stream(key: &[u8]) -> Option<StreamNo> {
    let stream: [u8; 8] = key.get(1..9)?.try_into().ok()?;
    Some(StreamNo(u64::from_be_bytes(stream)))
}

/// The key of a floor of a stream: the higher the floor, the lower the key.
pub(super) fn floor_key(stream: StreamNo, floor: Floor) -> [u8; FLOOR_KEY_BYTES] {
    let mut key = [4; FLOOR_KEY_BYTES];
    key[1..9].copy_from_slice(&stream.0.to_be_bytes());
    key[9..17].copy_from_slice(&(!floor.to.0).to_be_bytes());
    key[17] = !floor.flags();
    key
}

/// The keys before and behind those of all floors of the streams from one to another, both included.
pub(super) fn floor_keys(from: StreamNo, to: StreamNo) -> ([u8; FLOOR_KEY_BYTES], [u8; FLOOR_KEY_BYTES]) {
    let (mut first, mut last) = ([0; FLOOR_KEY_BYTES], [u8::MAX; FLOOR_KEY_BYTES]);
    for (key, stream) in [(&mut first, from), (&mut last, to)] {
        key[0] = 4;
        key[1..9].copy_from_slice(&stream.0.to_be_bytes());
    }
    (first, last)
}

/// The floor that a key stands for.
fn floor_of_key(key: &[u8]) -> Option<Floor> {
    let key: &[u8; FLOOR_KEY_BYTES] = key.try_into().ok()?;
    let (to, flags) = key[9..].split_first_chunk::<8>()?;
    Floor::of(SeqNr(!u64::from_be_bytes(*to)), !*flags.first()?)
}

/// The row of a floor that rose with `group`.
pub(super) fn floor_row(store: u64, key: &[u8; FLOOR_KEY_BYTES], group: u64) -> [u8; FLOOR_ROW_BYTES] {
    let mut row = [0; FLOOR_ROW_BYTES];
    row[..8].copy_from_slice(&group.to_le_bytes());
    let digest = checksum(store, &[key, &group.to_le_bytes()]);
    row[8..].copy_from_slice(&digest.to_le_bytes());
    row
}

/// The floor that a key and its row say, and the group with which it rose, if the row is right.
pub(super) fn read_floor_row(row: &[u8], store: u64, key: &[u8]) -> Option<(Floor, u64)> {
    let row: &[u8; FLOOR_ROW_BYTES] = row.try_into().ok()?;
    let (group, digest) = row.split_first_chunk::<8>()?;
    let right = checksum(store, &[key, group]).to_le_bytes() == *digest;
    right.then(|| Some((floor_of_key(key)?, u64::from_le_bytes(*group))))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_keys_are_these_for_ever() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&stream_key(StreamNo(0x0102), SeqNr(3))), "0200000000000001020000000000000003");
        let mut key = Vec::new();
        id_key(&mut key, &PersistenceId::new("ab", "c"));
        assert_eq!(hex(&key), "03026162 63".replace(' ', ""));
        id_key(&mut key, &PersistenceId::new("a", "bc"));
        assert_eq!(hex(&key), "030161 6263".replace(' ', ""));
        assert_eq!(hex(&crate::journal::order::group_key(0x0102)), "010000000000000102");
        hidden_id_key(&mut key, "ab", &[0xdd; 16]);
        assert_eq!(hex(&key), format!("07026162{}", "dd".repeat(16)));
    }

    #[test]
    fn the_bytes_of_a_stream_row_are_these_for_ever() {
        let mut row = Vec::new();
        let key = stream_key(StreamNo(5), SeqNr(1));
        write_stream_row(&mut row, 7, &key, 6, Offset(8), (b"run", 9));
        let hex: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "0600000000000000 0800000000000000 72756e a915e7b7979342a6".replace(' ', ""));
    }

    #[test]
    fn the_bytes_of_an_id_row_are_these_for_ever() {
        let mut row = Vec::new();
        write_id_row(&mut row, 7, b"key", StreamNo(5), 6);
        let hex: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "050000000000000006000000000000003be8ebe01421bf02");
        assert_eq!(read_id_row(&row, 7, b"key"), Some(StreamNo(5)));
        assert_eq!(read_id_row(&row, 8, b"key"), None);
        assert_eq!(read_id_row(&row, 7, b"kez"), None);
        for index in 0..row.len() {
            let mut bad = row.clone();
            bad[index] ^= 1;
            assert_eq!(read_id_row(&bad, 7, b"key"), None);
        }
    }

    fn floor(to: u64, ended: bool, forgotten: bool) -> Floor {
        Floor { to: SeqNr(to), ended, forgotten }
    }

    #[test]
    fn the_bytes_of_a_floor_are_these_for_ever() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let key = floor_key(StreamNo(0x0102), floor(3, false, false));
        assert_eq!(hex(&key), "04 0000000000000102 fffffffffffffffc ff".replace(' ', ""));
        assert_eq!(hex(&floor_row(7, &key, 6)), "0600000000000000 0593ab1978bfe28c".replace(' ', ""));
        assert_eq!(hex(&floor_key(StreamNo(0), floor(0, true, false))[9..]), "fffffffffffffffffe");
        assert_eq!(hex(&floor_key(StreamNo(0), floor(0, true, true))[9..]), "fffffffffffffffffc");
    }

    #[test]
    fn a_floor_is_read_as_it_was_written_and_every_flipped_bit_is_found() {
        for floor in [floor(0, true, false), floor(3, false, false), floor(u64::MAX - 1, true, true)] {
            let key = floor_key(StreamNo(5), floor);
            let row = floor_row(7, &key, 6);
            assert_eq!(read_floor_row(&row, 7, &key), Some((floor, 6)));
            assert_eq!(read_floor_row(&row, 8, &key), None);
            assert_eq!(read_floor_row(&row[..15], 7, &key), None);
            for bit in 0..(FLOOR_KEY_BYTES + FLOOR_ROW_BYTES) * 8 {
                let mut bad = [&key[..], &row].concat();
                bad[bit / 8] ^= 1 << (bit % 8);
                let (key, row) = bad.split_at(FLOOR_KEY_BYTES);
                assert_eq!(read_floor_row(row, 7, key), None, "bit {bit}");
            }
        }
    }

    #[test]
    fn a_key_that_is_no_floor_is_not_read_though_its_row_is_right() {
        let mut key = floor_key(StreamNo(5), floor(3, true, false));
        for flags in [2, 4, 0x81] {
            key[17] = !flags;
            assert_eq!(read_floor_row(&floor_row(7, &key, 6), 7, &key), None, "{flags}");
        }
    }

    #[test]
    fn the_highest_floor_of_a_stream_comes_first() {
        let floors = [floor(9, true, true), floor(9, true, false), floor(9, false, false), floor(8, true, false)];
        let keys = floors.map(|floor| floor_key(StreamNo(5), floor));
        assert!(keys.is_sorted());
        let (first, last) = floor_keys(StreamNo(5), StreamNo(5));
        assert!(first < keys[0] && keys[3] < last);
        assert!(floor_keys(StreamNo(4), StreamNo(4)).1 < first && last < floor_keys(StreamNo(6), StreamNo(6)).0);
    }

    #[test]
    fn a_stream_key_is_read_as_it_was_written() {
        let key = stream_key(StreamNo(u64::MAX), SeqNr(1));
        assert_eq!(stream_of_key(&key), Some((StreamNo(u64::MAX), SeqNr(1))));
        assert_eq!(stream_of_key(&key[..16]), None);
    }
}
