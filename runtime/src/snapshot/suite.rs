//! What every store of snapshots must do: each test runs against all of them.

use std::collections::BTreeMap;
#[cfg(feature = "fjall")]
use std::sync::Arc;
use std::sync::Barrier;

use jiff::Timestamp;
use proptest::prelude::*;

use super::{
    Criteria, DirSnapshots, MemorySnapshots, SNAPSHOT_BYTES_MAX, SnapshotMeta, SnapshotStore, SnapshotStoreError,
    StoredSnapshot,
};
use crate::id::{PersistenceId, SeqNr};
use crate::journal::Durability;
use crate::journal::oneshot::block_on;
#[cfg(feature = "fjall")]
use crate::journal::{FjallJournal, FjallOptions, Journal};

/// A store that can be closed and opened again.
trait Place {
    fn store(&self) -> &dyn SnapshotStore;
    fn reopen(self) -> Self;
}

struct Memory(MemorySnapshots);

impl Place for Memory {
    fn store(&self) -> &dyn SnapshotStore {
        &self.0
    }

    fn reopen(self) -> Self {
        Self(self.0.clone())
    }
}

struct Files {
    store: DirSnapshots,
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: DirSnapshots::open(dir.path()).unwrap(), dir }
    }
}

impl Place for Files {
    fn store(&self) -> &dyn SnapshotStore {
        &self.store
    }

    fn reopen(self) -> Self {
        let Self { store, dir } = self;
        drop(store);
        Self { store: DirSnapshots::open(dir.path()).unwrap(), dir }
    }
}

#[cfg(feature = "fjall")]
struct BesideJournal {
    journal: FjallJournal,
    store: Arc<dyn SnapshotStore>,
    dir: tempfile::TempDir,
}

#[cfg(feature = "fjall")]
impl BesideJournal {
    fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap())
    }

    fn open(dir: tempfile::TempDir) -> Self {
        let journal = FjallJournal::open(dir.path().join("journal"), FjallOptions::new()).unwrap();
        let store = journal.snapshots().unwrap();
        Self { journal, store, dir }
    }
}

#[cfg(feature = "fjall")]
impl Place for BesideJournal {
    fn store(&self) -> &dyn SnapshotStore {
        &*self.store
    }

    fn reopen(self) -> Self {
        let Self { journal, store, dir } = self;
        drop(journal);
        let this = Self::open(dir);
        // The one before is still there, and holds nothing.
        drop(store);
        this
    }
}

