//! Environments, read.

use burgee_core::Result;
use burgee_core::name::{EnvironmentId, EnvironmentName, ProjectName};
use burgee_core::project::{Environment, IdentityHashing};
use burgee_core::store::Page;
use chrono::{DateTime, Utc};

use super::projects::project_id;
use super::write::{Stored, not_found};
use super::{Backend, Connection, rows};
use crate::error::{corrupt, storage, stored};

#[derive(sqlx::FromRow)]
struct EnvironmentRecord {
    id: i64,
    key: String,
    display_name: String,
    description: String,
    hide_disabled_flags: bool,
    allow_client_traits: bool,
    identity_hashing: String,
    hashing_key: String,
    revision: i64,
    created_at: DateTime<Utc>,
}

impl EnvironmentRecord {
    fn into_stored(self, project: &ProjectName) -> Result<Stored<Environment>> {
        let Self { id, key, display_name, description, hide_disabled_flags, allow_client_traits, .. } = self;
        let resource = Environment {
            name: EnvironmentName {
                project: project.clone(),
                environment: stored(EnvironmentId::parse(&key))?,
            },
            display_name,
            description,
            hide_disabled_flags,
            allow_client_traits,
            identity_hashing: parse_identity_hashing(&self.identity_hashing)?,
            hashing_key: self.hashing_key,
            created_at: self.created_at,
            etag: self.revision.to_string(),
        };
        Ok(Stored { id, resource })
    }
}

/// Returns how a kind of hashing is stored.
pub(super) fn identity_hashing_text(hashing: IdentityHashing) -> &'static str {
    match hashing {
        IdentityHashing::Composite => "composite",
        IdentityHashing::Identifier => "identifier",
    }
}

/// Parses a stored kind of hashing.
pub(super) fn parse_identity_hashing(text: &str) -> Result<IdentityHashing> {
    match text {
        "composite" => Ok(IdentityHashing::Composite),
        "identifier" => Ok(IdentityHashing::Identifier),
        _ => Err(corrupt(format!("a stored kind of identity hashing is `{text}`"))),
    }
}

/// Finds an environment's number.
pub(super) async fn environment_id(connection: &mut Connection, name: &EnvironmentName) -> Result<i64> {
    sqlx::query_scalar(
        "SELECT e.id FROM environments e
        JOIN projects p ON p.id = e.project_id JOIN organisations o ON o.id = p.organisation_id
        WHERE o.key = $1 AND p.key = $2 AND e.key = $3",
    )
    .bind(name.project.organisation.organisation.as_str())
    .bind(name.project.project.as_str())
    .bind(name.environment.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?
    .ok_or_else(|| not_found("environment", name))
}

/// Finds an environment.
pub(super) async fn find_environment(
    connection: &mut Connection,
    name: &EnvironmentName,
) -> Result<Stored<Environment>> {
    let record: Option<EnvironmentRecord> = sqlx::query_as(
        "SELECT e.id, e.key, e.display_name, e.description, e.hide_disabled_flags, e.allow_client_traits,
            e.identity_hashing, e.hashing_key, e.revision, e.created_at
        FROM environments e JOIN projects p ON p.id = e.project_id JOIN organisations o ON o.id = p.organisation_id
        WHERE o.key = $1 AND p.key = $2 AND e.key = $3",
    )
    .bind(name.project.organisation.organisation.as_str())
    .bind(name.project.project.as_str())
    .bind(name.environment.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("environment", name))?.into_stored(&name.project)
}

impl Backend {
    pub(crate) async fn environment(&self, name: &EnvironmentName) -> Result<Environment> {
        let mut connection = self.reads.acquire().await.map_err(storage)?;
        Ok(find_environment(&mut connection, name).await?.resource)
    }

    pub(crate) async fn environments(&self, project: &ProjectName, page: &Page) -> Result<Vec<Environment>> {
        let mut tx = self.snapshot().await?;
        let id = project_id(&mut tx, project).await?;
        let records: Vec<EnvironmentRecord> = sqlx::query_as(
            "SELECT id, key, display_name, description, hide_disabled_flags, allow_client_traits, identity_hashing,
                hashing_key, revision, created_at
            FROM environments WHERE project_id = $1 AND key > $2 ORDER BY key LIMIT $3",
        )
        .bind(id)
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| Ok(record.into_stored(project)?.resource)).collect()
    }
}
