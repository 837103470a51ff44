//! Who may call what: one table of all methods, and the caller behind a token.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use burgee_core::access::SecretHash;
use burgee_core::name::TokenOwner;
use burgee_core::store::FlagStore;
use burgee_core::{Error, Result};
use chrono::Utc;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use prost::Message as _;
use prost_types::FileDescriptorSet;

/// The package whose services are guarded.
const PACKAGE: &str = "burgee.management.v1";

/// What somebody may be allowed to do: on the server, in an organisation, in a project, in an environment. Only
/// administrators of the server hold any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Everything on this server.
    Administrator,
    /// See an organisation and its members.
    ViewOrganisation,
    /// Everything in an organisation.
    OrganisationAdmin,
    /// Create projects in an organisation.
    CreateProject,
    /// See a project, its features and its segments.
    ViewProject,
    /// Everything in a project.
    ProjectAdmin,
    /// Create and clone environments of a project.
    CreateEnvironment,
    /// Create and change features of a project.
    CreateFeature,
    /// Delete features of a project.
    DeleteFeature,
    /// Create, change and delete segments of a project.
    ManageSegments,
    /// See the change log of a project.
    ViewAuditLog,
    /// See an environment and its flags.
    ViewEnvironment,
    /// Everything in an environment.
    EnvironmentAdmin,
    /// Change the states that an environment serves.
    UpdateFeatureState,
    /// Change the segment overrides of an environment.
    ManageSegmentOverrides,
    /// See the identities of an environment.
    ViewIdentities,
    /// Change and delete the identities of an environment and their overrides.
    ManageIdentities,
}

impl Permission {
    /// Returns the name that errors and grants use.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "ADMINISTRATOR",
            Self::ViewOrganisation => "VIEW_ORGANISATION",
            Self::OrganisationAdmin => "ORGANISATION_ADMIN",
            Self::CreateProject => "CREATE_PROJECT",
            Self::ViewProject => "VIEW_PROJECT",
            Self::ProjectAdmin => "PROJECT_ADMIN",
            Self::CreateEnvironment => "CREATE_ENVIRONMENT",
            Self::CreateFeature => "CREATE_FEATURE",
            Self::DeleteFeature => "DELETE_FEATURE",
            Self::ManageSegments => "MANAGE_SEGMENTS",
            Self::ViewAuditLog => "VIEW_AUDIT_LOG",
            Self::ViewEnvironment => "VIEW_ENVIRONMENT",
            Self::EnvironmentAdmin => "ENVIRONMENT_ADMIN",
            Self::UpdateFeatureState => "UPDATE_FEATURE_STATE",
            Self::ManageSegmentOverrides => "MANAGE_SEGMENT_OVERRIDES",
            Self::ViewIdentities => "VIEW_IDENTITIES",
            Self::ManageIdentities => "MANAGE_IDENTITIES",
        }
    }
}

/// What a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// A token.
    Authenticated,
    /// To be the owner of the tokens that the request is about, or an administrator. The request is not read yet when
    /// rights are checked, so [`Caller::check_tokens_of`] decides.
    OwnTokens,
    /// A permission.
    Needs(Permission),
    /// For each change within the request, what its own method needs; to call it at all, this.
    NeedsPerChange(Permission),
}

