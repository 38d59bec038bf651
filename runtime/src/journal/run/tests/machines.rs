//! Keys, outcomes, causes, transitions and what else a machine stores.

use super::*;
use crate::journal::TransitionRecord;

fn transition<'a>(from: Option<&'a str>, to: &'a str, due: Option<i64>) -> TransitionRecord<'a> {
    TransitionRecord { from, to, transient: false, due: due.map(at) }
}

/// What a machine stores, command by command.
fn writes() -> [(Write<'static>, Due, Vec<Record<'static>>); 4] {
    let unlocked = Write {
        key: Some(StoredKey::Unique(*b"sixteen bytes ..")),
        outcome: Some(StoredOutcome::Replied { codec: Codec::MessagePack, payload: b"\xc3" }),
        cause: Some(StoredCause::Command("try_unlock")),
        ..Write::at(at(1_000_000))
    };
    let elapsed = Write { cause: Some(StoredCause::Deadline { visit: SeqNr(2) }), ..Write::at(at(31_000_000)) };
    let not_accepted = Write {
        key: Some(StoredKey::Rising(300)),
        outcome: Some(StoredOutcome::NotAccepted { state: "Unlocked" }),
        cause: Some(StoredCause::Command("try_unlock")),
        ..Write::at(at(31_000_001))
    };
    let refused = Write {
        key: Some(StoredKey::Rising(301)),
        outcome: Some(StoredOutcome::Refused { codec: Codec::Json, payload: b"{}" }),
        ..Write::at(at(31_000_001))
    };
    let entered = Record::Transition(transition(Some("Locked"), "Unlocked", Some(31_000_000)));
    let passing = Record::Transition(TransitionRecord { transient: true, ..transition(None, "Locked", None) });
    [
        (unlocked, Due::At(at(31_000_000)), vec![Record::Event(event("combo_cleared", b"")), entered]),
        (elapsed, Due::Cleared, vec![Record::DeadlineConsumed { visit: SeqNr(2) }]),
        (not_accepted, Due::Unchanged, vec![Record::Receipt]),
        (refused, Due::Unchanged, vec![passing]),
    ]
}

fn machine() -> Run {
    let mut run = RunBuilder::new(StreamNo(1), PersistenceId::new("lock", "door"), SeqNr(1));
    for (write, due, records) in writes() {
        run.push_write(&write, due, records.into_iter());
    }
    run.seal_with_salt(&facts(), 5, *b"saltsalt")
}

/// How many records are read.
fn count(run: &[u8]) -> Result<u64, RunError> {
    let mut count = 0;
    RunView::parse(run, STORE)?.for_each(|_, _, _| {
        count += 1;
        Ok::<(), RunError>(())
    })?;
    Ok(count)
}

/// Says that a run reads as these writes, the first record of which has this number.
fn check(run: &[u8], first: u64, writes: &[(Write<'_>, Vec<Record<'_>>)]) {
    let records = writes.iter().flat_map(|(write, records)| records.iter().map(move |record| (*write, *record)));
    let mut expected = (first..).zip(records);
    let read = RunView::parse(run, STORE).unwrap().for_each(|seq, write, record| {
        assert_eq!(expected.next(), Some((seq.0, (*write, record))));
        Ok::<(), RunError>(())
    });
    read.unwrap();
    assert_eq!(expected.next(), None);
}

