//! The rows of batches of identities, the same for both databases.

use std::collections::BTreeMap;

use burgee_core::value::TraitValue;
use chrono::{DateTime, Utc};
use sqlx::types::Json;

/// An identity to create if it is not there.
pub(crate) struct IdentityKey {
    /// The environment.
    pub(crate) environment: i64,
    /// The hash of the identifier.
    pub(crate) hash: Vec<u8>,
    /// The identifier.
    pub(crate) identifier: String,
    /// When it was first identified, if that is now.
    pub(crate) created_at: DateTime<Utc>,
}

/// A stored identity.
#[derive(sqlx::FromRow)]
pub(crate) struct IdentityRow {
    /// The environment.
    pub(crate) environment_id: i64,
    /// The hash of the identifier.
    pub(crate) identity_hash: Vec<u8>,
    /// See [`burgee_core::identity::Identity::hashing_key`].
    pub(crate) hashing_key: Option<String>,
    /// The traits, by key.
    pub(crate) traits: Json<BTreeMap<String, TraitValue>>,
}

/// All traits that an identity is to have.
pub(crate) struct TraitsRow {
    /// The environment.
    pub(crate) environment: i64,
    /// The hash of the identity's identifier.
    pub(crate) hash: Vec<u8>,
    /// The traits, by key.
    pub(crate) traits: BTreeMap<String, TraitValue>,
}
