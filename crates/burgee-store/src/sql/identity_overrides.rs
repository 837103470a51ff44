//! Identity overrides.

use burgee_core::flag::{FlagState, IdentityOverride};
use burgee_core::name::{
    EnvironmentId, EnvironmentName, FeatureKey, FeatureName, FlagName, Identifier, IdentityOverrideName,
    ProjectName,
};
use burgee_core::store::Page;
use burgee_core::{Error, Result};
use sqlx::types::Json;

use super::flag_reads::find_flag;
use super::flags::completed;
use super::state::{StateRecord, value_column};
use super::write::{Write, not_found};
use super::{Backend, Connection, rows};
use crate::error::{storage, stored};
use crate::hash::identity_hash;

#[derive(sqlx::FromRow)]
struct OverrideRecord {
    environment_id: i64,
    environment_key: String,
    feature_id: i64,
    feature_key: String,
    identifier: String,
    revision: i64,
    #[sqlx(flatten)]
    state: StateRecord,
}

/// An identity override with the numbers of its flag.
pub(super) struct OverrideRow {
    pub(super) environment: i64,
    pub(super) feature: i64,
    pub(super) resource: IdentityOverride,
}

impl OverrideRecord {
    fn into_row(self, project: &ProjectName) -> Result<OverrideRow> {
        let Self { environment_id, environment_key, feature_id, feature_key, identifier, revision, state } =
            self;
        let environment = stored(EnvironmentId::parse(&environment_key))?;
        let flag = FlagName {
            environment: EnvironmentName { project: project.clone(), environment },
            feature: stored(FeatureKey::parse(&feature_key))?,
        };
        let name = IdentityOverrideName { flag, identifier: stored(Identifier::parse(&identifier))? };
        let resource = IdentityOverride { name, state: state.into(), etag: revision.to_string() };
        Ok(OverrideRow { environment: environment_id, feature: feature_id, resource })
    }
}

/// Finds an identity override of a flag.
pub(super) async fn find_override(
    connection: &mut Connection,
    environment: i64,
    feature: i64,
    name: &IdentityOverrideName,
) -> Result<Option<IdentityOverride>> {
    let record: Option<OverrideRecord> = sqlx::query_as(
        "SELECT v.environment_id, e.key AS environment_key, v.feature_id, f.key AS feature_key, v.identifier,
            v.revision, v.enabled, v.value, v.weights, v.hashing_key, v.metadata
        FROM identity_overrides v JOIN environments e ON e.id = v.environment_id JOIN features f ON f.id = v.feature_id
        WHERE v.environment_id = $1 AND v.feature_id = $2 AND v.identity_hash = $3",
    )
    .bind(environment)
    .bind(feature)
    .bind(identity_hash(&name.identifier))
    .fetch_optional(connection)
    .await
    .map_err(storage)?;
    let row = record.map(|record| record.into_row(&name.flag.environment.project)).transpose()?;
    Ok(row.map(|row| row.resource))
}

/// Returns the identity overrides of a feature in all environments.
pub(super) async fn overrides_of_feature(
    connection: &mut Connection,
    feature: i64,
    name: &FeatureName,
) -> Result<Vec<OverrideRow>> {
    let records: Vec<OverrideRecord> = sqlx::query_as(
        "SELECT v.environment_id, e.key AS environment_key, v.feature_id, f.key AS feature_key, v.identifier,
            v.revision, v.enabled, v.value, v.weights, v.hashing_key, v.metadata
        FROM flags g JOIN identity_overrides v ON v.environment_id = g.environment_id AND v.feature_id = g.feature_id
        JOIN environments e ON e.id = v.environment_id JOIN features f ON f.id = v.feature_id
        WHERE g.feature_id = $1 ORDER BY v.environment_id, v.identity_hash",
    )
    .bind(feature)
    .fetch_all(connection)
    .await
    .map_err(storage)?;
    records.into_iter().map(|record| record.into_row(&name.project)).collect()
}

/// Returns an identity's overrides of all flags of an environment.
pub(super) async fn overrides_of_identity(
    connection: &mut Connection,
    environment: i64,
    project: &ProjectName,
    identifier: &Identifier,
) -> Result<Vec<OverrideRow>> {
    let records: Vec<OverrideRecord> = sqlx::query_as(
        "SELECT v.environment_id, e.key AS environment_key, v.feature_id, f.key AS feature_key, v.identifier,
            v.revision, v.enabled, v.value, v.weights, v.hashing_key, v.metadata
        FROM identity_overrides v JOIN environments e ON e.id = v.environment_id JOIN features f ON f.id = v.feature_id
        WHERE v.environment_id = $1 AND v.identity_hash = $2 ORDER BY f.key",
    )
    .bind(environment)
    .bind(identity_hash(identifier))
    .fetch_all(connection)
    .await
    .map_err(storage)?;
    records.into_iter().map(|record| record.into_row(project)).collect()
}

impl Backend {
    pub(crate) async fn identity_override(&self, name: &IdentityOverrideName) -> Result<IdentityOverride> {
        let mut tx = self.snapshot().await?;
        let flag = find_flag(&mut tx, &name.flag).await?;
        let found = find_override(&mut tx, flag.environment, flag.feature, name).await?;
        found.ok_or_else(|| not_found("identity override", name))
    }

