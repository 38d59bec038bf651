//! The open streams: what each one's last record is, so that a run is checked without a look at the disk.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::cipher::StreamCipher;
use crate::journal::floor::Floor;
use crate::journal::run::Run;
use crate::journal::{NOT_ENDED, NOT_OPEN, StreamHead, Why, beyond_last};

/// The open streams, by number and by name.
pub(super) struct Streams {
    by_number: HashMap<u64, OpenStream>,
    by_id: HashMap<PersistenceId, StreamNo>,
    /// The next number to give. One that was given and never used is simply not used.
    next: u64,
}

struct OpenStream {
    id: PersistenceId,
    /// How often it is open.
    opened: u64,
    /// The last record that was handed to the engine.
    issued: SeqNr,
    /// The last record that is durable.
    durable: SeqNr,
    /// The floor that was handed to the engine.
    issued_floor: Floor,
    /// The floor that is durable.
    floor: Floor,
    /// What its runs are encrypted with, if they are and it isn't forgotten.
    cipher: Option<Arc<StreamCipher>>,
    /// The number of the key with which those are encrypted that were handed to the engine; 0 if they aren't.
    issued_key: u64,
}

impl OpenStream {
    fn head(&self, stream: StreamNo) -> StreamHead {
        StreamHead { stream, last: self.durable, floor: self.floor.to, ended: self.floor.ended }
    }

    /// Takes a floor as issued; whether it rises.
    fn raise(&mut self, floor: Floor) -> Option<Floor> {
        let raised = self.issued_floor.raised(floor);
        let rises = raised != self.issued_floor;
        self.issued_floor = raised;
        rises.then_some(raised)
    }
}

/// What an open stream is.
pub(super) struct Open {
    pub(super) id: PersistenceId,
    /// Its last durable record.
    pub(super) last: SeqNr,
    pub(super) floor: Floor,
    /// What its runs are encrypted with, if they are and it isn't forgotten.
    pub(super) cipher: Option<Arc<StreamCipher>>,
}

/// What is stored of a stream.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) stream: StreamNo,
    pub(super) last: SeqNr,
    pub(super) floor: Floor,
    /// The number of its key; 0 if it isn't encrypted.
    pub(super) key: u64,
    /// What its runs are encrypted with, if they are and it isn't forgotten.
    pub(super) cipher: Option<Arc<StreamCipher>>,
}

/// What the writer has to do to forget a stream.
pub(super) struct Forgetting {
    /// The number of its key.
    pub(super) key: u64,
    /// Its key in memory, which others may hold too.
    pub(super) cipher: Option<Arc<StreamCipher>>,
    /// The floor that is to be stored, if it rises.
    pub(super) floor: Option<Floor>,
}

/// What has a run encrypted.
pub(super) enum Encryption {
    /// It isn't.
    None,
    /// The key of its stream.
    With(Arc<StreamCipher>),
    /// A key that is to be made for its stream.
    New,
}

/// What the writer has to do for a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// The stream is to be stored with it.
    pub(super) is_first: bool,
    /// The floor rises to this with it.
    pub(super) floor: Option<Floor>,
}

impl Streams {
    pub(super) fn new(next: u64) -> Self {
        Self { by_number: HashMap::new(), by_id: HashMap::new(), next }
    }

    /// How many numbers were given, at the most.
    pub(super) fn given(&self) -> u64 {
        self.next - 1
    }

    /// Opens a stream once more that is open.
    pub(super) fn open_again(&mut self, id: &PersistenceId) -> Option<StreamHead> {
        let stream = *self.by_id.get(id)?;
        let open = self.by_number.get_mut(&stream.0)?;
        open.opened += 1;
        Some(open.head(stream))
    }

    /// Opens a stream that isn't open: a stored one, or a new one with a number that nothing has used.
    pub(super) fn open(&mut self, id: &PersistenceId, stored: Option<Stored>) -> StreamHead {
        let Stored { stream, last, floor, key, cipher } = stored.unwrap_or_else(|| {
            let stream = StreamNo(self.next);
            self.next += 1;
            Stored { stream, last: SeqNr::ZERO, floor: Floor::default(), key: 0, cipher: None }
        });
        let open = OpenStream {
            id: id.clone(),
            opened: 1,
            issued: last,
            durable: last,
            issued_floor: floor,
            floor,
            cipher,
            issued_key: key,
        };
        let head = open.head(stream);
        self.by_number.insert(stream.0, open);
        self.by_id.insert(id.clone(), stream);
        head
    }

    pub(super) fn close(&mut self, stream: StreamNo) {
        if let Entry::Occupied(mut open) = self.by_number.entry(stream.0) {
            let stream = open.get_mut();
            stream.opened = stream.opened.saturating_sub(1);
            Self::remove_if_done(&mut self.by_id, open);
        }
    }

