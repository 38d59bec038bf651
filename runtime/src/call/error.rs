//! Why a call has no reply.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::codec::EncodeError;
use crate::id::{InvalidId, PersistenceId, SeqNr};
use crate::journal::{Cause, ReadError, RunKey, Why};
use crate::system::{Quarantined, Trouble};

/// Why a call has no reply.
///
/// `E` is the handler's own error type; where it is [`Never`], no arm is needed for [`CallError::Refused`].
///
/// What an error says of storing, it says of **this attempt**. Where an earlier attempt ended with [`CallError::Unknown`],
/// that one may be stored, whatever a repeat ends with, also with the same [key](super::Call::key): only an answer tells.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// The handler refused the command. Nothing was stored, but for this answer if the command has a key.
    #[error(transparent)]
    Refused(E),
    /// The state that the machine is in doesn't accept the command. Nothing was stored, but for this answer if the
    /// command has a key.
    #[error("{id}: `{command}` is not accepted in state `{state}`; it is accepted in {}", states(accepted_in))]
    NotAccepted {
        /// The entity.
        id: PersistenceId,
        /// The state.
        state: &'static str,
        /// The command.
        command: &'static str,
        /// The states that accept it.
        accepted_in: Vec<&'static str>,
    },
    /// A command with this key, or with a higher number, was handled before, and what it was answered can't be told:
    /// the number was left out then, or the answer has another type since, is deleted, or can't be read. Nothing more was
    /// stored.
    #[error(
        "{id}: a command with this key was handled before, up to sequence number {seq_nr}; its answer can't be told"
    )]
    AlreadyDone {
        /// The entity.
        id: PersistenceId,
        /// The record up to which the command is stored, or the one with the higher number.
        seq_nr: SeqNr,
    },
    /// A command with this key was handled before, and what it was answered can't be read now. Nothing more was stored; a
    /// repeat may be told, unless the error says that it is corrupt.
    #[error(
        "{id}: a command with this key was handled before, up to sequence number {seq_nr}; its answer can't be read now: {error}"
    )]
    AnswerUnread {
        /// The entity.
        id: PersistenceId,
        /// The record up to which the command is stored.
        seq_nr: SeqNr,
        /// Why not.
        error: ReadError,
    },
    /// There was no room for the call, and it was not to wait. Nothing was stored by this attempt; an earlier one that was
    /// [`CallError::Unknown`] may be stored.
    #[error("{id}: overloaded, {limit} calls are waiting already; try later, or let the call wait for room")]
    Overloaded {
        /// The entity.
        id: PersistenceId,
        /// How many calls may wait in the entity's lane.
        limit: usize,
    },
    /// Nothing is stored by this attempt, for certain. If it was the first one, or none before it was
    /// [`CallError::Unknown`], it is safe to repeat.
    ///
    /// It is no proof that an earlier attempt isn't stored, not even with the same [key](super::Call::key): after one that was
    /// [`CallError::Unknown`], the journal has failed and takes nothing, so a repeat ends like this either way. Then
    /// repeat it with its key after the journal was opened again, or ask [`System::settle`](crate::System::settle).
    #[error("{id}: not stored by this attempt: {why}")]
    NotStored {
        /// The entity.
        id: PersistenceId,
        /// Why not.
        why: NotStored,
    },
    /// The command may be stored: a repeat without a [key](super::Call::key) could store it twice. It stays unknown until a repeat
    /// with its key is answered, or [`System::settle`](crate::System::settle) tells.
    #[error("{id}: may be stored or not: {why}")]
    Unknown {
        /// The entity.
        id: PersistenceId,
        /// Why nobody knows.
        why: Unknown,
    },
    /// The entity can't be loaded, or is left alone for a while. Nothing was stored by this attempt; an earlier one that
    /// was [`CallError::Unknown`] may be stored.
    ///
    /// [`System::quarantined`](crate::System::quarantined) tells more of it.
    #[error("{id}: {}: {reason}; the next attempt is at {retry_at}", quarantined(*trouble, *seq_nr))]
    Quarantined {
        /// The entity.
        id: PersistenceId,
        /// What kind of thing is wrong.
        trouble: Trouble,
        /// The record that can't be used, or the first that is missing.
        seq_nr: SeqNr,
        /// What is wrong with it.
        reason: Arc<str>,
        /// From when on a call makes another attempt.
        retry_at: Timestamp,
    },
    /// The entity was deleted with [`System::delete`](crate::System::delete) or
    /// [`System::forget`](crate::System::forget), for ever. Nothing was stored.
    #[error("{id}: deleted; its last record is {seq_nr}")]
    Deleted {
        /// The entity.
        id: PersistenceId,
        /// The sequence number of the record that ends its stream.
        seq_nr: SeqNr,
    },
    /// The handler, a fold or a reply panicked on this command. Nothing was stored by this attempt; an earlier one that was
    /// [`CallError::Unknown`] may be stored.
    #[error("{id}: `{command}` panicked: {message}; nothing was stored")]
    Panicked {
        /// The entity.
        id: PersistenceId,
        /// The command.
        command: &'static str,
        /// The panic's message.
        message: Arc<str>,
    },
    /// The system takes no more calls. Nothing was stored by this attempt; an earlier one that was
    /// [`CallError::Unknown`] may be stored.
    #[error("{id}: the system has stopped; nothing was stored")]
    Stopped {
        /// The entity.
        id: PersistenceId,
    },
}

