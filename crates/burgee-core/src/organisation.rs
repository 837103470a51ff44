//! Organisations, their members, and users.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::name::{MemberName, OrganisationName, UserName};

/// A company or department: members and projects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Organisation {
    /// The resource name.
    pub name: OrganisationName,
    /// What people read.
    pub display_name: String,
    /// Whether traits that callers send with Identify are stored; if not, they only count for that call.
    pub persist_trait_data: bool,
    /// Whether every evaluation of the organisation's environments is refused.
    pub stop_serving_flags: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Changes with every write.
    pub etag: String,
}

/// Changes to an organisation; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrganisationPatch {
    /// See [`Organisation::display_name`].
    pub display_name: Option<String>,
    /// See [`Organisation::persist_trait_data`].
    pub persist_trait_data: Option<bool>,
    /// See [`Organisation::stop_serving_flags`].
    pub stop_serving_flags: Option<bool>,
}

/// What a member may do in an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// What is granted.
    Member,
}

/// A user's membership of an organisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The resource name.
    pub name: MemberName,
    /// What the member may do.
    pub role: Role,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Changes with every write.
    pub etag: String,
}

/// One account, member of any number of organisations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The resource name.
    pub name: UserName,
    /// Unique, ignoring case.
    pub email: String,
    /// What people read.
    pub display_name: String,
    /// Whether the user may do everything on this server.
    pub administrator: bool,
    /// When the account was created.
    pub created_at: DateTime<Utc>,
    /// Changes with every write.
    pub etag: String,
}
