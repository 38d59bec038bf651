//! The engine's own journal files, read without the engine: how far one holds whole batches.
//!
//! A file is a row of batches, with zeros behind the last one. Numbers are little endian.
//!
//! | what | bytes |
//! |---|---|
//! | start | 01, number of items u32, sequence number u64 |
//! | item | 02, type u8 (0 a value, 1 and 2 its removal), compression u8 (0: none), keyspace u64, key length u16, value length u32, the same again, key, value |
//! | end | 03, xxh3-64 of the items u64, `FJL` 03 |
//!
//! The engine, when it opens, cuts off what it can't read at the end, and in the middle as well, and doesn't open at
//! all when a checksum is wrong. It takes a damaged length for what to allocate. So it never sees such a file: what
//! isn't whole is found here, and cut off or refused, before it opens.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use crate::journal::bytes::len_u64;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
/// The type of an item that stores a value.
const VALUE: u8 = 0;
const START_BYTES: usize = 1 + 4 + 8;
const ITEM_HEADER_BYTES: usize = 1 + 1 + 1 + 8 + 2 + 4 + 4;
const END_BYTES: usize = 1 + 8 + TRAILER.len();
const TRAILER: [u8; 4] = *b"FJL\x03";
/// The engine gives each of our keyspaces, and each engine has one, this number.
const KEYSPACE: u64 = 1;
/// Between two batches the engine uses up a few numbers for itself. A number that is this far ahead is damaged: no
/// checksum covers it. Nor does a whole file use up so many.
const SEQNO_STEP_MAX: u64 = 1 << 32;
const CHUNK: usize = 256 * 1024;
/// So many times its length at most is what lies behind a flaw gone through, to find whole batches in it.
const SEARCHES_MAX: u64 = 8;
/// So many batches behind a flaw at most are counted.
pub(super) const BEHIND_MAX: u64 = 2;

/// How far a journal file is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    /// Up to here it holds whole batches.
    pub(super) whole: u64,
    /// Behind this there are zeros only.
    pub(super) written: u64,
    /// How long it is.
    pub(super) len: u64,
    /// How many whole batches it begins with.
    pub(super) batches: u64,
    /// The number of the last of them, or what was given.
    pub(super) last: Option<u64>,
    /// What is wrong behind them.
    pub(super) flaw: Option<Flaw>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) reason: String,
    /// How many whole batches are behind it, and how many of them store something; from [`BEHIND_MAX`] on nobody counts.
    pub(super) behind: Behind,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) batches: u64,
    pub(super) storing: u64,
}

/// A whole batch.
struct Batch {
    end: u64,
    seqno: u64,
    /// Whether it stores something: another one removes rows only.
    is_storing: bool,
}

/// What is wrong with a batch.
enum Bad {
    Io(io::Error),
    Flaw(String),
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        Bad::Io(error)
    }
}

fn flaw<T>(reason: impl Into<String>) -> Result<T, Bad> {
    Err(Bad::Flaw(reason.into()))
}

/// Looks at each row that is written: its key and its value, or what is wrong with them.
pub(super) type Look<'a> = dyn Fn(&[u8], &[u8]) -> Result<(), String> + 'a;

/// Reads a journal file whose batches have higher numbers than `last`.
pub(super) fn scan(path: &Path, last: Option<u64>, look: &Look<'_>) -> io::Result<Scan> {
    let mut window = Window::open(path)?;
    let len = window.len;
    let mut scan = Scan { whole: 0, written: 0, len, batches: 0, last, flaw: None };
    let reason = loop {
        if scan.whole == len {
            break None;
        }
        match batch(&mut window, scan.whole, scan.last, look) {
            Ok(Batch { end, seqno, .. }) => {
                (scan.whole, scan.last) = (end, Some(seqno));
                scan.batches += 1;
            }
            Err(Bad::Io(error)) => return Err(error),
            Err(Bad::Flaw(reason)) => break Some(reason),
        }
    };
    scan.written = window.written(scan.whole)?;
    if let Some(reason) = reason.filter(|_| scan.written > scan.whole) {
        let behind = window.batches_in(scan.whole + 1, scan.written, scan.last)?;
        scan.flaw = Some(Flaw { reason, behind });
    }
    Ok(scan)
}

