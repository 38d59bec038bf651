//! Nothing of what is forgotten is in any file, whatever happens in between; and a lost key is told.

use super::*;
use crate::codec::Codec;
use crate::journal::bytes::{CHECKSUM_BYTES, checksum};
use crate::journal::keys::FILE as KEYS;
use crate::journal::suite::forgetting::{forget, forgettable_run, store_forgettable};
use crate::journal::{
    Cipher, Due, EventRecord, Record, Run, RunBuilder, StoredCause, StoredKey, StoredOutcome, TransitionRecord, Write,
};
use jiff::Timestamp;

const SLOT_BYTES: usize = 64;
const KEY: std::ops::Range<usize> = 16..48;

/// Where in the files of a store a piece of bytes is.
fn found_in(path: &Path, piece: &[u8]) -> Vec<String> {
    let finder = |bytes: &[u8]| bytes.windows(piece.len()).any(|window| window == piece);
    let holds = |file: &PathBuf| {
        let read = match fs::read(file) {
            // The engine has merged it into another one since it was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.unwrap(),
        };
        finder(&read) || finder(file.as_os_str().as_encoded_bytes())
    };
    files_in(path).into_iter().filter(holds).map(|file| file.display().to_string()).collect()
}

/// All that a stream says of itself, with `mark` in each part; a tombstone at its end.
fn store_all_kinds(journal: &FjallJournal, mark: &str, forgettable: bool) -> PersistenceId {
    let name = |part: &str| format!("{mark}-{part}");
    let id = PersistenceId::new("account", name("entity"));
    let (event, state, command, reply) = (name("event"), name("state"), name("command"), name("reply"));
    let (payload, refusal) = (name("payload"), name("refusal"));
    let at = |micros| Timestamp::from_microsecond(micros).unwrap();
    let event =
        Record::Event(EventRecord { name: &event, version: 1, codec: Codec::Json, payload: payload.as_bytes() });
    let mut key = [0; 16];
    key[..mark.len()].copy_from_slice(mark.as_bytes());
    let write = |outcome| Write {
        time: at(1),
        key: Some(StoredKey::Unique(key)),
        outcome: Some(outcome),
        cause: Some(StoredCause::Command(&command)),
    };
    let replied = StoredOutcome::Replied { codec: Codec::Json, payload: reply.as_bytes() };
    let refused = StoredOutcome::Refused { codec: Codec::Json, payload: refusal.as_bytes() };
    let head = open(journal, &id);
    let mut first = head.last.0 + 1;
    for kind in 0..3 {
        let mut run = RunBuilder::new(head.stream, id.clone(), SeqNr(first));
        match kind {
            0 => run.push_write(&write(replied), Due::Unchanged, [event].into_iter()),
            1 => {
                let to =
                    Record::Transition(TransitionRecord { from: None, to: &state, transient: false, due: Some(at(9)) });
                run.push_write(&write(refused), Due::At(at(9)), [event, to].into_iter());
            }
            _ => run.push_write(&Write::at(at(3)), Due::Cleared, [event, Record::Tombstone].into_iter()),
        }
        first = run.last().0 + 1;
        let run = Run { forgettable, ..run.seal(&journal.facts(), 1) };
        assert!(matches!(append(journal, vec![run])[..], [Outcome::Stored(_)]));
        if kind == 1 {
            journal.write_deadlines();
        }
    }
    journal.close_stream(head.stream);
    id
}

const PARTS: [&str; 8] = ["", "-entity", "-event", "-state", "-command", "-reply", "-refusal", "-payload"];

/// The file of keys, by slots; the header is the first.
fn slots(path: &Path) -> Vec<Vec<u8>> {
    fs::read(path.join(KEYS)).unwrap().chunks(SLOT_BYTES).map(<[u8]>::to_vec).collect()
}

fn write_slots(path: &Path, slots: &[Vec<u8>]) {
    fs::write(path.join(KEYS), slots.concat()).unwrap();
}

fn image_of(dir: &TempDir, path: &Path, name: &str) -> PathBuf {
    let image = dir.path().join(name);
    copy_sparse(path, &image);
    image
}

