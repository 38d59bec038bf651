//! The journals that come with annals.

use std::fs;
use std::path::{Path, PathBuf};

use annals::journal::{FjallJournal, FjallOptions, Fut, Journal, MemoryJournal, Outcome, Run};
use annals::testing::conformance::journal::{Forgets, JournalStore};
use tempfile::TempDir;

/// A journal in memory. What it holds outlives its handles, so a crash is a handle that is dropped.
pub(crate) struct Memory(pub(crate) MemoryJournal);

impl Memory {
    pub(crate) fn new() -> Self {
        Self(MemoryJournal::new())
    }
}

impl JournalStore for Memory {
    fn open(&self) -> Box<dyn Journal> {
        Box::new(self.0.reopen())
    }

    fn crash(&mut self, journal: Box<dyn Journal>) {
        drop(journal);
    }

    fn forgets(&self) -> Forgets {
        Forgets::WhatBeganSo
    }

    fn gapless(&self) -> bool {
        true
    }

    fn shuts_out(&self) -> bool {
        true
    }
}

/// A journal on a disk. A crash is a copy of its files that is made while it is open.
pub(crate) struct OnDisk {
    dir: TempDir,
    /// Whether all streams are begun as ones that can be forgotten, so that everything is encrypted.
    encrypted: bool,
}

impl OnDisk {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), encrypted: false }
    }

    pub(crate) fn encrypted() -> Self {
        Self { encrypted: true, ..Self::new() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("journal")
    }
}

impl JournalStore for OnDisk {
    fn open(&self) -> Box<dyn Journal> {
        let journal = FjallJournal::open(self.path(), FjallOptions::new()).unwrap();
        if self.encrypted { Box::new(AllForgettable(journal)) } else { Box::new(journal) }
    }

    fn crash(&mut self, journal: Box<dyn Journal>) {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (self.path(), dir.path().join("journal"));
        fs::create_dir(&to).unwrap();
        // What is written first is copied last: a key comes before the rows that it encrypts, and those before the head.
        copy_file(&from.join("head"), &to.join("head"));
        copy(&from.join("fjall"), &to.join("fjall"));
        for name in ["keys", "lock"] {
            if from.join(name).exists() {
                copy_file(&from.join(name), &to.join(name));
            }
        }
        if from.join("snapshots").exists() {
            copy(&from.join("snapshots"), &to.join("snapshots"));
        }
        drop(journal);
        self.dir = dir;
    }

    fn forgets(&self) -> Forgets {
        if self.encrypted { Forgets::Everything } else { Forgets::WhatBeganSo }
    }

    fn gapless(&self) -> bool {
        true
    }
}

/// Copies a directory.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            copy_file(&entry.path(), &to);
        }
    }
}

/// Copies a file; the zeros at the end of the engine's own journal stay a hole.
fn copy_file(from: &Path, to: &Path) {
    let bytes = fs::read(from).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    fs::write(to, &bytes[..written]).unwrap();
    let file = fs::File::options().write(true).open(to).unwrap();
    file.set_len(u64::try_from(bytes.len()).unwrap()).unwrap();
}

/// A journal that begins every stream as one that can be forgotten.
struct AllForgettable(FjallJournal);

impl Journal for AllForgettable {
    annals_tests::through! { 0, but append }

    fn append(&self, mut group: Vec<Run>) -> Fut<'static, Vec<Outcome>> {
        for run in &mut group {
            run.forgettable = true;
        }
        self.0.append(group)
    }
}

mod memory {
    use super::Memory;

    annals::journal_conformance!(Memory::new());
}

mod on_disk {
    use super::OnDisk;

    annals::journal_conformance!(OnDisk::new());
}

mod encrypted {
    use super::OnDisk;

    annals::journal_conformance!(OnDisk::encrypted());
}
