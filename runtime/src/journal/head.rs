//! The head: a small file beside the engine that says how far the journal reaches.
//!
//! The engine may open after it has lost its tail without a word. The head is what it is held against. It has two
//! slots. One is written again and again until it is synced, and only then the other one: so a write that power loss cuts
//! off leaves one that is whole on the disk. The bytes are described in `bytes.rs`.
//!
//! What one good slot is worth, if the other is bad:
//!
//! - At opening, at closing and after a failure both slots are written, one behind the other, each synced before the
//!   next. So after a clean close either slot says all there is to say.
//! - In between, the older one is as far behind the newer one as the last sync of the head is, a second at the most. All that
//!   it claims is true, so a journal that doesn't reach it is corrupt; what lies beyond it must still show a whole chain. Only the loss
//!   of the groups of that time would go unnoticed, and only together with the damage to the slot: two faults at once.
//! - After power loss a torn slot is no damage at all: a slot is synced behind its group, and whoever was answered was
//!   answered for a group that the engine had synced itself.
//!
//! So one good slot is used, with a warning, and both are written anew. Without a good slot nothing is known, and the
//! journal doesn't open.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::Durability;
use super::bytes::{CHECKSUM_BYTES, Malformed, Reader, checksum};
use super::order::Mark;
use crate::id::Offset;

const MAGIC: [u8; 8] = *b"annals\0\x01";
/// The newest format and layout that this version reads and writes.
pub(crate) const FORMAT: u8 = 1;
const LAYOUT: u8 = 1;
pub(crate) const SLOT_BYTES: usize = 4096;

/// The name of the machine's current run; a machine that tells none has never the same.
pub(crate) type BootId = [u8; 16];

/// How the journal was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It is open, or its process ended without closing it.
    Open,
    /// It was closed in order.
    Clean,
    /// It failed while it was writing.
    Failed,
}

/// What the head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) store: u64,
    pub(crate) epoch: u64,
    /// Counts the writes of the head; the slot with the higher number is the newer one.
    pub(crate) write: u64,
    pub(crate) boot: BootId,
    pub(crate) durability: Durability,
    pub(crate) state: State,
    /// The last group that anybody was told of: a process's crash must not take it away.
    pub(crate) acked: Mark,
    /// The last group that is certainly on the disk: power loss must not take it away.
    pub(crate) synced: Mark,
    /// Up to here all is in the engine's tables, and was checked.
    pub(crate) checkpoint: Mark,
}

/// Why a slot can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SlotError {
    #[error("it is no slot of a head")]
    NotOurs,
    #[error("its checksum is wrong")]
    Checksum,
    #[error("it has format {found}")]
    NewerFormat { found: u8 },
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// What a head file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Both slots are good; this is the newer one.
    Good(Head),
    /// One slot is good.
    Half(Head, SlotError),
}

/// Why a head file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it has format {found}, and this version reads formats up to {FORMAT}")]
    NewerFormat { found: u8 },
    #[error("it is {found} bytes long and not {}", 2 * SLOT_BYTES)]
    Length { found: u64 },
    #[error("both of its slots are bad: {0}; {1}")]
    BothBad(SlotError, SlotError),
    #[error("its slots belong to two stores")]
    TwoStores,
}