fn is_corrupt<T>(result: &Result<T, ReadError>) -> bool {
    matches!(result, Err(ReadError::Corrupt(_)))
}

fn name_of(journal: &FjallJournal, stream: u64) -> Option<PersistenceId> {
    block_on(journal.stream_id(StreamNo(stream))).unwrap()
}

#[test]
fn no_file_holds_anything_of_a_forgotten_stream_nor_its_key() {
    let (_dir, path, journal) = new();
    let secret = store_all_kinds(&journal, "FORGOTTEN", true);
    let plain = store_all_kinds(&journal, "KNOWN", false);
    let key = slots(&path)[1][KEY].to_vec();
    assert_eq!(found_in(&path, &key).len(), 1, "as long as it isn't forgotten, the key is in the file of keys");
    journal.stop_removal_after(0);
    let check = |when: &str| {
        for part in PARTS {
            // The search does find what is there.
            assert_ne!(found_in(&path, format!("KNOWN{part}").as_bytes()), [""; 0], "{when}");
            assert_eq!(found_in(&path, format!("FORGOTTEN{part}").as_bytes()), [""; 0], "{when}");
        }
    };
    check("even before it is forgotten");
    assert!(matches!(forget(&journal, &secret), Outcome::Stored(_)));
    assert_eq!(forget(&journal, &plain), Outcome::NotStored(Why::NotForgettable));
    let check = |when| {
        check(when);
        assert_eq!(found_in(&path, &key), [""; 0], "{when}");
    };
    check("while the journal is open");
    drop(journal);
    check("when it is closed");
    let journal = journal_in(&path).unwrap();
    check("when it is open again");
    assert_eq!(head(&journal, &secret), (5, 5, true));
    store_all_kinds(&journal, "KNOWN2", false);
    drop(journal);
    check("when it is closed again");
}

#[test]
fn without_streams_that_can_be_forgotten_there_are_no_keys() {
    let (_dir, path, journal) = new();
    fill(&journal, 7);
    drop(journal);
    drop(journal_in(&path).unwrap());
    assert_eq!(names_in(&path), ["fjall", "head", "lock"]);
}

#[test]
fn a_key_is_on_the_disk_before_what_it_encrypts() {
    let (dir, path, journal) = new();
    store_forgettable(&journal, &id("alice"), &[b"x"]);
    let stream = open(&journal, &id("bob")).stream;
    journal.shared.faults.fail_next_commit();
    let outcomes = append(&journal, vec![forgettable_run(&journal, stream, &id("bob"), 1, &[b"y"])]);
    assert!(matches!(outcomes[..], [Outcome::Unknown(_)]), "{outcomes:?}");
    let image = image_of(&dir, &path, "image");
    assert!(slots(&image)[2][KEY].iter().any(|byte| *byte != 0));
    let journal = journal_in(&image).unwrap();
    assert_eq!(head(&journal, &id("bob")), (0, 0, false));
    // Its number isn't given again.
    store_forgettable(&journal, &id("bob"), &[b"z"]);
    assert_eq!(slots(&image).len(), 4);
    drop(journal);
    let journal = journal_in(&image).unwrap();
    assert_eq!(read(&journal, &id("bob")).unwrap(), [(1, b"z".to_vec())]);
    assert_eq!(read(&journal, &id("alice")).unwrap(), [(1, b"x".to_vec())]);
}

/// A journal in which alice can be forgotten and has ended; bob can be forgotten too.
fn with_an_end() -> (TempDir, PathBuf, FjallJournal) {
    let (dir, path, journal) = new();
    for _ in 0..3 {
        store_forgettable(&journal, &id("alice"), &[b"secret", b"more"]);
        store_forgettable(&journal, &id("bob"), &[b"x"]);
    }
    end(&journal, &id("alice"), &[b"last"]);
    (dir, path, journal)
}

