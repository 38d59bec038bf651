//! Encryption: the key of a stream, what it encrypts, and the digest that stands for an id.
//!
//! The cipher is XChaCha20-Poly1305 (RFC 8439, with the nonces of 24 bytes of draft-irtf-cfrg-xchacha-03). The bytes
//! are described in `bytes.rs`.

use std::sync::atomic::{AtomicU64, Ordering};

use chacha20poly1305::aead::{AeadInOut, Generate};
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::bytes::{Flaw, Malformed, Reader};
use super::{Cipher, Corrupt, Place, ReadError};
use crate::id::{EntityId, PersistenceId, SeqNr, StreamNo};
use crate::sync::{Arc, PoisonError, RwLock};

pub(crate) const KEY_BYTES: usize = 32;
pub(crate) const NONCE_BYTES: usize = 24;
pub(crate) const TAG_BYTES: usize = 16;
const DRAWN_BYTES: usize = 16;

/// The bytes of a key; wiped when they are dropped.
pub(crate) type Secret = Zeroizing<[u8; KEY_BYTES]>;
/// Stands for an id where that may not be shown.
pub(crate) type IdDigest = [u8; 16];

/// What the system says when it has no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub(crate) struct NoRandomness;

/// Draws a key.
pub(crate) fn draw_secret() -> Result<Secret, NoRandomness> {
    Generate::try_generate().map(Zeroizing::new).map_err(|_| NoRandomness)
}

/// Gives nonces of which none is used twice: what was drawn when the journal was opened, and a counter.
#[derive(Debug)]
pub(crate) struct Nonces {
    drawn: [u8; DRAWN_BYTES],
    next: AtomicU64,
}

impl Nonces {
    pub(crate) fn draw() -> Result<Self, NoRandomness> {
        let drawn = Generate::try_generate().map_err(|_| NoRandomness)?;
        Ok(Self { drawn, next: AtomicU64::new(0) })
    }

    /// Nonces that a test knows.
    #[cfg(test)]
    pub(crate) fn fixed(drawn: [u8; DRAWN_BYTES]) -> Self {
        Self { drawn, next: AtomicU64::new(0) }
    }

    fn next(&self) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        let (drawn, counted) = nonce.split_at_mut(DRAWN_BYTES);
        drawn.copy_from_slice(&self.drawn);
        counted.copy_from_slice(&self.next.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        nonce
    }
}

/// The digest of an id under a secret: who doesn't have the secret can neither guess an id from it nor make two ids that
/// have the same.
///
/// A universal hash (the Poly1305 of the id, never shown) is the nonce of a pseudorandom function (XChaCha20), of whose
/// stream the digest is the beginning. The last eight bytes of the nonce tell the two uses of the secret apart.
pub(crate) fn id_digest(secret: &Secret, id: &PersistenceId) -> IdDigest {
    let aead = XChaCha20Poly1305::new((&**secret).into());
    let mut name = Vec::with_capacity(1 + id.aggregate.len() + id.entity.as_str().len());
    // An aggregate's name has at most 255 bytes: both journals check it before.
    name.push(u8::try_from(id.aggregate.len()).unwrap_or(u8::MAX));
    name.extend_from_slice(id.aggregate.as_bytes());
    name.extend_from_slice(id.entity.as_str().as_bytes());
    let hash = encrypt_in_place(&aead, &[0; NONCE_BYTES], &name, &mut []);
    let mut nonce = [1; NONCE_BYTES];
    nonce[..TAG_BYTES].copy_from_slice(&hash);
    let mut digest = IdDigest::default();
    encrypt_in_place(&aead, &nonce, &[], &mut digest);
    digest
}

