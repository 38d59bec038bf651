//! Whatever is taken away, exchanged or rolled back: the journal is refused by name, or it holds what it held.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::tails::{bytes_in, differing};
use super::*;
use crate::journal::suite::forgetting::store_forgettable;
use crate::snapshot::StoredSnapshot;

/// A journal with a file of each kind: with rows in tables and in the engine's journal, a key, deadlines, a snapshot,
/// and a row of what is deleted. Says what it was when it was closed half way, what it is as a crash leaves it, and what
/// it is when it is closed.
struct Stages {
    dir: TempDir,
    older: PathBuf,
    crashed: PathBuf,
    closed: PathBuf,
    all: Contents,
}

fn stages() -> Stages {
    let (dir, path, journal) = new();
    fill(&journal, 4);
    store_forgettable(&journal, &id("secret"), &[b"x"]);
    journal.write_deadlines();
    save(&journal, 1);
    drop(journal);
    let [older, crashed, closed] = ["older", "crashed", "closed"].map(|name| dir.path().join(name));
    copy_sparse(&path, &older);
    let journal = journal_in(&path).unwrap();
    fill(&journal, 5);
    delete(&journal, &id("alice"), 3);
    save(&journal, 2);
    let all = contents(&journal).unwrap();
    copy_sparse(&path, &crashed);
    drop(journal);
    copy_sparse(&path, &closed);
    Stages { dir, older, crashed, closed, all }
}

fn save(journal: &FjallJournal, seq_nr: u64) {
    let time = Timestamp::from_second(1_000).unwrap();
    let snapshot = StoredSnapshot { seq_nr: SeqNr(seq_nr), time, bytes: vec![7; 100] };
    block_on(journal.snapshots().unwrap().save(&id("alice"), snapshot)).unwrap();
}

/// What became of a journal in which something is wrong.
#[derive(Debug)]
enum Verdict {
    /// It doesn't open, and is what it was.
    Refused(String),
    /// It opens, and reading says what is missing.
    Told(String),
    Whole,
}

fn verdict(path: &Path, all: &Contents, what: &str) -> Verdict {
    let before = bytes_in(path);
    let journal = match journal_in(path) {
        Ok(journal) => journal,
        Err(error) => {
            assert_eq!(differing(&bytes_in(path), &before), [], "{what}: {error}");
            return match &error {
                OpenError::NotOurs { .. } if !path.join("head").exists() => Verdict::Refused(error.to_string()),
                OpenError::Corrupt { corrupt: Corrupt { place: Place::File { path: file }, .. }, .. } => {
                    assert!(file.starts_with(path), "{what}: {error}");
                    Verdict::Refused(error.to_string())
                }
                OpenError::Corrupt { corrupt: Corrupt { place: Place::Offsets { from, to }, .. }, .. } => {
                    assert!(from <= to, "{what}: {error}");
                    Verdict::Refused(error.to_string())
                }
                _ => panic!("{what}: {error}"),
            };
        }
    };
    let found = contents(&journal).and_then(|found| {
        read(&journal, &id("secret"))?;
        Ok(found)
    });
    match found {
        Ok(found) => {
            assert_eq!(&found, all, "{what}: it was changed in silence");
            fill(&journal, 1);
            Verdict::Whole
        }
        Err(ReadError::Corrupt(corrupt)) => Verdict::Told(corrupt.to_string()),
        Err(error) => panic!("{what}: {error}"),
    }
}

/// Whether nothing that is stored in the journal is in a file.
fn may_be_missing(name: &Path) -> bool {
    ["lock", "deadlines", "fjall/lock"].iter().any(|lock| name == Path::new(lock)) || name.starts_with("snapshots")
}

/// Whether there is one of these in any journal.
fn must_be_there(name: &Path) -> bool {
    ["head", "keys", "version", "current"].iter().any(|needed| name.ends_with(needed)) && !may_be_missing(name)
}