fn check_forgotten(path: &Path) -> FjallJournal {
    let journal = journal_in(path).unwrap();
    assert_eq!(slots(path)[1], [0; SLOT_BYTES]);
    assert_ne!(slots(path)[2], [0; SLOT_BYTES]);
    assert_eq!(head(&journal, &id("alice")), (8, 8, true));
    assert_eq!(name_of(&journal, 1), None);
    assert_eq!(read(&journal, &id("alice")).unwrap(), []);
    assert_eq!(read(&journal, &id("bob")).unwrap().len(), 3);
    assert_eq!(read_all(&journal, 1).unwrap().len(), 3);
    journal
}

#[test]
fn a_crash_before_it_is_stored_forgets_nothing() {
    let (dir, path, journal) = with_an_end();
    journal.shared.faults.fail_next_commit();
    assert!(matches!(forget(&journal, &id("alice")), Outcome::Unknown(_)));
    for image in [image_of(&dir, &path, "crashed"), {
        drop(journal);
        path
    }] {
        let journal = journal_in(&image).unwrap();
        assert_ne!(slots(&image)[1], [0; SLOT_BYTES]);
        assert_eq!(head(&journal, &id("alice")), (8, 7, true));
        assert_eq!(name_of(&journal, 1), Some(id("alice")));
        assert!(matches!(forget(&journal, &id("alice")), Outcome::Stored(_)));
        drop(journal);
        check_forgotten(&image);
    }
}

#[test]
fn a_crash_before_the_key_is_destroyed_is_made_good_at_opening() {
    for behind in [false, true] {
        let (dir, path, journal) = with_an_end();
        let before = slots(&path);
        journal.shared.faults.fail_destroying(behind);
        let outcome = forget(&journal, &id("alice"));
        assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
        assert!(matches!(journal.health(), Health::Failed(_)));
        assert_eq!(slots(&path)[1] == [0; SLOT_BYTES], behind);
        // What is forgotten is not read, though its key is there.
        assert_eq!(block_on(journal.read(StreamNo(1), SeqNr(1), SeqNr(9), 1)).unwrap().runs, []);
        assert_eq!(name_of(&journal, 1), None);

        let image = image_of(&dir, &path, "crashed");
        // Zeros that were written and not synced may not be there after a loss of power.
        write_slots(&image, &before);
        drop(check_forgotten(&image));
        check_forgotten(&image);

        drop(journal);
        write_slots(&path, &before);
        drop(check_forgotten(&path));
        check_forgotten(&path);
    }
}

#[test]
fn a_key_that_came_back_opens_nothing_and_is_destroyed_when_asked_again() {
    let (_dir, path, journal) = with_an_end();
    let before = slots(&path);
    forget(&journal, &id("alice"));
    drop(journal);
    drop(check_forgotten(&path));
    // As an older copy of the file.
    write_slots(&path, &before);
    let journal = journal_in(&path).unwrap();
    assert_eq!(read(&journal, &id("alice")).unwrap(), []);
    assert_eq!(name_of(&journal, 1), None);
    assert!(matches!(forget(&journal, &id("alice")), Outcome::Stored(Offset(11))));
    drop(journal);
    check_forgotten(&path);
}

#[test]
fn what_is_forgotten_is_durable_before_its_key_is_destroyed_also_where_other_writes_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let journal = FjallJournal::open(&path, FjallOptions::new().durability(Durability::Os)).unwrap();
    store_forgettable(&journal, &id("alice"), &[b"x"]);
    end(&journal, &id("alice"), &[]);
    store(&journal, &id("bob"), &[b"x"]);
    // A copy of the files has also what isn't synced.
    assert!(!journal.shared.faults.was_synced());
    assert!(matches!(forget(&journal, &id("alice")), Outcome::Stored(Offset(3))));
    assert!(journal.shared.faults.was_synced());
    let image = image_of(&dir, &path, "crashed");
    assert_eq!(head(&journal_in(&image).unwrap(), &id("alice")), (2, 2, true));
}