#[test]
fn the_bytes_of_a_machines_run_are_these_for_ever() {
    let golden = [
        "01 00 a201",                          // format, flags, body length: 162
        "03 05 73616c7473616c74 00 01",        // epoch, run number, salt, not encrypted, first sequence number
        "40420f0000000000",                    // base time: 1,000,000 us
        "04 05",                               // writes, records
        "06",                                  // names:
        "04 6c6f636b",                         //   0 lock
        "04 646f6f72",                         //   1 door
        "0a 7472795f756e6c6f636b",             //   2 try_unlock
        "0d 636f6d626f5f636c6561726564",       //   3 combo_cleared
        "06 4c6f636b6564",                     //   4 Locked
        "08 556e6c6f636b6564",                 //   5 Unlocked
        "2d",                                  // first write: 45 bytes
        "07 00 02",                            //   key, outcome and cause; at the base time; 2 records
        "01 7369787465656e206279746573202e2e", //   a unique key
        "01 01 01 c3",                         //   a reply, MessagePack, 1 byte
        "01 02",                               //   a command: try_unlock
        "01 04 03 01 01 00",                   //   event combo_cleared, version 1, MessagePack, no tags, no payload
        "02 0b 04 05 01 c005d90100000000",     //   transition from Locked to Unlocked, due at 31,000,000 us
        "0b",                                  // second write: 11 bytes
        "04 8087a70e 01",                      //   cause, 30 s later, 1 record
        "02 02",                               //   the deadline of the visit that began with 2
        "03 01 02",                            //   it is consumed
        "0c",                                  // third write: 12 bytes
        "07 01 01",                            //   key, outcome and cause, 1 us later, 1 record
        "02 ac02",                             //   a rising key: 300
        "03 05",                               //   not accepted in Unlocked
        "01 02",                               //   a command: try_unlock
        "04 00",                               //   receipt
        "10",                                  // fourth write: 16 bytes
        "03 00 01",                            //   key and outcome, at the same time, 1 record
        "02 ad02",                             //   a rising key: 301
        "02 02 02 7b7d",                       //   a refusal, JSON, 2 bytes
        "02 03 00 04 02",                      //   transition from nowhere into Locked, which is transient
    ];
    let golden = signed(from_hex(&golden.concat()));
    let run = machine();
    assert_eq!(hex(&run.bytes), hex(&golden));
    assert_eq!(hex(&golden[golden.len() - 8..]), "2d0677c4b5a0051c");
    assert_eq!(run.due, Due::Cleared);
    check(&golden, 1, &writes().map(|(write, _, records)| (write, records)));
}

#[test]
fn every_flipped_bit_of_a_machines_run_is_found() {
    let good = machine().bytes;
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(RunView::parse(&bad, STORE).err(), Some(RunError::Checksum), "bit {bit}");
    }
}

/// A run of one write by hand: its flags, what stands before the records, and one record.
fn one(flags: u8, before: &str, record: &str) -> Result<u64, RunError> {
    let write = format!("{flags:02x} 00 01 {before} {record}");
    count(&by_hand("01", "01", &format!("{:02x} {write}", from_hex(&write).len())))
}

#[test]
fn what_a_machine_stores_is_refused_where_it_is_malformed() {
    const RECEIPT: &str = "04 00";
    for (flags, before, record, what) in [
        (0, "", "04 01 00", "a receipt with a body"),
        (0, "", "03 00", "a consumed deadline without a visit"),
        (0, "", "03 02 01 00", "a consumed deadline and more"),
        (0, "", "02 02 00 02", "a transition without flags"),
        (0, "", "02 03 02 00 00", "a transition to nowhere"),
        (0, "", "02 03 01 02 00", "a transition from the entity's name"),
        (0, "", "02 03 02 03 00", "a transition to a name that isn't there"),
        (0, "", "02 04 02 02 00 00", "a transition and more"),
        (0, "", "02 04 02 02 01 00", "a deadline that is cut off"),
        (0, "", "02 0b 02 02 01 ffffffffffffff7f", "a deadline beyond all time"),
        (1, "01 00", RECEIPT, "a key that is cut off"),
        (1, "02 8000", RECEIPT, "a number in an overlong form"),
        (2, "01 01 7f", RECEIPT, "a reply that is cut off"),
        (2, "03 00", RECEIPT, "not accepted in the aggregate's name"),
        (2, "03 03", RECEIPT, "not accepted in a name that isn't there"),
        (4, "01 01", RECEIPT, "a command with the entity's name"),
        (4, "02", "", "a deadline without a visit"),
    ] {
        let found = one(flags, before, record);
        assert!(matches!(found, Err(RunError::Malformed(_))), "{what}: {found:?}");
    }
}

