//! Bytes that somebody made up, for everything that reads bytes from outside: an error or a value, no panic, and no more
//! memory than twice the bytes and 1 MiB.

#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::bytes::checksum;
use super::due::file;
use super::head::Head;
use super::keys::{self, Keys};
use super::order::{Mark, OrderBuilder, OrderRow, OrderedRun, group_key};
use super::run::{RunBuilder, RunError, RunView};
use super::{Armed, Due, Durability, EventRecord, Facts, Record, Write};
use crate::codec::{Codec, DecodeError, Payload};
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};
use crate::snapshot::bytes::{OpenedSnapshot, SnapshotDraft};

const STORE: u64 = 7;
const SEEDS: u64 = 400;
/// Longer ones are legitimately more in memory than on the disk: numbers of two bytes become those of eight.
const BYTES_MAX: usize = 32 * 1024;
const MORE_BYTES: u64 = 1024 * 1024;

/// SplitMix64: the same seed, the same bytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % super::len_u64(end.max(1))).unwrap()
    }

    fn byte(&mut self) -> u8 {
        // Those that announce something come often.
        const LOUD: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, b'[', b'{'];
        let byte = self.next().to_le_bytes()[0];
        if byte < 80 { LOUD[usize::from(byte) % LOUD.len()] } else { self.next().to_le_bytes()[1] }
    }

    /// Nothing but chance, or a good sample with some damage.
    fn bytes(&mut self, sample: &[u8]) -> Vec<u8> {
        if self.below(3) == 0 {
            let most = if self.below(8) == 0 { BYTES_MAX } else { 200 };
            let len = self.below(most);
            return (0..len).map(|_| self.byte()).collect();
        }
        let mut bytes = sample.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes.truncate(at),
                1 => {
                    let more: Vec<u8> = (0..self.below(20)).map(|_| self.byte()).collect();
                    bytes.splice(at..at, more);
                }
                2 => {
                    bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
                }
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = self.byte()),
            }
        }
        bytes
    }
}

/// Has made-up bytes read, from many seeds.
fn try_out(what: &str, sample: &[u8], finish: impl Fn(Vec<u8>) -> Vec<u8>, read: impl Fn(&[u8])) {
    read(sample);
    for seed in 0..SEEDS {
        let bytes = finish(Random(seed).bytes(sample));
        let used = allocation_counter::measure(|| read(&bytes)).bytes_max;
        let most = 2 * super::len_u64(bytes.len()) + MORE_BYTES;
        assert!(used <= most, "{what}, seed {seed}: {used} bytes for {} were taken", bytes.len());
    }
}

