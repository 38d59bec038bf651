//! A second fold of the same events beside the first, to find what a replay would find too late.

use std::fmt::Debug;

use super::Entity;
use crate::aggregate::Aggregate;
use crate::codec::{EncodeError, Payload, encode_value};
use crate::contain::contained;
use crate::execute::read;
use crate::id::SeqNr;
use crate::journal::{Record, len_u64};
use crate::verify::Comparison;

/// Data that has seen the same events, and a snapshot now and then where its aggregate takes any.
pub(super) struct Twin<A> {
    data: A,
    comparison: Comparison,
    /// What it has seen since it was the same the last time.
    since: Option<Since>,
}

/// One event, or some.
struct Since {
    first: SeqNr,
    last: SeqNr,
    /// The name of the last.
    event: String,
}

impl<A: Aggregate> Twin<A> {
    pub(super) fn new() -> Self {
        Self { data: A::default(), comparison: Comparison::new(A::CODEC), since: None }
    }

    fn apply(&mut self, seq_nr: SeqNr, name: &str, event: A::Event) {
        let first = self.since.as_ref().map_or(seq_nr, |since| since.first);
        self.since = Some(Since { first, last: seq_nr, event: name.to_owned() });
        self.data.apply(event);
    }

    /// Where a difference has come up that wasn't there before.
    fn place(&self) -> String {
        match &self.since {
            None => "before the first event".to_owned(),
            Some(Since { first, last, event }) if first == last => {
                format!("at sequence number {last}, event `{event}`,")
            }
            Some(Since { first, last, .. }) => format!("at one of the sequence numbers {first} to {last}"),
        }
    }

    /// Compares it with the other data, at this sequence number; at times not, unless it `must`.
    ///
    /// # Errors
    ///
    /// What is wrong, if there is anything; `Ok(false)` if the data can't be compared.
    fn check(&mut self, other: &A, seq_nr: SeqNr, must: bool) -> Result<bool, String> {
        if !self.comparison.is_due() && !must {
            return Ok(true);
        }
        let between = if A::SNAPSHOTS.is_some() { " and the snapshots between them" } else { "" };
        let compared = contained(|| {
            let mut loses = false;
            if let Some(snapshots) = &A::SNAPSHOTS {
                let read = through_snapshot(&self.data)?;
                loses = snapshots.loses(&self.data, &read);
                self.data = read;
            }
            let difference = self.comparison.difference(&self.data, other).map_err(|error| error.to_string())?;
            Ok::<_, String>((loses, difference))
        });
        let difference = match compared {
            Ok(Ok((true, _))) => {
                return Err(format!(
                    "{} the data is other data once it was written into a snapshot and read again: something is lost \
                     when it is written, such as `Some(None)`, or a field with `#[serde(skip)]` within it",
                    self.place()
                ));
            }
            Ok(Ok((false, difference))) => difference,
            Ok(Err(_)) if A::SNAPSHOTS.is_none() => return Ok(false),
            Err(_) if A::SNAPSHOTS.is_none() => return Ok(false),
            Ok(Err(error)) => return Err(format!("no snapshot can be taken at sequence number {seq_nr}: {error}")),
            Err(panic) => return Err(format!("taking a snapshot at sequence number {seq_nr} panicked: {panic}")),
        };
        let Some(difference) = difference else {
            self.since = None;
            return Ok(true);
        };
        let field = difference.field.map_or_else(String::new, |field| format!(" in `{field}`"));
        let hint = if A::SNAPSHOTS.is_some() {
            ", or on something that a snapshot doesn't hold, such as a field with `#[serde(skip)]`"
        } else {
            ""
        };
        let place = self.place();
        Err(format!(
            "{place} the data differs{field} from a second fold of the same events{between}: the fold depends on something \
             that is neither in the events nor in the data, such as the order of a `HashMap`, the time or a random \
             number{hint}"
        ))
    }
}

/// The data as it is when it was written into a snapshot and read again.
fn through_snapshot<A: Aggregate>(data: &A) -> Result<A, String> {
    let mut bytes = Vec::new();
    encode_value(A::CODEC, data, &mut bytes).map_err(|error| error.to_string())?;
    let read = Payload { codec: A::CODEC, bytes: &bytes }.decode();
    read.map_err(|error| EncodeError::ReadAgain(error).to_string())
}

impl<A> Entity<A>
where
    A: Aggregate<Event: Clone + Debug + PartialEq>,
{
    /// Has the twin see an event that was given, and notes what is wrong then.
    pub(super) fn fold_given(&mut self, name: &str, event: A::Event, is_last: bool) {
        let Some(twin) = &mut self.twin else { return };
        let seq_nr = self.cx.seq_nr();
        twin.apply(seq_nr, name, event);
        let checked = twin.check(&self.data, seq_nr, is_last);
        self.note(checked);
    }

    /// Compares the data before its first event, and notes what is wrong then.
    pub(super) fn compare_beginnings(&mut self) {
        let Some(twin) = &mut self.twin else { return };
        let checked = twin.check(&self.data, SeqNr::ZERO, true);
        self.note(checked);
    }

    /// Has the twin see what the draft holds, and notes what is wrong then.
    pub(super) fn fold_again(&mut self) {
        let Some(twin) = &mut self.twin else { return };
        let draft = &self.draft;
        let seq_nr = self.cx.seq_nr();
        let folded = contained(|| {
            let records = draft.records::<A>();
            let mut at = SeqNr(seq_nr.0.saturating_sub(len_u64(records.len())));
            for record in records {
                at = at.next();
                if let Record::Event(stored) = record
                    && let Some(event) = read::<A>(stored).map_err(|error| error.to_string())?
                {
                    twin.apply(at, stored.name, event);
                }
            }
            Ok::<(), String>(())
        });
        let checked = match folded {
            Ok(Ok(())) => twin.check(&self.data, seq_nr, false),
            Ok(Err(error)) => Err(format!("the events can't be read again at sequence number {seq_nr}: {error}")),
            Err(panic) => {
                Err(format!("a second fold of the same events panicked at sequence number {seq_nr}: {panic}"))
            }
        };
        self.note(checked);
    }

    /// Keeps what the twin has found, to be told by the test's own line.
    fn note(&mut self, checked: Result<bool, String>) {
        match checked {
            Ok(true) => {}
            Ok(false) => self.twin = None,
            Err(wrong) => {
                self.twin = None;
                self.wrong = Some(wrong);
            }
        }
    }
}
