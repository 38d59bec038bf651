//! The engine's list of tables, read without the engine.
//!
//! In the directory of each keyspace, `current` names the manifest that counts: the number of its version u64, the
//! xxh3-128 of the whole file `v<number>`, and a zero. The engine writes that checksum and never looks at it. Manifests
//! and tables end with a table of contents: `TOC!`, the number of sections u32, for each one its place u64, its length
//! u64, the length of its name u16 and the name; behind it `SFA!`, 01, 00, the xxh3-128 of the table of contents, its
//! place u64 and its length u64. The section `tables` of a manifest has the number of levels u8, for each one the number
//! of runs u8, for each one the number of tables u32, and for each table its number u64, 00, the xxh3-128 of its file,
//! and a sequence number u64. Numbers are little endian.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::journal::bytes::{Malformed, Reader, len_u64};

pub(super) const CURRENT_BYTES: usize = 8 + 16 + 1;
/// No manifest is longer: it would have more than a million tables.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;
const TRAILER_BYTES: usize = 4 + 1 + 1 + 16 + 8 + 8;
/// Files of the engine have about ten sections.
const CONTENTS_BYTES_MAX: u64 = 64 * 1024;
/// The sections of a table that are made of blocks.
const BLOCKS: [&[u8]; 6] = [b"data", b"tli", b"index", b"filter", b"filter_tli", b"meta"];
const BLOCK_HEADER_BYTES: usize = 4 + 1 + 16 + 4 + 4 + 4;
const CHUNK: usize = 256 * 1024;

/// Why a file can't be used.
pub(super) enum Unfit {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Unfit::Io(error)
    }
}

impl From<Malformed> for Unfit {
    fn from(error: Malformed) -> Self {
        Unfit::Damaged(error.to_string())
    }
}

fn damaged<T>(reason: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit::Damaged(reason.into()))
}

/// What `current` says.
pub(super) struct Current {
    pub(super) version: u64,
    checksum: u128,
}

/// A table that a manifest lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) number: u64,
    checksum: u128,
}

impl Current {
    pub(super) fn read(path: &Path) -> Result<Self, Unfit> {
        let bytes = read(path, len_u64(CURRENT_BYTES))?;
        let Ok(bytes) = <[u8; CURRENT_BYTES]>::try_from(bytes) else {
            return damaged(format!("it isn't {CURRENT_BYTES} bytes long"));
        };
        let mut reader = Reader::new(&bytes);
        let version = reader.u64("the number of a version")?;
        let checksum = u128::from_le_bytes(reader.array("a checksum")?);
        match reader.u8("the kind of a checksum")? {
            0 => Ok(Self { version, checksum }),
            kind => damaged(format!("its checksum is of kind {kind}")),
        }
    }

    /// The tables that its manifest lists.
    pub(super) fn tables(&self, manifest: &Path) -> Result<Vec<Table>, Unfit> {
        let bytes = read(manifest, MANIFEST_BYTES_MAX)?;
        if xxh3_128(&bytes) != self.checksum {
            return damaged("it is not the one that `current` names: its checksum is another");
        }
        let mut file = io::Cursor::new(&bytes);
        let sections = sections(&mut file, len_u64(bytes.len()))?;
        let section = sections.iter().find(|section| section.name == b"tables");
        let Some(section) = section.and_then(|section| bytes.get(section.range()?)) else {
            return damaged("it has no list of tables");
        };
        let mut reader = Reader::new(section);
        let mut tables = Vec::new();
        for _level in 0..reader.u8("the number of levels")? {
            for _run in 0..reader.u8("the number of runs")? {
                for _table in 0..u32::from_le_bytes(reader.array("the number of tables")?) {
                    let number = reader.u64("the number of a table")?;
                    let _kind = reader.u8("the kind of a checksum")?;
                    let checksum = u128::from_le_bytes(reader.array("a checksum")?);
                    let _seqno = reader.u64("a sequence number")?;
                    tables.push(Table { number, checksum });
                }
            }
        }
        reader.end("the list of tables")?;
        Ok(tables)
    }
}

impl Table {
    /// Says whether the table of contents, from which the engine takes what it reads, is whole; gives the file's length.
    pub(super) fn check_contents(path: &Path) -> Result<u64, Unfit> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        let sections = sections(&mut file, len)?;
        for name in [&b"tli"[..], b"meta"] {
            if !sections.iter().any(|section| section.name == name) {
                return damaged("a section is missing");
            }
        }
        Ok(len)
    }

    /// Says whether it is the file that its manifest lists, by reading all of it. A damaged block is not said here: who
    /// reads it is told, and nobody else.
    pub(super) fn check(&self, path: &Path) -> Result<(), Unfit> {
        let mut file = File::open(path)?;
        if self.is_listed(&mut file)? {
            return Ok(());
        }
        if blocks_are_whole(&mut file)? {
            return damaged("it is not the table that its manifest lists, but another one");
        }
        crate::log::error!(path = %path.display(), "a table of the engine is damaged: some of what it holds can't be read");
        Ok(())
    }
}

