//! What the tests of the journals have in common. What every journal must do is in `testing/conformance`.

pub(super) mod deadlines;
pub(super) mod deletion;
pub(super) mod forgetting;

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Due, EventRecord, Journal, Outcome, Page, ReadError, Record, Run, RunBuilder, RunError, RunView, StreamHead, Write,
};
use crate::codec::Codec;
use crate::id::{Offset, PersistenceId, SeqNr, StreamNo};
use crate::oneshot::block_on;

/// Copies a journal; the zeros at the end of the engine's own journal stay a hole.
#[cfg(feature = "fjall")]
pub(super) fn copy_sparse(from: &std::path::Path, to: &std::path::Path) {
    use std::fs;

    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_sparse(&entry.path(), &to);
        } else {
            let bytes = fs::read(entry.path()).unwrap();
            fs::write(&to, &bytes[..written(&bytes)]).unwrap();
            fs::File::options().write(true).open(&to).unwrap().set_len(super::bytes::len_u64(bytes.len())).unwrap();
        }
    }
}

/// The bytes of an engine's journal that are written, after the last of which there are zeros only.
#[cfg(feature = "fjall")]
pub(super) fn written(journal: &[u8]) -> usize {
    journal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

pub(super) fn id(entity: &str) -> PersistenceId {
    PersistenceId::new("account", entity)
}

pub(super) fn open(journal: &dyn Journal, id: &PersistenceId) -> StreamHead {
    block_on(journal.open_stream(id)).unwrap()
}

/// A run of writes of one event each.
pub(super) fn run(journal: &dyn Journal, stream: StreamNo, id: &PersistenceId, first: u64, payloads: &[&[u8]]) -> Run {
    let mut run = RunBuilder::new(stream, id.clone(), SeqNr(first));
    for payload in payloads {
        let event = EventRecord { name: "happened", version: 1, codec: Codec::MessagePack, payload };
        run.push_write(&Write::at(Timestamp::UNIX_EPOCH), Due::Unchanged, [Record::Event(event)].into_iter());
    }
    run.seal(&journal.facts(), 1)
}

pub(super) fn append(journal: &dyn Journal, group: Vec<Run>) -> Vec<Outcome> {
    block_on(journal.append(group))
}

/// Opens a stream and stores a run behind its last.
pub(super) fn store(journal: &dyn Journal, id: &PersistenceId, payloads: &[&[u8]]) -> Offset {
    let StreamHead { stream, last, .. } = open(journal, id);
    let outcomes = append(journal, vec![run(journal, stream, id, last.0 + 1, payloads)]);
    journal.close_stream(stream);
    match outcomes.as_slice() {
        [Outcome::Stored(offset)] => *offset,
        other => panic!("{other:?}"),
    }
}

/// The sequence numbers and payloads of a page, without what is deleted.
pub(super) fn events(journal: &dyn Journal, page: &Page) -> Vec<(u64, Vec<u8>)> {
    let mut events = Vec::new();
    for run in &page.runs {
        let view = RunView::parse(&run.bytes, journal.facts().store).unwrap();
        let read = view.for_each(|seq, _, record| {
            if let Record::Event(event) = record
                && seq > run.floor
            {
                events.push((seq.0, event.payload.to_vec()));
            }
            Ok::<(), RunError>(())
        });
        read.unwrap();
    }
    events
}

/// All events of a stream, page by page.
pub(super) fn read(journal: &dyn Journal, id: &PersistenceId) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
    let stream = block_on(journal.open_stream(id))?.stream;
    let all = read_number(journal, stream);
    journal.close_stream(stream);
    all
}

/// All events of a stream of which the number is known.
pub(super) fn read_number(journal: &dyn Journal, stream: StreamNo) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
    let (mut all, mut next) = (Vec::new(), SeqNr(1));
    loop {
        let page = block_on(journal.read(stream, next, SeqNr(u64::MAX), usize::MAX))?;
        all.extend(events(journal, &page));
        let last = page.runs.last().map(|run| RunView::parse(&run.bytes, journal.facts().store).unwrap().last());
        match last.filter(|_| page.more) {
            Some(last) => next = last.next(),
            None => return Ok(all),
        }
    }
}

/// Everything in order, in small pages: offset, stream, first sequence number.
pub(super) fn read_all(journal: &dyn Journal, bytes_max: usize) -> Result<Vec<(u64, u64, u64)>, ReadError> {
    let mut all = Vec::new();
    let mut after = Offset(0);
    loop {
        let page = block_on(journal.read_all(after, bytes_max))?;
        for run in &page.runs {
            let view = RunView::parse(&run.bytes, journal.facts().store).unwrap();
            all.push((run.offset.0, run.stream.0, view.first().0));
            after = Offset(run.offset.0 + view.records() - 1);
        }
        if !page.more {
            return Ok(all);
        }
    }
}

/// A waker that does nothing.
pub(super) fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    let waker = std::task::Waker::from(Arc::new(Nobody));
    std::pin::Pin::new(future).poll(&mut std::task::Context::from_waker(&waker)).is_pending()
}

struct Nobody;

impl std::task::Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}
