//! Deleting and forgetting entities.

use std::sync::Arc;

use crate::aggregate::Aggregate;
use crate::answer::answer;
use crate::call::{CallError, Failure, Never, Unknown};
use crate::entity_ref::{EntityRef, send};
use crate::id::{EntityId, InvalidId, Offset, PersistenceId, SeqNr};
use crate::journal::{Journal, Outcome, ReadError, StreamHead, Why};
use crate::snapshot::{Criteria, Forgettable, SnapshotStore, SnapshotStoreError};
use crate::system::blocking::Runtime;
use crate::system::end::{End, NotEnded, ReadBefore, last_record};
use crate::system::readers::Readers;
use crate::system::{Inner, System};

/// How often a deletion begins again because the entity has moved on.
const ATTEMPTS_MAX: usize = 4;

/// An entity that is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// The entity.
    pub id: PersistenceId,
    /// The sequence number of the record that ends its stream: the only one that is left.
    pub seq_nr: SeqNr,
    /// How many snapshots of it were deleted this time.
    pub snapshots: usize,
}

/// Why an entity was not deleted, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// Nothing is stored under the id, and nothing was.
    #[error("{id}: there is nothing to delete")]
    NotFound {
        /// The entity.
        id: PersistenceId,
    },
    /// A registered reader has still to read some of it. Nothing was changed.
    #[error("{id}: reader `{reader}` has still to read it: it has read up to offset {offset}")]
    StillRead {
        /// The entity.
        id: PersistenceId,
        /// The reader that has read least.
        reader: Arc<str>,
        /// How far it has read.
        offset: Offset,
    },
    /// Whether the readers have read it can't be told, since its last record can't be read. Nothing was changed.
    #[error("{id}: can't tell whether its readers have read it: {reason}")]
    Unreadable {
        /// The entity.
        id: PersistenceId,
        /// What is wrong with the record.
        reason: Arc<str>,
    },
    /// Its end was not stored, or may be stored, as the error says.
    #[error(transparent)]
    Call(#[from] CallError<Never>),
    /// Its events are deleted, but not its snapshots. Asking again does it.
    #[error("{id}: its events are deleted, up to sequence number {seq_nr}, but not its snapshots: {error}")]
    SnapshotsLeft {
        /// The entity.
        id: PersistenceId,
        /// The sequence number of the record that ends its stream.
        seq_nr: SeqNr,
        /// Why not.
        error: SnapshotStoreError,
    },
}

/// Why an entity was not forgotten, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// Nothing is stored under the id, and nothing was.
    #[error("{id}: there is nothing to forget")]
    NotFound {
        /// The entity.
        id: PersistenceId,
    },
    /// Its stream isn't encrypted, since it was begun before the aggregate was `forgettable`. Nothing was changed:
    /// [`System::delete`] can delete it.
    #[error("{id}: it can't be forgotten, since its stream was begun without encryption; it can be deleted")]
    NotForgettable {
        /// The entity.
        id: PersistenceId,
    },
    /// Its end, or that its key is destroyed, was not stored, or may be stored, as the error says. Asking again is
    /// harmless, and completes it.
    #[error(transparent)]
    Call(#[from] CallError<Never>),
    /// The journal can't tell whether it can be forgotten. Asking again is harmless, and completes it.
    #[error("{id}: {error}")]
    Unreadable {
        /// The entity.
        id: PersistenceId,
        /// Why not.
        error: ReadError,
    },
    /// It is deleted and its key destroyed, but its snapshots are still there. They were encrypted with that key, where the
    /// journal encrypts, so that nobody can read them.
    #[error(
        "{id}: its events are deleted, up to sequence number {seq_nr}, and its key, but its snapshots stay: {error}"
    )]
    SnapshotsLeft {
        /// The entity.
        id: PersistenceId,
        /// The sequence number of the record that ends its stream.
        seq_nr: SeqNr,
        /// Why not.
        error: SnapshotStoreError,
    },
}

