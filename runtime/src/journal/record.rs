//! Writes and records: what one command stores. The bytes are described in `bytes.rs`.

use jiff::Timestamp;

use super::bytes::{
    Flaw, Malformed, Reader, VARINT_BYTES_MAX, Varint, len_u64, micros, push_prefixed, push_varint, varint_len,
};
use super::run::RunError;
use crate::codec::Codec;
use crate::id::SeqNr;

const KIND_EVENT: u8 = 1;
const KIND_TRANSITION: u8 = 2;
const KIND_CONSUMED: u8 = 3;
const KIND_RECEIPT: u8 = 4;
const KIND_TOMBSTONE: u8 = 10;
/// A tombstone as it is written.
pub(super) const TOMBSTONE: [u8; 2] = [KIND_TOMBSTONE, 0];
const KIND_SKIPPABLE: u8 = 0x80;

const TRANSITION_DUE: u8 = 0x01;
const TRANSITION_TRANSIENT: u8 = 0x02;

const KEY_UNIQUE: u8 = 1;
const KEY_RISING: u8 = 2;

const OUTCOME_REPLIED: u8 = 1;
const OUTCOME_REFUSED: u8 = 2;
const OUTCOME_NOT_ACCEPTED: u8 = 3;

const CAUSE_COMMAND: u8 = 1;
const CAUSE_DEADLINE: u8 = 2;

/// Stands for a name that isn't there: the aggregate's own, which no record refers to.
const NO_NAME: u64 = 0;

/// All of a record but its names and payload, at the most: kind, two bytes, a time, and five varints.
pub(super) const RECORD_BYTES_MAX: usize = 3 + 8 + 5 * VARINT_BYTES_MAX;

/// All of a write but its records, names and outcome, at the most: flags, key, outcome and cause with their kinds, and
/// seven varints.
pub(super) const WRITE_HEADER_BYTES_MAX: usize = 6 + 16 + 7 * VARINT_BYTES_MAX;

/// What one command stores, beside its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write<'a> {
    /// When it was handled.
    pub time: Timestamp,
    /// The key that its caller gave it.
    pub key: Option<StoredKey>,
    /// What its caller was answered; kept for a command with a key.
    pub outcome: Option<StoredOutcome<'a>>,
    /// What it was, in a state machine.
    pub cause: Option<StoredCause<'a>>,
}

impl Write<'_> {
    /// A write of records alone.
    pub fn at(time: Timestamp) -> Self {
        Self { time, key: None, outcome: None, cause: None }
    }
}

/// By which a repeated command is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredKey {
    /// The digest of a unique key.
    Unique([u8; 16]),
    /// A number from a source that numbers its commands.
    Rising(u64),
}

/// What a caller was answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StoredOutcome<'a> {
    /// The reply.
    Replied {
        /// How it is encoded.
        codec: Codec,
        /// Its bytes.
        payload: &'a [u8],
    },
    /// Why the handler refused.
    Refused {
        /// How it is encoded.
        codec: Codec,
        /// Its bytes.
        payload: &'a [u8],
    },
    /// The state didn't accept the command.
    NotAccepted {
        /// The state.
        state: &'a str,
    },
}

/// What a write was caused by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredCause<'a> {
    /// A command.
    Command(&'a str),
    /// The end of a state's time.
    Deadline {
        /// The sequence number of the record with which the state was entered.
        visit: SeqNr,
    },
}

/// One record of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// An event.
    Event(EventRecord<'a>),
    /// The step from one state into another, or into the same one anew.
    Transition(TransitionRecord<'a>),
    /// The deadline of a visit was handled, and the state stayed.
    DeadlineConsumed {
        /// The sequence number of the record with which the state was entered.
        visit: SeqNr,
    },
    /// A command with a key was answered and changed nothing.
    Receipt,
    /// The stream ends here: it was deleted, and nothing may follow.
    Tombstone,
    /// A kind that this version doesn't know and may skip. It still has a sequence number.
    Skipped {
        /// The kind's number.
        kind: u8,
    },
}

/// One event as it is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EventRecord<'a> {
    /// The stored name.
    pub name: &'a str,
    /// The version of the payload.
    pub version: u32,
    /// The codec of the payload.
    pub codec: Codec,
    /// The payload.
    pub payload: &'a [u8],
}

