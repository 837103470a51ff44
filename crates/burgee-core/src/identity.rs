//! Identities and their traits: data, not configuration, so they have no revision.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::name::{IdentityName, TraitKey};
use crate::value::TraitValue;

/// Somebody or something that flags are evaluated for, in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The resource name.
    pub name: IdentityName,
    /// What percentages hash instead of the environment's rule; an import sets the original's id.
    pub hashing_key: Option<String>,
    /// What rules see, ordered by key.
    pub traits: Vec<Trait>,
    /// When it was first identified.
    pub created_at: DateTime<Utc>,
}

/// A fact about an identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trait {
    /// Unique in the identity.
    pub key: TraitKey,
    /// The value.
    pub value: TraitValue,
}

/// Changes to an identity's traits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraitChanges {
    /// Added or replaced.
    pub set: Vec<Trait>,
    /// Removed, where present.
    pub remove: Vec<TraitKey>,
}
