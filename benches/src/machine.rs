//! What the figures were measured on, as far as the system tells.

use std::fs;
use std::path::Path;
use std::thread;

use annals::Timestamp;
use annals::journal::Durability;
use serde::Serialize;

const UNKNOWN: &str = "unknown";

/// The machine, and what was built for it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    began: String,
    cores: usize,
    cpu: String,
    memory_mib: u64,
    kernel: String,
    /// Of the directory where everything is stored: its type, its device and its options.
    file_system: String,
    /// How many processes ran or wanted to when it began, on average over the minute before: more than a little, and the
    /// figures are those of a machine that does something else.
    load_average: String,
    annals: String,
    fjall: &'static str,
    rustc: &'static str,
    profile: &'static str,
    /// Of all of annals' figures, and of the limits beside them.
    durability: String,
}

impl Machine {
    pub(crate) fn look(directory: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or(UNKNOWN, |(_, value)| value.trim()).to_owned()
        };
        let memory_kib = field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
        Self {
            began: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            cores: thread::available_parallelism().map_or(0, usize::from),
            cpu: field(&read("/proc/cpuinfo"), "model name"),
            memory_mib: memory_kib / 1024_u64,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&read("/proc/self/mountinfo"), directory),
            load_average: read("/proc/loadavg").split(' ').next().unwrap_or(UNKNOWN).to_owned(),
            annals: format!("{} ({})", env!("CARGO_PKG_VERSION"), env!("BENCH_COMMIT")),
            fjall: env!("BENCH_FJALL"),
            rustc: env!("BENCH_RUSTC"),
            profile: env!("BENCH_PROFILE"),
            durability: format!("{:?}", Durability::Fsync),
        }
    }

    pub(crate) fn shown(&self) -> String {
        format!(
            "{}: {} cores ({}), {} MiB, Linux {}, {}; load average {}\n\
             annals {} built as {}, fjall {}, {}; Durability::{} everywhere\n",
            self.began,
            self.cores,
            self.cpu,
            self.memory_mib,
            self.kernel,
            self.file_system,
            self.load_average,
            self.annals,
            self.profile,
            self.fjall,
            self.rustc,
            self.durability,
        )
    }
}

/// The mount that the directory is in: the one with the longest path that leads there, and of those the last.
fn file_system(mounts: &str, directory: &Path) -> String {
    let Ok(directory) = directory.canonicalize() else { return UNKNOWN.to_owned() };
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let (place, what) = line.split_once(" - ")?;
            let mut place = place.split(' ').skip(4);
            let (path, options) = (place.next()?, place.next()?);
            let mut what = what.split(' ');
            let (kind, device) = (what.next()?, what.next()?);
            directory.starts_with(path).then(|| (path.len(), format!("{kind} on {device} ({options})")))
        })
        .max_by_key(|(length, _)| *length);
    mount.map_or(UNKNOWN.to_owned(), |(_, shown)| shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_the_one_that_is_mounted_nearest() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /dev rw,nosuid - devtmpfs dev rw\n";
        assert_eq!(file_system(mounts, Path::new("/dev")), "devtmpfs on dev (rw,nosuid)");
        assert_eq!(file_system(mounts, Path::new("/")), "ext4 on /dev/a (rw)");
        assert_eq!(file_system(mounts, Path::new("/is/not/there")), UNKNOWN);
    }
}
