//! Trust relationships: what has to be shown for a token of an organisation.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::claims::ClaimRule;
use crate::name::TrustRelationshipName;

/// What has to be shown for a token of an organisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrustRelationship {
    /// The resource name.
    pub name: TrustRelationshipName,
    /// What people read.
    pub display_name: String,
    /// Whose tokens are trusted, exactly as in their `iss`; never changes.
    pub issuer: String,
    /// What their `aud` must be or hold.
    pub audience: String,
    /// What they must say, all of them; at least one.
    pub claim_rules: Vec<ClaimRule>,
    /// Seconds for which a token is accepted after the exchange.
    pub token_lifetime_seconds: u32,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Changes with every write.
    pub etag: String,
}

/// Changes to a trust relationship; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrustRelationshipPatch {
    /// See [`TrustRelationship::display_name`].
    pub display_name: Option<String>,
    /// See [`TrustRelationship::audience`].
    pub audience: Option<String>,
    /// See [`TrustRelationship::claim_rules`].
    pub claim_rules: Option<Vec<ClaimRule>>,
    /// See [`TrustRelationship::token_lifetime_seconds`].
    pub token_lifetime_seconds: Option<u32>,
}
