//! What is said of each change.

use super::*;

/// What stood in the file.
const OLD: &str = include_str!("tests/door.schema");

/// What is said of a file in which something was replaced, for each of these.
#[track_caller]
fn said(old: &str, replacements: &[(&str, &str)]) -> SchemaChanges {
    let replaced = |text: String, (from, to): &(&str, &str)| {
        assert!(text.contains(from), "{from:?} isn't there");
        text.replace(from, to)
    };
    let new = replacements.iter().fold(old.to_owned(), replaced);
    parsed(&new).changes_since(&parsed(old))
}

#[track_caller]
fn parsed(text: &str) -> Schema {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn nothing_is_said_where_nothing_changed() {
    assert_eq!(said(OLD, &[]).to_string(), "");
}

#[test]
fn an_added_event_breaks_nothing() {
    insta::assert_snapshot!(said(
        OLD,
        &[("event painted", "event oiled\n  version 1\n  v1 = struct\n\nevent painted")]
    ), @r#"
    This is different, and breaks nothing:
    - event `oiled` is new
    "#);
}

#[test]
fn a_removed_event_breaks() {
    insta::assert_snapshot!(said(OLD, &[("event closed\n  version 1\n  v1 = struct\n\n", "")]), @r#"
    This breaks what is stored:
    - event `closed` is gone, and stored ones can't be read: keep it, with `#[event(ignored_since = "..")]` if it is to change nothing any more
    "#);
}

#[test]
fn a_removed_event_that_is_ignored_breaks_nothing() {
    insta::assert_snapshot!(said(
        OLD,
        &[
            (
                "event painted\n  version 1\n  written 0: String\n  written 1: u8\n",
                "event painted\n  version 1\n  ignored since \"2.0\"\n"
            ),
            ("  v1 = tuple 2\n  v1.0 = string\n  v1.1 = u8\n", "  v1 = unit\n")
        ]
    ), @r#"
    This is different, and breaks nothing:
    - event `painted` is read, and changes nothing any more, since 2.0
    "#);
}

#[test]
fn a_renamed_event_breaks_without_alias() {
    insta::assert_snapshot!(said(OLD, &[("event painted", "event coloured")]), @r#"
    This breaks what is stored:
    - event `painted` is gone, and stored ones can't be read: if it is `coloured` now, write `#[event(was("painted"))]` there, or keep the stored name with `#[event(name = "painted")]`
    This is different, and breaks nothing:
    - event `coloured` is new
    "#);
}

#[test]
fn a_renamed_event_breaks_nothing_with_alias() {
    insta::assert_snapshot!(said(OLD, &[("event painted", "event coloured\n  was painted")]), @r#"
    This is different, and breaks nothing:
    - event `painted` is stored as `coloured` now; older ones are still read
    "#);
}

#[test]
fn a_lost_alias_breaks() {
    insta::assert_snapshot!(said(OLD, &[("  was unlocked\n", "")]), @r#"
    This breaks what is stored:
    - event `opened` lost its older name `unlocked`, under which some may be stored: add it to `was(..)` again
    "#);
}

#[test]
fn an_alias_of_another_event_breaks() {
    insta::assert_snapshot!(said(
        OLD,
        &[("  was unlocked\n", ""), ("event closed\n", "event closed\n  was unlocked\n")]
    ), @r#"
    This breaks what is stored:
    - what is stored as `unlocked` was read as event `opened` and would be read as `closed` now: give `closed` another name
    "#);
}

#[test]
fn an_added_alias_breaks_nothing() {
    insta::assert_snapshot!(said(OLD, &[("  was unlocked\n", "  was pushed\n  was unlocked\n")]), @r#"
    This is different, and breaks nothing:
    - event `opened` is also read as `pushed`
    "#);
}

#[test]
fn the_first_field_of_an_event_may_be_missing() {
    insta::assert_snapshot!(said(
        OLD,
        &[(
            "event closed\n  version 1\n  v1 = struct\n",
            "event closed\n  version 1\n  v1 = struct\n  v1.by? = string\n"
        )]
    ), @r#"
    This is different, and breaks nothing:
    - event `closed`, version 1: `by` is new, and may be missing
    "#);
}

#[test]
fn an_added_field_with_default_breaks_nothing() {
    insta::assert_snapshot!(said(OLD, &[("  v2.times = u64\n", "  v2.times = u64\n  v2.why? = string\n")]), @r#"
    This is different, and breaks nothing:
    - event `opened`, version 2: `why` is new, and may be missing
    "#);
}

#[test]
fn an_added_field_without_default_breaks() {
    insta::assert_snapshot!(said(OLD, &[("  v2.times = u64\n", "  v2.times = u64\n  v2.why = string\n")]), @r#"
    This breaks what is stored:
    - event `opened`, version 2: `why` is new, and stored ones have none; give it `#[serde(default)]`, or keep the old shape and raise the version: `#[event(version = 3, upcast(2 => ..))]`
    "#);
}

#[test]
fn a_lost_default_breaks() {
    insta::assert_snapshot!(said(OLD, &[("  v2.note? = string or null\n", "  v2.note = string or null\n")]), @r#"
    This breaks what is stored:
    - event `opened`, version 2: `note` may not be missing any more, and stored ones may have none; give it `#[serde(default)]` again, or keep the old shape and raise the version: `#[event(version = 3, upcast(2 => ..))]`
    "#);
}

#[test]
fn a_removed_field_breaks_nothing() {
    insta::assert_snapshot!(said(OLD, &[("  v2.times = u64\n", ""), ("  written times: u64\n", "")]), @r#"
    This is different, and breaks nothing:
    - event `opened`, version 2: `times` is gone; where it is stored it is passed over
    - event `opened`: `times` isn't written any more
    "#);
}

#[test]
fn a_removed_field_breaks_where_unknown_fields_are_refused() {
    insta::assert_snapshot!(said(
        OLD,
        &[
            ("  v2 = struct\n  v2.by = seq", "  v2 = struct without unknown fields\n  v2.by = seq"),
            ("  v2.times = u64\n", "")
        ]
    ), @r#"
    This breaks what is stored:
    - event `opened`, version 2: `times` is gone, and stored ones have it, which `deny_unknown_fields` refuses; keep the old shape and raise the version: `#[event(version = 3, upcast(2 => ..))]`
    This is different, and breaks nothing:
    - event `opened`, version 2: the whole was `struct` and is `struct without unknown fields` now, which reads the old too
    "#);
}

#[test]
fn a_renamed_field_breaks_without_alias() {
    insta::assert_snapshot!(said(OLD, &[("  v2.times = u64\n", "  v2.count = u64\n")]), @r#"
    This breaks what is stored:
    - event `opened`, version 2: `count` is new, and stored ones have none; give it `#[serde(default)]`, or `#[serde(alias = "times")]` if that was its name, or keep the old shape and raise the version: `#[event(version = 3, upcast(2 => ..))]`
    This is different, and breaks nothing:
    - event `opened`, version 2: `times` is gone; where it is stored it is passed over
    "#);
}

#[test]
fn a_renamed_field_breaks_nothing_with_alias() {
    insta::assert_snapshot!(said(OLD, &[("  v2.by = seq\n", "  v2.who = seq, was by\n"), ("  v2.by[]", "  v2.who[]")]), @r#"
    This is different, and breaks nothing:
    - event `opened`, version 2: `by` is called `who` now; the old name is still read
    "#);
}

#[test]
fn a_wider_type_breaks_nothing() {
    insta::assert_snapshot!(said(OLD, &[("v2.by[].age = u32", "v2.by[].age = u64 or null")]), @r#"
    This is different, and breaks nothing:
    - event `opened`, version 2: `by[].age` was `u32` and is `u64 or null` now, which reads the old too
    "#);
}

#[test]
fn a_narrower_type_breaks() {
    insta::assert_snapshot!(said(OLD, &[("v2.times = u64", "v2.times = u32")]), @r#"
    This breaks what is stored:
    - event `opened`, version 2: `times` was `u64` and is `u32` now, which doesn't read the old; keep the old shape and raise the version: `#[event(version = 3, upcast(2 => ..))]`
    "#);
}

#[test]
fn another_type_breaks() {
    insta::assert_snapshot!(said(
        OLD,
        &[("v2.times = u64", "v2.times = string"), ("written times: u64", "written times: String")]
    ), @r#"
    This breaks what is stored:
    - event `opened`, version 2: `times` was `u64` and is `string` now, which doesn't read the old; keep the old shape and raise the version: `#[event(version = 3, upcast(2 => ..))]`
    This is different, and breaks nothing:
    - event `opened`: `times` is written as `String`
    "#);
}

#[test]
fn what_could_be_null_must_be_read() {
    insta::assert_snapshot!(said(OLD, &[("v2.note? = string or null", "v2.note? = string")]), @r#"
    This breaks what is stored:
    - event `opened`, version 2: `note` was `string or null` and is `string` now, which doesn't read the old; keep the old shape and raise the version: `#[event(version = 3, upcast(2 => ..))]`
    "#);
}

#[test]
fn a_nested_type_that_changed_breaks() {
    insta::assert_snapshot!(said(OLD, &[("v2.by[].age = u32", "v2.by[].age = struct\n  v2.by[].age.years = u32")]), @r#"
    This breaks what is stored:
    - event `opened`, version 2: `by[].age` was `u32` and is `struct` now, which doesn't read the old; keep the old shape and raise the version: `#[event(version = 3, upcast(2 => ..))]`
    "#);
}

#[test]
fn a_removed_variant_of_a_nested_enum_breaks() {
    insta::assert_snapshot!(said(OLD, &[("  v2.by[].way::Force = u8\n", "")]), @r#"
    This breaks what is stored:
    - event `opened`, version 2: `by[].way::Force` is gone, and stored ones may have it; keep it, or keep the old shape and raise the version: `#[event(version = 3, upcast(2 => ..))]`
    "#);
}

#[test]
fn an_added_variant_of_a_nested_enum_breaks_nothing() {
    insta::assert_snapshot!(said(
        OLD,
        &[(
            "  v2.by[].way::Force = u8\n",
            "  v2.by[].way::Force = u8\n  v2.by[].way::Magic = struct\n  v2.by[].way::Magic.spell = string\n"
        )]
    ), @r#"
    This is different, and breaks nothing:
    - event `opened`, version 2: `by[].way::Magic` is new
    "#);
}

#[test]
fn fields_without_names_break_in_another_order() {
    insta::assert_snapshot!(said(OLD, &[("  v1.0 = string\n  v1.1 = u8\n", "  v1.0 = u8\n  v1.1 = string\n")]), @r#"
    This breaks what is stored:
    - event `painted`, version 1: `0` was `string` and is `u8` now, which doesn't read the old; keep the old shape and raise the version: `#[event(version = 2, upcast(1 => ..))]`
    - event `painted`, version 1: `1` was `u8` and is `string` now, which doesn't read the old; keep the old shape and raise the version: `#[event(version = 2, upcast(1 => ..))]`
    "#);
}

#[test]
fn another_number_of_fields_without_names_breaks() {
    insta::assert_snapshot!(said(
        OLD,
        &[("  v1 = tuple 2\n", "  v1 = tuple 3\n"), ("  v1.1 = u8\n", "  v1.1 = u8\n  v1.2 = bool\n")]
    ), @r#"
    This breaks what is stored:
    - event `painted`, version 1: the whole was `tuple 2` and is `tuple 3` now, which doesn't read the old; keep the old shape and raise the version: `#[event(version = 2, upcast(1 => ..))]`
    "#);
}

#[test]
fn a_type_that_nobody_can_tell_breaks_where_it_is_written_differently() {
    insta::assert_snapshot!(said(OLD, &[("written at: jiff :: Timestamp", "written at: Moment")]), @r#"
    This breaks what is stored:
    - event `seen`: the type of `at` was written `jiff :: Timestamp` and is `Moment` now, and nobody can tell from samples whether it reads the old; keep the old shape and raise the version: `#[event(version = 2, upcast(1 => ..))]`
    "#);
}

#[test]
fn a_type_that_nobody_can_tell_may_be_named_by_another_path() {
    insta::assert_snapshot!(said(OLD, &[("written at: jiff :: Timestamp", "written at: annals :: Timestamp")]), @r#"
    This is different, and breaks nothing:
    - event `seen`: `at` is written as `annals :: Timestamp`
    "#);
}

#[test]
fn a_raised_version_with_an_upcast_breaks_nothing() {
    insta::assert_snapshot!(said(
        OLD,
        &[
            ("event painted\n  version 1", "event painted\n  version 2"),
            ("  v1.1 = u8\n", "  v1.1 = u8\n  v2 = struct\n  v2.colour = string\n")
        ]
    ), @r#"
    This is different, and breaks nothing:
    - event `painted` has version 2 now; what is stored in older ones is still read
    "#);
}

#[test]
fn a_raised_version_without_an_upcast_breaks() {
    insta::assert_snapshot!(said(
        OLD,
        &[
            ("event painted\n  version 1", "event painted\n  version 2"),
            ("  v1 = tuple 2\n  v1.0 = string\n  v1.1 = u8\n", "  v2 = struct\n  v2.colour = string\n")
        ]
    ), @r#"
    This breaks what is stored:
    - event `painted` has no upcast from version 1 any more, and some may be stored in it: add it again
    This is different, and breaks nothing:
    - event `painted` has version 2 now; what is stored in older ones is still read
    "#);
}

#[test]
fn an_upcast_from_another_shape_breaks() {
    insta::assert_snapshot!(said(
        OLD,
        &[
            ("event painted\n  version 1", "event painted\n  version 2"),
            (
                "  v1 = tuple 2\n  v1.0 = string\n  v1.1 = u8\n",
                "  v1 = tuple 2\n  v1.0 = string\n  v1.1 = bool\n  v2 = unit\n"
            )
        ]
    ), @r#"
    This breaks what is stored:
    - event `painted`, version 1: `1` was `u8` and is `bool` now, which doesn't read the old; the type in `upcast(1 => ..)` must read what version 1 stored
    This is different, and breaks nothing:
    - event `painted` has version 2 now; what is stored in older ones is still read
    "#);
}

#[test]
fn a_lowered_version_breaks() {
    insta::assert_snapshot!(said(OLD, &[("  was unlocked\n  version 2", "  was unlocked\n  version 1")]), @r#"
    This breaks what is stored:
    - event `opened` has version 1 now and had 2: what is stored in version 2 can't be read; raise it again
    "#);
}

#[test]
fn a_removed_upcast_breaks() {
    insta::assert_snapshot!(said(OLD, &[("  v1 = struct\n  v1.by = string\n", "")]), @r#"
    This breaks what is stored:
    - event `opened` has no upcast from version 1 any more, and some may be stored in it: add it again
    "#);
}

#[test]
fn another_codec_breaks_nothing() {
    insta::assert_snapshot!(said(OLD, &[("codec MessagePack", "codec JSON")]), @r#"
    This is different, and breaks nothing:
    - the codec was `MessagePack` and is `JSON` now
    "#);
}

#[test]
fn another_name_of_the_aggregate_breaks() {
    insta::assert_snapshot!(said(OLD, &[("aggregate Door", "aggregate Gate")]), @r#"
    This breaks what is stored:
    - the aggregate was stored as `Door` and is `Gate` now: nothing that is stored is found; write `name = "Door"` into its attribute
    "#);
}

#[test]
fn a_renamed_state_breaks_without_alias() {
    insta::assert_snapshot!(said(OLD, &[("state Gone", "state Removed"), ("remove--> Gone", "remove--> Removed")]), @r#"
    This breaks what is stored:
    - state `Gone` is gone, and entities may stand there: keep it, or name it in `was(..)` of the state that it is now, as in `states(.., Other was("Gone"))`
    This is different, and breaks nothing:
    - state `Removed` is new
    - the way Open --remove--> Removed is new
    - the way Open --remove--> Gone is gone
    "#);
}

#[test]
fn a_renamed_state_breaks_nothing_with_alias() {
    insta::assert_snapshot!(said(
        OLD,
        &[("state Gone", "state Removed\n  was Gone"), ("remove--> Gone", "remove--> Removed")]
    ), @r#"
    This is different, and breaks nothing:
    - entities that stand in `Gone` are read as `Removed` now
    - the way Open --remove--> Removed is new
    - the way Open --remove--> Gone is gone
    "#);
}

#[test]
fn a_lost_alias_of_a_state_breaks() {
    insta::assert_snapshot!(said(OLD, &[("  was Ajar\n", "")]), @r#"
    This breaks what is stored:
    - state `Open` lost its older name `Ajar`, and entities may stand there: add it to `was(..)` again
    "#);
}

#[test]
fn a_removed_state_breaks() {
    insta::assert_snapshot!(said(OLD, &[("state Gone\n  terminal\n\n", ""), ("edge Open --remove--> Gone\n", "")]), @r#"
    This breaks what is stored:
    - state `Gone` is gone, and entities may stand there: keep it, or name it in `was(..)` of the state that it is now, as in `states(.., Other was("Gone"))`
    This is different, and breaks nothing:
    - the way Open --remove--> Gone is gone
    "#);
}

#[test]
fn an_added_state_and_an_added_way_break_nothing() {
    insta::assert_snapshot!(said(
        OLD,
        &[
            ("state Gone", "state Locked\n\nstate Gone"),
            ("edge Open --after 30s", "edge Closed --lock--> Locked\nedge Open --after 30s")
        ]
    ), @r#"
    This is different, and breaks nothing:
    - state `Locked` is new
    - the way Closed --lock--> Locked is new
    "#);
}

#[test]
fn another_initial_state_breaks() {
    insta::assert_snapshot!(said(
        OLD,
        &[("state Closed\n  initial", "state Closed"), ("  deadline 30s", "  initial\n  deadline 30s")]
    ), @r#"
    This breaks what is stored:
    - machines begin in `Open` now and began in `Closed`: entities with events that never went anywhere stand in `Closed`, and would stand in `Open`; keep `initial Closed`
    "#);
}

#[test]
fn another_deadline_or_kind_of_a_state_breaks_nothing() {
    insta::assert_snapshot!(said(
        OLD,
        &[("  deadline 30s", "  transient\n  deadline 1min"), ("after 30s", "after 1min")]
    ), @r#"
    This is different, and breaks nothing:
    - state `Open` is transient now and was ordinary
    - state `Open` lasts 1min and lasted 30s; deadlines that run stay as they are stored
    - the way Open --after 1min--> Closed is new
    - the way Open --after 30s--> Closed is gone
    "#);
}

#[test]
fn other_data_in_a_snapshot_break_nothing_while_all_events_are_kept() {
    insta::assert_snapshot!(said(
        OLD,
        &[("written opened: u64", "written opened: String"), ("v2.opened = u64", "v2.opened = string")]
    ), @r#"
    This is different, and breaks nothing:
    - older snapshots are not used any more; entities are read from their events (their fields are written in another way)
    "#);
}

#[test]
fn other_data_in_a_snapshot_break_where_events_are_deleted() {
    let old = OLD.replace("retain all", "retain since_snapshot\ndeleted once");
    insta::assert_snapshot!(said(
        &old,
        &[("written opened: u64", "written opened: String"), ("v2.opened = u64", "v2.opened = string")]
    ), @r#"
    This breaks what is stored:
    - the snapshot has other fields in the same version, so that older ones are not used, and they stand for events that are deleted: keep the old shape and raise the version: `#[snapshot(version = 3, upcast(2 => ..))]`
    "#);
}

#[test]
fn an_added_field_of_a_snapshot_breaks_where_events_are_deleted() {
    let old = OLD.replace("retain all", "retain since_snapshot\ndeleted once");
    insta::assert_snapshot!(said(
        &old,
        &[
            ("  written by: String\n", "  written by: String\n  written at: u64\n"),
            ("  v2.by? = string\n", "  v2.at? = u64\n  v2.by? = string\n")
        ]
    ), @r#"
    This breaks what is stored:
    - the snapshot has other fields in the same version, so that older ones are not used, and they stand for events that are deleted: keep the old shape and raise the version: `#[snapshot(version = 3, upcast(2 => ..))]`
    "#);
}

#[test]
fn a_removed_upcast_of_a_snapshot_breaks_where_events_are_deleted() {
    let old = OLD.replace("retain all", "retain since_snapshot\ndeleted once");
    insta::assert_snapshot!(said(&old, &[("  v1 = struct\n  v1.times = u32\n", "")]), @r#"
    This breaks what is stored:
    - the snapshot has no upcast from version 1 any more, and some may be stored in it: add it again
    "#);
}

#[test]
fn a_removed_upcast_of_a_snapshot_breaks_nothing_while_all_events_are_kept() {
    insta::assert_snapshot!(said(OLD, &[("  v1 = struct\n  v1.times = u32\n", "")]), @r#"
    This is different, and breaks nothing:
    - older snapshots are not used any more; entities are read from their events (the snapshot has no upcast from version 1 any more, and some may be stored in it: add it again)
    "#);
}

#[test]
fn no_more_snapshots_break_where_events_are_deleted() {
    let old = OLD.replace("retain all", "retain 90d\ndeleted once");
    insta::assert_snapshot!(said(
        &old,
        &[(
            "snapshots\n  version 2\n  written opened: u64\n  written by: String\n  v1 = struct\n  v1.times = u32\n  v2 = struct\n  v2.by? = string\n  v2.opened = u64\n\n",
            ""
        )]
    ), @r#"
    This breaks what is stored:
    - there are no snapshots any more, and older ones stand for events that are deleted: keep `snapshot(..)`
    "#);
}

#[test]
fn a_snapshot_of_the_next_version_with_an_upcast_breaks_nothing() {
    let old = OLD.replace("retain all", "retain since_snapshot\ndeleted once");
    insta::assert_snapshot!(said(
        &old,
        &[
            ("snapshots\n  version 2\n  written opened: u64", "snapshots\n  version 3\n  written opened: String"),
            ("  v2.opened = u64\n", "  v2.opened = u64\n  v3 = struct\n  v3.by? = string\n  v3.opened = string\n")
        ]
    ), @r#"
    This is different, and breaks nothing:
    - the snapshot has version 3 now; what is stored in older ones is still read
    "#);
}

/// What an older program removed although it was stored.
const RETIRED: &str = "\nretired event greeted\n  version 1\n  v1 = struct\n  v1.by = string\n\nretired state Broken\n";

#[test]
fn a_retired_name_of_an_event_breaks_in_another_shape() {
    let old = format!("{OLD}{RETIRED}");
    let new = "event greeted\n  version 1\n  v1 = struct\n  v1.by = u64\n\nevent opened";
    insta::assert_snapshot!(said(&old, &[("event opened", new)]), @r#"
    This breaks what is stored:
    - `greeted` was the name of an event that is stored in another shape: give this one another name
    "#);
}

#[test]
fn a_retired_event_may_come_back_as_it_was() {
    let old = format!("{OLD}{RETIRED}");
    let new = "event hailed\n  was greeted\n  version 1\n  v1 = struct\n  v1.by = string\n\nevent opened";
    insta::assert_snapshot!(said(&old, &[("event opened", new)]), @r#"
    This is different, and breaks nothing:
    - event `greeted` is there again
    "#);
}

#[test]
fn a_retired_name_of_a_state_breaks() {
    let old = format!("{OLD}{RETIRED}");
    insta::assert_snapshot!(said(&old, &[("state Gone", "state Broken\n\nstate Gone")]), @r#"
    This breaks what is stored:
    - `Broken` was the name of a state that was removed: entities may stand there; give this one another name
    "#);
}

#[test]
fn a_removed_field_that_comes_back_as_something_else_breaks() {
    let old = OLD.replace("  v2.times = u64\n", "  v2.times? = u64, gone\n");
    insta::assert_snapshot!(said(&old, &[("  v2.times? = u64, gone\n", "  v2.times? = string\n")]), @r#"
    This breaks what is stored:
    - event `opened`, version 2: `times` is there again, and older ones have a `u64` there, which `string` doesn't read; give it another name, or keep the old shape and raise the version: `#[event(version = 3, upcast(2 => ..))]`
    "#);
}

#[test]
fn a_removed_field_that_comes_back_must_not_be_needed() {
    let old = OLD.replace("  v2.times = u64\n", "  v2.times? = u64, gone\n");
    insta::assert_snapshot!(said(&old, &[("  v2.times? = u64, gone\n", "  v2.times = u64\n")]), @r#"
    This breaks what is stored:
    - event `opened`, version 2: `times` may not be missing any more, and stored ones may have none; give it `#[serde(default)]` again, or keep the old shape and raise the version: `#[event(version = 3, upcast(2 => ..))]`
    This is different, and breaks nothing:
    - event `opened`, version 2: `times` is there again
    "#);
}

#[test]
fn snapshots_of_events_that_were_deleted_once_matter_for_ever() {
    let old = OLD.replace("retain all", "retain all\ndeleted once");
    insta::assert_snapshot!(said(&old, &[("deleted once\n", ""), ("written opened: u64", "written opened: String")]), @r#"
    This breaks what is stored:
    - the snapshot has other fields in the same version, so that older ones are not used, and they stand for events that are deleted: keep the old shape and raise the version: `#[snapshot(version = 3, upcast(2 => ..))]`
    "#);
}

mod types;
