//! The bytes of an encrypted run, and what can be done to them.

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::*;
use crate::codec::Codec;
use crate::id::{PersistenceId, StreamNo};
use crate::journal::cipher::{Nonces, StreamCipher};
use crate::journal::{Cipher, Due, Durability, EventRecord, Facts, ReadError, Record, RunBuilder, RunView, Write};
use std::sync::Arc;

const STORE: u64 = 0x0123_4567_89ab_cdef;

fn key(number: u64, stream: u64, byte: u8) -> StreamKey {
    StreamKey::new(number, StreamNo(stream), Zeroizing::new([byte; 32]), Arc::new(Nonces::fixed([3; 16])))
}

fn plain() -> Vec<u8> {
    plain_with(b"hidden")
}

fn plain_with(payload: &[u8]) -> Vec<u8> {
    let facts = Facts {
        store: STORE,
        epoch: 3,
        run_bytes_max: crate::journal::RUN_BYTES_MAX,
        groups_in_flight: 1,
        durability: Durability::Memory,
    };
    let mut run = RunBuilder::new(StreamNo(5), PersistenceId::new("account", "alice"), SeqNr(7));
    let records = [&b"secret"[..], payload]
        .map(|payload| Record::Event(EventRecord { name: "deposited", version: 1, codec: Codec::Json, payload }));
    run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, records.into_iter());
    run.seal(&facts, 300).bytes
}

fn sealed(plain: &[u8]) -> Vec<u8> {
    seal(plain, STORE, &key(2, 5, 9)).unwrap().unwrap()
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

#[test]
fn the_bytes_of_an_encrypted_run_are_these_for_ever() {
    let mut plain = plain();
    // Its salt is drawn.
    plain[6..14].copy_from_slice(b"saltsalt");
    let hex: String = sealed(&plain).iter().map(|byte| format!("{byte:02x}")).collect();
    let golden = [
        "01 00",            // format, flags
        "74",               // length of the body
        "03 ac02",          // epoch, run number
        "73616c7473616c74", // salt
        "02",               // key number
        "07 02",            // first, records
        "03030303030303030303030303030303 0000000000000000",
        // Base time, writes, names and the writes, encrypted; the tag; the checksum.
        "2e08f4818a4e58fd300ea9a685029a1d02db37cb5ba2f540a43302f74792bc2a07c7bfd355d81a3c15694293330023fb887064cac8c59f5274f46083fa6e",
        "73eb7bb3a4921141f265340514b01545",
        "1abf13d272368a7b",
    ];
    assert_eq!(hex, golden.concat().replace(' ', ""));
}

#[test]
fn an_encrypted_run_is_the_plain_one_again_with_its_key() {
    let plain = plain();
    let bytes = sealed(&plain);
    assert!(matches!(RunView::parse(&bytes, STORE), Err(RunError::Encrypted { key: 2 })));
    let run = SealedRun::read(&bytes).unwrap();
    assert_eq!((run.key(), run.first(), run.last(), run.records()), (2, SeqNr(7), SeqNr(8), 2));
    assert_eq!(run.open(STORE, &key(2, 5, 9)).unwrap(), plain);
    assert_eq!(run.plain_bytes(), plain.len());
    for part in ["account", "alice", "deposited", "secret", "hidden"] {
        assert!(contains(&plain, part) && !contains(&bytes, part), "{part}");
    }
}

#[test]
fn the_length_of_a_plain_run_is_known_before_it_is_decrypted() {
    for payload in (0..300).chain(16_200..16_400) {
        let plain = plain_with(&vec![7; payload]);
        for number in [1, 127, 128, u64::MAX] {
            let bytes = seal(&plain, STORE, &key(number, 5, 9)).unwrap().unwrap();
            let run = SealedRun::read(&bytes).unwrap();
            assert_eq!(run.plain_bytes(), plain.len(), "{payload} bytes, key {number}");
            assert_eq!(run.open(STORE, &key(number, 5, 9)).unwrap(), plain);
        }
    }
}

#[test]
fn the_same_run_is_encrypted_differently_each_time() {
    let (plain, key) = (plain(), key(2, 5, 9));
    let [one, other] = [0, 1].map(|_| seal(&plain, STORE, &key).unwrap().unwrap());
    let [one, other] = [&one, &other].map(|bytes| SealedRun::read(bytes).unwrap());
    assert_ne!(one.sealed[..NONCE_BYTES], other.sealed[..NONCE_BYTES]);
    assert_ne!(one.sealed[NONCE_BYTES..][..8], other.sealed[NONCE_BYTES..][..8]);
}

#[test]
fn every_flipped_bit_is_found_by_the_tag_alone() {
    let good = sealed(&plain());
    for index in 0..good.len() - CHECKSUM_BYTES {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            // As if somebody had made the checksum right again.
            if let Ok(run) = SealedRun::read(&bad) {
                assert!(run.open(STORE, &key(2, 5, 9)).is_err(), "byte {index}, bit {bit}");
            }
        }
    }
}

