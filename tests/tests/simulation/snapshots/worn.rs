//! A store of snapshots that fails, loses, damages and gives other ones than it is asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use annals::journal::{Durability, Fut};
use annals::snapshot::{Criteria, SnapshotMeta, SnapshotStore, SnapshotStoreError, StoredSnapshot};
use annals::{PersistenceId, SeqNr};

use crate::random::Random;

#[derive(Clone)]
pub struct Worn(Arc<Mutex<Inside>>);

struct Inside {
    random: Random,
    durability: Durability,
    /// Whether it does as it is told for now.
    sound: bool,
    /// Whether it may lose and damage what it said was saved.
    lies: bool,
    shelf: BTreeMap<(PersistenceId, SeqNr), Copied>,
}

struct Copied {
    stored: StoredSnapshot,
    intact: bool,
}

type Answer<T> = Fut<'static, Result<T, SnapshotStoreError>>;

impl Inside {
    /// Something to go wrong this time, as one of so many.
    fn slip(&mut self, kinds: u64) -> Option<u64> {
        if self.sound || !self.random.one_in(4) {
            return None;
        }
        Some(self.random.below(kinds))
    }
}

fn failed<T>(tried: &'static str, id: &PersistenceId) -> Result<T, SnapshotStoreError> {
    Err(SnapshotStoreError::Failed { tried, id: id.clone(), error: "as chance has it".into() })
}

fn damaged(stored: &StoredSnapshot, random: &mut Random) -> StoredSnapshot {
    let mut damaged = stored.clone();
    let at = random.below(crate::random::count(damaged.bytes.len()));
    damaged.bytes[usize::try_from(at).unwrap()] ^= 1 << random.below(8);
    damaged
}

impl Worn {
    pub fn new(random: Random, durability: Durability, lies: bool) -> Self {
        Self(Arc::new(Mutex::new(Inside { random, durability, sound: false, lies, shelf: BTreeMap::new() })))
    }

    /// Lets it do as it is told, or not any more.
    pub fn set_sound(&self, sound: bool) {
        self.0.lock().unwrap().sound = sound;
    }

    /// Whether it may lose what it said was saved.
    pub fn lies(&self) -> bool {
        self.0.lock().unwrap().lies
    }

    /// Whether it has an undamaged snapshot from one sequence number to another, both included.
    pub fn has_intact(&self, id: &PersistenceId, from: SeqNr, to: SeqNr) -> bool {
        let inside = self.0.lock().unwrap();
        inside.shelf.range((id.clone(), from)..=(id.clone(), to)).any(|(_, copied)| copied.intact)
    }

    fn ready<T: Send + 'static>(answer: Result<T, SnapshotStoreError>) -> Answer<T> {
        Box::pin(std::future::ready(answer))
    }
}

impl SnapshotStore for Worn {
    fn durability(&self) -> Durability {
        self.0.lock().unwrap().durability
    }

    fn save(&self, id: &PersistenceId, snapshot: StoredSnapshot) -> Fut<'_, Result<(), SnapshotStoreError>> {
        let mut inside = self.0.lock().unwrap();
        let place = (id.clone(), snapshot.seq_nr);
        let lies = inside.lies;
        match inside.slip(3) {
            Some(0) => return Self::ready(failed("save", id)),
            Some(1) if lies => {}
            Some(2) if lies => {
                let stored = damaged(&snapshot, &mut inside.random);
                inside.shelf.insert(place, Copied { stored, intact: false });
            }
            // It has saved it and says that it hasn't.
            Some(_) => {
                inside.shelf.insert(place, Copied { stored: snapshot, intact: true });
                return Self::ready(failed("save", id));
            }
            None => drop(inside.shelf.insert(place, Copied { stored: snapshot, intact: true })),
        }
        Self::ready(Ok(()))
    }

    fn load(
        &self,
        id: &PersistenceId,
        criteria: Criteria,
    ) -> Fut<'_, Result<Option<StoredSnapshot>, SnapshotStoreError>> {
        let mut inside = self.0.lock().unwrap();
        let slip = inside.slip(6);
        let Inside { random, shelf, lies, .. } = &mut *inside;
        let mut own = shelf.iter_mut().filter(|((of, _), copied)| of == id && criteria.allows(&copied.stored.meta()));
        let Some((_, newest)) = own.next_back() else { return Self::ready(Ok(None)) };
        let seq_nr = newest.stored.seq_nr;
        let loaded = match slip {
            None => Ok(Some(newest.stored.clone())),
            Some(0) => failed("load", id),
            Some(1) => Ok(Some(damaged(&newest.stored, random))),
            Some(2) => Err(SnapshotStoreError::Damaged { id: id.clone(), seq_nr, reason: "as chance has it".into() }),
            // An older one.
            Some(3) => Ok(own.next_back().map(|(_, older)| older.stored.clone())),
            // It is damaged for good.
            Some(4) if *lies => {
                newest.stored = damaged(&newest.stored, random);
                newest.intact = false;
                Ok(Some(newest.stored.clone()))
            }
            // Another entity's.
            Some(4) => {
                let (time, of) = (newest.stored.time, id.clone());
                let other = shelf.iter().find(|((other, _), _)| *other != of);
                Ok(other.map(|(_, other)| StoredSnapshot { seq_nr, time, ..other.stored.clone() }))
            }
            Some(_) => Ok(None),
        };
        Self::ready(loaded)
    }

    fn list(&self, id: &PersistenceId) -> Fut<'_, Result<Vec<SnapshotMeta>, SnapshotStoreError>> {
        let mut inside = self.0.lock().unwrap();
        let slip = inside.slip(2);
        let own = inside.shelf.iter().rev().filter(|((of, _), _)| of == id);
        let mut list: Vec<_> = own.map(|(_, copied)| copied.stored.meta()).collect();
        match slip {
            None => {}
            Some(0) => return Self::ready(failed("list", id)),
            Some(_) => list.truncate(1),
        }
        Self::ready(Ok(list))
    }

    fn delete(&self, id: &PersistenceId, seq_nr: SeqNr) -> Fut<'_, Result<(), SnapshotStoreError>> {
        let mut inside = self.0.lock().unwrap();
        match inside.slip(2) {
            Some(0) => return Self::ready(failed("delete", id)),
            // It is left there.
            Some(_) => {}
            None => drop(inside.shelf.remove(&(id.clone(), seq_nr))),
        }
        Self::ready(Ok(()))
    }

    fn delete_matching(&self, id: &PersistenceId, criteria: Criteria) -> Fut<'_, Result<usize, SnapshotStoreError>> {
        let mut inside = self.0.lock().unwrap();
        if inside.slip(1).is_some() {
            return Self::ready(failed("delete", id));
        }
        let before = inside.shelf.len();
        inside.shelf.retain(|(of, _), copied| of != id || !criteria.allows(&copied.stored.meta()));
        Self::ready(Ok(before - inside.shelf.len()))
    }
}
