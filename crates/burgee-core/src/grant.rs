//! Grants, roles, and what somebody holds by them.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Violation;
use crate::name::{
    GrantName, GroupId, GroupName, OrganisationName, RoleName, TokenName, TokenOwner, TrustRelationshipName,
    UserName,
};
use crate::organisation::Role;
use crate::permission::{Level, Permission, Place};

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// A person.
    User(UserName),
    /// A service account of an organisation.
    Token(TokenName),
    /// Whoever shows what a trust relationship asks for.
    TrustRelationship(TrustRelationshipName),
}

impl Principal {
    /// Returns the organisation that it belongs to; a person belongs to none.
    pub fn organisation(&self) -> Option<&OrganisationName> {
        match self {
            Self::User(_) => None,
            Self::Token(TokenName { owner: TokenOwner::Organisation(organisation), .. }) => {
                Some(organisation)
            }
            Self::Token(TokenName { owner: TokenOwner::User(_), .. }) => None,
            Self::TrustRelationship(name) => Some(&name.organisation),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => name.fmt(formatter),
            Self::Token(name) => name.fmt(formatter),
            Self::TrustRelationship(name) => name.fmt(formatter),
        }
    }
}

/// Whom something is granted to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Grantee {
    /// A member of the organisation.
    User(UserName),
    /// All members of a group.
    Group(GroupName),
    /// A service account of the organisation.
    Token(TokenName),
    /// Whoever shows what a trust relationship asks for.
    TrustRelationship(TrustRelationshipName),
}

impl Grantee {
    /// Parses the name of a user, a group, a token of an organisation or a trust relationship.
    pub fn parse(name: &str) -> Result<Self, Violation> {
        let wrong = || {
            let pattern = "`users/{user}`, `organisations/*/groups/{group}`, `organisations/*/tokens/{token}` or \
                           `organisations/*/trustRelationships/{trust_relationship}`";
            Violation::new("", format!("must be {pattern}, is `{name}`"))
        };
        match name.split('/').collect::<Vec<_>>()[..] {
            ["users", _] => UserName::parse(name).map(Self::User),
            ["organisations", _, "groups", _] => GroupName::parse(name).map(Self::Group),
            ["organisations", _, "tokens", _] => TokenName::parse(name).map(Self::Token),
            ["organisations", _, "trustRelationships", _] => {
                TrustRelationshipName::parse(name).map(Self::TrustRelationship)
            }
            _ => Err(wrong()),
        }
    }

    /// Returns the organisation that it belongs to; a person belongs to none.
    pub fn organisation(&self) -> Option<&OrganisationName> {
        match self {
            Self::User(_) => None,
            Self::Group(name) => Some(&name.organisation),
            Self::Token(name) => match &name.owner {
                TokenOwner::Organisation(organisation) => Some(organisation),
                TokenOwner::User(_) => None,
            },
            Self::TrustRelationship(name) => Some(&name.organisation),
        }
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => name.fmt(formatter),
            Self::Group(name) => name.fmt(formatter),
            Self::Token(name) => name.fmt(formatter),
            Self::TrustRelationship(name) => name.fmt(formatter),
        }
    }
}

impl From<Principal> for Grantee {
    fn from(principal: Principal) -> Self {
        match principal {
            Principal::User(name) => Self::User(name),
            Principal::Token(name) => Self::Token(name),
            Principal::TrustRelationship(name) => Self::TrustRelationship(name),
        }
    }
}

impl From<Grantee> for String {
    fn from(grantee: Grantee) -> Self {
        grantee.to_string()
    }
}

impl TryFrom<String> for Grantee {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::parse(&name).map_err(|violation| violation.description)
    }
}

/// A named set of permissions, to be granted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PermissionRole {
    /// The resource name.
    pub name: RoleName,
    /// What people read.
    pub display_name: String,
    /// For people.
    pub description: String,
    /// The permissions, in their order, each once.
    pub permissions: Vec<Permission>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Changes with every write.
    pub etag: String,
}

