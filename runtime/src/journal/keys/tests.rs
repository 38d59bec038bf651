//! The bytes of the file of keys, and what is wrong with them.

use super::*;

const STORE: u64 = 0x0123_4567_89ab_cdef;

fn secret(byte: u8) -> Secret {
    Zeroizing::new([byte; KEY_BYTES])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn keys_in(dir: &Path) -> Keys {
    Keys::open(dir, STORE).unwrap()
}

/// A file with the keys of the streams 11, 12 and 13; their secrets.
fn filled(dir: &Path) -> Vec<Secret> {
    let keys = keys_in(dir);
    let drawn: Vec<_> = [11, 12, 13].map(|stream| keys.draw(StreamNo(stream)).unwrap()).into();
    assert_eq!(drawn.iter().map(|key| key.number).collect::<Vec<_>>(), [1, 2, 3]);
    keys.store(&drawn.iter().collect::<Vec<_>>()).unwrap();
    drawn.iter().map(|key| key.with_secret(Secret::clone).unwrap()).collect()
}

fn loaded(keys: &Keys, number: u64, stream: u64) -> Result<Secret, KeysError> {
    Ok(keys.load(number, StreamNo(stream))?.with_secret(Secret::clone).unwrap())
}

#[test]
fn the_bytes_of_the_file_are_these_for_ever() {
    let golden = [
        "616e6e616c730004", // magic
        "01 00",            // format, flags
        "000000000000",
        "efcdab8967452301", // store
        &"07".repeat(32),   // the secret of the ids
        "c580e2319d1f6fdb",
    ];
    assert_eq!(hex(&*encode_header(STORE, &secret(7))), golden.concat().replace(' ', ""));
    let golden = [
        "0200000000000000", // key number
        "0500000000000000", // stream
        &"09".repeat(32),   // the key
        "0000000000000000",
        "eab9baec2f7bd703",
    ];
    assert_eq!(hex(&*encode_slot(STORE, 2, StreamNo(5), &secret(9))), golden.concat());
}

#[test]
fn the_store_is_read_also_where_the_rest_of_the_header_is_damaged() {
    let mut header = *encode_header(STORE, &secret(7));
    header[40] ^= 1;
    assert_eq!(store_in(&header), Some(STORE));
    assert_eq!(store_in(&header[..23]), None);
    header[7] = 2;
    assert_eq!(store_in(&header), None);
}

#[test]
fn keys_are_read_as_they_were_stored_also_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = filled(dir.path());
    assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().len(), 4 * 64);
    let keys = keys_in(dir.path());
    for ((secret, stream), number) in secrets.iter().zip(11..).zip(1..) {
        assert_eq!(loaded(&keys, number, stream).unwrap(), *secret);
        assert!(
            matches!(loaded(&keys, number, 99), Err(KeysError::OtherStream { stream: found, .. }) if found.0 == stream)
        );
    }
    for number in [4, 5, u64::MAX / 64, u64::MAX] {
        assert!(matches!(loaded(&keys, number, 11), Err(KeysError::Missing { .. })), "{number}");
    }
    assert_eq!(keys.draw(StreamNo(14)).unwrap().number, 4);
}

#[test]
fn a_key_of_the_same_stream_in_the_place_of_another_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys_in(dir.path());
    // One was made for a first run that was never stored.
    let drawn = [0, 1].map(|_| keys.draw(StreamNo(11)).unwrap());
    keys.store(&drawn.iter().collect::<Vec<_>>()).unwrap();
    let path = dir.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    bytes.copy_within(2 * SLOT_BYTES.., SLOT_BYTES);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(loaded(&keys, 1, 11), Err(KeysError::Damaged { number: 1 })));
    assert!(loaded(&keys, 2, 11).is_ok());
}

#[test]
fn without_keys_there_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys_in(dir.path());
    assert!(!keys.exist());
    keys.draw(StreamNo(1)).unwrap();
    keys.destroy(&[(1, StreamNo(1))]).unwrap();
    assert!(!dir.path().join(FILE).exists());
    assert!(matches!(loaded(&keys, 1, 1), Err(KeysError::Missing { .. })));
}

#[test]
fn a_destroyed_key_is_nowhere_in_the_file_and_its_number_is_not_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = filled(dir.path());
    let path = dir.path().join(FILE);
    let contains = |secret: &Secret| fs::read(&path).unwrap().windows(KEY_BYTES).any(|bytes| *bytes == **secret);
    assert!(secrets.iter().all(contains));
    let keys = keys_in(dir.path());
    for _ in 0..2 {
        keys.destroy(&[(3, StreamNo(13)), (2, StreamNo(12)), (77, StreamNo(1))]).unwrap();
        assert_eq!(secrets.iter().map(contains).collect::<Vec<_>>(), [true, false, false]);
    }
    let keys = keys_in(dir.path());
    assert!(matches!(loaded(&keys, 2, 12), Err(KeysError::Missing { .. })));
    assert_eq!(loaded(&keys, 1, 11).unwrap(), secrets[0]);
    assert_eq!(keys.draw(StreamNo(14)).unwrap().number, 4);
}

