//! The open streams: what each one's last record is, so that a run is checked without a look at the disk.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::names::{NameNo, Names};
use crate::id::{EntityId, PersistenceId, SeqNr, StreamNo};
use crate::journal::cipher::StreamCipher;
use crate::journal::floor::Floor;
use crate::journal::run::Run;
use crate::journal::{NOT_ENDED, NOT_OPEN, StreamHead, Why, beyond_last};
use crate::slots::{Hashed, Slots};

/// The table of numbers is made smaller when it has room for so many times as many, and for more than a few.
const SPARSE: usize = 4;
const FEW: usize = 1024;

/// The open streams, by number and by name. There is one for each entity in memory, so they are kept small.
pub(super) struct Streams {
    open: Slots<OpenStream>,
    by_number: HashTable<u32>,
    aggregates: Names,
    /// Hashes can't be foretold by who makes up ids.
    seed: u64,
    /// The next number to give. One that was given and never used is simply not used.
    next: u64,
}

struct OpenStream {
    entity: EntityId,
    aggregate: NameNo,
    /// How many records are handed to the engine and not durable yet.
    ahead: u32,
    stream: StreamNo,
    /// The last record that was handed to the engine.
    issued: SeqNr,
    rest: Option<Box<Rest>>,
}

/// What only few streams have.
struct Rest {
    /// How often it is open: once, where nothing is said.
    opened: u64,
    /// The floor that was handed to the engine.
    issued_floor: Floor,
    /// The floor that is durable.
    floor: Floor,
    /// What its runs are encrypted with, if they are and it isn't forgotten.
    cipher: Option<Arc<StreamCipher>>,
    /// The number of the key with which those are encrypted that were handed to the engine; 0 if they aren't.
    issued_key: u64,
}

impl Default for Rest {
    fn default() -> Self {
        let floor = Floor::default();
        Self { opened: 1, issued_floor: floor, floor, cipher: None, issued_key: 0 }
    }
}

impl Hashed for OpenStream {
    fn hash(&self, seed: u64) -> u64 {
        hash_of_name(self.aggregate, &self.entity, seed)
    }
}

fn hash_of_name(aggregate: NameNo, entity: &EntityId, seed: u64) -> u64 {
    xxh3_64_with_seed(entity.as_str().as_bytes(), seed.wrapping_add(u64::from(aggregate.get())))
}

fn hash_of_number(stream: StreamNo) -> u64 {
    xxh3_64(&stream.0.to_le_bytes())
}

impl OpenStream {
    fn floor(&self) -> Floor {
        self.rest.as_ref().map_or_else(Floor::default, |rest| rest.floor)
    }

    fn issued_floor(&self) -> Floor {
        self.rest.as_ref().map_or_else(Floor::default, |rest| rest.issued_floor)
    }

    fn cipher(&self) -> Option<&Arc<StreamCipher>> {
        self.rest.as_ref()?.cipher.as_ref()
    }

    fn issued_key(&self) -> u64 {
        self.rest.as_ref().map_or(0, |rest| rest.issued_key)
    }

    fn opened(&self) -> u64 {
        self.rest.as_ref().map_or(1, |rest| rest.opened)
    }

    /// The last record that is durable.
    fn durable(&self) -> SeqNr {
        SeqNr(self.issued.0 - u64::from(self.ahead))
    }

    /// INVARIANT: a stream with records on their way to the disk stays, also when nobody has it open. Whoever opened it
    /// anew would read an older last record from the disk, and a run could be stored over another. The same goes for a
    /// floor, which must not fall.
    fn is_settled(&self) -> bool {
        self.ahead == 0 && self.issued_floor() == self.floor()
    }

    fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    fn head(&self) -> StreamHead {
        let floor = self.floor();
        StreamHead { stream: self.stream, last: self.durable(), floor: floor.to, ended: floor.ended }
    }