macro_rules! every_store {
    ($($name:ident)*) => {
        mod memory {
            $(#[test] fn $name() { super::$name(super::Memory(super::MemorySnapshots::new())); })*
        }
        mod files {
            $(#[test] fn $name() { super::$name(super::Files::new()); })*
        }
        #[cfg(feature = "fjall")]
        mod beside_journal {
            $(#[test] fn $name() { super::$name(super::BesideJournal::new()); })*
        }
    };
}

every_store! {
    what_is_saved_is_loaded_also_after_reopening
    a_snapshot_takes_the_place_of_one_with_its_number
    criteria_choose_the_highest_that_they_allow
    they_are_listed_the_highest_first
    one_is_deleted_and_the_others_stay
    those_that_match_are_deleted_and_counted
    what_is_not_there_is_none_and_deleting_it_is_harmless
    odd_ids_are_entities_of_their_own
    an_id_that_names_no_entity_is_refused
    limits_hold_to_the_byte
    a_big_snapshot_survives
    many_snapshots_survive
    saves_at_once_are_all_there
    readers_see_the_old_one_or_the_new_one
    any_changes_leave_what_a_map_would_have
    times_are_kept_in_whole_microseconds
    what_is_not_polled_does_nothing
}

fn id(entity: &str) -> PersistenceId {
    PersistenceId::new("account", entity)
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

fn snapshot(seq_nr: u64, micros: i64, bytes: &[u8]) -> StoredSnapshot {
    StoredSnapshot { seq_nr: SeqNr(seq_nr), time: at(micros), bytes: bytes.to_vec() }
}

fn save(store: &dyn SnapshotStore, id: &PersistenceId, snapshot: &StoredSnapshot) {
    block_on(store.save(id, snapshot.clone())).unwrap();
}

fn load(store: &dyn SnapshotStore, id: &PersistenceId, criteria: Criteria) -> Option<StoredSnapshot> {
    block_on(store.load(id, criteria)).unwrap()
}

fn latest(store: &dyn SnapshotStore, id: &PersistenceId) -> Option<StoredSnapshot> {
    load(store, id, Criteria::LATEST)
}

fn list(store: &dyn SnapshotStore, id: &PersistenceId) -> Vec<SnapshotMeta> {
    block_on(store.list(id)).unwrap()
}

fn numbers(store: &dyn SnapshotStore, id: &PersistenceId) -> Vec<u64> {
    list(store, id).iter().map(|meta| meta.seq_nr.0).collect()
}

fn what_is_saved_is_loaded_also_after_reopening(place: impl Place) {
    let saved = snapshot(7, -5, b"content");
    save(place.store(), &id("ann"), &saved);
    assert_eq!(latest(place.store(), &id("ann")), Some(saved.clone()));
    let place = place.reopen();
    assert_eq!(latest(place.store(), &id("ann")), Some(saved.clone()));
    assert_eq!(list(place.store(), &id("ann")), [saved.meta()]);
    let place = place.reopen();
    let empty = snapshot(u64::MAX, 3, b"");
    save(place.store(), &id("ann"), &empty);
    assert_eq!(latest(place.reopen().store(), &id("ann")), Some(empty));
}

fn a_snapshot_takes_the_place_of_one_with_its_number(place: impl Place) {
    let store = place.store();
    for saved in [snapshot(7, 10, b"old"), snapshot(7, 10, b"newer"), snapshot(7, 5, b"earlier"), snapshot(7, 20, b"x")]
    {
        save(store, &id("ann"), &saved);
        assert_eq!(latest(store, &id("ann")), Some(saved.clone()));
        assert_eq!(list(store, &id("ann")), [saved.meta()]);
    }
    assert_eq!(load(store, &id("ann"), Criteria::LATEST.to_time(at(10))), None);
    let place = place.reopen();
    assert_eq!(list(place.store(), &id("ann")), [snapshot(7, 20, b"x").meta()]);
}

fn criteria_choose_the_highest_that_they_allow(place: impl Place) {
    let store = place.store();
    for (seq_nr, micros) in [(10, 100), (30, 300), (20, 200)] {
        save(store, &id("ann"), &snapshot(seq_nr, micros, &seq_nr.to_le_bytes()));
    }
    let loaded = |criteria| {
        let loaded = load(store, &id("ann"), criteria)?;
        assert_eq!(loaded.bytes, loaded.seq_nr.0.to_le_bytes());
        Some(loaded.seq_nr.0)
    };
    let all = Criteria::LATEST;
    assert_eq!(loaded(all), Some(30));
    assert_eq!(loaded(all.to_seq(SeqNr(30))), Some(30));
    assert_eq!(loaded(all.to_seq(SeqNr(29))), Some(20));
    assert_eq!(loaded(all.to_seq(SeqNr(10))), Some(10));
    assert_eq!(loaded(all.to_seq(SeqNr(9))), None);
    assert_eq!(loaded(all.to_time(at(300))), Some(30));
    assert_eq!(loaded(all.to_time(at(299))), Some(20));
    assert_eq!(loaded(all.to_time(at(99))), None);
    assert_eq!(loaded(all.to_time(at(299)).to_seq(SeqNr(19))), Some(10));
    assert_eq!(loaded(all.to_time(at(100)).to_seq(SeqNr(30))), Some(10));
}

fn they_are_listed_the_highest_first(place: impl Place) {
    // In this order a number as text, or with its low byte first, would stand elsewhere.
    let mut numbers = [9, 10, 256, 2, u64::MAX, 300, 1, 0];
    for seq_nr in numbers {
        save(place.store(), &id("ann"), &snapshot(seq_nr, 1, b"x"));
    }
    numbers.sort_by_key(|seq_nr| std::cmp::Reverse(*seq_nr));
    let place = place.reopen();
    let expected = numbers.map(|seq_nr| snapshot(seq_nr, 1, b"x").meta());
    assert_eq!(list(place.store(), &id("ann")), expected);
}

fn one_is_deleted_and_the_others_stay(place: impl Place) {
    for seq_nr in 1..=3 {
        save(place.store(), &id("ann"), &snapshot(seq_nr, 1, b"x"));
        save(place.store(), &id("bob"), &snapshot(seq_nr, 1, b"x"));
    }
    block_on(place.store().delete(&id("ann"), SeqNr(2))).unwrap();
    let place = place.reopen();
    assert_eq!(numbers(place.store(), &id("ann")), [3, 1]);
    assert_eq!(numbers(place.store(), &id("bob")), [3, 2, 1]);
    block_on(place.store().delete(&id("ann"), SeqNr(3))).unwrap();
    block_on(place.store().delete(&id("ann"), SeqNr(1))).unwrap();
    let place = place.reopen();
    assert_eq!(latest(place.store(), &id("ann")), None);
    save(place.store(), &id("ann"), &snapshot(2, 1, b"again"));
    assert_eq!(latest(place.store(), &id("ann")), Some(snapshot(2, 1, b"again")));
}

fn those_that_match_are_deleted_and_counted(place: impl Place) {
    let store = place.store();
    for (seq_nr, micros) in [(10, 100), (20, 200), (30, 300), (40, 400)] {
        save(store, &id("ann"), &snapshot(seq_nr, micros, b"x"));
        save(store, &id("bob"), &snapshot(seq_nr, micros, b"x"));
    }
    let delete = |criteria| block_on(store.delete_matching(&id("ann"), criteria)).unwrap();
    assert_eq!(delete(Criteria::LATEST.to_seq(SeqNr(9))), 0);
    assert_eq!(delete(Criteria::LATEST.to_seq(SeqNr(20)).to_time(at(199))), 1);
    assert_eq!(numbers(store, &id("ann")), [40, 30, 20]);
    assert_eq!(delete(Criteria::LATEST.to_seq(SeqNr(30))), 2);
    assert_eq!(delete(Criteria::LATEST), 1);
    assert_eq!(delete(Criteria::LATEST), 0);
    let place = place.reopen();
    assert_eq!(numbers(place.store(), &id("ann")), [0; 0]);
    assert_eq!(numbers(place.store(), &id("bob")), [40, 30, 20, 10]);
}

fn what_is_not_there_is_none_and_deleting_it_is_harmless(place: impl Place) {
    let store = place.store();
    for entity in ["ann", "bob"] {
        assert_eq!(latest(store, &id(entity)), None);
        assert_eq!(list(store, &id(entity)), []);
        assert_eq!(block_on(store.delete(&id(entity), SeqNr(1))), Ok(()));
        assert_eq!(block_on(store.delete_matching(&id(entity), Criteria::LATEST)), Ok(0));
        save(store, &id("bob"), &snapshot(5, 1, b"x"));
        assert_eq!(block_on(store.delete(&id("bob"), SeqNr(4))), Ok(()));
        block_on(store.delete(&id("bob"), SeqNr(5))).unwrap();
    }
}

/// Ids that somebody may take for a path, for another id, or for nothing.
pub(super) fn odd_ids() -> Vec<String> {
    let odd = [
        ".",
        "..",
        "...",
        "a",
        "A",
        "ab",
        "aB",
        "abc",
        "b",
        "/",
        "a/",
        "a/b",
        "a//b",
        "a/../../etc",
        "/etc/passwd",
        "\\",
        "a\\b",
        "C:\\x",
        "\0",
        "a\0",
        "a\0b",
        "\n",
        "a\nb",
        "%",
        "%2e",
        "%2E",
        "%61",
        "_",
        "_a",
        "-",
        "-rf",
        "~",
        "*",
        "?",
        "CON",
        "con",
        "con.txt",
        "nul",
        "aux",
        "com1",
        "LPT1",
        " ",
        "a ",
        "a.",
        ".a",
        ".hidden",
        "é",
        "e\u{301}",
        "🦀",
        "\u{202e}abc",
        "ß",
        "SS",
        "ss",
        "ı",
        "i",
        "I",
        "ﬁ",
        "fi",
        "tmp",
        "1",
        "0",
        "00",
        "1@1.snapshot",
        "'; DROP",
        "account",
        "a\u{1f}b",
        "\u{7f}",
        "\u{feff}a",
        "٣",
    ];
    let long = ["a".repeat(512), "a".repeat(511), "A".repeat(512), "/".repeat(512), "é".repeat(256), "🦀".repeat(128)];
    let borders = (118..=122).map(|len| "a".repeat(len));
    odd.into_iter().map(String::from).chain(long).chain(borders).collect()
}

fn odd_ids_are_entities_of_their_own(place: impl Place) {
    let ids = odd_ids();
    let aggregates = ["a", "ab", "A", "..", "account", "é", "a/b", "CON"].map(String::from);
    let aggregates: Vec<_> = aggregates.into_iter().chain(["x".repeat(255), "/".repeat(255)]).collect();
    let all = || {
        let of = |aggregate: &String| ids.iter().map(|entity| PersistenceId::new(aggregate.as_str(), entity)).collect();
        let all: Vec<Vec<PersistenceId>> = aggregates.iter().map(of).collect();
        // All ids in one aggregate, and a few in each of the others.
        let few = all.iter().skip(1).flat_map(|of_one| of_one.iter().step_by(7));
        all[0].iter().chain(few).cloned().enumerate().collect::<Vec<_>>()
    };
    for (index, id) in all() {
        assert_eq!(latest(place.store(), &id), None, "{id}");
        save(place.store(), &id, &snapshot(1, 1, format!("{index}").as_bytes()));
    }
    let place = place.reopen();
    for (index, id) in all() {
        assert_eq!(latest(place.store(), &id), Some(snapshot(1, 1, format!("{index}").as_bytes())), "{id}");
        assert_eq!(block_on(place.store().delete_matching(&id, Criteria::LATEST)), Ok(1), "{id}");
        assert_eq!(latest(place.store(), &id), None, "{id}");
    }
}

fn an_id_that_names_no_entity_is_refused(place: impl Place) {
    let store = place.store();
    let too_long = "x".repeat(256);
    for id in [id(""), id(&"a".repeat(513)), PersistenceId::new("", "a"), PersistenceId::new(too_long, "a")] {
        let errors = [
            block_on(store.save(&id, snapshot(1, 1, b"x"))).unwrap_err(),
            block_on(store.load(&id, Criteria::LATEST)).unwrap_err(),
            block_on(store.list(&id)).unwrap_err(),
            block_on(store.delete(&id, SeqNr(1))).unwrap_err(),
            block_on(store.delete_matching(&id, Criteria::LATEST)).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, SnapshotStoreError::InvalidId { .. }), "{error}");
        }
    }
}

fn limits_hold_to_the_byte(place: impl Place) {
    let store = place.store();
    let of_length = |bytes| StoredSnapshot { seq_nr: SeqNr(3), time: at(1), bytes: vec![7; bytes] };
    let error = block_on(store.save(&id("ann"), of_length(SNAPSHOT_BYTES_MAX + 1))).unwrap_err();
    let (bytes, limit) = (SNAPSHOT_BYTES_MAX + 1, SNAPSHOT_BYTES_MAX);
    assert_eq!(error, SnapshotStoreError::TooLarge { id: id("ann"), seq_nr: SeqNr(3), bytes, limit });
    assert_eq!(latest(store, &id("ann")), None);
    block_on(store.save(&id("ann"), of_length(SNAPSHOT_BYTES_MAX))).unwrap();
    assert_eq!(list(store, &id("ann")), [of_length(SNAPSHOT_BYTES_MAX).meta()]);
    assert!(latest(store, &id("ann")) == Some(of_length(SNAPSHOT_BYTES_MAX)));
}

fn a_big_snapshot_survives(place: impl Place) {
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes()[3]).collect();
    for seq_nr in 1..=3 {
        save(place.store(), &id("ann"), &snapshot(seq_nr, 1, &bytes));
    }
    let place = place.reopen();
    assert!(latest(place.store(), &id("ann")) == Some(snapshot(3, 1, &bytes)));
    assert_eq!(numbers(place.store(), &id("ann")), [3, 2, 1]);
}

fn many_snapshots_survive(place: impl Place) {
    for entity in ["ann", "bob"] {
        for seq_nr in 1..=100 {
            save(place.store(), &id(entity), &snapshot(seq_nr, 1, entity.as_bytes()));
        }
    }
    let place = place.reopen();
    let store = place.store();
    assert_eq!(numbers(store, &id("ann")), (1..=100).rev().collect::<Vec<_>>());
    let keep_two = Criteria::LATEST.to_seq(SeqNr(98));
    assert_eq!(block_on(store.delete_matching(&id("ann"), keep_two)), Ok(98));
    assert_eq!(numbers(store, &id("ann")), [100, 99]);
    assert_eq!(numbers(store, &id("bob")).len(), 100);
}

fn saves_at_once_are_all_there(place: impl Place) {
    const THREADS: u64 = 4;
    let store = place.store();
    let begin = Barrier::new(4);
    std::thread::scope(|scope| {
        for thread in 1..=THREADS {
            let begin = &begin;
            scope.spawn(move || {
                begin.wait();
                for round in 0..20 {
                    // One entity for all, and one that comes and goes.
                    save(store, &id("ann"), &snapshot(round * THREADS + thread, 1, &thread.to_le_bytes()));
                    save(store, &id("bob"), &snapshot(thread, 1, &thread.to_le_bytes()));
                    block_on(store.delete(&id("bob"), SeqNr(thread))).unwrap();
                }
            });
        }
    });
    assert_eq!(numbers(store, &id("ann")), (1..=20 * THREADS).rev().collect::<Vec<_>>());
    assert_eq!(numbers(store, &id("bob")), [0; 0]);
}

fn readers_see_the_old_one_or_the_new_one(place: impl Place) {
    let store = place.store();
    let content = |round: u8| vec![round; 100_000];
    save(store, &id("ann"), &snapshot(5, 1, &content(0)));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=30 {
                save(store, &id("ann"), &snapshot(5, 1, &content(round)));
            }
        });
        for _ in 0..100 {
            let seen = latest(store, &id("ann")).expect("one is always there").bytes;
            assert!(seen == content(seen[0]));
        }
    });
}

