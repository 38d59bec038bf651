//! A directory in memory, to make the same one again and again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A new directory for a campaign: in memory where the system has a place for that, since a killed process and a flipped
/// bit need no disk. Dropping it removes it.
///
/// # Errors
///
/// If it can't be made.
pub fn work_dir() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(directory) = tempfile::tempdir_in(memory)
    {
        return Ok(directory);
    }
    tempfile::tempdir()
}

/// The files of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    directories: Vec<PathBuf>,
    files: Vec<StoredFile>,
    /// Other names of some of the files, behind the first.
    links: Vec<(PathBuf, PathBuf)>,
}

/// One file of an [`Image`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Where it is, from the directory on.
    pub path: PathBuf,
    /// What was written: the zeros behind it are a hole.
    pub bytes: Vec<u8>,
    /// How long it is with them.
    pub len: u64,
}

impl StoredFile {
    /// A file with these bytes, and zeros behind them.
    pub(super) fn new(path: PathBuf, mut bytes: Vec<u8>, len: usize) -> Self {
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        Self { path, bytes, len: u64::try_from(len).unwrap_or(u64::MAX) }
    }

    /// Writes it anew.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn put(&self, directory: &Path) -> io::Result<()> {
        let mut file = File::create(directory.join(&self.path))?;
        file.write_all(&self.bytes)?;
        file.set_len(self.len)
    }

    /// What kind of file it is, for a table of what was found: the engine's files are told apart by the engine they belong
    /// to and by what they are.
    pub fn kind(&self) -> String {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let in_tables = self.path.parent().is_some_and(|parent| parent.ends_with("tables"));
        let is_numbered = name.strip_prefix('v').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        let what = match name.rsplit_once('.') {
            Some((_, kind)) => format!("*.{kind}"),
            None if in_tables => "table".to_owned(),
            None if is_numbered && !name.ends_with("version") => "manifest".to_owned(),
            None => name,
        };
        let engine = self.path.components().find_map(|part| match part.as_os_str().to_str() {
            Some("fjall") => Some("journal"),
            Some("snapshots") => Some("snapshots"),
            _ => None,
        });
        engine.map_or_else(|| what.clone(), |engine| format!("{engine}: {what}"))
    }
}

impl Image {
    /// Reads a directory.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn take(directory: &Path) -> io::Result<Self> {
        let mut image = Self::default();
        image.read(directory, Path::new(""))?;
        image.sort();
        Ok(image)
    }

    pub(super) fn add_directory(&mut self, path: &Path) {
        self.directories.push(path.to_owned());
    }

    pub(super) fn add_file(&mut self, file: StoredFile) {
        self.files.push(file);
    }

    /// Gives a file that was added another name.
    pub(super) fn add_link(&mut self, file: &Path, name: &Path) {
        self.links.push((file.to_owned(), name.to_owned()));
    }

    /// Puts all in the order of their paths.
    pub(super) fn sort(&mut self) {
        self.directories.sort();
        self.files.sort_by(|one, other| one.path.cmp(&other.path));
    }

    /// Its directories, each behind the one in which it is.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// The same with a file of its own for each name.
    #[must_use]
    pub fn without_links(mut self) -> Self {
        for (file, name) in std::mem::take(&mut self.links) {
            let linked = self.files.iter().find(|found| found.path == file).cloned();
            self.files.extend(linked.map(|linked| StoredFile { path: name, ..linked }));
        }
        self.sort();
        self
    }

    fn read(&mut self, root: &Path, below: &Path) -> io::Result<()> {
        self.directories.push(below.to_owned());
        for entry in fs::read_dir(root.join(below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                self.read(root, &path)?;
                continue;
            }
            let bytes = fs::read(entry.path())?;
            let len = bytes.len();
            self.files.push(StoredFile::new(path, bytes, len));
        }
        Ok(())
    }

    /// Its files, by their paths.
    pub fn files(&self) -> &[StoredFile] {
        &self.files
    }

    /// Makes the directory what it was, whatever is there now.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn put(&self, directory: &Path) -> io::Result<()> {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        for below in &self.directories {
            fs::create_dir(directory.join(below))?;
        }
        self.files.iter().try_for_each(|file| file.put(directory))?;
        self.links.iter().try_for_each(|(file, name)| fs::hard_link(directory.join(file), directory.join(name)))
    }
}