    /// Takes a floor as issued; whether it rises.
    fn raise(&mut self, floor: Floor) -> Option<Floor> {
        let before = self.issued_floor();
        let raised = before.raised(floor);
        if raised == before {
            return None;
        }
        self.rest().issued_floor = raised;
        Some(raised)
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
        let seed = RandomState::new().build_hasher().finish();
        Self { open: Slots::new(seed), by_number: HashTable::new(), aggregates: Names::new(seed), seed, next }
    }

    /// How many numbers were given, at the most.
    pub(super) fn given(&self) -> u64 {
        self.next - 1
    }

    fn slot(&self, stream: StreamNo) -> Option<u32> {
        let is_it = |&slot: &u32| self.open.get(slot).is_some_and(|open| open.stream == stream);
        self.by_number.find(hash_of_number(stream), is_it).copied()
    }

    fn stream(&self, stream: StreamNo) -> Option<&OpenStream> {
        self.open.get(self.slot(stream)?)
    }

    fn stream_mut(&mut self, stream: StreamNo) -> Option<&mut OpenStream> {
        let slot = self.slot(stream)?;
        self.open.get_mut(slot)
    }

    /// The slot of a run's stream, if that has the run's id.
    fn slot_for(&self, run: &Run) -> Option<u32> {
        let slot = self.slot(run.stream)?;
        let open = self.open.get(slot)?;
        let is_its = open.entity == run.id.entity && *self.aggregates.get(open.aggregate) == run.id.aggregate;
        is_its.then_some(slot)
    }

    /// Opens a stream once more that is open.
    pub(super) fn open_again(&mut self, id: &PersistenceId) -> Option<StreamHead> {
        let aggregate = self.aggregates.find(&id.aggregate)?;
        let is_it = |open: &OpenStream| open.aggregate == aggregate && open.entity == id.entity;
        let slot = self.open.find(hash_of_name(aggregate, &id.entity, self.seed), is_it)?;
        let open = self.open.get_mut(slot)?;
        open.rest().opened += 1;
        Some(open.head())
    }

    /// Opens a stream that isn't open: a stored one, or a new one with a number that nothing has used.
    pub(super) fn open(&mut self, id: &PersistenceId, stored: Option<Stored>) -> StreamHead {
        let Stored { stream, last, floor, key, cipher } = stored.unwrap_or_else(|| {
            let stream = StreamNo(self.next);
            self.next += 1;
            Stored { stream, last: SeqNr::ZERO, floor: Floor::default(), key: 0, cipher: None }
        });
        let is_plain = floor == Floor::default() && key == 0 && cipher.is_none();
        let rest = Rest { opened: 1, issued_floor: floor, floor, cipher, issued_key: key };
        let open = OpenStream {
            entity: id.entity.clone(),
            aggregate: self.aggregates.enter(&id.aggregate),
            ahead: 0,
            stream,
            issued: last,
            rest: (!is_plain).then(|| Box::new(rest)),
        };
        let head = open.head();
        let slot = self.open.insert(open);
        let open = &self.open;
        let hash = |&slot: &u32| open.get(slot).map_or(0, |open| hash_of_number(open.stream));
        self.by_number.insert_unique(hash_of_number(stream), slot, hash);
        head
    }

    pub(super) fn close(&mut self, stream: StreamNo) {
        let Some(slot) = self.slot(stream) else { return };
        let Some(open) = self.open.get_mut(slot) else { return };
        if open.opened() > 1 || !open.is_settled() {
            open.rest().opened = open.opened().saturating_sub(1);
        } else {
            self.remove(slot, stream);
        }
    }

    /// Takes a stream that nobody has open away when all of it is durable.
    fn remove_if_done(&mut self, stream: StreamNo) {
        let is_done = |open: &OpenStream| open.opened() == 0 && open.is_settled();
        if let Some(slot) = self.slot(stream).filter(|&slot| self.open.get(slot).is_some_and(is_done)) {
            self.remove(slot, stream);
        }
    }

