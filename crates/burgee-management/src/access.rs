//! Who may call what: one table of all methods. Nothing else decides it: a handler gets a request only through the gate, which
//! asks this table.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use burgee_core::grant::Grantee;
use burgee_core::name::{
    ChangeName, EnvironmentName, FeatureName, FlagName, GrantName, GroupMemberName, GroupName, IdentityName,
    IdentityOverrideName, InvitationName, KeyName, LogName, MemberName, OrganisationName, ProjectName,
    RoleName, SegmentName, SegmentOverrideName, TokenName, TokenOwner, TrustRelationshipName, UserName,
    VariantName,
};
use burgee_core::permission::{Permission, Place};
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;
use pb::change_request::Change;
use prost::Message as _;
use prost_types::{FieldMask, FileDescriptorSet};

use crate::apply::{check_count, kind};
use crate::fields::At as _;

/// The package whose services are guarded.
const PACKAGE: &str = "burgee.management.v1";

/// What the error names that is missing to those who do not administer the server.
pub(crate) const SERVER_ADMINISTRATOR: &str = "SERVER_ADMINISTRATOR";

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Needs {
    /// Nothing, not even a credential: the request holds a secret of its own.
    Nothing,
    /// A credential.
    Credential,
    /// To administer the server.
    ServerAdministrator,
    /// A permission at a place.
    Permission(Permission, Place),
    /// A permission at a place, for one feature.
    OfFeature(Permission, Place, FeatureName),
    /// To be an administrator of what a grant is on.
    OfGrant(GrantName),
    /// To be somebody, or an administrator of a place.
    OfGrantee(Grantee, Place),
    /// To manage groups, or this one.
    OfGroup(GroupName),
    /// To be the user, or to administer the server.
    Own(UserName),
    /// To be the user or one of their colleagues, or to administer the server.
    Known(UserName),
    /// All of these.
    All(Vec<Needs>),
}

/// A request, of which the table says what it needs.
pub(crate) trait Guarded: prost::Message {
    /// The method that takes it, such as `FlagService/UpdateFlag`.
    const METHOD: &'static str;

    /// Returns what it needs, or which field keeps that from being known.
    fn needs(&self) -> Result<Needs, Violation>;
}

macro_rules! rights {
    ($($service:ident { $($method:ident $request:ident $needs:expr;)* })*) => {
        /// All methods, with whether they can be called without a credential.
        const METHODS: &[(&str, bool)] = &[
            $($((concat!(stringify!($service), "/", stringify!($method)), is_open(stringify!($method))),)*)*
        ];

        $($(
            impl Guarded for pb::$request {
                const METHOD: &'static str = concat!(stringify!($service), "/", stringify!($method));

                fn needs(&self) -> Result<Needs, Violation> {
                    let needs: fn(&Self) -> Result<Needs, Violation> = $needs;
                    needs(self)
                }
            }
        )*)*
    };
}

/// The methods whose requests hold a secret of their own.
const OPEN: [&str; 2] = ["AcceptInvitation", "ExchangeToken"];

const fn is_open(method: &str) -> bool {
    let mut index = 0;
    while index < OPEN.len() {
        if equal(method.as_bytes(), OPEN[index].as_bytes()) {
            return true;
        }
        index += 1;
    }
    false
}