/// Changes to a role; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PermissionRolePatch {
    /// See [`PermissionRole::display_name`].
    pub display_name: Option<String>,
    /// See [`PermissionRole::description`].
    pub description: Option<String>,
    /// See [`PermissionRole::permissions`].
    pub permissions: Option<Vec<Permission>>,
}

/// Permissions that somebody was given on something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// The resource name.
    pub name: GrantName,
    /// Who; of the same organisation.
    pub grantee: Grantee,
    /// On what, and all that is below it; of the same organisation.
    pub place: Place,
    /// What, if not by a role.
    pub permissions: Vec<Permission>,
    /// What, if by a role of the same organisation.
    pub role: Option<RoleName>,
    /// Limits those of the permissions that can be limited to features with any of these tags; empty: no limit.
    pub tags: Vec<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// Permissions that somebody holds on something, by one grant.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// On what, and all that is below it.
    pub place: Place,
    /// The grant's own permissions and those of its role.
    pub permissions: Vec<Permission>,
    /// See [`Grant::tags`].
    pub tags: Vec<String>,
}

/// What somebody may do in one organisation: the union of everything they hold there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rights {
    /// Whether they may do everything on this server.
    pub administrator: bool,
    /// The role as a member; of a token or trust relationship of the organisation, [`Role::Member`].
    pub role: Option<Role>,
    /// What was granted to them and to their groups.
    pub held: Vec<Held>,
    /// The groups whose members they may add and remove.
    pub administered_groups: Vec<GroupId>,
}

/// For which features somebody holds a permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// For none.
    Nothing,
    /// For those that have one of these tags.
    Tagged(Vec<String>),
    /// For all.
    Everything,
}

impl Rights {
    /// Returns for which features they hold a permission at a place of the organisation.
    pub fn extent(&self, permission: Permission, place: &Place) -> Extent {
        if self.is_administrator() || self.role.is_some() && permission == Permission::ViewOrganisation {
            return Extent::Everything;
        }
        let mut tags = Vec::new();
        for held in self.held.iter().filter(|held| held.place.covers(place)) {
            for has in held.effective().filter(|has| has.implies(permission)) {
                if held.tags.is_empty() || !has.can_be_limited_by_tag() {
                    return Extent::Everything;
                }
                tags.extend(held.tags.iter().cloned());
            }
        }
        tags.sort_unstable();
        tags.dedup();
        if tags.is_empty() { Extent::Nothing } else { Extent::Tagged(tags) }
    }

    /// Says whether they may do everything in the organisation.
    pub fn is_administrator(&self) -> bool {
        self.administrator || self.role == Some(Role::Admin)
    }

    /// Says whether they hold a permission at a place, for all features.
    pub fn allows(&self, permission: Permission, place: &Place) -> bool {
        self.extent(permission, place) == Extent::Everything
    }

    /// Says whether they may know that a place exists: they hold something there, or on something in it.
    pub fn sees(&self, place: &Place) -> bool {
        if self.is_administrator() || self.role.is_some() && place.level() == Level::Organisation {
            return true;
        }
        self.held.iter().any(|held| {
            let reaches = |has: Permission| has.is_administrator() || has.level() >= place.level();
            place.covers(&held.place) || held.place.covers(place) && held.effective().any(reaches)
        })
    }
}

