//! One damage to one file of a store, and what becomes of it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use annals::journal::{FjallOptions, OpenError, ReadError};
use annals::snapshot::{DirSnapshots, SnapshotStore};

use super::contents::opened;
use super::{Contents, Image, Script, Trouble};
use crate::golden::Outcome;

/// What is done to the bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// A bit is turned over.
    Flip {
        /// The byte.
        byte: usize,
        /// The bit in it, from the lowest on.
        bit: u32,
    },
    /// A block has zeros.
    Zero {
        /// Its first byte.
        at: usize,
        /// Its length.
        len: usize,
    },
    /// A block and the one behind it have changed their places.
    Swap {
        /// The first byte of the first one.
        at: usize,
        /// The length of each.
        len: usize,
    },
    /// The file ends here.
    Cut {
        /// Its length.
        len: usize,
    },
    /// The file is gone.
    Gone,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flip { byte, bit } => write!(f, "flip {byte} {bit}"),
            Self::Zero { at, len } => write!(f, "zero {at} {len}"),
            Self::Swap { at, len } => write!(f, "swap {at} {len}"),
            Self::Cut { len } => write!(f, "cut {len} 0"),
            Self::Gone => f.write_str("gone 0 0"),
        }
    }
}

impl FromStr for Damage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let mut words = text.split(' ');
            let what = words.next()?;
            let (one, other): (usize, usize) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some(match what {
                "flip" => Self::Flip { byte: one, bit: u32::try_from(other).ok()? },
                "zero" => Self::Zero { at: one, len: other },
                "swap" => Self::Swap { at: one, len: other },
                "cut" => Self::Cut { len: one },
                "gone" => Self::Gone,
                _ => return None,
            })
        };
        parse().ok_or_else(|| format!("`{text}` is no damage"))
    }
}

impl Damage {
    /// Damages the file of an image that lies in a directory. Says whether its bytes are others now.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn apply(&self, image: &Image, file: usize, directory: &Path) -> io::Result<bool> {
        let mut file = image.files()[file].clone();
        let whole = usize::try_from(file.len).map_err(io::Error::other)?;
        let before = file.clone();
        match *self {
            Self::Gone => return std::fs::remove_file(directory.join(&file.path)).map(|()| true),
            Self::Cut { len } => {
                file.bytes.truncate(len);
                file.len = u64::try_from(len).map_err(io::Error::other)?;
            }
            Self::Flip { byte, bit } => {
                file.bytes.resize(file.bytes.len().max(byte + 1), 0);
                file.bytes[byte] ^= 1 << bit;
            }
            Self::Zero { at, len } => {
                let to = file.bytes.len().min(at + len);
                file.bytes[at..to].fill(0);
            }
            Self::Swap { at, len } => {
                file.bytes.resize((at + 2 * len).min(whole), 0);
                // A shorter one at the end of the file is exchanged with as much.
                let len = len.min(file.bytes.len().saturating_sub(at + len));
                let (one, other) = file.bytes[at..].split_at_mut(len);
                one.swap_with_slice(&mut other[..len]);
            }
        }
        file.put(directory)?;
        let written = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let is_same = file.len == before.len && file.bytes[..written(&file.bytes)] == before.bytes[..];
        Ok(!is_same)
    }
}

/// What became of a damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Opening says what is damaged.
    Refused(String),
    /// It opens, and reading says what is damaged.
    Told(String),
    /// The events are all there, and reading a snapshot says that it is damaged.
    SnapshotTold(String),
    /// The events are all there, and fewer snapshots, or older ones; the entities are what they were, or say that they
    /// can't be loaded.
    SnapshotLost(String),
    /// Everything is as it was.
    Harmless,
    /// Something is refused without a word about where.
    Vague(String),
    /// Something else is read, and nothing says so.
    Silent(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, why) = match self {
            Self::Refused(why) => ("refused", why.as_str()),
            Self::Told(why) => ("told", why.as_str()),
            Self::SnapshotTold(why) => ("snapshot-told", why.as_str()),
            Self::SnapshotLost(why) => ("snapshot-lost", why.as_str()),
            Self::Harmless => ("harmless", ""),
            Self::Vague(why) => ("vague", why.as_str()),
            Self::Silent(why) => ("silent", why.as_str()),
        };
        write!(f, "{what} {}", why.replace('\n', "; "))
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, why) = text.split_once(' ').unwrap_or((text, ""));
        let why = why.to_owned();
        Ok(match what {
            "refused" => Self::Refused(why),
            "told" => Self::Told(why),
            "snapshot-told" => Self::SnapshotTold(why),
            "snapshot-lost" => Self::SnapshotLost(why),
            "harmless" => Self::Harmless,
            "vague" => Self::Vague(why),
            "silent" => Self::Silent(why),
            _ => return Err(format!("`{text}` is no verdict")),
        })
    }
}

/// A store whose damages are judged: it is made again for each of them, in a directory of its own.
#[derive(Debug)]
pub struct Patient {
    image: Image,
    directory: PathBuf,
    contents: Contents,
    state: String,
    /// What is there when one more command was stored.
    later: String,
}

/// Where the journal is in an image.
pub const STORE: &str = "store";
/// Where the snapshots are in an image, if they are files.
pub const FILES: &str = "files";

