use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::id::EntityId;
use crate::journal::StoredKey;

const STORE: u64 = 0x0123_4567_89ab_cdef;

/// Turns every bit, and puts a byte behind.
struct Turn;

impl Cipher for Turn {
    fn pseudonym(&self) -> EntityId {
        "x".into()
    }

    fn encrypt(&self, plain: &[u8]) -> Vec<u8> {
        plain.iter().map(|byte| !byte).chain([0x55]).collect()
    }

    fn decrypt(&self, encrypted: &[u8]) -> Result<Vec<u8>, ReadError> {
        match encrypted.split_last() {
            Some((0x55, turned)) => Ok(turned.iter().map(|byte| !byte).collect()),
            _ => Err(ReadError::Closed),
        }
    }
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

fn keys(rising: Option<(u64, u64)>, unique: &[([u8; 16], u64)]) -> Keys {
    let mut keys = Keys::default();
    if let Some((number, seq_nr)) = rising {
        keys.insert(StoredKey::Rising(number), SeqNr(seq_nr), 1);
    }
    for (digest, seq_nr) in unique {
        keys.insert(StoredKey::Unique(*digest), SeqNr(*seq_nr), usize::MAX);
    }
    keys
}

fn draft(keys: &Keys) -> SnapshotDraft<'_> {
    SnapshotDraft {
        aggregate: "account",
        entity: "ann",
        seq_nr: SeqNr(300),
        time: at(1_000_000),
        state: Some("Open"),
        visit: SeqNr(2),
        due: Some(at(3_000_000)),
        keys,
        version: 2,
        schema: 0x1122_3344_5566_7788,
        payload: Payload { codec: Codec::Json, bytes: b"{}" },
    }
}

fn some_keys() -> Keys {
    keys(Some((9, 4)), &[([0xaa; 16], 5)])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn open_error(bytes: &[u8]) -> SnapshotBytesError {
    read(bytes).expect_err("it can be read")
}

/// The sequence number of a snapshot that can be read.
fn read(bytes: &[u8]) -> Result<SeqNr, SnapshotBytesError> {
    Ok(OpenedSnapshot::open(bytes, STORE, None)?.view()?.seq_nr)
}

/// The snapshot with another body, and the checksum that belongs to it.
fn with_body(body: &[u8]) -> Vec<u8> {
    let mut bytes = draft(&some_keys()).encode(STORE, None);
    bytes.truncate(HEADER_BYTES);
    bytes.extend_from_slice(body);
    resealed(bytes)
}

fn resealed(mut content: Vec<u8>) -> Vec<u8> {
    let sum = checksum(STORE, &[&content]);
    content.extend_from_slice(&sum.to_le_bytes());
    content
}

#[test]
fn the_bytes_of_a_snapshot_are_these_for_ever() {
    let keys = some_keys();
    let written = hex(&draft(&keys).encode(STORE, None));
    let expected = [
        "616e6e616c730003",
        "01",
        "00",
        "efcdab8967452301",
        "07 6163636f756e74",
        "03 616e6e",
        "ac02",
        "40420f0000000000",
        "04 4f70656e",
        "02",
        "01 c0c62d0000000000",
        "01 09 04",
        "01 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 05",
        "02",
        "8877665544332211",
        "02",
        "02 7b7d",
        "e4c543fbace8a78d",
    ];
    assert_eq!(written, expected.concat().replace(' ', ""));
}

#[test]
fn the_bytes_of_the_smallest_snapshot_are_these_for_ever() {
    let keys = Keys::default();
    let draft = SnapshotDraft {
        seq_nr: SeqNr(1),
        state: None,
        visit: SeqNr::ZERO,
        due: None,
        payload: Payload { codec: Codec::MessagePack, bytes: &[] },
        ..draft(&keys)
    };
    let body = [
        "07 6163636f756e74",
        "03 616e6e",
        "01",
        "40420f0000000000",
        "00",
        "00",
        "00",
        "00 00",
        "02",
        "8877665544332211",
        "01",
        "00",
    ];
    let written = hex(&draft.encode(STORE, None));
    assert_eq!(written[2 * HEADER_BYTES..written.len() - 2 * CHECKSUM_BYTES], body.concat().replace(' ', ""));
}

#[test]
fn the_hash_of_a_schema_is_this_for_ever_and_tells_fields_apart() {
    let field = |name, ty| Field { name, ty };
    let fields = [field("balance", "u64"), field("owner", "String")];
    assert_eq!(schema_hash(&[]), 0x2d06_8005_38d3_94c2);
    assert_eq!(schema_hash(&fields), 0xc663_398c_97d0_cc66);
    for others in [
        vec![field("owner", "String"), field("balance", "u64")],
        vec![field("balance", "u64")],
        vec![field("balance", "u32"), field("owner", "String")],
        vec![field("balanceu", "64"), field("owner", "String")],
    ] {
        assert_ne!(schema_hash(&others), schema_hash(&fields), "{others:?}");
    }
}

#[test]
fn a_snapshot_is_read_as_it_was_written() {
    let keys = some_keys();
    let bytes = draft(&keys).encode(STORE, None);
    let opened = OpenedSnapshot::open(&bytes, STORE, None).unwrap();
    let view = opened.view().unwrap();
    assert_eq!((view.aggregate, view.entity, view.seq_nr), ("account", "ann", SeqNr(300)));
    assert_eq!((view.time, view.state, view.visit), (at(1_000_000), Some("Open"), SeqNr(2)));
    assert_eq!((view.due, &view.keys), (Some(at(3_000_000)), &keys));
    assert_eq!((view.version, view.schema), (2, 0x1122_3344_5566_7788));
    assert_eq!((view.payload.codec, view.payload.bytes), (Codec::Json, &b"{}"[..]));
}

#[test]
fn every_flipped_bit_and_every_cut_is_an_error() {
    let keys = some_keys();
    let bytes = draft(&keys).encode(STORE, None);
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1 << bit;
            open_error(&flipped);
        }
        open_error(&bytes[..index]);
        open_error(&bytes[index + 1..]);
    }
    open_error(&[&bytes[..], &[0]].concat());
    assert_eq!(read(&bytes), Ok(SeqNr(300)));
}

