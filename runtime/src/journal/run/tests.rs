//! The bytes of a run, and what is no run.

use super::*;
use crate::codec::Codec;
use crate::journal::record::StoredKey;
use crate::journal::{Durability, EventRecord};
use proptest::prelude::*;

mod machines;

const STORE: u64 = 0x0123_4567_89ab_cdef;

fn facts() -> Facts {
    Facts {
        store: STORE,
        epoch: 3,
        run_bytes_max: crate::journal::RUN_BYTES_MAX,
        groups_in_flight: 1,
        durability: Durability::Memory,
    }
}

fn event<'a>(name: &'a str, payload: &'a [u8]) -> EventRecord<'a> {
    EventRecord { name, version: 1, codec: Codec::MessagePack, payload }
}

/// Adds a write of events alone.
fn push(run: &mut RunBuilder, micros: i64, events: &[EventRecord<'_>]) {
    run.push_write(&Write::at(at(micros)), Due::Unchanged, events.iter().map(|event| Record::Event(*event)));
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

/// What a run reads as.
type Read = Vec<(u64, i64, String, Vec<u8>)>;

fn read(bytes: &[u8]) -> Result<Read, RunError> {
    let mut found = Vec::new();
    RunView::parse(bytes, STORE)?.for_each(|seq, write, record| {
        let (name, payload) = match record {
            Record::Event(event) => (event.name.to_owned(), event.payload.to_vec()),
            Record::Tombstone => ("tombstone".to_owned(), Vec::new()),
            Record::Skipped { kind } => (format!("{kind:#x}"), Vec::new()),
            other => (format!("{other:?}"), Vec::new()),
        };
        found.push((seq.0, write.time.as_microsecond(), name, payload));
        Ok::<(), RunError>(())
    })?;
    Ok(found)
}

fn sample() -> Run {
    let mut run = RunBuilder::new(StreamNo(1), PersistenceId::new("account", "alice"), SeqNr(7));
    push(&mut run, 1_000_000, &[event("deposited", b"\x01\x02"), event("audited", b"")]);
    push(&mut run, 1_000_300, &[EventRecord { version: 200, codec: Codec::Json, ..event("deposited", b"{}") }]);
    run.seal_with_salt(&facts(), 5, *b"saltsalt")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Gives bytes the checksum that they need.
fn signed(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = checksum(STORE, &[&bytes]);
    bytes.extend(sum.to_le_bytes());
    bytes
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|digit| digit.to_digit(16)).map(|d| u8::try_from(d).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A run by hand: what lies between the number of records and the end, and the counts.
fn by_hand(writes: &str, records: &str, rest: &str) -> Vec<u8> {
    let body = from_hex(&format!(
        "03 05 73616c7473616c74 00 07 40420f0000000000 {writes} {records} 03 01 61 01 62 01 63 {rest}"
    ));
    let mut bytes = vec![1, 0];
    push_prefixed(&mut bytes, &body);
    signed(bytes)
}

#[test]
fn the_bytes_of_a_run_are_these_for_ever() {
    let golden = [
        "01",                       // format
        "00",                       // flags
        "57",                       // body length: 87
        "03",                       // epoch
        "05",                       // run number
        "73616c7473616c74",         // salt
        "00",                       // key number: not encrypted
        "07",                       // first sequence number
        "40420f0000000000",         // base time: 1,000,000 us
        "02",                       // writes
        "03",                       // records
        "04",                       // names:
        "07 6163636f756e74",        //   0 account
        "05 616c696365",            //   1 alice
        "09 6465706f7369746564",    //   2 deposited
        "07 61756469746564",        //   3 audited
        "11",                       // first write: 17 bytes
        "00 00 02",                 //   flags, at the base time, 2 records
        "01 06 02 01 01 00 0102",   //   event, 6 bytes: deposited, version 1, MessagePack, no tags, payload
        "01 04 03 01 01 00",        //   event, 4 bytes: audited, version 1, MessagePack, no tags, no payload
        "0d",                       // second write: 13 bytes
        "00 ac02 01",               //   flags, 300 us later, 1 record
        "01 07 02 c801 02 00 7b7d", //   event, 7 bytes: deposited, version 200, JSON, no tags, payload {}
    ];
    let golden = signed(from_hex(&golden.concat()));
    assert_eq!(hex(&sample().bytes), hex(&golden));
    assert_eq!(hex(&golden[golden.len() - 8..]), "d964a9e414613aea");

    let view = RunView::parse(&golden, STORE).unwrap();
    assert_eq!(view.id(), PersistenceId::new("account", "alice"));
    assert_eq!((view.epoch(), view.number()), (3, 5));
    assert_eq!((view.first(), view.last(), view.records()), (SeqNr(7), SeqNr(9), 3));
    assert_eq!(
        read(&golden).unwrap(),
        [
            (7, 1_000_000, "deposited".to_owned(), vec![1, 2]),
            (8, 1_000_000, "audited".to_owned(), vec![]),
            (9, 1_000_300, "deposited".to_owned(), b"{}".to_vec()),
        ]
    );
}

#[test]
fn time_never_runs_backwards_within_a_run() {
    let mut run = RunBuilder::new(StreamNo(1), PersistenceId::new("a", "b"), SeqNr(1));
    for micros in [-5, 10, 3, 12] {
        push(&mut run, micros, &[event("e", b"")]);
    }
    let run = run.seal(&facts(), 1);
    assert_eq!(run.time, at(12));
    let times: Vec<i64> = read(&run.bytes).unwrap().iter().map(|record| record.1).collect();
    assert_eq!(times, [-5, 10, 10, 12]);
}

#[test]
fn two_runs_of_the_same_events_have_different_bytes() {
    let seal = || {
        let mut run = RunBuilder::new(StreamNo(1), PersistenceId::new("a", "b"), SeqNr(1));
        push(&mut run, 0, &[event("e", b"secret")]);
        run.seal(&facts(), 1).bytes
    };
    assert_ne!(seal(), seal());
}

#[test]
fn a_run_of_another_store_is_refused() {
    assert_eq!(RunView::parse(&sample().bytes, STORE + 1).err(), Some(RunError::Checksum));
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let good = sample().bytes;
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            assert_eq!(RunView::parse(&bad, STORE).err(), Some(RunError::Checksum), "byte {index}, bit {bit}");
        }
        assert!(RunView::parse(&good[..index], STORE).is_err(), "cut to {index} bytes");
    }
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let mut bytes = sample().bytes;
    bytes.truncate(bytes.len() - 8);
    bytes[0] = 2;
    assert_eq!(RunView::parse(&signed(bytes), STORE).err(), Some(RunError::NewerFormat { found: 2, supported: 1 }));
}

#[test]
fn an_unknown_kind_is_refused_unless_it_may_be_skipped() {
    let skipped = by_hand("01", "02", "0d 00 00 02 82 02 0000 01 04 02 01 01 00");
    let read_back = read(&skipped).unwrap();
    assert_eq!(read_back[0].2, "0x82");
    assert_eq!((read_back[1].0, read_back[1].2.as_str()), (8, "c"));

    let unknown = by_hand("01", "01", "07 00 00 01 05 02 0000");
    assert_eq!(read(&unknown), Err(RunError::NewerFeature { what: "a kind of record", number: 5 }));
}

#[test]
fn an_extension_is_skipped_unless_it_is_critical() {
    let write = "0d 08 00 01 03 02 01 ff 01 04 02 01 01 00";
    assert_eq!(read(&by_hand("01", "01", write)).unwrap().len(), 1);
    let write = "0d 08 00 01 03 03 01 ff 01 04 02 01 01 00";
    assert_eq!(
        read(&by_hand("01", "01", write)),
        Err(RunError::NewerFeature { what: "a critical extension of a write", number: 3 })
    );
}

#[test]
fn tags_are_passed_over() {
    assert_eq!(read(&by_hand("01", "01", "0b 00 00 01 01 06 02 01 01 01 02 ff")).unwrap()[0].3, [0xff]);
}

#[test]
fn counts_that_are_wrong_are_refused() {
    let write = "09 00 00 01 01 04 02 01 01 00";
    assert!(read(&by_hand("01", "01", write)).is_ok());
    for (writes, records) in [("01", "02"), ("02", "02"), ("00", "01"), ("01", "00"), ("02", "01")] {
        assert!(read(&by_hand(writes, records, write)).is_err(), "{writes} writes, {records} records");
    }
}

#[test]
#[should_panic(expected = "at least one record")]
fn a_write_without_events_is_a_bug() {
    push(&mut RunBuilder::new(StreamNo(1), PersistenceId::new("a", "b"), SeqNr(1)), 0, &[]);
}

#[test]
#[should_panic(expected = "at least one write")]
fn a_run_without_writes_is_a_bug() {
    RunBuilder::new(StreamNo(1), PersistenceId::new("a", "b"), SeqNr(1)).seal(&facts(), 1);
}

#[test]
fn a_run_whose_fields_say_something_else_is_not_taken() {
    let good = sample();
    assert_eq!(good.check(&facts()), Ok(stored_checksum(&good.bytes)));
    for bad in [
        Run { first: SeqNr(8), ..good.clone() },
        Run { records: 2, ..good.clone() },
        Run { id: PersistenceId::new("account", "bob"), ..good.clone() },
        Run { bytes: b"nonsense".to_vec(), ..good.clone() },
    ] {
        assert!(matches!(bad.check(&facts()), Err(Why::BadRun(_))), "{bad:?}");
    }
    let facts = Facts { run_bytes_max: good.bytes.len() - 1, ..facts() };
    assert!(matches!(good.check(&facts), Err(Why::TooLarge { .. })));
}

fn names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(".{0,20}", 1..40)
}

proptest! {
    #[test]
    fn what_is_pushed_is_read_again(
        names in names(),
        first in 1..1_000_000_u64,
        writes in prop::collection::vec(
            (-1_000_000..1_000_000_i64, prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..300)), 1..5)),
            1..20,
        ),
    ) {
        let mut run = RunBuilder::new(StreamNo(1), PersistenceId::new("a", "b"), SeqNr(first));
        let mut expected: Read = Vec::new();
        let mut latest = i64::MIN;
        for (micros, events) in &writes {
            latest = latest.max(*micros);
            let events: Vec<_> = events.iter().map(|(name, payload)| event(&names[name.index(names.len())], payload)).collect();
            let before = run.bytes();
            let at_most = RunBuilder::write_bytes_at_most(&Write::at(at(*micros)), events.iter().map(|event| Record::Event(*event)));
            for event in &events {
                let seq = first + len_u64(expected.len());
                expected.push((seq, latest, event.name.to_owned(), event.payload.to_vec()));
            }
            push(&mut run, *micros, &events);
            prop_assert!(run.bytes() - before <= at_most);
        }
        prop_assert_eq!(run.last().0, first + len_u64(expected.len()) - 1);
        let at_most = run.bytes();
        let run = run.seal(&facts(), 1);
        prop_assert!(run.bytes.len() <= at_most);
        prop_assert!(at_most - run.bytes.len() < 128);
        prop_assert!(run.check(&facts()).is_ok());
        prop_assert_eq!(read(&run.bytes).unwrap(), expected);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _result = read(&bytes);
        let _result = read(&signed(bytes));
    }

    #[test]
    fn any_body_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![1, 0];
        push_prefixed(&mut bytes, &body);
        let _result = read(&signed(bytes));
    }

    #[test]
    fn a_changed_run_with_a_right_checksum_is_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = sample().bytes;
        bytes.truncate(bytes.len() - 8);
        for (index, byte) in changes {
            let len = bytes.len();
            bytes[index.index(len)] = byte;
        }
        let _result = read(&signed(bytes));
    }
}
