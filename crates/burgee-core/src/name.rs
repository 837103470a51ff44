//! Resource names: `organisations/acme/projects/shop/environments/production`.
//!
//! Ids are chosen by the creator and never change. Inside a name, characters of an id that a path cannot hold
//! (`/`, `%`, controls) are percent-encoded, so that any feature key or identifier has a name.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::Violation;
use crate::limits::{IDENTIFIER_CHARACTERS, TRAIT_KEY_CHARACTERS};

/// Characters of a chosen id.
pub const ID_CHARACTERS: usize = 63;
/// Characters of a feature's key.
pub const FEATURE_KEY_CHARACTERS: usize = 255;
/// Characters of a variant's key.
pub const VARIANT_KEY_CHARACTERS: usize = 255;
/// The variant that is served to those whom no variant's weight reaches; no variant may be called so.
pub const CONTROL: &str = "control";

const ENCODED: &AsciiSet = &CONTROLS.add(b'/').add(b'%');

macro_rules! key {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses the text, or says which rule it breaks (the violation's field is empty).
            pub fn parse(text: &str) -> Result<Self, Violation> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }

            /// Parses the text as [`Self::parse`] does, without copying it.
            pub fn parse_owned(text: String) -> Result<Self, Violation> {
                $check(&text)?;
                Ok(Self(text))
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(key: $name) -> Self {
                key.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                Self::parse_owned(text).map_err(|violation| violation.description)
            }
        }
    };
}

key! {
    /// The id of an organisation: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
    OrganisationId, check_id
}
key! {
    /// The id of a project within its organisation: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
    ProjectId, check_id
}
key! {
    /// The id of an environment within its project: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
    EnvironmentId, check_id
}
key! {
    /// The id of a segment within its project: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
    SegmentId, check_id
}
key! {
    /// The id of a user: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
    UserId, check_id
}
key! {
    /// The id of a token within its owner: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
    TokenId, check_id
}
key! {
    /// The id of an environment key within its environment: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
    KeyId, check_id
}
key! {
    /// The id of a group within its organisation: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
    GroupId, check_id
}
key! {
    /// The id of an invitation within its organisation: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
    InvitationId, check_id
}
key! {
    /// The id of a role within its organisation: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
    RoleId, check_id
}
key! {
    /// The id of a grant within its organisation: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
    GrantId, check_id
}
key! {
    /// The id of a trust relationship within its organisation: 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter.
    TrustRelationshipId, check_id
}
key! {
    /// What callers ask a feature by: 1 to 255 characters, no control characters, no blanks around it; unique in its
    /// project, ignoring case.
    FeatureKey, check_feature_key
}
key! {
    /// The key of a variant within its feature: 1 to 255 of `A-Z`, `a-z`, `0-9`, `_` and `-`; not `control`.
    VariantKey, check_variant_key
}
key! {
    /// What the caller knows an identity by: 1 to 2,000 characters, none of them NUL.
    Identifier, check_identifier
}
key! {
    /// The key of a trait: 1 to 200 characters, none of them NUL.
    TraitKey, check_trait_key
}

fn check_id(text: &str) -> Result<(), Violation> {
    let rest = text.strip_prefix(|first: char| first.is_ascii_lowercase());
    match rest {
        Some(rest)
            if text.len() <= ID_CHARACTERS
                && rest.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) =>
        {
            Ok(())
        }
        _ => Err(Violation::new(
            "",
            format!(
                "must be 1 to {ID_CHARACTERS} of `a-z`, `0-9` and `-`, starting with a letter, is `{text}`"
            ),
        )),
    }
}

fn check_feature_key(text: &str) -> Result<(), Violation> {
    check_length(text, FEATURE_KEY_CHARACTERS)?;
    if text.chars().any(char::is_control) || text.trim() != text {
        return Err(Violation::new("", "must have no control characters and no blanks around it"));
    }
    Ok(())
}

fn check_variant_key(text: &str) -> Result<(), Violation> {
    check_length(text, VARIANT_KEY_CHARACTERS)?;
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Err(Violation::new("", format!("must be of `A-Z`, `a-z`, `0-9`, `_` and `-`, is `{text}`")));
    }
    if text == CONTROL {
        return Err(Violation::new("", format!("must not be `{CONTROL}`, which names the flag's own value")));
    }
    Ok(())
}

