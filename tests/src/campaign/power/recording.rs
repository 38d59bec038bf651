//! What a program did to the files of a directory, one after the other, read from a log of strace.
//!
//! What isn't understood is an error: a file that somebody changes in another way would be taken for what it isn't. And
//! whoever has a recording can compare what it comes to with what is on the disk.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::line::{self, Line};
use crate::campaign::Image;

/// The calls that are recorded. Some have no such name on some machines, and are left out there.
const CALLS: &str = "?open,openat,?openat2,?creat,write,pwrite64,writev,pwritev,?pwritev2,lseek,?dup,?dup2,dup3,fcntl,\
                     ?rename,renameat,renameat2,?unlink,unlinkat,?rmdir,?mkdir,mkdirat,ftruncate,?truncate,fallocate,\
                     fsync,fdatasync,sync_file_range,copy_file_range,sendfile,splice,?link,linkat,?symlink,symlinkat";
/// No write of the programs is longer.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// A file or a directory, by its number in a recording. 0 is the directory of the program.
pub type Node = usize;

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Names in directories lead elsewhere now: to a node, or nowhere.
    Names(Vec<(Node, OsString, Option<Node>)>),
    /// Bytes were written into a file.
    Write {
        /// Which.
        node: Node,
        /// The first byte.
        at: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// A file was cut or lengthened.
    Length {
        /// Which.
        node: Node,
        /// How long it is now.
        len: usize,
    },
    /// A file or a directory was synced.
    Sync {
        /// Which.
        node: Node,
        /// The sync is about the deeds before this one.
        began: usize,
    },
    /// A line was told to whoever has started the program.
    Told(String),
}

/// A deed, and the path that it was about, from the directory on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// What was done.
    pub deed: Deed,
    /// To what.
    pub path: PathBuf,
    /// The node that was moved there, if one was.
    pub moved: Option<Node>,
}

/// What a program did.
#[derive(Debug, Clone)]
pub struct Recording {
    /// What was there before.
    pub begin: Image,
    /// What was done, in its order.
    pub acts: Vec<Act>,
    /// Which of the nodes are directories. Those that were there come first: the directories and then the files, in the
    /// image's order.
    pub is_dir: Vec<bool>,
}

/// A program that is recorded by strace into a log.
pub fn recorded(program: &Command, log: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-qq", "-xx", "-e", "signal=none", "-s", &BYTES_MAX.to_string()]);
    strace.args(["-e", &format!("trace={CALLS}"), "-o"]).arg(log);
    strace.arg("--").arg(program.get_program()).args(program.get_args());
    strace
}

impl Recording {
    /// Reads the log of a program that worked in a directory, in which there was this image.
    ///
    /// # Errors
    ///
    /// If the log can't be read, or has something in it that isn't understood.
    pub fn read(log: &Path, directory: &Path, begin: Image) -> Result<Self, String> {
        let log = std::fs::read(log).map_err(|error| error.to_string())?;
        let mut reader = Reader::new(directory, begin);
        let mut unfinished = BTreeMap::new();
        for text in String::from_utf8_lossy(&log).lines() {
            let Some((thread, rest)) = text.split_once(' ') else { continue };
            let rest = rest.trim_start();
            let now = reader.recording.acts.len();
            let call = if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
                let begun = begun.trim_end();
                // What is told is told before anybody can be sure that it isn't.
                reader.tell(&Line { name: line::name(begun), arguments: line::arguments(begun), returned: "0" })?;
                unfinished.insert(thread.to_owned(), (begun.to_owned(), now));
                continue;
            } else if rest.starts_with("<... ") {
                let Some((begun, began)) = unfinished.remove(thread) else { continue };
                let Some((_, end)) = rest.split_once(" resumed>") else { continue };
                (format!("{begun}{end}"), began, true)
            } else {
                (rest.to_owned(), now, false)
            };
            let (whole, began, was_begun) = call;
            let Some(parsed) = Line::parse(&whole) else { continue };
            let told = if was_begun { Ok(()) } else { reader.tell(&parsed) };
            told.and_then(|()| reader.call(&parsed, began)).map_err(|why| {
                let shown: String = whole.chars().take(200).collect();
                format!("{why}: {shown}")
            })?;
        }
        Ok(reader.recording)
    }

    /// How many lines that begin with a number were told before a deed.
    pub fn steps_told(&self, before: usize) -> usize {
        let told = self.acts[..before].iter().filter_map(|act| match &act.deed {
            Deed::Told(line) => Some(line),
            _ => None,
        });
        told.filter(|line| line.starts_with(|first: char| first.is_ascii_digit())).count()
    }
}

