//! The floor of a stream: what of it is deleted.

use crate::id::SeqNr;

#[cfg(feature = "fjall")]
const ENDED: u8 = 0x01;
#[cfg(feature = "fjall")]
const FORGOTTEN: u8 = 0x02;

/// What of a stream is deleted. It only rises, in each of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Floor {
    /// The records up to this one are deleted; 0 if none is.
    pub(crate) to: SeqNr,
    /// The stream ends with a tombstone.
    pub(crate) ended: bool,
    /// The stream's key is destroyed, or about to be. Only a stream that has ended is forgotten.
    pub(crate) forgotten: bool,
}

impl Floor {
    /// The floor that a run with a tombstone leaves: all before that record is deleted.
    pub(crate) fn before_tombstone(tombstone: SeqNr) -> Self {
        Self { to: SeqNr(tombstone.0.saturating_sub(1)), ended: true, forgotten: false }
    }

    /// Both together.
    #[must_use]
    pub(crate) fn raised(self, other: Self) -> Self {
        Self {
            to: self.to.max(other.to),
            ended: self.ended || other.ended,
            forgotten: self.forgotten || other.forgotten,
        }
    }

    /// All flags that there are.
    #[cfg(feature = "fjall")]
    pub(crate) const FLAGS: u8 = ENDED | FORGOTTEN;

    #[cfg(feature = "fjall")]
    pub(crate) fn flags(self) -> u8 {
        let flag = |flag, set| if set { flag } else { 0 };
        flag(ENDED, self.ended) | flag(FORGOTTEN, self.forgotten)
    }

    /// The floor with these flags; none if there is no such floor.
    #[cfg(feature = "fjall")]
    pub(crate) fn of(to: SeqNr, flags: u8) -> Option<Self> {
        let floor = Self { to, ended: flags & ENDED != 0, forgotten: flags & FORGOTTEN != 0 };
        let is_known = floor.flags() == flags;
        (is_known && to < SeqNr(u64::MAX) && (floor.ended || !floor.forgotten)).then_some(floor)
    }
}
