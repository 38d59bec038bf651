//! What every journal must do: each test runs against all of them.

pub(super) mod deadlines;
pub(super) mod deletion;
pub(super) mod forgetting;
mod waiting;

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;

use super::oneshot::block_on;
use super::{
    Due, EventRecord, Health, Journal, MemoryJournal, Outcome, Page, ReadError, Record, Run, RunBuilder, RunError,
    RunView, StreamHead, Why, Write,
};
use crate::codec::Codec;
use crate::id::{InvalidId, Offset, PersistenceId, SeqNr, StreamNo};

/// A journal that can be closed and opened again.
pub(super) trait Store {
    fn journal(&self) -> &dyn Journal;
    fn reopen(self) -> Self;
    /// Opens what a crash leaves of it.
    fn crash(self) -> Self;
    /// Lets the removal of what is deleted stop after so many steps, if the journal removes anything behind its commits.
    fn stop_removal_after(&self, _steps: usize) {}
    /// Writes down what is derived, if the journal keeps it.
    fn write_derived(&self) {}
}

struct Memory(MemoryJournal);

impl Store for Memory {
    fn journal(&self) -> &dyn Journal {
        &self.0
    }

    fn reopen(self) -> Self {
        block_on(self.0.close()).unwrap();
        self.crash()
    }

    fn crash(self) -> Self {
        Self(self.0.reopen())
    }
}

#[cfg(feature = "fjall")]
struct OnDisk {
    journal: Option<super::FjallJournal>,
    dir: tempfile::TempDir,
}

#[cfg(feature = "fjall")]
impl OnDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = Some(Self::open(&dir));
        Self { journal, dir }
    }

    fn open(dir: &tempfile::TempDir) -> super::FjallJournal {
        super::FjallJournal::open(dir.path().join("journal"), super::FjallOptions::new()).unwrap()
    }
}

#[cfg(feature = "fjall")]
impl Store for OnDisk {
    fn journal(&self) -> &dyn Journal {
        self.journal.as_ref().unwrap()
    }

    fn reopen(mut self) -> Self {
        block_on(self.journal().close()).unwrap();
        drop(self.journal.take());
        Self { journal: Some(Self::open(&self.dir)), dir: self.dir }
    }

    fn crash(mut self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_sparse(&self.dir.path().join("journal"), &dir.path().join("journal"));
        drop(self.journal.take());
        Self { journal: Some(Self::open(&dir)), dir }
    }

    fn stop_removal_after(&self, steps: usize) {
        self.journal.as_ref().unwrap().stop_removal_after(steps);
    }

    fn write_derived(&self) {
        self.journal.as_ref().unwrap().write_deadlines();
    }
}

/// Copies a journal; the zeros at the end of the engine's own journal stay a hole.
#[cfg(feature = "fjall")]
pub(super) fn copy_sparse(from: &std::path::Path, to: &std::path::Path) {
    use std::fs;

    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_sparse(&entry.path(), &to);
        } else {
            let bytes = fs::read(entry.path()).unwrap();
            fs::write(&to, &bytes[..written(&bytes)]).unwrap();
            fs::File::options().write(true).open(&to).unwrap().set_len(super::bytes::len_u64(bytes.len())).unwrap();
        }
    }
}