fn times_are_kept_in_whole_microseconds(place: impl Place) {
    let store = place.store();
    let time = Timestamp::from_nanosecond(1_999).unwrap();
    save(store, &id("ann"), &StoredSnapshot { time, ..snapshot(1, 0, b"x") });
    assert_eq!(latest(store, &id("ann")), Some(snapshot(1, 1, b"x")));
    for time in [Timestamp::MIN, Timestamp::MAX] {
        save(store, &id("ann"), &StoredSnapshot { time, ..snapshot(1, 0, b"x") });
        let stored = crate::journal::as_stored(time);
        assert_eq!(latest(store, &id("ann")).map(|snapshot| snapshot.time), Some(stored));
    }
}

fn what_is_not_polled_does_nothing(place: impl Place) {
    let store = place.store();
    drop(store.save(&id("ann"), snapshot(1, 1, b"x")));
    assert_eq!(list(store, &id("ann")), []);
    save(store, &id("ann"), &snapshot(1, 1, b"x"));
    drop(store.delete(&id("ann"), SeqNr(1)));
    drop(store.delete_matching(&id("ann"), Criteria::LATEST));
    assert_eq!(numbers(store, &id("ann")), [1]);
}

#[derive(Debug, Clone)]
enum Change {
    Save(StoredSnapshot),
    Delete(SeqNr),
    DeleteMatching(Criteria),
    Load(Criteria),
}

