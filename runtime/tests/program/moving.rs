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

#[test]
fn empty_payloads_are_moved_too() {
    let place = Place::empty();
    let journal = FjallJournal::open(place.path("store"), FjallOptions::new()).unwrap();
    block_on(async {
        let id = PersistenceId::new(AGGREGATE, "empty");
        let head = journal.open_stream(&id).await.unwrap();
        let mut run = RunBuilder::new(head.stream, id, SeqNr(1));
        for codec in [Codec::Json, Codec::MessagePack] {
            let event = EventRecord { name: "counted", version: 1, codec, payload: b"" };
            run.push_write(&Written::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
        }
        let stored = journal.append(vec![run.seal(&journal.facts(), 1)]).await;
        assert!(matches!(stored[..], [Outcome::Stored(_)]), "{stored:?}");
        journal.close().await.unwrap();
    });
    place.fine(&["export", "store", "export"]);
    place.fine(&["import", "export", "imported"]);
    let records = |store| place.fine(&["export", store, "--json"]).out;
    assert_eq!(records("imported").lines().count(), 2);
    assert_eq!(records("imported"), records("store"));
}

#[test]
fn where_nothing_can_be_made_nothing_is_imported_or_exported() {
    let place = Place::written(1);
    place.fine(&["export", "store", "export"]);
    let before = (files(&place.path("store")), files(place.dir.path()));
    // Below a file nobody can make anything, not even who may do everything.
    for args in [&["import", "export", "export/new"][..], &["import", "export", "export/below/new"]] {
        let ran = place.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}: {ran:?}");
        assert!(ran.err.contains("export"), "{ran:?}");
    }
    let ran = place.run(&["export", "store", "export/new"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    #[cfg(target_os = "linux")]
    for path in ["/proc/annals-imported", "/proc/annals/imported"] {
        let ran = place.run(&["import", "export", path]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
        assert!(ran.err.contains("/proc"), "{ran:?}");
    }
    assert!((files(&place.path("store")), files(place.dir.path())) == before);
    assert_eq!(place.names(), ["export", "store"]);
}

/// Runs it and kills it when a part of the time has passed that it takes; whether it was done by then.
fn killed(place: &Place, args: &[&str], part: u32, whole: std::time::Duration) -> bool {
    let mut child = place.command().args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = std::time::Instant::now() + whole * part / 5;
    while std::time::Instant::now() < deadline && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap().success()
}

#[test]
fn an_export_or_an_import_that_is_killed_leaves_all_or_nothing_under_its_name() {
    let reference = Place::written(40);
    let begun = std::time::Instant::now();
    reference.fine(&["export", "store", "export"]);
    let exporting = begun.elapsed();
    let begun = std::time::Instant::now();
    reference.fine(&["import", "export", "imported"]);
    let importing = begun.elapsed();
    let (store, export) = (files(&reference.path("store")), fs::read(reference.path("export")).unwrap());
    let listed = listed(&reference, "store");
    let mut unfinished = 0;
    for part in 0..4 {
        let place = Place::empty();
        copy(&reference.path("store"), &place.path("store"));
        let is_done = killed(&place, &["export", "store", "export"], part, exporting);
        unfinished += u32::from(!is_done);
        let left: Vec<_> = files(&place.path("store")).into_iter().map(|(_, bytes)| bytes).collect();
        assert!(left.iter().eq(store.iter().map(|(_, bytes)| bytes)), "part {part}: the store was changed");
        // What is half of an export has a name that says so.
        let of_it = |name: &String| name.starts_with("export.tmp-") || name.starts_with("store.look-");
        let names: Vec<_> = place.names().into_iter().filter(|name| !of_it(name)).collect();
        if names.contains(&"export".to_owned()) {
            assert!(fs::read(place.path("export")).unwrap() == export, "part {part}");
            fs::remove_file(place.path("export")).unwrap();
        } else {
            assert_eq!(names, ["store"], "part {part}");
            assert!(!is_done);
        }
        place.fine(&["export", "store", "export"]);
        assert!(fs::read(place.path("export")).unwrap() == export, "part {part}");

        let is_done = killed(&place, &["import", "export", "imported"], part, importing);
        unfinished += u32::from(!is_done);
        assert!(fs::read(place.path("export")).unwrap() == export, "part {part}: the export was changed");
        if !place.path("imported").exists() {
            assert!(!is_done);
            place.fine(&["import", "export", "imported"]);
        }
        place.fine(&["verify", "imported"]);
        assert_eq!(self::listed(&place, "imported"), listed, "part {part}");
        let left = |name: &String| name.contains("tmp") && !name.starts_with("export.tmp-");
        assert!(!place.names().iter().any(left), "part {part}: {:?}", place.names());
    }
    assert!(unfinished > 0);
}
