//! Who reads the journal in order and must not lose records to retention.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::id::Offset;
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How far somebody has read the journal, such as a projection: while it is registered, no record behind it is deleted.
///
/// It is a cheap handle, and its clones are the same mark. Give it to [`Builder::reader`](crate::Builder::reader), with
/// the offset that the reader has stored for itself, and move it on when what was read is dealt with. Registered before
/// the system starts, it misses nothing: a deletion can't be quicker. What was deleted before a mark is registered with
/// [`System::register_reader`](crate::System::register_reader) is gone.
///
/// It stays registered until [`System::unregister_reader`](crate::System::unregister_reader) or the end of the system,
/// also when its handles are dropped: a reader that is down has still to read. When all are dropped, another mark of the
/// same name takes its place, such as that of the reader that was started again.
///
/// The streams of [`System::transitions`](crate::System::transitions) register themselves for as long as they live.
/// What a mark holds back isn't deleted by [`Retention`](crate::snapshot::Retention) nor by
/// [`System::delete`](crate::System::delete); [`System::forget`](crate::System::forget) doesn't wait for anybody.
///
/// ```
/// use annals::journal::MemoryJournal;
/// use annals::{Offset, ReadMark, System};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let stored_by_the_projection = Offset(17);
/// let billing = ReadMark::new("billing", stored_by_the_projection);
/// let system = System::builder().reader(&billing).start(MemoryJournal::new())?;
///
/// billing.move_to(Offset(20)); // when the records up to there are in its tables
/// billing.move_to(Offset(5)); // never goes back
/// assert_eq!(billing.offset(), Offset(20));
/// # system.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ReadMark {
    name: Arc<str>,
    offset: Arc<AtomicU64>,
}

impl ReadMark {
    /// Makes a mark for a reader with this name, which has read all records up to `offset`; 0 if it has read none.
    pub fn new(name: impl Into<Arc<str>>, offset: Offset) -> Self {
        Self { name: name.into(), offset: Arc::new(AtomicU64::new(offset.0)) }
    }

    /// The reader's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The last record that was read.
    pub fn offset(&self) -> Offset {
        Offset(self.offset.load(Ordering::SeqCst))
    }

    /// Says that all records up to this one were read and aren't needed any more. It only goes forward: with an offset
    /// that was passed already, nothing changes.
    pub fn move_to(&self, offset: Offset) {
        self.offset.fetch_max(offset.0, Ordering::SeqCst);
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.offset, &other.offset)
    }

    /// Whether the one who asks has the only handle.
    fn is_alone(&self) -> bool {
        Arc::strong_count(&self.offset) == 1
    }
}

impl fmt::Debug for ReadMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadMark").field("name", &self.name).field("offset", &self.offset()).finish()
    }
}

/// Why a reader was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReaderError {
    /// Another reader has the name, and somebody holds its mark.
    #[error("there is a reader `{name}` already: each has a name of its own")]
    NameTaken {
        /// The name.
        name: Arc<str>,
    },
}

/// A reader that hasn't read all, and how far it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) reader: Arc<str>,
    pub(crate) offset: Offset,
}

/// The readers of a system.
#[derive(Default)]
pub(crate) struct Readers(Mutex<Vec<Reader>>);

struct Reader {
    mark: ReadMark,
    /// The aggregate whose records it reads; `None` for all.
    aggregate: Option<&'static str>,
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers readers before anything runs.
    pub(crate) fn of(marks: &[ReadMark]) -> Result<Self, ReaderError> {
        let readers = Self::default();
        marks.iter().try_for_each(|mark| readers.register(mark))?;
        Ok(readers)
    }

    /// Registers a reader under its name. The same mark again changes nothing.
    pub(crate) fn register(&self, mark: &ReadMark) -> Result<(), ReaderError> {
        let mut readers = self.lock();
        match readers.iter_mut().find(|reader| reader.aggregate.is_none() && reader.mark.name == mark.name) {
            Some(reader) if reader.mark.is(mark) => {}
            Some(reader) if reader.mark.is_alone() => reader.mark = mark.clone(),
            Some(_) => return Err(ReaderError::NameTaken { name: mark.name.clone() }),
            None => readers.push(Reader { mark: mark.clone(), aggregate: None }),
        }
        Ok(())
    }

    /// Forgets the reader with this name; tells whether there was one.
    pub(crate) fn unregister(&self, name: &str) -> bool {
        let mut readers = self.lock();
        let before = readers.len();
        readers.retain(|reader| reader.aggregate.is_some() || &*reader.mark.name != name);
        readers.len() < before
    }

