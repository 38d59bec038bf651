//! What became of a run whose outcome nobody knows, told by each journal once it was opened again.

use annals::journal::{
    Due, EventRecord, FjallJournal, FjallOptions, Journal, MemoryJournal, Outcome, ReadError, Record, Run, RunBuilder,
    RunKey, Settled, StreamHead, Write,
};
use annals::testing::UnknownRun;
use annals::{CallError, Codec, Offset, PersistenceId, SeqNr, System, Timestamp, Unknown};
use annals_tests::Account;

use crate::{restarted, system};

/// A journal that can be opened again.
enum Kept {
    Memory(MemoryJournal),
    OnDisk(Option<FjallJournal>, tempfile::TempDir),
}

fn memory() -> Kept {
    Kept::Memory(MemoryJournal::new())
}

fn on_disk() -> Kept {
    let dir = tempfile::tempdir().unwrap();
    let journal = FjallJournal::open(dir.path().join("journal"), FjallOptions::new()).unwrap();
    Kept::OnDisk(Some(journal), dir)
}

impl Kept {
    fn journal(&self) -> &dyn Journal {
        match self {
            Kept::Memory(journal) => journal,
            Kept::OnDisk(journal, _) => journal.as_ref().unwrap(),
        }
    }

    fn reopened(self) -> Self {
        match self {
            Kept::Memory(journal) => Kept::Memory(journal.reopen()),
            Kept::OnDisk(journal, dir) => {
                drop(journal);
                let journal = FjallJournal::open(dir.path().join("journal"), FjallOptions::new()).unwrap();
                Kept::OnDisk(Some(journal), dir)
            }
        }
    }
}

fn alice() -> PersistenceId {
    PersistenceId::new("account", "alice")
}

async fn open(kept: &Kept) -> StreamHead {
    kept.journal().open_stream(&alice()).await.unwrap()
}

/// A run of these events of alice's, encrypted where that can be.
async fn run(kept: &Kept, first: u64, payloads: &[&[u8]]) -> Run {
    let mut run = RunBuilder::new(open(kept).await.stream, alice(), SeqNr(first)).forgettable();
    for payload in payloads {
        let event = EventRecord { name: "happened", version: 1, codec: Codec::MessagePack, payload };
        run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
    }
    run.seal(&kept.journal().facts(), 1)
}

async fn plain_run(kept: &Kept, first: u64, payload: &[u8]) -> Run {
    let mut run = RunBuilder::new(open(kept).await.stream, alice(), SeqNr(first));
    let event = EventRecord { name: "happened", version: 1, codec: Codec::MessagePack, payload };
    run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
    run.seal(&kept.journal().facts(), 1)
}

async fn end(kept: &Kept, first: u64) -> Run {
    let mut run = RunBuilder::new(open(kept).await.stream, alice(), SeqNr(first));
    run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Cleared, [Record::Tombstone].into_iter());
    run.seal(&kept.journal().facts(), 1)
}

async fn store(kept: &Kept, run: Run) -> (RunKey, Offset) {
    let key = run.key(&kept.journal().facts());
    match kept.journal().append(vec![run]).await.remove(0) {
        Outcome::Stored(offset) => (key, offset),
        outcome => panic!("{outcome:?}"),
    }
}

async fn settle(kept: &Kept, key: &RunKey) -> Settled {
    kept.journal().settle(key).await.unwrap()
}

#[tokio::test]
async fn a_run_that_is_stored_is_found_with_its_offset_after_each_opening() {
    for mut kept in [memory(), on_disk()] {
        let first = store(&kept, run(&kept, 1, &[b"a", b"b"]).await).await;
        let second = store(&kept, run(&kept, 3, &[b"c"]).await).await;
        for _ in 0..2 {
            kept = kept.reopened();
            for (key, offset) in [&first, &second] {
                assert_eq!(settle(&kept, key).await, Settled::Stored(*offset));
            }
        }
    }
}

#[tokio::test]
async fn a_run_without_encryption_is_found_too() {
    let kept = on_disk();
    let (key, offset) = store(&kept, plain_run(&kept, 1, b"a").await).await;
    assert_eq!(settle(&kept.reopened(), &key).await, Settled::Stored(offset));
}