fn check_identifier(text: &str) -> Result<(), Violation> {
    check_length(text, IDENTIFIER_CHARACTERS)?;
    check_no_nul(text)
}

fn check_trait_key(text: &str) -> Result<(), Violation> {
    check_length(text, TRAIT_KEY_CHARACTERS)?;
    check_no_nul(text)
}

fn check_length(text: &str, maximum: usize) -> Result<(), Violation> {
    match text.chars().count() {
        0 => Err(Violation::new("", "must not be empty")),
        length if length > maximum => {
            Err(Violation::new("", format!("must be at most {maximum} characters, is {length}")))
        }
        _ => Ok(()),
    }
}

/// Text that a database column cannot hold is refused where it enters.
pub(crate) fn check_no_nul(text: &str) -> Result<(), Violation> {
    if text.contains('\0') {
        return Err(Violation::new("", "must not contain the character NUL"));
    }
    Ok(())
}

/// Splits `{parent}/{collection}/{id}`, and decodes the id.
fn split<'a>(name: &'a str, collection: &str) -> Option<(&'a str, String)> {
    let (rest, id) = name.rsplit_once('/')?;
    let parent = match rest.strip_suffix(collection)? {
        "" => "",
        parent => parent.strip_suffix('/')?,
    };
    let id = percent_decode_str(id).decode_utf8().ok()?;
    Some((parent, id.into_owned()))
}

fn encode(id: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(id, ENCODED)
}

macro_rules! name_traits {
    ($name:ident) => {
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(&text).map_err(|violation| violation.description)
            }
        }
    };
}

macro_rules! root_name {
    ($(#[$doc:meta])* $name:ident { $field:ident: $id:ty }, $collection:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name {
            /// The id.
            pub $field: $id,
        }

        impl $name {
            /// How such a name is written.
            pub const PATTERN: &str = concat!($collection, "/{", stringify!($field), "}");

            /// Parses a name, or says which rule it breaks (the violation's field is empty).
            pub fn parse(name: &str) -> Result<Self, Violation> {
                match split(name, $collection) {
                    Some(("", id)) => Ok(Self { $field: <$id>::parse(&id)? }),
                    _ => Err(Violation::new("", format!("must be `{}`, is `{name}`", Self::PATTERN))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!($collection, "/{}"), self.$field)
            }
        }

        name_traits!($name);
    };
}

macro_rules! child_name {
    ($(#[$doc:meta])* $name:ident { $parent_field:ident: $parent:ty, $field:ident: $id:ty }, $collection:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name {
            /// The parent's name.
            pub $parent_field: $parent,
            /// The id within the parent.
            pub $field: $id,
        }

        impl $name {
            /// Parses a name, or says which rule it breaks (the violation's field is empty).
            pub fn parse(name: &str) -> Result<Self, Violation> {
                let (parent, id) = split(name, $collection)
                    .ok_or_else(|| Violation::new("", format!("must be `{}`, is `{name}`", Self::pattern())))?;
                let $parent_field = <$parent>::parse(parent)
                    .map_err(|_| Violation::new("", format!("must be `{}`, is `{name}`", Self::pattern())))?;
                Ok(Self { $parent_field, $field: <$id>::parse(&id)? })
            }

            /// Returns how such a name is written.
            pub fn pattern() -> String {
                format!(concat!("…/", $collection, "/{{{}}}"), stringify!($field))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!("{}/", $collection, "/{}"), self.$parent_field, encode(self.$field.as_str()))
            }
        }

        name_traits!($name);
    };
}

