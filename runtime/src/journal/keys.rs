//! The file of keys: one slot for each stream that can be forgotten, found by the number of its key.
//!
//! Nothing of it is held in memory but the secret of the ids; the keys of open streams are held by those. A slot is
//! written once, and overwritten with zeros when its stream is forgotten. Its number is never given to another key. The
//! bytes are described in `bytes.rs`.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

use super::bytes::{CHECKSUM_BYTES, Malformed, Reader, checksum, len_u64};
use super::cipher::{IdDigest, KEY_BYTES, NoRandomness, Nonces, Secret, StreamKey, draw_secret, id_digest};
use super::lock;
use crate::id::{PersistenceId, StreamNo};
use crate::sync::{Arc, Mutex, OnceLock};

const MAGIC: [u8; 8] = *b"annals\0\x04";
pub(crate) const FORMAT: u8 = 1;
/// The header is as long as a slot: the slot of key n begins at n times this.
pub(crate) const SLOT_BYTES: usize = 64;
const TEMPORARY: &str = "keys.tmp";
/// The name of the file.
pub(crate) const FILE: &str = "keys";

/// So many slots at the most are written at once.
const SLOTS_AT_ONCE: usize = 1024;

/// The bytes of a slot; wiped when they are dropped.
type SlotBytes = Zeroizing<[u8; SLOT_BYTES]>;

/// Why a file of keys, or one of its slots, can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error("it has something else in it")]
    NotOurs,
    #[error("it belongs to another journal")]
    OtherStore,
    #[error("the checksum of its header is wrong")]
    Header,
    #[error("it has format {found}, and this version reads formats up to {FORMAT}: a newer version wrote it")]
    NewerFormat { found: u8 },
    #[error("it has flags ({flags:#x}) that this version doesn't know: a newer version wrote it")]
    NewerFeature { flags: u8 },
    #[error("it isn't there any more")]
    Gone,
    #[error("key {number} isn't in it")]
    Missing { number: u64 },
    #[error("the slot of key {number} is damaged")]
    Damaged { number: u64 },
    #[error("key {number} belongs to stream {stream}")]
    OtherStream { number: u64, stream: StreamNo },
}

impl From<Malformed> for KeysError {
    fn from(_: Malformed) -> Self {
        KeysError::NotOurs
    }
}

/// What a slot holds, for those who don't need the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The key was destroyed, or never written.
    Nothing,
    /// The key of a stream.
    Of(StreamNo),
    Damaged,
}

/// What is in a slot.
enum Found {
    /// The key was destroyed, or never written.
    Nothing,
    Key(StreamNo, Secret),
    Damaged,
}

/// The keys of a store.
pub(crate) struct Keys {
    store: u64,
    path: PathBuf,
    secret: Secret,
    nonces: Arc<Nonces>,
    /// The number of the next key. One that was given and never used is simply not used.
    next: AtomicU64,
    /// Set once there is a file.
    files: OnceLock<Files>,
}

/// Two handles, so that nobody who reads a key waits for a sync.
struct Files {
    reader: Mutex<File>,
    writer: Mutex<File>,
}

impl Files {
    fn open(path: &Path) -> io::Result<Self> {
        let writer = File::options().read(true).write(true).open(path)?;
        Ok(Self { reader: Mutex::new(File::open(path)?), writer: Mutex::new(writer) })
    }
}

impl Keys {
    /// Opens the keys of the store in `dir`. If there are none, a file is made with the first.
    pub(crate) fn open(dir: &Path, store: u64) -> Result<Self, KeysError> {
        Self::open_with(dir, store, Files::open)
    }