#[test]
fn the_key_of_another_stream_is_not_destroyed() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = filled(dir.path());
    let keys = keys_in(dir.path());
    assert!(matches!(keys.destroy(&[(2, StreamNo(11))]), Err(KeysError::OtherStream { .. })));
    assert_eq!(loaded(&keys, 2, 12).unwrap(), secrets[1]);
}

#[test]
fn keys_that_are_not_neighbours_are_stored_too() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys_in(dir.path());
    let mut drawn: Vec<_> = (1..=3000).map(|stream| keys.draw(StreamNo(stream)).unwrap()).collect();
    drawn.retain(|key| key.number % 1500 != 7);
    drawn.reverse();
    keys.store(&drawn.iter().collect::<Vec<_>>()).unwrap();
    let keys = keys_in(dir.path());
    for number in 1..=3000 {
        assert_eq!(keys.load(number, StreamNo(number)).is_ok(), number % 1500 != 7, "{number}");
    }
}

#[test]
fn every_flipped_bit_is_found_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = filled(dir.path());
    let path = dir.path().join(FILE);
    let good = fs::read(&path).unwrap();
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            fs::write(&path, &bad).unwrap();
            let opened = Keys::open(dir.path(), STORE);
            if index < SLOT_BYTES {
                assert!(opened.is_err(), "byte {index}, bit {bit}");
                continue;
            }
            let keys = opened.unwrap();
            for (secret, number) in secrets.iter().zip(1_u64..) {
                let damaged = index / SLOT_BYTES == usize::try_from(number).unwrap();
                match loaded(&keys, number, number + 10) {
                    Ok(found) => assert!(!damaged && found == *secret, "byte {index}, bit {bit}"),
                    Err(KeysError::Damaged { .. }) => assert!(damaged, "byte {index}, bit {bit}"),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

#[test]
fn a_file_that_is_cut_off_lacks_what_was_cut_off_and_no_number_is_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let path = dir.path().join(FILE);
    let good = fs::read(&path).unwrap();
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        let opened = Keys::open(dir.path(), STORE);
        if length < SLOT_BYTES {
            assert!(matches!(opened, Err(KeysError::NotOurs)), "{length} bytes");
            continue;
        }
        let keys = opened.unwrap();
        for number in 1..=3 {
            assert_eq!(
                loaded(&keys, number, number + 10).is_ok(),
                length >= 64 * (usize::try_from(number).unwrap() + 1)
            );
        }
        let next = keys.draw(StreamNo(14)).unwrap().number;
        assert_eq!(next, len_u64(length.div_ceil(SLOT_BYTES)), "{length} bytes");
    }
}

#[test]
fn what_is_foreign_or_newer_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let path = dir.path().join(FILE);
    assert!(matches!(Keys::open(dir.path(), STORE + 1), Err(KeysError::OtherStore)));
    let good = fs::read(&path).unwrap();
    let signed = |index: usize, byte: u8| {
        let mut header = good[..SLOT_BYTES].to_vec();
        header[index] = byte;
        let sum = checksum(STORE, &[&header[..SLOT_BYTES - CHECKSUM_BYTES]]);
        header[SLOT_BYTES - CHECKSUM_BYTES..].copy_from_slice(&sum.to_le_bytes());
        fs::write(&path, header).unwrap();
        Keys::open(dir.path(), STORE)
    };
    assert!(matches!(signed(8, 2), Err(KeysError::NewerFormat { found: 2 })));
    assert!(matches!(signed(9, 1), Err(KeysError::NewerFeature { flags: 1 })));
    assert!(matches!(signed(12, 1), Err(KeysError::NewerFeature { .. })));
    assert!(signed(8, 1).is_ok());
    fs::write(&path, b"something else that is longer than the header of a file of keys is").unwrap();
    assert!(matches!(Keys::open(dir.path(), STORE), Err(KeysError::NotOurs)));
}

#[cfg(unix)]
#[test]
fn nothing_is_written_into_a_file_that_was_replaced() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let keys = keys_in(dir.path());
    let path = dir.path().join(FILE);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    for _ in 0..2 {
        assert!(matches!(keys.store(&[&keys.draw(StreamNo(14)).unwrap()]), Err(KeysError::Gone)));
        assert!(matches!(keys.destroy(&[(1, StreamNo(11))]), Err(KeysError::Gone)));
        fs::write(&path, &bytes).unwrap();
    }
}