impl System {
    /// Deletes an entity for ever: its events, then its snapshots. What is left is one record that says so.
    ///
    /// It is ordered with the entity's calls: those before it are handled, and each one behind it ends with
    /// [`CallError::Deleted`]. Nobody learns of it before it is durable, and its deadline never comes. The id can't be used
    /// again. An entity that can't be loaded any more can be deleted, too. To delete it again is harmless.
    ///
    /// The bytes of what is deleted stay in the engine's files until those are rewritten. Where that may not be, write
    /// `forgettable` in the aggregate's attribute and use [`System::forget`].
    ///
    /// ```
    /// # use annals::prelude::*;
    /// # #[derive(Debug, Default, Serialize, Deserialize)]
    /// # pub struct Note { text: String }
    /// # #[aggregate]
    /// # impl Note {
    /// #     #[event] fn written(&mut self, text: String) { self.text = text }
    /// #     #[command] fn write(&self, text: String) -> Step { applying(NoteEvent::Written { text }) }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let system = System::builder().start(annals::journal::MemoryJournal::new())?;
    /// let note = system.get::<Note>("shopping");
    /// note.write("milk".to_owned()).await?;
    ///
    /// assert_eq!(system.delete::<Note>("shopping").await?.seq_nr.0, 2);
    /// let error = note.write("tea".to_owned()).await.unwrap_err();
    /// assert!(matches!(error, CallError::Deleted { .. }));
    /// # system.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`DeleteError`]. [`DeleteError::StillRead`] if somebody who is registered with
    /// [`Builder::reader`](crate::Builder::reader) or [`System::register_reader`], or a stream of
    /// [`System::transitions`], has still to read a record of it.
    ///
    /// # Panics
    ///
    /// As [`System::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was sent, nothing happens. Later, the entity is deleted all the same, but its snapshots may stay:
    /// asking again deletes them.
    pub async fn delete<A: Aggregate>(&self, id: impl Into<EntityId>) -> Result<Deleted, DeleteError> {
        Deletion::<A>::new(self, id.into()).delete().await
    }

    /// Forgets an entity: deletes it as [`System::delete`] does, and destroys the key with which its events and snapshots
    /// were encrypted. Then nobody can read them any more, nor its id, in any file of the journal or in a copy of it that
    /// has not the key: the file `keys` of a [`FjallJournal`](crate::journal::FjallJournal). So a backup with that file
    /// isn't forgotten. It doesn't wait for readers.
    ///
    /// That the id is taken stays known: calls end with [`CallError::Deleted`]. To forget it again is harmless, and
    /// completes what was interrupted.
    ///
    /// # Errors
    ///
    /// [`ForgetError`]. [`ForgetError::NotForgettable`] for an entity with events that were stored before its aggregate
    /// was `forgettable`.
    ///
    /// # Panics
    ///
    /// As [`System::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropped early, it may be done in part. Asking again completes it.
    pub async fn forget<A: Forgettable>(&self, id: impl Into<EntityId>) -> Result<Deleted, ForgetError> {
        Deletion::<A>::new(self, id.into()).forget().await
    }
}

/// One entity on its way out.
struct Deletion<A: Aggregate> {
    journal: Arc<dyn Journal>,
    snapshots: Option<Arc<dyn SnapshotStore>>,
    readers: Arc<Readers>,
    runtime: Runtime,
    entity: EntityRef<A>,
}

/// Why an entity didn't end its stream.
enum NotDone {
    Ended(NotEnded),
    Call(CallError<Never>),
}

impl<A: Aggregate> Deletion<A> {
    fn new(system: &System, id: EntityId) -> Self {
        let Inner { journal, snapshots, readers, registry, .. } = &*system.inner;
        let (journal, snapshots, readers) = (journal.clone(), snapshots.clone(), readers.clone());
        Self { journal, snapshots, readers, runtime: system.inner.runtime(), entity: registry.outside::<A>(id) }
    }

    fn id(&self) -> PersistenceId {
        PersistenceId::new(A::NAME, self.entity.id())
    }

    /// Says whether the id can name an entity.
    fn check(&self) -> Result<(), CallError<Never>> {
        let failure = |why: InvalidId| Failure::NotStored { id: self.id(), why: why.into() };
        self.entity.id().check().map_err(|why| failure(why).into())
    }

    async fn delete(&self) -> Result<Deleted, DeleteError> {
        self.check()?;
        let id = self.id();
        let mut attempts_left = ATTEMPTS_MAX;
        let seq_nr = loop {
            attempts_left -= 1;
            let last = if self.readers.lowest(A::NAME).is_some() { self.last().await? } else { None };
            match self.end(Some(ReadBefore { readers: self.readers.clone(), last })).await {
                Ok(seq_nr) => break seq_nr,
                Err(NotDone::Ended(NotEnded::Moved(_))) if attempts_left > 0 => {}
                Err(NotDone::Ended(NotEnded::Moved(behind) | NotEnded::StillRead(behind))) => {
                    return Err(DeleteError::StillRead { id, reader: behind.reader, offset: behind.offset });
                }
                Err(NotDone::Ended(NotEnded::Nothing)) => return Err(DeleteError::NotFound { id }),
                Err(NotDone::Call(error)) => return Err(error.into()),
            }
        };
        match self.delete_snapshots().await {
            Ok(snapshots) => Ok(Deleted { id, seq_nr, snapshots }),
            Err(error) => Err(DeleteError::SnapshotsLeft { id, seq_nr, error }),
        }
    }

