//! Streams that can be forgotten: their runs are encrypted before they are handed to the writer, and decrypted each time
//! they are read. Nothing of them reaches the engine in the clear.
//!
//! ORDER: a key is on the disk before anything that is encrypted with it; that a stream is forgotten is on the disk
//! before its key is destroyed. So no row lacks its key but those of streams that are known to be forgotten.

use std::sync::Arc;

use super::Shared;
use super::engine::Engine;
use super::read::Stream;
use super::rows::{Content, StreamRow, hidden_id_key};
use super::streams::{Encryption, Open};
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::cipher::{DecryptError, NoRandomness, StreamCipher, StreamKey};
use crate::journal::floor::Floor;
use crate::journal::keys::KeysError;
use crate::journal::run::{Run, RunError, RunView, stored_checksum};
use crate::journal::sealed::{SealedRun, seal};
use crate::journal::{Cipher, ReadError, Why, lock};

/// For each run of a group what it is encrypted with. The last ones may be missing if they aren't encrypted.
pub(super) type Ciphers = Vec<Option<Arc<StreamCipher>>>;

impl Shared {
    /// Encrypts the runs of a group whose streams can be forgotten. A verdict is the checksum of what is to be stored.
    pub(super) fn encrypt(&self, runs: &mut [Run], verdicts: &mut [Result<u64, Why>]) -> Ciphers {
        if !self.keys.are_given() && !runs.iter().any(|run| run.forgettable) {
            return Ciphers::new();
        }
        let encryptions: Vec<_> = {
            let streams = lock(&self.streams);
            runs.iter().map(|run| streams.encryption(run)).collect()
        };
        let mut ciphers = Ciphers::new();
        for (index, ((run, verdict), encryption)) in runs.iter_mut().zip(verdicts).zip(encryptions).enumerate() {
            if verdict.is_err() {
                continue;
            }
            let cipher = match encryption {
                Encryption::None => continue,
                Encryption::With(cipher) => Ok(cipher),
                Encryption::New => self.new_cipher(run),
            };
            let encrypted = cipher.map_err(|error| Why::Failed(error.to_string().into())).and_then(|cipher| {
                run.bytes = self.encrypted(run, cipher.key())?;
                ciphers.resize(index, None);
                ciphers.push(Some(cipher));
                Ok(stored_checksum(&run.bytes))
            });
            *verdict = encrypted;
        }
        ciphers
    }

    fn new_cipher(&self, run: &Run) -> Result<Arc<StreamCipher>, NoRandomness> {
        let cipher = StreamCipher::new(self.keys.draw(run.stream)?, self.keys.id_digest(&run.id));
        Ok(lock(&self.streams).encrypt(run, Arc::new(cipher)))
    }

    fn encrypted(&self, run: &Run, key: &StreamKey) -> Result<Vec<u8>, Why> {
        let sealed = seal(&run.bytes, self.facts.store, key);
        let sealed = sealed.map_err(|error| Why::BadRun(error.to_string().into()))?;
        sealed.ok_or_else(|| Why::BadRun("its stream is forgotten".into()))
    }

    /// The stream of an id that is hidden. Nothing is looked up where there are no keys.
    pub(super) fn find_hidden(&self, engine: &Engine, id: &PersistenceId) -> Result<Option<StreamNo>, ReadError> {
        if !self.keys.exist() {
            return Ok(None);
        }
        let mut key = Vec::with_capacity(64);
        hidden_id_key(&mut key, &id.aggregate, &self.keys.id_digest(id));
        self.stream_of(engine, Some(id), &key)
    }

    /// What encrypts for an open stream.
    pub(super) fn cipher(&self, stream: StreamNo) -> Result<Option<Arc<dyn Cipher>>, ReadError> {
        match lock(&self.streams).get(stream) {
            Some(Open { floor, .. }) if floor.forgotten => Err(ReadError::Forgotten { stream }),
            Some(Open { cipher, .. }) => Ok(cipher.map(|cipher| -> Arc<dyn Cipher> { cipher })),
            // To say that it isn't encrypted would have somebody store its data in the clear.
            None => Err(ReadError::Engine {
                what: format!("the key of stream {stream}"),
                error: "the stream isn't open".into(),
            }),
        }
    }

    /// The number of the key of a stream, as its last row says; `None` if it isn't encrypted.
    pub(super) fn key_number(&self, engine: &Engine, stream: StreamNo) -> Result<Option<u64>, ReadError> {
        let this = Stream::by_number(self, stream);
        let found = this.last_row(engine)?;
        let (key, row) = found.ok_or_else(|| this.corrupt(SeqNr(1), "it has a floor and no run"))?;
        match this.row(&key, &row)?.content {
            Content::Plain(_) => Ok(None),
            Content::Sealed(sealed) => Ok(Some(sealed.key())),
        }
    }
}

