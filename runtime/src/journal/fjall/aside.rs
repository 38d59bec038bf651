//! What an engine's directory was like before it was opened, set aside until it is known that nothing is lost.
//!
//! Opening changes the engine's files: it cuts off what is torn, moves rows into new tables, and deletes what it doesn't
//! need any more. If it turns out then that something is missing, everything is put back, so that a journal that is
//! refused is what it was.
//!
//! Beside the engine's directory, the directory `fjall.aside` has another name for each of its files, which costs
//! no space: the engine writes no file again, but for its journal files, of which it cuts off the end. Of these the
//! length is noted, and what isn't zero behind the last whole batch is copied. The file `list` says what there is:
//!
//! | line | meaning |
//! |---|---|
//! | `epoch <n>` | the head's, when it was set aside: once the head has another one, the opening has succeeded |
//! | `dir <path>` | a directory |
//! | `file <n> <path>` | a file, which is `<n>` here |
//! | `journal <n> <length> <whole> <path>` | a journal file; what it has behind its last whole batch is `<n>.tail` here, if there is something |
//! | `sum <n>` | the xxh3-64 of all lines before |
//!
//! Without a whole list it is nothing: the opening ended before the engine was touched.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::guard::{Checked, Refusal};
use crate::disk::{sync_dir, sync_tree};
use crate::journal::bytes::checksum;

const LIST: &str = "list";
const LIST_BYTES_MAX: u64 = 64 * 1024 * 1024;
const DIRS_DEEP_MAX: usize = 4;

/// Where the engine's files are set aside.
pub(super) struct Aside {
    engine: PathBuf,
    path: PathBuf,
}

enum Entry {
    Dir { path: PathBuf },
    File { number: usize, path: PathBuf },
    Journal { number: usize, len: u64, whole: u64, path: PathBuf },
}