/// The bytes of an engine's journal that are written, after the last of which there are zeros only.
#[cfg(feature = "fjall")]
pub(super) fn written(journal: &[u8]) -> usize {
    journal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

macro_rules! every_journal {
    ($($name:ident)*) => {
        mod memory {
            $(#[test] fn $name() { super::$name(super::Memory(super::MemoryJournal::new())); })*
        }
        #[cfg(feature = "fjall")]
        mod fjall {
            $(#[test] fn $name() { super::$name(super::OnDisk::new()); })*
        }
        #[cfg(feature = "fjall")]
        mod encrypted {
            $(#[test] fn $name() { super::$name(super::forgetting::Encrypted::new()); })*
        }
    };
}

use deadlines::{
    a_deadline_is_armed_until_it_is_armed_anew_or_cleared, a_run_that_is_refused_changes_no_deadline,
    deadlines_come_in_the_order_of_their_times, the_last_write_of_a_run_decides_its_deadline,
};
use deletion::{
    a_page_begins_behind_what_is_deleted, a_run_that_says_wrongly_that_it_ends_is_refused,
    a_stream_ends_also_where_all_of_it_is_deleted_already, a_stream_whose_records_are_all_deleted_goes_on,
    a_tombstone_clears_the_deadline, an_ended_stream_keeps_its_tombstone_and_takes_nothing_more,
    more_than_there_is_can_not_be_deleted, what_is_deleted_is_not_read_again,
    what_was_handed_over_before_is_there_to_be_deleted,
};
use forgetting::{
    a_forgotten_stream_is_read_as_nothing_and_stays_ended, forgetting_takes_nothing_from_others,
    only_what_has_ended_and_was_begun_so_can_be_forgotten, the_first_run_decides_whether_a_stream_can_be_forgotten,
};
use waiting::{
    a_stream_is_named_once_it_has_records, the_end_of_a_journal_ends_all_waiting,
    who_has_waited_in_vain_leaves_no_trace, who_waits_hears_of_what_became_durable,
};

every_journal! {
    a_forgotten_stream_is_read_as_nothing_and_stays_ended
    only_what_has_ended_and_was_begun_so_can_be_forgotten
    the_first_run_decides_whether_a_stream_can_be_forgotten
    forgetting_takes_nothing_from_others
    what_is_stored_is_read_again_also_after_reopening
    a_run_that_is_not_the_next_is_a_conflict
    two_runs_of_one_stream_may_be_in_flight
    the_followers_of_a_refused_run_are_refused
    a_group_is_stored_in_part_when_one_of_its_runs_is_refused
    limits_hold_to_the_byte
    odd_ids_are_streams_of_their_own
    an_id_that_can_not_be_stored_is_refused
    a_number_that_was_reserved_and_never_used_breaks_nothing
    pages_are_cut_by_bytes_and_lead_on
    an_append_is_stored_though_its_future_is_dropped
    a_run_with_other_bytes_than_fields_is_refused
    a_closed_journal_takes_nothing
    an_empty_group_has_no_outcomes
    a_stream_that_is_closed_and_opened_again_goes_on_where_it_was
    a_deadline_is_armed_until_it_is_armed_anew_or_cleared
    the_last_write_of_a_run_decides_its_deadline
    a_run_that_is_refused_changes_no_deadline
    deadlines_come_in_the_order_of_their_times
    who_waits_hears_of_what_became_durable
    who_has_waited_in_vain_leaves_no_trace
    the_end_of_a_journal_ends_all_waiting
    a_stream_is_named_once_it_has_records
    a_page_begins_behind_what_is_deleted
    a_run_that_says_wrongly_that_it_ends_is_refused
    a_stream_ends_also_where_all_of_it_is_deleted_already
    a_stream_whose_records_are_all_deleted_goes_on
    a_tombstone_clears_the_deadline
    an_ended_stream_keeps_its_tombstone_and_takes_nothing_more
    more_than_there_is_can_not_be_deleted
    what_is_deleted_is_not_read_again
    what_was_handed_over_before_is_there_to_be_deleted
}

pub(super) fn id(entity: &str) -> PersistenceId {
    PersistenceId::new("account", entity)
}

pub(super) fn open(journal: &dyn Journal, id: &PersistenceId) -> StreamHead {
    block_on(journal.open_stream(id)).unwrap()
}

/// A run of writes of one event each.
pub(super) fn run(journal: &dyn Journal, stream: StreamNo, id: &PersistenceId, first: u64, payloads: &[&[u8]]) -> Run {
    let mut run = RunBuilder::new(stream, id.clone(), SeqNr(first));
    for payload in payloads {
        let event = EventRecord { name: "happened", version: 1, codec: Codec::MessagePack, payload };
        run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
    }
    run.seal(&journal.facts(), 1)
}

pub(super) fn append(journal: &dyn Journal, group: Vec<Run>) -> Vec<Outcome> {
    block_on(journal.append(group))
}

/// Opens a stream and stores a run behind its last.
pub(super) fn store(journal: &dyn Journal, id: &PersistenceId, payloads: &[&[u8]]) -> Offset {
    let StreamHead { stream, last, .. } = open(journal, id);
    let outcomes = append(journal, vec![run(journal, stream, id, last.0 + 1, payloads)]);
    journal.close_stream(stream);
    match outcomes.as_slice() {
        [Outcome::Stored(offset)] => *offset,
        other => panic!("{other:?}"),
    }
}

/// The sequence numbers and payloads of a page, without what is deleted.
pub(super) fn events(journal: &dyn Journal, page: &Page) -> Vec<(u64, Vec<u8>)> {
    let mut events = Vec::new();
    for run in &page.runs {
        let view = RunView::parse(&run.bytes, journal.facts().store).unwrap();
        let read = view.for_each(|seq, _, record| {
            if let Record::Event(event) = record
                && seq > run.floor
            {
                events.push((seq.0, event.payload.to_vec()));
            }
            Ok::<(), RunError>(())
        });
        read.unwrap();
    }
    events
}

pub(super) fn read(journal: &dyn Journal, id: &PersistenceId) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
    let stream = block_on(journal.open_stream(id))?.stream;
    let page = block_on(journal.read(stream, SeqNr(1), SeqNr(u64::MAX), usize::MAX));
    journal.close_stream(stream);
    Ok(events(journal, &page?))
}

/// Everything in order, in small pages: offset, stream, first sequence number.
pub(super) fn read_all(journal: &dyn Journal, bytes_max: usize) -> Result<Vec<(u64, u64, u64)>, ReadError> {
    let mut all = Vec::new();
    let mut after = Offset(0);
    loop {
        let page = block_on(journal.read_all(after, bytes_max))?;
        for run in &page.runs {
            let view = RunView::parse(&run.bytes, journal.facts().store).unwrap();
            all.push((run.offset.0, run.stream.0, view.first().0));
            after = Offset(run.offset.0 + view.records() - 1);
        }
        if !page.more {
            return Ok(all);
        }
    }
}

fn numbered(payloads: &[&[u8]]) -> Vec<(u64, Vec<u8>)> {
    (1..).zip(payloads.iter().map(|payload| payload.to_vec())).collect()
}

fn what_is_stored_is_read_again_also_after_reopening(store_in: impl Store) {
    let (alice, bob) = (id("alice"), id("bob"));
    let first = store_in.journal();
    assert_eq!(store(first, &alice, &[b"a1", b"a2"]), Offset(1));
    assert_eq!(store(first, &bob, &[b"b1"]), Offset(3));
    assert_eq!(store(first, &alice, &[b"a3"]), Offset(4));
    assert_eq!(first.durable(), Offset(4));
    let epoch = first.facts().epoch;

    let mut store_in = store_in;
    for later in 1..4 {
        let journal = store_in.journal();
        assert_eq!(read(journal, &alice).unwrap(), numbered(&[b"a1", b"a2", b"a3"]));
        assert_eq!(read(journal, &bob).unwrap(), numbered(&[b"b1"]));
        assert_eq!(read(journal, &id("carol")).unwrap(), []);
        assert_eq!(journal.durable(), Offset(4));
        let order = read_all(journal, 1).unwrap();
        assert_eq!(order.iter().map(|run| (run.0, run.2)).collect::<Vec<_>>(), [(1, 1), (3, 1), (4, 3)]);
        assert_eq!(read_all(journal, usize::MAX).unwrap(), order);
        store_in = store_in.reopen();
        assert_eq!(store_in.journal().facts().epoch, epoch + later);
    }
    assert_eq!(store(store_in.journal(), &alice, &[b"a4"]), Offset(5));
    assert_eq!(read(store_in.journal(), &alice).unwrap().len(), 4);
}

fn a_run_that_is_not_the_next_is_a_conflict(store_in: impl Store) {
    let (journal, alice) = (store_in.journal(), id("alice"));
    let stream = open(journal, &alice).stream;
    let outcome = |first| append(journal, vec![run(journal, stream, &alice, first, &[b"x", b"y"])]);
    let conflict =
        |expected, last| vec![Outcome::NotStored(Why::Conflict { expected: SeqNr(expected), last: SeqNr(last) })];
    assert_eq!(outcome(2), conflict(1, 0));
    assert_eq!(outcome(1), [Outcome::Stored(Offset(1))]);
    assert_eq!(outcome(1), conflict(0, 2));
    assert_eq!(outcome(2), conflict(1, 2));
    assert_eq!(outcome(4), conflict(3, 2));
    assert_eq!(outcome(3), [Outcome::Stored(Offset(3))]);
    assert_eq!(read(journal, &alice).unwrap().len(), 4);
}

fn two_runs_of_one_stream_may_be_in_flight(store_in: impl Store) {
    let (journal, alice) = (store_in.journal(), id("alice"));
    let stream = open(journal, &alice).stream;
    let futures: Vec<_> =
        (1..=50).map(|first| journal.append(vec![run(journal, stream, &alice, first, &[b"x"])])).collect();
    for (future, offset) in futures.into_iter().zip(1..) {
        assert_eq!(block_on(future), [Outcome::Stored(Offset(offset))]);
    }
    assert_eq!(read(journal, &alice).unwrap().len(), 50);
}

fn the_followers_of_a_refused_run_are_refused(store_in: impl Store) {
    let (journal, alice) = (store_in.journal(), id("alice"));
    let stream = open(journal, &alice).stream;
    let bad = journal.append(vec![run(journal, stream, &alice, 2, &[b"x"])]);
    let follower = journal.append(vec![run(journal, stream, &alice, 3, &[b"x"])]);
    for outcomes in [block_on(bad), block_on(follower)] {
        assert!(matches!(outcomes[..], [Outcome::NotStored(Why::Conflict { last: SeqNr::ZERO, .. })]), "{outcomes:?}");
    }
    assert_eq!(read(journal, &alice).unwrap(), []);
}

fn a_group_is_stored_in_part_when_one_of_its_runs_is_refused(store_in: impl Store) {
    let journal = store_in.journal();
    let ids = ["a", "b", "c"].map(id);
    let group = ids.iter().zip([1, 7, 1]).map(|(id, first)| run(journal, open(journal, id).stream, id, first, &[b"x"]));
    let outcomes = append(journal, group.collect());
    assert_eq!(outcomes[0], Outcome::Stored(Offset(1)));
    assert!(matches!(outcomes[1], Outcome::NotStored(Why::Conflict { .. })));
    assert_eq!(outcomes[2], Outcome::Stored(Offset(2)));
    assert_eq!(read_all(journal, usize::MAX).unwrap().len(), 2);
}

fn limits_hold_to_the_byte(store_in: impl Store) {
    let (journal, alice) = (store_in.journal(), id("alice"));
    let stream = open(journal, &alice).stream;
    let limit = journal.facts().run_bytes_max;
    let run_of = |payload: usize| run(journal, stream, &alice, 1, &[&vec![7; payload]]);
    let overhead = run_of(limit - 1000).bytes.len() - (limit - 1000);
    let (fits, too_long) = (run_of(limit - overhead), run_of(limit - overhead + 1));
    assert_eq!((fits.bytes.len(), too_long.bytes.len()), (limit, limit + 1));
    assert_eq!(append(journal, vec![too_long]), [Outcome::NotStored(Why::TooLarge { bytes: limit + 1, limit })]);
    assert_eq!(append(journal, vec![fits]), [Outcome::Stored(Offset(1))]);
    let store_in = store_in.reopen();
    assert_eq!(read(store_in.journal(), &alice).unwrap()[0].1.len(), limit - overhead);
}

fn check_separate(mut store_in: impl Store, ids: &[PersistenceId]) {
    for (id, index) in ids.iter().zip(0_u32..) {
        for part in 0_u8..2 {
            store(store_in.journal(), id, &[&[&index.to_le_bytes()[..], &[part]].concat()]);
        }
    }
    for _ in 0..2 {
        for (id, index) in ids.iter().zip(0_u32..) {
            let expected = [0, 1].map(|part| [&index.to_le_bytes()[..], &[part]].concat());
            let expected: Vec<_> = (1..).zip(expected).collect();
            assert_eq!(read(store_in.journal(), id).unwrap(), expected, "{id}");
        }
        store_in = store_in.reopen();
    }
}

fn odd_ids_are_streams_of_their_own(store_in: impl Store) {
    let long = "x".repeat(512);
    let odd = [
        "\0",
        "a",
        "a\0",
        "a\0b",
        "\n",
        "/",
        "..",
        ".",
        "../../etc/passwd",
        "a/b",
        "🦀",
        "e\u{301}",
        "\u{e9}",
        "*",
        ">",
        "%",
        "CON",
        "\u{202e}",
        " ",
        "a ",
        "'; drop table",
        "\u{10ffff}",
        &long,
        &long[..511],
    ];
    let mut ids: Vec<_> = odd.iter().map(|entity| id(entity)).collect();
    // The boundary between aggregate and entity.
    ids.extend(
        [("ab", "c"), ("a", "bc"), ("abc", "a"), ("a", "b"), ("\u{1}a", "b"), (&long[..255], "x")]
            .map(|(aggregate, entity)| PersistenceId::new(aggregate, entity)),
    );
    check_separate(store_in, &ids);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn any_ids_are_streams_of_their_own(
        ids in prop::collection::hash_set(("[ab\\x00/.]{1,3}|.{1,20}", "[ab\\x00/.]{1,3}|\\PC{1,30}"), 1..20),
    ) {
        let ids: Vec<_> =
            ids.into_iter().map(|(aggregate, entity)| PersistenceId::new(aggregate, entity)).collect();
        check_separate(Memory(MemoryJournal::new()), &ids);
        #[cfg(feature = "fjall")]
        check_separate(OnDisk::new(), &ids);
    }
}

fn an_id_that_can_not_be_stored_is_refused(store_in: impl Store) {
    let journal = store_in.journal();
    let long = "x".repeat(513);
    for (entity, error) in [("", InvalidId::Empty), (&long, InvalidId::TooLong { bytes: 513 })] {
        assert_eq!(block_on(journal.open_stream(&id(entity))), Err(ReadError::InvalidId(error)));
        let stream = open(journal, &id("alice")).stream;
        let bad = run(journal, stream, &id(entity), 1, &[b"x"]);
        assert_eq!(append(journal, vec![bad]), [Outcome::NotStored(Why::InvalidId(error))]);
    }
    for aggregate in ["", &"x".repeat(256)] {
        assert!(block_on(journal.open_stream(&PersistenceId::new(aggregate, "x"))).is_err());
    }
}

fn a_number_that_was_reserved_and_never_used_breaks_nothing(store_in: impl Store) {
    let unused = open(store_in.journal(), &id("unused")).stream;
    let page = block_on(store_in.journal().read(unused, SeqNr(1), SeqNr(9), 1)).unwrap();
    assert_eq!(page, Page { runs: vec![], more: false });
    store(store_in.journal(), &id("used"), &[b"x"]);
    let store_in = store_in.reopen();
    let journal = store_in.journal();
    assert_eq!(read(journal, &id("unused")).unwrap(), []);
    store(journal, &id("unused"), &[b"y"]);
    assert_eq!(read(journal, &id("used")).unwrap(), numbered(&[b"x"]));
    assert_eq!(read(journal, &id("unused")).unwrap(), numbered(&[b"y"]));
}

fn pages_are_cut_by_bytes_and_lead_on(store_in: impl Store) {
    let (journal, alice) = (store_in.journal(), id("alice"));
    for index in 0..20_u8 {
        store(journal, &alice, &[&[index; 100], &[index; 100]]);
    }
    let stream = open(journal, &alice).stream;
    let page = |from, to, bytes_max| block_on(journal.read(stream, SeqNr(from), SeqNr(to), bytes_max)).unwrap();
    let seqs = |page: &Page| events(journal, page).iter().map(|event| event.0).collect::<Vec<_>>();

    assert_eq!(seqs(&page(1, 4, usize::MAX)), [1, 2, 3, 4]);
    assert!(!page(1, 4, usize::MAX).more);
    assert_eq!(seqs(&page(2, 3, usize::MAX)), [1, 2, 3, 4]);
    assert_eq!(seqs(&page(3, 3, usize::MAX)), [3, 4]);
    assert_eq!(seqs(&page(1, 40, 1)), [1, 2]);
    assert!(page(1, 40, 1).more);
    let run_bytes = page(4, 4, 1).runs[0].bytes.len();
    for (to, bytes_max, more) in [(40, 0, true), (40, run_bytes, true), (5, 1, true), (4, 1, false), (3, 1, false)] {
        assert_eq!(seqs(&page(3, to, bytes_max)), [3, 4]);
        assert_eq!(page(3, to, bytes_max).more, more, "to {to}, {bytes_max} bytes");
    }
    assert_eq!(seqs(&page(4, 40, 2 * run_bytes)), [3, 4, 5, 6]);
    assert_eq!(seqs(&page(0, 40, 600)), [1, 2, 3, 4]);
    assert_eq!(seqs(&page(40, u64::MAX, 1)), [39, 40]);
    assert!(!page(40, u64::MAX, 1).more);
    for (from, to) in [(41, u64::MAX), (5, 4)] {
        assert_eq!(page(from, to, 1), Page { runs: vec![], more: false });
    }

    let all = |after, bytes_max| block_on(journal.read_all(Offset(after), bytes_max)).unwrap();
    assert_eq!(all(0, 1).runs[0].offset, Offset(1));
    assert_eq!(all(1, 1).runs[0].offset, Offset(1));
    assert_eq!(all(2, 1).runs[0].offset, Offset(3));
    assert!(all(37, 1).more);
    assert!(!all(38, 1).more);
    assert_eq!(all(40, 1), Page { runs: vec![], more: false });
    assert_eq!(all(u64::MAX, 1), Page { runs: vec![], more: false });
    assert_eq!(read_all(journal, 700).unwrap().len(), 20);
}

fn an_append_is_stored_though_its_future_is_dropped(store_in: impl Store) {
    let (journal, alice) = (store_in.journal(), id("alice"));
    let stream = open(journal, &alice).stream;
    drop(journal.append(vec![run(journal, stream, &alice, 1, &[b"x"])]));
    let second = append(journal, vec![run(journal, stream, &alice, 2, &[b"y"])]);
    assert_eq!(second, [Outcome::Stored(Offset(2))]);
    assert_eq!(read(journal, &alice).unwrap(), numbered(&[b"x", b"y"]));
}

fn a_run_with_other_bytes_than_fields_is_refused(store_in: impl Store) {
    let (journal, alice, bob) = (store_in.journal(), id("alice"), id("bob"));
    let (a, b) = (open(journal, &alice).stream, open(journal, &bob).stream);
    let good = run(journal, a, &alice, 1, &[b"x"]);
    for bad in [
        Run { stream: b, ..good.clone() },
        Run { stream: StreamNo(99), ..good.clone() },
        Run { stream: StreamNo(0), ..good.clone() },
        Run { id: bob, ..good.clone() },
        Run { records: 2, ..good.clone() },
        Run { bytes: vec![], ..good.clone() },
    ] {
        let outcomes = append(journal, vec![bad]);
        assert!(matches!(outcomes[..], [Outcome::NotStored(Why::BadRun(_))]), "{outcomes:?}");
    }
    assert_eq!(append(journal, vec![good]), [Outcome::Stored(Offset(1))]);
}

fn a_closed_journal_takes_nothing(store_in: impl Store) {
    let (journal, alice) = (store_in.journal(), id("alice"));
    let stream = open(journal, &alice).stream;
    let last = journal.append(vec![run(journal, stream, &alice, 1, &[b"x"])]);
    assert_eq!(journal.health(), Health::Good);
    block_on(journal.close()).unwrap();
    assert_eq!(block_on(last), [Outcome::Stored(Offset(1))]);
    assert_eq!(journal.health(), Health::Closed);
    let late = append(journal, vec![run(journal, stream, &alice, 2, &[b"x"])]);
    assert_eq!(late, [Outcome::NotStored(Why::Closed)]);
    assert_eq!(block_on(journal.open_stream(&alice)), Err(ReadError::Closed));
    assert_eq!(block_on(journal.read(stream, SeqNr(1), SeqNr(1), 1)), Err(ReadError::Closed));
    assert_eq!(block_on(journal.read_all(Offset(0), 1)), Err(ReadError::Closed));
    block_on(journal.close()).unwrap();
}

fn a_stream_that_is_closed_and_opened_again_goes_on_where_it_was(store_in: impl Store) {
    let (journal, alice) = (store_in.journal(), id("alice"));
    for next in 1..=30 {
        let head = open(journal, &alice);
        assert_eq!(head.last, SeqNr(next - 1));
        assert_eq!(open(journal, &alice), head);
        journal.close_stream(head.stream);
        let outcomes = append(journal, vec![run(journal, head.stream, &alice, next, &[b"x"])]);
        assert_eq!(outcomes, [Outcome::Stored(Offset(next))]);
        journal.close_stream(head.stream);
        let late = append(journal, vec![run(journal, head.stream, &alice, next + 1, &[b"x"])]);
        assert!(matches!(late[..], [Outcome::NotStored(Why::BadRun(_))]), "{late:?}");
    }
}

fn an_empty_group_has_no_outcomes(store_in: impl Store) {
    assert_eq!(append(store_in.journal(), vec![]), []);
    assert_eq!(store_in.journal().durable(), Offset(0));
}

/// A waker that does nothing.
pub(super) fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    let waker = std::task::Waker::from(Arc::new(Nobody));
    std::pin::Pin::new(future).poll(&mut std::task::Context::from_waker(&waker)).is_pending()
}

struct Nobody;

impl std::task::Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// What a test does to a journal and to a model of it.
#[derive(Debug, Clone)]
enum Action {
    /// Hands over groups, all before any outcome is looked at. A run: its stream, how far its first sequence number is
    /// from the right one, and how many events it has.
    Append(Vec<Vec<(usize, i64, usize)>>),
    Reopen,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let run = (0..MODEL_STREAMS, prop_oneof![8 => Just(0_i64), 1 => -2..3_i64], 1..4_usize);
    let group = prop::collection::vec(run, 1..4);
    let append = prop::collection::vec(group, 1..4).prop_map(Action::Append);
    prop::collection::vec(prop_oneof![6 => append, 1 => Just(Action::Reopen)], 1..12)
}

const MODEL_STREAMS: usize = 4;

/// Does the same to a journal and to lists of events, and compares all that can be seen.
fn check_against_model(mut store_in: impl Store, actions: &[Action]) {
    let ids: Vec<_> = (0..MODEL_STREAMS).map(|index| id(&index.to_string())).collect();
    let mut model: Vec<Vec<Vec<u8>>> = vec![Vec::new(); MODEL_STREAMS];
    let mut order: Vec<(u64, usize, u64)> = Vec::new();
    let mut durable = 0;
    for action in actions {
        let groups = match action {
            Action::Append(groups) => groups,
            Action::Reopen => {
                store_in = store_in.reopen();
                continue;
            }
        };
        let journal = store_in.journal();
        let streams: Vec<_> = ids.iter().map(|id| open(journal, id).stream).collect();
        let mut expected = Vec::new();
        let mut futures = Vec::new();
        for group in groups {
            let mut runs = Vec::new();
            let mut outcomes = Vec::new();
            for &(index, wrong_by, events) in group {
                let last = super::bytes::len_u64(model[index].len());
                let first = (last + 1).saturating_add_signed(wrong_by).max(1);
                let payloads: Vec<Vec<u8>> = (0..events).map(|event| format!("{first} {event}").into_bytes()).collect();
                let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
                runs.push(run(journal, streams[index], &ids[index], first, &slices));
                if first == last + 1 {
                    outcomes.push(Outcome::Stored(Offset(durable + 1)));
                    order.push((durable + 1, index, first));
                    durable += super::bytes::len_u64(events);
                    model[index].extend(payloads);
                } else {
                    let (expected, last) = (SeqNr(first - 1), SeqNr(last));
                    outcomes.push(Outcome::NotStored(Why::Conflict { expected, last }));
                }
            }
            futures.push(journal.append(runs));
            expected.push(outcomes);
        }
        let found: Vec<_> = futures.into_iter().map(block_on).collect();
        assert_eq!(found, expected);
        assert_eq!(journal.durable(), Offset(durable));
        let expected_order: Vec<_> =
            order.iter().map(|&(offset, index, first)| (offset, streams[index].0, first)).collect();
        assert_eq!(read_all(journal, 150).unwrap(), expected_order);
        for ((id, stream), events) in ids.iter().zip(streams).zip(&model) {
            journal.close_stream(stream);
            assert_eq!(read(journal, id).unwrap(), (1..).zip(events.iter().cloned()).collect::<Vec<_>>());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_journal_in_memory_is_like_its_model(actions in actions()) {
        check_against_model(Memory(MemoryJournal::new()), &actions);
    }

    #[cfg(feature = "fjall")]
    #[test]
    fn a_journal_on_disk_is_like_its_model(actions in actions()) {
        check_against_model(OnDisk::new(), &actions);
    }
}