impl Table {
    /// Says whether all of it is as it was written.
    pub(super) fn check_all(&self, path: &Path) -> Result<(), Unfit> {
        match self.is_listed(&mut File::open(path)?)? {
            true => Ok(()),
            false => damaged("the checksum of the table is wrong"),
        }
    }

    /// Whether a file is the one that the manifest lists.
    fn is_listed(&self, file: &mut File) -> Result<bool, Unfit> {
        let (mut sum, mut chunk) = (Xxh3::new(), vec![0; CHUNK]);
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(sum.digest128() == self.checksum),
                len => sum.update(chunk.get(..len).unwrap_or_default()),
            }
        }
    }
}

/// Whether each block of a table has the checksum that it should have. Before a block are `LSM` 03, its kind u8, the
/// xxh3-128 of its content, its length u32, its length when it is expanded u32, and the first four bytes of the xxh3-128
/// of these.
fn blocks_are_whole(file: &mut File) -> Result<bool, Unfit> {
    let len = file.metadata()?.len();
    let mut sections = sections(file, len)?;
    sections.retain(|section| BLOCKS.iter().any(|name| *name == section.name));
    let mut file = io::BufReader::with_capacity(CHUNK, file);
    for section in sections {
        if !section_is_whole(&mut file, &section)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn section_is_whole(file: &mut (impl Read + Seek), section: &Section) -> Result<bool, Unfit> {
    let (mut at, end) = (section.at, section.at.saturating_add(section.len));
    file.seek(SeekFrom::Start(at))?;
    let mut content = Vec::new();
    while at < end {
        if end - at < len_u64(BLOCK_HEADER_BYTES) {
            return Ok(false);
        }
        let mut header = [0; BLOCK_HEADER_BYTES];
        file.read_exact(&mut header)?;
        let mut reader = Reader::new(&header);
        let (magic, _kind) = (reader.array("the magic")?, reader.u8("the kind")?);
        let sum = u128::from_le_bytes(reader.array("a checksum")?);
        let content_len = u64::from(u32::from_le_bytes(reader.array("the length")?));
        let _expanded: [u8; 4] = reader.array("the length")?;
        let header_sum: [u8; 4] = reader.array("a checksum")?;
        let found_sum = xxh3_128(&header[..BLOCK_HEADER_BYTES - 4]).to_le_bytes();
        at += len_u64(BLOCK_HEADER_BYTES) + content_len;
        if magic != *b"LSM\x03" || !found_sum.starts_with(&header_sum) || at > end {
            return Ok(false);
        }
        content.clear();
        file.by_ref().take(content_len).read_to_end(&mut content)?;
        if xxh3_128(&content) != sum {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A whole file, if it isn't longer than it may be.
fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Unfit> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    if len > bytes_max {
        return damaged(format!("it has {len} bytes and may have {bytes_max}"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

struct Section {
    name: Vec<u8>,
    at: u64,
    len: u64,
}

impl Section {
    fn range(&self) -> Option<std::ops::Range<usize>> {
        let at = usize::try_from(self.at).ok()?;
        Some(at..at.checked_add(usize::try_from(self.len).ok()?)?)
    }
}

/// The table of contents of a file, if it is whole.
fn sections(file: &mut (impl Read + Seek), len: u64) -> Result<Vec<Section>, Unfit> {
    let Some(trailer_at) = len.checked_sub(len_u64(TRAILER_BYTES)) else { return damaged("it is cut off") };
    let mut trailer = [0; TRAILER_BYTES];
    file.seek(SeekFrom::Start(trailer_at))?;
    file.read_exact(&mut trailer)?;
    let mut reader = Reader::new(&trailer);
    if reader.array("the trailer")? != *b"SFA!\x01\0" {
        return damaged("it doesn't end as such a file ends");
    }
    let checksum = u128::from_le_bytes(reader.array("a checksum")?);
    let at = reader.u64("the place of the contents")?;
    let contents_len = trailer_at.checked_sub(at).filter(|len| *len <= CONTENTS_BYTES_MAX);
    let Some(contents_len) = contents_len else { return damaged("its table of contents is elsewhere") };
    file.seek(SeekFrom::Start(at))?;
    let mut contents = Vec::new();
    file.take(contents_len).read_to_end(&mut contents)?;
    if xxh3_128(&contents) != checksum {
        return damaged("the checksum of its table of contents is wrong");
    }
    let mut reader = Reader::new(&contents);
    if reader.array("the contents")? != *b"TOC!" {
        return damaged("its table of contents doesn't begin as one does");
    }
    let mut sections = Vec::new();
    for _ in 0..u32::from_le_bytes(reader.array("the number of sections")?) {
        let (place, len) = (reader.u64("the place of a section")?, reader.u64("the length of a section")?);
        let name_len = u16::from_le_bytes(reader.array("the length of a name")?);
        let name = reader.take(usize::from(name_len), "the name of a section")?.to_vec();
        // The engine allocates what a section says.
        if place.checked_add(len).is_none_or(|end| end > at) {
            return damaged("a section lies outside of it");
        }
        sections.push(Section { name, at: place, len });
    }
    Ok(sections)
}
