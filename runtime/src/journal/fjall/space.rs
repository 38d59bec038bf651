//! How much space the file system has left: what would fill it is refused before.
//!
//! A disk that is full in the middle of a write costs the engine its health, and everybody the journal, until it is
//! opened again. A group that is refused before costs nothing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};

/// The engine writes each byte so often at the most, merging its tables included.
const WRITTEN_TIMES: u64 = 8;
/// Others write too: what was free so long ago doesn't count.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// While too little is free, it is looked at so often whether it still is.
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// What gives space back is still taken while this part of the floor is free.
const LEAST_PART: u64 = 4;

/// Too little is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Low {
    pub(super) free: u64,
    pub(super) floor: u64,
}

/// The file system of the journal.
#[derive(Debug)]
pub(super) struct Space {
    path: PathBuf,
    floor: u64,
    #[cfg(test)]
    pretended: AtomicU64,
    #[cfg(test)]
    looks: AtomicU64,
}

impl Space {
    /// The one that `path` is in, where so many bytes are to stay free.
    pub(super) fn of(path: &Path, floor: u64) -> Self {
        Self {
            path: path.to_owned(),
            floor,
            #[cfg(test)]
            pretended: AtomicU64::new(u64::MAX),
            #[cfg(test)]
            looks: AtomicU64::new(0),
        }
    }

    /// Says if too little is free. Where that can't be told, writing finds out.
    pub(super) fn low(&self) -> Option<Low> {
        let floor = self.floor;
        let free = self.free()?;
        (free < floor).then_some(Low { free, floor })
    }

    /// How many bytes a program that isn't privileged may still write; `None` if it doesn't matter or can't be told.
    fn free(&self) -> Option<u64> {
        if self.floor == 0 {
            return None;
        }
        #[cfg(test)]
        {
            self.looks.fetch_add(1, Ordering::SeqCst);
            let pretended = self.pretended.load(Ordering::SeqCst);
            if pretended < u64::MAX {
                return Some(pretended);
            }
        }
        free_bytes(&self.path)
    }
}

#[cfg(unix)]
fn free_bytes(path: &Path) -> Option<u64> {
    match rustix::fs::statvfs(path) {
        Ok(found) => Some(found.f_bavail.saturating_mul(found.f_frsize)),
        Err(error) => {
            crate::log::debug!(path = %path.display(), %error, "can't tell how much is free");
            None
        }
    }
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
impl Space {
    /// Has it that so many bytes are free; all of them: what is true again.
    pub(super) fn pretend(&self, free: u64) {
        self.pretended.store(free, Ordering::SeqCst);
    }

    /// How often it was looked.
    pub(super) fn looks(&self) -> u64 {
        self.looks.load(Ordering::SeqCst)
    }
}

/// How much there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// Only what gives space back may be written.
    Little(Low),
    /// Not even that.
    None(Low),
}

/// Knows what was free, and when that has to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    /// `None` if it can't be told.
    free: Option<u64>,
    at: Instant,
    /// How many bytes were handed to the engine since.
    written: u64,
}

impl Gauge {
    /// Says whether there is room for so many bytes, and counts them in.
    ///
    /// INVARIANT: between two looks no more is written than what was free above the floor at the first.
    pub(super) fn room(&mut self, space: &Space, bytes: usize) -> Room {
        let Space { floor, .. } = *space;
        if floor == 0 {
            return Room::Enough;
        }
        let bytes = crate::journal::len_u64(bytes);
        let is_known = self.known.as_ref().is_some_and(|known| match known.free {
            Some(free) if free < floor => known.at.elapsed() < LOOK_AGAIN_AFTER,
            Some(free) => {
                let written = (known.written + bytes).saturating_mul(WRITTEN_TIMES);
                written <= free - floor && known.at.elapsed() < LOOK_EVERY
            }
            None => known.at.elapsed() < LOOK_EVERY,
        });
        if !is_known {
            self.known = Some(Known { free: space.free(), at: Instant::now(), written: 0 });
        }
        let Some(known) = &mut self.known else { return Room::Enough };
        match known.free {
            Some(free) if free < floor => {
                let least = floor / LEAST_PART;
                if free < least { Room::None(Low { free, floor: least }) } else { Room::Little(Low { free, floor }) }
            }
            Some(_) | None => {
                known.written += bytes;
                Room::Enough
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: u64 = 1000;

    fn space(free: u64) -> Space {
        let space = Space::of(Path::new("/"), FLOOR);
        space.pretend(free);
        space
    }

    #[test]
    fn it_is_looked_again_before_what_was_free_can_be_written() {
        let (space, mut gauge) = (space(FLOOR + 10 * WRITTEN_TIMES), Gauge::default());
        for _ in 0..10 {
            assert_eq!(gauge.room(&space, 1), Room::Enough);
        }
        assert_eq!(space.looks(), 1);
        assert_eq!(gauge.room(&space, 1), Room::Enough);
        assert_eq!(space.looks(), 2, "the eleventh byte might not have found room");
        space.pretend(FLOOR);
        gauge.known = None;
        for looks in 3..6 {
            assert_eq!(gauge.room(&space, 1), Room::Enough);
            assert_eq!(space.looks(), looks, "with nothing to spare it is looked each time");
        }
    }

    #[test]
    fn too_little_is_too_little_until_it_is_looked_again() {
        let (space, mut gauge) = (space(FLOOR - 1), Gauge::default());
        let little = Room::Little(Low { free: FLOOR - 1, floor: FLOOR });
        assert_eq!(gauge.room(&space, 1), little);
        space.pretend(FLOOR);
        assert_eq!(gauge.room(&space, 1), little, "a storm of refusals doesn't ask the system each time");
        assert_eq!(space.looks(), 1);
        gauge.known.as_mut().unwrap().at -= LOOK_AGAIN_AFTER;
        assert_eq!(gauge.room(&space, 1), Room::Enough);
    }

    #[test]
    fn what_gives_space_back_has_a_floor_of_its_own() {
        let (space, mut gauge) = (space(FLOOR / LEAST_PART), Gauge::default());
        assert!(matches!(gauge.room(&space, 1), Room::Little(_)));
        space.pretend(FLOOR / LEAST_PART - 1);
        gauge.known = None;
        assert_eq!(gauge.room(&space, 1), Room::None(Low { free: 249, floor: 250 }));
    }

    #[test]
    fn what_was_free_long_ago_does_not_count() {
        let (space, mut gauge) = (space(u64::MAX - 1), Gauge::default());
        assert_eq!(gauge.room(&space, 1), Room::Enough);
        space.pretend(0);
        assert_eq!(gauge.room(&space, 1), Room::Enough);
        gauge.known.as_mut().unwrap().at -= LOOK_EVERY;
        assert!(matches!(gauge.room(&space, 1), Room::None(_)));
    }

    #[test]
    fn a_floor_of_nothing_switches_it_off() {
        let (space, mut gauge) = (Space::of(Path::new("/"), 0), Gauge::default());
        space.pretend(0);
        assert_eq!((gauge.room(&space, 1), space.low(), space.looks()), (Room::Enough, None, 0));
    }

    #[test]
    #[cfg(unix)]
    fn what_the_system_says_is_believed_and_what_it_cannot_say_is_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Space::of(dir.path(), 1).low(), None);
        assert!(Space::of(dir.path(), u64::MAX).low().is_some_and(|low| low.free > 0));
        let gone = Space::of(&dir.path().join("gone"), u64::MAX);
        assert_eq!((gone.low(), Gauge::default().room(&gone, 1)), (None, Room::Enough));
    }
}