/// What every method needs. A server with a method that is not in here does not start.
const RIGHTS: &[(&str, Right)] = &[
    ("OrganisationService/CreateOrganisation", Right::Needs(Permission::Administrator)),
    ("OrganisationService/GetOrganisation", Right::Needs(Permission::ViewOrganisation)),
    ("OrganisationService/ListOrganisations", Right::Needs(Permission::ViewOrganisation)),
    ("OrganisationService/UpdateOrganisation", Right::Needs(Permission::OrganisationAdmin)),
    ("OrganisationService/DeleteOrganisation", Right::Needs(Permission::OrganisationAdmin)),
    ("OrganisationService/AddMember", Right::Needs(Permission::OrganisationAdmin)),
    ("OrganisationService/ListMembers", Right::Needs(Permission::ViewOrganisation)),
    ("OrganisationService/UpdateMemberRole", Right::Needs(Permission::OrganisationAdmin)),
    ("OrganisationService/RemoveMember", Right::Needs(Permission::OrganisationAdmin)),
    ("UserService/GetCurrentUser", Right::Authenticated),
    ("UserService/CreateUser", Right::Needs(Permission::Administrator)),
    ("UserService/GetUser", Right::Needs(Permission::Administrator)),
    ("UserService/ListUsers", Right::Needs(Permission::Administrator)),
    ("UserService/CreateToken", Right::OwnTokens),
    ("UserService/ListTokens", Right::OwnTokens),
    ("UserService/RevokeToken", Right::OwnTokens),
    ("ProjectService/CreateProject", Right::Needs(Permission::CreateProject)),
    ("ProjectService/GetProject", Right::Needs(Permission::ViewProject)),
    ("ProjectService/ListProjects", Right::Needs(Permission::ViewProject)),
    ("ProjectService/UpdateProject", Right::Needs(Permission::ProjectAdmin)),
    ("ProjectService/DeleteProject", Right::Needs(Permission::ProjectAdmin)),
    ("EnvironmentService/CreateEnvironment", Right::Needs(Permission::CreateEnvironment)),
    ("EnvironmentService/CloneEnvironment", Right::Needs(Permission::CreateEnvironment)),
    ("EnvironmentService/GetEnvironment", Right::Needs(Permission::ViewEnvironment)),
    ("EnvironmentService/ListEnvironments", Right::Needs(Permission::ViewEnvironment)),
    ("EnvironmentService/UpdateEnvironment", Right::Needs(Permission::EnvironmentAdmin)),
    ("EnvironmentService/DeleteEnvironment", Right::Needs(Permission::EnvironmentAdmin)),
    ("EnvironmentService/CreateEnvironmentKey", Right::Needs(Permission::EnvironmentAdmin)),
    ("EnvironmentService/ListEnvironmentKeys", Right::Needs(Permission::EnvironmentAdmin)),
    ("EnvironmentService/RotateEnvironmentKey", Right::Needs(Permission::EnvironmentAdmin)),
    ("EnvironmentService/RevokeEnvironmentKey", Right::Needs(Permission::EnvironmentAdmin)),
    ("FeatureService/CreateFeature", Right::Needs(Permission::CreateFeature)),
    ("FeatureService/GetFeature", Right::Needs(Permission::ViewProject)),
    ("FeatureService/ListFeatures", Right::Needs(Permission::ViewProject)),
    ("FeatureService/UpdateFeature", Right::Needs(Permission::CreateFeature)),
    ("FeatureService/ArchiveFeature", Right::Needs(Permission::CreateFeature)),
    ("FeatureService/DeleteFeature", Right::Needs(Permission::DeleteFeature)),
    ("FeatureService/CreateVariant", Right::Needs(Permission::ProjectAdmin)),
    ("FeatureService/UpdateVariant", Right::Needs(Permission::ProjectAdmin)),
    ("FeatureService/DeleteVariant", Right::Needs(Permission::ProjectAdmin)),
    ("FlagService/GetFlag", Right::Needs(Permission::ViewEnvironment)),
    ("FlagService/ListFlags", Right::Needs(Permission::ViewEnvironment)),
    ("FlagService/UpdateFlag", Right::Needs(Permission::UpdateFeatureState)),
    ("FlagService/SetSegmentOverride", Right::Needs(Permission::ManageSegmentOverrides)),
    ("FlagService/RemoveSegmentOverride", Right::Needs(Permission::ManageSegmentOverrides)),
    ("FlagService/ReorderSegmentOverrides", Right::Needs(Permission::ManageSegmentOverrides)),
    ("FlagService/SetIdentityOverride", Right::Needs(Permission::ManageIdentities)),
    ("FlagService/RemoveIdentityOverride", Right::Needs(Permission::ManageIdentities)),
    ("FlagService/ListIdentityOverrides", Right::Needs(Permission::ViewIdentities)),
    ("FlagService/ApplyChanges", Right::NeedsPerChange(Permission::ViewProject)),
    ("SegmentService/CreateSegment", Right::Needs(Permission::ManageSegments)),
    ("SegmentService/GetSegment", Right::Needs(Permission::ViewProject)),
    ("SegmentService/ListSegments", Right::Needs(Permission::ViewProject)),
    ("SegmentService/UpdateSegment", Right::Needs(Permission::ManageSegments)),
    ("SegmentService/DeleteSegment", Right::Needs(Permission::ManageSegments)),
    ("IdentityService/GetIdentity", Right::Needs(Permission::ViewIdentities)),
    ("IdentityService/ListIdentities", Right::Needs(Permission::ViewIdentities)),
    ("IdentityService/DeleteIdentity", Right::Needs(Permission::ManageIdentities)),
    ("IdentityService/SetTraits", Right::Needs(Permission::ManageIdentities)),
    ("IdentityService/RemoveTraits", Right::Needs(Permission::ManageIdentities)),
    ("ChangeService/ListChanges", Right::Needs(Permission::ViewAuditLog)),
    ("ChangeService/GetChange", Right::Needs(Permission::ViewAuditLog)),
    ("ChangeService/WatchChanges", Right::Needs(Permission::ViewAuditLog)),
];

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// The compiled descriptors cannot be read.
    #[error("the descriptors of the services cannot be read")]
    Descriptors(#[source] prost::DecodeError),

    /// The table of rights and the services do not fit.
    #[error("methods without a right: {missing:?}; rights of no method: {unknown:?}")]
    Table {
        /// Methods of a service that the table does not have.
        missing: Vec<String>,
        /// Methods of the table that no service has.
        unknown: Vec<String>,
    },
}

