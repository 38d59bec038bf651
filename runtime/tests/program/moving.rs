//! A store goes into one file, and comes out of it again.

use super::*;

fn listed(place: &Place, store: &str) -> String {
    place.fine(&["list", store]).out
}

#[test]
fn an_export_becomes_the_same_store_again() {
    let place = Place::golden();
    place.fine(&["export", "store", "export", "--keys", "keys"]);
    let ran = place.fine(&["import", "export", "imported", "--keys", "keys"]);
    assert_eq!(ran.out, "imported holds 76 rows and 3 snapshots\n");
    place.fine(&["verify", "imported"]);
    assert_eq!(listed(&place, "imported"), listed(&place, "store"));
    let records = |store| place.fine(&["export", store, "--json"]).out;
    assert_eq!(records("imported"), records("store"));
    // What is exported of the one is what is exported of the other.
    place.fine(&["export", "imported", "again", "--keys", "again.keys"]);
    assert!(fs::read(place.path("again")).unwrap() == fs::read(place.path("export")).unwrap());
    assert!(fs::read(place.path("again.keys")).unwrap() == fs::read(place.path("keys")).unwrap());
    // Nothing half-made is left.
    assert_eq!(place.names(), ["again", "again.keys", "export", "imported", "keys", "store"]);
}

#[test]
fn an_imported_store_goes_on() {
    let place = Place::written(20);
    place.fine(&["export", "store", "export"]);
    place.fine(&["import", "export", "imported"]);
    write(&place.path("imported"), 20..30);
    write(&place.path("store"), 20..30);
    for name in NAMES {
        assert_eq!(seq_nrs(&place.path("imported"), name), seq_nrs(&place.path("store"), name));
    }
    place.fine(&["verify", "imported"]);
}

#[test]
fn an_empty_store_is_moved_too() {
    let place = Place::written(0);
    place.fine(&["export", "store", "export"]);
    place.fine(&["import", "export", "imported"]);
    write(&place.path("imported"), 0..1);
    place.fine(&["verify", "imported"]);
}

#[test]
fn pipes_do_as_well_as_files() {
    let place = Place::written(3);
    let output = place.command().args(["export", "store"]).output().unwrap();
    assert!(output.status.success());
    let ran = place.run_with(&["import", "-", "imported"], &output.stdout);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(listed(&place, "imported"), listed(&place, "store"));
}