/// Somebody who knows the checksums.
fn signed(before: &[u8], mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = checksum(STORE, &[before, &bytes]);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn content(signed: &[u8]) -> &[u8] {
    &signed[..signed.len() - 8]
}

fn run() -> Vec<u8> {
    let mut run = RunBuilder::new(StreamNo(3), PersistenceId::new("account", "ann"), SeqNr(1));
    for name in ["deposited", "withdrawn", "deposited"] {
        let event = EventRecord { name, version: 1, codec: Codec::MessagePack, payload: b"\x81\xa1a\x01" };
        run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
    }
    let facts =
        Facts { store: STORE, epoch: 1, run_bytes_max: 1 << 20, groups_in_flight: 4, durability: Durability::Memory };
    run.seal(&facts, 1).bytes
}

fn read_run(bytes: &[u8]) {
    if let Ok(view) = RunView::parse(bytes, STORE) {
        let _result = view.for_each(|_, _, _| Ok::<(), RunError>(()));
    }
}

#[test]
fn made_up_runs_are_refused() {
    try_out("a run", &run(), |bytes| bytes, read_run);
    try_out("a signed run", content(&run()), |bytes| signed(&[], bytes), read_run);
}

#[test]
fn a_run_that_counts_wrongly_says_what_it_counted() {
    let good = run();
    let refused: Vec<_> = (0..good.len() - 8)
        .filter_map(|at| {
            let mut bytes = content(&good).to_vec();
            bytes[at] ^= 4;
            let bytes = signed(&[], bytes);
            let view = RunView::parse(&bytes, STORE).ok()?;
            view.for_each(|_, _, _| Ok::<(), RunError>(())).err()
        })
        .collect();
    assert!(refused.iter().any(|error| matches!(error, RunError::Count { what: "records", said: 7, found: 3 })));
}

#[test]
fn made_up_order_rows_are_refused() {
    let mut order = OrderBuilder::default();
    for stream in 1..5 {
        let id = PersistenceId::new("account", format!("{stream}"));
        let (stream, first) = (StreamNo(stream), SeqNr(1));
        let run = OrderedRun { stream, first, records: 2, bytes: 99, checksum: 5, due: Due::Unchanged };
        order.push_run(&id.aggregate, &run);
        order.push_new_stream(stream, &id);
    }
    let mut row = Vec::new();
    let before = Mark { group: 4, offset: Offset(9), digest: 1 };
    order.write(&mut row, STORE, 1, 0, before);
    let read = |bytes: &[u8]| drop(OrderRow::parse(bytes, STORE, 5));
    assert!(OrderRow::parse(&row, STORE, 5).is_ok());
    try_out("an order row", &row, |bytes| bytes, read);
    try_out("a signed order row", content(&row), |bytes| signed(&group_key(5), bytes), read);
}

#[test]
fn made_up_deadlines_are_refused() {
    let armed: Vec<_> = (1..50).map(|stream| Armed { due: Timestamp::UNIX_EPOCH, stream: StreamNo(stream) }).collect();
    let good = file::encode(STORE, Mark { group: 1, offset: Offset(1), digest: 1 }, &armed);
    let read = |bytes: &[u8]| drop(file::decode(bytes, STORE));
    assert!(file::decode(&good, STORE).is_ok());
    try_out("deadlines", &good, |bytes| bytes, read);
    try_out("signed deadlines", content(&good), |bytes| signed(&[], bytes), read);
}

#[test]
fn made_up_snapshots_are_refused() {
    let kept = crate::key::Keys::default();
    let draft = SnapshotDraft {
        aggregate: "account",
        entity: "ann",
        seq_nr: SeqNr(300),
        time: Timestamp::UNIX_EPOCH,
        state: Some("Open"),
        visit: SeqNr(2),
        due: Some(Timestamp::UNIX_EPOCH),
        keys: &kept,
        version: 2,
        schema: 5,
        payload: Payload { codec: Codec::Json, bytes: b"{}" },
    };
    let good = draft.encode(STORE, None);
    let read = |bytes: &[u8]| {
        if let Ok(opened) = OpenedSnapshot::open(bytes, STORE, None) {
            drop(opened.view());
        }
    };
    try_out("a snapshot", &good, |bytes| bytes, read);
    try_out("a signed snapshot", content(&good), |bytes| signed(&[], bytes), read);
}

#[test]
fn made_up_heads_and_keys_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (head, keys) = (dir.path().join("head"), dir.path().join(keys::FILE));
    let with = |path: &Path, bytes: &[u8]| std::fs::write(path, bytes).unwrap();
    try_out(
        "a head",
        &[1; 256],
        |bytes| bytes,
        |bytes| {
            with(&head, bytes);
            drop(Head::read(&head));
        },
    );
    try_out(
        "keys",
        &[1; 256],
        |bytes| bytes,
        |bytes| {
            with(&keys, bytes);
            if let Ok(opened) = Keys::open(dir.path(), STORE) {
                drop(opened.load(1, StreamNo(1)));
            }
        },
    );
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "they are only read")]
struct Wide {
    numbers: Vec<u64>,
    texts: Vec<Vec<String>>,
    map: BTreeMap<String, String>,
    trees: Forest,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "they are only read")]
struct Forest(Vec<Forest>);

fn wide(codec: Codec) -> Vec<u8> {
    let value =
        serde_json::json!({ "numbers": [1, 2], "texts": [["a"], []], "map": { "a": "b" }, "trees": [[[]], []] });
    match codec {
        Codec::MessagePack => rmp_serde::to_vec_named(&value).unwrap(),
        Codec::Json => serde_json::to_vec(&value).unwrap(),
    }
}

#[test]
fn made_up_payloads_are_refused() {
    for codec in [Codec::MessagePack, Codec::Json] {
        let good = wide(codec);
        assert!(Payload { codec, bytes: &good }.decode::<Wide>().is_ok());
        let read = |bytes: &[u8]| {
            drop(Payload { codec, bytes }.decode::<Wide>());
            drop(Payload { codec, bytes }.decode::<Forest>());
            drop(Payload { codec, bytes }.decode::<BTreeMap<u64, Vec<u8>>>());
        };
        try_out("a payload", &good, |bytes| bytes, read);
    }
}

#[test]
fn payloads_that_announce_more_than_they_have_take_no_room() {
    // 20 levels, each of which announces four billion values.
    let deep = [0xdd, 0xff, 0xff, 0xff, 0xff].repeat(20);
    // And 100 levels that would need all the bytes behind them.
    let mut wide = [0xdc, 0x7f, 0xff].repeat(100);
    wide.resize(BYTES_MAX, 0x90);
    for bytes in [deep, wide] {
        let read = || Payload { codec: Codec::MessagePack, bytes: &bytes }.decode::<Forest>();
        let used = allocation_counter::measure(|| drop(read())).bytes_max;
        assert!(used <= 2 * super::len_u64(bytes.len()) + MORE_BYTES, "{used} bytes were taken");
        let DecodeError::Payload { reason, .. } = read().unwrap_err() else { panic!() };
        assert_eq!(reason, "it announces more values than it has bytes");
    }
    let nested = "[".repeat(100_000);
    let error = Payload { codec: Codec::Json, bytes: nested.as_bytes() }.decode::<Forest>().unwrap_err();
    assert!(matches!(error, DecodeError::Payload { bytes: 100_000, .. }), "{error:?}");
}

#[test]
fn a_codec_that_nobody_knows_is_told_by_its_number() {
    assert_eq!(Codec::from_number(1), Ok(Codec::MessagePack));
    let error = Codec::from_number(9).unwrap_err();
    assert_eq!(error, DecodeError::UnknownCodec { number: 9 });
    assert!(error.to_string().contains('9'), "{error}");
}
