//! Members of organisations.

use burgee_core::name::{MemberName, OrganisationId, OrganisationName, UserId, UserName};
use burgee_core::organisation::{Member, Role};
use burgee_core::store::Page;
use burgee_core::{Error, Result};
use chrono::{DateTime, Utc};

use super::account_write::AccountWrite;
use super::grants::grants_of_member;
use super::group_members::group_places;
use super::organisations::{check_etag, organisation_id};
use super::users::user_id;
use super::write::{Stored, check_limit, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{corrupt, storage, stored};

#[derive(sqlx::FromRow)]
struct MemberRecord {
    user_id: i64,
    key: String,
    role: String,
    version: i64,
    created_at: DateTime<Utc>,
}

impl MemberRecord {
    /// The number is that of the user.
    fn into_stored(self, organisation: &OrganisationName) -> Result<Stored<Member>> {
        let Self { user_id, key, role, version, created_at } = self;
        let name = MemberName { organisation: organisation.clone(), user: stored(UserId::parse(&key))? };
        let resource = Member { name, role: parse_role(&role)?, created_at, etag: version.to_string() };
        Ok(Stored { id: user_id, resource })
    }
}

/// Returns how a role is stored.
pub(super) fn role_text(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

/// Parses a stored role.
pub(super) fn parse_role(text: &str) -> Result<Role> {
    match text {
        "admin" => Ok(Role::Admin),
        "member" => Ok(Role::Member),
        _ => Err(corrupt(format!("a stored role is `{text}`"))),
    }
}

/// Finds a member; the number is that of the user.
pub(super) async fn find_member(connection: &mut Connection, name: &MemberName) -> Result<Stored<Member>> {
    let record: Option<MemberRecord> = sqlx::query_as(
        "SELECT m.user_id, u.key, m.role, m.version, m.created_at
        FROM members m JOIN users u ON u.id = m.user_id JOIN organisations o ON o.id = m.organisation_id
        WHERE o.key = $1 AND u.key = $2",
    )
    .bind(name.organisation.organisation.as_str())
    .bind(name.user.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("member", name))?.into_stored(&name.organisation)
}

/// Returns a user's memberships, with the numbers of the organisations.
pub(super) async fn memberships(connection: &mut Connection, user: &UserName) -> Result<Vec<(i64, Member)>> {
    #[derive(sqlx::FromRow)]
    struct Membership {
        organisation_id: i64,
        organisation_key: String,
        #[sqlx(flatten)]
        member: MemberRecord,
    }
    let records: Vec<Membership> = sqlx::query_as(
        "SELECT o.id AS organisation_id, o.key AS organisation_key, m.user_id, u.key, m.role, m.version, m.created_at
        FROM members m JOIN users u ON u.id = m.user_id JOIN organisations o ON o.id = m.organisation_id
        WHERE u.key = $1 ORDER BY o.id",
    )
    .bind(user.user.as_str())
    .fetch_all(connection)
    .await
    .map_err(storage)?;
    let membership = |record: Membership| {
        let name =
            OrganisationName { organisation: stored(OrganisationId::parse(&record.organisation_key))? };
        Ok((record.organisation_id, record.member.into_stored(&name)?.resource))
    };
    records.into_iter().map(membership).collect()
}

/// Refuses to leave an organisation without an administrator, once a member is none.
pub(super) async fn check_administrators_without(
    connection: &mut Connection,
    organisation: i64,
    member: &Member,
) -> Result<()> {
    let administrators: i64 =
        sqlx::query_scalar("SELECT count(*) FROM members WHERE organisation_id = $1 AND role = 'admin'")
            .bind(organisation)
            .fetch_one(connection)
            .await
            .map_err(storage)?;
    if member.role == Role::Admin && administrators == 1 {
        return Err(Error::Precondition {
            reason: "LAST_ADMINISTRATOR",
            message: format!("`{}` is the last administrator of the organisation", member.name),
        });
    }
    Ok(())
}

impl Backend {
    pub(crate) async fn members(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Member>> {
        let mut tx = self.snapshot().await?;
        let id = organisation_id(&mut tx, organisation).await?;
        let records: Vec<MemberRecord> = sqlx::query_as(
            "SELECT m.user_id, u.key, m.role, m.version, m.created_at
            FROM members m JOIN users u ON u.id = m.user_id
            WHERE m.organisation_id = $1 AND u.key > $2 ORDER BY u.key LIMIT $3",
        )
        .bind(id)
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| Ok(record.into_stored(organisation)?.resource)).collect()
    }

    pub(crate) async fn are_colleagues(&self, one: &UserName, other: &UserName) -> Result<bool> {
        sqlx::query_scalar(
            "SELECT EXISTS (
                SELECT 1 FROM members m JOIN members n ON n.organisation_id = m.organisation_id
                WHERE m.user_id = (SELECT id FROM users WHERE key = $1)
                    AND n.user_id = (SELECT id FROM users WHERE key = $2)
            )",
        )
        .bind(one.user.as_str())
        .bind(other.user.as_str())
        .fetch_one(&self.reads)
        .await
        .map_err(storage)
    }
}

impl AccountWrite<'_> {
    /// Makes a user a member, and puts them into the default groups.
    pub(super) async fn add_member(&mut self, name: &MemberName, role: Role) -> Result<Member> {
        let organisation = self.organisation()?;
        let user = user_id(&mut self.tx, &UserName { user: name.user.clone() }).await?;
        let created = Member { name: name.clone(), role, created_at: self.now, etag: "1".to_owned() };
        sqlx::query(
            "INSERT INTO members (organisation_id, user_id, role, version, created_at) VALUES ($1, $2, $3, 1, $4)",
        )
        .bind(organisation)
        .bind(user)
        .bind(role_text(role))
        .bind(created.created_at)
        .execute(&mut *self.tx)
        .await
        .map_err(taken("member", name))?;
        let members: i64 = sqlx::query_scalar("SELECT count(*) FROM members WHERE organisation_id = $1")
            .bind(organisation)
            .fetch_one(&mut *self.tx)
            .await
            .map_err(storage)?;
        check_limit("members_per_organisation", self.limits.members_per_organisation, members - 1)?;
        self.record(name, None, Some(&created))?;
        self.join_default_groups(name, user).await?;
        Ok(created)
    }

    /// Changes a member's role.
    pub(super) async fn update_member(
        &mut self,
        name: &MemberName,
        role: Role,
        etag: Option<&str>,
    ) -> Result<Member> {
        let organisation = self.organisation()?;
        let Stored { id: user, resource: before } = find_member(&mut self.tx, name).await?;
        check_etag(name, etag, &before.etag)?;
        if role != Role::Admin {
            check_administrators_without(&mut self.tx, organisation, &before).await?;
        }
        let version: i64 = sqlx::query_scalar(
            "UPDATE members SET role = $3, version = version + 1
            WHERE organisation_id = $1 AND user_id = $2 RETURNING version",
        )
        .bind(organisation)
        .bind(user)
        .bind(role_text(role))
        .fetch_one(&mut *self.tx)
        .await
        .map_err(storage)?;
        let after = Member { role, etag: version.to_string(), ..before.clone() };
        self.record(name, Some(&before), Some(&after))?;
        Ok(after)
    }

    /// Removes a member, with places in groups and grants.
    pub(super) async fn remove_member(&mut self, name: &MemberName, etag: Option<&str>) -> Result<Member> {
        let organisation = self.organisation()?;
        let Stored { id: user, resource } = find_member(&mut self.tx, name).await?;
        check_etag(name, etag, &resource.etag)?;
        check_administrators_without(&mut self.tx, organisation, &resource).await?;
        let places = group_places(&mut self.tx, organisation, name, user).await?;
        let grants = grants_of_member(&mut self.tx, organisation, user).await?;
        sqlx::query("DELETE FROM members WHERE organisation_id = $1 AND user_id = $2")
            .bind(organisation)
            .bind(user)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.record(name, Some(&resource), None)?;
        for place in &places {
            self.record(&place.name, Some(place), None)?;
        }
        self.record_revoked(&grants)?;
        Ok(resource)
    }
}
