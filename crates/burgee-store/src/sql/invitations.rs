//! Invitations.

use std::collections::BTreeSet;

use burgee_core::Result;
use burgee_core::access::StoredSecret;
use burgee_core::name::{GroupId, GroupName, InvitationId, InvitationName, OrganisationId, OrganisationName};
use burgee_core::organisation::Invitation;
use burgee_core::store::Page;
use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::super::dialect::list;
use super::account_write::AccountWrite;
use super::credentials::SecretRecord;
use super::members::{parse_role, role_text};
use super::organisations::organisation_id;
use super::write::{Stored, already_exists, check_limit, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{storage, stored};

#[derive(sqlx::FromRow)]
struct InvitationRecord {
    id: i64,
    organisation_id: i64,
    key: String,
    email: Option<String>,
    role: String,
    groups: Json<Vec<String>>,
    lookup: String,
    inviter: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    accepted_at: Option<DateTime<Utc>>,
}

impl InvitationRecord {
    /// Leaves out the groups that were deleted since.
    fn into_stored(
        self,
        organisation: &OrganisationName,
        existing: &BTreeSet<String>,
    ) -> Result<Stored<Invitation>> {
        let groups = self.groups.0.iter().filter(|group| existing.contains(*group));
        let invitation = stored(InvitationId::parse(&self.key))?;
        let resource = Invitation {
            name: InvitationName { organisation: organisation.clone(), invitation },
            email: self.email,
            role: parse_role(&self.role)?,
            groups: groups.map(|group| stored(GroupId::parse(group))).collect::<Result<_>>()?,
            hint: self.lookup,
            inviter: self.inviter,
            created_at: self.created_at,
            expires_at: self.expires_at,
            accepted_at: self.accepted_at,
        };
        Ok(Stored { id: self.id, resource })
    }
}

/// Returns those of the groups that exist.
async fn existing_groups<'a>(
    connection: &mut Connection,
    organisation: i64,
    keys: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeSet<String>> {
    let keys: BTreeSet<&str> = keys.into_iter().collect();
    if keys.is_empty() {
        return Ok(BTreeSet::new());
    }
    let existing: Vec<String> = sqlx::query_scalar(concat!(
        "SELECT key FROM groups WHERE organisation_id = $1 AND key IN ",
        texts!("$2"),
        " ORDER BY key"
    ))
    .bind(organisation)
    .bind(list(keys))
    .fetch_all(connection)
    .await
    .map_err(storage)?;
    Ok(existing.into_iter().collect())
}

async fn invitations(
    connection: &mut Connection,
    organisation: &OrganisationName,
    records: Vec<InvitationRecord>,
) -> Result<Vec<Stored<Invitation>>> {
    let Some(first) = records.first() else { return Ok(Vec::new()) };
    let id = first.organisation_id;
    let keys = records.iter().flat_map(|record| record.groups.0.iter().map(String::as_str));
    let existing = existing_groups(connection, id, keys).await?;
    records.into_iter().map(|record| record.into_stored(organisation, &existing)).collect()
}

/// Finds an invitation.
pub(super) async fn find_invitation(
    connection: &mut Connection,
    name: &InvitationName,
) -> Result<Stored<Invitation>> {
    let records: Vec<InvitationRecord> = sqlx::query_as(
        "SELECT i.id, i.organisation_id, i.key, i.email, i.role, i.groups, i.lookup, i.inviter, i.created_at,
            i.expires_at, i.accepted_at
        FROM invitations i JOIN organisations o ON o.id = i.organisation_id WHERE o.key = $1 AND i.key = $2",
    )
    .bind(name.organisation.organisation.as_str())
    .bind(name.invitation.as_str())
    .fetch_all(&mut *connection)
    .await
    .map_err(storage)?;
    let found = invitations(connection, &name.organisation, records).await?.pop();
    found.ok_or_else(|| not_found("invitation", name))
}

impl Backend {
    pub(crate) async fn invitation(&self, name: &InvitationName) -> Result<Invitation> {
        let mut tx = self.snapshot().await?;
        Ok(find_invitation(&mut tx, name).await?.resource)
    }

    pub(crate) async fn invitations(
        &self,
        organisation: &OrganisationName,
        page: &Page,
    ) -> Result<Vec<Invitation>> {
        let mut tx = self.snapshot().await?;
        let id = organisation_id(&mut tx, organisation).await?;
        let records: Vec<InvitationRecord> = sqlx::query_as(
            "SELECT id, organisation_id, key, email, role, groups, lookup, inviter, created_at, expires_at,
                accepted_at
            FROM invitations WHERE organisation_id = $1 AND key > $2 ORDER BY key LIMIT $3",
        )
        .bind(id)
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        let found = invitations(&mut tx, organisation, records).await?;
        Ok(found.into_iter().map(|invitation| invitation.resource).collect())
    }

    pub(crate) async fn invitation_by_secret(
        &self,
        lookup: &str,
    ) -> Result<Option<(Invitation, StoredSecret)>> {
        #[derive(sqlx::FromRow)]
        struct SecretInvitation {
            organisation_key: String,
            invitation_key: String,
            #[sqlx(flatten)]
            secret: SecretRecord,
        }
        let mut tx = self.snapshot().await?;
        let record: Option<SecretInvitation> = sqlx::query_as(
            "SELECT o.key AS organisation_key, i.key AS invitation_key, i.lookup, i.salt, i.hash
            FROM invitations i JOIN organisations o ON o.id = i.organisation_id WHERE i.lookup = $1",
        )
        .bind(lookup)
        .fetch_optional(&mut *tx)
        .await
        .map_err(storage)?;
        let Some(SecretInvitation { organisation_key, invitation_key, secret }) = record else {
            return Ok(None);
        };
        let organisation =
            OrganisationName { organisation: stored(OrganisationId::parse(&organisation_key))? };
        let name = InvitationName { organisation, invitation: stored(InvitationId::parse(&invitation_key))? };
        let invitation = find_invitation(&mut tx, &name).await?.resource;
        Ok(Some((invitation, secret.into_secret()?)))
    }
}

impl AccountWrite<'_> {
    /// Creates an invitation.
    pub(super) async fn create_invitation(
        &mut self,
        invitation: &Invitation,
        secret: &StoredSecret,
    ) -> Result<Invitation> {
        let organisation = self.organisation()?;
        let invitations: i64 =
            sqlx::query_scalar("SELECT count(*) FROM invitations WHERE organisation_id = $1")
                .bind(organisation)
                .fetch_one(&mut *self.tx)
                .await
                .map_err(storage)?;
        let maximum = self.limits.invitations_per_organisation;
        check_limit("invitations_per_organisation", maximum, invitations)?;
        self.check_none_open(invitation).await?;
        let keys = invitation.groups.iter().map(GroupId::as_str);
        let existing = existing_groups(&mut self.tx, organisation, keys).await?;
        if let Some(group) = invitation.groups.iter().find(|group| !existing.contains(group.as_str())) {
            let organisation = invitation.name.organisation.clone();
            return Err(not_found("group", &GroupName { organisation, group: group.clone() }));
        }
        let created = Invitation {
            hint: secret.lookup.clone(),
            created_at: microseconds(invitation.created_at),
            expires_at: microseconds(invitation.expires_at),
            accepted_at: None,
            ..invitation.clone()
        };
        sqlx::query(
            "INSERT INTO invitations
                (organisation_id, key, email, email_lower, role, groups, lookup, salt, hash, inviter, created_at,
                    expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(organisation)
        .bind(created.name.invitation.as_str())
        .bind(&created.email)
        .bind(created.email.as_ref().map(|email| email.to_ascii_lowercase()))
        .bind(role_text(created.role))
        .bind(Json(&created.groups))
        .bind(&secret.lookup)
        .bind(secret.salt.as_ref().map(|salt| &salt[..]))
        .bind(&secret.hash[..])
        .bind(&created.inviter)
        .bind(created.created_at)
        .bind(created.expires_at)
        .execute(&mut *self.tx)
        .await
        .map_err(taken("invitation", &created.name))?;
        self.record(&created.name, None, Some(&created))?;
        Ok(created)
    }

    /// Refuses a second invitation for an address that has an open one.
    async fn check_none_open(&mut self, invitation: &Invitation) -> Result<()> {
        let Some(email) = &invitation.email else { return Ok(()) };
        let open: bool = sqlx::query_scalar(
            "SELECT EXISTS (
                SELECT 1 FROM invitations
                WHERE organisation_id = $1 AND email_lower = $2 AND accepted_at IS NULL AND expires_at > $3
            )",
        )
        .bind(self.organisation()?)
        .bind(email.to_ascii_lowercase())
        .bind(self.now)
        .fetch_one(&mut *self.tx)
        .await
        .map_err(storage)?;
        if open { Err(already_exists("open invitation for the email", email)) } else { Ok(()) }
    }

    /// Deletes an invitation.
    pub(super) async fn delete_invitation(&mut self, name: &InvitationName) -> Result<Invitation> {
        let Stored { id, resource } = find_invitation(&mut self.tx, name).await?;
        sqlx::query("DELETE FROM invitations WHERE id = $1")
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.record(name, Some(&resource), None)?;
        Ok(resource)
    }
}
