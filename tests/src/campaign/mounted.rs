//! File systems that a test mounts.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::summary;

/// Something that is mounted in a directory of its own, until it is dropped.
#[derive(Debug)]
pub struct Mounted(TempDir);

impl Mounted {
    /// Mounts with the arguments of `mount` that come before the directory; says aloud where nobody may.
    pub fn new<I: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = I>) -> Option<Self> {
        let directory = tempfile::tempdir().ok()?;
        let mounted = Command::new("mount").args(arguments).arg(directory.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(directory));
        }
        summary("SKIPPED: no file system can be mounted here");
        None
    }

    /// A file system in memory of this size, such as `100m`.
    pub fn memory(size: &str) -> Option<Self> {
        Self::new(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Mounts it anew with other options; says whether that was done.
    pub fn remount(&self, options: &str) -> bool {
        let options = format!("remount,{options}");
        Command::new("mount").args(["-o", &options]).arg(self.path()).status().is_ok_and(|status| status.success())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
