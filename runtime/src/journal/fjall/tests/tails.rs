//! What power loss and dying processes leave at the end of the engine's own journal, and openings that end in between.

use super::aside::Aside;
use super::*;
use crate::journal::bytes::len_u64;
use crate::journal::head::{Found, Head, HeadFile, State};

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// The bytes of each file but the lock, by name.
pub(super) fn bytes_in(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = files_in(path).into_iter().filter(|file| file != &path.join("lock"));
    files.map(|file| (file.strip_prefix(path).unwrap().to_owned(), fs::read(&file).unwrap())).collect()
}

/// Which files differ, and how long they are.
pub(super) fn differing(one: &[(PathBuf, Vec<u8>)], other: &[(PathBuf, Vec<u8>)]) -> Vec<(PathBuf, usize)> {
    let lacks = |in_there: &[(PathBuf, Vec<u8>)], file: &(PathBuf, Vec<u8>)| !in_there.contains(file);
    let missing = one.iter().filter(|file| lacks(other, file));
    let missing = missing.chain(other.iter().filter(|file| lacks(one, file)));
    missing.map(|(name, bytes)| (name.clone(), bytes.len())).collect()
}

/// A journal that syncs nothing by itself: three groups are on the disk, and some more are not. Each group has a record
/// of so many bytes. The image is as power loss leaves it, if all of it came to the disk.
fn half_synced(groups: u8, bytes: usize) -> (TempDir, PathBuf, Contents) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let options = FjallOptions::new().durability(Durability::Os);
    drop({
        let journal = FjallJournal::open(&path, options).unwrap();
        fill(&journal, 3);
        journal
    });
    let journal = FjallJournal::open(&path, options).unwrap();
    for group in 0..groups {
        store(&journal, &id(NAMES[usize::from(group) % NAMES.len()]), &[&vec![group + 1; bytes]]);
    }
    let all = contents(&journal).unwrap();
    let image = dir.path().join("image");
    copy_sparse(&path, &image);
    drop(journal);
    as_after_power_loss(&image);
    (dir, image, all)
}

/// Opens a journal of which only unsynced groups are damaged, and goes on with it; says how many groups there are.
fn open_unaided(path: &Path, all: &Contents, what: &str) -> (usize, Option<TailCut>) {
    let (groups, cut) = open_synced(path, all, what);
    let journal = journal_in(path).unwrap();
    store(&journal, &id("bob"), &[b"more"]);
    drop(journal);
    let journal = journal_in(path).unwrap();
    assert_eq!(read_all(&journal, 200).unwrap().len(), groups + 1, "{what}");
    assert_eq!((journal.opening().ended, &journal.opening().cut), (Ended::Clean, &None));
    (groups, cut)
}

fn open_synced(path: &Path, all: &Contents, what: &str) -> (usize, Option<TailCut>) {
    let journal = journal_in(path).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = contents(&journal).unwrap();
    let groups = found.1.len();
    assert!(groups >= 3, "{what}: {groups} groups are left, and 3 were synced");
    assert!(all.1.starts_with(&found.1), "{what}");
    for (found, all) in found.0.iter().zip(&all.0) {
        assert!(all.starts_with(found), "{what}");
    }
    let opening = journal.opening().clone();
    assert_eq!(opening.ended, Ended::Unclean);
    (groups, opening.cut)
}

/// Where the batches of a journal file begin; the last one is the end.
fn batches(bytes: &[u8]) -> Vec<usize> {
    // A batch begins behind another one's end.
    let ends = (0..written(bytes)).filter(|at| bytes[*at..].starts_with(b"FJL\x03")).map(|at| at + 4);
    [0].into_iter().chain(ends).collect()
}

