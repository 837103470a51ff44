//! Environments, written.

use burgee_core::Result;
use burgee_core::feature::Feature;
use burgee_core::grant::Grantee;
use burgee_core::name::{EnvironmentId, EnvironmentName};
use burgee_core::permission::Place;
use burgee_core::project::{Environment, EnvironmentPatch};
use sqlx::QueryBuilder;
use sqlx::types::Json;

use super::super::dialect::{Db, list, tell_gone};
use super::Connection;
use super::environment_reads::{find_environment, identity_hashing_text};
use super::feature_reads::all_features;
use super::grants::grants_on_environment;
use super::new_grants::grant_to_creator;
use super::state::{new_state, value_column};
use super::write::{Stored, Write, microseconds, taken};
use crate::error::storage;

/// Flags that one statement inserts; a statement may have 32,766 parameters.
const FLAGS_PER_STATEMENT: usize = 500;

impl Write<'_> {
    /// Returns the name of an environment of this project.
    pub(super) fn environment_name(&self, environment: &EnvironmentId) -> EnvironmentName {
        EnvironmentName { project: self.name.clone(), environment: environment.clone() }
    }

    /// Creates an environment, with a flag for every feature.
    pub(super) async fn create_environment(
        &mut self,
        environment: &Environment,
        creator: Option<&Grantee>,
    ) -> Result<Environment> {
        let created = self.insert_environment(environment).await?;
        let features = all_features(&mut self.tx, self.project, &self.name).await?;
        self.insert_new_flags(created.id, &features).await?;
        self.record(&created.resource.name, None, Some(&created.resource))?;
        self.grant_to_creator(creator, &created.resource.name).await?;
        Ok(created.resource)
    }

    /// Creates an environment with the flags and segment overrides of another.
    pub(super) async fn clone_environment(
        &mut self,
        source: &EnvironmentId,
        environment: &Environment,
        creator: Option<&Grantee>,
    ) -> Result<Environment> {
        let source = self.environment_name(source);
        let source = find_environment(&mut self.tx, &source).await?.id;
        let created = self.insert_environment(environment).await?;
        sqlx::query(
            "INSERT INTO flags
                (project_id, environment_id, feature_id, enabled, value, weights, hashing_key, metadata, revision,
                    rules_revision)
            SELECT project_id, $2, feature_id, enabled, value, weights, hashing_key, metadata, $3, $3
            FROM flags WHERE environment_id = $1",
        )
        .bind(source)
        .bind(created.id)
        .bind(self.revision)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        sqlx::query(
            "INSERT INTO segment_overrides
                (project_id, environment_id, feature_id, segment_id, priority, enabled, value, weights, hashing_key,
                    metadata)
            SELECT project_id, $2, feature_id, segment_id, priority, enabled, value, weights, hashing_key, metadata
            FROM segment_overrides WHERE environment_id = $1",
        )
        .bind(source)
        .bind(created.id)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        self.record(&created.resource.name, None, Some(&created.resource))?;
        self.grant_to_creator(creator, &created.resource.name).await?;
        Ok(created.resource)
    }

    /// Makes whoever creates an environment its administrator.
    async fn grant_to_creator(&mut self, creator: Option<&Grantee>, name: &EnvironmentName) -> Result<()> {
        let Some(creator) = creator else { return Ok(()) };
        let place = Place::Environment(name.clone());
        if let Some(grant) = grant_to_creator(&mut self.tx, self.limits, creator, place, self.now).await? {
            self.record_grant(None, Some(&grant))?;
        }
        Ok(())
    }

    async fn insert_environment(&mut self, environment: &Environment) -> Result<Stored<Environment>> {
        let environments: i64 = sqlx::query_scalar("SELECT count(*) FROM environments WHERE project_id = $1")
            .bind(self.project)
            .fetch_one(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.check_limit("environments_per_project", self.limits.environments_per_project, environments)?;
        let created = Environment {
            created_at: microseconds(environment.created_at),
            etag: self.revision.to_string(),
            ..environment.clone()
        };
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO environments
                (project_id, key, display_name, description, hide_disabled_flags, allow_client_traits, identity_hashing,
                    hashing_key, revision, settings_revision, created_revision, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $9, $10) RETURNING id",
        )
        .bind(self.project)
        .bind(created.name.environment.as_str())
        .bind(&created.display_name)
        .bind(&created.description)
        .bind(created.hide_disabled_flags)
        .bind(created.allow_client_traits)
        .bind(identity_hashing_text(created.identity_hashing))
        .bind(&created.hashing_key)
        .bind(self.revision)
        .bind(created.created_at)
        .fetch_one(&mut *self.tx)
        .await
        .map_err(taken("environment", &created.name))?;
        self.touch(id);
        Ok(Stored { id, resource: created })
    }

    async fn insert_new_flags(&mut self, environment: i64, features: &[Stored<Feature>]) -> Result<()> {
        let (project, revision, prevent_flag_defaults) =
            (self.project, self.revision, self.prevent_flag_defaults);
        for features in features.chunks(FLAGS_PER_STATEMENT) {
            let mut insert = QueryBuilder::<Db>::new(
                "INSERT INTO flags
                    (project_id, environment_id, feature_id, enabled, value, weights, hashing_key, revision,
                        rules_revision) ",
            );
            insert.push_values(features, |mut row, feature| {
                let state = new_state(&feature.resource, prevent_flag_defaults);
                row.push_bind(project)
                    .push_bind(environment)
                    .push_bind(feature.id)
                    .push_bind(state.enabled)
                    .push_bind(value_column(&state.value))
                    .push_bind(Json(&state.weights))
                    .push_bind(state.hashing_key.clone())
                    .push_bind(revision)
                    .push_bind(revision);
            });
            insert.build().execute(&mut *self.tx).await.map_err(storage)?;
        }
        Ok(())
    }

    /// Changes an environment.
    pub(super) async fn update_environment(
        &mut self,
        environment: &EnvironmentId,
        patch: &EnvironmentPatch,
        etag: Option<&str>,
    ) -> Result<Environment> {
        let name = self.environment_name(environment);
        let Stored { id, resource: before } = find_environment(&mut self.tx, &name).await?;
        self.check_etag(&name, etag, &before.etag)?;
        let after = Environment { etag: self.revision.to_string(), ..patched(&before, patch) };
        sqlx::query(
            "UPDATE environments
            SET display_name = $2, description = $3, hide_disabled_flags = $4, allow_client_traits = $5,
                identity_hashing = $6, hashing_key = $7, revision = $8, settings_revision = $8
            WHERE id = $1",
        )
        .bind(id)
        .bind(&after.display_name)
        .bind(&after.description)
        .bind(after.hide_disabled_flags)
        .bind(after.allow_client_traits)
        .bind(identity_hashing_text(after.identity_hashing))
        .bind(&after.hashing_key)
        .bind(self.revision)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        self.touch(id);
        self.record(&name, Some(&before), Some(&after))?;
        Ok(after)
    }

    /// Deletes an environment with all that is in it, and what was granted on it.
    pub(super) async fn delete_environment(
        &mut self,
        environment: &EnvironmentId,
        etag: Option<&str>,
    ) -> Result<Environment> {
        let name = self.environment_name(environment);
        let Stored { id, resource } = find_environment(&mut self.tx, &name).await?;
        self.check_etag(&name, etag, &resource.etag)?;
        let grants = grants_on_environment(&mut self.tx, id).await?;
        sqlx::query("DELETE FROM environments WHERE id = $1")
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        tell_gone(&mut self.tx, &[id]).await.map_err(storage)?;
        self.touch(id);
        self.record(&name, Some(&resource), None)?;
        grants.iter().try_for_each(|grant| self.record_grant(Some(grant), None))?;
        Ok(resource)
    }
}

