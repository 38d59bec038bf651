//! What is durable at the moment when an effect runs.

use std::sync::Mutex;

use annals::PersistenceId;
use annals::journal::{Journal as _, MemoryJournal};
use annals_tests::at_once;

use crate::ground::happened;

/// Looks at the journal when an effect runs, and remembers what it has seen too early.
#[derive(Debug, Default)]
pub struct Eye {
    journal: Mutex<Option<MemoryJournal>>,
    early: Mutex<Vec<String>>,
}

impl Eye {
    /// Looks at this journal from now on.
    pub fn open(&self, journal: &MemoryJournal) {
        *self.journal.lock().unwrap() = Some(journal.clone());
    }

    /// Something tells of so many records of an entity.
    pub fn see(&self, what: &'static str, id: &PersistenceId, records: u64) {
        happened(what, &(id, records));
        let journal = self.journal.lock().unwrap();
        // A journal that is closed, or can't be read now, can't be asked.
        let Some(journal) = &*journal else { return };
        let Ok(head) = at_once(journal.open_stream(id)) else { return };
        journal.close_stream(head.stream);
        if head.last.0 < records {
            let last = head.last;
            self.early.lock().unwrap().push(format!("{what} of {id} tells of {records}, and {last} is durable"));
        }
    }

    /// Nothing was told before it was durable.
    pub fn saw_nothing_early(&self) {
        assert_eq!(*self.early.lock().unwrap(), Vec::<String>::new());
    }
}
