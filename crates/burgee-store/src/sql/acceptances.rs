//! Invitations that are accepted.

use burgee_core::access::{StoredSecret, Token};
use burgee_core::account::{AccountResource, Joiner};
use burgee_core::name::{InvitationName, MemberName, TokenOwner};
use burgee_core::organisation::{Invitation, User};
use burgee_core::{Error, Result};

use super::account_write::AccountWrite;
use super::groups::find_group;
use super::invitations::find_invitation;
use super::sign_in::account_exists;
use super::tokens::insert_token;
use super::users::{find_user, insert_user};
use super::write::{Stored, not_found};
use crate::error::storage;

impl AccountWrite<'_> {
    /// Makes somebody a member who was invited.
    pub(super) async fn accept_invitation(
        &mut self,
        name: &InvitationName,
        joiner: &Joiner,
    ) -> Result<AccountResource> {
        let Stored { id, resource: invitation } = find_invitation(&mut self.tx, name).await?;
        if invitation.accepted_at.is_some() || invitation.expires_at <= self.now {
            return Err(not_found("invitation", name));
        }
        let (joined, user, token) = match joiner {
            Joiner::User(user) => {
                let user = find_user(&mut self.tx, user).await?;
                let is_for = |email: &String| email.eq_ignore_ascii_case(&user.resource.email);
                if !invitation.email.as_ref().is_none_or(is_for) {
                    return Err(not_found("invitation", name));
                }
                (user, None, None)
            }
            Joiner::New { user, token, secret } => {
                let (created, token) = self.create_joiner(&invitation, user, token, secret).await?;
                let user = created.resource.clone();
                (created, Some(user), Some(token))
            }
        };
        let member =
            MemberName { organisation: name.organisation.clone(), user: joined.resource.name.user.clone() };
        let created = self.add_member(&member, invitation.role).await?;
        self.join_invited_groups(&invitation, &member, joined.id).await?;
        if invitation.email.is_some() {
            let accepted = Invitation { accepted_at: Some(self.now), ..invitation.clone() };
            sqlx::query("UPDATE invitations SET accepted_at = $2 WHERE id = $1")
                .bind(id)
                .bind(accepted.accepted_at)
                .execute(&mut *self.tx)
                .await
                .map_err(storage)?;
            self.record(name, Some(&invitation), Some(&accepted))?;
        }
        Ok(AccountResource::Joined { member: created, user, token })
    }

    /// Creates the account of somebody who was invited. The inviter was shown the secret, too, so that the address is not known to be
    /// theirs.
    async fn create_joiner(
        &mut self,
        invitation: &Invitation,
        user: &User,
        token: &Token,
        secret: &StoredSecret,
    ) -> Result<(Stored<User>, Token)> {
        if token.name.owner != TokenOwner::User(user.name.clone()) {
            return Err(Error::invalid("token", format!("must be of `{}`", user.name)));
        }
        let user = User {
            email: invitation.email.clone().unwrap_or_else(|| user.email.clone()),
            email_verified: false,
            administrator: false,
            ..user.clone()
        };
        let created = match insert_user(&mut self.tx, &user).await {
            Err(Error::AlreadyExists { name, .. }) if name == user.email => {
                return Err(account_exists(&user.email));
            }
            created => created?,
        };
        self.record(&created.resource.name, None, Some(&created.resource))?;
        let token = insert_token(&mut self.tx, token, secret).await?;
        self.record(&token.name, None, Some(&token))?;
        Ok((created, token))
    }

    /// Puts a new member into the groups of the invitation in which default groups have not put them.
    async fn join_invited_groups(
        &mut self,
        invitation: &Invitation,
        member: &MemberName,
        user: i64,
    ) -> Result<()> {
        for id in &invitation.groups {
            let organisation = member.organisation.clone();
            let name = burgee_core::name::GroupName { organisation, group: id.clone() };
            let group = find_group(&mut self.tx, &name).await?;
            if !group.resource.is_default {
                self.join_group(member, user, group.id, id).await?;
            }
        }
        Ok(())
    }
}