    fn remove(&mut self, slot: u32, stream: StreamNo) {
        if let Ok(entry) = self.by_number.find_entry(hash_of_number(stream), |&other| other == slot) {
            entry.remove();
        }
        if let Some(open) = self.open.remove(slot) {
            self.aggregates.leave(open.aggregate);
        }
        if self.by_number.capacity() > FEW + SPARSE * self.by_number.len() {
            let open = &self.open;
            let hash = |&slot: &u32| open.get(slot).map_or(0, |open| hash_of_number(open.stream));
            self.by_number.shrink_to(2 * self.by_number.len(), hash);
        }
    }

    /// Says how a run is to be encrypted.
    pub(super) fn encryption(&self, run: &Run) -> Encryption {
        let open = self.slot_for(run).and_then(|slot| self.open.get(slot));
        let Some(open) = open.filter(|open| open.opened() > 0) else {
            return Encryption::None;
        };
        let begins = run.first == SeqNr(1) && open.issued == SeqNr::ZERO;
        match open.cipher() {
            None if begins && run.forgettable => Encryption::New,
            Some(cipher) if !begins || run.forgettable => Encryption::With(Arc::clone(cipher)),
            None | Some(_) => Encryption::None,
        }
    }

    /// Gives a stream that has no records what its runs are encrypted with, unless it has something already; what it
    /// has then.
    pub(super) fn encrypt(&mut self, run: &Run, cipher: Arc<StreamCipher>) -> Arc<StreamCipher> {
        match self.slot_for(run).and_then(|slot| self.open.get_mut(slot)) {
            Some(open) => Arc::clone(open.rest().cipher.get_or_insert(cipher)),
            // It was closed meanwhile: the run will be refused.
            None => cipher,
        }
    }

    /// Says whether a run, encrypted with `cipher`, is the next of its stream, and takes it as issued.
    pub(super) fn issue(&mut self, run: &Run, cipher: Option<&Arc<StreamCipher>>) -> Result<Accepted, Why> {
        let open = self.slot_for(run).and_then(|slot| self.open.get_mut(slot));
        let Some(open) = open.filter(|open| open.opened() > 0) else {
            return Err(Why::BadRun(NOT_OPEN.into()));
        };
        if open.issued_floor().ended {
            return Err(Why::Ended { last: open.issued });
        }
        if run.first != open.issued.next() {
            return Err(Why::Conflict { expected: SeqNr(run.first.0 - 1), last: open.issued });
        }
        let Ok(ahead) = u32::try_from(run.last().0.saturating_sub(open.durable().0)) else {
            return Err(Why::BadRun("over 4 billion records before it aren't durable yet".into()));
        };
        let key = cipher.map_or(0, |cipher| cipher.key().number);
        if open.issued == SeqNr::ZERO {
            // Of several that wanted to be the first run, this one is it.
            if key != 0 || open.rest.is_some() {
                (open.rest().issued_key, open.rest().cipher) = (key, cipher.cloned());
            }
        } else if key != open.issued_key() {
            return Err(Why::BadRun("it isn't encrypted as its stream is".into()));
        }
        (open.issued, open.ahead) = (run.last(), ahead);
        let floor = if run.ends { open.raise(Floor::before_tombstone(run.last())) } else { None };
        Ok(Accepted { is_first: run.first == SeqNr(1), floor })
    }

    /// Says whether the records of a stream up to `to` can be deleted, and takes them as deleted; the floor that is to be
    /// stored, if it rises.
    pub(super) fn issue_deletion(&mut self, stream: StreamNo, to: SeqNr) -> Result<Option<Floor>, Why> {
        let open = self.stream_mut(stream).filter(|open| open.opened() > 0);
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
        let open = self.stream_mut(stream).filter(|open| open.opened() > 0);
        let Some(open) = open else {
            return Err(Why::BadRun(NOT_OPEN.into()));
        };
        if open.issued > SeqNr::ZERO && open.issued_key() == 0 {
            return Err(Why::NotForgettable);
        }
        if !open.issued_floor().ended {
            return Err(Why::BadRun(NOT_ENDED.into()));
        }
        let floor = open.raise(Floor { to: open.issued, ended: true, forgotten: true });
        Ok(Forgetting { key: open.issued_key(), cipher: open.cipher().cloned(), floor })
    }