#[test]
fn what_a_newer_version_stores_for_a_machine_is_told_from_damage() {
    const RECEIPT: &str = "04 00";
    for (flags, before, record, what, number) in [
        (0, "", "02 03 00 02 04", "a flag of a transition", 4),
        (1, "03 00", RECEIPT, "a kind of key", 3),
        (2, "04 00", RECEIPT, "a kind of outcome", 4),
        (2, "01 07 00", RECEIPT, "a codec", 7),
        (4, "03 00", RECEIPT, "a kind of cause", 3),
        (0x10, "", RECEIPT, "a flag of a write", 0x10),
    ] {
        assert_eq!(one(flags, before, record), Err(RunError::NewerFeature { what, number }));
    }
}

#[test]
#[should_panic(expected = "the records make of the deadline what the write says")]
fn a_write_that_says_something_else_of_its_deadline_than_its_records_is_a_bug() {
    let mut run = RunBuilder::new(StreamNo(1), PersistenceId::new("a", "b"), SeqNr(1));
    let record = Record::Transition(transition(None, "Open", Some(7)));
    run.push_write(&Write::at(at(0)), Due::Cleared, [record].into_iter());
}

#[test]
fn the_last_record_about_the_deadline_decides() {
    let armed = Record::Transition(transition(None, "Open", Some(7)));
    let shut = Record::Transition(transition(None, "Shut", None));
    let passing = Record::Transition(TransitionRecord { transient: true, ..transition(None, "Open", Some(7)) });
    let consumed = Record::DeadlineConsumed { visit: SeqNr(1) };
    let happened = Record::Event(event("e", b""));
    let (due, cleared, unchanged) = (Due::At(at(7)), Due::Cleared, Due::Unchanged);
    let agree = |due: Due, records: &[Record<'_>]| {
        let mut run = RunBuilder::new(StreamNo(1), PersistenceId::new("a", "b"), SeqNr(1));
        let push = std::panic::AssertUnwindSafe(|| run.push_write(&Write::at(at(0)), due, records.iter().copied()));
        std::panic::catch_unwind(push).is_ok()
    };
    for (records, right) in [
        (&[happened, armed][..], &[due][..]),
        (&[armed, happened, Record::Receipt], &[due]),
        (&[armed, shut], &[cleared]),
        (&[shut, armed], &[due]),
        (&[passing], &[unchanged]),
        (&[consumed], &[unchanged, cleared]),
        (&[happened, Record::Receipt], &[unchanged]),
    ] {
        for of in [due, cleared, unchanged, Due::At(at(8))] {
            assert_eq!(agree(of, records), right.contains(&of), "{of:?} {records:?}");
        }
    }
}

/// A record, and what a write that ends with it makes of the deadline.
fn records() -> impl Strategy<Value = OwnedRecord> {
    let times = micros(Timestamp::MIN)..=micros(Timestamp::MAX);
    prop_oneof![
        (".{0,12}", any::<u32>(), prop::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(name, version, payload)| OwnedRecord::Event { name, version, payload }),
        (prop::option::of(".{0,12}"), ".{0,12}", any::<bool>(), prop::option::of(times))
            .prop_map(|(from, to, transient, due)| OwnedRecord::Transition { from, to, transient, due }),
        any::<u64>().prop_map(OwnedRecord::Consumed),
        Just(OwnedRecord::Receipt),
    ]
}

#[derive(Debug, Clone)]
enum OwnedRecord {
    Event { name: String, version: u32, payload: Vec<u8> },
    Transition { from: Option<String>, to: String, transient: bool, due: Option<i64> },
    Consumed(u64),
    Receipt,
}

impl OwnedRecord {
    fn get(&self) -> Record<'_> {
        match self {
            Self::Event { name, version, payload } => {
                Record::Event(EventRecord { name, version: *version, codec: Codec::Json, payload })
            }
            Self::Transition { from, to, transient, due } => {
                Record::Transition(TransitionRecord { transient: *transient, ..transition(from.as_deref(), to, *due) })
            }
            Self::Consumed(visit) => Record::DeadlineConsumed { visit: SeqNr(*visit) },
            Self::Receipt => Record::Receipt,
        }
    }

    fn due(&self) -> Due {
        match self {
            Self::Transition { transient: false, due, .. } => due.map_or(Due::Cleared, |due| Due::At(at(due))),
            Self::Consumed(_) => Due::Cleared,
            _ => Due::Unchanged,
        }
    }
}

