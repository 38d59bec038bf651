//! A table of what is in memory, entities or open streams: found by id, named by a number while they stay.

use std::collections::BTreeSet;

use hashbrown::HashTable;

/// Chunks hold this many slots, so that growth never copies the entities, and memory is given back when many have left.
const CHUNK: usize = 1024;
/// The table of numbers is made smaller when it has room for so many times as many, and more than a chunk.
const SPARSE: usize = 4;

/// Values found by what they are, such as an id.
pub(crate) struct Slots<T> {
    chunks: Vec<Chunk<T>>,
    /// The chunks with free slots. Those that come first are filled first, so that those behind them empty.
    with_room: BTreeSet<usize>,
    table: HashTable<u32>,
    seed: u64,
}

/// Some slots; without values, it has no memory.
struct Chunk<T> {
    slots: Vec<Option<T>>,
    free: Vec<u16>,
}

impl<T> Chunk<T> {
    const EMPTY: Self = Self { slots: Vec::new(), free: Vec::new() };

    fn is_full(&self) -> bool {
        self.slots.len() == CHUNK && self.free.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }
}

/// What is found by its hash. It is computed when the table grows or the value leaves, so that it takes no memory.
pub(crate) trait Hashed {
    fn hash(&self, seed: u64) -> u64;
}

fn place(slot: u32) -> (usize, usize) {
    let slot = usize::try_from(slot).expect("a slot's number fits an index");
    (slot / CHUNK, slot % CHUNK)
}

impl<T: Hashed> Slots<T> {
    /// With a seed for the hashes.
    pub(crate) fn new(seed: u64) -> Self {
        Self { chunks: Vec::new(), with_room: BTreeSet::new(), table: HashTable::new(), seed }
    }

    /// No slot has this number or a higher one.
    pub(crate) fn end(&self) -> u32 {
        let last = self.chunks.last().map_or(0, |chunk| chunk.slots.len());
        let slots = self.chunks.len().saturating_sub(1) * CHUNK + last;
        u32::try_from(slots).expect("memory holds fewer than 4 billion of them")
    }

    /// The slot of the value with this hash that `is_it`.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<u32> {
        self.table.find(hash, |&slot| self.get(slot).is_some_and(&is_it)).copied()
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        let (chunk, index) = place(slot);
        self.chunks.get(chunk)?.slots.get(index)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (chunk, index) = place(slot);
        self.chunks.get_mut(chunk)?.slots.get_mut(index)?.as_mut()
    }

    /// Takes a slot for a value that isn't there yet.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let hash = value.hash(self.seed);
        let number = self.with_room.first().copied().unwrap_or_else(|| {
            self.chunks.push(Chunk::EMPTY);
            self.with_room.insert(self.chunks.len() - 1);
            self.chunks.len() - 1
        });
        let chunk = &mut self.chunks[number];
        let index = match chunk.free.pop() {
            Some(index) => {
                chunk.slots[usize::from(index)] = Some(value);
                usize::from(index)
            }
            None => {
                if chunk.slots.capacity() == 0 {
                    chunk.slots.reserve_exact(CHUNK);
                }
                chunk.slots.push(Some(value));
                chunk.slots.len() - 1
            }
        };
        if chunk.is_full() {
            self.with_room.remove(&number);
        }
        let slot = u32::try_from(number * CHUNK + index).expect("memory holds fewer than 4 billion of them");
        let (chunks, seed) = (&self.chunks, self.seed);
        self.table.insert_unique(hash, slot, |&slot| hash_of(chunks, slot, seed));
        slot
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let (number, index) = place(slot);
        let chunk = self.chunks.get_mut(number)?;
        let value = chunk.slots.get_mut(index)?.take()?;
        if let Ok(entry) = self.table.find_entry(value.hash(self.seed), |&other| other == slot) {
            entry.remove();
        }
        chunk.free.push(u16::try_from(index).expect("a chunk has fewer than 65,536 slots"));
        self.with_room.insert(number);
        // The first one stays, for those who come and go.
        if number > 0 && chunk.is_empty() {
            *chunk = Chunk::EMPTY;
            self.give_back();
        }
        Some(value)
    }

    /// Gives back what many that have left had taken up.
    fn give_back(&mut self) {
        while self.chunks.last().is_some_and(|chunk| chunk.slots.is_empty()) {
            self.chunks.pop();
            self.with_room.remove(&self.chunks.len());
        }
        if self.chunks.capacity() > SPARSE * self.chunks.len() {
            self.chunks.shrink_to_fit();
        }
        if self.table.capacity() > CHUNK + SPARSE * self.table.len() {
            let (chunks, seed) = (&self.chunks, self.seed);
            self.table.shrink_to(2 * self.table.len(), |&slot| hash_of(chunks, slot, seed));
        }
    }
}

fn hash_of<T: Hashed>(chunks: &[Chunk<T>], slot: u32, seed: u64) -> u64 {
    let (chunk, index) = place(slot);
    chunks[chunk].slots[index].as_ref().map_or(0, |value| value.hash(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number(u64);

    const SEED: u64 = 3;

    impl Hashed for Number {
        fn hash(&self, seed: u64) -> u64 {
            (self.0 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        }
    }

    fn find(slots: &Slots<Number>, number: u64) -> Option<u32> {
        slots.find(Number(number).hash(SEED), |value| value.0 == number)
    }

    /// How many slots have memory, and for how many numbers the table has.
    fn memory(slots: &Slots<Number>) -> (usize, usize) {
        (slots.chunks.iter().map(|chunk| chunk.slots.capacity()).sum(), slots.table.capacity())
    }

    #[test]
    fn when_all_have_left_hardly_anything_is_kept_for_them() {
        let mut slots = Slots::new(SEED);
        let taken: Vec<u32> = (0..100_000).map(|number| slots.insert(Number(number))).collect();
        assert_eq!((slots.end(), memory(&slots).0), (100_000, 98 * CHUNK));
        for slot in taken {
            assert!(slots.remove(slot).is_some() && slots.remove(slot).is_none());
        }
        assert_eq!((memory(&slots).0, slots.chunks.len(), slots.with_room.len()), (CHUNK, 1, 1));
        assert!(memory(&slots).1 <= 2 * CHUNK, "{:?}", memory(&slots));
    }

    #[test]
    fn those_who_stay_are_found_under_their_numbers_while_others_come_and_go() {
        let mut slots = Slots::new(SEED);
        let mut stay = Vec::new();
        for round in 0..20_u64 {
            let come = (0..5_000).map(|number| round * 5_000 + number);
            let came: Vec<_> = come.map(|number| (number, slots.insert(Number(number)))).collect();
            for (number, slot) in came {
                if number % 1_000 == 7 {
                    stay.push((number, slot));
                } else {
                    assert!(slots.remove(slot).is_some());
                }
            }
            for (number, slot) in &stay {
                assert_eq!(
                    (find(&slots, *number), slots.get(*slot).map(|value| value.0)),
                    (Some(*slot), Some(*number))
                );
            }
            assert_eq!(find(&slots, round * 5_000), None);
        }
        assert_eq!(stay.len(), 100);
        assert!(slots.end() <= 10_000, "free slots are taken first: {}", slots.end());
    }
}