#[test]
fn no_file_is_cut_deleted_or_exchanged_in_silence() {
    let stages = stages();
    let other = self::stages();
    let target = stages.dir.path().join("target");
    let mut told = String::new();
    let mut verdicts = [0; 3];
    for (image, foreign) in [(&stages.crashed, &other.crashed), (&stages.closed, &other.closed)] {
        assert!(matches!(verdict_of_copy(image, &target, &stages.all), Verdict::Whole));
        for file in files_in(image) {
            let name = file.strip_prefix(image).unwrap();
            let bytes = fs::read(&file).unwrap();
            let bytes = &bytes[..written(&bytes)];
            let exchanged = |with: &Path| fs::read(with.join(name)).ok().filter(|found| found != bytes);
            let changes = [
                ("cut to nothing", Some(Vec::new())),
                ("cut in half", Some(bytes[..bytes.len() / 2].to_vec())),
                ("deleted", None),
                ("zeros", Some(vec![0; bytes.len()])),
                ("that of an older copy", exchanged(&stages.older)),
                ("that of another store", exchanged(foreign)),
                ("that of a copy that is closed", exchanged(&stages.closed)),
            ];
            for (change, content) in changes {
                if content.is_none() && change != "deleted" {
                    continue;
                }
                let what = format!("{} of {} is {change}", name.display(), image.display());
                copy_sparse(image, &target);
                fs::remove_file(target.join(name)).unwrap();
                if let Some(content) = content {
                    fs::write(target.join(name), content).unwrap();
                }
                let verdict = verdict(&target, &stages.all, &what);
                let (index, why) = match &verdict {
                    Verdict::Refused(why) => (0, why.as_str()),
                    Verdict::Told(why) => (1, why.as_str()),
                    Verdict::Whole => (2, "whole"),
                };
                verdicts[index] += 1;
                writeln!(told, "{} {change}: {why}", name.display()).unwrap();
                if change == "deleted" && must_be_there(name) {
                    assert!(matches!(verdict, Verdict::Refused(_)), "{what}: {verdict:?}");
                }
                if change == "that of another store" && name.starts_with("fjall/keyspaces/1") && why != "whole" {
                    assert!(matches!(verdict, Verdict::Refused(_)), "{what}: {verdict:?}");
                }
                if may_be_missing(name) {
                    assert!(matches!(verdict, Verdict::Whole), "{what}: {verdict:?}");
                }
                fs::remove_dir_all(&target).unwrap();
            }
        }
    }
    assert!(verdicts[0] > 60 && verdicts[2] > 10, "{verdicts:?}\n{told}");
}

fn verdict_of_copy(image: &Path, target: &Path, all: &Contents) -> Verdict {
    copy_sparse(image, target);
    let verdict = verdict(target, all, "nothing is wrong");
    fs::remove_dir_all(target).unwrap();
    verdict
}

#[test]
fn no_part_of_another_time_or_another_store_is_taken_for_its_own() {
    let stages = stages();
    let other = self::stages();
    let target = stages.dir.path().join("target");
    let parts: [&[&str]; 8] = [
        &["fjall"],
        &["head"],
        &["head", "fjall/keyspaces"],
        &["fjall/keyspaces"],
        &["fjall/keyspaces/0"],
        &["fjall/keyspaces/1"],
        &["fjall/keyspaces/1/tables"],
        &["fjall/keyspaces/1/current"],
    ];
    let (mut whole, mut refused) = (Vec::new(), 0);
    for image in [&stages.crashed, &stages.closed] {
        for from in [&stages.older, &stages.crashed, &stages.closed, &other.closed, &other.crashed] {
            for part in parts {
                copy_sparse(image, &target);
                for name in part {
                    let (there, with) = (target.join(name), from.join(name));
                    if there.is_dir() {
                        fs::remove_dir_all(&there).unwrap();
                        copy_sparse(&with, &there);
                    } else {
                        fs::copy(&with, &there).unwrap();
                    }
                }
                let names = [image, from].map(|path| path.file_name().unwrap().to_str().unwrap());
                let what = format!("{part:?} of {} in {}", names[1], names[0]);
                match verdict(&target, &stages.all, &what) {
                    Verdict::Whole => whole.push(what),
                    Verdict::Refused(_) | Verdict::Told(_) => refused += 1,
                }
                fs::remove_dir_all(&target).unwrap();
            }
        }
    }
    assert!(refused > 40 && whole.len() > 10, "{refused}, {whole:#?}");
}

#[test]
fn a_snapshot_engine_that_is_damaged_is_not_opened_and_not_touched() {
    let stages = stages();
    let target = stages.dir.path().join("target");
    let image = &stages.crashed;
    for name in ["version", "keyspaces/0/current", "keyspaces/1/current", "keyspaces/1/tables/0", "0.jnl"] {
        let name = Path::new("snapshots").join(name);
        if !image.join(&name).exists() {
            continue;
        }
        copy_sparse(image, &target);
        fs::remove_file(target.join(&name)).unwrap();
        let journal = journal_in(&target).unwrap();
        let before = bytes_in(&target.join("snapshots"));
        let asked = block_on(journal.snapshots().unwrap().list(&id("alice")));
        let told = asked.unwrap_err().to_string();
        assert!(told.contains(name.file_name().unwrap().to_str().unwrap()) || told.contains("journal"), "{told}");
        assert_eq!(differing(&bytes_in(&target.join("snapshots")), &before), [], "{}", name.display());
        assert_eq!(contents(&journal).unwrap(), stages.all);
        drop(journal);
        fs::remove_dir_all(&target).unwrap();
    }
}
