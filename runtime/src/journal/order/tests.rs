//! The bytes of an order row, and what is none.

use super::*;
use proptest::prelude::*;

const STORE: u64 = 0x0123_4567_89ab_cdef;

fn run(stream: u64, first: u64, records: u64) -> OrderedRun {
    OrderedRun {
        stream: StreamNo(stream),
        first: SeqNr(first),
        records,
        bytes: 300,
        checksum: 0x1122,
        due: Due::Unchanged,
    }
}

fn sample() -> (Vec<u8>, Mark) {
    let (account, order) = (Arc::from("account"), Arc::from("order"));
    let mut builder = OrderBuilder::default();
    builder.push_new_stream(StreamNo(9), &PersistenceId::new(Arc::clone(&account), "bob"));
    builder.push_run(&account, &run(9, 1, 2));
    builder.push_run(&order, &run(3, 200, 1));
    let mut row = Vec::new();
    let before = Mark { group: 6, offset: Offset(40), digest: 0x7777 };
    let mark = builder.write(&mut row, STORE, 3, 1_000_000, before);
    (row, mark)
}

#[test]
fn the_bytes_of_an_order_row_are_these_for_ever() {
    let golden = [
        "01 00",                                  // format, flags
        "03",                                     // epoch
        "29",                                     // base offset: 41
        "03",                                     // records
        "40420f0000000000",                       // time: 1,000,000 us
        "7777000000000000",                       // digest of the row before
        "02",                                     // aggregates:
        "07 6163636f756e74",                      //   0 account
        "05 6f72646572",                          //   1 order
        "02",                                     // runs:
        "09 00 01 02 ac02 2211000000000000 00",   //   stream 9, account, from 1, 2 records, 300 bytes
        "03 01 c801 01 ac02 2211000000000000 00", //   stream 3, order, from 200, 1 record, 300 bytes
        "01",                                     // controls:
        "01 05 09 00 626f62",                     //   new stream 9, account, bob
        "14cfabec1e74cdeb",
    ];
    let (row, _) = sample();
    let hex: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, golden.concat().replace(' ', ""));
}

/// The end of a row with one run that makes this of its deadline: from its checksum to the digest.
fn end_with(due: Due) -> String {
    let row = row_with(due);
    let end = &row[row.len() - CHECKSUM_BYTES - 18..row.len() - CHECKSUM_BYTES];
    let hex: String = end.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.split_once("2211000000000000").map(|(_, end)| end.to_owned()).unwrap()
}

fn row_with(due: Due) -> Vec<u8> {
    let mut builder = OrderBuilder::default();
    builder.push_run(&Arc::from("lock"), &OrderedRun { due, ..run(1, 1, 1) });
    let mut row = Vec::new();
    builder.write(&mut row, STORE, 3, 1_000_000, Mark::default());
    row
}

fn due_at(micros: i64) -> Due {
    Due::At(Timestamp::from_microsecond(micros).unwrap())
}

#[test]
fn the_bytes_of_a_deadline_are_these_for_ever() {
    assert_eq!(end_with(Due::Unchanged), "00 00".replace(' ', "")); // flags, no controls
    assert_eq!(end_with(Due::Cleared), "04 00".replace(' ', ""));
    assert_eq!(end_with(due_at(1_000_000)), "01 40420f0000000000 00".replace(' ', ""));
    assert_eq!(end_with(due_at(-1)), "01 ffffffffffffffff 00".replace(' ', ""));
}

#[test]
fn a_deadline_is_read_as_it_was_written_and_every_flipped_bit_is_found() {
    for due in [Due::Unchanged, Due::Cleared, due_at(0), Due::At(Timestamp::MIN)] {
        let good = row_with(due);
        assert_eq!(OrderRow::parse(&good, STORE, 1).unwrap().runs[0].due, due);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(OrderRow::parse(&bad, STORE, 1), Err(OrderError::Digest), "bit {bit}");
        }
    }
    let late = crate::journal::bytes::as_stored(Timestamp::MAX);
    assert_eq!(OrderRow::parse(&row_with(Due::At(Timestamp::MAX)), STORE, 1).unwrap().runs[0].due, Due::At(late));
}

