//! Directories that can be opened, and those that can't.

use std::fs;

use annals::journal::{Durability, OpenError as JournalError};
use annals::{OpenError, System};
use annals_tests::Account;

#[tokio::test]
async fn a_directory_is_made_and_found_again() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("new/store");
    for durability in [Durability::Fsync, Durability::Os, Durability::Fsync] {
        let system = System::builder().durability(durability).open(&directory).await.unwrap();
        let alice = system.get::<Account>("alice");
        let before = alice.balance().await.unwrap();
        assert_eq!(alice.deposit(1).await.unwrap(), before + 1);
        system.shutdown().await.unwrap();
    }
    let system = System::open(&directory).await.unwrap();
    assert_eq!(system.get::<Account>("alice").balance().await.unwrap(), 3);
    assert_eq!(system.stats().events_replayed, 3);
}

#[tokio::test]
async fn a_directory_belongs_to_one_system_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let system = System::open(directory.path()).await.unwrap();
    let error = System::open(directory.path()).await.unwrap_err();
    let told = error.to_string();
    assert!(
        matches!(error, OpenError::Journal(JournalError::Locked { pid: Some(pid), .. }) if pid == std::process::id())
    );
    assert!(told.contains(directory.path().to_str().unwrap()) && told.contains("open already in process"), "{told}");
    system.shutdown().await.unwrap();
    System::open(directory.path()).await.unwrap().shutdown().await.unwrap();
}

#[tokio::test]
async fn a_second_process_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let system = System::open(directory.path()).await.unwrap();
    system.get::<Account>("0").deposit(1).await.unwrap();
    let victim = env!("CARGO_BIN_EXE_victim");
    let output =
        std::process::Command::new(victim).arg(directory.path()).args(["1", "fsync", "plain"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "a second process opened the directory");
    assert!(told.contains("Locked") && told.contains(&std::process::id().to_string()), "{told}");
    assert_eq!(system.get::<Account>("0").deposit(1).await.unwrap(), 2);
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let foreign = parent.path().join("photos");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("holiday.jpg"), b"...").unwrap();
    let error = System::open(&foreign).await.unwrap_err();
    assert!(matches!(error, OpenError::Journal(JournalError::NotOurs { .. })), "{error:?}");
    assert!(error.to_string().contains("holiday.jpg"), "{error}");
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);

    let error = System::open(foreign.join("holiday.jpg")).await.unwrap_err();
    assert!(matches!(error, OpenError::Journal(JournalError::NotADirectory { .. })), "{error:?}");
    assert_eq!(fs::read(foreign.join("holiday.jpg")).unwrap(), b"...");
}

#[tokio::test]
async fn a_journal_whose_head_was_overwritten_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let system = System::open(directory.path()).await.unwrap();
    system.get::<Account>("alice").deposit(1).await.unwrap();
    system.shutdown().await.unwrap();
    fs::write(directory.path().join("head"), [0; 8192]).unwrap();
    let error = System::open(directory.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Journal(JournalError::Corrupt { .. })), "{error:?}");
    assert!(error.to_string().contains("head"), "{error}");
}

/// `/proc` refuses every file, also to root, as a read-only file system does.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_place_where_nothing_can_be_written_is_refused_with_what_was_tried() {
    let error = System::open("/proc/annals").await.unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, OpenError::Journal(JournalError::Io { .. })), "{error:?}");
    assert!(told.contains("can't") && told.contains("/proc"), "{told}");
}
