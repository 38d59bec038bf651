//! Stores that older versions wrote, which open for ever.

use std::fs;
use std::path::{Path, PathBuf};

use annals_tests::golden::{again, copy, told};

/// The fixtures, by version.
fn fixtures() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut fixtures: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    fixtures.sort();
    assert!(!fixtures.is_empty());
    fixtures
}

/// Opens a copy: opening a store writes into it.
fn copied(fixture: &Path) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(&fixture.join("store"), directory.path()).unwrap();
    directory
}

#[tokio::test]
async fn what_older_versions_wrote_is_read_as_it_was_written() {
    for fixture in fixtures() {
        let expected = fs::read_to_string(fixture.join("told.txt")).unwrap().replace("\r\n", "\n");
        let store = copied(&fixture);
        // To open it changes nothing of what it says.
        for _ in 0..2 {
            let told = told(store.path()).await.unwrap();
            assert_eq!(told, expected, "{}", fixture.display());
        }
    }
}

#[tokio::test]
async fn what_older_versions_wrote_goes_on() {
    for fixture in fixtures() {
        again(copied(&fixture).path()).await.unwrap();
    }
}

#[tokio::test]
async fn a_store_of_an_older_version_that_was_damaged_is_refused() {
    for fixture in fixtures() {
        let store = copied(&fixture);
        let head = store.path().join("head");
        let bytes: Vec<u8> = fs::read(&head).unwrap().into_iter().map(|byte| byte ^ 0x40).collect();
        fs::write(&head, bytes).unwrap();
        assert!(told(store.path()).await.is_err(), "{}", fixture.display());
    }
}
