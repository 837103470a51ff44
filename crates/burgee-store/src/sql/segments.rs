//! Segments.

use burgee_core::feature::check_metadata;
use burgee_core::name::SegmentOverrideName;
use burgee_core::name::{
    EnvironmentId, FeatureKey, FeatureName, FlagName, ProjectName, SegmentId, SegmentName,
};
use burgee_core::rule::{Rule, check_rules};
use burgee_core::segment::{Segment, SegmentPatch};
use burgee_core::store::Page;
use burgee_core::{Error, Result};
use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::feature_reads::find_feature;
use super::flag_reads::find_flag;
use super::projects::project_id;
use super::write::{Stored, Write, microseconds, not_found, taken};
use super::{Backend, Connection, rows};
use crate::error::{storage, stored};

#[derive(sqlx::FromRow)]
struct SegmentRecord {
    id: i64,
    key: String,
    display_name: String,
    description: String,
    feature_key: Option<String>,
    rules: Json<Vec<Rule>>,
    hashing_key: String,
    metadata: Option<String>,
    created_at: DateTime<Utc>,
    revision: i64,
}

impl SegmentRecord {
    fn into_stored(self, project: &ProjectName) -> Result<Stored<Segment>> {
        let resource = Segment {
            name: SegmentName { project: project.clone(), segment: stored(SegmentId::parse(&self.key))? },
            display_name: self.display_name,
            description: self.description,
            feature: self.feature_key.map(|key| stored(FeatureKey::parse(&key))).transpose()?,
            rules: self.rules.0,
            hashing_key: self.hashing_key,
            metadata: self.metadata,
            created_at: self.created_at,
            etag: self.revision.to_string(),
        };
        Ok(Stored { id: self.id, resource })
    }
}

/// Finds a segment of a project.
pub(super) async fn find_segment(
    connection: &mut Connection,
    project: i64,
    name: &SegmentName,
) -> Result<Stored<Segment>> {
    let record: Option<SegmentRecord> = sqlx::query_as(
        "SELECT s.id, s.key, s.display_name, s.description, f.key AS feature_key, s.rules, s.hashing_key, s.metadata,
            s.created_at, s.revision
        FROM segments s LEFT JOIN features f ON f.id = s.feature_id WHERE s.project_id = $1 AND s.key = $2",
    )
    .bind(project)
    .bind(name.segment.as_str())
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    record.ok_or_else(|| not_found("segment", name))?.into_stored(&name.project)
}

/// Returns the segments that only one feature may use.
pub(super) async fn segments_of_feature(
    connection: &mut Connection,
    feature: i64,
    name: &FeatureName,
) -> Result<Vec<Segment>> {
    let records: Vec<SegmentRecord> = sqlx::query_as(
        "SELECT s.id, s.key, s.display_name, s.description, f.key AS feature_key, s.rules, s.hashing_key, s.metadata,
            s.created_at, s.revision
        FROM segments s JOIN features f ON f.id = s.feature_id WHERE s.feature_id = $1 ORDER BY s.key",
    )
    .bind(feature)
    .fetch_all(connection)
    .await
    .map_err(storage)?;
    records.into_iter().map(|record| Ok(record.into_stored(&name.project)?.resource)).collect()
}

impl Backend {
    pub(crate) async fn segment(&self, name: &SegmentName) -> Result<Segment> {
        let mut tx = self.snapshot().await?;
        let project = project_id(&mut tx, &name.project).await?;
        Ok(find_segment(&mut tx, project, name).await?.resource)
    }

