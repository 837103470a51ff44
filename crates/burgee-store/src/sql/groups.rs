//! Groups of members.

use burgee_core::Result;
use burgee_core::name::{GroupId, GroupName, OrganisationName};
use burgee_core::organisation::{Group, GroupPatch};
use burgee_core::store::Page;
use chrono::{DateTime, Utc};

use super::account_write::AccountWrite;
use super::grants::grants_of_group;
use super::organisations::{check_etag, organisation_id};
use super::write::{Stored, already_exists, check_limit, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{storage, stored};

#[derive(sqlx::FromRow)]
struct GroupRecord {
    id: i64,
    key: String,
    display_name: String,
    is_default: bool,
    external_id: Option<String>,
    version: i64,
    created_at: DateTime<Utc>,
}

impl GroupRecord {
    fn into_stored(self, organisation: &OrganisationName) -> Result<Stored<Group>> {
        let Self { id, key, display_name, is_default, external_id, version, created_at } = self;
        let name = GroupName { organisation: organisation.clone(), group: stored(GroupId::parse(&key))? };
        let etag = version.to_string();
        let resource = Group { name, display_name, is_default, external_id, created_at, etag };
        Ok(Stored { id, resource })
    }
}

/// Finds a group.
pub(super) async fn find_group(connection: &mut Connection, name: &GroupName) -> Result<Stored<Group>> {
    let record: Option<GroupRecord> = sqlx::query_as(
        "SELECT g.id, g.key, g.display_name, g.is_default, g.external_id, g.version, g.created_at
        FROM groups g JOIN organisations o ON o.id = g.organisation_id WHERE o.key = $1 AND g.key = $2",
    )
    .bind(name.organisation.organisation.as_str())
    .bind(name.group.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("group", name))?.into_stored(&name.organisation)
}

impl Backend {
    pub(crate) async fn group(&self, name: &GroupName) -> Result<Group> {
        let mut connection = self.reads.acquire().await.map_err(storage)?;
        Ok(find_group(&mut connection, name).await?.resource)
    }

    pub(crate) async fn groups(&self, organisation: &OrganisationName, page: &Page) -> Result<Vec<Group>> {
        let mut tx = self.snapshot().await?;
        let id = organisation_id(&mut tx, organisation).await?;
        let records: Vec<GroupRecord> = sqlx::query_as(
            "SELECT id, key, display_name, is_default, external_id, version, created_at
            FROM groups WHERE organisation_id = $1 AND key > $2 ORDER BY key LIMIT $3",
        )
        .bind(id)
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| Ok(record.into_stored(organisation)?.resource)).collect()
    }
}

impl AccountWrite<'_> {
    /// Creates a group.
    pub(super) async fn create_group(&mut self, group: &Group) -> Result<Group> {
        let organisation = self.organisation()?;
        let groups: i64 = sqlx::query_scalar("SELECT count(*) FROM groups WHERE organisation_id = $1")
            .bind(organisation)
            .fetch_one(&mut *self.tx)
            .await
            .map_err(storage)?;
        check_limit("groups_per_organisation", self.limits.groups_per_organisation, groups)?;
        self.check_external_id(group).await?;
        let created_at = microseconds(group.created_at);
        let created = Group { created_at, etag: "1".to_owned(), ..group.clone() };
        sqlx::query(
            "INSERT INTO groups
                (organisation_id, key, display_name, is_default, external_id, version, created_at)
            VALUES ($1, $2, $3, $4, $5, 1, $6)",
        )
        .bind(organisation)
        .bind(created.name.group.as_str())
        .bind(&created.display_name)
        .bind(created.is_default)
        .bind(&created.external_id)
        .bind(created_at)
        .execute(&mut *self.tx)
        .await
        .map_err(taken("group", &created.name))?;
        self.record(&created.name, None, Some(&created))?;
        Ok(created)
    }

    /// Changes a group.
    pub(super) async fn update_group(
        &mut self,
        name: &GroupName,
        patch: &GroupPatch,
        etag: Option<&str>,
    ) -> Result<Group> {
        let Stored { id, resource: before } = find_group(&mut self.tx, name).await?;
        check_etag(name, etag, &before.etag)?;
        let GroupPatch { display_name, is_default, external_id } = patch.clone();
        let after = Group {
            display_name: display_name.unwrap_or_else(|| before.display_name.clone()),
            is_default: is_default.unwrap_or(before.is_default),
            external_id: external_id.unwrap_or_else(|| before.external_id.clone()),
            ..before.clone()
        };
        self.check_external_id(&after).await?;
        let version: i64 = sqlx::query_scalar(
            "UPDATE groups SET display_name = $2, is_default = $3, external_id = $4, version = version + 1
            WHERE id = $1 RETURNING version",
        )
        .bind(id)
        .bind(&after.display_name)
        .bind(after.is_default)
        .bind(&after.external_id)
        .fetch_one(&mut *self.tx)
        .await
        .map_err(storage)?;
        let after = Group { etag: version.to_string(), ..after };
        self.record(name, Some(&before), Some(&after))?;
        Ok(after)
    }

    /// Deletes a group, with what was granted to it.
    pub(super) async fn delete_group(&mut self, name: &GroupName, etag: Option<&str>) -> Result<Group> {
        let Stored { id, resource } = find_group(&mut self.tx, name).await?;
        check_etag(name, etag, &resource.etag)?;
        let grants = grants_of_group(&mut self.tx, id).await?;
        sqlx::query("DELETE FROM groups WHERE id = $1")
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.record(name, Some(&resource), None)?;
        self.record_revoked(&grants)?;
        Ok(resource)
    }

    /// Refuses an external id that another group of the organisation has.
    async fn check_external_id(&mut self, group: &Group) -> Result<()> {
        let Some(external_id) = &group.external_id else { return Ok(()) };
        let holder: Option<String> =
            sqlx::query_scalar("SELECT key FROM groups WHERE organisation_id = $1 AND external_id = $2")
                .bind(self.organisation()?)
                .bind(external_id)
                .fetch_optional(&mut *self.tx)
                .await
                .map_err(storage)?;
        match holder {
            Some(key) if key != group.name.group.as_str() => {
                Err(already_exists("group with the external id", external_id))
            }
            _ => Ok(()),
        }
    }
}