/// Where whole batches are in a journal file, also behind what isn't whole, and the number of the last of them. What lies
/// behind a flaw is searched for as long as that doesn't take too long.
pub(super) fn whole_batches(
    path: &Path,
    last: Option<u64>,
    look: &Look<'_>,
) -> io::Result<(Vec<std::ops::Range<u64>>, Option<u64>)> {
    let mut window = Window::open(path)?;
    let written = window.written(0)?;
    let mut budget = written.saturating_mul(SEARCHES_MAX).saturating_add(len_u64(CHUNK));
    let (mut found, mut last, mut at) = (Vec::<std::ops::Range<u64>>::new(), last, 0);
    while at < written && budget > 0 {
        let mut place = at;
        let begins = matches!(window.array::<1>(&mut place), Ok([START]));
        match if begins { batch(&mut window, at, last, look) } else { flaw("") } {
            Ok(Batch { end, seqno, .. }) => {
                match found.last_mut().filter(|before| before.end == at) {
                    Some(before) => before.end = end,
                    None => found.push(at..end),
                }
                (at, last) = (end, Some(seqno));
            }
            Err(Bad::Io(error)) => return Err(error),
            Err(Bad::Flaw(_)) => {
                // What was loaded anew was gone through.
                if begins && window.start > at {
                    budget = budget.saturating_sub(len_u64(window.bytes.len()));
                }
                at += 1;
            }
        }
    }
    Ok((found, last))
}

/// A batch that stores nothing but its number: it removes a row that isn't there.
pub(super) fn number_alone(seqno: u64) -> Vec<u8> {
    let key = [u8::MAX];
    let mut item = vec![ITEM, 1, 0];
    item.extend_from_slice(&KEYSPACE.to_le_bytes());
    item.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    item.extend_from_slice(&key);
    let mut sum = Xxh3::new();
    sum.update(&item);
    let mut batch = vec![START, 1, 0, 0, 0];
    batch.extend_from_slice(&seqno.to_le_bytes());
    batch.extend_from_slice(&item);
    batch.push(END);
    batch.extend_from_slice(&sum.digest().to_le_bytes());
    batch.extend_from_slice(&TRAILER);
    batch
}

/// Reads the batch at a place.
fn batch(window: &mut Window, at: u64, last: Option<u64>, look: &Look<'_>) -> Result<Batch, Bad> {
    let (mut place, mut is_storing) = (at, false);
    let start: [u8; START_BYTES] = window.array(&mut place)?;
    let [START, i0, i1, i2, i3, seqno @ ..] = start else { return flaw("a batch doesn't begin here") };
    let (items, seqno) = (u32::from_le_bytes([i0, i1, i2, i3]), u64::from_le_bytes(seqno));
    let is_next = match last {
        Some(last) => seqno > last && seqno - last < SEQNO_STEP_MAX,
        None => seqno < window.first_below,
    };
    if !is_next {
        return flaw(format!("its batch has number {seqno} behind {}", last.unwrap_or(0)));
    }
    let mut sum = Xxh3::new();
    for _ in 0..items {
        let header: [u8; ITEM_HEADER_BYTES] = window.array(&mut place)?;
        let (lens, keys) = item_lens(&header)?;
        sum.update(&header);
        let content = window.take(&mut place, lens)?;
        sum.update(content);
        let (key, value) = content.split_at(keys);
        if header[1] == VALUE {
            is_storing = true;
            look(key, value).map_err(Bad::Flaw)?;
        }
    }
    let end: [u8; END_BYTES] = window.array(&mut place)?;
    let [END, stored @ .., t0, t1, t2, t3] = end else { return flaw("a batch doesn't end with its last item") };
    if [t0, t1, t2, t3] != TRAILER {
        return flaw("the end of a batch is not written");
    }
    if sum.digest() != u64::from_le_bytes(stored) {
        return flaw("the checksum of a batch is wrong");
    }
    Ok(Batch { end: place, seqno, is_storing })
}

