//! Projects.

use burgee_core::change::WriteContext;
use burgee_core::grant::Grantee;
use burgee_core::limits::USERS_LISTED;
use burgee_core::name::{
    EnvironmentId, EnvironmentName, FeatureKey, FeatureName, OrganisationName, ProjectId, ProjectName,
};
use burgee_core::permission::Place;
use burgee_core::project::{Project, ProjectPatch};
use burgee_core::store::{Page, ProjectRef, Wakeup};
use burgee_core::{Error, Result};
use chrono::{DateTime, Utc};

use super::account_write::{AccountWrite, ensure_log, log_grants};
use super::entries::Entries;
use super::environments::tell_environments_gone;
use super::grants::grants_on_project;
use super::new_grants::grant_to_creator;
use super::organisations::{check_etag, lock_organisation, organisation_id};
use super::requests::{Claim, claim, log_scope};
use super::write::{Stored, Write, check_limit, entry, insert_change, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{storage, stored};
use crate::retry::retrying;

#[derive(sqlx::FromRow)]
struct ProjectRecord {
    id: i64,
    key: String,
    display_name: String,
    prevent_flag_defaults: bool,
    revision: i64,
    settings_revision: i64,
    created_at: DateTime<Utc>,
}

impl ProjectRecord {
    fn into_stored(self, organisation: &OrganisationName) -> Result<Stored<Project>> {
        let Self { id, key, display_name, prevent_flag_defaults, revision, settings_revision, created_at } =
            self;
        let name =
            ProjectName { organisation: organisation.clone(), project: stored(ProjectId::parse(&key))? };
        let etag = settings_revision.to_string();
        let resource = Project { name, display_name, prevent_flag_defaults, revision, created_at, etag };
        Ok(Stored { id, resource })
    }
}

/// Finds a project's number.
pub(super) async fn project_id(connection: &mut Connection, name: &ProjectName) -> Result<i64> {
    sqlx::query_scalar(
        "SELECT p.id FROM projects p JOIN organisations o ON o.id = p.organisation_id WHERE o.key = $1 AND p.key = $2",
    )
    .bind(name.organisation.organisation.as_str())
    .bind(name.project.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?
    .ok_or_else(|| not_found("project", name))
}

/// Finds a project.
pub(super) async fn find_project(connection: &mut Connection, name: &ProjectName) -> Result<Stored<Project>> {
    let record: Option<ProjectRecord> = sqlx::query_as(
        "SELECT p.id, p.key, p.display_name, p.prevent_flag_defaults, p.revision, p.settings_revision, p.created_at
        FROM projects p JOIN organisations o ON o.id = p.organisation_id WHERE o.key = $1 AND p.key = $2",
    )
    .bind(name.organisation.organisation.as_str())
    .bind(name.project.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("project", name))?.into_stored(&name.organisation)
}

impl Backend {
    pub(crate) async fn create_project(
        &self,
        context: &WriteContext,
        project: Project,
        creator: Option<Grantee>,
    ) -> Result<Project> {
        retrying(|| self.create_project_once(context, &project, creator.as_ref())).await
    }

    async fn create_project_once(
        &self,
        context: &WriteContext,
        project: &Project,
        creator: Option<&Grantee>,
    ) -> Result<Project> {
        let mut tx = self.begin().await?;
        let organisation = lock_organisation(&mut tx, &project.name.organisation).await?.id;
        ensure_log(&mut tx, organisation, context.now).await?;
        let log: i64 = sqlx::query_scalar("SELECT id FROM logs WHERE organisation_id = $1")
            .bind(organisation)
            .fetch_one(&mut *tx)
            .await
            .map_err(storage)?;
        if claim(&mut tx, context, &log_scope(log), 1).await? != Claim::New {
            drop(tx);
            return self.project(&project.name).await;
        }
        let projects: i64 = sqlx::query_scalar("SELECT count(*) FROM projects WHERE organisation_id = $1")
            .bind(organisation)
            .fetch_one(&mut *tx)
            .await
            .map_err(storage)?;
        check_limit("projects_per_organisation", self.limits.projects_per_organisation, projects)?;
        let created_at = microseconds(project.created_at);
        let created = Project { revision: 1, created_at, etag: "1".to_owned(), ..project.clone() };
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO projects
                (organisation_id, key, display_name, prevent_flag_defaults, revision, settings_revision, created_at)
            VALUES ($1, $2, $3, $4, 1, 1, $5) RETURNING id",
        )
        .bind(organisation)
        .bind(created.name.project.as_str())
        .bind(&created.display_name)
        .bind(created.prevent_flag_defaults)
        .bind(created_at)
        .fetch_one(&mut *tx)
        .await
        .map_err(taken("project", &created.name))?;
        let now = microseconds(context.now);
        let mut wakeups = vec![Wakeup::Project(ProjectRef(id))];
        if let Some(creator) = creator {
            let place = Place::Project(created.name.clone());
            if let Some(grant) = grant_to_creator(&mut tx, &self.limits, creator, place, now).await? {
                let mut granted = Entries::default();
                granted.add(entry(&grant.name, None, Some(&grant))?)?;
                wakeups.push(log_grants(&mut tx, context, organisation, now, &granted).await?);
            }
        }
        let mut entries = Entries::default();
        entries.add(entry(&created.name, None, Some(&created))?)?;
        insert_change(&mut tx, context, id, 1, now, &entries, None).await?;
        if context.validate_only {
            tx.rollback().await.map_err(storage)?;
            return Ok(created);
        }
        for wakeup in &wakeups {
            self.announcer.within(&mut tx, *wakeup).await.map_err(storage)?;
        }
        tx.commit().await.map_err(storage)?;
        wakeups.into_iter().for_each(|wakeup| self.announcer.committed(wakeup));
        Ok(created)
    }

    pub(crate) async fn project(&self, name: &ProjectName) -> Result<Project> {
        let mut connection = self.reads.acquire().await.map_err(storage)?;
        Ok(find_project(&mut connection, name).await?.resource)
    }

    pub(crate) async fn projects(
        &self,
        organisation: &OrganisationName,
        page: &Page,
    ) -> Result<Vec<Project>> {
        let mut tx = self.snapshot().await?;
        let id = organisation_id(&mut tx, organisation).await?;
        let records: Vec<ProjectRecord> = sqlx::query_as(
            "SELECT id, key, display_name, prevent_flag_defaults, revision, settings_revision, created_at
            FROM projects WHERE organisation_id = $1 AND key > $2 ORDER BY key LIMIT $3",
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

/// Waits for a write of a project's configuration, and keeps others from beginning. Returns its number and key, if it exists.
pub(super) async fn lock_project(
    connection: &mut Connection,
    organisation: i64,
    name: &ProjectName,
) -> Result<Option<(i64, String)>> {
    sqlx::query_as(concat!(
        "SELECT id, key FROM projects WHERE organisation_id = $1 AND key = $2",
        for_update!()
    ))
    .bind(organisation)
    .bind(name.project.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)
}

impl AccountWrite<'_> {
    /// Deletes a project with all that is in it, and what was granted on it.
    pub(super) async fn delete_project(
        &mut self,
        name: &ProjectName,
        force: bool,
        etag: Option<&str>,
    ) -> Result<Project> {
        let (id, _) = self.held.projects.pop().ok_or_else(|| not_found("project", name))?;
        let project = find_project(&mut self.tx, name).await?.resource;
        check_etag(name, etag, &project.etag)?;
        if !force {
            check_unused(&mut self.tx, id, name).await?;
        }
        let grants = grants_on_project(&mut self.tx, id).await?;
        tell_environments_gone(&mut self.tx, &[id]).await?;
        sqlx::query("DELETE FROM projects WHERE id = $1")
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.touch_project(id);
        self.record(name, Some(&project), None)?;
        self.record_revoked(&grants)?;
        Ok(project)
    }
}

/// Refuses a project that has environments or features.
async fn check_unused(connection: &mut Connection, id: i64, name: &ProjectName) -> Result<()> {
    let found: Vec<(i64, String)> = sqlx::query_as(
        "SELECT CAST(0 AS bigint) AS kind, key FROM environments WHERE project_id = $1
        UNION ALL SELECT CAST(1 AS bigint) AS kind, key FROM features WHERE project_id = $1
        ORDER BY kind, key LIMIT $2",
    )
    .bind(id)
    .bind(rows(USERS_LISTED))
    .fetch_all(connection)
    .await
    .map_err(storage)?;
    let mut users = Vec::new();
    for (kind, key) in found {
        let project = name.clone();
        users.push(match kind {
            0 => EnvironmentName { project, environment: stored(EnvironmentId::parse(&key))? }.to_string(),
            _ => FeatureName { project, feature: stored(FeatureKey::parse(&key))? }.to_string(),
        });
    }
    if users.is_empty() { Ok(()) } else { Err(Error::InUse { name: name.to_string(), users, hidden: 0 }) }
}

impl Write<'_> {
    /// Changes the project itself.
    pub(super) async fn update_project(
        &mut self,
        patch: &ProjectPatch,
        etag: Option<&str>,
    ) -> Result<Project> {
        let name = self.name.clone();
        let before = find_project(&mut self.tx, &name).await?.resource;
        self.check_etag(&name, etag, &before.etag)?;
        let ProjectPatch { display_name, prevent_flag_defaults } = patch.clone();
        let after = Project {
            display_name: display_name.unwrap_or_else(|| before.display_name.clone()),
            prevent_flag_defaults: prevent_flag_defaults.unwrap_or(before.prevent_flag_defaults),
            etag: self.revision.to_string(),
            ..before.clone()
        };
        sqlx::query(
            "UPDATE projects SET display_name = $2, prevent_flag_defaults = $3, settings_revision = $4 WHERE id = $1",
        )
        .bind(self.project)
        .bind(&after.display_name)
        .bind(after.prevent_flag_defaults)
        .bind(self.revision)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        self.prevent_flag_defaults = after.prevent_flag_defaults;
        self.record(&name, Some(&before), Some(&after))?;
        Ok(after)
    }
}