impl<E> CallError<E> {
    /// The refusal, or else the same error of a call that can't be refused.
    pub(crate) fn without_refusal(self) -> Result<E, CallError<Never>> {
        Err(match self {
            CallError::Refused(refusal) => return Ok(refusal),
            CallError::NotAccepted { id, state, command, accepted_in } => {
                CallError::NotAccepted { id, state, command, accepted_in }
            }
            CallError::AlreadyDone { id, seq_nr } => CallError::AlreadyDone { id, seq_nr },
            CallError::AnswerUnread { id, seq_nr, error } => CallError::AnswerUnread { id, seq_nr, error },
            CallError::Overloaded { id, limit } => CallError::Overloaded { id, limit },
            CallError::NotStored { id, why } => CallError::NotStored { id, why },
            CallError::Unknown { id, why } => CallError::Unknown { id, why },
            CallError::Quarantined { id, trouble, seq_nr, reason, retry_at } => {
                CallError::Quarantined { id, trouble, seq_nr, reason, retry_at }
            }
            CallError::Deleted { id, seq_nr } => CallError::Deleted { id, seq_nr },
            CallError::Panicked { id, command, message } => CallError::Panicked { id, command, message },
            CallError::Stopped { id } => CallError::Stopped { id },
        })
    }
}

/// Where and how an entity is in quarantine, for a message.
fn quarantined(trouble: Trouble, seq_nr: SeqNr) -> String {
    match trouble {
        Trouble::Unreadable => "can't be read now".to_owned(),
        Trouble::Commands => "left alone for a while".to_owned(),
        _ => format!("quarantined at sequence number {seq_nr}"),
    }
}

/// A list of states for a message.
fn states(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

/// What can't be: the refusal of a handler that never refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Never {}

/// Why nothing of a command is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotStored {
    /// The id can't name an entity.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// An event of the step can't be stored in a form that can be read again.
    #[error("event `{event}` was refused: {error}")]
    Event {
        /// The event's stored name, or the enum's if not even that could be told.
        event: &'static str,
        /// What is wrong with it.
        error: EncodeError,
    },
    /// What a command with a key is answered can't be stored in a form that can be read again.
    #[error("its answer can't be stored with its key: {0}")]
    Answer(EncodeError),
    /// The journal didn't take it.
    #[error("{0}")]
    Journal(#[from] Why),
    /// It was decided on data that a failed write had promised.
    #[error(
        "an earlier write of the entity failed, and this call was decided on its data or waited behind it; repeat it"
    )]
    EarlierWriteFailed,
    /// The caller's time was over before the call was sent.
    #[error("no room within {} ms", within.as_millis())]
    TimedOut {
        /// The time that [`Call::within`](super::Call::within) allowed.
        within: Duration,
    },
}

/// Why nobody knows whether a command is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unknown {
    /// The journal failed while it was writing.
    #[error("{cause}")]
    Journal {
        /// What went wrong.
        cause: Cause,
        /// The run that the command was part of: [`System::settle`](crate::System::settle) tells what became of it.
        run: Arc<RunKey>,
    },
    /// The journal failed while it destroyed the entity's key. Asking again is harmless, and completes it.
    #[error("{0}")]
    Forgetting(Cause),
    /// The caller's time was over after the call was sent.
    #[error("no answer within {} ms", within.as_millis())]
    TimedOut {
        /// The time that [`Call::within`](super::Call::within) allowed.
        within: Duration,
    },
    /// The system, or the tokio runtime it ran on, was dropped, or shutdown's time was over.
    #[error("the system went away before it answered")]
    Dropped,
}

/// A [`CallError`] without the handler's own.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    Overloaded { id: PersistenceId, limit: usize },
    NotStored { id: PersistenceId, why: NotStored },
    Unknown { id: PersistenceId, why: Unknown },
    Quarantined(Arc<Quarantined>),
    AnswerUnread { id: PersistenceId, seq_nr: SeqNr, error: ReadError },
    Deleted { id: PersistenceId, seq_nr: SeqNr },
    Panicked { id: PersistenceId, command: &'static str, message: Arc<str> },
    Stopped { id: PersistenceId },
}

impl<E> From<Failure> for CallError<E> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Overloaded { id, limit } => CallError::Overloaded { id, limit },
            Failure::NotStored { id, why } => CallError::NotStored { id, why },
            Failure::Unknown { id, why } => CallError::Unknown { id, why },
            Failure::Quarantined(quarantined) => CallError::Quarantined {
                id: quarantined.id.clone(),
                trouble: quarantined.trouble,
                seq_nr: quarantined.seq_nr,
                reason: quarantined.reason.clone(),
                retry_at: quarantined.retry_at,
            },
            Failure::AnswerUnread { id, seq_nr, error } => CallError::AnswerUnread { id, seq_nr, error },
            Failure::Deleted { id, seq_nr } => CallError::Deleted { id, seq_nr },
            Failure::Panicked { id, command, message } => CallError::Panicked { id, command, message },
            Failure::Stopped { id } => CallError::Stopped { id },
        }
    }
}