const fn equal(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

rights! {
    OrganisationService {
        CreateOrganisation CreateOrganisationRequest |_| Ok(Needs::ServerAdministrator);
        GetOrganisation GetOrganisationRequest |r| organisation(Permission::ViewOrganisation, &r.name, "name");
        // Lists those that the caller belongs to.
        ListOrganisations ListOrganisationsRequest |_| Ok(Needs::Credential);
        UpdateOrganisation UpdateOrganisationRequest |r| {
            organisation(Permission::OrganisationAdmin, name(&r.organisation, |it| &it.name), "organisation.name")
        };
        DeleteOrganisation DeleteOrganisationRequest |r| organisation(Permission::OrganisationAdmin, &r.name, "name");
        // Whom the caller does not know, they invite: nobody learns here who has an account, or joins without having agreed.
        AddMember AddMemberRequest |r| {
            let administrator = organisation(Permission::OrganisationAdmin, &r.parent, "parent")?;
            Ok(Needs::All(vec![administrator, Needs::Known(UserName::parse(&r.user).at("user")?)]))
        };
        ListMembers ListMembersRequest |r| organisation(Permission::ViewOrganisation, &r.parent, "parent");
        UpdateMemberRole UpdateMemberRoleRequest |r| member(&r.name);
        RemoveMember RemoveMemberRequest |r| member(&r.name);
    }
    UserService {
        GetCurrentUser GetCurrentUserRequest |_| Ok(Needs::Credential);
        CreateUser CreateUserRequest |_| Ok(Needs::ServerAdministrator);
        GetUser GetUserRequest |r| Ok(Needs::Known(UserName::parse(&r.name).at("name")?));
        ListUsers ListUsersRequest |_| Ok(Needs::ServerAdministrator);
        // Whoever could change their own address could sign in as somebody else.
        UpdateUser UpdateUserRequest |r| {
            let own = Needs::Own(UserName::parse(name(&r.user, |it| &it.name)).at("user.name")?);
            let user = r.user.as_ref();
            let changes_more = chooses(&r.update_mask, "email", user.is_some_and(|it| !it.email.is_empty()))
                || chooses(&r.update_mask, "administrator", user.is_some_and(|it| it.administrator.is_some()));
            Ok(if changes_more { Needs::All(vec![own, Needs::ServerAdministrator]) } else { own })
        };
        DeleteUser DeleteUserRequest |_| Ok(Needs::ServerAdministrator);
        CreateToken CreateTokenRequest |r| tokens_of(TokenOwner::parse(&r.parent).at("parent")?);
        ListTokens ListTokensRequest |r| tokens_of(TokenOwner::parse(&r.parent).at("parent")?);
        RevokeToken RevokeTokenRequest |r| tokens_of(TokenName::parse(&r.name).at("name")?.owner);
    }
    GroupService {
        CreateGroup CreateGroupRequest |r| organisation(Permission::ManageUserGroups, &r.parent, "parent");
        GetGroup GetGroupRequest |r| group(Permission::ViewOrganisation, &r.name, "name");
        ListGroups ListGroupsRequest |r| organisation(Permission::ViewOrganisation, &r.parent, "parent");
        UpdateGroup UpdateGroupRequest |r| {
            group(Permission::ManageUserGroups, name(&r.group, |it| &it.name), "group.name")
        };
        DeleteGroup DeleteGroupRequest |r| group(Permission::ManageUserGroups, &r.name, "name");
        AddGroupMember AddGroupMemberRequest |r| {
            Ok(Needs::OfGroup(GroupName::parse(&r.parent).at("parent")?))
        };
        ListGroupMembers ListGroupMembersRequest |r| group(Permission::ViewOrganisation, &r.parent, "parent");
        UpdateGroupMember UpdateGroupMemberRequest |r| {
            Ok(Needs::OfGroup(GroupMemberName::parse(&r.name).at("name")?.group))
        };
        RemoveGroupMember RemoveGroupMemberRequest |r| {
            Ok(Needs::OfGroup(GroupMemberName::parse(&r.name).at("name")?.group))
        };
    }
    InvitationService {
        CreateInvitation CreateInvitationRequest |r| {
            organisation(Permission::OrganisationAdmin, &r.parent, "parent")
        };
        GetInvitation GetInvitationRequest |r| invitation(&r.name);
        ListInvitations ListInvitationsRequest |r| {
            organisation(Permission::OrganisationAdmin, &r.parent, "parent")
        };
        DeleteInvitation DeleteInvitationRequest |r| invitation(&r.name);
        AcceptInvitation AcceptInvitationRequest |_| Ok(Needs::Nothing);
    }
    PermissionService {
        CreateRole CreateRoleRequest |r| organisation(Permission::OrganisationAdmin, &r.parent, "parent");
        GetRole GetRoleRequest |r| role(Permission::ViewOrganisation, &r.name, "name");
        ListRoles ListRolesRequest |r| organisation(Permission::ViewOrganisation, &r.parent, "parent");
        UpdateRole UpdateRoleRequest |r| {
            role(Permission::OrganisationAdmin, name(&r.role, |it| &it.name), "role.name")
        };
        DeleteRole DeleteRoleRequest |r| role(Permission::OrganisationAdmin, &r.name, "name");
        CreateGrant CreateGrantRequest |r| {
            administrator(name(&r.grant, |it| &it.resource), "grant.resource")
        };
        GetGrant GetGrantRequest |r| Ok(Needs::OfGrant(GrantName::parse(&r.name).at("name")?));
        ListGrants ListGrantsRequest |r| match r.resource.as_str() {
            "" => organisation(Permission::OrganisationAdmin, &r.parent, "parent"),
            resource => administrator(resource, "resource"),
        };
        RevokeGrant RevokeGrantRequest |r| Ok(Needs::OfGrant(GrantName::parse(&r.name).at("name")?));
        // Of oneself, on what one may not see, the answer is that one holds nothing there.
        TestPermissions TestPermissionsRequest |r| match r.grantee.as_str() {
            "" => Ok(Needs::Credential),
            grantee => {
                let grantee = Grantee::parse(grantee).at("grantee")?;
                Ok(Needs::OfGrantee(grantee, Place::parse(&r.resource).at("resource")?))
            }
        };
    }
    TrustService {
        CreateTrustRelationship CreateTrustRelationshipRequest |r| {
            organisation(Permission::OrganisationAdmin, &r.parent, "parent")
        };
        GetTrustRelationship GetTrustRelationshipRequest |r| trust_relationship(&r.name, "name");
        ListTrustRelationships ListTrustRelationshipsRequest |r| {
            organisation(Permission::OrganisationAdmin, &r.parent, "parent")
        };
        UpdateTrustRelationship UpdateTrustRelationshipRequest |r| {
            trust_relationship(name(&r.trust_relationship, |it| &it.name), "trust_relationship.name")
        };
        DeleteTrustRelationship DeleteTrustRelationshipRequest |r| trust_relationship(&r.name, "name");
        ExchangeToken ExchangeTokenRequest |_| Ok(Needs::Nothing);
    }
    ProjectService {
        CreateProject CreateProjectRequest |r| organisation(Permission::CreateProject, &r.parent, "parent");
        GetProject GetProjectRequest |r| project(Permission::ViewProject, &r.name, "name");
        // Lists those that the caller sees.
        ListProjects ListProjectsRequest |r| organisation(Permission::ViewOrganisation, &r.parent, "parent");
        UpdateProject UpdateProjectRequest |r| {
            project(Permission::ProjectAdmin, name(&r.project, |it| &it.name), "project.name")
        };
        DeleteProject DeleteProjectRequest |r| project(Permission::ProjectAdmin, &r.name, "name");
    }
    EnvironmentService {
        CreateEnvironment CreateEnvironmentRequest |r| {
            project(Permission::CreateEnvironment, &r.parent, "parent")
        };
        // What is copied has to be seen, too.
        CloneEnvironment CloneEnvironmentRequest |r| {
            let source = EnvironmentName::parse(&r.name).at("name")?;
            Ok(Needs::All(vec![
                Needs::Permission(Permission::CreateEnvironment, Place::Project(source.project.clone())),
                Needs::Permission(Permission::ViewEnvironment, Place::Environment(source)),
            ]))
        };
        GetEnvironment GetEnvironmentRequest |r| environment(Permission::ViewEnvironment, &r.name, "name");
        // Lists those that the caller sees.
        ListEnvironments ListEnvironmentsRequest |r| project(Permission::ViewProject, &r.parent, "parent");
        UpdateEnvironment UpdateEnvironmentRequest |r| {
            environment(Permission::EnvironmentAdmin, name(&r.environment, |it| &it.name), "environment.name")
        };
        DeleteEnvironment DeleteEnvironmentRequest |r| {
            environment(Permission::EnvironmentAdmin, &r.name, "name")
        };
        CreateEnvironmentKey CreateEnvironmentKeyRequest |r| {
            environment(Permission::EnvironmentAdmin, &r.parent, "parent")
        };
        ListEnvironmentKeys ListEnvironmentKeysRequest |r| {
            environment(Permission::EnvironmentAdmin, &r.parent, "parent")
        };
        RotateEnvironmentKey RotateEnvironmentKeyRequest |r| key(&r.name);
        RevokeEnvironmentKey RevokeEnvironmentKeyRequest |r| key(&r.name);
    }
    FeatureService {
        CreateFeature CreateFeatureRequest |r| {
            new_feature(&r.parent, "parent", r.feature.as_ref().is_some_and(|it| !it.tags.is_empty()))
        };
        GetFeature GetFeatureRequest |r| feature(Permission::ViewProject, &r.name, "name");
        ListFeatures ListFeaturesRequest |r| project(Permission::ViewProject, &r.parent, "parent");
        UpdateFeature UpdateFeatureRequest |r| {
            let changed = FeatureName::parse(name(&r.feature, |it| &it.name)).at("feature.name")?;
            let has_tags = r.feature.as_ref().is_some_and(|it| !it.tags.is_empty());
            new_feature(&changed.project.to_string(), "feature.name", chooses(&r.update_mask, "tags", has_tags))
        };
        ArchiveFeature ArchiveFeatureRequest |r| feature(Permission::CreateFeature, &r.name, "name");
        DeleteFeature DeleteFeatureRequest |r| {
            let deleted = FeatureName::parse(&r.name).at("name")?;
            Ok(Needs::OfFeature(Permission::DeleteFeature, Place::Project(deleted.project.clone()), deleted))
        };
        CreateVariant CreateVariantRequest |r| feature(Permission::ProjectAdmin, &r.parent, "parent");
        UpdateVariant UpdateVariantRequest |r| variant(name(&r.variant, |it| &it.name), "variant.name");
        DeleteVariant DeleteVariantRequest |r| variant(&r.name, "name");
    }
    FlagService {
        GetFlag GetFlagRequest |r| {
            let flag = FlagName::parse(&r.name).at("name")?;
            Ok(Needs::Permission(Permission::ViewEnvironment, Place::Environment(flag.environment)))
        };
        ListFlags ListFlagsRequest |r| environment(Permission::ViewEnvironment, &r.parent, "parent");
        UpdateFlag UpdateFlagRequest |r| {
            let flag = FlagName::parse(name(&r.flag, |it| &it.name)).at("flag.name")?;
            Ok(of_flag(Permission::UpdateFeatureState, flag))
        };
        SetSegmentOverride SetSegmentOverrideRequest |r| segment_override(&r.name);
        RemoveSegmentOverride RemoveSegmentOverrideRequest |r| segment_override(&r.name);
        ReorderSegmentOverrides ReorderSegmentOverridesRequest |r| {
            Ok(of_flag(Permission::ManageSegmentOverrides, FlagName::parse(&r.name).at("name")?))
        };
        SetIdentityOverride SetIdentityOverrideRequest |r| identity_override(&r.name);
        RemoveIdentityOverride RemoveIdentityOverrideRequest |r| identity_override(&r.name);
        ListIdentityOverrides ListIdentityOverridesRequest |r| {
            let flag = FlagName::parse(&r.parent).at("parent")?;
            Ok(Needs::Permission(Permission::ViewIdentities, Place::Environment(flag.environment)))
        };
        ApplyChanges ApplyChangesRequest |r| changes(r);
    }
    SegmentService {
        CreateSegment CreateSegmentRequest |r| project(Permission::ManageSegments, &r.parent, "parent");
        GetSegment GetSegmentRequest |r| segment(Permission::ViewProject, &r.name, "name");
        ListSegments ListSegmentsRequest |r| project(Permission::ViewProject, &r.parent, "parent");
        UpdateSegment UpdateSegmentRequest |r| {
            segment(Permission::ManageSegments, name(&r.segment, |it| &it.name), "segment.name")
        };
        DeleteSegment DeleteSegmentRequest |r| segment(Permission::ManageSegments, &r.name, "name");
    }
    IdentityService {
        GetIdentity GetIdentityRequest |r| identity(Permission::ViewIdentities, &r.name, "name");
        ListIdentities ListIdentitiesRequest |r| environment(Permission::ViewIdentities, &r.parent, "parent");
        DeleteIdentity DeleteIdentityRequest |r| identity(Permission::ManageIdentities, &r.name, "name");
        SetTraits SetTraitsRequest |r| identity(Permission::ManageIdentities, &r.name, "name");
        RemoveTraits RemoveTraitsRequest |r| identity(Permission::ManageIdentities, &r.name, "name");
    }
    ChangeService {
        ListChanges ListChangesRequest |r| log(LogName::parse(&r.parent).at("parent")?);
        GetChange GetChangeRequest |r| log(ChangeName::parse(&r.name).at("name")?.log);
        WatchChanges WatchChangesRequest |r| log(LogName::parse(&r.parent).at("parent")?);
    }
}

/// Returns the name in a message that may be missing.
fn name<T>(message: &Option<T>, name: fn(&T) -> &String) -> &str {
    message.as_ref().map(name).map(String::as_str).unwrap_or_default()
}

type Outcome = Result<Needs, Violation>;

fn organisation(permission: Permission, name: &str, field: &str) -> Outcome {
    Ok(Needs::Permission(permission, Place::Organisation(OrganisationName::parse(name).at(field)?)))
}

fn project(permission: Permission, name: &str, field: &str) -> Outcome {
    Ok(Needs::Permission(permission, Place::Project(ProjectName::parse(name).at(field)?)))
}

fn environment(permission: Permission, name: &str, field: &str) -> Outcome {
    Ok(Needs::Permission(permission, Place::Environment(EnvironmentName::parse(name).at(field)?)))
}

fn administrator(place: &str, field: &str) -> Outcome {
    let place = Place::parse(place).at(field)?;
    Ok(Needs::Permission(place.administrator(), place))
}

fn member(name: &str) -> Outcome {
    let organisation = MemberName::parse(name).at("name")?.organisation;
    Ok(Needs::Permission(Permission::OrganisationAdmin, Place::Organisation(organisation)))
}

fn group(permission: Permission, name: &str, field: &str) -> Outcome {
    let organisation = GroupName::parse(name).at(field)?.organisation;
    Ok(Needs::Permission(permission, Place::Organisation(organisation)))
}

fn invitation(name: &str) -> Outcome {
    let organisation = InvitationName::parse(name).at("name")?.organisation;
    Ok(Needs::Permission(Permission::OrganisationAdmin, Place::Organisation(organisation)))
}

fn role(permission: Permission, name: &str, field: &str) -> Outcome {
    let organisation = RoleName::parse(name).at(field)?.organisation;
    Ok(Needs::Permission(permission, Place::Organisation(organisation)))
}

fn trust_relationship(name: &str, field: &str) -> Outcome {
    let organisation = TrustRelationshipName::parse(name).at(field)?.organisation;
    Ok(Needs::Permission(Permission::OrganisationAdmin, Place::Organisation(organisation)))
}

fn tokens_of(owner: TokenOwner) -> Outcome {
    Ok(match owner {
        TokenOwner::User(user) => Needs::Own(user),
        TokenOwner::Organisation(organisation) => {
            Needs::Permission(Permission::OrganisationAdmin, Place::Organisation(organisation))
        }
    })
}

fn key(name: &str) -> Outcome {
    let environment = KeyName::parse(name).at("name")?.environment;
    Ok(Needs::Permission(Permission::EnvironmentAdmin, Place::Environment(environment)))
}

fn feature(permission: Permission, name: &str, field: &str) -> Outcome {
    let project = FeatureName::parse(name).at(field)?.project;
    Ok(Needs::Permission(permission, Place::Project(project)))
}

/// Whoever chooses the tags of features decides what limits by tag mean, so that takes a permission of its own.
fn new_feature(parent: &str, field: &str, chooses_tags: bool) -> Outcome {
    let create = project(Permission::CreateFeature, parent, field)?;
    if chooses_tags {
        Ok(Needs::All(vec![create, project(Permission::ManageTags, parent, field)?]))
    } else {
        Ok(create)
    }
}

/// Says whether an update changes a field.
fn chooses(mask: &Option<FieldMask>, field: &str, is_set: bool) -> bool {
    match mask {
        Some(mask) if !mask.paths.is_empty() => mask.paths.iter().any(|path| path == field || path == "*"),
        Some(_) | None => is_set,
    }
}

fn variant(name: &str, field: &str) -> Outcome {
    let project = VariantName::parse(name).at(field)?.feature.project;
    Ok(Needs::Permission(Permission::ProjectAdmin, Place::Project(project)))
}

fn segment(permission: Permission, name: &str, field: &str) -> Outcome {
    let project = SegmentName::parse(name).at(field)?.project;
    Ok(Needs::Permission(permission, Place::Project(project)))
}

fn of_flag(permission: Permission, flag: FlagName) -> Needs {
    let feature = FeatureName { project: flag.environment.project.clone(), feature: flag.feature };
    Needs::OfFeature(permission, Place::Environment(flag.environment), feature)
}

fn segment_override(name: &str) -> Outcome {
    let flag = SegmentOverrideName::parse(name).at("name")?.flag;
    Ok(of_flag(Permission::ManageSegmentOverrides, flag))
}

fn identity_override(name: &str) -> Outcome {
    let environment = IdentityOverrideName::parse(name).at("name")?.flag.environment;
    Ok(Needs::Permission(Permission::ManageIdentities, Place::Environment(environment)))
}

fn identity(permission: Permission, name: &str, field: &str) -> Outcome {
    let environment = IdentityName::parse(name).at(field)?.environment;
    Ok(Needs::Permission(permission, Place::Environment(environment)))
}

fn log(log: LogName) -> Outcome {
    Ok(match log {
        LogName::Server => Needs::ServerAdministrator,
        LogName::Organisation(name) => {
            Needs::Permission(Permission::OrganisationAdmin, Place::Organisation(name))
        }
        LogName::Project(name) => Needs::Permission(Permission::ViewAuditLog, Place::Project(name)),
    })
}

/// Each change needs what its own method needs; all together, a sight of the project.
fn changes(request: &pb::ApplyChangesRequest) -> Outcome {
    let parent = &request.project;
    check_count(request.changes.len())?;
    let mut needs = vec![project(Permission::ViewProject, parent, "project")?];
    // Many changes need the same.
    let mut known = HashSet::new();
    for (index, change) in request.changes.iter().enumerate() {
        let Some(change) = &change.change else { continue };
        let needed = match change {
            Change::UpdateFlag(request) => request.needs(),
            Change::SetSegmentOverride(request) => request.needs(),
            Change::RemoveSegmentOverride(request) => request.needs(),
            Change::ReorderSegmentOverrides(request) => request.needs(),
            Change::SetIdentityOverride(request) => request.needs(),
            Change::RemoveIdentityOverride(request) => request.needs(),
            Change::CreateSegment(_) => project(Permission::ManageSegments, parent, ""),
            Change::UpdateSegment(request) => {
                segment(Permission::ManageSegments, name(&request.segment, |it| &it.name), "segment.name")
            }
            Change::DeleteSegment(request) => segment(Permission::ManageSegments, &request.name, "name"),
            Change::CreateFeature(request) => {
                new_feature(parent, "", request.feature.as_ref().is_some_and(|it| !it.tags.is_empty()))
            }
        };
        let needed = needed.at(format_args!("changes[{index}].{}", kind(change)))?;
        if known.insert(needed.clone()) {
            needs.push(needed);
        }
    }
    Ok(Needs::All(needs))
}

/// Why nobody could say who may call what.
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

/// What is known of a method before its request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    /// Whether it can be called without a credential.
    pub(crate) open: bool,
    /// Whether it answers with a stream, which has no deadline.
    pub(crate) streaming: bool,
}

