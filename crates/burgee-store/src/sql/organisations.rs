//! Organisations.

use burgee_core::change::WriteContext;
use burgee_core::grant::Principal;
use burgee_core::limits::USERS_LISTED;
use burgee_core::name::{OrganisationId, OrganisationName, ProjectId, ProjectName};
use burgee_core::organisation::{Organisation, OrganisationPatch};
use burgee_core::store::{LogRef, Page};
use burgee_core::{Error, Result};
use chrono::{DateTime, Utc};

use super::account_write::AccountWrite;
use super::entries::Entries;
use super::environments::tell_environments_gone;
use super::write::{Stored, entry, insert_change, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{storage, stored};

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

/// Finds an organisation.
pub(super) async fn find_organisation(
    connection: &mut Connection,
    name: &OrganisationName,
) -> Result<Stored<Organisation>> {
    let record: Option<OrganisationRecord> = sqlx::query_as(
        "SELECT id, key, display_name, persist_trait_data, stop_serving_flags, version, created_at
        FROM organisations WHERE key = $1",
    )
    .bind(name.organisation.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("organisation", name))?.into_stored()
}

/// Finds an organisation, if it exists, and keeps others from changing it, its members and its projects.
pub(super) async fn find_and_lock(
    connection: &mut Connection,
    name: &OrganisationName,
) -> Result<Option<Stored<Organisation>>> {
    let record: Option<OrganisationRecord> = sqlx::query_as(concat!(
        "SELECT id, key, display_name, persist_trait_data, stop_serving_flags, version, created_at
        FROM organisations WHERE key = $1",
        for_update!(),
    ))
    .bind(name.organisation.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.map(OrganisationRecord::into_stored).transpose()
}

/// Finds an organisation and keeps others from changing it, its members and its projects.
pub(super) async fn lock_organisation(
    connection: &mut Connection,
    name: &OrganisationName,
) -> Result<Stored<Organisation>> {
    find_and_lock(connection, name).await?.ok_or_else(|| not_found("organisation", name))
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

impl Backend {
    pub(crate) async fn organisation(&self, name: &OrganisationName) -> Result<Organisation> {
        let mut connection = self.reads.acquire().await.map_err(storage)?;
        Ok(find_organisation(&mut connection, name).await?.resource)
    }

    pub(crate) async fn organisations(
        &self,
        of: Option<&Principal>,
        page: &Page,
    ) -> Result<Vec<Organisation>> {
        // The key of a user, or of the only organisation.
        let (kind, key) = match of {
            None => ("all", ""),
            Some(Principal::User(user)) => ("user", user.user.as_str()),
            Some(principal) => match principal.organisation() {
                Some(organisation) => ("organisation", organisation.organisation.as_str()),
                None => return Ok(Vec::new()),
            },
        };
        let records: Vec<OrganisationRecord> = sqlx::query_as(
            "SELECT id, key, display_name, persist_trait_data, stop_serving_flags, version, created_at
            FROM organisations
            WHERE key > $1 AND ($3 = 'all' OR ($3 = 'organisation' AND key = $4) OR ($3 = 'user' AND id IN (
                SELECT m.organisation_id FROM members m JOIN users u ON u.id = m.user_id WHERE u.key = $4
            )))
            ORDER BY key LIMIT $2",
        )
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .bind(kind)
        .bind(key)
        .fetch_all(&self.reads)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| Ok(record.into_stored()?.resource)).collect()
    }
}

impl AccountWrite<'_> {
    /// Creates an organisation, with a log of its own.
    pub(super) async fn create_organisation(&mut self, organisation: &Organisation) -> Result<Organisation> {
        let created_at = microseconds(organisation.created_at);
        let created = Organisation { created_at, etag: "1".to_owned(), ..organisation.clone() };
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO organisations
                (key, display_name, persist_trait_data, stop_serving_flags, version, created_at)
            VALUES ($1, $2, $3, $4, 1, $5) RETURNING id",
        )
        .bind(created.name.organisation.as_str())
        .bind(&created.display_name)
        .bind(created.persist_trait_data)
        .bind(created.stop_serving_flags)
        .bind(created_at)
        .fetch_one(&mut *self.tx)
        .await
        .map_err(taken("organisation", &created.name))?;
        sqlx::query("INSERT INTO logs (organisation_id, revision, created_at) VALUES ($1, 0, $2)")
            .bind(id)
            .bind(created_at)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.record(&created.name, None, Some(&created))?;
        Ok(created)
    }

    /// Changes an organisation; what evaluation looks at takes a revision of each project.
    pub(super) async fn update_organisation(
        &mut self,
        context: &WriteContext,
        name: &OrganisationName,
        patch: &OrganisationPatch,
        etag: Option<&str>,
    ) -> Result<Organisation> {
        let id = self.organisation()?;
        let before = find_organisation(&mut self.tx, name).await?.resource;
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
        .fetch_one(&mut *self.tx)
        .await
        .map_err(storage)?;
        let after = Organisation { etag: version.to_string(), ..after };
        for (project, _) in std::mem::take(&mut self.held.projects) {
            touch_project(&mut self.tx, context, project, &before, &after).await?;
            self.touch_project(project);
        }
        self.record(name, Some(&before), Some(&after))?;
        Ok(after)
    }

    /// Deletes an organisation with all that is in it.
    pub(super) async fn delete_organisation(
        &mut self,
        name: &OrganisationName,
        force: bool,
        etag: Option<&str>,
    ) -> Result<Organisation> {
        let held = self.held.organisation.take().ok_or_else(|| not_found("organisation", name))?;
        let Stored { id, resource } = held;
        check_etag(name, etag, &resource.etag)?;
        let projects = std::mem::take(&mut self.held.projects);
        if !force && !projects.is_empty() {
            let mut users = Vec::new();
            for (_, key) in projects.iter().take(USERS_LISTED) {
                let project =
                    ProjectName { organisation: name.clone(), project: stored(ProjectId::parse(key))? };
                users.push(project.to_string());
            }
            return Err(Error::InUse { name: name.to_string(), users, hidden: 0 });
        }
        let numbers: Vec<i64> = projects.iter().map(|(project, _)| *project).collect();
        tell_environments_gone(&mut self.tx, &numbers).await?;
        let log: Option<i64> = sqlx::query_scalar("SELECT id FROM logs WHERE organisation_id = $1")
            .bind(id)
            .fetch_optional(&mut *self.tx)
            .await
            .map_err(storage)?;
        sqlx::query("DELETE FROM organisations WHERE id = $1")
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        projects.into_iter().for_each(|(project, _)| self.touch_project(project));
        log.into_iter().for_each(|log| self.touch_log(LogRef(log)));
        self.record(name, Some(&resource), None)?;
        Ok(resource)
    }
}

