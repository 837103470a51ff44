//! Features, written.

use burgee_core::Result;
use burgee_core::feature::{Feature, FeaturePatch};
use burgee_core::name::{FeatureKey, FeatureName, UserName};
use sqlx::types::Json;

use super::super::dialect::list;
use super::feature_reads::find_feature;
use super::segments::segments_of_feature;
use super::state::{new_state, value_column};
use super::write::{Stored, Write, already_exists, microseconds, not_found, taken};
use crate::error::{storage, stored};

impl Write<'_> {
    /// Returns the name of a feature of this project.
    pub(super) fn feature_name(&self, feature: &FeatureKey) -> FeatureName {
        FeatureName { project: self.name.clone(), feature: feature.clone() }
    }

    /// Finds a feature that is about to be changed.
    pub(super) async fn feature_to_change(
        &mut self,
        feature: &FeatureKey,
        etag: Option<&str>,
    ) -> Result<Stored<Feature>> {
        let name = self.feature_name(feature);
        let found = find_feature(&mut self.tx, self.project, &name).await?;
        self.check_etag(&name, etag, &found.resource.etag)?;
        Ok(found)
    }

    /// Creates a feature, with a flag in every environment.
    pub(super) async fn create_feature(&mut self, feature: &Feature) -> Result<Feature> {
        feature.check()?;
        self.check_owners(&feature.owners).await?;
        self.check_key_is_free(feature).await?;
        let features: i64 = sqlx::query_scalar("SELECT count(*) FROM features WHERE project_id = $1")
            .bind(self.project)
            .fetch_one(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.check_limit("features_per_project", self.limits.features_per_project, features)?;
        let created = Feature {
            created_at: microseconds(feature.created_at),
            etag: self.revision.to_string(),
            ..feature.clone()
        };
        let id = self.insert_feature(&created).await?;
        self.insert_flag_everywhere(id, &created).await?;
        sqlx::query("DELETE FROM feature_tombstones WHERE project_id = $1 AND key = $2")
            .bind(self.project)
            .bind(created.name.feature.as_str())
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.touch_all();
        self.record(&created.name, None, Some(&created))?;
        Ok(created)
    }

    /// A key that differs only in case is taken, too: people would mix the two up.
    async fn check_key_is_free(&mut self, feature: &Feature) -> Result<()> {
        let holder: Option<String> =
            sqlx::query_scalar("SELECT key FROM features WHERE project_id = $1 AND key_lower = $2")
                .bind(self.project)
                .bind(feature.name.feature.as_str().to_lowercase())
                .fetch_optional(&mut *self.tx)
                .await
                .map_err(storage)?;
        match holder {
            Some(key) => {
                Err(already_exists("feature", &self.feature_name(&stored(FeatureKey::parse(&key))?)))
            }
            None => Ok(()),
        }
    }

    async fn check_owners(&mut self, owners: &[UserName]) -> Result<()> {
        let keys: Vec<&str> = owners.iter().map(|owner| owner.user.as_str()).collect();
        let found: Vec<String> = sqlx::query_scalar(concat!(
            "SELECT u.key FROM users u JOIN members m ON m.user_id = u.id JOIN projects p
                    ON p.organisation_id = m.organisation_id
                WHERE p.id = $2 AND u.key IN ",
            texts!("$1")
        ))
        .bind(list(keys))
        .bind(self.project)
        .fetch_all(&mut *self.tx)
        .await
        .map_err(storage)?;
        match owners.iter().find(|owner| !found.iter().any(|key| key == owner.user.as_str())) {
            Some(owner) => Err(not_found("member", owner)),
            None => Ok(()),
        }
    }

    async fn insert_feature(&mut self, feature: &Feature) -> Result<i64> {
        sqlx::query_scalar(
            "INSERT INTO features
                (project_id, key, key_lower, description, value_type, initial_value, default_enabled, variants, tags,
                    owners, archived, server_side_only, hashing_key, created_at, revision)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) RETURNING id",
        )
        .bind(self.project)
        .bind(feature.name.feature.as_str())
        .bind(feature.name.feature.as_str().to_lowercase())
        .bind(&feature.description)
        .bind(feature.value_type.as_str())
        .bind(value_column(&feature.initial_value))
        .bind(feature.default_enabled)
        .bind(Json(&feature.variants))
        .bind(Json(&feature.tags))
        .bind(Json(&feature.owners))
        .bind(feature.archived)
        .bind(feature.server_side_only)
        .bind(&feature.hashing_key)
        .bind(feature.created_at)
        .bind(self.revision)
        .fetch_one(&mut *self.tx)
        .await
        .map_err(taken("feature", &feature.name))
    }

    async fn insert_flag_everywhere(&mut self, id: i64, feature: &Feature) -> Result<()> {
        let state = new_state(feature, self.prevent_flag_defaults);
        sqlx::query(
            "INSERT INTO flags
                (project_id, environment_id, feature_id, enabled, value, weights, hashing_key, revision, rules_revision)
            SELECT $1, id, $2, $3, $4, $5, $6, $7, $7 FROM environments WHERE project_id = $1",
        )
        .bind(self.project)
        .bind(id)
        .bind(state.enabled)
        .bind(value_column(&state.value))
        .bind(Json(&state.weights))
        .bind(&state.hashing_key)
        .bind(self.revision)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        Ok(())
    }

    /// Changes a feature.
    pub(super) async fn update_feature(
        &mut self,
        feature: &FeatureKey,
        patch: &FeaturePatch,
        etag: Option<&str>,
    ) -> Result<Feature> {
        let Stored { id, resource: before } = self.feature_to_change(feature, etag).await?;
        let FeaturePatch { description, tags, owners, archived, server_side_only } = patch.clone();
        if let Some(owners) = &owners {
            self.check_owners(owners).await?;
        }
        let after = Feature {
            description: description.unwrap_or_else(|| before.description.clone()),
            tags: tags.unwrap_or_else(|| before.tags.clone()),
            owners: owners.unwrap_or_else(|| before.owners.clone()),
            archived: archived.unwrap_or(before.archived),
            server_side_only: server_side_only.unwrap_or(before.server_side_only),
            ..before.clone()
        };
        self.store_feature(id, &before, after).await
    }

    /// Writes what may change of a feature.
    pub(super) async fn store_feature(
        &mut self,
        id: i64,
        before: &Feature,
        after: Feature,
    ) -> Result<Feature> {
        after.check()?;
        let after = Feature { etag: self.revision.to_string(), ..after };
        sqlx::query(
            "UPDATE features
            SET description = $2, variants = $3, tags = $4, owners = $5, archived = $6, server_side_only = $7,
                revision = $8
            WHERE id = $1",
        )
        .bind(id)
        .bind(&after.description)
        .bind(Json(&after.variants))
        .bind(Json(&after.tags))
        .bind(Json(&after.owners))
        .bind(after.archived)
        .bind(after.server_side_only)
        .bind(self.revision)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        self.touch_all();
        self.record(&after.name, Some(before), Some(&after))?;
        Ok(after)
    }

    /// Deletes a feature with its flags, overrides and feature-specific segments.
    pub(super) async fn delete_feature(
        &mut self,
        feature: &FeatureKey,
        etag: Option<&str>,
    ) -> Result<Feature> {
        let Stored { id, resource } = self.feature_to_change(feature, etag).await?;
        let segments = segments_of_feature(&mut self.tx, id, &resource.name).await?;
        sqlx::query("DELETE FROM features WHERE id = $1")
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        sqlx::query(
            "INSERT INTO feature_tombstones (project_id, key, revision) VALUES ($1, $2, $3)
            ON CONFLICT (project_id, key) DO UPDATE SET revision = excluded.revision",
        )
        .bind(self.project)
        .bind(feature.as_str())
        .bind(self.revision)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        self.touch_all();
        self.record(&resource.name, Some(&resource), None)?;
        for segment in &segments {
            self.record(&segment.name, Some(segment), None)?;
        }
        Ok(resource)
    }
}
