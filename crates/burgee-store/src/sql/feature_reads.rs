//! Features, read.

use burgee_core::Result;
use burgee_core::feature::{Feature, Variant};
use burgee_core::name::{FeatureKey, FeatureName, ProjectName, UserName};
use burgee_core::store::Page;
use burgee_core::value::{Value, ValueType};
use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::projects::project_id;
use super::write::{Stored, not_found};
use super::{Backend, Connection, rows};
use crate::error::{storage, stored};

#[derive(sqlx::FromRow)]
struct FeatureRecord {
    id: i64,
    key: String,
    description: String,
    value_type: String,
    initial_value: Option<Json<Value>>,
    default_enabled: bool,
    variants: Json<Vec<Variant>>,
    tags: Json<Vec<String>>,
    owners: Json<Vec<UserName>>,
    archived: bool,
    server_side_only: bool,
    hashing_key: String,
    created_at: DateTime<Utc>,
    revision: i64,
}

impl FeatureRecord {
    fn into_stored(self, project: &ProjectName) -> Result<Stored<Feature>> {
        let resource = Feature {
            name: FeatureName { project: project.clone(), feature: stored(FeatureKey::parse(&self.key))? },
            description: self.description,
            value_type: stored(ValueType::parse(&self.value_type))?,
            initial_value: self.initial_value.map(|Json(value)| value),
            default_enabled: self.default_enabled,
            variants: self.variants.0,
            tags: self.tags.0,
            owners: self.owners.0,
            archived: self.archived,
            server_side_only: self.server_side_only,
            hashing_key: self.hashing_key,
            created_at: self.created_at,
            etag: self.revision.to_string(),
        };
        Ok(Stored { id: self.id, resource })
    }
}

/// Finds a feature of a project.
pub(super) async fn find_feature(
    connection: &mut Connection,
    project: i64,
    name: &FeatureName,
) -> Result<Stored<Feature>> {
    let record: Option<FeatureRecord> = sqlx::query_as(
        "SELECT id, key, description, value_type, initial_value, default_enabled, variants, tags, owners, archived,
            server_side_only, hashing_key, created_at, revision
        FROM features WHERE project_id = $1 AND key = $2",
    )
    .bind(project)
    .bind(name.feature.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("feature", name))?.into_stored(&name.project)
}

/// Returns a part of a project's features, by key.
async fn features_after(
    connection: &mut Connection,
    project: i64,
    name: &ProjectName,
    after: &str,
    limit: i64,
) -> Result<Vec<Stored<Feature>>> {
    let records: Vec<FeatureRecord> = sqlx::query_as(
        "SELECT id, key, description, value_type, initial_value, default_enabled, variants, tags, owners, archived,
            server_side_only, hashing_key, created_at, revision
        FROM features WHERE project_id = $1 AND key > $2 ORDER BY key LIMIT $3",
    )
    .bind(project)
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await
    .map_err(storage)?;
    records.into_iter().map(|record| record.into_stored(name)).collect()
}

/// Returns all features of a project, by key.
pub(super) async fn all_features(
    connection: &mut Connection,
    project: i64,
    name: &ProjectName,
) -> Result<Vec<Stored<Feature>>> {
    features_after(connection, project, name, "", i64::MAX).await
}

impl Backend {
    pub(crate) async fn feature(&self, name: &FeatureName) -> Result<Feature> {
        let mut tx = self.snapshot().await?;
        let project = project_id(&mut tx, &name.project).await?;
        Ok(find_feature(&mut tx, project, name).await?.resource)
    }

    pub(crate) async fn features(&self, project: &ProjectName, page: &Page) -> Result<Vec<Feature>> {
        let mut tx = self.snapshot().await?;
        let id = project_id(&mut tx, project).await?;
        let after = page.after.as_deref().unwrap_or_default();
        let features = features_after(&mut tx, id, project, after, rows(page.limit)).await?;
        Ok(features.into_iter().map(|feature| feature.resource).collect())
    }
}
