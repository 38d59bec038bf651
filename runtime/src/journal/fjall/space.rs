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
/// So often it keeps each byte at once, before it merges tables: in its own journal, and in a table.
const KEPT_TIMES: u64 = 2;
/// Others write too: what was free so long ago doesn't count.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// While too little is free, it is looked at so often whether it still is.
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// What gives space back is still taken while this part of the floor is free.
const LEAST_PART: u64 = 4;

/// Too little is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Low {
    pub(super) free: u64,
    /// So much would have to be.
    pub(super) floor: u64,
}

impl Low {
    /// Nothing if something of this length can be written where so much is free.
    fn unless(free: u64, floor: u64, len: u64) -> Option<Self> {
        let needed = floor.saturating_add(len);
        let low = Self { free, floor: if free < floor { floor } else { needed } };
        (free < needed).then_some(low)
    }
}

/// How much space so many bytes take.
fn kept(bytes: usize) -> u64 {
    crate::journal::len_u64(bytes).saturating_mul(KEPT_TIMES)
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

    /// Whether something is to stay free.
    pub(super) fn has_floor(&self) -> bool {
        self.floor > 0
    }

    /// Says if too little is free to write so many bytes. Where that can't be told, writing finds out.
    pub(super) fn low(&self, bytes: usize) -> Option<Low> {
        let free = self.free()?;
        Low::unless(free, self.floor, kept(bytes))
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
    /// How much space is used since.
    used: u64,
}

impl Gauge {
    /// Looks how much is free.
    pub(super) fn look(&mut self, space: &Space) {
        self.known = Some(Known { free: space.free(), at: Instant::now(), used: 0 });
    }

    /// Looks how much is free, if what is known doesn't count any more, or so many bytes might not find room, however often
    /// the engine writes them.
    pub(super) fn prepare(&mut self, space: &Space, bytes: usize) {
        let Space { floor, .. } = *space;
        let is_known = self.known.as_ref().is_some_and(|known| match known.free {
            Some(free) if free < floor => known.at.elapsed() < LOOK_AGAIN_AFTER,
            Some(free) => {
                let used = known.used.saturating_add(kept(bytes)).saturating_mul(WRITTEN_TIMES / KEPT_TIMES);
                used <= free - floor && known.at.elapsed() < LOOK_EVERY
            }
            None => known.at.elapsed() < LOOK_EVERY,
        });
        if space.has_floor() && !is_known {
            self.look(space);
        }
    }

    /// Takes room for so many bytes, or says that there isn't enough.
    ///
    /// INVARIANT: between two looks no more space is taken than what was free above the floor at the first; by what gives
    /// space back, than what was free above a part of it. Each is judged by itself: so what needs little isn't refused for
    /// what needs much, and nothing is refused for ever that has room above the floor when the file system is empty.
    pub(super) fn take(&mut self, space: &Space, bytes: usize, gives_back: bool) -> Result<(), Low> {
        let Some(Known { free: Some(free), used, .. }) = &mut self.known else { return Ok(()) };
        let floor = if gives_back { space.floor / LEAST_PART } else { space.floor };
        let len = kept(bytes);
        match Low::unless(free.saturating_sub(*used), floor, len) {
            Some(low) => Err(low),
            None => {
                *used += len;
                Ok(())
            }
        }
    }

    /// Whether less than the floor was free when it was last looked, or less than what was refused `before` needs.
    pub(super) fn low(&self, space: &Space, before: Option<Low>) -> Option<Low> {
        let floor = before.map_or(space.floor, |low| low.floor.max(space.floor));
        Low::unless(self.known.as_ref()?.free?, floor, 0)
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

    /// Whether there is room for so many bytes that are written alone.
    fn room(gauge: &mut Gauge, space: &Space, bytes: usize) -> Result<(), Low> {
        gauge.prepare(space, bytes);
        gauge.take(space, bytes, false)
    }

    #[test]
    fn it_is_looked_again_before_what_was_free_can_be_written() {
        let (space, mut gauge) = (space(FLOOR + 10 * WRITTEN_TIMES), Gauge::default());
        for _ in 0..10 {
            assert_eq!(room(&mut gauge, &space, 1), Ok(()));
        }
        assert_eq!(space.looks(), 1);
        assert_eq!(room(&mut gauge, &space, 1), Ok(()));
        assert_eq!(space.looks(), 2, "the eleventh byte might not have found room");
        space.pretend(FLOOR + KEPT_TIMES);
        gauge.known = None;
        for looks in 3..6 {
            assert_eq!(room(&mut gauge, &space, 1), Ok(()));
            assert_eq!(space.looks(), looks, "with nothing to spare it is looked each time");
        }
    }

    #[test]
    fn no_more_is_taken_than_is_free_above_the_floor_however_lately_it_was_looked() {
        let (space, mut gauge) = (space(FLOOR), Gauge::default());
        for (free, bytes, takes) in [(0, 1, false), (19, 10, false), (20, 10, true), (20, usize::MAX, false)] {
            space.pretend(FLOOR + free);
            gauge.known = None;
            let needed = FLOOR.saturating_add(kept(bytes));
            let expected = if takes { Ok(()) } else { Err(Low { free: FLOOR + free, floor: needed }) };
            assert_eq!(room(&mut gauge, &space, bytes), expected, "{bytes} bytes with {free} to spare");
        }
        // Of a batch, what there is room for is taken, whatever comes before it.
        space.pretend(FLOOR + 20);
        gauge.known = None;
        gauge.prepare(&space, 4 + 100 + 6 + 1);
        let taken = [4, 100, 6, 1].map(|bytes| gauge.take(&space, bytes, false).is_ok());
        assert_eq!((taken, space.looks()), ([true, false, true, false], 5));
    }

    #[test]
    fn too_little_is_too_little_until_it_is_looked_again() {
        let (space, mut gauge) = (space(FLOOR - 1), Gauge::default());
        let low = Low { free: FLOOR - 1, floor: FLOOR };
        assert_eq!(room(&mut gauge, &space, 1), Err(low));
        assert_eq!(gauge.low(&space, None), Some(low));
        space.pretend(2 * FLOOR);
        assert_eq!(room(&mut gauge, &space, 1), Err(low), "a storm of refusals doesn't ask the system each time");
        assert_eq!(space.looks(), 1);
        gauge.known.as_mut().unwrap().at -= LOOK_AGAIN_AFTER;
        assert_eq!(room(&mut gauge, &space, 1), Ok(()));
        assert_eq!(gauge.low(&space, None), None);
        let refused = Low { free: 2 * FLOOR, floor: 3 * FLOOR };
        assert_eq!(gauge.low(&space, Some(refused)), Some(refused), "what was refused has no room yet");
    }

    #[test]
    fn what_gives_space_back_has_a_floor_of_its_own() {
        let (space, mut gauge) = (space(FLOOR / LEAST_PART + KEPT_TIMES), Gauge::default());
        gauge.prepare(&space, 3);
        assert_eq!(gauge.take(&space, 1, false), Err(Low { free: 252, floor: FLOOR }));
        assert_eq!(gauge.take(&space, 1, true), Ok(()));
        assert_eq!(gauge.take(&space, 1, true), Err(Low { free: 250, floor: 252 }));
        space.pretend(FLOOR / LEAST_PART - 1);
        gauge.look(&space);
        assert_eq!(gauge.take(&space, 1, true), Err(Low { free: 249, floor: 250 }));
    }

    #[test]
    fn what_was_free_long_ago_does_not_count() {
        let (space, mut gauge) = (space(u64::MAX - 1), Gauge::default());
        assert_eq!(room(&mut gauge, &space, 1), Ok(()));
        space.pretend(0);
        assert_eq!(room(&mut gauge, &space, 1), Ok(()));
        gauge.known.as_mut().unwrap().at -= LOOK_EVERY;
        assert_eq!(room(&mut gauge, &space, 1), Err(Low { free: 0, floor: FLOOR }));
    }

    #[test]
    fn a_floor_of_nothing_switches_it_off() {
        let (space, mut gauge) = (Space::of(Path::new("/"), 0), Gauge::default());
        space.pretend(0);
        assert_eq!(
            (room(&mut gauge, &space, 1), space.low(1), gauge.low(&space, None), space.looks()),
            (Ok(()), None, None, 0)
        );
    }

    #[test]
    #[cfg(unix)]
    fn what_the_system_says_is_believed_and_what_it_cannot_say_is_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Space::of(dir.path(), 1).low(1), None);
        assert!(Space::of(dir.path(), u64::MAX).low(1).is_some_and(|low| low.free > 0));
        let gone = Space::of(&dir.path().join("gone"), u64::MAX);
        assert_eq!((gone.low(1), room(&mut Gauge::default(), &gone, 1)), (None, Ok(())));
    }
}