#[test]
fn what_is_wrong_is_told() {
    let keys = some_keys();
    let bytes = draft(&keys).encode(STORE, None);
    assert_eq!(open_error(&[]), SnapshotBytesError::NotOurs);
    assert_eq!(open_error(b"something of somebody else"), SnapshotBytesError::NotOurs);
    assert_eq!(open_error(&draft(&keys).encode(STORE + 1, None)), SnapshotBytesError::OtherStore);
    assert_eq!(open_error(&bytes[..bytes.len() - 1]), SnapshotBytesError::Checksum);

    let changed = |index: usize, byte| {
        let mut content = bytes[..bytes.len() - CHECKSUM_BYTES].to_vec();
        content[index] = byte;
        resealed(content)
    };
    assert_eq!(open_error(&changed(8, 2)), SnapshotBytesError::NewerFormat { found: 2 });
    assert_eq!(open_error(&changed(9, 4)), SnapshotBytesError::NewerFeature { flags: 4 });
    assert_eq!(open_error(&changed(9, 1)), SnapshotBytesError::NoCipher);
    let codec = bytes.len() - CHECKSUM_BYTES - 4;
    assert_eq!(open_error(&changed(codec, 9)), SnapshotBytesError::UnknownCodec { number: 9 });
    let trailing = resealed([&bytes[..bytes.len() - CHECKSUM_BYTES], &[0]].concat());
    assert_eq!(open_error(&trailing), Malformed { what: "the payload", flaw: Flaw::Trailing }.into());
}

#[test]
fn numbers_that_can_not_be_are_refused() {
    let refused = |draft: SnapshotDraft<'_>, what| {
        let bytes = draft.encode(STORE, None);
        assert_eq!(open_error(&bytes), Malformed { what, flaw: Flaw::OutOfRange }.into());
    };
    let none = Keys::default();
    refused(SnapshotDraft { seq_nr: SeqNr(0), visit: SeqNr(0), ..draft(&none) }, "the sequence number");
    refused(SnapshotDraft { visit: SeqNr(301), ..draft(&none) }, "the visit");
    refused(draft(&keys(Some((1, 301)), &[])), "the record of a rising key");
    refused(draft(&keys(Some((1, 0)), &[])), "the record of a rising key");
    refused(draft(&keys(None, &[([1; 16], 301)])), "the record of a unique key");
    assert_eq!(read(&draft(&keys(Some((1, 300)), &[([1; 16], 300)])).encode(STORE, None)), Ok(SeqNr(300)));
}

#[test]
fn a_number_of_keys_beyond_the_end_is_refused_without_allocating() {
    let mut body = Vec::new();
    push_prefixed(&mut body, b"a");
    push_prefixed(&mut body, b"e");
    push_varint(&mut body, 1);
    body.extend_from_slice(&0_i64.to_le_bytes());
    body.extend_from_slice(&[0, 0, 0, 0]);
    push_varint(&mut body, u64::MAX);
    assert_eq!(open_error(&with_body(&body)), Malformed { what: "a unique key", flaw: Flaw::CutOff }.into());
}

