//! Flags with their segment overrides, read.

use std::collections::{BTreeSet, HashMap};

use burgee_core::Result;
use burgee_core::flag::{Flag, SegmentOverride};
use burgee_core::name::{
    EnvironmentId, EnvironmentName, FeatureKey, FeatureName, FlagName, ProjectName, SegmentId,
    SegmentOverrideName,
};
use burgee_core::store::Page;

use super::super::dialect::list;
use super::environment_reads::environment_id;
use super::state::StateRecord;
use super::write::not_found;
use super::{Backend, Connection, rows};
use crate::error::{storage, stored};

#[derive(sqlx::FromRow)]
struct FlagRecord {
    environment_id: i64,
    environment_key: String,
    feature_id: i64,
    feature_key: String,
    revision: i64,
    #[sqlx(flatten)]
    state: StateRecord,
}

#[derive(sqlx::FromRow)]
struct OverrideRecord {
    environment_id: i64,
    feature_id: i64,
    segment_id: i64,
    segment_key: String,
    #[sqlx(flatten)]
    state: StateRecord,
}

/// A flag with the numbers of what it is made of.
pub(super) struct FlagRow {
    /// The environment.
    pub(super) environment: i64,
    /// The feature.
    pub(super) feature: i64,
    /// The segments of its overrides, in their order.
    pub(super) segments: Vec<i64>,
    /// The flag.
    pub(super) flag: Flag,
}

/// Finds a flag.
pub(super) async fn find_flag(connection: &mut Connection, name: &FlagName) -> Result<FlagRow> {
    let project = &name.environment.project;
    let record: Option<FlagRecord> = sqlx::query_as(
        "SELECT g.environment_id, e.key AS environment_key, g.feature_id, f.key AS feature_key, g.revision,
            g.enabled, g.value, g.weights, g.hashing_key, g.metadata
        FROM organisations o JOIN projects p ON p.organisation_id = o.id
        JOIN environments e ON e.project_id = p.id JOIN features f ON f.project_id = p.id
        JOIN flags g ON g.environment_id = e.id AND g.feature_id = f.id
        WHERE o.key = $1 AND p.key = $2 AND e.key = $3 AND f.key = $4",
    )
    .bind(project.organisation.organisation.as_str())
    .bind(project.project.as_str())
    .bind(name.environment.environment.as_str())
    .bind(name.feature.as_str())
    .fetch_optional(&mut *connection)
    .await
    .map_err(storage)?;
    let record = record.ok_or_else(|| not_found("flag", name))?;
    let mut rows = with_overrides(connection, project, vec![record]).await?;
    rows.pop().ok_or_else(|| not_found("flag", name))
}

/// Returns the flags of a feature, in the order in which the environments were created.
pub(super) async fn flags_of_feature(
    connection: &mut Connection,
    feature: i64,
    name: &FeatureName,
) -> Result<Vec<FlagRow>> {
    let records = sqlx::query_as(
        "SELECT g.environment_id, e.key AS environment_key, g.feature_id, f.key AS feature_key, g.revision,
            g.enabled, g.value, g.weights, g.hashing_key, g.metadata
        FROM flags g JOIN environments e ON e.id = g.environment_id JOIN features f ON f.id = g.feature_id
        WHERE g.feature_id = $1 ORDER BY g.environment_id",
    )
    .bind(feature)
    .fetch_all(&mut *connection)
    .await
    .map_err(storage)?;
    with_overrides(connection, &name.project, records).await
}

async fn with_overrides(
    connection: &mut Connection,
    project: &ProjectName,
    flags: Vec<FlagRecord>,
) -> Result<Vec<FlagRow>> {
    let environments: BTreeSet<i64> = flags.iter().map(|flag| flag.environment_id).collect();
    let features: BTreeSet<i64> = flags.iter().map(|flag| flag.feature_id).collect();
    let records: Vec<OverrideRecord> = sqlx::query_as(concat!(
        "SELECT v.environment_id, v.feature_id, v.segment_id, s.key AS segment_key,
            v.enabled, v.value, v.weights, v.hashing_key, v.metadata
        FROM segment_overrides v JOIN segments s ON s.id = v.segment_id
        WHERE v.environment_id IN ",
        integers!("$1"),
        " AND v.feature_id IN ",
        integers!("$2"),
        " ORDER BY v.environment_id, v.feature_id, v.priority",
    ))
    .bind(list(environments))
    .bind(list(features))
    .fetch_all(connection)
    .await
    .map_err(storage)?;
    let mut overrides: HashMap<(i64, i64), Vec<OverrideRecord>> = HashMap::new();
    for record in records {
        overrides.entry((record.environment_id, record.feature_id)).or_default().push(record);
    }
    let mut found = Vec::with_capacity(flags.len());
    for flag in flags {
        let overrides = overrides.remove(&(flag.environment_id, flag.feature_id)).unwrap_or_default();
        found.push(flag_row(project, flag, overrides)?);
    }
    Ok(found)
}

fn flag_row(project: &ProjectName, record: FlagRecord, overrides: Vec<OverrideRecord>) -> Result<FlagRow> {
    let FlagRecord { environment_id, environment_key, feature_id, feature_key, revision, state } = record;
    let environment = stored(EnvironmentId::parse(&environment_key))?;
    let name = FlagName {
        environment: EnvironmentName { project: project.clone(), environment },
        feature: stored(FeatureKey::parse(&feature_key))?,
    };
    let (mut segments, mut segment_overrides) = (Vec::new(), Vec::new());
    for record in overrides {
        let segment = stored(SegmentId::parse(&record.segment_key))?;
        segments.push(record.segment_id);
        segment_overrides.push(SegmentOverride {
            name: SegmentOverrideName { flag: name.clone(), segment },
            state: record.state.into(),
        });
    }
    let flag = Flag { name, state: state.into(), segment_overrides, etag: revision.to_string() };
    Ok(FlagRow { environment: environment_id, feature: feature_id, segments, flag })
}

impl Backend {
    pub(crate) async fn flag(&self, name: &FlagName) -> Result<Flag> {
        let mut tx = self.snapshot().await?;
        Ok(find_flag(&mut tx, name).await?.flag)
    }

    pub(crate) async fn flags(&self, environment: &EnvironmentName, page: &Page) -> Result<Vec<Flag>> {
        let mut tx = self.snapshot().await?;
        let id = environment_id(&mut tx, environment).await?;
        let records = sqlx::query_as(
            "SELECT g.environment_id, e.key AS environment_key, g.feature_id, f.key AS feature_key, g.revision,
                g.enabled, g.value, g.weights, g.hashing_key, g.metadata
            FROM flags g JOIN environments e ON e.id = g.environment_id JOIN features f ON f.id = g.feature_id
            WHERE g.environment_id = $1 AND f.key > $2 ORDER BY f.key LIMIT $3",
        )
        .bind(id)
        .bind(page.after.as_deref().unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        let rows = with_overrides(&mut tx, &environment.project, records).await?;
        Ok(rows.into_iter().map(|row| row.flag).collect())
    }
}