#[test]
fn what_the_engine_writes_is_what_is_read_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("engine");
    Engine::create(&path, engine::TRUTH).unwrap();
    let engine = Engine::open(&path, engine::TRUTH, CACHE_BYTES).unwrap();
    let mut expected = Vec::new();
    for number in 0..20_u8 {
        let mut batch = engine.batch(1, Durability::Fsync);
        for row in 0..number % 4 + 1 {
            let (key, value) = (vec![2, number, row], vec![number; usize::from(number) * usize::from(row) * 7_000]);
            batch.insert(&key, &value);
            expected.push((key, value));
        }
        if number > 2 {
            batch.remove(&[2, number - 1, 0]);
        }
        batch.commit().unwrap();
    }
    let found = std::cell::RefCell::new(Vec::new());
    let look = |key: &[u8], value: &[u8]| {
        found.borrow_mut().push((key.to_vec(), value.to_vec()));
        Ok(())
    };
    let file = path.join("0.jnl");
    let scan = torn::scan(&file, None, &look).unwrap();
    assert_eq!(found.into_inner(), expected);
    assert_eq!((scan.batches, scan.flaw, scan.whole), (20, None, scan.written));
    assert!(scan.whole > 1_000_000);
    assert_eq!(scan.last, Some(engine.written() - 1));
    // The engine itself ends where it is said that whole batches end.
    drop(engine);
    drop(Engine::open(&path, engine::TRUTH, CACHE_BYTES).unwrap());
    assert_eq!(fs::metadata(&file).unwrap().len(), scan.whole);
    // And nothing that is refused here is whole for the engine: each byte but those of a batch's number is looked at.
    let bytes = fs::read(&file).unwrap();
    let batch_bytes = 13 + (21 + 3) + 13;
    for index in (0..batch_bytes).filter(|index| !(5..13).contains(index)) {
        let mut bad = bytes.clone();
        bad[index] ^= 0x10;
        fs::write(&file, bad).unwrap();
        assert!(torn::scan(&file, None, &|_, _| Ok(())).unwrap().flaw.is_some(), "byte {index}");
    }
}

#[test]
fn the_list_of_tables_is_read_as_the_engine_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("engine");
    Engine::create(&path, engine::TRUTH).unwrap();
    let engine = Engine::open(&path, engine::TRUTH, CACHE_BYTES).unwrap();
    for number in 0..3_u8 {
        let mut batch = engine.batch(1, Durability::Fsync);
        batch.insert(&[2, number], &[number; 30_000]);
        batch.commit().unwrap();
        engine.flush().unwrap();
    }
    drop(engine);
    guard::check(&path, false, &|_, _| Ok(())).unwrap();
    let folder = path.join("keyspaces/1");
    let current = manifest::Current::read(&folder.join("current")).ok().unwrap();
    let tables = current.tables(&folder.join(format!("v{}", current.version))).ok().unwrap();
    let mut listed: Vec<_> = tables.iter().map(|table| table.number.to_string()).collect();
    listed.sort();
    assert_eq!(listed, names_in(&folder.join("tables")));
    assert!(!listed.is_empty());
    // The engine itself looks at the checksum of a part of it only.
    let file = folder.join(format!("v{}", current.version));
    let bytes = fs::read(&file).unwrap();
    for index in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[index] ^= 0x10;
        fs::write(&file, bad).unwrap();
        assert!(current.tables(&file).is_err(), "byte {index}");
    }
}

#[test]
fn a_tail_that_is_cut_or_zero_anywhere_is_cut_off() {
    let (dir, image, all) = half_synced(3, 40);
    let file = newest_journal(&image);
    let bytes = fs::read(&file).unwrap();
    let end = written(&bytes);
    let begin = torn::scan(&file, None, &|_, _| Ok(())).unwrap();
    assert_eq!((begin.batches, begin.flaw), (6, None));
    let target = dir.path().join("cut");
    let name = file.strip_prefix(&image).unwrap();
    let (mut cuts, mut fewest) = (0, usize::MAX);
    // The last group, byte for byte; a journal is opened for some of them.
    const OPENED_EVERY: usize = 13;
    let starts = batches(&bytes);
    assert_eq!(starts.len(), 7);
    for cut in starts[5] - 1..end {
        for len in [cut, cut + PAGE] {
            copy(&image, &target);
            fs::write(target.join(name), &bytes[..cut]).unwrap();
            let file = fs::File::options().write(true).open(target.join(name)).unwrap();
            file.set_len(u64::try_from(len).unwrap()).unwrap();
            let what = format!("cut at {cut} and {len} bytes long");
            let scan = torn::scan(&target.join(name), None, &|_, _| Ok(())).unwrap();
            let whole = if cut < starts[5] { starts[4] } else { starts[5] };
            assert_eq!(scan.whole, u64::try_from(whole).unwrap(), "{what}");
            if cut % OPENED_EVERY == 0 {
                let (groups, tail) = open_unaided(&target, &all, &what);
                fewest = fewest.min(groups);
                let tail = tail.unwrap();
                cuts += 1;
                assert_eq!(tail.whole + tail.bytes, u64::try_from(written(&bytes[..cut])).unwrap());
                assert_eq!(tail.file, fs::canonicalize(target.join(name)).unwrap());
            }
            fs::remove_dir_all(&target).unwrap();
        }
    }
    assert!(cuts > 20 && fewest == 5, "{cuts} cuts, {fewest} groups");
}