/// An open file.
#[derive(Debug, Clone, Copy)]
struct Open {
    node: Node,
    at: usize,
    appends: bool,
}

struct Reader {
    directory: PathBuf,
    recording: Recording,
    names: Vec<BTreeMap<OsString, Node>>,
    lens: Vec<usize>,
    open: BTreeMap<u64, Open>,
}

impl Reader {
    fn new(directory: &Path, begin: Image) -> Self {
        let mut this = Self {
            directory: directory.to_owned(),
            recording: Recording { begin: Image::default(), acts: Vec::new(), is_dir: Vec::new() },
            names: Vec::new(),
            lens: Vec::new(),
            open: BTreeMap::new(),
        };
        for path in begin.directories() {
            let node = this.node(true, 0);
            this.name(path, node);
        }
        for file in begin.files() {
            let node = this.node(false, usize::try_from(file.len).unwrap_or(usize::MAX));
            this.name(&file.path, node);
        }
        this.recording.begin = begin;
        this
    }

    fn node(&mut self, is_dir: bool, len: usize) -> Node {
        self.recording.is_dir.push(is_dir);
        self.names.push(BTreeMap::new());
        self.lens.push(len);
        self.lens.len() - 1
    }

    /// Enters a name, unless it is that of the directory itself.
    fn name(&mut self, path: &Path, node: Node) {
        if let Some((dir, name)) = self.place(path) {
            self.names[dir].insert(name, node);
        }
    }

    /// The directory in which a path is, and its name there.
    fn place(&self, path: &Path) -> Option<(Node, OsString)> {
        Some((self.find(path.parent()?)?, path.file_name()?.to_owned()))
    }

    fn find(&self, path: &Path) -> Option<Node> {
        path.components().try_fold(0, |dir, part| self.names[dir].get(part.as_os_str()).copied())
    }