root_name! {
    /// `organisations/{organisation}`
    OrganisationName { organisation: OrganisationId }, "organisations"
}
root_name! {
    /// `users/{user}`
    UserName { user: UserId }, "users"
}
child_name! {
    /// `organisations/{organisation}/members/{user}`
    MemberName { organisation: OrganisationName, user: UserId }, "members"
}
child_name! {
    /// `organisations/{organisation}/groups/{group}`
    GroupName { organisation: OrganisationName, group: GroupId }, "groups"
}
child_name! {
    /// `organisations/{organisation}/groups/{group}/members/{user}`
    GroupMemberName { group: GroupName, user: UserId }, "members"
}
child_name! {
    /// `organisations/{organisation}/invitations/{invitation}`
    InvitationName { organisation: OrganisationName, invitation: InvitationId }, "invitations"
}
child_name! {
    /// `organisations/{organisation}/roles/{role}`
    RoleName { organisation: OrganisationName, role: RoleId }, "roles"
}
child_name! {
    /// `organisations/{organisation}/grants/{grant}`
    GrantName { organisation: OrganisationName, grant: GrantId }, "grants"
}
child_name! {
    /// `organisations/{organisation}/trustRelationships/{trust_relationship}`
    TrustRelationshipName { organisation: OrganisationName, trust_relationship: TrustRelationshipId }, "trustRelationships"
}
child_name! {
    /// `organisations/{organisation}/projects/{project}`
    ProjectName { organisation: OrganisationName, project: ProjectId }, "projects"
}
child_name! {
    /// `…/projects/{project}/environments/{environment}`
    EnvironmentName { project: ProjectName, environment: EnvironmentId }, "environments"
}
child_name! {
    /// `…/environments/{environment}/keys/{key}`
    KeyName { environment: EnvironmentName, key: KeyId }, "keys"
}
child_name! {
    /// `…/projects/{project}/features/{feature}`
    FeatureName { project: ProjectName, feature: FeatureKey }, "features"
}
child_name! {
    /// `…/features/{feature}/variants/{variant}`
    VariantName { feature: FeatureName, variant: VariantKey }, "variants"
}
child_name! {
    /// `…/projects/{project}/segments/{segment}`
    SegmentName { project: ProjectName, segment: SegmentId }, "segments"
}
child_name! {
    /// `…/environments/{environment}/flags/{feature}`
    FlagName { environment: EnvironmentName, feature: FeatureKey }, "flags"
}
child_name! {
    /// `…/flags/{feature}/segmentOverrides/{segment}`
    SegmentOverrideName { flag: FlagName, segment: SegmentId }, "segmentOverrides"
}
child_name! {
    /// `…/flags/{feature}/identityOverrides/{identifier}`
    IdentityOverrideName { flag: FlagName, identifier: Identifier }, "identityOverrides"
}
child_name! {
    /// `…/environments/{environment}/identities/{identifier}`
    IdentityName { environment: EnvironmentName, identifier: Identifier }, "identities"
}

/// Who a token acts for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TokenOwner {
    /// A person's token.
    User(UserName),
    /// A service account of an organisation.
    Organisation(OrganisationName),
}

impl TokenOwner {
    /// Parses `users/{user}` or `organisations/{organisation}`.
    pub fn parse(name: &str) -> Result<Self, Violation> {
        if name.starts_with("users/") {
            UserName::parse(name).map(Self::User)
        } else if name.starts_with("organisations/") {
            OrganisationName::parse(name).map(Self::Organisation)
        } else {
            Err(Violation::new(
                "",
                format!("must be `{}` or `{}`, is `{name}`", UserName::PATTERN, OrganisationName::PATTERN),
            ))
        }
    }
}

impl fmt::Display for TokenOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(formatter),
            Self::Organisation(organisation) => organisation.fmt(formatter),
        }
    }
}

name_traits!(TokenOwner);

child_name! {
    /// `users/{user}/tokens/{token}` or `organisations/{organisation}/tokens/{token}`
    TokenName { owner: TokenOwner, token: TokenId }, "tokens"
}

/// Whose changes a log holds, in one order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogName {
    /// The server's: organisations, users and their tokens.
    Server,
    /// An organisation's: members, groups, roles, grants, tokens, trust relationships, invitations.
    Organisation(OrganisationName),
    /// A project's: its configuration.
    Project(ProjectName),
}

impl LogName {
    /// Parses `server`, the name of an organisation or the name of a project.
    pub fn parse(name: &str) -> Result<Self, Violation> {
        match name.split('/').count() {
            1 if name == SERVER => Ok(Self::Server),
            2 => OrganisationName::parse(name).map(Self::Organisation),
            4 => ProjectName::parse(name).map(Self::Project),
            _ => Err(Violation::new(
                "",
                format!("must be `organisations/*/projects/*`, `organisations/*` or `{SERVER}`, is `{name}`"),
            )),
        }
    }

