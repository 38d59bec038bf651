//! What can be read of a damaged store goes into a new one, in its place.

use super::*;

/// The numbers of the groups in a block of a table, as the flips of one byte in it show.
const GROUPS: u64 = 120;

/// Where the newest table is.
fn table(place: &Place) -> PathBuf {
    let tables = place.path("store/fjall/keyspaces/1/tables");
    let entries = fs::read_dir(tables).unwrap().map(|entry| entry.unwrap().path());
    entries.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn a_whole_store_is_left_alone() {
    let place = Place::written(3);
    let before = files(&place.path("store"));
    let ran = place.fine(&["repair", "store"]);
    assert_eq!(ran.out, "store is whole: there is nothing to repair\n");
    assert!(files(&place.path("store")) == before);
    assert_eq!(place.names(), ["store"]);
}

#[test]
fn what_can_be_told_otherwise_is_not_lost() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 5] = [
        ("the engine's journal is gone", |store| fs::remove_file(store.join("fjall/0.jnl")).unwrap()),
        ("its journal is damaged", |store| flip(&store.join("fjall/0.jnl"), 2_000, 0)),
        ("a slot of the head", |store| flip(&store.join("head"), 30, 0)),
        ("the slot of a key that is destroyed", |store| flip(&store.join("keys"), 130, 0)),
        ("the deadlines", |store| fs::write(store.join("deadlines"), b"something else").unwrap()),
    ];
    for (what, harm) in harms {
        let place = Place::golden();
        let listed = place.fine(&["list", "store"]).out;
        let records = place.fine(&["export", "store", "--json"]).out;
        harm(&place.path("store"));
        assert_eq!(place.run(&["verify", "store"]).code, 1, "{what}");
        let damaged = files(&place.path("store"));

        let dry = place.run(&["repair", "store", "--dry-run"]);
        assert_eq!(dry.code, 1, "{what}: {dry:?}");
        assert!(dry.out.contains("can be repaired, and no record is lost; nothing was changed"), "{what}: {dry:?}");
        assert!(files(&place.path("store")) == damaged, "{what}");
        assert_eq!(place.names(), ["store"], "{what}");

        let ran = place.fine(&["repair", "store"]);
        assert!(ran.out.contains("store.damaged-1"), "{what}: {ran:?}");
        assert_eq!(place.names(), ["store", "store.damaged-1"], "{what}");
        let kept: Vec<_> = files(&place.path("store.damaged-1")).into_iter().map(|(_, bytes)| bytes).collect();
        assert!(kept == damaged.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), "{what}: it was changed");
        place.fine(&["verify", "store"]);
        assert_eq!(place.fine(&["list", "store"]).out, listed, "{what}");
        assert_eq!(place.fine(&["export", "store", "--json"]).out, records, "{what}");
    }
}

