//! Short digests, to tell whether something is still what it was.

use burgee_core::store::StoredIdentity;
use burgee_core::value::TraitValue;
use sha2::{Digest as _, Sha256};

/// Bytes of a digest: enough that no two things share one by chance.
pub(crate) const BYTES: usize = 16;

/// The beginning of a SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) [u8; BYTES]);

impl Digest {
    /// Ends a hash.
    pub(crate) fn of(hasher: Sha256) -> Self {
        let mut digest = [0; BYTES];
        digest.copy_from_slice(&hasher.finalize()[..BYTES]);
        Self(digest)
    }

    /// Digests what is stored of an identity.
    pub(crate) fn of_stored(stored: &StoredIdentity) -> Self {
        let mut hasher = Sha256::new();
        add_text(&mut hasher, stored.hashing_key.as_deref());
        for (key, value) in &stored.traits {
            add_trait(&mut hasher, key, Some(value));
        }
        Self::of(hasher)
    }
}

/// Adds a text to a hash so that where it ends is clear.
pub(crate) fn add_text(hasher: &mut Sha256, text: Option<&str>) {
    match text {
        None => hasher.update([0]),
        Some(text) => {
            hasher.update([1]);
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
    }
}

/// Adds a trait to a hash.
pub(crate) fn add_trait(hasher: &mut Sha256, key: &str, value: Option<&TraitValue>) {
    add_text(hasher, Some(key));
    match value {
        None => hasher.update([0]),
        Some(TraitValue::String(text)) => {
            hasher.update([1]);
            add_text(hasher, Some(text));
        }
        Some(TraitValue::Integer(integer)) => {
            hasher.update([2]);
            hasher.update(integer.to_be_bytes());
        }
        Some(TraitValue::Double(double)) => {
            hasher.update([3]);
            hasher.update(double.to_be_bytes());
        }
        Some(TraitValue::Boolean(boolean)) => hasher.update([4, u8::from(*boolean)]),
    }
}