#[test]
fn a_missing_file_of_keys_is_told_at_opening() {
    let (_dir, path, journal) = with_an_end();
    forget(&journal, &id("alice"));
    drop(journal);
    let bytes = fs::read(path.join(KEYS)).unwrap();
    fs::remove_file(path.join(KEYS)).unwrap();
    for _ in 0..2 {
        match journal_in(&path) {
            Err(OpenError::Corrupt { corrupt: Corrupt { place: Place::File { path: file }, .. }, .. }) => {
                assert_eq!(file, path.canonicalize().unwrap().join(KEYS));
            }
            other => panic!("{other:?}"),
        }
        assert!(!path.join(KEYS).exists());
    }
    fs::write(path.join(KEYS), bytes).unwrap();
    check_forgotten(&path);
}

#[test]
fn the_keys_of_another_store_are_refused() {
    let [one, other] = [with_an_end(), with_an_end()].map(|(dir, path, journal)| {
        drop(journal);
        (dir, path)
    });
    let bytes = fs::read(one.1.join(KEYS)).unwrap();
    fs::copy(other.1.join(KEYS), one.1.join(KEYS)).unwrap();
    assert!(matches!(journal_in(&one.1), Err(OpenError::Corrupt { .. })));
    fs::write(one.1.join(KEYS), bytes).unwrap();
    assert_eq!(head(&journal_in(&one.1).unwrap(), &id("alice")), (8, 7, true));
}

/// Says that the streams without their keys are corrupt, the others whole, and nothing is silent.
fn check_keys(path: &Path, alice: bool, bob: bool) {
    let journal = journal_in(path).unwrap();
    for (name, stream, has_key, events) in [("alice", 1, alice, 0), ("bob", 2, bob, 3)] {
        let page = crate::journal::suite::read_number(&journal, StreamNo(stream));
        let opened = block_on(journal.open_stream(&id(name)));
        let named = block_on(journal.stream_id(StreamNo(stream)));
        if has_key {
            assert_eq!(page.unwrap().len(), events);
            assert!(opened.unwrap().last > SeqNr(2));
            assert_eq!(named.unwrap(), Some(id(name)));
        } else {
            assert!(is_corrupt(&page) && is_corrupt(&opened) && is_corrupt(&named), "{page:?} {opened:?} {named:?}");
        }
    }
    assert_eq!(read_all(&journal, 1).is_ok(), alice && bob);
    assert_eq!(read(&journal, &id("carol")).unwrap(), []);
}

#[test]
fn a_key_that_is_lost_or_damaged_makes_its_stream_corrupt_and_no_other() {
    let (_dir, path, journal) = with_an_end();
    drop(journal);
    let good = slots(&path);
    check_keys(&path, true, true);
    write_slots(&path, &good[..2]);
    check_keys(&path, true, false);
    write_slots(&path, &good[..1]);
    check_keys(&path, false, false);
    write_slots(&path, &[good[0].clone(), good[2].clone(), good[1].clone()]);
    check_keys(&path, false, false);
    write_slots(&path, &[good[0].clone(), vec![0; SLOT_BYTES], good[2].clone()]);
    check_keys(&path, false, true);
    write_slots(&path, &good);
    check_keys(&path, true, true);
}

#[test]
fn no_damaged_byte_of_the_keys_is_silent() {
    let (_dir, path, journal) = with_an_end();
    drop(journal);
    let good = fs::read(path.join(KEYS)).unwrap();
    let flip = |index: usize| {
        let mut bad = good.clone();
        bad[index] ^= 1 << (index % 8);
        fs::write(path.join(KEYS), bad).unwrap();
    };
    for index in 0..SLOT_BYTES {
        flip(index);
        assert!(matches!(journal_in(&path), Err(OpenError::Corrupt { .. } | OpenError::NewerFormat { .. })), "{index}");
    }
    for length in 0..SLOT_BYTES {
        fs::write(path.join(KEYS), &good[..length]).unwrap();
        assert!(matches!(journal_in(&path), Err(OpenError::Corrupt { .. })), "{length} bytes");
    }
    fs::write(path.join(KEYS), &good).unwrap();
    let journal = journal_in(&path).unwrap();
    for index in SLOT_BYTES..good.len() {
        flip(index);
        let [alice, bob] = [1, 2].map(|stream| block_on(journal.stream_id(StreamNo(stream))));
        let damaged = if index < 2 * SLOT_BYTES { &alice } else { &bob };
        assert!(is_corrupt(damaged), "byte {index}: {damaged:?}");
        assert!(alice.is_ok() || bob.is_ok(), "byte {index}");
        assert!(is_corrupt(&read_all(&journal, 1)), "byte {index}");
    }
}