#[tokio::test]
async fn a_run_that_never_came_is_not_stored_whatever_stands_in_its_place() {
    for kept in [memory(), on_disk()] {
        let lost = run(&kept, 1, &[b"a", b"b"]).await.key(&kept.journal().facts());
        let kept = kept.reopened();
        assert_eq!(settle(&kept, &lost).await, Settled::NotStored, "nothing is there");

        // The same commands again are another run.
        let (second, offset) = store(&kept, run(&kept, 1, &[b"a", b"b"]).await).await;
        assert_ne!(lost.checksum(), second.checksum());
        assert_eq!(settle(&kept, &lost).await, Settled::NotStored);
        let kept = kept.reopened();
        assert_eq!(settle(&kept, &lost).await, Settled::NotStored);
        assert_eq!(settle(&kept, &second).await, Settled::Stored(offset));
    }
}

#[tokio::test]
async fn a_run_is_not_the_one_that_only_overlaps_it() {
    for kept in [memory(), on_disk()] {
        let longer = run(&kept, 1, &[b"a", b"b"]).await.key(&kept.journal().facts());
        let (one, _) = store(&kept, run(&kept, 1, &[b"a"]).await).await;
        let inside = run(&kept, 2, &[b"b"]).await.key(&kept.journal().facts());
        let (pair, _) = store(&kept, run(&kept, 2, &[b"x", b"y"]).await).await;
        let behind = run(&kept, 3, &[b"y"]).await.key(&kept.journal().facts());
        let kept = kept.reopened();
        for lost in [longer, inside, behind] {
            assert_eq!(settle(&kept, &lost).await, Settled::NotStored, "{lost:?}");
        }
        for there in [one, pair] {
            assert!(matches!(settle(&kept, &there).await, Settled::Stored(_)), "{there:?}");
        }
    }
}

#[tokio::test]
async fn nobody_can_tell_before_the_journal_is_opened_again() {
    for kept in [memory(), on_disk()] {
        let lost = run(&kept, 2, &[b"b"]).await.key(&kept.journal().facts());
        let (stored, _) = store(&kept, run(&kept, 1, &[b"a"]).await).await;
        for key in [&lost, &stored] {
            assert_eq!(settle(&kept, key).await, Settled::Unsettled);
        }
        let kept = kept.reopened();
        assert_eq!(settle(&kept, &lost).await, Settled::NotStored);
    }
    // An older handle can't tell of what was handed to a newer one.
    let old = MemoryJournal::new();
    let new = Kept::Memory(old.reopen());
    let (key, _) = store(&new, run(&new, 1, &[b"a"]).await).await;
    assert_eq!(settle(&Kept::Memory(old), &key).await, Settled::Unsettled);
}

#[tokio::test]
async fn what_is_deleted_in_part_is_told_and_what_is_deleted_is_not() {
    for kept in [memory(), on_disk()] {
        let (key, offset) = store(&kept, run(&kept, 1, &[b"a", b"b"]).await).await;
        let lost = run(&kept, 1, &[b"a", b"b"]).await.key(&kept.journal().facts());
        let stream = open(&kept).await.stream;
        assert!(matches!(kept.journal().delete_to(stream, SeqNr(1)).await, Outcome::Stored(_)));
        let kept = kept.reopened();
        assert_eq!(settle(&kept, &key).await, Settled::Stored(offset));
        assert_eq!(settle(&kept, &lost).await, Settled::NotStored);

        let stream = open(&kept).await.stream;
        assert!(matches!(kept.journal().delete_to(stream, SeqNr(2)).await, Outcome::Stored(_)));
        assert_eq!(settle(&kept, &key).await, Settled::Unsettled);
        let kept = kept.reopened();
        assert_eq!(settle(&kept, &key).await, Settled::Unsettled);
        assert_eq!(settle(&kept, &lost).await, Settled::Unsettled);
        let behind = run(&kept, 3, &[b"c"]).await.key(&kept.journal().facts());
        assert_eq!(settle(&kept.reopened(), &behind).await, Settled::NotStored, "the stream has never come so far");
    }
}