#[test]
fn what_was_acknowledged_is_lost_only_if_that_is_accepted() {
    let place = Place::written(GROUPS);
    let whole: Vec<_> = NAMES.map(|name| seq_nrs(&place.path("store"), name)).into();
    let records = place.fine(&["export", "store", "--json"]).lines();
    let table = table(&place);
    let bytes = fs::read(&table).unwrap();
    // One block with runs, somewhere in the middle.
    let at = bytes.windows(200).rposition(|window| window.iter().all(|byte| *byte == b'x')).unwrap() / 2;
    flip(&table, at, 0);
    let damaged = files(&place.path("store"));

    for args in [&["repair", "store"][..], &["repair", "store", "--dry-run"]] {
        let ran = place.run(args);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.out.contains("would be lost: counter/"), "{ran:?}");
        assert!(ran.out.contains("was not changed"), "{ran:?}");
        assert!(files(&place.path("store")) == damaged);
        assert_eq!(place.names(), ["store"]);
    }
    let refused = place.run(&["repair", "store", "--json"]).json();
    assert_eq!(refused["outcome"], "refused");
    let ran = place.run(&["repair", "store", "--accept-data-loss", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let repaired = ran.json();
    assert_eq!((&repaired["outcome"], &repaired["lost"]), (&Value::from("done"), &refused["lost"]));

    place.fine(&["verify", "store"]);
    // Each stream is what it was up to its first lost record, and what is told as lost is what is missing.
    let lost: u64 = repaired["lost"]
        .as_array()
        .unwrap()
        .iter()
        .fold(0, |sum, lost| sum + lost["to_seq_nr"].as_u64().unwrap() + 1 - lost["from_seq_nr"].as_u64().unwrap());
    let mut left = 0;
    for (name, whole) in NAMES.iter().zip(&whole) {
        let found = seq_nrs(&place.path("store"), name);
        assert_eq!(found[..], whole[..found.len()], "{name}");
        left += found.len();
    }
    let all: usize = whole.iter().map(Vec::len).sum();
    assert_eq!(u64::try_from(all - left).unwrap(), lost);
    assert!(lost > 0 && left > 0, "{lost} lost, {left} left");
    // What is left has the offsets that it had, and what is lost is never given again.
    let after = place.fine(&["export", "store", "--json"]).lines();
    assert!(after.iter().all(|line| records.contains(line)));
    let last = records.last().unwrap()["offset"].as_u64().unwrap();
    write(&place.path("store"), GROUPS..GROUPS + 1);
    let more = place.fine(&["export", "store", "--json"]).lines();
    let new: Vec<_> = more.iter().filter(|line| !after.contains(line)).collect();
    assert_eq!(
        new.iter().map(|line| line["offset"].as_u64().unwrap()).collect::<Vec<_>>(),
        (last + 1..=last + 4).collect::<Vec<_>>()
    );
    place.fine(&["verify", "store"]);
}

#[test]
fn a_tail_that_is_lost_is_told_and_its_offsets_are_not_given_again() {
    let place = Place::written(40);
    copy(&place.path("store"), &place.path("old"));
    write(&place.path("store"), 40..60);
    fs::remove_dir_all(place.path("store/fjall")).unwrap();
    copy(&place.path("old/fjall"), &place.path("store/fjall"));
    let ran = place.run(&["repair", "store"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("would be lost: records of unknown streams, offsets 161 to 240"), "{ran:?}");
    place.fine(&["repair", "store", "--accept-data-loss"]);
    place.fine(&["verify", "store"]);
    assert_eq!(place.fine(&["export", "store", "--json"]).lines().len(), 160);
    write(&place.path("store"), 60..61);
    let lines = place.fine(&["export", "store", "--json"]).lines();
    assert_eq!(lines[160]["offset"], 241);
}

#[test]
fn without_a_head_nothing_is_taken_for_certain() {
    let place = Place::written(10);
    let records = place.fine(&["export", "store", "--json"]).out;
    copy(&place.path("store"), &place.path("backup"));
    write(&place.path("store"), 10..12);
    fs::remove_file(place.path("store/head")).unwrap();
    // Nothing else has the store's id.
    let ran = place.run(&["repair", "store", "--accept-data-loss"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("--head <file>"), "{ran:?}");
    let ran = place.run(&["repair", "store", "--head", "backup/head"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("the head is lost"), "{ran:?}");
    place.fine(&["repair", "store", "--head", "backup/head", "--accept-data-loss"]);
    place.fine(&["verify", "store"]);
    let after = place.fine(&["export", "store", "--json"]).out;
    assert!(after.starts_with(&records));
    assert_eq!(after.lines().count(), 48);
}

#[test]
fn without_its_keys_what_is_encrypted_is_lost() {
    let place = Place::golden();
    fs::remove_file(place.path("store/keys")).unwrap();
    let ran = place.run(&["repair", "store"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("the keys are lost"), "{ran:?}");
    place.fine(&["repair", "store", "--accept-data-loss"]);
    place.fine(&["verify", "store"]);
    assert_eq!(place.fine(&["list", "store", "--aggregate", "Patient"]).out, "");
    assert_eq!(place.fine(&["list", "store"]).out.lines().count(), 6);
}

#[test]
fn a_snapshot_for_which_events_were_deleted_is_not_lost_in_silence() {
    let place = Place::golden();
    flip(&place.path("store/snapshots/keyspaces/1/tables/1"), 300, 0);
    let ran = place.run(&["repair", "store"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("events of Meter \"water\" were deleted for a snapshot"), "{ran:?}");
    place.fine(&["repair", "store", "--accept-data-loss"]);
    place.fine(&["verify", "store"]);
}

#[test]
fn a_snapshot_of_what_is_lost_does_not_come_back() {
    let place = Place::golden();
    let before = place.fine(&["stats", "store", "--json"]).json()["snapshots"].clone();
    // The table that has all but the first group.
    flip(&place.path("store/fjall/keyspaces/1/tables/2"), 300, 0);
    place.fine(&["repair", "store", "--accept-data-loss"]);
    place.fine(&["verify", "store"]);
    assert_eq!(
        place.fine(&["list", "store", "--aggregate", "Purse"]).out.lines().last().unwrap(),
        "Purse/with coins\t1..2"
    );
    // There was one of the purse at 6.
    let after = place.fine(&["stats", "store", "--json"]).json()["snapshots"].clone();
    assert!(after.as_u64() < before.as_u64(), "{before} {after}");
}

#[test]
fn an_engine_that_can_not_be_opened_is_left_as_it_is() {
    for file in ["current", "v3", "tables/2"] {
        let place = Place::golden();
        fs::remove_file(place.path("store/fjall/keyspaces/1").join(file)).unwrap();
        let before = files(&place.path("store"));
        let ran = place.run(&["repair", "store", "--accept-data-loss"]);
        assert_eq!(ran.code, 1, "{file}: {ran:?}");
        assert!(ran.err.contains("a backup is needed"), "{file}: {ran:?}");
        assert!(files(&place.path("store")) == before);
        assert_eq!(place.names(), ["store"]);
    }
}

#[test]
fn damaged_stores_are_kept_one_beside_the_other() {
    let place = Place::golden();
    for number in 1..=3 {
        flip(&place.path("store/head"), 30, 0);
        let ran = place.fine(&["repair", "store"]);
        assert!(ran.out.contains(&format!("store.damaged-{number}")), "{ran:?}");
    }
    assert_eq!(place.names(), ["store", "store.damaged-1", "store.damaged-2", "store.damaged-3"]);
    place.fine(&["verify", "store"]);
}

#[test]
fn a_repair_that_was_interrupted_at_the_last_moment_is_finished() {
    let place = Place::golden();
    let listed = place.fine(&["list", "store"]).out;
    flip(&place.path("store/head"), 30, 0);
    place.fine(&["repair", "store"]);
    // As it is between the two renames.
    fs::rename(place.path("store"), place.path("store.repaired")).unwrap();
    let opened = FjallJournal::open(place.path("store"), FjallOptions::new());
    assert!(matches!(opened, Err(annals::journal::OpenError::RepairInterrupted { .. })), "{opened:?}");
    assert_eq!(place.names(), ["store.damaged-1", "store.repaired"], "a new store was made in its place");
    assert_eq!(place.run(&["verify", "store"]).code, 2);
    let ran = place.fine(&["repair", "store"]);
    assert!(ran.out.contains("a repair had ended in between"), "{ran:?}");
    assert_eq!(place.names(), ["store", "store.damaged-1"]);
    assert_eq!(place.fine(&["list", "store"]).out, listed);
}

#[test]
fn a_repair_that_is_killed_leaves_the_store_or_the_repaired_one() {
    let started = std::time::Instant::now();
    let reference = Place::written(60);
    let records = reference.fine(&["export", "store", "--json"]).out;
    flip(&reference.path("store/head"), 30, 0);
    let damaged: Vec<_> = files(&reference.path("store")).into_iter().map(|(_, bytes)| bytes).collect();
    copy(&reference.path("store"), &reference.path("timed"));
    let begun = std::time::Instant::now();
    reference.fine(&["repair", "timed"]);
    let whole = begun.elapsed();
    let (mut killed, mut done) = (0, 0);
    for step in 0..6_u32 {
        let place = Place::empty();
        copy(&reference.path("store"), &place.path("store"));
        let mut child = place.command().args(["repair", "store"]).stdout(Stdio::null()).spawn().unwrap();
        let deadline = std::time::Instant::now() + whole * step / 5;
        while std::time::Instant::now() < deadline && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            done += 1;
        } else {
            killed += 1;
        }
        let kept = if place.path("store.damaged-1").exists() { "store.damaged-1" } else { "store" };
        let left: Vec<_> = files(&place.path(kept)).into_iter().map(|(_, bytes)| bytes).collect();
        assert!(left == damaged, "step {step}: the damaged store was changed");
        place.fine(&["repair", "store"]);
        place.fine(&["verify", "store"]);
        assert_eq!(place.fine(&["export", "store", "--json"]).out, records, "step {step}");
        assert_eq!(place.names(), ["store", "store.damaged-1"], "step {step}");
        if started.elapsed() > std::time::Duration::from_secs(60) {
            break;
        }
    }
    assert!(killed > 0, "{killed} killed, {done} done");
}