    /// What the runs of a stream are encrypted with, if it is open and they are.
    pub(super) fn cipher(&self, stream: StreamNo) -> Option<Arc<StreamCipher>> {
        self.stream(stream)?.cipher().cloned()
    }

    /// Takes the key away from a stream that is forgotten.
    pub(super) fn forget(&mut self, stream: StreamNo) {
        if let Some(rest) = self.stream_mut(stream).and_then(|open| open.rest.as_mut()) {
            rest.cipher = None;
        }
    }

    /// Takes an issued floor as durable.
    pub(super) fn settle_floor(&mut self, stream: StreamNo, floor: Floor) {
        if let Some(open) = self.stream_mut(stream) {
            let raised = open.floor().raised(floor);
            open.rest().floor = raised;
            self.remove_if_done(stream);
        }
    }

    /// Takes an issued run as durable.
    pub(super) fn settle(&mut self, run: &Run) {
        if let Some(open) = self.stream_mut(run.stream) {
            let ahead = open.issued.0.checked_sub(run.last().0).and_then(|ahead| u32::try_from(ahead).ok());
            open.ahead = ahead.expect("what is durable was issued, and no more than that");
            if open.opened() == 0 {
                self.remove_if_done(run.stream);
            }
        }
    }

    /// What a stream is, if it is open.
    pub(super) fn get(&self, stream: StreamNo) -> Option<Open> {
        let open = self.stream(stream)?;
        let (aggregate, entity) = (self.aggregates.get(open.aggregate).clone(), open.entity.clone());
        let id = PersistenceId { aggregate, entity };
        Some(Open { id, last: open.durable(), floor: open.floor(), cipher: open.cipher().cloned() })
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
    #[cfg(target_pointer_width = "64")]
    fn an_open_stream_takes_48_bytes() {
        assert_eq!(size_of::<Option<OpenStream>>(), 48);
    }

    #[test]
    fn a_stream_stays_until_nobody_has_it_open_and_its_last_record_is_durable() {
        let (journal, alice) = (MemoryJournal::new(), id("alice"));
        let mut streams = Streams::new(1);
        let stream = streams.open(&alice, None).stream;
        let run = |first, payloads: &[&[u8]]| run(&journal, stream, &alice, first, payloads);
        let last = |streams: &Streams| streams.get(stream).map(|open| open.last);
        let (first, second) = (run(1, &[b"a", b"b"]), run(3, &[b"c"]));
        assert!(streams.issue(&first, None).is_ok() && streams.issue(&second, None).is_ok());
        assert_eq!(last(&streams), Some(SeqNr::ZERO));
        assert!(streams.open_again(&alice).is_some_and(|head| head.last == SeqNr::ZERO));
        streams.settle(&first);
        assert_eq!(last(&streams), Some(SeqNr(2)));
        streams.close(stream);
        streams.close(stream);
        assert_eq!(last(&streams), Some(SeqNr(2)), "its last record isn't durable");
        assert!(matches!(streams.issue(&run(4, &[b"d"]), None), Err(Why::BadRun(_))), "nobody has it open");
        assert!(streams.open_again(&alice).is_some_and(|head| head.last == SeqNr(2)));
        streams.settle(&second);
        assert_eq!(last(&streams), Some(SeqNr(3)), "somebody has it open");
        streams.close(stream);
        assert_eq!(last(&streams), None);
        assert_eq!(streams.open_again(&alice), None);
        let elsewhere = PersistenceId::new("elsewhere", alice.entity.clone());
        streams.open(&alice, None);
        assert_eq!(streams.open_again(&elsewhere), None);
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
