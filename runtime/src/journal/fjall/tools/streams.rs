//! The streams of a store, one after the other.

use std::sync::Arc;

use super::super::engine::Engine;
use super::super::read::Stream;
use super::super::rows::{Content, HIDDEN_ID, hidden_id_key, id_key, read_id_row};
use super::{StoreDir, StoreError, View};
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::{Corrupt, Place, ReadError};

/// What is known of a stream without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its aggregate.
    pub aggregate: Arc<str>,
    /// Its name; `None` if it is forgotten.
    pub id: Option<PersistenceId>,
    /// Its number in this journal.
    pub stream: StreamNo,
    /// The last sequence number.
    pub last: SeqNr,
    /// The records up to this one are deleted; 0 if none is.
    pub floor: SeqNr,
    /// Whether it was ended with a tombstone.
    pub ended: bool,
    /// Whether it was forgotten.
    pub forgotten: bool,
    /// Whether it is encrypted with a key of its own, so that it can be forgotten.
    pub encrypted: bool,
}

impl StreamInfo {
    /// The first record that isn't deleted, if there is one.
    pub fn first(&self) -> Option<SeqNr> {
        (self.floor < self.last && !self.forgotten).then(|| self.floor.next())
    }
}

impl StoreDir {
    /// The streams, in the order of their aggregates' lengths and names and then of their ids; behind them those that can
    /// be forgotten, in an order that says nothing. With an aggregate, only its streams; with a name, only those behind
    /// the stream of that name, which need not be there.
    ///
    /// They are read one by one, as they are asked for.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store can't be looked at. A stream that is damaged is an error among the others, and doesn't
    /// end them.
    pub fn streams(
        &mut self,
        aggregate: Option<&str>,
        after: Option<&PersistenceId>,
    ) -> Result<impl Iterator<Item = Result<StreamInfo, ReadError>> + use<'_>, StoreError> {
        let prefix = aggregate.map(|aggregate| {
            let mut key = Vec::new();
            id_key(&mut key, &PersistenceId::new(aggregate, ""));
            key
        });
        let view = self.view()?;
        let behind = after.map(|id| view.behind(id)).transpose()?;
        let ranges = [3, HIDDEN_ID].map(|tag| {
            let mut from = prefix.clone().unwrap_or_else(|| vec![tag]);
            from[0] = tag;
            let to = [&from[..], &[u8::MAX; 1024]].concat();
            (tag, behind.clone().unwrap_or_default().max(from), to)
        });
        let ranges = ranges.into_iter().filter(|(_, from, to)| from <= to);
        let rows = ranges.flat_map(move |(tag, from, to)| {
            let rows = view.with_engine(|engine| Ok(engine.range(&from, &to)));
            let rows = rows.into_iter().flatten();
            rows.map(move |row| {
                let (key, row) = row.map_err(|error| ReadError::Corrupt(view.corrupt_rows(error.to_string())))?;
                view.with_engine(|engine| view.info(engine, tag, &key, &row))
            })
        });
        Ok(rows)
    }

    /// What is known of one stream.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoStream`] if there is none of this name, and [`StoreError::Read`] if it is damaged.
    pub fn stream(&mut self, id: &PersistenceId) -> Result<StreamInfo, StoreError> {
        crate::journal::check_id(id)?;
        let view = self.view()?;
        let found = view.with_engine(|engine| {
            let mut key = Vec::new();
            id_key(&mut key, id);
            if let Some(stream) = view.shared.stream_of(engine, Some(id), &key)? {
                return view.info_of(engine, &id.aggregate, Some(id), stream).map(Some);
            }
            if !view.shared.keys.exist() {
                return Ok(None);
            }
            hidden_id_key(&mut key, &id.aggregate, &view.shared.keys.id_digest(id));
            match view.shared.stream_of(engine, Some(id), &key)? {
                Some(stream) => view.info_of(engine, &id.aggregate, Some(id), stream).map(Some),
                None => Ok(None),
            }
        })?;
        found.ok_or_else(|| StoreError::NoStream { id: id.clone() })
    }
}

impl View {
    pub(super) fn corrupt_rows(&self, reason: String) -> Corrupt {
        Corrupt { place: Place::File { path: self.shared.path.join(super::ENGINE) }, reason }
    }

    /// Behind which key the streams follow that come after one with this name.
    fn behind(&self, id: &PersistenceId) -> Result<Vec<u8>, ReadError> {
        let mut key = Vec::new();
        if self.shared.keys.exist() {
            hidden_id_key(&mut key, &id.aggregate, &self.shared.keys.id_digest(id));
            let hidden = self.with_engine(|engine| self.shared.stream_of(engine, Some(id), &key))?;
            if hidden.is_none() {
                id_key(&mut key, id);
            }
        } else {
            id_key(&mut key, id);
        }
        key.push(0);
        Ok(key)
    }

    fn info(&self, engine: &Engine, tag: u8, key: &[u8], row: &[u8]) -> Result<StreamInfo, ReadError> {
        let corrupt = |reason: &str| ReadError::Corrupt(self.corrupt_rows(reason.into()));
        let stream = read_id_row(row, self.shared.facts.store, key);
        let stream = stream.ok_or_else(|| corrupt("the digest of an id's row is wrong"))?;
        let (aggregate, entity) = parse_id_key(key).ok_or_else(|| corrupt("the key of an id's row is wrong"))?;
        let id =
            (tag != HIDDEN_ID).then(|| std::str::from_utf8(entity).map(|entity| PersistenceId::new(aggregate, entity)));
        let id = id.transpose().map_err(|_| corrupt("the id in its row's key is no text"))?;
        self.info_of(engine, aggregate, id.as_ref(), stream)
    }

    fn info_of(
        &self,
        engine: &Engine,
        aggregate: &str,
        id: Option<&PersistenceId>,
        stream: StreamNo,
    ) -> Result<StreamInfo, ReadError> {
        let this = Stream { id: id.cloned(), ..Stream::by_number(&self.shared, stream) };
        let found = this.last_row(engine)?;
        let (key, row) = found.ok_or_else(|| this.corrupt(SeqNr(1), "it has an id's row and no run"))?;
        let row = this.row(&key, &row)?;
        let floor = self.shared.floor(engine, stream)?;
        let encrypted = matches!(row.content, Content::Sealed(_));
        let id = match id {
            _ if floor.forgotten => None,
            Some(id) => Some(id.clone()),
            None => this.id_in(engine, &row)?,
        };
        Ok(StreamInfo {
            aggregate: aggregate.into(),
            id,
            stream,
            last: row.last(),
            floor: floor.to,
            ended: floor.ended,
            forgotten: floor.forgotten,
            encrypted,
        })
    }
}

/// The aggregate in the key of an id, and what follows it.
pub(super) fn parse_id_key(key: &[u8]) -> Option<(&str, &[u8])> {
    let (_tag, rest) = key.split_first()?;
    let (len, rest) = rest.split_first()?;
    let (aggregate, entity) = rest.split_at_checked(usize::from(*len))?;
    Some((std::str::from_utf8(aggregate).ok()?, entity))
}