fn any_criteria() -> impl Strategy<Value = Criteria> {
    (prop::option::of(0..8_u64), prop::option::of(0..8_i64)).prop_map(|(seq_nr, time)| {
        let by_seq = seq_nr.map_or(Criteria::LATEST, |seq_nr| Criteria::LATEST.to_seq(SeqNr(seq_nr)));
        time.map_or(by_seq, |time| by_seq.to_time(at(time)))
    })
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (1..7_u64, 0..7_i64, any::<u8>())
            .prop_map(|(seq_nr, time, byte)| Change::Save(snapshot(seq_nr, time, &[byte]))),
        1 => (0..8_u64).prop_map(|seq_nr| Change::Delete(SeqNr(seq_nr))),
        1 => any_criteria().prop_map(Change::DeleteMatching),
        2 => any_criteria().prop_map(Change::Load),
    ]
}

fn any_changes_leave_what_a_map_would_have(place: impl Place) {
    let store = place.store();
    let strategy = (prop::collection::vec((0..3_usize, any_change()), 1..30), "\\PC{1,8}");
    proptest!(ProptestConfig { cases: 24, ..ProptestConfig::default() }, |((changes, name) in strategy)| {
        // Ids that begin alike.
        let ids = [id(&name), id(&format!("{name}{name}")), PersistenceId::new(format!("account{name}"), "x")];
        let mut model = vec![BTreeMap::<SeqNr, StoredSnapshot>::new(); ids.len()];
        for (index, change) in changes {
            let (id, of_id) = (&ids[index], &mut model[index]);
            match change {
                Change::Save(snapshot) => {
                    save(store, id, &snapshot);
                    of_id.insert(snapshot.seq_nr, snapshot);
                }
                Change::Delete(seq_nr) => {
                    block_on(store.delete(id, seq_nr)).unwrap();
                    of_id.remove(&seq_nr);
                }
                Change::DeleteMatching(criteria) => {
                    let before = of_id.len();
                    of_id.retain(|_, snapshot| !criteria.allows(&snapshot.meta()));
                    prop_assert_eq!(block_on(store.delete_matching(id, criteria)), Ok(before - of_id.len()));
                }
                Change::Load(criteria) => {
                    let expected = of_id.values().rev().find(|snapshot| criteria.allows(&snapshot.meta()));
                    prop_assert_eq!(load(store, id, criteria), expected.cloned());
                }
            }
        }
        for (id, of_id) in ids.iter().zip(&model) {
            prop_assert_eq!(list(store, id), of_id.values().rev().map(StoredSnapshot::meta).collect::<Vec<_>>());
            block_on(store.delete_matching(id, Criteria::LATEST)).unwrap();
        }
    });
}

#[test]
fn each_store_says_what_its_snapshots_survive() {
    assert_eq!(MemorySnapshots::new().durability(), Durability::Memory);
    assert_eq!(Files::new().store.durability(), Durability::Fsync);
}