#[test]
fn an_encrypted_snapshot_shows_nothing_and_is_read_with_its_cipher_only() {
    let keys = some_keys();
    let bytes = draft(&keys).encode(STORE, Some(&Turn));
    for shown in [&b"account"[..], b"ann", b"Open", b"{}"] {
        assert!(!bytes[HEADER_BYTES..].windows(shown.len()).any(|window| window == shown));
    }
    let opened = OpenedSnapshot::open(&bytes, STORE, Some(&Turn)).unwrap();
    let view = opened.view().unwrap();
    assert_eq!((view.entity, view.seq_nr, view.payload.bytes), ("ann", SeqNr(300), &b"{}"[..]));
    assert_eq!(open_error(&bytes), SnapshotBytesError::NoCipher);

    let plain = draft(&keys).encode(STORE, None);
    let refused = |bytes: &[u8]| OpenedSnapshot::open(bytes, STORE, Some(&Turn)).err();
    assert_eq!(refused(&plain), Some(SnapshotBytesError::NotEncrypted));
    let mut content = bytes[..bytes.len() - CHECKSUM_BYTES].to_vec();
    content.push(0);
    assert_eq!(refused(&resealed(content)), Some(SnapshotBytesError::Decrypt(ReadError::Closed)));
}

#[test]
fn a_snapshot_that_stands_in_the_wrong_place_is_told() {
    let keys = some_keys();
    let bytes = draft(&keys).encode(STORE, None);
    let opened = OpenedSnapshot::open(&bytes, STORE, None).unwrap();
    let view = opened.view().unwrap();
    let ann = PersistenceId::new("account", "ann");
    let meta = SnapshotMeta { seq_nr: SeqNr(300), time: at(1_000_000), bytes: bytes.len() };
    assert_eq!(view.check(&ann, &meta), Ok(()));
    for other in [PersistenceId::new("account", "bob"), PersistenceId::new("accounta", "nn")] {
        assert_eq!(view.check(&other, &meta), Err(SnapshotBytesError::OtherEntity));
    }
    let stored = SnapshotMeta { seq_nr: SeqNr(299), ..meta };
    let error = SnapshotBytesError::OtherSeq { found: SeqNr(300), stored: SeqNr(299) };
    assert_eq!(view.check(&ann, &stored), Err(error));
    let stored = SnapshotMeta { time: at(1), ..meta };
    let error = SnapshotBytesError::OtherTime { found: at(1_000_000), stored: at(1) };
    assert_eq!(view.check(&ann, &stored), Err(error));
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.as_microsecond()..=Timestamp::MAX.as_second() * 1_000_000).prop_map(at)
}

proptest! {
    #[test]
    fn any_snapshot_is_read_as_it_was_written(
        (aggregate, entity, state) in (".{0,20}", ".{0,40}", prop::option::of(".{1,20}")),
        (seq_nr, visit) in (1..u64::MAX).prop_flat_map(|seq_nr| (Just(seq_nr), 0..=seq_nr)),
        (time, due) in (any_time(), prop::option::of(any_time())),
        rising in prop::option::of((any::<u64>(), any::<u64>())),
        unique in prop::collection::btree_map(any::<[u8; 16]>(), any::<u64>(), 0..20),
        (store, version, schema) in (any::<u64>(), any::<u32>(), any::<u64>()),
        payload: Vec<u8>,
        json: bool,
        encrypted: bool,
    ) {
        let within = |number: u64| number % seq_nr + 1;
        let unique: Vec<_> = unique.into_iter().map(|(digest, at)| (digest, within(at))).collect();
        let keys = keys(rising.map(|(number, at)| (number, within(at))), &unique);
        let codec = if json { Codec::Json } else { Codec::MessagePack };
        let draft = SnapshotDraft {
            aggregate: &aggregate,
            entity: &entity,
            seq_nr: SeqNr(seq_nr),
            time,
            state: state.as_deref(),
            visit: SeqNr(visit),
            due,
            keys: &keys,
            version,
            schema,
            payload: Payload { codec, bytes: &payload },
        };
        let cipher: Option<&dyn Cipher> = if encrypted { Some(&Turn) } else { None };
        let bytes = draft.encode(store, cipher);
        let opened = OpenedSnapshot::open(&bytes, store, cipher).unwrap();
        let view = opened.view().unwrap();
        prop_assert_eq!((view.aggregate, view.entity), (&*aggregate, &*entity));
        prop_assert_eq!((view.seq_nr, view.time), (SeqNr(seq_nr), time));
        prop_assert_eq!((view.state, view.visit, view.due), (state.as_deref(), SeqNr(visit), due));
        prop_assert_eq!(view.keys, keys);
        prop_assert_eq!((view.version, view.schema), (version, schema));
        prop_assert_eq!((view.payload.codec, view.payload.bytes), (codec, &*payload));
    }

    #[test]
    fn a_body_of_any_bytes_is_read_or_refused(body: Vec<u8>) {
        // What is wrong may be anything; it may not panic.
        let _result = read(&with_body(&body));
    }

    #[test]
    fn a_body_with_any_bytes_changed_is_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut body = draft(&some_keys()).encode(STORE, None);
        body.truncate(body.len() - CHECKSUM_BYTES);
        let mut body = body.split_off(HEADER_BYTES);
        for (index, byte) in changes {
            let index = index.index(body.len());
            body[index] = byte;
        }
        let _result = read(&with_body(&body));
    }
}