#[test]
fn another_key_or_stream_does_not_open_a_run() {
    let bytes = sealed(&plain());
    let run = SealedRun::read(&bytes).unwrap();
    for other in [key(2, 5, 8), key(2, 6, 9)] {
        assert_eq!(run.open(STORE, &other), Err(DecryptError::Changed));
    }
    let destroyed = key(2, 5, 9);
    destroyed.destroy();
    assert_eq!(run.open(STORE, &destroyed), Err(DecryptError::Destroyed));
    assert_eq!(seal(&plain(), STORE, &destroyed), Ok(None));
}

#[test]
fn the_content_of_another_run_of_the_stream_does_not_open() {
    let (one, key) = (plain(), key(2, 5, 9));
    let mut other = one.clone();
    // The first sequence number: 8 for 7.
    other[15] = 8;
    let [one, other] = [&one, &other].map(|plain| seal(plain, STORE, &key).unwrap().unwrap());
    let begin = SealedRun::read(&one).unwrap().before.len();
    assert_eq!(SealedRun::read(&other).unwrap().first(), SeqNr(8));
    let swapped = [&one[..begin], &other[begin..]].concat();
    assert_eq!(SealedRun::read(&swapped).unwrap().open(STORE, &key), Err(DecryptError::Changed));
}

#[test]
fn what_is_cut_off_is_no_run() {
    let good = sealed(&plain());
    for length in 0..good.len() {
        assert!(SealedRun::read(&good[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn what_is_stored_elsewhere_is_encrypted_too() {
    let cipher = StreamCipher::new(key(2, 5, 9), [0xab; 16]);
    assert_eq!(cipher.pseudonym().as_str(), "ab".repeat(16));
    let [one, other] = [0, 1].map(|_| cipher.encrypt(b"a secret"));
    assert_ne!(one, other);
    assert!(!contains(&one, "secret"));
    for bytes in [&one, &other] {
        assert_eq!(cipher.decrypt(bytes).unwrap(), b"a secret");
    }
    assert_eq!(cipher.decrypt(&cipher.encrypt(b"")).unwrap(), b"");
    for index in 0..one.len() {
        let mut bad = one.clone();
        bad[index] ^= 1;
        assert!(matches!(cipher.decrypt(&bad), Err(ReadError::Corrupt(_))), "byte {index}");
        assert!(matches!(cipher.decrypt(&one[..index]), Err(ReadError::Corrupt(_))), "{index} bytes");
    }
    // A run isn't taken for it.
    let run = sealed(&plain());
    let nonce = SealedRun::read(&run).unwrap().before.len();
    assert!(cipher.decrypt(&[&[0], &run[nonce..run.len() - CHECKSUM_BYTES]].concat()).is_err());

    cipher.key().destroy();
    let late = cipher.encrypt(b"a secret");
    assert!(!contains(&late, "secret"));
    for bytes in [one, late] {
        assert_eq!(cipher.decrypt(&bytes), Err(ReadError::Forgotten { stream: StreamNo(5) }));
    }
}