    pub(crate) async fn segments(&self, project: &ProjectName, page: &Page) -> Result<Vec<Segment>> {
        let mut tx = self.snapshot().await?;
        let id = project_id(&mut tx, project).await?;
        let records: Vec<SegmentRecord> = sqlx::query_as(
            "SELECT s.id, s.key, s.display_name, s.description, f.key AS feature_key, s.rules, s.hashing_key,
                s.metadata, s.created_at, s.revision
            FROM segments s LEFT JOIN features f ON f.id = s.feature_id
            WHERE s.project_id = $1 AND s.key > $2 ORDER BY s.key LIMIT $3",
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

impl Write<'_> {
    /// Returns the name of a segment of this project.
    pub(super) fn segment_name(&self, segment: &SegmentId) -> SegmentName {
        SegmentName { project: self.name.clone(), segment: segment.clone() }
    }

    /// Creates a segment.
    pub(super) async fn create_segment(&mut self, segment: &Segment) -> Result<Segment> {
        check(segment)?;
        let feature = match &segment.feature {
            Some(feature) => {
                let name = self.feature_name(feature);
                Some(find_feature(&mut self.tx, self.project, &name).await?.id)
            }
            None => None,
        };
        let segments: i64 = sqlx::query_scalar("SELECT count(*) FROM segments WHERE project_id = $1")
            .bind(self.project)
            .fetch_one(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.check_limit("segments_per_project", self.limits.segments_per_project, segments)?;
        let created = Segment {
            created_at: microseconds(segment.created_at),
            etag: self.revision.to_string(),
            ..segment.clone()
        };
        sqlx::query(
            "INSERT INTO segments
                (project_id, feature_id, key, display_name, description, rules, hashing_key, metadata, created_at,
                    revision)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(self.project)
        .bind(feature)
        .bind(created.name.segment.as_str())
        .bind(&created.display_name)
        .bind(&created.description)
        .bind(Json(&created.rules))
        .bind(&created.hashing_key)
        .bind(&created.metadata)
        .bind(created.created_at)
        .bind(self.revision)
        .execute(&mut *self.tx)
        .await
        .map_err(taken("segment", &created.name))?;
        // Evaluation can be asked for all segments that match, also those that no flag uses.
        self.touch_all();
        self.record(&created.name, None, Some(&created))?;
        Ok(created)
    }

    /// Changes a segment.
    pub(super) async fn update_segment(
        &mut self,
        segment: &SegmentId,
        patch: &SegmentPatch,
        etag: Option<&str>,
    ) -> Result<Segment> {
        let name = self.segment_name(segment);
        let Stored { id, resource: before } = find_segment(&mut self.tx, self.project, &name).await?;
        self.check_etag(&name, etag, &before.etag)?;
        let SegmentPatch { display_name, description, rules, hashing_key, metadata } = patch.clone();
        let after = Segment {
            display_name: display_name.unwrap_or_else(|| before.display_name.clone()),
            description: description.unwrap_or_else(|| before.description.clone()),
            rules: rules.unwrap_or_else(|| before.rules.clone()),
            hashing_key: hashing_key.unwrap_or_else(|| before.hashing_key.clone()),
            metadata: metadata.unwrap_or_else(|| before.metadata.clone()),
            etag: self.revision.to_string(),
            ..before.clone()
        };
        check(&after)?;
        sqlx::query(
            "UPDATE segments
            SET display_name = $2, description = $3, rules = $4, hashing_key = $5, metadata = $6, revision = $7
            WHERE id = $1",
        )
        .bind(id)
        .bind(&after.display_name)
        .bind(&after.description)
        .bind(Json(&after.rules))
        .bind(&after.hashing_key)
        .bind(&after.metadata)
        .bind(self.revision)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        self.touch_all();
        self.record(&name, Some(&before), Some(&after))?;
        Ok(after)
    }

    /// Deletes a segment, with `force` also its overrides in all environments.
    pub(super) async fn delete_segment(
        &mut self,
        segment: &SegmentId,
        force: bool,
        etag: Option<&str>,
    ) -> Result<Segment> {
        let name = self.segment_name(segment);
        let Stored { id, resource } = find_segment(&mut self.tx, self.project, &name).await?;
        self.check_etag(&name, etag, &resource.etag)?;
        let users = self.users_of_segment(id, segment).await?;
        if !force && !users.is_empty() {
            // All of them: which the caller may see, the store does not know.
            let users = users.iter().map(ToString::to_string).collect();
            return Err(Error::InUse { name: name.to_string(), users, hidden: 0 });
        }
        for user in &users {
            let row = find_flag(&mut self.tx, &user.flag).await?;
            let index = row.flag.segment_overrides.iter().position(|replacement| replacement.name == *user);
            if let Some(index) = index {
                self.delete_segment_override(&row, index).await?;
            }
        }
        sqlx::query("DELETE FROM segments WHERE id = $1")
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.touch_all();
        self.record(&name, Some(&resource), None)?;
        Ok(resource)
    }

    async fn users_of_segment(&mut self, id: i64, segment: &SegmentId) -> Result<Vec<SegmentOverrideName>> {
        let users: Vec<(String, String)> = sqlx::query_as(
            "SELECT e.key, f.key FROM segment_overrides v
            JOIN environments e ON e.id = v.environment_id JOIN features f ON f.id = v.feature_id
            WHERE v.segment_id = $1 ORDER BY e.key, f.key",
        )
        .bind(id)
        .fetch_all(&mut *self.tx)
        .await
        .map_err(storage)?;
        let name = |(environment, feature): (String, String)| {
            let environment = self.environment_name(&stored(EnvironmentId::parse(&environment))?);
            let flag = FlagName { environment, feature: stored(FeatureKey::parse(&feature))? };
            Ok(SegmentOverrideName { flag, segment: segment.clone() })
        };
        users.into_iter().map(name).collect()
    }
}

fn check(segment: &Segment) -> Result<()> {
    check_rules(&segment.rules).map_err(|violation| violation.at("rules"))?;
    if let Some(metadata) = &segment.metadata {
        check_metadata(metadata).map_err(|violation| violation.at("metadata"))?;
    }
    Ok(())
}
