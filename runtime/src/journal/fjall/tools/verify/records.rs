//! The check of a run's records: whose they are, and what they say.

use super::super::StoreError;
use super::Check;
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::ReadError;
use crate::journal::fjall::engine::Engine;
use crate::journal::fjall::read::Stream;
use crate::journal::fjall::rows::{Content, StreamRow, hidden_id_key, id_key, read_id_row};
use crate::journal::record::{Due, Record};
use crate::journal::run::{RunError, RunView};

/// What the records of a run come to.
pub(super) enum Records {
    /// All can be read; whether the last one is a tombstone.
    End(bool),
    /// Nobody can read them any more.
    Forgotten,
    /// That was told.
    Unreadable,
}

impl Check<'_> {
    /// Reads the records of a run, and holds its deadline against what the order says, where that is known.
    pub(super) fn records(
        &mut self,
        engine: &Engine,
        stream: StreamNo,
        row: &StreamRow<'_>,
        due: Option<Due>,
    ) -> Result<Records, StoreError> {
        let is_sealed = matches!(row.content, Content::Sealed(_));
        if is_sealed && self.floor(engine, stream).forgotten {
            return Ok(Records::Forgotten);
        }
        let bytes = match Stream::by_number(&self.view.shared, stream).plain(engine, row) {
            Ok(bytes) => bytes,
            Err(ReadError::Forgotten { .. }) => return Ok(Records::Forgotten),
            Err(error) => return self.noted(Err(error)).map(|()| Records::Unreadable),
        };
        match read_records(&bytes, self.store(), due) {
            Ok((id, ends)) => {
                self.owner(engine, stream, &id, is_sealed, row.first());
                Ok(Records::End(ends))
            }
            Err(reason) => {
                self.stream(stream, row.first(), reason);
                Ok(Records::Unreadable)
            }
        }
    }

    /// Says whether the id that a run has leads to its stream.
    fn owner(&mut self, engine: &Engine, stream: StreamNo, id: &PersistenceId, hidden: bool, first: SeqNr) {
        let mut key = Vec::new();
        if hidden {
            hidden_id_key(&mut key, &id.aggregate, &self.view.shared.keys.id_digest(id));
        } else {
            id_key(&mut key, id);
        }
        let found = engine.get(&key).ok().flatten();
        if found.and_then(|row| read_id_row(&row, self.store(), &key)) != Some(stream) {
            self.stream(
                stream,
                first,
                format!("its run is of {id}, whose id's row is missing, damaged or of another stream"),
            );
        }
    }
}

/// Reads all records of a plain run: whose it is, and whether it ends with a tombstone. What the order says of its deadline
/// must be what the records say.
fn read_records(run: &[u8], store: u64, due: Option<Due>) -> Result<(PersistenceId, bool), String> {
    let told = |error: RunError| format!("a run can't be read: {error}");
    let view = RunView::parse(run, store).map_err(told)?;
    let (mut ends, mut said) = (false, None);
    view.for_each(|_, _, record| {
        ends = record == Record::Tombstone;
        let is_transient = matches!(record, Record::Transition(transition) if transition.transient);
        if !is_transient && record.agrees_with(Due::Unchanged).is_some() {
            said = Some(record);
        }
        Ok::<(), RunError>(())
    })
    .map_err(told)?;
    let agrees = match (due, said) {
        (None, _) => true,
        (Some(due), None) => due == Due::Unchanged,
        // What became of the deadline before it counts, too.
        (Some(_), Some(Record::DeadlineConsumed { .. })) => true,
        (Some(due), Some(record)) => record.agrees_with(due).unwrap_or(true),
    };
    if !agrees {
        return Err("the order has another deadline for it than its records".into());
    }
    Ok((view.id(), ends))
}
