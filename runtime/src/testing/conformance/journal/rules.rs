//! What the documentation of `Journal` and its types promises, in its own words.

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
    UNIT "Journal" "The unit of storage is the [`Run`]: consecutive commands of one stream, stored together or not at all.";
    OFFSETS "Journal" "A journal gives each record an [`Offset`] of its own, in an order that agrees with every stream's.";
    RUN_OFFSETS "Journal" "The records of one run have consecutive offsets, and no offset is given twice.";
    FACTS "Facts" "What doesn't change while a journal is open.";
    STORE "Facts::store" "Made at random when the store was created; seeds every checksum.";
    EPOCH "Facts::epoch" "Counts how often the store was opened for writing; the fence against a second writer.";

    OPEN "Journal::open_stream" "Finds a stream, or reserves a number for one that has no records yet.";
    NUMBERS "Journal::open_stream" "Once it has records it keeps its number, and no other stream gets it.";
    OPEN_ID "Journal::open_stream" "An id that can't be stored is refused.";
    CLOSE_STREAM "Journal::close_stream" "After the last, nobody may append to the stream until it is opened again";
    LAST "StreamHead::last" "Its last sequence number; 0 if it has no records.";

    OUTCOMES "Journal::append" "one outcome for each run, in the same order.";
    WHOLE "Journal::append" "A run is stored whole or not at all; a group need not be.";
    CONFLICT "Journal::append" "A run whose first sequence number isn't the one after its stream's last is refused with [`Why::Conflict`].";
    CHECKED "Journal::append" "A run that [`Run::check`] refuses is refused, for its reason.";
    OPEN_FIRST "Journal::append" "One whose stream isn't open under its id is refused with [`Why::BadRun`].";
    REFUSED "Journal::append" "What is refused leaves no trace: neither in its stream, nor in the order, nor among the deadlines.";
    IN_FLIGHT "Journal::append" "Groups are stored in the order in which they were handed over, so the followers of a run that isn't stored are refused as well.";
    DURABLE_FIRST "Journal::append" "A run is stored, and may be read, only once it is durable as [`Facts::durability`] says.";
    BEGINS "Journal::append" "Writing begins with the call; dropping the future cancels nothing.";
    FENCED "Journal::append" "Where the store was opened again since, everything is refused with [`Why::Fenced`].";
    TOO_LARGE "Why::TooLarge" "It is longer than the limit.";
    ENDED "Why::Ended" "The stream was ended with a tombstone.";
    ENDS "Run::ends" "with the run, everything before that record is deleted.";
    STORED "Outcome::Stored" "It is durable; its first record has this offset.";

    SETTLE "Journal::settle" "Says what became of a run whose outcome was [`Outcome::Unknown`], asked of the journal that was opened since.";
    SETTLE_EPOCH "Journal::settle" "A run that was handed to an open journal of the same epoch is [`Settled::Unsettled`] until it is opened again; so is one in whose place the records are deleted.";
    SETTLE_PLACE "Journal::settle" "Otherwise the run that is stored in its place is it, or isn't.";
    SETTLE_OTHER "Journal::settle" "[`ReadError::OtherStore`] if the run was handed to another store";

    DURABLE "Journal::durable" "The offset up to which everything is durable.";
    RISES "Journal::durable" "It never falls while the journal is open.";
    CHANGED "Journal::changed" "Waits until something is durable behind `beyond`, and says how far the journal reaches then.";
    CHANGED_ENDS "Journal::changed" "When nothing more will be durable, since the journal is closed or has failed, the wait ends too";
    CHANGED_DROPPED "Journal::changed" "Dropping the future gives its place back and loses nothing.";

    READ "Journal::read" "Reads runs of one stream, from the one that contains `from` up to the one that contains `to`, as many as fit into `bytes_max` and at least one.";
    READ_FLOOR "Journal::read" "Where `from` is deleted, it begins behind what is deleted.";
    MORE "Journal::read" "[`Page::more`] says whether there are more up to `to`.";
    READ_END "Journal::read" "Beyond the stream's last record there is nothing: an empty page.";
    BYTES "StoredRun::bytes" "its checksum was right when it was read.";
    FLOOR "StoredRun::floor" "The stream's records up to this one are deleted: those of them that the run has are not to be told to anybody.";
    READ_ALL "Journal::read_all" "Reads runs of all streams in the order of their offsets, beginning with the one that contains the record behind `after`, as many as fit into `bytes_max` and at least one.";
    READ_ALL_DURABLE "Journal::read_all" "Only durable runs are read, and no run that is wholly deleted.";
    ARMED "Journal::armed" "The deadlines that are armed, in the order of their times and then of their streams: what [`Run::due`] of all durable runs comes to.";
    STREAM_ID "Journal::stream_id" "The name of a stream; `None` if it has no records, or is forgotten.";

    DELETE "Journal::delete_to" "Deletes the records of an open stream up to `to`, for ever.";
    DELETE_LAST "Journal::delete_to" "The stream's last sequence number stays what it is, and what is deleted doesn't come back by deleting less.";
    DELETE_BEYOND "Journal::delete_to" "To delete beyond the stream's last record is refused with [`Why::BadRun`]";
    DELETE_BEGINS "Journal::delete_to" "Deleting begins with the call; dropping the future cancels nothing.";

    FORGET "Journal::forget" "nothing of what it held can be read from any file, its name included.";
    FORGET_AGAIN "Journal::forget" "Asking again is harmless.";
    FORGET_NOT "Journal::forget" "A stream that wasn't begun with [`Run::forgettable`] is refused with [`Why::NotForgettable`], and one that hasn't ended with [`Why::BadRun`].";
    FORGETTABLE "Run::forgettable" "It counts for the first run of a stream; the others are stored as that one was.";
    CIPHER "Journal::cipher" "`None` if the stream isn't encrypted, or has no records yet.";
    ENCRYPT "Cipher::encrypt" "Encrypts, each time with a new nonce.";
    DECRYPT "Cipher::decrypt" "Decrypts, and checks that nothing was changed.";
    PSEUDONYM "Cipher::pseudonym" "the same each time, and it tells nothing.";
    CIPHER_GONE "Cipher" "Once the stream is forgotten, nobody can decrypt any more.";

    HEALTH "Journal::health" "Whether the journal still takes writes.";
    CLOSE "Journal::close" "Takes no more writes, stores what was handed over, and closes.";
    CLOSED "Journal::close" "From then on runs are refused with [`Why::Closed`] and reads with [`ReadError::Closed`]; to close again is harmless.";
    CLOSE_BEGINS "Journal::close" "Closing begins with the call; dropping the future cancels nothing.";
}
