//! Repeated writes outside of projects: nothing is done, and the answer is what is there now.

use burgee_core::Result;
use burgee_core::account::{AccountMutation, AccountResource, Joiner};
use burgee_core::name::{InvitationName, MemberName};

use super::Connection;
use super::grants::find_grant;
use super::group_members::find_group_member;
use super::groups::find_group;
use super::invitations::find_invitation;
use super::members::find_member;
use super::organisations::find_organisation;
use super::projects::find_project;
use super::roles::find_role;
use super::tokens::find_token;
use super::trust::find_trust_relationship;
use super::users::find_user;

/// Returns what a write is about, as it is now.
pub(super) async fn current(
    connection: &mut Connection,
    mutation: &AccountMutation,
) -> Result<AccountResource> {
    use AccountMutation::*;
    use AccountResource as Made;
    Ok(match mutation {
        CreateOrganisation { organisation } => {
            Made::Organisation(find_organisation(connection, &organisation.name).await?.resource)
        }
        UpdateOrganisation { name, .. } | DeleteOrganisation { name, .. } => {
            Made::Organisation(find_organisation(connection, name).await?.resource)
        }
        DeleteProject { name, .. } => Made::Project(find_project(connection, name).await?.resource),
        CreateUser { user } => Made::User(find_user(connection, &user.name).await?.resource),
        UpdateUser { name, .. } | DeleteUser { name, .. } => {
            Made::User(find_user(connection, name).await?.resource)
        }
        CreateToken { token, .. } => Made::Token(find_token(connection, &token.name).await?.resource),
        RevokeToken { name } => Made::Token(find_token(connection, name).await?.resource),
        AddMember { name, .. } | UpdateMember { name, .. } | RemoveMember { name, .. } => {
            Made::Member(find_member(connection, name).await?.resource)
        }
        CreateGroup { group } => Made::Group(find_group(connection, &group.name).await?.resource),
        UpdateGroup { name, .. } | DeleteGroup { name, .. } => {
            Made::Group(find_group(connection, name).await?.resource)
        }
        AddGroupMember { name, .. } | UpdateGroupMember { name, .. } | RemoveGroupMember { name } => {
            Made::GroupMember(find_group_member(connection, name).await?.resource)
        }
        CreateInvitation { invitation, .. } => {
            Made::Invitation(find_invitation(connection, &invitation.name).await?.resource)
        }
        DeleteInvitation { name } => Made::Invitation(find_invitation(connection, name).await?.resource),
        AcceptInvitation { name, joiner } => joined(connection, name, joiner).await?,
        CreateRole { role } => Made::Role(find_role(connection, &role.name).await?.resource),
        UpdateRole { name, .. } | DeleteRole { name, .. } => {
            Made::Role(find_role(connection, name).await?.resource)
        }
        CreateGrant { grant } => Made::Grant(find_grant(connection, &grant.name).await?),
        RevokeGrant { name } => Made::Grant(find_grant(connection, name).await?),
        CreateTrustRelationship { trust_relationship } => {
            let name = &trust_relationship.name;
            Made::TrustRelationship(find_trust_relationship(connection, name).await?.resource)
        }
        UpdateTrustRelationship { name, .. } | DeleteTrustRelationship { name, .. } => {
            Made::TrustRelationship(find_trust_relationship(connection, name).await?.resource)
        }
    })
}

async fn joined(
    connection: &mut Connection,
    invitation: &InvitationName,
    joiner: &Joiner,
) -> Result<AccountResource> {
    let user = match joiner {
        Joiner::User(user) => user,
        Joiner::New { user, .. } => &user.name,
    };
    let member = MemberName { organisation: invitation.organisation.clone(), user: user.user.clone() };
    let member = find_member(connection, &member).await?.resource;
    Ok(match joiner {
        Joiner::User(_) => AccountResource::Joined { member, user: None, token: None },
        Joiner::New { user, token, .. } => AccountResource::Joined {
            member,
            user: Some(find_user(connection, &user.name).await?.resource),
            token: Some(find_token(connection, &token.name).await?.resource),
        },
    })
}