    /// INVARIANT: a stream with records on their way to the disk stays, also when nobody has it open. Whoever opened it
    /// anew would read an older last record from the disk, and a run could be stored over another. The same goes for a
    /// floor, which must not fall.
    fn remove_if_done(
        by_id: &mut HashMap<PersistenceId, StreamNo>,
        open: std::collections::hash_map::OccupiedEntry<'_, u64, OpenStream>,
    ) {
        let stream = open.get();
        if stream.opened == 0 && stream.issued == stream.durable && stream.issued_floor == stream.floor {
            by_id.remove(&open.remove().id);
        }
    }

    /// Says how a run is to be encrypted.
    pub(super) fn encryption(&self, run: &Run) -> Encryption {
        let Some(open) = self.by_number.get(&run.stream.0).filter(|open| open.opened > 0 && open.id == run.id) else {
            return Encryption::None;
        };
        let begins = run.first == SeqNr(1) && open.issued == SeqNr::ZERO;
        match &open.cipher {
            None if begins && run.forgettable => Encryption::New,
            Some(cipher) if !begins || run.forgettable => Encryption::With(Arc::clone(cipher)),
            None | Some(_) => Encryption::None,
        }
    }

    /// Gives a stream that has no records what its runs are encrypted with, unless it has something already; what it
    /// has then.
    pub(super) fn encrypt(&mut self, run: &Run, cipher: Arc<StreamCipher>) -> Arc<StreamCipher> {
        match self.by_number.get_mut(&run.stream.0) {
            Some(open) if open.id == run.id => Arc::clone(open.cipher.get_or_insert(cipher)),
            // It was closed meanwhile: the run will be refused.
            Some(_) | None => cipher,
        }
    }

    /// Says whether a run, encrypted with `cipher`, is the next of its stream, and takes it as issued.
    pub(super) fn issue(&mut self, run: &Run, cipher: Option<&Arc<StreamCipher>>) -> Result<Accepted, Why> {
        let open = self.by_number.get_mut(&run.stream.0).filter(|open| open.opened > 0 && open.id == run.id);
        let Some(open) = open else {
            return Err(Why::BadRun(NOT_OPEN.into()));
        };
        if open.issued_floor.ended {
            return Err(Why::Ended { last: open.issued });
        }
        if run.first != open.issued.next() {
            return Err(Why::Conflict { expected: SeqNr(run.first.0 - 1), last: open.issued });
        }
        let key = cipher.map_or(0, |cipher| cipher.key().number);
        if open.issued == SeqNr::ZERO {
            // Of several that wanted to be the first run, this one is it.
            (open.issued_key, open.cipher) = (key, cipher.cloned());
        } else if key != open.issued_key {
            return Err(Why::BadRun("it isn't encrypted as its stream is".into()));
        }
        open.issued = run.last();
        let floor = if run.ends { open.raise(Floor::before_tombstone(run.last())) } else { None };
        Ok(Accepted { is_first: run.first == SeqNr(1), floor })
    }

    /// Says whether the records of a stream up to `to` can be deleted, and takes them as deleted; the floor that is to be
    /// stored, if it rises.
    pub(super) fn issue_deletion(&mut self, stream: StreamNo, to: SeqNr) -> Result<Option<Floor>, Why> {
        let open = self.by_number.get_mut(&stream.0).filter(|open| open.opened > 0);
        let Some(open) = open else {
            return Err(Why::BadRun(NOT_OPEN.into()));
        };
        if to > open.issued {
            return Err(Why::BadRun(beyond_last(to, open.issued).into()));
        }
        Ok(open.raise(Floor { to, ..Floor::default() }))
    }

    /// Says whether a stream can be forgotten, and takes it as forgotten.
    pub(super) fn issue_forgetting(&mut self, stream: StreamNo) -> Result<Forgetting, Why> {
        let open = self.by_number.get_mut(&stream.0).filter(|open| open.opened > 0);
        let Some(open) = open else {
            return Err(Why::BadRun(NOT_OPEN.into()));
        };
        if open.issued > SeqNr::ZERO && open.issued_key == 0 {
            return Err(Why::NotForgettable);
        }
        if !open.issued_floor.ended {
            return Err(Why::BadRun(NOT_ENDED.into()));
        }
        let floor = open.raise(Floor { to: open.issued, ended: true, forgotten: true });
        Ok(Forgetting { key: open.issued_key, cipher: open.cipher.clone(), floor })
    }

    /// What the runs of a stream are encrypted with, if it is open and they are.
    pub(super) fn cipher(&self, stream: StreamNo) -> Option<Arc<StreamCipher>> {
        self.by_number.get(&stream.0)?.cipher.clone()
    }

    /// Takes the key away from a stream that is forgotten.
    pub(super) fn forget(&mut self, stream: StreamNo) {
        if let Some(open) = self.by_number.get_mut(&stream.0) {
            open.cipher = None;
        }
    }