    async fn forget(&self) -> Result<Deleted, ForgetError> {
        self.check()?;
        let id = self.id();
        // ORDER: asked before anything is deleted, though it can't be done before.
        if let Some(Outcome::NotStored(Why::NotForgettable)) = self.forget_stream().await? {
            return Err(ForgetError::NotForgettable { id });
        }
        let seq_nr = match self.end(None).await {
            Ok(seq_nr) => seq_nr,
            Err(NotDone::Ended(_)) => return Err(ForgetError::NotFound { id }),
            Err(NotDone::Call(error)) => return Err(error.into()),
        };
        // ORDER: while the key is there, which tells under which name they are stored. A store that fails doesn't keep the
        // key from being destroyed: then they can't be read either.
        let snapshots = self.delete_snapshots().await;
        let failure = match self.forget_stream().await? {
            Some(Outcome::Stored(_)) => {
                return match snapshots {
                    Ok(snapshots) => Ok(Deleted { id, seq_nr, snapshots }),
                    Err(error) => Err(ForgetError::SnapshotsLeft { id, seq_nr, error }),
                };
            }
            Some(Outcome::NotStored(why)) => Failure::NotStored { id, why: why.into() },
            Some(Outcome::Unknown(cause)) => Failure::Unknown { id, why: Unknown::Forgetting(cause) },
            None => return Err(ForgetError::NotFound { id }),
        };
        Err(CallError::from(failure).into())
    }

    /// Has the entity end its stream.
    async fn end(&self, read_before: Option<ReadBefore>) -> Result<SeqNr, NotDone> {
        let (caller, answered) = answer();
        let end = End::<A>::new(self.entity.id().clone(), read_before, caller);
        send(&self.entity, Box::new(end), answered).await.map_err(|error| match error.without_refusal() {
            Ok(not_ended) => NotDone::Ended(not_ended),
            Err(error) => NotDone::Call(error),
        })
    }

    /// The last record that is durable, and where it is.
    async fn last(&self) -> Result<Option<(SeqNr, Offset)>, DeleteError> {
        let found = self
            .with_stream(|journal, runtime, head| {
                // What has ended is as deleted as it can be; and of what is forgotten nothing can be read.
                if head.ended {
                    return Ok(None);
                }
                let last = last_record(journal, runtime, head.stream, head.last);
                last.map(|last| last.map(|(offset, _)| (head.last, offset)))
            })
            .await;
        let reason = match found {
            Ok(Ok(last)) => return Ok(last),
            Err(ReadError::Closed) => return Err(CallError::Stopped { id: self.id() }.into()),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Err(DeleteError::Unreadable { id: self.id(), reason: reason.into() })
    }

    /// Has the journal forget the stream, if it has ended; `None` if there is nothing in it.
    async fn forget_stream(&self) -> Result<Option<Outcome>, ForgetError> {
        let forgotten = self.with_stream(|journal, runtime, head| {
            (head.last > SeqNr::ZERO).then(|| runtime.block_on(journal.forget(head.stream)))
        });
        forgotten.await.map_err(|error| match error {
            ReadError::Closed => CallError::Stopped { id: self.id() }.into(),
            error => ForgetError::Unreadable { id: self.id(), error },
        })
    }

    /// Deletes what is in the store of snapshots, and says how many there were.
    async fn delete_snapshots(&self) -> Result<usize, SnapshotStoreError> {
        let Some(store) = self.snapshots.clone() else { return Ok(0) };
        let id = self.id();
        let deleted = self.with_stream(move |journal, runtime, head| {
            let stored_as = match journal.cipher(head.stream) {
                Ok(None) => id,
                Ok(Some(cipher)) => PersistenceId { entity: cipher.pseudonym(), ..id },
                // They went before the key.
                Err(ReadError::Forgotten { .. }) => return Ok(Ok(0)),
                Err(error) => return Err(error),
            };
            Ok(runtime.block_on(store.delete_matching(&stored_as, Criteria::LATEST)))
        });
        deleted.await.flatten().unwrap_or_else(|error| {
            Err(SnapshotStoreError::Failed { tried: "delete", id: self.id(), error: error.to_string().into() })
        })
    }

    /// Does something with the open stream, where blocking is allowed.
    async fn with_stream<T: Send + 'static>(
        &self,
        act: impl FnOnce(&dyn Journal, &Runtime, StreamHead) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let (journal, id, runtime) = (self.journal.clone(), self.id(), self.runtime.nearest());
        let acted = runtime.clone().spawn_blocking(move || {
            let head = runtime.block_on(journal.open_stream(&id))?;
            let acted = act(&*journal, &runtime, head);
            journal.close_stream(head.stream);
            Ok(acted)
        });
        // It isn't aborted, so it has panicked, or the runtime is gone.
        acted
            .await
            .unwrap_or_else(|error| Err(ReadError::Engine { what: "a stream".into(), error: error.to_string().into() }))
    }
}