impl Head {
    /// That of a store in which nothing was written yet.
    pub(crate) fn begun(store: u64) -> Self {
        Self {
            store,
            epoch: 0,
            write: 0,
            boot: boot_id().unwrap_or_default(),
            durability: Durability::Fsync,
            state: State::Clean,
            acked: Mark::default(),
            synced: Mark::default(),
            checkpoint: Mark::default(),
        }
    }

    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        let durability = match self.durability {
            Durability::Fsync => 1,
            Durability::Os => 2,
            Durability::Memory => 3,
        };
        let state = match self.state {
            State::Open => 1,
            State::Clean => 2,
            State::Failed => 3,
        };
        let mut fields: &mut [u8] = &mut slot;
        let mut put = |bytes: &[u8]| {
            let (field, rest) = std::mem::take(&mut fields).split_at_mut(bytes.len());
            field.copy_from_slice(bytes);
            fields = rest;
        };
        put(&MAGIC);
        put(&[FORMAT, LAYOUT, durability, state]);
        for number in [self.store, self.epoch, self.write] {
            put(&number.to_le_bytes());
        }
        put(&self.boot);
        for mark in [self.acked, self.synced, self.checkpoint] {
            for number in [mark.group, mark.offset.0, mark.digest] {
                put(&number.to_le_bytes());
            }
        }
        let sum = checksum(0, &[&slot[..SLOT_BYTES - CHECKSUM_BYTES]]);
        slot[SLOT_BYTES - CHECKSUM_BYTES..].copy_from_slice(&sum.to_le_bytes());
        slot
    }

    fn decode(slot: &[u8]) -> Result<Self, SlotError> {
        let (content, sum) = slot.split_last_chunk::<CHECKSUM_BYTES>().ok_or(SlotError::NotOurs)?;
        let mut reader = Reader::new(content);
        if reader.array("the magic")? != MAGIC {
            return Err(SlotError::NotOurs);
        }
        if checksum(0, &[content]) != u64::from_le_bytes(*sum) {
            return Err(SlotError::Checksum);
        }
        let [format, layout, durability, state] = reader.array("the format")?;
        // A layout comes with a format of its own, so that this is the only number to compare.
        if format != FORMAT || layout != LAYOUT {
            return Err(SlotError::NewerFormat { found: format.max(layout) });
        }
        let durability = match durability {
            1 => Durability::Fsync,
            2 => Durability::Os,
            3 => Durability::Memory,
            _ => return Err(SlotError::NotOurs),
        };
        let state = match state {
            1 => State::Open,
            2 => State::Clean,
            3 => State::Failed,
            _ => return Err(SlotError::NotOurs),
        };
        let store = reader.u64("the store id")?;
        let epoch = reader.u64("the epoch")?;
        let write = reader.u64("the write number")?;
        let boot = reader.array("the boot id")?;
        let mut mark = || -> Result<Mark, Malformed> {
            let group = reader.u64("a group")?;
            let offset = Offset(reader.u64("an offset")?);
            Ok(Mark { group, offset, digest: reader.u64("a digest")? })
        };
        let (acked, synced, checkpoint) = (mark()?, mark()?, mark()?);
        Ok(Self { store, epoch, write, boot, durability, state, acked, synced, checkpoint })
    }

    /// Reads a head file.
    pub(crate) fn read(path: &Path) -> Result<Found, HeadError> {
        let mut bytes = Vec::with_capacity(2 * SLOT_BYTES);
        let file = File::open(path)?;
        let found = file.metadata()?.len();
        let whole = super::bytes::len_u64(2 * SLOT_BYTES);
        if found > whole {
            return Err(HeadError::Length { found });
        }
        file.take(whole).read_to_end(&mut bytes)?;
        bytes.resize(2 * SLOT_BYTES, 0);
        let (first, second) = bytes.split_at(SLOT_BYTES);
        match (Self::decode(first), Self::decode(second)) {
            (Err(SlotError::NewerFormat { found }), _) | (_, Err(SlotError::NewerFormat { found })) => {
                Err(HeadError::NewerFormat { found })
            }
            (Ok(first), Ok(second)) if first.store != second.store => Err(HeadError::TwoStores),
            (Ok(first), Ok(second)) => Ok(Found::Good(if first.write > second.write { first } else { second })),
            (Ok(head), Err(error)) | (Err(error), Ok(head)) => Ok(Found::Half(head, error)),
            (Err(first), Err(second)) => Err(HeadError::BothBad(first, second)),
        }
    }
}

/// Writes the slots in turn, each once the other one is synced.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: File,
    /// Whether the slot that was written last is known to be on the disk.
    is_synced: bool,
}

impl HeadFile {
    /// Makes the file, with both slots written and synced.
    pub(crate) fn create(path: &Path, head: &mut Head) -> io::Result<Self> {
        let mut this =
            Self { file: File::options().read(true).write(true).create_new(true).open(path)?, is_synced: true };
        this.write_both(head)?;
        Ok(this)
    }

    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        // Who wrote it last may have ended before the sync.
        file.sync_data()?;
        Ok(Self { file, is_synced: true })
    }

    /// Another handle, to sync the file from another thread.
    pub(crate) fn syncer(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Says that all that was written is on the disk.
    pub(crate) fn was_synced(&mut self) {
        self.is_synced = true;
    }

    /// Writes the slot that is older, or the newer one again where it isn't synced. Not synced.
    pub(crate) fn write(&mut self, head: &mut Head) -> io::Result<()> {
        // INVARIANT: the slot of an even number is the first one, and one of the slots isn't being written to the disk.
        head.write += if self.is_synced { 1 } else { 2 };
        self.is_synced = false;
        let slot = if head.write.is_multiple_of(2) { 0 } else { super::bytes::len_u64(SLOT_BYTES) };
        write_at(&mut self.file, slot, &head.encode())
    }

    /// Writes both slots, each synced before the next is touched.
    pub(crate) fn write_both(&mut self, head: &mut Head) -> io::Result<()> {
        for _ in 0..2 {
            self.write(head)?;
            self.file.sync_data()?;
            self.is_synced = true;
        }
        Ok(())
    }
}

/// Writes into a file, at a place.
fn write_at(file: &mut File, place: u64, bytes: &[u8]) -> io::Result<()> {
    // One call less, since each group commit waits for it.
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::write_all_at(file, bytes, place)
    }
    #[cfg(not(unix))]
    {
        use std::io::{Seek, SeekFrom, Write};
        file.seek(SeekFrom::Start(place))?;
        file.write_all(bytes)
    }
}