#[test]
fn a_page_or_a_sector_that_is_lost_in_the_unsynced_tail_is_cut_off_with_what_follows() {
    for (unit, bytes) in [(PAGE, 32_000), (SECTOR, 3_000)] {
        let (dir, image, all) = half_synced(6, bytes);
        let file = newest_journal(&image);
        let whole = fs::read(&file).unwrap();
        let (end, name) = (written(&whole), file.strip_prefix(&image).unwrap());
        let unsynced = end - 6 * bytes;
        let target = dir.path().join("lost");
        let (mut tried, mut left) = (0, Vec::new());
        for page in (unsynced.div_ceil(unit)..=end / unit).step_by(2) {
            let mut bad = whole[..end].to_vec();
            let to = end.min((page + 1) * unit);
            bad[page * unit..to].fill(0);
            copy_sparse(&image, &target);
            fs::write(target.join(name), &bad).unwrap();
            let (groups, cut) = open_unaided(&target, &all, &format!("{unit} bytes lost at {}", page * unit));
            let cut = cut.unwrap();
            assert!(cut.whole <= u64::try_from(page * unit).unwrap() && cut.bytes > 0, "{cut:?}");
            left.push(groups);
            tried += 1;
            fs::remove_dir_all(&target).unwrap();
        }
        assert!(tried > 15 && left.is_sorted() && left.contains(&4) && left.contains(&8), "{left:?}");
    }
}

/// An image of a journal that syncs each group, with so many groups.
fn crashed(groups: u8, bytes: usize) -> (TempDir, PathBuf, Contents) {
    let (dir, path, journal) = new();
    for group in 0..groups {
        store(&journal, &id(NAMES[usize::from(group) % NAMES.len()]), &[&vec![group + 1; bytes]]);
    }
    let all = contents(&journal).unwrap();
    let image = dir.path().join("image");
    copy_sparse(&path, &image);
    (dir, image, all)
}

fn zero(file: &Path, part: std::ops::Range<usize>) {
    let mut bytes = fs::read(file).unwrap();
    bytes[part].fill(0);
    fs::write(file, bytes).unwrap();
}

/// Opens a journal that has lost something, twice; it is left as it was.
fn refused(path: &Path) -> Corrupt {
    let before = bytes_in(path);
    let mut found = Vec::new();
    for _ in 0..2 {
        match journal_in(path) {
            Err(OpenError::Corrupt { corrupt, .. }) => found.push(corrupt),
            other => panic!("{other:?}"),
        }
        assert_eq!(differing(&bytes_in(path), &before), []);
    }
    assert_eq!(found[0], found[1]);
    found.remove(0)
}

#[test]
fn a_hole_is_never_a_tail_and_the_directory_stays_as_it_is() {
    // Acknowledged, in the same run of the machine: each group of it counts.
    let (_dir, image, _) = crashed(6, 3_000);
    let file = newest_journal(&image);
    let end = written(&fs::read(&file).unwrap());
    zero(&file, end - 2_000..end - 1_500);
    let corrupt = refused(&image);
    assert_eq!(corrupt.place, Place::Offsets { from: Offset(6), to: Offset(6) }, "{corrupt}");

    // Two groups follow, so that what is in the hole was on the disk, whatever the head knows.
    let (_dir, image, _) = crashed(6, 3_000);
    as_after_power_loss(&image);
    let file = newest_journal(&image);
    zero(&file, end - 9_000..end - 8_500);
    let corrupt = refused(&image);
    assert!(matches!(&corrupt.place, Place::File { path } if path.ends_with("fjall/0.jnl")), "{corrupt}");
    assert!(corrupt.reason.contains("what follows is whole"), "{corrupt}");
}

