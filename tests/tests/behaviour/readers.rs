//! Readers of the journal, by name.

use annals::journal::MemoryJournal;
use annals::{Offset, ReadMark, ReaderError, StartError, System};

#[tokio::test]
async fn two_readers_of_one_name_are_refused() {
    let taken = ReaderError::NameTaken { name: "billing".into() };
    let (one, two) = (ReadMark::new("billing", Offset(0)), ReadMark::new("billing", Offset(0)));
    let error = System::builder().reader(&one).reader(&two).start(MemoryJournal::new()).unwrap_err();
    assert_eq!(error, StartError::Reader(taken.clone()));
    let system = System::builder().reader(&one).reader(&one.clone()).start(MemoryJournal::new()).unwrap();
    assert_eq!(system.register_reader(&two), Err(taken));
    system.register_reader(&one).unwrap();
    assert!(system.unregister_reader("billing"));
    system.register_reader(&two).unwrap();
    assert!(!system.unregister_reader("shipping"));
}

#[tokio::test]
async fn a_reader_that_was_started_again_takes_its_place() {
    let first = ReadMark::new("billing", Offset(3));
    let system = System::builder().reader(&first).start(MemoryJournal::new()).unwrap();
    drop(first);
    let (again, third) = (ReadMark::new("billing", Offset(2)), ReadMark::new("billing", Offset(2)));
    system.register_reader(&again).unwrap();
    assert_eq!(system.register_reader(&third), Err(ReaderError::NameTaken { name: "billing".into() }));
}