#[test]
fn a_key_that_is_stored_in_the_place_of_one_that_was_cut_off_opens_nothing() {
    let (_dir, path, journal) = with_an_end();
    drop(journal);
    let good = slots(&path);
    write_slots(&path, &good[..2]);
    let journal = journal_in(&path).unwrap();
    store_forgettable(&journal, &id("carol"), &[b"x"]);
    assert_eq!(slots(&path).len(), 3);
    assert!(is_corrupt(&block_on(journal.open_stream(&id("bob")))));
    assert_eq!(read(&journal, &id("carol")).unwrap().len(), 1);
    // Nor is it destroyed for another stream.
    forget(&journal, &id("alice"));
    drop(journal);
    let journal = journal_in(&path).unwrap();
    assert_eq!(read(&journal, &id("carol")).unwrap().len(), 1);
}

/// Stores a run of a closed journal with changed bytes, with all checksums made right; what is read of it then.
fn with_changed(change: impl Fn(&[u8], &[u8]) -> Vec<u8>) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
    let (_dir, path, journal) = with_an_end();
    let store = journal.facts().store;
    drop(journal);
    tamper(&path, |engine, batch| {
        let [key, other] = [1, 2].map(|first| rows::stream_key(StreamNo(2), SeqNr(first)));
        let [row, other] = [key, other].map(|key| engine.get(&key).unwrap().unwrap());
        let run = |row: &[u8]| row[16..row.len() - CHECKSUM_BYTES].to_vec();
        let mut changed = change(&run(&row), &run(&other));
        let content = changed.len() - CHECKSUM_BYTES;
        let sum = checksum(store, &[&changed[..content]]);
        changed[content..].copy_from_slice(&sum.to_le_bytes());
        let mut written = Vec::new();
        rows::write_stream_row(&mut written, store, &key, 2, Offset(3), (&changed, sum));
        batch.insert(&key, &written);
    });
    read(&journal_in(&path).unwrap(), &id("bob"))
}

#[test]
fn a_run_that_was_changed_by_somebody_who_knows_the_checksums_is_corrupt() {
    assert_eq!(with_changed(|run, _| run.to_vec()).unwrap().len(), 3);
    // Format, flags, length, epoch, run number, salt, key number, first, records, nonce.
    let (key, nonce) = (13, 16);
    let flipped = |index: usize, bits: u8| {
        with_changed(|run, _| {
            let mut run = run.to_vec();
            assert_eq!(run[key..nonce], [2, 1, 1]);
            run[index] ^= bits;
            run
        })
    };
    for (index, bits) in
        [(key, 3), (key, 2), (key, 4), (nonce, 1), (nonce + 23, 0x80), (nonce + 24, 1), (nonce + 60, 1)]
    {
        let read = flipped(index, bits);
        assert!(is_corrupt(&read), "byte {index}: {read:?}");
    }
    // The content of another run of the same stream, of the same length, under the same key.
    let read = with_changed(|run, other| {
        assert_eq!(run.len(), other.len());
        [&run[..nonce], &other[nonce..]].concat()
    });
    assert!(is_corrupt(&read), "{read:?}");
}

