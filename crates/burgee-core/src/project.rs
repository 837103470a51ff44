//! Projects and their environments.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::name::{EnvironmentName, ProjectName};

/// Environments that share one set of features and segments; the unit of ordering.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// The resource name.
    pub name: ProjectName,
    /// What people read.
    pub display_name: String,
    /// Whether new flags start disabled and without a value, whatever their feature says.
    pub prevent_flag_defaults: bool,
    /// The newest revision.
    #[serde(skip)]
    pub revision: i64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Changes with every write of the project itself (not of what is in it).
    pub etag: String,
}

/// Changes to a project; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectPatch {
    /// See [`Project::display_name`].
    pub display_name: Option<String>,
    /// See [`Project::prevent_flag_defaults`].
    pub prevent_flag_defaults: Option<bool>,
}

/// What percentages hash for an identity that has no hashing key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityHashing {
    /// `{environment's hashing key}_{identifier}`: the same person may differ between environments.
    Composite,
    /// The identifier: the same person is in the same bucket in every environment.
    Identifier,
}

/// Separates configuration: every feature has its own flag in each environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The resource name.
    pub name: EnvironmentName,
    /// What people read, and what rules see as `$.environment.name`.
    pub display_name: String,
    /// For people.
    pub description: String,
    /// Whether disabled flags are left out of answers.
    pub hide_disabled_flags: bool,
    /// Whether traits sent with a client-side key count.
    pub allow_client_traits: bool,
    /// What percentages hash.
    pub identity_hashing: IdentityHashing,
    /// What rules see as `$.environment.key`, and composite identity keys begin with.
    pub hashing_key: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Changes with every write of the environment itself.
    pub etag: String,
}

/// Changes to an environment; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnvironmentPatch {
    /// See [`Environment::display_name`].
    pub display_name: Option<String>,
    /// See [`Environment::description`].
    pub description: Option<String>,
    /// See [`Environment::hide_disabled_flags`].
    pub hide_disabled_flags: Option<bool>,
    /// See [`Environment::allow_client_traits`].
    pub allow_client_traits: Option<bool>,
    /// See [`Environment::identity_hashing`].
    pub identity_hashing: Option<IdentityHashing>,
    /// See [`Environment::hashing_key`].
    pub hashing_key: Option<String>,
}
