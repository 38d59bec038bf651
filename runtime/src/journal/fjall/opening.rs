//! What opening a journal has found.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::guard::{JournalFile, Refusal};

/// How the journal was left, and what was done so that it could be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opening {
    /// How it was left.
    pub ended: Ended,
    /// What was cut off the end of the engine's own journal, if something was.
    pub cut: Option<TailCut>,
    /// Whether an opening before ended in between, so that what it had begun was undone first.
    pub resumed: bool,
    /// How long it took.
    pub took: OpeningTimes,
}

/// How long the parts of an opening took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpeningTimes {
    /// Checking the engine's files, and setting them aside.
    pub files: Duration,
    /// Opening the engine, which reads its own journal again.
    pub engine: Duration,
    /// Following the chain of what was written since the last checkpoint.
    pub chain: Duration,
    /// Moving that into tables that are synced, where the journal was not closed in order.
    pub tables: Duration,
}

/// How a journal was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// It was made just now.
    New,
    /// It was closed in order.
    Clean,
    /// Its process, or the machine, ended without closing it.
    Unclean,
    /// It had failed while it was writing.
    Failed,
}

/// What was written last and not whole: nobody was ever told that it is stored.
///
/// Of a journal that was closed in order, nothing is lost with it at all: its rows are in tables already.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TailCut {
    /// How many bytes were cut off.
    pub bytes: u64,
    /// Of which file.
    pub file: PathBuf,
    /// Up to which byte it is whole.
    pub whole: u64,
    /// What was wrong behind that.
    pub reason: String,
}

impl TailCut {
    /// What is to be cut off a file, if something is.
    pub(super) fn of(file: &JournalFile) -> Option<Self> {
        let flaw = file.scan.flaw.as_ref()?;
        let bytes = file.scan.written - file.scan.whole;
        Some(Self { bytes, file: file.path.clone(), whole: file.scan.whole, reason: flaw.reason.clone() })
    }

    /// Cuts it off.
    pub(super) fn cut_off(&self) -> Result<(), Refusal> {
        let file = fs::File::options().write(true).open(&self.file).map_err(Refusal::io("open", &self.file))?;
        let cut = file.set_len(self.whole).and_then(|()| file.sync_all());
        cut.map_err(Refusal::io("cut off the end of", &self.file))
    }
}