impl Aside {
    pub(super) fn new(engine: &Path) -> Self {
        let mut path = engine.as_os_str().to_owned();
        path.push(".aside");
        Self { engine: engine.to_owned(), path: path.into() }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts back what an opening has set aside that ended in between. Says whether there was something.
    pub(super) fn settle(&self, epoch: u64) -> Result<bool, Refusal> {
        match fs::symlink_metadata(&self.path) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Refusal::io("look at", &self.path)(error)),
        }
        let is_pending = match self.entries(epoch) {
            Some(entries) => self.restore(&entries).map(|()| true).map_err(Refusal::io("put back", &self.engine))?,
            None => false,
        };
        self.remove().map_err(Refusal::io("remove", &self.path))?;
        Ok(is_pending)
    }

    /// Sets everything aside. If this fails, the engine's directory is as it was.
    pub(super) fn take(&self, epoch: u64, found: &Checked) -> Result<(), Refusal> {
        self.link_all(epoch, found).map_err(|error| {
            // Best effort: the next opening removes it too.
            let _result = self.remove();
            Refusal::io("set aside the engine's files in", &self.path)(error)
        })
    }

    /// Puts everything back. The engine must be closed.
    pub(super) fn put_back(&self, epoch: u64) -> io::Result<()> {
        match self.entries(epoch) {
            Some(entries) => {
                self.restore(&entries)?;
                self.remove()
            }
            None => Err(io::Error::new(ErrorKind::NotFound, "what was set aside is gone")),
        }
    }

    /// Nothing of it is needed any more.
    pub(super) fn remove(&self) -> io::Result<()> {
        // ORDER: first what makes it count.
        for removed in [fs::remove_file(self.path.join(LIST)), fs::remove_dir_all(&self.path)] {
            match removed {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn link_all(&self, epoch: u64, found: &Checked) -> io::Result<()> {
        fs::create_dir(&self.path)?;
        let mut list = format!("epoch {epoch}\n");
        let mut number = 0;
        self.link_dir(&self.engine, found, &mut number, &mut list, DIRS_DEEP_MAX)?;
        let sum = checksum(0, &[list.as_bytes()]);
        // Writing to a text can't fail.
        let _ = writeln!(list, "sum {sum}");
        let is_torn = found.torn().is_some();
        if is_torn {
            // Power loss must not take what is about to be cut off.
            sync_tree(&self.path)?;
        }
        let mut file = File::create_new(self.path.join(LIST))?;
        file.write_all(list.as_bytes())?;
        if is_torn {
            file.sync_all()?;
            sync_dir(&self.path)?;
            self.path.parent().map_or(Ok(()), sync_dir)?;
        }
        Ok(())
    }

    fn link_dir(
        &self,
        dir: &Path,
        found: &Checked,
        number: &mut usize,
        list: &mut String,
        deep_max: usize,
    ) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            // The guard has looked at the names in those directories whose files the engine may delete.
            let Some(name) = self.listed_name(&path) else { continue };
            if kind.is_dir() {
                if deep_max > 0 {
                    let _ = writeln!(list, "dir {name}");
                    self.link_dir(&path, found, number, list, deep_max - 1)?;
                }
                continue;
            }
            let here = self.path.join(number.to_string());
            let scan = found.journals.iter().find(|journal| journal.path == path).map(|journal| &journal.scan);
            let written = scan.map(|scan| scan.written);
            if !link(&path, &here, written)? {
                continue;
            }
            match scan {
                None => {
                    let _ = writeln!(list, "file {number} {name}");
                }
                Some(scan) => {
                    let _ = writeln!(list, "journal {number} {} {} {name}", scan.len, scan.whole);
                    if scan.written > scan.whole {
                        copy_part(&path, scan.whole..scan.written, &self.tail(*number))?;
                    }
                }
            }
            *number += 1;
        }
        Ok(())
    }

    fn tail(&self, number: usize) -> PathBuf {
        self.path.join(format!("{number}.tail"))
    }

    fn listed_name<'a>(&self, path: &'a Path) -> Option<&'a str> {
        let name = path.strip_prefix(&self.engine).ok()?.to_str()?;
        (!name.contains('\n')).then_some(name)
    }

    /// What is set aside, if all of it is there, and belongs to this epoch.
    fn entries(&self, epoch: u64) -> Option<Vec<Entry>> {
        let mut list = String::new();
        File::open(self.path.join(LIST)).ok()?.take(LIST_BYTES_MAX).read_to_string(&mut list).ok()?;
        let end = list.strip_suffix('\n')?.rfind('\n')? + 1;
        let (lines, sum) = list.split_at(end);
        if sum.trim_end().strip_prefix("sum ")?.parse() != Ok(checksum(0, &[lines.as_bytes()])) {
            return None;
        }
        let mut lines = lines.lines();
        if lines.next()?.strip_prefix("epoch ")?.parse() != Ok(epoch) {
            return None;
        }
        lines.map(|line| self.entry(line)).collect()
    }

    fn entry(&self, line: &str) -> Option<Entry> {
        let (kind, rest) = line.split_once(' ')?;
        if kind == "dir" {
            return Some(Entry::Dir { path: self.engine.join(rest) });
        }
        let (number, rest) = rest.split_once(' ')?;
        let number = number.parse().ok()?;
        if !self.path.join(format!("{number}")).exists() {
            return None;
        }
        match kind {
            "file" => Some(Entry::File { number, path: self.engine.join(rest) }),
            "journal" => {
                let (len, rest) = rest.split_once(' ')?;
                let (whole, rest) = rest.split_once(' ')?;
                let (len, whole) = (len.parse().ok()?, whole.parse().ok()?);
                Some(Entry::Journal { number, len, whole, path: self.engine.join(rest) })
            }
            _ => None,
        }
    }

    fn restore(&self, entries: &[Entry]) -> io::Result<()> {
        let mut listed = Vec::with_capacity(entries.len());
        for entry in entries {
            let (Entry::Dir { path } | Entry::File { path, .. } | Entry::Journal { path, .. }) = entry;
            match entry {
                Entry::Dir { .. } => fs::create_dir_all(path)?,
                Entry::File { number, .. } => self.place(*number, path)?,
                Entry::Journal { number, len, whole, .. } => {
                    self.place(*number, path)?;
                    self.lengthen(*number, path, *len, *whole)?;
                }
            }
            listed.push(path.as_path());
        }
        listed.sort();
        remove_others(&self.engine, &listed, DIRS_DEEP_MAX)?;
        for path in listed.iter().filter(|path| path.is_dir()) {
            sync_dir(path)?;
        }
        sync_dir(&self.engine)
    }

    /// Lays the file that was set aside at its place again.
    fn place(&self, number: usize, path: &Path) -> io::Result<()> {
        let here = self.path.join(number.to_string());
        if is_same(&here, path) {
            return Ok(());
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::hard_link(&here, path).or_else(|_| {
            fs::copy(&here, path)?;
            File::open(path)?.sync_all()
        })
    }

    fn lengthen(&self, number: usize, path: &Path, len: u64, whole: u64) -> io::Result<()> {
        let mut file = File::options().read(true).write(true).open(path)?;
        let tail = self.tail(number);
        if file.metadata()?.len() == len && !tail.exists() {
            return Ok(());
        }
        file.set_len(len)?;
        if tail.exists() {
            file.seek(SeekFrom::Start(whole))?;
            io::copy(&mut File::open(tail)?, &mut file)?;
        }
        file.sync_all()
    }
}

/// Whether both names are of one file.
fn is_same(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) else { return false };
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    }
    #[cfg(not(unix))]
    {
        let _ = (one, other);
        false
    }
}

/// Removes what has come since. Names that can't be in a list are left alone.
fn remove_others(dir: &Path, listed: &[&Path], deep_max: usize) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (path, is_dir) = (entry.path(), entry.file_type()?.is_dir());
        let is_listed = listed.binary_search(&path.as_path()).is_ok();
        if is_listed && is_dir && deep_max > 0 {
            remove_others(&path, listed, deep_max - 1)?;
        } else if !is_listed && path.to_str().is_some_and(|path| !path.contains('\n')) {
            if is_dir { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
        }
    }
    Ok(())
}

fn copy_part(from: &Path, part: std::ops::Range<u64>, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    from.seek(SeekFrom::Start(part.start))?;
    let mut to = File::create_new(to)?;
    io::copy(&mut from.take(part.end - part.start), &mut to)?;
    // A copy that isn't whole must not be put back: power loss may leave the list and not the copies.
    to.sync_all()
}

/// Gives a file another name, or copies it where a file has one name only. `false`: it is too long to be copied.
fn link(from: &Path, to: &Path, written: Option<u64>) -> io::Result<bool> {
    let is_table = from.parent().is_some_and(|parent| parent.ends_with("tables"));
    match fs::hard_link(from, to) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::NotFound) => Err(error),
        // Nothing is lost with a table that the engine replaces: what it held is in the new one.
        Err(_) if is_table => Ok(false),
        Err(_) => {
            let len = fs::metadata(from)?.len();
            copy_part(from, 0..written.unwrap_or(len), to)?;
            Ok(true)
        }
    }
}