    fn open_with(dir: &Path, store: u64, open: impl FnOnce(&Path) -> io::Result<Files>) -> Result<Self, KeysError> {
        let path = dir.join(FILE);
        let nonces = Arc::new(Nonces::draw()?);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (secret, next) = (draw_secret()?, AtomicU64::new(1));
                return Ok(Self { store, path, secret, nonces, next, files: OnceLock::new() });
            }
            Err(error) => return Err(error.into()),
        };
        let mut header = empty_slot();
        let read = read_up_to(&mut file, 0, &mut *header)?;
        let secret = decode_header(&header[..read], store)?;
        // A slot that is cut off counts: its number was given.
        let slots = file.metadata()?.len().div_ceil(len_u64(SLOT_BYTES));
        let files = OnceLock::from(open(&path)?);
        Ok(Self { store, path, secret, nonces, next: AtomicU64::new(slots.max(1)), files })
    }

    /// The keys of the store in `dir`, only to be read.
    pub(crate) fn look(dir: &Path, store: u64) -> Result<Self, KeysError> {
        Self::open_with(dir, store, |path| {
            Ok(Files { reader: Mutex::new(File::open(path)?), writer: Mutex::new(File::open(path)?) })
        })
    }

    /// No keys, whatever is in `dir`.
    pub(crate) fn none(dir: &Path, store: u64) -> Result<Self, KeysError> {
        let (secret, nonces, next) = (draw_secret()?, Arc::new(Nonces::draw()?), AtomicU64::new(1));
        Ok(Self { store, path: dir.join(FILE), secret, nonces, next, files: OnceLock::new() })
    }

    /// The number behind that of the last key.
    pub(crate) fn numbers(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// What the slot of a key holds.
    pub(crate) fn slot(&self, number: u64) -> io::Result<Slot> {
        let Some(files) = self.files.get() else { return Ok(Slot::Nothing) };
        Ok(match self.read_slot(&mut lock(&files.reader), number)? {
            Found::Nothing => Slot::Nothing,
            Found::Key(stream, _) => Slot::Of(stream),
            Found::Damaged => Slot::Damaged,
        })
    }

    /// Whether a key was ever given.
    pub(crate) fn are_given(&self) -> bool {
        self.next.load(Ordering::Relaxed) > 1
    }

    /// Whether there is a file, so that a key may have been stored.
    pub(crate) fn exist(&self) -> bool {
        self.files.get().is_some()
    }

    /// Where the file is, or would be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What stands for an id.
    pub(crate) fn id_digest(&self, id: &PersistenceId) -> IdDigest {
        id_digest(&self.secret, id)
    }

    /// Makes a key for a new stream. It is in memory only, until it is [stored](Keys::store).
    pub(crate) fn draw(&self, stream: StreamNo) -> Result<StreamKey, NoRandomness> {
        let secret = draw_secret()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(StreamKey::new(number, stream, secret, Arc::clone(&self.nonces)))
    }

    /// Reads the key of a stream.
    ///
    /// # Errors
    ///
    /// [`KeysError::Missing`] if it was destroyed, or never was there.
    pub(crate) fn load(&self, number: u64, stream: StreamNo) -> Result<StreamKey, KeysError> {
        let missing = KeysError::Missing { number };
        let Some(files) = self.files.get() else { return Err(missing) };
        match self.read_slot(&mut lock(&files.reader), number)? {
            Found::Key(owner, secret) if owner == stream => {
                Ok(StreamKey::new(number, stream, secret, Arc::clone(&self.nonces)))
            }
            Found::Key(stream, _) => Err(KeysError::OtherStream { number, stream }),
            Found::Damaged => Err(KeysError::Damaged { number }),
            Found::Nothing => Err(missing),
        }
    }

    /// Stores new keys, with one sync.
    pub(crate) fn store(&self, keys: &[&StreamKey]) -> Result<(), KeysError> {
        let files = match self.files.get() {
            Some(files) => files,
            None => {
                self.make()?;
                let files = Files::open(&self.path)?;
                self.files.get_or_init(|| files)
            }
        };
        let mut file = lock(&files.writer);
        self.check_there(&file)?;
        let mut keys = keys.to_vec();
        keys.sort_unstable_by_key(|key| key.number);
        for neighbours in keys.chunk_by(|one, next| one.number + 1 == next.number) {
            for part in neighbours.chunks(SLOTS_AT_ONCE) {
                let mut bytes = Zeroizing::new(Vec::with_capacity(part.len() * SLOT_BYTES));
                for key in part {
                    // A destroyed key leaves its slot empty, as it is.
                    let slot = key.with_secret(|secret| encode_slot(self.store, key.number, key.stream, secret));
                    bytes.extend_from_slice(&*slot.unwrap_or_else(empty_slot));
                }
                write_at(&mut file, position(part[0].number), bytes.as_slice())?;
            }
        }
        Ok(file.sync_data()?)
    }

    /// Overwrites the keys of streams with zeros, with one sync. What isn't there is as good as overwritten; the key of
    /// another stream stays.
    pub(crate) fn destroy(&self, keys: &[(u64, StreamNo)]) -> Result<(), KeysError> {
        let Some(files) = self.files.get() else { return Ok(()) };
        let mut file = lock(&files.writer);
        self.check_there(&file)?;
        let end = file.metadata()?.len();
        for &(number, stream) in keys {
            match self.read_slot(&mut file, number)? {
                // After a sync that failed, zeros that are read may not be on the disk, and the next sync knows nothing of it.
                Found::Nothing if position(number) < end => write_at(&mut file, position(number), &[0; SLOT_BYTES])?,
                Found::Nothing => {}
                Found::Key(owner, _) if owner != stream => {
                    return Err(KeysError::OtherStream { number, stream: owner });
                }
                Found::Key(..) | Found::Damaged => write_at(&mut file, position(number), &[0; SLOT_BYTES])?,
            }
        }
        // Also where nothing was there: whoever overwrote it may have been interrupted before the sync.
        Ok(file.sync_data()?)
    }

    /// Makes a file in which the keys up to a number are destroyed.
    pub(crate) fn make_destroyed(&self, last: u64) -> Result<(), KeysError> {
        self.make()?;
        let file = File::options().write(true).open(&self.path)?;
        file.set_len(position(last.saturating_add(1)))?;
        Ok(file.sync_all()?)
    }

    /// Makes a file without keys, complete and synced.
    fn make(&self) -> Result<(), KeysError> {
        let temporary = self.path.with_file_name(TEMPORARY);
        let mut file = File::create(&temporary)?;
        file.write_all(&*encode_header(self.store, &self.secret))?;
        file.sync_all()?;
        fs::rename(temporary, &self.path)?;
        #[cfg(unix)]
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        crate::log::info!(path = %self.path.display(), "made the file of keys");
        Ok(())
    }

    fn read_slot(&self, file: &mut File, number: u64) -> io::Result<Found> {
        let mut slot = empty_slot();
        let read = read_up_to(file, position(number), &mut *slot)?;
        if slot.iter().all(|byte| *byte == 0) {
            return Ok(Found::Nothing);
        }
        let decoded = decode_slot(&slot[..read], self.store).filter(|(found, ..)| *found == number);
        Ok(decoded.map_or(Found::Damaged, |(_, stream, secret)| Found::Key(stream, secret)))
    }

    /// Says whether the file at the path is still the one that is open: what is written into another is lost.
    fn check_there(&self, file: &File) -> Result<(), KeysError> {
        #[cfg(unix)]
        let is_there = {
            use std::os::unix::fs::MetadataExt;
            let there = fs::metadata(&self.path);
            let held = file.metadata()?;
            there.is_ok_and(|there| (held.dev(), held.ino()) == (there.dev(), there.ino()))
        };
        #[cfg(not(unix))]
        // There, a file that is open can't be deleted.
        let is_there = file.metadata().is_ok() && self.path.exists();
        if is_there { Ok(()) } else { Err(KeysError::Gone) }
    }
}