/// What stands before the records of a write.
#[derive(Debug, Clone)]
struct OwnedHeader {
    micros: i64,
    key: Option<StoredKey>,
    /// Its kind, its payload and its state.
    outcome: Option<(u8, Vec<u8>, String)>,
    /// A command, or a visit.
    cause: Option<Result<String, u64>>,
}

impl OwnedHeader {
    fn get(&self) -> Write<'_> {
        let outcome = self.outcome.as_ref().map(|(kind, payload, state)| match kind {
            0 => StoredOutcome::Replied { codec: Codec::Json, payload },
            1 => StoredOutcome::Refused { codec: Codec::MessagePack, payload },
            _ => StoredOutcome::NotAccepted { state },
        });
        let cause = self.cause.as_ref().map(|cause| match cause {
            Ok(name) => StoredCause::Command(name),
            Err(visit) => StoredCause::Deadline { visit: SeqNr(*visit) },
        });
        Write { time: at(self.micros), key: self.key, outcome, cause }
    }
}

fn headers() -> impl Strategy<Value = OwnedHeader> {
    let key = prop_oneof![
        any::<[u8; 16]>().prop_map(StoredKey::Unique),
        any::<u64>().prop_map(StoredKey::Rising),
        Just(StoredKey::Rising(u64::MAX)),
    ];
    let outcome = (0..3_u8, prop::collection::vec(any::<u8>(), 0..200), ".{0,12}");
    let cause = prop_oneof![".{0,12}".prop_map(Ok), any::<u64>().prop_map(Err), Just(Err(u64::MAX))];
    let times = prop_oneof![Just(0), -377_705_023_201_000_000..253_402_207_200_000_000_i64];
    (times, prop::option::of(key), prop::option::of(outcome), prop::option::of(cause))
        .prop_map(|(micros, key, outcome, cause)| OwnedHeader { micros, key, outcome, cause })
}

proptest! {
    #[test]
    fn what_a_machine_pushes_is_read_again(
        writes in prop::collection::vec((headers(), prop::collection::vec(records(), 1..4)), 1..8),
        first in prop_oneof![Just(1), 1..u64::MAX / 2],
    ) {
        let mut run = RunBuilder::new(StreamNo(1), PersistenceId::new("a", "b"), SeqNr(first));
        let mut expected = Vec::new();
        let mut expected_due = Due::Unchanged;
        let mut latest = i64::MIN;
        for (header, records) in &writes {
            latest = latest.max(header.micros);
            let write = header.get();
            let due = records.iter().fold(Due::Unchanged, |due, record| match record.get() {
                // The last that says something decides, also if it says that nothing changes.
                Record::Event(_) | Record::Receipt => due,
                _ => record.due(),
            });
            let before = run.bytes();
            let at_most = RunBuilder::write_bytes_at_most(&write, records.iter().map(OwnedRecord::get));
            run.push_write(&write, due, records.iter().map(OwnedRecord::get));
            prop_assert!(run.bytes() - before <= at_most, "{} of {at_most} for {header:?} {records:?}", run.bytes() - before);
            expected_due = expected_due.then(due);
            let write = Write { time: at(latest), ..write };
            expected.push((write, records.iter().map(OwnedRecord::get).collect::<Vec<_>>()));
        }
        let at_most = run.bytes();
        let run = run.seal(&facts(), 1);
        prop_assert!(run.bytes.len() <= at_most);
        prop_assert_eq!(run.due, expected_due);
        prop_assert!(run.check(&facts()).is_ok());
        check(&run.bytes, first, &expected);
    }

    #[test]
    fn a_changed_run_of_a_machine_with_a_right_checksum_is_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = machine().bytes;
        bytes.truncate(bytes.len() - 8);
        for (index, byte) in changes {
            let len = bytes.len();
            bytes[index.index(len)] = byte;
        }
        let _result = count(&signed(bytes));
    }
}
