//! Who may call what: one table of all methods. Nothing else decides it: a handler gets a request only through the gate, which
//! asks this table.

mod methods;
mod needs;
#[cfg(test)]
mod tests;

use burgee_core::grant::Grantee;
use burgee_core::name::{
    ChangeName, EnvironmentName, FeatureName, FlagName, GrantName, GroupMemberName, GroupName, LogName,
    TokenName, TokenOwner, UserName,
};
use burgee_core::permission::{Permission, Place};
use burgee_core::{Result, Violation};
use burgee_proto::management::v1 as pb;

use self::needs::{
    administrator, changes, chooses, environment, feature, group, identity, identity_override, invitation,
    key, log, member, name, new_feature, of_flag, organisation, project, role, segment, segment_override,
    tokens_of, trust_relationship, variant,
};
use crate::fields::At as _;

pub(crate) use self::methods::Methods;
pub use self::methods::RightsError;

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
