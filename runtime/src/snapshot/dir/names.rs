//! The names of files and directories.
//!
//! | what | name |
//! |---|---|
//! | snapshot | the directories of its aggregate, those of its entity id, then sequence number, `@`, time in us, `.snapshot` |
//! | directory of a short name | `_`, then the name's UTF-8: `a` to `z`, `0` to `9`, `_` and `-` as they are, each other byte as `%` and two digits |
//! | directories of a name that would be longer than 120 so | the name's UTF-8 in base 32 (`0` to `v`, the highest bits first), cut into pieces of 120, one below the other: `0` before each, `1` before the last |
//! | snapshot that is being written | `tmp`, then `snapshot-`, the process, `-`, a number, `.tmp` |
//!
//! So no name leaves its directory, is reserved by a system, begins with a dot, or is that of another one, also where
//! capital letters count as small ones or where the spellings of an accent are one.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::id::{PersistenceId, SeqNr};
use crate::journal::bytes::micros;

/// Where snapshots are written before they are moved to their place.
pub(super) const TEMPORARY: &str = "tmp";
/// No part of a path is longer than this and one more, in bytes.
const PIECE_BYTES: usize = 120;

/// The directories in which the snapshots of an entity are, one below the other.
pub(super) fn directories(id: &PersistenceId) -> Vec<String> {
    let mut names = of(&id.aggregate);
    names.append(&mut of(id.entity.as_str()));
    names
}

/// The directories of an aggregate or of an entity in it. They are those of no other one, nor the first of those of
/// another one.
pub(super) fn of(name: &str) -> Vec<String> {
    let mut short = String::from("_");
    for &byte in name.as_bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => short.push(char::from(byte)),
            other => {
                // A string takes everything.
                let _result = write!(short, "%{other:02x}");
            }
        }
        if short.len() > PIECE_BYTES + 1 {
            return pieces(&base32(name.as_bytes()));
        }
    }
    vec![short]
}

fn pieces(mut rest: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    while let Some((piece, behind)) = rest.split_at_checked(PIECE_BYTES).filter(|(_, behind)| !behind.is_empty()) {
        pieces.push(format!("0{piece}"));
        rest = behind;
    }
    pieces.push(format!("1{rest}"));
    pieces
}

fn base32(bytes: &[u8]) -> String {
    const DIGITS: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";
    bytes
        .chunks(5)
        .flat_map(|chunk| {
            let mut five = [0; 5];
            five[..chunk.len()].copy_from_slice(chunk);
            let [a, b, c, d, e] = five;
            let number = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
            let digits = (chunk.len() * 8).div_ceil(5);
            (0..digits).map(move |digit| {
                let index = usize::try_from(number >> (35 - 5 * digit) & 31).unwrap_or_default();
                char::from(DIGITS[index])
            })
        })
        .collect()
}

/// The name of a snapshot's file.
pub(super) fn file(seq_nr: SeqNr, time: Timestamp) -> String {
    format!("{seq_nr}@{}.snapshot", micros(time))
}

/// What the name of a snapshot's file says; `None` if it is something else.
pub(super) fn parse_file(name: &str) -> Option<(SeqNr, Timestamp)> {
    let (seq_nr, time) = name.strip_suffix(".snapshot")?.split_once('@')?;
    let seq_nr = SeqNr(seq_nr.parse().ok()?);
    let time = Timestamp::from_microsecond(time.parse().ok()?).ok()?;
    (file(seq_nr, time) == name).then_some((seq_nr, time))
}

/// The name of a snapshot that this process writes.
pub(super) fn temporary(number: u64) -> String {
    format!("snapshot-{}-{number}.tmp", std::process::id())
}

