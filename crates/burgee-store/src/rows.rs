//! The rows of batches of identities, the same for both databases.

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

/// One trait of a stored identity, or a stored identity without traits.
#[derive(sqlx::FromRow)]
pub(crate) struct IdentityRow {
    /// The environment.
    pub(crate) environment_id: i64,
    /// The hash of the identifier.
    pub(crate) identity_hash: Vec<u8>,
    /// See [`burgee_core::identity::Identity::hashing_key`].
    pub(crate) hashing_key: Option<String>,
    /// The trait's key.
    pub(crate) key: Option<String>,
    /// The trait's value.
    pub(crate) value: Option<Json<TraitValue>>,
}

/// A trait to set, or to remove.
pub(crate) struct TraitRow {
    /// The environment.
    pub(crate) environment: i64,
    /// The hash of the identity's identifier.
    pub(crate) hash: Vec<u8>,
    /// The trait's key.
    pub(crate) key: String,
    /// The value; `None` when the trait is removed.
    pub(crate) value: Option<TraitValue>,
}
