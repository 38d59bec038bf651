//! Each way in which `StoreDir` says that it can't, and that nothing was changed then.

use std::io::{self, Read};
use std::ops::ControlFlow;

use annals::journal::{ExportKeys, ImportKeys, OpenError, ReadError, RepairOptions, StoreDir, StoreError};

use super::*;

/// Takes and gives nothing.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the line is cut"))
    }
}

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("the line is cut"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn store(place: &Place) -> StoreDir {
    StoreDir::open(place.path("store")).unwrap()
}

/// An export of the store, and its keys.
fn exported(place: &Place) -> (Vec<u8>, Vec<u8>) {
    let (mut out, mut keys) = (Vec::new(), Vec::new());
    store(place).export(&mut out, ExportKeys::To(&mut keys), &mut |_| {}).unwrap();
    (out, keys)
}

/// Imports to a place where nothing is, and nothing is to be.
fn refused_import(place: &Place, mut input: impl Read, keys: ImportKeys<'_>) -> StoreError {
    let error = StoreDir::import(&mut input, place.path("new"), keys, &mut |_| {}).unwrap_err();
    assert_eq!(place.names(), ["store"], "{error}");
    error
}

#[test]
fn what_is_no_store_is_not_opened() {
    let place = Place::written(1);
    let missing = StoreDir::open(place.path("nowhere")).unwrap_err();
    assert!(matches!(&missing, StoreError::Missing { path } if *path == place.path("nowhere")), "{missing}");
    let below_a_file = StoreDir::open(place.path("store/head/below")).unwrap_err();
    assert!(matches!(&below_a_file, StoreError::Io { tried: "find", .. }), "{below_a_file}");
    let journal = FjallJournal::open(place.path("store"), FjallOptions::new()).unwrap();
    let open = StoreDir::open(place.path("store")).unwrap_err();
    let process = std::process::id();
    assert!(matches!(&open, StoreError::Open(OpenError::Locked { pid: Some(pid), .. }) if *pid == process), "{open}");
    assert!(![missing, below_a_file, open].iter().any(StoreError::is_damage));
    drop(journal);
    StoreDir::open(place.path("store")).unwrap();
}

#[test]
fn what_is_not_there_is_not_read() {
    let place = Place::golden();
    let nobody = PersistenceId::new("Purse", "nobody");
    let no_stream = store(&place).stream(&nobody).unwrap_err();
    assert!(matches!(&no_stream, StoreError::NoStream { id } if *id == nobody), "{no_stream}");
    assert!(!no_stream.is_damage());

    let place = Place::written(120);
    let mut tables: Vec<_> = files(&place.path("store/fjall/keyspaces/1/tables"));
    tables.sort_by_key(|(_, bytes)| bytes.len());
    let (table, bytes) = tables.last().unwrap();
    let at = bytes.windows(200).rposition(|window| window.iter().all(|byte| *byte == b'x')).unwrap() / 2;
    flip(table, at, 0);
    let (mut seen, mut store) = (0, store(&place));
    let mut read =
        || store.all_records(annals::Offset(1), &mut |_| {}, &mut |_| (seen += 1, ControlFlow::Continue(())).1);
    let unread = read().unwrap_err();
    assert!(matches!(&unread, StoreError::Read(ReadError::Corrupt(_))), "{unread}");
    assert!(unread.is_damage() && seen < 480, "{seen}");
}

#[test]
fn a_store_that_is_damaged_is_not_exported() {
    let place = Place::golden();
    flip(&place.path("store/head"), 30, 0);
    let mut out = Vec::new();
    let damaged = store(&place).export(&mut out, ExportKeys::Without, &mut |_| {}).unwrap_err();
    let StoreError::Damaged { corrupt } = &damaged else { panic!("{damaged}") };
    assert!(corrupt.to_string().contains("head") && damaged.is_damage() && out.is_empty(), "{corrupt}");
}

#[test]
fn an_engine_that_can_not_be_opened_is_told_file_by_file() {
    let place = Place::golden();
    let current = place.path("store/fjall/keyspaces/1/current");
    fs::remove_file(&current).unwrap();
    let error = store(&place).repair(&RepairOptions::default(), &mut |_| {}).unwrap_err();
    let StoreError::Engine { flaws } = &error else { panic!("{error}") };
    let current = fs::canonicalize(current.parent().unwrap()).unwrap().join("current");
    assert!(flaws.contains(&(current, "it is missing".to_owned())), "{flaws:?}");
    assert!(error.is_damage());
    // A system that refuses a file says nothing about what is stored.
    let place = Place::golden();
    let lock = place.path("store/fjall/lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let error = FjallJournal::open(place.path("store"), FjallOptions::new()).unwrap_err();
    assert!(matches!(&error, OpenError::Engine { error, .. } if error.contains("fjall/lock")), "{error}");
    fs::remove_dir(&lock).unwrap();
    drop(FjallJournal::open(place.path("store"), FjallOptions::new()).unwrap());
}

#[test]
fn an_export_that_is_not_taken_is_told() {
    let place = Place::golden();
    let unsaid = store(&place).export(&mut Vec::new(), ExportKeys::Unsaid, &mut |_| {}).unwrap_err();
    assert!(matches!(unsaid, StoreError::KeysUnsaid { streams: 2 }), "{unsaid:?}");
    let broken = store(&place).export(&mut Broken, ExportKeys::Without, &mut |_| {}).unwrap_err();
    assert!(matches!(&broken, StoreError::Output(error) if error.to_string() == "the line is cut"), "{broken}");
    let broken = store(&place).export(&mut Vec::new(), ExportKeys::To(&mut Broken), &mut |_| {}).unwrap_err();
    assert!(matches!(&broken, StoreError::Output(_)) && !broken.is_damage(), "{broken}");
}

#[test]
fn an_import_that_can_not_be_made_leaves_nothing() {
    let (place, other) = (Place::golden(), Place::written(1));
    let (export, keys) = exported(&place);
    let there = StoreDir::import(&mut &export[..], place.path("store"), ImportKeys::Without, &mut |_| {}).unwrap_err();
    assert!(matches!(&there, StoreError::NotVacant { path } if *path == place.path("store")), "{there}");
    let unsaid = refused_import(&place, &export[..], ImportKeys::Unsaid);
    assert!(matches!(unsaid, StoreError::KeysUnsaid { streams: 0 }), "{unsaid:?}");
    let broken = refused_import(&place, Broken, ImportKeys::Without);
    assert!(matches!(&broken, StoreError::Input(error) if error.to_string() == "the line is cut"), "{broken}");
    let broken = refused_import(&place, export[..export.len() / 2].chain(Broken), ImportKeys::Without);
    assert!(matches!(&broken, StoreError::Input(_)) && !broken.is_damage(), "{broken}");
    let cut = refused_import(&place, &export[..export.len() / 2], ImportKeys::Without);
    assert!(matches!(&cut, StoreError::Export { at, .. } if *at > 0) && cut.is_damage(), "{cut}");
    // The keys of another day: one of them is damaged.
    let mut bad = keys;
    *bad.last_mut().unwrap() ^= 1;
    let not_whole = refused_import(&place, &export[..], ImportKeys::From(&mut &bad[..]));
    assert!(matches!(&not_whole, StoreError::NotWhole { .. }) && not_whole.is_damage(), "{not_whole}");
    let (export, _) = exported(&other);
    StoreDir::import(&mut &export[..], place.path("new"), ImportKeys::Unsaid, &mut |_| {}).unwrap();
}
