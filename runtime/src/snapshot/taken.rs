//! A snapshot as it is taken of an entity, and as an entity is made of it again.

use std::sync::Arc;

use jiff::Timestamp;

use crate::aggregate::Aggregate;
use crate::codec::{Codec, DecodeError, NotWithin, Payload, encode_within};
use crate::contain::contained;
use crate::execute::Replayed;
use crate::id::{PersistenceId, SeqNr};
use crate::journal::Cipher;
use crate::key::Keys;
use crate::snapshot::bytes::{OpenedSnapshot, SnapshotBytesError, SnapshotDraft, SnapshotView, schema_hash};
use crate::snapshot::{SnapshotError, Snapshots, StoredSnapshot};
use crate::state::{Standing, State as _, has_states, is_transient, named};

/// What a snapshot needs beside its data, its keys and the ids, at most; encrypted, too.
const OVERHEAD_MAX: usize = 512;

/// Where an entity stands when a snapshot of it is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment<'a, S> {
    /// The last record that the data includes, and its time.
    pub(crate) seq_nr: SeqNr,
    pub(crate) time: Timestamp,
    pub(crate) standing: Standing<S>,
    /// The deadline of the standing's visit that waits in the journal for a version with a handler.
    pub(crate) unheard: Option<Timestamp>,
    pub(crate) keys: &'a Keys,
}

/// A snapshot whose data is written, and that isn't stored yet.
pub(crate) struct Taken {
    pub(crate) id: PersistenceId,
    pub(crate) seq_nr: SeqNr,
    time: Timestamp,
    state: Option<&'static str>,
    visit: SeqNr,
    due: Option<Timestamp>,
    pub(crate) keys: Keys,
    version: u32,
    schema: u64,
    codec: Codec,
    payload: Vec<u8>,
}

impl Taken {
    /// Takes a snapshot of at most `bytes_max` bytes.
    pub(crate) fn of<A: Aggregate>(
        id: PersistenceId,
        data: &A,
        at: Moment<'_, A::State>,
        bytes_max: usize,
    ) -> Result<Self, SnapshotError> {
        let Moment { seq_nr, time, standing, unheard, keys } = at;
        let Some(snapshots) = &A::SNAPSHOTS else { return Err(SnapshotError::NotDeclared) };
        if seq_nr == SeqNr::ZERO {
            return Err(SnapshotError::Nothing);
        }
        if is_transient::<A>(standing.state) {
            return Err(SnapshotError::Transient { state: standing.state.name() });
        }
        let mut payload = Vec::new();
        let beside = OVERHEAD_MAX + id.aggregate.len() + id.entity.as_str().len() + keys.bytes_max();
        let room = bytes_max.saturating_sub(beside);
        contained(|| encode_within(A::CODEC, data, &mut payload, room)).map_err(SnapshotError::Panicked)?.map_err(
            |why| match why {
                NotWithin::TooLong => SnapshotError::TooBig { limit: bytes_max },
                NotWithin::Encode(error) => error.into(),
            },
        )?;
        Ok(Self {
            id,
            seq_nr,
            time,
            state: has_states::<A>().then(|| standing.state.name()),
            visit: standing.visit,
            due: standing.due.get().or(unheard),
            keys: keys.clone(),
            version: snapshots.version,
            schema: schema_hash(snapshots.fields),
            codec: A::CODEC,
            payload,
        })
    }

    /// Its length, nearly.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len() + self.keys.bytes_max()
    }

    /// The bytes to store.
    pub(crate) fn encode(&self, store: u64, cipher: Option<&dyn Cipher>) -> StoredSnapshot {
        StoredSnapshot { seq_nr: self.seq_nr, time: self.time, bytes: self.draft().encode(store, cipher) }
    }

    /// Whether a stored snapshot is just this one.
    pub(crate) fn is(&self, stored: &StoredSnapshot, store: u64, cipher: Option<&dyn Cipher>) -> bool {
        OpenedSnapshot::open(&stored.bytes, store, cipher).is_ok_and(|opened| opened.is(&self.draft()))
    }

    fn draft(&self) -> SnapshotDraft<'_> {
        SnapshotDraft {
            aggregate: &self.id.aggregate,
            entity: self.id.entity.as_str(),
            seq_nr: self.seq_nr,
            time: self.time,
            state: self.state,
            visit: self.visit,
            due: self.due,
            keys: &self.keys,
            version: self.version,
            schema: self.schema,
            payload: Payload { codec: self.codec, bytes: &self.payload },
        }
    }
}

