//! The list of the cases, once: the table and the tests are made from it.

/// Hands the cases to a macro: what each shows, by which rule, where it stands, and its name.
#[doc(hidden)]
#[macro_export]
macro_rules! __snapshot_cases {
    ($callback:path, $args:tt) => {
        $callback! { $args
            "What is saved is loaded, as often as the store is opened."
            SAVED saving what_is_saved_is_loaded_also_after_reopening;
            "What is saved is there after each of several crashes."
            SAVED saving what_is_saved_survives_a_crash;
            "A snapshot with the same number replaces the one before, its time and its length included."
            SAVE saving a_snapshot_takes_the_place_of_one_with_its_number;
            "Numbers and times, one by one and together, inside and at the borders."
            LOAD saving criteria_choose_the_highest_that_they_allow;
            "Where the clock was set back, the number decides."
            LOAD saving a_higher_number_counts_more_than_a_later_time;
            "Numbers are ordered as numbers, up to the highest."
            LIST saving they_are_listed_the_highest_first;
            "Ids with NUL, slashes, dots, other cases and other normal forms are different entities."
            IDS saving odd_ids_are_entities_of_their_own;
            "Empty and overlong names are refused by every method."
            BAD_ID saving an_id_that_names_no_entity_is_refused;
            "The limit holds to the byte."
            TOO_LARGE saving a_snapshot_at_the_limit_is_saved_and_a_longer_one_is_not;
            "Snapshots of 5 MB come back to the byte."
            BYTES saving big_snapshots_survive;
            "Times are cut to microseconds, before 1970 and far away too."
            TIME saving times_are_kept_in_whole_microseconds;
            "Futures that are dropped without a poll change nothing."
            POLLED saving what_is_not_polled_does_nothing;
            "A save that is given up leaves the old one or the new one."
            NEVER_HALF saving a_save_that_is_dropped_leaves_a_whole_snapshot_or_none;
            "One goes; other numbers and other entities stay."
            DELETE deleting one_is_deleted_and_the_others_stay;
            "Those that are meant go, and are counted."
            MATCHING deleting those_that_match_are_deleted_and_counted;
            "What was deleted doesn't come back."
            DELETED deleting what_is_deleted_is_deleted_after_a_crash;
            "To load or to delete what isn't there is no error."
            DELETE deleting what_is_not_there_is_none_and_deleting_it_is_harmless;
            "A hundred snapshots, of which two are kept."
            MATCHING deleting all_but_the_newest_are_deleted;
            "Four threads save and delete at once."
            SAVED threads saves_at_once_are_all_there;
            "While a snapshot is replaced, readers see a whole one all the time."
            SAVE threads readers_see_the_old_one_or_the_new_one;
            "Random saves, deletions and restarts leave what a map has."
            LIST models whatever_is_done_to_it_it_is_what_a_map_is;
        }
    };
}

/// The tests of a store of snapshots.
#[doc(hidden)]
#[macro_export]
macro_rules! __snapshot_tests {
    ([$place:expr] $($what:literal $rule:ident $module:ident $name:ident;)*) => {
        $(
            #[doc = $what]
            #[test]
            fn $name() {
                $crate::testing::conformance::snapshots::check(::std::stringify!($name), $place);
            }
        )*
    };
}

/// Tests a store of snapshots: one `#[test]` for each of [`CASES`](crate::testing::conformance::snapshots::CASES), in a module
/// `snapshot_store_conformance`.
///
/// The expression makes a [`SnapshotPlace`](crate::testing::conformance::snapshots::SnapshotPlace), and is evaluated anew for
/// each test. It sees what the module around it sees. See [`conformance`](crate::testing::conformance) for an example.
#[macro_export]
macro_rules! snapshot_store_conformance {
    ($place:expr) => {
        mod snapshot_store_conformance {
            #[allow(unused_imports, reason = "the expression may name everything by its path")]
            use super::*;

            $crate::__snapshot_cases! { $crate::__snapshot_tests, [$place] }
        }
    };
}