/// The id of the machine's current run, where the system tells it. `None`: it must be taken for another one each time.
pub(crate) fn boot_id() -> Option<BootId> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: Vec<u32> = text.trim().chars().filter(|digit| *digit != '-').map_while(|d| d.to_digit(16)).collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect();
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Head {
        let mark = |group| Mark { group, offset: Offset(group * 10), digest: group * 100 };
        Head {
            store: 7,
            epoch: 3,
            write: 0,
            boot: [9; 16],
            durability: Durability::Fsync,
            state: State::Open,
            acked: mark(3),
            synced: mark(2),
            checkpoint: mark(1),
        }
    }

    fn file_with(change: impl FnOnce(&mut Vec<u8>)) -> Result<Found, HeadError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        HeadFile::create(&path, &mut sample()).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        Head::read(&path)
    }

    #[test]
    fn the_bytes_of_a_slot_are_these_for_ever() {
        let slot = sample().encode();
        let hex: String = slot.iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = [
            "616e6e616c730001",                                   // magic
            "01 01 01 01",                                        // format, layout, Durability::Fsync, open
            "0700000000000000",                                   // store
            "0300000000000000",                                   // epoch
            "0000000000000000",                                   // write number
            "09090909090909090909090909090909",                   // boot id
            "0300000000000000 1e00000000000000 2c01000000000000", // acked
            "0200000000000000 1400000000000000 c800000000000000", // synced
            "0100000000000000 0a00000000000000 6400000000000000", // checkpoint
        ];
        let golden = golden.concat().replace(' ', "");
        let (fields, rest) = hex.split_at(golden.len());
        assert_eq!(fields, golden);
        let (zeros, sum) = rest.split_at(rest.len() - 16);
        assert!(zeros.chars().all(|digit| digit == '0'));
        assert_eq!(sum, "44840f5ca4ecb95a");
    }

    #[test]
    fn the_newer_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        let mut head = sample();
        let mut file = HeadFile::create(&path, &mut head).unwrap();
        for epoch in 10..15 {
            head.epoch = epoch;
            file.write(&mut head).unwrap();
            let Found::Good(found) = Head::read(&path).unwrap() else { panic!("both are good") };
            assert_eq!(found, head);
        }
    }

    #[test]
    fn a_slot_is_left_alone_until_the_other_one_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        let mut head = sample();
        let mut file = HeadFile::create(&path, &mut head).unwrap();
        let slots = || {
            let bytes = std::fs::read(&path).unwrap();
            let (first, second) = bytes.split_at(SLOT_BYTES);
            [first, second].map(|slot| Head::decode(slot).unwrap().write)
        };
        let mut found = vec![slots()];
        for is_synced in [false, false, true, false] {
            file.write(&mut head).unwrap();
            found.push(slots());
            if is_synced {
                file.was_synced();
            }
        }
        assert_eq!(found, [[2, 1], [2, 3], [2, 5], [2, 7], [8, 7]]);
        file.write_both(&mut head).unwrap();
        assert_eq!(slots(), [10, 11]);
    }

    #[test]
    fn every_flipped_bit_is_found_and_the_other_slot_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("head");
        HeadFile::create(&path, &mut sample()).unwrap();
        let good = std::fs::read(&path).unwrap();
        for index in 0..2 * SLOT_BYTES {
            let bit = index % 8;
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            std::fs::write(&path, bad).unwrap();
            let Found::Half(head, _) = Head::read(&path).unwrap() else {
                panic!("byte {index}, bit {bit} went unnoticed")
            };
            assert_eq!(Head { write: 0, ..head }, sample());
        }
    }

    #[test]
    fn a_head_without_a_good_slot_is_refused() {
        let both = file_with(|bytes| {
            bytes[20] ^= 1;
            bytes[SLOT_BYTES + 20] ^= 1;
        });
        assert!(matches!(both, Err(HeadError::BothBad(SlotError::Checksum, SlotError::Checksum))), "{both:?}");
        assert!(matches!(file_with(Vec::clear), Err(HeadError::BothBad(..))));
        assert!(matches!(file_with(|bytes| bytes.push(0)), Err(HeadError::Length { .. })));
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let found = file_with(|bytes| {
            bytes[8] = 2;
            let sum = checksum(0, &[&bytes[..SLOT_BYTES - CHECKSUM_BYTES]]);
            bytes[SLOT_BYTES - CHECKSUM_BYTES..SLOT_BYTES].copy_from_slice(&sum.to_le_bytes());
        });
        assert!(matches!(found, Err(HeadError::NewerFormat { found: 2 })), "{found:?}");
    }

    #[test]
    fn the_slots_of_two_stores_are_refused() {
        let found = file_with(|bytes| {
            let other = Head { store: 8, write: 9, ..sample() }.encode();
            bytes[..SLOT_BYTES].copy_from_slice(&other);
        });
        assert!(matches!(found, Err(HeadError::TwoStores)), "{found:?}");
    }
}
