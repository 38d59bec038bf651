//! Forgetting entities: nothing of them can be read any more, wherever it was.

use std::fs;
use std::path::Path;

use annals::journal::{FjallJournal, FjallOptions, Journal, MemoryJournal, ReadError};
use annals::prelude::*;
use annals::testing::UnknownRun;
use annals::{
    Builder, DeleteError, ForgetError, Offset, PersistenceId, ReadMark, ReplayError, SeqNr, Snapshot, System,
};

use crate::shelf::Shelf;
use crate::until;
use crate::world::stored;

/// What somebody has told a doctor.
#[derive(Debug, Default, Clone, Serialize, Deserialize, Snapshot)]
struct Patient {
    told: Vec<String>,
}

#[aggregate(forgettable, snapshot(every = 2, keep = 2))]
impl Patient {
    #[event]
    fn told(&mut self, text: String) {
        self.told.push(text);
    }

    #[command]
    fn tell(&self, text: String) -> Step<usize> {
        applying(PatientEvent::Told { text }).replying(self.told.len() + 1)
    }
}

/// The program of yesterday, which encrypted nothing.
mod yesterday {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub struct Patient;

    #[aggregate]
    impl Patient {
        #[event]
        fn told(&mut self, text: String) {
            let _ = text;
        }

        #[command]
        fn tell(&self, text: String) -> Step {
            applying(PatientEvent::Told { text })
        }
    }
}

const NAME: &str = "erika.mustermann@example.org";
const SECRET: &str = "a most embarrassing rash";

fn builder(shelf: &Shelf) -> Builder {
    System::builder().shards(2).snapshots(shelf.clone())
}

async fn tell(system: &System, times: usize) {
    for _ in 0..times {
        system.get::<Patient>(NAME).tell(SECRET.to_owned()).await.unwrap();
    }
}

/// Says that calls meet the end of the entity, and nothing can be told of it.
async fn assert_forgotten(system: &System, last: u64) {
    let error = system.get::<Patient>(NAME).tell("again".to_owned()).await.unwrap_err();
    assert_eq!(error, CallError::Deleted { id: PersistenceId::new("Patient", NAME), seq_nr: SeqNr(last) });
    let error = system.replay::<Patient>(NAME).await.unwrap_err();
    assert!(matches!(error, ReplayError::Ended { .. }), "{error:?}");
}

#[tokio::test]
async fn a_forgotten_entity_is_gone_with_its_snapshots_and_its_id_stays_taken() {
    let (shelf, journal) = (Shelf::new(), MemoryJournal::new());
    let system = builder(&shelf).start(journal.clone()).unwrap();
    tell(&system, 4).await;
    until("they are saved", || shelf.seqs(&PersistenceId::new("Patient", NAME)) == [4, 2]).await;
    // Nobody who has still to read is asked.
    system.register_reader(&ReadMark::new("billing", Offset(0))).unwrap();
    assert!(matches!(system.delete::<Patient>(NAME).await, Err(DeleteError::StillRead { .. })));
    let forgotten = system.forget::<Patient>(NAME).await.unwrap();
    assert_eq!((forgotten.seq_nr, forgotten.snapshots), (SeqNr(5), 2));
    assert_eq!(shelf.seqs(&PersistenceId::new("Patient", NAME)).len(), 0);
    assert_forgotten(&system, 5).await;
    assert_eq!(system.forget::<Patient>(NAME).await.unwrap().seq_nr, SeqNr(5), "again is harmless");
    assert_eq!(system.get::<Patient>("other").tell("hello".to_owned()).await.unwrap(), 1, "others go on");
    system.shutdown().await.unwrap();
    let journal = journal.reopen();
    assert_eq!(stored(&journal, NAME).await, [""; 0]);
    let system = builder(&shelf).start(journal).unwrap();
    assert_forgotten(&system, 5).await;
    assert_eq!(system.forget::<Patient>(NAME).await.unwrap().seq_nr, SeqNr(5));
    assert_eq!(system.delete::<Patient>(NAME).await.unwrap().seq_nr, SeqNr(5));
}

#[tokio::test]
async fn a_deleted_entity_can_be_forgotten() {
    let (shelf, journal) = (Shelf::new(), MemoryJournal::new());
    let system = builder(&shelf).start(journal.clone()).unwrap();
    tell(&system, 1).await;
    assert_eq!(system.delete::<Patient>(NAME).await.unwrap().seq_nr, SeqNr(2));
    assert_eq!(stored(&journal, NAME).await.len(), 1);
    assert_eq!(system.forget::<Patient>(NAME).await.unwrap().seq_nr, SeqNr(2));
    assert_eq!(stored(&journal, NAME).await.len(), 0);
    assert_forgotten(&system, 2).await;
}