#[test]
fn a_run_of_another_stream_is_corrupt() {
    let (_dir, path, journal) = with_an_end();
    store_forgettable(&journal, &id("carol"), &[b"x"]);
    let store = journal.facts().store;
    drop(journal);
    let [bob, carol] = [2, 3].map(|stream| rows::stream_key(StreamNo(stream), SeqNr(1)));
    for is_signed in [false, true] {
        tamper(&path, |engine, batch| {
            let row = engine.get(&bob).unwrap().unwrap();
            let run = &row[16..row.len() - CHECKSUM_BYTES];
            let mut written = Vec::new();
            let sum = crate::journal::run::stored_checksum(run);
            rows::write_stream_row(&mut written, store, &carol, 8, Offset(12), (run, sum));
            batch.insert(&carol, if is_signed { &written } else { &row });
        });
        let journal = journal_in(&path).unwrap();
        assert!(is_corrupt(&block_on(journal.open_stream(&id("carol")))));
        assert!(is_corrupt(&block_on(journal.read(StreamNo(3), SeqNr(1), SeqNr(1), 1))));
        assert!(is_corrupt(&read_all(&journal, 1)));
        assert_eq!(read(&journal, &id("bob")).unwrap().len(), 3);
    }
}

#[test]
fn a_missing_row_of_a_hidden_id_is_told() {
    let (dir, path, journal) = with_an_end();
    let image = image_of(&dir, &path, "crashed");
    drop(journal);
    let remove = |path: &Path| {
        tamper(path, |engine, batch| {
            let (key, _) = engine.range(&[rows::HIDDEN_ID], &[rows::HIDDEN_ID + 1]).next().unwrap().unwrap();
            batch.remove(&key);
        });
    };
    remove(&image);
    assert!(matches!(journal_in(&image), Err(OpenError::Corrupt { .. })));
}

#[test]
fn ids_that_look_like_what_stands_for_others_are_streams_of_their_own() {
    let (_dir, path, journal) = new();
    store_forgettable(&journal, &id("alice"), &[b"alice"]);
    let stream = open(&journal, &id("alice")).stream;
    let pseudonym = journal.cipher(stream).unwrap().unwrap().pseudonym();
    journal.close_stream(stream);
    let like = PersistenceId::new("account", pseudonym.clone());
    store(&journal, &like, &[b"like"]);
    let again = {
        let stream = open(&journal, &id("bob")).stream;
        append(&journal, vec![forgettable_run(&journal, stream, &id("bob"), 1, &[b"bob"])]);
        PersistenceId::new("account", journal.cipher(stream).unwrap().unwrap().pseudonym())
    };
    store_forgettable(&journal, &again, &[b"again"]);
    // One whose clear key looks like a hidden one.
    let odd = PersistenceId::new("\u{7}\u{7}account", "x");
    store(&journal, &odd, &[b"odd"]);
    end(&journal, &id("alice"), &[]);
    forget(&journal, &id("alice"));
    drop(journal);
    let journal = journal_in(&path).unwrap();
    for (id, payload) in [(&like, "like"), (&id("bob"), "bob"), (&again, "again"), (&odd, "odd")] {
        assert_eq!(read(&journal, id).unwrap(), [(1, payload.as_bytes().to_vec())]);
    }
    assert_eq!(head(&journal, &id("alice")), (2, 2, true));
}

#[test]
fn the_cipher_of_a_stream_is_the_same_after_reopening_and_opens_nothing_after_forgetting() {
    let (_dir, path, journal) = with_an_end();
    store(&journal, &id("carol"), &[b"x"]);
    let cipher_of = |journal: &FjallJournal, name: &str| -> Result<Option<Arc<dyn Cipher>>, ReadError> {
        let stream = open(journal, &id(name)).stream;
        let cipher = journal.cipher(stream);
        journal.close_stream(stream);
        cipher
    };
    let [alice, bob] = ["alice", "bob"].map(|name| cipher_of(&journal, name).unwrap().unwrap());
    assert!(cipher_of(&journal, "carol").unwrap().is_none());
    assert!(cipher_of(&journal, "nobody").unwrap().is_none());
    assert!(matches!(journal.cipher(StreamNo(1)), Err(ReadError::Engine { .. })), "it isn't open");
    assert_ne!(alice.pseudonym(), bob.pseudonym());
    let [for_alice, for_bob] = [&alice, &bob].map(|cipher| cipher.encrypt(b"a snapshot"));
    assert!(is_corrupt(&alice.decrypt(&for_bob)) && is_corrupt(&bob.decrypt(&for_alice)));
    let pseudonym = alice.pseudonym();
    drop((alice, bob, journal));

    let journal = journal_in(&path).unwrap();
    // Held open in the meantime, as by an entity that is in memory.
    let stream = open(&journal, &id("alice")).stream;
    let alice = journal.cipher(stream).unwrap().unwrap();
    assert_eq!(alice.pseudonym(), pseudonym);
    assert_eq!(alice.decrypt(&for_alice).unwrap(), b"a snapshot");
    forget(&journal, &id("alice"));
    let forgotten = ReadError::Forgotten { stream };
    assert_eq!(alice.decrypt(&for_alice), Err(forgotten.clone()));
    assert_eq!(alice.decrypt(&alice.encrypt(b"late")), Err(forgotten.clone()));
    for _ in 0..2 {
        assert_eq!(cipher_of(&journal, "alice").err(), Some(forgotten.clone()));
    }
    assert_eq!(cipher_of(&journal, "bob").unwrap().unwrap().decrypt(&for_bob).unwrap(), b"a snapshot");
    drop(journal);
    assert_eq!(cipher_of(&journal_in(&path).unwrap(), "alice").err(), Some(forgotten));
}