/// What a method needs, and how it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    /// What it needs.
    pub(crate) right: Right,
    /// Whether it answers with a stream, which has no deadline.
    pub(crate) streaming: bool,
}

/// What every method needs, by its path.
#[derive(Debug)]
pub(crate) struct Rights(BTreeMap<String, Method>);

impl Rights {
    /// Reads the table, and checks that it has every method of the descriptors and nothing else.
    pub(crate) fn new(descriptors: &[u8]) -> Result<Self, RightsError> {
        Self::of(descriptors, RIGHTS)
    }

    fn of(descriptors: &[u8], table: &[(&str, Right)]) -> Result<Self, RightsError> {
        let files = FileDescriptorSet::decode(descriptors).map_err(RightsError::Descriptors)?;
        let mut unknown: BTreeSet<String> = table.iter().map(|(path, _)| (*path).to_owned()).collect();
        let mut missing = Vec::new();
        let mut methods = BTreeMap::new();
        for service in
            files.file.iter().filter(|file| file.package() == PACKAGE).flat_map(|file| &file.service)
        {
            for method in &service.method {
                let path = format!("{}/{}", service.name(), method.name());
                unknown.remove(&path);
                match table.iter().find(|(listed, _)| *listed == path) {
                    Some((_, right)) => {
                        let method = Method { right: *right, streaming: method.server_streaming() };
                        methods.insert(format!("/{PACKAGE}.{path}"), method);
                    }
                    None => missing.push(path),
                }
            }
        }
        if missing.is_empty() && unknown.is_empty() {
            Ok(Self(methods))
        } else {
            Err(RightsError::Table { missing, unknown: unknown.into_iter().collect() })
        }
    }

    /// Returns what the method with this path needs.
    pub(crate) fn method(&self, path: &str) -> Option<Method> {
        self.0.get(path).copied()
    }
}

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Whose token it is.
    pub(crate) owner: TokenOwner,
    /// Whether the caller may do everything.
    administrator: bool,
    /// What the method needs.
    right: Right,
    /// To look again, for calls that last.
    hash: SecretHash,
}

impl Caller {
    /// Checks that the caller may do something with somebody's tokens.
    pub(crate) fn check_tokens_of(&self, owner: &TokenOwner) -> Result<()> {
        let own = matches!(owner, TokenOwner::User(_)) && *owner == self.owner;
        if self.administrator || own { Ok(()) } else { Err(denied(Permission::Administrator)) }
    }
}

/// Finds out who calls, and what they may do.
#[derive(Clone)]
pub(crate) struct Gate {
    store: Arc<dyn FlagStore>,
}

impl Gate {
    /// Creates a gate that knows the callers of the store.
    pub(crate) fn new(store: Arc<dyn FlagStore>) -> Self {
        Self { store }
    }

    /// Returns who calls, if they have the right.
    pub(crate) async fn admit(&self, credential: Result<SecretHash>, right: Right) -> Result<Caller> {
        self.look_up(credential?, right).await
    }

    /// Checks that a caller who was admitted would be admitted now.
    pub(crate) async fn admit_again(&self, caller: &Caller) -> Result<()> {
        self.look_up(caller.hash, caller.right).await.map(drop)
    }