impl Patient {
    /// Takes the store in a directory, and tells what it holds before it is damaged.
    ///
    /// # Errors
    ///
    /// If it doesn't tell.
    pub async fn new(image: &Path, directory: &Path) -> Outcome<Self> {
        let image = Image::take(image)?;
        image.put(directory)?;
        let (journal, contents) = read(directory).await.map_err(|trouble| trouble.to_string())?;
        let script = Script::start(journal, files(directory).as_deref())?;
        let state = script.state().await?;
        script.more().await?;
        let later = script.state().await?;
        script.close().await?;
        Ok(Self { image, directory: directory.to_owned(), contents, state, later })
    }

    /// Damages it, opens it and reads everything. With `go_on`, one that is as it was gets one more command, is closed,
    /// and is read again.
    ///
    /// # Errors
    ///
    /// What the system says when the damage is done.
    pub async fn judge(&self, file: usize, damage: Damage, go_on: bool) -> Outcome<Verdict> {
        self.image.put(&self.directory)?;
        if !damage.apply(&self.image, file, &self.directory)? {
            return Ok(Verdict::Harmless);
        }
        let (journal, found) = match read(&self.directory).await {
            Ok((journal, found)) => (journal, found),
            Err(trouble) => return Ok(self.judge_trouble(trouble)),
        };
        if !found.has_same_truth(&self.contents) {
            return Ok(Verdict::Silent(format!("{found:?} instead of {:?}", self.contents)));
        }
        // One that was deleted may be there again: it is as good as it was.
        let is_other = found.snapshots.iter().zip(&self.contents.snapshots).any(|(found, expected)| {
            let mut both = found.iter().flat_map(|found| expected.iter().map(move |expected| (found, expected)));
            both.any(|(found, expected)| found.0 == expected.0 && found.1 != expected.1)
        });
        if is_other {
            return Ok(Verdict::Silent("a snapshot is another".into()));
        }
        let is_same = found.snapshots == self.contents.snapshots;
        if is_same && !go_on {
            return Ok(Verdict::Harmless);
        }
        // Whatever goes wrong from here on is told.
        let state = self.go_on(journal).await;
        match state {
            Ok(()) if is_same => Ok(Verdict::Harmless),
            Ok(()) => Ok(Verdict::SnapshotLost("the entities are what they were".into())),
            Err(GoingOn::Told(why)) if is_same => Ok(Verdict::Told(why)),
            Err(GoingOn::Told(why)) => Ok(Verdict::SnapshotLost(why)),
            Err(GoingOn::Silent(why)) => Ok(Verdict::Silent(why)),
        }
    }

    async fn go_on(&self, journal: annals::journal::FjallJournal) -> Result<(), GoingOn> {
        let files = files(&self.directory);
        let script = Script::start(journal, files.as_deref())?;
        same(&script.state().await?, &self.state)?;
        script.more().await?;
        script.close().await?;
        let (journal, _) = read(&self.directory).await.map_err(|trouble| GoingOn::Told(trouble.to_string()))?;
        let script = Script::start(journal, files.as_deref())?;
        same(&script.state().await?, &self.later)?;
        Ok(script.close().await?)
    }

    fn judge_trouble(&self, trouble: Trouble) -> Verdict {
        match trouble {
            Trouble::Open(error @ (OpenError::Engine { .. } | OpenError::Io { .. } | OpenError::Locked { .. })) => {
                Verdict::Vague(error.to_string())
            }
            Trouble::Open(error) => Verdict::Refused(error.to_string()),
            Trouble::Read(error @ ReadError::Corrupt(_)) => Verdict::Told(error.to_string()),
            Trouble::Read(error) => Verdict::Vague(error.to_string()),
            Trouble::Wrong(why) => Verdict::Silent(why),
            Trouble::Snapshots(found, error) if found.has_same_truth(&self.contents) => {
                Verdict::SnapshotTold(error.to_string())
            }
            Trouble::Snapshots(found, _) => Verdict::Silent(format!("{found:?} instead of {:?}", self.contents)),
        }
    }
}

/// Why a store that was opened doesn't go on.
enum GoingOn {
    Told(String),
    Silent(String),
}

impl<E: Into<Box<dyn std::error::Error>>> From<E> for GoingOn {
    fn from(error: E) -> Self {
        Self::Told(error.into().to_string())
    }
}

fn same(found: &str, expected: &str) -> Result<(), GoingOn> {
    match found == expected {
        true => Ok(()),
        false => Err(GoingOn::Silent(format!("the entities say {found} instead of {expected}"))),
    }
}

/// The directory of the snapshots, if they are files.
fn files(directory: &Path) -> Option<PathBuf> {
    let files = directory.join(FILES);
    files.is_dir().then_some(files)
}

async fn read(directory: &Path) -> Result<(annals::journal::FjallJournal, Contents), Trouble> {
    let files = match files(directory) {
        Some(files) => Some(DirSnapshots::open(files).map_err(|error| Trouble::Wrong(error.to_string()))?),
        None => None,
    };
    let files = files.as_ref().map(|files| {
        let files: &dyn SnapshotStore = files;
        files
    });
    opened(&directory.join(STORE), files, FjallOptions::default()).await
}
