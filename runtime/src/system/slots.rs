//! A table of entities: found by id, named by a number while they stay.

use hashbrown::HashTable;

/// Chunks hold this many slots, so that growth never copies the entities.
const CHUNK: usize = 1024;

/// Values found by a key that they carry themselves.
pub(crate) struct Slots<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    table: HashTable<u32>,
}

/// What a slot must know of itself.
pub(crate) trait Keyed {
    type Key: PartialEq;
    fn key(&self) -> &Self::Key;
    fn hash(&self) -> u64;
}

fn place(slot: u32) -> (usize, usize) {
    let slot = usize::try_from(slot).expect("a slot's number fits an index");
    (slot / CHUNK, slot % CHUNK)
}

impl<T: Keyed> Slots<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), table: HashTable::new() }
    }

    /// One more than the highest slot ever taken.
    pub(crate) fn end(&self) -> u32 {
        let last = self.chunks.last().map_or(0, Vec::len);
        let slots = self.chunks.len().saturating_sub(1) * CHUNK + last;
        u32::try_from(slots).expect("a shard holds fewer than 4 billion entities")
    }

    pub(crate) fn find(&self, hash: u64, key: &T::Key) -> Option<u32> {
        self.table.find(hash, |&slot| self.get(slot).is_some_and(|value| value.key() == key)).copied()
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        let (chunk, index) = place(slot);
        self.chunks.get(chunk)?.get(index)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (chunk, index) = place(slot);
        self.chunks.get_mut(chunk)?.get_mut(index)?.as_mut()
    }

    /// Takes a slot for a value whose key isn't there yet.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let hash = value.hash();
        let slot = self.free.pop().unwrap_or_else(|| {
            let end = self.end();
            if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
                self.chunks.push(Vec::with_capacity(CHUNK));
            }
            self.chunks.last_mut().expect("a chunk was just made").push(None);
            end
        });
        let (chunk, index) = place(slot);
        self.chunks[chunk][index] = Some(value);
        let chunks = &self.chunks;
        self.table.insert_unique(hash, slot, |&slot| {
            let (chunk, index) = place(slot);
            chunks[chunk][index].as_ref().map_or(0, Keyed::hash)
        });
        slot
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let (chunk, index) = place(slot);
        let value = self.chunks.get_mut(chunk)?.get_mut(index)?.take()?;
        if let Ok(entry) = self.table.find_entry(value.hash(), |&other| other == slot) {
            entry.remove();
        }
        self.free.push(slot);
        Some(value)
    }
}