    async fn look_up(&self, hash: SecretHash, right: Right) -> Result<Caller> {
        // The token is looked up each time: one that is revoked is refused at once, on every replica.
        let found = self.store.token_caller(&hash).await?.ok_or(Error::Unauthenticated {
            reason: "CREDENTIAL_INVALID",
            message: "the token is not known, or was revoked",
        })?;
        if found.token.expires_at.is_some_and(|expires_at| expires_at <= Utc::now()) {
            let message = "the token has expired";
            return Err(Error::Unauthenticated { reason: "CREDENTIAL_EXPIRED", message });
        }
        let permission = match right {
            Right::Authenticated | Right::OwnTokens => None,
            Right::Needs(permission) | Right::NeedsPerChange(permission) => Some(permission),
        };
        match permission {
            Some(permission) if !found.administrator => Err(denied(permission)),
            _ => {
                let owner = found.token.name.owner;
                Ok(Caller { owner, administrator: found.administrator, right, hash })
            }
        }
    }
}

fn denied(permission: Permission) -> Error {
    Error::PermissionDenied { permission: permission.as_str() }
}

/// Returns what a request presents, as the store knows it.
pub(crate) fn credential(headers: &HeaderMap) -> Result<SecretHash> {
    bearer(headers).map(SecretHash::of)
}

fn bearer(headers: &HeaderMap) -> Result<&str> {
    let missing = Error::Unauthenticated {
        reason: "CREDENTIAL_MISSING",
        message: "a token must be presented as `authorization: Bearer TOKEN`",
    };
    let Some(value) = headers.get(AUTHORIZATION) else { return Err(missing) };
    let Ok(value) = value.to_str() else { return Err(missing) };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(token.trim())
        }
        _ => Err(missing),
    }
}

#[cfg(test)]
mod tests {
    use burgee_core::name::{OrganisationName, UserName};
    use http::HeaderValue;

    use super::*;

    #[test]
    fn every_method_has_a_right() {
        let rights = Rights::new(burgee_proto::DESCRIPTORS).unwrap();
        assert_eq!(rights.0.len(), RIGHTS.len());
        let watch = rights.method("/burgee.management.v1.ChangeService/WatchChanges").unwrap();
        assert!(watch.streaming && watch.right == Right::Needs(Permission::ViewAuditLog));
        assert!(rights.method("/burgee.management.v1.ChangeService/Other").is_none());
    }

    #[test]
    fn a_table_that_does_not_fit_is_refused() {
        let mut table = RIGHTS.to_vec();
        let (lost, _) = table.pop().unwrap();
        table.push(("FlagService/Lost", Right::Authenticated));
        match Rights::of(burgee_proto::DESCRIPTORS, &table) {
            Err(RightsError::Table { missing, unknown }) => {
                assert_eq!((missing, unknown), (vec![lost.to_owned()], vec!["FlagService/Lost".to_owned()]));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_getting_oneself_and_ones_tokens_needs_no_permission() {
        let free =
            RIGHTS.iter().filter(|(_, right)| matches!(right, Right::Authenticated | Right::OwnTokens));
        let free: Vec<_> = free.map(|(path, _)| path.rsplit('/').next().unwrap()).collect();
        assert_eq!(free, ["GetCurrentUser", "CreateToken", "ListTokens", "RevokeToken"]);
    }

    fn check_bearer(value: &'static str, token: Option<&str>) {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        assert_eq!(bearer(&headers).ok(), token, "{value}");
    }

    #[test]
    fn a_token_is_presented_as_bearer() {
        check_bearer("Bearer bgt_x", Some("bgt_x"));
        check_bearer("bearer  bgt_x ", Some("bgt_x"));
        check_bearer("Basic bgt_x", None);
        check_bearer("Bearer ", None);
        check_bearer("bgt_x", None);
        assert!(bearer(&HeaderMap::new()).is_err());
    }

    #[test]
    fn tokens_are_managed_by_their_user_and_by_administrators() {
        let ada = TokenOwner::User(UserName::parse("users/ada").unwrap());
        let acme = TokenOwner::Organisation(OrganisationName::parse("organisations/acme").unwrap());
        let caller = |owner: &TokenOwner, administrator| Caller {
            owner: owner.clone(),
            administrator,
            right: Right::OwnTokens,
            hash: SecretHash::of(""),
        };
        assert!(caller(&ada, false).check_tokens_of(&ada).is_ok());
        assert!(caller(&ada, false).check_tokens_of(&acme).is_err());
        assert!(caller(&acme, false).check_tokens_of(&acme).is_err());
        assert!(caller(&acme, false).check_tokens_of(&ada).is_err());
        assert!(caller(&ada, true).check_tokens_of(&acme).is_ok());
    }
}
