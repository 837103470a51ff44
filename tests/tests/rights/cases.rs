//! Every management method: what it needs, said here a second time, and a request that an administrator may make.

use burgee_proto::management::v1::*;
use burgee_proto::v1 as pb;
use prost::Message;

/// On what a method works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// The server.
    Server,
    /// An organisation.
    Organisation,
    /// A project.
    Project,
    /// An environment.
    Environment,
}

/// What a method needs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Needs {
    /// A credential.
    Credential,
    /// To administer the server.
    ServerAdministrator,
    /// To be this user, or to administer the server.
    Oneself(&'static str),
    /// To be this user or one of their colleagues, or to administer the server.
    Known(&'static str),
    /// To be somebody, named as in the organisation unless it is a user, or to hold a permission.
    OneselfOr(&'static str, &'static str),
    /// All of these, each at the place of its level.
    Permissions(&'static [&'static str]),
    /// A permission at the place of its level, for a feature with these tags.
    OfFeature(&'static str, &'static [&'static str]),
    /// This permission at the place of its level, which the grant with this id is on.
    OfGrant(&'static str, &'static str),
    /// To manage groups, or the one with this id.
    OfGroup(&'static str),
    /// Something at another place.
    At(fn(&Place) -> Place, &'static Needs),
    /// All of these, of which the first that is missing is told.
    All(&'static [Needs]),
    /// Something that is not there; it has this name.
    Absent(fn(&Place) -> String),
    /// That this field keeps the rules, which it does not.
    Rules(&'static str),
    /// A secret in the request.
    Secret,
}

impl Needs {
    /// Returns the permissions that are needed, if it is about permissions at the place itself.
    pub(crate) fn permissions(&self) -> Vec<&'static str> {
        match self {
            Self::Permissions(needed) => needed.to_vec(),
            Self::OfFeature(permission, _)
            | Self::OfGrant(permission, _)
            | Self::OneselfOr(_, permission) => {
                vec![*permission]
            }
            Self::OfGroup(_) => vec!["MANAGE_USER_GROUPS"],
            Self::All(all) => all.iter().flat_map(Self::permissions).collect(),
            Self::Credential
            | Self::ServerAdministrator
            | Self::Oneself(_)
            | Self::Known(_)
            | Self::At(..)
            | Self::Absent(_)
            | Self::Rules(_)
            | Self::Secret => Vec::new(),
        }
    }
}

/// A method, with a request.
pub(crate) struct Case {
    /// `Service/Method`.
    pub(crate) path: &'static str,
    /// What is special about the request; empty: nothing.
    pub(crate) of: &'static str,
    /// On what it works.
    pub(crate) level: Level,
    /// What it needs.
    pub(crate) needs: Needs,
    /// A request about a place that changes nothing.
    pub(crate) request: fn(&Place) -> Vec<u8>,
}

/// An environment, and what it is in. Everything has the same resources in it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) organisation: String,
    pub(crate) project: String,
    pub(crate) environment: String,
}

impl Place {
    pub(crate) fn of(organisation: &str, project: &str, environment: &str) -> Self {
        let organisation = format!("organisations/{organisation}");
        let project = format!("{organisation}/projects/{project}");
        let environment = format!("{project}/environments/{environment}");
        Self { organisation, project, environment }
    }

    /// Returns the name of what is at a level.
    pub(crate) fn at(&self, level: Level) -> &str {
        match level {
            Level::Server => "",
            Level::Organisation => &self.organisation,
            Level::Project => &self.project,
            Level::Environment => &self.environment,
        }
    }

    pub(crate) fn in_organisation(&self, rest: &str) -> String {
        format!("{}/{rest}", self.organisation)
    }

    pub(crate) fn in_project(&self, rest: &str) -> String {
        format!("{}/{rest}", self.project)
    }

    pub(crate) fn in_environment(&self, rest: &str) -> String {
        format!("{}/{rest}", self.environment)
    }
}

/// The user whom requests about users are about.
pub(crate) const SOMEBODY: &str = "users/somebody";

pub(crate) fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() })
}

pub(crate) fn on() -> Option<pb::FlagState> {
    Some(pb::FlagState { enabled: Some(true), ..Default::default() })
}

pub(crate) fn segment(place: &Place) -> pb::Segment {
    let condition =
        pb::Condition { property: "plan".into(), operator: pb::Operator::IsSet.into(), ..Default::default() };
    let rule = pb::Rule { r#type: pb::RuleType::All.into(), conditions: vec![condition], rules: vec![] };
    pb::Segment { name: place.in_project("segments/vip"), rules: vec![rule], ..Default::default() }
}

macro_rules! cases {
    ($(#[$doc:meta])* $cases:ident = $($service:ident { $($method:ident $($of:literal)? $level:ident $needs:expr, $request:ident |$place:pat_param| { $($field:ident: $value:expr),* $(,)? };)* })*) => {
        $(#[$doc])*
        #[allow(clippy::needless_update, reason = "some requests have no more fields")]
        pub(crate) const $cases: &[Case] = &[$($(
            Case {
                path: concat!(stringify!($service), "/", stringify!($method)),
                of: concat!($($of)?),
                level: Level::$level,
                needs: $needs,
                request: |$place| $request { $($field: $value,)* ..Default::default() }.encode_to_vec(),
            },
        )*)*];
    };
}
pub(crate) use cases;

use Needs::{
    All, Credential, Known, OfFeature, OfGroup, Oneself, OneselfOr, Permissions, Secret, ServerAdministrator,
};

pub(crate) const VIEW_ORGANISATION: Needs = Permissions(&["VIEW_ORGANISATION"]);
pub(crate) const ORGANISATION_ADMIN: Needs = Permissions(&["ORGANISATION_ADMIN"]);
pub(crate) const MANAGE_USER_GROUPS: Needs = Permissions(&["MANAGE_USER_GROUPS"]);
pub(crate) const VIEW_PROJECT: Needs = Permissions(&["VIEW_PROJECT"]);
pub(crate) const PROJECT_ADMIN: Needs = Permissions(&["PROJECT_ADMIN"]);
pub(crate) const CREATE_FEATURE: Needs = Permissions(&["CREATE_FEATURE"]);
pub(crate) const MANAGE_SEGMENTS: Needs = Permissions(&["MANAGE_SEGMENTS"]);
pub(crate) const VIEW_AUDIT_LOG: Needs = Permissions(&["VIEW_AUDIT_LOG"]);
pub(crate) const VIEW_ENVIRONMENT: Needs = Permissions(&["VIEW_ENVIRONMENT"]);
pub(crate) const ENVIRONMENT_ADMIN: Needs = Permissions(&["ENVIRONMENT_ADMIN"]);
pub(crate) const MANAGE_SEGMENT_OVERRIDES: Needs = OfFeature("MANAGE_SEGMENT_OVERRIDES", DARK);
pub(crate) const VIEW_IDENTITIES: Needs = Permissions(&["VIEW_IDENTITIES"]);
pub(crate) const MANAGE_IDENTITIES: Needs = Permissions(&["MANAGE_IDENTITIES"]);

/// The tags of the feature `dark`.
pub(crate) const DARK: &[&str] = &["beta"];
/// The tags of the feature `split`.
pub(crate) const SPLIT: &[&str] = &["stable"];

cases! {
    /// One of each method.
    CASES =
    OrganisationService {
        CreateOrganisation Server ServerAdministrator, CreateOrganisationRequest |_| {
            organisation_id: "fresh".into(), validate_only: true
        };
        GetOrganisation Organisation VIEW_ORGANISATION, GetOrganisationRequest |p| { name: p.organisation.clone() };
        ListOrganisations Server Credential, ListOrganisationsRequest |_| {};
        UpdateOrganisation Organisation ORGANISATION_ADMIN, UpdateOrganisationRequest |p| {
            organisation: Some(pb::Organisation {
                name: p.organisation.clone(), display_name: "New".into(), ..Default::default()
            }),
            validate_only: true,
        };
        DeleteOrganisation Organisation ORGANISATION_ADMIN, DeleteOrganisationRequest |p| {
            name: p.organisation.clone(), force: true, validate_only: true
        };
        AddMember Organisation All(&[ORGANISATION_ADMIN, Known("users/outsider")]), AddMemberRequest |p| {
            parent: p.organisation.clone(), user: "users/outsider".into(), role: pb::Role::Member.into(),
            validate_only: true,
        };
        ListMembers Organisation VIEW_ORGANISATION, ListMembersRequest |p| { parent: p.organisation.clone() };
        UpdateMemberRole Organisation ORGANISATION_ADMIN, UpdateMemberRoleRequest |p| {
            name: p.in_organisation("members/somebody"), role: pb::Role::Admin.into(), validate_only: true
        };
        RemoveMember Organisation ORGANISATION_ADMIN, RemoveMemberRequest |p| {
            name: p.in_organisation("members/somebody"), validate_only: true
        };
    }
    UserService {
        GetCurrentUser Server Credential, GetCurrentUserRequest |_| {};
        CreateUser Server ServerAdministrator, CreateUserRequest |_| {
            user_id: "fresh".into(),
            user: Some(pb::User { email: "fresh@example.com".into(), ..Default::default() }),
            validate_only: true,
        };
        GetUser Server Known(SOMEBODY), GetUserRequest |_| { name: SOMEBODY.into() };
        ListUsers Server ServerAdministrator, ListUsersRequest |_| {};
        UpdateUser Server Oneself(SOMEBODY), UpdateUserRequest |_| {
            user: Some(pb::User { name: SOMEBODY.into(), display_name: "New".into(), ..Default::default() }),
            validate_only: true,
        };
        DeleteUser Server ServerAdministrator, DeleteUserRequest |_| {
            name: "users/outsider".into(), validate_only: true
        };
        CreateToken Organisation ORGANISATION_ADMIN, CreateTokenRequest |p| {
            parent: p.organisation.clone(), token_id: "fresh".into(), validate_only: true
        };
        ListTokens Organisation ORGANISATION_ADMIN, ListTokensRequest |p| { parent: p.organisation.clone() };
        RevokeToken Organisation ORGANISATION_ADMIN, RevokeTokenRequest |p| {
            name: p.in_organisation("tokens/idle"), validate_only: true
        };
    }
    GroupService {
        CreateGroup Organisation MANAGE_USER_GROUPS, CreateGroupRequest |p| {
            parent: p.organisation.clone(), group_id: "fresh".into(), validate_only: true
        };
        GetGroup Organisation VIEW_ORGANISATION, GetGroupRequest |p| { name: p.in_organisation("groups/idle") };
        ListGroups Organisation VIEW_ORGANISATION, ListGroupsRequest |p| { parent: p.organisation.clone() };
        UpdateGroup Organisation MANAGE_USER_GROUPS, UpdateGroupRequest |p| {
            group: Some(pb::Group {
                name: p.in_organisation("groups/idle"), display_name: "New".into(), ..Default::default()
            }),
            validate_only: true,
        };
        DeleteGroup Organisation MANAGE_USER_GROUPS, DeleteGroupRequest |p| {
            name: p.in_organisation("groups/idle"), validate_only: true
        };
        AddGroupMember Organisation OfGroup("idle"), AddGroupMemberRequest |p| {
            parent: p.in_organisation("groups/idle"), user: SOMEBODY.into(), validate_only: true
        };
        ListGroupMembers Organisation VIEW_ORGANISATION, ListGroupMembersRequest |p| {
            parent: p.in_organisation("groups/idle")
        };
        UpdateGroupMember Organisation OfGroup("full"), UpdateGroupMemberRequest |p| {
            name: p.in_organisation("groups/full/members/somebody"), administrator: true, validate_only: true
        };
        RemoveGroupMember Organisation OfGroup("full"), RemoveGroupMemberRequest |p| {
            name: p.in_organisation("groups/full/members/somebody"), validate_only: true
        };
    }
    InvitationService {
        CreateInvitation Organisation ORGANISATION_ADMIN, CreateInvitationRequest |p| {
            parent: p.organisation.clone(), invitation_id: "fresh".into(),
            invitation: Some(pb::Invitation { role: pb::Role::Member.into(), ..Default::default() }),
            validate_only: true,
        };
        GetInvitation Organisation ORGANISATION_ADMIN, GetInvitationRequest |p| {
            name: p.in_organisation("invitations/link")
        };
        ListInvitations Organisation ORGANISATION_ADMIN, ListInvitationsRequest |p| {
            parent: p.organisation.clone()
        };
        DeleteInvitation Organisation ORGANISATION_ADMIN, DeleteInvitationRequest |p| {
            name: p.in_organisation("invitations/link"), validate_only: true
        };
        AcceptInvitation Server Secret, AcceptInvitationRequest |_| { secret: "bgi_guess".into() };
    }
    PermissionService {
        CreateRole Organisation ORGANISATION_ADMIN, CreateRoleRequest |p| {
            parent: p.organisation.clone(), role_id: "fresh".into(),
            role: Some(pb::PermissionRole {
                permissions: vec![pb::Permission::ViewProject.into()], ..Default::default()
            }),
            validate_only: true,
        };
        GetRole Organisation VIEW_ORGANISATION, GetRoleRequest |p| { name: p.in_organisation("roles/idle") };
        ListRoles Organisation VIEW_ORGANISATION, ListRolesRequest |p| { parent: p.organisation.clone() };
        UpdateRole Organisation ORGANISATION_ADMIN, UpdateRoleRequest |p| {
            role: Some(pb::PermissionRole {
                name: p.in_organisation("roles/idle"), display_name: "New".into(), ..Default::default()
            }),
            validate_only: true,
        };
        DeleteRole Organisation ORGANISATION_ADMIN, DeleteRoleRequest |p| {
            name: p.in_organisation("roles/idle"), validate_only: true
        };
        CreateGrant Environment ENVIRONMENT_ADMIN, CreateGrantRequest |p| {
            parent: p.organisation.clone(), grant_id: "fresh".into(),
            grant: Some(pb::Grant {
                grantee: SOMEBODY.into(), resource: p.environment.clone(),
                permissions: vec![pb::Permission::ViewEnvironment.into()], ..Default::default()
            }),
            validate_only: true,
        };
        GetGrant Organisation ORGANISATION_ADMIN, GetGrantRequest |p| { name: p.in_organisation("grants/idle") };
        ListGrants Project PROJECT_ADMIN, ListGrantsRequest |p| {
            parent: p.organisation.clone(), resource: p.project.clone()
        };
        RevokeGrant Organisation ORGANISATION_ADMIN, RevokeGrantRequest |p| {
            name: p.in_organisation("grants/idle"), validate_only: true
        };
        TestPermissions Environment OneselfOr(SOMEBODY, "ENVIRONMENT_ADMIN"), TestPermissionsRequest |p| {
            resource: p.environment.clone(), grantee: SOMEBODY.into()
        };
    }
    TrustService {
        CreateTrustRelationship Organisation ORGANISATION_ADMIN, CreateTrustRelationshipRequest |p| {
            parent: p.organisation.clone(), trust_relationship_id: "fresh".into(),
            trust_relationship: Some(crate::world::trust_relationship()),
            validate_only: true,
        };
        GetTrustRelationship Organisation ORGANISATION_ADMIN, GetTrustRelationshipRequest |p| {
            name: p.in_organisation("trustRelationships/ci")
        };
        ListTrustRelationships Organisation ORGANISATION_ADMIN, ListTrustRelationshipsRequest |p| {
            parent: p.organisation.clone()
        };
        UpdateTrustRelationship Organisation ORGANISATION_ADMIN, UpdateTrustRelationshipRequest |p| {
            trust_relationship: Some(pb::TrustRelationship {
                name: p.in_organisation("trustRelationships/ci"), display_name: "New".into(), ..Default::default()
            }),
            validate_only: true,
        };
        DeleteTrustRelationship Organisation ORGANISATION_ADMIN, DeleteTrustRelationshipRequest |p| {
            name: p.in_organisation("trustRelationships/ci"), validate_only: true
        };
        ExchangeToken Server Secret, ExchangeTokenRequest |p| {
            name: p.in_organisation("trustRelationships/ci"), token: "a.b.c".into()
        };
    }
    ProjectService {
        CreateProject Organisation Permissions(&["CREATE_PROJECT"]), CreateProjectRequest |p| {
            parent: p.organisation.clone(), project_id: "fresh".into(), validate_only: true
        };
        GetProject Project VIEW_PROJECT, GetProjectRequest |p| { name: p.project.clone() };
        ListProjects Organisation VIEW_ORGANISATION, ListProjectsRequest |p| { parent: p.organisation.clone() };
        UpdateProject Project PROJECT_ADMIN, UpdateProjectRequest |p| {
            project: Some(pb::Project {
                name: p.project.clone(), display_name: "New".into(), ..Default::default()
            }),
            validate_only: true,
        };
        DeleteProject Project PROJECT_ADMIN, DeleteProjectRequest |p| {
            name: p.project.clone(), force: true, validate_only: true
        };
    }
    EnvironmentService {
        CreateEnvironment Project Permissions(&["CREATE_ENVIRONMENT"]), CreateEnvironmentRequest |p| {
            parent: p.project.clone(), environment_id: "fresh".into(), validate_only: true
        };
        CloneEnvironment Environment Permissions(&["CREATE_ENVIRONMENT", "VIEW_ENVIRONMENT"]),
            CloneEnvironmentRequest |p| {
                name: p.environment.clone(), environment_id: "fresh".into(), validate_only: true
            };
        GetEnvironment Environment VIEW_ENVIRONMENT, GetEnvironmentRequest |p| { name: p.environment.clone() };
        ListEnvironments Project VIEW_PROJECT, ListEnvironmentsRequest |p| { parent: p.project.clone() };
        UpdateEnvironment Environment ENVIRONMENT_ADMIN, UpdateEnvironmentRequest |p| {
            environment: Some(pb::Environment {
                name: p.environment.clone(), display_name: "New".into(), ..Default::default()
            }),
            validate_only: true,
        };
        DeleteEnvironment Environment ENVIRONMENT_ADMIN, DeleteEnvironmentRequest |p| {
            name: p.environment.clone(), validate_only: true
        };
        CreateEnvironmentKey Environment ENVIRONMENT_ADMIN, CreateEnvironmentKeyRequest |p| {
            parent: p.environment.clone(), key_id: "fresh".into(),
            key: Some(pb::EnvironmentKey { kind: pb::KeyKind::ServerSide.into(), ..Default::default() }),
            validate_only: true,
        };
        ListEnvironmentKeys Environment ENVIRONMENT_ADMIN, ListEnvironmentKeysRequest |p| {
            parent: p.environment.clone()
        };
        RotateEnvironmentKey Environment ENVIRONMENT_ADMIN, RotateEnvironmentKeyRequest |p| {
            name: p.in_environment("keys/idle"), validate_only: true
        };
        RevokeEnvironmentKey Environment ENVIRONMENT_ADMIN, RevokeEnvironmentKeyRequest |p| {
            name: p.in_environment("keys/idle"), validate_only: true
        };
    }
    FeatureService {
        CreateFeature Project Permissions(&["CREATE_FEATURE", "MANAGE_TAGS"]), CreateFeatureRequest |p| {
            parent: p.project.clone(), feature_id: "fresh".into(),
            feature: Some(pb::Feature {
                value_type: pb::ValueType::Boolean.into(), tags: vec!["beta".into()], ..Default::default()
            }),
            validate_only: true,
        };
        GetFeature Project VIEW_PROJECT, GetFeatureRequest |p| { name: p.in_project("features/dark") };
        ListFeatures Project VIEW_PROJECT, ListFeaturesRequest |p| { parent: p.project.clone() };
        UpdateFeature Project CREATE_FEATURE, UpdateFeatureRequest |p| {
            feature: Some(pb::Feature {
                name: p.in_project("features/dark"), description: "New".into(), ..Default::default()
            }),
            update_mask: mask(&["description"]),
            validate_only: true,
        };
        ArchiveFeature Project CREATE_FEATURE, ArchiveFeatureRequest |p| {
            name: p.in_project("features/dark"), validate_only: true
        };
        DeleteFeature Project OfFeature("DELETE_FEATURE", DARK), DeleteFeatureRequest |p| {
            name: p.in_project("features/dark"), validate_only: true
        };
        CreateVariant Project PROJECT_ADMIN, CreateVariantRequest |p| {
            parent: p.in_project("features/split"), variant_id: "fresh".into(),
            variant: Some(pb::Variant { default_weight: 1.0, ..Default::default() }),
            validate_only: true,
        };
        UpdateVariant Project PROJECT_ADMIN, UpdateVariantRequest |p| {
            variant: Some(pb::Variant {
                name: p.in_project("features/split/variants/a"), default_weight: 2.0, ..Default::default()
            }),
            update_mask: mask(&["default_weight"]),
            validate_only: true,
        };
        DeleteVariant Project PROJECT_ADMIN, DeleteVariantRequest |p| {
            name: p.in_project("features/split/variants/a"), validate_only: true
        };
    }
    FlagService {
        GetFlag Environment VIEW_ENVIRONMENT, GetFlagRequest |p| { name: p.in_environment("flags/dark") };
        ListFlags Environment VIEW_ENVIRONMENT, ListFlagsRequest |p| { parent: p.environment.clone() };
        UpdateFlag Environment OfFeature("UPDATE_FEATURE_STATE", DARK), UpdateFlagRequest |p| {
            flag: Some(pb::Flag { name: p.in_environment("flags/dark"), state: on(), ..Default::default() }),
            update_mask: mask(&["state.enabled"]),
            validate_only: true,
        };
        SetSegmentOverride Environment MANAGE_SEGMENT_OVERRIDES, SetSegmentOverrideRequest |p| {
            name: p.in_environment("flags/dark/segmentOverrides/vip"), state: on(), validate_only: true
        };
        RemoveSegmentOverride Environment MANAGE_SEGMENT_OVERRIDES, RemoveSegmentOverrideRequest |p| {
            name: p.in_environment("flags/dark/segmentOverrides/vip"), allow_missing: true, validate_only: true
        };
        ReorderSegmentOverrides Environment MANAGE_SEGMENT_OVERRIDES, ReorderSegmentOverridesRequest |p| {
            name: p.in_environment("flags/dark"), segments: vec!["vip".into()],
            validate_only: true,
        };
        SetIdentityOverride Environment MANAGE_IDENTITIES, SetIdentityOverrideRequest |p| {
            name: p.in_environment("flags/dark/identityOverrides/ada"), state: on(), validate_only: true
        };
        RemoveIdentityOverride Environment MANAGE_IDENTITIES, RemoveIdentityOverrideRequest |p| {
            name: p.in_environment("flags/dark/identityOverrides/ada"), allow_missing: true, validate_only: true
        };
        ListIdentityOverrides Environment VIEW_IDENTITIES, ListIdentityOverridesRequest |p| {
            parent: p.in_environment("flags/dark")
        };
        ApplyChanges Environment All(&[VIEW_PROJECT, OfFeature("UPDATE_FEATURE_STATE", DARK), MANAGE_SEGMENTS]),
            ApplyChangesRequest |p| {
                project: p.project.clone(),
                changes: vec![
                    ChangeRequest {
                        change: Some(change_request::Change::UpdateFlag(UpdateFlagRequest {
                            flag: Some(pb::Flag {
                                name: p.in_environment("flags/dark"), state: on(), ..Default::default()
                            }),
                            update_mask: mask(&["state.enabled"]),
                            ..Default::default()
                        })),
                    },
                    ChangeRequest {
                        change: Some(change_request::Change::UpdateSegment(UpdateSegmentChange {
                            segment: Some(segment(p)),
                            update_mask: mask(&["rules"]),
                        })),
                    },
                ],
                validate_only: true,
            };
    }
    SegmentService {
        CreateSegment Project MANAGE_SEGMENTS, CreateSegmentRequest |p| {
            parent: p.project.clone(), segment_id: "fresh".into(), segment: Some(segment(p)), validate_only: true
        };
        GetSegment Project VIEW_PROJECT, GetSegmentRequest |p| { name: p.in_project("segments/vip") };
        ListSegments Project VIEW_PROJECT, ListSegmentsRequest |p| { parent: p.project.clone() };
        UpdateSegment Project MANAGE_SEGMENTS, UpdateSegmentRequest |p| {
            segment: Some(segment(p)), update_mask: mask(&["rules"]), validate_only: true
        };
        DeleteSegment Project MANAGE_SEGMENTS, DeleteSegmentRequest |p| {
            name: p.in_project("segments/vip"), force: true, validate_only: true
        };
    }
    IdentityService {
        GetIdentity Environment VIEW_IDENTITIES, GetIdentityRequest |p| {
            name: p.in_environment("identities/ada")
        };
        ListIdentities Environment VIEW_IDENTITIES, ListIdentitiesRequest |p| { parent: p.environment.clone() };
        DeleteIdentity Environment MANAGE_IDENTITIES, DeleteIdentityRequest |p| {
            name: p.in_environment("identities/ada"), validate_only: true
        };
        SetTraits Environment MANAGE_IDENTITIES, SetTraitsRequest |p| {
            name: p.in_environment("identities/ada"),
            traits: [("plan".to_owned(), pb::TraitValue {
                kind: Some(pb::trait_value::Kind::StringValue("pro".into())),
            })].into(),
            validate_only: true,
        };
        RemoveTraits Environment MANAGE_IDENTITIES, RemoveTraitsRequest |p| {
            name: p.in_environment("identities/ada"), keys: vec!["plan".into()], validate_only: true
        };
    }
    ChangeService {
        ListChanges Project VIEW_AUDIT_LOG, ListChangesRequest |p| { parent: p.project.clone() };
        GetChange Project VIEW_AUDIT_LOG, GetChangeRequest |p| { name: p.in_project("changes/1") };
        WatchChanges Organisation ORGANISATION_ADMIN, WatchChangesRequest |p| { parent: p.organisation.clone() };
    }
}
