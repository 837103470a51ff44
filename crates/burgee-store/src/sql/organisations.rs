//! Organisations.

use burgee_core::change::WriteContext;
use burgee_core::limits::USERS_LISTED;
use burgee_core::name::{OrganisationId, OrganisationName, ProjectId, ProjectName};
use burgee_core::organisation::{Organisation, OrganisationPatch};
use burgee_core::store::Page;
use burgee_core::{Error, Result};
use chrono::{DateTime, Utc};
use sqlx::Transaction;

use super::super::dialect::Db;
use super::requests::{Claim, SERVER, claim};
use super::write::{Stored, entry, insert_change, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{storage, stored};
use crate::retry::retrying;

#[derive(sqlx::FromRow)]
struct OrganisationRecord {
    id: i64,
    key: String,
    display_name: String,
    persist_trait_data: bool,
    stop_serving_flags: bool,
    version: i64,
    created_at: DateTime<Utc>,
}

impl OrganisationRecord {
    fn into_stored(self) -> Result<Stored<Organisation>> {
        let Self { id, key, display_name, persist_trait_data, stop_serving_flags, version, created_at } =
            self;
        let name = OrganisationName { organisation: stored(OrganisationId::parse(&key))? };
        let etag = version.to_string();
        let resource =
            Organisation { name, display_name, persist_trait_data, stop_serving_flags, created_at, etag };
        Ok(Stored { id, resource })
    }
}

/// Finds an organisation's number.
pub(super) async fn organisation_id(connection: &mut Connection, name: &OrganisationName) -> Result<i64> {
    sqlx::query_scalar("SELECT id FROM organisations WHERE key = $1")
        .bind(name.organisation.as_str())
        .fetch_optional(connection)
        .await
        .map_err(storage)?
        .ok_or_else(|| not_found("organisation", name))
}

/// Finds an organisation and keeps others from changing it, its members and its projects.
pub(super) async fn lock_organisation(
    connection: &mut Connection,
    name: &OrganisationName,
) -> Result<Stored<Organisation>> {
    let record: Option<OrganisationRecord> = sqlx::query_as(concat!(
        "SELECT id, key, display_name, persist_trait_data, stop_serving_flags, version, created_at
        FROM organisations WHERE key = $1",
        for_update!(),
    ))
    .bind(name.organisation.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("organisation", name))?.into_stored()
}

/// Checks the etag of a resource outside of projects.
pub(super) fn check_etag(name: &dyn std::fmt::Display, given: Option<&str>, current: &str) -> Result<()> {
    match given {
        Some(given) if given != current => {
            Err(Error::StaleEtag { name: name.to_string(), current: current.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Commits a write outside of projects, or forgets it if it is not meant.
pub(super) async fn settle(tx: Transaction<'static, Db>, context: &WriteContext) -> Result<()> {
    let settled = if context.validate_only { tx.rollback().await } else { tx.commit().await };
    settled.map_err(storage)
}

impl Backend {
    pub(crate) async fn create_organisation(
        &self,
        context: &WriteContext,
        organisation: Organisation,
    ) -> Result<Organisation> {
        let organisation = &organisation;
        retrying(|| async move {
            let mut tx = self.begin().await?;
            if claim(&mut tx, context, SERVER, 0).await? != Claim::New {
                drop(tx);
                return self.organisation(&organisation.name).await;
            }
            let created_at = microseconds(organisation.created_at);
            sqlx::query(
                "INSERT INTO organisations
                    (key, display_name, persist_trait_data, stop_serving_flags, version, created_at)
                VALUES ($1, $2, $3, $4, 1, $5)",
            )
            .bind(organisation.name.organisation.as_str())
            .bind(&organisation.display_name)
            .bind(organisation.persist_trait_data)
            .bind(organisation.stop_serving_flags)
            .bind(created_at)
            .execute(&mut *tx)
            .await
            .map_err(taken("organisation", &organisation.name))?;
            settle(tx, context).await?;
            Ok(Organisation { created_at, etag: "1".to_owned(), ..organisation.clone() })
        })
        .await
    }

    pub(crate) async fn organisation(&self, name: &OrganisationName) -> Result<Organisation> {
        let record: Option<OrganisationRecord> = sqlx::query_as(
            "SELECT id, key, display_name, persist_trait_data, stop_serving_flags, version, created_at
            FROM organisations WHERE key = $1",
        )
        .bind(name.organisation.as_str())
        .fetch_optional(&self.reads)
        .await
        .map_err(storage)?;
        Ok(record.ok_or_else(|| not_found("organisation", name))?.into_stored()?.resource)
    }

    pub(crate) async fn organisations(&self, page: &Page) -> Result<Vec<Organisation>> {
        let records: Vec<OrganisationRecord> = sqlx::query_as(
            "SELECT id, key, display_name, persist_trait_data, stop_serving_flags, version, created_at
            FROM organisations WHERE key > $1 ORDER BY key LIMIT $2",
        )
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&self.reads)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| Ok(record.into_stored()?.resource)).collect()
    }

    pub(crate) async fn update_organisation(
        &self,
        context: &WriteContext,
        name: &OrganisationName,
        patch: OrganisationPatch,
        etag: Option<&str>,
    ) -> Result<Organisation> {
        let patch = &patch;
        retrying(|| async move {
            let mut tx = self.begin().await?;
            if claim(&mut tx, context, SERVER, 0).await? != Claim::New {
                drop(tx);
                return self.organisation(name).await;
            }
            let Stored { id, resource: before } = lock_organisation(&mut tx, name).await?;
            check_etag(name, etag, &before.etag)?;
            let after = patched(&before, patch);
            let version: i64 = sqlx::query_scalar(
                "UPDATE organisations
                SET display_name = $2, persist_trait_data = $3, stop_serving_flags = $4, version = version + 1
                WHERE id = $1 RETURNING version",
            )
            .bind(id)
            .bind(&after.display_name)
            .bind(after.persist_trait_data)
            .bind(after.stop_serving_flags)
            .fetch_one(&mut *tx)
            .await
            .map_err(storage)?;
            let after = Organisation { etag: version.to_string(), ..after };
            let mut projects = Vec::new();
            if served(&before) != served(&after) {
                projects = touch_projects(&mut tx, context, id, &before, &after).await?;
            }
            for project in &projects {
                self.announcer.within(&mut tx, *project).await.map_err(storage)?;
            }
            settle(tx, context).await?;
            if !context.validate_only {
                projects.iter().for_each(|project| self.announcer.committed(*project));
            }
            Ok(after)
        })
        .await
    }

    pub(crate) async fn delete_organisation(
        &self,
        context: &WriteContext,
        name: &OrganisationName,
        force: bool,
        etag: Option<&str>,
    ) -> Result<()> {
        retrying(|| async move {
            let mut tx = self.begin().await?;
            if claim(&mut tx, context, SERVER, 0).await? != Claim::New {
                return Ok(());
            }
            let Stored { id, resource } = lock_organisation(&mut tx, name).await?;
            check_etag(name, etag, &resource.etag)?;
            let projects = lock_projects(&mut tx, id).await?;
            if !force && !projects.is_empty() {
                let mut users = Vec::new();
                for (_, key) in projects.iter().take(USERS_LISTED) {
                    let project =
                        ProjectName { organisation: name.clone(), project: stored(ProjectId::parse(key))? };
                    users.push(project.to_string());
                }
                return Err(Error::InUse { name: name.to_string(), users });
            }
            sqlx::query("DELETE FROM organisations WHERE id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await
                .map_err(storage)?;
            for (project, _) in &projects {
                self.announcer.within(&mut tx, *project).await.map_err(storage)?;
            }
            settle(tx, context).await?;
            if !context.validate_only {
                projects.iter().for_each(|(project, _)| self.announcer.committed(*project));
            }
            Ok(())
        })
        .await
    }
}

fn patched(before: &Organisation, patch: &OrganisationPatch) -> Organisation {
    let OrganisationPatch { display_name, persist_trait_data, stop_serving_flags } = patch.clone();
    Organisation {
        display_name: display_name.unwrap_or_else(|| before.display_name.clone()),
        persist_trait_data: persist_trait_data.unwrap_or(before.persist_trait_data),
        stop_serving_flags: stop_serving_flags.unwrap_or(before.stop_serving_flags),
        ..before.clone()
    }
}

/// Returns what evaluation looks at.
fn served(organisation: &Organisation) -> (bool, bool) {
    (organisation.persist_trait_data, organisation.stop_serving_flags)
}

/// Locks an organisation's projects in the order of their numbers, which everybody keeps, and returns numbers and keys.
async fn lock_projects(connection: &mut Connection, organisation: i64) -> Result<Vec<(i64, String)>> {
    sqlx::query_as(concat!(
        "SELECT id, key FROM projects WHERE organisation_id = $1 ORDER BY id",
        for_update!()
    ))
    .bind(organisation)
    .fetch_all(connection)
    .await
    .map_err(storage)
}

/// Takes a revision of each project, so that evaluation looks at the organisation again.
async fn touch_projects(
    connection: &mut Connection,
    context: &WriteContext,
    organisation: i64,
    before: &Organisation,
    after: &Organisation,
) -> Result<Vec<i64>> {
    let projects = lock_projects(connection, organisation).await?;
    let entries = [entry(&before.name, Some(before), Some(after))?];
    for (project, _) in &projects {
        let revision: i64 = sqlx::query_scalar(
            "UPDATE projects SET revision = revision + 1 WHERE id = $1 RETURNING revision",
        )
        .bind(project)
        .fetch_one(&mut *connection)
        .await
        .map_err(storage)?;
        let now = microseconds(context.now);
        insert_change(connection, context, *project, revision, now, &entries, None).await?;
        sqlx::query("UPDATE environments SET settings_revision = $2 WHERE project_id = $1")
            .bind(project)
            .bind(revision)
            .execute(&mut *connection)
            .await
            .map_err(storage)?;
    }
    Ok(projects.into_iter().map(|(project, _)| project).collect())
}