#[test]
fn something_must_be_said_about_keys() {
    let place = Place::golden();
    for args in [&["export", "store", "export"][..], &["export", "store"]] {
        let ran = place.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
        assert!(ran.err.contains("--keys") && ran.err.contains("--without-keys"), "{ran:?}");
    }
    place.fine(&["export", "store", "export", "--without-keys"]);
    let ran = place.run(&["import", "export", "imported"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("--keys"), "{ran:?}");
    assert_eq!(place.names(), ["export", "store"]);
}

#[test]
fn without_its_keys_a_stream_is_forgotten() {
    let place = Place::golden();
    place.fine(&["export", "store", "export", "--without-keys"]);
    let ran = place.fine(&["import", "export", "imported", "--without-keys"]);
    assert!(ran.out.contains("1 streams are forgotten"), "{ran:?}");
    place.fine(&["verify", "imported"]);
    let patients = place.fine(&["list", "imported", "--aggregate", "Patient"]).out;
    assert_eq!(patients.matches("Patient/(forgotten)").count(), 2, "{patients}");
    // The journal opens, and goes on with keys that are others.
    let journal = FjallJournal::open(place.path("imported"), FjallOptions::new()).unwrap();
    block_on(journal.close()).unwrap();
    place.fine(&["verify", "imported"]);
}

#[test]
fn an_export_has_neither_keys_nor_what_they_encrypt() {
    let place = Place::golden();
    place.fine(&["export", "store", "export", "--keys", "keys"]);
    let (export, keys) = (fs::read(place.path("export")).unwrap(), fs::read(place.path("keys")).unwrap());
    assert!(keys == fs::read(place.path("store/keys")).unwrap());
    let contains = |part: &[u8]| export.windows(part.len()).any(|window| window == part);
    assert!(!contains(&keys[64 + 16..64 + 48]) && !contains(&keys[24..56]));
    assert!(!contains(b"a cough") && contains(b"anna"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            fs::metadata(place.path("keys")).unwrap().permissions().mode() & 0o77,
            0,
            "others may read the keys"
        );
    }
}

#[test]
fn foreign_or_damaged_keys_are_refused() {
    let place = Place::golden();
    place.fine(&["export", "store", "export", "--keys", "keys"]);
    let keys = fs::read(place.path("keys")).unwrap();
    let mut slot = keys.clone();
    slot[90] ^= 1;
    let mut header = keys.clone();
    header[30] ^= 1;
    for bad in [&keys[..64], &keys[..100], &slot, &header, b"", b"a letter"] {
        fs::write(place.path("bad"), bad).unwrap();
        let ran = place.run(&["import", "export", "imported", "--keys", "bad"]);
        assert_ne!(ran.code, 0, "{} bytes: {ran:?}", bad.len());
        assert_eq!(place.names(), ["bad", "export", "keys", "store"]);
    }
}

#[test]
fn every_damage_to_an_export_is_refused_and_leaves_nothing() {
    let place = Place::written(1);
    place.fine(&["export", "store", "export"]);
    let good = fs::read(place.path("export")).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        let mut input = bytes;
        let to = place.path("imported");
        let result =
            annals::journal::StoreDir::import(&mut input, &to, annals::journal::ImportKeys::Unsaid, &mut |_| {});
        assert!(result.is_err(), "{what}");
        assert!(!to.exists(), "{what}");
    };
    // `archive.rs` flips every bit of a small export and cuts it everywhere; here the rest of the way is walked, too.
    for index in (0..good.len()).step_by(good.len() / 12) {
        let mut bad = good.clone();
        bad[index] ^= 1 << (index % 8);
        refused(&bad, &format!("byte {index}"));
        refused(&good[..index], &format!("cut to {index} bytes"));
    }
    refused(&[&good[..], b"\0"].concat(), "more behind the end");
    assert_eq!(place.names(), ["export", "store"]);
    let mut bad = good;
    bad[100] ^= 1;
    fs::write(place.path("export"), bad).unwrap();
    let ran = place.run(&["import", "export", "imported"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("the export can't be used: at byte"), "{ran:?}");
}

#[test]
fn nothing_is_written_over() {
    let place = Place::written(1);
    place.fine(&["export", "store", "export"]);
    let before = fs::read(place.path("export")).unwrap();
    let ran = place.run(&["export", "store", "export"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(fs::read(place.path("export")).unwrap() == before);
    for there in ["store", "export"] {
        let ran = place.run(&["import", "export", there]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains("there is something at"), "{ran:?}");
    }
    fs::create_dir(place.path("empty")).unwrap();
    place.fine(&["import", "export", "empty"]);
    place.fine(&["verify", "store"]);
}

#[test]
fn records_are_exported_as_lines_of_json() {
    let place = Place::golden();
    let lines = place.fine(&["export", "store", "--json"]).lines();
    assert_eq!(lines.len(), 25);
    let offsets: Vec<_> = lines.iter().map(|line| line["offset"].as_u64().unwrap()).collect();
    assert!(offsets.is_sorted() && offsets[0] == 1 && offsets[24] == 32, "{offsets:?}");
    assert!(lines.iter().all(|line| line["aggregate"].is_string() && line["id"].is_string()));
    place.fine(&["export", "store", "records", "--json"]);
    let file = fs::read_to_string(place.path("records")).unwrap();
    assert_eq!(file.lines().count(), 25);
}