    /// The path of an argument from the directory on, if it is in there: a descriptor, or a name in the directory that the
    /// argument before it says.
    fn inner(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.directory).ok().map(Path::to_owned)
    }

    fn act(&mut self, deed: Deed, path: &Path) {
        self.recording.acts.push(Act { deed, path: path.to_owned(), moved: None });
    }

    fn names_change(&mut self, changes: Vec<(Node, OsString, Option<Node>)>, path: &Path) {
        for (dir, name, node) in &changes {
            match node {
                Some(node) => drop(self.names[*dir].insert(name.clone(), *node)),
                None => drop(self.names[*dir].remove(name)),
            }
        }
        self.act(Deed::Names(changes), path);
    }

    fn tell(&mut self, line: &Line<'_>) -> Result<(), String> {
        if line.name == "write" && line.arguments.starts_with("1<") {
            let told = String::from_utf8_lossy(&line.bytes()?).trim_end().to_owned();
            self.act(Deed::Told(told), Path::new(""));
        }
        Ok(())
    }

    fn call(&mut self, line: &Line<'_>, began: usize) -> Result<(), String> {
        let Some(returned) = line.returned() else { return Ok(()) };
        match line.name {
            "open" | "openat" | "openat2" | "creat" => self.opened(line, returned),
            "dup" | "dup2" | "dup3" => self.copied(line, returned),
            "fcntl" if line.arguments.contains("F_DUPFD") => self.copied(line, returned),
            "fcntl" => Ok(()),
            "lseek" => {
                if let Some(open) = line.descriptor().and_then(|number| self.open.get_mut(&number)) {
                    open.at = usize::try_from(returned).map_err(|error| error.to_string())?;
                }
                Ok(())
            }
            "write" | "writev" | "pwrite64" | "pwritev" => self.written(line, returned),
            "ftruncate" => self.cut(line),
            "fsync" | "fdatasync" => {
                if let Some(open) = line.descriptor().and_then(|number| self.open.get(&number).copied()) {
                    let path = self.inner(&line.path()).unwrap_or_default();
                    self.act(Deed::Sync { node: open.node, began }, &path);
                }
                Ok(())
            }
            "mkdir" | "mkdirat" => {
                let Some(path) = line.paths().pop().and_then(|path| self.inner(&path)) else { return Ok(()) };
                let node = self.node(true, 0);
                let (dir, name) = self.place(&path).ok_or("it is in no directory that is known")?;
                self.names_change(vec![(dir, name, Some(node))], &path);
                Ok(())
            }
            "unlink" | "unlinkat" | "rmdir" => {
                let Some(path) = line.paths().pop().and_then(|path| self.inner(&path)) else { return Ok(()) };
                let (dir, name) = self.place(&path).ok_or("it is in no directory that is known")?;
                self.names_change(vec![(dir, name, None)], &path);
                Ok(())
            }
            "rename" | "renameat" | "renameat2" | "link" | "linkat" => self.moved(line),
            other => match line.arguments.contains(&*self.directory.to_string_lossy()) {
                true => Err(format!("`{other}` isn't understood")),
                false => Ok(()),
            },
        }
    }

    fn opened(&mut self, line: &Line<'_>, returned: u64) -> Result<(), String> {
        self.open.remove(&returned);
        let Some(path) = line.paths().pop().and_then(|path| self.inner(&path)) else { return Ok(()) };
        let node = match self.find(&path) {
            Some(node) => node,
            None if line.arguments.contains("O_CREAT") => {
                let node = self.node(false, 0);
                let (dir, name) = self.place(&path).ok_or("it is in no directory that is known")?;
                self.names_change(vec![(dir, name, Some(node))], &path);
                node
            }
            None => return Err("what is opened isn't known".into()),
        };
        if line.arguments.contains("O_TRUNC") && self.lens[node] > 0 {
            self.lens[node] = 0;
            self.act(Deed::Length { node, len: 0 }, &path);
        }
        self.open.insert(returned, Open { node, at: 0, appends: line.arguments.contains("O_APPEND") });
        Ok(())
    }

    fn copied(&mut self, line: &Line<'_>, returned: u64) -> Result<(), String> {
        match line.descriptor().and_then(|number| self.open.get(&number).copied()) {
            Some(open) => drop(self.open.insert(returned, open)),
            None => drop(self.open.remove(&returned)),
        }
        Ok(())
    }

    fn written(&mut self, line: &Line<'_>, returned: u64) -> Result<(), String> {
        let Some(number) = line.descriptor() else { return Ok(()) };
        let Some(open) = self.open.get(&number).copied() else { return Ok(()) };
        // A descriptor that was closed may be another's since, such as a pipe's.
        let Some(path) = self.inner(&line.path()) else { return Ok(()) };
        let mut bytes = line.bytes()?;
        bytes.truncate(usize::try_from(returned).map_err(|error| error.to_string())?);
        let at = match line.name {
            "pwrite64" | "pwritev" => line.last_number().ok_or("where isn't understood")?,
            _ if open.appends => self.lens[open.node],
            _ => open.at,
        };
        let end = at + bytes.len();
        self.lens[open.node] = self.lens[open.node].max(end);
        if let Some(open) = self.open.get_mut(&number).filter(|_| !line.name.starts_with('p')) {
            open.at = end;
        }
        self.act(Deed::Write { node: open.node, at, bytes }, &path);
        Ok(())
    }

    fn cut(&mut self, line: &Line<'_>) -> Result<(), String> {
        let Some(open) = line.descriptor().and_then(|number| self.open.get(&number).copied()) else { return Ok(()) };
        let Some(path) = self.inner(&line.path()) else { return Ok(()) };
        let len = line.last_number().ok_or("its length isn't understood")?;
        self.lens[open.node] = len;
        self.act(Deed::Length { node: open.node, len }, &path);
        Ok(())
    }

    fn moved(&mut self, line: &Line<'_>) -> Result<(), String> {
        let paths: Vec<_> = line.paths().iter().filter_map(|path| self.inner(path)).collect();
        let [from, to] = &paths[..] else {
            return if paths.is_empty() { Ok(()) } else { Err("it comes from outside".into()) };
        };
        let node = self.find(from).ok_or("what is moved isn't known")?;
        let (dir, name) = self.place(to).ok_or("it comes to no directory that is known")?;
        let mut changes = vec![(dir, name, Some(node))];
        let is_moved = line.name.starts_with("rename");
        if is_moved {
            let (dir, name) = self.place(from).ok_or("it comes from no directory that is known")?;
            changes.insert(0, (dir, name, None));
        }
        self.names_change(changes, to);
        if let Some(act) = self.recording.acts.last_mut().filter(|_| is_moved) {
            act.moved = Some(node);
        }
        Ok(())
    }
}