#[tokio::test]
async fn an_end_is_told_and_what_was_before_it_is_not_also_when_it_is_forgotten() {
    for kept in [memory(), on_disk()] {
        let (before, _) = store(&kept, run(&kept, 1, &[b"a"]).await).await;
        let (ended, offset) = store(&kept, end(&kept, 2).await).await;
        let kept = kept.reopened();
        assert_eq!(settle(&kept, &before).await, Settled::Unsettled);
        assert_eq!(settle(&kept, &ended).await, Settled::Stored(offset));
        let stream = open(&kept).await.stream;
        assert!(matches!(kept.journal().forget(stream).await, Outcome::Stored(_)));
        for key in [&before, &ended] {
            assert_eq!(settle(&kept, key).await, Settled::Unsettled);
        }
        let kept = kept.reopened();
        for key in [&before, &ended] {
            assert_eq!(settle(&kept, key).await, Settled::Unsettled);
        }
    }
}

#[tokio::test]
async fn the_run_of_another_store_is_an_error() {
    for (this, other) in [(memory(), memory()), (on_disk(), on_disk()), (memory(), on_disk())] {
        let (key, _) = store(&other, run(&other, 1, &[b"a"]).await).await;
        let (this, store) = (this.reopened(), other.journal().facts().store);
        let journal = this.journal().facts().store;
        let settled = this.journal().settle(&key).await;
        assert_eq!(settled, Err(ReadError::OtherStore { run: store, journal }));
    }
}

#[tokio::test]
async fn settling_leaves_no_stream_open() {
    let kept = on_disk();
    let (key, _) = store(&kept, run(&kept, 1, &[b"a"]).await).await;
    let kept = kept.reopened();
    assert!(matches!(settle(&kept, &key).await, Settled::Stored(_)));
    let mut run = RunBuilder::new(annals::StreamNo(1), alice(), SeqNr(2));
    let event = EventRecord { name: "happened", version: 1, codec: Codec::MessagePack, payload: b"b" };
    run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
    let outcome = kept.journal().append(vec![run.seal(&kept.journal().facts(), 1)]).await;
    assert!(matches!(outcome[..], [Outcome::NotStored(annals::journal::Why::BadRun(_))]), "{outcome:?}");
}

#[tokio::test]
async fn a_key_is_the_same_when_it_was_written_and_read() {
    let kept = memory();
    let key = run(&kept, 7, &[b"a", b"b"]).await.key(&kept.journal().facts());
    assert_eq!((key.id(), key.first(), key.last(), key.records()), (&alice(), SeqNr(7), SeqNr(8), 2));
    let text = serde_json::to_string(&key).unwrap();
    assert_eq!(serde_json::from_str::<RunKey>(&text).unwrap(), key);
    for (whole, bad) in [("\"first\":7", "\"first\":0"), ("\"records\":2", "\"records\":0")] {
        assert!(text.contains(whole), "{text}");
        let error = serde_json::from_str::<RunKey>(&text.replace(whole, bad)).unwrap_err();
        assert!(error.to_string().contains("no run has these records"), "{error}");
    }
    let beyond = text.replace("\"first\":7", &format!("\"first\":{}", u64::MAX));
    assert!(serde_json::from_str::<RunKey>(&beyond).is_err());
}

#[tokio::test]
async fn a_command_of_unknown_outcome_is_settled_by_the_next_system() {
    for (unknown, expected) in
        [(UnknownRun::Stored, Settled::Stored(Offset(2))), (UnknownRun::Lost, Settled::NotStored)]
    {
        let (system, journal) = system();
        let alice = system.get::<Account>("alice");
        alice.deposit(1).await.unwrap();
        journal.faults().fail_next(unknown);
        let run = match alice.deposit(2).await {
            Err(CallError::Unknown { why: Unknown::Journal { run, .. }, .. }) => run,
            other => panic!("{other:?}"),
        };
        assert_eq!(system.settle(&run).await, Ok(Settled::Unsettled));
        let system: System = restarted(&journal);
        assert_eq!(system.settle(&run).await, Ok(expected));
        let balance = system.get::<Account>("alice").balance().await.unwrap();
        assert_eq!(balance, if unknown == UnknownRun::Stored { 3 } else { 1 });
    }
}
