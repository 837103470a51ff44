//! What somebody may be allowed to do, and where.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Violation;
use crate::name::{EnvironmentName, OrganisationName, ProjectName};

/// How much something that permissions are held on holds: a level has everything of the levels after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// An organisation.
    Organisation,
    /// A project.
    Project,
    /// An environment.
    Environment,
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident $name:literal $level:ident $by_tag:literal)*) => {
        /// What somebody may be allowed to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Permission {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Permission {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Returns the name that errors and grants use.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns the level that it belongs to: it can be granted there, or above.
            pub const fn level(self) -> Level {
                match self { $(Self::$variant => Level::$level,)* }
            }

            /// Says whether a grant can limit it to features with certain tags.
            pub const fn can_be_limited_by_tag(self) -> bool {
                match self { $(Self::$variant => $by_tag,)* }
            }
        }
    };
}

permissions! {
    /// See an organisation, its members, groups and roles.
    ViewOrganisation "VIEW_ORGANISATION" Organisation false
    /// Everything in an organisation.
    OrganisationAdmin "ORGANISATION_ADMIN" Organisation false
    /// Create projects.
    CreateProject "CREATE_PROJECT" Organisation false
    /// Create, change and delete groups, and put members into them.
    ManageUserGroups "MANAGE_USER_GROUPS" Organisation false
    /// See a project, its features and its segments.
    ViewProject "VIEW_PROJECT" Project false
    /// Everything in a project.
    ProjectAdmin "PROJECT_ADMIN" Project false
    /// Create and clone environments.
    CreateEnvironment "CREATE_ENVIRONMENT" Project false
    /// Create and change features.
    CreateFeature "CREATE_FEATURE" Project false
    /// Delete features.
    DeleteFeature "DELETE_FEATURE" Project true
    /// Create, change and delete segments.
    ManageSegments "MANAGE_SEGMENTS" Project false
    /// See the change log of a project.
    ViewAuditLog "VIEW_AUDIT_LOG" Project false
    /// Choose the tags of features.
    ManageTags "MANAGE_TAGS" Project false
    /// Propose changes of segments.
    CreateProjectLevelChangeRequests "CREATE_PROJECT_LEVEL_CHANGE_REQUESTS" Project false
    /// Approve changes of segments.
    ApproveProjectLevelChangeRequests "APPROVE_PROJECT_LEVEL_CHANGE_REQUESTS" Project false
    /// Publish changes of segments.
    ManageProjectLevelChangeRequests "MANAGE_PROJECT_LEVEL_CHANGE_REQUESTS" Project false
    /// See an environment and its flags.
    ViewEnvironment "VIEW_ENVIRONMENT" Environment false
    /// Everything in an environment.
    EnvironmentAdmin "ENVIRONMENT_ADMIN" Environment false
    /// Change what an environment serves.
    UpdateFeatureState "UPDATE_FEATURE_STATE" Environment true
    /// Create, change and delete segment overrides.
    ManageSegmentOverrides "MANAGE_SEGMENT_OVERRIDES" Environment true
    /// See identities, their traits and overrides.
    ViewIdentities "VIEW_IDENTITIES" Environment false
    /// See, change and delete identities, their traits and overrides.
    ManageIdentities "MANAGE_IDENTITIES" Environment false
    /// Propose changes of flags.
    CreateChangeRequest "CREATE_CHANGE_REQUEST" Environment true
    /// Approve changes of flags.
    ApproveChangeRequest "APPROVE_CHANGE_REQUEST" Environment true
}

impl Permission {
    /// Says whether holding this means holding `other`, at the same place.
    pub fn implies(self, other: Self) -> bool {
        self == other
            || match self {
                Self::OrganisationAdmin => true,
                Self::ProjectAdmin => other.level() >= Level::Project,
                Self::EnvironmentAdmin => other.level() >= Level::Environment,
                Self::ManageIdentities => other == Self::ViewIdentities,
                _ => false,
            }
    }

