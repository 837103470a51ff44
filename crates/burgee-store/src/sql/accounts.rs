//! Writes outside of projects.

use burgee_core::account::{AccountApplied, AccountMutation, AccountResource};
use burgee_core::change::WriteContext;
use burgee_core::name::{OrganisationName, TokenOwner};
use burgee_core::{Error, Result};

use super::Backend;
use super::account_write::AccountWrite;
use super::requests::{Claim, claim, log_scope};
use crate::retry::retrying;

/// Returns the organisation whose log writes of a token are in.
fn of_owner(owner: &TokenOwner) -> Option<&OrganisationName> {
    match owner {
        TokenOwner::Organisation(organisation) => Some(organisation),
        TokenOwner::User(_) => None,
    }
}

/// Returns the organisation whose log a write is in; `None` is the server's.
pub(super) fn organisation_of(mutation: &AccountMutation) -> Option<&OrganisationName> {
    use AccountMutation::*;
    match mutation {
        CreateOrganisation { .. }
        | DeleteOrganisation { .. }
        | CreateUser { .. }
        | UpdateUser { .. }
        | DeleteUser { .. } => None,
        UpdateOrganisation { name, .. } => Some(name),
        DeleteProject { name, .. } => Some(&name.organisation),
        CreateToken { token, .. } => of_owner(&token.name.owner),
        RevokeToken { name } => of_owner(&name.owner),
        AddMember { name, .. } | UpdateMember { name, .. } | RemoveMember { name, .. } => {
            Some(&name.organisation)
        }
        CreateGroup { group } => Some(&group.name.organisation),
        UpdateGroup { name, .. } | DeleteGroup { name, .. } => Some(&name.organisation),
        AddGroupMember { name, .. } | UpdateGroupMember { name, .. } | RemoveGroupMember { name } => {
            Some(&name.group.organisation)
        }
        CreateInvitation { invitation, .. } => Some(&invitation.name.organisation),
        DeleteInvitation { name } | AcceptInvitation { name, .. } => Some(&name.organisation),
        CreateRole { role } => Some(&role.name.organisation),
        UpdateRole { name, .. } | DeleteRole { name, .. } => Some(&name.organisation),
        CreateGrant { grant } => Some(&grant.name.organisation),
        RevokeGrant { name } => Some(&name.organisation),
        CreateTrustRelationship { trust_relationship } => Some(&trust_relationship.name.organisation),
        UpdateTrustRelationship { name, .. } | DeleteTrustRelationship { name, .. } => {
            Some(&name.organisation)
        }
    }
}

impl Backend {
    pub(crate) async fn apply_account(
        &self,
        context: &WriteContext,
        mutation: AccountMutation,
    ) -> Result<AccountApplied> {
        retrying(|| self.apply_account_once(context, &mutation)).await
    }

    async fn apply_account_once(
        &self,
        context: &WriteContext,
        mutation: &AccountMutation,
    ) -> Result<AccountApplied> {
        let mut write = AccountWrite::begin(self, mutation, context.now).await?;
        let scope = log_scope(write.log);
        if let Claim::Replayed(revision) = claim(&mut write.tx, context, &scope, write.revision).await? {
            drop(write);
            let mut tx = self.snapshot().await?;
            let resource = match Box::pin(super::account_replays::current(&mut tx, mutation)).await {
                Ok(resource) => Some(resource),
                Err(Error::NotFound { .. }) => None,
                Err(error) => return Err(error),
            };
            return Ok(AccountApplied { revision, resource, replayed: true });
        }
        // On the heap: every kind of mutation has a large future of its own.
        let resource = Box::pin(write.perform(mutation, context)).await?;
        let revision = write.finish(self, context).await?;
        Ok(AccountApplied { revision, resource: Some(resource), replayed: false })
    }
}

impl AccountWrite<'_> {
    async fn perform(
        &mut self,
        mutation: &AccountMutation,
        context: &WriteContext,
    ) -> Result<AccountResource> {
        use AccountMutation::*;
        use AccountResource as Made;
        Ok(match mutation {
            CreateOrganisation { organisation } => {
                Made::Organisation(self.create_organisation(organisation).await?)
            }
            UpdateOrganisation { name, patch, etag } => {
                Made::Organisation(self.update_organisation(context, name, patch, etag.as_deref()).await?)
            }
            DeleteOrganisation { name, force, etag } => {
                Made::Organisation(self.delete_organisation(name, *force, etag.as_deref()).await?)
            }
            DeleteProject { name, force, etag } => {
                Made::Project(self.delete_project(name, *force, etag.as_deref()).await?)
            }
            CreateUser { user } => Made::User(self.create_user(user).await?),
            UpdateUser { name, patch, etag } => {
                Made::User(self.update_user(name, patch, etag.as_deref()).await?)
            }
            DeleteUser { name, etag } => Made::User(self.delete_user(name, etag.as_deref()).await?),
            CreateToken { token, secret } => Made::Token(self.create_token(token, secret).await?),
            RevokeToken { name } => Made::Token(self.revoke_token(name).await?),
            AddMember { name, role } => Made::Member(self.add_member(name, *role).await?),
            UpdateMember { name, role, etag } => {
                Made::Member(self.update_member(name, *role, etag.as_deref()).await?)
            }
            RemoveMember { name, etag } => Made::Member(self.remove_member(name, etag.as_deref()).await?),
            CreateGroup { group } => Made::Group(self.create_group(group).await?),
            UpdateGroup { name, patch, etag } => {
                Made::Group(self.update_group(name, patch, etag.as_deref()).await?)
            }
            DeleteGroup { name, etag } => Made::Group(self.delete_group(name, etag.as_deref()).await?),
            AddGroupMember { name, administrator } => {
                Made::GroupMember(self.add_group_member(name, *administrator).await?)
            }
            UpdateGroupMember { name, administrator } => {
                Made::GroupMember(self.update_group_member(name, *administrator).await?)
            }
            RemoveGroupMember { name } => Made::GroupMember(self.remove_group_member(name).await?),
            CreateInvitation { invitation, secret } => {
                Made::Invitation(self.create_invitation(invitation, secret).await?)
            }
            DeleteInvitation { name } => Made::Invitation(self.delete_invitation(name).await?),
            AcceptInvitation { name, joiner } => self.accept_invitation(name, joiner).await?,
            CreateRole { role } => Made::Role(self.create_role(role).await?),
            UpdateRole { name, patch, etag } => {
                Made::Role(self.update_role(name, patch, etag.as_deref()).await?)
            }
            DeleteRole { name, etag } => Made::Role(self.delete_role(name, etag.as_deref()).await?),
            CreateGrant { grant } => Made::Grant(self.create_grant(grant).await?),
            RevokeGrant { name } => Made::Grant(self.revoke_grant(name).await?),
            CreateTrustRelationship { trust_relationship } => {
                Made::TrustRelationship(self.create_trust_relationship(trust_relationship).await?)
            }
            UpdateTrustRelationship { name, patch, etag } => {
                Made::TrustRelationship(self.update_trust_relationship(name, patch, etag.as_deref()).await?)
            }
            DeleteTrustRelationship { name, etag } => {
                Made::TrustRelationship(self.delete_trust_relationship(name, etag.as_deref()).await?)
            }
        })
    }
}
