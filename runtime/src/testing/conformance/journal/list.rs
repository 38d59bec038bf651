//! The list of the cases, once: the table and the tests are made from it.

/// Hands the cases to a macro: what each shows, by which rule, where it stands, and its name.
#[doc(hidden)]
#[macro_export]
macro_rules! __journal_cases {
    ($callback:path, $args:tt) => {
        $callback! { $args
            "What is stored is read again, as often as the journal is opened."
            READ reading what_is_stored_is_read_again_also_after_reopening;
            "Each pair of `from` and `to`, with limits around the lengths of runs, gives just the runs that it touches."
            READ reading every_window_of_a_stream_has_the_runs_that_it_touches;
            "The same, where the stream is deleted up to the middle of a run and to the end of one."
            READ_FLOOR reading every_window_of_a_stream_begins_behind_what_is_deleted;
            "With the shortest pages, whoever reads on behind the last comes to the end."
            READ reading pages_of_one_byte_lead_through_a_stream;
            "A page is filled as far as it goes."
            READ reading a_page_has_as_many_runs_as_fit;
            "Beyond the last record, up to the highest number, there is an empty page."
            READ_END reading there_is_nothing_beyond_the_end;
            "A new store is empty, also when it was opened twice."
            READ_ALL reading an_empty_journal_has_nothing_to_read;
            "Reading everything gives each stream's runs, in the order of the offsets."
            READ_ALL reading the_whole_journal_is_its_streams_merged;
            "Each offset to read behind, with limits around the lengths of runs."
            READ_ALL reading every_window_of_the_whole_journal_begins_behind_its_offset;
            "Runs that are wholly deleted are not read; those in part are."
            READ_ALL_DURABLE reading the_whole_journal_leaves_out_what_is_deleted;
            "A page may be empty though something is durable behind it."
            READ_ALL_DURABLE reading a_page_is_empty_where_all_behind_it_is_deleted;
            "Runs with records of every kind come back as they were handed over."
            BYTES reading what_was_stored_comes_back_to_the_byte;
            "Zeros, empty payloads, line ends and random bytes come back."
            BYTES reading payloads_of_any_bytes_come_back;
            "Forty streams that are written in turns keep their own."
            READ reading what_one_stream_holds_is_not_read_in_another;
            "Offsets rise over streams, restarts and crashes."
            OFFSETS writing offsets_rise_with_every_record;
            "Where it is promised, offsets have no gaps, whatever is refused or deleted."
            RUN_OFFSETS writing offsets_have_no_gaps_where_that_is_promised;
            "A group of no runs is answered with nothing, and changes nothing."
            OUTCOMES writing an_empty_group_has_no_outcomes;
            "The outcomes of a group come in the order of its runs."
            OUTCOMES writing each_outcome_stands_at_its_runs_place;
            "A run that is refused takes the others of its group not with it."
            WHOLE writing a_group_is_stored_in_part_when_a_run_is_refused;
            "A long group is stored."
            OUTCOMES writing a_group_of_a_thousand_streams_is_stored;
            "Fifty groups of one stream, handed over before any is answered, are stored in order."
            IN_FLIGHT writing groups_in_flight_are_stored_in_their_order;
            "It doesn't matter in which order the outcomes are asked for."
            OUTCOMES writing what_is_answered_late_is_stored_in_order_all_the_same;
            "What stands behind a refused run in its stream is refused, and other streams go on."
            IN_FLIGHT writing the_followers_of_a_refused_run_are_refused;
            "A run is stored though nobody polls its future."
            BEGINS writing an_append_begins_when_it_is_called;
            "A run is stored though its future is dropped."
            BEGINS writing an_append_is_stored_though_its_future_is_dropped;
            "What was answered with `Stored` is there for every reader."
            DURABLE_FIRST writing what_is_stored_can_be_read_at_once;
            "A run that begins too low is refused, with both numbers."
            CONFLICT writing a_run_below_the_next_is_a_conflict;
            "A run that begins too high is refused, with both numbers."
            CONFLICT writing a_run_beyond_the_next_is_a_conflict;
            "A run that comes again is stored once, also in flight and after a restart."
            CONFLICT writing the_same_run_twice_is_a_conflict;
            "Of five runs in flight that want one sequence number, one gets it."
            CONFLICT writing of_those_that_want_one_number_one_is_stored;
            "A refused run changes nothing that can be seen."
            REFUSED writing what_is_refused_leaves_no_trace;
            "Stream, id, sequence number, count and bytes of a run must belong together."
            CHECKED writing a_run_with_other_bytes_than_fields_is_refused;
            "No byte of a run can change on its way unnoticed."
            CHECKED writing a_run_with_a_changed_byte_is_refused;
            "A run that was sealed for another store is refused."
            STORE writing a_run_for_another_store_is_refused;
            "Nobody appends to a stream that was closed as often as it was opened."
            CLOSE_STREAM writing a_run_of_a_stream_that_is_not_open_is_refused;
            "The limit of a run holds to the byte."
            TOO_LARGE writing a_run_at_the_limit_is_stored_and_a_longer_one_is_not;
            "A run of one write with 100,000 records is stored, or with as many as fit."
            UNIT writing a_hundred_thousand_records_fit_into_one_write;
            "Events without any bytes have sequence numbers and offsets."
            UNIT writing empty_payloads_are_records_too;
            "A thousand groups in flight at once are stored."
            IN_FLIGHT writing many_short_runs_are_as_good_as_few_long_ones;
            "Ids with NUL, line ends, slashes, dots, other cases and other normal forms are different streams."
            OPEN streams odd_ids_are_streams_of_their_own;
            "`ab` and `c` are not `a` and `bc`."
            OPEN streams the_border_between_aggregate_and_entity_is_kept;
            "Ids of every legal length are stored."
            OPEN streams ids_of_one_to_512_bytes_are_stored;
            "Random ids that begin alike are different streams."
            OPEN streams any_ids_are_streams_of_their_own;
            "An empty id and one of 513 bytes are refused, when opened and when appended to."
            OPEN_ID streams an_id_that_can_not_be_stored_is_refused;
            "Opening a stream without writing to it leaves nothing behind."
            OPEN streams a_number_that_was_reserved_and_never_used_breaks_nothing;
            "Numbers of streams stay what they are over restarts and crashes."
            NUMBERS streams a_stream_keeps_its_number;
            "The name of a stream is known as soon as it has records, and not before."
            STREAM_ID streams a_stream_is_named_once_it_has_records;
            "Openings of a stream are counted."
            CLOSE_STREAM streams a_stream_opened_twice_is_closed_twice;
            "Opening tells the last sequence number, after restarts and crashes too."
            LAST streams opening_tells_where_a_stream_stands;
            "Streams are read whether they are open or not."
            READ streams reading_needs_no_open_stream;
            "Deleting inside of a run, at its end and less than before, over restarts."
            DELETE deletion what_is_deleted_is_not_read_again;
            "A page that begins below the floor begins behind it."
            READ_FLOOR deletion a_page_begins_behind_what_is_deleted;
            "What was deleted is deleted after a crash."
            DELETE deletion a_deletion_survives_a_crash;
            "An empty stream goes on where it was, over restarts and crashes."
            DELETE_LAST deletion a_stream_whose_records_are_all_deleted_goes_on;
            "Deleting beyond the end, and in a stream that isn't open, is refused."
            DELETE_BEYOND deletion more_than_there_is_can_not_be_deleted;
            "Deletions and runs are done in the order in which they were asked for, dropped or not."
            DELETE_BEGINS deletion what_was_handed_over_before_is_there_to_be_deleted;
            "Streams with like names keep all they have."
            DELETE deletion a_deletion_takes_nothing_from_others;
            "Behind a tombstone nothing is stored, over restarts and crashes."
            ENDED deletion an_ended_stream_keeps_its_tombstone_and_takes_nothing_more;
            "What is in flight behind a tombstone is refused."
            ENDED deletion what_follows_a_tombstone_in_flight_is_refused;
            "An empty stream can be ended."
            ENDS deletion a_stream_ends_also_where_all_of_it_is_deleted_already;
            "What a run says of its end is what its bytes say."
            CHECKED deletion a_run_that_says_wrongly_that_it_ends_is_refused;
            "The last sequence number outlives deletion, restart, crash and end."
            DELETE_LAST deletion a_sequence_number_is_never_used_again;
            "The last offset outlives deletion, restart and crash."
            RUN_OFFSETS deletion no_offset_is_used_again_for_what_was_deleted;
            "Of a forgotten stream there is its last sequence number, and nothing else."
            FORGET forgetting a_forgotten_stream_is_read_as_nothing_and_stays_ended;
            "A stream that goes on isn't forgotten."
            FORGET_NOT forgetting only_what_has_ended_can_be_forgotten;
            "A stream that isn't encrypted is refused, and stays as it is."
            FORGET_NOT forgetting what_was_not_begun_so_is_not_forgettable;
            "Later runs, and refused ones, decide nothing."
            FORGETTABLE forgetting the_first_run_decides_whether_a_stream_can_be_forgotten;
            "The others, and the order, stay as they are."
            FORGET forgetting forgetting_takes_nothing_from_others;
            "A cipher decrypts its own, over restarts, and notices what was changed."
            CIPHER forgetting a_cipher_gives_back_what_it_encrypted;
            "What was encrypted for a forgotten stream stays encrypted."
            CIPHER_GONE forgetting nobody_decrypts_what_is_forgotten;
            "The last run that says something about the deadline counts."
            ARMED deadlines a_deadline_is_armed_until_it_is_armed_anew_or_cleared;
            "Of the writes of a run, the last that says something counts."
            ARMED deadlines the_last_write_of_a_run_decides_its_deadline;
            "A refused run arms and clears nothing."
            REFUSED deadlines a_run_that_is_refused_changes_no_deadline;
            "Three hundred deadlines come by time, and then by stream."
            ARMED deadlines deadlines_come_in_the_order_of_their_times;
            "Ending a stream clears its deadline; deleting its records doesn't."
            ARMED deadlines a_tombstone_clears_the_deadline_and_a_deletion_does_not;
            "Times before 1970 and far away are kept."
            ARMED deadlines times_far_away_are_kept_to_the_microsecond;
            "A wait ends when there is something, and says how far the journal reaches."
            CHANGED waiting who_waits_hears_of_what_became_durable;
            "Twenty who wait for the same hear of it."
            CHANGED waiting all_who_wait_hear;
            "A wait doesn't end before there is something behind its offset."
            CHANGED waiting who_waits_for_later_goes_on_waiting;
            "A reader that waits, reads and waits again misses nothing of a busy writer."
            CHANGED waiting no_wake_up_is_lost_between_looking_and_waiting;
            "What isn't stored wakes nobody up for good."
            CHANGED waiting nobody_hears_of_a_run_that_is_refused;
            "Waits that are dropped take nothing from those that aren't."
            CHANGED_DROPPED waiting who_has_waited_in_vain_leaves_no_trace;
            "The waker of the last poll is woken."
            CHANGED waiting who_is_polled_by_another_task_is_woken_there;
            "Closing ends all waits, and those that begin later."
            CHANGED_ENDS waiting the_end_of_a_journal_ends_all_waiting;
            "The store's id stays over restarts, and the epoch rises with each."
            FACTS closing its_facts_do_not_change;
            "An open journal is in good health, also after a run was refused."
            HEALTH closing it_takes_writes_while_it_is_open;
            "A closed journal refuses runs and reads, and closing again is harmless."
            CLOSED closing a_closed_journal_takes_nothing;
            "What was on its way when the journal was closed is stored and answered."
            CLOSE closing closing_stores_what_was_handed_over;
            "A journal closes though the future is dropped."
            CLOSE_BEGINS closing closing_begins_with_the_call;
            "Opening again and again changes nothing."
            EPOCH closing a_journal_can_be_opened_many_times;
            "Runs and deadlines that were answered are there after each of many crashes."
            STORED crashes what_was_answered_survives_a_crash;
            "A crash while groups are in flight leaves whole runs, in order, without holes."
            WHOLE crashes a_run_is_whole_or_not_there_after_a_crash;
            "What is stored after a crash stands behind what was there before."
            RUN_OFFSETS crashes it_goes_on_after_a_crash;
            "Crashes that follow each other lose nothing."
            STORED crashes a_crash_right_after_opening_loses_nothing;
            "When the store is opened again, the first writer stores nothing more, and its waits end."
            FENCED crashes a_second_writer_shuts_out_the_first;
            "Of two writers that want one sequence number, the second gets it."
            FENCED crashes of_two_writers_one_stores;
            "A stored run is found again after a restart and after a crash, and not before."
            SETTLE settling a_run_is_settled_once_the_journal_was_opened_again;
            "Runs that were never stored are told from those that stand in their place."
            SETTLE_PLACE settling what_was_not_stored_is_settled_as_that;
            "What nobody heard of is settled as what a crash has left."
            SETTLE_PLACE settling what_is_in_flight_in_a_crash_is_settled_as_what_is_there;
            "As long as one record is there, a run is settled; then never more."
            SETTLE_PLACE settling what_is_deleted_can_not_be_settled;
            "Of a forgotten stream nobody learns what was stored."
            SETTLE_EPOCH settling what_is_forgotten_can_not_be_settled;
            "A run that was handed to another store is an error, and not taken for one that isn't stored."
            SETTLE_OTHER settling a_run_of_another_store_is_not_settled;
            "Settling opens and closes as often."
            CLOSE_STREAM settling settling_leaves_no_stream_open;
            "Three threads with streams of their own store all of it."
            IN_FLIGHT threads writers_on_many_threads_store_all_of_it;
            "Of three threads that want the same sequence numbers, one gets each."
            CONFLICT threads of_writers_on_many_threads_one_wins_each_number;
            "Readers see whole runs, and what they have seen stays, while others write."
            WHOLE threads readers_see_a_prefix_of_whole_runs_while_others_write;
            "What is said to be durable is there to be read, at any time."
            READ_ALL_DURABLE threads what_is_heard_of_can_be_read;
            "A page is never empty while there is more, whatever is deleted while it is read."
            READ_ALL threads a_page_has_something_while_others_delete;
            "Opening and closing streams on many threads mixes nothing up."
            NUMBERS threads streams_are_opened_and_closed_on_many_threads;
            "Random writes, ends, deletions, deadlines, restarts and crashes leave what a model has."
            UNIT models whatever_is_done_to_it_it_is_what_its_model_is;
        }
    };
}

/// The tests of a journal.
#[doc(hidden)]
#[macro_export]
macro_rules! __journal_tests {
    ([$store:expr] $($what:literal $rule:ident $module:ident $name:ident;)*) => {
        $(
            #[doc = $what]
            #[test]
            fn $name() {
                $crate::testing::conformance::journal::check(::std::stringify!($name), $store);
            }
        )*
    };
}

/// Tests a journal: one `#[test]` for each of [`CASES`](crate::testing::conformance::journal::CASES), in a module
/// `journal_conformance`.
///
/// The expression makes a [`JournalStore`](crate::testing::conformance::journal::JournalStore), and is evaluated anew for each
/// test. It sees what the module around it sees. See [`conformance`](crate::testing::conformance) for an example.
#[macro_export]
macro_rules! journal_conformance {
    ($store:expr) => {
        mod journal_conformance {
            #[allow(unused_imports, reason = "the expression may name everything by its path")]
            use super::*;

            $crate::__journal_cases! { $crate::__journal_tests, [$store] }
        }
    };
}