impl Held {
    /// Iterates over the permissions that have an effect: those of levels above have none.
    fn effective(&self) -> impl Iterator<Item = Permission> {
        self.permissions.iter().copied().filter(|has| has.level() >= self.place.level())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "organisations/acme/projects/shop";
    const DEV: &str = "organisations/acme/projects/shop/environments/dev";

    fn held(place: &str, permissions: &[Permission], tags: &[&str]) -> Held {
        Held {
            place: Place::parse(place).unwrap(),
            permissions: permissions.to_vec(),
            tags: tags.iter().map(ToString::to_string).collect(),
        }
    }

    fn rights(role: Option<Role>, held: Vec<Held>) -> Rights {
        Rights { administrator: false, role, held, administered_groups: Vec::new() }
    }

    fn check(rights: &Rights, permission: Permission, place: &str, extent: Extent) {
        assert_eq!(
            rights.extent(permission, &Place::parse(place).unwrap()),
            extent,
            "{permission:?} {place}"
        );
    }

    #[test]
    fn what_is_held_above_is_held_below_and_not_beside() {
        let rights = rights(Some(Role::Member), vec![held(SHOP, &[Permission::UpdateFeatureState], &[])]);
        check(&rights, Permission::UpdateFeatureState, DEV, Extent::Everything);
        check(
            &rights,
            Permission::UpdateFeatureState,
            "organisations/acme/projects/x/environments/dev",
            Extent::Nothing,
        );
        check(&rights, Permission::UpdateFeatureState, "organisations/acme", Extent::Nothing);
        check(&rights, Permission::ViewEnvironment, DEV, Extent::Nothing);
        check(&rights, Permission::ViewOrganisation, "organisations/acme", Extent::Everything);
    }

    #[test]
    fn permissions_of_a_level_above_have_no_effect() {
        let rights = rights(
            None,
            vec![
                held(DEV, &[Permission::ProjectAdmin, Permission::OrganisationAdmin], &[]),
                held(SHOP, &[Permission::CreateProject], &[]),
            ],
        );
        check(&rights, Permission::ViewEnvironment, DEV, Extent::Nothing);
        check(&rights, Permission::ViewProject, SHOP, Extent::Nothing);
        check(&rights, Permission::CreateProject, "organisations/acme", Extent::Nothing);
    }

    #[test]
    fn tags_limit_only_what_they_can_and_an_unlimited_grant_wins() {
        let all = [Permission::UpdateFeatureState, Permission::ViewEnvironment];
        let limited = rights(None, vec![held(DEV, &all, &["b", "a"]), held(SHOP, &all, &["a"])]);
        check(
            &limited,
            Permission::UpdateFeatureState,
            DEV,
            Extent::Tagged(vec!["a".to_owned(), "b".to_owned()]),
        );
        check(&limited, Permission::ViewEnvironment, DEV, Extent::Everything);
        let mut both = limited;
        both.held.push(held(DEV, &all, &[]));
        check(&both, Permission::UpdateFeatureState, DEV, Extent::Everything);
    }

    fn check_sees(rights: &Rights, seen: &[&str], unseen: &[&str]) {
        for (places, sees) in [(seen, true), (unseen, false)] {
            for place in places {
                assert_eq!(rights.sees(&Place::parse(place).unwrap()), sees, "{place}");
            }
        }
    }

    #[test]
    fn places_are_seen_by_those_who_hold_something_there() {
        let acme = "organisations/acme";
        let other = "organisations/acme/projects/shop/environments/live";
        check_sees(&rights(Some(Role::Member), Vec::new()), &[acme], &[SHOP, DEV]);
        check_sees(&rights(Some(Role::Admin), Vec::new()), &[acme, SHOP, DEV], &[]);
        check_sees(&Rights::default(), &[], &[acme, SHOP, DEV]);
        let of_dev = rights(None, vec![held(DEV, &[Permission::ViewIdentities], &[])]);
        check_sees(&of_dev, &[acme, SHOP, DEV], &[other, "organisations/acme/projects/x"]);
        let of_shop = rights(None, vec![held(SHOP, &[Permission::ViewProject], &[])]);
        check_sees(&of_shop, &[acme, SHOP], &[DEV, other]);
        let admin = rights(None, vec![held(SHOP, &[Permission::ProjectAdmin], &[])]);
        check_sees(&admin, &[acme, SHOP, DEV, other], &["organisations/acme/projects/x"]);
        let creator = rights(None, vec![held(acme, &[Permission::CreateProject], &[])]);
        check_sees(&creator, &[acme], &[SHOP, DEV]);
    }

    #[test]
    fn grantees_are_told_apart_by_their_names() {
        for name in [
            "users/ada",
            "organisations/acme/groups/eng",
            "organisations/acme/tokens/ci",
            "organisations/acme/trustRelationships/github",
        ] {
            assert_eq!(Grantee::parse(name).unwrap().to_string(), name);
        }
        for name in ["", "users/ada/tokens/x", "organisations/acme", "organisations/acme/roles/x"] {
            assert!(Grantee::parse(name).is_err(), "{name}");
        }
    }
}