    /// Takes an issued floor as durable.
    pub(super) fn settle_floor(&mut self, stream: StreamNo, floor: Floor) {
        if let Entry::Occupied(mut open) = self.by_number.entry(stream.0) {
            let stream = open.get_mut();
            stream.floor = stream.floor.raised(floor);
            Self::remove_if_done(&mut self.by_id, open);
        }
    }

    /// Takes an issued run as durable.
    pub(super) fn settle(&mut self, run: &Run) {
        if let Entry::Occupied(mut open) = self.by_number.entry(run.stream.0) {
            open.get_mut().durable = run.last();
            Self::remove_if_done(&mut self.by_id, open);
        }
    }

    /// What a stream is, if it is open.
    pub(super) fn get(&self, stream: StreamNo) -> Option<Open> {
        let open = self.by_number.get(&stream.0)?;
        Some(Open { id: open.id.clone(), last: open.durable, floor: open.floor, cipher: open.cipher.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::MemoryJournal;
    use crate::journal::keys::Keys;
    use crate::journal::suite::{id, run};

    #[test]
    fn a_run_that_was_encrypted_for_another_first_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, alice) = (MemoryJournal::new(), id("alice"));
        let run = |first, forgettable| Run { forgettable, ..run(&journal, StreamNo(1), &alice, first, &[b"x"]) };
        let key = Keys::open(dir.path(), 7).unwrap().draw(StreamNo(1)).unwrap();
        let cipher = Arc::new(StreamCipher::new(key, [0; 16]));
        for plain_first in [true, false] {
            let mut streams = Streams::new(1);
            streams.open(&alice, None);
            assert!(matches!(streams.encryption(&run(1, false)), Encryption::None));
            assert!(matches!(streams.encryption(&run(2, true)), Encryption::None));
            assert!(matches!(streams.encryption(&run(1, true)), Encryption::New));
            streams.encrypt(&run(1, true), Arc::clone(&cipher));
            assert!(matches!(streams.encryption(&run(1, false)), Encryption::None));
            for first in [1, 2] {
                assert!(matches!(streams.encryption(&run(first, true)), Encryption::With(_)));
            }
            let (fits, other) = if plain_first { (None, Some(&cipher)) } else { (Some(&cipher), None) };
            assert!(streams.issue(&run(1, true), fits).is_ok());
            let refused = streams.issue(&run(2, true), other);
            assert!(matches!(refused, Err(Why::BadRun(_))), "{refused:?}");
            assert!(streams.issue(&run(2, true), fits).is_ok());
            assert!(matches!(streams.issue_forgetting(StreamNo(1)), Err(Why::NotForgettable | Why::BadRun(_))));
            let is_encrypted = matches!(streams.encryption(&run(3, false)), Encryption::With(_));
            assert_eq!(is_encrypted, !plain_first);
        }
    }

    #[test]
    fn the_key_of_a_stream_that_is_closed_while_it_is_forgotten_is_still_destroyed() {
        let dir = tempfile::tempdir().unwrap();
        let (mut streams, stream) = (Streams::new(2), StreamNo(1));
        let key = Keys::open(dir.path(), 7).unwrap().draw(stream).unwrap();
        let cipher = Arc::new(StreamCipher::new(key, [0; 16]));
        let floor = Floor::before_tombstone(SeqNr(5));
        let stored = Stored { stream, last: SeqNr(5), floor, key: 1, cipher: Some(Arc::clone(&cipher)) };
        streams.open(&id("alice"), Some(stored));
        let forgetting = streams.issue_forgetting(stream).unwrap();
        streams.close(stream);
        streams.settle_floor(stream, forgetting.floor.unwrap());
        assert!(streams.cipher(stream).is_none());
        assert!(forgetting.cipher.is_some_and(|found| Arc::ptr_eq(&found, &cipher)));
        assert_eq!(forgetting.key, 1);
    }

    #[test]
    fn a_stream_stays_until_its_floor_is_durable() {
        let id = PersistenceId::new("account", "alice");
        let (mut streams, stream) = (Streams::new(1), StreamNo(1));
        let stored = Stored { stream, last: SeqNr(5), floor: Floor::default(), key: 0, cipher: None };
        streams.open(&id, Some(stored));
        let floor = streams.issue_deletion(stream, SeqNr(3)).unwrap().unwrap();
        streams.close(stream);
        // Who opens it now finds what is durable, and can't have the floor fall.
        let head = StreamHead { stream, last: SeqNr(5), floor: SeqNr::ZERO, ended: false };
        assert_eq!(streams.open_again(&id), Some(head));
        assert_eq!(streams.issue_deletion(stream, SeqNr(2)), Ok(None));
        streams.close(stream);
        streams.settle_floor(stream, floor);
        assert_eq!(streams.open_again(&id), None);
    }
}