/// Returns an organisation as a patch makes it.
pub(super) fn patched(before: &Organisation, patch: &OrganisationPatch) -> Organisation {
    let OrganisationPatch { display_name, persist_trait_data, stop_serving_flags } = patch.clone();
    Organisation {
        display_name: display_name.unwrap_or_else(|| before.display_name.clone()),
        persist_trait_data: persist_trait_data.unwrap_or(before.persist_trait_data),
        stop_serving_flags: stop_serving_flags.unwrap_or(before.stop_serving_flags),
        ..before.clone()
    }
}

/// Returns what evaluation looks at.
pub(super) fn served(organisation: &Organisation) -> (bool, bool) {
    (organisation.persist_trait_data, organisation.stop_serving_flags)
}

/// Locks an organisation's projects in the order of their numbers, which everybody keeps, and returns numbers and keys.
pub(super) async fn lock_projects(
    connection: &mut Connection,
    organisation: i64,
) -> Result<Vec<(i64, String)>> {
    sqlx::query_as(concat!(
        "SELECT id, key FROM projects WHERE organisation_id = $1 ORDER BY id",
        for_update!()
    ))
    .bind(organisation)
    .fetch_all(connection)
    .await
    .map_err(storage)
}

/// Takes a revision of a project, so that evaluation looks at the organisation again.
async fn touch_project(
    connection: &mut Connection,
    context: &WriteContext,
    project: i64,
    before: &Organisation,
    after: &Organisation,
) -> Result<()> {
    let revision: i64 =
        sqlx::query_scalar("UPDATE projects SET revision = revision + 1 WHERE id = $1 RETURNING revision")
            .bind(project)
            .fetch_one(&mut *connection)
            .await
            .map_err(storage)?;
    let mut entries = Entries::default();
    entries.add(entry(&before.name, Some(before), Some(after))?)?;
    let now = microseconds(context.now);
    insert_change(connection, context, project, revision, now, &entries, None).await?;
    sqlx::query("UPDATE environments SET settings_revision = $2 WHERE project_id = $1")
        .bind(project)
        .bind(revision)
        .execute(connection)
        .await
        .map_err(storage)?;
    Ok(())
}
