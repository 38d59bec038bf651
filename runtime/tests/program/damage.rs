//! Every kind of damage is found, and told with its place.

use super::*;

/// Verifies a damaged store; what was found. Nothing is changed by it.
fn found(place: &Place) -> String {
    let before = files(&place.path("store"));
    let ran = place.run(&["verify", "store"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("damaged: ") && ran.out.contains("`annals repair` says what can be done\n"), "{ran:?}");
    let last = ran.out.lines().last().unwrap();
    assert!(last.contains("lost") && !last.starts_with("nothing is lost"), "{ran:?}");
    let json = place.run(&["verify", "store", "--json"]);
    assert_eq!((json.code, &json.json()["whole"]), (1, &Value::Bool(false)), "{json:?}");
    assert_eq!(json.json()["findings"].as_array().unwrap().len(), ran.out.matches("damaged: ").count());
    assert!(files(&place.path("store")) == before, "looking changed something");
    assert_eq!(place.names(), ["store"]);
    let exported = place.run(&["export", "store", "export", "--without-keys"]);
    assert_eq!(exported.code, 1, "a damaged store was exported");
    assert_eq!(place.names(), ["store"]);
    ran.out
}

#[test]
fn files_that_are_gone_are_missed() {
    for (file, told) in [
        ("head", "head`: it is missing"),
        ("keys", "keys`: it is missing"),
        ("fjall/0.jnl", "it has no journal file"),
        ("fjall/version", "version`: it is missing"),
        ("fjall/keyspaces/1/current", "current`: it is missing"),
        ("fjall/keyspaces/1/v3", "v3`: it is missing"),
        ("fjall/keyspaces/1/tables/1", "tables/1`: it is missing"),
        ("snapshots/keyspaces/1/tables/1", "tables/1`: it is missing"),
    ] {
        let place = Place::golden();
        fs::remove_file(place.path("store").join(file)).unwrap();
        let found = found(&place);
        assert!(found.contains(told), "{file}: {found}");
    }
}

#[test]
fn files_that_may_be_missing_are_not_missed() {
    let place = Place::golden();
    for file in ["lock", "fjall/lock", "snapshots/lock"] {
        fs::remove_file(place.path("store").join(file)).unwrap();
    }
    place.fine(&["verify", "store"]);
    fs::remove_dir_all(place.path("store/snapshots")).unwrap();
    place.fine(&["verify", "store"]);
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let place = Place::golden();
    let whole = files(&place.path("store"));
    let mut checked = 0;
    for (path, bytes) in &whole {
        let name = path.strip_prefix(place.path("store")).unwrap().to_str().unwrap();
        // A version of the manifest that isn't the current one is nothing that anybody reads.
        let is_old = ["fjall/keyspaces/1/v2", "snapshots/keyspaces/1/v0"].contains(&name);
        if bytes.is_empty() || name == "lock" || is_old {
            continue;
        }
        // The flips campaign of the journal flips every bit; here some of each file are enough.
        for index in [bytes.len() / 3, bytes.len() - 1] {
            flip(path, index, 3);
            let ran = place.run(&["verify", "store"]);
            assert_eq!(ran.code, 1, "byte {index} of {name}: {ran:?}");
            fs::write(path, bytes).unwrap();
            checked += 1;
        }
    }
    assert!(checked > 25, "{checked}");
    place.fine(&["verify", "store"]);
}

#[test]
fn older_copies_of_files_are_found() {
    let place = Place::written(40);
    copy(&place.path("store"), &place.path("old"));
    write(&place.path("store"), 40..80);
    copy(&place.path("store"), &place.path("new"));
    for part in ["head", "fjall"] {
        let (old, store) = (place.path("old").join(part), place.path("store").join(part));
        if old.is_dir() {
            fs::remove_dir_all(&store).unwrap();
            copy(&old, &store);
        } else {
            fs::copy(&old, &store).unwrap();
        }
        let ran = place.run(&["verify", "store"]);
        assert_eq!(ran.code, 1, "{part}: {ran:?}");
        assert!(ran.out.contains("from offset"), "{part}: {ran:?}");
        fs::remove_dir_all(place.path("store")).unwrap();
        copy(&place.path("new"), &place.path("store"));
    }
    place.fine(&["verify", "store"]);
}

#[test]
fn the_files_of_another_store_are_found() {
    let (place, other) = (Place::written(10), Place::written(10));
    for (part, told) in [("head", "offset"), ("fjall", "offset")] {
        let (from, to) = (other.path("store").join(part), place.path("store").join(part));
        let kept = place.path("kept");
        fs::rename(&to, &kept).unwrap();
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
        let ran = place.run(&["verify", "store"]);
        assert_eq!(ran.code, 1, "{part}: {ran:?}");
        assert!(ran.out.contains(told), "{part}: {ran:?}");
        if to.is_dir() {
            fs::remove_dir_all(&to).unwrap();
        } else {
            fs::remove_file(&to).unwrap();
        }
        fs::rename(&kept, &to).unwrap();
    }
    place.fine(&["verify", "store"]);
}

#[test]
fn several_findings_are_told_at_once() {
    let place = Place::golden();
    flip(&place.path("store/head"), 30, 0);
    flip(&place.path("store/keys"), 80, 0);
    flip(&place.path("store/snapshots/keyspaces/1/tables/1"), 300, 0);
    let found = found(&place);
    for told in ["head`: one of its slots is bad", "the slot of key 1 is damaged", "snapshots"] {
        assert!(found.contains(told), "{told}: {found}");
    }
}

#[test]
fn what_a_process_left_that_was_killed_is_no_damage_and_is_not_changed() {
    let place = Place::written(10);
    let journal = FjallJournal::open(place.path("store"), FjallOptions::new()).unwrap();
    block_on(async {
        let id = PersistenceId::new(AGGREGATE, "frank");
        let head = journal.open_stream(&id).await.unwrap();
        let mut run = RunBuilder::new(head.stream, id, SeqNr(1));
        let event = EventRecord { name: "counted", version: 1, codec: Codec::Json, payload: b"{}" };
        run.push_write(&Written::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
        journal.append(vec![run.seal(&journal.facts(), 1)]).await;
    });
    // As a crash leaves it: while it is open.
    copy(&place.path("store"), &place.path("crashed"));
    drop(journal);
    // Something more was being written.
    let file = place.path("crashed/fjall/0.jnl");
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(end);
    bytes.extend([1, 2, 0, 0, 0, 9, 9, 9, 9]);
    fs::write(&file, &bytes).unwrap();

    let before = files(&place.path("crashed"));
    let ran = place.fine(&["verify", "crashed"]);
    assert!(ran.out.contains("note: it was not closed in order"), "{ran:?}");
    assert!(ran.out.contains("the next opening cuts it off"), "{ran:?}");
    assert_eq!(place.fine(&["show", "crashed", "counter/frank"]).lines().len(), 1);
    assert!(files(&place.path("crashed")) == before);
    assert!(ran.out.ends_with("crashed is whole\nnothing is lost\n"), "{ran:?}");
    place.fine(&["export", "crashed", "export"]);
    place.fine(&["import", "export", "imported"]);
    assert_eq!(seq_nrs(&place.path("imported"), "frank"), [1]);
    assert_eq!(seq_nrs(&place.path("crashed"), "frank"), [1]);
}

#[test]
fn where_nothing_could_be_counted_that_is_said() {
    for (file, told) in [("head", "without a head"), ("fjall/version", "what it holds wasn't checked")] {
        let place = Place::golden();
        fs::remove_file(place.path("store").join(file)).unwrap();
        fs::create_dir_all(place.path("store/fjall")).unwrap();
        let found = found(&place);
        assert!(found.contains(told) && found.contains("nothing was counted\n"), "{found}");
        assert!(!found.contains("0 records") && found.contains("what is lost can't be told"), "{found}");
        let report = place.run(&["verify", "store", "--json"]).json();
        for count in ["last", "groups", "records", "runs", "streams", "snapshots", "keys"] {
            assert_eq!(report[count], Value::Null, "{count}");
        }
    }
}

#[test]
fn what_damage_comes_to_is_said_last() {
    for (file, index, told) in [("head", 30, "no record is lost"), ("keys", 80, "what is lost can't be told here")] {
        let place = Place::golden();
        flip(&place.path("store").join(file), index, 0);
        let found = found(&place);
        assert!(found.lines().last().unwrap().starts_with(told), "{file}: {found}");
    }
}

#[test]
fn an_end_that_was_acknowledged_and_is_torn_is_not_said_to_be_cut_off() {
    let place = Place::written(10);
    let journal = FjallJournal::open(place.path("store"), FjallOptions::new()).unwrap();
    block_on(async {
        let id = PersistenceId::new(AGGREGATE, "frank");
        let head = journal.open_stream(&id).await.unwrap();
        for seq_nr in 1..=3 {
            let mut run = RunBuilder::new(head.stream, id.clone(), SeqNr(seq_nr));
            let event = EventRecord { name: "counted", version: 1, codec: Codec::Json, payload: b"{}" };
            run.push_write(&Written::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
            journal.append(vec![run.seal(&journal.facts(), 1)]).await;
        }
    });
    copy(&place.path("store"), &place.path("crashed"));
    drop(journal);
    // The end of the first group is gone, and of what was acknowledged behind it.
    let file = place.path("crashed/fjall/0.jnl");
    let bytes = fs::read(&file).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    fs::write(&file, &bytes[..end / 3]).unwrap();

    let ran = place.run(&["verify", "crashed"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("so opening refuses") && !ran.out.contains("cuts it off"), "{ran:?}");
    assert!(ran.out.lines().last().unwrap().starts_with("records from offset 41 to 43 are lost"), "{ran:?}");
    assert!(FjallJournal::open(place.path("crashed"), FjallOptions::new()).is_err());
}
