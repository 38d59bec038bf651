//! The check of an engine's files before the engine opens them.
//!
//! Where a file is damaged or missing, the engine may open an older tree, delete what it doesn't find listed, or ask for
//! more memory than there is, and end the process. So it opens only a directory in which each file that it goes by is
//! there and whole. What the files hold beyond that has checksums, which the engine checks when it reads.
//!
//! Nothing is written here.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::manifest::{Current, Table, Unfit};
use super::torn::{self, Behind, Look, Scan};

const VERSION: &str = "version";
const VERSION_BYTES: [u8; 4] = *b"FJL\x03";
const KEYSPACES: &str = "keyspaces";
/// The engine's own keyspace, in which it finds the others, and ours.
const KEYSPACE_NAMES: [&str; 2] = ["0", "1"];
const TABLES: &str = "tables";
/// What the system's file browsers leave everywhere; the engine passes over it.
const LITTER: [&str; 2] = [".DS_Store", "._"];
/// So many bytes of tables are read as a whole, the newest first. The rest is checked when it is read.
const TABLE_BYTES_CHECKED: u64 = 32 * 1024 * 1024;

/// Why an engine isn't opened.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A file is damaged, or missing.
    Damaged { path: PathBuf, reason: String },
    /// The system refused something.
    Io { tried: &'static str, path: PathBuf, error: io::Error },
}

impl Refusal {
    pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Refusal::Damaged { path: path.to_owned(), reason: reason.into() }
    }

    pub(super) fn io(tried: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Refusal::Io { tried, path: path.clone(), error }
    }

    fn unfit(path: &Path) -> impl Fn(Unfit) -> Self {
        let path = path.to_owned();
        move |unfit| match unfit {
            Unfit::Damaged(reason) => Refusal::damaged(&path, reason),
            Unfit::Io(error) => match error.kind() {
                ErrorKind::NotFound => Refusal::damaged(&path, "it is missing"),
                // It is shorter than it was a moment ago.
                ErrorKind::UnexpectedEof => Refusal::damaged(&path, "it is cut off"),
                _ => Refusal::io("read", &path)(error),
            },
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Damaged { path, reason } => write!(f, "`{}`: {reason}", path.display()),
            Refusal::Io { tried, path, error } => write!(f, "can't {tried} `{}`: {error}", path.display()),
        }
    }
}

/// A journal file of the engine.
#[derive(Debug)]
pub(super) struct JournalFile {
    number: u64,
    pub(super) path: PathBuf,
    pub(super) scan: Scan,
}

impl JournalFile {
    /// The whole batches behind what isn't whole.
    pub(super) fn behind_flaw(&self) -> Behind {
        self.scan.flaw.as_ref().map(|flaw| flaw.behind).unwrap_or_default()
    }
}

/// What was found.
#[derive(Debug)]
pub(super) struct Checked {
    /// In order; the last one is written to.
    pub(super) journals: Vec<JournalFile>,
}

impl Checked {
    /// The journal file whose end is torn, if one is.
    pub(super) fn torn(&self) -> Option<&JournalFile> {
        self.journals.iter().find(|journal| journal.scan.flaw.is_some())
    }
}

/// Checks the engine in a directory. Each row that its journal files hold is shown to `look`.
///
/// If its last write has failed, the file in which that was may have been left for another one since.
pub(super) fn check(path: &Path, has_failed: bool, look: &Look<'_>) -> Result<Checked, Refusal> {
    let version = path.join(VERSION);
    let found = fs::read(&version).map_err(|error| Refusal::unfit(&version)(error.into()))?;
    if found != VERSION_BYTES {
        return Err(Refusal::damaged(&version, "it is not that of an engine that this version knows"));
    }
    let mut budget = TABLE_BYTES_CHECKED;
    check_keyspaces(&path.join(KEYSPACES), &mut budget)?;
    Ok(Checked { journals: journals(path, has_failed, look)? })
}

/// All that is wrong with an engine's files, every table read as a whole, and whether the engine may be opened in spite of
/// it: where it finds its tables, at least. What is wrong with journal files isn't told here.
pub(super) fn flaws(path: &Path) -> Result<(Vec<(PathBuf, String)>, bool), Refusal> {
    let (mut flaws, mut may_open) = (Vec::new(), true);
    let mut noted = |done: Result<(), Refusal>, is_needed: bool| match done {
        Ok(()) => Ok(()),
        Err(Refusal::Damaged { path, reason }) => {
            flaws.push((path, reason));
            may_open &= !is_needed;
            Ok(())
        }
        Err(error @ Refusal::Io { .. }) => Err(error),
    };
    let version = path.join(VERSION);
    let found = fs::read(&version).map_err(|error| Refusal::unfit(&version)(error.into()));
    let is_known = found.and_then(|found| match found == VERSION_BYTES {
        true => Ok(()),
        false => Err(Refusal::damaged(&version, "it is not that of an engine that this version knows")),
    });
    noted(is_known, true)?;
    for name in KEYSPACE_NAMES {
        let keyspace = path.join(KEYSPACES).join(name);
        let current_path = keyspace.join("current");
        let listed = Current::read(&current_path).map_err(Refusal::unfit(&current_path)).and_then(|current| {
            let manifest = keyspace.join(format!("v{}", current.version));
            current.tables(&manifest).map_err(Refusal::unfit(&manifest))
        });
        let tables = match listed {
            Ok(tables) => tables,
            Err(error) => {
                noted(Err(error), true)?;
                continue;
            }
        };
        for table in &tables {
            let file = keyspace.join(TABLES).join(table.number.to_string());
            match Table::check_contents(&file).map_err(Refusal::unfit(&file)) {
                Ok(_) => noted(table.check_all(&file).map_err(Refusal::unfit(&file)), false)?,
                Err(error) => noted(Err(error), true)?,
            }
        }
    }
    Ok((flaws, may_open))
}

