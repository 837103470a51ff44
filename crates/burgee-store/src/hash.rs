//! Identities are keyed by the SHA-256 of their identifier, which may be too long for an index entry.

use burgee_core::name::Identifier;
use sha2::{Digest, Sha256};

/// Returns the key of an identity's rows.
pub(crate) fn identity_hash(identifier: &Identifier) -> Vec<u8> {
    Sha256::digest(identifier.as_str().as_bytes()).to_vec()
}
