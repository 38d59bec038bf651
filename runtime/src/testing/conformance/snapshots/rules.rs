//! What the documentation of `SnapshotStore` promises, in its own words.

use super::super::told::Rule;

macro_rules! rules {
    ($($name:ident $of:literal $text:literal;)*) => {
        $(pub(super) const $name: Rule = Rule::new($of, $text);)*

        #[cfg(test)]
        pub(super) const ALL: &[Rule] = &[$($name),*];
        #[cfg(test)]
        pub(super) const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

rules! {
    IDS "SnapshotStore" "ids are the same only if their bytes are.";
    BAD_ID "SnapshotStoreError::InvalidId" "No entity has this id, so there are no snapshots of it.";
    POLLED "SnapshotStore" "A future that was never polled has done nothing.";
    NEVER_HALF "SnapshotStore" "One that is dropped later may have done what was asked, or nothing of it; never half a snapshot";
    DURABILITY "SnapshotStore::durability" "What a saved snapshot survives.";
    SAVE "SnapshotStore::save" "Saves a snapshot, in place of one with the same sequence number.";
    SAVED "SnapshotStore::save" "When it ends well, it is durable.";
    TOO_LARGE "SnapshotStore::save" "if it is longer than the store takes";
    TIME "StoredSnapshot::time" "The time of that record, in whole microseconds.";
    BYTES "StoredSnapshot::bytes" "The encoded snapshot.";
    LOAD "SnapshotStore::load" "The snapshot with the highest sequence number among those that `criteria` allows.";
    LIST "SnapshotStore::list" "All that there are of an entity, the highest sequence number first.";
    DELETE "SnapshotStore::delete" "Deletes one, if it is there, damaged or not.";
    DELETED "SnapshotStore::delete" "When it ends well, that is durable.";
    MATCHING "SnapshotStore::delete_matching" "Deletes those that `criteria` allows, damaged or not, and says how many there were.";
}
