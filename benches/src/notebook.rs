//! The entity that is measured: it takes notes of 100 bytes each, and counts them.

use annals::prelude::*;

/// What an event takes as it is stored: 8 bytes for a map of one field, its name and the text's length, then the text.
pub const PAYLOAD_BYTES: usize = 100;
/// The length of a note.
pub const TEXT_BYTES: usize = PAYLOAD_BYTES - 8;

/// 16 bytes.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, Snapshot)]
pub struct Notebook {
    notes: u64,
    bytes: u64,
}

#[aggregate(snapshot)]
impl Notebook {
    #[event]
    fn noted(&mut self, text: String) {
        self.notes += 1;
        self.bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
    }

    #[command]
    fn note(&self, text: String) -> Step {
        applying(NotebookEvent::Noted { text })
    }

    /// How many notes it has, and how long they are in all.
    #[query]
    fn size(&self) -> (u64, u64) {
        (self.notes, self.bytes)
    }
}

/// A note of the right length.
pub fn text() -> String {
    "x".repeat(TEXT_BYTES)
}

/// An id of ten bytes.
pub fn id(number: u64) -> String {
    format!("{number:010}")
}