#[test]
fn a_hole_in_a_file_that_is_not_written_to_any_more_is_refused() {
    for durability in [Durability::Fsync, Durability::Os] {
        let (_dir, image, all) = crashed(6, 3_000);
        let first = newest_journal(&image);
        let bytes = fs::read(&first).unwrap();
        let end = written(&bytes);
        fs::write(&first, &bytes[..end]).unwrap();
        fs::write(image.join("fjall/1.jnl"), []).unwrap();
        let sound = image.with_extension("sound");
        copy_sparse(&image, &sound);
        assert_eq!(contents(&journal_in(&sound).unwrap()).unwrap(), all);

        if durability == Durability::Os {
            as_after_power_loss(&image);
        }
        zero(&first, end - 600..end - 500);
        let corrupt = refused(&image);
        assert!(matches!(&corrupt.place, Place::File { path } if path.ends_with("fjall/0.jnl")), "{corrupt}");

        // A file that is missing between two others.
        fs::write(&first, &bytes[..end]).unwrap();
        fs::rename(image.join("fjall/1.jnl"), image.join("fjall/2.jnl")).unwrap();
        let corrupt = refused(&image);
        assert!(matches!(&corrupt.place, Place::File { path } if path.ends_with("fjall/1.jnl")), "{corrupt}");
    }
}

/// Has the head say that the journal has failed.
fn failed(image: &Path) {
    let path = image.join("head");
    let Ok(Found::Good(mut head)) = Head::read(&path) else { panic!("the head is bad") };
    head.state = State::Failed;
    HeadFile::open(&path).unwrap().write_both(&mut head).unwrap();
}

#[test]
fn a_write_that_failed_is_cut_off_though_the_engine_has_begun_another_file_behind_it() {
    let (_dir, image, all) = crashed(6, 3_000);
    let first = newest_journal(&image);
    let mut bytes = fs::read(&first).unwrap();
    bytes.truncate(written(&bytes));
    let whole = bytes.len();
    // The disk was full in the middle of a batch.
    bytes.extend_from_slice(&torn::number_alone(u64::from(u32::MAX))[..20]);
    fs::write(&first, &bytes).unwrap();
    fs::write(image.join("fjall/1.jnl"), [0; PAGE]).unwrap();
    refused(&image);
    failed(&image);
    // But nothing may have been written there since.
    fs::write(image.join("fjall/1.jnl"), torn::number_alone(u64::from(u32::MAX) + 1)).unwrap();
    refused(&image);
    fs::write(image.join("fjall/1.jnl"), [0; PAGE]).unwrap();

    let journal = journal_in(&image).unwrap();
    assert_eq!(contents(&journal).unwrap(), all);
    assert_eq!(journal.opening().cut.as_ref().map(|cut| cut.whole), Some(len_u64(whole)));
    store(&journal, &id("bob"), &[b"more"]);
    drop(journal);
    assert_eq!(read_all(&journal_in(&image).unwrap(), 99).unwrap().len(), 7);
}

#[test]
fn a_store_whose_batches_have_high_numbers_opens_when_the_first_files_are_gone() {
    const YEARS: u64 = 5 << 32;
    let (_dir, image, all) = crashed(6, 40);
    let file = newest_journal(&image);
    let mut bytes = fs::read(&file).unwrap();
    let starts = batches(&bytes);
    let (_, starts) = starts.split_last().unwrap();
    for start in starts {
        let number = &mut bytes[start + 5..start + 13];
        let high = u64::from_le_bytes(number.try_into().unwrap()) + YEARS;
        number.copy_from_slice(&high.to_le_bytes());
    }
    fs::write(&file, &bytes).unwrap();
    // The first file of all has no such numbers.
    refused(&image);
    fs::rename(&file, image.join("fjall/9.jnl")).unwrap();
    let journal = journal_in(&image).unwrap();
    assert_eq!(journal.opening().cut, None);
    assert_eq!(contents(&journal).unwrap(), all);
    store(&journal, &id("bob"), &[b"more"]);
    drop(journal);
    assert_eq!(read_all(&journal_in(&image).unwrap(), 99).unwrap().len(), 7);
}

#[test]
fn the_last_group_that_power_loss_has_torn_is_cut_off_though_each_one_is_synced() {
    let (dir, path, journal) = new();
    fill(&journal, 3);
    let head = fs::read(path.join("head")).unwrap();
    store(&journal, &id("alice"), &[&[7; 40_000]]);
    let mut all = contents(&journal).unwrap();
    let image = dir.path().join("image");
    copy_sparse(&path, &image);
    drop(journal);
    // Nobody was told of the last one.
    fs::write(image.join("head"), head).unwrap();
    as_after_power_loss(&image);
    let file = newest_journal(&image);
    let end = written(&fs::read(&file).unwrap());
    zero(&file, end - 3 * PAGE..end - 2 * PAGE);
    let (groups, cut) = open_unaided(&image, &all, "a page of the last group is lost");
    assert_eq!(groups, 3);
    assert!(cut.unwrap().bytes > 40_000);
    all.1.truncate(3);
    let journal = journal_in(&image).unwrap();
    assert_eq!(read_all(&journal, 9).unwrap()[..3], all.1);
}

