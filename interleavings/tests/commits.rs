//! Group commits of the journal on a disk: callers, the writer, those who wait for what is durable, and the end.

use std::path::Path;
use std::sync::Arc;

use annals::journal::{
    CloseError, Due, Durability, EventRecord, FjallJournal, FjallOptions, Health, Journal, Outcome, Record, Run,
    RunBuilder, Why, Write,
};
use annals::{Codec, Offset, PersistenceId, SeqNr, StreamNo, Timestamp};
use shuttle::future::block_on;
use shuttle::thread;

use crate::explore;

fn open(path: &Path) -> Arc<FjallJournal> {
    let options = FjallOptions::new().durability(Durability::Os);
    Arc::new(FjallJournal::open(path.join("journal"), options).unwrap())
}

fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn id(name: &str) -> PersistenceId {
    PersistenceId::new("account", name)
}

fn begin(journal: &FjallJournal, name: &str) -> StreamNo {
    block_on(journal.open_stream(&id(name))).unwrap().stream
}

fn run(journal: &FjallJournal, stream: StreamNo, name: &str, first: u64) -> Run {
    let mut run = RunBuilder::new(stream, id(name), SeqNr(first));
    let event = EventRecord { name: "happened", version: 1, codec: Codec::MessagePack, payload: b"x" };
    run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
    run.seal(&journal.facts(), first)
}

fn append(journal: &FjallJournal, stream: StreamNo, name: &str, first: u64) -> Outcome {
    let outcomes = block_on(journal.append(vec![run(journal, stream, name, first)]));
    let [outcome] = <[Outcome; 1]>::try_from(outcomes).unwrap();
    outcome
}

fn runs(journal: &FjallJournal, stream: StreamNo) -> usize {
    block_on(journal.read(stream, SeqNr(1), SeqNr(u64::MAX), usize::MAX)).unwrap().runs.len()
}

#[test]
fn what_is_told_is_durable_and_can_be_read() {
    explore(60, || {
        let dir = directory();
        let journal = open(dir.path());
        let follower = thread::spawn({
            let journal = Arc::clone(&journal);
            move || {
                let mut reached = Offset(0);
                while reached < Offset(4) {
                    let now = block_on(journal.changed(reached));
                    assert!(now > reached && journal.durable() >= now);
                    let page = block_on(journal.read_all(reached, usize::MAX)).unwrap();
                    assert!(page.runs.last().is_some_and(|run| run.offset >= now), "what is durable can't be read");
                    reached = now;
                }
            }
        });
        let callers: Vec<_> = ["a", "b"]
            .map(|name| {
                let journal = Arc::clone(&journal);
                thread::spawn(move || {
                    let stream = begin(&journal, name);
                    for first in 1..=2 {
                        let Outcome::Stored(offset) = append(&journal, stream, name, first) else { panic!() };
                        assert!(journal.durable() >= offset, "told before it was durable");
                        assert_eq!(Ok(runs(&journal, stream)), usize::try_from(first));
                    }
                    journal.close_stream(stream);
                    // As the disk has it, not the memory.
                    assert_eq!(block_on(journal.open_stream(&id(name))).unwrap().last, SeqNr(2));
                })
            })
            .into_iter()
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        follower.join().unwrap();
        assert_eq!(block_on(journal.close()), Ok(()));
    });
}

#[test]
fn a_close_stores_what_waits_and_refuses_what_comes() {
    explore(60, || {
        let dir = directory();
        let journal = open(dir.path());
        let stream = begin(&journal, "a");
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let journal = Arc::clone(&journal);
                thread::spawn(move || {
                    let (one, two) = (run(&journal, stream, "a", 1), run(&journal, stream, "a", 2));
                    let outcomes = [journal.append(vec![one]), journal.append(vec![two])].map(block_on);
                    outcomes
                        .into_iter()
                        .flatten()
                        .filter(|outcome| match outcome {
                            Outcome::Stored(_) => true,
                            Outcome::NotStored(Why::Closed | Why::Conflict { .. }) => false,
                            outcome => panic!("{outcome:?}"),
                        })
                        .count()
                })
            })
            .collect();
        let other = thread::spawn({
            let journal = Arc::clone(&journal);
            move || block_on(journal.close())
        });
        assert_eq!(block_on(journal.close()), Ok(()));
        assert_eq!(other.join().unwrap(), Ok(()));
        let stored: usize = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
        assert_eq!(block_on(journal.changed(Offset(9))).0, journal.durable().0);
        assert_eq!(journal.health(), Health::Closed);
        drop(journal);
        let journal = open(dir.path());
        let stream = begin(&journal, "a");
        assert_eq!(runs(&journal, stream), stored, "exactly what was told is stored");
    });
}