    /// Registers somebody who reads the records of one aggregate, until the answer is dropped. Its name is its own
    /// whatever others are called.
    pub(crate) fn follow(self: &Arc<Self>, name: &str, aggregate: &'static str, offset: Offset) -> Following {
        let mark = ReadMark::new(name, offset);
        self.lock().push(Reader { mark: mark.clone(), aggregate: Some(aggregate) });
        Following { readers: self.clone(), mark, aggregate }
    }

    /// The reader of an aggregate's records that has read least: nothing behind its offset may be deleted. `None` if
    /// nobody reads them.
    pub(crate) fn lowest(&self, aggregate: &str) -> Option<Behind> {
        let readers = self.lock();
        let reads_it = |reader: &&Reader| reader.aggregate.is_none_or(|only| only == aggregate);
        let offsets = readers.iter().filter(reads_it).map(|reader| (reader.mark.offset(), &reader.mark));
        let (offset, mark) = offsets.min_by_key(|(offset, _)| *offset)?;
        Some(Behind { reader: mark.name.clone(), offset })
    }
}

/// A reader that is registered while this lives.
pub(crate) struct Following {
    readers: Arc<Readers>,
    mark: ReadMark,
    aggregate: &'static str,
}

impl Following {
    /// Says that all records up to this one were read.
    pub(crate) fn move_to(&self, offset: Offset) {
        self.mark.move_to(offset);
    }

    /// The same reader, which reads again from behind an offset.
    pub(crate) fn again_after(self, offset: Offset) -> Self {
        // ORDER: the new one is there before the old one goes.
        self.readers.follow(&self.mark.name, self.aggregate, offset)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.readers.lock().retain(|reader| !reader.mark.is(&self.mark));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(reader: &str, offset: u64) -> Option<Behind> {
        Some(Behind { reader: reader.into(), offset: Offset(offset) })
    }

    #[test]
    fn the_reader_that_has_read_least_counts() {
        let (slow, quick) = (ReadMark::new("slow", Offset(3)), ReadMark::new("quick", Offset(9)));
        let readers = Readers::of(&[slow.clone(), quick]).unwrap();
        assert_eq!(readers.lowest("account"), behind("slow", 3));
        slow.clone().move_to(Offset(12));
        assert_eq!(readers.lowest("account"), behind("quick", 9));
        slow.move_to(Offset(1));
        assert_eq!(slow.offset(), Offset(12));
        assert!(readers.unregister("quick") && !readers.unregister("quick"));
        assert_eq!(readers.lowest("account"), behind("slow", 12));
        assert!(readers.unregister("slow"));
        assert_eq!(readers.lowest("account"), None);
    }

    #[test]
    fn a_name_is_taken_while_somebody_holds_its_mark() {
        let first = ReadMark::new("billing", Offset(3));
        let readers = Readers::of(std::slice::from_ref(&first)).unwrap();
        readers.register(&first.clone()).unwrap();
        let second = ReadMark::new("billing", Offset(2));
        assert_eq!(readers.register(&second), Err(ReaderError::NameTaken { name: "billing".into() }));
        assert!(Readers::of(&[first.clone(), second.clone()]).is_err());
        assert_eq!(readers.lowest("account"), behind("billing", 3));
        drop(first);
        assert_eq!(readers.lowest("account"), behind("billing", 3), "one that is down has still to read");
        readers.register(&second).unwrap();
        assert_eq!(readers.lowest("account"), behind("billing", 2));
    }

    #[test]
    fn who_follows_one_aggregate_holds_back_no_other_and_goes_with_its_guard() {
        let readers = Arc::new(Readers::default());
        let one = readers.follow("transitions", "lease", Offset(5));
        let two = readers.follow("transitions", "lease", Offset(7));
        assert_eq!((readers.lowest("lease"), readers.lowest("lock")), (behind("transitions", 5), None));
        assert!(!readers.unregister("transitions"));
        readers.register(&ReadMark::new("transitions", Offset(6))).unwrap();
        one.move_to(Offset(8));
        assert_eq!(readers.lowest("lease"), behind("transitions", 6));
        let one = one.again_after(Offset(1));
        assert_eq!(readers.lowest("lease"), behind("transitions", 1));
        drop((one, two));
        assert_eq!(readers.lowest("lease"), behind("transitions", 6));
    }
}