#[test]
fn a_damaged_journal_file_of_a_closed_journal_costs_nothing() {
    let (dir, path, journal) = new();
    fill(&journal, 6);
    let all = contents(&journal).unwrap();
    drop(journal);
    let file = newest_journal(&path);
    let end = written(&fs::read(&file).unwrap());
    for part in [0..end, 0..10, end / 2..end / 2 + 10, end - 3..end] {
        let image = dir.path().join("image");
        copy_sparse(&path, &image);
        zero(&newest_journal(&image), part.clone());
        let journal = journal_in(&image).unwrap_or_else(|error| panic!("{part:?}: {error}"));
        assert_eq!(contents(&journal).unwrap(), all, "{part:?}");
        assert_eq!(journal.opening().cut.is_some(), part != (0..end), "{part:?}");
        store(&journal, &id("alice"), &[b"more"]);
        drop(journal);
        assert_eq!(read_all(&journal_in(&image).unwrap(), 99).unwrap().len(), 7);
        fs::remove_dir_all(&image).unwrap();
    }
}

#[test]
fn a_batch_number_that_is_damaged_is_found_or_harmless() {
    let (dir, image, all) = crashed(4, 40);
    let file = newest_journal(&image);
    let bytes = fs::read(&file).unwrap();
    let starts = batches(&bytes);
    assert_eq!(starts.len(), 5);
    let (target, name) = (dir.path().join("flipped"), file.strip_prefix(&image).unwrap());
    let (mut found, mut harmless) = (0, 0);
    for start in [starts[0], starts[3]] {
        for bit in (0..64).step_by(2) {
            let mut bad = bytes[..written(&bytes)].to_vec();
            bad[start + 5 + bit / 8] ^= 1 << (bit % 8);
            copy_sparse(&image, &target);
            fs::write(target.join(name), bad).unwrap();
            match journal_in(&target) {
                Err(OpenError::Corrupt { .. }) => found += 1,
                Err(error) => panic!("batch at {start}, bit {bit}: {error}"),
                Ok(journal) => {
                    harmless += 1;
                    assert_eq!(contents(&journal).unwrap(), all, "batch at {start}, bit {bit}");
                    store(&journal, &id("alice"), &[b"more"]);
                    drop(journal);
                    let journal = journal_in(&target).unwrap();
                    assert_eq!(read_all(&journal, 99).unwrap().len(), 5, "batch at {start}, bit {bit}");
                }
            }
            fs::remove_dir_all(&target).unwrap();
        }
    }
    assert!(found > 25 && harmless > 5, "{found} found, {harmless} harmless");
}

fn epoch_in(path: &Path) -> u64 {
    let Ok(Found::Good(head)) = Head::read(&path.join("head")) else { panic!("both slots are good") };
    head.epoch
}

/// Sets the engine's files aside, as an opening does.
fn set_aside(path: &Path) -> Aside {
    let engine = path.join("fjall");
    let aside = Aside::new(&engine);
    let found = guard::check(&engine, false, &|_, _| Ok(())).unwrap();
    aside.take(epoch_in(path), &found).unwrap();
    if let Some(cut) = found.torn().and_then(TailCut::of) {
        cut.cut_off().unwrap();
    }
    aside
}