    pub(crate) async fn identity_overrides(
        &self,
        flag: &FlagName,
        page: &Page,
    ) -> Result<Vec<IdentityOverride>> {
        let mut tx = self.snapshot().await?;
        let row = find_flag(&mut tx, flag).await?;
        let after = page.after.as_deref().map(Identifier::parse).transpose()?;
        let records: Vec<OverrideRecord> = sqlx::query_as(
            "SELECT v.environment_id, e.key AS environment_key, v.feature_id, f.key AS feature_key, v.identifier,
                v.revision, v.enabled, v.value, v.weights, v.hashing_key, v.metadata
            FROM identity_overrides v
            JOIN environments e ON e.id = v.environment_id JOIN features f ON f.id = v.feature_id
            WHERE v.environment_id = $1 AND v.feature_id = $2 AND v.identity_hash > $3
            ORDER BY v.identity_hash LIMIT $4",
        )
        .bind(row.environment)
        .bind(row.feature)
        .bind(after.as_ref().map(identity_hash).unwrap_or_default())
        .bind(rows(page.limit))
        .fetch_all(&mut *tx)
        .await
        .map_err(storage)?;
        records.into_iter().map(|record| Ok(record.into_row(&flag.environment.project)?.resource)).collect()
    }
}

impl Write<'_> {
    /// Creates or replaces an identity override.
    pub(super) async fn set_identity_override(
        &mut self,
        name: &IdentityOverrideName,
        state: &FlagState,
        etag: Option<&str>,
    ) -> Result<IdentityOverride> {
        let (row, feature) = self.flag_to_change(&name.flag, None).await?;
        let before = find_override(&mut self.tx, row.environment, row.feature, name).await?;
        self.check_etag(name, etag, before.as_ref().map_or("", |before| &before.etag))?;
        if before.is_none() {
            let overrides: i64 =
                sqlx::query_scalar("SELECT count(*) FROM identity_overrides WHERE environment_id = $1")
                    .bind(row.environment)
                    .fetch_one(&mut *self.tx)
                    .await
                    .map_err(storage)?;
            let maximum = self.limits.identity_overrides_per_environment;
            self.check_limit("identity_overrides_per_environment", maximum, overrides)?;
        }
        let state = completed(state, before.as_ref().map(|before| &before.state), &feature)?;
        self.store_identity_override(row.environment, row.feature, before.as_ref(), name, state).await
    }

    /// Writes an identity override.
    pub(super) async fn store_identity_override(
        &mut self,
        environment: i64,
        feature: i64,
        before: Option<&IdentityOverride>,
        name: &IdentityOverrideName,
        state: FlagState,
    ) -> Result<IdentityOverride> {
        sqlx::query(
            "INSERT INTO identity_overrides
                (project_id, environment_id, feature_id, identity_hash, identifier, enabled, value, weights,
                    hashing_key, metadata, revision)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            ON CONFLICT (environment_id, feature_id, identity_hash) DO UPDATE
            SET enabled = excluded.enabled, value = excluded.value, weights = excluded.weights,
                hashing_key = excluded.hashing_key, metadata = excluded.metadata, revision = excluded.revision",
        )
        .bind(self.project)
        .bind(environment)
        .bind(feature)
        .bind(identity_hash(&name.identifier))
        .bind(name.identifier.as_str())
        .bind(state.enabled)
        .bind(value_column(&state.value))
        .bind(Json(&state.weights))
        .bind(&state.hashing_key)
        .bind(&state.metadata)
        .bind(self.revision)
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        self.touch_rules(environment, feature).await?;
        let after = IdentityOverride { name: name.clone(), state, etag: self.revision.to_string() };
        self.record(name, before, Some(&after))?;
        Ok(after)
    }

    /// Removes an identity override.
    pub(super) async fn remove_identity_override(
        &mut self,
        name: &IdentityOverrideName,
        etag: Option<&str>,
    ) -> Result<IdentityOverride> {
        let (row, _) = self.flag_to_change(&name.flag, None).await?;
        let found = find_override(&mut self.tx, row.environment, row.feature, name).await?;
        let before = found.ok_or_else(|| not_found("identity override", name))?;
        self.check_etag(name, etag, &before.etag)?;
        self.delete_identity_override(row.environment, row.feature, &before).await?;
        Ok(before)
    }

    /// Deletes an identity override.
    pub(super) async fn delete_identity_override(
        &mut self,
        environment: i64,
        feature: i64,
        before: &IdentityOverride,
    ) -> Result<()> {
        sqlx::query(
            "DELETE FROM identity_overrides WHERE environment_id = $1 AND feature_id = $2 AND identity_hash = $3",
        )
        .bind(environment)
        .bind(feature)
        .bind(identity_hash(&before.name.identifier))
        .execute(&mut *self.tx)
        .await
        .map_err(storage)?;
        self.touch_rules(environment, feature).await?;
        self.record(&before.name, Some(before), None)
    }

    /// Moves the revision of a flag's rules, but not its etag: the flag itself stays as it is.
    async fn touch_rules(&mut self, environment: i64, feature: i64) -> Result<(), Error> {
        sqlx::query("UPDATE flags SET rules_revision = $3 WHERE environment_id = $1 AND feature_id = $2")
            .bind(environment)
            .bind(feature)
            .bind(self.revision)
            .execute(&mut *self.tx)
            .await
            .map_err(storage)?;
        self.touch(environment);
        Ok(())
    }
}