#[test]
fn flags_that_contradict_each_other_are_no_run_and_unknown_ones_are_newer() {
    let with = |flags: u8, due: &[u8]| {
        let mut row = row_with(Due::Unchanged);
        row.truncate(row.len() - CHECKSUM_BYTES - 2);
        row.push(flags);
        row.extend_from_slice(due);
        row.push(0);
        let digest = checksum(STORE, &[&group_key(1), &row]);
        row.extend(digest.to_le_bytes());
        OrderRow::parse(&row, STORE, 1)
    };
    let malformed = |what| Err(OrderError::Malformed(Malformed { what, flaw: Flaw::OutOfRange }));
    let newer = |number| Err(OrderError::NewerFeature { what: "a flag of a run in an order row", number });
    assert!(with(1, &[0; 8]).is_ok());
    assert!(with(4, &[]).is_ok());
    assert_eq!(with(5, &[0; 8]), malformed("a run's flags"));
    assert_eq!(with(1, &i64::MAX.to_le_bytes()), malformed("a run's deadline"));
    assert!(with(4, &[0; 8]).is_err(), "bytes that belong to nothing");
    assert!(with(1, &[0; 6]).is_err(), "a deadline that is cut off");
    for flags in [2, 3, 6, 8, 0x80, 0xff] {
        assert_eq!(with(flags, &[0; 8]), newer(flags));
    }
}

#[test]
fn a_row_is_read_as_it_was_written() {
    let (bytes, mark) = sample();
    let row = OrderRow::parse(&bytes, STORE, 7).unwrap();
    assert_eq!((row.epoch, row.base, row.time, row.before), (3, Offset(41), 1_000_000, 0x7777));
    assert_eq!((row.mark, mark.group, mark.offset), (mark, 7, Offset(43)));
    let offsets: Vec<_> = row.with_offsets().map(|(offset, run)| (offset.0, run.stream.0)).collect();
    assert_eq!(offsets, [(41, 9), (43, 3)]);
    assert_eq!(row.new_streams, [(StreamNo(9), PersistenceId::new("account", "bob"))]);
}

fn floor(to: u64, ended: bool, forgotten: bool) -> Floor {
    Floor { to: SeqNr(to), ended, forgotten }
}

/// A group without runs, in which floors rise.
fn row_of_floors(floors: &[(u64, Floor)]) -> (Vec<u8>, Mark) {
    let mut builder = OrderBuilder::default();
    for (stream, floor) in floors {
        builder.push_floor(StreamNo(*stream), *floor);
    }
    let mut row = Vec::new();
    let before = Mark { group: 6, offset: Offset(40), digest: 0x7777 };
    let mark = builder.write(&mut row, STORE, 3, 1_000_000, before);
    (row, mark)
}

#[test]
fn the_bytes_of_a_group_without_runs_and_of_its_floors_are_these_for_ever() {
    let golden = [
        "01 00",            // format, flags
        "03",               // epoch
        "29",               // base offset: 41
        "00",               // records
        "40420f0000000000", // time: 1,000,000 us
        "7777000000000000", // digest of the row before
        "00",               // aggregates
        "00",               // runs
        "03",               // controls:
        "03 03 09 07 00",   //   floor of stream 9: 7
        "03 04 ac02 00 01", //   floor of stream 300: 0, ended
        "03 03 01 02 03",   //   floor of stream 1: 2, ended and forgotten
        "6eb2975bee421575",
    ];
    let floors = [(9, floor(7, false, false)), (300, floor(0, true, false)), (1, floor(2, true, true))];
    let (bytes, mark) = row_of_floors(&floors);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, golden.concat().replace(' ', ""));

    let row = OrderRow::parse(&bytes, STORE, 7).unwrap();
    assert_eq!(row.floors, floors.map(|(stream, floor)| (StreamNo(stream), floor)));
    // It stands where the group before it ended.
    assert_eq!((row.base, row.mark, mark.group, mark.offset), (Offset(41), mark, 7, Offset(40)));
    assert_eq!(row.with_offsets().count(), 0);
}