#[cfg(unix)]
#[test]
fn a_file_of_keys_that_was_replaced_takes_no_key_and_forgets_nothing() {
    for forgets in [false, true] {
        let (_dir, path, journal) = with_an_end();
        let bytes = fs::read(path.join(KEYS)).unwrap();
        fs::remove_file(path.join(KEYS)).unwrap();
        fs::write(path.join(KEYS), bytes).unwrap();
        // A stream that is there goes on: its key is known.
        store_forgettable(&journal, &id("bob"), &[b"x"]);
        if forgets {
            assert!(matches!(forget(&journal, &id("alice")), Outcome::Unknown(_)));
        } else {
            let stream = open(&journal, &id("carol")).stream;
            let outcomes = append(&journal, vec![forgettable_run(&journal, stream, &id("carol"), 1, &[b"x"])]);
            assert!(matches!(outcomes[..], [Outcome::NotStored(Why::Failed(_))]), "{outcomes:?}");
        }
        assert!(matches!(journal.health(), Health::Failed(_)));
        drop(journal);
        let journal = journal_in(&path).unwrap();
        assert_eq!(slots(&path)[1] == [0; SLOT_BYTES], forgets);
        assert_eq!(head(&journal, &id("carol")), (0, 0, false));
        assert_eq!(read(&journal, &id("bob")).unwrap().len(), 4);
    }
}

#[test]
fn who_reads_while_streams_are_forgotten_finds_them_whole_or_not_at_all() {
    use std::sync::atomic::{AtomicBool, Ordering};
    const STREAMS: u64 = 60;
    let (_dir, _path, journal) = new();
    let names: Vec<_> = (0..STREAMS).map(|index| id(&format!("stream {index}"))).collect();
    for name in &names {
        store_forgettable(&journal, name, &[b"x", b"y"]);
        store_forgettable(&journal, name, &[b"z"]);
    }
    store(&journal, &id("plain"), &[b"x"]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for name in &names {
                end(&journal, name, &[]);
                assert!(matches!(forget(&journal, name), Outcome::Stored(_)));
            }
            done.store(true, Ordering::SeqCst);
        });
        for reader in 0..2 {
            let (journal, names, done) = (&journal, &names, &done);
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    if reader == 0 {
                        assert!(!read_all(journal, 300).unwrap().is_empty());
                        continue;
                    }
                    for (name, stream) in names.iter().zip(1..) {
                        let seqs: Vec<_> = read(journal, name).unwrap().into_iter().map(|event| event.0).collect();
                        assert!(seqs == [1, 2, 3] || seqs.is_empty(), "{seqs:?}");
                        assert!(block_on(journal.stream_id(StreamNo(stream))).unwrap().is_none_or(|id| id == *name));
                        block_on(journal.read(StreamNo(stream), SeqNr(1), SeqNr(9), 1)).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(read_all(&journal, 300).unwrap().len(), 1);
    assert_eq!(journal.health(), Health::Good);
}
