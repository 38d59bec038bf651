//! Streams of which records were deleted: what `StoreDir::verify` says where no snapshot stands for them.

use super::*;
use crate::codec::{Codec, Payload};
use crate::snapshot::StoredSnapshot;
use crate::snapshot::bytes::SnapshotDraft;

/// A snapshot as an entity takes it.
fn save(journal: &FjallJournal, name: &str, seq_nr: u64) {
    let (id, time) = (id(name), jiff::Timestamp::UNIX_EPOCH);
    let draft = SnapshotDraft {
        aggregate: &id.aggregate,
        entity: id.entity.as_str(),
        seq_nr: SeqNr(seq_nr),
        time,
        state: None,
        visit: SeqNr::ZERO,
        due: None,
        keys: &crate::key::Keys::default(),
        version: 1,
        schema: 7,
        payload: Payload { codec: Codec::MessagePack, bytes: b"\x01" },
    };
    let snapshot = StoredSnapshot { seq_nr: SeqNr(seq_nr), time, bytes: draft.encode(journal.facts().store, None) };
    block_on(journal.snapshots().unwrap().save(&id, snapshot)).unwrap();
}

fn notes(path: &Path) -> Vec<String> {
    let report = verified(path);
    assert!(report.is_whole(), "{report:?}");
    let notes = report.notes.into_iter().filter(|note| note.contains("no snapshot that stands for them"));
    let notes: Vec<_> = notes.collect();
    assert_eq!(report.without_snapshot > 0, !notes.is_empty());
    notes
}

#[test]
fn deleted_records_for_which_no_snapshot_stands_any_more_are_told() {
    let (_dir, path, journal) = new();
    fill(&journal, 6);
    save(&journal, "carol", 4);
    delete(&journal, &id("carol"), 4);
    let file = path.join("snapshots/0.jnl");
    let len = written(&fs::read(&file).unwrap());
    save(&journal, "alice", 3);
    delete(&journal, &id("alice"), 3);
    end(&journal, &id("bob"), &[]);
    // As a crash leaves it.
    let image = path.with_file_name("image");
    copy_sparse(&path, &image);
    assert_eq!(notes(&image), [""; 0]);
    // The snapshot of alice is gone with the tail that it was written to.
    let cut = image.join("snapshots/0.jnl");
    fs::write(&cut, &fs::read(&cut).unwrap()[..len]).unwrap();
    let found = notes(&image);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("the records of account \"alice\" up to sequence number 3 were deleted"), "{found:?}");
    // One that is older than what was deleted doesn't stand for it.
    save(&journal, "carol", 3);
    block_on(journal.snapshots().unwrap().delete(&id("carol"), SeqNr(4))).unwrap();
    block_on(journal.close()).unwrap();
    let found = notes(&path);
    assert!(found.len() == 1 && found[0].contains("carol"), "{found:?}");
}

#[test]
fn where_all_snapshots_are_elsewhere_the_streams_are_only_counted() {
    let (_dir, path) = closed();
    let found = notes(&path);
    assert!(found.len() == 1 && found[0].starts_with("records of 1 streams were deleted"), "{found:?}");
}