    /// Says whether it is everything at its level.
    pub const fn is_administrator(self) -> bool {
        matches!(self, Self::OrganisationAdmin | Self::ProjectAdmin | Self::EnvironmentAdmin)
    }
}

/// What permissions are held on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Place {
    /// An organisation.
    Organisation(OrganisationName),
    /// A project.
    Project(ProjectName),
    /// An environment.
    Environment(EnvironmentName),
}

impl Place {
    /// Parses the name of an organisation, a project or an environment.
    pub fn parse(name: &str) -> Result<Self, Violation> {
        let pattern =
            "`organisations/{organisation}`, `…/projects/{project}` or `…/environments/{environment}`";
        match name.split('/').count() {
            2 => OrganisationName::parse(name).map(Self::Organisation),
            4 => ProjectName::parse(name).map(Self::Project),
            6 => EnvironmentName::parse(name).map(Self::Environment),
            _ => Err(Violation::new("", format!("must be {pattern}, is `{name}`"))),
        }
    }

    /// Returns its level.
    pub const fn level(&self) -> Level {
        match self {
            Self::Organisation(_) => Level::Organisation,
            Self::Project(_) => Level::Project,
            Self::Environment(_) => Level::Environment,
        }
    }

    /// Returns what it is called in errors.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Organisation(_) => "organisation",
            Self::Project(_) => "project",
            Self::Environment(_) => "environment",
        }
    }

    /// Returns the organisation that it is, or is in.
    pub const fn organisation(&self) -> &OrganisationName {
        match self {
            Self::Organisation(organisation) => organisation,
            Self::Project(project) => &project.organisation,
            Self::Environment(environment) => &environment.project.organisation,
        }
    }

    /// Returns the project that it is, or is in.
    pub const fn project(&self) -> Option<&ProjectName> {
        match self {
            Self::Organisation(_) => None,
            Self::Project(project) => Some(project),
            Self::Environment(environment) => Some(&environment.project),
        }
    }

    /// Says whether it is `other`, or holds it.
    pub fn covers(&self, other: &Self) -> bool {
        match self {
            Self::Organisation(organisation) => organisation == other.organisation(),
            Self::Project(project) => Some(project) == other.project(),
            Self::Environment(_) => self == other,
        }
    }

    /// Returns the permission that is everything there.
    pub const fn administrator(&self) -> Permission {
        match self {
            Self::Organisation(_) => Permission::OrganisationAdmin,
            Self::Project(_) => Permission::ProjectAdmin,
            Self::Environment(_) => Permission::EnvironmentAdmin,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organisation(name) => name.fmt(formatter),
            Self::Project(name) => name.fmt(formatter),
            Self::Environment(name) => name.fmt(formatter),
        }
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::parse(&name).map_err(|violation| violation.description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "organisations/acme/projects/shop";

    #[test]
    fn administrators_hold_everything_at_and_below_their_level() {
        for &permission in Permission::ALL {
            assert!(Permission::OrganisationAdmin.implies(permission));
            assert_eq!(Permission::ProjectAdmin.implies(permission), permission.level() >= Level::Project);
            assert_eq!(
                Permission::EnvironmentAdmin.implies(permission),
                permission.level() == Level::Environment
            );
        }
    }

    #[test]
    fn a_place_covers_what_is_in_it() {
        let place = |name: &str| Place::parse(name).unwrap();
        let (acme, shop) = (place("organisations/acme"), place(SHOP));
        let production = place(&format!("{SHOP}/environments/production"));
        let other = place("organisations/acme/projects/shop-2/environments/production");
        assert!(acme.covers(&acme) && acme.covers(&shop) && acme.covers(&production) && acme.covers(&other));
        assert!(
            shop.covers(&shop) && shop.covers(&production) && !shop.covers(&other) && !shop.covers(&acme)
        );
        assert!(production.covers(&production) && !production.covers(&shop) && !production.covers(&other));
        assert!(Place::parse(&format!("{SHOP}/features/x")).is_err());
        assert!(Place::parse("users/ada").is_err());
    }
}