/// One transition as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransitionRecord<'a> {
    /// The state that was left; `None` where a machine begins in its initial state.
    pub from: Option<&'a str>,
    /// The state that was entered.
    pub to: &'a str,
    /// Whether the state that was entered isn't recovered to.
    pub transient: bool,
    /// When the time in the state ends.
    pub due: Option<Timestamp>,
}

/// What a run makes of its stream's deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Due {
    /// It stays as it was.
    #[default]
    Unchanged,
    /// There is none any more.
    Cleared,
    /// It is then.
    At(Timestamp),
}

impl Due {
    /// What two runs make of it, one after the other.
    pub(crate) fn then(self, later: Due) -> Due {
        if later == Due::Unchanged { self } else { later }
    }
}

impl std::fmt::Debug for EventRecord<'_> {
    /// Shows no payload.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventRecord")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("codec", &self.codec)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

impl std::fmt::Debug for StoredOutcome<'_> {
    /// Shows no payload.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoredOutcome::Replied { payload, .. } => write!(f, "Replied({} bytes)", payload.len()),
            StoredOutcome::Refused { payload, .. } => write!(f, "Refused({} bytes)", payload.len()),
            StoredOutcome::NotAccepted { state } => write!(f, "NotAccepted({state})"),
        }
    }
}

/// Gives a name its index in the run.
pub(super) type NameIndex<'n> = &'n mut dyn FnMut(&str) -> u64;
/// Finds the name with an index.
pub(super) type NameOf<'n, 'a> = &'n dyn Fn(u64) -> Result<&'a str, RunError>;

fn malformed(what: &'static str) -> RunError {
    Malformed { what, flaw: Flaw::OutOfRange }.into()
}

fn timestamp(micros: i64, what: &'static str) -> Result<Timestamp, RunError> {
    Timestamp::from_microsecond(micros).map_err(|_| malformed(what))
}