/// Whether a snapshot that is being written may have this name.
pub(super) fn is_temporary(name: &str) -> bool {
    let numbers = name.strip_prefix("snapshot-").and_then(|rest| rest.strip_suffix(".tmp"));
    let numbers = numbers.and_then(|numbers| numbers.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(process, number)| is_number(process) && is_number(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_names_are_these_for_ever() {
        assert_eq!(of("alice-2_x"), ["_alice-2_x"]);
        assert_eq!(of(""), ["_"]);
        assert_eq!(of("."), ["_%2e"]);
        assert_eq!(of(".."), ["_%2e%2e"]);
        assert_eq!(of("%2e"), ["_%252e"]);
        assert_eq!(of("a/../../etc"), ["_a%2f%2e%2e%2f%2e%2e%2fetc"]);
        assert_eq!(of("a\\b\0\n:*"), ["_a%5cb%00%0a%3a%2a"]);
        assert_eq!(of("CON"), ["_%43%4f%4e"]);
        assert_eq!(of("con"), ["_con"]);
        assert_eq!(of("é"), ["_%c3%a9"]);
        assert_eq!(of("e\u{301}"), ["_e%cc%81"]);
        assert_eq!(of(&"a".repeat(120)), [format!("_{}", "a".repeat(120))]);
        assert_eq!(
            of(&"a".repeat(121)),
            [format!("0{}", "c5gm2ob1".repeat(15)), format!("1{}c4", "c5gm2ob1".repeat(9))]
        );
        assert_eq!(of(&"é".repeat(21)), [format!("1{}oekg", "oeks7ae3l71qjgt9".repeat(4))]);

        let time = Timestamp::from_microsecond(-5).unwrap();
        assert_eq!(file(SeqNr(42), time), "42@-5.snapshot");
    }

    #[test]
    fn a_piece_that_ends_with_the_name_is_the_last() {
        // 75 bytes of base 32 are 120 digits.
        let name = "é".repeat(37) + "a";
        let names = of(&name);
        assert_eq!((name.len(), names.len(), names[0].len()), (75, 1, 121));
        assert!(names[0].starts_with('1'));
    }

    #[test]
    fn only_names_of_snapshots_are_read() {
        let read = |name| parse_file(name).map(|(seq_nr, time)| (seq_nr.0, time.as_microsecond()));
        assert_eq!(read("42@-5.snapshot"), Some((42, -5)));
        assert_eq!(read("0@0.snapshot"), Some((0, 0)));
        let others = [
            "",
            "42",
            "42.snapshot",
            "@.snapshot",
            "042@5.snapshot",
            "+42@5.snapshot",
            "42@5.snapshot.tmp",
            "42@5.snapshot~",
            "42@+5.snapshot",
            "42@-0.snapshot",
            "-1@5.snapshot",
            "42@9223372036854775807.snapshot",
            "18446744073709551616@5.snapshot",
            ".42@5.snapshot",
            "42@5.SNAPSHOT",
        ];
        for other in others {
            assert_eq!(read(other), None, "{other}");
        }
        assert!(is_temporary(&temporary(7)));
        for other in ["snapshot-.tmp", "snapshot-1.tmp", "snapshot--1.tmp", "snapshot-1-a.tmp", "snapshot-1-2", "x.tmp"]
        {
            assert!(!is_temporary(other), "{other}");
        }
    }

    fn any_name() -> impl Strategy<Value = String> {
        prop_oneof![".{0,4}", "[aAbB.%/]{0,5}", ".{0,200}", "[a-c]{118,125}", "[a-b]{300,400}"]
    }

    /// How a system might take names that it doesn't tell apart.
    fn folded(names: &[String]) -> Vec<String> {
        names.iter().map(|name| name.to_lowercase()).collect()
    }

    proptest! {
        #[test]
        fn any_name_is_a_harmless_path(name in any_name()) {
            for part in of(&name) {
                prop_assert!(part.len() <= PIECE_BYTES + 1);
                prop_assert!(part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'%')));
                prop_assert!(part.starts_with(['_', '0', '1']));
                prop_assert!(part != TEMPORARY);
            }
        }

        #[test]
        fn no_two_entities_share_a_directory_nor_lies_one_in_another(
            one in (any_name(), any_name()),
            other in (any_name(), any_name()),
        ) {
            prop_assume!(one != other);
            let [one, other] = [one, other].map(|(aggregate, entity)| {
                folded(&directories(&PersistenceId::new(aggregate, entity)))
            });
            prop_assert!(!one.starts_with(&other) && !other.starts_with(&one), "{:?} {:?}", one, other);
        }

        #[test]
        fn any_file_name_is_read_again(seq_nr: u64, seconds in -377_705_000_000_i64..253_402_200_000) {
            let time = Timestamp::from_second(seconds).unwrap();
            prop_assert_eq!(parse_file(&file(SeqNr(seq_nr), time)), Some((SeqNr(seq_nr), time)));
        }
    }
}
