//! Members of organisations.

use burgee_core::change::WriteContext;
use burgee_core::name::{MemberName, OrganisationName, UserId, UserName};
use burgee_core::organisation::{Member, Role};
use burgee_core::store::Page;
use burgee_core::{Error, Result};
use chrono::{DateTime, Utc};

use super::organisations::{check_etag, lock_organisation, organisation_id, settle};
use super::requests::{Claim, SERVER, claim};
use super::users::user_id;
use super::write::{check_limit, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{corrupt, storage, stored};
use crate::retry::retrying;

#[derive(sqlx::FromRow)]
struct MemberRecord {
    key: String,
    role: String,
    version: i64,
    created_at: DateTime<Utc>,
}

impl MemberRecord {
    fn into_member(self, organisation: &OrganisationName) -> Result<Member> {
        let Self { key, role, version, created_at } = self;
        let name = MemberName { organisation: organisation.clone(), user: stored(UserId::parse(&key))? };
        Ok(Member { name, role: parse_role(&role)?, created_at, etag: version.to_string() })
    }
}

fn role_text(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

fn parse_role(text: &str) -> Result<Role> {
    match text {
        "admin" => Ok(Role::Admin),
        "member" => Ok(Role::Member),
        _ => Err(corrupt(format!("a stored role is `{text}`"))),
    }
}

async fn member(connection: &mut Connection, name: &MemberName) -> Result<Member> {
    let record: Option<MemberRecord> = sqlx::query_as(
        "SELECT u.key, m.role, m.version, m.created_at
        FROM members m JOIN users u ON u.id = m.user_id JOIN organisations o ON o.id = m.organisation_id
        WHERE o.key = $1 AND u.key = $2",
    )
    .bind(name.organisation.organisation.as_str())
    .bind(name.user.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("member", name))?.into_member(&name.organisation)
}

/// Refuses to leave an organisation without an administrator.
async fn check_not_last(connection: &mut Connection, organisation: i64, member: &Member) -> Result<()> {
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
    pub(crate) async fn add_member(
        &self,
        context: &WriteContext,
        name: &MemberName,
        role: Role,
    ) -> Result<Member> {
        retrying(|| async move {
            let mut tx = self.begin().await?;
            if claim(&mut tx, context, SERVER, 0).await? != Claim::New {
                return member(&mut tx, name).await;
            }
            let organisation = lock_organisation(&mut tx, &name.organisation).await?.id;
            let user = user_id(&mut tx, &UserName { user: name.user.clone() }).await?;
            let members: i64 = sqlx::query_scalar("SELECT count(*) FROM members WHERE organisation_id = $1")
                .bind(organisation)
                .fetch_one(&mut *tx)
                .await
                .map_err(storage)?;
            check_limit("members_per_organisation", self.limits.members_per_organisation, members)?;
            let created_at = microseconds(context.now);
            sqlx::query(
                "INSERT INTO members (organisation_id, user_id, role, version, created_at) VALUES ($1, $2, $3, 1, $4)",
            )
            .bind(organisation)
            .bind(user)
            .bind(role_text(role))
            .bind(created_at)
            .execute(&mut *tx)
            .await
            .map_err(taken("member", name))?;
            settle(tx, context).await?;
            Ok(Member { name: name.clone(), role, created_at, etag: "1".to_owned() })
        })
        .await
    }

    pub(crate) async fn members(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Member>> {
        let mut tx = self.snapshot().await?;
        let id = organisation_id(&mut tx, organisation).await?;
        let records: Vec<MemberRecord> = sqlx::query_as(
            "SELECT u.key, m.role, m.version, m.created_at FROM members m JOIN users u ON u.id = m.user_id
            WHERE m.organisation_id = $1 AND u.key > $2 ORDER BY u.key LIMIT $3",
        )
        .bind(id)
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| record.into_member(organisation)).collect()
    }

    pub(crate) async fn update_member(
        &self,
        context: &WriteContext,
        name: &MemberName,
        role: Role,
        etag: Option<&str>,
    ) -> Result<Member> {
        retrying(|| async move {
            let mut tx = self.begin().await?;
            if claim(&mut tx, context, SERVER, 0).await? != Claim::New {
                return member(&mut tx, name).await;
            }
            let organisation = lock_organisation(&mut tx, &name.organisation).await?.id;
            let before = member(&mut tx, name).await?;
            check_etag(name, etag, &before.etag)?;
            if role != Role::Admin {
                check_not_last(&mut tx, organisation, &before).await?;
            }
            let version: i64 = sqlx::query_scalar(
                "UPDATE members SET role = $3, version = version + 1
                WHERE organisation_id = $1 AND user_id = (SELECT id FROM users WHERE key = $2) RETURNING version",
            )
            .bind(organisation)
            .bind(name.user.as_str())
            .bind(role_text(role))
            .fetch_one(&mut *tx)
            .await
            .map_err(storage)?;
            settle(tx, context).await?;
            Ok(Member { role, etag: version.to_string(), ..before })
        })
        .await
    }

    pub(crate) async fn remove_member(
        &self,
        context: &WriteContext,
        name: &MemberName,
        etag: Option<&str>,
    ) -> Result<()> {
        retrying(|| async move {
            let mut tx = self.begin().await?;
            if claim(&mut tx, context, SERVER, 0).await? != Claim::New {
                return Ok(());
            }
            let organisation = lock_organisation(&mut tx, &name.organisation).await?.id;
            let before = member(&mut tx, name).await?;
            check_etag(name, etag, &before.etag)?;
            check_not_last(&mut tx, organisation, &before).await?;
            sqlx::query(
                "DELETE FROM members
                WHERE organisation_id = $1 AND user_id = (SELECT id FROM users WHERE key = $2)",
            )
            .bind(organisation)
            .bind(name.user.as_str())
            .execute(&mut *tx)
            .await
            .map_err(storage)?;
            settle(tx, context).await
        })
        .await
    }
}