/// The numbers and paths of the journal files in a directory, in order.
pub(super) fn journal_files(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        files.extend(name.strip_suffix(".jnl").and_then(number).map(|number| (number, path.clone())));
    }
    files.sort();
    Ok(files)
}

/// The names in a directory, and which of them are directories.
fn names(path: &Path) -> Result<Vec<(String, bool)>, Refusal> {
    let entries = fs::read_dir(path).map_err(|error| Refusal::unfit(path)(error.into()))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Refusal::io("read the directory", path))?;
        let is_dir = entry.file_type().map_err(Refusal::io("look at", &entry.path()))?.is_dir();
        let name = entry.file_name().into_string();
        let name = name.map_err(|name| Refusal::damaged(&path.join(name), "the engine gives no such names"))?;
        names.push((name, is_dir));
    }
    names.sort();
    Ok(names)
}

/// The number in a name, if it is written as the engine writes it.
fn number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| number.to_string() == name)
}

fn check_keyspaces(path: &Path, budget: &mut u64) -> Result<(), Refusal> {
    for (name, is_dir) in names(path)? {
        // The engine deletes a keyspace that it doesn't know.
        if is_dir && !KEYSPACE_NAMES.contains(&name.as_str()) {
            return Err(Refusal::damaged(&path.join(name), "the engine has no such keyspace"));
        }
    }
    for name in KEYSPACE_NAMES {
        let tables = check_keyspace(&path.join(name), budget)?;
        if tables == 0 && name == KEYSPACE_NAMES[0] {
            return Err(Refusal::damaged(&path.join(name), "it names no keyspaces"));
        }
    }
    Ok(())
}

/// Says how many tables there are.
fn check_keyspace(path: &Path, budget: &mut u64) -> Result<usize, Refusal> {
    let current_path = path.join("current");
    let current = Current::read(&current_path).map_err(Refusal::unfit(&current_path))?;
    let manifest = path.join(format!("v{}", current.version));
    let mut tables = current.tables(&manifest).map_err(Refusal::unfit(&manifest))?;
    tables.sort_by_key(|table| std::cmp::Reverse(table.number));
    let folder = path.join(TABLES);
    for table in &tables {
        let file = folder.join(table.number.to_string());
        let len = Table::check_contents(&file).map_err(Refusal::unfit(&file))?;
        if let Some(rest) = budget.checked_sub(len) {
            *budget = rest;
            table.check(&file).map_err(Refusal::unfit(&file))?;
        }
    }
    if !folder.exists() && tables.is_empty() {
        return Ok(0);
    }
    for (name, is_dir) in names(&folder)? {
        let is_litter = LITTER.iter().any(|litter| name.starts_with(litter));
        if is_dir || (number(&name).is_none() && !is_litter) {
            return Err(Refusal::damaged(&folder.join(name), "it is not a table"));
        }
    }
    Ok(tables.len())
}

fn journals(path: &Path, has_failed: bool, look: &Look<'_>) -> Result<Vec<JournalFile>, Refusal> {
    let mut found = Vec::new();
    for (name, is_dir) in names(path)? {
        let Some((stem, extension)) = name.rsplit_once('.') else { continue };
        if !extension.eq_ignore_ascii_case("jnl") {
            continue;
        }
        let path = path.join(&name);
        match number(stem).filter(|_| extension == "jnl" && !is_dir) {
            Some(number) => found.push((number, path)),
            None => return Err(Refusal::damaged(&path, "it is not a journal file")),
        }
    }
    found.sort();
    let mut journals: Vec<JournalFile> = Vec::with_capacity(found.len());
    for (number, file) in found {
        let before = journals.last();
        if let Some(before) = before {
            if before.number + 1 != number {
                let missing = path.join(format!("{}.jnl", before.number + 1));
                return Err(Refusal::damaged(&missing, "it is missing"));
            }
            // Only the last one is written to: the others were whole, and synced, when the next one was begun. But behind
            // a write that has failed, the engine may still begin one, in which it writes nothing.
            if let Some(flaw) = before.scan.flaw.as_ref().filter(|flaw| !has_failed || flaw.behind.batches > 0) {
                let reason = format!("from byte {} on, {}", before.scan.whole, flaw.reason);
                return Err(Refusal::damaged(&before.path, reason));
            }
        }
        let last = before.and_then(|before| before.scan.last);
        let scan = torn::scan(&file, last, look).map_err(Refusal::io("read", &file))?;
        if let Some(torn) = journals.iter().find(|journal| journal.scan.flaw.is_some())
            && scan.written > 0
        {
            return Err(Refusal::damaged(&torn.path, format!("from byte {} on it isn't whole", torn.scan.whole)));
        }
        journals.push(JournalFile { number, path: file, scan });
    }
    if journals.is_empty() {
        return Err(Refusal::damaged(path, "it has no journal file"));
    }
    Ok(journals)
}