#[tokio::test]
async fn what_was_begun_without_encryption_can_only_be_deleted() {
    let (shelf, journal) = (Shelf::new(), MemoryJournal::new());
    let old = System::builder().start(journal.clone()).unwrap();
    old.get::<yesterday::Patient>(NAME).tell(SECRET.to_owned()).await.unwrap();
    old.shutdown().await.unwrap();
    let system = builder(&shelf).start(journal.reopen()).unwrap();
    let error = system.forget::<Patient>(NAME).await.unwrap_err();
    assert_eq!(error, ForgetError::NotForgettable { id: PersistenceId::new("Patient", NAME) });
    assert_eq!(system.get::<Patient>(NAME).tell(SECRET.to_owned()).await.unwrap(), 2, "nothing was changed");
    assert_eq!(system.delete::<Patient>(NAME).await.unwrap().seq_nr, SeqNr(3));
    assert!(matches!(system.forget::<Patient>(NAME).await, Err(ForgetError::NotForgettable { .. })));
    let error = system.forget::<Patient>("nobody").await.unwrap_err();
    assert_eq!(error, ForgetError::NotFound { id: PersistenceId::new("Patient", "nobody") });
    assert!(matches!(system.forget::<Patient>("").await, Err(ForgetError::Call(CallError::NotStored { .. }))));
    system.shutdown().await.unwrap();
    assert!(matches!(system.forget::<Patient>(NAME).await, Err(ForgetError::Call(CallError::Stopped { .. }))));
}

#[tokio::test]
async fn what_was_interrupted_is_completed_by_asking_again() {
    let (shelf, journal) = (Shelf::new(), MemoryJournal::new());
    let system = builder(&shelf).start(journal.clone()).unwrap();
    tell(&system, 4).await;
    until("they are saved", || shelf.seqs(&PersistenceId::new("Patient", NAME)) == [4, 2]).await;
    shelf.fail(true);
    let error = system.forget::<Patient>(NAME).await.unwrap_err();
    assert!(matches!(error, ForgetError::SnapshotsLeft { seq_nr: SeqNr(5), .. }), "{error:?}");
    shelf.fail(false);
    assert_eq!(system.forget::<Patient>(NAME).await.unwrap().snapshots, 2);
    assert_forgotten(&system, 5).await;

    system.get::<Patient>("other").tell(SECRET.to_owned()).await.unwrap();
    journal.faults().fail_next(UnknownRun::Stored);
    let error = system.forget::<Patient>("other").await.unwrap_err();
    assert!(matches!(error, ForgetError::Call(CallError::Unknown { .. })), "{error:?}");
    let system = builder(&shelf).start(journal.reopen()).unwrap();
    assert_eq!(system.forget::<Patient>("other").await.unwrap().seq_nr, SeqNr(2));
}

#[tokio::test]
async fn snapshots_that_cannot_be_deleted_do_not_save_the_key() {
    let (shelf, directory) = (Shelf::new(), tempfile::tempdir().unwrap());
    let system = builder(&shelf).open(directory.path()).await.unwrap();
    tell(&system, 2).await;
    until("it is saved", || system.stats().snapshots_saved == 1).await;
    shelf.fail(true);
    let error = system.forget::<Patient>(NAME).await.unwrap_err();
    assert!(matches!(error, ForgetError::SnapshotsLeft { seq_nr: SeqNr(3), .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("its events are deleted, up to sequence number 3, and its key, but its snapshots stay"),
        "{error}"
    );
    assert_eq!(system.forget::<Patient>(NAME).await.unwrap().seq_nr, SeqNr(3), "there is nothing left to do");
    system.shutdown().await.unwrap();

    let journal = FjallJournal::open(directory.path(), FjallOptions::new()).unwrap();
    let head = journal.open_stream(&PersistenceId::new(Patient::NAME, NAME)).await.unwrap();
    assert!(matches!(journal.cipher(head.stream), Err(ReadError::Forgotten { .. })));
}

/// The files below a directory that contain some text.
fn with_text(directory: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(with_text(&path, text));
        } else if fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn on_a_disk_neither_its_id_nor_its_data_is_in_any_file() {
    let directory = tempfile::tempdir().unwrap();
    let system = System::open(directory.path()).await.unwrap();
    tell(&system, 4).await;
    until("snapshots are saved", || system.stats().snapshots_saved == 2).await;
    system.get::<Patient>("plainly here").tell("hello".to_owned()).await.unwrap();
    system.get::<annals_tests::Account>("in the clear").deposit(1).await.unwrap();
    let past = system.replay::<Patient>(NAME).to_seq(SeqNr(3)).await.unwrap();
    assert_eq!(past.data().told.len(), 3);
    system.shutdown().await.unwrap();
    let system = System::open(directory.path()).await.unwrap();
    assert_eq!(system.get::<Patient>(NAME).tell(SECRET.to_owned()).await.unwrap(), 5);
    assert_eq!(system.stats().events_replayed, 0, "it was loaded from its snapshot");
    let forgotten = system.forget::<Patient>(NAME).await.unwrap();
    assert_eq!((forgotten.seq_nr, forgotten.snapshots), (SeqNr(6), 2));
    assert_forgotten(&system, 6).await;
    system.shutdown().await.unwrap();
    assert_eq!((with_text(directory.path(), NAME), with_text(directory.path(), SECRET)), (vec![], vec![]));
    assert!(!with_text(directory.path(), "in the clear").is_empty(), "this is how to look");
    let system = System::open(directory.path()).await.unwrap();
    assert_forgotten(&system, 6).await;
    assert_eq!(system.forget::<Patient>(NAME).await.unwrap().seq_nr, SeqNr(6));
    system.register_reader(&ReadMark::new("billing", Offset(0))).unwrap();
    assert_eq!(system.delete::<Patient>(NAME).await.unwrap().seq_nr, SeqNr(6), "nobody has to read it");
    assert_eq!(system.get::<Patient>("plainly here").tell("again".to_owned()).await.unwrap(), 2);
    system.shutdown().await.unwrap();
}
