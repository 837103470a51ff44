//! Roles: named sets of permissions.

use burgee_core::grant::{PermissionRole, PermissionRolePatch};
use burgee_core::limits::USERS_LISTED;
use burgee_core::name::{GrantId, GrantName, OrganisationName, RoleId, RoleName};
use burgee_core::permission::Permission;
use burgee_core::store::Page;
use burgee_core::{Error, Result};
use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::account_write::AccountWrite;
use super::organisations::{check_etag, organisation_id};
use super::write::{Stored, check_limit, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{storage, stored};

#[derive(sqlx::FromRow)]
struct RoleRecord {
    id: i64,
    key: String,
    display_name: String,
    description: String,
    permissions: Json<Vec<Permission>>,
    version: i64,
    created_at: DateTime<Utc>,
}

impl RoleRecord {
    fn into_stored(self, organisation: &OrganisationName) -> Result<Stored<PermissionRole>> {
        let Self { id, key, display_name, description, permissions, version, created_at } = self;
        let name = RoleName { organisation: organisation.clone(), role: stored(RoleId::parse(&key))? };
        let (permissions, etag) = (permissions.0, version.to_string());
        let resource = PermissionRole { name, display_name, description, permissions, created_at, etag };
        Ok(Stored { id, resource })
    }
}

/// Finds a role.
pub(super) async fn find_role(
    connection: &mut Connection,
    name: &RoleName,
) -> Result<Stored<PermissionRole>> {
    let record: Option<RoleRecord> = sqlx::query_as(
        "SELECT r.id, r.key, r.display_name, r.description, r.permissions, r.version, r.created_at
        FROM roles r JOIN organisations o ON o.id = r.organisation_id WHERE o.key = $1 AND r.key = $2",
    )
    .bind(name.organisation.organisation.as_str())
    .bind(name.role.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("role", name))?.into_stored(&name.organisation)
}

impl Backend {
    pub(crate) async fn role(&self, name: &RoleName) -> Result<PermissionRole> {
        let mut connection = self.reads.acquire().await.map_err(storage)?;
        Ok(find_role(&mut connection, name).await?.resource)
    }

    pub(crate) async fn roles(
        &self,
        organisation: &OrganisationName,
        page: &Page,
    ) -> Result<Vec<PermissionRole>> {
        let mut tx = self.snapshot().await?;
        let id = organisation_id(&mut tx, organisation).await?;
        let records: Vec<RoleRecord> = sqlx::query_as(
            "SELECT id, key, display_name, description, permissions, version, created_at
            FROM roles WHERE organisation_id = $1 AND key > $2 ORDER BY key LIMIT $3",
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
    /// Creates a role.
    pub(super) async fn create_role(&mut self, role: &PermissionRole) -> Result<PermissionRole> {
        let organisation = self.organisation()?;
        let roles: i64 = sqlx::query_scalar("SELECT count(*) FROM roles WHERE organisation_id = $1")
            .bind(organisation)
            .fetch_one(&mut *self.tx)
            .await
            .map_err(storage)?;
        check_limit("roles_per_organisation", self.limits.roles_per_organisation, roles)?;
        let created_at = microseconds(role.created_at);
        let created = PermissionRole { created_at, etag: "1".to_owned(), ..role.clone() };
        sqlx::query(
            "INSERT INTO roles
                (organisation_id, key, display_name, description, permissions, version, created_at)
            VALUES ($1, $2, $3, $4, $5, 1, $6)",
        )
        .bind(organisation)
        .bind(created.name.role.as_str())
        .bind(&created.display_name)
        .bind(&created.description)
        .bind(Json(&created.permissions))
        .bind(created_at)
        .execute(&mut *self.tx)
        .await
        .map_err(taken("role", &created.name))?;
        self.record(&created.name, None, Some(&created))?;
        Ok(created)
    }

    /// Changes a role.
    pub(super) async fn update_role(
        &mut self,
        name: &RoleName,
        patch: &PermissionRolePatch,
        etag: Option<&str>,
    ) -> Result<PermissionRole> {
        let Stored { id, resource: before } = find_role(&mut self.tx, name).await?;
        check_etag(name, etag, &before.etag)?;
        let PermissionRolePatch { display_name, description, permissions } = patch.clone();
        let after = PermissionRole {
            display_name: display_name.unwrap_or_else(|| before.display_name.clone()),
            description: description.unwrap_or_else(|| before.description.clone()),
            permissions: permissions.unwrap_or_else(|| before.permissions.clone()),
            ..before.clone()
        };
        let version: i64 = sqlx::query_scalar(
            "UPDATE roles SET display_name = $2, description = $3, permissions = $4, version = version + 1
            WHERE id = $1 RETURNING version",
        )
        .bind(id)
        .bind(&after.display_name)
        .bind(&after.description)
        .bind(Json(&after.permissions))
        .fetch_one(&mut *self.tx)
        .await
        .map_err(storage)?;
        let after = PermissionRole { etag: version.to_string(), ..after };
        self.record(name, Some(&before), Some(&after))?;
        Ok(after)
    }

    /// Deletes a role that is not granted.
    pub(super) async fn delete_role(
        &mut self,
        name: &RoleName,
        etag: Option<&str>,
    ) -> Result<PermissionRole> {
        let Stored { id, resource } = find_role(&mut self.tx, name).await?;
        check_etag(name, etag, &resource.etag)?;
        let grants: Vec<String> =
            sqlx::query_scalar("SELECT key FROM grants WHERE role_id = $1 ORDER BY key LIMIT $2")
                .bind(id)
                .bind(rows(USERS_LISTED))
                .fetch_all(&mut *self.tx)
                .await
                .map_err(storage)?;
        let mut users = Vec::new();
        for key in grants {
            let (organisation, grant) = (name.organisation.clone(), stored(GrantId::parse(&key))?);
            users.push(GrantName { organisation, grant }.to_string());
        }
        if !users.is_empty() {
            return Err(Error::InUse { name: name.to_string(), users, hidden: 0 });
        }
        sqlx::query("DELETE FROM roles WHERE id = $1")
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.record(name, Some(&resource), None)?;
        Ok(resource)
    }
}