    /// Returns what it is called in errors.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Server => SERVER,
            Self::Organisation(_) => "organisation",
            Self::Project(_) => "project",
        }
    }
}

const SERVER: &str = "server";

impl fmt::Display for LogName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => formatter.write_str(SERVER),
            Self::Organisation(name) => name.fmt(formatter),
            Self::Project(name) => name.fmt(formatter),
        }
    }
}

/// `{log}/changes/{revision}`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChangeName {
    /// The log.
    pub log: LogName,
    /// The revision that the change made.
    pub revision: i64,
}

impl ChangeName {
    /// Parses a name, or says which rule it breaks (the violation's field is empty).
    pub fn parse(name: &str) -> Result<Self, Violation> {
        let wrong = || Violation::new("", format!("must be `…/changes/{{revision}}`, is `{name}`"));
        let (parent, revision) = split(name, "changes").ok_or_else(wrong)?;
        let log = LogName::parse(parent).map_err(|_| wrong())?;
        let revision = revision.parse().ok().filter(|revision| *revision > 0).ok_or_else(wrong)?;
        Ok(Self { log, revision })
    }
}

impl fmt::Display for ChangeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/changes/{}", self.log, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "organisations/acme/projects/shop";

    #[test]
    fn names_are_written_as_they_were_read() {
        for name in [
            "organisations/acme/projects/shop/environments/production",
            "organisations/acme/projects/shop/environments/production/flags/dark.Mode/segmentOverrides/beta",
        ] {
            let parsed = EnvironmentName::parse(name).map(|name| name.to_string());
            let parsed = parsed.or_else(|_| SegmentOverrideName::parse(name).map(|name| name.to_string()));
            assert_eq!(parsed.as_deref(), Ok(name));
        }
    }

    #[test]
    fn an_identifier_may_hold_anything() {
        let name = format!("{SHOP}/environments/dev/identities/auth0|a%2Fb%25@x.y");
        let parsed = IdentityName::parse(&name).unwrap();
        assert_eq!(parsed.identifier.as_str(), "auth0|a/b%@x.y");
        assert_eq!(parsed.to_string(), name);
    }

    #[test]
    fn a_name_of_another_collection_is_refused() {
        for name in [
            "",
            "shop",
            "organisations/acme",
            "organisations/acme/projects",
            "projects/shop",
            "/projects/shop",
        ] {
            assert!(ProjectName::parse(name).is_err(), "{name}");
        }
        assert!(ProjectName::parse("organisations/acme/xprojects/shop").is_err());
        assert!(ProjectName::parse("organisations/Acme/projects/shop").is_err());
    }

    #[test]
    fn ids_keep_their_rule() {
        for (id, valid) in
            [("a", true), ("a-1", true), ("1a", false), ("", false), ("A", false), ("-a", false)]
        {
            assert_eq!(ProjectId::parse(id).is_ok(), valid, "{id}");
        }
        assert!(ProjectId::parse(&"a".repeat(63)).is_ok());
        assert!(ProjectId::parse(&"a".repeat(64)).is_err());
        assert!(VariantKey::parse("control").is_err());
        assert!(FeatureKey::parse(" x").is_err());
        assert!(Identifier::parse("a\0b").is_err());
    }

    #[test]
    fn a_change_is_named_by_its_revision() {
        assert_eq!(ChangeName::parse(&format!("{SHOP}/changes/7")).unwrap().revision, 7);
        for name in ["organisations/acme/changes/1", "server/changes/12"] {
            assert_eq!(ChangeName::parse(name).unwrap().to_string(), name);
        }
        assert!(ChangeName::parse("changes/1").is_err());
        assert!(ChangeName::parse(&format!("{SHOP}/changes/0")).is_err());
        assert!(ChangeName::parse(&format!("{SHOP}/changes/x")).is_err());
    }

    #[test]
    fn a_token_belongs_to_a_user_or_an_organisation() {
        assert!(TokenName::parse("users/ada/tokens/laptop").is_ok());
        assert!(TokenName::parse("organisations/acme/tokens/ci").is_ok());
        assert!(TokenName::parse(&format!("{SHOP}/tokens/ci")).is_err());
    }
}
