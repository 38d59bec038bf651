//! Everything that a store holds, as its readers see it.

use std::path::Path;

use annals::journal::{
    Armed, FjallJournal, FjallOptions, Journal, OpenError, ReadError, RunError, RunView, StoredRun, StreamHead,
};
use annals::snapshot::{Criteria, SnapshotStore, SnapshotStoreError};
use annals::{Offset, PersistenceId, SeqNr};

use super::ids;

const PAGE_BYTES: usize = 1 << 16;

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// All runs in their order.
    runs: Vec<StoredRun>,
    /// Where each entity's stream stands, and its runs.
    streams: Vec<(StreamHead, Vec<StoredRun>)>,
    armed: Vec<Armed>,
    /// The snapshots of each entity, the newest first.
    pub snapshots: Vec<Vec<(SeqNr, Vec<u8>)>>,
}

/// Why it isn't told what a store holds.
#[derive(Debug)]
pub enum Trouble {
    /// The store wasn't opened.
    Open(OpenError),
    /// It was opened, and something in it can't be read.
    Read(ReadError),
    /// Its readers contradict each other, or what they are to do.
    Wrong(String),
    /// Its events are all there; the snapshots can't be read.
    Snapshots(Box<Contents>, SnapshotStoreError),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Read(error) => error.fmt(f),
            Self::Wrong(why) => f.write_str(why),
            Self::Snapshots(_, error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<RunError> for Trouble {
    fn from(error: RunError) -> Self {
        Self::Wrong(format!("a run that was read is none: {error}"))
    }
}

impl Contents {
    /// Whether the events, the streams and the deadlines are the same, whatever the snapshots are.
    pub fn has_same_truth(&self, other: &Self) -> bool {
        (&self.runs, &self.streams, &self.armed) == (&other.runs, &other.streams, &other.armed)
    }

    /// Where the streams of the script's entities stand.
    pub fn heads(&self) -> Vec<StreamHead> {
        self.streams.iter().map(|(head, _)| *head).collect()
    }
}

/// Reads everything, and checks that nothing has a gap: all records in their order, each stream, the deadlines, the
/// snapshots.
///
/// # Errors
///
/// [`Trouble`]
pub async fn contents(journal: &FjallJournal, snapshots: &dyn SnapshotStore) -> Result<Contents, Trouble> {
    let runs = in_order(journal).await?;
    let (mut streams, mut names) = (Vec::new(), Vec::new());
    for id in ids() {
        let head = journal.open_stream(&id).await?;
        let read = stream(journal, &id, head).await;
        // What is encrypted has its snapshots under another name.
        match journal.cipher(head.stream) {
            Ok(None) => names.push(id),
            Ok(Some(cipher)) => names.push(PersistenceId::new(id.aggregate, cipher.pseudonym())),
            Err(ReadError::Forgotten { .. }) if head.ended => {}
            Err(error) => return Err(error.into()),
        }
        journal.close_stream(head.stream);
        streams.push((head, read?));
    }
    let armed = journal.armed().await?;
    let mut contents = Contents { runs, streams, armed, snapshots: Vec::new() };
    for name in names {
        match kept(snapshots, &name).await {
            Ok(kept) => contents.snapshots.push(kept),
            Err(error) => return Err(Trouble::Snapshots(Box::new(contents), error)),
        }
    }
    Ok(contents)
}

async fn in_order(journal: &FjallJournal) -> Result<Vec<StoredRun>, Trouble> {
    let (mut runs, mut after) = (Vec::new(), Offset(0));
    while after < journal.durable() {
        let page = journal.read_all(after, PAGE_BYTES).await?;
        for run in &page.runs {
            let view = RunView::parse(&run.bytes, journal.facts().store)?;
            if run.offset <= after {
                return Err(Trouble::Wrong(format!("offset {} comes behind {after}", run.offset)));
            }
            after = Offset(run.offset.0 + view.records() - 1);
            view.for_each(|_, _, _| Ok::<(), RunError>(()))?;
        }
        if page.runs.is_empty() {
            break;
        }
        runs.extend(page.runs);
    }
    Ok(runs)
}

async fn stream(journal: &FjallJournal, id: &PersistenceId, head: StreamHead) -> Result<Vec<StoredRun>, Trouble> {
    let (mut runs, mut last) = (Vec::new(), head.floor);
    while last < head.last {
        let page = match journal.read(head.stream, SeqNr(last.0 + 1), head.last, PAGE_BYTES).await {
            Err(ReadError::Forgotten { .. }) if head.ended => return Ok(runs),
            page => page?,
        };
        for run in &page.runs {
            let view = RunView::parse(&run.bytes, journal.facts().store)?;
            if !view.is_of(id) || run.stream != head.stream {
                return Err(Trouble::Wrong(format!("{id} got a run of {}", view.id())));
            }
            // The first one may begin with deleted records.
            if view.first().0 > last.0 + 1 || view.last() <= last {
                return Err(Trouble::Wrong(format!("{id} has {} to {} behind {last}", view.first(), view.last())));
            }
            last = view.last();
            view.for_each(|_, _, _| Ok::<(), RunError>(()))?;
        }
        if page.runs.is_empty() {
            return Err(Trouble::Wrong(format!("{id} ends with record {last}, and its last one is {}", head.last)));
        }
        runs.extend(page.runs);
    }
    Ok(runs)
}

async fn kept(snapshots: &dyn SnapshotStore, id: &PersistenceId) -> Result<Vec<(SeqNr, Vec<u8>)>, SnapshotStoreError> {
    let (mut kept, mut criteria) = (Vec::new(), Criteria::LATEST);
    while let Some(snapshot) = snapshots.load(id, criteria).await? {
        kept.push((snapshot.seq_nr, snapshot.bytes));
        let Some(older) = snapshot.seq_nr.0.checked_sub(1) else { break };
        criteria = Criteria::LATEST.to_seq(SeqNr(older));
    }
    Ok(kept)
}

/// Opens a store and reads everything in it. Nothing is added to it but that it was opened.
///
/// # Errors
///
/// [`Trouble`]
pub async fn opened(
    store: &Path,
    files: Option<&dyn SnapshotStore>,
    options: FjallOptions,
) -> Result<(FjallJournal, Contents), Trouble> {
    let journal = FjallJournal::open(store, options).map_err(Trouble::Open)?;
    let own = journal.snapshots();
    let snapshots = files.or(own.as_deref());
    let snapshots = snapshots.ok_or_else(|| Trouble::Wrong("there is no store of snapshots".to_owned()))?;
    let contents = contents(&journal, snapshots).await?;
    Ok((journal, contents))
}