impl Stream<'_> {
    /// The run of a row as it was handed to the journal.
    pub(super) fn plain(&self, engine: &Engine, row: &StreamRow<'_>) -> Result<Vec<u8>, ReadError> {
        match &row.content {
            Content::Plain(_) => Ok(row.run.to_vec()),
            Content::Sealed(sealed) => self.decrypted(engine, sealed),
        }
    }

    fn decrypted(&self, engine: &Engine, sealed: &SealedRun<'_>) -> Result<Vec<u8>, ReadError> {
        let store = self.shared.facts.store;
        let open = |key: &StreamKey| match sealed.open(store, key) {
            Ok(plain) => Ok(plain),
            Err(DecryptError::Destroyed) => self.without_key(engine, sealed, "its key is destroyed"),
            Err(error @ (DecryptError::Changed | DecryptError::Malformed(_))) => {
                Err(self.corrupt(sealed.first(), format!("a run can't be decrypted: {error}")))
            }
        };
        let at_hand = self.cipher.clone().or_else(|| lock(&self.shared.streams).cipher(self.stream));
        let plain = match at_hand.filter(|cipher| cipher.key().number == sealed.key()) {
            Some(cipher) => open(cipher.key())?,
            None => open(&self.key(engine, sealed)?)?,
        };
        if let Some(id) = &self.id {
            let view = RunView::parse(&plain, store).map_err(|error| self.unreadable(sealed.first(), &error))?;
            if !view.is_of(id) {
                return Err(self.corrupt(sealed.first(), "a run of another stream is stored here"));
            }
        }
        Ok(plain)
    }

    fn unreadable(&self, first: SeqNr, error: &RunError) -> ReadError {
        self.corrupt(first, format!("a run can't be read: {error}"))
    }

    /// The key of a run, from the file of keys.
    pub(super) fn key(&self, engine: &Engine, sealed: &SealedRun<'_>) -> Result<StreamKey, ReadError> {
        match self.shared.keys.load(sealed.key(), self.stream) {
            Ok(key) => Ok(key),
            Err(KeysError::Io(error)) => Err(ReadError::Engine {
                what: format!("the key of stream {}", self.stream),
                error: error.to_string().into(),
            }),
            Err(error) => {
                let path = self.shared.keys.path().display();
                self.without_key(engine, sealed, &format!("its key can't be read from `{path}`: {error}"))
            }
        }
    }

    /// Says whether a stream without its key was forgotten, or else is corrupt.
    fn without_key<T>(&self, engine: &Engine, sealed: &SealedRun<'_>, reason: &str) -> Result<T, ReadError> {
        if self.shared.floor(engine, self.stream)?.forgotten {
            return Err(ReadError::Forgotten { stream: self.stream });
        }
        Err(self.corrupt(sealed.first(), reason))
    }

    /// Keeps the key of a row at hand, if the row is encrypted and its stream isn't forgotten; the number of the key,
    /// or 0.
    pub(super) fn take_key(&mut self, engine: &Engine, row: &StreamRow<'_>, floor: Floor) -> Result<u64, ReadError> {
        let Content::Sealed(sealed) = &row.content else { return Ok(0) };
        if let (Some(id), false) = (&self.id, floor.forgotten) {
            let digest = self.shared.keys.id_digest(id);
            self.cipher = Some(Arc::new(StreamCipher::new(self.key(engine, sealed)?, digest)));
        }
        Ok(sealed.key())
    }

    /// Whether the run of a row ends with a tombstone.
    pub(super) fn ends(&self, engine: &Engine, row: &StreamRow<'_>) -> Result<bool, ReadError> {
        let store = self.shared.facts.store;
        let ends = match &row.content {
            Content::Plain(_) => RunView::parse(row.run, store).and_then(|view| view.ends()),
            Content::Sealed(sealed) => {
                let plain = self.decrypted(engine, sealed)?;
                RunView::parse(&plain, store).and_then(|view| view.ends())
            }
        };
        ends.map_err(|error| self.unreadable(row.first(), &error))
    }

    /// The stream's name as a run has it; `None` if it is forgotten.
    pub(super) fn id_in(&self, engine: &Engine, row: &StreamRow<'_>) -> Result<Option<PersistenceId>, ReadError> {
        let named = |run: &[u8]| {
            let id = RunView::parse(run, self.shared.facts.store).map(|view| view.id());
            id.map(Some).map_err(|error| self.unreadable(row.first(), &error))
        };
        let sealed = match &row.content {
            Content::Plain(_) => return named(row.run),
            Content::Sealed(_) if self.shared.floor(engine, self.stream)?.forgotten => return Ok(None),
            Content::Sealed(sealed) => sealed,
        };
        match self.decrypted(engine, sealed) {
            Ok(plain) => named(&plain),
            Err(ReadError::Forgotten { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
