//! What a journal on a disk does that others don't: it removes rows behind its commits, and writes down what is derived.
//! Whenever that stops, the journal is what its model is.

mod deadlines;
mod deletion;

use crate::journal::suite::copy_sparse;
use crate::journal::{FjallJournal, FjallOptions, Journal};
use crate::oneshot::block_on;

/// A journal on a disk that can be closed and opened again.
struct OnDisk {
    journal: Option<FjallJournal>,
    dir: tempfile::TempDir,
}

impl OnDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = Some(Self::open(&dir));
        Self { journal, dir }
    }

    fn open(dir: &tempfile::TempDir) -> FjallJournal {
        FjallJournal::open(dir.path().join("journal"), FjallOptions::new()).unwrap()
    }

    fn journal(&self) -> &FjallJournal {
        self.journal.as_ref().unwrap()
    }

    fn reopen(mut self) -> Self {
        block_on(self.journal().close()).unwrap();
        drop(self.journal.take());
        Self { journal: Some(Self::open(&self.dir)), dir: self.dir }
    }

    /// Opens what a crash leaves of it.
    fn crash(mut self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_sparse(&self.dir.path().join("journal"), &dir.path().join("journal"));
        drop(self.journal.take());
        Self { journal: Some(Self::open(&dir)), dir }
    }
}