/// Tells that the environments of projects are about to be deleted with all their identities.
pub(super) async fn tell_environments_gone(connection: &mut Connection, projects: &[i64]) -> Result<()> {
    let environments: Vec<i64> = sqlx::query_scalar(concat!(
        "SELECT id FROM environments WHERE project_id IN ",
        integers!("$1"),
        " ORDER BY id"
    ))
    .bind(list(projects))
    .fetch_all(&mut *connection)
    .await
    .map_err(storage)?;
    tell_gone(connection, &environments).await.map_err(storage)
}

fn patched(before: &Environment, patch: &EnvironmentPatch) -> Environment {
    let EnvironmentPatch {
        display_name,
        description,
        hide_disabled_flags,
        allow_client_traits,
        identity_hashing,
        hashing_key,
    } = patch.clone();
    Environment {
        display_name: display_name.unwrap_or_else(|| before.display_name.clone()),
        description: description.unwrap_or_else(|| before.description.clone()),
        hide_disabled_flags: hide_disabled_flags.unwrap_or(before.hide_disabled_flags),
        allow_client_traits: allow_client_traits.unwrap_or(before.allow_client_traits),
        identity_hashing: identity_hashing.unwrap_or(before.identity_hashing),
        hashing_key: hashing_key.unwrap_or_else(|| before.hashing_key.clone()),
        ..before.clone()
    }
}