impl StoredKey {
    pub(super) fn push(self, bytes: &mut Vec<u8>) {
        match self {
            StoredKey::Unique(digest) => {
                bytes.push(KEY_UNIQUE);
                bytes.extend_from_slice(&digest);
            }
            StoredKey::Rising(number) => {
                bytes.push(KEY_RISING);
                push_varint(bytes, number);
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, RunError> {
        match reader.u8("a key's kind")? {
            KEY_UNIQUE => Ok(StoredKey::Unique(reader.array("a key")?)),
            KEY_RISING => Ok(StoredKey::Rising(reader.varint("a key")?)),
            kind => Err(RunError::NewerFeature { what: "a kind of key", number: kind.into() }),
        }
    }
}

impl<'a> StoredOutcome<'a> {
    pub(super) fn push(self, bytes: &mut Vec<u8>, name_index: NameIndex<'_>) {
        let (kind, codec, payload) = match self {
            StoredOutcome::Replied { codec, payload } => (OUTCOME_REPLIED, codec, payload),
            StoredOutcome::Refused { codec, payload } => (OUTCOME_REFUSED, codec, payload),
            StoredOutcome::NotAccepted { state } => {
                bytes.push(OUTCOME_NOT_ACCEPTED);
                push_varint(bytes, name_index(state));
                return;
            }
        };
        bytes.extend_from_slice(&[kind, codec.number()]);
        push_prefixed(bytes, payload);
    }

    pub(super) fn read(reader: &mut Reader<'a>, name_of: NameOf<'_, 'a>) -> Result<Self, RunError> {
        let kind = reader.u8("an outcome's kind")?;
        match kind {
            OUTCOME_NOT_ACCEPTED => {
                return Ok(StoredOutcome::NotAccepted { state: name_of(reader.varint("an outcome's state")?)? });
            }
            OUTCOME_REPLIED | OUTCOME_REFUSED => {}
            kind => return Err(RunError::NewerFeature { what: "a kind of outcome", number: kind.into() }),
        }
        let codec = codec(reader.u8("an outcome's codec")?)?;
        let payload = reader.prefixed("an outcome")?;
        Ok(match kind {
            OUTCOME_REPLIED => StoredOutcome::Replied { codec, payload },
            _ => StoredOutcome::Refused { codec, payload },
        })
    }

    /// Its length, or a little more, but for what every write may take.
    pub(super) fn bytes_at_most(self) -> usize {
        match self {
            StoredOutcome::Replied { payload, .. } | StoredOutcome::Refused { payload, .. } => payload.len(),
            StoredOutcome::NotAccepted { state } => state.len() + VARINT_BYTES_MAX,
        }
    }
}

impl<'a> StoredCause<'a> {
    pub(super) fn push(self, bytes: &mut Vec<u8>, name_index: NameIndex<'_>) {
        match self {
            StoredCause::Command(name) => {
                bytes.push(CAUSE_COMMAND);
                push_varint(bytes, name_index(name));
            }
            StoredCause::Deadline { visit } => {
                bytes.push(CAUSE_DEADLINE);
                push_varint(bytes, visit.0);
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'a>, name_of: NameOf<'_, 'a>) -> Result<Self, RunError> {
        match reader.u8("a cause's kind")? {
            CAUSE_COMMAND => Ok(StoredCause::Command(name_of(reader.varint("a cause's command")?)?)),
            CAUSE_DEADLINE => Ok(StoredCause::Deadline { visit: SeqNr(reader.varint("a cause's visit")?) }),
            kind => Err(RunError::NewerFeature { what: "a kind of cause", number: kind.into() }),
        }
    }

    /// The length of its name with what stands before it.
    pub(super) fn bytes_at_most(self) -> usize {
        match self {
            StoredCause::Command(name) => name.len() + VARINT_BYTES_MAX,
            StoredCause::Deadline { .. } => 0,
        }
    }
}

impl<'a> Record<'a> {
    /// Whether a write in which this record is the last about the deadline can make `due` of it. `None`: it says nothing
    /// about the deadline.
    pub(super) fn agrees_with(self, due: Due) -> Option<bool> {
        match self {
            Record::Transition(TransitionRecord { transient: true, .. }) => Some(due == Due::Unchanged),
            Record::Transition(transition) => Some(due == transition.due.map_or(Due::Cleared, Due::At)),
            Record::DeadlineConsumed { .. } => Some(!matches!(due, Due::At(_))),
            Record::Tombstone => Some(due == Due::Cleared),
            Record::Event(_) | Record::Receipt | Record::Skipped { .. } => None,
        }
    }

    /// Its length, or a little more.
    pub(super) fn bytes_at_most(self) -> usize {
        let content = match self {
            Record::Event(event) => event.name.len() + VARINT_BYTES_MAX + event.payload.len(),
            Record::Transition(transition) => {
                transition.from.map_or(0, str::len) + transition.to.len() + 2 * VARINT_BYTES_MAX
            }
            Record::DeadlineConsumed { .. } | Record::Receipt | Record::Tombstone | Record::Skipped { .. } => 0,
        };
        RECORD_BYTES_MAX.saturating_add(content)
    }

    pub(super) fn push(self, bytes: &mut Vec<u8>, name_index: NameIndex<'_>) {
        match self {
            Record::Event(event) => event.push(bytes, name_index),
            Record::Transition(transition) => transition.push(bytes, name_index),
            Record::DeadlineConsumed { visit } => {
                let visit = Varint::new(visit.0);
                bytes.push(KIND_CONSUMED);
                push_prefixed(bytes, visit.as_slice());
            }
            Record::Receipt => bytes.extend_from_slice(&[KIND_RECEIPT, 0]),
            Record::Tombstone => bytes.extend_from_slice(&TOMBSTONE),
            Record::Skipped { kind } => bytes.extend_from_slice(&[kind | KIND_SKIPPABLE, 0]),
        }
    }

    pub(super) fn read(write: &mut Reader<'a>, name_of: NameOf<'_, 'a>) -> Result<Self, RunError> {
        let kind = write.u8("a record's kind")?;
        let mut body = Reader::new(write.prefixed("a record")?);
        let record = match kind {
            KIND_EVENT => return Ok(Record::Event(EventRecord::read(body, name_of)?)),
            KIND_TRANSITION => Record::Transition(TransitionRecord::read(&mut body, name_of)?),
            KIND_CONSUMED => Record::DeadlineConsumed { visit: SeqNr(body.varint("a consumed deadline's visit")?) },
            KIND_RECEIPT => Record::Receipt,
            KIND_TOMBSTONE => Record::Tombstone,
            kind if kind & KIND_SKIPPABLE != 0 => return Ok(Record::Skipped { kind }),
            kind => return Err(RunError::NewerFeature { what: "a kind of record", number: kind.into() }),
        };
        body.end("a record")?;
        Ok(record)
    }
}

impl<'a> EventRecord<'a> {
    fn push(self, bytes: &mut Vec<u8>, name_index: NameIndex<'_>) {
        let (name, version) = (name_index(self.name), self.version.into());
        // The name, the version, the codec, no tags, and the payload.
        let len = varint_len(name) + varint_len(version) + 2 + self.payload.len();
        bytes.reserve(len + 1 + VARINT_BYTES_MAX);
        bytes.push(KIND_EVENT);
        push_varint(bytes, len_u64(len));
        push_varint(bytes, name);
        push_varint(bytes, version);
        bytes.extend_from_slice(&[self.codec.number(), 0]);
        bytes.extend_from_slice(self.payload);
    }

    fn read(mut body: Reader<'a>, name_of: NameOf<'_, 'a>) -> Result<Self, RunError> {
        let name = name_of(body.varint("an event's name")?)?;
        let version = u32::try_from(body.varint("an event's version")?).map_err(|_| malformed("an event's version"))?;
        let codec = codec(body.u8("an event's codec")?)?;
        let tags = body.varint("an event's number of tags")?;
        // Each tag takes at least one byte, so this ends with the bytes if the number is wrong.
        for _ in 0..tags {
            name_of(body.varint("an event's tag")?)?;
        }
        Ok(Self { name, version, codec, payload: body.rest() })
    }
}

impl<'a> TransitionRecord<'a> {
    fn push(self, bytes: &mut Vec<u8>, name_index: NameIndex<'_>) {
        let from = Varint::new(self.from.map_or(NO_NAME, &mut *name_index));
        let to = Varint::new(name_index(self.to));
        let mut flags = 0;
        if self.due.is_some() {
            flags |= TRANSITION_DUE;
        }
        if self.transient {
            flags |= TRANSITION_TRANSIENT;
        }
        let due = self.due.map(|due| micros(due).to_le_bytes());
        let len = from.as_slice().len() + to.as_slice().len() + 1 + due.map_or(0, |due| due.len());
        bytes.push(KIND_TRANSITION);
        push_varint(bytes, len_u64(len));
        bytes.extend_from_slice(from.as_slice());
        bytes.extend_from_slice(to.as_slice());
        bytes.push(flags);
        bytes.extend(due.into_iter().flatten());
    }

    fn read(body: &mut Reader<'a>, name_of: NameOf<'_, 'a>) -> Result<Self, RunError> {
        let from = match body.varint("a transition's origin")? {
            NO_NAME => None,
            index => Some(name_of(index)?),
        };
        let to = name_of(body.varint("a transition's target")?)?;
        let flags = body.u8("a transition's flags")?;
        if flags & !(TRANSITION_DUE | TRANSITION_TRANSIENT) != 0 {
            return Err(RunError::NewerFeature { what: "a flag of a transition", number: flags.into() });
        }
        let due = (flags & TRANSITION_DUE != 0)
            .then(|| timestamp(body.i64("a transition's deadline")?, "a transition's deadline"))
            .transpose()?;
        Ok(Self { from, to, transient: flags & TRANSITION_TRANSIENT != 0, due })
    }
}

fn codec(number: u8) -> Result<Codec, RunError> {
    Codec::from_number(number).map_err(|_| RunError::NewerFeature { what: "a codec", number: number.into() })
}