#[test]
fn a_commit_that_fails_leaves_nobody_without_an_answer() {
    explore(60, || {
        let dir = directory();
        let journal = open(dir.path());
        let callers: Vec<_> = ["a", "b"]
            .map(|name| {
                let journal = Arc::clone(&journal);
                thread::spawn(move || {
                    let stream = begin(&journal, name);
                    let mut told = Vec::new();
                    for first in 1..=2 {
                        let outcome = append(&journal, stream, name, first);
                        if !matches!(outcome, Outcome::Stored(_)) {
                            assert!(matches!(journal.health(), Health::Failed(_)), "told before it was failed");
                        }
                        told.push(outcome);
                    }
                    (name, told)
                })
            })
            .into_iter()
            .collect();
        let follower = thread::spawn({
            let journal = Arc::clone(&journal);
            // It ends, since the journal does.
            move || block_on(journal.changed(Offset(9)))
        });
        journal.fail_next_commit();
        let told: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        let failed = matches!(journal.health(), Health::Failed(_));
        assert_eq!(block_on(journal.close()).is_err(), failed);
        follower.join().unwrap();
        drop(journal);
        let journal = open(dir.path());
        for (name, outcomes) in told {
            let stream = begin(&journal, name);
            let (mut least, mut most, mut ended) = (0, 0, false);
            for outcome in outcomes {
                match outcome {
                    Outcome::Stored(_) => {
                        assert!(!ended, "stored behind a failure");
                        (least, most) = (least + 1, most + 1);
                    }
                    Outcome::Unknown(_) => (most, ended) = (most + 1, true),
                    Outcome::NotStored(_) => ended = true,
                }
            }
            assert!((least..=most).contains(&runs(&journal, stream)));
        }
    });
}

#[test]
fn a_deletion_hides_exactly_what_it_was_told_to() {
    explore(60, || {
        let dir = directory();
        let journal = open(dir.path());
        let stream = begin(&journal, "a");
        assert_eq!(append(&journal, stream, "a", 1), Outcome::Stored(Offset(1)));
        assert_eq!(append(&journal, stream, "a", 2), Outcome::Stored(Offset(2)));
        let deleter = thread::spawn({
            let journal = Arc::clone(&journal);
            move || {
                let outcome = block_on(journal.delete_to(stream, SeqNr(1)));
                assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
                assert_eq!(block_on(journal.open_stream(&id("a"))).unwrap().floor, SeqNr(1));
                journal.close_stream(stream);
            }
        });
        let reader = thread::spawn({
            let journal = Arc::clone(&journal);
            // Either all or what isn't deleted, and never a stream with a hole.
            move || assert!((1..=3).contains(&runs(&journal, stream)))
        });
        assert_eq!(append(&journal, stream, "a", 3), Outcome::Stored(Offset(3)));
        deleter.join().unwrap();
        reader.join().unwrap();
        assert_eq!(runs(&journal, stream), 2);
        assert_eq!(block_on(journal.close()), Ok::<(), CloseError>(()));
    });
}

#[test]
fn a_journal_that_is_dropped_stores_what_it_has() {
    explore(60, || {
        let dir = directory();
        let journal = open(dir.path());
        let stream = begin(&journal, "a");
        let (first, second) = (run(&journal, stream, "a", 1), run(&journal, stream, "a", 2));
        let outcomes = [journal.append(vec![first]), journal.append(vec![second])];
        let caller = thread::spawn(move || outcomes.map(block_on).concat());
        drop(journal);
        assert_eq!(caller.join().unwrap(), [Outcome::Stored(Offset(1)), Outcome::Stored(Offset(2))]);
    });
}