#[test]
fn floors_that_can_not_be_are_refused_and_unknown_flags_are_newer() {
    let with = |to: u64, flags: u8| {
        let mut row = row_of_floors(&[(1, floor(2, true, true))]).0;
        row.truncate(row.len() - CHECKSUM_BYTES - 4);
        let body = [Varint::new(1).as_slice(), Varint::new(to).as_slice(), &[flags]].concat();
        push_prefixed(&mut row, &body);
        let digest = checksum(STORE, &[&group_key(7), &row]);
        row.extend(digest.to_le_bytes());
        OrderRow::parse(&row, STORE, 7)
    };
    let malformed = Err(OrderError::Malformed(Malformed { what: "a floor", flaw: Flaw::OutOfRange }));
    assert_eq!(with(5, 1).unwrap().floors, [(StreamNo(1), floor(5, true, false))]);
    assert_eq!(with(5, 2), malformed, "forgotten and not ended");
    assert_eq!(with(u64::MAX, 0), malformed);
    for flags in [4, 5, 0x80] {
        let newer = OrderError::NewerFeature { what: "a flag of a floor", number: flags };
        assert_eq!(with(5, flags), Err(newer));
    }
}

#[test]
fn a_group_without_runs_and_controls_is_none() {
    let mut row = row_of_floors(&[(1, floor(2, true, true))]).0;
    row.truncate(row.len() - CHECKSUM_BYTES - 6);
    row.push(0);
    let digest = checksum(STORE, &[&group_key(7), &row]);
    row.extend(digest.to_le_bytes());
    assert!(matches!(OrderRow::parse(&row, STORE, 7), Err(OrderError::Malformed(_))));
}

#[test]
fn a_row_of_another_group_or_store_is_refused() {
    let (bytes, _) = sample();
    assert_eq!(OrderRow::parse(&bytes, STORE, 8), Err(OrderError::Digest));
    assert_eq!(OrderRow::parse(&bytes, STORE + 1, 7), Err(OrderError::Digest));
}

#[test]
fn every_flipped_bit_is_found() {
    let (good, _) = sample();
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            assert_eq!(OrderRow::parse(&bad, STORE, 7), Err(OrderError::Digest), "byte {index}, bit {bit}");
        }
    }
}

fn dues() -> impl Strategy<Value = Due> {
    let times = (micros(Timestamp::MIN)..=micros(Timestamp::MAX)).prop_map(due_at);
    prop_oneof![Just(Due::Unchanged), Just(Due::Cleared), times]
}

proptest! {
    #[test]
    fn any_runs_are_read_as_they_were_written(
        runs in prop::collection::vec((1..u64::MAX, 1..1000_u64, 1..1000_u64, any::<u64>(), dues()), 1..20),
    ) {
        let aggregates = ["account", "lock"].map(Arc::<str>::from);
        let mut builder = OrderBuilder::default();
        let runs: Vec<_> = runs.into_iter().map(|(stream, first, records, checksum, due)| {
            OrderedRun { stream: StreamNo(stream), first: SeqNr(first), records, bytes: 300, checksum, due }
        }).collect();
        for run in &runs {
            builder.push_run(&aggregates[usize::from(run.records > 500)], run);
        }
        let mut row = Vec::new();
        builder.write(&mut row, STORE, 3, 0, Mark::default());
        prop_assert_eq!(OrderRow::parse(&row, STORE, 1).unwrap().runs, runs);
    }

    #[test]
    fn a_changed_row_with_a_right_digest_is_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        has_deadline: bool,
    ) {
        let mut bytes = if has_deadline { row_with(due_at(1_000_000)) } else { sample().0 };
        bytes.truncate(bytes.len() - CHECKSUM_BYTES);
        for (index, byte) in changes {
            let len = bytes.len();
            bytes[index.index(len)] = byte;
        }
        let digest = checksum(STORE, &[&group_key(7), &bytes]);
        bytes.extend(digest.to_le_bytes());
        if let Ok(row) = OrderRow::parse(&bytes, STORE, 7) {
            prop_assert!(row.with_offsets().count() + row.new_streams.len() + row.floors.len() > 0);
        }
    }
}