/// The digest as text.
fn hex(digest: &IdDigest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encrypt_in_place(
    aead: &XChaCha20Poly1305,
    nonce: &[u8; NONCE_BYTES],
    covered: &[u8],
    bytes: &mut [u8],
) -> [u8; TAG_BYTES] {
    // Only what is longer than 256 GiB is refused.
    let tag = aead.encrypt_inout_detached(&XNonce::from(*nonce), covered, bytes.into());
    tag.map_or_else(|_| unreachable!("it is shorter than the cipher's limit"), Into::into)
}

/// The key of one stream.
pub(crate) struct StreamKey {
    /// Where it is in the file of keys.
    pub(crate) number: u64,
    /// The stream that it belongs to.
    pub(crate) stream: StreamNo,
    /// None once it is destroyed.
    secret: RwLock<Option<Secret>>,
    nonces: Arc<Nonces>,
}

/// Why something can't be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecryptError {
    #[error("its key is destroyed")]
    Destroyed,
    #[error("it was changed, or encrypted with another key")]
    Changed,
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl StreamKey {
    pub(crate) fn new(number: u64, stream: StreamNo, secret: Secret, nonces: Arc<Nonces>) -> Self {
        Self { number, stream, secret: RwLock::new(Some(secret)), nonces }
    }

    /// Does something with the key; None if it is destroyed. It isn't destroyed meanwhile.
    pub(crate) fn with_secret<T>(&self, with: impl FnOnce(&Secret) -> T) -> Option<T> {
        self.secret.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(with)
    }

    /// Wipes the key from memory. When this returns, nobody encrypts or decrypts with it any more.
    pub(crate) fn destroy(&self) {
        self.secret.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Encrypts what lies in `bytes` behind `begin`, and adds the tag; what lies before is covered by it. `begin` is
    /// where the nonce goes. None if the key is destroyed.
    pub(crate) fn encrypt_behind(&self, bytes: &mut Vec<u8>, begin: usize, plain: &[&[u8]]) -> Option<()> {
        let nonce = self.nonces.next();
        self.with_secret(|secret| {
            let aead = XChaCha20Poly1305::new((&**secret).into());
            let covered = self.covered(&bytes[..begin]);
            bytes.extend_from_slice(&nonce);
            for part in plain {
                bytes.extend_from_slice(part);
            }
            let tag = encrypt_in_place(&aead, &nonce, &covered, &mut bytes[begin + NONCE_BYTES..]);
            bytes.extend_from_slice(&tag);
        })
    }

    /// Decrypts `sealed`, which begins with the nonce and ends with the tag, if neither it nor `before` was changed.
    pub(crate) fn decrypt(&self, before: &[u8], sealed: &[u8]) -> Result<Vec<u8>, DecryptError> {
        let decrypted = self.with_secret(|secret| {
            let mut reader = Reader::new(sealed);
            let nonce: [u8; NONCE_BYTES] = reader.array("the nonce")?;
            let cut_off = Malformed { what: "what is encrypted", flaw: Flaw::CutOff };
            let (content, tag) = reader.rest().split_last_chunk::<TAG_BYTES>().ok_or(cut_off)?;
            let mut plain = content.to_vec();
            let aead = XChaCha20Poly1305::new((&**secret).into());
            let (covered, buffer) = (self.covered(before), plain.as_mut_slice().into());
            aead.decrypt_inout_detached(&XNonce::from(nonce), &covered, buffer, &Tag::from(*tag))
                .map_err(|_| DecryptError::Changed)?;
            Ok(plain)
        });
        decrypted.unwrap_or(Err(DecryptError::Destroyed))
    }

    /// What the tag covers beside what is encrypted: the stream, and what stands before it in the clear.
    fn covered(&self, before: &[u8]) -> Vec<u8> {
        [&self.stream.0.to_le_bytes(), before].concat()
    }
}

impl std::fmt::Debug for StreamKey {
    /// Shows no key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamKey").field("number", &self.number).field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// What encrypts for one stream what is stored of it elsewhere. The tag covers that it is no run: a run can't be passed
/// off as one of these, nor one of these as a run.
#[derive(Debug)]
pub(crate) struct StreamCipher {
    key: StreamKey,
    digest: IdDigest,
}

/// Stands before what is no run; a run begins with its format, which is never 0.
const ELSEWHERE: [u8; 1] = [0];

impl StreamCipher {
    pub(crate) fn new(key: StreamKey, digest: IdDigest) -> Self {
        Self { key, digest }
    }

    pub(crate) fn key(&self) -> &StreamKey {
        &self.key
    }

    /// What stands for the stream's id.
    pub(crate) fn digest(&self) -> &IdDigest {
        &self.digest
    }
}

impl Cipher for StreamCipher {
    fn pseudonym(&self) -> EntityId {
        EntityId::from(hex(&self.digest))
    }

    fn encrypt(&self, plain: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ELSEWHERE.len() + NONCE_BYTES + plain.len() + TAG_BYTES);
        bytes.extend_from_slice(&ELSEWHERE);
        // Nothing can be read any more of what is encrypted after the stream was forgotten.
        let _forgotten = self.key.encrypt_behind(&mut bytes, ELSEWHERE.len(), &[plain]);
        bytes
    }

    fn decrypt(&self, encrypted: &[u8]) -> Result<Vec<u8>, ReadError> {
        let stream = self.key.stream;
        let corrupt = |reason: String| {
            let place = Place::Stream { stream, id: None, from: SeqNr::ZERO };
            ReadError::from(Corrupt { place, reason: format!("what is stored of it elsewhere: {reason}") })
        };
        let sealed = encrypted.strip_prefix(&ELSEWHERE);
        let sealed = sealed.ok_or_else(|| corrupt("it isn't encrypted in a form that this version knows".into()))?;
        self.key.decrypt(&ELSEWHERE, sealed).map_err(|error| match error {
            DecryptError::Destroyed => ReadError::Forgotten { stream },
            error @ (DecryptError::Changed | DecryptError::Malformed(_)) => corrupt(error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: u8, aggregate: &str, entity: &str) -> String {
        hex(&id_digest(&Zeroizing::new([byte; KEY_BYTES]), &PersistenceId::new(aggregate, entity)))
    }

    #[test]
    fn the_digest_of_an_id_is_this_for_ever() {
        assert_eq!(digest(7, "account", "alice"), "374027148bc134e0d3026063fa000e96");
    }

    #[test]
    fn ids_and_secrets_that_differ_have_digests_that_differ() {
        let long = "x".repeat(512);
        let longer = format!("{}y", &long[1..]);
        let ids = [("ab", "c"), ("a", "bc"), ("a", "b"), ("a", "b\0"), ("a\0", "b"), ("a", &long), ("a", &longer)];
        let mut digests: Vec<_> =
            [7, 8].iter().flat_map(|byte| ids.map(|(aggregate, entity)| digest(*byte, aggregate, entity))).collect();
        let count = digests.len();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), count);
    }

    #[test]
    fn no_nonce_is_used_twice() {
        let (one, other) = (Nonces::draw().unwrap(), Nonces::draw().unwrap());
        let mut nonces: Vec<_> = (0..100).flat_map(|_| [one.next(), other.next()]).collect();
        nonces.sort_unstable();
        nonces.dedup();
        assert_eq!(nonces.len(), 200);
    }
}
