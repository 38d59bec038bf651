//! The system calls of a program, one by one: found with strace, and each of them met with a kill or an error.
//!
//! strace counts the calls of each name for each thread by itself, and meets the first one that reaches a count. So the
//! calls of a run without faults are read in their order, and each is described by what it is the first to reach: a count
//! over all paths, or over one. What is described by neither is told as not reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Calls that change what is stored. Some have no such name on some machines, and are left out there.
const CHANGING: &str = "?open,openat,?openat2,?creat,write,pwrite64,writev,pwritev,?pwritev2,?rename,renameat,renameat2,\
                        ?unlink,unlinkat,?rmdir,?mkdir,mkdirat,ftruncate,?truncate,fallocate,fsync,fdatasync,\
                        sync_file_range,copy_file_range,?link,linkat,?symlink,symlinkat,flock";
/// Calls that read it.
const READING: &str = "?open,openat,?openat2,read,pread64,readv,preadv,?preadv2";

/// Which calls are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// Those that change what is stored, and those that tell of it.
    Changing,
    /// Those that open a file or read from it.
    Reading,
}

/// What a call meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed before the call does anything.
    Kill,
    /// The call fails with this error, such as `EIO`.
    Error(&'static str),
    /// The call does nothing and returns this.
    Returns(u64),
}

/// One call of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The name of the call.
    pub call: String,
    /// The file or the directory that it is about, from the program's directory on.
    pub path: PathBuf,
    /// Whether only calls on the path are counted.
    is_of_path: bool,
    /// The count.
    count: usize,
    /// How many lines the program has written before it.
    pub lines: usize,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = if self.is_of_path { "on this path" } else { "of its thread" };
        write!(f, "{} number {} {of}, `{}`", self.call, self.count, self.path.display())
    }
}

/// The calls of a program that are about files in a directory, in their order, and how many of them can't be met.
#[derive(Debug, Clone, Default)]
pub struct Points {
    /// Those that can be met, each of them once.
    pub points: Vec<Point>,
    /// How many others there are.
    pub missed: usize,
}

/// Whether strace is there and may trace.
pub fn is_there() -> bool {
    let works = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    works.is_ok_and(|output| output.status.success())
}

/// A program that works in a directory, under strace: with a fault at a point, or with none and a log of its calls.
pub fn strace(
    program: &Command,
    directory: &Path,
    trace: Trace,
    fault: Option<(&Point, Fault)>,
    log: &Path,
) -> Command {
    let mut strace = Command::new("strace");
    // Its option to stop at the traced calls only would be faster; but then it injects nothing.
    strace.args(["-f", "-y", "-qq", "-s", "0", "-e", "signal=none", "-o"]).arg(log);
    match fault {
        None => {
            let calls = if trace == Trace::Changing { CHANGING } else { READING };
            strace.args(["-e", &format!("trace={calls}")]);
        }
        Some((point, fault)) => {
            let what = match fault {
                Fault::Kill => "signal=SIGKILL".to_owned(),
                Fault::Error(error) => format!("error={error}"),
                Fault::Returns(value) => format!("retval={value}"),
            };
            let Point { call, count, .. } = point;
            strace.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{what}:when={count}")]);
            if point.is_of_path {
                strace.arg("-P").arg(directory.join(&point.path));
            }
        }
    }
    strace.arg("--").arg(program.get_program()).args(program.get_args());
    strace
}

/// One line of a log.
#[derive(Debug)]
struct Call<'a> {
    thread: &'a str,
    name: &'a str,
    path: Option<PathBuf>,
    /// It tells somebody something, or changes a file, or reads one, as it was looked for.
    is_meant: bool,
    is_line: bool,
}

impl<'a> Call<'a> {
    fn parse(line: &'a str, directory: &Path, trace: Trace) -> Option<Self> {
        let (thread, rest) = line.split_once(' ')?;
        let (name, arguments) = rest.trim_start().split_once('(')?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        let directory = directory.to_str()?;
        // Of two paths, the second one: the name that a file gets lasts longer than the one that it had.
        let path = arguments.rmatch_indices(directory).find_map(|(at, _)| {
            let rest = &arguments[at..];
            // A descriptor that a call returned, such as `= 7</path>`, is no argument.
            if arguments[..at].contains(") = ") {
                return None;
            }
            let path = Path::new(&rest[..rest.find(['"', '>'])?]);
            path.strip_prefix(directory).ok().map(Path::to_owned)
        });
        let is_line = name == "write" && arguments.starts_with("1<");
        let opens = matches!(name, "open" | "openat" | "openat2");
        let changes = !opens || arguments.contains("O_CREAT") || arguments.contains("O_TRUNC");
        let is_meant = match trace {
            Trace::Changing => is_line || (path.is_some() && changes),
            Trace::Reading => path.is_some(),
        };
        Some(Self { thread, name, path, is_meant, is_line })
    }
}

/// Reads the log of a run without faults; `directory` is where the program works.
///
/// # Errors
///
/// If the log can't be read.
pub fn points(log: &Path, directory: &Path, trace: Trace) -> std::io::Result<Points> {
    let log = fs::read(log)?;
    let log = String::from_utf8_lossy(&log);
    let (mut counts, mut reached) = (BTreeMap::new(), BTreeSet::new());
    let (mut found, mut lines) = (Points::default(), 0);
    for line in log.lines() {
        let Some(call) = Call::parse(line, directory, trace) else { continue };
        let name = call.name.to_owned();
        let mut count = |path: Option<&Path>| {
            let path = path.map(Path::to_owned);
            let count: &mut usize = counts.entry((call.thread.to_owned(), name.clone(), path.clone())).or_default();
            *count += 1;
            // Whether it is the first one to reach it.
            reached.insert((name.clone(), path, *count)).then_some(*count)
        };
        let of_thread = count(None);
        let of_path = call.path.as_deref().and_then(|path| count(Some(path)));
        if call.is_meant {
            let is_stable = !call.path.as_deref().is_some_and(is_drawn);
            let point = |is_of_path, count| Point {
                call: name.clone(),
                path: call.path.clone().unwrap_or_default(),
                is_of_path,
                count,
                lines,
            };
            match (of_thread, of_path.filter(|_| is_stable)) {
                (Some(count), _) => found.points.push(point(false, count)),
                (None, Some(count)) => found.points.push(point(true, count)),
                (None, None) => found.missed += 1,
            }
        }
        lines += usize::from(call.is_line);
    }
    Ok(found)
}

/// Whether a path has another name in each run.
fn is_drawn(path: &Path) -> bool {
    let is_drawn = |name: &str| {
        let is_pseudonym = name.len() == 33 && name.starts_with('_');
        is_pseudonym || name.starts_with(".tmp") || name.contains(".tmp-") || name.starts_with("snapshot-")
    };
    path.components().any(|part| part.as_os_str().to_str().is_some_and(is_drawn))
}