/// Where the slot of a key begins. There are never so many keys that this can't be a place in a file.
fn position(number: u64) -> u64 {
    number.saturating_mul(len_u64(SLOT_BYTES))
}

fn write_at(file: &mut File, position: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(position))?;
    file.write_all(bytes)
}

/// Reads until `bytes` is full or the file ends; how many bytes there were.
fn read_up_to(file: &mut File, position: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    // A place that no file has is behind the end of this one.
    if i64::try_from(position).is_err() {
        return Ok(read);
    }
    file.seek(SeekFrom::Start(position))?;
    while read < bytes.len() {
        match file.read(&mut bytes[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

fn empty_slot() -> SlotBytes {
    Zeroizing::new([0; SLOT_BYTES])
}

/// Fills a slot with its fields and a checksum at its end.
fn encode(store: u64, fields: &[&[u8]]) -> SlotBytes {
    let mut slot = empty_slot();
    let (content, sum) = slot.split_at_mut(SLOT_BYTES - CHECKSUM_BYTES);
    let mut rest = &mut *content;
    for field in fields {
        let (place, behind) = rest.split_at_mut(field.len());
        place.copy_from_slice(field);
        rest = behind;
    }
    sum.copy_from_slice(&checksum(store, &[&*content]).to_le_bytes());
    slot
}

fn encode_header(store: u64, secret: &Secret) -> SlotBytes {
    encode(store, &[&MAGIC, &[FORMAT, 0], &[0; 6], &store.to_le_bytes(), &**secret])
}

fn encode_slot(store: u64, number: u64, stream: StreamNo, secret: &Secret) -> SlotBytes {
    encode(store, &[&number.to_le_bytes(), &stream.0.to_le_bytes(), &**secret])
}

fn decode_header(header: &[u8], store: u64) -> Result<Secret, KeysError> {
    let (content, sum) = header.split_last_chunk::<CHECKSUM_BYTES>().ok_or(KeysError::NotOurs)?;
    let mut reader = Reader::new(content);
    if header.len() != SLOT_BYTES || reader.array("the magic")? != MAGIC {
        return Err(KeysError::NotOurs);
    }
    let format = reader.u8("the format")?;
    let flags = reader.u8("the flags")?;
    let zeros: [u8; 6] = reader.array("what is reserved")?;
    if reader.u64("the store id")? != store {
        return Err(KeysError::OtherStore);
    }
    if checksum(store, &[content]) != u64::from_le_bytes(*sum) {
        return Err(KeysError::Header);
    }
    if format != FORMAT {
        return Err(KeysError::NewerFormat { found: format });
    }
    if flags != 0 || zeros != [0; 6] {
        return Err(KeysError::NewerFeature { flags });
    }
    Ok(Zeroizing::new(reader.array::<KEY_BYTES>("the secret of the ids")?))
}

/// The store that a file of keys says it belongs to, whatever else is in it.
pub(crate) fn store_in(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(bytes);
    let is_ours = reader.array("the magic") == Ok(MAGIC);
    let _format_flags_and_zeros: [u8; 8] = reader.array("the format").ok()?;
    reader.u64("the store id").ok().filter(|_| is_ours)
}

/// The number, the stream and the key of a slot, if it is whole.
fn decode_slot(slot: &[u8], store: u64) -> Option<(u64, StreamNo, Secret)> {
    let (content, sum) = slot.split_last_chunk::<CHECKSUM_BYTES>()?;
    if slot.len() != SLOT_BYTES || checksum(store, &[content]) != u64::from_le_bytes(*sum) {
        return None;
    }
    let mut reader = Reader::new(content);
    let number = reader.u64("the key number").ok()?;
    let stream = StreamNo(reader.u64("the stream").ok()?);
    let secret = Zeroizing::new(reader.array("the key").ok()?);
    reader.rest().iter().all(|byte| *byte == 0).then_some((number, stream, secret))
}

impl std::fmt::Debug for Keys {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