#[test]
fn an_opening_that_ended_in_between_is_undone_by_the_next_one() {
    let (dir, image, all) = half_synced(5, 3_000);
    let file = newest_journal(&image);
    let end = written(&fs::read(&file).unwrap());
    zero(&file, end - 5_000..end - 4_500);
    let before = bytes_in(&image);
    for (step, linked) in [0, 1, 2, 3, 4].into_iter().flat_map(|step| [(step, true), (step, false)]) {
        let what = format!("step {step}, linked {linked}");
        let died = dir.path().join("died");
        copy_sparse(&image, &died);
        let aside = set_aside(&died);
        if step > 0 {
            let engine = Engine::open(&died.join("fjall"), engine::TRUTH, CACHE_BYTES).unwrap();
            if step > 1 {
                engine.flush().unwrap();
            }
        }
        if step == 3 {
            // It was being put back, or somebody has taken away what the list names.
            fs::remove_dir_all(died.join("fjall/keyspaces/1")).unwrap();
        }
        if step == 4 {
            aside.put_back(epoch_in(&died)).unwrap();
            assert_eq!(differing(&bytes_in(&died), &before), [], "{what}");
            assert!(!died.join("fjall.aside").exists());
            fs::remove_dir_all(&died).unwrap();
            continue;
        }
        assert!(died.join("fjall.aside/list").exists());
        // A copy of the directory has no files with two names.
        let died = if linked { died } else { moved_by_copying(&died) };
        let (groups, cut) = open_unaided(&died, &all, &what);
        assert!((3..8).contains(&groups) && cut.is_some(), "{what}: {groups} {cut:?}");
        assert!(!died.join("fjall.aside").exists(), "{what}");

        // The same for one that must be refused: it is what it was before the first opening.
        fs::remove_dir_all(&died).unwrap();
        copy_sparse(&image, &died);
        // Everything is said to have been acknowledged in this run of the machine.
        this_boot(&died);
        let before = bytes_in(&died);
        set_aside(&died);
        if step > 0 {
            Engine::open(&died.join("fjall"), engine::TRUTH, CACHE_BYTES).unwrap().flush().unwrap();
        }
        assert_ne!(differing(&bytes_in(&died), &before), []);
        assert!(matches!(journal_in(&died), Err(OpenError::Corrupt { .. })), "{what}");
        assert_eq!(differing(&bytes_in(&died), &before), [], "{what}");
        fs::remove_dir_all(&died).unwrap();
    }
}

fn moved_by_copying(path: &Path) -> PathBuf {
    let copied = path.with_extension("copied");
    copy_sparse(path, &copied);
    fs::remove_dir_all(path).unwrap();
    fs::rename(&copied, path).unwrap();
    path.to_owned()
}

fn this_boot(image: &Path) {
    let boot = crate::journal::head::boot_id().unwrap();
    let mut head = fs::read(image.join("head")).unwrap();
    for slot in head.chunks_mut(4096) {
        slot[36..52].copy_from_slice(&boot);
        let sum = crate::journal::bytes::checksum(0, &[&slot[..4088]]);
        slot[4088..].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(image.join("head"), head).unwrap();
}

#[test]
fn what_was_set_aside_in_part_or_for_an_older_epoch_is_not_put_back() {
    let (dir, path, journal) = new();
    fill(&journal, 3);
    drop(journal);
    let kept = dir.path().join("kept");
    set_aside(&path);
    fs::rename(path.join("fjall.aside"), &kept).unwrap();
    // It belongs to an opening that has succeeded.
    let journal = journal_in(&path).unwrap();
    fill(&journal, 3);
    let all = contents(&journal).unwrap();
    drop(journal);
    fs::rename(&kept, path.join("fjall.aside")).unwrap();
    let journal = journal_in(&path).unwrap();
    assert_eq!(contents(&journal).unwrap(), all);
    assert!(!journal.opening().resumed && !path.join("fjall.aside").exists());
    drop(journal);
    // It isn't all there.
    for damage in 0..3 {
        set_aside(&path);
        let list = path.join("fjall.aside/list");
        match damage {
            0 => fs::remove_file(list).unwrap(),
            1 => fs::write(&list, &fs::read(&list).unwrap()[..40]).unwrap(),
            _ => fs::remove_file(path.join("fjall.aside/0")).unwrap(),
        }
        let journal = journal_in(&path).unwrap();
        assert_eq!(contents(&journal).unwrap(), all);
        assert!(!journal.opening().resumed && !path.join("fjall.aside").exists());
    }
    set_aside(&path);
    let journal = journal_in(&path).unwrap();
    assert!(journal.opening().resumed && !path.join("fjall.aside").exists());
    assert_eq!(contents(&journal).unwrap(), all);
}

#[test]
fn opening_says_how_the_journal_was_left() {
    let (dir, path, journal) = new();
    assert_eq!((journal.opening().ended, journal.opening().resumed), (Ended::New, false));
    fill(&journal, 2);
    let image = dir.path().join("image");
    copy_sparse(&path, &image);
    assert_eq!(journal_in(&image).unwrap().opening().ended, Ended::Unclean);
    drop(journal);
    let journal = journal_in(&path).unwrap();
    assert_eq!(journal.opening().ended, Ended::Clean);
    journal.shared.faults.fail_next_commit();
    three_in_flight(&journal).into_iter().for_each(|outcomes| drop(block_on(outcomes)));
    drop(journal);
    assert_eq!(journal_in(&path).unwrap().opening().ended, Ended::Failed);
}