/// The length of what follows, and of the key in it.
fn item_lens(header: &[u8; ITEM_HEADER_BYTES]) -> Result<(usize, usize), Bad> {
    let [tag, kind, compression, rest @ ..] = *header;
    let [k0, k1, k2, k3, k4, k5, k6, k7, l0, l1, v0, v1, v2, v3, w0, w1, w2, w3] = rest;
    if tag != ITEM {
        return flaw("an item doesn't begin here");
    }
    if kind > 2 || compression != 0 {
        return flaw(format!("an item has type {kind} and compression {compression}"));
    }
    let keyspace = u64::from_le_bytes([k0, k1, k2, k3, k4, k5, k6, k7]);
    if keyspace != KEYSPACE {
        return flaw(format!("an item is of keyspace {keyspace}"));
    }
    let key = usize::from(u16::from_le_bytes([l0, l1]));
    let value = u32::from_le_bytes([v0, v1, v2, v3]);
    if key == 0 || value != u32::from_le_bytes([w0, w1, w2, w3]) {
        return flaw("the lengths of an item are wrong");
    }
    let value = usize::try_from(value).map_err(|_| Bad::Flaw("an item is too long".into()))?;
    Ok((key.saturating_add(value), key))
}

/// A part of a file in memory.
struct Window {
    file: File,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
    /// The first batch has a number below this, where no file is before this one any more.
    first_below: u64,
}

impl Window {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let files_before = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()).unwrap_or(0);
        let first_below = files_before.saturating_add(1).saturating_mul(SEQNO_STEP_MAX);
        Ok(Self { file, len, start: 0, bytes: Vec::new(), first_below })
    }

    fn array<const N: usize>(&mut self, place: &mut u64) -> Result<[u8; N], Bad> {
        let bytes = self.take(place, N)?;
        bytes.try_into().map_err(|_| Bad::Flaw("it is cut off".into()))
    }

    /// The next bytes, and moves on behind them. No more is allocated than there is in the file.
    fn take(&mut self, place: &mut u64, len: usize) -> Result<&[u8], Bad> {
        let at = *place;
        let end = at.checked_add(len_u64(len)).filter(|end| *end <= self.len);
        let Some(end) = end else { return flaw("it is cut off in a batch") };
        if at < self.start || end > self.start + len_u64(self.bytes.len()) {
            self.load(at, len.max(CHUNK))?;
        }
        *place = end;
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        match self.bytes.get(from..from.saturating_add(len)) {
            Some(bytes) => Ok(bytes),
            None => flaw("it is cut off in a batch"),
        }
    }

    fn load(&mut self, at: u64, len: usize) -> io::Result<()> {
        self.start = at;
        self.bytes.clear();
        self.file.seek(SeekFrom::Start(at))?;
        (&self.file).take(len_u64(len)).read_to_end(&mut self.bytes)?;
        Ok(())
    }

    /// The end of what isn't zero behind a place.
    fn written(&mut self, from: u64) -> io::Result<u64> {
        static ZEROS: [u8; CHUNK] = [0; CHUNK];
        let (mut at, mut written) = (from, from);
        while at < self.len {
            self.load(at, CHUNK)?;
            // The whole at once is compared fast.
            if Some(&self.bytes[..]) != ZEROS.get(..self.bytes.len())
                && let Some(last) = self.bytes.iter().rposition(|byte| *byte != 0)
            {
                written = at + len_u64(last) + 1;
            }
            if self.bytes.is_empty() {
                break;
            }
            at += len_u64(self.bytes.len());
        }
        Ok(written)
    }

    /// The whole batches in a part of the file. There are said to be [`BEHIND_MAX`] when it would take too long to tell.
    fn batches_in(&mut self, from: u64, to: u64, mut last: Option<u64>) -> io::Result<Behind> {
        let mut budget = (to - from).saturating_mul(SEARCHES_MAX).saturating_add(len_u64(CHUNK));
        let (mut at, mut behind) = (from, Behind::default());
        while at < to && behind.storing < BEHIND_MAX {
            let mut place = at;
            let looks_so = self.array::<{ START_BYTES + 3 }>(&mut place);
            if !matches!(looks_so, Ok([START, .., ITEM, 0..=2, 0])) {
                at += 1;
                continue;
            }
            match batch(self, at, last, &|_, _| Ok(())) {
                Ok(batch) => {
                    behind.batches += 1;
                    behind.storing += u64::from(batch.is_storing);
                    (at, last) = (batch.end, Some(batch.seqno));
                    continue;
                }
                Err(Bad::Io(error)) => return Err(error),
                Err(Bad::Flaw(_)) => at += 1,
            }
            // What was loaded anew was gone through.
            if self.start >= at {
                budget = budget.saturating_sub(len_u64(self.bytes.len()));
            }
            if budget == 0 {
                return Ok(Behind { batches: BEHIND_MAX, storing: BEHIND_MAX });
            }
        }
        Ok(behind)
    }
}