/// Why a stored snapshot can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error(transparent)]
    Bytes(#[from] SnapshotBytesError),
    #[error("its data is in version {found}, and this program knows it up to version {known}")]
    NewerVersion { found: u32, known: u32 },
    #[error(
        "its data is in version {version} with other fields than the program has: a change of fields needs a higher \
         `#[snapshot(version = ..)]`"
    )]
    OtherFields { version: u32 },
    #[error("its data in version {version} doesn't become the program's: {why}")]
    Decode { version: u32, why: DecodeError },
    #[error(
        "it stands in state `{name}`, which isn't there: if it was renamed or removed, name it in `was(..)` of the state that \
         it is now; a newer version may have written it"
    )]
    UnknownState { name: String },
    #[error("reading it panicked: {0}")]
    Panicked(Arc<str>),
}

/// Whose snapshot is read, and with what.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) id: &'a PersistenceId,
    /// The id of the journal's store.
    pub(crate) store: u64,
    pub(crate) cipher: Option<&'a dyn Cipher>,
    /// How many unique keys are remembered.
    pub(crate) keys_max: usize,
}

/// Makes an entity of a snapshot, as it stood then. Whatever panics on the way, it returns.
pub(crate) fn restore<A: Aggregate>(
    snapshots: &Snapshots<A>,
    stored: &StoredSnapshot,
    origin: Origin<'_>,
) -> Result<Replayed<A>, Unfit> {
    contained(|| restored(snapshots, stored, origin)).unwrap_or_else(|panic| Err(Unfit::Panicked(panic)))
}

/// Says whether an entity can be made of a snapshot, if its aggregate has any.
pub(crate) fn check<A: Aggregate>(stored: &StoredSnapshot, origin: Origin<'_>) -> Result<(), Unfit> {
    A::SNAPSHOTS.map_or(Ok(()), |snapshots| restore(&snapshots, stored, origin).map(drop))
}

fn restored<A: Aggregate>(
    snapshots: &Snapshots<A>,
    stored: &StoredSnapshot,
    origin: Origin<'_>,
) -> Result<Replayed<A>, Unfit> {
    let opened = OpenedSnapshot::open(&stored.bytes, origin.store, origin.cipher)?;
    let view = opened.view()?;
    view.check(origin.id, &stored.meta())?;
    let standing = standing::<A>(&view)?;
    let data = data(snapshots, &view)?;
    let SnapshotView { seq_nr, time, keys, .. } = view;
    Ok(Replayed::begun(data, (seq_nr, time), standing, keys, origin.keys_max))
}

fn standing<A: Aggregate>(view: &SnapshotView<'_>) -> Result<Standing<A::State>, Unfit> {
    // Without a state it was taken before the aggregate was a machine: then nothing has led away from the initial one.
    let Some(name) = view.state else { return Ok(Standing::initial::<A>()) };
    // Without a visit none has either, whatever the initial state was called then.
    if view.visit == SeqNr::ZERO {
        return Ok(Standing::initial::<A>());
    }
    let unknown = || Unfit::UnknownState { name: name.to_owned() };
    let state = named::<A>(name).filter(|state| !is_transient::<A>(*state)).ok_or_else(unknown)?;
    Ok(Standing { state, visit: view.visit, due: view.due.into() })
}

fn data<A: Aggregate>(snapshots: &Snapshots<A>, view: &SnapshotView<'_>) -> Result<A, Unfit> {
    let (version, known) = (view.version, snapshots.version);
    if version > known {
        return Err(Unfit::NewerVersion { found: version, known });
    }
    if version == known && view.schema != schema_hash(snapshots.fields) {
        return Err(Unfit::OtherFields { version });
    }
    let data = if version == known { view.payload.decode() } else { (snapshots.upcast)(version, view.payload) };
    data.map_err(|why| Unfit::Decode { version, why })
}