/// All methods, by their paths.
#[derive(Debug)]
pub(crate) struct Methods(BTreeMap<String, Method>);

impl Methods {
    /// Reads the table, and checks that it has every method of the descriptors and nothing else.
    pub(crate) fn new(descriptors: &[u8]) -> Result<Self, RightsError> {
        Self::of(descriptors, METHODS)
    }

    fn of(descriptors: &[u8], table: &[(&str, bool)]) -> Result<Self, RightsError> {
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
                    Some((_, open)) => {
                        let method = Method { open: *open, streaming: method.server_streaming() };
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

    /// Returns what is known of the method with this path.
    pub(crate) fn get(&self, path: &str) -> Option<Method> {
        self.0.get(path).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "organisations/acme/projects/shop";

    #[test]
    fn every_method_has_a_right() {
        let methods = Methods::new(burgee_proto::DESCRIPTORS).unwrap();
        assert_eq!(methods.0.len(), METHODS.len());
        let watch = methods.get("/burgee.management.v1.ChangeService/WatchChanges").unwrap();
        assert_eq!(watch, Method { open: false, streaming: true });
        assert!(methods.get("/burgee.management.v1.ChangeService/Other").is_none());
    }

    #[test]
    fn a_table_that_does_not_fit_is_refused() {
        let mut table = METHODS.to_vec();
        let (lost, _) = table.pop().unwrap();
        table.push(("FlagService/Lost", false));
        match Methods::of(burgee_proto::DESCRIPTORS, &table) {
            Err(RightsError::Table { missing, unknown }) => {
                assert_eq!((missing, unknown), (vec![lost.to_owned()], vec!["FlagService/Lost".to_owned()]));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_holds_a_secret_of_its_own_is_open() {
        let open: Vec<_> = METHODS.iter().filter(|(_, open)| *open).map(|(path, _)| *path).collect();
        assert_eq!(open, ["InvitationService/AcceptInvitation", "TrustService/ExchangeToken"]);
        assert_eq!(pb::AcceptInvitationRequest::default().needs(), Ok(Needs::Nothing));
        assert_eq!(pb::ExchangeTokenRequest::default().needs(), Ok(Needs::Nothing));
    }

    #[test]
    fn a_name_that_is_none_is_told_with_its_field() {
        assert_eq!(pb::UpdateFlagRequest::default().needs().unwrap_err().field, "flag.name");
        assert_eq!(pb::ListFlagsRequest::default().needs().unwrap_err().field, "parent");
        assert_eq!(pb::CreateGrantRequest::default().needs().unwrap_err().field, "grant.resource");
    }

    #[test]
    fn tags_are_chosen_by_those_who_may() {
        let check = |mask: Option<&[&str]>, tags: &[&str], permissions: usize| {
            let request = pb::UpdateFeatureRequest {
                feature: Some(burgee_proto::v1::Feature {
                    name: format!("{SHOP}/features/dark"),
                    tags: tags.iter().map(ToString::to_string).collect(),
                    ..Default::default()
                }),
                update_mask: mask
                    .map(|paths| FieldMask { paths: paths.iter().map(ToString::to_string).collect() }),
                ..Default::default()
            };
            let needs = match request.needs().unwrap() {
                Needs::All(needs) => needs.len(),
                _ => 1,
            };
            assert_eq!(needs, permissions, "{mask:?} {tags:?}");
        };
        check(None, &[], 1);
        check(None, &["a"], 2);
        check(Some(&["description"]), &["a"], 1);
        check(Some(&["tags"]), &[], 2);
        check(Some(&["*"]), &[], 2);
    }

    #[test]
    fn many_changes_need_what_each_of_them_needs() {
        let change = |change| pb::ChangeRequest { change: Some(change) };
        let flag = |flag: &str| {
            change(Change::UpdateFlag(pb::UpdateFlagRequest {
                flag: Some(burgee_proto::v1::Flag {
                    name: format!("{SHOP}/environments/dev/flags/{flag}"),
                    ..Default::default()
                }),
                ..Default::default()
            }))
        };
        let request = pb::ApplyChangesRequest {
            project: SHOP.into(),
            changes: vec![flag("a"), flag("a"), flag("b"), change(Change::CreateSegment(Default::default()))],
            ..Default::default()
        };
        let Needs::All(needs) = request.needs().unwrap() else { panic!("several") };
        let permissions: Vec<_> = needs
            .iter()
            .map(|needs| match needs {
                Needs::Permission(permission, _) | Needs::OfFeature(permission, ..) => permission.as_str(),
                _ => "",
            })
            .collect();
        assert_eq!(
            permissions,
            ["VIEW_PROJECT", "UPDATE_FEATURE_STATE", "UPDATE_FEATURE_STATE", "MANAGE_SEGMENTS"]
        );
        let wrong = pb::ApplyChangesRequest {
            project: SHOP.into(),
            changes: vec![change(Change::UpdateFlag(Default::default()))],
            ..Default::default()
        };
        assert_eq!(wrong.needs().unwrap_err().field, "changes[0].update_flag.flag.name");
    }
}
